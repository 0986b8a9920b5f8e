//! The fit: the knee, who is core, which core rows are kept.

use std::collections::BTreeSet;

use super::model::score_of;
use super::{DbscanModel, DbscanParams, KIND, KNEE_ROWS};
use crate::kmeans::Centroids;
use crate::learner::{Checked, LearnerError, row_count};
use crate::panel::{LANES, Line, fill};
use crate::vector::distances::squared_distances;

/// Rows that a panel is compared with before it is asked whether it has seen enough.
const BLOCK: usize = 256;

impl DbscanModel {
    /// Fits on rows (row-major, `d` features, finite: scaled).
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `d` does not divide `rows`, [`LearnerError::Fit`] without rows, with a value that is not
    /// finite, or when no row is core.
    pub fn fit(
        rows: &[f32],
        d: usize,
        params: &Checked<DbscanParams>,
    ) -> Result<Self, LearnerError> {
        let count = row_count(KIND, rows.len(), d)?;
        let refused = |reason| LearnerError::Fit {
            learner: KIND,
            reason,
        };
        if count == 0 {
            return Err(refused("no rows"));
        }
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(refused("a value is not finite: scale the rows first"));
        }
        let eps = params
            .eps
            .unwrap_or_else(|| knee(&k_distances(rows, d, params.min_samples)));
        let is_core = cores(rows, d, limit(eps), params.min_samples);
        let take = |wanted: bool| -> Vec<f32> {
            let kept = rows.chunks_exact(d).zip(&is_core);
            kept.filter(|(_, core)| **core == wanted)
                .flat_map(|(row, _)| row.iter().copied())
                .collect()
        };
        let (core, others) = (take(true), take(false));
        if core.is_empty() {
            return Err(refused(
                "no row has min_samples rows within eps: raise eps or lower min_samples",
            ));
        }
        let core_rows = core.len() / d;
        let all = Centroids::new(core, d)?;
        let mut noise = 0;
        all.each_nearest(&others, |_, (_, squared)| {
            noise += u64::from(score_of(squared, eps) > 1.0);
        });
        let (kept, radius) = if core_rows <= params.max_cores {
            (distinct(all.rows(), d), 0.0)
        } else {
            farthest_first(all.rows(), d, params.max_cores)
        };
        Ok(Self {
            cores: Centroids::new(kept, d)?,
            eps,
            min_samples: params.min_samples as u64,
            rows: count as u64,
            core_rows: core_rows as u64,
            noise,
            slack: score_of(radius, eps).min(f32::MAX),
        })
    }
}

/// The greatest squared distance that scores at most 1: what "within eps" means, to the bit.
fn limit(eps: f32) -> f32 {
    let mut limit = eps * eps;
    while score_of(limit, eps) > 1.0 {
        limit = limit.next_down();
    }
    while limit < f32::MAX && score_of(limit.next_up(), eps) <= 1.0 {
        limit = limit.next_up();
    }
    limit
}

/// The distance of some rows to their k-th nearest row, the row itself being the first; ascending.
fn k_distances(rows: &[f32], d: usize, k: usize) -> Vec<f32> {
    let count = rows.len() / d;
    let k = k.min(count) - 1;
    let mut panel = vec![[0.0; LANES]; d];
    let mut lines: Vec<Line> = vec![[0.0; LANES]; count];
    let mut found = vec![];
    for some in rows[..count.min(KNEE_ROWS) * d].chunks(LANES * d) {
        fill(&mut panel, some);
        squared_distances(&panel, rows, &mut lines);
        for lane in 0..some.len() / d {
            let mut distances: Vec<f32> = lines.iter().map(|line| line[lane]).collect();
            found.push(distances.select_nth_unstable_by(k, f32::total_cmp).1.sqrt());
        }
    }
    found.sort_by(f32::total_cmp);
    found
}

/// The value of an ascending curve that is farthest below its chord, the first among equals. Where that is 0 (copies), the
/// least positive one; 1 where all are 0.
#[expect(clippy::cast_precision_loss, reason = "some thousand places")]
fn knee(curve: &[f32]) -> f32 {
    let (first, last) = match (curve.first(), curve.last()) {
        (Some(first), Some(last)) => (f64::from(*first), f64::from(*last)),
        _ => return 1.0,
    };
    let steps = curve.len().saturating_sub(1).max(1) as f64;
    let mut best = (f64::NEG_INFINITY, 0.0);
    for (place, value) in curve.iter().enumerate() {
        let below = place as f64 / steps * (last - first) - (f64::from(*value) - first);
        if below > best.0 {
            best = (below, *value);
        }
    }
    if best.1 > 0.0 {
        return best.1;
    }
    let positive = curve.iter().copied().find(|value| *value > 0.0);
    positive.unwrap_or(1.0)
}

/// Which rows have at least `min_samples` rows, themselves included, within a squared distance of `limit`.
fn cores(rows: &[f32], d: usize, limit: f32, min_samples: usize) -> Vec<bool> {
    let mut panel = vec![[0.0; LANES]; d];
    let mut lines = vec![[0.0; LANES]; BLOCK];
    let mut core = Vec::with_capacity(rows.len() / d);
    for some in rows.chunks(LANES * d) {
        fill(&mut panel, some);
        let filled = some.len() / d;
        let mut near = [0_usize; LANES];
        for others in rows.chunks(BLOCK * d) {
            squared_distances(&panel, others, &mut lines);
            for line in &lines[..others.len() / d] {
                for (near, squared) in near.iter_mut().zip(line) {
                    *near += usize::from(*squared <= limit);
                }
            }
            // Whoever has enough cannot lose it again.
            if near[..filled].iter().all(|near| *near >= min_samples) {
                break;
            }
        }
        core.extend(near[..filled].iter().map(|near| *near >= min_samples));
    }
    core
}

/// The rows without copies, in their order.
fn distinct(rows: &[f32], d: usize) -> Vec<f32> {
    let mut seen = BTreeSet::new();
    let bits = |row: &[f32]| {
        row.iter()
            .map(|value| value.to_bits())
            .collect::<Vec<u32>>()
    };
    let first = rows.chunks_exact(d).filter(|row| seen.insert(bits(row)));
    first.flatten().copied().collect()
}

/// At most `most` of the rows, each the farthest from those before it (the first row first, the earlier among equals), and
/// the squared distance within which every row has one of them.
fn farthest_first(rows: &[f32], d: usize, most: usize) -> (Vec<f32>, f32) {
    let count = rows.len() / d;
    let panels: Vec<Vec<Line>> = rows
        .chunks(LANES * d)
        .map(|rows| {
            let mut panel = vec![[0.0; LANES]; d];
            fill(&mut panel, rows);
            panel
        })
        .collect();
    let mut near = vec![f32::INFINITY; count];
    let mut kept: Vec<f32> = vec![];
    let mut at = 0;
    loop {
        let row = &rows[at * d..(at + 1) * d];
        kept.extend_from_slice(row);
        let mut farthest = (0.0_f32, 0);
        let mut line = [[0.0; LANES]];
        for (place, (panel, near)) in panels.iter().zip(near.chunks_mut(LANES)).enumerate() {
            // A row at distance 0 stays there.
            if near.iter().all(|near| *near <= 0.0) {
                continue;
            }
            squared_distances(panel, row, &mut line);
            for (lane, (near, squared)) in near.iter_mut().zip(&line[0]).enumerate() {
                *near = near.min(*squared);
                if *near > farthest.0 {
                    farthest = (*near, place * LANES + lane);
                }
            }
        }
        if farthest.0 <= 0.0 || kept.len() / d == most {
            return (kept, farthest.0);
        }
        at = farthest.1;
    }
}
