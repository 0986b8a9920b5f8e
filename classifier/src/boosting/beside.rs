//! These trees beside another library's: the same rows and columns, written to files (`bench/forust.sh` runs both).

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use super::{Boosting, Params};
use crate::columns::places;
use crate::linear::Training;
use crate::measures::compare;
use crate::text::Lines;

/// Labels and lines of a file with a label (0 or 1), a blank and the line's bytes in hexadecimal a row.
fn read(path: &Path) -> (Vec<bool>, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |hex: &str| {
        let byte = |n: usize| u8::from_str_radix(&hex[n..n + 2], 16).unwrap();
        String::from_utf8((0..hex.len()).step_by(2).map(byte).collect()).unwrap()
    };
    let rows = text.lines().map(|row| row.split_once(' ').unwrap());
    rows.map(|(label, hex)| (label == "1", line(hex))).unzip()
}

/// Numbers of rows, dense columns and n-grams; a label a row; dense values by row; a byte an n-gram and row.
fn write(path: &Path, lines: &Lines, malicious: &[bool], chosen: &[u32]) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for number in [lines.len(), lines.d, chosen.len()] {
        out.write_all(&(number as u64).to_le_bytes()).unwrap();
    }
    let labels: Vec<u8> = malicious.iter().map(|m| u8::from(*m)).collect();
    out.write_all(&labels).unwrap();
    for value in &lines.dense {
        out.write_all(&value.to_le_bytes()).unwrap();
    }
    let mut present = vec![];
    for row in 0..lines.len() {
        let mut bytes = vec![0_u8; chosen.len()];
        places(chosen, lines.grams.row(row).0, &mut present);
        for place in &present {
            bytes[usize::from(*place)] = 1;
        }
        out.write_all(&bytes).unwrap();
    }
}

#[test]
#[ignore = "wants GLEANER_BESIDE, a directory with train.lines and test.lines: bench/forust.sh"]
fn another_library_gets_the_same_rows_and_columns() {
    let directory = std::env::var("GLEANER_BESIDE").unwrap();
    let directory = Path::new(&directory);
    let (labels, texts) = read(&directory.join("train.lines"));
    let lines = Lines::read(&texts, &[], 0).unwrap();
    let rows: Vec<usize> = (0..lines.len()).collect();
    let training = Training {
        lines: &lines,
        rows: &rows,
        malicious: &labels,
        weights: &vec![1.0; rows.len()],
    };
    let started = Instant::now();
    let fitted = Boosting::fit(&training, &Params::default()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let (tested, test) = read(&directory.join("test.lines"));
    let test = Lines::read(&test, &[], 0).unwrap();
    let mut scratch = vec![];
    let scores = (0..test.len()).map(|row| fitted.log_odds(&test, row, &mut scratch));
    let measured = compare(&[scores.collect()], &tested, 0, 1).unwrap();
    writeln!(
        std::io::stdout(),
        "\nours, 1 thread: {} rows, {} columns, {seconds:.1} s, AUC {:.4}",
        rows.len(),
        lines.d + fitted.chosen.len(),
        measured[0].auc.value
    )
    .unwrap();
    assert!(measured[0].auc.value > 0.5);
    if std::env::var_os("GLEANER_BESIDE_WRITE").is_some() {
        write(
            &directory.join("train.columns"),
            &lines,
            &labels,
            &fitted.chosen,
        );
        write(
            &directory.join("test.columns"),
            &test,
            &tested,
            &fitted.chosen,
        );
    }
}
