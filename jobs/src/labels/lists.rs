//! Analysts' allow- and deny-lists: patterns with `*` and `?`, each with an owner, a reason and a day it expires.
//!
//! A CSV (or Parquet) file with the columns `list` (allow or deny), `pattern`, `owner`, `reason`, `expires` (YYYY-MM-DD). A line is on a list
//! when a pattern matches all of it, capitals or not. Deny outweighs allow; an allow-list never outweighs a hard rule. An entry is in
//! force up to and including the day it expires, held against the day that is being labelled: the same day gives the same answer whenever it runs.

use chrono::NaiveDate;

use super::rows;
use crate::error::JobError;

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Emits the line unlabelled by anybody else.
    Allow,
    /// Holds it back.
    Deny,
}

impl What {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow-list",
            Self::Deny => "deny-list",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Allow or deny.
    pub what: What,
    pattern: Vec<char>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// The entries in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    entries: Vec<Entry>,
    /// Entries that have expired.
    pub expired: usize,
}

impl Lists {
    /// Reads a file; `day` tells which entries have expired.
    ///
    /// # Errors
    /// When the file cannot be read, or an entry lacks owner, reason or expiry: the message names the entry's number, never its pattern.
    pub async fn read(path: &str, day: NaiveDate) -> Result<Self, JobError> {
        let columns = ["list", "pattern", "owner", "reason", "expires"];
        let mut lists = Self::default();
        for (n, row) in rows::read(path, &columns, &[])
            .await?
            .into_iter()
            .enumerate()
        {
            let bad = |why: &str| Err(JobError::Usage(format!("{path}: entry {}: {why}", n + 1)));
            let cell = |n: usize| row[n].as_deref().unwrap_or_default().trim().to_owned();
            let what = match cell(0).as_str() {
                "allow" => What::Allow,
                "deny" => What::Deny,
                _ => return bad("column list: expected allow or deny"),
            };
            let (pattern, owner, reason) = (cell(1), cell(2), cell(3));
            if owner.is_empty() || reason.is_empty() {
                return bad("owner and reason must be given: somebody must answer for it");
            }
            if pattern
                .chars()
                .filter(|c| !matches!(c, '*' | '?' | ' '))
                .count()
                < 3
            {
                return bad(
                    "pattern: expected three characters beside wildcards, or every line is on the list",
                );
            }
            let Ok(expires) = cell(4).parse::<NaiveDate>() else {
                return bad("column expires: expected a day, YYYY-MM-DD");
            };
            if expires < day {
                lists.expired += 1;
                continue;
            }
            lists.entries.push(Entry {
                what,
                pattern: pattern.to_lowercase().chars().collect(),
                owner,
                reason,
            });
        }
        // Deny first: the first that matches decides.
        lists.entries.sort_by_key(|entry| entry.what == What::Allow);
        Ok(lists)
    }

    /// Whether no entry is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the answer of a day depends on.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        gleaner_udfs::model_cache::sha256(format!("{:?}", self.entries).as_bytes())[..16].to_owned()
    }

    /// The entry that decides over a line.
    #[must_use]
    pub fn find(&self, line: &str) -> Option<&Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let line: Vec<char> = line.to_lowercase().chars().collect();
        self.entries
            .iter()
            .find(|entry| matches(&entry.pattern, &line))
    }
}

/// Whether a pattern with `*` and `?` matches all of a text. The last star is where a failure goes back to: at most pattern × text steps.
pub(super) fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn hit(pattern: &str, text: &str) -> bool {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        matches(&chars(pattern), &chars(text))
    }

    #[test]
    fn a_pattern_matches_the_whole_line() {
        assert!(hit("backup.exe *", "backup.exe /full"));
        assert!(!hit("backup.exe *", "evil & backup.exe /full"));
        assert!(hit("*\\app?.exe*", "c:\\x\\app1.exe -q"));
        assert!(hit("a*b*c", "a-b-b-c") && !hit("a*b*c", "a-b-b-d"));
        assert!(hit("*", "") && !hit("?", ""));
    }

    #[test]
    fn a_hostile_pattern_ends_in_time() {
        let started = std::time::Instant::now();
        assert!(!hit(
            &"*a".repeat(200),
            &"a".repeat(10_000)
                .replace("aaaa", "aaab")
                .repeat(2)
                .replace('b', "c")
                .chars()
                .take(150)
                .collect::<String>()
        ));
        assert!(started.elapsed().as_secs() < 2);
    }
}
