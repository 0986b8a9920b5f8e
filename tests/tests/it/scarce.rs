//! Too little disk, too little memory: a named error before anything is published, never a wrong answer.

use std::process::Command;

use crate::support::{Dir, digest, program, query, run};

const DAY: &str = "2025-01-01";

/// A real full disk: a small tmpfs in a mount namespace of its own, which takes root.
#[test]
fn a_full_disk_is_an_error_and_a_rerun_gives_the_day() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "30000"]);
    let disk = dir.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "set -u; mount -t tmpfs -o size=2m tmpfs '{disk}' || exit 77\n\
         day() {{ '{program}' gleaner -- run --date {DAY} --telemetry '{telemetry}' --warehouse '{disk}/w'; }}\n\
         day; echo first=$?\n\
         '{program}' gleaner -- sql --json --warehouse '{disk}/w' 'SELECT count(*) AS n FROM runs'\n\
         mount -o remount,size=300m '{disk}'; day; echo second=$?\n\
         '{program}' gleaner -- status --json --warehouse '{disk}/w'",
        program = env!("CARGO_BIN_EXE_gleaner-under-test"),
    );
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output();
    let Ok(output) = output else {
        println!("SKIPPED: no unshare here");
        return;
    };
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if !out.contains("first=") {
        println!("SKIPPED: no mount namespace for us here: {err}");
        return;
    }
    assert!(out.contains("first=2"), "{out}\n{err}");
    assert!(err.contains("No space left on device"), "{err}");
    // Nothing is published: no warehouse, or one without a day.
    assert!(
        err.contains("is not a warehouse") || out.contains("{\"n\":0}"),
        "{out}\n{err}"
    );
    assert!(out.contains("second=0"), "{out}\n{err}");
    let alone = dir.join("alone");
    run(&telemetry, &alone, &[]);
    assert!(out.contains(&digest(&alone, DAY)), "{out}\n{err}");
}

#[test]
fn with_little_memory_a_day_spills_or_says_so() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "60000"]);
    let (plenty, little) = (dir.join("plenty"), dir.join("little"));
    run(&telemetry, &plenty, &[]);
    let common = [
        "--",
        "run",
        "--date",
        DAY,
        "--telemetry",
        &telemetry,
        "--warehouse",
        &little,
        "--slots",
        "4",
    ];
    let output = program("gleaner")
        .args([&common[..], &["--memory", "0.0625"]].concat())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        assert!(
            said.contains("emory") || said.contains("Resources exhausted"),
            "{said}"
        );
        println!("said: {said}");
        if std::path::Path::new(&little).join("gleaner.json").exists() {
            assert!(query(&little, "SELECT * FROM runs").is_empty());
        }
        run(&telemetry, &little, &[]);
    }
    assert_eq!(digest(&little, DAY), digest(&plenty, DAY));
}
