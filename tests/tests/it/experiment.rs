//! The experiment, and classifiers that read the components of embeddings.

use serde_json::Value;

use crate::lift::objects;
use crate::support::{Dir, fails, succeeds};

#[test]
fn the_experiment_measures_every_strategy_on_sources_held_out_whole() {
    let said = succeeds(&[
        "evaluate",
        "experiment",
        "--lines",
        "8000",
        "--seeds",
        "1",
        "--budgets",
        "50",
        "--families",
        "linear",
        "--json",
    ]);
    let (table, rows): (Vec<Value>, Vec<Value>) = objects(&said)
        .into_iter()
        .partition(|row| row["train"].is_string());
    let sets = &rows[0];
    assert!(
        sets["test_benign"].as_u64().unwrap() > 0
            && !sets["held_out"].as_array().unwrap().is_empty()
    );
    let of = |strategy: &str| {
        let rows = rows[1..].iter();
        rows.filter(move |row| row["strategy"] == strategy)
            .collect::<Vec<_>>()
    };
    // By budget, beside detectors, three kinds of labels, five numbers of days, two budgets at the baseline's size.
    assert_eq!(of("random").len(), 12);
    assert_eq!(of("everything").len(), 1);
    assert_eq!(of("suspicion").len(), 1);
    for row in &rows[1..] {
        let added = row["rows_added"].as_u64().unwrap();
        let budget = row["budget"].as_u64().unwrap_or(u64::MAX);
        assert!(
            added <= budget.saturating_mul(row["days"].as_u64().unwrap_or(1)),
            "{row}"
        );
        let lift = 100.0 * (row["auc"].as_f64().unwrap() - row["auc_baseline"].as_f64().unwrap());
        assert!((lift - row["lift_points"].as_f64().unwrap()).abs() < 1e-9);
    }
    // Two baselines, each alone and with two benign sets at two scales, on two tests.
    assert_eq!(table.len(), 2 * 5 * 2);
    let count = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let size = |row: &Value| count(row, "rows_benign") + count(row, "rows_malicious");
    for of_baseline in table.chunks(10) {
        let alone = &of_baseline[..2];
        assert!(
            alone
                .iter()
                .all(|row| count(row, "rows_added") == 0 && row["auc_gain"].is_null())
        );
        for (n, row) in of_baseline.iter().enumerate().skip(2) {
            let [auc, before] = [row, &alone[n % 2]].map(|row| row["auc"].as_f64().unwrap());
            assert!(
                (auc - before - row["auc_gain"].as_f64().unwrap()).abs() < 1e-9,
                "{row}"
            );
            assert!(count(row, "rows_added") > 0);
            let added = if row["scale"] == "full" {
                count(row, "rows_added")
            } else {
                0
            };
            assert_eq!(size(row), size(&alone[0]) + added, "{row}");
        }
    }
    let names: Vec<&str> = table
        .iter()
        .map(|row| row["train"].as_str().unwrap())
        .collect();
    assert!(
        names[..10]
            .iter()
            .all(|name| name.starts_with("regex baseline"))
    );
    assert!(
        names[10..]
            .iter()
            .all(|name| name.starts_with("aggregated baseline"))
    );
    // The rules are in doubt of some lines; a source of its own labels is not.
    assert!(
        size(&table[0]) < size(&table[10]),
        "{} {}",
        table[0],
        table[10]
    );
}

/// Words of which no two share more than chance has them share, in an order that says nothing.
fn words() -> Vec<String> {
    let syllables = [
        "ko", "mu", "ri", "ta", "vo", "lu", "si", "po", "nu", "ga", "hi", "wo", "zu", "ja", "ly",
    ];
    let word = |n: usize| {
        let (a, b, c) = (n % 15, n / 15 % 15, (n * 7 + n / 15) % 15);
        format!("{}{}{}", syllables[a], syllables[b], syllables[c])
    };
    let mut words: Vec<String> = (0..225).map(|n| word(n * 92 % 225)).collect();
    words.truncate(220);
    words
}

/// A static model that knows of each word which of two kinds it is, and nothing else.
fn kinds(dir: &Dir, words: &[String]) -> String {
    let header = format!(
        r#"{{"embeddings":{{"dtype":"F32","shape":[{},2],"data_offsets":[0,{}]}}}}"#,
        words.len() + 1,
        8 * (words.len() + 1)
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    let kind = |n: usize| {
        if n.is_multiple_of(2) {
            [1.0_f32, 0.0]
        } else {
            [0.0, 1.0]
        }
    };
    let rows = std::iter::once([0.0; 2]).chain((0..words.len()).map(kind));
    bytes.extend(rows.flatten().flat_map(f32::to_le_bytes));
    dir.write("kinds/model.safetensors", bytes);
    let vocabulary: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(n, word)| format!(r#""{word}": {}"#, n + 1))
        .collect();
    let tokenizer = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {{"type": "Lowercase"}},
        "pre_tokenizer": {{"type": "Whitespace"}}, "post_processor": null, "decoder": null,
        "model": {{"type": "WordLevel", "vocab": {{"[UNK]": 0, {}}}, "unk_token": "[UNK]"}}}}"#,
        vocabulary.join(", ")
    );
    dir.write("kinds/tokenizer.json", tokenizer);
    dir.join("kinds")
}

#[test]
fn trees_that_read_components_know_words_that_they_never_saw() {
    let dir = Dir::new();
    let words = words();
    let model = kinds(&dir, &words);
    let csv = |some: std::ops::Range<usize>| {
        let line = |n: usize| {
            let label = if n.is_multiple_of(2) {
                "benign"
            } else {
                "malicious"
            };
            format!("run {},{label}\n", words[n])
        };
        format!("command_line,label\n{}", some.map(line).collect::<String>())
    };
    let (train, test) = (
        dir.write("train.csv", csv(0..140)),
        dir.write("test.csv", csv(140..220)),
    );
    let (test, saved) = (format!("t={test}"), dir.join("components.model"));
    let plain = [
        "evaluate",
        "lift",
        "--baseline",
        &train,
        "--test",
        &test,
        "--families",
        "boosting",
        "--bootstrap",
        "10",
        "--json",
    ];
    let with = [
        &plain[..],
        &["--components", "--embedder", &model, "--save", &saved],
    ]
    .concat();
    let of = |args: &[&str]| objects(&succeeds(args)).remove(0);
    let (without, with) = (of(&plain), of(&with));
    assert_eq!(without["components"], "none");
    let name = with["components"].as_str().unwrap();
    assert!(
        name.contains("kinds") || name.starts_with("static"),
        "{name}"
    );
    let auc = |row: &Value| row["auc"].as_f64().unwrap();
    assert!(auc(&with) > 0.99, "{with}");
    assert!(auc(&without) < 0.8, "{without}");
    assert_eq!(with["rows_benign"], without["rows_benign"]);

    // What was trained on components cannot guide a day, which has none.
    let events = dir.synth("events", &["--lines", "200"]);
    let warehouse = dir.join("warehouse");
    let said = fails(&[
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &events,
        "--warehouse",
        &warehouse,
        "--label-budget",
        "5",
        "--guide",
        &saved,
    ]);
    assert!(said.contains("made without --components"), "{said}");
}
