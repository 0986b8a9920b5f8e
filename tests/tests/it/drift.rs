//! `gleaner run --models`: an earlier day's models, used or not.

use crate::support::{Dir, digest, number, query, run, says, succeeds};

/// A second day from the first one's telemetry: its lines and more, of the same kind or of another.
fn second_day(dir: &Dir, telemetry: &str, line: &str) {
    let out = dir.join("telemetry/day=2025-01-02/more.parquet");
    std::fs::create_dir_all(dir.path().join("telemetry/day=2025-01-02")).unwrap();
    let sql = format!(
        "COPY (SELECT * REPLACE (event_time + INTERVAL '1 day' AS event_time, {line} AS command_line) \
         FROM '{telemetry}/day=2025-01-01/part-00000.parquet') TO '{out}' STORED AS PARQUET"
    );
    succeeds(&["sql", &sql]);
}

fn later(telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let common = [
        "run",
        "--date",
        "2025-01-02",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    says(&[&common, args].concat())
}

fn models(warehouse: &str, day: &str) -> Vec<serde_json::Value> {
    let sql = format!(
        "SELECT kind, sha256 FROM models WHERE day = DATE '{day}' AND kind <> 'frequencies' ORDER BY kind"
    );
    query(warehouse, &sql)
}

/// Another day of the same fleet, of another size.
#[test]
fn an_ordinary_next_day_has_not_drifted() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "9000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let args = ["--to", "2025-01-02", "--models", "refit-if-drifted"];
    run(&telemetry, &warehouse, &args);
    let moved = query(
        &warehouse,
        "SELECT kind, name, psi FROM drift WHERE drifted",
    );
    assert!(moved.is_empty(), "{moved:?}");
    let first = models(&warehouse, "2025-01-01");
    assert_eq!(models(&warehouse, "2025-01-02"), first);
}

#[test]
fn a_day_like_the_one_before_reuses_its_models_and_a_rerun_changes_nothing() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000"]);
    second_day(&dir, &telemetry, "command_line");
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--models", "refit-if-drifted"]);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM drift"), 0);
    let said = later(&telemetry, &warehouse, &["--models", "refit-if-drifted"]);
    assert!(!said.contains("drifted from"), "{said}");
    let first = models(&warehouse, "2025-01-01");
    assert_eq!(first.len(), 4);
    assert_eq!(models(&warehouse, "2025-01-02"), first);
    // Every detector and every feature is measured, and none has moved.
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE kind = 'score'"
        ),
        3
    );
    assert!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE kind = 'feature'"
        ) > 90
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE drifted OR models <> 'reused'"
        ),
        0
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE trained_on = DATE '2025-01-01'"
        ),
        number(&warehouse, "SELECT count(*) FROM drift")
    );
    let before = digest(&warehouse, "2025-01-02");
    let said = later(&telemetry, &warehouse, &["--models", "refit-if-drifted"]);
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(digest(&warehouse, "2025-01-02"), before);
    // Today's own models are the default, and another answer.
    later(&telemetry, &warehouse, &[]);
    let own = models(&warehouse, "2025-01-02");
    assert!(own.len() == 4 && number(&warehouse, "SELECT count(*) FROM drift") == 0);
}

#[test]
fn a_day_that_drifted_says_so_and_is_fitted_anew_or_not_as_asked() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000"]);
    // Every line three times as long, and full of pipes.
    second_day(
        &dir,
        &telemetry,
        "concat(command_line, ' | ', command_line, ' | ', command_line)",
    );
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &[]);
    let first = models(&warehouse, "2025-01-01");
    let said = later(
        &telemetry,
        &warehouse,
        &["--models", "reuse", "--through", "anomalies"],
    );
    assert!(
        said.contains("drifted from 2025-01-01") && said.contains("used all the same"),
        "{said}"
    );
    assert_eq!(models(&warehouse, "2025-01-02"), first);
    assert!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE drifted AND models = 'reused'"
        ) > 5
    );
    let moved = "SELECT count(*) FROM drift WHERE drifted AND name = 'pipe_count'";
    assert_eq!(number(&warehouse, moved), 1);

    let args = ["--models", "refit-if-drifted", "--through", "anomalies"];
    let said = later(&telemetry, &warehouse, &args);
    assert!(
        said.contains("drifted from 2025-01-01") && said.contains("fitted anew"),
        "{said}"
    );
    let own = models(&warehouse, "2025-01-02");
    assert!(
        own.iter()
            .zip(&first)
            .all(|(own, first)| own["sha256"] != first["sha256"])
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM drift WHERE models = 'reused'"
        ),
        0
    );
    assert!(later(&telemetry, &warehouse, &args).contains("up to date"));
}

#[test]
fn reused_models_give_the_same_day_however_it_was_cut() {
    let dir = Dir::new();
    let mut digests = vec![];
    for (name, cut, slots) in [("one", "100000", "1"), ("many", "700", "4")] {
        let args = ["--lines", "5000", "--days", "2", "--rows-per-file", cut];
        let telemetry = dir.synth(name, &args);
        let warehouse = dir.join(&format!("warehouse-{name}"));
        let flags = ["--to", "2025-01-02", "--models", "reuse", "--slots", slots];
        run(&telemetry, &warehouse, &flags);
        assert_eq!(
            models(&warehouse, "2025-01-02"),
            models(&warehouse, "2025-01-01")
        );
        let rows = "SELECT hash, iforest_score, pca_error, kmeans_distance, reasons FROM anomalies ORDER BY day, hash";
        let drift = "SELECT kind, name, psi FROM drift ORDER BY kind, name";
        digests.push((
            models(&warehouse, "2025-01-02"),
            query(&warehouse, rows),
            query(&warehouse, drift),
        ));
    }
    assert!(!digests[0].1.is_empty() && digests[0] == digests[1]);
}

#[test]
fn models_that_are_missing_are_named() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "models"]);
    let path = query(&warehouse, "SELECT path FROM models WHERE kind = 'pca'");
    let path = dir
        .path()
        .join("warehouse")
        .join(path[0]["path"].as_str().unwrap());
    std::fs::remove_file(path).unwrap();
    let args = [
        "run",
        "--date",
        "2025-01-02",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
        "--models",
        "reuse",
    ];
    let said = crate::support::fails(&args);
    assert!(
        said.contains("pca of 2025-01-01") && said.contains("--models refit"),
        "{said}"
    );
}
