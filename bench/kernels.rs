//! The kernels by themselves, on one core: rows a second, medians of several rounds, one JSON object a line.
//!
//! `cargo bench --workspace --bench kernels -- [LINES.txt]`
//!
//! `--rows FILE` writes the rows to a file of little-endian f32 (for `bench/forest.py`) and ends.
//!
//! The rows are draws from a mixture of clusters with a few far ones, 100 features; `LINES.txt` has a command line a line
//! (`gleaner synth` makes telemetry, `gleaner sql "COPY …"` such a file).
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Instant;

use gleaner_udfs::iforest::{IForestModel, IsolationForestParams};
use gleaner_udfs::kmeans::{Centroids, KMeansModel, KMeansParams};
use gleaner_udfs::pca::{Components, Moments, PcaModel, PcaParams};
use gleaner_udfs::rng::SplitMix64;
use gleaner_udfs::sketch::document_frequency::{CorpusModel, DocumentFrequencies};
use gleaner_udfs::text::canonical::template_hash;
use gleaner_udfs::text::catalog::N_FEATURES;
use gleaner_udfs::text::context::Context;
use gleaner_udfs::text::features::Featurizer;

const ROWS: usize = 65_536;
const D: usize = 100;
const ROUNDS: usize = 7;

#[expect(clippy::cast_possible_truncation, reason = "draws near 0")]
fn rows() -> Vec<f32> {
    let mut rng = SplitMix64::stream(1, 1);
    let centres: Vec<f64> = (0..64 * D).map(|_| 2.0 * rng.next_normal()).collect();
    let mut rows = Vec::with_capacity(ROWS * D);
    for row in 0..ROWS {
        let centre = &centres[row % 64 * D..][..D];
        let far = if row % 200 == 0 { 5.0 } else { 1.0 };
        rows.extend(centre.iter().map(|c| (c + far * rng.next_normal()) as f32));
    }
    rows
}

/// Rows a second, and billions of floating-point operations a second where each row takes `flops`.
fn measure(name: &str, rows: usize, flops: f64, mut run: impl FnMut()) {
    run();
    let mut secs: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64()
        })
        .collect();
    secs.sort_by(f64::total_cmp);
    let median = secs[ROUNDS / 2];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = rows as f64 / median;
    println!(
        "{{\"kernel\":\"{name}\",\"rows_per_sec\":{rate:.0},\"gflops\":{:.2}}}",
        rate * flops / 1e9
    );
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn main() {
    let rows = rows();
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let file = args.next();
    if file.as_deref() == Some("--rows") {
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        return std::fs::write(args.next().unwrap(), bytes).unwrap();
    }
    let keys: Vec<u64> = (0..ROWS as u64).collect();
    let mut out = vec![0.0; ROWS];
    let d = D as f64;

    for (name, extension_level) in [("iforest", 0), ("iforest_extended", D - 1)] {
        let params = IsolationForestParams {
            extension_level,
            ..IsolationForestParams::default()
        };
        let model = IForestModel::fit(&keys, &rows, D, &params.check().unwrap()).unwrap();
        measure(&format!("{name}_score"), ROWS, 0.0, || {
            model.score(black_box(&rows), D, &mut out).unwrap();
        });
    }

    // What the machine can do: a tuned matrix product of the shape of a k-means assignment.
    let k = 256;
    let a = ndarray::ArrayView2::from_shape((ROWS, D), &rows).unwrap();
    let b = ndarray::ArrayView2::from_shape((D, k), &rows[..k * D]).unwrap();
    measure("matrix_product_f32", ROWS, 2.0 * d * k as f64, || {
        black_box(a.dot(&b));
    });

    let centroids = Centroids::new(rows[..k * D].to_vec(), D).unwrap();
    let mut total = 0;
    measure("kmeans_assign", ROWS, 2.0 * d * k as f64, || {
        centroids.each_nearest(black_box(&rows), |_, near| total += near.0);
    });
    black_box(total);
    let params = KMeansParams {
        n_clusters: 64,
        n_init: 1,
        crowd_share: 1.0,
        ..KMeansParams::default()
    };
    let model = KMeansModel::fit(&rows[..8192 * D], D, &params.check().unwrap()).unwrap();
    measure("kmeans_score", ROWS, 2.0 * d * 64.0, || {
        model.score(black_box(&rows), D, &mut out).unwrap();
    });

    // The upper triangle: d²/2 multiplications and additions a row.
    measure("pca_moments", ROWS, d * d, || {
        let mut moments = Moments::new(D).unwrap();
        moments.add(black_box(&rows), D).unwrap();
        black_box(&moments);
    });
    let mut moments = Moments::new(D).unwrap();
    moments.add(&rows, D).unwrap();
    let params = PcaParams {
        n_components: Components::Count(50),
    };
    let model = PcaModel::fit(&moments, &params.check().unwrap()).unwrap();
    measure("pca_score", ROWS, 4.0 * d * 50.0, || {
        model.score(black_box(&rows), D, &mut out).unwrap();
    });

    if let Some(file) = file {
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        measure("cmd_template", lines.len(), 0.0, || {
            for line in &lines {
                black_box(template_hash(line));
            }
        });
        let mut corpus = DocumentFrequencies::new();
        measure("cmd_frequencies", lines.len(), 0.0, || {
            corpus = DocumentFrequencies::new();
            for line in &lines {
                corpus.add_line(line);
            }
        });
        let corpus = CorpusModel::from(corpus);
        let (mut featurizer, mut row) = (Featurizer::new(), vec![0.0; N_FEATURES]);
        let context = Context {
            image: Some(r"C:\Windows\System32\cmd.exe"),
            parent_image: Some(r"C:\Windows\explorer.exe"),
            original_file_name: Some("Cmd.Exe"),
            user_sid: Some("S-1-5-18"),
            integrity_level: Some("System"),
            signed: Some(true),
            signer_trusted: Some(true),
        };
        let mut features = |name, frequencies| {
            measure(name, lines.len(), 0.0, || {
                for line in &lines {
                    featurizer.compute(line, &context, frequencies, &mut row);
                    black_box(&row);
                }
            });
        };
        features("cmd_features_without_corpus", None);
        features("cmd_features", Some(&corpus));
    }
}
