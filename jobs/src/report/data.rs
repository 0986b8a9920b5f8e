//! What a report is made of: some queries over a warehouse's tables, all of one snapshot.
//!
//! **Cost.** Everything but two parts reads small tables, or counts of large ones. Lines new to a day need every hash of every day: beyond `MOST_HASHES` lines a share of them by
//! hash is counted, and said to be. The distribution of scores is not kept by a run, which keeps scores of anomalies alone: so up to [`SCORED`] lines of the latest day are scored again, with
//! the models that the run scored them with.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use datafusion::prelude::SessionContext;
use gleaner_udfs::api::categories::Categorical;
use serde::Deserialize;

use super::requests::{self, data::Requests};
use super::subject::{Counts, Subject};
use crate::engine::Engine;
use crate::error::JobError;
use crate::labels::store::typed;
use crate::stages::categories::CATEGORIES;
use crate::stages::thresholds::Outcome;
use crate::telemetry::Kind;

/// Unique lines of all days beyond which a share of them is counted.
const MOST_HASHES: u64 = 4_000_000;
/// Lines of the latest day that are scored for the distributions.
pub const SCORED: u64 = 20_000;
/// Clusters and features that are listed.
const LISTED: usize = 12;

/// The detectors, in the order of the tables' columns: name, and the function and column of the score. A warehouse has some of them.
pub const DETECTORS: [(&str, &str); 6] = [
    ("iforest", "iforest_score"),
    ("pca", "pca_error"),
    ("kmeans", "kmeans_distance"),
    ("dbscan", "dbscan_distance"),
    ("ocsvm", "ocsvm_score"),
    ("autoencoder", "autoencoder_error"),
];

/// A stage of a day.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Name of the stage.
    pub stage: String,
    /// Rows that it was given.
    pub rows_in: u64,
    /// Of them kept.
    pub rows_kept: u64,
    /// Of them quarantined.
    pub rows_quarantined: u64,
    /// Of them dropped.
    pub rows_dropped: u64,
    /// Seconds it took.
    pub secs: f64,
    /// What it cost, in US dollars.
    pub cost_usd: Option<f64>,
    /// What it counted of its own, as JSON.
    pub counts: Option<String>,
}

impl Run {
    /// What came of the detectors' thresholds, where scores set them.
    #[must_use]
    pub fn thresholds(&self) -> BTreeMap<String, Outcome> {
        let counts: BTreeMap<String, serde_json::Value> = self
            .counts
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let of = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
        counts.into_iter().filter_map(of).collect()
    }
}

/// A count of something on a day.
#[derive(Debug, Clone, Deserialize)]
pub struct Daily {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// What is counted, or measured.
    pub name: String,
    /// How many.
    pub n: u64,
}

/// A count of something.
#[derive(Debug, Clone, Deserialize)]
pub struct Counted {
    /// What is counted, or measured.
    pub name: String,
    /// How many.
    pub n: u64,
}

/// Scores of a day's lines by a detector.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Name of the detector.
    pub detector: &'static str,
    /// Of the lines that were scored again.
    pub sample: Vec<f64>,
    /// The score of the last line within the quota.
    pub border: f64,
    /// Lines within it.
    pub quota: u64,
}

/// Distributions of scores, or why there are none.
#[derive(Debug, Clone)]
pub struct Distributions {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Unique lines of the day.
    pub lines: u64,
    /// A detector each.
    pub scores: Vec<Scores>,
}

/// A kept line and what it covers.
#[derive(Debug, Clone, Deserialize)]
pub struct Cluster {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// Hash of the line.
    pub hash: String,
    /// The line.
    pub command_line: String,
    /// Who ran it, where that is known.
    pub user: Option<String>,
    /// Lines that it covers.
    pub covered: u64,
    /// Days on which it covers some.
    pub days: u64,
}

/// A measurement of drift.
#[derive(Debug, Clone, Deserialize)]
pub struct Drift {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// The day that models were fitted on.
    pub trained_on: Option<String>,
    /// `score` or `feature`.
    pub kind: String,
    /// What is counted, or measured.
    pub name: String,
    /// Population stability index.
    pub psi: f64,
    /// From which it counts as drifted.
    pub psi_limit: f64,
    /// Whether it is over its limit.
    pub drifted: bool,
}

/// A line of the product.
#[derive(Debug, Clone, Deserialize)]
pub struct Emitted {
    /// The day, YYYY-MM-DD.
    pub date: String,
    /// The line.
    pub command_line: String,
    /// Who ran it, where that is known.
    pub user: Option<String>,
    /// Hosts that it was seen on.
    pub hosts: u64,
    /// How often it was seen.
    pub events: u64,
    /// What made it stand out.
    pub reasons: Option<Vec<String>>,
    /// Why it was labelled benign.
    pub reason: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// The days that have accounts, in order.
    pub days: Vec<String>,
    /// The accounts of all stages.
    pub runs: Vec<Run>,
    /// The detectors that the table of anomalies has columns of, with those columns.
    pub detectors: Vec<(&'static str, &'static str)>,
    /// What no earlier day of the report has, by [`Subject::growth`].
    pub new: Vec<Vec<Daily>>,
    /// Share of all hashes that is counted, where [`Subject::growth`] says so.
    pub counted_share: f64,
    /// Rows that could not be read, by reason.
    pub quarantine: Vec<Counted>,
    /// Of the latest day; `None` without anomalies.
    pub distributions: Option<Distributions>,
    /// By the detectors that chose a line, joined by `+`: anomalies, and what became benign.
    pub chosen: Vec<Counted>,
    /// As above.
    pub chosen_benign: Vec<Counted>,
    /// Features among the reasons of anomalies.
    pub features: Vec<Counted>,
    /// What became of candidates, by day: `kept`, `template`, `cosine`, `history`, `budget`, `known`.
    pub dedup: Vec<Daily>,
    /// Kept lines by how many lines they cover.
    pub cluster_sizes: Vec<(u64, u64)>,
    /// Those that cover most.
    pub clusters: Vec<Cluster>,
    /// Labels by day and verdict.
    pub verdicts: Vec<Daily>,
    /// Lines by who labelled them.
    pub labellers: Vec<Counted>,
    /// Lines without a verdict, by why.
    pub unlabelled: Vec<Counted>,
    /// All that was measured.
    pub drift: Vec<Drift>,
    /// Some benign lines.
    pub emitted: Vec<Emitted>,
    /// Of requests to APIs.
    pub requests: Requests,
}

/// The first and the last day; `None`: the warehouse's own.
pub type Between = (Option<NaiveDate>, Option<NaiveDate>);

/// Queries over a session in which the warehouse's tables are registered.
pub struct Reader<'a> {
    engine: &'a Engine,
    ctx: &'a SessionContext,
    days: Option<Between>,
    subject: &'static Subject,
}

impl<'a> Reader<'a> {
    /// Of the days from one to another, both among them; `None`: all.
    #[must_use]
    pub const fn new(
        engine: &'a Engine,
        ctx: &'a SessionContext,
        days: Option<Between>,
        subject: &'static Subject,
    ) -> Self {
        Self {
            engine,
            ctx,
            days,
            subject,
        }
    }

    pub(super) async fn rows<T: for<'de> Deserialize<'de>>(
        &self,
        sql: &str,
    ) -> Result<Vec<T>, JobError> {
        let frame = self.ctx.sql(sql).await?;
        typed(&self.engine.collect(frame).await?)
    }

    /// Whether there is such a column of such a table: tables gain some from version to version.
    pub(super) async fn has(&self, table: &str, column: &str) -> Result<bool, JobError> {
        if !self.ctx.table_exist(table)? {
            return Ok(false);
        }
        let schema = self.ctx.table_provider(table).await?.schema();
        Ok(schema.field_with_name(column).is_ok())
    }

    /// The condition that a row is of the report's days.
    pub(super) fn within(&self) -> String {
        let (from, to) = self.days.unwrap_or_default();
        let from = from.map(|day| format!("day >= DATE '{day}'"));
        let to = to.map(|day| format!("day <= DATE '{day}'"));
        let both: Vec<String> = from.into_iter().chain(to).collect();
        if both.is_empty() {
            "TRUE".to_owned()
        } else {
            both.join(" AND ")
        }
    }

    /// Counts by day and name: `name` is an expression.
    async fn daily(&self, table: &str, name: &str, of: &str) -> Result<Vec<Daily>, JobError> {
        let sql = format!(
            "SELECT CAST(day AS VARCHAR) AS date, {name} AS name, count(*) AS n FROM {table} WHERE {} AND {of} GROUP BY 1, 2 ORDER BY 1, 2",
            self.within()
        );
        self.rows(&sql).await
    }

    /// Counts by name, the most frequent first.
    async fn counted(&self, from: &str, name: &str, n: &str) -> Result<Vec<Counted>, JobError> {
        let sql =
            format!("SELECT {name} AS name, {n} AS n FROM {from} GROUP BY 1 ORDER BY n DESC, name");
        self.rows(&sql).await
    }

    /// Reads everything. `sampled` benign lines are drawn by hash.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn read(&self, sampled: usize) -> Result<Data, JobError> {
        let mut data = Data::default();
        let within = self.within();
        let sql = format!(
            "SELECT CAST(day AS VARCHAR) AS date, stage, rows_in, rows_kept, rows_quarantined, rows_dropped, secs, cost_usd, counts FROM runs WHERE {within} ORDER BY date"
        );
        data.runs = self.rows(&sql).await?;
        data.days = data.runs.iter().map(|r| r.date.clone()).collect();
        data.days.dedup();
        self.novelty(&mut data).await?;
        data.quarantine = self
            .counted(
                &format!("(SELECT reason, rows FROM quarantine WHERE {within})"),
                "reason",
                "sum(rows)",
            )
            .await?;
        for (detector, column) in DETECTORS {
            if self.has("anomalies", column).await? {
                data.detectors.push((detector, column));
            }
        }
        data.distributions = self.distributions(&data.detectors).await?;
        data.chosen = self.chosen("anomalies").await?;
        // A warehouse of requests has columns of all detectors; some may have scored no day.
        let chosen = &data.chosen;
        data.detectors.retain(|(detector, _)| {
            let mut names = chosen.iter().flat_map(|c| c.name.split('+'));
            names.any(|name| name == *detector)
        });
        data.features = self.features().await?;
        let sql = format!(
            "SELECT CAST(day AS VARCHAR) AS date, CAST(trained_on AS VARCHAR) AS trained_on, kind, name, psi, psi_limit, drifted FROM drift WHERE {within} ORDER BY date, kind, name"
        );
        data.drift = self.rows(&sql).await?;
        match self.subject.kind {
            Kind::Command => self.labelled(&mut data, sampled).await?,
            Kind::Api => data.requests = requests::data::read(self, &data, sampled).await?,
        }
        Ok(data)
    }

    /// Of a table of what detectors chose: by those that did.
    async fn chosen(&self, table: &str) -> Result<Vec<Counted>, JobError> {
        let by = "array_to_string(array_sort(detectors), '+')";
        let within = self.within();
        let from = format!("(SELECT {by} AS chosen FROM {table} WHERE {within})");
        self.counted(&from, "chosen", "count(*)").await
    }

    /// What became of anomalous command lines.
    async fn labelled(&self, data: &mut Data, sampled: usize) -> Result<(), JobError> {
        let within = self.within();
        data.chosen_benign = self.chosen("benign").await?;
        self.near_duplicates(data).await?;
        data.verdicts = self.daily("labels", "verdict", "TRUE").await?;
        let labels = format!("(SELECT labeller, unlabelled, model FROM labels WHERE {within})");
        let who = "CASE WHEN model IS NULL THEN labeller ELSE concat(labeller, ' ', model) END";
        data.labellers = self.counted(&labels, who, "count(*)").await?;
        let unlabelled = format!("{labels} WHERE unlabelled IS NOT NULL AND unlabelled <> ''");
        data.unlabelled = self.counted(&unlabelled, "unlabelled", "count(*)").await?;
        // One a template, by hash: a draw, and the same one every time.
        let sql = format!(
            "SELECT CAST(day AS VARCHAR) AS date, {LINE} AS command_line, user, hosts, events, reasons, reason FROM (
                 SELECT *, row_number() OVER (PARTITION BY template ORDER BY day DESC, hash) AS place FROM benign WHERE {within}
             ) WHERE place = 1 ORDER BY hash LIMIT {sampled}"
        );
        data.emitted = self.rows(&sql).await?;
        Ok(())
    }

    /// What is new on a day.
    async fn novelty(&self, data: &mut Data) -> Result<(), JobError> {
        let unique: u64 = data
            .runs
            .iter()
            .filter(|r| r.stage == self.subject.table)
            .map(|r| r.rows_kept)
            .sum();
        let mut digits = 0;
        while unique >> (4 * digits) > MOST_HASHES {
            digits += 1;
        }
        // A hash is hexadecimal: the share of those that begin with n zeros is 1/16ⁿ.
        data.counted_share = 0.0625_f64.powi(digits);
        let border = "0".repeat(usize::try_from(digits).unwrap_or_default()) + "g";
        for growth in self.subject.growth {
            let Counts::New { key, table, share } = growth.counts else {
                data.new.push(vec![]);
                continue;
            };
            let drawn = if share {
                format!("AND {key} < '{border}'")
            } else {
                String::new()
            };
            let sql = format!(
                "SELECT CAST(first AS VARCHAR) AS date, '' AS name, count(*) AS n FROM (
                     SELECT {key}, min(day) AS first FROM {table} WHERE {} {drawn} GROUP BY {key}
                 ) GROUP BY first ORDER BY date",
                self.within()
            );
            data.new.push(self.rows(&sql).await?);
        }
        Ok(())
    }

    /// Scores of the latest day that has anomalies, of lines drawn by hash.
    async fn distributions(
        &self,
        detectors: &[(&'static str, &'static str)],
    ) -> Result<Option<Distributions>, JobError> {
        #[derive(Deserialize)]
        struct Day {
            date: Option<String>,
        }
        #[derive(Deserialize)]
        struct Lines {
            n: u64,
        }
        #[derive(Deserialize)]
        struct Border {
            border: Option<f64>,
            n: u64,
        }
        let table = self.subject.table;
        let sql = format!(
            "SELECT CAST(max(day) AS VARCHAR) AS date FROM anomalies WHERE {}",
            self.within()
        );
        let latest: Vec<Day> = self.rows(&sql).await?;
        let Some(date) = latest.into_iter().find_map(|d| d.date) else {
            return Ok(None);
        };
        let of_day = format!("day = DATE '{date}'");
        let (models, categorical) = self.models(&of_day).await?;
        let uri = |kind: &str| {
            models
                .get(kind)
                .map(|uri| format!("'{}'", uri.replace('\'', "''")))
        };
        let Some(frequencies) = uri("frequencies") else {
            return Ok(None);
        };
        // Those that have a model, and chose something.
        let mut found = vec![];
        for (detector, column) in detectors {
            let sql = format!(
                "SELECT CAST(min({column}) AS DOUBLE) AS border, count(*) AS n FROM anomalies WHERE {of_day} AND array_has(detectors, '{detector}')"
            );
            let border: Vec<Border> = self.rows(&sql).await?;
            let border = border.first().and_then(|b| Some((b.border?, b.n)));
            if let (Some(model), Some((border, quota))) = (uri(detector), border) {
                found.push((
                    *detector,
                    format!("{column}(features, {model}) AS {detector}"),
                    border,
                    quota,
                ));
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let lines: Vec<Lines> = self
            .rows(&format!("SELECT count(*) AS n FROM {table} WHERE {of_day}"))
            .await?;
        let lines = lines.first().map_or(0, |l| l.n);
        // The share of all hashes below it is that of the lines that are wanted.
        let border = (u128::from(SCORED) << 64) / u128::from(lines.max(SCORED)).max(1);
        let border = u64::try_from(border).map_or_else(|_| "g".to_owned(), |b| format!("{b:016x}"));
        let features = (self.subject.features)(categorical)
            .replace("{frequencies}", &frequencies)
            .replace("{categories}", &uri(CATEGORIES).unwrap_or_default())
            .replace("{date}", &date)
            .replace("{border}", &border);
        let calls: Vec<&str> = found.iter().map(|(_, call, ..)| call.as_str()).collect();
        let sql = format!("SELECT {} FROM ({features})", calls.join(", "));
        let sample: Vec<BTreeMap<String, f64>> = self.rows(&sql).await?;
        let scores = found
            .into_iter()
            .map(|(detector, _, border, quota)| Scores {
                detector,
                sample: sample
                    .iter()
                    .filter_map(|s| s.get(detector).copied())
                    .collect(),
                border,
                quota,
            });
        Ok(Some(Distributions {
            scores: scores.collect(),
            date,
            lines,
        }))
    }

    /// The addresses of a day's models by kind, and how categorical values were encoded.
    async fn models(
        &self,
        of_day: &str,
    ) -> Result<(BTreeMap<String, String>, Categorical), JobError> {
        #[derive(Deserialize)]
        struct Model {
            kind: String,
            uri: String,
            params: Option<String>,
        }
        let models: Vec<Model> = self
            .rows(&format!(
                "SELECT kind, uri, params FROM models WHERE {of_day}"
            ))
            .await?;
        let encoder = models.iter().find(|m| m.kind == CATEGORIES);
        let categorical = encoder.and_then(|m| Categorical::from_name(m.params.as_deref()?));
        let models = models.into_iter().map(|m| (m.kind, m.uri)).collect();
        Ok((models, categorical.unwrap_or_default()))
    }

    /// The features that made most anomalies stand out: a reason reads `detector: feature = value`.
    async fn features(&self) -> Result<Vec<Counted>, JobError> {
        let from = format!(
            "(SELECT DISTINCT day, hash, split_part(split_part(reason, ': ', 2), ' = ', 1) AS feature
              FROM (SELECT day, hash, unnest(reasons) AS reason FROM anomalies WHERE {}))",
            self.within()
        );
        let mut found = self.counted(&from, "feature", "count(*)").await?;
        found.truncate(LISTED);
        Ok(found)
    }

    /// Of candidates: what became of them, and what covers most.
    async fn near_duplicates(&self, data: &mut Data) -> Result<(), JobError> {
        #[derive(Deserialize)]
        struct Size {
            covered: u64,
            n: u64,
        }
        let within = self.within();
        let name = "CASE WHEN kept THEN 'kept' WHEN covered_how IN ('template', 'cosine') AND covered_day < day THEN 'history' ELSE coalesce(covered_how, 'other') END";
        data.dedup = self.daily("candidates", name, "TRUE").await?;
        let covers = format!(
            "(SELECT covered_by, covered_day, count(*) AS covered, count(DISTINCT day) AS days FROM candidates
              WHERE {within} AND NOT kept AND covered_by IS NOT NULL GROUP BY covered_by, covered_day)"
        );
        let sql = format!(
            "SELECT covered, count(*) AS n FROM {covers} GROUP BY covered ORDER BY covered"
        );
        let sizes: Vec<Size> = self.rows(&sql).await?;
        data.cluster_sizes = sizes.into_iter().map(|s| (s.covered, s.n)).collect();
        // Also a line of a day before the report's may be what covers.
        let sql = format!(
            "SELECT CAST(k.day AS VARCHAR) AS date, k.hash, {} AS command_line, k.user AS user, c.covered, c.days
             FROM {covers} AS c JOIN candidates AS k ON k.hash = c.covered_by AND k.day = c.covered_day
             ORDER BY c.covered DESC, k.hash LIMIT {LISTED}",
            LINE.replace("command_line", "k.command_line")
        );
        data.clusters = self.rows(&sql).await?;
        Ok(())
    }
}

/// A line, with as much of it as can be shown or redacted; what is longer is told by its length.
const LINE: &str = "CASE WHEN character_length(command_line) > 200000 THEN substr(command_line, 1, 200000) ELSE command_line END";
