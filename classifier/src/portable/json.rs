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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Training, sigmoid};
    use crate::model::Family;
    use crate::text::{Lines, Reader};

    /// The probability of a row by the JSON alone, as its schema says it is to be read; absent columns are missing features or absent n-grams.
    fn read(object: &Value, row: &[(u32, f32)]) -> f64 {
        let value = |column: u64| row.iter().find(|(c, _)| u64::from(*c) == column);
        if object["family"] == "linear" {
            let lists =
                ["column", "weight"].map(|name| object["weights"][name].as_array().unwrap());
            let pairs = lists[0].iter().zip(lists[1]);
            let held = pairs.filter_map(|(column, weight)| {
                let (_, value) = value(column.as_u64().unwrap())?;
                Some(weight.as_f64().unwrap() * f64::from(*value))
            });
            return sigmoid(object["bias"].as_f64().unwrap() + held.sum::<f64>());
        }
        let mut odds = object["base"].as_f64().unwrap();
        for tree in object["trees"].as_array().unwrap() {
            let mut at = 0;
            loop {
                let column = tree["column"][at].as_i64().unwrap();
                let Ok(column) = u64::try_from(column) else {
                    odds += tree["value"][at].as_f64().unwrap();
                    break;
                };
                let feature = object["column"][column as usize]["kind"] == "feature";
                let left = match value(column) {
                    // As 32 bits: serde_json may be off by the last of 64, and lines lie on edges.
                    Some((_, value)) if feature => {
                        *value <= tree["edge"][at].as_f64().unwrap() as f32
                    }
                    Some(_) => false,
                    None if feature => tree["missing_left"][at].as_bool().unwrap(),
                    None => true,
                };
                at = tree[if left { "left" } else { "right" }][at]
                    .as_u64()
                    .unwrap() as usize;
            }
        }
        sigmoid(odds)
    }

    #[test]
    fn the_json_says_what_the_classifier_says() {
        let texts: Vec<String> = (0..90)
            .map(|n| match n % 3 {
                0 => format!("whoami /priv {n}"),
                1 => format!("ls -la /srv/{n}"),
                _ => format!("curl -o /tmp/x{n} http://h{n}/"),
            })
            .collect();
        let lines = Lines::read(&texts, &[], 0).unwrap();
        let rows: Vec<usize> = (0..90).collect();
        let malicious: Vec<bool> = (0..90).map(|n| n % 3 == 0 || n % 7 == 0).collect();
        let training = Training {
            lines: &lines,
            rows: &rows,
            malicious: &malicious,
            weights: &[1.0; 90],
        };
        for family in Family::ALL {
            let model = Classifier::fit(family, &training, 128, 1).unwrap();
            // Through text, as it leaves.
            let text = object(&model).unwrap().to_string();
            let object: Value = serde_json::from_str(&text).unwrap();
            let (space, mut reader, mut row) = (Space::of(&model).unwrap(), Reader::new(), vec![]);
            for (text, score) in texts.iter().zip(model.score(&lines, &rows).unwrap()) {
                space.row(&mut reader, text, &mut row);
                let said = read(&object, &row);
                assert!((said - score).abs() < 1e-9, "{family:?} {said} {score}");
            }
        }
    }
}
