//! Near-dedup again at another threshold, from stored similarities: no line is read, no vector computed.
//!
//! What: days in order, and in a day the order of near-dedup. A line whose template an earlier day knows, or an earlier line of its
//! day stands for, follows that one. A line that stands for its template is covered by the most similar predecessor that is
//! kept (at the new threshold) and reaches it, else kept.
//!
//! Exact where a line's list of similar predecessors holds all that reach the threshold. A list that is full, with its last
//! entry above the threshold and nothing kept in it, leaves the line [`Verdict::Undetermined`] (it counts as kept for
//! what follows). Days with more than `EXHAUSTIVE` templates of one guard key stored no similarities between lines that were not kept:
//! there a line may be called kept that one of those would cover.
//!
//! Cost: linear in lines and similarities, beside sorting; all are held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::near_duplicates::NEAREST;

/// A line as near-dedup saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Days since 1970.
    pub day: i32,
    /// Content hash.
    pub hash: &'a str,
    /// Template.
    pub template: &'a str,
    /// How often it was seen.
    pub events: i64,
    /// Most similar predecessors, most similar first: hash, day, cosine.
    pub similar: Vec<(&'a str, i32, f32)>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Nothing kept is within the threshold.
    Kept,
    /// Covered by the line with this index.
    Covered {
        /// Index among the lines.
        by: usize,
        /// How similar; 1 where the template is the same.
        cosine: f32,
    },
    /// More similar lines may exist than are stored.
    Undetermined,
}

/// The verdict on every line at `threshold`, in the order of the input.
///
/// Lines of all days, each day and hash once; a similarity to a line that is not among them is passed over.
#[must_use]
pub fn rethreshold(lines: &[Line<'_>], threshold: f32) -> Vec<Verdict> {
    let places: HashMap<(i32, &str), usize> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| ((line.day, line.hash), place))
        .collect();
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|place| {
        let line = &lines[*place];
        (line.day, Reverse(line.events), line.hash)
    });
    let mut verdicts = vec![Verdict::Kept; lines.len()];
    // The first line of each template stands for it, on its day and later.
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for place in order {
        let line = &lines[place];
        if let Some(first) = first.get(line.template) {
            verdicts[place] = match verdicts[*first] {
                covered @ Verdict::Covered { .. } => covered,
                Verdict::Kept | Verdict::Undetermined => Verdict::Covered {
                    by: *first,
                    cosine: 1.0,
                },
            };
            continue;
        }
        first.insert(line.template, place);
        let reaching = |similar: &&(&str, i32, f32)| similar.2 >= threshold;
        let kept = line
            .similar
            .iter()
            .take_while(reaching)
            .filter_map(|(hash, day, cosine)| Some((*places.get(&(*day, *hash))?, *cosine)))
            .find(|(by, _)| !matches!(verdicts[*by], Verdict::Covered { .. }));
        verdicts[place] = match kept {
            Some((by, cosine)) => Verdict::Covered { by, cosine },
            None if line.similar.len() >= NEAREST
                && line.similar.iter().all(|s| s.2 >= threshold) =>
            {
                Verdict::Undetermined
            }
            None => Verdict::Kept,
        };
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::super::near_duplicates::{Candidate, Cover, Fate, Leader};
    use super::*;
    use crate::rng::SplitMix64;
    use crate::vector::cosine::normalise;

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "draws near 0")]
    fn another_threshold_gives_what_a_run_at_it_gives() {
        let mut rng = SplitMix64::new(3);
        let vectors: Vec<[f32; 5]> = (0..60)
            .map(|_| {
                let mut v = [0.0; 5].map(|_: f32| rng.next_normal() as f32);
                normalise(&mut v);
                v
            })
            .collect();
        let hashes: Vec<String> = (0..60).map(|i| format!("{i:02}")).collect();
        let events: Vec<u64> = (0..60).map(|_| rng.below(3) as u64).collect();
        let candidates: Vec<Candidate<'_>> = (0..60)
            .map(|i| Candidate {
                events: events[i],
                hash: hashes[i].as_bytes(),
                vector: &vectors[i],
            })
            .collect();
        let run = |threshold| Leader::new(&candidates, threshold).finish();
        let stored = run(0.9);
        let lines: Vec<Line<'_>> = (0..60)
            .map(|i| Line {
                day: 1,
                hash: &hashes[i],
                template: &hashes[i],
                events: i64::try_from(events[i]).unwrap(),
                similar: stored[i]
                    .nearest
                    .iter()
                    .map(|(by, cosine)| match by {
                        Cover::Candidate(by) | Cover::History(by) => {
                            (hashes[*by].as_str(), 1, *cosine)
                        }
                    })
                    .collect(),
            })
            .collect();
        let mut kept = vec![];
        for threshold in [0.55, 0.7, 0.8, 0.9, 0.97] {
            let again = rethreshold(&lines, threshold);
            for (verdict, expected) in again.iter().zip(run(threshold)) {
                let expected = match expected.fate {
                    Fate::Kept => Verdict::Kept,
                    Fate::Covered {
                        by: Cover::Candidate(by) | Cover::History(by),
                        cosine,
                    } => Verdict::Covered { by, cosine },
                };
                assert_eq!(*verdict, expected, "{threshold}");
            }
            kept.push(again.iter().filter(|v| **v == Verdict::Kept).count());
        }
        assert!(kept[0] < kept[4], "{kept:?}");
    }

    fn line<'a>(
        day: i32,
        hash: &'a str,
        template: &'a str,
        similar: Vec<(&'a str, i32, f32)>,
    ) -> Line<'a> {
        Line {
            day,
            hash,
            template,
            events: 1,
            similar,
        }
    }

    #[test]
    fn a_template_follows_what_stands_for_it_on_its_day_and_later() {
        let lines = [
            line(1, "a", "t", vec![]),
            line(1, "b", "u", vec![("a", 1, 0.8)]),
            line(1, "c", "u", vec![]),
            line(2, "d", "u", vec![]),
        ];
        let covered = |by, cosine| Verdict::Covered { by, cosine };
        assert_eq!(
            rethreshold(&lines, 0.75),
            [
                Verdict::Kept,
                covered(0, 0.8),
                covered(0, 0.8),
                covered(0, 0.8)
            ]
        );
        assert_eq!(
            rethreshold(&lines, 0.9),
            [
                Verdict::Kept,
                Verdict::Kept,
                covered(1, 1.0),
                covered(1, 1.0)
            ]
        );
    }

    #[test]
    fn a_full_list_of_covered_lines_leaves_a_line_undetermined() {
        let names: Vec<String> = (0..NEAREST).map(|i| format!("n{i:02}")).collect();
        let mut lines = vec![line(1, "a", "a", vec![])];
        for name in &names {
            lines.push(line(2, name, name, vec![("a", 1, 0.99)]));
        }
        let similar = names.iter().map(|name| (name.as_str(), 2, 0.95)).collect();
        lines.push(line(3, "z", "z", similar));
        assert_eq!(rethreshold(&lines, 0.9)[NEAREST + 1], Verdict::Undetermined);
        assert_eq!(rethreshold(&lines, 0.96)[NEAREST + 1], Verdict::Kept);
    }
}
