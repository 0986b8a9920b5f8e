//! Requests one after the other, whoever they are of: the windows of all actors and endpoints, for a file that is held in memory. A
//! service, which never ends, has [`super::shared::SharedStream`].

use std::collections::HashMap;

use super::address::network;
use super::agent::agent;
use super::corpus::endpoint_hash;
use super::features::Surroundings;
use super::request::{Request, text_hash};
use super::window::{Actor, Call, Endpoint};

/// The windows of all actors and endpoints.
#[derive(Debug, Default)]
pub struct Stream {
    actors: HashMap<u64, Actor>,
    endpoints: HashMap<u64, Endpoint>,
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
        Surroundings {
            template,
            actor: Some(self.actors.entry(call.actor).or_default().push(&call)),
            endpoint: Some(self.endpoints.entry(call.endpoint).or_default().push(&call)),
        }
    }
}
