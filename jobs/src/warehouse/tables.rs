//! The tables of a warehouse: name, columns, and what a row is. One list, from which the Delta tables are made,
//! queries' results are checked and `gleaner sql` registers.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::telemetry::Kind;

mod judged;

pub use judged::{ALIKE, FEEDBACK, REQUEST_REVIEWS};

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Name: also the stage's, the folder's and the metric label's.
    pub name: &'static str,
    /// What one row is.
    pub doc: &'static str,
    /// Names and types, `day` first.
    pub columns: fn() -> Vec<(&'static str, DataType)>,
}

impl Table {
    /// The columns, all nullable as Delta readers expect; the first is always `day`, the partition.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let fields = (self.columns)()
            .into_iter()
            .map(|(name, kind)| Field::new(name, kind, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

fn texts() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

use DataType::{Binary, Boolean, Date32, Float32, Float64, Int32, Int64, Utf8};

/// What is known of a line beside its text, in every table that holds lines.
fn line() -> Vec<(&'static str, DataType)> {
    vec![
        ("day", Date32),
        ("hash", Utf8),
        ("command_line", Utf8),
        ("template", Utf8),
        ("os", Utf8),
        ("image", Utf8),
        ("parent_image", Utf8),
        ("parent_command_line", Utf8),
        ("user", Utf8),
        ("user_sid", Utf8),
        ("integrity_level", Utf8),
        ("original_file_name", Utf8),
        ("signed", Boolean),
        ("signer_trusted", Boolean),
        ("events", Int64),
        ("hosts", Int64),
        ("users", Int64),
        ("first_seen", time()),
        ("last_seen", time()),
    ]
}

fn with(
    mut columns: Vec<(&'static str, DataType)>,
    more: Vec<(&'static str, DataType)>,
) -> Vec<(&'static str, DataType)> {
    columns.extend(more);
    columns
}

/// The files of a day's telemetry.
pub const TELEMETRY: Table = Table {
    name: "telemetry",
    doc: "a file that was read for the day: rows_read = rows_kept + rows_quarantined + rows_other_day",
    columns: || {
        vec![
            ("day", Date32),
            ("file", Utf8),
            ("rows_read", Int64),
            ("rows_kept", Int64),
            ("rows_quarantined", Int64),
            ("rows_other_day", Int64),
        ]
    },
};

/// Rows that could not be read.
pub const QUARANTINE: Table = Table {
    name: "quarantine",
    doc: "a row of telemetry that could not be read (or `rows` of them): file, position, reason, first bytes",
    columns: || {
        vec![
            ("day", Date32),
            ("file", Utf8),
            ("position", Int64),
            ("offset", Int64),
            ("reason", Utf8),
            ("detail", Utf8),
            ("rows", Int64),
            ("raw", Binary),
        ]
    },
};

/// Unique lines.
pub const COMMANDS: Table = Table {
    name: "commands",
    doc: "a unique command line of the day, in buckets by hash, sorted by hash",
    columns: || with(line(), vec![("host_state", Binary), ("user_state", Binary)]),
};

/// What is known of a request.
fn request() -> Vec<(&'static str, DataType)> {
    vec![
        ("day", Date32),
        ("hash", Utf8),
        ("actor", Utf8),
        ("event_time", time()),
        ("user", Utf8),
        ("session", Utf8),
        ("client_ip", Utf8),
        ("method", Utf8),
        ("host", Utf8),
        ("path", Utf8),
        ("query", Utf8),
        ("status", Int32),
        ("error_code", Utf8),
        ("request_bytes", Int64),
        ("response_bytes", Int64),
        ("latency_ms", Float64),
        ("user_agent", Utf8),
        ("referer", Utf8),
        ("body", Utf8),
        ("headers", Utf8),
        ("events", Int64),
    ]
}

/// What its actor and its endpoint did before: what `api_actor_windows` and `api_endpoint_windows` give.
fn windows() -> Vec<(&'static str, DataType)> {
    vec![
        ("template", Utf8),
        ("endpoint", Int64),
        ("requests_1min", Int64),
        ("requests_5min", Int64),
        ("requests_10min", Int64),
        ("failed_5min", Int64),
        ("endpoints_10min", Int64),
        ("bytes_out_10min", Int64),
        ("gap_micros", Int64),
        ("mean_gap_micros", Int64),
        ("requests_before", Int64),
        ("endpoint_before", Int64),
        ("agent_before", Int64),
        ("network_before", Int64),
        ("previous_endpoint", Int64),
        ("step_before", Int64),
        ("call_sequence_hash", Int64),
        ("sequence_before", Int64),
        ("endpoint_requests_1min", Int64),
        ("endpoint_requests_5min", Int64),
        ("endpoint_failed_5min", Int64),
        ("endpoint_actors_10min", Int64),
    ]
}

/// Requests to APIs.
pub const REQUESTS: Table = Table {
    name: "requests",
    doc: "a request of the day, in buckets by actor, sorted by actor, time and hash; `events` rows of telemetry were alike",
    columns: request,
};

/// What came before each request.
pub const WINDOWS: Table = Table {
    name: "windows",
    doc: "what the actor of a request of the day, and its endpoint, did in the minutes before it, itself included; in the buckets \
          and the order of requests",
    columns: || {
        let key = vec![
            ("day", Date32),
            ("hash", Utf8),
            ("actor", Utf8),
            ("event_time", time()),
        ];
        with(key, windows())
    },
};

/// Anomalous requests: the table `anomalies` of a warehouse of requests.
pub const REQUEST_ANOMALIES: Table = Table {
    name: "anomalies",
    doc: "a request within the quota or above the threshold of a detector: scores, ranks, which detectors chose it, and why; NULL where a \
          detector did not score the day",
    columns: || {
        let scored = with(with(with(request(), windows()), scores()), more_scores());
        with(with(scored, why()), vec![("verdict", Utf8)])
    },
};

/// Anomalous requests of one actor, or of several who did alike, close in time.
pub const INCIDENTS: Table = Table {
    name: "incidents",
    doc: "anomalous requests of one actor, or of several alike at one endpoint, no more than half an hour apart: who (actor, or top_actors \
          of actors), where, when, why, in words and in numbers; hashes are those of its requests",
    columns: || {
        vec![
            ("day", Date32),
            ("incident", Utf8),
            ("actor", Utf8),
            ("first_seen", time()),
            ("last_seen", time()),
            ("requests", Int64),
            ("failed", Int64),
            ("endpoints", Int64),
            ("top_endpoints", texts()),
            ("clients", texts()),
            ("agents", texts()),
            ("detectors", texts()),
            ("why", texts()),
            ("severity", Float64),
            ("summary", Utf8),
            ("actors", Int64),
            ("top_actors", texts()),
            ("hashes", texts()),
            ("verdict", Utf8),
        ]
    },
};

/// Fitted models.
pub const MODELS: Table = Table {
    name: "models",
    doc: "a model fitted on the day, named by the SHA-256 of its bytes",
    columns: || {
        vec![
            ("day", Date32),
            ("kind", Utf8),
            ("sha256", Utf8),
            ("path", Utf8),
            ("rows", Int64),
            ("bytes", Int64),
            ("trained_on", Utf8),
            ("params", Utf8),
        ]
    },
};

/// How far the day is from the models it could be scored with.
pub const DRIFT: Table = Table {
    name: "drift",
    doc: "a detector's score or a feature of the day, against the earlier day that models were fitted on: PSI, limit",
    columns: || {
        vec![
            ("day", Date32),
            ("trained_on", Date32),
            ("kind", Utf8),
            ("name", Utf8),
            ("psi", Float64),
            ("psi_limit", Float64),
            ("drifted", Boolean),
            ("models", Utf8),
        ]
    },
};

/// Scores and ranks by the three detectors of command lines.
fn scores() -> Vec<(&'static str, DataType)> {
    vec![
        ("iforest_score", Float32),
        ("iforest_rank", Int64),
        ("pca_error", Float32),
        ("pca_rank", Int64),
        ("kmeans_distance", Float32),
        ("kmeans_rank", Int64),
    ]
}

/// Scores and ranks by the other detectors of requests.
fn more_scores() -> Vec<(&'static str, DataType)> {
    vec![
        ("dbscan_distance", Float32),
        ("dbscan_rank", Int64),
        ("ocsvm_score", Float32),
        ("ocsvm_rank", Int64),
        ("autoencoder_error", Float32),
        ("autoencoder_rank", Int64),
    ]
}

/// Who chose it and why.
fn why() -> Vec<(&'static str, DataType)> {
    vec![("detectors", texts()), ("reasons", texts())]
}

fn chosen() -> Vec<(&'static str, DataType)> {
    let line = with(line(), vec![("guard", Utf8)]);
    with(with(line, scores()), why())
}

/// Anomalous lines.
pub const ANOMALIES: Table = Table {
    name: "anomalies",
    doc: "a line within the quota of a detector: scores, ranks, which detectors chose it, and why",
    columns: chosen,
};

/// Vectors of canonical texts, by embedder: a cache that only grows, and no part of a day's publication.
pub const EMBEDDINGS: Table = Table {
    name: "embeddings",
    doc: "the vector of a canonical text by an embedder other than the lexical one, under the day that first wanted it; \
          text_hash is the lines' template",
    columns: || {
        let item = Field::new("item", Float32, true);
        vec![
            ("day", Date32),
            ("embedder", Utf8),
            ("text_hash", Utf8),
            ("vector", DataType::List(Arc::new(item))),
        ]
    },
};

/// Near-dedup.
pub const CANDIDATES: Table = Table {
    name: "candidates",
    doc: "an anomaly after near-dedup: kept, covered by another line (of the day or of an earlier one), or beyond the label budget",
    columns: || {
        with(
            chosen(),
            vec![
                ("kept", Boolean),
                ("covered_by", Utf8),
                ("covered_day", Date32),
                ("covered_how", Utf8),
                ("cosine", Float32),
                ("covers", Int64),
                ("chosen_by", Utf8),
                ("inclusion_probability", Float64),
                ("suspicion", Float32),
            ],
        )
    },
};

/// What near-dedup compared.
pub const SIMILARITIES: Table = Table {
    name: "similarities",
    doc: "a line that stood for its template, and one of up to 16 most similar lines before it (of the day or of an earlier one)",
    columns: || {
        vec![
            ("day", Date32),
            ("hash", Utf8),
            ("similar_to", Utf8),
            ("similar_day", Date32),
            ("cosine", Float32),
            ("embedder", Utf8),
        ]
    },
};

/// Labels.
pub const LABELS: Table = Table {
    name: "labels",
    doc: "a verdict on a kept candidate, with its reason, evidence and how widely its template was seen",
    columns: || {
        vec![
            ("day", Date32),
            ("hash", Utf8),
            ("command_line", Utf8),
            ("verdict", Utf8),
            ("reason", Utf8),
            ("rules", texts()),
            ("evidence", Utf8),
            ("confidence", Float32),
            ("labeller", Utf8),
            ("template_events", Int64),
            ("template_hosts", Int64),
            ("template_users", Int64),
            ("template_days", Int64),
            ("unlabelled", Utf8),
            ("intent", Utf8),
            ("red_flags", texts()),
            ("first_verdict", Utf8),
            ("second_verdict", Utf8),
            ("second_evidence", Utf8),
            ("model", Utf8),
            ("prompt", Utf8),
            ("batches", texts()),
            ("redacted", texts()),
            ("sent", Utf8),
            ("cost_usd", Float64),
            ("answer_key", Utf8),
        ]
    },
};

/// What a language model answered.
pub const ANSWERS: Table = Table {
    name: "answers",
    doc: "a language model's answer to one item of a call, canaries among them, or what an attempt cost that gave none; by \
          what was sent, prompt, model and pass: nothing is paid for twice",
    columns: || {
        vec![
            ("day", Date32),
            ("key", Utf8),
            ("kind", Utf8),
            ("pass", Int64),
            ("verdict", Utf8),
            ("intent", Utf8),
            ("evidence", Utf8),
            ("red_flags", texts()),
            ("confidence", Float64),
            ("unlabelled", Utf8),
            ("model", Utf8),
            ("asked_model", Utf8),
            ("prompt", Utf8),
            ("call", Utf8),
            ("accepted", Boolean),
            ("input_tokens", Int64),
            ("output_tokens", Int64),
            ("cost_usd", Float64),
            ("asked_at", Utf8),
        ]
    },
};

/// Analysts' verdicts.
pub const REVIEWS: Table = Table {
    name: "reviews",
    doc: "an analyst's verdict on a line, of the highest version the one that holds; it overrides the label",
    columns: || {
        vec![
            ("day", Date32),
            ("hash", Utf8),
            ("version", Int64),
            ("verdict", Utf8),
            ("analyst", Utf8),
            ("comment", Utf8),
            ("stratum", Utf8),
            ("label", Utf8),
            ("labeller", Utf8),
            ("model", Utf8),
            ("prompt", Utf8),
            ("imported_at", Utf8),
        ]
    },
};

/// The product.
pub const BENIGN: Table = Table {
    name: "benign",
    doc: "a rare benign line: the training data that Gleaner is for, with where it came from",
    columns: || {
        with(
            chosen(),
            vec![
                ("covers", Int64),
                ("reason", Utf8),
                ("confidence", Float32),
                ("labeller", Utf8),
                ("template_events", Int64),
                ("template_hosts", Int64),
                ("template_users", Int64),
                ("template_days", Int64),
                ("model", Utf8),
                ("prompt", Utf8),
                ("analyst", Utf8),
                ("chosen_by", Utf8),
                ("inclusion_probability", Float64),
            ],
        )
    },
};

/// Accounts.
pub const RUNS: Table = Table {
    name: "runs",
    doc: "a stage of a day: rows_in = rows_kept + rows_quarantined + rows_dropped; what it took; its digest",
    columns: || {
        vec![
            ("day", Date32),
            ("stage", Utf8),
            ("scale", Utf8),
            ("rows_in", Int64),
            ("rows_kept", Int64),
            ("rows_quarantined", Int64),
            ("rows_dropped", Int64),
            ("secs", Float64),
            ("bytes", Int64),
            ("fingerprint", Utf8),
            ("digest", Utf8),
            ("gleaner", Utf8),
            ("cost_usd", Float64),
            ("counts", Utf8),
        ]
    },
};

/// The tables of a warehouse of command lines, in the order of the data path.
pub const TABLES: &[Table] = &[
    TELEMETRY,
    QUARANTINE,
    COMMANDS,
    MODELS,
    DRIFT,
    ANOMALIES,
    EMBEDDINGS,
    CANDIDATES,
    SIMILARITIES,
    LABELS,
    ANSWERS,
    REVIEWS,
    BENIGN,
    RUNS,
];

/// The tables of a warehouse of requests, in the order of the data path.
pub const API_TABLES: &[Table] = &[
    TELEMETRY,
    QUARANTINE,
    REQUESTS,
    WINDOWS,
    MODELS,
    DRIFT,
    ALIKE,
    FEEDBACK,
    REQUEST_ANOMALIES,
    INCIDENTS,
    REQUEST_REVIEWS,
    RUNS,
];

/// The tables of a warehouse of a kind of telemetry, in the order of the data path.
#[must_use]
pub const fn tables_of(kind: Kind) -> &'static [Table] {
    match kind {
        Kind::Command => TABLES,
        Kind::Api => API_TABLES,
    }
}

/// The table of that name in a warehouse of that kind.
#[must_use]
pub fn table(kind: Kind, name: &str) -> Option<Table> {
    tables_of(kind).iter().find(|t| t.name == name).copied()
}
