//! A day labelled by batch whose driver is killed, at every point where money or a submission could be lost.

use std::path::Path;

use crate::labels_day::{flags, whole_day};
use crate::llm_server::{Script, Server};
use crate::support::{Dir, number, query};

fn run(
    telemetry: &str,
    warehouse: &str,
    server: Option<&Server>,
    fault: Option<(&str, &str)>,
) -> (bool, String) {
    let mut command = whole_day(telemetry, warehouse);
    match server {
        Some(server) => {
            let batch = ["--llm-batch", "--llm-has-batch", "--llm-poll", "0.02"];
            command.args(flags(server)).args(batch);
        }
        None => {
            command.args(["--through", "candidates"]);
        }
    }
    if let Some((fault, marks)) = fault {
        command
            .env("GLEANER_FAULT", fault)
            .env("GLEANER_FAULT_FIRED", marks);
    }
    let output = command.output().unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What was paid for, and what is known of each line: neither depends on who died.
fn outcome(warehouse: &str, server: &Server) -> (u64, usize, i64, Vec<serde_json::Value>) {
    let batches = server.seen.lock().unwrap().batches.len();
    let twice = "SELECT count(*) FROM (SELECT call, key, kind, count(*) AS n FROM answers GROUP BY 1, 2, 3 HAVING count(*) > 1)";
    assert_eq!(number(warehouse, twice), 0, "answers kept twice");
    let answered = number(
        warehouse,
        "SELECT count(*) FROM answers WHERE kind = 'line'",
    );
    let labels = query(
        warehouse,
        "SELECT hash, verdict, labeller, unlabelled, first_verdict, second_verdict, intent FROM labels ORDER BY hash",
    );
    (server.calls(), batches, answered, labels)
}

#[test]
fn a_run_that_is_killed_around_its_batches_pays_once_and_submits_once() {
    let dir = Dir::new();
    let lines = (0..120).map(|n| {
        let word = ["evil", "sync", "sync", "odd"][n % 4];
        format!("{{\"event_time\":\"2025-01-01T10:00:00Z\",\"command_line\":\"tool{n}x.exe /{word} group{n}\",\"host\":\"h{}\",\"user\":\"u{}\"}}\n", n % 7, n % 5)
    });
    let telemetry = dir.write("day/lines.ndjson", lines.collect::<String>());
    let prepared = dir.join("prepared");
    let (ran, said) = run(&telemetry, &prepared, None, None);
    assert!(ran, "{said}");

    let whole = dir.join("whole");
    copy(Path::new(&prepared), Path::new(&whole));
    let server = Server::start(Script::default());
    let (ran, said) = run(&telemetry, &whole, Some(&server), None);
    assert!(ran, "{said}");
    let expected = outcome(&whole, &server);
    let cost = |said: &str| {
        said.lines()
            .filter(|l| l.contains(" USD,"))
            .map(str::to_owned)
            .collect::<String>()
    };
    println!(
        "never killed: {} calls, {} batches, {} answers; {}",
        expected.0,
        expected.1,
        expected.2,
        cost(&said)
    );
    assert_eq!(expected.1, 2, "a pass, a batch");
    assert!(expected.2 >= 120);

    for fault in [
        "labels.submitted@1=kill",
        "labels.submitted@2=kill",
        "labels.polled@1=kill",
        "labels.polled@2=kill",
        "labels.fetched@1=kill",
        "labels.fetched@2=kill",
        "labels.answered@3=kill",
    ] {
        let name = fault.replace(['@', '='], "-");
        let (warehouse, marks) = (dir.join(&name), dir.join(&format!("{name}.fired")));
        copy(Path::new(&prepared), Path::new(&warehouse));
        let server = Server::start(Script::default());
        let (ran, _) = run(&telemetry, &warehouse, Some(&server), Some((fault, &marks)));
        assert!(
            !ran && Path::new(&format!("{marks}.0")).exists(),
            "{fault} did not happen"
        );
        let submitted = server.seen.lock().unwrap().batches.len();
        assert!(submitted >= 1, "{fault}");
        let (ran, said) = run(&telemetry, &warehouse, Some(&server), None);
        assert!(ran, "{fault}: {said}");
        assert_eq!(outcome(&warehouse, &server), expected, "{fault}");
        // Nothing is left that a third run would take for open.
        assert!(
            !Path::new(&warehouse)
                .join("_batches")
                .read_dir()
                .is_ok_and(|mut d| d.next().is_some()),
            "{fault}"
        );
        let spent = query(
            &warehouse,
            "SELECT round(sum(cost_usd), 9) AS usd FROM answers",
        )[0]["usd"]
            .clone();
        let once =
            query(&whole, "SELECT round(sum(cost_usd), 9) AS usd FROM answers")[0]["usd"].clone();
        println!("{fault}: {spent} USD of answers, {once} where nobody died");
    }
}
