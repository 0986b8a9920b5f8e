//! Who may speak to which port, and say what.
//!
//! ```text
//! role      what a certificate or a token makes of its holder
//! tls       certificates from files, read again when they change; servers' and clients' settings
//! listener  accepted connections, plain or TLS, and who is at their other end
//! policy    a layer before every service: which path takes which role
//! tokens    bearer tokens of people, kept as hashes
//! ```
//!
//! Processes know each other by certificates of one private CA: each end verifies the other, TLS 1.3 only, and the
//! certificate names the role of its holder. People bring a token instead, over TLS, as a browser or a notebook can
//! hardly hold a certificate. What is decided is decided by the path of the request, before any service sees it: an
//! interceptor of tonic's would not know the method.
//!
//! Without TLS a port is for this machine: [`check_bind`] refuses another address.

pub mod listener;
pub mod policy;
pub mod role;
mod stamp;
pub mod tls;
pub mod tokens;

use std::net::SocketAddr;

pub use listener::{Connection, Peer, incoming, serve};
pub use policy::{Caller, Policy, Rule, Who};
pub use role::{Certificate, ROLE_URI, Role};
pub use tls::{ClientAuth, ClientTls, ServerTls, TlsArgs};
pub use tokens::{NewToken, Token, Tokens};

/// What is wrong with certificates, tokens or addresses. Messages say what to do; none holds a key or a token.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// Flags that contradict each other, or an address that would be open.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read or used.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A connection or server that cannot be set up.
    #[error("{0}")]
    Transport(String),
}

/// What protects a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Other processes connect: certificates on both sides.
    Processes {
        /// Whether there are certificates.
        tls: bool,
    },
    /// People connect: a certificate of the server's, and tokens.
    People {
        /// Whether there is a certificate.
        tls: bool,
        /// Whether there is a file of tokens.
        tokens: bool,
    },
}

/// Refuses an address that other machines reach where nothing protects it; with `insecure` it warns instead.
///
/// # Errors
/// A sentence that names `flag` and says what to do.
pub fn check_bind(
    flag: &str,
    address: SocketAddr,
    protection: Protection,
    insecure: bool,
) -> Result<(), SecureError> {
    let missing = match protection {
        Protection::Processes { tls: false } => {
            "--tls-cert, --tls-key and --tls-ca (certificates with roles, see docs/security.md)"
        }
        Protection::People { tls: false, .. } => {
            "--tls-cert and --tls-key, and --tokens (see docs/security.md)"
        }
        Protection::People { tokens: false, .. } => {
            "--tokens (a file of lines that `gleaner token new` prints)"
        }
        Protection::Processes { tls: true }
        | Protection::People {
            tls: true,
            tokens: true,
        } => {
            if insecure {
                log::warn!("--insecure does nothing: {address} is protected");
            }
            return Ok(());
        }
    };
    if address.ip().is_loopback() {
        return Ok(());
    }
    if insecure {
        log::error!(
            "--insecure: whoever reaches {address} can use it, which is to read and write what this process can; \
             give {missing}"
        );
        return Ok(());
    }
    Err(SecureError::Usage(format!(
        "{flag} {address}: other machines reach this address and nothing would protect it. Give {missing}, or bind \
         127.0.0.1, or say --insecure where a network of its own keeps strangers out"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_address_is_refused_without_tls_and_tokens() {
        let open: SocketAddr = "0.0.0.0:50050".parse().unwrap();
        let own: SocketAddr = "127.0.0.1:50050".parse().unwrap();
        let own6: SocketAddr = "[::1]:50050".parse().unwrap();
        let processes = |tls| Protection::Processes { tls };
        let people = |tls, tokens| Protection::People { tls, tokens };
        for bare in [
            processes(false),
            people(false, false),
            people(false, true),
            people(true, false),
        ] {
            let why = check_bind("--bind", open, bare, false).unwrap_err();
            let why = why.to_string();
            assert!(
                why.contains("--bind 0.0.0.0:50050") && why.contains("--insecure"),
                "{why}"
            );
            assert!(check_bind("--bind", open, bare, true).is_ok(), "{bare:?}");
            assert!(check_bind("--bind", own, bare, false).is_ok(), "{bare:?}");
            assert!(check_bind("--bind", own6, bare, false).is_ok(), "{bare:?}");
        }
        for good in [processes(true), people(true, true)] {
            assert!(check_bind("--bind", open, good, false).is_ok(), "{good:?}");
        }
    }
}
