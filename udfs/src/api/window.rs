//! What an actor and an endpoint did just before a request, one request at a time.
//!
//! A state takes requests in the order of (time, hash) and answers from those before and the request itself: a window of a
//! minute at time *t* holds what came in (*t* − 60 s, *t*]. Requests of one instant see those before them in that order, not
//! those after, so that a stream can be answered at once and a day read as a whole gives the same. A request that comes late
//! is answered from what lies in its own window, and counts for those that come after it.
//!
//! **Days.** What an actor did *before* is counted over the UTC day and the half hour in front of it, which is what a run of one
//! day reads: so a state that lives for weeks and a day's run say the same.
//!
//! **Memory.** The last ten minutes of an actor's or endpoint's calls (32 bytes each), and counts of up to [`MAX_KEYS`]
//! endpoints, agents and pairs of an actor; beyond them what is new stays new.

use std::collections::{HashMap, VecDeque};

use super::request::pair_hash;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// The windows, shortest first, microseconds.
const MINUTE: i64 = 60 * SECOND;
const FIVE_MINUTES: i64 = 5 * MINUTE;
/// The longest window: what is older is forgotten.
pub const HORIZON: i64 = 10 * MINUTE;
/// Calls of a sequence.
pub const SEQUENCE: usize = 3;
/// Calls further apart than this are no sequence, microseconds.
pub const SESSION_GAP: i64 = 30 * MINUTE;
/// Endpoints, agents or pairs of an actor that are counted.
pub const MAX_KEYS: usize = 4096;
/// Calls of the last half hour of a day that count for the next one: the latest.
pub const MAX_EVENING: usize = 16_384;
const DAY: i64 = 24 * 60 * MINUTE;

/// What a window needs of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Microseconds since 1970.
    pub micros: i64,
    /// Who: see [`super::Request::actor`].
    pub actor: u64,
    /// Method, host and template.
    pub endpoint: u64,
    /// Whether it failed.
    pub failed: bool,
    /// Bytes of the response.
    pub bytes: i64,
    /// The agent's family.
    pub agent: u64,
    /// The client's network.
    pub network: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    micros: i64,
    key: u64,
    bytes: i64,
    failed: bool,
}

/// The last ten minutes of one key's calls, and what is asked of them.
#[derive(Debug, Clone, Default)]
struct Trail {
    entries: VecDeque<Entry>,
    /// Entries of the front that are out of the last minute, and of the last five.
    before_minute: usize,
    before_five: usize,
    failed_five: u32,
    bytes: i64,
    keys: HashMap<u64, u32>,
}

/// What a trail says at a call, that call included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    count_1min: u32,
    count_5min: u32,
    count_10min: u32,
    failed_5min: u32,
    distinct_10min: u32,
    bytes_10min: i64,
    first_10min: i64,
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Trail {
    fn push(&mut self, entry: Entry) -> Seen {
        let newest = self.entries.back().map(|e| e.micros);
        if newest.is_some_and(|newest| entry.micros < newest) {
            return self.late(entry);
        }
        self.forget(entry.micros);
        self.entries.push_back(entry);
        self.failed_five += u32::from(entry.failed);
        self.bytes = self.bytes.saturating_add(entry.bytes);
        *self.keys.entry(entry.key).or_default() += 1;
        let n = self.entries.len();
        Seen {
            count_1min: to_u32(n - self.before_minute),
            count_5min: to_u32(n - self.before_five),
            count_10min: to_u32(n),
            failed_5min: self.failed_five,
            distinct_10min: to_u32(self.keys.len()),
            bytes_10min: self.bytes,
            first_10min: self.entries.front().map_or(entry.micros, |e| e.micros),
        }
    }

    /// Moves the windows to `now`.
    fn forget(&mut self, now: i64) {
        while let Some(front) = self.entries.front().copied() {
            if front.micros > now - HORIZON {
                break;
            }
            self.entries.pop_front();
            if self.before_five > 0 {
                self.before_five -= 1;
            } else {
                self.failed_five -= u32::from(front.failed);
            }
            self.before_minute = self.before_minute.saturating_sub(1);
            self.bytes -= front.bytes;
            if let Some(count) = self.keys.get_mut(&front.key) {
                *count -= 1;
                if *count == 0 {
                    self.keys.remove(&front.key);
                }
            }
        }
        while let Some(entry) = self
            .entries
            .get(self.before_five)
            .filter(|e| e.micros <= now - FIVE_MINUTES)
        {
            self.failed_five -= u32::from(entry.failed);
            self.before_five += 1;
        }
        while self
            .entries
            .get(self.before_minute)
            .is_some_and(|e| e.micros <= now - MINUTE)
        {
            self.before_minute += 1;
        }
    }

    /// A call older than the newest: answered from what lies in its own windows, and put where it belongs. It costs as much as
    /// there are calls after it, or before it where those are fewer: little where it is a little late.
    fn late(&mut self, entry: Entry) -> Seen {
        let at = self.entries.partition_point(|e| e.micros <= entry.micros);
        let newest = self.entries.back().map_or(entry.micros, |e| e.micros);
        let since =
            |window: i64| (self.entries).partition_point(|e| e.micros <= entry.micros - window);
        let (minute, five) = (since(MINUTE), since(FIVE_MINUTES));
        // What is held lies in the ten minutes before the newest, so that all before this one lies in those before it.
        let first = self.entries.front().filter(|_| at > 0);
        let sum = |from: usize, to: usize| -> (i64, u32) {
            let mut sums = (0_i64, 0);
            for e in self.entries.range(from..to) {
                sums = (sums.0.saturating_add(e.bytes), sums.1 + u32::from(e.failed));
            }
            sums
        };
        let counts = |from: usize, to: usize| {
            let mut counts: HashMap<u64, u32> = HashMap::new();
            for e in self.entries.range(from..to) {
                *counts.entry(e.key).or_default() += 1;
            }
            counts
        };
        let n = self.entries.len();
        let (bytes, failed, distinct) = if at < n - at || at < self.before_five {
            let before = counts(0, at);
            let new = usize::from(!before.contains_key(&entry.key));
            (sum(0, at).0, sum(five, at).1, before.len() + new)
        } else {
            let (later, failed_later) = sum(at, n);
            let after = counts(at, n);
            let gone = after
                .iter()
                .filter(|(key, count)| self.keys.get(key) == Some(count));
            let all = self.keys.get(&entry.key).copied().unwrap_or_default();
            let own = after.get(&entry.key).copied().unwrap_or_default();
            (
                self.bytes - later,
                self.failed_five + sum(five, self.before_five).1 - failed_later,
                self.keys.len() - gone.count() + usize::from(all == own),
            )
        };
        let seen = Seen {
            count_1min: to_u32(at - minute + 1),
            count_5min: to_u32(at - five + 1),
            count_10min: to_u32(at + 1),
            failed_5min: failed + u32::from(entry.failed),
            distinct_10min: to_u32(distinct),
            bytes_10min: bytes.saturating_add(entry.bytes),
            first_10min: first.map_or(entry.micros, |e| e.micros),
        };
        if entry.micros > newest - HORIZON {
            self.entries.insert(at, entry);
            self.bytes = self.bytes.saturating_add(entry.bytes);
            *self.keys.entry(entry.key).or_default() += 1;
            if entry.micros <= newest - FIVE_MINUTES {
                self.before_five += 1;
            } else {
                self.failed_five += u32::from(entry.failed);
            }
            if entry.micros <= newest - MINUTE {
                self.before_minute += 1;
            }
        }
        seen
    }

    fn is_stale(&self, now: i64) -> bool {
        self.entries
            .back()
            .is_none_or(|e| e.micros <= now - HORIZON)
    }
}

/// Counts of at most [`MAX_KEYS`] keys.
#[derive(Debug, Clone, Default)]
struct Tally(HashMap<u64, u32>);

impl Tally {
    /// How often `key` came before; counts it.
    fn next(&mut self, key: u64) -> u32 {
        if let Some(count) = self.0.get_mut(&key) {
            let before = *count;
            *count = count.saturating_add(1);
            return before;
        }
        if self.0.len() < MAX_KEYS {
            self.0.insert(key, 1);
        }
        0
    }
}

/// What an actor did before, and in the windows that end with a request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ActorView {
    /// Requests in the last minute, this one included.
    pub count_1min: u32,
    /// Requests in the last five minutes.
    pub count_5min: u32,
    /// Requests in the last ten minutes.
    pub count_10min: u32,
    /// Failed ones in the last five minutes.
    pub failed_5min: u32,
    /// Endpoints in the last ten minutes.
    pub endpoints_10min: u32,
    /// Bytes of the responses of the last ten minutes.
    pub bytes_10min: i64,
    /// Microseconds since the request before; `None` for the first, and after [`SESSION_GAP`].
    pub gap: Option<i64>,
    /// Mean gap in the last ten minutes, microseconds; `None` for fewer than two requests.
    pub mean_gap: Option<i64>,
    /// Requests before.
    pub seen: u32,
    /// Requests before to this endpoint.
    pub endpoint_seen: u32,
    /// Requests before with this agent.
    pub agent_seen: u32,
    /// Requests before from this network.
    pub network_seen: u32,
    /// The endpoint before, within [`SESSION_GAP`].
    pub previous: Option<u64>,
    /// How often this endpoint came after that one before.
    pub bigram_seen: u32,
    /// Hash of the last [`SEQUENCE`] calls, this one included; 0 while there are fewer.
    pub sequence: u64,
    /// How often that sequence came before.
    pub sequence_seen: u32,
}

/// What an actor did before, over a day.
#[derive(Debug, Clone, Default)]
struct History {
    last: Option<i64>,
    calls: [u64; SEQUENCE - 1],
    called: usize,
    seen: u32,
    endpoints: Tally,
    agents: Tally,
    networks: Tally,
    bigrams: Tally,
    sequences: Tally,
}

impl History {
    /// Takes a request; the windows' part of the view stays empty.
    fn push(&mut self, call: &Call) -> ActorView {
        let gap = self.last.map(|last| call.micros - last);
        if gap.is_none_or(|gap| gap > SESSION_GAP) {
            self.called = 0;
        }
        let gap = gap.filter(|gap| (0..=SESSION_GAP).contains(gap));
        let previous = (self.called > 0).then_some(self.calls[SEQUENCE - 2]);
        let bigram_seen = previous.map_or(0, |p| self.bigrams.next(pair_hash(p, call.endpoint)));
        let sequence = if self.called + 1 >= SEQUENCE {
            let before = self.calls.iter().fold(0, |hash, c| pair_hash(hash, *c));
            pair_hash(before, call.endpoint)
        } else {
            0
        };
        let sequence_seen = if sequence == 0 {
            0
        } else {
            self.sequences.next(sequence)
        };
        self.calls.rotate_left(1);
        self.calls[SEQUENCE - 2] = call.endpoint;
        self.called = (self.called + 1).min(SEQUENCE);
        self.last = Some(self.last.map_or(call.micros, |last| last.max(call.micros)));
        let before = self.seen;
        self.seen = self.seen.saturating_add(1);
        ActorView {
            gap,
            seen: before,
            endpoint_seen: self.endpoints.next(call.endpoint),
            agent_seen: self.agents.next(call.agent),
            network_seen: self.networks.next(call.network),
            previous,
            bigram_seen,
            sequence,
            sequence_seen,
            ..ActorView::default()
        }
    }
}

/// An actor's state.
#[derive(Debug, Clone, Default)]
pub struct Actor {
    trail: Trail,
    history: History,
    /// The latest day seen, and its last half hour.
    day: i64,
    evening: VecDeque<Call>,
}

impl Actor {
    /// Takes a request, and says what it sees.
    pub fn push(&mut self, call: &Call) -> ActorView {
        let seen = self.trail.push(Entry {
            micros: call.micros,
            key: call.endpoint,
            bytes: call.bytes,
            failed: call.failed,
        });
        let day = call.micros.div_euclid(DAY);
        if day > self.day {
            self.history = History::default();
            for before in std::mem::take(&mut self.evening) {
                if before.micros >= day * DAY - SESSION_GAP {
                    self.history.push(&before);
                }
            }
            self.day = day;
        }
        if day == self.day && call.micros >= (day + 1) * DAY - SESSION_GAP {
            if self.evening.len() >= MAX_EVENING {
                self.evening.pop_front();
            }
            self.evening.push_back(*call);
        }
        ActorView {
            count_1min: seen.count_1min,
            count_5min: seen.count_5min,
            count_10min: seen.count_10min,
            failed_5min: seen.failed_5min,
            endpoints_10min: seen.distinct_10min,
            bytes_10min: seen.bytes_10min,
            mean_gap: (seen.count_10min > 1)
                .then(|| (call.micros - seen.first_10min) / i64::from(seen.count_10min - 1)),
            ..self.history.push(call)
        }
    }

    /// Calls of its last ten minutes, which are held.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.trail.entries.len()
    }

    /// Whether nothing of it lies in a window that ends at `now` or later.
    #[must_use]
    pub fn is_stale(&self, now: i64) -> bool {
        self.trail.is_stale(now)
    }
}

/// What happened at an endpoint in the windows that end with a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointView {
    /// Requests in the last minute, this one included.
    pub count_1min: u32,
    /// Requests in the last five minutes.
    pub count_5min: u32,
    /// Failed ones in the last five minutes.
    pub failed_5min: u32,
    /// Actors in the last ten minutes.
    pub actors_10min: u32,
}

/// An endpoint's state.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    trail: Trail,
}

impl Endpoint {
    /// Takes a request, and says what it sees.
    pub fn push(&mut self, call: &Call) -> EndpointView {
        let seen = self.trail.push(Entry {
            micros: call.micros,
            key: call.actor,
            bytes: call.bytes,
            failed: call.failed,
        });
        EndpointView {
            count_1min: seen.count_1min,
            count_5min: seen.count_5min,
            failed_5min: seen.failed_5min,
            actors_10min: seen.distinct_10min,
        }
    }

    /// Calls of its last ten minutes, which are held.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.trail.entries.len()
    }

    /// Whether nothing of it lies in a window that ends at `now` or later.
    #[must_use]
    pub fn is_stale(&self, now: i64) -> bool {
        self.trail.is_stale(now)
    }
}

#[cfg(test)]
mod tests;
