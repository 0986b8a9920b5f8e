//! Trains forust-ml's trees on the columns that `boosting::beside` wrote, with the parameters of Gleaner's own: seconds and AUC on the test's columns.
//!
//! ```text
//! cargo run --release -- DIR column|tiled THREADS
//! ```

use std::time::Instant;

use forust_ml::data::Matrix;
use forust_ml::gradientbooster::GradientBooster;

type Failure = Box<dyn std::error::Error>;

/// Rows, dense columns, n-grams; then a label a row, dense values by row, and a byte an n-gram and row.
struct Columns {
    rows: usize,
    d: usize,
    labels: Vec<f64>,
    /// By column.
    values: Vec<f64>,
}

fn read(path: &str) -> Result<Columns, Failure> {
    let bytes = std::fs::read(path)?;
    let word = |n: usize| -> Result<usize, Failure> {
        let bytes = bytes.get(n * 8..n * 8 + 8).ok_or("a short file")?;
        Ok(usize::try_from(u64::from_le_bytes(bytes.try_into()?))?)
    };
    let (rows, dense, grams) = (word(0)?, word(1)?, word(2)?);
    let (labels, rest) = bytes[24..].split_at(rows);
    let (numbers, presences) = rest.split_at(rows * dense * 4);
    let mut values = vec![0.0; rows * (dense + grams)];
    for (n, number) in numbers.chunks_exact(4).enumerate() {
        let number = f32::from_le_bytes(number.try_into()?);
        values[n % dense * rows + n / dense] = f64::from(number);
    }
    for (n, presence) in presences.iter().enumerate() {
        values[(dense + n % grams) * rows + n / grams] = f64::from(*presence);
    }
    Ok(Columns {
        rows,
        d: dense + grams,
        labels: labels.iter().map(|label| f64::from(*label)).collect(),
        values,
    })
}

/// The share of pairs of a malicious and a benign row in the right order; equal scores count a half.
fn auc(scores: &[f64], labels: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut below, mut pairs, mut positive) = (0.0, 0.0, 0.0);
    for group in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let malicious = group.iter().filter(|row| labels[**row] > 0.5).count() as f64;
        let benign = group.len() as f64 - malicious;
        pairs += malicious * (below + benign / 2.0);
        below += benign;
        positive += malicious;
    }
    pairs / (below * positive)
}

fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [directory, histograms, threads] = given.as_slice() else {
        return Err("expected DIR column|tiled THREADS".into());
    };
    let train = read(&format!("{directory}/train.columns"))?;
    let data = Matrix::new(&train.values, train.rows, train.d);
    let threads: usize = threads.parse()?;
    let mut booster = GradientBooster::default()
        .set_iterations(120)
        .set_learning_rate(0.15)
        .set_max_depth(6)
        .set_l2(1.0)
        .set_min_leaf_weight(1.0)
        .set_colsample_bytree(0.5)
        .set_nbins(63)
        .set_initialize_base_score(true)
        .set_seed(1)
        .set_parallel(threads > 1)
        .set_num_threads(Some(threads))
        .set_tiled_histograms(histograms == "tiled");
    let started = Instant::now();
    booster.fit_unweighted(&data, &train.labels, None)?;
    let fitted = started.elapsed().as_secs_f64();
    let (rows, d) = (train.rows, train.d);
    drop(train);
    let test = read(&format!("{directory}/test.columns"))?;
    let scores = booster.predict(&Matrix::new(&test.values, test.rows, test.d), false);
    println!(
        "forust-ml {histograms}, {threads} threads: {rows} rows, {d} columns, {fitted:.1} s, AUC {:.4}",
        auc(&scores, &test.labels)
    );
    Ok(())
}
