//! One day on clusters of every shape.

use serde_json::Value;

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, query, run};

const SLOTS: [usize; 5] = [1, 2, 4, 8, 16];

/// The digests of all stages; each is the sum over the stage's tables.
fn digests(warehouse: &str) -> Vec<Value> {
    query(warehouse, "SELECT stage, digest FROM runs ORDER BY stage")
}

/// `cargo test -p gleaner-tests --test it matrix:: -- --ignored --nocapture`
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
