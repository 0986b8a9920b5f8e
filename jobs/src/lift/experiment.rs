//! The experiment: how much each way of choosing lines lifts a classifier, with whole sources held out.
//!
//! For each seed the sources are dealt to baseline, telemetry and test ([`super::corpus`]); what the test knows is taken out of the two
//! others. Attacks are few in the telemetry, as they are in life (`attacks`, a share). Each strategy chooses lines of the telemetry under a budget; those that the labeller calls
//! benign join the baseline, and the AUC on the test is compared with the baseline's own.
//!
//! Nothing is chosen, tuned or stopped by the test: parameters of classifiers and strategies are the product's, the same for all seeds.

use gleaner_classifier::choice::{self, Plan, Pool};
use gleaner_classifier::known::{Known, Questions};
use gleaner_classifier::leakage::{Keys, distinct, leaks};
use gleaner_classifier::linear::Training;
use gleaner_classifier::measures::compare;
use gleaner_classifier::model::{Classifier, Family};
use gleaner_udfs::embedder::{self, LEXICAL};
use gleaner_udfs::metrics::{Evaluated, outlier_scores};
use gleaner_udfs::rng::mix;
use gleaner_udfs::text::catalog::N_FEATURES;
use gleaner_udfs::vector::near_duplicates::LEXICAL_THRESHOLD;

use super::corpus::{Corpus, Role};
use super::table::{self, Entry};
use crate::error::JobError;

/// Days that the telemetry is dealt to.
const DAYS: u64 = 30;
/// N-grams that are columns of trees: the product's default.
const GRAMS: usize = 2048;

/// A way of choosing lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// A draw of all lines.
    Random,
    /// The isolation forest's most anomalous.
    IsolationForest,
    /// PCA's.
    Pca,
    /// k-means's.
    KMeans,
    /// The best place among the three.
    Union,
    /// Of lines that near-dedup keeps.
    UnionDistinct,
    /// And spread over programs.
    UnionSpread,
    /// What the baseline's classifier takes for malice.
    Suspicion,
    /// Of lines that near-dedup keeps, also against the baseline's lines.
    SuspicionDistinct,
    /// And spread over programs.
    SuspicionSpread,
    /// The product's guided choice: as `SuspicionSpread`, with a tenth by the detectors and a tenth at random, of known lines too.
    Guided,
    /// As `SuspicionDistinct` with one half, the other half at random.
    Half,
    /// All of the telemetry: what there is to be had.
    Everything,
}

impl Strategy {
    /// In the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Random,
        Self::IsolationForest,
        Self::Union,
        Self::UnionDistinct,
        Self::UnionSpread,
        Self::Suspicion,
        Self::SuspicionDistinct,
        Self::SuspicionSpread,
        Self::Guided,
        Self::Half,
    ];

    /// Those that the second family is measured on: it takes five times as long.
    pub const FEW: [Self; 6] = [
        Self::Random,
        Self::IsolationForest,
        Self::UnionSpread,
        Self::Suspicion,
        Self::SuspicionSpread,
        Self::Guided,
    ];

    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::IsolationForest => "iforest",
            Self::Pca => "pca",
            Self::KMeans => "kmeans",
            Self::Union => "union",
            Self::UnionDistinct => "union, near-dedup",
            Self::UnionSpread => "union, near-dedup, spread",
            Self::Suspicion => "suspicion",
            Self::SuspicionDistinct => "suspicion, near-dedup",
            Self::SuspicionSpread => "suspicion, near-dedup, spread",
            Self::Guided => "guided",
            Self::Half => "half guided, half random",
            Self::Everything => "everything",
        }
    }
}

/// Who labels what was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labels {
    /// The truth.
    Truth,
    /// The rule labeller, with prevalence out of its way.
    Rules,
    /// The truth, wrong for this share of the lines.
    Noisy(f64),
}

impl Labels {
    /// As in reports.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Truth => "truth".to_owned(),
            Self::Rules => "rules".to_owned(),
            Self::Noisy(share) => format!("noisy {}%", 100.0 * share),
        }
    }
}

/// One measurement to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The classifier's family.
    pub family: Family,
    /// Who labels.
    pub labels: Labels,
    /// How lines are chosen.
    pub strategy: Strategy,
    /// Labels to spend: in all, or on each day.
    pub budget: usize,
    /// Days, with the budget each; `None`: the whole telemetry at once.
    pub days: Option<u64>,
    /// Whether the training set keeps the baseline's size.
    pub reduced: bool,
}

/// A measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Of what.
    pub cell: Cell,
    /// The seed.
    pub seed: u64,
    /// The baseline's AUC.
    pub baseline: f64,
    /// The AUC with the lines added.
    pub auc: f64,
    /// Lines added.
    pub added: usize,
    /// Malicious lines among those.
    pub poison: usize,
    /// Malicious lines among those chosen.
    pub malicious_chosen: usize,
}

/// The sizes of a seed's sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Dealt {
    /// The seed.
    pub seed: u64,
    /// Benign and malicious lines of baseline, telemetry and test.
    pub sizes: [[usize; 2]; 3],
    /// Lines that the test knew, taken out of the others.
    pub leaked: usize,
    /// Names of the test's sources.
    pub held_out: Vec<String>,
    /// What was measured.
    pub measurements: Vec<Measurement>,
    /// Training sets by tests, where that was asked for.
    pub table: Vec<Entry>,
}

/// A seed's sets: places in the corpus.
pub(super) struct World<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) seed: u64,
    pub(super) baseline: Vec<usize>,
    pub(super) pool: Vec<usize>,
    pub(super) test: Vec<usize>,
    /// By place in `pool`: the detectors' scores, the guide's, whether near-dedup keeps it among the telemetry, and against the baseline too, and whether
    /// the baseline knows it.
    anomaly: [Vec<f32>; 3],
    pub(super) suspicion: Vec<f32>,
    kept: Vec<bool>,
    novel: Vec<bool>,
    known: Vec<bool>,
    /// The baseline's AUC by family, in the order of [`Family::ALL`].
    auc: [f64; 2],
}

/// Makes a seed's measurements, and the table where it is asked for.
///
/// # Errors
/// When the sources are too few to deal.
pub fn run(
    corpus: &Corpus,
    seed: u64,
    attacks: f64,
    cells: &[Cell],
    table: Option<&table::Plan>,
) -> Result<Dealt, JobError> {
    let roles = corpus.deal(seed);
    let test = corpus.of_role(&roles, Role::Test);
    let baseline = unknown_to(corpus, &corpus.of_role(&roles, Role::Baseline), &test)?;
    let pool = unknown_to(corpus, &corpus.of_role(&roles, Role::Telemetry), &test)?;
    let leaked = baseline.1 + pool.1;
    let mut pool = pool.0;
    few_attacks(corpus, &mut pool, seed, attacks);
    let mut world = World::of(corpus, seed, [baseline.0, pool, test])?;
    // The guide is of the linear family: the boosting family's figures are those of a classifier that did not choose.
    for (place, family) in Family::ALL.into_iter().enumerate() {
        if !cells.iter().any(|cell| cell.family == family) && family != Family::Linear {
            continue;
        }
        let model = world.fit(family, &world.baseline)?;
        world.auc[place] = world.measure(&model)?;
        if family == Family::Linear {
            let scores = model.score(&corpus.numbers, &world.pool)?;
            #[expect(clippy::cast_possible_truncation, reason = "a probability")]
            let scores = scores.into_iter().map(|score| score as f32).collect();
            world.suspicion = scores;
        }
    }
    let measurements = cells
        .iter()
        .map(|cell| world.cell(cell))
        .collect::<Result<_, _>>()?;
    let size = |lines: &[usize]| {
        let malicious = lines.iter().filter(|line| corpus.malicious[**line]).count();
        [lines.len() - malicious, malicious]
    };
    let held = corpus.sources.iter().zip(&roles);
    Ok(Dealt {
        seed,
        sizes: [size(&world.baseline), size(&world.pool), size(&world.test)],
        leaked,
        held_out: held
            .filter(|(_, role)| **role == Role::Test)
            .map(|(name, _)| name.clone())
            .collect(),
        measurements,
        table: match table {
            Some(plan) => table::of(&world, plan)?,
            None => vec![],
        },
    })
}

/// The lines that `tests` do not know, and how many they do.
pub(super) fn unknown_to(
    corpus: &Corpus,
    lines: &[usize],
    tests: &[usize],
) -> Result<(Vec<usize>, usize), JobError> {
    let lexical = embedder::load(LEXICAL).map_err(JobError::Model)?;
    let (asked, known) = (keys(corpus, lines), keys(corpus, tests));
    let leaks = leaks(&asked, &known, lexical.as_ref(), LEXICAL_THRESHOLD)?;
    let pairs = lines.iter().zip(&leaks);
    let unknown: Vec<usize> = pairs
        .filter_map(|(l, leak)| leak.is_none().then_some(*l))
        .collect();
    let leaked = lines.len() - unknown.len();
    Ok((unknown, leaked))
}

fn keys<'c>(corpus: &'c Corpus, lines: &[usize]) -> Vec<&'c Keys> {
    lines.iter().map(|line| &corpus.keys[*line]).collect()
}

/// Leaves as many attacks in the telemetry as are plausible at the most: a draw of them.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
fn few_attacks(corpus: &Corpus, pool: &mut Vec<usize>, seed: u64, share: f64) {
    let mut attacks: Vec<usize> = pool
        .iter()
        .copied()
        .filter(|l| corpus.malicious[*l])
        .collect();
    let benign = pool.len() - attacks.len();
    let most = (benign as f64 * share / (1.0 - share)).round() as usize;
    attacks.sort_unstable_by_key(|line| mix(corpus.hashes[*line] ^ mix(seed)));
    let mut keep: Vec<usize> = attacks.into_iter().take(most).collect();
    keep.sort_unstable();
    pool.retain(|line| !corpus.malicious[*line] || keep.binary_search(line).is_ok());
}

fn anomalies(corpus: &Corpus, pool: &[usize], seed: u64) -> Result<[Vec<f32>; 3], JobError> {
    let d = corpus.numbers.d;
    let rows: Vec<f32> = pool
        .iter()
        .flat_map(|line| &corpus.numbers.dense[line * d..line * d + N_FEATURES])
        .copied()
        .collect();
    let of = |detector| {
        outlier_scores(&rows, N_FEATURES, detector, seed)
            .map_err(|e| JobError::Model(e.to_string()))
    };
    Ok([
        of(Evaluated::IsolationForest)?,
        of(Evaluated::Pca)?,
        of(Evaluated::KMeans)?,
    ])
}

impl<'a> World<'a> {
    /// Of baseline, telemetry and test; nothing is suspicious yet.
    pub(super) fn of(
        corpus: &'a Corpus,
        seed: u64,
        [baseline, pool, test]: [Vec<usize>; 3],
    ) -> Result<Self, JobError> {
        let lexical = embedder::load(LEXICAL).map_err(JobError::Model)?;
        let hashes: Vec<u64> = pool.iter().map(|line| corpus.hashes[*line]).collect();
        let (of_pool, of_baseline) = (keys(corpus, &pool), keys(corpus, &baseline));
        let judge = |known: &[&Keys]| {
            distinct(
                &of_pool,
                &hashes,
                known,
                lexical.as_ref(),
                LEXICAL_THRESHOLD,
            )
        };
        let (kept, novel) = (judge(&[])?, judge(&of_baseline)?);
        // As the product asks.
        let mut labelled = Known::default();
        for keys in &of_baseline {
            labelled.add(keys);
        }
        let mut questions = Questions::new(&labelled);
        for keys in &of_pool {
            questions.ask(keys);
        }
        Ok(Self {
            corpus,
            seed,
            anomaly: anomalies(corpus, &pool, seed)?,
            suspicion: vec![],
            known: questions.answers(lexical.as_ref(), LEXICAL_THRESHOLD)?,
            baseline,
            pool,
            test,
            kept,
            novel,
            auc: [0.0; 2],
        })
    }

    fn fit(&self, family: Family, rows: &[usize]) -> Result<Classifier, JobError> {
        let malicious: Vec<bool> = rows
            .iter()
            .enumerate()
            // What was added is labelled benign, whatever it is.
            .map(|(place, line)| place < self.baseline.len() && self.corpus.malicious[*line])
            .collect();
        self.fit_labelled(family, rows, &malicious, &vec![1.0; rows.len()])
    }

    pub(super) fn fit_labelled(
        &self,
        family: Family,
        rows: &[usize],
        malicious: &[bool],
        weights: &[f32],
    ) -> Result<Classifier, JobError> {
        let training = Training {
            lines: &self.corpus.numbers,
            rows,
            malicious,
            weights,
        };
        Classifier::fit(family, &training, GRAMS, self.seed).map_err(JobError::from)
    }

    fn measure(&self, model: &Classifier) -> Result<f64, JobError> {
        let scores = model.score(&self.corpus.numbers, &self.test)?;
        let malicious: Vec<bool> = self
            .test
            .iter()
            .map(|l| self.corpus.malicious[*l])
            .collect();
        compare(&[scores], &malicious, 0, 0)
            .and_then(|measured| measured.first().map(|m| m.auc.value))
            .ok_or_else(|| {
                JobError::Usage(format!(
                    "seed {}: the held-out sources have no line of one of the classes: more sources are needed",
                    self.seed
                ))
            })
    }

    /// Chosen lines of `among` (places in the pool).
    pub(super) fn choose(&self, strategy: Strategy, budget: usize, among: &[usize]) -> Vec<usize> {
        use Strategy as S;
        let flags: Option<&[bool]> = match strategy {
            S::UnionDistinct | S::UnionSpread | S::Guided => Some(&self.kept),
            S::SuspicionDistinct | S::SuspicionSpread | S::Half => Some(&self.novel),
            _ => None,
        };
        let places: Vec<usize> = among
            .iter()
            .copied()
            .filter(|place| flags.is_none_or(|flags| flags[*place]))
            .collect();
        let keys: Vec<u64> = places
            .iter()
            .map(|place| self.corpus.hashes[self.pool[*place]])
            .collect();
        let scores = |of: &[f32]| places.iter().map(|p| of[*p]).collect::<Vec<f32>>();
        let detectors: &[usize] = match strategy {
            S::IsolationForest => &[0],
            S::Pca => &[1],
            S::KMeans => &[2],
            S::Union | S::UnionDistinct | S::UnionSpread | S::Guided => &[0, 1, 2],
            _ => &[],
        };
        let anomaly: Vec<Vec<f32>> = detectors
            .iter()
            .map(|d| scores(&self.anomaly[*d]))
            .collect();
        let guided = matches!(
            strategy,
            S::Suspicion | S::SuspicionDistinct | S::SuspicionSpread | S::Guided | S::Half
        );
        let suspicion = if guided {
            scores(&self.suspicion)
        } else {
            vec![]
        };
        let groups: Vec<u32> =
            if matches!(strategy, S::UnionSpread | S::SuspicionSpread | S::Guided) {
                let group = |place: &usize| self.corpus.groups[self.pool[*place]];
                places.iter().map(group).collect()
            } else {
                vec![]
            };
        // The product's choice passes over what the baseline knows, and draws from it too.
        let known: Vec<bool> = if strategy == S::Guided {
            places.iter().map(|place| self.known[*place]).collect()
        } else {
            vec![]
        };
        let pool = Pool {
            keys: &keys,
            anomaly: &anomaly,
            suspicion: &suspicion,
            groups: &groups,
            known: &known,
        };
        let (random_share, unguided_share) = match strategy {
            S::Guided => (choice::SHARE, choice::SHARE),
            S::Half => (0.5, 0.0),
            _ => (0.0, 0.0),
        };
        let plan = Plan {
            budget: if strategy == S::Everything {
                places.len()
            } else {
                budget
            },
            random_share,
            unguided_share,
            seed: self.seed,
        };
        let picks = choice::choose(&pool, &plan);
        picks
            .into_iter()
            .map(|pick| self.pool[places[pick.line]])
            .collect()
    }

    fn cell(&self, cell: &Cell) -> Result<Measurement, JobError> {
        let all: Vec<usize> = (0..self.pool.len()).collect();
        let chosen: Vec<usize> = match cell.days {
            None => self.choose(cell.strategy, cell.budget, &all),
            Some(days) => {
                let day = |place: &usize| {
                    mix(self.corpus.hashes[self.pool[*place]] ^ mix(self.seed ^ 0xda15)) % DAYS
                };
                (0..days)
                    .flat_map(|today| {
                        let of_day: Vec<usize> =
                            all.iter().copied().filter(|p| day(p) == today).collect();
                        self.choose(cell.strategy, cell.budget, &of_day)
                    })
                    .collect()
            }
        };
        let malicious = |line: &usize| self.corpus.malicious[*line];
        let added: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|l| self.is_benign(*l, cell.labels))
            .collect();
        let poison = added.iter().filter(|line| malicious(line)).count();
        let mut rows: Vec<usize> = self.baseline.iter().chain(&added).copied().collect();
        let mut labels: Vec<bool> = self.baseline.iter().map(malicious).collect();
        labels.resize(rows.len(), false);
        if cell.reduced {
            let order = self.reduced(&rows, &labels, self.baseline.len());
            rows = order.iter().map(|place| rows[*place]).collect();
            labels = order.iter().map(|place| labels[*place]).collect();
        }
        let model = self.fit_labelled(cell.family, &rows, &labels, &vec![1.0; rows.len()])?;
        let place = usize::from(cell.family == Family::Linear);
        Ok(Measurement {
            cell: *cell,
            seed: self.seed,
            baseline: self.auc[place],
            auc: self.measure(&model)?,
            added: added.len(),
            poison,
            malicious_chosen: chosen.iter().filter(|line| malicious(line)).count(),
        })
    }

    fn is_benign(&self, line: usize, labels: Labels) -> bool {
        let truth = !self.corpus.malicious[line];
        match labels {
            Labels::Truth => truth,
            Labels::Rules => self.corpus.rules_benign[line],
            Labels::Noisy(share) => {
                let draw = mix(self.corpus.hashes[line] ^ mix(self.seed ^ 0x2015e));
                #[expect(clippy::cast_precision_loss, reason = "a share of 2^64")]
                let wrong = (draw as f64) < share * 18_446_744_073_709_551_616.0;
                truth != wrong
            }
        }
    }

    /// Places of as many rows as the baseline has: the malicious ones, and a draw of the benign ones.
    pub(super) fn reduced(&self, rows: &[usize], labels: &[bool], size: usize) -> Vec<usize> {
        let mut order: Vec<(bool, u64, usize)> = (0..rows.len())
            .map(|place| {
                let draw = mix(self.corpus.hashes[rows[place]] ^ mix(self.seed ^ 0x5ed));
                (!labels[place], draw, place)
            })
            .collect();
        order.sort_unstable();
        order.truncate(size);
        order.into_iter().map(|(.., place)| place).collect()
    }
}
