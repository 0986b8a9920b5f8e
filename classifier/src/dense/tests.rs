use gleaner_udfs::autoencoder::AutoencoderParams;
use gleaner_udfs::metrics::auroc;
use gleaner_udfs::rng::SplitMix64;

use super::*;

const D: usize = 6;

/// Positive inside of a ring of the first two features, which no straight line tells; the third copies the first, the rest is noise.
fn ring(count: usize, seed: u64) -> (Vec<f32>, Vec<bool>) {
    let mut rng = SplitMix64::new(seed);
    let (mut rows, mut positive) = (vec![], vec![]);
    for i in 0..count {
        let inside = i % 3 == 0;
        let radius = if inside { 1.0 } else { 2.5 } + 0.3 * rng.next_normal();
        let angle = std::f64::consts::TAU * rng.next_f64();
        let (x, y) = (radius * angle.cos(), radius * angle.sin());
        for value in [
            x,
            y,
            x + 0.1 * rng.next_normal(),
            rng.next_normal(),
            rng.next_normal(),
            4.0,
        ] {
            rows.push(value as f32);
        }
        positive.push(inside);
    }
    (rows, positive)
}

fn labels<'a>(rows: &'a [f32], positive: &'a [bool]) -> Labels<'a> {
    Labels {
        rows,
        d: D,
        positive,
    }
}

/// All three, fitted on the same labelled rows.
fn all(rows: &[f32], positive: &[bool]) -> [Dense; 3] {
    let labels = labels(rows, positive);
    let params = TunedParams {
        autoencoder: AutoencoderParams {
            code: Some(4),
            ..AutoencoderParams::default()
        },
        steps: 1_500,
        learning_rate: 5e-3,
        ..TunedParams::default()
    };
    [
        Dense::Forest(RandomForest::fit(&labels, &ForestParams::default()).unwrap()),
        Dense::Svm(Svm::fit(&labels, &SvmParams::default()).unwrap()),
        Dense::Tuned(Tuned::fit(rows, &labels, &params).unwrap()),
    ]
}

fn scores(model: &Dense, rows: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows.len() / D];
    model.score(rows, D, &mut out).unwrap();
    out
}

#[test]
fn what_no_line_tells_apart_each_of_them_does_and_its_probabilities_are_honest() {
    let (rows, positive) = ring(900, 1);
    let (new, truth) = ring(900, 2);
    for model in all(&rows, &positive) {
        let found = scores(&model, &new);
        let area = auroc(&found, &truth).unwrap();
        assert!(area > 0.96, "{}: {area}", model.name());
        assert!(found.iter().all(|p| (0.0..=1.0).contains(p)));
        // Of rows said to be positive with 80% and more, most are.
        let sure = found.iter().zip(&truth).filter(|(p, _)| **p > 0.8);
        let (hits, all) = sure.fold((0, 0), |(hits, all), (_, t)| {
            (hits + u32::from(*t), all + 1)
        });
        assert!(
            all > 100 && hits * 100 > all * 85,
            "{}: {hits} of {all}",
            model.name()
        );
    }
}

#[test]
fn the_same_rows_give_the_same_bytes_and_a_row_the_same_probability_in_any_batch() {
    let (rows, positive) = ring(300, 3);
    let twice = [all(&rows, &positive), all(&rows, &positive)];
    for (model, again) in twice[0].iter().zip(&twice[1]) {
        assert_eq!(model.to_bytes(), again.to_bytes());
        let together: Vec<u32> = scores(model, &rows).iter().map(|p| p.to_bits()).collect();
        let alone = rows.chunks(D).map(|row| scores(model, row)[0].to_bits());
        assert_eq!(alone.collect::<Vec<_>>(), together, "{}", model.name());
    }
}

#[test]
fn a_classifier_comes_back_from_its_bytes_and_a_damaged_one_does_not() {
    let (rows, positive) = ring(120, 4);
    for model in all(&rows, &positive) {
        let bytes = model.to_bytes();
        assert_eq!(Dense::from_bytes(&bytes).unwrap(), model);
        for byte in (0..bytes.len()).step_by(29) {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 4;
            assert!(
                Dense::from_bytes(&damaged).is_err(),
                "{} {byte}",
                model.name()
            );
        }
    }
    assert!(Dense::from_bytes(&[]).is_err());
}

#[test]
fn missing_values_are_scored_and_tell_something_where_they_do() {
    // The class is whether the first feature is missing.
    let (mut rows, _) = ring(600, 5);
    let positive: Vec<bool> = (0..600).map(|i| i % 2 == 0).collect();
    for (row, positive) in rows.chunks_mut(D).zip(&positive) {
        if *positive {
            row[0] = f32::NAN;
        }
    }
    let forest = RandomForest::fit(&labels(&rows, &positive), &ForestParams::default()).unwrap();
    let found = scores(&Dense::Forest(forest), &rows);
    assert!(auroc(&found, &positive).unwrap() > 0.999);
    for model in all(&rows, &positive) {
        assert!(scores(&model, &rows).iter().all(|p| p.is_finite()));
    }
}

#[test]
fn a_forests_reasons_add_up_to_what_moved_the_probability() {
    let (rows, positive) = ring(600, 6);
    let forest = RandomForest::fit(&labels(&rows, &positive), &ForestParams::default()).unwrap();
    let roots = forest.trees.iter().map(|tree| f64::from(tree[0].value));
    let base = roots.sum::<f64>() / forest.trees.len() as f64;
    let model = Dense::Forest(forest.clone());
    let mut useful = 0;
    for row in rows.chunks(D).take(60) {
        let mut shares = [0.0; D];
        forest.contributions(row, &mut shares).unwrap();
        let sum: f64 = shares.iter().map(|share| f64::from(*share)).sum();
        assert!((base + sum - f64::from(scores(&model, row)[0])).abs() < 1e-5);
        let strongest = (0..D).max_by(|a, b| shares[*a].abs().total_cmp(&shares[*b].abs()));
        useful += usize::from(strongest.is_some_and(|feature| feature < 3));
    }
    assert!(useful > 55, "{useful} of 60");
}

#[test]
fn a_support_vector_machine_takes_rows_of_both_classes_where_it_cannot_take_all() {
    let (rows, positive) = ring(900, 7);
    // The rare class last: the first 100 rows have none of it.
    let mut order: Vec<usize> = (0..900).collect();
    order.sort_by_key(|row| positive[*row]);
    let sorted: Vec<f32> = order
        .iter()
        .flat_map(|r| rows[r * D..(r + 1) * D].to_vec())
        .collect();
    let classes: Vec<bool> = order.iter().map(|row| positive[*row]).collect();
    let params = SvmParams {
        max_rows: 100,
        ..SvmParams::default()
    };
    let model = Svm::fit(&labels(&sorted, &classes), &params).unwrap();
    assert!(model.support_vectors() <= 100);
    let found = scores(&Dense::Svm(model), &rows);
    assert!(auroc(&found, &positive).unwrap() > 0.9);
}

#[test]
fn what_was_learned_of_all_traffic_helps_where_labels_are_few() {
    // Traffic is two heaps in 6 features; twelve rows of it have labels.
    let mut rng = SplitMix64::new(8);
    let centres: Vec<f64> = (0..2 * D).map(|_| rng.next_normal()).collect();
    let mut heap = |count: usize| -> (Vec<f32>, Vec<bool>) {
        let classes: Vec<bool> = (0..count).map(|i| i % 2 == 0).collect();
        let rows = classes.iter().flat_map(|class| {
            let from = usize::from(*class) * D;
            let row = centres[from..from + D].iter();
            row.map(|c| (2.0 * c + rng.next_normal()) as f32)
                .collect::<Vec<f32>>()
        });
        (rows.collect(), classes)
    };
    let (traffic, _) = heap(2_000);
    let (few, classes) = heap(12);
    let (new, truth) = heap(1_000);
    let model = Tuned::fit(&traffic, &labels(&few, &classes), &TunedParams::default()).unwrap();
    let area = auroc(&scores(&Dense::Tuned(model), &new), &truth).unwrap();
    assert!(area > 0.95, "{area}");
}

#[test]
fn what_cannot_be_fitted_or_scored_is_refused() {
    let (rows, positive) = ring(30, 9);
    let one_class = labels(&rows, &[true; 30]);
    assert!(matches!(
        one_class.check(),
        Err(ClassifierError::TooFew { benign: 0, .. })
    ));
    assert!(RandomForest::fit(&one_class, &ForestParams::default()).is_err());
    assert!(Svm::fit(&labels(&rows[1..], &positive), &SvmParams::default()).is_err());
    for c in [0.0, f64::NAN] {
        let params = SvmParams {
            c,
            ..SvmParams::default()
        };
        assert!(Svm::fit(&labels(&rows, &positive), &params).is_err());
    }
    let none = ForestParams {
        trees: 0,
        ..ForestParams::default()
    };
    assert!(RandomForest::fit(&labels(&rows, &positive), &none).is_err());
    for model in all(&rows, &positive) {
        assert!(model.score(&rows, D + 1, &mut [0.0; 30]).is_err());
        assert!(model.score(&rows, D, &mut [0.0; 29]).is_err());
    }
}
