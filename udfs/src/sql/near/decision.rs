//! What [`super`] returns: a list of structs, one a line.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Builder, Float32Builder, Int64Builder, ListArray, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};

/// A line that is similar, and comes before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Near {
    pub(super) hash: String,
    /// Days since 1970.
    pub(super) day: i32,
    pub(super) cosine: f32,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub(super) hash: String,
    /// The kept line that covers it: hash, day, how, cosine.
    pub(super) cover: Option<(String, i32, &'static str, f32)>,
    /// Lines of the group that it covers.
    pub(super) covers: i64,
    /// What is most similar to it, where it stands for its template.
    pub(super) near: Vec<Near>,
}

/// The type of [`decisions`].
pub(super) fn decisions_type() -> DataType {
    DataType::List(item(decision_fields()))
}

fn item(fields: Fields) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields), true))
}

fn decision_fields() -> Fields {
    Fields::from(vec![
        Field::new("hash", DataType::Utf8, true),
        Field::new("covered_by", DataType::Utf8, true),
        Field::new("covered_day", DataType::Date32, true),
        Field::new("covered_how", DataType::Utf8, true),
        Field::new("cosine", DataType::Float32, true),
        Field::new("covers", DataType::Int64, true),
        Field::new("near", DataType::List(item(near_fields())), true),
    ])
}

fn near_fields() -> Fields {
    Fields::from(vec![
        Field::new("hash", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("cosine", DataType::Float32, true),
    ])
}

/// One list of all decisions.
pub(super) fn decisions(decided: Vec<Decision>) -> Result<ScalarValue> {
    let rows = decided.len();
    let (mut hash, mut by, mut how) = (
        StringBuilder::new(),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    let (mut day, mut cosine, mut covers) = (
        Date32Builder::new(),
        Float32Builder::new(),
        Int64Builder::new(),
    );
    let (mut near_hash, mut near_day, mut near_cosine) = (
        StringBuilder::new(),
        Date32Builder::new(),
        Float32Builder::new(),
    );
    let mut lengths = Vec::with_capacity(rows);
    for decision in decided {
        hash.append_value(&decision.hash);
        covers.append_value(decision.covers);
        let cover = decision.cover.as_ref();
        by.append_option(cover.map(|c| c.0.as_str()));
        day.append_option(cover.map(|c| c.1));
        how.append_option(cover.map(|c| c.2));
        cosine.append_option(cover.map(|c| c.3));
        lengths.push(decision.near.len());
        for near in &decision.near {
            near_hash.append_value(&near.hash);
            near_day.append_value(near.day);
            near_cosine.append_value(near.cosine);
        }
    }
    let near: Vec<ArrayRef> = vec![
        Arc::new(near_hash.finish()),
        Arc::new(near_day.finish()),
        Arc::new(near_cosine.finish()),
    ];
    let near = list(near_fields(), near, lengths)?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(hash.finish()),
        Arc::new(by.finish()),
        Arc::new(day.finish()),
        Arc::new(how.finish()),
        Arc::new(cosine.finish()),
        Arc::new(covers.finish()),
        Arc::new(near),
    ];
    let decisions = list(decision_fields(), columns, vec![rows])?;
    Ok(ScalarValue::List(Arc::new(decisions)))
}

/// Structs in lists of these lengths.
fn list(fields: Fields, columns: Vec<ArrayRef>, lengths: Vec<usize>) -> Result<ListArray> {
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(ListArray::try_new(
        item(fields),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(structs),
        None,
    )?)
}
