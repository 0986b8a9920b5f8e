//! A cluster that is closed: what every port answers to whom.

use std::net::SocketAddr;

use crate::pki::{Ca, Holder};
use crate::probe::{Outcome, Speaker};
use crate::processes::{Cluster, Setup, free_port};
use crate::support::{Dir, gleaner, program, query, run, skip, succeeds, tree};

const FETCH: [&str; 2] = [
    "/arrow.flight.protocol.FlightService/DoGet",
    "/arrow.flight.protocol.FlightService/DoAction",
];
/// Methods of the scheduler, and who may call them.
const METHODS: [(&str, &[&str]); 15] = [
    ("PollWork", &["executor"]),
    ("RegisterExecutor", &["executor"]),
    ("HeartBeatFromExecutor", &["executor"]),
    ("ExecutorStopped", &["executor"]),
    ("UpdateTaskStatus", &[]),
    ("CleanJobData", &[]),
    ("CreateUpdateSession", &["driver"]),
    ("RemoveSession", &["driver"]),
    ("ExecuteQuery", &["driver"]),
    ("ExecuteQueryPush", &["driver"]),
    ("GetJobMetrics", &["driver"]),
    ("CancelJob", &["driver"]),
    ("GetJobStatus", &["driver", "executor"]),
    ("NoSuchMethod", &[]),
    ("", &[]),
];
const ROLES: [&str; 5] = ["scheduler", "executor", "driver", "client", "none"];

fn setup(ca: &Ca<'_>) -> Setup {
    Setup {
        executors: 1,
        slots: 2,
        scheduler_args: ca.issue("scheduler").args(),
        executor_args: ca.issue("executor").args(),
        executor_env: vec![("RUST_LOG".to_owned(), "info".to_owned())],
        ..Setup::default()
    }
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn on(port: u16) -> SocketAddr {
    format!("127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_port_of_a_closed_cluster_answers_to_the_right_role_alone() {
    let dir = Dir::new();
    let (ca, other) = (Ca::new(&dir, "ca"), Ca::new(&dir, "other"));
    let metrics = [(); 2].map(|()| on(free_port()));
    let mut setup = setup(&ca);
    for (args, at) in [&mut setup.scheduler_args, &mut setup.executor_args]
        .into_iter()
        .zip(metrics)
    {
        args.extend(["--metrics".to_owned(), at.to_string()]);
    }
    let cluster = Cluster::start(&dir, setup);
    let (scheduler, flight) = (cluster.address, on(cluster.executor_ports[0]));
    let job = "/ballista.protobuf.SchedulerGrpc/GetJobStatus";
    let over = |holder: Option<&Holder>| Speaker::over_tls(&ca.file, holder);

    // Who has no certificate, or none that holds, is not heard at all.
    let foreign = other.issue("driver");
    let outsiders = [
        ("plain text", Speaker::plain()),
        ("no certificate", over(None)),
        ("another CA's certificate", over(Some(&foreign))),
        ("an expired one", over(Some(&ca.expired("driver")))),
        ("a token", over(None).with_token("gleaner_x")),
    ];
    for (what, outsider) in &outsiders {
        for (address, path) in [(scheduler, job), (flight, FETCH[0]), (flight, FETCH[1])] {
            let outcome = outsider.call(address, path).await;
            assert_eq!(outcome, Outcome::Closed, "{what}: {path}");
        }
        for address in [scheduler, flight] {
            for path in ["/healthz", "/readyz", "/api/jobs", "/metrics"] {
                let outcome = outsider.get(address, path).await;
                assert_eq!(outcome, Outcome::Closed, "{what}: {address} {path}");
            }
        }
    }
    // Metrics and health are for who reaches their port, and nothing else is there.
    for at in metrics {
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert_eq!(Speaker::plain().get(at, path).await, Outcome::Answered);
        }
        for path in [job, FETCH[0], "/gleaner.v1.Control/Submit"] {
            let outcome = Speaker::plain().call(at, path).await;
            assert_eq!(outcome, Outcome::Closed, "{path}");
        }
    }
    // And whom another CA has certified is not believed by us.
    let fooled = Speaker::over_tls(&other.file, Some(&ca.issue("driver")));
    assert_eq!(fooled.call(scheduler, job).await, Outcome::Closed);

    // Whose certificate holds is told by its role.
    for role in ROLES {
        let speaker = over(Some(&ca.issue(role)));
        for (method, roles) in METHODS {
            let path = format!("/ballista.protobuf.SchedulerGrpc/{method}");
            let expected = if roles.contains(&role) {
                Outcome::Answered
            } else {
                Outcome::Forbidden
            };
            let outcome = speaker.call(scheduler, &path).await;
            assert_eq!(outcome, expected, "{role}: {method}");
        }
        let is_process = ["scheduler", "executor", "driver"].contains(&role);
        for path in ["/healthz", "/readyz"] {
            let expected = if is_process {
                Outcome::Answered
            } else {
                Outcome::Forbidden
            };
            assert_eq!(speaker.get(scheduler, path).await, expected, "{role}");
        }
        for (address, path) in [(scheduler, "/api/jobs"), (scheduler, "/"), (flight, "/")] {
            let outcome = speaker.get(address, path).await;
            assert_eq!(outcome, Outcome::Forbidden, "{role}: {path}");
        }
        let fetches = ["executor", "driver"].contains(&role);
        for method in ["DoGet", "DoAction", "DoPut", "ListFlights", "Handshake"] {
            let path = format!("/arrow.flight.protocol.FlightService/{method}");
            let expected = if fetches && FETCH.contains(&path.as_str()) {
                Outcome::Answered
            } else {
                Outcome::Forbidden
            };
            let outcome = speaker.call(flight, &path).await;
            assert_eq!(outcome, expected, "{role}: {method}");
        }
    }
}

#[test]
fn a_day_on_a_closed_cluster_has_the_same_digest() {
    let dir = Dir::new();
    let ca = Ca::new(&dir, "ca");
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--rows-per-file", "1500"]);
    let (here, there) = (dir.join("here"), dir.join("there"));
    run(&telemetry, &here, &[]);
    let cluster = Cluster::start(&dir, setup(&ca));
    let driver = ca.issue("driver").args();
    let url = cluster.url.replace("df://", "dfs://");
    let closed = [&["--cluster", &url][..], &strs(&driver)].concat();
    run(&telemetry, &there, &closed);
    let digests =
        |warehouse: &str| query(warehouse, "SELECT stage, digest FROM runs ORDER BY stage");
    assert_eq!(digests(&there), digests(&here));
    assert_eq!(digests(&here).len(), 7);

    // The flags alone make it TLS; `dfs://` alone knows nobody; a wrong role and plain text do not get in.
    let sql = |url: &str, args: &[String]| {
        let ask = ["sql", "--json", "--cluster", url, "--warehouse", &there];
        let ask = [
            &ask[..],
            &strs(args),
            &["SELECT 1 AS n FROM commands LIMIT 1"],
        ]
        .concat();
        let output = gleaner(&ask);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(sql(&cluster.url, &driver).0.trim(), "{\"n\":1}");
    let (out, said) = sql(&url, &[]);
    assert!(out.is_empty() && said.contains("--tls-ca"), "{said}");
    let (out, said) = sql(&url, &ca.issue("client").args());
    assert!(out.is_empty() && said.contains("is for driver"), "{said}");
    let (out, said) = sql(&cluster.url, &[]);
    assert!(out.is_empty() && !said.is_empty(), "{said}");

    // No key is in a log.
    let keys = tree(dir.path());
    let keys = keys
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "key"));
    let secrets: Vec<String> = keys
        .map(|path| std::fs::read_to_string(dir.path().join(path)).unwrap())
        .map(|pem| pem.lines().nth(1).unwrap().to_owned())
        .collect();
    assert!(secrets.len() >= 3 && secrets.iter().all(|s| s.len() > 40));
    for log in ["scheduler-0.log", "executor-0.log"] {
        let text = std::fs::read_to_string(dir.path().join(log)).unwrap();
        for secret in &secrets {
            assert!(!text.contains(secret), "a key in {log}");
        }
    }
}

/// The commands of docs/security.md, in a directory of ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_commands_make_certificates_that_a_cluster_takes() {
    let dir = Dir::new();
    let document = include_str!("../../../docs/security.md");
    let commands = document.split("```bash\n").nth(1).unwrap();
    let commands = commands.split("```").next().unwrap();
    let script = format!("set -eu\nmkdir pki\ncd pki\n{commands}");
    let made = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir.path())
        .output();
    match made {
        Ok(made) if made.status.success() => {}
        Ok(made) => {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(said.contains("openssl: not found"), "{said}");
            return skip("openssl makes the documented certificates");
        }
        Err(e) => panic!("{e}"),
    }
    let holder = |name: &str| Holder {
        cert: dir.join(&format!("pki/{name}.pem")),
        key: dir.join(&format!("pki/{name}.key")),
        ca: dir.join("pki/ca.pem"),
    };
    let setup = Setup {
        executors: 1,
        scheduler_args: holder("scheduler").args(),
        executor_args: holder("executor-1").args(),
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let mine = dir.write("mine.csv", "name\nanna\n");
    let query = format!("SELECT max(name) AS n FROM '{mine}'");
    let ask = ["sql", "--json", "--cluster", &cluster.url];
    let driver = holder("driver").args();
    let said = succeeds(&[&ask[..], &strs(&driver), &[&query]].concat());
    assert_eq!(said.trim(), "{\"n\":\"anna\"}");
    let executor = Speaker::over_tls(&holder("driver").ca, Some(&holder("executor-1")));
    let submit = "/ballista.protobuf.SchedulerGrpc/ExecuteQuery";
    let outcome = executor.call(cluster.address, submit).await;
    assert_eq!(outcome, Outcome::Forbidden);
}

#[test]
fn an_address_of_other_machines_is_refused_without_certificates() {
    let dir = Dir::new();
    let said = |name: &str, args: &[&str]| {
        let bind = format!("0.0.0.0:{}", free_port());
        let output = program(name).args(["--bind", &bind]).args(args).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for name in ["scheduler", "executor"] {
        let refusal = said(name, &[]);
        assert!(
            refusal.contains("--tls-cert") && refusal.contains("--insecure"),
            "{name}: {refusal}"
        );
        let ca = Ca::new(&dir, "ca");
        let holder = ca.issue(name).args();
        let half = said(name, &strs(&holder[..2]));
        assert!(half.contains("--tls-key"), "{name}: {half}");
        let blind = said(name, &strs(&holder[..4]));
        assert!(blind.contains("--tls-ca"), "{name}: {blind}");
        let missing = [
            "--tls-cert",
            "/none",
            "--tls-key",
            "/none",
            "--tls-ca",
            "/none",
        ];
        let missing = said(name, &missing);
        assert!(missing.contains("/none"), "{name}: {missing}");
    }
    // An executor that nobody could reach.
    let holder = Ca::new(&dir, "ca").issue("executor").args();
    let refusal = said("executor", &strs(&holder));
    assert!(refusal.contains("--advertise"), "{refusal}");
}
