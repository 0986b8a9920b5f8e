//! A call as a line of text, in each of the shapes that it can be written in.

use std::fmt::Write as _;

use super::super::json::{Json, quote, rfc3339, root};
use super::call::Call;

/// The columns of CSV, in their order.
pub(super) const CSV_HEADER: &str = "event_time,user,session,client_ip,method,host,path,query,status,error_code,request_bytes,\
                                     response_bytes,latency_ms,user_agent,referer,body,headers\n";

/// What a call was sent with, as JSON.
pub(super) fn headers(call: &Call) -> &'static str {
    if call.body.is_empty() {
        r#"{"accept":"application/json"}"#
    } else {
        r#"{"accept":"application/json","content-type":"application/json"}"#
    }
}

fn number(json: &mut Json<'_>, key: &str, value: u64) {
    json.number(key, i64::try_from(value).unwrap_or(i64::MAX));
}

fn time(call: &Call) -> String {
    let mut out = String::with_capacity(24);
    rfc3339(call.time_ms * 1000, 3, &mut out);
    out
}

/// Gleaner's own columns, as JSON.
pub(super) fn native(call: &Call, out: &mut String) {
    root(out, |json| {
        json.text("event_time", &time(call));
        json.known("user", &call.user);
        json.known("session", &call.session);
        json.text("client_ip", &call.client_ip);
        json.text("method", call.method);
        json.text("host", call.host);
        json.text("path", &call.path);
        json.known("query", &call.query);
        number(json, "status", call.status.into());
        json.known("error_code", call.error_code());
        number(json, "request_bytes", call.request_bytes);
        number(json, "response_bytes", call.response_bytes);
        number(json, "latency_ms", call.latency_ms);
        json.text("user_agent", &call.user_agent);
        json.known("referer", call.referer);
        if !call.body.is_empty() {
            json.raw("body", &call.body);
        }
        json.raw("headers", headers(call));
    });
}

/// Gleaner's own columns, as CSV.
pub(super) fn csv(call: &Call, out: &mut String) {
    let cells = [
        time(call),
        call.user.clone(),
        call.session.clone(),
        call.client_ip.clone(),
        call.method.to_owned(),
        call.host.to_owned(),
        call.path.clone(),
        call.query.clone(),
        call.status.to_string(),
        call.error_code().to_owned(),
        call.request_bytes.to_string(),
        call.response_bytes.to_string(),
        call.latency_ms.to_string(),
        call.user_agent.clone(),
        call.referer.to_owned(),
        call.body.clone(),
        headers(call).to_owned(),
    ];
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
}

/// OCSF HTTP Activity (class 4002), with the cloud profile's `api`.
pub(super) fn ocsf(call: &Call, out: &mut String) {
    let failed = call.status >= 400;
    root(out, |json| {
        json.number("class_uid", 4002);
        json.number("category_uid", 4);
        json.number("activity_id", activity(call.method));
        json.number("time", call.time_ms);
        json.number("status_id", if failed { 2 } else { 1 });
        json.known("status_code", call.error_code());
        json.object("metadata", |json| {
            json.text("version", "1.3.0");
            json.raw("profiles", r#"["cloud"]"#);
        });
        json.object("actor", |json| {
            if !call.user.is_empty() {
                json.object("user", |json| json.text("name", &call.user));
            }
            if !call.session.is_empty() {
                json.object("session", |json| json.text("uid", &call.session));
            }
        });
        json.object("src_endpoint", |json| json.text("ip", &call.client_ip));
        json.object("api", |json| {
            json.text("operation", call.name);
            if !call.body.is_empty() {
                json.object("request", |json| json.text("data", &call.body));
            }
        });
        json.object("http_request", |json| {
            json.text("http_method", call.method);
            json.object("url", |json| {
                json.text("hostname", call.host);
                json.text("path", &call.path);
                json.known("query_string", &call.query);
            });
            number(json, "length", call.request_bytes);
            json.text("user_agent", &call.user_agent);
            json.known("referrer", call.referer);
            json.raw(
                "http_headers",
                if call.body.is_empty() {
                    r#"[{"name":"accept","value":"application/json"}]"#
                } else {
                    r#"[{"name":"accept","value":"application/json"},{"name":"content-type","value":"application/json"}]"#
                },
            );
        });
        json.object("http_response", |json| {
            number(json, "code", call.status.into());
            number(json, "length", call.response_bytes);
            number(json, "latency", call.latency_ms);
        });
    });
}

/// OCSF's `activity_id` of a method.
fn activity(method: &str) -> i64 {
    match method {
        "CONNECT" => 1,
        "DELETE" => 2,
        "GET" => 3,
        "HEAD" => 4,
        "OPTIONS" => 5,
        "POST" => 6,
        "PUT" => 7,
        "TRACE" => 8,
        _ => 99,
    }
}

/// Combined Log Format, with the virtual host before it, which has no session, latency, body nor bytes of the request.
pub(super) fn access(call: &Call, out: &mut String) {
    let dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let at = chrono::DateTime::from_timestamp_millis(call.time_ms).unwrap_or_default();
    let mark = if call.query.is_empty() { "" } else { "?" };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{}:443 {} - {} [{}] \"{} {}{mark}{} HTTP/1.1\" {} {} \"{}\" \"{}\"",
        call.host,
        call.client_ip,
        dash(&call.user),
        at.format("%d/%b/%Y:%H:%M:%S +0000"),
        call.method,
        call.path,
        call.query,
        call.status,
        call.response_bytes,
        dash(call.referer),
        call.user_agent,
    );
}

/// A record of `CloudTrail`: of the call, its operation. The session is an access key.
pub(super) fn cloudtrail(call: &Call, out: &mut String) {
    root(out, |json| {
        json.text("eventVersion", "1.09");
        json.object("userIdentity", |json| {
            if call.user.is_empty() {
                json.text("type", "Unknown");
            } else {
                json.text("type", "IAMUser");
                let arn = format!("arn:aws:iam::123456789012:user/{}", call.user);
                json.text("arn", &arn);
                let key = call.session.to_ascii_uppercase();
                json.text(
                    "accessKeyId",
                    &format!("ASIA{}", key.get(..16).unwrap_or(&key)),
                );
            }
        });
        json.text(
            "eventTime",
            &format!("{}Z", time(call).get(..19).unwrap_or_default()),
        );
        json.text("eventSource", call.host);
        json.text("eventName", call.name);
        json.text("awsRegion", "us-east-1");
        json.text("sourceIPAddress", &call.client_ip);
        json.text("userAgent", &call.user_agent);
        match call.status {
            403 => json.text("errorCode", "AccessDenied"),
            400.. => json.text("errorCode", call.error_code()),
            _ => {}
        }
        json.object("requestParameters", |json| {
            json.text("path", &call.path);
            json.known("query", &call.query);
            json.known("body", &call.body);
        });
        json.raw(
            "readOnly",
            if call.method == "GET" {
                "true"
            } else {
                "false"
            },
        );
        let mut id = String::new();
        quote(&format!("{:016x}", call.time_ms), &mut id);
        json.raw("requestID", &id);
        json.text("eventType", "AwsApiCall");
        json.raw("managementEvent", "true");
    });
}
