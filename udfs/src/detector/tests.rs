use super::*;
use crate::rng::{SplitMix64, mix};

const FEATURES: usize = 24;

/// Rows as features of lines are: correlated counts with long tails, rare flags, a constant, a copy, huge and tiny
/// scales, some missing.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
fn ordinary(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = SplitMix64::new(seed);
    let mut rows = Vec::with_capacity(count * FEATURES);
    for _ in 0..count {
        let (length, words) = (rng.next_normal(), rng.next_normal());
        let mut row: Vec<f32> = (0..FEATURES)
            .map(|feature| {
                let noise = rng.next_normal();
                let value = match feature {
                    0..4 => (1.0 + 0.4 * length + 0.2 * noise).exp(),
                    4..8 => words + 0.4 * noise,
                    8..12 => f64::from(u8::from(rng.next_f64() < 0.05)),
                    12..16 => length - words + 0.5 * noise,
                    16 => 7.0,
                    17 => 1e6 * (words + 0.5 * noise),
                    18 => 1e-6 * (length + 0.5 * noise),
                    _ => noise,
                };
                value as f32
            })
            .collect();
        row[19] = row[4];
        if rng.below(200) == 0 {
            row[20] = f32::NAN;
        }
        rows.extend(row);
    }
    rows
}

/// Each feature that a plant may change, and how far its ordinary values reach: mean and deviation.
fn moments(rows: &[f32]) -> Vec<(usize, f32, f32)> {
    let planted = (0..FEATURES).filter(|feature| ![4, 16, 19].contains(feature));
    planted
        .map(|feature| {
            let values: Vec<f64> = rows
                .iter()
                .skip(feature)
                .step_by(FEATURES)
                .filter(|value| value.is_finite())
                .map(|value| f64::from(*value))
                .collect();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "test data"
            )]
            let (mean, deviation) = {
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                (mean as f32, square.sqrt() as f32)
            };
            (feature, mean, deviation)
        })
        .collect()
}

/// A thousand ordinary rows of which one feature each is moved up by eight deviations. All count for forest and k-means;
/// PCA cannot see a feature that is a component of its own, so those count there that it chooses at a quota of 1%
/// because of the plant: the row as it was is not chosen.
#[test]
fn the_planted_feature_is_among_the_first_three_reasons_of_95_in_100_plants() {
    let rows = ordinary(8000, 1);
    let keys: Vec<u64> = (0..8000).map(mix).collect();
    let detectors = fit(&keys, &rows, FEATURES, &FitParams::default()).unwrap();
    let hosts = ordinary(1000, 2);
    let plants = moments(&rows);
    for (kind, detector) in Kind::ALL.into_iter().zip(&detectors) {
        let mut scores = vec![0.0; 8000];
        detector.score(&rows, FEATURES, &mut scores).unwrap();
        scores.sort_by(f32::total_cmp);
        let border = scores[7920];
        let (mut hits, mut chosen) = (0, 0);
        for (number, host) in hosts.chunks_exact(FEATURES).enumerate() {
            let (feature, mean, deviation) = plants[number % plants.len()];
            let mut row = host.to_vec();
            row[feature] = mean + 8.0 * deviation;
            let mut score = [0.0; 2];
            let both = [host, row.as_slice()].concat();
            detector.score(&both, FEATURES, &mut score).unwrap();
            if kind == Kind::Pca && (score[0] >= border || score[1] < border) {
                continue;
            }
            chosen += 1;
            let reasons = detector.explain(&row, 3).unwrap();
            hits += usize::from(reasons.iter().any(|(named, _)| *named == feature));
        }
        assert!(chosen >= 200, "{kind:?}: {chosen} chosen");
        assert!(hits * 100 >= chosen * 95, "{kind:?}: {hits} of {chosen}");
    }
}

#[test]
fn reasons_are_the_largest_shares_in_order_and_never_more_than_asked() {
    let rows = ordinary(2000, 3);
    let keys: Vec<u64> = (0..2000).map(mix).collect();
    let detectors = fit(&keys, &rows, FEATURES, &FitParams::default()).unwrap();
    for detector in &detectors {
        for row in rows.chunks_exact(FEATURES).take(50) {
            let all = detector.explain(row, FEATURES).unwrap();
            assert!(
                all.is_sorted_by(|a, b| a.1 >= b.1) && all.iter().all(|(_, share)| *share > 0.0)
            );
            assert_eq!(detector.explain(row, 2).unwrap(), all[..2.min(all.len())]);
        }
    }
}

/// All six, in seconds: fewer passes of the autoencoder.
fn every(keys: &[u64], rows: &[f32], d: usize) -> Vec<Detector> {
    let params = FitParams {
        autoencoder: AutoencoderParams {
            epochs: 20,
            ..AutoencoderParams::default()
        },
        ..FitParams::default()
    };
    fit_kinds(&Kind::EVERY, keys, rows, d, &params).unwrap()
}

#[test]
fn the_three_of_command_lines_are_the_first_of_all_six() {
    let rows = ordinary(500, 8);
    let keys: Vec<u64> = (0..500).map(mix).collect();
    let three = fit(&keys, &rows, FEATURES, &FitParams::default()).unwrap();
    let six = every(&keys, &rows, FEATURES);
    assert_eq!(six[..3], three);
    let names: Vec<&str> = six.iter().map(|detector| detector.kind().name()).collect();
    assert_eq!(names, Kind::EVERY.map(Kind::name));
}

#[test]
fn each_of_the_six_comes_back_from_its_bytes_as_its_own_kind_alone() {
    let rows = ordinary(300, 9);
    let keys: Vec<u64> = (0..300).map(mix).collect();
    for detector in every(&keys, &rows, FEATURES) {
        let bytes = detector.to_bytes();
        for kind in Kind::EVERY {
            let read = Detector::from_bytes(kind, &bytes);
            assert_eq!(read.is_ok(), kind == detector.kind(), "{kind:?}");
        }
        assert_eq!(
            Detector::from_bytes(detector.kind(), &bytes).unwrap(),
            detector
        );
    }
}

/// All features of a row at eight deviations at once.
#[test]
fn a_row_far_out_in_every_feature_outranks_99_in_100_ordinary_rows_of_each_detector() {
    let rows = ordinary(3000, 10);
    let keys: Vec<u64> = (0..3000).map(mix).collect();
    let mut far = rows[..FEATURES].to_vec();
    for (number, (feature, mean, deviation)) in moments(&rows).into_iter().enumerate() {
        let side = if number % 2 == 0 { 8.0 } else { -8.0 };
        far[feature] = mean + side * deviation;
    }
    for detector in every(&keys, &rows, FEATURES) {
        let mut scores = vec![0.0; 3001];
        let all = [rows.as_slice(), far.as_slice()].concat();
        detector.score(&all, FEATURES, &mut scores).unwrap();
        let below = scores.iter().filter(|score| **score < scores[3000]).count();
        assert!(below >= 2970, "{:?}: above {below}", detector.kind());
    }
}

#[test]
fn missing_and_infinite_values_score_as_the_training_median() {
    let rows = ordinary(3000, 4);
    let keys: Vec<u64> = (0..3000).map(mix).collect();
    let detectors = every(&keys, &rows, FEATURES);
    let median = detectors[0].scaler.median()[20];
    assert!(detectors[0].scaler.imputed()[20] > 0, "counted");
    for detector in &detectors {
        let mut four = rows[..4 * FEATURES].to_vec();
        for (row, value) in four.chunks_exact_mut(FEATURES).zip([
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            median,
        ]) {
            row.copy_from_slice(&rows[..FEATURES]);
            row[20] = value;
        }
        let mut scores = [0.0; 4];
        detector.score(&four, FEATURES, &mut scores).unwrap();
        assert!(scores[0].is_finite());
        assert!(
            scores
                .iter()
                .all(|score| score.to_bits() == scores[3].to_bits())
        );
    }
}

#[test]
fn constant_features_alone_neither_divide_by_zero_nor_fail() {
    let keys: Vec<u64> = (0..100).map(mix).collect();
    let detectors = every(&keys, &[3.0; 200], 2);
    for detector in &detectors {
        let mut scores = [f32::NAN; 2];
        detector
            .score(&[3.0, 3.0, 9.0, f32::NAN], 2, &mut scores)
            .unwrap();
        assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
    }
}

#[test]
fn a_day_of_one_or_two_lines_has_every_detector() {
    for count in [1, 2, 3] {
        let rows = ordinary(count, 11);
        let keys: Vec<u64> = (0..count as u64).collect();
        for detector in every(&keys, &rows, FEATURES) {
            let mut scores = vec![f32::NAN; count];
            detector.score(&rows, FEATURES, &mut scores).unwrap();
            assert!(scores.iter().all(|score| score.is_finite()), "{scores:?}");
        }
    }
}

/// `cargo test --workspace --lib every_detector_of_a_day_s_sample -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of some seconds"]
#[expect(clippy::cast_precision_loss, reason = "some thousand rows")]
fn every_detector_of_a_day_s_sample() {
    use std::io::Write;
    use std::time::Instant;

    // As wide as requests: copies of the made rows side by side.
    let (count, wide) = (65_536, crate::api::N_API_FEATURES);
    let parts: Vec<Vec<f32>> = (0..3).map(|seed| ordinary(count, seed)).collect();
    let row = |row: usize| {
        let parts = parts.iter();
        let of = parts.flat_map(move |part| &part[row * FEATURES..(row + 1) * FEATURES]);
        of.copied().take(wide)
    };
    let rows: Vec<f32> = (0..count).flat_map(row).collect();
    let keys: Vec<u64> = (0..count as u64).map(mix).collect();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|i| keys[*i]);
    let keys: Vec<u64> = order.iter().map(|i| keys[*i]).collect();
    let some = &rows[..16_384 * wide];
    for kind in Kind::EVERY {
        let started = Instant::now();
        let detectors = fit_kinds(&[kind], &keys, &rows, wide, &FitParams::default()).unwrap();
        let fit = started.elapsed().as_secs_f64();
        let mut scores = vec![0.0; 16_384];
        let started = Instant::now();
        detectors[0].score(some, wide, &mut scores).unwrap();
        let micros = started.elapsed().as_secs_f64() * 1e6 / 16_384.0;
        let bytes = detectors[0].to_bytes().len();
        let name = kind.name();
        writeln!(
            std::io::stdout(),
            "{name}: fit {fit:.2} s, {:.1} µs a row of the sample; score {micros:.2} µs a row; {bytes} bytes",
            fit * 1e6 / count as f64
        )
        .unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
    }
}
