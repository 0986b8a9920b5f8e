//! What a function is given: arguments as arrays of one length, and the columns of an aggregate's batch.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array,
    Int64Array, StringArray,
};
use datafusion::arrow::datatypes::{Float32Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

/// The arguments of a call, as arrays of one length.
pub struct Args<'a> {
    pub(super) name: &'static str,
    pub(super) values: &'a [ColumnarValue],
    pub(super) arrays: Vec<ArrayRef>,
    pub(super) rows: usize,
}

impl Args<'_> {
    /// Rows of the call.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many arguments were given.
    #[must_use]
    pub fn count(&self) -> usize {
        self.arrays.len()
    }

    fn not(&self, i: usize, expected: &str) -> DataFusionError {
        let got = self
            .arrays
            .get(i)
            .map_or_else(|| "nothing".to_owned(), |a| a.data_type().to_string());
        DataFusionError::Plan(format!(
            "{}: argument {} must be {expected}, got {got}",
            self.name,
            i + 1
        ))
    }

    /// A text argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&self, i: usize) -> Result<&StringArray> {
        self.arrays
            .get(i)
            .and_then(|a| a.as_string_opt::<i32>())
            .ok_or_else(|| self.not(i, "text"))
    }

    /// An integer argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn int(&self, i: usize) -> Result<&Int64Array> {
        self.arrays
            .get(i)
            .and_then(|a| a.as_primitive_opt::<Int64Type>())
            .ok_or_else(|| self.not(i, "an integer"))
    }

    /// A float argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn float(&self, i: usize) -> Result<&Float32Array> {
        self.arrays
            .get(i)
            .and_then(|a| a.as_primitive_opt::<Float32Type>())
            .ok_or_else(|| self.not(i, "a float"))
    }

    /// A boolean argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn boolean(&self, i: usize) -> Result<&BooleanArray> {
        self.arrays
            .get(i)
            .and_then(|a| a.as_boolean_opt())
            .ok_or_else(|| self.not(i, "a boolean"))
    }

    /// A state argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn state(&self, i: usize) -> Result<&BinaryArray> {
        self.arrays
            .get(i)
            .and_then(|a| a.as_binary_opt::<i32>())
            .ok_or_else(|| self.not(i, "a state"))
    }

    /// A vector argument.
    ///
    /// # Errors
    /// When it is none.
    pub fn vector(&self, i: usize) -> Result<Vectors<'_>> {
        self.arrays
            .get(i)
            .and_then(|a| Vectors::new(a.as_ref()))
            .ok_or_else(|| self.not(i, "a vector (list of float, all rows of one length)"))
    }

    /// A text argument that is the same for all rows: a model's URI.
    ///
    /// # Errors
    /// When it is a column, or null.
    pub fn literal_text(&self, i: usize) -> Result<&str> {
        match self.values.get(i) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))) => Ok(text),
            _ => Err(self.not(i, "a text literal, not a column or NULL")),
        }
    }
}

/// Rows of a `FixedSizeList<Float32>`, or of a `List<Float32>` whose rows have one length; missing values read as NaN.
pub struct Vectors<'a> {
    list: &'a dyn Array,
    values: &'a Float32Array,
    /// Where each row begins in `values`; rows of a fixed-size list follow each other.
    starts: Option<&'a [i32]>,
    width: usize,
}

impl<'a> Vectors<'a> {
    /// `None` when `array` is of another type.
    #[must_use]
    pub fn new(array: &'a dyn Array) -> Option<Self> {
        if let Some(list) = array.as_list_opt::<i32>() {
            let values = list.values().as_primitive_opt::<Float32Type>()?;
            let length = |row: usize| usize::try_from(list.value_length(row)).ok();
            let mut rows = (0..list.len()).filter(|row| list.is_valid(*row));
            let width = rows.next().map_or(Some(0), length)?;
            return rows.all(|row| length(row) == Some(width)).then_some(Self {
                list: array,
                values,
                starts: Some(list.value_offsets()),
                width,
            });
        }
        let list: &FixedSizeListArray = array.as_fixed_size_list_opt()?;
        Some(Self {
            list: array,
            values: list.values().as_primitive_opt::<Float32Type>()?,
            starts: None,
            width: usize::try_from(list.value_length()).ok()?,
        })
    }

    /// Values a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether the whole row is null.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.list.is_null(row)
    }

    /// Copies row `row` to `out`, which is `width` long.
    pub fn copy(&self, row: usize, out: &mut [f32]) {
        let start = match self.starts {
            Some(starts) => usize::try_from(starts[row]).unwrap_or_default(),
            // An array's child is sliced with it.
            None => row * self.width,
        };
        out.copy_from_slice(&self.values.values()[start..start + self.width]);
        if self.values.null_count() > 0 {
            for (i, value) in out.iter_mut().enumerate() {
                if self.values.is_null(start + i) {
                    *value = f32::NAN;
                }
            }
        }
    }

    /// All rows, row-major; null rows as NaN.
    #[must_use]
    pub fn dense(&self) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.list.len() * self.width];
        if self.width > 0 {
            for (row, chunk) in out.chunks_exact_mut(self.width).enumerate() {
                if !self.is_null(row) {
                    self.copy(row, chunk);
                }
            }
        }
        out
    }
}

/// An aggregate's argument as text.
///
/// # Errors
/// When it is none.
pub fn text_column<'a>(
    function: &str,
    values: &'a [ArrayRef],
    i: usize,
) -> Result<&'a StringArray> {
    column(function, values, i, "text", |a| a.as_string_opt::<i32>())
}

/// An aggregate's argument as integers.
///
/// # Errors
/// When it is none.
pub fn int_column<'a>(function: &str, values: &'a [ArrayRef], i: usize) -> Result<&'a Int64Array> {
    column(function, values, i, "integer", |a| {
        a.as_primitive_opt::<Int64Type>()
    })
}

/// An aggregate's argument as floats.
///
/// # Errors
/// When it is none.
pub fn float_column<'a>(
    function: &str,
    values: &'a [ArrayRef],
    i: usize,
) -> Result<&'a Float32Array> {
    column(function, values, i, "float", |a| {
        a.as_primitive_opt::<Float32Type>()
    })
}

/// An aggregate's argument as states.
///
/// # Errors
/// When it is none.
pub fn state_column<'a>(
    function: &str,
    values: &'a [ArrayRef],
    i: usize,
) -> Result<&'a BinaryArray> {
    column(function, values, i, "state", |a| a.as_binary_opt::<i32>())
}

/// An aggregate's argument as vectors.
///
/// # Errors
/// When it is none.
pub fn vector_column<'a>(function: &str, values: &'a [ArrayRef], i: usize) -> Result<Vectors<'a>> {
    values
        .get(i)
        .and_then(|a| Vectors::new(a.as_ref()))
        .ok_or_else(|| {
            DataFusionError::Plan(format!(
                "{function}: argument {} must be vectors of one width",
                i + 1
            ))
        })
}

fn column<'a, A>(
    function: &str,
    values: &'a [ArrayRef],
    i: usize,
    expected: &str,
    cast: impl Fn(&'a dyn Array) -> Option<&'a A>,
) -> Result<&'a A> {
    let bad =
        || DataFusionError::Plan(format!("{function}: argument {} must be {expected}", i + 1));
    values.get(i).and_then(|a| cast(a.as_ref())).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::ListArray;

    #[test]
    fn a_list_is_a_vector_column_where_its_rows_have_one_length() {
        let rows = vec![
            Some(vec![Some(9.0), Some(9.0)]),
            None,
            Some(vec![Some(1.0), None]),
            Some(vec![Some(3.0), Some(4.0)]),
        ];
        let list = ListArray::from_iter_primitive::<Float32Type, _, _>(rows);
        // A slice: its rows do not begin where its values do.
        let sliced = list.slice(1, 3);
        let vectors = Vectors::new(&sliced).unwrap();
        assert_eq!(vectors.width(), 2);
        assert!(vectors.is_null(0) && !vectors.is_null(1));
        let mut row = [0.0; 2];
        vectors.copy(1, &mut row);
        assert!(row[0].to_bits() == 1.0_f32.to_bits() && row[1].is_nan());
        vectors.copy(2, &mut row);
        assert_eq!(row.map(f32::to_bits), [3.0_f32, 4.0].map(f32::to_bits));
        assert_eq!(vectors.dense().len(), 6);

        let uneven = vec![Some(vec![Some(1.0)]), Some(vec![Some(1.0), Some(2.0)])];
        let uneven = ListArray::from_iter_primitive::<Float32Type, _, _>(uneven);
        assert!(Vectors::new(&uneven).is_none());
        let empty = ListArray::from_iter_primitive::<Float32Type, Vec<Option<f32>>, _>(vec![None]);
        assert_eq!(Vectors::new(&empty).unwrap().width(), 0);
    }
}
