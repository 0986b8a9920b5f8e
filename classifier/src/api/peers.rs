//! Isolation forests of ordinary rows alone beside others': scores of the same rows, written to files (`bench/iforest_ordinary.py` makes both and
//! compares).

use std::io::{BufRead, Write};
use std::path::Path;

use gleaner_udfs::detector::{self, Detector};
use serde_json::Value;

use super::*;

fn write(path: &Path, numbers: &[f32]) {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

/// A request of `requests.jsonl`: kind, source, label, attack, microseconds, status, bytes sent and got, milliseconds, then the texts.
fn request(line: &str) -> Labelled {
    let fields: Vec<Value> = serde_json::from_str(line).unwrap();
    let text = |i: usize| fields[i].as_str().map(str::to_owned);
    let mut request = OwnedRequest {
        micros: fields[4].as_i64(),
        status: fields[5].as_i64().map(|s| i32::try_from(s).unwrap()),
        request_bytes: fields[6].as_i64(),
        response_bytes: fields[7].as_i64(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds need no more digits"
        )]
        latency_ms: fields[8].as_f64().map(|ms| ms as f32),
        ..OwnedRequest::default()
    };
    for (place, slot) in request.texts.iter_mut().enumerate() {
        *slot = text(9 + place);
    }
    Labelled {
        kind: text(0).unwrap(),
        source: text(1).unwrap(),
        label: match text(2).as_deref() {
            Some("benign") => Label::Benign,
            Some("malicious") => Label::Malicious,
            _ => Label::Unknown,
        },
        attack: text(3),
        request,
    }
}

/// Features of labelled requests, a set a kind: `KIND.D.rows` (float32, row-major, D features) and `KIND.D.part` (a byte a row: 0 is fitted on,
/// 1 sets the threshold, 2 is ordinary and 3 an attack, tested).
fn featured_requests(directory: &Path) {
    let Ok(file) = std::fs::File::open(directory.join("requests.jsonl")) else {
        return;
    };
    let lines = std::io::BufReader::new(file).lines();
    let rows: Vec<Labelled> = lines.map(|line| request(&line.unwrap())).collect();
    let kinds: std::collections::BTreeSet<&str> = rows.iter().map(|r| r.kind.as_str()).collect();
    for kind in kinds {
        let of_kind: Vec<&Labelled> = rows.iter().filter(|r| r.kind == kind).collect();
        let prepared = prepare(&of_kind, 0, Categorical::Rarity);
        let (mut numbers, mut parts) = (vec![], vec![]);
        for (row, part) in prepared.parts.iter().enumerate() {
            let part = match part {
                Part::Fit => 0,
                Part::Validation => 1,
                Part::TestBenign => 2,
                Part::TestMalicious => 3,
                Part::History => continue,
            };
            numbers.extend_from_slice(prepared.row(row));
            parts.push(part);
        }
        let stem = format!("{kind}.{}", prepared.width());
        write(&directory.join(format!("{stem}.rows")), &numbers);
        std::fs::write(directory.join(format!("{stem}.part")), parts).unwrap();
    }
}

#[test]
#[ignore = "wants GLEANER_BESIDE, a directory that bench/iforest_ordinary.py filled"]
fn forests_of_ordinary_rows_score_the_sets_of_a_directory() {
    let directory = std::path::PathBuf::from(std::env::var("GLEANER_BESIDE").unwrap());
    featured_requests(&directory);
    let entries = std::fs::read_dir(&directory).unwrap();
    let mut sets: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    sets.retain(|path| path.extension().is_some_and(|e| e == "part"));
    sets.sort();
    assert!(!sets.is_empty(), "no set in the directory");
    for set in sets {
        let stem = set.with_extension("");
        let d: usize = stem.extension().unwrap().to_str().unwrap().parse().unwrap();
        let parts = std::fs::read(&set).unwrap();
        let bytes = std::fs::read(set.with_extension("rows")).unwrap();
        let rows: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|n| f32::from_le_bytes(*n))
            .collect();
        let fit: Vec<f32> = rows
            .chunks(d)
            .zip(&parts)
            .filter(|(_, part)| **part == 0)
            .flat_map(|(row, _)| row)
            .copied()
            .collect();
        let keys: Vec<u64> = (0..(fit.len() / d) as u64).collect();
        for seed in 1..=3 {
            for (name, mut params) in [
                ("plain", FitParams::default()),
                ("insertion", fit_params(Scale::Standard)),
            ] {
                params.iforest.seed = seed;
                let kind = Kind::IsolationForest;
                let fitted = detector::fit_kinds(&[kind], &keys, &fit, d, &params).unwrap();
                let mut scores = vec![0.0; parts.len()];
                let started = std::time::Instant::now();
                Detector::score(&fitted[0], &rows, d, &mut scores).unwrap();
                let micros = started.elapsed().as_secs_f64() * 1e6 / parts.len() as f64;
                write(&set.with_extension(format!("{name}.{seed}")), &scores);
                let stem = stem.file_name().unwrap().to_string_lossy();
                let size = fitted[0].to_bytes().len();
                writeln!(
                    std::io::stdout(),
                    "{stem} {name} {seed}: {micros:.2} us a row, {size} bytes"
                )
                .unwrap();
            }
        }
    }
}
