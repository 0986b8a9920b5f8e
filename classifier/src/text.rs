//! A line as numbers: hashed n-grams, and the catalog's features.
//!
//! **N-grams.** The line in lower case, every digit a `0`, gives its words and pairs of neighbouring words
//! ([`gleaner_udfs::text::tokens`]) and its 3-, 4- and 5-grams of bytes, a blank before and after. Each is hashed into one of
//! [`BUCKETS`] (Weinberger et al. 2009, "Feature hashing for large scale multitask learning"); a bucket's value is `ln(1 + count)`, and the row has length 1.
//! No dictionary: what a model reads of a line depends on no other line, and memory is bounded.
//!
//! **Cost.** Linear in the line, and a sort of its hashes; 8 bytes a distinct n-gram (some 3 kB for a line of 100 bytes). [`MAX_BYTES`] of a line are read.

use gleaner_udfs::rng::mix;
use gleaner_udfs::text::catalog::N_FEATURES;
use gleaner_udfs::text::features::{Context, Featurizer};
use gleaner_udfs::text::tokens::words;

/// log2 of [`BUCKETS`].
pub const BUCKET_BITS: u32 = 18;
/// Buckets that n-grams are hashed into.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
/// N-grams beyond this many bytes of a line are not read: a bound on the cost of one line.
pub const MAX_BYTES: usize = 4096;

/// Rows of sparse values, one after the other (compressed sparse rows).
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    ends: Vec<usize>,
    buckets: Vec<u32>,
    values: Vec<f32>,
}

impl Sparse {
    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no row is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a row: buckets ascending, one value each.
    pub fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (bucket, value) in row {
            self.buckets.push(bucket);
            self.values.push(value);
        }
        self.ends.push(self.buckets.len());
    }

    /// The buckets of a row, ascending, and their values; nothing for a row that is not held.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let Some(end) = self.ends.get(row).copied() else {
            return (&[], &[]);
        };
        let start = row
            .checked_sub(1)
            .and_then(|before| self.ends.get(before).copied());
        let range = start.unwrap_or(0)..end;
        (&self.buckets[range.clone()], &self.values[range])
    }
}

/// Lines as numbers: n-grams, and `d` dense columns a line (the catalog's features, and what the caller adds).
#[derive(Debug, Clone)]
pub struct Lines {
    /// Hashed n-grams, a row a line.
    pub grams: Sparse,
    /// Row-major, `len × d`; NaN is missing.
    pub dense: Vec<f32>,
    /// Dense columns.
    pub d: usize,
}

impl Lines {
    /// Reads lines; `more` are further dense columns (components of an embedding), row-major, `lines.len() × width`.
    ///
    /// # Errors
    /// [`crate::ClassifierError::Shape`] when `more` has another size.
    pub fn read<T: AsRef<str>>(
        lines: &[T],
        more: &[f32],
        width: usize,
    ) -> Result<Self, crate::ClassifierError> {
        if more.len() != lines.len() * width {
            return Err(crate::ClassifierError::Shape {
                what: "components of embeddings",
                expected: lines.len() * width,
                got: more.len(),
            });
        }
        let mut reader = Reader::new();
        let d = N_FEATURES + width;
        let mut read = Self {
            grams: Sparse::default(),
            dense: vec![0.0; lines.len() * d],
            d,
        };
        for (row, line) in lines.iter().enumerate() {
            read.grams.push(reader.grams(line.as_ref()).iter().copied());
            let (features, rest) = read.dense[row * d..(row + 1) * d].split_at_mut(N_FEATURES);
            reader.features(line.as_ref(), features);
            rest.copy_from_slice(&more[row * width..(row + 1) * width]);
        }
        Ok(read)
    }

    /// Lines held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.grams.len()
    }

    /// Whether no line is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.grams.is_empty()
    }
}

/// Reads lines; holds the scratch that they share.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    featurizer: Featurizer,
    folded: String,
    hashes: Vec<u32>,
    row: Vec<(u32, f32)>,
}

impl Reader {
    /// A reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills the catalog's features of a line; what needs a process's context or a corpus is NaN.
    pub fn features(&mut self, line: &str, out: &mut [f32]) {
        self.featurizer
            .compute(line, &Context::default(), None, out);
    }

    /// The hashed n-grams of a line: buckets ascending, of length 1; nothing for an empty line.
    pub fn grams(&mut self, line: &str) -> &[(u32, f32)] {
        self.folded.clear();
        self.folded.push(' ');
        for c in line.chars().flat_map(char::to_lowercase) {
            if self.folded.len() >= MAX_BYTES {
                break;
            }
            self.folded.push(if c.is_ascii_digit() { '0' } else { c });
        }
        self.folded.push(' ');
        self.hashes.clear();
        if self.folded.len() > 2 {
            let bytes = self.folded.as_bytes();
            for n in 3..=5_u8 {
                for window in bytes.windows(usize::from(n)) {
                    let packed = window.iter().fold(u64::from(n), |packed, byte| {
                        (packed << 8) | u64::from(*byte)
                    });
                    self.hashes.push(bucket(packed));
                }
            }
            let mut before = 0;
            for word in words(&self.folded) {
                let hash = word
                    .bytes()
                    .fold(7_u64, |hash, byte| mix(hash ^ u64::from(byte)));
                self.hashes.push(bucket(hash));
                self.hashes.push(bucket(before ^ hash.rotate_left(21)));
                before = mix(hash);
            }
        }
        self.hashes.sort_unstable();
        self.row.clear();
        let mut squares = 0.0;
        for run in self.hashes.chunk_by(|a, b| a == b) {
            let value = (run.len() as f32).ln_1p();
            squares += value * value;
            self.row.extend(run.first().map(|bucket| (*bucket, value)));
        }
        let length = squares.sqrt();
        for (_, value) in &mut self.row {
            *value /= length;
        }
        &self.row
    }
}

fn bucket(hash: u64) -> u32 {
    (mix(hash) >> (64 - BUCKET_BITS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_length_one_and_ascending_buckets() {
        let mut reader = Reader::new();
        let row = reader.grams("powershell -enc AAAA").to_vec();
        let squares: f32 = row.iter().map(|(_, value)| value * value).sum();
        assert!((squares - 1.0).abs() < 1e-5, "{squares}");
        assert!(row.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(reader.grams("").is_empty());
    }

    #[test]
    fn case_and_digits_are_folded_and_order_is_not() {
        let mut reader = Reader::new();
        let one = reader.grams("Ping -n 4 HOST").to_vec();
        assert_eq!(one, reader.grams("ping -n 9 host"));
        assert_ne!(one, reader.grams("host -n 9 ping"));
    }

    #[test]
    fn a_long_line_costs_no_more_than_its_bound() {
        let mut reader = Reader::new();
        let (long, longer) = ("ab ".repeat(2000), "ab ".repeat(9000));
        assert_eq!(reader.grams(&long).to_vec(), reader.grams(&longer));
    }

    #[test]
    fn rows_come_back_as_they_were_pushed() {
        let mut rows = Sparse::default();
        rows.push([(1, 0.5), (7, 2.0)]);
        rows.push([]);
        rows.push([(3, 1.0)]);
        assert_eq!(rows.row(0), ([1, 7].as_slice(), [0.5, 2.0].as_slice()));
        assert_eq!(rows.row(1), ([].as_slice(), [].as_slice()));
        assert_eq!(rows.row(2), ([3].as_slice(), [1.0].as_slice()));
        assert_eq!(rows.row(3), ([].as_slice(), [].as_slice()));
    }
}
