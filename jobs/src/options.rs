//! The user's choices for a run, checked before anything is read or written.

use gleaner_udfs::scale::Scale;
use std::collections::BTreeMap;
use std::str::FromStr;

use gleaner_embed::Resolved;

use crate::categorical::CategoricalBy;
use crate::error::JobError;
use crate::labels::LlmOptions;
use crate::stages::selection::Selection;
use crate::stages::unit::Unit;
use crate::telemetry::{Kind, SchemaKind, Undated};

pub use crate::detection::{Detectors, Quota, Quotas, ThresholdBy};

/// Which models a day is scored with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ModelPolicy {
    /// Models fitted on the day itself.
    #[default]
    Refit,
    /// Those of the latest earlier day, fitted anew where there are none.
    Reuse,
    /// Those of the latest earlier day, fitted anew where the day has drifted from the day they were fitted on.
    RefitIfDrifted,
}

impl ModelPolicy {
    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refit => "refit",
            Self::Reuse => "reuse",
            Self::RefitIfDrifted => "refit-if-drifted",
        }
    }
}

/// What features are scaled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ScaleBy {
    /// Mean and standard deviation.
    #[default]
    Standard,
    /// The sample's range.
    MinMax,
    /// Median and quartiles.
    Robust,
}

impl ScaleBy {
    /// For a fit.
    #[must_use]
    pub const fn scale(self) -> Scale {
        match self {
            Self::Standard => Scale::Standard,
            Self::MinMax => Scale::MinMax,
            Self::Robust => Scale::Robust,
        }
    }
}

/// How widely a template must have been seen for the rule labeller to call its line benign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrevalenceOptions {
    /// Distinct hosts.
    pub min_hosts: u32,
    /// Distinct users.
    pub min_users: u32,
    /// Distinct days, of the last [`PrevalenceOptions::window_days`].
    pub min_days: u32,
    /// How many days back the warehouse is asked, the day itself included.
    pub window_days: u32,
}

impl Default for PrevalenceOptions {
    fn default() -> Self {
        Self {
            min_hosts: 3,
            min_users: 2,
            min_days: 1,
            window_days: 7,
        }
    }
}

/// Everything that `gleaner run` can be told.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// What the telemetry is about.
    pub kind: Kind,
    /// Files or directories.
    pub telemetry: Vec<String>,
    /// `None`: recognised, file by file.
    pub schema: Option<SchemaKind>,
    /// What becomes of rows without a time.
    pub undated: Undated,
    /// What scores the day.
    pub detectors: Detectors,
    /// Lines a detector may choose.
    pub quotas: Quotas,
    /// What makes a line one of a detector's anomalies.
    pub threshold: ThresholdBy,
    /// Cosine from which a line covers another of its guard key.
    pub cosine: f32,
    /// What makes vectors of lines.
    pub embedder: Resolved,
    /// For the rule labeller.
    pub prevalence: PrevalenceOptions,
    /// Lines the models are fitted on.
    pub fit_rows: u64,
    /// What features are scaled by before detectors see them.
    pub scale: ScaleBy,
    /// How categorical values of requests become numbers.
    pub categorical: CategoricalBy,
    /// Which models the day is scored with.
    pub models: ModelPolicy,
    /// The language model that labels; `None`: the rule labeller does.
    pub llm: Option<LlmOptions>,
    /// A file of analysts' allow- and deny-lists.
    pub lists: Option<String>,
    /// A directory of Sigma rules.
    pub sigma: Option<String>,
    /// The budget of labels a day; `None`: all that near-dedup keeps is labelled.
    pub selection: Option<Selection>,
    /// The last stage to run.
    pub through: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            kind: Kind::Command,
            telemetry: vec![],
            schema: None,
            undated: Undated::Quarantine,
            detectors: Detectors::of(Kind::Command),
            quotas: Quotas::default(),
            threshold: ThresholdBy::default(),
            cosine: Resolved::lexical().threshold,
            embedder: Resolved::lexical(),
            prevalence: PrevalenceOptions::default(),
            fit_rows: 65_536,
            scale: ScaleBy::default(),
            categorical: CategoricalBy::default(),
            models: ModelPolicy::default(),
            llm: None,
            lists: None,
            sigma: None,
            selection: None,
            through: "benign".to_owned(),
        }
    }
}

impl RunOptions {
    /// # Errors
    /// When a value is out of range or two contradict each other; the message names the flag.
    pub fn check(&self) -> Result<(), JobError> {
        let usage = |text: String| Err(JobError::Usage(text));
        if self.telemetry.is_empty() {
            return usage("--telemetry: name at least one file or directory".into());
        }
        if !(self.cosine > 0.0 && self.cosine <= 1.0) {
            return usage(format!(
                "--cosine {}: expected a value in (0, 1]",
                self.cosine
            ));
        }
        if !(1000..=1_000_000).contains(&self.fit_rows) {
            return usage(format!(
                "--fit-rows {}: expected 1000 to 1000000",
                self.fit_rows
            ));
        }
        let unit = Unit::of(self.kind);
        if !unit.stages.contains(&self.through.as_str()) {
            let stages = unit.stages.join(", ");
            return usage(format!(
                "--through {}: unknown stage, expected one of {stages} of --kind {}",
                self.through, self.kind
            ));
        }
        if self.kind == Kind::Command {
            let three = Detectors::of(Kind::Command);
            let of_requests = [
                ("--detectors", self.detectors != three),
                ("--threshold", self.threshold != ThresholdBy::Quota),
            ];
            if let Some((flag, _)) = of_requests.iter().find(|(_, given)| *given) {
                return usage(format!(
                    "{flag}: it is about requests (--kind api); command lines are scored by {three}, each by its --quota"
                ));
            }
        }
        if let Some(kind) = self.quotas.beside(&self.detectors) {
            return usage(format!(
                "--quota {}=…: the day is scored by {} (--detectors)",
                kind.name(),
                self.detectors
            ));
        }
        if self.kind != Kind::Command {
            let of_lines = [
                ("--labeller llm", self.llm.is_some()),
                ("--lists", self.lists.is_some()),
                ("--sigma", self.sigma.is_some()),
                ("--label-budget", self.selection.is_some()),
            ];
            if let Some((flag, _)) = of_lines.iter().find(|(_, given)| *given) {
                return usage(format!(
                    "{flag}: it is about command lines, and --kind is {}",
                    self.kind
                ));
            }
        }
        if self.kind != Kind::Api && self.categorical != CategoricalBy::Rarity {
            return usage(format!(
                "--categorical {}: it is about requests, and --kind is {}",
                self.categorical.choice().name(),
                self.kind
            ));
        }
        if let Some(selection) = &self.selection {
            selection.check()?;
        }
        if let Some(llm) = &self.llm {
            llm.check()?;
        }
        let p = self.prevalence;
        if p.window_days == 0 || p.min_days > p.window_days {
            return usage(format!(
                "--min-days {} contradicts --window-days {}: a template cannot be seen on more days than are asked",
                p.min_days, p.window_days
            ));
        }
        Ok(())
    }
}

/// The options that one job may have otherwise than its server, by their names as flags. What costs money, names a place or
/// holds a secret is the server's alone.
pub const CHANGEABLE: [&str; 17] = [
    "categorical",
    "choice-seed",
    "cosine",
    "detectors",
    "fit-rows",
    "label-budget",
    "min-days",
    "min-hosts",
    "min-users",
    "models",
    "quota",
    "scale",
    "schema",
    "threshold",
    "through",
    "undated",
    "window-days",
];

/// `base` with some options changed.
///
/// # Errors
/// When a name is not one of [`CHANGEABLE`], or a value is not as expected.
pub fn changed(
    base: &RunOptions,
    values: &BTreeMap<String, String>,
) -> Result<RunOptions, JobError> {
    let mut options = base.clone();
    for (name, value) in values {
        set(&mut options, name, value)?;
    }
    options.check()?;
    Ok(options)
}

fn set(options: &mut RunOptions, name: &str, value: &str) -> Result<(), JobError> {
    fn parsed<T: FromStr>(name: &str, value: &str, expected: &str) -> Result<T, JobError> {
        let bad = |_| JobError::Usage(format!("option {name}={value:?}: expected {expected}"));
        value.parse().map_err(bad)
    }
    let number = |expected| parsed::<u32>(name, value, expected);
    match name {
        "choice-seed" | "label-budget" => {
            let Some(selection) = &mut options.selection else {
                return Err(JobError::Usage(format!(
                    "option {name}: the server has no --label-budget to change"
                )));
            };
            let value = parsed(name, value, "a number")?;
            if name == "choice-seed" {
                selection.seed = value;
            } else {
                selection.budget = value;
            }
        }
        "categorical" => {
            let by = <CategoricalBy as clap::ValueEnum>::from_str(value, false);
            let bad = |_| {
                let text = "expected rarity, one-hot, hashed or embedding";
                JobError::Usage(format!("option categorical={value:?}: {text}"))
            };
            options.categorical = by.map_err(bad)?;
        }
        "cosine" => options.cosine = parsed(name, value, "a number in (0, 1]")?,
        "fit-rows" => options.fit_rows = parsed(name, value, "a number of lines")?,
        "min-days" => options.prevalence.min_days = number("a number of days")?,
        "min-hosts" => options.prevalence.min_hosts = number("a number of hosts")?,
        "min-users" => options.prevalence.min_users = number("a number of users")?,
        "window-days" => options.prevalence.window_days = number("a number of days")?,
        "models" => {
            let policy = <ModelPolicy as clap::ValueEnum>::from_str(value, false);
            let bad = |_| {
                let text = "expected refit, reuse or refit-if-drifted";
                JobError::Usage(format!("option models={value:?}: {text}"))
            };
            options.models = policy.map_err(bad)?;
        }
        "scale" => {
            let scale = <ScaleBy as clap::ValueEnum>::from_str(value, false);
            let bad = |_| {
                let text = "expected standard, min-max or robust";
                JobError::Usage(format!("option scale={value:?}: {text}"))
            };
            options.scale = scale.map_err(bad)?;
        }
        "detectors" => options.detectors = value.parse().map_err(JobError::Usage)?,
        "quota" => options.quotas = value.parse().map_err(JobError::Usage)?,
        "threshold" => options.threshold = value.parse().map_err(JobError::Usage)?,
        "schema" => {
            let schema = SchemaKind::named(options.kind, value);
            let bad = |e| JobError::Usage(format!("option schema={value:?}: {e}"));
            options.schema = Some(schema.map_err(bad)?);
        }
        "through" => value.clone_into(&mut options.through),
        "undated" => {
            options.undated = match value {
                "day" => Undated::AsDay,
                "quarantine" => Undated::Quarantine,
                _ => {
                    let text = "expected quarantine or day";
                    return Err(JobError::Usage(format!("option undated={value:?}: {text}")));
                }
            }
        }
        _ => {
            return Err(JobError::Usage(format!(
                "option {name:?}: a job may change {}; everything else is the server's",
                CHANGEABLE.join(", ")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gleaner_udfs::detector::Kind;

    use super::*;

    #[test]
    fn a_job_changes_what_it_may_and_nothing_else() {
        let base = RunOptions {
            telemetry: vec!["events".to_owned()],
            ..RunOptions::default()
        };
        let one = |name: &str, value: &str| {
            changed(
                &base,
                &BTreeMap::from([(name.to_owned(), value.to_owned())]),
            )
        };
        assert!(one("quota", "7").is_ok_and(|o| o.quotas.of(Kind::Pca, 100) == 7));
        assert!(one("models", "reuse").is_ok_and(|o| o.models == ModelPolicy::Reuse));
        for (name, value, said) in [
            ("telemetry", "/etc", "a job may change"),
            ("llm-url", "http://elsewhere", "a job may change"),
            ("quota", "none", "quota"),
            ("cosine", "2", "--cosine"),
            ("through", "nowhere", "--through"),
            ("label-budget", "5", "no --label-budget"),
        ] {
            let error = one(name, value).err().map(|e| e.to_string());
            assert!(error.clone().is_some_and(|e| e.contains(said)), "{error:?}");
        }
        let set_alone = CHANGEABLE.iter().filter(|name| {
            let error = one(name, "").err().map(|e| e.to_string());
            error.is_some_and(|e| e.contains("a job may change"))
        });
        assert_eq!(
            set_alone.count(),
            0,
            "an option that is named and not known"
        );
    }

    #[test]
    fn quotas_are_given_together_or_by_detector() {
        let quotas: Quotas = "iforest=10,kmeans=2%".parse().unwrap_or_default();
        assert_eq!(Kind::ALL.map(|kind| quotas.of(kind, 1000)), [10, 10, 20]);
        assert!(
            "forest=1"
                .parse::<Quotas>()
                .is_err_and(|e| e.contains("iforest"))
        );
        assert!("0%".parse::<Quotas>().is_err());
        assert!("pca=1,pca=2".parse::<Quotas>().is_err());
    }
}
