use super::*;
use crate::text::Sparse;

/// Lines of dense columns alone.
fn table(rows: &[[f32; 2]]) -> Lines {
    let mut grams = Sparse::default();
    for _ in rows {
        grams.push([]);
    }
    Lines {
        grams,
        dense: rows.concat(),
        d: 2,
    }
}

fn fit(lines: &Lines, malicious: &[bool], params: &Params) -> Boosting {
    let rows: Vec<usize> = (0..lines.len()).collect();
    let training = Training {
        lines,
        rows: &rows,
        malicious,
        weights: &vec![1.0; rows.len()],
    };
    Boosting::fit(&training, params).unwrap()
}

#[test]
fn one_split_is_that_worked_out_by_hand() {
    // Four rows, two malicious: p = ½, gradients ±½, hessians ¼. Split between 2 and 3: each side has G = ±1, H = ½,
    // so with λ = 1 a leaf is ∓1 / 1.5.
    let lines = table(&[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]]);
    let params = Params {
        trees: 1,
        depth: 1,
        learning_rate: 1.0,
        min_child_weight: 0.0,
        column_share: 1.0,
        ..Params::default()
    };
    let model = fit(&lines, &[false, false, true, true], &params);
    assert_eq!(model.trees[0].len(), 3);
    assert!((model.trees[0][0].edge - 2.0).abs() < 1e-6);
    let odds = |row| model.log_odds(&lines, row, &mut vec![]);
    assert!((odds(0) + 1.0 / 1.5).abs() < 1e-6, "{}", odds(0));
    assert!((odds(3) - 1.0 / 1.5).abs() < 1e-6, "{}", odds(3));
}

#[test]
fn missing_values_go_where_they_gain() {
    let rows: Vec<[f32; 2]> = (0..40)
        .map(|n| match n % 4 {
            0 => [f32::NAN, 0.0],
            1 => [1.0, 0.0],
            2 => [2.0, 0.0],
            _ => [3.0, 0.0],
        })
        .collect();
    let lines = table(&rows);
    // What is missing is malicious, as 3 is.
    let malicious: Vec<bool> = (0..40).map(|n| n % 4 == 0 || n % 4 == 3).collect();
    let params = Params {
        column_share: 1.0,
        ..Params::default()
    };
    let model = fit(&lines, &malicious, &params);
    for (row, malicious) in malicious.iter().enumerate() {
        assert_eq!(model.log_odds(&lines, row, &mut vec![]) > 0.0, *malicious);
    }
}

#[test]
fn exclusive_or_is_learnt_and_the_training_rows_values_are_what_is_predicted() {
    let mut draws = SplitMix64::new(5);
    let rows: Vec<[f32; 2]> = (0..400)
        .map(|_| [draws.next_f64() as f32, draws.next_f64() as f32])
        .collect();
    let malicious: Vec<bool> = rows.iter().map(|[a, b]| (*a > 0.5) != (*b > 0.4)).collect();
    let lines = table(&rows);
    let params = Params {
        column_share: 1.0,
        ..Params::default()
    };
    let model = fit(&lines, &malicious, &params);
    let right = (0..400)
        .filter(|row| (model.log_odds(&lines, *row, &mut vec![]) > 0.0) == malicious[*row])
        .count();
    assert!(right >= 396, "{right}");
}

#[test]
fn n_grams_are_columns_and_a_seed_gives_one_model() {
    let texts: Vec<String> = (0..120)
        .map(|n| {
            if n % 3 == 0 {
                format!("certutil -urlcache http://h{n}/x")
            } else {
                format!("certutil -dump http://h{n}/x")
            }
        })
        .collect();
    let lines = Lines::read(&texts, &[], 0).unwrap();
    let malicious: Vec<bool> = (0..120).map(|n| n % 3 == 0).collect();
    let params = Params::default();
    let model = fit(&lines, &malicious, &params);
    let uses_grams = model.trees.iter().flatten();
    assert!(
        uses_grams
            .clone()
            .any(|node| node.column != LEAF && node.column as usize >= model.d),
        "no n-gram was used"
    );
    assert_eq!(model, fit(&lines, &malicious, &params));
    let other = Params { seed: 2, ..params };
    assert_ne!(model, fit(&lines, &malicious, &other));
    let right = (0..120)
        .filter(|row| (model.log_odds(&lines, *row, &mut vec![]) > 0.0) == malicious[*row])
        .count();
    assert_eq!(right, 120);
}
