//! Edits of command lines made by rule, to measure near-dedup on lines of one's own: volatile parts changed (the pair is
//! the same), or a verb, a flag or a target (it is not).
//!
//! The rules know nothing of canonical texts, guard keys or embeddings: they cut a line at white space and look at whole
//! words, so that they cannot share a mistake with what they measure. An edit that does not apply to a line gives
//! nothing. Which word is edited and what it becomes are drawn from the seed, the line and the edit.
//!
//! Cost: a pass over the line for each edit.

use crate::rng::SplitMix64;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edit {
    /// A number that stands by itself: `-n 4` and `-n 731`.
    Number,
    /// The stem of an argument is one GUID, or another.
    Guid,
    /// The stem of an argument is one hexadecimal digest of 32, 40 or 64 digits, or another.
    Hash,
    /// The host of a URL, of a network path or of `user@host`; or an argument is one host's name or another.
    Host,
    /// The user of a home directory.
    User,
    /// The file of a temporary directory.
    TemporaryPath,
    /// A verb becomes another: start and stop, add and delete.
    Verb,
    /// A flag becomes another, or goes.
    Flag,
    /// An argument that is a word or a file's name becomes another.
    Target,
}

impl Edit {
    /// All, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Number,
        Self::Guid,
        Self::Hash,
        Self::Host,
        Self::User,
        Self::TemporaryPath,
        Self::Verb,
        Self::Flag,
        Self::Target,
    ];

    /// As in reports: `edit_number`, …, `edit_target`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "edit_number",
            Self::Guid => "edit_guid",
            Self::Hash => "edit_hash",
            Self::Host => "edit_host",
            Self::User => "edit_user",
            Self::TemporaryPath => "edit_temporary_path",
            Self::Verb => "edit_verb",
            Self::Flag => "edit_flag",
            Self::Target => "edit_target",
        }
    }

    /// Whether the two lines of a pair do the same.
    #[must_use]
    pub const fn same(self) -> bool {
        !matches!(self, Self::Verb | Self::Flag | Self::Target)
    }

    /// A pair of lines that differ by this edit; `None` where the line has nothing to edit. Equal for equal arguments.
    #[must_use]
    pub fn pair(self, line: &str, seed: u64) -> Option<(String, String)> {
        let key = blake3::hash(line.as_bytes());
        let key = key.as_bytes().iter().take(8);
        let key = key.fold(0_u64, |key, byte| key << 8 | u64::from(*byte));
        let words = Words::new(line);
        let mut rng = SplitMix64::stream(seed ^ key, self as u64);
        let pair = match self {
            Self::Number => words.number(&mut rng),
            Self::Guid => words.twice(&mut rng, |rng, stem| words.stem_as(stem, &guid(rng))),
            Self::Hash => {
                let digits = [32, 40, 64][rng.below(3)];
                words.twice(&mut rng, |rng, stem| words.stem_as(stem, &hex(rng, digits)))
            }
            Self::Host => words.host(&mut rng),
            Self::User => words.user(&mut rng),
            Self::TemporaryPath => words.temporary(&mut rng),
            Self::Verb => words.verb(&mut rng),
            Self::Flag => words.flag(&mut rng),
            Self::Target => words.target(&mut rng),
        };
        pair.filter(|(a, b)| a != b)
    }
}

/// Verbs and what they are turned into; matched as whole words, or as the verb of a cmdlet.
const VERBS: &[(&str, &str)] = &[
    ("start", "stop"),
    ("stop", "start"),
    ("restart", "stop"),
    ("add", "delete"),
    ("create", "delete"),
    ("delete", "create"),
    ("remove", "add"),
    ("get", "set"),
    ("set", "get"),
    ("enable", "disable"),
    ("disable", "enable"),
    ("install", "uninstall"),
    ("uninstall", "install"),
    ("push", "pull"),
    ("pull", "push"),
    ("up", "down"),
    ("query", "delete"),
    ("show", "delete"),
    ("list", "remove"),
    ("new", "remove"),
    ("import", "export"),
    ("export", "import"),
    ("mount", "unmount"),
    ("build", "run"),
    ("run", "stop"),
    ("update", "delete"),
];

/// Names that are nobody's: what a target becomes.
const NAMES: &[&str] = &[
    "payroll",
    "backup",
    "inventory",
    "gateway",
    "scheduler",
    "ledger",
    "archive",
    "printer",
    "monitor",
    "calendar",
    "catalog",
    "billing",
    "keyring",
    "journal",
    "spooler",
    "updater",
    "browser",
    "profile",
    "recovery",
    "license",
    "mailbox",
    "portal",
    "tracker",
    "vault",
];
const USERS: &[&str] = &[
    "alice",
    "bob.jones",
    "mkowalski",
    "svc-web2",
    "x1234567",
    "Administrator",
    "j_smith",
    "THOMAS",
];
const HOSTS: &[&str] = &[
    "db01.corp.local",
    "files.contoso.com",
    "10.20.30.40",
    "eu-1.cdn.example.org",
    "192.168.7.99",
    "srv-web-22.ad.example.com",
    "build7.lab.internal",
    "172.16.0.9",
];
const MACHINES: &[&str] = &["FS01", "srv-web-22", "NAS", "DC2", "WS-0417", "print03"];

fn pick<'a>(rng: &mut SplitMix64, of: &[&'a str]) -> &'a str {
    of[rng.below(of.len())]
}

fn two<'a>(rng: &mut SplitMix64, of: &[&'a str]) -> (&'a str, &'a str) {
    let first = rng.below(of.len());
    let second = (first + 1 + rng.below(of.len() - 1)) % of.len();
    (of[first], of[second])
}

fn hex(rng: &mut SplitMix64, digits: usize) -> String {
    let digit = |rng: &mut SplitMix64| char::from(b"0123456789abcdef"[rng.below(16)]);
    (0..digits).map(|_| digit(rng)).collect()
}

fn guid(rng: &mut SplitMix64) -> String {
    [8, 4, 4, 4, 12].map(|digits| hex(rng, digits)).join("-")
}

/// A line cut at white space; the spaces between the words are kept as they are.
struct Words<'a> {
    line: &'a str,
    /// Where each word starts and ends.
    spans: Vec<(usize, usize)>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let mut spans = vec![];
        let mut start = None;
        for (at, c) in line.char_indices() {
            if c.is_whitespace() {
                spans.extend(start.take().map(|start| (start, at)));
            } else {
                start.get_or_insert(at);
            }
        }
        spans.extend(start.map(|start| (start, line.len())));
        Self { line, spans }
    }

    fn word(&self, index: usize) -> &'a str {
        let (start, end) = self.spans[index];
        &self.line[start..end]
    }

    /// The line with `word` in place of one of its words.
    fn with(&self, index: usize, word: &str) -> String {
        let (start, end) = self.spans[index];
        format!("{}{word}{}", &self.line[..start], &self.line[end..])
    }

    /// One of the words that `wanted` takes.
    fn draw(&self, rng: &mut SplitMix64, wanted: impl Fn(&str) -> bool) -> Option<usize> {
        let found: Vec<usize> = (1..self.spans.len())
            .filter(|index| wanted(self.word(*index)))
            .collect();
        (!found.is_empty()).then(|| found[rng.below(found.len())])
    }

    /// A plain argument: a file's name or a word of three letters or more, from the third word on (the second may be a
    /// sub-command), after no redirection and not in quotes, which may hold a script.
    fn argument(&self, rng: &mut SplitMix64) -> Option<usize> {
        let quoted = self
            .line
            .contains(['"', '\'', '`', '$', '{', '(', '|', ';', '&']);
        if quoted || self.spans.len() < 3 {
            return None;
        }
        let found: Vec<usize> = (2..self.spans.len())
            .filter(|index| plain(self.word(*index)))
            .filter(|index| !self.word(index - 1).ends_with(['>', '<']))
            .collect();
        (!found.is_empty()).then(|| found[rng.below(found.len())])
    }

    /// Both lines have the drawn argument replaced, each by another draw of `value`.
    fn twice(
        &self,
        rng: &mut SplitMix64,
        value: impl Fn(&mut SplitMix64, usize) -> String,
    ) -> Option<(String, String)> {
        let index = self.argument(rng)?;
        let (a, b) = (value(rng, index), value(rng, index));
        Some((self.with(index, &a), self.with(index, &b)))
    }

    /// The word with another stem: `docs\report.txt` and `x` are `docs\x.txt`.
    fn stem_as(&self, index: usize, stem: &str) -> String {
        let word = self.word(index);
        let name = word.rfind(['\\', '/']).map_or(0, |at| at + 1);
        let extension = word[name..].rfind('.').map_or("", |at| &word[name + at..]);
        format!("{}{stem}{extension}", &word[..name])
    }

    /// Another number in place of one that is a whole word, or ends one after `=` or a comma. Modes of
    /// `chmod` and signals mean something and are left.
    fn number(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let meaning = ["chmod", "umask", "kill", "pkill", "killall", "init"];
        if meaning.iter().any(|name| self.line.contains(name)) {
            return None;
        }
        let number = |word: &str| {
            let tail = word.rsplit(['=', ',']).next().unwrap_or_default();
            !tail.is_empty() && tail.len() < 10 && tail.bytes().all(|b| b.is_ascii_digit())
        };
        let index = self.draw(rng, number)?;
        let word = self.word(index);
        let digits = word.len() - word.bytes().rev().take_while(u8::is_ascii_digit).count();
        let other = 1 + rng.below(99_999);
        let b = self.with(index, &format!("{}{other}", &word[..digits]));
        Some((self.line.to_owned(), b))
    }

    fn host(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let (one, two_) = two(rng, HOSTS);
        let url = |word: &str| word.starts_with("http://") || word.starts_with("https://");
        if let Some(index) = self.draw(rng, url) {
            let word = self.word(index);
            let start = word.find("://")? + 3;
            let end = word[start..].find(['/', ':', '?', '"', '\'']);
            let end = end.map_or(word.len(), |at| start + at);
            let b = self.with(index, &format!("{}{one}{}", &word[..start], &word[end..]));
            return Some((self.line.to_owned(), b));
        }
        let network = |word: &str| word.starts_with("\\\\") && word.len() > 4;
        if let Some(index) = self.draw(rng, network) {
            let word = self.word(index);
            let end = word[2..].find('\\').map_or(word.len(), |at| at + 2);
            let b = format!("\\\\{}{}", pick(rng, MACHINES), &word[end..]);
            return Some((self.line.to_owned(), self.with(index, &b)));
        }
        let index = self.argument(rng)?;
        Some((self.with(index, one), self.with(index, two_)))
    }

    fn user(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let index = self.argument(rng)?;
        let (one, two_) = two(rng, USERS);
        let name = self.word(index).rsplit(['\\', '/']).next()?.to_owned();
        let home = |user: &str| {
            if self.windows() {
                format!("C:\\Users\\{user}\\Documents\\{name}")
            } else {
                format!("/home/{user}/{name}")
            }
        };
        Some((self.with(index, &home(one)), self.with(index, &home(two_))))
    }

    fn temporary(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let windows = self.windows();
        let place = rng.below(3);
        self.twice(rng, |rng, index| {
            let stem = hex(rng, 4 + place);
            let name = self.stem_as(index, &format!("tmp{stem}"));
            let name = name.rsplit(['\\', '/']).next().unwrap_or_default();
            let directory = match (windows, place) {
                (true, 0) => "C:\\Windows\\Temp\\",
                (true, 1) => "%TEMP%\\",
                (true, _) => "C:\\Users\\alice\\AppData\\Local\\Temp\\",
                (false, 0) => "/tmp/",
                (false, _) => "/var/tmp/",
            };
            format!("{directory}{name}")
        })
    }

    fn windows(&self) -> bool {
        self.line.contains('\\') || self.line.to_ascii_lowercase().contains(".exe")
    }

    fn verb(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let other = |word: &str| {
            let lower = word.to_ascii_lowercase();
            let (sign, bare) = lower.split_at(usize::from(lower.starts_with('/')));
            let (verb, noun) = match bare.split_once('-') {
                Some((verb, noun)) if sign.is_empty() && !verb.is_empty() => (verb, Some(noun)),
                _ => (bare, None),
            };
            let (_, other) = VERBS.iter().find(|(from, _)| *from == verb)?;
            Some(noun.map_or_else(
                || format!("{sign}{other}"),
                |noun| format!("{other}-{noun}"),
            ))
        };
        // A verb is near the front; further on it is as well a name.
        let index = (0..self.spans.len().min(3)).find(|i| other(self.word(*i)).is_some())?;
        let _ = rng.next_u64();
        let word = other(self.word(index))?;
        Some((self.line.to_owned(), self.with(index, &word)))
    }

    fn flag(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let flag = |word: &str| {
            let name = word.trim_start_matches(['-', '/']);
            word.starts_with(['-', '/'])
                && word.len() - name.len() <= 2
                && !name.is_empty()
                && name.len() <= 20
                && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
                && (word.starts_with('-') || self.windows())
        };
        let index = self.draw(rng, flag)?;
        let word = self.word(index);
        let b = if rng.below(3) == 0 {
            let (start, end) = self.spans[index];
            let rest = self.line[end..].trim_start();
            format!("{}{rest}", &self.line[..start])
        } else {
            let name = word.trim_start_matches(['-', '/']);
            let sign = &word[..word.len() - name.len()];
            let other = if name.len() == 1 {
                let letter = name.bytes().next().unwrap_or(b'a').to_ascii_lowercase();
                char::from(
                    b'a' + (letter - b'a' + 1 + u8::try_from(rng.below(24)).unwrap_or(0)) % 26,
                )
                .to_string()
            } else {
                let names = [
                    "force",
                    "recurse",
                    "quiet",
                    "dry-run",
                    "all",
                    "no-verify",
                    "purge",
                ];
                let (one, two) = two(rng, &names);
                if name == one { two } else { one }.to_owned()
            };
            self.with(index, &format!("{sign}{other}"))
        };
        Some((self.line.trim_end().to_owned(), b.trim_end().to_owned()))
    }

    fn target(&self, rng: &mut SplitMix64) -> Option<(String, String)> {
        let index = self.argument(rng)?;
        // An account or a machine is volatile, and no target.
        let volatile = [
            "user", "login", "host", "computer", "server", "node", "domain", "ping", "ssh", "su ",
        ];
        let before = self.line[..self.spans[index].0].to_ascii_lowercase();
        let name = self.word(index).to_ascii_lowercase();
        let named = [
            ".com",
            ".org",
            ".net",
            ".io",
            ".local",
            ".lan",
            ".lab",
            ".htb",
            ".corp",
            ".internal",
            ".test",
        ];
        let flag = before.trim_end().rsplit(' ').next().unwrap_or_default();
        if volatile.iter().any(|word| before.contains(word))
            || named.iter().any(|end| name.ends_with(end))
            || name.starts_with("\\\\")
            || ["/s", "/u", "/ru", "-u", "-h", "-l"].contains(&flag)
        {
            return None;
        }
        let b = self.stem_as(index, pick(rng, NAMES));
        Some((self.line.to_owned(), self.with(index, &b)))
    }
}

/// A word of letters, or a path to a file with such a stem; no flag, assignment, URL or placeholder.
fn plain(word: &str) -> bool {
    let name = word.rsplit(['\\', '/']).next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    !word.starts_with(['-', '/', '+', '%', '@', '<', '>', '!', '~'])
        && !word.contains([
            '=', ':', ',', '*', '?', '<', '>', '[', ']', '#', '^', '@', '!', '%',
        ])
        && stem.len() >= 3
        && stem.len() <= 24
        && stem
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[&str] = &[
        r"copy report.txt D:\archive /y",
        "ping -n 4 10.0.0.7",
        "systemctl stop nginx",
        "curl -o page.html https://example.com/a",
        r"net use z: \\fs01\data /user:bob",
        "Get-Service -Name spooler",
        "git push origin main",
        "tar -czf backup.tgz docs",
    ];

    #[test]
    fn a_pair_differs_and_is_made_again_the_same() {
        let mut made = 0;
        for line in LINES {
            for edit in Edit::ALL {
                let pair = edit.pair(line, 1);
                assert_eq!(pair, edit.pair(line, 1));
                if let Some((a, b)) = pair {
                    assert_ne!(a, b);
                    made += 1;
                }
            }
        }
        assert!(made > 30, "{made}");
    }

    #[test]
    fn each_edit_changes_what_it_says() {
        let b = |edit: Edit, line: &str| edit.pair(line, 3).map(|(_, b)| b).unwrap_or_default();
        assert_eq!(
            b(Edit::Verb, "systemctl stop nginx"),
            "systemctl start nginx"
        );
        assert_eq!(
            b(Edit::Verb, "Get-Service -Name spooler"),
            "set-service -Name spooler"
        );
        assert!(b(Edit::Number, "sleep 10").starts_with("sleep "));
        assert!(b(Edit::Host, "curl https://example.com/a").ends_with("/a"));
        assert!(b(Edit::Target, "tar -czf backup.tgz").contains(".tgz"));
        assert!(b(Edit::User, "cat -n notes.txt").starts_with("cat -n /home/"));
        assert!(b(Edit::TemporaryPath, "cat -n notes.txt").contains(".txt"));
    }

    #[test]
    fn a_line_without_the_part_gives_no_pair() {
        assert_eq!(Edit::Number.pair("whoami", 1), None);
        assert_eq!(Edit::Number.pair("chmod 755 x", 1), None);
        assert_eq!(Edit::Target.pair("ls -la", 1), None);
        assert_eq!(Edit::Verb.pair("", 1), None);
    }
}
