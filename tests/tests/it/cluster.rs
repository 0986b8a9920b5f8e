//! A cluster of real processes on loopback: one scheduler, two executors.

use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use crate::processes::{Cluster, Setup, free_port, listening};
use crate::support::{Dir, number, query, run, succeeds};

#[test]
fn a_cluster_gives_the_same_digest_as_this_process() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--rows-per-file", "2000"]);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let (here, there) = (dir.join("here"), dir.join("there"));
    run(&telemetry, &here, &[]);
    let cluster = Cluster::start(&dir, Setup::default());
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
