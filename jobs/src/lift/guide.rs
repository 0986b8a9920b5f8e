//! What takes lines for malice when labels are spent with guidance: a saved classifier, one trained on a baseline, or a column of scores.

use std::collections::BTreeMap;

use gleaner_classifier::known::Known;
use gleaner_classifier::leakage::Keys;
use gleaner_classifier::linear::Training;
use gleaner_classifier::model::{Classifier, Family};
use gleaner_classifier::text::Lines;
use gleaner_udfs::model_cache::sha256;

use super::sets;
use crate::error::JobError;
use crate::labels::rows;

/// A guide, and what names it.
#[derive(Debug)]
pub struct Guide {
    /// SHA-256 of what decides its scores: it is part of the stage's fingerprint.
    pub identity: String,
    /// Lines that it has learned from: labelled already.
    pub known: Known,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Classifier(Box<Classifier>),
    /// By line.
    Scores(BTreeMap<String, f32>),
}

impl Guide {
    /// A classifier that `gleaner evaluate lift --save` has written.
    ///
    /// # Errors
    /// When the file is none, or it wants components of embeddings.
    pub fn saved(path: &str) -> Result<Self, JobError> {
        let bytes = std::fs::read(path).map_err(|e| JobError::io(path.as_ref(), e))?;
        let unfit = |why: &str| {
            JobError::Usage(format!(
                "--guide {path}: {why}; expected a file of `gleaner evaluate lift --save` made without --components"
            ))
        };
        let saved = Classifier::from_bytes(&bytes).map_err(|e| unfit(&e.to_string()))?;
        let (model, templates) = saved;
        let columns = gleaner_udfs::text::catalog::N_FEATURES;
        if model.dense_columns().is_some_and(|d| d != columns) {
            return Err(unfit("it reads other columns than the features"));
        }
        let mut known = Known::default();
        known.add_hashes(templates);
        Ok(Self {
            identity: sha256(&bytes),
            known,
            kind: Kind::Classifier(Box::new(model)),
        })
    }

    /// A classifier of the linear family, trained on labelled files.
    ///
    /// # Errors
    /// When a file is not as expected, or lacks a class.
    pub async fn trained(files: &[String]) -> Result<Self, JobError> {
        let mut set = sets::Set::default();
        for file in files {
            set.extend(sets::read(file).await?);
        }
        let failed = |e: gleaner_classifier::ClassifierError| {
            JobError::Usage(format!("--guide-baseline: {e}"))
        };
        let texts: Vec<&str> = set.rows.iter().map(|r| r.command_line.as_str()).collect();
        let lines = Lines::read(&texts, &[], 0).map_err(failed)?;
        let malicious: Vec<bool> = set.rows.iter().map(|row| row.malicious).collect();
        let weights: Vec<f32> = set.rows.iter().map(|row| row.weight).collect();
        let places: Vec<usize> = (0..set.rows.len()).collect();
        let training = Training {
            lines: &lines,
            rows: &places,
            malicious: &malicious,
            weights: &weights,
        };
        let model = Classifier::fit(Family::Linear, &training, 0, 0).map_err(failed)?;
        let mut known = Known::default();
        for text in &texts {
            known.add(&Keys::of(text));
        }
        Ok(Self {
            identity: sha256(&model.to_bytes(&known.hashes())),
            known,
            kind: Kind::Classifier(Box::new(model)),
        })
    }

    /// Scores of lines, higher for what is more suspicious: a CSV or Parquet file with the columns `command_line` and score. Lines that it does not have
    /// are not chosen by it.
    ///
    /// # Errors
    /// When the file is not as expected.
    pub async fn scores(path: &str) -> Result<Self, JobError> {
        let mut scores = BTreeMap::new();
        let mut all = vec![];
        for (n, mut row) in rows::read(path, &["command_line", "score"], &[])
            .await?
            .into_iter()
            .enumerate()
        {
            let (Some(line), Some(score)) = (row[0].take(), row[1].take()) else {
                continue;
            };
            let score: f32 = score
                .trim()
                .parse()
                .ok()
                .filter(|score: &f32| score.is_finite())
                .ok_or_else(|| {
                    JobError::Usage(format!(
                        "--guide-scores {path}: row {}: column score: expected a number",
                        n + 1
                    ))
                })?;
            scores.insert(line, score);
        }
        if scores.is_empty() {
            return Err(JobError::Usage(format!(
                "--guide-scores {path}: no row with a line and a score"
            )));
        }
        for (line, score) in &scores {
            all.extend_from_slice(line.as_bytes());
            all.extend_from_slice(&score.to_bits().to_le_bytes());
        }
        Ok(Self {
            identity: sha256(&all),
            known: Known::default(),
            kind: Kind::Scores(scores),
        })
    }

    /// Adds the lines of files with a column `command_line` to `known`: they are labelled already, whatever their label.
    ///
    /// # Errors
    /// When a file is not as expected.
    pub async fn read_known(files: &[String], known: &mut Known) -> Result<(), JobError> {
        for file in files {
            for mut row in rows::read(file, &["command_line"], &[]).await? {
                if let Some(line) = row[0].take().filter(|line| !line.trim().is_empty()) {
                    known.add(&Keys::of(&line));
                }
            }
        }
        Ok(())
    }

    /// How suspicious lines are; NaN for one that it does not know.
    ///
    /// # Errors
    /// When the lines' columns are not those of the classifier.
    #[expect(clippy::cast_possible_truncation, reason = "a probability")]
    pub fn score(&self, lines: &[&str]) -> Result<Vec<f32>, JobError> {
        match &self.kind {
            Kind::Classifier(model) => {
                let rows: Vec<usize> = (0..lines.len()).collect();
                let scores = Lines::read(lines, &[], 0).and_then(|read| model.score(&read, &rows));
                let scores = scores.map_err(|e| JobError::Model(e.to_string()))?;
                Ok(scores.into_iter().map(|score| score as f32).collect())
            }
            Kind::Scores(scores) => {
                let of = |line: &&str| scores.get(*line).copied().unwrap_or(f32::NAN);
                Ok(lines.iter().map(of).collect())
            }
        }
    }
}
