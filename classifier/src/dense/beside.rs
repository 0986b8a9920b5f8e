//! Our detectors and classifiers beside others': scores of the same rows, written to files (`bench/api_detectors.py` makes both and compares).

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use gleaner_udfs::metrics::{Evaluated, outlier_scores};

use super::*;

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|n| f32::from_le_bytes(*n)).collect()
}

fn write(path: &Path, scores: &[f32]) {
    let bytes: Vec<u8> = scores
        .iter()
        .flat_map(|score| score.to_le_bytes())
        .collect();
    std::fs::write(path, bytes).unwrap();
}

/// A set is three files: `NAME.D.rows` (float32, row-major, D features), `NAME.D.outlier` (a byte a row) and `NAME.D.train` (a byte a row: 1 is fitted on
/// by classifiers, 0 is scored, 2 has no label for the semi-supervised one).
#[test]
#[ignore = "wants GLEANER_BESIDE, a directory that bench/api_detectors.py filled"]
fn detectors_and_classifiers_score_the_sets_of_a_directory() {
    let directory = std::env::var("GLEANER_BESIDE").unwrap();
    let mut sets: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rows"))
        .collect();
    sets.sort();
    assert!(!sets.is_empty(), "no set in the directory");
    for set in sets {
        let stem = set.with_extension("");
        let d: usize = stem.extension().unwrap().to_str().unwrap().parse().unwrap();
        let rows = floats(&set);
        let outlier: Vec<bool> = std::fs::read(set.with_extension("outlier"))
            .unwrap()
            .iter()
            .map(|byte| *byte == 1)
            .collect();
        let train = std::fs::read(set.with_extension("train")).unwrap();
        let told = |name: &str, started: Instant, scores: &[f32]| {
            write(&set.with_extension(format!("ours.{name}")), scores);
            let seconds = started.elapsed().as_secs_f64();
            let stem = stem.file_name().unwrap().to_string_lossy();
            writeln!(std::io::stdout(), "{stem} {name}: {seconds:.2} s").unwrap();
        };
        for detector in Evaluated::ALL {
            let started = Instant::now();
            let scores = outlier_scores(&rows, d, detector, 1).unwrap();
            assert!(scores.iter().all(|score| score.is_finite()));
            told(detector.name(), started, &scores);
        }
        let of = |byte: u8| -> (Vec<f32>, Vec<bool>) {
            let all = rows.chunks_exact(d).zip(&outlier).zip(&train);
            let all = all.filter(|(_, part)| **part == byte);
            let (rows, classes): (Vec<&[f32]>, Vec<bool>) =
                all.map(|((row, outlier), _)| (row, *outlier)).unzip();
            (rows.concat(), classes)
        };
        let ((fitted, classes), (tested, truth), (traffic, _)) = (of(1), of(0), of(2));
        let labels = Labels {
            rows: &fitted,
            d,
            positive: &classes,
        };
        let all_traffic = [fitted.as_slice(), traffic.as_slice()].concat();
        for name in ["random_forest", "svm", "semi_supervised"] {
            let started = Instant::now();
            let mut scores = vec![0.0; truth.len()];
            match name {
                "random_forest" => {
                    let model = RandomForest::fit(&labels, &ForestParams::default()).unwrap();
                    model.score(&tested, &mut scores);
                }
                "svm" => {
                    let model = Svm::fit(&labels, &SvmParams::default()).unwrap();
                    let decisions = model.decisions(&tested).unwrap();
                    scores = decisions.iter().map(|decision| *decision as f32).collect();
                }
                _ => {
                    let model = Tuned::fit(&all_traffic, &labels, &TunedParams::default()).unwrap();
                    model.score(&tested, &mut scores).unwrap();
                }
            }
            told(name, started, &scores);
        }
    }
}
