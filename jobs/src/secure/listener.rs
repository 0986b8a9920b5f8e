//! Accepted connections, with or without TLS, and serving on them.
//!
//! Handshakes are taken one beside the other, each within a time, so that who connects and says nothing keeps nobody
//! else waiting. Where TLS is on, a connection that speaks anything else, or shows a certificate that does not hold, is
//! closed before a service hears of it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::SecureError;
use super::policy::Policy;
use super::role::Certificate;
use super::tls::{HANDSHAKE, ServerTls};

/// Handshakes at a time; more wait in the system's queue.
const HANDSHAKES: usize = 128;

/// Who is at the other end of a connection; in the extensions of its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where from.
    pub address: SocketAddr,
    /// Its certificate, verified; `None` where none was shown.
    pub certificate: Option<Arc<Certificate>>,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    stream: Either,
}

#[derive(Debug)]
enum Either {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connection {
    async fn accept(
        stream: TcpStream,
        address: SocketAddr,
        tls: Option<&ServerTls>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            return Ok(Self {
                peer: Peer {
                    address,
                    certificate: None,
                },
                stream: Either::Plain(stream),
            });
        };
        let handshake = TlsAcceptor::from(tls.config()).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE, handshake).await??;
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown
            .and_then(<[_]>::first)
            .map(|der| Arc::new(Certificate::read(der)));
        Ok(Self {
            peer: Peer {
                address,
                certificate,
            },
            stream: Either::Tls(Box::new(stream)),
        })
    }
}

/// Connections to a listener, each after its handshake.
pub fn incoming(
    listener: TcpListener,
    tls: Option<ServerTls>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(HANDSHAKES);
    tokio::spawn(async move {
        let free = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Too many open files, say: not at once again.
                    log::warn!("a connection was not accepted: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (sender, tls) = (sender.clone(), tls.clone());
            tokio::spawn(async move {
                match Connection::accept(stream, address, tls.as_ref()).await {
                    Ok(connection) => {
                        let _ = sender.send(Ok(connection)).await;
                    }
                    Err(e) => log::warn!("{address}: no connection: {e}"),
                }
                drop(permit);
            });
        }
    });
    ReceiverStream::new(receiver)
}

/// Serves `routes` over HTTP/2 and HTTP/1.1 behind `policy`, until `shutdown`.
///
/// # Errors
/// When serving ends otherwise.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    policy: Policy,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), SecureError> {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(Duration::from_mins(1)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .layer(policy)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener, tls), shutdown)
        .await
        .map_err(|e| SecureError::Transport(e.to_string()))
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Either::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Either::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_flush(context),
            Either::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Either::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
