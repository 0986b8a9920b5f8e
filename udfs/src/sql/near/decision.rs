//! What [`super`] returns: a list of structs, one a line.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Builder, Float32Builder, Int64Builder, ListArray, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;

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

/// The type of `decisions`.
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

/// Builds lists of decisions, one a group.
#[derive(Default)]
pub(super) struct Decisions {
    hash: StringBuilder,
    by: StringBuilder,
    day: Date32Builder,
    how: StringBuilder,
    cosine: Float32Builder,
    covers: Int64Builder,
    near_hash: StringBuilder,
    near_day: Date32Builder,
    near_cosine: Float32Builder,
    near: Vec<usize>,
    groups: Vec<usize>,
}

impl Decisions {
    /// Adds a group's.
    pub(super) fn push(&mut self, decided: Vec<Decision>) {
        self.groups.push(decided.len());
        for decision in decided {
            self.hash.append_value(&decision.hash);
            self.covers.append_value(decision.covers);
            let cover = decision.cover.as_ref();
            self.by.append_option(cover.map(|c| c.0.as_str()));
            self.day.append_option(cover.map(|c| c.1));
            self.how.append_option(cover.map(|c| c.2));
            self.cosine.append_option(cover.map(|c| c.3));
            self.near.push(decision.near.len());
            for near in &decision.near {
                self.near_hash.append_value(&near.hash);
                self.near_day.append_value(near.day);
                self.near_cosine.append_value(near.cosine);
            }
        }
    }

    /// The lists.
    pub(super) fn finish(mut self) -> Result<ListArray> {
        let near: Vec<ArrayRef> = vec![
            Arc::new(self.near_hash.finish()),
            Arc::new(self.near_day.finish()),
            Arc::new(self.near_cosine.finish()),
        ];
        let near = list(near_fields(), near, self.near)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.hash.finish()),
            Arc::new(self.by.finish()),
            Arc::new(self.day.finish()),
            Arc::new(self.how.finish()),
            Arc::new(self.cosine.finish()),
            Arc::new(self.covers.finish()),
            Arc::new(near),
        ];
        list(decision_fields(), columns, self.groups)
    }
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
