//! Takes secrets, user names and internal host names out of a command line before it leaves the machine.
//!
//! What: every secret becomes `<secret:KIND:LENGTH>`, so that a reader still sees that and what something was there; user and
//! internal host names become pseudonyms of a keyed hash (`<user:3fa91c>`), equal for equal names. Four finders look at the
//! same line: token formats of known issuers (`formats`), values that a name, header, URL or program's flag announces
//! (`named`), runs that look random (`random`), and names of people and machines (`people`).
//!
//! **It fails closed.** What was found is cut, and then the result is looked at again by the same finders and by a coarser
//! check that knows nothing of them ([`residue`]). Anything left, a line beyond [`MAX_BYTES`], or a key that begins and does not
//! end, is a [`Refusal`]: such a line is not sent, not cached and not logged. A secret found anywhere is cut wherever it
//! occurs again, also in what the line decodes to.
//!
//! Why hand-written finders: a line is hostile text, and each of them is one linear pass.
//!
//! Cost: about 10 µs for 100 bytes.

mod formats;
mod named;
mod people;
mod random;
mod split;

use std::collections::BTreeSet;
use std::fmt::Write as _;

pub use people::PseudonymKey;

/// Longer lines are refused: nobody has looked at what hides in them.
pub const MAX_BYTES: usize = 16 * 1024;

/// A secret shorter than this is cut where it was found, and not searched for elsewhere: `-p a` would blank every `a`.
const EVERYWHERE_BYTES: usize = 5;

/// A part of a line that must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: &'static str,
}

/// A line without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// What may be sent, stored and logged.
    pub text: String,
    /// What the line decodes to, redacted alike, in order.
    pub decoded: Vec<String>,
    /// Kinds of the secrets that were cut, sorted, without duplicates.
    pub kinds: Vec<&'static str>,
    /// How many parts were cut, pseudonyms not counted.
    pub secrets: usize,
    /// How many names became pseudonyms.
    pub pseudonyms: usize,
}

/// Why a line may not be sent. Fixed phrases: none holds a part of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not read whole.
    #[error("the line is longer than is redacted")]
    TooLong,
    /// A part of it is encoded and could not be read: a secret may hide there.
    #[error("a part of the line could not be decoded, so that nothing vouches for what it holds")]
    Undecoded,
    /// A look at the result found something that should have been cut.
    #[error("something like a secret was left after redaction ({0})")]
    Residue(&'static str),
}

/// Redacts a line and what it decodes to (see [`super::decode`]). `names` are user names known of the line's process;
/// they become pseudonyms wherever they stand as a word.
///
/// # Errors
/// When it cannot be shown that nothing secret is left.
pub fn redact(
    line: &str,
    decoded: &[String],
    names: &[&str],
    key: &PseudonymKey,
) -> Result<Redacted, Refusal> {
    if line.len() > MAX_BYTES || decoded.iter().map(String::len).sum::<usize>() > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    let texts: Vec<&str> = std::iter::once(line)
        .chain(decoded.iter().map(String::as_str))
        .collect();
    // What is secret anywhere is secret everywhere.
    let mut values: BTreeSet<(&str, &'static str)> = BTreeSet::new();
    let mut found = vec![];
    for text in &texts {
        let spans = secrets(text);
        for span in &spans {
            let value = text.get(span.start..span.end).unwrap_or_default();
            if value.len() >= EVERYWHERE_BYTES {
                values.insert((value, span.kind));
            }
        }
        found.push(spans);
    }
    let mut out = Redacted {
        text: String::new(),
        decoded: vec![],
        kinds: vec![],
        secrets: 0,
        pseudonyms: 0,
    };
    for (place, (text, mut spans)) in texts.iter().zip(found).enumerate() {
        for (value, kind) in &values {
            let places = text.match_indices(value).map(|(start, _)| Span {
                start,
                end: start + value.len(),
                kind,
            });
            spans.extend(places.filter(|span| stands_alone(text, span)));
        }
        let spans = merged(spans);
        out.secrets += spans.len();
        out.kinds.extend(spans.iter().map(|span| span.kind));
        let cut = replaced(text, &spans);
        let (cut, pseudonyms) = people::pseudonymised(&cut, names, key);
        out.pseudonyms += pseudonyms;
        if let Some(what) = residue(&cut) {
            return Err(Refusal::Residue(what));
        }
        if place == 0 {
            out.text = cut;
        } else {
            out.decoded.push(cut);
        }
    }
    out.kinds.sort_unstable();
    out.kinds.dedup();
    Ok(out)
}

/// Everything secret in a text, in no order, perhaps overlapping.
fn secrets(text: &str) -> Vec<Span> {
    let mut spans = formats::find(text);
    spans.extend(named::find(text));
    spans.extend(random::find(text));
    spans
}

/// Whether a secret's text, found again, is that secret. One of letters alone may be a word (`--password password`): it
/// must stand alone, and be no flag or variable.
fn stands_alone(text: &str, span: &Span) -> bool {
    let value = text.get(span.start..span.end).unwrap_or_default();
    if !value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
        return true;
    }
    let bytes = text.as_bytes();
    let before = span.start.checked_sub(1).and_then(|at| bytes.get(at));
    let after = bytes.get(span.end);
    let joins = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !before.is_some_and(|b| joins(b) || matches!(b, b'$' | b'/' | b'\\' | b'%' | b'{'))
        && !after.is_some_and(|b| joins(b) || matches!(b, b'=' | b':' | b'/' | b'\\' | b'('))
}

/// Spans in order, those that touch or overlap as one, under the name of the first. They lie on character boundaries.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.start < span.end);
    spans.sort_unstable();
    let mut out: Vec<Span> = vec![];
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

/// The text with each span replaced by its kind and its length in characters.
fn replaced(text: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        let length = text
            .get(span.start..span.end)
            .map_or(span.end - span.start, |cut| cut.chars().count());
        let _ = write!(out, "<secret:{}:{length}>", span.kind);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// What is left in a redacted text that should not be there: the finders once more, and a coarse look of its own.
#[must_use]
pub fn residue(text: &str) -> Option<&'static str> {
    if let Some(span) = secrets(text)
        .into_iter()
        .find(|span| !is_placeholder(text, span))
    {
        return Some(span.kind);
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("-----begin") && lower.contains("private key") {
        return Some("private_key");
    }
    // A word for a password, a sign of assignment, and then something that is no reference and no placeholder.
    for word in [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "api_key",
        "apikey",
        "access_key",
    ] {
        for (at, _) in lower.match_indices(word) {
            let rest = lower.get(at + word.len()..).unwrap_or_default();
            let rest = rest.trim_start_matches(['"', '\'']);
            let Some(value) = rest.strip_prefix('=') else {
                continue;
            };
            let value = value.trim_start_matches(['"', '\'', '=', ' ', '\\']);
            let plain = value.bytes().take_while(u8::is_ascii_graphic).count();
            let opens = value.starts_with([
                '<', '$', '%', '{', '(', '[', '*', '!', '@', '&', '|', ';', '/', '-', '.', ',',
                '?', ')', '`', '>', '}', ']', ':',
            ]);
            if plain >= 4
                && !opens
                && !named::is_no_secret(
                    value
                        .split([' ', '&', ';', '"', '\'', ')', ',', '|'])
                        .next()
                        .unwrap_or_default(),
                )
            {
                return Some("assignment");
            }
        }
    }
    None
}

/// Whether a span lies within, or is, something that redaction wrote.
fn is_placeholder(text: &str, span: &Span) -> bool {
    let inside = text.get(span.start..span.end).unwrap_or_default();
    let before = text.get(..span.start).unwrap_or_default();
    let open = before.rfind('<').map_or("", |at| &before[at..]);
    inside.contains("<secret:")
        || inside.starts_with("<user:")
        || inside.starts_with("<host:")
        || (!open.contains('>')
            && (open.starts_with("<secret:")
                || open.starts_with("<user:")
                || open.starts_with("<host:")))
}

#[cfg(test)]
mod tests;
