//! The checksums that an object carries in its metadata: the CRC-32 of each of its blocks.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use object_store::{Attribute, Attributes};

/// The key of the checksums in an object's metadata.
pub const CHECKSUMS: &str = "gleaner-crc";
/// The first field of their text: `version:block bytes:size:base64 of the CRCs, little-endian`.
pub(super) const VERSION: &str = "1";
pub(super) const BLOCK_BYTES: u64 = 256 << 10;
/// That many are 1.7 KB of text; AWS allows 2 KB of metadata.
const MAX_BLOCKS: u64 = 320;

/// The checksums of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checksums {
    pub(super) block_bytes: u64,
    pub(super) size: u64,
    pub(super) blocks: Vec<u32>,
}

impl Checksums {
    pub(super) fn of<'a>(pieces: impl IntoIterator<Item = &'a Bytes>, size: u64) -> Self {
        let mut block_bytes = BLOCK_BYTES;
        while size.div_ceil(block_bytes) > MAX_BLOCKS {
            block_bytes *= 2;
        }
        let mut blocks = Vec::new();
        let (mut hasher, mut room) = (crc32fast::Hasher::new(), block_bytes);
        for piece in pieces {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(to_usize(room)));
                hasher.update(now);
                room -= now.len() as u64;
                rest = later;
                if room == 0 {
                    blocks.push(std::mem::take(&mut hasher).finalize());
                    room = block_bytes;
                }
            }
        }
        if room < block_bytes {
            blocks.push(hasher.finalize());
        }
        Self {
            block_bytes,
            size,
            blocks,
        }
    }

    pub(super) fn encode(&self) -> String {
        let bytes: Vec<u8> = self.blocks.iter().flat_map(|b| b.to_le_bytes()).collect();
        let blocks = BASE64_STANDARD.encode(bytes);
        format!("{VERSION}:{}:{}:{blocks}", self.block_bytes, self.size)
    }

    /// `None` for a text that is not as it was written.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut fields = text.split(':').skip(1);
        let block_bytes: u64 = fields.next()?.parse().ok()?;
        let size: u64 = fields.next()?.parse().ok()?;
        let bytes = BASE64_STANDARD.decode(fields.next()?).ok()?;
        let (blocks, rest) = bytes.as_chunks::<4>();
        let complete = rest.is_empty()
            && block_bytes.is_power_of_two()
            && block_bytes >= BLOCK_BYTES
            && blocks.len() as u64 == size.div_ceil(block_bytes);
        complete.then(|| Self {
            block_bytes,
            size,
            blocks: blocks.iter().map(|b| u32::from_le_bytes(*b)).collect(),
        })
    }

    /// The whole blocks that a range touches.
    pub(super) fn cover(&self, range: &Range<u64>) -> Range<u64> {
        let wide = widen(range, self.block_bytes);
        wide.start..wide.end.min(self.size)
    }

    /// The block that starts at `at`.
    pub(super) fn block(&self, at: u64) -> Option<(Range<u64>, u32)> {
        let crc = self.blocks.get(to_usize(at / self.block_bytes))?;
        Some((at..(at + self.block_bytes).min(self.size), *crc))
    }

    pub(super) fn put_into(&self, attributes: &mut Attributes) {
        attributes.insert(Attribute::Metadata(CHECKSUMS.into()), self.encode().into());
    }
}

pub(super) fn widen(range: &Range<u64>, block: u64) -> Range<u64> {
    let end = range.end.div_ceil(block).saturating_mul(block);
    range.start / block * block..end
}

pub(super) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_every_size_fits_and_reads_back() {
        for size in [
            0_u64,
            0,
            1,
            256 << 10,
            (256 << 10) + 1,
            80 << 20,
            (80 << 20) + 1,
            3 << 30,
            5 << 40,
        ] {
            let mut block_bytes = BLOCK_BYTES;
            while size.div_ceil(block_bytes) > MAX_BLOCKS {
                block_bytes *= 2;
            }
            let sums = Checksums {
                block_bytes,
                size,
                blocks: vec![0xDEAD_BEEF; to_usize(size.div_ceil(block_bytes))],
            };
            let text = sums.encode();
            assert!(text.len() < 1_800, "{size}: {} bytes", text.len());
            assert_eq!(Checksums::decode(&text), Some(sums));
        }
        assert_eq!(
            Checksums::of([&Bytes::from(vec![7; 81 << 20])], 81 << 20).block_bytes,
            512 << 10
        );
        for wrong in [
            "",
            "1",
            "1:262144:5:",
            "1:262144:5:AAAA",
            "1:1000:5:AAAAAA==",
            "1:262144:x:AAAAAA==",
        ] {
            assert_eq!(Checksums::decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn checksums_do_not_depend_on_how_the_bytes_are_cut() {
        let whole: Bytes = (0_u8..=250).cycle().take(700 << 10).collect();
        let expected = Checksums::of([&whole], 700 << 10);
        assert_eq!(
            expected.blocks[1],
            crc32fast::hash(&whole[256 << 10..512 << 10])
        );
        for size in [1000, 256 << 10, 300_000] {
            let pieces: Vec<_> = whole.chunks(size).map(Bytes::copy_from_slice).collect();
            assert_eq!(Checksums::of(&pieces, 700 << 10), expected);
        }
    }
}
