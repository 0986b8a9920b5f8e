//! What a day of a kind of telemetry is made of, and stage 2, which makes it: one row a unit (a unique command line, a request), exact
//! duplicates counted, one task a bucket. The number of buckets follows from the number of events alone, so that memory is that of
//! one bucket a slot however large the day, and the same day is cut alike everywhere.

use std::collections::BTreeMap;
use std::time::Instant;

use datafusion::arrow::datatypes::DataType;
use gleaner_udfs::api::{API_CATALOG, Categorical, N_API_FEATURES};
use gleaner_udfs::text::catalog::{CATALOG, N_FEATURES};

use super::sql::{Value, fill};
use super::telemetry::{Events, STAGED_BUCKETS, counts};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::{Source, Task};
use crate::error::JobError;
use crate::telemetry::Kind;
use crate::warehouse::tables::{ANOMALIES, COMMANDS, REQUEST_ANOMALIES, REQUESTS, Table, WINDOWS};

/// Events a bucket, about.
const BUCKET_EVENTS: u64 = 262_144;

/// What differs between kinds of telemetry.
pub struct Unit {
    /// Its table, and the name of the stage that writes it. It has a column `events`: how many events a row stands for.
    pub table: Table,
    /// The stages of a day, by name and in order.
    pub stages: &'static [&'static str],
    /// What stage 1 stages: all columns of the events, and `bucket`.
    pub staged: &'static str,
    /// What stage 2 makes of the staged events of buckets `{low}` to `{high}`.
    pub sql: &'static str,
    /// A state of what is usual, over a bucket's rows.
    pub frequencies: &'static str,
    /// A sample of a bucket's rows, with their features.
    pub sample: &'static str,
    /// A bucket's rows that may be within a quota, with features and scores.
    pub scores: &'static str,
    /// Those within it, with ranks and reasons.
    pub anomalies: &'static str,
    /// Where they go.
    pub anomalies_table: Table,
    /// Numbers of a row of features, before encoded categorical values.
    features: usize,
    /// Their names.
    feature_names: fn() -> Vec<&'static str>,
}

static COMMAND: Unit = Unit {
    table: COMMANDS,
    stages: &[
        "telemetry",
        "commands",
        "models",
        "anomalies",
        "candidates",
        "labels",
        "benign",
    ],
    staged: include_str!("telemetry.sql"),
    sql: include_str!("commands.sql"),
    frequencies: include_str!("frequencies.sql"),
    sample: include_str!("sample.sql"),
    scores: include_str!("scores.sql"),
    anomalies: include_str!("anomalies.sql"),
    anomalies_table: ANOMALIES,
    features: N_FEATURES,
    feature_names: || CATALOG.iter().map(|f| f.name).collect(),
};

static API: Unit = Unit {
    table: REQUESTS,
    stages: &[
        "telemetry",
        "requests",
        "windows",
        "models",
        "anomalies",
        "incidents",
    ],
    staged: include_str!("telemetry_requests.sql"),
    sql: include_str!("requests.sql"),
    frequencies: include_str!("request_frequencies.sql"),
    sample: include_str!("request_sample.sql"),
    scores: include_str!("request_scores.sql"),
    anomalies: include_str!("request_anomalies.sql"),
    anomalies_table: REQUEST_ANOMALIES,
    features: N_API_FEATURES,
    feature_names: || API_CATALOG.iter().map(|f| f.name).collect(),
};

impl Unit {
    /// SQL with the call that computes a request's features in its place; it is long, and in two queries.
    #[must_use]
    pub fn with_features(sql: &str, categorical: Categorical) -> String {
        let call = include_str!("request_features.sql").trim_end();
        if !categorical.encodes() {
            return sql.replace("request_features", call);
        }
        let call = call.strip_suffix(')').unwrap_or(call);
        let encoded = format!("{call}, {{categories}}, '{}')", categorical.name());
        sql.replace("request_features", &encoded)
    }

    /// Numbers of a row of features.
    #[must_use]
    pub fn width(&self, categorical: Categorical) -> usize {
        self.features + categorical.width() - N_API_FEATURES
    }

    /// Their names.
    #[must_use]
    pub fn names(&self, categorical: Categorical) -> Vec<String> {
        let encoded = categorical.columns().into_iter().map(|column| column.name);
        let of_catalog = (self.feature_names)().into_iter().map(str::to_owned);
        of_catalog.chain(encoded).collect()
    }

    /// That of a kind.
    #[must_use]
    pub fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::Command => &COMMAND,
            Kind::Api => &API,
        }
    }

    /// The last stage.
    #[must_use]
    pub fn last_stage(&self) -> &'static str {
        self.stages.last().copied().unwrap_or_default()
    }
}

/// The rows of a day that models are fitted on and that are scored: of commands, or of requests with their windows.
pub struct Rows<'a> {
    /// What the unit's stage made.
    pub unit: &'a StageRecord,
    /// What came before each of them.
    pub windows: Option<&'a StageRecord>,
}

impl Rows<'_> {
    /// Of what they are, for a fingerprint.
    #[must_use]
    pub fn digest(&self) -> String {
        let windows = self.windows.map_or("", |w| w.digest.as_str());
        format!("{}{windows}", self.unit.digest)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.unit.rows_kept
    }

    /// The tables of each bucket.
    #[must_use]
    pub fn buckets(&self, day: &DayRun<'_>) -> Vec<BTreeMap<String, Source>> {
        let table = &Unit::of(day.options.kind).table;
        let units = day.buckets(table, self.unit).into_iter();
        let Some(windows) = self.windows else {
            return units.map(|unit| tables([(table.name, unit)])).collect();
        };
        let windows = day.buckets(&WINDOWS, windows);
        units
            .zip(windows)
            .map(|(unit, w)| tables([(table.name, unit), (WINDOWS.name, w)]))
            .collect()
    }

    /// The columns of a row beside features and scores, as scored rows are staged.
    #[must_use]
    pub fn columns(&self, day: &DayRun<'_>) -> Vec<(&'static str, DataType)> {
        let mut columns = (Unit::of(day.options.kind).table.columns)();
        columns.retain(|(name, _)| !name.ends_with("_state"));
        if self.windows.is_some() {
            // The first four are those of the request itself.
            columns.extend((WINDOWS.columns)().into_iter().skip(4));
        }
        columns
    }
}

/// The number of buckets for so many events: a power of two, from 1 to [`STAGED_BUCKETS`].
#[must_use]
pub fn buckets(events: u64) -> u64 {
    events
        .div_ceil(BUCKET_EVENTS)
        .max(1)
        .next_power_of_two()
        .min(STAGED_BUCKETS)
}

/// # Errors
/// When a task fails, the rows' events do not sum to the events read, or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    events: &Events,
    fingerprint: &str,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let unit = Unit::of(day.options.kind);
    let stage = unit.table.name;
    let buckets = buckets(events.rows);
    let width = STAGED_BUCKETS / buckets;
    let tasks = (0..buckets).map(|bucket| {
        let values = [
            ("day", Value::Date(day.day)),
            ("low", Value::Int(bucket * width)),
            ("high", Value::Int((bucket + 1) * width)),
        ];
        let sql = fill(unit.sql, &values);
        let part = usize::try_from(bucket).unwrap_or(usize::MAX);
        day.table_task(
            &unit.table,
            part,
            fingerprint,
            sql,
            tables([("events", events.source.clone())]),
        )
    });
    let written = day
        .run_writes(stage, "exact dedup", tasks.collect())
        .await?;
    let rows = rows_of(&written);
    let check = Task {
        name: format!("{}/{stage}/check", day.day),
        sql: include_str!("unit_check.sql").to_owned(),
        tables: tables([("unit", day.written(&unit.table, &written))]),
        write: None,
    };
    let checked = day.engine.run(vec![check], &|| ()).await?;
    let [summed, counted] = counts(&checked[0])?;
    if (summed, counted) != (events.rows, rows) {
        let what = format!(
            "{} events read, {summed} in {counted} rows written (manifest: {rows})",
            events.rows
        );
        return Err(JobError::Unbalanced { stage, what });
    }
    let record = StageRecord {
        rows_in: events.rows,
        rows_kept: rows,
        rows_dropped: events.rows - rows,
        fingerprint: fingerprint.to_owned(),
        ..StageRecord::default()
    };
    day.finish(stage, &[(unit.table, &written)], started, record)
        .await
}

#[cfg(test)]
mod tests {
    use super::buckets;

    #[test]
    fn buckets_grow_in_number_with_the_day() {
        assert_eq!(buckets(0), 1);
        assert_eq!(buckets(262_144), 1);
        assert_eq!(buckets(262_145), 2);
        assert_eq!(buckets(50_000_000), 256);
        assert_eq!(buckets(u64::MAX / 2), 4096);
    }
}
