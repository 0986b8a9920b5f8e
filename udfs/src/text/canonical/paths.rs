//! Paths in the second pass of [`super`]: temporary directories, hosts of network paths, users' directories.
//!
//! Cost: a bounded look at each place where a path can start; a path itself is read once.

use super::super::guard::SENSITIVE;
use super::Scan;
use super::volatile::run_end;

impl Scan<'_, '_> {
    /// Temporary directories, UNC hosts, and the user's name in a home directory.
    pub(super) fn volatile_path(&mut self) -> bool {
        let before = self.at.checked_sub(1).map_or(b' ', |i| self.bytes[i]);
        let byte = self.bytes[self.at];
        if self.at >= self.tmp_checked
            && !before.is_ascii_alphanumeric()
            && (byte.is_ascii_alphabetic() || matches!(byte, b'%' | b'$' | b'/' | b'\\'))
        {
            if let Some(length) = temporary_directory(&self.bytes[self.at..], before) {
                self.temporary_path(length);
                return true;
            }
            self.tmp_checked = self.at + 1;
        }
        if byte == b'\\'
            && self.bytes.get(self.at + 1) == Some(&b'\\')
            && matches!(before, b' ' | b'"' | b'\'' | b'=' | b':' | b',' | b'(')
        {
            let host = self.at + 2;
            let length = self.bytes[host..]
                .iter()
                .take(256)
                .take_while(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'$' | b'@')
                })
                .count();
            if length > 0 && length < 256 && self.bytes[host] != b'.' {
                self.emit(host + length, "\\\\<host>");
                return true;
            }
        }
        if byte.is_ascii_alphabetic() && matches!(before, b'\\' | b'/') {
            let end = run_end(self.bytes, self.at);
            let root = &self.bytes[self.at..end];
            let separator = self.bytes.get(end).copied().unwrap_or(0);
            let home = root.eq_ignore_ascii_case(b"users")
                || (root == b"home" && before == b'/' && self.at <= self.word_start + 2);
            if home && matches!(separator, b'\\' | b'/') {
                let start = end
                    + 1
                    + self.bytes[end + 1..]
                        .iter()
                        .take(3)
                        .take_while(|b| **b == separator)
                        .count();
                let length = self.bytes[start..]
                    .iter()
                    .take(128)
                    .take_while(|b| {
                        !matches!(
                            b,
                            b'\\' | b'/' | b'"' | b'\'' | b';' | b'|' | b'&' | b'>' | b'<' | b')'
                        ) && (**b != b' ' || self.quoted)
                    })
                    .count();
                let name = self.bytes.get(start..start + length).unwrap_or_default();
                let shared = [
                    b"public".as_slice(),
                    b"default",
                    b"shared",
                    b"all users",
                    b"default user",
                ]
                .iter()
                .any(|s| s.eq_ignore_ascii_case(name));
                if length > 0
                    && length < 128
                    && !shared
                    && !matches!(name[0], b'%' | b'$' | b'*' | b'<')
                {
                    self.copy_to(start);
                    self.emit(start + length, "<user>");
                    return true;
                }
            }
        }
        false
    }

    fn temporary_path(&mut self, prefix: usize) {
        let start = self.at + prefix;
        let ends = |b: &u8| {
            matches!(
                b,
                b'"' | b'\'' | b'|' | b';' | b'&' | b'<' | b'>' | b')' | b',' | b'`'
            ) || (*b == b' ')
        };
        let end = start
            + self
                .bytes
                .get(start..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| !ends(b))
                .count();
        let path = self.text.get(start..end).unwrap_or_default();
        let name = path.rsplit(['\\', '/']).next().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        self.out.push_str("<tmp>");
        let sensitive = SENSITIVE
            .iter()
            .any(|stem| stem.len() >= 4 && lower.contains(stem));
        if (self.program || sensitive) && !name.is_empty() {
            self.out.push('/');
            let name_at = end - name.len();
            self.at = name_at;
            let stem = generated(&lower);
            if stem > 0 && !sensitive {
                self.emit(name_at + stem, "<hex>");
            }
            while self.at < end {
                let at = self.at;
                if self.bytes[at].is_ascii_alphanumeric() {
                    self.alphanumeric();
                } else {
                    let c = self
                        .text
                        .get(at..)
                        .and_then(|rest| rest.chars().next())
                        .unwrap_or(' ');
                    self.push(c);
                    self.at += c.len_utf8();
                }
            }
        } else {
            if let Some((_, extension)) = lower.rsplit_once('.')
                && (1..=5).contains(&extension.len())
                && extension
                    .bytes()
                    .all(|b| b.is_ascii_alphabetic() || b == b'7')
            {
                self.out.push('.');
                self.out.push_str(extension);
            }
            self.at = end;
        }
    }
}

/// Bytes of a name's stem that nobody chose: hexadecimal with a digit in it, after `tmp` or not (`tmpa3d8.exe`).
fn generated(name: &str) -> usize {
    let stem = name.split('.').next().unwrap_or_default();
    let digits = stem.strip_prefix("tmp").unwrap_or(stem).as_bytes();
    let hex = digits.iter().all(u8::is_ascii_hexdigit);
    let made = digits.len() >= 4 && hex && digits.iter().any(u8::is_ascii_digit);
    if made { stem.len() } else { 0 }
}

/// Directories for temporary files, as they begin a path, longest first; matched without regard to case.
const TEMPORARY: &[&[u8]] = &[
    b"c:\\windows\\temp\\",
    b"%systemroot%\\temp\\",
    b"%windir%\\temp\\",
    b"appdata\\local\\temp\\",
    b"%localappdata%\\temp\\",
    b"$env:localappdata\\temp\\",
    b"c:\\temp\\",
    b"c:\\tmp\\",
    b"${env:temp}\\",
    b"$env:temp\\",
    b"$env:tmp\\",
    b"%temp%\\",
    b"%tmp%\\",
    b"/private/tmp/",
    b"/var/tmp/",
    b"/tmp/",
    b"/dev/shm/",
    b"/var/folders/",
    b"$tmpdir/",
    b"${tmpdir}/",
];

fn temporary_directory(rest: &[u8], before: u8) -> Option<usize> {
    let first = rest.first()?.to_ascii_lowercase();
    TEMPORARY
        .iter()
        .filter(|dir| dir[0] == first)
        .find(|dir| {
            rest.get(..dir.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(dir))
                && (dir[0] != b'/'
                    || !matches!(before, b'.' | b'}' | b'\\' | b'/' | b'*' | b'-' | b'_'))
        })
        .map(|dir| dir.len())
}
