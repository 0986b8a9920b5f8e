//! Who may call what of a server. Queries see the warehouse's tables whoever asks; what changes something is for operators, and for
//! other drivers; what happens is sent by sensors, who see nothing else.

use std::sync::Arc;

use crate::secure::{Policy, Role, Rule, Tokens};

const READ: &[Role] = &[Role::Viewer, Role::Operator, Role::Client, Role::Driver];
const CHANGE: &[Role] = &[Role::Operator, Role::Driver];
/// Scoring changes windows: who only reads may not.
const SCORE: &[Role] = &[Role::Sensor, Role::Operator, Role::Driver];
const MODELS: &[Role] = &[
    Role::Sensor,
    Role::Viewer,
    Role::Operator,
    Role::Client,
    Role::Driver,
];

/// By path; what is not here is for nobody.
pub const RULES: &[Rule] = &[
    Rule::new("/gleaner.v1.Control/Submit", CHANGE),
    Rule::new("/gleaner.v1.Control/Cancel", CHANGE),
    Rule::new("/gleaner.v1.Control/Get", READ),
    Rule::new("/gleaner.v1.Control/List", READ),
    Rule::new("/gleaner.v1.Control/Watch", READ),
    Rule::new("/gleaner.v1.Control/Result", READ),
    Rule::new("/gleaner.v1.Scoring/ScoreRequest", SCORE),
    Rule::new("/gleaner.v1.Scoring/ScoreRequests", SCORE),
    Rule::new("/gleaner.v1.Scoring/ScoreStream", SCORE),
    Rule::new("/gleaner.v1.Scoring/ScoreCommands", SCORE),
    Rule::new("/gleaner.v1.Scoring/Models", MODELS),
    // The SQL service is read-only as a whole.
    Rule::new("/arrow.flight.protocol.FlightService/*", READ),
];

/// The policy of a port with TLS, with tokens, or with neither, which is a user's own.
#[must_use]
pub fn policy(tls: bool, tokens: Option<Arc<Tokens>>) -> Policy {
    if tls || tokens.is_some() {
        Policy::new(RULES, tokens)
    } else {
        Policy::open()
    }
}
