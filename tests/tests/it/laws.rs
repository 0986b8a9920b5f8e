//! The laws of every aggregate: any cut of the rows and any order of merging gives the state of one pass; nothing is
//! its own identity.

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, FixedSizeListArray, Float32Array, Int64Array,
    StringArray,
};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF};
use datafusion::physical_expr::expressions::col;
use std::sync::Arc;

const ROWS: usize = 60;

fn lines() -> Vec<String> {
    (0..ROWS)
        .map(|i| format!("tool{} --flag{} C:\\temp\\{i}.txt", i % 7, i % 3))
        .collect()
}

/// An argument column of `ROWS` rows, by the kind the function's documentation names.
fn column(name: &str, kind: &str) -> ArrayRef {
    let lines = lines();
    match (name, kind) {
        ("hash", _) => Arc::new(StringArray::from(
            lines
                .iter()
                .map(|l| gleaner_udfs::sql::text::content_hash(l))
                .collect::<Vec<_>>(),
        )),
        ("n" | "rows", _) => Arc::new(Int64Array::from(vec![10; ROWS])),
        (_, "text") => Arc::new(StringArray::from(lines)),
        (_, "integer") => Arc::new(Int64Array::from(
            (0..ROWS as i64).map(|i| i % 5).collect::<Vec<_>>(),
        )),
        (_, "float") => Arc::new(Float32Array::from(
            (0..ROWS)
                .map(|i| (i % 11) as f32 / 11.0)
                .collect::<Vec<_>>(),
        )),
        (_, "boolean") => Arc::new(BooleanArray::from(
            (0..ROWS).map(|i| i % 4 == 0).collect::<Vec<_>>(),
        )),
        (_, "date") => Arc::new(Date32Array::from(
            (0..ROWS as i32)
                .map(|i| if i % 4 == 0 { 1 } else { 2 })
                .collect::<Vec<_>>(),
        )),
        (_, kind) if kind.starts_with("vector") => {
            let item = Arc::new(Field::new("item", DataType::Float32, true));
            let values =
                Float32Array::from((0..ROWS * 4).map(|i| (i % 13) as f32).collect::<Vec<_>>());
            Arc::new(FixedSizeListArray::new(item, 4, Arc::new(values), None))
        }
        (_, kind) if kind.starts_with("state") => {
            let state = gleaner_udfs::aggregate_functions()
                .into_iter()
                .find(|f| f.name() == "distinct_state")
                .unwrap();
            let states = lines.iter().map(|line| {
                let values: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![line.as_str()]))];
                let mut accumulator = accumulator(&state, &values);
                accumulator.update_batch(&values).unwrap();
                let state = accumulator.state().unwrap().remove(0).to_array().unwrap();
                state.as_binary::<i32>().value(0).to_vec()
            });
            let states: Vec<Vec<u8>> = states.collect();
            Arc::new(datafusion::arrow::array::BinaryArray::from(
                states.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            ))
        }
        other => panic!("no column for {other:?}: add one"),
    }
}

fn accumulator(function: &AggregateUDF, values: &[ArrayRef]) -> Box<dyn Accumulator> {
    let fields: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(i, v)| Arc::new(Field::new(format!("c{i}"), v.data_type().clone(), true)))
        .collect();
    let schema = Schema::new(fields.clone());
    let exprs: Vec<_> = fields
        .iter()
        .map(|f| col(f.name(), &schema).unwrap())
        .collect();
    let types: Vec<DataType> = values.iter().map(|v| v.data_type().clone()).collect();
    let returns = function.return_type(&types).unwrap();
    function
        .accumulator(AccumulatorArgs {
            return_field: Arc::new(Field::new("out", returns, true)),
            schema: &schema,
            expr_fields: &fields,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: function.name(),
            is_distinct: false,
            exprs: &exprs,
        })
        .unwrap()
}

fn arguments(signature: &str) -> Vec<ArrayRef> {
    let inner = &signature[signature.find('(').unwrap() + 1..signature.rfind(')').unwrap()];
    // A kind in brackets has no comma in it.
    inner
        .split(", ")
        .map(|a| a.split_once(' ').unwrap())
        .map(|(name, kind)| column(name, kind))
        .collect()
}

#[test]
fn any_cut_and_any_merge_order_is_one_pass() {
    for function in gleaner_udfs::aggregate_functions() {
        let described = gleaner_udfs::described()
            .into_iter()
            .find(|d| d.name == function.name())
            .unwrap();
        let values = arguments(&described.signatures[0]);
        let mut whole = accumulator(&function, &values);
        whole.update_batch(&values).unwrap();
        let expected = whole.evaluate().unwrap();
        for cuts in [
            vec![0, ROWS],
            vec![0, 1, ROWS],
            vec![0, 20, 20, 40, ROWS],
            (0..=ROWS).collect(),
        ] {
            let mut states: Vec<ArrayRef> = cuts
                .windows(2)
                .map(|cut| {
                    let part: Vec<ArrayRef> = values
                        .iter()
                        .map(|v| v.slice(cut[0], cut[1] - cut[0]))
                        .collect();
                    let mut accumulator = accumulator(&function, &values);
                    if cut[1] > cut[0] {
                        accumulator.update_batch(&part).unwrap();
                    }
                    accumulator.state().unwrap().remove(0).to_array().unwrap()
                })
                .collect();
            for order in 0..3 {
                match order {
                    1 => states.reverse(),
                    2 => {
                        let half = states.len() / 2;
                        states.rotate_left(half);
                    }
                    _ => {}
                }
                let mut merged = accumulator(&function, &values);
                for state in &states {
                    merged.merge_batch(std::slice::from_ref(state)).unwrap();
                }
                assert_eq!(
                    merged.evaluate().unwrap(),
                    expected,
                    "{} cut at {cuts:?}, order {order}",
                    function.name()
                );
            }
        }
    }
}

#[test]
fn damaged_states_are_refused() {
    for function in gleaner_udfs::aggregate_functions() {
        if function.name() == "cmd_near_duplicates" {
            continue; // Its state never leaves a process unsealed: it is the engine's own shuffle format.
        }
        let described = gleaner_udfs::described()
            .into_iter()
            .find(|d| d.name == function.name())
            .unwrap();
        let values = arguments(&described.signatures[0]);
        let mut merged = accumulator(&function, &values);
        let damaged: ArrayRef = Arc::new(datafusion::arrow::array::BinaryArray::from(vec![
            &b"not a state"[..],
        ]));
        assert!(
            merged.merge_batch(&[damaged]).is_err(),
            "{}",
            function.name()
        );
    }
}
