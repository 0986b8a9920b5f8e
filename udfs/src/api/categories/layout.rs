//! Which columns each choice appends to a request's row, and what they are called.

use crate::api::catalog::{Family, N_API_FEATURES};

/// What a request has that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Method, host and template.
    Endpoint,
    /// Method.
    Method,
    /// Host, or the service that was called.
    Host,
    /// The agent's family.
    Agent,
    /// The application's own error code, else the status.
    Outcome,
    /// The host of the page that led here.
    Referrer,
}

/// How many [`Field`]s there are.
pub(super) const FIELDS: usize = 6;

impl Field {
    /// All of them, in the order of their blocks.
    pub const ALL: [Self; FIELDS] = [
        Self::Endpoint,
        Self::Method,
        Self::Host,
        Self::Agent,
        Self::Outcome,
        Self::Referrer,
    ];

    /// Its name in reasons and catalogs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Method => "method",
            Self::Host => "host",
            Self::Agent => "agent_family",
            Self::Outcome => "outcome",
            Self::Referrer => "referrer_host",
        }
    }

    /// What it is, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Endpoint => "method, host and template",
            Self::Method => "method",
            Self::Host => "host",
            Self::Agent => "agent's family",
            Self::Outcome => "error code, else the status",
            Self::Referrer => "host of the referrer",
        }
    }

    const fn family(self) -> Family {
        match self {
            Self::Agent | Self::Referrer => Family::Client,
            _ => Family::Endpoint,
        }
    }
}

/// How categorical values become numbers. Rarities, shares and the classes of the catalog are there in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Categorical {
    /// By how rare they are, and nothing else.
    #[default]
    Rarity,
    /// A column for each of the most frequent values, and one for all others.
    OneHot,
    /// Signed hashing into a fixed number of columns (Weinberger et al. 2009).
    Hashed,
    /// Endpoints as vectors learned from what calls what (Levy and Goldberg 2014), the other fields one-hot.
    Embedding,
}

/// How the columns of a block are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// One column a frequent value, the last for all others.
    OneHot,
    /// Two columns a value, each ± 1/√2.
    Hashed,
    /// A vector of length 1, and in the last column whether the value is unknown.
    Embedding,
}

/// The columns of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Of what.
    pub field: Field,
    /// How.
    pub how: How,
    /// The first column of the row.
    pub first: usize,
    /// How many.
    pub columns: usize,
}

/// Numbers of an endpoint's vector.
pub const DIMENSIONS: usize = 16;

const fn blocks(columns: [(How, usize); FIELDS]) -> [Block; FIELDS] {
    let mut out = [Block {
        field: Field::Endpoint,
        how: How::OneHot,
        first: 0,
        columns: 0,
    }; FIELDS];
    let mut first = N_API_FEATURES;
    let mut i = 0;
    while i < FIELDS {
        out[i] = Block {
            field: Field::ALL[i],
            how: columns[i].0,
            first,
            columns: columns[i].1,
        };
        first += columns[i].1;
        i += 1;
    }
    out
}

// Endpoint, method, host, agent, outcome, referrer.
const ONE_HOT: [Block; FIELDS] = blocks([
    (How::OneHot, 32),
    (How::OneHot, 8),
    (How::OneHot, 16),
    (How::OneHot, 16),
    (How::OneHot, 16),
    (How::OneHot, 8),
]);
// Hashes collide: the fields of few values get twice the columns that they need, and endpoints as many.
const HASHED: [Block; FIELDS] = blocks([
    (How::Hashed, 32),
    (How::Hashed, 16),
    (How::Hashed, 16),
    (How::Hashed, 16),
    (How::Hashed, 16),
    (How::Hashed, 16),
]);
const EMBEDDING: [Block; FIELDS] = blocks([
    (How::Embedding, DIMENSIONS + 1),
    (How::OneHot, 8),
    (How::OneHot, 16),
    (How::OneHot, 16),
    (How::OneHot, 16),
    (How::OneHot, 8),
]);

/// A column of a block, as in `gleaner functions --api-features`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Unique in the row.
    pub name: String,
    /// What it speaks of.
    pub family: Family,
    /// How it is computed.
    pub formula: String,
    /// What one of it is.
    pub unit: &'static str,
}

impl Categorical {
    /// All choices.
    pub const ALL: [Self; 4] = [Self::Rarity, Self::OneHot, Self::Hashed, Self::Embedding];

    /// As on the command line and in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rarity => "rarity",
            Self::OneHot => "one-hot",
            Self::Hashed => "hashed",
            Self::Embedding => "embedding",
        }
    }

    /// The choice of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }

    /// The choice whose rows are so wide.
    #[must_use]
    pub fn of_width(width: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.width() == width)
    }

    /// The blocks that follow the catalog's features.
    #[must_use]
    pub const fn blocks(self) -> &'static [Block] {
        match self {
            Self::Rarity => &[],
            Self::OneHot => &ONE_HOT,
            Self::Hashed => &HASHED,
            Self::Embedding => &EMBEDDING,
        }
    }

    /// Numbers of a row.
    #[must_use]
    pub const fn width(self) -> usize {
        match self.blocks() {
            [.., last] => last.first + last.columns,
            [] => N_API_FEATURES,
        }
    }

    /// Whether an encoder must be fitted, or at least stored: all but rarity.
    #[must_use]
    pub const fn encodes(self) -> bool {
        !matches!(self, Self::Rarity)
    }

    /// Whether the encoder is learned from requests.
    #[must_use]
    pub const fn learns(self) -> bool {
        matches!(self, Self::OneHot | Self::Embedding)
    }

    /// The block of a column.
    #[must_use]
    pub fn block_of(self, column: usize) -> Option<&'static Block> {
        let of = |b: &&Block| (b.first..b.first + b.columns).contains(&column);
        self.blocks().iter().find(of)
    }

    /// What the scaled columns are multiplied by, empty where there are none.
    ///
    /// A scaled column has a variance of 1, and a block of *m* of them would weigh as much as *m* features in every squared
    /// distance: 1/√m makes a block as heavy as one feature.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a few columns"
    )]
    pub fn weights(self) -> Vec<f32> {
        if self.blocks().is_empty() {
            return vec![];
        }
        let mut weights = vec![1.0; self.width()];
        for block in self.blocks() {
            let weight = (1.0 / (block.columns as f64).sqrt()) as f32;
            weights[block.first..block.first + block.columns].fill(weight);
        }
        weights
    }

    /// What the columns after the catalog's features are, in their order.
    #[must_use]
    pub fn columns(self) -> Vec<Column> {
        let of_block = |block: &'static Block| {
            (0..block.columns).map(move |i| {
                let (field, words) = (block.field.name(), block.field.words());
                let last = i + 1 == block.columns;
                let (name, formula, unit) = match block.how {
                    How::OneHot if last => (
                        format!("{field}_other"),
                        format!("the {words} is none of the {i} most frequent"),
                        "0/1",
                    ),
                    How::OneHot => (
                        format!("{field}_is_{}", i + 1),
                        format!("the {words} is number {} of the most frequent", i + 1),
                        "0/1",
                    ),
                    How::Hashed => (
                        format!("{field}_hashed_{}", i + 1),
                        format!(
                            "signed hash of the {words}, column {} of {}",
                            i + 1,
                            block.columns
                        ),
                        "± 1/√2",
                    ),
                    How::Embedding if last => (
                        format!("{field}_unknown"),
                        format!("the {words} has no learned vector"),
                        "0/1",
                    ),
                    How::Embedding => (
                        format!("{field}_embedding_{}", i + 1),
                        format!("number {} of the learned vector of the {words}", i + 1),
                        "share",
                    ),
                };
                Column {
                    name,
                    family: block.field.family(),
                    formula,
                    unit,
                }
            })
        };
        self.blocks().iter().flat_map(of_block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_row_s_length_tells_the_choice() {
        let mut widths: BTreeSet<usize> = Categorical::ALL.iter().map(|c| c.width()).collect();
        assert!(widths.insert(crate::text::catalog::N_FEATURES));
        assert_eq!(widths.len(), Categorical::ALL.len() + 1);
        for choice in Categorical::ALL {
            assert_eq!(Categorical::of_width(choice.width()), Some(choice));
            assert_eq!(Categorical::from_name(choice.name()), Some(choice));
        }
    }

    #[test]
    fn every_column_has_a_name_of_its_own_and_a_block() {
        for choice in Categorical::ALL {
            let columns = choice.columns();
            assert_eq!(columns.len() + N_API_FEATURES, choice.width());
            let catalog = crate::api::API_CATALOG.iter().map(|f| f.name.to_owned());
            let names: BTreeSet<String> = columns
                .iter()
                .map(|c| c.name.clone())
                .chain(catalog)
                .collect();
            assert_eq!(names.len(), choice.width());
            for (i, column) in columns.iter().enumerate() {
                let block = choice.block_of(N_API_FEATURES + i).unwrap();
                assert!(column.name.starts_with(block.field.name()));
            }
            assert_eq!(choice.block_of(N_API_FEATURES - 1), None);
        }
    }

    #[test]
    fn a_block_weighs_as_much_as_one_feature() {
        for choice in [
            Categorical::OneHot,
            Categorical::Hashed,
            Categorical::Embedding,
        ] {
            let weights = choice.weights();
            assert_eq!(weights.len(), choice.width());
            for block in choice.blocks() {
                let of = &weights[block.first..block.first + block.columns];
                let sum: f32 = of.iter().map(|w| w * w).sum();
                assert!((sum - 1.0).abs() < 1e-5);
            }
        }
        assert!(Categorical::Rarity.weights().is_empty());
    }
}
