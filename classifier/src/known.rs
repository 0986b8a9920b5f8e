//! Lines that are labelled already: what a choice of lines to label passes over.
//!
//! **What.** A line is known when a labelled one has its template (equal lines do), or when near-dedup would merge the two: one guard key, and a cosine
//! from the threshold on. It is [`crate::leakage::leaks`]' decision in a form for lines that come a few at a time, which must not be held:
//! [`Questions`] settles most as they come, and keeps the template of those alone whose guard key a labelled line has.
//!
//! A saved classifier knows the lines that it came from by 64 bits of their templates' hashes: such a file can be handed on without them. Near-duplicates of
//! those are not found.
//!
//! **Cost.** A template is held once, however many lines have it, and embedded once a day where lines of its guard key are asked about; vectors are held
//! `BATCH` at a time, beside those of the lines asked about of one guard key.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::vector::products::Queries;

use crate::ClassifierError;
use crate::leakage::Keys;

/// Texts that are embedded together.
const BATCH: usize = 512;

/// Templates of labelled lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// By guard key.
    templates: BTreeMap<String, BTreeSet<String>>,
    /// Of templates whose text is not at hand.
    hashes: BTreeSet<u64>,
}

impl Known {
    /// Adds a labelled line.
    pub fn add(&mut self, line: &Keys) {
        let of_guard = self.templates.entry(line.guard().to_owned()).or_default();
        if !of_guard.contains(line.canonical()) {
            of_guard.insert(line.canonical().to_owned());
        }
    }

    /// Adds templates by [`template_hash`].
    pub fn add_hashes(&mut self, hashes: impl IntoIterator<Item = u64>) {
        self.hashes.extend(hashes);
    }

    /// Hashes of all templates, ascending: what names this set, and what a saved classifier keeps of it.
    #[must_use]
    pub fn hashes(&self) -> Vec<u64> {
        let texts = self.templates.values().flatten();
        let mut all: BTreeSet<u64> = texts.map(|text| template_hash(text)).collect();
        all.extend(&self.hashes);
        all.into_iter().collect()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty() && self.hashes.is_empty()
    }

    /// Which of `lines` (canonical texts of one guard key) near-dedup would merge with a template of it.
    fn near(
        &self,
        guard: &str,
        lines: &[String],
        embedder: &dyn Embedder,
        threshold: f32,
    ) -> Result<Vec<bool>, ClassifierError> {
        let d = embedder.dimension().max(1);
        let mut asked = Queries::new(&[], d);
        for some in lines.chunks(BATCH) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            let rows = embedder.embed(&some).map_err(ClassifierError::Embedder)?;
            for row in rows.chunks_exact(d) {
                asked.push(row);
            }
        }
        let mut near = vec![false; lines.len()];
        let templates = self.templates.get(guard).into_iter().flatten();
        let templates: Vec<&str> = templates.map(String::as_str).collect();
        for some in templates.chunks(BATCH) {
            let rows = embedder.embed(some).map_err(ClassifierError::Embedder)?;
            asked.reaching(0..lines.len(), &rows, threshold, &mut |line, _, _| {
                if let Some(near) = near.get_mut(line) {
                    *near = true;
                }
            });
        }
        Ok(near)
    }
}

/// 64 bits of the SHA-256 of a template, which is a canonical text.
#[must_use]
pub fn template_hash(canonical: &str) -> u64 {
    let hash = sha256(canonical.as_bytes());
    let head = hash.get(..16).unwrap_or_default();
    u64::from_str_radix(head, 16).unwrap_or(0)
}

/// Lines asked about, one after the other, and answered together.
#[derive(Debug)]
pub struct Questions<'k> {
    known: &'k Known,
    /// One a line.
    settled: Vec<bool>,
    /// By guard key: lines that are no template's, and their canonical texts.
    open: BTreeMap<&'k str, (Vec<usize>, Vec<String>)>,
}

impl<'k> Questions<'k> {
    /// None yet.
    #[must_use]
    pub fn new(known: &'k Known) -> Self {
        Self {
            known,
            settled: vec![],
            open: BTreeMap::new(),
        }
    }

    /// Asks about one more line.
    pub fn ask(&mut self, line: &Keys) {
        let of_guard = self.known.templates.get_key_value(line.guard());
        let of_template = of_guard.is_some_and(|(_, texts)| texts.contains(line.canonical()))
            || (!self.known.hashes.is_empty()
                && self.known.hashes.contains(&template_hash(line.canonical())));
        if let (Some((guard, _)), false) = (of_guard, of_template) {
            let (lines, texts) = self.open.entry(guard).or_default();
            lines.push(self.settled.len());
            texts.push(line.canonical().to_owned());
        }
        self.settled.push(of_template);
    }

    /// Whether each line is known, in the order of asking; `threshold` is the cosine from which lines of one guard key merge.
    ///
    /// # Errors
    /// When the embedder fails.
    pub fn answers(
        self,
        embedder: &dyn Embedder,
        threshold: f32,
    ) -> Result<Vec<bool>, ClassifierError> {
        let mut settled = self.settled;
        for (guard, (lines, texts)) in self.open {
            let near = self.known.near(guard, &texts, embedder, threshold)?;
            for (line, near) in lines.into_iter().zip(near) {
                settled[line] = near;
            }
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leakage::leaks;
    use gleaner_udfs::embedder::{LEXICAL, load};
    use gleaner_udfs::vector::near_duplicates::LEXICAL_THRESHOLD;

    fn known(lines: &[&str]) -> Known {
        let mut known = Known::default();
        for line in lines {
            known.add(&Keys::of(line));
        }
        known
    }

    fn answers(known: &Known, lines: &[&str]) -> Vec<bool> {
        let mut questions = Questions::new(known);
        for line in lines {
            questions.ask(&Keys::of(line));
        }
        let lexical = load(LEXICAL).unwrap();
        questions
            .answers(lexical.as_ref(), LEXICAL_THRESHOLD)
            .unwrap()
    }

    const LABELLED: [&str; 4] = [
        "net user bob /add",
        "ping -n 4 10.0.0.7",
        "type C:\\data\\application\\a.txt",
        "schtasks /create /tn update /tr c:\\tools\\update.exe /sc daily",
    ];
    const ASKED: [&str; 7] = [
        " net user bob /add  ",
        "ping -n 9 10.0.0.8",
        "type C:\\data\\applications\\a.txt",
        "type C:\\data\\applications\\a.txt",
        "net user bob /delete",
        "type C:\\windows\\win.ini",
        "git status",
    ];

    #[test]
    fn a_line_is_known_by_text_template_or_nearness_and_a_changed_verb_is_new() {
        let known = known(&LABELLED);
        let expected = [true, true, true, true, false, false, false];
        assert_eq!(answers(&known, &ASKED), expected);
    }

    #[test]
    fn what_is_known_is_what_leaks() {
        // Lines of one program that differ in one letter more each: their cosines pass the threshold.
        let changed = |n: usize| {
            let rest = &"applicationfolder"[n..];
            format!("type C:\\data\\{}{rest}\\a.txt", "w".repeat(n))
        };
        let more: Vec<String> = (0..17).map(changed).collect();
        let labelled: Vec<&str> = LABELLED.into_iter().chain([more[0].as_str()]).collect();
        let asked: Vec<&str> = ASKED
            .into_iter()
            .chain(more.iter().map(String::as_str))
            .collect();
        let keys = |lines: &[&str]| lines.iter().map(|l| Keys::of(l)).collect::<Vec<Keys>>();
        let (training, tests) = (keys(&asked), keys(&labelled));
        let (training, tests): (Vec<&Keys>, Vec<&Keys>) =
            (training.iter().collect(), tests.iter().collect());
        let lexical = load(LEXICAL).unwrap();
        let leaks = leaks(&training, &tests, lexical.as_ref(), LEXICAL_THRESHOLD).unwrap();
        let leaks: Vec<bool> = leaks.iter().map(Option::is_some).collect();
        assert!(leaks[7..].contains(&true) && leaks[7..].contains(&false));
        assert_eq!(answers(&known(&labelled), &asked), leaks);
    }

    #[test]
    fn hashes_tell_templates_and_not_what_is_near() {
        let mut by_hash = Known::default();
        by_hash.add_hashes(known(&LABELLED).hashes());
        assert_eq!(by_hash.hashes(), known(&LABELLED).hashes());
        let expected = [true, true, false, false, false, false, false];
        assert_eq!(answers(&by_hash, &ASKED), expected);
        assert!(!by_hash.is_empty() && Known::default().is_empty());
    }

    #[test]
    fn a_template_counts_once_however_many_lines_have_it() {
        let many = known(&[
            "ping -n 4 10.0.0.7",
            "ping -n 5 10.0.0.9",
            "ping -n 6 10.1.0.9",
        ]);
        assert_eq!(many.hashes().len(), 1);
    }
}
