//! Deterministic near-duplicates: a greedy leader over one guard key.
//!
//! What: candidates are taken in a fixed order (events descending, then hash). One is kept when nothing kept before it (first the
//! history of earlier days, then today's) is at least as similar as the threshold; else it is covered by the most similar kept one.
//!
//! Why greedy in a fixed order and not clusters: the answer of a day must not depend on how many executors worked
//! on it, and a kept line must never be dropped because of a later one, for its label may be paid already.
//! History is fixed: nothing in it is ever reconsidered.
//!
//! Laws (tested): every covered candidate is within the threshold of what covers it, no two kept ones are within it of each other,
//! none kept is within it of history, and the order of the input does not matter.
//!
//! Cost: (history + kept) × candidates dot products; nothing but the kept list is stored. The vectors are borrowed.

use super::cosine::dot;

/// Default threshold for the lexical embedding on canonical text.
pub const LEXICAL_THRESHOLD: f32 = 0.75;

/// A line that wants to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// How often it was seen: the more, the earlier it is taken.
    pub events: u64,
    /// Content hash; breaks ties. Two candidates with equal events *and* hash are taken in their order in the slice.
    pub hash: &'a [u8],
    /// Vector of length 1.
    pub vector: &'a [f32],
}

/// What covers a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// A line kept on an earlier day: its index in the history.
    History(usize),
    /// A line kept today: its index in the candidates.
    Candidate(usize),
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    /// Nothing kept before it is within the threshold.
    Kept,
    /// Something is, and this is the most similar one (history first, then the order of keeping, on ties).
    Covered {
        /// The kept line.
        by: Cover,
        /// How similar.
        cosine: f32,
    },
}

/// The fate of every candidate of one guard key, in the order of the input.
///
/// `history` holds the vectors kept on earlier days, in a fixed order. A similarity that is not a number covers nothing;
/// a threshold that is not a number keeps everything.
#[must_use]
pub fn near_duplicates(
    candidates: &[Candidate<'_>],
    history: &[&[f32]],
    threshold: f32,
) -> Vec<Fate> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        b.events.cmp(&a.events).then_with(|| a.hash.cmp(b.hash))
    });
    let mut fates = vec![Fate::Kept; candidates.len()];
    let mut kept: Vec<usize> = Vec::new();
    for index in order {
        let vector = candidates[index].vector;
        let mut best: Option<(Cover, f32)> = None;
        let earlier = history
            .iter()
            .enumerate()
            .map(|(i, v)| (Cover::History(i), *v));
        let today = kept
            .iter()
            .map(|i| (Cover::Candidate(*i), candidates[*i].vector));
        for (by, other) in earlier.chain(today) {
            let cosine = dot(vector, other);
            if cosine >= threshold && best.is_none_or(|(_, most)| cosine > most) {
                best = Some((by, cosine));
            }
        }
        match best {
            Some((by, cosine)) => fates[index] = Fate::Covered { by, cosine },
            None => kept.push(index),
        }
    }
    fates
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "both sides are computed by the same function"
)]
mod tests {
    use super::super::cosine::normalise;
    use super::*;

    /// A small deterministic generator: xorshift.
    fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        }
    }

    fn vectors(count: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut next = numbers(seed);
        (0..count)
            .map(|_| {
                let mut v: Vec<f32> = (0..6)
                    .map(|_| f32::from(u16::try_from(next() % 1000).unwrap_or(0)) / 500.0 - 0.6)
                    .collect();
                normalise(&mut v);
                v
            })
            .collect()
    }

    fn candidates<'a>(
        vectors: &'a [Vec<f32>],
        hashes: &'a [[u8; 8]],
        seed: u64,
    ) -> Vec<Candidate<'a>> {
        let mut next = numbers(seed);
        vectors
            .iter()
            .zip(hashes)
            .map(|(vector, hash)| Candidate {
                events: next() % 5,
                hash,
                vector,
            })
            .collect()
    }

    /// The slow and obvious way: the whole similarity matrix, then one row after the other.
    fn oracle(candidates: &[Candidate<'_>], history: &[&[f32]], threshold: f32) -> Vec<Fate> {
        let all: Vec<&[f32]> = history
            .iter()
            .copied()
            .chain(candidates.iter().map(|c| c.vector))
            .collect();
        let matrix: Vec<Vec<f32>> = all
            .iter()
            .map(|a| all.iter().map(|b| dot(a, b)).collect())
            .collect();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|i| {
            (
                u64::MAX - candidates[*i].events,
                candidates[*i].hash.to_vec(),
            )
        });
        let mut kept: Vec<usize> = (0..history.len()).collect();
        let mut fates = vec![Fate::Kept; candidates.len()];
        for i in order {
            let row = &matrix[i + history.len()];
            let best = kept
                .iter()
                .copied()
                .filter(|k| row[*k] >= threshold)
                .map(|k| row[k])
                .fold(f32::MIN, f32::max);
            match kept
                .iter()
                .copied()
                .find(|k| row[*k] >= threshold && row[*k] == best)
            {
                Some(k) => {
                    let by = if k < history.len() {
                        Cover::History(k)
                    } else {
                        Cover::Candidate(k - history.len())
                    };
                    fates[i] = Fate::Covered { by, cosine: best };
                }
                None => kept.push(i + history.len()),
            }
        }
        fates
    }

    #[test]
    fn the_leader_agrees_with_all_pairs() {
        for seed in 1..40 {
            let (vectors, earlier) = (vectors(60, seed), vectors(7, seed + 1000));
            let hashes: Vec<[u8; 8]> = (0..60_u64)
                .map(|i| (i * 0x9e37_79b9 % 251).to_be_bytes())
                .collect();
            let history: Vec<&[f32]> = earlier.iter().map(Vec::as_slice).collect();
            let candidates = candidates(&vectors, &hashes, seed + 7);
            for threshold in [0.5, 0.75, 0.95] {
                assert_eq!(
                    near_duplicates(&candidates, &history, threshold),
                    oracle(&candidates, &history, threshold)
                );
            }
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter() {
        let vectors = vectors(50, 3);
        let hashes: Vec<[u8; 8]> = (0..50_u64).map(u64::to_be_bytes).collect();
        let forward = candidates(&vectors, &hashes, 9);
        let backward: Vec<Candidate<'_>> = forward.iter().rev().copied().collect();
        let kept = |all: &[Candidate<'_>]| {
            let fates = near_duplicates(all, &[], 0.75);
            let mut kept: Vec<Vec<u8>> = all
                .iter()
                .zip(&fates)
                .filter(|(_, f)| **f == Fate::Kept)
                .map(|(c, _)| c.hash.to_vec())
                .collect();
            kept.sort();
            kept
        };
        assert_eq!(kept(&forward), kept(&backward));
    }

    #[test]
    fn the_most_seen_line_is_kept_and_covers_its_likes() {
        let (a, b) = ([1.0, 0.0], [0.8, 0.6]);
        let few = Candidate {
            events: 1,
            hash: b"a",
            vector: &a,
        };
        let many = Candidate {
            events: 9,
            hash: b"b",
            vector: &b,
        };
        assert_eq!(
            near_duplicates(&[few, many], &[], 0.75),
            [
                Fate::Covered {
                    by: Cover::Candidate(1),
                    cosine: 0.8
                },
                Fate::Kept
            ]
        );
    }

    #[test]
    fn history_covers_before_today_does() {
        let v = [1.0, 0.0];
        let c = Candidate {
            events: 1,
            hash: b"a",
            vector: &v,
        };
        let history: Vec<&[f32]> = vec![&v, &v];
        assert_eq!(
            near_duplicates(&[c], &history, 0.75),
            [Fate::Covered {
                by: Cover::History(0),
                cosine: 1.0
            }]
        );
    }

    #[test]
    fn a_vector_that_is_not_a_number_covers_nothing() {
        let (bad, v) = ([f32::NAN, 0.0], [1.0, 0.0]);
        let all = [
            Candidate {
                events: 2,
                hash: b"a",
                vector: &bad,
            },
            Candidate {
                events: 1,
                hash: b"b",
                vector: &v,
            },
        ];
        assert_eq!(near_duplicates(&all, &[], 0.75), [Fate::Kept, Fate::Kept]);
        assert!(near_duplicates(&[], &[], 0.75).is_empty());
    }
}
