//! `gleaner sql`: one statement, or a shell with history and completion, over the tables of a warehouse and all
//! functions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use datafusion::arrow::array::{AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Editor, Helper, Highlighter, Hinter};

use super::embedder::EmbedderArgs;
use super::output;
use super::run::EngineArgs;
use crate::catalog::tables;
use crate::driver::install_model_loader;
use crate::engine::Engine;
use crate::error::JobError;
use crate::secure::Token;
use crate::serve::client::Client;
use crate::warehouse::Warehouse;

/// Flags of `gleaner sql`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement; without one, a shell.
    query: Option<String>,
    /// Directory of the warehouse whose tables are at hand; without it, functions and files alone.
    #[arg(long, value_name = "DIR", env = "GLEANER_WAREHOUSE")]
    warehouse: Option<String>,
    /// Ask a running `gleaner serve` instead: its warehouse's tables, read-only and within its limits.
    #[arg(long, value_name = "URL", conflicts_with_all = ["warehouse", "cluster"])]
    server: Option<String>,
    /// Your token, where the server wants one; better in the environment, where other users of the machine do not see it.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "GLEANER_TOKEN",
        hide_env_values = true
    )]
    token: Option<Token>,
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the warehouse cannot be opened, the server does not answer, or the statement fails.
pub async fn main(args: Args) -> Result<(), JobError> {
    let (asked, names) = if let Some(url) = &args.server {
        let client = Client::connect(url, &args.engine.tls, args.token.as_ref()).await?;
        let columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'";
        let names = match args.query {
            None => words(&client.query(columns).await?.1)?,
            Some(_) => vec![],
        };
        (Asked::Server(client), names)
    } else {
        let engine = args.engine.engine()?;
        install_model_loader();
        gleaner_udfs::embedder::configure(&args.embedder.resolve().await?.address);
        // A file's path in quotes is a table, as in `SELECT … FROM 'events.parquet'`.
        let ctx = engine.session().clone().enable_url_table();
        let names = match &args.warehouse {
            Some(path) => tables(&ctx, &Warehouse::open(path).await?).await?,
            None => vec![],
        };
        (Asked::Engine(Box::new(engine), Box::new(ctx)), names)
    };
    match &args.query {
        Some(query) => {
            let batches = asked.run(query).await?;
            if args.json {
                output::json(&batches)
            } else {
                output::table(&batches)
            }
        }
        None => shell(&asked, names, args.json).await,
    }
}

/// Who answers.
enum Asked {
    Engine(Box<Engine>, Box<SessionContext>),
    Server(Client),
}

impl Asked {
    async fn run(&self, query: &str) -> Result<Vec<RecordBatch>, JobError> {
        match self {
            Self::Engine(engine, ctx) => run(engine, ctx, query).await,
            Self::Server(client) => {
                let (schema, batches) = client.query(query).await?;
                Ok(if batches.is_empty() {
                    vec![RecordBatch::new_empty(schema)]
                } else {
                    batches
                })
            }
        }
    }
}

/// The distinct texts of all columns.
fn words(batches: &[RecordBatch]) -> Result<Vec<String>, JobError> {
    let mut words = BTreeSet::new();
    for column in batches.iter().flat_map(RecordBatch::columns) {
        let texts = cast(column, &DataType::Utf8).map_err(|e| JobError::Query(e.into()))?;
        let texts = texts.as_string::<i32>();
        words.extend(texts.iter().flatten().map(str::to_owned));
    }
    Ok(words.into_iter().collect())
}

/// Runs a statement.
///
/// # Errors
/// When it is wrong, or fails.
pub async fn run(
    engine: &Engine,
    ctx: &SessionContext,
    query: &str,
) -> Result<Vec<RecordBatch>, JobError> {
    let frame = ctx.sql(query).await?;
    if matches!(frame.logical_plan(), LogicalPlan::Dml(_)) {
        let text =
            "a warehouse is written by `gleaner run` alone: COPY … TO writes a file of your own";
        return Err(JobError::Usage(text.to_owned()));
    }
    let schema = frame.schema().as_arrow().clone();
    let batches = engine.collect(frame).await?;
    // Nothing found is shown as its columns; SET has none.
    Ok(if schema.fields().is_empty() {
        vec![]
    } else if batches.is_empty() {
        vec![RecordBatch::new_empty(schema.into())]
    } else {
        batches
    })
}

#[derive(Helper, Hinter, Highlighter)]
struct Shell {
    words: Vec<String>,
}

impl Completer for Shell {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let head = line.get(..at).unwrap_or_default();
        let start = head
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |i| i + 1);
        let prefix = head[start..].to_lowercase();
        let found = self
            .words
            .iter()
            .filter(|w| !prefix.is_empty() && w.to_lowercase().starts_with(&prefix));
        Ok((
            start,
            found
                .map(|w| Pair {
                    display: w.clone(),
                    replacement: w.clone(),
                })
                .collect(),
        ))
    }
}

impl Validator for Shell {
    /// A statement ends with `;`, so that it may go over several lines.
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = ctx.input().trim();
        let whole = text.is_empty()
            || text.ends_with(';')
            || text.starts_with('\\')
            || text == "exit"
            || text == "quit";
        Ok(if whole {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".gleaner_history"))
}

async fn shell(asked: &Asked, names: Vec<String>, json: bool) -> Result<(), JobError> {
    let failed = |e: ReadlineError| JobError::Internal(format!("terminal: {e}"));
    let mut words = names;
    words.extend(gleaner_udfs::described().iter().map(|f| f.name.to_owned()));
    words.extend(
        [
            "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "JOIN", "DESCRIBE",
        ]
        .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Shell, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Shell { words }));
    let history = history_file();
    if let Some(file) = &history {
        let _ = editor.load_history(file);
    }
    output::line("A statement ends with ; and \\d lists the tables, \\q or Ctrl-D leaves.")?;
    loop {
        let text = match editor.readline("gleaner> ") {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(failed(e)),
        };
        let query = match text.trim().trim_end_matches(';').trim() {
            "" => continue,
            "\\q" | "exit" | "quit" => break,
            "\\d" => {
                "SELECT table_name, column_name, data_type FROM information_schema.columns \
                      WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
            }
            query => query,
        };
        let started = Instant::now();
        // A wrong statement is told, and the shell goes on.
        match asked.run(query).await {
            Ok(batches) => {
                if json {
                    output::json(&batches)?;
                } else {
                    output::table(&batches)?;
                }
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                output::line(&format!(
                    "{rows} rows in {:.2} s",
                    started.elapsed().as_secs_f64()
                ))?;
            }
            Err(e) => output::error(&e),
        }
    }
    if let Some(file) = &history {
        let _ = editor.save_history(file);
    }
    Ok(())
}
