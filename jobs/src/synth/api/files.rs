//! Files of calls, and of what is true of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::builder::{
    Float64Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema as Columns, TimeUnit};

use super::super::calendar::Day;
use super::super::output::{Text, Whole, io, parquet_properties, remove_parts};
use super::super::table::ParquetFile;
use super::super::{Format, Schema, SynthError, SynthFile, SynthParams};
use super::call::Call;
use super::incidents::Incident;
use super::lines;
use super::services::ENDPOINTS;
use super::users::Users;

/// Rows of a batch handed to the writer.
const BATCH_ROWS: usize = 8_192;
/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 262_144;

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The day's telemetry, in parts.
pub(super) struct Parts {
    folder: PathBuf,
    format: Format,
    schema: Schema,
    rows_per_file: u64,
    files: Vec<SynthFile>,
    open: Option<(Open, u64)>,
}

/// An open part.
enum Open {
    Text(Box<Text>, PathBuf),
    Table(Box<Table>),
}

impl Parts {
    pub(super) fn new(params: &SynthParams, out: &Path, day: &Day) -> Result<Self, SynthError> {
        let folder = out.join(format!("day={}", day.dashed));
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

    pub(super) fn push(&mut self, call: &Call) -> Result<(), SynthError> {
        if self
            .open
            .as_ref()
            .is_some_and(|(_, rows)| *rows >= self.rows_per_file)
        {
            self.close()?;
        }
        let (mut open, rows) = match self.open.take() {
            Some(open) => open,
            None => (self.part()?, 0),
        };
        match &mut open {
            Open::Table(table) => table.push(call)?,
            Open::Text(text, path) => {
                let mut line = String::with_capacity(512);
                match (self.format, self.schema) {
                    (Format::Csv, _) => lines::csv(call, &mut line),
                    (_, Schema::Ocsf) => lines::ocsf(call, &mut line),
                    (_, Schema::Access) => lines::access(call, &mut line),
                    (_, Schema::CloudTrail) => {
                        line.push_str(if rows == 0 { "{\"Records\":[" } else { "," });
                        lines::cloudtrail(call, &mut line);
                    }
                    _ => lines::native(call, &mut line),
                }
                if self.schema != Schema::CloudTrail {
                    line.push('\n');
                }
                text.write(line.as_bytes()).map_err(io(path))?;
            }
        }
        self.open = Some((open, rows + 1));
        Ok(())
    }

    fn part(&self) -> Result<Open, SynthError> {
        let ending = match (self.schema, self.format) {
            (_, Format::Parquet) => "parquet",
            (_, Format::Csv) => "csv",
            (Schema::Access, Format::Ndjson) => "log",
            (Schema::Access, Format::NdjsonGz) => "log.gz",
            (Schema::Access, Format::NdjsonZst) => "log.zst",
            (Schema::CloudTrail, Format::Ndjson) => "json",
            (Schema::CloudTrail, Format::NdjsonGz) => "json.gz",
            (Schema::CloudTrail, Format::NdjsonZst) => "json.zst",
            (_, Format::Ndjson) => "ndjson",
            (_, Format::NdjsonGz) => "ndjson.gz",
            (_, Format::NdjsonZst) => "ndjson.zst",
        };
        let name = format!("part-{:05}.{ending}", self.files.len());
        let file = Whole::create(self.folder.join(name))?;
        if self.format == Format::Parquet {
            return Ok(Open::Table(Box::new(Table::new(file)?)));
        }
        let path = file.path().to_owned();
        let mut text = Text::new(file, self.format)?;
        if self.format == Format::Csv {
            text.write(lines::CSV_HEADER.as_bytes())
                .map_err(io(&path))?;
        }
        Ok(Open::Text(Box::new(text), path))
    }

    fn close(&mut self) -> Result<(), SynthError> {
        let Some((open, rows)) = self.open.take() else {
            return Ok(());
        };
        self.files.push(match open {
            Open::Table(table) => table.finish()?,
            Open::Text(mut text, path) => {
                if self.schema == Schema::CloudTrail {
                    text.write(b"]}").map_err(io(&path))?;
                }
                text.into_file().map_err(io(&path))?.commit(rows)?
            }
        });
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<SynthFile>, SynthError> {
        self.close()?;
        Ok(self.files)
    }
}

/// A Parquet file of our own columns.
struct Table {
    file: ParquetFile,
    time: TimestampMicrosecondBuilder,
    /// `user` to `query`.
    target: [StringBuilder; 7],
    status: Int32Builder,
    error_code: StringBuilder,
    sizes: [Int64Builder; 2],
    latency_ms: Float64Builder,
    /// `user_agent` to `headers`.
    client: [StringBuilder; 4],
    rows: usize,
}

impl Table {
    fn new(file: Whole) -> Result<Self, SynthError> {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let mut fields = vec![Field::new("event_time", time_type(), true)];
        let target = [
            "user",
            "session",
            "client_ip",
            "method",
            "host",
            "path",
            "query",
        ];
        fields.extend(target.map(text));
        fields.extend([
            Field::new("status", DataType::Int32, true),
            text("error_code"),
            Field::new("request_bytes", DataType::Int64, true),
            Field::new("response_bytes", DataType::Int64, true),
            Field::new("latency_ms", DataType::Float64, true),
        ]);
        fields.extend(["user_agent", "referer", "body", "headers"].map(text));
        let properties = parquet_properties(&["path", "session"], GROUP_ROWS);
        Ok(Self {
            file: ParquetFile::new(file, Arc::new(Columns::new(fields)), properties)?,
            time: TimestampMicrosecondBuilder::new(),
            target: Default::default(),
            status: Int32Builder::new(),
            error_code: StringBuilder::new(),
            sizes: Default::default(),
            latency_ms: Float64Builder::new(),
            client: Default::default(),
            rows: 0,
        })
    }

    fn push(&mut self, call: &Call) -> Result<(), SynthError> {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.time.append_value(call.time_ms * 1000);
        let target = [
            call.user.as_str(),
            &call.session,
            &call.client_ip,
            call.method,
            call.host,
            &call.path,
            &call.query,
        ];
        for (builder, text) in self.target.iter_mut().zip(target) {
            builder.append_option(known(text));
        }
        self.status.append_value(call.status.into());
        self.error_code.append_option(known(call.error_code()));
        for (builder, bytes) in self
            .sizes
            .iter_mut()
            .zip([call.request_bytes, call.response_bytes])
        {
            builder.append_value(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds, far below 2^53")]
        self.latency_ms.append_value(call.latency_ms as f64);
        let client = [
            call.user_agent.as_str(),
            call.referer,
            &call.body,
            lines::headers(call),
        ];
        for (builder, text) in self.client.iter_mut().zip(client) {
            builder.append_option(known(text));
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SynthError> {
        self.rows = 0;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.time.finish().with_timezone("UTC"))];
        for builder in &mut self.target {
            arrays.push(Arc::new(builder.finish()));
        }
        arrays.push(Arc::new(self.status.finish()));
        arrays.push(Arc::new(self.error_code.finish()));
        for builder in &mut self.sizes {
            arrays.push(Arc::new(builder.finish()));
        }
        arrays.push(Arc::new(self.latency_ms.finish()));
        for builder in &mut self.client {
            arrays.push(Arc::new(builder.finish()));
        }
        self.file.write(arrays)
    }

    fn finish(mut self) -> Result<SynthFile, SynthError> {
        self.flush()?;
        self.file.finish()
    }
}

/// The calls that belong to incidents, one row each, as they come.
pub(super) struct TruthOfCalls {
    file: ParquetFile,
    calls: Vec<Call>,
}

impl TruthOfCalls {
    pub(super) fn new(out: &Path, day: &Day) -> Result<Self, SynthError> {
        let name = format!("day={}.requests.parquet", day.dashed);
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let mut fields = vec![
            Field::new("incident", DataType::Int64, false),
            Field::new("event_time", time_type(), false),
        ];
        fields.extend(["user", "client_ip", "method", "host", "path", "query"].map(text));
        let file = Whole::create(out.join("_truth").join(name))?;
        let properties = parquet_properties(&[], GROUP_ROWS);
        Ok(Self {
            file: ParquetFile::new(file, Arc::new(Columns::new(fields)), properties)?,
            calls: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, call: &Call) -> Result<(), SynthError> {
        if call.incident.is_some() {
            self.calls.push(call.clone());
        }
        if self.calls.len() >= BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SynthError> {
        let calls = std::mem::take(&mut self.calls);
        let texts = |of: fn(&Call) -> &str| {
            let known = calls
                .iter()
                .map(|call| Some(of(call)).filter(|text| !text.is_empty()));
            Arc::new(known.collect::<StringArray>()) as ArrayRef
        };
        let numbers = calls.iter().map(|call| {
            let place = call.incident.unwrap_or_default();
            i64::try_from(place).unwrap_or(i64::MAX)
        });
        let times = calls.iter().map(|call| call.time_ms * 1000);
        let times: TimestampMicrosecondArray = times.collect::<Vec<i64>>().into();
        self.file.write(vec![
            Arc::new(numbers.collect::<Int64Array>()),
            Arc::new(times.with_timezone("UTC")),
            texts(|call| &call.user),
            texts(|call| &call.client_ip),
            texts(|call| call.method),
            texts(|call| call.host),
            texts(|call| &call.path),
            texts(|call| &call.query),
        ])
    }

    pub(super) fn finish(mut self) -> Result<SynthFile, SynthError> {
        self.flush()?;
        self.file.finish()
    }
}

/// The incidents of a day, one row each.
pub(super) fn truth_of_incidents(
    out: &Path,
    day: &Day,
    incidents: &[Incident],
    users: &Users,
) -> Result<SynthFile, SynthError> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = vec![
        Field::new("incident", DataType::Int64, false),
        text("kind"),
        text("user"),
        text("client_ip"),
        text("actor"),
        text("method"),
        text("host"),
        text("path"),
        Field::new("begin", time_type(), false),
        Field::new("end", time_type(), false),
        Field::new("requests", DataType::Int64, false),
    ];
    let name = format!("day={}.incidents.parquet", day.dashed);
    let file = Whole::create(out.join("_truth").join(name))?;
    let schema = Arc::new(Columns::new(fields));
    let mut file = ParquetFile::new(file, schema, parquet_properties(&[], GROUP_ROWS))?;
    // A burst that hit nobody is none.
    let planted: Vec<(usize, &Incident)> = incidents
        .iter()
        .enumerate()
        .filter(|(_, incident)| incident.written > 0)
        .collect();
    let texts = |of: &dyn Fn(&Incident) -> Option<String>| {
        let values = planted.iter().map(|(_, incident)| of(incident));
        Arc::new(values.collect::<StringArray>()) as ArrayRef
    };
    let user = |incident: &Incident| incident.user(users).map(|user| user.name.clone());
    let address =
        |incident: &Incident| Some(incident.client_ip.clone()).filter(|text| !text.is_empty());
    let times = |of: &dyn Fn(&Incident) -> i64| {
        let values = planted.iter().map(|(_, incident)| of(incident) * 1000);
        let times: TimestampMicrosecondArray = values.collect::<Vec<i64>>().into();
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    let numbers = |of: &dyn Fn(usize, &Incident) -> u64| {
        let values = planted.iter().map(|(at, incident)| of(*at, incident));
        let values = values.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Arc::new(values.collect::<Int64Array>()) as ArrayRef
    };
    let endpoint = |incident: &Incident| &ENDPOINTS[incident.endpoint];
    file.write(vec![
        numbers(&|at, _| at as u64),
        texts(&|incident| Some(incident.kind.name().to_owned())),
        texts(&user),
        texts(&address),
        texts(&|incident| user(incident).or_else(|| address(incident))),
        texts(&|incident| Some(endpoint(incident).method.to_owned())),
        texts(&|incident| Some(endpoint(incident).host.to_owned())),
        texts(&|incident| Some(endpoint(incident).path.to_owned())),
        times(&|incident| incident.begin_ms),
        times(&|incident| incident.end_ms),
        numbers(&|_, incident| incident.written),
    ])?;
    file.finish()
}
