//! Base64 in the second pass of [`super`]: what decodes to text is told apart by that text, the rest is one placeholder.
//!
//! Cost: each run of base64 characters is looked at once, decoded once and made canonical once.

use super::super::decode::{Blob, MAX_DEPTH, decode_blob, is_encoded_flag};
use super::{Scan, canonical_at_depth, hash_hex};

impl Scan<'_, '_> {
    /// A base64 blob at the present position.
    pub(super) fn blob(&mut self) -> bool {
        let at = self.at;
        let rest = &self.bytes[at..];
        let body = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
            .count();
        let padding = rest[body..]
            .iter()
            .take(2)
            .take_while(|b| **b == b'=')
            .count();
        let end = at + body + padding;
        let executed = self.decodes && self.executed_blob();
        let least = if executed || (self.decodes && padding > 0) {
            8
        } else {
            40
        };
        if body + padding < least {
            return false;
        }
        let run = &rest[..body];
        let mixed = run.iter().any(u8::is_ascii_uppercase)
            && run.iter().any(u8::is_ascii_lowercase)
            && (padding > 0 || run.iter().any(u8::is_ascii_digit));
        let slashes = run.split(|b| *b == b'/').count() - 1;
        if !(mixed || executed) || slashes * 16 > body + 15 || run.iter().all(u8::is_ascii_hexdigit)
        {
            return false;
        }
        let blob = self.text.get(at..end).unwrap_or_default();
        let placeholder = match decode_blob(blob) {
            Some(Blob::Text(inner)) if self.depth < MAX_DEPTH => {
                let mut nested = String::new();
                let inner = if self.windows {
                    unescaped(&inner)
                } else {
                    inner
                };
                canonical_at_depth(&inner, &mut nested, self.depth + 1, self.windows);
                format!("<enc:{}>", hash_hex(&nested))
            }
            Some(Blob::Binary(_)) if !executed => "<b64>".to_owned(),
            None if !mixed || body < 40 => return false,
            _ => format!("<enc:{}>", hash_hex(blob)),
        };
        self.emit(end, &placeholder);
        true
    }

    /// Is the word before an encoded-command flag, or does a call that decodes end right here?
    fn executed_blob(&self) -> bool {
        let start = self.at.saturating_sub(24);
        let before = self
            .bytes
            .get(start..self.at)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let tail = String::from_utf8_lossy(&before);
        let tail = tail.trim_end_matches(['"', '\'', '(', ' ']);
        tail.ends_with("base64string")
            || tail.ends_with("b64decode")
            || tail.rsplit(' ').next().is_some_and(|word| {
                tail.len() < before.len() && is_encoded_flag(word) && self.windows
            })
    }
}

/// `PowerShell` without the escapes that do nothing inside a word: ``Ge`t`` is `Get`.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let inside = |at: usize| {
        let near = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_alphanumeric)
        };
        near(at.checked_sub(1)) && near(Some(at + 1))
    };
    text.char_indices()
        .filter(|(at, c)| *c != '`' || !inside(*at))
        .map(|(_, c)| c)
        .collect()
}
