use super::grow::Tree;
use super::*;
use crate::learner::{LearnerError, seal};
use crate::rng::{SplitMix64, mix};
use gleaner_proto::learners as wire;

/// Rows of normal features, the last 1% of them far away in feature 0.
#[expect(clippy::cast_possible_truncation, reason = "test data")]
pub(super) fn data(count: usize, d: usize) -> (Vec<u64>, Vec<f32>) {
    let mut rng = SplitMix64::new(5);
    let mut rows: Vec<f32> = (0..count * d).map(|_| rng.next_normal() as f32).collect();
    for row in count - count / 100..count {
        rows[row * d] += 12.0;
    }
    ((0..count as u64).map(mix).collect(), rows)
}

pub(super) fn params(n_trees: usize, extension_level: usize) -> IsolationForestParams {
    IsolationForestParams {
        n_trees,
        extension_level,
        ..IsolationForestParams::default()
    }
}

pub(super) fn fit(
    keys: &[u64],
    rows: &[f32],
    d: usize,
    params: IsolationForestParams,
) -> IForestModel {
    IForestModel::fit(keys, rows, d, &params.check().unwrap()).unwrap()
}

pub(super) fn score(model: &IForestModel, rows: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; rows.len() / model.dimension()];
    model.score(rows, model.dimension(), &mut out).unwrap();
    out
}

/// The paper's algorithm 3, word for word: the oracle of the flat walk.
#[expect(clippy::cast_precision_loss, reason = "a depth")]
fn path_length(tree: &Tree, level: usize, row: &[f32], node: usize, depth: usize) -> f64 {
    let rows = tree.rows[node];
    if tree.left[node] == 0 {
        let harmonic: f64 = (1..rows).map(|i| 1.0 / f64::from(i)).sum();
        let n = f64::from(rows);
        return depth as f64
            + if rows < 2 {
                0.0
            } else {
                2.0 * harmonic - 2.0 * (n - 1.0) / n
            };
    }
    let cut = tree.left[..node].iter().filter(|left| **left != 0).count() * (level + 1);
    let left = if level == 0 {
        row[usize::from(tree.feature[cut])] < tree.point[cut]
    } else {
        let sum = |values: &dyn Fn(usize) -> f32| -> f64 {
            (cut..=cut + level)
                .map(|i| f64::from(values(i)) * f64::from(tree.normal[i]))
                .sum()
        };
        sum(&|i| row[usize::from(tree.feature[i])]) <= sum(&|i| tree.point[i])
    };
    let child = node + tree.left[node] as usize + usize::from(!left);
    path_length(tree, level, row, child, depth + 1)
}

#[expect(clippy::cast_precision_loss, reason = "a number of trees")]
fn mean_path(model: &IForestModel, row: &[f32]) -> f64 {
    let sum: f64 = model
        .trees
        .iter()
        .map(|tree| path_length(tree, model.extension_level, row, 0, 0))
        .sum();
    sum / model.n_trees() as f64
}

#[test]
fn average_path_lengths_are_those_worked_out_by_hand() {
    let lengths = average_path_lengths(256);
    assert_eq!(lengths[..3], [0.0, 0.0, 1.0]);
    // n = 3: 2·(1 + 1/2) − 2·2/3 = 5/3; n = 4: 2·(1 + 1/2 + 1/3) − 2·3/4 = 13/6.
    assert!((lengths[3] - 5.0 / 3.0).abs() < 1e-12 && (lengths[4] - 13.0 / 6.0).abs() < 1e-12);
    // H(255) = 6.120438711; the usual ln 255 + 0.577216 would give 10.244771.
    assert!(
        (lengths[256] - (2.0 * 6.120_438_711 - 510.0 / 256.0)).abs() < 1e-8,
        "{}",
        lengths[256]
    );
}

#[test]
fn scores_are_those_of_the_recursive_walk() {
    for (count, d, level) in [
        (1000, 5, 0),
        (1000, 5, 2),
        (1000, 5, 4),
        (3, 2, 0),
        (71, 1, 0),
    ] {
        let (keys, rows) = data(count, d);
        let model = fit(&keys, &rows, d, params(20, level));
        let scores = score(&model, &rows);
        for (row, score) in rows.chunks(d).zip(scores) {
            let expected = (-mean_path(&model, row)
                / average_path_lengths(model.samples())[model.samples()])
            .exp2();
            assert!(
                (f64::from(score) - expected).abs() < 1e-6,
                "{score} {expected}"
            );
        }
    }
}

#[test]
fn far_rows_score_highest() {
    let (keys, rows) = data(2000, 4);
    for level in [0, 3] {
        let scores = score(&fit(&keys, &rows, 4, params(100, level)), &rows);
        let wrong = scores[1980..]
            .iter()
            .map(|far| scores[..1980].iter().filter(|near| *near >= far).count());
        assert!(
            wrong.sum::<usize>() < 20 * 1980 / 100,
            "level {level}: AUROC below 0.99"
        );
    }
}

#[test]
fn contributions_add_up_to_the_path_that_was_saved() {
    let (keys, rows) = data(600, 6);
    for level in [0, 1, 5] {
        let model = fit(&keys, &rows, 6, params(50, level));
        let mut out = [0.0; 6];
        for row in rows.chunks(6).step_by(37) {
            model.explain(row, &mut out).unwrap();
            let saved = average_path_lengths(256)[256] - mean_path(&model, row);
            let sum: f64 = out.iter().map(|credit| f64::from(*credit)).sum();
            assert!((sum - saved).abs() < 1e-5, "{sum} {saved}");
        }
    }
}

#[test]
fn the_feature_that_makes_a_row_odd_has_the_largest_contribution() {
    let (keys, rows) = data(2000, 6);
    for level in [0, 5] {
        let model = fit(&keys, &rows, 6, params(100, level));
        let mut out = [0.0; 6];
        for row in rows[1980 * 6..].chunks(6) {
            model.explain(row, &mut out).unwrap();
            assert!(
                out[1..].iter().all(|other| out[0] > *other),
                "level {level}: {out:?}"
            );
        }
    }
}

#[test]
fn the_forest_is_a_function_of_the_sample_and_not_of_its_order() {
    let (keys, rows) = data(700, 3);
    let reversed_keys: Vec<u64> = keys.iter().rev().copied().collect();
    let reversed_rows: Vec<f32> = rows.chunks(3).rev().flatten().copied().collect();
    for level in [0, 2] {
        let bytes = fit(&keys, &rows, 3, params(30, level)).to_bytes();
        assert_eq!(bytes, fit(&keys, &rows, 3, params(30, level)).to_bytes());
        assert_eq!(
            bytes,
            fit(&reversed_keys, &reversed_rows, 3, params(30, level)).to_bytes()
        );
        let other = IsolationForestParams {
            seed: 2,
            ..params(30, level)
        };
        assert_ne!(bytes, fit(&keys, &rows, 3, other).to_bytes());
    }
}

#[test]
fn a_score_does_not_depend_on_the_rows_around_it() {
    let (keys, rows) = data(300, 5);
    let model = fit(&keys, &rows, 5, params(25, 0));
    let together = score(&model, &rows);
    for (row, expected) in rows.chunks(5).zip(together) {
        assert_eq!(score(&model, row), [expected]);
    }
}

#[test]
fn a_constant_feature_is_never_cut() {
    let (keys, mut rows) = data(500, 4);
    for row in rows.chunks_mut(4) {
        row[1] = 7.0;
        row[2] = 0.0;
    }
    let model = fit(&keys, &rows, 4, params(50, 0));
    assert!(
        model
            .trees
            .iter()
            .flat_map(|tree| &tree.feature)
            .all(|feature| *feature == 0 || *feature == 3)
    );
    assert!(
        model.trees.iter().all(|tree| tree.rows.len() > 30),
        "a constant feature ended a branch"
    );
}

#[test]
fn the_standard_forest_does_not_see_scale() {
    let (keys, rows) = data(500, 3);
    let scaled: Vec<f32> = rows
        .iter()
        .enumerate()
        .map(|(i, x)| x * [4.0, 0.25, 1024.0][i % 3])
        .collect();
    assert_eq!(
        score(&fit(&keys, &rows, 3, params(20, 0)), &rows),
        score(&fit(&keys, &scaled, 3, params(20, 0)), &scaled)
    );
}

#[test]
fn equal_rows_cannot_be_cut_and_score_as_the_average() {
    let rows = vec![3.0; 200];
    let keys: Vec<u64> = (0..100).collect();
    let model = fit(&keys, &rows, 2, params(10, 0));
    assert!(model.trees.iter().all(|tree| tree.rows == [100]));
    assert!(
        score(&model, &rows)
            .iter()
            .all(|score| (score - 0.5).abs() < 1e-6)
    );
}

#[test]
fn planes_that_pass_all_rows_by_leave_an_empty_child() {
    // Equal rows: each of the 7 levels holds all of them and nothing.
    let keys: Vec<u64> = (0..100).collect();
    let model = fit(&keys, &[3.0; 200], 2, params(10, 1));
    for tree in &model.trees {
        assert_eq!(tree.rows.len(), 15, "{:?}", tree.rows);
        assert!(tree.rows.iter().all(|rows| *rows == 0 || *rows == 100));
    }
    let (keys, rows) = data(1000, 3);
    let model = fit(&keys, &rows, 3, params(50, 2));
    assert!(model.trees.iter().any(|tree| tree.rows.contains(&0)));
    assert!(
        fit(&keys, &rows, 3, params(50, 0))
            .trees
            .iter()
            .all(|tree| !tree.rows.contains(&0))
    );
}

#[test]
fn values_that_are_not_finite_neither_crash_nor_loop() {
    let (keys, mut rows) = data(300, 3);
    for (i, value) in rows.iter_mut().enumerate() {
        *value = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            *value,
            *value,
        ][i % 7];
    }
    for level in [0, 1, 2] {
        let model = fit(&keys, &rows, 3, params(20, level));
        assert!(
            score(&model, &rows)
                .iter()
                .all(|score| (0.0..=1.0).contains(score))
        );
        let mut out = [0.0; 3];
        for row in rows.chunks(3) {
            model.explain(row, &mut out).unwrap();
            assert!(out.iter().all(|credit| credit.is_finite()));
        }
        assert_eq!(
            IForestModel::from_bytes(&model.to_bytes())
                .unwrap()
                .to_bytes(),
            model.to_bytes()
        );
    }
}

#[test]
fn trees_end_at_max_depth() {
    let (keys, rows) = data(2000, 3);
    let model = fit(
        &keys,
        &rows,
        3,
        IsolationForestParams {
            max_depth: Some(3),
            ..params(20, 0)
        },
    );
    assert!(model.trees.iter().all(|tree| tree.rows.len() <= 15));
    let model = fit(&keys, &rows, 3, params(20, 0));
    assert!(
        model.trees.iter().all(|tree| tree.rows.len() <= 511),
        "log2 256 = 8 levels"
    );
}

#[test]
fn bytes_round_trip_to_the_same_scores() {
    let (keys, rows) = data(400, 4);
    for level in [0, 3] {
        let model = fit(&keys, &rows, 4, params(10, level));
        let again = IForestModel::from_bytes(&model.to_bytes()).unwrap();
        assert_eq!(again.to_bytes(), model.to_bytes());
        assert_eq!(score(&again, &rows), score(&model, &rows));
    }
}

#[test]
fn bytes_of_what_is_no_forest_are_refused() {
    let good = wire::IsolationForest {
        d: 2,
        samples: 3,
        extension_level: 0,
        tree_sizes: vec![5],
        node_rows: vec![3, 1, 2, 1, 1],
        left: vec![1, 0, 1, 0, 0],
        feature: vec![0, 1],
        point: vec![0.5, 1.0],
        ..wire::IsolationForest::default()
    };
    let read =
        |message: &wire::IsolationForest| IForestModel::from_bytes(&seal(KIND, VERSION, message));
    assert!(read(&good).is_ok());
    let spoil: [fn(&mut wire::IsolationForest); 12] = [
        |bad| bad.d = 1,
        |bad| bad.samples = 4,
        |bad| bad.extension_level = 1,
        |bad| bad.tree_sizes = vec![3],
        |bad| bad.tree_sizes = vec![],
        |bad| bad.tree_sizes = vec![5, 0],
        |bad| bad.left[1] = 1,
        |bad| bad.left[2] = u32::MAX,
        |bad| bad.node_rows[4] = 2,
        |bad| bad.point[0] = f32::NAN,
        |bad| bad.normal = vec![1.0],
        |bad| bad.feature.push(0),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(
            matches!(read(&bad), Err(LearnerError::Damaged { .. })),
            "number {number}"
        );
    }
    let mut cut = seal(KIND, VERSION, &good);
    cut.pop();
    assert!(IForestModel::from_bytes(&cut).is_err());
}

#[test]
fn parameters_outside_of_their_range_are_named() {
    let named = |params: IsolationForestParams| params.check().unwrap_err().to_string();
    let default = IsolationForestParams::default();
    assert_eq!(
        named(IsolationForestParams {
            n_trees: 0,
            ..default
        }),
        "iforest: parameter `n_trees` must be 1 to 10000, got 0"
    );
    assert!(
        named(IsolationForestParams {
            max_samples: 1,
            ..default
        })
        .contains("max_samples")
    );
    assert!(
        named(IsolationForestParams {
            max_depth: Some(65),
            ..default
        })
        .contains("max_depth")
    );
    let (keys, rows) = data(100, 2);
    let error = IForestModel::fit(&keys, &rows, 2, &params(1, 2).check().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "iforest: parameter `extension_level` must be 0 to features - 1, got 2 with 2 features"
    );
    let checked = default.check().unwrap();
    assert!(
        IForestModel::fit(&keys[..1], &rows[..2], 2, &checked).is_err(),
        "one row"
    );
    assert!(
        IForestModel::fit(&keys[..1], &rows, 2, &checked).is_err(),
        "keys and rows differ"
    );
    let model = IForestModel::fit(&keys, &rows, 2, &checked).unwrap();
    assert!(
        model.score(&rows, 4, &mut [0.0; 50]).is_err()
            && model.score(&rows, 2, &mut [0.0; 99]).is_err()
    );
}
