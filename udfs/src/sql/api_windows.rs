//! The windows of actors and endpoints, as window functions over ordered rows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int64Builder, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;

use super::api::{MORE_WINDOWS, WINDOWS, signed, unsigned};
use super::arguments::{int_column, text_column};
use super::function::Kind::{Bool, Int, Text};
use super::function::{Argument, Doc, failed};
use super::windowed::Windowed;
use crate::api::request::text_hash;
use crate::api::window::{Actor, Call, Endpoint};
use crate::api::{address, agent};

const ACTOR: &str = "api_actor_windows";
const ENDPOINT: &str = "api_endpoint_windows";

/// The window functions of this file.
pub(super) static WINDOWED: &[Windowed] = &[
    Windowed {
        name: ACTOR,
        forms: &[&[
            ("actor", Text),
            ("micros", Int),
            ("endpoint", Int),
            ("failed", Bool),
            ("response_bytes", Int),
            ("user_agent", Text),
            ("client_ip", Text),
        ]],
        returns: || DataType::Struct(fields(&WINDOWS[..16])),
        all: actor_windows,
        doc: Doc {
            what: "What an actor did in the minutes before each of its requests, that one included, and how often it did the same \
                   before. Over rows ordered by actor, time and hash; null where an actor or a time is missing.",
            example: "SELECT w['requests_1min'] FROM (SELECT t, api_actor_windows('a', t, 7, false, 1, NULL, NULL) OVER (ORDER BY t) AS w \
                      FROM (VALUES (0), (30000000), (70000000)) AS v (t)) ORDER BY t DESC LIMIT 1",
            result: "2",
        },
    },
    Windowed {
        name: ENDPOINT,
        forms: &[&[
            ("endpoint", Int),
            ("micros", Int),
            ("actor", Text),
            ("failed", Bool),
        ]],
        returns: || DataType::Struct(endpoint_fields()),
        all: endpoint_windows,
        doc: Doc {
            what: "What happened at an endpoint in the minutes before each request, that one included. Over rows ordered by \
                   endpoint, time and hash; null where an endpoint or a time is missing.",
            example: "SELECT w['endpoint_actors_10min'] FROM (SELECT t, api_endpoint_windows(7, t, a, false) OVER (ORDER BY t) AS w \
                      FROM (VALUES (0, 'a'), (1, 'b'), (2, 'a')) AS v (t, a)) ORDER BY t DESC LIMIT 1",
            result: "2",
        },
    },
];

fn fields(columns: &[Argument]) -> Fields {
    columns
        .iter()
        .map(|(name, _)| Field::new(*name, DataType::Int64, true))
        .collect()
}

fn endpoint_fields() -> Fields {
    fields(&[WINDOWS[16], WINDOWS[17], MORE_WINDOWS[0], MORE_WINDOWS[1]])
}

/// Builders of a struct of integers.
struct Ints(Vec<Int64Builder>);

impl Ints {
    fn new(columns: usize) -> Self {
        Self((0..columns).map(|_| Int64Builder::new()).collect())
    }

    fn push(&mut self, values: &[Option<i64>]) {
        for (builder, value) in self.0.iter_mut().zip(values) {
            builder.append_option(*value);
        }
    }

    fn finish(mut self, fields: Fields) -> ArrayRef {
        let arrays = self
            .0
            .iter_mut()
            .map(|b| Arc::new(b.finish()) as ArrayRef)
            .collect();
        Arc::new(StructArray::new(fields, arrays, None))
    }
}

fn bool_column<'a>(function: &str, values: &'a [ArrayRef], i: usize) -> Result<&'a BooleanArray> {
    let array = values
        .get(i)
        .and_then(|a| a.as_any().downcast_ref::<BooleanArray>());
    array.ok_or_else(|| failed(function, format!("argument {} must be boolean", i + 1)))
}

fn actor_windows(values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (actors, micros) = (
        text_column(ACTOR, values, 0)?,
        int_column(ACTOR, values, 1)?,
    );
    let (endpoints, failures) = (
        int_column(ACTOR, values, 2)?,
        bool_column(ACTOR, values, 3)?,
    );
    let bytes = int_column(ACTOR, values, 4)?;
    let (agents, clients) = (
        text_column(ACTOR, values, 5)?,
        text_column(ACTOR, values, 6)?,
    );
    let mut out = Ints::new(16);
    let mut state = Actor::default();
    let mut of = None;
    let mut last = i64::MIN;
    for row in 0..rows {
        if actors.is_null(row) || micros.is_null(row) || endpoints.is_null(row) {
            out.push(&[None; 16]);
            continue;
        }
        let actor = actors.value(row);
        if of.is_some_and(|of| of > actor || of == actor && last > micros.value(row)) {
            return Err(failed(ACTOR, "the rows must be ordered by actor and time"));
        }
        if of != Some(actor) {
            of = Some(actor);
            state = Actor::default();
        }
        last = micros.value(row);
        let view = state.push(&Call {
            micros: micros.value(row),
            actor: text_hash(actor),
            endpoint: unsigned(endpoints.value(row)),
            failed: failures.is_valid(row) && failures.value(row),
            bytes: if bytes.is_valid(row) {
                bytes.value(row).max(0)
            } else {
                0
            },
            agent: text_hash(&agent::agent(agents.is_valid(row).then(|| agents.value(row))).family),
            network: if clients.is_valid(row) {
                address::network(clients.value(row))
            } else {
                0
            },
        });
        let n = |count: u32| Some(i64::from(count));
        out.push(&[
            n(view.count_1min),
            n(view.count_5min),
            n(view.count_10min),
            n(view.failed_5min),
            n(view.endpoints_10min),
            Some(view.bytes_10min),
            view.gap,
            view.mean_gap,
            n(view.seen),
            n(view.endpoint_seen),
            n(view.agent_seen),
            n(view.network_seen),
            view.previous.map(signed),
            n(view.bigram_seen),
            (view.sequence != 0).then(|| signed(view.sequence)),
            n(view.sequence_seen),
        ]);
    }
    Ok(out.finish(fields(&WINDOWS[..16])))
}

fn endpoint_windows(values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (endpoints, micros) = (
        int_column(ENDPOINT, values, 0)?,
        int_column(ENDPOINT, values, 1)?,
    );
    let (actors, failures) = (
        text_column(ENDPOINT, values, 2)?,
        bool_column(ENDPOINT, values, 3)?,
    );
    let mut out = Ints::new(4);
    // Rows come endpoint by endpoint; a map all the same, so that another order gives nothing wrong.
    let mut states: HashMap<i64, Endpoint> = HashMap::new();
    let mut last = None;
    for row in 0..rows {
        if endpoints.is_null(row) || micros.is_null(row) || actors.is_null(row) {
            out.push(&[None; 4]);
            continue;
        }
        let endpoint = endpoints.value(row);
        if last
            .replace(endpoint)
            .is_some_and(|before| before != endpoint)
        {
            states.clear();
        }
        let view = states.entry(endpoint).or_default().push(&Call {
            micros: micros.value(row),
            actor: text_hash(actors.value(row)),
            endpoint: unsigned(endpoint),
            failed: failures.is_valid(row) && failures.value(row),
            bytes: 0,
            agent: 0,
            network: 0,
        });
        let n = |count: u32| Some(i64::from(count));
        out.push(&[
            n(view.count_1min),
            n(view.count_5min),
            n(view.failed_5min),
            n(view.actors_10min),
        ]);
    }
    Ok(out.finish(endpoint_fields()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    fn windows(actors: &[&str], micros: &[i64]) -> Result<ArrayRef> {
        let n = actors.len();
        let values: [ArrayRef; 7] = [
            Arc::new(StringArray::from(actors.to_vec())),
            Arc::new(Int64Array::from(micros.to_vec())),
            Arc::new(Int64Array::from(vec![7; n])),
            Arc::new(BooleanArray::from(vec![false; n])),
            Arc::new(Int64Array::from(vec![1; n])),
            Arc::new(StringArray::from(vec![None::<&str>; n])),
            Arc::new(StringArray::from(vec![None::<&str>; n])),
        ];
        actor_windows(&values, n)
    }

    #[test]
    fn rows_out_of_order_are_refused_and_not_answered_wrong() {
        assert!(windows(&["a", "a", "b"], &[1, 1, 0]).is_ok());
        for (actors, micros) in [(["a", "b", "a"], [1, 2, 3]), (["a", "a", "b"], [2, 1, 3])] {
            let error = windows(&actors, &micros).unwrap_err().to_string();
            assert!(error.contains("ordered by actor and time"), "{error}");
        }
    }
}
