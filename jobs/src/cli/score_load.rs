//! `gleaner score-load`: requests at a given rate, whatever the answers take (an open loop), and how long they took. A request's time runs from
//! the moment at which it was due, so that a server that stalls is not spared by a client that waits for it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gleaner_proto::scoring as proto;
use serde_json::json;
use tokio::sync::mpsc;
use tonic::Code;

use super::jobs::ServerArgs;
use super::{output, score};
use crate::error::JobError;
use crate::secure::TlsArgs;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Messages without an answer; beyond them what is due is not sent, and counted.
const OPEN: usize = 20_000;

/// Flags of `gleaner score-load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file of requests, NDJSON in any schema; they are sent again and again, each time as of a day
    /// later: windows and alerts are then those of the telemetry, however fast it is sent.
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Requests a second.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    secs: u32,
    /// Connections.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Requests of a message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
}

enum Said {
    Scored {
        secs: f64,
        alerts: usize,
        invalid: usize,
    },
    Refused,
    Failed,
}

/// # Errors
/// When the file or the server cannot be had.
pub async fn main(args: Args) -> Result<(), JobError> {
    let requests = Arc::new(read(&args.file)?);
    let mut clients = vec![];
    for _ in 0..args.connections {
        clients.push(args.server.connect(&args.tls).await?);
    }
    let batch = usize::from(args.batch);
    let messages = (u64::from(args.rate) * u64::from(args.secs)).div_ceil(batch as u64);
    let apart = Duration::from_secs(u64::from(args.batch)) / args.rate;
    let begun = Instant::now() + Duration::from_millis(50);
    let mut dues = pace(messages, begun, apart);
    let open = Arc::new(AtomicUsize::new(0));
    let (said, mut answers) = mpsc::unbounded_channel();
    let mut unsent = 0_u64;
    while let Some((n, at)) = dues.recv().await {
        if open.load(Ordering::Relaxed) >= OPEN {
            unsent += 1;
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(n).unwrap_or_default();
        let client = clients[place % clients.len()].clone();
        let (open, said) = (Arc::clone(&open), said.clone());
        let requests = Arc::clone(&requests);
        tokio::spawn(async move {
            let of = |i: usize| {
                let n = place * batch + i;
                let mut request = requests[n % requests.len()].clone();
                let days = i64::try_from(n / requests.len()).unwrap_or_default();
                request.event_time_micros = request.event_time_micros.map(|m| m + days * DAY);
                request
            };
            let message = proto::ApiRequests {
                requests: (0..batch).map(of).collect(),
            };
            let answer = client.score_requests(message).await;
            let secs = at.elapsed().as_secs_f64();
            let _ = said.send(match answer {
                Ok(scores) => Said::Scored {
                    secs,
                    alerts: scores.iter().filter(|s| s.alert).count(),
                    invalid: scores.iter().filter(|s| !s.error.is_empty()).count(),
                },
                Err(e) if e.code() == Code::ResourceExhausted => Said::Refused,
                Err(_) => Said::Failed,
            });
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop(said);
    let (mut seconds, mut alerts, mut invalid, mut refused, mut failed) =
        (vec![], 0, 0, 0_u64, 0_u64);
    while let Some(answer) = answers.recv().await {
        match answer {
            Said::Scored {
                secs,
                alerts: a,
                invalid: i,
            } => {
                seconds.push(secs);
                alerts += a;
                invalid += i;
            }
            Said::Refused => refused += 1,
            Said::Failed => failed += 1,
        }
    }
    let took = begun.elapsed().as_secs_f64();
    seconds.sort_by(f64::total_cmp);
    let quantile = |per_mille: usize| {
        let at = (seconds.len() * per_mille / 1000).min(seconds.len().saturating_sub(1));
        seconds.get(at).map(|secs| (secs * 1e6).round() / 1e3)
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = (seconds.len() * batch) as f64 / took;
    let object = json!({
        "asked_per_second": args.rate,
        "scored_per_second": rate.round(),
        "messages": seconds.len(),
        "batch": batch,
        "connections": args.connections,
        "p50_ms": quantile(500),
        "p99_ms": quantile(990),
        "p999_ms": quantile(999),
        "max_ms": quantile(1000),
        "refused": refused,
        "failed": failed,
        "unsent": unsent,
        "alerts": alerts,
        "invalid": invalid,
    });
    output::line(&object.to_string())
}

/// Tells when messages are due, by number, from `begun` on and so far `apart`.
fn pace(messages: u64, begun: Instant, apart: Duration) -> mpsc::UnboundedReceiver<(u64, Instant)> {
    let (due, dues) = mpsc::unbounded_channel();
    // A thread of its own: tokio's clock counts whole milliseconds.
    std::thread::spawn(move || {
        for n in 0..messages {
            let at = begun + apart * u32::try_from(n).unwrap_or(u32::MAX);
            if let Some(wait) = at.checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            if due.send((n, at)).is_err() {
                return;
            }
        }
    });
    dues
}

fn read(path: &std::path::Path) -> Result<Vec<proto::ApiRequest>, JobError> {
    let file = std::fs::File::open(path).map_err(|e| JobError::io(path, e))?;
    let mut requests = vec![];
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|e| JobError::io(path, e))?;
        if let Ok(request) = score::request(&line) {
            requests.push(request);
        }
    }
    if requests.is_empty() {
        let text = format!("{}: no line of it is a request", path.display());
        return Err(JobError::Usage(text));
    }
    Ok(requests)
}
