//! API requests: endpoints, windows, what is usual, and features.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeListBuilder, Float32Builder, Int64Array, Int64Builder,
    StringArray, StringBuilder, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;

use super::arguments::{Args, int_column, text_column};
use super::function::Kind::{Bool, Float, Int, Text};
use super::function::{Aggregate, Argument, Doc, Scalar, State, failed, vector_type};
use super::windowed::Windowed;
use crate::api::features::Surroundings;
use crate::api::request::text_hash;
use crate::api::window::{Actor, ActorView, Call, Endpoint, EndpointView};
use crate::api::{
    Corpus, CorpusState, Featurizer, N_API_FEATURES, PathSample, Request, Templates, address,
    agent, corpus,
};
use crate::model_cache;

const PATHS: &str = "api_paths";
const CORPUS: &str = "api_corpus";
const FEATURES: &str = "api_features";
const TEMPLATE: &str = "api_template";
const ACTOR: &str = "api_actor_windows";
const ENDPOINT: &str = "api_endpoint_windows";

/// The columns of a request, in the order of the functions' arguments.
const REQUEST: [Argument; 16] = [
    ("user", Text),
    ("session", Text),
    ("client_ip", Text),
    ("method", Text),
    ("host", Text),
    ("path", Text),
    ("query", Text),
    ("error_code", Text),
    ("user_agent", Text),
    ("referer", Text),
    ("body", Text),
    ("headers", Text),
    ("status", Int),
    ("request_bytes", Int),
    ("response_bytes", Int),
    ("latency_ms", Float),
];

/// Window columns as the functions take them, the actor's then the endpoint's.
const WINDOWS: [Argument; 18] = [
    ("requests_1min", Int),
    ("requests_5min", Int),
    ("requests_10min", Int),
    ("failed_5min", Int),
    ("endpoints_10min", Int),
    ("bytes_out_10min", Int),
    ("gap_micros", Int),
    ("mean_gap_micros", Int),
    ("requests_before", Int),
    ("endpoint_before", Int),
    ("agent_before", Int),
    ("network_before", Int),
    ("previous_endpoint", Int),
    ("step_before", Int),
    ("call_sequence_hash", Int),
    ("sequence_before", Int),
    ("endpoint_requests_1min", Int),
    ("endpoint_requests_5min", Int),
];
const MORE_WINDOWS: [Argument; 2] = [
    ("endpoint_failed_5min", Int),
    ("endpoint_actors_10min", Int),
];

const CORPUS_FORM: [Argument; 18] = {
    let mut form = [("template", Text); 18];
    let mut i = 0;
    while i < 16 {
        form[i] = REQUEST[i];
        i += 1;
    }
    form[17] = ("previous_endpoint", Int);
    form
};

const FEATURES_FORM: [Argument; 38] = {
    let mut form = [("corpus", Text); 38];
    let mut i = 0;
    while i < 16 {
        form[i] = REQUEST[i];
        i += 1;
    }
    form[16] = ("template", Text);
    i = 0;
    while i < 18 {
        form[17 + i] = WINDOWS[i];
        i += 1;
    }
    form[35] = MORE_WINDOWS[0];
    form[36] = MORE_WINDOWS[1];
    form
};

/// The aggregates of this file.
pub static AGGREGATES: &[Aggregate] = &[
    Aggregate {
        name: PATHS,
        forms: &[&[("host", Text), ("path", Text)]],
        returns: || DataType::Binary,
        state: || Box::new(Paths(PathSample::new())),
        doc: Doc {
            what: "The distinct paths with the smallest hashes, with their calls: a state that merges, from which the \
                   templates of endpoints are learned.",
            example: "SELECT api_paths('shop', '/item/7') IS NOT NULL",
            result: "true",
        },
    },
    Aggregate {
        name: CORPUS,
        forms: &[&CORPUS_FORM],
        returns: || DataType::Binary,
        state: || Box::new(Usual(CorpusState::new())),
        doc: Doc {
            what: "What is usual among requests (endpoints, methods, agents, networks, sizes, steps, the characters of values): a \
                   state that merges, with which `api_features` compares a request.",
            example: "SELECT api_corpus(NULL, NULL, NULL, 'GET', 'shop', '/', NULL, NULL, NULL, NULL, NULL, NULL, 200, NULL, \
                      NULL, NULL, '/', NULL) IS NOT NULL",
            result: "true",
        },
    },
];

/// The scalars of this file.
pub static SCALARS: &[Scalar] = &[
    Scalar {
        name: TEMPLATE,
        forms: &[
            &[("host", Text), ("path", Text)],
            &[("host", Text), ("path", Text), ("templates", Text)],
        ],
        returns: || DataType::Utf8,
        call: template,
        doc: Doc {
            what: "The endpoint's template of a path: ids, GUIDs, numbers, dates and tokens folded; with the URI of learned \
                   templates also what a day's paths showed to vary.",
            example: "SELECT api_template('shop', '/orders/5579/items')",
            result: "/orders/{n}/items",
        },
    },
    Scalar {
        name: "api_endpoint",
        forms: &[&[("method", Text), ("host", Text), ("template", Text)]],
        returns: || DataType::Int64,
        call: |args| {
            let (methods, hosts, templates) = (args.text(0)?, args.text(1)?, args.text(2)?);
            let hash = |row| {
                let at = |a: &StringArray| a.is_valid(row).then(|| a.value(row).to_owned());
                at(templates).map(|t| {
                    signed(corpus::endpoint_hash(
                        at(methods).as_deref(),
                        at(hosts).as_deref(),
                        &t,
                    ))
                })
            };
            Ok(Arc::new((0..args.rows()).map(hash).collect::<Int64Array>()))
        },
        doc: Doc {
            what: "A hash of an endpoint: method, host and template.",
            example: "SELECT api_endpoint('GET', 'shop', '/item/{n}') = api_endpoint('get', 'SHOP', '/item/{n}')",
            result: "true",
        },
    },
    Scalar {
        name: "api_agent",
        forms: &[&[("user_agent", Text)]],
        returns: || DataType::Utf8,
        call: |args| {
            let agents = args.text(0)?;
            let family = |row| {
                agents
                    .is_valid(row)
                    .then(|| agent::agent(Some(agents.value(row))).family)
            };
            Ok(Arc::new(
                (0..args.rows()).map(family).collect::<StringArray>(),
            ))
        },
        doc: Doc {
            what: "The family of a user agent, without versions.",
            example: "SELECT api_agent('curl/8.5.0')",
            result: "curl",
        },
    },
    Scalar {
        name: FEATURES,
        forms: &[&FEATURES_FORM],
        returns: || vector_type(i32::try_from(N_API_FEATURES).unwrap_or(i32::MAX)),
        call: features,
        doc: Doc {
            what: "The features of a request, by the catalog of `gleaner functions --api-features`; `corpus` is the URI of what is \
                   usual, and the windows are those of `api_actor_windows` and `api_endpoint_windows`.",
            example: "SELECT starts_with(arrow_typeof(api_features(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'none')), 'FixedSizeList')",
            result: "true",
        },
    },
];

/// The window functions of this file.
pub static WINDOWED: &[Windowed] = &[
    Windowed {
        name: ACTOR,
        forms: &[&[
            ("actor", Text),
            ("micros", Int),
            ("endpoint", Int),
            ("failed", Bool),
            ("response_bytes", Int),
            ("user_agent", Text),
            ("client_ip", Text),
        ]],
        returns: || DataType::Struct(fields(&WINDOWS[..16])),
        all: actor_windows,
        doc: Doc {
            what: "What an actor did in the minutes before each of its requests, that one included, and how often it did the same \
                   before. Over rows ordered by actor, time and hash; null where an actor or a time is missing.",
            example: "SELECT w['requests_1min'] FROM (SELECT t, api_actor_windows('a', t, 7, false, 1, NULL, NULL) OVER (ORDER BY t) AS w \
                      FROM (VALUES (0), (30000000), (70000000)) AS v (t)) ORDER BY t DESC LIMIT 1",
            result: "2",
        },
    },
    Windowed {
        name: ENDPOINT,
        forms: &[&[
            ("endpoint", Int),
            ("micros", Int),
            ("actor", Text),
            ("failed", Bool),
        ]],
        returns: || DataType::Struct(endpoint_fields()),
        all: endpoint_windows,
        doc: Doc {
            what: "What happened at an endpoint in the minutes before each request, that one included. Over rows ordered by \
                   endpoint, time and hash; null where an endpoint or a time is missing.",
            example: "SELECT w['endpoint_actors_10min'] FROM (SELECT t, api_endpoint_windows(7, t, a, false) OVER (ORDER BY t) AS w \
                      FROM (VALUES (0, 'a'), (1, 'b'), (2, 'a')) AS v (t, a)) ORDER BY t DESC LIMIT 1",
            result: "2",
        },
    },
];

fn fields(columns: &[Argument]) -> Fields {
    columns
        .iter()
        .map(|(name, _)| Field::new(*name, DataType::Int64, true))
        .collect()
}

fn endpoint_fields() -> Fields {
    fields(&[WINDOWS[16], WINDOWS[17], MORE_WINDOWS[0], MORE_WINDOWS[1]])
}

/// A hash as SQL's integer: the same bits.
fn signed(hash: u64) -> i64 {
    i64::from_ne_bytes(hash.to_ne_bytes())
}

fn unsigned(hash: i64) -> u64 {
    u64::from_ne_bytes(hash.to_ne_bytes())
}

fn template(args: &Args<'_>) -> Result<ArrayRef> {
    let (hosts, paths) = (args.text(0)?, args.text(1)?);
    let templates = if args.count() > 2 && (0..args.rows()).any(|row| paths.is_valid(row)) {
        let load = |bytes: &[u8]| {
            PathSample::from_bytes(bytes)
                .map(|sample| Templates::learn(&sample))
                .map_err(|e| e.to_string())
        };
        model_cache::load(args.literal_text(2)?, load).map_err(|e| failed(TEMPLATE, e))?
    } else {
        Arc::new(Templates::default())
    };
    let mut out = StringBuilder::new();
    for row in 0..args.rows() {
        let host = if hosts.is_valid(row) {
            hosts.value(row)
        } else {
            ""
        };
        out.append_option(
            paths
                .is_valid(row)
                .then(|| templates.template(host, paths.value(row))),
        );
    }
    Ok(Arc::new(out.finish()))
}

/// The columns of requests, as arrays.
struct Requests<'a> {
    texts: [&'a StringArray; 12],
    ints: [&'a Int64Array; 3],
    latency: &'a datafusion::arrow::array::Float32Array,
}

impl<'a> Requests<'a> {
    fn of_args(args: &'a Args<'_>) -> Result<Self> {
        let mut texts = [args.text(0)?; 12];
        for (i, slot) in texts.iter_mut().enumerate() {
            *slot = args.text(i)?;
        }
        Ok(Self {
            texts,
            ints: [args.int(12)?, args.int(13)?, args.int(14)?],
            latency: args.float(15)?,
        })
    }

    fn of_values(values: &'a [ArrayRef]) -> Result<Self> {
        let mut texts = [text_column(CORPUS, values, 0)?; 12];
        for (i, slot) in texts.iter_mut().enumerate() {
            *slot = text_column(CORPUS, values, i)?;
        }
        let int = |i| int_column(CORPUS, values, i);
        Ok(Self {
            texts,
            ints: [int(12)?, int(13)?, int(14)?],
            latency: super::arguments::float_column(CORPUS, values, 15)?,
        })
    }

    fn row(&self, row: usize) -> Request<'a> {
        let [
            user,
            session,
            client_ip,
            method,
            host,
            path,
            query,
            error_code,
            user_agent,
            referer,
            body,
            headers,
        ] = self.texts.map(|a| a.is_valid(row).then(|| a.value(row)));
        let [status, request_bytes, response_bytes] =
            self.ints.map(|a| a.is_valid(row).then(|| a.value(row)));
        Request {
            micros: None,
            user,
            session,
            client_ip,
            method,
            host,
            path,
            query,
            status: status.and_then(|s| i32::try_from(s).ok()),
            error_code,
            request_bytes,
            response_bytes,
            latency_ms: self.latency.is_valid(row).then(|| self.latency.value(row)),
            user_agent,
            referer,
            body,
            headers,
        }
    }
}

fn features(args: &Args<'_>) -> Result<ArrayRef> {
    let requests = Requests::of_args(args)?;
    let templates = args.text(16)?;
    let mut windows = vec![];
    for i in 17..37 {
        windows.push(args.int(i)?);
    }
    let mut out = FixedSizeListBuilder::new(
        Float32Builder::new(),
        i32::try_from(N_API_FEATURES).unwrap_or(i32::MAX),
    );
    let any = (0..args.rows()).any(|row| templates.is_valid(row));
    let usual = if any {
        let load = |bytes: &[u8]| {
            CorpusState::from_bytes(bytes)
                .map(Corpus::from)
                .map_err(|e| e.to_string())
        };
        Some(model_cache::load(args.literal_text(37)?, load).map_err(|e| failed(FEATURES, e))?)
    } else {
        None
    };
    let mut featurizer = Featurizer::new();
    let mut row_of = [0.0; N_API_FEATURES];
    for row in 0..args.rows() {
        let Some(usual) = usual.as_ref().filter(|_| templates.is_valid(row)) else {
            out.values().append_nulls(N_API_FEATURES);
            out.append(false);
            continue;
        };
        let (actor, endpoint) = views(&windows, row);
        let around = Surroundings {
            template: templates.value(row),
            actor,
            endpoint,
        };
        featurizer.compute(&requests.row(row), &around, usual, &mut row_of);
        out.values().append_slice(&row_of);
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn count(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// The views that window columns hold.
fn views(windows: &[&Int64Array], row: usize) -> (Option<ActorView>, Option<EndpointView>) {
    let at = |i: usize| {
        windows
            .get(i)
            .filter(|a| a.is_valid(row))
            .map(|a| a.value(row))
    };
    let n = |i| at(i).map_or(0, count);
    let actor = at(0).map(|_| ActorView {
        count_1min: n(0),
        count_5min: n(1),
        count_10min: n(2),
        failed_5min: n(3),
        endpoints_10min: n(4),
        bytes_10min: at(5).unwrap_or_default(),
        gap: at(6),
        mean_gap: at(7),
        seen: n(8),
        endpoint_seen: n(9),
        agent_seen: n(10),
        network_seen: n(11),
        previous: at(12).map(unsigned),
        bigram_seen: n(13),
        sequence: at(14).map_or(0, unsigned),
        sequence_seen: n(15),
    });
    let endpoint = at(16).map(|_| EndpointView {
        count_1min: n(16),
        count_5min: n(17),
        failed_5min: n(18),
        actors_10min: n(19),
    });
    (actor, endpoint)
}

/// Builders of a struct of integers.
struct Ints(Vec<Int64Builder>);

impl Ints {
    fn new(columns: usize) -> Self {
        Self((0..columns).map(|_| Int64Builder::new()).collect())
    }

    fn push(&mut self, values: &[Option<i64>]) {
        for (builder, value) in self.0.iter_mut().zip(values) {
            builder.append_option(*value);
        }
    }

    fn finish(mut self, fields: Fields) -> ArrayRef {
        let arrays = self
            .0
            .iter_mut()
            .map(|b| Arc::new(b.finish()) as ArrayRef)
            .collect();
        Arc::new(StructArray::new(fields, arrays, None))
    }
}

fn bool_column<'a>(function: &str, values: &'a [ArrayRef], i: usize) -> Result<&'a BooleanArray> {
    let array = values
        .get(i)
        .and_then(|a| a.as_any().downcast_ref::<BooleanArray>());
    array.ok_or_else(|| failed(function, format!("argument {} must be boolean", i + 1)))
}

fn actor_windows(values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (actors, micros) = (
        text_column(ACTOR, values, 0)?,
        int_column(ACTOR, values, 1)?,
    );
    let (endpoints, failures) = (
        int_column(ACTOR, values, 2)?,
        bool_column(ACTOR, values, 3)?,
    );
    let bytes = int_column(ACTOR, values, 4)?;
    let (agents, clients) = (
        text_column(ACTOR, values, 5)?,
        text_column(ACTOR, values, 6)?,
    );
    let mut out = Ints::new(16);
    let mut state = Actor::default();
    let mut of = None;
    for row in 0..rows {
        if actors.is_null(row) || micros.is_null(row) || endpoints.is_null(row) {
            out.push(&[None; 16]);
            continue;
        }
        if of != Some(actors.value(row)) {
            of = Some(actors.value(row));
            state = Actor::default();
        }
        let view = state.push(&Call {
            micros: micros.value(row),
            actor: text_hash(actors.value(row)),
            endpoint: unsigned(endpoints.value(row)),
            failed: failures.is_valid(row) && failures.value(row),
            bytes: if bytes.is_valid(row) {
                bytes.value(row).max(0)
            } else {
                0
            },
            agent: text_hash(&agent::agent(agents.is_valid(row).then(|| agents.value(row))).family),
            network: if clients.is_valid(row) {
                address::network(clients.value(row))
            } else {
                0
            },
        });
        let n = |count: u32| Some(i64::from(count));
        out.push(&[
            n(view.count_1min),
            n(view.count_5min),
            n(view.count_10min),
            n(view.failed_5min),
            n(view.endpoints_10min),
            Some(view.bytes_10min),
            view.gap,
            view.mean_gap,
            n(view.seen),
            n(view.endpoint_seen),
            n(view.agent_seen),
            n(view.network_seen),
            view.previous.map(signed),
            n(view.bigram_seen),
            (view.sequence != 0).then(|| signed(view.sequence)),
            n(view.sequence_seen),
        ]);
    }
    Ok(out.finish(fields(&WINDOWS[..16])))
}

fn endpoint_windows(values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (endpoints, micros) = (
        int_column(ENDPOINT, values, 0)?,
        int_column(ENDPOINT, values, 1)?,
    );
    let (actors, failures) = (
        text_column(ENDPOINT, values, 2)?,
        bool_column(ENDPOINT, values, 3)?,
    );
    let mut out = Ints::new(4);
    // Rows come endpoint by endpoint; a map all the same, so that another order gives nothing wrong.
    let mut states: HashMap<i64, Endpoint> = HashMap::new();
    let mut last = None;
    for row in 0..rows {
        if endpoints.is_null(row) || micros.is_null(row) || actors.is_null(row) {
            out.push(&[None; 4]);
            continue;
        }
        let endpoint = endpoints.value(row);
        if last
            .replace(endpoint)
            .is_some_and(|before| before != endpoint)
        {
            states.clear();
        }
        let view = states.entry(endpoint).or_default().push(&Call {
            micros: micros.value(row),
            actor: text_hash(actors.value(row)),
            endpoint: unsigned(endpoint),
            failed: failures.is_valid(row) && failures.value(row),
            bytes: 0,
            agent: 0,
            network: 0,
        });
        let n = |count: u32| Some(i64::from(count));
        out.push(&[
            n(view.count_1min),
            n(view.count_5min),
            n(view.failed_5min),
            n(view.actors_10min),
        ]);
    }
    Ok(out.finish(endpoint_fields()))
}

#[derive(Debug)]
struct Paths(PathSample);

impl State for Paths {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (hosts, paths) = (
            text_column(PATHS, values, 0)?,
            text_column(PATHS, values, 1)?,
        );
        for row in 0..paths.len() {
            if paths.is_valid(row) {
                let host = if hosts.is_valid(row) {
                    hosts.value(row)
                } else {
                    ""
                };
                self.0.add(host, paths.value(row));
            }
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.0
            .merge(PathSample::from_bytes(bytes).map_err(|e| failed(PATHS, e))?);
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.0.to_bytes()))
    }

    fn size(&self) -> usize {
        4 << 20
    }
}

#[derive(Debug)]
struct Usual(CorpusState);

impl State for Usual {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let requests = Requests::of_values(values)?;
        let (templates, previous) = (
            text_column(CORPUS, values, 16)?,
            int_column(CORPUS, values, 17)?,
        );
        for row in 0..templates.len() {
            if templates.is_valid(row) {
                let before = previous
                    .is_valid(row)
                    .then(|| unsigned(previous.value(row)));
                self.0.add(&requests.row(row), templates.value(row), before);
            }
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.0
            .merge(&CorpusState::from_bytes(bytes).map_err(|e| failed(CORPUS, e))?);
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.0.to_bytes()))
    }

    fn size(&self) -> usize {
        // Counts of hashes, and three tables of characters.
        8 << 20
    }
}
