//! `gleaner evaluate`: how well a part of the path does on labelled sets of its user's.

mod api;
mod api_curves;
mod api_days;
mod api_sources;
mod api_trials;
mod experiment;
mod lift;
mod near_dup;
mod outliers;
mod table;

use crate::error::JobError;

/// Flags of `gleaner evaluate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Score every Parquet file of a folder with every detector, and compare the scores with its labels.
    Outliers(outliers::Args),
    /// Say which pairs of command lines near-dedup would merge, and compare that with their labels.
    NearDup(near_dup::Args),
    /// Label every line of a file, and compare what is emitted as benign with its labels.
    Labels(Box<super::evaluate_labels::Args>),
    /// Train classifiers with and without the benign set, and compare them on tests.
    Lift(Box<lift::Args>),
    /// Find attacks among labelled API requests with every detector, and compare the alerts with the labels.
    Api(api::Args),
    /// Measure every way of choosing what to label, with whole sources held out.
    Experiment(experiment::Args),
}

/// # Errors
/// When a file is not as expected.
pub async fn main(args: Args) -> Result<(), JobError> {
    match args.what {
        What::Outliers(args) => outliers::main(&args),
        What::Api(args) => api::main(&args),
        What::NearDup(args) => near_dup::main(&args).await,
        What::Experiment(args) => experiment::main(&args).await,
        What::Lift(args) => lift::main(&args).await,
        What::Labels(args) => super::evaluate_labels::main(&args).await,
    }
}
