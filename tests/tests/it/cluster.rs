//! A cluster of real processes on loopback: one scheduler, two executors.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use ballista_core::extension::{SessionConfigExt as _, SessionStateExt as _};
use datafusion::arrow::array::AsArray as _;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::processes::{Cluster, Setup, free_port, listening};
use crate::support::{Dir, fails, number, query, run, succeeds, tree};

#[test]
fn a_cluster_gives_the_same_digest_as_this_process() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--rows-per-file", "2000"]);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let (here, there) = (dir.join("here"), dir.join("there"));
    run(&telemetry, &here, &[]);
    let setup = Setup {
        executor_env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    run(&telemetry, &there, &["--cluster", &cluster.url]);
    let digests =
        |warehouse: &str| query(warehouse, "SELECT stage, digest FROM runs ORDER BY stage");
    assert_eq!(digests(&there), digests(&here));
    assert_eq!(digests(&here).len(), 7);

    // What a cluster wrote is up to date for the cluster too.
    let said = run(&telemetry, &there, &["--cluster", &cluster.url]);
    assert!(said.contains("up to date"), "{said}");

    // A user's own SQL runs on the cluster, with our functions and over the warehouse's tables.
    let on_cluster = |sql: &str| {
        succeeds(&[
            "sql",
            "--json",
            "--cluster",
            &cluster.url,
            "--warehouse",
            &there,
            sql,
        ])
    };
    let sql = "SELECT count(*) AS n FROM commands WHERE cmd_entropy(command_line) > 4";
    let expected = number(&here, sql);
    assert!(expected > 0);
    assert_eq!(on_cluster(sql).trim(), format!("{{\"n\":{expected}}}"));

    // What Ballista cuts into stages (joins and unions, of one partition too) is one task here, also with adaptive planning.
    for (sql, expected) in [
        (
            "SELECT count(*) AS n FROM anomalies a JOIN commands c ON c.hash = a.hash",
            "SELECT count(*) FROM anomalies",
        ),
        (
            "SELECT count(*) AS n FROM (SELECT hash FROM commands UNION ALL SELECT hash FROM commands)",
            "SELECT 2 * count(*) FROM commands",
        ),
    ] {
        let expected = format!("{{\"n\":{}}}", number(&here, expected));
        assert_eq!(on_cluster(sql).trim(), expected, "{sql}");
    }
    let adaptive = ["--cluster", &cluster.url, "--adaptive"];
    run(&telemetry, &dir.join("adaptive"), &adaptive);
    assert_eq!(digests(&dir.join("adaptive")), digests(&here));
    let tasks = tasks(&dir);
    assert!(tasks.len() > 30, "{tasks:?}");
    let again = tasks.iter().find(|(_, n)| **n > 1);
    assert_eq!(again, None, "a job with more than one task");

    // A setting has nothing to show, and is none.
    let set = "SET datafusion.execution.batch_size = 100";
    assert_eq!(on_cluster(set), "");
    assert_eq!(succeeds(&["sql", set]), "");

    // A plan that might not fit into a poll's answer is refused; a long one works.
    let long = |bytes: usize| {
        format!("SELECT count(*) AS n FROM commands WHERE command_line = repeat('x', {bytes})")
    };
    assert_eq!(on_cluster(&long(1 << 20)).trim(), "{\"n\":0}");
    let said = fails(&[
        "sql",
        "--cluster",
        &cluster.url,
        "--warehouse",
        &there,
        &long(5 << 20),
    ]);
    assert!(said.contains("put long literals into a file"), "{said}");
}

/// A warehouse's table, to a client that knows Parquet alone.
fn external_table(warehouse: &str) -> String {
    format!(
        "CREATE EXTERNAL TABLE commands STORED AS PARQUET LOCATION '{warehouse}/commands/day=2025-01-01/'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ballistas_own_client_runs_sql_with_our_functions() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    let cluster = Cluster::start(&dir, Setup::default());
    // As Ballista's examples make one; nothing of Gleaner's but the names of its functions.
    let config = SessionConfig::new_with_ballista();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .build();
    let scheduler = cluster.url.replace("df://", "http://");
    let state = state.upgrade_for_ballista(scheduler).unwrap();
    let ctx = SessionContext::new_with_state(state);
    for function in gleaner_udfs::scalar_functions() {
        ctx.register_udf(function);
    }
    for function in gleaner_udfs::aggregate_functions() {
        ctx.register_udaf(function);
    }
    ctx.sql(&external_table(&warehouse)).await.unwrap();
    let sql = "SELECT count(*) AS n, sum(cmd_entropy(command_line)) > 0 AS some FROM commands \
               WHERE cmd_entropy(command_line) > 4 AND cmd_template(command_line) <> command_line";
    let found = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    let found: usize = found
        .iter()
        .map(|b| b.column(0).as_primitive::<Int64Type>().value(0))
        .map(|n| usize::try_from(n).unwrap())
        .sum();
    let here = query(&warehouse, sql);
    assert!(found > 0);
    assert_eq!(here[0]["n"].as_u64(), Some(found as u64));
}

/// `cargo install ballista-cli --version 55.0.0 --locked --no-default-features --features cli`, and its path in
/// `GLEANER_BALLISTA_CLI`. It plans SQL on its own side, with the functions it was built with: ours it cannot name.
#[test]
#[ignore = "long: ballista-cli has to be built"]
fn ballista_cli_runs_sql_on_our_scheduler() {
    let cli = std::env::var("GLEANER_BALLISTA_CLI").unwrap();
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    let cluster = Cluster::start(&dir, Setup::default());
    let (host, port) = cluster
        .url
        .trim_start_matches("df://")
        .split_once(':')
        .unwrap();
    let run = |sql: &str| {
        let file = dir.write(
            "s.sql",
            format!("{};\n{sql};\n", external_table(&warehouse)),
        );
        let output = std::process::Command::new(&cli)
            .args([
                "--host", host, "--port", port, "--format", "json", "--quiet",
            ])
            .args(["--file", &file])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    };
    let joined = "SELECT count(*) AS n FROM commands a JOIN commands b ON a.hash = b.hash";
    let expected = number(&warehouse, "SELECT count(*) FROM commands");
    let said = run(joined);
    assert!(said.contains(&format!("{{\"n\":{expected}}}")), "{said}");
    let said = run("SELECT max(cmd_entropy(command_line)) FROM commands");
    assert!(said.contains("Invalid function 'cmd_entropy'"), "{said}");
}

/// How many tasks the executors were given of each job.
fn tasks(dir: &Dir) -> BTreeMap<String, usize> {
    let mut tasks = BTreeMap::new();
    let logs = tree(dir.path()).into_iter();
    for log in logs.filter(|path| path.to_string_lossy().starts_with("executor-")) {
        let text = std::fs::read_to_string(dir.path().join(log)).unwrap();
        for task in text.split("Received task: [TID ").skip(1) {
            let job = task.split('/').next().unwrap();
            *tasks.entry(job.to_owned()).or_default() += 1;
        }
    }
    tasks
}

#[test]
#[cfg(unix)]
fn the_script_of_a_local_cluster_starts_one_and_ends_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    for (name, word) in [
        ("gleaner-scheduler", "scheduler"),
        ("gleaner-executor", "executor"),
    ] {
        let program = env!("CARGO_BIN_EXE_gleaner-under-test");
        let path = dir.write(
            &format!("bin/{name}"),
            format!("#!/bin/sh\nexec '{program}' {word} \"$@\"\n"),
        );
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/cluster.sh");
    let port = free_port();
    let mut child = std::process::Command::new(script)
        .args(["1", &port.to_string()])
        .env("GLEANER_BIN", dir.join("bin"))
        .current_dir(dir.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    listening(address, &mut child);
    let telemetry = dir.synth("telemetry", &["--lines", "500"]);
    let url = format!("df://{address}");
    run(
        &telemetry,
        &dir.join("warehouse"),
        &["--cluster", &url, "--through", "commands"],
    );
    assert_eq!(
        number(&dir.join("warehouse"), "SELECT sum(events) FROM commands"),
        500
    );
    let kill = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    child.wait().unwrap();
    assert!(
        TcpStream::connect(address).is_err(),
        "the scheduler outlived its script"
    );
}
