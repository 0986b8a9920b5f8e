//! The review page: analysts go through the audit sample in a browser, a line at a time, and their verdicts enter as `gleaner labels import` takes them.
//!
//! ```text
//! mod       the port: what is answered to whom, and what every answer forbids the browser
//! sessions  who is signed in
//! lines     the sample, and all that is known of one of its lines
//! page/     markup, style and script, served as they are
//! ```
//!
//! **What a line may do: be read.** Command lines are hostile text. They leave the server as JSON alone, and the page shows them as text nodes. The answers' content security
//! policy lets the browser run this server's script and nothing else, and Trusted Types close the ways by which a script could turn text into markup.
//!
//! **Who may.** Where the server has tokens, who signs in brings one, and is the analyst of their verdicts; viewers look, operators judge. The page's cookie names a
//! session of this server, not the token; every request asks again whether the token still holds. What changes something wants this page's `Origin`
//! too. Without tokens the port is the user's own (loopback, or `--insecure`), they say their name, and the `Host` must be a number or `localhost`, lest a page of another name
//! reach it (DNS rebinding).
//!
//! **A verdict that was answered is kept**: it is committed to the table `reviews` before the answer. One said twice (an answer was lost, and the page asks again) is
//! one row.

mod lines;
mod sessions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderName, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tonic::service::Routes;

use crate::error::JobError;
use crate::labels::pseudonyms::KeySource;
use crate::labels::review::{self, Given};
use crate::secure::{self, Policy, ServerTls, Tokens};
use crate::warehouse::Warehouse;
use sessions::{Session, Sessions};

/// Bytes of a request's body: a verdict with a comment.
const BODY_BYTES: usize = 16 * 1024;
/// Requests that read the warehouse at a time; more wait.
const AT_A_TIME: usize = 4;

const FORBIDS: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The review page, before it starts.
pub struct Review {
    /// Its port.
    pub listener: TcpListener,
    /// Lines of the sample.
    pub sample: u64,
    /// Another seed draws other lines.
    pub seed: u64,
    /// Certificates of the port.
    pub tls: Option<ServerTls>,
    /// Who may sign in; `None`: whoever reaches the port.
    pub tokens: Option<Arc<Tokens>>,
    /// Where the key of pseudonyms is, where it is not in the warehouse.
    pub pseudonym_key: Option<KeySource>,
}

struct Shared {
    warehouse: Warehouse,
    sample: u64,
    seed: u64,
    pseudonym_key: Option<KeySource>,
    sessions: Sessions,
    scheme: &'static str,
    /// The parts of the sample that its lines stand for, by hash, as last drawn. Held while a verdict is taken: one at a time, each looks at the one before it.
    strata: Mutex<BTreeMap<String, String>>,
    reading: Semaphore,
}

type Shown = Result<Response<Body>, Refused>;

/// Why a request is not done.
struct Refused(StatusCode, String);

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        answer(self.0, &json!({ "error": self.1 }))
    }
}

impl From<JobError> for Refused {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Usage(why) => Self(StatusCode::BAD_REQUEST, why),
            // What else went wrong is for the log, by its kind: its text may quote data.
            error => {
                log::error!("the review page: {}", error.kind());
                let why = format!(
                    "the server could not do it ({}): its log says when; try again",
                    error.kind()
                );
                Self(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Refused {
    Refused(status, why.to_owned())
}

impl Review {
    /// Where it listens.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn address(&self) -> Result<SocketAddr, JobError> {
        let failed = |e| JobError::Io {
            path: "--review".to_owned(),
            source: e,
        };
        self.listener.local_addr().map_err(failed)
    }

    /// Answers until `shutdown`.
    ///
    /// # Errors
    /// When the port fails.
    pub async fn serve(
        self,
        warehouse: Warehouse,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), JobError> {
        let shared = Arc::new(Shared {
            warehouse,
            sample: self.sample,
            seed: self.seed,
            pseudonym_key: self.pseudonym_key,
            scheme: if self.tls.is_some() { "https" } else { "http" },
            sessions: Sessions::new(self.tokens, self.tls.is_some()),
            strata: Mutex::new(BTreeMap::new()),
            reading: Semaphore::new(AT_A_TIME),
        });
        let file = |kind: &'static str, text: &'static str| get(async move || asset(kind, text));
        let router = Router::new()
            .route(
                "/",
                file("text/html; charset=utf-8", include_str!("page/index.html")),
            )
            .route(
                "/review.js",
                file(
                    "text/javascript; charset=utf-8",
                    include_str!("page/review.js"),
                ),
            )
            .route(
                "/review.css",
                file("text/css; charset=utf-8", include_str!("page/review.css")),
            )
            .route("/api/me", get(me))
            .route("/api/sign-in", post(sign_in))
            .route("/api/sign-out", post(sign_out))
            .route("/api/sample", get(sample))
            .route("/api/line/{hash}", get(line))
            .route("/api/verdict", post(verdict))
            .fallback(async || refused(StatusCode::NOT_FOUND, "no such page"))
            .with_state(shared)
            .layer(from_fn(async |request: Request, next: Next| {
                forbid(next.run(request).await)
            }));
        // Who may what is decided per session, here: a browser sends no header of ours.
        secure::serve(
            self.listener,
            self.tls,
            Policy::open(),
            Routes::from(router),
            shutdown,
        )
        .await
        .map_err(JobError::from)
    }
}

/// What every answer says to the browser.
fn forbid(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, FORBIDS),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), clipboard-read=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = asset("application/json", "");
    *response.status_mut() = status;
    *response.body_mut() = Body::from(value.to_string());
    response
}

fn ok(value: &Value) -> Response<Body> {
    answer(StatusCode::OK, value)
}

/// The host that the browser believes it speaks to.
fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    // HTTP/2 has it in the address.
    let authority = uri.authority().map(|a| a.as_str().to_owned());
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    authority.or_else(|| header.map(str::to_owned))
}

/// Whether a name is a number or `localhost`: no name that somebody else could have point here.
fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok()
}

impl Shared {
    /// Before anything else of every request about data.
    fn reached(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, Refused> {
        let wrong = || {
            refused(
                StatusCode::MISDIRECTED_REQUEST,
                "the request names no host that this server is",
            )
        };
        let host = host(headers, uri).ok_or_else(wrong)?;
        if !self.sessions.wants_token() && !is_own(&host) {
            return Err(wrong());
        }
        Ok(host)
    }

    /// What changes something comes from this page.
    fn asked_by_page(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refused> {
        let host = self.reached(headers, uri)?;
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        if origin != Some(&format!("{}://{host}", self.scheme)) {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "the request does not come from this page (its Origin is another)",
            ));
        }
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        if kind.is_none_or(|kind| !kind.starts_with("application/json")) {
            return Err(refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected application/json",
            ));
        }
        Ok(())
    }

    fn session(&self, headers: &HeaderMap, uri: &Uri) -> Result<Session, Refused> {
        self.reached(headers, uri)?;
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok());
        self.sessions
            .find(cookies)
            .ok_or_else(|| refused(StatusCode::UNAUTHORIZED, "sign in first"))
    }

    async fn drawn(&self) -> Result<Vec<lines::Item>, JobError> {
        lines::sample(&self.warehouse, self.sample, self.seed).await
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refused> {
        let closing = |_| refused(StatusCode::SERVICE_UNAVAILABLE, "the server is ending");
        self.reading.acquire().await.map_err(closing)
    }
}

fn strata(items: &[lines::Item]) -> BTreeMap<String, String> {
    let pair = |line: &lines::Item| (line.hash.clone(), line.stratum.clone());
    items.iter().map(pair).collect()
}

async fn body<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Refused> {
    let large = |_| refused(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
    let bytes = to_bytes(body, BODY_BYTES).await.map_err(large)?;
    serde_json::from_slice(&bytes).map_err(|_| {
        refused(
            StatusCode::BAD_REQUEST,
            "expected a JSON object with the fields of this request",
        )
    })
}

async fn me(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri) -> Shown {
    let wants = if shared.sessions.wants_token() {
        "token"
    } else {
        "name"
    };
    Ok(match shared.session(&headers, &uri) {
        Ok(session) => {
            ok(&json!({ "name": session.name, "may_judge": session.may_judge, "wants": wants }))
        }
        Err(Refused(StatusCode::UNAUTHORIZED, _)) => ok(&json!({ "name": null, "wants": wants })),
        Err(other) => return Err(other),
    })
}

async fn sign_in(State(shared): State<Arc<Shared>>, request: Request) -> Shown {
    #[derive(Deserialize)]
    struct Given {
        secret: String,
    }
    let (parts, content) = request.into_parts();
    shared.asked_by_page(&parts.headers, &parts.uri)?;
    let given: Given = body(content).await?;
    let (session, cookie) = match shared.sessions.open(&given.secret) {
        Ok(opened) => opened,
        Err(why) => {
            log::warn!("the review page: a sign-in was refused: {why}");
            return Err(refused(StatusCode::UNAUTHORIZED, why));
        }
    };
    log::info!("the review page: {} signed in", session.name);
    let mut response = ok(&json!({ "name": session.name, "may_judge": session.may_judge }));
    let cookie = HeaderValue::from_str(&cookie)
        .map_err(|_| refused(StatusCode::INTERNAL_SERVER_ERROR, "no cookie could be made"))?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

async fn sign_out(State(shared): State<Arc<Shared>>, request: Request) -> Shown {
    let (parts, _) = request.into_parts();
    shared.asked_by_page(&parts.headers, &parts.uri)?;
    let cookies = parts.headers.get_all(COOKIE).iter();
    let forgotten = shared
        .sessions
        .close(cookies.filter_map(|cookie| cookie.to_str().ok()));
    let mut response = ok(&json!({}));
    if let Ok(cookie) = HeaderValue::from_str(&forgotten) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn sample(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri) -> Shown {
    shared.session(&headers, &uri)?;
    let _turn = shared.turn().await?;
    let items = shared.drawn().await?;
    *shared.strata.lock().await = strata(&items);
    Ok(ok(&json!({ "lines": items })))
}

async fn line(
    State(shared): State<Arc<Shared>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Shown {
    shared.session(&headers, &uri)?;
    let redacted = match uri.query() {
        None | Some("") => false,
        Some("redacted") => true,
        Some(_) => {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "expected nothing, or `redacted`, after the question mark",
            ));
        }
    };
    let _turn = shared.turn().await?;
    let key = shared.pseudonym_key.as_ref().filter(|_| redacted);
    let line = lines::line(&shared.warehouse, &hash, redacted, key).await?;
    let line =
        line.ok_or_else(|| refused(StatusCode::NOT_FOUND, "no labelled line has this hash"))?;
    Ok(ok(&line))
}

async fn verdict(State(shared): State<Arc<Shared>>, request: Request) -> Shown {
    #[derive(Deserialize)]
    struct Said {
        hash: String,
        verdict: String,
        #[serde(default)]
        comment: Option<String>,
    }
    let (parts, content) = request.into_parts();
    shared.asked_by_page(&parts.headers, &parts.uri)?;
    let session = shared.session(&parts.headers, &parts.uri)?;
    if !session.may_judge {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "verdicts are for operators; this token is a viewer's",
        ));
    }
    let said: Said = body(content).await?;
    let comment = said.comment.filter(|text| !text.trim().is_empty());
    let mut known = shared.strata.lock().await;
    if !known.contains_key(&said.hash) {
        *known = strata(&shared.drawn().await?);
    }
    if let Some(held) = lines::said(&shared.warehouse, Some(&said.hash))
        .await?
        .remove(&said.hash)
    {
        let same =
            held.verdict == said.verdict.trim().to_lowercase() && held.analyst == session.name;
        if same && held.comment == comment {
            return Ok(ok(&json!({ "version": held.version, "again": true })));
        }
    }
    // A line of the sample counts for the precision of the set; one that was asked for by hand does not.
    let stratum = known.get(&said.hash).cloned();
    let given = Given {
        hash: Some(said.hash),
        verdict: Some(said.verdict),
        analyst: Some(session.name),
        comment,
        stratum,
    };
    let taken = review::take(&shared.warehouse, "the review page", vec![given]).await?;
    if taken.imported == 0 {
        return Err(refused(StatusCode::BAD_REQUEST, "a verdict is missing"));
    }
    Ok(ok(&json!({ "version": taken.version, "days": taken.days })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_others_can_point_here_is_not_ours() {
        for own in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]:9",
            "10.0.0.5",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
            "",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
