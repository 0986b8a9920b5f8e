//! Many small groups in one accumulator. Otherwise each group is an accumulator of its own, which costs about a microsecond a
//! group and batch, and an array of its own for its result.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::arguments::state_column;
use super::function::failed;

/// What is known of one group.
pub(super) trait Group: Default + Send + 'static {
    /// The function's SQL name.
    const NAME: &'static str;
    /// A batch's arguments.
    type Rows<'a>;

    /// # Errors
    /// When an argument has another type.
    fn rows(values: &[ArrayRef]) -> Result<Self::Rows<'_>>;

    /// Adds a row.
    ///
    /// # Errors
    /// When a value must not be.
    fn add(&mut self, rows: &Self::Rows<'_>, row: usize) -> Result<()>;

    /// Adds another state's bytes.
    ///
    /// # Errors
    /// When they are damaged.
    fn merge(&mut self, bytes: &[u8]) -> Result<()>;

    /// The state's bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// On the heap, in bytes.
    fn held(&self) -> usize;

    /// The groups' results, in their order. Each group may go as soon as its result is there.
    ///
    /// # Errors
    /// When one cannot be made.
    fn results(groups: Vec<Self>) -> Result<ArrayRef>;
}

/// The groups of an aggregate.
#[derive(Debug)]
pub(super) struct Groups<G> {
    pub(super) groups: Vec<G>,
    pub(super) held: usize,
}

impl<G: Group> Groups<G> {
    pub(super) fn new() -> Self {
        Self {
            groups: vec![],
            held: 0,
        }
    }

    pub(super) fn boxed() -> Box<dyn GroupsAccumulator> {
        Box::new(Self::new())
    }

    fn change(&mut self, group: usize, change: impl FnOnce(&mut G) -> Result<()>) -> Result<()> {
        let missing = || failed(G::NAME, "a row of no group");
        let group = self.groups.get_mut(group).ok_or_else(missing)?;
        let before = group.held();
        change(group)?;
        self.held = (self.held + group.held()).saturating_sub(before);
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Vec<G> {
        let taken = emit.take_needed(&mut self.groups);
        let held: usize = taken.iter().map(G::held).sum();
        self.held = self.held.saturating_sub(held);
        taken
    }
}

impl<G: Group> GroupsAccumulator for Groups<G> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, G::default);
        let rows = G::rows(values)?;
        for (row, group) in groups.iter().enumerate() {
            if filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                self.change(*group, |group| group.add(&rows, row))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        G::results(self.take(emit))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![states(&self.take(emit))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, G::default);
        let states = state_column(G::NAME, values, 0)?;
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
        let mut each = Self::new();
        let own: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &own, filter, rows)?;
        Ok(vec![states(&each.groups)])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<G>() + self.held
    }
}

/// The groups' states, in their order.
pub(super) fn states<G: Group>(groups: &[G]) -> ArrayRef {
    let states = groups.iter().map(|group| Some(group.to_bytes()));
    Arc::new(states.collect::<BinaryArray>())
}
