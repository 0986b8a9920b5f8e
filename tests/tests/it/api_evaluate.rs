//! Evaluation of detectors on labelled requests: by day, as curves, with whole sources held out.

use std::collections::BTreeSet;

use crate::support::{Dir, fails, succeeds};

/// Look-ups in a shop over three days, and injections on the last two, as recorded at two places.
fn labelled(dir: &Dir) -> String {
    let file = dir.join("labelled.parquet");
    let attack = "v >= 480 AND v % 8 = 0";
    let rows = format!(
        "SELECT 'http' AS kind, CASE WHEN {attack} THEN 'malicious' ELSE 'benign' END AS label, \
                CASE WHEN v % 2 = 0 AND v % 16 <> 8 THEN 'one:a.log' ELSE 'two' END AS source, CASE WHEN {attack} THEN 'sqli' END AS attack_type, \
                to_timestamp_micros(1700006400000000 + v * 200000000) AS event_time, 'user' || CAST(v % 7 AS TEXT) AS user_id, \
                'GET' AS method, 'shop' AS host, '/item/' || CAST(v % 40 AS TEXT) AS path, \
                CASE WHEN {attack} THEN 'q=1%27%20or%20' || CAST(v AS TEXT) || '=' || CAST(v AS TEXT) || '--&page=1' \
                     ELSE 'q=red%20lamp&page=' || CAST(v % 97 AS TEXT) END AS query, \
                200 AS status, 900 + v % 50 AS response_bytes \
         FROM (SELECT value AS v FROM generate_series(0, 1199))"
    );
    succeeds(&["sql", &format!("COPY ({rows}) TO '{file}'")]);
    file
}

fn objects(out: &str) -> Vec<serde_json::Value> {
    let object = |line| serde_json::from_str(line).unwrap();
    out.lines().map(object).collect()
}

#[test]
fn days_and_curves_are_further_objects_and_only_when_asked_for() {
    let dir = Dir::new();
    let file = labelled(&dir);
    let curves = dir.join("curves.parquet");
    let plain = succeeds(&["evaluate", "api", &file, "--json"]);
    let out = succeeds(&[
        "evaluate", "api", &file, "--json", "--by-day", "--curves", &curves,
    ]);
    let all = objects(&out);
    let whole: Vec<&str> = out
        .lines()
        .filter(|line| !line.contains("\"day\"") && !line.contains("\"roc\""))
        .collect();
    assert_eq!(whole, plain.lines().collect::<Vec<_>>());
    let days: Vec<_> = all.iter().filter(|o| o.get("day").is_some()).collect();
    assert_eq!(days.len(), 6 * 3);
    for of_detector in days.chunks(3) {
        let named: Vec<_> = of_detector
            .iter()
            .map(|d| d["day"].as_str().unwrap())
            .collect();
        assert_eq!(named, ["2023-11-15", "2023-11-16", "2023-11-17"]);
        assert_eq!(of_detector[0]["malicious"], 0);
        assert!(of_detector[0]["auroc"].is_null() && of_detector[0]["recall"].is_null());
        for day in &of_detector[1..] {
            assert!(day["auroc"].as_f64().unwrap() > 0.9, "{day}");
        }
    }
    for curve in all.iter().filter(|o| o.get("roc").is_some()) {
        let points = curve["roc"].as_array().unwrap();
        assert_eq!(points[0], serde_json::json!([0.0, 0.0]));
        assert_eq!(points[points.len() - 1], serde_json::json!([1.0, 1.0]));
        // The area under the curve's steps is no less than what they leave of the AUROC.
        let detector = &curve["detector"];
        let auroc = all
            .iter()
            .find(|o| o["detector"] == *detector && o.get("threshold").is_some());
        let area: f64 = points
            .windows(2)
            .map(|p| {
                let [a, b] = [&p[0], &p[1]].map(|p| [0, 1].map(|i| p[i].as_f64().unwrap()));
                (b[0] - a[0]) * f64::midpoint(a[1], b[1])
            })
            .sum();
        let auroc = auroc.unwrap()["auroc"].as_f64().unwrap();
        assert!((area - auroc).abs() < 0.01, "{detector}: {area} {auroc}");
    }
    // The file has every point, and those of the lowest threshold are all rows.
    let sql = format!(
        "SELECT detector, max(recall) AS recall, max(false_positive_rate) AS fpr, count(*) AS points FROM '{curves}' GROUP BY detector"
    );
    let table = objects(&succeeds(&["sql", "--json", &sql]));
    assert_eq!(table.len(), 6);
    for row in &table {
        assert_eq!((&row["recall"], &row["fpr"]), (&1.0.into(), &1.0.into()));
        assert!(row["points"].as_i64().unwrap() > 50, "{row}");
    }
}

#[test]
fn curves_are_written_as_csv_and_drawn_and_a_day_of_one_class_says_so() {
    let dir = Dir::new();
    let file = labelled(&dir);
    let (csv, svg) = (dir.join("curves.csv"), dir.join("curves.svg"));
    let text = succeeds(&["evaluate", "api", &file, "--by-day", "--curves", &csv]);
    assert!(
        text.contains("2023-11-15: ") && text.contains("(one class: no attacks)"),
        "{text}"
    );
    let points = std::fs::read_to_string(&csv).unwrap();
    let mut lines = points.lines();
    assert_eq!(
        lines.next().unwrap(),
        "kind,detector,threshold,false_positive_rate,recall,precision"
    );
    let detectors: BTreeSet<&str> = lines.map(|l| l.split(',').nth(1).unwrap()).collect();
    assert_eq!(detectors.len(), 6);
    succeeds(&["evaluate", "api", &file, "--curves", &svg]);
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert!(drawn.starts_with("<?xml") && drawn.ends_with("</svg>\n"));
    for text in ["precision", "recall", "false-positive rate", "autoencoder"] {
        assert!(drawn.contains(text), "{text}");
    }
    let error = fails(&["evaluate", "api", &file, "--curves", &dir.join("c.png")]);
    assert!(error.contains(".svg"), "{error}");
}

#[test]
fn each_source_is_held_out_and_what_cannot_be_is_named() {
    let dir = Dir::new();
    let file = labelled(&dir);
    let out = succeeds(&["evaluate", "api", &file, "--held-out", "source", "--json"]);
    let rows = objects(&out);
    // Six detectors and three models that learn from labels, for either source: what is behind the colon is a file of it.
    let of = |source: &str| -> Vec<&serde_json::Value> {
        rows.iter().filter(|r| r["held_out"] == source).collect()
    };
    assert_eq!((of("one").len(), of("two").len(), rows.len()), (9, 9, 18));
    for row in &rows {
        assert!(row["auroc"].as_f64().unwrap() > 0.9, "{row}");
        assert_eq!(row["remarks"], serde_json::json!([]));
        assert!(
            row["recall_at_own_threshold"].as_f64().unwrap() > 0.5,
            "{row}"
        );
        let labels = row["labels"].as_u64().unwrap();
        assert!(labels <= 100 || row["detector"] != "encoder", "{row}");
    }
    // All labelled rows of the two are tested, once.
    let tested = |row: &serde_json::Value| {
        row["benign"].as_u64().unwrap() + row["malicious"].as_u64().unwrap()
    };
    assert_eq!(tested(of("one")[0]) + tested(of("two")[0]), 1200);
    let text = succeeds(&["evaluate", "api", &file, "--held-out", "source"]);
    assert!(
        text.contains("random_forest") && text.contains("held out"),
        "{text}"
    );
    let error = fails(&["evaluate", "api", &file, "--held-out", "source", "--by-day"]);
    assert!(error.contains("--by-day"), "{error}");
}
