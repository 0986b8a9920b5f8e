//! The numbers that a classifier reads of a line, as numbered columns: what an export writes, and what a model in another program is given.
//!
//! ```text
//! catalog   the features of `gleaner functions --features`, in their order
//! trees     those, and the presence (1) of each n-gram that a tree model chose
//! hashed    all 2^18 buckets of n-grams with their values: what the linear family reads
//! ```
//!
//! Columns are numbered from 0 here; `LibSVM` files number from 1. A missing value (a feature that needs a process's context) is left out of a row,
//! zeros of features are in it; of n-grams only the present ones are.

use gleaner_udfs::text::catalog::{CATALOG, N_FEATURES};

use crate::ClassifierError;
use crate::columns::places;
use crate::model::Classifier;
use crate::text::{BUCKETS, Reader};

/// A set of numbered columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// The features of the catalog.
    Catalog,
    /// The features, and these n-grams' presence: buckets, ascending.
    Trees(Vec<u32>),
    /// Every bucket's value.
    Hashed,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The feature at this place of the catalog.
    Feature(usize),
    /// The bucket of n-grams.
    Gram(u32),
}

impl Column {
    /// A name: the feature's, or `gram_BUCKET`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Feature(place) => CATALOG
                .get(place)
                .map_or_else(String::new, |f| f.name.to_owned()),
            Self::Gram(bucket) => format!("gram_{bucket}"),
        }
    }
}

impl Space {
    /// What a classifier reads.
    ///
    /// # Errors
    /// [`ClassifierError::Shape`] for one that reads components of embeddings: they are no numbers of the line alone.
    pub fn of(model: &Classifier) -> Result<Self, ClassifierError> {
        match model {
            Classifier::Linear(_) => Ok(Self::Hashed),
            Classifier::Boosting(boosting) if boosting.d == N_FEATURES => {
                Ok(Self::Trees(boosting.chosen.clone()))
            }
            Classifier::Boosting(boosting) => Err(ClassifierError::Shape {
                what: "dense columns of the classifier (one made with --components cannot be exported)",
                expected: N_FEATURES,
                got: boosting.d,
            }),
        }
    }

    /// Columns.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Catalog => N_FEATURES,
            Self::Trees(chosen) => N_FEATURES + chosen.len(),
            Self::Hashed => BUCKETS,
        }
    }

    /// Whether there is no column; never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = Column> + '_ {
        let (features, grams) = match self {
            Self::Catalog => (N_FEATURES, 0),
            Self::Trees(chosen) => (N_FEATURES, chosen.len()),
            Self::Hashed => (0, BUCKETS),
        };
        let gram = move |place: usize| match self {
            Self::Trees(chosen) => chosen.get(place).copied().unwrap_or(0),
            _ => place as u32,
        };
        (0..features)
            .map(Column::Feature)
            .chain((0..grams).map(move |place| Column::Gram(gram(place))))
    }

    /// The values of a line, by ascending column; `out` is cleared first.
    pub fn row(&self, reader: &mut Reader, line: &str, out: &mut Vec<(u32, f32)>) {
        out.clear();
        if *self == Self::Hashed {
            out.extend_from_slice(reader.grams(line));
            return;
        }
        let mut dense = [0.0; N_FEATURES];
        reader.features(line, &mut dense);
        let values = dense.iter().enumerate();
        let held = values.filter(|(_, value)| value.is_finite());
        out.extend(held.map(|(column, value)| (column as u32, *value)));
        if let Self::Trees(chosen) = self {
            let buckets: Vec<u32> = reader.grams(line).iter().map(|(b, _)| *b).collect();
            let mut present = vec![];
            places(chosen, &buckets, &mut present);
            let first = N_FEATURES as u32;
            out.extend(present.iter().map(|place| (first + u32::from(*place), 1.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Training;
    use crate::model::Family;
    use crate::text::Lines;

    #[test]
    fn a_row_has_the_features_and_the_present_n_grams_of_the_trees() {
        let texts: Vec<String> = (0..40)
            .map(|n| {
                if n % 2 == 0 {
                    format!("whoami /priv {n}")
                } else {
                    format!("ls -la {n}")
                }
            })
            .collect();
        let lines = Lines::read(&texts, &[], 0).unwrap();
        let rows: Vec<usize> = (0..40).collect();
        let malicious: Vec<bool> = (0..40).map(|n| n % 2 == 0).collect();
        let training = Training {
            lines: &lines,
            rows: &rows,
            malicious: &malicious,
            weights: &[1.0; 40],
        };
        let model = Classifier::fit(Family::Boosting, &training, 64, 1).unwrap();
        let space = Space::of(&model).unwrap();
        let (mut reader, mut row) = (Reader::new(), vec![]);
        space.row(&mut reader, &texts[0], &mut row);
        assert!(row.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!((row.last().unwrap().0 as usize) < space.len());
        let columns: Vec<Column> = space.columns().collect();
        assert_eq!(columns.len(), space.len());
        // What the row holds are the line's own numbers.
        let (grams, _) = lines.grams.row(0);
        for (column, value) in &row {
            match columns[*column as usize] {
                Column::Feature(place) => {
                    assert!((lines.dense[place] - value).abs() < f32::EPSILON);
                }
                Column::Gram(bucket) => assert!(grams.contains(&bucket)),
            }
        }
        let grams = row.iter().filter(|(c, _)| *c as usize >= N_FEATURES);
        assert!(grams.count() >= 3);
        assert_eq!(Column::Feature(0).name(), CATALOG[0].name);
    }

    #[test]
    fn the_linear_family_reads_every_bucket() {
        let (mut reader, mut row) = (Reader::new(), vec![]);
        Space::Hashed.row(&mut reader, "ls -la", &mut row);
        assert_eq!(row, Reader::new().grams("ls -la"));
        assert_eq!(Space::Hashed.len(), BUCKETS);
    }
}
