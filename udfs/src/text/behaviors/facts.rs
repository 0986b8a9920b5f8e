//! Facts: what the scan, not the automaton, finds, and behaviours build on.
//!
//! Addresses are classed by their ranges (RFC 1918, 3927, 5771, 6890), a base64 run by its first bytes. **Cost.** A few
//! comparisons; of a base64 run at most 64 characters are decoded, on the stack.

use crate::text::scan::Scan;
use base64::Engine as _;

/// What the scan found, as a needle is found by the automaton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// An address of 10/8, 172.16/12 or 192.168/16 (RFC 1918).
    Private,
    /// An address of none of the other kinds.
    Public,
    /// 127/8.
    Loopback,
    /// 169.254/16.
    LinkLocal,
    /// 224/4.
    Multicast,
    /// 240/4 and the broadcast address.
    Reserved,
    /// 0.0.0.0.
    Unspecified,
    /// The longest base64 run decodes to UTF-16LE text of ASCII.
    Utf16Payload,
    /// A base64 run of 80 characters or more.
    LongBase64,
    /// A hexadecimal run of 32 characters or more.
    LongHex,
    /// Two backticks or more inside words.
    Ticks,
    /// Two carets or more inside words.
    Carets,
    /// Two string concatenations or more.
    Concatenations,
}

impl Fact {
    pub(crate) const ALL: [Self; 13] = [
        Self::Private,
        Self::Public,
        Self::Loopback,
        Self::LinkLocal,
        Self::Multicast,
        Self::Reserved,
        Self::Unspecified,
        Self::Utf16Payload,
        Self::LongBase64,
        Self::LongHex,
        Self::Ticks,
        Self::Carets,
        Self::Concatenations,
    ];
}

/// The facts of a line that was scanned, each at most once.
pub(crate) fn facts(scan: &Scan, line: &str) -> impl Iterator<Item = Fact> + use<> {
    let mut bits = 0_u32;
    let mut found = |fact: Fact, holds: bool| bits |= u32::from(holds) << fact as u32;
    for address in &scan.addresses {
        found(kind(*address), true);
    }
    let base64 = scan.base64_run.len();
    found(
        Fact::Utf16Payload,
        base64 > 0 && is_utf16(line.get(scan.base64_run.clone()).unwrap_or_default()),
    );
    found(Fact::LongBase64, base64 >= 80);
    found(Fact::LongHex, scan.hex_run >= 32);
    found(Fact::Ticks, scan.ticks_in_words >= 2);
    found(Fact::Carets, scan.carets_in_words >= 2);
    found(Fact::Concatenations, scan.concatenations >= 2);
    Fact::ALL
        .into_iter()
        .filter(move |fact| bits & 1 << *fact as u32 != 0)
}

fn kind(address: [u8; 4]) -> Fact {
    match address {
        [0, 0, 0, 0] => Fact::Unspecified,
        [127, ..] => Fact::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Fact::Private,
        [169, 254, ..] => Fact::LinkLocal,
        [224..=239, ..] => Fact::Multicast,
        [0 | 240..=255, ..] => Fact::Reserved,
        _ => Fact::Public,
    }
}

/// Whether base64 decodes to UTF-16LE whose characters are ASCII; the first 64 characters tell.
fn is_utf16(run: &str) -> bool {
    let mut bytes = [0; 48];
    let head = run.get(..run.len().min(64) & !3).unwrap_or_default();
    let engine = &base64::engine::general_purpose::STANDARD_NO_PAD;
    let Ok(length) = engine.decode_slice(head, &mut bytes) else {
        return false;
    };
    let mut pairs = bytes.get(..length).unwrap_or_default().chunks_exact(2);
    length >= 12 && pairs.all(|pair| matches!(pair, [b'\t' | b'\n' | b'\r' | b' '..=b'~', 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_classed_as_the_standards_say() {
        for (address, fact) in [
            ([10, 0, 0, 1], Fact::Private),
            ([172, 31, 0, 1], Fact::Private),
            ([172, 32, 0, 1], Fact::Public),
            ([192, 168, 1, 1], Fact::Private),
            ([127, 0, 0, 1], Fact::Loopback),
            ([169, 254, 0, 1], Fact::LinkLocal),
            ([239, 1, 1, 1], Fact::Multicast),
            ([255, 255, 255, 255], Fact::Reserved),
            ([0, 0, 0, 0], Fact::Unspecified),
            ([8, 8, 8, 8], Fact::Public),
        ] {
            assert_eq!(kind(address), fact, "{address:?}");
        }
    }

    #[test]
    fn a_payload_is_utf16_of_ascii_or_none() {
        assert!(is_utf16("SQBFAFgAIAAoAE4AZQB3AC0A"));
        assert!(!is_utf16("SGVsbG8gd29ybGQgYW5kIG1vcmU1"));
        assert!(!is_utf16("SQBFAFgA") && !is_utf16(""));
    }
}
