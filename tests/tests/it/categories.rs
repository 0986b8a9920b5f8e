//! Categorical values of requests as columns: a day's run, the same requests one by one, models of another choice.

use std::collections::HashMap;

use gleaner::session;
use serde_json::Value;

use crate::scoring::{COLUMNS, Scoring, score, telemetry};
use crate::serve::Server;
use crate::support::{Dir, digest, fails, number, query, says, succeeds};

fn days(telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let common = [
        "run",
        "--kind",
        "api",
        "--quota",
        "5%",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    says(&[&common, args].concat())
}

fn both(telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let dates = ["--date", "2025-01-01", "--to", "2025-01-02"];
    days(telemetry, warehouse, &[&dates, args].concat())
}

fn models(warehouse: &str, day: &str) -> HashMap<String, String> {
    let sql = format!("SELECT kind, sha256 FROM models WHERE day = DATE '{day}'");
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    query(warehouse, &sql)
        .iter()
        .map(|row| (text(row, "kind"), text(row, "sha256")))
        .collect()
}

/// What the day's run kept, beside what a server answers to the same requests one by one.
fn batch_is_real_time(choice: &str, names: &[&str]) {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir, 700), dir.join("warehouse"));
    both(&telemetry, &warehouse, &["--categorical", choice]);
    assert!(models(&warehouse, "2025-01-02").contains_key("categories"));
    let day = "day = DATE '2025-01-02'";
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE event_time >= TIMESTAMP '2025-01-01T23:30:00' ORDER BY event_time, hash"
    );
    let sent: Vec<String> = query(&warehouse, &sql)
        .iter()
        .map(Value::to_string)
        .collect();
    let hashes = query(
        &warehouse,
        &format!("SELECT hash FROM requests WHERE {day} ORDER BY event_time, hash"),
    );
    let server = Server::start(
        &dir,
        &[
            "--kind",
            "api",
            "--telemetry",
            &telemetry,
            "--warehouse",
            &warehouse,
        ],
        &[],
    );
    let answers = Scoring::start(&server, &["--batch", "64"]).all(&sent);
    let of_day = &answers[sent.len() - hashes.len()..];
    let by_hash: HashMap<&str, &Value> = hashes
        .iter()
        .zip(of_day)
        .map(|(row, answer)| (row["hash"].as_str().unwrap(), answer))
        .collect();
    let kept = query(
        &warehouse,
        &format!(
            "SELECT hash, detectors, reasons, CAST(iforest_score AS DOUBLE) AS iforest, CAST(pca_error AS DOUBLE) AS pca, \
             CAST(kmeans_distance AS DOUBLE) AS kmeans FROM anomalies WHERE {day}"
        ),
    );
    assert!(kept.len() >= 20, "{}", kept.len());
    for row in &kept {
        let answer = by_hash[row["hash"].as_str().unwrap()];
        for detector in ["iforest", "pca", "kmeans"] {
            assert_eq!(
                score(&answer["scores"][detector]),
                score(&row[detector]),
                "{choice} {detector}: {answer} {row}"
            );
        }
        if answer["detectors"] == row["detectors"] {
            assert_eq!(answer["reasons"], row["reasons"]);
        }
    }
    // A reason is a field by its name, and not the number of a column.
    let reasons = kept
        .iter()
        .flat_map(|row| row["reasons"].as_array().unwrap());
    let reasons: Vec<&str> = reasons.map(|reason| reason.as_str().unwrap()).collect();
    for name in names {
        assert!(
            reasons.iter().any(|reason| reason.contains(name)),
            "{name}: {reasons:?}"
        );
    }
    for part in ["_is_", "_hashed_", "_embedding_", "_other", "_unknown"] {
        let fields = [
            "endpoint",
            "method",
            "host",
            "agent_family",
            "outcome",
            "referrer_host",
        ];
        let column = |reason: &str| {
            fields
                .iter()
                .any(|f| reason.contains(&format!("{f}{part}")))
        };
        assert!(!reasons.iter().any(|reason| column(reason)), "{reasons:?}");
    }
}

#[test]
fn one_hot_scores_are_the_same_in_batch_and_real_time() {
    batch_is_real_time("one-hot", &[": endpoint = "]);
}

#[test]
fn hashed_scores_are_the_same_in_batch_and_real_time() {
    batch_is_real_time("hashed", &[": endpoint = "]);
}

#[test]
fn embedding_scores_are_the_same_in_batch_and_real_time() {
    batch_is_real_time("embedding", &[": endpoint = "]);
}

#[test]
fn a_day_s_encoder_and_answer_do_not_depend_on_how_its_logs_are_cut() {
    let dir = Dir::new();
    let whole = telemetry(&dir, 500);
    let text = std::fs::read_to_string(dir.path().join("telemetry/requests.ndjson")).unwrap();
    // The same lines in two files, the later ones first.
    let lines: Vec<&str> = text.lines().rev().collect();
    for (i, part) in lines.chunks(lines.len() / 2 + 1).enumerate() {
        dir.write(&format!("cut/{i}.ndjson"), part.join("\n"));
    }
    let args = ["--categorical", "embedding"];
    let (one, other) = (dir.join("one"), dir.join("other"));
    both(&whole, &one, &args);
    both(&dir.join("cut"), &other, &args);
    assert_eq!(models(&one, "2025-01-02"), models(&other, "2025-01-02"));
    let kept =
        "SELECT hash, CAST(pca_error AS DOUBLE) AS error, reasons FROM anomalies ORDER BY hash";
    assert_eq!(query(&one, kept), query(&other, kept));
    // What was done is not done again, to the same bytes.
    let before = digest(&one, "2025-01-02");
    both(&whole, &one, &args);
    assert_eq!(digest(&one, "2025-01-02"), before);
}

#[test]
fn models_of_another_choice_are_not_reused_and_it_is_said_so() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (telemetry(&dir, 500), dir.join("warehouse"));
    let later = |args: &[&str]| {
        let day = ["--date", "2025-01-02"];
        days(&telemetry, &warehouse, &[&day[..], args].concat())
    };
    // A warehouse of a day without an encoder, as every earlier gleaner made it.
    days(&telemetry, &warehouse, &["--date", "2025-01-01"]);
    let rarity = models(&warehouse, "2025-01-01");
    assert!(!rarity.contains_key("categories"));
    let said = later(&["--models", "reuse", "--categorical", "one-hot"]);
    assert!(
        said.contains("--categorical rarity") && said.contains("--categorical is one-hot"),
        "{said}"
    );
    let one_hot = models(&warehouse, "2025-01-02");
    assert!(one_hot.contains_key("categories"));
    assert_ne!(one_hot["pca"], rarity["pca"]);
    // The first day anew, and the second with its models: detectors and encoder go together.
    days(
        &telemetry,
        &warehouse,
        &["--date", "2025-01-01", "--categorical", "one-hot"],
    );
    let first = models(&warehouse, "2025-01-01");
    later(&["--models", "reuse", "--categorical", "one-hot"]);
    let reused = models(&warehouse, "2025-01-02");
    for kind in ["categories", "iforest", "pca", "kmeans", "baseline"] {
        assert_eq!(reused[kind], first[kind], "{kind}");
    }
    assert_ne!(reused["frequencies"], first["frequencies"]);
    // Drift is told of the encoded columns too, by their names.
    let named = "SELECT count(*) FROM drift WHERE name IN ('endpoint_is_1', 'agent_family_other')";
    assert_eq!(number(&warehouse, named), 2);
    let said = later(&["--models", "reuse"]);
    assert!(said.contains("--categorical is rarity"), "{said}");
    assert!(!models(&warehouse, "2025-01-02").contains_key("categories"));
}

#[test]
fn the_choice_is_of_requests_and_its_columns_are_listed() {
    let dir = Dir::new();
    let (telemetry, warehouse) = (dir.join("t"), dir.join("w"));
    let error = fails(&[
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
        "--categorical",
        "hashed",
    ]);
    assert!(
        error.contains("--categorical hashed: it is about requests"),
        "{error}"
    );
    let plain = succeeds(&["functions", "--api-features", "--json"]);
    for choice in gleaner_udfs::api::Categorical::ALL {
        let name = choice.name();
        let args = [
            "functions",
            "--api-features",
            "--categorical",
            name,
            "--json",
        ];
        let listed = succeeds(&args);
        assert_eq!(listed.lines().count(), choice.width(), "{name}");
        assert!(listed.starts_with(&plain));
    }
}

/// A call of `api_features` on a request, with these last arguments.
fn call(last: &str) -> String {
    let nulls = "NULL, ".repeat(30);
    format!("api_features('ana', NULL, NULL, 'GET', 'shop', '/', {nulls}NULL, {last})")
}

#[tokio::test]
async fn a_query_knows_its_width_when_it_is_planned_and_a_wrong_choice_is_told() {
    let ctx = session::embedded(1 << 28).unwrap();
    for choice in gleaner_udfs::api::Categorical::ALL {
        let sql = format!("SELECT {}", call(&format!("'u', 'v', '{}'", choice.name())));
        let plan = ctx.sql(&sql).await.unwrap();
        let kind = plan.schema().field(0).data_type().to_string();
        assert!(kind.contains(&choice.width().to_string()), "{kind}");
    }
    for last in [
        "'u', 'v', 'two-hot'",
        "'u', 'v', lower('HASHED' || random())",
    ] {
        let error = match ctx.sql(&format!("SELECT {}", call(last))).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(error) => error,
        };
        let error = error.to_string();
        assert!(
            error.contains("must be one of rarity, one-hot, hashed, embedding"),
            "{error}"
        );
    }
}
