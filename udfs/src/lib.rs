//! Functions.
pub fn scalar_functions() -> Vec<datafusion::logical_expr::ScalarUDF> { vec![] }
pub fn aggregate_functions() -> Vec<datafusion::logical_expr::AggregateUDF> { vec![] }
