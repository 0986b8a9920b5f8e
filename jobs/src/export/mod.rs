//! The product for others: the benign set, or a training set with it, as Parquet, CSV, `LibSVM` or a Hugging Face data set; a classifier as JSON or ONNX.
//!
//! ```text
//! table       the columns of an exported row, and rows from the warehouse and from labelled files
//! screen      what is left out: lines that a test knows, that are there already, that cannot be redacted
//! parquet     files of Parquet, in parts
//! text        CSV and LibSVM
//! place       a directory that appears whole, or not at all
//! account     what was written: counts, lineage, precision
//! card        the data card
//! classifier  JSON and ONNX
//! ```
//!
//! **Streamed.** The warehouse's set passes through in batches, a day at a time, in the order of day and hash, so that memory does not grow with it (a
//! baseline and tests are labelled by hand and held, as `evaluate lift` does). **The same bytes** for the same warehouse and flags: no clock, no
//! random name, no order of arrival is in any file. **Whole or not at all**: everything is written under another name, and renamed at the end.

mod account;
mod card;
mod classifier;
mod parquet;
mod place;
mod screen;
mod table;
mod text;

use std::path::PathBuf;

use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use gleaner_classifier::model::Classifier;
use gleaner_classifier::space::Space;
use gleaner_classifier::text::Reader;

pub use account::{Account, LeftOut};

use crate::error::JobError;
use crate::labels::pseudonyms::KeySource;
use crate::lift::sets::{self, Labelled};
use crate::warehouse::Warehouse;
use place::{Place, Target};
use screen::Screen;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Zstandard-compressed Parquet.
    Parquet,
    /// RFC 4180.
    Csv,
    /// The numbers that a classifier reads, one sparse row a line.
    Libsvm,
    /// What `datasets.load_dataset` takes.
    Hf,
    /// A classifier as JSON.
    Json,
    /// A classifier as ONNX.
    Onnx,
}

impl Format {
    /// As in flags and cards.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Libsvm => "libsvm",
            Self::Hf => "hf",
            Self::Json => "json",
            Self::Onnx => "onnx",
        }
    }
}

/// The parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// What to train on.
    Train,
    /// What to measure on.
    Test,
}

impl Split {
    /// Both, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// As in names of files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// What is exported, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// As what.
    pub format: Format,
    /// The warehouse whose benign set it is; `None`: labelled files alone.
    pub warehouse: Option<String>,
    /// First and last day of it.
    pub days: (Option<NaiveDate>, Option<NaiveDate>),
    /// Benign lines of this day and later ones are the test.
    pub test_from: Option<NaiveDate>,
    /// Labelled files that the benign set is added to.
    pub baseline: Vec<String>,
    /// Labelled files that are the test.
    pub test: Vec<String>,
    /// A saved classifier: what is exported, or whose columns `LibSVM` rows have.
    pub classifier: Option<PathBuf>,
    /// Whether secrets and names are cut.
    pub redact: bool,
    /// Where the key of pseudonyms is, where it is not in the warehouse.
    pub pseudonym_key: Option<KeySource>,
    /// Whether cells that a spreadsheet would run are made inert.
    pub spreadsheet: bool,
    /// Rows of a Parquet file, at most; `None`: of a file for each split.
    pub shard_rows: Option<u64>,
    /// The licence that the owner gives it.
    pub license: Option<String>,
    /// What the card calls it.
    pub name: String,
    /// A directory; or a file, of Parquet and CSV.
    pub out: PathBuf,
    /// Whether an earlier export there is replaced.
    pub overwrite: bool,
}

/// Exports.
///
/// # Errors
/// When the place is taken, an input is not as expected, or nothing would be written. Nothing is left behind then.
pub async fn run(plan: &Plan) -> Result<Account, JobError> {
    let model = plan.classifier.as_deref().map(classifier::read);
    let model = model.transpose()?;
    let target = Target::of(plan)?;
    let place = Place::begin(&target, plan.overwrite)?;
    let account = match (plan.format, &model) {
        (Format::Json | Format::Onnx, Some(model)) => classifier::write(plan, &place, model)?,
        (Format::Json | Format::Onnx, None) => {
            return Err(JobError::Usage(format!(
                "--format {} wants --classifier FILE: gleaner evaluate lift … --save FILE makes one",
                plan.format.name()
            )));
        }
        (_, model) => set(plan, &place, model.as_ref()).await?,
    };
    place.commit(&target)?;
    Ok(account)
}

/// Where the rows go.
enum Sink {
    Parquet(Box<parquet::Files>),
    Csv(text::Csv),
    Libsvm(Box<text::Libsvm>),
}

impl Sink {
    fn new(
        plan: &Plan,
        place: &Place,
        model: Option<&Classifier>,
        lineage: String,
    ) -> Result<Self, JobError> {
        Ok(match plan.format {
            Format::Csv => Self::Csv(text::Csv::new(place, plan.spreadsheet)),
            Format::Libsvm => {
                let space = model.map_or(Ok(Space::Catalog), Space::of)?;
                Self::Libsvm(Box::new(text::Libsvm::new(place, space, Reader::new())?))
            }
            _ => Self::Parquet(Box::new(parquet::Files::new(plan, place, lineage))),
        })
    }

    fn write(&mut self, split: Split, batch: &RecordBatch) -> Result<(), JobError> {
        match self {
            Self::Parquet(files) => files.write(split, batch),
            Self::Csv(files) => files.write(split, batch),
            Self::Libsvm(files) => files.write(split, batch),
        }
    }

    fn finish(self) -> Result<(), JobError> {
        match self {
            Self::Parquet(files) => files.finish(),
            Self::Csv(files) => files.finish(),
            Self::Libsvm(files) => files.finish(),
        }
    }
}

async fn labelled(files: &[String], what: &str) -> Result<(Vec<Labelled>, u64), JobError> {
    let (mut rows, mut unlabelled) = (vec![], 0);
    for file in files {
        let set = sets::read(file).await?;
        if set.rows.is_empty() {
            return Err(JobError::Usage(format!(
                "--{what} {file}: no row with a line and a label of benign or malicious"
            )));
        }
        unlabelled += set.unlabelled as u64;
        rows.extend(set.rows);
    }
    Ok((rows, unlabelled))
}

async fn set(plan: &Plan, place: &Place, model: Option<&Classifier>) -> Result<Account, JobError> {
    if plan.warehouse.is_none() && plan.baseline.is_empty() && plan.test.is_empty() {
        return Err(JobError::Usage(
            "nothing to export: name a --warehouse (its benign set), labelled files with --baseline, or both".to_owned(),
        ));
    }
    let warehouse = match &plan.warehouse {
        Some(path) => Some(Warehouse::open(path).await?),
        None => None,
    };
    let (baseline, unlabelled) = labelled(&plan.baseline, "baseline").await?;
    let (tests, unlabelled_tests) = labelled(&plan.test, "test").await?;
    let mut account = Account::begin(plan, warehouse.as_ref(), model).await?;
    account.left_out.unlabelled = unlabelled + unlabelled_tests;
    let mut screen = Screen::new(plan, warehouse.as_ref(), &tests).await?;
    let mut sink = Sink::new(plan, place, model, account.lineage_json())?;
    for some in baseline.chunks(table::BATCH_ROWS) {
        let batch = table::of_labelled(some, "baseline")?;
        screen.learn(&batch);
        let batch = screen.pass(batch, Split::Train, &mut account)?;
        take(&mut sink, &mut account, Split::Train, &batch)?;
    }
    drop(baseline);
    if let Some(warehouse) = &warehouse {
        for day in account.days() {
            let mut rows = table::benign(warehouse, account.snapshot(), day).await?;
            let split = match plan.test_from {
                Some(from) if day >= from => Split::Test,
                _ => Split::Train,
            };
            while let Some(batch) = rows.next().await? {
                let batch = screen.pass_new(batch, split, &mut account)?;
                take(&mut sink, &mut account, split, &batch)?;
            }
        }
    }
    for some in tests.chunks(table::BATCH_ROWS) {
        let batch = table::of_labelled(some, "test")?;
        let batch = screen.redacted(batch, &mut account)?;
        take(&mut sink, &mut account, Split::Test, &batch)?;
    }
    if account.rows() == 0 {
        return Err(JobError::Usage(
            "no row to export: the days named have emitted nothing benign (gleaner status --warehouse … says what each emitted), or all rows were left out"
                .to_owned(),
        ));
    }
    sink.finish()?;
    card::write(plan, place, &account)?;
    Ok(account)
}

fn take(
    sink: &mut Sink,
    account: &mut Account,
    split: Split,
    batch: &RecordBatch,
) -> Result<(), JobError> {
    if batch.num_rows() == 0 {
        return Ok(());
    }
    account.count(split, batch);
    sink.write(split, batch)
}
