//! What an export holds and where it came from: counted as rows pass, read from the warehouse's accounts. It is `export.json`, and what the data card says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Date32Type;
use gleaner_classifier::model::Classifier;
use serde::{Deserialize, Serialize};

use super::{Plan, Split, table};
use crate::engine::{Engine, Task};
use crate::error::JobError;
use crate::labels::precision::{self, SetPrecision};
use crate::labels::review::{self, Precision};
use crate::labels::store::typed;
use crate::warehouse::Warehouse;
use crate::warehouse::publish::Snapshot;
use crate::warehouse::tables::{BENIGN, MODELS, RUNS, TELEMETRY, Table};

/// Lines that the card shows, at most.
const EXAMPLES: usize = 5;

/// Rows that were not written, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Rows of labelled files without a line or a label of benign or malicious.
    pub unlabelled: u64,
    /// Training rows whose text a test has.
    pub exact: u64,
    /// Training rows of a template that a test has.
    pub template: u64,
    /// Training rows that are near-duplicates of a test's.
    pub near: u64,
    /// Benign lines that the baseline, or an earlier day, has already.
    pub known: u64,
    /// Benign lines that the baseline calls malicious.
    pub contradicted: u64,
    /// Rows that could not be redacted with certainty.
    pub refused: u64,
}

/// A day that the set is from.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Day {
    /// Which.
    pub(super) date: String,
    /// The gleaner that ran it.
    pub(super) gleaner: String,
    /// What its stage `benign` rests on: inputs, code, flags, models.
    pub(super) fingerprint: String,
    /// Of the rows that it emitted.
    pub(super) digest: String,
    /// Files of telemetry.
    pub(super) files: u64,
    /// Rows of them: read, kept, quarantined.
    pub(super) rows: [u64; 3],
    /// Models that scored it, by kind: SHA-256.
    pub(super) models: BTreeMap<String, String>,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    pub(super) gleaner: &'static str,
    pub(super) format: &'static str,
    pub(super) name: String,
    pub(super) license: Option<String>,
    pub(super) redacted: bool,
    pub(super) rows: BTreeMap<&'static str, u64>,
    /// By split, column and value.
    pub(super) counts: BTreeMap<&'static str, BTreeMap<&'static str, BTreeMap<String, u64>>>,
    /// What was left out.
    pub left_out: LeftOut,
    pub(super) days: Vec<Day>,
    /// Names of the files of a baseline and of tests, without their directories.
    pub(super) baseline: Vec<String>,
    pub(super) test: Vec<String>,
    pub(super) classifier: Option<&'static str>,
    pub(super) precision: Vec<SetPrecision>,
    pub(super) reviews: Option<Precision>,
    #[serde(skip)]
    pub(super) examples: Vec<String>,
    #[serde(skip)]
    snapshot: Option<Snapshot>,
}

/// Columns whose values are counted.
const COUNTED: [&str; 6] = ["label", "label_source", "labeller", "model", "prompt", "os"];

impl Account {
    /// Before a row has passed.
    ///
    /// # Errors
    /// When the warehouse cannot be read.
    pub(super) async fn begin(
        plan: &Plan,
        warehouse: Option<&Warehouse>,
        model: Option<&Classifier>,
    ) -> Result<Self, JobError> {
        let mut account = Self::empty(plan, model);
        if let Some(warehouse) = warehouse {
            account.read(plan, warehouse).await?;
        }
        Ok(account)
    }

    async fn read(&mut self, plan: &Plan, warehouse: &Warehouse) -> Result<(), JobError> {
        #[derive(Deserialize)]
        struct Run {
            day: String,
            #[serde(default)]
            gleaner: String,
            fingerprint: String,
            digest: String,
        }
        #[derive(Deserialize)]
        struct Telemetry {
            day: String,
            files: u64,
            rows_read: u64,
            rows_kept: u64,
            rows_quarantined: u64,
        }
        #[derive(Deserialize)]
        struct Model {
            day: String,
            kind: String,
            sha256: String,
        }
        // One look for rows and accounts: a day that is published meanwhile is in neither.
        let tables = [BENIGN, RUNS, TELEMETRY, MODELS];
        let snapshot = warehouse.snapshot(&tables).await?;
        let (from, until) = plan.days;
        let wanted = |day: NaiveDate| {
            from.is_none_or(|from| day >= from) && until.is_none_or(|until| day <= until)
        };
        let days: BTreeSet<NaiveDate> = snapshot.files(&BENIGN).iter().map(|f| f.day).collect();
        let mut by_day: BTreeMap<String, Day> = days
            .into_iter()
            .filter(|day| wanted(*day))
            .map(|day| {
                let day = day.to_string();
                let of = Day {
                    date: day.clone(),
                    ..Day::default()
                };
                (day, of)
            })
            .collect();
        let ask = async |table, sql: &str| rows(warehouse, &snapshot, table, sql).await;
        let sql = "SELECT CAST(day AS VARCHAR) AS day, gleaner, fingerprint, digest FROM runs WHERE stage = 'benign'";
        for run in typed::<Run>(&ask(&RUNS, sql).await?)? {
            if let Some(day) = by_day.get_mut(&run.day) {
                (day.gleaner, day.fingerprint, day.digest) =
                    (run.gleaner, run.fingerprint, run.digest);
            }
        }
        let sql = "SELECT CAST(day AS VARCHAR) AS day, count(*) AS files, sum(rows_read) AS rows_read, sum(rows_kept) AS rows_kept, \
                   sum(rows_quarantined) AS rows_quarantined FROM telemetry GROUP BY 1";
        for row in typed::<Telemetry>(&ask(&TELEMETRY, sql).await?)? {
            if let Some(day) = by_day.get_mut(&row.day) {
                day.files = row.files;
                day.rows = [row.rows_read, row.rows_kept, row.rows_quarantined];
            }
        }
        let sql = "SELECT CAST(day AS VARCHAR) AS day, kind, sha256 FROM models";
        for model in typed::<Model>(&ask(&MODELS, sql).await?)? {
            if let Some(day) = by_day.get_mut(&model.day) {
                day.models.insert(model.kind, model.sha256);
            }
        }
        self.days = by_day.into_values().collect();
        self.precision = precision::report(warehouse, false).await?;
        self.reviews = Some(review::precision(warehouse).await?);
        self.snapshot = Some(snapshot);
        Ok(())
    }

    fn empty(plan: &Plan, model: Option<&Classifier>) -> Self {
        let file = |path: &String| {
            let name = std::path::Path::new(path).file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        Self {
            gleaner: env!("CARGO_PKG_VERSION"),
            format: plan.format.name(),
            name: plan.name.clone(),
            license: plan.license.clone(),
            redacted: plan.redact,
            rows: BTreeMap::new(),
            counts: BTreeMap::new(),
            left_out: LeftOut::default(),
            days: vec![],
            baseline: plan.baseline.iter().map(file).collect(),
            test: plan.test.iter().map(file).collect(),
            classifier: model.map(|model| model.family().name()),
            precision: vec![],
            reviews: None,
            examples: vec![],
            snapshot: None,
        }
    }

    /// Of a classifier's export: no row.
    pub(super) fn of_classifier(plan: &Plan, model: &Classifier) -> Self {
        Self::empty(plan, Some(model))
    }

    /// The days, ascending.
    pub(super) fn days(&self) -> Vec<NaiveDate> {
        self.days
            .iter()
            .filter_map(|d| d.date.parse().ok())
            .collect()
    }

    /// What of the warehouse is exported.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Rows written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Rows of a split.
    #[must_use]
    pub fn rows_of(&self, split: Split) -> u64 {
        self.rows.get(split.name()).copied().unwrap_or(0)
    }

    /// Counts rows as they pass.
    pub(super) fn count(&mut self, split: Split, batch: &RecordBatch) {
        *self.rows.entry(split.name()).or_default() += batch.num_rows() as u64;
        let counts = self.counts.entry(split.name()).or_default();
        let mut add = |column: &'static str, value: &str| {
            let values = counts.entry(column).or_default();
            match values.get_mut(value) {
                Some(n) => *n += 1,
                None => {
                    values.insert(value.to_owned(), 1);
                }
            }
        };
        for name in COUNTED {
            for text in table::texts(batch, name).into_iter().flatten().flatten() {
                add(name, text);
            }
        }
        let days = batch.column_by_name("day");
        if let Some(days) = days.and_then(|d| d.as_primitive_opt::<Date32Type>()) {
            for row in (0..days.len()).filter(|row| days.is_valid(*row)) {
                if let Some(day) = days.value_as_date(row) {
                    add("day", &day.to_string());
                }
            }
        }
        let detectors = batch.column_by_name("detectors");
        if let Some(lists) = detectors.and_then(|d| d.as_list_opt::<i32>()) {
            for list in lists.iter().flatten() {
                for detector in list.as_string::<i32>().iter().flatten() {
                    add("detectors", detector);
                }
            }
        }
        if split == Split::Train
            && let Some(lines) = table::texts(batch, "command_line")
        {
            let room = EXAMPLES - self.examples.len();
            let some = lines.iter().flatten().take(room).map(str::to_owned);
            self.examples.extend(some);
        }
    }

    /// Where it came from, in one line of JSON.
    pub(super) fn lineage_json(&self) -> String {
        serde_json::json!({ "days": self.days, "baseline": self.baseline, "redacted": self.redacted }).to_string()
    }
}

/// Rows of a query over one table of a snapshot.
async fn rows(
    warehouse: &Warehouse,
    snapshot: &Snapshot,
    table: &Table,
    sql: &str,
) -> Result<Vec<RecordBatch>, JobError> {
    let Some(source) = warehouse.source(table, snapshot.files(table)) else {
        return Ok(vec![]);
    };
    let task = Task {
        name: "export".to_owned(),
        sql: sql.to_owned(),
        tables: BTreeMap::from([(table.name.to_owned(), source)]),
        write: None,
    };
    let batches = Engine::embedded(1, 1 << 28)?
        .run(vec![task], &|| ())
        .await?;
    Ok(batches.into_iter().flatten().collect())
}
