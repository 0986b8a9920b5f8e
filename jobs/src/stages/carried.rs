//! The files of the day before that a day's first minutes are read from. A reader of several files passes over one that is not there, and its requests would be missing from the windows without a word;
//! so they are looked for first. What is wrong with one is said together with what to do.

use chrono::NaiveDate;

use super::DayRun;
use crate::error::JobError;
use crate::warehouse::delta::DataFile;
use crate::warehouse::tables::REQUESTS;

/// # Errors
/// When a file is not there, or is not as long as it was written.
pub(super) async fn check(day: &DayRun<'_>, before: &[DataFile]) -> Result<(), JobError> {
    match day.warehouse.damaged(&REQUESTS, before).await? {
        Some((file, why)) => Err(damaged(day.day, file, &why)),
        None => Ok(()),
    }
}

/// What a task that reads such a file, the one of its number, failed by.
pub(super) fn failed(day: NaiveDate, before: &[DataFile], error: JobError) -> JobError {
    let JobError::Task { name, source } = &error else {
        return error;
    };
    let part = name.rsplit('/').next().and_then(|part| part.parse().ok());
    match part.and_then(|part: usize| before.get(part)) {
        Some(file) => damaged(day, file, &source.to_string()),
        None => error,
    }
}

fn damaged(day: NaiveDate, file: &DataFile, why: &str) -> JobError {
    JobError::Damaged {
        path: format!("{}/{}", REQUESTS.name, file.path),
        why: why.to_owned(),
        remedy: format!(
            "the first windows of {day} need the last requests of {0}: remove the file, if it is there, run {0} again, then {day}",
            file.day
        ),
    }
}
