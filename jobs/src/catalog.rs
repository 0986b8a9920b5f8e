//! What queries see of a warehouse: its tables, and the user's own.

use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::{SessionContext, col, concat, lit};

use crate::engine::register;
use crate::error::JobError;
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{MODELS, tables_of};

/// Registers the tables of a warehouse; returns their names and columns, for completion.
///
/// # Errors
/// When a table's log cannot be read.
pub async fn tables(ctx: &SessionContext, warehouse: &Warehouse) -> Result<Vec<String>, JobError> {
    let mut names = vec![];
    let own = tables_of(warehouse.kind());
    let snapshot = warehouse.snapshot(own).await?;
    for table in own {
        names.push(table.name.to_owned());
        names.extend(table.schema().fields().iter().map(|f| f.name().clone()));
        let Some(source) = warehouse.source(table, snapshot.files(table)) else {
            // A table that no day has written yet is there, and empty.
            ctx.register_table(table.name, Arc::new(EmptyTable::new(table.schema())))?;
            continue;
        };
        if table.name == MODELS.name {
            // Functions take a model's URI; the table holds its path, which does not change with the warehouse's place.
            register(ctx, "models_table", &source)?;
            let uri = concat(vec![lit(warehouse.url("")), col("path")]).alias("uri");
            let columns = table
                .schema()
                .fields()
                .iter()
                .map(|f| col(f.name()))
                .chain([uri])
                .collect::<Vec<_>>();
            let view = ctx
                .table("models_table")
                .await?
                .select(columns)?
                .into_view();
            ctx.register_table(table.name, view)?;
        } else {
            register(ctx, table.name, &source)?;
        }
    }
    for name in warehouse.user_tables().await? {
        let Some((schema, source)) = warehouse.user_table(&name).await? else {
            continue;
        };
        names.push(name.clone());
        names.extend(schema.fields().iter().map(|f| f.name().clone()));
        match source {
            Some(source) => register(ctx, &name, &source)?,
            None => {
                ctx.register_table(name, Arc::new(EmptyTable::new(schema)))?;
            }
        }
    }
    Ok(names)
}
