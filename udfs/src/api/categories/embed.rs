//! Vectors of endpoints, learned from what calls what.
//!
//! An endpoint's contexts are the endpoints before and after it and the actors that call it. Their positive pointwise mutual
//! information, with contexts smoothed by the power ¾, is factored by a truncated singular value decomposition, and the
//! vector is the row of U·√Σ, to length 1: what word2vec with negative sampling does implicitly (Levy and Goldberg 2014; the
//! smoothing and the root, Levy, Goldberg and Dagan 2015). Endpoints that are called in like places by like
//! actors have like vectors, whatever they are called.
//!
//! **The same bits everywhere.** Only +, −, ×, ÷ and √ of f64, in a fixed order, which IEEE 754 defines to the bit: the logarithm
//! is our own, since the platform's differs between processors. The decomposition is block power (subspace) iteration
//! from a fixed start, a fixed number of rounds, with a Rayleigh–Ritz step by Jacobi rotations.
//!
//! **Cost**: linear in the pairs, at most four a request of the sample: 40 rounds of 24 columns.

#![expect(clippy::cast_possible_truncation, reason = "a vector is f32")]

use std::collections::{BTreeMap, HashMap};

use super::layout::{DIMENSIONS, Field};
use super::sample::CategorySample;
use crate::rng::SplitMix64;

/// Endpoints with a vector: the most frequent.
pub const MAX_ENDPOINTS: usize = 2048;
/// An endpoint called less often in the sample has no vector: there is too little to learn one from, and unknown endpoints
/// are then something that the detectors have seen.
pub(super) const MIN_CALLS: u32 = 3;
/// Columns that are iterated: a few more than are kept, so that those converge.
const COLUMNS: usize = DIMENSIONS + 8;
const ROUNDS: usize = 40;

/// A vector.
pub(super) type Vector = [f32; DIMENSIONS];

/// The most frequent of some values, those of a kind by hash; rarer ones than `least` are left out.
pub(super) fn most_frequent(counts: &BTreeMap<u64, u32>, n: usize, least: u32) -> Vec<u64> {
    let mut order: Vec<(u32, u64)> = counts
        .iter()
        .filter(|(_, count)| **count >= least)
        .map(|(value, count)| (*count, *value))
        .collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    order.truncate(n);
    order.into_iter().map(|(_, value)| value).collect()
}

/// Sparse rows: (column, value), by row.
type Sparse = Vec<Vec<(usize, f64)>>;

/// The vectors of the most frequent endpoints, by hash.
pub(super) fn learn(sample: &CategorySample) -> BTreeMap<u64, Vector> {
    let endpoints = most_frequent(&sample.counts(Field::Endpoint), MAX_ENDPOINTS, MIN_CALLS);
    let matrix = information(sample, &endpoints);
    let vectors = decompose(&matrix);
    endpoints.into_iter().zip(vectors).collect()
}

/// Positive pointwise mutual information of endpoints and contexts.
fn information(sample: &CategorySample, endpoints: &[u64]) -> Sparse {
    let place: HashMap<u64, usize> = endpoints.iter().copied().zip(0..).collect();
    // A context is what it is, and its value: 0 an endpoint before, 1 an endpoint after, 2 an actor.
    let mut pairs: BTreeMap<(usize, (u8, u64)), u32> = BTreeMap::new();
    for [endpoint, before, actor] in sample.calls() {
        let (this, that) = (place.get(&endpoint), place.get(&before));
        let mut add = |row: Option<&usize>, context| {
            if let Some(row) = row {
                *pairs.entry((*row, context)).or_default() += 1;
            }
        };
        if that.is_some() {
            add(this, (0, before));
        }
        if this.is_some() {
            add(that, (1, endpoint));
        }
        if actor != 0 {
            add(this, (2, actor));
        }
    }
    let mut of_row = vec![0.0; endpoints.len()];
    let mut of_context: BTreeMap<(u8, u64), f64> = BTreeMap::new();
    for ((row, context), n) in &pairs {
        of_row[*row] += f64::from(*n);
        *of_context.entry(*context).or_default() += f64::from(*n);
    }
    let columns: HashMap<(u8, u64), usize> = of_context.keys().copied().zip(0..).collect();
    // n^¾ = √n · √√n.
    let smoothed = |n: f64| n.sqrt() * n.sqrt().sqrt();
    let smooth_sum: f64 = of_context.values().map(|n| smoothed(*n)).sum();
    let mut matrix: Sparse = vec![vec![]; endpoints.len()];
    for ((row, context), n) in &pairs {
        // p(row, context) / (p(row) p(context)).
        let expected = of_row[*row] * smoothed(of_context[context]) / smooth_sum;
        let information = ln(f64::from(*n) / expected);
        if information > 0.0 {
            matrix[*row].push((columns[context], information));
        }
    }
    matrix
}

/// The natural logarithm of a positive, normal number, from +, −, × and ÷ alone; within 10⁻¹⁴ of the true one.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or_default() - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 (t + t³/3 + t⁵/5 + …), |t| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    for k in (0..12_u32).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    2.0 * t * sum + f64::from(exponent) * std::f64::consts::LN_2
}

/// Rows of U·√Σ of the first [`DIMENSIONS`] singular values, to length 1; zeros where a row has no information.
fn decompose(matrix: &Sparse) -> Vec<Vector> {
    let width = matrix
        .iter()
        .flatten()
        .map(|(column, _)| column + 1)
        .max()
        .unwrap_or(0);
    // Row-major, COLUMNS a row of the matrix.
    let mut basis: Vec<[f64; COLUMNS]> = (0..matrix.len() as u64)
        .map(|row| {
            let mut rng = SplitMix64::stream(17, row);
            std::array::from_fn(|_| rng.next_f64() - 0.5)
        })
        .collect();
    orthonormal(&mut basis);
    for _ in 0..ROUNDS {
        basis = product(matrix, &transposed(matrix, &basis, width));
        orthonormal(&mut basis);
    }
    // Rayleigh–Ritz: the eigenvectors of Bᵀ·M·Mᵀ·B within the basis.
    let seen = transposed(matrix, &basis, width);
    let mut small = [[0.0; COLUMNS]; COLUMNS];
    for row in &seen {
        for (i, line) in small.iter_mut().enumerate() {
            for (cell, value) in line.iter_mut().zip(row) {
                *cell += row[i] * value;
            }
        }
    }
    let (values, rotation) = jacobi(small);
    let mut order: Vec<usize> = (0..COLUMNS).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    let mut vectors: Vec<[f64; DIMENSIONS]> = vec![[0.0; DIMENSIONS]; matrix.len()];
    for (place, &column) in order.iter().take(DIMENSIONS).enumerate() {
        // σ = √λ, and the weight is √σ.
        let weight = values[column].max(0.0).sqrt().sqrt();
        let mut largest = 0.0_f64;
        for (vector, row) in vectors.iter_mut().zip(&basis) {
            let value: f64 = row.iter().zip(&rotation).map(|(b, r)| b * r[column]).sum();
            vector[place] = weight * value;
            if value.abs() > largest.abs() {
                largest = value;
            }
        }
        // A singular vector's sign is nobody's: the largest number is positive.
        if largest < 0.0 {
            for vector in &mut vectors {
                vector[place] = -vector[place];
            }
        }
    }
    vectors.iter().map(to_unit).collect()
}

fn to_unit(vector: &[f64; DIMENSIONS]) -> Vector {
    let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    vector.map(|v| {
        if length > 1e-9 {
            (v / length) as f32
        } else {
            0.0
        }
    })
}

/// Mᵀ·B.
fn transposed(matrix: &Sparse, basis: &[[f64; COLUMNS]], width: usize) -> Vec<[f64; COLUMNS]> {
    let mut out = vec![[0.0; COLUMNS]; width];
    for (entries, of) in matrix.iter().zip(basis) {
        for (column, weight) in entries {
            for (sum, value) in out[*column].iter_mut().zip(of) {
                *sum += weight * value;
            }
        }
    }
    out
}

/// M·C.
fn product(matrix: &Sparse, other: &[[f64; COLUMNS]]) -> Vec<[f64; COLUMNS]> {
    let row = |entries: &Vec<(usize, f64)>| {
        let mut sums = [0.0; COLUMNS];
        for (column, weight) in entries {
            for (sum, value) in sums.iter_mut().zip(&other[*column]) {
                *sum += weight * value;
            }
        }
        sums
    };
    matrix.iter().map(row).collect()
}

/// Makes columns orthonormal (modified Gram–Schmidt, twice); what depends on columns before becomes zeros.
fn orthonormal(basis: &mut [[f64; COLUMNS]]) {
    for column in 0..COLUMNS {
        let dot = |basis: &[[f64; COLUMNS]], a: usize, b: usize| -> f64 {
            basis.iter().map(|row| row[a] * row[b]).sum()
        };
        let before = dot(basis, column, column);
        for _ in 0..2 {
            for other in 0..column {
                let along = dot(basis, other, column);
                for row in &mut *basis {
                    row[column] -= along * row[other];
                }
            }
        }
        let after = dot(basis, column, column);
        let scale = if after > 1e-20 * before && after > 1e-200 {
            1.0 / after.sqrt()
        } else {
            0.0
        };
        for row in &mut *basis {
            row[column] *= scale;
        }
    }
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by cyclic Jacobi rotations.
fn jacobi(mut a: [[f64; COLUMNS]; COLUMNS]) -> ([f64; COLUMNS], [[f64; COLUMNS]; COLUMNS]) {
    let mut vectors = [[0.0; COLUMNS]; COLUMNS];
    for (i, row) in vectors.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    // It converges quadratically: 24 columns need some ten sweeps.
    for _ in 0..30 {
        for p in 0..COLUMNS {
            for q in p + 1..COLUMNS {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (of_p, of_q) = (a[p], a[q]);
                for k in 0..COLUMNS {
                    a[p][k] = c * of_p[k] - s * of_q[k];
                    a[q][k] = s * of_p[k] + c * of_q[k];
                }
                for row in &mut vectors {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    (std::array::from_fn(|i| a[i][i]), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Request;
    use crate::rng::mix;

    #[test]
    fn the_logarithm_is_the_logarithm() {
        for i in 1..2000_u32 {
            for x in [
                f64::from(i) / 97.0,
                f64::from(i) * 12_345.6,
                1.0 / f64::from(i),
            ] {
                assert!((ln(x) - x.ln()).abs() < 1e-13, "{x}");
            }
        }
        assert_eq!(ln(1.0).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn the_decomposition_is_that_of_the_pca_s_solver() {
        let mut rng = SplitMix64::new(5);
        let n = 60;
        let matrix: Sparse = (0..n)
            .map(|_| {
                let mut entries = vec![];
                for column in 0..40 {
                    if rng.below(3) == 0 {
                        entries.push((column, rng.next_f64() * 3.0));
                    }
                }
                entries
            })
            .collect();
        let dense = |row: usize, column: usize| {
            let of = matrix[row].iter().find(|(c, _)| *c == column);
            of.map_or(0.0, |(_, v)| *v)
        };
        let mut gram = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                gram[i * n + j] = (0..40).map(|c| dense(i, c) * dense(j, c)).sum();
            }
        }
        let (values, vectors) = crate::pca::symmetric_eigen(&gram, n).unwrap();
        // Likeness of rows is free of signs. The last values are close to one another, so the first eight are compared.
        let ours = decompose(&matrix);
        let mut worst = 0.0_f64;
        for (row, ours) in ours.iter().enumerate() {
            let theirs: [f64; DIMENSIONS] =
                std::array::from_fn(|k| values[k].sqrt().sqrt() * vectors[k * n + row]);
            let theirs = to_unit(&theirs);
            for k in 0..8 {
                worst = worst.max(f64::from((ours[k] - theirs[k]).abs()));
            }
        }
        assert!(worst < 0.02, "{worst}");
    }

    /// Two groups of endpoints: those of the shop and those of the office, each with its own actors.
    fn two_worlds() -> (CategorySample, Vec<u64>, Vec<u64>) {
        let mut sample = CategorySample::new();
        let mut groups = [vec![], vec![]];
        let mut before = [None; 8];
        for i in 0..4000_u64 {
            let actor = usize::try_from(mix(i) % 8).unwrap();
            let group = actor % 2;
            let path = format!("/{group}/{}", mix(i + 99) % 10);
            let user = format!("user {actor}");
            let request = Request {
                method: Some("GET"),
                host: Some("h"),
                path: Some(&path),
                user: Some(&user),
                ..Request::default()
            };
            sample.add(mix(i), &request, &path, before[actor]);
            let hash = crate::api::corpus::endpoint_hash(request.method, request.host, &path);
            before[actor] = Some(hash);
            groups[group].push(hash);
        }
        for group in &mut groups {
            group.sort_unstable();
            group.dedup();
        }
        let [a, b] = groups;
        (sample, a, b)
    }

    #[test]
    fn endpoints_that_the_same_actors_call_are_alike() {
        let (sample, shop, office) = two_worlds();
        let vectors = learn(&sample);
        let like = |a: &u64, b: &u64| -> f32 {
            vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum()
        };
        let mean = |of: &[u64], with: &[u64]| {
            let (mut sum, mut pairs) = (0.0, 0.0);
            for a in of {
                for b in with.iter().filter(|b| *b != a) {
                    sum += like(a, b);
                    pairs += 1.0;
                }
            }
            sum / pairs
        };
        let (within, across) = (mean(&shop, &shop), mean(&shop, &office));
        assert!(within > across + 0.3, "{within} within, {across} across");
        for vector in vectors.values() {
            let length: f32 = vector.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn vectors_are_the_same_bits_on_every_processor() {
        // Of this very sample, found on one processor: another finds the same.
        let (sample, ..) = two_worlds();
        let bytes: Vec<u8> = learn(&sample)
            .values()
            .flatten()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let sum = bytes.iter().fold(0_u64, |h, b| mix(h ^ u64::from(*b)));
        assert_eq!(sum, 0x8ce5_063b_a812_a1fd, "{sum:#x}");
    }

    #[test]
    fn nothing_to_learn_from_is_no_vector_and_no_trouble() {
        assert!(learn(&CategorySample::new()).is_empty());
        let mut sample = CategorySample::new();
        for i in 0..10 {
            let request = Request {
                path: Some("/"),
                ..Request::default()
            };
            sample.add(i, &request, "/", None);
        }
        // Called often enough, but by nobody and after nothing.
        let vectors: Vec<Vector> = learn(&sample).into_values().collect();
        assert_eq!(vectors, vec![[0.0; DIMENSIONS]]);
    }
}
