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

/// The detectors, in the order of the data path.
pub const DETECTORS: [&str; 3] = ["iforest", "pca", "kmeans"];

/// How many lines a detector may choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quota {
    /// So many lines.
    Count(u64),
    /// This share of the day's unique lines, rounded up; 0.005 is 0.5%.
    Share(f64),
}

impl Quota {
    /// The number of lines of `lines`.
    #[must_use]
    pub fn of(self, lines: u64) -> u64 {
        match self {
            Self::Count(n) => n.min(lines),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a day's lines, far below 2^53"
            )]
            Self::Share(share) => {
                // 7% of 100 lines are 7.000000000000001 in floating point, and 7 lines.
                let exact = share * lines as f64 * (1.0 - 1e-12);
                (exact.ceil() as u64).min(lines)
            }
        }
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("quota {text:?}: expected a count (500) or a share (0.5%)");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| bad())?;
            if percent > 0.0 && percent <= 100.0 {
                return Ok(Self::Share(percent / 100.0));
            }
            return Err(bad());
        }
        match text.parse() {
            Ok(n) if n > 0 => Ok(Self::Count(n)),
            _ => Err(bad()),
        }
    }
}

/// A quota for each detector: `1%`, or `iforest=0.5%,pca=100,kmeans=1%`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotas([Quota; 3]);

impl Default for Quotas {
    fn default() -> Self {
        Self([Quota::Share(0.01); 3])
    }
}

impl FromStr for Quotas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self::all(text.parse()?));
        }
        let mut given = BTreeMap::new();
        for part in text.split(',') {
            let (name, quota) = part
                .split_once('=')
                .ok_or_else(|| format!("quota {part:?}: expected DETECTOR=QUOTA"))?;
            if !DETECTORS.contains(&name) {
                return Err(format!(
                    "unknown detector {name:?}: expected one of {}",
                    DETECTORS.join(", ")
                ));
            }
            if given.insert(name, quota.parse()?).is_some() {
                return Err(format!("two quotas for {name}"));
            }
        }
        let mut quotas = Self::default();
        for (quota, name) in quotas.0.iter_mut().zip(DETECTORS) {
            if let Some(given) = given.get(name) {
                *quota = *given;
            }
        }
        Ok(quotas)
    }
}

impl Quotas {
    /// One quota for every detector.
    #[must_use]
    pub fn all(quota: Quota) -> Self {
        Self([quota; 3])
    }

    /// The number of lines each detector may choose, by [`DETECTORS`].
    #[must_use]
    pub fn of(&self, lines: u64) -> [u64; 3] {
        self.0.map(|quota| quota.of(lines))
    }
}

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
    /// Lines a detector may choose.
    pub quotas: Quotas,
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
            quotas: Quotas::default(),
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
pub const CHANGEABLE: [&str; 15] = [
    "categorical",
    "choice-seed",
    "cosine",
    "fit-rows",
    "label-budget",
    "min-days",
    "min-hosts",
    "min-users",
    "models",
    "quota",
    "scale",
    "schema",
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
        "quota" => options.quotas = value.parse().map_err(JobError::Usage)?,
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
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_exact_at_50_million() {
        assert_eq!(Quota::Share(0.005).of(50_000_000), 250_000);
        assert_eq!(Quota::Share(0.005).of(1), 1);
        assert_eq!(Quota::Count(9).of(3), 3);
    }

    #[test]
    fn a_whole_percentage_of_hundreds_is_exact() {
        for percent in 1..=100_u64 {
            let quota: Quota = format!("{percent}%").parse().unwrap_or(Quota::Count(0));
            for hundreds in [1, 3, 17, 12_345, 500_000, 10_000_000] {
                assert_eq!(quota.of(100 * hundreds), percent * hundreds, "{percent}%");
                assert_eq!(quota.of(100 * hundreds + 1), percent * hundreds + 1);
            }
        }
    }

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
        assert!(one("quota", "7").is_ok_and(|o| o.quotas.of(100) == [7; 3]));
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
        assert_eq!(quotas.of(1000), [10, 10, 20]);
        assert!(
            "forest=1"
                .parse::<Quotas>()
                .is_err_and(|e| e.contains("iforest"))
        );
        assert!("0%".parse::<Quotas>().is_err());
        assert!("pca=1,pca=2".parse::<Quotas>().is_err());
    }
}
