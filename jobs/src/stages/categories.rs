//! The encoder of categorical values, part of stage 4 where `--categorical` asks for one: learned from the day's requests, kept among the
//! models, and used with the detectors that were fitted on its columns. An earlier day's detectors come with their encoder; one of
//! another choice has other columns, so that its detectors cannot be used.

use gleaner_udfs::api::categories::sample::MAX_ROWS;
use gleaner_udfs::api::{Categorical, CategorySample, Encoder};

use super::DayRun;
use super::models::{bucket_tasks, sample_border};
use super::sql::{Value, fill};
use super::unit::Rows;
use crate::engine::binary_value;
use crate::error::JobError;

/// The encoder, among the kinds of models.
pub const CATEGORIES: &str = "categories";

/// Learns the day's encoder.
///
/// # Errors
/// When a task fails.
pub(super) async fn learn(day: &DayRun<'_>, units: &Rows<'_>) -> Result<Encoder, JobError> {
    let choice = day.options.categorical.choice();
    let mut sample = CategorySample::new();
    if choice.learns() {
        let border = sample_border(MAX_ROWS as u64, units.count());
        let sql = fill(
            include_str!("request_categories.sql"),
            &[("border", Value::Text(border))],
        );
        let tasks = bucket_tasks(day, units, CATEGORIES, &sql);
        day.fold("models", "categorical values", tasks, |batches| {
            if let Some(bytes) = binary_value(&batches, 0)? {
                let state = CategorySample::from_bytes(&bytes);
                sample.merge(&state.map_err(|e| JobError::Model(e.to_string()))?);
            }
            Ok(())
        })
        .await?;
    }
    let learned = tokio::task::spawn_blocking(move || Encoder::learn(choice, &sample));
    learned.await.map_err(|e| JobError::Model(e.to_string()))
}

/// What an earlier day's models encode by: `None` stands for no encoder.
///
/// # Errors
/// When it is damaged.
pub(super) fn choice_of(encoder: Option<&[u8]>) -> Result<Categorical, JobError> {
    encoder.map_or(Ok(Categorical::Rarity), |bytes| {
        let read = Encoder::from_bytes(bytes);
        Ok(read.map_err(|e| JobError::Model(e.to_string()))?.choice())
    })
}

/// Why an earlier day's models cannot be used with the day's choice.
pub(super) fn other_choice(earlier: Categorical, wanted: Categorical) -> String {
    format!(
        "the models of the latest earlier day are of --categorical {}, and --categorical is {}, which cannot be compared",
        earlier.name(),
        wanted.name()
    )
}
