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
