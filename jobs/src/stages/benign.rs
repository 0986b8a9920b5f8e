//! Stage 8: emits what was labelled benign, with its lineage.

use std::time::Instant;

use super::{DayRun, StageRecord, rows_of, tables};
use crate::error::JobError;
use crate::warehouse::tables::{BENIGN, CANDIDATES, LABELS};

/// # Errors
/// When a task or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    candidates: &StageRecord,
    labels: &StageRecord,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let fingerprint = day.fingerprint("benign", &[&candidates.digest, &labels.digest]);
    if let Some(record) = day.up_to_date("benign", &fingerprint).await? {
        return Ok(record);
    }
    // Labels were written part by part from the candidates, so that the two tables' parts match.
    let lines = day.buckets(&CANDIDATES, candidates);
    let verdicts = day.buckets(&LABELS, labels);
    if lines.len() != verdicts.len() {
        let what = format!(
            "{} parts of candidates, {} of labels",
            lines.len(),
            verdicts.len()
        );
        return Err(JobError::Unbalanced {
            stage: "benign",
            what,
        });
    }
    let parts = lines.into_iter().zip(verdicts).enumerate();
    let tasks = parts.map(|(part, (candidates, labels))| {
        let sources = tables([("candidates", candidates), ("labels", labels)]);
        day.table_task(
            &BENIGN,
            part,
            &fingerprint,
            include_str!("benign.sql").to_owned(),
            sources,
        )
    });
    let written = day
        .run_writes("benign", "emitting", tasks.collect())
        .await?;
    let kept = rows_of(&written);
    let record = StageRecord {
        rows_in: labels.rows_kept,
        rows_kept: kept,
        rows_dropped: labels.rows_kept.saturating_sub(kept),
        fingerprint,
        ..StageRecord::default()
    };
    day.finish("benign", &[(BENIGN, &written)], started, record)
        .await
}
