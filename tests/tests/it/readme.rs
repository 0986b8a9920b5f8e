//! Every `gleaner` command of the README runs, as written, but for its paths.

use std::process::Command;

use crate::embedders::Python;
use crate::processes::{free_port, listening};
use crate::support::Dir;

/// The lines of the README's shell blocks that begin with `gleaner`, continuations joined. Blocks that want more than a built program carry a word
/// after `sh`.
fn commands(block: &str) -> Vec<String> {
    commands_of(include_str!("../../../README.md"), block)
}

/// [`commands`], of another document.
pub fn commands_of(document: &str, block: &str) -> Vec<String> {
    let begins = format!("```{block}\n");
    let blocks = document
        .split(&begins)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let joined: String = blocks.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let commands = joined
        .lines()
        .map(|l| l.split("  #").next().unwrap().trim().to_owned());
    commands.filter(|l| l.starts_with("gleaner ")).collect()
}

/// Telemetry of a day in `events`, and a file of commands.
pub fn data() -> Dir {
    let dir = Dir::new();
    dir.synth("events", &["--lines", "2000"]);
    std::fs::copy(
        dir.path().join("events/day=2025-01-01/part-00000.parquet"),
        dir.path().join("commands.parquet"),
    )
    .unwrap();
    let rule = "title: x\nlogsource: {category: process_creation}\ndetection: {s: {CommandLine|contains: mimikatz}, condition: s}\n";
    dir.write("sigma/rule.yml", rule);
    dir
}

/// Runs commands as a shell would, one after the other, with paths of this machine.
pub fn run(commands: &[String], dir: &Dir, paths: &[(&str, &str)], env: &[(&str, &str)]) {
    let here = format!("{}/", dir.path().display());
    for command in commands {
        let mut replaced = command.replace("/data/", &here);
        for (path, ours) in paths {
            replaced = replaced.replace(path, ours);
        }
        let script = format!(
            "gleaner() {{ '{}' gleaner -- \"$@\"; }}\n{replaced}",
            env!("CARGO_BIN_EXE_gleaner-under-test"),
        );
        let output = Command::new("sh")
            .arg("-c")
            .arg(&script)
            .current_dir(dir.path())
            .envs(env.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
    }
}

#[test]
fn every_gleaner_command_of_the_readme_runs() {
    let commands = commands("sh");
    assert!(commands.len() >= 7, "{commands:?}");
    run(&commands, &data(), &[], &[]);
}

#[test]
fn every_command_of_the_readme_with_an_embedder_runs_by_minilm() {
    let Some(python) = Python::find("the README's embedder") else {
        return;
    };
    let commands = commands("sh embedder");
    assert!(
        commands.len() >= 4 && commands.iter().any(|c| c.starts_with("gleaner run")),
        "{commands:?}"
    );
    let model = python.encoder(&["minilm"]).display().to_string();
    let runtime = [("GLEANER_ONNXRUNTIME", python.runtime.as_str())];
    run(&commands, &data(), &[("/models/minilm", &model)], &runtime);
}

#[test]
fn every_command_of_the_readme_with_a_server_runs() {
    let commands = commands("sh serve");
    let at = commands.iter().position(|c| c.ends_with('&')).unwrap();
    assert!(at == 2 && commands.len() >= 9, "{commands:?}");
    let dir = Dir::new();
    run(&commands[..at], &dir, &[], &[]);
    let here = format!("{}/", dir.path().display());
    let address = format!("127.0.0.1:{}", free_port());
    let serve = commands[at].trim_end_matches('&').replace("/data/", &here);
    let flags = serve.trim_start_matches("gleaner serve");
    let program = env!("CARGO_BIN_EXE_gleaner-under-test");
    let script = format!("exec '{program}' gleaner -- serve --listen {address} {flags}");
    let mut server = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    listening(address.parse().unwrap(), &mut server);
    let url = format!("http://{address}");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/examples/");
    let paths = [
        ("http://127.0.0.1:50060", url.as_str()),
        ("jobs/examples/", examples),
    ];
    let env = [("GLEANER_SERVER", url.as_str())];
    let result = std::panic::catch_unwind(|| run(&commands[at + 1..], &dir, &paths, &env));
    let _ = server.kill();
    let _ = server.wait();
    assert!(result.is_ok(), "a command of the README failed: see above");
}
