//! A day, from telemetry to the benign set.

use crate::support::{Dir, digest, number, query, run, status, succeeds, tree};

fn small_day(dir: &Dir) -> (String, String) {
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--attacks", "0.01"]);
    (telemetry, dir.join("warehouse"))
}

#[test]
fn every_stage_of_a_day_is_real() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    run(&telemetry, &warehouse, &["--quota", "5%"]);

    // Exact dedup against the telemetry itself.
    let files = format!("'{telemetry}/day=2025-01-01/part-00000.parquet'");
    let unique = number(
        &warehouse,
        &format!("SELECT count(DISTINCT command_line) FROM {files}"),
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM commands"), unique);
    assert_eq!(number(&warehouse, "SELECT sum(events) FROM commands"), 6000);
    let wrong = format!(
        "SELECT count(*) FROM commands c JOIN (SELECT command_line, count(*) AS events, count(DISTINCT host) AS hosts, \
         count(DISTINCT \"user\") AS users, min(event_time) AS first, max(event_time) AS last FROM {files} GROUP BY 1) t \
         ON c.command_line = t.command_line WHERE c.events <> t.events OR c.hosts <> t.hosts OR c.users <> t.users \
         OR c.first_seen <> t.first OR c.last_seen <> t.last OR c.hash <> cmd_hash(t.command_line)"
    );
    assert_eq!(number(&warehouse, &wrong), 0);

    // The quota of each detector is exact, ranks are 1 to n, higher scores come first.
    let quota = (unique + 19) / 20;
    for detector in ["iforest", "pca", "kmeans"] {
        let score = match detector {
            "iforest" => "iforest_score",
            "pca" => "pca_error",
            _ => "kmeans_distance",
        };
        let chosen = format!(
            "SELECT count({detector}_rank) FROM anomalies WHERE array_has(detectors, '{detector}')"
        );
        assert_eq!(number(&warehouse, &chosen), quota, "{detector}");
        let ranks = format!(
            "SELECT count(DISTINCT {detector}_rank) FROM anomalies WHERE {detector}_rank BETWEEN 1 AND {quota}"
        );
        assert_eq!(number(&warehouse, &ranks), quota, "{detector}");
        let inverted = format!(
            "SELECT count(*) FROM anomalies a JOIN anomalies b ON a.{detector}_rank + 1 = b.{detector}_rank \
             WHERE a.{score} < b.{score} OR (a.{score} = b.{score} AND a.hash > b.hash)"
        );
        assert_eq!(number(&warehouse, &inverted), 0, "{detector}");
    }
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM anomalies WHERE array_length(reasons) IS NULL"
        ),
        0
    );

    // Near-dedup: one decision an anomaly, what covers is kept, same guard key, and close.
    let anomalies = number(&warehouse, "SELECT count(*) FROM anomalies");
    assert_eq!(
        number(&warehouse, "SELECT count(DISTINCT hash) FROM candidates"),
        anomalies
    );
    let astray = "SELECT count(*) FROM candidates c LEFT JOIN candidates k ON c.covered_by = k.hash \
                  WHERE NOT c.kept AND (k.hash IS NULL OR NOT k.kept OR k.guard <> c.guard OR c.cosine < 0.75)";
    assert_eq!(number(&warehouse, astray), 0);
    assert!(number(&warehouse, "SELECT count(*) FROM candidates WHERE NOT kept") > 0);
    let far = "SELECT count(*) FROM candidates c JOIN candidates k ON c.covered_by = k.hash WHERE c.covered_how = 'cosine' \
               AND abs(vec_cosine(cmd_embed(c.command_line), cmd_embed(k.command_line)) - c.cosine) > 0.001";
    assert_eq!(number(&warehouse, far), 0);

    // A label a kept candidate, and benign is what was labelled so.
    let unlabelled = "SELECT count(*) FROM candidates c LEFT JOIN labels l ON c.hash = l.hash WHERE c.kept AND l.hash IS NULL";
    assert_eq!(number(&warehouse, unlabelled), 0);
    let benign = number(
        &warehouse,
        "SELECT count(*) FROM labels WHERE verdict = 'benign'",
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM benign"), benign);

    // No attack of the generator's comes out benign.
    let truth = format!("'{telemetry}/_truth/day=2025-01-01.parquet'");
    let attacks = format!("SELECT count(*) FROM {truth} WHERE label = 'malicious'");
    assert!(number(&warehouse, &attacks) > 10);
    let bought = format!(
        "SELECT count(*) FROM benign b JOIN {truth} t ON b.command_line = t.command_line WHERE t.label = 'malicious'"
    );
    assert_eq!(number(&warehouse, &bought), 0);
}

#[test]
fn a_day_run_twice_changes_nothing() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    run(&telemetry, &warehouse, &[]);
    let (files, digest_before) = (
        tree(&dir.path().join("warehouse")),
        digest(&warehouse, "2025-01-01"),
    );
    let said = run(&telemetry, &warehouse, &[]);
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(tree(&dir.path().join("warehouse")), files);
    assert_eq!(digest(&warehouse, "2025-01-01"), digest_before);
}

#[test]
fn new_input_replaces_its_day_in_one_commit_and_no_other_day() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--to", "2025-01-02"]);
    let commits = |table: &str| {
        let log = dir.path().join("warehouse").join(table).join("_delta_log");
        tree(&log)
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == "json"))
            .count()
    };
    let (before, second) = (
        commits("commands"),
        number(
            &warehouse,
            "SELECT count(*) FROM commands WHERE day = DATE '2025-01-02'",
        ),
    );
    dir.write(
        "telemetry/day=2025-01-01/late.ndjson",
        "{\"event_time\":\"2025-01-01T23:00:00Z\",\"command_line\":\"late arrival --once\",\"host\":\"h1\"}\n",
    );
    let first = number(
        &warehouse,
        "SELECT count(*) FROM commands WHERE day = DATE '2025-01-01'",
    );
    let args = [
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
    ];
    let output = crate::support::gleaner(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("1 later days (2025-01-02 to 2025-01-02)"),
        "{said}"
    );
    assert_eq!(commits("commands"), before + 1);
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM commands WHERE day = DATE '2025-01-01'"
        ),
        first + 1
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM commands WHERE day = DATE '2025-01-02'"
        ),
        second
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM commands WHERE command_line = 'late arrival --once'"
        ),
        1
    );
}

#[test]
fn a_changed_choice_recomputes_what_depends_on_it_alone() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    run(&telemetry, &warehouse, &[]);
    let said = run(&telemetry, &warehouse, &["--quota", "50", "--json"]);
    let unchanged = |stage: &str| {
        let line = said
            .lines()
            .find(|l| l.contains(&format!("\"stage\":\"{stage}\"")))
            .unwrap();
        line.contains("\"unchanged\":true")
    };
    assert!(
        unchanged("telemetry") && unchanged("commands") && unchanged("models"),
        "{said}"
    );
    assert!(
        !unchanged("anomalies") && !unchanged("candidates"),
        "{said}"
    );
    assert_eq!(
        number(&warehouse, "SELECT count(iforest_rank) FROM anomalies"),
        50
    );
}

#[test]
fn the_same_day_has_the_same_digest_however_it_was_cut() {
    let dir = Dir::new();
    let params = ["--lines", "8000"];
    let one = dir.synth("one", &params);
    let many = dir.synth("many", &[&params[..], &["--rows-per-file", "700"]].concat());
    let packed = dir.synth(
        "packed",
        &[&params[..], &["--format", "ndjson.gz"]].concat(),
    );
    let table = |telemetry: &str, slots: &str| {
        let warehouse = format!("{telemetry}-warehouse");
        run(telemetry, &warehouse, &["--slots", slots]);
        let tables = ["commands", "anomalies", "candidates", "labels", "benign"];
        tables.map(|name| {
            let digest = query(
                &warehouse,
                &format!("SELECT digest FROM runs WHERE stage = '{name}'"),
            );
            digest[0]["digest"].as_str().unwrap().to_owned()
        })
    };
    let expected = table(&one, "1");
    assert_eq!(table(&many, "3"), expected);
    assert_eq!(table(&packed, "2"), expected);
}

#[test]
fn the_books_of_every_stage_balance() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    dir.write(
        "telemetry/day=2025-01-01/broken.ndjson",
        "{broken\n{\"command_line\":\"\"}\n",
    );
    run(&telemetry, &warehouse, &[]);
    let day = status(&warehouse, "2025-01-01");
    let stages = day["stages"].as_array().unwrap();
    let names: Vec<_> = stages
        .iter()
        .map(|s| s["stage"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "telemetry",
            "commands",
            "models",
            "anomalies",
            "candidates",
            "labels",
            "benign"
        ]
    );
    let count = |stage: &serde_json::Value, key: &str| stage[key].as_u64().unwrap();
    for stage in stages {
        let out = count(stage, "rows_kept")
            + count(stage, "rows_quarantined")
            + count(stage, "rows_dropped");
        assert_eq!(count(stage, "rows_in"), out, "{stage}");
        assert!(stage["secs"].as_f64().unwrap() > 0.0 && count(stage, "bytes") > 0);
    }
    // What a stage hands on is what the next one reads.
    assert_eq!(count(&stages[0], "rows_kept"), count(&stages[1], "rows_in"));
    assert_eq!(count(&stages[1], "rows_kept"), count(&stages[3], "rows_in"));
    for pair in stages[3..].windows(2) {
        assert_eq!(count(&pair[0], "rows_kept"), count(&pair[1], "rows_in"));
    }
    assert_eq!(count(&stages[0], "rows_quarantined"), 2);
    assert_eq!(day["scale"], "full");
    assert_eq!(day["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn an_earlier_day_covers_what_comes_again() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    run(
        &telemetry,
        &warehouse,
        &["--to", "2025-01-02", "--quota", "5%"],
    );
    let earlier = "SELECT count(*) FROM candidates c JOIN candidates k ON c.covered_by = k.hash AND c.covered_day = k.day \
                   WHERE c.day = DATE '2025-01-02' AND c.covered_day = DATE '2025-01-01' AND k.kept";
    assert!(number(&warehouse, earlier) > 0);
    let doubled = "SELECT count(*) FROM (SELECT template FROM candidates WHERE kept GROUP BY template HAVING count(*) > 1)";
    assert_eq!(number(&warehouse, doubled), 0);
}

#[test]
fn a_stage_asked_for_is_the_last_one_run() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    run(&telemetry, &warehouse, &["--through", "commands"]);
    assert!(number(&warehouse, "SELECT count(*) FROM commands") > 0);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM anomalies"), 0);
    let said = run(&telemetry, &warehouse, &["--json"]);
    assert!(
        said.lines().next().unwrap().contains("\"unchanged\":true"),
        "{said}"
    );
    assert!(number(&warehouse, "SELECT count(*) FROM anomalies") > 0);
    // An earlier stage asked for again, with nothing changed, leaves the accounts as they are.
    let accounts = status(&warehouse, "2025-01-01");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    assert_eq!(status(&warehouse, "2025-01-01"), accounts);
}

#[test]
fn days_of_one_and_two_lines_run_too() {
    let dir = Dir::new();
    let line = |day: u32, text: &str| {
        format!("{{\"event_time\":\"2025-01-0{day}T10:00:00Z\",\"command_line\":\"{text}\"}}\n")
    };
    let text = [line(1, "ls"), line(3, "ls -l"), line(3, "ls -a")].concat();
    let warehouse = dir.join("warehouse");
    run(
        &dir.write("t.ndjson", text),
        &warehouse,
        &["--to", "2025-01-03"],
    );
    let days = query(
        &warehouse,
        "SELECT rows_kept FROM runs WHERE stage = 'commands' ORDER BY day",
    );
    assert_eq!(
        days,
        [
            serde_json::json!({"rows_kept": 1}),
            serde_json::json!({"rows_kept": 2})
        ]
    );
}

#[test]
fn two_runs_of_one_day_at_once_leave_one_day() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| run(&telemetry, &warehouse, &[]));
        }
    });
    assert_eq!(number(&warehouse, "SELECT sum(events) FROM commands"), 6000);
    let doubled =
        "SELECT count(*) FROM (SELECT hash FROM labels GROUP BY hash HAVING count(*) > 1)";
    assert_eq!(number(&warehouse, doubled), 0);
    let alone = dir.join("alone");
    run(&telemetry, &alone, &[]);
    assert_eq!(
        digest(&warehouse, "2025-01-01"),
        digest(&alone, "2025-01-01")
    );
}

#[test]
fn a_killed_run_takes_up_where_it_stopped() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    for millis in [200, 500, 900, 1500] {
        let args = [
            "--",
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
            "--warehouse",
            &warehouse,
        ];
        let mut child = crate::support::program("gleaner")
            .args(args)
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(&telemetry, &warehouse, &[]);
    let alone = dir.join("alone");
    run(&telemetry, &alone, &[]);
    assert_eq!(
        digest(&warehouse, "2025-01-01"),
        digest(&alone, "2025-01-01")
    );
    assert_eq!(number(&warehouse, "SELECT sum(events) FROM commands"), 6000);
}

#[test]
fn nothing_of_a_run_is_left_in_staging() {
    let dir = Dir::new();
    let (telemetry, warehouse) = small_day(&dir);
    run(&telemetry, &warehouse, &[]);
    assert_eq!(tree(&dir.path().join("warehouse/_staging")).len(), 0);
}

#[test]
fn the_demo_runs_in_one_command() {
    let dir = Dir::new();
    let said = succeeds(&["demo", &dir.join("demo"), "--lines", "4000", "--days", "2"]);
    for title in [
        "Anomalies of the last day",
        "near-dedup left out",
        "Labels of all days",
        "The benign set",
    ] {
        assert!(said.contains(title), "{said}");
    }
    let again = succeeds(&["demo", &dir.join("demo"), "--lines", "4000", "--days", "2"]);
    assert!(again.contains("up to date"), "{again}");
}
