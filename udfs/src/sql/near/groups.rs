//! The groups of [`super::Group`] as one accumulator: guard keys are many and most are small, and an array a group would weigh more than
//! its lines.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::columns::Columns;
use super::decision::Decisions;
use super::{Group, NAME};
use crate::sql::arguments::state_column;
use crate::sql::function::{State, failed};

/// One group a guard key.
#[derive(Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    held: usize,
}

impl Groups {
    fn of(&mut self, group: usize) -> Result<&mut Group> {
        self.groups
            .get_mut(group)
            .ok_or_else(|| failed(NAME, "a row of no group"))
    }

    fn change(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut Group) -> Result<()>,
    ) -> Result<()> {
        let group = self.of(group)?;
        let before = group.size();
        change(group)?;
        let after = group.size();
        self.held = (self.held + after).saturating_sub(before);
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Vec<Group> {
        let taken = emit.take_needed(&mut self.groups);
        let held: usize = taken.iter().map(State::size).sum();
        self.held = self.held.saturating_sub(held);
        taken
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Group::default);
        let columns = Columns::of(values)?;
        for (row, group) in groups.iter().enumerate() {
            if filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                let (line, threshold) = columns.line(row)?;
                self.change(*group, |group| {
                    group.threshold = threshold;
                    group.add(line);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let mut decisions = Decisions::default();
        // Each group goes as soon as it is decided.
        for group in self.take(emit) {
            decisions.push(group.decide()?);
        }
        Ok(Arc::new(decisions.finish()?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        states(&self.take(emit))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Group::default);
        let states = state_column(NAME, values, 0)?;
        for (state, group) in states.iter().zip(groups) {
            if let Some(bytes) = state {
                self.change(*group, |group| group.merge(bytes))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, Array::len);
        let mut each = Self::default();
        let own: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &own, filter, rows)?;
        states(&each.groups)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>() + self.held
    }
}

fn states(groups: &[Group]) -> Result<Vec<ArrayRef>> {
    let states = groups.iter().map(State::bytes);
    Ok(vec![Arc::new(states.collect::<Result<BinaryArray>>()?)])
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        AsArray, BooleanArray, Date32Array, Float32Array, Int64Array, StringArray,
    };

    use super::*;

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
        let mut together = Groups::default();
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
        let mut whole = Groups::default();
        whole.update_batch(&values, &groups, None, 3).unwrap();
        let mut merged = Groups::default();
        for rows in [0..2, 2..5] {
            let (values, groups) = columns(rows);
            // A state a row, as where partial aggregation does not pay.
            let states = merged.convert_to_state(&values, None).unwrap();
            merged.merge_batch(&states, &groups, 3).unwrap();
        }
        let lines = |groups: &Groups| {
            groups
                .groups
                .iter()
                .map(|g| g.lines.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&whole), lines(&merged));
        let states = merged.state(EmitTo::All).unwrap();
        let mut again = Groups::default();
        again.merge_batch(&states, &[0, 1, 2], 3).unwrap();
        assert_eq!(lines(&whole), lines(&again));
        let mut some = Groups::default();
        let filter =
            BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)]);
        some.update_batch(&values, &groups, Some(&filter), 3)
            .unwrap();
        assert_eq!(lines(&some), [1, 1, 1]);
    }
}
