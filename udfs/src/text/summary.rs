//! Six statistics of a list: what Revoke-Obfuscation reports of a script's tokens.
//!
//! **Cost.** One sort of the list, in place.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "features are f32: seven digits of a count suffice"
)]

/// Average, maximum, minimum, median, mode and range; all 0 for an empty list.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) average: f32,
    pub(crate) maximum: f32,
    pub(crate) minimum: f32,
    /// Of an even number of values the mean of the two in the middle.
    pub(crate) median: f32,
    /// The most frequent value; of several the least.
    pub(crate) mode: f32,
    pub(crate) range: f32,
}

impl Summary {
    /// Summarises finite values, and sorts them.
    pub(crate) fn of(values: &mut [f32]) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        let (Some(minimum), Some(maximum)) = (values.first().copied(), values.last().copied())
        else {
            return Self::default();
        };
        let sum: f64 = values.iter().copied().map(f64::from).sum();
        let middle = |at: usize| values.get(at).copied().unwrap_or_default();
        let median = f32::midpoint(middle((values.len() - 1) / 2), middle(values.len() / 2));
        let (mut mode, mut most) = (minimum, 0);
        for run in values.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
            if run.len() > most {
                (mode, most) = (run.first().copied().unwrap_or_default(), run.len());
            }
        }
        let average = ((sum / values.len() as f64) as f32).clamp(minimum, maximum);
        Self {
            average,
            maximum,
            minimum,
            median,
            mode,
            range: maximum - minimum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_six_are_those_computed_by_hand() {
        let summary = Summary::of(&mut [5.0, 1.0, 2.0, 2.0]);
        let expected = Summary {
            average: 2.5,
            maximum: 5.0,
            minimum: 1.0,
            median: 2.0,
            mode: 2.0,
            range: 4.0,
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn of_several_modes_the_least_counts_and_nothing_gives_zeros() {
        assert!((Summary::of(&mut [3.0, 1.0]).mode - 1.0).abs() < f32::EPSILON);
        assert!((Summary::of(&mut [3.0, 1.0]).median - 2.0).abs() < f32::EPSILON);
        assert_eq!(Summary::of(&mut []), Summary::default());
    }
}
