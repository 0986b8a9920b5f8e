//! What `gleaner evaluate lift --json` printed: one object a test, family and training set. A warehouse does not hold it, as tests and baselines are files of the user's.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::JobError;

/// A training set's model on a test.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Measured {
    /// The test's name.
    pub test: String,
    /// Boosting or linear.
    pub family: String,
    /// `baseline`, or `baseline+benign`.
    pub train: String,
    /// Full, or reduced to the baseline's size.
    pub scale: String,
    /// Area under the ROC curve, with its 95% interval.
    pub auc: f64,
    /// Lower end.
    pub auc_low: f64,
    /// Upper end.
    pub auc_high: f64,
    /// Less the baseline's; none of the baseline.
    pub auc_gain: Option<f64>,
    /// Lower end of its 95% interval.
    pub auc_gain_low: Option<f64>,
    /// Upper end.
    pub auc_gain_high: Option<f64>,
    /// Of a paired test, two-sided.
    pub p_value: Option<f64>,
    /// True-positive rate by false-positive rate; none where the test does not resolve it.
    #[serde(default)]
    pub tpr_at_fpr: BTreeMap<String, Option<f64>>,
    /// At the threshold that was measured, of 50 million lines.
    #[serde(default)]
    pub false_alarms_a_day: Option<f64>,
    /// Benign rows that were added for training.
    #[serde(default)]
    pub rows_added: u64,
    /// Benign rows of the test.
    #[serde(default)]
    pub test_benign: u64,
    /// Malicious rows of the test.
    #[serde(default)]
    pub test_malicious: u64,
    /// False-positive and true-positive rates, rising; empty where an earlier version measured.
    #[serde(default)]
    pub roc: Vec<(f64, f64)>,
}

impl Measured {
    /// Whether it is what others are held against.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.auc_gain.is_none()
    }

    /// The training set in words.
    #[must_use]
    pub fn trained_on(&self) -> String {
        match (self.is_baseline(), self.scale.as_str()) {
            (true, _) => "baseline".to_owned(),
            (false, "reduced") => "with benign set, same size".to_owned(),
            (false, _) => "with benign set".to_owned(),
        }
    }
}

/// Reads files of it, in their order.
///
/// # Errors
/// When a file cannot be read, or a line of it is no such object.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Vec<Measured>, JobError> {
    let mut out = vec![];
    for path in paths {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| JobError::io(path, e))?;
        for (place, line) in text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
        {
            let measured = serde_json::from_str(line).map_err(|e| {
                JobError::Usage(format!(
                    "--evaluation {}: line {}: {e}; expected what gleaner evaluate lift --json prints",
                    path.display(),
                    place + 1
                ))
            })?;
            out.push(measured);
        }
        if text.trim().is_empty() {
            return Err(JobError::Usage(format!(
                "--evaluation {}: the file is empty; expected what gleaner evaluate lift --json prints",
                path.display()
            )));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_something_else_is_named_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e");
        let whole = r#"{"test":"t","family":"linear","train":"baseline","scale":"full","auc":0.9,"auc_low":0.8,"auc_high":0.95,"auc_gain":null,"auc_gain_low":null,"auc_gain_high":null,"p_value":null}"#;
        std::fs::write(&path, format!("{whole}\n\n{whole}\n")).unwrap();
        let read_back = read(&[&path]).unwrap();
        assert_eq!(read_back.len(), 2);
        assert!(read_back[0].is_baseline() && read_back[0].roc.is_empty());
        std::fs::write(&path, format!("{whole}\n{{}}\n")).unwrap();
        assert!(read(&[&path]).unwrap_err().to_string().contains("line 2"));
        std::fs::write(&path, "").unwrap();
        assert!(read(&[&path]).unwrap_err().to_string().contains("empty"));
    }
}
