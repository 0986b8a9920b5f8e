//! Names of people and of machines inside a house: replaced by pseudonyms that keep equality.
//!
//! A pseudonym is the head of a BLAKE3 hash under a key that stays in the warehouse: equal names have equal pseudonyms, and
//! nobody without the key can try names. Names of accounts that every system has (`root`, `SYSTEM`, `Administrator`) stay: they say
//! what a line may do, and of whom they speak is nobody.

use std::fmt::Write as _;

/// The key of a warehouse's pseudonyms. Its `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct PseudonymKey([u8; 32]);

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PseudonymKey(..)")
    }
}

impl PseudonymKey {
    /// A key of 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What stands for a name of a kind (`user`, `host`): `<user:3fa91c04>`, equal for names that are equal but for capitals.
    #[must_use]
    pub fn pseudonym(&self, kind: &str, name: &str) -> String {
        let hash = blake3::keyed_hash(
            &self.0,
            format!("{kind}\0{}", name.to_lowercase()).as_bytes(),
        );
        let mut out = format!("<{kind}:");
        for byte in hash.as_bytes().iter().take(4) {
            let _ = write!(out, "{byte:02x}");
        }
        out.push('>');
        out
    }
}

/// Accounts and directories that every system has.
const EVERYBODY: &[&str] = &[
    "root",
    "system",
    "administrator",
    "admin",
    "public",
    "default",
    "defaultuser0",
    "all users",
    "default user",
    "localservice",
    "networkservice",
    "local service",
    "network service",
    "guest",
    "ubuntu",
    "debian",
    "ec2-user",
    "centos",
    "vagrant",
    "user",
    "username",
    "users",
    "runner",
    "runneradmin",
    "nobody",
    "daemon",
    "www-data",
    "postgres",
    "mysql",
    "git",
    "jenkins",
    "docker",
    "node",
    "app",
    "me",
    "you",
    "name",
    "your_name",
    "yourname",
    "example",
    "someone",
    "shared",
    "nt authority",
    "builtin",
    "everyone",
    "test",
    "linuxbrew",
    "path",
    "pi",
    "azureuser",
    "dev",
    "ansible",
    "deploy",
    "service",
    "user1",
    "user2",
    "admin1",
    "remote_user",
    "remote-user",
    "myuser",
];
const INSIDE: &[&str] = &[
    ".local",
    ".corp",
    ".internal",
    ".lan",
    ".intranet",
    ".home.arpa",
    ".intra",
    ".localdomain",
    ".private",
];

fn known(name: &str) -> bool {
    let lower = name.to_lowercase();
    name.len() < 2
        || EVERYBODY.contains(&lower.as_str())
        || name.contains(['<', '>', '$', '%', '{', '*', '?', '[', '"'])
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~')))
        .unwrap_or(text.len())
}

/// Replaces names; returns how many.
pub(super) fn pseudonymised(text: &str, names: &[&str], key: &PseudonymKey) -> (String, usize) {
    let mut spans: Vec<(usize, usize, &'static str)> = vec![];
    let lower = text.to_lowercase();
    // Places agree only where lower-casing keeps lengths; elsewhere the line's own case must do.
    let folded: &str = if lower.len() == text.len() {
        &lower
    } else {
        text
    };
    let mut after = |head: &str, kind: &'static str, spaces: bool| {
        for (at, _) in folded.match_indices(head) {
            let start = at + head.len();
            let rest = text.get(start..).unwrap_or_default();
            let end = if spaces {
                rest.find([
                    '\\', '/', '"', '\'', '\n', ';', '|', '<', '>', ':', '*', ',', ')',
                ])
                .unwrap_or(rest.len())
            } else {
                name_end(rest)
            };
            let mut name = rest.get(..end).unwrap_or_default();
            if spaces && rest.get(end..=end).is_none_or(|c| c != "\\" && c != "/") {
                name = name.split(' ').next().unwrap_or_default();
            }
            if !name.is_empty() && !known(name) {
                spans.push((start, start + name.len(), kind));
            }
        }
    };
    after(":\\users\\", "user", true);
    after(":/users/", "user", false);
    after(":\\documents and settings\\", "user", true);
    after("/home/", "user", false);
    if !folded.contains(":/users/") {
        after("/users/", "user", false);
    }
    after("/user:", "user", false);
    after("/ru ", "user", false);
    shares(text, &mut spans);
    hosts(text, folded, &mut spans);
    // What telemetry knows of the process: its user, wherever the name stands as a word.
    for name in names {
        let bare = name.rsplit(['\\', '/']).next().unwrap_or_default();
        let bare = bare.split('@').next().unwrap_or_default();
        if bare.len() < 3 || known(bare) || bare.ends_with('$') {
            continue;
        }
        let wanted = bare.to_lowercase();
        for (at, found) in folded.match_indices(wanted.as_str()) {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let before = folded.get(..at).and_then(|t| t.chars().next_back());
            let behind = folded
                .get(at + found.len()..)
                .and_then(|t| t.chars().next());
            if !before.is_some_and(word) && !behind.is_some_and(word) {
                spans.push((at, at + found.len(), "user"));
            }
        }
    }
    spans.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut count) = (0, 0);
    for (start, end, kind) in spans {
        let (Some(before), Some(name)) = (text.get(at..start), text.get(start..end)) else {
            continue;
        };
        // Nothing of a placeholder is a name.
        let open = before
            .rfind('<')
            .filter(|o| before[*o..].starts_with("<secret:") && !before[*o..].contains('>'));
        if start < at || open.is_some() {
            continue;
        }
        out.push_str(before);
        out.push_str(&key.pseudonym(kind, name));
        at = end;
        count += 1;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (out, count)
}

/// `\\HOST\share`, unless the host is an address, this machine, or a device path.
fn shares(text: &str, spans: &mut Vec<(usize, usize, &'static str)>) {
    for (at, _) in text.match_indices("\\\\") {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        if before.is_some_and(|c| {
            c.is_alphanumeric() || matches!(c, '\\' | ':' | '.' | ')' | ']' | '}' | '*' | '%')
        }) {
            continue;
        }
        let start = at + 2;
        let rest = text.get(start..).unwrap_or_default();
        let end = name_end(rest);
        let name = rest.get(..end).unwrap_or_default();
        let follows = rest
            .get(end..)
            .is_some_and(|t| t.starts_with('\\') || t.is_empty() || t.starts_with(' '));
        if follows && machine(name) {
            spans.push((start, start + end, "host"));
        }
    }
}

fn machine(name: &str) -> bool {
    let lower = name.to_lowercase();
    let address = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.len() >= 3
        && !address
        && !known(name)
        && !matches!(
            lower.as_str(),
            "localhost"
                | "server"
                | "servername"
                | "share"
                | "unc"
                | "pipe"
                | "globalroot"
                | "computer"
                | "computername"
                | "wsl"
                | "tsclient"
                | "host"
                | "hostname"
                | "remote"
                | "live.sysinternals.com"
                | "server1"
                | "server01"
                | "server2"
                | "fileserver"
                | "wsl.localhost"
        )
        && ![".com", ".org", ".net"]
            .iter()
            .any(|domain| lower.ends_with(domain))
}

/// Names below internal domains, and the names before their `@`.
fn hosts(text: &str, folded: &str, spans: &mut Vec<(usize, usize, &'static str)>) {
    let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    for inside in INSIDE {
        for (at, _) in folded.match_indices(inside) {
            let end = at + inside.len();
            if bytes.get(end).is_some_and(|b| part(*b) && *b != b'.') {
                continue;
            }
            let mut start = at;
            while start > 0 && part(bytes[start - 1]) {
                start -= 1;
            }
            // `/usr/.local`, `~/.local`: a directory. `x.local` after a path is a file.
            let path = start > 0
                && matches!(bytes[start - 1], b'\\' | b'~' | b'$' | b'%' | b'>')
                && !text.get(..start).unwrap_or_default().ends_with("\\\\");
            let slash = start > 0
                && bytes[start - 1] == b'/'
                && !text.get(..start).unwrap_or_default().ends_with("//");
            let name = text.get(start..end).unwrap_or_default();
            let cluster = name.contains("svc.cluster")
                || name.starts_with("kubernetes")
                || name.contains("docker.internal")
                || name.contains("google.internal");
            if at > start && !path && !slash && !name.starts_with(['.', '-']) && !cluster {
                spans.push((start, end, "host"));
            }
        }
    }
    // someone@somewhere: the name; a version (`package@1.2`) or a decorator is none.
    for (at, _) in text.match_indices('@') {
        let mut start = at;
        while start > 0 && part(bytes[start - 1]) {
            start -= 1;
        }
        let rest = text.get(at + 1..).unwrap_or_default();
        let host = rest.get(..name_end(rest)).unwrap_or_default();
        let address = host.bytes().filter(|b| *b == b'.').count() == 3
            && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let domain =
            host.contains('.') && host.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        let name = text.get(start..at).unwrap_or_default();
        let marked =
            start > 0 && matches!(bytes[start - 1], b'/' | b'@' | b'$' | b'}' | b'%' | b'>');
        let url = text.get(..start).unwrap_or_default().ends_with("://");
        if !name.is_empty()
            && (address || domain)
            && !known(name)
            && (!marked || url)
            && !host.starts_with("example.")
        {
            spans.push((start, at, "user"));
        }
    }
}
