//! Scores as things happen, beside those of the batch.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::processes::signal;
use crate::serve::Server;
use crate::support::{Dir, program, query, run, succeeds};

/// The columns of a request, as the scoring client reads them.
pub const COLUMNS: &str = "CAST(event_time AS BIGINT) AS ts, \"user\", session, client_ip, method, host, path, query, status, error_code, \
                       request_bytes, response_bytes, latency_ms, user_agent, referer, body, headers";

/// What scores the day of requests, and the functions that score.
const EVERY: &str = "iforest,pca,kmeans,dbscan,ocsvm,autoencoder";
const DETECTORS: [(&str, &str); 6] = [
    ("iforest", "iforest_score"),
    ("pca", "pca_error"),
    ("kmeans", "kmeans_distance"),
    ("dbscan", "dbscan_distance"),
    ("ocsvm", "ocsvm_score"),
    ("autoencoder", "autoencoder_error"),
];

/// Two days of requests, from the first one's last hour on: users with habits, a scanner, failures, instants shared by several requests.
pub fn telemetry(dir: &Dir, requests: usize) -> String {
    let mut state = 7_u64;
    let mut draw = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % n
    };
    // 2025-01-01T23:00:00Z.
    let mut micros = 1_735_772_400_000_000_u64;
    let mut text = String::new();
    for i in 0..requests {
        // Every third shares its instant with the one before.
        micros += if i % 3 == 0 { 0 } else { draw(40_000_000) };
        let (user, item) = (draw(6), draw(300));
        let path = match draw(3) {
            0 => format!("/items/{item}"),
            1 => "/cart".to_owned(),
            _ => "/login".to_owned(),
        };
        let mut one = json!({
            "event_time": micros,
            "user": format!("user{user}"),
            "client_ip": format!("10.0.{user}.{}", draw(3)),
            "method": if draw(4) == 0 { "POST" } else { "GET" },
            "host": "shop",
            "path": path,
            "status": if draw(12) == 0 { 500 } else { 200 },
            "response_bytes": 100 + draw(4000),
            "latency_ms": f64::from(u32::try_from(draw(1000)).unwrap()) / 7.0,
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
            "body": format!("n={}", draw(9)),
            // What tells rows apart that agree otherwise.
            "request_bytes": i,
        });
        if i % 50 == 7 {
            one["user"] = json!("guest");
            one["path"] = json!(format!("/admin/{}.php", draw(1000)));
            one["query"] = json!("id=1' UNION SELECT password FROM users--");
            one["user_agent"] = json!("sqlmap/1.7");
            one["status"] = json!(404);
        }
        writeln!(text, "{one}").unwrap();
    }
    dir.write("telemetry/requests.ndjson", text);
    dir.join("telemetry")
}

/// `gleaner score`, which answers line by line.
pub struct Scoring {
    child: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Scoring {
    pub fn start(server: &Server, args: &[&str]) -> Self {
        let mut child = program("gleaner")
            .args(["--", "score", "--server", &server.url])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            lines: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn send(&mut self, line: &str) {
        writeln!(self.lines, "{line}").unwrap();
        self.lines.flush().unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Sends all, and takes an answer to each.
    pub fn all(mut self, sent: &[String]) -> Vec<Value> {
        let mut lines = self.lines;
        let text = sent.join("\n");
        let writer = std::thread::spawn(move || lines.write_all(text.as_bytes()).unwrap());
        let answers = self.answers.lines();
        let answers = answers.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let answers: Vec<Value> = answers.collect();
        writer.join().unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(answers.len(), sent.len());
        answers
    }
}

fn models(server: &Server) -> Value {
    serde_json::from_str(&server.says(&["score"], &["--models"])).unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
pub fn score(value: &Value) -> u32 {
    (value.as_f64().unwrap() as f32).to_bits()
}

/// The batch's scores of all requests of a day, by the stages' own SQL, in the order in which they are sent.
fn batch(warehouse: &str, day: &str) -> Vec<Value> {
    let uri: HashMap<String, String> = query(
        warehouse,
        &format!("SELECT kind, uri FROM models WHERE day = DATE '{day}'"),
    )
    .into_iter()
    .map(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("kind"), text("uri"))
    })
    .collect();
    let features = include_str!("../../../jobs/src/stages/request_features.sql")
        .replace("{frequencies}", &format!("'{}'", uri["frequencies"]));
    let scores = DETECTORS
        .map(|(kind, score)| format!("CAST({score}(f, '{}') AS DOUBLE) AS {kind}", uri[kind]));
    let sql = format!(
        "SELECT hash, template, {} \
         FROM (SELECT r.hash, r.event_time, w.template, {features} AS f FROM requests AS r JOIN windows AS w ON w.hash = r.hash \
               WHERE r.day = DATE '{day}') ORDER BY event_time, hash",
        scores.join(", ")
    );
    query(warehouse, &sql)
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one server, and the day it is told of"
)]
fn a_day_s_requests_get_their_batch_s_scores_bit_for_bit_and_later_models_come_without_a_pause() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir, 2000), dir.join("warehouse"));
    let api = [
        "--kind",
        "api",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
    ];
    let server = Server::start(
        &dir,
        &[
            &api[..],
            &["--models-check", "1", "--quota", "2%", "--detectors", EVERY],
        ]
        .concat(),
        &[],
    );
    // Nothing can be scored before there is a day, and it is said why.
    let none = models(&server);
    assert!(
        none["day"].is_null() && none["problem"].as_str().unwrap().contains("no day"),
        "{none}"
    );
    let said = server.refuses(&["score"], &[]);
    assert!(said.contains("nothing can be scored yet"), "{said}");
    server.says(&["submit"], &["--date", "2025-01-01"]);
    let until = Instant::now() + Duration::from_secs(30);
    while models(&server)["day"] != "2025-01-01" {
        assert!(Instant::now() < until, "{}", models(&server));
        std::thread::sleep(Duration::from_millis(100));
    }
    // A stream that is open meanwhile goes on with the later models.
    let mut open = Scoring::start(&server, &[]);
    let probe = r#"{"event_time": 1735000000, "user": "probe", "method": "GET", "host": "shop", "path": "/items/5"}"#;
    open.send(probe);
    let first = open.answer();
    assert_eq!(
        (&first["models_day"], &first["template"]),
        (&json!("2025-01-01"), &json!("/items/{n}")),
        "{first}"
    );
    // An invalid one is told why, and ends nothing.
    for (bad, why) in [
        (r#"{"user": "probe", "path": "/a"}"#, "time is missing"),
        (
            r#"{"event_time": 4102444800, "path": "/a"}"#,
            "ahead of the server's clock",
        ),
        ("{", "broken JSON"),
        (
            r#"{"event_time": 1, "path": "/a", "status": "many"}"#,
            "status",
        ),
    ] {
        open.send(bad);
        let answer = open.answer();
        assert!(answer["error"].as_str().unwrap().contains(why), "{answer}");
    }
    server.says(&["submit"], &["--date", "2025-01-02"]);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        open.send(probe);
        let answer = open.answer();
        if answer["models_day"] == "2025-01-02" {
            break;
        }
        assert!(
            answer["error"].is_null() && Instant::now() < until,
            "{answer}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(open.lines);
    assert!(open.child.wait().unwrap().success());

    // The half hour before, then the day, in the batch's order.
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE event_time >= TIMESTAMP '2025-01-01T23:30:00' ORDER BY event_time, hash"
    );
    let sent: Vec<String> = query(&warehouse, &sql)
        .iter()
        .map(Value::to_string)
        .collect();
    let batch = batch(&warehouse, "2025-01-02");
    assert!(
        batch.len() > 1000 && sent.len() > batch.len() + 50,
        "{} {}",
        batch.len(),
        sent.len()
    );
    let answers = Scoring::start(&server, &["--batch", "64"]).all(&sent);
    let of_day = &answers[sent.len() - batch.len()..];
    for (row, answer) in batch.iter().zip(of_day) {
        assert_eq!(answer["template"], row["template"], "{answer} {row}");
        for (detector, _) in DETECTORS {
            assert_eq!(
                score(&answer["scores"][detector]),
                score(&row[detector]),
                "{detector}: {answer} {row}"
            );
        }
    }
    // What the batch chose alerts, for the same reasons; more only where a score is the border's own.
    let chosen = query(
        &warehouse,
        "SELECT hash, detectors, reasons, CAST(iforest_score AS DOUBLE) AS iforest FROM anomalies WHERE day = DATE '2025-01-02'",
    );
    let by_hash: HashMap<&str, &Value> = batch
        .iter()
        .zip(of_day)
        .map(|(row, answer)| (row["hash"].as_str().unwrap(), answer))
        .collect();
    let mut alike = 0;
    for row in &chosen {
        let answer = by_hash[row["hash"].as_str().unwrap()];
        assert_eq!(score(&answer["scores"]["iforest"]), score(&row["iforest"]));
        let alerts = answer["detectors"].as_array().unwrap();
        for detector in row["detectors"].as_array().unwrap() {
            assert!(alerts.contains(detector), "{row} {answer}");
        }
        if answer["detectors"] == row["detectors"] {
            assert_eq!(answer["reasons"], row["reasons"]);
            alike += 1;
        }
    }
    let alerts = of_day.iter().filter(|a| a["alert"] == true).count();
    assert!(
        chosen.len() >= 20 && alike * 10 >= chosen.len() * 9,
        "{alike} of {}",
        chosen.len()
    );
    assert!(
        alerts >= chosen.len() && alerts <= chosen.len() + chosen.len() / 10,
        "{alerts} {}",
        chosen.len()
    );
    // What was sent again, as of one whose answer was lost, is answered alike and counts once.
    let last = Scoring::start(&server, &[]).all(&sent[sent.len() - 1..]);
    assert_eq!(last[0]["scores"], answers[sent.len() - 1]["scores"]);

    // The load generator says what became of each request that was due.
    let file = dir.write("sent.ndjson", sent.join("\n"));
    let load = ["--rate", "300", "--secs", "1", "--connections", "2"];
    let told = server.says(&["score-load", &file], &load);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["messages"], &told["failed"], &told["invalid"]),
        (&json!(300), &json!(0), &json!(0)),
        "{told}"
    );
    assert!(
        told["p99_ms"].as_f64().unwrap() >= told["p50_ms"].as_f64().unwrap(),
        "{told}"
    );

    // The table names what the windows were computed with.
    let kinds = "SELECT count(*) FROM models WHERE kind = 'templates'";
    assert_eq!(crate::support::number(&warehouse, kinds), 2);
    // Told to, a server keeps to an earlier day.
    let mut server = server;
    signal(&server.child, "-TERM");
    assert!(server.child.wait().unwrap().success());
    let pinned = Server::start(
        &dir,
        &[&api[..], &["--models-day", "2025-01-01"]].concat(),
        &[],
    );
    assert_eq!(models(&pinned)["day"], "2025-01-01");
}

#[test]
fn command_lines_get_the_scores_that_their_batch_gave_them() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "800"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--quota", "3%"]);
    let server = Server::start(
        &dir,
        &["--telemetry", &telemetry, "--warehouse", &warehouse],
        &[],
    );
    let sent = query(
        &warehouse,
        "SELECT command_line, image, parent_image, original_file_name, user_sid, integrity_level, signed, signer_trusted \
         FROM commands ORDER BY hash",
    );
    let lines: Vec<String> = sent.iter().map(Value::to_string).collect();
    let answers = Scoring::start(&server, &["--batch", "100"]).all(&lines);
    let by_line: HashMap<&str, &Value> = sent
        .iter()
        .zip(&answers)
        .map(|(row, answer)| (row["command_line"].as_str().unwrap(), answer))
        .collect();
    let chosen = query(
        &warehouse,
        "SELECT command_line, detectors, CAST(iforest_score AS DOUBLE) AS iforest, CAST(pca_error AS DOUBLE) AS pca, \
         CAST(kmeans_distance AS DOUBLE) AS kmeans FROM anomalies",
    );
    assert!(chosen.len() >= 10, "{}", chosen.len());
    for row in &chosen {
        let answer = by_line[row["command_line"].as_str().unwrap()];
        for detector in ["iforest", "pca", "kmeans"] {
            assert_eq!(
                score(&answer["scores"][detector]),
                score(&row[detector]),
                "{detector}"
            );
        }
        for detector in row["detectors"].as_array().unwrap() {
            assert!(answer["detectors"].as_array().unwrap().contains(detector));
        }
    }
    let alerts = answers.iter().filter(|a| a["alert"] == true).count();
    assert!(
        alerts >= chosen.len() && alerts < answers.len() / 4,
        "{alerts}"
    );
    // From a shell, in one line; blank lines are none.
    let bad = Scoring::start(&server, &["--alerts"]).all(&["{}".to_owned()]);
    assert!(bad[0]["error"].is_string(), "{}", bad[0]);
    // Without its models nothing is scored, and nothing falls over.
    let said = succeeds(&["score", "--models", "--server", &server.url]);
    assert!(
        said.contains("\"kind\":\"command\"") && said.contains("threshold"),
        "{said}"
    );
}
