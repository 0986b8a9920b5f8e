//! Recorded events and labelled commands, where they are at hand: `GLEANER_DATA`, or `../shared/data`.

use std::path::PathBuf;

use crate::support::{Dir, number, run, skip, succeeds};

fn data() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("GLEANER_DATA").map_or(beside, PathBuf::from);
    path.join("commands_benign.parquet")
        .is_file()
        .then_some(path)
}

#[test]
fn no_malicious_command_comes_out_benign() {
    let Some(data) = data() else {
        return skip("no labelled commands: set GLEANER_DATA");
    };
    let dir = Dir::new();
    let file = |name: &str| data.join(name).to_string_lossy().into_owned();
    // All three files as one day; the source stands for the host, so that a template's prevalence means something.
    let one_day = |name: &str, label: &str, source: &str| {
        let out = dir.join(&format!("day/{name}.parquet"));
        std::fs::create_dir_all(dir.path().join("day")).unwrap();
        let sql = format!(
            "COPY (SELECT TIMESTAMP '2025-01-01 12:00:00' AS event_time, command_line, {source} AS host, {source} AS \"user\" \
             FROM '{}' WHERE {label}) TO '{out}' STORED AS PARQUET",
            file(name)
        );
        succeeds(&["sql", &sql]);
    };
    one_day(
        "commands_benign.parquet",
        "true",
        "split_part(source, ':', 1)",
    );
    one_day(
        "commands_malicious.parquet",
        "NOT ambiguous",
        "split_part(source, ':', 1)",
    );
    let warehouse = dir.join("warehouse");
    // Every line is an anomaly, and prevalence is no obstacle: the rules stand alone.
    run(
        &dir.join("day"),
        &warehouse,
        &[
            "--quota",
            "100%",
            "--min-hosts",
            "0",
            "--min-users",
            "0",
            "--cosine",
            "1",
        ],
    );
    let lines = number(&warehouse, "SELECT count(*) FROM commands");
    assert_eq!(number(&warehouse, "SELECT count(*) FROM anomalies"), lines);
    let malicious = format!(
        "SELECT command_line FROM '{}' WHERE NOT ambiguous",
        file("commands_malicious.parquet")
    );
    let bought = format!("SELECT count(*) FROM benign WHERE command_line IN ({malicious})");
    assert_eq!(number(&warehouse, &bought), 0);
    assert!(number(&warehouse, "SELECT count(*) FROM benign") > 2000);
}

#[test]
fn recorded_events_run_on_their_own_day() {
    let Some(data) = data() else {
        return skip("no recorded events: set GLEANER_DATA");
    };
    let dir = Dir::new();
    let events = data
        .join("process_events.parquet")
        .to_string_lossy()
        .into_owned();
    let warehouse = dir.join("warehouse");
    let sql = format!(
        "SELECT CAST(date_trunc('day', event_time) AS DATE) AS d FROM '{events}' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    );
    let day: serde_json::Value =
        serde_json::from_str(succeeds(&["sql", "--json", &sql]).trim()).unwrap();
    let day = day["d"].as_str().unwrap();
    succeeds(&[
        "run",
        "--date",
        day,
        "--telemetry",
        &events,
        "--warehouse",
        &warehouse,
        "--quota",
        "20%",
    ]);
    let read = number(&warehouse, "SELECT sum(rows_read) FROM telemetry");
    assert_eq!(
        read,
        number(
            &warehouse,
            "SELECT sum(rows_kept + rows_quarantined + rows_other_day) FROM telemetry"
        )
    );
    assert_eq!(read, 4928);
    let bought = format!(
        "SELECT count(*) FROM benign WHERE command_line IN (SELECT command_line FROM '{events}' WHERE label = 'malicious' AND NOT ambiguous)"
    );
    assert_eq!(number(&warehouse, &bought), 0);
}
