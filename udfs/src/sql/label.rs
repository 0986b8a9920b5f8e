//! The rule labeller as a function.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Float32Builder, Int64Array, ListBuilder, StringArray, StringBuilder,
    StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;

use super::arguments::Args;
use super::function::Kind::{Int, Text};
use super::function::{Doc, Scalar, texts_type};
use crate::text::label::{Prevalence, Subject, Thresholds, label};

/// The functions of this file.
pub static SCALARS: &[Scalar] = &[Scalar {
    name: "cmd_label",
    forms: &[&[
        ("line", Text),
        ("os", Text),
        ("image", Text),
        ("parent_image", Text),
        ("parent_command_line", Text),
        ("user", Text),
        ("events", Int),
        ("hosts", Int),
        ("users", Int),
        ("days", Int),
        ("min_hosts", Int),
        ("min_users", Int),
        ("min_days", Int),
    ]],
    returns: || DataType::Struct(fields()),
    call: labels,
    doc: Doc {
        what: "The rule labeller's verdict on a line: benign, suspicious, malicious or uncertain, with reason, rules, \
               evidence and confidence. `events`, `hosts`, `users` and `days` say how widely the line's template was \
               seen; benign needs the three minima, no rule's hit, everything decoded and an ordinary context.",
        example: "SELECT cmd_label('vssadmin delete shadows /all /quiet', 'windows', NULL, NULL, NULL, NULL, \
                  1, 1, 1, 1, 3, 2, 1)['verdict']",
        result: "malicious",
    },
}];

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("verdict", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("rules", texts_type(), true),
        Field::new("evidence", DataType::Utf8, true),
        Field::new("confidence", DataType::Float32, true),
    ])
}

fn at(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// A count of a row; what is missing was not seen.
fn count(column: &Int64Array, row: usize) -> u64 {
    if column.is_valid(row) {
        u64::try_from(column.value(row)).unwrap_or_default()
    } else {
        0
    }
}

fn small(column: &Int64Array, row: usize) -> u32 {
    u32::try_from(count(column, row)).unwrap_or(u32::MAX)
}

fn labels(args: &Args<'_>) -> Result<ArrayRef> {
    let texts = [
        args.text(0)?,
        args.text(1)?,
        args.text(2)?,
        args.text(3)?,
        args.text(4)?,
        args.text(5)?,
    ];
    let counts = [
        args.int(6)?,
        args.int(7)?,
        args.int(8)?,
        args.int(9)?,
        args.int(10)?,
        args.int(11)?,
        args.int(12)?,
    ];
    let (mut verdict, mut reason, mut evidence) = (
        StringBuilder::new(),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    let (mut rules, mut confidence) = (
        ListBuilder::new(StringBuilder::new()),
        Float32Builder::new(),
    );
    let mut valid = Vec::with_capacity(args.rows());
    for row in 0..args.rows() {
        let line = at(texts[0], row);
        valid.push(line.is_some());
        let subject = Subject {
            command_line: line.unwrap_or_default(),
            os: at(texts[1], row),
            image: at(texts[2], row),
            parent_image: at(texts[3], row),
            parent_command_line: at(texts[4], row),
            user: at(texts[5], row),
        };
        let prevalence = Prevalence {
            events: count(counts[0], row),
            hosts: small(counts[1], row),
            users: small(counts[2], row),
            days: small(counts[3], row),
        };
        let thresholds = Thresholds {
            min_hosts: small(counts[4], row),
            min_users: small(counts[5], row),
            min_days: small(counts[6], row),
        };
        let label = label(&subject, &prevalence, &thresholds);
        verdict.append_value(label.verdict.as_str());
        reason.append_value(&label.reason);
        for rule in &label.rules {
            rules.values().append_value(rule);
        }
        rules.append(true);
        evidence.append_value(&label.evidence);
        confidence.append_value(label.confidence);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(verdict.finish()),
        Arc::new(reason.finish()),
        Arc::new(rules.finish()),
        Arc::new(evidence.finish()),
        Arc::new(confidence.finish()),
    ];
    Ok(Arc::new(StructArray::try_new(
        fields(),
        columns,
        Some(valid.into()),
    )?))
}
