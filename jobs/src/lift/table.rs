//! The experiment in the form of the original: what a training set is made of, by what it is tested on (Gelman & Bergeron 2025).
//!
//! **Training sets.** Two baselines of the same lines: *regex*, labels from the rules alone, and *aggregated*, the vote of the sources' own labels (weight 1) and the
//! rules (weight [`RULES`]), each line weighted by the vote's margin. Each alone, and with a benign set at two scales: *full*, all lines of it, and *reduced*, as many
//! rows as the baseline has.
//!
//! **Benign sets.** Lines of the telemetry, labelled by the truth. *Anomalies*: chosen by the detectors, near-dedup and spread, as in the original and as the product does unguided. *Guided*: the product's
//! guided choice; the guide is a linear classifier trained on that very baseline.
//!
//! **Tests.** *Incidents*: sources held out whole. *Split*: a draw of [`SPLIT`] of the baseline's own lines, labelled by the truth: has what was gained elsewhere been paid for at home? What either test
//! knows is in no training set.

use gleaner_classifier::measures::{Measured, compare};
use gleaner_classifier::model::Family;
use gleaner_udfs::rng::mix;

use super::baselines::Votes;
use super::experiment::{Strategy, World, unknown_to};
use crate::error::JobError;

/// What the rules' word counts beside a source's own label.
pub const RULES: f64 = 0.5;
/// Share of the baseline's lines that are held out as the second test.
pub const SPLIT: f64 = 0.2;
/// Names of the tests.
pub const TESTS: [&str; 2] = ["incidents", "split"];

/// How the baseline is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// By the rules alone.
    Regex,
    /// By sources and rules, with weights.
    Aggregated,
}

/// What is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Nothing.
    Nothing,
    /// What the detectors chose.
    Anomalies,
    /// What the guided choice chose.
    Guided,
}

/// A training set: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The family of the classifier.
    pub family: Family,
    /// The baseline.
    pub baseline: Baseline,
    /// The benign set.
    pub added: Added,
    /// Whether it has as many rows as the baseline.
    pub reduced: bool,
}

impl Row {
    /// A family's, in the order of reports.
    #[must_use]
    pub fn all(family: Family) -> Vec<Self> {
        let added = [
            (Added::Nothing, false),
            (Added::Anomalies, false),
            (Added::Anomalies, true),
            (Added::Guided, false),
            (Added::Guided, true),
        ];
        [Baseline::Regex, Baseline::Aggregated]
            .into_iter()
            .flat_map(|baseline| {
                added.map(|(added, reduced)| Self {
                    family,
                    baseline,
                    added,
                    reduced,
                })
            })
            .collect()
    }

    /// As in reports.
    #[must_use]
    pub fn name(self) -> String {
        let baseline = match self.baseline {
            Baseline::Regex => "regex baseline",
            Baseline::Aggregated => "aggregated baseline",
        };
        match self.added {
            Added::Nothing => baseline.to_owned(),
            Added::Anomalies => format!("{baseline} + benign (anomalies)"),
            Added::Guided => format!("{baseline} + benign (guided)"),
        }
    }
}

/// What the table is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The families.
    pub families: Vec<Family>,
    /// Labels to spend on a benign set.
    pub budget: usize,
    /// Bootstrap replicates of a seed's intervals.
    pub replicates: usize,
}

/// A row of the table on one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which.
    pub row: Row,
    /// Benign and malicious rows that it was trained on, by its own labels.
    pub rows: [usize; 2],
    /// Rows of the benign set among them.
    pub rows_added: usize,
    /// On each of [`TESTS`]; differences are from the baseline alone.
    pub tests: [Measured; 2],
}

/// Rows to train on.
struct Set {
    lines: Vec<usize>,
    malicious: Vec<bool>,
    weights: Vec<f32>,
    /// Rows that were added, after the baseline's.
    added: usize,
}

/// Makes a seed's table.
///
/// # Errors
/// When a test or a training set lacks a class.
pub(super) fn of(world: &World<'_>, plan: &Plan) -> Result<Vec<Entry>, JobError> {
    let corpus = world.corpus;
    #[expect(clippy::cast_precision_loss, reason = "a share of 2^64")]
    let is_split = |line: &usize| {
        let draw = mix(corpus.hashes[*line] ^ mix(world.seed ^ 0x0511));
        (draw as f64) < SPLIT * 18_446_744_073_709_551_616.0
    };
    let (split, rest): (Vec<usize>, Vec<usize>) = world.baseline.iter().partition(|l| is_split(l));
    let (rest, _) = unknown_to(corpus, &rest, &split)?;
    let (pool, _) = unknown_to(corpus, &world.pool, &split)?;
    let mut world = World::of(corpus, world.seed, [rest, pool, world.test.clone()])?;
    let tests = [world.test.clone(), split];
    let all: Vec<usize> = (0..world.pool.len()).collect();
    let benign = |world: &World<'_>, strategy: Strategy| -> Vec<usize> {
        let chosen = world.choose(strategy, plan.budget, &all);
        let benign = chosen.into_iter().filter(|line| !corpus.malicious[*line]);
        benign.collect()
    };
    let anomalies = benign(&world, Strategy::UnionSpread);
    let mut entries = vec![];
    for baseline in [Baseline::Regex, Baseline::Aggregated] {
        let alone = labelled(&world, baseline);
        let guide = world.fit_labelled(
            Family::Linear,
            &alone.lines,
            &alone.malicious,
            &alone.weights,
        )?;
        let scores = guide.score(&corpus.numbers, &world.pool)?;
        #[expect(clippy::cast_possible_truncation, reason = "a probability")]
        let suspicion = scores.into_iter().map(|score| score as f32).collect();
        world.suspicion = suspicion;
        let guided = benign(&world, Strategy::Guided);
        for family in &plan.families {
            let rows = Row::all(*family).into_iter();
            let rows: Vec<Row> = rows.filter(|row| row.baseline == baseline).collect();
            let sets: Vec<Set> = rows
                .iter()
                .map(|row| {
                    let more: &[usize] = match row.added {
                        Added::Nothing => &[],
                        Added::Anomalies => &anomalies,
                        Added::Guided => &guided,
                    };
                    with(&world, &alone, more, row.reduced)
                })
                .collect();
            entries.extend(measure(&world, plan, &rows, &sets, &tests)?);
        }
    }
    Ok(entries)
}

/// The baseline's lines, as that baseline labels them.
fn labelled(world: &World<'_>, baseline: Baseline) -> Set {
    let corpus = world.corpus;
    let rules = world.baseline.iter().filter_map(|line| {
        let malicious = corpus.by_rules[*line]?;
        Some((*line, malicious, 1.0))
    });
    let mut votes = Votes::default();
    match baseline {
        Baseline::Regex => votes.add(1.0, rules),
        Baseline::Aggregated => {
            votes.add(RULES, rules);
            let own = world.baseline.iter();
            votes.add(1.0, own.map(|line| (*line, corpus.malicious[*line], 1.0)));
        }
    }
    let (decided, _) = votes.decide();
    Set {
        lines: decided.iter().map(|(line, ..)| *line).collect(),
        malicious: decided.iter().map(|(_, malicious, _)| *malicious).collect(),
        weights: decided.iter().map(|(.., weight)| *weight).collect(),
        added: 0,
    }
}

/// The baseline with more benign lines, of weight 1.
fn with(world: &World<'_>, alone: &Set, more: &[usize], reduced: bool) -> Set {
    let mut set = Set {
        lines: [&alone.lines, more].concat(),
        malicious: alone.malicious.clone(),
        weights: alone.weights.clone(),
        added: more.len(),
    };
    set.malicious.resize(set.lines.len(), false);
    set.weights.resize(set.lines.len(), 1.0);
    if reduced {
        let size = alone.lines.len();
        let places = world.reduced(&set.lines, &set.malicious, size);
        set = Set {
            added: places.iter().filter(|place| **place >= size).count(),
            lines: places.iter().map(|place| set.lines[*place]).collect(),
            malicious: places.iter().map(|place| set.malicious[*place]).collect(),
            weights: places.iter().map(|place| set.weights[*place]).collect(),
        };
    }
    set
}

/// Trains on each set and measures on each test; the first set is the baseline alone.
fn measure(
    world: &World<'_>,
    plan: &Plan,
    rows: &[Row],
    sets: &[Set],
    tests: &[Vec<usize>; 2],
) -> Result<Vec<Entry>, JobError> {
    let mut scores = [vec![], vec![]];
    for (row, set) in rows.iter().zip(sets) {
        let model = world.fit_labelled(row.family, &set.lines, &set.malicious, &set.weights)?;
        for (scores, test) in scores.iter_mut().zip(tests) {
            scores.push(model.score(&world.corpus.numbers, test)?);
        }
    }
    let measured = |test: usize| {
        let malicious: Vec<bool> = tests[test]
            .iter()
            .map(|line| world.corpus.malicious[*line])
            .collect();
        compare(&scores[test], &malicious, plan.replicates, world.seed).ok_or_else(|| {
            JobError::Usage(format!(
                "seed {}: the test {} has no line of one of the classes: more sources are needed",
                world.seed, TESTS[test]
            ))
        })
    };
    let (incidents, split) = (measured(0)?, measured(1)?);
    let measured = incidents.into_iter().zip(split);
    let of = rows.iter().zip(sets).zip(measured);
    Ok(of
        .map(|((row, set), (incidents, split))| {
            let malicious = set.malicious.iter().filter(|m| **m).count();
            Entry {
                row: *row,
                rows: [set.lines.len() - malicious, malicious],
                rows_added: set.added,
                tests: [incidents, split],
            }
        })
        .collect())
}
