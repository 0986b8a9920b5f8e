use super::pareto::Pareto;
use super::*;
use crate::rng::SplitMix64;

/// Excesses of a generalised Pareto distribution, rounded to f32, as a script in another language can make them too.
#[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
fn excesses(count: usize, shape: f64, scale: f64, seed: u64) -> Vec<f32> {
    let mut draws = SplitMix64::new(seed);
    let pareto = Pareto { shape, scale };
    (0..count)
        .map(|_| pareto.quantile(1.0 - draws.next_f64()) as f32)
        .collect()
}

fn fitted(values: &[f32]) -> Pareto {
    let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    Pareto::fit(&values).unwrap()
}

/// `scipy.stats.genpareto.fit(x, floc=0)` of scipy 1.17.1 on the same excesses (`bench/genpareto.py` prints these).
#[test]
fn the_fit_is_scipys() {
    for (count, shape, scale, seed, their_shape, their_scale) in SCIPY {
        let ours = fitted(&excesses(count, shape, scale, seed));
        assert!(
            (ours.shape - their_shape).abs() < 2e-3,
            "{ours:?} {their_shape}"
        );
        assert!(
            (ours.scale / their_scale - 1.0).abs() < 2e-3,
            "{ours:?} {their_scale}"
        );
    }
}

const SCIPY: [(usize, f64, f64, u64, f64, f64); 4] = [
    (2_000, 0.25, 3.0, 1, 0.264_469, 2.810_769),
    (500, -0.2, 0.5, 2, -0.224_254, 0.503_703),
    (1_000, 0.0, 10.0, 3, 0.022_656, 9.819_693),
    (200, 0.8, 0.01, 4, 0.726_674, 0.009_676),
];

#[test]
fn no_neighbour_of_the_fit_is_likelier() {
    for (shape, seed) in [(0.3, 5), (-0.3, 6), (0.0, 7), (1.2, 8)] {
        let values: Vec<f64> = excesses(800, shape, 2.0, seed)
            .iter()
            .map(|v| f64::from(*v))
            .collect();
        let likelihood = |p: &Pareto| -> f64 {
            let terms = values.iter().map(|x| (1.0 + p.shape * x / p.scale).ln());
            -800.0 * p.scale.ln() - (1.0 + 1.0 / p.shape) * terms.sum::<f64>()
        };
        let best = Pareto::fit(&values).unwrap();
        let top = likelihood(&best);
        for (by, times) in [
            (0.01, 1.0),
            (-0.01, 1.0),
            (0.0, 1.01),
            (0.0, 0.99),
            (0.01, 0.99),
        ] {
            let other = Pareto {
                shape: best.shape + by,
                scale: best.scale * times,
            };
            // Where the likelihood is no number the neighbour does not hold all excesses.
            let value = likelihood(&other);
            assert!(value.is_nan() || value <= top, "{best:?} {other:?}");
        }
        assert!((best.shape - shape).abs() < 0.15, "{best:?} {shape}");
    }
}

#[test]
fn a_quantile_leaves_its_share_above_and_the_interval_holds_it() {
    #[expect(clippy::cast_precision_loss, reason = "test data")]
    let scores: Vec<f32> = (0..1_000).map(|i| ((i * 7_919) % 1_000) as f32).collect();
    let found = choose(&scores, None, Method::Quantile(0.99)).unwrap();
    assert_eq!(
        (found.above, found.rows, found.extrapolated),
        (10, 1_000, false)
    );
    assert!((found.threshold - 989.0).abs() <= 0.0 && (found.rate - 0.01).abs() < 1e-12);
    assert!(found.interval[0] < 0.01 && found.interval[1] > 0.01);
    let alerts = found.alerts(50_000.0);
    assert!((alerts.expected - 500.0).abs() < 1e-6);
    assert!(
        alerts.interval[0] > 200.0 && alerts.interval[1] < 1_000.0,
        "{alerts:?}"
    );
}

#[test]
fn a_false_positive_rate_is_of_ordinary_rows_alone() {
    // 100 ordinary rows below 100 outliers, but for the two highest.
    #[expect(clippy::cast_precision_loss, reason = "test data")]
    let mut scores: Vec<f32> = (0..200).map(|i| i as f32).collect();
    (scores[98], scores[99]) = (1_000.0, 1_001.0);
    let outlier: Vec<bool> = (0..200).map(|i| i >= 100).collect();
    let found = choose(&scores, Some(&outlier), Method::FalsePositiveRate(0.02)).unwrap();
    assert_eq!((found.above, found.rows), (2, 100));
    assert!((found.threshold - 97.0).abs() <= 0.0);
    let found = choose(&scores, Some(&outlier), Method::FalsePositiveRate(0.01)).unwrap();
    assert!((found.threshold - 1_000.0).abs() <= 0.0);
}

#[test]
fn rows_of_equal_score_never_exceed_the_rate_together() {
    let scores = [vec![0.0_f32; 90], vec![1.0; 10]].concat();
    let found = choose(&scores, None, Method::FalsePositiveRate(0.05)).unwrap();
    assert_eq!(found.above, 0);
    let found = choose(&scores, None, Method::FalsePositiveRate(0.1)).unwrap();
    assert_eq!(found.above, 10);
}

#[test]
fn a_rate_below_one_row_is_refused_by_counting_and_extrapolated_by_the_tail() {
    let scores = excesses(5_000, 0.2, 1.0, 9);
    let refused = choose(&scores, None, Method::FalsePositiveRate(1e-4)).unwrap_err();
    let wanted = ThresholdError::Unresolved {
        rows: 5_000,
        rate: 1e-4,
        wanted: 10_000,
        tail: false,
    };
    assert_eq!(refused, wanted);
    assert!(refused.to_string().contains("or extrapolate by the tail"));
    let tail = |rate| Method::Tail { rate, start: 0.05 };
    let found = choose(&scores, None, tail(1e-4)).unwrap();
    assert!(found.extrapolated);
    let of = found.tail.unwrap();
    // The truth is known here: the scores' own distribution.
    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    let truth = Pareto {
        shape: 0.2,
        scale: 1.0,
    }
    .quantile(1e-4) as f32;
    assert!(
        of.threshold[0] < truth && truth < of.threshold[1],
        "{truth} {of:?}"
    );
    assert!(of.threshold[0] < found.threshold && found.threshold < of.threshold[1]);
    assert!(of.threshold[1] < 3.0 * truth, "{of:?}");
    assert!(
        found.interval[0] < 1e-4 && found.interval[1] > 1e-4,
        "{found:?}"
    );
    assert!((found.alerts(1e6).expected - 100.0).abs() < 1e-6);
    // Where rows are, the tail agrees with them and extrapolates nothing.
    let counted = choose(&scores, None, Method::FalsePositiveRate(0.005)).unwrap();
    let fitted = choose(&scores, None, tail(0.005)).unwrap();
    assert!(!fitted.extrapolated);
    assert!((fitted.threshold / counted.threshold - 1.0).abs() < 0.1);
    let far = choose(&scores, None, tail(1e-6)).unwrap_err();
    assert!(matches!(
        far,
        ThresholdError::Unresolved {
            wanted: 10_000,
            tail: true,
            ..
        }
    ));
}

#[test]
fn the_tails_interval_holds_the_truth_about_as_often_as_it_says() {
    let truth = Pareto {
        shape: 0.1,
        scale: 1.0,
    }
    .quantile(2e-4);
    let mut held = 0;
    for seed in 0..40 {
        let scores = excesses(2_000, 0.1, 1.0, 100 + seed);
        let method = Method::Tail {
            rate: 2e-4,
            start: 0.1,
        };
        let tail = choose(&scores, None, method).unwrap().tail.unwrap();
        let [low, high] = tail.threshold.map(f64::from);
        held += usize::from(low < truth && truth < high);
    }
    // 95% of 40 are 38. A bootstrap of a maximum-likelihood fit is somewhat short.
    assert!((33..=40).contains(&held), "{held} of 40");
}

#[test]
fn excesses_of_another_distribution_are_far_from_the_fit() {
    // Two heaps of equal scores: no tail.
    let mut scores = vec![0.0_f32; 900];
    scores.extend([1.0; 60]);
    scores.extend([9.0; 40]);
    let method = Method::Tail {
        rate: 0.01,
        start: 0.2,
    };
    let found = choose(&scores, None, method).unwrap();
    assert!(found.tail.unwrap().distance > 0.3, "{found:?}");
    let good = choose(&excesses(1_000, 0.1, 1.0, 11), None, method).unwrap();
    let distance = good.tail.unwrap().distance;
    assert!(distance < 1.36 / 200.0_f64.sqrt(), "{distance}");
}

#[test]
fn the_same_scores_in_any_order_give_the_same_threshold() {
    let scores = excesses(3_000, 0.2, 1.0, 12);
    let mut turned = scores.clone();
    turned.reverse();
    for method in [
        Method::Quantile(0.9),
        Method::FalsePositiveRate(0.01),
        Method::Tail {
            rate: 1e-3,
            start: 0.1,
        },
    ] {
        assert_eq!(choose(&scores, None, method), choose(&turned, None, method));
    }
}

#[test]
fn what_no_threshold_can_be_chosen_from_is_refused() {
    let scores = excesses(500, 0.0, 1.0, 13);
    let refused = |scores: &[f32], method| choose(scores, None, method).unwrap_err();
    for share in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(matches!(
            refused(&scores, Method::Quantile(share)),
            ThresholdError::Share { .. }
        ));
        let method = Method::Tail {
            rate: share,
            start: 0.5,
        };
        assert!(matches!(
            refused(&scores, method),
            ThresholdError::Share { .. }
        ));
        let method = Method::Tail {
            rate: 0.001,
            start: share,
        };
        assert!(matches!(
            refused(&scores, method),
            ThresholdError::Share { .. }
        ));
    }
    let method = Method::FalsePositiveRate(0.1);
    assert!(matches!(
        refused(&[1.0, f32::NAN], method),
        ThresholdError::Scores(_)
    ));
    assert!(matches!(
        refused(&[], method),
        ThresholdError::Unresolved { .. }
    ));
    let short = refused(
        &scores,
        Method::Tail {
            rate: 0.01,
            start: 0.05,
        },
    );
    assert_eq!(short, ThresholdError::ShortTail { got: 25 });
    let labels = choose(&scores, Some(&[true]), method).unwrap_err();
    assert!(matches!(labels, ThresholdError::Scores(_)));
}

/// `cargo test --workspace --lib genpareto -- --ignored`, with `GLEANER_BESIDE` a directory: `bench/genpareto.py` reads it.
#[test]
#[ignore = "writes the excesses of the_fit_is_scipys to the directory GLEANER_BESIDE"]
fn excesses_for_genpareto() {
    let directory = std::env::var("GLEANER_BESIDE").unwrap();
    for (number, (count, shape, scale, seed, ..)) in SCIPY.into_iter().enumerate() {
        let values = excesses(count, shape, scale, seed);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let path = std::path::Path::new(&directory).join(format!("genpareto{number}.f32"));
        std::fs::write(path, bytes).unwrap();
    }
}
