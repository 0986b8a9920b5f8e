//! `embed(text)`: the vector of a text, of the embedder that is configured, or of one named by its address.
//!
//! With one argument the function stands for the configured embedder of the process that plans the query, which writes that
//! address into the plan as the second argument: an executor gets it as a literal, and knows nothing of the client's settings.
//! The result is a list and not a fixed-size one: nobody who plans needs to load a model to know its width, and Delta tables
//! have no other kind.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Builder, ListArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use datafusion::prelude::lit;

use super::arguments::Args;
use super::function::Kind::Text;
use super::function::{Doc, Scalar, ScalarGlue, failed};
use crate::embedder;

const NAME: &str = "embed";

/// Rows whose vectors are made at a time; they exist twice.
const BLOCK_ROWS: usize = 1024;

/// The functions of this file; [`EmbedGlue`] registers them.
pub static SCALARS: &[Scalar] = &[Scalar {
    name: NAME,
    forms: &[&[("text", Text)], &[("text", Text), ("embedder", Text)]],
    returns: floats_type,
    call: embed,
    doc: Doc {
        what: "The vector of a text, of length 1, by the configured embedder (`--embedder`; the built-in lexical one where none \
               is), or by the one of that address. Texts are best canonical: `embed(cmd_comparable(line))`.",
        example: "SELECT round(vec_cosine(embed('git push'), embed('git push', 'lexical')), 3)",
        result: "1.0",
    },
}];

/// `List<Float32>`.
#[must_use]
pub fn floats_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float32, true)))
}

fn embed(args: &Args<'_>) -> Result<ArrayRef> {
    let address = if args.count() > 1 {
        args.literal_text(1)?
    } else {
        embedder::configured()
    };
    let texts = args.text(0)?;
    let embedder = embedder::load(address).map_err(|e| failed(NAME, e))?;
    let width = embedder.dimension();
    let present: Vec<&str> = texts.iter().flatten().collect();
    let mut values = Float32Builder::with_capacity(present.len() * width);
    for block in present.chunks(BLOCK_ROWS) {
        let vectors = embedder.embed(block).map_err(|e| failed(NAME, e))?;
        if vectors.len() != block.len() * width {
            let (got, wanted) = (vectors.len(), block.len() * width);
            return Err(failed(
                NAME,
                format!("{got} components instead of {wanted}"),
            ));
        }
        values.append_slice(&vectors);
    }
    let valid: Vec<bool> = texts.iter().map(|t| t.is_some()).collect();
    let lengths = valid.iter().map(|valid| if *valid { width } else { 0 });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values = Arc::new(values.finish());
    Ok(Arc::new(ListArray::try_new(
        item,
        offsets,
        values,
        Some(NullBuffer::from(valid)),
    )?))
}

/// [`ScalarGlue`], which also writes the configured embedder into plans.
pub struct EmbedGlue {
    inner: ScalarGlue,
}

impl EmbedGlue {
    /// Wraps `embed`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: ScalarGlue::new(&SCALARS[0]),
        }
    }
}

impl Default for EmbedGlue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EmbedGlue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl PartialEq for EmbedGlue {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for EmbedGlue {}

impl Hash for EmbedGlue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl ScalarUDFImpl for EmbedGlue {
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

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let configured = embedder::configured();
        match <[Expr; 1]>::try_from(args) {
            Ok([text]) if configured != embedder::LEXICAL => {
                let udf = datafusion::logical_expr::ScalarUDF::new_from_impl(Self::new());
                Ok(ExprSimplifyResult::Simplified(
                    udf.call(vec![text, lit(configured)]),
                ))
            }
            Ok([text]) => Ok(ExprSimplifyResult::Original(vec![text])),
            Err(args) => Ok(ExprSimplifyResult::Original(args)),
        }
    }
}
