//! Logs of one request a line: the Common and Combined Log Format of web servers, and the access log of AWS's Application Load
//! Balancer. Each line shows which of them it is; what cannot be read costs its line.

mod access;
mod alb;
mod fields;

use super::lines::{Lines, Step, content, is_blank};
use super::ndjson::{io_error, lost};
use super::output::{At, Output};
use super::reason::Reason;
use super::value::Node;
use super::{FileAccount, SchemaKind, TelemetryError};

/// Broken lines of a file that are listed one by one; the rest are counted, since another program's log breaks on every line.
const LISTED: u64 = 1000;

pub(super) fn read(mut lines: Lines, mut output: Output) -> Result<FileAccount, TelemetryError> {
    let given = output.options().schema;
    let mut shown = given;
    let (mut position, mut broken) = (0, 0);
    loop {
        let step = lines.step().map_err(|source| io_error(&output, source))?;
        match step {
            Step::End => break,
            Step::Line { bytes, .. } if is_blank(bytes) => continue,
            Step::Line { offset, bytes } => {
                let at = At {
                    position,
                    offset: Some(offset),
                };
                let bytes = content(bytes);
                match parse(bytes, given) {
                    Ok((schema, record)) => {
                        shown.get_or_insert(schema);
                        output.record(at, schema, &record, &|| bytes.to_vec())?;
                    }
                    Err((reason, detail)) if broken < LISTED => {
                        broken += 1;
                        output.quarantine(at, reason, &detail, Some(bytes), 1)?;
                    }
                    Err((reason, _)) => output.tally(at, reason, "", &|| bytes.to_vec()),
                }
            }
            fault => lost(fault, position, &mut output)?,
        }
        position += 1;
    }
    output.finish(shown)
}

fn parse(
    bytes: &[u8],
    given: Option<SchemaKind>,
) -> Result<(SchemaKind, Node<'_>), (Reason, String)> {
    let line = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("byte {}", error.valid_up_to());
        (Reason::InvalidUtf8, detail)
    })?;
    let schema = given.unwrap_or_else(|| {
        if alb::begins(line) {
            SchemaKind::Alb
        } else {
            SchemaKind::AccessLog
        }
    });
    let record = if schema == SchemaKind::Alb {
        alb::parse(line)
    } else {
        access::parse(line)
    };
    let broken = |detail: &str| (Reason::BrokenLogLine, detail.to_owned());
    record.map(|record| (schema, record)).map_err(broken)
}
