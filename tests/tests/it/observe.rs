//! What an operator sees: metrics and health of all three programs, logs as JSON, spans at a collector.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::Value;

use crate::processes::{Cluster, Setup, free_port, listening};
use crate::support::{Dir, program, skip, status, succeeds};

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Status code and body of a path.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Waits until a path answers with `code`; returns what it says.
pub fn until(address: SocketAddr, path: &str, code: u16) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = get(address, path);
        if let Some((_, body)) = answer.clone().filter(|(got, _)| *got == code) {
            return body;
        }
        assert!(
            Instant::now() < deadline,
            "{address}{path}: {answer:?} instead of {code}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The value of each series, by its name and labels as they are written.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Reads metrics with Prometheus' own client.
fn parsed_strictly(texts: &[&str]) {
    let Some(python) = python("metrics by a strict parser", "prometheus_client") else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("operate/metrics.py");
    for text in texts {
        let mut child = Command::new(&python)
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{text}");
        assert!(output.stdout.ends_with(b"samples\n"));
    }
}

/// An interpreter beside which the packages of `tests/operate/requirements.txt` are; `None`, said loudly, when there is none.
pub fn python(what: &str, module: &str) -> Option<std::ffi::OsString> {
    let Some(interpreter) = std::env::var_os("GLEANER_PYTHON") else {
        skip(&format!("{what}: GLEANER_PYTHON names no interpreter"));
        return None;
    };
    let import = Command::new(&interpreter)
        .args(["-c", &format!("import {module}")])
        .output();
    if !import.unwrap().status.success() {
        skip(&format!(
            "{what}: no packages of tests/operate/requirements.txt beside GLEANER_PYTHON"
        ));
        return None;
    }
    Some(interpreter)
}

#[test]
fn metrics_of_all_three_programs_say_what_a_day_on_a_cluster_did() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000"]);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let warehouse = dir.join("warehouse");
    let (scheduler, executor, serve) = (loopback(), loopback(), loopback());
    let setup = Setup {
        executors: 0,
        executor_args: vec!["--metrics".to_owned(), executor.to_string()],
        env: vec![("GLEANER_METRICS".to_owned(), scheduler.to_string())],
        ..Setup::default()
    };
    // No executor yet: the scheduler is alive, and not ready.
    let mut cluster = Cluster::start(&dir, setup);
    assert_eq!(until(scheduler, "/healthz", 200), "ok\n");
    assert_eq!(until(scheduler, "/readyz", 503), "no executor is alive\n");
    cluster.setup.env.clear();
    cluster.add_executor();
    until(scheduler, "/readyz", 200);
    until(executor, "/readyz", 200);

    let listen = loopback();
    let mut server = Process(
        program("gleaner")
            .args([
                "--",
                "serve",
                "--listen",
                &listen.to_string(),
                "--metrics",
                &serve.to_string(),
            ])
            .args([
                "--cluster",
                &cluster.url,
                "--telemetry",
                &telemetry,
                "--warehouse",
                &warehouse,
            ])
            .stderr(std::fs::File::create(dir.join("serve.log")).unwrap())
            .spawn()
            .unwrap(),
    );
    listening(listen, &mut server.0);
    until(serve, "/readyz", 200);
    let before = series(&get(serve, "/metrics").unwrap().1);
    assert_eq!(before["gleaner_days_total{outcome=\"published\"}"], 0.0);
    assert_eq!(before["gleaner_last_day_timestamp_seconds"], 0.0);
    succeeds(&[
        "submit",
        "--server",
        &format!("http://{listen}"),
        "--date",
        "2025-01-01",
    ]);

    let texts = [scheduler, executor, serve].map(|address| get(address, "/metrics").unwrap().1);
    let [of_scheduler, of_executor, of_serve] = [0, 1, 2].map(|n: usize| series(&texts[n]));
    // Every stage's accounts are those of the warehouse.
    for stage in status(&warehouse, "2025-01-01")["stages"]
        .as_array()
        .unwrap()
    {
        let name = stage["stage"].as_str().unwrap();
        let of = |metric: &str| of_serve[&format!("gleaner_stage_{metric}{{stage=\"{name}\"}}")];
        assert_eq!(
            of("rows_read_total"),
            stage["rows_in"].as_f64().unwrap(),
            "{name}"
        );
        assert_eq!(
            of("bytes_total"),
            stage["bytes"].as_f64().unwrap(),
            "{name}"
        );
        assert_eq!(of("seconds_count"), 1.0, "{name}");
        for outcome in ["kept", "quarantined", "dropped"] {
            let metric =
                format!("gleaner_stage_rows_total{{stage=\"{name}\",outcome=\"{outcome}\"}}");
            let rows = stage[format!("rows_{outcome}")].as_f64().unwrap();
            assert_eq!(of_serve[&metric], rows, "{metric}");
        }
    }
    assert_eq!(
        of_serve["gleaner_stage_rows_total{stage=\"telemetry\",outcome=\"quarantined\"}"],
        1.0
    );
    assert_eq!(of_serve["gleaner_days_total{outcome=\"published\"}"], 1.0);
    // The end of 2025-01-01.
    assert_eq!(
        of_serve["gleaner_last_day_timestamp_seconds"],
        1_735_776_000.0
    );
    assert!(of_serve["gleaner_detector_lines_total{detector=\"iforest\"}"] > 0.0);
    assert_eq!(of_serve["gleaner_jobs{state=\"running\"}"], 0.0);
    // What the driver counts as tasks, the cluster has run: its jobs have one task each.
    let tasks = of_serve["gleaner_tasks_total{outcome=\"succeeded\"}"];
    assert!(tasks > 10.0);
    assert_eq!(
        of_scheduler["gleaner_scheduler_jobs_ended_total{outcome=\"succeeded\"}"],
        tasks
    );
    assert_eq!(
        of_executor["gleaner_executor_tasks_total{outcome=\"succeeded\"}"],
        tasks
    );
    assert_eq!(
        of_executor["gleaner_executor_task_seconds_count{outcome=\"succeeded\"}"],
        tasks
    );
    assert_eq!(of_scheduler["gleaner_scheduler_executors"], 1.0);
    // The telemetry was read once, and all that was committed was written by the executor, and staged files beside it.
    let read = of_serve["gleaner_stage_rows_read_total{stage=\"telemetry\"}"];
    assert!(of_executor["gleaner_executor_rows_read_total"] >= read);
    let committed: f64 = of_serve
        .iter()
        .filter(|(name, _)| name.starts_with("gleaner_stage_bytes_total"))
        .map(|(_, bytes)| bytes)
        .sum();
    assert!(of_executor["gleaner_executor_bytes_written_total"] >= committed);
    assert!(of_executor["gleaner_executor_rows_written_total"] > 0.0);
    assert!(of_executor["gleaner_executor_bytes_read_total"] > 0.0);
    assert_eq!(of_executor["gleaner_executor_slots"], 1.0);
    assert_eq!(of_executor["gleaner_executor_slots_in_use"], 0.0);
    for process in [&of_scheduler, &of_executor, &of_serve] {
        assert!(process["process_resident_memory_bytes"] > 1e6);
        assert!(process["process_cpu_seconds_total"] > 0.0);
    }
    parsed_strictly(&[&texts[0], &texts[1], &texts[2]]);

    // Whoever else asks learns nothing, and an executor whose scheduler is gone is alive and not ready.
    assert_eq!(get(serve, "/").unwrap().0, 404);
    let _ = cluster.scheduler.kill();
    let _ = cluster.scheduler.wait();
    assert_eq!(
        until(executor, "/readyz", 503),
        "the scheduler's port does not answer\n"
    );
    assert_eq!(get(executor, "/healthz").unwrap().0, 200);
}

#[test]
fn a_failed_day_and_a_day_without_events_are_counted_as_what_they_are() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let (listen, metrics) = (loopback(), loopback());
    let mut server = Process(
        program("gleaner")
            .args([
                "--",
                "serve",
                "--listen",
                &listen.to_string(),
                "--metrics",
                &metrics.to_string(),
            ])
            .args([
                "--telemetry",
                &telemetry,
                "--warehouse",
                &dir.join("warehouse"),
                "--retries",
                "0",
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    listening(listen, &mut server.0);
    until(metrics, "/readyz", 200);
    let server = format!("http://{listen}");
    let submit = |args: &[&str]| {
        let common = ["--", "submit", "--server", &server];
        program("gleaner").args(common).args(args).output().unwrap()
    };
    submit(&["--date", "2024-06-01"]);
    // A file that is no list.
    submit(&[
        "--date",
        "2025-01-01",
        "--option",
        "lists=/dev/null/nothing",
    ]);
    let of = series(&get(metrics, "/metrics").unwrap().1);
    let days = |outcome: &str| of[&format!("gleaner_days_total{{outcome=\"{outcome}\"}}")];
    assert_eq!(
        (days("empty"), days("failed"), days("published")),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(of["gleaner_last_success_timestamp_seconds"], 0.0);
}

#[test]
fn a_log_as_json_is_an_object_a_line_with_the_run_the_day_and_the_stage() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let output = program("gleaner")
        .args([
            "--",
            "run",
            "--log-format",
            "json",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
        ])
        .args(["--warehouse", &dir.join("warehouse")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let stages: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"].as_str().unwrap().starts_with("stage "))
        .collect();
    assert_eq!(stages.len(), 7, "{said}");
    let run = stages[0]["run"].as_str().unwrap();
    assert_eq!(run.len(), 32, "{said}");
    for line in &stages {
        assert_eq!(
            (
                line["run"].as_str(),
                line["day"].as_str(),
                line["level"].as_str()
            ),
            (Some(run), Some("2025-01-01"), Some("INFO")),
            "{line}"
        );
    }
    // An error is one too.
    let output = program("gleaner")
        .args([
            "--",
            "--log-format",
            "json",
            "status",
            "--warehouse",
            &dir.join("none"),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["level"], "ERROR");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("is not a warehouse"),
        "{error}"
    );
}

/// A collector: every body that is posted to `/v1/traces`.
fn collector() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), sender) = (stream, sender.clone()) else {
                return;
            };
            std::thread::spawn(move || while answer(&mut stream, &sender).is_some() {});
        }
    });
    (address, receiver)
}

/// Answers one request; `None` when there is no further one.
fn answer(stream: &mut TcpStream, sender: &std::sync::mpsc::Sender<Vec<u8>>) -> Option<()> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    assert!(
        head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"),
        "{head}"
    );
    sender.send(body).ok()?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        Any::IntValue(n) => Some(n.to_string()),
        _ => None,
    }
}

#[test]
fn spans_of_a_day_reach_a_collector_run_over_stage_over_task() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let (address, received) = collector();
    let run = |date: &str| {
        program("gleaner")
            .args(["--", "run", "--date", date, "--telemetry", &telemetry])
            .args(["--warehouse", &dir.join("warehouse")])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
            .output()
            .unwrap()
    };
    let output = run("2025-01-01");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let requests = received
        .try_iter()
        .map(|body| ExportTraceServiceRequest::decode(&body[..]).unwrap());
    let resources: Vec<_> = requests
        .flat_map(|request| request.resource_spans)
        .collect();
    let resource = format!("{:?}", resources[0].resource);
    assert!(
        resource.contains("\"gleaner\"") && resource.contains("\"test\""),
        "{resource}"
    );
    let spans: Vec<Span> = resources
        .into_iter()
        .flat_map(|r| r.scope_spans)
        .flat_map(|s| s.spans)
        .collect();
    let named = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let [root] = named("run")[..] else {
        panic!("one run: {spans:?}");
    };
    assert!(root.parent_span_id.is_empty());
    assert_eq!(
        attribute(root, "gleaner.day").as_deref(),
        Some("2025-01-01")
    );
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id
        && span.end_time_unix_nano >= span.start_time_unix_nano));
    let accounts = status(&dir.join("warehouse"), "2025-01-01");
    let mut stages = vec![];
    for account in accounts["stages"].as_array().unwrap() {
        let name = account["stage"].as_str().unwrap();
        let [span] = named(name)[..] else {
            panic!("one span of {name}: {spans:?}");
        };
        assert_eq!(span.parent_span_id, root.span_id, "{name}");
        assert_eq!(
            attribute(span, "gleaner.rows_in").unwrap(),
            account["rows_in"].to_string(),
            "{name}"
        );
        stages.push(&span.span_id);
    }
    assert_eq!(stages.len(), 7);
    let tasks = named("task");
    let of_stages = tasks
        .iter()
        .filter(|task| stages.contains(&&task.parent_span_id))
        .count();
    // The last commit, of the run's accounts, is a task of no stage.
    assert!(
        of_stages >= 10 && tasks.len() - of_stages <= 1,
        "{of_stages} of {}",
        tasks.len()
    );

    // A collector that is away costs a warning, not the day.
    let output = program("gleaner")
        .args([
            "--",
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            &telemetry,
        ])
        .args(["--warehouse", &dir.join("other")])
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", loopback()),
        )
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
