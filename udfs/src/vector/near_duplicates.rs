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
//! Each candidate also gets its [`NEAREST`] most similar predecessors from [`SIMILAR`] on, kept or not, so that another
//! threshold can be tried without vectors. Among more than [`EXHAUSTIVE`] candidates only kept predecessors are looked at: there a list may lack
//! others.
//!
//! Cost: history × candidates products, and kept × candidates (up to [`EXHAUSTIVE`] candidates: half of candidates²), in blocks
//! (see `products`). Memory: the candidates' vectors once; history is handed in piece by piece and not held.

use super::products::Queries;

/// Default threshold for the lexical embedding on canonical text.
pub const LEXICAL_THRESHOLD: f32 = 0.75;
/// Cosine from which similarities are told; below the threshold of every embedder.
pub const SIMILAR: f32 = 0.5;
/// Most similar predecessors that are told of a candidate.
pub const NEAREST: usize = 16;
/// Up to so many candidates of a guard key all pairs are compared, so that a trial of another threshold is exact.
pub const EXHAUSTIVE: usize = 16_384;

/// Candidates that are decided together.
const BLOCK: usize = 480;

/// A line that wants to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// How often it was seen: the more, the earlier it is taken.
    pub events: u64,
    /// Content hash; breaks ties. Two candidates with equal events *and* hash are taken in their order in the slice.
    pub hash: &'a [u8],
    /// Vector of length 1; all of one width.
    pub vector: &'a [f32],
}

/// What covers a candidate, or is similar to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cover {
    /// A line of an earlier day: its index in the history.
    History(usize),
    /// A line of today: its index in the candidates.
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

/// A candidate's fate, and what is most similar to it among all before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Kept, or covered.
    pub fate: Fate,
    /// Up to [`NEAREST`] predecessors, most similar first (on ties as in [`Fate`]), from [`SIMILAR`] or the threshold on.
    pub nearest: Vec<(Cover, f32)>,
}

/// A predecessor's place: history first, then candidates in the order of keeping.
type Place = (bool, usize);

/// The most similar predecessors of a candidate.
#[derive(Debug, Clone, Default)]
struct Nearest {
    /// The most similar kept one within the threshold.
    cover: Option<(Place, f32)>,
    /// Sorted.
    list: Vec<(Place, f32)>,
}

impl Nearest {
    fn add(&mut self, place: Place, cosine: f32, covers: bool) {
        let nearer = |than: &(Place, f32)| {
            cosine > than.1 || (cosine.to_bits() == than.1.to_bits() && place < than.0)
        };
        if covers && self.cover.as_ref().is_none_or(&nearer) {
            self.cover = Some((place, cosine));
        }
        if self.list.len() == NEAREST && !self.list.last().is_some_and(&nearer) {
            return;
        }
        let at = self.list.partition_point(|other| !nearer(other));
        self.list.truncate(NEAREST - 1);
        self.list.insert(at.min(self.list.len()), (place, cosine));
    }
}

/// Near-dedup of the candidates of one guard key. History comes first, in pieces; then [`Leader::finish`].
#[derive(Debug)]
pub struct Leader {
    /// Index in the caller's slice, in the order of keeping.
    order: Vec<usize>,
    vectors: Queries,
    nearest: Vec<Nearest>,
    threshold: f32,
    floor: f32,
    exhaustive: usize,
}

impl Leader {
    /// Takes the candidates. A threshold that is not a number keeps everything.
    #[must_use]
    pub fn new(candidates: &[Candidate<'_>], threshold: f32) -> Self {
        Self::with_limit(candidates, threshold, EXHAUSTIVE)
    }

    fn with_limit(candidates: &[Candidate<'_>], threshold: f32, exhaustive: usize) -> Self {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&candidates[*a], &candidates[*b]);
            b.events.cmp(&a.events).then_with(|| a.hash.cmp(b.hash))
        });
        let d = candidates.iter().map(|c| c.vector.len()).max();
        let mut vectors = Queries::new(&[], d.unwrap_or(0));
        for index in &order {
            vectors.push(candidates[*index].vector);
        }
        Self {
            nearest: vec![Nearest::default(); order.len()],
            order,
            vectors,
            threshold,
            floor: SIMILAR.min(threshold),
            exhaustive,
        }
    }

    /// Compares all candidates with a piece of history: vectors, row-major, of which the first is number `first`; `kept` says
    /// which of them were kept, and may cover.
    pub fn history(&mut self, first: usize, vectors: &[f32], kept: &[bool]) {
        let (nearest, threshold) = (&mut self.nearest, self.threshold);
        self.vectors.reaching(
            0..self.order.len(),
            vectors,
            self.floor,
            &mut |candidate, other, cosine| {
                let covers = cosine >= threshold && kept.get(other) == Some(&true);
                nearest[candidate].add((false, first + other), cosine, covers);
            },
        );
    }

    /// The verdict on every candidate, in the order of the input.
    #[must_use]
    pub fn finish(mut self) -> Vec<Verdict> {
        let (n, d) = (self.order.len(), self.vectors.width());
        let mut kept = vec![false; n];
        let mut rows = vec![];
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            rows.clear();
            rows.resize((end - start) * d, 0.0);
            if d > 0 {
                for (i, row) in (start..end).zip(rows.chunks_exact_mut(d)) {
                    self.vectors.copy(i, row);
                }
            }
            // The block among itself: which of them are kept is only known one after the other.
            let mut pairs = vec![vec![]; end - start];
            self.vectors
                .reaching(start..end, &rows, self.floor, &mut |i, j, cosine| {
                    if start + j < i {
                        pairs[i - start].push((start + j, cosine));
                    }
                });
            for (i, pairs) in (start..end).zip(&pairs) {
                let nearest = &mut self.nearest[i];
                for (j, cosine) in pairs {
                    let covers = *cosine >= self.threshold && kept[*j];
                    nearest.add((true, *j), *cosine, covers);
                }
                kept[i] = nearest.cover.is_none();
            }
            // Then all later ones with the block.
            let all = n <= self.exhaustive;
            let meant: Vec<usize> = (start..end).filter(|j| all || kept[*j]).collect();
            if !all && d > 0 {
                rows.clear();
                rows.resize(meant.len() * d, 0.0);
                for (j, row) in meant.iter().zip(rows.chunks_exact_mut(d)) {
                    self.vectors.copy(*j, row);
                }
            }
            let (nearest, threshold) = (&mut self.nearest, self.threshold);
            self.vectors
                .reaching(end..n, &rows, self.floor, &mut |i, other, cosine| {
                    let j = meant[other];
                    nearest[i].add((true, j), cosine, cosine >= threshold && kept[j]);
                });
        }
        self.verdicts()
    }

    fn verdicts(self) -> Vec<Verdict> {
        let order = &self.order;
        let cover = |(today, index): Place| {
            if today {
                Cover::Candidate(order[index])
            } else {
                Cover::History(index)
            }
        };
        let none = Verdict {
            fate: Fate::Kept,
            nearest: vec![],
        };
        let mut verdicts = vec![none; order.len()];
        for (index, nearest) in order.iter().zip(&self.nearest) {
            let covered = |(place, cosine): (Place, f32)| Fate::Covered {
                by: cover(place),
                cosine,
            };
            let list = nearest.list.iter();
            verdicts[*index] = Verdict {
                fate: nearest.cover.map_or(Fate::Kept, covered),
                nearest: list
                    .map(|(place, cosine)| (cover(*place), *cosine))
                    .collect(),
            };
        }
        verdicts
    }
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
    let mut leader = Leader::new(candidates, threshold);
    for (first, piece) in history.chunks(BLOCK).enumerate() {
        let kept = vec![true; piece.len()];
        leader.history(first * BLOCK, &piece.concat(), &kept);
    }
    let verdicts = leader.finish();
    verdicts.into_iter().map(|verdict| verdict.fate).collect()
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "both sides are computed by the same function"
)]
mod tests {
    use super::super::cosine::normalise;
    use super::super::products::product;
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
            .map(|a| all.iter().map(|b| product(a, b)).collect())
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

    /// All predecessors of a candidate, the slow and obvious way.
    fn predecessors(
        candidates: &[Candidate<'_>],
        history: &[&[f32]],
        of: usize,
    ) -> Vec<(Cover, f32)> {
        let key = |c: &Candidate<'_>| (u64::MAX - c.events, c.hash.to_vec());
        let me = &candidates[of];
        let mut today: Vec<usize> = (0..candidates.len())
            .filter(|i| key(&candidates[*i]) < key(me))
            .collect();
        today.sort_by_key(|i| key(&candidates[*i]));
        let earlier = history.iter().enumerate();
        let mut found: Vec<(Cover, f32)> = earlier
            .map(|(i, v)| (Cover::History(i), product(me.vector, v)))
            .chain(today.iter().map(|i| {
                (
                    Cover::Candidate(*i),
                    product(me.vector, candidates[*i].vector),
                )
            }))
            .filter(|(_, cosine)| *cosine >= SIMILAR)
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.truncate(NEAREST);
        found
    }

    #[test]
    fn the_nearest_are_those_of_all_pairs_across_blocks() {
        let n = 2 * BLOCK + 77;
        let (vectors, earlier) = (vectors(n, 5), vectors(600, 6));
        let hashes: Vec<[u8; 8]> = (0..n as u64).map(u64::to_be_bytes).collect();
        let history: Vec<&[f32]> = earlier.iter().map(Vec::as_slice).collect();
        let candidates = candidates(&vectors, &hashes, 11);
        let decide = |limit| {
            let mut leader = Leader::with_limit(&candidates, 0.97, limit);
            for (piece, start) in history.chunks(250).zip((0..).step_by(250)) {
                leader.history(start, &piece.concat(), &vec![true; piece.len()]);
            }
            leader.finish()
        };
        let verdicts = decide(EXHAUSTIVE);
        for (i, verdict) in verdicts.iter().enumerate() {
            assert_eq!(verdict.nearest, predecessors(&candidates, &history, i));
        }
        let fates = |verdicts: &[Verdict]| verdicts.iter().map(|v| v.fate).collect::<Vec<_>>();
        assert_eq!(fates(&verdicts), oracle(&candidates, &history, 0.97));
        // Beyond the limit lists may be shorter, and no fate changes.
        assert_eq!(fates(&decide(100)), fates(&verdicts));
    }

    #[test]
    fn history_that_was_not_kept_is_told_and_covers_nothing() {
        let v = [1.0, 0.0];
        let c = Candidate {
            events: 1,
            hash: b"a",
            vector: &v,
        };
        let mut leader = Leader::new(&[c], 0.75);
        leader.history(7, &[1.0, 0.0, 0.8, 0.6], &[false, true]);
        let near = [(Cover::History(7), 1.0), (Cover::History(8), 0.8)];
        let expected = Verdict {
            fate: Fate::Covered {
                by: Cover::History(8),
                cosine: 0.8,
            },
            nearest: near.to_vec(),
        };
        assert_eq!(leader.finish(), [expected]);
    }
}
