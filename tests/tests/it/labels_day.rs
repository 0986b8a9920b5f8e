//! A day labelled by a language model, as its user sees it: estimate, run, kill, run again, explain, audit, import, lists; and the rules on labelled files.

use serde_json::Value;

use std::process::Command;

use crate::llm_server::{Script, Server};
use crate::support::{Dir, fails, number, program, query, skip, succeeds};

pub fn flags(server: &Server) -> Vec<String> {
    [
        "--labeller",
        "llm",
        "--llm-url",
        &server.url,
        "--llm-model",
        "fake-1",
        "--llm-price-input",
        "1",
        "--llm-price-output",
        "4",
        "--llm-concurrency",
        "1",
        "--llm-backoff",
        "1",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A run of the day in which every line is a kept candidate.
pub fn whole_day(telemetry: &str, warehouse: &str) -> Command {
    let mut command = program("gleaner");
    command
        .args(["--", "run", "--date", "2025-01-01", "--quota", "100%"])
        .args(["--cosine", "1"])
        .args(["--telemetry", telemetry, "--warehouse", warehouse]);
    command
}

fn run(telemetry: &str, warehouse: &str, more: &[&str]) -> Vec<String> {
    let common = [
        "--",
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
        "--quota",
        "4%",
    ];
    common
        .iter()
        .chain(more)
        .map(|&arg| arg.to_owned())
        .collect()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(succeeds(args).trim()).unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn a_day_is_estimated_labelled_resumed_explained_reviewed_and_emitted() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--attacks", "0.01"]);
    let server = Server::start(Script::default());
    let llm = flags(&server);
    let llm: Vec<&str> = llm.iter().map(String::as_str).collect();
    let warehouse = dir.join("warehouse");

    // Before: how many, how much, how long. Nothing is asked.
    let output = program("gleaner")
        .args(run(&telemetry, &warehouse, &["--through", "candidates"]))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let estimate = [
        &[
            "labels",
            "estimate",
            "--date",
            "2025-01-01",
            "--warehouse",
            &warehouse,
            "--json",
        ],
        &llm[2..],
    ]
    .concat();
    let before = json(&estimate);
    assert_eq!(server.calls(), 0);
    assert!(
        before["to_ask"].as_u64().unwrap() > 10
            && before["cost_usd"].as_f64().unwrap() > 0.0
            && before["secs"].as_f64().unwrap() > 0.0,
        "{before}"
    );

    // A run that is killed after its third answer pays for nothing again.
    let marks = dir.join("fired");
    let output = program("gleaner")
        .args(run(&telemetry, &warehouse, &llm))
        .env("GLEANER_FAULT", "labels.answered@3=kill")
        .env("GLEANER_FAULT_FIRED", &marks)
        .output()
        .unwrap();
    assert!(!output.status.success() && std::path::Path::new(&format!("{marks}.0")).exists());
    assert_eq!(server.calls(), 3);
    let output = program("gleaner")
        .args(run(&telemetry, &warehouse, &llm))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("USD"), "{said}");
    let fresh = Server::start(Script::default());
    let other = flags(&fresh);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let untouched = dir.join("untouched");
    assert!(
        program("gleaner")
            .args(run(&telemetry, &untouched, &other))
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(
        server.calls(),
        fresh.calls(),
        "killed and resumed, against never killed"
    );

    // The table: one label a kept candidate, well-formed, with its provenance.
    let kept = number(&warehouse, "SELECT count(*) FROM candidates WHERE kept");
    assert_eq!(
        number(&warehouse, "SELECT count(DISTINCT hash) FROM labels"),
        kept
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM labels"), kept);
    let malformed = "SELECT count(*) FROM labels WHERE verdict IS NULL OR labeller IS NULL OR (labeller = 'llm' AND (model IS NULL OR prompt IS NULL OR sent IS NULL)) \
                     OR (labeller = 'none') <> (unlabelled IS NOT NULL) OR (labeller = 'llm' AND verdict = 'benign' AND second_verdict <> 'benign')";
    assert_eq!(number(&warehouse, malformed), 0);
    assert!(
        number(
            &warehouse,
            "SELECT count(*) FROM labels WHERE labeller = 'llm' AND verdict = 'benign'"
        ) > 5
    );
    let truth = format!("'{telemetry}/_truth/day=2025-01-01.parquet'");
    println!(
        "{:?}",
        query(
            &warehouse,
            &format!(
                "SELECT t.label, l.verdict, l.labeller, count(*) AS n FROM labels l JOIN {truth} t ON l.command_line = t.command_line GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        )
    );
    let runs = query(
        &warehouse,
        "SELECT cost_usd, counts FROM runs WHERE stage = 'labels'",
    );
    assert!(
        runs[0]["cost_usd"].as_f64().unwrap() > 0.0
            && runs[0]["counts"].as_str().unwrap().contains("\"llm\""),
        "{runs:?}"
    );

    // Again: nothing to do, nothing to pay.
    let calls = server.calls();
    let output = program("gleaner")
        .args(run(&telemetry, &warehouse, &llm))
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("up to date"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(server.calls(), calls);
    assert_eq!(json(&estimate)["to_ask"], 0);

    // All that is known of one line.
    let one = query(
        &warehouse,
        "SELECT hash FROM labels WHERE labeller = 'llm' AND verdict = 'benign' ORDER BY hash LIMIT 1",
    );
    let hash = one[0]["hash"].as_str().unwrap();
    let known = json(&[
        "labels",
        "explain",
        &hash[..16],
        "--warehouse",
        &warehouse,
        "--json",
    ]);
    assert_eq!(known["labels"][0]["first_verdict"], "benign");
    assert!(
        known["candidates"][0]["reasons"]
            .as_array()
            .is_some_and(|r| !r.is_empty()),
        "{known}"
    );
    assert!(
        known["canaries"].as_array().is_some_and(|c| c.len() >= 2)
            && known["passes"].as_array().is_some_and(|p| p.len() >= 2),
        "{known}"
    );
    assert!(
        succeeds(&["labels", "explain", hash, "--warehouse", &warehouse])
            .contains("canary of its batches")
    );
    assert!(fails(&["labels", "explain", "zz", "--warehouse", &warehouse]).contains("hexadecimal"));

    review(&dir, &telemetry, &warehouse, &llm);
}

/// Analysts judge a sample; what they say holds.
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn review(dir: &Dir, telemetry: &str, warehouse: &str, llm: &[&str]) {
    let out = dir.join("audit");
    let drawn = json(&[
        "labels",
        "audit",
        "--sample",
        "40",
        "--out",
        &out,
        "--warehouse",
        warehouse,
        "--json",
    ]);
    let csv = std::fs::read_to_string(format!("{out}.csv")).unwrap();
    assert_eq!(
        drawn["rows"].as_u64().unwrap() as usize,
        csv.matches("\r\n").count() - 1
    );
    let strata = query(
        warehouse,
        &format!("SELECT stratum, count(*) AS n FROM '{out}.parquet' GROUP BY 1 ORDER BY 1"),
    );
    assert!(
        strata.len() >= 2 && strata[0]["stratum"] == "benign",
        "{strata:?}"
    );
    let inert = format!(
        "SELECT count(*) FROM '{out}.parquet' WHERE regexp_like(command_line, '^\\s*[=+@-]') OR command_line LIKE '%' || chr(27) || '%'"
    );
    assert_eq!(number(warehouse, &inert), 0);

    // The analyst calls the first benign line malicious and the rest as labelled, in a spreadsheet that writes every cell as it was.
    let verdicts = dir.join("verdicts.csv");
    let judge = format!(
        "COPY (SELECT hash, stratum, CASE WHEN hash = (SELECT min(hash) FROM '{out}.parquet' WHERE stratum = 'benign') THEN 'malicious' ELSE label END AS verdict, \
         'ann' AS analyst, 'looked at' AS comment FROM '{out}.parquet') TO '{verdicts}' STORED AS CSV OPTIONS ('format.has_header' 'true')"
    );
    succeeds(&["sql", "--warehouse", warehouse, &judge]);
    let n = strata[0]["n"].as_u64().unwrap();
    let imported = json(&[
        "labels",
        "import",
        &verdicts,
        "--warehouse",
        warehouse,
        "--json",
    ]);
    assert_eq!(
        (
            &imported["version"],
            &imported["reviewed_benign"],
            &imported["wrong"]
        ),
        (&1.into(), &n.into(), &1.into()),
        "{imported}"
    );
    let (low, high) = (
        imported["precision_low"].as_f64().unwrap(),
        imported["precision_high"].as_f64().unwrap(),
    );
    let precision = imported["precision"].as_f64().unwrap();
    assert!(
        (precision - (n - 1) as f64 / n as f64).abs() < 1e-12
            && low < precision
            && precision < high
    );

    let emitted = number(warehouse, "SELECT count(*) FROM benign");
    assert!(
        program("gleaner")
            .args(run(telemetry, warehouse, llm))
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(
        number(warehouse, "SELECT count(*) FROM benign"),
        emitted - 1,
        "the verdict overrides the label"
    );

    // A second version takes it back.
    let back = dir.join("back.csv");
    let first = format!(
        "COPY (SELECT hash, 'benign' AS verdict, 'bob' AS analyst FROM reviews WHERE verdict = 'malicious' AND label = 'benign') TO '{back}' STORED AS CSV OPTIONS ('format.has_header' 'true')"
    );
    succeeds(&["sql", "--warehouse", warehouse, &first]);
    assert_eq!(
        json(&[
            "labels",
            "import",
            &back,
            "--warehouse",
            warehouse,
            "--json"
        ])["version"],
        2
    );
    assert!(
        program("gleaner")
            .args(run(telemetry, warehouse, llm))
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(number(warehouse, "SELECT count(*) FROM benign"), emitted);
    assert_eq!(
        number(
            warehouse,
            "SELECT count(*) FROM benign WHERE analyst = 'bob'"
        ),
        1
    );

    // Wrong files are refused whole, and say where.
    let bad = dir.write(
        "bad.csv",
        "hash,verdict,analyst\n00000000000000000000000000000000,benign,ann\n",
    );
    assert!(fails(&["labels", "import", &bad, "--warehouse", warehouse]).contains("row 1"));
    let odd = dir.write("odd.csv", "hash,verdict,analyst\nx,fine,ann\n");
    assert!(
        fails(&["labels", "import", &odd, "--warehouse", warehouse]).contains("benign, suspicious")
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn lists_decide_before_anything_is_paid_and_are_counted() {
    let dir = Dir::new();
    let telemetry = dir.write(
        "day/lines.ndjson",
        (0..400)
            .map(|n| {
                let line = match n {
                    0..10 => format!("corpbackup.exe /job{n} /full"),
                    10..20 => format!("oldscanner.exe -s host{n}"),
                    20 => "corpbackup.exe & vssadmin delete shadows /all".to_owned(),
                    _ => format!("app{}.exe /task {n}", n % 90),
                };
                format!("{{\"event_time\":\"2025-01-01T10:00:00Z\",\"command_line\":\"{line}\",\"host\":\"h{}\",\"user\":\"u{}\"}}\n", n % 7, n % 5)
            })
            .collect::<Vec<_>>()
            .concat(),
    );
    let lists = dir.write(
        "lists.csv",
        "list,pattern,owner,reason,expires\nallow,corpbackup.exe *,ann,our backup,2025-12-31\ndeny,oldscanner*,bob,not ours,2025-01-01\nallow,app*,eve,gone,2024-12-31\n",
    );
    let server = Server::start(Script::default());
    let llm = flags(&server);
    let mut args: Vec<&str> = llm.iter().map(String::as_str).collect();
    args.extend(["--lists", &lists]);
    let warehouse = dir.join("warehouse");
    let common = [
        "--",
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
        "--quota",
        "100%",
        "--cosine",
        "1",
    ];
    let output = program("gleaner")
        .args(common.iter().chain(&args))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("1 entries of the lists have expired"),
        "{said}"
    );
    let by = |labeller: &str| {
        number(
            &warehouse,
            &format!("SELECT count(*) FROM labels WHERE labeller = '{labeller}'"),
        )
    };
    let allowed = number(
        &warehouse,
        "SELECT count(*) FROM candidates WHERE kept AND command_line LIKE 'corpbackup.exe /%'",
    );
    let denied = number(
        &warehouse,
        "SELECT count(*) FROM candidates WHERE kept AND command_line LIKE 'oldscanner%'",
    );
    assert!(allowed > 0 && denied > 0);
    assert_eq!((by("allow-list"), by("deny-list")), (allowed, denied));
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM benign WHERE command_line LIKE '%oldscanner%' OR command_line LIKE '%vssadmin%'"
        ),
        0
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM benign WHERE labeller = 'allow-list'"
        ),
        allowed
    );
    let wire = server.wire();
    assert!(!wire.contains("corpbackup") && !wire.contains("oldscanner") && wire.contains("app1"));
    let counts = query(&warehouse, "SELECT counts FROM runs WHERE stage = 'labels'")[0]["counts"]
        .as_str()
        .unwrap()
        .to_owned();
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(
        (counts["allow-list"].as_i64(), counts["deny-list"].as_i64()),
        (Some(allowed), Some(denied))
    );

    // Nobody may leave out who answers for an entry.
    let anonymous = dir.write(
        "anonymous.csv",
        "list,pattern,owner,reason,expires\nallow,corpbackup.exe *,,our backup,2025-12-31\n",
    );
    let all = dir.write(
        "all.csv",
        "list,pattern,owner,reason,expires\nallow,**,ann,x,2025-12-31\n",
    );
    for (file, why) in [(anonymous, "owner"), (all, "pattern")] {
        let rest = [&common[1..], &["--lists", &file]].concat();
        let said = fails(&rest);
        assert!(
            said.contains("entry 1") && said.contains(why) && !said.contains("corpbackup"),
            "{said}"
        );
    }
}

#[test]
fn evaluate_labels_reports_what_is_emitted() {
    let dir = Dir::new();
    let rows = "command_line,label,ambiguous\nwhoami,benign,false\nvssadmin delete shadows /all /quiet,malicious,false\nls -la /var/log,benign,false\nls,malicious,true\n";
    let file = dir.write("labelled.csv", rows);
    let report = json(&["evaluate", "labels", &file, "--json"]);
    let names: Vec<&String> = report.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "labeller",
        "model",
        "rows",
        "benign_emitted",
        "benign_precision",
        "precision_low",
        "precision_high",
        "malicious_emitted_as_benign",
        "uncertain_share",
        "cost_usd",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(
        (
            &report["labeller"],
            &report["rows"],
            &report["malicious_emitted_as_benign"]
        ),
        (&"rules".into(), &4.into(), &0.into())
    );
    let server = Server::start(Script::default());
    let llm = flags(&server);
    let llm: Vec<&str> = llm.iter().map(String::as_str).collect();
    let report = json(&[&["evaluate", "labels", &file, "--json"], llm.as_slice()].concat());
    assert_eq!(
        (&report["labeller"], &report["model"]),
        (&"llm".into(), &"fake-1-2026".into())
    );
    assert!(
        report["cost_usd"].as_f64().unwrap() > 0.0
            && report["benign_emitted"].as_u64().unwrap() >= 1
    );
    // What it needs, it says.
    assert!(fails(&["evaluate", "labels", &file, "--labeller", "llm"]).contains("--llm-url"));
    let bad = dir.write("bad.csv", "command_line,label\nx,perhaps\n");
    assert!(fails(&["evaluate", "labels", &bad]).contains("row 1"));
}

#[test]
fn the_rules_emit_no_malicious_line_of_the_recorded_files() {
    let beside = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, std::path::PathBuf::from);
    if !data.join("commands_benign.parquet").is_file() {
        return skip("no labelled commands: set GLEANER_DATA");
    }
    let report = |name: &str| {
        let file = data.join(name).to_string_lossy().into_owned();
        json(&["evaluate", "labels", &file, "--json"])
    };
    let (benign, malicious) = (
        report("commands_benign.parquet"),
        report("commands_malicious.parquet"),
    );
    println!("{benign}\n{malicious}");
    assert_eq!(malicious["malicious_emitted_as_benign"], 0);
    assert!(benign["benign_emitted"].as_u64().unwrap() > 7000);
}
