//! Fields of a log's line: words, and texts in quotes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What is left of a line.
pub(super) struct Fields<'a>(pub(super) &'a str);

impl<'a> Fields<'a> {
    /// The next field, without its quotes; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Cow<'a, str>>, &'static str> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            self.0 = rest;
            return Ok(None);
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = closing(quoted).ok_or("a quote is never closed")?;
            self.0 = &quoted[end + 1..];
            return Ok(Some(unescaped(&quoted[..end])));
        }
        let end = rest.find(' ').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Ok(Some(Cow::Borrowed(&rest[..end])))
    }
}

/// Where the quote is that ends a text.
fn closing(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// A text without the escapes that servers write it with: `\"`, `\\`, `\n` and the like, `\xhh`.
///
/// What stood there was bytes. Those that are text come back; control characters and what is not UTF-8 are written as a URL would have
/// them, `%00`, so that nothing is lost and nothing that ends a terminal's line comes into a table.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (plain, length) = match after {
            [b'x' | b'X', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'\\', 0),
            },
            [escaped @ (b'"' | b'\\'), ..] => (*escaped, 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'b', ..] => (8, 1),
            [b'v', ..] => (11, 1),
            _ => (b'\\', 0),
        };
        bytes.push(plain);
        rest = &after[length..];
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_ascii_control() {
                encode(character as u8, &mut out);
            } else {
                out.push(character);
            }
        }
        for byte in chunk.invalid() {
            encode(*byte, &mut out);
        }
    }
    Cow::Owned(out)
}

fn encode(byte: u8, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
