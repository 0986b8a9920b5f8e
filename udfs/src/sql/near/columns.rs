//! The arguments of [`super`], read a row at a time.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::array::{Date32Array, Float32Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::Date32Type;
use datafusion::common::Result;

use super::{Line, NAME};
use crate::sql::arguments::{Vectors, float_column, int_column, text_column, vector_column};
use crate::sql::function::failed;

/// A batch's arguments.
pub(super) struct Columns<'a> {
    hashes: &'a StringArray,
    texts: &'a StringArray,
    templates: &'a StringArray,
    events: &'a Int64Array,
    days: &'a Date32Array,
    earlier: &'a BooleanArray,
    thresholds: &'a Float32Array,
    kept: Option<&'a BooleanArray>,
    vectors: Option<Vectors<'a>>,
}

impl<'a> Columns<'a> {
    /// # Errors
    /// When a column has another type.
    pub(super) fn of(values: &'a [ArrayRef]) -> Result<Self> {
        let text = |i| text_column(NAME, values, i);
        let days = values
            .get(4)
            .and_then(|d| d.as_primitive_opt::<Date32Type>());
        let boolean = |i: usize| {
            let column = values.get(i).and_then(|e| e.as_boolean_opt());
            column.ok_or_else(|| failed(NAME, format!("argument {} must be a boolean", i + 1)))
        };
        Ok(Self {
            hashes: text(0)?,
            texts: text(1)?,
            templates: text(2)?,
            events: int_column(NAME, values, 3)?,
            days: days.ok_or_else(|| failed(NAME, "argument 5 must be a date"))?,
            earlier: boolean(5)?,
            thresholds: float_column(NAME, values, 6)?,
            kept: match values.len() {
                0..8 => None,
                _ => Some(boolean(7)?),
            },
            vectors: match values.len() {
                0..9 => None,
                _ => Some(vector_column(NAME, values, 8)?),
            },
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.hashes.len()
    }

    /// A row's line and threshold.
    ///
    /// # Errors
    /// When an argument is NULL that must not be.
    pub(super) fn line(&self, row: usize) -> Result<(Line, f32)> {
        let texts = [self.hashes, self.texts, self.templates];
        let missing = texts.iter().any(|column| column.is_null(row))
            || self.events.is_null(row)
            || self.days.is_null(row)
            || self.earlier.is_null(row)
            || self.thresholds.is_null(row);
        if missing {
            return Err(failed(NAME, "no argument may be NULL"));
        }
        let vectors = self.vectors.as_ref().filter(|v| !v.is_null(row));
        let vector = vectors.map(|vectors| {
            let mut vector = vec![0.0; vectors.width()];
            vectors.copy(row, &mut vector);
            vector
        });
        let earlier = self.earlier.value(row);
        let line = Line {
            hash: self.hashes.value(row).to_owned(),
            text: self.texts.value(row).to_owned(),
            template: self.templates.value(row).to_owned(),
            events: self.events.value(row),
            day: self.days.value(row),
            earlier,
            dropped: earlier && self.kept.is_some_and(|k| k.is_null(row) || !k.value(row)),
            vector: vector.unwrap_or_default(),
        };
        Ok((line, self.thresholds.value(row)))
    }
}
