//! What can go wrong, by name. The `gleaner` command prints it and exits with code 2.

use datafusion::common::DataFusionError;

use crate::engine::guard::ClusterError;
use crate::secure::SecureError;
use crate::storage::StorageError;
use crate::telemetry::Kind;

/// A failed job. Messages say what to do; none holds a command line.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The telemetry's path does not exist, or holds no readable file.
    #[error("no telemetry at {path}: {why}")]
    NoTelemetry {
        /// As given.
        path: String,
        /// What was looked for.
        why: String,
    },
    /// The telemetry has rows, none of them on the day.
    #[error(
        "no event on {day} (UTC) in {rows_read} rows of {files} files{hint}; nothing was written"
    )]
    EmptyDay {
        /// The day asked for.
        day: String,
        /// Rows looked at.
        rows_read: u64,
        /// Files looked at.
        files: usize,
        /// What the rows are instead, and what to do.
        hint: String,
    },
    /// A name that is not a schema's.
    #[error("unknown schema {name:?}: expected one of {expected}")]
    UnknownSchema {
        /// As given.
        name: String,
        /// The schemas.
        expected: String,
    },
    /// A warehouse that a newer version made.
    #[error(
        "the warehouse at {path} has format {found}, this gleaner knows up to {known}: use the gleaner that wrote it, or a newer one"
    )]
    NewerWarehouse {
        /// Where.
        path: String,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// A warehouse of another kind of telemetry.
    #[error(
        "the warehouse at {path} is of {found} telemetry, and --kind is {wanted}: name another --warehouse, or give --kind {found}"
    )]
    OtherKind {
        /// Where.
        path: String,
        /// Its kind.
        found: Kind,
        /// The one that was asked for.
        wanted: Kind,
    },
    /// A directory that is no warehouse, or none at all.
    #[error("{path} is not a warehouse: {why}")]
    NotAWarehouse {
        /// Where.
        path: String,
        /// What was found.
        why: String,
    },
    /// Flags that contradict each other, or a value out of range.
    #[error("{0}")]
    Usage(String),
    /// A task failed for good.
    #[error("task {name} failed: {source}")]
    Task {
        /// The task.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the warehouse that is not as it was written.
    #[error("{path} in the warehouse is missing or damaged ({why}); {remedy}")]
    Damaged {
        /// Within the warehouse.
        path: String,
        /// What is wrong with it.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// A sum that should balance does not: nothing was committed.
    #[error("the books of stage {stage} do not balance: {what}; nothing was committed")]
    Unbalanced {
        /// Where.
        stage: &'static str,
        /// The two sides.
        what: String,
    },
    /// Another run kept changing the table.
    #[error("table {table}: gave up after {tries} attempts to commit against concurrent runs")]
    Contended {
        /// The table.
        table: String,
        /// How often it was tried.
        tries: usize,
    },
    /// `DataFusion` or Ballista.
    #[error("{0}")]
    Query(#[from] DataFusionError),
    /// A query on a cluster.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// Where data is.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// Certificates and tokens.
    #[error("{0}")]
    Secure(#[from] SecureError),
    /// Embedders.
    #[error(transparent)]
    Embed(#[from] gleaner_embed::EmbedError),
    /// Delta Lake.
    #[error("Delta table: {0}")]
    Delta(#[from] deltalake_core::DeltaTableError),
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Models.
    #[error("model: {0}")]
    Model(String),
    /// Classifiers.
    #[error(transparent)]
    Classifier(#[from] gleaner_classifier::ClassifierError),
    /// A bug of ours.
    #[error("internal error, please report: {0}")]
    Internal(String),
}

impl JobError {
    /// Whether the day has nothing to read: no error among several days. A place that does not exist is wrong for every day.
    #[must_use]
    pub fn is_empty_day(&self) -> bool {
        match self {
            Self::EmptyDay { .. } => true,
            Self::NoTelemetry { why, .. } => !why.contains("no such"),
            _ => false,
        }
    }

    /// The kind of error, in a word or two: for places where its text, which may quote data, must not go.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoTelemetry { .. } => "no telemetry",
            Self::EmptyDay { .. } => "empty day",
            Self::UnknownSchema { .. } => "unknown schema",
            Self::NewerWarehouse { .. } => "newer warehouse",
            Self::OtherKind { .. } => "other kind",
            Self::NotAWarehouse { .. } => "not a warehouse",
            Self::Usage(_) => "usage",
            Self::Task { .. } => "task",
            Self::Damaged { .. } => "damaged",
            Self::Unbalanced { .. } => "unbalanced",
            Self::Contended { .. } => "contended",
            Self::Query(_) => "query",
            Self::Cluster(_) => "cluster",
            Self::Storage(_) => "storage",
            Self::Secure(_) => "access",
            Self::Embed(_) => "embedder",
            Self::Delta(_) => "delta",
            Self::Io { .. } => "input or output",
            Self::Model(_) => "model",
            Self::Classifier(_) => "classifier",
            Self::Internal(_) => "internal",
        }
    }

    /// The error and the chain of its causes, each said once.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }

    /// An IO error with its path.
    #[must_use]
    pub fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }
}
