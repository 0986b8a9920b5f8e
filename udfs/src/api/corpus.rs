//! What is usual, over all requests of a day: a state that merges, and the model that requests are compared with.

use std::collections::BTreeMap;

use prost::Message;

use super::agent::agent;
use super::content::{Place, for_each_value, outline};
use super::counts::{Counts, CountsMessage};
use super::grams::{GramCounts, GramMessage, GramModel};
use super::request::{Request, pair_hash, text_hash};
use crate::learner::{LearnerError, open, seal};

const KIND: &str = "api corpus";
const VERSION: u32 = 1;
/// Endpoints whose sizes and latencies are known: those with the smallest hashes.
const MAX_ENDPOINTS: usize = 16_384;
/// Steps of a log2, so that sums are of integers and the same in any order.
const STEPS: f64 = 1024.0;

/// What is counted. The number is part of a stored state: none is used twice.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Tag {
    Endpoint = 1,
    Method = 2,
    EndpointMethod = 3,
    EndpointStatus = 4,
    Agent = 5,
    Network = 6,
    Name = 7,
    Outline = 8,
    Transition = 9,
    Before = 10,
    Header = 11,
    Path = 12,
}

pub(super) fn tagged(tag: Tag, hash: u64) -> u64 {
    pair_hash(tag as u64, hash)
}

/// Sums of the log2 of a quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moments {
    n: u64,
    sum: i64,
    squares: i128,
}

#[expect(clippy::cast_possible_truncation, reason = "a log2 is at most 1024")]
fn steps(value: f64) -> i64 {
    ((value.max(0.0) + 1.0).log2() * STEPS).round() as i64
}

impl Moments {
    fn add(&mut self, value: f64) {
        let steps = steps(value);
        self.n += 1;
        self.sum += steps;
        self.squares += i128::from(steps) * i128::from(steps);
    }

    fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// How far a value is from what is usual here, in deviations, doublings at the least; 0 where nothing is known.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a deviation is f32"
    )]
    pub(super) fn deviation(&self, value: f64) -> f32 {
        if self.n < 2 {
            return 0.0;
        }
        let n = self.n as f64;
        let mean = self.sum as f64 / n;
        let variance = (self.squares as f64 / n - mean * mean).max(0.0);
        // A response that always has one size must not make one byte more an anomaly: half a doubling at the least.
        let deviation = (variance.sqrt()).max(STEPS / 2.0);
        ((steps(value) as f64 - mean) / deviation) as f32
    }
}

/// Sizes and latencies of an endpoint: request bytes, response bytes, milliseconds.
pub(super) type Sizes = [Moments; 3];

/// A part of a day's counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CorpusState {
    requests: u64,
    counts: Counts,
    values: GramCounts,
    paths: GramCounts,
    headers: GramCounts,
    sizes: BTreeMap<u64, Sizes>,
}

#[derive(Clone, PartialEq, Message)]
struct SizesMessage {
    #[prost(fixed64, tag = "1")]
    endpoint: u64,
    #[prost(uint64, repeated, tag = "2")]
    n: Vec<u64>,
    #[prost(int64, repeated, tag = "3")]
    sums: Vec<i64>,
    /// High and low halves, by turns.
    #[prost(uint64, repeated, tag = "4")]
    squares: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct StateMessage {
    #[prost(uint64, tag = "1")]
    requests: u64,
    #[prost(message, optional, tag = "2")]
    counts: Option<CountsMessage>,
    #[prost(message, optional, tag = "3")]
    values: Option<GramMessage>,
    #[prost(message, optional, tag = "4")]
    paths: Option<GramMessage>,
    #[prost(message, optional, tag = "5")]
    headers: Option<GramMessage>,
    #[prost(message, repeated, tag = "6")]
    sizes: Vec<SizesMessage>,
}

/// An endpoint's hash: method, host and template.
#[must_use]
pub fn endpoint_hash(method: Option<&str>, host: Option<&str>, template: &str) -> u64 {
    let method = text_hash(&method.unwrap_or_default().to_ascii_uppercase());
    let host = text_hash(&host.unwrap_or_default().to_ascii_lowercase());
    pair_hash(pair_hash(method, host), text_hash(template))
}

pub(super) fn path_hash(host: Option<&str>, template: &str) -> u64 {
    pair_hash(
        text_hash(&host.unwrap_or_default().to_ascii_lowercase()),
        text_hash(template),
    )
}

impl CorpusState {
    /// The state of no requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request: its template, and the endpoint that its actor called before.
    pub fn add(&mut self, request: &Request<'_>, template: &str, previous: Option<u64>) {
        self.requests += 1;
        let endpoint = endpoint_hash(request.method, request.host, template);
        let path = path_hash(request.host, template);
        let method = text_hash(&request.method.unwrap_or_default().to_ascii_uppercase());
        let mut count = |tag, hash| self.counts.add(tagged(tag, hash));
        count(Tag::Endpoint, endpoint);
        count(Tag::Path, path);
        count(Tag::Method, method);
        count(Tag::EndpointMethod, pair_hash(path, method));
        if let Some(status) = request.status {
            count(
                Tag::EndpointStatus,
                pair_hash(endpoint, u64::from(status.unsigned_abs() / 100)),
            );
        }
        count(Tag::Agent, text_hash(&agent(request.user_agent).family));
        if let Some(client) = request.client_ip {
            count(Tag::Network, super::address::network(client));
        }
        if let Some(previous) = previous {
            count(Tag::Before, previous);
            count(Tag::Transition, pair_hash(previous, endpoint));
        }
        for_each_value(request, &mut |value| {
            match value.place {
                Place::Path => self.paths.add(value.text),
                Place::Value => self.values.add(value.text),
                Place::Header => self.headers.add(value.text),
            }
            if value.place != Place::Path {
                self.counts.add(tagged(Tag::Name, value.name));
                self.counts
                    .add(tagged(Tag::Header, pair_hash(path, value.name)));
                self.counts.add(tagged(
                    Tag::Outline,
                    pair_hash(value.name, outline(value.text)),
                ));
            }
        });
        if !self.sizes.contains_key(&endpoint) && self.sizes.len() >= MAX_ENDPOINTS {
            match self.sizes.last_key_value() {
                Some((last, _)) if *last > endpoint => {
                    self.sizes.pop_last();
                }
                _ => return,
            }
        }
        let sizes = self.sizes.entry(endpoint).or_default();
        for (moments, value) in sizes.iter_mut().zip(quantities(request)) {
            if let Some(value) = value {
                moments.add(value);
            }
        }
    }

    /// Adds another part. Associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.counts.merge(&other.counts);
        self.values.merge(&other.values);
        self.paths.merge(&other.paths);
        self.headers.merge(&other.headers);
        for (endpoint, theirs) in &other.sizes {
            let mine = self.sizes.entry(*endpoint).or_default();
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.merge(theirs);
            }
        }
        while self.sizes.len() > MAX_ENDPOINTS {
            self.sizes.pop_last();
        }
    }

    /// Requests counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Equal states, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sizes = |(endpoint, sizes): (&u64, &Sizes)| SizesMessage {
            endpoint: *endpoint,
            n: sizes.iter().map(|m| m.n).collect(),
            sums: sizes.iter().map(|m| m.sum).collect(),
            squares: sizes.iter().flat_map(|m| halves(m.squares)).collect(),
        };
        let message = StateMessage {
            requests: self.requests,
            counts: Some(self.counts.message()),
            values: Some(self.values.message()),
            paths: Some(self.paths.message()),
            headers: Some(self.headers.message()),
            sizes: self.sizes.iter().map(sizes).collect(),
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let message: StateMessage = open(KIND, VERSION, bytes)?;
        Self::from_message(message).ok_or(LearnerError::Damaged {
            kind: KIND,
            reason: "a table is not as written",
            len: bytes.len(),
        })
    }

    fn from_message(message: StateMessage) -> Option<Self> {
        let mut sizes = BTreeMap::new();
        for s in &message.sizes {
            let mut of = Sizes::default();
            for (i, moments) in of.iter_mut().enumerate() {
                *moments = Moments {
                    n: *s.n.get(i)?,
                    sum: *s.sums.get(i)?,
                    squares: i128::from(*s.squares.get(2 * i)?) << 64
                        | i128::from(*s.squares.get(2 * i + 1)?),
                };
            }
            sizes.insert(s.endpoint, of);
        }
        Some(Self {
            requests: message.requests,
            counts: Counts::from_message(&message.counts?)?,
            values: GramCounts::from_message(&message.values?)?,
            paths: GramCounts::from_message(&message.paths?)?,
            headers: GramCounts::from_message(&message.headers?)?,
            sizes,
        })
    }
}

fn halves(value: i128) -> [u64; 2] {
    // A sum of squares is not negative.
    let value = u128::try_from(value).unwrap_or_default();
    let low = u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default();
    [u64::try_from(value >> 64).unwrap_or_default(), low]
}

/// What sizes are kept of: request bytes, response bytes, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53")]
pub(super) fn quantities(request: &Request<'_>) -> [Option<f64>; 3] {
    [
        request.payload_bytes().map(|b| b as f64),
        request.response_bytes.map(|b| b as f64),
        request.latency_ms.map(f64::from),
    ]
}

/// What is usual, to compare requests with.
#[derive(Debug, Clone)]
pub struct Corpus {
    pub(super) state: CorpusState,
    pub(super) values: GramModel,
    pub(super) paths: GramModel,
    pub(super) headers: GramModel,
}

impl From<CorpusState> for Corpus {
    fn from(state: CorpusState) -> Self {
        Self {
            values: GramModel::new(&state.values),
            paths: GramModel::new(&state.paths),
            headers: GramModel::new(&state.headers),
            state,
        }
    }
}

impl Corpus {
    pub(super) fn count(&self, tag: Tag, hash: u64) -> u32 {
        self.state.counts.get(tagged(tag, hash))
    }

    /// −log2 of the share of requests, half a request added.
    pub(super) fn rarity(&self, tag: Tag, hash: u64) -> f32 {
        bits(
            f64::from(self.count(tag, hash)) + 0.5,
            self.requests() + 1.0,
        )
    }

    /// The share of requests.
    pub(super) fn share(&self, tag: Tag, hash: u64) -> f64 {
        (f64::from(self.count(tag, hash)) + 0.5) / (self.requests() + 1.0)
    }

    #[expect(clippy::cast_precision_loss, reason = "requests stay below 2^53")]
    pub(super) fn requests(&self) -> f64 {
        self.state.requests as f64
    }

    pub(super) fn sizes(&self, endpoint: u64) -> Option<&Sizes> {
        self.state.sizes.get(&endpoint)
    }
}

/// −log2(part / whole).
#[expect(clippy::cast_possible_truncation, reason = "bits are f32")]
pub(super) fn bits(part: f64, whole: f64) -> f32 {
    (whole / part).log2() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(i: usize) -> (Request<'static>, &'static str) {
        let templates = ["/a", "/b/{n}", "/c"];
        let request = Request {
            method: Some(if i.is_multiple_of(5) { "POST" } else { "get" }),
            host: Some("shop"),
            query: Some(if i.is_multiple_of(2) {
                "id=7"
            } else {
                "q=x%20y"
            }),
            status: Some(200),
            response_bytes: Some(i64::try_from(i).unwrap()),
            user_agent: Some("curl/8"),
            client_ip: Some("10.0.0.1"),
            ..Request::default()
        };
        (request, templates[i % 3])
    }

    #[test]
    fn parts_merge_to_the_whole_and_survive_as_bytes() {
        let mut whole = CorpusState::new();
        let mut parts = [CorpusState::new(), CorpusState::new()];
        for i in 0..200 {
            let (request, template) = request(i);
            let previous = (i > 0).then_some(9);
            whole.add(&request, template, previous);
            parts[i % 2].add(&request, template, previous);
        }
        let [a, mut b] = parts;
        b.merge(&a);
        assert_eq!(b, whole);
        let bytes = whole.to_bytes();
        assert_eq!(CorpusState::from_bytes(&bytes), Ok(whole));
        let mut damaged = bytes;
        damaged[40] ^= 1;
        assert!(CorpusState::from_bytes(&damaged).is_err());
    }

    #[test]
    fn a_size_is_far_from_usual_in_doublings() {
        let mut moments = Moments::default();
        for _ in 0..50 {
            moments.add(1000.0);
        }
        assert!(moments.deviation(1000.0).abs() < 0.01);
        assert!(moments.deviation(1001.0).abs() < 0.01);
        assert!((moments.deviation(2001.0) - 2.0).abs() < 0.01);
        assert!(moments.deviation(0.0) < -10.0);
    }
}
