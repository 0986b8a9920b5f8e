//! The lift: what a classifier gains from the benign set, on tests that it knows nothing of.
//!
//! ```text
//! guide       what takes lines for malice, when labels are spent with guidance
//! baselines   training sets to start from: by rules, by weighted sources
//! sets    labelled lines of one's own: Parquet, CSV, SQL, a warehouse's benign set
//! corpus      lines of many sources, dealt to baseline, telemetry and test, whole sources at a time
//! table       the experiment in the form of the original: training sets by tests
//! experiment  what each way of choosing lines lifts
//! study   leakage out, training with and without the benign set, at full scale and at the baseline's size, measured on every test
//! ```

use gleaner_udfs::text::label::{Label, Prevalence, Subject, Thresholds, label};

pub mod baselines;
pub mod corpus;
pub mod experiment;
pub mod guide;
pub mod sets;
pub mod study;
pub mod table;

/// What the rules say of a line by itself: without context, whatever its prevalence.
pub(crate) fn by_rules_alone(line: &str) -> Label {
    let subject = Subject {
        command_line: line,
        ..Subject::default()
    };
    let thresholds = Thresholds {
        min_hosts: 0,
        min_users: 0,
        min_days: 0,
    };
    label(&subject, &Prevalence::default(), &thresholds)
}
