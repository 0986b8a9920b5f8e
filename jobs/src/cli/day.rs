//! Flags that say how a day is run: of `gleaner run`, and of `gleaner serve` for every day that it runs.

use super::embedder::EmbedderArgs;
use super::llm::LlmArgs;
use super::selection::SelectionArgs;
use crate::categorical::CategoricalBy;
use crate::error::JobError;
use crate::labels::pseudonyms::KeySource;
use crate::options::{
    Detectors, ModelPolicy, PrevalenceOptions, Quotas, RunOptions, ScaleBy, ThresholdBy,
};
use crate::stages::unit::Unit;
use crate::telemetry::{Kind, SchemaKind, Undated};

/// How a day is run.
#[derive(Debug, Clone, clap::Args)]
pub struct DayArgs {
    /// What the telemetry is about: command (command lines), or api (requests to APIs). A warehouse is of one kind.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// A file or directory of Parquet, NDJSON (plain, .gz, .zst) or CSV, of requests also logs; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    telemetry: Vec<String>,
    /// The telemetry's schema: native, ocsf, ecs, sysmon or security4688; of requests api, ocsf, ecs, cloudtrail, apigateway, alb,
    /// nginx, envoy or access. Recognised when not given.
    #[arg(long)]
    schema: Option<String>,
    /// What becomes of rows without an event time: quarantine, or day (they are taken as of the day).
    #[arg(long, default_value = "quarantine", value_parser = ["quarantine", "day"])]
    undated: String,
    /// What scores a day of requests: some of iforest, pca, kmeans, dbscan, ocsvm and autoencoder, with commas between them; without it
    /// iforest,pca,kmeans, as command lines always are.
    #[arg(long, value_name = "DETECTORS")]
    detectors: Option<Detectors>,
    /// Lines each detector may choose, of the day's unique lines: 0.5%, 1000, or iforest=1%,pca=500,kmeans=0.5%.
    #[arg(long, default_value = "1%")]
    quota: Quotas,
    /// What makes a request an anomaly of a detector: quota (the highest scores), or a score that a part of the sample sets which no
    /// detector was fitted on: rate:0.001 (that share of requests), quantile:0.999, or tail:0.0001 (that share, extrapolated). The quota stays the
    /// upper bound.
    #[arg(long, value_name = "THRESHOLD", default_value_t)]
    threshold: ThresholdBy,
    /// Cosine from which a line covers another of its guard key; default: the embedder's, 0.75 of the lexical one, 0.85 of others.
    #[arg(long)]
    cosine: Option<f32>,
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Rule labeller: hosts that a benign line's template was seen on.
    #[arg(long, default_value_t = PrevalenceOptions::default().min_hosts)]
    min_hosts: u32,
    /// Rule labeller: users that a benign line's template was seen with.
    #[arg(long, default_value_t = PrevalenceOptions::default().min_users)]
    min_users: u32,
    /// Rule labeller: days that a benign line's template was seen on.
    #[arg(long, default_value_t = PrevalenceOptions::default().min_days)]
    min_days: u32,
    /// Rule labeller: how many days of the warehouse are asked, the day itself included.
    #[arg(long, default_value_t = PrevalenceOptions::default().window_days)]
    window_days: u32,
    /// Lines that the detectors are fitted on.
    #[arg(long, default_value_t = RunOptions::default().fit_rows)]
    fit_rows: u64,
    /// What features are scaled by before detectors see them: mean and deviation, the range, or median and quartiles. It is kept with the
    /// models.
    #[arg(long, value_enum, default_value_t)]
    scale: ScaleBy,
    /// How categorical values of requests (endpoint, method, host, agent, outcome, referrer) become numbers: by how rare they are; that and a
    /// column for each of the most frequent; that and signed hashes; or that and endpoints as learned vectors. It is kept with
    /// the models.
    #[arg(long, value_enum, default_value_t)]
    categorical: CategoricalBy,
    /// Which models score the day: fitted on the day itself (refit), those of the latest earlier day (reuse), or those
    /// unless the day's scores or features have drifted from them (refit-if-drifted).
    #[arg(long, value_enum, default_value_t)]
    models: ModelPolicy,
    #[command(flatten)]
    llm: LlmArgs,
    /// A CSV of allow- and deny-lists (list,pattern,owner,reason,expires), applied before any label is paid for.
    #[arg(long, value_name = "FILE")]
    lists: Option<String>,
    /// A directory of Sigma rules: a hit keeps a line from being benign.
    #[arg(long, value_name = "DIR", env = "GLEANER_SIGMA")]
    sigma: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Stop after this stage; default: the last one of the kind.
    #[arg(long, value_name = "STAGE")]
    through: Option<String>,
}

impl DayArgs {
    /// Where the key of pseudonyms is, where it is not in the warehouse.
    #[must_use]
    pub fn pseudonym_key(&self) -> Option<KeySource> {
        self.llm.pseudonym_key.clone()
    }

    /// The options, checked; embedders are resolved and the files of guides read.
    ///
    /// # Errors
    /// When a value is out of range, or a file is not as expected.
    pub async fn options(&self) -> Result<RunOptions, JobError> {
        let schema = self.schema.as_deref().map(|name| {
            let unknown = |_| JobError::UnknownSchema {
                name: name.to_owned(),
                expected: SchemaKind::names(self.kind),
            };
            SchemaKind::named(self.kind, name).map_err(unknown)
        });
        let embedder = self.embedder.resolve().await?;
        let options = RunOptions {
            kind: self.kind,
            telemetry: self.telemetry.clone(),
            schema: schema.transpose()?,
            undated: if self.undated == "day" {
                Undated::AsDay
            } else {
                Undated::Quarantine
            },
            detectors: self
                .detectors
                .clone()
                .unwrap_or_else(|| Detectors::of(self.kind)),
            quotas: self.quota.clone(),
            threshold: self.threshold,
            cosine: self.cosine.unwrap_or(embedder.threshold),
            embedder,
            prevalence: PrevalenceOptions {
                min_hosts: self.min_hosts,
                min_users: self.min_users,
                min_days: self.min_days,
                window_days: self.window_days,
            },
            fit_rows: self.fit_rows,
            scale: self.scale,
            categorical: self.categorical,
            models: self.models,
            llm: self.llm.options()?,
            lists: self.lists.clone(),
            sigma: self.sigma.clone(),
            selection: self.selection.selection().await?,
            through: self
                .through
                .clone()
                .unwrap_or_else(|| Unit::of(self.kind).last_stage().to_owned()),
        };
        options.check()?;
        Ok(options)
    }
}
