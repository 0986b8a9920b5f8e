//! The detectors against labelled sets, published figures and scikit-learn: sets in `GLEANER_DATA`, or
//! `../shared/data`, below `outliers`; scikit-learn in the interpreter that `GLEANER_PYTHON` names.

use std::path::{Path, PathBuf};
use std::process::Command;

use gleaner_udfs::dbscan::{DbscanModel, DbscanParams};
use gleaner_udfs::kmeans::{KMeansModel, KMeansParams};
use gleaner_udfs::metrics::{Evaluated, outlier_scores, rank_correlation};
use gleaner_udfs::ocsvm::{OneClassSvmModel, OneClassSvmParams};
use gleaner_udfs::pca::{Components, Moments, PcaModel, PcaParams};
use serde_json::Value;

use crate::support::{Dir, fails, skip, succeeds};

/// Sets of which ten seeds take seconds.
const SMALL: [&str; 6] = [
    "annthyroid",
    "breastw",
    "cardio",
    "mammography",
    "pima",
    "satellite",
];

/// AUROC of `linkedin/isolation-forest`, its README: standard and fully extended, each with its standard error.
const PUBLISHED: [(&str, [(f64, f64); 2]); 9] = [
    ("annthyroid", [(0.813, 0.004), (0.646, 0.002)]),
    ("breastw", [(0.9864, 0.0003), (0.9835, 0.0004)]),
    ("cardio", [(0.928, 0.002), (0.933, 0.002)]),
    ("forest_cover", [(0.882, 0.006), (0.688, 0.008)]),
    ("http_kddcup99", [(0.9997, 0.0001), (0.9941, 0.0001)]),
    ("mammography", [(0.8649, 0.0015), (0.863, 0.001)]),
    ("pima", [(0.668, 0.004), (0.644, 0.003)]),
    ("satellite", [(0.717, 0.008), (0.725, 0.003)]),
    ("shuttle", [(0.9971, 0.0002), (0.9934, 0.0002)]),
];

fn sets() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, PathBuf::from);
    let sets = data.join("outliers");
    sets.join("annthyroid.parquet").is_file().then_some(sets)
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The standard forest stays within two standard errors of the difference, on every set. The extended one within
/// three: of nine differences two exceed two errors, upwards (annthyroid and mammography), where the code of its authors is
/// higher than the published figures too.
fn compare_with_published(reports: &[Value]) {
    for (set, published) in PUBLISHED {
        for ((detector, allowed), (mean, sem)) in [("iforest", 2.0), ("iforest_extended", 3.0)]
            .into_iter()
            .zip(published)
        {
            let Some(report) = reports
                .iter()
                .find(|r| r["set"] == set && r["detector"] == detector)
            else {
                continue;
            };
            let ours = report["auroc"].as_f64().unwrap();
            let error = report["auroc_sem"].as_f64().unwrap().hypot(sem);
            let apart = (ours - mean) / error;
            println!("{set} {detector}: {ours:.4}, published {mean}: {apart:+.2} standard errors");
            assert!(apart.abs() < allowed, "{set} {detector}: {ours} {mean}");
        }
    }
}

fn set_file(dir: &Dir, name: &str, select: &str) {
    std::fs::create_dir_all(dir.path().join("sets")).unwrap();
    let file = dir.join(&format!("sets/{name}.parquet"));
    succeeds(&[
        "sql",
        &format!("COPY ({select}) TO '{file}' STORED AS PARQUET"),
    ]);
}

#[test]
fn every_file_of_a_folder_is_scored_by_every_detector() {
    let dir = Dir::new();
    // 2000 rows, every hundredth far out in f1, one value missing.
    let rows = "SELECT CASE WHEN i = 7 THEN NULL ELSE sin(i) END AS f0, \
                cos(i) + CASE WHEN i % 100 = 0 THEN 9 ELSE 0 END AS f1, 4 AS f2, i % 100 = 0 AS is_outlier \
                FROM (SELECT unnest(range(0, 2000)) AS i)";
    set_file(&dir, "far", rows);
    set_file(&dir, "again", rows);
    let sets = dir.join("sets");
    let json = succeeds(&["evaluate", "outliers", &sets, "--seeds", "2", "--json"]);
    let reports = objects(&json);
    assert_eq!(reports.len(), 14, "{json}");
    for report in &reports {
        assert_eq!(
            (&report["rows"], &report["features"]),
            (&2000.into(), &3.into())
        );
        let (auroc, auprc) = (
            report["auroc"].as_f64().unwrap(),
            report["auprc"].as_f64().unwrap(),
        );
        assert!(auroc > 0.8 && auprc > 0.5, "{report}");
        assert!(report["auroc_sem"].as_f64().unwrap() >= 0.0);
    }
    let name = |r: &Value| {
        format!(
            "{} {}",
            r["set"].as_str().unwrap(),
            r["detector"].as_str().unwrap()
        )
    };
    let names: Vec<String> = reports.iter().map(name).collect();
    assert_eq!(
        names[..8],
        [
            "again iforest",
            "again iforest_extended",
            "again kmeans",
            "again pca",
            "again dbscan",
            "again ocsvm",
            "again autoencoder",
            "far iforest"
        ]
    );
    // The same set, the same seeds, the same figures; and a table for people.
    assert_eq!(reports[0]["auroc"], reports[7]["auroc"]);
    let table = succeeds(&["evaluate", "outliers", &sets, "--seeds", "1"]);
    assert!(
        table.lines().count() == 15 && table.contains("iforest_extended"),
        "{table}"
    );
    assert!(table.lines().next().unwrap().contains("auprc"), "{table}");
}

#[test]
fn a_folder_that_holds_no_labelled_set_is_refused_by_name() {
    let dir = Dir::new();
    let evaluate = |folder: &str| fails(&["evaluate", "outliers", folder]);
    let none = evaluate(&dir.join("nowhere"));
    assert!(none.contains("nowhere"), "{none}");
    std::fs::create_dir_all(dir.path().join("sets")).unwrap();
    let sets = dir.join("sets");
    assert!(evaluate(&sets).contains("no Parquet file"));
    for (select, complaint) in [
        ("SELECT 1.5 AS f0", "no column is_outlier"),
        (
            "SELECT 1.5 AS f0, 2.5 AS f2, true AS is_outlier",
            "no column f1",
        ),
        ("SELECT true AS is_outlier", "no column f0"),
        ("SELECT 'x' AS f0, true AS is_outlier", "column f0 is Utf8"),
        (
            "SELECT 1.5 AS f0, 'no' AS is_outlier",
            "column is_outlier is Utf8",
        ),
        (
            "SELECT 1.5 AS f0, true AS is_outlier",
            "1 of 1 rows are outliers",
        ),
        (
            "SELECT 1.5 AS f0, CAST(NULL AS BOOLEAN) AS is_outlier",
            "is_outlier is NULL",
        ),
    ] {
        set_file(&dir, "wrong", select);
        let said = evaluate(&sets);
        assert!(
            said.contains(complaint) && said.contains("wrong.parquet"),
            "{complaint}: {said}"
        );
        assert!(said.contains("f0, f1"), "says what is expected: {said}");
    }
    dir.write("sets/wrong.parquet", "no Parquet");
    assert!(evaluate(&sets).contains("not a Parquet file"));
}

#[test]
fn forests_rank_outliers_as_published_on_the_small_sets() {
    let Some(sets) = sets() else {
        return skip("no outlier sets: set GLEANER_DATA");
    };
    let dir = Dir::new();
    for name in SMALL {
        let file = format!("{name}.parquet");
        std::fs::create_dir_all(dir.path().join("sets")).unwrap();
        std::fs::copy(sets.join(&file), dir.path().join("sets").join(&file)).unwrap();
    }
    let reports = objects(&succeeds(&[
        "evaluate",
        "outliers",
        &dir.join("sets"),
        "--json",
    ]));
    assert_eq!(reports.len(), 7 * SMALL.len());
    compare_with_published(&reports);
}

#[test]
#[ignore = "long: 10 seeds on up to 567,498 rows, minutes; cargo test --workspace --test it detectors:: -- --ignored"]
fn forests_rank_outliers_as_published_on_all_nine_sets() {
    let Some(sets) = sets() else {
        return skip("no outlier sets: set GLEANER_DATA");
    };
    let sets = sets.to_string_lossy().into_owned();
    let reports = objects(&succeeds(&["evaluate", "outliers", &sets, "--json"]));
    assert_eq!(reports.len(), 63);
    compare_with_published(&reports);
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let (numbers, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    numbers.iter().map(|n| f32::from_le_bytes(*n)).collect()
}

/// The features of made lines, as a file.
fn lines_features(dir: &Dir) -> PathBuf {
    let telemetry = dir.synth("telemetry", &["--lines", "6000"]);
    let file = dir.join("lines.parquet");
    let sql = format!(
        "COPY (SELECT cmd_features(command_line) AS features FROM (SELECT DISTINCT command_line \
         FROM '{telemetry}/day=2025-01-01/part-00000.parquet' ORDER BY 1)) TO '{file}' STORED AS PARQUET"
    );
    succeeds(&["sql", &sql]);
    PathBuf::from(file)
}

fn dbscan_calls_the_same_rows_noise(
    set: &str,
    rows: &[f32],
    d: usize,
    theirs: &Value,
    noise: &[f32],
) {
    #[expect(clippy::cast_possible_truncation, reason = "it was written as f32")]
    let params = DbscanParams {
        eps: Some(theirs["eps"].as_f64().unwrap() as f32),
        ..DbscanParams::default()
    };
    let model = DbscanModel::fit(rows, d, &params.check().unwrap()).unwrap();
    let mut scores = vec![0.0; noise.len()];
    model.score(rows, d, &mut scores).unwrap();
    let other = scores
        .iter()
        .zip(noise)
        .filter(|(s, n)| (**s > 1.0) != (**n > 0.5))
        .count();
    println!(
        "{set}: {} of {} rows are noise, {other} labelled otherwise than by scikit-learn",
        model.noise(),
        noise.len()
    );
    assert_eq!(other, 0, "{set}");
    assert!(model.noise() > 0);
}

fn the_one_class_svm_decides_alike(set: &str, rows: &[f32], d: usize, decisions: &[f32]) {
    let params = OneClassSvmParams {
        tol: 1e-6,
        ..OneClassSvmParams::default()
    };
    let model = OneClassSvmModel::fit(rows, d, &params.check().unwrap()).unwrap();
    let mut scores = vec![0.0; decisions.len()];
    model.score(rows, d, &mut scores).unwrap();
    let apart = scores
        .iter()
        .zip(decisions)
        .map(|(ours, theirs)| (ours + theirs).abs());
    let apart = apart.fold(0.0_f32, f32::max);
    println!("{set}: decisions of the one-class SVM at most {apart:.1e} apart");
    assert!(apart < 1e-3, "{set}: {apart}");
}

#[test]
fn forest_pca_kmeans_dbscan_and_one_class_svm_agree_with_scikit_learn() {
    let (Some(sets), Some(python)) = (sets(), std::env::var_os("GLEANER_PYTHON")) else {
        return skip(
            "scikit-learn: GLEANER_PYTHON names no interpreter, or there are no outlier sets",
        );
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/outliers.py");
    let lines = Dir::new();
    let features = lines_features(&lines);
    let of_set = |set: &str| sets.join(format!("{set}.parquet"));
    for set in [
        "annthyroid",
        "breastw",
        "cardio",
        "pima",
        "satellite",
        "lines",
    ] {
        let dir = Dir::new();
        let file = if set == "lines" {
            features.clone()
        } else {
            of_set(set)
        };
        let output = Command::new(&python)
            .arg(&script)
            .args([&file, &dir.path().to_owned()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("No module named 'sklearn'") || said.contains("No module named 'pyarrow'")
        {
            return skip(
                "GLEANER_PYTHON has no scikit-learn: pip install -r tests/readers/requirements.txt",
            );
        }
        assert!(output.status.success(), "{said}");
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let d = theirs["features"].as_u64().unwrap() as usize;
        let read = |name: &str| floats(&dir.path().join(name));
        let (rows, scaled) = (read("rows.f32"), read("scaled.f32"));

        // Forest: as like each seed of theirs as those are like each other; on average, since pairs differ by 0.01.
        let theirs_scores: Vec<_> = (1..=5)
            .map(|seed| read(&format!("forest{seed}.f32")))
            .collect();
        let mut among = vec![];
        let mut ours = vec![];
        for (place, first) in theirs_scores.iter().enumerate() {
            for second in &theirs_scores[..place] {
                among.push(rank_correlation(first, second).unwrap());
            }
        }
        for seed in 1..=5 {
            let scores = outlier_scores(&rows, d, Evaluated::IsolationForest, seed).unwrap();
            for theirs in &theirs_scores {
                ours.push(rank_correlation(&scores, theirs).unwrap());
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mean, among) = (mean(&ours), mean(&among));
        println!("{set}: rank correlation {mean:.4}, among seeds of scikit-learn {among:.4}");
        assert!(mean > among - 0.01, "{set}: {mean} {among}");

        // PCA: the same components kept, the same errors.
        let mut moments = Moments::new(d).unwrap();
        moments.add(&scaled, d).unwrap();
        let params = PcaParams {
            n_components: Components::Share(0.95),
        };
        let pca = PcaModel::fit(&moments, &params.check().unwrap()).unwrap();
        assert_eq!(
            pca.n_components() as u64,
            theirs["components"].as_u64().unwrap(),
            "{set}"
        );
        let mut errors = vec![0.0; scaled.len() / d];
        pca.score(&scaled, d, &mut errors).unwrap();
        for (ours, theirs) in errors.iter().zip(read("pca.f32")) {
            assert!(
                (ours - theirs).abs() < 1e-4 * theirs.max(1.0),
                "{set}: {ours} {theirs}"
            );
        }

        dbscan_calls_the_same_rows_noise(set, &scaled, d, &theirs, &read("noise.f32"));
        the_one_class_svm_decides_alike(set, &scaled, d, &read("ocsvm.f32"));

        // k-means: inertia within 2% of the best of ten runs.
        for k in [8, 32] {
            let params = KMeansParams {
                n_clusters: k,
                ..KMeansParams::default()
            };
            let model = KMeansModel::fit(&scaled, d, &params.check().unwrap()).unwrap();
            let best = theirs["inertia"][k.to_string()].as_f64().unwrap();
            let ratio = model.inertia() / best;
            println!("{set}: inertia with {k} clusters {ratio:.4} of scikit-learn's best of ten");
            // Measured: at most 1.003 (1.021 before local search).
            assert!(ratio < 1.02, "{set} {k}: {ratio}");
        }
    }
}
