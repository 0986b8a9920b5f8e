//! Lines that are labelled already: a budget of labels passes over them and their like.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, digest, fails, number, query, run, succeeds};

const QUOTA: [&str; 2] = ["--quota", "10%"];

/// What became of the lines that near-dedup keeps: text, template, how it was chosen, why it was not kept.
fn told(warehouse: &str) -> Vec<[String; 4]> {
    let sql = "SELECT command_line, template, chosen_by, covered_how FROM candidates WHERE covered_by IS NULL ORDER BY hash";
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or("").to_owned();
    let columns = ["command_line", "template", "chosen_by", "covered_how"];
    let rows = query(warehouse, sql);
    rows.iter()
        .map(|row| columns.map(|name| text(row, name)))
        .collect()
}

/// None of the templates is chosen but at random, those that are not chosen say why, and weights stand for all.
fn passes_over(warehouse: &str, templates: &BTreeSet<String>, whole: i64) {
    let told = told(warehouse);
    let mut known = 0;
    for [_, template, chosen, why] in &told {
        if templates.contains(template) {
            known += 1;
            let as_expected = chosen == "random" || (chosen.is_empty() && why == "known");
            assert!(as_expected, "{chosen:?} {why:?}");
        }
    }
    assert_eq!(known, templates.len());
    let by = |name: &str| told.iter().filter(|row| row[2] == name).count();
    assert!(by("random") > 0 && by("guided") + by("unguided") > 0);
    let beyond = told.iter().filter(|row| row[3] == "budget");
    assert!(beyond.count() > 0, "more new lines than labels");
    let stands_for =
        "SELECT CAST(round(sum(1 / inclusion_probability)) AS BIGINT) FROM candidates WHERE kept";
    assert_eq!(number(warehouse, stands_for), whole);
}

/// A training set of a third of the kept lines, as they are or, where only their numbers differ then, with other numbers; and their templates.
fn a_third_of(dir: &Dir, all: &str) -> (String, BTreeSet<String>) {
    let lines = told(all);
    let labelled: Vec<&[String; 4]> = lines.iter().step_by(3).collect();
    let other = "SELECT count(*) AS n FROM candidates WHERE kept AND \
                 cmd_normalize(command_line) = cmd_normalize(regexp_replace(command_line, '[0-9]', '7', 'g')) \
                 AND command_line <> regexp_replace(command_line, '[0-9]', '7', 'g')";
    assert!(
        number(all, other) > 10,
        "lines that differ in numbers alone"
    );
    let normalised = "SELECT command_line, cmd_normalize(command_line) = \
                      cmd_normalize(regexp_replace(command_line, '[0-9]', '7', 'g')) AS same FROM candidates WHERE kept";
    let numbers_alone: BTreeSet<String> = query(all, normalised)
        .iter()
        .filter(|row| row["same"].as_bool() == Some(true))
        .map(|row| row["command_line"].as_str().unwrap().to_owned())
        .collect();
    let mut csv = String::from("command_line,label\n");
    for (n, [line, ..]) in labelled.iter().enumerate() {
        let digits = |c: char| if c.is_ascii_digit() { '7' } else { c };
        let line = if numbers_alone.contains(line) {
            line.chars().map(digits).collect()
        } else {
            line.clone()
        };
        let label = if n % 4 == 0 { "malicious" } else { "benign" };
        writeln!(csv, "\"{}\",{label}", line.replace('"', "\"\"")).unwrap();
    }
    let train = dir.write("train.csv", csv);
    let templates: BTreeSet<String> = labelled.iter().map(|row| row[1].clone()).collect();
    (train, templates)
}

#[test]
fn a_budget_passes_over_what_the_training_set_knows_here_and_on_a_cluster() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "3000"]);
    let all = dir.join("all");
    run(
        &events,
        &all,
        &[&QUOTA[..], &["--through", "candidates"]].concat(),
    );
    let whole = number(&all, "SELECT count(*) FROM candidates WHERE kept");
    assert!(whole > 100, "{whole}");

    let (train, templates) = a_third_of(&dir, &all);
    let (here, there) = (dir.join("here"), dir.join("there"));
    let budget = [&QUOTA[..], &["--label-budget", "40"]].concat();
    let guided = [&budget[..], &["--guide-baseline", &train]].concat();
    run(&events, &here, &guided);
    passes_over(&here, &templates, whole);
    assert!(run(&events, &here, &guided).contains("up to date"));
    let cluster = Cluster::start(&dir, Setup::default());
    run(
        &events,
        &there,
        &[&guided[..], &["--cluster", &cluster.url]].concat(),
    );
    assert_eq!(digest(&there, "2025-01-01"), digest(&here, "2025-01-01"));

    // A saved classifier knows the templates that it came from.
    let model = dir.join("guide.model");
    let test = dir.write(
        "test.csv",
        "command_line,label\nmimikatz sekurlsa::logonpasswords,malicious\ngit log --graph,benign\n",
    );
    let test = format!("t={test}");
    succeeds(&[
        "evaluate",
        "lift",
        "--baseline",
        &train,
        "--test",
        &test,
        "--families",
        "linear",
        "--bootstrap",
        "10",
        "--save",
        &model,
    ]);
    let saved = dir.join("saved");
    run(
        &events,
        &saved,
        &[&budget[..], &["--guide", &model]].concat(),
    );
    passes_over(&saved, &templates, whole);

    // Without a guide, and with a file that has lines alone; another file is another choice.
    let unguided = dir.join("unguided");
    run(
        &events,
        &unguided,
        &[&budget[..], &["--known", &train]].concat(),
    );
    passes_over(&unguided, &templates, whole);
    run(&events, &unguided, &budget);
    let spent = "SELECT count(*) FROM candidates WHERE covered_how = 'known'";
    assert_eq!(number(&unguided, spent), 0);
    let said = fails(&[
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &events,
        "--warehouse",
        &here,
        "--label-budget",
        "5",
        "--known",
        &dir.write("lines.csv", "line\nwhoami\n"),
    ]);
    assert!(said.contains("no column command_line"), "{said}");
}
