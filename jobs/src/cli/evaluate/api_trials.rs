//! `gleaner evaluate api --paradigms` and `--feedback`: ways to learn compared, and what verdicts change.

use std::collections::BTreeMap;

use gleaner_classifier::ClassifierError;
use gleaner_classifier::api::feedback::{self, Rates};
use gleaner_classifier::api::{Labelled, paradigms, prepare};
use serde_json::json;

use super::api::Args;
use crate::cli::output;
use crate::error::JobError;

/// A number of a table, or a dash.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"))
}

fn failed(args: &Args, kind: &str, e: &ClassifierError) -> JobError {
    JobError::Usage(format!("{}, {kind}: {e}", args.file.display()))
}

/// Each attack type in turn is one that no model saw.
///
/// # Errors
/// When a model cannot be fitted, or standard output is closed.
pub(super) fn compare(args: &Args, kinds: &BTreeMap<&str, Vec<&Labelled>>) -> Result<(), JobError> {
    if !args.json {
        output::line(&format!(
            "{:<12} {:<16} {:<14} {:>6} {:>11} {:>12} {:>11} {:>12} {:>6} {:>7} {:>7}  {:<22} explained by",
            "kind",
            "paradigm",
            "model",
            "labels",
            "auroc known",
            "recall known",
            "auroc novel",
            "recall novel",
            "fpr",
            "fit s",
            "us/row",
            "novel"
        ))?;
    }
    for (kind, rows) in kinds {
        let prepared = prepare(rows, args.seed, args.categorical.choice());
        let few = usize::try_from(args.few).unwrap_or(usize::MAX);
        let trials = match paradigms::compare(&prepared, args.method(), few, args.seed) {
            Ok(trials) => trials,
            Err(ClassifierError::TooFew { .. }) => {
                let why = "fewer than two attack types of 20 rows: none can be the novel one";
                output::note(&format!("{kind}: {why}"));
                continue;
            }
            Err(e) => return Err(failed(args, kind, &e)),
        };
        for t in trials {
            if args.json {
                let object = json!({
                    "kind": kind, "paradigm": t.paradigm, "model": t.model, "novel": t.novel, "labels": t.labels,
                    "auroc_known": t.auroc_known, "auroc_novel": t.auroc_novel, "recall_known": t.recall_known,
                    "recall_novel": t.recall_novel, "false_positive_rate": t.false_positive_rate,
                    "fit_secs": t.fit_secs, "micros_a_row": t.micros_a_row, "explained_by": t.explained_by,
                });
                output::line(&object.to_string())?;
                continue;
            }
            output::line(&format!(
                "{kind:<12} {:<16} {:<14} {:>6} {:>11} {:>12} {:>11} {:>12} {:>6} {:>7.2} {:>7.2}  {:<22} {}",
                t.paradigm,
                t.model,
                t.labels,
                share(t.auroc_known),
                share(t.recall_known),
                share(t.auroc_novel),
                share(t.recall_novel),
                share(t.false_positive_rate),
                t.fit_secs,
                t.micros_a_row,
                output::printable(&t.novel),
                t.explained_by
            ))?;
        }
    }
    Ok(())
}

/// What up to `most` verdicts change.
///
/// # Errors
/// When a model cannot be fitted, or standard output is closed.
pub(super) fn feedback(
    args: &Args,
    kinds: &BTreeMap<&str, Vec<&Labelled>>,
    most: u32,
) -> Result<(), JobError> {
    if !args.json {
        output::line(&format!(
            "{:<12} {:<12} {:>5} {:>6}  recall and false-positive rate: before -> refitted -> with a classifier of the verdicts",
            "kind", "detector", "true", "false"
        ))?;
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    for (kind, rows) in kinds {
        let prepared = prepare(rows, args.seed, args.categorical.choice());
        let changes = feedback::changes(&prepared, args.method(), most, args.seed);
        let changes = match changes {
            Ok(changes) => changes,
            // What one kind has too little of costs that kind alone.
            Err(e) => {
                output::note(&format!("{kind}: {e}"));
                continue;
            }
        };
        for c in changes {
            if args.json {
                let rates = |r: Rates| json!({ "recall": r.recall, "false_positive_rate": r.false_positive_rate, "precision": r.precision });
                let object = json!({
                    "kind": kind, "detector": c.detector, "true_positives": c.true_positives,
                    "false_positives": c.false_positives, "before": rates(c.before), "refitted": rates(c.refitted),
                    "with_classifier": c.with_classifier.map(rates),
                });
                output::line(&object.to_string())?;
                continue;
            }
            let text = |r: Rates| format!("{:.4} {:.4}", r.recall, r.false_positive_rate);
            let with = c
                .with_classifier
                .map_or_else(|| "too few true positives".to_owned(), text);
            output::line(&format!(
                "{kind:<12} {:<12} {:>5} {:>6}  {} -> {} -> {with}",
                c.detector,
                c.true_positives,
                c.false_positives,
                text(c.before),
                text(c.refitted)
            ))?;
        }
    }
    Ok(())
}
