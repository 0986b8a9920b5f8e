//! Writes a compiled pattern: the hot loop of the generator.
//!
//! A text is a pure function of the stream's key and the scope (host, account, day, campaign), never of what was
//! written before. Numbers and digits are put together by hand: `format!` costs ten times as much, and fifty in a
//! build without optimisation.

use super::calendar::Day;
use super::campaign::Campaign;
use super::fleet::{Fleet, Host, Os};
use super::pattern::{Charset, Encoding, Op, REGISTERS, Rule, Seq, Value};
use super::prng::{Prng, mix2};

/// What a text may refer to.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) day: &'a Day,
    pub(super) fleet: &'a Fleet,
    pub(super) host: &'a Host,
    /// Login name of the account that the process runs as.
    pub(super) user: &'a str,
    /// Second of the day that a time in the text shows; `None` draws one.
    pub(super) second: Option<u64>,
    pub(super) campaign: Option<&'a Campaign>,
}

/// Buffers that outlive one text, so that none is allocated for each.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    registers: [String; REGISTERS],
    inner: String,
    pub(super) image: String,
}

/// Writes patterns for one event.
pub(super) struct Writer<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) rules: &'a [Rule],
    pub(super) rng: Prng,
    pub(super) scratch: &'a mut Scratch,
    /// What the event is about, as a fraction of 2^64 of a rule's alternatives.
    topic: u64,
}

impl<'a> Writer<'a> {
    /// A writer whose text follows from `key` and the scope.
    pub(super) fn new(
        scope: Scope<'a>,
        rules: &'a [Rule],
        key: u64,
        scratch: &'a mut Scratch,
    ) -> Self {
        let mut rng = Prng::new(key);
        // A host has three topics.
        let topic = mix2(scope.host.key ^ 0x701C, rng.below(3));
        Self {
            scope,
            rules,
            rng,
            scratch,
            topic,
        }
    }

    /// Appends one of several patterns that `used` does not have yet, while there are any.
    fn another(&mut self, parts: &[Seq], used: &mut u64, out: &mut String) {
        let mut at = self.rng.skewed(parts.len());
        for _ in 0..parts.len() {
            if *used & (1 << (at & 63)) == 0 {
                break;
            }
            at = (at + 1) % parts.len();
        }
        *used |= 1 << (at & 63);
        if let Some(part) = parts.get(at) {
            self.seq(part, out);
        }
    }

    /// Appends one of several patterns, the first ones more often.
    pub(super) fn one(&mut self, parts: &[Seq], out: &mut String) {
        let at = if parts.len() < 2 {
            0
        } else {
            self.rng.skewed(parts.len())
        };
        if let Some(part) = parts.get(at) {
            self.seq(part, out);
        }
    }

    /// Appends one of a rule's alternatives.
    fn rule(&mut self, rule: &Rule, out: &mut String) {
        if rule.topic && self.rng.chance(80) {
            let part = rule.parts.get(Prng::fraction(self.topic, rule.parts.len()));
            if let Some(part) = part {
                self.seq(part, out);
            }
        } else {
            self.one(&rule.parts, out);
        }
    }

    /// Appends a pattern.
    pub(super) fn seq(&mut self, seq: &[Op], out: &mut String) {
        for op in seq {
            match op {
                Op::Text(text) => out.push_str(text),
                Op::Alt(parts) => self.one(parts, out),
                Op::Rule(at) => {
                    let rules = self.rules;
                    if let Some(rule) = rules.get(*at) {
                        self.rule(rule, out);
                    }
                }
                Op::Opt(percent, body) => {
                    if self.rng.chance(*percent) {
                        self.seq(body, out);
                    }
                }
                Op::Repeat {
                    least,
                    most,
                    between,
                    body,
                } => {
                    let times = least + self.rng.below(most.saturating_sub(*least) + 1);
                    let mut used = 0;
                    for i in 0..times {
                        if i > 0 {
                            out.push_str(between);
                        }
                        self.repeated(body, &mut used, out);
                    }
                }
                Op::Set(n, body) => {
                    let from = out.len();
                    self.seq(body, out);
                    let register = &mut self.scratch.registers[*n];
                    register.clear();
                    register.push_str(&out[from..]);
                }
                Op::Get(n) => out.push_str(&self.scratch.registers[*n]),
                Op::Encoded(how, body) => {
                    let mut inner = std::mem::take(&mut self.scratch.inner);
                    inner.clear();
                    self.seq(body, &mut inner);
                    encode(*how, &inner, out);
                    self.scratch.inner = inner;
                }
                Op::Chars(set, n) => chars(&mut self.rng, *set, *n, out),
                Op::Num(a, b) => decimal(a + self.rng.below(b.saturating_sub(*a) + 1), out),
                Op::Version(product) => {
                    let key = mix2(self.scope.host.key, *product as u64);
                    out.push_str(self.scope.day.version(*product, key));
                }
                Op::Value(value) => self.value(*value, out),
            }
        }
    }

    /// Appends the body of a repetition. Where it ends in a choice, no choice comes twice.
    fn repeated(&mut self, body: &[Op], used: &mut u64, out: &mut String) {
        let rules = self.rules;
        let choice = match body {
            [.., Op::Alt(parts)] => Some(&**parts),
            [.., Op::Rule(at)] => rules
                .get(*at)
                .filter(|rule| !rule.topic)
                .map(|rule| &*rule.parts),
            _ => None,
        };
        match choice {
            Some(parts) => {
                self.seq(&body[..body.len() - 1], out);
                self.another(parts, used, out);
            }
            None => self.seq(body, out),
        }
    }

    fn value(&mut self, value: Value, out: &mut String) {
        let scope = self.scope;
        match value {
            Value::GuidLower => guid(&mut self.rng, Charset::HexLower, out),
            Value::GuidUpper => guid(&mut self.rng, Charset::HexUpper, out),
            Value::Pid => decimal(300 + self.rng.below(64_000), out),
            Value::WindowsPid => decimal(4 * (200 + self.rng.below(7_000)), out),
            Value::Port => decimal(1_025 + self.rng.below(64_000), out),
            Value::PrivateIp => {
                let r = self.rng.next();
                out.push_str("10.");
                dotted(&[r & 63, (r >> 8) & 255, 1 + ((r >> 16) % 253)], out);
            }
            Value::PublicIp => {
                let r = self.rng.next();
                out.push_str(if r >> 63 == 0 { "198.18." } else { "198.19." });
                dotted(&[r & 255, 1 + ((r >> 16) % 253)], out);
            }
            Value::Mac => {
                out.push_str("00:1a");
                for _ in 0..4 {
                    out.push(':');
                    chars(&mut self.rng, Charset::HexLower, 2, out);
                }
            }
            Value::Date => out.push_str(&scope.day.dashed),
            Value::Yesterday => out.push_str(&scope.day.yesterday),
            Value::DateDigits => out.push_str(&scope.day.digits),
            Value::TimeDigits => clock(self.second(), out),
            Value::Stamp => {
                out.push_str(&scope.day.digits);
                out.push('_');
                clock(self.second(), out);
            }
            Value::EpochSecs => decimal(scope.day.epoch_secs + self.second(), out),
            Value::EpochMillis => {
                decimal(scope.day.epoch_secs + self.second(), out);
                chars(&mut self.rng, Charset::Digits, 3, out);
            }
            Value::User => out.push_str(scope.user),
            Value::Home => home(scope.host.os, scope.user, out),
            Value::Host => out.push_str(&scope.host.name),
            Value::Fqdn => {
                out.push_str(&scope.host.name);
                out.push('.');
                out.push_str(scope.host.domain.dns);
            }
            Value::Domain => out.push_str(scope.host.domain.netbios),
            Value::DnsDomain => out.push_str(scope.host.domain.dns),
            Value::Sid => out.push_str(&scope.host.sid),
            Value::Image => out.push_str(&self.scratch.image),
            Value::OtherHost => out.push_str(&scope.fleet.server(scope.host, self.rng.next()).name),
            Value::OtherUser => out.push_str(&scope.fleet.near(scope.host, self.rng.next()).user),
            Value::C2Ip => out.push_str(scope.campaign.map_or("", |c| &c.ip)),
            Value::C2Domain => out.push_str(scope.campaign.map_or("", |c| &c.domain)),
            Value::C2Port => out.push_str(scope.campaign.map_or("", |c| &c.port)),
            Value::Tool => out.push_str(scope.campaign.map_or("", |c| &c.tool)),
            Value::Stage => out.push_str(scope.campaign.map_or("", |c| &c.stage)),
            Value::Victim => out.push_str(scope.campaign.map_or("", |c| &c.victim)),
            Value::VictimUser => out.push_str(scope.campaign.map_or("", |c| &c.victim_user)),
        }
    }

    fn second(&mut self) -> u64 {
        self.scope.second.unwrap_or_else(|| self.rng.below(86_400))
    }
}

/// The home folder of a login name.
pub(super) fn home(os: Os, user: &str, out: &mut String) {
    out.push_str(match os {
        Os::Windows => r"C:\Users\",
        Os::Linux if user == "root" => "/",
        Os::Linux => "/home/",
        Os::Macos if user == "root" => "/var/",
        Os::Macos => "/Users/",
    });
    out.push_str(user);
}

/// Appends a number in decimal.
pub(super) fn decimal(mut n: u64, out: &mut String) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    push_ascii(&digits[at..], out);
}

fn dotted(parts: &[u64], out: &mut String) {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        decimal(*part, out);
    }
}

fn clock(second: u64, out: &mut String) {
    for part in [second / 3_600, second / 60 % 60, second % 60] {
        if part < 10 {
            out.push('0');
        }
        decimal(part, out);
    }
}

fn guid(rng: &mut Prng, set: Charset, out: &mut String) {
    for (i, n) in [8, 4, 3, 3, 12].into_iter().enumerate() {
        match i {
            0 => {}
            2 => out.push_str("-4"),
            3 => out.push_str(if rng.chance(50) { "-8" } else { "-9" }),
            _ => out.push('-'),
        }
        chars(rng, set, n, out);
    }
}

/// Appends `n` characters of a set, eight for each word of the stream.
fn chars(rng: &mut Prng, set: Charset, n: u64, out: &mut String) {
    let set = set.chars();
    let mut left = usize::try_from(n).unwrap_or(0);
    let mut first = n > 2;
    while left > 0 {
        let mut bytes = rng.next().to_le_bytes();
        for b in &mut bytes {
            *b = set[(usize::from(*b) * set.len()) >> 8];
        }
        if first && bytes[0] == b'0' && set.len() == 10 {
            // A decimal number has no leading zero.
            bytes[0] = b'7';
        }
        first = false;
        let take = left.min(bytes.len());
        push_ascii(&bytes[..take], out);
        left -= take;
    }
}

fn push_ascii(bytes: &[u8], out: &mut String) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.push_str(text);
    }
}

/// Base64 with padding (RFC 4648, section 4), without a buffer between.
fn encode(how: Encoding, text: &str, out: &mut String) {
    let mut group = [0_u8; 3];
    let mut filled = 0;
    let mut put = |byte: u8, out: &mut String| {
        group[filled] = byte;
        filled += 1;
        if filled == 3 {
            sextets(group, 4, out);
            filled = 0;
        }
    };
    match how {
        Encoding::Utf16Base64 => {
            for unit in text.encode_utf16() {
                let [low, high] = unit.to_le_bytes();
                put(low, out);
                put(high, out);
            }
        }
        Encoding::Base64 => {
            for &byte in text.as_bytes() {
                put(byte, out);
            }
        }
    }
    if filled > 0 {
        group[filled..].fill(0);
        sextets(group, filled + 1, out);
        out.push_str(&"=="[..3 - filled]);
    }
}

fn sextets(group: [u8; 3], n: usize, out: &mut String) {
    let word = u32::from_be_bytes([0, group[0], group[1], group[2]]);
    let set = Charset::Base64.chars();
    for i in 0..n {
        let at = usize::try_from((word >> (18 - 6 * i)) & 63).unwrap_or(0);
        out.push(char::from(set[at]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_examples_of_rfc_4648() {
        for (text, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            let mut out = String::new();
            encode(Encoding::Base64, text, &mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn an_encoded_command_is_utf_16_little_endian() {
        let mut out = String::new();
        encode(Encoding::Utf16Base64, "dir", &mut out);
        assert_eq!(out, "ZABpAHIA");
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut out = String::new();
        for n in [0, 7, 10, u64::MAX] {
            decimal(n, &mut out);
            out.push(' ');
        }
        assert_eq!(out, "0 7 10 18446744073709551615 ");
        out.clear();
        clock(3_661, &mut out);
        assert_eq!(out, "010101");
    }

    #[test]
    fn a_guid_has_its_usual_shape() {
        let mut out = String::new();
        guid(&mut Prng::new(3), Charset::HexUpper, &mut out);
        assert_eq!(
            out.split('-').map(str::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12]
        );
    }
}
