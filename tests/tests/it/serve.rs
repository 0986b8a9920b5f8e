//! `gleaner serve` as its users see it: the schedule, jobs that are submitted, watched and cancelled, servers that are killed.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::processes::{Cluster, Setup, signal};
use crate::support::{Dir, digest, fails, number, program, query, run, succeeds, tree};

/// A server that ends with the test.
pub struct Server {
    pub child: Child,
    pub url: String,
    pub log: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one, and waits until it serves.
    pub fn start(dir: &Dir, args: &[&str], env: &[(&str, &str)]) -> Self {
        let log = dir.join(&format!("serve-{}.log", tree(dir.path()).len()));
        let mut child = program("gleaner")
            .args(["--", "serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .envs(env.iter().copied())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        let url = loop {
            let said = std::fs::read_to_string(&log).unwrap();
            if let Some(at) = said.find("listening on ") {
                let url = said[at + "listening on ".len()..]
                    .split([';', '"', ' '])
                    .next();
                break url.unwrap().to_owned();
            }
            assert!(
                child.try_wait().unwrap().is_none(),
                "the server ended: {said}"
            );
            assert!(Instant::now() < until, "the server does not serve: {said}");
            std::thread::sleep(Duration::from_millis(50));
        };
        Self { child, url, log }
    }

    /// `gleaner COMMAND --server URL ARGS`, which must succeed.
    pub fn says(&self, command: &[&str], args: &[&str]) -> String {
        succeeds(&[command, &["--server", &self.url], args].concat())
    }

    /// The same, which must fail.
    pub fn refuses(&self, command: &[&str], args: &[&str]) -> String {
        fails(&[command, &["--server", &self.url], args].concat())
    }

    /// All jobs, the latest first.
    pub fn jobs(&self) -> Vec<Value> {
        let out = self.says(&["jobs"], &["--json", "--limit", "100"]);
        out.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    /// Waits for a job that fits.
    pub fn wait(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_mins(2);
        loop {
            let jobs = self.jobs();
            if let Some(job) = jobs.iter().find(|job| fits(job)) {
                return job.clone();
            }
            assert!(
                Instant::now() < until,
                "no job {what}: {jobs:#?}\n{}",
                std::fs::read_to_string(&self.log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn is(job: &Value, day: &str, state: &str) -> bool {
    job["work"]["day"] == day && job["state"] == state
}

const JOBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/examples");

#[test]
fn days_run_by_schedule_and_sql_follows_each_and_late_telemetry_is_taken_in() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "600", "--days", "3"]);
    let (here, there) = (dir.join("here"), dir.join("there"));
    let after = format!("detectors={JOBS}/detectors_by_day.sql");
    let server = Server::start(
        &dir,
        &[
            "--telemetry",
            &telemetry,
            "--warehouse",
            &there,
            "--cron",
            "*/3 * * * * *",
            "--from",
            "2025-01-01",
            "--until",
            "2025-01-04",
            "--recheck-days",
            "3",
            "--after-day",
            &after,
        ],
        &[],
    );
    run(&telemetry, &here, &["--to", "2025-01-03"]);
    for day in ["2025-01-01", "2025-01-02", "2025-01-03"] {
        let job = server.wait(day, |job| is(job, day, "succeeded"));
        assert_eq!(job["submitted_by"], "schedule");
    }
    server.wait("the day without events", |job| {
        is(job, "2025-01-04", "skipped")
    });
    server.wait("after the last day", |job| {
        job["work"]["into"] == "detectors"
            && job["work"]["parameters"]["date"] == "2025-01-03"
            && job["state"] == "succeeded"
    });
    for day in ["2025-01-01", "2025-01-02", "2025-01-03"] {
        assert_eq!(digest(&there, day), digest(&here, day));
    }
    let days = "SELECT count(*) FROM (SELECT day, detector FROM detectors GROUP BY day, detector)";
    assert_eq!(number(&there, days), 9);
    // Telemetry of a day that is done: the next tick sees it.
    dir.synth(
        "more",
        &["--lines", "300", "--seed", "7", "--date", "2025-01-04"],
    );
    let late = dir.join("more/day=2025-01-04/part-00000.parquet");
    std::fs::create_dir_all(dir.path().join("telemetry/day=2025-01-04")).unwrap();
    std::fs::rename(
        late,
        dir.path().join("telemetry/day=2025-01-04/late.parquet"),
    )
    .unwrap();
    server.wait("the day that has events now", |job| {
        is(job, "2025-01-04", "succeeded")
    });
    assert_eq!(
        number(
            &there,
            "SELECT sum(events) FROM commands WHERE day = DATE '2025-01-04'"
        ),
        300
    );
    // What was done again was replaced, not added.
    let rows = number(
        &there,
        "SELECT count(*) FROM detectors WHERE day < DATE '2025-01-04'",
    );
    assert_eq!(rows, 9);
}

#[test]
fn a_killed_server_is_taken_up_where_it_stopped_and_a_second_one_is_refused() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "800"]);
    let (here, there) = (dir.join("here"), dir.join("there"));
    run(&telemetry, &here, &[]);
    let args = ["--telemetry", &telemetry, "--warehouse", &there];
    let fired = dir.join("fired");
    let fault = [
        ("GLEANER_FAULT", "stage.finished:models=kill"),
        ("GLEANER_FAULT_FIRED", &fired),
    ];
    let mut server = Server::start(&dir, &args, &fault);
    let id = server.says(&["submit"], &["--date", "2025-01-01", "--detach"]);
    assert!(!server.child.wait().unwrap().success());
    assert!(
        std::fs::exists(format!("{fired}.0")).unwrap(),
        "the fault did not fire"
    );
    // It waits until the dead one's lease is over.
    let server = Server::start(&dir, &args, &[]);
    let job = server.wait("that was queued again", |job| {
        is(job, "2025-01-01", "succeeded")
    });
    assert_eq!(job["job"], id.trim());
    assert_eq!(job["attempts"], 2);
    assert!(job["remarks"].to_string().contains("queued again"), "{job}");
    let unchanged = |stage: &str| {
        let stages = job["stages"].as_array().unwrap();
        stages.iter().find(|s| s["stage"] == stage).unwrap()["unchanged"].clone()
    };
    assert_eq!(
        unchanged("commands"),
        true,
        "a finished stage was repeated: {job}"
    );
    assert_eq!(unchanged("benign"), false);
    assert_eq!(digest(&there, "2025-01-01"), digest(&here, "2025-01-01"));
    assert!(tree(&dir.path().join("there/_staging")).is_empty());

    let said = fails(&[&["serve", "--listen", "127.0.0.1:0"], &args[..]].concat());
    assert!(said.contains("has served the warehouse since"), "{said}");

    // Told to stop, it gives the warehouse up at once.
    signal(&server.child, "-TERM");
    let mut server = server;
    assert!(server.child.wait().unwrap().success());
    let begun = Instant::now();
    let next = Server::start(&dir, &args, &[]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(
        next.jobs()
            .iter()
            .any(|job| is(job, "2025-01-01", "succeeded"))
    );
}

#[test]
fn a_failed_job_is_tried_again_after_a_pause_and_a_wrong_one_is_not() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let warehouse = dir.join("warehouse");
    let server = Server::start(
        &dir,
        &[
            "--telemetry",
            &telemetry,
            "--warehouse",
            &warehouse,
            "--retry-secs",
            "1",
            "--retries",
            "8",
        ],
        &[],
    );
    // A file where a directory should be: no task can stage anything.
    let obstacle = dir.write("warehouse/_staging", "");
    server.says(&["submit"], &["--date", "2025-01-01", "--detach"]);
    // The same day, asked for while it is open, is the same job.
    server.says(&["submit"], &["--date", "2025-01-01", "--detach"]);
    let waiting = server.wait("that waits", |job| is(job, "2025-01-01", "waiting"));
    assert!(
        waiting["error"].as_str().unwrap().contains("task"),
        "{waiting}"
    );
    assert!(waiting["retry_at"].is_string());
    std::fs::remove_file(obstacle).unwrap();
    let job = server.wait("that was tried again", |job| {
        is(job, "2025-01-01", "succeeded")
    });
    assert!(job["attempts"].as_u64().unwrap() >= 2, "{job}");
    assert_eq!(server.jobs().len(), 1);

    for (option, said) in [
        ("quota=lots", "quota"),
        ("telemetry=/etc", "a job may change"),
        ("nothing", "NAME=VALUE"),
    ] {
        let error = server.refuses(&["submit"], &["--date", "2025-01-01", "--option", option]);
        assert!(error.contains(said), "{error}");
    }
    let two = [
        "--date",
        "2025-01-01",
        "--option",
        "quota=7",
        "--option",
        "through=anomalies",
    ];
    server.says(&["submit"], &two);
    assert_eq!(
        number(
            &warehouse,
            "SELECT max(iforest_rank) FROM anomalies WHERE 'iforest' = ANY(detectors)"
        ),
        7
    );
}

#[test]
fn a_cancelled_job_stops_and_leaves_nothing() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "2000", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let fired = dir.join("fired");
    let fault = [
        ("GLEANER_FAULT", "stage.finished:commands=sleep:4000"),
        ("GLEANER_FAULT_FIRED", &fired),
    ];
    let server = Server::start(
        &dir,
        &["--telemetry", &telemetry, "--warehouse", &warehouse],
        &fault,
    );
    let first = server.says(&["submit"], &["--date", "2025-01-01", "--detach"]);
    let second = server.says(&["submit"], &["--date", "2025-01-02", "--detach"]);
    let (first, second) = (first.trim(), second.trim());
    server.wait("that runs", |job| {
        job["job"] == first
            && job["state"] == "running"
            && !job["stages"].as_array().unwrap().is_empty()
    });
    // One that waits for its turn, one that runs.
    for job in [second, first] {
        let said = server.says(&["jobs", "cancel", job], &[]);
        assert!(said.contains("cancelled"), "{said}");
    }
    assert!(
        std::fs::exists(format!("{fired}.0")).unwrap(),
        "the fault did not fire"
    );
    assert!(query(&warehouse, "SELECT * FROM runs").is_empty());
    assert!(tree(&dir.path().join("warehouse/_staging")).is_empty());
    // What has ended stays what it was.
    let said = server.says(&["jobs", "cancel", first], &["--json"]);
    assert!(said.contains("\"state\":\"cancelled\""), "{said}");
    let said = server.refuses(&["jobs", "cancel", "20250101t000000000-none"], &[]);
    assert!(said.contains("no job"), "{said}");
    // The server goes on.
    let said = server.says(&["submit"], &["--date", "2025-01-02"]);
    assert!(said.contains("succeeded"), "{said}");
}

#[test]
fn a_job_that_is_cancelled_is_cancelled_on_the_cluster() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "2000"]);
    let warehouse = dir.join("warehouse");
    let fired = dir.join("fired");
    let fault = [
        ("GLEANER_FAULT", "write.batch=sleep:15000"),
        ("GLEANER_FAULT_FIRED", &fired),
    ];
    let setup = Setup {
        executors: 1,
        executor_env: fault
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        env: vec![("RUST_LOG".to_owned(), "ballista_scheduler=info".to_owned())],
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let server = Server::start(
        &dir,
        &[
            "--telemetry",
            &telemetry,
            "--warehouse",
            &warehouse,
            "--cluster",
            &cluster.url,
        ],
        &[],
    );
    let id = server.says(&["submit"], &["--date", "2025-01-01", "--detach"]);
    let until = Instant::now() + Duration::from_mins(1);
    while !std::fs::exists(format!("{fired}.0")).unwrap() {
        assert!(Instant::now() < until, "no task was held up");
        std::thread::sleep(Duration::from_millis(50));
    }
    let begun = Instant::now();
    let said = server.says(&["jobs", "cancel", id.trim()], &[]);
    assert!(said.contains("cancelled"), "{said}");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let log = std::fs::read_to_string(dir.path().join("scheduler-0.log")).unwrap();
    assert!(log.contains("Job cancelled"), "{log}");
}
