//! Words of a command line, and their hash.
//!
//! **What.** A *word* is a maximal run of characters that are neither whitespace nor a delimiter. The delimiters are
//! those of msticpy's `commandlineTokensFull` (`- \ / . , " ' | & : ; % $ ( )`), plus `= < > [ ] { }`: `--user=bob`
//! and `a>b` hold two words each. Words are what the corpus model counts; they are a view over the line, so that
//! splitting allocates nothing.
//!
//! **Why the hash is written here.** A model is kept for months and read by other builds, so the hash of a word must
//! never change: FNV-1a over the bytes (ASCII upper case folded, the escapes `` ` `` and `^` left out, since a shell
//! drops them), closed with the `MurmurHash3` finaliser, which repairs FNV's weak low bits. `ahash` and the standard
//! library promise no such stability. Non-ASCII letters are not folded: Unicode's case tables change between
//! releases.
//!
//! **Numbers.** A corpus has endless different process ids, ports, GUIDs and digests; each would look like the rarest
//! word there is. They hash by class: five digits or more are one word, hexadecimal of one digest length is one
//! word, and other hexadecimal with both a digit and a letter, from four characters on, is one word.
//!
//! **Cost.** One table look-up and one multiplication a byte; nothing is allocated.

/// Whitespace: `\t`, `\n`, vertical tab, form feed, `\r` and space.
pub(crate) const SPACE: u16 = 1;
/// A delimiter of msticpy's `commandlineTokensFull`, whitespace included.
pub(crate) const DELIMITER: u16 = 1 << 1;
/// Ends a word: the delimiters and `= < > [ ] { }`.
pub(crate) const SEPARATOR: u16 = 1 << 2;
/// `A-Z`.
pub(crate) const UPPER: u16 = 1 << 3;
/// `a-z`.
pub(crate) const LOWER: u16 = 1 << 4;
/// `0-9`.
pub(crate) const DIGIT: u16 = 1 << 5;
/// `0-9 a-f A-F`.
pub(crate) const HEX: u16 = 1 << 6;
/// The base64 alphabet without its padding.
pub(crate) const BASE64: u16 = 1 << 7;
/// Left out of the hash: `` ` `` and `^`.
pub(crate) const ESCAPE: u16 = 1 << 8;
/// `A-Z a-z`.
pub(crate) const LETTER: u16 = UPPER | LOWER;
/// A letter, a digit or `_`.
pub(crate) const WORD: u16 = 1 << 9;

/// The classes of every ASCII character.
pub(crate) const CLASS: [u16; 128] = classes();

const fn classes() -> [u16; 128] {
    let mut table = [0; 128];
    let mut code: u8 = 0;
    while code < 128 {
        let mut class = match code {
            b'\t'..=b'\r' | b' ' => SPACE | DELIMITER | SEPARATOR,
            b'-' | b'\\' | b'.' | b',' | b'"' | b'\'' | b'|' | b'&' | b':' | b';' | b'%' | b'$'
            | b'(' | b')' => DELIMITER | SEPARATOR,
            b'/' => DELIMITER | SEPARATOR | BASE64,
            b'=' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' => SEPARATOR,
            b'A'..=b'Z' => UPPER | BASE64 | WORD,
            b'a'..=b'z' => LOWER | BASE64 | WORD,
            b'0'..=b'9' => DIGIT | HEX | BASE64 | WORD,
            b'+' => BASE64,
            b'`' | b'^' => ESCAPE,
            b'_' => WORD,
            _ => 0,
        };
        if matches!(code, b'a'..=b'f' | b'A'..=b'F') {
            class |= HEX;
        }
        table[code as usize] = class;
        code += 1;
    }
    table
}

/// The classes of a character; of the characters beyond ASCII only whitespace has any.
#[inline]
pub(crate) fn class_of(c: char) -> u16 {
    match CLASS.get(c as usize) {
        Some(class) => *class,
        None if c.is_whitespace() => SPACE | DELIMITER | SEPARATOR,
        None => 0,
    }
}

/// The words of a line, in order, as slices of it.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    rest: &'a str,
}

/// Splits a line into its words. Time: linear; memory: none.
#[must_use]
pub fn words(line: &str) -> Words<'_> {
    Words { rest: line }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let separates = |c: char| class_of(c) & SEPARATOR != 0;
        let start = self.rest.find(|c| !separates(c))?;
        let tail = self.rest.get(start..)?;
        let end = tail.find(separates).unwrap_or(tail.len());
        let (word, rest) = tail.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of one word, fed a character at a time, so that a pass over a line hashes its words on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WordHasher {
    state: u64,
    length: u32,
    seen: u16,
    shared: u16,
}

impl WordHasher {
    pub(crate) const NEW: Self = Self {
        state: FNV_OFFSET,
        length: 0,
        seen: 0,
        shared: u16::MAX,
    };

    /// Adds an ASCII character of the given classes.
    #[inline]
    pub(crate) fn push_ascii(&mut self, byte: u8, class: u16) {
        if class & ESCAPE == 0 {
            self.state =
                (self.state ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(FNV_PRIME);
            self.length = self.length.saturating_add(1);
            self.seen |= class;
            self.shared &= class;
        }
    }

    /// Adds any character.
    pub(crate) fn push(&mut self, c: char) {
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            let class = CLASS.get(usize::from(byte)).copied().unwrap_or(0);
            self.push_ascii(byte, class);
        }
    }

    /// The hash, or nothing when no character counted; starts anew.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<u64> {
        let word = std::mem::replace(self, Self::NEW);
        (word.length > 0).then(|| mix(word.class_or_state()))
    }

    fn class_or_state(&self) -> u64 {
        if self.shared & DIGIT != 0 && self.length >= 5 {
            return 1;
        }
        if self.shared & HEX != 0 && self.seen & DIGIT != 0 {
            return match self.length {
                32 | 40 | 56 | 64 | 128 => u64::from(self.length),
                4.. if self.seen & LETTER != 0 => 2,
                _ => self.state,
            };
        }
        self.state
    }
}

/// The finaliser of `MurmurHash3` (Appleby), a bijection whose every output bit depends on every input bit.
#[inline]
pub(crate) const fn mix(mut state: u64) -> u64 {
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^= state >> 33;
    state = state.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

/// The 64-bit hash of a word: the same on every platform and in every version; blind to ASCII case, to the escapes
/// `` ` `` and `^`, and to the digits of long numbers. A word of escapes alone hashes to 0.
#[must_use]
pub fn token_hash(word: &str) -> u64 {
    let mut hasher = WordHasher::NEW;
    for c in word.chars() {
        match u8::try_from(c).ok().filter(u8::is_ascii) {
            Some(byte) => {
                hasher.push_ascii(byte, CLASS.get(usize::from(byte)).copied().unwrap_or(0));
            }
            None => hasher.push(c),
        }
    }
    hasher.take().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_whitespace_and_delimiters() {
        let line = "\"C:\\a b\\x.exe\"  --user=bob|grep\u{a0}é[0]";
        let found: Vec<_> = words(line).collect();
        assert_eq!(
            found,
            ["C", "a", "b", "x", "exe", "user", "bob", "grep", "é", "0"]
        );
    }

    #[test]
    fn a_line_of_separators_has_no_words() {
        assert_eq!(words(" \t-/\\\"'|").count(), 0);
        assert_eq!(words("").count(), 0);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(token_hash("powershell"), 0x4427_d0d4_2164_76a6);
        assert_eq!(token_hash("é"), 0x9d55_ccb9_ba86_763b);
    }

    #[test]
    fn the_hash_is_blind_to_case_and_escapes() {
        assert_eq!(token_hash("PowerShell"), token_hash("p^ower`shell"));
        assert_ne!(token_hash("powershell"), token_hash("powershel"));
        assert_eq!(token_hash("^"), 0);
    }

    #[test]
    fn long_numbers_and_digests_hash_by_class() {
        assert_eq!(token_hash("12345"), token_hash("9876543210"));
        assert_ne!(token_hash("1234"), token_hash("4321"));
        assert_eq!(token_hash("1f3a"), token_hash("00deadbeef"));
        assert_ne!(token_hash("dead"), token_hash("beef"));
        assert_eq!(token_hash(&"0a".repeat(16)), token_hash(&"9F".repeat(16)));
        assert_ne!(token_hash(&"0a".repeat(16)), token_hash(&"0a".repeat(32)));
    }
}
