//! How usual the characters of a value are, given the two before them: a model of what parameters ordinarily hold.
//!
//! Characters are read as 64 classes: letters without case, `0` for any digit, the ASCII punctuation one by one, one class
//! each for spaces, controls and all beyond ASCII, and the border of a value. The probability of a class given two is mixed
//! with that given one, given none, and 1/64, by how much was seen of each (Witten and Bell 1991). Counts of order three
//! are one table of 64³, so that parts add up exactly.

use prost::Message;

/// Classes of characters.
const CLASSES: usize = 64;
const BORDER: u8 = 0;
/// Characters of a value that count.
pub const MAX_CHARS: usize = 4096;
/// Characters over which the worst stretch is averaged.
const STRETCH: usize = 6;

/// The class of a character.
fn class(c: char) -> u8 {
    match c {
        'a'..='z' => 1 + (c as u8 - b'a'),
        'A'..='Z' => 1 + (c as u8 - b'A'),
        '0'..='9' => 27,
        ' ' => 28,
        // The 32 punctuation characters of ASCII: 29 to 60.
        '!'..='/' => 29 + (c as u8 - b'!'),
        ':'..='@' => 44 + (c as u8 - b':'),
        '['..='`' => 51 + (c as u8 - b'['),
        '{'..='~' => 57 + (c as u8 - b'{'),
        c if c.is_control() => 61,
        c if c.is_whitespace() => 28,
        _ => 62,
    }
}

fn cell(a: u8, b: u8, c: u8) -> usize {
    (usize::from(a) * CLASSES + usize::from(b)) * CLASSES + usize::from(c)
}

/// Counts of three classes in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GramCounts {
    /// Empty until the first value.
    counts: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GramMessage {
    #[prost(uint32, repeated, tag = "1")]
    cells: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    counts: Vec<u32>,
}

impl GramCounts {
    /// Counts a value.
    pub fn add(&mut self, value: &str) {
        if self.counts.is_empty() {
            self.counts = vec![0; CLASSES * CLASSES * CLASSES];
        }
        let (mut a, mut b) = (BORDER, BORDER);
        for c in value.chars().take(MAX_CHARS).map(class).chain([BORDER]) {
            if let Some(count) = self.counts.get_mut(cell(a, b, c)) {
                *count = count.saturating_add(1);
            }
            (a, b) = (b, c);
        }
    }

    /// Adds another part's counts.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub(crate) fn message(&self) -> GramMessage {
        let mut message = GramMessage::default();
        for (cell, count) in (0_u32..).zip(&self.counts).filter(|(_, count)| **count > 0) {
            message.cells.push(cell);
            message.counts.push(*count);
        }
        message
    }

    /// `None` where the message is not one that [`Self::message`] made.
    pub(crate) fn from_message(message: &GramMessage) -> Option<Self> {
        let mut counts = Self::default();
        if message.cells.len() != message.counts.len() {
            return None;
        }
        if !message.cells.is_empty() {
            counts.counts = vec![0; CLASSES * CLASSES * CLASSES];
        }
        for (cell, count) in message.cells.iter().zip(&message.counts) {
            *counts.counts.get_mut(usize::try_from(*cell).ok()?)? = *count;
        }
        Some(counts)
    }
}

/// How surprising a value is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Surprise {
    /// Mean, bits a character.
    pub mean: f32,
    /// The worst stretch of six characters, bits a character.
    pub worst: f32,
    /// All of it, bits.
    pub total: f32,
}

/// What values ordinarily hold: bits of every class after every two.
#[derive(Debug, Clone)]
pub struct GramModel {
    bits: Vec<f32>,
}

impl GramModel {
    /// From counts; of none, every character costs six bits.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bits are f32: seven digits suffice"
    )]
    pub fn new(counts: &GramCounts) -> Self {
        let zeros;
        let three: &[u32] = if counts.counts.is_empty() {
            zeros = vec![0; CLASSES * CLASSES * CLASSES];
            &zeros
        } else {
            &counts.counts
        };
        let mut two = vec![0_u64; CLASSES * CLASSES];
        let mut one = vec![0_u64; CLASSES];
        for (cell, count) in three.iter().enumerate() {
            two[cell % (CLASSES * CLASSES)] += u64::from(*count);
            one[cell % CLASSES] += u64::from(*count);
        }
        let uniform = vec![1.0 / 64.0; CLASSES];
        let unigram = mixed(&one, &uniform);
        let mut bits = vec![0.0; three.len()];
        for b in 0..CLASSES {
            let bigram = mixed(&two[b * CLASSES..(b + 1) * CLASSES], &unigram);
            for a in 0..CLASSES {
                let from = (a * CLASSES + b) * CLASSES;
                let row: Vec<u64> = three[from..from + CLASSES]
                    .iter()
                    .map(|c| u64::from(*c))
                    .collect();
                for (cell, p) in bits[from..].iter_mut().zip(mixed(&row, &bigram)) {
                    *cell = -p.log2() as f32;
                }
            }
        }
        Self { bits }
    }

    /// How surprising a value is; an empty one is not.
    #[must_use]
    pub fn surprise(&self, value: &str) -> Surprise {
        let (mut a, mut b) = (BORDER, BORDER);
        let (mut total, mut n) = (0.0_f32, 0_u16);
        let mut last = [0.0_f32; STRETCH];
        let (mut stretch, mut worst) = (0.0_f32, 0.0_f32);
        for c in value.chars().take(MAX_CHARS).map(class).chain([BORDER]) {
            let bits = self.bits.get(cell(a, b, c)).copied().unwrap_or(6.0);
            total += bits;
            let slot = usize::from(n) % STRETCH;
            last[slot] = bits;
            n += 1;
            // Summed anew, not by adding and taking away: the same for the same six characters wherever they stand.
            stretch = last.iter().sum();
            worst = worst.max(stretch);
            (a, b) = (b, c);
        }
        let _ = stretch;
        if n <= 1 {
            return Surprise::default();
        }
        let seen = f32::from(n);
        Surprise {
            mean: total / seen,
            worst: worst / seen.min(6.0),
            total,
        }
    }
}

/// Probabilities by counts, mixed with those of the shorter context by how many kinds were seen after how many times.
fn mixed(counts: &[u64], shorter: &[f64]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let (n, kinds) = (
        counts.iter().sum::<u64>() as f64,
        counts.iter().filter(|c| **c > 0).count() as f64,
    );
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    counts
        .iter()
        .zip(shorter)
        .map(|(count, p)| {
            if n > 0.0 {
                (*count as f64 + kinds * p) / (n + kinds)
            } else {
                *p
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ascii_character_has_a_class_of_its_own_but_case_and_digits() {
        let classes: std::collections::BTreeSet<u8> = (' '..='~').map(class).collect();
        assert_eq!(classes.len(), 26 + 1 + 1 + 32);
        assert!(
            classes
                .iter()
                .all(|c| usize::from(*c) < CLASSES && *c != BORDER)
        );
    }

    #[test]
    fn an_attack_surprises_a_model_of_names_and_numbers() {
        let mut counts = GramCounts::default();
        for value in [
            "maria",
            "calle caballeros, 160",
            "pollack",
            "96795973j",
            "true",
            "en-US",
            "12",
        ] {
            for _ in 0..20 {
                counts.add(value);
            }
        }
        let model = GramModel::new(&counts);
        let usual = model.surprise("calle pollack, 12");
        let attack = model.surprise("1' union all select null,null#");
        assert!(attack.mean > usual.mean + 1.0, "{usual:?} {attack:?}");
        assert!(attack.worst > usual.worst, "{usual:?} {attack:?}");
        assert_eq!(model.surprise(""), Surprise::default());
    }

    #[test]
    fn probabilities_sum_to_one() {
        let mut counts = GramCounts::default();
        counts.add("abcabd");
        let model = GramModel::new(&counts);
        for from in [cell(0, 0, 0), cell(1, 2, 0), cell(9, 9, 0)] {
            let sum: f64 = model.bits[from..from + CLASSES]
                .iter()
                .map(|b| f64::from(-b).exp2())
                .sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }

    #[test]
    fn parts_add_up() {
        let (mut a, mut b, mut whole) = (
            GramCounts::default(),
            GramCounts::default(),
            GramCounts::default(),
        );
        a.add("one");
        b.add("two'");
        whole.add("two'");
        whole.add("one");
        a.merge(&b);
        assert_eq!(a, whole);
        assert_eq!(GramCounts::from_message(&a.message()), Some(whole));
    }
}
