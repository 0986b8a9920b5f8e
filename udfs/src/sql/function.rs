//! What every SQL function of ours is made of: a name, its arguments, what it returns, how it is computed, and its
//! documentation with an example and that example's result. `gleaner functions` prints it, the tests run it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::arguments::Args;

/// The kind of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Utf8`; other string types are cast to it.
    Text,
    /// `Int64`.
    Int,
    /// `Float32`.
    Float,
    /// `Boolean`.
    Bool,
    /// `Binary`: a state of one of our aggregates.
    State,
    /// `FixedSizeList<Float32>` of any width, or `List<Float32>`.
    Vector,
    /// `Date32`.
    Date,
}

impl Kind {
    fn accepts(self, kind: &DataType) -> bool {
        match self {
            Self::Vector => {
                matches!(kind, DataType::FixedSizeList(item, _) | DataType::List(item) if item.data_type() == &DataType::Float32)
            }
            other => kind == &other.data_type() || kind == &DataType::Null,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Bool => DataType::Boolean,
            Self::State => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Vector => vector_type(0),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Bool => "boolean",
            Self::State => "state (binary)",
            Self::Vector => "vector (list of float)",
            Self::Date => "date",
        }
    }
}

/// An argument: its name and kind.
pub type Argument = (&'static str, Kind);

/// `FixedSizeList<Float32>` of `width`.
#[must_use]
pub fn vector_type(width: i32) -> DataType {
    DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), width)
}

/// `List<Utf8>`.
#[must_use]
pub fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// What is written about a function.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    /// One or two sentences.
    pub what: &'static str,
    /// A query that runs anywhere.
    pub example: &'static str,
    /// What it returns, as one line of comma-separated values.
    pub result: &'static str,
}

pub(super) fn signature(forms: &[&[Argument]]) -> Signature {
    let form = |arguments: &&[Argument]| {
        if arguments.is_empty() {
            TypeSignature::Nullary
        } else if arguments.iter().any(|(_, kind)| *kind == Kind::Vector) {
            // No coercion of vectors: their width is part of the type, and is checked by `checked`.
            TypeSignature::UserDefined
        } else {
            TypeSignature::Exact(arguments.iter().map(|(_, kind)| kind.data_type()).collect())
        }
    };
    let forms: Vec<_> = forms.iter().map(form).collect();
    if forms.contains(&TypeSignature::UserDefined) {
        return Signature::user_defined(Volatility::Immutable);
    }
    Signature::one_of(forms, Volatility::Immutable)
}

/// Coerces the arguments of functions that take vectors: everything else as `Exact` would.
fn coerced(name: &str, forms: &[&[Argument]], given: &[DataType]) -> Result<Vec<DataType>> {
    let fits = |arguments: &&&[Argument]| arguments.len() == given.len();
    let Some(form) = forms.iter().find(fits) else {
        return Err(wrong(name, forms, given));
    };
    form.iter()
        .zip(given)
        .map(|((_, kind), given_type)| match kind {
            Kind::Vector if kind.accepts(given_type) => Ok(given_type.clone()),
            Kind::Vector => Err(wrong(name, forms, given)),
            other => Ok(other.data_type()),
        })
        .collect()
}

fn wrong(name: &str, forms: &[&[Argument]], given: &[DataType]) -> DataFusionError {
    let expected: Vec<_> = forms.iter().map(|form| call(name, form)).collect();
    let given: Vec<_> = given.iter().map(ToString::to_string).collect();
    DataFusionError::Plan(format!(
        "{name}: expected {}, got {name}({})",
        expected.join(" or "),
        given.join(", ")
    ))
}

/// `name(argument kind, …)`.
pub(super) fn call(name: &str, arguments: &[Argument]) -> String {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|(name, kind)| format!("{name} {}", kind.word()))
        .collect();
    format!("{name}({})", arguments.join(", "))
}

/// A scalar function.
pub struct Scalar {
    /// SQL name.
    pub name: &'static str,
    /// The accepted argument lists.
    pub forms: &'static [&'static [Argument]],
    /// Type of the result.
    pub returns: fn() -> DataType,
    /// The computation: an array of `rows()` values.
    pub call: fn(&Args<'_>) -> Result<ArrayRef>,
    /// For its users.
    pub doc: Doc,
}

/// The glue between a [`Scalar`] and `DataFusion`.
pub struct ScalarGlue {
    function: &'static Scalar,
    signature: Signature,
}

impl ScalarGlue {
    /// Wraps `function`.
    #[must_use]
    pub fn new(function: &'static Scalar) -> Self {
        Self {
            function,
            signature: signature(function.forms),
        }
    }
}

macro_rules! named {
    ($glue:ty) => {
        impl fmt::Debug for $glue {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.function.name)
            }
        }
        impl PartialEq for $glue {
            fn eq(&self, other: &Self) -> bool {
                self.function.name == other.function.name
            }
        }
        impl Eq for $glue {}
        impl Hash for $glue {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.function.name.hash(state);
            }
        }
    };
}
named!(ScalarGlue);
named!(AggregateGlue);

impl ScalarUDFImpl for ScalarGlue {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.function.name, self.function.forms, given)
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok((self.function.returns)())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .iter()
            .map(|a| a.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let call = Args {
            name: self.function.name,
            values: &args.args,
            arrays,
            rows,
        };
        let result = (self.function.call)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// What an aggregate accumulates: a state that merges, and what it evaluates to.
pub trait State: fmt::Debug + Send + Sync + 'static {
    /// Adds rows.
    ///
    /// # Errors
    /// When an argument has a wrong type or value.
    fn update(&mut self, values: &[ArrayRef]) -> Result<()>;
    /// Adds another state's bytes.
    ///
    /// # Errors
    /// When they are damaged.
    fn merge(&mut self, bytes: &[u8]) -> Result<()>;
    /// The state's bytes, `None` when it is empty.
    ///
    /// # Errors
    /// When they cannot be made.
    fn bytes(&self) -> Result<Option<Vec<u8>>>;
    /// The result.
    ///
    /// # Errors
    /// When it cannot be made.
    fn evaluate(&self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(self.bytes()?))
    }
    /// Memory held, in bytes.
    fn size(&self) -> usize;
    /// The states of many groups as one, where groups are many and small: otherwise each is a state of its own, which
    /// costs about a microsecond a group and batch.
    fn groups(&self) -> Option<Box<dyn GroupsAccumulator>> {
        None
    }
}

/// An aggregate function: its partial state is one binary value.
pub struct Aggregate {
    /// SQL name.
    pub name: &'static str,
    /// The accepted argument lists.
    pub forms: &'static [&'static [Argument]],
    /// Type of the result.
    pub returns: fn() -> DataType,
    /// A new state; it learns literal arguments (sizes, quotas) from the first rows.
    pub state: fn() -> Box<dyn State>,
    /// For its users.
    pub doc: Doc,
}

/// The glue between an [`Aggregate`] and `DataFusion`.
pub struct AggregateGlue {
    function: &'static Aggregate,
    signature: Signature,
}

impl AggregateGlue {
    /// Wraps `function`.
    #[must_use]
    pub fn new(function: &'static Aggregate) -> Self {
        Self {
            function,
            signature: signature(function.forms),
        }
    }
}

impl AggregateUDFImpl for AggregateGlue {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.function.name, self.function.forms, given)
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok((self.function.returns)())
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(StateAccumulator((self.function.state)())))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        (self.function.state)().groups().is_some()
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let groups = (self.function.state)().groups();
        groups.ok_or_else(|| DataFusionError::Internal("not supported, as was said".into()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}[state]", args.name),
            DataType::Binary,
            true,
        ))])
    }
}

#[derive(Debug)]
struct StateAccumulator(Box<dyn State>);

impl Accumulator for StateAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(self.0.bytes()?)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = states
            .first()
            .and_then(|s| s.as_binary_opt::<i32>())
            .ok_or_else(|| DataFusionError::Internal("a state is one binary column".into()))?;
        states
            .iter()
            .flatten()
            .try_for_each(|bytes| self.0.merge(bytes))
    }
}

/// Turns a kernel's error into the engine's.
pub fn failed(function: &str, error: impl fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("{function}: {error}"))
}

/// The name and documentation of a function, for `gleaner functions`.
#[derive(Debug, Clone)]
pub struct Described {
    /// SQL name.
    pub name: &'static str,
    /// `scalar`, `aggregate` or `window`.
    pub kind: &'static str,
    /// One a form.
    pub signatures: Vec<String>,
    /// The result's type.
    pub returns: DataType,
    /// For its users.
    pub doc: Doc,
}

impl Scalar {
    /// For `gleaner functions`.
    #[must_use]
    pub fn describe(&self) -> Described {
        let signatures = self
            .forms
            .iter()
            .map(|form| call(self.name, form))
            .collect();
        Described {
            name: self.name,
            kind: "scalar",
            signatures,
            returns: (self.returns)(),
            doc: self.doc,
        }
    }
}

impl Aggregate {
    /// For `gleaner functions`.
    #[must_use]
    pub fn describe(&self) -> Described {
        let signatures = self
            .forms
            .iter()
            .map(|form| call(self.name, form))
            .collect();
        Described {
            name: self.name,
            kind: "aggregate",
            signatures,
            returns: (self.returns)(),
            doc: self.doc,
        }
    }
}
