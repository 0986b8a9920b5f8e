#![expect(clippy::float_cmp, reason = "equal inputs must give equal bits")]

use super::*;
use crate::learner::{LearnerError, seal};
use gleaner_proto::learners as wire;

fn fit(rows: &[f32], d: usize, tails: Tails) -> Scaler {
    fit_by(rows, d, Scale::Standard, tails)
}

fn fit_by(rows: &[f32], d: usize, scale: Scale, tails: Tails) -> Scaler {
    let params = ScalerParams {
        scale,
        tails,
        ..ScalerParams::default()
    };
    Scaler::fit(rows, d, &params.check().unwrap()).unwrap()
}

fn transform(scaler: &Scaler, rows: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; rows.len()];
    scaler
        .transform(rows, scaler.dimension(), &mut out)
        .unwrap();
    out
}

#[test]
fn scaled_values_are_those_worked_out_by_hand() {
    // 2, 4, 6, 8: mean 5, deviation √5.
    let scaler = fit(&[2.0, 4.0, 6.0, 8.0], 1, Tails::Keep);
    let root = 5_f32.sqrt();
    for (scaled, expected) in
        transform(&scaler, &[5.0, 5.0 + root, 2.0])
            .iter()
            .zip([0.0, 1.0, -3.0 / root])
    {
        assert!((scaled - expected).abs() < 1e-6, "{scaled} {expected}");
    }
}

#[test]
fn scaled_columns_have_mean_zero_and_deviation_one() {
    let rows: Vec<f32> = (0..300_u16)
        .map(|i| f32::from(i * 37 % 101) * f32::from(i % 3 + 1))
        .collect();
    for tails in [Tails::Keep, Tails::SignedLog] {
        let values = transform(&fit(&rows, 3, tails), &rows);
        for feature in 0..3 {
            let column = values.iter().skip(feature).step_by(3);
            let mean = column.clone().sum::<f32>() / 100.0;
            let variance = column.map(|x| x * x).sum::<f32>() / 100.0;
            assert!(
                mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5,
                "{mean} {variance}"
            );
        }
    }
}

#[test]
fn values_that_are_not_finite_become_the_median_and_are_counted() {
    let rows = [
        1.0,
        f32::NAN,
        f32::INFINITY,
        5.0,
        3.0,
        f32::NAN,
        100.0,
        f32::NAN,
    ];
    let scaler = fit(&rows, 2, Tails::Keep);
    assert_eq!(scaler.imputed(), [1, 3]);
    assert_eq!(scaler.median(), [3.0, 5.0]);
    let values = transform(&scaler, &[f32::NEG_INFINITY, f32::NAN, 3.0, 5.0]);
    assert_eq!(values[..2], values[2..]);
    let mut imputed = rows;
    scaler.impute(&mut imputed, 2).unwrap();
    assert_eq!(imputed, [1.0, 5.0, 3.0, 5.0, 3.0, 5.0, 100.0, 5.0]);
}

#[test]
fn a_constant_feature_is_zero_and_never_divides() {
    let rows = [7.0, f32::NAN, 0.1, 7.0, f32::NAN, 0.1, 7.0, f32::NAN, 0.1];
    let scaler = fit(&rows, 3, Tails::Keep);
    assert!(scaler.constant().eq([0, 1, 2]));
    assert_eq!(transform(&scaler, &[9.0, 1.0, f32::MAX]), [0.0, 0.0, 0.0]);
    assert_eq!(
        transform(&fit(&[4.0], 1, Tails::Keep), &[8.0]),
        [0.0],
        "one row has no scale"
    );
}

#[test]
fn a_feature_that_did_not_vary_is_in_its_own_unit_when_asked_for_unless_it_was_never_there() {
    let rows = [7.0, f32::NAN, 1.0, 7.0, f32::NAN, 3.0];
    for scale in [Scale::Standard, Scale::MinMax, Scale::Robust] {
        let params = ScalerParams {
            scale,
            constant: Constant::Unit,
            ..ScalerParams::default()
        };
        let scaler = Scaler::fit(&rows, 3, &params.check().unwrap()).unwrap();
        let other = fit_by(&rows, 3, scale, Tails::Keep);
        let values = transform(&scaler, &[9.5, 4.0, 2.5, 7.0, f32::NAN, 1.0]);
        let of_other = transform(&other, &[9.5, 4.0, 2.5, 7.0, f32::NAN, 1.0]);
        assert_eq!(
            (values[0], values[1], values[3], values[4]),
            (2.5, 0.0, 0.0, 0.0)
        );
        assert_eq!(
            (values[2], values[5]),
            (of_other[2], of_other[5]),
            "{scale:?}"
        );
        assert!(scaler.constant().eq([1]));
        assert_eq!(Scaler::from_bytes(&scaler.to_bytes()).unwrap(), scaler);
    }
}

#[test]
fn the_largest_and_smallest_numbers_stay_finite() {
    let rows = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0, 1e-30, 2e-30];
    for tails in [Tails::Keep, Tails::Clip(5.0), Tails::SignedLog] {
        let scaler = fit(&rows, 1, tails);
        let values = transform(
            &scaler,
            &[rows.as_slice(), &[f32::NAN, f32::INFINITY]].concat(),
        );
        assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
    }
    let tiny = fit(&[0.0, 1e-38], 1, Tails::Keep);
    assert_eq!(transform(&tiny, &[f32::MAX]), [LIMIT]);
}

#[test]
fn a_clip_bounds_and_a_log_keeps_order_and_sign() {
    let rows = [0.0, 1.0, -1.0, 1000.0, -1000.0, 2.0];
    let clipped = transform(&fit(&rows, 1, Tails::Clip(1.0)), &rows);
    assert!(clipped.iter().all(|value| value.abs() <= 1.0));
    let logged = transform(&fit(&rows, 1, Tails::SignedLog), &rows);
    let order = |values: &[f32]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        order
    };
    assert_eq!(order(&logged), order(&rows));
}

#[test]
fn bytes_round_trip_and_damaged_ones_are_refused() {
    for tails in [Tails::Keep, Tails::Clip(6.5), Tails::SignedLog] {
        let scaler = fit(&[1.0, 2.0, 3.0, f32::NAN, 5.0, 9.0], 2, tails);
        assert_eq!(Scaler::from_bytes(&scaler.to_bytes()), Ok(scaler));
    }
    let good = wire::Scaler {
        rows: 2,
        tails: 0,
        limit: 0.0,
        median: vec![1.0],
        mean: vec![1.0],
        deviation: vec![0.0],
        imputed: vec![0],
        weight: vec![],
    };
    let read = |message: &wire::Scaler| Scaler::from_bytes(&seal(KIND, VERSION, message));
    assert!(read(&good).is_ok());
    let spoil: [fn(&mut wire::Scaler); 6] = [
        |bad| bad.tails = 3,
        |bad| bad.tails = 1,
        |bad| bad.mean.push(0.0),
        |bad| bad.median[0] = f32::NAN,
        |bad| bad.deviation[0] = -1.0,
        |bad| *bad = wire::Scaler::default(),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(
            matches!(read(&bad), Err(LearnerError::Damaged { .. })),
            "number {number}"
        );
    }
}

#[test]
fn bad_parameters_and_shapes_are_named() {
    let error = ScalerParams {
        tails: Tails::Clip(f32::NAN),
        ..ScalerParams::default()
    }
    .check()
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "scale: parameter `clip` must be 0.5 to 1e6 standard deviations, got NaN"
    );
    let checked = ScalerParams::default().check().unwrap();
    assert!(Scaler::fit(&[], 2, &checked).is_err() && Scaler::fit(&[1.0], 2, &checked).is_err());
    let scaler = fit(&[1.0, 2.0], 1, Tails::Keep);
    assert!(scaler.transform(&[1.0, 2.0], 2, &mut [0.0; 2]).is_err());
    assert!(scaler.transform(&[1.0, 2.0], 1, &mut [0.0; 1]).is_err());
}

#[test]
fn the_range_and_the_quartiles_are_scikit_learn_s() {
    // MinMaxScaler and RobustScaler(unit_variance=True) of 1, 2, 3, 4, 100; the second column is a flag, with equal quartiles.
    let rows = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 1.0, 100.0, 0.0];
    let range = fit_by(&rows, 2, Scale::MinMax, Tails::Keep);
    let scaled = transform(&range, &rows);
    let firsts = |scaled: &[f32]| scaled.iter().step_by(2).copied().collect::<Vec<_>>();
    assert_eq!(
        firsts(&scaled),
        [0.0, 1.0 / 99.0, 2.0 / 99.0, 3.0 / 99.0, 1.0]
    );
    assert_eq!(scaled[7], 1.0);
    let robust = fit_by(&rows, 2, Scale::Robust, Tails::Keep);
    let expected = [-2.0, -1.0, 0.0, 1.0, 97.0].map(|x: f32| x * 1.349 / 2.0);
    for (got, expected) in firsts(&transform(&robust, &rows)).iter().zip(expected) {
        assert!(
            (got - expected).abs() < 1e-5 * expected.abs().max(1.0),
            "{got} {expected}"
        );
    }
    let standard = transform(&fit(&rows, 2, Tails::Keep), &rows);
    assert_eq!(
        transform(&robust, &rows)[7],
        standard[7],
        "quartiles of a flag are equal"
    );
    // What was chosen is in the model.
    for scaler in [range, robust] {
        assert_eq!(Scaler::from_bytes(&scaler.to_bytes()), Ok(scaler));
    }
}

#[test]
fn weights_count_after_scale_and_clip_and_survive_as_bytes() {
    let rows = [0.0, 0.0, 1.0, 10.0, 2.0, 1000.0];
    let params = ScalerParams {
        tails: Tails::Clip(1.0),
        ..ScalerParams::default()
    };
    let plain = Scaler::fit(&rows, 2, &params.check().unwrap()).unwrap();
    let weighted = plain.clone().weighted(vec![1.0, 0.25]).unwrap();
    let of = |scaler: &Scaler| {
        let mut out = [0.0; 6];
        scaler.transform(&rows, 2, &mut out).unwrap();
        out
    };
    let (plain_out, weighted_out) = (of(&plain), of(&weighted));
    for (i, (a, b)) in plain_out.iter().zip(weighted_out).enumerate() {
        let factor = if i % 2 == 0 { 1.0 } else { 0.25 };
        assert!((a * factor - b).abs() < 1e-6);
    }
    assert!((weighted_out[5] - 0.25).abs() < 1e-6);
    assert_eq!(
        Scaler::from_bytes(&weighted.to_bytes()),
        Ok(weighted.clone())
    );
    // What has no weights has the bytes that it had before there were any.
    assert_eq!(
        plain.clone().weighted(vec![]).unwrap().to_bytes(),
        plain.to_bytes()
    );
    for bad in [
        vec![1.0],
        vec![0.0, 1.0],
        vec![f32::NAN, 1.0],
        vec![1.0, 1.5],
    ] {
        assert!(plain.clone().weighted(bad).is_err());
    }
}
