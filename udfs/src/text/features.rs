//! From a line to its features.
//!
//! **What.** [`Featurizer::compute`] fills one row of [`CATALOG`]: the scan ([`super::scan`]), the behaviours
//! ([`super::behaviors`]) and the corpus model each read the line once, and what they left is written to the features'
//! positions. Nothing here reads the line again.
//!
//! **Missing values** are NaN: the corpus features without a model, the process features without their column.
//! An empty line is no missing line: its features are 0.
//!
//! **Cost.** About 3 µs for a line of 100 bytes, 4 to 5 with the corpus model, nothing allocated once warm. One featurizer a thread.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "features are f32: seven digits of a count suffice"
)]

use super::behaviors::{self, Behavior, Engine, Hits};
use super::catalog::{CATALOG, N_FEATURES, Slot};
use super::context::{self, PathClass};
use super::scan::{self, Scan};
use super::summary::Summary;
use super::tokens::{self, DELIMITER, DIGIT, LETTER, SPACE};
use crate::sketch::document_frequency::CorpusModel;

pub use super::context::Context;

mod slots;

use slots::{CORPUS, COUNTERS, DENSITY, ENTROPY, LENGTH, SINGLE, SPLUNK, UPPER_ALPHA, group_slot};

/// The least share of the lines that tells how rare a word is: below it, idf tells more.
const RAREST: f64 = 0.001;

/// Shannon entropy of a line, bits a character.
#[must_use]
pub fn entropy(line: &str) -> f32 {
    scan::entropy(line)
}

/// The words of a line, in order, as they are written.
#[must_use]
pub fn tokens(line: &str) -> Vec<&str> {
    tokens::words(line).collect()
}

/// The names of the behavioural tags that hold for a line, in the order of the catalog of behaviours. For many lines keep
/// one [`Featurizer`].
#[must_use]
pub fn behaviors(line: &str) -> Vec<&'static str> {
    Featurizer::new().behaviors(line)
}

/// Computes features; holds the scratch that lines share.
#[derive(Debug, Clone)]
pub struct Featurizer {
    engine: &'static Engine,
    scan: Scan,
    hits: Hits,
    /// The line without its escapes.
    bare: String,
    behaviors: Vec<&'static Behavior>,
    /// For each behaviour the position of its own feature, if it has one.
    slots: Vec<Option<usize>>,
}

impl Default for Featurizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Featurizer {
    /// A featurizer: some kilobytes of scratch. The first of a process builds the automaton that all share.
    #[must_use]
    pub fn new() -> Self {
        let engine = Engine::shared();
        let behaviors: Vec<_> = behaviors::all().collect();
        let slot = |name: &str| {
            let own = |feature: &str| {
                feature
                    .strip_prefix("tag_")
                    .is_some_and(|own| own.eq_ignore_ascii_case(name))
            };
            CATALOG.iter().position(|feature| own(feature.name))
        };
        let slots = behaviors
            .iter()
            .map(|behavior| slot(behavior.name))
            .collect();
        Self {
            engine,
            scan: Scan::new(),
            hits: Hits::new(engine),
            bare: String::new(),
            behaviors,
            slots,
        }
    }

    /// Fills a row: `out` takes [`N_FEATURES`] values in the order of [`CATALOG`]. A shorter slice gets what fits, of a
    /// longer one the rest is left as it is. Every value is in its feature's range or NaN.
    ///
    /// Time: linear in the line, but for sorting its words and what is beyond ASCII.
    pub fn compute(
        &mut self,
        line: &str,
        context: &Context<'_>,
        frequencies: Option<&CorpusModel>,
        out: &mut [f32],
    ) {
        let mut row = Row {
            values: [0.0; N_FEATURES],
        };
        self.read(line);
        self.lengths(line, context, &mut row);
        self.characters(&mut row);
        self.summaries(&mut row);
        self.acts(&mut row);
        process(context, &mut row);
        match frequencies {
            Some(frequencies) => self.corpus(line, frequencies, &mut row),
            None => row.missing(&CORPUS),
        }
        for (out, value) in out.iter_mut().zip(row.values) {
            *out = value;
        }
    }

    /// The names of the behavioural tags that hold for a line.
    pub fn behaviors(&mut self, line: &str) -> Vec<&'static str> {
        self.read(line);
        let names = self
            .hits
            .holding()
            .iter()
            .filter_map(|index| self.behaviors.get(usize::from(*index)));
        names.map(|behavior| behavior.name).collect()
    }

    /// The two readings that need no model.
    fn read(&mut self, line: &str) {
        self.scan.run(line);
        let facts = behaviors::facts(&self.scan, line);
        if self.scan.count(b'`') + self.scan.count(b'^') == 0 {
            self.hits.run(self.engine, line, facts);
        } else {
            self.bare.clear();
            self.bare
                .extend(line.chars().filter(|c| !matches!(c, '`' | '^')));
            self.hits.run(self.engine, &self.bare, facts);
        }
    }

    fn lengths(&self, line: &str, context: &Context<'_>, row: &mut Row) {
        let scan = &self.scan;
        row.count(Slot::commandline_len, scan.chars);
        row.set(Slot::commandline_log_len, log10(f64::from(scan.chars)));
        row.count(Slot::commandline_tokens, scan.space_separated);
        row.count(Slot::commandline_tokens_full, scan.of_class(DELIMITER));
        let score = scan.code_points();
        row.set(Slot::commandline_score, score as f32);
        row.set(Slot::commandline_log_score, log10(score));

        let first = line
            .get(scan.first_argument.clone())
            .unwrap_or_default()
            .trim_matches(['"', '\'']);
        // A first argument may be a whole quoted script: only so much of it can be a path.
        let end = first
            .char_indices()
            .nth(1024)
            .map_or(first.len(), |(at, _)| at);
        let path = context
            .image
            .unwrap_or(first.get(..end).unwrap_or_default());
        row.set(
            Slot::process_name_len,
            context::base_name(path).chars().count() as f32,
        );
        row.set(
            Slot::process_name_tokens,
            path.split(['\\', '/'])
                .filter(|part| !part.is_empty())
                .count() as f32,
        );
        let score: f64 = path.chars().map(|c| f64::from(u32::from(c))).sum();
        row.set(Slot::path_score, score as f32);
        row.set(Slot::path_log_score, log10(score));

        row.set(
            Slot::length_total,
            scan.lengths
                .iter()
                .map(|length| f64::from(*length))
                .sum::<f64>() as f32,
        );
        row.set(Slot::longest_token_ratio, share(scan.longest, scan.chars));
        row.set(Slot::arguments, scan.lengths.len() as f32);
        row.set(Slot::words, scan.words.len() as f32);
    }

    fn characters(&self, row: &mut Row) {
        let scan = &self.scan;
        let (entropy, distinct) = scan.entropy_and_distinct();
        row.set(Slot::entropy, entropy);
        row.set(Slot::entropy_longest_token, scan.longest_entropy);
        let most = (distinct as f32).log2();
        row.set(
            Slot::entropy_normalised,
            if distinct > 1 {
                (entropy / most).min(1.0)
            } else {
                0.0
            },
        );
        row.set(Slot::distinct_char_ratio, share(distinct, scan.chars));

        let (letters, digits, spaces) = (
            scan.of_class(LETTER),
            scan.of_class(DIGIT),
            scan.of_class(SPACE),
        );
        let ascii = scan.chars - scan.wide_count();
        let special = (ascii + scan.wide_spaces).saturating_sub(letters + digits + spaces);
        row.count(Slot::special_character_only_count, special);
        row.set(
            Slot::special_character_only_percent,
            share(special, scan.chars),
        );
        row.set(Slot::digit_percent, share(digits, scan.chars));
        row.set(Slot::whitespace_percent, share(spaces, scan.chars));
        row.set(
            Slot::case_alternation_rate,
            share(scan.case_alternations, letters),
        );
        row.set(Slot::non_ascii_count, scan.wide.len() as f32);
        for (slot, characters) in SINGLE {
            row.count(slot, characters.iter().map(|byte| scan.count(*byte)).sum());
        }
    }

    /// Sorts the statistics of the arguments, so it comes after all that needs their order.
    fn summaries(&mut self, row: &mut Row) {
        for (values, slots) in [
            (&mut self.scan.lengths, LENGTH),
            (&mut self.scan.entropies, ENTROPY),
            (&mut self.scan.densities, DENSITY),
            (&mut self.scan.uppers, UPPER_ALPHA),
        ] {
            let Summary {
                average,
                maximum,
                minimum,
                median,
                mode,
                range,
            } = Summary::of(values);
            for (slot, value) in slots
                .into_iter()
                .zip([average, maximum, minimum, median, mode, range])
            {
                row.set(slot, value);
            }
        }
    }

    fn acts(&self, row: &mut Row) {
        let (scan, hits) = (&self.scan, &self.hits);
        for index in hits.holding() {
            let index = usize::from(*index);
            if let Some(slot) = self.slots.get(index).copied().flatten() {
                row.values[slot] = 1.0;
            }
            if let Some(behavior) = self.behaviors.get(index) {
                row.values[group_slot(behavior.group) as usize] += 1.0;
            }
        }
        row.count(Slot::behaviors_total, hits.holding().len() as u32);
        row.set(Slot::longest_base64_run, scan.base64_run.len() as f32);
        row.count(Slot::longest_hex_run, scan.hex_run);
        row.count(Slot::string_concatenations, scan.concatenations);
        row.count(Slot::ticks_in_words, scan.ticks_in_words);
        row.count(Slot::carets_in_words, scan.carets_in_words);
        row.count(Slot::quotes_in_words, scan.quotes_in_words);
        let (counts, splunk) = hits.counts(self.engine);
        for (slot, counter) in COUNTERS {
            row.count(slot, counts[counter as usize]);
        }
        for (slot, count) in SPLUNK.into_iter().zip(splunk) {
            row.count(slot, count);
        }
    }

    fn corpus(&mut self, line: &str, frequencies: &CorpusModel, row: &mut Row) {
        let (mut distinct, mut unseen, mut rare) = (0_u32, 0, 0);
        let (mut lowest, mut sum, mut highest, mut squares) = (u32::MAX, 0.0_f64, 0.0_f32, 0.0_f64);
        // Most lines have a word of their own: its idf, or its share of the lines, would tell how many lines the day has, and
        // no model would fit another day. So idf is relative to it, and shares below a thousandth are one.
        let own = frequencies.idf(1);
        each_distinct(&mut self.scan.words, |hash, count| {
            let frequency = frequencies.document_frequency(hash);
            let idf = frequencies.idf(frequency) / own;
            distinct += 1;
            unseen += u32::from(frequency == 0);
            rare += u32::from(frequency <= 1);
            lowest = lowest.min(frequency);
            highest = highest.max(idf);
            sum += f64::from(idf);
            let weight = count as f64 * f64::from(idf);
            squares += weight * weight;
        });
        row.set(
            Slot::transition_log2_mean,
            frequencies.transition_log2(line),
        );
        if distinct > 0 {
            let documents = frequencies.documents().max(1) as f64;
            row.set(Slot::idf_mean, (sum / f64::from(distinct)) as f32);
            row.set(Slot::idf_max, highest);
            row.set(
                Slot::document_frequency_min,
                (f64::from(lowest) / documents).clamp(RAREST, 1.0) as f32,
            );
            row.set(Slot::unseen_word_share, share(unseen, distinct));
            row.set(Slot::rare_word_share, share(rare, distinct));
            row.set(Slot::tfidf_norm, squares.sqrt() as f32);
        }
    }
}

struct Row {
    values: [f32; N_FEATURES],
}

impl Row {
    #[inline]
    fn set(&mut self, slot: Slot, value: f32) {
        self.values[slot as usize] = value;
    }

    #[inline]
    fn count(&mut self, slot: Slot, value: u32) {
        self.set(slot, value as f32);
    }

    fn missing(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.set(*slot, f32::NAN);
        }
    }

    fn flag(&mut self, slot: Slot, value: Option<bool>) {
        self.set(
            slot,
            value.map_or(f32::NAN, |value| f32::from(u8::from(value))),
        );
    }
}

fn process(context: &Context<'_>, row: &mut Row) {
    let name = context.image.map(context::base_name);
    let mismatch = name
        .zip(context.original_file_name)
        .map(|(name, original)| !name.eq_ignore_ascii_case(original));
    row.flag(Slot::feature_filename_mismatch, mismatch);
    row.flag(
        Slot::feature_running_as_system,
        context.user_sid.map(context::is_system),
    );
    let is_exe = |name: &str| {
        name.get(name.len().saturating_sub(4)..)
            .is_some_and(|end| end.eq_ignore_ascii_case(".exe"))
    };
    row.flag(Slot::feature_ends_with_exe, name.map(is_exe));
    let parent = context.parent_image.map(context::path_class);
    row.flag(
        Slot::parent_in_system_dir,
        parent.map(|class| class == PathClass::System),
    );
    row.flag(
        Slot::parent_in_program_dir,
        parent.map(|class| class == PathClass::Program),
    );
    row.flag(
        Slot::parent_in_user_dir,
        parent.map(|class| class == PathClass::User),
    );
    row.flag(
        Slot::parent_in_temporary_dir,
        parent.map(|class| class == PathClass::Temporary),
    );
    let image = context.image.map(context::path_class);
    let writable = image.map(|class| matches!(class, PathClass::User | PathClass::Temporary));
    row.flag(Slot::image_in_user_or_temporary_dir, writable);
    row.flag(Slot::feature_process_signed, context.signed);
    row.flag(Slot::feature_process_signer_trusted, context.signer_trusted);
    row.set(
        Slot::feature_integrity_level,
        context
            .integrity_level
            .and_then(context::integrity)
            .unwrap_or(f32::NAN),
    );
}

/// Calls back with each distinct hash and how often it occurs. Few words are compared each with each, which has no
/// branch that cannot be foretold, as sorting them has; many are sorted.
fn each_distinct(words: &mut [u64], mut found: impl FnMut(u64, usize)) {
    if words.len() > 64 {
        words.sort_unstable();
        for run in words.chunk_by(|a, b| a == b) {
            if let Some(hash) = run.first() {
                found(*hash, run.len());
            }
        }
        return;
    }
    for (at, hash) in words.iter().enumerate() {
        let occurrences =
            |words: &[u64]| -> usize { words.iter().map(|other| usize::from(other == hash)).sum() };
        let (before, after) = words.split_at(at);
        if occurrences(before) == 0 {
            found(*hash, occurrences(after));
        }
    }
}

/// log10(1 + x).
fn log10(value: f64) -> f32 {
    (value + 1.0).log10() as f32
}

/// A share of 0 to 1; of nothing 0.
fn share(part: u32, whole: u32) -> f32 {
    if whole == 0 {
        0.0
    } else {
        (f64::from(part) / f64::from(whole)) as f32
    }
}

#[cfg(test)]
mod tests;
