//! Which features made a row's path short.
//!
//! A node with n rows is expected to need `c(n)` more levels. A cut costs one level and leaves the m rows on the row's
//! side, with `c(m)` to go: it saved `c(n) − 1 − c(m)`. Summed down a path this telescopes to `c(max_samples)` minus
//! the path's length, so the credits of all features add up to exactly what the score is made of, `c(max_samples) −
//! E[h(x)]`: an additive attribution, at the cost of one walk. A cut of the row off from many earns about `2·ln(n/m)`;
//! one that leaves nearly all rows with it costs up to a level. (DIFFI, Carletti et al. 2023, weighs cuts likewise by
//! the imbalance they make, but its values add up to nothing; Tree-SHAP gives additive values too, at `depth²` the
//! cost.)
//!
//! Where rows are scored as if inserted, a cut that separates the row from all others leaves it alone, `c(1) = 0`, and is weighed by how
//! likely it is; what was drawn but could not be cut without the row is such a cut too.
//!
//! A hyperplane's credit is shared among its coordinates by how far each moved the row off the plane's point, `|wⱼ·(xⱼ
//! − pⱼ)|`.

use super::insert::insert;
use super::model::IForestModel;
use crate::learner::{LearnerError, same_size, to_usize};

impl IForestModel {
    /// Writes to `out` (one place a feature) the mean number of levels by which the feature's cuts shortened the row's
    /// path; positive is towards anomalous. They add up to `c(samples) − E[h]`.
    ///
    /// # Errors
    /// [`LearnerError::Shape`] when `row` or `out` does not have the model's features.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "credits are small numbers"
    )]
    pub fn explain(&self, row: &[f32], out: &mut [f32]) -> Result<(), LearnerError> {
        same_size(super::KIND, "features a row", self.d, row.len())?;
        same_size(super::KIND, "contributions", self.d, out.len())?;
        let mut credits = vec![0.0_f64; self.d];
        let width = self.extension_level + 1;
        let mut shares = vec![0.0_f64; width];
        let expected = |rows: u32| self.average[to_usize(rows)];
        if self.insertion() {
            for (tree, walk) in self.trees.iter().zip(&self.walks) {
                insert(tree, walk, row, &mut |feature, share, parent, left| {
                    let credit = expected(tree.rows[parent]) - 1.0 - expected(left);
                    credits[usize::from(feature)] += share * credit;
                });
            }
            for (credit, out) in credits.iter().zip(out) {
                *out = (credit / self.trees.len() as f64) as f32;
            }
            return Ok(());
        }
        self.walk(row, |tree, plane, parent, child| {
            let credit = expected(tree.rows[parent]) - 1.0 - expected(tree.rows[child]);
            let first = plane.unwrap_or(0) * width;
            let features = &tree.feature[first..first + width];
            if width == 1 {
                credits[usize::from(features[0])] += credit;
                return;
            }
            for (place, share) in shares.iter_mut().enumerate() {
                let (point, normal) = (tree.point[first + place], tree.normal[first + place]);
                let moved = f64::from(row[usize::from(features[place])]) - f64::from(point);
                *share = (moved * f64::from(normal)).abs();
            }
            let total: f64 = shares.iter().sum();
            for (feature, share) in features.iter().zip(&shares) {
                let share = if total > 0.0 && total.is_finite() {
                    share / total
                } else {
                    1.0 / width as f64
                };
                credits[usize::from(*feature)] += credit * share;
            }
        });
        for (credit, out) in credits.iter().zip(out) {
            *out = (credit / self.trees.len() as f64) as f32;
        }
        Ok(())
    }
}
