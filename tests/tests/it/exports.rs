//! `gleaner export` as its users see it: what other programs read of it, what is in it and what is not, and that it is there whole or not at all. The readers want the
//! Python packages of `tests/exports/requirements.txt`, in the interpreter that `GLEANER_PYTHON` names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::readme;
use crate::support::{Dir, fails, query, run, skip, succeeds, tree};

/// Lines that break what is careless with them.
const HOSTILE: [&str; 12] = [
    "=cmd|'/c calc'!A0",
    "echo \"a,b\";\r\necho 'c' \"\"d\"\"",
    "first\nsecond\n\n```\n# heading\n---\nlicense: mit\n```` x",
    "</script><img src=x onerror=alert(1)> {{7*7}} ${x} | cell",
    "  blanks at both ends \t",
    "NA",
    "0123",
    "echo \u{202e}txt.exe \u{200b} é 汉字 🦀",
    "a\\b\\\"c\\",
    "\"",
    "'; DROP TABLE benign; --",
    "printf 'x\u{7}\u{1b}[2J'",
];

pub fn python(what: &str) -> Option<OsString> {
    let Some(python) = std::env::var_os("GLEANER_PYTHON") else {
        skip(&format!("{what}: GLEANER_PYTHON names no interpreter"));
        return None;
    };
    let packages = "import importlib.util as u; assert all(u.find_spec(p) for p in ('datasets', 'pandas', 'xgboost', 'sklearn', 'duckdb', 'onnxruntime'))";
    let found = Command::new(&python).args(["-c", packages]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skip(&format!(
        "{what}: no packages of tests/exports/requirements.txt beside GLEANER_PYTHON"
    ));
    None
}

/// Runs a script, which must succeed; returns what it said.
pub fn script(python: &OsString, name: &str, args: &[&str]) -> String {
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}\n{err}");
    said
}

pub fn csv(rows: &[(String, &str)]) -> String {
    let line =
        |(line, label): &(String, &str)| format!("\"{}\",{label}\r\n", line.replace('"', "\"\""));
    let lines: String = rows.iter().map(line).collect();
    format!("command_line,label\r\n{lines}")
}

/// Two days with benign lines, and a baseline with hostile ones.
fn warehouse(dir: &Dir) -> (String, String) {
    let telemetry = dir.synth("telemetry", &["--lines", "4000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let flags = "--to 2025-01-02 --quota 20% --min-hosts 1 --min-users 1";
    run(
        &telemetry,
        &warehouse,
        &flags.split(' ').collect::<Vec<_>>(),
    );
    let rows = HOSTILE.iter().enumerate();
    let rows: Vec<(String, &str)> = rows
        .map(|(n, line)| {
            let label = if n % 2 == 0 { "malicious" } else { "benign" };
            ((*line).to_owned(), label)
        })
        .collect();
    (warehouse, dir.write("baseline.csv", csv(&rows)))
}

fn export(warehouse: &str, out: &str, flags: &[&str]) -> Value {
    let common = ["export", "--warehouse", warehouse, "--out", out, "--json"];
    serde_json::from_str(&succeeds(&[&common, flags].concat())).unwrap()
}

fn bytes(directory: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(directory);
    let files = tree(root).into_iter();
    files
        .map(|path| {
            let bytes = std::fs::read(root.join(&path)).unwrap();
            (path, bytes)
        })
        .collect()
}

#[test]
fn python_duckdb_pandas_datasets_scikit_learn_and_xgboost_read_the_same_lines() {
    let dir = Dir::new();
    let (warehouse, baseline) = warehouse(&dir);
    for format in ["parquet", "csv", "hf", "libsvm"] {
        let out = dir.join(format);
        let flags = ["--format", format, "--baseline", &baseline];
        let said = export(&warehouse, &out, &flags);
        assert!(said["rows"]["train"].as_u64().unwrap() > 12, "{said}");
        // The same warehouse and flags, the same bytes.
        let again = dir.join("again");
        export(&warehouse, &again, &[&flags[..], &["--overwrite"]].concat());
        assert_eq!(bytes(&out), bytes(&again), "{format}");
    }
    // What it holds: the baseline in its order, then what the warehouse emitted, by day and hash.
    let train = dir.join("parquet/train.parquet");
    let held = query(
        &warehouse,
        &format!("SELECT command_line, label, label_source FROM '{train}'"),
    );
    let emitted = query(
        &warehouse,
        "SELECT command_line FROM benign ORDER BY day, hash",
    );
    assert_eq!(held.len(), HOSTILE.len() + emitted.len());
    for (row, line) in held.iter().zip(HOSTILE) {
        assert!(row["command_line"] == line && row["label_source"] == "baseline");
    }
    for (row, line) in held.iter().skip(HOSTILE.len()).zip(&emitted) {
        assert!(row["command_line"] == line["command_line"] && row["label"] == "benign");
    }
    // What the baseline has is not added again, least of all where it says otherwise; what a test has is not trained on.
    let line = |n: usize| emitted[n]["command_line"].as_str().unwrap().to_owned();
    let twice = dir.write(
        "twice.csv",
        csv(&[(line(0), "malicious"), (line(1), "benign")]),
    );
    let test = dir.write(
        "test.csv",
        csv(&[(line(2), "benign"), ("whoami /all".to_owned(), "malicious")]),
    );
    let flags = [
        "--format",
        "csv",
        "--overwrite",
        "--baseline",
        &twice,
        "--test",
        &test,
    ];
    let said = export(&warehouse, &dir.join("again"), &flags);
    let left = &said["left_out"];
    assert!(
        left["contradicted"] == 1 && left["known"] == 1 && left["exact"] == 1,
        "{left}"
    );
    assert_eq!(said["rows"]["test"], 2);
    let mut expected: Vec<String> = held.iter().map(Value::to_string).collect();
    expected.push(String::new());
    let expected = expected.join("\n");
    let expected = dir.write("expected.ndjson", expected);
    let Some(python) = python("readers of exports") else {
        return;
    };
    let here = dir.path().to_string_lossy().into_owned();
    let said = script(&python, "exports/exports.py", &["lines", &here, &expected]);
    for reader in [
        "pyarrow",
        "csv",
        "pandas",
        "duckdb",
        "datasets",
        "scikit-learn",
        "xgboost",
    ] {
        assert!(said.contains(&format!("{reader}: ")), "{said}");
    }
}

#[test]
fn the_card_says_what_is_in_the_set_and_no_line_breaks_it() {
    let dir = Dir::new();
    let (warehouse, baseline) = warehouse(&dir);
    let out = dir.join("set");
    let flags = "--format hf --test-from 2025-01-02 --shard-rows 10 --license cc-by-4.0";
    let mut flags: Vec<&str> = flags.split(' ').collect();
    flags.extend(["--name", "Fleet: <b>\"one\"</b>", "--baseline", &baseline]);
    let said = export(&warehouse, &out, &flags);
    let card = std::fs::read_to_string(dir.path().join("set/README.md")).unwrap();
    let (_, rest) = card.split_once("---\n").unwrap();
    let (front, text) = rest.split_once("\n---\n").unwrap();
    let front: Value = serde_norway::from_str(front).unwrap();
    assert_eq!(front["license"], "cc-by-4.0");
    assert_eq!(front["pretty_name"], "Fleet: <b>\"one\"</b>");
    let splits = front["dataset_info"]["splits"].as_array().unwrap();
    let rows: Vec<u64> = splits
        .iter()
        .map(|s| s["num_examples"].as_u64().unwrap())
        .collect();
    assert_eq!(
        rows,
        [
            said["rows"]["train"].as_u64().unwrap(),
            said["rows"]["test"].as_u64().unwrap()
        ]
    );
    assert!(!text.contains("<b>") && text.contains("\\<b\\>"));
    // Every line of markup is ours: the hostile lines stand in fences.
    assert!(!text.contains("\n# heading\n") || text.contains("`````text\nfirst"));
    assert!(text.contains("not measured"));
    // The days apart: a test of the second day, parts of ten rows.
    let counted = |split: &str, day: &str| said["counts"][split]["day"][day].as_u64();
    assert!(counted("train", "2025-01-01") > Some(0) && counted("test", "2025-01-02") > Some(0));
    assert!(counted("train", "2025-01-02").is_none() && counted("test", "2025-01-01").is_none());
    let parts = rows[0].div_ceil(10);
    let last = format!("set/data/train-{:05}-of-{parts:05}.parquet", parts - 1);
    assert!(parts > 1 && dir.path().join(last).is_file());
    // Without a licence none is made up.
    let none = dir.join("none");
    export(&warehouse, &none, &["--format", "hf"]);
    let card = std::fs::read_to_string(Path::new(&none).join("README.md")).unwrap();
    assert!(card.contains("license: \"unknown\"") && card.contains("unknown: fill in"));
}

#[test]
fn secrets_and_names_are_cut_on_demand_and_cells_are_inert_on_demand() {
    let dir = Dir::new();
    let secret = "hunter2Zq9xKv81LmPw";
    let rows = [
        (
            format!("mysql -u root -p{secret} --password={secret} db"),
            "benign",
        ),
        (
            format!("curl -H 'Authorization: Bearer {secret}{secret}' https://x"),
            "malicious",
        ),
        ("=HYPERLINK(\"http://x\")".to_owned(), "malicious"),
        (
            "powershell -enc $$$not-base64$$$ [Convert]::FromBase64String('\u{1}')".to_owned(),
            "malicious",
        ),
    ];
    let baseline = dir.write("baseline.csv", csv(&rows));
    let key = dir.write("key", "0a".repeat(32));
    let out = dir.join("out");
    let flags = [
        "export",
        "--format",
        "csv",
        "--baseline",
        &baseline,
        "--out",
        &out,
    ];
    let said = fails(&[&flags[..], &["--redact"]].concat());
    assert!(said.contains("--pseudonym-key"), "{said}");
    succeeds(
        &[
            &flags[..],
            &["--redact", "--spreadsheet", "--pseudonym-key", &key],
        ]
        .concat(),
    );
    for (path, bytes) in bytes(&out) {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(secret), "{}", path.display());
        if path == Path::new("train.csv") {
            assert!(text.contains("<secret:") && text.contains("\"'=HYPERLINK("));
            assert!(!text.contains("\"hash\"") && !text.contains("\"user\""));
        }
    }
    // As it ran, where nobody asks for less.
    let plain = dir.join("plain");
    succeeds(&[
        "export",
        "--format",
        "csv",
        "--baseline",
        &baseline,
        "--out",
        &plain,
    ]);
    let text = std::fs::read_to_string(Path::new(&plain).join("train.csv")).unwrap();
    assert!(text.contains(secret) && text.contains("\"=HYPERLINK("));
}

#[test]
fn what_cannot_be_exported_says_why_and_leaves_nothing() {
    let dir = Dir::new();
    let baseline = dir.write(
        "baseline.csv",
        "command_line,label\nls,benign\nwhoami,malicious\n",
    );
    let wrong = dir.write("wrong.csv", "command_line,label\nls,perhaps\n");
    let home = dir.join("home");
    dir.write("home/thesis.txt", "years");
    let out = dir.join("new/out");
    for (flags, why) in [
        (vec!["--format", "hf"], "nothing to export"),
        (vec!["--format", "onnx"], "--classifier"),
        (vec!["--format", "csv", "--baseline", &wrong], "row 1"),
        (
            vec![
                "--format",
                "csv",
                "--baseline",
                &baseline,
                "--shard-rows",
                "5",
            ],
            "--shard-rows",
        ),
        (
            vec![
                "--format",
                "libsvm",
                "--baseline",
                &baseline,
                "--classifier",
                &baseline,
            ],
            "evaluate lift --save",
        ),
    ] {
        let said = fails(&[&["export", "--out", &out][..], &flags].concat());
        assert!(said.contains(why), "{flags:?}: {said}");
    }
    let said = fails(&[
        "export",
        "--format",
        "csv",
        "--baseline",
        &baseline,
        "--overwrite",
        "--out",
        &home,
    ]);
    assert!(said.contains("left alone"), "{said}");
    assert_eq!(
        tree(dir.path()).len(),
        3,
        "nothing is left of what failed: {:?}",
        tree(dir.path())
    );
    let file = dir.join("one.csv");
    succeeds(&[
        "export",
        "--format",
        "csv",
        "--baseline",
        &baseline,
        "--out",
        &file,
    ]);
    assert!(std::fs::read_to_string(&file).unwrap().lines().count() == 3);
    let said = fails(&[
        "export",
        "--format",
        "csv",
        "--baseline",
        &baseline,
        "--out",
        &file,
    ]);
    assert!(said.contains("--overwrite"), "{said}");
}

#[test]
fn every_command_of_the_readme_that_exports_runs() {
    let commands = readme::commands_of(include_str!("../../../README.md"), "sh export");
    assert!(commands.len() >= 7, "{commands:?}");
    let dir = Dir::new();
    warehouse(&dir);
    crate::exports_models::classes(&dir);
    readme::run(&commands, &dir, &[], &[]);
    for made in [
        "benign.parquet",
        "set/README.md",
        "training/test.csv",
        "rows/test.libsvm",
    ] {
        assert!(dir.path().join(made).is_file(), "{made}");
    }
}
