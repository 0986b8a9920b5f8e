//! The ways in which a text is read before it is searched.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Encodings within encodings.
const DEPTH: usize = 3;
/// Decoded runs of one text.
const MOST: usize = 64;

/// Characters that make a line read otherwise than it runs, or carry text that nobody sees.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text as it reads: small letters, hidden characters left out (tag characters as what they stand for), look-alikes as the Latin letter
/// they look like, accents gone, white space single.
#[must_use]
pub fn skeleton(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let code = c as u32;
        let c = match code {
            0xe0020..=0xe007e => char::from_u32(code - 0xe0000).unwrap_or(c),
            0xff01..=0xff5e => char::from_u32(code - 0xff01 + 0x21).unwrap_or(c),
            0x1d400..=0x1d6a3 => letter((code - 0x1d400) % 52),
            0x24b6..=0x24e9 => letter((code - 0x24b6) % 52),
            0x1f130..=0x1f149 => letter(code - 0x1f130),
            0x1f170..=0x1f189 => letter(code - 0x1f170),
            _ if is_hidden(c) => continue,
            _ => c,
        };
        if c.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            continue;
        }
        for low in c.to_lowercase() {
            if !('\u{300}'..='\u{36f}').contains(&low) {
                out.push(fold(low));
            }
        }
    }
    out
}

fn letter(n: u32) -> char {
    char::from_u32(u32::from(b'a') + n % 26).unwrap_or('a')
}

/// Look-alikes and accents to ASCII.
fn fold(c: char) -> char {
    match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'а' | 'α' | 'ạ' | 'ả' | 'ấ' | 'ầ' | 'ậ' | 'ắ' | 'ằ' | 'ǎ' => {
            'a'
        }
        'в' | 'β' => 'b',
        'ç' | 'ć' | 'č' | 'с' | 'ϲ' => 'c',
        'ď' | 'đ' | 'ԁ' => 'd',
        'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'е' | 'ε' | 'ế' | 'ề' | 'ệ' | 'ẹ' => {
            'e'
        }
        'ğ' | 'ģ' | 'ɡ' | 'ց' => 'g',
        'һ' | 'հ' => 'h',
        'ì'..='ï' | 'ī' | 'į' | 'ı' | 'і' | 'ι' | 'ị' | 'ỉ' | 'ĩ' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ł' | 'ľ' | 'ĺ' | 'ⅼ' | 'ӏ' => 'l',
        'м' => 'm',
        'ñ' | 'ń' | 'ň' | 'ո' | 'п' | 'η' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'о' | 'ο' | 'օ' | 'ọ' | 'ỏ' | 'ố' | 'ồ' | 'ộ' | 'ớ' | 'ờ' => {
            'o'
        }
        'р' | 'ρ' => 'p',
        'ř' | 'ŕ' | 'г' => 'r',
        'ś' | 'š' | 'ş' | 'ș' | 'ѕ' | 'ß' => 's',
        'ť' | 'ţ' | 'ț' | 'т' | 'τ' => 't',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' | 'υ' | 'ս' | 'ụ' | 'ủ' | 'ứ' | 'ừ' | 'ự' => {
            'u'
        }
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'ý' | 'ÿ' | 'у' | 'ү' | 'ỳ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        '‐'..='―' | '−' => '-',
        '“' | '”' | '„' => '"',
        '‘' | '’' => '\'',
        _ => c,
    }
}

/// Digits and signs read as the letters they stand for.
pub(super) fn unleet(text: &str) -> String {
    text.chars().map(unletter).collect()
}

/// The letter that a digit or sign stands for; others as they are.
pub(super) const fn unletter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '6' | '9' => 'g',
        '7' | '+' => 't',
        '8' => 'b',
        _ => c,
    }
}

/// The text and all readings of it, with whether it was encoded.
pub(super) fn of(text: &str) -> Vec<(String, bool)> {
    let mut views = vec![text.to_owned()];
    let mut next = 0;
    let mut level = vec![0];
    while next < views.len() && views.len() < MOST {
        let depth = level[next];
        if depth < DEPTH {
            let found = decodings(&views[next]);
            level.resize(views.len() + found.len(), depth + 1);
            views.extend(found);
        }
        next += 1;
    }
    let plain = views.len();
    for view in 0..plain {
        let rot: String = views[view].chars().map(rot13).collect();
        let back: String = views[view].chars().rev().collect();
        views.extend([rot, back]);
    }
    // What decodes out of the mirrored text (base64 written backwards).
    let mirrored: Vec<String> = decodings(&views[plain + 1]);
    let decoded = views.len();
    views.extend(mirrored);
    let encoded = |n: usize| (1..plain).contains(&n) || n >= decoded;
    let views = views.into_iter().enumerate();
    views.map(|(n, view)| (view, encoded(n))).collect()
}

fn rot13(c: char) -> char {
    match c {
        'a'..='m' | 'A'..='M' => char::from_u32(c as u32 + 13).unwrap_or(c),
        'n'..='z' | 'N'..='Z' => char::from_u32(c as u32 - 13).unwrap_or(c),
        _ => c,
    }
}

fn decodings(text: &str) -> Vec<String> {
    let mut out = vec![];
    // Also across the pieces of a split literal: 'aGVs'+'bG8='.
    let joined: String = text
        .replace("'+'", "")
        .replace("\"+\"", "")
        .replace("' + '", "")
        .replace("\" + \"", "");
    let base = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_'));
    for run in joined.split(base).filter(|run| run.len() >= 12).take(MOST) {
        let standard = run.replace('-', "+").replace('_', "/");
        let mut candidates = vec![standard.clone()];
        // A path or a flag before it joins the run.
        candidates.extend(
            standard
                .split('/')
                .filter(|p| p.len() >= 16)
                .map(str::to_owned),
        );
        for candidate in candidates {
            let cut = candidate.len() - usize::from(candidate.len() % 4 == 1);
            if let Ok(bytes) = LENIENT.decode(candidate.get(..cut).unwrap_or_default()) {
                push_text(&bytes, &mut out);
            }
        }
    }
    for run in joined
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|run| run.len() >= 16)
        .take(MOST)
    {
        push_text(&hex(run), &mut out);
    }
    escapes(&joined, "%", 2, &mut out);
    escapes(&joined, "\\x", 2, &mut out);
    escapes(&joined, "0x", 2, &mut out);
    escapes(&joined, "\\u", 4, &mut out);
    escapes(&joined, "&#x", 2, &mut out);
    numbers(&joined, &mut out);
    for (base, digits) in [(2, 8..=8), (8, 3..=3), (10, 2..=3), (16, 2..=2)] {
        groups(&joined, base, &digits, &mut out);
    }
    for run in joined
        .split(|c: char| !(c.is_ascii_alphabetic() || ('2'..='7').contains(&c)))
        .filter(|run| run.len() >= 16)
        .take(MOST)
    {
        push_text(&base32(run), &mut out);
    }
    morse(&joined, &mut out);
    out
}

/// Groups of digits of one base, each a character, with up to four signs between them: `\164\150`, `=74=68`, `&#116;&#104;`, `01110100 01101000`.
/// Eight in a row.
fn groups(text: &str, base: u32, digits: &std::ops::RangeInclusive<usize>, out: &mut Vec<String>) {
    let mut read = String::new();
    let mut end = 0;
    let mut flush = |read: &mut String| {
        if read.len() >= 8 {
            out.push(std::mem::take(read));
        }
        read.clear();
    };
    let mut at = 0;
    for part in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        // A sign between parts is any character: its bytes are what the next part begins after.
        let start = at;
        at = start + part.len();
        at += text
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8);
        if part.is_empty() {
            continue;
        }
        let code = digits
            .contains(&part.len())
            .then(|| u32::from_str_radix(part, base).ok())
            .flatten()
            .and_then(char::from_u32)
            .filter(|c| (' '..='~').contains(c) || matches!(c, '\t' | '\n'));
        if start > end + 4 || code.is_none() {
            flush(&mut read);
        }
        read.extend(code);
        end = start + part.len();
    }
    flush(&mut read);
}

fn base32(run: &str) -> Vec<u8> {
    let (mut bits, mut held, mut out) = (0_u32, 0_u32, vec![]);
    for byte in run.bytes() {
        let value = match byte.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            digit => digit.wrapping_sub(b'2').wrapping_add(26),
        };
        held = held << 5 | u32::from(value & 31);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.extend(u8::try_from(held >> bits & 0xff));
        }
    }
    out
}

/// Dots and dashes, eight letters in a row at the least (ITU-R M.1677). What is no code reads as `x`: the words around it still count.
fn morse(text: &str, out: &mut Vec<String>) {
    const CODES: [&str; 26] = [
        ".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--",
        "-.", "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--",
        "--..",
    ];
    let mut read = String::new();
    let mut letters = 0;
    for token in text.split_whitespace().chain(["end"]) {
        let token = token.trim_matches(['"', '\'']);
        if token == "/" || token == "|" {
            read.push(' ');
        } else if !token.is_empty()
            && token.len() <= 6
            && token.bytes().all(|b| matches!(b, b'.' | b'-'))
        {
            let place = CODES.iter().position(|code| *code == token);
            read.push(
                place
                    .and_then(|n| u32::try_from(n).ok())
                    .map_or('x', letter),
            );
            letters += 1;
        } else {
            if letters >= 8 {
                out.push(std::mem::take(&mut read));
            }
            read.clear();
            letters = 0;
        }
    }
}

fn hex(run: &str) -> Vec<u8> {
    (0..run.len() / 2)
        .filter_map(|n| u8::from_str_radix(run.get(2 * n..2 * n + 2)?, 16).ok())
        .collect()
}

/// `%69%67`, `\u0069`: the text with its escapes read, where there are at least four. Two digits are a byte of UTF-8.
fn escapes(text: &str, mark: &str, digits: usize, out: &mut Vec<String>) {
    if text.matches(mark).count() < 4 {
        return;
    }
    let mut read: Vec<u8> = vec![];
    let mut rest = text;
    while let Some(at) = rest.find(mark) {
        read.extend(rest.as_bytes().get(..at).unwrap_or_default());
        let code = rest
            .get(at + mark.len()..at + mark.len() + digits)
            .and_then(|code| u32::from_str_radix(code, 16).ok());
        match code {
            Some(code) if digits == 2 => read.extend(u8::try_from(code)),
            Some(code) => {
                let c = char::from_u32(code).unwrap_or('\u{fffd}');
                read.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => {}
        }
        let taken = mark.len() + if code.is_some() { digits } else { 0 };
        rest = rest.get(at + taken..).unwrap_or_default();
        if code.is_some() {
            rest = rest.strip_prefix([',', ';']).unwrap_or(rest);
        }
    }
    read.extend(rest.as_bytes());
    out.push(String::from_utf8_lossy(&read).into_owned());
}

/// `73,103,110` or `73 103 110`: character codes in a row.
fn numbers(text: &str, out: &mut Vec<String>) {
    let mut read = String::new();
    let mut count = 0;
    for part in text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|p| !p.is_empty())
    {
        match part.parse::<u8>() {
            Ok(code) if (32..127).contains(&code) => {
                read.push(char::from(code));
                count += 1;
            }
            _ => {
                if count < 8 {
                    read.clear();
                    count = 0;
                }
            }
        }
    }
    if count >= 8 {
        out.push(read);
    }
}

/// Bytes as UTF-8 and, where they look wide, as UTF-16 of either order; only what is mostly readable.
fn push_text(bytes: &[u8], out: &mut Vec<String>) {
    let readable = |text: &str| {
        let all = text.chars().count();
        let good = text
            .chars()
            .filter(|c| {
                (c.is_alphanumeric() || c.is_ascii_punctuation() || c.is_whitespace())
                    && *c != '\u{fffd}'
            })
            .count();
        all >= 4 && good * 10 >= all * 8
    };
    let narrow = String::from_utf8_lossy(bytes);
    if readable(&narrow) {
        out.push(narrow.into_owned());
    }
    for place in [0, 1] {
        let zeros = bytes
            .chunks_exact(2)
            .filter(|pair| pair[1 - place] == 0)
            .count();
        let latin = bytes.len() >= 8 && zeros * 10 >= bytes.len() / 2 * 6;
        // Of other scripts no byte is zero; what is not text is seldom ten letters of one script in a row.
        if latin || bytes.len() >= 20 {
            let units = bytes.chunks_exact(2).map(|pair| {
                if place == 0 {
                    u16::from_le_bytes([pair[0], pair[1]])
                } else {
                    u16::from_be_bytes([pair[0], pair[1]])
                }
            });
            let wide: String = char::decode_utf16(units)
                .map(|c| c.unwrap_or('\u{fffd}'))
                .collect();
            let whole = wide
                .chars()
                .all(|c| c.is_alphanumeric() || c.is_ascii_punctuation() || c.is_whitespace() || matches!(c, '\u{3000}'..='\u{303f}' | '\u{900}'..='\u{97f}' | '\u{600}'..='\u{6ff}' | '\u{ff00}'..='\u{ff0f}'));
            if if latin {
                readable(&wide)
            } else {
                whole && mostly_one_script(&wide)
            } {
                out.push(wide);
            }
        }
    }
}

/// Whether four in five letters beyond Latin, if any, are of one script. Bytes that are no text, read as UTF-16, are letters of several: words
/// of paths were read as prose so, in 945 of 55,641 recorded benign lines.
fn mostly_one_script(text: &str) -> bool {
    let mut counts = [0_usize; SCRIPTS.len()];
    let mut letters = 0;
    for c in text
        .chars()
        .filter(|c| *c as u32 >= 0x370 && c.is_alphabetic())
    {
        letters += 1;
        let of =
            |ranges: &&[(u32, u32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&(c as u32)));
        if let Some(script) = SCRIPTS.iter().position(of) {
            counts[script] += 1;
        }
    }
    letters == 0
        || counts
            .iter()
            .any(|count| *count > 0 && count * 5 >= letters * 4)
}

/// The blocks of the scripts that instructions are written in: what a reader of one of them would see as text.
const SCRIPTS: [&[(u32, u32)]; 16] = [
    // Greek, Cyrillic, Armenian, Hebrew, Arabic.
    &[(0x370, 0x3ff), (0x1f00, 0x1fff)],
    &[(0x400, 0x52f)],
    &[(0x530, 0x58f)],
    &[(0x590, 0x5ff)],
    &[(0x600, 0x77f), (0x8a0, 0x8ff)],
    // Devanagari; Bengali to Malayalam; Sinhala; Thai and Lao; Tibetan.
    &[(0x900, 0x97f)],
    &[(0x980, 0xd7f)],
    &[(0xd80, 0xdff)],
    &[(0xe00, 0xeff)],
    &[(0xf00, 0xfff)],
    // Burmese, Georgian, Ethiopic, Khmer.
    &[(0x1000, 0x109f)],
    &[(0x10a0, 0x10ff)],
    &[(0x1200, 0x139f)],
    &[(0x1780, 0x17ff)],
    // Chinese and Japanese; Korean.
    &[(0x3040, 0x30ff), (0x4e00, 0x9fff)],
    &[(0x1100, 0x11ff), (0xac00, 0xd7af)],
];
