//! What a request says, as SQL names it: for analysts' verdicts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::Args;
use super::function::Kind::{Int, Text};
use super::function::{Argument, Doc, Scalar};
use crate::api::Request;
use crate::api::said::said;

const COLUMNS: &[Argument] = &[
    ("method", Text),
    ("host", Text),
    ("path", Text),
    ("query", Text),
    ("body", Text),
    ("headers", Text),
    ("referer", Text),
    ("user_agent", Text),
    ("error_code", Text),
    ("status", Int),
];

/// The functions of this file.
pub(super) static SCALARS: &[Scalar] = &[Scalar {
    name: "api_said",
    forms: &[COLUMNS],
    returns: || DataType::Utf8,
    call,
    doc: Doc {
        what: "The name of what a request says, apart from who and when, as 32 hex digits: method, host, path, values, the family of \
               the agent, and whether it failed. Numbers, ids, dates and tokens are folded; texts count as they stand.",
        example: "SELECT api_said('GET', 'shop', '/o/7', 'p=1', NULL, NULL, NULL, 'curl/8', NULL, 200) = \
                  api_said('GET', 'shop', '/o/12', 'p=34', NULL, NULL, NULL, 'curl/7', NULL, 204)",
        result: "true",
    },
}];

fn call(args: &Args<'_>) -> Result<ArrayRef> {
    let mut texts = [args.text(0)?; 9];
    for (i, slot) in texts.iter_mut().enumerate() {
        *slot = args.text(i)?;
    }
    let statuses = args.int(9)?;
    let names = (0..args.rows()).map(|row| {
        let text = |i: usize| texts[i].is_valid(row).then(|| texts[i].value(row));
        let status = statuses.is_valid(row).then(|| statuses.value(row));
        Some(said(&Request {
            method: text(0),
            host: text(1),
            path: text(2),
            query: text(3),
            body: text(4),
            headers: text(5),
            referer: text(6),
            user_agent: text(7),
            error_code: text(8),
            status: status.and_then(|s| i32::try_from(s).ok()),
            ..Request::default()
        }))
    });
    Ok(Arc::new(names.collect::<StringArray>()))
}
