use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

/// Correlated rows: two hidden directions and a little noise in `d` features, off the origin.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "test data"
)]
fn data(count: usize, d: usize) -> Vec<f32> {
    let mut rng = SplitMix64::new(3);
    let directions: Vec<f64> = (0..2 * d).map(|_| rng.next_normal()).collect();
    (0..count)
        .flat_map(|_| {
            let (a, b) = (3.0 * rng.next_normal(), rng.next_normal());
            (0..d)
                .map(|j| {
                    (a * directions[j] + b * directions[d + j] + 0.1 * rng.next_normal() + j as f64)
                        as f32
                })
                .collect::<Vec<f32>>()
        })
        .collect()
}

fn moments(rows: &[f32], d: usize) -> Moments {
    let mut state = Moments::new(d).unwrap();
    state.add(rows, d).unwrap();
    state
}

fn fit(rows: &[f32], d: usize, n_components: Components) -> PcaModel {
    PcaModel::fit(
        &moments(rows, d),
        &PcaParams { n_components }.check().unwrap(),
    )
    .unwrap()
}

/// Mean and covariance by their definitions, in two passes.
#[expect(clippy::cast_precision_loss, reason = "test data")]
fn naive(rows: &[f32], d: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (rows.len() / d) as f64;
    let mean: Vec<f64> = (0..d)
        .map(|j| {
            rows.iter()
                .skip(j)
                .step_by(d)
                .map(|x| f64::from(*x))
                .sum::<f64>()
                / n
        })
        .collect();
    let mut covariance = vec![0.0; d * d];
    for row in rows.chunks(d) {
        for i in 0..d {
            for j in 0..d {
                covariance[i * d + j] +=
                    (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]) / (n - 1.0);
            }
        }
    }
    (mean, covariance)
}

/// The dense oracle: cyclic Jacobi rotations, the slow, obvious and most accurate way. Values and vectors (rows),
/// descending.
#[expect(clippy::many_single_char_names, reason = "the letters of the textbook")]
fn jacobi(matrix: &[f64], d: usize) -> Vec<(f64, Vec<f64>)> {
    let (mut a, mut v) = (matrix.to_vec(), vec![0.0; d * d]);
    (0..d).for_each(|i| v[i * d + i] = 1.0);
    for _ in 0..60 {
        for p in 0..d {
            for q in p + 1..d {
                if a[p * d + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * d + q] - a[p * d + p]) / (2.0 * a[p * d + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let (c, s) = (1.0 / t.hypot(1.0), t / t.hypot(1.0));
                for k in 0..d {
                    let (x, y) = (a[k * d + p], a[k * d + q]);
                    (a[k * d + p], a[k * d + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..d {
                    let (x, y) = (a[p * d + k], a[q * d + k]);
                    (a[p * d + k], a[q * d + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[p * d + k], v[q * d + k]);
                    (v[p * d + k], v[q * d + k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut pairs: Vec<_> = (0..d)
        .map(|i| (a[i * d + i], v[i * d..(i + 1) * d].to_vec()))
        .collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

#[test]
fn moments_are_those_of_two_passes() {
    let rows = data(1000, 7);
    let (mean, covariance) = moments(&rows, 7).covariance().unwrap();
    let (naive_mean, naive_covariance) = naive(&rows, 7);
    for (a, b) in mean
        .iter()
        .zip(&naive_mean)
        .chain(covariance.iter().zip(&naive_covariance))
    {
        assert!((a - b).abs() < 1e-10 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn moments_survive_an_offset_that_swamps_the_variance() {
    // 16,777,216 + {0, 2, 4}: mean square minus squared mean would lose it all.
    let rows = [16_777_216.0, 16_777_218.0, 16_777_220.0];
    let (mean, covariance) = moments(&rows, 1).covariance().unwrap();
    assert_eq!((mean[0], covariance[0]), (16_777_218.0, 4.0));
}

#[test]
fn the_same_rows_give_the_same_bytes_however_they_are_batched() {
    let rows = data(1111, 5);
    let whole = moments(&rows, 5).to_bytes();
    for batch in [1, 3, 256, 257, 1000] {
        let mut state = Moments::new(5).unwrap();
        rows.chunks(batch * 5)
            .for_each(|batch| state.add(batch, 5).unwrap());
        assert_eq!((state.rows(), state.to_bytes()), (1111, whole.clone()));
    }
}

#[test]
fn every_split_merges_to_the_moments_of_one_pass() {
    let rows = data(2000, 4);
    let (mean, covariance) = moments(&rows, 4).covariance().unwrap();
    for cuts in [
        vec![1000],
        vec![1, 2, 3],
        vec![300, 301, 1900],
        vec![0, 2000],
    ] {
        let bounds: Vec<usize> = [vec![0], cuts, vec![2000]].concat();
        let parts: Vec<Moments> = bounds
            .windows(2)
            .map(|pair| moments(&rows[pair[0] * 4..pair[1] * 4], 4))
            .collect();
        for backwards in [false, true] {
            let mut merged = Moments::new(4).unwrap();
            for i in 0..parts.len() {
                let part = &parts[if backwards { parts.len() - 1 - i } else { i }];
                merged
                    .merge(&Moments::from_bytes(&part.to_bytes()).unwrap())
                    .unwrap();
            }
            let (other_mean, other_covariance) = merged.covariance().unwrap();
            assert_eq!(merged.rows(), 2000);
            for (a, b) in mean
                .iter()
                .zip(&other_mean)
                .chain(covariance.iter().zip(&other_covariance))
            {
                assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }
}

#[test]
fn merging_commutes_and_has_an_identity_to_the_bit() {
    let rows = data(900, 6);
    let (a, b) = (moments(&rows[..400 * 6], 6), moments(&rows[400 * 6..], 6));
    let merged = |first: &Moments, second: &Moments| {
        let mut state = first.clone();
        state.merge(second).unwrap();
        state.to_bytes()
    };
    assert_eq!(merged(&a, &b), merged(&b, &a));
    let nothing = Moments::new(6).unwrap();
    assert_eq!(merged(&a, &nothing), a.to_bytes());
    assert_eq!(merged(&nothing, &a), a.to_bytes());
    assert_eq!(Moments::from_bytes(&nothing.to_bytes()).unwrap().rows(), 0);
}

#[test]
fn components_are_those_of_a_dense_eigendecomposition() {
    for d in [1, 2, 5, 20] {
        let rows = data(500, d);
        let model = fit(&rows, d, Components::Count(d));
        let oracle = jacobi(&naive(&rows, d).1, d);
        for (i, (value, vector)) in oracle.iter().enumerate() {
            assert!(
                (model.explained_variance()[i] - value).abs() < 1e-10 * oracle[0].0,
                "{d} {i}"
            );
            if i < 2.min(d) {
                let component = &model.components()[i * d..(i + 1) * d];
                let cosine: f64 = component
                    .iter()
                    .zip(vector)
                    .map(|(a, b)| f64::from(*a) * b)
                    .sum();
                assert!(1.0 - cosine.abs() < 1e-6, "{d} {i}: {cosine}");
            }
        }
    }
}

#[test]
fn eigenvectors_of_separated_values_are_within_1e_9_of_the_oracle_and_singular_matrices_are_no_trap()
 {
    let mut rng = SplitMix64::new(8);
    for (d, rank) in [(2, 1), (3, 3), (12, 4), (40, 40), (40, 7), (60, 0)] {
        let factor: Vec<f64> = (0..rank * d).map(|_| rng.next_normal()).collect();
        let mut matrix = vec![0.0; d * d];
        for i in 0..d {
            for j in 0..d {
                matrix[i * d + j] = (0..rank)
                    .map(|k| factor[k * d + i] * factor[k * d + j])
                    .sum::<f64>()
                    * 1e-3;
            }
        }
        let (values, vectors) = symmetric_eigen(&matrix, d).unwrap();
        let oracle = jacobi(&matrix, d);
        let scale = oracle[0].0.max(f64::MIN_POSITIVE);
        for (i, (value, vector)) in oracle.iter().enumerate() {
            assert!(
                (values[i] - value).abs() < 1e-12 * scale,
                "{d} {rank} {i}: {} {value}",
                values[i]
            );
            let gap = oracle
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, o)| (o.0 - value).abs())
                .fold(scale, f64::min);
            if gap > 1e-3 * scale {
                let ours = &vectors[i * d..(i + 1) * d];
                let along: f64 = ours.iter().zip(vector).map(|(a, b)| a * b).sum();
                let angle = ours
                    .iter()
                    .zip(vector)
                    .map(|(a, b)| (a - along * b).powi(2))
                    .sum::<f64>()
                    .sqrt();
                assert!(angle < 1e-9, "{d} {rank} {i}: {angle}");
            }
        }
        for i in 0..d {
            for j in 0..d {
                let product: f64 = (0..d)
                    .map(|k| vectors[i * d + k] * vectors[j * d + k])
                    .sum();
                assert!(
                    (product - f64::from(u8::from(i == j))).abs() < 1e-12,
                    "not orthonormal"
                );
            }
        }
    }
}

#[test]
fn projected_rows_have_the_explained_variances_and_no_correlation() {
    let rows = data(800, 6);
    let model = fit(&rows, 6, Components::Count(3));
    let projected: Vec<f32> = rows
        .chunks(6)
        .flat_map(|row| {
            model
                .components()
                .chunks(6)
                .map(|c| c.iter().zip(row).map(|(a, b)| a * b).sum())
                .collect::<Vec<f32>>()
        })
        .collect();
    let covariance = naive(&projected, 3).1;
    for i in 0..3 {
        for j in 0..3 {
            let expected = if i == j {
                model.explained_variance()[i]
            } else {
                0.0
            };
            assert!(
                (covariance[i * 3 + j] - expected).abs() < 1e-3 * model.explained_variance()[0],
                "{i} {j}"
            );
        }
    }
}

#[test]
fn errors_are_those_worked_out_by_hand() {
    // Variance along (1, 1) only: the error of (x, y) is (x − y)² / 2, half of it in each feature.
    let rows = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, -6.0, -6.0];
    let model = fit(&rows, 2, Components::Count(1));
    let mut residuals = [0.0; 2];
    model.residuals(&[5.0, 1.0], &mut residuals).unwrap();
    assert!((model.reconstruction_error(&[5.0, 1.0]).unwrap() - 8.0).abs() < 1e-5);
    assert!(
        residuals
            .iter()
            .all(|residual| (residual - 4.0).abs() < 1e-5),
        "{residuals:?}"
    );
    assert!(model.reconstruction_error(&[100.0, 100.0]).unwrap() < 1e-6);
    assert!(
        model
            .components()
            .iter()
            .all(|weight| (weight - 0.5_f32.sqrt()).abs() < 1e-6),
        "the sign is positive"
    );
}

#[test]
fn residuals_add_up_to_the_error_and_all_components_leave_none() {
    let rows = data(300, 9);
    let (few, all) = (
        fit(&rows, 9, Components::Count(2)),
        fit(&rows, 9, Components::Count(9)),
    );
    let mut errors = vec![0.0; 300];
    few.score(&rows, 9, &mut errors).unwrap();
    let mut residuals = [0.0; 9];
    for (row, error) in rows.chunks(9).zip(errors) {
        few.residuals(row, &mut residuals).unwrap();
        assert!((residuals.iter().sum::<f32>() - error).abs() < 1e-5 * error.max(1e-3));
        assert!(all.reconstruction_error(row).unwrap() < 1e-8);
    }
}

#[test]
fn a_share_keeps_as_few_components_as_explain_it() {
    let rows = data(1000, 10);
    let all = fit(&rows, 10, Components::Count(10)).explained_variance_ratio();
    assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    for share in [0.3, 0.9, 0.95, 0.99, 1.0] {
        let kept = fit(&rows, 10, Components::Share(share)).n_components();
        let explained = |count: usize| all[..count].iter().sum::<f64>();
        assert!(
            explained(kept) >= share * (1.0 - 1e-9) && explained(kept - 1) < share,
            "{share}: {kept}"
        );
    }
}

#[test]
fn a_share_below_one_leaves_a_component_to_err_by() {
    // Two features without correlation: 95% takes both, and the errors would be rounding.
    let rows = [1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0];
    assert_eq!(fit(&rows, 2, Components::Share(0.95)).n_components(), 1);
    assert_eq!(fit(&rows, 2, Components::Share(1.0)).n_components(), 2);
}

#[test]
fn features_that_never_vary_keep_no_component_and_a_change_is_an_error() {
    let model = fit(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 2, Components::Share(0.95));
    assert_eq!(model.n_components(), 0);
    assert_eq!(model.reconstruction_error(&[1.0, 2.0]), Ok(0.0));
    assert_eq!(model.reconstruction_error(&[4.0, 6.0]), Ok(25.0));
}

#[test]
fn bytes_round_trip_and_damaged_ones_are_refused() {
    let model = fit(&data(100, 4), 4, Components::Count(2));
    assert_eq!(PcaModel::from_bytes(&model.to_bytes()), Ok(model));
    let good = wire::Pca {
        rows: 2,
        total_variance: 1.0,
        mean: vec![0.0; 2],
        explained_variance: vec![1.0],
        components: vec![1.0, 0.0],
    };
    let read = |message: &wire::Pca| PcaModel::from_bytes(&seal(KIND, VERSION, message));
    assert!(read(&good).is_ok());
    let spoil: [fn(&mut wire::Pca); 4] = [
        |bad| bad.components.push(1.0),
        |bad| bad.mean[0] = f32::NAN,
        |bad| bad.explained_variance[0] = -1.0,
        |bad| *bad = wire::Pca::default(),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(
            matches!(read(&bad), Err(LearnerError::Damaged { .. })),
            "number {number}"
        );
    }
    assert!(Moments::from_bytes(&good.mean.iter().map(|_| 0).collect::<Vec<u8>>()).is_err());
    let state = wire::Moments {
        d: 2,
        rows: 3,
        mean: vec![0.0; 2],
        comoment: vec![0.0; 4],
    };
    assert!(Moments::from_bytes(&seal("pca moments", VERSION, &state)).is_err());
}

#[test]
fn bad_parameters_and_data_are_named() {
    let named = |n_components| PcaParams { n_components }.check().unwrap_err().to_string();
    assert_eq!(
        named(Components::Count(0)),
        "pca: parameter `n_components` must be at least 1, got 0"
    );
    assert!(
        named(Components::Share(f64::NAN)).contains("a share of the variance in (0, 1], got NaN")
    );
    let checked = |n| {
        PcaParams {
            n_components: Components::Count(n),
        }
        .check()
        .unwrap()
    };
    let state = moments(&data(10, 3), 3);
    assert!(
        PcaModel::fit(&state, &checked(4))
            .unwrap_err()
            .to_string()
            .contains("got 4 with 3 features")
    );
    assert!(
        PcaModel::fit(&moments(&[1.0, 2.0], 2), &checked(1))
            .unwrap_err()
            .to_string()
            .contains("fewer than two rows")
    );
    assert!(
        PcaModel::fit(&moments(&[1.0, f32::NAN], 1), &checked(1))
            .unwrap_err()
            .to_string()
            .contains("not finite")
    );
    assert!(
        state.clone().add(&[1.0, 2.0], 2).is_err()
            && state.clone().merge(&Moments::new(2).unwrap()).is_err()
    );
    assert!(Moments::new(0).is_err() && Moments::new(9000).is_err());
}

/// The angle between two lines, given unit vectors: by the part of one that is not along the other.
fn angle(a: &[f32], b: &[f64]) -> f64 {
    let along: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum();
    let across: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - along * b).powi(2))
        .sum();
    across.sqrt().atan2(along.abs())
}

#[test]
fn hard_columns_and_few_rows_still_give_the_components_of_a_dense_eigendecomposition() {
    // Columns: correlated ones, one of a million times the scale, one of a millionth, a constant, a copy.
    let hard = |count: usize| -> Vec<f32> {
        let rows = data(count, 8);
        rows.chunks(8)
            .flat_map(|row| {
                let mut row = row.to_vec();
                row[2] *= 1e6;
                row[3] *= 1e-6;
                row[4] = 5.5;
                row[5] = row[0];
                row
            })
            .collect()
    };
    for (count, d) in [(2000, 8), (400, 8), (6, 8), (3, 8)] {
        let raw = hard(count);
        // As they are, and scaled as the detectors see them.
        let mut scaled = vec![0.0; raw.len()];
        let params = crate::scale::ScalerParams::default().check().unwrap();
        let fitted = crate::scale::Scaler::fit(&raw, d, &params).unwrap();
        fitted.transform(&raw, d, &mut scaled).unwrap();
        for rows in [&raw, &scaled] {
            let model = fit(rows, d, Components::Count(d));
            let oracle = jacobi(&naive(rows, d).1, d);
            let total = oracle[0].0;
            let mut compared = 0;
            for (i, (value, vector)) in oracle.iter().enumerate() {
                assert!((model.explained_variance()[i] - value.max(0.0)).abs() < 1e-10 * total);
                let gap = oracle
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(_, other)| (other.0 - value).abs())
                    .fold(f64::INFINITY, f64::min);
                // A direction is defined where its variance differs from every other's.
                if gap > 1e-6 * total {
                    compared += 1;
                    let component = &model.components()[i * d..(i + 1) * d];
                    let angle = angle(component, vector);
                    assert!(angle < 1e-5, "{count} rows, component {i}: {angle}");
                }
            }
            assert!(compared > 0, "{count} rows: nothing was compared");
            let mut errors = vec![0.0; count];
            let few = fit(rows, d, Components::Share(0.95));
            few.score(rows, d, &mut errors).unwrap();
            assert!(errors.iter().all(|error| error.is_finite()));
        }
    }
}
