//! From a path to its endpoint: what varies is folded into placeholders, by its form (numbers, GUIDs, tokens, dates) and by
//! what a day's paths show (user names, slugs, file names below one directory).
//!
//! **Learning.** [`PathSample`] keeps the [`SAMPLE_PATHS`] distinct masked paths with the smallest hashes, and how often
//! each was called: whatever parts a day was read in, the merged sample is the same (a path among the smallest of the whole
//! is among the smallest of every part that has it, so its count is exact). [`Templates`] makes a tree of it. Where a
//! position has many children that are rare, those are values: they become `{*}`, while the frequent ones stay names.
//!
//! **Hostile paths.** A scanner's thousands of made-up paths take sample slots and no memory beyond; calls that failed are
//! not learned from.

use std::collections::BTreeMap;

use prost::Message;

use super::request::text_hash;
use crate::learner::{LearnerError, open, seal};

/// Distinct paths that a sample keeps.
pub const SAMPLE_PATHS: usize = 32_768;
/// Segments of a path that count.
const MAX_SEGMENTS: usize = 16;
/// Longest segment that may be a name, bytes.
const MAX_NAME: usize = 64;
/// Rare children from which a position holds values.
const VALUES: usize = 32;
/// A child with this share of its parent's calls, and [`NAME_CALLS`], is a name.
const NAME_SHARE: f64 = 0.01;
const NAME_CALLS: u64 = 8;
/// Calls of a rare child, on average, below which the rare ones are values and not an interface of many names.
const VALUE_CALLS: u64 = 8;
const KIND: &str = "api path sample";
const VERSION: u32 = 1;

/// A path with what varies by its form folded: `/orders/5579/items` → `/orders/{n}/items`. Parameters after `;` go.
#[must_use]
pub fn masked(path: &str) -> String {
    let mut out = String::with_capacity(path.len().min(256));
    let mut segments = path.split('/').filter(|s| !s.is_empty()).peekable();
    let mut count = 0;
    while let Some(segment) = segments.next() {
        out.push('/');
        count += 1;
        if count == MAX_SEGMENTS && segments.peek().is_some() {
            out.push_str("{**}");
            return out;
        }
        let segment = segment.split(';').next().unwrap_or_default();
        out.push_str(&mask(segment));
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

/// A text, or the placeholder of its form: as a segment of a path, decoded.
pub(super) fn form(text: &str) -> std::borrow::Cow<'_, str> {
    mask(text)
}

/// A segment, or the placeholder of its form.
fn mask(segment: &str) -> std::borrow::Cow<'_, str> {
    use std::borrow::Cow::{Borrowed, Owned};
    let decoded = super::content::percent_decoded(segment);
    let text = decoded.as_ref();
    if text.is_empty() {
        return Borrowed("");
    }
    if text.bytes().any(|b| {
        b <= b' '
            || b >= 0x7f
            || matches!(
                b,
                b'\''
                    | b'"'
                    | b'<'
                    | b'>'
                    | b'('
                    | b')'
                    | b'{'
                    | b'}'
                    | b'$'
                    | b'`'
                    | b'|'
                    | b'\\'
                    | b'^'
                    | b'*'
                    | b'/'
            )
    }) {
        return Borrowed("{text}");
    }
    if text.len() > MAX_NAME {
        return Borrowed("{long}");
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits == text.len() {
        return Borrowed("{n}");
    }
    if is_uuid(text) {
        return Borrowed("{uuid}");
    }
    if digits > 0 {
        let stem = text.rsplit(['-', '_', ':']).next().unwrap_or(text);
        let hex = |t: &str| t.len() >= 8 && t.bytes().all(|b| b.is_ascii_hexdigit());
        if hex(text) {
            return Borrowed("{hex}");
        }
        if is_date(text) {
            return Borrowed("{date}");
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Borrowed("{ip}");
        }
        if stem.len() < text.len()
            && (hex(stem) || stem.bytes().all(|b| b.is_ascii_digit()) && stem.len() >= 4)
        {
            return Borrowed("{id}");
        }
        let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
        let upper = text.bytes().filter(u8::is_ascii_uppercase).count();
        if text.len() >= 16
            && letters + digits + 2 >= text.len()
            && (upper > 1 && upper < letters || digits * 3 > text.len())
        {
            return Borrowed("{token}");
        }
        // A version (`v1`, `2.0`) is a name; a word that is mostly digits is an identifier.
        if digits >= 4 && digits * 2 >= text.len() {
            return Borrowed("{id}");
        }
    }
    if text.contains('@') && text.contains('.') {
        return Borrowed("{email}");
    }
    match decoded {
        Borrowed(_) => Borrowed(segment),
        Owned(text) => Owned(text),
    }
}

fn is_uuid(text: &str) -> bool {
    let text = text.trim_start_matches('{').trim_end_matches('}');
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| {
            if matches!(i, 8 | 13 | 18 | 23) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

/// `2015-05-18`, `2015_05`, `20150518T0905`: digits and separators, a year first.
fn is_date(text: &str) -> bool {
    let year = text.get(..4).and_then(|y| y.parse::<u16>().ok());
    year.is_some_and(|y| (1970..2100).contains(&y))
        && text.len() >= 7
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':' | b'T' | b'Z' | b'.'))
        && text.bytes().any(|b| !b.is_ascii_digit())
}

/// `.png` of a file name, with its dot; empty where there is none.
fn extension(segment: &str) -> &str {
    match segment.rfind('.') {
        Some(at) if at > 0 && (1..=5).contains(&(segment.len() - at - 1)) => &segment[at..],
        _ => "",
    }
}

#[derive(Clone, PartialEq, Message)]
struct SampleMessage {
    #[prost(string, repeated, tag = "1")]
    paths: Vec<String>,
    #[prost(uint64, repeated, tag = "2")]
    calls: Vec<u64>,
}

/// The distinct host-and-path pairs with the smallest hashes, with their calls: a state that merges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathSample {
    paths: BTreeMap<(u64, String), u64>,
}

impl PathSample {
    /// The state of no calls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a call that did not fail.
    pub fn add(&mut self, host: &str, path: &str) {
        let key = format!("{}{}", host_name(host), masked(path));
        self.put(key, 1);
    }

    fn put(&mut self, key: String, calls: u64) {
        let hash = text_hash(&key);
        if self.paths.len() >= SAMPLE_PATHS
            && self
                .paths
                .last_key_value()
                .is_some_and(|(last, _)| (hash, &key) > (last.0, &last.1))
        {
            return;
        }
        *self.paths.entry((hash, key)).or_default() += calls;
        if self.paths.len() > SAMPLE_PATHS {
            self.paths.pop_last();
        }
    }

    /// Adds another part's calls. Associative and commutative.
    pub fn merge(&mut self, other: Self) {
        for ((_, key), calls) in other.paths {
            self.put(key, calls);
        }
    }

    /// Equal states, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let message = SampleMessage {
            paths: self.paths.keys().map(|(_, path)| path.clone()).collect(),
            calls: self.paths.values().copied().collect(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let message: SampleMessage = open(KIND, VERSION, bytes)?;
        if message.paths.len() != message.calls.len() || message.paths.len() > SAMPLE_PATHS {
            return Err(LearnerError::Damaged {
                kind: KIND,
                reason: "paths and calls differ in number",
                len: bytes.len(),
            });
        }
        let mut sample = Self::new();
        for (path, calls) in message.paths.into_iter().zip(message.calls) {
            sample.put(path, calls);
        }
        Ok(sample)
    }
}

fn host_name(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    // A port is no part of the service; `[::1]:80` keeps its address.
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            name.to_owned()
        }
        _ => host,
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    calls: u64,
    children: BTreeMap<String, Node>,
    /// Children that are no name here are values.
    folds: bool,
}

/// What was learned of a day's paths.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    root: Node,
}

impl Templates {
    /// Learns from a sample.
    #[must_use]
    pub fn learn(sample: &PathSample) -> Self {
        let mut root = Node::default();
        for ((_, key), calls) in &sample.paths {
            let mut node = &mut root;
            // The host is the first level; an empty one too.
            for segment in key.split('/') {
                node = node.children.entry(segment.to_owned()).or_default();
                node.calls += calls;
            }
        }
        for host in root.children.values_mut() {
            host.fold();
        }
        Self { root }
    }

    /// The endpoint's template of a path: `/orders/get/id/{n}`.
    #[must_use]
    pub fn template(&self, host: &str, path: &str) -> String {
        let masked = masked(path);
        let Some(mut node) = self.root.children.get(&host_name(host)) else {
            return masked;
        };
        let mut out = String::with_capacity(masked.len());
        let mut known = true;
        for segment in masked.split('/').skip(1) {
            out.push('/');
            if !known {
                out.push_str(segment);
                continue;
            }
            let name = if node.children.contains_key(segment) || !node.folds {
                segment.to_owned()
            } else {
                format!("{{*}}{}", extension(segment))
            };
            out.push_str(&name);
            match node.children.get(&name) {
                Some(child) => node = child,
                None => known = false,
            }
        }
        out
    }
}

impl Node {
    fn fold(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "a share of calls")]
        let is_name = |child: &Self, all: u64| {
            child.calls >= NAME_CALLS && child.calls as f64 >= NAME_SHARE * all as f64
        };
        let rare =
            |name: &String, child: &Self| !name.starts_with('{') && !is_name(child, self.calls);
        let (mut values, mut calls) = (0, 0);
        for child in self
            .children
            .iter()
            .filter(|(n, c)| rare(n, c))
            .map(|(_, c)| c)
        {
            values += 1;
            calls += child.calls;
        }
        if values > VALUES && calls < VALUE_CALLS * values as u64 {
            self.folds = true;
            let names: Vec<String> = self
                .children
                .iter()
                .filter(|(n, c)| rare(n, c))
                .map(|(n, _)| n.clone())
                .collect();
            for name in names {
                if let Some(child) = self.children.remove(&name) {
                    let folded = format!("{{*}}{}", extension(&name));
                    self.children.entry(folded).or_default().absorb(child);
                }
            }
        }
        for child in self.children.values_mut() {
            child.fold();
        }
    }

    fn absorb(&mut self, other: Self) {
        self.calls += other.calls;
        for (name, child) in other.children {
            self.children.entry(name).or_default().absorb(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_by_its_form_is_folded() {
        for (path, expected) in [
            ("/orders/get/id/5579", "/orders/get/id/{n}"),
            (
                "/v1/users/3f842c66-eccf-4f92-b952-f7212741c230/",
                "/v1/users/{uuid}",
            ),
            ("/api/v2.0/ping", "/api/v2.0/ping"),
            ("/blog/2015-05-18/x", "/blog/{date}/x"),
            ("/instances/i-05c30218156bcc246", "/instances/{id}"),
            ("/u/someone%40example.com", "/u/{email}"),
            ("/q/%27%20OR%201=1", "/q/{text}"),
            ("/files/9f86d081884c7d65", "/files/{hex}"),
            ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/t/{token}"),
            ("/users/me;jsessionid=1A2B", "/users/me"),
            ("//double//slash", "/double/slash"),
            ("", "/"),
            ("/DescribeInstances", "/DescribeInstances"),
        ] {
            assert_eq!(masked(path), expected);
        }
    }

    fn site() -> PathSample {
        let mut sample = PathSample::new();
        for page in 0..40 {
            for _ in 0..3 {
                sample.add(
                    "shop:443",
                    &format!(
                        "/blog/{}-post.html",
                        char::from(b'a' + page % 26)
                            .to_string()
                            .repeat(1 + usize::from(page) / 26)
                    ),
                );
            }
        }
        for _ in 0..500 {
            sample.add("shop", "/blog/index.html");
            sample.add("shop", "/cart");
        }
        sample
    }

    #[test]
    fn many_rare_children_are_values_and_frequent_ones_names() {
        let templates = Templates::learn(&site());
        assert_eq!(
            templates.template("shop", "/blog/never-seen.html"),
            "/blog/{*}.html"
        );
        assert_eq!(
            templates.template("SHOP:8443", "/blog/index.html"),
            "/blog/index.html"
        );
        assert_eq!(templates.template("shop", "/cart"), "/cart");
        // Another host has shown nothing.
        assert_eq!(templates.template("other", "/blog/x.html"), "/blog/x.html");
    }

    #[test]
    fn an_interface_of_many_names_that_are_called_stays() {
        let mut sample = PathSample::new();
        for name in 0..60_u8 {
            for _ in 0..20 {
                sample.add(
                    "ec2",
                    &format!(
                        "/Describe{}",
                        char::from(b'A' + name % 26)
                            .to_string()
                            .repeat(1 + usize::from(name / 26))
                    ),
                );
            }
        }
        assert_eq!(
            Templates::learn(&sample).template("ec2", "/DescribeAA"),
            "/DescribeAA"
        );
    }

    #[test]
    fn a_sample_is_the_same_however_the_day_was_cut() {
        let paths: Vec<String> = (0..40_000_u32)
            .map(|i| format!("/a/{}", crate::rng::mix(u64::from(i % 35_000))))
            .map(|p| p.replace(|c: char| c.is_ascii_digit(), "x") + &p)
            .collect();
        let of = |part: &[String]| {
            let mut sample = PathSample::new();
            for path in part {
                sample.put(path.clone(), 1);
            }
            sample
        };
        let whole = of(&paths);
        assert_eq!(whole.paths.len(), SAMPLE_PATHS);
        for cut in [1, 9_999, 33_333] {
            let (a, b) = paths.split_at(cut);
            let mut merged = of(b);
            merged.merge(of(a));
            assert!(merged == whole);
            assert!(PathSample::from_bytes(&merged.to_bytes()).unwrap() == whole);
        }
    }
}
