//! The plan nodes of our own, as they travel from driver to scheduler to executor.

/// Writes its input's partitions to Parquet files: see `gleaner::plan::write`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, prost::Message)]
pub struct WriteSpec {
    /// Directory the file goes to, a URL that ends in `/`.
    #[prost(string, tag = "1")]
    pub directory_url: String,
    /// Path below the directory, without the unique suffix and `.parquet`.
    #[prost(string, tag = "2")]
    pub file_prefix: String,
    /// Column that rows are sorted by within each row group; empty: as they come.
    #[prost(string, tag = "3")]
    pub sort_column: String,
    /// The file lives until the stage is done: written quickly (LZ4), and without a digest.
    #[prost(bool, tag = "4")]
    pub staged: bool,
}

/// One file of telemetry.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, prost::Message)]
pub struct TelemetryFile {
    /// URL of the object.
    #[prost(string, tag = "1")]
    pub url: String,
    /// Size in bytes when it was listed.
    #[prost(uint64, tag = "2")]
    pub size_bytes: u64,
    /// The object's version when it was listed; empty on a local disk.
    #[prost(string, tag = "3")]
    pub etag: String,
}

/// Reads telemetry files into events and quarantined rows: see `gleaner::plan::scan`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, prost::Message)]
pub struct ScanSpec {
    /// The files of this task, read one after the other.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<TelemetryFile>,
    /// Name of the schema, or empty to recognise it.
    #[prost(string, tag = "2")]
    pub schema: String,
    /// The UTC day, in days since 1970-01-01.
    #[prost(int32, tag = "3")]
    pub day: i32,
    /// Longest line or record, in bytes.
    #[prost(uint64, tag = "4")]
    pub max_line_bytes: u64,
    /// Rows without a time belong to the day (else: quarantine).
    #[prost(bool, tag = "5")]
    pub undated_as_day: bool,
    /// Kept columns of the events schema, by index; empty: all.
    #[prost(uint32, repeated, tag = "6")]
    pub projection: Vec<u32>,
    /// Kind of telemetry; empty: command lines.
    #[prost(string, tag = "7")]
    pub kind: String,
}
