//! Local search on the start of k-means: a row drawn in proportion to its squared distance from the centroids takes the place of
//! the centroid that is missed least, where that lowers the inertia (Lattanzi and Sohler, "A Better k-means++ Algorithm via Local
//! Search", ICML 2019). Lloyd's passes never move a centroid from one crowd to another; this does.

use super::Centroids;
use super::fit::draw;
use super::nearest::squared_distance;
use crate::learner::LearnerError;
use crate::rng::SplitMix64;

/// The two centroids nearest to each row, and their squared distances; infinitely far where there is one centroid.
struct Nearest {
    first: Vec<(u32, f32)>,
    second: Vec<(u32, f32)>,
}

/// Tries `steps` swaps on rows (row-major), and returns the centroids of least inertia.
///
/// # Errors
/// [`LearnerError::Shape`] when the centroids' dimension does not divide the rows.
pub(super) fn improved(
    rows: &[f32],
    start: &Centroids,
    steps: usize,
    rng: &mut SplitMix64,
) -> Result<Centroids, LearnerError> {
    let (k, d) = (start.len(), start.dimension());
    let mut centroids = start.rows().to_vec();
    let row = |i: usize| &rows[i * d..(i + 1) * d];
    let mut nearest = Nearest::of(rows, &centroids, d);
    for _ in 0..steps {
        let weights: Vec<f32> = nearest.first.iter().map(|(_, squared)| *squared).collect();
        let inertia: f64 = weights.iter().map(|squared| f64::from(*squared)).sum();
        if inertia <= 0.0 {
            break;
        }
        let candidate = row(draw(&weights, rng.next_f64() * inertia));
        let squared: Vec<f32> = rows
            .chunks_exact(d)
            .map(|row| squared_distance(candidate, row))
            .collect();
        // What the inertia would be with the candidate beside all centroids, and what each of them, taken away, adds to it.
        let mut with = 0.0;
        let mut missed = vec![0.0_f64; k];
        for ((first, second), squared) in nearest.first.iter().zip(&nearest.second).zip(&squared) {
            let kept = f64::from(first.1.min(*squared));
            with += kept;
            missed[first.0 as usize] += f64::from(second.1.min(*squared)) - kept;
        }
        let least = (0..k).min_by(|a, b| missed[*a].total_cmp(&missed[*b]));
        let Some(least) = least.filter(|least| with + missed[*least] < inertia) else {
            continue;
        };
        centroids[least * d..(least + 1) * d].copy_from_slice(candidate);
        nearest.swap(rows, &centroids, d, least, &squared);
    }
    Centroids::new(centroids, d)
}

impl Nearest {
    fn of(rows: &[f32], centroids: &[f32], d: usize) -> Self {
        let (first, second) = rows
            .chunks_exact(d)
            .map(|row| two_nearest(row, centroids, d))
            .unzip();
        Self { first, second }
    }

    /// After centroid `swapped` was put elsewhere, at these squared distances from the rows.
    fn swap(&mut self, rows: &[f32], centroids: &[f32], d: usize, swapped: usize, squared: &[f32]) {
        let swapped = u32::try_from(swapped).unwrap_or(u32::MAX);
        let places = self.first.iter_mut().zip(&mut self.second);
        for ((row, squared), (first, second)) in rows.chunks_exact(d).zip(squared).zip(places) {
            if first.0 == swapped || second.0 == swapped {
                (*first, *second) = two_nearest(row, centroids, d);
            } else if *squared < first.1 {
                (*first, *second) = ((swapped, *squared), *first);
            } else if *squared < second.1 {
                *second = (swapped, *squared);
            }
        }
    }
}

fn two_nearest(row: &[f32], centroids: &[f32], d: usize) -> ((u32, f32), (u32, f32)) {
    let mut first = (0, f32::INFINITY);
    let mut second = (0, f32::INFINITY);
    for (place, centroid) in (0..).zip(centroids.chunks_exact(d)) {
        let squared = squared_distance(row, centroid);
        if squared < first.1 {
            (first, second) = ((place, squared), first);
        } else if squared < second.1 {
            second = (place, squared);
        }
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::tests::rough;

    fn inertia(rows: &[f32], centroids: &Centroids, d: usize) -> f64 {
        let nearest = Nearest::of(rows, centroids.rows(), d);
        nearest.first.iter().map(|(_, s)| f64::from(*s)).sum()
    }

    #[test]
    fn two_centroids_in_one_crowd_are_parted() {
        // Three crowds on a line; two centroids start in the first, the third crowd has none.
        let rows: Vec<f32> = [0.0_f32, 100.0, 200.0]
            .iter()
            .flat_map(|middle| (0..50_u8).map(move |i| middle + f32::from(i) / 100.0))
            .collect();
        let start = Centroids::new(vec![0.1, 0.3, 100.2], 1).unwrap();
        let mut rng = SplitMix64::stream(1, 0);
        let best = improved(&rows, &start, 8, &mut rng).unwrap();
        let mut found = best.rows().to_vec();
        found.sort_by(f32::total_cmp);
        let crowd = |value: &f32| (value / 100.0).round();
        assert_eq!(found.iter().map(crowd).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn what_is_kept_up_by_swaps_is_what_a_new_count_finds() {
        let (d, k) = (7, 5);
        let rows = rough(300 * d);
        let mut centroids = rows[..k * d].to_vec();
        let mut nearest = Nearest::of(&rows, &centroids, d);
        for (step, swapped) in [3, 0, 3, 4, 1, 2].into_iter().enumerate() {
            let row = &rows[(20 + step) * d..(21 + step) * d];
            centroids[swapped * d..(swapped + 1) * d].copy_from_slice(row);
            let squared: Vec<f32> = rows
                .chunks_exact(d)
                .map(|other| squared_distance(row, other))
                .collect();
            nearest.swap(&rows, &centroids, d, swapped, &squared);
            let anew = Nearest::of(&rows, &centroids, d);
            let distances =
                |of: &[(u32, f32)]| of.iter().map(|(_, squared)| *squared).collect::<Vec<_>>();
            assert_eq!(distances(&nearest.first), distances(&anew.first), "{step}");
            assert_eq!(
                distances(&nearest.second),
                distances(&anew.second),
                "{step}"
            );
        }
    }

    #[test]
    fn inertia_never_grows_and_one_centroid_may_be_all() {
        let d = 7;
        let rows = rough(300 * d);
        for k in [1, 2, 9] {
            let start = Centroids::new(rows[..k * d].to_vec(), d).unwrap();
            let before = inertia(&rows, &start, d);
            let mut rng = SplitMix64::stream(3, k as u64);
            let best = improved(&rows, &start, 20, &mut rng).unwrap();
            assert!(inertia(&rows, &best, d) < before, "{k}");
        }
    }
}
