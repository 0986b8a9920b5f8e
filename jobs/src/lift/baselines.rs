//! Training sets to start from: labels from the rules alone, and from several sources with weights.

use std::collections::BTreeMap;

use gleaner_udfs::text::label::{Label, Verdict};

use super::by_rules_alone;

/// What the rules alone say of a line, malicious or benign: `None` where a rule of low level hits, or the line hides something from them.
#[must_use]
pub fn by_rules(line: &str) -> Option<bool> {
    of_label(&by_rules_alone(line))
}

/// As [`by_rules`], of the rules' label.
#[must_use]
pub fn of_label(label: &Label) -> Option<bool> {
    match label.verdict {
        Verdict::Malicious => Some(true),
        Verdict::Suspicious => (!label.rules.is_empty()).then_some(true),
        // Without a hit a line is ordinary to this baseline, which knows of nothing else.
        Verdict::Benign | Verdict::Uncertain => label.rules.is_empty().then_some(false),
    }
}

/// Votes of sources on lines, each of which is named by a key.
#[derive(Debug, Clone)]
pub struct Votes<K> {
    /// For benign and for malicious.
    by_line: BTreeMap<K, [f64; 2]>,
}

impl<K> Default for Votes<K> {
    fn default() -> Self {
        Self {
            by_line: BTreeMap::new(),
        }
    }
}

impl<K: Ord> Votes<K> {
    /// A source's word, which counts `weight`, on lines: key, malicious or not, weight of the row. It has one voice a line, however often it has the
    /// line: the row that weighs most, for each class.
    pub fn add(&mut self, weight: f64, rows: impl IntoIterator<Item = (K, bool, f32)>) {
        let mut voices: BTreeMap<K, [f64; 2]> = BTreeMap::new();
        for (line, malicious, weight) in rows {
            let voice = voices.entry(line).or_default();
            let side = &mut voice[usize::from(malicious)];
            *side = side.max(f64::from(weight));
        }
        for (line, voice) in voices {
            let vote = self.by_line.entry(line).or_default();
            vote[0] += weight * voice[0];
            vote[1] += weight * voice[1];
        }
    }

    /// The lines in the order of their keys, malicious or not, each with the margin of its vote for a weight; and how many were tied.
    #[must_use]
    pub fn decide(self) -> (Vec<(K, bool, f32)>, usize) {
        let mut ties = 0;
        let mut decided = vec![];
        for (line, [benign, malicious]) in self.by_line {
            let margin = (malicious - benign).abs();
            if margin <= 1e-9 * (malicious + benign) {
                ties += 1;
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "a weight")]
            let weight = margin as f32;
            decided.push((line, malicious > benign, weight));
        }
        (decided, ties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_malicious_none_is_benign_and_a_low_one_is_left_out() {
        assert_eq!(by_rules("vssadmin delete shadows /all /quiet"), Some(true));
        assert_eq!(by_rules("git status"), Some(false));
        assert_eq!(by_rules("git \u{202e}status"), None);
    }

    #[test]
    fn the_heavier_side_wins_by_its_margin_and_a_tie_is_left_out() {
        let mut votes = Votes::default();
        // Twice the same line is one voice.
        votes.add(
            0.5,
            [
                ("a", true, 1.0),
                ("a", true, 1.0),
                ("b", true, 1.0),
                ("c", true, 2.0),
            ],
        );
        votes.add(
            1.0,
            [("a", false, 1.0), ("b", true, 1.0), ("c", false, 1.0)],
        );
        let (decided, ties) = votes.decide();
        assert_eq!(decided, [("a", false, 0.5), ("b", true, 1.5)]);
        assert_eq!(ties, 1);
    }
}
