//! Counting distinct values over states that merge: exact up to 64, an estimate beyond.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::GroupsAccumulator;

use super::arguments::{Args, state_column, text_column};
use super::function::Kind::{State as StateKind, Text};
use super::function::{Aggregate, Doc, Scalar, State, failed};
use super::groups::{Group, Groups, states};
use crate::sketch::distinct::{Kmv, text_hash};

/// The aggregates of this file.
pub static AGGREGATES: &[Aggregate] = &[
    Aggregate {
        name: "distinct_state",
        forms: &[&[("value", Text)]],
        returns: || DataType::Binary,
        state: || {
            Box::new(Distinct {
                kmv: Kmv::new(),
                from_states: false,
            })
        },
        doc: Doc {
            what: "The distinct values of a group, as a state that merges (k minimum hashes, k = 64).",
            example: "SELECT distinct_estimate(distinct_state(v)) FROM (VALUES ('a'), ('b'), ('a')) AS t (v)",
            result: "2",
        },
    },
    Aggregate {
        name: "distinct_count",
        forms: &[&[("value", Text)]],
        returns: || DataType::Int64,
        state: || Box::new(Exact::default()),
        doc: Doc {
            what: "How many distinct values a group has. As `count(DISTINCT …)`, and exact like it (values are told apart \
                   by 64-bit hashes), but small for the many groups with few values.",
            example: "SELECT distinct_count(v) FROM (VALUES ('a'), ('b'), ('a'), (NULL)) AS t (v)",
            result: "2",
        },
    },
    Aggregate {
        name: "distinct_merge",
        forms: &[&[("state", StateKind)]],
        returns: || DataType::Binary,
        state: || {
            Box::new(Distinct {
                kmv: Kmv::new(),
                from_states: true,
            })
        },
        doc: Doc {
            what: "The union of states of `distinct_state`.",
            example: "SELECT distinct_estimate(distinct_merge(s)) FROM (SELECT distinct_state(v) AS s \
                      FROM (VALUES ('a', 1), ('b', 1), ('a', 2)) AS t (v, g) GROUP BY g) AS groups",
            result: "2",
        },
    },
];

/// The scalars of this file.
pub static SCALARS: &[Scalar] = &[Scalar {
    name: "distinct_estimate",
    forms: &[&[("state", StateKind)]],
    returns: || DataType::Int64,
    call: estimate,
    doc: Doc {
        what: "How many distinct values a state has seen: exact up to 64, within about 13% beyond.",
        example: "SELECT distinct_estimate(distinct_state(v)) FROM (VALUES ('x')) AS t (v)",
        result: "1",
    },
}];

fn estimate(args: &Args<'_>) -> Result<ArrayRef> {
    let counts = args.state(0)?.iter().map(|bytes| {
        let Some(bytes) = bytes else { return Ok(None) };
        let kmv = Kmv::from_bytes(bytes).map_err(|e| failed("distinct_estimate", e))?;
        Ok(Some(i64::try_from(kmv.estimate()).unwrap_or(i64::MAX)))
    });
    Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
}

/// The hash of a row's text; none where it is NULL.
fn hash_of(texts: &StringArray, row: usize) -> Option<u64> {
    texts.is_valid(row).then(|| text_hash(texts.value(row)))
}

impl Group for Kmv {
    const NAME: &'static str = "distinct_state";
    type Rows<'a> = &'a StringArray;

    fn rows(values: &[ArrayRef]) -> Result<&StringArray> {
        text_column(Self::NAME, values, 0)
    }

    fn add(&mut self, texts: &&StringArray, row: usize) -> Result<()> {
        if let Some(hash) = hash_of(texts, row) {
            self.add_hash(hash);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = Self::from_bytes(bytes).map_err(|e| failed(Self::NAME, e))?;
        Kmv::merge(self, &other);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        Kmv::to_bytes(self)
    }

    fn held(&self) -> usize {
        Kmv::held(self)
    }

    fn results(groups: Vec<Self>) -> Result<ArrayRef> {
        Ok(states(&groups))
    }
}

impl Group for Exact {
    const NAME: &'static str = "distinct_count";
    type Rows<'a> = &'a StringArray;

    fn rows(values: &[ArrayRef]) -> Result<&StringArray> {
        text_column(Self::NAME, values, 0)
    }

    fn add(&mut self, texts: &&StringArray, row: usize) -> Result<()> {
        if let Some(hash) = hash_of(texts, row) {
            Exact::add(self, hash);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        State::merge(self, bytes)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.hashes()
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    fn held(&self) -> usize {
        State::size(self)
    }

    fn results(groups: Vec<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(
            groups.iter().map(Self::count).collect::<Int64Array>(),
        ))
    }
}

#[derive(Debug)]
struct Distinct {
    kmv: Kmv,
    from_states: bool,
}

impl State for Distinct {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.from_states {
            let states = state_column("distinct_merge", values, 0)?;
            return states
                .iter()
                .flatten()
                .try_for_each(|bytes| self.merge(bytes));
        }
        for value in text_column("distinct_state", values, 0)?.iter().flatten() {
            self.kmv.add(value);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.kmv
            .merge(&Kmv::from_bytes(bytes).map_err(|e| failed("distinct_merge", e))?);
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.kmv.to_bytes()))
    }

    fn size(&self) -> usize {
        size_of_val(&self.kmv) + 64 * 8
    }

    fn groups(&self) -> Option<Box<dyn GroupsAccumulator>> {
        (!self.from_states).then(Groups::<Kmv>::boxed)
    }
}

/// Values beyond which a group's hashes go into a set.
const FEW: usize = 64;

/// The hashes of a group's values: a short sorted list, or a set.
#[derive(Debug)]
enum Exact {
    Few(Vec<u64>),
    Many(HashSet<u64>),
}

impl Default for Exact {
    fn default() -> Self {
        Self::Few(vec![])
    }
}

impl Exact {
    fn add(&mut self, hash: u64) {
        match self {
            Self::Many(set) => {
                set.insert(hash);
            }
            Self::Few(list) => {
                if let Err(place) = list.binary_search(&hash) {
                    list.insert(place, hash);
                    if list.len() > FEW {
                        *self = Self::Many(list.iter().copied().collect());
                    }
                }
            }
        }
    }

    fn count(&self) -> i64 {
        let count = match self {
            Self::Few(list) => list.len(),
            Self::Many(set) => set.len(),
        };
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn hashes(&self) -> Vec<u64> {
        match self {
            Self::Few(list) => list.clone(),
            Self::Many(set) => {
                let mut list: Vec<u64> = set.iter().copied().collect();
                list.sort_unstable();
                list
            }
        }
    }
}

impl State for Exact {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in text_column("distinct_count", values, 0)?.iter().flatten() {
            self.add(text_hash(value));
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        if !bytes.len().is_multiple_of(8) {
            return Err(failed("distinct_count", "damaged state"));
        }
        for chunk in bytes.chunks_exact(8) {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.to_bytes()))
    }

    fn evaluate(&self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.count())))
    }

    fn size(&self) -> usize {
        match self {
            Self::Few(list) => list.capacity() * 8,
            Self::Many(set) => set.capacity() * 9,
        }
    }

    fn groups(&self) -> Option<Box<dyn GroupsAccumulator>> {
        Some(Groups::<Self>::boxed())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, StringArray};
    use datafusion::arrow::datatypes::Int64Type;

    use datafusion::arrow::array::BooleanArray;
    use datafusion::logical_expr::EmitTo;

    use super::*;

    fn column(values: &[Option<&str>]) -> [ArrayRef; 1] {
        [Arc::new(values.iter().copied().collect::<StringArray>())]
    }

    fn counts(groups: &mut dyn GroupsAccumulator, emit: EmitTo) -> Vec<i64> {
        let counts = groups.evaluate(emit).unwrap();
        counts.as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn groups_count_their_own_values_and_skip_nulls_and_filtered_rows() {
        let mut groups = Groups::<Exact>::boxed();
        let values = column(&[Some("a"), Some("b"), None, Some("a"), Some("c")]);
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(true), None, Some(true)]);
        groups
            .update_batch(&values, &[0, 0, 1, 0, 1], Some(&filter), 2)
            .unwrap();
        groups
            .update_batch(&column(&[Some("b"), Some("d")]), &[0, 2], None, 3)
            .unwrap();
        assert_eq!(counts(groups.as_mut(), EmitTo::First(1)), [2]);
        assert_eq!(counts(groups.as_mut(), EmitTo::All), [1, 1]);
    }

    #[test]
    fn states_of_parts_merge_to_the_state_of_all() {
        let names: Vec<String> = (0..300).map(|i| format!("host-{}", i % 130)).collect();
        let values: Vec<_> = names.iter().map(|n| Some(n.as_str())).collect();
        let of: Vec<usize> = (0..300).map(|i| usize::from(i % 3 == 0)).collect();
        let mut whole = Groups::<Exact>::boxed();
        whole.update_batch(&column(&values), &of, None, 2).unwrap();
        let mut merged = Groups::<Exact>::boxed();
        for part in 0..3 {
            let range = 100 * part..100 * (part + 1);
            let mut groups = Groups::<Exact>::boxed();
            groups
                .update_batch(&column(&values[range.clone()]), &of[range], None, 2)
                .unwrap();
            let states = groups.state(EmitTo::All).unwrap();
            merged.merge_batch(&states, &[0, 1], 2).unwrap();
        }
        let rows = whole.convert_to_state(&column(&values), None).unwrap();
        let mut by_row = Groups::<Exact>::boxed();
        by_row.merge_batch(&rows, &of, 2).unwrap();
        let expected = counts(whole.as_mut(), EmitTo::All);
        assert!(expected.iter().all(|n| *n > 64), "{expected:?}");
        assert_eq!(counts(merged.as_mut(), EmitTo::All), expected);
        assert_eq!(counts(by_row.as_mut(), EmitTo::All), expected);
    }

    #[test]
    fn the_state_of_a_group_is_that_of_its_values_alone() {
        let mut groups = Groups::<Kmv>::boxed();
        let empty = groups.size();
        let values = column(&[Some("a"), Some("b"), Some("c")]);
        groups.update_batch(&values, &[1, 0, 1], None, 2).unwrap();
        assert!(groups.size() >= empty + 2 * size_of::<Kmv>() + 3 * 8);
        let states = groups.evaluate(EmitTo::All).unwrap();
        let mut alone = Distinct {
            kmv: Kmv::new(),
            from_states: false,
        };
        alone.update(&column(&[Some("c"), Some("a")])).unwrap();
        assert_eq!(
            states.as_binary::<i32>().value(1),
            alone.bytes().unwrap().unwrap()
        );
        assert_eq!(groups.size(), 0, "what was handed out is no longer held");
    }
}
