use super::*;

const HEADER: &str = "event_time,command_line,host";
const NOON: &str = "2025-01-01T12:00:00Z";

fn table(rows: &[&str]) -> String {
    format!("{HEADER}\n{}", rows.concat().replace('@', NOON))
}

#[test]
fn quoted_fields_hold_delimiters_quotes_and_newlines() {
    let seen = read(
        "a.csv",
        table(&[
            "@,\"a,b\",h\n",
            "@,\"say \"\"hi\"\"\",h\r\n",
            "@,\"two\nlines\",h\n",
            "@,plain,h",
        ]),
    );
    assert_eq!(seen.lines(), ["a,b", "say \"hi\"", "two\nlines", "plain"]);
    assert_eq!(seen.account.quarantined, 0);
}

#[test]
fn an_unclosed_quote_costs_its_line_only() {
    for rows in [
        // The next row's opening quote shows it.
        ["@,a,h\n", "@,\"open,h\n", "@,\"b\",h\n", "@,c,h\n"],
        // Every field quoted.
        [
            "@,a,h\n",
            "\"@\",\"open,h\n",
            "\"@\",\"b\",\"h\"\n",
            "@,c,h\n",
        ],
        // No later quote at all: the end of the file shows it.
        ["@,a,h\n", "@,\"open,h\n", "@,b,h\n", "@,c,h\n"],
        // A later quote closes it before a delimiter: the number of fields shows it.
        ["@,a,h\n", "@,\"open,h\n", "@,b,\"\"\"\n", "@,c,h\n"],
    ] {
        let seen = read("a.csv", table(&rows));
        assert!(
            seen.reasons().contains(&"unclosed_quote@1".to_owned()),
            "{rows:?} {:?}",
            seen.reasons()
        );
        assert_eq!(
            seen.lines().first().map(String::as_str),
            Some("a"),
            "{rows:?}"
        );
        assert_eq!(
            seen.lines().last().map(String::as_str),
            Some("c"),
            "{rows:?}"
        );
        let raw = seen.bad()[0].raw.clone().unwrap();
        assert_eq!(
            String::from_utf8(raw).unwrap(),
            rows[1].trim_end().replace('@', NOON)
        );
        assert_eq!(seen.account.rows_read, 4);
    }
}

#[test]
fn an_open_quote_is_given_up_at_the_longest_record() {
    let options = ReadOptions {
        max_line_bytes: 1000,
        ..options()
    };
    let mut rows = vec!["@,\"open,h\n"];
    rows.extend(std::iter::repeat_n("@,b,h\n", 5000));
    rows.push("@,\"open,h\n");
    rows.push("@,\"last\",h\n");
    let seen = read_as("a.csv", table(&rows).as_bytes(), &options);
    assert_eq!(seen.reasons(), ["unclosed_quote@0", "unclosed_quote@5001"]);
    assert_eq!(seen.account.kept, 5001);
}

#[test]
fn many_open_quotes_take_linear_time() {
    let mut rows = Vec::new();
    for _ in 0..20_000 {
        rows.extend(["@,\"open,h\n", "@,b,h\n", "@,c,h\n"]);
    }
    let started = std::time::Instant::now();
    let seen = read("a.csv", table(&rows));
    assert_eq!(seen.account.rows_read, 60_000);
    assert!(seen.account.kept >= 39_000, "{:?}", seen.account);
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn text_after_a_closing_quote_costs_its_line() {
    let seen = read("a.csv", table(&["@,\"C:\\a.exe\" -x,h\n", "@,b,h\n"]));
    assert_eq!(
        (seen.reasons(), seen.lines()),
        (vec!["stray_quote@0".to_owned()], vec!["b".to_owned()])
    );
}

#[test]
fn a_wrong_number_of_fields_costs_its_line() {
    let seen = read(
        "a.csv",
        table(&["@,a,h\n", "@,b\n", "@,c,h,more\n", "@,d,h\n"]),
    );
    assert_eq!(
        (seen.reasons(), seen.lines().len()),
        (
            vec![
                "wrong_field_count@1".to_owned(),
                "wrong_field_count@2".into()
            ],
            2
        )
    );
    assert_eq!(seen.bad()[0].detail, "2 fields, the header has 3");
}

#[test]
fn byte_order_marks_blank_lines_tabs_and_semicolons_are_understood() {
    for delimiter in [",", "\t", ";"] {
        let text = format!("\u{feff}{HEADER}\r\n\r\n@,\"a,b\",h\r\n\n@,c,h\r\n").replace('@', NOON);
        let text = text
            .replace(',', delimiter)
            .replace(&format!("a{delimiter}b"), "a,b");
        let seen = read("a.csv", text);
        assert_eq!(seen.lines(), ["a,b", "c"], "{delimiter:?}");
        assert_eq!(seen.account.rows_read, 2);
    }
}

#[test]
fn bytes_that_are_not_utf8_and_nul_cost_their_line() {
    let mut bytes = table(&["@,a,h\n"]).into_bytes();
    bytes.extend(b"2025-01-01T12:00:00Z,\xc3,\xa9\n");
    bytes.extend(
        table(&["@,b\0,h\n", "@,c,h\n"])
            .strip_prefix(HEADER)
            .unwrap()
            .as_bytes(),
    );
    let seen = read("a.csv", &bytes);
    assert_eq!(seen.reasons(), ["invalid_utf8@1", "nul_byte@2"]);
    assert_eq!(seen.lines(), ["a", "c"]);
}

#[test]
fn an_overlong_line_costs_itself_also_inside_an_open_quote() {
    let long = format!("@,{},h\n", "x".repeat(2 << 20));
    let seen = read(
        "a.csv",
        table(&["@,a,h\n", &long, "@,\"open,h\n", &long, "@,b,h\n"]),
    );
    assert_eq!(
        seen.reasons(),
        ["line_too_long@1", "unclosed_quote@2", "line_too_long@3"]
    );
    assert_eq!(seen.lines(), ["a", "b"]);
}

#[test]
fn an_empty_cell_is_null_and_an_unknown_header_loses_the_file_in_one_row() {
    let seen = read("a.csv", format!("{HEADER}\n{NOON},ls,\n,ls,h\n"));
    assert_eq!(
        (seen.column("host"), seen.reasons()),
        (
            vec!["∅".to_owned()],
            vec!["missing_event_time@1".to_owned()]
        )
    );
    let seen = read("a.csv", "a,b\n1,2\n3,4\n");
    assert_eq!(
        (seen.reasons(), seen.bad()[0].rows),
        (vec!["unrecognised_schema@0".to_owned()], 2)
    );
}

#[test]
fn dotted_headers_are_ecs() {
    let text = format!(
        "@timestamp,process.command_line,host.os.type,event.category\n{NOON},ls,linux,process\n{NOON},ls,linux,file\n"
    );
    let seen = read("a.csv", text);
    assert_eq!(seen.account.schema, Some(SchemaKind::Ecs));
    assert_eq!(
        (seen.lines(), seen.reasons()),
        (
            vec!["ls".to_owned()],
            vec!["not_process_creation@1".to_owned()]
        )
    );
}
