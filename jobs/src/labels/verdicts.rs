//! Analysts' verdicts on anomalous requests: a list to judge, and what comes back.
//!
//! An analyst judges a whole incident (a row with `incident` alone) or one request of it (a row with its `hash`): true positive, false
//! positive, or uncertain, which takes an earlier verdict back. Verdicts go to the table `reviews` under a version that grows with each
//! import, one row a request; the latest holds. An import is one commit: all of it or nothing, and where another import
//! came between reading and writing, it begins again. What says what is held already is not written again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::rows;
use super::store::query;
use crate::error::JobError;
use crate::stages::sql::{Value, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::delta::{DataFile, file_prefix};
use crate::warehouse::tables::{INCIDENTS, REQUEST_ANOMALIES, REQUEST_REVIEWS};

/// What an analyst can say.
pub const VERDICTS: [&str; 3] = ["true_positive", "false_positive", "uncertain"];
/// Columns of a list. The analyst fills in the last three.
pub const COLUMNS: [&str; 13] = [
    "day",
    "incident",
    "hash",
    "actor",
    "first_seen",
    "requests",
    "severity",
    "detectors",
    "what",
    "held",
    "verdict",
    "analyst",
    "comment",
];
/// Imports that come between before one gives up.
const TRIES: usize = 20;
/// Bytes of a request that are shown.
const SHOWN: u64 = 600;

/// What a row of a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    /// An incident: the verdict counts for each of its requests.
    Incidents,
    /// An anomalous request.
    Requests,
}

#[derive(Deserialize)]
struct Listed {
    day: String,
    incident: Option<String>,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    actor: String,
    first_seen: String,
    requests: u64,
    severity: f64,
    #[serde(default)]
    detectors: String,
    #[serde(default)]
    what: String,
    #[serde(default)]
    held: String,
}

/// Up to `n` incidents or requests to judge, the worst first, as rows of [`COLUMNS`], inert for spreadsheets and terminals.
///
/// # Errors
/// When the tables cannot be read.
pub async fn list(
    warehouse: &Warehouse,
    of: Of,
    n: u64,
    day: Option<NaiveDate>,
) -> Result<Vec<Vec<String>>, JobError> {
    let sql = match of {
        Of::Incidents => include_str!("verdicts_incidents.sql"),
        Of::Requests => include_str!("verdicts_requests.sql"),
    };
    let sql = fill(
        sql,
        &[
            ("every", Value::Bool(day.is_none())),
            ("day", Value::Date(day.unwrap_or_default())),
            ("n", Value::Int(n)),
            ("shown", Value::Int(SHOWN)),
        ],
    );
    let tables = [("anomalies", REQUEST_ANOMALIES), ("incidents", INCIDENTS)];
    let mut listed: Vec<Listed> = query(warehouse, &tables, sql).await?;
    let said = holding(warehouse).await?;
    for row in &mut listed {
        row.held = match of {
            Of::Requests => said.get(&row.hash).map(|h| h.verdict.clone()),
            Of::Incidents => of_incident(&said, row.incident.as_deref()),
        }
        .unwrap_or_default();
    }
    let row = |l: &Listed| {
        vec![
            l.day.clone(),
            l.incident.clone().unwrap_or_default(),
            l.hash.clone(),
            rows::inert(&l.actor),
            l.first_seen.clone(),
            l.requests.to_string(),
            format!("{:.3}", l.severity),
            l.detectors.clone(),
            rows::inert(&l.what),
            l.held.clone(),
            String::new(),
            String::new(),
            String::new(),
        ]
    };
    Ok(listed.iter().map(row).collect())
}

/// What holds of an incident's requests, where it is one thing.
fn of_incident(said: &BTreeMap<String, Held>, incident: Option<&str>) -> Option<String> {
    let all = said.values().filter(|h| h.incident.as_deref() == incident);
    let verdicts: BTreeSet<&str> = all.map(|h| h.verdict.as_str()).collect();
    let mut verdicts = verdicts.into_iter();
    match (verdicts.next(), verdicts.next()) {
        (Some(one), None) => Some(one.to_owned()),
        (Some(_), Some(_)) => Some("mixed".to_owned()),
        _ => None,
    }
}

/// The verdict that holds of a request.
#[derive(Deserialize)]
struct Held {
    hash: String,
    #[serde(default)]
    incident: Option<String>,
    verdict: String,
    #[serde(default)]
    analyst: String,
    #[serde(default)]
    comment: Option<String>,
    version: u64,
}

async fn holding(warehouse: &Warehouse) -> Result<BTreeMap<String, Held>, JobError> {
    let sql = "SELECT hash, incident, verdict, analyst, comment, version FROM (
                   SELECT *, row_number() OVER (PARTITION BY hash ORDER BY version DESC, imported_at DESC) AS place FROM reviews
               ) WHERE place = 1"
        .to_owned();
    let held: Vec<Held> = query(warehouse, &[("reviews", REQUEST_REVIEWS)], sql).await?;
    Ok(held.into_iter().map(|h| (h.hash.clone(), h)).collect())
}

/// A row as it comes in; nothing is checked yet.
#[derive(Debug, Clone, Default)]
struct Given {
    incident: Option<String>,
    hash: Option<String>,
    verdict: Option<String>,
    analyst: Option<String>,
    comment: Option<String>,
}

/// A checked row.
#[derive(Debug, Clone)]
struct Checked {
    row: usize,
    incident: Option<String>,
    hash: Option<String>,
    verdict: &'static str,
    analyst: String,
    comment: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Its version; verdicts of higher versions hold. That of the import before, where nothing was new.
    pub version: u64,
    /// Rows with a verdict.
    pub verdicts: u64,
    /// Requests that they are about, and whose verdict is new or another one.
    pub requests: u64,
    /// Requests of which this very verdict held already.
    pub unchanged: u64,
    /// Rows without a verdict, left out.
    pub skipped: u64,
    /// Days of the requests. Days after them use the verdicts.
    pub days: Vec<String>,
}

/// A row of `reviews`.
#[derive(Debug, Clone, Serialize)]
struct Review {
    day: String,
    hash: String,
    incident: String,
    version: u64,
    verdict: &'static str,
    scope: &'static str,
    analyst: String,
    comment: Option<String>,
    imported_at: String,
}

/// Takes verdicts from a CSV or Parquet file with the columns `verdict`, `analyst`, `incident` or `hash`, and perhaps `comment`. All of
/// it or nothing.
///
/// # Errors
/// When the file is malformed, a verdict is unknown, or a row names no anomaly: the message names the row, never its text. When
/// others keep importing meanwhile.
pub async fn import(warehouse: &Warehouse, path: &str) -> Result<Taken, JobError> {
    let cells = rows::read(
        path,
        &["verdict", "analyst"],
        &["incident", "hash", "comment"],
    )
    .await?;
    let given = cells.into_iter().map(|row| {
        let mut cells = row.into_iter().map(|cell| {
            let text = cell.as_deref().map(str::trim);
            text.filter(|t| !t.is_empty()).map(str::to_owned)
        });
        let mut cell = || cells.next().flatten();
        let (verdict, analyst) = (cell(), cell());
        Given {
            incident: cell(),
            hash: cell(),
            verdict,
            analyst,
            comment: cell(),
        }
    });
    let given: Vec<Given> = given.collect();
    let rows = check(path, &given)?;
    let skipped = (given.len() - rows.len()) as u64;
    let anomalies = anomalies(warehouse, &rows).await?;
    let meant = meant(path, &rows, &anomalies)?;
    for _ in 0..TRIES {
        if let Some(taken) = write(warehouse, &rows, &meant, skipped).await? {
            return Ok(taken);
        }
    }
    Err(JobError::Contended {
        table: REQUEST_REVIEWS.name.to_owned(),
        tries: TRIES,
    })
}

fn bad(from: &str, row: usize, why: &str) -> JobError {
    JobError::Usage(format!("{from}: row {row}: {why}; nothing was imported"))
}

/// The rows with a verdict.
fn check(from: &str, given: &[Given]) -> Result<Vec<Checked>, JobError> {
    let mut checked = vec![];
    let mut about = BTreeSet::new();
    for (n, row) in given.iter().enumerate() {
        let n = n + 1;
        let Some(verdict) = &row.verdict else {
            continue;
        };
        let verdict = verdict.to_lowercase().replace([' ', '-'], "_");
        let Some(verdict) = VERDICTS.into_iter().find(|v| *v == verdict) else {
            let why = format!(
                "column verdict: expected one of {}, or nothing",
                VERDICTS.join(", ")
            );
            return Err(bad(from, n, &why));
        };
        let Some(analyst) = row.analyst.clone() else {
            return Err(bad(
                from,
                n,
                "column analyst: somebody must answer for the verdict",
            ));
        };
        // The request's own name counts where both are there, as in a list of requests.
        let incident = row.incident.clone().filter(|_| row.hash.is_none());
        if row.hash.is_none() && incident.is_none() {
            let why = "columns hash and incident: expected a request's hash, or an incident";
            return Err(bad(from, n, why));
        }
        if !about.insert((row.hash.clone(), incident.clone())) {
            return Err(bad(
                from,
                n,
                "the same request or incident twice in one file",
            ));
        }
        checked.push(Checked {
            row: n,
            incident,
            hash: row.hash.clone(),
            verdict,
            analyst,
            comment: row.comment.clone(),
        });
    }
    Ok(checked)
}

/// An anomalous request.
#[derive(Debug, Clone, Deserialize)]
struct Anomaly {
    day: String,
    hash: String,
    incident: String,
}

/// The anomalies that rows are about.
async fn anomalies(warehouse: &Warehouse, rows: &[Checked]) -> Result<Vec<Anomaly>, JobError> {
    let names = |of: fn(&Checked) -> Option<&String>| {
        let named = rows.iter().filter_map(of);
        let named = named.map(|name| vec![Value::Text(name.clone())]);
        // A list of values is never empty.
        let none = std::iter::once(vec![Value::Text(String::new())]);
        Value::Rows(none.chain(named).collect())
    };
    let sql = fill(
        include_str!("verdicts_named.sql"),
        &[
            ("hashes", names(|r| r.hash.as_ref())),
            ("incidents", names(|r| r.incident.as_ref())),
        ],
    );
    let tables = [("anomalies", REQUEST_ANOMALIES), ("incidents", INCIDENTS)];
    query(warehouse, &tables, sql).await
}

/// For each request the row that counts: its own before its incident's.
fn meant<'a>(
    from: &str,
    rows: &'a [Checked],
    anomalies: &'a [Anomaly],
) -> Result<BTreeMap<&'a str, (&'a Anomaly, &'a Checked)>, JobError> {
    let mut by_hash: BTreeMap<&str, &Anomaly> = BTreeMap::new();
    let mut by_incident: BTreeMap<&str, Vec<&Anomaly>> = BTreeMap::new();
    for anomaly in anomalies {
        by_hash.insert(&anomaly.hash, anomaly);
        by_incident
            .entry(&anomaly.incident)
            .or_default()
            .push(anomaly);
    }
    let mut meant = BTreeMap::new();
    for row in rows {
        let Some(incident) = &row.incident else {
            continue;
        };
        let Some(all) = by_incident.get(incident.as_str()) else {
            let why = "column incident: no incident of this warehouse has this name";
            return Err(bad(from, row.row, why));
        };
        meant.extend(all.iter().map(|a| (a.hash.as_str(), (*a, row))));
    }
    for row in rows {
        let Some(hash) = &row.hash else { continue };
        let Some(anomaly) = by_hash.get(hash.as_str()) else {
            let why = "column hash: no anomaly of this warehouse has this hash";
            return Err(bad(from, row.row, why));
        };
        meant.insert(anomaly.hash.as_str(), (*anomaly, row));
    }
    Ok(meant)
}

/// Writes what is new, in one commit; `None` where another import came between.
async fn write(
    warehouse: &Warehouse,
    rows: &[Checked],
    meant: &BTreeMap<&str, (&Anomaly, &Checked)>,
    skipped: u64,
) -> Result<Option<Taken>, JobError> {
    let seen = warehouse.snapshot(&[REQUEST_REVIEWS]).await?;
    let held = holding(warehouse).await?;
    let latest = held.values().map(|h| h.version).max().unwrap_or(0);
    let mut taken = Taken {
        version: latest,
        verdicts: rows.len() as u64,
        skipped,
        ..Taken::default()
    };
    let imported_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut days: BTreeMap<NaiveDate, Vec<Review>> = BTreeMap::new();
    for (hash, (anomaly, row)) in meant {
        let same = held.get(*hash).is_some_and(|h| {
            h.verdict == row.verdict && h.analyst == row.analyst && h.comment == row.comment
        });
        if same {
            taken.unchanged += 1;
            continue;
        }
        let Ok(day) = anomaly.day.parse::<NaiveDate>() else {
            return Err(JobError::Internal("an anomaly without a day".into()));
        };
        let scope = if row.hash.is_some() {
            "request"
        } else {
            "incident"
        };
        days.entry(day).or_default().push(Review {
            day: anomaly.day.clone(),
            hash: anomaly.hash.clone(),
            incident: anomaly.incident.clone(),
            version: latest + 1,
            verdict: row.verdict,
            scope,
            analyst: row.analyst.clone(),
            comment: row.comment.clone(),
            imported_at: imported_at.clone(),
        });
        taken.requests += 1;
    }
    if days.is_empty() {
        return Ok(Some(taken));
    }
    taken.version = latest + 1;
    taken.days = days.keys().map(ToString::to_string).collect();
    let mut files = vec![];
    for (day, reviews) in days {
        let bytes = rows::parquet(&rows::batch(&REQUEST_REVIEWS.schema(), &reviews)?)?;
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let path = format!("{}-{unique}.parquet", file_prefix(day, 0, &unique[..16]));
        let file = DataFile {
            day,
            bytes: bytes.len() as u64,
            rows: reviews.len() as u64,
            path,
        };
        let place = format!("{}/{}", REQUEST_REVIEWS.name, file.path);
        warehouse.put(&place, bytes).await?;
        files.push(file);
    }
    crate::faults::reach("reviews.before", "import");
    let seen = seen.files(&REQUEST_REVIEWS);
    if warehouse
        .append_after(&REQUEST_REVIEWS, &files, seen)
        .await?
    {
        return Ok(Some(taken));
    }
    for file in &files {
        let place = format!("{}/{}", REQUEST_REVIEWS.name, file.path);
        warehouse.remove(&place).await?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        incident: Option<&str>,
        hash: Option<&str>,
        verdict: &str,
        analyst: Option<&str>,
    ) -> Given {
        Given {
            incident: incident.map(str::to_owned),
            hash: hash.map(str::to_owned),
            verdict: (!verdict.is_empty()).then(|| verdict.to_owned()),
            analyst: analyst.map(str::to_owned),
            comment: None,
        }
    }

    #[test]
    fn a_bad_row_is_refused_with_its_place_and_a_row_without_a_verdict_is_none() {
        let good = row(Some("i"), None, "False-Positive", Some("ana"));
        for (second, why) in [
            (row(Some("j"), None, "maybe", Some("ana")), "column verdict"),
            (row(Some("j"), None, "uncertain", None), "column analyst"),
            (
                row(None, None, "uncertain", Some("ana")),
                "columns hash and incident",
            ),
            (good.clone(), "twice"),
        ] {
            let error = check("f.csv", &[good.clone(), second]).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("row 2") && error.contains(why) && error.contains("nothing was"),
                "{error}"
            );
        }
        let rows = [row(Some("j"), None, "", None), good];
        let checked = check("f.csv", &rows).unwrap();
        assert_eq!(checked.len(), 1);
        assert_eq!((checked[0].row, checked[0].verdict), (2, "false_positive"));
    }

    #[test]
    fn a_request_s_own_verdict_counts_before_its_incident_s() {
        let anomaly = |hash: &str| Anomaly {
            day: "2025-01-01".into(),
            hash: hash.into(),
            incident: "i".into(),
        };
        let anomalies = [anomaly("1"), anomaly("2")];
        let rows = [
            row(Some("i"), Some("2"), "true_positive", Some("ana")),
            row(Some("i"), None, "false_positive", Some("ana")),
        ];
        let rows = check("f.csv", &rows).unwrap();
        let meant = meant("f.csv", &rows, &anomalies).unwrap();
        assert_eq!(meant["1"].1.verdict, "false_positive");
        assert_eq!(meant["2"].1.verdict, "true_positive");
        let stray = check("f.csv", &[row(None, Some("3"), "uncertain", Some("ana"))]).unwrap();
        assert!(super::meant("f.csv", &stray, &anomalies).is_err());
    }
}
