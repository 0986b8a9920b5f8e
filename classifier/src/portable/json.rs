//! A classifier as JSON: one object, whose schema is in `docs/exports.md`.

use gleaner_udfs::text::catalog::CATALOG;
use serde_json::{Value, json};

use crate::ClassifierError;
use crate::boosting::Node;
use crate::model::Classifier;
use crate::space::{Column, Space};
use crate::text::BUCKETS;

/// The version of the schema.
pub const VERSION: u32 = 1;

/// The classifier. A number that is an `f32` is written so that it reads back as the same `f32`.
///
/// # Errors
/// As [`Space::of`].
pub fn object(model: &Classifier) -> Result<Value, ClassifierError> {
    let space = Space::of(model)?;
    let mut object = json!({
        "format": "gleaner-classifier",
        "version": VERSION,
        "family": model.family().name(),
        "columns": space.len(),
        "output": "probability of malice: 1 / (1 + exp(-log_odds))",
    });
    match model {
        Classifier::Boosting(boosting) => {
            let columns: Vec<Value> = space.columns().map(column).collect();
            object["column"] = columns.into();
            object["base"] = json!(boosting.base);
            object["trees"] = boosting.trees.iter().map(|t| tree(t)).collect();
        }
        Classifier::Linear(linear) => {
            // Buckets that no training row has have no weight.
            let held = linear.weights.iter().take(BUCKETS).enumerate();
            let (buckets, weights): (Vec<usize>, Vec<f64>) = held
                .filter(|(_, weight)| **weight != 0.0)
                .map(|(bucket, weight)| (bucket, exact(*weight)))
                .unzip();
            object["bias"] = json!(exact(linear.weights.get(BUCKETS).copied().unwrap_or(0.0)));
            object["weights"] = json!({ "column": buckets, "weight": weights });
        }
    }
    Ok(object)
}

fn column(column: Column) -> Value {
    match column {
        Column::Feature(place) => {
            json!({ "kind": "feature", "name": CATALOG.get(place).map(|f| f.name) })
        }
        Column::Gram(bucket) => {
            json!({ "kind": "ngram", "name": column.name(), "bucket": bucket })
        }
    }
}

/// Nodes as lists, the root first. A leaf's column is -1.
fn tree(nodes: &[Node]) -> Value {
    let leaf = |node: &Node| node.column == u32::MAX;
    let columns: Vec<i64> = nodes
        .iter()
        .map(|n| if leaf(n) { -1 } else { i64::from(n.column) })
        .collect();
    let edges: Vec<f64> = nodes.iter().map(|n| exact(n.edge)).collect();
    let values: Vec<f64> = nodes.iter().map(|n| exact(n.value)).collect();
    json!({
        "column": columns,
        "edge": edges,
        "missing_left": nodes.iter().map(|n| n.missing_left).collect::<Vec<_>>(),
        "left": nodes.iter().map(|n| n.left).collect::<Vec<_>>(),
        "right": nodes.iter().map(|n| n.right).collect::<Vec<_>>(),
        "value": values,
    })
}

fn exact(value: f32) -> f64 {
    f64::from(value)
}
