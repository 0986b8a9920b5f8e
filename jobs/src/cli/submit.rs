//! `gleaner submit`: a job for a running server.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use chrono::NaiveDate;
use gleaner_proto::control as proto;
use gleaner_proto::control::submit_request::Work;

use super::jobs::{ServerArgs, follow, state};
use super::output;
use crate::error::JobError;
use crate::secure::TlsArgs;

/// Flags of `gleaner submit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file of SQL statements: views, and a query at the end; - for standard input.
    #[arg(
        value_name = "FILE",
        required_unless_present = "date",
        conflicts_with = "date"
    )]
    file: Option<PathBuf>,
    /// A value for what stands as $NAME in the file. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "file")]
    set: Vec<(String, String)>,
    /// A table of your own in the warehouse that the result goes to. What the same values gave before is replaced. Without it the
    /// result is shown.
    #[arg(long, value_name = "TABLE", requires = "file")]
    into: Option<String>,
    /// Instead of a file: a UTC day to run.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<NaiveDate>,
    /// The last day of several.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "date")]
    to: Option<NaiveDate>,
    /// An option of the day that differs from the server's, such as quota=2%. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "date")]
    option: Vec<(String, String)>,
    /// Do not wait for the end: print the job's name.
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Machine-readable: the job, or the result's rows, one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn map(pairs: &[(String, String)]) -> Result<HashMap<String, String>, JobError> {
    let mut map = HashMap::new();
    for (name, value) in pairs {
        if map.insert(name.clone(), value.clone()).is_some() {
            return Err(JobError::Usage(format!("{name} is given twice")));
        }
    }
    Ok(map)
}

/// # Errors
/// What the server says, or a job that did not succeed.
pub async fn main(args: Args) -> Result<(), JobError> {
    let works = works(&args)?;
    let client = args.server.connect(&args.tls).await?;
    let mut jobs = vec![];
    for work in works {
        jobs.push(client.submit(work).await?);
    }
    if args.detach {
        for job in &jobs {
            if args.json {
                output::line(&super::jobs::object(job).to_string())?;
            } else {
                output::line(&job.id)?;
            }
        }
        return Ok(());
    }
    let mut failed = None;
    for job in jobs {
        let shown = std::io::stderr().is_terminal();
        let ended = follow(&client, &job.id, shown).await?;
        let succeeded = state(&ended) == proto::State::Succeeded;
        if !succeeded && state(&ended) != proto::State::Skipped {
            failed = Some(ended);
        } else if succeeded && args.file.is_some() && args.into.is_none() {
            let batches = client.result(&ended.id).await?;
            if args.json {
                output::json(&batches)?;
            } else {
                output::table(&batches)?;
            }
        } else if args.json {
            output::line(&super::jobs::object(&ended).to_string())?;
        } else if args.file.is_none() {
            output::line(&super::jobs::row(&ended))?;
        } else if let Some(table) = &args.into {
            output::line(&format!(
                "{} rows in table {table}: gleaner sql --server {} \"SELECT * FROM {table} LIMIT 20\"",
                ended.result_rows,
                args.server.url()
            ))?;
        }
    }
    let _ = std::io::stdout().flush();
    match failed {
        None => Ok(()),
        Some(job) => Err(JobError::Usage(format!(
            "job {} {}: {}",
            job.id,
            super::jobs::name(&job),
            job.error
        ))),
    }
}

fn works(args: &Args) -> Result<Vec<Work>, JobError> {
    if let Some(path) = &args.file {
        let statements = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        let name = path.file_name().unwrap_or_default();
        return Ok(vec![Work::Sql(proto::SqlWork {
            name: name.to_string_lossy().into_owned(),
            statements: statements.map_err(|e| JobError::io(path, e))?,
            parameters: map(&args.set)?,
            into: args.into.clone().unwrap_or_default(),
        })]);
    }
    let first = args.date.unwrap_or_default();
    let last = args.to.unwrap_or(first);
    if last < first {
        return Err(JobError::Usage(format!(
            "--to {last} is before --date {first}"
        )));
    }
    let options = map(&args.option)?;
    let day = |day: NaiveDate| {
        Work::Day(proto::DayWork {
            day: day.to_string(),
            options: options.clone(),
        })
    };
    Ok(first
        .iter_days()
        .take_while(|d| *d <= last)
        .map(day)
        .collect())
}
