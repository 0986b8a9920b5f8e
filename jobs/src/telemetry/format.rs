//! What a file is, told from its name and its first bytes; which files of a listing can hold the day at all.

use chrono::{Days, NaiveDate};

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
    /// The format that a file's name (or key, or URL) announces; `None` when it announces nothing.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(path)
            .to_ascii_lowercase();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, "gz" | "gzip")) => (stem, Packing::Gzip),
            Some((stem, "zst" | "zstd")) => (stem, Packing::Zstd),
            Some(_) => (name.as_str(), Packing::Plain),
            None => return None,
        };
        let extension = stem.rsplit_once('.').map(|(_, extension)| extension);
        match (extension, packing) {
            // `part-0.gz.parquet` is Parquet whose pages are compressed: its extension is still `parquet`.
            (Some("parquet" | "pq" | "parq"), Packing::Plain) => Some(Self::Parquet),
            (Some("csv" | "tsv"), packing) => Some(Self::text(true, packing)),
            (Some("json" | "ndjson" | "jsonl"), packing) => Some(Self::text(false, packing)),
            (_, Packing::Plain) => None,
            // Firehose and many shippers write JSON lines under a bare `.gz`.
            (_, packing) => Some(Self::text(false, packing)),
        }
    }

    /// The format that a file's first bytes show; `None` when they show nothing (so CSV is only ever told by name).
    #[must_use]
    pub fn of_magic(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        match packing_of(head) {
            Packing::Gzip => Some(Self::NdjsonGzip),
            Packing::Zstd => Some(Self::NdjsonZstd),
            Packing::Plain if looks_like_json(head) => Some(Self::Ndjson),
            Packing::Plain => None,
        }
    }

    /// By name, then by first bytes; Parquet's magic overrules a name that says text.
    #[must_use]
    pub fn detect(path: &str, head: &[u8]) -> Option<Self> {
        match (Self::of_path(path), Self::of_magic(head)) {
            (_, Some(Self::Parquet)) => Some(Self::Parquet),
            (Some(named), _) => Some(named),
            (None, shown) => shown,
        }
    }

    const fn text(is_csv: bool, packing: Packing) -> Self {
        match (is_csv, packing) {
            (false, Packing::Plain) => Self::Ndjson,
            (false, Packing::Gzip) => Self::NdjsonGzip,
            (false, Packing::Zstd) => Self::NdjsonZstd,
            (true, Packing::Plain) => Self::Csv,
            (true, Packing::Gzip) => Self::CsvGzip,
            (true, Packing::Zstd) => Self::CsvZstd,
        }
    }

    pub(super) const fn packing(self) -> Packing {
        match self {
            Self::Parquet | Self::Ndjson | Self::Csv => Packing::Plain,
            Self::NdjsonGzip | Self::CsvGzip => Packing::Gzip,
            Self::NdjsonZstd | Self::CsvZstd => Packing::Zstd,
        }
    }

    pub(super) const fn is_csv(self) -> bool {
        matches!(self, Self::Csv | Self::CsvGzip | Self::CsvZstd)
    }
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
