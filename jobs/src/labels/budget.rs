//! What may still be spent: attempts and money.
//!
//! Retries are a share of the calls that a run needs without faults, not a number a call: however bad the network, a run makes at most (1 + share) times the calls. Money is
//! reserved before a call at what it may cost, and settled by the usage that the server reports.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gleaner_udfs::rng::SplitMix64;
use serde::Serialize;

use crate::observe::metrics;

/// Retries that even the smallest run has, as long as its share allows one at all.
const LEAST_CALLS: f64 = 4.0;
/// The longest pause before a retry, also when a server asks for more.
const LONGEST: Duration = Duration::from_mins(1);

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Requests to the model, retries among them.
    pub calls: u64,
    /// Of them, retries.
    pub retries: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written, reasoning among them.
    pub output_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

#[derive(Debug)]
struct State {
    spent: Spent,
    reserved_usd: f64,
    retries_left: f64,
    not_before: Option<Instant>,
    rng: SplitMix64,
}

/// The budget of a run, shared by its calls.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    ceiling_usd: Option<f64>,
    backoff: Duration,
    state: Mutex<State>,
}

/// A reservation that was made.
#[derive(Debug)]
pub struct Reserved(f64);

impl Budget {
    /// A budget: retries as a share of planned calls, a ceiling of cost, the first pause.
    #[must_use]
    pub fn new(share: f64, ceiling_usd: Option<f64>, backoff: Duration, seed: u64) -> Self {
        Self {
            share,
            ceiling_usd,
            backoff,
            state: Mutex::new(State {
                spent: Spent::default(),
                reserved_usd: 0.0,
                retries_left: 0.0,
                not_before: None,
                rng: SplitMix64::new(seed),
            }),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut state)
    }

    /// So many calls more will be made: retries are granted with them.
    #[expect(clippy::cast_precision_loss, reason = "calls, far below 2^53")]
    pub fn plan(&self, calls: usize) {
        self.with(|state| {
            let first = state.retries_left <= 0.0 && state.spent.calls == 0;
            let counted = calls as f64;
            let least = if first { LEAST_CALLS } else { 0.0 };
            state.retries_left += (counted.max(least) * self.share).floor();
        });
    }

    /// Takes one retry; `false` when there is none left.
    pub fn take_retry(&self) -> bool {
        self.with(|state| {
            let granted = state.retries_left >= 1.0;
            if granted {
                state.retries_left -= 1.0;
                state.spent.retries += 1;
            }
            granted
        })
    }

    /// Reserves what a call may cost; `None` when the ceiling does not allow it.
    pub fn reserve(&self, cost_usd: f64) -> Option<Reserved> {
        self.with(|state| {
            let would = state.spent.cost_usd + state.reserved_usd + cost_usd;
            if self.ceiling_usd.is_some_and(|ceiling| would > ceiling) {
                return None;
            }
            state.reserved_usd += cost_usd;
            Some(Reserved(cost_usd))
        })
    }

    /// Ends a reservation with what was used.
    pub fn settle(&self, reserved: &Reserved, used: Spent) {
        let spent = self.with(|state| {
            state.reserved_usd = (state.reserved_usd - reserved.0).max(0.0);
            state.spent.input_tokens += used.input_tokens;
            state.spent.output_tokens += used.output_tokens;
            state.spent.cost_usd += used.cost_usd;
            state.spent.cost_usd
        });
        metrics::driver().spent(used.cost_usd, spent, self.ceiling_usd);
    }

    /// Adds what was used without a reservation of its own.
    pub fn spend(&self, used: Spent) {
        self.settle(&Reserved(0.0), used);
    }

    /// Counts requests as they are made.
    pub fn count_calls(&self, calls: u64) {
        self.with(|state| state.spent.calls += calls);
    }

    /// What was used so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.with(|state| state.spent)
    }

    /// The server wants a rest: nobody calls before it is over.
    pub fn rest(&self, wanted: Duration) {
        let until = Instant::now() + wanted.min(LONGEST);
        self.with(|state| {
            state.not_before = Some(state.not_before.map_or(until, |earlier| earlier.max(until)));
        });
    }

    /// Waits as long as the server wants.
    pub async fn wait(&self) {
        while let Some(left) = self
            .with(|state| {
                state
                    .not_before
                    .map(|at| at.saturating_duration_since(Instant::now()))
            })
            .filter(|left| !left.is_zero())
        {
            tokio::time::sleep(left).await;
        }
    }

    /// The pause before retry `n` (from 0): full jitter over a doubling span (Brooker, "Exponential backoff and jitter", AWS
    /// Architecture Blog, 2015).
    #[must_use]
    pub fn pause(&self, n: u32) -> Duration {
        let span = self.backoff.saturating_mul(1 << n.min(16)).min(LONGEST);
        span.mul_f64(self.with(|state| state.rng.next_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_planned_calls() {
        let budget = Budget::new(0.5, None, Duration::from_millis(1), 1);
        budget.plan(100);
        assert_eq!((0..1000).filter(|_| budget.take_retry()).count(), 50);
    }

    #[test]
    fn reserved_money_counts_until_it_is_settled() {
        let budget = Budget::new(0.5, Some(1.0), Duration::from_millis(1), 1);
        let first = budget.reserve(0.7).unwrap();
        assert!(budget.reserve(0.7).is_none());
        let used = Spent {
            cost_usd: 0.2,
            ..Spent::default()
        };
        budget.settle(&first, used);
        assert!(budget.reserve(0.7).is_some());
        assert!((budget.spent().cost_usd - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_pause_never_exceeds_its_span() {
        let budget = Budget::new(0.5, None, Duration::from_millis(100), 1);
        for n in 0..40 {
            assert!(
                budget.pause(n)
                    <= Duration::from_millis(100)
                        .saturating_mul(1 << n.min(16))
                        .min(LONGEST)
            );
        }
    }
}
