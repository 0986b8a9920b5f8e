//! What hands out credentials in AWS, on loopback, and an S3 that takes no others.
//!
//! One address plays STS, the login service (SSO), a container's agent (ECS) and a machine's metadata (IMDS): each gives a
//! new access key at every call, which lives shortly, to whoever shows this cloud's secret the way that service wants it.
//! Below `/gleaner` it is S3: a request must be signed with a key that was handed out and still lives, and bring that
//! key's session token; it goes on to a real server under the admin's signature, as that knows none of these keys.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, DATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::seaweed::{Keys, Seaweed};
use crate::sigv4::Signature;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How a cloud is.
#[derive(Clone, Default)]
pub struct Setup {
    /// How long an access key lives.
    pub life: Duration,
    /// Keys that are taken for ever, and who signs for a role.
    pub base: Option<Keys>,
    /// How long every answer of S3 takes, so that a job lasts.
    pub pause: Duration,
    /// S3 does what a conditional write says whatever its condition.
    pub careless: bool,
    /// What S3 says the time is.
    pub date: Option<&'static str>,
    /// How many keys are handed out; then the services fail.
    pub most: Option<usize>,
}

/// A running cloud; it ends with the test.
pub struct Cloud {
    /// What a service wants to see: a token, a bearer's token, a refresh token.
    pub secret: String,
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

struct State {
    setup: Setup,
    secret: String,
    upstream: String,
    admin: Keys,
    issued: Mutex<Vec<Issue>>,
    refused: Mutex<Vec<String>>,
    client: Client<HttpConnector, Body>,
}

struct Issue {
    keys: Keys,
    token: String,
    end: SystemTime,
    uses: u64,
}

impl Cloud {
    /// A cloud whose S3 is `server`'s.
    pub fn start(server: &Seaweed, setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cloud")
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let secret = Keys::unique("cloud").secret;
        let state = Arc::new(State {
            setup,
            secret: secret.clone(),
            upstream: server.endpoint(),
            admin: server.admin().clone(),
            issued: Mutex::default(),
            refused: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request| state.answer(request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            secret,
            address,
            state,
            runtime: Some(runtime),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Hands out a key and its token by hand.
    pub fn hand_out(&self) -> (Keys, String) {
        let (keys, token, _) = self.state.issue().unwrap();
        (keys, token)
    }

    /// How many access keys were handed out, and how many of those signed a request that S3 took.
    pub fn keys(&self) -> (usize, usize) {
        let issued = self.state.issued.lock().unwrap();
        (issued.len(), issued.iter().filter(|i| i.uses > 0).count())
    }

    /// The requests that were refused, and why.
    pub fn refused(&self) -> Vec<String> {
        self.state.refused.lock().unwrap().clone()
    }

    /// All that nobody may see.
    pub fn secrets(&self) -> Vec<String> {
        let issued = self.state.issued.lock().unwrap();
        let issued = issued
            .iter()
            .flat_map(|i| [i.keys.secret.clone(), i.token.clone()]);
        let base = self.state.setup.base.iter().map(|keys| keys.secret.clone());
        issued.chain(base).chain([self.secret.clone()]).collect()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        if parts.uri.path().starts_with("/gleaner") {
            return Ok(self.s3(parts, body).await);
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let answer = self.identity(&parts, &body);
        Ok(answer.unwrap_or_else(|| {
            self.refuse(403, "AccessDenied", &parts, "nothing here for this caller")
        }))
    }

    fn refuse(&self, status: u16, code: &str, parts: &Parts, why: &str) -> Response<Body> {
        let line = format!("{code}: {why}: {} {}", parts.method, parts.uri);
        self.refused.lock().unwrap().push(line);
        if parts.uri.path() == "/federation/credentials" {
            let mut answer = response(
                status,
                "application/json",
                json!({"message": why}).to_string(),
            );
            let name = "UnauthorizedException".parse().unwrap();
            answer.headers_mut().insert("x-amzn-errortype", name);
            return answer;
        }
        let error = format!("<Error><Code>{code}</Code><Message>{why}</Message></Error>");
        // S3 and STS wrap an error differently.
        let xml = if parts.uri.path() == "/" {
            format!("<ErrorResponse>{error}</ErrorResponse>")
        } else {
            error
        };
        response(status, "text/xml", xml)
    }

    /// A new key, its token, and its end.
    fn issue(&self) -> Option<(Keys, String, SystemTime)> {
        let mut issued = self.issued.lock().unwrap();
        if self.setup.most.is_some_and(|most| issued.len() >= most) {
            return None;
        }
        let keys = Keys::unique("ASIA");
        let (token, end) = (
            Keys::unique("token").secret,
            SystemTime::now() + self.setup.life,
        );
        issued.push(Issue {
            keys: keys.clone(),
            token: token.clone(),
            end,
            uses: 0,
        });
        Some((keys, token, end))
    }

    /// What the services say, to those who show what they must.
    fn identity(&self, parts: &Parts, body: &Bytes) -> Option<Response<Body>> {
        let shows = |name: &str, what: &str| parts.headers.get(name).is_some_and(|v| v == what);
        let secret = self.secret.as_str();
        let json = |value: serde_json::Value| response(200, "application/json", value.to_string());
        match (&parts.method, parts.uri.path()) {
            (&Method::POST, "/") => self.sts(parts, body),
            (&Method::POST, "/token") => {
                let asked: serde_json::Value = serde_json::from_slice(body).ok()?;
                let good = asked["grantType"] == "refresh_token" && asked["refreshToken"] == secret;
                good.then(|| {
                    json(
                        json!({"accessToken": format!("bearer-{secret}"), "expiresIn": 3600,
                        "tokenType": "Bearer"}),
                    )
                })
            }
            (&Method::GET, "/federation/credentials") => {
                let query = parts.uri.query()?;
                let good = shows("x-amz-sso_bearer_token", &format!("bearer-{secret}"))
                    && query.contains("role_name=analyst")
                    && query.contains("account_id=123456789012");
                let (keys, token, end) = good.then(|| self.issue())??;
                let end = end.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                Some(json(json!({"roleCredentials": {
                    "accessKeyId": keys.id, "secretAccessKey": keys.secret, "sessionToken": token,
                    "expiration": u64::try_from(end.as_millis()).ok()?,
                }})))
            }
            (&Method::PUT, "/latest/api/token") => {
                let mut answer = response(200, "text/plain", secret.to_owned());
                let lives = "21600".parse().ok()?;
                answer
                    .headers_mut()
                    .insert("x-aws-ec2-metadata-token-ttl-seconds", lives);
                Some(answer)
            }
            (&Method::GET, "/latest/meta-data/iam/security-credentials/")
                if shows("x-aws-ec2-metadata-token", secret) =>
            {
                Some(response(200, "text/plain", "machine".to_owned()))
            }
            (&Method::GET, "/latest/meta-data/iam/security-credentials/machine")
                if shows("x-aws-ec2-metadata-token", secret) =>
            {
                self.flat().map(json)
            }
            (&Method::GET, "/container") if shows("authorization", secret) => self.flat().map(json),
            // For a profile's `credential_process`, which is a shell script.
            (&Method::GET, "/process") => self.flat().map(json),
            _ => None,
        }
    }

    /// As containers, machines and programs are told.
    fn flat(&self) -> Option<serde_json::Value> {
        let (keys, token, end) = self.issue()?;
        Some(json!({
            "Version": 1, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2025-01-01T00:00:00Z",
            "AccessKeyId": keys.id, "SecretAccessKey": keys.secret,
            "Token": token, "SessionToken": token, "Expiration": iso(end),
        }))
    }

    fn sts(&self, parts: &Parts, body: &Bytes) -> Option<Response<Body>> {
        let form = String::from_utf8_lossy(body);
        let has = |field: &str| form.split('&').any(|pair| pair == field);
        let action = if has("Action=AssumeRoleWithWebIdentity") {
            has(&format!("WebIdentityToken={}", self.secret)).then_some("AssumeRoleWithWebIdentity")
        } else {
            let (signature, base) = (Signature::of(parts)?, self.setup.base.as_ref()?);
            let good = has("Action=AssumeRole")
                && signature.id == base.id
                && signature.is_by(&base.secret, parts, body)
                && has(&format!("ExternalId={}", self.secret));
            good.then_some("AssumeRole")
        }?;
        if !has("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fanalyst") {
            return None;
        }
        let (keys, token, end) = self.issue()?;
        let xml = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{}</Expiration></Credentials></{action}Result></{action}Response>",
            keys.id,
            keys.secret,
            iso(end)
        );
        Some(response(200, "text/xml", xml))
    }

    async fn s3(&self, mut parts: Parts, body: Incoming) -> Response<Body> {
        if let Err((status, code, why)) = self.admit(&parts) {
            // Read to its end, or the client sees a broken connection.
            let _ = body.collect().await;
            return self.refuse(status, code, &parts, why);
        }
        tokio::time::sleep(self.setup.pause).await;
        parts.headers.remove("x-amz-security-token");
        if self.setup.careless {
            parts.headers.remove("if-none-match");
        }
        if let Some(signature) = Signature::of(&parts) {
            signature.replace(&self.admin, &mut parts);
        }
        parts.uri = format!("{}{}", self.upstream, parts.uri).parse().unwrap();
        let body = body.map_err(io::Error::other).boxed_unsync();
        let request = Request::from_parts(parts, body);
        match self.client.request(request).await {
            Ok(answer) => {
                let mut answer = answer.map(|body| body.map_err(io::Error::other).boxed_unsync());
                if let Some(date) = self.setup.date {
                    answer.headers_mut().insert(DATE, date.parse().unwrap());
                }
                answer
            }
            Err(_) => response(502, "text/plain", "the server is away".to_owned()),
        }
    }

    /// Whether S3 takes a request; else what AWS would say.
    fn admit(&self, parts: &Parts) -> Result<(), (u16, &'static str, &'static str)> {
        let Some(signature) = Signature::of(parts) else {
            return Err((403, "AccessDenied", "not signed"));
        };
        let forged = Err((403, "SignatureDoesNotMatch", "another secret signed"));
        if let Some(base) = self.setup.base.as_ref().filter(|b| b.id == signature.id) {
            return if signature.is_by(&base.secret, parts, &[]) {
                Ok(())
            } else {
                forged
            };
        }
        let mut issued = self.issued.lock().unwrap();
        let Some(issue) = issued.iter_mut().find(|i| i.keys.id == signature.id) else {
            return Err((403, "InvalidAccessKeyId", "never handed out"));
        };
        let token = parts.headers.get("x-amz-security-token");
        if token.is_none_or(|token| token != issue.token.as_str()) {
            return Err((403, "InvalidToken", "another token than this key's"));
        }
        if !signature.is_by(&issue.keys.secret, parts, &[]) {
            return forged;
        }
        if issue.end < SystemTime::now() {
            return Err((400, "ExpiredToken", "the key's life is over"));
        }
        issue.uses += 1;
        Ok(())
    }
}

fn iso(time: SystemTime) -> String {
    let time = chrono::DateTime::<chrono::Utc>::from(time);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn response(status: u16, kind: &'static str, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(io::Error::other);
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    let kind = hyper::header::HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
