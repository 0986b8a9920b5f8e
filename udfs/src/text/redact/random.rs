//! Runs that look random: a token whose format nobody knows.
//!
//! A run is letters, digits and `+ / = _ -`. Two things tell a random run from a name: how often neighbours change between
//! small letters, capitals and digits (a name seldom does, `CamelCase` only from small to capital), and in runs of letters alone, how few
//! vowels there are. Thresholds were set on recorded and documented benign lines (see the changelog for what they alter).

use super::Span;

/// Characters that a random run has at least.
const LEAST: usize = 20;
/// Hexadecimal digits from which a run counts: an MD5 may be a key as well as a checksum.
const LEAST_HEX: usize = 32;

/// All random runs.
pub(super) fn find(text: &str) -> Vec<Span> {
    let bytes = text.as_bytes();
    let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-');
    let mut spans = vec![];
    let mut at = 0;
    while at < bytes.len() {
        if !part(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && part(bytes[at]) {
            at += 1;
        }
        if at - start < LEAST {
            continue;
        }
        // `name=value`: the value alone; padding stays with it.
        let run = &bytes[start..at];
        let assigned = run
            .iter()
            .rposition(|b| *b == b'=')
            .filter(|place| run[place + 1..].iter().any(u8::is_ascii_alphanumeric));
        let from = start + assigned.map_or(0, |place| place + 1);
        judge(bytes, from, at, &mut spans);
    }
    spans
}

fn judge(bytes: &[u8], start: usize, end: usize, spans: &mut Vec<Span>) {
    let run = &bytes[start..end];
    if run.len() < LEAST || is_guid(run) || run.starts_with(b"AppX") || is_package(run) {
        return;
    }
    if let Some(kind) = kind(run) {
        spans.push(Span { start, end, kind });
        return;
    }
    // A GUID in a longer name, a path, or words joined: each part for itself.
    if let Some(at) = (0..run.len().saturating_sub(35)).find(|at| is_guid(&run[*at..at + 36])) {
        judge(bytes, start, start + at, spans);
        judge(bytes, start + at + 36, end, spans);
        return;
    }
    for separator in [b'/', b'-', b'_', b'+', b'='] {
        if run.contains(&separator) {
            let (mut from, before) = (start, spans.len());
            for piece in run.split(|b| *b == separator) {
                judge(bytes, from, from + piece.len(), spans);
                from += piece.len() + 1;
            }
            // Half of it random: base64 whose slashes fell badly. All of it goes.
            let covered: usize = spans[before..].iter().map(|s| s.end - s.start).sum();
            if separator == b'/' && covered * 2 >= run.len() && !run.contains(&b'-') {
                spans.truncate(before);
                spans.push(Span {
                    start,
                    end,
                    kind: "random",
                });
            }
            return;
        }
    }
}

fn kind(run: &[u8]) -> Option<&'static str> {
    let n = run.iter().filter(|b| b.is_ascii_alphanumeric()).count();
    let digits = run.iter().filter(|b| b.is_ascii_digit()).count();
    let capitals = run.iter().filter(|b| b.is_ascii_uppercase()).count();
    let smalls = run.iter().filter(|b| b.is_ascii_lowercase()).count();
    if n == run.len() && run.iter().all(u8::is_ascii_hexdigit) {
        let letters = capitals + smalls;
        return (n >= LEAST_HEX && digits >= 3 && letters >= 3).then_some("hex");
    }
    if n < run.len() && is_joined(run) {
        return None;
    }
    let mixed = capitals >= 3 && smalls >= 3;
    let share = |count: usize| count * 100 / n.max(1);
    let (changed, vowels) = (share(changes(run)), share(vowels(run)));
    let random = if digits >= 2 && mixed {
        changed >= 28 || (changed >= 15 && vowels <= 27)
    } else if digits >= 3 && (capitals >= 3 || smalls >= 3) {
        (changed >= 27 && vowels < 30) || (changed >= 18 && vowels <= 18)
    } else if digits <= 1 && mixed {
        (changed >= 30 && vowels <= 30) || (changed >= 16 && vowels <= 22)
    } else {
        false
    };
    random.then_some("random")
}

/// Words between separators are a name or a path, whatever they are made of.
fn is_joined(run: &[u8]) -> bool {
    let pieces = || {
        run.split(|b| !b.is_ascii_alphanumeric())
            .filter(|piece| !piece.is_empty())
    };
    let short: usize = pieces().map(<[u8]>::len).filter(|n| *n < 7).sum();
    let wordlike = |piece: &[u8]| piece.len() >= 7 && changes(piece) * 100 < 20 * piece.len();
    let guid = (0..run.len().saturating_sub(35)).any(|at| is_guid(&run[at..at + 36]));
    pieces().all(|piece| piece.len() < 12)
        || short * 4 > run.len()
        || pieces().any(wordlike)
        || guid
}

/// `…_x64__8wekyb3d8bbwe`: the publisher's hash in a Windows package's name.
fn is_package(run: &[u8]) -> bool {
    [&b"_x64__"[..], b"_x86__", b"_arm64__", b"_neutral_"]
        .iter()
        .any(|mark| run.windows(mark.len()).any(|part| part == *mark))
}

/// 8-4-4-4-12 hexadecimal digits: a name of something, and a secret only where a name says so.
fn is_guid(run: &[u8]) -> bool {
    run.len() == 36
        && run.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_alphanumeric(),
        })
}

/// Neighbours of different classes; a capital before a small letter is how words begin, and no change.
fn changes(run: &[u8]) -> usize {
    let class = |b: u8| match b {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    run.windows(2)
        .filter(|pair| {
            let (a, b) = (class(pair[0]), class(pair[1]));
            a != b && a != 3 && b != 3 && (a, b) != (1, 2)
        })
        .count()
}

fn vowels(run: &[u8]) -> usize {
    run.iter()
        .filter(|b| {
            matches!(
                b.to_ascii_lowercase(),
                b'a' | b'e' | b'i' | b'o' | b'u' | b'y'
            )
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn random_runs_are_found_and_names_are_not() {
        for token in [
            "x9Kd82mNqP4rT7vW3yZ1",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYq8Zt3vKEYx",
            "9f86d081884c7d659a2feaa0c55ad015",
            "q7f3k9x2m4p8r1t6w5z0",
        ] {
            assert_eq!(find(&format!("tool {token} x")).len(), 1, "{token}");
        }
        for name in [
            "Microsoft.Windows.Search_cw5n1h2txyewy",
            "Get-AzureRmVirtualMachineScaleSet",
            "/usr/lib/x86_64-linux-gnu/libstdc++",
            "path/to/some_long_directory/name2023",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "NetworkPerformanceMonitor2019Enterprise",
        ] {
            assert!(find(&format!("tool {name} x")).is_empty(), "{name}");
        }
    }
}
