//! What a test knows of the training lines: those that are equal to one of its lines, have one template with it, or that near-dedup would
//! merge with it (one guard key, and a cosine from the embedder's threshold on). The decision is that of the `candidates` stage.
//!
//! A classifier that has seen a test's line, but for a number or a path, is measured on its memory. So such lines are found in
//! the training set, counted and left out, whatever their label. The same decision makes a pool of lines distinct before any is labelled.
//!
//! **Cost.** Canonical texts of all lines; vectors only of lines whose guard key both sides have, a guard key at a time.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::text::canonical::{canonical, comparable};
use gleaner_udfs::text::guard::guard_of_canonical;
use gleaner_udfs::vector::near_duplicates::{Candidate, Fate, near_duplicates};

use crate::ClassifierError;

/// Texts that are embedded together.
const BATCH: usize = 512;

/// How a training line is known to a test: the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leak {
    /// The same text, blanks at the ends aside.
    Exact,
    /// The same template.
    Template,
    /// One guard key, and a cosine from the threshold on.
    Near,
}

/// What lines are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    text: String,
    canonical: String,
    guard: String,
}

impl Keys {
    /// Of a line.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let mut text = String::new();
        canonical(line, &mut text);
        let canonical = comparable(&text).into_owned();
        Self {
            text: line.trim().to_owned(),
            guard: guard_of_canonical(&canonical).text,
            canonical,
        }
    }

    /// The line as near-dedup and embedders read it.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The line, without blanks at its ends.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The guard key: lines of different ones are never near-duplicates.
    #[must_use]
    pub fn guard(&self) -> &str {
        &self.guard
    }

    /// The programs that the line runs, as the guard key has them: lines of one are one group when labels are spread.
    #[must_use]
    pub fn programs(&self) -> &str {
        self.guard.split('|').next().unwrap_or_default()
    }
}

/// For each training line how the tests know it, if they do.
///
/// # Errors
/// When the embedder fails.
pub fn leaks(
    training: &[&Keys],
    tests: &[&Keys],
    embedder: &dyn Embedder,
    threshold: f32,
) -> Result<Vec<Option<Leak>>, ClassifierError> {
    let exact: BTreeSet<&str> = tests.iter().map(|t| t.text.as_str()).collect();
    let templates: BTreeSet<&str> = tests.iter().map(|t| t.canonical.as_str()).collect();
    let mut found: Vec<Option<Leak>> = training
        .iter()
        .map(|line| {
            if exact.contains(line.text.as_str()) {
                Some(Leak::Exact)
            } else if templates.contains(line.canonical.as_str()) {
                Some(Leak::Template)
            } else {
                None
            }
        })
        .collect();
    let open = (0..training.len()).filter(|row| found[*row].is_none());
    for (asked, known) in groups(training, open.collect(), tests) {
        if known.is_empty() {
            continue;
        }
        let known = vectors(&known, embedder)?;
        let canonical: Vec<&str> = asked
            .iter()
            .map(|r| training[*r].canonical.as_str())
            .collect();
        let asked_vectors = vectors(&canonical, embedder)?;
        let history: Vec<&[f32]> = known.iter().map(Vec::as_slice).collect();
        for (row, vector) in asked.into_iter().zip(&asked_vectors) {
            let candidate = Candidate {
                events: 1,
                hash: &[],
                vector,
            };
            let fates = near_duplicates(&[candidate], &history, threshold);
            if matches!(fates.as_slice(), [Fate::Covered { .. }]) {
                found[row] = Some(Leak::Near);
            }
        }
    }
    Ok(found)
}

/// Which lines near-dedup keeps, when everything `known` was kept before: of equal ones, and of near-duplicates, the one with the smallest key.
/// `keys` has one entry a line.
///
/// # Errors
/// When the embedder fails.
pub fn distinct(
    lines: &[&Keys],
    keys: &[u64],
    known: &[&Keys],
    embedder: &dyn Embedder,
    threshold: f32,
) -> Result<Vec<bool>, ClassifierError> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_unstable_by_key(|row| (keys.get(*row).copied(), *row));
    let mut templates: BTreeSet<&str> = known.iter().map(|k| k.canonical.as_str()).collect();
    order.retain(|row| templates.insert(lines[*row].canonical.as_str()));
    let mut kept = vec![false; lines.len()];
    for (asked, known) in groups(lines, order, known) {
        if asked.len() == 1 && known.is_empty() {
            kept[asked[0]] = true;
            continue;
        }
        let known = vectors(&known, embedder)?;
        let history: Vec<&[f32]> = known.iter().map(Vec::as_slice).collect();
        let texts: Vec<&str> = asked
            .iter()
            .map(|row| lines[*row].canonical.as_str())
            .collect();
        let asked_vectors = vectors(&texts, embedder)?;
        // They come by key already; equal events and hashes are taken in their order.
        let candidates: Vec<Candidate<'_>> = asked_vectors
            .iter()
            .map(|vector| Candidate {
                events: 1,
                hash: &[],
                vector,
            })
            .collect();
        let fates = near_duplicates(&candidates, &history, threshold);
        for (row, fate) in asked.into_iter().zip(fates) {
            kept[row] = fate == Fate::Kept;
        }
    }
    Ok(kept)
}

/// By guard key: the rows asked about, in their order, and the known texts.
fn groups<'k>(
    lines: &[&Keys],
    rows: Vec<usize>,
    known: &[&'k Keys],
) -> Vec<(Vec<usize>, Vec<&'k str>)> {
    let mut by_guard: BTreeMap<&str, (Vec<usize>, Vec<&'k str>)> = BTreeMap::new();
    for row in rows {
        let entry = by_guard.entry(lines[row].guard.as_str()).or_default();
        entry.0.push(row);
    }
    for line in known {
        if let Some((_, texts)) = by_guard.get_mut(line.guard.as_str()) {
            texts.push(&line.canonical);
        }
    }
    by_guard.into_values().collect()
}

fn vectors(texts: &[&str], embedder: &dyn Embedder) -> Result<Vec<Vec<f32>>, ClassifierError> {
    let d = embedder.dimension().max(1);
    let mut all = Vec::with_capacity(texts.len());
    for some in texts.chunks(BATCH) {
        let rows = embedder.embed(some).map_err(ClassifierError::Embedder)?;
        all.extend(rows.chunks_exact(d).map(<[f32]>::to_vec));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gleaner_udfs::embedder::{LEXICAL, load};
    use gleaner_udfs::vector::near_duplicates::LEXICAL_THRESHOLD;

    fn keys(lines: &[&str]) -> Vec<&'static Keys> {
        let keep = |line: &&str| &*Box::leak(Box::new(Keys::of(line)));
        lines.iter().map(keep).collect()
    }

    #[test]
    fn a_training_line_leaks_by_text_template_or_nearness_and_a_changed_verb_does_not() {
        let tests = keys(&[
            "net user bob /add",
            "ping -n 4 10.0.0.7",
            "type C:\\data\\application\\a.txt",
        ]);
        let training = keys(&[
            "net user bob /add ",
            "ping -n 9 10.0.0.8",
            "type C:\\data\\applications\\a.txt",
            "net user bob /delete",
            "git status",
        ]);
        let lexical = load(LEXICAL).unwrap();
        let found = leaks(&training, &tests, lexical.as_ref(), LEXICAL_THRESHOLD).unwrap();
        let expected = [
            Some(Leak::Exact),
            Some(Leak::Template),
            Some(Leak::Near),
            None,
            None,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn of_near_duplicates_the_smallest_key_is_kept_and_of_known_ones_none() {
        let lines = keys(&[
            "ping -n 4 10.0.0.7",
            "ping -n 9 10.0.0.8",
            "type C:\\data\\applications\\a.txt",
            "git status",
        ]);
        let known = keys(&["type C:\\data\\application\\a.txt"]);
        let lexical = load(LEXICAL).unwrap();
        let kept = distinct(
            &lines,
            &[5, 2, 1, 9],
            &known,
            lexical.as_ref(),
            LEXICAL_THRESHOLD,
        );
        assert_eq!(kept.unwrap(), [false, true, false, true]);
    }

    #[test]
    fn programs_are_the_first_part_of_the_guard_key() {
        let (a, b) = (Keys::of("git push origin main"), Keys::of("git pull"));
        assert_eq!(a.programs(), b.programs());
        assert_ne!(a.programs(), Keys::of("docker pull x").programs());
    }
}
