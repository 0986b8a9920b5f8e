//! `gleaner jobs`: what a running server does and did.

use std::io::Write as _;

use chrono::DateTime;
use gleaner_proto::control as proto;
use serde_json::{Value, json};

use super::{output, progress};
use crate::error::JobError;
use crate::secure::{TlsArgs, Token};
use crate::serve::client::Client;
use crate::stages::StageRecord;

/// Where the server is.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The address of `gleaner serve`.
    #[arg(
        long,
        value_name = "URL",
        env = "GLEANER_SERVER",
        default_value = "http://127.0.0.1:50060",
        global = true
    )]
    server: String,
    /// Your token, where the server wants one; better in the environment, where other users of the machine do not see it.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "GLEANER_TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<Token>,
}

impl ServerArgs {
    /// The address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server
    }

    /// Connects, over TLS where the address is `https://`.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self, tls: &TlsArgs) -> Result<Client, JobError> {
        Client::connect(&self.server, tls, self.token.as_ref()).await
    }
}

/// Flags of `gleaner jobs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Only jobs that have not ended.
    #[arg(long)]
    open: bool,
    /// At most so many, the latest first.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// One JSON object a job.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Follow a job to its end.
    Watch(Id),
    /// End a job, on the cluster too.
    Cancel(Id),
    /// Show a job, with the accounts of its stages.
    Show(Id),
    /// The rows of a SQL job that had no table to go to.
    Result(Id),
}

#[derive(Debug, clap::Args)]
struct Id {
    /// As `gleaner jobs` lists it.
    job: String,
}

/// # Errors
/// What the server says; when a job that is watched did not succeed.
pub async fn main(args: Args) -> Result<(), JobError> {
    let client = args.server.connect(&args.tls).await?;
    match args.command {
        None => {
            let jobs = client.list(args.limit, args.open).await?;
            for job in &jobs {
                if args.json {
                    output::line(&object(job).to_string())?;
                } else {
                    output::line(&row(job))?;
                }
            }
            if jobs.is_empty() && !args.json {
                output::note("no jobs: gleaner submit --date YYYY-MM-DD, or a file of SQL");
            }
            Ok(())
        }
        Some(Command::Watch(id)) => {
            let job = follow(&client, &id.job, true).await?;
            show(&job, args.json)?;
            match state(&job) {
                proto::State::Succeeded | proto::State::Skipped => Ok(()),
                _ => Err(JobError::Usage(format!(
                    "job {} {}: {}",
                    job.id,
                    name(&job),
                    job.error
                ))),
            }
        }
        Some(Command::Cancel(id)) => {
            let job = client.cancel(&id.job).await?;
            if state(&job) == proto::State::Running {
                let job = follow(&client, &id.job, false).await?;
                return show(&job, args.json);
            }
            show(&job, args.json)
        }
        Some(Command::Show(id)) => show(&client.get(&id.job).await?, args.json),
        Some(Command::Result(id)) => {
            let batches = client.result(&id.job).await?;
            if args.json {
                output::json(&batches)
            } else {
                output::table(&batches)
            }
        }
    }
}

/// Waits for a job's end; says to standard error what happens meanwhile.
///
/// # Errors
/// What the server says.
pub async fn follow(client: &Client, id: &str, shown: bool) -> Result<proto::Job, JobError> {
    let mut watched = client.watch(id).await?;
    let mut last = None;
    let mut told = (0, 0, String::new());
    while let Some(job) = client.next(&mut watched).await? {
        if shown {
            tell(&job, &mut told);
        }
        last = Some(job);
    }
    last.ok_or_else(|| JobError::Internal(format!("the server said nothing of job {id}")))
}

/// What is new since the last time.
fn tell(job: &proto::Job, told: &mut (usize, usize, String)) {
    let mut err = std::io::stderr().lock();
    if job.stages.len() < told.0 {
        told.0 = 0;
    }
    let day = title(job);
    for stage in &job.stages[told.0..] {
        let line = progress::stage_line(day.trim_start_matches("day "), &record(stage));
        let _ = writeln!(err, "{line}");
    }
    for remark in job.remarks.get(told.1..).unwrap_or_default() {
        let _ = writeln!(err, "{day} {}", output::printable(remark));
    }
    let now = name(job);
    if now != told.2 {
        let _ = writeln!(err, "{} {day} {now}{}", job.id, why(job));
    }
    *told = (job.stages.len(), job.remarks.len(), now.to_owned());
}

fn record(stage: &proto::Stage) -> StageRecord {
    StageRecord {
        stage: stage.stage.clone(),
        rows_in: stage.rows_in,
        rows_kept: stage.rows_kept,
        rows_quarantined: stage.rows_quarantined,
        rows_dropped: stage.rows_dropped,
        secs: stage.secs,
        bytes: stage.bytes,
        digest: stage.digest.clone(),
        reused: stage.unchanged,
        ..StageRecord::default()
    }
}

fn show(job: &proto::Job, json: bool) -> Result<(), JobError> {
    if json {
        return output::line(&object(job).to_string());
    }
    output::line(&row(job))?;
    let day = title(job);
    for stage in &job.stages {
        output::line(&progress::stage_line(
            day.trim_start_matches("day "),
            &record(stage),
        ))?;
    }
    for remark in &job.remarks {
        output::line(&output::printable(remark))?;
    }
    Ok(())
}

/// Where a job is.
#[must_use]
pub fn state(job: &proto::Job) -> proto::State {
    job.state()
}

/// The state's name.
#[must_use]
pub fn name(job: &proto::Job) -> &'static str {
    match job.state() {
        proto::State::Unspecified => "unknown",
        proto::State::Queued => "queued",
        proto::State::Running => "running",
        proto::State::Waiting => "waiting",
        proto::State::Succeeded => "succeeded",
        proto::State::Failed => "failed",
        proto::State::Cancelled => "cancelled",
        proto::State::Skipped => "skipped",
    }
}

fn title(job: &proto::Job) -> String {
    match &job.work {
        Some(proto::job::Work::Day(work)) => format!("day {}", work.day),
        Some(proto::job::Work::Sql(work)) if work.into.is_empty() => work.name.clone(),
        Some(proto::job::Work::Sql(work)) => format!("{} into {}", work.name, work.into),
        None => String::new(),
    }
}

fn time(millis: i64) -> Option<String> {
    if millis == 0 {
        return None;
    }
    let time = DateTime::from_timestamp_millis(millis)?;
    Some(time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn why(job: &proto::Job) -> String {
    let error = output::printable(&job.error).replace('\n', " ");
    match job.state() {
        proto::State::Waiting => format!(
            " (again at {}): {error}",
            time(job.retry_at_ms).unwrap_or_default()
        ),
        _ if error.is_empty() => String::new(),
        _ => format!(": {error}"),
    }
}

/// One line for a person.
#[must_use]
pub fn row(job: &proto::Job) -> String {
    let at = match &job.step {
        Some(step) => format!(
            " {} {} {}/{}",
            step.stage, step.step, step.tasks_done, step.tasks
        ),
        None => String::new(),
    };
    let secs = (job.ended_at_ms - job.started_at_ms).max(0) / 100;
    let took = if job.ended_at_ms > 0 && job.started_at_ms > 0 {
        format!(" in {}.{} s", secs / 10, secs % 10)
    } else {
        String::new()
    };
    format!(
        "{} {:<9} {} by {}{took}{at}{}",
        job.id,
        name(job),
        output::printable(&title(job)),
        output::printable(&job.submitted_by),
        why(job)
    )
}

/// One object for a machine.
#[must_use]
pub fn object(job: &proto::Job) -> Value {
    let work = match &job.work {
        Some(proto::job::Work::Day(work)) => {
            json!({ "day": work.day, "options": sorted(&work.options) })
        }
        Some(proto::job::Work::Sql(work)) => json!({
            "sql": work.name,
            "parameters": sorted(&work.parameters),
            "into": (!work.into.is_empty()).then_some(&work.into),
        }),
        None => Value::Null,
    };
    let stages: Vec<Value> = job
        .stages
        .iter()
        .map(|s| {
            json!({
                "stage": s.stage, "rows_in": s.rows_in, "rows_kept": s.rows_kept, "rows_quarantined": s.rows_quarantined,
                "rows_dropped": s.rows_dropped, "secs": s.secs, "bytes": s.bytes, "digest": s.digest, "unchanged": s.unchanged,
            })
        })
        .collect();
    json!({
        "job": job.id,
        "work": work,
        "state": name(job),
        "submitted_by": job.submitted_by,
        "submitted_at": time(job.submitted_at_ms),
        "started_at": time(job.started_at_ms),
        "ended_at": time(job.ended_at_ms),
        "retry_at": time(job.retry_at_ms),
        "attempts": job.attempts,
        "error": (!job.error.is_empty()).then_some(&job.error),
        "stages": stages,
        "remarks": job.remarks,
        "result_rows": job.result_rows,
    })
}

fn sorted(values: &std::collections::HashMap<String, String>) -> Value {
    let sorted: std::collections::BTreeMap<_, _> = values.iter().collect();
    json!(sorted)
}
