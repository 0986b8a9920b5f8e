//! Processes that die at the worst moment. Every fault counts its firings: a case whose fault did not fire fails.
//!
//! The fast cases run always; `GLEANER_SEEDS=3` repeats each at other moments.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gleaner::warehouse::Warehouse;
use gleaner::warehouse::tables::TABLES;

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, digest, program, query, run, tree};

const DAY: &str = "2025-01-01";

fn seeds() -> usize {
    let given = std::env::var("GLEANER_SEEDS").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(1)
}

pub fn fault(dir: &Dir, fault: &str, times: usize) -> Vec<(String, String)> {
    let text = |s: &str| s.to_owned();
    vec![
        (text("GLEANER_FAULT"), text(fault)),
        (text("GLEANER_FAULT_FIRED"), dir.join("fired")),
        (text("GLEANER_FAULT_TIMES"), times.to_string()),
    ]
}

pub fn fired(dir: &Dir) -> Vec<PathBuf> {
    let names = tree(dir.path()).into_iter();
    names
        .filter(|p| p.to_string_lossy().starts_with("fired."))
        .collect()
}

fn telemetry(dir: &Dir) -> String {
    dir.synth("telemetry", &["--lines", "4000", "--rows-per-file", "1500"])
}

fn args<'a>(telemetry: &'a str, warehouse: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "--",
        "run",
        "--date",
        DAY,
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    [&common, more].concat()
}

/// An executor that dies while it reads, while it writes staged events, after that, while it scores, and while it writes a
/// table: the first time, the second, the third. Of two executors one does it `n` times in `2n - 1` days.
#[test]
fn an_executor_dies() {
    for n in 1..=seeds() {
        let days = 2 * n - 1;
        let alone = Dir::new();
        let (lines, days) = ((4000 * days).to_string(), days.to_string());
        let size = [
            "--lines",
            &lines,
            "--days",
            &days,
            "--rows-per-file",
            "1500",
        ];
        let source = alone.synth("telemetry", &size);
        let expected = alone.join("alone");
        let to = format!("2025-01-{days:0>2}");
        let took = |warehouse: &str, more: &[&str]| {
            let started = Instant::now();
            run(&source, warehouse, &[&["--to", &to], more].concat());
            started.elapsed()
        };
        took(&expected, &[]);
        let cluster = Cluster::start(&alone, Setup::default());
        let calm = took(&alone.join("calm"), &["--cluster", &cluster.url]);
        drop(cluster);
        let digests = |w: &str| query(w, "SELECT day, stage, digest FROM runs ORDER BY 1, 2");
        for point in [
            "scan",
            "write.batch:events/",
            "write.done:events/",
            "write.batch:scores/",
            "write.finish:day=",
        ] {
            let dir = Dir::new();
            let cluster = Cluster::start(
                &dir,
                Setup {
                    timeout: 6,
                    executor_env: fault(&dir, &format!("{point}@{n}=kill"), 1),
                    ..Setup::default()
                },
            );
            let warehouse = dir.join("warehouse");
            let stormy = took(&warehouse, &["--cluster", &cluster.url]);
            assert_eq!(fired(&dir).len(), 1, "{point}@{n}: nobody died");
            assert_eq!(digests(&warehouse), digests(&expected), "{point}@{n}");
            let recovery = stormy.saturating_sub(calm).as_secs_f64();
            println!("{point}@{n}: an executor died; {recovery:.1} s longer");
            assert!(recovery < 6.0 + 30.0, "{point}@{n}: {recovery} s");
        }
    }
}

#[test]
fn a_frozen_executor_that_wakes_adds_nothing() {
    let dir = Dir::new();
    let source = telemetry(&dir);
    let expected = dir.join("alone");
    run(&source, &expected, &[]);
    let mut cluster = Cluster::start(
        &dir,
        Setup {
            timeout: 6,
            executor_env: fault(&dir, "write.batch:scores/=stop", 1),
            ..Setup::default()
        },
    );
    let warehouse = dir.join("warehouse");
    std::thread::scope(|scope| {
        let day = scope.spawn(|| run(&source, &warehouse, &["--cluster", &cluster.url]));
        while fired(&dir).is_empty() {
            assert!(!day.is_finished(), "the day ended and nobody froze");
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(20));
        for executor in &cluster.executors {
            crate::processes::signal(executor, "-CONT");
        }
        day.join().unwrap();
    });
    assert_eq!(digest(&warehouse, DAY), digest(&expected, DAY));
    let digests = |w: &str| query(w, "SELECT stage, digest FROM runs ORDER BY stage");
    assert_eq!(digests(&warehouse), digests(&expected));
    // The woken one is of use again.
    cluster.executors.remove(0).kill().unwrap();
    cluster.add_executor();
    let more = ["--cluster", &cluster.url, "--quota", "9%"];
    run(&source, &warehouse, &more);
    run(&source, &expected, &["--quota", "9%"]);
    assert_eq!(digests(&warehouse), digests(&expected));
}

#[test]
fn without_executors_a_day_fails_by_name() {
    let dir = Dir::new();
    let source = telemetry(&dir);
    let cluster = Cluster::start(
        &dir,
        Setup {
            timeout: 5,
            executor_env: fault(&dir, "write.batch:scores/=kill", 2),
            ..Setup::default()
        },
    );
    let warehouse = dir.join("warehouse");
    let started = Instant::now();
    let output = program("gleaner")
        .args(args(&source, &warehouse, &["--cluster", &cluster.url]))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(fired(&dir).len(), 2, "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("executor"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(150), "{said}");
    // Nothing is published, and finished stages are not repeated.
    assert!(query(&warehouse, "SELECT * FROM runs").is_empty());
    let report = run(&source, &warehouse, &["--json"]);
    assert!(
        report
            .lines()
            .next()
            .unwrap()
            .contains("\"unchanged\":true"),
        "{report}"
    );
}

#[test]
fn a_restarted_scheduler_costs_a_retry() {
    let dir = Dir::new();
    let source = telemetry(&dir);
    let expected = dir.join("alone");
    run(&source, &expected, &[]);
    let mut cluster = Cluster::start(
        &dir,
        Setup {
            // Slow enough that the scheduler is restarted in the middle of a task.
            executor_env: fault(&dir, "write.batch:scores/=sleep:4000", 1),
            ..Setup::default()
        },
    );
    let warehouse = dir.join("warehouse");
    let url = cluster.url.clone();
    std::thread::scope(|scope| {
        let day = scope.spawn(|| run(&source, &warehouse, &["--cluster", &url]));
        while fired(&dir).is_empty() {
            assert!(!day.is_finished(), "the day ended before the fault");
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster.restart_scheduler(Duration::from_secs(2));
        day.join().unwrap();
    });
    assert_eq!(digest(&warehouse, DAY), digest(&expected, DAY));
}

/// What a reader finds of the day, over all tables.
fn seen(warehouse: &str) -> String {
    let sql = "SELECT (SELECT sum(events) FROM commands) AS events, (SELECT count(*) FROM anomalies) AS anomalies, \
               (SELECT count(*) FROM candidates) AS candidates, (SELECT count(*) FROM labels) AS labels, \
               (SELECT count(*) FROM benign) AS benign, (SELECT sum(rows_kept) FROM runs WHERE stage = 'anomalies') AS kept";
    query(warehouse, sql)[0].to_string()
}

/// Every file of every table, as a reader's snapshot holds them.
async fn files(warehouse: &str) -> String {
    let warehouse = Warehouse::open(warehouse).await.unwrap();
    let snapshot = warehouse.snapshot(TABLES).await.unwrap();
    let tables = TABLES.iter().map(|table| {
        let mut paths: Vec<_> = snapshot.files(table).iter().map(|f| &f.path).collect();
        paths.sort();
        format!("{}: {paths:?}", table.name)
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// Looks at a warehouse twenty times a second until told to stop.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(usize, Duration, BTreeSet<String>)>,
}

impl Reader {
    fn start(warehouse: &str) -> Self {
        let (stop, warehouse) = (Arc::new(AtomicBool::new(false)), warehouse.to_owned());
        let stopped = Arc::clone(&stop);
        let look = async move {
            let (mut looks, started) = (tokio::task::JoinSet::new(), Instant::now());
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                let warehouse = warehouse.clone();
                looks.spawn(async move { files(&warehouse).await });
            }
            let took = started.elapsed();
            let found = looks.join_all().await;
            (found.len(), took, found.into_iter().collect())
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(look)
        });
        Self { stop, thread }
    }

    /// What was seen, and how often it was looked, a second.
    fn stop(self) -> (f64, BTreeSet<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (looks, took, seen) = self.thread.join().unwrap();
        (looks as f64 / took.as_secs_f64(), seen)
    }
}

/// The driver dies before the day's commit, between the commits and after them; a reader sees one of two days.
#[test]
fn a_driver_dies_while_it_publishes() {
    let points = [
        "publish.before",
        "publish.noted",
        "publish.runs",
        "publish.table",
        "publish.applied",
    ];
    let base = Dir::new();
    let source = telemetry(&base);
    let (old, new) = (base.join("old"), base.join("new"));
    run(&source, &old, &["--quota", "3%"]);
    run(&source, &new, &["--quota", "8%"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for point in points {
        for nth in 1..=seeds() {
            let dir = Dir::new();
            let warehouse = dir.join("warehouse");
            run(&source, &warehouse, &["--quota", "3%"]);
            assert_eq!(seen(&warehouse), seen(&old));
            let before = runtime.block_on(files(&warehouse));
            let reader = Reader::start(&warehouse);
            // Only the commits of tables come more than once: other points are met at another moment of the reader's.
            let at = if point == "publish.table" { nth } else { 1 };
            let output = program("gleaner")
                .args(args(&source, &warehouse, &["--quota", "8%"]))
                .envs(fault(&dir, &format!("{point}@{at}=kill"), 1))
                .output()
                .unwrap();
            assert_eq!(fired(&dir).len(), 1, "{point}@{at}");
            assert!(!output.status.success());
            let killed = runtime.block_on(files(&warehouse));
            let said = run(&source, &warehouse, &["--quota", "8%", "--json"]);
            assert!(
                said.lines().all(|l| l.contains("\"unchanged\":true")),
                "{point}: finished work was repeated: {said}"
            );
            let (rate, seen_meanwhile) = reader.stop();
            let after = runtime.block_on(files(&warehouse));
            assert_ne!(before, after);
            let allowed = BTreeSet::from([before, after]);
            assert!(allowed.contains(&killed), "{point}@{at}: {killed}");
            assert_eq!(
                seen_meanwhile, allowed,
                "{point}@{at}: not the old day and the new one"
            );
            println!("{point}@{at}: {rate:.1} looks a second");
            assert!(rate > 15.0, "{rate} looks a second are too few");
            assert_eq!(digest(&warehouse, DAY), digest(&new, DAY), "{point}");
            assert_eq!(seen(&warehouse), seen(&new), "{point}");
            assert!(tree(&dir.path().join("warehouse/_publish")).is_empty());
        }
    }
}

#[test]
fn eight_runs_of_one_day_make_one_commit_for_each_answer() {
    let dir = Dir::new();
    let source = telemetry(&dir);
    let warehouse = dir.join("warehouse");
    let quota = |n: usize| if n.is_multiple_of(2) { "3%" } else { "8%" };
    let said: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                let (source, warehouse) = (&source, &warehouse);
                scope.spawn(move || {
                    let output = program("gleaner")
                        .args(args(
                            source,
                            warehouse,
                            &["--quota", quota(n), "--slots", "1"],
                        ))
                        .output()
                        .unwrap();
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{said}");
                    said
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let others = said.iter().filter(|s| s.contains("another run")).count();
    let expected = BTreeSet::from(["3%", "8%"].map(|quota| {
        let alone = dir.join(quota.trim_end_matches('%'));
        run(&source, &alone, &["--quota", quota]);
        seen(&alone)
    }));
    let found = seen(&warehouse);
    assert!(expected.contains(&found), "{found}");
    assert_eq!(
        crate::support::number(&warehouse, "SELECT sum(events) FROM commands"),
        4000
    );
    let log = dir.path().join("warehouse/runs/_delta_log");
    let commits = tree(&log)
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "json"))
        .count();
    // The table's creation, and at least one commit an answer; whoever found its answer there said so.
    assert!(commits >= 3, "{commits} commits");
    assert!(
        others + commits > 8,
        "{others} said so, {commits} commits: {said:?}"
    );
}
