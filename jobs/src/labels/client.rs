//! One chat completion, and every way in which it can fail, by name.
//!
//! Which statuses mean what: `OpenAI`'s guides on rate limits, error codes and structured outputs. 429 is two things: a rate limit, which is
//! waited for, and `insufficient_quota`, which no waiting mends. A refusal and an empty answer come as 200.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::options::{Capabilities, LlmOptions};
use crate::error::JobError;

/// The longest answer that is read.
const LONGEST_BYTES: usize = 16 << 20;

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Content, the model that wrote it, tokens.
    Content(Content),
    /// Try again, after so long if the server says.
    Again {
        /// What happened.
        why: &'static str,
        /// How long the server wants to rest.
        after: Option<Duration>,
    },
    /// The answer has no room, or is empty: fewer items may do.
    Split(&'static str, Tokens),
    /// The model or a filter will not speak of an item: fewer items tell which.
    Refused(&'static str, Tokens),
    /// A parameter that the endpoint does not know was left out or renamed: try again at once.
    Adapted,
    /// Nothing more will come of this endpoint: a fixed phrase, with what to do.
    Stop(&'static str),
}

/// Tokens that the server counted; `None`: it did not.
pub type Tokens = Option<(u64, u64)>;

/// What a model wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// Its text.
    pub text: String,
    /// As it named itself.
    pub model: String,
    /// Input and output.
    pub tokens: Tokens,
}

/// A client of one endpoint.
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) options: LlmOptions,
    understood: Mutex<Capabilities>,
}

impl Client {
    /// # Errors
    /// When the options are out of range or an HTTP client cannot be made.
    pub fn new(options: LlmOptions) -> Result<Self, JobError> {
        options.check()?;
        let mut builder = reqwest::Client::builder()
            .timeout(Duration::from_secs(options.timeout_secs))
            .connect_timeout(Duration::from_secs(options.timeout_secs.min(20)))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("gleaner/", env!("CARGO_PKG_VERSION")));
        if options.is_loopback() {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|e| JobError::Internal(format!("HTTP client: {}", e.without_url())))?;
        let understood = Mutex::new(options.capabilities.clone());
        Ok(Self {
            http,
            options,
            understood,
        })
    }

    /// What the endpoint was found to understand.
    #[must_use]
    pub fn understood(&self) -> Capabilities {
        self.understood
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    pub(super) fn request(
        &self,
        method: reqwest::Method,
        resource: &str,
    ) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.options.address(resource));
        match self.options.key.expose() {
            "" => request,
            key => request.bearer_auth(key),
        }
    }

    /// Asks which models there are, before anything is paid: a model that is gone is told now, with those that are there.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, refuses the key, or does not have the model.
    pub async fn check_model(&self) -> Result<(), JobError> {
        let url = self.options.address("models");
        let failed = |why: String| JobError::Usage(format!("--llm-url {url}: {why}"));
        let mut tried = 0;
        let response = loop {
            tried += 1;
            match self.request(reqwest::Method::GET, "models").send().await {
                Ok(response)
                    if response.status().is_server_error() || response.status().as_u16() == 429 =>
                {
                    if tried == 4 {
                        // It lives, and is busy: asking will tell.
                        return Ok(());
                    }
                }
                Ok(response) => break response,
                Err(e) if tried == 4 => {
                    return Err(failed(format!(
                        "cannot be reached: {}",
                        chain(&e.without_url())
                    )));
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(self.options.backoff_millis << tried)).await;
        };
        match response.status().as_u16() {
            401 | 403 => return Err(failed("the key was refused; set GLEANER_LLM_KEY".into())),
            // Some compatible servers have no list.
            404 | 405 | 501 => return Ok(()),
            200 => {}
            status => {
                return Err(failed(format!(
                    "answered {status} when asked for its models"
                )));
            }
        }
        let Ok(body) = read(response).await else {
            return Ok(());
        };
        let list = body
            .get("data")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let ids: Vec<&str> = list.iter().filter_map(|m| m.get("id")?.as_str()).collect();
        if ids.is_empty() || ids.contains(&self.options.model.as_str()) {
            return Ok(());
        }
        let some = ids.iter().take(10).copied().collect::<Vec<_>>().join(", ");
        Err(failed(format!(
            "has no model {:?} (models are retired); --llm-model takes one of {} it has, such as {some}",
            self.options.model,
            ids.len()
        )))
    }

    /// One attempt. `body` as [`super::prompt::body`] made it.
    pub async fn ask(&self, mut body: Value) -> Reply {
        if self.understood().stream {
            body["stream"] = true.into();
            body["stream_options"] = serde_json::json!({"include_usage": true});
        }
        let sent = self
            .request(reqwest::Method::POST, "chat/completions")
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(e) if e.is_timeout() => return again("timeout"),
            Err(_) => return again("connection"),
        };
        let status = response.status().as_u16();
        let after = retry_after(response.headers());
        let streamed = header(&response, "content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if streamed && status == 200 {
            return match stream(response).await {
                Ok(value) => completion(&value),
                Err(why) => again(why),
            };
        }
        match read(response).await {
            Ok(value) if status == 200 => completion(&value),
            Ok(value) => self.failure(status, &value, after),
            // A proxy's page in HTML, or a body that broke off.
            Err(_) if status == 200 => again("broken body"),
            Err(_) => self.failure(status, &Value::Null, after),
        }
    }

    /// What a status means. The one place.
    pub(super) fn failure(&self, status: u16, body: &Value, after: Option<Duration>) -> Reply {
        let error = body.get("error").unwrap_or(&Value::Null);
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        match status {
            429 if text("code") == "insufficient_quota" || text("type") == "insufficient_quota" => {
                Reply::Stop("insufficient_quota")
            }
            429 => Reply::Again {
                why: "rate limit",
                after,
            },
            408 | 409 | 425 => Reply::Again {
                why: "server busy",
                after,
            },
            500..=599 => Reply::Again {
                why: "server error",
                after,
            },
            401 | 403 => Reply::Stop("key refused"),
            402 => Reply::Stop("insufficient_quota"),
            404 => Reply::Stop("model not found"),
            413 => Reply::Split("request too large", None),
            400 | 422 if text("code") == "context_length_exceeded" => {
                Reply::Split("context length", None)
            }
            400 | 422 if text("code") == "content_filter" => Reply::Refused("content_filter", None),
            400 | 422 if self.adapt(text("param"), text("code"), text("message")) => Reply::Adapted,
            400 | 422 => Reply::Stop("bad request"),
            _ => Reply::Stop("unexpected status"),
        }
    }

    /// Leaves out or renames what the endpoint does not take; `false` when nothing is left to change.
    fn adapt(&self, parameter: &str, code: &str, message: &str) -> bool {
        if !matches!(
            code,
            "unsupported_parameter"
                | "unsupported_value"
                | "unknown_parameter"
                | "invalid_request_error"
                | ""
        ) {
            return false;
        }
        let names =
            |name: &str| parameter == name || (parameter.is_empty() && message.contains(name));
        let mut known = self
            .understood
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.temperature.is_some() && names("temperature") {
            known.temperature = None;
        } else if known.reasoning_effort.is_some() && names("reasoning_effort") {
            known.reasoning_effort = None;
        } else if names(known.token_limit) {
            // Once in each direction would go round for ever.
            if known.token_limit == self.options.capabilities.token_limit {
                known.token_limit = match known.token_limit {
                    "max_tokens" => "max_completion_tokens",
                    _ => "max_tokens",
                };
            } else {
                return false;
            }
        } else if known.stream && (names("stream") || names("stream_options")) {
            known.stream = false;
        } else {
            return false;
        }
        true
    }
}

fn again(why: &'static str) -> Reply {
    Reply::Again { why, after: None }
}

/// An error and its causes, without the address.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn header<'r>(response: &'r reqwest::Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// `Retry-After` in seconds or as a date, or `retry-after-ms`.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(millis) = text("retry-after-ms").and_then(|t| t.parse::<u64>().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let at = SystemTime::from(date);
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// A JSON body, of bounded length.
pub(super) async fn read(mut response: reqwest::Response) -> Result<Value, &'static str> {
    let mut bytes: Vec<u8> = vec![];
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= LONGEST_BYTES => {
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err("too long"),
            Ok(None) => break,
            Err(_) => return Err("broken off"),
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| "no JSON")
}

/// Puts server-sent pieces together, as the answer that they would have been.
async fn stream(mut response: reqwest::Response) -> Result<Value, &'static str> {
    let (mut buffer, mut content, mut refusal) = (vec![], String::new(), String::new());
    let (mut finish, mut model, mut usage) = (Value::Null, Value::Null, Value::Null);
    let mut done = false;
    while let Some(chunk) = response.chunk().await.map_err(|_| "broken off")? {
        if buffer.len() + content.len() + chunk.len() > LONGEST_BYTES {
            return Err("too long");
        }
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let Some(data) = line.trim().strip_prefix("data:") else {
                continue;
            };
            if data.trim() == "[DONE]" {
                done = true;
                continue;
            }
            let event: Value = serde_json::from_str(data.trim()).map_err(|_| "no JSON")?;
            if event.get("error").is_some() {
                return Err("server error");
            }
            let choice = event.pointer("/choices/0").unwrap_or(&Value::Null);
            let piece = |name: &str| {
                choice
                    .pointer(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            content.push_str(piece("/delta/content"));
            refusal.push_str(piece("/delta/refusal"));
            for (target, found) in [
                (&mut finish, choice.get("finish_reason")),
                (&mut model, event.get("model")),
                (&mut usage, event.get("usage")),
            ] {
                if let Some(found) = found.filter(|v| !v.is_null()) {
                    *target = found.clone();
                }
            }
        }
    }
    if !done && finish.is_null() {
        return Err("broken off");
    }
    let refusal = if refusal.is_empty() {
        Value::Null
    } else {
        refusal.into()
    };
    Ok(serde_json::json!({
        "model": model, "usage": usage,
        "choices": [{"finish_reason": finish, "message": {"content": content, "refusal": refusal}}],
    }))
}

/// What a completion's body says.
pub(super) fn completion(body: &Value) -> Reply {
    let tokens = body.get("usage").and_then(|usage| {
        Some((
            usage.get("prompt_tokens")?.as_u64()?,
            usage.get("completion_tokens")?.as_u64()?,
        ))
    });
    let Some(choice) = body.pointer("/choices/0") else {
        return again("no choice in the answer");
    };
    let text = |pointer: &str| {
        choice
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if !text("/message/refusal").is_empty() {
        return Reply::Refused("refusal", tokens);
    }
    match text("/finish_reason") {
        "length" => return Reply::Split("length", tokens),
        "content_filter" => return Reply::Refused("content_filter", tokens),
        _ => {}
    }
    let content = text("/message/content");
    if content.trim().is_empty() {
        return Reply::Split("empty answer", tokens);
    }
    Reply::Content(Content {
        text: content.to_owned(),
        model: body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_for_a_rest_in_seconds_or_until_a_date() {
        let of = |name: &'static str, value: &str| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(
            of("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(30)).to_rfc2822();
        assert!(of("retry-after", &soon).is_some_and(|d| d > Duration::from_secs(20)));
        assert_eq!(of("retry-after", "soon"), None);
    }

    #[test]
    fn a_refusal_and_an_empty_answer_are_no_content() {
        let body = |choice: Value| serde_json::json!({"model": "m", "choices": [choice]});
        let of = |choice| completion(&body(choice));
        assert!(matches!(
            of(serde_json::json!({"finish_reason": "stop", "message": {"refusal": "no"}})),
            Reply::Refused("refusal", None)
        ));
        assert!(matches!(
            of(serde_json::json!({"finish_reason": "length", "message": {"content": ""}})),
            Reply::Split("length", None)
        ));
        assert!(matches!(
            of(serde_json::json!({"finish_reason": "stop", "message": {"content": " "}})),
            Reply::Split("empty answer", None)
        ));
        assert!(matches!(
            of(serde_json::json!({"finish_reason": "stop", "message": {"content": "{}"}})),
            Reply::Content(_)
        ));
    }
}
