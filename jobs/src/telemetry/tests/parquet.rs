use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaDataReader;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::Length;
use datafusion::arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use datafusion::arrow::datatypes::{Field, Int32Type};

use super::checksums::checksummed;
use super::*;

const NOON_SECS: i64 = 1_735_732_800;
const GROUP_ROWS: usize = 1000;

pub(super) fn write(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .set_dictionary_enabled(false);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    checksummed(&writer.into_inner().unwrap())
}

fn noons(count: usize) -> ArrayRef {
    Arc::new(
        TimestampMicrosecondArray::from(vec![NOON_SECS * 1_000_000; count]).with_timezone("UTC"),
    )
}

pub(super) fn native_file(lines: &[&str]) -> Vec<u8> {
    write(vec![
        ("command_line", Arc::new(StringArray::from(lines.to_vec()))),
        ("event_time", noons(lines.len())),
    ])
}

fn big_file() -> (Vec<u8>, Vec<String>) {
    let lines: Vec<String> = (0..5 * GROUP_ROWS)
        .map(|index| format!("echo {index}"))
        .collect();
    (
        native_file(&lines.iter().map(String::as_str).collect::<Vec<_>>()),
        lines,
    )
}

/// The byte range of a column chunk.
fn chunk(bytes: &[u8], group: usize, column: usize) -> (usize, usize) {
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&Bytes::copy_from_slice(bytes))
        .unwrap();
    let (start, length) = metadata.row_group(group).column(column).byte_range();
    (
        usize::try_from(start).unwrap(),
        usize::try_from(length).unwrap(),
    )
}

#[test]
fn a_whole_file_is_read_in_order() {
    let (bytes, lines) = big_file();
    let seen = read("a.parquet", &bytes);
    assert_eq!(seen.lines(), lines);
    assert_eq!(seen.positions(), (0..5000).collect::<Vec<_>>());
    assert_eq!(seen.account.schema, Some(SchemaKind::Native));
}

#[test]
fn a_page_with_a_wrong_checksum_costs_the_rest_of_its_row_group() {
    let (mut bytes, _) = big_file();
    let (start, length) = chunk(&bytes, 1, 0);
    bytes[start + length - 10] ^= 1;
    let options = ReadOptions {
        batch_rows: 100,
        ..options()
    };
    let seen = read_as("a.parquet", &bytes, &options);
    let bad = &seen.bad()[0];
    assert_eq!(
        (bad.reason.as_str(), seen.bad().len()),
        ("parquet_page_checksum", 1)
    );
    assert_eq!((bad.position, bad.rows), (1900, 100));
    assert_eq!(seen.account.rows_read, 5000);
    assert_eq!(seen.lines().last().unwrap(), "echo 4999");
}

#[test]
fn a_truncated_file_is_one_lost_row() {
    let (bytes, _) = big_file();
    for cut in [0, 3, 8, 11, 100, bytes.len() - 1] {
        let seen = read("a.parquet", &bytes[..cut]);
        assert_eq!(seen.reasons(), ["parquet_truncated@0"], "{cut}");
    }
}

#[test]
fn a_file_whose_middle_is_missing_loses_the_row_groups_it_held() {
    let (bytes, _) = big_file();
    let (start, _) = chunk(&bytes, 2, 0);
    let mut zeroed = bytes;
    zeroed[start..start + 2000].fill(0);
    let seen = read("a.parquet", &zeroed);
    assert_eq!(seen.account.rows_read, 5000);
    assert_eq!((seen.account.kept, seen.account.quarantined), (4000, 1000));
    assert_eq!(seen.bad()[0].reason, "parquet_corrupt");
}

#[test]
fn a_broken_footer_is_one_lost_row() {
    let (mut bytes, _) = big_file();
    let footer = bytes.len() - 200;
    bytes[footer..footer + 150].fill(0xff);
    assert_eq!(read("a.parquet", &bytes).reasons(), ["parquet_corrupt@0"]);
}

#[test]
fn every_kind_of_text_column_is_read_alike() {
    let lines = ["ls -l", "whoami", "écho"];
    let dictionary: DictionaryArray<Int32Type> = lines.iter().copied().collect();
    let columns: [ArrayRef; 5] = [
        Arc::new(StringArray::from(lines.to_vec())),
        Arc::new(LargeStringArray::from(lines.to_vec())),
        Arc::new(StringViewArray::from(lines.to_vec())),
        Arc::new(dictionary),
        Arc::new(BinaryArray::from(
            lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(),
        )),
    ];
    for column in columns {
        let seen = read(
            "a.parquet",
            write(vec![("command_line", column), ("event_time", noons(3))]),
        );
        assert_eq!(seen.lines(), lines);
    }
}

#[test]
fn every_kind_of_time_column_is_read_alike() {
    let texts = StringArray::from(vec!["2025-01-01T12:00:00Z"]);
    let columns: [ArrayRef; 8] = [
        Arc::new(TimestampSecondArray::from(vec![NOON_SECS])),
        Arc::new(TimestampMillisecondArray::from(vec![NOON_SECS * 1_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![NOON_SECS * 1_000_000])),
        Arc::new(TimestampNanosecondArray::from(vec![
            NOON_SECS * 1_000_000_000,
        ])),
        Arc::new(TimestampMillisecondArray::from(vec![NOON_SECS * 1_000]).with_timezone("+02:00")),
        Arc::new(Int64Array::from(vec![NOON_SECS])),
        Arc::new(Int64Array::from(vec![NOON_SECS * 1_000])),
        Arc::new(texts),
    ];
    for column in columns {
        let kind = column.data_type().clone();
        let line: ArrayRef = Arc::new(StringArray::from(vec!["ls"]));
        let seen = read(
            "a.parquet",
            write(vec![("command_line", line), ("event_time", column)]),
        );
        assert_eq!(seen.micros(), [NOON_SECS * 1_000_000], "{kind}");
    }
}

#[test]
fn bad_rows_cost_themselves() {
    let lines: ArrayRef = Arc::new(BinaryArray::from(vec![
        Some(&b"ls"[..]),
        Some(b"a\xffb"),
        None,
        Some(b"a\0b"),
        Some(b""),
        Some(b"id"),
    ]));
    let seen = read(
        "a.parquet",
        write(vec![("command_line", lines), ("event_time", noons(6))]),
    );
    assert_eq!(seen.lines(), ["ls", "id"]);
    let wanted = [
        "invalid_utf8@1",
        "missing_command_line@2",
        "nul_byte@3",
        "missing_command_line@4",
    ];
    assert_eq!(seen.reasons(), wanted);
    assert_eq!(seen.bad()[0].raw.as_deref(), Some(&b"a\xffb"[..]));
    let null_time: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let line: ArrayRef = Arc::new(StringArray::from(vec!["ls"]));
    let seen = read(
        "a.parquet",
        write(vec![("command_line", line), ("event_time", null_time)]),
    );
    assert_eq!(seen.reasons(), ["missing_event_time@0"]);
    assert_eq!(
        seen.bad()[0].raw.as_deref(),
        Some(&b"{\"command_line\":\"ls\",\"event_time\":null}"[..])
    );
}

#[test]
fn a_text_column_with_bad_bytes_costs_a_row_not_the_row_group() {
    let mut bytes = native_file(&["ls", "a~~b", "id"]);
    let at = bytes.windows(4).position(|four| four == b"a~~b").unwrap();
    bytes[at + 1] = 0xff;
    // Without the page's checksum the flipped byte would reach the reader; write the file without one.
    let lines: ArrayRef = Arc::new(StringArray::from(vec!["ls", "a~~b", "id"]));
    let batch =
        RecordBatch::try_from_iter([("command_line", lines), ("event_time", noons(3))]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let mut unchecked = writer.into_inner().unwrap();
    for at in 0..unchecked.len() - 4 {
        if unchecked[at..].starts_with(b"a~~b") {
            unchecked[at + 1] = 0xff;
        }
    }
    assert_eq!(read("a.parquet", &unchecked).reasons(), ["invalid_utf8@1"]);
    assert_eq!(
        read("a.parquet", &bytes).reasons(),
        ["parquet_page_checksum@0"]
    );
}

#[test]
fn a_file_of_no_known_columns_is_lost_with_its_number_of_rows() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let seen = read("a.parquet", write(vec![("x", column)]));
    assert_eq!(
        (seen.reasons(), seen.bad()[0].rows),
        (vec!["unrecognised_schema@0".to_owned()], 3)
    );
}

fn record(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, array)| {
            (
                Arc::new(Field::new(name, array.data_type().clone(), true)),
                array,
            )
        })
        .collect();
    Arc::new(StructArray::from(fields))
}

fn words(words: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(words.to_vec()))
}

#[test]
fn security_lakes_nested_parquet_is_ocsf() {
    let ids = |value: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![value, value])) };
    let parent = record(vec![
        ("cmd_line", words(&["bash", "bash"])),
        ("file", record(vec![("path", words(&["/bin/bash"; 2]))])),
    ]);
    let process = record(vec![
        ("cmd_line", words(&["ls -l", "id"])),
        (
            "file",
            record(vec![
                ("path", words(&["/bin/ls", "/usr/bin/id"])),
                ("name", words(&["ls", "id"])),
            ]),
        ),
        ("parent_process", parent),
        (
            "user",
            record(vec![
                ("name", words(&["root", "eve"])),
                ("uid", words(&["0", "1000"])),
            ]),
        ),
        ("unread", ids(1)),
    ]);
    let device = record(vec![
        ("hostname", words(&["web-1"; 2])),
        ("os", record(vec![("type", words(&["Linux"; 2]))])),
    ]);
    let seen = read(
        "region=eu/eventDay=20250101/p.gz.parquet",
        write(vec![
            (
                "time",
                Arc::new(Int64Array::from(vec![NOON_SECS * 1_000; 2])),
            ),
            ("class_uid", ids(1007)),
            ("activity_id", Arc::new(Int32Array::from(vec![1, 2]))),
            ("process", process),
            ("device", device),
        ]),
    );
    assert_eq!(seen.account.schema, Some(SchemaKind::Ocsf));
    assert_eq!(seen.lines(), ["ls -l"]);
    for (column, value) in [
        ("host", "web-1"),
        ("user", "root"),
        ("user_sid", "0"),
        ("os", "linux"),
        ("image", "/bin/ls"),
        ("parent_image", "/bin/bash"),
        ("parent_command_line", "bash"),
    ] {
        assert_eq!(seen.column(column), [value], "{column}");
    }
    assert_eq!(
        (seen.reasons(), seen.bad()[0].detail.as_str()),
        (vec!["not_process_creation@1".to_owned()], "activity_id 2")
    );
}

#[test]
fn one_long_dictionary_entry_under_many_rows_is_not_copied_for_each_before_it_is_read() {
    let long = "x".repeat(1 << 20);
    let keys: DictionaryArray<Int32Type> = std::iter::repeat_n(long.as_str(), 64).collect();
    let batch = RecordBatch::try_from_iter([
        ("command_line", Arc::new(keys) as ArrayRef),
        ("event_time", noons(64)),
    ]);
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let seen = read("a.parquet", writer.into_inner().unwrap());
    assert_eq!(seen.account.kept, 64);
    assert_eq!(
        seen.batches.iter().map(RecordBatch::num_rows).max(),
        Some(16)
    );
}

/// A source whose bytes past a point cannot be read.
struct Failing(Bytes, u64);

impl Length for Failing {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Failing {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        if start < self.1 {
            Err(io::Error::from(io::ErrorKind::TimedOut).into())
        } else {
            self.0.get_read(start)
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start < self.1 {
            Err(io::Error::from(io::ErrorKind::TimedOut).into())
        } else {
            self.0.get_bytes(start, length)
        }
    }
}

#[test]
fn an_io_error_of_the_source_is_an_error_and_not_a_corrupt_file() {
    let (bytes, _) = big_file();
    let (start, _) = chunk(&bytes, 3, 0);
    let unreadable = [u64::MAX, u64::try_from(start).unwrap()];
    for until in unreadable {
        let source = Failing(Bytes::from(bytes.clone()), until);
        let result = read_parquet("f", source, &options(), &mut |_| Ok(()));
        let Err(TelemetryError::Io { source, .. }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    }
}

/// The first bytes of a footer whose schema nests `levels` deep: Thrift compact, by hand.
fn nested_footer(levels: usize) -> Vec<u8> {
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc]; // version 1; list of structs, long form
    let mut count = levels + 1;
    while count >= 0x80 {
        footer.push(u8::try_from(count & 0x7f).unwrap() | 0x80);
        count >>= 7;
    }
    footer.push(u8::try_from(count).unwrap());
    for _ in 0..levels {
        // repetition required (3), name "a" (4), one child (5)
        footer.extend([0x35, 0x00, 0x18, 0x01, b'a', 0x15, 0x02, 0x00]);
    }
    footer.extend([0x15, 0x02, 0x25, 0x00, 0x18, 0x01, b'a', 0x00]); // an int32 leaf
    footer.extend([0x16, 0x00, 0x19, 0x0c, 0x00]); // no rows, no row groups
    let length = u32::try_from(footer.len()).unwrap();
    [b"PAR1".as_slice(), &footer, &length.to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn a_schema_that_nests_without_end_is_refused_before_it_overflows_the_stack() {
    assert_eq!(read("a.parquet", nested_footer(3)).account.rows_read, 0);
    for levels in [100, 5_000, 200_000] {
        assert_eq!(
            read("a.parquet", nested_footer(levels)).reasons(),
            ["parquet_corrupt@0"],
            "{levels}"
        );
    }
}

/// A source under which the reader panics once it leaves the footer.
struct Panicking(Bytes, u64);

impl Length for Panicking {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Panicking {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        assert!(start >= self.1, "secret");
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        assert!(start >= self.1, "secret");
        self.0.get_bytes(start, length)
    }
}

#[test]
fn a_panic_of_the_parquet_crate_costs_the_row_group() {
    let (bytes, _) = big_file();
    let (start, _) = chunk(&bytes, 1, 0);
    let source = Panicking(Bytes::from(bytes), u64::try_from(start).unwrap());
    let mut batches = Vec::new();
    let account = read_parquet("f", source, &options(), &mut |batch| {
        batches.push(batch);
        Ok(())
    });
    let seen = held_to_the_laws(
        Seen {
            account: account.unwrap(),
            batches,
        },
        &options(),
    );
    assert_eq!((seen.account.kept, seen.account.quarantined), (4000, 1000));
    assert_eq!(seen.reasons(), ["parquet_corrupt@0"]);
}
