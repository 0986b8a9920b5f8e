//! The corpus model: document frequencies in the form that lines are scored by.
//!
//! **What.** Counts of words as they are; counts of n-grams as logarithms, in thousandths of a bit, two bytes each.
//!
//! **Why.** A line reads two cells for each of its bytes, anywhere in the tables: their size is what it costs. As 32-bit counts they
//! take 5 MiB, so 2.5, and the sum is one of integers: the same in any order. Coarser steps (an eighth of a bit) make the feature's
//! values lumps, whose shares differ from day to day: a drift where there is none.
//!
//! **Cost.** 4.5 MiB; made in about 5 ms.

use super::{CONTEXT_BITS, DocumentFrequencies, TRANSITION_BITS, transitions};

/// Steps of a bit.
const STEPS: f64 = 1024.0;
/// The prior: an unseen byte in an unseen context has probability 1/256, eight bits less than 1.
const PRIOR: i64 = -8 * 1024;

/// Document frequencies, to score lines by.
#[derive(Debug, Clone)]
pub struct CorpusModel {
    frequencies: DocumentFrequencies,
    /// log2(1 + count) of each context.
    contexts: Vec<u16>,
    /// 1 + log2(count) of each transition; 0 where there is none.
    transitions: Vec<u16>,
}

impl From<DocumentFrequencies> for CorpusModel {
    fn from(mut frequencies: DocumentFrequencies) -> Self {
        let contexts = std::mem::take(&mut frequencies.contexts);
        let transitions = std::mem::take(&mut frequencies.transitions);
        let some = |table: Vec<u16>, bits: u32| {
            if table.is_empty() {
                vec![0; 1 << bits]
            } else {
                table
            }
        };
        let context = |count: &u32| steps(f64::from(*count) + 1.0);
        let transition = |count: &u32| match count {
            0 => 0,
            count => steps(f64::from(*count)).saturating_add(1),
        };
        Self {
            contexts: some(contexts.iter().map(context).collect(), CONTEXT_BITS),
            transitions: some(
                transitions.iter().map(transition).collect(),
                TRANSITION_BITS,
            ),
            frequencies,
        }
    }
}

impl CorpusModel {
    /// The number of lines counted.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.frequencies.documents()
    }

    /// See [`DocumentFrequencies::document_frequency`].
    #[must_use]
    pub fn document_frequency(&self, token_hash: u64) -> u32 {
        self.frequencies.document_frequency(token_hash)
    }

    /// See [`DocumentFrequencies::idf`].
    #[must_use]
    pub fn idf(&self, document_frequency: u32) -> f32 {
        self.frequencies.idf(document_frequency)
    }

    /// Mean log2 probability of a line's bytes, each given the four before it, with a prior of 1/256: from -40 (all
    /// surprising) to 0; 0 for an empty line. At most [`super::MAX_BYTES`] bytes are read.
    #[must_use]
    pub fn transition_log2(&self, line: &str) -> f32 {
        let (mut sum, mut count) = (0_i64, 0_u32);
        for (context, transition) in transitions(line) {
            let seen = i64::from(cell(&self.contexts, context));
            let followed = match cell(&self.transitions, transition) {
                0 => PRIOR,
                steps => i64::from(steps) - 1,
            };
            // Cells are shared, so a transition may count more than its context.
            sum += followed.min(seen) - seen;
            count += 1;
        }
        if count == 0 {
            0.0
        } else {
            (sum as f64 / (STEPS * f64::from(count))) as f32
        }
    }
}

#[inline]
fn cell(table: &[u16], cell: usize) -> u16 {
    table.get(cell).copied().unwrap_or(0)
}

/// log2 in steps, of at least 1.
#[expect(clippy::cast_sign_loss, reason = "the logarithm of at least 1")]
fn steps(count: f64) -> u16 {
    (count.log2() * STEPS).round().min(65535.0) as u16
}

#[cfg(test)]
mod tests {
    use super::super::DocumentFrequencies;
    use super::*;

    /// The definition, over exact counts.
    fn naive(lines: &[String], line: &str) -> f64 {
        use std::collections::HashMap;
        let windows = |line: &str| {
            let mut bytes = vec![0_u8; 4];
            let fold = |b: u8| if b.is_ascii_digit() { b'0' } else { b };
            bytes.extend(line.bytes().map(fold));
            bytes
        };
        let (mut contexts, mut followed) = (HashMap::new(), HashMap::new());
        for line in lines {
            for window in windows(line).windows(5) {
                *contexts.entry(window[..4].to_vec()).or_insert(0.0) += 1.0;
                *followed.entry(window.to_vec()).or_insert(0.0) += 1.0;
            }
        }
        let bytes = windows(line);
        let logs = bytes.windows(5).map(|window| {
            let seen: f64 = contexts.get(&window[..4]).copied().unwrap_or(0.0);
            let followed: f64 = followed.get(window).copied().unwrap_or(0.0);
            ((followed + 1.0 / 256.0) / (seen + 1.0)).log2()
        });
        logs.sum::<f64>() / (bytes.len() - 4) as f64
    }

    #[test]
    fn the_mean_is_that_of_the_counts_to_a_thousandth_of_a_bit() {
        let lines: Vec<String> = (0..500)
            .map(|i| format!("robocopy C:\\data\\{} D:\\backup /mir /r:{i}", i % 7))
            .collect();
        let mut frequencies = DocumentFrequencies::new();
        for line in &lines {
            frequencies.add_line(line);
        }
        let model = CorpusModel::from(frequencies);
        for line in [lines[3].as_str(), "robocopy D:\\backup", "xyzzy ~~", "r"] {
            let (ours, exact) = (f64::from(model.transition_log2(line)), naive(&lines, line));
            assert!(
                (ours - exact).abs() <= 1.0 / 1024.0,
                "{line}: {ours} {exact}"
            );
        }
        assert!(
            model.transition_log2(&lines[3]) > -2.0 && model.transition_log2("xyzzy ~~") < -5.0
        );
    }

    #[test]
    fn what_was_seen_often_is_likely() {
        let mut frequencies = DocumentFrequencies::new();
        (0..1000).for_each(|_| frequencies.add_line("net user bob"));
        let model = CorpusModel::from(frequencies);
        let common = model.transition_log2("net user bob");
        assert!(common > -0.01, "{common}");
        assert!(model.transition_log2("qzxj") < -7.0);
        assert!(model.transition_log2("net user bob qzxj") < common);
    }

    #[test]
    fn of_no_lines_every_byte_has_the_prior_s_probability() {
        let model = CorpusModel::from(DocumentFrequencies::new());
        assert!((model.transition_log2("abc") + 8.0).abs() < 1e-6);
        assert!(model.transition_log2("").abs() < 1e-6);
    }
}
