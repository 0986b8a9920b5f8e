//! The first pass of [`super`]: white space and quotes.
//!
//! Cost: linear; each closing quote is searched for once (see [`Quotes`]).

use super::super::words::{Quotes, is_operator, opens_after};

/// Collapses white space and removes quotes that only quote.
pub(super) fn tidied(line: &str) -> String {
    let bytes = line.as_bytes();
    let mut quotes = Quotes::new(true);
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_whitespace() {
            let start = at;
            while at < bytes.len() && bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            let broken = bytes[start..at].contains(&b'\n');
            let continued = matches!(out.as_bytes().last(), Some(b'\\' | b'^' | b'`'));
            if broken && continued {
                out.pop();
            }
            if out.is_empty() || at == bytes.len() {
                continue;
            }
            if broken && !continued && !matches!(out.as_bytes().last(), Some(b';' | b'{' | b'|')) {
                out.push_str(" ;");
            }
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if matches!(byte, b'"' | b'\'')
            && (at == 0 || byte == b'"' || opens_after(bytes[at - 1]))
            && let Some(close) = quotes.close(bytes, at)
        {
            let inner = line.get(at + 1..close).unwrap_or_default();
            let keep = inner.is_empty()
                || inner
                    .bytes()
                    .any(|b| b.is_ascii_whitespace() || is_operator(b) || matches!(b, b'$' | b'"'));
            if keep {
                out.push(char::from(byte));
            }
            let mut space = false;
            for c in inner.chars() {
                if c.is_ascii_whitespace() {
                    space = true;
                    continue;
                }
                if space {
                    out.push(' ');
                    space = false;
                }
                out.push(c);
            }
            if keep {
                out.push(char::from(byte));
            }
            at = close + 1;
        } else {
            // A quote that opens nothing, then all up to the next byte that may mean something.
            let plain = |b: &&u8| !(b.is_ascii_whitespace() || matches!(b, b'"' | b'\''));
            let rest = bytes.get(at + 1..).unwrap_or_default();
            let end = at + 1 + rest.iter().take_while(plain).count();
            out.push_str(line.get(at..end).unwrap_or_default());
            at = end;
        }
    }
    out
}
