//! Aggregates over a corpus of lines.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::text_column;
use super::function::Kind::Text;
use super::function::{Aggregate, Doc, State, failed};
use crate::sketch::document_frequency::DocumentFrequencies;

const FREQUENCIES: &str = "cmd_frequencies";

/// The functions of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: FREQUENCIES,
    forms: &[&[("line", Text)]],
    returns: || DataType::Binary,
    state: || {
        Box::new(Frequencies {
            frequencies: DocumentFrequencies::new(),
        })
    },
    doc: Doc {
        what: "In how many lines each token occurs, and which characters follow which: a state that merges, and, \
               stored as a model, the `frequencies` of `cmd_features`.",
        example: "SELECT cmd_frequencies(line) IS NOT NULL FROM (VALUES ('git push'), ('git pull')) AS t (line)",
        result: "true",
    },
}];

#[derive(Debug)]
struct Frequencies {
    frequencies: DocumentFrequencies,
}

impl State for Frequencies {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        for line in text_column(FREQUENCIES, values, 0)?.iter().flatten() {
            self.frequencies.add_line(line);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = DocumentFrequencies::from_bytes(bytes).map_err(|e| failed(FREQUENCIES, e))?;
        self.frequencies.merge(&other);
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.frequencies.to_bytes()))
    }

    fn size(&self) -> usize {
        // Two tables of counters each for tokens and transitions.
        4 << 20
    }
}
