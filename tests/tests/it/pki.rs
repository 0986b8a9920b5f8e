//! A CA of a test's own, and certificates of roles.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use crate::support::Dir;

/// Files of one holder.
#[derive(Clone)]
pub struct Holder {
    pub cert: String,
    pub key: String,
    /// The CA that the holder believes.
    pub ca: String,
}

impl Holder {
    /// As flags.
    pub fn args(&self) -> Vec<String> {
        let flags = [
            ("--tls-cert", &self.cert),
            ("--tls-key", &self.key),
            ("--tls-ca", &self.ca),
        ];
        let flags = flags.into_iter();
        flags
            .flat_map(|(flag, file)| [flag.to_owned(), file.clone()])
            .collect()
    }
}

/// A certificate authority.
pub struct Ca<'a> {
    dir: &'a Dir,
    name: String,
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: String,
}

impl<'a> Ca<'a> {
    pub fn new(dir: &'a Dir, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, name);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = authority.self_signed(&key).unwrap();
        Self {
            dir,
            name: name.to_owned(),
            file: dir.write(&format!("pki/{name}.pem"), certificate.pem()),
            issuer: Issuer::new(authority, key),
        }
    }

    /// A certificate of `role` for loopback, which believes this CA.
    pub fn issue(&self, role: &str) -> Holder {
        self.make(role, &[role], false)
    }

    /// One that ended years ago.
    pub fn expired(&self, role: &str) -> Holder {
        self.make(&format!("{role}-expired"), &[role], true)
    }

    fn make(&self, name: &str, roles: &[&str], expired: bool) -> Holder {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        for role in roles {
            let uri = format!("urn:gleaner:role:{role}");
            let uri = SanType::URI(uri.as_str().try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| format!("pki/{}-{name}.{end}", self.name);
        Holder {
            cert: self.dir.write(&at("crt"), certificate.pem()),
            key: self.dir.write(&at("key"), key.serialize_pem()),
            ca: self.file.clone(),
        }
    }
}
