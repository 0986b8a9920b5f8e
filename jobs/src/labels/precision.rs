//! How right the benign set of a language model is, from what a warehouse holds, with the parts of that number apart:
//!
//! ```text
//! precision = 1 − e·π / ((1 − π)·r + e·π)
//!   e  P(called benign | malicious)   malicious canaries, all days of the model and prompt
//!   r  P(called benign | benign)      benign look-alikes among the canaries
//!   π  share of lines asked about that are malicious or suspicious
//! ```
//!
//! **What each is worth.** e and r are of one pass over made lines: real attacks may be harder than canaries, and a line must pass twice and in batches
//! whose canaries were all recognised, so that e is an upper estimate for lines like them. A second pass that tells benign from malicious at all
//! only raises the precision. π comes from analysts' verdicts on sampled lines, weighted by the strata's sizes, where there are any; else from the
//! model's own verdicts, which is circular and says so.
//!
//! **Intervals** are exact (Clopper and Pearson 1934), 95% each. That of the precision puts the worst and the best ends of all three together,
//! each at 1 − 0.05/3, so that it holds at 95% whatever their dependence (Bonferroni). A stratum that nobody looked at counts from 0 to 1.
//!
//! The share that analysts measure on the benign lines themselves ([`super::review::Precision`]) needs none of this and outranks it.

use std::collections::BTreeMap;

use gleaner_udfs::metrics::clopper_pearson;
use serde::{Deserialize, Serialize};

use super::canaries::Kind;
use super::store::query;
use crate::error::JobError;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{ANSWERS, LABELS, REVIEWS};

const LEVEL: f64 = 0.95;
/// Three quantities that must hold together.
const APART: f64 = 1.0 - 0.05 / 3.0;

/// A share with its exact 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// The share; `None` of nothing.
    pub share: Option<f64>,
    /// Limits of its interval.
    pub low: f64,
    /// As above.
    pub high: f64,
    /// As above, at 1 − 0.05/3.
    #[serde(skip)]
    apart: (f64, f64),
}

impl Share {
    /// From counts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn of(count: u64, of: u64) -> Self {
        let (each, apart) = (
            clopper_pearson(count, of, LEVEL),
            clopper_pearson(count, of, APART),
        );
        Self {
            count,
            of,
            share: (of > 0).then(|| count as f64 / of as f64),
            low: each.low,
            high: each.high,
            apart: (apart.low, apart.high),
        }
    }

    /// Of strata with their sizes: the weighted mean of their shares, with limits that hold for all of them at once.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn weighted(strata: &[(u64, u64, u64)]) -> Self {
        let total: u64 = strata.iter().map(|(size, ..)| size).sum();
        let weight = |size: u64| size as f64 / total.max(1) as f64;
        let limits = |level: f64| {
            let each = 1.0 - (1.0 - level) / strata.len().max(1) as f64;
            strata.iter().fold((0.0, 0.0), |(low, high), (size, n, k)| {
                let interval = clopper_pearson(*k, *n, each);
                (
                    low + weight(*size) * interval.low,
                    high + weight(*size) * interval.high,
                )
            })
        };
        let known = strata.iter().all(|(size, n, _)| *n > 0 || *size == 0);
        let mean = || {
            strata
                .iter()
                .filter(|(_, n, _)| *n > 0)
                .map(|(size, n, k)| weight(*size) * *k as f64 / *n as f64)
                .sum()
        };
        let (low, high) = limits(LEVEL);
        Self {
            count: strata.iter().map(|(.., k)| k).sum(),
            of: strata.iter().map(|(_, n, _)| n).sum(),
            share: (known && total > 0).then(mean),
            low,
            high: high.min(1.0),
            apart: limits(APART),
        }
    }
}

/// How right what a model and prompt called benign is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetPrecision {
    /// The day whose lines these are; `None`: all days'.
    pub day: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Hash of the prompt.
    pub prompt: String,
    /// Lines that it called benign.
    pub benign: u64,
    /// e: malicious canaries called benign.
    pub error: Share,
    /// r: benign canaries called benign.
    pub recall: Share,
    /// π: lines that are malicious or suspicious.
    pub prevalence: Share,
    /// `reviews` where analysts' verdicts tell π, `verdicts` where the model's own do.
    pub prevalence_by: &'static str,
    /// By the formula above; `None` where a part is unknown.
    pub precision: Option<f64>,
    /// Limits of its interval, at 95% at the least.
    pub precision_low: f64,
    /// As above.
    pub precision_high: f64,
}

/// 1 − e·π / ((1 − π)·r + e·π); `None` where nothing is called benign.
#[must_use]
pub fn precision(error: f64, prevalence: f64, recall: f64) -> Option<f64> {
    let wrong = error * prevalence;
    let benign = (1.0 - prevalence) * recall + wrong;
    (benign > 0.0).then(|| 1.0 - wrong / benign)
}

impl SetPrecision {
    fn new(key: Key, verdicts: &BTreeMap<String, u64>, canaries: [Share; 2], seen: &Seen) -> Self {
        let count = |names: &[&str]| -> u64 { names.iter().filter_map(|n| verdicts.get(*n)).sum() };
        let all: u64 = verdicts.values().sum();
        let (prevalence, prevalence_by) = if seen.values().any(|(n, _)| *n > 0) {
            let strata: Vec<_> = verdicts
                .iter()
                .map(|(stratum, size)| {
                    let (n, k) = seen.get(stratum).copied().unwrap_or_default();
                    (*size, n, k)
                })
                .collect();
            (Share::weighted(&strata), "reviews")
        } else {
            (
                Share::of(count(&["malicious", "suspicious"]), all),
                "verdicts",
            )
        };
        let [error, recall] = canaries;
        let point = || precision(error.share?, prevalence.share?, recall.share?);
        let (worst, best) = (
            precision(error.apart.1, prevalence.apart.1, recall.apart.0),
            precision(error.apart.0, prevalence.apart.0, recall.apart.1),
        );
        Self {
            day: key.0,
            model: key.1,
            prompt: key.2,
            benign: count(&["benign"]),
            error,
            recall,
            prevalence,
            prevalence_by,
            precision: point(),
            precision_low: worst.unwrap_or(0.0),
            precision_high: best.unwrap_or(1.0),
        }
    }

    /// For a person, in lines.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let part = |name: &str, what: &str, share: &Share| {
            let value = share
                .share
                .map_or_else(|| "unknown".to_owned(), |s| format!("{s:.4}"));
            format!(
                "  {name} {what}: {value} ({} of {}; 95%: {:.4} to {:.4})",
                share.count, share.of, share.low, share.high
            )
        };
        let value = self
            .precision
            .map_or_else(|| "unknown".to_owned(), |p| format!("{p:.5}"));
        let by = if self.prevalence_by == "reviews" {
            "malicious or suspicious by analysts' verdicts on a sample, weighted"
        } else {
            "malicious or suspicious by the model's own verdicts (circular: gleaner labels audit draws a sample for analysts)"
        };
        vec![
            format!(
                "{}precision of what {} called benign ({} lines): {value} (95%: {:.5} to {:.5}), if attacks are like the canaries",
                self.day
                    .as_ref()
                    .map_or_else(String::new, |day| format!("{day} ")),
                self.model,
                self.benign,
                self.precision_low,
                self.precision_high
            ),
            part(
                "e",
                "malicious canaries called benign in a pass",
                &self.error,
            ),
            part("r", "benign canaries called benign in a pass", &self.recall),
            part("π", by, &self.prevalence),
        ]
    }
}

/// Day, model, prompt.
type Key = (Option<String>, String, String);
/// By stratum: lines that analysts looked at, and of them malicious or suspicious.
type Seen = BTreeMap<String, (u64, u64)>;

#[derive(Deserialize)]
struct Labels {
    day: String,
    model: String,
    prompt: String,
    verdict: String,
    n: u64,
}

#[derive(Deserialize)]
struct Canaries {
    model: String,
    prompt: String,
    look_alike: bool,
    n: u64,
    benign: u64,
}

#[derive(Deserialize)]
struct Reviewed {
    day: String,
    model: String,
    prompt: String,
    label: String,
    n: u64,
    malicious: u64,
}

/// Of every model and prompt that labelled lines, in their order: each day apart, or all days together.
///
/// # Errors
/// When the warehouse cannot be read.
pub async fn report(warehouse: &Warehouse, by_day: bool) -> Result<Vec<SetPrecision>, JobError> {
    // A line that was labelled on several days counts on its latest, where days are taken together.
    let latest = if by_day { "TRUE" } else { "place = 1" };
    let sql = format!(
        "SELECT CAST(day AS VARCHAR) AS day, model, prompt, verdict, count(*) AS n FROM (
             SELECT *, row_number() OVER (PARTITION BY hash ORDER BY day DESC) AS place FROM labels
             WHERE labeller = 'llm' AND model IS NOT NULL AND prompt IS NOT NULL
         ) WHERE {latest} GROUP BY 1, 2, 3, 4"
    );
    let labels: Vec<Labels> = query(warehouse, &[("labels", LABELS)], sql).await?;
    let sql = format!(
        "SELECT model, prompt, kind = '{}' AS look_alike, count(*) AS n, count(*) FILTER (WHERE verdict = 'benign') AS benign FROM answers
         WHERE kind NOT IN ('line', 'attempt') AND verdict <> '' GROUP BY 1, 2, 3",
        Kind::LookAlike.name()
    );
    let answers: Vec<Canaries> = query(warehouse, &[("answers", ANSWERS)], sql).await?;
    // What somebody picked by hand is no sample: only rows that carry their stratum count.
    let sql = "SELECT CAST(day AS VARCHAR) AS day, model, prompt, label, count(*) AS n,
                      count(*) FILTER (WHERE verdict IN ('malicious', 'suspicious')) AS malicious FROM (
                   SELECT *, row_number() OVER (PARTITION BY hash ORDER BY version DESC) AS place
                   FROM reviews WHERE stratum IS NOT NULL AND labeller = 'llm' AND model IS NOT NULL AND prompt IS NOT NULL
               ) WHERE place = 1 GROUP BY 1, 2, 3, 4"
        .to_owned();
    let reviews: Vec<Reviewed> = query(warehouse, &[("reviews", REVIEWS)], sql).await?;
    let day = |day: String| by_day.then_some(day);
    let mut verdicts: BTreeMap<Key, BTreeMap<String, u64>> = BTreeMap::new();
    for row in labels {
        let counts = verdicts
            .entry((day(row.day), row.model, row.prompt))
            .or_default();
        *counts.entry(row.verdict).or_default() += row.n;
    }
    let mut canaries: BTreeMap<(String, String), [(u64, u64); 2]> = BTreeMap::new();
    for row in answers {
        let kinds = canaries.entry((row.model, row.prompt)).or_default();
        kinds[usize::from(row.look_alike)] = (row.benign, row.n);
    }
    let mut seen: BTreeMap<Key, Seen> = BTreeMap::new();
    for row in reviews {
        let strata = seen
            .entry((day(row.day), row.model, row.prompt))
            .or_default();
        let counts = strata.entry(row.label).or_default();
        *counts = (counts.0 + row.n, counts.1 + row.malicious);
    }
    let sets = verdicts.into_iter().map(|(key, verdicts)| {
        let canaries = canaries.get(&(key.1.clone(), key.2.clone())).copied();
        let canaries = canaries
            .unwrap_or_default()
            .map(|(benign, n)| Share::of(benign, n));
        let seen = seen.get(&key).cloned().unwrap_or_default();
        SetPrecision::new(key, &verdicts, canaries, &seen)
    });
    Ok(sets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    fn set(
        verdicts: &[(&str, u64)],
        canaries: [(u64, u64); 2],
        seen: &[(&str, (u64, u64))],
    ) -> SetPrecision {
        let verdicts = verdicts
            .iter()
            .map(|(v, n)| ((*v).to_owned(), *n))
            .collect();
        let seen = seen.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect();
        let key = (None, "m".to_owned(), "p".to_owned());
        SetPrecision::new(
            key,
            &verdicts,
            canaries.map(|(k, n)| Share::of(k, n)),
            &seen,
        )
    }

    #[test]
    fn the_formula_is_that_of_bayes() {
        // Of 1,000 lines 100 are malicious; 2 of those and 720 of the 900 others are called benign.
        assert!(precision(0.02, 0.1, 0.8).is_some_and(|p| close(p, 720.0 / 722.0)));
        assert_eq!(precision(0.0, 0.5, 0.5), Some(1.0));
        assert_eq!(precision(0.5, 1.0, 0.9), Some(0.0));
        assert_eq!(precision(0.0, 0.5, 0.0), None);
    }

    #[test]
    fn no_miss_in_300_canaries_bounds_the_error_at_about_one_in_a_hundred() {
        let e = Share::of(0, 300);
        // Exact: 1 − 0.025^(1/300).
        assert!(close(e.high, 1.0 - 0.025_f64.powf(1.0 / 300.0)) && e.low == 0.0);
        assert!(e.apart.1 > e.high);
    }

    #[test]
    fn the_interval_takes_the_worst_of_all_three_together() {
        let it = set(
            &[
                ("benign", 800),
                ("malicious", 50),
                ("suspicious", 50),
                ("uncertain", 100),
            ],
            [(0, 300), (90, 100)],
            &[],
        );
        assert_eq!(
            (it.prevalence.count, it.prevalence.of, it.prevalence_by),
            (100, 1000, "verdicts")
        );
        assert_eq!(it.precision, Some(1.0));
        let (e, p, r) = (
            clopper_pearson(0, 300, APART),
            clopper_pearson(100, 1000, APART),
            clopper_pearson(90, 100, APART),
        );
        assert!(
            precision(e.high, p.high, r.low).is_some_and(|worst| close(worst, it.precision_low))
        );
        assert!(
            it.precision_low < 0.999 && it.precision_low > 0.99 && close(it.precision_high, 1.0)
        );
    }

    #[test]
    fn without_canaries_nothing_is_claimed() {
        let it = set(&[("benign", 10)], [(0, 0), (0, 0)], &[]);
        assert_eq!((it.precision, it.precision_low), (None, 0.0));
        assert!(it.shown()[0].contains("unknown"));
    }

    #[test]
    fn reviewed_strata_weigh_as_much_as_they_are_large() {
        // 900 benign of which 1% of the looked-at are not, 100 malicious of which all are.
        let it = set(
            &[("benign", 900), ("malicious", 100)],
            [(0, 10), (9, 10)],
            &[("benign", (100, 1)), ("malicious", (20, 20))],
        );
        assert_eq!(it.prevalence_by, "reviews");
        assert!(
            it.prevalence
                .share
                .is_some_and(|p| close(p, 0.9 * 0.01 + 0.1)),
            "{:?}",
            it.prevalence
        );
        assert!(it.prevalence.low < 0.109 && it.prevalence.high > 0.109);
        // A stratum that nobody looked at may hold anything.
        let less = set(
            &[("benign", 900), ("malicious", 100)],
            [(0, 10), (9, 10)],
            &[("benign", (100, 1))],
        );
        assert!(
            less.prevalence.share.is_none()
                && less.prevalence.high > it.prevalence.high - 1e-9
                && less.prevalence.low < it.prevalence.low
        );
    }
}
