//! The experiment's table in the original's form: training sets by tests.

use serde_json::json;

use super::experiment::{margin, mean};
use crate::cli::output;
use crate::error::JobError;
use crate::lift::experiment::Dealt;
use crate::lift::table::{Entry, TESTS};

/// One JSON object a training set and test of a seed; intervals are of a bootstrap of the test's lines.
pub(super) fn objects(dealt: &Dealt) -> Result<(), JobError> {
    for entry in &dealt.table {
        for (name, measured) in TESTS.iter().zip(&entry.tests) {
            let gain = measured.difference;
            let object = json!({
                "seed": dealt.seed,
                "family": entry.row.family.name(),
                "train": entry.row.name(),
                "scale": if entry.row.reduced { "reduced" } else { "full" },
                "test": name,
                "auc": measured.auc.value,
                "auc_low": measured.auc.low,
                "auc_high": measured.auc.high,
                "auc_gain": gain.map(|d| d.auc.value),
                "auc_gain_low": gain.map(|d| d.auc.low),
                "auc_gain_high": gain.map(|d| d.auc.high),
                "tpr_at_fpr_1e-2": measured.tpr[0].map(|tpr| tpr.value),
                "rows_benign": entry.rows[0],
                "rows_malicious": entry.rows[1],
                "rows_added": entry.rows_added,
            });
            output::line(&object.to_string())?;
        }
    }
    Ok(())
}

/// Over the seeds: mean AUC with the 95% interval of Student's t (of one seed the bootstrap's), and the gain in points.
pub(super) fn show(dealt: &[Dealt]) -> Result<(), JobError> {
    let Some(first) = dealt.first().filter(|first| !first.table.is_empty()) else {
        return Ok(());
    };
    output::line(&format!(
        "\ntraining sets by tests, over {} seeds: AUC (95%), gain in points (95%)",
        dealt.len()
    ))?;
    output::line(&format!(
        "{:<9} {:<42} {:<8} {:>42} {:>42} {:>8} {:>7} {:>7}",
        "family", "training set", "scale", TESTS[0], TESTS[1], "benign", "malign", "added"
    ))?;
    for entry in &first.table {
        let of_seeds: Vec<&Entry> = dealt
            .iter()
            .filter_map(|dealt| dealt.table.iter().find(|other| other.row == entry.row))
            .collect();
        let count = |of: &dyn Fn(&Entry) -> usize| {
            #[expect(clippy::cast_precision_loss, reason = "rows")]
            let counts: Vec<f64> = of_seeds.iter().map(|entry| of(entry) as f64).collect();
            format!("{:.0}", mean(&counts))
        };
        output::line(&format!(
            "{:<9} {:<42} {:<8} {:>42} {:>42} {:>8} {:>7} {:>7}",
            entry.row.family.name(),
            entry.row.name(),
            if entry.row.reduced { "reduced" } else { "full" },
            cell(&of_seeds, 0),
            cell(&of_seeds, 1),
            count(&|entry| entry.rows[0]),
            count(&|entry| entry.rows[1]),
            count(&|entry| entry.rows_added),
        ))?;
    }
    Ok(())
}

fn cell(of_seeds: &[&Entry], test: usize) -> String {
    let measured = || of_seeds.iter().map(|entry| &entry.tests[test]);
    let aucs: Vec<f64> = measured().map(|m| m.auc.value).collect();
    let gains: Option<Vec<f64>> = measured()
        .map(|m| m.difference.map(|d| 100.0 * d.auc.value))
        .collect();
    let value = mean(&aucs);
    let auc = match (margin(&aucs), measured().next()) {
        (Some(margin), _) => format!("{value:.4} ({:.4}-{:.4})", value - margin, value + margin),
        (None, Some(one)) => format!("{value:.4} ({:.4}-{:.4})", one.auc.low, one.auc.high),
        (None, None) => String::new(),
    };
    let Some(gains) = gains else { return auc };
    let margin = margin(&gains).map_or_else(String::new, |margin| format!(" ± {margin:.2}"));
    format!("{auc} {:+.2}{margin}", mean(&gains))
}
