//! Which lines to label, when labels are few.
//!
//! **What.** [`choose`] spends a budget on a pool of lines, in three shares. *Guided*: what a classifier takes for malice, from the most
//! suspicious on (of the benign among them it has most to learn). *Unguided*: what the detectors find most anomalous, a line's place being its best one among
//! them. *Random*: a draw from all that is left. The first two are spread over groups of lines (of one program) where that is asked for: of a short list of
//! [`SHORT_LIST`] times the lines wanted, each group gives its best, then its second best, and so on.
//!
//! Lines whose like is labelled already have no part in the first two shares: what those cannot spend on new lines is not spent. They have part in the draw, which
//! would stand for less than the pool without them.
//!
//! **Weighting back.** Guided and unguided lines are taken for certain (inclusion probability 1); each line of the rest
//! has the same chance of the random draw. So sums over the pool are estimated without bias by each chosen line over its inclusion
//! probability (Horvitz & Thompson 1952), however biased the guide.
//!
//! Deterministic: the draw is by a keyed hash of the line's content, ties by content; the order of the pool does not matter.

use gleaner_udfs::rng::mix;

/// Lines looked at for each one wanted, when they are spread over groups.
pub const SHORT_LIST: usize = 4;
/// Share of a guided budget that goes by the detectors, and as much at random, where nothing else is asked for.
pub const SHARE: f64 = 0.1;

/// Why a line was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The classifier takes it for malice.
    Guided,
    /// The detectors find it anomalous.
    Unguided,
    /// The draw.
    Random,
}

impl How {
    /// As in tables: `guided`, `unguided`, `random`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guided => "guided",
            Self::Unguided => "unguided",
            Self::Random => "random",
        }
    }
}

/// A chosen line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Its place in the pool.
    pub line: usize,
    /// Why.
    pub how: How,
    /// The chance that it had, above 0.
    pub inclusion_probability: f64,
}

/// The lines to choose from: a list is one entry a line.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'a> {
    /// Hash of the line's content, 64 bits.
    pub keys: &'a [u64],
    /// Scores of each detector, higher is more anomalous; NaN for a line that it did not choose. Any number of detectors.
    pub anomaly: &'a [Vec<f32>],
    /// The classifier's; higher is more suspicious. Empty: unguided.
    pub suspicion: &'a [f32],
    /// Groups of lines to spread over. Empty: no spread.
    pub groups: &'a [u32],
    /// Whether a line is labelled already, or its like ([`crate::known`]): guided and unguided shares pass over it. Empty: none is.
    pub known: &'a [bool],
}

/// How a budget is spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Lines to choose.
    pub budget: usize,
    /// Share of the budget that is drawn at random.
    pub random_share: f64,
    /// Share of the budget that goes by the detectors although there is a classifier.
    pub unguided_share: f64,
    /// Of the draw.
    pub seed: u64,
}

/// Chooses lines: guided first, then unguided, then random, best first. No line twice; all lines when the budget covers them, but for those that are
/// known and not drawn.
#[must_use]
pub fn choose(pool: &Pool<'_>, plan: &Plan) -> Vec<Pick> {
    let lines = pool.keys.len();
    let budget = plan.budget.min(lines);
    let random = rounded(plan.random_share, budget);
    let unguided = if pool.suspicion.is_empty() {
        budget - random
    } else {
        rounded(plan.unguided_share, budget).min(budget - random)
    };
    let guided = budget - random - unguided;
    let is_known = |line: usize| pool.known.get(line) == Some(&true);
    let new = (0..lines).filter(|line| !is_known(*line)).count();
    let mut taken = vec![false; lines];
    let mut picks = vec![];
    let mut take = |ranked: Vec<usize>, how: How, wanted: usize, chance: f64| {
        let free = |line: &usize| !taken[*line] && (how == How::Random || !is_known(*line));
        let free: Vec<usize> = ranked.into_iter().filter(free).collect();
        let free = if how == How::Random {
            free
        } else {
            spread(free, pool.groups, wanted)
        };
        for line in free.into_iter().take(wanted) {
            taken[line] = true;
            picks.push(Pick {
                line,
                how,
                inclusion_probability: chance,
            });
        }
        picks.len()
    };
    let after_guided = take(suspicious(pool), How::Guided, guided, 1.0);
    // Lines that no detector chose are not ranked: what is left over goes to the draw, a label for each new line at the most.
    let certain = take(
        anomalous(pool),
        How::Unguided,
        budget - random - after_guided,
        1.0,
    );
    let left = lines - certain;
    let drawn = random + (budget - random - certain).min(new - certain);
    let chance = if left == 0 {
        1.0
    } else {
        drawn as f64 / left as f64
    };
    take(
        drawn_order(pool.keys, plan.seed),
        How::Random,
        drawn,
        chance,
    );
    picks
}

#[expect(clippy::cast_sign_loss, reason = "a share of a count")]
fn rounded(share: f64, of: usize) -> usize {
    ((share.clamp(0.0, 1.0) * of as f64).round() as usize).min(of)
}

/// Lines by falling score, ties by content; lines without a score are left out.
fn by_score(keys: &[u64], score: impl Fn(usize) -> f32) -> Vec<usize> {
    let mut ranked: Vec<(f32, u64, usize)> = keys
        .iter()
        .enumerate()
        .map(|(line, key)| (score(line), *key, line))
        .filter(|(score, ..)| !score.is_nan())
        .collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().map(|(.., line)| line).collect()
}

/// The classifier's ranking; empty without one.
#[must_use]
pub fn suspicious(pool: &Pool<'_>) -> Vec<usize> {
    if pool.suspicion.is_empty() {
        return vec![];
    }
    by_score(pool.keys, |line| {
        pool.suspicion.get(line).copied().unwrap_or(f32::NAN)
    })
}

/// The detectors' ranking: a line's place is its best among the detectors', ties by content.
#[must_use]
pub fn anomalous(pool: &Pool<'_>) -> Vec<usize> {
    let mut best = vec![usize::MAX; pool.keys.len()];
    for scores in pool.anomaly {
        let score = |line: usize| scores.get(line).copied().unwrap_or(f32::NAN);
        for (place, line) in by_score(pool.keys, score).into_iter().enumerate() {
            best[line] = best[line].min(place);
        }
    }
    let mut ranked: Vec<(usize, u64, usize)> = best
        .into_iter()
        .enumerate()
        .filter(|(_, place)| *place != usize::MAX)
        .map(|(line, place)| (place, pool.keys[line], line))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., line)| line).collect()
}

/// All lines in the order of the draw: a keyed hash of their content.
#[must_use]
pub fn drawn_order(keys: &[u64], seed: u64) -> Vec<usize> {
    let salt = mix(seed ^ 0x5eed_1abe_15ba_d9e7);
    let mut order: Vec<(u64, u64, usize)> = keys
        .iter()
        .enumerate()
        .map(|(line, key)| (mix(key ^ salt), *key, line))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(.., line)| line).collect()
}

/// Of the first [`SHORT_LIST`] × `wanted` ranked lines each group's best, then each group's second best, and so on; within a turn by rank.
#[must_use]
pub fn spread(mut ranked: Vec<usize>, groups: &[u32], wanted: usize) -> Vec<usize> {
    if groups.is_empty() {
        return ranked;
    }
    let rest = ranked.split_off(ranked.len().min(wanted.saturating_mul(SHORT_LIST)));
    let mut seen = std::collections::BTreeMap::<u32, usize>::new();
    let mut turns: Vec<(usize, usize, usize)> = ranked
        .into_iter()
        .enumerate()
        .map(|(rank, line)| {
            let group = groups.get(line).copied().unwrap_or(u32::MAX);
            let turn = seen.entry(group).or_default();
            *turn += 1;
            (*turn, rank, line)
        })
        .collect();
    turns.sort_unstable();
    turns
        .into_iter()
        .map(|(.., line)| line)
        .chain(rest)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u64) -> Vec<u64> {
        (0..n).map(|line| mix(line + 1)).collect()
    }

    fn plan(budget: usize, random_share: f64, unguided_share: f64) -> Plan {
        Plan {
            budget,
            random_share,
            unguided_share,
            seed: 1,
        }
    }

    #[test]
    fn a_budget_is_spent_in_its_shares_and_no_line_twice() {
        let keys = keys(1000);
        let anomaly = [(0..1000_u16).map(f32::from).collect::<Vec<f32>>()];
        let suspicion: Vec<f32> = (0..1000_u16).map(|n| f32::from(n % 500)).collect();
        let pool = Pool {
            keys: &keys,
            anomaly: &anomaly,
            suspicion: &suspicion,
            groups: &[],
            known: &[],
        };
        let picks = choose(&pool, &plan(100, 0.1, 0.2));
        let count = |how| picks.iter().filter(|p| p.how == how).count();
        assert_eq!(
            [How::Guided, How::Unguided, How::Random].map(count),
            [70, 20, 10]
        );
        let mut lines: Vec<usize> = picks.iter().map(|p| p.line).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 100);
        // 499 and 999 are the most suspicious.
        assert!(picks[..2].iter().all(|p| p.line % 500 == 499));
        let drawn = picks.iter().find(|p| p.how == How::Random).unwrap();
        assert!((drawn.inclusion_probability - 10.0 / 910.0).abs() < 1e-12);
    }

    #[test]
    fn sums_over_the_pool_are_estimated_without_bias_however_biased_the_guide() {
        let keys = keys(300);
        let worth = |line: usize| {
            if line >= 270 {
                1.0
            } else {
                f64::from(line.is_multiple_of(7))
            }
        };
        let suspicion: Vec<f32> = (0..300_u16).map(f32::from).collect();
        let pool = Pool {
            keys: &keys,
            anomaly: &[],
            suspicion: &suspicion,
            groups: &[],
            known: &[],
        };
        let truth: f64 = (0..300).map(worth).sum();
        let runs = 4000;
        let estimates: Vec<f64> = (0..runs)
            .map(|seed| {
                let plan = Plan {
                    seed,
                    ..plan(60, 0.5, 0.0)
                };
                let picks = choose(&pool, &plan);
                picks
                    .iter()
                    .map(|p| worth(p.line) / p.inclusion_probability)
                    .sum()
            })
            .collect();
        let mean = estimates.iter().sum::<f64>() / estimates.len() as f64;
        let squares: f64 = estimates.iter().map(|e| (e - mean).powi(2)).sum();
        let standard_error = (squares / (runs * runs) as f64).sqrt();
        assert!(
            (mean - truth).abs() < 4.0 * standard_error,
            "{mean} for {truth} ± {standard_error}"
        );
        // The share of the chosen lines alone is far off.
        let picks = choose(&pool, &plan(60, 0.5, 0.0));
        let naive = picks.iter().map(|p| worth(p.line)).sum::<f64>() / 60.0 * 300.0;
        assert!(naive > 2.0 * truth, "{naive} {truth}");
    }

    #[test]
    fn the_order_of_the_pool_does_not_matter() {
        let keys = keys(200);
        let score: Vec<f32> = keys.iter().map(|key| (key % 17) as f32).collect();
        let turned_keys: Vec<u64> = keys.iter().rev().copied().collect();
        let turned_score: Vec<f32> = score.iter().rev().copied().collect();
        let chosen = |keys: &[u64], score: &[f32]| {
            let pool = Pool {
                keys,
                anomaly: &[score.to_vec()],
                suspicion: score,
                groups: &[],
                known: &[],
            };
            let mut chosen: Vec<(u64, How)> = choose(&pool, &plan(50, 0.2, 0.2))
                .iter()
                .map(|p| (keys[p.line], p.how))
                .collect();
            chosen.sort_unstable();
            chosen
        };
        assert_eq!(chosen(&keys, &score), chosen(&turned_keys, &turned_score));
    }

    #[test]
    fn a_line_is_as_anomalous_as_its_best_detector_says() {
        let keys = keys(4);
        let anomaly = [vec![1.0, 9.0, f32::NAN, 0.5], vec![8.0, 1.0, 9.0, f32::NAN]];
        let pool = Pool {
            keys: &keys,
            anomaly: &anomaly,
            suspicion: &[],
            groups: &[],
            known: &[],
        };
        let ranked = anomalous(&pool);
        // 1 and 2 are first of a detector, 0 is second of both, 3 third of one.
        assert_eq!(ranked.len(), 4);
        assert_eq!(ranked[2..], [0, 3]);
    }

    #[test]
    fn known_lines_are_passed_over_and_the_draw_stands_for_them_too() {
        let keys = keys(300);
        let anomaly = [(0..300_u16).map(f32::from).collect::<Vec<f32>>()];
        let suspicion = anomaly[0].clone();
        // The most suspicious third is known.
        let known: Vec<bool> = (0..300).map(|line| line >= 200).collect();
        let pool = Pool {
            keys: &keys,
            anomaly: &anomaly,
            suspicion: &suspicion,
            groups: &[],
            known: &known,
        };
        let mut drawn_known = 0;
        let mut stands_for = 0.0;
        for seed in 0..200 {
            let plan = Plan {
                seed,
                ..plan(60, 0.2, 0.1)
            };
            let picks = choose(&pool, &plan);
            assert_eq!(picks.len(), 60);
            assert_eq!(picks[0].line, 199);
            let known = picks.iter().filter(|p| known[p.line]);
            let known: Vec<&Pick> = known.collect();
            assert!(known.iter().all(|p| p.how == How::Random));
            drawn_known += known.len();
            stands_for += known
                .iter()
                .map(|p| 1.0 / p.inclusion_probability)
                .sum::<f64>();
        }
        assert!(drawn_known > 0);
        // 100 known lines, estimated 200 times; a draw of 12 of 252 has a standard error of 29.
        let mean = stands_for / 200.0;
        assert!(
            (mean - 100.0).abs() < 4.0 * 29.0 / 200.0_f64.sqrt(),
            "{mean}"
        );
    }

    #[test]
    fn labels_that_new_lines_cannot_take_are_not_spent_on_known_ones() {
        let keys = keys(100);
        let score: Vec<f32> = (0..100_u16).map(f32::from).collect();
        let known: Vec<bool> = (0..100).map(|line| line < 70).collect();
        let pool = Pool {
            keys: &keys,
            anomaly: std::slice::from_ref(&score),
            suspicion: &score,
            groups: &[],
            known: &known,
        };
        let picks = choose(&pool, &plan(80, 0.25, 0.25));
        let count = |how| picks.iter().filter(|p| p.how == how).count();
        assert_eq!(
            [How::Guided, How::Unguided, How::Random].map(count),
            [30, 0, 20]
        );
        // 20 of the 70 that are left, all of them known.
        let chance = picks[49].inclusion_probability;
        assert!((chance - 20.0 / 70.0).abs() < 1e-12, "{chance}");
    }

    #[test]
    fn a_spread_takes_turns_among_groups() {
        let ranked = vec![0, 1, 2, 3, 4, 5];
        let groups = [7, 7, 7, 8, 9, 8];
        assert_eq!(spread(ranked, &groups, 3), [0, 3, 4, 1, 5, 2]);
        assert_eq!(spread(vec![2, 1], &[], 1), [2, 1]);
    }

    #[test]
    fn a_budget_beyond_the_pool_takes_all_of_it_for_certain() {
        let keys = keys(5);
        let pool = Pool {
            keys: &keys,
            anomaly: &[],
            suspicion: &[],
            groups: &[],
            known: &[],
        };
        let picks = choose(&pool, &plan(50, 0.1, 0.0));
        assert_eq!(picks.len(), 5);
        assert!(
            picks
                .iter()
                .all(|p| (p.inclusion_probability - 1.0).abs() < 1e-12)
        );
    }
}
