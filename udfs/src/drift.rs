//! Drift: whether models still fit a day. A [`Baseline`] is stored with the models; it holds the deciles of each
//! detector's scores and of each feature over the sample that they were fitted on, and compares another day's sample
//! with it by the population stability index.
//!
//! Both samples are lines of smallest keys, and so uniform over the lines of their days; what is compared is a function
//! of the two samples alone. Cost: scoring the sample once, and one sort a feature; stored, about 100 bytes a feature.

use gleaner_proto::detector as wire;

use crate::detector::{Detector, Kind};
use crate::learner::{LearnerError, open, row_count, same_size, seal};
use crate::metrics::{Deciles, Stability};

const KIND: &str = "baseline";
const VERSION: u32 = 1;

/// How a day's scores and features are spread.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    scores: Vec<Deciles>,
    features: Vec<Deciles>,
}

/// How far a day is from a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Of each detector's scores, in the order of the baseline's.
    pub scores: Vec<Stability>,
    /// Of each feature, in order.
    pub features: Vec<Stability>,
}

impl Drift {
    /// Whether a detector's scores or a feature have drifted.
    #[must_use]
    pub fn drifted(&self) -> bool {
        self.scores
            .iter()
            .chain(&self.features)
            .any(|stability| stability.drifted())
    }
}

impl Baseline {
    /// Of the sample (row-major, `d` features) that the detectors, in the order of tables, were fitted on.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not fit.
    pub fn of(rows: &[f32], d: usize, detectors: &[Detector]) -> Result<Self, LearnerError> {
        let mut scores = vec![];
        for detector in detectors {
            scores.push(Deciles::of(&scored(rows, d, detector)?));
        }
        let features = (0..d).map(|feature| Deciles::of(&column(rows, d, feature)));
        Ok(Self {
            scores,
            features: features.collect(),
        })
    }

    /// Compares another day's sample with it; the detectors are those it was made with.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` or the number of detectors is not the baseline's.
    pub fn compare(
        &self,
        rows: &[f32],
        d: usize,
        detectors: &[Detector],
    ) -> Result<Drift, LearnerError> {
        same_size(KIND, "detectors", self.scores.len(), detectors.len())?;
        same_size(KIND, "features a row", self.features.len(), d)?;
        let mut scores = vec![];
        for (deciles, detector) in self.scores.iter().zip(detectors) {
            scores.push(deciles.compare(&scored(rows, d, detector)?));
        }
        let features = self.features.iter().enumerate();
        Ok(Drift {
            scores,
            features: features
                .map(|(feature, deciles)| deciles.compare(&column(rows, d, feature)))
                .collect(),
        })
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = |deciles: &[Deciles]| {
            let one = |deciles: &Deciles| wire::Deciles {
                cuts: deciles.cuts().to_vec(),
                counts: deciles.counts().to_vec(),
            };
            deciles.iter().map(one).collect()
        };
        let message = wire::Baseline {
            scores: stored(&self.scores),
            features: stored(&self.features),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Baseline::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`LearnerError::Damaged`] or [`LearnerError::Version`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let message: wire::Baseline = open(KIND, VERSION, bytes)?;
        let read = |stored: Vec<wire::Deciles>| -> Option<Vec<Deciles>> {
            let one = |d: wire::Deciles| Deciles::from_parts(d.cuts, d.counts);
            stored.into_iter().map(one).collect()
        };
        match (read(message.scores), read(message.features)) {
            (Some(scores), Some(features)) if (1..=Kind::EVERY.len()).contains(&scores.len()) => {
                Ok(Self { scores, features })
            }
            _ => Err(LearnerError::Damaged {
                kind: KIND,
                reason: "not deciles of detectors' scores and of features",
                len: bytes.len(),
            }),
        }
    }
}

fn scored(rows: &[f32], d: usize, detector: &Detector) -> Result<Vec<f32>, LearnerError> {
    let mut scores = vec![0.0; row_count(KIND, rows.len(), d)?];
    detector.score(rows, d, &mut scores)?;
    Ok(scores)
}

fn column(rows: &[f32], d: usize, feature: usize) -> Vec<f32> {
    rows.iter().skip(feature).step_by(d).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::{self, FitParams};
    use crate::rng::{SplitMix64, mix};

    #[expect(clippy::cast_possible_truncation, reason = "test data")]
    fn rows(seed: u64, moved: f32) -> Vec<f32> {
        let mut rng = SplitMix64::new(seed);
        let row = |_| {
            [
                rng.next_normal() as f32,
                rng.next_normal() as f32 + moved,
                1.0,
            ]
        };
        (0..3000).flat_map(row).collect()
    }

    fn fitted(rows: &[f32]) -> [Detector; 3] {
        let keys: Vec<u64> = (0..rows.len() as u64 / 3).map(mix).collect();
        detector::fit(&keys, rows, 3, &FitParams::default()).unwrap()
    }

    #[test]
    fn a_day_like_the_training_day_has_not_drifted_and_a_moved_feature_is_named() {
        let train = rows(1, 0.0);
        let detectors = fitted(&train);
        let baseline = Baseline::of(&train, 3, &detectors).unwrap();
        let baseline = Baseline::from_bytes(&baseline.to_bytes()).unwrap();
        let alike = baseline.compare(&rows(2, 0.0), 3, &detectors).unwrap();
        assert!(!alike.drifted(), "{alike:?}");
        let moved = baseline.compare(&rows(2, 2.5), 3, &detectors).unwrap();
        assert!(moved.drifted());
        let drifted: Vec<bool> = moved.features.iter().map(|f| f.drifted()).collect();
        assert_eq!(drifted, [false, true, false]);
        assert!(
            moved.scores.iter().all(|score| score.drifted()),
            "{moved:?}"
        );
    }

    #[test]
    fn other_widths_and_damaged_bytes_are_refused() {
        let train = rows(1, 0.0);
        let detectors = fitted(&train);
        let baseline = Baseline::of(&train, 3, &detectors).unwrap();
        assert!(baseline.compare(&train, 1, &detectors).is_err());
        assert!(baseline.compare(&train, 3, &detectors[..2]).is_err());
        let mut bytes = baseline.to_bytes();
        bytes.pop();
        assert!(Baseline::from_bytes(&bytes).is_err());
        let seven = wire::Baseline {
            scores: vec![
                wire::Deciles {
                    cuts: vec![],
                    counts: vec![0; 2]
                };
                7
            ],
            features: vec![],
        };
        assert!(Baseline::from_bytes(&seal(KIND, VERSION, &seven)).is_err());
    }
}
