//! `gleaner doctor` on what is wrong with S3 or with its settings; and a run on the same says so too, and writes nothing.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::cloud::{Cloud, Setup};
use crate::proxy::{Action, Proxy, Rule};
use crate::s3::{DAY, env, gleaner, server};
use crate::seaweed::{Keys, Seaweed};
use crate::sigv4::sign;
use crate::support::Dir;

/// The environment with other values; an empty one removes a variable.
fn with(env: &[(String, String)], changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let kept = |name: &str| changes.iter().all(|(other, _)| *other != name);
    let mut all: Vec<_> = env.iter().filter(|(n, _)| kept(n)).cloned().collect();
    let given = changes.iter().filter(|(_, value)| !value.is_empty());
    all.extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

/// What the doctor says of a warehouse, and whether that is good.
fn doctor(env: &[(String, String)], place: &str) -> (bool, String) {
    let (good, out, err) = gleaner(env, &["doctor", "--warehouse", place]);
    assert_eq!(good, !out.contains("FAILED"), "{out}{err}");
    (good, out)
}

/// What a run to a warehouse that cannot be written says.
fn refused(env: &[(String, String)], to: &str) -> String {
    let from = "s3://gleaner/telemetry";
    let args = ["run", "--date", DAY, "--telemetry", from, "--warehouse", to];
    let (good, out, err) = gleaner(env, &args);
    assert!(!good, "{out}");
    err
}

#[test]
fn what_is_missing_or_wrong_is_said_in_a_sentence() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = with(&env(&server), &[("HOME", &dir.join("home"))]);
    let none = ("AWS_ACCESS_KEY_ID", "");
    let empty = dir.write("empty.pem", "nothing here");
    let tls = server.tls_endpoint();
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[none, ("AWS_SECRET_ACCESS_KEY", "")],
            "no AWS credentials were found. Tried: AWS_ACCESS_KEY_ID",
        ),
        (
            &[
                ("AWS_ENDPOINT_URL", ""),
                ("AWS_REGION", ""),
                ("AWS_DEFAULT_REGION", ""),
            ],
            "no AWS region is known: set AWS_REGION",
        ),
        (
            &[
                ("AWS_ENDPOINT_URL", "http://192.0.2.1:9000"),
                ("AWS_ALLOW_HTTP", ""),
            ],
            "AWS_ALLOW_HTTP=true",
        ),
        (
            &[("AWS_ENDPOINT_URL", "https://me:hunter2@127.0.0.1")],
            "holds a user name or password",
        ),
        (
            &[("AWS_CA_BUNDLE", "/no/such/file")],
            "AWS_CA_BUNDLE /no/such/file",
        ),
        (&[("AWS_CA_BUNDLE", &empty)], "holds no certificate"),
        (
            &[
                none,
                ("AWS_SECRET_ACCESS_KEY", ""),
                ("AWS_PROFILE", "nobody"),
            ],
            "\"nobody\"",
        ),
        (
            &[("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")],
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        ),
        (
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")],
            "the server was not reached",
        ),
        (
            &[("AWS_ENDPOINT_URL", &tls)],
            "for a certificate of your own at AWS_CA_BUNDLE",
        ),
        (
            &[("AWS_ACCESS_KEY_ID", "AKIANOBODY")],
            "the server refuses the credentials",
        ),
        (
            &[("AWS_SECRET_ACCESS_KEY", "hunter2")],
            "the server refuses the credentials",
        ),
    ];
    for (changes, sentence) in cases {
        let (good, said) = doctor(&with(&env, changes), "s3://gleaner/w");
        assert!(!good && said.contains(sentence), "{changes:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // Endpoints of S3 go before those of all services.
    let endpoint = server.endpoint();
    let both = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_S3", &endpoint),
    ];
    assert!(doctor(&with(&env, &both), "s3://gleaner/w").0);
    // What stops the doctor stops a run, in the same words.
    for n in [0, 1, 2, 4, 6, 7] {
        let (changes, sentence) = cases[n];
        let said = refused(&with(&env, changes), "s3://gleaner/w");
        assert!(said.contains(sentence), "{changes:?}: {said}");
    }
    assert!(server.keys("").is_empty());
}

#[test]
fn a_place_that_is_missing_or_may_only_be_read_is_named() {
    let Some(server) = server() else { return };
    let admin = env(&server);
    server.put("telemetry/a.ndjson", crate::s3_identities::event("whoami"));
    let (good, said) = doctor(&admin, "s3://no-such-bucket/w");
    assert!(
        !good && said.contains("bucket no-such-bucket does not exist"),
        "{said}"
    );
    let said = refused(&admin, "s3://no-such-bucket/w");
    assert!(
        said.contains("no-such-bucket") || said.contains("NoSuchBucket"),
        "{said}"
    );

    let reader = server.env_of(&server.endpoint(), server.reader());
    let reader: Vec<_> = reader.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    let (good, out, _) = gleaner(
        &reader,
        &["doctor", "--telemetry", "s3://gleaner/telemetry"],
    );
    assert!(good && out.contains("can be listed"), "{out}");
    let (good, said) = doctor(&reader, "s3://gleaner/w");
    assert!(
        !good && said.contains("s3://gleaner/w cannot be written to"),
        "{said}"
    );
    assert!(said.contains("s3:PutObject"), "{said}");
    let said = refused(&reader, "s3://gleaner/w");
    assert!(
        said.contains("AccessDenied") || said.contains("denied"),
        "{said}"
    );
    assert_eq!(server.keys(""), ["telemetry/a.ndjson"]);
}

#[test]
fn a_clock_that_is_wrong_is_found() {
    let Some(server) = server() else { return };
    let proxy = Proxy::start(
        &server.endpoint(),
        1,
        vec![Rule::new(
            "skewed",
            Action::Refuse(403, "RequestTimeTooSkewed"),
        )],
    );
    let env = |endpoint: &str| -> Vec<(String, String)> {
        let env = server.env_of(endpoint, server.admin()).into_iter();
        env.map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let (good, said) = doctor(&env(&proxy.endpoint()), "s3://gleaner/w");
    assert!(
        !good && said.contains("refuses requests of this machine's time"),
        "{said}"
    );
    // A server that takes the requests all the same.
    let setup = Setup {
        base: Some(server.admin().clone()),
        date: Some("Thu, 01 Jan 2026 00:00:00 GMT"),
        ..Setup::default()
    };
    let cloud = Cloud::start(&server, setup);
    let (good, said) = doctor(&env(&cloud.url()), "s3://gleaner/w");
    assert!(
        !good && said.contains("FAILED  clock: this clock and the server's differ by"),
        "{said}"
    );
    assert!(said.contains("set the clock"), "{said}");
}

#[test]
fn a_server_on_which_two_runs_could_commit_is_found() {
    let Some(server) = server() else { return };
    let base = Keys::unique("AKIA");
    let setup = Setup {
        base: Some(base.clone()),
        life: Duration::from_hours(1),
        careless: true,
        ..Setup::default()
    };
    let cloud = Cloud::start(&server, setup);
    let env = server.env_of(&cloud.url(), &base).into_iter();
    let env: Vec<_> = env.map(|(name, value)| (name.to_owned(), value)).collect();
    let (good, said) = doctor(&env, "s3://gleaner/w");
    assert!(
        !good && said.contains("FAILED  conditional writes: "),
        "{said}"
    );
    assert!(
        said.contains("two runs of one day could both commit"),
        "{said}"
    );
    assert!(server.keys("").is_empty());
}

/// A signed request; its answer's text.
fn ask(server: &Seaweed, method: Method, path: &str, body: &'static str) -> String {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.endpoint()))
        .body(())
        .unwrap();
    let (mut parts, ()) = request.into_parts();
    sign(server.admin(), &mut parts, body.as_bytes());
    let request = Request::from_parts(parts, Full::new(Bytes::from(body)));
    server.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        let status = answer.status();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(status.is_success(), "{path}: {status} {text}");
        text
    })
}

#[test]
fn a_bucket_that_keeps_versions_is_warned_about_and_left_without_any() {
    let Some(server) = server() else { return };
    ask(&server, Method::PUT, "/versioned", "");
    let on = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
              <Status>Enabled</Status></VersioningConfiguration>";
    ask(&server, Method::PUT, "/versioned?versioning", on);
    let (good, said) = doctor(&env(&server), "s3://versioned/w");
    assert!(good && said.contains("warning versioning: on"), "{said}");
    assert!(said.contains("files that a run replaces stay"), "{said}");
    assert!(!said.contains("tidying up"), "{said}");
    let left = ask(&server, Method::GET, "/versioned?versions", "");
    assert!(left.contains("ListVersionsResult"), "{left}");
    let is_there = left.contains("<Version>") || left.contains("<DeleteMarker>");
    assert!(!is_there, "{left}");
}
