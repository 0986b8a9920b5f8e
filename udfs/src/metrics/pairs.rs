//! Near-dedup on labelled pairs: which of them it would merge, and how that agrees with the labels.
//!
//! The decision is that of the `candidates` stage: equal templates merge; else the guard keys must be equal and the cosine at
//! least the threshold. The ranking that AUC judges is the same decision without a threshold: pairs of one template first
//! (1), pairs of one guard key by cosine, all others below them by cosine (cosine − 2).

use super::auroc;
use crate::text::canonical::{canonical, comparable};
use crate::text::guard::guard_of_canonical;

/// What near-dedup knows of two lines before their vectors: their comparable canonical texts, and what keys they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// Canonical text of the first line.
    pub a: String,
    /// Canonical text of the second line.
    pub b: String,
    /// Both have one guard key.
    pub same_guard: bool,
}

impl Texts {
    /// Makes both lines canonical.
    #[must_use]
    pub fn new(a: &str, b: &str) -> Self {
        let mut texts = [String::new(), String::new()];
        canonical(a, &mut texts[0]);
        canonical(b, &mut texts[1]);
        let [a, b] = texts.map(|text| comparable(&text).into_owned());
        let same_guard = guard_of_canonical(&a) == guard_of_canonical(&b);
        Self { a, b, same_guard }
    }

    /// Both have one template: their canonical texts are equal.
    #[must_use]
    pub fn same_template(&self) -> bool {
        self.a == self.b
    }

    /// The pair's place in the ranking, given the cosine of its vectors.
    #[must_use]
    pub fn score(&self, cosine: f32) -> f32 {
        match (self.same_template(), self.same_guard) {
            (true, _) => 1.0,
            (false, true) => cosine.min(1.0),
            (false, false) => cosine.min(1.0) - 2.0,
        }
    }

    /// Whether near-dedup makes one line of the two. A cosine that is not a number merges nothing.
    #[must_use]
    pub fn merges(&self, cosine: f32, threshold: f32) -> bool {
        self.same_template() || (self.same_guard && cosine >= threshold)
    }
}

/// A judged pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The label: the two lines do the same.
    pub same: bool,
    /// [`Texts::score`].
    pub score: f32,
    /// [`Texts::merges`].
    pub merged: bool,
}

/// How near-dedup's decisions agree with labels. A rate over no pair is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Pairs.
    pub pairs: usize,
    /// Those that are labelled the same.
    pub same: usize,
    /// See [`auroc`]: the chance that a pair that is the same ranks above one that is not.
    pub auc: Option<f64>,
    /// Merged pairs among those that are the same.
    pub true_merge_rate: Option<f64>,
    /// Merged pairs among those that are not.
    pub false_merge_rate: Option<f64>,
}

impl Agreement {
    /// Counts.
    #[must_use]
    pub fn of(pairs: &[Judged]) -> Self {
        let scores: Vec<f32> = pairs.iter().map(|p| p.score).collect();
        let same: Vec<bool> = pairs.iter().map(|p| p.same).collect();
        Self {
            pairs: pairs.len(),
            same: same.iter().filter(|same| **same).count(),
            auc: auroc(&scores, &same),
            true_merge_rate: rate(pairs, true),
            false_merge_rate: rate(pairs, false),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
fn rate(pairs: &[Judged], same: bool) -> Option<f64> {
    let of = pairs.iter().filter(|p| p.same == same);
    let (n, merged) = (of.clone().count(), of.filter(|p| p.merged).count());
    (n > 0).then(|| merged as f64 / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_decide_before_the_cosine_does() {
        let template = Texts::new("ping -n 4 10.0.0.7", "ping -n 9 10.0.0.8");
        assert!(template.merges(f32::NAN, 0.75) && template.same_guard);
        let verb = Texts::new("net user bob /add", "net user bob /delete");
        assert!(!verb.merges(0.999, 0.75));
        assert!(verb.score(0.999) < -1.0 && template.score(0.2) > 0.999);
    }

    #[test]
    fn the_rates_are_those_counted_by_hand() {
        let judged = |same, score, merged| Judged {
            same,
            score,
            merged,
        };
        let pairs = [
            judged(true, 1.0, true),
            judged(true, 0.5, false),
            judged(false, 0.8, true),
            judged(false, -1.5, false),
        ];
        let all = Agreement::of(&pairs);
        assert_eq!((all.pairs, all.same), (4, 2));
        // Of four comparisons the second pair loses one, to the third.
        assert_eq!(all.auc, Some(0.75));
        assert_eq!(all.true_merge_rate, Some(0.5));
        assert_eq!(all.false_merge_rate, Some(0.5));
        let one = Agreement::of(&pairs[..1]);
        assert_eq!((one.auc, one.false_merge_rate), (None, None));
    }
}
