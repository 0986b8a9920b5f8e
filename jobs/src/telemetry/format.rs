//! What a file is, told from its name and its first bytes; which files of a listing can hold the day at all.

use chrono::{Days, NaiveDate};

use super::kind::Kind;

/// What one file is read as. A name decides between the text formats; magic bytes overrule the name where they are
/// decisive (a `.json` object that an uploader compressed, a `.gz` that a client already unpacked).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// NDJSON in one or more gzip members.
    NdjsonGzip,
    /// NDJSON in one or more zstd frames.
    NdjsonZstd,
    /// Comma-, tab- or semicolon-separated text with a header line, quoted as in RFC 4180.
    Csv,
    /// CSV in one or more gzip members.
    CsvGzip,
    /// CSV in one or more zstd frames.
    CsvZstd,
    /// Lines of a web server's or load balancer's log, or JSON under such a name.
    Log,
    /// A log in one or more gzip members.
    LogGzip,
    /// A log in one or more zstd frames.
    LogZstd,
}

/// How the text of a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Json,
    Csv,
    Log,
}

/// How the bytes of a text file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// How many first bytes [`Format::of_magic`] wants; fewer are fine when the file is shorter.
pub const MAGIC_BYTES: usize = 64;

impl Format {
    /// The format that a file's name (or key, or URL) announces; `None` when it announces nothing of this kind of telemetry.
    ///
    /// Logs (`.log`, `access_log`, `access.log.3.gz`, `access_log-20250101`) are read for requests alone.
    #[must_use]
    pub fn of_path(kind: Kind, path: &str) -> Option<Self> {
        let name = path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(path)
            .to_ascii_lowercase();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, "gz" | "gzip")) => (stem, Packing::Gzip),
            Some((stem, "zst" | "zstd")) => (stem, Packing::Zstd),
            _ => (name.as_str(), Packing::Plain),
        };
        let extension = stem.rsplit_once('.').map(|(_, extension)| extension);
        let layout = match (extension, packing) {
            // `part-0.gz.parquet` is Parquet whose pages are compressed: its extension is still `parquet`.
            (Some("parquet" | "pq" | "parq"), Packing::Plain) => return Some(Self::Parquet),
            (Some("csv" | "tsv"), _) => Layout::Csv,
            (Some("json" | "ndjson" | "jsonl"), _) => Layout::Json,
            _ if kind == Kind::Api && is_log_name(stem) => Layout::Log,
            (_, Packing::Plain) => return None,
            // Firehose and many shippers write JSON lines under a bare `.gz`; the content tells those from logs.
            _ if kind == Kind::Api => Layout::Log,
            _ => Layout::Json,
        };
        Some(Self::text(layout, packing))
    }

    /// The format that a file's first bytes show; `None` when they show nothing (so CSV is only ever told by name).
    #[must_use]
    pub fn of_magic(kind: Kind, head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        let unnamed = match kind {
            Kind::Command => Layout::Json,
            Kind::Api => Layout::Log,
        };
        match packing_of(head) {
            Packing::Plain if looks_like_json(head) => Some(Self::Ndjson),
            // A log is text from its first byte; what it is, its lines show.
            Packing::Plain if kind == Kind::Api && is_text(head) => Some(Self::Log),
            Packing::Plain => None,
            packing => Some(Self::text(unnamed, packing)),
        }
    }

    /// By name, then by first bytes; Parquet's magic overrules a name that says text.
    #[must_use]
    pub fn detect(kind: Kind, path: &str, head: &[u8]) -> Option<Self> {
        match (Self::of_path(kind, path), Self::of_magic(kind, head)) {
            (_, Some(Self::Parquet)) => Some(Self::Parquet),
            (Some(named), _) => Some(named),
            (None, shown) => shown,
        }
    }

    const fn text(layout: Layout, packing: Packing) -> Self {
        match (layout, packing) {
            (Layout::Json, Packing::Plain) => Self::Ndjson,
            (Layout::Json, Packing::Gzip) => Self::NdjsonGzip,
            (Layout::Json, Packing::Zstd) => Self::NdjsonZstd,
            (Layout::Csv, Packing::Plain) => Self::Csv,
            (Layout::Csv, Packing::Gzip) => Self::CsvGzip,
            (Layout::Csv, Packing::Zstd) => Self::CsvZstd,
            (Layout::Log, Packing::Plain) => Self::Log,
            (Layout::Log, Packing::Gzip) => Self::LogGzip,
            (Layout::Log, Packing::Zstd) => Self::LogZstd,
        }
    }

    pub(super) const fn packing(self) -> Packing {
        match self {
            Self::Parquet | Self::Ndjson | Self::Csv | Self::Log => Packing::Plain,
            Self::NdjsonGzip | Self::CsvGzip | Self::LogGzip => Packing::Gzip,
            Self::NdjsonZstd | Self::CsvZstd | Self::LogZstd => Packing::Zstd,
        }
    }

    pub(super) const fn is_csv(self) -> bool {
        matches!(self, Self::Csv | Self::CsvGzip | Self::CsvZstd)
    }

    pub(super) const fn is_log(self) -> bool {
        matches!(self, Self::Log | Self::LogGzip | Self::LogZstd)
    }
}

/// Names that web servers, load balancers and logrotate give.
fn is_log_name(stem: &str) -> bool {
    let rotated = stem.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    rotated
        .rsplit_once('.')
        .is_some_and(|(_, end)| end == "log")
        || rotated.ends_with("access_log")
        || stem.contains("access_log")
        || stem.contains("access.log")
}

fn is_text(head: &[u8]) -> bool {
    let printable = |b: &u8| *b >= b' ' || matches!(b, b'\n' | b'\r' | b'\t');
    !head.is_empty() && head.iter().all(printable)
}

/// The packing that the first bytes show.
pub(super) fn packing_of(head: &[u8]) -> Packing {
    if head.starts_with(&[0x1f, 0x8b]) {
        Packing::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_zstd_frame(head) {
        Packing::Zstd
    } else {
        Packing::Plain
    }
}

/// RFC 8878 §3.1.2: magic 0x184D2A50 to 0x184D2A5F, little-endian; parallel compressors put one first.
fn is_skippable_zstd_frame(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// True when the text begins as a JSON object, after a byte order mark and blanks.
pub(super) fn looks_like_json(head: &[u8]) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

pub(super) const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// True when a file of a listing need not be opened for this UTC day.
///
/// `path` is relative to the telemetry root (`region=eu-west-1/accountId=1/eventDay=20250101/part-0.gz.parquet`).
/// Skipped are hidden and marker names (`_SUCCESS`, `_temporary/…`, `.part-0.crc`) and partitions `eventDay=`, `day=`,
/// `date=`, `dt=` (`YYYYMMDD` or `YYYY-MM-DD`) or `year=/month=/day=` that lie more than one day away: a partition may
/// be named by local or ingestion time, so its neighbours are read and sorted out by event time. A value that is no
/// date prunes nothing.
#[must_use]
pub fn skip_by_path(path: &str, day: NaiveDate) -> bool {
    let first = day.checked_sub_days(Days::new(1)).unwrap_or(day);
    let last = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let (mut year, mut month, mut day_of_month) = (None, None, None);
    for component in path.split('/') {
        let hidden = component.starts_with('.') && component != "." && component != "..";
        // `_year=2025` is a partition column that begins with an underscore, not a marker.
        if hidden || (component.starts_with('_') && !component.contains('=')) {
            return true;
        }
        let Some((key, value)) = component.split_once('=') else {
            continue;
        };
        match key.to_ascii_lowercase().as_str() {
            "year" => year = value.parse::<i32>().ok(),
            "month" => month = value.parse::<u32>().ok(),
            key @ ("eventday" | "event_day" | "day" | "date" | "dt" | "event_date") => {
                if let Some(date) = date_of(value) {
                    if date < first || date > last {
                        return true;
                    }
                } else if key == "day" {
                    day_of_month = value.parse::<u32>().ok();
                }
            }
            _ => {}
        }
    }
    let Some(year) = year else { return false };
    let from = NaiveDate::from_ymd_opt(
        year,
        month.unwrap_or(1),
        month.and(day_of_month).unwrap_or(1),
    );
    let to = match (month, day_of_month) {
        (None, _) => NaiveDate::from_ymd_opt(year, 12, 31),
        (Some(month), None) => {
            NaiveDate::from_ymd_opt(year, month, 1).and_then(|d| d.checked_add_days(Days::new(30)))
        }
        (Some(_), Some(_)) => from,
    };
    matches!((from, to), (Some(from), Some(to)) if to < first || from > last)
}

fn date_of(value: &str) -> Option<NaiveDate> {
    let format = if value.len() == 8 {
        "%Y%m%d"
    } else {
        "%Y-%m-%d"
    };
    (value.len() == 8 || value.len() == 10)
        .then(|| NaiveDate::parse_from_str(value, format).ok())?
}
