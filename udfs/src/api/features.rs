//! A request as a row of numbers, by the catalog.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "features are f32: seven digits of a count suffice"
)]

use super::address::{self, Class};
use super::agent::{Kind, agent};
use super::catalog::{N_API_FEATURES, Slot};
use super::content::{MARKS, Mark, Place, for_each_value, marks, outline};
use super::corpus::{Corpus, Tag, bits, endpoint_hash, path_hash, quantities};
use super::grams::Surprise;
use super::request::{Request, pair_hash, text_hash};
use super::window::{ActorView, EndpointView};

/// How many requests what is usual for all counts like, beside an actor's own before.
const PRIOR: f64 = 2.0;

/// What surrounds a request: its endpoint's template, and what its actor and endpoint did before. The views are `None`
/// where it has no time, or no actor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// See [`super::Templates::template`].
    pub template: &'a str,
    /// What its actor did.
    pub actor: Option<ActorView>,
    /// What happened at its endpoint.
    pub endpoint: Option<EndpointView>,
}

/// Computes rows.
#[derive(Debug, Default)]
pub struct Featurizer {
    all: String,
}

fn log2(value: f64) -> f32 {
    (1.0 + value.max(0.0)).log2() as f32
}

fn flag(on: bool) -> f32 {
    f32::from(u8::from(on))
}

impl Featurizer {
    /// One featurizer serves any number of requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills a row.
    pub fn compute(
        &mut self,
        request: &Request<'_>,
        around: &Surroundings<'_>,
        corpus: &Corpus,
        row: &mut [f32; N_API_FEATURES],
    ) {
        row.fill(f32::NAN);
        endpoint_features(request, around, corpus, row);
        client_features(request, around, corpus, row);
        self.content_features(request, around, corpus, row);
        temporal_features(around, row);
        sequence_features(request, around, corpus, row);
    }

    fn content_features(
        &mut self,
        request: &Request<'_>,
        around: &Surroundings<'_>,
        corpus: &Corpus,
        row: &mut [f32; N_API_FEATURES],
    ) {
        let path = path_hash(request.host, around.template);
        let path_requests = f64::from(corpus.count(Tag::Path, path));
        let mut values = 0_u32;
        let mut longest = 0;
        let (mut value, mut of_path, mut header) = (
            Surprise::default(),
            Surprise::default(),
            Surprise::default(),
        );
        let (mut name_rarity, mut outline_rarity) = (0.0_f32, 0.0_f32);
        let (mut special_share, mut special_run, mut rounds, mut entropy) =
            (0.0_f32, 0_u32, 0_u8, 0.0_f32);
        let mut found = [0.0; MARKS];
        self.all.clear();
        for_each_value(request, &mut |v| {
            let (model, surprise) = match v.place {
                Place::Path => (&corpus.paths, &mut of_path),
                Place::Value => (&corpus.values, &mut value),
                Place::Header => (&corpus.headers, &mut header),
            };
            let of = model.surprise(v.text);
            surprise.mean = surprise.mean.max(of.mean);
            surprise.worst = surprise.worst.max(of.worst);
            surprise.total = surprise.total.max(of.total);
            rounds = rounds.max(v.rounds);
            if v.place == Place::Path {
                marks_of_path(v.text, &mut found);
                self.all.push_str(v.text);
                return;
            }
            // A name that the path's requests seldom hold, a value that its name seldom has.
            let at_path = f64::from(corpus.count(Tag::Header, pair_hash(path, v.name)));
            let anywhere = corpus.share(Tag::Name, v.name).min(1.0);
            name_rarity = name_rarity.max(bits(
                at_path + PRIOR * anywhere,
                path_requests.max(at_path) + PRIOR,
            ));
            let of_name = f64::from(corpus.count(Tag::Name, v.name));
            let alike = f64::from(corpus.count(Tag::Outline, pair_hash(v.name, outline(v.text))));
            outline_rarity = outline_rarity.max(bits(alike + 0.5, of_name + 1.0));
            if v.place == Place::Header {
                marks_of_header(v.text, &mut found);
                return;
            }
            values += 1;
            marks(v.text, &mut found);
            let chars = v.text.chars().count();
            if chars > longest {
                longest = chars;
                entropy = crate::text::features::entropy(v.text);
            }
            let (share, run) = specials(v.text, chars);
            special_share = special_share.max(share);
            special_run = special_run.max(run);
            self.all.push_str(v.text);
        });
        put(row, Slot::values, log2(f64::from(values)));
        put(row, Slot::value_log_len, log2(longest as f64));
        put(row, Slot::value_surprise, value.mean);
        put(row, Slot::value_surprise_worst, value.worst);
        put(
            row,
            Slot::value_surprise_total,
            log2(f64::from(value.total)),
        );
        put(row, Slot::path_surprise, of_path.mean);
        put(row, Slot::path_surprise_worst, of_path.worst);
        put(row, Slot::header_surprise, header.mean);
        put(row, Slot::header_surprise_worst, header.worst);
        put(row, Slot::name_rarity, name_rarity.max(0.0));
        put(row, Slot::outline_rarity, outline_rarity.max(0.0));
        put(row, Slot::special_share, special_share);
        put(row, Slot::special_run, special_run as f32);
        put(row, Slot::encoding_rounds, f32::from(rounds));
        put(row, Slot::value_entropy, entropy);
        let (mut digits, mut upper, mut letters, mut wide, mut controls, mut chars) =
            (0_u32, 0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
        for c in self.all.chars() {
            chars += 1;
            digits += u32::from(c.is_ascii_digit());
            upper += u32::from(c.is_ascii_uppercase());
            letters += u32::from(c.is_ascii_alphabetic());
            wide += u32::from(!c.is_ascii());
            controls += u32::from(c.is_control());
        }
        put(row, Slot::digit_share, digits as f32 / chars.max(1) as f32);
        put(row, Slot::upper_share, upper as f32 / letters.max(1) as f32);
        put(row, Slot::non_ascii, log2(f64::from(wide)));
        put(row, Slot::controls, log2(f64::from(controls)));
        let first = Slot::marks_sql as usize;
        for (slot, count) in row[first..first + MARKS].iter_mut().zip(found) {
            *slot = log2(f64::from(count));
        }
    }
}

fn put(row: &mut [f32; N_API_FEATURES], slot: Slot, value: f32) {
    row[slot as usize] = value;
}

/// Dashes and words of a slug are no SQL; a quote or a space in a path is another matter.
fn marks_of_path(text: &str, found: &mut [f32; MARKS]) {
    let mut of_path = [0.0; MARKS];
    marks(text, &mut of_path);
    if !text.contains(['\'', '"', ' ', '(']) {
        of_path[Mark::Sql as usize] = 0.0;
    }
    for (sum, n) in found.iter_mut().zip(of_path) {
        *sum += n;
    }
}

/// Headers hold addresses and slashes by nature; only what has no business there counts.
fn marks_of_header(text: &str, found: &mut [f32; MARKS]) {
    let mut of_header = [0.0; MARKS];
    marks(text, &mut of_header);
    found[Mark::Expression as usize] += of_header[Mark::Expression as usize];
}

/// The share of characters that are neither letter, digit nor space, and their longest run.
fn specials(text: &str, chars: usize) -> (f32, u32) {
    let (mut count, mut run, mut longest) = (0_u32, 0_u32, 0_u32);
    for c in text.chars() {
        if c.is_alphanumeric() || c == ' ' {
            run = 0;
        } else {
            count += 1;
            run += 1;
            longest = longest.max(run);
        }
    }
    (count as f32 / chars.max(1) as f32, longest)
}

fn endpoint_features(
    request: &Request<'_>,
    around: &Surroundings<'_>,
    corpus: &Corpus,
    row: &mut [f32; N_API_FEATURES],
) {
    let endpoint = endpoint_hash(request.method, request.host, around.template);
    if let Some(method) = request.method {
        let method = text_hash(&method.to_ascii_uppercase());
        put(row, Slot::method_rarity, corpus.rarity(Tag::Method, method));
    }
    if let Some(path) = request.path {
        let hash = path_hash(request.host, around.template);
        put(
            row,
            Slot::endpoint_rarity,
            corpus.rarity(Tag::Endpoint, endpoint),
        );
        put(row, Slot::path_rarity, corpus.rarity(Tag::Path, hash));
        put(
            row,
            Slot::path_depth,
            path.split('/').filter(|s| !s.is_empty()).count() as f32,
        );
        put(row, Slot::path_log_len, log2(path.chars().count() as f64));
        if let Some(method) = request.method {
            let method = text_hash(&method.to_ascii_uppercase());
            let both = f64::from(corpus.count(Tag::EndpointMethod, pair_hash(hash, method)));
            let all = f64::from(corpus.count(Tag::Path, hash));
            let usual = corpus.share(Tag::Method, method).min(1.0);
            put(
                row,
                Slot::method_rarity_endpoint,
                bits(both + PRIOR * usual, all + PRIOR),
            );
        }
    }
    if let Some(status) = request.status {
        let class = u64::from(status.unsigned_abs() / 100);
        let both = f64::from(corpus.count(Tag::EndpointStatus, pair_hash(endpoint, class)));
        let all = f64::from(corpus.count(Tag::Endpoint, endpoint));
        put(
            row,
            Slot::status_rarity_endpoint,
            bits(both + 0.5, all + 1.0),
        );
        put(row, Slot::server_error, flag(status >= 500));
    }
    if request.status.is_some() || request.error_code.is_some() {
        put(row, Slot::failed, flag(request.failed()));
    }
    let sizes = corpus.sizes(endpoint);
    let deviations = [
        Slot::payload_size_endpoint,
        Slot::response_size_endpoint,
        Slot::latency_endpoint,
    ];
    for (i, (slot, value)) in deviations.into_iter().zip(quantities(request)).enumerate() {
        if let Some(value) = value {
            put(row, slot, sizes.map_or(0.0, |s| s[i].deviation(value)));
        }
    }
    let [payload, response, _] = quantities(request);
    if let Some(bytes) = payload {
        put(row, Slot::payload_log_size, log2(bytes));
    }
    if let Some(bytes) = response {
        put(row, Slot::response_log_size, log2(bytes));
    }
}

fn client_features(
    request: &Request<'_>,
    around: &Surroundings<'_>,
    corpus: &Corpus,
    row: &mut [f32; N_API_FEATURES],
) {
    let known = agent(request.user_agent);
    let family = text_hash(&known.family);
    put(row, Slot::agent_rarity, corpus.rarity(Tag::Agent, family));
    put(
        row,
        Slot::agent_is_browser,
        flag(known.kind == Kind::Browser),
    );
    put(row, Slot::agent_is_bot, flag(known.kind == Kind::Bot));
    put(row, Slot::agent_is_tool, flag(known.kind == Kind::Tool));
    put(
        row,
        Slot::agent_is_scanner,
        flag(known.kind == Kind::Scanner),
    );
    put(
        row,
        Slot::agent_is_missing,
        flag(known.kind == Kind::Missing),
    );
    put(
        row,
        Slot::agent_log_len,
        log2(request.user_agent.map_or(0, |a| a.chars().count()) as f64),
    );
    let network = request.client_ip.map(address::network);
    if let (Some(client), Some(network)) = (request.client_ip, network) {
        let class = address::class(client);
        put(
            row,
            Slot::network_rarity,
            corpus.rarity(Tag::Network, network),
        );
        put(
            row,
            Slot::address_is_private,
            flag(matches!(class, Class::Private | Class::Loopback)),
        );
        put(row, Slot::address_is_name, flag(class == Class::Name));
        put(row, Slot::address_is_special, flag(class == Class::Special));
    }
    let Some(actor) = around.actor else {
        return;
    };
    let own = |seen: u32, share: f64| {
        bits(
            f64::from(seen) + PRIOR * share.min(1.0),
            f64::from(actor.seen) + PRIOR,
        )
    };
    put(
        row,
        Slot::agent_rarity_user,
        own(actor.agent_seen, corpus.share(Tag::Agent, family)),
    );
    if let Some(network) = network {
        put(
            row,
            Slot::network_rarity_user,
            own(actor.network_seen, corpus.share(Tag::Network, network)),
        );
    }
    let endpoint = endpoint_hash(request.method, request.host, around.template);
    put(
        row,
        Slot::endpoint_rarity_user,
        own(actor.endpoint_seen, corpus.share(Tag::Endpoint, endpoint)),
    );
}

fn temporal_features(around: &Surroundings<'_>, row: &mut [f32; N_API_FEATURES]) {
    let millis = |micros: i64| log2(micros as f64 / 1000.0);
    let share = |part: u32, whole: u32| part as f32 / whole.max(1) as f32;
    if let Some(actor) = around.actor {
        put(
            row,
            Slot::req_count_user_1min,
            log2(f64::from(actor.count_1min)),
        );
        put(
            row,
            Slot::req_count_user_10min,
            log2(f64::from(actor.count_10min)),
        );
        put(
            row,
            Slot::error_rate_user_5min,
            share(actor.failed_5min, actor.count_5min),
        );
        put(
            row,
            Slot::distinct_endpoints_user_10min,
            log2(f64::from(actor.endpoints_10min)),
        );
        put(
            row,
            Slot::bytes_out_user_10min,
            log2(actor.bytes_10min as f64),
        );
        put(
            row,
            Slot::inter_arrival_user,
            actor.gap.map_or(f32::NAN, millis),
        );
        put(
            row,
            Slot::inter_arrival_mean_user_10min,
            actor.mean_gap.map_or(f32::NAN, millis),
        );
    }
    if let Some(endpoint) = around.endpoint {
        put(
            row,
            Slot::req_count_endpoint_1min,
            log2(f64::from(endpoint.count_1min)),
        );
        put(
            row,
            Slot::error_rate_endpoint_5min,
            share(endpoint.failed_5min, endpoint.count_5min),
        );
        put(
            row,
            Slot::distinct_users_endpoint_10min,
            log2(f64::from(endpoint.actors_10min)),
        );
    }
}

fn sequence_features(
    request: &Request<'_>,
    around: &Surroundings<'_>,
    corpus: &Corpus,
    row: &mut [f32; N_API_FEATURES],
) {
    let Some(actor) = around.actor else {
        return;
    };
    if let Some(previous) = actor.previous {
        let endpoint = endpoint_hash(request.method, request.host, around.template);
        let both = f64::from(corpus.count(Tag::Transition, pair_hash(previous, endpoint)));
        let before = f64::from(corpus.count(Tag::Before, previous));
        let usual = corpus.share(Tag::Endpoint, endpoint).min(1.0);
        put(
            row,
            Slot::markov_transition,
            bits(both + PRIOR * usual, before + PRIOR),
        );
        put(
            row,
            Slot::bigram_novelty_user,
            1.0 / (1.0 + actor.bigram_seen as f32),
        );
    }
    if actor.sequence != 0 {
        put(
            row,
            Slot::call_sequence_novelty,
            1.0 / (1.0 + actor.sequence_seen as f32),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalog::position;
    use crate::api::corpus::CorpusState;

    fn corpus() -> Corpus {
        let mut state = CorpusState::new();
        for i in 0..400_i64 {
            let query = format!("id={i}");
            let request = Request {
                method: Some("GET"),
                host: Some("shop"),
                path: Some("/item"),
                query: Some(&query),
                status: Some(200),
                response_bytes: Some(900 + i),
                user_agent: Some("Chrome/1"),
                client_ip: Some("203.0.113.7"),
                ..Request::default()
            };
            state.add(&request, "/item", None);
        }
        Corpus::from(state)
    }

    fn row(request: &Request<'_>) -> [f32; N_API_FEATURES] {
        let mut row = [0.0; N_API_FEATURES];
        let around = Surroundings {
            template: "/item",
            ..Surroundings::default()
        };
        Featurizer::new().compute(request, &around, &corpus(), &mut row);
        row
    }

    #[test]
    fn what_differs_from_the_usual_moves_its_own_features() {
        let usual = Request {
            method: Some("GET"),
            host: Some("shop"),
            path: Some("/item"),
            query: Some("id=17"),
            status: Some(200),
            response_bytes: Some(1000),
            user_agent: Some("Chrome/2"),
            client_ip: Some("203.0.113.9"),
            ..Request::default()
        };
        let base = row(&usual);
        let moved = |request: Request<'_>, names: &[&str]| {
            let other = row(&request);
            for name in names {
                let at = position(name).unwrap();
                assert!(
                    other[at] > base[at] + 0.5,
                    "{name}: {} → {}",
                    base[at],
                    other[at]
                );
            }
        };
        moved(
            Request {
                query: Some("id=17'%20or%201=1--"),
                ..usual
            },
            &[
                "outline_rarity",
                "value_surprise",
                "marks_sql",
                "special_run",
            ],
        );
        moved(
            Request {
                query: Some("debug=1"),
                ..usual
            },
            &["name_rarity"],
        );
        moved(
            Request {
                method: Some("DELETE"),
                ..usual
            },
            &["method_rarity", "method_rarity_endpoint", "endpoint_rarity"],
        );
        moved(
            Request {
                response_bytes: Some(5_000_000),
                ..usual
            },
            &["response_size_endpoint"],
        );
        moved(
            Request {
                status: Some(500),
                ..usual
            },
            &["status_rarity_endpoint", "server_error", "failed"],
        );
        moved(
            Request {
                user_agent: Some("sqlmap/1.7"),
                ..usual
            },
            &["agent_rarity", "agent_is_scanner"],
        );
        moved(
            Request {
                client_ip: Some("198.51.99.1"),
                ..usual
            },
            &["network_rarity"],
        );
    }

    #[test]
    fn what_is_not_known_is_missing_and_not_nought() {
        let row = row(&Request {
            body: Some("pollack"),
            ..Request::default()
        });
        let missing = |name: &str| row[position(name).unwrap()].is_nan();
        assert!(
            missing("endpoint_rarity")
                && missing("req_count_user_1min")
                && missing("latency_endpoint")
        );
        assert!(!missing("value_surprise") && !missing("payload_log_size"));
        assert!(row.iter().all(|v| v.is_nan() || v.is_finite()));
    }
}
