use super::*;

/// The definition: every pair of an outlier and another row.
fn pairs(scores: &[f32], outlier: &[bool]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (a, _) in scores.iter().zip(outlier).filter(|(_, outlier)| **outlier) {
        for (b, _) in scores.iter().zip(outlier).filter(|(_, outlier)| !**outlier) {
            count += 1.0;
            sum += match a.partial_cmp(b) {
                Some(std::cmp::Ordering::Greater) => 1.0,
                Some(std::cmp::Ordering::Equal) => 0.5,
                _ => 0.0,
            };
        }
    }
    sum / count
}

fn close(value: Option<f64>, expected: f64) {
    let value = value.unwrap();
    assert!((value - expected).abs() < 1e-12, "{value} {expected}");
}

#[test]
fn areas_are_those_worked_out_by_hand_and_by_scikit_learn() {
    // scikit-learn's own examples: roc_auc_score 0.75, average_precision_score 0.8333….
    let (scores, labels) = ([0.1, 0.4, 0.35, 0.8], [false, false, true, true]);
    close(auroc(&scores, &labels), 0.75);
    close(average_precision(&scores, &labels), 5.0 / 6.0);
    // One tie of an outlier and another row: 0.9 | 0.5, 0.5 | 0.1 with outliers 0.9 and one of the 0.5.
    let (scores, labels) = ([0.5, 0.9, 0.1, 0.5], [true, true, false, false]);
    close(auroc(&scores, &labels), 3.5 / 4.0);
    close(average_precision(&scores, &labels), 0.5 + 0.5 * (2.0 / 3.0));
    // All equal: nothing is known, and precision is the share of outliers.
    close(auroc(&[1.0; 4], &labels), 0.5);
    close(average_precision(&[1.0; 4], &labels), 0.5);
    close(auroc(&[0.0, -0.0], &[true, false]), 0.5);
}

#[test]
fn the_area_under_the_roc_curve_is_the_share_of_ordered_pairs() {
    let mut rng = crate::rng::SplitMix64::new(4);
    for values in [2, 7, 100_000] {
        #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
        let scores: Vec<f32> = (0..300).map(|_| rng.below(values) as f32).collect();
        let labels: Vec<bool> = (0..300).map(|_| rng.below(5) == 0).collect();
        close(auroc(&scores, &labels), pairs(&scores, &labels));
    }
}

#[test]
fn what_has_no_area_is_none() {
    assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
    assert_eq!(auroc(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(average_precision(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(auroc(&[f32::NAN, 2.0], &[true, false]), None);
    assert_eq!(auroc(&[1.0], &[true, false]), None);
    assert_eq!(auroc(&[], &[]), None);
}

#[test]
fn rank_correlation_is_that_worked_out_by_hand() {
    close(rank_correlation(&[1.0, 5.0, 9.0], &[2.0, 3.0, 100.0]), 1.0);
    close(rank_correlation(&[1.0, 5.0, 9.0], &[3.0, 2.0, 1.0]), -1.0);
    // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) = 0.8207826816681233.
    close(
        rank_correlation(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]),
        0.820_782_681_668_123_3,
    );
    assert_eq!(rank_correlation(&[1.0, 2.0], &[3.0, 3.0]), None);
    assert_eq!(rank_correlation(&[1.0, f32::NAN], &[3.0, 4.0]), None);
    assert_eq!(rank_correlation(&[1.0], &[3.0, 4.0]), None);
}

#[test]
fn the_stability_index_is_that_worked_out_by_hand() {
    // 100 values in ten equal bins; then all in the lowest: shares (10.5 / 105.5) or, of the missing, (0.5 / 105.5)
    // become (100.5 / 105.5) and (0.5 / 105.5) for all others.
    let hundred: Vec<f32> = (0..100_u8).map(f32::from).collect();
    let deciles = Deciles::of(&hundred);
    assert_eq!(
        deciles.cuts(),
        [9.0, 19.0, 29.0, 39.0, 49.0, 59.0, 69.0, 79.0, 89.0]
    );
    assert_eq!(
        deciles.counts(),
        [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0]
    );
    let same = deciles.compare(&hundred);
    assert!(same.psi.abs() < 1e-12 && !same.drifted());
    let lowest = deciles.compare(&[0.0; 100]);
    let (p, q, r) = (10.5_f64 / 105.5, 100.5_f64 / 105.5, 0.5_f64 / 105.5);
    let expected = (p - q) * (p / q).ln() + 9.0 * (p - r) * (p / r).ln();
    assert!((lowest.psi - expected).abs() < 1e-12 && lowest.drifted());
}

#[test]
fn a_feature_that_is_nearly_always_zero_drifts_when_it_is_not() {
    let then: Vec<f32> = (0..1000_u16)
        .map(|i| f32::from(u8::from(i % 100 == 0)))
        .collect();
    let deciles = Deciles::of(&then);
    assert_eq!(
        (deciles.cuts(), deciles.counts()),
        ([0.0].as_slice(), [990, 10, 0].as_slice())
    );
    let often: Vec<f32> = (0..1000_u16)
        .map(|i| f32::from(u8::from(i % 4 == 0)))
        .collect();
    assert!(deciles.compare(&often).drifted());
    assert!(!deciles.compare(&then[..500]).drifted());
    // Missing values are a bin of their own.
    assert!(deciles.compare(&[f32::NAN; 1000]).drifted());
}

#[test]
fn chance_is_no_drift() {
    let mut rng = crate::rng::SplitMix64::new(9);
    #[expect(clippy::cast_possible_truncation, reason = "test data")]
    let mut draw = |n: usize| (0..n).map(|_| rng.next_normal() as f32).collect::<Vec<_>>();
    let mut above = 0;
    for n in [20, 50, 200, 5000] {
        for _ in 0..250 {
            above += usize::from(Deciles::of(&draw(n)).compare(&draw(n)).drifted());
        }
    }
    assert!(above < 10, "{above} of 1000");
    // Half a deviation is a drift, and so is twice the width.
    let (then, now) = (draw(5000), draw(5000));
    let moved: Vec<f32> = now.iter().map(|x| x + 0.55).collect();
    let wider: Vec<f32> = now.iter().map(|x| x * 2.0).collect();
    let deciles = Deciles::of(&then);
    assert!(deciles.compare(&moved).drifted() && deciles.compare(&wider).drifted());
    assert!(Deciles::of(&[]).compare(&[]).psi.abs() < 1e-12);
}

#[test]
fn deciles_are_rebuilt_from_their_parts_and_nothing_else_is() {
    let deciles = Deciles::of(&[1.0, 2.0, f32::NAN]);
    let (cuts, counts) = (deciles.cuts().to_vec(), deciles.counts().to_vec());
    assert_eq!(
        Deciles::from_parts(cuts.clone(), counts.clone()),
        Some(deciles)
    );
    assert_eq!(Deciles::from_parts(vec![2.0, 1.0], vec![0; 4]), None);
    assert_eq!(Deciles::from_parts(cuts, counts[1..].to_vec()), None);
}
