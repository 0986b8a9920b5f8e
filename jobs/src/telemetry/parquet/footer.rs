//! The footer: whether there is one, and the schema that the file is read under.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::depth::nests_at_most;
use super::source::Shared;
use super::{Fault, MAX_DEPTH, guarded};
use crate::telemetry::reason::Reason;

/// Loads the footer and lays the reading schema over it.
pub(super) fn open<R: ChunkReader + 'static>(
    source: &Shared<R>,
) -> Result<ArrowReaderMetadata, Fault> {
    let length = source.len();
    // "PAR1", the footer, its length and "PAR1": nothing shorter can be Parquet. "PARE" ends an encrypted footer.
    let tail = length
        .checked_sub(8)
        .filter(|at| *at >= 4)
        .map(|at| guarded(|| source.get_bytes(at, 8)));
    let footer_bytes = match tail {
        Some(Ok(tail)) if tail.ends_with(b"PAR1") => {
            let bytes = tail.first_chunk().copied().map_or(0, u32::from_le_bytes);
            Some(u64::from(bytes)).filter(|bytes| *bytes <= length - 12)
        }
        Some(Ok(tail)) if tail.ends_with(b"PARE") => {
            let detail = "the footer is encrypted".to_owned();
            return Err(Fault {
                reason: Reason::ParquetCorrupt,
                detail,
            });
        }
        _ => None,
    };
    let Some(footer_bytes) = footer_bytes else {
        let detail = format!("no footer at the end of {length} bytes");
        return Err(Fault {
            reason: Reason::ParquetTruncated,
            detail,
        });
    };
    guarded(|| {
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = source.get_bytes(
            length - 8 - footer_bytes,
            usize::try_from(footer_bytes).unwrap_or(usize::MAX),
        )?;
        if nests_at_most(&footer, MAX_DEPTH) != Some(true) {
            return Err(too_deep());
        }
        let loaded = ParquetMetaDataReader::decode_metadata(&footer)?;
        let metadata = without_text_annotation(&loaded)?;
        let loaded = ArrowReaderMetadata::try_new(Arc::new(metadata), plain.clone())?;
        let fields = loaded
            .schema()
            .fields()
            .iter()
            .map(as_view)
            .collect::<Vec<_>>();
        let views = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        ArrowReaderMetadata::try_new(Arc::clone(loaded.metadata()), views).or(Ok(loaded))
    })
}

fn without_text_annotation(metadata: &ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata();
    let root = plain_type(file.schema_descr().root_schema_ptr(), 0)?;
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        None,
        None,
        Arc::new(SchemaDescriptor::new(root)),
        None,
    );
    Ok(ParquetMetaData::new(file, metadata.row_groups().to_vec()))
}

fn too_deep() -> ParquetError {
    ParquetError::General(format!(
        "a schema that is unreadable or has over {MAX_DEPTH} levels"
    ))
}

fn plain_type(given: TypePtr, depth: usize) -> Result<TypePtr, ParquetError> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let info = given.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match given.as_ref() {
        Type::PrimitiveType {
            physical_type: PhysicalType::BYTE_ARRAY,
            ..
        } => {
            let is_text = matches!(
                info.logical_type_ref(),
                Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
            ) || matches!(
                info.converted_type(),
                ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
            );
            if !is_text {
                return Ok(given);
            }
            let plain = Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY)
                .with_repetition(info.repetition())
                .with_id(id);
            Ok(Arc::new(plain.build()?))
        }
        Type::PrimitiveType { .. } => Ok(given),
        Type::GroupType { fields, .. } => {
            let fields = fields
                .iter()
                .map(|field| plain_type(Arc::clone(field), depth + 1));
            let mut plain = Type::group_type_builder(info.name())
                .with_fields(fields.collect::<Result<_, _>>()?)
                .with_logical_type(info.logical_type_ref().cloned())
                .with_converted_type(info.converted_type())
                .with_id(id);
            if info.has_repetition() {
                plain = plain.with_repetition(info.repetition());
            }
            Ok(Arc::new(plain.build()?))
        }
    }
}

/// The field with its byte arrays as views, at any depth.
fn as_view(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Binary => DataType::BinaryView,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(as_view).collect()),
        DataType::List(item) => DataType::List(as_view(item)),
        other => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}
