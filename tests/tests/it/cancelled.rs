//! A job that is cancelled gives its slot back.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ballista_core::serde::protobuf::CancelJobParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;

use crate::processes::{Cluster, Setup, signal};
use crate::support::{Dir, program, run, succeeds};

/// Every pair of pairs of lines: hours, and most of it in joins that read nothing.
const ENDLESS: &str = "SELECT count(*) AS n FROM commands a, commands b, commands c, commands d \
                       WHERE length(a.command_line) + length(b.command_line) + length(c.command_line) \
                       + length(d.command_line) < 0";

struct Stuck {
    cluster: Cluster,
    warehouse: String,
    job: String,
    _dir: Dir,
}

/// A cluster with one slot, which a job whose client has died keeps busy.
fn stuck() -> Stuck {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "2000"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    let setup = Setup {
        executors: 1,
        executor_env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let mut client = program("gleaner")
        .args(["--", "sql", "--cluster", &cluster.url])
        .args(["--warehouse", &warehouse, ENDLESS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let job = loop {
        let log = cluster.executor_log(0);
        if let Some((_, rest)) = log.split_once("Received task: [TID ") {
            break rest.split('/').next().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "no task came: {log}");
        std::thread::sleep(Duration::from_millis(50));
    };
    // It cannot cancel anything any more.
    signal(&client, "-KILL");
    client.wait().unwrap();
    Stuck {
        cluster,
        warehouse,
        job,
        _dir: dir,
    }
}

/// How long it takes until the executor says that it ended the task, in these words; then the slot serves another query.
fn ended(stuck: &Stuck, words: &str, within: Duration) {
    // Of the executor's own log, and not of a query's time: a client takes seconds to start beside a suite.
    let started = Instant::now();
    while !stuck.cluster.executor_log(0).contains(words) {
        let log = || stuck.cluster.executor_log(0);
        assert!(
            started.elapsed() < within,
            "not ended within {within:?}: {}",
            log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "the task ended after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let sql = "SELECT count(*) > 0 AS some FROM commands";
    let place = ["--cluster", &stuck.cluster.url, "--warehouse"];
    let said = succeeds(&[&["sql", "--json"], &place[..], &[&stuck.warehouse, sql]].concat());
    assert_eq!(said.trim(), "{\"some\":true}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_a_cancelled_job_is_free_within_seconds() {
    let stuck = stuck();
    let scheduler = stuck.cluster.url.replace("df://", "http://");
    let mut client = SchedulerGrpcClient::connect(scheduler).await.unwrap();
    let job_id = stuck.job.clone();
    client.cancel_job(CancelJobParams { job_id }).await.unwrap();
    // It looks every three seconds.
    ended(
        &stuck,
        "was cancelled, or has failed",
        Duration::from_secs(15),
    );
}

#[test]
fn the_slot_of_a_job_that_a_restarted_scheduler_has_forgotten_is_free_within_seconds() {
    let mut stuck = stuck();
    stuck.cluster.restart_scheduler(Duration::from_secs(1));
    ended(&stuck, "does not know its job", Duration::from_secs(40));
}
