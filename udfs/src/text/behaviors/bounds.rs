//! What must stand around a needle: the anchors that regular expressions lack.
//!
//! **Cost.** A few bytes to the left and the right of a hit; a path before a piped command is walked once.

/// What must stand around a needle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Anywhere,
    Exact,
    Word,
    Command,
    Piped,
    Switch,
    /// No letter, digit, `_` or `-` on either side: a token of Splunk's tokenizer `[\w\d\-]+`.
    Token,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn opens_command(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\\/\"'|&;(){}$=@,[!>`".contains(&byte)
}

fn closes_command(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"'|&;(){}<>,]`\\".contains(&byte)
}

/// Whether what stands around `line[start..end]` is what the bound asks.
#[inline]
pub(super) fn bounded(bound: Bound, text: &str, line: &[u8], start: usize, end: usize) -> bool {
    let left = line.get(..start).unwrap_or_default();
    let right = line.get(end..).unwrap_or_default();
    match bound {
        Bound::Anywhere => true,
        Bound::Exact => line.get(start..end) == Some(text.as_bytes()),
        Bound::Word => {
            !left.last().is_some_and(|b| is_word(*b)) && !right.first().is_some_and(|b| is_word(*b))
        }
        Bound::Token => {
            let inside = |byte: &u8| is_word(*byte) || *byte == b'-';
            !left.last().is_some_and(inside) && !right.first().is_some_and(inside)
        }
        Bound::Command => is_command(left, right),
        Bound::Piped => is_command(left, right) && piped_into(left),
        Bound::Switch => {
            if right.first().is_some_and(|b| is_word(*b)) {
                return false;
            }
            let left = left.strip_suffix(b"-").unwrap_or(left);
            left.last()
                .is_none_or(|b| b.is_ascii_whitespace() || b"\"'(,;".contains(b))
        }
    }
}

fn is_command(left: &[u8], right: &[u8]) -> bool {
    if !left.last().is_none_or(|b| opens_command(*b)) {
        return false;
    }
    let versioned = right
        .iter()
        .position(|b| !b.is_ascii_digit() && *b != b'.')
        .unwrap_or(right.len());
    let rest = match right {
        [b'.', e, x, f, rest @ ..] if [*e, *x, *f].eq_ignore_ascii_case(b"exe") => rest,
        _ => right.get(versioned..).unwrap_or_default(),
    };
    rest.first().is_none_or(|b| closes_command(*b))
}

/// Whether the text before a command, less its directory, `sudo` and `env`, ends in a pipe.
fn piped_into(left: &[u8]) -> bool {
    let directory = left
        .iter()
        .rev()
        .take_while(|b| is_word(**b) || b"/.-".contains(b))
        .count();
    let mut left = left
        .get(..left.len() - directory)
        .unwrap_or_default()
        .trim_ascii_end();
    for prefix in [&b"sudo -E"[..], b"sudo", b"env", b"nohup"] {
        left = left
            .strip_suffix(prefix)
            .map_or(left, <[u8]>::trim_ascii_end);
    }
    matches!(left, [b'|'] | [.., b'\0'..=b'{' | b'}'..=b'\xff', b'|'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bound: Bound, line: &str, needle: &str) -> bool {
        let start = line.find(needle).unwrap_or(0);
        bounded(bound, needle, line.as_bytes(), start, start + needle.len())
    }

    #[test]
    fn a_command_stands_where_a_shell_looks_for_one() {
        for line in [
            "nc -l",
            "/bin/nc -l",
            "sudo nc",
            "a;nc",
            "nc.exe -l",
            "\"C:\\x\\nc.exe\" -l",
            "$(nc",
            "nc2",
        ] {
            assert!(at(Bound::Command, line, "nc"), "{line}");
        }
        for line in [
            "rsync x", "func", "-nc", "x.nc", "nc.txt", "sync", "nc-x", "nc_x",
        ] {
            assert!(!at(Bound::Command, line, "nc"), "{line}");
        }
    }

    #[test]
    fn a_pipe_leads_into_a_command_past_its_directory_and_sudo() {
        for line in [
            "x | sh",
            "x|sh",
            "x | /bin/sh -c",
            "x | sudo sh",
            "x|sudo -E /usr/bin/sh",
        ] {
            assert!(at(Bound::Piped, line, "sh"), "{line}");
        }
        for line in ["x || sh", "sh -c x", "x | push", "x | tee sh"] {
            assert!(!at(Bound::Piped, line, "sh"), "{line}");
        }
    }

    #[test]
    fn a_switch_begins_an_argument() {
        for line in [
            "x -decode y",
            "x /decode",
            "--decode",
            "x '-decode' y",
            "x -decode:y",
        ] {
            assert!(
                at(Bound::Switch, line, "-decode") || at(Bound::Switch, line, "/decode"),
                "{line}"
            );
        }
        for line in ["x-decode", "-decodehex", "x--decode"] {
            assert!(!at(Bound::Switch, line, "-decode"), "{line}");
        }
    }
}
