//! Functions over the columns of a request to an API.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::Args;
use super::function::Kind::{Int, Text};
use super::function::{Argument, Doc, Scalar};
use crate::api::reason;

/// The columns of a request that its name is made of, in their order.
const COLUMNS: &[Argument] = &[
    ("event_micros", Int),
    ("user", Text),
    ("session", Text),
    ("client_ip", Text),
    ("method", Text),
    ("host", Text),
    ("path", Text),
    ("query", Text),
    ("status", Int),
    ("error_code", Text),
    ("request_bytes", Int),
    ("response_bytes", Int),
    ("latency_ms", Text),
    ("user_agent", Text),
    ("referer", Text),
    ("body", Text),
    ("headers", Text),
];

/// The functions of this file.
pub static SCALARS: &[Scalar] = &[
    Scalar {
        name: "api_hash",
        forms: &[COLUMNS],
        returns: || DataType::Utf8,
        call: hash,
        doc: Doc {
            what: "The first 128 bits of the BLAKE3 hash of a request's columns, as 32 hex digits: its name in every table. Columns are \
               kept apart, and NULL from an empty text.",
            example: "SELECT api_hash(0, 'ada', NULL, NULL, 'GET', NULL, '/a', NULL, 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                  NULL) = api_hash(0, 'ad', 'a', NULL, 'GET', NULL, '/a', NULL, 200, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            result: "false",
        },
    },
    Scalar {
        name: "api_reason",
        forms: &[&[("reason", Text)]],
        returns: || DataType::Utf8,
        call: |args| {
            let said = |text: &str| reason::read(text).map(|r| r.words);
            let reasons = args.text(0)?;
            let all = reasons.iter().map(|text| text.and_then(said));
            Ok(Arc::new(all.collect::<StringArray>()))
        },
        doc: Doc {
            what: "What a reason of `anomalies` says, in words; NULL where it names what a request lacks, which by itself says nothing.",
            example: "SELECT concat_ws(', ', api_reason('pca: marks_sql = 2'), coalesce(api_reason('pca: failed = 0'), 'nothing'))",
            result: "marks of SQL injection, nothing",
        },
    },
    Scalar {
        name: "api_reason_weight",
        forms: &[&[("reason", Text)]],
        returns: || DataType::Int64,
        call: |args| {
            let weight = |text: &str| reason::read(text).map(|r| r.weight);
            let reasons = args.text(0)?;
            let all = reasons.iter().map(|text| text.and_then(weight));
            Ok(Arc::new(all.collect::<Int64Array>()))
        },
        doc: Doc {
            what: "How much a reason of `anomalies` says: 4 for marks of an attack, 2 for failures and what is rare, new or much, 1 for sizes, \
                   characters and pace; NULL as of `api_reason`.",
            example: "SELECT concat(api_reason_weight('pca: marks_sql = 2'), ' and ', api_reason_weight('iforest: special_run = 9'))",
            result: "4 and 1",
        },
    },
];

/// The name of a record of several fields: the first 128 bits of a BLAKE3 hash, as 32 hex digits.
///
/// A field is hashed as one byte that tells whether there is one, its length in 8 bytes, little-endian, and its bytes, so that no two
/// records have one text.
#[must_use]
pub fn record_hash<'a>(fields: impl Iterator<Item = Option<&'a [u8]>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        match field {
            None => {
                hasher.update(&[0]);
            }
            Some(bytes) => {
                hasher.update(&[1]);
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// A column of either kind.
enum Column<'a> {
    Texts(&'a StringArray),
    Numbers(&'a Int64Array),
}

fn hash(args: &Args<'_>) -> Result<ArrayRef> {
    let columns = COLUMNS.iter().enumerate().map(|(i, (_, kind))| {
        Ok(match kind {
            Int => Column::Numbers(args.int(i)?),
            _ => Column::Texts(args.text(i)?),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let mut numbers = vec![[0; 8]; columns.len()];
    let rows = (0..args.rows()).map(|row| {
        for (column, bytes) in columns.iter().zip(&mut numbers) {
            if let Column::Numbers(values) = column {
                *bytes = values.value(row).to_le_bytes();
            }
        }
        let fields = columns
            .iter()
            .zip(&numbers)
            .map(|(column, number)| match column {
                Column::Texts(values) => values.is_valid(row).then(|| values.value(row).as_bytes()),
                Column::Numbers(values) => values.is_valid(row).then_some(number.as_slice()),
            });
        Some(record_hash(fields))
    });
    Ok(Arc::new(rows.collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use super::record_hash;

    fn name(fields: &[Option<&str>]) -> String {
        record_hash(fields.iter().map(|field| field.map(str::as_bytes)))
    }

    #[test]
    fn fields_are_kept_apart_and_nothing_is_not_an_empty_text() {
        let all = [
            name(&[Some("ab"), Some("c")]),
            name(&[Some("a"), Some("bc")]),
            name(&[Some("abc"), None]),
            name(&[Some("abc"), Some("")]),
            name(&[None, Some("abc")]),
            name(&[Some("abc")]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 32);
            assert!(!all[i + 1..].contains(one), "{i}");
        }
        assert_eq!(name(&[Some("ab"), Some("c")]), all[0]);
    }

    #[test]
    fn a_hash_is_of_the_bytes_that_its_documentation_tells() {
        // One present field of one byte, one that is missing.
        let bytes = [1, 1, 0, 0, 0, 0, 0, 0, 0, b'x', 0];
        let whole = blake3::hash(&bytes).to_hex();
        assert_eq!(name(&[Some("x"), None]), whole[..32]);
    }
}
