//! What tests share: running the command, reading its warehouse.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program under test.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner-under-test"));
    command.arg(name);
    let ours = |name: &str| name.starts_with("AWS_") || name.starts_with("GLEANER_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name) || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// Runs `gleaner ARGS`.
pub fn gleaner(args: &[&str]) -> Output {
    program("gleaner").arg("--").args(args).output().unwrap()
}

/// Runs `gleaner ARGS`, which must succeed; returns its standard output.
pub fn succeeds(args: &[&str]) -> String {
    let output = gleaner(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "gleaner {args:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

/// Runs the program, which must succeed; returns what it wrote to both outputs.
pub fn says(args: &[&str]) -> String {
    let output = gleaner(args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Runs `gleaner ARGS`, which must fail with code 2; returns its standard error.
pub fn fails(args: &[&str]) -> String {
    let output = gleaner(args);
    let err = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(2),
        "gleaner {args:?}: {}\n{}\n{err}",
        output.status,
        text(&output.stdout)
    );
    err
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A test's directory.
pub struct Dir(tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The name of something in it.
    pub fn join(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Makes telemetry in it with `gleaner synth`.
    pub fn synth(&self, name: &str, args: &[&str]) -> String {
        let out = self.join(name);
        succeeds(&[&["synth", &out], args].concat());
        out
    }
}

/// Runs one day of `telemetry` into `warehouse`, with more flags.
pub fn run(telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let common = [
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    succeeds(&[&common, args].concat())
}

/// The rows of a query over a warehouse.
pub fn query(warehouse: &str, sql: &str) -> Vec<Value> {
    let out = succeeds(&["sql", "--json", "--warehouse", warehouse, sql]);
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The one number of a query's one row.
pub fn number(warehouse: &str, sql: &str) -> i64 {
    let rows = query(warehouse, sql);
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .as_i64()
        .unwrap()
}

/// What `gleaner status --json` says of a day.
pub fn status(warehouse: &str, day: &str) -> Value {
    let out = succeeds(&["status", "--json", "--warehouse", warehouse]);
    let days: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    days.into_iter().find(|d| d["date"] == day).unwrap()
}

/// The digest of a day.
pub fn digest(warehouse: &str, day: &str) -> String {
    status(warehouse, day)["digest"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Every file below a directory, relative, sorted.
pub fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Says loudly that a test is skipped; an error where CI demands that none is.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("GLEANER_NO_SKIP").is_none(),
        "skipped although GLEANER_NO_SKIP is set: {why}"
    );
    println!("SKIPPED: {why}");
    eprintln!("SKIPPED: {why}");
}
