//! Requests to APIs: the second kind of telemetry, through the same reader, stages, warehouse and cluster.

use std::io::Write;

use serde_json::Value;

use crate::processes::{Cluster, Setup};
use crate::support::{
    Dir, digest, fails, gleaner, number, query, run, skip, status, succeeds, tree,
};

const API: [&str; 2] = ["--kind", "api"];

/// Runs the day of requests in `telemetry`, up to what reading alone makes.
fn run_api(telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let through = ["--through", "requests"];
    run(telemetry, warehouse, &[&API[..], &through, args].concat())
}

fn synth(dir: &Dir, name: &str, args: &[&str]) -> String {
    let size = ["--lines", "4000", "--attacks", "0.05", "--hosts", "60"];
    dir.synth(name, &[&API[..], &size, args].concat())
}

/// The digest of the stage `requests`.
fn requests_digest(warehouse: &str) -> Value {
    query(
        warehouse,
        "SELECT digest FROM runs WHERE stage = 'requests'",
    )
    .remove(0)
}

#[test]
fn a_day_of_requests_is_whole_balanced_and_in_order() {
    let dir = Dir::new();
    let telemetry = synth(
        &dir,
        "t",
        &["--rows-per-file", "1500", "--format", "parquet"],
    );
    // A part twice: every row of it is a duplicate.
    let part = std::fs::read(format!("{telemetry}/day=2025-01-01/part-00001.parquet")).unwrap();
    dir.write("t/day=2025-01-01/again.parquet", part);
    let warehouse = dir.join("warehouse");
    let said = run_api(&telemetry, &warehouse, &[]);
    assert!(said.contains("requests"), "{said}");
    let files = format!("'{telemetry}/day=2025-01-01/part-*.parquet'");
    let unique = number(
        &warehouse,
        &format!("SELECT count(*) FROM (SELECT DISTINCT * FROM {files})"),
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM requests"), unique);
    assert_eq!(
        number(&warehouse, "SELECT count(DISTINCT hash) FROM requests"),
        unique
    );
    assert_eq!(number(&warehouse, "SELECT sum(events) FROM requests"), 5500);
    // Column by column as the telemetry has them.
    let same = format!(
        "SELECT count(*) FROM requests r JOIN (SELECT DISTINCT * FROM {files}) t ON r.event_time = t.event_time \
         AND r.path = t.path AND r.method = t.method AND r.host = t.host AND r.client_ip = t.client_ip \
         AND r.status = t.status AND r.request_bytes = t.request_bytes AND r.response_bytes = t.response_bytes \
         AND r.latency_ms = t.latency_ms AND r.user_agent = t.user_agent AND r.headers = t.headers \
         AND (r.\"user\" IS NOT DISTINCT FROM t.\"user\") AND (r.session IS NOT DISTINCT FROM t.session) \
         AND (r.query IS NOT DISTINCT FROM t.query) AND (r.error_code IS NOT DISTINCT FROM t.error_code) \
         AND (r.referer IS NOT DISTINCT FROM t.referer) AND (r.body IS NOT DISTINCT FROM t.body) \
         AND r.actor = coalesce(t.\"user\", t.session, t.client_ip)"
    );
    assert_eq!(number(&warehouse, &same), unique);
    // Each file is in the order of actor, time and hash.
    for path in tree(&dir.path().join("warehouse/requests")) {
        if path.extension().is_none_or(|e| e != "parquet") {
            continue;
        }
        let file = format!("'{warehouse}/requests/{}'", path.display());
        let astray = format!(
            "SELECT count(*) FROM (SELECT actor, event_time, hash, row_number() OVER () AS at, \
             row_number() OVER (ORDER BY actor, event_time, hash) AS place FROM {file}) WHERE at <> place"
        );
        assert_eq!(number(&warehouse, &astray), 0);
    }
    let stages = status(&warehouse, "2025-01-01");
    let stages = stages["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 2);
    for stage in stages {
        let n = |name: &str| stage[name].as_i64().unwrap();
        assert_eq!(
            n("rows_in"),
            n("rows_kept") + n("rows_quarantined") + n("rows_dropped")
        );
    }
    assert_eq!(stages[1]["rows_dropped"], 5500 - unique);
    // Again: nothing to do.
    let before = (
        tree(&dir.path().join("warehouse")),
        digest(&warehouse, "2025-01-01"),
    );
    assert!(run_api(&telemetry, &warehouse, &[]).contains("up to date"));
    let after = (
        tree(&dir.path().join("warehouse")),
        digest(&warehouse, "2025-01-01"),
    );
    assert_eq!(after, before);
}

#[test]
fn requests_are_the_same_whatever_they_come_in_and_wherever_they_are_read() {
    let dir = Dir::new();
    let one = |name: &str, args: &[&str]| {
        let telemetry = synth(&dir, name, args);
        let warehouse = dir.join(&format!("{name}-warehouse"));
        run_api(&telemetry, &warehouse, &[]);
        (telemetry, warehouse)
    };
    let (telemetry, native) = one("native", &["--rows-per-file", "900"]);
    for (name, args) in [
        ("parquet", &["--format", "parquet"][..]),
        ("csv", &["--format", "csv"]),
        (
            "packed",
            &["--format", "ndjson.gz", "--rows-per-file", "1300"],
        ),
        ("ocsf", &["--schema", "ocsf"]),
    ] {
        let (telemetry, warehouse) = one(name, args);
        assert_eq!(
            requests_digest(&warehouse),
            requests_digest(&native),
            "{name}"
        );
        // A named schema gives the same as a recognised one.
        let schema = if name == "ocsf" { "ocsf" } else { "api" };
        let named = dir.join(&format!("{name}-named"));
        run_api(&telemetry, &named, &["--schema", schema]);
        assert_eq!(requests_digest(&named), requests_digest(&native), "{name}");
    }
    // Formats that carry less: what they carry is the same.
    let (_, access) = one("access", &["--schema", "access", "--format", "ndjson.zst"]);
    let carried = "SELECT sum(events) AS n, \"user\", client_ip, method, host, path, query, status, response_bytes, user_agent, \
                   referer, date_trunc('second', event_time) AS at FROM requests GROUP BY 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 \
                   ORDER BY 12, 6, 7, 2, 3, 9";
    assert_eq!(query(&access, carried), query(&native, carried));
    let (_, cloudtrail) = one(
        "cloudtrail",
        &["--schema", "cloudtrail", "--rows-per-file", "1000"],
    );
    assert_eq!(
        number(&cloudtrail, "SELECT sum(events) FROM requests"),
        4000
    );
    let calls = |user: &str| {
        let of_user = format!(
            "SELECT coalesce({user}, '') AS caller, client_ip, host, user_agent, \
             CASE WHEN method = 'GET' THEN 'GET' ELSE 'POST' END AS verb, sum(events) AS n \
             FROM requests GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        );
        move |warehouse: &str| query(warehouse, &of_user)
    };
    let (theirs, ours) = (
        calls("split_part(\"user\", '/', 2)")(&cloudtrail),
        calls("\"user\"")(&native),
    );
    let differing = theirs
        .iter()
        .zip(&ours)
        .find(|(theirs, ours)| theirs != ours);
    assert_eq!((differing, theirs.len()), (None, ours.len()));

    // On a cluster, and in other partitions.
    let cluster = Cluster::start(&dir, Setup::default());
    let there = dir.join("there");
    run_api(&telemetry, &there, &["--cluster", &cluster.url]);
    let digests =
        |warehouse: &str| query(warehouse, "SELECT stage, digest FROM runs ORDER BY stage");
    assert_eq!(digests(&there), digests(&native));
    let slots = dir.join("slots");
    run_api(&telemetry, &slots, &["--slots", "1"]);
    assert_eq!(digests(&slots), digests(&native));
}

#[test]
fn a_warehouse_is_of_one_kind() {
    let dir = Dir::new();
    let requests = synth(&dir, "requests", &[]);
    let lines = dir.synth("lines", &["--lines", "500"]);
    let (of_requests, of_lines) = (dir.join("of-requests"), dir.join("of-lines"));
    run_api(&requests, &of_requests, &[]);
    run(&lines, &of_lines, &["--through", "commands"]);
    let refused = |telemetry: &str, warehouse: &str, kind: &str| {
        fails(&[
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            telemetry,
            "--warehouse",
            warehouse,
            "--kind",
            kind,
        ])
    };
    let said = refused(&lines, &of_requests, "command");
    assert!(said.contains("is of api telemetry"), "{said}");
    let said = refused(&requests, &of_lines, "api");
    assert!(said.contains("is of command telemetry"), "{said}");
    // A warehouse of before there were kinds is of command lines, and stays readable by those who made it.
    let marker = |warehouse: &str| {
        let text = std::fs::read_to_string(format!("{warehouse}/gleaner.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(marker(&of_lines), serde_json::json!({ "format": 1 }));
    assert_eq!(
        marker(&of_requests),
        serde_json::json!({ "format": 2, "kind": "api" })
    );
    // The stages and schemas are the kind's own.
    let wrong = |args: &[&str]| {
        let common = [
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            "t",
            "--warehouse",
            "w",
        ];
        fails(&[&common, args].concat())
    };
    let said = wrong(&["--kind", "api", "--through", "commands"]);
    assert!(said.contains("telemetry, requests"), "{said}");
    let said = wrong(&["--kind", "api", "--schema", "sysmon"]);
    assert!(said.contains("cloudtrail"), "{said}");
    let said = wrong(&["--schema", "cloudtrail"]);
    assert!(said.contains("sysmon"), "{said}");
    let said = wrong(&["--kind", "api", "--lists", "lists.csv"]);
    assert!(said.contains("--lists"), "{said}");
}

#[test]
fn a_fault_costs_its_request_or_its_file_and_the_books_balance() {
    let dir = Dir::new();
    let line = |path: &str| {
        format!(
            "192.0.2.1 - ada [01/Jan/2025:10:00:00 +0000] \"GET {path} HTTP/1.1\" 200 5 \"-\" \"curl\"\n"
        )
    };
    let good = line("/a");
    let record = "{\"eventVersion\":\"1.08\",\"eventTime\":\"2025-01-01T10:00:00Z\",\"eventSource\":\"s3\",\"eventName\":\"GetObject\"}";
    dir.write(
        "t/log/access.log.1",
        format!("{good}half of a line\n{good}"),
    );
    dir.write(
        "t/log/access_log",
        [good.as_bytes(), b"\xff\n", good.as_bytes()].concat(),
    );
    dir.write(
        "t/long.log",
        format!("{good}{}{good}", line(&"/x".repeat(1 << 20))),
    );
    dir.write(
        "t/status.ndjson",
        "{\"event_time\":\"2025-01-01T10:00:00Z\",\"path\":\"/\",\"status\":200}\n\
         {\"event_time\":\"2025-01-01T10:00:00Z\",\"path\":\"/\",\"status\":\"fine\"}\n\
         {\"event_time\":\"2025-01-01T10:00:00Z\",\"method\":\"GET\",\"status\":200}\n",
    );
    dir.write(
        "t/quote.csv",
        "event_time,path,status\n2025-01-01T10:00:00Z,/a,200\n2025-01-01T10:00:00Z,\"/never,200\n2025-01-01T10:00:00Z,/b,200\n",
    );
    dir.write(
        "t/trail.json",
        format!("{{\"Records\":[{record},{{\"eventVersion\":\"1.08\",\"cut,{record}]}}"),
    );
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    for i in 0..20_000 {
        packed
            .write_all(line(&format!("/{i}/{}", i * 7919)).as_bytes())
            .unwrap();
    }
    let packed = packed.finish().unwrap();
    dir.write("t/cut.log.gz", &packed[..packed.len() / 2]);
    dir.write("t/cut.parquet", &b"PAR1 and nothing more"[..]);
    dir.write("t/error_log", "not listed\n");
    let warehouse = dir.join("warehouse");
    run_api(&dir.join("t"), &warehouse, &[]);
    let reasons = |file: &str| {
        let sql = format!(
            "SELECT reason, sum(rows) AS n FROM quarantine WHERE file LIKE '%/{file}' GROUP BY reason ORDER BY reason"
        );
        let rows = query(&warehouse, &sql);
        rows.iter()
            .map(|row| format!("{} {}", row["reason"].as_str().unwrap(), row["n"]))
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (file, expected, kept) in [
        ("access.log.1", "broken_log_line 1", 2),
        ("access_log", "invalid_utf8 1", 2),
        ("long.log", "line_too_long 1", 2),
        ("status.ndjson", "bad_status 1, missing_path 1", 1),
        ("quote.csv", "unclosed_quote 1", 2),
        ("trail.json", "broken_json 1", 2),
        ("cut.parquet", "parquet_truncated 1", 0),
    ] {
        assert_eq!(reasons(file), expected, "{file}");
        let sql = format!("SELECT rows_kept FROM telemetry WHERE file LIKE '%/{file}'");
        assert_eq!(number(&warehouse, &sql), kept, "{file}");
    }
    assert_eq!(reasons("cut.log.gz"), "truncated_gzip 1");
    assert_eq!(number(&warehouse, "SELECT count(*) FROM telemetry"), 8);
    let unbalanced = "SELECT count(*) FROM telemetry WHERE rows_read <> rows_kept + rows_quarantined + rows_other_day";
    assert_eq!(number(&warehouse, unbalanced), 0);
    assert_eq!(
        number(&warehouse, "SELECT sum(rows_kept) FROM telemetry"),
        number(&warehouse, "SELECT sum(events) FROM requests")
    );
}

#[test]
fn recorded_requests_are_read_as_they_are() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned();
    let data = std::env::var("GLEANER_DATA").unwrap_or(beside);
    let file = format!("{data}/api_requests.parquet");
    if !std::path::Path::new(&file).exists() {
        skip("no recorded api_requests.parquet: set GLEANER_DATA");
        return;
    }
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    // A day of a simulated attack in CloudTrail, one of traffic with attacks in it, one of a web server's log.
    for day in ["2023-07-10", "2022-11-21", "2015-05-18"] {
        let args = [
            "run",
            "--kind",
            "api",
            "--through",
            "requests",
            "--date",
            day,
            "--telemetry",
            &file,
            "--warehouse",
            &warehouse,
        ];
        succeeds(&args);
    }
    let days = query(
        &warehouse,
        "SELECT CAST(day AS VARCHAR) AS day, rows_read AS read, rows_kept AS kept, rows_quarantined AS lost FROM telemetry ORDER BY 1",
    );
    let shown: Vec<String> = days
        .iter()
        .map(|d| format!("{} {} {} {}", d["day"], d["read"], d["kept"], d["lost"]))
        .collect();
    println!("day, rows read, kept, quarantined: {shown:?}");
    for (kind, day) in [
        ("cloudtrail", "2023-07-10"),
        ("http", "2022-11-21"),
        ("http", "2015-05-18"),
    ] {
        let of_day = format!("kind = '{kind}' AND CAST(event_time AS DATE) = DATE '{day}'");
        let recorded = number(
            &warehouse,
            &format!("SELECT count(*) FROM '{file}' WHERE {of_day}"),
        );
        let kept = format!("SELECT sum(events) FROM requests WHERE day = DATE '{day}'");
        assert_eq!(number(&warehouse, &kept), recorded, "{day}");
        // Every row is there, with its values; "-" and "" are null, and an address is in its shortest form.
        let missing = format!(
            "SELECT count(*) FROM '{file}' t LEFT JOIN requests r ON r.day = DATE '{day}' AND r.event_time = t.event_time \
             AND r.path = t.path AND (r.method IS NOT DISTINCT FROM t.method) \
             AND (r.query IS NOT DISTINCT FROM nullif(t.query, '')) \
             AND (r.host IS NOT DISTINCT FROM nullif(nullif(t.host, ''), '-')) \
             AND (r.\"user\" IS NOT DISTINCT FROM nullif(nullif(t.user_id, ''), '-')) \
             AND (r.session IS NOT DISTINCT FROM nullif(nullif(t.session_id, ''), '-')) \
             AND (r.status IS NOT DISTINCT FROM CAST(t.status AS INT)) \
             AND (r.user_agent IS NOT DISTINCT FROM nullif(nullif(t.user_agent, ''), '-')) \
             AND (r.error_code IS NOT DISTINCT FROM nullif(nullif(t.error_code, ''), '-')) \
             AND (r.response_bytes IS NOT DISTINCT FROM CAST(t.response_bytes AS BIGINT)) \
             AND (r.body IS NOT DISTINCT FROM nullif(nullif(t.request_body, ''), '-')) \
             AND (r.headers IS NOT DISTINCT FROM nullif(nullif(t.request_headers, ''), '-')) \
             WHERE t.{of_day} AND r.hash IS NULL"
        )
        .replace("CAST(event_time AS DATE)", "CAST(t.event_time AS DATE)");
        assert_eq!(number(&warehouse, &missing), 0, "{day}");
    }
}

#[test]
fn a_server_runs_days_of_its_kind_alone() {
    let dir = Dir::new();
    let lines = dir.synth("lines", &["--lines", "500"]);
    let warehouse = dir.join("warehouse");
    run(&lines, &warehouse, &["--through", "commands"]);
    // The server refuses to begin, so that no job of a schedule fails every night.
    let output = gleaner(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--kind",
        "api",
        "--telemetry",
        &lines,
        "--warehouse",
        &warehouse,
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is of command telemetry"), "{said}");
}
