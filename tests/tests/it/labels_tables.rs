//! The labels' tables over time: what a later version adds to them, and how a label finds its answers.

use std::path::Path;

use gleaner::labels::store::append;
use gleaner::telemetry::Kind;
use gleaner::warehouse::Warehouse;
use gleaner::warehouse::tables::{ANSWERS, LABELS, Table};
use serde_json::{Value, json};

use crate::labels_day::{flags, whole_day};
use crate::llm_server::{Script, Server};
use crate::support::{Dir, number, query, succeeds};

/// `labels` as it was before labels named the key of their answers.
const EARLIER_LABELS: Table = Table {
    name: LABELS.name,
    doc: LABELS.doc,
    columns: || without(LABELS, "answer_key"),
};
/// `answers` as it was before they kept red flags.
const EARLIER_ANSWERS: Table = Table {
    name: ANSWERS.name,
    doc: ANSWERS.doc,
    columns: || without(ANSWERS, "red_flags"),
};

fn without(
    table: Table,
    column: &str,
) -> Vec<(&'static str, datafusion::arrow::datatypes::DataType)> {
    let mut columns = (table.columns)();
    let before = columns.len();
    columns.retain(|(name, _)| *name != column);
    assert_eq!(columns.len(), before - 1);
    columns
}

/// 120 lines that begin alike, so that what the fake server shows as evidence is the same for all.
fn telemetry(dir: &Dir) -> String {
    let letters = |n: u8| format!("{}{}", char::from(b'a' + n / 11), char::from(b'b' + n % 11));
    let lines = (0..120_u8).map(|n| {
        let word = ["evil", "sync", "sync", "odd"][usize::from(n % 4)];
        let event = json!({
            "event_time": "2025-01-01T10:00:00Z", "command_line": format!("corporation-{0}.exe /{word} group{0}", letters(n)),
            "host": format!("h{}", n % 7), "user": format!("u{}", n % 5),
        });
        format!("{event}\n")
    });
    dir.write("day/lines.ndjson", lines.collect::<String>())
}

fn run(telemetry: &str, warehouse: &str, server: &Server) {
    let output = whole_day(telemetry, warehouse)
        .args(flags(server))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The schemas that a table's log names, oldest first.
fn schemas(warehouse: &str, table: &str) -> Vec<String> {
    let log = Path::new(warehouse).join(table).join("_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    commits.sort();
    let actions: Vec<Value> = commits
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<Value>>()
        })
        .collect();
    let schema = |action: &Value| {
        action["metaData"]["schemaString"]
            .as_str()
            .map(str::to_owned)
    };
    actions.iter().filter_map(schema).collect()
}

#[test]
fn tables_of_an_earlier_version_are_widened_and_their_rows_stay_readable() {
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    let day = chrono::NaiveDate::from_ymd_opt(2024, 12, 31).unwrap();
    let label = json!({
        "day": "2024-12-31", "hash": "0123456789abcdef0123456789abcdef", "command_line": "old.exe /run", "verdict": "benign", "reason": "r", "rules": ["a"],
        "evidence": "old.exe", "confidence": 0.5, "labeller": "llm", "sent": "old.exe /run", "batches": ["c1"], "cost_usd": 0.25,
    });
    let answer = json!({
        "day": "2024-12-31", "key": "k1", "kind": "line", "pass": 1, "verdict": "benign", "intent": "i", "evidence": "old.exe", "confidence": 0.5,
        "model": "m", "asked_model": "m", "prompt": "p", "call": "c1", "accepted": true, "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.25,
        "asked_at": "2024-12-31T00:00:00Z",
    });
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let warehouse = Warehouse::create(&warehouse, Kind::Command).await.unwrap();
        append(&warehouse, &EARLIER_LABELS, day, &[label])
            .await
            .unwrap();
        append(&warehouse, &EARLIER_ANSWERS, day, &[answer])
            .await
            .unwrap();
    });
    for (table, column) in [("labels", "answer_key"), ("answers", "red_flags")] {
        let held = schemas(&warehouse, table);
        assert!(
            held.len() == 1 && !held[0].contains(column),
            "the schema is not the earlier one: {held:?}"
        );
    }

    run(
        &telemetry(&dir),
        &warehouse,
        &Server::start(Script::default()),
    );
    for (table, column) in [("labels", "answer_key"), ("answers", "red_flags")] {
        let held = schemas(&warehouse, table);
        assert!(
            held.len() == 2 && held[1].contains(column),
            "{table} was not widened: {held:?}"
        );
    }
    let labels = query(
        &warehouse,
        "SELECT CAST(day AS VARCHAR) AS day, count(*) AS n, count(answer_key) AS keys, sum(cost_usd) AS usd FROM labels GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(
        (&labels[0]["n"], &labels[0]["keys"], &labels[0]["usd"]),
        (&1.into(), &0.into(), &0.25.into())
    );
    assert!(
        labels[1]["n"] == 120 && labels[1]["keys"].as_u64().unwrap() > 100,
        "{labels:?}"
    );
    let kept = "SELECT count(*) FROM answers WHERE day = '2024-12-31' AND red_flags IS NULL AND intent = 'i'";
    assert_eq!(number(&warehouse, kept), 1);
    assert!(number(&warehouse, "SELECT count(red_flags) FROM answers") > 100);
    // What reads whole tables reads both days.
    let out = dir.join("audit");
    succeeds(&[
        "labels",
        "audit",
        "--sample",
        "1000",
        "--out",
        &out,
        "--warehouse",
        &warehouse,
    ]);
    let drawn = format!(
        "SELECT count(*) FROM '{out}.parquet' WHERE hash = '0123456789abcdef0123456789abcdef'"
    );
    assert_eq!(number(&warehouse, &drawn), 1);
}

#[test]
fn a_line_is_explained_by_its_own_answers_alone() {
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    run(
        &telemetry(&dir),
        &warehouse,
        &Server::start(Script::default()),
    );
    let labels = query(
        &warehouse,
        "SELECT hash, sent, verdict, evidence, batches FROM labels WHERE labeller = 'llm' ORDER BY hash LIMIT 6",
    );
    let alike = number(
        &warehouse,
        "SELECT max(n) FROM (SELECT call, evidence, count(*) AS n FROM answers WHERE kind = 'line' GROUP BY 1, 2)",
    );
    assert!(
        alike > 1,
        "no two neighbours share their evidence: the test shows nothing"
    );
    for label in &labels {
        let hash = label["hash"].as_str().unwrap();
        let known: Value = serde_json::from_str(
            succeeds(&[
                "labels",
                "explain",
                hash,
                "--warehouse",
                &warehouse,
                "--json",
            ])
            .trim(),
        )
        .unwrap();
        let passes = known["passes"].as_array().unwrap();
        let own = format!("for {}", label["sent"].as_str().unwrap());
        assert_eq!(
            passes.len(),
            label["batches"].as_array().unwrap().len(),
            "{known}"
        );
        assert!(
            !passes.is_empty() && passes.iter().all(|pass| pass["intent"] == own.as_str()),
            "{known}"
        );
    }
}
