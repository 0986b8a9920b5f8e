//! Bad input gets a named error and exit code 2, and nothing is written.

use crate::support::{Dir, fails, run, succeeds, tree};

const EVENT: &str =
    "{\"event_time\":\"2025-01-01T10:00:00Z\",\"command_line\":\"whoami\",\"host\":\"h\"}\n";

/// Runs a day that must fail; returns what it said. The warehouse must not exist afterwards.
fn refused(dir: &Dir, telemetry: &str, args: &[&str]) -> String {
    let warehouse = dir.join("warehouse");
    let common = [
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        telemetry,
        "--warehouse",
        &warehouse,
    ];
    let said = fails(&[&common, args].concat());
    assert!(
        !dir.path().join("warehouse").exists(),
        "{:?}",
        tree(&dir.path().join("warehouse"))
    );
    said
}

#[test]
fn no_such_path() {
    let dir = Dir::new();
    let said = refused(&dir, &dir.join("missing"), &[]);
    assert!(
        said.contains("no telemetry at") && said.contains("no such file or directory"),
        "{said}"
    );
}

#[test]
fn a_directory_without_telemetry() {
    let dir = Dir::new();
    dir.write("telemetry/readme.txt", "nothing");
    let said = refused(&dir, &dir.join("telemetry"), &[]);
    assert!(said.contains(".parquet, .ndjson"), "{said}");
}

#[test]
fn a_date_with_no_rows() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT.replace("2025", "2024"));
    let said = refused(&dir, &telemetry, &[]);
    assert!(
        said.contains("no event on 2025-01-01 (UTC) in 1 rows of 1 files")
            && said.contains("other days"),
        "{said}"
    );
}

#[test]
fn a_day_of_rows_without_a_time_says_what_to_do() {
    let dir = Dir::new();
    let telemetry = dir.write(
        "t.ndjson",
        "{\"command_line\":\"whoami\",\"host\":\"h\",\"user\":\"u\"}\n",
    );
    let said = refused(&dir, &telemetry, &[]);
    assert!(
        said.contains("missing_event_time") && said.contains("--undated day"),
        "{said}"
    );
    run(&telemetry, &dir.join("warehouse"), &["--undated", "day"]);
}

#[test]
fn an_unknown_schema() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT);
    let said = refused(&dir, &telemetry, &["--schema", "syslog"]);
    assert!(
        said.contains("unknown schema \"syslog\": expected one of native, ocsf"),
        "{said}"
    );
}

#[test]
fn contradictory_or_impossible_flags() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT);
    for (flags, expected) in [
        (&["--to", "2024-12-31"][..], "is before --date"),
        (
            &["--undated", "day", "--to", "2025-01-02"],
            "contradicts --to",
        ),
        (
            &["--min-days", "9", "--window-days", "7"],
            "contradicts --window-days",
        ),
        (&["--cosine", "1.5"], "--cosine 1.5"),
        (
            &["--quota", "200%"],
            "expected a count (500) or a share (0.5%)",
        ),
        (&["--quota", "forest=1%"], "unknown detector"),
        (&["--through", "profit"], "unknown stage"),
        (
            &["--cluster", "http://127.0.0.1:1"],
            "expected df://host:port",
        ),
        (&["--memory", "0"], "--memory"),
        (&["--slots", "0"], "--slots"),
    ] {
        let said = refused(&dir, &telemetry, flags);
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}

#[test]
fn a_warehouse_made_by_a_newer_version() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT);
    dir.write("newer/gleaner.json", "{\"format\":99}");
    let newer = dir.join("newer");
    for args in [
        &[
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
            "--warehouse",
            &newer,
        ][..],
        &["status", "--warehouse", &newer],
        &["sql", "--warehouse", &newer, "SELECT 1"],
    ] {
        let said = fails(args);
        assert!(
            said.contains("has format 99, this gleaner knows up to 2"),
            "{said}"
        );
    }
    assert_eq!(tree(&dir.path().join("newer")).len(), 1);
}

#[test]
fn a_directory_of_something_else_is_no_warehouse() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT);
    dir.write("photos/cat.jpg", "meow");
    let said = fails(&[
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &dir.join("photos"),
    ]);
    assert!(
        said.contains("is not a warehouse: it holds other files"),
        "{said}"
    );
    let said = fails(&["status", "--warehouse", &dir.join("nowhere")]);
    assert!(said.contains("there is no such directory"), "{said}");
}

#[test]
fn a_wrong_statement_is_told_and_changes_nothing() {
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    run(&dir.write("t.ndjson", EVENT), &warehouse, &[]);
    let said = fails(&[
        "sql",
        "--warehouse",
        &warehouse,
        "SELECT nothing FROM commands",
    ]);
    assert!(said.contains("nothing"), "{said}");
    let said = fails(&[
        "sql",
        "--warehouse",
        &warehouse,
        "SELECT pca_error('text', 'x')",
    ]);
    assert!(
        said.contains("pca_error") && said.contains("vector"),
        "{said}"
    );
    let said = fails(&[
        "sql",
        "--warehouse",
        &warehouse,
        "SELECT iforest_score(cmd_features('a'), 'file:///none/0')",
    ]);
    assert!(said.contains("file:///none/0"), "{said}");
}

#[test]
fn synth_does_not_write_over_what_is_there() {
    let dir = Dir::new();
    dir.write("out/file", "mine");
    let out = dir.join("out");
    let said = fails(&["synth", &out, "--lines", "100"]);
    assert!(
        said.contains("not empty") && said.contains("--force"),
        "{said}"
    );
    succeeds(&["synth", &out, "--lines", "100", "--force"]);
}

#[test]
fn an_error_holds_no_command_line() {
    let dir = Dir::new();
    let secret = "hunter2-secret-token";
    let line = format!(
        "{{\"event_time\":\"2024-01-01T10:00:00Z\",\"command_line\":\"net use /user:x {secret}\"}}\n"
    );
    let telemetry = dir.write(
        "t.ndjson",
        line + "{\"command_line\": hunter2-secret-token\n",
    );
    let said = refused(&dir, &telemetry, &[]);
    assert!(!said.contains(secret), "{said}");
}

#[test]
fn an_empty_day_takes_nothing_from_a_warehouse_that_is_there() {
    let dir = Dir::new();
    let telemetry = dir.write("t.ndjson", EVENT);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &[]);
    let before = tree(&dir.path().join("warehouse"));
    let args = [
        "run",
        "--date",
        "2024-05-05",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
    ];
    assert!(fails(&args).contains("no event on 2024-05-05"));
    assert_eq!(tree(&dir.path().join("warehouse")), before);
    // Nor an empty directory that was there before, nor what others put there meanwhile.
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    dir.write("mine/later.txt", "mine");
    assert!(
        fails(&[
            "run",
            "--date",
            "2024-05-05",
            "--telemetry",
            &telemetry,
            "--warehouse",
            &dir.join("mine")
        ])
        .contains("is not a warehouse")
    );
    assert!(dir.path().join("mine/later.txt").is_file());
}

#[test]
fn a_warehouse_is_no_telemetry_and_a_link_back_up_is_not_followed() {
    let dir = Dir::new();
    dir.write("in/t.ndjson", EVENT);
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("in"), dir.path().join("in/self")).unwrap();
    let warehouse = dir.join("in/warehouse");
    run(&dir.join("in"), &warehouse, &[]);
    let said = run(&dir.join("in"), &warehouse, &[]);
    assert!(said.contains("up to date"), "{said}");
    let files = crate::support::number(&warehouse, "SELECT count(*) FROM telemetry");
    let events = crate::support::number(&warehouse, "SELECT sum(events) FROM commands");
    assert_eq!((files, events), (1, 1));
}

#[test]
fn sql_does_not_write_to_a_warehouse() {
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    run(
        &dir.write("t.ndjson", EVENT),
        &warehouse,
        &["--through", "commands"],
    );
    let before = tree(&dir.path().join("warehouse"));
    let said = fails(&[
        "sql",
        "--warehouse",
        &warehouse,
        "INSERT INTO commands SELECT * FROM commands",
    ]);
    assert!(said.contains("`gleaner run` alone"), "{said}");
    // A table without a commit is there, and empty.
    succeeds(&[
        "sql",
        "--warehouse",
        &warehouse,
        "SELECT count(*) FROM benign",
    ]);
    assert_eq!(tree(&dir.path().join("warehouse")), before);
}
