//! Fills the `{name}` of a stage's SQL with typed values. Nothing that a user or telemetry wrote is ever pasted:
//! values are dates, numbers and URIs that Gleaner made, and text is quoted.

use chrono::NaiveDate;

/// A value in a stage's SQL.
#[derive(Debug, Clone)]
pub enum Value {
    /// `DATE '2025-01-01'`.
    Date(NaiveDate),
    /// `CAST(3 AS BIGINT)`.
    Int(u64),
    /// `CAST(0.5 AS FLOAT)`, exact for every finite `f32`; infinities too.
    Float(f32),
    /// `CAST('0.25' AS DOUBLE)`, exact for every finite `f64`.
    Double(f64),
    /// `TRUE` or `FALSE`.
    Bool(bool),
    /// `'…'`.
    Text(String),
    /// Rows of values for a `VALUES` list.
    Rows(Vec<Vec<Value>>),
}

impl Value {
    fn sql(&self) -> String {
        match self {
            Self::Date(day) => format!("DATE '{day}'"),
            Self::Int(n) => format!("CAST({n} AS BIGINT)"),
            Self::Float(x) => format!("CAST('{x}' AS FLOAT)"),
            Self::Double(x) => format!("CAST('{x}' AS DOUBLE)"),
            Self::Bool(true) => "TRUE".to_owned(),
            Self::Bool(false) => "FALSE".to_owned(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Rows(rows) => {
                let row = |values: &Vec<Self>| {
                    let values: Vec<_> = values.iter().map(Self::sql).collect();
                    format!("({})", values.join(", "))
                };
                rows.iter().map(row).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Replaces each `{name}` by its value.
#[must_use]
pub fn fill(sql: &str, values: &[(&str, Value)]) -> String {
    let mut filled = sql.to_owned();
    for (name, value) in values {
        filled = filled.replace(&format!("{{{name}}}"), &value.sql());
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted() {
        assert_eq!(fill("{a}", &[("a", Value::Text("it's".into()))]), "'it''s'");
    }

    #[test]
    fn infinities_have_a_literal() {
        assert_eq!(
            fill("{a}", &[("a", Value::Float(f32::NEG_INFINITY))]),
            "CAST('-inf' AS FLOAT)"
        );
    }
}
