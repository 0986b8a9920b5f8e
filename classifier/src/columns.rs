//! What the trees read: dense columns in bins, and the n-grams that tell the classes of the training set apart.

use crate::linear::Training;
use crate::text::{BUCKETS, Lines};

/// Bins of a dense column: the last is for missing values.
pub(crate) const MISSING: u8 = 63;
/// N-grams in fewer training rows than this are not chosen.
const MIN_ROWS: u32 = 4;

/// Edges of a dense column's bins, ascending: a value is in the first bin whose edge is at least the value, above all edges in the last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins(pub(crate) Vec<f32>);

impl Bins {
    /// Quantiles of a column's values; at most 62 edges, none for a column of one value.
    pub(crate) fn of(mut values: Vec<f32>) -> Self {
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f32::total_cmp);
        let most = usize::from(MISSING) - 1;
        let mut edges: Vec<f32> = vec![];
        let mut distinct = values.clone();
        distinct.dedup();
        let source = if distinct.len() <= most + 1 {
            distinct
        } else {
            (1..=most + 1)
                .filter_map(|n| {
                    values
                        .get((n * values.len()).div_ceil(most + 1) - 1)
                        .copied()
                })
                .collect()
        };
        for value in source {
            if edges.last().is_none_or(|last| *last < value) {
                edges.push(value);
            }
        }
        // Nothing lies above the greatest.
        edges.pop();
        Self(edges)
    }

    pub(crate) fn bin(&self, value: f32) -> u8 {
        if value.is_nan() {
            return MISSING;
        }
        self.0.partition_point(|edge| *edge < value) as u8
    }
}

/// The `most` n-grams that tell the classes apart best, by the chi-squared statistic of presence and class over the training rows
/// alone (weights count); ties by bucket. Ascending.
pub(crate) fn telling(training: &Training<'_>, most: usize) -> Vec<u32> {
    let mut rows = vec![0_u32; BUCKETS];
    let mut weight = vec![[0.0_f64; 2]; BUCKETS];
    let mut totals = [0.0_f64; 2];
    for ((row, malicious), sample) in training
        .rows
        .iter()
        .zip(training.malicious)
        .zip(training.weights)
    {
        let class = usize::from(*malicious);
        totals[class] += f64::from(*sample);
        for bucket in training.lines.grams.row(*row).0 {
            rows[*bucket as usize] += 1;
            weight[*bucket as usize][class] += f64::from(*sample);
        }
    }
    let all = totals[0] + totals[1];
    let mut scored: Vec<(f64, u32)> = (0..BUCKETS as u32)
        .filter(|bucket| rows[*bucket as usize] >= MIN_ROWS)
        .filter_map(|bucket| {
            let [benign, malicious] = weight[bucket as usize];
            let present = benign + malicious;
            let cross = malicious * (totals[0] - benign) - benign * (totals[1] - malicious);
            let scale = totals[0] * totals[1] * present * (all - present);
            (scale > 0.0).then(|| (all * cross * cross / scale, bucket))
        })
        .collect();
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(most);
    let mut chosen: Vec<u32> = scored.into_iter().map(|(_, bucket)| bucket).collect();
    chosen.sort_unstable();
    chosen
}

/// The places in `chosen` (ascending) of a line's buckets (ascending).
pub(crate) fn places(chosen: &[u32], buckets: &[u32], out: &mut Vec<u16>) {
    out.clear();
    let mut at = 0;
    for bucket in buckets {
        at += chosen[at..].partition_point(|c| c < bucket);
        if chosen.get(at) == Some(bucket) {
            out.push(at as u16);
        }
        if at == chosen.len() {
            break;
        }
    }
}

/// A row's dense values.
pub(crate) fn dense(lines: &Lines, row: usize) -> &[f32] {
    lines
        .dense
        .get(row * lines.d..(row + 1) * lines.d)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_the_values_up_to_its_edge() {
        let bins = Bins::of(vec![3.0, 1.0, 2.0, f32::NAN, 2.0]);
        assert_eq!(bins.0, [1.0, 2.0]);
        let of: Vec<u8> = [0.5, 1.0, 1.5, 2.0, 9.0].map(|v| bins.bin(v)).to_vec();
        assert_eq!(of, [0, 0, 1, 1, 2]);
        assert_eq!(bins.bin(f32::NAN), MISSING);
        assert!(Bins::of(vec![5.0; 9]).0.is_empty());
    }

    #[test]
    fn many_values_are_cut_into_even_bins() {
        let bins = Bins::of((0..6300_u16).map(f32::from).collect());
        assert_eq!(bins.0.len(), 62);
        let mut counts = [0; 63];
        for value in 0..6300_u16 {
            counts[usize::from(bins.bin(f32::from(value)))] += 1;
        }
        assert!(counts.iter().all(|count| *count == 100), "{counts:?}");
    }

    #[test]
    fn the_n_grams_that_only_one_class_has_are_chosen_first() {
        let texts: Vec<String> = (0..40)
            .map(|n| {
                if n % 2 == 0 {
                    "aaa mimikatz".into()
                } else {
                    format!("aaa {n}")
                }
            })
            .collect();
        let lines = Lines::read(&texts, &[], 0).unwrap();
        let rows: Vec<usize> = (0..40).collect();
        let malicious: Vec<bool> = (0..40).map(|n| n % 2 == 0).collect();
        let training = Training {
            lines: &lines,
            rows: &rows,
            malicious: &malicious,
            weights: &[1.0; 40],
        };
        let chosen = telling(&training, 8);
        assert_eq!(chosen.len(), 8);
        let mut out = vec![];
        places(&chosen, lines.grams.row(0).0, &mut out);
        assert!(out.len() >= 4, "{out:?}");
        places(&chosen, lines.grams.row(1).0, &mut out);
        let by_hand = lines.grams.row(1).0.iter().filter(|b| chosen.contains(b));
        assert_eq!(out.len(), by_hand.count());
    }
}
