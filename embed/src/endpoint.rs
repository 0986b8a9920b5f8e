//! An OpenAI-compatible endpoint: `POST URL/embeddings`.
//!
//! The URL and the model travel in a plan, the key does not: each process has its own, in [`API_KEY`]. A process that serves others
//! sends texts only to the endpoints of its [`ENDPOINTS`].
//!
//! A function of a query waits in a thread of the engine's runtime, which must not wait for that runtime's other tasks: so a thread
//! with a runtime of its own does the talking.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use gleaner_udfs::embedder::Embedder;
use gleaner_udfs::vector::cosine::normalise;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::EmbedError;

/// The environment variable with the endpoint's key.
pub const API_KEY: &str = "GLEANER_EMBEDDER_API_KEY";
/// The environment variable with the endpoints that an executor may send texts to.
pub const ENDPOINTS: &str = "GLEANER_EMBED_ENDPOINTS";

/// Texts of a request.
const REQUEST_TEXTS: usize = 64;
const CONNECT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_mins(2);
/// How often a request is tried.
const TRIES: u32 = 5;
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(30);

/// An endpoint that has answered once.
pub(crate) struct Endpoint {
    url: String,
    dimension: usize,
    requests: UnboundedSender<Request>,
}

struct Request {
    texts: Vec<String>,
    answer: SyncSender<Result<Vec<Vec<f32>>, String>>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

struct Client {
    http: reqwest::Client,
    url: String,
    model: String,
    key: Option<String>,
}

impl Endpoint {
    /// Asks once, for the width of its vectors.
    pub(crate) fn new(url: &str, model: &str) -> Result<Self, EmbedError> {
        let key = std::env::var(API_KEY).ok().filter(|key| !key.is_empty());
        let unmade = |e: &dyn std::fmt::Display| {
            EmbedError::Endpoint(format!("{url}: no client could be made: {e}"))
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            .build();
        let client = Client {
            http: http.map_err(|e| unmade(&e))?,
            url: format!("{url}/embeddings"),
            model: model.to_owned(),
            key,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| unmade(&e))?;
        let (requests, receiver) = unbounded_channel();
        let thread = std::thread::Builder::new().name("embeddings".to_owned());
        let serving = thread.spawn(move || runtime.block_on(serve(client.into(), receiver)));
        serving.map_err(|e| unmade(&e))?;
        let mut endpoint = Self {
            url: url.to_owned(),
            dimension: 0,
            requests,
        };
        let first = endpoint.ask(&["whoami"]).map_err(EmbedError::Endpoint)?;
        endpoint.dimension = first.first().map_or(0, Vec::len);
        if endpoint.dimension == 0 {
            return Err(EmbedError::Endpoint(format!(
                "{url}: an empty vector came back"
            )));
        }
        Ok(endpoint)
    }

    fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        let gone = || format!("{}: the thread that asks it has stopped", self.url);
        let (answer, answered) = sync_channel(1);
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.requests
            .send(Request { texts, answer })
            .map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Embedder for Endpoint {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<f32>, String> {
        let mut vectors = Vec::with_capacity(texts.len() * self.dimension);
        for block in texts.chunks(REQUEST_TEXTS) {
            for mut vector in self.ask(block)? {
                if vector.len() != self.dimension {
                    let (got, expected) = (vector.len(), self.dimension);
                    return Err(format!(
                        "{}: a vector of {got} components after one of {expected}",
                        self.url
                    ));
                }
                normalise(&mut vector);
                vectors.extend(vector);
            }
        }
        Ok(vectors)
    }
}

async fn serve(client: std::sync::Arc<Client>, mut requests: UnboundedReceiver<Request>) {
    while let Some(Request { texts, answer }) = requests.recv().await {
        let client = std::sync::Arc::clone(&client);
        tokio::spawn(async move {
            // Whoever asked is gone when this fails.
            let _ = answer.send(client.vectors(&texts).await);
        });
    }
}

/// Why a request failed, and whether another may succeed, and when.
struct Failure {
    why: String,
    is_transient: bool,
    after: Option<Duration>,
}

impl Client {
    async fn vectors(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let mut attempt = 1;
        loop {
            let failure = match self.request(texts).await {
                Ok(vectors) => return Ok(vectors),
                Err(failure) => failure,
            };
            if attempt == TRIES || !failure.is_transient {
                return Err(format!("{}: {}", self.url, failure.why));
            }
            let pause = failure
                .after
                .unwrap_or(Duration::from_millis(250 << attempt));
            tokio::time::sleep(pause.min(PAUSE)).await;
            attempt += 1;
        }
    }

    async fn request(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let body = Body {
            model: &self.model,
            input: texts,
            encoding_format: "float",
        };
        let mut request = self.http.post(&self.url).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        // An error of the client may quote the body; its kind does not.
        let failed = |e: &reqwest::Error| {
            let why = if e.is_timeout() {
                "no answer in time"
            } else if e.is_connect() {
                "no connection: is the server there, and its URL right?"
            } else {
                "the connection broke"
            };
            Failure {
                why: why.to_owned(),
                is_transient: true,
                after: None,
            }
        };
        let response = request.send().await.map_err(|e| failed(&e))?;
        let status = response.status();
        if !status.is_success() {
            let after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|v| v.to_str().ok()?.parse().ok());
            let hint = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "; set GLEANER_EMBEDDER_API_KEY to a key that may use the model"
                }
                StatusCode::NOT_FOUND => {
                    "; check the URL (it ends before /embeddings) and the model's name after #"
                }
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                    "; check the model's name, and whether it takes texts this long"
                }
                _ => "",
            };
            return Err(Failure {
                why: format!("it answered {status}{hint}"),
                is_transient: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
                after: after.map(Duration::from_secs),
            });
        }
        let bytes = response.bytes().await.map_err(|e| failed(&e))?;
        let wrong = |why: &str| Failure {
            why: format!("not an answer of the OpenAI embeddings API: {why}"),
            is_transient: false,
            after: None,
        };
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| wrong("expected {\"data\": [{\"index\", \"embedding\"}]}"))?;
        in_order(answer.data, texts.len()).ok_or_else(|| wrong("expected one finite vector a text"))
    }
}

/// The vectors by their index, when there is just one finite vector for each.
fn in_order(mut items: Vec<Item>, texts: usize) -> Option<Vec<Vec<f32>>> {
    items.sort_by_key(|item| item.index);
    let complete =
        items.len() == texts && items.iter().enumerate().all(|(i, item)| item.index == i);
    let finite = items
        .iter()
        .all(|item| item.embedding.iter().all(|x| x.is_finite()));
    (complete && finite).then(|| items.into_iter().map(|item| item.embedding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_their_index_and_none_may_be_missing() {
        let item = |index, x| Item {
            index,
            embedding: vec![x],
        };
        assert_eq!(
            in_order(vec![item(1, 2.0), item(0, 1.0)], 2),
            Some(vec![vec![1.0], vec![2.0]])
        );
        assert_eq!(in_order(vec![item(0, 1.0)], 2), None);
        assert_eq!(in_order(vec![item(0, 1.0), item(0, 2.0)], 2), None);
        assert_eq!(in_order(vec![item(0, f32::NAN)], 1), None);
    }
}
