use super::tests::{data, fit, params, score};
use super::*;
use crate::learner::{LearnerError, open, seal};
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

fn inserted(n_trees: usize) -> IsolationForestParams {
    IsolationForestParams {
        insertion: true,
        ..params(n_trees, 0)
    }
}

/// Six rows of three features, of which the last does not vary, and the second has two values.
const FEW: [f32; 18] = [
    0.0, 1.0, 5.0, 1.0, 1.0, 5.0, 2.5, 1.0, 5.0, 3.0, 2.0, 5.0, 4.0, 2.0, 5.0, 8.0, 2.0, 5.0,
];

/// The depth of `x` in a tree grown on rows and it, drawn once: the definition, with the conventions of scoring (a row beside one other
/// is where that is; one that ends among m rows is `c(m)` below).
fn depth_with(
    rows: &[&[f32]],
    x: &[f32],
    depth: usize,
    max_depth: usize,
    rng: &mut SplitMix64,
) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few levels")]
    let here = depth as f64;
    let ends = here + average_path_lengths(rows.len())[rows.len()];
    if rows.len() < 2 || depth == max_depth {
        return ends;
    }
    let range = |feature: usize| {
        let values = rows.iter().map(|row| row[feature]).chain([x[feature]]);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        })
    };
    let varying: Vec<usize> = (0..x.len()).filter(|f| range(*f).0 < range(*f).1).collect();
    if varying.is_empty() {
        return ends;
    }
    let feature = varying[rng.below(varying.len())];
    let (low, high) = range(feature);
    #[expect(clippy::cast_possible_truncation, reason = "test data")]
    let cut = (f64::from(low) + rng.next_f64() * f64::from(high - low)) as f32;
    let side = x[feature] < cut;
    let beside: Vec<&[f32]> = rows
        .iter()
        .filter(|row| (row[feature] < cut) == side)
        .copied()
        .collect();
    if beside.is_empty() {
        return here + 1.0;
    }
    depth_with(&beside, x, depth + 1, max_depth, rng)
}

#[test]
fn the_depth_is_that_of_trees_grown_with_the_row() {
    let keys = [0, 1, 2, 3, 4, 5];
    let model = fit(&keys, &FEW, 3, inserted(10_000));
    let rows: Vec<&[f32]> = FEW.chunks(3).collect();
    let c = average_path_lengths(6)[6];
    let mut rng = SplitMix64::new(3);
    for x in [
        [2.0, 1.0, 5.0],
        [12.0, 1.0, 5.0],
        [-3.0, 3.0, 5.0],
        [2.0, 1.0, 6.0],
        [2.0, 1.5, 5.0],
        [30.0, -9.0, 0.0],
    ] {
        let drawn: f64 = (0..10_000)
            .map(|_| depth_with(&rows, &x, 0, 3, &mut rng))
            .sum();
        let depth = -f64::from(score(&model, &x)[0]).log2() * c;
        // Five standard errors of either mean.
        assert!(
            (depth - drawn / 10_000.0).abs() < 0.06,
            "{x:?}: {depth} {}",
            drawn / 10_000.0
        );
    }
}

#[test]
fn rows_of_every_sample_score_as_in_the_plain_forest() {
    let (keys, rows) = data(200, 5);
    let plain = fit(&keys, &rows, 5, params(30, 0));
    let model = fit(&keys, &rows, 5, inserted(30));
    assert!(model.insertion() && !plain.insertion());
    assert_eq!(score(&model, &rows), score(&plain, &rows));
    // The trees are the same, so a plain forest's bytes are what they always were.
    let bare = |model: &IForestModel| {
        let message: wire::IsolationForest = open(KIND, VERSION, &model.to_bytes()).unwrap();
        wire::IsolationForest {
            draws: vec![],
            draw_feature: vec![],
            draw_value: vec![],
            low: vec![],
            high: vec![],
            ..message
        }
    };
    assert_eq!(bare(&model), bare(&plain));
    assert_eq!(seal(KIND, VERSION, &bare(&model)), plain.to_bytes());
}

#[test]
fn what_no_row_held_is_found_only_with_insertion() {
    let (keys, mut rows) = data(500, 6);
    rows.chunks_mut(6).for_each(|row| row[5] = 0.0);
    let mut odd = rows[..6].to_vec();
    odd[5] = 1.0;
    let mut far = rows[..6].to_vec();
    far[1] = 40.0;
    let plain = fit(&keys, &rows, 6, params(100, 0));
    assert_eq!(score(&plain, &odd), score(&plain, &rows[..6]));
    let model = fit(&keys, &rows, 6, inserted(100));
    let of_rows = score(&model, &rows[..400 * 6]);
    let above = |x: &[f32]| {
        of_rows
            .iter()
            .filter(|s| **s >= score(&model, x)[0])
            .count()
    };
    assert!(
        above(&odd) < 20 && above(&far) < 20,
        "{} {}",
        above(&odd),
        above(&far)
    );
    let mut out = [0.0; 6];
    model.explain(&odd, &mut out).unwrap();
    assert!(out[..5].iter().all(|other| out[5] > *other), "{out:?}");
}

#[test]
fn the_contributions_of_an_inserted_row_add_up() {
    let (keys, rows) = data(600, 6);
    let model = fit(&keys, &rows, 6, inserted(50));
    let c = average_path_lengths(256)[256];
    let mut out = [0.0; 6];
    for mut row in rows.chunks(6).step_by(37).map(<[f32]>::to_vec) {
        for far in [0.0, 3.0, 50.0] {
            row[2] += far;
            model.explain(&row, &mut out).unwrap();
            let saved = c + f64::from(score(&model, &row)[0]).log2() * c;
            let sum: f64 = out.iter().map(|credit| f64::from(*credit)).sum();
            assert!((sum - saved).abs() < 1e-4, "{sum} {saved}");
        }
    }
}

#[test]
fn equal_rows_are_left_at_once_by_another() {
    let keys: Vec<u64> = (0..100).collect();
    let model = fit(&keys, &[3.0; 200], 2, inserted(10));
    assert!((score(&model, &[3.0, 3.0])[0] - 0.5).abs() < 1e-6);
    // One level, of the c(100) that are expected.
    let expected = (-1.0 / average_path_lengths(100)[100]).exp2();
    assert!((f64::from(score(&model, &[3.0, 2.0])[0]) - expected).abs() < 1e-6);
}

#[test]
fn values_that_are_not_finite_are_scored_and_explained() {
    let (keys, rows) = data(300, 3);
    let model = fit(&keys, &rows, 3, inserted(20));
    let mut out = [0.0; 3];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let row = [value, 0.1, 0.2];
        let score = score(&model, &row)[0];
        assert!((0.0..=1.0).contains(&score), "{value}: {score}");
        model.explain(&row, &mut out).unwrap();
        assert!(out.iter().all(|credit| credit.is_finite()));
    }
}

#[test]
fn bytes_keep_what_was_seen_and_refuse_what_was_not() {
    let model = fit(&[0, 1, 2, 3, 4, 5], &FEW, 3, inserted(5));
    let bytes = model.to_bytes();
    let again = IForestModel::from_bytes(&bytes).unwrap();
    assert_eq!((again.to_bytes(), &again), (bytes.clone(), &model));
    let rows = [2.0, 1.0, 5.0, 2.0, 1.0, 6.0];
    assert_eq!(score(&again, &rows), score(&model, &rows));
    let good: wire::IsolationForest = open(KIND, VERSION, &bytes).unwrap();
    assert!(!good.draw_feature.is_empty());
    let spoil: [fn(&mut wire::IsolationForest); 8] = [
        |bad| bad.draws[0] += 1,
        |bad| bad.draws[0] = u32::MAX,
        |bad| bad.draw_feature[0] = 3,
        |bad| bad.draw_value[0] = f32::NAN,
        |bad| bad.low[0] = bad.high[0],
        |bad| bad.high.push(1.0),
        |bad| bad.draws.clear(),
        |bad| {
            bad.draws.pop();
        },
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        let read = IForestModel::from_bytes(&seal(KIND, VERSION, &bad));
        assert!(
            matches!(read, Err(LearnerError::Damaged { .. })),
            "number {number}"
        );
    }
}

#[test]
fn planes_are_not_inserted_into() {
    let params = IsolationForestParams {
        extension_level: 1,
        ..inserted(1)
    };
    let error = params.check().unwrap_err().to_string();
    assert!(
        error.contains("extension_level") && error.contains("inserted"),
        "{error}"
    );
}
