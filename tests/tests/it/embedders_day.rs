//! Days by an embedder: the cache of vectors, runs that die or meet, a cluster.

use std::path::Path;
#[cfg(unix)]
use std::process::Stdio;

use crate::embedders::{Python, static_model, text_of, with_env};
use crate::processes::{Cluster, Setup};
use crate::support::{Dir, program, query, tree};

/// How many vectors the warehouse holds, of how many texts and embedders.
fn cached(warehouse: &str) -> (i64, i64, i64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT text_hash) AS t, count(DISTINCT embedder) AS e FROM embeddings";
    let row = &query(warehouse, sql)[0];
    let number = |name: &str| row[name].as_i64().unwrap();
    (number("n"), number("t"), number("e"))
}

#[test]
fn nothing_is_embedded_twice_and_the_vectors_decide() {
    let Some(python) = Python::find("a day by MiniLM") else {
        return;
    };
    let model = python.encoder(&["minilm"]);
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--days", "2"]);
    let run = |warehouse: &str, model: &Path, args: &[&str]| {
        let common = [
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
            "--warehouse",
            warehouse,
            "--quota",
            "5%",
        ];
        let embedder = ["--embedder", model.to_str().unwrap()];
        let output = python.gleaner(&[&common[..], &embedder, args].concat());
        text_of(&output, true);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warehouse = dir.join("warehouse");
    let said = run(&warehouse, &model, &["--to", "2025-01-02"]);
    assert_eq!(
        said.matches("texts that no day had yet").count(),
        2,
        "{said}"
    );
    let first = cached(&warehouse);
    assert_eq!((first.0, first.2), (first.1, 1));
    // Every anomaly's template has its vector, and nothing else has.
    let templates = query(
        &warehouse,
        "SELECT count(DISTINCT template) AS n FROM anomalies",
    )[0]["n"]
        .as_i64();
    assert_eq!(templates, Some(first.0));
    // What is covered by its cosine is that close.
    let sql = "SELECT count(*) AS n, min(c.cosine) AS least, max(abs(c.cosine - vec_cosine(a.vector, b.vector))) AS off \
               FROM candidates c JOIN candidates k ON k.hash = c.covered_by AND k.day = c.covered_day \
               JOIN embeddings a ON a.text_hash = c.template JOIN embeddings b ON b.text_hash = k.template \
               WHERE c.covered_how = 'cosine'";
    let near = &query(&warehouse, sql)[0];
    assert!(near["n"].as_i64().unwrap() > 0, "{near}");
    assert!(near["least"].as_f64().unwrap() >= 0.85, "{near}");
    assert!(near["off"].as_f64().unwrap() < 1e-5, "{near}");
    // Another threshold: another answer, from the same vectors.
    let said = run(
        &warehouse,
        &model,
        &["--to", "2025-01-02", "--cosine", "0.95"],
    );
    assert!(!said.contains("no day had yet"), "{said}");
    assert_eq!(cached(&warehouse), first);
    // The same files elsewhere are the same embedder; the cache knows its vectors.
    let copy = dir.path().join("copy");
    for file in tree(&model) {
        std::fs::create_dir_all(copy.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(model.join(&file), copy.join(&file)).unwrap();
    }
    let said = run(&warehouse, &copy, &["--to", "2025-01-02"]);
    assert!(!said.contains("no day had yet"), "{said}");
    // Another embedder has vectors of its own, of the history too.
    let other = static_model(&dir, "static");
    let said = run(&warehouse, Path::new(&other), &[]);
    assert!(said.contains("no day had yet"), "{said}");
    let after = cached(&warehouse);
    assert_eq!(after.2, 2);
    assert!(after.0 > first.0);
}

/// Starts a day by a static model, with a fault.
#[cfg(unix)]
fn faulty(dir: &Dir, args: [&str; 3], fault: &str, fired: &str) -> std::process::Child {
    let [telemetry, warehouse, model] = args;
    let mut command = program("gleaner");
    command
        .env("GLEANER_FAULT", fault)
        .env("GLEANER_FAULT_FIRED", dir.join(fired));
    command.args(["--", "run", "--date", "2025-01-01", "--quota", "5%"]);
    command.args([
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
        "--embedder",
        model,
    ]);
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

#[test]
#[cfg(unix)]
fn a_run_that_dies_keeps_what_it_has_embedded_and_two_at_once_agree() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "1500"]);
    let model = static_model(&dir, "model");
    let run = |warehouse: &str| {
        let common = [
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
            "--warehouse",
            warehouse,
            "--quota",
            "5%",
        ];
        let output = with_env(&[], &[&common[..], &["--embedder", &model]].concat());
        text_of(&output, true);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let digests = |warehouse: &str| {
        query(
            warehouse,
            "SELECT stage, digest FROM runs WHERE stage <> 'telemetry' ORDER BY stage",
        )
    };
    let undisturbed = dir.join("undisturbed");
    assert!(run(&undisturbed).contains("no day had yet"));

    let killed = dir.join("killed");
    let args = [telemetry.as_str(), &killed, &model];
    let died = faulty(&dir, args, "embeddings.appended=kill", "killed-fired")
        .wait_with_output()
        .unwrap();
    assert!(!died.status.success() && dir.path().join("killed-fired.0").exists());
    assert!(!run(&killed).contains("no day had yet"));
    assert_eq!(digests(&killed), digests(&undisturbed));

    // Both find nothing in the cache and embed everything: each text is there twice, and counts once.
    let both = dir.join("both");
    let args = [telemetry.as_str(), &both, &model];
    let started =
        ["first", "second"].map(|name| faulty(&dir, args, "embeddings.written=sleep:6000", name));
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(dir.path().join("first.0").exists() && dir.path().join("second.0").exists());
    let (vectors, texts, _) = cached(&both);
    assert_eq!(vectors, 2 * texts);
    assert_eq!(digests(&both), digests(&undisturbed));
    let common = [
        "run",
        "--date",
        "2025-01-01",
        "--telemetry",
        &telemetry,
        "--quota",
        "5%",
        "--cosine",
        "0.9",
    ];
    for warehouse in [&both, &undisturbed] {
        text_of(
            &with_env(
                &[],
                &[
                    &common[..],
                    &["--warehouse", warehouse, "--embedder", &model],
                ]
                .concat(),
            ),
            true,
        );
    }
    assert_eq!(digests(&both), digests(&undisturbed));
}

#[test]
fn a_cluster_embeds_as_this_process_does() {
    let Some(python) = Python::find("a cluster with MiniLM") else {
        return;
    };
    let model = python.encoder(&["minilm"]);
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000"]);
    let (here, there) = (dir.join("here"), dir.join("there"));
    let run = |warehouse: &str, args: &[&str]| {
        let common = [
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
            "--warehouse",
            warehouse,
            "--quota",
            "5%",
        ];
        let embedder = ["--embedder", model.to_str().unwrap()];
        python.succeeds(&[&common[..], &embedder, args].concat())
    };
    run(&here, &[]);
    let setup = Setup {
        executor_env: vec![("GLEANER_ONNXRUNTIME".to_owned(), python.runtime.clone())],
        directories: [
            Setup::default().directories,
            vec![model.to_string_lossy().into_owned()],
        ]
        .concat(),
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    run(&there, &["--cluster", &cluster.url]);
    let digests = "SELECT stage, digest FROM runs ORDER BY stage";
    assert_eq!(query(&there, digests), query(&here, digests));
    let vectors = "SELECT text_hash, vector FROM embeddings ORDER BY text_hash";
    let found = query(&there, vectors);
    assert!(found.len() > 50);
    assert_eq!(found, query(&here, vectors));
    // `embed` of a user's own query runs on the executors, by the client's choice.
    let sql = "SELECT max(abs(vec_cosine(embed(cmd_comparable(a.command_line)), e.vector) - 1)) < 0.00001 AS same \
               FROM anomalies a JOIN embeddings e ON e.text_hash = a.template";
    let embedder = ["--embedder", model.to_str().unwrap()];
    let args = [
        "sql",
        "--json",
        "--cluster",
        &cluster.url,
        "--warehouse",
        &there,
        sql,
    ];
    let out = python.succeeds(&[&args[..], &embedder].concat());
    assert_eq!(out.trim(), r#"{"same":true}"#);
}
