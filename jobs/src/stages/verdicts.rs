//! What analysts said of requests, in the day's run.
//!
//! A verdict on a request of an earlier day holds for [`DAYS`] days, for that request and for what [says the same](gleaner_udfs::api::said):
//!
//! - **A false positive** joins what detectors are fitted on (`taught`). A request of the day that says the same, from the same user
//!   (or address, without one), is *held back*: it takes no place of a quota and is no anomaly. Unless its actor does more than the judged
//!   one's did, then it comes back, marked (*busier*): a verdict on one odd call is none on a thousand of them.
//! - **A true positive** and what says the same, whoever sends it, are left out of what detectors are fitted on, so that an attack
//!   never becomes ordinary by going on; anomalies among them are *marked*. What is said by more than `COMMON` times as many actors as it
//!   was judged of is *common*, and is neither: whoever guesses passwords calls the login as everybody does.
//!
//! So hiding is narrow and marking is wide: a false alarm that comes back costs a minute, a hidden attack costs more. Every request that
//! a verdict touched is a row of the table `alike`, and counted in the accounts.
//!
//! Verdicts on requests of the day itself or of later days do not count, so that the list an analyst works on stays as it is when its
//! day is run again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use gleaner_udfs::model_cache::sha256;
use serde::{Deserialize, Serialize};

use super::categories::CATEGORIES;
use super::models::sample_border;
use super::sql::{Value, fill};
use super::unit::{Rows, Unit};
use super::{DayRun, tables};
use crate::engine::{Source, Task, Written};
use crate::error::JobError;
use crate::labels::rows;
use crate::labels::store::typed;
use crate::telemetry::Kind;
use crate::warehouse::model_path;
use crate::warehouse::publish::Snapshot;
use crate::warehouse::tables::{ALIKE, MODELS, REQUEST_REVIEWS, REQUESTS, WINDOWS};

/// How long a verdict holds.
pub const DAYS: u64 = 90;
/// From so many times as many actors as it was judged of, an attack's request is one that anybody makes.
const COMMON: u64 = 3;

/// The verdicts that count for a day.
#[derive(Default)]
pub(super) struct Given {
    reviews: BTreeMap<NaiveDate, Vec<Review>>,
    snapshot: Snapshot,
    /// The day has rows of `alike` that may have to go.
    stale: bool,
}

#[derive(Deserialize)]
struct Review {
    day: NaiveDate,
    hash: String,
    verdict: String,
    version: u64,
}

/// The latest verdicts on requests of earlier days; none of a day of command lines.
///
/// # Errors
/// When the table cannot be read.
pub(super) async fn given(day: &DayRun<'_>) -> Result<Given, JobError> {
    if day.options.kind != Kind::Api {
        return Ok(Given::default());
    }
    let wanted = [REQUEST_REVIEWS, REQUESTS, WINDOWS, MODELS, ALIKE];
    let snapshot = day.warehouse.snapshot(&wanted).await?;
    let since = day.day.checked_sub_days(Days::new(DAYS));
    let since = since.unwrap_or(NaiveDate::MIN);
    let files = snapshot.files(&REQUEST_REVIEWS).iter();
    let files: Vec<_> = files
        .filter(|f| f.day < day.day && f.day >= since)
        .collect();
    let mut reviews: BTreeMap<NaiveDate, Vec<Review>> = BTreeMap::new();
    if !files.is_empty() {
        let task = Task {
            name: format!("{}/verdicts", day.day),
            sql: include_str!("verdicts_given.sql").to_owned(),
            tables: tables([("reviews", day.source(&REQUEST_REVIEWS, files))]),
            write: None,
        };
        let batches = day.engine.run(vec![task], &|| ()).await?.concat();
        for review in typed::<Review>(&batches)? {
            reviews.entry(review.day).or_default().push(review);
        }
    }
    let stale = snapshot.files(&ALIKE).iter().any(|f| f.day == day.day);
    Ok(Given {
        reviews,
        snapshot,
        stale,
    })
}

impl Given {
    /// Of the verdicts and of the days that they are about, for a fingerprint; nothing where there are none.
    pub(super) fn name(&self) -> Option<String> {
        if self.reviews.is_empty() {
            return self.stale.then(|| "no verdicts".to_owned());
        }
        let mut text = String::new();
        for (day, reviews) in &self.reviews {
            let made = [REQUESTS, WINDOWS, MODELS].map(|t| self.snapshot.fingerprint(&t, *day));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{day} {made:?}");
            for r in reviews {
                let _ = writeln!(text, "{} {} {}", r.hash, r.verdict, r.version);
            }
        }
        Some(sha256(text.as_bytes()))
    }
}

/// A judged request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Judged {
    pub(super) hash: String,
    pub(super) verdict: String,
    pub(super) version: u64,
    pub(super) who: String,
    pub(super) said: String,
    pub(super) requests_10min: u64,
    pub(super) failed_5min: u64,
    pub(super) endpoints_10min: u64,
    pub(super) bytes_out_10min: u64,
    #[serde(default)]
    pub(super) day: NaiveDate,
    /// Computed with what was usual on its day.
    #[serde(default)]
    pub(super) features: Vec<f32>,
}

impl Judged {
    pub(super) fn harmless(&self) -> bool {
        self.verdict == FALSE_POSITIVE
    }
}

/// As in tables.
pub const FALSE_POSITIVE: &str = "false_positive";
/// As in tables.
pub const TRUE_POSITIVE: &str = "true_positive";

/// What verdicts make of a day.
#[derive(Default)]
pub(super) struct Verdicts {
    pub(super) judged: Vec<Judged>,
    /// The day's files of `alike`, one a bucket; none where nobody judged anything.
    pub(super) alike: Vec<Written>,
    /// Keys of the sample's rows that say what was judged an attack.
    pub(super) attacks: BTreeSet<u64>,
    /// Keys of the sample's rows that say what was judged harmless.
    pub(super) harmless: BTreeSet<u64>,
    /// For the accounts.
    pub(super) counts: BTreeMap<String, u64>,
}

/// What is matched: one row for what somebody said, and the latest verdict on it.
#[derive(Serialize)]
struct Match<'a> {
    said: &'a str,
    who: &'a str,
    verdict: &'a str,
    version: u64,
    judged: &'a str,
    judged_day: String,
    judged_actors: u64,
    requests_10min: u64,
    failed_5min: u64,
    endpoints_10min: u64,
    bytes_out_10min: u64,
}

fn match_schema() -> SchemaRef {
    use DataType::{Date32, Int64, Utf8};
    let fields = [
        ("said", Utf8),
        ("who", Utf8),
        ("verdict", Utf8),
        ("version", Int64),
        ("judged", Utf8),
        ("judged_day", Date32),
        ("judged_actors", Int64),
        ("requests_10min", Int64),
        ("failed_5min", Int64),
        ("endpoints_10min", Int64),
        ("bytes_out_10min", Int64),
    ];
    let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Finds the judged requests with their features, and the day's requests that say the same. `encoder` is where the encoder of categorical
/// values lies, below the warehouse: a row that joins a fit has the columns of that fit.
///
/// # Errors
/// When a task fails.
pub(super) async fn judge(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    given: &Given,
    fingerprint: &str,
    encoder: Option<&str>,
) -> Result<Verdicts, JobError> {
    if given.reviews.is_empty() && !given.stale {
        return Ok(Verdicts::default());
    }
    let (judged, missing) = judged(day, given, encoder).await?;
    let border = sample_border(day.options.fit_rows, units.count());
    let mut verdicts = alike(day, units, &judged, &border, fingerprint).await?;
    let count = |harmless| judged.iter().filter(|j| j.harmless() == harmless).count() as u64;
    verdicts
        .counts
        .insert("judged_false_positive".into(), count(true));
    verdicts
        .counts
        .insert("judged_true_positive".into(), count(false));
    if missing > 0 {
        verdicts.counts.insert("judged_missing".into(), missing);
        day.progress.remark(&format!(
            "{missing} verdicts are on requests that their days no longer hold: they have no effect"
        ));
    }
    verdicts.judged = judged;
    Ok(verdicts)
}

/// The judged requests, by day and hash, and how many verdicts are on requests that are no longer there.
async fn judged(
    day: &DayRun<'_>,
    given: &Given,
    encoder: Option<&str>,
) -> Result<(Vec<Judged>, u64), JobError> {
    let categorical = day.options.categorical.choice();
    let sql = Unit::with_features(include_str!("verdicts_judged.sql"), categorical);
    let (mut tasks, mut days, mut wanted) = (vec![], vec![], 0);
    for (&of, reviews) in &given.reviews {
        wanted += reviews.len() as u64;
        let of_day = |table| given.snapshot.files(table).iter().filter(|f| f.day == of);
        let (requests, windows) = (of_day(&REQUESTS), of_day(&WINDOWS));
        if requests.clone().next().is_none() || windows.clone().next().is_none() {
            continue;
        }
        let row = |r: &Review| {
            vec![
                Value::Text(r.hash.clone()),
                Value::Text(r.verdict.clone()),
                Value::Int(r.version),
            ]
        };
        let usual = usual(day, of, given).await?;
        let mut values = vec![
            ("rows", Value::Rows(reviews.iter().map(row).collect())),
            ("frequencies", Value::Text(usual)),
        ];
        let encoder = encoder.map(|path| Value::Text(day.warehouse.url(path)));
        values.extend(encoder.map(|path| (CATEGORIES, path)));
        tasks.push(Task {
            name: format!("{}/judged/{of}", day.day),
            sql: fill(&sql, &values),
            tables: tables([
                ("requests", day.source(&REQUESTS, requests)),
                ("windows", day.source(&WINDOWS, windows)),
            ]),
            write: None,
        });
        days.push(of);
    }
    let mut judged = vec![];
    for (of, batches) in days
        .into_iter()
        .zip(day.run("models", "judged requests", tasks).await?)
    {
        for batch in batches {
            judged.extend(rows_of(&batch, of)?);
        }
    }
    let missing = wanted.saturating_sub(judged.len() as u64);
    Ok((judged, missing))
}

fn rows_of(batch: &RecordBatch, of: NaiveDate) -> Result<Vec<Judged>, JobError> {
    let last = batch.num_columns().saturating_sub(1);
    let (told, features): (Vec<usize>, _) = ((0..last).collect(), batch.column(last));
    let told = batch
        .project(&told)
        .map_err(|e| JobError::Query(e.into()))?;
    let lists = features
        .as_fixed_size_list_opt()
        .ok_or_else(|| JobError::Internal("features are no list".into()))?;
    let mut rows: Vec<Judged> = typed(&[told])?;
    for (row, judged) in rows.iter_mut().enumerate() {
        judged.day = of;
        if lists.is_valid(row) {
            let values = lists.value(row);
            let values = values.as_primitive_opt::<Float32Type>();
            judged.features = values.map(|v| v.values().to_vec()).unwrap_or_default();
        }
    }
    Ok(rows)
}

/// Where the model lies of what was usual on an earlier day.
async fn usual(day: &DayRun<'_>, of: NaiveDate, given: &Given) -> Result<String, JobError> {
    #[derive(Deserialize)]
    struct Path {
        sha256: String,
    }
    let files = given.snapshot.files(&MODELS).iter();
    let files: Vec<_> = files.filter(|f| f.day == of).collect();
    let mut found = vec![];
    if !files.is_empty() {
        let task = Task {
            name: format!("{}/usual/{of}", day.day),
            sql: fill(
                "SELECT sha256 FROM models WHERE kind = {kind}",
                &[("kind", Value::Text(super::models::FREQUENCIES.to_owned()))],
            ),
            tables: tables([("models", day.source(&MODELS, files))]),
            write: None,
        };
        found = typed::<Path>(&day.engine.run(vec![task], &|| ()).await?.concat())?;
    }
    let path = found.first().map(|f| model_path(&f.sha256));
    match path {
        Some(path) if day.warehouse.has_model(&path).await? => Ok(day.warehouse.url(&path)),
        _ => Err(JobError::Model(format!(
            "what was usual on {of}, of which requests are judged, is missing or damaged: run {of} again"
        ))),
    }
}

/// The latest verdict on each thing that somebody said, in the order of what it is.
fn matches(judged: &[Judged]) -> Vec<Match<'_>> {
    let mut actors: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut latest: BTreeMap<(&str, &str), Vec<&Judged>> = BTreeMap::new();
    for j in judged {
        if !j.harmless() {
            actors.entry(&j.said).or_default().insert(&j.who);
        }
        latest.entry((&j.said, &j.who)).or_default().push(j);
    }
    let mut found = vec![];
    for ((said, who), all) in latest {
        let newest = all.iter().map(|j| j.version).max().unwrap_or_default();
        // Of one import the verdict of an attack holds.
        let newest = all.iter().filter(|j| j.version == newest);
        let Some(first) = newest.min_by_key(|j| (j.harmless(), j.day, &j.hash)) else {
            continue;
        };
        // What it did when it was judged so, at its busiest.
        let same = || all.iter().filter(|j| j.verdict == first.verdict);
        let most = |of: fn(&Judged) -> u64| same().map(|j| of(j)).max().unwrap_or_default();
        found.push(Match {
            said,
            who,
            verdict: &first.verdict,
            version: first.version,
            judged: &first.hash,
            judged_day: first.day.to_string(),
            judged_actors: actors.get(said).map_or(0, |a| a.len() as u64),
            requests_10min: most(|j| j.requests_10min),
            failed_5min: most(|j| j.failed_5min),
            endpoints_10min: most(|j| j.endpoints_10min),
            bytes_out_10min: most(|j| j.bytes_out_10min),
        });
    }
    found
}

/// Columns of staged rows that say the same as judged ones.
fn said_schema() -> SchemaRef {
    let mut fields: Vec<Field> = ALIKE
        .schema()
        .fields()
        .iter()
        .filter(|f| !matches!(f.name().as_str(), "day" | "outcome"))
        .map(|f| f.as_ref().clone())
        .collect();
    fields.push(Field::new("judged_actors", DataType::Int64, true));
    fields.push(Field::new("busier", DataType::Boolean, true));
    Arc::new(Schema::new(fields))
}

async fn alike(
    day: &DayRun<'_>,
    units: &Rows<'_>,
    judged: &[Judged],
    border: &str,
    fingerprint: &str,
) -> Result<Verdicts, JobError> {
    let schema = match_schema();
    let path = format!("_staging/{}/judged.parquet", day.run);
    let batch = rows::batch(&schema, &matches(judged))?;
    day.warehouse.put(&path, rows::parquet(&batch)?).await?;
    let known = Source::Parquet {
        urls: vec![day.warehouse.url(&path)],
        schema,
        sorted_by: &[],
    };
    let sql = include_str!("verdicts_said.sql");
    let buckets = units.buckets(day).into_iter().enumerate();
    let tasks = buckets.map(|(part, mut bucket)| {
        bucket.insert("judged".to_owned(), known.clone());
        day.staging_task("said", part, "", sql.to_owned(), bucket)
    });
    let said = day
        .run_writes("models", "what was judged before", tasks.collect())
        .await?;
    let staged = |written: &[Written]| tables([("alike", day.staged(written, said_schema()))]);
    let common = fill(
        include_str!("verdicts_common.sql"),
        &[("times", Value::Int(COMMON))],
    );
    let task = Task {
        name: format!("{}/common", day.day),
        sql: common,
        tables: staged(&said),
        write: None,
    };
    let mut common: Vec<Vec<Value>> = vec![vec![Value::Text(String::new())]];
    for batch in day.engine.run(vec![task], &|| ()).await?.concat() {
        if let Some(texts) = batch.column(0).as_string_opt::<i32>() {
            common.extend(
                texts
                    .iter()
                    .flatten()
                    .map(|t| vec![Value::Text(t.to_owned())]),
            );
        }
    }
    let values = [
        ("day", Value::Date(day.day)),
        ("common", Value::Rows(common)),
    ];
    let sql = fill(include_str!("verdicts_alike.sql"), &values);
    let tasks = said.iter().enumerate().map(|(part, file)| {
        let sources = staged(std::slice::from_ref(file));
        day.table_task(&ALIKE, part, fingerprint, sql.clone(), sources)
    });
    let alike = day
        .run_writes("models", "verdicts", tasks.collect())
        .await?;
    outcomes(day, alike, border).await
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "outcome")]
    name: String,
    hash: Option<String>,
    rows: u64,
}

async fn outcomes(
    day: &DayRun<'_>,
    alike: Vec<Written>,
    border: &str,
) -> Result<Verdicts, JobError> {
    let task = Task {
        name: format!("{}/outcomes", day.day),
        sql: fill(
            include_str!("verdicts_outcomes.sql"),
            &[("border", Value::Text(border.to_owned()))],
        ),
        tables: tables([("alike", day.written(&ALIKE, &alike))]),
        write: None,
    };
    let batches = day.engine.run(vec![task], &|| ()).await?.concat();
    let mut verdicts = Verdicts {
        alike,
        ..Verdicts::default()
    };
    for row in typed::<Outcome>(&batches)? {
        let Some(hash) = row.hash else {
            verdicts.counts.insert(row.name, row.rows);
            continue;
        };
        // The key of a row in the sample: the second half of its hash.
        let key = hash.get(16..).and_then(|h| u64::from_str_radix(h, 16).ok());
        let of = match row.name.as_str() {
            "marked" => &mut verdicts.attacks,
            _ => &mut verdicts.harmless,
        };
        of.extend(key);
    }
    Ok(verdicts)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn judged(
        hash: &str,
        who: &str,
        verdict: &str,
        version: u64,
        requests: u64,
    ) -> Judged {
        Judged {
            hash: hash.to_owned(),
            verdict: verdict.to_owned(),
            version,
            who: who.to_owned(),
            said: "s".to_owned(),
            requests_10min: requests,
            failed_5min: 0,
            endpoints_10min: 1,
            bytes_out_10min: 0,
            day: NaiveDate::default(),
            features: vec![],
        }
    }

    #[test]
    fn the_latest_verdict_on_what_somebody_said_holds_and_of_one_import_that_of_an_attack() {
        let all = [
            judged("1", "ana", TRUE_POSITIVE, 1, 9),
            judged("2", "ana", FALSE_POSITIVE, 2, 3),
            judged("3", "ana", FALSE_POSITIVE, 1, 5),
            judged("4", "ben", FALSE_POSITIVE, 4, 7),
            judged("5", "ben", TRUE_POSITIVE, 4, 2),
        ];
        let found: Vec<_> = matches(&all)
            .iter()
            .map(|m| {
                (
                    m.who,
                    m.verdict,
                    m.judged,
                    m.requests_10min,
                    m.judged_actors,
                )
            })
            .collect();
        // Two actors were judged attackers with it; ana's busiest harmless call came with 5 others.
        assert_eq!(
            found,
            [
                ("ana", FALSE_POSITIVE, "2", 5, 2),
                ("ben", TRUE_POSITIVE, "5", 2, 2)
            ]
        );
    }
}
