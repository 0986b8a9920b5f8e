//! Logs and documents of requests that are broken, cut, too long, or made to harm.

use super::archives::{gzip, zstd};
use super::requests::{CLOUDTRAIL, on, shown};
use super::*;

const TIME: &str = "2023-07-19T21:17:28Z";

fn line(path: &str) -> String {
    format!(
        "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET {path} HTTP/1.1\" 200 5 \"-\" \"curl\"\n"
    )
}

fn read_log(bytes: impl AsRef<[u8]>) -> Seen {
    read_as("access_log", bytes.as_ref(), &on(TIME))
}

#[test]
fn a_broken_line_of_a_log_costs_itself() {
    let good = line("/a");
    for (bad, reason) in [
        ("no log at all", "broken_log_line"),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000",
            "broken_log_line",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET / HTTP/1.1",
            "broken_log_line",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET / HTTP/1.1\"",
            "broken_log_line",
        ),
        (
            "http 2023-07-19T21:17:28Z app/x 192.0.2.1:1 - -1 -1",
            "broken_log_line",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"\\x16\\x03\\x01\\x02\" 400 166 \"-\" \"-\"",
            "bad_request_line",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"-\" 408 0 \"-\" \"-\"",
            "missing_path",
        ),
        (
            "http 2023-07-19T21:17:28Z app/x 192.0.2.1:1 - -1 -1 -1 400 - 0 0 \"- http://x:80- -\" \"-\" - - - \"-\"",
            "bad_request_line",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET / HTTP/1.1\" abc 5",
            "bad_status",
        ),
        (
            "192.0.2.1 - - [99/Jul/2023:21:17:28 +0000] \"GET / HTTP/1.1\" 200 5",
            "bad_event_time",
        ),
        (
            "192.0.2.1 - - [19/Jul/2023:21:17:28 +0000] \"GET /\0 HTTP/1.1\" 200 5",
            "nul_byte",
        ),
    ] {
        let seen = read_log(format!("{good}{bad}\n{good}"));
        assert_eq!(seen.reasons(), [format!("{reason}@1")], "{bad:?}");
        assert_eq!(seen.account.kept, 2, "{bad:?}");
        assert_eq!(seen.bad()[0].raw.as_deref(), Some(bad.as_bytes()));
    }
    let seen = read_log([good.as_bytes(), b"\xff\xfe\n", good.as_bytes()].concat());
    assert_eq!(seen.reasons(), ["invalid_utf8@1"]);
    let long = line(&format!("/{}", "x".repeat(2 << 20)));
    assert_eq!(
        read_log(format!("{good}{long}{good}")).reasons(),
        ["line_too_long@1"]
    );
}

#[test]
fn another_programs_log_is_one_row_of_quarantine_after_the_first_thousand() {
    let seen = read_as(
        "syslog.log",
        "boot: ok\n".repeat(5000).as_bytes(),
        &on(TIME),
    );
    assert_eq!(seen.account.quarantined, 5000);
    assert_eq!(seen.bad().len(), 1001);
    assert_eq!(seen.bad()[1000].rows, 4000);
}

#[test]
fn a_log_is_unpacked_and_one_that_was_cut_keeps_what_came_before() {
    let text: String = (0..20_000)
        .map(|i| line(&format!("/{i}/{:x}", i * 7919)))
        .collect();
    for (name, packed, reason) in [
        ("access.log.gz", gzip(text.as_bytes()), "truncated_gzip"),
        ("access.log.zst", zstd(text.as_bytes()), "truncated_zstd"),
        // A name that says nothing of what is in it.
        ("upload-1.gz", gzip(text.as_bytes()), "truncated_gzip"),
    ] {
        let seen = read_as(name, &packed, &on(TIME));
        assert_eq!(
            (seen.account.kept, seen.account.quarantined),
            (20_000, 0),
            "{name}"
        );
        let seen = read_as(name, &packed[..packed.len() / 2], &on(TIME));
        assert!(seen.account.kept > 1000, "{name}: {:?}", seen.account);
        assert_eq!(seen.bad().len(), 1, "{name}");
        assert_eq!(seen.bad()[0].reason, reason);
    }
    // Cut before its first line: told all the same, also by the reader that looks ahead.
    for name in ["access.log.gz", "a.json.gz"] {
        let seen = read_as(name, &gzip(text.as_bytes())[..30], &on(TIME));
        assert_eq!(seen.reasons(), ["truncated_gzip@0"], "{name}");
    }
}

fn document(records: &[&str]) -> String {
    format!("{{\"Records\":[{}]}}", records.join(","))
}

fn read_document(bytes: impl AsRef<[u8]>, options: &ReadOptions) -> Seen {
    read_as("1_CloudTrail_x.json", bytes.as_ref(), options)
}

#[test]
fn a_broken_record_of_a_document_costs_itself() {
    let [first, second] = CLOUDTRAIL;
    let long = format!(
        "{{\"eventVersion\":\"1\",\"x\":\"{}\"}}",
        "y".repeat(2 << 20)
    );
    for (bad, reason) in [
        ("{\"eventVersion\":}", "broken_json"),
        ("7", "broken_json"),
        ("null", "broken_json"),
        ("\"text, with a comma and a ] in it\"", "broken_json"),
        ("[{\"eventVersion\":1}]", "broken_json"),
        // Cut off in a text, in an object, behind a backslash.
        (
            "{\"eventVersion\":\"1.08\",\"eventTime\":\"2023",
            "broken_json",
        ),
        (
            "{\"eventVersion\":\"1.08\",\"userIdentity\":{",
            "broken_json",
        ),
        ("{\"eventVersion\":\"1.08\\", "broken_json"),
        (long.as_str(), "line_too_long"),
        (&long[..long.len() - 2], "line_too_long"),
    ] {
        let shown_bad = &bad[..bad.len().min(60)];
        let seen = read_document(document(&[first, bad, second]), &on(TIME));
        assert_eq!(seen.reasons(), [format!("{reason}@1")], "{shown_bad:?}");
        assert_eq!(seen.account.kept, 2, "{shown_bad:?}");
    }
    let mut bytes = document(&[first, "{\"eventVersion\":\"?\"}", second]).into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xff;
    assert_eq!(
        read_document(bytes, &on(TIME)).reasons(),
        ["invalid_utf8@1"]
    );
}

#[test]
fn a_document_that_ends_early_is_told_once() {
    let [first, second] = CLOUDTRAIL;
    let whole = document(&[first, second]);
    let cut = |bytes: usize| read_document(&whole[..whole.len() - bytes], &on(TIME));
    assert_eq!(cut(0).reasons(), [""; 0]);
    // Without its last brace nothing is lost.
    assert_eq!(cut(1).reasons(), [""; 0]);
    assert_eq!(cut(2).reasons(), ["broken_json@2"]);
    assert_eq!(cut(2).account.kept, 2);
    assert_eq!(cut(40).reasons(), ["broken_json@1"]);
    assert_eq!(cut(40).account.kept, 1);
    let packed = gzip(document(&vec![first; 5000]).as_bytes());
    let seen = read_as("x.json.gz", &packed[..packed.len() / 2], &on(TIME));
    assert_eq!(seen.bad().len(), 1, "{:?}", seen.reasons());
    assert_eq!(seen.bad()[0].reason, "truncated_gzip");
    assert!(seen.account.kept > 100);
    let trailing = format!("{whole} and more");
    let seen = read_document(trailing, &on(TIME));
    assert_eq!(
        (seen.reasons(), seen.account.kept),
        (vec!["broken_json@2".to_owned()], 2)
    );
    for empty in ["{\"Records\":[]}", "[]", "{\"Records\": [ ] }\n"] {
        assert_eq!(
            read_document(empty, &on(TIME)).account.rows_read,
            0,
            "{empty}"
        );
    }
}

#[test]
fn a_large_document_is_read_in_little_memory_whatever_comes_byte_by_byte() {
    let text = document(&vec![CLOUDTRAIL[1]; 300]);
    let source = Flaky {
        bytes: text.as_bytes(),
        fails: false,
    };
    let mut rows = 0;
    let options = on(TIME);
    let account = read_text("x.json", Format::Ndjson, source, &options, &mut |batch| {
        rows += batch.num_rows();
        Ok(())
    });
    let account = account.unwrap();
    assert_eq!((account.kept, account.quarantined), (300, 0));
    assert_eq!(rows, 301);
    let source = Flaky {
        bytes: text.as_bytes(),
        fails: true,
    };
    let failed = read_text("x.json", Format::Ndjson, source, &options, &mut |_| Ok(()));
    assert!(matches!(failed, Err(TelemetryError::Io { .. })));
}

#[test]
fn a_schema_that_is_named_is_the_one_that_is_read() {
    let named = |schema, name: &str, text: &str| {
        let options = ReadOptions {
            schema: Some(schema),
            ..on(TIME)
        };
        shown(&read_as(name, text.as_bytes(), &options)).len()
    };
    // A log under a name that says JSON, and JSON lines that would be taken for another schema.
    assert_eq!(named(SchemaKind::AccessLog, "a.json", &line("/")), 1);
    assert_eq!(named(SchemaKind::Alb, "a.log", &line("/")), 0);
    let both = format!("{{\"class_uid\":4002,\"path\":\"/\",\"time\":\"{TIME}\"}}");
    assert_eq!(named(SchemaKind::Api, "a.json", &both), 1);
    assert_eq!(named(SchemaKind::ApiOcsf, "a.json", &both), 0);
}

#[test]
fn command_lines_are_not_read_from_logs_and_requests_are() {
    for (path, format) in [
        ("access_log", Some(Format::Log)),
        ("var/access.log.3", Some(Format::Log)),
        ("access.log.3.gz", Some(Format::LogGzip)),
        ("access_log-20250101.zst", Some(Format::LogZstd)),
        (
            "x/1_elasticloadbalancing_eu_app.lb.1_20250101T0000Z_1.2.3.4_abc.log.gz",
            Some(Format::LogGzip),
        ),
        ("other_vhosts_access.log.1", Some(Format::Log)),
        ("error_log", None),
        ("notes.txt", None),
        ("a.json", Some(Format::Ndjson)),
        ("a.csv.gz", Some(Format::CsvGzip)),
        ("a.parquet", Some(Format::Parquet)),
    ] {
        assert_eq!(Format::of_path(Kind::Api, path), format, "{path}");
        let of_commands = Format::of_path(Kind::Command, path);
        assert!(of_commands.is_none_or(|format| !format.is_log()), "{path}");
    }
}
