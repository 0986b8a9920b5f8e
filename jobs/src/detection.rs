//! The user's choice of detectors, of how many rows each may choose, and of what makes a row one of its anomalies.

use std::fmt;
use std::str::FromStr;

use gleaner_udfs::detector::Kind;
use gleaner_udfs::threshold::Method;

use crate::telemetry::Kind as Telemetry;

/// The share of a sample whose scores are the tail that `tail:RATE` extrapolates.
pub const TAIL_START: f64 = 0.05;

fn named(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| {
        let known: Vec<_> = Kind::EVERY.iter().map(|kind| kind.name()).collect();
        format!(
            "unknown detector {name:?}: expected one of {}",
            known.join(", ")
        )
    })
}

/// The detectors that score a day, in the order of tables; at least one: `pca,kmeans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detectors(Vec<Kind>);

impl Detectors {
    /// Those of a day where none are named.
    #[must_use]
    pub fn of(_kind: Telemetry) -> Self {
        Self(Kind::ALL.to_vec())
    }

    /// In the order of tables.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.0
    }
}

impl FromStr for Detectors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut given = vec![];
        for name in text.split(',') {
            let kind = named(name.trim())?;
            if given.contains(&kind) {
                return Err(format!("detector {} is named twice", kind.name()));
            }
            given.push(kind);
        }
        let in_order = Kind::EVERY.into_iter().filter(|kind| given.contains(kind));
        Ok(Self(in_order.collect()))
    }
}

impl fmt::Display for Detectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.name()).collect();
        f.write_str(&names.join(","))
    }
}

/// What makes a row an anomaly of a detector: `quota`, `rate:0.001`, `quantile:0.999`, `tail:0.0001`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ThresholdBy {
    /// The highest scores of the day, as many as the quota.
    #[default]
    Quota,
    /// A score that validation rows set; no more rows than the quota.
    Scores(Method),
}

impl ThresholdBy {
    /// How the threshold is set, where it is set by scores.
    #[must_use]
    pub const fn method(self) -> Option<Method> {
        match self {
            Self::Quota => None,
            Self::Scores(method) => Some(method),
        }
    }
}

impl fmt::Display for ThresholdBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota => f.write_str("quota"),
            Self::Scores(Method::Quantile(q)) => write!(f, "quantile:{q}"),
            Self::Scores(Method::FalsePositiveRate(rate)) => write!(f, "rate:{rate}"),
            Self::Scores(Method::Tail { rate, .. }) => write!(f, "tail:{rate}"),
        }
    }
}

impl FromStr for ThresholdBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "quota" {
            return Ok(Self::Quota);
        }
        let bad = || {
            format!(
                "threshold {text:?}: expected quota, rate:SHARE (rate:0.001), quantile:SHARE (quantile:0.999) or tail:SHARE \
                 (tail:0.0001); a share is above 0 and below 1, that of a tail below {TAIL_START}"
            )
        };
        let (name, share) = text.split_once(':').ok_or_else(bad)?;
        let share: f64 = share.parse().map_err(|_| bad())?;
        let most = if name == "tail" { TAIL_START } else { 1.0 };
        if !(share > 0.0 && share < most) {
            return Err(bad());
        }
        match name {
            "rate" => Ok(Self::Scores(Method::FalsePositiveRate(share))),
            "quantile" => Ok(Self::Scores(Method::Quantile(share))),
            "tail" => Ok(Self::Scores(Method::Tail {
                rate: share,
                start: TAIL_START,
            })),
            _ => Err(bad()),
        }
    }
}

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
pub struct Quotas {
    named: Vec<(Kind, Quota)>,
    others: Quota,
}

impl Default for Quotas {
    fn default() -> Self {
        Self::all(Quota::Share(0.01))
    }
}

impl FromStr for Quotas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self::all(text.parse()?));
        }
        let mut quotas = Self::default();
        for part in text.split(',') {
            let (name, quota) = part
                .split_once('=')
                .ok_or_else(|| format!("quota {part:?}: expected DETECTOR=QUOTA"))?;
            let kind = named(name)?;
            if quotas.named.iter().any(|(other, _)| *other == kind) {
                return Err(format!("two quotas for {name}"));
            }
            quotas.named.push((kind, quota.parse()?));
        }
        Ok(quotas)
    }
}

impl Quotas {
    /// One quota for every detector.
    #[must_use]
    pub fn all(quota: Quota) -> Self {
        Self {
            named: vec![],
            others: quota,
        }
    }

    /// The number of lines that a detector may choose of so many.
    #[must_use]
    pub fn of(&self, kind: Kind, lines: u64) -> u64 {
        let named = self.named.iter().find(|(named, _)| *named == kind);
        named.map_or(self.others, |(_, quota)| *quota).of(lines)
    }

    /// The share of so many lines that a detector may choose.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rows of a day, far below 2^53")]
    pub fn share(&self, kind: Kind, lines: u64) -> f64 {
        self.of(kind, lines) as f64 / lines.max(1) as f64
    }

    /// A detector that has a quota of its own and is none of `detectors`.
    #[must_use]
    pub fn beside(&self, detectors: &Detectors) -> Option<Kind> {
        let mut named = self.named.iter().map(|(kind, _)| *kind);
        named.find(|kind| !detectors.kinds().contains(kind))
    }
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
    fn detectors_are_in_the_order_of_tables_and_named_once() {
        let some: Detectors = "autoencoder, pca".parse().unwrap();
        assert_eq!(some.to_string(), "pca,autoencoder");
        for bad in ["", "pca,pca", "pca,lof"] {
            assert!(bad.parse::<Detectors>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_threshold_is_what_it_was_read_from() {
        for text in ["quota", "rate:0.001", "quantile:0.999", "tail:0.0001"] {
            assert_eq!(text.parse::<ThresholdBy>().unwrap().to_string(), text);
        }
        for bad in [
            "rate",
            "rate:0",
            "rate:1",
            "rate:NaN",
            "quantile:2",
            "tail:0.05",
            "fpr:0.1",
        ] {
            assert!(bad.parse::<ThresholdBy>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quota_of_a_detector_that_does_not_score_is_told() {
        let quotas: Quotas = "dbscan=1%,pca=5".parse().unwrap();
        assert_eq!(quotas.of(Kind::Pca, 1000), 5);
        assert_eq!(quotas.of(Kind::KMeans, 1000), 10);
        let three = Detectors::of(Telemetry::Command);
        assert_eq!(quotas.beside(&three), Some(Kind::Dbscan));
        assert_eq!("pca=5".parse::<Quotas>().unwrap().beside(&three), None);
    }
}
