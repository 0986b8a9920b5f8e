//! Values of a request, brought into one form.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::telemetry::value::Node;

/// Methods that some logs write in small letters (ECS before 1.6 asked for it).
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
];

pub(super) fn method(method: Cow<'_, str>) -> Cow<'_, str> {
    match METHODS.iter().find(|m| m.eq_ignore_ascii_case(&method)) {
        Some(known) => Cow::Borrowed(*known),
        None => method,
    }
}

/// An address without its port; of a list (`X-Forwarded-For`), the client's, which is the first. What is no address stays as it is:
/// the name of a host, or of a service.
pub(super) fn address(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if plain_v4(&text) {
        return Some(text);
    }
    let first = text.split(',').next().unwrap_or_default().trim();
    let address = first.parse::<IpAddr>().ok();
    let address = address.or_else(|| first.parse::<SocketAddr>().ok().map(|a| a.ip()));
    match address {
        Some(address) => Some(Cow::Owned(address.to_canonical().to_string())),
        None if matches!(first, "" | "-") => None,
        None => Some(Cow::Owned(first.to_owned())),
    }
}

/// Digits and dots alone: nothing to clean, in the most frequent case.
fn plain_v4(text: &str) -> bool {
    text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Names of hosts know no case.
pub(super) fn host(host: Cow<'_, str>) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        host
    }
}

pub(super) fn query(query: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let bare = query.strip_prefix('?').map(str::to_owned);
    let query = bare.map_or(query, Cow::Owned);
    (!query.is_empty()).then_some(query)
}

/// A request's target.
#[derive(Debug, PartialEq)]
pub(super) struct Target<'a> {
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) path: Cow<'a, str>,
    pub(super) query: Option<Cow<'a, str>>,
}

/// Cuts `https://host/path?query`, or `/path?query`. The scheme's own port is not a part of the host; a URL without a path is one
/// with `/`.
pub(super) fn target<'a>(whole: &Cow<'a, str>) -> Target<'a> {
    let part = |from: usize, to: usize| match whole {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
        Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
    };
    let text = whole.as_ref();
    let (host, path_from) = match authority(text) {
        Some((from, to)) => {
            let scheme = &text[..from - 3];
            let name = text[from..to].rsplit('@').next().unwrap_or_default();
            let own_port =
                if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") {
                    ":443"
                } else {
                    ":80"
                };
            let name = name.strip_suffix(own_port).unwrap_or(name);
            let name = host(Cow::Owned(name.to_owned()));
            ((!name.is_empty()).then_some(name), to)
        }
        None => (None, 0),
    };
    let mark = text[path_from..].find('?').map(|at| path_from + at);
    let path = part(path_from, mark.unwrap_or(text.len()));
    Target {
        host,
        path: if path.is_empty() && (path_from > 0 || mark.is_some()) {
            Cow::Borrowed("/")
        } else {
            path
        },
        query: mark
            .map(|at| part(at + 1, text.len()))
            .filter(|query| !query.is_empty()),
    }
}

/// Where a URL's authority begins and ends.
fn authority(text: &str) -> Option<(usize, usize)> {
    let at = text.find("://")?;
    let scheme = &text.as_bytes()[..at];
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let from = at + 3;
    let length = text[from..].find(['/', '?', '#']);
    is_scheme.then(|| (from, length.map_or(text.len(), |n| from + n)))
}

/// Method and target of `GET /path HTTP/1.1`, or of HTTP/0.9's `GET /path`; `None` for what is no request (TLS spoken to a plain
/// port, a port scan). A target may hold blanks, which clients do not always encode.
pub(super) fn request_line(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    let is_method = !method.is_empty()
        && method.len() <= 32
        && method
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'*'));
    let target = match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
        // Without a protocol, what looks like words may be; a load balancer that was sent none writes a dash.
        _ if rest.starts_with('/') || authority(rest).is_some_and(|_| !rest.ends_with(" -")) => {
            rest
        }
        _ => return None,
    };
    let target = target.trim();
    (is_method && method != "-" && !target.is_empty()).then_some((method, target))
}

/// A whole number from 0 to `most`; the error says what is wrong, without its text.
pub(super) fn count(value: Option<&Node>, most: i64) -> Result<Option<i64>, String> {
    let number = match value {
        None | Some(Node::Null) => return Ok(None),
        Some(Node::Int(number)) => Some(*number),
        // A column with gaps that went through pandas: 200.0, NaN.
        Some(Node::Float(number)) if number.is_nan() => return Ok(None),
        Some(Node::Float(number)) => whole(*number),
        Some(Node::Text(text)) => {
            let text = text.trim();
            if is_nothing(text) {
                return Ok(None);
            }
            let number = text.parse::<i64>().ok();
            number.or_else(|| text.parse::<f64>().ok().and_then(whole))
        }
        Some(_) => None,
    };
    match number {
        Some(number) if (0..=most).contains(&number) => Ok(Some(number)),
        Some(_) => Err("a number out of range".to_owned()),
        None => Err("no whole number".to_owned()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be a whole number below 2^53"
)]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "-" | "NaN" | "nan" | "null" | "None")
}

/// Milliseconds of a duration in units of so many of them, if not in them; the error says what is wrong, without its text.
pub(super) fn latency(value: Option<&Node>, unit_ms: Option<f64>) -> Result<Option<f64>, String> {
    let number = match value {
        None | Some(Node::Null) => return Ok(None),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a duration of more than 2^53 units is none"
        )]
        Some(Node::Int(number)) => Some(*number as f64),
        Some(Node::Float(number)) if number.is_nan() => return Ok(None),
        Some(Node::Float(number)) => Some(*number),
        Some(Node::Text(text)) if is_nothing(text.trim()) => return Ok(None),
        Some(Node::Text(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match number {
        // Milliseconds are left as they are; other units are rounded to a nanosecond, so that 0.1 s are 100 ms. No -0.
        Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(match unit_ms {
            None => number + 0.0,
            Some(unit_ms) => (number * unit_ms * 1e6).round() / 1e6,
        })),
        Some(_) => Err("a duration out of range".to_owned()),
        None => Err("no number".to_owned()),
    }
}

/// Text as it is; an object or a list as JSON.
pub(super) fn json<'a>(value: &'a Node<'a>) -> Option<Cow<'a, str>> {
    match value {
        Node::Map(_) | Node::List(_) => serde_json::to_string(value).ok().map(Cow::Owned),
        other => other.text(),
    }
}

/// Headers as a JSON object: OCSF lists them as objects of name and value.
pub(super) fn headers<'a>(value: &'a Node<'a>) -> Option<Cow<'a, str>> {
    let Node::List(items) = value else {
        return json(value);
    };
    let pair = |item: &Node| {
        let name = item.get("name")?.text()?.into_owned();
        let value = item.get("value").and_then(Node::text);
        Some((name, value.unwrap_or_default().into_owned()))
    };
    let pairs: Option<Vec<_>> = items.iter().map(pair).collect();
    let Some(pairs) = pairs else {
        return json(value);
    };
    let object = Node::Map(
        pairs
            .into_iter()
            .map(|(name, value)| (Cow::Owned(name), Node::Text(Cow::Owned(value))))
            .collect(),
    );
    serde_json::to_string(&object).ok().map(Cow::Owned)
}
