//! `gleaner report` of a warehouse of requests, as its readers see it: the same page as that of command lines, with incidents first, and with requests that would like to run.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::{Browser, key};
use crate::report::{RAN, report, screenshots, shown};
use crate::support::{Dir, fails, number, query, skip, succeeds, tree};

const SECRET: &str = "Kf83hTz0qLmW92xB";
const SESSION: &str = "9f31c07be2d84a5f";

/// Requests that a page must not run, be turned round or be filled by: in every text that a report may show.
fn hostile() -> String {
    let script = "</script><script>window.ran=1</script>";
    let image = "\"><img src=x onerror=window.ran=1>'";
    let lines = [
        json!({ "user": "mallory", "path": format!("/orders/{script}"), "query": format!("id=1' OR 1=1--{image}"), "status": 500 }),
        json!({ "user": format!("eve{image}"), "path": "/search", "query": "q=%3Cscript%3Ealert(1)%3C/script%3E", "host": "shop<svg onload=window.ran=1>" }),
        json!({ "session": SESSION, "path": "/\u{202e}gnp.exe\u{2066}/a\u{1b}b", "user_agent": image, "error_code": script }),
        json!({ "client_ip": "203.0.113.9", "path": "/login", "method": "POST", "body": format!("{{\"q\":\"../../etc/passwd{script}\"}}") }),
        json!({ "user": "dana.smith", "path": "/export", "query": format!("password={SECRET}&x={}", "A1 b/".repeat(3000)) }),
    ];
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        for i in 0..6 {
            let mut one = json!({ "event_time": format!("2025-01-02T10:{n:02}:{i:02}Z"), "method": "GET", "host": "shop", "status": 404 });
            for (name, value) in line.as_object().unwrap() {
                one[name] = value.clone();
            }
            writeln!(out, "{one}").unwrap();
        }
    }
    out
}

fn run_days(telemetry: &str, warehouse: &str, from: &str, to: &str, args: &[&str]) {
    let common = [
        "run",
        "--kind",
        "api",
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    succeeds(&[&common[..], &["--date", from, "--to", to], args].concat());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one page, looked at from all sides")]
fn a_report_of_requests_begins_with_incidents_says_what_sql_says_and_runs_nothing() {
    let Some(browser) = Browser::start("the report of requests") else {
        return;
    };
    let dir = Dir::new();
    let telemetry = dir.synth(
        "telemetry",
        &[
            "--kind",
            "api",
            "--lines",
            "900",
            "--days",
            "2",
            "--attacks",
            "0.05",
        ],
    );
    dir.write("telemetry/hostile.ndjson", hostile());
    dir.write(
        "telemetry/broken.ndjson",
        "{\"event_time\":\"2025-01-02T10:00:00Z\"}\nhalf of\n",
    );
    let warehouse = dir.join("warehouse");
    let drift = ["--models", "refit-if-drifted", "--quota", "5%"];
    run_days(&telemetry, &warehouse, "2025-01-01", "2025-01-02", &drift);
    let plots = dir.join("plots");
    let whole = ["--lines", "whole", "--sample", "500", "--plots", &plots];
    let (file, html) = report(&dir, &warehouse, "report.html", &whole);
    assert!(html.len() < 1_500_000, "{} bytes", html.len());
    let pictures = screenshots(&dir);
    std::fs::copy(&file, pictures.join("api.html")).unwrap();

    browser.size(1280, 900, false);
    browser.open_file(&file);
    browser.screenshot(pictures.join("api-desk.png"));
    assert_eq!(browser.script(RAN), json!([true, 0]));
    assert_eq!(browser.overflow(), 0);
    let order = browser.script("return [...document.querySelectorAll('section')].map(s => s.id)");
    let sections = [
        "summary",
        "incidents",
        "traffic",
        "endpoints",
        "actors",
        "sample",
        "funnel",
        "growth",
        "scores",
        "detectors",
        "drift",
    ];
    assert_eq!(order, json!(sections));
    let drawn = "return [...document.querySelectorAll('figure')].filter(f => f.querySelector('svg.wide').getBoundingClientRect().height < 40 || \
                 !f.querySelector('svg title').textContent || !f.querySelector('svg desc').textContent || !f.querySelector('figcaption').textContent).length";
    assert_eq!(browser.script(drawn), 0);

    // The numbers are the warehouse's.
    let cards = browser.text(".cards");
    for (name, sql) in [
        ("events read", "SELECT sum(events) FROM requests"),
        ("unique requests", "SELECT count(*) FROM requests"),
        ("anomalous requests", "SELECT count(*) FROM anomalies"),
        ("incidents", "SELECT count(*) FROM incidents"),
    ] {
        let n = number(&warehouse, sql);
        assert!(
            n > 0 && cards.contains(&format!("{}\n{name}", shown(n))),
            "{name} {n}: {cards}"
        );
    }
    let of_section = |id: &str| -> String {
        let text = browser.script(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        text.as_str().unwrap().to_owned()
    };
    let hours = query(
        &warehouse,
        "SELECT to_char(event_time, '%Y-%m-%d %H') AS hour, sum(events) AS n, \
         sum(CASE WHEN coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '' THEN events ELSE 0 END) AS failed \
         FROM requests GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    );
    let busiest = &hours[0];
    let row = format!(
        "{}{}{}",
        busiest["hour"].as_str().unwrap(),
        shown(busiest["n"].as_i64().unwrap()),
        shown(busiest["failed"].as_i64().unwrap())
    );
    let traffic = of_section("traffic");
    assert!(traffic.contains(&row), "{row}: {traffic}");
    let funnel = of_section("funnel");
    let reasons = query(
        &warehouse,
        "SELECT reason, sum(rows) AS n FROM quarantine GROUP BY reason",
    );
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for row in reasons {
        let row = format!("{}{}", row["reason"].as_str().unwrap(), row["n"]);
        assert!(funnel.contains(&row), "{row}: {funnel}");
    }

    // The gravest incident is the first; it unfolds by keyboard, and says who, where and why.
    let incidents = query(
        &warehouse,
        "SELECT severity, requests, array_to_string(top_actors, ' ') AS who, why FROM incidents ORDER BY severity DESC, day, incident LIMIT 50",
    );
    let count = browser.script("return document.querySelectorAll('details.incident').length");
    assert_eq!(count, incidents.len());
    let first = browser.script("return document.querySelector('details.incident').textContent");
    let first = first.as_str().unwrap();
    let grave = &incidents[0];
    assert!(
        first.starts_with(&format!("{:.2}", grave["severity"].as_f64().unwrap())),
        "{first}"
    );
    for words in grave["why"].as_array().unwrap() {
        assert!(first.contains(words.as_str().unwrap()), "{words}: {first}");
    }
    let open = "return document.querySelector('details.incident').open";
    assert_eq!(browser.script(open), false);
    browser.script("document.querySelector('details.incident summary').focus()");
    browser.press(key::ENTER);
    assert_eq!(browser.script(open), true);
    browser.screenshot(pictures.join("api-incident.png"));
    let requests = browser.script("return document.querySelectorAll('details.incident li').length");
    assert!(
        requests.as_i64().unwrap() >= incidents.len() as i64,
        "{requests}"
    );

    // Hostile requests are there to be read.
    let said = of_section("incidents") + &of_section("sample");
    for text in [
        "</script><script>window.ran=1</script>",
        "<img src=x onerror=window.ran=1>",
        "shop<svg onload=window.ran=1>",
        "\\u{202e}gnp.exe\\u{2066}",
        "\\u{1b}b",
        "etc/passwd",
        "characters more",
        SECRET,
        SESSION,
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }

    // On a phone, with everything unfolded, and in the dark.
    browser.size(360, 740, true);
    browser.open_file(&file);
    assert_eq!(
        browser.overflow(),
        0,
        "the page scrolls sideways on a phone"
    );
    browser.screenshot(pictures.join("api-phone.png"));
    browser.script("document.querySelectorAll('details').forEach(d => d.open = true)");
    assert_eq!(
        browser.overflow(),
        0,
        "unfolded, the page scrolls sideways on a phone"
    );
    browser.dark(true);
    browser.screenshot(pictures.join("api-phone-dark.png"));
    browser.dark(false);
    assert_eq!(browser.script(RAN), json!([true, 0]));
    let files = tree(Path::new(&plots));
    let named = |kind: &str| {
        files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == kind))
            .count()
    };
    assert!(
        named("svg") >= 12 && named("svg") == named("png"),
        "{files:?}"
    );
    for plot in [
        "traffic",
        "traffic-anomalous",
        "detector-overlap",
        "cumulative-endpoints",
    ] {
        assert!(
            files
                .iter()
                .any(|f| f.to_string_lossy() == format!("{plot}.svg")),
            "{plot}"
        );
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    let asked = browser.requests();
    let own = |url: &&String| url.starts_with("file://") || url.starts_with("data:");
    assert!(
        !asked.is_empty() && asked.iter().all(|url| own(&url)),
        "{asked:?}"
    );

    // Redacted, which is the default, and without requests.
    let (_, redacted) = report(&dir, &warehouse, "redacted.html", &["--sample", "500"]);
    for text in [SECRET, SESSION, "dana.smith", "mallory"] {
        assert!(!redacted.contains(text), "{text}");
    }
    for text in ["secret:", "user:", "session:", "203.0.113.9"] {
        assert!(redacted.contains(text), "{text}");
    }
    let (_, none) = report(&dir, &warehouse, "none.html", &["--lines", "none"]);
    assert!(
        !none.contains("etc/passwd") && !none.contains(SECRET) && none.contains("--lines none")
    );
    // The same warehouse gives the same page; pseudonyms are of the report alone, where nobody asked for a key yet.
    let again = ["--lines", "whole", "--sample", "500"];
    assert!(html == report(&dir, &warehouse, "again.html", &again).1);
}

#[test]
fn a_report_of_few_requests_says_what_is_missing_and_refuses_a_lift() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--kind", "api", "--lines", "300"]);
    let warehouse = dir.join("warehouse");
    let day = "2025-01-01";
    run_days(&telemetry, &warehouse, day, day, &["--through", "windows"]);
    let (begun, html) = report(&dir, &warehouse, "begun.html", &[]);
    for said in [
        "went not all the way to <code>incidents</code>",
        "gleaner run --kind api --date YYYY-MM-DD",
        "There are no incidents",
        "--through anomalies",
        "No request stood out",
    ] {
        assert!(html.contains(said), "{said}");
    }
    let (empty, html) = report(&dir, &warehouse, "none.html", &["--from", "2026-01-01"]);
    assert!(
        html.contains("holds no finished day") && html.contains("--kind api"),
        "{html}"
    );
    if let Some(browser) = Browser::start("the report of few requests") {
        browser.size(360, 740, true);
        for page in [begun, empty] {
            browser.open_file(&page);
            assert_eq!(browser.overflow(), 0, "{page}");
        }
    }
    let said = fails(&[
        "report",
        "--warehouse",
        &warehouse,
        "--evaluation",
        &dir.write(
            "e.ndjson",
            r#"{"test":"t","family":"linear","train":"baseline","scale":"full","auc":0.9,"auc_low":0.8,"auc_high":0.95,"auc_gain":null,"auc_gain_low":null,"auc_gain_high":null,"p_value":null}"#,
        ),
    ]);
    assert!(
        said.contains("--evaluation") && said.contains("leave it out"),
        "{said}"
    );
}

#[test]
fn a_report_shows_all_detectors_of_a_day_what_their_thresholds_promised_and_what_analysts_said() {
    let dir = Dir::new();
    let telemetry = dir.synth(
        "telemetry",
        &["--kind", "api", "--lines", "900", "--attacks", "0.05"],
    );
    let (warehouse, day) = (dir.join("warehouse"), "2025-01-01");
    let six = ["iforest", "pca", "kmeans", "dbscan", "ocsvm", "autoencoder"];
    let names = six.join(",");
    let choice = ["--detectors", &names, "--threshold", "rate:0.02"];
    run_days(&telemetry, &warehouse, day, day, &choice);
    let gravest = "SELECT incident, requests, CAST(cardinality(hashes) AS BIGINT) AS n FROM incidents ORDER BY severity DESC LIMIT 1";
    let gravest = query(&warehouse, gravest).remove(0);
    let incident = gravest["incident"].as_str().unwrap();
    let verdict =
        format!("day,incident,hash,verdict,analyst\n{day},{incident},,true_positive,ana\n");
    let file = dir.write("verdicts.csv", verdict);
    succeeds(&["labels", "import", &file, "--warehouse", &warehouse]);
    let (_, html) = report(&dir, &warehouse, "six.html", &[]);
    let promised = "SELECT counts FROM runs WHERE stage = 'anomalies'";
    let counts = query(&warehouse, promised).remove(0)["counts"].clone();
    let counts: Value = serde_json::from_str(counts.as_str().unwrap()).unwrap();
    let counts = counts.as_object().unwrap();
    assert!(counts.len() >= 4, "{counts:?}");
    for (detector, outcome) in counts {
        let expected = format!("{:.1} <small>(", outcome["expected"].as_f64().unwrap());
        let row = format!("<td>{detector}</td><td>rate:0.02</td>");
        assert!(
            html.contains(&row) && html.contains(&expected),
            "{detector}: {outcome}"
        );
    }
    let judged = format!("judged: {} true positive", gravest["n"]);
    assert!(html.contains(&judged), "{judged}");
    assert_eq!(html.matches("judged: ").count(), 1);
    for plot in six {
        let chose = format!("SELECT count(*) FROM anomalies WHERE array_has(detectors, '{plot}')");
        assert_eq!(
            number(&warehouse, &chose) > 0,
            html.contains(&format!(">{plot}</th>")),
            "{plot}"
        );
    }
}

/// Days of recorded requests: a campaign of many sessions is one incident, and what is said of it names the attack.
#[test]
fn recorded_attacks_are_incidents_that_say_what_they_are() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("GLEANER_DATA").map_or(beside, std::path::PathBuf::from);
    let file = data.join("api_requests.parquet");
    if !file.exists() {
        return skip("no recorded api_requests.parquet: set GLEANER_DATA");
    }
    let dir = Dir::new();
    let warehouse = dir.join("warehouse");
    for day in ["2022-11-21", "2023-07-10"] {
        run_days(&file.to_string_lossy(), &warehouse, day, day, &[]);
    }
    let gravest = |day: &str| -> Value {
        let sql = format!(
            "SELECT actor, actors, requests, cardinality(hashes) AS hashes, summary FROM incidents WHERE day = DATE '{day}' ORDER BY severity DESC LIMIT 1"
        );
        query(&warehouse, &sql).remove(0)
    };
    // Each request of this attack has a session of its own.
    let http = gravest("2022-11-21");
    assert!(
        http["actor"].is_null() && http["actors"].as_i64().unwrap() >= 20,
        "{http}"
    );
    let summary = http["summary"].as_str().unwrap();
    assert!(
        summary.contains(" actors: ") && summary.contains("marks of command injection"),
        "{http}"
    );
    let cloud = gravest("2023-07-10");
    assert_eq!(cloud["actors"], 1, "{cloud}");
    assert!(
        cloud["actor"].as_str().unwrap().ends_with("user/bert-jan"),
        "{cloud}"
    );
    // Every anomaly is in one incident, by its hash.
    let astray = "SELECT count(*) FROM anomalies a FULL JOIN (SELECT day, unnest(hashes) AS hash FROM incidents) i \
                  ON i.hash = a.hash AND i.day = a.day WHERE a.hash IS NULL OR i.hash IS NULL";
    assert_eq!(number(&warehouse, astray), 0);
    let requests = "SELECT sum(cardinality(hashes)) FROM incidents";
    assert_eq!(
        number(&warehouse, requests),
        number(&warehouse, "SELECT count(*) FROM anomalies")
    );
    let (_, html) = report(&dir, &warehouse, "recorded.html", &["--lines", "whole"]);
    assert!(html.contains("marks of command injection") && html.contains("bert-jan"));
}
