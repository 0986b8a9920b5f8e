//! Others read the benign table: `DuckDB`, Polars and Spark see the same rows. Needs the Python packages of
//! `tests/readers/requirements.txt`, in the interpreter that `GLEANER_PYTHON` names.

use std::path::Path;
use std::process::Command;

use crate::support::{Dir, number, run, skip, succeeds};

#[test]
fn duckdb_polars_and_spark_see_the_same_rows() {
    let Some(python) = std::env::var_os("GLEANER_PYTHON") else {
        return skip("DuckDB, Polars and Spark: GLEANER_PYTHON names no interpreter");
    };
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let flags = [
        "--to",
        "2025-01-02",
        "--quota",
        "20%",
        "--min-hosts",
        "1",
        "--min-users",
        "1",
    ];
    run(&telemetry, &warehouse, &flags);
    // A day that was replaced: its old files are still there, and no longer of the table.
    run(
        &telemetry,
        &warehouse,
        &["--quota", "30%", "--min-hosts", "1", "--min-users", "1"],
    );
    assert!(number(&warehouse, "SELECT count(*) FROM benign") > 0);
    let rows = succeeds(&[
        "sql",
        "--json",
        "--warehouse",
        &warehouse,
        "SELECT * FROM benign ORDER BY day, hash",
    ]);
    let expected = dir.write("expected.ndjson", rows);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/readers.py");
    let output = Command::new(python)
        .arg(script)
        .args([&warehouse, &expected])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for reader in ["duckdb", "polars", "spark"] {
        assert!(said.to_lowercase().contains(reader), "{said}");
    }
}
