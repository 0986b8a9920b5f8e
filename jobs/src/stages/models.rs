//! Stage 4: fits the day's models from states that merge: token frequencies over all lines, then a sample of the lines'
//! features, on which scaler, isolation forest, PCA and k-means are fitted. The sample is the lines with the smallest
//! keys, whatever the buckets, so that the models are the same however the day was cut.

use std::collections::BTreeMap;
use std::time::Instant;

use gleaner_udfs::detector::{self, FitParams, Kind};
use gleaner_udfs::sketch::document_frequency::DocumentFrequencies;
use gleaner_udfs::sketch::sample::SampleState;

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, tables};
use crate::engine::binary_value;
use crate::error::JobError;
use crate::warehouse::tables::{COMMANDS, MODELS};

/// # Errors
/// When a task, the fit or the commit fails.
pub async fn run(day: &DayRun<'_>, commands: &StageRecord) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let params = FitParams::default();
    let parts = [
        commands.digest.as_str(),
        &day.options.fit_rows.to_string(),
        &format!("{params:?}"),
    ];
    let fingerprint = day.fingerprint("models", &parts);
    if let Some(record) = day.up_to_date("models", &[MODELS], &fingerprint).await? {
        return Ok(record);
    }
    let buckets = day.buckets(&COMMANDS).await?;
    let task = |name: &str, part: usize, sql: String, bucket: &crate::engine::Source| {
        crate::engine::Task {
            name: format!("{}/{name}/{part}", day.day),
            sql,
            tables: tables([("commands", bucket.clone())]),
            write: None,
        }
    };

    let sql = include_str!("frequencies.sql");
    let tasks = buckets
        .iter()
        .enumerate()
        .map(|(i, b)| task("frequencies", i, sql.to_owned(), b))
        .collect();
    let mut frequencies = DocumentFrequencies::new();
    for batches in day.run("models", "token frequencies", tasks).await? {
        if let Some(bytes) = binary_value(&batches, 0)? {
            frequencies.merge(
                &DocumentFrequencies::from_bytes(&bytes)
                    .map_err(|e| JobError::Model(e.to_string()))?,
            );
        }
    }
    let mut fitted = vec![
        Fitted::store(
            day,
            "frequencies",
            frequencies.to_bytes(),
            commands.rows_kept,
            String::new(),
        )
        .await?,
    ];

    let values = [
        ("rows", Value::Int(day.options.fit_rows)),
        ("frequencies", Value::Text(fitted[0].uri.clone())),
    ];
    let sql = fill(include_str!("sample.sql"), &values);
    let tasks = buckets
        .iter()
        .enumerate()
        .map(|(i, b)| task("sample", i, sql.clone(), b))
        .collect();
    let mut sample: Option<SampleState> = None;
    for batches in day.run("models", "sample of features", tasks).await? {
        let Some(bytes) = binary_value(&batches, 0)? else {
            continue;
        };
        let part = SampleState::from_bytes(&bytes).map_err(|e| JobError::Model(e.to_string()))?;
        match &mut sample {
            Some(sample) => sample
                .merge(&part)
                .map_err(|e| JobError::Model(e.to_string()))?,
            None => sample = Some(part),
        }
    }
    let sample = sample.ok_or_else(|| JobError::Model("the day has no line to fit on".into()))?;

    day.progress.step("models", "fitting", 1);
    let fit = tokio::task::spawn_blocking(move || fit(&sample, &params));
    let fit = fit.await.map_err(|e| JobError::Model(e.to_string()))??;
    day.progress.task_done();
    for (kind, bytes) in Kind::ALL.into_iter().zip(fit.detectors) {
        fitted.push(Fitted::store(day, kind.name(), bytes, fit.rows, format!("{params:?}")).await?);
    }

    let trained_on =
        serde_json::json!({ "day": day.day.to_string(), "commands": commands.digest }).to_string();
    let rows = fitted.iter().map(|f| {
        let path = format!("models/objects/{}", f.sha256);
        let mut row: Vec<Value> = [f.kind.to_owned(), f.sha256.clone(), path]
            .into_iter()
            .map(Value::Text)
            .collect();
        row.extend([Value::Int(f.rows), Value::Int(f.bytes)]);
        row.extend([
            Value::Text(trained_on.clone()),
            Value::Text(f.params.clone()),
        ]);
        row
    });
    let values = [
        ("day", Value::Date(day.day)),
        ("rows", Value::Rows(rows.collect())),
    ];
    let sql = fill(include_str!("models.sql"), &values);
    let task = day.table_task(&MODELS, 0, &fingerprint, sql, BTreeMap::new());
    let written = day.engine.run_writes(vec![task], &|| ()).await?;
    let mut notes: BTreeMap<String, String> = fitted
        .into_iter()
        .map(|f| (f.kind.to_owned(), f.uri))
        .collect();
    for (kind, scores) in Kind::ALL.into_iter().zip(&fit.scores) {
        notes.insert(
            format!("{}_sample", kind.name()),
            serde_json::json!(scores).to_string(),
        );
    }
    let record = StageRecord {
        rows_in: commands.rows_kept,
        rows_kept: fit.rows,
        rows_dropped: commands.rows_kept - fit.rows,
        fingerprint,
        notes,
        ..StageRecord::default()
    };
    day.commit("models", &[(MODELS, &written)], started, record)
        .await
}

struct Fitted {
    kind: &'static str,
    sha256: String,
    uri: String,
    rows: u64,
    bytes: u64,
    params: String,
}

impl Fitted {
    async fn store(
        day: &DayRun<'_>,
        kind: &'static str,
        bytes: Vec<u8>,
        rows: u64,
        params: String,
    ) -> Result<Self, JobError> {
        let size = bytes.len() as u64;
        let (sha256, uri) = day.warehouse.put_model(bytes).await?;
        Ok(Self {
            kind,
            sha256,
            uri,
            rows,
            bytes: size,
            params,
        })
    }
}

struct Fit {
    rows: u64,
    detectors: [Vec<u8>; 3],
    /// Quantiles of the sample's scores, by detector: see [`quantiles`].
    scores: [Vec<f32>; 3],
}

fn fit(sample: &SampleState, params: &FitParams) -> Result<Fit, JobError> {
    let failed = |e: gleaner_udfs::learner::LearnerError| JobError::Model(e.to_string());
    let (keys, rows) = sample.columns();
    let d = sample.dimension();
    let detectors = detector::fit(&keys, &rows, d, params).map_err(failed)?;
    // A quarter of a million scores tell a quantile well enough to look for the quota's border from.
    let some = &rows[..rows.len().min(d * 16_384)];
    let mut scores = [const { vec![] }; 3];
    for (detector, quantiles_of) in detectors.iter().zip(&mut scores) {
        let mut values = vec![0.0; some.len() / d.max(1)];
        detector.score(some, d, &mut values).map_err(failed)?;
        *quantiles_of = quantiles(values);
    }
    Ok(Fit {
        rows: keys.len() as u64,
        detectors: detectors.map(|d| d.to_bytes()),
        scores,
    })
}

/// How finely the sample's scores are kept.
pub const QUANTILES: usize = 1000;

/// The smallest score, then the quantiles 1/1000, 2/1000, … of scores.
fn quantiles(mut scores: Vec<f32>) -> Vec<f32> {
    scores.sort_by(f32::total_cmp);
    if scores.is_empty() {
        return vec![];
    }
    (0..QUANTILES)
        .map(|q| scores[q * scores.len() / QUANTILES])
        .collect()
}
