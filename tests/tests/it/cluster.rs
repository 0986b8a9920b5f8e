//! A cluster of real processes on loopback: one scheduler, two executors.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dir, number, program, query, run, succeeds};

/// Processes that end with the test.
struct Cluster {
    processes: Vec<Child>,
    url: String,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Two free ports in a row, by asking the system for one until its neighbour is free too.
fn free_ports() -> u16 {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < 65_000 && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
    panic!("no two free ports in a row");
}

fn listening(address: SocketAddr, process: &mut Child) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect(address).is_err() {
        assert!(
            process.try_wait().unwrap().is_none(),
            "the process at {address} ended"
        );
        assert!(
            Instant::now() < deadline,
            "nothing listens on {address} after a minute"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Cluster {
    fn start(dir: &Dir, executors: usize) -> Self {
        let scheduler = format!("127.0.0.1:{}", free_ports());
        let mut cluster = Self {
            processes: vec![],
            url: format!("df://{scheduler}"),
        };
        cluster.spawn(dir, "scheduler", &["--bind", &scheduler], &scheduler);
        for _ in 0..executors {
            let bind = format!("127.0.0.1:{}", free_ports());
            cluster.spawn(
                dir,
                "executor",
                &["--scheduler", &scheduler, "--bind", &bind, "--slots", "1"],
                &bind,
            );
        }
        cluster
    }

    fn spawn(&mut self, dir: &Dir, name: &str, args: &[&str], address: &str) {
        let log = dir
            .path()
            .join(format!("{name}-{}.log", self.processes.len()));
        let log = std::fs::File::create(log).unwrap();
        let child = program(name)
            .args(args)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.push(child);
        listening(address.parse().unwrap(), self.processes.last_mut().unwrap());
    }
}

#[test]
fn a_cluster_gives_the_same_digest_as_this_process() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "6000", "--rows-per-file", "2000"]);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let (here, there) = (dir.join("here"), dir.join("there"));
    run(&telemetry, &here, &[]);
    let cluster = Cluster::start(&dir, 2);
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
    let port = free_ports();
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
