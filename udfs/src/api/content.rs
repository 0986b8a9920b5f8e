//! What a request carries: the values of its query, body, cookies, headers and path, decoded, and how they look.
//!
//! Values come with a name (`query.id`, `cookie.session`, `header.accept`, `body.user`), so that each can be compared with
//! what that name ordinarily holds. Everything is bounded: [`MAX_VALUES`] values of a request, [`MAX_BYTES`] bytes of one.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::request::{Request, pair_hash, text_hash};

/// Values of a request that count.
pub const MAX_VALUES: usize = 64;
/// Bytes of a value that count.
pub const MAX_BYTES: usize = 8 << 10;
/// Rounds of percent-decoding: twice and thrice encoded is how filters are passed.
const MAX_ROUNDS: u8 = 3;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The path, as a whole.
    Path,
    /// Query, body or cookie.
    Value,
    /// A header.
    Header,
}

/// A value, decoded.
#[derive(Debug)]
pub struct Value<'v> {
    /// Where it stands.
    pub place: Place,
    /// Hash of place and name: `query.id`.
    pub name: u64,
    /// Its text.
    pub text: &'v str,
    /// Rounds of percent-decoding it took.
    pub rounds: u8,
}

/// Undoes percent-encoding once; what is no UTF-8 then becomes U+FFFD.
#[must_use]
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut changed = false;
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                i += 3;
                changed = true;
            }
            (byte, ..) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    if changed {
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    } else {
        Cow::Borrowed(text)
    }
}

/// Decodes until nothing changes, three rounds at the most; how many there were.
fn decoded(text: &str) -> (Cow<'_, str>, u8) {
    let mut text = Cow::Borrowed(text);
    for round in 0..MAX_ROUNDS {
        let Cow::Owned(next) = percent_decoded(&text) else {
            return (text, round);
        };
        text = Cow::Owned(next);
    }
    (text, MAX_ROUNDS)
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Hands every value of a request to `f`, in the order path, query, body, headers.
pub fn for_each_value(request: &Request<'_>, f: &mut dyn FnMut(&Value<'_>)) {
    let mut left = MAX_VALUES;
    let mut give = |place: Place, group: &str, name: &str, text: &str| {
        if left == 0 {
            return;
        }
        left -= 1;
        let (text, rounds) = decoded(cut(text));
        let name = pair_hash(text_hash(group), text_hash(&name.to_ascii_lowercase()));
        f(&Value {
            place,
            name,
            text: &text,
            rounds,
        });
    };
    if let Some(path) = request.path {
        give(Place::Path, "path", "", path);
    }
    if let Some(query) = request.query {
        pairs(query, '&', |name, value| {
            give(Place::Value, "query", name, value);
        });
    }
    if let Some(body) = request.body.map(str::trim).filter(|b| !b.is_empty()) {
        let body = cut(body);
        if body.starts_with(['{', '[']) {
            strings_of_json(body, &mut |name, value| {
                give(Place::Value, "body", name, value);
            });
        } else if is_form(body) {
            pairs(body, '&', |name, value| {
                give(Place::Value, "body", name, value);
            });
        } else {
            give(Place::Value, "body", "", body);
        }
    }
    if let Some(headers) = request.headers {
        strings_of_json(cut(headers), &mut |name, value| {
            if name.eq_ignore_ascii_case("cookie") {
                for cookie in value.split(';') {
                    let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
                    give(Place::Value, "cookie", name.trim(), value);
                }
            } else if !PASSED.iter().any(|p| name.eq_ignore_ascii_case(p)) {
                give(Place::Header, "header", name, value);
            }
        });
    } else if let Some(referer) = request.referer {
        give(Place::Header, "header", "referer", referer);
    }
}

/// Headers whose values are other columns, or random by design.
const PASSED: &[&str] = &[
    "host",
    "content-length",
    "date",
    "authorization",
    "x-request-id",
    "traceparent",
];

/// `a=1&b=2`: names of letters, each with a sign of equality.
fn is_form(body: &str) -> bool {
    body.split('&').all(|pair| {
        pair.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|b| {
                    b.is_ascii_alphanumeric()
                        || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'%')
                })
        })
    })
}

fn pairs(text: &str, separator: char, mut f: impl FnMut(&str, &str)) {
    for pair in text.split(separator).filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        if value.contains('+') {
            f(name, &value.replace('+', " "));
        } else {
            f(name, value);
        }
    }
}

/// The string values of a JSON text with the name before each; lenient, since it may be cut off, or broken on purpose.
fn strings_of_json(json: &str, f: &mut dyn FnMut(&str, &str)) {
    let bytes = json.as_bytes();
    let mut name = String::new();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                let (text, end) = string(json, i + 1);
                let after = bytes[end..].iter().position(|b| !b.is_ascii_whitespace());
                if after.is_some_and(|at| bytes[end + at] == b':') {
                    name = text;
                } else {
                    f(&name, &text);
                }
                i = end;
            }
            b'-' | b'0'..=b'9' => {
                let end = bytes[i..]
                    .iter()
                    .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+')))
                    .map_or(bytes.len(), |n| i + n);
                f(&name, &json[i..end]);
                i = end;
            }
            _ => i += 1,
        }
    }
}

/// The JSON string from `from` (behind its quote), unescaped, and the place behind its end.
fn string(json: &str, from: usize) -> (String, usize) {
    let mut out = String::new();
    let mut chars = json[from..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, from + at + 1),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let code = u32::from_str_radix(&hex, 16).ok();
                    out.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
                }
                Some(c) => out.push(c),
                None => break,
            },
            c => out.push(c),
        }
    }
    (out, json.len())
}

/// The outline of a value: runs of letters, digits, spaces and of each other character, one sign a run.
/// `John's 12` → `a'a 0`. It tells what sort of thing a name holds.
#[must_use]
pub fn outline(text: &str) -> u64 {
    const MAX_SIGNS: usize = 24;
    let mut signs = String::new();
    let mut last = '\0';
    for c in text.chars() {
        let sign = match c {
            c if c.is_ascii_alphabetic() => 'a',
            c if c.is_ascii_digit() => '0',
            c if c.is_control() => '\u{1}',
            c if c.is_whitespace() => ' ',
            c if c.is_ascii() => c,
            _ => 'u',
        };
        if sign != last {
            signs.push(sign);
            last = sign;
        }
        if signs.len() >= MAX_SIGNS {
            break;
        }
    }
    text_hash(&signs)
}

/// What values of attacks have in common, by family; each is a count in a row of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// SQL: keywords beside quotes, comments, tautologies (CAPEC-66).
    Sql,
    /// Markup and script (CAPEC-63).
    Script,
    /// Path traversal and files that it is after (CAPEC-126).
    Traversal,
    /// Shell commands and operators (CAPEC-88).
    Command,
    /// Expression languages, templates, JNDI (CAPEC-242).
    Expression,
    /// Serialised objects (CAPEC-586).
    Object,
    /// Addresses inside values: requests on the server's behalf (CAPEC-664).
    Address,
}

/// How many there are.
pub const MARKS: usize = 7;

const WORDS: &[(Mark, &[&str])] = &[
    (
        Mark::Sql,
        &[
            "union all",
            "union select",
            "select ",
            " from ",
            " where ",
            "order by",
            "group by",
            "having ",
            "insert into",
            "drop table",
            "delete from",
            "update ",
            "' or ",
            "\" or ",
            " or 1",
            " and 1",
            "' and ",
            "--",
            "/*",
            "*/",
            "@@",
            "sleep(",
            "waitfor",
            "benchmark(",
            "information_schema",
            "sysobjects",
            "xp_",
            "concat(",
            "char(",
            "chr(",
            "cast(",
            "convert(",
            "substring(",
            "ascii(",
            "count(",
            "elt(",
            "rlike",
            "procedure analyse",
            "extractvalue",
            "updatexml",
            "pg_sleep",
            "dbms_",
            "utl_",
            "null,null",
            "';",
            "')",
            "\")",
            "'=",
            "regexp",
            "like '",
            "exec(",
            "declare ",
            "0x",
        ],
    ),
    (
        Mark::Script,
        &[
            "<script",
            "</",
            "javascript:",
            "vbscript:",
            "onerror",
            "onload",
            "onmouse",
            "onclick",
            "onfocus",
            "<img",
            "<svg",
            "<iframe",
            "<body",
            "<object",
            "alert(",
            "prompt(",
            "confirm(",
            "document.",
            "window.",
            "eval(",
            "fromcharcode",
            "expression(",
            "style=",
            "<a ",
            "src=",
            "<!--",
            "&#",
            "<![cdata",
            "<!entity",
            "<?xml",
        ],
    ),
    (
        Mark::Traversal,
        &[
            "../",
            "..\\",
            "/etc/",
            "passwd",
            "win.ini",
            "windows.ini",
            "boot.ini",
            "/proc/",
            ".htaccess",
            "web.config",
            "/var/log",
            "c:\\",
            "c:/",
            "file://",
            "php://",
            ".git/",
            ".env",
            "web-inf",
            "\0",
            "winnt",
            "id_rsa",
        ],
    ),
    (
        Mark::Command,
        &[
            "; ",
            "| ",
            "&&",
            "||",
            "`",
            "$(",
            "/bin/",
            "cat ",
            "ls ",
            "wget ",
            "curl ",
            "ping ",
            "nc ",
            "bash",
            "cmd.exe",
            "cmd /c",
            "powershell",
            "whoami",
            "uname",
            "ifconfig",
            "netstat",
            "sleep ",
            "echo ",
            "chmod ",
            "system(",
            "passthru",
            "shell_exec",
            "popen",
        ],
    ),
    (
        Mark::Expression,
        &[
            "${",
            "{{",
            "}}",
            "#{",
            "<%",
            "%>",
            "{%",
            "jndi:",
            "ldap:",
            "rmi:",
            "__globals__",
            "__class__",
            "__import__",
            "__builtins__",
            "getruntime",
            "processbuilder",
            "t(java",
            "class.module",
            "ognl",
        ],
    ),
    (
        Mark::Object,
        &[
            "gasv",
            "ro0ab",
            "aced0005",
            "o:4:",
            "a:1:{",
            "!!python",
            "aaeaaad",
            "__proto__",
            "constructor[",
            "$ne",
            "$gt",
            "$where",
        ],
    ),
    (
        Mark::Address,
        &[
            "http://",
            "https://",
            "ftp://",
            "gopher://",
            "dict://",
            "169.254.169.254",
            "localhost",
            "127.0.0.1",
            "\\\\",
        ],
    ),
];

static FINDER: LazyLock<Option<(AhoCorasick, Vec<Mark>)>> = LazyLock::new(|| {
    let marks = WORDS
        .iter()
        .flat_map(|(mark, words)| words.iter().map(|_| *mark))
        .collect();
    let words = WORDS.iter().flat_map(|(_, words)| words.iter());
    let finder = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(words)
        .ok()?;
    Some((finder, marks))
});

/// Counts the marks in a value.
pub fn marks(text: &str, counts: &mut [f32; MARKS]) {
    if let Some((finder, marks)) = FINDER.as_ref() {
        for found in finder.find_overlapping_iter(text) {
            if let Some(mark) = marks.get(found.pattern().as_usize()) {
                counts[*mark as usize] += 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
