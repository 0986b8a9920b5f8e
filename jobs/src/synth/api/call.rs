//! One request, and how its endpoint is filled in.

use super::super::prng::Prng;
use super::services::Endpoint;
use super::users::User;

/// Words that people search for.
const WORDS: [&str; 16] = [
    "lamp", "tent", "kettle", "rug", "bicycle", "camera", "jacket", "piano", "stove", "mirror",
    "canoe", "drill", "scarf", "globe", "easel", "chair",
];

/// A request that was made. Empty texts are missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// Milliseconds since 1970.
    pub(super) time_ms: i64,
    pub(super) user: String,
    pub(super) session: String,
    pub(super) client_ip: String,
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    /// The operation's name, which is what `CloudTrail` would log.
    pub(super) name: &'static str,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: String,
    pub(super) status: u16,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) latency_ms: u64,
    pub(super) user_agent: String,
    pub(super) referer: &'static str,
    /// Place of the incident that it is a part of.
    pub(super) incident: Option<usize>,
}

impl Call {
    /// A successful call of an endpoint, by nobody yet.
    pub(super) fn of(
        endpoint: &Endpoint,
        user: Option<&User>,
        time_ms: i64,
        rng: &mut Prng,
    ) -> Self {
        let mut fill = |template: &str| expand(template, user, time_ms, rng);
        let (path, query, body) = (
            fill(endpoint.path),
            fill(endpoint.query),
            fill(endpoint.body),
        );
        Self {
            time_ms,
            method: endpoint.method,
            host: endpoint.host,
            name: endpoint.name,
            status: endpoint.status,
            request_bytes: spread(rng, u64::from(endpoint.request_bytes)) + body.len() as u64,
            response_bytes: spread(rng, u64::from(endpoint.response_bytes)),
            latency_ms: spread(rng, u64::from(endpoint.latency_ms)),
            path,
            query,
            body,
            ..Self::default()
        }
    }

    /// Fails it: a short answer.
    pub(super) fn fail(&mut self, status: u16, rng: &mut Prng) {
        self.status = status;
        self.response_bytes = 90 + rng.below(60);
    }

    /// The service's word for its failure; empty for a success.
    pub(super) const fn error_code(&self) -> &'static str {
        match self.status {
            0..400 => "",
            400 => "bad_request",
            401 => "unauthenticated",
            402 => "card_declined",
            403 => "forbidden",
            404 => "not_found",
            409 => "conflict",
            413 => "too_large",
            422 => "invalid",
            429 => "rate_limited",
            503 => "unavailable",
            504 => "timeout",
            _ => "internal",
        }
    }
}

/// A number around a median: half are below, a hundredth above 25 times it. Only the four operations of arithmetic are used, so that
/// every machine makes the same.
pub(super) fn spread(rng: &mut Prng, median: u64) -> u64 {
    let u = rng.unit();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "medians are below 2^40, factors below 38"
    )]
    let value = (median as f64 * (0.25 + 0.75 * u / (1.02 - u))).round() as u64;
    value.max(1)
}

fn expand(template: &str, user: Option<&User>, time_ms: i64, rng: &mut Prng) -> String {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            break;
        };
        let name = &rest[at + 1..at + end];
        let value = match name {
            "product" => (1000 + rng.skewed(4000)).to_string(),
            // Everybody has a few orders of one's own.
            "order" => order(user, rng).to_string(),
            "ticket" => (20_000 + rng.below(900)).to_string(),
            "page" => (1 + rng.skewed(30)).to_string(),
            "uuid" => uuid(rng),
            "user" => user.map_or_else(|| "guest".to_owned(), |user| user.name.clone()),
            "word" => WORDS[rng.skewed(WORDS.len())].to_owned(),
            "time" => (time_ms / 1000 - 300).to_string(),
            // A brace of JSON, not a name.
            _ => {
                out.push('{');
                rest = &rest[at + 1..];
                continue;
            }
        };
        out.push_str(&value);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

fn order(user: Option<&User>, rng: &mut Prng) -> u64 {
    user.map_or(100_000, |user| 100_000 + user.key % 900_000) + rng.below(8)
}

fn uuid(rng: &mut Prng) -> String {
    let (high, low) = (rng.next(), rng.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}
