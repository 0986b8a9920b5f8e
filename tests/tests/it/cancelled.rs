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

/// How long a small query waits for the slot and runs.
fn small_query(stuck: &Stuck) -> Duration {
    let started = Instant::now();
    let sql = "SELECT count(*) > 0 AS some FROM commands";
    let place = ["--cluster", &stuck.cluster.url, "--warehouse"];
    let said = succeeds(&[&["sql", "--json"], &place[..], &[&stuck.warehouse, sql]].concat());
    assert_eq!(said.trim(), "{\"some\":true}");
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_a_cancelled_job_is_free_within_seconds() {
    let stuck = stuck();
    let scheduler = stuck.cluster.url.replace("df://", "http://");
    let mut client = SchedulerGrpcClient::connect(scheduler).await.unwrap();
    let job_id = stuck.job.clone();
    client.cancel_job(CancelJobParams { job_id }).await.unwrap();
    let waited = small_query(&stuck);
    println!("the slot was free after {:.1} s", waited.as_secs_f64());
    // Seconds on an idle machine; the query itself takes hours.
    assert!(waited < Duration::from_secs(90), "{waited:?}");
    let log = stuck.cluster.executor_log(0);
    assert!(log.contains("was cancelled, or has failed"), "{log}");
}

#[test]
fn the_slot_of_a_job_that_a_restarted_scheduler_has_forgotten_is_free_within_seconds() {
    let mut stuck = stuck();
    stuck.cluster.restart_scheduler(Duration::from_secs(1));
    let waited = small_query(&stuck);
    println!("the slot was free after {:.1} s", waited.as_secs_f64());
    assert!(waited < Duration::from_secs(90), "{waited:?}");
    let log = stuck.cluster.executor_log(0);
    assert!(log.contains("does not know its job"), "{log}");
}
