use super::*;
use crate::learner::seal;
use crate::rng::SplitMix64;
use gleaner_proto::learners as wire;

fn rows(count: usize) -> Vec<(f32, u128)> {
    let mut rng = SplitMix64::new(11);
    (0..count)
        .map(|_| {
            #[expect(clippy::cast_precision_loss, reason = "small test numbers")]
            let score = rng.below(20) as f32 / 4.0 - 1.0;
            (
                score,
                u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()),
            )
        })
        .collect()
}

fn of(n: usize, rows: &[(f32, u128)]) -> QuotaState {
    let mut state = QuotaState::new(n).unwrap();
    for (score, hash) in rows {
        state.add(*score, *hash);
    }
    state
}

#[test]
fn it_is_the_head_of_the_sorted_rows_with_ties_by_hash() {
    let rows = rows(5000);
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for n in [1, 10, 333, 4999, 5000] {
        let quota = of(n, &rows).finish();
        assert!(quota.rows().eq(sorted[..n].iter().copied()));
        assert_eq!(quota.threshold(), Some(sorted[n - 1].0));
        for (place, (score, hash)) in sorted.iter().enumerate() {
            let expected = (place < n).then(|| u32::try_from(place + 1).unwrap());
            assert_eq!(quota.rank(*score, *hash), expected);
        }
    }
}

#[test]
fn half_a_percent_of_two_million_rows_is_exact_although_thousands_tie_at_the_border() {
    let rows = rows(2_000_000);
    let n = 10_000;
    let mut merged = of(n, &[]);
    for bucket in rows.chunks(131_072) {
        let state = QuotaState::from_bytes(&of(n, bucket).to_bytes()).unwrap();
        merged.merge(&state).unwrap();
    }
    let mut sorted = rows;
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    assert_eq!(sorted[n - 1].0.to_bits(), sorted[n].0.to_bits(), "a tie");
    let quota = merged.finish();
    assert_eq!(quota.len(), n);
    assert!(quota.rows().eq(sorted[..n].iter().copied()));
}

#[test]
fn every_split_and_merge_order_gives_the_same_bytes() {
    let rows = rows(2000);
    for n in [0, 1, 50, 3000] {
        let whole = of(n, &rows).to_bytes();
        for parts in [2_usize, 9, 100] {
            let mut rng = SplitMix64::new(parts as u64);
            let mut split = vec![Vec::new(); parts];
            for row in &rows {
                split[rng.below(parts)].push(*row);
            }
            let mut states: Vec<_> = split.iter().map(|part| of(n, part)).collect();
            states.push(of(n, &[]));
            while states.len() > 1 {
                let taken = states.swap_remove(rng.below(states.len()));
                let taken = QuotaState::from_bytes(&taken.to_bytes()).unwrap();
                let into = rng.below(states.len());
                states[into].merge(&taken).unwrap();
            }
            assert_eq!(states[0].to_bytes(), whole);
        }
    }
}

#[test]
fn a_row_offered_twice_counts_once() {
    let rows = rows(100);
    let mut state = of(10, &rows);
    let once = state.to_bytes();
    state.merge(&state.clone()).unwrap();
    assert_eq!(state.to_bytes(), once);
    assert_eq!(
        of(2, &[(1.0, 1), (1.0, 1), (1.0, 1), (1.0, 1), (0.5, 2)])
            .finish()
            .len(),
        2
    );
}

#[test]
fn a_nan_score_never_enters_and_negative_zero_is_zero() {
    let quota = of(5, &[(f32::NAN, 1), (-0.0, 2), (0.0, 3), (f32::INFINITY, 4)]).finish();
    assert_eq!(quota.len(), 3);
    assert_eq!(quota.rank(f32::NAN, 1), None);
    assert_eq!(quota.rank(0.0, 2), Some(2));
    assert_eq!(quota.rank(-0.0, 3), Some(3));
    assert_eq!(quota.rank(f32::INFINITY, 4), Some(1));
}

#[test]
fn a_quota_of_nothing_holds_nothing() {
    let quota = of(0, &rows(10)).finish();
    assert!(quota.is_empty());
    assert_eq!((quota.threshold(), quota.rank(1.0, 1)), (None, None));
}

#[test]
fn the_model_reads_the_state_s_bytes_and_refuses_damaged_ones() {
    let state = of(10, &rows(100));
    assert_eq!(Quota::from_bytes(&state.to_bytes()), Ok(state.finish()));
    assert_eq!(state.finish().to_bytes(), state.to_bytes());
    let entry = |n, scores: &[f32], hashes: usize| wire::Quota {
        n,
        scores: scores.to_vec(),
        hashes: vec![0; hashes],
    };
    for message in [
        entry(1, &[1.0, 0.5], 32),
        entry(2, &[0.5, 1.0], 32),
        entry(2, &[0.5, 0.5], 32),
        entry(2, &[f32::NAN], 16),
        entry(2, &[1.0], 15),
        entry(u64::MAX, &[], 0),
    ] {
        assert!(
            Quota::from_bytes(&seal(KIND, VERSION, &message)).is_err(),
            "{message:?}"
        );
    }
    assert!(of(2, &[]).merge(&of(3, &[])).is_err());
}
