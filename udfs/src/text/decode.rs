//! Finds and decodes what a command line carries encoded, so that rules, keys and labels see what will run.
//!
//! What: `PowerShell` encoded commands (every abbreviation of `-EncodedCommand`, UTF-16LE base64), `FromBase64String`,
//! `base64 -d` pipes, `[char]` and `chr()` casts, `\x41` and `xxd -r` hex; and text that is only disguised: caret and
//! backtick escapes, split string literals. Nested up to [`MAX_DEPTH`], [`MAX_BYTES`] of output in all.
//!
//! Why a flag beside the texts: a line of which a part stays unread must never be called benign. Compressed streams,
//! executables, XOR loops, variable substrings and string building are *not* decoded; [`Decoded::undecoded`] is set
//! and the reason says which. Decompression is left out on purpose: a bomb is cheap to send, and "it is packed" is
//! already the answer that a reader of labels needs.
//!
//! Cost: a few linear scans for each level; each level is at most three quarters of the last.

use super::words::{Piece, base_name, split};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How many encodings inside each other are undone.
pub const MAX_DEPTH: usize = 3;
/// Bytes of decoded text kept for one line, all levels together.
pub const MAX_BYTES: usize = 1 << 20;
/// Decoded texts kept for one line.
pub const MAX_TEXTS: usize = 32;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What was found behind the encodings of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Decoded texts, outermost first, in the order of the line.
    pub texts: Vec<String>,
    /// The line had an encoded command or a disguise at all.
    pub encoded: bool,
    /// A part was recognised and could not be read.
    pub undecoded: bool,
    /// Why, for each part that could not be read; fixed phrases, sorted, without duplicates.
    pub reasons: Vec<&'static str>,
}

/// What a base64 blob holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// Printable text.
    Text(String),
    /// Something else, and what it looks like.
    Binary(&'static str),
}

/// Decodes every layer of a command line.
#[must_use]
pub fn decode(line: &str) -> Decoded {
    let mut out = Decoded::default();
    let mut queue = vec![(line.to_owned(), 0)];
    let mut next = 0;
    let mut bytes = 0;
    while next < queue.len() {
        let (text, depth) = std::mem::take(&mut queue[next]);
        next += 1;
        let mut found = Vec::new();
        layer(&text, &mut found, &mut out);
        for inner in found {
            if inner == text || inner.trim().is_empty() {
                continue;
            }
            out.encoded = true;
            bytes += inner.len();
            if bytes > MAX_BYTES || out.texts.len() >= MAX_TEXTS || depth >= MAX_DEPTH {
                out.reasons.push("encoded too deep or too large");
                break;
            }
            out.texts.push(inner.clone());
            queue.push((inner, depth + 1));
        }
    }
    out.reasons.sort_unstable();
    out.reasons.dedup();
    out.undecoded = !out.reasons.is_empty();
    out
}

fn layer(text: &str, found: &mut Vec<String>, out: &mut Decoded) {
    let lower = text.to_ascii_lowercase();
    encoded_command(text, &lower, found, out);
    base64_calls(text, &lower, found, out);
    base64_pipe(text, &lower, found, out);
    char_casts(&lower, found);
    hex_escapes(text, &lower, found, out);
    if let Some(plain) = undisguise(text) {
        found.push(plain);
    }
    unreadable(&lower, out);
}

/// Is this word an abbreviation of `-EncodedCommand`? (`-e`, `-ec`, `-enc`, `/enc`, with any dash.)
#[must_use]
pub fn is_encoded_flag(word: &str) -> bool {
    let Some(name) = word.strip_prefix(['-', '/', '\u{2013}', '\u{2014}', '\u{2015}']) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    !name.is_empty() && ("encodedcommand".starts_with(&name) || name == "ec")
}

fn encoded_command(text: &str, lower: &str, found: &mut Vec<String>, out: &mut Decoded) {
    if !(lower.contains("powershell")
        || lower.contains("pwsh")
        || lower.contains("-enc")
        || lower.contains("/enc"))
    {
        return;
    }
    let mut expects = false;
    for word in text
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''))
        .filter(|w| !w.is_empty())
    {
        if expects && is_base64(word, 8) {
            match decode_blob(word) {
                Some(Blob::Text(inner)) => found.push(inner),
                Some(Blob::Binary(what)) => out.reasons.push(what),
                None => out.reasons.push("base64 that does not decode"),
            }
        } else if expects
            && (word.starts_with('$') || word.starts_with('(') || word.starts_with('%'))
        {
            out.reasons.push("encoded command from a variable");
        }
        expects = is_encoded_flag(word);
    }
}

fn base64_calls(text: &str, lower: &str, found: &mut Vec<String>, out: &mut Decoded) {
    for call in [
        "frombase64string(",
        "b64decode(",
        "base64_decode(",
        "atob(",
        "decode64(",
    ] {
        for (at, _) in lower.match_indices(call).take(MAX_TEXTS) {
            let rest = text.get(at + call.len()..).unwrap_or_default();
            let literal = rest.trim_start_matches(|c: char| {
                c.is_whitespace() || matches!(c, '(' | '"' | '\'' | '\\' | 'b')
            });
            let end = literal
                .bytes()
                .position(|b| !is_base64_byte(b))
                .unwrap_or(literal.len());
            let blob = literal.get(..end).unwrap_or_default();
            if !rest
                .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '(' | '\\' | 'b'))
                .starts_with(['"', '\''])
            {
                out.reasons.push("base64 of a variable");
                continue;
            }
            match decode_blob(blob) {
                Some(Blob::Text(inner)) => found.push(inner),
                Some(Blob::Binary(what)) => out.reasons.push(what),
                None => out.reasons.push("base64 that does not decode"),
            }
        }
    }
}

fn base64_pipe(text: &str, lower: &str, found: &mut Vec<String>, out: &mut Decoded) {
    let decodes = [
        "base64 -d",
        "base64 --d",
        "base64 -i",
        "base64 -w0 -d",
        "base64d",
        "base64 -a -d",
        "-base64 -d",
        "-d -base64",
        "enc -base64",
        "decode-base64",
    ];
    if !decodes.iter().any(|mark| lower.contains(mark)) {
        return;
    }
    let before = found.len();
    let words = text.split(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '|' | '<' | ';' | '`' | ')' | '(')
    });
    for word in words.filter(|w| is_base64(w, 8)).take(MAX_TEXTS) {
        match decode_blob(word) {
            Some(Blob::Text(inner)) => found.push(inner),
            Some(Blob::Binary(what)) if word.len() >= 24 => out.reasons.push(what),
            _ => {}
        }
    }
    if found.len() == before {
        out.reasons.push("base64 from a file or a pipe");
    }
}

/// Decodes one base64 blob and says what it holds; `None` where it is not base64 at all.
///
/// UTF-16LE is tried where every second byte is mostly zero, else UTF-8. Text means: at least 85% printable.
#[must_use]
pub fn decode_blob(blob: &str) -> Option<Blob> {
    let mut clean: Vec<u8> = Vec::with_capacity(blob.len().min(2 * MAX_BYTES));
    for byte in blob.bytes().take(2 * MAX_BYTES) {
        match byte {
            b'=' | b' ' | b'\r' | b'\n' => {}
            b'-' => clean.push(b'+'),
            b'_' => clean.push(b'/'),
            _ => clean.push(byte),
        }
    }
    if clean.len() % 4 == 1 {
        clean.pop(); // a truncated log line: read what is there
    }
    let bytes = LENIENT.decode(&clean).ok()?;
    Some(classify(&bytes))
}

fn classify(bytes: &[u8]) -> Blob {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Blob::Binary("gzip stream");
    }
    if bytes.starts_with(b"MZ") && bytes.len() > 32 {
        return Blob::Binary("executable image");
    }
    if bytes.starts_with(b"\x7fELF") {
        return Blob::Binary("executable image");
    }
    let odd_zero = bytes.chunks_exact(2).filter(|pair| pair[1] == 0).count();
    let wide = bytes.len() >= 4 && odd_zero * 10 >= bytes.len() / 2 * 7;
    let text = if wide {
        let units = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|c| c.unwrap_or('\u{fffd}'))
            .collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    let total = text.chars().count();
    let printable = text
        .chars()
        .filter(|c| (!c.is_control() || matches!(c, '\n' | '\r' | '\t')) && *c != '\u{fffd}')
        .count();
    if total > 0 && printable * 100 >= total * 85 {
        Blob::Text(text)
    } else {
        Blob::Binary("binary data")
    }
}

/// A byte of the base64 alphabets, padding included.
pub(crate) const fn is_base64_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn is_base64(word: &str, least: usize) -> bool {
    word.len() >= least && word.bytes().all(is_base64_byte) && !word.starts_with('/')
}

/// `[char]104+[char]105`, `[char[]](104,105)`, `chr(104)`, `char(104)`: at least three in a row of the line.
fn char_casts(lower: &str, found: &mut Vec<String>) {
    let mut text = String::new();
    if let Some((_, list)) = lower.split_once("[char[]]") {
        let list = list.trim_start_matches([' ', '(', '@']);
        text.extend(
            list.split(|c: char| !c.is_ascii_alphanumeric())
                .take_while(|n| number(n).is_some())
                .take(MAX_BYTES)
                .filter_map(number),
        );
        push_if_long(&mut text, found);
    }
    for (mark, hex_ok) in [("[char]", true), ("chr(", true), ("char(", true)] {
        for (at, _) in lower.match_indices(mark) {
            let rest = lower
                .get(at + mark.len()..)
                .unwrap_or_default()
                .trim_start_matches(['(', ' ', '\'']);
            let end = rest
                .bytes()
                .take(10)
                .position(|b| !b.is_ascii_alphanumeric())
                .unwrap_or(rest.len().min(10));
            if let Some(c) = rest.get(..end).and_then(number).filter(|_| hex_ok) {
                text.push(c);
            }
        }
        push_if_long(&mut text, found);
    }
}

fn push_if_long(text: &mut String, found: &mut Vec<String>) {
    if text.chars().count() >= 3 {
        found.push(text.clone());
    }
    text.clear();
}

fn number(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code)
}

fn hex_escapes(text: &str, lower: &str, found: &mut Vec<String>, out: &mut Decoded) {
    let escapes = lower.matches("\\x").count();
    if escapes >= 4 {
        let mut bytes = Vec::with_capacity(escapes);
        for (at, _) in lower.match_indices("\\x") {
            if let Some(byte) = lower
                .get(at + 2..at + 4)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            {
                bytes.push(byte);
            }
        }
        match classify(&bytes) {
            Blob::Text(inner) => found.push(inner),
            Blob::Binary(_) => out.reasons.push("byte escapes that are no text"),
        }
    }
    if lower.matches("0x").count() >= 16
        && lower.matches(",0x").count() + lower.matches(", 0x").count() >= 15
    {
        out.reasons.push("byte array");
    }
    let reverse = lower.contains("xxd -r") || lower.contains("unhex") || lower.contains("fromhex");
    for run in text.split(|c: char| !c.is_ascii_hexdigit()) {
        let least = if reverse { 8 } else { 80 };
        if run.len() >= least
            && run.len().is_multiple_of(2)
            && out.texts.len() + found.len() < MAX_TEXTS
        {
            let bytes: Vec<u8> = (0..run.len())
                .step_by(2)
                .filter_map(|i| u8::from_str_radix(run.get(i..i + 2)?, 16).ok())
                .collect();
            match classify(&bytes) {
                Blob::Text(inner) => found.push(inner),
                Blob::Binary(what) if reverse || what != "binary data" => out.reasons.push(what),
                Blob::Binary(_) => {}
            }
        }
    }
}

/// Removes disguises that the shell removes: `^` (`cmd`), backticks inside words (`PowerShell`), `'a'+'b'` and `""`.
/// `None` where the text has none.
#[must_use]
pub fn undisguise(text: &str) -> Option<String> {
    let carets = text.contains('^') && text.to_ascii_lowercase().contains("cmd");
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut previous = '\0';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or('\0');
        let inside = previous.is_ascii_alphanumeric() || matches!(previous, '-' | '/' | '.' | '\0');
        let drop = match c {
            '^' => {
                carets || (inside && next.is_ascii_alphabetic() && previous.is_ascii_alphabetic())
            }
            '`' => previous.is_ascii_alphabetic() && next.is_ascii_lowercase(),
            _ => false,
        };
        if drop {
            changed = true;
            continue;
        }
        out.push(c);
        previous = c;
    }
    for joint in ["'+'", "\"+\"", "' + '", "\" + \""] {
        if out.contains(joint) {
            out = out.replace(joint, "");
            changed = true;
        }
    }
    // w""hoami, p'o'w: an empty or one-letter quote inside a word
    if let Some(plain) = unquote_inside(&out) {
        out = plain;
        changed = true;
    }
    (changed && out != text).then_some(out)
}

fn unquote_inside(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 1;
    while at + 2 < bytes.len() {
        let quote = bytes[at];
        if matches!(quote, b'"' | b'\'') && bytes[at - 1].is_ascii_alphabetic() {
            let close = if bytes[at + 1] == quote {
                Some(at + 1)
            } else {
                (bytes[at + 2] == quote && bytes[at + 1].is_ascii_alphabetic()).then_some(at + 2)
            };
            if let Some(close) =
                close.filter(|c| bytes.get(c + 1).is_some_and(u8::is_ascii_alphabetic))
            {
                let target = out.get_or_insert_default();
                target.push_str(text.get(copied..at).unwrap_or_default());
                target.push_str(text.get(at + 1..close).unwrap_or_default());
                copied = close + 1;
                at = copied;
                continue;
            }
        }
        at += 1;
    }
    out.map(|mut plain| {
        plain.push_str(text.get(copied..).unwrap_or_default());
        plain
    })
}

/// Constructs that build or transform text at run time: never decoded, always reported.
fn unreadable(lower: &str, out: &mut Decoded) {
    const MARKS: &[(&str, &str)] = &[
        (":~", "substring of a variable"),
        ("-bxor", "xor loop"),
        ("deflatestream", "compressed stream"),
        ("gzipstream", "compressed stream"),
        ("io.compression", "compressed stream"),
        ("gunzip -c |", "compressed stream"),
        ("[array]::reverse", "reversed text"),
        ("| rev |", "reversed text"),
        ("tochararray()", "string building"),
        ("}' -f", "string building"),
        ("}\" -f", "string building"),
        ("}'-f", "string building"),
        ("}\"-f", "string building"),
        ("[convert]::toint", "string building"),
        ("-join[", "string building"),
        ("-join (", "string building"),
        ("securestring", "protected string"),
        ("marshalled", "marshalled code"),
        ("zlib.decompress", "compressed stream"),
        ("gzinflate", "compressed stream"),
        ("codecs.decode", "string building"),
        ("pack(\"h", "string building"),
        ("rot13", "string building"),
        ("openssl enc -d", "encrypted data"),
        ("-aes-256-cbc -d", "encrypted data"),
        ("uudecode", "uuencoded data"),
    ];
    for (mark, reason) in MARKS {
        if lower.contains(mark) && (*mark != ":~" || lower.contains('%') || lower.contains('!')) {
            out.reasons.push(reason);
        }
    }
    let pieces = split(lower).pieces;
    let sets = pieces.windows(2).any(|w| matches!(w, [Piece::Word(a), Piece::Word(b)] if base_name(&a.text) == "call" && b.text.starts_with('%')));
    if sets {
        out.reasons.push("command built from variables");
    }
}

#[cfg(test)]
mod tests;
