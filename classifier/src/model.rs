//! A classifier of either family: fitted, scored, saved.

use gleaner_udfs::model_cache::sha256;
use prost::Message;

use crate::ClassifierError;
use crate::boosting::{Boosting, Node, Params};
use crate::linear::{Linear, Training, sigmoid};
use crate::text::{BUCKETS, Lines};

/// scikit-learn's `C` of the linear family.
const C: f64 = 10.0;
/// Version 1 had no templates.
const VERSION: u32 = 2;

/// A family of classifiers. What is measured on one may be an accident of it; so there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Gradient-boosted trees over features, chosen n-grams and, by choice, components of embeddings.
    Boosting,
    /// Logistic regression over all hashed n-grams.
    Linear,
}

impl Family {
    /// Both, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Boosting, Self::Linear];

    /// As in reports and flags: `boosting`, `linear`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boosting => "boosting",
            Self::Linear => "linear",
        }
    }
}

/// A fitted classifier.
#[derive(Debug, Clone, PartialEq)]
pub enum Classifier {
    /// Trees.
    Boosting(Boosting),
    /// Weights of n-grams.
    Linear(Linear),
}

impl Classifier {
    /// Fits a family; `grams` are the most n-grams that are columns of trees.
    ///
    /// # Errors
    /// As [`Training::check`].
    pub fn fit(
        family: Family,
        training: &Training<'_>,
        grams: usize,
        seed: u64,
    ) -> Result<Self, ClassifierError> {
        Ok(match family {
            Family::Boosting => Self::Boosting(Boosting::fit(
                training,
                &Params {
                    grams,
                    seed,
                    ..Params::default()
                },
            )?),
            Family::Linear => Self::Linear(Linear::fit(training, C)?),
        })
    }

    /// Which family.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Boosting(_) => Family::Boosting,
            Self::Linear(_) => Family::Linear,
        }
    }

    /// Dense columns that a line must have; any number will do for the linear family.
    #[must_use]
    pub const fn dense_columns(&self) -> Option<usize> {
        match self {
            Self::Boosting(boosting) => Some(boosting.d),
            Self::Linear(_) => None,
        }
    }

    /// The probability of malice of rows of `lines`.
    ///
    /// # Errors
    /// [`ClassifierError::Shape`] when the lines have other dense columns than those it was fitted on.
    pub fn score(&self, lines: &Lines, rows: &[usize]) -> Result<Vec<f64>, ClassifierError> {
        if let Some(expected) = self.dense_columns().filter(|d| *d != lines.d) {
            return Err(ClassifierError::Shape {
                what: "dense columns a line",
                expected,
                got: lines.d,
            });
        }
        let mut scratch = vec![];
        let odds = rows.iter().map(|row| match self {
            Self::Boosting(boosting) => boosting.log_odds(lines, *row, &mut scratch),
            Self::Linear(linear) => {
                let (buckets, values) = lines.grams.row(*row);
                linear.log_odds(buckets, values)
            }
        });
        Ok(odds.map(sigmoid).collect())
    }

    /// As bytes: a message with a version and a checksum. `templates` are hashes of the templates of the lines that it came from
    /// ([`crate::known::Known::hashes`]).
    #[must_use]
    pub fn to_bytes(&self, templates: &[u64]) -> Vec<u8> {
        let mut saved = Saved {
            version: VERSION,
            templates: templates.to_vec(),
            ..Saved::default()
        };
        match self {
            Self::Linear(linear) => saved.weights.clone_from(&linear.weights),
            Self::Boosting(boosting) => {
                saved.d = boosting.d as u32;
                saved.chosen.clone_from(&boosting.chosen);
                saved.base = boosting.base;
                saved.trees = boosting.trees.iter().map(|t| SavedTree::of(t)).collect();
            }
        }
        saved.checksum = sha256(&saved.encode_to_vec());
        saved.encode_to_vec()
    }

    /// From the bytes of [`Classifier::to_bytes`]: the classifier, and the templates' hashes.
    ///
    /// # Errors
    /// [`ClassifierError::Damaged`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, Vec<u64>), ClassifierError> {
        let damaged = ClassifierError::Damaged;
        let mut saved = Saved::decode(bytes).map_err(|_| damaged("it cannot be decoded"))?;
        let written = std::mem::take(&mut saved.checksum);
        if !(1..=VERSION).contains(&saved.version) {
            return Err(damaged("it is of another version"));
        }
        if sha256(&saved.encode_to_vec()) != written {
            return Err(damaged("its checksum differs"));
        }
        if saved.weights.len() == BUCKETS + 1 && saved.trees.is_empty() {
            let linear = Linear {
                weights: saved.weights,
            };
            return Ok((Self::Linear(linear), saved.templates));
        }
        let trees: Option<Vec<Vec<Node>>> = saved.trees.iter().map(SavedTree::nodes).collect();
        match trees {
            Some(trees) if saved.weights.is_empty() && !trees.is_empty() => {
                let boosting = Boosting {
                    d: saved.d as usize,
                    chosen: saved.chosen,
                    base: saved.base,
                    trees,
                };
                Ok((Self::Boosting(boosting), saved.templates))
            }
            _ => Err(damaged("its parts do not fit")),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Saved {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// SHA-256 of the message without it.
    #[prost(string, tag = "2")]
    checksum: String,
    #[prost(float, repeated, tag = "3")]
    weights: Vec<f32>,
    #[prost(uint32, tag = "4")]
    d: u32,
    #[prost(uint32, repeated, tag = "5")]
    chosen: Vec<u32>,
    #[prost(double, tag = "6")]
    base: f64,
    #[prost(message, repeated, tag = "7")]
    trees: Vec<SavedTree>,
    #[prost(fixed64, repeated, tag = "8")]
    templates: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SavedTree {
    #[prost(uint32, repeated, tag = "1")]
    columns: Vec<u32>,
    #[prost(float, repeated, tag = "2")]
    edges: Vec<f32>,
    #[prost(bool, repeated, tag = "3")]
    missing_left: Vec<bool>,
    #[prost(uint32, repeated, tag = "4")]
    left: Vec<u32>,
    #[prost(uint32, repeated, tag = "5")]
    right: Vec<u32>,
    #[prost(float, repeated, tag = "6")]
    values: Vec<f32>,
}

impl SavedTree {
    pub(crate) fn of(nodes: &[Node]) -> Self {
        Self {
            columns: nodes.iter().map(|n| n.column).collect(),
            edges: nodes.iter().map(|n| n.edge).collect(),
            missing_left: nodes.iter().map(|n| n.missing_left).collect(),
            left: nodes.iter().map(|n| n.left).collect(),
            right: nodes.iter().map(|n| n.right).collect(),
            values: nodes.iter().map(|n| n.value).collect(),
        }
    }

    /// `None` where the lists do not fit, or a child does not come after its parent (a walk would not end).
    pub(crate) fn nodes(&self) -> Option<Vec<Node>> {
        (0..self.columns.len())
            .map(|at| {
                let node = Node {
                    column: self.columns[at],
                    edge: *self.edges.get(at)?,
                    missing_left: *self.missing_left.get(at)?,
                    left: *self.left.get(at)?,
                    right: *self.right.get(at)?,
                    value: *self.values.get(at)?,
                };
                let after = |child: u32| (at + 1..self.columns.len()).contains(&(child as usize));
                let leaf = node.column == u32::MAX;
                (leaf || (after(node.left) && after(node.right))).then_some(node)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(family: Family) -> (Classifier, Lines) {
        let texts: Vec<String> = (0..60)
            .map(|n| {
                if n % 2 == 0 {
                    format!("whoami /priv {n}")
                } else {
                    format!("ls -la {n}")
                }
            })
            .collect();
        let lines = Lines::read(&texts, &[], 0).unwrap();
        let rows: Vec<usize> = (0..60).collect();
        let malicious: Vec<bool> = (0..60).map(|n| n % 2 == 0).collect();
        let training = Training {
            lines: &lines,
            rows: &rows,
            malicious: &malicious,
            weights: &[1.0; 60],
        };
        let model = Classifier::fit(family, &training, 512, 1).unwrap();
        (model, lines)
    }

    #[test]
    fn both_families_learn_and_come_back_from_their_bytes() {
        for family in Family::ALL {
            let (model, lines) = fitted(family);
            let scores = model.score(&lines, &[0, 1]).unwrap();
            assert!(scores[0] > 0.8 && scores[1] < 0.2, "{family:?} {scores:?}");
            let again = Classifier::from_bytes(&model.to_bytes(&[3, 5])).unwrap();
            assert_eq!(again, (model, vec![3, 5]));
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let (model, _) = fitted(Family::Boosting);
        let bytes = model.to_bytes(&[7]);
        for place in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 4;
            assert!(Classifier::from_bytes(&damaged).is_err(), "byte {place}");
        }
        assert!(Classifier::from_bytes(&[]).is_err());
        assert!(Classifier::from_bytes(b"command_line,label").is_err());
    }

    #[test]
    fn a_file_of_the_first_version_is_read_and_one_of_a_later_is_not() {
        let (model, _) = fitted(Family::Linear);
        let of_version = |version: u32| {
            let mut saved = Saved::decode(model.to_bytes(&[]).as_slice()).unwrap();
            saved.version = version;
            saved.checksum.clear();
            saved.checksum = sha256(&saved.encode_to_vec());
            Classifier::from_bytes(&saved.encode_to_vec())
        };
        assert_eq!(of_version(1).unwrap(), (model.clone(), vec![]));
        assert!(of_version(0).is_err() && of_version(VERSION + 1).is_err());
    }

    #[test]
    fn lines_of_other_columns_are_refused() {
        let (model, _) = fitted(Family::Boosting);
        let other = Lines::read(&["ls"], &[0.5], 1).unwrap();
        assert!(model.score(&other, &[0]).is_err());
    }
}
