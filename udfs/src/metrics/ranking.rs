//! How well scores rank labelled rows.

/// Whether two values, none of them NaN, are equal; `-0.0` is `0.0`.
pub(super) fn same(a: f32, b: f32) -> bool {
    a.partial_cmp(&b) == Some(std::cmp::Ordering::Equal)
}

/// Groups of equal scores, best first: score, outliers and rows of each. `None` where a score is NaN or the lengths differ.
pub(super) fn ordered(scores: &[f32], outlier: &[bool]) -> Option<Vec<(f32, u64, u64)>> {
    if scores.len() != outlier.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut order: Vec<(f32, bool)> = scores
        .iter()
        .copied()
        .zip(outlier.iter().copied())
        .collect();
    // `-0.0` and `0.0` are one score, and the order of the two does not matter.
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let groups = order.chunk_by(|a, b| same(a.0, b.0)).map(|group| {
        let outliers = group.iter().filter(|(_, outlier)| *outlier).count();
        (group[0].0, outliers as u64, group.len() as u64)
    });
    Some(groups.collect())
}

/// The area under the ROC curve: the chance that an outlier scores above another row, a tie counting half.
///
/// `scores` and `outlier` have one entry a row; higher scores are more anomalous. `None` where there is no outlier or
/// nothing else, a score is NaN, or the lengths differ. (Hanley & `McNeil` 1982; scikit-learn's `roc_auc_score`.)
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
pub fn auroc(scores: &[f32], outlier: &[bool]) -> Option<f64> {
    let groups = ordered(scores, outlier)?;
    let (mut above, mut pairs, mut rest) = (0_u64, 0.0, 0_u64);
    for (_, outliers, rows) in groups {
        let others = rows - outliers;
        // Each row that is no outlier is below the outliers before it, and ties with those of its group.
        pairs += others as f64 * (above as f64 + outliers as f64 / 2.0);
        above += outliers;
        rest += others;
    }
    (above > 0 && rest > 0).then(|| pairs / (above as f64 * rest as f64))
}

/// Average precision, the area under the precision-recall curve as steps: the sum over thresholds of (gain in recall) ×
/// precision, rows of equal score entering together, without interpolation (scikit-learn's `average_precision_score`).
///
/// `None` where there is no outlier, a score is NaN, or the lengths differ.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
pub fn average_precision(scores: &[f32], outlier: &[bool]) -> Option<f64> {
    let (mut found, mut seen, mut sum) = (0_u64, 0_u64, 0.0);
    for (_, outliers, rows) in ordered(scores, outlier)? {
        found += outliers;
        seen += rows;
        sum += outliers as f64 * (found as f64 / seen as f64);
    }
    (found > 0).then(|| sum / found as f64)
}

/// Spearman's rank correlation of two lists, ties sharing their mean rank; -1 to 1.
///
/// `None` for fewer than two rows, a NaN, lists of different lengths, or a list of one value only.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
pub fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() || a.iter().chain(b).any(|value| value.is_nan()) {
        return None;
    }
    let (a, b) = (mean_ranks(a), mean_ranks(b));
    let mean = f64::midpoint(a.len() as f64, 1.0);
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| (x - mean) * (y - mean))
            .sum::<f64>()
    };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
fn mean_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<(f32, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for group in order.chunk_by(|a, b| same(a.0, b.0)) {
        let rank = before as f64 + f64::midpoint(group.len() as f64, 1.0);
        for (_, place) in group {
            ranks[*place] = rank;
        }
        before += group.len();
    }
    ranks
}
