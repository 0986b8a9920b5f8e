//! The choice of how categorical values of requests become numbers, as flags and options have it.

use gleaner_udfs::api::Categorical;

/// How categorical values of requests (endpoint, method, host, agent, outcome, referrer) become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum CategoricalBy {
    /// By how rare they are.
    #[default]
    Rarity,
    /// And a column for each of the most frequent.
    OneHot,
    /// And signed hashes in a fixed number of columns.
    Hashed,
    /// And endpoints as vectors learned from what calls what, the others one-hot.
    Embedding,
}

impl CategoricalBy {
    /// For features and fits.
    #[must_use]
    pub const fn choice(self) -> Categorical {
        match self {
            Self::Rarity => Categorical::Rarity,
            Self::OneHot => Categorical::OneHot,
            Self::Hashed => Categorical::Hashed,
            Self::Embedding => Categorical::Embedding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn flags_and_sql_have_the_same_words() {
        for by in CategoricalBy::value_variants() {
            let flag = by.to_possible_value().map(|v| v.get_name().to_owned());
            assert_eq!(flag.as_deref(), Some(by.choice().name()));
        }
        assert_eq!(
            CategoricalBy::value_variants().len(),
            Categorical::ALL.len()
        );
    }
}
