//! A day of requests, killed at each stage; what it reads of the day before, damaged; logs that come late.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api_day::requests;
use crate::faults::{fault, fired};
use crate::support::{Dir, fails, number, program, query, succeeds, tree};

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-02";

/// Runs a day, which must succeed; what it said of each stage.
fn run_day(telemetry: &str, warehouse: &str, day: &str) -> Vec<Value> {
    let said = succeeds(&[&args(telemetry, warehouse, day)[..], &["--json"]].concat());
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn args<'a>(telemetry: &'a str, warehouse: &'a str, day: &'a str) -> [&'a str; 9] {
    [
        "run",
        "--kind",
        "api",
        "--date",
        day,
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ]
}

fn is_unchanged(said: &[Value], stage: &str) -> bool {
    let of = said.iter().find(|s| s["stage"] == stage);
    of.unwrap_or_else(|| panic!("no stage {stage}: {said:?}"))["unchanged"] == true
}

/// The digests of all stages.
fn digests(warehouse: &str) -> Vec<Value> {
    query(
        warehouse,
        "SELECT day, stage, rows_in, rows_kept, digest, fingerprint FROM runs ORDER BY day, stage",
    )
}

/// The bytes of each file of the tables of data, by table, day, bucket and fingerprint, whatever else its name holds.
fn bytes(warehouse: &str) -> Vec<(String, String)> {
    let tables = ["requests", "windows", "anomalies", "incidents"];
    let mut out = vec![];
    for table in tables {
        let root = Path::new(warehouse).join(table);
        for path in tree(&root) {
            if path.extension().is_some_and(|e| e == "parquet") {
                let name = path.to_string_lossy().into_owned();
                let (named, _) = name.rsplit_once('-').unwrap();
                let hash = Sha256::digest(std::fs::read(root.join(&path)).unwrap());
                out.push((format!("{table}/{named}"), STANDARD.encode(hash)));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Each run dies one step further than the one before it, and goes on where that ended.
#[test]
fn a_driver_that_is_killed_at_each_stage_and_resumed_leaves_the_same_bytes() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", requests());
    let (calm, stormy) = (dir.join("calm"), dir.join("stormy"));
    run_day(&telemetry, &calm, FIRST);
    run_day(&telemetry, &calm, SECOND);
    run_day(&telemetry, &stormy, FIRST);
    let points = [
        "write.batch:events/",
        "stage.finished:telemetry",
        "stage.finished:requests",
        "write.done:carry/",
        "write.finish:calls/",
        "write.done:endpoints/",
        "stage.finished:windows",
        "stage.finished:models",
        "write.batch:scores/",
        "stage.finished:anomalies",
        "stage.finished:incidents",
        "publish.before",
        "publish.noted",
        "publish.runs",
    ];
    let before = digests(&stormy);
    let mut finished = 0;
    for point in points {
        let died = Dir::new();
        let output = program("gleaner")
            .arg("--")
            .args(args(&telemetry, &stormy, SECOND))
            .arg("--json")
            .envs(fault(&died, &format!("{point}=kill"), 1))
            .output()
            .unwrap();
        assert_eq!(fired(&died).len(), 1, "{point}: nobody died");
        assert!(!output.status.success(), "{point}");
        // What earlier runs finished, this one found.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = said.lines().filter(|l| l.contains("\"unchanged\":true"));
        assert_eq!(found.count(), finished, "{point}: {said}");
        finished += match point {
            // Two stages go together: what the first stages, the second reads.
            "stage.finished:requests" => 2,
            _ if point.starts_with("stage.finished:") && point != "stage.finished:telemetry" => 1,
            _ => 0,
        };
        // A reader sees the day before, until the day's accounts are committed.
        if point != "publish.runs" {
            assert_eq!(digests(&stormy), before, "{point}: half a day is seen");
        }
    }
    let said = run_day(&telemetry, &stormy, SECOND);
    assert!(said.iter().all(|s| s["unchanged"] == true), "{said:?}");
    assert_eq!(digests(&stormy), digests(&calm));
    assert_eq!(bytes(&stormy), bytes(&calm));
    assert!(tree(&dir.path().join("stormy/_publish")).is_empty());
}

#[test]
fn a_damaged_file_of_the_day_before_is_named_with_what_to_do() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", requests());
    let warehouse = dir.join("warehouse");
    run_day(&telemetry, &warehouse, FIRST);
    let files = tree(&dir.path().join("warehouse/requests"));
    let of_day = files
        .iter()
        .find(|f| f.to_string_lossy().ends_with(".parquet"));
    let file = dir.path().join("warehouse/requests").join(of_day.unwrap());
    let whole = std::fs::read(&file).unwrap();
    let says = |what: &str| {
        let said = fails(&args(&telemetry, &warehouse, SECOND));
        for part in [
            what,
            &of_day.unwrap().to_string_lossy(),
            "run 2025-01-01 again, then 2025-01-02",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(
            number(
                &warehouse,
                "SELECT count(*) FROM runs WHERE day = DATE '2025-01-02'"
            ),
            0
        );
    };
    // Bytes of its pages are others: their checksums tell.
    let mut other = whole.clone();
    let data = 4..whole.len() / 2;
    for byte in other[data].iter_mut().step_by(97) {
        *byte ^= 0xff;
    }
    std::fs::write(&file, other).unwrap();
    says("damaged");
    std::fs::write(&file, &whole[..whole.len() / 3]).unwrap();
    says("bytes instead of");
    std::fs::remove_file(&file).unwrap();
    says("it is not there");

    // As it was told.
    run_day(&telemetry, &warehouse, FIRST);
    run_day(&telemetry, &warehouse, SECOND);
    let calm = dir.join("calm");
    run_day(&telemetry, &calm, FIRST);
    run_day(&telemetry, &calm, SECOND);
    assert_eq!(digests(&warehouse), digests(&calm));
}

#[test]
fn a_log_that_comes_late_has_what_follows_run_again_and_no_more() {
    let dir = Dir::new();
    dir.write("logs/requests.ndjson", requests());
    let (telemetry, warehouse) = (dir.join("logs"), dir.join("warehouse"));
    run_day(&telemetry, &warehouse, FIRST);
    run_day(&telemetry, &warehouse, SECOND);
    let before = digests(&warehouse);
    let late = r#"{"event_time":"2025-01-01T23:58:30Z","user":"ana","client_ip":"10.0.0.1","method":"GET","host":"shop","path":"/orders/5","status":200}"#;
    dir.write("logs/late.ndjson", format!("{late}\n"));
    let said = run_day(&telemetry, &warehouse, FIRST);
    for stage in ["telemetry", "requests", "windows", "models", "anomalies"] {
        assert!(!is_unchanged(&said, stage), "{stage}: {said:?}");
    }
    // The next day's own requests are what they were; its first windows are others, and all that is made of them.
    let said = run_day(&telemetry, &warehouse, SECOND);
    assert!(!is_unchanged(&said, "windows"), "{said:?}");
    assert!(is_unchanged_rows(&before, &warehouse, "requests"));
    assert!(!is_unchanged_rows(&before, &warehouse, "windows"));
    // As if it had been there from the beginning.
    let fresh = dir.join("fresh");
    run_day(&telemetry, &fresh, FIRST);
    run_day(&telemetry, &fresh, SECOND);
    assert_eq!(digests(&warehouse), digests(&fresh));
    // And nothing is left to do.
    for day in [FIRST, SECOND] {
        let said = run_day(&telemetry, &warehouse, day);
        assert!(said.iter().all(|s| s["unchanged"] == true), "{said:?}");
    }
}

/// Whether the second day's stage has the digest that it had.
fn is_unchanged_rows(before: &[Value], warehouse: &str, stage: &str) -> bool {
    let of = |rows: &[Value]| {
        let found = rows
            .iter()
            .find(|r| r["day"] == SECOND && r["stage"] == stage);
        found.unwrap()["digest"].clone()
    };
    of(before) == of(&digests(warehouse))
}
