//! A SQL job: a file of statements over the warehouse's tables, the user's tables and all functions. All statements but the last
//! are `CREATE VIEW name AS …`, for those after them; the last is a query. Nothing else is allowed: no files, no settings, no
//! writing but that of the result.
//!
//! `$name` stands for a value. It is bound to the plan as a literal of the type that its place asks for, never pasted into text:
//! whatever a value holds, it stays a value.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::{Expr, SessionContext, cast, ident};
use datafusion::sql::parser::DFParser;
use gleaner_proto::plan::WriteSpec;
use gleaner_udfs::model_cache::sha256;

use super::ledger::RESULTS;
use crate::catalog;
use crate::engine::Engine;
use crate::error::JobError;
use crate::session;
use crate::warehouse::Warehouse;
use crate::warehouse::user_tables::{check_name, directory, stored};

/// What a query may be: it reads.
#[must_use]
pub fn reads() -> SQLOptions {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
}

/// Runs a job; returns the rows of its result.
///
/// # Errors
/// When a statement, parameter or table is wrong (says which), or the query or the commit fails.
pub async fn run(
    engine: &Engine,
    warehouse: &Warehouse,
    id: &str,
    statements: &str,
    parameters: &BTreeMap<String, String>,
    into: Option<&str>,
) -> Result<u64, JobError> {
    let ctx = session::fork(engine.session())?;
    catalog::tables(&ctx, warehouse).await?;
    let plan = plan(&ctx, statements, parameters).await?;
    let frame = storable(DataFrame::new(ctx.state(), plan))?;
    let columns = columns(frame.schema().as_arrow());
    let spec = |directory: &str, prefix: String| WriteSpec {
        directory_url: warehouse.url(&format!("{directory}/")),
        file_prefix: prefix,
        sort_column: String::new(),
        staged: false,
    };
    let Some(name) = into else {
        let spec = spec(RESULTS, format!("{id}/part"));
        let written = engine.write(frame, spec).await?;
        return Ok(written.iter().map(|w| w.rows).sum());
    };
    check_name(name)?;
    // Before anything is computed.
    warehouse.check_columns(name, &columns).await?;
    let slice = slice(parameters);
    let spec = spec(&directory(name), format!("{slice}-{id}"));
    let written = engine.write(frame, spec).await?;
    warehouse
        .replace_slice(name, &columns, &slice, &written)
        .await?;
    Ok(written.iter().map(|w| w.rows).sum())
}

/// Names what a choice of parameters gave: see `warehouse::user_tables`.
#[must_use]
pub fn slice(parameters: &BTreeMap<String, String>) -> String {
    let text = serde_json::json!(parameters).to_string();
    sha256(text.as_bytes())[..16].to_owned()
}

/// The query, with its views and parameters in it.
///
/// # Errors
/// When a statement is wrong or not allowed, or parameters and their values do not match.
pub async fn plan(
    ctx: &SessionContext,
    statements: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<LogicalPlan, JobError> {
    let parsed = DFParser::parse_sql(statements)?;
    let Some(last) = parsed.len().checked_sub(1) else {
        return Err(JobError::Usage("the file has no statement".to_owned()));
    };
    let mut used = BTreeSet::new();
    let mut query = None;
    for (i, statement) in parsed.into_iter().enumerate() {
        let at = |e: JobError| in_statement(i + 1, &e);
        let plan = ctx.state().statement_to_plan(statement).await;
        let plan = plan.map_err(|e| at(e.into()))?;
        if i < last {
            let (name, input) = view(plan).map_err(at)?;
            let input = bind(input, parameters, &mut used).map_err(at)?;
            if ctx.table_exist(name.clone())? {
                let text = format!("a table is named {name} already: name the view otherwise");
                return Err(at(JobError::Usage(text)));
            }
            ctx.register_table(name, Arc::new(ViewTable::new(input, None)))?;
        } else {
            reads().verify_plan(&plan).map_err(|e| {
                at(JobError::Usage(format!(
                    "the last statement is a query, whose result is kept: {}",
                    e.strip_backtrace()
                )))
            })?;
            query = Some(bind(plan, parameters, &mut used).map_err(at)?);
        }
    }
    if let Some(unused) = parameters.keys().find(|name| !used.contains(*name)) {
        return Err(JobError::Usage(format!(
            "no statement uses ${unused}: --set names what stands as $name in the file ({})",
            names(&used)
        )));
    }
    query.ok_or_else(|| JobError::Internal("a file without a query".to_owned()))
}

fn in_statement(number: usize, error: &JobError) -> JobError {
    JobError::Usage(format!("statement {number}: {error}"))
}

fn names(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "it has none".to_owned();
    }
    let names: Vec<_> = names.iter().map(|name| format!("${name}")).collect();
    format!("it has {}", names.join(", "))
}

fn view(plan: LogicalPlan) -> Result<(TableReference, LogicalPlan), JobError> {
    let LogicalPlan::Ddl(DdlStatement::CreateView(view)) = plan else {
        return Err(JobError::Usage(
            "all statements but the last are CREATE VIEW name AS SELECT …, for those after them"
                .to_owned(),
        ));
    };
    if view.or_replace || view.name.schema().is_some() {
        return Err(JobError::Usage(
            "a view of a job is its own: CREATE VIEW name, without OR REPLACE and without a schema"
                .to_owned(),
        ));
    }
    reads().verify_plan(&view.input)?;
    Ok((view.name, Arc::unwrap_or_clone(view.input)))
}

/// Puts values in the place of `$name`.
fn bind(
    plan: LogicalPlan,
    parameters: &BTreeMap<String, String>,
    used: &mut BTreeSet<String>,
) -> Result<LogicalPlan, JobError> {
    let mut values = HashMap::new();
    let mut found: Vec<_> = plan.get_parameter_types()?.into_iter().collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    for (placeholder, kind) in found {
        let name = placeholder.trim_start_matches('$').to_owned();
        let Some(text) = parameters.get(&name) else {
            return Err(JobError::Usage(format!(
                "${name} has no value: give --set {name}=…"
            )));
        };
        // Where nothing tells the type, a value is text.
        let kind = kind.unwrap_or(DataType::Utf8);
        let value = ScalarValue::try_from_string(text.clone(), &kind).map_err(|_| {
            JobError::Usage(format!(
                "--set {name}={text:?}: expected a value of type {kind}"
            ))
        })?;
        used.insert(name.clone());
        values.insert(name, value);
    }
    if values.is_empty() {
        return Ok(plan);
    }
    Ok(plan.with_param_values(ParamValues::from(values))?)
}

/// The result, its columns of types that a Delta table can hold.
fn storable(frame: DataFrame) -> Result<DataFrame, JobError> {
    let schema = Arc::clone(frame.schema().inner());
    let mut seen = BTreeSet::new();
    let mut columns: Vec<Expr> = vec![];
    for field in schema.fields() {
        let name = field.name();
        if !seen.insert(name.to_lowercase()) {
            return Err(JobError::Usage(format!(
                "the result has two columns named {name:?}: name one of them otherwise with AS"
            )));
        }
        if name.is_empty() || name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
            return Err(JobError::Usage(format!(
                "the result has a column {name:?}: give it a name with AS"
            )));
        }
        let Some(kind) = stored(field.data_type()) else {
            return Err(JobError::Usage(format!(
                "column {name:?} has the type {}, which a table cannot hold: cast it to another",
                field.data_type()
            )));
        };
        let column = ident(name);
        columns.push(if kind == *field.data_type() {
            column
        } else {
            cast(column, kind).alias(name)
        });
    }
    Ok(frame.select(columns)?)
}

/// The columns of a result as a table has them: whether one may be null is the query's accident, in a table each may.
fn columns(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    let fields = fields.map(|f| Field::new(f.name(), f.data_type().clone(), true));
    Schema::new(fields.collect::<Vec<_>>())
}
