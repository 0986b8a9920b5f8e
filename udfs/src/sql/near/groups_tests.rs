//! Tests of many guard keys in one accumulator.

use datafusion::arrow::array::{
    AsArray, BooleanArray, Date32Array, Float32Array, Int64Array, StringArray,
};

use datafusion::arrow::array::ArrayRef;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use std::sync::Arc;

use super::Group;
use crate::sql::function::State;
use crate::sql::groups::Groups;

const LINES: [(&str, usize); 5] = [
    ("ping -n 1 10.0.0.7", 0),
    ("type notes.txt", 1),
    ("ping -n 2 10.0.0.8", 0),
    ("type notes.txt", 1),
    ("whoami /all", 2),
];

fn columns(rows: std::ops::Range<usize>) -> (Vec<ArrayRef>, Vec<usize>) {
    let lines = &LINES[rows];
    let n = lines.len();
    let texts = || -> ArrayRef {
        Arc::new(
            lines
                .iter()
                .map(|(line, _)| Some(*line))
                .collect::<StringArray>(),
        )
    };
    let hashes = (0..n).map(|row| Some(format!("{}{row}", lines[row].0)));
    let values: Vec<ArrayRef> = vec![
        Arc::new(hashes.collect::<StringArray>()),
        texts(),
        texts(),
        Arc::new(Int64Array::from(vec![1; n])),
        Arc::new(Date32Array::from(vec![1; n])),
        Arc::new(BooleanArray::from(vec![false; n])),
        Arc::new(Float32Array::from(vec![0.75; n])),
    ];
    (values, lines.iter().map(|(_, group)| *group).collect())
}

#[test]
fn groups_together_decide_as_each_alone_and_give_their_memory_back() {
    let (values, groups) = columns(0..5);
    let mut together = Groups::<Group>::new();
    together.update_batch(&values, &groups, None, 3).unwrap();
    assert!(together.held > 0);
    let decided = together.evaluate(EmitTo::All).unwrap();
    assert_eq!((together.held, together.groups.len()), (0, 0));
    for group in 0..3 {
        let rows: Vec<u32> = (0..5).filter(|r| groups[*r as usize] == group).collect();
        let rows = rows
            .into_iter()
            .collect::<datafusion::arrow::array::UInt32Array>();
        let take = |a: &ArrayRef| datafusion::arrow::compute::take(a, &rows, None).unwrap();
        let mut alone = Group::default();
        alone
            .update(&values.iter().map(take).collect::<Vec<_>>())
            .unwrap();
        let alone = alone.evaluate().unwrap().to_array().unwrap();
        let list = decided.as_list::<i32>();
        assert_eq!(
            &list.value(group),
            &alone.as_list::<i32>().value(0),
            "{group}"
        );
    }
}

#[test]
fn states_merge_to_what_one_pass_decides_and_a_filter_leaves_rows_out() {
    let (values, groups) = columns(0..5);
    let mut whole = Groups::<Group>::new();
    whole.update_batch(&values, &groups, None, 3).unwrap();
    let mut merged = Groups::<Group>::new();
    for rows in [0..2, 2..5] {
        let (values, groups) = columns(rows);
        // A state a row, as where partial aggregation does not pay.
        let states = merged.convert_to_state(&values, None).unwrap();
        merged.merge_batch(&states, &groups, 3).unwrap();
    }
    let lines = |groups: &Groups<Group>| {
        groups
            .groups
            .iter()
            .map(|g| g.lines.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&whole), lines(&merged));
    let states = merged.state(EmitTo::All).unwrap();
    let mut again = Groups::<Group>::new();
    again.merge_batch(&states, &[0, 1, 2], 3).unwrap();
    assert_eq!(lines(&whole), lines(&again));
    let mut some = Groups::<Group>::new();
    let filter = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)]);
    some.update_batch(&values, &groups, Some(&filter), 3)
        .unwrap();
    assert_eq!(lines(&some), [1, 1, 1]);
}
