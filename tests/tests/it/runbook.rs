//! The runbook's commands run, its alerts are right, and what alerts and the dashboard ask for is told.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::observe::until;
use crate::processes::{Cluster, Setup, free_port, listening};
use crate::readme::{commands_of, data, run};
use crate::support::{Dir, program, skip};

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/gleaner.json");

#[test]
fn every_gleaner_command_of_the_runbook_runs() {
    let commands = commands_of(RUNBOOK, "sh");
    assert!(commands.len() >= 12, "{commands:?}");
    let dir = data();
    let address = format!("127.0.0.1:{}", free_port());
    let mut server = program("gleaner")
        .args([
            "--",
            "serve",
            "--listen",
            &address,
            "--warehouse",
            &dir.join("warehouse"),
        ])
        .args(["--telemetry", &dir.join("events")])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    listening(address.parse().unwrap(), &mut server);
    let url = format!("http://{address}");
    let result =
        std::panic::catch_unwind(|| run(&commands, &dir, &[], &[("GLEANER_SERVER", url.as_str())]));
    let _ = server.kill();
    let _ = server.wait();
    assert!(result.is_ok(), "a command of the runbook failed: see above");
}

/// The heading's anchor, as it is made on the web.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || *c == '-')
        .collect()
}

#[test]
fn alerts_are_right_by_promtool_and_each_has_its_section_of_the_runbook() {
    let anchors: BTreeSet<String> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(anchor)
        .collect();
    let mut alerts = 0;
    for line in ALERTS.lines() {
        if let Some(section) = line.trim().strip_prefix("runbook: docs/runbook.md#") {
            assert!(
                anchors.contains(section),
                "no section {section} among {anchors:?}"
            );
            alerts += 1;
        }
    }
    assert_eq!(alerts, ALERTS.matches("- alert:").count());
    let tests = include_str!("../../../deploy/prometheus/tests.yaml");
    for alert in ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "{alert} has no test"
        );
    }
    if Command::new("promtool").arg("--version").output().is_err() {
        return skip("alert rules: promtool, of Debian's package prometheus, is not in the path");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    for args in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "tests.yaml"],
    ] {
        let output = Command::new("promtool")
            .args(args)
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text
        .split(|c| !word(c))
        .filter(|w| w.starts_with("gleaner_") || w.starts_with("process_"));
    words.map(ToOwned::to_owned).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_the_programs_tell() {
    let dir = Dir::new();
    let [scheduler, executor, serve, listen] =
        [(); 4].map(|()| format!("127.0.0.1:{}", free_port()));
    let setup = Setup {
        executors: 0,
        executor_args: vec!["--metrics".to_owned(), executor.clone()],
        env: vec![("GLEANER_METRICS".to_owned(), scheduler.clone())],
        ..Setup::default()
    };
    let mut cluster = Cluster::start(&dir, setup);
    cluster.setup.env.clear();
    cluster.add_executor();
    let mut server = program("gleaner")
        .args(["--", "serve", "--listen", &listen, "--metrics", &serve])
        .args([
            "--warehouse",
            &dir.join("warehouse"),
            "--telemetry",
            &dir.join("events"),
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    listening(listen.parse().unwrap(), &mut server);
    let texts = [scheduler, executor, serve].map(|at| until(at.parse().unwrap(), "/metrics", 200));
    let _ = server.kill();
    let _ = server.wait();
    let mut told = BTreeSet::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let mut words = line.strip_prefix("# TYPE ").unwrap_or_default().split(' ');
        let (Some(name), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        told.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<&str> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(queries.len() >= 15, "{}", queries.len());
    let rules = ALERTS
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let expressions = rules.collect::<Vec<_>>().join("\n");
    for text in queries.into_iter().chain([expressions.as_str()]) {
        let asked = named(text);
        assert!(!asked.is_empty(), "{text}");
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(
            unknown.is_empty(),
            "nobody tells {unknown:?}: {text}\n{told:?}"
        );
    }
}
