//! Requests one after the other, whoever they are of: the windows of all actors and endpoints, kept in memory.

use std::collections::HashMap;

use super::address::network;
use super::agent::agent;
use super::corpus::endpoint_hash;
use super::features::Surroundings;
use super::request::{Request, text_hash};
use super::window::{Actor, Call, Endpoint};

/// Requests between two looks for states that nothing asks for any more.
const SWEEP: u64 = 65_536;
/// Actors and endpoints that are remembered: beyond them the longest silent go, with what they had been seen to do.
pub const MAX_STATES: usize = 1_000_000;

/// A state, and the time of its latest request.
type Held<S> = (S, i64);

/// The windows of all actors and endpoints.
#[derive(Debug, Default)]
pub struct Stream {
    actors: HashMap<u64, Held<Actor>>,
    endpoints: HashMap<u64, Held<Endpoint>>,
    requests: u64,
}

/// What windows need of a request: nothing where it has no time or no actor.
#[must_use]
pub fn call(request: &Request<'_>, template: &str) -> Option<Call> {
    Some(Call {
        micros: request.micros?,
        actor: text_hash(request.actor()?),
        endpoint: endpoint_hash(request.method, request.host, template),
        failed: request.failed(),
        bytes: request.response_bytes.unwrap_or_default().max(0),
        agent: text_hash(&agent(request.user_agent).family),
        network: request.client_ip.map_or(0, network),
    })
}

impl Stream {
    /// No request yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a request, and says what surrounds it.
    pub fn push<'t>(&mut self, request: &Request<'_>, template: &'t str) -> Surroundings<'t> {
        let Some(call) = call(request, template) else {
            return Surroundings {
                template,
                ..Surroundings::default()
            };
        };
        self.requests += 1;
        if self.requests.is_multiple_of(SWEEP) {
            self.sweep();
        }
        let actor = self.actors.entry(call.actor).or_default();
        actor.1 = actor.1.max(call.micros);
        let endpoint = self.endpoints.entry(call.endpoint).or_default();
        endpoint.1 = endpoint.1.max(call.micros);
        Surroundings {
            template,
            actor: Some(actor.0.push(&call)),
            endpoint: Some(endpoint.0.push(&call)),
        }
    }

    /// Lets the longest silent go where there are too many.
    fn sweep(&mut self) {
        keep_latest(&mut self.actors);
        keep_latest(&mut self.endpoints);
    }
}

fn keep_latest<S>(states: &mut HashMap<u64, Held<S>>) {
    if states.len() <= MAX_STATES {
        return;
    }
    let mut times: Vec<i64> = states.values().map(|(_, latest)| *latest).collect();
    // A quarter goes, so that this is not done for every request.
    let at = states.len() - MAX_STATES * 3 / 4;
    let (_, border, _) = times.select_nth_unstable(at.min(states.len() - 1));
    let border = *border;
    states.retain(|_, (_, latest)| *latest >= border);
}
