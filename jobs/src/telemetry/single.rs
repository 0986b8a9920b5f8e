//! One request or command line at a time, as a service is sent it: read and cleaned by the same mappings as files of telemetry, so that it
//! is what a row of the table would be.

use std::borrow::Cow;

use gleaner_udfs::api::request::OwnedRequest;

use super::mapping::{Essential, api};
use super::value::Node;
use super::{Kind, SchemaKind, time};

/// Bytes of a request's texts, or of a command line, as the reader's default.
pub const MAX_BYTES: usize = 1 << 20;

/// A command line with what its features are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneCommand {
    /// The line.
    pub command_line: String,
    /// Image, parent's image, original file name, the user's SID, integrity level.
    pub texts: [Option<String>; 5],
    /// Whether the image is signed, and its signer trusted.
    pub signed: [Option<bool>; 2],
}

/// Reads a request of a line of NDJSON, in any schema of requests. One whose line says nothing of the time has none.
///
/// # Errors
/// Why the reader would put it in quarantine; the text quotes nothing of the line.
pub fn request_of_json(line: &str) -> Result<OwnedRequest, String> {
    let record = parse(line)?;
    let schema = SchemaKind::recognise(Kind::Api, &|path| record.has(path))
        .ok_or("no path or operation under any name we know")?;
    let mapped = api::map(schema, &record);
    if let Some(other) = mapped.other_activity {
        return Err(format!("no request: {other}"));
    }
    let micros = match mapped.time {
        None => None,
        Some(Node::Text(text)) if text.is_empty() => None,
        Some(value) => Some(time::parse(value).map_err(|e| format!("event time: {e}"))?),
    };
    owned(micros, &mapped.request)
}

/// Brings a request into the form of the table: a method in capitals, an address without its port, a URL cut into host, path and query,
/// `""` and `-` as nothing.
///
/// # Errors
/// As [`request_of_json`].
pub fn clean(request: &OwnedRequest) -> Result<OwnedRequest, String> {
    const NAMES: [&str; 12] = [
        "user",
        "session",
        "client_ip",
        "method",
        "host",
        "path",
        "query",
        "error_code",
        "user_agent",
        "referer",
        "body",
        "headers",
    ];
    let mut record = Vec::with_capacity(16);
    for (name, text) in NAMES.into_iter().zip(&request.texts) {
        if let Some(text) = text {
            record.push((
                Cow::Borrowed(name),
                Node::Text(Cow::Borrowed(text.as_str())),
            ));
        }
    }
    let numbers = [
        ("status", request.status.map(i64::from)),
        ("request_bytes", request.request_bytes),
        ("response_bytes", request.response_bytes),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            record.push((Cow::Borrowed(name), Node::Int(number)));
        }
    }
    if let Some(latency) = request.latency_ms {
        record.push((Cow::Borrowed("latency_ms"), Node::Float(f64::from(latency))));
    }
    let record = Node::Map(record);
    owned(request.micros, &api::map(SchemaKind::Api, &record).request)
}

fn owned(micros: Option<i64>, request: &api::Request<'_>) -> Result<OwnedRequest, String> {
    if let Some((reason, detail)) = &request.fault {
        return Err(format!("{reason}: {detail}"));
    }
    let path = match &request.path {
        Essential::Text(text) if !text.trim().is_empty() => text,
        Essential::WrongType | Essential::NotUtf8(_) => return Err("path is not text".to_owned()),
        _ => return Err("path is missing".to_owned()),
    };
    let texts = || request.texts().chain([path.as_ref()]);
    let bytes: usize = texts().map(str::len).sum();
    if bytes > MAX_BYTES {
        return Err(format!("request of {bytes} bytes: {MAX_BYTES} at most"));
    }
    if texts().any(|text| text.contains('\0')) {
        return Err("holds U+0000".to_owned());
    }
    let own = |text: &Option<Cow<'_, str>>| text.as_ref().map(|t| t.clone().into_owned());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "as the batch's CAST to FLOAT"
    )]
    let latency_ms = request.latency_ms.map(|ms| ms as f32);
    Ok(OwnedRequest {
        micros,
        texts: [
            own(&request.user),
            own(&request.session),
            own(&request.client_ip),
            own(&request.method),
            own(&request.host),
            Some(path.clone().into_owned()),
            own(&request.query),
            own(&request.error_code),
            own(&request.user_agent),
            own(&request.referer),
            own(&request.body),
            own(&request.headers),
        ],
        status: request.status,
        request_bytes: request.request_bytes,
        response_bytes: request.response_bytes,
        latency_ms,
    })
}

/// Reads a command line of a line of NDJSON, in any schema of process creations.
///
/// # Errors
/// Why the reader would put it in quarantine; the text quotes nothing of the line.
pub fn command_of_json(line: &str) -> Result<OneCommand, String> {
    let record = parse(line)?;
    let schema = SchemaKind::recognise(Kind::Command, &|path| record.has(path))
        .ok_or("no command line under any name we know")?;
    let mapped = schema.map(&record);
    if let Some(other) = mapped.other_activity {
        return Err(format!("no process creation: {other}"));
    }
    let event = &mapped.event;
    let command_line = match &event.command_line {
        Essential::Text(text) => text.clone().into_owned(),
        Essential::WrongType | Essential::NotUtf8(_) => {
            return Err("command line is not text".to_owned());
        }
        Essential::Missing => return Err("command line is missing".to_owned()),
    };
    let own = |text: &Option<Cow<'_, str>>| text.as_ref().map(|t| t.clone().into_owned());
    let command = OneCommand {
        command_line,
        texts: [
            own(&event.image),
            own(&event.parent_image),
            own(&event.original_file_name),
            own(&event.user_sid),
            own(&event.integrity_level),
        ],
        signed: [event.signed, event.signer_trusted],
    };
    check_line(&command.command_line)?;
    Ok(command)
}

/// Whether a command line is one that the reader would keep.
///
/// # Errors
/// Why not; the text quotes nothing of it.
pub fn check_line(line: &str) -> Result<(), String> {
    if line.trim().is_empty() {
        return Err("command line is missing".to_owned());
    }
    if line.contains('\0') {
        return Err("holds U+0000".to_owned());
    }
    if line.len() > MAX_BYTES {
        return Err(format!(
            "command line of {} bytes: {MAX_BYTES} at most",
            line.len()
        ));
    }
    Ok(())
}

fn parse(line: &str) -> Result<Node<'_>, String> {
    match serde_json::from_str::<Node>(line) {
        Ok(record @ Node::Map(_)) => Ok(record),
        Ok(_) => Err("not a JSON object".to_owned()),
        // Syntax errors have fixed messages; they never quote the input.
        Err(error) => Err(format!("broken JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_any_schema_is_read_and_cleaned_as_telemetry_is() {
        let ours = r#"{"event_time":"2025-01-01T00:00:00Z","user":"ada","method":"get","path":"https://Shop/a?b=1","status":"200"}"#;
        let request = request_of_json(ours).unwrap();
        assert_eq!(request.micros, Some(1_735_689_600_000_000));
        let of = request.as_request();
        assert_eq!(
            (of.method, of.host, of.path, of.query, of.status),
            (
                Some("GET"),
                Some("shop"),
                Some("/a"),
                Some("b=1"),
                Some(200)
            )
        );
        // What is clean stays as it is.
        assert_eq!(clean(&request).unwrap(), request);
        let trail = r#"{"eventTime":"2025-01-01T00:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}"#;
        assert!(request_of_json(trail).is_ok());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"path":""}"#,
            r#"{"path":7}"#,
            r#"{"path":"/a","status":1000}"#,
            r#"{"path":"/a\u0000"}"#,
            r#"{"path":"/a","event_time":"soon"}"#,
        ] {
            assert!(request_of_json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_line_is_read_as_telemetry_is() {
        let line =
            r#"{"command_line":"whoami /all","image":"C:\\x.exe","signed":"true","user":"-"}"#;
        let command = command_of_json(line).unwrap();
        assert_eq!(command.command_line, "whoami /all");
        assert_eq!(command.texts[0].as_deref(), Some("C:\\x.exe"));
        assert_eq!(command.signed, [Some(true), None]);
        for bad in [r#"{"command_line":" "}"#, r#"{"host":"a"}"#, "x"] {
            assert!(command_of_json(bad).is_err(), "{bad}");
        }
    }
}
