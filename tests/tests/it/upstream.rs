//! What Ballista 55.0.0 does wrong when an executor is lost under a shuffle, or when a message is too large, made to happen with
//! plain Ballista processes. It is why no job on our scheduler has a shuffle (`docs/design.md`); `upstream_one_task` shows
//! the same queries and losses survived with it. Run these when Ballista is upgraded: a test that fails here says that
//! the fault can no longer be seen.
//!
//! `cargo test --workspace --test it upstream -- --ignored --nocapture --test-threads 1`

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::extension::{SessionConfigExt as _, SessionStateExt as _};
use datafusion::arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;

use crate::support::{Dir, program};

#[path = "../../src/slow.rs"]
mod slow;

/// Input files, partitions of every stage, tasks.
const FILES: usize = 8;
const GROUPS: i64 = 1000;
const ROWS: i64 = 40_000;
const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(10);
/// A job that has not ended so long after an executor's timeout never will: without a loss it takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often each experiment is tried: the faults are races. Set `GLEANER_UPSTREAM_TRIES` to see more.
pub fn tries() -> usize {
    let text = std::env::var("GLEANER_UPSTREAM_TRIES").unwrap_or_else(|_| "3".into());
    text.parse().unwrap()
}

/// Ballista's scheduler and executors, each a process.
pub struct Plain {
    dir: Dir,
    policy: &'static str,
    pub url: String,
    scheduler: Child,
    /// The second one is slow.
    executors: Vec<Child>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        for process in self.executors.iter_mut().chain([&mut self.scheduler]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_ports() -> SocketAddr {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        if address.port() < 65_000 && TcpListener::bind(("127.0.0.1", address.port() + 1)).is_ok() {
            return address;
        }
    }
}

impl Plain {
    pub fn start(policy: &'static str, executors: usize, slots: usize) -> Self {
        Self::start_with(policy, executors, slots, &[])
    }

    /// With our planner, nodes and limits.
    pub fn start_ours(executors: usize, slots: usize) -> Self {
        Self::start_with("pull", executors, slots, &["--ours"])
    }

    fn start_with(policy: &'static str, executors: usize, slots: usize, more: &[&str]) -> Self {
        let dir = Dir::new();
        std::fs::create_dir(dir.path().join("marks")).unwrap();
        write_input(&dir);
        let scheduler = free_ports();
        let timeout = EXECUTOR_TIMEOUT.as_secs().to_string();
        let bind = scheduler.to_string();
        let args = [
            "--bind",
            &bind,
            "--policy",
            policy,
            "--executor-timeout-secs",
            &timeout,
        ];
        let args = [&args, more].concat();
        let mut cluster = Self {
            scheduler: spawn(&dir, "plain-scheduler", 1, &args, scheduler),
            url: format!("http://{scheduler}"),
            dir,
            policy,
            executors: vec![],
        };
        for i in 0..executors {
            let address = free_ports();
            let (bind, slots) = (address.to_string(), slots.to_string());
            let work_dir = cluster.dir.join(&format!("work-{i}"));
            let scheduler = scheduler.to_string();
            let args = [
                "--scheduler",
                &scheduler,
                "--bind",
                &bind,
                "--policy",
                policy,
                "--slots",
                &slots,
                "--work-dir",
                &work_dir,
            ];
            let args = [&args, more].concat();
            let slowness = if i > 0 { 4 } else { 1 };
            let child = spawn(&cluster.dir, "plain-executor", slowness, &args, address);
            cluster.executors.push(child);
        }
        cluster
    }

    /// A client of its own, with one task for each partition.
    pub async fn client(&self, adaptive: bool) -> SessionContext {
        let config = SessionConfig::new_with_ballista()
            .with_target_partitions(FILES)
            .set_bool("ballista.planner.adaptive.enabled", adaptive)
            .set_bool("ballista.client.pull", true)
            .set_usize("ballista.scheduler.max_partitions_per_task", 1);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .build();
        let state = state.upgrade_for_ballista(self.url.clone()).unwrap();
        let ctx = SessionContext::new_with_state(state);
        ctx.register_udf(slow::slow());
        let options = ParquetReadOptions::default();
        ctx.register_parquet("t", self.dir.join("input"), options)
            .await
            .unwrap();
        ctx
    }

    /// Calls of `slow` that each executor began and ended.
    pub fn marks(&self) -> BTreeMap<u32, (usize, usize)> {
        let mut marks: BTreeMap<u32, (usize, usize)> = self
            .executors
            .iter()
            .map(|executor| (executor.id(), (0, 0)))
            .collect();
        for entry in std::fs::read_dir(self.dir.path().join("marks")).unwrap() {
            let path = PathBuf::from(entry.unwrap().file_name());
            let name = path.to_str().unwrap();
            let pid: u32 = name.split('-').next().unwrap().parse().unwrap();
            let count = marks.get_mut(&pid).unwrap();
            count.0 += 1;
            count.1 += usize::from(name.contains(".ended"));
        }
        marks
    }

    pub fn signal(&self, pid: u32, signal: &str) {
        assert!(self.executors.iter().any(|executor| executor.id() == pid));
        let status = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// How often the scheduler or an executor said `what`.
    pub fn said(&self, what: &str) -> usize {
        let logs = std::fs::read_dir(self.dir.path()).unwrap();
        let logs = logs.map(|entry| entry.unwrap().path());
        logs.filter(|path| path.extension().is_some_and(|e| e == "log"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .map(|text| text.lines().filter(|line| line.contains(what)).count())
            .sum()
    }

    /// Runs the query without a fault until both executors have taken part in it, so that they are known to be up.
    async fn warm_up(&self, ctx: &SessionContext, shape: Shape) -> Duration {
        for _ in 0..20 {
            let before = self.marks();
            let started = Instant::now();
            let answer = answer(ctx.clone(), shape.sql(50)).await.unwrap();
            assert_eq!(answer, TRUTH, "without a fault");
            let after = self.marks();
            if after.iter().all(|(pid, (begun, _))| *begun > before[pid].0) {
                return started.elapsed();
            }
        }
        panic!("one of the executors takes no tasks");
    }
}

fn spawn(dir: &Dir, name: &str, slowness: u32, args: &[&str], address: SocketAddr) -> Child {
    let log = dir.path().join(format!("{name}-{}.log", address.port()));
    let mut child = program(name)
        .args(args)
        .env(slow::MARKS, dir.path().join("marks"))
        .env(slow::SLOWNESS, slowness.to_string())
        .env("RUST_LOG", "info,datafusion=warn")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect(address).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "{name} ended");
        assert!(Instant::now() < deadline, "{name} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// `FILES` files of g (`GROUPS` values), v (always 1) and s (a few bytes).
fn write_input(dir: &Dir) {
    let input = dir.path().join("input");
    std::fs::create_dir(&input).unwrap();
    let rows = ROWS / FILES as i64;
    let batch = RecordBatch::try_from_iter([
        (
            "g",
            Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i % GROUPS))) as ArrayRef,
        ),
        (
            "v",
            Arc::new(Int64Array::from_iter_values((0..rows).map(|_| 1))),
        ),
        (
            "s",
            Arc::new(StringArray::from_iter_values((0..rows).map(|_| "text"))),
        ),
    ])
    .unwrap();
    for i in 0..FILES {
        let file = std::fs::File::create(input.join(format!("{i}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}

/// Where the slow stage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// The job's last stage: its rows go to the client.
    Last,
    /// The middle one of three.
    Middle,
    /// Below a join and a union.
    Join,
}

impl Shape {
    pub fn sql(self, ms: usize) -> String {
        let groups = format!("SELECT g, slow(sum(v), {ms}) AS s FROM t GROUP BY g");
        match self {
            Self::Last => groups,
            Self::Middle => format!("SELECT count(*) AS n, sum(s) AS s FROM ({groups})"),
            Self::Join => format!(
                "SELECT l.g, l.s FROM ({groups}) l JOIN (SELECT DISTINCT g FROM (SELECT g FROM t UNION ALL SELECT g FROM t)) r \
                 ON l.g = r.g"
            ),
        }
    }
}

/// Groups and the sum of their sums.
pub type Answer = (i64, i64);
pub const TRUTH: Answer = (GROUPS, ROWS);

pub async fn answer(ctx: SessionContext, sql: String) -> Result<Answer> {
    let batches = ctx.sql(&sql).await?.collect().await?;
    let sum = |batch: &RecordBatch, name: &str| -> i64 {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<Int64Type>().iter().flatten().sum()
    };
    let counted = batches
        .iter()
        .any(|batch| batch.schema().column_with_name("n").is_some());
    Ok(batches.iter().fold((0, 0), |(n, s), batch| {
        let groups = if counted {
            sum(batch, "n")
        } else {
            batch.num_rows() as i64
        };
        (n + groups, s + sum(batch, "s"))
    }))
}

/// How a run under a fault ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Right,
    Wrong(Answer),
    Error(String),
    Hang,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => write!(f, "the right answer"),
            Self::Wrong((n, s)) => write!(
                f,
                "WRONG: {n} groups instead of {}, sum {s} instead of {}",
                TRUTH.0, TRUTH.1
            ),
            Self::Error(e) => write!(f, "error: {}", e.chars().take(200).collect::<String>()),
            Self::Hang => write!(
                f,
                "HANG: not over {PATIENCE:?} after the executor's timeout"
            ),
        }
    }
}

/// Runs `sql` and does `fault` meanwhile, which returns once the fault is done; waits for the end for a bounded time.
pub async fn end(ctx: &SessionContext, sql: String, fault: impl Future<Output = ()>) -> End {
    let job = tokio::spawn(answer(ctx.clone(), sql));
    fault.await;
    let over = tokio::time::timeout(EXECUTOR_TIMEOUT + PATIENCE, job).await;
    match over.map(Result::unwrap) {
        Ok(Ok(TRUTH)) => End::Right,
        Ok(Ok(other)) => End::Wrong(other),
        Ok(Err(error)) => End::Error(error.to_string()),
        Err(_) => End::Hang,
    }
}

/// One run with one executor lost in the slow stage, on a cluster of its own.
async fn lose_an_executor(
    policy: &'static str,
    adaptive: bool,
    shape: Shape,
    signal: &str,
    seed: usize,
) -> End {
    let cluster = Plain::start(policy, 2, 1);
    let ctx = cluster.client(adaptive).await;
    let usual = cluster.warm_up(&ctx, shape).await;
    let before = cluster.marks();
    // By the seed: the slow executor is killed in its first task of the stage, or the other one after each has ended one.
    let slow = cluster.executors[1].id();
    let victim = cluster.executors[usize::from(seed.is_multiple_of(2))].id();
    let ended = |pid: u32| {
        if pid == slow {
            usize::from(victim != slow)
        } else {
            1 + seed / 2 % 2
        }
    };
    let fault = async {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let marks = cluster.marks();
            let all = marks
                .iter()
                .all(|(pid, count)| count.1 >= before[pid].1 + ended(*pid));
            let (begun, done) = marks[&victim];
            if all && begun > done {
                break;
            }
            assert!(Instant::now() < deadline, "the stage has not begun");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cluster.signal(victim, signal);
    };
    let started = Instant::now();
    let end = end(&ctx, shape.sql(700), fault).await;
    // It counts only if it hit a task of the stage: a call that was begun and never ended (TERM lets it end).
    let (begun, done) = cluster.marks()[&victim];
    assert!(signal == "-TERM" || begun > done, "the kill missed");
    let who = if victim == slow {
        "the slow"
    } else {
        "the fast"
    };
    println!(
        "  {policy}, adaptive {adaptive}, slow stage {shape:?}, {signal} of {who} executor (seed {seed}): {end}; \
         {:.1} s, without the loss {:.1} s; logs: {} x \"Can't find active stage\", {} x \"Roll back\", {} x \"Need to resubmit\"",
        started.elapsed().as_secs_f64(),
        usual.as_secs_f64(),
        cluster.said("Can't find active stage to update stage outputs"),
        cluster.said("Roll back running"),
        cluster.said("Need to resubmit"),
    );
    end
}

/// Tries with other seeds and says how many showed the fault.
async fn count(
    what: &str,
    policy: &'static str,
    adaptive: bool,
    shape: Shape,
    signal: &str,
    fault: impl Fn(&End) -> bool,
) -> usize {
    let mut seen = 0;
    for seed in 0..tries() {
        seen += usize::from(fault(
            &lose_an_executor(policy, adaptive, shape, signal, seed).await,
        ));
    }
    println!(
        "{what} (policy {policy}, adaptive {adaptive}, slow stage {shape:?}): {seen} of {}",
        tries()
    );
    seen
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: several minutes of waiting for jobs that hang"]
async fn s1_adaptive_planning_hangs_when_an_executor_is_killed_under_a_shuffle() {
    let hang = |end: &End| *end == End::Hang;
    let seen = count("S1 hang", "pull", true, Shape::Last, "-KILL", hang).await
        + count("S1 hang", "pull", true, Shape::Middle, "-KILL", hang).await;
    assert!(seen > 0, "S1 was not seen: has it been mended?");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: several minutes of killing executors"]
async fn s2_static_planning_doubles_rows_when_an_executor_is_killed_under_a_shuffle() {
    let doubled = |end: &End| matches!(end, End::Wrong((n, s)) if *n > TRUTH.0 && *s > TRUTH.1);
    let mut seen = 0;
    for policy in ["pull", "push"] {
        for shape in [Shape::Last, Shape::Middle] {
            seen += count("S2 doubled rows", policy, false, shape, "-KILL", doubled).await;
        }
    }
    assert!(seen > 0, "S2 was not seen: has it been mended?");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: several minutes of waiting for jobs that hang"]
async fn s3_push_mode_hangs_when_an_executor_is_told_to_stop_under_a_shuffle() {
    let hang = |end: &End| *end == End::Hang;
    let mut seen = 0;
    for adaptive in [true, false] {
        seen += count("S3 hang", "push", adaptive, Shape::Last, "-TERM", hang).await;
        seen += count("S3 hang", "push", adaptive, Shape::Middle, "-TERM", hang).await;
    }
    assert!(seen > 0, "S3 was not seen: has it been mended?");
}

/// Needs no shuffle and no loss: tasks that are handed out together must fit into one message.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: minutes of waiting for jobs that hang"]
async fn s4_tasks_of_more_than_16_mib_in_one_message_hang() {
    let sql = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!("SELECT g, v AS s FROM t WHERE s <> '{text}'")
    };
    let truth = (ROWS, ROWS);
    let mut seen = 0;
    for (policy, adaptive) in [("pull", true), ("pull", false), ("push", false)] {
        let cluster = Plain::start(policy, 2, FILES);
        let ctx = cluster.client(adaptive).await;
        let started = Instant::now();
        assert_eq!(answer(ctx.clone(), sql(100_000)).await.unwrap(), truth);
        let usual = started.elapsed();
        let end = match end(&ctx, sql(3 << 20), async {}).await {
            End::Wrong(answer) if answer == truth => End::Right,
            other => other,
        };
        let (pull, push) = (
            cluster.said("encoded message length too large"),
            cluster.said("Failed to launch new task"),
        );
        println!(
            "S4 ({}, adaptive {adaptive}): {end}; with a plan of 100 kB it takes {:.1} s; logs: {pull} x \"too large\", \
             {push} x \"Failed to launch new task\"",
            cluster.policy,
            usual.as_secs_f64(),
        );
        if end == End::Hang {
            assert!(pull + push > 0, "it hangs for another reason");
            seen += 1;
        }
    }
    assert!(seen > 0, "S4 was not seen: has it been mended?");
}
