//! Samples of labels for analysts, and the verdicts that come back.
//!
//! A sample is stratified by verdict: three quarters of it from what was labelled benign, for that is what is emitted, the rest from the other verdicts.
//! Within a stratum the lines with the smallest hash of line and seed are taken, a simple random sample that a later call repeats. So the precision
//! of the set is a binomial share, with its exact interval; the other strata tell how much malice there is at all.
//!
//! Verdicts go to the table `reviews` under a version that grows with each import. Of a line's verdicts the latest holds, over any label.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use gleaner_udfs::metrics::clopper_pearson;
use serde::{Deserialize, Serialize};

use super::prompt::VERDICTS;
use super::rows;
use super::store::{append, query};
use crate::error::JobError;
use crate::stages::sql::{Value, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{LABELS, REVIEWS};

/// Columns of a sample. The analyst fills in the last three.
pub const COLUMNS: [&str; 12] = [
    "day",
    "hash",
    "stratum",
    "stratum_rows",
    "label",
    "labeller",
    "reason",
    "evidence",
    "command_line",
    "verdict",
    "analyst",
    "comment",
];

/// A labelled line drawn for review.
#[derive(Debug, Clone, Deserialize)]
pub struct Drawn {
    /// The latest day that labelled it.
    pub day: String,
    /// Of its content.
    pub hash: String,
    /// What it was labelled: the part of the sample that it stands for.
    pub stratum: String,
    /// Lines of that part.
    pub stratum_rows: u64,
    /// Who labelled it.
    pub labeller: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The part of it that shows why.
    #[serde(default)]
    pub evidence: String,
    /// The line, as it ran.
    pub command_line: String,
    place: u64,
}

/// Draws `n` lines; returns them as rows of [`COLUMNS`], inert for spreadsheets and terminals.
///
/// # Errors
/// When the labels cannot be read.
pub async fn sample(
    warehouse: &Warehouse,
    n: u64,
    seed: u64,
    day: Option<NaiveDate>,
) -> Result<Vec<Vec<String>>, JobError> {
    let drawn = draw(warehouse, n, seed, day).await?;
    let row = |line: &Drawn| {
        vec![
            line.day.clone(),
            line.hash.clone(),
            line.stratum.clone(),
            line.stratum_rows.to_string(),
            line.stratum.clone(),
            line.labeller.clone(),
            rows::inert(&line.reason),
            rows::inert(&line.evidence),
            rows::inert(&line.command_line),
            String::new(),
            String::new(),
            String::new(),
        ]
    };
    Ok(drawn.iter().map(row).collect())
}

/// Draws `n` lines, as they ran, by stratum and the order of the draw.
///
/// # Errors
/// When the labels cannot be read.
pub async fn draw(
    warehouse: &Warehouse,
    n: u64,
    seed: u64,
    day: Option<NaiveDate>,
) -> Result<Vec<Drawn>, JobError> {
    let sql = fill(
        "WITH latest AS (
             SELECT *, row_number() OVER (PARTITION BY hash ORDER BY day DESC) AS latest FROM labels WHERE {every} OR day = {day}
         )
         SELECT * FROM (
             SELECT CAST(day AS VARCHAR) AS day, hash, verdict AS stratum, labeller, reason, evidence, command_line,
                    count(*) OVER (PARTITION BY verdict) AS stratum_rows,
                    row_number() OVER (PARTITION BY verdict ORDER BY cmd_hash(concat(hash, {seed}))) AS place
             FROM latest WHERE latest = 1
         ) WHERE place <= {n} ORDER BY stratum, place",
        &[
            ("every", Value::Bool(day.is_none())),
            ("day", Value::Date(day.unwrap_or_default())),
            ("seed", Value::Text(seed.to_string())),
            ("n", Value::Int(n)),
        ],
    );
    let mut drawn: Vec<Drawn> = query(warehouse, &[("labels", LABELS)], sql).await?;
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &drawn {
        *sizes.entry(&line.stratum).or_default() += 1;
    }
    let wanted = allotted(n, &sizes);
    let wanted: BTreeMap<String, u64> = wanted
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .collect();
    drawn.retain(|line| line.place <= wanted.get(&line.stratum).copied().unwrap_or(0));
    Ok(drawn)
}

/// How many of each stratum: three quarters from benign, the rest alike from the others; what one cannot fill goes to those that can.
fn allotted<'s>(n: u64, sizes: &BTreeMap<&'s str, u64>) -> BTreeMap<&'s str, u64> {
    let mut given: BTreeMap<&str, u64> = BTreeMap::new();
    if let Some((name, size)) = sizes.get_key_value("benign") {
        let others = sizes.len() > 1;
        let share = if others { (n * 3).div_ceil(4) } else { n };
        given.insert(name, share.min(*size));
    }
    let mut left = n - given.values().sum::<u64>();
    while left > 0 {
        // Those with the fewest so far first; benign only when the others are exhausted.
        let room = |name: &&&str| given.get(**name).copied().unwrap_or(0) < sizes[**name];
        let poorest = sizes
            .keys()
            .filter(room)
            .min_by_key(|name| (**name == "benign", given.get(**name).copied().unwrap_or(0)))
            .copied();
        let Some(name) = poorest else { break };
        *given.entry(name).or_default() += 1;
        left -= 1;
    }
    given
}

/// An analyst's verdict: a row of `reviews`.
#[derive(Debug, Clone, Serialize)]
struct Review {
    day: String,
    hash: String,
    version: u64,
    verdict: String,
    analyst: String,
    comment: Option<String>,
    stratum: Option<String>,
    label: String,
    labeller: String,
    model: Option<String>,
    prompt: Option<String>,
    imported_at: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Labelled {
    day: String,
    hash: String,
    verdict: String,
    labeller: String,
    model: Option<String>,
    prompt: Option<String>,
}

/// What an import did, and what the reviews say of the set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imported {
    /// Its version; verdicts of higher versions hold.
    pub version: u64,
    /// Verdicts taken.
    pub imported: u64,
    /// Rows without a verdict, left out.
    pub skipped: u64,
    /// Days of which a line's label is overridden: run them again to emit anew.
    pub days: Vec<String>,
    /// What all reviews so far say.
    #[serde(flatten)]
    pub precision: Precision,
}

/// The precision of what is labelled benign, as sampled lines show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Precision {
    /// Sampled lines labelled benign that an analyst has judged.
    pub reviewed_benign: u64,
    /// Of them, not benign by the analyst.
    pub wrong: u64,
    /// Share that is right; `None` before any review.
    pub precision: Option<f64>,
    /// Limits of its exact 95% interval.
    pub precision_low: f64,
    /// As above.
    pub precision_high: f64,
}

impl Precision {
    /// From counts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn of(reviewed: u64, wrong: u64) -> Self {
        let right = reviewed - wrong.min(reviewed);
        let interval = clopper_pearson(right, reviewed, 0.95);
        Self {
            reviewed_benign: reviewed,
            wrong,
            precision: (reviewed > 0).then(|| right as f64 / reviewed as f64),
            precision_low: interval.low,
            precision_high: interval.high,
        }
    }
}

/// A verdict as it comes in; nothing is checked yet.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Hash of the line.
    pub hash: Option<String>,
    /// One of [`VERDICTS`], in any case; none: the row is left out.
    pub verdict: Option<String>,
    /// Who says so.
    pub analyst: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// The part of a sample that the line was drawn from; none: it was picked by hand.
    pub stratum: Option<String>,
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its version; verdicts of higher versions hold.
    pub version: u64,
    /// Verdicts taken.
    pub imported: u64,
    /// Rows without a verdict, left out.
    pub skipped: u64,
    /// Days of which a line's label is overridden: run them again to emit anew.
    pub days: Vec<String>,
}

/// Takes verdicts from a CSV or Parquet file with the columns `hash`, `verdict`, `analyst`, and perhaps `comment` and `stratum`. All of it or nothing.
///
/// # Errors
/// When the file is malformed, a verdict is unknown, or a hash names no labelled line: the message names the row, never its text.
pub async fn import(warehouse: &Warehouse, path: &str) -> Result<Imported, JobError> {
    let rows = rows::read(
        path,
        &["hash", "verdict", "analyst"],
        &["comment", "stratum"],
    )
    .await?;
    let given = rows.into_iter().map(|row| {
        let mut cells = row.into_iter();
        let mut cell = || cells.next().flatten();
        Given {
            hash: cell(),
            verdict: cell(),
            analyst: cell(),
            comment: cell(),
            stratum: cell(),
        }
    });
    let taken = take(warehouse, path, given.collect()).await?;
    Ok(Imported {
        version: taken.version,
        imported: taken.imported,
        skipped: taken.skipped,
        days: taken.days,
        precision: precision(warehouse).await?,
    })
}

/// Takes verdicts, from a file or a page (`from` names it in errors). All of them or none.
///
/// # Errors
/// When a verdict is unknown, nobody answers for it, or a hash names no labelled line: the message names the row, never its text.
pub async fn take(warehouse: &Warehouse, from: &str, given: Vec<Given>) -> Result<Taken, JobError> {
    let labelled = labelled(warehouse, &given).await?;
    let version = latest_version(warehouse).await? + 1;
    let imported_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut days: BTreeMap<NaiveDate, BTreeMap<String, Review>> = BTreeMap::new();
    let (mut imported, mut skipped) = (0, 0);
    for (n, row) in given.iter().enumerate() {
        let bad = |why: &str| {
            Err(JobError::Usage(format!(
                "{from}: row {}: {why}; nothing was imported",
                n + 1
            )))
        };
        let cell = |text: &Option<String>| {
            let text = text.as_deref().map(str::trim);
            text.filter(|t| !t.is_empty()).map(str::to_owned)
        };
        let Some(verdict) = cell(&row.verdict).map(|v| v.to_lowercase()) else {
            skipped += 1;
            continue;
        };
        if !VERDICTS.contains(&verdict.as_str()) {
            return bad(&format!(
                "column verdict: expected one of {}, or nothing",
                VERDICTS.join(", ")
            ));
        }
        let Some(analyst) = cell(&row.analyst) else {
            return bad("column analyst: somebody must answer for the verdict");
        };
        let Some(line) = cell(&row.hash).and_then(|hash| labelled.get(&hash)) else {
            return bad("column hash: no line of the labels table has this hash");
        };
        let Ok(day) = line.day.parse::<NaiveDate>() else {
            return Err(JobError::Internal("a label without a day".into()));
        };
        let review = Review {
            day: line.day.clone(),
            hash: line.hash.clone(),
            version,
            verdict,
            analyst,
            comment: cell(&row.comment),
            stratum: cell(&row.stratum),
            label: line.verdict.clone(),
            labeller: line.labeller.clone(),
            model: line.model.clone(),
            prompt: line.prompt.clone(),
            imported_at: imported_at.clone(),
        };
        if days
            .entry(day)
            .or_default()
            .insert(line.hash.clone(), review)
            .is_some()
        {
            return bad("the same hash twice in one file");
        }
        imported += 1;
    }
    for (day, reviews) in &days {
        let reviews: Vec<&Review> = reviews.values().collect();
        append(warehouse, &REVIEWS, *day, &reviews).await?;
    }
    Ok(Taken {
        version,
        imported,
        skipped,
        days: days.keys().map(ToString::to_string).collect(),
    })
}

/// The labels that verdicts are about, by hash: of the latest day, where a line was labelled on several.
async fn labelled(
    warehouse: &Warehouse,
    given: &[Given],
) -> Result<BTreeMap<String, Labelled>, JobError> {
    const COLUMNS: &str =
        "SELECT CAST(day AS VARCHAR) AS day, hash, verdict, labeller, model, prompt FROM labels";
    let hashes = given.iter().filter_map(|row| row.hash.as_deref());
    let hashes: Vec<Value> = hashes.map(|h| Value::Text(h.trim().to_owned())).collect();
    // A page's verdicts come one by one: the others of a large table are not held for each.
    let sql = match &hashes[..] {
        [one] => fill(
            &format!("{COLUMNS} WHERE hash = {{hash}} ORDER BY day"),
            &[("hash", one.clone())],
        ),
        _ => format!("{COLUMNS} ORDER BY day"),
    };
    let labelled: Vec<Labelled> = query(warehouse, &[("labels", LABELS)], sql).await?;
    Ok(labelled.into_iter().map(|l| (l.hash.clone(), l)).collect())
}

async fn latest_version(warehouse: &Warehouse) -> Result<u64, JobError> {
    #[derive(Deserialize)]
    struct Latest {
        version: Option<u64>,
    }
    let sql = "SELECT max(version) AS version FROM reviews".to_owned();
    let found: Vec<Latest> = query(warehouse, &[("reviews", REVIEWS)], sql).await?;
    Ok(found.first().and_then(|l| l.version).unwrap_or(0))
}

/// What the reviews of sampled lines say of the set.
///
/// # Errors
/// When the reviews cannot be read.
pub async fn precision(warehouse: &Warehouse) -> Result<Precision, JobError> {
    #[derive(Deserialize)]
    struct Counts {
        reviewed: u64,
        wrong: u64,
    }
    // What somebody picked by hand is no sample: only rows that carry their stratum count.
    let sql = "SELECT count(*) AS reviewed, count(*) FILTER (WHERE verdict <> 'benign') AS wrong FROM (
                   SELECT verdict, label, row_number() OVER (PARTITION BY hash ORDER BY version DESC) AS place
                   FROM reviews WHERE stratum IS NOT NULL
               ) WHERE place = 1 AND label = 'benign'"
        .to_owned();
    let counts: Vec<Counts> = query(warehouse, &[("reviews", REVIEWS)], sql).await?;
    Ok(counts.first().map_or_else(
        || Precision::of(0, 0),
        |c| Precision::of(c.reviewed, c.wrong),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_of_a_sample_are_benign_and_none_of_it_is_lost() {
        let sizes = BTreeMap::from([("benign", 1000), ("malicious", 5), ("uncertain", 400)]);
        let given = allotted(200, &sizes);
        assert_eq!(
            (given["benign"], given["malicious"], given["uncertain"]),
            (150, 5, 45)
        );
        let few = BTreeMap::from([("benign", 10), ("uncertain", 400)]);
        assert_eq!(allotted(200, &few).values().sum::<u64>(), 200);
        let all = BTreeMap::from([("benign", 3), ("malicious", 2)]);
        assert_eq!(allotted(200, &all).values().sum::<u64>(), 5);
    }

    #[test]
    fn no_review_says_nothing_and_no_error_in_150_bounds_it() {
        assert_eq!(Precision::of(0, 0).precision, None);
        let all = Precision::of(150, 0);
        assert!(
            all.precision == Some(1.0) && all.precision_low > 0.975 && all.precision_low < 0.976
        );
    }
}
