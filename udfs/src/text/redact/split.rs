//! Words of a line with their places, for finders that must cut what they find.
//!
//! The splitter of [`super::super::words`] returns texts without quotes; here a place in the line is needed. A quote that is
//! never closed is an ordinary character.

/// A word, or an operator between commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Place of the content, quotes round the whole word left out.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The word was quoted and holds white space: perhaps a command of its own.
    pub(super) script: bool,
    /// Ends a command: `|`, `;`, `&`, a line break, a parenthesis.
    pub(super) operator: bool,
}

/// The pieces of `text[from..to]`.
pub(super) fn pieces(text: &str, from: usize, to: usize) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let mut out = vec![];
    let mut at = from;
    while at < to {
        let byte = bytes[at];
        if byte == b'\n' || matches!(byte, b'|' | b';' | b'&' | b'(' | b')' | b'{' | b'}') {
            out.push(piece(at, at + 1, false, true));
            at += 1;
        } else if byte.is_ascii_whitespace() {
            at += 1;
        } else {
            at = word(text, at, to, &mut out);
        }
    }
    out
}

fn piece(start: usize, end: usize, script: bool, operator: bool) -> Piece {
    Piece {
        start,
        end,
        script,
        operator,
    }
}

/// Reads the word at `start`; returns where it ends.
fn word(text: &str, start: usize, to: usize, out: &mut Vec<Piece>) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while at < to {
        let byte = bytes[at];
        if byte == b'\\' && bytes.get(at + 1).is_some_and(|b| matches!(b, b'"' | b'\'')) {
            at += 2;
        } else if matches!(byte, b'"' | b'\'' | b'`') {
            let closing = close(bytes, at, to);
            at = closing.map_or(at + 1, |end| end + 1);
        } else if byte.is_ascii_whitespace()
            || matches!(byte, b'|' | b';' | b'&' | b'\n')
            || (matches!(byte, b'(' | b')') && at == start)
        {
            break;
        } else {
            at += 1;
        }
    }
    let end = at.min(to).max(start + 1);
    let (mut inner, mut inner_end) = (start, end);
    let quoted = end - start >= 2
        && matches!(bytes[start], b'"' | b'\'' | b'`')
        && bytes[end - 1] == bytes[start]
        && close(bytes, start, to) == Some(end - 1);
    if quoted {
        inner += 1;
        inner_end -= 1;
    }
    let space = bytes[inner..inner_end].iter().any(u8::is_ascii_whitespace);
    out.push(piece(inner, inner_end, quoted && space, false));
    end
}

/// Where the quote at `open` is closed.
pub(super) fn close(bytes: &[u8], open: usize, to: usize) -> Option<usize> {
    let quote = bytes[open];
    let mut at = open + 1;
    while at < to {
        if bytes[at] == b'\\' && bytes.get(at + 1) == Some(&quote) && at + 2 < to {
            at += 2;
            continue;
        }
        if bytes[at] == quote {
            return Some(at);
        }
        at += 1;
    }
    None
}
