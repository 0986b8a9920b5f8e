use std::io::Write;

use super::*;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn many(count: usize) -> String {
    (0..count)
        .map(|index| native(&format!("echo {index} {:x}", index * 2_654_435_761)))
        .collect()
}

#[test]
fn several_members_and_frames_read_as_one_text() {
    let text = many(20);
    let (a, b) = text.as_bytes().split_at(1000);
    assert_eq!(
        read("a.json.gz", [gzip(a), gzip(b)].concat()).account.kept,
        20
    );
    assert_eq!(
        read("a.json.zst", [zstd(a), zstd(b)].concat()).account.kept,
        20
    );
}

#[test]
fn a_truncated_archive_keeps_what_came_before() {
    let text = many(20_000);
    for (name, bytes, reason) in [
        ("a.json.gz", gzip(text.as_bytes()), "truncated_gzip"),
        ("a.json.zst", zstd(text.as_bytes()), "truncated_zstd"),
    ] {
        let seen = read(name, &bytes[..bytes.len() / 2]);
        assert_eq!(seen.bad().len(), 1);
        assert_eq!(seen.bad()[0].reason, reason);
        assert!(seen.account.kept > 5_000, "{:?}", seen.account);
        assert_eq!(
            seen.bad()[0].position,
            i64::try_from(seen.account.kept).unwrap()
        );
        let cut_before_the_checksum = read(name, &bytes[..bytes.len() - 2]);
        assert_eq!(cut_before_the_checksum.account.kept, 20_000);
        assert_eq!(cut_before_the_checksum.bad()[0].reason, reason);
    }
}

#[test]
fn a_corrupt_archive_keeps_what_came_before() {
    let text = many(20_000);
    for (name, mut bytes, reason) in [
        ("a.json.gz", gzip(text.as_bytes()), "corrupt_gzip"),
        ("a.json.zst", zstd(text.as_bytes()), "corrupt_zstd"),
    ] {
        let crc = bytes.len() - if reason == "corrupt_gzip" { 8 } else { 4 };
        bytes[crc] ^= 1;
        let seen = read(name, &bytes);
        assert_eq!(
            (seen.bad().len(), seen.bad()[0].reason.as_str()),
            (1, reason)
        );
        // zstd holds its last block back until the checksum is right.
        assert!(seen.account.kept > 19_000, "{:?}", seen.account);
    }
}

#[test]
fn an_empty_or_alien_archive_is_one_lost_row() {
    assert_eq!(read("a.json.gz", "").reasons(), ["truncated_gzip@0"]);
    assert_eq!(read("a.json.zst", "").reasons(), ["truncated_zstd@0"]);
    assert_eq!(
        read("a.json.gz", "no archive at all").reasons(),
        ["corrupt_gzip@0"]
    );
    assert_eq!(
        read("a.json.zst", "no archive at all").reasons(),
        ["corrupt_zstd@0"]
    );
}

#[test]
fn magic_bytes_beat_a_name_that_is_wrong_about_packing() {
    assert_eq!(
        read("a.json", gzip(native("ls").as_bytes())).account.kept,
        1
    );
    assert_eq!(
        read("a.json.gz", zstd(native("ls").as_bytes()))
            .account
            .kept,
        1
    );
    assert_eq!(read("a.json.gz", native("ls")).account.kept, 1);
    assert_eq!(
        read(
            "a.csv",
            gzip(format!("event_time,command_line\n{DAY}T01:00:00Z,ls\n").as_bytes())
        )
        .account
        .kept,
        1
    );
}

#[test]
fn an_empty_archive_that_is_whole_holds_no_rows() {
    assert_eq!(read("a.json.gz", gzip(b"")).account.rows_read, 0);
    assert_eq!(read("a.json.zst", zstd(b"")).account.rows_read, 0);
}

#[test]
fn an_archive_that_unpacks_to_gigabytes_is_streamed() {
    let bomb = gzip(&vec![b'x'; 64 << 20]);
    let seen = read("a.json.gz", [bomb.clone(), bomb].concat());
    assert_eq!(seen.reasons(), ["line_too_long@0"]);
}
