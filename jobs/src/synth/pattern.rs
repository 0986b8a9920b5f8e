//! The pattern language of the grammar files, and its compiler.
//!
//! A pattern is text with slots between `«` and `»`, which no command line of the fleet holds, so that shell and
//! `PowerShell` punctuation needs no escape. Slots nest.
//!
//! | slot | becomes |
//! |---|---|
//! | `«a¦b¦c»` | one of the alternatives, the first ones more often |
//! | `«? x»`, `«?20 x»` | `x` half of the time, or 20 times in a hundred |
//! | `«*2-5,: x»` | `x` two to five times with `,` between (`«*2-5: x»` a space, `«*2-5:: x»` a colon); alternatives do not repeat |
//! | `«=1: x»` … `«#1»` | `x`, remembered, and the same again |
//! | `«@rule»` | the rule of that name (`rules.txt`) |
//! | `«enc: x»`, `«b64of: x»` | Base64 of `x` as UTF-16LE (`-EncodedCommand`), or as it is |
//! | `«hex 8»`, `«HEX 8»`, `«dec 4»`, `«an 6»`, `«AN 6»`, `«UP 6»`, `«b64 40»` | so many digits or characters |
//! | `«num 1 99»` | a number from a range, both ends included |
//! | `«guid»`, `«GUID»`, `«pid»`, `«wpid»`, `«port»`, `«ip»`, `«pubip»`, `«mac»` | identifiers and addresses |
//! | `«date»`, `«yday»`, `«ymd»`, `«hms»`, `«stamp»`, `«epoch»`, `«epochms»` | the event's day, written in the usual ways |
//! | `«ver chrome»` | the version of a product that the host has on that day |
//! | `«user»`, `«home»`, `«host»`, `«fqdn»`, `«dom»`, `«dns»`, `«sid»`, `«image»` | the event's own host, account and image |
//! | `«host2»`, `«user2»` | another host or user of the fleet |
//! | `«c2»`, `«c2d»`, `«c2p»`, `«tool»`, `«stage»`, `«victim»`, `«vuser»` | an attack campaign's own values |
//!
//! A compiled pattern is a tree of operations; writing one costs some 10 ns an operation and allocates nothing.

use std::collections::HashMap;

/// What one slot does. Texts are stored as they are to be written.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Text(Box<str>),
    Alt(Box<[Seq]>),
    Opt(u64, Seq),
    Repeat {
        least: u64,
        most: u64,
        between: Box<str>,
        body: Seq,
    },
    Set(usize, Seq),
    Get(usize),
    /// Index of a rule; its alternatives are drawn as in `Alt`.
    Rule(usize),
    Encoded(Encoding, Seq),
    Chars(Charset, u64),
    Num(u64, u64),
    Value(Value),
    /// Index of a product.
    Version(usize),
}

/// A compiled pattern.
pub(super) type Seq = Box<[Op]>;

/// A named choice.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) parts: Box<[Seq]>,
    /// The choice mostly follows the event's topic, so that a line speaks of one thing and a host of few.
    pub(super) topic: bool,
}

/// Registers that `«=n:»` and `«#n»` may use.
pub(super) const REGISTERS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16Base64,
    Base64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    HexLower,
    HexUpper,
    Digits,
    AlnumLower,
    Alnum,
    AlnumUpper,
    Base64,
}

impl Charset {
    /// Characters of the set: all ASCII.
    pub(super) const fn chars(self) -> &'static [u8] {
        match self {
            Self::HexLower => b"0123456789abcdef",
            Self::HexUpper => b"0123456789ABCDEF",
            Self::Digits => b"0123456789",
            Self::AlnumLower => b"abcdefghijklmnopqrstuvwxyz0123456789",
            Self::Alnum => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            Self::AlnumUpper => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            Self::Base64 => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        }
    }
}

/// Slots without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    GuidLower,
    GuidUpper,
    Pid,
    WindowsPid,
    Port,
    PrivateIp,
    PublicIp,
    Mac,
    Date,
    Yesterday,
    DateDigits,
    TimeDigits,
    Stamp,
    EpochSecs,
    EpochMillis,
    User,
    Home,
    Host,
    Fqdn,
    Domain,
    DnsDomain,
    Sid,
    Image,
    OtherHost,
    OtherUser,
    C2Ip,
    C2Domain,
    C2Port,
    Tool,
    Stage,
    Victim,
    VictimUser,
}

/// One list of names: the compiler and the documentation's table follow it.
const VALUES: &[(&str, Value)] = &[
    ("guid", Value::GuidLower),
    ("GUID", Value::GuidUpper),
    ("pid", Value::Pid),
    ("wpid", Value::WindowsPid),
    ("port", Value::Port),
    ("ip", Value::PrivateIp),
    ("pubip", Value::PublicIp),
    ("mac", Value::Mac),
    ("date", Value::Date),
    ("yday", Value::Yesterday),
    ("ymd", Value::DateDigits),
    ("hms", Value::TimeDigits),
    ("stamp", Value::Stamp),
    ("epoch", Value::EpochSecs),
    ("epochms", Value::EpochMillis),
    ("user", Value::User),
    ("home", Value::Home),
    ("host", Value::Host),
    ("fqdn", Value::Fqdn),
    ("dom", Value::Domain),
    ("dns", Value::DnsDomain),
    ("sid", Value::Sid),
    ("image", Value::Image),
    ("host2", Value::OtherHost),
    ("user2", Value::OtherUser),
    ("c2", Value::C2Ip),
    ("c2d", Value::C2Domain),
    ("c2p", Value::C2Port),
    ("tool", Value::Tool),
    ("stage", Value::Stage),
    ("victim", Value::Victim),
    ("vuser", Value::VictimUser),
];

const CHARSETS: &[(&str, Charset)] = &[
    ("hex", Charset::HexLower),
    ("HEX", Charset::HexUpper),
    ("dec", Charset::Digits),
    ("an", Charset::AlnumLower),
    ("AN", Charset::Alnum),
    ("UP", Charset::AlnumUpper),
    ("b64", Charset::Base64),
];

/// Names that patterns may refer to, with their index.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) rules: HashMap<String, usize>,
    pub(super) products: HashMap<String, usize>,
}

const OPEN: char = '«';
const CLOSE: char = '»';
const OR: char = '¦';

/// Compiles a pattern.
///
/// # Errors
/// What is wrong with it, in words: an open slot, an unknown name, a number that is none.
pub(super) fn compile(text: &str, names: &Names) -> Result<Seq, String> {
    let mut ops = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find([OPEN, CLOSE]) {
        if rest[at..].starts_with(CLOSE) {
            return Err(format!(
                "a closing mark without its opening one before {:?}",
                head(&rest[at..])
            ));
        }
        if at > 0 {
            ops.push(Op::Text(rest[..at].into()));
        }
        let body_at = at + OPEN.len_utf8();
        let end = matching(rest, body_at)
            .ok_or_else(|| format!("an open slot at {:?}", head(&rest[at..])))?;
        ops.push(slot(&rest[body_at..end], names)?);
        rest = &rest[end + CLOSE.len_utf8()..];
    }
    if !rest.is_empty() {
        ops.push(Op::Text(rest.into()));
    }
    Ok(ops.into())
}

/// Where the slot that began before `from` ends.
fn matching(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for (i, c) in text[from..].char_indices() {
        match c {
            OPEN => depth += 1,
            CLOSE if depth == 0 => return Some(from + i),
            CLOSE => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The parts of a slot between `¦` at its own depth.
fn alternatives(body: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (i, c) in body.char_indices() {
        match c {
            OPEN => depth += 1,
            CLOSE => depth -= 1,
            OR if depth == 0 => {
                parts.push(&body[start..i]);
                start = i + OR.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    parts
}

fn slot(body: &str, names: &Names) -> Result<Op, String> {
    if let Some(rest) = body.strip_prefix('?') {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let percent = if digits == 0 {
            50
        } else {
            number(&rest[..digits])?
        };
        let inner = rest[digits..].strip_prefix(' ').unwrap_or(&rest[digits..]);
        return Ok(Op::Opt(percent, one_of(inner, names)?));
    }
    if let Some(rest) = body.strip_prefix('*') {
        let (spec, inner) = rest
            .split_once(':')
            .ok_or_else(|| format!("no colon in {:?}", head(body)))?;
        let (least, most) = spec
            .split_once('-')
            .ok_or_else(|| format!("no range in {:?}", head(body)))?;
        let digits = most.len() - most.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (between, inner) = match inner.strip_prefix(':') {
            Some(inner) => (":", inner),
            None if most.len() == digits => (" ", inner),
            None => (&most[digits..], inner),
        };
        let inner = inner.strip_prefix(' ').unwrap_or(inner);
        return Ok(Op::Repeat {
            least: number(least)?,
            most: number(&most[..digits])?,
            between: between.into(),
            body: one_of(inner, names)?,
        });
    }
    if let Some(rest) = body.strip_prefix('=') {
        let (n, inner) = rest
            .split_once(':')
            .ok_or_else(|| format!("no colon in {:?}", head(body)))?;
        let inner = inner.strip_prefix(' ').unwrap_or(inner);
        return Ok(Op::Set(register(n)?, one_of(inner, names)?));
    }
    if let Some(inner) = body.strip_prefix("enc:") {
        return Ok(Op::Encoded(
            Encoding::Utf16Base64,
            one_of(inner.trim_start(), names)?,
        ));
    }
    if let Some(inner) = body.strip_prefix("b64of:") {
        return Ok(Op::Encoded(
            Encoding::Base64,
            one_of(inner.trim_start(), names)?,
        ));
    }
    let parts = alternatives(body);
    if parts.len() > 1 {
        let compiled: Result<Vec<Seq>, String> =
            parts.into_iter().map(|p| compile(p, names)).collect();
        return Ok(Op::Alt(compiled?.into()));
    }
    if let Some(n) = body.strip_prefix('#') {
        return Ok(Op::Get(register(n)?));
    }
    if let Some(name) = body.strip_prefix('@') {
        let at = names
            .rules
            .get(name)
            .ok_or_else(|| format!("no rule named {name:?}"))?;
        return Ok(Op::Rule(*at));
    }
    let mut words = body.split(' ');
    let (word, first, second) = (words.next().unwrap_or(""), words.next(), words.next());
    match (word, first, second) {
        ("num", Some(a), Some(b)) => Ok(Op::Num(number(a)?, number(b)?)),
        ("ver", Some(product), None) => {
            let at = names
                .products
                .get(product)
                .ok_or_else(|| format!("no product named {product:?}"))?;
            Ok(Op::Version(*at))
        }
        (_, Some(n), None) => {
            let set = CHARSETS
                .iter()
                .find(|(name, _)| *name == word)
                .map(|(_, set)| *set);
            Ok(Op::Chars(
                set.ok_or_else(|| format!("no slot named {word:?}"))?,
                number(n)?,
            ))
        }
        (_, None, None) => {
            let value = VALUES
                .iter()
                .find(|(name, _)| *name == word)
                .map(|(_, value)| *value);
            Ok(Op::Value(
                value.ok_or_else(|| format!("no slot named {word:?}"))?,
            ))
        }
        _ => Err(format!("no slot reads {:?}", head(body))),
    }
}

/// The body of a bracket: one pattern, or alternatives.
fn one_of(body: &str, names: &Names) -> Result<Seq, String> {
    let parts = alternatives(body);
    if parts.len() == 1 {
        return compile(body, names);
    }
    let compiled: Result<Vec<Seq>, String> = parts.into_iter().map(|p| compile(p, names)).collect();
    Ok(Box::new([Op::Alt(compiled?.into())]))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn register(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n < REGISTERS)
        .ok_or_else(|| format!("{text:?} is no register"))
}

fn head(text: &str) -> String {
    text.chars().take(40).collect()
}

/// True where some operation of the pattern, or of a rule it uses, satisfies `wanted`. `seen` breaks cycles.
pub(super) fn any(
    seq: &[Op],
    rules: &[Rule],
    seen: &mut Vec<usize>,
    wanted: &dyn Fn(&Op) -> bool,
) -> bool {
    seq.iter().any(|op| {
        wanted(op)
            || match op {
                Op::Alt(parts) => parts.iter().any(|p| any(p, rules, seen, wanted)),
                Op::Opt(_, body)
                | Op::Set(_, body)
                | Op::Encoded(_, body)
                | Op::Repeat { body, .. } => any(body, rules, seen, wanted),
                Op::Rule(at) if !seen.contains(at) => {
                    seen.push(*at);
                    rules
                        .get(*at)
                        .is_some_and(|rule| rule.parts.iter().any(|p| any(p, rules, seen, wanted)))
                }
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        compile(text, &Names::default()).map_or_else(|e| e, |ops| format!("{ops:?}"))
    }

    #[test]
    fn braces_and_pipes_of_a_shell_are_plain_text() {
        assert!(says("Get-X | %{ $_.Name }").starts_with("[Text(\"Get-X | %{ $_.Name }\")]"));
    }

    #[test]
    fn slots_nest() {
        let ops = compile("a «x¦y«? z»¦«hex 4»»", &Names::default());
        assert!(matches!(ops.as_deref(), Ok([Op::Text(_), Op::Alt(parts)]) if parts.len() == 3));
    }

    #[test]
    fn a_repeat_has_its_own_separator() {
        let ops = compile("«*2-3;: q»", &Names::default());
        assert!(
            matches!(ops.as_deref(), Ok([Op::Repeat { least: 2, most: 3, between, .. }]) if &**between == ";")
        );
    }

    #[test]
    fn a_wrong_pattern_says_what_is_wrong() {
        assert!(says("«hex").contains("open slot"));
        assert!(says("x»").contains("closing mark"));
        assert!(says("«@none»").contains("no rule named"));
        assert!(says("«nonsense»").contains("no slot named"));
        assert!(says("«=9: x»").contains("no register"));
    }
}
