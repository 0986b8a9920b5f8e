//! A day of requests by all six detectors, and by thresholds that scores set.

use serde_json::Value;

use crate::api_day::{attack, requests};
use crate::processes::{Cluster, Setup, signal};
use crate::scoring::score;
use crate::serve::Server;
use crate::support::{Dir, digest, fails, number, query, says, status, succeeds};

const DETECTORS: [&str; 6] = ["iforest", "pca", "kmeans", "dbscan", "ocsvm", "autoencoder"];
const EVERY: &str = "iforest,pca,kmeans,dbscan,ocsvm,autoencoder";

/// Runs a day; returns everything that was said.
fn day(date: &str, telemetry: &str, warehouse: &str, args: &[&str]) -> String {
    let common = [
        "run",
        "--kind",
        "api",
        "--date",
        date,
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    says(&[&common, args].concat())
}

fn texts(value: &Value) -> Vec<&str> {
    let texts = value.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn each_of_six_detectors_finds_a_planted_attack_and_the_day_is_the_same_however_it_is_cut() {
    let dir = Dir::new();
    // A dozen requests among more than a thousand.
    let attack = attack().replace("2025-01-01T23:45", "2025-01-02T03:45");
    let attack: Vec<&str> = attack.lines().take(13).collect();
    let telemetry = dir.write("requests.ndjson", requests() + &attack.join("\n"));
    let warehouse = dir.join("warehouse");
    let args = ["--quota", "2%", "--detectors", EVERY];
    day("2025-01-02", &telemetry, &warehouse, &args);
    for detector in DETECTORS {
        let chosen = format!("SELECT count(*) FROM anomalies WHERE {detector}_rank IS NOT NULL");
        let all = number(&warehouse, &chosen);
        let found = number(&warehouse, &format!("{chosen} AND actor = 'mallory'"));
        assert!(
            found >= 8 && all <= 30,
            "{detector}: {found} of 12, {all} chosen"
        );
    }
    let kinds = "SELECT kind FROM models WHERE kind NOT IN ('baseline', 'frequencies', 'templates') ORDER BY kind";
    let kinds = query(&warehouse, kinds);
    let kinds: Vec<&str> = kinds
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["autoencoder", "dbscan", "iforest", "kmeans", "ocsvm", "pca"]
    );
    // Why, by each of them; and who found it, in the incident that it is.
    let worst = query(
        &warehouse,
        "SELECT detectors, reasons FROM anomalies WHERE actor = 'mallory' ORDER BY hash",
    );
    for row in &worst {
        for detector in texts(&row["detectors"]) {
            let named = format!("{detector}: ");
            let told = texts(&row["reasons"]).iter().any(|r| r.starts_with(&named));
            // A row within a core row's own place has no distance to explain.
            assert!(told || detector == "dbscan", "{row}");
        }
    }
    let incident = "SELECT detectors, severity FROM incidents ORDER BY severity DESC LIMIT 1";
    let incident = query(&warehouse, incident).remove(0);
    assert_eq!(
        texts(&incident["detectors"]),
        ["autoencoder", "dbscan", "iforest", "kmeans", "ocsvm", "pca"]
    );

    // Again: nothing to do. On a cluster, and one task at a time: the same bytes.
    let said = day("2025-01-02", &telemetry, &warehouse, &args);
    assert!(said.contains("up to date"), "{said}");
    let cluster = Cluster::start(&dir, Setup::default());
    for (name, more) in [
        ("there", ["--cluster", cluster.url.as_str()]),
        ("slots", ["--slots", "1"]),
    ] {
        let other = dir.join(name);
        day(
            "2025-01-02",
            &telemetry,
            &other,
            &[&args[..], &more].concat(),
        );
        assert_eq!(
            digest(&other, "2025-01-02"),
            digest(&warehouse, "2025-01-02"),
            "{name}"
        );
    }

    // Two of them: the others' columns are null, and what they say is what they said.
    let two = dir.join("two");
    let args = ["--quota", "2%", "--detectors", "autoencoder,pca"];
    day("2025-01-02", &telemetry, &two, &args);
    let alike = "SELECT hash, pca_error, pca_rank, autoencoder_error, autoencoder_rank FROM anomalies \
                 WHERE pca_rank IS NOT NULL AND autoencoder_rank IS NOT NULL ORDER BY hash";
    assert_eq!(query(&two, alike), query(&warehouse, alike));
    let beside =
        "SELECT count(*) FROM anomalies WHERE iforest_score IS NOT NULL OR dbscan_rank IS NOT NULL";
    assert_eq!(number(&two, beside), 0);
}

#[test]
fn a_choice_of_detectors_or_thresholds_that_makes_no_sense_is_refused() {
    let run = |args: &[&str]| {
        let common = [
            "run",
            "--date",
            "2025-01-01",
            "--telemetry",
            "t",
            "--warehouse",
            "w",
        ];
        fails(&[&common, args].concat())
    };
    let api = |args: &[&str]| run(&[&["--kind", "api"], args].concat());
    for (said, why) in [
        (api(&["--detectors", "pca,lof"]), "unknown detector \"lof\""),
        (api(&["--detectors", "pca,pca"]), "named twice"),
        (
            api(&["--detectors", "pca", "--quota", "kmeans=1%"]),
            "scored by pca",
        ),
        (api(&["--threshold", "rate:2"]), "expected quota, rate:"),
        (api(&["--threshold", "fpr"]), "expected quota, rate:"),
        (run(&["--detectors", "pca"]), "it is about requests"),
        (run(&["--threshold", "rate:0.1"]), "it is about requests"),
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
}

/// What became of each detector's threshold, as `gleaner status` tells it.
fn outcomes(warehouse: &str, date: &str) -> Vec<(String, Value)> {
    let day = status(warehouse, date);
    let stages = day["stages"].as_array().unwrap();
    let anomalies = stages.iter().find(|stage| stage["stage"] == "anomalies");
    let thresholds = anomalies.unwrap()["thresholds"].as_object().unwrap();
    thresholds
        .iter()
        .map(|(name, of)| (name.clone(), of.clone()))
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn a_threshold_makes_the_anomalies_that_it_promises_and_the_quota_bounds_them() {
    let dir = Dir::new();
    let sizes = [
        "--kind", "api", "--lines", "9000", "--days", "2", "--hosts", "60",
    ];
    let telemetry = dir.synth("telemetry", &sizes);
    let warehouse = dir.join("warehouse");
    let by = |date: &str, warehouse: &str, args: &[&str]| {
        // A third of the day is sampled: what is promised of the others is seen in none of them.
        let all = ["--detectors", EVERY, "--quota", "20%", "--fit-rows", "3000"];
        day(date, &telemetry, warehouse, &[&all[..], args].concat())
    };
    let said = by("2025-01-01", &warehouse, &["--threshold", "rate:0.03"]);
    let found = outcomes(&warehouse, "2025-01-01");
    assert_eq!(found.len(), 6, "{found:?}");
    for (detector, of) in &found {
        let n = |name: &str| of[name].as_f64().unwrap();
        let [low, high] = [0, 1].map(|i| of["expected_interval"][i].as_f64().unwrap());
        println!(
            "{detector}: {} of {} expected ({low} to {high})",
            n("anomalies"),
            n("expected")
        );
        assert!(
            low <= n("anomalies") && n("anomalies") <= high,
            "{detector}: {of}"
        );
        // The table has them, and no row below.
        let rank = format!("{detector}_rank");
        let chosen = format!("SELECT count(*) FROM anomalies WHERE {rank} IS NOT NULL");
        assert_eq!(Some(number(&warehouse, &chosen)), of["anomalies"].as_i64());
        let line = format!("2025-01-01: {detector}");
        assert!(
            said.lines()
                .any(|l| l.starts_with(&line) && l.contains("rate:0.03")),
            "{said}"
        );
    }
    // Half of the sample set it, and no row of it was fitted on.
    let sample = number(
        &warehouse,
        "SELECT rows_kept FROM runs WHERE stage = 'models'",
    );
    let fitted = number(&warehouse, "SELECT rows FROM models WHERE kind = 'pca'");
    assert_eq!(Some(sample - fitted), found[0].1["rows"].as_i64());
    let params = query(&warehouse, "SELECT params FROM models WHERE kind = 'pca'").remove(0);
    let params: Value = serde_json::from_str(params["params"].as_str().unwrap()).unwrap();
    let of = |name: &str| found.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(params["threshold"]["threshold"], of("pca")["threshold"]);

    // What is scored as it happens alerts by the same.
    let serve = [
        "--kind",
        "api",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
    ];
    let mut server = Server::start(&dir, &serve, &[]);
    let held: Value = serde_json::from_str(&server.says(&["score"], &["--models"])).unwrap();
    signal(&server.child, "-TERM");
    assert!(server.child.wait().unwrap().success());
    let alerts = |kind: &str| {
        let mut models = held["models"].as_array().unwrap().iter();
        models.find(|model| model["kind"] == kind).unwrap()["threshold"].clone()
    };
    for (detector, of) in &found {
        assert_eq!(
            score(&alerts(detector)),
            score(&of["threshold"]),
            "{detector}"
        );
    }

    // A lesser quota is the upper bound, and says when it cut.
    let few = dir.join("few");
    let rate = ["--threshold", "rate:0.03", "--fit-rows", "3000"];
    let args = [&rate[..], &["--detectors", "pca", "--quota", "7"]].concat();
    let said = day("2025-01-01", &telemetry, &few, &args);
    assert!(said.contains("pca         7 anomalies of "), "{said}");
    assert_eq!(
        number(
            &few,
            "SELECT count(*) FROM anomalies WHERE pca_rank IS NOT NULL"
        ),
        7
    );
    let least = |warehouse: &str| {
        let sql = "SELECT pca_rank, pca_error FROM anomalies WHERE pca_rank <= 7 ORDER BY pca_rank";
        query(warehouse, sql)
    };
    assert_eq!(least(&few), least(&warehouse));

    // The next day with these models has their thresholds too; with other detectors it is fitted anew, and says why.
    let reuse = ["--threshold", "rate:0.03", "--models", "reuse"];
    by("2025-01-02", &warehouse, &reuse);
    for (detector, of) in outcomes(&warehouse, "2025-01-02") {
        assert_eq!(of["set_on"], "2025-01-01", "{detector}: {of}");
    }
    let two = dir.join("two-days");
    let with = |date: &str, detectors: &str| {
        let args = [
            "--through",
            "models",
            "--models",
            "reuse",
            "--detectors",
            detectors,
        ];
        day(date, &telemetry, &two, &args)
    };
    with("2025-01-01", "pca,ocsvm");
    let said = with("2025-01-02", "pca");
    assert!(
        said.contains(
            "2025-01-01 was scored by pca,ocsvm, and --detectors is pca: they are fitted on the day"
        ),
        "{said}"
    );

    // Where the tail ends no request may be anomalous at all, and that is a day too.
    let none = dir.join("none");
    let tail = ["--threshold", "tail:0.00001", "--detectors", "iforest"];
    day("2025-01-01", &telemetry, &none, &tail);
    let [(_, of)] = &outcomes(&none, "2025-01-01")[..] else {
        unreachable!("one detector")
    };
    assert_eq!(of["extrapolated"], true, "{of}");
    let anomalies = number(&none, "SELECT count(*) FROM anomalies");
    assert_eq!(of["anomalies"].as_i64(), Some(anomalies));
    assert!(anomalies <= 1, "{of}");
    // A sample that cannot tell such a rate sets no threshold: the quota chooses, and it is told.
    let unset = dir.join("unset");
    let rate = ["--threshold", "rate:0.00001", "--detectors", "pca"];
    let rate = [&rate[..], &["--through", "anomalies"]].concat();
    let said = day("2025-01-01", &telemetry, &unset, &rate);
    assert!(
        said.contains("pca has no threshold: ") && said.contains("it chooses by its quota"),
        "{said}"
    );
    assert!(number(&unset, "SELECT count(*) FROM anomalies") >= 50);
    let shown = succeeds(&["status", "--warehouse", &warehouse]);
    assert!(shown.contains("set by rate:0.03 of"), "{shown}");
}
