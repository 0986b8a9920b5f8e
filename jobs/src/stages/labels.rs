//! Stage 7: verdicts on the kept candidates. How widely a line's template was seen (events, hosts, users, days) is
//! counted over the warehouse's last days of `commands`: a line with volatile parts is unique, its template is not.
//!
//! A language model and analysts' lists are the driver's own I/O ([`crate::labels`]): what they decide is staged as a file, and joined here to the
//! rule labeller's verdicts on the rest.

use std::time::Instant;

use chrono::Days;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::sql::{Value, fill};
use super::{DayRun, StageRecord, rows_of, tables};
use crate::engine::{Engine, Source, Task};
use crate::error::JobError;
use crate::labels::lists::Lists;
use crate::labels::sigma::SigmaRules;
use crate::labels::store::Store;
use crate::labels::triage::{by_list, by_sigma};
use crate::labels::{Decision, Labeller, Line, Usage, counted, rows};
use crate::observe::metrics;
use crate::warehouse::tables::{CANDIDATES, COMMANDS, LABELS};

/// # Errors
/// When a task fails, a candidate gets no label, or its accounts cannot be kept.
pub async fn run(
    day: &DayRun<'_>,
    commands: &StageRecord,
    candidates: &StageRecord,
) -> Result<StageRecord, JobError> {
    let started = Instant::now();
    let window = day.options.prevalence;
    let first = day
        .day
        .checked_sub_days(Days::new(u64::from(window.window_days - 1)))
        .unwrap_or(day.day);
    let earlier = day.warehouse.snapshot(&[COMMANDS]).await?;
    let earlier = earlier.files(&COMMANDS).iter();
    let seen: Vec<_> = earlier
        .filter(|f| (first..day.day).contains(&f.day))
        .chain(commands.files_of(&COMMANDS))
        .collect();
    let mut parts: Vec<String> = seen
        .iter()
        .filter(|f| f.day != day.day)
        .map(|f| format!("{}|{}", f.day, f.fingerprint().unwrap_or_default()))
        .collect();
    parts.dedup();
    parts.extend([
        commands.digest.clone(),
        candidates.digest.clone(),
        format!("{window:?}"),
    ]);
    let decided = decide(day, candidates).await?;
    let staged = rows::batch(&decisions_schema(), &decided.decisions)?;
    if !decided.decisions.is_empty() {
        // The answers are part of what the stage's answer depends on: a line that got none may get one in the next run.
        parts.push(content(&decided.decisions)?);
    }
    // Rules that nothing hits are part of the answer too.
    parts.extend(decided.sigma.clone());
    let fingerprint = day.fingerprint(
        "labels",
        &parts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    if let Some(record) = day.up_to_date("labels", &fingerprint).await? {
        return Ok(record);
    }
    let whole = day.whole(&CANDIDATES, candidates);
    let tasks = seen.iter().enumerate().map(|(part, file)| {
        let bucket = Source::Parquet {
            urls: vec![
                day.warehouse
                    .url(&format!("{}/{}", COMMANDS.name, file.path)),
            ],
            schema: COMMANDS.schema(),
            sorted_by: &[],
        };
        let sources = tables([("commands", bucket), ("candidates", whole.clone())]);
        day.staging_task(
            "prevalence",
            part,
            "",
            include_str!("prevalence.sql").to_owned(),
            sources,
        )
    });
    let prevalence = day
        .run_writes("labels", "prevalence of templates", tasks.collect())
        .await?;
    let prevalence = day.staged(&prevalence, prevalence_schema());
    let decisions = stage(day, &staged).await?;
    let values = [
        ("min_hosts", Value::Int(window.min_hosts.into())),
        ("min_users", Value::Int(window.min_users.into())),
        ("min_days", Value::Int(window.min_days.into())),
    ];
    let tasks = day
        .buckets(&CANDIDATES, candidates)
        .into_iter()
        .enumerate()
        .map(|(part, bucket)| {
            let sql = fill(include_str!("labels.sql"), &values);
            let sources = tables([
                ("candidates", bucket),
                ("prevalence", prevalence.clone()),
                ("decisions", decisions.clone()),
            ]);
            day.table_task(&LABELS, part, &fingerprint, sql, sources)
        });
    let written = day
        .run_writes("labels", "verdicts", tasks.collect())
        .await?;
    let rows = rows_of(&written);
    if rows != candidates.rows_kept {
        let what = format!("{} candidates in, {rows} labels out", candidates.rows_kept);
        return Err(JobError::Unbalanced {
            stage: "labels",
            what,
        });
    }
    let record = StageRecord {
        rows_in: rows,
        rows_kept: rows,
        fingerprint,
        notes: decided.notes,
        ..StageRecord::default()
    };
    day.finish("labels", &[(LABELS, &written)], started, record)
        .await
}

/// What was decided without the SQL rule labeller, and what that took.
#[derive(Default)]
struct Decided {
    decisions: Vec<Decision>,
    notes: BTreeMap<String, String>,
    /// Of the Sigma rules' content.
    sigma: Option<String>,
}

async fn decide(day: &DayRun<'_>, candidates: &StageRecord) -> Result<Decided, JobError> {
    let lists = match &day.options.lists {
        Some(path) => Lists::read(path, day.day).await?,
        None => Lists::default(),
    };
    if lists.expired > 0 {
        let n = lists.expired;
        day.progress.remark(&format!(
            "{n} entries of the lists have expired, and count no more"
        ));
    }
    let sigma = day
        .options
        .sigma
        .as_deref()
        .map(SigmaRules::read)
        .transpose()?;
    if day.options.llm.is_none() && lists.is_empty() && sigma.is_none() {
        return Ok(Decided::default());
    }
    let lines = lines(day, candidates).await?;
    let mut notes = BTreeMap::new();
    let decisions = if let Some(options) = &day.options.llm {
        let store = Store::of(day.warehouse);
        let labeller = Labeller::new(options.clone(), store, day.day, day.progress).await?;
        let (decisions, usage) = labeller.label(&lines, &lists, sigma.as_ref()).await?;
        remark(day, &decisions, &usage);
        notes.insert("model".to_owned(), options.model.clone());
        notes.insert(
            "prompt".to_owned(),
            crate::labels::prompt::hash().to_owned(),
        );
        // Of the answers that the labels rest on, whenever they were paid for: the same day has the same accounts.
        let cost: f64 = decisions.iter().map(|d| d.cost_usd).sum();
        notes.insert("cost_usd".to_owned(), format!("{cost:.6}"));
        decisions
    } else {
        let hits = sigma
            .as_ref()
            .map_or_else(|| vec![vec![]; lines.len()], |sigma| sigma.hits(&lines));
        let both = lines.iter().zip(&hits);
        both.filter_map(|(line, hits)| by_list(line, &lists, hits).or_else(|| by_sigma(line, hits)))
            .collect()
    };
    if let Some(sigma) = &sigma {
        day.progress.remark(&sigma.summary());
        notes.insert("sigma_rules".to_owned(), sigma.len().to_string());
    }
    for (name, count) in counted(&decisions) {
        notes.insert(name, count.to_string());
    }
    Ok(Decided {
        decisions,
        notes,
        sigma: sigma.map(|sigma| sigma.fingerprint().to_owned()),
    })
}

/// What the user should know of a labelled day.
fn remark(day: &DayRun<'_>, decisions: &[Decision], usage: &Usage) {
    let (spent, error) = (usage.spent, usage.error());
    metrics::driver().labelled(
        usage.canaries_malicious,
        usage.canaries_missed,
        usage.batches_rejected,
    );
    day.progress.remark(&format!(
        "labels: {} lines asked about in {} calls ({} retries), {} answered before; {:.4} USD, {} + {} tokens; {} of {} malicious canaries missed \
         (95%: {:.4} to {:.4}), {} batches rejected",
        usage.asked, spent.calls, spent.retries, usage.cached, spent.cost_usd, spent.input_tokens, spent.output_tokens,
        usage.canaries_missed, usage.canaries_malicious, error.low, error.high, usage.batches_rejected,
    ));
    let open: Vec<_> = decisions.iter().filter(|d| d.transient).collect();
    if let Some(first) = open.first() {
        let why = first.unlabelled.as_deref().unwrap_or_default();
        day.progress.remark(&format!(
            "labels: {} lines stay unlabelled for now (the first: {why}); run the day again to ask about them, nothing is paid twice",
            open.len()
        ));
    }
}

/// The kept candidates.
async fn lines(day: &DayRun<'_>, candidates: &StageRecord) -> Result<Vec<Line>, JobError> {
    kept_lines(day.engine, day.whole(&CANDIDATES, candidates)).await
}

/// The kept lines of a source of candidates, by hash.
///
/// # Errors
/// When the query fails.
pub async fn kept_lines(engine: &Engine, candidates: Source) -> Result<Vec<Line>, JobError> {
    let task = Task {
        name: "labels/lines".to_owned(),
        sql: "SELECT hash, command_line, os, image, parent_image, parent_command_line, \"user\", original_file_name, integrity_level FROM candidates WHERE kept ORDER BY hash"
            .to_owned(),
        tables: tables([("candidates", candidates)]),
        write: None,
    };
    let batches = engine.run(vec![task], &|| ()).await?;
    let mut lines = vec![];
    for batch in batches.iter().flatten() {
        let columns: Vec<_> = (0..9)
            .map(|n| batch.column(n).as_string_opt::<i32>())
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |n: usize| {
                columns[n]
                    .filter(|c| c.is_valid(row))
                    .map(|c| c.value(row).to_owned())
            };
            lines.push(Line {
                hash: cell(0).unwrap_or_default(),
                command_line: cell(1).unwrap_or_default(),
                os: cell(2),
                image: cell(3),
                parent_image: cell(4),
                parent_command_line: cell(5),
                user: cell(6),
                original_file_name: cell(7),
                integrity_level: cell(8),
            });
        }
    }
    Ok(lines)
}

fn content(decisions: &[Decision]) -> Result<String, JobError> {
    let json = serde_json::to_vec(decisions).map_err(|e| JobError::Internal(e.to_string()))?;
    Ok(gleaner_udfs::model_cache::sha256(&json)[..16].to_owned())
}

/// Stages the decisions as a file.
async fn stage(day: &DayRun<'_>, decisions: &RecordBatch) -> Result<Source, JobError> {
    let path = format!("_staging/{}/decisions.parquet", day.run);
    day.warehouse.put(&path, rows::parquet(decisions)?).await?;
    Ok(Source::Parquet {
        urls: vec![day.warehouse.url(&path)],
        schema: decisions_schema(),
        sorted_by: &[],
    })
}

/// The columns of `labels` that a [`Decision`] has.
fn decisions_schema() -> SchemaRef {
    let table = LABELS.schema();
    let others = [
        "day",
        "command_line",
        "template_events",
        "template_hosts",
        "template_users",
        "template_days",
    ];
    let fields = table
        .fields()
        .iter()
        .filter(|f| !others.contains(&f.name().as_str()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

fn prevalence_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("template", DataType::Utf8, true),
        Field::new("events", DataType::Int64, true),
        Field::new("host_state", DataType::Binary, true),
        Field::new("user_state", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
    ]))
}
