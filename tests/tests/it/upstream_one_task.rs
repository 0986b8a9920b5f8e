//! What Ballista 55.0.0 does with a job of one stage and one task, the only kind of job on our scheduler, in pull mode: what
//! our deadlines, retries and settings rest on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::execution_plans::DistributedQueryExec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{CancelJobParams, GetJobStatusParams, JobStatus};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::LogicalPlanNode;
use futures::StreamExt as _;

use crate::upstream::{End, Plain, Shape, TRUTH, answer, end, tries};

fn job_id(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    plan.downcast_ref::<DistributedQueryExec<LogicalPlanNode>>()
        .and_then(DistributedQueryExec::job_id)
        .map(|id| id.to_string())
        .or_else(|| plan.children().into_iter().find_map(job_id))
}

async fn cancel(url: &str, job_id: String) {
    let endpoint = create_grpc_client_endpoint(url.to_owned(), Some(&GrpcClientConfig::default()));
    let mut scheduler = SchedulerGrpcClient::new(endpoint.unwrap().connect().await.unwrap());
    let request = CancelJobParams { job_id };
    scheduler.cancel_job(request).await.unwrap();
}

async fn status(url: &str, job_id: String) -> Option<JobStatus> {
    let endpoint = create_grpc_client_endpoint(url.to_owned(), Some(&GrpcClientConfig::default()));
    let mut scheduler = SchedulerGrpcClient::new(endpoint.unwrap().connect().await.unwrap());
    let request = GetJobStatusParams { job_id };
    let answer = scheduler.get_job_status(request).await.unwrap();
    answer.into_inner().status
}

/// One task: one partition, no shuffle.
async fn one_task_client(cluster: &Plain, adaptive: bool) -> SessionContext {
    let ctx = cluster.client(adaptive).await;
    ctx.sql("SET datafusion.execution.target_partitions = 1")
        .await
        .unwrap();
    ctx
}

/// The whole input, grouped by one task, `ms` for each.
fn one_task(ms: usize) -> String {
    format!("SELECT g, slow(sum(v), {ms}) AS s FROM t GROUP BY g")
}

async fn until(what: &str, mut true_at_last: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !true_at_last() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The queries of `upstream`, by the same stock client that asks for eight partitions, on a scheduler and executors with our
/// planner: whichever executor runs the query is lost in the middle of it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: executors that time out"]
async fn s1_s2_what_hangs_or_doubles_under_a_shuffle_is_right_as_one_task() {
    for seed in 0..tries() {
        for adaptive in [true, false] {
            for shape in [Shape::Last, Shape::Middle, Shape::Join] {
                let signal = if seed % 2 == 0 { "-KILL" } else { "-STOP" };
                lose_the_one(adaptive, shape, signal, 200 * seed as u64).await;
            }
        }
    }
}

/// Needs a poll's answer with eight plans of three megabytes each.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: upstream behaviour, see the module"]
async fn s4_many_long_plans_in_one_poll_fit_or_are_refused() {
    let sql = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!("SELECT g, v AS s FROM t WHERE s <> '{text}'")
    };
    let cluster = Plain::start_ours(1, 8);
    let ctx = one_task_client(&cluster, false).await;
    let jobs = (0..8).map(|_| answer(ctx.clone(), sql(3 << 19)));
    let all = futures::future::join_all(jobs);
    let ended = tokio::time::timeout(Duration::from_mins(2), all).await;
    for answer in ended.unwrap() {
        assert_eq!(answer.unwrap(), (TRUTH.1, TRUTH.1));
    }
    let error = answer(ctx, sql(5 << 20)).await.unwrap_err().to_string();
    assert!(error.contains("put long literals into a file"), "{error}");
    println!("S4: 8 plans of over 3 MB at once: right; one of over 5 MB: refused by name");
}

async fn lose_the_one(adaptive: bool, shape: Shape, signal: &str, pause: u64) {
    let cluster = Plain::start_ours(2, 1);
    let ctx = cluster.client(adaptive).await;
    assert_eq!(answer(ctx.clone(), shape.sql(1)).await.unwrap(), TRUTH);
    let begun = |mark: &(usize, usize)| mark.0 > mark.1;
    let victim = std::sync::OnceLock::new();
    let fault = async {
        until("a task runs", || cluster.marks().values().any(begun)).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let marks = cluster.marks();
        let pid = *marks.iter().find(|(_, mark)| begun(mark)).unwrap().0;
        cluster.signal(pid, signal);
        victim.set(pid).unwrap();
    };
    let started = Instant::now();
    let end = end(&ctx, shape.sql(500), fault).await;
    let victim = *victim.get().unwrap();
    println!(
        "one task, adaptive {adaptive}, {shape:?}, {signal} after {pause} ms: {end}; {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert_eq!(end, End::Right);
    assert!(
        started.elapsed() > Duration::from_secs(9),
        "{signal} missed"
    );
    if signal == "-STOP" {
        // It comes back under its old name, and what it says of its old task is not believed.
        cluster.signal(victim, "-CONT");
        until("the frozen task ends", || {
            let (begun, done) = cluster.marks()[&victim];
            begun == done
        })
        .await;
        for _ in 0..4 {
            assert_eq!(answer(ctx.clone(), shape.sql(200)).await.unwrap(), TRUTH);
        }
        println!(
            "  woken: {} x \"Fail to find job\"",
            cluster.said("Fail to find job")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: upstream behaviour, see the module"]
async fn cancelling_a_job_does_not_stop_its_task_in_pull_mode() {
    for policy in ["pull", "push"] {
        let cluster = Plain::start(policy, 1, 1);
        let ctx = one_task_client(&cluster, false).await;
        assert_eq!(answer(ctx.clone(), one_task(1)).await.unwrap(), TRUTH);
        let pid = *cluster.marks().keys().next().unwrap();
        // `slow` is called once for each batch, and blocks its thread: 8 batches of half a second.
        let sql = "SELECT slow(v, 500) AS s FROM t";
        let frame = ctx.sql(sql).await.unwrap();
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.unwrap();
        let before = cluster.marks()[&pid];
        let job = tokio::spawn(datafusion::physical_plan::collect(
            Arc::clone(&plan),
            context,
        ));
        until("the task runs", || cluster.marks()[&pid].0 > before.0).await;
        let job_id = job_id(&plan).unwrap();
        let started = Instant::now();
        cancel(&cluster.url, job_id).await;
        let error = job.await.unwrap().unwrap_err().to_string();
        let told = started.elapsed();
        let at_cancel = cluster.marks()[&pid];
        assert!(error.contains("Cancelled"), "{error}");
        tokio::time::sleep(Duration::from_secs(8)).await;
        let after = cluster.marks()[&pid];
        println!(
            "cancel, {policy}: the client is told after {told:?}; calls of the task begun until then {}, in the end {}; \
             logs: {} x \"Failed to get client for executor\", {} x \"aborted\"",
            at_cancel.0 - before.0,
            after.0 - before.0,
            cluster.said("Failed to get client for executor"),
            cluster.said("Task has been aborted"),
        );
        assert_eq!(after.0, after.1, "it still runs");
        if policy == "pull" {
            assert_eq!(after.0 - before.0, 8, "the task was stopped: good news");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: upstream behaviour, see the module"]
async fn a_frozen_executor_hangs_the_fetch_and_a_killed_one_fails_it() {
    for signal in ["-STOP", "-KILL"] {
        let cluster = Plain::start("pull", 1, 1);
        let ctx = one_task_client(&cluster, false).await;
        // A result of some 240 MB, of which one batch is read.
        let sql = "SELECT g, v, repeat(s, 1500) AS s FROM t";
        let frame = ctx.sql(sql).await.unwrap();
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.unwrap();
        let mut stream = execute_stream(plan, context).unwrap();
        let mut rows = stream.next().await.unwrap().unwrap().num_rows();
        let pid = *cluster.marks().keys().next().unwrap();
        cluster.signal(pid, signal);
        let rest = async {
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
            Ok::<_, DataFusionError>(rows)
        };
        let mut rest = Box::pin(rest);
        let ended = tokio::time::timeout(Duration::from_secs(30), &mut rest).await;
        match (signal, ended) {
            ("-STOP", Err(_)) => {
                cluster.signal(pid, "-CONT");
                let rows = rest.await.unwrap();
                println!("fetch from a frozen executor: nothing for 30 s; woken: {rows} rows");
                assert_eq!(i64::try_from(rows).unwrap(), TRUTH.1);
            }
            ("-KILL", Ok(Err(error))) => println!("fetch from a killed executor: {error}"),
            (_, ended) => panic!("{signal}: {ended:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: upstream behaviour, see the module"]
async fn jobs_without_executors_and_forgotten_jobs_wait_for_ever() {
    let cluster = Plain::start("pull", 0, 1);
    let ctx = one_task_client(&cluster, false).await;
    let job = answer(ctx.clone(), one_task(1));
    let waited = tokio::time::timeout(Duration::from_secs(45), job).await;
    println!(
        "no executors, grace period of 10 s: still waiting after 45 s: {}",
        waited.is_err()
    );
    assert!(waited.is_err(), "{waited:?}");

    let status = status(&cluster.url, "of-an-earlier-life".to_owned()).await;
    println!(
        "a job that the scheduler does not know: {status:?}, which the client takes for \"in initialization\""
    );
    assert!(status.is_none());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: upstream behaviour, see the module"]
async fn the_last_executor_lost_is_an_error_after_the_grace_period() {
    let cluster = Plain::start("pull", 1, 1);
    let ctx = one_task_client(&cluster, false).await;
    let pid = *cluster.marks().keys().next().unwrap();
    let fault = async {
        until("the task runs", || cluster.marks()[&pid].0 > 0).await;
        cluster.signal(pid, "-KILL");
    };
    let started = Instant::now();
    let end = end(&ctx, one_task(2000), fault).await;
    println!("last executor killed: {end}; {:?}", started.elapsed());
    assert!(matches!(end, End::Error(e) if e.contains("all executors were lost")));
}
