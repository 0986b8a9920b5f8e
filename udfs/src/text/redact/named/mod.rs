//! Values that something announces as secret: a name (`--password x`, `PGPASSWORD=x`, `"token": "x"`), a header, the user part
//! of a URL, or a program's own flag (`mysql -px`, `curl -u a:x`, `net user a x`).
//!
//! What is *not* a secret though a secret's name stands before it: a reference (`$PASSWORD`, `%PW%`, `{{ pw }}`), a placeholder
//! in brackets, a flag, `true`, `stdin`, a file that holds it (`--password-file`).

mod names;
mod positions;
mod programs;

pub(super) use self::names::is_no_secret;
use self::names::{Name, is_call, judge, kind, looks_secret};
use self::positions::positions;
use self::programs::program_flags;
use super::Span;
use super::split::{Piece, close, pieces};
use crate::text::words::base_name;

/// Scripts in scripts are read to this depth.
const DEPTH: usize = 4;

/// All announced values.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut spans = vec![];
    assignments(text, &mut spans);
    urls(text, &mut spans);
    headers(text, &mut spans);
    words(text, 0, text.len(), 0, &mut spans);
    spans
}

/// `name=value` and `name: value`, with quotes about either.
fn assignments(text: &str, spans: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'=' | b':') {
            continue;
        }
        // The name to the left, past a quote and white space (`"token" : …`).
        let mut end = at;
        while end > 0 && matches!(bytes[end - 1], b' ' | b'"' | b'\'' | b'\\' | b'+') {
            end -= 1;
        }
        let mut start = end;
        while start > 0
            && (bytes[start - 1].is_ascii_alphanumeric()
                || matches!(bytes[start - 1], b'_' | b'-' | b'.'))
        {
            start -= 1;
        }
        // A colon after a space belongs to prose or to a drive, unless the name was quoted.
        let loose = end < at && !matches!(bytes[end], b'"' | b'\'' | b'\\');
        let name = text.get(start..end).unwrap_or_default();
        let said = judge(name);
        if said == Name::Plain || (*byte == b':' && loose && said == Name::Weak) {
            continue;
        }
        let variable = start > 0 && matches!(bytes[start - 1], b'$' | b'{' | b'%');
        if variable && *byte == b':' {
            continue;
        }
        let mut from = at + 1;
        while from < bytes.len() && matches!(bytes[from], b'=' | b':') {
            from += 1;
        }
        let tight = from;
        // PowerShell and JSON leave spaces; a shell's `X= cmd` is an empty value.
        let spaced = *byte == b':' || loose || bytes.get(start.wrapping_sub(1)) == Some(&b'$');
        while spaced && from < bytes.len() && bytes[from] == b' ' {
            from += 1;
        }
        if from > tight && from < bytes.len() && bytes[from] == b'-' && !loose {
            continue;
        }
        let (from, to) = value(text, from);
        let value = text.get(from..to).unwrap_or_default();
        if is_no_secret(value) || (said == Name::Weak && !looks_secret(value)) {
            continue;
        }
        // `https://…` after `auth:`-like names is an address; a call's name is no value.
        if value.starts_with("//")
            || (variable && from == tight_or_spaced(bytes, tight) && is_call(value))
        {
            continue;
        }
        spans.push(Span {
            start: from,
            end: to,
            kind: kind(name),
        });
    }
}

/// Where the value begins when no quote stands before it.
fn tight_or_spaced(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// Where the value at `from` lies, without its quotes.
fn value(text: &str, from: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut open = from;
    while open < bytes.len()
        && bytes[open] == b'\\'
        && bytes
            .get(open + 1)
            .is_some_and(|b| matches!(b, b'"' | b'\''))
    {
        open += 1;
    }
    if open > from {
        // Escaped quotes, `\"…\"`: to the next backslash.
        let rest = text.get(open + 1..).unwrap_or_default();
        return (open + 1, open + 1 + rest.find('\\').unwrap_or(rest.len()));
    }
    if bytes
        .get(open)
        .is_some_and(|b| matches!(b, b'"' | b'\'' | b'`'))
        && let Some(end) = close(bytes, open, bytes.len())
    {
        return (open + 1, end);
    }
    let mut to = open;
    while to < bytes.len()
        && !bytes[to].is_ascii_whitespace()
        && !matches!(bytes[to], b'&' | b';' | b'"' | b'\'' | b'|' | b'`' | b'<')
    {
        to += 1;
    }
    // What closes a bracket that the value did not open.
    while to > open && matches!(bytes[to - 1], b')' | b'}' | b']' | b',') {
        to -= 1;
    }
    (open, to)
}

/// `scheme://user:SECRET@host`, and a lone token in the user's place.
fn urls(text: &str, spans: &mut Vec<Span>) {
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = text.get(start..).unwrap_or_default();
        let end = rest
            .find(|c: char| {
                c.is_whitespace()
                    || matches!(c, '/' | '"' | '\'' | '?' | '#' | '<' | '>' | '|' | ')')
            })
            .unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        // A password may hold a slash: then the `@` comes later in the word.
        let word_end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'))
            .unwrap_or(rest.len());
        let word = rest.get(..word_end).unwrap_or_default();
        let host = authority.rfind('@').or_else(|| {
            let colon = authority.find(':')?;
            let port = authority.get(colon + 1..).unwrap_or_default();
            let numeric = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (!numeric).then(|| word.rfind('@')).flatten()
        });
        let Some(host) = host else { continue };
        let user = word.get(..host).unwrap_or_default();
        if let Some(colon) = user.find(':') {
            let secret = user.get(colon + 1..).unwrap_or_default();
            if !is_no_secret(secret) {
                spans.push(Span {
                    start: start + colon + 1,
                    end: start + host,
                    kind: "url_password",
                });
            }
        } else if user.len() >= 16 && !is_no_secret(user) {
            spans.push(Span {
                start,
                end: start + host,
                kind: "url_token",
            });
        }
    }
}

/// `Authorization: Bearer …`, cookies and key headers, to the end of their quote or line; `Bearer x` alone.
fn headers(text: &str, spans: &mut Vec<Span>) {
    let lower = text.to_ascii_lowercase();
    for header in [
        "authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "x-vault-token",
        "private-token",
        "x-amz-security-token",
        "x-access-token",
        "api-key",
        "ocp-apim-subscription-key",
        "x-functions-key",
        "x-aws-ec2-metadata-token",
        "x-goog-api-key",
        "x-consul-token",
        "job-token",
        "x-jfrog-art-api",
    ] {
        for (at, _) in lower.match_indices(header) {
            let rest = lower.get(at + header.len()..).unwrap_or_default();
            let skipped = rest.len() - rest.trim_start_matches(['"', '\'', ' ', '\\']).len();
            let Some(sign) = rest.get(skipped..).and_then(|r| r.chars().next()) else {
                continue;
            };
            if sign != ':' {
                continue;
            }
            let mut from = at + header.len() + skipped + 1;
            let tail = lower.get(from..).unwrap_or_default();
            from += tail.len() - tail.trim_start_matches(['"', '\'', ' ', '\\', '=']).len();
            let tail = lower.get(from..).unwrap_or_default();
            for scheme in [
                "bearer ",
                "basic ",
                "token ",
                "apikey ",
                "negotiate ",
                "digest ",
                "splunk ",
            ] {
                if tail.starts_with(scheme) {
                    from += scheme.len();
                    break;
                }
            }
            let tail = text.get(from..).unwrap_or_default();
            let quoted = text
                .get(..from)
                .unwrap_or_default()
                .bytes()
                .rev()
                .take(60)
                .any(|b| matches!(b, b'"' | b'\''));
            let to = tail
                .find(|c: char| {
                    matches!(c, '"' | '\'' | '\n' | '`') || (!quoted && c.is_whitespace())
                })
                .unwrap_or(tail.len());
            let secret = tail.get(..to).unwrap_or_default().trim_end_matches('\\');
            if !is_no_secret(secret) {
                spans.push(Span {
                    start: from,
                    end: from + secret.len(),
                    kind: "header",
                });
            }
        }
    }
    for (at, word) in lower.match_indices("bearer ") {
        let from = at + word.len();
        let (from, to) = value(text, from);
        let secret = text.get(from..to).unwrap_or_default();
        if secret.len() >= 12 && !is_no_secret(secret) {
            spans.push(Span {
                start: from,
                end: to,
                kind: "header",
            });
        }
    }
}

/// Flags and positions, command by command.
fn words(text: &str, from: usize, to: usize, depth: usize, spans: &mut Vec<Span>) {
    let all = pieces(text, from, to);
    let mut commands: Vec<&[Piece]> = all.split(|p| p.operator).collect();
    commands.retain(|c| !c.is_empty());
    for (n, command) in commands.iter().enumerate() {
        let next = commands.get(n + 1).copied().unwrap_or_default();
        one_command(text, command, next, spans);
    }
    for script in all.iter().filter(|p| p.script && depth < DEPTH) {
        words(text, script.start, script.end, depth + 1, spans);
    }
}

fn one_command(text: &str, words: &[Piece], next: &[Piece], spans: &mut Vec<Span>) {
    let word = |n: usize| {
        words
            .get(n)
            .and_then(|p| text.get(p.start..p.end))
            .unwrap_or_default()
    };
    let name = |w: &str| base_name(w).to_ascii_lowercase();
    let mut programs: Vec<String> = vec![];
    for n in 0..words.len() {
        let text_of = word(n);
        let flag = text_of.starts_with('-')
            || (text_of.starts_with('/') && !text_of.get(1..).unwrap_or_default().contains('/'));
        let value = word(n + 1);
        if flag {
            program_flags(text_of, value, n, words, &programs, spans);
            let bare = !text_of.contains(['=', ':']);
            let said = judge(text_of);
            let takes = said == Name::Strong || (said == Name::Weak && looks_secret(value));
            if bare && takes && !value.starts_with('-') && !is_no_secret(value) {
                push(words, n + 1, 0, kind(text_of), spans);
            }
        } else {
            programs.push(name(text_of));
            // `set password X`, `aws configure set aws_secret_access_key X`, `config api_key X`.
            let announced = judge(text_of) == Name::Strong
                && text_of.len() >= 5
                && !text_of.contains(['/', '\\', '=', ':', '.', '$']);
            if announced
                && n > 0
                && looks_secret(value)
                && !is_no_secret(value)
                && !value.starts_with('-')
                && !value.contains('=')
            {
                push(words, n + 1, 0, kind(text_of), spans);
            }
        }
    }
    positions(text, words, next, &programs, spans);
}

fn push(words: &[Piece], n: usize, skip: usize, kind: &'static str, spans: &mut Vec<Span>) {
    if let Some(piece) = words.get(n) {
        spans.push(Span {
            start: piece.start + skip,
            end: piece.end,
            kind,
        });
    }
}
