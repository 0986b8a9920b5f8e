//! What is wrong with a file costs that row or that file, never the job, and is accounted for by file.

use std::io::Write;

use crate::support::{Dir, number, query, run};

fn event(command_line: &str) -> String {
    format!(
        "{{\"event_time\":\"2025-01-01T10:00:00Z\",\"command_line\":{},\"host\":\"h\"}}\n",
        serde_json::json!(command_line)
    )
}

fn quarantined(warehouse: &str, file: &str) -> Vec<(String, i64)> {
    let sql = format!(
        "SELECT reason, sum(rows) AS rows FROM quarantine WHERE file LIKE '%{file}' GROUP BY reason ORDER BY reason"
    );
    let row = |r: &serde_json::Value| {
        (
            r["reason"].as_str().unwrap().to_owned(),
            r["rows"].as_i64().unwrap(),
        )
    };
    query(warehouse, &sql).iter().map(row).collect()
}

#[test]
fn a_fault_costs_its_row_or_its_file_and_the_books_balance() {
    let dir = Dir::new();
    let good = event("whoami /all");
    dir.write("t/good.ndjson", event("hostname"));
    dir.write(
        "t/json.ndjson",
        format!("{good}{{\"event_time\": broken\n{good}"),
    );
    dir.write(
        "t/utf8.ndjson",
        [
            good.as_bytes(),
            b"{\"command_line\":\"\xff\xfe\"}\n",
            good.as_bytes(),
        ]
        .concat(),
    );
    dir.write("t/nul.ndjson", format!("{good}{}", event("a\0b")));
    dir.write(
        "t/missing.ndjson",
        format!("{good}{{\"event_time\":\"2025-01-01T10:00:00Z\",\"host\":\"h\"}}\n"),
    );
    dir.write(
        "t/long.ndjson",
        format!("{good}{}{good}", event(&"x".repeat(2 << 20))),
    );
    dir.write(
        "t/quote.csv",
        "event_time,command_line,host\n2025-01-01T10:00:00Z,ipconfig,h\n2025-01-01T10:00:00Z,\"never closed,h\n\
         2025-01-01T10:00:00Z,ipconfig /all,h\n",
    );
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    for i in 0..20_000 {
        packed
            .write_all(event(&format!("truncated {i} {}", i * 7919)).as_bytes())
            .unwrap();
    }
    let packed = packed.finish().unwrap();
    dir.write("t/cut.ndjson.gz", &packed[..packed.len() / 2]);
    dir.write("t/cut.parquet", &b"PAR1 and nothing more"[..]);
    let warehouse = dir.join("warehouse");
    run(&dir.join("t"), &warehouse, &[]);

    let one = |reason: &str| vec![(reason.to_owned(), 1)];
    assert_eq!(quarantined(&warehouse, "good.ndjson"), vec![]);
    assert_eq!(quarantined(&warehouse, "json.ndjson"), one("broken_json"));
    assert_eq!(quarantined(&warehouse, "utf8.ndjson"), one("invalid_utf8"));
    assert_eq!(quarantined(&warehouse, "nul.ndjson"), one("nul_byte"));
    assert_eq!(
        quarantined(&warehouse, "missing.ndjson"),
        one("missing_command_line")
    );
    assert_eq!(quarantined(&warehouse, "long.ndjson"), one("line_too_long"));
    assert_eq!(quarantined(&warehouse, "quote.csv"), one("unclosed_quote"));
    assert_eq!(
        quarantined(&warehouse, "cut.ndjson.gz"),
        one("truncated_gzip")
    );
    assert_eq!(
        quarantined(&warehouse, "cut.parquet"),
        one("parquet_truncated")
    );

    assert_eq!(number(&warehouse, "SELECT count(*) FROM telemetry"), 9);
    let unbalanced = "SELECT count(*) FROM telemetry WHERE rows_read <> rows_kept + rows_quarantined + rows_other_day";
    assert_eq!(number(&warehouse, unbalanced), 0);
    // The rows around a fault are kept.
    let kept = |file: &str| {
        number(
            &warehouse,
            &format!("SELECT rows_kept FROM telemetry WHERE file LIKE '%{file}'"),
        )
    };
    assert_eq!(
        [
            kept("json.ndjson"),
            kept("utf8.ndjson"),
            kept("long.ndjson"),
            kept("quote.csv")
        ],
        [2, 2, 2, 2]
    );
    assert!(kept("cut.ndjson.gz") > 1000);
    assert_eq!(
        number(&warehouse, "SELECT sum(rows_kept) FROM telemetry"),
        number(&warehouse, "SELECT sum(events) FROM commands")
    );
    // Each says where: file, position, reason, and the bytes themselves.
    assert_eq!(
        number(
            &warehouse,
            "SELECT position FROM quarantine WHERE reason = 'broken_json'"
        ),
        1
    );
    assert_eq!(
        number(
            &warehouse,
            "SELECT count(*) FROM quarantine WHERE raw IS NULL AND reason = 'broken_json'"
        ),
        0
    );
}

#[test]
fn every_format_and_schema_of_synth_reads_back_whole() {
    let dir = Dir::new();
    for (schema, format) in [
        ("native", "parquet"),
        ("native", "ndjson"),
        ("native", "ndjson.zst"),
        ("native", "csv"),
        ("ocsf", "ndjson.gz"),
        ("ocsf", "parquet"),
        ("ecs", "ndjson"),
        ("sysmon", "ndjson"),
        ("security4688", "ndjson"),
    ] {
        let name = format!("{schema}-{format}");
        let telemetry = dir.synth(
            &name,
            &["--lines", "1500", "--schema", schema, "--format", format],
        );
        let warehouse = dir.join(&format!("{name}-warehouse"));
        run(&telemetry, &warehouse, &["--through", "commands"]);
        let sums = query(
            &warehouse,
            "SELECT sum(rows_read) AS r, sum(rows_kept) AS k FROM telemetry",
        );
        assert_eq!(sums[0]["r"], 1500, "{name}");
        assert_eq!(sums[0]["k"], 1500, "{name}");
        // A named schema gives the same lines as a recognised one.
        let lines = number(&warehouse, "SELECT count(*) FROM commands");
        let named = dir.join(&format!("{name}-named"));
        run(
            &telemetry,
            &named,
            &["--through", "commands", "--schema", schema],
        );
        assert_eq!(
            number(&named, "SELECT count(*) FROM commands"),
            lines,
            "{name}"
        );
    }
}

#[test]
fn a_day_is_picked_by_event_time_in_utc() {
    let dir = Dir::new();
    let at = |time: &str, line: &str| {
        format!("{{\"event_time\":\"{time}\",\"command_line\":\"{line}\"}}\n")
    };
    let text = [
        at("2025-01-01T00:30:00+02:00", "new-year-in-helsinki"),
        at("2024-12-31T20:00:00-05:00", "still-december-in-boston"),
        at("2025-01-01T23:59:59.999999Z", "last-moment"),
        at("2025-01-02T00:00:00Z", "tomorrow"),
    ];
    let telemetry = dir.write("t.ndjson", text.concat());
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    let lines = query(
        &warehouse,
        "SELECT command_line FROM commands ORDER BY command_line",
    );
    let lines: Vec<_> = lines
        .iter()
        .map(|r| r["command_line"].as_str().unwrap())
        .collect();
    assert_eq!(lines, ["last-moment", "still-december-in-boston"]);
    assert_eq!(
        number(&warehouse, "SELECT rows_other_day FROM telemetry"),
        2
    );
}
