//! One pass over a line, which gathers everything that counts.
//!
//! **What.** `Scan::run` reads the characters once and leaves the histogram of the line, the statistics of its
//! arguments, the hashes of its words, its longest base64 and hexadecimal runs, its IPv4 addresses and the marks of
//! obfuscation. Every count of the catalog (carets, digits, delimiters ...) is then a look-up in the histogram.
//!
//! **Arguments and words.** Revoke-Obfuscation measures tokens of the `PowerShell` parser, where a quoted string is
//! one token. Its nearest kin for every shell is the *argument*: split at whitespace that is outside quotes. Words
//! ([`super::tokens`]) are finer and would tear a base64 payload or a path apart; they serve the corpus features.
//! A single quote opens only after something that is no letter or digit, so that `it's` opens nothing. A quote that
//! is never closed runs to the end of the line.
//!
//! **Units.** Lengths count Unicode scalar values. Case is ASCII case: beyond ASCII nothing counts as a letter, since
//! the case tables of Unicode change between releases.
//!
//! **Cost.** About 10 ns a byte. The buffers are kept from line to line, so that nothing is allocated after the first
//! few; a line of 1 MiB leaves at most some 16 MiB in them.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "features are f32: seven digits of a count suffice"
)]

use super::tokens::{
    BASE64, CLASS, DIGIT, ESCAPE, HEX, LETTER, SEPARATOR, SPACE, UPPER, WORD, WordHasher, class_of,
};
use std::ops::Range;

/// The shortest run that counts as base64, in characters: 12 bytes of content.
const MIN_BASE64: usize = 16;
/// The shortest run that counts as hexadecimal, in characters: 4 bytes of content.
const MIN_HEX: u32 = 8;
/// Counts below this have their logarithm in a table.
const LOGS: u32 = 1024;

/// What one line holds; reused from line to line.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// Characters of the line, Unicode scalar values.
    pub(crate) chars: u32,
    /// How often each ASCII character occurs.
    pub(crate) histogram: [u32; 128],
    /// The characters beyond ASCII, sorted once the pass is done.
    pub(crate) wide: Vec<char>,
    /// Whitespace beyond ASCII.
    pub(crate) wide_spaces: u32,
    /// Runs of characters between whitespace.
    pub(crate) space_separated: u32,
    /// Neighbouring letters whose case differs.
    pub(crate) case_alternations: u32,
    /// Backticks between two letters or digits.
    pub(crate) ticks_in_words: u32,
    /// Carets between two letters or digits.
    pub(crate) carets_in_words: u32,
    /// Quotes between two letters.
    pub(crate) quotes_in_words: u32,
    /// `'+'` between two quotes of a kind, spaces apart.
    pub(crate) concatenations: u32,
    /// Byte range of the longest base64 run; empty when there is none.
    pub(crate) base64_run: Range<usize>,
    /// Length of the longest hexadecimal run that holds a digit: `defaced` is a word.
    pub(crate) hex_run: u32,
    /// The IPv4 addresses.
    pub(crate) addresses: Vec<[u8; 4]>,
    /// Length of each argument, characters.
    pub(crate) lengths: Vec<f32>,
    /// Shannon entropy of each argument, bits a character.
    pub(crate) entropies: Vec<f32>,
    /// Share of each argument's characters that are no whitespace.
    pub(crate) densities: Vec<f32>,
    /// Share of each argument's characters that are `A-Z`.
    pub(crate) uppers: Vec<f32>,
    /// Length of the longest argument.
    pub(crate) longest: u32,
    /// Entropy of the longest argument (the first of several).
    pub(crate) longest_entropy: f32,
    /// Byte range of the first argument.
    pub(crate) first_argument: Range<usize>,
    /// Hashes of the words, in order.
    pub(crate) words: Vec<u64>,
    /// A bit for each ASCII character that occurs.
    present: [u64; 2],
    argument: Argument,
    logs: Box<[f64]>,
}

/// The argument being read.
#[derive(Debug, Clone)]
struct Argument {
    histogram: [u32; 128],
    present: [u64; 2],
    chars: u32,
    wide_from: usize,
    wide_spaces: u32,
    start: usize,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self {
            chars: 0,
            histogram: [0; 128],
            wide: Vec::new(),
            wide_spaces: 0,
            space_separated: 0,
            case_alternations: 0,
            ticks_in_words: 0,
            carets_in_words: 0,
            quotes_in_words: 0,
            concatenations: 0,
            base64_run: 0..0,
            hex_run: 0,
            addresses: Vec::new(),
            lengths: Vec::new(),
            entropies: Vec::new(),
            densities: Vec::new(),
            uppers: Vec::new(),
            longest: 0,
            longest_entropy: 0.0,
            first_argument: 0..0,
            words: Vec::new(),
            present: [0; 2],
            argument: Argument {
                histogram: [0; 128],
                present: [0; 2],
                chars: 0,
                wide_from: 0,
                wide_spaces: 0,
                start: 0,
            },
            logs: (0..LOGS).map(x_log2_x).collect(),
        }
    }

    /// Forgets the last line, keeps the buffers.
    fn clear(&mut self) {
        self.chars = 0;
        self.histogram = [0; 128];
        self.wide.clear();
        self.wide_spaces = 0;
        self.space_separated = 0;
        self.case_alternations = 0;
        self.ticks_in_words = 0;
        self.carets_in_words = 0;
        self.quotes_in_words = 0;
        self.concatenations = 0;
        self.base64_run = 0..0;
        self.hex_run = 0;
        self.addresses.clear();
        self.lengths.clear();
        self.entropies.clear();
        self.densities.clear();
        self.uppers.clear();
        self.longest = 0;
        self.longest_entropy = 0.0;
        self.first_argument = 0..0;
        self.words.clear();
        self.present = [0; 2];
        self.argument.wide_from = 0;
    }

    /// Reads a line. Time: linear in its bytes, but for sorting what is beyond ASCII.
    #[expect(
        clippy::too_many_lines,
        reason = "one pass: to split it is to pass its dozen states around"
    )]
    pub(crate) fn run(&mut self, line: &str) {
        self.clear();
        let mut word = WordHasher::NEW;
        let mut quote = '\0';
        // The two characters before this one, with their classes, and the two before it that were no whitespace.
        let (mut before, mut last) = ((' ', SPACE), (' ', SPACE));
        let (mut solid_before, mut solid_last) = (' ', ' ');
        let (mut base64_from, mut hex_length, mut hex_seen) = (0, 0, 0);
        let mut dotted: Option<(usize, u8)> = None;

        for (at, c) in line.char_indices() {
            let class = class_of(c);
            if class & SEPARATOR == 0 {
                if c.is_ascii() {
                    word.push_ascii(c as u8, class);
                } else {
                    word.push(c);
                }
            } else if let Some(hash) = word.take() {
                self.words.push(hash);
            }
            if class & BASE64 == 0 {
                if at - base64_from >= MIN_BASE64 {
                    self.base64_ends(line, base64_from..at);
                }
                base64_from = at + c.len_utf8();
            }
            // Without a branch: whether a letter is hexadecimal cannot be foretold.
            let hex = class & HEX != 0;
            (hex_length, hex_seen) = (
                (hex_length + 1) * u32::from(hex),
                (hex_seen | class) * u16::from(hex),
            );
            if hex_length >= MIN_HEX && hex_seen & DIGIT != 0 {
                self.hex_run = self.hex_run.max(hex_length);
            }
            match &mut dotted {
                None if class & DIGIT != 0
                    && last.1 & WORD == 0
                    && !matches!(last.0, '.' | '-') =>
                {
                    dotted = Some((at, 0));
                }
                Some((_, dots)) if c == '.' => *dots = dots.saturating_add(1),
                Some((start, dots)) if class & DIGIT == 0 => {
                    if *dots == 3 && class & WORD == 0 && c != '-' {
                        self.addresses
                            .extend(line.get(*start..at).and_then(address));
                    }
                    dotted = None;
                }
                _ => {}
            }
            let letters = last.1 & LETTER != 0 && class & LETTER != 0;
            self.case_alternations += u32::from(letters) & u32::from((last.1 ^ class) & UPPER != 0);
            if matches!(last.0, '"' | '\'') {
                self.quotes_in_words += u32::from(class & LETTER != 0 && before.1 & LETTER != 0);
            }
            if last.1 & ESCAPE != 0
                && class & (LETTER | DIGIT) != 0
                && before.1 & (LETTER | DIGIT) != 0
            {
                *(if last.0 == '`' {
                    &mut self.ticks_in_words
                } else {
                    &mut self.carets_in_words
                }) += 1;
            }

            let space = class & SPACE != 0;
            if !space {
                self.space_separated += u32::from(last.1 & SPACE != 0);
                if matches!(c, '"' | '\'') {
                    self.concatenations += u32::from(solid_last == '+' && solid_before == c);
                    if quote == c {
                        quote = '\0';
                    } else if quote == '\0' && (c == '"' || last.1 & WORD == 0) {
                        quote = c;
                    }
                }
                (solid_before, solid_last) = (solid_last, c);
            }
            if space && quote == '\0' {
                if self.argument.chars > 0 {
                    self.argument_ends(at);
                }
                self.chars += 1;
                if let Some(count) = self.histogram.get_mut(c as usize) {
                    *count += 1;
                    self.present[0] |= 1 << (c as u32 & 63);
                } else {
                    self.wide_space(c);
                }
            } else {
                self.argument_takes(at, c, space);
            }
            (before, last) = (last, (c, class));
        }

        self.words.extend(word.take());
        self.base64_ends(line, base64_from..line.len());
        if let Some((start, 3)) = dotted {
            self.addresses.extend(line.get(start..).and_then(address));
        }
        if self.argument.chars > 0 {
            self.argument_ends(line.len());
        }
        self.wide.sort_unstable();
    }

    /// Whitespace beyond ASCII between arguments. The next argument's wide characters begin after it.
    #[cold]
    fn wide_space(&mut self, c: char) {
        self.wide.push(c);
        self.wide_spaces += 1;
        self.argument.wide_from = self.wide.len();
    }

    #[inline]
    fn argument_takes(&mut self, at: usize, c: char, space: bool) {
        let argument = &mut self.argument;
        if argument.chars == 0 {
            argument.start = at;
        }
        argument.chars += 1;
        if let Some(count) = argument.histogram.get_mut(c as usize) {
            *count += 1;
            argument.present[usize::from(c as u32 >= 64)] |= 1 << (c as u32 & 63);
        } else {
            self.wide.push(c);
            argument.wide_spaces += u32::from(space);
        }
    }

    /// Closes the argument: its four statistics, and its counts into the line's.
    fn argument_ends(&mut self, end: usize) {
        let argument = &mut self.argument;
        let chars = argument.chars;
        let (mut logs, mut upper, mut spaces) = (0.0, 0, argument.wide_spaces);
        for half in 0..2 {
            let mut present = argument.present[half];
            self.present[half] |= present;
            while present != 0 {
                let code = half * 64 + present.trailing_zeros() as usize;
                present &= present - 1;
                let count = std::mem::take(&mut argument.histogram[code & 127]);
                logs += look_up(&self.logs, count);
                self.histogram[code & 127] += count;
                let class = CLASS[code & 127];
                upper += if class & UPPER == 0 { 0 } else { count };
                spaces += if class & SPACE == 0 { 0 } else { count };
            }
        }
        if let Some(wide) = self.wide.get_mut(argument.wide_from..) {
            wide.sort_unstable();
            logs += runs(wide)
                .map(|count| look_up(&self.logs, count))
                .sum::<f64>();
        }
        let entropy = entropy_of(chars, look_up(&self.logs, chars), logs);
        if self.lengths.is_empty() {
            self.first_argument = argument.start..end;
        }
        if chars > self.longest {
            (self.longest, self.longest_entropy) = (chars, entropy);
        }
        self.chars += chars;
        self.wide_spaces += argument.wide_spaces;
        self.lengths.push(chars as f32);
        self.entropies.push(entropy);
        self.densities.push((chars - spaces) as f32 / chars as f32);
        self.uppers.push(upper as f32 / chars as f32);
        argument.present = [0; 2];
        argument.chars = 0;
        argument.wide_spaces = 0;
        argument.wide_from = self.wide.len();
    }
    /// Keeps a base64 run when it is the longest so far. Paths and names are of the alphabet too, so a run counts
    /// only with both cases and a digit, and no more than one `/` in eight characters.
    fn base64_ends(&mut self, line: &str, run: Range<usize>) {
        if run.len() < MIN_BASE64 || run.len() <= self.base64_run.len() {
            return;
        }
        let (mut seen, mut slashes) = (0, 0);
        for byte in line.get(run.clone()).unwrap_or_default().bytes() {
            seen |= CLASS[usize::from(byte & 127)];
            slashes += usize::from(byte == b'/');
        }
        if seen & LETTER == LETTER && seen & DIGIT != 0 && slashes * 8 <= run.len() {
            self.base64_run = run;
        }
    }

    /// Shannon entropy of the line in bits a character, and its number of distinct characters.
    pub(crate) fn entropy_and_distinct(&self) -> (f32, u32) {
        let (mut logs, mut distinct) = (0.0, 0);
        for half in 0..2 {
            let mut present = self.present[half];
            while present != 0 {
                let code = half * 64 + present.trailing_zeros() as usize;
                present &= present - 1;
                logs += look_up(&self.logs, self.histogram[code & 127]);
                distinct += 1;
            }
        }
        for count in runs(&self.wide) {
            logs += look_up(&self.logs, count);
            distinct += 1;
        }
        let whole = look_up(&self.logs, self.chars);
        (entropy_of(self.chars, whole, logs), distinct)
    }

    /// Sum of the characters' code points.
    pub(crate) fn code_points(&self) -> f64 {
        let ascii: u64 = (0_u64..)
            .zip(&self.histogram)
            .map(|(code, count)| code * u64::from(*count))
            .sum();
        ascii as f64
            + self
                .wide
                .iter()
                .map(|c| f64::from(u32::from(*c)))
                .sum::<f64>()
    }

    /// How many characters are beyond ASCII.
    pub(crate) fn wide_count(&self) -> u32 {
        u32::try_from(self.wide.len()).unwrap_or(u32::MAX)
    }

    /// How often an ASCII character occurs.
    pub(crate) fn count(&self, byte: u8) -> u32 {
        self.histogram.get(usize::from(byte)).copied().unwrap_or(0)
    }

    /// How many characters are of any of the given classes, whitespace beyond ASCII included.
    pub(crate) fn of_class(&self, wanted: u16) -> u32 {
        let ascii: u32 = CLASS
            .iter()
            .zip(&self.histogram)
            .map(|(class, count)| count * u32::from(class & wanted != 0))
            .sum();
        ascii
            + if wanted & SPACE == 0 {
                0
            } else {
                self.wide_spaces
            }
    }
}

/// H = (n log2 n - sum of c log2 c) / n, in bits; never below 0, where rounding would take a constant string.
fn entropy_of(chars: u32, whole: f64, parts: f64) -> f32 {
    if chars == 0 {
        return 0.0;
    }
    ((whole - parts) / f64::from(chars)).max(0.0) as f32
}

fn x_log2_x(count: u32) -> f64 {
    let count = f64::from(count);
    if count > 0.0 {
        count * count.log2()
    } else {
        0.0
    }
}

#[inline]
fn look_up(logs: &[f64], count: u32) -> f64 {
    logs.get(count as usize)
        .copied()
        .unwrap_or_else(|| x_log2_x(count))
}

/// Lengths of the runs of equal characters in a sorted slice.
fn runs(sorted: &[char]) -> impl Iterator<Item = u32> + '_ {
    sorted
        .chunk_by(|a, b| a == b)
        .map(|run| u32::try_from(run.len()).unwrap_or(u32::MAX))
}

/// Four decimal numbers of 0 to 255, without leading zeros, joined by dots.
fn address(text: &str) -> Option<[u8; 4]> {
    text.parse::<std::net::Ipv4Addr>()
        .ok()
        .map(|address| address.octets())
}

/// Shannon entropy of a line, bits a character: 0 for an empty line, at most log2 of its distinct characters.
#[must_use]
pub fn entropy(line: &str) -> f32 {
    let (mut histogram, mut wide, mut chars) = ([0_u32; 128], Vec::new(), 0_u32);
    for c in line.chars() {
        chars = chars.saturating_add(1);
        match histogram.get_mut(c as usize) {
            Some(count) => *count += 1,
            None => wide.push(c),
        }
    }
    wide.sort_unstable();
    let logs = histogram.into_iter().chain(runs(&wide)).map(x_log2_x).sum();
    entropy_of(chars, x_log2_x(chars), logs)
}

#[cfg(test)]
mod tests;
