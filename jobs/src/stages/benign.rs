//! Stage 8: emits what was labelled benign, or what an analyst called benign, with its lineage.

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;

use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::Source;
use crate::error::JobError;
use crate::labels::rows;
use crate::warehouse::tables::{BENIGN, CANDIDATES, LABELS, REVIEWS};

/// # Errors
/// When a task or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    candidates: &StageRecord,
    labels: &StageRecord,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let snapshot = day.warehouse.snapshot(&[REVIEWS]).await?;
    let reviews = snapshot.files(&REVIEWS);
    let mut parts = vec![candidates.digest.as_str(), &labels.digest];
    parts.extend(reviews.iter().map(|file| file.path.as_str()));
    let fingerprint = day.fingerprint("benign", &parts);
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
    let reviews = match day.warehouse.source(&REVIEWS, reviews) {
        Some(source) => source,
        None => no_reviews(day).await?,
    };
    let parts = lines.into_iter().zip(verdicts).enumerate();
    let tasks = parts.map(|(part, (candidates, labels))| {
        let sources = tables([
            ("candidates", candidates),
            ("labels", labels),
            ("reviews", reviews.clone()),
        ]);
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

/// A file without rows.
async fn no_reviews(day: &DayRun<'_>) -> Result<Source, JobError> {
    let path = format!("_staging/{}/reviews.parquet", day.run);
    let schema = REVIEWS.schema();
    let empty = RecordBatch::new_empty(Arc::clone(&schema));
    day.warehouse.put(&path, rows::parquet(&empty)?).await?;
    Ok(Source::Parquet {
        urls: vec![day.warehouse.url(&path)],
        schema,
        sorted_by: &[],
    })
}
