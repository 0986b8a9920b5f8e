//! Somebody at a port, who tries what is there.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gleaner::secure::TlsArgs;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::pki::Holder;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No connection, or it was closed.
    Closed,
    /// The caller is not known.
    Unknown,
    /// The caller is known and may not.
    Forbidden,
    /// The service itself answered, whatever it made of an empty message.
    Answered,
}

/// How somebody speaks.
#[derive(Clone)]
pub struct Speaker {
    pub tls: Option<TlsArgs>,
    pub token: Option<String>,
}

impl Speaker {
    /// Plaintext.
    pub fn plain() -> Self {
        Self {
            tls: None,
            token: None,
        }
    }

    /// Over TLS, believing `ca`, with a certificate of one's own or without.
    pub fn over_tls(ca: &str, holder: Option<&Holder>) -> Self {
        let path = |text: &String| text.into();
        Self {
            tls: Some(TlsArgs {
                tls_ca: Some(ca.into()),
                tls_cert: holder.map(|h| path(&h.cert)),
                tls_key: holder.map(|h| path(&h.key)),
            }),
            token: None,
        }
    }

    /// The same, with a bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(10));
        match &self.tls {
            None => endpoint,
            Some(tls) => tls
                .client()
                .unwrap()
                .unwrap()
                .endpoint(&endpoint, None)
                .unwrap()
                .timeout(Duration::from_secs(10)),
        }
    }

    /// A channel; opened when it is used.
    pub fn channel(&self, address: SocketAddr) -> Channel {
        self.endpoint(address).connect_lazy()
    }

    /// Calls a gRPC method with an empty message.
    pub async fn call(&self, address: SocketAddr, path: &str) -> Outcome {
        let mut grpc = Grpc::new(self.channel(address));
        if grpc.ready().await.is_err() {
            return Outcome::Closed;
        }
        let mut request = Request::new(());
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let path = PathAndQuery::try_from(path).unwrap();
        let codec = ProstCodec::<(), ()>::default();
        match grpc.unary(request, path, codec).await {
            Ok(_) => Outcome::Answered,
            Err(status) if std::error::Error::source(&status).is_some() => Outcome::Closed,
            Err(status) => match status.code() {
                Code::Unauthenticated => Outcome::Unknown,
                Code::PermissionDenied => Outcome::Forbidden,
                _ => Outcome::Answered,
            },
        }
    }

    /// Gets a path over HTTP.
    pub async fn get(&self, address: SocketAddr, path: &str) -> Outcome {
        let Some(tls) = &self.tls else {
            return raw(address, path);
        };
        let tls = tls.client().unwrap().unwrap();
        let client = tls.http(Duration::from_secs(10)).unwrap();
        let mut request = client.get(format!("https://{address}{path}"));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = request.send().await;
        match answer.map(|answer| answer.status().as_u16()) {
            Err(_) => Outcome::Closed,
            Ok(401) => Outcome::Unknown,
            Ok(403) => Outcome::Forbidden,
            Ok(_) => Outcome::Answered,
        }
    }
}

/// Plain text over plain TCP.
fn raw(address: SocketAddr, path: &str) -> Outcome {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return Outcome::Closed;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut answer = vec![];
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 ") {
        return Outcome::Closed;
    }
    match &answer["HTTP/1.1 ".len()..][..3] {
        "401" => Outcome::Unknown,
        "403" => Outcome::Forbidden,
        _ => Outcome::Answered,
    }
}
