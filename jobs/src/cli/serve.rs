//! `gleaner serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use croner::Cron;
use tokio::net::TcpListener;

use super::day::DayArgs;
use super::output;
use super::run::EngineArgs;
use crate::error::JobError;
use crate::observe::ObserveArgs;
use crate::secure::{ClientAuth, Protection, Tokens, check_bind};
use crate::serve::review::Review;
use crate::serve::runner::{AfterDay, Retries};
use crate::serve::schedule::Schedule;
use crate::serve::scoring::ScoringOptions;
use crate::serve::{Limits, Server, access};
use crate::telemetry::Undated;
use crate::warehouse::user_tables::check_name;

/// Flags of `gleaner serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where jobs and queries are taken; another address than loopback wants a certificate and tokens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50060")]
    listen: SocketAddr,
    /// A file of tokens, with lines that `gleaner token new` prints: who calls must bring one. Read again when it changes.
    #[arg(long, value_name = "FILE", env = "GLEANER_TOKENS")]
    tokens: Option<PathBuf>,
    /// Listens on other addresses than loopback without a certificate or without tokens: whoever reaches the port can use it.
    #[arg(long)]
    insecure: bool,
    /// When days are due, as a cron expression in UTC: "30 3 * * *" is 03:30 every day. Without it, days are only submitted.
    #[arg(long, value_name = "CRON", value_parser = Schedule::parse_cron)]
    cron: Option<Cron>,
    /// The schedule's first day; default: the warehouse's first, or the one that is due.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "cron")]
    from: Option<NaiveDate>,
    /// The schedule's last day; default: no end.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "cron")]
    until: Option<NaiveDate>,
    /// The day that is due lies so many days before the tick.
    #[arg(long, default_value_t = 1)]
    lag_days: u32,
    /// So many days before the one that is due are looked at again, for telemetry that came late; it costs nothing when none did.
    #[arg(long, default_value_t = 2)]
    recheck_days: u32,
    /// A SQL job after every day that succeeds, with $date: TABLE=FILE, the table that its result goes to and its statements. May be
    /// given several times.
    #[arg(long, value_name = "TABLE=FILE")]
    after_day: Vec<String>,
    /// How often a failed job is tried again.
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// Seconds before a failed job is tried again; each further time twice as long, an hour at most.
    #[arg(long, default_value_t = 60)]
    retry_secs: u64,
    /// SQL jobs at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    sql_slots: u16,
    /// Seconds that a query may take.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    query_timeout: u64,
    /// Memory in MiB that a query may take.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    query_memory_mib: u64,
    /// Rows that a query may return.
    #[arg(long, default_value_t = 1_000_000)]
    query_rows: u64,
    /// Queries at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    query_slots: u16,
    /// Where analysts go through the audit sample in a browser, as `gleaner labels audit` draws it; another address than loopback wants a certificate and tokens.
    #[arg(long, value_name = "HOST:PORT")]
    review: Option<SocketAddr>,
    /// Lines of that sample.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    review_sample: u64,
    /// Another seed draws other lines.
    #[arg(long, default_value_t = 0)]
    review_seed: u64,
    /// The day whose models score what is sent to be scored; default: the latest that is published, and later ones as they come.
    #[arg(long, value_name = "YYYY-MM-DD")]
    models_day: Option<NaiveDate>,
    /// Seconds between two looks for later models to score with.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    models_check: u64,
    /// Requests or command lines that wait or are scored at a time; those beyond are refused at once.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    score_waiting: u32,
    /// Threads that score; 0: one a core.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=256))]
    score_threads: u16,
    /// Actors, and as many endpoints, whose windows are held: beyond them the longest silent go.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    score_states: u32,
    #[command(flatten)]
    day: DayArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Directory of the warehouse; made when new.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: String,
    #[command(flatten)]
    observe: ObserveArgs,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When a flag, the warehouse or the port is not as expected.
pub async fn main(args: Args) -> Result<(), JobError> {
    let tls = args.engine.tls.server(ClientAuth::Optional)?;
    let tokens = args.tokens.as_deref().map(Tokens::open).transpose()?;
    let protection = Protection::People {
        tls: tls.is_some(),
        tokens: tokens.is_some(),
    };
    check_bind("--listen", args.listen, protection, args.insecure)?;
    if let Some(address) = args.review {
        check_bind("--review", address, protection, args.insecure)?;
    }
    let tokens = tokens.map(Arc::new);
    let policy = access::policy(tls.is_some(), tokens.clone());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let options = args.day.options().await?;
    let schedule = args.cron.map(|cron| Schedule {
        cron,
        from: args.from,
        until: args.until,
        lag_days: args.lag_days,
        recheck_days: args.recheck_days,
    });
    if schedule.is_some() && options.undated == Undated::AsDay {
        return Err(JobError::Usage(
            "--undated day contradicts --cron: rows without a time would belong to every day"
                .to_owned(),
        ));
    }
    let taken = |flag: &str, address: SocketAddr, e: std::io::Error| {
        JobError::Usage(format!(
            "--{flag} {address}: {e}; is another gleaner serve running?"
        ))
    };
    let review = match args.review {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            Some(Review {
                listener: bound.map_err(|e| taken("review", address, e))?,
                sample: args.review_sample,
                seed: args.review_seed,
                tls: tls.clone(),
                tokens,
                pseudonym_key: args.day.pseudonym_key(),
            })
        }
        None => None,
    };
    let reviewed = review.as_ref().map(Review::address).transpose()?;
    let after_day = args.after_day.iter().map(|text| after_day(text));
    let mib = usize::try_from(args.query_memory_mib).unwrap_or(usize::MAX);
    let server = Server {
        engine: args.engine.engine()?,
        warehouse: args.warehouse,
        options,
        schedule,
        retries: Retries {
            most: args.retries,
            pause: Duration::from_secs(args.retry_secs),
        },
        sql_slots: usize::from(args.sql_slots),
        after_day: after_day.collect::<Result<_, _>>()?,
        limits: Limits {
            time: Duration::from_secs(args.query_timeout),
            memory_bytes: mib.saturating_mul(1 << 20),
            rows: args.query_rows,
            slots: usize::from(args.query_slots),
        },
        scoring: ScoringOptions {
            models_day: args.models_day,
            every: Duration::from_secs(args.models_check),
            waiting: usize::try_from(args.score_waiting).unwrap_or(usize::MAX),
            threads: usize::from(args.score_threads),
            states: usize::try_from(args.score_states).unwrap_or(usize::MAX),
        },
        tls,
        policy,
        review,
        metrics: args.observe.metrics,
    };
    let of_port = |e| taken("listen", args.listen, e);
    let listener = TcpListener::bind(args.listen).await.map_err(of_port)?;
    let address = listener.local_addr().map_err(of_port)?;
    let ready = || {
        if let Some(reviewed) = reviewed {
            output::note(&format!(
                "gleaner serve: review the audit sample at {scheme}://{reviewed}/"
            ));
        }
        output::note(&format!(
            "gleaner serve: listening on {scheme}://{address}; Ctrl-C ends it"
        ));
    };
    server.serve(listener, ready, stop()).await
}

fn after_day(text: &str) -> Result<AfterDay, JobError> {
    let Some((into, path)) = text.split_once('=') else {
        return Err(JobError::Usage(format!(
            "--after-day {text:?}: expected TABLE=FILE"
        )));
    };
    check_name(into)?;
    let path = Path::new(path);
    let statements = std::fs::read_to_string(path).map_err(|e| JobError::io(path, e))?;
    let name = path.file_name().unwrap_or_default();
    Ok(AfterDay {
        into: into.to_owned(),
        name: name.to_string_lossy().into_owned(),
        statements,
    })
}

/// Ctrl-C, or what a service manager sends.
async fn stop() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
