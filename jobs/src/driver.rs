//! Runs the stages of a day, in order, each only when what it reads has changed.

use std::sync::Once;
use std::time::Instant;

use chrono::NaiveDate;
use gleaner_embed::Endpoints;

use crate::embedding;
use crate::engine::Engine;
use crate::error::JobError;
use crate::observe::metrics::Outcome;
use crate::observe::{self, metrics};
use crate::options::RunOptions;
use crate::stages::inputs::Input;
use crate::stages::unit::Rows;
use crate::stages::{
    DayRun, Progress, StageRecord, anomalies, benign, candidates, incidents, inputs, labels,
    models, runs, telemetry, unit, windows,
};
use crate::storage;
use crate::telemetry::Kind;
use crate::warehouse::Warehouse;

/// What became of a day.
#[derive(Debug, Clone)]
pub struct DayReport {
    /// The day.
    pub day: NaiveDate,
    /// One record a stage that ran or was up to date.
    pub records: Vec<StageRecord>,
    /// Wall-clock seconds.
    pub secs: f64,
    /// Whether the day was published anew.
    pub published: bool,
}

impl DayReport {
    /// Whether nothing had to be done.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        unchanged(&self.records, self.published)
    }
}

fn unchanged(records: &[StageRecord], published: bool) -> bool {
    !published && records.iter().all(|r| r.reused)
}

/// Lets this process's functions load models from where the warehouse keeps them, and embedders.
pub fn install_model_loader() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gleaner_udfs::model_cache::install_loader(Box::new(|uri| {
            storage::process().read_blocking(uri)
        }));
        // Without effect in a process that has limited the endpoints before.
        embedding::install(Endpoints::Any);
    });
}

/// Runs one day. The warehouse is made when it does not exist, once the options and inputs hold.
///
/// # Errors
/// Bad options or input (nothing is written then), a failed task, books that do not balance, a failed commit.
pub async fn run_day(
    engine: &Engine,
    warehouse: &str,
    day: NaiveDate,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<DayReport, JobError> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    run_day_as(&run, engine, warehouse, day, options, progress).await
}

/// [`run_day`] under a name of the caller's: what the run stages lies below it, for a caller that drops the run half way
/// to remove.
///
/// # Errors
/// As [`run_day`].
pub async fn run_day_as(
    run: &str,
    engine: &Engine,
    warehouse: &str,
    day: NaiveDate,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<DayReport, JobError> {
    let started = Instant::now();
    let result = attempt(run, engine, warehouse, day, options, progress).await;
    let secs = started.elapsed().as_secs_f64();
    let outcome = match &result {
        Ok((records, published)) if unchanged(records, *published) => Outcome::Unchanged,
        Ok(_) => Outcome::Published,
        Err(e) if e.is_empty_day() => Outcome::Empty,
        Err(_) => Outcome::Failed,
    };
    metrics::driver().day_done(day, secs, outcome);
    let (records, published) = result?;
    Ok(DayReport {
        day,
        records,
        secs,
        published,
    })
}

async fn attempt(
    run: &str,
    engine: &Engine,
    warehouse: &str,
    day: NaiveDate,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<(Vec<StageRecord>, bool), JobError> {
    options.check()?;
    install_model_loader();
    let inputs = inputs::list(options.kind, &options.telemetry, day).await?;
    let fresh = !Warehouse::exists(warehouse).await?;
    let opened = Warehouse::create(warehouse, options.kind).await?;
    opened.settle().await?;
    let context = DayRun {
        engine,
        warehouse: &opened,
        day,
        options,
        progress,
        run: run.to_owned(),
    };
    let result = observe::run(&context.run, day, Box::pin(stages(&context, &inputs))).await;
    let cleaned = opened.remove_staging(&context.run).await;
    if fresh && result.is_err() {
        // Nothing is written, not even an empty warehouse.
        opened.remove_if_empty().await;
    }
    let made = result?;
    cleaned?;
    Ok(made)
}

async fn stages(day: &DayRun<'_>, inputs: &[Input]) -> Result<(Vec<StageRecord>, bool), JobError> {
    let all = unit::Unit::of(day.options.kind).stages;
    let wanted = all.iter().position(|s| *s == day.options.through);
    let wanted = wanted.map_or(all.len(), |last| last + 1);
    let mut records = vec![];
    compute(day, inputs, wanted, &mut records).await?;
    let published = runs::publish(day, &records, wanted == all.len()).await?;
    Ok((records, published))
}

/// Runs the first `wanted` stages.
async fn compute(
    day: &DayRun<'_>,
    inputs: &[Input],
    wanted: usize,
    records: &mut Vec<StageRecord>,
) -> Result<(), JobError> {
    let mut done = |record: StageRecord| {
        day.progress.stage_done(&record);
        observe::stage_done(&record);
        records.push(record.clone());
        (record, records.len() == wanted)
    };
    // The two stages that read telemetry go together: what the first stages, the second reads.
    let fingerprint = telemetry::fingerprint(day, inputs);
    let unit = unit::Unit::of(day.options.kind).table.name;
    let after = day.fingerprint(unit, &[&fingerprint]);
    let known = day.up_to_date("telemetry", &fingerprint).await?;
    let known_unit = day.up_to_date(unit, &after).await?;
    let (commands, last) = if let (Some(telemetry), Some(made)) = (known, known_unit) {
        if done(telemetry).1 {
            return Ok(());
        }
        done(made)
    } else {
        let (record, events) = observe::stage(
            "telemetry",
            Box::pin(telemetry::run(day, inputs, &fingerprint)),
        )
        .await?;
        if done(record).1 {
            return Ok(());
        }
        done(observe::stage(unit, Box::pin(unit::run(day, &events, &after))).await?)
    };
    if last {
        return Ok(());
    }
    let windows = if day.options.kind == Kind::Api {
        let (windows, last) =
            done(observe::stage("windows", Box::pin(windows::run(day, &commands))).await?);
        if last {
            return Ok(());
        }
        Some(windows)
    } else {
        None
    };
    let rows = Rows {
        unit: &commands,
        windows: windows.as_ref(),
    };
    let (models, last) = done(observe::stage("models", Box::pin(models::run(day, &rows))).await?);
    if last {
        return Ok(());
    }
    let (anomalies, last) =
        done(observe::stage("anomalies", Box::pin(anomalies::run(day, &rows, &models))).await?);
    if last {
        return Ok(());
    }
    if day.options.kind == Kind::Api {
        done(observe::stage("incidents", Box::pin(incidents::run(day, &anomalies))).await?);
        return Ok(());
    }
    let (candidates, last) =
        done(observe::stage("candidates", Box::pin(candidates::run(day, &anomalies))).await?);
    if last {
        return Ok(());
    }
    let (labels, last) =
        done(observe::stage("labels", Box::pin(labels::run(day, &commands, &candidates))).await?);
    if last {
        return Ok(());
    }
    done(observe::stage("benign", Box::pin(benign::run(day, &candidates, &labels))).await?);
    Ok(())
}
