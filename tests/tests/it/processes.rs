//! A cluster of real processes on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dir, program};

/// How a cluster is started.
#[derive(Clone)]
pub struct Setup {
    /// How many executors.
    pub executors: usize,
    /// Task slots of each.
    pub slots: usize,
    /// Seconds after which a silent executor is given up.
    pub timeout: u64,
    /// Directories whose files scheduler and executors may touch; by default that of all tests.
    pub directories: Vec<String>,
    /// More flags of the scheduler.
    pub scheduler_args: Vec<String>,
    /// More flags of every executor.
    pub executor_args: Vec<String>,
    /// More environment of scheduler and executors.
    pub env: Vec<(String, String)>,
    /// More environment of executors alone.
    pub executor_env: Vec<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            executors: 2,
            slots: 1,
            timeout: 30,
            directories: vec![std::env::temp_dir().to_string_lossy().into_owned()],
            scheduler_args: vec![],
            executor_args: vec![],
            env: vec![],
            executor_env: vec![],
        }
    }
}

/// Processes that end with the test.
pub struct Cluster {
    pub scheduler: Child,
    pub executors: Vec<Child>,
    /// The ports of those that were started, in order.
    pub executor_ports: Vec<u16>,
    pub url: String,
    pub setup: Setup,
    pub address: SocketAddr,
    logs: PathBuf,
    started: usize,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in std::iter::once(&mut self.scheduler).chain(&mut self.executors) {
            end(process);
        }
    }
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// A free port.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

pub fn listening(address: SocketAddr, process: &mut Child) {
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

/// Sends a signal by its name: `-KILL`, `-STOP`, `-CONT`, `-TERM`.
pub fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

impl Cluster {
    pub fn start(dir: &Dir, setup: Setup) -> Self {
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let logs = dir.path().to_owned();
        let mut cluster = Self {
            scheduler: scheduler(address, &setup, &logs.join("scheduler-0.log")),
            executors: vec![],
            executor_ports: vec![],
            url: format!("df://{address}"),
            setup,
            address,
            logs,
            started: 0,
        };
        for _ in 0..cluster.setup.executors {
            cluster.add_executor();
        }
        cluster
    }

    pub fn add_executor(&mut self) {
        let bind: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let n = self.started;
        self.started += 1;
        let work = self.logs.join(format!("work-{n}"));
        let log = std::fs::File::create(self.logs.join(format!("executor-{n}.log"))).unwrap();
        let mut child = program("executor")
            .args(["--scheduler", &self.address.to_string()])
            .args(["--bind", &bind.to_string()])
            .args(["--slots", &self.setup.slots.to_string()])
            .args(["--work-dir", &work.to_string_lossy()])
            .args(["--directories", &self.setup.directories.join(",")])
            .args(&self.setup.executor_args)
            .envs(self.setup.env.iter().cloned())
            .envs(self.setup.executor_env.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        listening(bind, &mut child);
        self.executors.push(child);
        self.executor_ports.push(bind.port());
    }

    /// What executor `n` wrote to its log.
    pub fn executor_log(&self, n: usize) -> String {
        std::fs::read_to_string(self.logs.join(format!("executor-{n}.log"))).unwrap()
    }

    /// Kills the scheduler, and starts another on its port.
    pub fn restart_scheduler(&mut self, after: Duration) {
        end(&mut self.scheduler);
        std::thread::sleep(after);
        self.started += 1;
        let log = self.logs.join(format!("scheduler-{}.log", self.started));
        self.scheduler = scheduler(self.address, &self.setup, &log);
    }
}

fn scheduler(address: SocketAddr, setup: &Setup, log: &std::path::Path) -> Child {
    let mut child = program("scheduler")
        .args(["--bind", &address.to_string()])
        .args(["--executor-timeout-secs", &setup.timeout.to_string()])
        .args(["--directories", &setup.directories.join(",")])
        .args(&setup.scheduler_args)
        .envs(setup.env.iter().cloned())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    listening(address, &mut child);
    child
}
