//! Every `gleaner` command of the README runs, as written, but for its paths.

use std::process::Command;

use crate::support::Dir;

/// The lines of the README's shell blocks that begin with `gleaner`, continuations joined.
fn commands() -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let blocks = readme
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let joined: String = blocks.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let commands = joined
        .lines()
        .map(|l| l.split("  #").next().unwrap().trim().to_owned());
    commands.filter(|l| l.starts_with("gleaner ")).collect()
}

#[test]
fn every_gleaner_command_of_the_readme_runs() {
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    let dir = Dir::new();
    dir.synth("events", &["--lines", "2000"]);
    std::fs::copy(
        dir.path().join("events/day=2025-01-01/part-00000.parquet"),
        dir.path().join("commands.parquet"),
    )
    .unwrap();
    for command in commands {
        let here = dir.path().display().to_string();
        let script = format!(
            "gleaner() {{ '{}' gleaner -- \"$@\"; }}\n{}",
            env!("CARGO_BIN_EXE_gleaner-under-test"),
            command.replace("/data/", &format!("{here}/")),
        );
        let output = Command::new("sh")
            .arg("-c")
            .arg(&script)
            .current_dir(dir.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
    }
}
