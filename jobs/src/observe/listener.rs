//! `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! Health says that the process answers; readiness that it can do its work, and if not, why, in a word. Kubernetes asks both.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::error::JobError;

/// What Prometheus is told of the form.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections at a time: a scraper and probes need two.
const CONNECTIONS: usize = 64;
/// For a request's head, and for a connection that says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A future of something that is asked at every request.
pub type Asked<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is served.
pub struct Served {
    /// The metrics.
    pub registry: Registry,
    /// Called before the registry is written: sets what is measured and not counted.
    pub refresh: Box<dyn Fn() -> Asked<()> + Send + Sync>,
    /// Whether the program can do its work; if not, why.
    pub ready: Box<dyn Fn() -> Asked<Result<(), String>> + Send + Sync>,
}

impl Served {
    /// A registry alone; ready as soon as it listens.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            refresh: Box::new(|| Box::pin(async {})),
            ready: Box::new(|| Box::pin(async { Ok(()) })),
        }
    }
}

/// Listens from now on; returns the address, which is another than `address` when that has port 0.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(address: SocketAddr, served: Served) -> Result<SocketAddr, JobError> {
    let failed = |e: std::io::Error| JobError::Usage(format!("--metrics {address}: {e}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tokio::spawn(accept(listener, Arc::new(served)));
    log::info!("metrics and health at http://{bound}");
    Ok(bound)
}

async fn accept(listener: TcpListener, served: Arc<Served>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: that passes, or the process does.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&served), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
            drop(slot);
        });
    }
}

async fn answer(
    served: Arc<Served>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Ok(response(
            StatusCode::METHOD_NOT_ALLOWED,
            PLAIN,
            "GET alone\n",
        ));
    }
    Ok(match request.uri().path() {
        "/metrics" => {
            (served.refresh)().await;
            let mut text = String::new();
            match encode(&mut text, &served.registry) {
                Ok(()) => response(StatusCode::OK, OPENMETRICS, text),
                Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "not written\n"),
            }
        }
        "/healthz" => response(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match (served.ready)().await {
            Ok(()) => response(StatusCode::OK, PLAIN, "ready\n"),
            Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => response(
            StatusCode::NOT_FOUND,
            PLAIN,
            "/metrics, /healthz, /readyz\n",
        ),
    })
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}
