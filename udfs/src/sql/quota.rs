//! Exact quotas: the n highest scores of a day, ties broken by hash, without sorting its rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::arguments::{Args, float_column, int_column, text_column};
use super::function::Kind::{Float, Int, Text};
use super::function::{Aggregate, Doc, Scalar, State, failed};
use crate::model_cache;
use crate::quota::{Quota, QuotaState};

const STATE: &str = "quota_state";

/// The aggregates of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: STATE,
    forms: &[&[("score", Float), ("hash", Text), ("n", Int)]],
    returns: || DataType::Binary,
    state: || {
        Box::new(Highest {
            state: None,
            rows: 0,
        })
    },
    doc: Doc {
        what: "The `n` highest scores with their hashes, as a state that merges; equal scores: the smaller hash first.",
        example: "SELECT quota_state(CAST(s AS FLOAT), cmd_hash(h), 1) IS NOT NULL FROM (VALUES (1, 'a')) AS t (s, h)",
        result: "true",
    },
}];

/// The scalars of this file.
pub static SCALARS: &[Scalar] = &[Scalar {
    name: "quota_rank",
    forms: &[&[("score", Float), ("hash", Text), ("quota", Text)]],
    returns: || DataType::Int64,
    call: rank,
    doc: Doc {
        what: "The rank (from 1) of a score within a stored quota; NULL outside of it.",
        example: "SELECT quota_rank(CAST(NULL AS FLOAT), 'x', CAST(NULL AS VARCHAR)) IS NULL",
        result: "true",
    },
}];

fn rank(args: &Args<'_>) -> Result<ArrayRef> {
    let (scores, hashes) = (args.float(0)?, args.text(1)?);
    if scores.null_count() == args.rows() {
        return Ok(Arc::new(Int64Array::new_null(args.rows())));
    }
    let uri = args.literal_text(2)?;
    let quota = model_cache::load(uri, |bytes| {
        Quota::from_bytes(bytes).map_err(|e| e.to_string())
    });
    let quota = quota.map_err(|e| failed("quota_rank", e))?;
    let ranks = scores.iter().zip(hashes).map(|(score, hash)| {
        let (Some(score), Some(hash)) = (score, hash) else {
            return Ok(None);
        };
        Ok(quota.rank(score, parse(hash)?).map(i64::from))
    });
    Ok(Arc::new(ranks.collect::<Result<Int64Array>>()?))
}

fn parse(hash: &str) -> Result<u128> {
    u128::from_str_radix(hash, 16)
        .map_err(|_| failed(STATE, "a hash is 32 hex digits, as of cmd_hash"))
}

#[derive(Debug)]
struct Highest {
    state: Option<QuotaState>,
    /// Rows held at the most: what was added, or twice the quota.
    rows: usize,
}

impl State for Highest {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (scores, hashes) = (
            float_column(STATE, values, 0)?,
            text_column(STATE, values, 1)?,
        );
        let sizes = int_column(STATE, values, 2)?;
        for ((score, hash), n) in scores.iter().zip(hashes).zip(sizes) {
            let (Some(score), Some(hash), Some(n)) = (score, hash, n) else {
                continue;
            };
            let n = usize::try_from(n)
                .map_err(|_| failed(STATE, format!("n must not be negative, got {n}")))?;
            self.rows = (self.rows + 1).min(2 * n);
            if self.state.is_none() {
                self.state = Some(QuotaState::new(n).map_err(|e| failed(STATE, e))?);
            }
            if let Some(state) = &mut self.state {
                state.add(score, parse(hash)?);
            }
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let other = QuotaState::from_bytes(bytes).map_err(|e| failed(STATE, e))?;
        if let Some(state) = &mut self.state {
            state.merge(&other).map_err(|e| failed(STATE, e))
        } else {
            self.state = Some(other);
            Ok(())
        }
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.state.as_ref().map(QuotaState::to_bytes))
    }

    fn size(&self) -> usize {
        self.rows * size_of::<(f32, u128)>()
    }
}
