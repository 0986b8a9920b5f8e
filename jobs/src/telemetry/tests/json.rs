use super::*;

#[test]
fn a_broken_line_costs_itself() {
    let text = format!(
        "{}{{\"command_line\": \n[1]\n\"x\"\n{}",
        native("first"),
        native("second")
    );
    let seen = read("a.json", &text);
    assert_eq!(seen.lines(), ["first", "second"]);
    assert_eq!(
        seen.reasons(),
        ["broken_json@1", "broken_json@2", "broken_json@3"]
    );
    assert_eq!(
        seen.bad()[0].raw.as_deref(),
        Some(&b"{\"command_line\": "[..])
    );
    assert_eq!(
        seen.bad()[0].offset,
        Some(i64::try_from(native("first").len()).unwrap())
    );
}

#[test]
fn invalid_utf8_costs_its_line_and_its_bytes_are_kept() {
    let mut bytes = native("first").into_bytes();
    bytes.extend(b"{\"command_line\":\"a\xff\xfeb\"}\n");
    bytes.extend(native("second").into_bytes());
    let seen = read("a.json", &bytes);
    assert_eq!(seen.lines(), ["first", "second"]);
    assert_eq!(seen.reasons(), ["invalid_utf8@1"]);
    assert_eq!(
        seen.bad()[0].raw.as_deref(),
        Some(&b"{\"command_line\":\"a\xff\xfeb\"}"[..])
    );
}

#[test]
fn a_lone_surrogate_is_broken_json() {
    let seen = read(
        "a.json",
        format!("{}{{\"command_line\":\"\\ud800x\"}}\n", native("ls")),
    );
    assert_eq!(seen.reasons(), ["broken_json@1"]);
}

#[test]
fn a_nul_in_the_command_line_is_quarantined_and_not_quoted() {
    let seen = read("a.json", native("secret\0word"));
    assert_eq!(seen.reasons(), ["nul_byte@0"]);
    assert!(!seen.bad()[0].detail.contains("secret"));
}

#[test]
fn a_missing_null_empty_or_blank_command_line_is_quarantined() {
    let line =
        |rest: &str| format!("{{\"event_time\":\"{DAY}T12:00:00Z\",\"host\":\"h\"{rest}}}\n");
    let text = [
        line(""),
        line(",\"command_line\":null"),
        line(",\"command_line\":\"\""),
        line(",\"command_line\":\" \""),
    ];
    let seen = read("a.json", text.concat());
    assert_eq!(seen.account.quarantined, 4);
    assert!(
        seen.bad()
            .iter()
            .all(|bad| bad.reason == "missing_command_line")
    );
}

#[test]
fn a_command_line_that_is_no_text_is_quarantined_and_other_fields_take_numbers() {
    let line = |value: &str| {
        format!(
            "{{\"event_time\":\"{DAY}T12:00:00Z\",\"command_line\":{value},\"host\":7,\"user\":[\"a\"],\"os\":{{}}}}\n"
        )
    };
    let seen = read(
        "a.json",
        [line("12"), line("[\"a\"]"), line("{}"), line("\"ls\"")].concat(),
    );
    assert_eq!(
        seen.reasons(),
        ["wrong_type@0", "wrong_type@1", "wrong_type@2"]
    );
    assert_eq!(
        (seen.column("host"), seen.column("user"), seen.column("os")),
        (vec!["7".into()], vec!["a".into()], vec!["∅".into()])
    );
}

#[test]
fn an_overlong_line_costs_itself_and_4_kib() {
    let long = format!("{{\"command_line\":\"{}\"}}\n", "x".repeat(3 << 20));
    let seen = read(
        "a.json",
        format!("{}{long}{}", native("first"), native("second")),
    );
    assert_eq!(seen.lines(), ["first", "second"]);
    assert_eq!(seen.positions(), [0, 2]);
    let bad = &seen.bad()[0];
    assert_eq!((bad.reason.as_str(), bad.position), ("line_too_long", 1));
    assert_eq!(bad.detail, format!("line of {} bytes", long.len()));
    assert_eq!(bad.raw.as_deref(), Some(&long.as_bytes()[..4096]));
}

#[test]
fn a_line_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let line = native("ls");
    for (max, kept) in [(line.len() - 1, 1), (line.len() - 2, 0)] {
        for end in ["\n", "\r\n", ""] {
            let text = format!("{}{end}", line.trim_end());
            let options = ReadOptions {
                max_line_bytes: max,
                schema: Some(SchemaKind::Native),
                ..options()
            };
            assert_eq!(
                read_as("a.json", text.as_bytes(), &options).account.kept,
                kept,
                "{max} {end:?}"
            );
        }
    }
}

#[test]
fn an_endless_line_is_read_in_bounded_memory() {
    // 512 MiB without a newline: buffered whole it would show, and take seconds.
    let endless = io::repeat(b'x').take(512 << 20);
    let account = read_text("f", Format::Ndjson, endless, &options(), &mut |_| Ok(())).unwrap();
    assert_eq!((account.rows_read, account.quarantined), (1, 1));
}

#[test]
fn byte_order_marks_carriage_returns_and_blank_lines_are_no_rows() {
    let line = native("ls");
    let text = format!(
        "\u{feff}\r\n\n{}\r\n   \n{}",
        line.trim_end(),
        line.trim_end()
    );
    let seen = read("a.json", &text);
    assert_eq!((seen.account.rows_read, seen.account.kept), (2, 2));
    assert_eq!(seen.positions(), [0, 1]);
    let offsets = seen.cells("event", |batch, row| int(batch, "offset", row).unwrap());
    for offset in offsets {
        assert!(text[usize::try_from(offset).unwrap()..].starts_with("{\"event_time\""));
    }
}

#[test]
fn hostile_depth_is_broken_json() {
    let deep = format!("{{\"a\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let seen = read("a.json", format!("{}{deep}", native("ls")));
    assert_eq!(seen.reasons(), ["broken_json@1"]);
    assert_eq!(seen.account.kept, 1);
}

#[test]
fn of_duplicate_keys_the_last_one_counts() {
    let text = format!(
        "{{\"event_time\":\"{DAY}T12:00:00Z\",\"command_line\":\"a\",\"command_line\":\"b\"}}\n"
    );
    assert_eq!(read("a.json", text).lines(), ["b"]);
}

#[test]
fn events_of_other_days_are_counted_even_when_they_are_bad() {
    let at =
        |time: &str, line: &str| format!("{{\"event_time\":\"{time}\",\"command_line\":{line}}}\n");
    let seen = read(
        "a.json",
        [
            at("2024-12-31T23:59:59.999999Z", "\"a\""),
            at("2025-01-01T00:00:00Z", "\"b\""),
            at("2025-01-01T23:59:59.999999Z", "\"c\""),
            at("2025-01-02T00:00:00Z", "\"d\""),
            at("2025-01-02T01:00:00+02:00", "\"e\""),
            at("2026-01-01T00:00:00Z", "null"),
        ]
        .concat(),
    );
    assert_eq!(seen.lines(), ["b", "c", "e"]);
    assert_eq!((seen.account.other_day, seen.account.quarantined), (3, 0));
}

#[test]
fn undated_rows_are_quarantined_or_taken_as_the_days_as_told() {
    let text = "{\"command_line\":\"ls\"}\n{\"command_line\":\"ls\",\"event_time\":\"soon\"}\n";
    assert_eq!(
        read("a.json", text).reasons(),
        ["missing_event_time@0", "bad_event_time@1"]
    );
    let seen = read_as(
        "a.json",
        text.as_bytes(),
        &ReadOptions {
            undated: Undated::AsDay,
            ..options()
        },
    );
    assert_eq!(seen.reasons(), ["bad_event_time@1"]);
    assert_eq!(seen.micros(), [time::start_of(options().day)]);
}

#[test]
fn a_file_of_no_known_schema_is_one_quarantine_row_that_counts_them_all() {
    let seen = read("a.json", "{\"a\":1}\n".repeat(5000));
    let bad = seen.bad();
    assert_eq!(
        (bad.len(), bad[0].rows, bad[0].reason.as_str()),
        (1, 5000, "unrecognised_schema")
    );
    assert_eq!(seen.account.schema, None);
}

#[test]
fn the_schema_is_what_most_of_the_first_lines_show() {
    let odd = "{\"process\":{\"cmd_line\":\"x\"}}\n";
    let seen = read("a.json", format!("{odd}{}", native("ls").repeat(150)));
    assert_eq!(seen.account.schema, Some(SchemaKind::Native));
    assert_eq!((seen.account.kept, seen.account.quarantined), (150, 1));
    assert_eq!(seen.positions(), (1..=150).collect::<Vec<_>>());
}

#[test]
fn batches_end_at_their_rows_or_at_16_mib_of_text() {
    let seen = read_as(
        "a.json",
        native("ls").repeat(25).as_bytes(),
        &ReadOptions {
            batch_rows: 10,
            ..options()
        },
    );
    assert_eq!(
        seen.batches
            .iter()
            .map(RecordBatch::num_rows)
            .collect::<Vec<_>>(),
        [10, 10, 6]
    );
    let seen = read("a.json", native(&"x".repeat(1_000_000)).repeat(40));
    assert_eq!(seen.account.kept, 40);
    assert_eq!(
        seen.batches
            .iter()
            .map(RecordBatch::num_rows)
            .collect::<Vec<_>>(),
        [17, 17, 7]
    );
}
