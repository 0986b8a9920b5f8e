//! The windows of all actors and endpoints, for many threads at a time: [`super::Stream`] behind many short locks, and bounded.
//!
//! **Order.** What a request sees is what came before it, by actor and by endpoint. Requests that one sender sends one after
//! the other, in the order of (time, hash), see what a batch over them sees.
//!
//! **Once.** A request that is sent again, as its sender had no answer, is answered as before and counts once, as telemetry's
//! exact duplicates do, while nothing later of its actor came between.
//!
//! **Memory.** 32 bytes a request of the last ten minutes, twice (its actor's and its endpoint's), and the counts of each actor's
//! day. States that no window and no count of the day asks for any more go first; beyond [`Bounds`] the longest silent, with what
//! they had been seen to do: they begin anew, as an actor does that was never seen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::features::Surroundings;
use super::request::Request;
use super::stream::call;
use super::window::{Actor, ActorView, Call, Endpoint, EndpointView, SESSION_GAP};

/// Locks of each kind.
const SHARDS: usize = 64;
/// Requests of a shard between two looks for states that nothing asks for any more.
const SWEEP: u64 = 4096;
/// Requests of one actor at one instant that are known again.
const AGAIN: usize = 64;
const DAY: i64 = 86_400_000_000;

/// What is held at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Actors, and as many endpoints.
    pub states: usize,
    /// Requests of the last ten minutes, of all actors, and again of all endpoints.
    pub calls: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            states: 1_000_000,
            calls: 16_000_000,
        }
    }
}

/// A state that takes calls.
trait Taking: Default {
    type View: Copy;

    fn take(&mut self, call: &Call) -> Self::View;
    fn calls(&self) -> usize;
    /// Whether a new one would answer alike, from a call at `now` on.
    fn is_spent(&self, latest: i64, now: i64) -> bool;
}

impl Taking for Actor {
    type View = ActorView;

    fn take(&mut self, call: &Call) -> ActorView {
        self.push(call)
    }

    fn calls(&self) -> usize {
        self.calls()
    }

    /// What an actor did is counted over the day, and the half hour in front of it.
    fn is_spent(&self, latest: i64, now: i64) -> bool {
        let since = now.div_euclid(DAY) * DAY - SESSION_GAP;
        latest < since && self.is_stale(now)
    }
}

impl Taking for Endpoint {
    type View = EndpointView;

    fn take(&mut self, call: &Call) -> EndpointView {
        self.push(call)
    }

    fn calls(&self) -> usize {
        self.calls()
    }

    fn is_spent(&self, _latest: i64, now: i64) -> bool {
        self.is_stale(now)
    }
}

/// What was answered of a request, by its name.
type Answered = (u128, ActorView, EndpointView);

#[derive(Debug, Default)]
struct Held<S> {
    state: S,
    latest: i64,
    /// Of an actor: the requests at its latest instant.
    answered: Vec<Answered>,
}

#[derive(Debug)]
struct Shard<S> {
    states: HashMap<u64, Held<S>>,
    newest: i64,
    calls: usize,
    taken: u64,
}

impl<S> Default for Shard<S> {
    fn default() -> Self {
        Self {
            states: HashMap::new(),
            newest: i64::MIN,
            calls: 0,
            taken: 0,
        }
    }
}

impl<S: Taking> Shard<S> {
    /// Takes a call; says also how many states went for want of room.
    fn take(&mut self, key: u64, call: &Call, bounds: Bounds) -> (S::View, u64) {
        self.newest = self.newest.max(call.micros);
        self.taken += 1;
        let held = self.states.entry(key).or_default();
        held.latest = held.latest.max(call.micros);
        let before = held.state.calls();
        let view = held.state.take(call);
        self.calls = (self.calls + held.state.calls()).saturating_sub(before);
        let full = |shard: &Self| {
            shard.states.len() > bounds.states / SHARDS || shard.calls > bounds.calls / SHARDS
        };
        let mut gone = 0;
        if full(self) || self.taken.is_multiple_of(SWEEP) {
            self.sweep();
            if full(self) {
                gone = self.make_room(bounds);
            }
        }
        (view, gone)
    }

    /// Lets go what a new state would answer like.
    fn sweep(&mut self) {
        let now = self.newest;
        self.states
            .retain(|_, held| !held.state.is_spent(held.latest, now));
        self.calls = self.states.values().map(|held| held.state.calls()).sum();
    }

    /// Lets the longest silent go, down to three quarters, so that this is not done for every request.
    fn make_room(&mut self, bounds: Bounds) -> u64 {
        let (states, calls) = (
            bounds.states / SHARDS * 3 / 4,
            bounds.calls / SHARDS * 3 / 4,
        );
        let mut order: Vec<(i64, u64, usize)> = self
            .states
            .iter()
            .map(|(key, held)| (held.latest, *key, held.state.calls()))
            .collect();
        order.sort_unstable();
        let mut gone = 0;
        for (_, key, of) in order {
            if self.states.len() <= states && self.calls <= calls {
                break;
            }
            self.states.remove(&key);
            self.calls = self.calls.saturating_sub(of);
            gone += 1;
        }
        gone
    }
}

/// The windows.
#[derive(Debug)]
pub struct SharedStream {
    actors: Vec<Mutex<Shard<Actor>>>,
    endpoints: Vec<Mutex<Shard<Endpoint>>>,
    bounds: Bounds,
    evicted: AtomicU64,
}

/// What is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holds {
    /// Actors.
    pub actors: usize,
    /// Endpoints.
    pub endpoints: usize,
    /// Requests of the last ten minutes, of actors and of endpoints.
    pub calls: usize,
    /// States that went for want of room, since the beginning.
    pub evicted: u64,
}

fn shard<S>(shards: &[Mutex<Shard<S>>], key: u64) -> MutexGuard<'_, Shard<S>> {
    // The hash is finished by a mixer: its low bits are as good as any.
    let at = usize::try_from(key % SHARDS as u64).unwrap_or_default();
    locked(&shards[at])
}

/// A thread that panicked has at worst lost a call.
fn locked<S>(shard: &Mutex<Shard<S>>) -> MutexGuard<'_, Shard<S>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedStream {
    /// No request yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        fn shards<S>() -> Vec<Mutex<Shard<S>>> {
            (0..SHARDS).map(|_| Mutex::default()).collect()
        }
        Self {
            actors: shards(),
            endpoints: shards(),
            bounds: Bounds {
                states: bounds.states.max(4 * SHARDS),
                calls: bounds.calls.max(4 * SHARDS),
            },
            evicted: AtomicU64::new(0),
        }
    }

    /// Takes a request, and says what surrounds it.
    pub fn push<'t>(&self, request: &Request<'_>, template: &'t str) -> Surroundings<'t> {
        let Some(call) = call(request, template) else {
            return Surroundings {
                template,
                ..Surroundings::default()
            };
        };
        let name = name(request);
        // Always an actor's lock, then an endpoint's: what is taken of both is taken of both or of none.
        let mut actors = shard(&self.actors, call.actor);
        let known = actors.states.get(&call.actor).and_then(|held| {
            let of_instant = held.latest == call.micros;
            held.answered
                .iter()
                .find(|(n, ..)| of_instant && *n == name)
                .copied()
        });
        if let Some((_, actor, endpoint)) = known {
            return Surroundings {
                template,
                actor: Some(actor),
                endpoint: Some(endpoint),
            };
        }
        let before = actors.states.get(&call.actor).map(|held| held.latest);
        let (actor, gone) = actors.take(call.actor, &call, self.bounds);
        let (endpoint, gone_too) =
            shard(&self.endpoints, call.endpoint).take(call.endpoint, &call, self.bounds);
        if let Some(held) = actors.states.get_mut(&call.actor) {
            if before.is_none_or(|before| before < call.micros) {
                held.answered.clear();
            }
            if held.latest == call.micros && held.answered.len() < AGAIN {
                held.answered.push((name, actor, endpoint));
            }
        }
        drop(actors);
        if gone + gone_too > 0 {
            self.evicted.fetch_add(gone + gone_too, Ordering::Relaxed);
        }
        Surroundings {
            template,
            actor: Some(actor),
            endpoint: Some(endpoint),
        }
    }

    /// What is held now.
    #[must_use]
    pub fn holds(&self) -> Holds {
        let mut holds = Holds {
            evicted: self.evicted.load(Ordering::Relaxed),
            ..Holds::default()
        };
        for shard in &self.actors {
            let shard = locked(shard);
            holds.actors += shard.states.len();
            holds.calls += shard.calls;
        }
        for shard in &self.endpoints {
            let shard = locked(shard);
            holds.endpoints += shard.states.len();
            holds.calls += shard.calls;
        }
        holds
    }
}

/// A request's name: 128 bits of a BLAKE3 hash of its columns, each behind a byte that tells whether there is one and its length.
fn name(request: &Request<'_>) -> u128 {
    let mut hasher = blake3::Hasher::new();
    let texts = [
        request.user,
        request.session,
        request.client_ip,
        request.method,
        request.host,
        request.path,
        request.query,
        request.error_code,
        request.user_agent,
        request.referer,
        request.body,
        request.headers,
    ];
    for text in texts {
        match text {
            None => {
                hasher.update(&[0]);
            }
            Some(text) => {
                hasher.update(&[1]);
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
    }
    let numbers = [
        request.micros,
        request.status.map(i64::from),
        request.request_bytes,
        request.response_bytes,
        request.latency_ms.map(|ms| i64::from(ms.to_bits())),
    ];
    for number in numbers {
        hasher.update(&[u8::from(number.is_some())]);
        hasher.update(&number.unwrap_or_default().to_le_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Stream;
    use crate::rng::SplitMix64;

    const USERS: [&str; 5] = ["ada", "ben", "eva", "kim", "tom"];
    const PATHS: [&str; 4] = ["/a", "/b", "/c", "/d"];

    /// Requests of a few users to a few paths, sorted by time.
    fn requests(n: usize, step: u64) -> Vec<Request<'static>> {
        let mut rng = SplitMix64::new(3);
        let mut micros = 23 * 3_600_000_000;
        (0..n)
            .map(|i| {
                let mut draw = |n: usize| usize::try_from(rng.next_u64() % n as u64).unwrap();
                micros += i64::try_from(draw(usize::try_from(step).unwrap())).unwrap();
                Request {
                    micros: Some(micros),
                    user: Some(USERS[draw(USERS.len())]),
                    method: Some("GET"),
                    path: Some(PATHS[draw(PATHS.len())]),
                    status: Some(if draw(5) == 0 { 500 } else { 200 }),
                    response_bytes: Some(i64::try_from(i).unwrap()),
                    ..Request::default()
                }
            })
            .collect()
    }

    fn same(a: &Surroundings<'_>, b: &Surroundings<'_>) -> bool {
        (a.template, a.actor, a.endpoint) == (b.template, b.actor, b.endpoint)
    }

    #[test]
    fn shared_windows_say_what_one_stream_says_and_again_what_they_said() {
        let (mut alone, shared) = (Stream::new(), SharedStream::new(Bounds::default()));
        for (i, request) in requests(20_000, 20_000_000).iter().enumerate() {
            let path = request.path.unwrap();
            let expected = alone.push(request, path);
            let first = shared.push(request, path);
            assert!(same(&first, &expected), "request {i}");
            // Sent again, it counts once.
            assert!(same(&shared.push(request, path), &expected), "request {i}");
        }
        let holds = shared.holds();
        assert!(
            holds.actors == USERS.len() && holds.evicted == 0,
            "{holds:?}"
        );
    }

    #[test]
    fn threads_that_push_together_lose_no_call() {
        let shared = SharedStream::new(Bounds::default());
        let all = requests(8_000, 2);
        std::thread::scope(|scope| {
            for part in all.chunks(1_000) {
                let shared = &shared;
                scope.spawn(move || {
                    for request in part {
                        shared.push(request, request.path.unwrap());
                    }
                });
            }
        });
        let last = Request {
            micros: all.last().unwrap().micros,
            user: Some("ada"),
            method: Some("GET"),
            path: Some("/a"),
            ..Request::default()
        };
        let adas = all.iter().filter(|r| r.user == last.user).count();
        let seen = shared.push(&last, "/a").actor.unwrap();
        assert_eq!(seen.count_10min as usize, adas + 1);
        assert_eq!(shared.holds().calls, 2 * (all.len() + 1));
    }

    #[test]
    fn what_is_held_is_bounded_by_states_and_by_calls() {
        let bounds = Bounds {
            states: 6_400,
            calls: 64_000,
        };
        let shared = SharedStream::new(bounds);
        let users: Vec<String> = (0..40_000).map(|i| format!("user {i}")).collect();
        let at = |user: &'static str, micros| Request {
            micros: Some(micros),
            user: Some(user),
            path: Some("/a"),
            ..Request::default()
        };
        for (i, user) in users.iter().enumerate() {
            let request = Request {
                user: Some(user),
                ..at("", i64::try_from(i).unwrap() + DAY)
            };
            shared.push(&request, "/a");
        }
        let holds = shared.holds();
        assert!(holds.actors <= 6_400 && holds.evicted > 0, "{holds:?}");
        // One actor whose clock stands still.
        for i in 0..200_000 {
            let request = Request {
                response_bytes: Some(i),
                ..at("ada", 2 * DAY)
            };
            shared.push(&request, "/a");
        }
        assert!(shared.holds().calls <= 2 * 64_000, "{:?}", shared.holds());
    }

    #[test]
    fn states_go_once_a_new_one_would_answer_alike() {
        let (mut alone, shared) = (Stream::new(), SharedStream::new(Bounds::default()));
        let mut held = vec![];
        for day in 0..3 {
            for request in requests(30_000, 1_000_000) {
                let request = Request {
                    micros: request.micros.map(|m| m + day * 3 * DAY),
                    ..request
                };
                let path = request.path.unwrap();
                let expected = alone.push(&request, path);
                assert!(same(&shared.push(&request, path), &expected));
            }
            held.push(shared.holds());
        }
        // Nobody comes on the fourth day but one.
        for i in 0..5_000 {
            let request = Request {
                micros: Some(20 * DAY + i),
                user: Some("ada"),
                path: Some("/a"),
                ..Request::default()
            };
            shared.push(&request, "/a");
        }
        assert!(
            held[2].calls < 2 * 30_000 && held[2].evicted == 0,
            "{held:?}"
        );
    }
}
