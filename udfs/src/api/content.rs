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
            give(Place::Value, "query", name, value)
        });
    }
    if let Some(body) = request.body.map(str::trim).filter(|b| !b.is_empty()) {
        let body = cut(body);
        if body.starts_with(['{', '[']) {
            strings_of_json(body, &mut |name, value| {
                give(Place::Value, "body", name, value)
            });
        } else if is_form(body) {
            pairs(body, '&', |name, value| {
                give(Place::Value, "body", name, value)
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
mod tests {
    use super::*;

    fn values(request: &Request<'_>) -> Vec<String> {
        let mut found = vec![];
        for_each_value(request, &mut |v| {
            found.push(format!("{:?} {}", v.place, v.text))
        });
        found
    }

    #[test]
    fn every_value_is_found_and_decoded() {
        let request = Request {
            path: Some("/greet/%3Cscript%3E"),
            query: Some("q=a+b&%27=1%2527--&flag"),
            body: Some(r#"{"user": {"name": "O\u0027Hara", "age": 7}, "tags": ["x"]}"#),
            headers: Some(
                r#"{"Host": "h", "Cookie": "sid=1; name=gASV", "Accept": "*/*${jndi:x}"}"#,
            ),
            ..Request::default()
        };
        assert_eq!(
            values(&request),
            [
                "Path /greet/<script>",
                "Value a b",
                "Value 1'--",
                "Value flag",
                "Value O'Hara",
                "Value 7",
                "Value x",
                "Value 1",
                "Value gASV",
                "Header */*${jndi:x}"
            ]
        );
    }

    #[test]
    fn a_body_is_a_form_json_or_a_text() {
        let body = |body| {
            values(&Request {
                body: Some(body),
                ..Request::default()
            })
        };
        assert_eq!(body("a=1&b=x%20y"), ["Value 1", "Value x y"]);
        assert_eq!(body("1' or '1'='1"), ["Value 1' or '1'='1"]);
        assert_eq!(body(r#"{"a": "unfinished"#), ["Value unfinished"]);
    }

    #[test]
    fn hostile_sizes_are_bounded() {
        let query = "a=1&".repeat(10_000);
        assert_eq!(
            values(&Request {
                query: Some(&query),
                ..Request::default()
            })
            .len(),
            MAX_VALUES
        );
        let long = "é".repeat(MAX_BYTES);
        assert!(
            values(&Request {
                body: Some(&long),
                ..Request::default()
            })[0]
                .len()
                <= MAX_BYTES + 6
        );
        let many = "%25".repeat(50);
        let (_, rounds) = decoded(&many);
        assert!(rounds <= MAX_ROUNDS);
    }

    #[test]
    fn broken_encodings_do_not_panic_nor_vanish() {
        for text in ["%", "%4", "%zz", "a%", "%C3%28", "%ff%fe", "%25%", "é%41"] {
            assert!(!percent_decoded(text).is_empty(), "{text}");
        }
        assert_eq!(percent_decoded("%zz%41"), "%zzA");
    }

    #[test]
    fn outlines_tell_sorts_of_values() {
        assert_eq!(outline("5579"), outline("1"));
        assert_eq!(outline("maria"), outline("X"));
        assert_ne!(outline("5579"), outline("5579'"));
    }

    #[test]
    fn marks_count_by_family_and_ordinary_values_have_none() {
        let of = |text: &str| {
            let mut counts = [0.0; MARKS];
            marks(text, &mut counts);
            counts
        };
        assert!(of("1' UNION ALL SELECT null,null--")[Mark::Sql as usize] >= 3.0);
        assert!(of("<ScRipt>alert(1)</sCript>")[Mark::Script as usize] >= 3.0);
        assert!(of("../../etc/passwd")[Mark::Traversal as usize] >= 3.0);
        assert!(of("${jndi:ldap://x}")[Mark::Expression as usize] >= 2.0);
        for text in [
            "maria",
            "calle caballeros, 160, 3-b",
            "96795973j",
            "en-US,en;q=0.9",
        ] {
            assert_eq!(of(text), [0.0; MARKS], "{text}");
        }
    }
}
