//! `gleaner evaluate api --held-out source`: each source in turn is one that no model saw.

use std::collections::BTreeMap;

use gleaner_classifier::api::sources::{self, Held, Trial};
use gleaner_classifier::api::{Labelled, Outcome, Part};
use serde_json::json;

use super::api::Args;
use super::api_trials::share;
use crate::cli::output;
use crate::error::JobError;

/// What is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum HeldOut {
    /// Each source of a kind: a repository or recording, which is what `source` says before a colon.
    Source,
}

/// # Errors
/// When standard output is closed.
pub(super) fn main(args: &Args, kinds: &BTreeMap<&str, Vec<&Labelled>>) -> Result<(), JobError> {
    if !args.json {
        output::line(&format!(
            "{:<12} {:<14} {:>6} {:>7} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7} {:>10}  held out",
            "kind",
            "model",
            "labels",
            "benign",
            "attacks",
            "auroc",
            "auprc",
            "precision",
            "recall",
            "fpr",
            "own recall"
        ))?;
    }
    for (kind, rows) in kinds {
        for (source, held) in sources::held_out(rows, args.seed, args.categorical.choice()) {
            match held {
                Ok(held) => one(args, kind, &held)?,
                Err(why) => {
                    output::note(&output::printable(&format!("{kind}, {source}: {why}")));
                }
            }
        }
    }
    Ok(())
}

fn one(args: &Args, kind: &str, held: &Held) -> Result<(), JobError> {
    let source = output::printable(&held.source);
    for remark in &held.remarks {
        output::note(&format!("{kind}, {source}: {remark}"));
    }
    let few = usize::try_from(args.few).unwrap_or(usize::MAX);
    for trial in sources::trials(held, args.method(), args.scale(), few, args.seed) {
        match &trial.outcome {
            Ok(outcome) => tell(args, kind, held, &trial, outcome)?,
            Err(why) => output::note(&format!("{kind}, {source}, {}: {why}", trial.model)),
        }
    }
    Ok(())
}

fn tell(
    args: &Args,
    kind: &str,
    held: &Held,
    trial: &Trial,
    outcome: &Outcome,
) -> Result<(), JobError> {
    let benign = held.prepared.of(Part::TestBenign).count();
    let malicious = held.prepared.of(Part::TestMalicious).count();
    let confusion = outcome.confusion;
    let (precision, recall, rate) = (
        // Of unlabelled rows it is not known which alert is right.
        confusion
            .and_then(|c| c.precision())
            .filter(|_| !held.unlabelled),
        confusion.and_then(|c| c.recall()),
        confusion.and_then(|c| c.false_positive_rate()),
    );
    if args.json {
        let object = json!({
            "kind": kind, "held_out": held.source, "detector": trial.model, "labels": trial.labels, "benign": benign,
            "malicious": malicious, "auroc": outcome.auroc, "average_precision": outcome.average_precision,
            "precision": precision, "recall": recall, "false_positive_rate": rate, "recall_at_own_threshold": trial.recall_at_own_threshold,
            "threshold": outcome.threshold.as_ref().ok().map(|t| t.threshold), "remarks": held.remarks,
        });
        return output::line(&object.to_string());
    }
    output::line(&format!(
        "{kind:<12} {:<14} {:>6} {benign:>7} {malicious:>7} {:>7} {:>7} {:>9} {:>7} {:>7} {:>10}  {}",
        trial.model,
        trial.labels,
        share(outcome.auroc),
        share(outcome.average_precision),
        share(precision),
        share(recall),
        share(rate),
        share(trial.recall_at_own_threshold),
        output::printable(&held.source)
    ))
}
