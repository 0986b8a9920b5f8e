//! Sigma rules of the user's own, on a whole day and on labelled files.

use serde_json::Value;

use crate::labels_day::{flags, whole_day};
use crate::llm_server::{Script, Server};
use crate::support::{Dir, fails, number, query, succeeds};

const COPY: &str = r"
title: Copy to a share
id: 22222222-0000-4000-8000-000000000001
status: test
logsource: {category: process_creation, product: windows}
detection:
  selection:
    CommandLine|contains|windash: ' -mirror '
    ParentImage|endswith: '\explorer.exe'
  condition: selection
level: high
";

/// A day of which every line is benign by the built-in rules.
fn day(dir: &Dir) -> String {
    let lines: String = (0..40)
        .map(|n| {
            let host = format!("h{}", n % 8);
            let user = format!("u{}", n % 4);
            let event = |line: &str, image: &str, parent: &str| {
                let event = serde_json::json!({
                    "event_time": "2025-01-01T10:00:00Z", "command_line": line, "host": host, "user": user, "os": "windows",
                    "image": image, "parent_image": parent,
                });
                format!("{event}\n")
            };
            let system = r"C:\Windows\System32";
            event(r"C:\Windows\System32\spoolsv.exe", &format!(r"{system}\spoolsv.exe"), r"C:\Windows\System32\services.exe")
                + &event("gpupdate.exe /target:computer", &format!(r"{system}\gpupdate.exe"), r"C:\Windows\System32\svchost.exe")
        })
        .collect();
    dir.write("day/lines.ndjson", lines)
}

fn run(telemetry: &str, warehouse: &str, more: &[&str]) -> (bool, String) {
    let output = whole_day(telemetry, warehouse).args(more).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&both).into_owned(),
    )
}

#[test]
fn a_hit_keeps_a_line_out_of_the_day_and_other_rules_compute_its_labels_again() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (day(&dir), dir.join("warehouse"));
    let (ran, said) = run(&telemetry, &warehouse, &[]);
    assert!(ran, "{said}");
    let benign = number(&warehouse, "SELECT count(*) FROM benign");
    assert!(
        benign >= 2,
        "of {:?}",
        query(
            &warehouse,
            "SELECT command_line, verdict, reason FROM labels"
        )
    );

    // A rule that hits nothing changes no label, but is part of what the day rests on.
    dir.write("rules/windows/copy.yml", COPY);
    let rules = dir.join("rules");
    let (ran, said) = run(&telemetry, &warehouse, &["--sigma", &rules]);
    assert!(
        ran && said.contains("Sigma: 1 rules") && !said.contains("up to date"),
        "{said}"
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM benign"), benign);
    let (ran, said) = run(&telemetry, &warehouse, &["--sigma", &rules]);
    assert!(ran && said.contains("up to date"), "{said}");

    // One that hits a benign line: the line goes, and its label names the rule.
    let gpupdate = COPY
        .replace(
            "CommandLine|contains|windash: ' -mirror '",
            "Image|endswith: '\\gpupdate.exe'",
        )
        .replace("explorer", "svchost");
    dir.write("rules/windows/copy.yml", gpupdate);
    let (ran, said) = run(&telemetry, &warehouse, &["--sigma", &rules]);
    assert!(ran && !said.contains("up to date"), "{said}");
    assert_eq!(
        number(&warehouse, "SELECT count(*) FROM benign"),
        benign - 1
    );
    let label = query(
        &warehouse,
        "SELECT verdict, labeller, rules, reason FROM labels WHERE command_line = 'gpupdate.exe /target:computer'",
    );
    assert_eq!(
        (
            &label[0]["verdict"],
            &label[0]["labeller"],
            &label[0]["rules"][0]
        ),
        (
            &"suspicious".into(),
            &"sigma".into(),
            &"sigma:22222222-0000-4000-8000-000000000001".into()
        )
    );
    assert!(
        label[0]["reason"]
            .as_str()
            .unwrap()
            .contains("Copy to a share"),
        "{label:?}"
    );
    let counts = query(&warehouse, "SELECT counts FROM runs WHERE stage = 'labels'");
    let counts: Value = serde_json::from_str(counts[0]["counts"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&counts["sigma"], &counts["sigma_rules"]),
        (&1.into(), &1.into())
    );

    // Without the rules the line is back.
    let (ran, _) = run(&telemetry, &warehouse, &[]);
    assert!(ran);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM benign"), benign);

    // What cannot be used stops the run, and is named.
    dir.write("rules/bad.yml", "title: x\n");
    let (ran, said) = run(&telemetry, &warehouse, &["--sigma", &rules]);
    assert!(
        !ran && said.contains("bad.yml") && said.contains("mend"),
        "{said}"
    );
}

#[test]
fn what_a_rule_vetoes_is_not_sent_and_a_low_hit_is_named_beside_the_models_label() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (day(&dir), dir.join("warehouse"));
    let rule = |name: &str, level: &str, word: &str| {
        let text = format!(
            "title: {name}\nlogsource: {{category: process_creation}}\ndetection: {{s: {{CommandLine|contains: {word}}}, condition: s}}\nlevel: {level}\n"
        );
        dir.write(&format!("rules/{name}.yml"), text);
    };
    rule("spool", "high", "spoolsv");
    rule("policy", "low", "gpupdate");
    let server = Server::start(Script::default());
    let mut args = flags(&server);
    args.extend(["--sigma".to_owned(), dir.join("rules")]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (ran, said) = run(&telemetry, &warehouse, &args);
    assert!(ran, "{said}");
    let wire = server.wire();
    assert!(!wire.contains("spoolsv") && wire.contains("gpupdate"));
    let labels = query(
        &warehouse,
        "SELECT verdict, labeller, rules FROM labels ORDER BY command_line DESC",
    );
    assert_eq!(
        (
            &labels[0]["verdict"],
            &labels[0]["labeller"],
            &labels[0]["rules"][0]
        ),
        (&"benign".into(), &"llm".into(), &"sigma:policy.yml".into()),
        "{labels:?}"
    );
    assert_eq!(
        (
            &labels[1]["verdict"],
            &labels[1]["labeller"],
            &labels[1]["rules"][0]
        ),
        (
            &"suspicious".into(),
            &"sigma".into(),
            &"sigma:spool.yml".into()
        ),
        "{labels:?}"
    );
}

#[test]
fn labelled_files_are_looked_at_by_sigma_rules_too() {
    let dir = Dir::new();
    let file = dir.write(
        "labelled.csv",
        "command_line,label\nwhoami,benign\nhostname,benign\n",
    );
    let emitted = |more: &[&str]| {
        let said = succeeds(&[&["evaluate", "labels", &file, "--json"], more].concat());
        serde_json::from_str::<Value>(said.trim()).unwrap()["benign_emitted"]
            .as_u64()
            .unwrap()
    };
    let rule = "title: Host\nlogsource: {category: process_creation}\ndetection: {s: {CommandLine: 'hostname'}, condition: s}\nlevel: low\n";
    dir.write("rules/host.yml", rule);
    let rules = dir.join("rules");
    let (without, with) = (emitted(&[]), emitted(&["--sigma", &rules]));
    assert!(without >= 1 && with + 1 == without, "{without} {with}");
    assert!(fails(&["evaluate", "labels", &file, "--sigma", &dir.join("none")]).contains("none"));
}
