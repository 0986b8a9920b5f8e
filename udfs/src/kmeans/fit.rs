//! Fitting on a sample in memory: greedy k-means++, local search ([`super::swaps`]) and Lloyd's passes.

use super::nearest::squared_distance;
use super::{Centroids, KIND, KMeansModel, KMeansParams, KMeansPartial, swaps};
use crate::learner::{Checked, LearnerError, row_count};
use crate::rng::SplitMix64;

impl KMeansModel {
    /// Fits on rows (row-major, `d` features, scaled and so finite). The same rows in the same order give the same
    /// model.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide `rows`, [`LearnerError::Fit`] when there are none or a value is
    /// not finite.
    pub fn fit(
        rows: &[f32],
        d: usize,
        params: &Checked<KMeansParams>,
    ) -> Result<Self, LearnerError> {
        if row_count(KIND, rows.len(), d)? == 0 {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "no rows",
            });
        }
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(LearnerError::Fit {
                learner: KIND,
                reason: "a feature is not finite",
            });
        }
        let tolerance = params.tol * mean_variance(rows, d);
        let mut best: Option<Self> = None;
        for run in 0..params.n_init as u64 {
            let mut rng = SplitMix64::stream(params.seed, run);
            let start = plus_plus(rows, d, params.n_clusters, &mut rng)?;
            let start = swaps::improved(rows, &start, params.local_search, &mut rng)?;
            let model = lloyd(rows, start, tolerance, params)?;
            if best
                .as_ref()
                .is_none_or(|best| model.inertia() < best.inertia())
            {
                best = Some(model);
            }
        }
        best.ok_or(LearnerError::Fit {
            learner: KIND,
            reason: "no runs",
        })
    }
}

/// The mean over features of the variance, the yardstick of `tol`.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sample has fewer than 2^53 rows"
)]
fn mean_variance(rows: &[f32], d: usize) -> f64 {
    let n = (rows.len() / d) as f64;
    let variance = |feature: usize| {
        let column = || {
            rows.iter()
                .skip(feature)
                .step_by(d)
                .map(|value| f64::from(*value))
        };
        let mean = column().sum::<f64>() / n;
        column().map(|value| (value - mean).powi(2)).sum::<f64>() / n
    };
    (0..d).map(variance).sum::<f64>() / d as f64
}

/// Greedy k-means++: each next centroid is a row drawn in proportion to its squared distance from those chosen, the
/// best of several draws. Ends early where every row is a centroid.
fn plus_plus(
    rows: &[f32],
    d: usize,
    k: usize,
    rng: &mut SplitMix64,
) -> Result<Centroids, LearnerError> {
    let count = rows.len() / d;
    let row = |i: usize| &rows[i * d..(i + 1) * d];
    let first = rng.below(count);
    let mut chosen = row(first).to_vec();
    let mut nearest: Vec<f32> = rows
        .chunks_exact(d)
        .map(|other| squared_distance(row(first), other))
        .collect();
    // 2 + ⌊ln k⌋, in integers: ln k = log2 k × 0.693.
    let draws = 2 + (k.ilog2() as usize * 693) / 1000;
    while chosen.len() < k * d {
        let total: f64 = nearest.iter().map(|squared| f64::from(*squared)).sum();
        if total <= 0.0 {
            break;
        }
        let mut best: Option<(f64, usize, Vec<f32>)> = None;
        for _ in 0..draws {
            let candidate = draw(&nearest, rng.next_f64() * total);
            let left: Vec<f32> = rows
                .chunks_exact(d)
                .zip(&nearest)
                .map(|(other, near)| near.min(squared_distance(row(candidate), other)))
                .collect();
            let potential: f64 = left.iter().map(|squared| f64::from(*squared)).sum();
            if best.as_ref().is_none_or(|(least, _, _)| potential < *least) {
                best = Some((potential, candidate, left));
            }
        }
        let Some((_, candidate, left)) = best else {
            break;
        };
        chosen.extend_from_slice(row(candidate));
        nearest = left;
    }
    Centroids::new(chosen, d)
}

/// The row at which the running sum of weights passes `target`; never one of weight 0.
pub(super) fn draw(weights: &[f32], target: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (i, weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0.0)
    {
        sum += f64::from(*weight);
        last = i;
        if sum > target {
            break;
        }
    }
    last
}

fn lloyd(
    rows: &[f32],
    start: Centroids,
    tolerance: f64,
    params: &KMeansParams,
) -> Result<KMeansModel, LearnerError> {
    let (k, d) = (start.len(), start.dimension());
    let mut centroids = start;
    let mut labels: Vec<u32> = vec![u32::MAX; rows.len() / d];
    let mut distances = vec![0.0_f32; labels.len()];
    let mut iterations = 0;
    loop {
        let mut pass = KMeansPartial::new(k, d)?;
        let mut changed = false;
        let mut places = labels.iter_mut().zip(&mut distances);
        pass.add_seen(rows, &centroids, |cluster, squared| {
            if let Some((label, distance)) = places.next() {
                let cluster = u32::try_from(cluster).unwrap_or(u32::MAX);
                changed |= *label != cluster;
                (*label, *distance) = (cluster, squared);
            }
        })?;
        if !changed || iterations == params.max_iter {
            return KMeansModel::of(centroids, &pass, iterations, params.crowd_share);
        }
        let next = reseed(pass.centroids(&centroids)?, &pass, rows, &distances)?;
        iterations += 1;
        let moved: f64 = next
            .rows()
            .iter()
            .zip(centroids.rows())
            .map(|(a, b)| f64::from(a - b) * f64::from(a - b))
            .sum();
        centroids = next;
        if moved <= tolerance {
            let mut last = KMeansPartial::new(k, d)?;
            last.add(rows, &centroids)?;
            return KMeansModel::of(centroids, &last, iterations, params.crowd_share);
        }
    }
}

/// Starts each empty cluster again at the row farthest from its centroid, the next one at the next farthest; the
/// earlier row among equals.
pub(super) fn reseed(
    centroids: Centroids,
    pass: &KMeansPartial,
    rows: &[f32],
    distances: &[f32],
) -> Result<Centroids, LearnerError> {
    let empty: Vec<usize> = (0..centroids.len())
        .filter(|cluster| pass.counts()[*cluster] == 0)
        .collect();
    if empty.is_empty() {
        return Ok(centroids);
    }
    let d = centroids.dimension();
    let mut farthest: Vec<usize> = (0..distances.len())
        .filter(|row| distances[*row] > 0.0)
        .collect();
    farthest.sort_by(|a, b| distances[*b].total_cmp(&distances[*a]));
    let mut moved = centroids.rows().to_vec();
    for (cluster, row) in empty.into_iter().zip(farthest) {
        moved[cluster * d..(cluster + 1) * d].copy_from_slice(&rows[row * d..(row + 1) * d]);
    }
    Centroids::new(moved, d)
}
