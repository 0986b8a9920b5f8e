use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

/// Two interleaved half circles of radius 1 with a little noise, as scikit-learn's `make_moons`, and rows far from both.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "test data"
)]
fn moons(count: usize, strays: usize) -> Vec<f32> {
    let mut rng = SplitMix64::new(5);
    let mut rows = vec![];
    for i in 0..count {
        let angle = std::f64::consts::PI * (i / 2) as f64 / (count / 2) as f64;
        let (x, y) = if i % 2 == 0 {
            (angle.cos(), angle.sin())
        } else {
            (1.0 - angle.cos(), 0.5 - angle.sin())
        };
        rows.push((x + 0.03 * rng.next_normal()) as f32);
        rows.push((y + 0.03 * rng.next_normal()) as f32);
    }
    for i in 0..strays {
        let angle = i as f64;
        rows.push((0.5 + 4.0 * angle.cos()) as f32);
        rows.push((0.25 + 4.0 * angle.sin()) as f32);
    }
    rows
}

/// Blobs of different widths in `d` dimensions, and rows anywhere.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
fn blobs(count: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut rng = SplitMix64::new(seed);
    let centres: Vec<f64> = (0..5 * d).map(|_| 6.0 * rng.next_normal()).collect();
    let mut rows = vec![];
    for i in 0..count {
        for j in 0..d {
            let value = match i % 20 {
                0 => 12.0 * rng.next_normal(),
                kind => centres[kind % 5 * d + j] + 0.5 * rng.next_normal(),
            };
            rows.push(value as f32);
        }
    }
    rows
}

fn fit(rows: &[f32], d: usize, params: DbscanParams) -> DbscanModel {
    DbscanModel::fit(rows, d, &params.check().unwrap()).unwrap()
}

fn with(eps: f32, min_samples: usize) -> DbscanParams {
    DbscanParams {
        eps: Some(eps),
        min_samples,
        ..DbscanParams::default()
    }
}

fn scores(model: &DbscanModel, rows: &[f32], d: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows.len() / d];
    model.score(rows, d, &mut out).unwrap();
    out
}

/// The definition, in f64, one pair after another: which rows are noise.
fn naive_noise(rows: &[f32], d: usize, eps: f32, min_samples: usize) -> Vec<bool> {
    let rows: Vec<&[f32]> = rows.chunks(d).collect();
    let near = |a: &[f32], b: &[f32]| {
        let squared: f64 = a
            .iter()
            .zip(b)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        squared.sqrt() <= f64::from(eps)
    };
    let core: Vec<bool> = rows
        .iter()
        .map(|a| rows.iter().filter(|b| near(a, b)).count() >= min_samples)
        .collect();
    let reached = |a: &[f32]| rows.iter().zip(&core).any(|(b, core)| *core && near(a, b));
    rows.iter().map(|a| !reached(a)).collect()
}

#[test]
fn a_row_scores_above_1_exactly_when_the_definition_calls_it_noise() {
    for (rows, d, eps, min_samples) in [
        (moons(600, 15), 2, 0.2, 8),
        (blobs(900, 2, 1), 2, 0.7, 10),
        (blobs(900, 7, 2), 7, 2.0, 5),
        (blobs(333, 40, 3), 40, 5.0, 3),
    ] {
        let model = fit(&rows, d, with(eps, min_samples));
        assert!(model.slack() <= 0.0);
        let expected = naive_noise(&rows, d, eps, min_samples);
        let found: Vec<bool> = scores(&model, &rows, d).iter().map(|s| *s > 1.0).collect();
        assert_eq!(found, expected, "{d} features");
        let noise = expected.iter().filter(|noise| **noise).count();
        assert_eq!(model.noise(), noise as u64);
        assert!(noise > 10 && noise < expected.len() / 2, "{noise} in {d}");
    }
}

#[test]
fn strays_beside_two_moons_are_noise_and_a_row_on_a_moon_is_none() {
    let rows = moons(800, 10);
    let model = fit(&rows, 2, DbscanParams::default());
    let found = scores(&model, &rows, 2);
    assert!(found[800..].iter().all(|score| *score > 1.0), "{found:?}");
    // The half circles' tips may be noise; the rest is not.
    let noise = found[..800].iter().filter(|score| **score > 1.0).count();
    assert!(noise < 40, "{noise} with eps {}", model.eps());
    // On one moon, on the other, and half way between them.
    let new = scores(&model, &[0.0, 1.0, 1.0, -0.5, 0.5, 0.25], 2);
    assert!(new[0] <= 1.0 && new[1] <= 1.0 && new[2] > 1.0, "{new:?}");
}

#[test]
fn the_distance_that_made_eps_is_within_it() {
    // Four rows in a line, one apart: with eps 1 and three samples the two in the middle are core and reach the others.
    let rows = [0.0, 1.0, 2.0, 3.0, 5.0];
    let model = fit(&rows, 1, with(1.0, 3));
    assert_eq!((model.core_rows(), model.noise()), (2, 1));
    let found = scores(&model, &rows, 1);
    assert!(found[..4].iter().all(|score| *score <= 1.0) && found[4] > 2.9);
    // A third of something is no round number: the border still holds to the bit.
    for step in [0.1_f32, 1.0 / 3.0, 0.7, 1e-3, 123.456] {
        let rows = [0.0, step, 2.0 * step];
        let model = fit(&rows[..2], 1, with(step, 2));
        assert_eq!(model.core_rows(), 2);
        assert!(
            scores(&model, &[0.0, step, -step], 1)
                .iter()
                .all(|s| *s <= 1.0)
        );
    }
}

#[test]
fn fewer_core_rows_raise_a_score_by_the_slack_at_most_and_never_lower_it() {
    let rows = blobs(1_000, 6, 4);
    let whole = fit(&rows, 6, with(1.8, 6));
    let new = blobs(500, 6, 4);
    let exact = scores(&whole, &new, 6);
    let mut slacks = vec![];
    for max_cores in [8, 64, 400] {
        let few = fit(
            &rows,
            6,
            DbscanParams {
                max_cores,
                ..with(1.8, 6)
            },
        );
        assert_eq!((few.kept(), few.noise()), (max_cores, whole.noise()));
        for (few_score, exact) in scores(&few, &new, 6).iter().zip(&exact) {
            assert!(*few_score >= *exact && *few_score <= exact + few.slack() * 1.000_01);
        }
        slacks.push(few.slack());
    }
    assert!(slacks[0] > slacks[1] && slacks[1] > slacks[2] && slacks[2] > 0.0);
}

#[test]
fn a_planted_feature_is_the_strongest_reason() {
    let rows = blobs(1_000, 9, 6);
    let model = fit(&rows, 9, DbscanParams::default());
    for feature in 0..9 {
        let mut row = rows[9..18].to_vec();
        row[feature] += 30.0;
        let mut shares = [0.0; 9];
        model.contributions(&row, &mut shares).unwrap();
        let most = (0..9).max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
        assert_eq!(most, Some(feature));
        let squared: f32 = shares.iter().sum();
        let score = scores(&model, &row, 9)[0];
        assert!((squared.sqrt() / model.eps() - score).abs() < 1e-4 * score);
    }
}

#[test]
fn the_knee_is_where_distances_begin_to_rise() {
    // 1,000 rows a tenth apart on a line, and 20 strays ten and more apart.
    #[expect(clippy::cast_precision_loss, reason = "test data")]
    let mut rows: Vec<f32> = (0..1_000).map(|i| i as f32 * 0.1).collect();
    #[expect(clippy::cast_precision_loss, reason = "test data")]
    rows.extend((0..20).map(|i| 1_000.0 + 10.0 * i as f32));
    let params = DbscanParams {
        min_samples: 4,
        ..DbscanParams::default()
    };
    let model = fit(&rows, 1, params);
    assert!((0.19..0.5).contains(&model.eps()), "{}", model.eps());
    assert_eq!(model.noise(), 20);
}

#[test]
fn copies_alone_are_core_and_anything_else_is_noise() {
    let model = fit(&[3.0; 200], 2, DbscanParams::default());
    assert_eq!(
        (model.kept(), model.core_rows(), model.noise()),
        (1, 100, 0)
    );
    let found = scores(&model, &[3.0, 3.0, 9.0, 3.0], 2);
    assert!(found[0] <= 0.0 && found[1] > 1.0);
}

#[test]
fn a_score_depends_neither_on_the_batch_nor_on_the_run() {
    let rows = blobs(700, 11, 7);
    let model = fit(&rows, 11, DbscanParams::default());
    assert_eq!(
        fit(&rows, 11, DbscanParams::default()).to_bytes(),
        model.to_bytes()
    );
    let together: Vec<u32> = scores(&model, &rows, 11)
        .iter()
        .map(|s| s.to_bits())
        .collect();
    let alone = rows
        .chunks(11)
        .map(|row| scores(&model, row, 11)[0].to_bits());
    assert_eq!(alone.collect::<Vec<_>>(), together);
}

#[test]
fn a_sample_that_cannot_be_fitted_is_refused_with_a_reason() {
    let check = |rows: &[f32], d, params: DbscanParams| {
        DbscanModel::fit(rows, d, &params.check().unwrap()).unwrap_err()
    };
    let sparse = check(&[0.0, 10.0, 20.0], 1, with(1.0, 2));
    assert!(sparse.to_string().contains("raise eps"), "{sparse}");
    assert!(matches!(
        check(&[], 1, with(1.0, 1)),
        LearnerError::Fit { .. }
    ));
    let nan = check(&[0.0, f32::NAN], 1, with(1.0, 1));
    assert!(nan.to_string().contains("not finite"));
    for eps in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(with(eps, 1).check().is_err());
    }
    assert!(with(1.0, 0).check().is_err());
    let none = DbscanParams {
        max_cores: 0,
        ..with(1.0, 1)
    };
    assert!(none.check().is_err());
}

#[test]
fn a_model_comes_back_from_its_bytes_and_a_damaged_one_does_not() {
    let rows = blobs(200, 3, 8);
    let model = fit(&rows, 3, DbscanParams::default());
    let bytes = model.to_bytes();
    assert_eq!(DbscanModel::from_bytes(&bytes).unwrap(), model);
    for byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 16;
        assert!(DbscanModel::from_bytes(&damaged).is_err(), "byte {byte}");
    }
    let foreign = wire::Dbscan {
        d: 1,
        cores: vec![1.0],
        eps: 0.0,
        min_samples: 1,
        rows: 1,
        core_rows: 1,
        noise: 0,
        slack: 0.0,
    };
    assert!(DbscanModel::from_bytes(&seal(KIND, VERSION, &foreign)).is_err());
}

/// `cargo test --workspace --lib dbscan_of_65 -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of some seconds"]
fn dbscan_of_65536_rows_of_60_features() {
    use std::io::Write;
    let rows = blobs(65_536, 60, 9);
    let started = std::time::Instant::now();
    let model = fit(&rows, 60, DbscanParams::default());
    let fitted = started.elapsed().as_secs_f64();
    let started = std::time::Instant::now();
    let found = scores(&model, &rows, 60);
    let micros = started.elapsed().as_secs_f64() * 1e6 / 65_536.0;
    writeln!(
        std::io::stdout(),
        "fit {fitted:.2} s, eps {}, {} core, {} kept, slack {}, noise {} of {}; {micros:.2} µs a row",
        model.eps(),
        model.core_rows(),
        model.kept(),
        model.slack(),
        model.noise(),
        found.len(),
    )
    .unwrap();
    assert!(model.noise() >= 3_000);
}
