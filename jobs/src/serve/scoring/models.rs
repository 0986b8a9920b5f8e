//! A day's models, as they are in memory: verified by their names, with the thresholds that the day's run had.

use chrono::{NaiveDate, Utc};
use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type};
use gleaner_proto::scoring as proto;
use gleaner_udfs::api::{Corpus, CorpusState, Encoder, PathSample, Templates};
use gleaner_udfs::detector::{Detector, Kind};
use gleaner_udfs::model_cache::sha256;
use gleaner_udfs::sketch::document_frequency::{CorpusModel, DocumentFrequencies};

use crate::engine::register;
use crate::error::JobError;
use crate::session;
use crate::stages::categories::CATEGORIES;
use crate::stages::models::{FREQUENCIES, TEMPLATES};
use crate::stages::thresholds::of_params;
use crate::stages::unit::Unit;
use crate::telemetry::Kind as Telemetry;
use crate::warehouse::tables::{MODELS, Table};
use crate::warehouse::{Warehouse, model_path};

/// Of the two small queries that a load makes.
const MEMORY_BYTES: usize = 256 << 20;

/// What is usual on the day.
#[derive(Debug)]
pub enum Usual {
    /// Of requests.
    Requests {
        /// Endpoints.
        templates: Templates,
        /// Everything else.
        corpus: Corpus,
        /// What categorical values become, where they are encoded.
        encoder: Option<Encoder>,
    },
    /// Of command lines.
    Commands(CorpusModel),
}

/// A detector that alerts.
#[derive(Debug)]
pub struct Armed {
    /// The model.
    pub detector: Detector,
    /// What scores set for the day, otherwise the lowest score within its quota; a detector without one never alerts.
    pub threshold: Option<f32>,
}

/// A day's models.
#[derive(Debug)]
pub struct Loaded {
    /// The day that they scored.
    pub day: NaiveDate,
    /// `YYYY-MM-DD`.
    pub day_text: String,
    /// Of the day's models and anomalies: another one is another answer.
    pub fingerprint: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// For who asks.
    pub models: Vec<proto::Model>,
    /// In the order of [`Kind::EVERY`].
    pub detectors: Vec<Armed>,
    /// What rows are computed with.
    pub usual: Usual,
}

struct Stored {
    kind: String,
    sha256: String,
    trained_on: String,
    /// The threshold that scores set, where they did.
    set: Option<f32>,
    bytes: Vec<u8>,
}

/// The models of a day, or of the latest that is published; `None` where they are `held` already.
///
/// # Errors
/// When there is no such day, or a model is missing or damaged.
pub async fn load(
    warehouse: &Warehouse,
    pinned: Option<NaiveDate>,
    held: Option<&str>,
) -> Result<Option<Loaded>, JobError> {
    let anomalies = Unit::of(warehouse.kind()).anomalies_table;
    let snapshot = warehouse.snapshot(&[MODELS, anomalies]).await?;
    let days = snapshot.files(&MODELS).iter().map(|file| file.day);
    // A day that ended before its anomalies has no thresholds.
    let whole = |day: &NaiveDate| snapshot.files(&anomalies).iter().any(|f| f.day == *day);
    let day = days
        .filter(|day| pinned.is_none_or(|pinned| pinned == *day))
        .filter(whole)
        .max();
    let Some(day) = day else {
        return Err(JobError::Model(match pinned {
            Some(day) => format!("{day} has no models and anomalies: `gleaner run --date {day}` makes them"),
            None => "no day has models and anomalies yet: `gleaner run` or a job of this server makes them".to_owned(),
        }));
    };
    let print = |table: &Table| {
        let made = snapshot.fingerprint(table, day);
        made.unwrap_or_default().to_owned()
    };
    let fingerprint = format!("{day}/{}/{}", print(&MODELS), print(&anomalies));
    if held == Some(fingerprint.as_str()) {
        return Ok(None);
    }
    let of_day = |table: &Table| {
        let files = snapshot.files(table).iter().filter(|f| f.day == day);
        warehouse.source(table, files)
    };
    let ctx = session::embedded(MEMORY_BYTES)?;
    for table in [MODELS, anomalies] {
        if let Some(source) = of_day(&table) {
            register(&ctx, table.name, &source)?;
        }
    }
    let rows = ctx
        .sql("SELECT kind, sha256, trained_on, params FROM models ORDER BY kind")
        .await?
        .collect()
        .await?;
    let mut stored = vec![];
    for [kind, name, trained_on, params] in rows.iter().flat_map(texts) {
        let path = model_path(&name);
        let bytes = warehouse.get(&path).await?;
        let Some(bytes) = bytes.filter(|bytes| sha256(bytes) == name) else {
            return Err(JobError::Model(format!(
                "{kind} of {day}, {path}, is missing or damaged: run {day} again"
            )));
        };
        stored.push(Stored {
            kind,
            sha256: name,
            trained_on,
            set: of_params(&params).1.map(|promise| promise.threshold),
            bytes,
        });
    }
    let detectors = Kind::EVERY.map(|kind| (kind, threshold_sql(kind, &anomalies)));
    let mut thresholds = vec![];
    for (kind, sql) in detectors {
        let set = stored.iter().find(|model| model.kind == kind.name());
        let value = match (set.and_then(|model| model.set), sql) {
            (Some(set), _) => Some(set),
            (None, Some(sql)) => number(&ctx.sql(&sql).await?.collect().await?)?,
            (None, None) => None,
        };
        thresholds.push((kind, value));
    }
    let kind = warehouse.kind();
    let made = move || assemble(kind, day, fingerprint, &stored, &thresholds);
    let loaded = tokio::task::spawn_blocking(made).await;
    loaded
        .map_err(|e| JobError::Model(e.to_string()))?
        .map(Some)
}

/// The lowest score within the quota, where the table has the detector.
fn threshold_sql(kind: Kind, anomalies: &Table) -> Option<String> {
    let score = kind.score_column();
    let rank = format!("{}_rank", kind.name());
    let columns = (anomalies.columns)();
    let has = |name: &str| columns.iter().any(|(column, _)| *column == name);
    (has(score) && has(&rank))
        .then(|| format!("SELECT min({score}) FROM anomalies WHERE {rank} IS NOT NULL"))
}

/// The first four columns, as text.
fn texts(batch: &RecordBatch) -> Vec<[String; 4]> {
    let column = |i: usize| -> Vec<String> {
        let Ok(texts) = cast(batch.column(i), &DataType::Utf8) else {
            return vec![String::new(); batch.num_rows()];
        };
        let texts = texts.as_string::<i32>().iter();
        texts.map(|t| t.unwrap_or_default().to_owned()).collect()
    };
    let columns = [0, 1, 2, 3].map(column);
    let row = |row: usize| [0, 1, 2, 3].map(|i| columns[i][row].clone());
    (0..batch.num_rows()).map(row).collect()
}

fn number(batches: &[RecordBatch]) -> Result<Option<f32>, JobError> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let column =
        cast(batch.column(0), &DataType::Float32).map_err(|e| JobError::Query(e.into()))?;
    let column = column.as_primitive::<Float32Type>();
    Ok(column.is_valid(0).then(|| column.value(0)))
}

fn assemble(
    kind: Telemetry,
    day: NaiveDate,
    fingerprint: String,
    stored: &[Stored],
    thresholds: &[(Kind, Option<f32>)],
) -> Result<Loaded, JobError> {
    let of = |name: &str| stored.iter().find(|model| model.kind == name);
    let needed = |name: &str| {
        of(name).map(|model| model.bytes.as_slice()).ok_or_else(|| {
            JobError::Model(format!(
                "{day} has no model of kind {name}: an older gleaner made it; run {day} again"
            ))
        })
    };
    let damaged = |name: &str, why: String| JobError::Model(format!("{name} of {day}: {why}"));
    let usual = match kind {
        Telemetry::Api => {
            let sample = PathSample::from_bytes(needed(TEMPLATES)?);
            let sample = sample.map_err(|e| damaged(TEMPLATES, e.to_string()))?;
            let corpus = CorpusState::from_bytes(needed(FREQUENCIES)?);
            let encoder = of(CATEGORIES).map(|model| Encoder::from_bytes(&model.bytes));
            let encoder = encoder.transpose();
            Usual::Requests {
                encoder: encoder.map_err(|e| damaged(CATEGORIES, e.to_string()))?,
                templates: Templates::learn(&sample),
                corpus: corpus
                    .map_err(|e| damaged(FREQUENCIES, e.to_string()))?
                    .into(),
            }
        }
        Telemetry::Command => {
            let frequencies = DocumentFrequencies::from_bytes(needed(FREQUENCIES)?);
            let frequencies = frequencies.map_err(|e| damaged(FREQUENCIES, e.to_string()))?;
            Usual::Commands(frequencies.into())
        }
    };
    let mut detectors = vec![];
    for (kind, threshold) in thresholds {
        let Some(model) = of(kind.name()) else {
            continue;
        };
        let detector = Detector::from_bytes(*kind, &model.bytes);
        detectors.push(Armed {
            detector: detector.map_err(|e| damaged(kind.name(), e))?,
            threshold: *threshold,
        });
    }
    let threshold = |name: &str| {
        let found = thresholds.iter().find(|(kind, _)| kind.name() == name);
        found.and_then(|(_, threshold)| *threshold)
    };
    let models = stored.iter().map(|model| proto::Model {
        kind: model.kind.clone(),
        sha256: model.sha256.clone(),
        trained_on: model.trained_on.clone(),
        threshold: threshold(&model.kind),
    });
    Ok(Loaded {
        day,
        day_text: day.to_string(),
        fingerprint,
        since_ms: Utc::now().timestamp_millis(),
        models: models.collect(),
        detectors,
        usual,
    })
}
