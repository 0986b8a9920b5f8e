//! `gleaner evaluate lift`: what a classifier gains from the benign set, on tests of one's own.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gleaner_classifier::measures::{At, Calibration, Estimate, FPRS};
use gleaner_classifier::model::Family;
use gleaner_classifier::roc;
use gleaner_embed::EmbedError;
use gleaner_udfs::embedder;
use serde_json::{Map, Value, json};

use crate::cli::embedder::EmbedderArgs;
use crate::cli::{output, progress};
use crate::error::JobError;
use crate::lift::sets::{self, Set};
use crate::lift::study::{self, LeftOut, Outcome, Plan, Study, Train, Trained};

/// Lines a day that false alarms are counted for.
const DAY_LINES: f64 = 50e6;

/// Points of a ROC curve, about.
const ROC_POINTS: usize = 200;

/// Which training sets with the benign set are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scale {
    /// The baseline and all that is added.
    Full,
    /// As many rows as the baseline has.
    Reduced,
    /// Both.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FamilyArg {
    /// Gradient-boosted trees.
    Boosting,
    /// Logistic regression over n-grams.
    Linear,
}

impl FamilyArg {
    pub(super) const fn family(self) -> Family {
        match self {
            Self::Boosting => Family::Boosting,
            Self::Linear => Family::Linear,
        }
    }
}

/// Flags of `gleaner evaluate lift`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Parquet or CSV files with the columns `command_line`, label (benign or malicious) and perhaps weight: the training set as it is.
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "baseline_sql")]
    baseline: Vec<String>,
    /// A query that gives those columns; a file's path in quotes is a table.
    #[arg(long, value_name = "SQL")]
    baseline_sql: Vec<String>,
    /// What is added: a warehouse, whose table benign it is, or a file as of --baseline, of which the benign rows count.
    #[arg(long, value_name = "WAREHOUSE")]
    benign: Option<String>,
    /// A test: a name, and a file as of --baseline; may be given several times.
    #[arg(long, value_name = "NAME=FILE", required = true)]
    test: Vec<String>,
    /// Families of classifiers.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "boosting,linear"
    )]
    families: Vec<FamilyArg>,
    /// Train with all that is added, with as many rows as the baseline has, or both.
    #[arg(long, value_enum, default_value = "both")]
    scale: Scale,
    /// N-grams that are columns of the trees, chosen on the training rows.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u16).range(16..))]
    grams: u16,
    /// Let the trees read the components of the embedder's vectors too.
    #[arg(long)]
    components: bool,
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Cosine from which a training line is a near-duplicate of a test's; default: the embedder's own.
    #[arg(long)]
    near: Option<f32>,
    /// Probability of malice from which a line is an alarm: for precision, recall and false alarms.
    #[arg(long, default_value_t = 0.5)]
    threshold: f64,
    /// Draws of the bootstrap that intervals and the paired test are from.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    bootstrap: u32,
    /// Rows of the baseline, and of what is added, that are trained on at most: a draw of more.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..))]
    max_rows: u32,
    /// Of every draw; one seed gives one answer.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the classifier trained on the most (of the first family named), for `gleaner run --guide`.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// One JSON object a test, family and training set.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When a file is not as expected, nothing is left to train on, or the embedder cannot be had.
pub(super) async fn main(args: &Args) -> Result<(), JobError> {
    if !(0.0..=1.0).contains(&args.threshold) {
        return Err(JobError::Usage(format!(
            "--threshold {}: expected a probability, 0 to 1",
            args.threshold
        )));
    }
    let resolved = args.embedder.resolve().await?;
    let embedder = embedder::load(&resolved.address).map_err(EmbedError::Load)?;
    let near = args.near.unwrap_or(resolved.threshold);
    if !(near > 0.0 && near <= 1.0) {
        return Err(JobError::Usage(format!(
            "--near {near}: expected a value in (0, 1]"
        )));
    }
    let mut baseline = Set::default();
    for file in &args.baseline {
        baseline.extend(sets::read(file).await?);
    }
    for sql in &args.baseline_sql {
        baseline.extend(sets::query(sql).await?);
    }
    if baseline.count(true) < 2 || baseline.count(false) < 2 {
        return Err(JobError::Usage(format!(
            "--baseline: {} benign and {} malicious rows; expected at least 2 of each",
            baseline.count(false),
            baseline.count(true)
        )));
    }
    let tests = tests(&args.test).await?;
    let added = match &args.benign {
        Some(path) => Some(sets::benign(path).await?),
        None => None,
    };
    let mut families: Vec<Family> = args.families.iter().map(|f| f.family()).collect();
    families.dedup();
    let plan = Plan {
        families: &families,
        scales: [args.scale != Scale::Reduced, args.scale != Scale::Full],
        grams: usize::from(args.grams),
        max_rows: args.max_rows as usize,
        replicates: args.bootstrap as usize,
        seed: args.seed,
        embedder: embedder.as_ref(),
        near,
        components: args.components,
    };
    let unlabelled = baseline.unlabelled;
    let study = study::run(&plan, baseline, added, &tests)?;
    remarks(&study, unlabelled, &tests);
    if let Some(path) = &args.save {
        save(path, &study, families[0])?;
    }
    if !args.json {
        output::line(&header())?;
    }
    for ((name, test), outcomes) in tests.iter().zip(&study.outcomes) {
        for outcome in outcomes {
            let trained = &study.models[outcome.model];
            let shown = Shown {
                args,
                study: &study,
                name,
                test,
                trained,
                outcome,
                embedder: if args.components {
                    &resolved.name
                } else {
                    "none"
                },
            };
            output::line(&if args.json {
                shown.object().to_string()
            } else {
                shown.row()
            })?;
        }
    }
    Ok(())
}

async fn tests(given: &[String]) -> Result<Vec<(String, Set)>, JobError> {
    let mut tests: Vec<(String, Set)> = vec![];
    for text in given {
        let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let Some((name, file)) = parts else {
            return Err(JobError::Usage(format!(
                "--test {text}: expected NAME=FILE, as time=tests/time.parquet"
            )));
        };
        if tests.iter().any(|(other, _)| other == name) {
            return Err(JobError::Usage(format!(
                "--test {name}: two tests of this name"
            )));
        }
        let set = sets::read(file).await?;
        if set.count(true) == 0 || set.count(false) == 0 {
            return Err(JobError::Usage(format!(
                "--test {name}: {file} has {} benign and {} malicious rows; expected some of each",
                set.count(false),
                set.count(true)
            )));
        }
        tests.push((name.to_owned(), set));
    }
    Ok(tests)
}

fn remarks(study: &Study, unlabelled: usize, tests: &[(String, Set)]) {
    if unlabelled > 0 {
        output::note(&format!(
            "baseline: {unlabelled} rows without a line or a label are left out"
        ));
    }
    for (name, test) in tests.iter().filter(|(_, test)| test.unlabelled > 0) {
        output::note(&format!(
            "test {name}: {} rows without a line or a label are left out",
            test.unlabelled
        ));
    }
    let of = |what: &str, out: LeftOut| {
        let leaked = out.exact + out.template + out.near;
        if leaked > 0 {
            output::note(&format!(
                "{what}: {leaked} rows that a test knows are left out ({} equal, {} of one template, {} near-duplicates)",
                out.exact, out.template, out.near
            ));
        }
        if out.known > 0 {
            output::note(&format!(
                "{what}: {} rows are in the training set already",
                out.known
            ));
        }
        if out.beyond > 0 {
            output::note(&format!(
                "{what}: {} rows beyond --max-rows are left out, by a draw",
                out.beyond
            ));
        }
    };
    of("baseline", study.baseline_left_out);
    of("benign", study.added_left_out);
}

fn save(path: &Path, study: &Study, family: Family) -> Result<(), JobError> {
    let of = |train: Train| {
        let mut models = study.models.iter();
        models.find(|m| m.family == family && m.train == train)
    };
    let model = of(Train::Full).or_else(|| of(Train::Baseline));
    let model = model.ok_or_else(|| JobError::Internal("no model was trained".into()))?;
    std::fs::write(path, model.model.to_bytes(&study.templates)).map_err(|e| JobError::io(path, e))
}

struct Shown<'a> {
    args: &'a Args,
    study: &'a Study,
    name: &'a str,
    test: &'a Set,
    trained: &'a Trained,
    outcome: &'a Outcome,
    embedder: &'a str,
}

fn header() -> String {
    format!(
        "{:<16} {:<9} {:<15} {:<8} {:>23} {:>17} {:>8} {:>7} {:>7} {:>7} {:>7} {:>12} {:>7} {:>7}",
        "test",
        "family",
        "train",
        "scale",
        "auc (95%)",
        "lift, points (p)",
        "tpr@1e-2",
        "@1e-3",
        "@1e-4",
        "precis.",
        "recall",
        "alarms a day",
        "brier",
        "added"
    )
}

impl Shown<'_> {
    fn at(&self) -> (At, Calibration) {
        let malicious: Vec<bool> = self.test.rows.iter().map(|row| row.malicious).collect();
        (
            At::of(&self.outcome.scores, &malicious, self.args.threshold),
            Calibration::of(&self.outcome.scores, &malicious),
        )
    }

    fn object(&self) -> Value {
        let (train, scale) = self.trained.train.names();
        let measured = &self.outcome.measured;
        let (at, calibration) = self.at();
        let rates = |of: &dyn Fn(Estimate) -> f64| {
            let pairs = FPRS.iter().zip(measured.tpr);
            let pairs = pairs.map(|(fpr, tpr)| (format!("{fpr:e}"), json!(tpr.map(of))));
            Value::Object(pairs.collect::<Map<String, Value>>())
        };
        let difference = measured.difference;
        let (base, added) = (self.study.baseline_left_out, self.study.added_left_out);
        json!({
            "train": train,
            "test": self.name,
            "family": self.trained.family.name(),
            "scale": scale,
            "auc": measured.auc.value,
            "auc_low": measured.auc.low,
            "auc_high": measured.auc.high,
            "auc_gain": difference.map(|d| d.auc.value),
            "auc_gain_low": difference.map(|d| d.auc.low),
            "auc_gain_high": difference.map(|d| d.auc.high),
            "p_value": difference.map(|d| d.p),
            "tpr_at_fpr": rates(&|tpr| tpr.value),
            "tpr_at_fpr_low": rates(&|tpr| tpr.low),
            "tpr_at_fpr_high": rates(&|tpr| tpr.high),
            "threshold": self.args.threshold,
            "precision": at.precision,
            "recall": at.recall,
            "fpr": at.fpr,
            "false_alarms_a_day": at.fpr * DAY_LINES,
            "false_alarms_a_day_low": at.fpr_interval.low * DAY_LINES,
            "false_alarms_a_day_high": at.fpr_interval.high * DAY_LINES,
            "brier": calibration.brier,
            "ece": calibration.ece,
            "rows_benign": self.trained.rows_benign,
            "rows_malicious": self.trained.rows_malicious,
            "rows_added": self.trained.rows_added,
            "test_benign": self.test.count(false),
            "test_malicious": self.test.count(true),
            "leaked_exact": base.exact + added.exact,
            "leaked_template": base.template + added.template,
            "leaked_near": base.near + added.near,
            "rows_known": added.known,
            "components": self.embedder,
            "seed": self.args.seed,
            "roc": self.roc(),
        })
    }

    /// False-positive and true-positive rates, to a millionth.
    fn roc(&self) -> Vec<[f64; 2]> {
        let malicious: Vec<bool> = self.test.rows.iter().map(|row| row.malicious).collect();
        let rounded = |rate: f64| (1e6 * rate).round() / 1e6;
        let curve = roc::curve(&self.outcome.scores, &malicious, ROC_POINTS);
        curve
            .into_iter()
            .map(|(fpr, tpr)| [rounded(fpr), rounded(tpr)])
            .collect()
    }

    fn row(&self) -> String {
        let (train, scale) = self.trained.train.names();
        let measured = &self.outcome.measured;
        let (at, calibration) = self.at();
        let auc = measured.auc;
        let lift = measured.difference.map_or_else(String::new, |d| {
            format!("{:+.2} ({:.3})", 100.0 * d.auc.value, d.p)
        });
        let tpr = |n: usize| {
            let rate: Option<Estimate> = measured.tpr.get(n).copied().flatten();
            rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.3}", rate.value))
        };
        let precision = at
            .precision
            .map_or_else(|| "-".to_owned(), |p| format!("{p:.3}"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 50 million"
        )]
        let alarms = progress::thousands((at.fpr * DAY_LINES).round() as u64);
        format!(
            "{:<16} {:<9} {train:<15} {scale:<8} {:>23} {lift:>17} {:>8} {:>7} {:>7} {precision:>7} {:>7.3} {alarms:>12} {:>7.4} {:>7}",
            output::printable(self.name),
            self.trained.family.name(),
            format!("{:.4} ({:.4}-{:.4})", auc.value, auc.low, auc.high),
            tpr(0),
            tpr(1),
            tpr(2),
            at.recall,
            calibration.brier,
            self.trained.rows_added,
        )
    }
}
