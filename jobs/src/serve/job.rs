//! A job: what is to be done, by whom it was asked, and what became of it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use gleaner_proto::control as proto;
use serde::{Deserialize, Serialize};

use crate::error::JobError;
use crate::options::{self, RunOptions};
use crate::stages::StageRecord;
use crate::warehouse::user_tables;

/// Remarks that are kept of a job.
pub const MAX_REMARKS: usize = 100;
/// Bytes of a job's statements.
const MAX_STATEMENTS: usize = 1 << 20;
const MAX_NAME: usize = 200;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A day, from telemetry to the benign set.
    Day {
        /// The UTC day.
        day: NaiveDate,
        /// Options that differ from the server's: see [`options::changed`].
        options: BTreeMap<String, String>,
    },
    /// A file of statements.
    Sql {
        /// For people: the file's name.
        name: String,
        /// The statements.
        statements: String,
        /// Values of `$name`.
        parameters: BTreeMap<String, String>,
        /// The user's table that the result goes to; `None`: it is kept with the job.
        into: Option<String>,
    },
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Runs.
    Running,
    /// Failed, and will be tried again.
    Waiting,
    /// Done.
    Succeeded,
    /// Will not be tried again.
    Failed,
    /// Ended by a person.
    Cancelled,
    /// The day has no events, or none yet.
    Skipped,
}

impl State {
    /// Whether nothing more will happen.
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Skipped
        )
    }

    /// As it is shown, and named in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];
}

/// A step of a running stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: String,
    /// What it is at.
    pub step: String,
    /// Tasks done.
    pub tasks_done: u64,
    /// Tasks in all.
    pub tasks: u64,
}

/// A job, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Sorts by the time of submission.
    pub id: String,
    /// What is to be done.
    pub work: Work,
    /// Where it is.
    pub state: State,
    /// Who asked for it: a person, or the schedule.
    pub submitted_by: String,
    /// When.
    pub submitted_at: DateTime<Utc>,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When a failed one is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// Names what its last attempt staged.
    #[serde(default)]
    pub run: String,
    /// How often it was begun: by servers that were killed meanwhile, too.
    pub attempts: u32,
    /// How often it failed.
    pub failures: u32,
    /// Why the last attempt failed, or why the day was skipped.
    pub error: String,
    /// Accounts of the stages that are done.
    pub stages: Vec<StageRecord>,
    /// What the user should know, the last [`MAX_REMARKS`].
    pub remarks: Vec<String>,
    /// Rows of a SQL job's result.
    pub result_rows: u64,
    /// What runs now.
    #[serde(skip)]
    pub step: Option<Step>,
}

impl Job {
    /// A new one.
    #[must_use]
    pub fn new(work: Work, submitted_by: &str, now: DateTime<Utc>) -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        Self {
            id: format!("{}-{}", now.format("%Y%m%dt%H%M%S%3f"), &unique[..4]),
            work,
            state: State::Queued,
            submitted_by: submitted_by.to_owned(),
            submitted_at: now,
            started_at: None,
            ended_at: None,
            retry_at: None,
            run: String::new(),
            attempts: 0,
            failures: 0,
            error: String::new(),
            stages: vec![],
            remarks: vec![],
            result_rows: 0,
            step: None,
        }
    }

    /// The day of a day's job.
    #[must_use]
    pub fn day(&self) -> Option<NaiveDate> {
        match &self.work {
            Work::Day { day, .. } => Some(*day),
            Work::Sql { .. } => None,
        }
    }

    /// What people call it: the day, or the file's name.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.work {
            Work::Day { day, .. } => format!("day {day}"),
            Work::Sql { name, .. } => name.clone(),
        }
    }

    /// Adds a remark.
    pub fn remark(&mut self, text: &str) {
        if self.remarks.len() == MAX_REMARKS {
            self.remarks.remove(0);
        }
        self.remarks.push(text.to_owned());
    }
}

/// Whether `id` can be a job's: it becomes part of a path.
#[must_use]
pub fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() < 64
        && id
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

impl Work {
    /// # Errors
    /// When something is missing or out of range; says what was expected.
    pub fn from_proto(request: proto::SubmitRequest, base: &RunOptions) -> Result<Self, JobError> {
        let usage = |text: String| Err(JobError::Usage(text));
        match request.work {
            None => usage("a job is a day or SQL: neither was given".to_owned()),
            Some(proto::submit_request::Work::Day(work)) => {
                let Ok(day) = work.day.parse::<NaiveDate>() else {
                    return usage(format!("day {:?}: expected YYYY-MM-DD", work.day));
                };
                let options: BTreeMap<_, _> = work.options.into_iter().collect();
                options::changed(base, &options)?;
                Ok(Self::Day { day, options })
            }
            Some(proto::submit_request::Work::Sql(work)) => {
                if work.statements.len() > MAX_STATEMENTS {
                    return usage(format!(
                        "{} bytes of statements: {MAX_STATEMENTS} at most",
                        work.statements.len()
                    ));
                }
                if !work.into.is_empty() {
                    user_tables::check_name(&work.into)?;
                }
                Ok(Self::Sql {
                    name: work.name.chars().take(MAX_NAME).collect(),
                    statements: work.statements,
                    parameters: work.parameters.into_iter().collect(),
                    into: (!work.into.is_empty()).then_some(work.into),
                })
            }
        }
    }
}

fn millis(time: Option<DateTime<Utc>>) -> i64 {
    time.map_or(0, |t| t.timestamp_millis())
}

impl From<State> for proto::State {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Running => Self::Running,
            State::Waiting => Self::Waiting,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
            State::Skipped => Self::Skipped,
        }
    }
}

impl From<&Job> for proto::Job {
    fn from(job: &Job) -> Self {
        let work = match job.work.clone() {
            Work::Day { day, options } => proto::job::Work::Day(proto::DayWork {
                day: day.to_string(),
                options: options.into_iter().collect(),
            }),
            Work::Sql {
                name,
                statements,
                parameters,
                into,
            } => proto::job::Work::Sql(proto::SqlWork {
                name,
                statements,
                parameters: parameters.into_iter().collect(),
                into: into.unwrap_or_default(),
            }),
        };
        let stage = |record: &StageRecord| proto::Stage {
            stage: record.stage.clone(),
            rows_in: record.rows_in,
            rows_kept: record.rows_kept,
            rows_quarantined: record.rows_quarantined,
            rows_dropped: record.rows_dropped,
            secs: record.secs,
            bytes: record.bytes,
            digest: record.digest.clone(),
            unchanged: record.reused,
        };
        Self {
            id: job.id.clone(),
            work: Some(work),
            state: proto::State::from(job.state).into(),
            submitted_by: job.submitted_by.clone(),
            submitted_at_ms: millis(Some(job.submitted_at)),
            started_at_ms: millis(job.started_at),
            ended_at_ms: millis(job.ended_at),
            retry_at_ms: millis(job.retry_at),
            attempts: job.attempts,
            error: job.error.clone(),
            step: job.step.as_ref().map(|step| proto::Step {
                stage: step.stage.clone(),
                step: step.step.clone(),
                tasks_done: step.tasks_done,
                tasks: step.tasks,
            }),
            stages: job.stages.iter().map(stage).collect(),
            remarks: job.remarks.clone(),
            result_rows: job.result_rows,
        }
    }
}
