//! Recognises the parts of a command line that change from run to run: the matchers behind [`super`].
//!
//! What: each matcher looks at one position, the start of a run of letters and digits, and says where the volatile part
//! ends and which placeholder stands for it. Hand-written instead of regular expressions: they are anchored, they look at a
//! bounded number of bytes or at a run that is never looked at again, so a whole line is linear whatever it holds.
//!
//! The order is the meaning: URL, GUID, SID, `0x`, hash, hardware address, IP, time, e-mail, host, hex, version, number.
//! A hash is tried before plain hex and hex before digits; the other way round a hash rule hardly ever fires.

use std::sync::LazyLock;

/// A volatile part: where it ends and what stands for it.
pub(crate) type Match = (usize, &'static str);

/// The end of the run of ASCII letters and digits that starts at `at`.
pub(crate) fn run_end(bytes: &[u8], at: usize) -> usize {
    at + bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count()
}

/// Matches a volatile part at `at`, the start of a run of letters and digits that ends at `end`.
pub(crate) fn match_at(bytes: &[u8], at: usize, end: usize, remote_shell: bool) -> Option<Match> {
    guid(bytes, at)
        .or_else(|| sid(bytes, at))
        .or_else(|| zero_x(bytes, at, end))
        .or_else(|| hash(bytes, at, end))
        .or_else(|| hardware_address(bytes, at))
        .or_else(|| ipv4(bytes, at))
        .or_else(|| ipv6(bytes, at))
        .or_else(|| date_time(bytes, at))
        .or_else(|| email(bytes, at, remote_shell))
        .or_else(|| host_name(bytes, at))
        .or_else(|| hex(bytes, at, end))
        .or_else(|| version_or_number(bytes, at))
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn guid(bytes: &[u8], at: usize) -> Option<Match> {
    let end = at + 36;
    let text = bytes.get(at..end)?;
    let right = text.iter().enumerate().all(|(i, b)| {
        if matches!(i, 8 | 13 | 18 | 23) {
            *b == b'-'
        } else {
            b.is_ascii_hexdigit()
        }
    });
    (right && !byte(bytes, end).is_ascii_alphanumeric()).then_some((end, "<guid>"))
}

fn sid(bytes: &[u8], at: usize) -> Option<Match> {
    if !bytes.get(at..at + 4)?.eq_ignore_ascii_case(b"s-1-") {
        return None;
    }
    let length = bytes
        .get(at + 4..)?
        .iter()
        .take(200)
        .take_while(|b| b.is_ascii_digit() || **b == b'-')
        .count();
    (length >= 3).then_some((at + 4 + length, "<sid>"))
}

fn zero_x(bytes: &[u8], at: usize, end: usize) -> Option<Match> {
    let run = bytes.get(at..end)?;
    (run.len() > 2
        && run[0] == b'0'
        && run[1].eq_ignore_ascii_case(&b'x')
        && run[2..].iter().all(u8::is_ascii_hexdigit))
    .then_some((end, "<hex>"))
}

fn hash(bytes: &[u8], at: usize, end: usize) -> Option<Match> {
    let run = bytes.get(at..end)?;
    (matches!(run.len(), 128 | 64 | 56 | 40 | 32) && is_hex(run)).then_some((end, "<hash>"))
}

fn hex(bytes: &[u8], at: usize, end: usize) -> Option<Match> {
    let run = bytes.get(at..end)?;
    (run.len() >= 8 && is_hex(run) && run.iter().any(u8::is_ascii_alphabetic))
        .then_some((end, "<hex>"))
}

/// Hexadecimal, with a digit in it: `deadbeef` and `facade` are words.
fn is_hex(run: &[u8]) -> bool {
    run.iter().all(u8::is_ascii_hexdigit) && run.iter().any(u8::is_ascii_digit)
}

fn hardware_address(bytes: &[u8], at: usize) -> Option<Match> {
    let text = bytes.get(at..at + 17)?;
    let separator = text[2];
    let right = matches!(separator, b':' | b'-')
        && text.iter().enumerate().all(|(i, b)| {
            if i % 3 == 2 {
                *b == separator
            } else {
                b.is_ascii_hexdigit()
            }
        });
    (right && !byte(bytes, at + 17).is_ascii_alphanumeric()).then_some((at + 17, "<mac>"))
}

fn digits(bytes: &[u8], at: usize, most: usize) -> usize {
    bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take(most)
        .take_while(|b| b.is_ascii_digit())
        .count()
}

/// The end of a dotted quad at `at`.
pub(crate) fn ipv4(bytes: &[u8], at: usize) -> Option<Match> {
    let mut end = at;
    for part in 0..4 {
        if part > 0 {
            if byte(bytes, end) != b'.' {
                return None;
            }
            end += 1;
        }
        let length = digits(bytes, end, 4);
        let value = bytes
            .get(end..end + length)?
            .iter()
            .fold(0_u32, |sum, d| sum * 10 + u32::from(d - b'0'));
        if length == 0 || length > 3 || value > 255 {
            return None;
        }
        end += length;
    }
    let more = byte(bytes, end) == b'.' && byte(bytes, end + 1).is_ascii_digit();
    (!more && !byte(bytes, end).is_ascii_alphanumeric()).then_some((end, "<ip>"))
}

fn ipv6(bytes: &[u8], at: usize) -> Option<Match> {
    let text = bytes.get(at..)?;
    let length = text
        .iter()
        .take(45)
        .take_while(|b| b.is_ascii_hexdigit() || **b == b':')
        .count();
    let text = text.get(..length)?;
    let colons = text.split(|b| *b == b':').count() - 1;
    let double = text.windows(2).any(|w| w == b"::");
    let groups = text.split(|b| *b == b':').all(|group| group.len() <= 4);
    let digit = text.iter().any(u8::is_ascii_digit);
    (groups
        && digit
        && (colons == 7 || (double && colons >= 2))
        && !byte(bytes, at + length).is_ascii_alphanumeric())
    .then_some((at + length, "<ip>"))
}

/// `2024-02-02`, `02/02/2024`, `10:30`, `10:30:01.5Z`, and a date with its time.
fn date_time(bytes: &[u8], at: usize) -> Option<Match> {
    let first = digits(bytes, at, 5);
    let separator = byte(bytes, at + first);
    if separator == b':' {
        return time(bytes, at).map(|end| (end, "<time>"));
    }
    if !matches!(separator, b'-' | b'/') {
        return None;
    }
    let second_at = at + first + 1;
    let second = digits(bytes, second_at, 3);
    let third_at = second_at + second + 1;
    let third = digits(bytes, third_at, 5);
    let shape = matches!(
        (first, second, third),
        (4, 1..=2, 1..=2) | (1..=2, 1..=2, 4)
    );
    if !shape || byte(bytes, second_at + second) != separator {
        return None;
    }
    let end = third_at + third;
    if matches!(byte(bytes, end), b'T' | b't' | b' ')
        && let Some(end) = time(bytes, end + 1)
    {
        return Some((end, "<date>"));
    }
    (!byte(bytes, end).is_ascii_alphanumeric()).then_some((end, "<date>"))
}

fn time(bytes: &[u8], at: usize) -> Option<usize> {
    let hour = digits(bytes, at, 3);
    let minute = digits(bytes, at + hour + 1, 3);
    if !(1..=2).contains(&hour) || minute != 2 || byte(bytes, at + hour) != b':' {
        return None;
    }
    let mut end = at + hour + 3;
    if byte(bytes, end) == b':' && digits(bytes, end + 1, 3) == 2 {
        end += 3;
        if byte(bytes, end) == b'.' {
            end += 1 + digits(bytes, end + 1, 9);
        }
    }
    if matches!(byte(bytes, end), b'Z' | b'z') {
        end += 1;
    }
    (!byte(bytes, end).is_ascii_alphanumeric()).then_some(end)
}

const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn email(bytes: &[u8], at: usize, remote_shell: bool) -> Option<Match> {
    if at > 0 && (in_name(bytes[at - 1]) || bytes[at - 1] == b'+') {
        return None;
    }
    let local = bytes
        .get(at..)?
        .iter()
        .take(65)
        .take_while(|b| in_name(**b) || **b == b'+')
        .count();
    if local == 0 || local > 64 || byte(bytes, at + local) != b'@' {
        return None;
    }
    let domain_at = at + local + 1;
    let domain = bytes.get(domain_at..)?;
    let length = domain.iter().take(253).take_while(|b| in_name(**b)).count();
    let domain = domain.get(..length)?;
    let last = domain.rsplit(|b| *b == b'.').next()?;
    let dotted =
        last.len() < domain.len() && last.len() >= 2 && last.iter().all(u8::is_ascii_alphabetic);
    (dotted || (remote_shell && length > 0)).then_some((domain_at + length, "<email>"))
}

/// Endings of host names. Those that are also name-space words of .NET (`System.Net`, `System.IO`) need three labels.
static ENDINGS: LazyLock<Vec<&[u8]>> = LazyLock::new(|| {
    sorted(
        "com org local lan internal corp intranet gov edu dev cloud de uk ru cn test example \
        localdomain htb lab home onion xyz top info biz us eu ca fr azure arpa",
    )
});

fn sorted(list: &str) -> Vec<&[u8]> {
    let mut words: Vec<&[u8]> = list.split_ascii_whitespace().map(str::as_bytes).collect();
    words.sort_unstable();
    words
}

/// Is the word, in any case, in a sorted list of lower-case words of at most 16 bytes?
fn holds(words: &[&[u8]], word: &[u8]) -> bool {
    let mut lower = [0; 16];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return false;
    };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    words.binary_search(&&*lower).is_ok()
}

fn host_name(bytes: &[u8], at: usize) -> Option<Match> {
    if at > 0 && (in_name(bytes[at - 1]) || matches!(bytes[at - 1], b'\\' | b'%' | b'$' | b'[')) {
        return None;
    }
    let text = bytes.get(at..)?;
    let mut length = text
        .iter()
        .take(253)
        .take_while(|b| in_name(**b) && **b != b'_')
        .count();
    while length > 0 && matches!(text[length - 1], b'.' | b'-') {
        length -= 1;
    }
    let text = text.get(..length)?;
    let labels = text.split(|b| *b == b'.').count();
    let last = text.rsplit(|b| *b == b'.').next()?;
    let known = labels >= 2 && holds(&ENDINGS, last);
    let name_space = labels >= 3
        && [b"net".as_slice(), b"io", b"co", b"ai"]
            .iter()
            .any(|e| e.eq_ignore_ascii_case(last));
    // `chcp.com` and `more.com` are programs
    let program = labels == 2
        && last.eq_ignore_ascii_case(b"com")
        && text.len() <= 12
        && (at == 0 || matches!(bytes[at - 1], b' ' | b'/'))
        && [
            b"chcp".as_slice(),
            b"more",
            b"mode",
            b"tree",
            b"format",
            b"diskcopy",
            b"command",
        ]
        .iter()
        .any(|p| {
            text.get(..p.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(p))
        });
    let next = byte(bytes, at + length);
    ((known || name_space) && !program && next != b'(' && next != b'_')
        .then_some((at + length, "<host>"))
}

fn version_or_number(bytes: &[u8], at: usize) -> Option<Match> {
    let mut end = at
        + bytes
            .get(at..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
    if end == at {
        return None;
    }
    let mut dots = 0;
    while byte(bytes, end) == b'.' && byte(bytes, end + 1).is_ascii_digit() {
        end += 1;
        end += bytes
            .get(end..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        dots += 1;
    }
    // a number with a unit or a suffix keeps it: `5k`, `10MB`, `3d`
    Some((end, if dots >= 2 { "<ver>" } else { "<num>" }))
}

/// Names with digits in them that mean something: never normalised.
static NAMED: LazyLock<Vec<&[u8]>> = LazyLock::new(|| {
    sorted(
        "\
    advapi32 aes128 aes256 amd64 arm64 base32 base58 base64 bz2 bzip2 cp1252 crc32 des3 e2fsck \
    ec2 ext2 ext3 ext4 framework64 gdi32 h264 h265 http2 i386 i686 int16 int32 int64 ipv4 ipv6 \
    k8s kernel32 log4j lz4 md4 md5 mp3 mp4 net1 ntlmv1 ntlmv2 ole32 perl5 pkcs12 pkcs7 pkcs8 \
    python2 python3 regsvr32 rot13 rsa2048 rsa4096 rundll32 s3 sha1 sha224 sha256 sha3 sha384 \
    sha512 shell32 smb2 smbv1 socks4 socks5 system32 syswow64 tls12 tls13 uint32 uint64 user32 \
    utf16 utf32 utf7 utf8 v4tov4 v4tov6 v6tov4 win32 win64 winx64 x11 x509 x64 x86",
    )
});

/// Is this run of letters and digits a name whose digits mean something?
pub(crate) fn is_named(run: &[u8]) -> bool {
    holds(&NAMED, run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(text: &str) -> Option<(&str, &'static str)> {
        let bytes = text.as_bytes();
        match_at(bytes, 0, run_end(bytes, 0), false).map(|(end, kind)| (&text[..end], kind))
    }

    #[test]
    fn each_kind_is_recognised() {
        let cases = [
            (
                "3eb3c877-1f16-487c-9050-104dbcd66683}",
                "3eb3c877-1f16-487c-9050-104dbcd66683",
                "<guid>",
            ),
            (
                "S-1-5-21-1004336348-1177238915-500 x",
                "S-1-5-21-1004336348-1177238915-500",
                "<sid>",
            ),
            ("0xffffffff -f", "0xffffffff", "<hex>"),
            (
                "81d310fa34e6a56a31145445891bb7b8",
                "81d310fa34e6a56a31145445891bb7b8",
                "<hash>",
            ),
            ("31bf3856ad364e35_10", "31bf3856ad364e35", "<hex>"),
            ("00:1a:2b:3c:4d:5e", "00:1a:2b:3c:4d:5e", "<mac>"),
            ("10.0.0.5:8888", "10.0.0.5", "<ip>"),
            ("fe80::1%eth0", "fe80::1", "<ip>"),
            ("2021-08-30 07:17:27\"", "2021-08-30 07:17:27", "<date>"),
            ("20:10 x", "20:10", "<time>"),
            ("a.b@example.com", "a.b@example.com", "<email>"),
            ("db01.corp.local:5432", "db01.corp.local", "<host>"),
            ("19.002.0107.0005\\x", "19.002.0107.0005", "<ver>"),
            ("10.0.19041.1940_none", "10.0.19041.1940", "<ver>"),
            ("131072", "131072", "<num>"),
        ];
        for (text, part, kind) in cases {
            assert_eq!(matched(text), Some((part, kind)), "{text}");
        }
    }

    #[test]
    fn words_that_only_look_volatile_are_left() {
        for text in [
            "deadbeef",
            "facade",
            "system.net",
            "System.IO",
            "chcp.com",
            "README.md",
            "feed::x",
            "abc@latest",
        ] {
            assert_eq!(matched(text), None, "{text}");
        }
    }
}
