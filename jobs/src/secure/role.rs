//! Roles, and where a certificate holds its own: as a URI among its subject alternative names,
//! `urn:gleaner:role:executor` (RFC 5280, 4.2.1.6).
//!
//! Why there: the subject's fields are free text that CAs rewrite and that RFC 9525 has clients ignore, and an OU can
//! no longer be had from many of them. A URI name is what SPIFFE puts identities into, openssl and cert-manager issue
//! (`uris:`), and a CA's policy can limit to some holders. A certificate may hold several roles.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;

/// What a role's name stands behind in a certificate.
pub const ROLE_URI: &str = "urn:gleaner:role:";

/// What somebody is to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A process that hands out tasks.
    Scheduler,
    /// A process that runs tasks.
    Executor,
    /// A process that runs days: `gleaner run --cluster`, `gleaner serve`.
    Driver,
    /// A program that reads and queries, as a viewer does.
    Client,
    /// A program that sends what happens to be scored, and sees nothing else.
    Sensor,
    /// A person who reads and queries.
    Viewer,
    /// A person who submits and cancels as well.
    Operator,
}

impl Role {
    /// Those of certificates.
    pub const OF_CERTIFICATES: [Self; 5] = [
        Self::Scheduler,
        Self::Executor,
        Self::Driver,
        Self::Client,
        Self::Sensor,
    ];
    /// Those of tokens.
    pub const OF_TOKENS: [Self; 3] = [Self::Viewer, Self::Operator, Self::Sensor];

    /// As in certificates and files of tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Executor => "executor",
            Self::Driver => "driver",
            Self::Client => "client",
            Self::Sensor => "sensor",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    /// A role of tokens, which people and sensors are given.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::OF_TOKENS
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("unknown role {text:?}: expected viewer, operator or sensor"))
    }
}

/// What a verified certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Its first DNS name; empty where it has none.
    pub name: String,
    /// Never one of a person's.
    pub roles: BTreeSet<Role>,
}

impl Certificate {
    /// Reads a certificate that was verified before. One that cannot be read has no role.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = webpki::EndEntityCert::try_from(der) else {
            return Self::default();
        };
        let roles = certificate.valid_uri_names().filter_map(|uri| {
            let name = uri.strip_prefix(ROLE_URI)?;
            Role::OF_CERTIFICATES
                .into_iter()
                .find(|role| role.name() == name)
        });
        Self {
            roles: roles.collect(),
            name: certificate
                .valid_dns_names()
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}
