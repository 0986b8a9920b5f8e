//! Facts about the readers, by kind of file. Every read goes through [`read_as`], which holds the stream's laws against
//! it: the account balances, the rows of the stream add up to it, the last row is the file's.

mod archives;
mod checksums;
mod csv;
mod json;
mod mappings;
mod mutations;
mod parquet;
mod real;
mod requests;
mod requests_hostile;

use std::io::{self, Read};

use bytes::Bytes;
use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;

const DAY: &str = "2025-01-01";

fn options() -> ReadOptions {
    ReadOptions::new(DAY.parse::<NaiveDate>().unwrap())
}

/// A quarantined row.
#[derive(Debug)]
struct Bad {
    reason: String,
    detail: String,
    position: i64,
    offset: Option<i64>,
    rows: i64,
    raw: Option<Vec<u8>>,
}

/// A file as it was read.
#[derive(Debug)]
struct Seen {
    account: FileAccount,
    batches: Vec<RecordBatch>,
}

impl Seen {
    /// A text column of the events, in order; null is "∅".
    fn column(&self, name: &str) -> Vec<String> {
        self.cells("event", |batch, row| {
            let array = batch.column_by_name(name).unwrap();
            match array.data_type() {
                _ if array.is_null(row) => "∅".to_owned(),
                datafusion::arrow::datatypes::DataType::Boolean => {
                    array.as_boolean().value(row).to_string()
                }
                _ => array.as_string::<i32>().value(row).to_owned(),
            }
        })
    }

    fn lines(&self) -> Vec<String> {
        self.column("command_line")
    }

    fn micros(&self) -> Vec<i64> {
        self.cells("event", |batch, row| {
            batch
                .column_by_name("event_time")
                .unwrap()
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
        })
    }

    fn positions(&self) -> Vec<i64> {
        self.cells("event", |batch, row| int(batch, "position", row).unwrap())
    }

    fn bad(&self) -> Vec<Bad> {
        self.cells("quarantine", |batch, row| {
            let raw = batch.column_by_name("raw").unwrap().as_binary::<i32>();
            Bad {
                reason: text(batch, "reason", row),
                detail: text(batch, "detail", row),
                position: int(batch, "position", row).unwrap(),
                offset: int(batch, "offset", row),
                rows: int(batch, "rows", row).unwrap(),
                raw: raw.is_valid(row).then(|| raw.value(row).to_vec()),
            }
        })
    }

    /// `reason@position`, the short form that most tests want.
    fn reasons(&self) -> Vec<String> {
        self.bad()
            .iter()
            .map(|bad| format!("{}@{}", bad.reason, bad.position))
            .collect()
    }

    fn cells<T>(&self, kind: &str, cell: impl Fn(&RecordBatch, usize) -> T) -> Vec<T> {
        let mut cells = Vec::new();
        for batch in &self.batches {
            let rows = (0..batch.num_rows()).filter(|row| text(batch, "kind", *row) == kind);
            cells.extend(rows.map(|row| cell(batch, row)));
        }
        cells
    }
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> String {
    let array = batch.column_by_name(name).unwrap().as_string::<i32>();
    if array.is_null(row) {
        String::new()
    } else {
        array.value(row).to_owned()
    }
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let array = batch
        .column_by_name(name)
        .unwrap()
        .as_primitive::<Int64Type>();
    array.is_valid(row).then(|| array.value(row))
}

fn read_as(name: &str, bytes: &[u8], options: &ReadOptions) -> Seen {
    let mut batches = Vec::new();
    let account = read_bytes(
        name,
        &Bytes::copy_from_slice(bytes),
        options,
        &mut |batch| {
            batches.push(batch);
            Ok(())
        },
    );
    held_to_the_laws(
        Seen {
            account: account.unwrap(),
            batches,
        },
        options,
    )
}

fn held_to_the_laws(seen: Seen, options: &ReadOptions) -> Seen {
    let account = seen.account;
    assert!(account.balances(), "{account:?}");
    for batch in &seen.batches {
        assert_eq!(batch.schema(), events_schema(options.kind));
        assert!(batch.num_rows() <= options.batch_rows + 1);
    }
    let rows_of = |kind| -> u64 {
        let rows = seen.cells(kind, |batch, row| int(batch, "rows", row).unwrap());
        rows.into_iter()
            .map(|rows| u64::try_from(rows).unwrap())
            .sum()
    };
    assert_eq!(rows_of("event"), account.kept);
    assert_eq!(rows_of("quarantine"), account.quarantined);
    assert_eq!(rows_of("file"), account.rows_read);
    let other = seen.cells("file", |batch, row| {
        int(batch, "rows_other_day", row).unwrap()
    });
    assert_eq!(other, [i64::try_from(account.other_day).unwrap()]);
    let last = seen.batches.last().unwrap();
    assert_eq!(text(last, "kind", last.num_rows() - 1), "file");
    let start = time::start_of(options.day);
    assert!(
        seen.micros()
            .iter()
            .all(|micros| (start..start + time::MICROS_PER_DAY).contains(micros))
    );
    assert!(
        seen.bad()
            .iter()
            .all(|bad| bad.raw.as_ref().is_none_or(|raw| raw.len() <= 4096) && bad.rows > 0)
    );
    seen
}

fn read(name: &str, bytes: impl AsRef<[u8]>) -> Seen {
    read_as(name, bytes.as_ref(), &options())
}

/// A native line at noon of the day.
fn native(command_line: &str) -> String {
    let line = serde_json::to_string(command_line).unwrap();
    format!(
        "{{\"event_time\":\"{DAY}T12:00:00Z\",\"command_line\":{line},\"host\":\"h\",\"user\":\"u\"}}\n"
    )
}

/// A source that hands out one byte fewer than asked for at times, and fails at its end when told to.
struct Flaky<'a> {
    bytes: &'a [u8],
    fails: bool,
}

impl Read for Flaky<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && self.fails {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"));
        }
        let most = buffer.len().min(7);
        self.bytes.read(&mut buffer[..most])
    }
}

#[test]
fn an_io_error_of_the_source_is_an_error_whatever_the_packing() {
    let text = native("ls").repeat(3);
    for (format, bytes) in [
        (Format::Ndjson, text.clone().into_bytes()),
        (Format::NdjsonGzip, archives::gzip(text.as_bytes())),
        (Format::NdjsonZstd, archives::zstd(text.as_bytes())),
        (Format::Csv, text.into_bytes()),
    ] {
        let cut = &bytes[..bytes.len() - 3];
        let result = read_text(
            "f",
            format,
            Flaky {
                bytes: cut,
                fails: true,
            },
            &options(),
            &mut |_| Ok(()),
        );
        assert!(
            matches!(result, Err(TelemetryError::Io { .. })),
            "{format:?} {result:?}"
        );
    }
}

#[test]
fn a_source_that_hands_out_a_few_bytes_at_a_time_reads_the_same() {
    let text = native("ls").repeat(300);
    for (format, bytes) in [
        (Format::Ndjson, text.clone().into_bytes()),
        (Format::NdjsonGzip, archives::gzip(text.as_bytes())),
        (Format::NdjsonZstd, archives::zstd(text.as_bytes())),
    ] {
        let source = Flaky {
            bytes: &bytes,
            fails: false,
        };
        let account = read_text("f", format, source, &options(), &mut |_| Ok(())).unwrap();
        assert_eq!((account.kept, account.rows_read), (300, 300), "{format:?}");
    }
}

#[test]
fn a_receiver_that_stops_ends_the_reading() {
    let mut calls = 0;
    let options = ReadOptions {
        batch_rows: 10,
        ..options()
    };
    let text = native("ls").repeat(100);
    let result = read_text("f", Format::Ndjson, text.as_bytes(), &options, &mut |_| {
        calls += 1;
        Err(TelemetryError::Receiver("enough".into()))
    });
    assert!(matches!(result, Err(TelemetryError::Receiver(_))));
    assert_eq!(calls, 1);
}

#[test]
fn a_file_on_disk_reads_as_its_bytes_do() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.json", native("ls").into_bytes()),
        ("a.gz", archives::gzip(native("ls").as_bytes())),
        ("no-extension", archives::zstd(native("ls").as_bytes())),
        (
            "a.csv",
            format!("event_time,command_line\n{DAY}T01:00:00Z,ls\n").into_bytes(),
        ),
        ("a.parquet", parquet::native_file(&["ls"])),
        ("parquet-without-extension", parquet::native_file(&["ls"])),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let account = read_file(name, &path, &options(), &mut |_| Ok(())).unwrap();
        assert_eq!((account.rows_read, account.kept), (1, 1), "{name}");
    }
    let missing = read_file("x", &folder.path().join("missing"), &options(), &mut |_| {
        Ok(())
    });
    assert!(matches!(missing, Err(TelemetryError::Io { .. })));
}

#[test]
fn an_empty_text_file_holds_no_rows_and_an_unknown_file_is_one_lost_row() {
    assert_eq!(read("a.json", "").account.rows_read, 0);
    assert_eq!(read("a.csv", "").account.rows_read, 0);
    assert_eq!(read("notes.txt", "").account.rows_read, 0);
    assert_eq!(
        read("notes.txt", "hello").reasons(),
        ["unrecognised_format@0"]
    );
}

#[test]
fn a_format_is_told_by_name_then_by_first_bytes() {
    for (path, format) in [
        (
            "s3://b/eventDay=20250101/p.gz.parquet",
            Some(Format::Parquet),
        ),
        ("a.json", Some(Format::Ndjson)),
        ("a.JSONL", Some(Format::Ndjson)),
        ("a.ndjson.gz", Some(Format::NdjsonGzip)),
        ("firehose-1.gz", Some(Format::NdjsonGzip)),
        ("a.json.zst", Some(Format::NdjsonZstd)),
        ("a.csv", Some(Format::Csv)),
        ("a.csv.gz", Some(Format::CsvGzip)),
        ("a.tsv.zst", Some(Format::CsvZstd)),
        ("a.v1/part-0", None),
        ("a.txt", None),
    ] {
        assert_eq!(Format::of_path(Kind::Command, path), format, "{path}");
    }
    assert_eq!(
        Format::of_magic(Kind::Command, b"PAR1...."),
        Some(Format::Parquet)
    );
    assert_eq!(
        Format::of_magic(Kind::Command, b"\xef\xbb\xbf \n{"),
        Some(Format::Ndjson)
    );
    assert_eq!(Format::of_magic(Kind::Command, b"a,b"), None);
    assert_eq!(
        Format::detect(Kind::Command, "a.json", b"PAR1"),
        Some(Format::Parquet)
    );
}

#[test]
fn partitions_more_than_a_day_away_and_hidden_files_are_not_opened() {
    let day = DAY.parse().unwrap();
    for (path, skipped) in [
        ("region=eu/accountId=1/eventDay=20250101/p.parquet", false),
        ("eventDay=20241231/p", false),
        ("eventDay=20250102/p", false),
        ("eventDay=20250103/p", true),
        ("day=2024-12-30/p", true),
        ("date=2025-01-01/p", false),
        ("dt=20230101/p", true),
        ("dt=latest/p", false),
        ("year=2025/month=01/day=01/p", false),
        ("year=2025/month=1/day=4/p", true),
        ("year=2024/month=12/p", false),
        ("year=2024/month=11/p", true),
        ("year=2023/p", true),
        ("year=2024/p", false),
        ("year=x/month=11/p", false),
        ("a/_SUCCESS", true),
        ("_delta_log/0.json", true),
        ("a/.part.crc", true),
        ("_y=1/p", false),
        ("./a", false),
        ("hour=99/p", false),
        ("year=2025/month=13/p", false),
        ("plain/2020/p", false),
    ] {
        assert_eq!(skip_by_path(path, day), skipped, "{path}");
    }
}

#[test]
fn a_schema_keeps_its_name() {
    for kind in SchemaKind::ALL {
        let again = SchemaKind::named(kind.kind(), kind.name());
        assert_eq!(again.unwrap(), kind);
    }
    for (kind, name) in [
        (Kind::Command, "ECS"),
        (Kind::Command, "cloudtrail"),
        (Kind::Api, "sysmon"),
    ] {
        let error = SchemaKind::named(kind, name).unwrap_err().to_string();
        assert!(error.contains(&SchemaKind::names(kind)), "{error}");
    }
}
