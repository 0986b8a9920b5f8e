//! Stage 4: fits the day's models from states that merge: token frequencies over all lines, then a sample of the lines'
//! features, on which the scaler and the detectors of the day are fitted. The sample is the lines with the smallest
//! keys, whatever the buckets, so that the models are the same however the day was cut.
//!
//! With `--models reuse` or `refit-if-drifted` the sample is compared with that of an earlier day, and the day scored with
//! the detectors of that one (see [`super::drift`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use gleaner_udfs::api::CorpusState;
use gleaner_udfs::detector::{Detector, FitParams, Kind, fit_kinds};
use gleaner_udfs::drift::Baseline;
use gleaner_udfs::learner::LearnerError;
use gleaner_udfs::sketch::document_frequency::DocumentFrequencies;
use gleaner_udfs::sketch::sample::SampleState;

use super::categories::{self, CATEGORIES};
use super::drift::{self, Earlier, Found};
use super::sql::{Value, fill};
use super::taught::{self, Change};
use super::thresholds::{self, Promise, Set};
use super::unit::{Rows, Unit};
use super::verdicts::{self, Given, Verdicts};
use super::{DayRun, StageRecord};
use crate::engine::{Task, Written, binary_value};
use crate::error::JobError;
use crate::options::{ModelPolicy, ThresholdBy};
use crate::telemetry::Kind as Telemetry;
use crate::warehouse::model_path;
use crate::warehouse::tables::{ALIKE, DRIFT, FEEDBACK, MODELS};

/// Token frequencies, among the kinds of models.
pub const FREQUENCIES: &str = "frequencies";
/// What the templates of endpoints are learned from, among the kinds of models of a day of requests.
pub const TEMPLATES: &str = "templates";
/// Deciles of scores and features on the day of the fit, among the kinds of models.
pub(super) const BASELINE: &str = "baseline";

/// # Errors
/// When a task, the fit, or its accounts cannot be kept.
pub async fn run(day: &DayRun<'_>, units: &Rows<'_>) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let mut params = FitParams::default();
    params.scaler.scale = day.options.scale.scale();
    params.categorical = day.options.categorical.choice();
    let policy = day.options.models;
    let mut why_none = None;
    let earlier = match policy {
        ModelPolicy::Refit => None,
        ModelPolicy::Reuse | ModelPolicy::RefitIfDrifted => match drift::earlier(day).await? {
            Found::Models(earlier) => Some(earlier),
            Found::None(why) => {
                why_none = Some(why);
                None
            }
        },
    };
    let fit_rows = day.options.fit_rows.to_string();
    let shown = format!("{params:?}");
    let names = earlier.as_deref().map(Earlier::names).unwrap_or_default();
    let digest = units.digest();
    let choice = format!("{} {}", day.options.detectors, day.options.threshold);
    let mut parts = vec![digest.as_str(), &fit_rows, &shown, policy.name(), &names];
    if day.options.kind == Telemetry::Api {
        parts.push(&choice);
    }
    let given = verdicts::given(day).await?;
    let verdicts_name = given.name();
    parts.extend(verdicts_name.as_deref());
    // Ranks with and without verdicts are those within the quotas.
    let quotas = format!("{:?}", day.options.quotas);
    parts.extend(verdicts_name.as_ref().map(|_| quotas.as_str()));
    let fingerprint = day.fingerprint("models", &parts);
    if let Some(record) = day.up_to_date("models", &fingerprint).await? {
        let mut whole = true;
        for path in record
            .notes
            .values()
            .filter(|path| path.starts_with("_models/"))
        {
            whole &= day.warehouse.has_model(path).await?;
        }
        if whole {
            return Ok(record);
        }
    }
    let lines = units.count();
    if let Some(why) = why_none {
        let said = format!("{why}: they are fitted on the day itself");
        day.progress.remark(&said);
    }
    let verdicts = (&given, fingerprint.as_str());
    let (models, drift_rows) = choose(day, units, earlier, &params, verdicts).await?;
    let verdicts = &models.verdicts;
    let written = write(day, &models.fitted, &fingerprint).await?;
    let drift_written = drift::write(day, &fingerprint, drift_rows).await?;
    // Paths, not URIs: a warehouse may be moved.
    let mut notes: BTreeMap<String, String> = models
        .fitted
        .iter()
        .map(|f| (f.kind.clone(), f.path()))
        .collect();
    let kinds = day.options.detectors.kinds().iter();
    for ((kind, scores), promise) in kinds.zip(&models.scores).zip(&models.promises) {
        let name = format!("{}_sample", kind.name());
        notes.insert(name, serde_json::json!(scores).to_string());
        if let Some(promise) = promise {
            notes.insert(thresholds::note(*kind), thresholds::json(promise)?);
        }
    }
    let counted = verdicts.counts.iter().map(|(name, n)| (name.clone(), *n));
    let counted = counted.chain(taught::counts(&models.changes));
    notes.extend(counted.map(|(name, n)| (name, n.to_string())));
    let record = StageRecord {
        rows_in: lines,
        rows_kept: models.rows,
        rows_dropped: lines - models.rows,
        fingerprint,
        notes,
        ..StageRecord::default()
    };
    let mut files = vec![(MODELS, written.as_slice()), (DRIFT, &drift_written)];
    let feedback;
    if !verdicts.alike.is_empty() {
        feedback = taught::write(day, &record.fingerprint, &models.changes).await?;
        files.extend([(ALIKE, verdicts.alike.as_slice()), (FEEDBACK, &feedback)]);
    }
    day.finish("models", &files, started, record).await
}

/// What the day is scored with.
struct Models {
    fitted: Vec<Fitted>,
    /// Lines sampled, to fit on or to compare.
    rows: u64,
    /// Quantiles of the sample's scores, by detector: see [`quantiles`].
    scores: Vec<Vec<f32>>,
    /// The detectors' thresholds, where scores set them.
    promises: Vec<Option<Promise>>,
    /// What verdicts changed; nothing where nobody judged anything, or the detectors are earlier ones.
    changes: Vec<Change>,
    /// What analysts said that counts for the day.
    verdicts: Arc<Verdicts>,
}

/// Earlier detectors where they serve, otherwise those of the day itself; and what is to be told of drift.
async fn choose(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    earlier: Option<Box<Earlier>>,
    params: &FitParams,
    (given, fingerprint): (&Given, &str),
) -> Result<(Models, Vec<Vec<Value>>), JobError> {
    let (policy, by) = (day.options.models, day.options.threshold);
    let kinds = day.options.detectors.kinds();
    let unit_name = Unit::of(day.options.kind).table.name;
    let trained_on =
        serde_json::json!({ "day": day.day.to_string(), unit_name: units.unit.digest });
    let store = async |kind: &str, bytes: Vec<u8>, rows: u64, params: String| {
        let size = bytes.len() as u64;
        let sha256 = day.warehouse.put_model(bytes).await?;
        Ok::<_, JobError>(Fitted {
            kind: kind.to_owned(),
            sha256,
            rows,
            bytes: size,
            trained_on: trained_on.to_string(),
            params,
        })
    };
    let frequencies = match day.options.kind {
        Telemetry::Command => merged::<DocumentFrequencies>(day, units).await?,
        Telemetry::Api => merged::<CorpusState>(day, units).await?,
    };
    let lines = units.count();
    let mut fitted = vec![store(FREQUENCIES, frequencies, lines, String::new()).await?];
    fitted.extend(templates(day, units, &trained_on).await?);
    let frequencies = day.warehouse.url(&fitted[0].path());
    let categorical = day.options.categorical.choice();
    let learned = async || {
        if !categorical.encodes() {
            return Ok(None);
        }
        let bytes = categories::learn(day, units).await?.to_bytes();
        let params = categorical.name().to_owned();
        store(CATEGORIES, bytes, lines, params).await.map(Some)
    };
    // With the detectors of an earlier day goes its encoder.
    let encoder = match &earlier {
        Some(_) => None,
        None => learned().await?,
    };
    let known = earlier.as_deref().and_then(Earlier::encoder);
    let path = known.or_else(|| encoder.as_ref().map(Fitted::path));
    let mut sample = Arc::new(sample(day, units, &frequencies, path.as_deref()).await?);
    let rows = sample.columns().0.len() as u64;

    let mut drift_rows = vec![];
    if let Some(earlier) = earlier {
        let measured = earlier.measure(Arc::clone(&sample), by, day.day).await?;
        let reused = policy == ModelPolicy::Reuse || !measured.drift.drifted();
        if let Some(text) = earlier.remark(&measured.drift, reused) {
            day.progress.remark(&text);
        }
        drift_rows = earlier.rows(&measured.drift, reused);
        if reused {
            let promises = thresholds::promises(day.progress, kinds, measured.thresholds);
            fitted.extend(earlier.with(&promises));
            let scores = measured.scores;
            let judged = verdicts::judge(day, units, given, fingerprint, path.as_deref()).await?;
            let models = Models {
                fitted,
                rows,
                scores,
                promises,
                changes: vec![],
                verdicts: Arc::new(judged),
            };
            return Ok((models, drift_rows));
        }
        // A day that has drifted has an encoder of its own too.
        let encoder = learned().await?;
        if let Some(encoder) = encoder {
            let path = encoder.path();
            sample = Arc::new(self::sample(day, units, &frequencies, Some(&path)).await?);
            fitted.push(encoder);
        }
    }
    fitted.extend(encoder);
    let encoder = fitted.iter().find(|f| f.kind == CATEGORIES);
    let encoder = encoder.map(Fitted::path);
    let judged = verdicts::judge(day, units, given, fingerprint, encoder.as_deref()).await?;
    let judged = Arc::new(judged);
    let fit = fit_day(day, sample, params, Arc::clone(&judged), lines).await?;
    let promises = thresholds::promises(day.progress, kinds, fit.thresholds);
    let shown = format!("{params:?}");
    for ((kind, bytes), promise) in kinds.iter().zip(fit.detectors).zip(&promises) {
        let params = thresholds::params(&shown, promise.as_ref());
        fitted.push(store(kind.name(), bytes, fit.rows, params).await?);
    }
    fitted.push(store(BASELINE, fit.baseline, fit.rows, String::new()).await?);
    let (scores, changes) = (fit.scores, fit.changes);
    let models = Models {
        fitted,
        rows,
        scores,
        promises,
        changes,
        verdicts: judged,
    };
    Ok((models, drift_rows))
}

/// Fits the day's detectors, beside tokio's threads.
async fn fit_day(
    day: &DayRun<'_>,
    sample: Arc<SampleState>,
    params: &FitParams,
    told: Arc<Verdicts>,
    lines: u64,
) -> Result<Fit, JobError> {
    day.progress.step("models", "fitting", 1);
    let options = day.options;
    let (kinds, by) = (options.detectors.kinds().to_vec(), options.threshold);
    let share = |kind: &Kind| options.quotas.share(*kind, lines);
    let shares: Vec<f64> = kinds.iter().map(share).collect();
    let (params, of_day) = (*params, day.day);
    let fit = move || fit(&sample, &kinds, &params, by, of_day, (&told, &shares));
    let fit = tokio::task::spawn_blocking(fit).await;
    let fit = fit.map_err(|e| JobError::Model(e.to_string()))??;
    day.progress.task_done();
    Ok(fit)
}

/// The templates that the windows were computed with: made by that stage, and here for who reads the warehouse.
async fn templates(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    trained_on: &serde_json::Value,
) -> Result<Option<Fitted>, JobError> {
    let Some(path) = units.windows.and_then(|w| w.notes.get(TEMPLATES)) else {
        return Ok(None);
    };
    let bytes = day.warehouse.get(path).await?.ok_or_else(|| {
        JobError::Model(format!("{TEMPLATES} of {}, {path}, is missing", day.day))
    })?;
    Ok(Some(Fitted {
        kind: TEMPLATES.to_owned(),
        sha256: path.rsplit('/').next().unwrap_or_default().to_owned(),
        rows: units.count(),
        bytes: bytes.len() as u64,
        trained_on: trained_on.to_string(),
        params: String::new(),
    }))
}

/// A task a bucket that returns a state.
pub(super) fn bucket_tasks(day: &DayRun<'_>, units: &Rows<'_>, name: &str, sql: &str) -> Vec<Task> {
    let buckets = units.buckets(day).into_iter().enumerate();
    let task = |(part, tables)| Task {
        name: format!("{}/{name}/{part}", day.day),
        sql: sql.to_owned(),
        tables,
        write: None,
    };
    buckets.map(task).collect()
}

/// What is usual in a part of a day: a state that merges.
trait Usual: Default {
    fn read(bytes: &[u8]) -> Result<Self, JobError>;
    fn add(&mut self, other: &Self);
    fn bytes(&self) -> Vec<u8>;
}

impl Usual for DocumentFrequencies {
    fn read(bytes: &[u8]) -> Result<Self, JobError> {
        Self::from_bytes(bytes).map_err(|e| JobError::Model(e.to_string()))
    }

    fn add(&mut self, other: &Self) {
        self.merge(other);
    }

    fn bytes(&self) -> Vec<u8> {
        self.to_bytes()
    }
}

impl Usual for CorpusState {
    fn read(bytes: &[u8]) -> Result<Self, JobError> {
        Self::from_bytes(bytes).map_err(|e| JobError::Model(e.to_string()))
    }

    fn add(&mut self, other: &Self) {
        self.merge(other);
    }

    fn bytes(&self) -> Vec<u8> {
        self.to_bytes()
    }
}

/// Merges the buckets' states, in order, as they come: one state is held beside the merged one.
async fn merged<U: Usual>(day: &DayRun<'_>, units: &Rows<'_>) -> Result<Vec<u8>, JobError> {
    let sql = Unit::of(day.options.kind).frequencies;
    let tasks = bucket_tasks(day, units, "frequencies", sql);
    let mut merged = U::default();
    day.fold("models", "frequencies", tasks, |batches| {
        if let Some(bytes) = binary_value(&batches, 0)? {
            merged.add(&U::read(&bytes)?);
        }
        Ok(())
    })
    .await?;
    Ok(merged.bytes())
}

/// The lines with the smallest keys, with their features.
async fn sample(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    frequencies: &str,
    encoder: Option<&str>,
) -> Result<SampleState, JobError> {
    let mut values = vec![
        ("rows", Value::Int(day.options.fit_rows)),
        (
            "border",
            Value::Text(sample_border(day.options.fit_rows, units.count())),
        ),
        ("frequencies", Value::Text(frequencies.to_owned())),
    ];
    if let Some(path) = encoder {
        values.push((CATEGORIES, Value::Text(day.warehouse.url(path))));
    }
    let unit = Unit::of(day.options.kind);
    let categorical = day.options.categorical.choice();
    let sql = fill(&Unit::with_features(unit.sample, categorical), &values);
    let mut merged: Option<SampleState> = None;
    let failed = |e: LearnerError| JobError::Model(e.to_string());
    let tasks = bucket_tasks(day, units, "sample", &sql);
    day.fold("models", "sample of features", tasks, |batches| {
        let Some(bytes) = binary_value(&batches, 0)? else {
            return Ok(());
        };
        let state = SampleState::from_bytes(&bytes).map_err(failed)?;
        if let Some(merged) = &mut merged {
            return merged.merge(&state).map_err(failed);
        }
        merged = Some(state);
        Ok(())
    })
    .await?;
    merged.ok_or_else(|| JobError::Model("the day has no line to fit on".into()))
}

/// The key, as 16 hex digits, that the smallest `rows` keys of `lines` uniform ones stay below: 10% and a few hundred
/// more than that many are expected below it, so that features are computed for few lines that the sample then leaves
/// out, and a bucket's state holds its share of the sample and no more.
pub(super) fn sample_border(rows: u64, lines: u64) -> String {
    let wanted = u128::from(rows) * 11 / 10 + 500;
    let border = match wanted << 64 {
        wanted if lines > 0 => (wanted / u128::from(lines)).min(u128::from(u64::MAX)),
        _ => u128::from(u64::MAX),
    };
    format!("{border:016x}")
}

async fn write(
    day: &DayRun<'_>,
    fitted: &[Fitted],
    fingerprint: &str,
) -> Result<Vec<Written>, JobError> {
    let row = |f: &Fitted| {
        vec![
            Value::Text(f.kind.clone()),
            Value::Text(f.sha256.clone()),
            Value::Text(f.path()),
            Value::Int(f.rows),
            Value::Int(f.bytes),
            Value::Text(f.trained_on.clone()),
            Value::Text(f.params.clone()),
        ]
    };
    let values = [
        ("day", Value::Date(day.day)),
        ("rows", Value::Rows(fitted.iter().map(row).collect())),
    ];
    let sql = fill(include_str!("models.sql"), &values);
    let task = day.table_task(&MODELS, 0, fingerprint, sql, BTreeMap::new());
    day.engine.run_writes(vec![task], &|| ()).await
}

/// A row of the table: a model, and what it was fitted on.
pub(super) struct Fitted {
    pub(super) kind: String,
    pub(super) sha256: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) trained_on: String,
    pub(super) params: String,
}

impl Fitted {
    /// Below the warehouse.
    pub(super) fn path(&self) -> String {
        model_path(&self.sha256)
    }
}

struct Fit {
    detectors: Vec<Vec<u8>>,
    baseline: Vec<u8>,
    scores: Vec<Vec<f32>>,
    thresholds: Vec<Set>,
    /// Rows that they were fitted on.
    rows: u64,
    changes: Vec<Change>,
}

fn fit(
    sample: &SampleState,
    kinds: &[Kind],
    params: &FitParams,
    by: ThresholdBy,
    day: NaiveDate,
    (verdicts, shares): (&Verdicts, &[f64]),
) -> Result<Fit, JobError> {
    let failed = |e: LearnerError| JobError::Model(e.to_string());
    let (keys, rows) = sample.columns();
    let d = sample.dimension();
    let parts = thresholds::divide(keys, rows, d, by);
    let on = taught::taught(&parts.keys, &parts.fit, d, verdicts);
    let detectors = fit_kinds(kinds, &on.keys, &on.rows, d, params).map_err(failed)?;
    let mut changes = vec![];
    if !verdicts.judged.is_empty() {
        let without = fit_kinds(kinds, &parts.keys, &parts.fit, d, params).map_err(failed)?;
        let told = taught::changes(sample, verdicts, &without, &detectors, shares);
        changes = told.map_err(failed)?;
    }
    let some = some_rows(&parts.fit, d);
    let baseline = Baseline::of(some, d, &detectors).map_err(failed)?;
    let set = |detector| thresholds::set(detector, &parts.validation, &parts.fit, d, by, day);
    Ok(Fit {
        changes,
        baseline: baseline.to_bytes(),
        scores: quantiled(&detectors, some, d)?,
        thresholds: detectors.iter().map(set).collect::<Result<_, _>>()?,
        detectors: detectors.iter().map(Detector::to_bytes).collect(),
        rows: parts.keys.len() as u64,
    })
}

/// The rows that scores are looked at of: they tell a quantile well enough to look for the quota's border from.
pub(super) fn some_rows(rows: &[f32], d: usize) -> &[f32] {
    &rows[..rows.len().min(d * 16_384)]
}

/// The quantiles of each detector's scores of rows (row-major, `d` features).
pub(super) fn quantiled(
    detectors: &[Detector],
    rows: &[f32],
    d: usize,
) -> Result<Vec<Vec<f32>>, JobError> {
    let mut scores = vec![];
    for detector in detectors {
        let mut values = vec![0.0; rows.len() / d.max(1)];
        let done = detector.score(rows, d, &mut values);
        done.map_err(|e| JobError::Model(e.to_string()))?;
        scores.push(quantiles(values));
    }
    Ok(scores)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::displayable;

    use super::{Value, fill, sample_border};
    use crate::warehouse::tables::COMMANDS;

    /// Is there a filter below the computation of features?
    async fn computed_of_few(sql: &str) -> bool {
        let ctx = crate::session::embedded(1 << 28).unwrap();
        let commands = MemTable::try_new(COMMANDS.schema(), vec![vec![]]).unwrap();
        ctx.register_table("commands", Arc::new(commands)).unwrap();
        let query = ctx.sql(sql).await.unwrap();
        let plan = query.create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        let line = |what: &str| plan.lines().position(|line| line.contains(what)).unwrap();
        line("cmd_features(") < line("FilterExec")
    }

    #[tokio::test]
    async fn features_are_computed_of_the_sample_s_lines_only() {
        let values = [
            ("rows", Value::Int(10)),
            ("border", Value::Text("00".into())),
            ("frequencies", Value::Text("file:///none".into())),
        ];
        let sql = fill(include_str!("sample.sql"), &values);
        assert!(computed_of_few(&sql).await);
        // Why `substr`: once this fails, DataFusion has learned better and the column may pass as it is.
        let plain = sql.replace("substr(hash, 1, 32) AS hash", "hash");
        assert!(!computed_of_few(&plain).await);
    }

    #[test]
    fn a_small_day_is_sampled_whole() {
        assert_eq!(sample_border(65_536, 1000), "ffffffffffffffff");
        assert_eq!(sample_border(65_536, 0), "ffffffffffffffff");
    }

    #[test]
    fn a_large_day_is_cut_in_proportion() {
        // 72,589 of 50 million: 0.145% of the keys.
        assert_eq!(
            sample_border(65_536, 50_000_000),
            format!("{:016x}", (72_589_u128 << 64) / 50_000_000)
        );
    }
}
