//! `gleaner report` as its readers see it: in a browser, on a desk and on a phone, in light and dark; with numbers that `gleaner sql` says too, and lines that would like to run.

use std::path::Path;

use serde_json::Value;

use crate::browser::Browser;
use crate::labels_day::flags;
use crate::lift;
use crate::llm_server::{Script, Server};
use crate::support::{Dir, fails, number, run, succeeds, tree};

/// Set by a line that got to run.
pub const RAN: &str = "return [window.ran === undefined, document.querySelectorAll('main script, main img, main iframe, main object').length]";
const SECRET: &str = "Kf83hTz0qLmW92xB";

/// Lines that a page must not run, be turned round or be filled by; each in twenty variants of one template, so that the largest clusters are theirs.
fn hostile() -> String {
    let long = "A1 b/".repeat(20_000);
    let lines = [
        "tool.exe /n N </script><script>window.ran=1</script>".to_owned(),
        "other.exe /n N \"<img src=x onerror=window.ran=1>\" '><svg onload=window.ran=1>"
            .to_owned(),
        "third.exe /n N \u{202e}gnp.exe\u{2066} a\u{1b}b \u{200b}".to_owned(),
        format!("fourth.exe /n N {long}"),
        format!("curl -u backup:{SECRET} https://files.example/N -o out"),
    ];
    let event = |line: &str, n: usize| {
        let line = line.replacen('N', &(100 + n).to_string(), 1);
        let event = serde_json::json!({ "event_time": "2025-01-02T10:00:00Z", "command_line": line, "host": format!("h{}", n % 5), "user": "dana.smith" });
        format!("{event}\n")
    };
    let events = lines
        .iter()
        .flat_map(|line| (0..20).map(move |n| event(line, n)));
    events.collect()
}

/// Where screenshots go: to look at, `GLEANER_SCREENSHOTS` names a directory that stays.
pub fn screenshots(dir: &Dir) -> std::path::PathBuf {
    let kept = std::env::var_os("GLEANER_SCREENSHOTS");
    let path = kept.map_or_else(|| dir.path().join("screenshots"), Into::into);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The report of a warehouse: the file, and what it holds.
pub fn report(dir: &Dir, warehouse: &str, name: &str, more: &[&str]) -> (String, String) {
    let file = dir.join(name);
    let before = tree(Path::new(warehouse));
    succeeds(&[&["report", "--warehouse", warehouse, "-o", &file], more].concat());
    assert_eq!(
        before,
        tree(Path::new(warehouse)),
        "a report wrote to the warehouse"
    );
    let html = std::fs::read_to_string(&file).unwrap();
    (file, html)
}

/// With commas: 1,234.
pub fn shown(n: i64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Two days labelled by a model that knows its canaries, some of them reviewed, and a lift.
fn labelled(dir: &Dir) -> (String, String) {
    let telemetry = dir.synth(
        "telemetry",
        &["--lines", "350", "--days", "2", "--attacks", "0.02"],
    );
    dir.write("telemetry/hostile.ndjson", hostile());
    let warehouse = dir.join("warehouse");
    let server = Server::start(Script::default());
    let llm = flags(&server);
    let llm: Vec<&str> = llm.iter().map(String::as_str).collect();
    let more = [
        "--to",
        "2025-01-02",
        "--quota",
        "100%",
        "--models",
        "refit-if-drifted",
    ];
    run(&telemetry, &warehouse, &[&more, &llm[..]].concat());
    let sets = lift::sets(dir);
    let test = format!("incidents={}", sets.test);
    let measured = succeeds(&[
        "evaluate",
        "lift",
        "--baseline",
        &sets.baseline,
        "--benign",
        &sets.benign,
        "--test",
        &test,
        "--bootstrap",
        "100",
        "--json",
    ]);
    (warehouse, dir.write("lift.ndjson", measured))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one page, looked at from all sides")]
fn a_report_reads_well_on_a_desk_and_a_phone_says_what_sql_says_and_runs_nothing() {
    let Some(browser) = Browser::start("the report") else {
        return;
    };
    let dir = Dir::new();
    let (warehouse, lift) = labelled(&dir);
    let plots = dir.join("plots");
    let (file, html) = report(
        &dir,
        &warehouse,
        "report.html",
        &[
            "--lines",
            "whole",
            "--sample",
            "500",
            "--evaluation",
            &lift,
            "--plots",
            &plots,
        ],
    );
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    let pictures = screenshots(&dir);
    std::fs::copy(&file, pictures.join("report.html")).unwrap();

    browser.size(1280, 900, false);
    browser.open_file(&file);
    browser.screenshot(pictures.join("desk.png"));
    assert_eq!(browser.script(RAN), serde_json::json!([true, 0]));
    assert_eq!(browser.overflow(), 0);
    let sections = [
        "summary",
        "funnel",
        "growth",
        "scores",
        "detectors",
        "near-duplicates",
        "labels",
        "emitted",
        "worth",
        "drift",
    ];
    for section in sections {
        let there = format!(
            "return document.querySelectorAll('#{section} h2').length === 1 && document.querySelector('nav a[href=\"#{section}\"]') !== null"
        );
        assert_eq!(browser.script(&there), true, "{section}");
    }
    // What is plotted is plotted: each figure has its own drawing, its title and what it shows in words.
    let drawn = "return [...document.querySelectorAll('figure')].filter(f => f.querySelector('svg.wide').getBoundingClientRect().height < 40 || \
                 !f.querySelector('svg title').textContent || !f.querySelector('svg desc').textContent || !f.querySelector('figcaption').textContent).length";
    assert_eq!(browser.script(drawn), 0);

    // The numbers are the warehouse's.
    let counts = [
        (
            "events read",
            "SELECT CAST(sum(events) AS BIGINT) FROM commands",
        ),
        ("unique lines", "SELECT count(*) FROM commands"),
        ("anomalies", "SELECT count(*) FROM anomalies"),
        (
            "kept after near-dedup",
            "SELECT count(*) FROM candidates WHERE kept",
        ),
        ("benign lines emitted", "SELECT count(*) FROM benign"),
    ];
    let cards = browser.text(".cards");
    for (name, sql) in counts {
        let n = number(&warehouse, sql);
        assert!(n > 0, "{name}");
        assert!(
            cards.contains(&format!("{}\n{name}", shown(n))),
            "{name} {n}: {cards}"
        );
    }
    let of_section = |id: &str| -> String {
        let text = browser.script(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        text.as_str().unwrap().to_owned()
    };
    let verdicts = of_section("labels");
    for verdict in ["benign", "malicious"] {
        let n = number(
            &warehouse,
            &format!("SELECT count(*) FROM labels WHERE verdict = '{verdict}'"),
        );
        assert!(
            verdicts.contains(&format!("{} {verdict}", shown(n))),
            "{verdict} {n}: {verdicts}"
        );
    }
    assert!(
        verdicts.contains("By canaries")
            && verdicts.contains("fake-1-2026")
            && verdicts.contains('$'),
        "{verdicts}"
    );
    let overlap = of_section("detectors");
    let all = number(
        &warehouse,
        "SELECT count(*) FROM anomalies WHERE cardinality(detectors) = 3",
    );
    assert!(
        overlap.contains(&format!("iforest and kmeans and pca{}", shown(all))),
        "{all}: {overlap}"
    );
    let worth = of_section("worth");
    for line in std::fs::read_to_string(&lift).unwrap().lines() {
        let measured: Value = serde_json::from_str(line).unwrap();
        let auc = format!("{:.4}", measured["auc"].as_f64().unwrap());
        assert!(worth.contains(&auc), "{auc}: {worth}");
    }
    let largest = number(
        &warehouse,
        "SELECT max(n) FROM (SELECT count(*) AS n FROM candidates WHERE NOT kept AND covered_by IS NOT NULL GROUP BY covered_by, covered_day)",
    );
    let clusters = of_section("near-duplicates");
    assert!(
        largest >= 19 && clusters.contains(&format!("covers {largest} lines")),
        "{largest}: {clusters}"
    );

    // Hostile lines are there to be read.
    for line in [
        "</script><script>window.ran=1</script>",
        "<img src=x onerror=window.ran=1>",
        "\\u{202e}gnp.exe\\u{2066}",
        "\\u{1b}b",
    ] {
        assert!(clusters.contains(line), "{line}: {clusters}");
    }
    assert!(
        clusters.contains("characters more") && clusters.contains(SECRET),
        "{clusters}"
    );

    // On a phone, and in the dark.
    browser.size(360, 740, true);
    browser.open_file(&file);
    assert_eq!(
        browser.overflow(),
        0,
        "the page scrolls sideways on a phone"
    );
    let hidden = "return [...document.querySelectorAll('svg.wide')].every(s => getComputedStyle(s).display === 'none') && \
                  [...document.querySelectorAll('svg.narrow')].every(s => s.getBoundingClientRect().width > 280)";
    assert_eq!(browser.script(hidden), true);
    browser.screenshot(pictures.join("phone.png"));
    let background = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.script(background);
    browser.dark(true);
    assert_ne!(browser.script(background), light);
    browser.screenshot(pictures.join("phone-dark.png"));
    browser.size(1280, 900, false);
    browser.screenshot(pictures.join("desk-dark.png"));
    // Tables behind plots unfold by keyboard.
    browser.script("document.querySelector('details summary').focus()");
    browser.press(crate::browser::key::ENTER);
    assert_eq!(
        browser.script("return document.querySelector('details').open"),
        true
    );
    browser.dark(false);

    // Plots as files: the browser reads each as it is, and there is a PNG of each.
    let files = tree(Path::new(&plots));
    let named = |kind: &str| {
        files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == kind))
            .count()
    };
    assert!(
        named("svg") >= 15 && named("svg") == named("png"),
        "{files:?}"
    );
    for svg in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "svg"))
    {
        browser.open_file(Path::new(&plots).join(svg));
        let whole = browser.script("return document.documentElement.tagName + document.getElementsByTagName('parsererror').length");
        assert_eq!(whole, "svg0", "{}", svg.display());
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    let asked = browser.requests();
    let elsewhere: Vec<&String> = asked
        .iter()
        .filter(|url| !url.starts_with("file://") && !url.starts_with("data:"))
        .collect();
    let ours = asked
        .iter()
        .filter(|url| url.starts_with("file://"))
        .all(|url| url.ends_with("/report.html") || url.contains("/plots/"));
    assert!(
        elsewhere.is_empty() && ours && !asked.is_empty(),
        "{asked:?}"
    );

    // Redacted, which is the default, and without lines.
    let (_, redacted) = report(&dir, &warehouse, "redacted.html", &[]);
    assert!(!redacted.contains(SECRET) && !redacted.contains("dana.smith"));
    assert!(redacted.contains("secret:") && redacted.contains("left out:"));
    let (_, none) = report(&dir, &warehouse, "none.html", &["--lines", "none"]);
    assert!(!none.contains("tool.exe") && !none.contains(SECRET));
    // The same warehouse gives the same page.
    assert_eq!(redacted, report(&dir, &warehouse, "again.html", &[]).1);
}

#[test]
fn a_report_of_little_says_what_is_missing_and_how_to_get_it() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "300"]);
    let warehouse = dir.join("warehouse");
    run(&telemetry, &warehouse, &["--through", "commands"]);
    let (_, html) = report(&dir, &warehouse, "begun.html", &[]);
    for said in [
        "went not all the way",
        "--through anomalies",
        "no anomalies yet",
        "No line of these days is labelled",
        "gleaner evaluate lift",
        "--models refit-if-drifted",
    ] {
        assert!(html.contains(said), "{said}");
    }
    run(&telemetry, &warehouse, &[]);
    let (file, html) = report(&dir, &warehouse, "rules.html", &[]);
    for said in [
        "there are no canaries",
        "No analyst has judged",
        "Nothing was paid for",
    ] {
        assert!(html.contains(said), "{said}");
    }
    let (_, none) = report(&dir, &warehouse, "none.html", &["--from", "2026-01-01"]);
    assert!(
        none.contains("holds no finished day") && none.contains("gleaner run"),
        "{none}"
    );
    if let Some(browser) = Browser::start("the report of one day") {
        browser.size(360, 740, true);
        for page in [file, dir.join("begun.html"), dir.join("none.html")] {
            browser.open_file(&page);
            assert_eq!(browser.overflow(), 0, "{page}");
        }
        assert_eq!(browser.console(), Vec::<String>::new());
        let pictures = screenshots(&dir);
        browser.open_file(dir.join("rules.html"));
        browser.size(1280, 900, false);
        browser.screenshot(pictures.join("one-day.png"));
    }

    let said = fails(&[
        "report",
        "--warehouse",
        &warehouse,
        "--from",
        "2025-01-02",
        "--to",
        "2025-01-01",
    ]);
    assert!(said.contains("is before --from"), "{said}");
    let said = fails(&[
        "report",
        "--warehouse",
        &warehouse,
        "--evaluation",
        &dir.write("e.ndjson", "{\"test\":1}\n"),
    ]);
    assert!(
        said.contains("line 1") && said.contains("gleaner evaluate lift --json"),
        "{said}"
    );
}
