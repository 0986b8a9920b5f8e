//! Near-dedup as its users see it: judged on labelled pairs and on edits made by rule, tried at another threshold.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Dir, fails, number, query, skip, succeeds};

fn data(file: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, PathBuf::from);
    let file = data.join(file);
    file.is_file().then_some(file)
}

fn evaluate(file: &str) -> Value {
    serde_json::from_str(&succeeds(&["evaluate", "near-dup", file, "--json"])).unwrap()
}

const PAIRS: &str = "command_a,command_b,label,kind\n\
    ping -n 4 10.0.0.7,ping -n 9 10.0.0.8,1,number\n\
    net user bob /add,net user bob /delete,0,verb\n\
    type C:\\data\\application\\a.txt,type C:\\data\\applications\\a.txt,1,directory\n\
    git push origin main,git pull origin main,0,verb\n";

#[test]
fn pairs_of_a_file_are_judged_as_the_stage_would() {
    let dir = Dir::new();
    let file = dir.write("pairs.csv", PAIRS);
    let report = evaluate(&file);
    assert_eq!(report["embedder"], "lexical");
    assert_eq!(report["threshold"], 0.75);
    assert_eq!(report["pairs"], 4);
    assert_eq!(report["auc"], 1.0);
    assert_eq!(report["true_merge_rate"], 1.0);
    assert_eq!(report["false_merge_rate"], 0.0);
    assert_eq!(report["by_kind"]["verb"]["pairs"], 2);
    assert_eq!(report["by_kind"]["verb"]["true_merge_rate"], Value::Null);
    // Templates merge at any threshold, other lines do not.
    let strict = succeeds(&[
        "evaluate",
        "near-dup",
        &file,
        "--threshold",
        "1.5",
        "--json",
    ]);
    let strict: Value = serde_json::from_str(&strict).unwrap();
    assert_eq!(strict["true_merge_rate"], 0.5);
    let table = succeeds(&["evaluate", "near-dup", &file]);
    assert!(
        table.contains("directory") && table.contains("100.00%"),
        "{table}"
    );
}

#[test]
fn a_file_that_is_no_set_of_pairs_is_refused_by_name_and_without_its_lines() {
    let dir = Dir::new();
    let said = |name: &str, text: &str| fails(&["evaluate", "near-dup", &dir.write(name, text)]);
    let column = said("a.csv", "command_a,command_b\nsecret one,b\n");
    assert!(column.contains("no column label"), "{column}");
    let label = said("b.csv", "command_a,command_b,label\nsecret one,b,7\n");
    assert!(
        label.contains("label 7") && !label.contains("secret"),
        "{label}"
    );
    let null = said("c.csv", "command_a,command_b,label\nsecret one,,1\nx,y,0\n");
    assert!(null.contains("NULL") && !null.contains("secret"), "{null}");
    let lines = said("d.csv", "command_line\nls\n");
    assert!(lines.contains("no line that a rule edits"), "{lines}");
    let gone = fails(&["evaluate", "near-dup", &dir.join("gone.parquet")]);
    assert!(gone.contains("gone.parquet"), "{gone}");
    let pairs = dir.write("e.csv", PAIRS);
    let unknown = fails(&["evaluate", "near-dup", &pairs, "--embedder", "none"]);
    assert!(unknown.contains("lexical"), "{unknown}");
}

/// Both targets of the design, on the half of the pairs that nothing was tuned on.
#[test]
fn verbs_flags_and_targets_keep_lines_apart_and_volatile_parts_do_not() {
    let Some(pairs) = data("similar_pairs.parquet") else {
        return skip("no labelled pairs: set GLEANER_DATA");
    };
    let dir = Dir::new();
    let half = dir.join("half.parquet");
    succeeds(&[
        "sql",
        &format!(
            "COPY (SELECT * FROM '{}' WHERE cmd_bucket(concat(command_a, '|', command_b), 2) = 1) TO '{half}' \
             STORED AS PARQUET",
            pairs.display()
        ),
    ]);
    let report = evaluate(&half);
    let false_merges = report["false_merge_rate"].as_f64().unwrap();
    assert!(false_merges <= 0.005, "{report}");
    let template = report["by_kind"]["same_template"]["true_merge_rate"].as_f64();
    assert!(template.unwrap() >= 0.95, "{report}");
}

#[test]
fn edits_of_recorded_lines_are_told_apart() {
    let Some(lines) = data("commands_unlabelled.parquet") else {
        return skip("no recorded lines: set GLEANER_DATA");
    };
    let report = evaluate(&lines.to_string_lossy());
    println!("{report}");
    assert!(report["pairs"].as_u64().unwrap() > 3000);
    assert!(
        report["false_merge_rate"].as_f64().unwrap() <= 0.005,
        "{report}"
    );
    assert!(
        report["true_merge_rate"].as_f64().unwrap() >= 0.95,
        "{report}"
    );
}

/// Three days at one threshold, tried at others from what was stored, are what a run at those is.
#[test]
fn another_threshold_is_tried_without_a_run_and_gives_what_a_run_gives() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "4000", "--days", "3"]);
    let run = |name: &str, cosine: &str| {
        let warehouse = dir.join(name);
        let args = [
            "run",
            "--date",
            "2025-01-01",
            "--to",
            "2025-01-03",
            "--quota",
            "30%",
            "--telemetry",
            &events,
        ];
        succeeds(&[&args[..], &["--warehouse", &warehouse, "--cosine", cosine]].concat());
        warehouse
    };
    let base = run("base", "0.75");
    let (mut come, mut go) = (0, 0);
    for cosine in ["0.6", "0.9"] {
        let other = run(&format!("at-{cosine}"), cosine);
        let tried = succeeds(&[
            "candidates",
            "--warehouse",
            &base,
            "--cosine",
            cosine,
            "--json",
        ]);
        let days: Vec<Value> = tried
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(days.len(), 3);
        for day in &days {
            let name = day["day"].as_str().unwrap();
            let kept = |warehouse: &str| {
                number(
                    warehouse,
                    &format!(
                        "SELECT count(*) FILTER (WHERE kept) FROM candidates WHERE day = DATE '{name}'"
                    ),
                )
            };
            assert_eq!(day["undetermined"], 0);
            assert_eq!(day["kept"], kept(&base), "{day}");
            assert_eq!(day["kept_then"], kept(&other), "{day} at {cosine}");
            come += day["would_come"].as_i64().unwrap();
            go += day["would_go"].as_i64().unwrap();
        }
    }
    assert!(come > 0 && go > 0, "{come} {go}");
    // The pairs nearest the line, and what they are.
    let pairs = succeeds(&[
        "candidates",
        "--warehouse",
        &base,
        "--cosine",
        "0.9",
        "--explain",
        "--limit",
        "5",
        "--json",
    ]);
    let pairs: Vec<Value> = pairs
        .lines()
        .skip(3)
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(pairs.len(), 5);
    let apart = |pair: &Value| (pair["pair_cosine"].as_f64().unwrap() - 0.9).abs();
    assert!(
        pairs.windows(2).all(|two| apart(&two[0]) <= apart(&two[1])),
        "{pairs:?}"
    );
    // Every row that was dropped says what covers it, and that one was kept.
    let orphans = "SELECT count(*) FROM candidates c LEFT JOIN candidates k \
                   ON k.hash = c.covered_by AND k.day = c.covered_day AND k.kept \
                   WHERE NOT c.kept AND (k.hash IS NULL OR c.cosine IS NULL)";
    assert_eq!(number(&base, orphans), 0);
    assert!(!query(&base, "SELECT * FROM similarities LIMIT 1").is_empty());
    let said = fails(&["candidates", "--warehouse", &base, "--cosine", "0.3"]);
    assert!(said.contains("0.5 to 1"), "{said}");
}

#[test]
fn later_days_are_run_again_where_an_earlier_one_changed() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "2000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let run = |args: &[&str]| {
        let common = [
            "run",
            "--telemetry",
            &events,
            "--warehouse",
            &warehouse,
            "--json",
        ];
        succeeds(&[&common, args].concat())
    };
    run(&["--date", "2025-01-01", "--to", "2025-01-02"]);
    let unchanged = run(&["--date", "2025-01-01", "--later"]);
    assert_eq!(
        unchanged.matches("\"unchanged\":true").count(),
        unchanged.lines().count(),
        "{unchanged}"
    );
    // Another quota changes the first day's candidates; the second follows, and only from there on.
    let first = run(&["--date", "2025-01-01", "--quota", "20%", "--later"]);
    assert!(first.contains("2025-01-02"), "{first}");
    let whole = dir.join("whole");
    let args = [
        "run",
        "--telemetry",
        &events,
        "--warehouse",
        &whole,
        "--quota",
        "20%",
    ];
    succeeds(&[&args[..], &["--date", "2025-01-01", "--to", "2025-01-02"]].concat());
    for day in ["2025-01-01", "2025-01-02"] {
        assert_eq!(
            crate::support::digest(&warehouse, day),
            crate::support::digest(&whole, day)
        );
    }
}

/// Cosines of one embedder are no threshold for another's.
#[test]
fn days_of_two_embedders_are_not_tried_at_one_threshold() {
    let dir = Dir::new();
    let events = dir.synth("events", &["--lines", "3000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let model = crate::embedders::static_model(&dir, "static");
    let run = |day: &str, embedder: &str| {
        let place = ["--telemetry", &events, "--warehouse", &warehouse];
        let what = [
            "run",
            "--date",
            day,
            "--quota",
            "30%",
            "--embedder",
            embedder,
        ];
        succeeds(&[&what[..], &place[..], &["--later"]].concat());
    };
    let try_it = ["candidates", "--warehouse", &warehouse, "--cosine", "0.9"];
    run("2025-01-01", "lexical");
    run("2025-01-02", &model);
    let by = "SELECT day, min(embedder) AS e, count(DISTINCT embedder) AS n FROM similarities GROUP BY day ORDER BY day";
    let days = query(&warehouse, by);
    assert!(
        days.len() == 2 && days[0]["e"] == "lexical" && days.iter().all(|d| d["n"] == 1),
        "{days:?}"
    );
    let said = fails(&try_it);
    assert!(
        said.contains("2025-01-01 to 2025-01-01 by lexical")
            && said.contains("2025-01-02 to 2025-01-02 by static:")
            && said.contains("--date 2025-01-01 --later"),
        "{said}"
    );
    // What it says to do helps.
    run("2025-01-01", "lexical");
    succeeds(&try_it);
}
