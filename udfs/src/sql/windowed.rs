//! Window functions of ours: computed over all rows of a partition at once, in the order of its `ORDER BY`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, WindowUDFImpl};

use super::function::{Argument, Described, Doc, call, signature};

/// A window function.
pub struct Windowed {
    /// SQL name.
    pub name: &'static str,
    /// The accepted argument lists.
    pub forms: &'static [&'static [Argument]],
    /// Type of the result.
    pub returns: fn() -> DataType,
    /// The computation over a partition's rows, in order.
    pub all: fn(&[ArrayRef], usize) -> Result<ArrayRef>,
    /// For its users.
    pub doc: Doc,
}

impl Windowed {
    /// For `gleaner functions`.
    #[must_use]
    pub fn describe(&self) -> Described {
        Described {
            name: self.name,
            kind: "window",
            signatures: self
                .forms
                .iter()
                .map(|form| call(self.name, form))
                .collect(),
            returns: (self.returns)(),
            doc: self.doc,
        }
    }
}

/// The glue between a [`Windowed`] and `DataFusion`.
pub struct WindowGlue {
    function: &'static Windowed,
    signature: Signature,
}

impl WindowGlue {
    /// Wraps `function`.
    #[must_use]
    pub fn new(function: &'static Windowed) -> Self {
        Self {
            function,
            signature: signature(function.forms),
        }
    }
}

impl fmt::Debug for WindowGlue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for WindowGlue {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for WindowGlue {}

impl Hash for WindowGlue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl WindowUDFImpl for WindowGlue {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Whole(self.function)))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            args.name(),
            (self.function.returns)(),
            true,
        )))
    }
}

struct Whole(&'static Windowed);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartitionEvaluator for Whole {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        (self.0.all)(values, rows)
    }
}
