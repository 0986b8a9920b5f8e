use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::SplitMix64;
use crate::svm::rbf::kernel_matrix;
use crate::svm::smo::{Program, solve};
use gleaner_proto::learners as wire;

/// A ring in the first two features, noise in the others.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
fn ring(count: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut rng = SplitMix64::new(seed);
    let mut rows = vec![];
    for _ in 0..count {
        let angle = std::f64::consts::TAU * rng.next_f64();
        for j in 0..d {
            let value = match j {
                0 => 3.0 * angle.cos() + 0.2 * rng.next_normal(),
                1 => 3.0 * angle.sin() + 0.2 * rng.next_normal(),
                _ => rng.next_normal(),
            };
            rows.push(value as f32);
        }
    }
    rows
}

fn fit(rows: &[f32], d: usize, params: OneClassSvmParams) -> OneClassSvmModel {
    OneClassSvmModel::fit(rows, d, &params.check().unwrap()).unwrap()
}

fn scores(model: &OneClassSvmModel, rows: &[f32], d: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows.len() / d];
    model.score(rows, d, &mut out).unwrap();
    out
}

fn with(nu: f64) -> OneClassSvmParams {
    OneClassSvmParams {
        nu,
        ..OneClassSvmParams::default()
    }
}

/// The program is convex, so that whatever meets its conditions is the answer.
#[test]
fn the_solution_meets_the_conditions_of_the_optimum() {
    for (rows, d, nu) in [
        (ring(400, 2, 1), 2, 0.1),
        (ring(300, 9, 2), 9, 0.5),
        (ring(50, 3, 3), 3, 0.011),
        ([ring(100, 4, 4), ring(100, 4, 4)].concat(), 4, 0.3),
    ] {
        let n = rows.len() / d;
        let kernel = kernel_matrix(&rows, d, 0.2);
        #[expect(clippy::cast_precision_loss, reason = "test data")]
        let total = nu * n as f64;
        #[expect(clippy::cast_precision_loss, reason = "test data")]
        let start = (0..n).map(|row| (total - row as f64).clamp(0.0, 1.0));
        let found = solve(
            &Program {
                kernel: &kernel,
                positive: &vec![true; n],
                linear: &vec![0.0; n],
                most: &vec![1.0; n],
                tol: 1e-6,
                steps: 1_000_000,
            },
            start.collect(),
        );
        assert!(found.gap < 1e-6 && found.steps > 10, "{found:?}");
        assert!((found.alpha.iter().sum::<f64>() - total).abs() < 1e-9);
        for (row, alpha) in found.alpha.iter().enumerate() {
            let kernels = kernel[row * n..(row + 1) * n].iter();
            let sum: f64 = kernels
                .zip(&found.alpha)
                .map(|(k, a)| f64::from(*k) * a)
                .sum();
            let decision = sum - found.rho;
            assert!((0.0..=1.0).contains(alpha));
            assert!(*alpha >= 1.0 || decision > -1e-5, "{alpha} {decision}");
            assert!(*alpha <= 0.0 || decision < 1e-5, "{alpha} {decision}");
        }
    }
}

#[test]
fn at_most_nu_of_the_rows_lie_outside_and_at_least_nu_support() {
    let rows = ring(1_000, 3, 5);
    for (nu, rows_of_nu) in [(0.02, 20), (0.1, 100), (0.4, 400)] {
        let model = fit(&rows, 3, with(nu));
        // Rows on the border score 0 but for rounding.
        let outside = scores(&model, &rows, 3)
            .iter()
            .filter(|s| **s > 1e-3)
            .count();
        assert!(outside <= rows_of_nu, "{outside} of {nu}");
        assert!(outside * 2 > rows_of_nu, "{outside} of {nu}");
        assert!(model.support_vectors() >= rows_of_nu);
        assert!(model.support_vectors() < rows_of_nu + 300);
    }
}

#[test]
fn the_middle_of_a_ring_and_what_is_far_from_it_are_outside() {
    let model = fit(
        &ring(2_000, 2, 6),
        2,
        OneClassSvmParams {
            gamma: Some(1.0),
            ..OneClassSvmParams::default()
        },
    );
    let found = scores(
        &model,
        &[3.0, 0.0, 0.0, -3.0, 0.0, 0.0, 9.0, 9.0, 1e6, 0.0],
        2,
    );
    assert!(found[0] < 0.0 && found[1] < 0.0, "{found:?}");
    assert!(found[2] > 0.0 && found[3] > 0.0, "{found:?}");
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    let border = model.rho() as f32;
    assert!((found[4] - border).abs() <= 0.0, "{found:?} {border}");
}

#[test]
fn a_planted_feature_is_the_strongest_reason_even_of_a_row_at_the_worlds_end() {
    let rows = ring(1_000, 7, 7);
    let model = fit(&rows, 7, OneClassSvmParams::default());
    for feature in 0..7 {
        for far in [8.0, 1e4] {
            let mut row = rows[..7].to_vec();
            row[feature] += far;
            let mut shares = [0.0; 7];
            model.contributions(&row, &mut shares).unwrap();
            let most = (0..7).max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
            assert_eq!(most, Some(feature), "{shares:?}");
            assert!(shares.iter().all(|share| share.is_finite()));
        }
    }
}

#[test]
fn only_the_first_rows_are_fitted_on() {
    let rows = ring(900, 4, 8);
    let params = OneClassSvmParams {
        max_rows: 300,
        ..OneClassSvmParams::default()
    };
    let model = fit(&rows, 4, params);
    assert_eq!(model.rows(), 300);
    assert_eq!(model, fit(&rows[..1_200], 4, params));
}

#[test]
fn a_score_depends_neither_on_the_batch_nor_on_the_run() {
    let rows = ring(500, 6, 9);
    let model = fit(&rows, 6, with(0.3));
    assert_eq!(fit(&rows, 6, with(0.3)).to_bytes(), model.to_bytes());
    assert!(model.support_vectors() > 140, "more than two blocks");
    let together: Vec<u32> = scores(&model, &rows, 6)
        .iter()
        .map(|s| s.to_bits())
        .collect();
    let alone = rows
        .chunks(6)
        .map(|row| scores(&model, row, 6)[0].to_bits());
    assert_eq!(alone.collect::<Vec<_>>(), together);
}

#[test]
fn copies_alone_are_inside_and_what_differs_is_outside() {
    let model = fit(&[2.0; 300], 3, OneClassSvmParams::default());
    let found = scores(&model, &[2.0, 2.0, 2.0, 2.0, 9.0, 2.0], 3);
    assert!(found[0].abs() < 1e-5 && found[1] > 1.0, "{found:?}");
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let params = OneClassSvmParams::default().check().unwrap();
    let error = OneClassSvmModel::fit(&[1.0, 2.0], 2, &params).unwrap_err();
    assert!(matches!(error, LearnerError::Fit { .. }));
    let error = OneClassSvmModel::fit(&[1.0, f32::INFINITY], 1, &params).unwrap_err();
    assert!(error.to_string().contains("not finite"));
    for nu in [0.0, 1.1, f64::NAN] {
        assert!(with(nu).check().is_err());
    }
    for gamma in [0.0, -1.0, f32::NAN] {
        let params = OneClassSvmParams {
            gamma: Some(gamma),
            ..OneClassSvmParams::default()
        };
        assert!(params.check().is_err());
    }
    for (tol, max_rows) in [(0.0, 100), (1e-3, 1), (1e-3, 20_000), (f64::NAN, 100)] {
        let params = OneClassSvmParams {
            tol,
            max_rows,
            ..OneClassSvmParams::default()
        };
        assert!(params.check().is_err());
    }
}

#[test]
fn a_model_comes_back_from_its_bytes_and_a_damaged_one_does_not() {
    let model = fit(&ring(100, 3, 10), 3, OneClassSvmParams::default());
    let bytes = model.to_bytes();
    assert_eq!(OneClassSvmModel::from_bytes(&bytes).unwrap(), model);
    for byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 8;
        assert!(
            OneClassSvmModel::from_bytes(&damaged).is_err(),
            "byte {byte}"
        );
    }
    let foreign = wire::OneClassSvm {
        d: 2,
        support: vec![1.0; 3],
        alpha: vec![1.0],
        gamma: 1.0,
        rho: 0.0,
        nu: 0.1,
        rows: 2,
    };
    assert!(OneClassSvmModel::from_bytes(&seal(KIND, VERSION, &foreign)).is_err());
}

/// `cargo test --workspace --lib ocsvm_of -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of some seconds"]
fn ocsvm_of_4096_rows_of_60_features() {
    use std::io::Write;
    let rows = ring(4_096, 60, 11);
    let started = std::time::Instant::now();
    let model = fit(&rows, 60, OneClassSvmParams::default());
    let fitted = started.elapsed().as_secs_f64();
    let started = std::time::Instant::now();
    let found = scores(&model, &rows, 60);
    let micros = started.elapsed().as_secs_f64() * 1e6 / 4_096.0;
    let outside = found.iter().filter(|s| **s > 0.0).count();
    writeln!(
        std::io::stdout(),
        "fit {fitted:.2} s, {} support vectors, {outside} outside; {micros:.2} µs a row",
        model.support_vectors(),
    )
    .unwrap();
    assert!(outside <= 220);
}
