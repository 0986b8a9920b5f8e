//! Splits a command line into words and operators, for keys and rules.
//!
//! What: one tolerant splitter for `cmd`, `PowerShell` and POSIX shells. It is no shell: it answers "what are the
//! words, which of them were quoted, and which operators join them", and never fails on malformed text.
//!
//! Why one for all: a line often mixes them (`cmd /c powershell -c "a | b"`), the telemetry seldom says which
//! shell it was, and the keys built on it need only be equal for equal structure, not right in every corner. A quote that
//! is never closed is an ordinary character, so an apostrophe cannot swallow the rest of a line.
//!
//! Cost: one pass, linear. At most [`MAX_PIECES`] pieces are returned, and the unread rest is handed back so that a
//! key can hash it: a hostile line of 1 MiB costs bounded memory and still keeps its own key.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// More pieces than any honest line has; what follows comes back as [`Split::rest`].
pub(crate) const MAX_PIECES: usize = 16_384;

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// The word with the quotes that only quote removed.
    pub(crate) text: Cow<'a, str>,
    /// A quoted part held white space or an operator: the word may be a script of its own.
    pub(crate) script: bool,
}

/// A word or an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A word.
    Word(Word<'a>),
    /// `|`, `||`, `&`, `&&`, `;`, a backtick, `$(`, or a redirection with its descriptors such as `2>&1`.
    Operator(&'a str),
}

/// What [`split`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// Words and operators in order.
    pub(crate) pieces: Vec<Piece<'a>>,
    /// What was left unread because the line has more than [`MAX_PIECES`] pieces; else empty.
    pub(crate) rest: &'a str,
}

/// Characters that join or redirect commands.
pub(crate) const fn is_operator(byte: u8) -> bool {
    matches!(byte, b'|' | b'&' | b';' | b'<' | b'>' | b'`')
}

/// The byte that ends the operator which starts at `at`; `None` where none starts.
/// A `>` takes its descriptor (`2>`) along only when the caller starts at the digit.
pub(crate) fn operator_end(bytes: &[u8], at: usize) -> Option<usize> {
    let byte = *bytes.get(at)?;
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    match byte {
        b'$' if next == b'(' => Some(at + 2),
        b'`' | b';' => Some(at + 1),
        b'|' => Some(at + 1 + usize::from(next == b'|' || next == b'&')),
        b'&' if next == b'>' => Some(at + 2 + usize::from(bytes.get(at + 2) == Some(&b'>'))),
        b'&' => Some(at + 1 + usize::from(next == b'&')),
        b'<' if placeholder_len(bytes, at) > 0 => None,
        b'<' | b'>' => {
            let mut end = at + 1;
            while end < bytes.len() && end < at + 3 && matches!(bytes[end], b'<' | b'>' | b'|') {
                end += 1;
            }
            if bytes.get(end) == Some(&b'&') {
                end += 1;
                while end < bytes.len() && end < at + 8 && matches!(bytes[end], b'0'..=b'9' | b'-')
                {
                    end += 1;
                }
            }
            Some(end)
        }
        digit if digit.is_ascii_digit() && matches!(next, b'<' | b'>') => {
            operator_end(bytes, at + 1)
        }
        _ => None,
    }
}

/// What [`super::canonical`] writes between `<` and `>`; in a key these are words and no redirections.
const PLACEHOLDERS: &[&[u8]] = &[
    b"num", b"ver", b"guid", b"sid", b"hash", b"hex", b"ip", b"host", b"email", b"user", b"date",
    b"time", b"tmp", b"b64", b"query", b"mac",
];

/// The length of the placeholder that starts at `at`; 0 where none does.
pub(crate) fn placeholder_len(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let name = rest
        .iter()
        .take(40)
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b':')
        .count();
    let text = rest.get(..name).unwrap_or_default();
    let known = rest.get(name) == Some(&b'>')
        && (PLACEHOLDERS.contains(&text) || text.starts_with(b"enc:"));
    if known { name + 2 } else { 0 }
}

/// Can a quote open after this byte? (`it's` does not open one, `--x='y z'` does.)
pub(crate) const fn opens_after(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || byte >= 0x80)
}

/// For each kind of quote: is there still a closing one ahead? Keeps unclosed quotes from being searched for twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotes {
    exhausted_single: bool,
    exhausted_double: bool,
    backslash_escapes: bool,
}

impl Quotes {
    /// `backslash_escapes`: inside double quotes `\"` is a character (C runtime and POSIX alike).
    pub(crate) const fn new(backslash_escapes: bool) -> Self {
        Self {
            exhausted_single: false,
            exhausted_double: false,
            backslash_escapes,
        }
    }

    /// The position of the quote that closes the one at `open`.
    pub(crate) fn close(&mut self, bytes: &[u8], open: usize) -> Option<usize> {
        let quote = bytes[open];
        let exhausted = if quote == b'"' {
            &mut self.exhausted_double
        } else {
            &mut self.exhausted_single
        };
        if *exhausted {
            return None;
        }
        let mut at = open + 1;
        while at < bytes.len() {
            if bytes[at] == quote {
                return Some(at);
            }
            at += if quote == b'"'
                && self.backslash_escapes
                && bytes[at] == b'\\'
                && bytes.get(at + 1) == Some(&b'"')
            {
                2
            } else {
                1
            };
        }
        *exhausted = true;
        None
    }
}

/// Splits a line into words and operators.
pub(crate) fn split(line: &str) -> Split<'_> {
    let bytes = line.as_bytes();
    let mut quotes = Quotes::new(true);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if pieces.len() >= MAX_PIECES {
            return Split {
                pieces,
                rest: line.get(at..).unwrap_or_default(),
            };
        }
        if bytes[at].is_ascii_whitespace() {
            at += 1;
        } else if let Some(end) = operator_end(bytes, at) {
            pieces.push(Piece::Operator(line.get(at..end).unwrap_or("&")));
            at = end;
        } else {
            let (word, end) = word_at(line, at, &mut quotes);
            pieces.push(Piece::Word(word));
            at = end;
        }
    }
    Split { pieces, rest: "" }
}

fn word_at<'a>(line: &'a str, start: usize, quotes: &mut Quotes) -> (Word<'a>, usize) {
    let bytes = line.as_bytes();
    let mut script = false;
    let mut owned: Option<String> = None;
    let mut copied = start;
    let mut at = start;
    while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
        let byte = bytes[at];
        if matches!(byte, b'"' | b'\'')
            && (at == start || byte == b'"' || opens_after(bytes[at - 1]))
            && let Some(close) = quotes.close(bytes, at)
        {
            let inner = line.get(at + 1..close).unwrap_or_default();
            script |= inner
                .bytes()
                .any(|b| b.is_ascii_whitespace() || matches!(b, b'|' | b'&' | b';' | b'`'));
            let text = owned.get_or_insert_default();
            text.push_str(line.get(copied..at).unwrap_or_default());
            text.push_str(inner);
            at = close + 1;
            copied = at;
        } else if byte == b'<' && placeholder_len(bytes, at) > 0 {
            at += placeholder_len(bytes, at);
        } else if operator_end(bytes, at).is_some() && !byte.is_ascii_digit() {
            break;
        } else {
            // A backslash keeps the next character from acting (`\;`, `\ `, `\"`).
            at += if byte == b'\\'
                && bytes
                    .get(at + 1)
                    .is_some_and(|b| matches!(b, b'|' | b'&' | b';' | b'`' | b'"' | b'\''))
            {
                2
            } else {
                1
            };
        }
    }
    let at = at.min(bytes.len());
    let text = match owned {
        None => Cow::Borrowed(line.get(start..at).unwrap_or_default()),
        Some(mut text) => {
            text.push_str(line.get(copied..at).unwrap_or_default());
            Cow::Owned(text)
        }
    };
    (Word { text, script }, at)
}

/// The last component of a path, without a directory and, where it is an executable's, the extension.
pub(crate) fn base_name(word: &str) -> &str {
    let word = word.trim_matches(|c| matches!(c, '"' | '\'' | '(' | ')' | '{' | '}' | ',' | '@'));
    let name = word.rsplit(['\\', '/']).next().unwrap_or(word);
    for extension in [".exe", ".com", ".cmd", ".bat", ".scr", ".pif"] {
        if let Some(stem) = strip_suffix_ignore_case(name, extension) {
            return stem;
        }
    }
    name
}

/// `strip_suffix` that ignores ASCII case.
pub(crate) fn strip_suffix_ignore_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let cut = text.len().checked_sub(suffix.len())?;
    let tail = text.get(cut..)?;
    tail.eq_ignore_ascii_case(suffix)
        .then(|| text.get(..cut))
        .flatten()
}

/// Is this a `PowerShell` cmdlet name (`Verb-Noun`, letters only, verb of 3 letters or more)?
pub(crate) fn is_cmdlet(word: &str) -> bool {
    let Some((verb, noun)) = word.split_once('-') else {
        return false;
    };
    verb.len() >= 3
        && noun.len() >= 2
        && verb.bytes().all(|b| b.is_ascii_alphabetic())
        && noun.bytes().all(|b| b.is_ascii_alphanumeric())
        && CMDLET_VERBS
            .split_ascii_whitespace()
            .any(|v| v.eq_ignore_ascii_case(verb))
}

/// Is the word in a list that is written as one string with white space between?
///
/// Long lists are written so because one word a line would bury the code; a scan of some hundred bytes is cheap.
pub(crate) fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|item| item == word)
}

/// The approved verbs that occur, and the two that attack frameworks add.
const CMDLET_VERBS: &str = "\
    add clear close compare complete compress confirm connect convert convertfrom convertto copy \
    debug disable disconnect dismount enable enter exit expand export find foreach format get \
    grant group hide import initialize install invoke join limit lock measure merge mount move \
    new out ping pop protect publish push read receive register remove rename repair reset \
    resize resolve restart restore resume revoke save search select send set show sort split \
    start stop submit suspend switch sync tee test trace unblock undo uninstall unlock unprotect \
    unpublish unregister update use wait watch where write";

/// Programs that only Windows has under these names.
const WINDOWS_PROGRAMS: &str = "\
    attrib auditpol bcdedit bitsadmin cacls certutil cipher cmd cmdkey cmstp cscript del dism \
    driverquery dsquery esentutl forfiles fsutil gpresult gpupdate icacls ipconfig klist mshta \
    msiexec net net1 netsh nltest ntdsutil odbcconf powershell pwsh qwinsta reg regsvr32 \
    robocopy rundll32 sc schtasks setx systeminfo takeown taskkill tasklist vssadmin wevtutil \
    where whoami wmic wscript xcopy";

/// What only a line for Windows holds. None only if the automaton could not be built, which a test excludes.
static WINDOWS_MARKS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let marks = [
        ".exe",
        "$env:",
        "hklm",
        "hkcu",
        "hkey_",
        "%systemroot%",
        "%temp%",
        "%windir%",
        "%comspec%",
        "%appdata%",
        "%userprofile%",
    ];
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(marks)
        .ok()
});

/// Does the line look as if Windows (where case means nothing) will read it?
///
/// Looks at the first 4 KiB: a drive letter, `%VAR%` paths, an `.exe`, a cmdlet, a registry hive, or a first word that
/// only Windows has. A mistake costs a fold of case too much or too few, in both directions harmless to equality.
pub(crate) fn looks_windows(line: &str) -> bool {
    let mut end = line.len().min(4096);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let head = line.get(..end).unwrap_or_default();
    let bytes = head.as_bytes();
    let drive = bytes.windows(3).enumerate().any(|(i, w)| {
        w[1] == b':'
            && w[2] == b'\\'
            && w[0].is_ascii_alphabetic()
            && (i == 0 || !bytes[i - 1].is_ascii_alphanumeric())
    });
    if drive || head.starts_with("\\\\") {
        return true;
    }
    if WINDOWS_MARKS.as_ref().is_some_and(|m| m.is_match(head)) {
        return true;
    }
    let lower = head.to_ascii_lowercase();
    lower
        .split(|c: char| c.is_whitespace() || matches!(c, '|' | ';' | '(' | '{' | '&' | '"'))
        .filter(|word| !word.is_empty())
        .take(64)
        .enumerate()
        .any(|(i, word)| is_cmdlet(word) || (i == 0 && listed(WINDOWS_PROGRAMS, base_name(word))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_windows_are_found_in_any_case() {
        assert!(WINDOWS_MARKS.is_some());
        for line in ["x.EXE", "echo $Env:a", "x HKLM", "%ComSpec% /c x"] {
            assert!(looks_windows(line), "{line}");
        }
        assert!(!looks_windows("ls executable temp"));
    }

    fn shown(line: &str) -> Vec<String> {
        split(line)
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Word(w) if w.script => format!("[{}]", w.text),
                Piece::Word(w) => w.text.to_string(),
                Piece::Operator(op) => format!("<{op}>"),
            })
            .collect()
    }

    #[test]
    fn words_and_operators_come_in_order() {
        assert_eq!(
            shown("cat a|wc -l >out 2>&1 && echo done"),
            [
                "cat", "a", "<|>", "wc", "-l", "<>>", "out", "<2>&1>", "<&&>", "echo", "done"
            ]
        );
    }

    #[test]
    fn a_quoted_operator_is_part_of_the_word() {
        assert_eq!(
            shown(r#"bash -c 'a | b' "x""#),
            ["bash", "-c", "[a | b]", "x"]
        );
    }

    #[test]
    fn an_apostrophe_that_nothing_closes_is_a_character() {
        assert_eq!(shown("echo it's fine"), ["echo", "it's", "fine"]);
        assert_eq!(shown("echo 'open end"), ["echo", "'open", "end"]);
    }

    #[test]
    fn an_escaped_quote_inside_quotes_does_not_close() {
        assert_eq!(
            shown(r#"sc create x binpath= "cmd \"a b\" c""#),
            ["sc", "create", "x", "binpath=", r#"[cmd \"a b\" c]"#]
        );
    }

    #[test]
    fn a_line_with_too_many_pieces_hands_back_its_rest() {
        let line = "; ".repeat(MAX_PIECES + 10);
        let split = split(&line);
        assert_eq!(split.pieces.len(), MAX_PIECES);
        assert!(!split.rest.is_empty());
    }

    #[test]
    fn many_unclosed_quotes_cost_one_search() {
        let line = " '\"a".repeat(100_000);
        assert!(!split(&line).pieces.is_empty());
    }

    #[test]
    fn windows_lines_are_recognised_and_linux_lines_are_not() {
        for line in [
            "C:\\x.exe",
            "net user",
            "Get-Item x",
            "reg query HKLM\\Software",
            "\\\\srv\\c$",
            "\"cmd\" /c dir",
        ] {
            assert!(looks_windows(line), "{line}");
        }
        for line in [
            "ls -R /tmp",
            "apt-get install x",
            "git log",
            "find . -name x",
            "docker-compose up",
        ] {
            assert!(!looks_windows(line), "{line}");
        }
    }

    #[test]
    fn a_base_name_has_neither_directory_nor_executable_extension() {
        assert_eq!(base_name("\"C:\\Windows\\System32\\CMD.EXE\""), "CMD");
        assert_eq!(base_name("/usr/bin/python3"), "python3");
        assert_eq!(base_name("run.sh"), "run.sh");
    }
}
