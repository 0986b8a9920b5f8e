//! The eigendecomposition of a covariance, with an order and a sign of its own.

use super::KIND;
use crate::learner::{LearnerError, same_size};
use linfa_linalg::eigh::EighInto;
use ndarray::Array2;

/// Eigenvalues, descending, and unit eigenvectors, row-major, one row a value.
///
/// Householder tridiagonalisation and implicit QR, by `linfa-linalg`. The matrix is scaled by its mean eigenvalue and
/// shifted by it, which changes no eigenvector: the solver tests an off-diagonal for zero against its diagonal
/// neighbours and has no bound on its steps, so that a singular covariance (dependent features) could leave it
/// comparing rounding noise with rounding noise.
///
/// **Sign**: the coordinate of largest magnitude (the first among equals) is positive. Tiny negative eigenvalues of a
/// singular covariance are rounding and are returned as 0.
///
/// # Errors
/// [`LearnerError::Shape`] when `matrix` is not `d × d`, [`LearnerError::Fit`] when it is not finite or not decomposed.
#[expect(clippy::cast_precision_loss, reason = "d is at most 8192")]
pub fn symmetric_eigen(matrix: &[f64], d: usize) -> Result<(Vec<f64>, Vec<f64>), LearnerError> {
    let failed = || LearnerError::Fit {
        learner: KIND,
        reason: "the covariance has no finite eigendecomposition",
    };
    same_size(KIND, "numbers of the covariance", d * d, matrix.len())?;
    let scale = (0..d).map(|i| matrix[i * d + i].abs()).sum::<f64>() / d.max(1) as f64;
    if matrix.iter().any(|value| !value.is_finite()) || !scale.is_finite() {
        return Err(failed());
    }
    let unit = if scale > 0.0 { scale } else { 1.0 };
    let mut shifted =
        Array2::from_shape_vec((d, d), matrix.iter().map(|value| value / unit).collect())
            .map_err(|_| failed())?;
    shifted.diag_mut().mapv_inplace(|value| value + 1.0);
    let (values, vectors) = shifted.eigh_into().map_err(|_| failed())?;
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let sorted: Vec<f64> = order
        .iter()
        .map(|column| ((values[*column] - 1.0) * unit).max(0.0))
        .collect();
    let mut rows = Vec::with_capacity(d * d);
    for column in order {
        let vector = vectors.column(column);
        let largest = vector.iter().fold(0.0_f64, |largest, value| {
            if value.abs() > largest.abs() {
                *value
            } else {
                largest
            }
        });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        rows.extend(vector.iter().map(|value| sign * value));
    }
    if sorted.iter().chain(&rows).any(|value| !value.is_finite()) {
        return Err(failed());
    }
    Ok((sorted, rows))
}
