//! One day on clusters of every shape.

use serde_json::Value;

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, query, run};

const SLOTS: [usize; 5] = [1, 2, 4, 8, 16];

/// The digests of all stages; each is the sum over the stage's tables.
fn digests(warehouse: &str) -> Vec<Value> {
    query(
        warehouse,
        "SELECT day, stage, digest FROM runs ORDER BY day, stage",
    )
}

#[test]
#[ignore = "long: two days on six clusters"]
fn days_that_reuse_models_have_the_same_digests_on_one_two_and_three_executors() {
    let dir = Dir::new();
    let size = ["--lines", "40000", "--rows-per-file", "8000", "--days", "2"];
    let telemetry = dir.synth("telemetry", &size);
    for policy in ["reuse", "refit-if-drifted"] {
        let days = ["--to", "2025-01-02", "--models", policy];
        let here = dir.join(&format!("here-{policy}"));
        run(&telemetry, &here, &days);
        let expected = digests(&here);
        let used = "SELECT count(DISTINCT sha256) AS n FROM models WHERE kind = 'pca'";
        if policy == "reuse" {
            assert_eq!(query(&here, used)[0]["n"], 1, "the second day reuses them");
        }
        for executors in 1..=3 {
            let dir = Dir::new();
            let setup = Setup {
                executors,
                ..Setup::default()
            };
            let cluster = Cluster::start(&dir, setup);
            let there = dir.join("there");
            run(
                &telemetry,
                &there,
                &[&days[..], &["--cluster", &cluster.url]].concat(),
            );
            assert_eq!(digests(&there), expected, "{policy}, {executors} executors");
            println!("{policy}, {executors} executors: the same");
        }
    }
}

/// `cargo test --workspace --test it matrix:: -- --ignored --nocapture`
#[test]
#[ignore = "long: 32 runs of a day of 300,000 lines"]
fn a_day_has_the_same_digests_on_every_cluster() {
    let dir = Dir::new();
    let size = ["--lines", "300000", "--rows-per-file", "25000"];
    let telemetry = dir.synth("telemetry", &size);
    dir.write("telemetry/day=2025-01-01/broken.ndjson", "{broken\n");
    let here = dir.join("here");
    run(&telemetry, &here, &["--slots", "1"]);
    let expected = digests(&here);
    assert_eq!(expected.len(), 7);
    let files = query(&here, "SELECT count(DISTINCT hash) AS n FROM commands");
    println!("in this process, 1 slot: {}", files[0]);
    for slots in ["3", "16"] {
        let warehouse = dir.join(&format!("here-{slots}"));
        run(&telemetry, &warehouse, &["--slots", slots]);
        assert_eq!(
            digests(&warehouse),
            expected,
            "in this process, {slots} slots"
        );
    }
    for executors in 1..=3 {
        for slots in SLOTS {
            let setup = Setup {
                executors,
                slots,
                ..Setup::default()
            };
            let dir = Dir::new();
            let cluster = Cluster::start(&dir, setup);
            let in_flight = (executors * slots).to_string();
            for adaptive in [false, true] {
                let warehouse = dir.join(if adaptive { "adaptive" } else { "static" });
                let mut args = vec!["--cluster", &cluster.url, "--slots", &in_flight];
                if adaptive {
                    args.push("--adaptive");
                }
                run(&telemetry, &warehouse, &args);
                let what = format!("{executors} executors, {slots} slots, adaptive {adaptive}");
                assert_eq!(digests(&warehouse), expected, "{what}");
                println!("{what}: the same");
            }
        }
    }
}
