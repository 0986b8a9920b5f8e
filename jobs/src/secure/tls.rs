//! Certificates from files, and what servers and clients make of them.
//!
//! One CA is trusted, that of `--tls-ca`, not the system's: a certificate of some public CA opens nothing here. Servers
//! look at their files at every connection, and read them again when one has changed (cert-manager renews a
//! certificate well before its end); clients read them for every connection that they open. A file that was changed
//! for the worse changes nothing but the log. What lasts is a connection: it is not ended when a certificate ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::transport::{Certificate as Pem, ClientTlsConfig, Endpoint, Identity, Uri};

use super::SecureError;
use super::stamp::{Stamp, allows};

/// Longest time that a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Certificates of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct TlsArgs {
    /// PEM file of this process's certificate, and of those between it and the CA's. With a key, and for servers without
    /// which nothing but loopback is bound.
    #[arg(long, value_name = "FILE", env = "GLEANER_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, value_name = "FILE", env = "GLEANER_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// PEM file of the CA whose certificates the other end may show.
    #[arg(long, value_name = "FILE", env = "GLEANER_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
}

/// Whether who connects must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Yes: processes.
    Required,
    /// A certificate is verified where one is shown: people bring tokens.
    Optional,
}

impl TlsArgs {
    /// Whether one of them was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_ca.is_some()
    }

    /// A server's settings; `None` where no flag was given.
    ///
    /// # Errors
    /// When a flag is missing beside the others, or a file is not what it should be.
    pub fn server(&self, clients: ClientAuth) -> Result<Option<ServerTls>, SecureError> {
        if !self.is_given() {
            return Ok(None);
        }
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Err(SecureError::Usage(
                "--tls-cert and --tls-key go together: a server needs both".to_owned(),
            ));
        };
        if clients == ClientAuth::Required && self.tls_ca.is_none() {
            return Err(SecureError::Usage(
                "--tls-ca is missing: without it nobody's certificate could be verified".to_owned(),
            ));
        }
        let files = Files {
            identity: Some((cert.clone(), key.clone())),
            ca: self.tls_ca.clone(),
        };
        let stamps = files.stamps()?;
        let config = files.server(clients)?;
        Ok(Some(ServerTls(Arc::new(Reloaded {
            files,
            clients,
            current: Mutex::new((stamps, config)),
        }))))
    }

    /// A client's settings; `None` where no flag was given. The files are read at once, so that what is wrong with
    /// them shows at the start.
    ///
    /// # Errors
    /// As [`TlsArgs::server`].
    pub fn client(&self) -> Result<Option<ClientTls>, SecureError> {
        if !self.is_given() {
            return Ok(None);
        }
        let Some(ca) = &self.tls_ca else {
            return Err(SecureError::Usage(
                "--tls-ca is missing: it says which servers to believe".to_owned(),
            ));
        };
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => {
                return Err(SecureError::Usage(
                    "--tls-cert and --tls-key go together".to_owned(),
                ));
            }
        };
        let files = Files {
            identity,
            ca: Some(ca.clone()),
        };
        files.client()?;
        Ok(Some(ClientTls(files)))
    }
}

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    identity: Option<(PathBuf, PathBuf)>,
    ca: Option<PathBuf>,
}

fn wrong(path: &Path, why: impl Into<String>) -> SecureError {
    SecureError::File {
        path: path.display().to_string(),
        why: why.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SecureError> {
    std::fs::read(path).map_err(|e| wrong(path, e.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecureError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(
            path,
            "no certificate can be read: expected a PEM file with -----BEGIN CERTIFICATE----- blocks",
        )),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, SecureError> {
    // Not the library's words, which might quote.
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| {
        wrong(
            path,
            "no private key can be read: expected a PEM file with one unencrypted -----BEGIN PRIVATE KEY----- block",
        )
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Files {
    fn stamps(&self) -> Result<Vec<Stamp>, SecureError> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        identity
            .chain(&self.ca)
            .map(|path| Stamp::of(path).map_err(|e| wrong(path, e.to_string())))
            .collect()
    }

    fn identity(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, SecureError> {
        let Some((cert, key_file)) = &self.identity else {
            return Ok(None);
        };
        if allows(key_file, 0o004).unwrap_or_default() {
            log::warn!(
                "{}: every user of this machine may read this private key: chmod o-r it",
                key_file.display()
            );
        }
        Ok(Some((certificates(cert)?, key(key_file)?)))
    }

    fn roots(&self) -> Result<Option<Arc<RootCertStore>>, SecureError> {
        let Some(path) = &self.ca else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|e| wrong(path, format!("not a CA's certificate: {e}")))?;
        }
        Ok(Some(Arc::new(roots)))
    }

    fn server(&self, clients: ClientAuth) -> Result<Arc<ServerConfig>, SecureError> {
        let failed = |e: rustls::Error| SecureError::Transport(format!("TLS: {e}"));
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?;
        let builder = match self.roots()? {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = match clients {
                    ClientAuth::Required => verifier,
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|e| SecureError::Transport(format!("TLS: {e}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let Some((chain, key)) = self.identity()? else {
            return Err(SecureError::Usage(
                "a server needs --tls-cert and --tls-key".to_owned(),
            ));
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| self.unfit(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Every connection shows its certificate anew: a session's ticket would outlive it.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn client(&self) -> Result<ClientConfig, SecureError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| SecureError::Transport(format!("TLS: {e}")))?;
        let roots = self.roots()?;
        let roots = roots.unwrap_or_else(|| Arc::new(RootCertStore::empty()));
        let builder = builder.with_root_certificates(roots);
        match self.identity()? {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| self.unfit(&e)),
        }
    }

    fn unfit(&self, why: &rustls::Error) -> SecureError {
        let path = self.identity.as_ref().map(|(cert, _)| cert.as_path());
        let why = format!("certificate and key do not fit each other, or are not supported: {why}");
        wrong(path.unwrap_or(Path::new("--tls-cert")), why)
    }
}

/// A server's certificates, read again when they change.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Reloaded>);

#[derive(Debug)]
struct Reloaded {
    files: Files,
    clients: ClientAuth,
    current: Mutex<(Vec<Stamp>, Arc<ServerConfig>)>,
}

impl ServerTls {
    /// What the next connection is accepted with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (stamps, config) = &mut *current;
        match self.0.files.stamps() {
            Ok(now) if now == *stamps => {}
            Ok(now) => {
                match self.0.files.server(self.0.clients) {
                    Ok(read) => {
                        log::info!("certificates were read again");
                        *config = read;
                    }
                    Err(e) => log::error!("the certificates stay what they were: {e}"),
                }
                *stamps = now;
            }
            // It is being replaced, perhaps.
            Err(e) => log::debug!("{e}"),
        }
        Arc::clone(config)
    }
}

/// A client's certificates.
#[derive(Debug, Clone)]
pub struct ClientTls(Files);

impl ClientTls {
    /// The same endpoint over TLS, whatever its scheme was.
    ///
    /// # Errors
    /// When a file cannot be used, or the URI has no host.
    pub fn endpoint(
        &self,
        plain: &Endpoint,
        settings: Option<&GrpcClientConfig>,
    ) -> Result<Endpoint, SecureError> {
        let failed = |e: String| SecureError::Transport(format!("TLS: {e}"));
        let mut parts = plain.uri().clone().into_parts();
        parts.scheme = Some(tonic::codegen::http::uri::Scheme::HTTPS);
        let uri = Uri::from_parts(parts).map_err(|e| failed(e.to_string()))?;
        // tonic leaves TLS away where the URI that an endpoint was made of is not https.
        let endpoint = create_grpc_client_endpoint(uri.to_string(), settings)
            .map_err(|e| failed(e.to_string()))?;
        endpoint
            .tls_config(self.tonic()?)
            .map_err(|e| failed(e.to_string()))
    }

    fn tonic(&self) -> Result<ClientTlsConfig, SecureError> {
        // What is wrong with them is said here, in words of ours.
        self.0.client()?;
        let mut config = ClientTlsConfig::new().timeout(HANDSHAKE);
        if let Some(ca) = &self.0.ca {
            config = config.ca_certificate(Pem::from_pem(read(ca)?));
        }
        if let Some((cert, key)) = &self.0.identity {
            config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(config)
    }

    /// A client of HTTP.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn http(&self, timeout: Duration) -> Result<reqwest::Client, SecureError> {
        reqwest::Client::builder()
            .use_preconfigured_tls(self.0.client()?)
            .https_only(true)
            .timeout(timeout)
            .no_proxy()
            .build()
            .map_err(|e| SecureError::Transport(format!("TLS: {e}")))
    }
}
