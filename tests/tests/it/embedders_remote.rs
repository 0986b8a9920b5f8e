//! Embedders behind a network: an OpenAI-compatible endpoint and the hub, both on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::embedders::{static_model, text_of, with_env};
use crate::processes::{Cluster, Setup};
use crate::s3;
use crate::support::{Dir, number, query};

/// What was asked: path, headers by lower-case name, body.
type Asked = (String, BTreeMap<String, String>, String);
/// What is answered: status line after the version, headers, body.
type Answer = (&'static str, Vec<(&'static str, String)>, Vec<u8>);

/// A server on loopback; its thread ends with the process.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, answer.as_ref()));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked, usize) -> Answer + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = (path, headers, String::from_utf8(body).unwrap());
    let n = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len()
    };
    let (status, headers, body) = answer(&asked, n);
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        let value: &str = value.as_ref();
        head.extend([name, ": ", value, "\r\n"]);
    }
    let mut stream = stream;
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&body);
}

/// A vector of letters' counts, of no particular length; the data in the reverse order.
fn embeddings(asked: &Asked) -> Answer {
    let body: Value = serde_json::from_str(&asked.2).unwrap();
    assert_eq!(
        (body["model"].as_str(), asked.0.as_str()),
        (Some("letters"), "/v1/embeddings")
    );
    let vector = |text: &str| -> Vec<f64> {
        let count = |c: char| text.chars().filter(|x| *x == c).count() as f64;
        ('a'..='h').map(|c| 0.5 + 2.0 * count(c)).collect()
    };
    let texts = body["input"].as_array().unwrap().iter().enumerate();
    let mut data: Vec<Value> = texts
        .map(|(i, text)| json!({ "object": "embedding", "index": i, "embedding": vector(text.as_str().unwrap()) }))
        .collect();
    data.reverse();
    let json = json!({ "object": "list", "data": data, "model": "letters", "usage": { "prompt_tokens": 1, "total_tokens": 1 } });
    (
        "200 OK",
        vec![("Content-Type", "application/json".to_owned())],
        json.to_string().into_bytes(),
    )
}

#[test]
fn an_endpoint_embeds_with_its_key_and_is_asked_again_when_it_stumbles() {
    let server = Server::start(|asked, n| match n {
        2 => ("503 Service Unavailable", vec![], b"{}".to_vec()),
        3 => (
            "429 Too Many Requests",
            vec![("Retry-After", "0".to_owned())],
            vec![],
        ),
        _ => embeddings(asked),
    });
    let embedder = format!("{}/v1#letters", server.url);
    let key = [("GLEANER_EMBEDDER_API_KEY", "sk-secret")];
    let sql =
        "SELECT embed(text) AS v FROM (VALUES (1, 'ab'), (2, 'xyz')) AS t (i, text) ORDER BY i";
    let out = text_of(
        &with_env(&key, &["sql", "--json", "--embedder", &embedder, sql]),
        true,
    );
    let rows: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    // (2.5, 2.5, 0.5 × 6) and (0.5 × 8), scaled to length 1.
    let near = |x: &Value, wanted: f64| (x.as_f64().unwrap() - wanted).abs() < 1e-6;
    assert!(
        near(&rows[0]["v"][0], 2.5 / 14.0_f64.sqrt())
            && near(&rows[0]["v"][7], 0.5 / 14.0_f64.sqrt()),
        "{out}"
    );
    assert!(near(&rows[1]["v"][3], 1.0 / 8.0_f64.sqrt()), "{out}");
    let asked = server.asked();
    assert!(asked.len() >= 4, "{asked:?}");
    assert!(
        asked
            .iter()
            .all(|(_, headers, _)| headers["authorization"] == "Bearer sk-secret")
    );
}

#[test]
fn an_endpoint_that_refuses_is_told_without_text_or_key() {
    let refuses = |status: &'static str, body: &'static str, hint: &str| {
        let server = Server::start(move |_, _| (status, vec![], body.as_bytes().to_vec()));
        let embedder = format!("{}/v1#letters", server.url);
        let key = [("GLEANER_EMBEDDER_API_KEY", "sk-secret")];
        let args = [
            "sql",
            "--embedder",
            &embedder,
            "SELECT embed('my-password-1')",
        ];
        let said = text_of(&with_env(&key, &args), false);
        assert!(said.contains(hint), "{said}");
        assert!(
            !said.contains("my-password-1") && !said.contains("sk-secret"),
            "{said}"
        );
        assert_eq!(
            server.asked().len(),
            1,
            "what will not change is not asked again"
        );
    };
    refuses(
        "401 Unauthorized",
        r#"{"error": "my-password-1"}"#,
        "GLEANER_EMBEDDER_API_KEY",
    );
    refuses("404 Not Found", "", "the model's name after #");
    refuses(
        "200 OK",
        r#"{"error": "my-password-1"}"#,
        "not an answer of the OpenAI embeddings API",
    );
    refuses("200 OK", r#"{"data": []}"#, "one finite vector a text");
}

#[test]
fn executors_ask_only_endpoints_that_they_were_given() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "1000"]);
    let server = Server::start(|asked, _| embeddings(asked));
    let base = format!("{}/v1", server.url);
    let embedder = format!("{base}#letters");
    let run = |cluster: &Cluster, warehouse: &str| {
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
        with_env(
            &[],
            &[
                &common[..],
                &["--embedder", &embedder, "--cluster", &cluster.url],
            ]
            .concat(),
        )
    };
    let cluster = Cluster::start(&dir, Setup::default());
    let said = text_of(&run(&cluster, &dir.join("refused")), false);
    assert!(
        said.contains("is not allowed here") && said.contains("GLEANER_EMBED_ENDPOINTS"),
        "{said}"
    );
    drop(cluster);
    let setup = Setup {
        executor_env: vec![("GLEANER_EMBED_ENDPOINTS".to_owned(), base.clone())],
        ..Setup::default()
    };
    let dir = Dir::new();
    let cluster = Cluster::start(&dir, setup);
    let warehouse = dir.join("warehouse");
    text_of(&run(&cluster, &warehouse), true);
    let names = query(&warehouse, "SELECT DISTINCT embedder FROM embeddings");
    assert_eq!(
        names,
        [json!({ "embedder": format!("endpoint:{embedder}") })]
    );
    assert!(number(&warehouse, "SELECT count(*) FROM embeddings") > 20);
}

#[test]
fn a_model_in_a_bucket_is_the_model_on_disk() {
    let Some(server) = s3::server() else { return };
    let (dir, env) = (Dir::new(), s3::env(&server));
    let model = static_model(&dir, "model");
    server.upload(model.as_ref(), "models/static");
    let bucket = "s3://gleaner/models/static";
    let name = |embedder: &str| {
        let said = s3::well(&env, &["doctor", "--embedder", embedder]);
        said.split("address: ")
            .nth(1)
            .unwrap()
            .split('@')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(name(bucket), name(&model));
    let (good, out, _) = s3::gleaner(&env, &["doctor", "--embedder", "s3://gleaner/models/none"]);
    assert!(!good && out.contains("no model.onnx"), "{out}");
    // The cache of a warehouse in a bucket: appended to, and used by the next run.
    let telemetry = dir.synth("telemetry", &["--lines", "1500"]);
    let run = |embedder: &str, cosine: &str| {
        let common = [
            "run",
            "--date",
            s3::DAY,
            "--telemetry",
            &telemetry,
            "--warehouse",
            "s3://gleaner/warehouse",
            "--quota",
            "5%",
        ];
        let (good, _, err) = s3::gleaner(
            &env,
            &[&common[..], &["--embedder", embedder, "--cosine", cosine]].concat(),
        );
        assert!(good, "{err}");
        err
    };
    assert!(run(bucket, "0.85").contains("texts that no day had yet"));
    assert!(!run(&model, "0.9").contains("no day had yet"));
    let sql = "SELECT count(*) - count(DISTINCT text_hash) AS n FROM embeddings";
    let out = s3::well(
        &env,
        &[
            "sql",
            "--json",
            "--warehouse",
            "s3://gleaner/warehouse",
            sql,
        ],
    );
    assert_eq!(out.trim(), r#"{"n":0}"#);
}

#[test]
fn a_model_comes_from_the_hub_whole_or_not_at_all() {
    let server = Server::start(|(path, headers, _), _| {
        let graph = b"the graph".to_vec();
        let missing = || ("404 Not Found", vec![], b"Entry not found".to_vec());
        let Some(file) = path.split("/resolve/main/").nth(1) else {
            // Where large files lie: nobody's token goes there.
            assert!(!headers.contains_key("authorization"));
            return (
                "200 OK",
                vec![],
                if path == "/cdn/good" {
                    graph
                } else {
                    b"the grapf".to_vec()
                },
            );
        };
        assert_eq!(headers["authorization"], "Bearer hf_secret");
        let cdn = |name: &str| {
            let sha = gleaner_udfs::model_cache::sha256(b"the graph");
            let headers = vec![
                ("Location", format!("/cdn/{name}")),
                ("X-Linked-ETag", format!("\"{sha}\"")),
            ];
            ("302 Found", headers, vec![])
        };
        match (path.split('/').nth(1).unwrap(), file) {
            ("good", "onnx/model.onnx") => cdn("good"),
            ("damaged", "onnx/model.onnx") => cdn("damaged"),
            ("good" | "damaged", "tokenizer.json" | "1_Pooling/config.json") => {
                ("200 OK", vec![], b"{}".to_vec())
            }
            _ => missing(),
        }
    });
    let dir = Dir::new();
    let env = [
        ("HF_ENDPOINT", server.url.as_str()),
        ("HF_TOKEN", "hf_secret"),
    ];
    let get = |name: &str, to: &str| {
        with_env(
            &env,
            &["embedder", &format!("{name}/encoder"), &dir.join(to)],
        )
    };
    let said = text_of(&get("good", "good"), true);
    assert!(said.contains("gleaner doctor --embedder"), "{said}");
    assert_eq!(
        std::fs::read(dir.join("good/onnx/model.onnx")).unwrap(),
        b"the graph"
    );
    assert!(dir.path().join("good/1_Pooling/config.json").is_file());
    assert!(!dir.path().join("good/config.json").exists());
    let said = text_of(&get("damaged", "damaged"), false);
    assert!(said.contains("arrived damaged"), "{said}");
    assert!(!dir.path().join("damaged/onnx/model.onnx").exists());
    let said = text_of(&get("none", "none"), false);
    assert!(
        said.contains("no onnx/model.onnx") && said.contains("optimum-cli"),
        "{said}"
    );
    let said = text_of(&get("good", "good"), false);
    assert!(said.contains("is not empty"), "{said}");
    let gone = [("HF_ENDPOINT", "http://127.0.0.1:1")];
    let said = text_of(
        &with_env(&gone, &["embedder", "a/b", &dir.join("gone")]),
        false,
    );
    assert!(said.contains("where the hub cannot be reached"), "{said}");
    let said = text_of(
        &with_env(&env, &["embedder", "../b", &dir.join("gone")]),
        false,
    );
    assert!(said.contains("expected OWNER/NAME"), "{said}");
}
