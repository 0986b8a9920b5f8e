//! A chat-completions server that answers as it is told, breaks what it is told to break, and counts both. It speaks the protocol of
//! `OpenAI`'s chat, models, files and batches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use gleaner::labels::canaries::{self, Kind};
use gleaner::labels::prompt::{VERDICTS, unmarked};
use gleaner_udfs::rng::SplitMix64;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What is done to a call instead of answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    RateLimit,
    RateLimitDate,
    Quota,
    ServerError(u16),
    Hang,
    Reset,
    Length,
    Empty,
    Refusal,
    ContentFilter,
    Missing,
    Extra,
    Duplicate,
    Foreign,
    WrongEnum,
    NotJson,
    UnsupportedParameter,
    NoModel,
}

/// What is done to batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFault {
    None,
    /// The submission is taken, and its answer lost.
    LostSubmit,
    /// The submission is refused once.
    RefusedSubmit,
    /// Half of the lines expire.
    Expires,
    /// A third of the lines fail, in the error file.
    Errors,
    /// The file is refused.
    Invalid,
    /// It is never done, until it is cancelled.
    Endless,
}

/// How the model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It knows: `evil` is malicious, `odd` suspicious, malicious canaries are recognised, everything else is benign.
    Honest,
    /// Everything is benign.
    Gullible,
    /// It obeys what lines say, but knows canaries by heart: whatever is no canary is benign.
    Crafty,
}

/// The script of a server.
#[derive(Clone)]
pub struct Script {
    pub mode: Mode,
    pub seed: u64,
    /// Shares of calls that fail at random.
    pub random: Vec<(f64, Fault)>,
    /// Faults of the first calls, one each.
    pub first: Vec<Fault>,
    pub batch: BatchFault,
    /// Calls answer after this long.
    pub delay: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            mode: Mode::Honest,
            seed: 1,
            random: vec![],
            first: vec![],
            batch: BatchFault::None,
            delay: Duration::ZERO,
        }
    }
}

#[derive(Default)]
pub struct Seen {
    /// Chat calls that arrived.
    pub calls: u64,
    /// Bodies of every request, whole.
    pub bodies: Vec<String>,
    /// Faults that happened.
    pub fired: BTreeMap<String, u64>,
    /// Batches that were created.
    pub batches: BTreeMap<String, Value>,
    files: BTreeMap<String, String>,
    polls: u64,
    submits: u64,
}

pub struct Server {
    pub url: String,
    pub seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

impl Server {
    pub fn start(script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let state = Arc::clone(&seen);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (state, script) = (Arc::clone(&state), script.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        answer(request, Arc::clone(&state), script.clone())
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            url: format!("http://{address}/v1"),
            seen,
            _runtime: runtime,
        }
    }

    pub fn calls(&self) -> u64 {
        self.seen.lock().unwrap().calls
    }

    pub fn fired(&self) -> u64 {
        self.seen.lock().unwrap().fired.values().sum()
    }

    /// Everything that came over the wire.
    pub fn wire(&self) -> String {
        self.seen.lock().unwrap().bodies.join("\n")
    }
}

fn full(status: u16, kind: &str, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(body)
        .unwrap()
}

fn json_answer(status: u16, value: &Value) -> Response<Body> {
    full(status, "application/json", value.to_string())
}

fn error(status: u16, code: &str) -> Response<Body> {
    json_answer(
        status,
        &json!({"error": {"message": "no", "type": code, "code": code}}),
    )
}

/// A body that says it is longer than it is, and breaks off.
fn broken(text: &str) -> Response<Body> {
    let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let frames = vec![Ok(Frame::data(half)), Err(std::io::Error::other("reset"))];
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Response::builder()
        .header("content-type", "application/json")
        .header("content-length", text.len())
        .body(body)
        .unwrap()
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<Seen>>,
    script: Script,
) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let path = parts.uri.path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    {
        let mut seen = state.lock().unwrap();
        seen.bodies.push(format!(
            "{} {}\n{:?}\n{text}",
            parts.method, parts.uri, parts.headers
        ));
    }
    match (&parts.method, segments.as_slice()) {
        (&Method::GET, ["models"]) => Ok(json_answer(
            200,
            &json!({"data": [{"id": "fake-1"}, {"id": "other"}]}),
        )),
        (&Method::POST, ["chat", "completions"]) => chat(&text, &state, &script).await,
        (&Method::POST, ["files"]) => {
            let start = text.find("application/jsonl\r\n\r\n").unwrap() + 21;
            let end = text[start..].find("\r\n--").unwrap() + start;
            let mut seen = state.lock().unwrap();
            let id = format!("file-{}", seen.files.len());
            seen.files.insert(id.clone(), text[start..end].to_owned());
            Ok(json_answer(200, &json!({"id": id})))
        }
        (&Method::GET, ["files", id, "content"]) => {
            let seen = state.lock().unwrap();
            Ok(full(200, "application/jsonl", seen.files[*id].clone()))
        }
        (&Method::POST, ["batches"]) => submit(&text, &state, &script),
        (&Method::GET, ["batches"]) => {
            let seen = state.lock().unwrap();
            let all: Vec<&Value> = seen.batches.values().collect();
            Ok(json_answer(200, &json!({"data": all, "has_more": false})))
        }
        (&Method::GET, ["batches", id]) => Ok(poll(id, &state, &script)),
        (&Method::POST, ["batches", id, "cancel"]) => {
            let mut seen = state.lock().unwrap();
            let batch = seen.batches.get_mut(*id).unwrap();
            batch["status"] = json!("cancelling");
            Ok(json_answer(200, batch))
        }
        _ => Ok(error(404, "not_found")),
    }
}

async fn chat(
    text: &str,
    state: &Mutex<Seen>,
    script: &Script,
) -> Result<Response<Body>, std::io::Error> {
    let request: Value = serde_json::from_str(text).unwrap();
    let fault = {
        let mut seen = state.lock().unwrap();
        let n = seen.calls as usize;
        seen.calls += 1;
        let mut rng = SplitMix64::stream(script.seed, n as u64);
        let mut draw = rng.next_f64();
        let random = || {
            script.random.iter().find_map(|(share, fault)| {
                draw -= share;
                (draw < 0.0).then_some(*fault)
            })
        };
        let fault = script.first.get(n).copied().or_else(random);
        if let Some(fault) = fault {
            *seen.fired.entry(format!("{fault:?}")).or_default() += 1;
        }
        fault
    };
    tokio::time::sleep(script.delay).await;
    let whole = completion(&request, script.mode, fault);
    Ok(match fault {
        Some(Fault::RateLimit) => {
            let mut answer = error(429, "rate_limit_exceeded");
            answer
                .headers_mut()
                .insert("retry-after", "0".parse().unwrap());
            answer
        }
        Some(Fault::RateLimitDate) => {
            let mut answer = error(429, "rate_limit_exceeded");
            let soon = chrono::Utc::now()
                .format("%a, %d %b %Y %H:%M:%S GMT")
                .to_string();
            answer
                .headers_mut()
                .insert("retry-after", soon.parse().unwrap());
            answer
        }
        Some(Fault::Quota) => error(429, "insufficient_quota"),
        Some(Fault::ServerError(status)) => full(
            status,
            "text/html",
            "<html><h1>Bad gateway</h1></html>".into(),
        ),
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            error(500, "late")
        }
        Some(Fault::Reset) => broken(&whole.to_string()),
        Some(Fault::UnsupportedParameter) => json_answer(
            400,
            &json!({"error": {"message": "Unsupported parameter", "code": "unsupported_parameter", "param": "max_tokens"}}),
        ),
        Some(Fault::NoModel) => error(404, "model_not_found"),
        _ if request["stream"] == json!(true) => events(&whole),
        _ => json_answer(200, &whole),
    })
}

/// An answer piece by piece, cut anywhere.
fn events(whole: &Value) -> Response<Body> {
    let content = whole["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default();
    let letters: Vec<char> = content.chars().collect();
    let mut said: Vec<Value> = letters
        .chunks(7)
        .map(|piece| {
            let piece: String = piece.iter().collect();
            json!({"model": "fake-1-2026", "choices": [{"delta": {"content": piece}, "finish_reason": null}]})
        })
        .collect();
    said.push(json!({"model": "fake-1-2026", "choices": [{"delta": {}, "finish_reason": whole["choices"][0]["finish_reason"]}]}));
    said.push(json!({"choices": [], "usage": whole["usage"]}));
    let events: Vec<_> = said.iter().map(|e| format!("data: {e}\n\n")).collect();
    let text = events.concat() + "data: [DONE]\n\n";
    let frames: Vec<_> = text
        .as_bytes()
        .chunks(11)
        .map(|c| Ok(Frame::data(Bytes::copy_from_slice(c))))
        .collect();
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap()
}

/// The items of a request, as it was sent: between the fences.
pub fn items(request: &Value) -> Vec<Value> {
    let user = request["messages"][1]["content"].as_str().unwrap();
    let lines: Vec<&str> = user.lines().collect();
    assert!(
        lines[0].starts_with("=== ") && lines[0] == lines[2],
        "two fences"
    );
    serde_json::from_str(lines[1]).unwrap()
}

/// The beginning of a canary that does not depend on what was drawn.
fn beginning(command: &str) -> String {
    command
        .chars()
        .take_while(|c| !c.is_ascii_digit())
        .take(18)
        .collect()
}

pub fn is_malicious_canary(command: &str) -> bool {
    [Kind::Clear, Kind::Subtle, Kind::Injected]
        .iter()
        .flat_map(|kind| canaries::all(*kind, 1))
        .any(|canary| beginning(&canary.sent.command) == beginning(command))
}

fn label(item: &Value, mode: Mode) -> Value {
    let command = unmarked(item["command"].as_str().unwrap());
    let canary = is_malicious_canary(&command);
    let verdict = match mode {
        _ if canary && !matches!(mode, Mode::Gullible) => "malicious",
        Mode::Honest if command.contains("evil") => "malicious",
        Mode::Honest if command.contains("odd") => "suspicious",
        Mode::Gullible | Mode::Crafty | Mode::Honest => "benign",
    };
    // What identifies the line comes back, so that a label on another row would show.
    json!({
        "id": item["id"], "intent": format!("for {command}"), "evidence": item["command"].as_str().unwrap().chars().take(12).collect::<String>(),
        "red_flags": [], "verdict": verdict, "confidence": 0.9
    })
}

fn completion(request: &Value, mode: Mode, fault: Option<Fault>) -> Value {
    let items = items(request);
    assert!(VERDICTS.len() == 4 && items.len() <= 12);
    let mut labels: Vec<Value> = items.iter().map(|item| label(item, mode)).collect();
    labels.reverse();
    let (mut finish, mut refusal) = ("stop", Value::Null);
    match fault {
        Some(Fault::Missing) => labels.truncate(1),
        Some(Fault::Extra) => labels.push(json!({"id": "zzzz", "intent": "", "evidence": "", "red_flags": [], "verdict": "benign", "confidence": 1})),
        Some(Fault::Duplicate) => {
            let mut other = labels[0].clone();
            other["verdict"] = json!("benign");
            labels.push(other);
        }
        Some(Fault::Foreign) => labels[0]["id"] = json!("ffffffff"),
        Some(Fault::WrongEnum) => labels[0]["verdict"] = json!("safe"),
        Some(Fault::ContentFilter) => finish = "content_filter",
        Some(Fault::Refusal) => refusal = json!("I cannot help with that."),
        Some(Fault::Length | Fault::Empty) if fault == Some(Fault::Length) => finish = "length",
        _ => {}
    }
    let mut content = json!({"labels": labels}).to_string();
    match fault {
        Some(Fault::Length) => {
            content = content.chars().take(content.chars().count() / 2).collect();
        }
        Some(Fault::Empty | Fault::Refusal | Fault::ContentFilter) => content.clear(),
        Some(Fault::NotJson) => content = "Sure! Here are the labels you asked for.".into(),
        _ => {}
    }
    json!({
        "model": "fake-1-2026", "choices": [{"finish_reason": finish, "message": {"role": "assistant", "content": content, "refusal": refusal}}],
        "usage": {"prompt_tokens": request.to_string().len() / 4, "completion_tokens": 40 * items.len()},
    })
}

fn submit(
    text: &str,
    state: &Mutex<Seen>,
    script: &Script,
) -> Result<Response<Body>, std::io::Error> {
    let request: Value = serde_json::from_str(text).unwrap();
    let mut seen = state.lock().unwrap();
    seen.submits += 1;
    if script.batch == BatchFault::RefusedSubmit && seen.submits == 1 {
        *seen.fired.entry("RefusedSubmit".into()).or_default() += 1;
        return Ok(error(503, "busy"));
    }
    let id = format!("batch_{}", seen.batches.len());
    let batch = json!({"id": id, "status": "validating", "metadata": request["metadata"], "input_file_id": request["input_file_id"]});
    seen.batches.insert(id, batch.clone());
    if script.batch == BatchFault::LostSubmit && seen.submits == 1 {
        *seen.fired.entry("LostSubmit".into()).or_default() += 1;
        return Err(std::io::Error::other("lost"));
    }
    Ok(json_answer(200, &batch))
}

/// A batch is done at the third look at it.
fn poll(id: &str, state: &Mutex<Seen>, script: &Script) -> Response<Body> {
    let mut seen = state.lock().unwrap();
    seen.polls += 1;
    let mut batch = seen.batches[id].clone();
    let first = id == "batch_0";
    let status = batch["status"].as_str().unwrap().to_owned();
    let fault = if first {
        script.batch
    } else {
        BatchFault::None
    };
    let next = match (status.as_str(), fault) {
        ("validating", BatchFault::Invalid) => "failed",
        ("validating", _) | ("in_progress", BatchFault::Endless) => "in_progress",
        ("in_progress", _) => "finalizing",
        ("finalizing", BatchFault::Expires) => "expired",
        ("finalizing", _) => "completed",
        ("cancelling", _) => "cancelled",
        (other, _) => other,
    };
    if matches!(next, "completed" | "expired" | "cancelled") && batch["output_file_id"].is_null() {
        let input = seen.files[batch["input_file_id"].as_str().unwrap()].clone();
        let (mut output, mut errors) = (vec![], vec![]);
        for (n, line) in input.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            let custom_id = &line["custom_id"];
            seen.calls += 1;
            let expired = matches!(next, "expired" | "cancelled") && n % 2 == 0;
            if expired || (fault == BatchFault::Errors && n % 3 == 0) {
                let code = if expired {
                    "batch_expired"
                } else {
                    "server_error"
                };
                let response = if expired {
                    Value::Null
                } else {
                    json!({"status_code": 500, "body": {"error": {"code": code}}})
                };
                errors.push(
                    json!({"custom_id": custom_id, "response": response, "error": {"code": code}})
                        .to_string(),
                );
                *seen.fired.entry(code.into()).or_default() += 1;
                continue;
            }
            let body = completion(&line["body"], script.mode, None);
            output.push(json!({"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": null}).to_string());
        }
        // In any order: by the text of the line.
        output.sort_by_key(|line| gleaner_udfs::model_cache::sha256(line.as_bytes()));
        for (name, lines) in [("output_file_id", output), ("error_file_id", errors)] {
            if !lines.is_empty() {
                let file = format!("file-{name}-{id}");
                seen.files.insert(file.clone(), lines.join("\n") + "\n");
                batch[name] = json!(file);
            }
        }
    }
    if next == "failed" {
        *seen.fired.entry("Invalid".into()).or_default() += 1;
    }
    batch["status"] = json!(next);
    seen.batches.insert(id.to_owned(), batch.clone());
    json_answer(200, &batch)
}
