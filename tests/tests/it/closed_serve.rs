//! `gleaner serve` behind TLS and tokens: what its port answers to whom.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Output, Stdio};

use crate::pki::{Ca, Holder};
use crate::probe::{Outcome, Speaker};
use crate::processes::free_port;
use crate::support::{Dir, program, succeeds};

const CHANGE: [&str; 2] = ["Submit", "Cancel"];
const READ: [&str; 4] = ["Get", "List", "Watch", "Result"];
const SCORE: [&str; 4] = [
    "ScoreRequest",
    "ScoreRequests",
    "ScoreStream",
    "ScoreCommands",
];
const FLIGHT: [&str; 5] = ["GetFlightInfo", "GetSchema", "DoGet", "DoAction", "DoPut"];

/// A server, which ends with the test.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &Dir, args: &[String]) -> Serving {
    let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let mut child = program("gleaner")
        .args(["--", "serve", "--listen", &address.to_string()])
        .args(["--telemetry", &dir.join("telemetry")])
        .args(["--warehouse", &dir.join("warehouse")])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on https://") {
        line.clear();
        let read = said.read_line(&mut line).unwrap();
        assert!(read > 0, "gleaner serve ended");
    }
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Serving { child, address }
}

/// A token and its line, as `gleaner token new` shows them.
fn token(name: &str, role: &str) -> (String, String) {
    let shown = succeeds(&["token", "new", "--name", name, "--role", role]);
    let lines: Vec<&str> = shown
        .lines()
        .filter_map(|l| l.strip_prefix("    "))
        .collect();
    let [token, line] = lines[..] else {
        panic!("not a token and a line");
    };
    assert!(line.starts_with(&format!("{name} {role} ")) && !line.contains(token));
    (token.to_owned(), line.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one server, and all who speak to it")]
async fn every_method_of_a_server_answers_to_the_right_token_or_certificate_alone() {
    let dir = Dir::new();
    let (ca, other) = (Ca::new(&dir, "ca"), Ca::new(&dir, "other"));
    dir.synth("telemetry", &["--lines", "500"]);
    let (anna, annas_line) = token("anna", "operator");
    let (ben, bens_line) = token("ben", "viewer");
    let (carl, carls_line) = token("carl", "operator");
    // Carl's was good until some day of the past.
    let (kept, _) = carls_line.rsplit_once(' ').unwrap();
    let (sensor, sensors_line) = token("gateway", "sensor");
    let lines = format!("# people\n{annas_line}\n{bens_line}\n{sensors_line}\n{kept} 2020-01-01\n");
    let tokens = dir.write("tokens", lines);
    let holder = ca.issue("driver");
    let args = [holder.args(), vec!["--tokens".to_owned(), tokens.clone()]];
    let server = serve(&dir, &args.concat());
    let at = server.address;
    let list = "/gleaner.v1.Control/List";

    let over = |holder: Option<&Holder>| Speaker::over_tls(&ca.file, holder);
    let nobody = over(None);
    let closed = [
        ("plain text", Speaker::plain()),
        ("another CA", over(Some(&other.issue("driver")))),
        ("expired", over(Some(&ca.expired("driver")))),
        (
            "another CA, and a good token",
            over(Some(&other.issue("driver"))).with_token(&anna),
        ),
        (
            "a server that is not believed",
            Speaker::over_tls(&other.file, None).with_token(&anna),
        ),
    ];
    for (what, speaker) in &closed {
        assert_eq!(speaker.call(at, list).await, Outcome::Closed, "{what}");
    }
    assert_eq!(Speaker::plain().get(at, "/").await, Outcome::Closed);

    let wrong = format!("{}x", &anna[..anna.len() - 1]);
    let none: &[&str] = &[];
    let reads: &[&str] = &READ;
    let all: &[&str] = &[&CHANGE[..], &READ].concat();
    // Who it is, what the server takes it for, what it may of the job service, and whether it may query.
    let speakers = [
        ("nobody", nobody.clone(), Outcome::Unknown, none, false),
        (
            "a wrong token",
            nobody.with_token(&wrong),
            Outcome::Unknown,
            none,
            false,
        ),
        (
            "an expired one",
            nobody.with_token(&carl),
            Outcome::Unknown,
            none,
            false,
        ),
        (
            "a wrong token beside a good certificate",
            over(Some(&ca.issue("driver"))).with_token(&wrong),
            Outcome::Unknown,
            none,
            false,
        ),
        (
            "a viewer",
            nobody.with_token(&ben),
            Outcome::Forbidden,
            reads,
            true,
        ),
        (
            "an operator",
            nobody.with_token(&anna),
            Outcome::Forbidden,
            all,
            true,
        ),
        (
            "a client",
            over(Some(&ca.issue("client"))),
            Outcome::Forbidden,
            reads,
            true,
        ),
        (
            "a driver",
            over(Some(&ca.issue("driver"))),
            Outcome::Forbidden,
            all,
            true,
        ),
        (
            "an executor",
            over(Some(&ca.issue("executor"))),
            Outcome::Forbidden,
            none,
            false,
        ),
        // A certificate cannot make an operator of its holder.
        (
            "a made-up role",
            over(Some(&ca.issue("operator"))),
            Outcome::Forbidden,
            none,
            false,
        ),
    ];
    for (who, speaker, otherwise, may, queries) in &speakers {
        for method in CHANGE.iter().chain(&READ).chain(&["Nothing"]) {
            let path = format!("/gleaner.v1.Control/{method}");
            let expected = if may.contains(method) {
                Outcome::Answered
            } else {
                *otherwise
            };
            assert_eq!(speaker.call(at, &path).await, expected, "{who}: {method}");
        }
        for method in FLIGHT {
            let path = format!("/arrow.flight.protocol.FlightService/{method}");
            let expected = if *queries {
                Outcome::Answered
            } else {
                *otherwise
            };
            assert_eq!(speaker.call(at, &path).await, expected, "{who}: {method}");
        }
        for path in [
            "/",
            "/healthz",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(speaker.get(at, path).await, *otherwise, "{who}: {path}");
        }
    }

    // A sensor sends what is to be scored, and does nothing else; who reads does not score.
    let of_sensors = [nobody.with_token(&sensor), over(Some(&ca.issue("sensor")))];
    let says = async |speaker: &Speaker, path: &str| speaker.call(at, path).await;
    for (speaker, scores, reads) in [
        (&of_sensors[0], true, false),
        (&of_sensors[1], true, false),
        (&nobody.with_token(&anna), true, true),
        (&nobody.with_token(&ben), false, true),
        (&over(Some(&ca.issue("client"))), false, true),
        (&over(Some(&ca.issue("driver"))), true, true),
    ] {
        let expected = |may: bool| {
            if may {
                Outcome::Answered
            } else {
                Outcome::Forbidden
            }
        };
        for method in SCORE {
            let path = format!("/gleaner.v1.Scoring/{method}");
            assert_eq!(says(speaker, &path).await, expected(scores), "{method}");
        }
        let models = "/gleaner.v1.Scoring/Models";
        assert_eq!(says(speaker, models).await, Outcome::Answered);
        assert_eq!(says(speaker, list).await, expected(reads));
    }
    for method in SCORE.iter().chain(&["Models"]) {
        let path = format!("/gleaner.v1.Scoring/{method}");
        assert_eq!(says(&nobody, &path).await, Outcome::Unknown, "{method}");
    }
    for method in FLIGHT {
        let path = format!("/arrow.flight.protocol.FlightService/{method}");
        assert_eq!(says(&of_sensors[0], &path).await, Outcome::Forbidden);
    }

    // As people use it.
    let url = format!("https://{at}");
    let ask = |token: &str, args: &[&str]| -> Output {
        program("gleaner")
            .arg("--")
            .args(args)
            .args(["--server", &url, "--tls-ca", &ca.file])
            .env("GLEANER_TOKEN", token)
            .output()
            .unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let day = [
        "submit",
        "--date",
        "2025-01-01",
        "--option",
        "through=commands",
    ];
    let refused = ask(&ben, &day);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(
        said.contains("is for operator, driver; this caller is viewer"),
        "{said}"
    );
    let done = ask(&anna, &day);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let listed = text(&ask(&ben, &["jobs", "--json"]).stdout);
    assert!(
        listed.contains("\"anna\"") && !listed.contains(&anna),
        "{listed}"
    );
    let counted = text(
        &ask(
            &ben,
            &["sql", "--json", "SELECT sum(events) AS n FROM commands"],
        )
        .stdout,
    );
    assert_eq!(counted.trim(), "{\"n\":500}");
    let said = text(&ask("gleaner_wrong", &["jobs"]).stderr);
    assert!(said.contains("the token is not known here"), "{said}");
    assert!(!said.contains("gleaner_wrong"), "{said}");

    // Taken out of the file, she is out at once.
    std::fs::write(&tokens, &bens_line).unwrap();
    assert_eq!(
        nobody.with_token(&anna).call(at, list).await,
        Outcome::Unknown
    );
    assert_eq!(
        nobody.with_token(&ben).call(at, list).await,
        Outcome::Answered
    );

    // A certificate that is replaced on the disk is shown from then on.
    let renewed = other.issue("driver");
    std::fs::copy(&renewed.key, &holder.key).unwrap();
    std::fs::copy(&renewed.cert, &holder.cert).unwrap();
    let believes_other = Speaker::over_tls(&other.file, None).with_token(&ben);
    assert_eq!(believes_other.call(at, list).await, Outcome::Answered);
    assert_eq!(
        nobody.with_token(&ben).call(at, list).await,
        Outcome::Closed
    );
}

#[test]
fn a_server_that_others_reach_wants_a_certificate_and_tokens() {
    let dir = Dir::new();
    dir.synth("telemetry", &["--lines", "100"]);
    let ca = Ca::new(&dir, "ca");
    let tokens = dir.write("tokens", "");
    let certificate = ca.issue("driver").args();
    let certificate: Vec<&str> = certificate.iter().map(String::as_str).collect();
    let listen = format!("0.0.0.0:{}", free_port());
    let said = |args: &[&str]| {
        let output = program("gleaner")
            .args(["--", "serve", "--listen", &listen])
            .args(["--telemetry", &dir.join("telemetry")])
            .args(["--warehouse", &dir.join("warehouse")])
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (args, missing) in [
        (vec![], "--tls-cert"),
        (vec!["--tokens", &tokens], "--tls-cert"),
        (certificate, "--tokens"),
    ] {
        let refusal = said(&args);
        assert!(
            refusal.contains("--listen 0.0.0.0") && refusal.contains(missing),
            "{refusal}"
        );
    }
    let token = [
        "jobs",
        "--server",
        "http://192.0.2.1:1",
        "--token",
        "gleaner_secret",
    ];
    let refusal = crate::support::fails(&token);
    assert!(refusal.contains("plain text"), "{refusal}");
    assert!(!refusal.contains("gleaner_secret"), "{refusal}");
}
