//! A proxy in front of an S3 server that breaks what it is told to break, and counts what it broke.
//!
//! It forwards requests as they are, `Host` included: clients sign for the proxy's address, and `SeaweedFS` verifies
//! against the `Host` it sees. Which of the requests that match a rule are hit depends only on the seed and on their
//! order.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// The longest body that is held in memory, for actions that need all of it.
const LONGEST: usize = 64 << 20;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a request asks of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Get,
    GetRange,
    Head,
    List,
    Put,
    /// `If-None-Match: *`.
    PutCreate,
    /// `If-Match`.
    PutUpdate,
    PutPart,
    Copy,
    UploadStart,
    UploadComplete,
    UploadAbort,
    Delete,
    /// The keys are in the body: no rule sees them.
    DeleteMany,
    Other,
}

impl Kind {
    pub fn of(request: &Parts) -> Self {
        let query = request.uri.query().unwrap_or_default();
        let names: Vec<&str> = query
            .split('&')
            .map(|pair| pair.split('=').next().unwrap_or_default())
            .collect();
        let has = |name| names.contains(&name);
        let bucket = !request.uri.path().trim_matches('/').contains('/');
        let header = |name: &str| request.headers.contains_key(name);
        match request.method {
            Method::GET if bucket => Self::List,
            Method::GET if has("uploadId") => Self::Other,
            Method::GET if header(RANGE.as_str()) => Self::GetRange,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT if has("partNumber") => Self::PutPart,
            Method::PUT if header("x-amz-copy-source") => Self::Copy,
            Method::PUT if header("if-none-match") => Self::PutCreate,
            Method::PUT if header("if-match") => Self::PutUpdate,
            Method::PUT if !bucket => Self::Put,
            Method::POST if has("uploads") => Self::UploadStart,
            Method::POST if has("uploadId") => Self::UploadComplete,
            Method::POST if has("delete") => Self::DeleteMany,
            Method::DELETE if has("uploadId") => Self::UploadAbort,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// What a rule does to a request that it hits.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Answers with an error and forwards nothing.
    Refuse(u16, &'static str),
    /// Forwards, waits for the answer and gives an error instead: the request took effect.
    Deny(u16, &'static str),
    /// Closes the connection and forwards nothing.
    Drop,
    /// Forwards, waits for the answer and closes the connection: the request took effect.
    Lose,
    /// Waits, then passes the answer on in pieces of so many bytes (0: as they come) with a pause before each.
    Slow {
        delay: Duration,
        piece: usize,
        pause: Duration,
    },
    /// Sends half of the answer's body, for the whole one's length, and closes the connection.
    Short,
    /// Flips a bit of a successful answer's body.
    Corrupt,
    /// Flips a bit of the request's body.
    CorruptRequest,
}

impl Action {
    pub const INTERNAL_ERROR: Self = Self::Refuse(500, "InternalError");
    pub const SLOW_DOWN: Self = Self::Refuse(503, "SlowDown");
    pub const CONFLICT: Self = Self::Refuse(409, "ConditionalRequestConflict");
    pub const PRECONDITION: Self = Self::Refuse(412, "PreconditionFailed");
    pub const LOST_500: Self = Self::Deny(500, "InternalError");

    pub fn delay(delay: Duration) -> Self {
        Self::Slow {
            delay,
            piece: 0,
            pause: Duration::ZERO,
        }
    }
}

type Predicate = Box<dyn Fn(&Parts) -> bool + Send + Sync>;

/// When a rule hits a request that it matches.
#[derive(Clone, Copy, Debug)]
enum When {
    Chance(f64),
    Nth(u64),
}

/// A fault: which requests, what happens to them, how often. Without more than `new`, to every request.
pub struct Rule {
    name: &'static str,
    action: Action,
    matches: Vec<Predicate>,
    when: When,
    limit: u64,
    matched: AtomicU64,
    fired: AtomicU64,
}

impl Rule {
    pub fn new(name: &'static str, action: Action) -> Self {
        Self {
            name,
            action,
            matches: vec![],
            when: When::Chance(1.0),
            limit: u64::MAX,
            matched: AtomicU64::new(0),
            fired: AtomicU64::new(0),
        }
    }

    /// Only requests of these kinds.
    pub fn on(self, kinds: &'static [Kind]) -> Self {
        self.when(|request| kinds.contains(&Kind::of(request)))
    }

    /// Only requests whose path and query, as sent, contain this.
    pub fn path(self, part: &str) -> Self {
        let part = part.to_owned();
        self.when(move |request| request.uri.to_string().contains(&part))
    }

    /// Only requests for which this is true.
    pub fn when(mut self, matches: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.matches.push(Box::new(matches));
        self
    }

    /// Only so many of the requests that match, as the seed has it.
    pub fn chance(mut self, probability: f64) -> Self {
        self.when = When::Chance(probability);
        self
    }

    /// Only the nth request that matches, from 1.
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// At most so many times.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// A random number if this request is to be hit.
    fn hits(&self, seed: u64, request: &Parts) -> Option<u64> {
        if !self.matches.iter().all(|matches| matches(request)) {
            return None;
        }
        let n = self.matched.fetch_add(1, Ordering::Relaxed) + 1;
        let own = self
            .name
            .bytes()
            .fold(seed, |hash, byte| splitmix64(hash ^ u64::from(byte)));
        let random = splitmix64(own.wrapping_add(n));
        let hit = match self.when {
            When::Chance(probability) => {
                ((random >> 11) as f64) < probability * (1_u64 << 53) as f64
            }
            When::Nth(nth) => n == nth,
        };
        hit.then(|| splitmix64(random))
    }

    /// Counts a firing, unless there were enough.
    fn fire(&self) -> bool {
        let more = |fired| (fired < self.limit).then_some(fired + 1);
        let (order, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.fired.fetch_update(order, fetch, more).is_ok()
    }
}

/// A step of the generator `SplitMix64`.
pub fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A running proxy; it ends with the test.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

struct State {
    upstream: String,
    seed: u64,
    rules: Vec<Rule>,
    healed: AtomicBool,
    requests: Mutex<BTreeMap<Kind, u64>>,
    failed: AtomicU64,
    client: Client<HttpConnector, Body>,
}

impl Proxy {
    /// A proxy before `upstream`, `http://HOST:PORT`. The first rule that hits a request has it.
    pub fn start(upstream: &str, seed: u64, rules: Vec<Rule>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            seed,
            rules,
            healed: AtomicBool::new(false),
            requests: Mutex::default(),
            failed: AtomicU64::new(0),
            client: Client::builder(TokioExecutor::new()).build(connector),
        });
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&serving)));
                }
            }
        });
        Self {
            address,
            state,
            runtime: Some(runtime),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often a rule fired: a request that it hit and could not harm, an empty body say, does not count.
    pub fn fired(&self, name: &str) -> u64 {
        let mut rules = self.state.rules.iter();
        let rule = rules.find(|rule| rule.name == name).unwrap();
        rule.fired.load(Ordering::Relaxed)
    }

    /// Fails unless every rule fired.
    pub fn all_fired(&self) {
        for rule in &self.state.rules {
            assert!(
                self.fired(rule.name) > 0,
                "{} never fired: {}",
                rule.name,
                self.report()
            );
        }
    }

    /// From now on it only forwards.
    pub fn heal(&self) {
        self.state.healed.store(true, Ordering::Relaxed);
    }

    /// The requests that came, by kind, those that were broken included.
    pub fn requests(&self) -> BTreeMap<Kind, u64> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many requests the server behind it did not answer, of itself.
    pub fn failed(&self) -> u64 {
        self.state.failed.load(Ordering::Relaxed)
    }

    /// What came and what was broken, in a line.
    pub fn report(&self) -> String {
        let fired: Vec<String> = self
            .state
            .rules
            .iter()
            .map(|rule| format!("{} {}", rule.name, rule.fired.load(Ordering::Relaxed)))
            .collect();
        let (fired, failed) = (fired.join(", "), self.failed());
        format!(
            "requests {:?}; fired: {fired}; failed by themselves: {failed}",
            self.requests()
        )
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(|request| state.answer(request));
    // It ends in an error whenever a client goes away, or is sent away.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl State {
    /// The answer to a request; an error closes the connection.
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        *self
            .requests
            .lock()
            .unwrap()
            .entry(Kind::of(&parts))
            .or_default() += 1;
        let hit = self
            .rules
            .iter()
            .find_map(|rule| Some((rule, rule.hits(self.seed, &parts)?)));
        let healed = self.healed.load(Ordering::Relaxed);
        let Some((rule, random)) = hit.filter(|_| !healed) else {
            return Ok(self.forward(parts, plain(body)).await);
        };
        match rule.action {
            Action::Refuse(status, code) if rule.fire() => {
                drain(body).await;
                Ok(error(status, code))
            }
            Action::Drop if rule.fire() => Err(closed()),
            Action::Deny(..) | Action::Lose if rule.fire() => {
                drain(self.forward(parts, plain(body)).await.into_body()).await;
                match rule.action {
                    Action::Deny(status, code) => Ok(error(status, code)),
                    _ => Err(closed()),
                }
            }
            Action::CorruptRequest if body.size_hint().lower() > 0 && rule.fire() => {
                let length = body.size_hint().lower();
                let body = flip(plain(body), length, random);
                Ok(self.forward(parts, body).await)
            }
            Action::Slow { .. } | Action::Short | Action::Corrupt => {
                let bodyless = parts.method == Method::HEAD;
                let response = self.forward(parts, plain(body)).await;
                if bodyless && !matches!(rule.action, Action::Slow { .. }) {
                    return Ok(response);
                }
                harm(response, rule, random).await
            }
            _ => Ok(self.forward(parts, plain(body)).await),
        }
    }

    async fn forward(&self, mut parts: Parts, body: Body) -> Response<Body> {
        let uri = format!("{}{}", self.upstream, parts.uri);
        parts.uri = uri.parse::<Uri>().unwrap();
        let request = Request::from_parts(parts, body);
        if let Ok(response) = self.client.request(request).await {
            return response.map(plain);
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        error(502, "BadGateway")
    }
}

/// What a rule makes of an answer.
async fn harm(response: Response<Body>, rule: &Rule, random: u64) -> io::Result<Response<Body>> {
    let length = response
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<u64>().ok());
    let (head, body) = response.into_parts();
    let body = match rule.action {
        Action::Corrupt if head.status.is_success() && length != Some(0) && rule.fire() => {
            flip(body, length.unwrap_or(1), random)
        }
        Action::Short
            if head.status.is_success()
                && length.is_some_and(|n| n > 0 && n <= LONGEST as u64)
                && rule.fire() =>
        {
            let bytes = all(body).await?;
            let half = bytes.slice(..bytes.len() / 2);
            let rest = stream::once(async {
                // Time for the first half to leave.
                sleep(Duration::from_millis(50)).await;
                Err(closed())
            });
            streamed(stream::iter([Ok(half)]).chain(rest))
        }
        Action::Slow {
            delay,
            piece,
            pause,
        } if rule.fire() => {
            sleep(delay).await;
            if piece == 0 {
                body
            } else {
                let bytes = all(body).await?;
                let pieces = (0..bytes.len()).step_by(piece);
                streamed(stream::iter(pieces).then(move |at| {
                    let part = bytes.slice(at..bytes.len().min(at + piece));
                    async move {
                        sleep(pause).await;
                        Ok(part)
                    }
                }))
            }
        }
        _ => body,
    };
    Ok(Response::from_parts(head, body))
}

fn plain<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + 'static,
{
    body.map_err(io::Error::other).boxed_unsync()
}

fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

/// The body with one bit of its `length` bytes flipped.
fn flip(body: Body, length: u64, random: u64) -> Body {
    let (place, bit) = (random % length, random >> 61);
    let mut passed = 0;
    let flipped = body.map_frame(move |frame| {
        frame.map_data(|bytes| {
            let at = place
                .checked_sub(passed)
                .filter(|at| *at < bytes.len() as u64);
            passed += bytes.len() as u64;
            let Some(at) = at else { return bytes };
            let mut bytes = BytesMut::from(bytes);
            bytes[at as usize] ^= 1 << bit;
            bytes.freeze()
        })
    });
    flipped.boxed_unsync()
}

/// All of a body, if it is not too long.
async fn all(body: Body) -> io::Result<Bytes> {
    let body = Limited::new(body, LONGEST).collect().await;
    Ok(body.map_err(io::Error::other)?.to_bytes())
}

/// Reads a body to its end, so that what it belongs to is complete.
async fn drain(mut body: impl hyper::body::Body + Unpin) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn closed() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn error(status: u16, code: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>from the test's proxy</Message><RequestId>proxy</RequestId></Error>"
    );
    let mut response = Response::new(plain(Full::new(Bytes::from(text))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    response
}
