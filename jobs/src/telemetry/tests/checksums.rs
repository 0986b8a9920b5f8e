//! Page checksums, which the parquet crate verifies and does not write.

use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use bytes::Bytes;

fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        value |= usize::from(bytes[*at] & 0x7f) << shift;
        *at += 1;
        if bytes[*at - 1] < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// The file with a checksum in each page header, as parquet-mr writes them and the parquet crate does not. A header is
/// Thrift compact: fields 1 to 3 are `i32`s (type, unpacked and packed size), the checksum is field 4, and the next
/// field's first byte holds its distance from the one before.
pub(super) fn checksummed(bytes: &[u8]) -> Vec<u8> {
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&Bytes::copy_from_slice(bytes))
        .unwrap();
    let mut out = b"PAR1".to_vec();
    let mut groups = Vec::new();
    for group in metadata.row_groups() {
        let mut columns = Vec::new();
        for column in group.columns() {
            let (start, length) = column.byte_range();
            let (mut at, length) = (
                usize::try_from(start).unwrap(),
                usize::try_from(length).unwrap(),
            );
            let (end, begins) = (at + length, out.len());
            while at < end {
                let header = at;
                let mut packed = 0;
                for _ in 0..3 {
                    assert_eq!(bytes[at], 0x15);
                    at += 1;
                    packed = varint(bytes, &mut at) >> 1;
                }
                out.extend(&bytes[header..at]);
                // The rest of the header ends where the page begins: found by trying, since pages follow each other.
                let body = (at..end).find(|body| {
                    let next = body + packed;
                    let one_more = next == end
                        || (next < end && bytes[next..].starts_with(&[0x15, 0x00, 0x15]));
                    one_more && bytes[body - 1] == 0
                });
                let body = body.unwrap();
                let mut crc = flate2::Crc::new();
                crc.update(&bytes[body..body + packed]);
                let signed = i64::from(i32::from_ne_bytes(crc.sum().to_ne_bytes()));
                let mut zigzag =
                    u32::try_from(((signed << 1) ^ (signed >> 31)) & 0xffff_ffff).unwrap();
                out.push(0x15);
                while zigzag >= 0x80 {
                    out.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
                    zigzag >>= 7;
                }
                out.push(u8::try_from(zigzag).unwrap());
                out.push(bytes[at] - 0x10);
                out.extend(&bytes[at + 1..body + packed]);
                at = body + packed;
            }
            let grown = out.len() - begins;
            let column = column.clone().into_builder();
            let column = column.set_data_page_offset(i64::try_from(begins).unwrap());
            let column = column.set_total_compressed_size(i64::try_from(grown).unwrap());
            columns.push(
                column
                    .set_offset_index_offset(None)
                    .set_column_index_offset(None)
                    .build()
                    .unwrap(),
            );
        }
        groups.push(
            group
                .clone()
                .into_builder()
                .set_column_metadata(columns)
                .build()
                .unwrap(),
        );
    }
    let metadata = ParquetMetaData::new(metadata.file_metadata().clone(), groups);
    ParquetMetaDataWriter::new(&mut out, &metadata)
        .finish()
        .unwrap();
    out
}
