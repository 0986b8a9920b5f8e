//! Why a row, or the rest of a file, was put in quarantine.

use std::fmt;

/// The fixed vocabulary of quarantine's `reason` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A line that is no JSON object, or nests deeper than 128.
    BrokenJson,
    /// A line, record or command line that is not UTF-8.
    InvalidUtf8,
    /// A command line, or a text of a request, that holds U+0000.
    NulByte,
    /// No command line, or a blank one.
    MissingCommandLine,
    /// A command line or path that is a number, list or object.
    WrongType,
    /// No event time.
    MissingEventTime,
    /// An event time in no known form.
    BadEventTime,
    /// A line, record, command line or request over `max_line_bytes`.
    LineTooLong,
    /// A CSV line that opens a quote which is never, or wrongly, closed.
    UnclosedQuote,
    /// A CSV line with text after a closing quote.
    StrayQuote,
    /// A CSV record with more or fewer fields than the header.
    WrongFieldCount,
    /// A gzip file that ends too early: the row it ends in.
    TruncatedGzip,
    /// A gzip member that does not unpack, or whose checksum is wrong: the row it ends in.
    CorruptGzip,
    /// A zstd file that ends too early: the row it ends in.
    TruncatedZstd,
    /// A zstd frame that does not unpack, or whose checksum is wrong: the row it ends in.
    CorruptZstd,
    /// A Parquet file without a footer.
    ParquetTruncated,
    /// A Parquet page whose checksum is wrong: the rest of its row group.
    ParquetPageChecksum,
    /// Anything else in Parquet that does not decode: the rest of the row group, or the file.
    ParquetCorrupt,
    /// Records that follow no schema we map.
    UnrecognisedSchema,
    /// A file that is none of the formats we read.
    UnrecognisedFormat,
    /// A record of the right schema that is about something else: a logon, a process's end.
    NotProcessCreation,
    /// A request without a path.
    MissingPath,
    /// A request line that is none: another protocol spoken to a web server.
    BadRequestLine,
    /// An HTTP status that is no whole number from 0 to 999.
    BadStatus,
    /// A size that is no whole number, or negative.
    BadSize,
    /// A latency that is no number, or negative.
    BadLatency,
    /// A line of a log that is in none of the formats we read.
    BrokenLogLine,
    /// A record of the right schema that is about something else than a request.
    NotApiRequest,
}

impl Reason {
    /// The `snake_case` name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BrokenJson => "broken_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NulByte => "nul_byte",
            Self::MissingCommandLine => "missing_command_line",
            Self::WrongType => "wrong_type",
            Self::MissingEventTime => "missing_event_time",
            Self::BadEventTime => "bad_event_time",
            Self::LineTooLong => "line_too_long",
            Self::UnclosedQuote => "unclosed_quote",
            Self::StrayQuote => "stray_quote",
            Self::WrongFieldCount => "wrong_field_count",
            Self::TruncatedGzip => "truncated_gzip",
            Self::CorruptGzip => "corrupt_gzip",
            Self::TruncatedZstd => "truncated_zstd",
            Self::CorruptZstd => "corrupt_zstd",
            Self::ParquetTruncated => "parquet_truncated",
            Self::ParquetPageChecksum => "parquet_page_checksum",
            Self::ParquetCorrupt => "parquet_corrupt",
            Self::UnrecognisedSchema => "unrecognised_schema",
            Self::UnrecognisedFormat => "unrecognised_format",
            Self::NotProcessCreation => "not_process_creation",
            Self::MissingPath => "missing_path",
            Self::BadRequestLine => "bad_request_line",
            Self::BadStatus => "bad_status",
            Self::BadSize => "bad_size",
            Self::BadLatency => "bad_latency",
            Self::BrokenLogLine => "broken_log_line",
            Self::NotApiRequest => "not_api_request",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
