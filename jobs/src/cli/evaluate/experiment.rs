//! `gleaner evaluate experiment`: what each way of choosing lines lifts a classifier, with whole sources held out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gleaner_classifier::model::Family;
use gleaner_udfs::rng::SplitMix64;
use serde_json::json;

use crate::cli::output;
use crate::error::JobError;
use crate::lift::corpus::Corpus;
use crate::lift::experiment::{Cell, Dealt, Labels, Measurement, Strategy, run};
use crate::lift::table;

/// Draws of seeds that a ratio's interval is from.
const DRAWS: usize = 2000;
/// Bootstrap replicates of one seed's AUC.
const REPLICATES: usize = 200;

/// Flags of `gleaner evaluate experiment`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A directory with `commands_benign.parquet` and `commands_malicious.parquet` (`command_line`, source, ambiguous); without it, telemetry is made,
    /// whose templates are the sources: that shows the machinery and proves nothing.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Rows of the made telemetry.
    #[arg(long, default_value_t = 60_000)]
    lines: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// How many seeds: each deals the sources anew.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Share of attacks in the telemetry that lines are chosen from, at most.
    #[arg(long, default_value_t = 0.001)]
    attacks: f64,
    /// Label budgets.
    #[arg(long, value_delimiter = ',', default_value = "500,2000,6000,10000")]
    budgets: Vec<usize>,
    /// What is measured: strategies by budget; detectors; labels; days; scale; the table in the original's form. All by default.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "strategies,detectors,labels,days,scale,table"
    )]
    parts: Vec<Part>,
    /// Families of classifiers that are measured. The guide is always linear.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "linear,boosting"
    )]
    families: Vec<super::lift::FamilyArg>,
    /// One JSON object a seed (the sets) and a measurement, instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Strategies by budget, labels by the truth.
    Strategies,
    /// Each detector by itself.
    Detectors,
    /// Labels by the rules and by a noisy truth.
    Labels,
    /// A budget a day, over more and more days.
    Days,
    /// At the baseline's size.
    Scale,
    /// Training sets (two baselines, each alone and with a benign set, at two scales) by tests; a benign set costs the largest of --budgets.
    Table,
}

/// # Errors
/// When the data is not as expected.
pub(super) async fn main(args: &Args) -> Result<(), JobError> {
    if args.budgets.contains(&0) {
        return Err(JobError::Usage(
            "--budgets: expected numbers above 0".to_owned(),
        ));
    }
    let made =
        tempfile::tempdir().map_err(|e| JobError::io(Path::new("temporary directory"), e))?;
    let corpus = match &args.data {
        Some(directory) => Corpus::recorded(directory).await?,
        None => Corpus::made(&made.path().join("made"), args.lines, 1).await?,
    };
    let cells = cells(args);
    let plan = args.parts.contains(&Part::Table).then(|| table::Plan {
        families: args.families.iter().map(|f| f.family()).collect(),
        budget: args.budgets.iter().copied().max().unwrap_or(0),
        replicates: REPLICATES,
    });
    let seeds: Vec<u64> = (0..args.seeds).map(|n| args.first_seed + n).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut dealt: Vec<Dealt> = vec![];
    for some in seeds.chunks(threads) {
        let results = std::thread::scope(|scope| {
            let (corpus, cells, plan) = (&corpus, &cells, plan.as_ref());
            let start = |seed: &u64| {
                let seed = *seed;
                scope.spawn(move || run(corpus, seed, args.attacks, cells, plan))
            };
            let running: Vec<_> = some.iter().map(start).collect();
            let join = std::thread::ScopedJoinHandle::join;
            running.into_iter().map(join).collect::<Vec<_>>()
        });
        for result in results {
            let stopped = |_| JobError::Internal("a seed's thread panicked".to_owned());
            let seed = result.map_err(stopped)??;
            if args.json {
                objects(&seed)?;
            } else {
                output::note(&sentence(&seed));
            }
            dealt.push(seed);
        }
    }
    if args.json {
        return Ok(());
    }
    tables(args, &dealt)?;
    super::table::show(&dealt)
}

fn cells(args: &Args) -> Vec<Cell> {
    let mut cells = vec![];
    let base = Cell {
        family: Family::Linear,
        labels: Labels::Truth,
        strategy: Strategy::Random,
        budget: 2000,
        days: None,
        reduced: false,
    };
    let few = [
        Strategy::Random,
        Strategy::IsolationForest,
        Strategy::Guided,
    ];
    if args.parts.contains(&Part::Strategies) {
        for family in args.families.iter().map(|f| f.family()) {
            let strategies: &[Strategy] = match family {
                Family::Linear => &Strategy::ALL,
                Family::Boosting => &Strategy::FEW,
            };
            for budget in &args.budgets {
                for strategy in strategies {
                    cells.push(Cell {
                        family,
                        strategy: *strategy,
                        budget: *budget,
                        ..base
                    });
                }
            }
            cells.push(Cell {
                family,
                strategy: Strategy::Everything,
                ..base
            });
        }
    }
    for base in args.families.iter().map(|f| Cell {
        family: f.family(),
        ..base
    }) {
        if args.parts.contains(&Part::Detectors) {
            let known =
                args.parts.contains(&Part::Strategies) && args.budgets.contains(&base.budget);
            for strategy in [Strategy::Random, Strategy::IsolationForest] {
                cells.extend((!known).then_some(Cell { strategy, ..base }));
            }
            for strategy in [Strategy::Pca, Strategy::KMeans] {
                cells.push(Cell { strategy, ..base });
            }
        }
        for strategy in few {
            if args.parts.contains(&Part::Labels) {
                for labels in [Labels::Rules, Labels::Noisy(0.01), Labels::Noisy(0.05)] {
                    cells.push(Cell {
                        labels,
                        strategy,
                        ..base
                    });
                }
            }
            if args.parts.contains(&Part::Days) {
                for days in [1, 3, 7, 14, 30] {
                    cells.push(Cell {
                        strategy,
                        days: Some(days),
                        budget: 100,
                        ..base
                    });
                }
            }
            if args.parts.contains(&Part::Scale) {
                for budget in [2000, 6000] {
                    cells.push(Cell {
                        strategy,
                        budget,
                        reduced: true,
                        ..base
                    });
                }
            }
        }
    }
    cells
}

fn sentence(dealt: &Dealt) -> String {
    let [baseline, telemetry, test] = dealt.sizes;
    format!(
        "seed {}: baseline {} benign and {} malicious lines, telemetry {} and {}, test {} and {} of {} sources; {} lines that the test knows left out",
        dealt.seed,
        baseline[0],
        baseline[1],
        telemetry[0],
        telemetry[1],
        test[0],
        test[1],
        dealt.held_out.len(),
        dealt.leaked
    )
}

fn objects(dealt: &Dealt) -> Result<(), JobError> {
    let [baseline, telemetry, test] = dealt.sizes;
    let sets = json!({
        "seed": dealt.seed,
        "baseline_benign": baseline[0], "baseline_malicious": baseline[1],
        "telemetry_benign": telemetry[0], "telemetry_malicious": telemetry[1],
        "test_benign": test[0], "test_malicious": test[1],
        "leaked": dealt.leaked,
        "held_out": dealt.held_out,
    });
    output::line(&sets.to_string())?;
    for m in &dealt.measurements {
        let object = json!({
            "seed": m.seed,
            "family": m.cell.family.name(),
            "labels": m.cell.labels.name(),
            "strategy": m.cell.strategy.name(),
            "budget": (m.cell.strategy != Strategy::Everything).then_some(m.cell.budget),
            "days": m.cell.days,
            "scale": if m.cell.reduced { "reduced" } else { "full" },
            "auc_baseline": m.baseline,
            "auc": m.auc,
            "lift_points": lift(m),
            "rows_added": m.added,
            "malicious_added": m.poison,
            "malicious_chosen": m.malicious_chosen,
        });
        output::line(&object.to_string())?;
    }
    super::table::objects(dealt)
}

fn lift(m: &Measurement) -> f64 {
    100.0 * (m.auc - m.baseline)
}

/// The lifts of a cell, by seed.
fn lifts(dealt: &[Dealt], cell: &Cell) -> Vec<f64> {
    dealt
        .iter()
        .filter_map(|d| d.measurements.iter().find(|m| m.cell == *cell))
        .map(lift)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "seeds")]
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Half the width of the 95% interval of the mean over seeds (Student's t); nothing for one seed.
#[expect(clippy::cast_precision_loss, reason = "seeds")]
pub(super) fn margin(values: &[f64]) -> Option<f64> {
    const T: [f64; 15] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131,
    ];
    let n = values.len() as f64;
    let t = T.get(values.len().checked_sub(2)?).copied().unwrap_or(2.0);
    let middle = mean(values);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    Some(t * (squares / (n - 1.0) / n).sqrt())
}

/// Mean lift over the random lines' mean lift, and its 95% interval over draws of seeds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seeds and draws"
)]
fn ratio(lifts: &[f64], random: &[f64]) -> (f64, f64, f64) {
    let of = mean(lifts) / mean(random);
    let mut numbers = SplitMix64::new(1);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let places: Vec<usize> = lifts.iter().map(|_| numbers.below(lifts.len())).collect();
            let sum = |of: &[f64]| places.iter().map(|p| of[*p]).sum::<f64>();
            sum(lifts) / sum(random)
        })
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| drawn[(share * (DRAWS - 1) as f64) as usize];
    (of, at(0.025), at(0.975))
}

fn tables(args: &Args, dealt: &[Dealt]) -> Result<(), JobError> {
    let mut groups: BTreeMap<(usize, String), Vec<Cell>> = BTreeMap::new();
    for cell in cells(args) {
        let family = cell.family.name();
        let key = match (cell.labels, cell.days, cell.reduced) {
            (Labels::Truth, None, false) => (
                0,
                format!("{family}: lift in points of AUC, labels by the truth"),
            ),
            (Labels::Truth, Some(_), _) => (2, format!("{family}: {} labels a day", cell.budget)),
            (Labels::Truth, None, true) => (3, format!("{family}: at the baseline's size")),
            (labels, ..) => (1, format!("{family}: labels by {}", labels.name())),
        };
        groups.entry(key).or_default().push(cell);
    }
    for ((_, title), cells) in groups {
        output::line(&format!("\n{title}, over {} seeds", dealt.len()))?;
        output::line(&format!(
            "{:<30} {:>7} {:>5} {:>9} {:>16} {:>24} {:>9}",
            "strategy", "labels", "days", "baseline", "lift ± 95%", "times random (95%)", "added"
        ))?;
        for cell in &cells {
            let random = Cell {
                strategy: Strategy::Random,
                ..*cell
            };
            let (of, random) = (lifts(dealt, cell), lifts(dealt, &random));
            output::line(&row(cell, dealt, &of, &random))?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "lines")]
fn row(cell: &Cell, dealt: &[Dealt], of: &[f64], random: &[f64]) -> String {
    let measured = dealt
        .iter()
        .filter_map(|d| d.measurements.iter().find(|m| m.cell == *cell));
    let (baseline, added): (Vec<f64>, Vec<f64>) =
        measured.map(|m| (m.baseline, m.added as f64)).unzip();
    let everything = cell.strategy == Strategy::Everything;
    let times = if everything || of.len() != random.len() || cell.strategy == Strategy::Random {
        String::new()
    } else {
        let (ratio, low, high) = ratio(of, random);
        format!("{ratio:.2} ({low:.2} to {high:.2})")
    };
    let margin = margin(of).map_or_else(String::new, |margin| format!(" ± {margin:.2}"));
    format!(
        "{:<30} {:>7} {:>5} {:>9.4} {:>16} {times:>24} {:>9.0}",
        cell.strategy.name(),
        if everything {
            "all".to_owned()
        } else {
            cell.budget.to_string()
        },
        cell.days
            .map_or_else(|| "-".to_owned(), |days| days.to_string()),
        mean(&baseline),
        format!("{:+.2}{margin}", mean(of)),
        mean(&added),
    )
}

#[cfg(test)]
mod tests {
    use super::{margin, ratio};

    #[test]
    fn the_interval_of_a_mean_is_that_of_students_t() {
        // 1, 2, 3: deviation 1, standard error 1/√3, t of two degrees of freedom 4.303.
        let margin_of = margin(&[1.0, 2.0, 3.0]).unwrap();
        assert!((margin_of - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(margin(&[1.0]), None);
    }

    #[test]
    fn a_ratio_of_seeds_that_agree_is_certain() {
        let (of, low, high) = ratio(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]);
        assert!([of, low, high].iter().all(|r| (r - 2.0).abs() < 1e-12));
    }
}
