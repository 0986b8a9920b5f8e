//! The functions as SQL sees them: one list of scalars, one of aggregates, one of window functions, registered alike by the client, the
//! scheduler and every executor. To add a function: write it in a file here, add a line to that file's list, and an
//! example with its result, which a test runs.

pub mod api;
mod api_said;
mod api_windows;
pub mod arguments;
pub mod categories;
pub mod corpus;
pub mod detectors;
pub mod distinct;
pub mod embed;
pub mod function;
mod groups;
pub mod label;
pub mod near;
pub mod quota;
pub mod request;
pub mod text;
pub mod windowed;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use function::{Aggregate, AggregateGlue, Described, Scalar, ScalarGlue};
use windowed::{WindowGlue, Windowed};

static SCALARS: &[&[Scalar]] = &[
    api::SCALARS,
    api_said::SCALARS,
    text::SCALARS,
    detectors::SCALARS,
    distinct::SCALARS,
    label::SCALARS,
    quota::SCALARS,
    request::SCALARS,
];
static AGGREGATES: &[&[Aggregate]] = &[
    api::AGGREGATES,
    categories::AGGREGATES,
    corpus::AGGREGATES,
    detectors::AGGREGATES,
    distinct::AGGREGATES,
    near::AGGREGATES,
    quota::AGGREGATES,
];

static WINDOWED: &[&[Windowed]] = &[api_windows::WINDOWED];

/// All window functions.
#[must_use]
pub fn window_functions() -> Vec<WindowUDF> {
    let all = WINDOWED.iter().flat_map(|list| list.iter());
    all.map(|f| WindowUDF::new_from_impl(WindowGlue::new(f)))
        .collect()
}

/// All scalar functions.
#[must_use]
pub fn scalar_functions() -> Vec<ScalarUDF> {
    SCALARS
        .iter()
        .flat_map(|list| list.iter())
        .map(|f| ScalarUDF::new_from_impl(ScalarGlue::new(f)))
        .chain([
            ScalarUDF::new_from_impl(embed::EmbedGlue::new()),
            ScalarUDF::new_from_impl(categories::FeaturesGlue::new()),
        ])
        .collect()
}

/// All aggregate functions.
#[must_use]
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    let all = AGGREGATES.iter().flat_map(|list| list.iter());
    all.map(|f| AggregateUDF::new_from_impl(AggregateGlue::new(f)))
        .collect()
}

/// Name, arguments, result and documentation of every function, by name.
#[must_use]
pub fn described() -> Vec<Described> {
    let scalars = SCALARS
        .iter()
        .chain([&embed::SCALARS, &api::FEATURES_SCALAR])
        .flat_map(|list| list.iter())
        .map(Scalar::describe);
    let aggregates = AGGREGATES
        .iter()
        .flat_map(|list| list.iter())
        .map(Aggregate::describe);
    let windowed = WINDOWED
        .iter()
        .flat_map(|list| list.iter())
        .map(Windowed::describe);
    let mut all: Vec<_> = scalars.chain(aggregates).chain(windowed).collect();
    all.sort_by_key(|f| f.name);
    all
}
