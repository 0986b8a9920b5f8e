//! `gleaner score`: a client of the scoring service, from a shell.

use std::io::BufRead as _;

use gleaner_proto::scoring as proto;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::jobs::ServerArgs;
use super::output;
use crate::error::JobError;
use crate::secure::TlsArgs;
use crate::serve::client::Client;
use crate::telemetry::{Kind, single};

/// Lines that are read ahead.
const AHEAD: usize = 4096;

/// Flags of `gleaner score`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Items of a message, at most; fewer are sent where no more are at hand.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Print alerts alone.
    #[arg(long)]
    alerts: bool,
    /// Instead of scoring: which models score, and since when.
    #[arg(long)]
    models: bool,
}

/// A line of standard input, and its number from 1.
type Line = (u64, std::io::Result<String>);

/// # Errors
/// When the server cannot be reached or has no models, or standard input or output fails.
pub async fn main(args: Args) -> Result<(), JobError> {
    let client = args.server.connect(&args.tls).await?;
    let models = client.models().await?;
    if args.models {
        return output::line(&shown(&models).to_string());
    }
    let (sender, mut lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || read(&sender));
    let commands = models.kind == Kind::Command.to_string();
    let mut stream = if commands {
        None
    } else {
        Some(Stream::open(&client).await?)
    };
    let mut batch: Vec<Line> = vec![];
    while lines.recv_many(&mut batch, usize::from(args.batch)).await > 0 {
        let mut answers: Vec<(u64, Option<String>)> = vec![];
        let mut items = Items::default();
        for (number, line) in batch.drain(..) {
            let line = line.map_err(|source| JobError::Io {
                path: "standard input".to_owned(),
                source,
            })?;
            if line.trim().is_empty() {
                continue;
            }
            answers.push((number, items.push(commands, &line).err()));
        }
        let scores = match &mut stream {
            _ if items.is_empty() => vec![],
            Some(stream) => stream.scores(&client, items.requests).await?,
            None => {
                let commands = items.commands;
                let message = proto::CommandLines { commands };
                client.score_commands(&message).await?
            }
        };
        let mut scores = scores.into_iter();
        for (number, error) in answers {
            let object = match error {
                Some(error) => json!({ "line": number, "error": error }),
                None => match scores.next() {
                    Some(score) if args.alerts && !score.alert && score.error.is_empty() => {
                        continue;
                    }
                    Some(score) => object(number, &score),
                    None => {
                        let text = "the server answered fewer items than it was sent";
                        return Err(JobError::Internal(text.to_owned()));
                    }
                },
            };
            output::line(&object.to_string())?;
        }
    }
    Ok(())
}

fn read(sender: &mpsc::Sender<Line>) {
    for (line, number) in std::io::stdin().lock().lines().zip(1..) {
        let failed = line.is_err();
        if sender.blocking_send((number, line)).is_err() || failed {
            return;
        }
    }
}

#[derive(Default)]
struct Items {
    requests: Vec<proto::ApiRequest>,
    commands: Vec<proto::CommandLine>,
}

impl Items {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.commands.is_empty()
    }

    fn push(&mut self, commands: bool, line: &str) -> Result<(), String> {
        if commands {
            let command = single::command_of_json(line)?;
            let [
                image,
                parent_image,
                original_file_name,
                user_sid,
                integrity_level,
            ] = command.texts;
            let [signed, signer_trusted] = command.signed;
            self.commands.push(proto::CommandLine {
                id: String::new(),
                command_line: command.command_line,
                image,
                parent_image,
                original_file_name,
                user_sid,
                integrity_level,
                signed,
                signer_trusted,
            });
        } else {
            self.requests.push(request(line)?);
        }
        Ok(())
    }
}

/// A request of a line of NDJSON, in any schema of requests.
///
/// # Errors
/// Why it is none.
pub fn request(line: &str) -> Result<proto::ApiRequest, String> {
    let request = single::request_of_json(line)?;
    let [
        user,
        session,
        client_ip,
        method,
        host,
        path,
        query,
        error_code,
        user_agent,
        referer,
        body,
        headers,
    ] = request.texts;
    Ok(proto::ApiRequest {
        id: String::new(),
        event_time_micros: request.micros,
        user,
        session,
        client_ip,
        method,
        host,
        path: path.unwrap_or_default(),
        query,
        status: request.status,
        error_code,
        request_bytes: request.request_bytes,
        response_bytes: request.response_bytes,
        latency_ms: request.latency_ms.map(f64::from),
        user_agent,
        referer,
        body,
        headers,
    })
}

/// A stream of scores: one message at a time.
struct Stream {
    messages: mpsc::Sender<proto::ApiRequests>,
    scores: tonic::Streaming<proto::Scores>,
}

impl Stream {
    async fn open(client: &Client) -> Result<Self, JobError> {
        let (messages, sent) = mpsc::channel(1);
        let scores = client.score_stream(ReceiverStream::new(sent)).await?;
        Ok(Self { messages, scores })
    }

    async fn scores(
        &mut self,
        client: &Client,
        requests: Vec<proto::ApiRequest>,
    ) -> Result<Vec<proto::Score>, JobError> {
        // Where the stream has ended, its answer says why.
        let _ = self.messages.send(proto::ApiRequests { requests }).await;
        let answer = client.next_scores(&mut self.scores).await?;
        let ended = || JobError::Usage("the server has ended the stream".to_owned());
        Ok(answer.ok_or_else(ended)?.scores)
    }
}

fn object(number: u64, score: &proto::Score) -> Value {
    if !score.error.is_empty() {
        return json!({ "line": number, "error": score.error });
    }
    let scores: Map<String, Value> = score
        .scores
        .iter()
        .map(|of| (of.detector.clone(), json!(of.score)))
        .collect();
    let alerts: Vec<&str> = score
        .scores
        .iter()
        .filter(|of| of.alert)
        .map(|of| of.detector.as_str())
        .collect();
    json!({
        "line": number,
        "template": (!score.template.is_empty()).then_some(&score.template),
        "scores": scores,
        "alert": score.alert,
        "detectors": alerts,
        "reasons": score.reasons,
        "models_day": score.models_day,
    })
}

fn shown(models: &proto::ModelsInUse) -> Value {
    let each = models.models.iter().map(|model| {
        json!({
            "kind": model.kind,
            "sha256": model.sha256,
            "trained_on": serde_json::from_str::<Value>(&model.trained_on).ok(),
            "threshold": model.threshold,
        })
    });
    json!({
        "kind": models.kind,
        "day": (!models.day.is_empty()).then_some(&models.day),
        "since": chrono::DateTime::from_timestamp_millis(models.since_ms)
            .filter(|_| models.since_ms > 0)
            .map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        "models": each.collect::<Vec<_>>(),
        "problem": (!models.problem.is_empty()).then_some(&models.problem),
    })
}
