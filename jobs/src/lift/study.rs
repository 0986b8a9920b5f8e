//! Trains each family of classifiers on the baseline, and on the baseline with the benign set, and measures all of them on every test.
//!
//! **Leakage.** Training rows that a test knows (equal, of one template, near-duplicates: [`gleaner_classifier::leakage`]) are left out before anything
//! is trained, of the baseline and of the benign set alike; a row that one test knows is left out for all tests.
//!
//! **Scales.** *full*: the baseline, and all that was added. *reduced*: as many rows as the baseline has, its malicious ones and a draw of both its
//! benign ones and what was added: what the lines are worth when the set may not grow.
//!
//! **Memory.** Training rows are held as n-grams (some 3 kB a line of 100 bytes) and columns; beyond [`Plan::max_rows`] a draw of them is
//! trained on, which the report says. Tests are read 4,096 lines at a time.

use std::collections::BTreeSet;

use gleaner_classifier::known::{Known, template_hash};
use gleaner_classifier::leakage::{Keys, Leak, leaks};
use gleaner_classifier::linear::Training;
use gleaner_classifier::measures::{Measured, compare};
use gleaner_classifier::model::{Classifier, Family};
use gleaner_classifier::text::Lines;
use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::rng::mix;

use super::sets::{Labelled, Set};
use crate::error::JobError;

/// Test lines that are read at a time.
const CHUNK: usize = 4096;

/// What a training set is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Train {
    /// The baseline alone.
    Baseline,
    /// With all that was added.
    Full,
    /// With what was added, at the baseline's size.
    Reduced,
}

impl Train {
    /// Name and scale, as in reports.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Baseline => ("baseline", "full"),
            Self::Full => ("baseline+benign", "full"),
            Self::Reduced => ("baseline+benign", "reduced"),
        }
    }
}

/// What is studied, and how.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The families.
    pub families: &'a [Family],
    /// Whether the added lines are measured at full and at reduced scale.
    pub scales: [bool; 2],
    /// N-grams that are columns of the trees, at most.
    pub grams: usize,
    /// Training rows, at most.
    pub max_rows: usize,
    /// Bootstrap replicates.
    pub replicates: usize,
    /// Of every draw.
    pub seed: u64,
    /// Judges near-duplicates.
    pub embedder: &'a dyn Embedder,
    /// From this cosine on.
    pub near: f32,
    /// Whether the trees read the embedder's components.
    pub components: bool,
}

/// What was left out of the training rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Rows whose text a test has.
    pub exact: usize,
    /// Of a template that a test has.
    pub template: usize,
    /// Near-duplicates of a test's.
    pub near: usize,
    /// Added lines that the baseline, or an added line before, has already.
    pub known: usize,
    /// Rows beyond the most that are trained on.
    pub beyond: usize,
}

/// A trained model.
pub struct Trained {
    /// Its family.
    pub family: Family,
    /// On what.
    pub train: Train,
    /// Rows of it.
    pub rows_benign: usize,
    /// Rows of it.
    pub rows_malicious: usize,
    /// Benign rows of it that were added.
    pub rows_added: usize,
    /// The model.
    pub model: Classifier,
}

/// A model on a test.
pub struct Outcome {
    /// Place in [`Study::models`].
    pub model: usize,
    /// AUC and rates.
    pub measured: Measured,
    /// Probabilities of malice, one a row of the test.
    pub scores: Vec<f64>,
}

/// All that a study found; outcomes by test, in the order of the tests, and within it by model.
pub struct Study {
    /// The models; of each family the baseline's is first.
    pub models: Vec<Trained>,
    /// By test.
    pub outcomes: Vec<Vec<Outcome>>,
    /// Left out of the baseline.
    pub baseline_left_out: LeftOut,
    /// Left out of the added lines.
    pub added_left_out: LeftOut,
    /// Hashes of the templates of all lines given, also of those left out: they are labelled already.
    pub templates: Vec<u64>,
}

/// The training rows, as lines and labels, the baseline's first.
struct Pool {
    lines: Lines,
    malicious: Vec<bool>,
    weights: Vec<f32>,
    keys: Vec<u64>,
    baseline: usize,
}

/// Runs a study; `tests` are named.
///
/// # Errors
/// When nothing is left to train on, or the embedder fails.
pub fn run(
    plan: &Plan<'_>,
    baseline: Set,
    added: Option<Vec<String>>,
    tests: &[(String, Set)],
) -> Result<Study, JobError> {
    let known = tests.iter().flat_map(|(_, set)| &set.rows);
    let known: Vec<Keys> = known.map(|row| Keys::of(&row.command_line)).collect();
    let with_added = added.is_some();
    let added = added.unwrap_or_default().into_iter();
    let added: Vec<Labelled> = added
        .map(|command_line| Labelled {
            command_line,
            malicious: false,
            weight: 1.0,
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut labelled = Known::default();
    let (rows, baseline_left_out) =
        clean(plan, baseline.rows, &known, &mut seen, &mut labelled, false)?;
    let (more, added_left_out) = clean(plan, added, &known, &mut seen, &mut labelled, true)?;
    drop(known);
    let pool = read(plan, rows, more)?;
    let models = train(plan, &pool, with_added)?;
    drop(pool);
    let mut outcomes = vec![];
    for (name, test) in tests {
        outcomes.push(measure(plan, &models, name, test)?);
    }
    Ok(Study {
        models,
        outcomes,
        baseline_left_out,
        added_left_out,
        templates: labelled.hashes(),
    })
}

/// Rows that no test knows, at most as many as are trained on; of added ones those that are new.
fn clean(
    plan: &Plan<'_>,
    rows: Vec<Labelled>,
    known: &[Keys],
    seen: &mut BTreeSet<String>,
    labelled: &mut Known,
    added: bool,
) -> Result<(Vec<Labelled>, LeftOut), JobError> {
    let mut left_out = LeftOut::default();
    let keys: Vec<Keys> = rows.iter().map(|row| Keys::of(&row.command_line)).collect();
    let (asked, known): (Vec<&Keys>, Vec<&Keys>) = (keys.iter().collect(), known.iter().collect());
    let leaks = leaks(&asked, &known, plan.embedder, plan.near)?;
    drop(asked);
    let mut kept = vec![];
    labelled.add_hashes(keys.iter().map(|keys| template_hash(keys.canonical())));
    for ((row, keys), leak) in rows.into_iter().zip(keys).zip(leaks) {
        match leak {
            Some(Leak::Exact) => left_out.exact += 1,
            Some(Leak::Template) => left_out.template += 1,
            Some(Leak::Near) => left_out.near += 1,
            None => {
                let new = seen.insert(keys.text().to_owned());
                if new || !added {
                    kept.push(row);
                } else {
                    left_out.known += 1;
                }
            }
        }
    }
    if kept.len() > plan.max_rows {
        left_out.beyond = kept.len() - plan.max_rows;
        let mut order: Vec<(u64, usize)> = (0..kept.len())
            .map(|row| (drawn(&kept[row].command_line, plan.seed), row))
            .collect();
        order.sort_unstable();
        let mut keep = vec![false; kept.len()];
        for (_, row) in order.into_iter().take(plan.max_rows) {
            keep[row] = true;
        }
        let mut flags = keep.into_iter();
        kept.retain(|_| flags.next().unwrap_or(false));
    }
    Ok((kept, left_out))
}

/// A row's place in the draw: by its content and the seed, whatever its place in a file.
fn drawn(line: &str, seed: u64) -> u64 {
    let salt = mix(seed ^ 0x1155);
    line.bytes()
        .fold(salt, |hash, byte| mix(hash ^ u64::from(byte)))
}

fn read(plan: &Plan<'_>, rows: Vec<Labelled>, added: Vec<Labelled>) -> Result<Pool, JobError> {
    let baseline = rows.len();
    let all: Vec<Labelled> = rows.into_iter().chain(added).collect();
    let texts: Vec<&str> = all.iter().map(|row| row.command_line.as_str()).collect();
    let lines = lines(plan, &texts)?;
    Ok(Pool {
        lines,
        malicious: all.iter().map(|row| row.malicious).collect(),
        weights: all.iter().map(|row| row.weight).collect(),
        keys: texts.iter().map(|line| drawn(line, plan.seed)).collect(),
        baseline,
    })
}

fn lines(plan: &Plan<'_>, texts: &[&str]) -> Result<Lines, JobError> {
    let (mut components, mut width) = (vec![], 0);
    if plan.components {
        width = plan.embedder.dimension();
        for some in texts.chunks(CHUNK) {
            let keys: Vec<Keys> = some.iter().map(|line| Keys::of(line)).collect();
            let canonical: Vec<&str> = keys.iter().map(Keys::canonical).collect();
            let vectors = plan.embedder.embed(&canonical);
            components.extend(vectors.map_err(JobError::Model)?);
        }
    }
    Lines::read(texts, &components, width).map_err(JobError::from)
}

fn train(plan: &Plan<'_>, pool: &Pool, with_added: bool) -> Result<Vec<Trained>, JobError> {
    let mut wanted = vec![Train::Baseline];
    if with_added {
        wanted.extend(plan.scales[0].then_some(Train::Full));
        wanted.extend(plan.scales[1].then_some(Train::Reduced));
    }
    let one_family = |family: Family| -> Result<Vec<Trained>, JobError> {
        let fit = |train: &Train| fit(plan, pool, family, *train);
        wanted.iter().map(fit).collect()
    };
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = plan
            .families
            .iter()
            .map(|family| scope.spawn(move || one_family(*family)))
            .collect();
        let join = std::thread::ScopedJoinHandle::join;
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let mut models = vec![];
    for result in results {
        let stopped = |_| JobError::Internal("the training of a classifier panicked".into());
        models.extend(result.map_err(stopped)??);
    }
    Ok(models)
}

fn fit(plan: &Plan<'_>, pool: &Pool, family: Family, train: Train) -> Result<Trained, JobError> {
    let all = pool.malicious.len();
    let rows: Vec<usize> = match train {
        Train::Baseline => (0..pool.baseline).collect(),
        Train::Full => (0..all).collect(),
        Train::Reduced => {
            let mut benign: Vec<usize> = (0..all).filter(|row| !pool.malicious[*row]).collect();
            benign.sort_unstable_by_key(|row| (pool.keys[*row], *row));
            let malicious = (0..all).filter(|row| pool.malicious[*row]);
            let malicious: Vec<usize> = malicious.collect();
            benign.truncate(pool.baseline - malicious.len());
            let mut rows = malicious;
            rows.extend(benign);
            rows.sort_unstable();
            rows
        }
    };
    let malicious: Vec<bool> = rows.iter().map(|row| pool.malicious[*row]).collect();
    let weights: Vec<f32> = rows.iter().map(|row| pool.weights[*row]).collect();
    let training = Training {
        lines: &pool.lines,
        rows: &rows,
        malicious: &malicious,
        weights: &weights,
    };
    let model = Classifier::fit(family, &training, plan.grams, plan.seed)?;
    let rows_malicious = malicious.iter().filter(|m| **m).count();
    Ok(Trained {
        family,
        train,
        rows_benign: rows.len() - rows_malicious,
        rows_malicious,
        rows_added: rows.iter().filter(|row| **row >= pool.baseline).count(),
        model,
    })
}

/// All models on one test; each is compared with the baseline's model of its family.
fn measure(
    plan: &Plan<'_>,
    models: &[Trained],
    name: &str,
    test: &Set,
) -> Result<Vec<Outcome>, JobError> {
    let mut scores = vec![vec![]; models.len()];
    for some in test.rows.chunks(CHUNK) {
        let texts: Vec<&str> = some.iter().map(|row| row.command_line.as_str()).collect();
        let lines = lines(plan, &texts)?;
        let rows: Vec<usize> = (0..lines.len()).collect();
        for (scores, trained) in scores.iter_mut().zip(models) {
            scores.extend(trained.model.score(&lines, &rows)?);
        }
    }
    let malicious: Vec<bool> = test.rows.iter().map(|row| row.malicious).collect();
    let mut outcomes = vec![];
    for family in plan.families {
        let of: Vec<usize> = (0..models.len())
            .filter(|model| models[*model].family == *family)
            .collect();
        let of_family: Vec<Vec<f64>> = of.iter().map(|m| std::mem::take(&mut scores[*m])).collect();
        let measured = compare(&of_family, &malicious, plan.replicates, plan.seed);
        let measured = measured.ok_or_else(|| {
            JobError::Usage(format!(
                "--test {name}: {} benign and {} malicious rows; expected some of each",
                test.count(false),
                test.count(true)
            ))
        })?;
        let parts = of.into_iter().zip(measured).zip(of_family);
        outcomes.extend(parts.map(|((model, measured), scores)| Outcome {
            model,
            measured,
            scores,
        }));
    }
    Ok(outcomes)
}
