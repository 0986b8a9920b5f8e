//! The population stability index: how far values have moved from those of another day.

use super::ranking::same;

/// From this index on values count as drifted: the customary border between "moderate" and "large" (Siddiqi 2006).
pub const DRIFTED: f64 = 0.25;

/// How values of one day are spread: their deciles, and the values in between.
#[derive(Debug, Clone, PartialEq)]
pub struct Deciles {
    /// Ascending and different from each other; 9 at most, fewer where values repeat.
    cuts: Vec<f32>,
    /// Values up to the first cut, above it up to the second, …, above the last; then those that are missing.
    counts: Vec<u64>,
}

/// How far values have moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stability {
    /// The population stability index: 0 where shares are equal; below 0.1 little has changed.
    pub psi: f64,
    /// What the index must exceed for a drift: [`DRIFTED`], or more where there are so few values that chance alone may
    /// exceed that.
    pub limit: f64,
}

impl Stability {
    /// Whether the values have drifted.
    #[must_use]
    pub fn drifted(self) -> bool {
        self.psi > self.limit
    }
}

impl Deciles {
    /// Of the values of the day to compare with, in any order; a value that is not finite counts as missing.
    #[must_use]
    pub fn of(values: &[f32]) -> Self {
        let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let mut cuts: Vec<f32> = (1..10)
            .filter_map(|decile| sorted.get((decile * sorted.len() / 10).saturating_sub(1)))
            .copied()
            .collect();
        cuts.dedup_by(|a, b| same(*a, *b));
        let mut deciles = Self {
            counts: vec![],
            cuts,
        };
        deciles.counts = deciles.count(values);
        deciles
    }

    /// From what [`Deciles::cuts`] and [`Deciles::counts`] gave; `None` where they are not those of deciles.
    #[must_use]
    pub fn from_parts(cuts: Vec<f32>, counts: Vec<u64>) -> Option<Self> {
        let whole = counts.len() == cuts.len() + 2
            && cuts.len() < 10
            && cuts.is_sorted_by(|a, b| a < b)
            && cuts.iter().all(|cut| cut.is_finite());
        whole.then_some(Self { cuts, counts })
    }

    /// The borders of the bins.
    #[must_use]
    pub fn cuts(&self) -> &[f32] {
        &self.cuts
    }

    /// Values a bin, the missing ones last.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    fn count(&self, values: &[f32]) -> Vec<u64> {
        let mut counts = vec![0; self.cuts.len() + 2];
        for value in values {
            let bin = if value.is_finite() {
                self.cuts.partition_point(|cut| cut < value)
            } else {
                self.cuts.len() + 1
            };
            counts[bin] += 1;
        }
        counts
    }

    /// Compares other values with these: `Σ (p − q)·ln(p / q)` over the bins, of the shares p then and q now. Half a value
    /// is added to each bin, so that an empty one has a logarithm.
    ///
    /// By chance alone, n values then and m now have an index of about `(bins − 1)·(1/n + 1/m)`, with a deviation of
    /// `√(2·(bins − 1))·(1/n + 1/m)` (Yurdakul 2018): the limit is at least that and four deviations.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub fn compare(&self, values: &[f32]) -> Stability {
        let now = self.count(values);
        let sum = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
        let (n, m) = (sum(&self.counts), sum(&now));
        let half = 0.5 * now.len() as f64;
        let psi = self.counts.iter().zip(&now).map(|(then, now)| {
            let p = (*then as f64 + 0.5) / (n + half);
            let q = (*now as f64 + 0.5) / (m + half);
            (p - q) * (p / q).ln()
        });
        let bins = self.counts.iter().zip(&now).filter(|(a, b)| **a + **b > 0);
        let free = bins.count().saturating_sub(1) as f64;
        let chance = (free + 4.0 * (2.0 * free).sqrt()) * (1.0 / n.max(1.0) + 1.0 / m.max(1.0));
        Stability {
            psi: psi.sum(),
            limit: chance.max(DRIFTED),
        }
    }
}
