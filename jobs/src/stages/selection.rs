//! Stage 6, the choice: which of the lines that near-dedup keeps are labelled, when there is a budget of labels a day.
//!
//! The driver reads the kept lines a few buckets at a time and holds some 80 bytes of each, and the template of those whose guard key a line has that is
//! labelled already; the guide scores them as they pass. What was chosen, how, and
//! with which inclusion probability, is staged as a file and joined to the anomalies. The choice is a function of the lines' content alone
//! ([`gleaner_classifier::choice`]), so it is the same in this process and on a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use gleaner_classifier::choice::{Pick, Plan, Pool, choose};
use gleaner_classifier::known::{Known, Questions};
use gleaner_classifier::leakage::Keys;
use gleaner_udfs::embedder::{self, LEXICAL};
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::vector::near_duplicates::LEXICAL_THRESHOLD;

use super::DayRun;
use crate::engine::{Source, Task};
use crate::error::JobError;
use crate::labels::rows;
use crate::lift::guide::Guide;

/// Lines that the guide scores at a time.
const CHUNK: usize = 4096;

/// A budget of labels a day, and how it is spent.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Lines to label a day.
    pub budget: u64,
    /// Share of them drawn at random.
    pub random_share: f64,
    /// With a guide: share of them that the detectors choose.
    pub unguided_share: f64,
    /// Whether lines are spread over the programs that they run.
    pub spread: bool,
    /// Of the draw.
    pub seed: u64,
    /// What takes lines for malice; `None`: the detectors choose.
    pub guide: Option<Arc<Guide>>,
    /// Lines that are labelled already: they are passed over, and so are their like, but for the draw.
    pub known: Arc<Known>,
}

impl Selection {
    /// # Errors
    /// When a value is out of range; the message names the flag.
    pub fn check(&self) -> Result<(), JobError> {
        if self.budget == 0 {
            return Err(JobError::Usage(
                "--label-budget 0: expected a number of lines above 0".to_owned(),
            ));
        }
        for (flag, share) in [
            ("--random-share", self.random_share),
            ("--unguided-share", self.unguided_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(JobError::Usage(format!(
                    "{flag} {share}: expected a share, 0 to 1"
                )));
            }
        }
        if self.random_share + self.unguided_share > 1.0 {
            return Err(JobError::Usage(format!(
                "--random-share {} and --unguided-share {} are more than the whole budget",
                self.random_share, self.unguided_share
            )));
        }
        Ok(())
    }

    /// What the stage's answer depends on.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let guide = self.guide.as_ref().map(|guide| guide.identity.as_str());
        let known: Vec<u8> = self
            .known
            .hashes()
            .iter()
            .flat_map(|h| h.to_le_bytes())
            .collect();
        format!(
            "{}|{}|{}|{}|{}|{}|{}",
            self.budget,
            self.random_share,
            self.unguided_share,
            self.spread,
            self.seed,
            guide.unwrap_or_default(),
            if known.is_empty() {
                String::new()
            } else {
                sha256(&known)
            }
        )
    }
}

/// The columns of the staged choice.
pub(super) fn schema() -> SchemaRef {
    let columns = [
        ("hash", DataType::Utf8),
        ("chosen_by", DataType::Utf8),
        ("inclusion_probability", DataType::Float64),
        ("suspicion", DataType::Float32),
        ("known", DataType::Boolean),
    ];
    let fields = columns.map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// What is held of the lines that may be chosen.
#[derive(Default)]
struct Kept {
    hashes: Vec<String>,
    anomaly: [Vec<f32>; 3],
    suspicion: Vec<f32>,
    groups: Vec<u32>,
    numbers: BTreeMap<String, u32>,
    /// Empty where nothing is labelled yet.
    known: Vec<bool>,
}

/// Chooses among the lines that `tasks` (of `selection.sql`) give, and stages the choice. Without a selection the staged file is empty.
pub(super) async fn run(day: &DayRun<'_>, tasks: Vec<Task>) -> Result<Source, JobError> {
    let mut kept = Kept::default();
    let mut picks = vec![];
    if let Some(selection) = &day.options.selection {
        let mut questions = (!selection.known.is_empty()).then(|| Questions::new(&selection.known));
        day.fold("candidates", "choice", tasks, |batches| {
            let mut add = |batch: &RecordBatch| kept.add(selection, questions.as_mut(), batch);
            batches.iter().try_for_each(&mut add)
        })
        .await?;
        if let Some(questions) = questions {
            let threshold = if day.options.embedder.is_lexical() {
                day.options.cosine
            } else {
                LEXICAL_THRESHOLD
            };
            let lexical = embedder::load(LEXICAL).map_err(JobError::Model)?;
            kept.known = questions.answers(lexical.as_ref(), threshold)?;
            let known = kept.known.iter().filter(|known| **known).count();
            day.progress.remark(&format!(
                "{known} of {} candidates are labelled already, or their like is: only the draw has part in them",
                kept.known.len()
            ));
        }
        picks = kept.choose(selection);
    }
    let batch = kept.batch(&picks)?;
    let path = format!("_staging/{}/choice.parquet", day.run);
    day.warehouse.put(&path, rows::parquet(&batch)?).await?;
    Ok(Source::Parquet {
        urls: vec![day.warehouse.url(&path)],
        schema: schema(),
        sorted_by: &[],
    })
}

impl Kept {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rank: its order within the first 16 million counts"
    )]
    fn add(
        &mut self,
        selection: &Selection,
        mut questions: Option<&mut Questions<'_>>,
        batch: &RecordBatch,
    ) -> Result<(), JobError> {
        let text = |n: usize| {
            let column = batch.column(n).as_string_opt::<i32>();
            column.ok_or_else(|| JobError::Internal("the choice's lines are no texts".to_owned()))
        };
        let (hashes, lines) = (text(0)?, text(1)?);
        for row in 0..batch.num_rows() {
            self.hashes.push(hashes.value(row).to_owned());
            for (detector, scores) in self.anomaly.iter_mut().enumerate() {
                let ranks = batch.column(2 + detector).as_primitive::<Int64Type>();
                scores.push(if ranks.is_null(row) {
                    f32::NAN
                } else {
                    -(ranks.value(row) as f32)
                });
            }
            if !selection.spread && questions.is_none() {
                continue;
            }
            let keys = Keys::of(lines.value(row));
            if let Some(questions) = &mut questions {
                questions.ask(&keys);
            }
            if selection.spread {
                let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                let number = self.numbers.entry(keys.programs().to_owned());
                self.groups.push(*number.or_insert(next));
            }
        }
        if let Some(guide) = &selection.guide {
            let texts: Vec<&str> = (0..lines.len()).map(|row| lines.value(row)).collect();
            for some in texts.chunks(CHUNK) {
                self.suspicion.extend(guide.score(some)?);
            }
        }
        Ok(())
    }

    fn choose(&self, selection: &Selection) -> Vec<Pick> {
        // The first 64 bits of a line's hash.
        let key = |hash: &String| {
            let head = hash.get(..16).unwrap_or_default();
            u64::from_str_radix(head, 16).unwrap_or(0)
        };
        let keys: Vec<u64> = self.hashes.iter().map(key).collect();
        let pool = Pool {
            keys: &keys,
            anomaly: &self.anomaly,
            suspicion: &self.suspicion,
            groups: &self.groups,
            known: &self.known,
        };
        let plan = Plan {
            budget: usize::try_from(selection.budget).unwrap_or(usize::MAX),
            random_share: selection.random_share,
            unguided_share: selection.unguided_share,
            seed: selection.seed,
        };
        choose(&pool, &plan)
    }

    fn batch(&self, picks: &[Pick]) -> Result<RecordBatch, JobError> {
        let mut chosen: Vec<Option<&Pick>> = vec![None; self.hashes.len()];
        for pick in picks {
            chosen[pick.line] = Some(pick);
        }
        let hashes: StringArray = self.hashes.iter().map(|h| Some(h.as_str())).collect();
        let by: StringArray = chosen.iter().map(|p| p.map(|p| p.how.name())).collect();
        let chances: Float64Array = chosen
            .iter()
            .map(|pick| pick.map(|pick| pick.inclusion_probability))
            .collect();
        let score = |place: usize| self.suspicion.get(place).copied().filter(|s| !s.is_nan());
        let suspicion: Float32Array = (0..self.hashes.len()).map(score).collect();
        let known = |place: usize| self.known.get(place).copied();
        let known: BooleanArray = (0..self.hashes.len()).map(known).collect();
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(hashes),
                Arc::new(by),
                Arc::new(chances),
                Arc::new(suspicion),
                Arc::new(known),
            ],
        )
        .map_err(|e| JobError::Query(e.into()))
    }
}
