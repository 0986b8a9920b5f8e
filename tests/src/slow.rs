//! `slow(x, ms)`: x, after a while. It leaves a mark of every call, so that a test can lose an executor in the middle of one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// The directory of the marks: `PID-N.begun`, renamed to `PID-N.ended`.
pub(crate) const MARKS: &str = "GLEANER_TEST_MARKS";
/// How many times slower than asked for: an executor on a bad machine.
pub(crate) const SLOWNESS: &str = "GLEANER_TEST_SLOWNESS";

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The function.
pub(crate) fn slow() -> ScalarUDF {
    let types = vec![DataType::Int64, DataType::Int64];
    create_udf(
        "slow",
        types,
        DataType::Int64,
        Volatility::Volatile,
        Arc::new(call),
    )
}

fn call(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [x, ms] = args else {
        return exec_err!("slow(x, ms)");
    };
    let ms = ms.to_array(1)?;
    let ms = ms.as_primitive::<Int64Type>().value(0).unsigned_abs();
    let name = format!(
        "{}-{}",
        std::process::id(),
        CALLS.fetch_add(1, Ordering::SeqCst)
    );
    let marks = std::env::var_os(MARKS).map(PathBuf::from);
    if let Some(marks) = &marks {
        std::fs::write(marks.join(format!("{name}.begun")), "")?;
    }
    let slowness = std::env::var(SLOWNESS).map_or(Some(1), |text| text.parse().ok());
    std::thread::sleep(Duration::from_millis(ms * slowness.unwrap_or(1)));
    if let Some(marks) = &marks {
        let path = |end: &str| marks.join(format!("{name}.{end}"));
        std::fs::rename(path("begun"), path("ended"))?;
    }
    Ok(x.clone())
}
