//! Categorical values of requests: the state that encoders are learned from, and the type of `api_features`, whose width follows from
//! the encoding.
//!
//! The choice is `api_features`' last argument, a literal, so that a query has its types before any model is read; where the query
//! runs, it is checked against the encoder behind the URI.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};

use super::api::{CHOICE, FEATURES_SCALAR, REQUEST, Requests, unsigned};
use super::arguments::{int_column, text_column};
use super::detectors::key;
use super::function::Kind::{Int, Text};
use super::function::{Aggregate, Argument, Doc, ScalarGlue, State, failed, vector_type};
use crate::api::{Categorical, CategorySample};

const SAMPLE: &str = "api_categories";

const SAMPLE_FORM: [Argument; 19] = {
    let mut form = [("hash", Text); 19];
    let mut i = 0;
    while i < 16 {
        form[i] = REQUEST[i];
        i += 1;
    }
    form[16] = ("template", Text);
    form[17] = ("previous_endpoint", Int);
    form
};

/// The aggregates of this file.
pub static AGGREGATES: &[Aggregate] = &[Aggregate {
    name: SAMPLE,
    forms: &[&SAMPLE_FORM],
    returns: || DataType::Binary,
    state: || Box::new(Sample(CategorySample::new())),
    doc: Doc {
        what: "The categorical values (endpoint, method, host, agent, outcome, referrer) of the 32,768 requests with the smallest keys (a \
               key follows from the hash): a state that merges, from which `--categorical one-hot` and `embedding` are learned.",
        example: "SELECT api_categories(NULL, NULL, NULL, 'GET', 'shop', '/', NULL, NULL, NULL, NULL, NULL, NULL, 200, NULL, \
                  NULL, NULL, '/', NULL, '0123456789abcdef0123456789abcdef') IS NOT NULL",
        result: "true",
    },
}];

#[derive(Debug)]
struct Sample(CategorySample);

impl State for Sample {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let requests = Requests::of_values(values)?;
        let (templates, previous) = (
            text_column(SAMPLE, values, 16)?,
            int_column(SAMPLE, values, 17)?,
        );
        let hashes = text_column(SAMPLE, values, 18)?;
        for row in 0..templates.len() {
            if templates.is_null(row) || hashes.is_null(row) {
                continue;
            }
            let before = previous
                .is_valid(row)
                .then(|| unsigned(previous.value(row)));
            let key = key(SAMPLE, hashes.value(row))?;
            self.0
                .add(key, &requests.row(row), templates.value(row), before);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.0
            .merge(&CategorySample::from_bytes(bytes).map_err(|e| failed(SAMPLE, e))?);
        Ok(())
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.0.to_bytes()))
    }

    fn size(&self) -> usize {
        // A key and eight hashes a row, and the tree that holds them.
        self.0.rows() * 96
    }
}

/// [`ScalarGlue`] of `api_features`, which also tells its width.
pub struct FeaturesGlue {
    inner: ScalarGlue,
}

impl FeaturesGlue {
    /// Wraps `api_features`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: ScalarGlue::new(&FEATURES_SCALAR[0]),
        }
    }
}

impl Default for FeaturesGlue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FeaturesGlue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner.name())
    }
}

impl PartialEq for FeaturesGlue {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for FeaturesGlue {}

impl Hash for FeaturesGlue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

/// The choice that a call names; without one, [`Categorical::Rarity`].
pub(super) fn choice(given: &[Option<&ScalarValue>]) -> Result<Categorical> {
    let Some(argument) = given.get(CHOICE) else {
        return Ok(Categorical::Rarity);
    };
    let text = argument.and_then(|value| value.try_as_str().flatten());
    text.and_then(Categorical::from_name).ok_or_else(|| {
        let names = Categorical::ALL.map(Categorical::name).join(", ");
        DataFusionError::Plan(format!(
            "api_features: argument {} must be one of {names}, as a text literal",
            CHOICE + 1
        ))
    })
}

impl ScalarUDFImpl for FeaturesGlue {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let width = choice(args.scalar_arguments)?.width();
        let width = i32::try_from(width).unwrap_or(i32::MAX);
        Ok(Arc::new(Field::new(self.name(), vector_type(width), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }
}
