//! `gleaner evaluate outliers`: how well the detectors do on labelled sets.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Schema};
use gleaner_udfs::metrics::{Evaluated, Ranking, rank_outliers};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cli::{output, progress};
use crate::error::JobError;

/// Flags of `gleaner evaluate outliers`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder of Parquet files with numeric feature columns f0, f1, … and a boolean column `is_outlier`.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Each detector is fitted with the seeds 1 to this; the mean is reported with its standard error.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// One JSON object a set and detector.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the folder or one of its files is not as expected.
pub(super) fn main(args: &Args) -> Result<(), JobError> {
    let files = parquet_files(&args.directory)?;
    // All of them are looked at before the first is scored.
    for file in &files {
        columns(file, reader(file)?.schema())?;
    }
    if !args.json {
        output::line(&format!(
            "{:<20} {:<16} {:>17} {:>8} {:>9} {:>8}",
            "set", "detector", "auroc ± sem", "auprc", "rows", "features"
        ))?;
    }
    for file in &files {
        let set = Set::read(file)?;
        for detector in Evaluated::ALL {
            let rankings = set.rank(detector, args.seeds)?;
            output::line(&set.report(detector, &rankings, args.json))?;
        }
    }
    Ok(())
}

/// The Parquet files of a folder, by name.
fn parquet_files(directory: &Path) -> Result<Vec<PathBuf>, JobError> {
    let entries = std::fs::read_dir(directory).map_err(|e| JobError::io(directory, e))?;
    let mut files = vec![];
    for entry in entries {
        let path = entry.map_err(|e| JobError::io(directory, e))?.path();
        if path.extension().is_some_and(|e| e == "parquet") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(JobError::Usage(format!(
            "{}: no Parquet file (*.parquet) in this folder",
            directory.display()
        )));
    }
    Ok(files)
}

fn malformed(file: &Path, why: &str) -> JobError {
    JobError::Usage(format!(
        "{}: {why}; expected numeric feature columns f0, f1, … and a boolean column is_outlier",
        file.display()
    ))
}

fn reader(file: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, JobError> {
    let opened = File::open(file).map_err(|e| JobError::io(file, e))?;
    ParquetRecordBatchReaderBuilder::try_new(opened)
        .map_err(|e| malformed(file, &format!("not a Parquet file ({e})")))
}

/// The feature columns in order of their numbers, and the label's.
fn columns(file: &Path, schema: &Schema) -> Result<(Vec<usize>, usize), JobError> {
    let mut features: Vec<(u32, usize)> = vec![];
    let mut label = None;
    for (place, field) in schema.fields().iter().enumerate() {
        let number = field.name().strip_prefix('f').map(str::parse::<u32>);
        if let Some(Ok(number)) = number {
            if !field.data_type().is_numeric() {
                let why = format!("column {} is {}", field.name(), field.data_type());
                return Err(malformed(file, &why));
            }
            features.push((number, place));
        } else if field.name() == "is_outlier" {
            let kind = field.data_type();
            if kind != &DataType::Boolean && !kind.is_integer() {
                return Err(malformed(file, &format!("column is_outlier is {kind}")));
            }
            label = Some(place);
        }
    }
    let Some(label) = label else {
        return Err(malformed(file, "no column is_outlier"));
    };
    features.sort_unstable();
    // f0 to the last, none missing: a gap is a file that lost a column.
    if let Some((expected, _)) = (0..).zip(&features).find(|(n, (number, _))| n != number) {
        return Err(malformed(file, &format!("no column f{expected}")));
    }
    if features.is_empty() {
        return Err(malformed(file, "no column f0"));
    }
    Ok((
        features.into_iter().map(|(_, place)| place).collect(),
        label,
    ))
}

/// A labelled set.
struct Set {
    name: String,
    /// Row-major; missing values are NaN.
    rows: Vec<f32>,
    d: usize,
    outlier: Vec<bool>,
}

impl Set {
    fn read(file: &Path) -> Result<Self, JobError> {
        let builder = reader(file)?;
        let (features, label) = columns(file, builder.schema())?;
        let damaged = |e: &dyn std::fmt::Display| malformed(file, &format!("cannot be read ({e})"));
        let mut set = Self {
            name: file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            rows: vec![],
            d: features.len(),
            outlier: vec![],
        };
        for batch in builder.build().map_err(|e| damaged(&e))? {
            let batch = batch.map_err(|e| damaged(&e))?;
            set.add(&batch, &features, label).map_err(|e| damaged(&e))?;
        }
        let outliers = set.outlier.iter().filter(|outlier| **outlier).count();
        if outliers == 0 || outliers == set.outlier.len() {
            let why = format!("{outliers} of {} rows are outliers", set.outlier.len());
            return Err(malformed(file, &format!("{why}, nothing to tell apart")));
        }
        Ok(set)
    }

    fn add(&mut self, batch: &RecordBatch, features: &[usize], label: usize) -> Result<(), String> {
        let text = |e: datafusion::arrow::error::ArrowError| e.to_string();
        let mut columns = vec![];
        for place in features {
            let column = cast(batch.column(*place), &DataType::Float32).map_err(text)?;
            columns.push(column.as_primitive::<Float32Type>().clone());
        }
        let labels = cast(batch.column(label), &DataType::Boolean).map_err(text)?;
        if labels.null_count() > 0 {
            return Err("is_outlier is NULL in some row".to_owned());
        }
        self.outlier
            .extend(labels.as_boolean().iter().map(|label| label == Some(true)));
        for row in 0..batch.num_rows() {
            self.rows.extend(columns.iter().map(|column| {
                if column.is_null(row) {
                    f32::NAN
                } else {
                    column.value(row)
                }
            }));
        }
        Ok(())
    }

    /// One ranking a seed, in order; as many at a time as there are cores.
    fn rank(&self, detector: Evaluated, seeds: u64) -> Result<Vec<Ranking>, JobError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
        let one = |seed| rank_outliers(&self.rows, self.d, &self.outlier, detector, seed);
        let mut rankings = vec![];
        let mut next = 1;
        while next <= seeds {
            let last = seeds.min(next + cores - 1);
            let results = std::thread::scope(|scope| {
                let threads: Vec<_> = (next..=last)
                    .map(|seed| scope.spawn(move || one(seed)))
                    .collect();
                threads
                    .into_iter()
                    .map(std::thread::ScopedJoinHandle::join)
                    .collect::<Vec<_>>()
            });
            for result in results {
                let result =
                    result.map_err(|_| JobError::Internal("a detector panicked".into()))?;
                rankings.push(result.map_err(|e| JobError::Model(format!("{}: {e}", self.name)))?);
            }
            next = last + 1;
        }
        Ok(rankings)
    }

    fn report(&self, detector: Evaluated, rankings: &[Ranking], json: bool) -> String {
        let (auroc, sem) = mean(rankings.iter().map(|ranking| ranking.auroc));
        let (auprc, _) = mean(rankings.iter().map(|ranking| ranking.average_precision));
        if json {
            return serde_json::json!({
                "set": self.name,
                "detector": detector.name(),
                "auroc": auroc,
                "auroc_sem": sem,
                "auprc": auprc,
                "rows": self.outlier.len(),
                "features": self.d,
            })
            .to_string();
        }
        let sem = sem.map_or_else(String::new, |sem| format!(" ± {sem:.4}"));
        format!(
            "{:<20} {:<16} {:>17} {auprc:>8.4} {:>9} {:>8}",
            output::printable(&self.name),
            detector.name(),
            format!("{auroc:.4}{sem}"),
            progress::thousands(self.outlier.len() as u64),
            self.d
        )
    }
}

/// The mean, and its standard error: none of a single value, 0 of equal ones.
#[expect(clippy::cast_precision_loss, reason = "at most 10,000 seeds")]
fn mean(values: impl Iterator<Item = f64> + Clone) -> (f64, Option<f64>) {
    let n = values.clone().count() as f64;
    // From the first value on: the mean of equal values is that value, without rounding.
    let first = values.clone().next().unwrap_or(f64::NAN);
    let mean = first + values.clone().map(|value| value - first).sum::<f64>() / n;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn the_standard_error_is_that_worked_out_by_hand() {
        // Deviation of 1, 2, 3, 4 with n − 1: √(5/3); over √4.
        let (mean_of, sem) = mean([1.0, 2.0, 3.0, 4.0].into_iter());
        assert!((mean_of - 2.5).abs() < 1e-12);
        assert!(sem.is_some_and(|sem| (sem - (5.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-12));
        assert_eq!(mean([1.0].into_iter()), (1.0, None));
        assert_eq!(mean([0.1; 10].into_iter()), (0.1, Some(0.0)));
    }
}
