//! `gleaner evaluate api --by-day`: what each detector did on each day.

use chrono::DateTime;
use gleaner_classifier::api::days::{Day, by_day};
use gleaner_classifier::api::{Outcome, Prepared};
use serde_json::json;

use super::api_trials::share;
use crate::cli::output;
use crate::error::JobError;

/// The date of a number of days since 1970-01-01.
fn date(day: i64) -> Option<String> {
    let seconds = day.checked_mul(86_400)?;
    Some(
        DateTime::from_timestamp(seconds, 0)?
            .date_naive()
            .to_string(),
    )
}

/// # Errors
/// When standard output is closed.
pub(super) fn tell(
    as_json: bool,
    kind: &str,
    prepared: &Prepared,
    outcome: &Outcome,
) -> Result<(), JobError> {
    for day in by_day(prepared, outcome) {
        let named = day.day.and_then(date);
        let confusion = day.confusion;
        let (precision, recall, rate) = (
            confusion.and_then(|c| c.precision()),
            confusion.and_then(|c| c.recall()),
            confusion.and_then(|c| c.false_positive_rate()),
        );
        if as_json {
            let object = json!({
                "detector": outcome.detector, "kind": kind, "day": named, "benign": day.benign, "malicious": day.malicious,
                "auroc": day.auroc, "average_precision": day.average_precision, "precision": precision, "recall": recall,
                "false_positive_rate": rate,
            });
            output::line(&object.to_string())?;
            continue;
        }
        output::line(&format!(
            "{:<12} {}: {} ordinary, {} attacks, auroc {}, auprc {}, precision {}, recall {}, fpr {}{}",
            "",
            named.unwrap_or_else(|| "no time".to_owned()),
            day.benign,
            day.malicious,
            share(day.auroc),
            share(day.average_precision),
            share(precision),
            share(recall),
            share(rate),
            one_class(&day)
        ))?;
    }
    Ok(())
}

/// Why a day has no area.
fn one_class(day: &Day) -> &'static str {
    match (day.benign, day.malicious) {
        (_, 0) => " (one class: no attacks)",
        (0, _) => " (one class: no ordinary rows)",
        _ => "",
    }
}
