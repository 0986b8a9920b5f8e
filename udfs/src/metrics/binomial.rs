//! Exact intervals of a share (Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
//! binomial", Biometrika 26).
//!
//! The limits are quantiles of beta distributions: lower = B(α/2; x, n−x+1), upper = B(1−α/2; x+1, n−x). The regularised incomplete beta
//! function is Lentz's continued fraction; its inverse a bisection, which needs no start value and cannot diverge. With no error in
//! n the upper limit at 95%, two-sided, is 1 − 0.025^(1/n), about 3.7/n (3/n one-sided).

/// A share and its limits, all in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
}

/// The two-sided interval of the share of which `hits` of `n` were seen, at `confidence` (0.95). Nothing seen: 0 to 1.
#[must_use]
pub fn clopper_pearson(hits: u64, n: u64, confidence: f64) -> Interval {
    let hits = hits.min(n);
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let (x, rest) = (real(hits), real(n - hits));
    let low = if hits == 0 {
        0.0
    } else {
        beta_quantile(tail, x, rest + 1.0)
    };
    let high = if hits == n {
        1.0
    } else {
        beta_quantile(1.0 - tail, x + 1.0, rest)
    };
    Interval { low, high }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn real(n: u64) -> f64 {
    n as f64
}

fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if incomplete_beta(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function `I_x(a, b)`.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// Lentz's method for the continued fraction (Numerical Recipes, 6.4).
#[expect(
    clippy::many_single_char_names,
    reason = "the names of the formula's parts"
)]
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..5000_u32 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let step = d * c;
        value *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// Logarithm of the gamma function by Lanczos' approximation (g = 7, 9 terms), good to 15 digits for positive arguments.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    let mut at = x;
    for term in TERMS {
        at += 1.0;
        sum += term / at;
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::clopper_pearson;

    fn close(hits: u64, n: u64, low: f64, high: f64) {
        let found = clopper_pearson(hits, n, 0.95);
        assert!(
            (found.low - low).abs() < 1e-6 && (found.high - high).abs() < 1e-6,
            "{hits}/{n}: {found:?}"
        );
    }

    #[test]
    fn limits_are_those_of_closed_forms() {
        // No error in n: 1 − (α/2)^(1/n); all of n: (α/2)^(1/n).
        for n in [1_u64, 10, 300, 100_000] {
            let power = 0.025_f64.powf(1.0 / super::real(n));
            close(0, n, 0.0, 1.0 - power);
            close(n, n, power, 1.0);
        }
        assert!(
            clopper_pearson(0, 0, 0.95)
                == super::Interval {
                    low: 0.0,
                    high: 1.0
                }
        );
    }

    #[test]
    fn limits_leave_the_wanted_tails_of_the_binomial() {
        for (x, n) in [(1_u32, 10_u32), (5, 20), (12, 40), (1, 60)] {
            let found = clopper_pearson(x.into(), n.into(), 0.95);
            let choose = |k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
            let mass = |k: u32, p: f64| {
                choose(k) * p.powi(k.cast_signed()) * (1.0 - p).powi((n - k).cast_signed())
            };
            let at_most: f64 = (0..=x).map(|k| mass(k, found.high)).sum();
            let at_least: f64 = (x..=n).map(|k| mass(k, found.low)).sum();
            assert!(
                (at_most - 0.025).abs() < 1e-9 && (at_least - 0.025).abs() < 1e-9,
                "{x}/{n}"
            );
        }
    }
}
