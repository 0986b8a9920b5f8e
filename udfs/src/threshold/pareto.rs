//! The generalised Pareto distribution of excesses: density, fit, quantiles.

/// A generalised Pareto distribution from 0 on: `P(X > x) = (1 + shape · x / scale)^(−1 / shape)`; exponential where the shape is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pareto {
    /// ξ: above 0 heavy tails, below 0 a tail that ends. `c` of `scipy.stats.genpareto`.
    pub shape: f64,
    /// σ, in the unit of the excesses; above 0.
    pub scale: f64,
}

/// Below this a shape is that of an exponential.
const FLAT: f64 = 1e-9;
/// The least shape: below it the likelihood has no regular maximum (Smith 1985).
const LEAST_SHAPE: f64 = -0.5;

impl Pareto {
    /// The chance that an excess is above `x`.
    #[must_use]
    pub fn survival(&self, x: f64) -> f64 {
        if self.shape.abs() < FLAT {
            return (-x / self.scale).exp();
        }
        let base = 1.0 + self.shape * x / self.scale;
        if base <= 0.0 {
            0.0
        } else {
            base.powf(-1.0 / self.shape)
        }
    }

    /// The excess that a share `chance` (above 0, at most 1) is above of.
    #[must_use]
    pub fn quantile(&self, chance: f64) -> f64 {
        if self.shape.abs() < FLAT {
            return -self.scale * chance.ln();
        }
        self.scale / self.shape * (chance.powf(-self.shape) - 1.0)
    }

    /// Fits by maximum likelihood over shapes from −0.5 on. By Grimshaw's (1993) reparametrisation the two-dimensional search is
    /// one over `θ = shape / scale`: at each, the best shape is the mean of `ln(1 + θ x)`. A grid finds the hill, a golden section its top. `None` for fewer
    /// than two excesses, or one that is not above 0 and finite.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    pub fn fit(excesses: &[f64]) -> Option<Self> {
        let n = excesses.len() as f64;
        let sound = |x: &f64| *x > 0.0 && x.is_finite();
        if excesses.len() < 2 || !excesses.iter().all(sound) {
            return None;
        }
        let mean = excesses.iter().sum::<f64>() / n;
        let greatest = excesses.iter().copied().fold(0.0, f64::max);
        let shape_at = |theta: f64| excesses.iter().map(|x| (theta * x).ln_1p()).sum::<f64>() / n;
        let of = |theta: f64| {
            if theta.abs() * mean < FLAT {
                return Self {
                    shape: 0.0,
                    scale: mean,
                };
            }
            let shape = shape_at(theta);
            Self {
                shape,
                scale: shape / theta,
            }
        };
        // The mean log-likelihood at the best shape.
        let likelihood = |theta: f64| {
            let fit = of(theta);
            if fit.shape < LEAST_SHAPE || !fit.scale.is_finite() || fit.scale <= 0.0 {
                return f64::NEG_INFINITY;
            }
            -fit.scale.ln() - fit.shape - 1.0
        };
        let mut grid: Vec<f64> = (1..=20)
            .map(|step| -(1.0 - f64::from(step) / 21.0).powi(2) / greatest)
            .collect();
        grid.push(0.0);
        grid.extend((0..=28).map(|step| 10.0_f64.powf(-4.0 + f64::from(step) / 4.0) / mean));
        let best = (0..grid.len()).max_by(|a, b| {
            likelihood(grid[*a])
                .total_cmp(&likelihood(grid[*b]))
                .then(b.cmp(a))
        })?;
        let mut low = grid[best.saturating_sub(1)];
        let mut high = grid[(best + 1).min(grid.len() - 1)];
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let mut inner = [high - golden * (high - low), low + golden * (high - low)];
        let mut values = inner.map(likelihood);
        for _ in 0..48 {
            if values[0] >= values[1] {
                high = inner[1];
                inner = [high - golden * (high - low), inner[0]];
                values = [likelihood(inner[0]), values[0]];
            } else {
                low = inner[0];
                inner = [inner[1], low + golden * (high - low)];
                values = [values[1], likelihood(inner[1])];
            }
        }
        let middle = f64::midpoint(low, high);
        let top = if likelihood(middle) >= likelihood(grid[best]) {
            middle
        } else {
            grid[best]
        };
        Some(of(top))
    }

    /// The interval of the excess that a share `chance` is above of: those whose best likelihood is at most `drop` below the fit's.
    /// The upper end is infinite where no excess is ruled out.
    #[must_use]
    pub fn quantile_interval(&self, excesses: &[f64], chance: f64, drop: f64) -> [f64; 2] {
        let least = self.likelihood(excesses) - drop;
        let at = self.quantile(chance);
        let inside = |excess: f64| profile(excesses, excess, chance) >= least;
        [0.5, 2.0].map(|factor| border(at, factor, f64::INFINITY, inside))
    }

    /// The interval of the chance that an excess is above `x`, likewise. The lower end is 0 where no chance is ruled out.
    #[must_use]
    pub fn survival_interval(&self, excesses: &[f64], x: f64, drop: f64) -> [f64; 2] {
        let least = self.likelihood(excesses) - drop;
        let inside = |chance: f64| profile(excesses, x, chance) >= least;
        [0.5, 2.0].map(|factor| border(self.survival(x), factor, 1.0, inside))
    }

    fn likelihood(&self, excesses: &[f64]) -> f64 {
        let n = f64::from(u32::try_from(excesses.len()).unwrap_or(u32::MAX));
        let ratio = self.shape / self.scale;
        if self.shape.abs() < FLAT {
            return -n * self.scale.ln() - excesses.iter().sum::<f64>() / self.scale;
        }
        let sum: f64 = excesses.iter().map(|x| (ratio * x).ln_1p()).sum();
        let value = -n * self.scale.ln() - (1.0 + 1.0 / self.shape) * sum;
        // An excess beyond the distribution's end cannot be.
        if value.is_nan() {
            f64::NEG_INFINITY
        } else {
            value
        }
    }

    /// The largest difference between the shares of the excesses (ascending) and this distribution's: Kolmogorov and Smirnov's distance.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "row counts stay below 2^53")]
    pub fn distance(&self, ascending: &[f64]) -> f64 {
        let n = ascending.len() as f64;
        let apart = ascending.iter().enumerate().map(|(place, x)| {
            let share = 1.0 - self.survival(*x);
            (share - place as f64 / n)
                .abs()
                .max((share - (place + 1) as f64 / n).abs())
        });
        apart.fold(0.0, f64::max)
    }
}

/// The greatest likelihood of the distributions that have a share `chance` above `x`, over their shapes.
fn profile(excesses: &[f64], x: f64, chance: f64) -> f64 {
    let of = |shape: f64| {
        let scale = if shape.abs() < 1e-6 {
            -x / chance.ln()
        } else {
            shape * x / (chance.powf(-shape) - 1.0)
        };
        if scale > 0.0 && scale.is_finite() {
            Pareto { shape, scale }.likelihood(excesses)
        } else {
            f64::NEG_INFINITY
        }
    };
    let step = 0.125;
    let shapes = (0..=28).map(|place| LEAST_SHAPE + step * f64::from(place));
    let mut best = (f64::NEG_INFINITY, 0.0);
    for shape in shapes {
        let value = of(shape);
        if value > best.0 {
            best = (value, shape);
        }
    }
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((best.1 - step).max(LEAST_SHAPE), best.1 + step);
    for _ in 0..20 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if of(left) >= of(right) {
            high = right;
        } else {
            low = left;
        }
    }
    best.0.max(of(f64::midpoint(low, high)))
}

/// Where, going from `at` by `factor`, what is inside ends; `most`, or 0, where it does not.
fn border(at: f64, factor: f64, most: f64, inside: impl Fn(f64) -> bool) -> f64 {
    let (mut within, mut beyond) = (at, at * factor);
    for _ in 0..40 {
        if beyond >= most {
            beyond = most;
            if most.is_finite() && !inside(most * (1.0 - 1e-9)) {
                break;
            }
            return most;
        }
        if !inside(beyond) {
            break;
        }
        (within, beyond) = (beyond, beyond * factor);
    }
    if inside(beyond) {
        return if factor < 1.0 { 0.0 } else { most };
    }
    for _ in 0..30 {
        let middle = (within * beyond).sqrt();
        if inside(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    within
}
