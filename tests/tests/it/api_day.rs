//! A day of API requests, from logs to incidents; and its windows beside what plain SQL says.

use std::fmt::Write;

use crate::support::{Dir, fails, number, query, skip, succeeds};

/// Seconds around midnight at which users call, in bursts and pauses, some at the windows' very borders.
pub fn requests() -> String {
    let mut lines = vec![];
    let mut state = 7_u64;
    let mut next = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for user in ["ana", "ben", "cho", "dee"] {
        // From 23:20 of the first of January on.
        let mut second = 84_000 + next(60);
        for _ in 0..350 {
            second += [0, 1, 3, 59, 60, 61, 299, 300, 600, 1801]
                [usize::try_from(next(10)).unwrap()]
                / (1 + next(4));
            let (day, of_day) = (1 + second / 86_400, second % 86_400);
            let path = ["/", "/orders/17", "/orders/99/items", "/login", "/search"]
                [usize::try_from(next(5)).unwrap()];
            let status = if next(4) == 0 { 404 } else { 200 };
            let mut line = String::new();
            write!(
                line,
                r#"{{"event_time":"2025-01-0{day}T{:02}:{:02}:{:02}.{:03}Z","user":"{user}","client_ip":"10.0.0.{}","method":"GET","host":"shop","path":"{path}","status":{status},"response_bytes":{},"user_agent":"curl/8"}}"#,
                of_day / 3600,
                of_day / 60 % 60,
                of_day % 60,
                next(1000),
                next(3),
                next(5000),
            )
            .unwrap();
            lines.push(line);
        }
    }
    // Logs are not in the order of time.
    lines.sort_by_key(|line| {
        line.bytes()
            .fold(0_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)))
    });
    lines.join("\n")
}

fn run_days(telemetry: &str, warehouse: &str, args: &[&str]) {
    let common = [
        "run",
        "--kind",
        "api",
        "--date",
        "2025-01-01",
        "--to",
        "2025-01-02",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    succeeds(&[&common, args].concat());
}

#[test]
fn windows_across_midnight_are_what_a_naive_query_over_all_requests_says() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", requests());
    let warehouse = dir.join("warehouse");
    run_days(&telemetry, &warehouse, &[]);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM requests"), 1400);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM windows"), 1400);
    assert!(
        number(
            &warehouse,
            "SELECT count(*) FROM requests WHERE day = DATE '2025-01-02'"
        ) > 100
    );
    // A request sees itself and what lies before it in the order of (time, hash): in its window, whatever the day; for
    // what was ever done, in its day and the half hour before.
    let naive = |key: &str| {
        format!(
            "WITH r AS (SELECT q.*, w.endpoint, status >= 400 AS failed FROM requests q JOIN windows w ON w.hash = q.hash), \
             pairs AS (SELECT r.hash AS h, p.*, r.event_time - p.event_time AS age, p.hash = r.hash AS own, \
                              p.event_time >= CAST(r.day AS TIMESTAMP) - INTERVAL '30 minutes' AS today, \
                              p.endpoint = r.endpoint AS alike \
                       FROM r JOIN r AS p ON p.{key} = r.{key} AND (p.event_time < r.event_time \
                            OR (p.event_time = r.event_time AND p.hash <= r.hash))) \
             SELECT h AS hash, \
                    count(*) FILTER (WHERE age < INTERVAL '1 minute') AS n1, \
                    count(*) FILTER (WHERE age < INTERVAL '5 minutes') AS n5, \
                    count(*) FILTER (WHERE age < INTERVAL '10 minutes') AS n10, \
                    count(*) FILTER (WHERE age < INTERVAL '5 minutes' AND failed) AS f5, \
                    count(DISTINCT CASE WHEN age < INTERVAL '10 minutes' THEN endpoint END) AS e10, \
                    count(DISTINCT CASE WHEN age < INTERVAL '10 minutes' THEN actor END) AS a10, \
                    sum(CASE WHEN age < INTERVAL '10 minutes' THEN response_bytes ELSE 0 END) AS b10, \
                    count(*) FILTER (WHERE NOT own AND today) AS before, \
                    count(*) FILTER (WHERE NOT own AND today AND alike) AS endpoint_before \
             FROM pairs GROUP BY h"
        )
    };
    let wrong = format!(
        "SELECT count(*) FROM windows w JOIN ({}) n ON n.hash = w.hash WHERE w.requests_1min <> n1 OR w.requests_5min <> n5 \
         OR w.requests_10min <> n10 OR w.failed_5min <> f5 OR w.endpoints_10min <> e10 OR w.bytes_out_10min <> b10 \
         OR w.requests_before <> n.before OR w.endpoint_before <> n.endpoint_before",
        naive("actor")
    );
    assert_eq!(number(&warehouse, &wrong), 0);
    let wrong = format!(
        "SELECT count(*) FROM windows w JOIN ({}) n ON n.hash = w.hash WHERE w.endpoint_requests_1min <> n1 \
         OR w.endpoint_requests_5min <> n5 OR w.endpoint_failed_5min <> f5 OR w.endpoint_actors_10min <> a10",
        naive("endpoint")
    );
    assert_eq!(number(&warehouse, &wrong), 0);
    // The first requests of the second day know of those before midnight.
    let first = "SELECT min(requests_before) FROM (SELECT requests_before, row_number() OVER (PARTITION BY actor ORDER BY event_time) AS n \
                 FROM windows WHERE day = DATE '2025-01-02') WHERE n = 1";
    assert!(number(&warehouse, first) > 0);
}

/// What one of the users does within a minute: looks through orders by number, with injections.
pub fn attack() -> String {
    let mut lines = String::new();
    for i in 0..40 {
        write!(
            lines,
            "\n{{\"event_time\":\"2025-01-01T23:45:{:02}Z\",\"user\":\"mallory\",\"client_ip\":\"203.0.113.9\",\"method\":\"DELETE\",\
             \"host\":\"shop\",\"path\":\"/orders/{i}\",\"query\":\"id={i}%27%20or%201=1--\",\"status\":500,\"user_agent\":\"sqlmap/1.7\"}}",
            i + 10
        )
        .unwrap();
    }
    lines
}

#[test]
fn an_incident_says_who_did_what_where_and_why() {
    let dir = Dir::new();
    let lines = requests() + &attack();
    let telemetry = dir.write("requests.ndjson", lines);
    let warehouse = dir.join("warehouse");
    run_days(&telemetry, &warehouse, &["--quota", "5%"]);
    let rows = query(
        &warehouse,
        "SELECT actor, requests, failed, array_to_string(top_endpoints, ' ') AS top, array_to_string(agents, ' ') AS agents, \
         array_to_string(why, ' ') AS why, summary FROM incidents WHERE day = DATE '2025-01-01' ORDER BY severity DESC LIMIT 1",
    );
    let worst = &rows[0];
    assert_eq!(worst["actor"], "mallory", "{worst}");
    assert_eq!(worst["failed"], worst["requests"], "{worst}");
    assert!(worst["requests"].as_i64().unwrap() >= 3, "{worst}");
    assert_eq!(worst["top"], "DELETE shop/orders/{n}", "{worst}");
    assert_eq!(worst["agents"], "sqlmap", "{worst}");
    let summary = worst["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("mallory: ")
            && summary.contains("DELETE shop/orders/{n}")
            && summary.contains("all failed"),
        "{summary}"
    );
    // Every anomaly is in one incident.
    assert_eq!(
        number(&warehouse, "SELECT sum(requests) FROM incidents"),
        number(&warehouse, "SELECT sum(events) FROM anomalies"),
    );
}

#[test]
fn detectors_are_held_against_labelled_requests() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", requests() + &attack());
    let warehouse = dir.join("warehouse");
    run_days(&telemetry, &warehouse, &["--through", "requests"]);
    let file = dir.join("labelled.parquet");
    let labelled = "SELECT 'http' AS kind, CASE WHEN actor = 'mallory' THEN 'malicious' ELSE 'benign' END AS label, 'made' AS source, \
                    CASE WHEN actor = 'mallory' THEN 'sqli' END AS attack_type, event_time, \"user\" AS user_id, client_ip, method, \
                    host, path, query, status, response_bytes, user_agent FROM requests";
    succeeds(&[
        "sql",
        "--warehouse",
        &warehouse,
        &format!("COPY ({labelled}) TO '{file}'"),
    ]);

    let out = succeeds(&["evaluate", "api", &file, "--json"]);
    let rows: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let detectors: Vec<_> = rows
        .iter()
        .map(|r| r["detector"].as_str().unwrap())
        .collect();
    assert_eq!(
        detectors,
        ["iforest", "pca", "kmeans", "dbscan", "ocsvm", "autoencoder"]
    );
    for row in &rows {
        let keys: Vec<_> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            [
                "auroc",
                "detector",
                "kind",
                "precision",
                "recall",
                "rows",
                "threshold"
            ]
        );
        assert_eq!(row["kind"], "http");
        assert!(row["auroc"].as_f64().unwrap() > 0.95, "{row}");
        // All attacks are tested, and a third of the ordinary rows or so.
        assert!((240..700).contains(&row["rows"].as_i64().unwrap()), "{row}");
    }
    assert_eq!(
        out,
        succeeds(&["evaluate", "api", &file, "--json"]),
        "the same every time"
    );
    let text = succeeds(&[
        "evaluate",
        "api",
        &file,
        "--show",
        "1",
        "--threshold",
        "quantile",
        "--scale",
        "robust",
    ]);
    assert!(
        text.contains("alerts") && text.contains("false alarm"),
        "{text}"
    );
    let changes = succeeds(&["evaluate", "api", &file, "--feedback", "20", "--json"]);
    assert_eq!(changes.lines().count(), 6, "{changes}");

    let none = dir.join("unlabelled.parquet");
    succeeds(&[
        "sql",
        "--warehouse",
        &warehouse,
        &format!("COPY (SELECT path FROM requests) TO '{none}'"),
    ]);
    let error = fails(&["evaluate", "api", &none]);
    assert!(
        error.contains("no column kind") && error.contains("expected a Parquet file"),
        "{error}"
    );
    let error = fails(&["evaluate", "api", &telemetry]);
    assert!(error.contains("not a Parquet file"), "{error}");
}

#[test]
fn attacks_among_recorded_requests_are_found() {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, std::path::PathBuf::from);
    let file = data.join("api_requests.parquet");
    if !file.exists() {
        return skip("no recorded requests: set GLEANER_DATA");
    }
    let out = succeeds(&["evaluate", "api", &file.to_string_lossy(), "--json"]);
    let mut kinds = std::collections::BTreeSet::new();
    for line in out.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        kinds.insert(row["kind"].as_str().unwrap().to_owned());
        assert!(row["auroc"].as_f64().unwrap() > 0.97, "{row}");
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["cloudtrail", "http", "param"]
    );
}
