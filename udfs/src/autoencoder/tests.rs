use super::train::{Schedule, Targets, sigmoid, train};
use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

/// Rows on a bent surface of two dimensions in `d` features, with a little noise.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
fn surface(count: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut rng = SplitMix64::new(seed);
    let mut rows = vec![];
    for _ in 0..count {
        let (u, v) = (rng.next_normal(), rng.next_normal());
        for j in 0..d {
            let value = match j % 4 {
                0 => u,
                1 => v,
                2 => u.abs() - 0.8,
                _ => 0.7 * (u + v),
            };
            rows.push((value + 0.05 * rng.next_normal()) as f32);
        }
    }
    rows
}

fn fit(rows: &[f32], d: usize, params: AutoencoderParams) -> AutoencoderModel {
    AutoencoderModel::fit(rows, d, &params.check().unwrap()).unwrap()
}

fn scores(model: &AutoencoderModel, rows: &[f32], d: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows.len() / d];
    model.score(rows, d, &mut out).unwrap();
    out
}

fn few_epochs() -> AutoencoderParams {
    AutoencoderParams {
        epochs: 5,
        ..AutoencoderParams::default()
    }
}

#[test]
fn rows_on_the_surface_are_rebuilt_and_rows_off_it_are_not() {
    let model = fit(&surface(4_000, 8, 1), 8, AutoencoderParams::default());
    // The variance of a feature is about 1, that of the noise 0.0025.
    assert!(model.held_out() < 0.05, "{}", model.held_out());
    assert_eq!(
        (model.code_width(), model.parameters()),
        (2, 8 * 8 + 8 + 18 + 24 + 72)
    );
    let ordinary = surface(1_000, 8, 2);
    let mut mixed = ordinary.clone();
    // As wide as ordinary rows in every feature by itself.
    for row in mixed.chunks_exact_mut(8) {
        row[2] = -row[2];
        row[5] = -row[5];
    }
    let mut found = scores(&model, &ordinary, 8);
    found.sort_by(f32::total_cmp);
    let border = found[950];
    let caught = scores(&model, &mixed, 8)
        .iter()
        .filter(|s| **s > border)
        .count();
    assert!(caught > 900, "{caught} of 1000 above {border}");
}

#[test]
fn a_bent_surface_is_rebuilt_better_than_by_as_many_principal_components() {
    use crate::pca::{Components, Moments, PcaModel, PcaParams};
    let rows = surface(4_000, 8, 3);
    let model = fit(&rows, 8, AutoencoderParams::default());
    let mut moments = Moments::new(8).unwrap();
    moments.add(&rows, 8).unwrap();
    let params = PcaParams {
        n_components: Components::Count(2),
    };
    let pca = PcaModel::fit(&moments, &params.check().unwrap()).unwrap();
    let new = surface(1_000, 8, 4);
    let mut plane = vec![0.0; 1_000];
    pca.score(&new, 8, &mut plane).unwrap();
    let ours: f32 = scores(&model, &new, 8).iter().sum();
    let theirs: f32 = plane.iter().map(|sum| sum / 8.0).sum();
    assert!(ours < theirs / 2.0, "{ours} {theirs}");
}

#[test]
fn a_planted_feature_is_among_the_strongest_reasons_and_errors_average_to_the_score() {
    let rows = surface(3_000, 12, 5);
    let model = fit(&rows, 12, AutoencoderParams::default());
    let (mut first, mut third, mut planted) = (0, 0, 0);
    for host in surface(50, 12, 50).chunks(12) {
        for feature in 0..12 {
            let mut row = host.to_vec();
            row[feature] += 5.0;
            let mut errors = [0.0; 12];
            model.errors(&row, &mut errors).unwrap();
            let score = scores(&model, &row, 12)[0];
            assert!((errors.iter().sum::<f32>() / 12.0 - score).abs() < 1e-4 * score);
            let above = errors
                .iter()
                .filter(|error| **error > errors[feature])
                .count();
            first += usize::from(above == 0);
            third += usize::from(above < 3);
            planted += 1;
        }
    }
    assert!(
        first * 100 >= planted * 80 && third * 100 >= planted * 90,
        "{first} {third} of {planted}"
    );
}

#[test]
fn the_same_rows_train_the_same_bytes_whatever_threads_there_are() {
    let rows = surface(1_000, 6, 6);
    let alone = fit(&rows, 6, few_epochs()).to_bytes();
    let beside: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| fit(&rows, 6, few_epochs()).to_bytes()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(beside.iter().all(|bytes| *bytes == alone));
    let other = AutoencoderParams {
        seed: 2,
        ..few_epochs()
    };
    assert_ne!(fit(&rows, 6, other).to_bytes(), alone);
}

/// Frozen: whatever compiles or runs this, on which processor, trains these weights.
#[test]
fn the_trained_weights_are_the_same_on_every_machine() {
    let mut rows = vec![];
    let mut draws = SplitMix64::new(9);
    for _ in 0..200 * 3 {
        #[expect(clippy::cast_possible_truncation, reason = "test data")]
        rows.push((2.0 * draws.next_f64() - 1.0) as f32);
    }
    let bytes = fit(&rows, 3, few_epochs()).to_bytes();
    let digest = blake3::hash(&bytes).to_hex();
    assert_eq!(&digest[..16], "ee0d1060cf8d73b8");
}

#[test]
fn training_stops_when_the_held_out_rows_get_no_better() {
    // Noise alone: there is nothing to learn, and every pass learns some of it by heart.
    let mut rng = SplitMix64::new(7);
    #[expect(clippy::cast_possible_truncation, reason = "test data")]
    let rows: Vec<f32> = (0..200 * 16).map(|_| rng.next_normal() as f32).collect();
    let params = AutoencoderParams {
        epochs: 2_000,
        learning_rate: 1e-2,
        hidden: Some(64),
        code: Some(2),
        ..AutoencoderParams::default()
    };
    let model = fit(&rows, 16, params);
    assert!(model.epochs() < 500, "{}", model.epochs());
    assert!(model.held_out() > 0.5);
}

#[test]
fn codes_tell_the_surfaces_coordinates_and_score_like_the_encoder() {
    let rows = surface(2_000, 8, 8);
    let model = fit(&rows, 8, AutoencoderParams::default());
    let mut codes = vec![f32::NAN; 2_000 * 2];
    model.codes(&rows, 8, &mut codes).unwrap();
    assert!(codes.iter().all(|code| code.is_finite()));
    for row in [0, 31, 32, 1_999] {
        let mut alone = [0.0; 2];
        model.codes(&rows[row * 8..][..8], 8, &mut alone).unwrap();
        let bits = |code: &[f32]| code.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&alone), bits(&codes[row * 2..][..2]));
    }
    assert!(model.codes(&rows, 8, &mut [0.0; 7]).is_err());
    assert_eq!(model.encoder().len(), 2);
}

#[test]
fn a_score_does_not_depend_on_the_batch() {
    let rows = surface(300, 7, 9);
    let model = fit(&rows, 7, few_epochs());
    let together: Vec<u32> = scores(&model, &rows, 7)
        .iter()
        .map(|s| s.to_bits())
        .collect();
    let alone = rows
        .chunks(7)
        .map(|row| scores(&model, row, 7)[0].to_bits());
    assert_eq!(alone.collect::<Vec<_>>(), together);
}

#[test]
fn classes_are_learned_by_the_same_training() {
    let rows = surface(1_000, 4, 10);
    // The first feature is u: what is asked is bent.
    let positive: Vec<bool> = rows.chunks(4).map(|row| row[0].abs() > 1.0).collect();
    let schedule = Schedule {
        learning_rate: 1e-2,
        weight_decay: 0.0,
        epochs: 60,
        patience: 0,
        seed: 1,
    };
    let targets = Targets::Classes {
        positive: &positive,
        weights: &[1.0; 1_000],
    };
    let network = network::Network::new(&[4, 8, 1], 0, 1).unwrap();
    let trained = train(network, &rows, &targets, &schedule);
    assert_eq!(trained.epochs, 60);
    // Knowing nothing costs 0.6.
    assert!(trained.loss < 0.15, "{}", trained.loss);
    assert!((sigmoid(0.0) - 0.5).abs() < 1e-7 && sigmoid(50.0) > 0.999 && sigmoid(-50.0) < 1e-20);
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let params = AutoencoderParams::default().check().unwrap();
    let error = AutoencoderModel::fit(&[1.0, 2.0], 2, &params).unwrap_err();
    assert!(matches!(error, LearnerError::Fit { .. }));
    let error = AutoencoderModel::fit(&[1.0, f32::NAN], 1, &params).unwrap_err();
    assert!(error.to_string().contains("not finite"));
    let error = AutoencoderModel::fit(&[1e30, -1e30, 1e38, 3.0], 2, &params).unwrap_err();
    assert!(error.to_string().contains("clip"), "{error}");
    let of = |change: fn(&mut AutoencoderParams)| {
        let mut params = AutoencoderParams::default();
        change(&mut params);
        params.check().is_err()
    };
    assert!(of(|p| p.hidden = Some(0)) && of(|p| p.code = Some(2_000)));
    assert!(of(|p| p.learning_rate = f32::NAN) && of(|p| p.weight_decay = -1.0));
    assert!(of(|p| p.epochs = 0) && of(|p| p.patience = 0) && of(|p| p.max_rows = 9));
}

#[test]
fn a_model_comes_back_from_its_bytes_and_a_damaged_one_does_not() {
    let model = fit(&surface(100, 4, 11), 4, few_epochs());
    let bytes = model.to_bytes();
    assert_eq!(AutoencoderModel::from_bytes(&bytes).unwrap(), model);
    for byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 2;
        assert!(
            AutoencoderModel::from_bytes(&damaged).is_err(),
            "byte {byte}"
        );
    }
    let message = |widths: Vec<u32>, code, weights| wire::Autoencoder {
        widths,
        code,
        weights: vec![0.5; weights],
        biases: vec![0.0; 3],
        rows: 1,
        epochs: 1,
        held_out: 0.1,
    };
    let sealed = |message| AutoencoderModel::from_bytes(&seal(KIND, VERSION, &message));
    assert!(sealed(message(vec![2, 1, 2], 1, 4)).is_ok());
    assert!(sealed(message(vec![2, 1, 2], 0, 4)).is_err());
    assert!(sealed(message(vec![2, 1, 2], 2, 4)).is_err());
    assert!(sealed(message(vec![2, 1, 2], 1, 5)).is_err());
    assert!(sealed(message(vec![2, 1, 3], 1, 5)).is_err());
    assert!(sealed(message(vec![u32::MAX, u32::MAX, u32::MAX], 1, 4)).is_err());
}

/// `cargo test --workspace --lib autoencoder_of -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of some seconds"]
fn autoencoder_of_16384_rows_of_60_features() {
    use std::io::Write;
    let rows = surface(16_384, 60, 12);
    let started = std::time::Instant::now();
    let model = fit(&rows, 60, AutoencoderParams::default());
    let fitted = started.elapsed().as_secs_f64();
    let started = std::time::Instant::now();
    let found = scores(&model, &rows, 60);
    let micros = started.elapsed().as_secs_f64() * 1e6 / 16_384.0;
    writeln!(
        std::io::stdout(),
        "{} weights, fit {fitted:.2} s, {} passes, held-out error {:.5}; {micros:.3} µs a row",
        model.parameters(),
        model.epochs(),
        model.held_out(),
    )
    .unwrap();
    assert!(found.iter().all(|score| score.is_finite()));
}
