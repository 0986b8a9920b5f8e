//! Axes: where values lie, where ticks stand, how numbers are written.

/// How values map to places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Proportional.
    Linear,
    /// Proportional to the logarithm; values below the domain lie at its lower end.
    Log,
}

/// A domain of values mapped to a range of places, in pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    kind: Kind,
    domain: (f64, f64),
    range: (f64, f64),
    /// Where ticks stand, rising, all within the domain.
    pub ticks: Vec<f64>,
}

impl Scale {
    /// From 0 (or the lowest value, where that is below) to a round number at or above the highest; about `n` ticks. Values that are no numbers do not count.
    #[must_use]
    pub fn linear(values: impl IntoIterator<Item = f64>, range: (f64, f64), n: usize) -> Self {
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        Self::between(low.min(0.0), high.max(0.0), range, n)
    }

    /// From a round number at or below `low` to one at or above `high`; about `n` ticks.
    #[must_use]
    pub fn between(low: f64, high: f64, range: (f64, f64), n: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = nice((high - low) / count(n.max(1)));
        let (first, last) = ((low / step).floor(), (high / step - 1e-9).ceil());
        let mut ticks = vec![];
        let mut at = first;
        while at <= last {
            ticks.push(at * step);
            at += 1.0;
        }
        Self {
            kind: Kind::Linear,
            domain: (first * step, last * step),
            range,
            ticks,
        }
    }

    /// Exactly from `low` to `high`, with ticks at these places.
    #[must_use]
    pub fn exact(low: f64, high: f64, range: (f64, f64), ticks: Vec<f64>) -> Self {
        Self {
            kind: Kind::Linear,
            domain: (low, if high > low { high } else { low + 1.0 }),
            range,
            ticks,
        }
    }

    /// Powers of ten around all values above 0, one decade at the least.
    #[must_use]
    pub fn log(values: impl IntoIterator<Item = f64>, range: (f64, f64)) -> Self {
        let positive = values.into_iter().filter(|v| *v > 0.0);
        let (low, high) = extent(positive).unwrap_or((1.0, 10.0));
        let first = (low.log10() + 1e-9).floor();
        let last = (high.log10() - 1e-9).ceil().max(first + 1.0);
        let mut ticks = vec![];
        let mut at = first;
        while at <= last {
            ticks.push(10_f64.powf(at));
            at += 1.0;
        }
        Self {
            kind: Kind::Log,
            domain: (10_f64.powf(first), 10_f64.powf(last)),
            range,
            ticks,
        }
    }

    /// Where a value lies.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = match self.kind {
            Kind::Linear => (value - low) / (high - low),
            Kind::Log => (value.max(low) / low).log10() / (high / low).log10(),
        };
        let (start, end) = self.range;
        start + share * (end - start)
    }

    /// The lower end of the domain.
    #[must_use]
    pub const fn low(&self) -> f64 {
        self.domain.0
    }

    /// The upper end of the domain.
    #[must_use]
    pub const fn high(&self) -> f64 {
        self.domain.1
    }
}

/// The lowest and highest number.
fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|v| v.is_finite());
    finite.fold(None, |found: Option<(f64, f64)>, v| {
        Some(found.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    })
}

/// The least of 1, 2, 5 × 10ⁿ at or above a width.
fn nice(width: f64) -> f64 {
    let power = 10_f64.powf(width.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.iter().find(|s| **s * power >= width * (1.0 - 1e-9));
    step.unwrap_or(&10.0) * power
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
#[must_use]
pub const fn count(n: usize) -> f64 {
    n as f64
}

/// A count of rows as a number.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
#[must_use]
pub const fn rows(n: u64) -> f64 {
    n as f64
}

/// A number as an axis has it: 1,500 or 2M, 0.25, 1e-4.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    let trimmed = |text: String| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    };
    if size >= 1e9 {
        format!("{}B", trimmed(format!("{:.2}", value / 1e9)))
    } else if size >= 1e6 {
        format!("{}M", trimmed(format!("{:.2}", value / 1e6)))
    } else if size >= 10_000.0 {
        format!("{}k", trimmed(format!("{:.1}", value / 1e3)))
    } else if !(1e-12..1.0).contains(&size) {
        grouped(&trimmed(format!("{value:.2}")))
    } else if size >= 1e-3 {
        trimmed(format!("{value:.4}"))
    } else {
        format!("{value:e}")
    }
}

/// A count in full, with commas: 1,234,567.
#[must_use]
pub fn full(n: u64) -> String {
    grouped(&n.to_string())
}

fn grouped(text: &str) -> String {
    let (whole, rest) = text.find('.').map_or((text, ""), |dot| text.split_at(dot));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// A share in percent, with as many digits as tell it from 0 and 100: 12.3%, 0.04%, 99.97%.
#[must_use]
pub fn percent(share: f64) -> String {
    let from_edge = share.abs().min((1.0 - share).abs());
    let digits = match from_edge {
        e if e < 1e-12 => 0,
        e if e < 0.0005 => 3,
        e if e < 0.01 => 2,
        _ => 1,
    };
    format!("{:.digits$}%", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let scale = Scale::linear([3.0, 17.0, 42.0], (0.0, 100.0), 5);
        assert_eq!(scale.ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert!((scale.at(25.0) - 50.0).abs() < 1e-9);
        let scale = Scale::linear([0.013, 0.031], (0.0, 1.0), 4);
        assert_eq!(scale.ticks.len(), 5);
        assert!((scale.high() - 0.04).abs() < 1e-12);
    }

    #[test]
    fn a_range_of_places_may_run_upwards() {
        let scale = Scale::linear([10.0], (200.0, 0.0), 2);
        assert!((scale.at(0.0) - 200.0).abs() < 1e-9 && scale.at(10.0).abs() < 1e-9);
    }

    #[test]
    fn a_logarithm_has_decades_and_zero_lies_at_its_lower_end() {
        let scale = Scale::log([5.0, 900.0, 0.0], (0.0, 300.0));
        assert_eq!(scale.ticks, [1.0, 10.0, 100.0, 1000.0]);
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert!(scale.at(0.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_and_one_value_and_what_is_no_number_have_axes_too() {
        for scale in [
            Scale::linear([], (0.0, 10.0), 4),
            Scale::linear([0.0, 0.0], (0.0, 10.0), 4),
            Scale::linear([f64::NAN, f64::INFINITY, 2.0], (0.0, 10.0), 4),
            Scale::log([], (0.0, 10.0)),
            Scale::log([7.0], (0.0, 10.0)),
        ] {
            assert!(
                scale.ticks.len() >= 2 && scale.ticks.len() < 12,
                "{scale:?}"
            );
            assert!(
                scale.ticks.iter().all(|t| scale.at(*t).is_finite()),
                "{scale:?}"
            );
        }
    }

    #[test]
    fn numbers_read_well() {
        let shown = [0.0, 0.25, 1e-4, 1500.0, 25_000.0, 2.5e6, 3e9].map(short);
        assert_eq!(shown, ["0", "0.25", "1e-4", "1,500", "25k", "2.5M", "3B"]);
        assert_eq!(full(1_234_567), "1,234,567");
        let shown = [0.0, 1.0, 0.5, 0.0004, 0.9997, 0.005].map(percent);
        assert_eq!(shown, ["0%", "100%", "50.0%", "0.040%", "99.970%", "0.50%"]);
    }
}
