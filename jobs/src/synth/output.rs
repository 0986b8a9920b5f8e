//! Files: where they lie, when one ends, and how rows get into them.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::calendar::Day;
use super::documents;
use super::generate::Event;
use super::native::NativeParquet;
use super::ocsf::OcsfParquet;
use super::{Format, Schema, SynthError, SynthFile, SynthParams};

/// Bytes between the writer and the file.
const BUFFER_BYTES: usize = 1 << 20;

/// A file that is written under another name and renamed when it is whole: a reader never sees half of one.
#[derive(Debug)]
pub(super) struct Whole {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    done: bool,
}

impl Whole {
    /// Opens the file, with the folders above it.
    pub(super) fn create(path: PathBuf) -> Result<Self, SynthError> {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        let open = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create(&temporary)
        };
        let file = open().map_err(io(&temporary))?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            path,
            temporary,
            done: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name.
    pub(super) fn commit(mut self, rows: u64) -> Result<SynthFile, SynthError> {
        let bytes = self.settle().map_err(io(&self.path))?;
        self.done = true;
        Ok(SynthFile {
            path: self.path.clone(),
            rows,
            bytes,
        })
    }
}

impl Whole {
    fn settle(&mut self) -> std::io::Result<u64> {
        self.file.flush()?;
        let bytes = self.file.get_ref().metadata()?.len();
        fs::rename(&self.temporary, &self.path)?;
        Ok(bytes)
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.done {
            // Nothing to be done where even this fails: the name tells that the file is not whole.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> SynthError {
    let path = path.to_owned();
    move |source| SynthError::Io {
        path: path.clone(),
        source,
    }
}

/// Refuses a folder that holds something, unless it may be overwritten.
pub(super) fn check_empty(out: &Path, overwrite: bool) -> Result<(), SynthError> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io(out)(e)),
    };
    let empty = entries.take(1).count() == 0;
    if empty || overwrite {
        Ok(())
    } else {
        Err(SynthError::NotEmpty(out.to_owned()))
    }
}

/// Zstd, and no dictionary for the columns of `plain`, whose values hardly repeat.
pub(super) fn parquet_properties(plain: &[&str], group_rows: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(group_rows))
        .set_created_by("gleaner synth".to_owned())
        .set_statistics_enabled(EnabledStatistics::None);
    for name in plain {
        let path = ColumnPath::new(name.split('.').map(str::to_owned).collect());
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    let time = ColumnPath::from("event_time");
    properties
        .set_column_encoding(time.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_statistics_enabled(time, EnabledStatistics::Chunk)
        .build()
}

/// Lines of text, compressed or not.
pub(super) enum Text {
    Plain(Whole),
    Gzip(GzEncoder<Whole>),
    Zstd(zstd::Encoder<'static, Whole>),
}

impl Text {
    pub(super) fn new(file: Whole, format: Format) -> Result<Self, SynthError> {
        let path = file.path().to_owned();
        Ok(match format {
            Format::NdjsonGz => Self::Gzip(GzEncoder::new(file, flate2::Compression::fast())),
            Format::NdjsonZst => Self::Zstd(zstd::Encoder::new(file, 1).map_err(io(&path))?),
            Format::Parquet | Format::Ndjson | Format::Csv => Self::Plain(file),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gzip(w) => w.write_all(bytes),
            Self::Zstd(w) => w.write_all(bytes),
        }
    }

    pub(super) fn into_file(self) -> std::io::Result<Whole> {
        match self {
            Self::Plain(w) => Ok(w),
            Self::Gzip(w) => w.finish(),
            Self::Zstd(w) => w.finish(),
        }
    }
}

/// An open part.
enum Open {
    Native(Box<NativeParquet>),
    Ocsf(Box<OcsfParquet>),
    Text(Box<TextFile>),
}

/// A file of lines and what is needed to write one.
struct TextFile {
    text: Text,
    path: PathBuf,
    line: String,
    rows: u64,
}

impl Open {
    fn push(&mut self, event: &Event, format: Format, schema: Schema) -> Result<(), SynthError> {
        match self {
            Self::Native(file) => file.push(event),
            Self::Ocsf(file) => file.push(event),
            Self::Text(file) => {
                let TextFile {
                    text,
                    path,
                    line,
                    rows,
                } = file.as_mut();
                line.clear();
                match (format, schema) {
                    (Format::Csv, _) => documents::csv(event, line),
                    (_, Schema::Native) => documents::native(event, line),
                    (_, Schema::Ocsf) => documents::ocsf(event, line),
                    (_, Schema::Ecs) => documents::ecs(event, line),
                    (_, Schema::Sysmon) => documents::sysmon(event, line),
                    (_, Schema::Security4688) => documents::security(event, line),
                    // Refused before anything is made: they are of requests.
                    (_, Schema::Access | Schema::CloudTrail) => {}
                }
                line.push('\n');
                *rows += 1;
                text.write(line.as_bytes()).map_err(io(path))
            }
        }
    }

    fn finish(self) -> Result<SynthFile, SynthError> {
        match self {
            Self::Native(file) => file.finish(),
            Self::Ocsf(file) => file.finish(),
            Self::Text(file) => {
                let TextFile {
                    text, path, rows, ..
                } = *file;
                text.into_file().map_err(io(&path))?.commit(rows)
            }
        }
    }
}

/// The telemetry of one day, in parts.
pub(super) struct Parts {
    folder: PathBuf,
    format: Format,
    schema: Schema,
    rows_per_file: u64,
    files: Vec<SynthFile>,
    open: Option<(Open, u64)>,
}

impl Parts {
    pub(super) fn new(params: &SynthParams, out: &Path, day: &Day) -> Result<Self, SynthError> {
        let folder = if params.schema == Schema::Ocsf {
            out.join("region=us-east-1")
                .join("accountId=123456789012")
                .join(format!("eventDay={}", day.digits))
        } else {
            out.join(format!("day={}", day.dashed))
        };
        if params.overwrite {
            remove_parts(&folder)?;
        }
        Ok(Self {
            folder,
            format: params.format,
            schema: params.schema,
            rows_per_file: params.rows_per_file,
            files: Vec::new(),
            open: None,
        })
    }

    pub(super) fn push(&mut self, event: &Event) -> Result<(), SynthError> {
        if self
            .open
            .as_ref()
            .is_some_and(|(_, rows)| *rows >= self.rows_per_file)
            && let Some((full, _)) = self.open.take()
        {
            self.files.push(full.finish()?);
        }
        let (mut open, rows) = match self.open.take() {
            Some(open) => open,
            None => (self.part()?, 0),
        };
        open.push(event, self.format, self.schema)?;
        self.open = Some((open, rows + 1));
        Ok(())
    }

    fn part(&self) -> Result<Open, SynthError> {
        let ending = match (self.format, self.schema) {
            (Format::Parquet, Schema::Ocsf) => "zst.parquet",
            (Format::Parquet, _) => "parquet",
            (Format::Ndjson, _) => "ndjson",
            (Format::NdjsonGz, _) => "ndjson.gz",
            (Format::NdjsonZst, _) => "ndjson.zst",
            (Format::Csv, _) => "csv",
        };
        let file = Whole::create(
            self.folder
                .join(format!("part-{:05}.{ending}", self.files.len())),
        )?;
        match (self.format, self.schema) {
            (Format::Parquet, Schema::Ocsf) => Ok(Open::Ocsf(Box::new(OcsfParquet::new(file)?))),
            (Format::Parquet, _) => Ok(Open::Native(Box::new(NativeParquet::new(file)?))),
            (format, _) => {
                let path = file.path().to_owned();
                let mut text = Text::new(file, format)?;
                if format == Format::Csv {
                    text.write(documents::CSV_HEADER.as_bytes())
                        .map_err(io(&path))?;
                }
                Ok(Open::Text(Box::new(TextFile {
                    text,
                    path,
                    line: String::new(),
                    rows: 0,
                })))
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Vec<SynthFile>, SynthError> {
        if let Some((last, _)) = self.open.take() {
            self.files.push(last.finish()?);
        }
        Ok(self.files)
    }
}

/// Removes the parts of an earlier run, and nothing else.
pub(super) fn remove_parts(folder: &Path) -> Result<(), SynthError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io(folder)(e)),
    };
    for entry in entries {
        let path = entry.map_err(io(folder))?.path();
        if path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("part-"))
        {
            fs::remove_file(&path).map_err(io(&path))?;
        }
    }
    Ok(())
}
