//! `gleaner labels` of a warehouse of requests: a list to judge, verdicts back, and what they changed.

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{output, progress};
use crate::error::JobError;
use crate::labels::store::query;
use crate::labels::verdicts::{self, COLUMNS, Of, VERDICTS};
use crate::stages::sql::{Value as Literal, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{ALIKE, FEEDBACK, RUNS};

/// Judged requests that are shown of a detector.
const SHOWN: usize = 10;

/// Writes a list to judge as `out`.csv and `out`.parquet.
pub(super) async fn audit(
    warehouse: &Warehouse,
    (of, n, day): (Of, u64, Option<NaiveDate>),
    out: &str,
    (place, as_json): (&str, bool),
) -> Result<(), JobError> {
    let list = verdicts::list(warehouse, of, n, day).await?;
    if list.is_empty() {
        return Err(JobError::Usage(
            "no incidents to judge: gleaner run --kind api makes them".into(),
        ));
    }
    super::labels::write_sample(out, &COLUMNS, &list)?;
    if as_json {
        let report = json!({"rows": list.len(), "csv": format!("{out}.csv"), "parquet": format!("{out}.parquet")});
        return output::line(&report.to_string());
    }
    let what = match of {
        Of::Incidents => "incidents",
        Of::Requests => "requests",
    };
    output::line(&format!(
        "{} {what} in {out}.csv and {out}.parquet: fill in verdict ({}) and analyst, then: gleaner labels import {out}.csv --warehouse {place}",
        list.len(),
        VERDICTS.join(", "),
    ))
}

/// Takes verdicts back.
pub(super) async fn import(
    warehouse: &Warehouse,
    file: &str,
    as_json: bool,
) -> Result<(), JobError> {
    let taken = verdicts::import(warehouse, file).await?;
    if as_json {
        let json = serde_json::to_string(&taken).map_err(|e| JobError::Internal(e.to_string()))?;
        return output::line(&json);
    }
    if taken.requests == 0 {
        return output::line(&format!(
            "nothing new: {} requests have these verdicts already, {} rows without a verdict left out",
            taken.unchanged, taken.skipped
        ));
    }
    output::line(&format!(
        "{} verdicts on {} requests imported as version {}; {} requests had theirs already, {} rows without a verdict left out",
        taken.verdicts, taken.requests, taken.version, taken.unchanged, taken.skipped
    ))?;
    output::line(&format!(
        "they hold for the days after {}: what was run already of those is computed anew when it is run again (`gleaner run --kind api --date …`), then: gleaner labels effect --date …",
        taken.days.join(", ")
    ))
}

#[derive(Deserialize, serde::Serialize)]
struct Alike {
    verdict: String,
    outcome: String,
    requests: u64,
    actors: u64,
    #[serde(default)]
    judged: u64,
}

#[derive(Deserialize, serde::Serialize)]
struct Ranked {
    detector: String,
    judged: String,
    judged_day: String,
    verdict: String,
    score_without: f32,
    score_with: f32,
    rank_without: u64,
    rank_with: u64,
    sample_rows: u64,
    alert_without: bool,
    alert_with: bool,
}

#[derive(Deserialize)]
struct Counts {
    stage: String,
    counts: String,
}

/// What verdicts changed of a day.
pub(super) async fn effect(
    warehouse: &Warehouse,
    date: NaiveDate,
    as_json: bool,
) -> Result<(), JobError> {
    let day = [("day", Literal::Date(date))];
    let alike: Vec<Alike> = query(
        warehouse,
        &[("alike", ALIKE)],
        fill(
            "SELECT verdict, outcome, count(*) AS requests, count(DISTINCT actor) AS actors, count(DISTINCT judged) AS judged FROM alike \
             WHERE day = {day} GROUP BY verdict, outcome ORDER BY verdict, outcome",
            &day,
        ),
    )
    .await?;
    let ranked: Vec<Ranked> = query(
        warehouse,
        &[("feedback", FEEDBACK)],
        fill(
            "SELECT * EXCEPT (day, judged_day), CAST(judged_day AS VARCHAR) AS judged_day FROM feedback WHERE day = {day} \
             ORDER BY detector, verdict, rank_without, judged",
            &day,
        ),
    )
    .await?;
    let runs: Vec<Counts> = query(
        warehouse,
        &[("runs", RUNS)],
        fill(
            "SELECT stage, counts FROM runs WHERE day = {day} AND stage IN ('models', 'anomalies') ORDER BY stage",
            &day,
        ),
    )
    .await?;
    if runs.is_empty() {
        return Err(JobError::Usage(format!(
            "{date} has not been run: gleaner run --kind api --date {date} …"
        )));
    }
    let counts = |stage: &str| -> Value {
        let of = runs.iter().find(|r| r.stage == stage);
        of.and_then(|r| serde_json::from_str(&r.counts).ok())
            .unwrap_or_default()
    };
    let (models, anomalies) = (counts("models"), counts("anomalies"));
    if as_json {
        let report = json!({"date": date.to_string(), "alike": alike, "models": models, "anomalies": anomalies, "judged": ranked});
        return output::line(&report.to_string());
    }
    let n = |of: &Value, name: &str| of[name].as_u64().unwrap_or(0);
    let judged = ["judged_true_positive", "judged_false_positive"].map(|name| n(&models, name));
    if judged == [0, 0] {
        return output::line(&format!(
            "{date}: no verdict on a request of an earlier day counts for it"
        ));
    }
    output::line(&format!(
        "{date} was fitted with {} true and {} false positives of earlier days ({} of requests that are no longer there)",
        judged[0],
        judged[1],
        n(&models, "judged_missing")
    ))?;
    for a in &alike {
        let what = match a.outcome.as_str() {
            "held_back" => "held back",
            "busier" => "not held back, since their actors do more than was judged; marked",
            "marked" => "left out of the fit; anomalies among them marked",
            _ => "too common to tell an attack by; nothing done",
        };
        output::line(&format!(
            "{:>12} requests of {} actors say the same as {} {}: {what}",
            progress::thousands(a.requests),
            a.actors,
            a.judged,
            a.verdict.replace('_', " ")
        ))?;
    }
    output::line(&format!(
        "{:>12} of those held back would have been anomalies",
        progress::thousands(n(&anomalies, "held_back"))
    ))?;
    show_detectors(&models, &ranked)
}

fn show_detectors(models: &Value, ranked: &[Ranked]) -> Result<(), JobError> {
    let n = |name: String| models[&name].as_u64().unwrap_or(0);
    let detectors: std::collections::BTreeSet<&str> =
        ranked.iter().map(|r| r.detector.as_str()).collect();
    for detector in detectors {
        let rows: Vec<&Ranked> = ranked.iter().filter(|r| r.detector == detector).collect();
        let sampled = rows.first().map_or(0, |r| r.sample_rows);
        output::line(&format!(
            "\n{detector}, fitted on the sample of {} requests without verdicts and with them: {} anomalies entered, {} left; of what was judged harmless {} would come \
             back without the refit, {} with it",
            progress::thousands(sampled),
            n(format!("{detector}_entered")),
            n(format!("{detector}_left")),
            n(format!("{detector}_false_positives_without")),
            n(format!("{detector}_false_positives_with")),
        ))?;
        for verdict in ["true_positive", "false_positive"] {
            let of: Vec<&&Ranked> = rows.iter().filter(|r| r.verdict == verdict).collect();
            let alerts = |alert: fn(&Ranked) -> bool| of.iter().filter(|r| alert(r)).count();
            if of.is_empty() {
                continue;
            }
            output::line(&format!(
                "  {} judged {}: {} would be anomalies without verdicts, {} with them",
                of.len(),
                verdict.replace('_', " "),
                alerts(|r| r.alert_without),
                alerts(|r| r.alert_with),
            ))?;
            for r in of.iter().take(SHOWN) {
                output::line(&format!(
                    "    {} of {}: rank {} → {}, score {:.4} → {:.4}",
                    r.judged.get(..12).unwrap_or(&r.judged),
                    r.judged_day,
                    progress::thousands(r.rank_without),
                    progress::thousands(r.rank_with),
                    r.score_without,
                    r.score_with
                ))?;
            }
            if of.len() > SHOWN {
                let more = of.len() - SHOWN;
                output::line(&format!("    and {more} more in table feedback"))?;
            }
        }
    }
    Ok(())
}
