//! What an operator sees: metrics and health of all three programs, logs as JSON, spans at a collector.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

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

type Series = BTreeMap<String, i64>;

/// The value of each series, by its name and labels as they are written; fractions are cut off.
fn series(text: &str) -> Series {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    let whole = |value: &str| value.parse::<f64>().unwrap() as i64;
    pairs
        .map(|(name, value)| (name.to_owned(), whole(value)))
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

/// A scheduler, an executor and a server of days, all of which tell metrics.
struct Watched {
    cluster: Cluster,
    _server: Process,
    /// Where metrics of scheduler, executor and server are.
    metrics: [SocketAddr; 3],
    server: String,
}

impl Watched {
    fn start(dir: &Dir, telemetry: &str, warehouse: &str) -> Self {
        let metrics @ [scheduler, executor, serve] = [loopback(), loopback(), loopback()];
        let setup = Setup {
            executors: 0,
            executor_args: vec!["--metrics".to_owned(), executor.to_string()],
            env: vec![("GLEANER_METRICS".to_owned(), scheduler.to_string())],
            ..Setup::default()
        };
        // No executor yet: the scheduler is alive, and not ready.
        let mut cluster = Cluster::start(dir, setup);
        assert_eq!(until(scheduler, "/healthz", 200), "ok\n");
        assert_eq!(until(scheduler, "/readyz", 503), "no executor is alive\n");
        cluster.setup.env.clear();
        cluster.add_executor();
        until(scheduler, "/readyz", 200);
        until(executor, "/readyz", 200);
        let listen = loopback();
        let mut server = Process(
            program("gleaner")
                .args(["--", "serve", "--listen", &listen.to_string()])
                .args(["--metrics", &serve.to_string(), "--cluster", &cluster.url])
                .args(["--telemetry", telemetry, "--warehouse", warehouse])
                .stderr(std::fs::File::create(dir.join("serve.log")).unwrap())
                .spawn()
                .unwrap(),
        );
        listening(listen, &mut server.0);
        until(serve, "/readyz", 200);
        Self {
            cluster,
            _server: server,
            metrics,
            server: format!("http://{listen}"),
        }
    }

    fn texts(&self) -> [String; 3] {
        self.metrics
            .map(|address| get(address, "/metrics").unwrap().1)
    }
}

#[test]
fn metrics_of_all_three_programs_say_what_a_day_on_a_cluster_did() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000"]);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let warehouse = dir.join("warehouse");
    let mut watched = Watched::start(&dir, &telemetry, &warehouse);
    let before = series(&watched.texts()[2]);
    assert_eq!(before["gleaner_days_total{outcome=\"published\"}"], 0);
    assert_eq!(before["gleaner_last_day_timestamp_seconds"], 0);
    let submit = [
        "submit",
        "--server",
        &watched.server,
        "--date",
        "2025-01-01",
    ];
    succeeds(&submit);
    let texts = watched.texts();
    let [scheduler, executor, serve] = [0, 1, 2].map(|n: usize| series(&texts[n]));
    accounts_are_those_of_the_warehouse(&serve, &warehouse);
    assert_eq!(serve["gleaner_days_total{outcome=\"published\"}"], 1);
    // The end of 2025-01-01.
    assert_eq!(serve["gleaner_last_day_timestamp_seconds"], 1_735_776_000);
    assert!(serve["gleaner_detector_lines_total{detector=\"iforest\"}"] > 0);
    assert_eq!(serve["gleaner_jobs{state=\"running\"}"], 0);
    cluster_did_what_the_driver_asked(&scheduler, &executor, &serve);
    for process in [&scheduler, &executor, &serve] {
        assert!(process["process_resident_memory_bytes"] > 1_000_000);
        assert!(process.contains_key("process_cpu_seconds_total"));
    }
    parsed_strictly(&texts.each_ref().map(String::as_str));

    // Whoever asks for else learns nothing, and an executor whose scheduler is gone is alive and not ready.
    let [_, at_executor, at_serve] = watched.metrics;
    assert_eq!(get(at_serve, "/").unwrap().0, 404);
    let _ = watched.cluster.scheduler.kill();
    let _ = watched.cluster.scheduler.wait();
    let why = until(at_executor, "/readyz", 503);
    assert_eq!(why, "the scheduler's port does not answer\n");
    assert_eq!(get(at_executor, "/healthz").unwrap().0, 200);
}

/// Every stage's counters say what `gleaner status` does.
fn accounts_are_those_of_the_warehouse(serve: &Series, warehouse: &str) {
    for stage in status(warehouse, "2025-01-01")["stages"]
        .as_array()
        .unwrap()
    {
        let name = stage["stage"].as_str().unwrap();
        let of = |metric: &str| serve[&format!("gleaner_stage_{metric}{{stage=\"{name}\"}}")];
        assert_eq!(of("rows_read_total"), stage["rows_in"], "{name}");
        assert_eq!(of("bytes_total"), stage["bytes"], "{name}");
        assert_eq!(of("seconds_count"), 1, "{name}");
        for outcome in ["kept", "quarantined", "dropped"] {
            let labels = format!("stage=\"{name}\",outcome=\"{outcome}\"");
            let rows = serve[&format!("gleaner_stage_rows_total{{{labels}}}")];
            assert_eq!(rows, stage[format!("rows_{outcome}")], "{labels}");
        }
    }
    let quarantined = "gleaner_stage_rows_total{stage=\"telemetry\",outcome=\"quarantined\"}";
    assert_eq!(serve[quarantined], 1);
}

/// What the driver counts as tasks, the cluster has run: its jobs have one task each.
fn cluster_did_what_the_driver_asked(scheduler: &Series, executor: &Series, serve: &Series) {
    let tasks = serve["gleaner_tasks_total{outcome=\"succeeded\"}"];
    assert!(tasks > 10);
    let succeeded = |of: &Series, name: &str| of[&format!("{name}{{outcome=\"succeeded\"}}")];
    assert_eq!(
        succeeded(scheduler, "gleaner_scheduler_jobs_ended_total"),
        tasks
    );
    assert_eq!(succeeded(executor, "gleaner_executor_tasks_total"), tasks);
    assert_eq!(
        succeeded(executor, "gleaner_executor_task_seconds_count"),
        tasks
    );
    assert_eq!(scheduler["gleaner_scheduler_executors"], 1);
    // The telemetry was read once at least, and all that was committed was written by the executor, staged files beside it.
    let read = serve["gleaner_stage_rows_read_total{stage=\"telemetry\"}"];
    assert!(executor["gleaner_executor_rows_read_total"] >= read);
    let committed = serve
        .iter()
        .filter(|(name, _)| name.starts_with("gleaner_stage_bytes_total"));
    let committed: i64 = committed.map(|(_, bytes)| bytes).sum();
    assert!(committed > 0 && executor["gleaner_executor_bytes_written_total"] >= committed);
    assert!(executor["gleaner_executor_rows_written_total"] > 0);
    assert!(executor["gleaner_executor_bytes_read_total"] > 0);
    assert_eq!(executor["gleaner_executor_slots"], 1);
    assert_eq!(executor["gleaner_executor_slots_in_use"], 0);
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
                "--lists",
                &dir.join("missing.csv"),
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
    submit(&["--date", "2025-01-01"]);
    let of = series(&get(metrics, "/metrics").unwrap().1);
    let days = |outcome: &str| of[&format!("gleaner_days_total{{outcome=\"{outcome}\"}}")];
    assert_eq!(
        (days("empty"), days("failed"), days("published")),
        (1, 1, 0)
    );
    assert_eq!(of["gleaner_last_success_timestamp_seconds"], 0);
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
        head.starts_with("post /v1/traces ") && head.contains("x-key: a key"),
        "{head}"
    );
    sender.send(body).ok()?;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let attributes = span["attributes"].as_array()?;
    let found = attributes
        .iter()
        .find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next()?.as_str()
}

/// What a collector was sent, read with the protocol's own messages.
fn read_as_otlp(bodies: &[Vec<u8>]) {
    let Some(python) = python("spans by OpenTelemetry's messages", "opentelemetry.proto") else {
        return;
    };
    let code = "import sys; from google.protobuf.json_format import Parse; \
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as R; \
                print(sum(len(s.spans) for r in Parse(sys.stdin.read(), R()).resource_spans for s in r.scope_spans))";
    for body in bodies {
        let mut child = Command::new(&python)
            .args(["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout != b"0\n");
    }
}

#[test]
fn spans_of_a_day_reach_a_collector_run_over_stage_over_task() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let (address, received) = collector();
    let run = |warehouse: &str, collector: SocketAddr| {
        let output = program("gleaner")
            .args([
                "--",
                "run",
                "--date",
                "2025-01-01",
                "--telemetry",
                &telemetry,
            ])
            .args(["--warehouse", &dir.join(warehouse)])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20key")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    };
    run("warehouse", address);
    let bodies: Vec<Vec<u8>> = received.try_iter().collect();
    read_as_otlp(&bodies);
    let mut spans = vec![];
    for body in &bodies {
        let body: Value = serde_json::from_slice(body).unwrap();
        let of_resource = &body["resourceSpans"][0];
        let resource = of_resource["resource"].to_string();
        assert!(
            resource.contains("\"gleaner\"") && resource.contains("\"test\""),
            "{resource}"
        );
        let of_scope = &of_resource["scopeSpans"][0]["spans"];
        spans.extend(of_scope.as_array().unwrap().iter().cloned());
    }
    let named = |name: &str| {
        spans
            .iter()
            .filter(|s| s["name"] == name)
            .collect::<Vec<_>>()
    };
    let [root] = named("run")[..] else {
        panic!("one run: {spans:?}");
    };
    assert_eq!(root["parentSpanId"], "");
    assert_eq!(attribute(root, "gleaner.day"), Some("2025-01-01"));
    for span in &spans {
        assert_eq!(span["traceId"], root["traceId"]);
        assert_eq!(span["status"]["code"], 1, "{span}");
        let at = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(at("endTimeUnixNano") >= at("startTimeUnixNano"));
    }
    let accounts = status(&dir.join("warehouse"), "2025-01-01");
    let mut stages = vec![];
    for account in accounts["stages"].as_array().unwrap() {
        let name = account["stage"].as_str().unwrap();
        let [span] = named(name)[..] else {
            panic!("one span of {name}: {spans:?}");
        };
        assert_eq!(span["parentSpanId"], root["spanId"], "{name}");
        let rows = account["rows_in"].to_string();
        assert_eq!(
            attribute(span, "gleaner.rows_in"),
            Some(rows.as_str()),
            "{name}"
        );
        stages.push(&span["spanId"]);
    }
    assert_eq!(stages.len(), 7);
    let tasks = named("task");
    let below = |task: &&&Value| stages.contains(&&task["parentSpanId"]);
    let of_stages = tasks.iter().filter(below).count();
    // The last commit, of the run's accounts, is a task of no stage.
    assert!(
        of_stages >= 10 && tasks.len() - of_stages <= 1,
        "{of_stages} of {}",
        tasks.len()
    );
    // A collector that is away costs a warning, not the day.
    run("other", loopback());
}
