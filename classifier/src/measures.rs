//! How well scores tell malicious lines from benign ones, and how sure that is.
//!
//! **What.** [`compare`] measures several models on one test: AUC, the true-positive rate at low false-positive rates, with percentile
//! intervals of a bootstrap that draws benign and malicious rows apart (their numbers stay), and each later model's difference from
//! the first on the same draws (a paired test). [`At`] is what a threshold does, [`Calibration`] whether probabilities mean what they say.
//!
//! **Resolution.** A false-positive rate below 1 / (benign rows) cannot be told from none: it is `None`, and no number.
//!
//! **Cost.** A sort a model, then one pass over the rows a replicate and model.

use gleaner_udfs::metrics::{Interval, clopper_pearson};
use gleaner_udfs::rng::SplitMix64;

/// The false-positive rates that are reported.
pub const FPRS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];

/// A number and its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// On the rows as they are.
    pub value: f64,
    /// 2.5th percentile of the replicates.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// How a model differs from the first one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// AUC less the first model's.
    pub auc: Estimate,
    /// Two-sided: twice the share of replicates on the other side of 0, one added above and below (Davison & Hinkley 1997).
    pub p: f64,
}

/// A model on a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Area under the ROC curve.
    pub auc: Estimate,
    /// True-positive rate at each of [`FPRS`], where the benign rows resolve it.
    pub tpr: [Option<Estimate>; FPRS.len()],
    /// Of every model but the first.
    pub difference: Option<Difference>,
}

/// AUC and true-positive rates.
type Swept = (f64, [f64; FPRS.len()]);

/// The rows of a test by falling score; rows of one score are one group.
struct Curve {
    order: Vec<u32>,
    ends: Vec<u32>,
}

impl Curve {
    fn new(scores: &[f64]) -> Self {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_unstable_by(|a, b| {
            scores[*b as usize]
                .total_cmp(&scores[*a as usize])
                .then(a.cmp(b))
        });
        let same = |a: &u32, b: &u32| {
            scores[*a as usize].total_cmp(&scores[*b as usize]) == std::cmp::Ordering::Equal
        };
        let mut end = 0;
        let ends = order
            .chunk_by(same)
            .map(|group| {
                end += group.len() as u32;
                end
            })
            .collect();
        Self { order, ends }
    }

    /// AUC and true-positive rates when row r counts `counts[r]` times.
    fn sweep(&self, malicious: &[bool], counts: &[u32], totals: [u64; 2]) -> Swept {
        let [benign, positive] = totals.map(|n| n as f64);
        let (mut pairs, mut fp, mut tp, mut start) = (0.0, 0_u64, 0_u64, 0);
        let mut tpr = [0.0; FPRS.len()];
        for end in &self.ends {
            let mut group = [0_u64; 2];
            for row in &self.order[start..*end as usize] {
                let count = u64::from(counts[*row as usize]);
                group[usize::from(malicious[*row as usize])] += count;
            }
            start = *end as usize;
            pairs += group[0] as f64 * (tp as f64 + group[1] as f64 / 2.0);
            fp += group[0];
            tp += group[1];
            for (tpr, limit) in tpr.iter_mut().zip(FPRS) {
                // A hundred false alarms in ten thousand are 1e-2, whatever the product rounds to.
                if fp as f64 <= limit * benign * (1.0 + 1e-9) {
                    *tpr = tp as f64 / positive;
                }
            }
        }
        (pairs / (benign * positive), tpr)
    }
}

/// Measures models on one test: `scores` has a list a model, an entry a row; higher is more malicious. `None` when a class is missing, the
/// lists differ in length, or a score is not a number.
#[must_use]
pub fn compare(
    scores: &[Vec<f64>],
    malicious: &[bool],
    replicates: usize,
    seed: u64,
) -> Option<Vec<Measured>> {
    let positive: Vec<u32> = places(malicious, true);
    let benign: Vec<u32> = places(malicious, false);
    let fit = |s: &Vec<f64>| s.len() == malicious.len() && s.iter().all(|s| !s.is_nan());
    if positive.is_empty() || benign.is_empty() || !scores.iter().all(fit) {
        return None;
    }
    let totals = [benign.len() as u64, positive.len() as u64];
    let curves: Vec<Curve> = scores.iter().map(|scores| Curve::new(scores)).collect();
    let sweep = |counts: &[u32]| -> Vec<Swept> {
        let sweep = |curve: &Curve| curve.sweep(malicious, counts, totals);
        curves.iter().map(sweep).collect()
    };
    let mut counts = vec![1_u32; malicious.len()];
    let values = sweep(&counts);
    let mut drawn: Vec<Vec<Swept>> = vec![];
    for replicate in 0..replicates {
        let mut numbers = SplitMix64::stream(seed, replicate as u64);
        counts.fill(0);
        for class in [&benign, &positive] {
            for _ in 0..class.len() {
                counts[class[numbers.below(class.len())] as usize] += 1;
            }
        }
        drawn.push(sweep(&counts));
    }
    let estimate = |value: f64, of: &dyn Fn(&[Swept]) -> f64| {
        let mut all: Vec<f64> = drawn.iter().map(|models| of(models)).collect();
        all.sort_unstable_by(f64::total_cmp);
        Estimate {
            value,
            low: percentile(&all, 0.025).unwrap_or(value),
            high: percentile(&all, 0.975).unwrap_or(value),
        }
    };
    let measured = (0..scores.len()).map(|model| {
        let (auc, tpr) = values[model];
        let difference = (model > 0).then(|| {
            let of = |models: &[Swept]| models[model].0 - models[0].0;
            let below = drawn.iter().filter(|models| of(models) <= 0.0).count();
            let above = drawn.iter().filter(|models| of(models) >= 0.0).count();
            Difference {
                auc: estimate(auc - values[0].0, &of),
                p: (2.0 * (below.min(above) + 1) as f64 / (drawn.len() + 1) as f64).min(1.0),
            }
        });
        let mut rates = [None; FPRS.len()];
        for (n, rate) in rates.iter_mut().enumerate() {
            *rate = (benign.len() as f64 * FPRS[n] >= 1.0 - 1e-9)
                .then(|| estimate(tpr[n], &|models| models[model].1[n]));
        }
        Measured {
            auc: estimate(auc, &|models| models[model].0),
            tpr: rates,
            difference,
        }
    });
    Some(measured.collect())
}

fn places(malicious: &[bool], of: bool) -> Vec<u32> {
    let rows = (0..).zip(malicious).filter(|(_, m)| **m == of);
    rows.map(|(row, _)| row).collect()
}

/// A percentile of sorted numbers, interpolated; `None` without any.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "a share of a length")]
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = share * last as f64;
    let below = at.floor() as usize;
    let (low, high) = (sorted.get(below)?, sorted.get((below + 1).min(last))?);
    Some((at - at.floor()).mul_add(high - low, *low))
}

/// What a threshold does: a line is called malicious from there on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct At {
    /// Share of the alarms that are right; `None` without an alarm.
    pub precision: Option<f64>,
    /// Share of the malicious rows that raise one.
    pub recall: f64,
    /// Share of the benign rows that raise one.
    pub fpr: f64,
    /// Its exact 95% interval.
    pub fpr_interval: Interval,
}

impl At {
    /// At `threshold`; the test must have rows of both classes.
    #[must_use]
    pub fn of(scores: &[f64], malicious: &[bool], threshold: f64) -> Self {
        let (mut counts, mut alarms) = ([0_u64; 2], [0_u64; 2]);
        for (score, malicious) in scores.iter().zip(malicious) {
            counts[usize::from(*malicious)] += 1;
            alarms[usize::from(*malicious)] += u64::from(*score >= threshold);
        }
        let all = alarms[0] + alarms[1];
        Self {
            precision: (all > 0).then(|| alarms[1] as f64 / all as f64),
            recall: alarms[1] as f64 / counts[1] as f64,
            fpr: alarms[0] as f64 / counts[0] as f64,
            fpr_interval: clopper_pearson(alarms[0], counts[0], 0.95),
        }
    }
}

/// Whether probabilities mean what they say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Mean squared error of the probability (Brier 1950).
    pub brier: f64,
    /// Expected calibration error: over ten bins of equal width, the mean distance of mean probability and share of malice.
    pub ece: f64,
}

impl Calibration {
    /// Of probabilities in `[0, 1]`; not a number without rows.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "a probability")]
    pub fn of(probabilities: &[f64], malicious: &[bool]) -> Self {
        let rows = probabilities.len() as f64;
        let mut bins = [[0.0_f64; 2]; 10];
        let mut squares = 0.0;
        for (p, malicious) in probabilities.iter().zip(malicious) {
            let label = f64::from(u8::from(*malicious));
            squares += (p - label).powi(2);
            let bin = &mut bins[((p * 10.0) as usize).min(9)];
            bin[0] += p;
            bin[1] += label;
        }
        let error: f64 = bins.iter().map(|[p, label]| (p - label).abs()).sum();
        Self {
            brier: squares / rows,
            ece: error / rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_and_rates_are_those_counted_by_hand() {
        let scores = vec![vec![0.9, 0.8, 0.8, 0.3, 0.1]];
        let malicious = [true, false, true, true, false];
        let measured = compare(&scores, &malicious, 0, 1).unwrap();
        // Pairs: 0.9 beats both; 0.8 ties with one and beats one; 0.3 beats one: (2 + 1.5 + 1) / 6.
        assert!((measured[0].auc.value - 4.5 / 6.0).abs() < 1e-12);
        assert_eq!(measured[0].tpr, [None; 4]);
    }

    #[test]
    fn a_rate_is_told_where_the_benign_rows_resolve_it() {
        let malicious: Vec<bool> = (0..1100).map(|n| n >= 1000).collect();
        // 20 benign rows above half of the malicious ones, none above the other half.
        let score = |n: u32| match n {
            0..20 => 0.6,
            20..1000 => 0.1,
            1000..1050 => 0.9,
            _ => 0.5,
        };
        let scores = vec![(0..1100).map(score).collect()];
        let measured = compare(&scores, &malicious, 50, 1).unwrap();
        let tpr = measured[0].tpr.map(|tpr| tpr.map(|tpr| tpr.value));
        assert_eq!(tpr, [Some(0.5), Some(0.5), None, None]);
    }

    #[test]
    fn the_interval_holds_the_value_and_equal_models_do_not_differ() {
        let mut draws = SplitMix64::new(3);
        let malicious: Vec<bool> = (0..600).map(|n| n % 3 == 0).collect();
        let noisy: Vec<f64> = malicious
            .iter()
            .map(|m| draws.next_normal() + f64::from(u8::from(*m)))
            .collect();
        let better: Vec<f64> = noisy
            .iter()
            .zip(&malicious)
            .map(|(s, m)| s + f64::from(u8::from(*m)))
            .collect();
        let measured = compare(&[noisy.clone(), noisy, better], &malicious, 400, 9).unwrap();
        let auc = measured[0].auc;
        assert!(auc.low < auc.value && auc.value < auc.high);
        // Hanley and McNeil's standard error here is about 0.022: the interval is near four of them.
        assert!((0.05..0.12).contains(&(auc.high - auc.low)), "{auc:?}");
        assert!((measured[1].difference.unwrap().p - 1.0).abs() < 1e-12);
        let difference = measured[2].difference.unwrap();
        assert!(difference.p < 0.01 && difference.auc.low > 0.0);
    }

    #[test]
    fn a_test_of_one_class_is_not_measured() {
        assert_eq!(compare(&[vec![0.1, 0.2]], &[true, true], 10, 1), None);
        assert_eq!(compare(&[vec![0.1, f64::NAN]], &[true, false], 10, 1), None);
    }

    #[test]
    fn a_threshold_counts_alarms() {
        let at = At::of(&[0.9, 0.5, 0.4, 0.6], &[true, true, false, false], 0.5);
        assert_eq!(at.precision, Some(2.0 / 3.0));
        assert!((at.recall - 1.0).abs() < 1e-12 && (at.fpr - 0.5).abs() < 1e-12);
        assert_eq!(At::of(&[0.1, 0.2], &[true, false], 0.5).precision, None);
    }

    #[test]
    fn calibration_is_that_worked_out_by_hand() {
        let calibration = Calibration::of(&[0.95, 0.95, 0.05, 0.15], &[true, false, false, false]);
        assert!((calibration.brier - (0.0025 + 0.9025 + 0.0025 + 0.0225) / 4.0).abs() < 1e-12);
        assert!((calibration.ece - (0.9 + 0.05 + 0.15) / 4.0).abs() < 1e-12);
    }
}
