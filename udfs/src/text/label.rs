//! The rule labeller: what the `labels` stage says when no language model is configured.
//!
//! What: a line and its decoded payloads are matched against the rules; the highest level that hits decides. Benign is
//! never what is left over: it must be earned by *all* of
//! 1. no rule hits, not even one for dual use;
//! 2. nothing in the line is encoded, or all of it was decoded and is as clean;
//! 3. no control, bidirectional or zero-width character hides in it;
//! 4. its template was seen on enough machines, accounts and days ([`Thresholds`]);
//! 5. its context is ordinary (`ordinary`): known programs and sub-commands in system directories, with plain arguments,
//!    from a parent that starts such things.
//!
//! Everything else is uncertain. Why so strict: the emitted set trains a classifier, and one attack in it is worse than a
//! thousand benign lines missing.
//!
//! [`Label::reason`] is one fixed sentence and never holds the line; [`Label::evidence`] is a part of the line, or of what
//! it decodes to, and is to be treated as confidential as the line is.
//!
//! Cost: linear; 10–20 µs for 100 bytes. Lines beyond [`MAX_BYTES`] are uncertain unread (the rules still see their head and tail).

use super::decode::{Decoded, decode};
use super::ordinary::{Surroundings, ordinary};
use super::rules::{Hit, Level, hits, normalised};

/// Bytes of a line that are decoded and matched: the first and the last half of this, where a line is longer.
pub const MAX_BYTES: usize = 256 * 1024;

/// What the labeller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Earned; the only verdict whose lines are emitted.
    Benign,
    /// A sign of an attack that has ordinary uses too.
    Suspicious,
    /// An attack.
    Malicious,
    /// Not decided. The default.
    Uncertain,
}

impl Verdict {
    /// The name that tables hold.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Benign => "benign",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
            Self::Uncertain => "uncertain",
        }
    }
}

/// How widely the *template* of a line was seen (a line itself is unique by nature).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prevalence {
    /// Events.
    pub events: u64,
    /// Distinct machines.
    pub hosts: u32,
    /// Distinct accounts.
    pub users: u32,
    /// Distinct days.
    pub days: u32,
}

/// From which prevalence on a template counts as common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Machines.
    pub min_hosts: u32,
    /// Accounts.
    pub min_users: u32,
    /// Days.
    pub min_days: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            min_hosts: 3,
            min_users: 2,
            min_days: 1,
        }
    }
}

impl Thresholds {
    /// Is it as common as asked for?
    #[must_use]
    pub const fn met_by(&self, prevalence: &Prevalence) -> bool {
        prevalence.hosts >= self.min_hosts
            && prevalence.users >= self.min_users
            && prevalence.days >= self.min_days
    }
}

/// A command line and what the telemetry knows about it. What is missing is `None` and never counts in its favour.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// The line.
    pub command_line: &'a str,
    /// `windows`, `linux` or `macos`. Reserved: rules of all systems are always tried, for a name can lie.
    pub os: Option<&'a str>,
    /// Path of the program.
    pub image: Option<&'a str>,
    /// Path of the parent's program.
    pub parent_image: Option<&'a str>,
    /// The parent's line; a hit in it keeps the child from being benign.
    pub parent_command_line: Option<&'a str>,
    /// Account.
    pub user: Option<&'a str>,
}

/// A verdict with its grounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence, made of fixed phrases and counts.
    pub reason: String,
    /// Names of the rules that hit, highest level first, then in the order of the tables.
    pub rules: Vec<&'static str>,
    /// A part of the line or of a decoded payload; empty where no single part shows it.
    pub evidence: String,
    /// 0 to 1, for ranking only: not a probability.
    pub confidence: f32,
}

/// Labels one line.
#[must_use]
pub fn label(subject: &Subject<'_>, prevalence: &Prevalence, thresholds: &Thresholds) -> Label {
    let line = subject.command_line;
    let cut = line.len() > MAX_BYTES;
    let shown = if cut { ends(line) } else { line.to_owned() };
    let decoded = decode(&shown);
    let mut text = normalised(&shown);
    for inner in &decoded.texts {
        text.push('\n');
        text.push_str(&normalised(inner));
    }
    let mut found = hits(&text);
    found.sort_by_key(|hit| std::cmp::Reverse(hit.rule.level));
    let rules: Vec<&'static str> = found.iter().map(|hit| hit.rule.name).collect();
    let evidence = found
        .first()
        .map_or_else(String::new, |hit| evidence(hit, line, &decoded));
    if let Some(top) = found.first() {
        let (verdict, confidence) = match top.rule.level {
            Level::High => (Verdict::Malicious, 0.9),
            Level::Medium => (Verdict::Suspicious, 0.7),
            Level::Low => (Verdict::Uncertain, 0.5),
        };
        let reason = format!(
            "Rule {} ({}): {}.",
            top.rule.name, top.rule.technique, top.rule.description
        );
        return Label {
            verdict,
            reason,
            rules,
            evidence,
            confidence,
        };
    }
    let unlabelled = without_hits(subject, &decoded, cut);
    if let Some((verdict, reason, evidence)) = unlabelled {
        return Label {
            verdict,
            reason,
            rules,
            evidence,
            confidence: 0.4,
        };
    }
    let Prevalence {
        hosts, users, days, ..
    } = *prevalence;
    if !thresholds.met_by(prevalence) {
        let reason = format!(
            "Ordinary, but its template is too rare: {hosts} hosts, {users} users, {days} days."
        );
        return Label {
            verdict: Verdict::Uncertain,
            reason,
            rules,
            evidence,
            confidence: 0.2,
        };
    }
    Label {
        verdict: Verdict::Benign,
        reason: format!(
            "No rule hits, the context is ordinary and the template common: {hosts} hosts, {users} users, {days} days."
        ),
        rules,
        // the first word is what the ordinary context was recognised by
        evidence: line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        confidence: confidence(prevalence, thresholds),
    }
}

/// What keeps a line that no rule hits from being benign, apart from its prevalence.
fn without_hits(
    subject: &Subject<'_>,
    decoded: &Decoded,
    cut: bool,
) -> Option<(Verdict, String, String)> {
    let line = subject.command_line;
    if let Some(hidden) = line.chars().find(|c| is_hidden(*c)) {
        let reason = "A control, bidirectional or zero-width character hides in the line.";
        return Some((Verdict::Suspicious, reason.to_owned(), hidden.to_string()));
    }
    let uncertain = |reason: String| Some((Verdict::Uncertain, reason, String::new()));
    if cut {
        return uncertain("The line is too long to be read whole.".to_owned());
    }
    if decoded.undecoded {
        let why = decoded.reasons.first().copied().unwrap_or("encoded");
        return uncertain(format!("A part of the line could not be decoded: {why}."));
    }
    if decoded.encoded {
        return uncertain("The line carries an encoded or disguised part.".to_owned());
    }
    if let Some(parent) = subject.parent_command_line
        && let Some(hit) = hits(&normalised(&head(parent)))
            .iter()
            .find(|hit| hit.rule.level > Level::Low)
    {
        return uncertain(format!("The parent's line hits rule {}.", hit.rule.name));
    }
    let surroundings = Surroundings {
        command_line: line,
        image: subject.image,
        parent_image: subject.parent_image,
        user: subject.user,
    };
    let why = ordinary(&surroundings).err()?;
    uncertain(format!(
        "No rule hits, but the context is not ordinary: {why}."
    ))
}

/// Grows with the number of machines, from 0.6 at the threshold to 0.95.
fn confidence(prevalence: &Prevalence, thresholds: &Thresholds) -> f32 {
    let steps = [2_u32, 5, 10, 20, 50, 100, 1000]
        .iter()
        .filter(|factor| prevalence.hosts >= thresholds.min_hosts.max(1).saturating_mul(**factor))
        .count();
    0.6 + 0.05 * f32::from(u8::try_from(steps).unwrap_or(7))
}

/// Characters that make a line read otherwise than it runs.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The part of the line, else of a decoded payload, that holds the literal of a hit.
fn evidence(hit: &Hit, line: &str, decoded: &Decoded) -> String {
    let texts = || std::iter::once(line).chain(decoded.texts.iter().map(String::as_str));
    let whole = texts().find_map(|text| find_ignoring_case(text, hit.literal.trim()));
    // quotes or white space inside: the longest word of the literal
    let word = || {
        let longest = hit.literal.split(' ').max_by_key(|w| w.len())?;
        texts().find_map(|text| find_ignoring_case(text, longest))
    };
    whole.or_else(word).unwrap_or_default().to_owned()
}

fn find_ignoring_case<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    if part.is_empty() {
        return None;
    }
    let at = text.to_ascii_lowercase().find(part)?;
    text.get(at..at + part.len())
}

fn head(text: &str) -> String {
    text.chars().take(MAX_BYTES / 4).collect()
}

/// The first and the last half of what is read of a long line.
fn ends(line: &str) -> String {
    let mut first = MAX_BYTES / 2;
    while !line.is_char_boundary(first) {
        first -= 1;
    }
    let mut last = line.len() - MAX_BYTES / 2;
    while !line.is_char_boundary(last) {
        last += 1;
    }
    format!(
        "{} {}",
        line.get(..first).unwrap_or_default(),
        line.get(last..).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
