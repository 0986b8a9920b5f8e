//! API requests: endpoints, windows, what is usual, and features.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, FixedSizeListBuilder, Float32Builder, Int64Array, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::{Args, int_column, text_column};
use super::function::Kind::{Float, Int, Text};
use super::function::{Aggregate, Argument, Doc, Scalar, State, failed, vector_type};
use crate::api::features::Surroundings;
use crate::api::window::{ActorView, EndpointView};
use crate::api::{
    Categorical, Corpus, CorpusState, Encoder, Featurizer, N_API_FEATURES, PathSample, Request,
    Templates, agent, corpus,
};
use crate::model_cache;

const PATHS: &str = "api_paths";
const CORPUS: &str = "api_corpus";
const FEATURES: &str = "api_features";
const TEMPLATE: &str = "api_template";

/// The columns of a request, in the order of the functions' arguments.
pub(super) const REQUEST: [Argument; 16] = [
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
pub(super) const WINDOWS: [Argument; 18] = [
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
pub(super) const MORE_WINDOWS: [Argument; 2] = [
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

/// The place of the choice of an encoding.
pub(super) const CHOICE: usize = 39;

/// With the encoder's URI, and its choice.
const ENCODED_FORM: [Argument; 40] = {
    let mut form = [("choice", Text); 40];
    let mut i = 0;
    while i < 38 {
        form[i] = FEATURES_FORM[i];
        i += 1;
    }
    form[38] = ("categories", Text);
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
];

/// `api_features`; [`super::categories::FeaturesGlue`] registers it.
pub static FEATURES_SCALAR: &[Scalar] = &[Scalar {
    name: FEATURES,
    forms: &[&FEATURES_FORM, &ENCODED_FORM],
    returns: || vector_type(i32::try_from(N_API_FEATURES).unwrap_or(i32::MAX)),
    call: features,
    doc: Doc {
        what: "The features of a request, by the catalog of `gleaner functions --api-features`; `corpus` is the URI of what is \
                   usual, and the windows are those of `api_actor_windows` and `api_endpoint_windows`. With the URI of an encoder and its choice \
                   (`one-hot`, `hashed`, `embedding`, as a literal) its columns follow.",
        example: "SELECT starts_with(arrow_typeof(api_features(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'none')), 'FixedSizeList')",
        result: "true",
    },
}];

/// A hash as SQL's integer: the same bits.
pub(super) fn signed(hash: u64) -> i64 {
    i64::from_ne_bytes(hash.to_ne_bytes())
}

pub(super) fn unsigned(hash: i64) -> u64 {
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
pub(super) struct Requests<'a> {
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

    pub(super) fn of_values(values: &'a [ArrayRef]) -> Result<Self> {
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

    pub(super) fn row(&self, row: usize) -> Request<'a> {
        let [status, request_bytes, response_bytes] =
            self.ints.map(|a| a.is_valid(row).then(|| a.value(row)));
        let texts = self.texts.map(|a| a.is_valid(row).then(|| a.value(row)));
        Request {
            status: status.and_then(|s| i32::try_from(s).ok()),
            request_bytes,
            response_bytes,
            latency_ms: self.latency.is_valid(row).then(|| self.latency.value(row)),
            ..Request::of_texts(texts)
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
    let choice = if args.count() > CHOICE {
        let name = args.literal_text(CHOICE)?;
        Categorical::from_name(name)
            .ok_or_else(|| failed(FEATURES, format!("{name:?} is no choice of an encoding")))?
    } else {
        Categorical::Rarity
    };
    let width = choice.width();
    let mut out = FixedSizeListBuilder::new(
        Float32Builder::new(),
        i32::try_from(width).unwrap_or(i32::MAX),
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
    let encoder = if any && choice.encodes() {
        Some(encoder(args, choice)?)
    } else {
        None
    };
    let mut featurizer = Featurizer::new();
    let mut row_of = [0.0; N_API_FEATURES];
    let mut whole = vec![0.0; width];
    for row in 0..args.rows() {
        let Some(usual) = usual.as_ref().filter(|_| templates.is_valid(row)) else {
            out.values().append_nulls(width);
            out.append(false);
            continue;
        };
        let (actor, endpoint) = views(&windows, row);
        let around = Surroundings {
            template: templates.value(row),
            actor,
            endpoint,
        };
        let request = requests.row(row);
        featurizer.compute(&request, &around, usual, &mut row_of);
        out.values().append_slice(&row_of);
        if let Some(encoder) = &encoder {
            encoder.encode(&request, &around, &mut whole);
            out.values().append_slice(&whole[N_API_FEATURES..]);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// The encoder that a call names, which must be of the choice that it was planned with.
fn encoder(args: &Args<'_>, choice: Categorical) -> Result<Arc<Encoder>> {
    let uri = args.literal_text(CHOICE - 1)?;
    let load = |bytes: &[u8]| Encoder::from_bytes(bytes).map_err(|e| e.to_string());
    let encoder = model_cache::load(uri, load).map_err(|e| failed(FEATURES, e))?;
    if encoder.choice() != choice {
        let (is, wanted) = (encoder.choice().name(), choice.name());
        return Err(failed(
            FEATURES,
            format!("{uri} encodes by {is}, and the query says {wanted}"),
        ));
    }
    Ok(encoder)
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
