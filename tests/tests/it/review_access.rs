//! Who may see the review page's lines and judge them: sessions, roles, other pages, two analysts at once, TLS.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::pki::Ca;
use crate::probe::{Outcome, Speaker};
use crate::review::{server, warehouse};
use crate::support::{Dir, fails, number, succeeds};

/// Headers, as [`ask`] takes them.
fn borrowed<'h>(headers: &'h [(&'h str, String)]) -> Vec<(&'h str, &'h str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// One exchange over HTTP/1.1: status, head and body.
fn ask(url: &str, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
    let address: SocketAddr = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!(
        "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "Host") {
        let _ = write!(text, "Host: {address}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    stream
        .write_all(format!("{text}\r\n{body}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn token(name: &str, role: &str) -> (String, String) {
    let shown = succeeds(&["token", "new", "--name", name, "--role", role]);
    let mut lines = shown.lines().filter_map(|l| l.strip_prefix("    "));
    (
        lines.next().unwrap().to_owned(),
        lines.next().unwrap().to_owned(),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one server, and all who speak to it")]
fn verdicts_are_for_operators_who_signed_in_on_this_page_and_are_kept_once() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let (anna, annas) = token("anna", "operator");
    let (ben, bens) = token("ben", "viewer");
    let (carl, carls) = token("carl", "operator");
    let tokens = dir.write("tokens", format!("{annas}\n{bens}\n{carls}\n"));
    let (_server, url) = server(&dir, &telemetry, &warehouse, &["--tokens", &tokens]);
    let origin = url.trim_end_matches('/').to_owned();
    let json = ("Content-Type", "application/json");
    let page = [("Origin", origin.as_str()), json];

    // What every answer forbids the browser, errors among them.
    for request in [
        "GET /",
        "GET /review.js",
        "GET /api/sample",
        "GET /nothing",
        "POST /api/verdict",
    ] {
        let (_, head, _) = ask(&url, request, &[], "");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "x-frame-options: deny",
        ] {
            assert!(head.contains(header), "{request}: {header}\n{head}");
        }
    }
    let (_, _, markup) = ask(&url, "GET /", &[], "");
    assert!(
        !markup.contains("<style")
            && !markup.contains("style=")
            && markup.matches("<script").count() == 1
    );

    // Nobody sees a line.
    for request in [
        "GET /api/sample",
        "GET /api/line/00000000000000000000000000000000",
    ] {
        assert_eq!(ask(&url, request, &[], "").0, 401, "{request}");
        assert_eq!(
            ask(&url, request, &[("Cookie", "gleaner-review=guessed")], "").0,
            401
        );
        // A token is no cookie, and no header is taken.
        let bearer = format!("Bearer {anna}");
        assert_eq!(ask(&url, request, &[("Authorization", &bearer)], "").0, 401);
    }
    let sign_in = |secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        let (status, head, body) = ask(&url, "POST /api/sign-in", &page, &body);
        let cookie = head
            .split("set-cookie: ")
            .nth(1)
            .map(|rest| rest.split("\r\n").next().unwrap().to_owned());
        assert!(secret.is_empty() || !body.contains(secret));
        (status, cookie)
    };
    for wrong in ["", "anna", "gleaner_wrong", &annas] {
        assert_eq!(sign_in(wrong).0, 401);
    }
    // As `ask` tells heads in lower case, the session is asked for once more as it came.
    let session = |secret: &str| {
        let body = json!({ "secret": secret }).to_string();
        let address = origin.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/sign-in HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let at = answer.split("set-cookie: ").nth(1).unwrap();
        assert!(
            at.contains("HttpOnly; SameSite=Strict") && !at.contains(secret),
            "{at}"
        );
        at.split(';').next().unwrap().to_owned()
    };
    let (annas, bens, carls) = (session(&anna), session(&ben), session(&carl));
    let (status, _, body) = ask(&url, "GET /api/sample", &[("Cookie", &bens)], "");
    assert_eq!(status, 200);
    let sample: Value = serde_json::from_str(&body).unwrap();
    let hashes: Vec<&str> = sample["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["hash"].as_str().unwrap())
        .collect();
    assert!(hashes.len() > 10);

    let judge = |headers: &[(&str, &str)], hash: &str, verdict: &str| {
        let body =
            json!({ "hash": hash, "verdict": verdict, "analyst": "somebody else" }).to_string();
        let (status, _, body) = ask(&url, "POST /api/verdict", headers, &body);
        (
            status,
            serde_json::from_str::<Value>(&body).unwrap_or(Value::Null),
        )
    };
    let by = |cookie: &str| {
        [
            ("Origin", origin.clone()),
            ("Content-Type", "application/json".to_owned()),
            ("Cookie", cookie.to_owned()),
        ]
    };
    let (anna_by, ben_by, carl_by) = (by(&annas), by(&bens), by(&carls));
    // Not without a session, not as a viewer, not from another page, not as a form, not of another line or verdict.
    assert_eq!(judge(&page, hashes[0], "benign").0, 401);
    assert_eq!(judge(&borrowed(&ben_by), hashes[0], "benign").0, 403);
    for other in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1",
    ] {
        assert_eq!(
            judge(
                &[("Origin", other), json, ("Cookie", &annas)],
                hashes[0],
                "benign"
            )
            .0,
            403,
            "{other}"
        );
    }
    assert_eq!(
        judge(&[json, ("Cookie", &annas)], hashes[0], "benign").0,
        403
    );
    assert_eq!(
        judge(
            &[
                ("Origin", &origin),
                ("Content-Type", "text/plain"),
                ("Cookie", &annas)
            ],
            hashes[0],
            "benign"
        )
        .0,
        415
    );
    for (hash, verdict) in [
        (hashes[0], "fine"),
        (hashes[0], ""),
        ("", "benign"),
        ("0123", "benign"),
        ("' OR '1'='1", "benign"),
    ] {
        let (status, said) = judge(&borrowed(&anna_by), hash, verdict);
        assert!(
            status == 400 && said["error"].is_string(),
            "{hash} {verdict}: {said}"
        );
    }
    let large = format!("{{\"hash\": \"{}\"}}", "x".repeat(40_000));
    assert_eq!(
        ask(&url, "POST /api/verdict", &borrowed(&anna_by), &large).0,
        413
    );
    assert!(
        fails(&["sql", "--warehouse", &warehouse, "SELECT 1 FROM nothing"]).contains("nothing")
    );

    // Two analysts at once, each verdict said twice: one row each, the analyst is who signed in.
    std::thread::scope(|scope| {
        for (who, some) in [(&anna_by, &hashes[..4]), (&carl_by, &hashes[4..8])] {
            let judge = &judge;
            scope.spawn(move || {
                for hash in some {
                    let headers = borrowed(who);
                    let (status, first) = judge(&headers, hash, "benign");
                    assert_eq!(status, 200, "{first}");
                    let (status, again) = judge(&headers, hash, "benign");
                    assert!(
                        status == 200 && again["version"] == first["version"],
                        "{again}"
                    );
                }
            });
        }
    });
    let counted = |analyst: &str| {
        number(
            &warehouse,
            &format!("SELECT count(*) FROM reviews WHERE analyst = '{analyst}'"),
        )
    };
    assert_eq!(
        (counted("anna"), counted("carl"), counted("somebody else")),
        (4, 4, 0)
    );
    assert_eq!(
        number(&warehouse, "SELECT count(DISTINCT version) FROM reviews"),
        8
    );
    // Carl sees what Anna said, and may say otherwise: the later holds.
    assert_eq!(judge(&borrowed(&carl_by), hashes[0], "malicious").0, 200);
    let (_, _, body) = ask(
        &url,
        &format!("GET /api/line/{}", hashes[0]),
        &[("Cookie", &annas)],
        "",
    );
    let line: Value = serde_json::from_str(&body).unwrap();
    assert!(line["review"]["analyst"] == "carl" && line["review"]["verdict"] == "malicious");

    // Who is taken out of the file is out.
    std::fs::write(&tokens, format!("{}\n", token("dora", "viewer").1)).unwrap();
    assert_eq!(judge(&borrowed(&anna_by), hashes[9], "benign").0, 401);
    assert_eq!(
        ask(&url, "GET /api/sample", &[("Cookie", &annas)], "").0,
        401
    );
}

#[test]
fn without_tokens_the_page_is_of_this_machine_alone() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let flags = [
        "serve",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
        "--listen",
        "127.0.0.1:0",
    ];
    let said = fails(&[&flags[..], &["--review", "0.0.0.0:0"]].concat());
    assert!(
        said.contains("--review") && said.contains("--insecure"),
        "{said}"
    );
    let (_server, url) = server(&dir, &telemetry, &warehouse, &[]);
    // A page of another name that was made to point here (DNS rebinding).
    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        let origin = format!("http://{host}");
        let headers = [
            ("Host", host),
            ("Origin", origin.as_str()),
            ("Content-Type", "application/json"),
        ];
        let (status, _, body) = ask(&url, "POST /api/sign-in", &headers, "{\"secret\": \"eve\"}");
        assert_eq!(status, 421, "{host}: {body}");
        assert_eq!(ask(&url, "GET /api/me", &headers[..1], "").0, 421);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_page_answers_and_in_plain_text_it_does_not() {
    let dir = Dir::new();
    let (telemetry, warehouse) = warehouse(&dir);
    let ca = Ca::new(&dir, "ca");
    let (_, annas) = token("anna", "operator");
    let tokens = dir.write("tokens", annas);
    let holder = ca.issue("driver");
    let args = [holder.args(), vec!["--tokens".to_owned(), tokens]].concat();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (_server, url) = server(&dir, &telemetry, &warehouse, &args);
    let address: SocketAddr = url
        .trim_start_matches("https://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let browser = Speaker::over_tls(&ca.file, None);
    assert_eq!(browser.get(address, "/").await, Outcome::Answered);
    assert_eq!(browser.get(address, "/api/sample").await, Outcome::Unknown);
    assert_eq!(Speaker::plain().get(address, "/").await, Outcome::Closed);
}
