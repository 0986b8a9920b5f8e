//! AWS's signature, version 4, made and verified: a peer that takes no client's word must know it.

use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::seaweed::Keys;

/// What an `Authorization` header says.
pub struct Signature {
    /// The access key's name.
    pub id: String,
    /// `date/region/service/aws4_request`
    scope: String,
    headers: Vec<String>,
    hex: String,
}

impl Signature {
    /// The signature of a request, if it has one.
    pub fn of(request: &Parts) -> Option<Self> {
        let header = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| {
            let mut fields = fields.split(',').map(str::trim);
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let (id, scope) = field("Credential")?.split_once('/')?;
        Some(Self {
            id: id.to_owned(),
            scope: scope.to_owned(),
            headers: field("SignedHeaders")?
                .split(';')
                .map(str::to_owned)
                .collect(),
            hex: field("Signature")?.to_owned(),
        })
    }

    /// Whether it was made with this secret, for this request with this body.
    pub fn is_by(&self, secret: &str, request: &Parts, body: &[u8]) -> bool {
        self.hex == hex_signature(secret, &self.scope, &self.headers, request, body)
    }

    /// Signs the request as somebody else, over the headers that it still has.
    pub fn replace(mut self, keys: &Keys, request: &mut Parts) {
        self.headers
            .retain(|name| request.headers.contains_key(name));
        put(request, keys, &self.scope, &self.headers, &[]);
    }
}

/// Signs a request with an empty or small body for S3 in the region that tests use.
pub fn sign(keys: &Keys, request: &mut Parts, body: &[u8]) {
    let now = chrono::Utc::now();
    let headers = ["host", "x-amz-content-sha256", "x-amz-date"].map(str::to_owned);
    for (name, value) in [
        ("x-amz-date", now.format("%Y%m%dT%H%M%SZ").to_string()),
        ("x-amz-content-sha256", hex(&Sha256::digest(body))),
        ("host", request.uri.authority().unwrap().to_string()),
    ] {
        request.headers.insert(name, value.parse().unwrap());
    }
    let scope = format!("{}/us-east-1/s3/aws4_request", now.format("%Y%m%d"));
    put(request, keys, &scope, &headers, body);
}

fn put(request: &mut Parts, keys: &Keys, scope: &str, headers: &[String], body: &[u8]) {
    let signature = hex_signature(&keys.secret, scope, headers, request, body);
    let text = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        keys.id,
        headers.join(";")
    );
    let value = HeaderValue::from_str(&text).unwrap();
    request.headers.insert(AUTHORIZATION, value);
}

fn hex_signature(
    secret: &str,
    scope: &str,
    signed: &[String],
    request: &Parts,
    body: &[u8],
) -> String {
    let header = |name: &str| -> String {
        let values = request.headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| value.to_str().unwrap_or_default().trim())
            .collect();
        values.join(",")
    };
    let query = request.uri.query().unwrap_or_default().split('&');
    let mut query: Vec<_> = query
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let query: Vec<_> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let headers: Vec<_> = signed
        .iter()
        .map(|name| format!("{name}:{}", header(name)))
        .collect();
    // S3 is told the body's hash; other services make it themselves.
    let hash = match header("x-amz-content-sha256") {
        told if told.is_empty() => hex(&Sha256::digest(body)),
        told => told,
    };
    let canonical = format!(
        "{}\n{}\n{}\n{}\n\n{}\n{hash}",
        request.method,
        request.uri.path(),
        query.join("&"),
        headers.join("\n"),
        signed.join(";"),
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        header("x-amz-date"),
        hex(&Sha256::digest(canonical))
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac(&key, part.as_bytes())
        });
    hex(&hmac(&key, to_sign.as_bytes()))
}

/// HMAC-SHA256, of keys that fit a block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| -> Vec<u8> {
        let padded = key.iter().copied().chain(std::iter::repeat(0)).take(64);
        padded.map(|k| k ^ byte).collect()
    };
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}
