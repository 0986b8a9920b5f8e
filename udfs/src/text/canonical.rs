//! The canonical text of a command line: what stays the same when the same thing is run again.
//!
//! What: white space is collapsed (a line break becomes `;`), quotes that only quote go, case is folded where the system
//! folds it, and volatile parts become typed placeholders: `<guid>`, `<sid>`, `<hash>`, `<hex>`, `<ip>`, `<host>`,
//! `<email>`, `<user>`, `<date>`, `<time>`, `<ver>`, `<num>`, `<tmp>`, `<b64>`, `<query>`, `<mac>`. The hash of this text
//! is the template ([`template_hash`]); prevalence is counted and near-duplicates are compared on it.
//!
//! Decisions:
//! * Quotes round white space or an operator stay: `rm "a b"` is not `rm a b`.
//! * Every run of digits is a number, but for names whose digits mean something (`sha256`, `system32`, see
//!   `volatile`), the program's own name, names of flags (`-ps2`), descriptors (`2>&1`), the mode of `chmod` and the signal of
//!   `kill`.
//! * A base64 blob that decodes to text becomes `<enc:…>` with the hash of *its own* canonical text: two encoded commands
//!   that differ in a number are one template, two that differ in a verb are not. An unreadable one that is executed keeps its own
//!   hash; other blobs (certificates, GPU preferences) are `<b64>`.
//! * A bare name is a host or a user where its place says so: after `--host`, `ping`, `net user` (see `slots`).
//! * What is decoded out of a Windows line is read as one: case folded, PowerShell's escapes inside words dropped.
//! * A path in a temporary directory keeps only its extension, unless it is the program or names something sensitive (`lsass.dmp`).
//! * Linux keeps its case: `-R` is not `-r`. Windows lines are folded whole.
//!
//! Tried and left: regular expressions (quadratic on hostile lines), and lower-casing everything (merges `-R` with `-r`).
//!
//! Cost: linear, two passes and one decoding of each blob, about 4 µs for 100 bytes; a hostile line of 1 MiB stays linear.

mod blobs;
mod paths;
mod slots;
mod tidy;
mod volatile;

use self::slots::{Slot, value_placeholder};
use self::tidy::tidied;
use self::volatile::{ipv4, is_named, match_at, run_end};
use super::words::{looks_windows, operator_end};
use std::borrow::Cow;

/// Writes the canonical text of `line` to `out` (cleared first).
pub fn canonical(line: &str, out: &mut String) {
    canonical_at_depth(line, out, 0, false);
}

/// 128 bits of the hash of the [`comparable`] canonical text, in hexadecimal: the key of the template.
#[must_use]
pub fn template_hash(line: &str) -> String {
    let mut text = String::new();
    canonical(line, &mut text);
    hash_hex(&comparable(&text))
}

/// A canonical text as lines are compared by it: a host is a host, by name or by address, and a number is a number, whether
/// letters are among its hexadecimal digits or not (`000000c0`, `00000084`). Templates, guard keys and the lexical embedding
/// are of this text.
#[must_use]
pub fn comparable(canonical: &str) -> Cow<'_, str> {
    if canonical.contains("<ip>") || canonical.contains("<hex>") {
        Cow::Owned(
            canonical
                .replace("<ip>", "<host>")
                .replace("<hex>", "<num>"),
        )
    } else {
        Cow::Borrowed(canonical)
    }
}

/// 128 bits of a text's BLAKE3 hash, in hexadecimal.
#[must_use]
pub(crate) fn hash_hex(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// `windows`: the line was decoded out of one that Windows reads.
fn canonical_at_depth(line: &str, out: &mut String, depth: usize, windows: bool) {
    out.clear();
    let tidy = tidied(line);
    let lower = tidy
        .get(..floor(&tidy, 4096))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut scan = Scan {
        text: &tidy,
        bytes: tidy.as_bytes(),
        windows: windows || looks_windows(line),
        remote_shell: ["ssh ", "scp ", "sftp ", "rsync ", "mosh ", "ssh-copy-id"]
            .iter()
            .any(|p| lower.contains(p)),
        decodes: ["base64", "-enc", "/enc", "-e ", "-ec "]
            .iter()
            .any(|mark| lower.contains(mark)),
        depth,
        out,
        at: 0,
        word_start: 0,
        program: true,
        chmod: false,
        quoted: false,
        url_end: 0,
        tmp_checked: 0,
        name: String::new(),
        slot: Slot::Any,
        value: false,
    };
    scan.run();
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about the present position"
)]
struct Scan<'a, 'o> {
    text: &'a str,
    bytes: &'a [u8],
    windows: bool,
    remote_shell: bool,
    decodes: bool,
    depth: usize,
    out: &'o mut String,
    at: usize,
    /// Where the present word starts in the tidied text.
    word_start: usize,
    /// The present word is a program's name.
    program: bool,
    /// The present command is `chmod`.
    chmod: bool,
    /// Inside a quoted part that was kept.
    quoted: bool,
    url_end: usize,
    /// Up to here no temporary directory starts.
    tmp_checked: usize,
    /// Name of the present command's program, as it is written.
    name: String,
    /// What the command's next plain word is.
    slot: Slot,
    /// The present word is the value of a flag that was before the program's name (`sudo -u bob`).
    value: bool,
}

impl Scan<'_, '_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if byte == b' ' {
                self.space();
            } else if matches!(byte, b'"' | b'\'') {
                self.out.push(char::from(byte));
                self.quoted = !self.quoted;
                self.at += 1;
            } else if !(byte == b'$' && self.quoted)
                && let Some(end) = operator_end(self.bytes, self.at)
                && (!byte.is_ascii_digit() || self.at == self.word_start)
                && self.at >= self.url_end
            {
                self.copy_to(end);
                self.word_start = self.at;
                if !self.quoted && !matches!(byte, b'<' | b'>' | b'0'..=b'9') {
                    self.program = true;
                    self.chmod = false;
                    self.slot = Slot::Any;
                }
            } else if byte == b'?' && self.at < self.url_end {
                self.out.push_str("?<query>");
                self.at = self.url_end;
            } else if self.volatile_path() {
                // written
            } else if byte.is_ascii_alphanumeric() {
                self.alphanumeric();
            } else if matches!(byte, b'=' | b':') && self.flag_value() {
                // written
            } else {
                let c = self
                    .text
                    .get(self.at..)
                    .and_then(|rest| rest.chars().next())
                    .unwrap_or(' ');
                self.push(c);
                self.at += c.len_utf8();
            }
        }
    }

    fn push(&mut self, c: char) {
        if c.is_ascii() {
            let folded = c.to_ascii_lowercase();
            self.out.push(if self.windows { folded } else { c });
        } else if self.windows {
            self.out.extend(c.to_lowercase());
        } else {
            self.out.push(c);
        }
    }

    fn copy_to(&mut self, end: usize) {
        let part = self.text.get(self.at..end).unwrap_or_default();
        let start = self.out.len();
        if self.windows && !part.is_ascii() {
            self.out.extend(part.chars().flat_map(char::to_lowercase));
        } else {
            self.out.push_str(part);
            if self.windows
                && let Some(copied) = self.out.get_mut(start..)
            {
                copied.make_ascii_lowercase();
            }
        }
        self.at = end;
    }

    fn emit(&mut self, end: usize, placeholder: &str) {
        self.out.push_str(placeholder);
        self.at = end;
    }

    fn space(&mut self) {
        let word = self.text.get(self.word_start..self.at).unwrap_or_default();
        let value = std::mem::take(&mut self.value);
        if self.program && !value && !word.is_empty() && !self.quoted {
            let name = super::words::base_name(word);
            self.chmod = matches!(name, "chmod" | "umask");
            // what follows a wrapper, its flags or an assignment is a program again
            self.program = word.starts_with('-')
                || (word.starts_with('/') && word.len() <= 3)
                || matches!(
                    name,
                    "sudo" | "nohup" | "env" | "exec" | "time" | "call" | "start" | "xargs"
                )
                || (word.contains('=') && !word.starts_with('-'));
            if !word.starts_with('-') {
                self.named(word);
            }
        } else if !self.quoted
            && matches!(word, "/c" | "/C" | "/k" | "/K")
            && self.name.eq_ignore_ascii_case("cmd")
        {
            self.program = true;
        }
        let placeholder = value_placeholder(&self.name, word);
        self.out.push(' ');
        self.at += 1;
        self.word_start = self.at;
        if let Some(placeholder) = placeholder
            && !self.quoted
            && self
                .bytes
                .get(self.at)
                .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'\\')
        {
            let end = self.at
                + self.bytes[self.at..]
                    .iter()
                    .take_while(|b| **b != b' ')
                    .count();
            self.value = self.program;
            self.emit(end, placeholder);
        } else if !self.quoted
            && let Some((end, placeholder)) = self.slot_value(word)
        {
            self.emit(end, placeholder);
        }
    }

    /// `--host=x`, `/node:x`, `/user:x`: the value gives way.
    fn flag_value(&mut self) -> bool {
        let name = self.text.get(self.word_start..self.at).unwrap_or_default();
        let Some(placeholder) = value_placeholder(&self.name, name) else {
            return false;
        };
        let start = self.at + 1;
        let end = start
            + self
                .bytes
                .get(start..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| !matches!(b, b' ' | b'"'))
                .count();
        self.copy_to(start);
        if end > start {
            self.emit(end, placeholder);
        }
        true
    }

    fn alphanumeric(&mut self) {
        let (at, end) = (self.at, run_end(self.bytes, self.at));
        let before = at.checked_sub(1).map_or(b' ', |i| self.bytes[i]);
        if self.bytes.get(end..end + 3) == Some(b"://") {
            return self.url(end + 3);
        }
        if !matches!(before, b'/' | b'+') && self.blob() {
            return;
        }
        let run = &self.bytes[at..end];
        // Most runs are words: every volatile part has a digit in its first run, or goes on after it.
        let goes_on = matches!(
            self.bytes.get(end),
            Some(b'.' | b'-' | b'_' | b'+' | b'@' | b':')
        );
        if !goes_on && !run.iter().any(u8::is_ascii_digit) {
            return self.copy_to(end);
        }
        let word = &self.bytes[self.word_start..at];
        let mode = self.chmod
            && word.is_empty()
            && run.len() <= 4
            && run.iter().all(u8::is_ascii_digit)
            && self.bytes.get(end).is_none_or(|b| *b != b'.');
        // `kill -9` is another thing than `kill -2`
        let signal = word == b"-"
            && run.len() <= 2
            && run.iter().all(u8::is_ascii_digit)
            && matches!(self.name.as_str(), "kill" | "pkill" | "killall");
        if mode || signal {
            return self.copy_to(end);
        }
        // a variable named at random
        if before == b'$'
            && (3..=8).contains(&run.len())
            && run.iter().all(u8::is_ascii_hexdigit)
            && run.iter().any(u8::is_ascii_digit)
        {
            return self.emit(end, "<hex>");
        }
        if run.len() <= 3
            && run[0].eq_ignore_ascii_case(&b'v')
            && run[1..].iter().all(u8::is_ascii_digit)
            && self.bytes.get(end) == Some(&b'.')
        {
            // `v1.0`, `v4.0.30319`
            let tail = self.bytes[end..]
                .iter()
                .take(32)
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .count();
            let tail = if self.bytes[end + tail - 1] == b'.' {
                tail - 1
            } else {
                tail
            };
            if tail > 0 {
                return self.emit(end + tail, "v<ver>");
            }
        }
        if let Some((matched, placeholder)) = match_at(self.bytes, at, end, self.remote_shell) {
            // `7z` is a name
            let named_tail =
                matched < end && run[0].is_ascii_digit() && placeholder == "<num>" && self.program;
            if !named_tail {
                return self.emit(matched, placeholder);
            }
        }
        let flag = word.first() == Some(&b'-') && !word.iter().any(|b| matches!(b, b'=' | b':'));
        let short = word == b"-" && run.len() > 1 && run[1..].iter().all(u8::is_ascii_digit);
        let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
        let library = matches!(self.bytes.get(end..end + 4), Some(t) if [b".dll".as_slice(), b".sys", b".cpl", b".ocx"].iter().any(|e| e.eq_ignore_ascii_case(t)));
        let keep = digits == 0
            || (flag && !short)
            || is_named(run)
            || (digits <= 3 && (self.program || library));
        if keep {
            return self.copy_to(end);
        }
        while self.at < end {
            if self.bytes[self.at].is_ascii_digit() {
                let after = self.at
                    + self.bytes[self.at..end]
                        .iter()
                        .take_while(|b| b.is_ascii_digit())
                        .count();
                self.emit(after, "<num>");
            } else {
                let after = self.at
                    + self.bytes[self.at..end]
                        .iter()
                        .take_while(|b| !b.is_ascii_digit())
                        .count();
                self.copy_to(after);
            }
        }
    }

    fn url(&mut self, host: usize) {
        let ends = |b: &u8| {
            matches!(
                b,
                b' ' | b'"' | b'\'' | b')' | b'|' | b'<' | b'>' | b';' | b'`' | b','
            )
        };
        let rest = self.bytes.get(host..).unwrap_or_default();
        let path = host
            + rest
                .iter()
                .take_while(|b| !ends(b) && !matches!(b, b'/' | b'?' | b'#' | b'&' | b'\\'))
                .count();
        // a URL inside a URL ends where the outer one does: each byte is looked at once
        let inside = self.at < self.url_end;
        let mut end = if inside { self.url_end.max(path) } else { path };
        let mut query = false;
        while let Some(byte) = self.bytes.get(end).filter(|_| !inside) {
            query |= *byte == b'?';
            let joins = *byte == b'&'
                && (!query || matches!(self.bytes.get(end + 1), None | Some(b'&' | b' ')));
            if ends(byte) || joins {
                break;
            }
            end += 1;
        }
        self.copy_to(host);
        self.url_end = end;
        let authority = self.bytes.get(host..path).unwrap_or_default();
        let name = authority
            .iter()
            .rposition(|b| *b == b'@')
            .map_or(host, |i| host + i + 1);
        if name > host {
            self.out.push_str("<user>@");
        }
        if path > name {
            self.out.push_str(if ipv4(self.bytes, name).is_some() {
                "<ip>"
            } else {
                "<host>"
            });
            if self.bytes[name..path].contains(&b':') {
                self.out.push_str(":<num>");
            }
        }
        self.at = path;
    }
}

#[cfg(test)]
mod tests;
