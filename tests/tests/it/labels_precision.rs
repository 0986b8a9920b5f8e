//! How right a labelled day is said to be, and where the key of its pseudonyms is.

use serde_json::Value;

use crate::labels_day::{flags, whole_day};
use crate::llm_server::{Mode, Script, Server};
use crate::support::{Dir, number, query, status, succeeds};

fn telemetry(dir: &Dir) -> String {
    let lines = (0..160_u8).map(|n| {
        let word = ["evil", "sync", "sync", "odd", "sync"][usize::from(n % 5)];
        let letters = format!("{}{}", char::from(b'a' + n / 13), char::from(b'b' + n % 13));
        let event = serde_json::json!({
            "event_time": "2025-01-01T10:00:00Z", "command_line": format!("tool-{letters}.exe /{word} \\\\files\\home\\dana.smith\\{letters} -u dana.smith"),
            "host": format!("h{}", n % 7), "user": "dana.smith",
        });
        format!("{event}\n")
    });
    dir.write("day/lines.ndjson", lines.collect::<String>())
}

fn run(
    telemetry: &str,
    warehouse: &str,
    server: &Server,
    more: &[&str],
    key: Option<&str>,
) -> (bool, String) {
    let mut command = whole_day(telemetry, warehouse);
    command.args(flags(server)).args(more);
    if let Some(key) = key {
        command.env("KEY_OF_THE_TEST", key);
    }
    let output = command.output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn close(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|v| (v - expected).abs() < 1e-9)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn status_and_audit_tell_error_prevalence_and_recall_apart() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir), dir.join("warehouse"));
    let (ran, said) = run(
        &telemetry,
        &warehouse,
        &Server::start(Script::default()),
        &[],
        None,
    );
    assert!(ran, "{said}");
    let sets = status(&warehouse, "2025-01-01")["precision"].clone();
    let set = &sets[0];
    assert_eq!(
        (
            sets.as_array().map(Vec::len),
            &set["model"],
            &set["prevalence_by"]
        ),
        (Some(1), &"fake-1-2026".into(), &"verdicts".into())
    );
    // Recomputed from the tables, the plain way.
    let canaries = |what: &str| {
        number(
            &warehouse,
            &format!(
                "SELECT count(*) FROM answers WHERE kind NOT IN ('line', 'attempt') AND {what}"
            ),
        )
    };
    let (malicious, alike) = (
        canaries("kind <> 'look-alike'"),
        canaries("kind = 'look-alike'"),
    );
    assert!(malicious >= 20 && alike >= 3, "{malicious} {alike}");
    assert_eq!(
        (&set["error"]["of"], &set["error"]["count"]),
        (&malicious.into(), &0.into())
    );
    assert_eq!(set["recall"]["of"], alike);
    assert!(
        close(
            &set["error"]["high"],
            1.0 - 0.025_f64.powf(1.0 / malicious as f64)
        ),
        "{set}"
    );
    let verdicts = |what: &str| {
        number(
            &warehouse,
            &format!("SELECT count(*) FROM labels WHERE labeller = 'llm' AND {what}"),
        ) as f64
    };
    assert!(
        close(
            &set["prevalence"]["share"],
            verdicts("verdict IN ('malicious', 'suspicious')") / verdicts("TRUE")
        ),
        "{set}"
    );
    assert!(close(&set["precision"], 1.0));
    let low = set["precision_low"].as_f64().unwrap();
    assert!(
        low > 0.2 && low < 0.99,
        "so few canaries bound little: {set}"
    );
    let said = succeeds(&["status", "--warehouse", &warehouse]);
    assert!(
        said.contains("precision of what fake-1-2026 called benign") && said.contains("circular"),
        "{said}"
    );

    // Analysts find a tenth of the benign sample malicious: π is theirs now, weighted.
    let out = dir.join("audit");
    let drawn = succeeds(&[
        "labels",
        "audit",
        "--sample",
        "100",
        "--out",
        &out,
        "--warehouse",
        &warehouse,
    ]);
    assert!(drawn.contains("e malicious canaries"), "{drawn}");
    let verdicts = dir.join("verdicts.csv");
    let judge = format!(
        "COPY (SELECT hash, stratum, CASE WHEN stratum = 'benign' AND row_number() OVER (PARTITION BY stratum ORDER BY hash) % 10 = 0 THEN 'malicious' \
         ELSE label END AS verdict, 'ann' AS analyst FROM '{out}.parquet') TO '{verdicts}' STORED AS CSV OPTIONS ('format.has_header' 'true')"
    );
    succeeds(&["sql", "--warehouse", &warehouse, &judge]);
    let said = succeeds(&["labels", "import", &verdicts, "--warehouse", &warehouse]);
    assert!(said.contains("by analysts' verdicts"), "{said}");
    let set = status(&warehouse, "2025-01-01")["precision"][0].clone();
    let expected = query(
        &warehouse,
        "SELECT sum(share * size) / sum(size) AS pi FROM (
            SELECT label, avg(CASE WHEN r.verdict IN ('malicious', 'suspicious') THEN 1.0 ELSE 0.0 END) AS share FROM reviews r GROUP BY label
         ) s JOIN (SELECT verdict, count(*) AS size FROM labels WHERE labeller = 'llm' GROUP BY verdict) l ON s.label = l.verdict",
    );
    assert_eq!(set["prevalence_by"], "reviews");
    assert!(
        close(
            &set["prevalence"]["share"],
            expected[0]["pi"].as_f64().unwrap()
        ),
        "{set} {expected:?}"
    );
}

#[test]
fn a_model_that_misses_canaries_is_said_to_be_less_precise() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir), dir.join("warehouse"));
    let server = Server::start(Script {
        mode: Mode::Gullible,
        ..Script::default()
    });
    let (ran, said) = run(&telemetry, &warehouse, &server, &[], None);
    assert!(ran, "{said}");
    // All of its batches are rejected: nothing is labelled, so that no set has a precision.
    let sets = status(&warehouse, "2025-01-01")["precision"].clone();
    assert_eq!(sets, Value::Array(vec![]), "{sets}");
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM labels WHERE verdict = 'benign'"
        ),
        0
    );
}

#[test]
fn the_key_of_pseudonyms_stays_out_of_the_warehouse_when_it_is_named() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir), dir.join("warehouse"));
    let key = "0123456789abcdef".repeat(4);
    let named = ["--pseudonym-key", "env:KEY_OF_THE_TEST"];
    let server = Server::start(Script::default());
    let (ran, said) = run(&telemetry, &warehouse, &server, &named, Some(&key));
    assert!(ran, "{said}");
    let pseudonyms = |server: &Server| {
        let wire = server.wire();
        assert!(!wire.contains("dana.smith") && !wire.contains(&key[..16]));
        let mut found: Vec<String> = wire
            .match_indices("<user:")
            .map(|(at, _)| wire[at..at + 15].to_owned())
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let first = pseudonyms(&server);
    assert!(!first.is_empty());
    for file in crate::support::tree(dir.path())
        .iter()
        .filter(|p| p.is_file())
    {
        let bytes = std::fs::read(file).unwrap();
        assert!(
            !bytes
                .windows(16)
                .any(|w| w == &key.as_bytes()[..16] || w == hex(&key[..32])),
            "the key is in {}",
            file.display()
        );
    }
    let calls = server.calls();
    // Another key, or none, is no way to name people twice and to pay twice.
    let (ran, said) = run(
        &telemetry,
        &warehouse,
        &server,
        &named,
        Some(&"ab".repeat(32)),
    );
    assert!(!ran && said.contains("not the key"), "{said}");
    let (ran, said) = run(&telemetry, &warehouse, &server, &[], None);
    assert!(!ran && said.contains("--pseudonym-key"), "{said}");
    assert_eq!(server.calls(), calls);
    let (ran, said) = run(&telemetry, &warehouse, &server, &named, Some("short"));
    assert!(
        !ran && said.contains("openssl rand -hex 32") && !said.contains("short"),
        "{said}"
    );
    // The same key on another warehouse gives the same names.
    let other = Server::start(Script::default());
    let (ran, _) = run(&telemetry, &dir.join("second"), &other, &named, Some(&key));
    assert!(ran);
    assert_eq!(pseudonyms(&other), first);
}

fn hex(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn the_doctor_says_where_the_key_of_pseudonyms_is() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir), dir.join("warehouse"));
    let said = succeeds(&["doctor", "--warehouse", &warehouse]);
    assert!(!said.contains("pseudonyms"), "{said}");
    let (ran, said) = run(
        &telemetry,
        &warehouse,
        &Server::start(Script::default()),
        &[],
        None,
    );
    assert!(ran, "{said}");
    let said = succeeds(&["doctor", "--warehouse", &warehouse]);
    assert!(
        said.contains("unencrypted in the warehouse") && said.contains("--pseudonym-key"),
        "{said}"
    );
    // Moved out, it is the same key.
    let (from, to) = (
        format!("{warehouse}/_labels/pseudonyms.key"),
        dir.join("key"),
    );
    std::fs::copy(&from, &to).unwrap();
    let server = Server::start(Script::default());
    let (ran, said) = run(
        &telemetry,
        &warehouse,
        &server,
        &["--pseudonym-key", &to],
        None,
    );
    assert!(ran && server.calls() == 0, "{said}");
    std::fs::remove_file(from).unwrap();
    let said = succeeds(&["doctor", "--warehouse", &warehouse, "--pseudonym-key", &to]);
    assert!(
        said.contains("holds a key") && !said.contains("unencrypted"),
        "{said}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = succeeds(&["doctor", "--warehouse", &warehouse, "--pseudonym-key", &to]);
        assert!(said.contains("chmod 600"), "{said}");
    }
}
