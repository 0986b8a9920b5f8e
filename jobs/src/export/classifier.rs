//! A saved classifier as JSON or ONNX.

use std::path::Path;

use gleaner_classifier::model::Classifier;
use gleaner_classifier::portable::{json, onnx};
use gleaner_classifier::space::Space;

use super::account::Account;
use super::place::{MANIFEST, Place};
use super::{Format, Plan};
use crate::error::JobError;

/// A file of `gleaner evaluate lift --save`.
///
/// # Errors
/// When it is none.
pub(super) fn read(path: &Path) -> Result<Classifier, JobError> {
    let bytes = std::fs::read(path).map_err(|e| JobError::io(path, e))?;
    let unfit = |why: String| {
        JobError::Usage(format!(
            "--classifier {}: {why}; expected a file of `gleaner evaluate lift --save` made without --components",
            path.display()
        ))
    };
    let (model, _) = Classifier::from_bytes(&bytes).map_err(|e| unfit(e.to_string()))?;
    Space::of(&model).map_err(|e| unfit(e.to_string()))?;
    Ok(model)
}

/// Writes `classifier.json` or `classifier.onnx`.
///
/// # Errors
/// When there is no room.
pub(super) fn write(plan: &Plan, place: &Place, model: &Classifier) -> Result<Account, JobError> {
    if plan.warehouse.is_some() || !plan.baseline.is_empty() || !plan.test.is_empty() {
        return Err(JobError::Usage(format!(
            "--format {} exports a classifier, and no lines: give --classifier and --out alone (and --no-warehouse where GLEANER_WAREHOUSE is set)",
            plan.format.name()
        )));
    }
    let internal = |e: serde_json::Error| JobError::Internal(e.to_string());
    if plan.format == Format::Onnx {
        place.write("classifier.onnx", &onnx::bytes(model)?)?;
    } else {
        let text = serde_json::to_string(&json::object(model)?).map_err(internal)?;
        place.write("classifier.json", (text + "\n").as_bytes())?;
    }
    let manifest = serde_json::json!({
        "gleaner": env!("CARGO_PKG_VERSION"),
        "format": plan.format.name(),
        "classifier": model.family().name(),
        "columns": Space::of(model)?.len(),
    });
    let text = serde_json::to_string_pretty(&manifest).map_err(internal)?;
    place.write(MANIFEST, (text + "\n").as_bytes())?;
    Ok(Account::of_classifier(plan, model))
}
