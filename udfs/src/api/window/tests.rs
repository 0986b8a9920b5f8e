use super::*;
use crate::rng::SplitMix64;

/// Calls of one actor to few endpoints: bursts, gaps at the windows' very borders, instants shared.
fn calls(n: usize, seed: u64) -> Vec<Call> {
    let mut rng = SplitMix64::new(seed);
    let mut micros = 0;
    let gaps = [
        0,
        1,
        SECOND,
        MINUTE - 1,
        MINUTE,
        MINUTE + 1,
        FIVE_MINUTES,
        HORIZON,
        HORIZON + 1,
        SESSION_GAP + 1,
    ];
    (0..n)
        .map(|_| {
            let which = usize::try_from(rng.next_u64() % 40).unwrap();
            micros += gaps.get(which).copied().unwrap_or(i64::from(
                u32::try_from(rng.next_u64() % 9_000_000).unwrap(),
            ));
            Call {
                micros,
                actor: rng.next_u64() % 3,
                endpoint: rng.next_u64() % 7,
                failed: rng.next_u64().is_multiple_of(4),
                bytes: i64::try_from(rng.next_u64() % 1000).unwrap(),
                agent: rng.next_u64() % 2,
                network: rng.next_u64() % 2,
            }
        })
        .collect()
}

/// What the definition says, looking at all calls before.
fn naive(before: &[Call], call: &Call) -> ActorView {
    let within = |w: i64| {
        before
            .iter()
            .chain([call])
            .filter(move |c| c.micros <= call.micros && c.micros > call.micros - w)
    };
    let n = |it: usize| to_u32(it);
    let ten: Vec<_> = within(HORIZON).collect();
    let gap = before
        .iter()
        .map(|c| c.micros)
        .max()
        .map(|last| call.micros - last);
    // Calls of the session: back to the last gap that ends one.
    let mut session: Vec<u64> = vec![call.endpoint];
    let mut later = call.micros;
    for c in before.iter().rev() {
        if later - c.micros > SESSION_GAP {
            break;
        }
        session.push(c.endpoint);
        later = c.micros;
    }
    let hash = |three: &[u64]| three.iter().rev().fold(0, |h, c| pair_hash(h, *c));
    let sequence = if session.len() >= SEQUENCE {
        hash(&session[..SEQUENCE])
    } else {
        0
    };
    let previous = session.get(1).copied();
    let linked = |at: usize| at > 0 && before[at].micros - before[at - 1].micros <= SESSION_GAP;
    let count = |f: &dyn Fn(&Call) -> bool| n(before.iter().filter(|c| f(c)).count());
    ActorView {
        count_1min: n(within(MINUTE).count()),
        count_5min: n(within(FIVE_MINUTES).count()),
        count_10min: n(ten.len()),
        failed_5min: n(within(FIVE_MINUTES).filter(|c| c.failed).count()),
        endpoints_10min: n(ten
            .iter()
            .map(|c| c.endpoint)
            .collect::<std::collections::BTreeSet<_>>()
            .len()),
        bytes_10min: ten.iter().map(|c| c.bytes).sum(),
        gap: gap.filter(|g| (0..=SESSION_GAP).contains(g)),
        mean_gap: (ten.len() > 1).then(|| {
            (call.micros - ten.iter().map(|c| c.micros).min().unwrap())
                / i64::try_from(ten.len() - 1).unwrap()
        }),
        seen: n(before.len()),
        endpoint_seen: count(&|c| c.endpoint == call.endpoint),
        agent_seen: count(&|c| c.agent == call.agent),
        network_seen: count(&|c| c.network == call.network),
        previous,
        bigram_seen: previous.map_or(0, |p| {
            n((1..before.len())
                .filter(|&i| {
                    linked(i) && before[i].endpoint == call.endpoint && before[i - 1].endpoint == p
                })
                .count())
        }),
        sequence,
        sequence_seen: if sequence == 0 {
            0
        } else {
            n((2..before.len())
                .filter(|&i| {
                    linked(i)
                        && linked(i - 1)
                        && hash(&[
                            before[i].endpoint,
                            before[i - 1].endpoint,
                            before[i - 2].endpoint,
                        ]) == sequence
                })
                .count())
        },
    }
}

#[test]
fn an_actor_s_windows_are_what_a_naive_look_at_all_calls_gives() {
    for seed in 0..4 {
        let calls = calls(600, seed);
        let mut actor = Actor::default();
        for (i, call) in calls.iter().enumerate() {
            assert_eq!(
                actor.push(call),
                naive(&calls[..i], call),
                "seed {seed} call {i}"
            );
        }
    }
}

#[test]
fn an_endpoint_s_windows_are_what_a_naive_look_gives() {
    let calls = calls(600, 9);
    let mut endpoint = Endpoint::default();
    for (i, call) in calls.iter().enumerate() {
        let within = |w: i64| {
            calls[..=i]
                .iter()
                .filter(move |c| c.micros > call.micros - w)
        };
        let expected = EndpointView {
            count_1min: to_u32(within(MINUTE).count()),
            count_5min: to_u32(within(FIVE_MINUTES).count()),
            failed_5min: to_u32(within(FIVE_MINUTES).filter(|c| c.failed).count()),
            actors_10min: to_u32(
                within(HORIZON)
                    .map(|c| c.actor)
                    .collect::<std::collections::BTreeSet<_>>()
                    .len(),
            ),
        };
        assert_eq!(endpoint.push(call), expected, "call {i}");
    }
}

#[test]
fn a_late_call_is_answered_from_its_own_window_and_counts_afterwards() {
    let mut rng = SplitMix64::new(5);
    let sorted = calls(400, 3);
    let mut arrived = sorted.clone();
    // Up to some ten places late.
    for i in 0..arrived.len() {
        let to = (i + usize::try_from(rng.next_u64() % 10).unwrap()).min(arrived.len() - 1);
        arrived.swap(i, to);
    }
    let mut trail = Trail::default();
    for (i, call) in arrived.iter().enumerate() {
        let entry = |c: &Call| Entry {
            micros: c.micros,
            key: c.endpoint,
            bytes: c.bytes,
            failed: c.failed,
        };
        let newest = arrived[..i]
            .iter()
            .map(|c| c.micros)
            .max()
            .unwrap_or(i64::MIN / 2);
        let got = trail.push(entry(call));
        // What had left the longest window when the late one came is gone.
        let held = |c: &&Call| c.micros > newest - HORIZON;
        let within = |w: i64| {
            arrived[..i]
                .iter()
                .filter(held)
                .chain([call])
                .filter(move |c| c.micros <= call.micros && c.micros > call.micros - w)
        };
        assert_eq!(got.count_1min, to_u32(within(MINUTE).count()), "call {i}");
        assert_eq!(
            got.count_5min,
            to_u32(within(FIVE_MINUTES).count()),
            "call {i}"
        );
        assert_eq!(got.count_10min, to_u32(within(HORIZON).count()), "call {i}");
        assert_eq!(
            got.failed_5min,
            to_u32(within(FIVE_MINUTES).filter(|c| c.failed).count()),
            "call {i}"
        );
        assert_eq!(
            got.bytes_10min,
            within(HORIZON).map(|c| c.bytes).sum::<i64>(),
            "call {i}"
        );
        let keys: std::collections::BTreeSet<u64> = within(HORIZON).map(|c| c.endpoint).collect();
        assert_eq!(got.distinct_10min, to_u32(keys.len()), "call {i}");
        let first = within(HORIZON).map(|c| c.micros).min();
        assert_eq!(Some(got.first_10min), first, "call {i}");
    }
}

#[test]
fn a_state_that_lives_for_days_says_what_a_day_s_own_run_says() {
    let mut rng = SplitMix64::new(11);
    let mut micros = 3 * DAY + 20 * 60 * MINUTE;
    let calls: Vec<Call> = (0..3_000)
        .map(|_| {
            micros += i64::try_from(rng.next_u64() % 120).unwrap() * SECOND;
            Call {
                micros,
                actor: 1,
                endpoint: rng.next_u64() % 5,
                failed: false,
                bytes: 1,
                agent: rng.next_u64() % 3,
                network: rng.next_u64() % 3,
            }
        })
        .collect();
    let mut alive = Actor::default();
    let views: Vec<ActorView> = calls.iter().map(|c| alive.push(c)).collect();
    let days: std::collections::BTreeSet<i64> = calls.iter().map(|c| c.micros / DAY).collect();
    assert!(days.len() > 2, "{days:?}");
    for day in days {
        // What a run of the day reads: the half hour before it, and the day.
        let mut run = Actor::default();
        for (call, view) in calls.iter().zip(&views) {
            if call.micros >= day * DAY - SESSION_GAP && call.micros < (day + 1) * DAY {
                let own = run.push(call);
                assert!(call.micros < day * DAY || own == *view, "{own:?} {view:?}");
            }
        }
    }
}

#[test]
fn an_actor_s_memory_is_bounded() {
    let mut actor = Actor::default();
    let mut call = calls(1, 1)[0];
    for i in 0..20_000_u64 {
        call.micros += SECOND;
        call.endpoint = i;
        let view = actor.push(&call);
        assert_eq!(view.endpoint_seen, 0);
        assert!(view.endpoints_10min <= 600);
    }
    assert!(
        actor.history.endpoints.0.len() <= MAX_KEYS && actor.history.bigrams.0.len() <= MAX_KEYS
    );
    assert!(actor.trail.entries.len() <= 600);
    assert!(actor.is_stale(call.micros + HORIZON) && !actor.is_stale(call.micros));
}
