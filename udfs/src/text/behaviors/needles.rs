//! The automaton and the expressions over what it finds.
//!
//! **What.** [`Engine`] is built from the behaviours and the counters' words: a needle is a text with a [`Bound`]; equal
//! ones are shared. [`Hits::run`] reads a line and leaves how often and where each needle was found, and which behaviours
//! hold. **Cost.** One transition a byte, one boundary check a hit; the scratch is cleared by what was touched.

use super::{Behavior, Expr, Fact};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::sync::LazyLock;

/// What must stand around a needle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Anywhere,
    Word,
    Command,
    Piped,
    Switch,
    /// No letter, digit, `_` or `-` on either side: a token of Splunk's tokenizer `[\w\d\-]+`.
    Token,
}

/// What is counted beside the behaviours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Interpreters called.
    Interpreters,
    /// Network utilities called.
    NetworkUtilities,
    /// Different substrings of the block list.
    Blocklist,
    /// Duplications of file descriptors.
    Redirections,
    /// Casts of numbers to characters.
    CharCasts,
    /// Substring expansions of variables.
    Substrings,
    /// Bytes written as escapes.
    ByteEscapes,
}

const INTERPRETERS: [&str; 27] = [
    "powershell", "pwsh", "cmd", "cscript", "wscript", "mshta", "rundll32", "regsvr32", "python", "perl", "ruby", "php",
    "lua", "node", "osascript", "bash", "sh", "zsh", "dash", "ksh", "fish", "csh", "tclsh", "awk", "gawk", "java", "wsl",
];
const NETWORK_UTILITIES: [&str; 26] = [
    "curl", "wget", "nc", "ncat", "netcat", "socat", "telnet", "ssh", "scp", "sftp", "ftp", "tftp", "rsync", "nmap",
    "ping", "nslookup", "dig", "certutil", "bitsadmin", "netsh", "net", "net1", "tcpdump", "plink", "openssl", "arp",
];
/// In the spirit of Elastic's problem-child block list of 37 substrings; the choice is ours.
const BLOCKLIST: [&str; 37] = [
    "mimikatz", "sekurlsa", "invoke-", "downloadstring", "downloadfile", "frombase64string", "-enc", "bypass", "hidden",
    "lsass", "minidump", "comsvcs", "procdump", "vssadmin", "ntdsutil", "shadowcopy", "wevtutil", "bcdedit", "schtasks",
    "psexec", "wmic", "certutil", "bitsadmin", "mshta", "regsvr32", "scrobj", "rundll32", "javascript:", "vbscript:",
    "reflection", "virtualalloc", "bxor", "/dev/tcp", "mkfifo", "/etc/shadow", "ld_preload", "base64",
];
/// The words of Splunk's `potentially_malicious_code_on_cmdline_tokenize_score`, in its order.
pub(crate) const SPLUNK: [&str; 36] = [
    "for", "netsh", "readbytes", "set", "unrestricted", "winstations", "-value", "compression", "server",
    "set-mppreference", "terminal", "-name", "catch", "get-wmiobject", "hklm", "streamreader", "system32", "username",
    "webrequest", "count", "webclient", "writeallbytes", "convert", "create", "function", "net", "com", "http", "io",
    "system", "new-object", "if", "threading", "mutex", "cryptography", "computehash",
];

#[derive(Debug)]
enum Node {
    Needle(usize),
    All(Vec<Node>),
    Any(Vec<Node>),
    Then(Vec<Node>),
    Not(Box<Node>),
}

/// The automaton, the needles' bounds and the compiled behaviours. Facts are the first needles.
#[derive(Debug)]
pub(crate) struct Engine {
    /// None only if the automaton could not be built, which a test excludes.
    automaton: Option<AhoCorasick>,
    needles: Vec<(Bound, &'static str)>,
    behaviors: Vec<Node>,
    /// For each needle the behaviours that it may make hold.
    wakes: Vec<Vec<u16>>,
    counters: Vec<Vec<usize>>,
    splunk: Vec<usize>,
}

impl Engine {
    /// The engine over all behaviours; built on first use, some milliseconds and a megabyte.
    pub(crate) fn shared() -> &'static Self {
        static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(&super::all().copied().collect::<Vec<_>>()));
        &ENGINE
    }

    fn new(behaviors: &[Behavior]) -> Self {
        let mut needles = vec![(Bound::Anywhere, ""); Fact::ALL.len()];
        let nodes: Vec<_> = behaviors.iter().map(|behavior| compile(&behavior.when, &mut needles)).collect();
        let mut all = |bound, texts: &[&'static str]| -> Vec<usize> {
            texts.iter().map(|text| needle(bound, text, &mut needles)).collect()
        };
        let counters = vec![
            all(Bound::Command, &INTERPRETERS),
            all(Bound::Command, &NETWORK_UTILITIES),
            all(Bound::Anywhere, &BLOCKLIST),
            all(Bound::Anywhere, &[">&", "<&"]),
            all(Bound::Anywhere, &["[char]", "chr(", "chrw(", "string.fromcharcode", "fromcharcode("]),
            all(Bound::Anywhere, &[":~", "${IFS}", "$IFS$", ":0:1}", ".substring("]),
            all(Bound::Anywhere, &["\\x", ",0x", "$'\\"]),
        ];
        let splunk = all(Bound::Token, &SPLUNK);
        let mut wakes = vec![Vec::new(); needles.len()];
        for (index, node) in (0..).zip(&nodes) {
            let mut anchors = Vec::new();
            anchors_of(node, &mut anchors);
            for anchor in anchors {
                wakes[anchor].push(index);
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(needles.iter().skip(Fact::ALL.len()).map(|(_, text)| text))
            .ok();
        Self { automaton, needles, behaviors: nodes, wakes, counters, splunk }
    }

    pub(crate) fn behaviors_len(&self) -> usize {
        self.behaviors.len()
    }
}

fn needle(bound: Bound, text: &'static str, needles: &mut Vec<(Bound, &'static str)>) -> usize {
    needles.iter().position(|known| *known == (bound, text)).unwrap_or_else(|| {
        needles.push((bound, text));
        needles.len() - 1
    })
}

fn compile(expr: &Expr, needles: &mut Vec<(Bound, &'static str)>) -> Node {
    let mut list = |parts: &[Expr]| parts.iter().map(|part| compile(part, needles)).collect();
    match expr {
        Expr::All(parts) => Node::All(list(parts)),
        Expr::Any(parts) => Node::Any(list(parts)),
        Expr::Then(parts) => Node::Then(list(parts)),
        Expr::Not(part) => Node::Not(Box::new(compile(part, needles))),
        Expr::Is(fact) => Node::Needle(*fact as usize),
        Expr::Text(text) => Node::Needle(needle(Bound::Anywhere, text, needles)),
        Expr::Word(text) => Node::Needle(needle(Bound::Word, text, needles)),
        Expr::Command(text) => Node::Needle(needle(Bound::Command, text, needles)),
        Expr::Piped(text) => Node::Needle(needle(Bound::Piped, text, needles)),
        Expr::Switch(text) => Node::Needle(needle(Bound::Switch, text, needles)),
    }
}

/// Needles of which at least one must be found for the node to hold: of a conjunction its first part's.
fn anchors_of(node: &Node, anchors: &mut Vec<usize>) {
    match node {
        Node::Needle(index) => anchors.push(*index),
        Node::Any(parts) => parts.iter().for_each(|part| anchors_of(part, anchors)),
        Node::All(parts) | Node::Then(parts) => {
            if let Some(part) = parts.iter().find(|part| !matches!(part, Node::Not(_))) {
                anchors_of(part, anchors);
            }
        }
        Node::Not(_) => {}
    }
}

/// Where a needle was found in the line at hand.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    count: u32,
    first_start: usize,
    last_end: usize,
}

/// What the automaton found in a line; reused from line to line.
#[derive(Debug, Clone)]
pub(crate) struct Hits {
    found: Vec<Found>,
    touched: Vec<usize>,
    waking: Vec<u16>,
    holding: Vec<u16>,
}

impl Hits {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            found: vec![Found::default(); engine.needles.len()],
            touched: Vec::new(),
            waking: Vec::new(),
            holding: Vec::new(),
        }
    }

    /// Reads a line, given the facts that the scan found in it. Facts have no place, so they never keep an order.
    pub(crate) fn run(&mut self, engine: &Engine, line: &str, facts: impl Iterator<Item = Fact>) {
        for index in self.touched.drain(..) {
            self.found[index] = Found::default();
        }
        for fact in facts {
            self.touch(fact as usize, 0, line.len());
        }
        if let Some(automaton) = &engine.automaton {
            let bytes = line.as_bytes();
            for hit in automaton.find_overlapping_iter(line) {
                let index = hit.pattern().as_usize() + Fact::ALL.len();
                if bounded(engine.needles[index].0, bytes, hit.start(), hit.end()) {
                    self.touch(index, hit.start(), hit.end());
                }
            }
        }
        self.waking.clear();
        for index in &self.touched {
            self.waking.extend(&engine.wakes[*index]);
        }
        self.waking.sort_unstable();
        self.waking.dedup();
        self.holding.clear();
        for behavior in &self.waking {
            if holds(&engine.behaviors[usize::from(*behavior)], &self.found).is_some() {
                self.holding.push(*behavior);
            }
        }
    }

    #[inline]
    fn touch(&mut self, index: usize, start: usize, end: usize) {
        let found = &mut self.found[index];
        if found.count == 0 {
            found.first_start = start;
            self.touched.push(index);
        }
        found.count = found.count.saturating_add(1);
        found.last_end = end;
    }

    /// The indices of the behaviours that hold, ascending.
    pub(crate) fn holding(&self) -> &[u16] {
        &self.holding
    }

    /// How often Splunk's words occur, in the order of [`SPLUNK`].
    pub(crate) fn splunk(&self, engine: &Engine) -> impl Iterator<Item = u32> {
        engine.splunk.iter().map(|index| self.found[*index].count)
    }

    /// A counter's sum; of the block list how many different substrings occur.
    pub(crate) fn count(&self, engine: &Engine, counter: Counter) -> u32 {
        let counts = engine.counters[counter as usize].iter().map(|index| self.found[*index].count);
        if counter == Counter::Blocklist { counts.map(|count| count.min(1)).sum() } else { counts.sum() }
    }
}

/// Where a node that holds can begin at the earliest and end at the latest.
fn holds(node: &Node, found: &[Found]) -> Option<(usize, usize)> {
    let wider = |a: (usize, usize), b: (usize, usize)| (a.0.min(b.0), a.1.max(b.1));
    match node {
        Node::Needle(index) => {
            let found = found[*index];
            (found.count > 0).then_some((found.first_start, found.last_end))
        }
        Node::Any(parts) => parts.iter().filter_map(|part| holds(part, found)).reduce(wider),
        Node::All(parts) => {
            let mut span = (usize::MAX, 0);
            for part in parts {
                span = wider(span, holds(part, found)?);
            }
            Some(span)
        }
        Node::Then(parts) => {
            let mut spans = parts.iter().map(|part| holds(part, found));
            let mut span = spans.next()??;
            let mut begin = span.0;
            for next in spans {
                let next = next?;
                if begin >= next.1 {
                    return None;
                }
                begin = begin.max(next.0);
                span = wider(span, next);
            }
            Some(span)
        }
        Node::Not(part) => holds(part, found).is_none().then_some((usize::MAX, 0)),
    }
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
fn bounded(bound: Bound, line: &[u8], start: usize, end: usize) -> bool {
    let left = line.get(..start).unwrap_or_default();
    let right = line.get(end..).unwrap_or_default();
    match bound {
        Bound::Anywhere => true,
        Bound::Word => !left.last().is_some_and(|b| is_word(*b)) && !right.first().is_some_and(|b| is_word(*b)),
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
            let before = match left {
                [before @ .., b'-', b'-'] | [before @ .., b'-' | b'/'] => before,
                _ => return false,
            };
            before.last().is_none_or(|b| b.is_ascii_whitespace() || b"\"'(,;".contains(b))
        }
    }
}

fn is_command(left: &[u8], right: &[u8]) -> bool {
    if !left.last().is_none_or(|b| opens_command(*b)) {
        return false;
    }
    let versioned = right.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(right.len());
    let rest = match right {
        [b'.', e, x, f, rest @ ..] if [*e, *x, *f].eq_ignore_ascii_case(b"exe") => rest,
        _ => right.get(versioned..).unwrap_or_default(),
    };
    rest.first().is_none_or(|b| closes_command(*b))
}

/// Whether the text before a command, less its directory, `sudo` and `env`, ends in a pipe.
fn piped_into(left: &[u8]) -> bool {
    let directory = left.iter().rev().take_while(|b| is_word(**b) || b"/.-".contains(b)).count();
    let mut left = left.get(..left.len() - directory).unwrap_or_default().trim_ascii_end();
    for prefix in [&b"sudo -E"[..], b"sudo", b"env", b"nohup"] {
        left = left.strip_suffix(prefix).map_or(left, <[u8]>::trim_ascii_end);
    }
    matches!(left, [b'|'] | [.., b'\0'..=b'{' | b'}'..=b'\xff', b'|'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_automaton_can_be_built_and_every_behaviour_can_wake() {
        let engine = Engine::shared();
        assert!(engine.automaton.is_some());
        for index in 0..engine.behaviors_len() {
            assert!(engine.wakes.iter().any(|wakes| wakes.iter().any(|i| usize::from(*i) == index)), "{index}");
        }
    }

    fn at(bound: Bound, line: &str, needle: &str) -> bool {
        let start = line.find(needle).unwrap_or(0);
        bounded(bound, line.as_bytes(), start, start + needle.len())
    }

    #[test]
    fn a_command_stands_where_a_shell_looks_for_one() {
        for line in ["nc -l", "/bin/nc -l", "sudo nc", "a;nc", "nc.exe -l", "\"C:\\x\\nc.exe\" -l", "$(nc", "nc2"] {
            assert!(at(Bound::Command, line, "nc"), "{line}");
        }
        for line in ["rsync x", "func", "-nc", "x.nc", "nc.txt", "sync", "nc-x", "nc_x"] {
            assert!(!at(Bound::Command, line, "nc"), "{line}");
        }
    }

    #[test]
    fn a_pipe_leads_into_a_command_past_its_directory_and_sudo() {
        for line in ["x | sh", "x|sh", "x | /bin/sh -c", "x | sudo sh", "x|sudo -E /usr/bin/sh"] {
            assert!(at(Bound::Piped, line, "sh"), "{line}");
        }
        for line in ["x || sh", "sh -c x", "x | push", "x | tee sh"] {
            assert!(!at(Bound::Piped, line, "sh"), "{line}");
        }
    }

    #[test]
    fn a_switch_begins_an_argument() {
        for line in ["x -decode y", "x /decode", "--decode", "x '-decode' y", "x -decode:y"] {
            assert!(at(Bound::Switch, line, "decode"), "{line}");
        }
        for line in ["x-decode", "a/decode", "-decodehex", "decode"] {
            assert!(!at(Bound::Switch, line, "decode"), "{line}");
        }
    }

    #[test]
    fn order_is_kept() {
        let engine = Engine::new(&[super::super::tag(
            super::super::Group::Shell,
            "ab",
            "T1",
            Expr::Then(&[Expr::Text("aa"), Expr::Text("bb"), Expr::Text("cc")]),
        )]);
        let mut hits = Hits::new(&engine);
        for (line, expected) in [("aa bb cc", 1), ("bb aa cc", 0), ("bb aa bb cc", 1), ("aa cc bb", 0), ("aa bb", 0)] {
            hits.run(&engine, line, std::iter::empty());
            assert_eq!(hits.holding().len(), expected, "{line}");
        }
    }
}
