//! Disguises of a text, for [`crate::injections`]: encodings, look-alikes, other joints of its words.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn mapped(text: &str, f: impl Fn(char) -> String) -> String {
    text.chars().map(f).collect()
}

fn each(bytes: &[u8], f: impl Fn(u8) -> String) -> String {
    bytes.iter().map(|b| f(*b)).collect::<Vec<_>>().concat()
}

fn rotated(text: &str, by: u8) -> String {
    mapped(text, |c| {
        let turn = |base: u8| char::from((c as u8 - base + by) % 26 + base).to_string();
        match c {
            'a'..='z' => turn(b'a'),
            'A'..='Z' => turn(b'A'),
            _ => c.to_string(),
        }
    })
}

fn shifted(text: &str, lower: u32, upper: u32) -> String {
    mapped(text, |c| {
        let at = |first: u32, base: char| {
            char::from_u32(first + (c as u32 - base as u32))
                .unwrap()
                .to_string()
        };
        match c {
            'a'..='z' => at(lower, 'a'),
            'A'..='Z' => at(upper, 'A'),
            _ => c.to_string(),
        }
    })
}

fn words(text: &str) -> Vec<String> {
    let word = |w: &str| {
        w.chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
    };
    text.split_whitespace()
        .map(word)
        .filter(|w| !w.is_empty())
        .collect()
}

fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = each(bytes, |b| format!("{b:08b}"));
    let five = |chunk: &[u8]| {
        let text = format!("{:0<5}", String::from_utf8_lossy(chunk));
        char::from(LETTERS[usize::from_str_radix(&text, 2).unwrap()])
    };
    bits.as_bytes().chunks(5).map(five).collect()
}

fn morse(text: &str) -> String {
    const CODES: [&str; 26] = [
        ".-", "-...", "-.-.", "-..", ".", "..-.", "--.", "....", "..", ".---", "-.-", ".-..", "--",
        "-.", "---", ".--.", "--.-", ".-.", "...", "-", "..-", "...-", ".--", "-..-", "-.--",
        "--..",
    ];
    mapped(&text.to_lowercase(), |c| match c {
        'a'..='z' => format!("{} ", CODES[c as usize - 'a' as usize]),
        ' ' => "/ ".to_owned(),
        _ => String::new(),
    })
}

/// A text in a disguise of [`crate::injections`], by its name.
pub fn disguised(text: &str, disguise: &str) -> String {
    let joined = |parts: Vec<String>, with: &str| parts.join(with);
    match disguise {
        "base64" => STANDARD.encode(text),
        "base64url" => URL_SAFE_NO_PAD.encode(text),
        "hex" => each(text.as_bytes(), |b| format!("{b:02x}")),
        "percent" => each(text.as_bytes(), |b| format!("%{b:02X}")),
        "entities" => mapped(text, |c| format!("&#{};", c as u32)),
        "rot13" => rotated(text, 13),
        "caesar5" => rotated(text, 5),
        "leet" => mapped(text, |c| {
            match c {
                'a' => "4",
                'e' => "3",
                'i' => "1",
                'o' => "0",
                's' => "5",
                't' => "7",
                _ => return c.to_string(),
            }
            .to_owned()
        }),
        "reversed" => text.chars().rev().collect(),
        "spaced" => joined(text.chars().map(String::from).collect(), " "),
        "dotted" => joined(
            text.chars()
                .filter(|c| *c != ' ')
                .map(String::from)
                .collect(),
            ".",
        ),
        "camel" => words(text)
            .iter()
            .map(|w| w[..1].to_uppercase() + &w[1..])
            .collect(),
        "snake" => joined(words(text), "_"),
        "kebab" => joined(words(text), "-"),
        "fullwidth" => shifted(text, 0xff41, 0xff21),
        "mathematical" => shifted(text, 0x1_d5ba, 0x1_d5a0),
        "homoglyphs" => mapped(text, |c| {
            match c {
                'a' => "а",
                'c' => "с",
                'e' => "е",
                'i' => "і",
                'o' => "о",
                'p' => "р",
                'x' => "х",
                _ => return c.to_string(),
            }
            .to_owned()
        }),
        "zero_width" => mapped(text, |c| format!("{c}\u{200b}")),
        "tags" => mapped(text, |c| {
            char::from_u32(0xe_0000 + c as u32 % 128)
                .unwrap()
                .to_string()
        }),
        "bidi" => format!("\u{202e}{}\u{202c}", text.chars().rev().collect::<String>()),
        "morse" => morse(text),
        "utf16_base64" => STANDARD.encode(
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<u8>>(),
        ),
        "quoted_printable" => each(text.as_bytes(), |b| format!("={b:02X}")),
        "octal" => each(text.as_bytes(), |b| format!("\\{b:03o}")),
        "unicode_escapes" => mapped(text, |c| format!("\\u{:04x}", c as u32)),
        "char_codes" => joined(text.bytes().map(|b| b.to_string()).collect(), ","),
        "base32" => base32(text.as_bytes()),
        "combining" => mapped(text, |c| {
            if c.is_alphabetic() {
                format!("{c}\u{336}")
            } else {
                c.to_string()
            }
        }),
        "concatenated" => {
            let parts: Vec<char> = text.chars().collect();
            let parts = parts
                .chunks(3)
                .map(|p| p.iter().collect::<String>())
                .collect();
            joined(parts, "'+'")
        }
        "vowels_dropped" => text.chars().filter(|c| !"aeiou".contains(*c)).collect(),
        "upper" => text.to_uppercase(),
        "binary" => joined(text.bytes().map(|b| format!("{b:08b}")).collect(), " "),
        _ => text.to_owned(),
    }
}
