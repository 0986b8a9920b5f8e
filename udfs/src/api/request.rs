//! One API request, borrowed from wherever it lies.

/// A request as the reader of telemetry maps it; what the telemetry lacks is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Request<'a> {
    /// Microseconds since 1970, UTC.
    pub micros: Option<i64>,
    /// Who: an account, a role, a key's name.
    pub user: Option<&'a str>,
    /// Session.
    pub session: Option<&'a str>,
    /// The client's address, or the name of a service.
    pub client_ip: Option<&'a str>,
    /// `GET`, `POST`, …
    pub method: Option<&'a str>,
    /// Host, or the service that was called.
    pub host: Option<&'a str>,
    /// Path without the query, percent-encoded as sent.
    pub path: Option<&'a str>,
    /// What follows `?`.
    pub query: Option<&'a str>,
    /// HTTP status.
    pub status: Option<i32>,
    /// The application's own code for what went wrong.
    pub error_code: Option<&'a str>,
    /// Bytes of the request.
    pub request_bytes: Option<i64>,
    /// Bytes of the response.
    pub response_bytes: Option<i64>,
    /// Milliseconds to the response.
    pub latency_ms: Option<f32>,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a str>,
    /// Body, or the call's parameters, as text.
    pub body: Option<&'a str>,
    /// Headers, a JSON object.
    pub headers: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request of its texts, in the order of the fields; all else is missing.
    #[must_use]
    pub fn of_texts(texts: [Option<&'a str>; 12]) -> Self {
        let [
            user,
            session,
            client_ip,
            method,
            host,
            path,
            query,
            error_code,
            user_agent,
            referer,
            body,
            headers,
        ] = texts;
        Self {
            user,
            session,
            client_ip,
            method,
            host,
            path,
            query,
            error_code,
            user_agent,
            referer,
            body,
            headers,
            ..Self::default()
        }
    }

    /// Whose habits the request belongs to: its user, else its session, else its client.
    #[must_use]
    pub fn actor(&self) -> Option<&'a str> {
        let some = |text: Option<&'a str>| text.filter(|t| !t.is_empty());
        some(self.user)
            .or_else(|| some(self.session))
            .or_else(|| some(self.client_ip))
    }

    /// Whether the call failed: a status of 400 and above, or an error code.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.status.is_some_and(|s| s >= 400) || self.error_code.is_some_and(|e| !e.is_empty())
    }

    /// Bytes that the request brought: as told, else those of its body.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<i64> {
        match self.request_bytes {
            Some(bytes) if bytes > 0 => Some(bytes),
            told => self
                .body
                .map(|body| i64::try_from(body.len()).unwrap_or(i64::MAX))
                .or(told),
        }
    }
}

/// A 64-bit hash of a text, for counts: FNV-1a, finished by `SplitMix64`'s mixer. The same on every platform.
#[must_use]
pub fn text_hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    crate::rng::mix(fnv)
}

/// The hash of two hashes, in their order.
#[must_use]
pub fn pair_hash(a: u64, b: u64) -> u64 {
    crate::rng::mix(a.rotate_left(25).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b)
}

/// A request that owns its texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnedRequest {
    /// Microseconds since 1970, UTC.
    pub micros: Option<i64>,
    /// The texts, in the order of [`Request`]'s: user, session, client, method, host, path, query, error code, agent,
    /// referer, body, headers.
    pub texts: [Option<String>; 12],
    /// HTTP status.
    pub status: Option<i32>,
    /// Bytes of the request.
    pub request_bytes: Option<i64>,
    /// Bytes of the response.
    pub response_bytes: Option<i64>,
    /// Milliseconds.
    pub latency_ms: Option<f32>,
}

impl OwnedRequest {
    /// The request.
    #[must_use]
    pub fn as_request(&self) -> Request<'_> {
        Request {
            micros: self.micros,
            status: self.status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            latency_ms: self.latency_ms,
            ..Request::of_texts(self.texts.each_ref().map(Option::as_deref))
        }
    }
}
