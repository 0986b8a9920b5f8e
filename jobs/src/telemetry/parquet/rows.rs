//! Rows of an Arrow batch as the borrowed trees that mappings read.

use std::borrow::Cow;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use datafusion::arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::telemetry::value::Node;

/// Columns of a batch or of a struct, with their names.
pub(super) struct Columns<'b> {
    names: Vec<&'b str>,
    arrays: &'b [ArrayRef],
}

impl<'b> Columns<'b> {
    pub(super) fn of(batch: &'b RecordBatch) -> Self {
        let names = batch
            .schema_ref()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        Self {
            names,
            arrays: batch.columns(),
        }
    }

    pub(super) fn row(&self, row: usize, depth: usize) -> Node<'b> {
        let cells = self.names.iter().zip(self.arrays);
        Node::Map(
            cells
                .map(|(name, array)| (Cow::Borrowed(*name), node(array.as_ref(), row, depth)))
                .collect(),
        )
    }
}

fn fields_of(array: &StructArray, row: usize, depth: usize) -> Node<'_> {
    let cells = array.fields().iter().zip(array.columns());
    Node::Map(
        cells
            .map(|(field, array)| {
                (
                    Cow::Borrowed(field.name().as_str()),
                    node(array, row, depth),
                )
            })
            .collect(),
    )
}

fn node(array: &dyn Array, row: usize, depth: usize) -> Node<'_> {
    if depth == 0 || array.is_null(row) {
        return Node::Null;
    }
    macro_rules! int {
        ($type:ty) => {
            Node::Int(i64::from(array.as_primitive::<$type>().value(row)))
        };
    }
    match array.data_type() {
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row)),
        DataType::Utf8 => Node::Text(Cow::Borrowed(array.as_string::<i32>().value(row))),
        DataType::LargeUtf8 => Node::Text(Cow::Borrowed(array.as_string::<i64>().value(row))),
        DataType::Utf8View => Node::Text(Cow::Borrowed(array.as_string_view().value(row))),
        DataType::Boolean => Node::Bool(array.as_boolean().value(row)),
        DataType::Int8 => int!(Int8Type),
        DataType::Int16 => int!(Int16Type),
        DataType::Int32 => int!(Int32Type),
        DataType::Int64 => int!(Int64Type),
        DataType::UInt8 => int!(UInt8Type),
        DataType::UInt16 => int!(UInt16Type),
        DataType::UInt32 => int!(UInt32Type),
        DataType::UInt64 => i64::try_from(array.as_primitive::<UInt64Type>().value(row))
            .map_or(Node::Other, Node::Int),
        DataType::Float32 => Node::Float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Node::Float(array.as_primitive::<Float64Type>().value(row)),
        // A timestamp without a zone is taken as UTC.
        DataType::Timestamp(unit, _) => {
            let micros = match unit {
                TimeUnit::Second => array
                    .as_primitive::<TimestampSecondType>()
                    .value(row)
                    .checked_mul(1_000_000),
                TimeUnit::Millisecond => array
                    .as_primitive::<TimestampMillisecondType>()
                    .value(row)
                    .checked_mul(1_000),
                TimeUnit::Microsecond => {
                    Some(array.as_primitive::<TimestampMicrosecondType>().value(row))
                }
                TimeUnit::Nanosecond => Some(
                    array
                        .as_primitive::<TimestampNanosecondType>()
                        .value(row)
                        .div_euclid(1_000),
                ),
            };
            micros.map_or(Node::Other, Node::Time)
        }
        DataType::Struct(_) => fields_of(array.as_struct(), row, depth - 1),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let range = usize::try_from(offsets[row]).unwrap_or(0)
                ..usize::try_from(offsets[row + 1]).unwrap_or(0);
            Node::List(
                range
                    .map(|at| node(list.values().as_ref(), at, depth - 1))
                    .collect(),
            )
        }
        _ => Node::Other,
    }
}

fn bytes(value: &[u8]) -> Node<'_> {
    std::str::from_utf8(value).map_or(Node::Bytes(value), |text| Node::Text(Cow::Borrowed(text)))
}
