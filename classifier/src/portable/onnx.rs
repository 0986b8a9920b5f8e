//! A classifier as ONNX, for ONNX Runtime and whatever else reads it.
//!
//! **Trees** are a `TreeEnsembleRegressor` (`ai.onnx.ml` 3) that sums the log odds, and a `Sigmoid`: its input `features` is a float matrix
//! `[rows, columns]` of [`Space::Trees`], NaN for what is missing and 0 for an absent n-gram. A regressor, because the classifier operator guesses from
//! the signs of weights how to treat two classes.
//!
//! **Linear.** 2^18 columns a row are too many for a dense matrix, so the graph takes the row as it is in a sparse file: `buckets` (int64) and `values`
//! (float), both `[rows, width]`, shorter rows filled with value 0. `Gather` fetches the weights, the rest is a sum and a `Sigmoid`.
//!
//! The output of both is `probability`, float `[rows, 1]`. The messages are those parts of `onnx.proto` (onnx/onnx, Apache-2.0, IR version 8) that are
//! written here, with its field numbers.
//!
//! **Precision.** ONNX Runtime adds leaves in `f32`, we in `f64`: they differ by some 1e-7 (tested to 1e-5).

#![expect(
    clippy::cast_possible_wrap,
    reason = "columns, trees and nodes are far below 2^63"
)]

use prost::Message;

use crate::ClassifierError;
use crate::boosting::Boosting;
use crate::linear::Linear;
use crate::model::Classifier;
use crate::space::Space;
use crate::text::BUCKETS;

const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// The bytes of an ONNX file.
///
/// # Errors
/// As [`Space::of`].
pub fn bytes(model: &Classifier) -> Result<Vec<u8>, ClassifierError> {
    let space = Space::of(model)?;
    let graph = match model {
        Classifier::Boosting(boosting) => trees(boosting, space.len() as i64),
        Classifier::Linear(linear) => weights(linear),
    };
    let domain = |domain: &str, version| OperatorSet {
        domain: domain.to_owned(),
        version,
    };
    let file = Model {
        ir_version: 8,
        producer_name: "gleaner".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![domain("", 17), domain("ai.onnx.ml", 3)],
        metadata_props: vec![
            Property::new("family", model.family().name()),
            Property::new("columns", &space.len().to_string()),
        ],
    };
    Ok(file.encode_to_vec())
}

fn trees(boosting: &Boosting, columns: i64) -> Graph {
    let nodes = || {
        let trees = boosting.trees.iter().enumerate();
        trees.flat_map(|(tree, nodes)| {
            let places = nodes.iter().enumerate();
            places.map(move |(place, node)| (tree as i64, place as i64, node))
        })
    };
    let leaf = |column: u32| column == u32::MAX;
    let integers = |name: &str, of: &dyn Fn(i64, i64, &crate::boosting::Node) -> i64| {
        Attribute::ints(name, nodes().map(|(t, p, n)| of(t, p, n)).collect())
    };
    let leaves = || nodes().filter(|(.., node)| leaf(node.column));
    let inner =
        |node: &crate::boosting::Node, value: i64| if leaf(node.column) { 0 } else { value };
    let modes = nodes().map(|(.., node)| {
        let mode = if leaf(node.column) {
            "LEAF"
        } else {
            "BRANCH_LEQ"
        };
        mode.as_bytes().to_vec()
    });
    // An n-gram's column is 0 or 1, and its absence goes left.
    let edges = nodes().map(|(.., n)| {
        let gram = !leaf(n.column) && n.column as usize >= boosting.d;
        if gram { 0.5 } else { n.edge }
    });
    let ensemble = Node {
        input: vec!["features".to_owned()],
        output: vec!["log_odds".to_owned()],
        op_type: "TreeEnsembleRegressor".to_owned(),
        domain: "ai.onnx.ml".to_owned(),
        attribute: vec![
            Attribute::int("n_targets", 1),
            Attribute::text("post_transform", "NONE"),
            Attribute::text("aggregate_function", "SUM"),
            Attribute::floats("base_values", vec![boosting.base as f32]),
            integers("nodes_treeids", &|tree, _, _| tree),
            integers("nodes_nodeids", &|_, place, _| place),
            integers("nodes_featureids", &|_, _, n| inner(n, i64::from(n.column))),
            integers("nodes_truenodeids", &|_, _, n| inner(n, i64::from(n.left))),
            integers("nodes_falsenodeids", &|_, _, n| {
                inner(n, i64::from(n.right))
            }),
            integers("nodes_missing_value_tracks_true", &|_, _, n| {
                inner(n, i64::from(n.missing_left))
            }),
            Attribute::strings("nodes_modes", modes.collect()),
            Attribute::floats("nodes_values", edges.collect()),
            Attribute::ints("target_treeids", leaves().map(|(t, ..)| t).collect()),
            Attribute::ints("target_nodeids", leaves().map(|(_, p, _)| p).collect()),
            Attribute::ints("target_ids", leaves().map(|_| 0).collect()),
            Attribute::floats("target_weights", leaves().map(|(.., n)| n.value).collect()),
        ],
    };
    Graph {
        name: "gleaner_boosting".to_owned(),
        node: vec![
            ensemble,
            Node::plain("Sigmoid", &["log_odds"], "probability"),
        ],
        initializer: vec![],
        input: vec![Info::new("features", FLOAT, &[None, Some(columns)])],
        output: vec![Info::new("probability", FLOAT, &[None, Some(1)])],
    }
}

fn weights(linear: &Linear) -> Graph {
    let of = |name: &str, dims: Vec<i64>, float_data: Vec<f32>| Tensor {
        name: name.to_owned(),
        dims,
        data_type: FLOAT,
        float_data,
        int64_data: vec![],
    };
    let mut held = linear.weights.clone();
    let bias = held.pop().unwrap_or(0.0);
    let mut sum = Node::plain("ReduceSum", &["products", "axes"], "sum");
    sum.attribute.push(Attribute::int("keepdims", 1));
    Graph {
        name: "gleaner_linear".to_owned(),
        node: vec![
            Node::plain("Gather", &["weights", "buckets"], "gathered"),
            Node::plain("Mul", &["gathered", "values"], "products"),
            sum,
            Node::plain("Add", &["sum", "bias"], "log_odds"),
            Node::plain("Sigmoid", &["log_odds"], "probability"),
        ],
        initializer: vec![
            of("weights", vec![BUCKETS as i64], held),
            of("bias", vec![1], vec![bias]),
            Tensor {
                name: "axes".to_owned(),
                dims: vec![1],
                data_type: INT64,
                float_data: vec![],
                int64_data: vec![1],
            },
        ],
        input: vec![
            Info::new("buckets", INT64, &[None, None]),
            Info::new("values", FLOAT, &[None, None]),
        ],
        output: vec![Info::new("probability", FLOAT, &[None, Some(1)])],
    }
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Property>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Property {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

impl Property {
    fn new(key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Info>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Info>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

impl Node {
    fn plain(op_type: &str, input: &[&str], output: &str) -> Self {
        Self {
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            op_type: op_type.to_owned(),
            attribute: vec![],
            domain: String::new(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(float, repeated, tag = "7")]
    floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    strings: Vec<Vec<u8>>,
    /// FLOAT 1, INT 2, STRING 3, FLOATS 6, INTS 7, STRINGS 8.
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl Attribute {
    fn named(name: &str, kind: i32) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            ..Self::default()
        }
    }

    fn int(name: &str, i: i64) -> Self {
        Self {
            i,
            ..Self::named(name, 2)
        }
    }

    fn text(name: &str, text: &str) -> Self {
        Self {
            s: text.as_bytes().to_vec(),
            ..Self::named(name, 3)
        }
    }

    fn floats(name: &str, floats: Vec<f32>) -> Self {
        Self {
            floats,
            ..Self::named(name, 6)
        }
    }

    fn ints(name: &str, ints: Vec<i64>) -> Self {
        Self {
            ints,
            ..Self::named(name, 7)
        }
    }

    fn strings(name: &str, strings: Vec<Vec<u8>>) -> Self {
        Self {
            strings,
            ..Self::named(name, 8)
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

impl Info {
    fn new(name: &str, elem_type: i32, dims: &[Option<i64>]) -> Self {
        let dim = dims.iter().map(|dim| Dimension { value: *dim }).collect();
        Self {
            name: name.to_owned(),
            kind: Some(Type {
                tensor: Some(TensorType {
                    elem_type,
                    shape: Some(Shape { dim }),
                }),
            }),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    /// None: any length.
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
}
