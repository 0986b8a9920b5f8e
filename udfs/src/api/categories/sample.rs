//! What encoders are learned from: the categorical values of a uniform sample of requests, as a state that merges.
//!
//! The sample is the requests with the smallest keys (bottom-k, as [`crate::sketch::sample`]): which they are depends on the
//! requests alone, not on how the day was cut nor on the order of arrival. A sample of *rows*, and not counts of values: a table
//! of counts that is cut to a bounded size depends on the order in which values come, unless it forgets frequent values as
//! readily as rare ones; and pairs (which endpoint after which, who calls what) come with the rows. A value of a
//! share *s* of the requests is missed with a probability of (1 − s)^[`MAX_ROWS`]: of one request in a thousand, e⁻³².

use std::collections::BTreeMap;

use prost::Message;

use super::layout::{FIELDS, Field};
use crate::api::agent::agent;
use crate::api::corpus::endpoint_hash;
use crate::api::request::{Request, pair_hash, text_hash};
use crate::learner::{LearnerError, open, seal, to_u32, to_usize};

const KIND: &str = "api categories sample";
const VERSION: u32 = 1;
/// Requests of a sample: those with the smallest keys. About 2 MB as a state in memory, less as bytes.
pub const MAX_ROWS: usize = 32_768;
/// What is kept of a request: its fields, the endpoint before, and its actor. 0: missing.
const KEPT: usize = FIELDS + 2;

/// The values of a request, by [`Field::ALL`]; `None` where it has none.
pub(super) type Values = [Option<u64>; FIELDS];

/// The values of a request.
pub(super) fn values(request: &Request<'_>, template: &str) -> Values {
    Field::ALL.map(|field| match field {
        Field::Endpoint => request
            .path
            .map(|_| endpoint_hash(request.method, request.host, template)),
        Field::Method => request.method.map(|m| text_hash(&m.to_ascii_uppercase())),
        Field::Host => request.host.map(|h| text_hash(&h.to_ascii_lowercase())),
        // No agent and no referrer are values too: most clients send both.
        Field::Agent => Some(text_hash(&agent(request.user_agent).family)),
        Field::Referrer => Some(text_hash(&referrer_host(request.referer))),
        Field::Outcome => match (request.error_code, request.status) {
            (Some(code), _) if !code.is_empty() => Some(text_hash(code)),
            (_, Some(status)) => Some(pair_hash(7, u64::from(status.unsigned_abs()))),
            _ => None,
        },
    })
}

/// Host of an address, in lower case; empty where there is none.
fn referrer_host(referer: Option<&str>) -> String {
    let text = referer.unwrap_or_default();
    let Some((_, rest)) = text.split_once("://") else {
        return String::new();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].to_ascii_lowercase()
}

/// A sample of a part of a day's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CategorySample {
    rows: BTreeMap<u64, [u64; KEPT]>,
}

#[derive(Clone, PartialEq, Message)]
struct SampleMessage {
    #[prost(fixed64, repeated, tag = "1")]
    keys: Vec<u64>,
    /// The distinct values, ascending.
    #[prost(fixed64, repeated, tag = "2")]
    values: Vec<u64>,
    /// Their places, [`KEPT`] a key.
    #[prost(uint32, repeated, tag = "3")]
    places: Vec<u32>,
}

impl CategorySample {
    /// The sample of no requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests in the sample.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Offers a request: a uniform 64-bit key that is its own, its template, and the endpoint that its actor called before.
    pub fn add(&mut self, key: u64, request: &Request<'_>, template: &str, previous: Option<u64>) {
        if !self.wants(key) {
            return;
        }
        let mut row = [0; KEPT];
        for (slot, value) in row.iter_mut().zip(values(request, template)) {
            *slot = value.unwrap_or(0);
        }
        row[FIELDS] = previous.unwrap_or(0);
        row[FIELDS + 1] = request.actor().map_or(0, text_hash);
        self.keep(key, row);
    }

    fn wants(&self, key: u64) -> bool {
        self.rows.len() < MAX_ROWS
            || self
                .rows
                .last_key_value()
                .is_some_and(|(last, _)| key <= *last)
    }

    fn keep(&mut self, key: u64, row: [u64; KEPT]) {
        if !self.wants(key) {
            return;
        }
        // Two requests of one key (a task that ran twice, or a collision) are one: the lesser, so that order is no matter.
        let kept = self.rows.entry(key).or_insert(row);
        *kept = row.min(*kept);
        if self.rows.len() > MAX_ROWS {
            self.rows.pop_last();
        }
    }

    /// Adds another part. Associative, commutative, idempotent.
    pub fn merge(&mut self, other: &Self) {
        for (key, row) in &other.rows {
            self.keep(*key, *row);
        }
    }

    /// How often each value of a field occurs.
    pub(super) fn counts(&self, field: Field) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for row in self.rows.values() {
            match row[field as usize] {
                0 => {}
                value => *counts.entry(value).or_default() += 1,
            }
        }
        counts
    }

    /// Endpoint, the one before, and the actor of each request, 0 where missing.
    pub(super) fn calls(&self) -> impl Iterator<Item = [u64; 3]> + '_ {
        self.rows
            .values()
            .map(|row| [row[Field::Endpoint as usize], row[FIELDS], row[FIELDS + 1]])
    }

    /// Equal samples, equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = self.rows.values().flatten();
        let mut values: Vec<u64> = all.clone().copied().collect();
        values.sort_unstable();
        values.dedup();
        let place = |value: &u64| to_u32(values.binary_search(value).unwrap_or_default());
        let message = SampleMessage {
            keys: self.rows.keys().copied().collect(),
            places: all.map(place).collect(),
            values,
        };
        seal(KIND, VERSION, &message)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LearnerError> {
        let message: SampleMessage = open(KIND, VERSION, bytes)?;
        Self::from_message(&message).ok_or(LearnerError::Damaged {
            kind: KIND,
            reason: "a table is not as written",
            len: bytes.len(),
        })
    }

    fn from_message(message: &SampleMessage) -> Option<Self> {
        if message.keys.len() > MAX_ROWS || message.places.len() != message.keys.len() * KEPT {
            return None;
        }
        let mut rows = BTreeMap::new();
        for (key, places) in message.keys.iter().zip(message.places.chunks_exact(KEPT)) {
            let mut row = [0; KEPT];
            for (slot, place) in row.iter_mut().zip(places) {
                *slot = *message.values.get(to_usize(*place))?;
            }
            rows.insert(*key, row);
        }
        (rows.len() == message.keys.len()).then_some(Self { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::mix;

    fn add(state: &mut CategorySample, i: u64) {
        let path = format!("/p{}", i % 50);
        let request = Request {
            method: Some("get"),
            host: Some("Shop"),
            path: Some(&path),
            user: Some(["ana", "ben"][usize::try_from(i % 2).unwrap()]),
            status: Some(200),
            ..Request::default()
        };
        state.add(mix(i), &request, &path, (i > 0).then_some(i % 50));
    }

    #[test]
    fn any_cut_and_any_order_make_one_bounded_sample() {
        let n = 2 * u64::try_from(MAX_ROWS).unwrap() + 999;
        let mut whole = CategorySample::new();
        let mut parts = [const {
            CategorySample {
                rows: BTreeMap::new(),
            }
        }; 3];
        for i in 0..n {
            add(&mut whole, i);
            // Some requests in two parts, as of a task that ran twice.
            add(&mut parts[usize::try_from(mix(i) % 3).unwrap()], n - 1 - i);
            if i.is_multiple_of(7) {
                add(&mut parts[2], i);
            }
        }
        assert_eq!(whole.rows(), MAX_ROWS);
        let [a, b, c] = parts;
        let merged = |order: [&CategorySample; 3]| {
            let mut state = CategorySample::new();
            for part in order {
                state.merge(part);
            }
            state
        };
        assert_eq!(merged([&a, &b, &c]), whole);
        assert_eq!(merged([&c, &a, &b]).to_bytes(), whole.to_bytes());
        let mut nested = b.clone();
        nested.merge(&c);
        assert_eq!(merged([&nested, &a, &nested]), whole);
    }

    #[test]
    fn bytes_round_trip_and_damage_is_refused() {
        let mut state = CategorySample::new();
        for i in 0..500 {
            add(&mut state, i);
        }
        let bytes = state.to_bytes();
        assert_eq!(CategorySample::from_bytes(&bytes), Ok(state));
        let none = CategorySample::new();
        assert_eq!(CategorySample::from_bytes(&none.to_bytes()), Ok(none));
        for at in [30, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(CategorySample::from_bytes(&damaged).is_err());
        }
    }

    #[test]
    fn case_and_spelling_of_a_value_are_no_other_value() {
        let request = |method, host, referer| Request {
            method: Some(method),
            host: Some(host),
            referer: Some(referer),
            ..Request::default()
        };
        let a = values(
            &request("get", "Shop.Example", "https://A.example/x?y"),
            "/",
        );
        let b = values(&request("GET", "shop.example", "http://a.example"), "/");
        assert_eq!(a, b);
        assert_eq!(a[Field::Endpoint as usize], None);
        assert_eq!(a[Field::Outcome as usize], None);
        assert!(a[Field::Agent as usize].is_some());
    }
}
