//! Analysts' verdicts on requests: a list to judge, an import, and what the next day makes of it.

use std::fmt::Write;

use serde_json::Value;

use crate::support::{Dir, digest, fails, number, program, query, status, succeeds};

/// What one actor does at a second of a day.
#[derive(Clone, Copy)]
struct Call<'a> {
    day: u32,
    second: u32,
    user: &'a str,
    ip: &'a str,
    agent: &'a str,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    status: u16,
}

fn line(call: &Call<'_>) -> String {
    let Call {
        day,
        second,
        user,
        ip,
        agent,
        method,
        path,
        query,
        status,
    } = call;
    format!(
        "{{\"event_time\":\"2025-01-{day:02}T{:02}:{:02}:{:02}Z\",\"user\":\"{user}\",\"client_ip\":\"{ip}\",\"method\":\"{method}\",\
         \"host\":\"shop\",\"path\":\"{path}\",\"query\":\"{query}\",\"status\":{status},\"response_bytes\":900,\"user_agent\":\"{agent}\"}}\n",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Two days: people who look and buy, the nightly report of accounting, which is odd and harmless, and injections.
fn days() -> String {
    let mut out = String::new();
    let mut state = 11_u64;
    let mut next = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % n).unwrap()
    };
    let ordinary = Call {
        day: 1,
        second: 0,
        user: "",
        ip: "10.0.0.7",
        agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/126.0",
        method: "GET",
        path: "/",
        query: "",
        status: 200,
    };
    for day in [1, 2] {
        for user in ["ana", "ben", "cho", "dee", "eli"] {
            for _ in 0..160 {
                let order = format!("/orders/{}", next(5000));
                let page = format!("page={}", next(9));
                let (path, query) =
                    [("/", ""), (&order, ""), ("/search", &page), ("/login", "")][next(4) as usize];
                let status = if next(30) == 0 { 404 } else { 200 };
                out += &line(&Call {
                    day,
                    second: 30_000 + next(30_000),
                    user,
                    path,
                    query,
                    status,
                    ..ordinary
                });
            }
        }
        // Twelve calls, with the day's own numbers and dates.
        for i in 0..12 {
            let query = format!(
                "since=2025-01-{day:02}&sql=select%20*%20from%20orders%20where%20n%3E{i}{day}"
            );
            out += &line(&Call {
                day,
                second: 7_200 + i,
                user: "accounting",
                ip: "10.0.9.9",
                agent: "reportbot/2.1",
                method: "POST",
                path: "/export/table",
                query: &query,
                ..ordinary
            });
        }
        // A tool of ben's, twice on the first day; on the second in his name some hundred times.
        for i in 0..(if day == 1 { 2 } else { 120 }) {
            out += &line(&Call {
                day,
                second: 70_000 + i,
                user: "ben",
                ip: "10.0.0.8",
                agent: "powershell/7.4",
                method: "PUT",
                path: "/admin/backup",
                query: "full=true",
                ..ordinary
            });
        }
        let (user, ip) = [("mallory", "203.0.113.9"), ("trudy", "198.51.100.4")][day as usize - 1];
        for i in 0..12 {
            let (path, query) = (
                format!("/orders/{}", i + 40 * day),
                format!("id={i}%27%20or%20{day}={day}--"),
            );
            out += &line(&Call {
                day,
                second: 80_000 + i,
                user,
                ip,
                agent: "sqlmap/1.7",
                method: "DELETE",
                path: &path,
                query: &query,
                status: 500,
            });
        }
    }
    out
}

fn run_day(telemetry: &str, warehouse: &str, day: &str, args: &[&str]) -> String {
    let common = [
        "run",
        "--kind",
        "api",
        "--quota",
        "4%",
        "--date",
        day,
        "--telemetry",
        telemetry,
        "--warehouse",
        warehouse,
    ];
    succeeds(&[&common, args].concat())
}

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-02";

fn of(warehouse: &str, user: &str, day: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM anomalies WHERE actor = '{user}' AND day = DATE '{day}' \
         AND user_agent NOT LIKE 'Mozilla%'"
    );
    number(warehouse, &sql)
}

/// A list of the first day's incidents, filled in: the verdict on each actor's.
fn judged(dir: &Dir, warehouse: &str, verdicts: &[(&str, &str)]) -> String {
    let out = dir.join("list");
    let args = ["labels", "audit", "--warehouse", warehouse, "--date", FIRST];
    succeeds(&[&args[..], &["--out", &out]].concat());
    let listed = query(
        warehouse,
        &format!("SELECT incident, actor FROM '{out}.parquet' ORDER BY incident"),
    );
    let mut csv = "incident,hash,verdict,analyst,comment\n".to_owned();
    for row in &listed {
        let actor = row["actor"].as_str().unwrap();
        let verdict = verdicts.iter().find(|(who, _)| *who == actor);
        let verdict = verdict.map_or("", |(_, verdict)| verdict);
        writeln!(
            csv,
            "{},,{verdict},ida,seen",
            row["incident"].as_str().unwrap()
        )
        .unwrap();
    }
    dir.write("verdicts.csv", csv)
}

fn import(warehouse: &str, file: &str) -> Value {
    let out = succeeds(&["labels", "import", file, "--warehouse", warehouse, "--json"]);
    serde_json::from_str(&out).unwrap()
}

fn outcomes(warehouse: &str) -> Vec<String> {
    let sql = "SELECT actor, verdict, outcome, count(*) AS n FROM alike GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let row = |r: &Value| {
        let text = |name: &str| r[name].as_str().unwrap().to_owned();
        format!(
            "{} {} {} {}",
            text("actor"),
            text("verdict"),
            text("outcome"),
            r["n"]
        )
    };
    query(warehouse, sql).iter().map(row).collect()
}

fn count(warehouse: &str, stage: &str, name: &str) -> i64 {
    let sql = format!("SELECT counts FROM runs WHERE day = DATE '{SECOND}' AND stage = '{stage}'");
    let rows = query(warehouse, &sql);
    let counts: Value = serde_json::from_str(rows[0]["counts"].as_str().unwrap()).unwrap();
    counts[name].as_i64().unwrap_or(-1)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn false_positives_do_not_come_back_and_attacks_do() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", days());
    let (plain, warehouse) = (dir.join("plain"), dir.join("warehouse"));
    // Without verdicts all three are anomalies on both days.
    run_day(&telemetry, &plain, FIRST, &["--to", SECOND]);
    for (user, day) in [
        ("accounting", FIRST),
        ("accounting", SECOND),
        ("mallory", FIRST),
        ("trudy", SECOND),
    ] {
        assert!(of(&plain, user, day) > 0, "{user} {day}");
    }
    assert_eq!(outcomes(&plain), Vec::<String>::new());

    run_day(&telemetry, &warehouse, FIRST, &[]);
    let first = digest(&warehouse, FIRST);
    assert_eq!(first, digest(&plain, FIRST));
    let verdicts = [
        ("accounting", "false_positive"),
        ("mallory", "True positive"),
        ("ben", "false-positive"),
    ];
    let file = judged(&dir, &warehouse, &verdicts);
    let taken = import(&warehouse, &file);
    assert_eq!(taken["version"], 1);
    assert!(taken["requests"].as_i64().unwrap() >= 3, "{taken}");
    assert_eq!(taken["days"], serde_json::json!([FIRST]));
    let reviews = "SELECT count(*) FROM reviews";
    let written = number(&warehouse, reviews);
    assert_eq!(written, taken["requests"].as_i64().unwrap());
    // The same file again is nothing new, and the judged day stays as it is.
    let again = import(&warehouse, &file);
    assert_eq!(
        (&again["requests"], &again["version"]),
        (&0.into(), &1.into())
    );
    assert_eq!(number(&warehouse, reviews), written);
    assert!(run_day(&telemetry, &warehouse, FIRST, &[]).contains("up to date"));
    assert_eq!(digest(&warehouse, FIRST), first);

    run_day(&telemetry, &warehouse, SECOND, &[]);
    assert_eq!(of(&warehouse, "accounting", SECOND), 0);
    assert!(of(&warehouse, "trudy", SECOND) > 0);
    let marks = query(
        &warehouse,
        &format!(
            "SELECT DISTINCT actor, verdict FROM anomalies WHERE day = DATE '{SECOND}' AND verdict IS NOT NULL ORDER BY 1, 2"
        ),
    );
    let marks: Vec<_> = marks
        .iter()
        .map(|m| (m["actor"].as_str().unwrap(), m["verdict"].as_str().unwrap()))
        .collect();
    // Ben's tool does so much more than it did that it comes back, marked.
    assert_eq!(
        marks,
        [("ben", "false_positive"), ("trudy", "true_positive")]
    );
    let said = query(
        &warehouse,
        &format!(
            "SELECT summary FROM incidents WHERE day = DATE '{SECOND}' AND verdict = 'true_positive'"
        ),
    );
    assert!(
        said[0]["summary"]
            .as_str()
            .unwrap()
            .contains("judged an attack before"),
        "{said:?}"
    );
    let shown = outcomes(&warehouse);
    let has = |row: &str| shown.iter().any(|r| r == row);
    assert!(has("accounting false_positive held_back 12"), "{shown:?}");
    assert!(has("trudy true_positive marked 12"), "{shown:?}");
    assert!(
        shown
            .iter()
            .any(|r| r.starts_with("ben false_positive busier ")),
        "{shown:?}"
    );
    // The books: what was held back and would have been an anomaly is counted.
    let would = count(&warehouse, "anomalies", "held_back");
    let held = "SELECT count(*) FROM alike WHERE outcome = 'held_back'";
    assert!((1..=number(&warehouse, held)).contains(&would), "{would}");
    for stage in status(&warehouse, SECOND)["stages"].as_array().unwrap() {
        let n = |name: &str| stage[name].as_i64().unwrap();
        assert_eq!(
            n("rows_in"),
            n("rows_kept") + n("rows_quarantined") + n("rows_dropped")
        );
    }
    // The quota is filled by others: as many anomalies by detector as without verdicts.
    for w in [&plain, &warehouse] {
        let filled = number(
            w,
            &format!("SELECT max(iforest_rank) FROM anomalies WHERE day = DATE '{SECOND}'"),
        );
        let quota = number(
            w,
            &format!(
                "SELECT CAST(ceil(count(*) * 0.04) AS BIGINT) FROM requests WHERE day = DATE '{SECOND}'"
            ),
        );
        assert!((filled - quota).abs() <= 1, "{filled} {quota}");
    }

    // What changed is shown: the detectors know the report now.
    let effect = succeeds(&[
        "labels",
        "effect",
        "--warehouse",
        &warehouse,
        "--date",
        SECOND,
        "--json",
    ]);
    let effect: Value = serde_json::from_str(&effect).unwrap();
    let told = effect["judged"].as_array().unwrap();
    assert!(told.len() >= 3 * 24, "{}", told.len());
    let ranks = query(
        &warehouse,
        "SELECT f.detector, sum(f.rank_without) AS without, sum(f.rank_with) AS known FROM feedback f JOIN anomalies a ON a.hash = f.judged \
         WHERE a.actor = 'accounting' GROUP BY f.detector ORDER BY f.detector",
    );
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    for rank in &ranks {
        assert!(rank["known"].as_i64() > rank["without"].as_i64(), "{rank}");
    }
    // And what was judged an attack has become no more ordinary by being seen once more.
    let attacks = "SELECT count(*) FROM feedback WHERE verdict = 'true_positive' AND alert_without AND NOT alert_with";
    assert_eq!(number(&warehouse, attacks), 0);
    let text = succeeds(&[
        "labels",
        "effect",
        "--warehouse",
        &warehouse,
        "--date",
        SECOND,
    ]);
    assert!(
        text.contains("held back") && text.contains("entered"),
        "{text}"
    );

    // Other tasks, same answer; and a day that is run again has nothing to do.
    let answer = digest(&warehouse, SECOND);
    assert!(run_day(&telemetry, &warehouse, SECOND, &[]).contains("up to date"));
    let copy = dir.join("copy");
    run_day(&telemetry, &copy, FIRST, &["--slots", "1"]);
    import(&copy, &file);
    run_day(&telemetry, &copy, SECOND, &["--slots", "1"]);
    assert_eq!(digest(&copy, SECOND), answer);

    // A later verdict replaces the earlier: taken back, the report is an anomaly again, and the rest holds.
    let back = judged(&dir, &warehouse, &[("accounting", "uncertain")]);
    assert_eq!(import(&warehouse, &back)["version"], 2);
    run_day(&telemetry, &warehouse, SECOND, &[]);
    assert!(of(&warehouse, "accounting", SECOND) > 0);
    assert!(
        !outcomes(&warehouse)
            .iter()
            .any(|r| r.starts_with("accounting"))
    );
    // And without any: the day is what it was before anybody judged anything.
    let back = judged(
        &dir,
        &warehouse,
        &[("mallory", "uncertain"), ("ben", "uncertain")],
    );
    import(&warehouse, &back);
    run_day(&telemetry, &warehouse, SECOND, &[]);
    assert_eq!(outcomes(&warehouse), Vec::<String>::new());
    let anomalies = "SELECT hash, iforest_score, pca_error, kmeans_distance, verdict FROM anomalies WHERE day = DATE '2025-01-02' ORDER BY hash";
    assert_eq!(query(&warehouse, anomalies), query(&plain, anomalies));
}

#[test]
fn a_bad_import_writes_nothing_and_a_killed_one_is_whole_or_not_there() {
    let dir = Dir::new();
    let telemetry = dir.write("requests.ndjson", days());
    let warehouse = dir.join("warehouse");
    run_day(&telemetry, &warehouse, FIRST, &[]);
    let rows = query(
        &warehouse,
        "SELECT hash FROM anomalies ORDER BY hash LIMIT 2",
    );
    let [a, b] = [0, 1].map(|i| rows[i]["hash"].as_str().unwrap().to_owned());
    let head = "hash,verdict,analyst,comment";
    for (text, why) in [
        (
            format!("{head}\n{a},true_positive,ida,\n{b},evil,ida,\n"),
            "row 2: column verdict",
        ),
        (
            format!("{head}\n{a},true_positive,ida,\n{b},uncertain,,\n"),
            "row 2: column analyst",
        ),
        (
            format!("{head}\n{a},true_positive,ida,\n{b}0,uncertain,ida,\n"),
            "row 2: column hash",
        ),
        (
            format!("{head}\n{a},true_positive,ida,\n{a},uncertain,ida,\n"),
            "row 2: the same request",
        ),
        (
            format!("{head}\n,true_positive,ida,\n"),
            "row 1: columns hash and incident",
        ),
        (
            format!("incident,verdict,analyst\n{a},true_positive,ida\n"),
            "row 1: column incident",
        ),
        (
            format!("hash,verdict\n{a},true_positive\n"),
            "no column analyst",
        ),
    ] {
        let file = dir.write("bad.csv", text);
        let error = fails(&["labels", "import", &file, "--warehouse", &warehouse]);
        assert!(error.contains(why), "{error}");
        assert_eq!(number(&warehouse, "SELECT count(*) FROM reviews"), 0);
    }
    let good = dir.write(
        "good.csv",
        format!("{head}\n{a},true_positive,ida,no doubt\n{b},false_positive,ida,\n"),
    );
    // Killed before its one commit: nothing is there, and the same command again does it.
    let killed = program("gleaner")
        .args(["--", "labels", "import", &good, "--warehouse", &warehouse])
        .env("GLEANER_FAULT", "reviews.before=kill")
        .env("GLEANER_FAULT_FIRED", dir.join("fired"))
        .output()
        .unwrap();
    assert!(!killed.status.success());
    assert!(std::path::Path::new(&dir.join("fired.0")).exists());
    assert_eq!(number(&warehouse, "SELECT count(*) FROM reviews"), 0);
    assert_eq!(import(&warehouse, &good)["requests"], 2);
    // Two imports at a time: both are there, one after the other.
    let other = dir.write("other.csv", format!("{head}\n{a},false_positive,bea,\n"));
    let slow = program("gleaner")
        .args(["--", "labels", "import", &other, "--warehouse", &warehouse])
        .env("GLEANER_FAULT", "reviews.before=sleep:3000")
        .env("GLEANER_FAULT_FIRED", dir.join("slow"))
        .spawn()
        .unwrap();
    let waiting = std::time::Instant::now();
    while !std::path::Path::new(&dir.join("slow.0")).exists() {
        assert!(waiting.elapsed().as_secs() < 60, "the import did not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let third = dir.write("third.csv", format!("{head}\n{b},uncertain,cho,\n"));
    assert_eq!(import(&warehouse, &third)["version"], 2);
    assert!(slow.wait_with_output().unwrap().status.success());
    let versions = "SELECT version, analyst FROM reviews ORDER BY version, analyst";
    let versions: Vec<_> = query(&warehouse, versions)
        .iter()
        .map(|r| format!("{} {}", r["version"], r["analyst"].as_str().unwrap()))
        .collect();
    assert_eq!(versions, ["1 ida", "1 ida", "2 cho", "3 bea"]);
    // A run that dies between models and anomalies carries on with the verdicts it had.
    let run = ["run", "--kind", "api", "--quota", "4%", "--date", SECOND];
    let killed = program("gleaner")
        .arg("--")
        .args(run)
        .args(["--telemetry", &telemetry, "--warehouse", &warehouse])
        .env("GLEANER_FAULT", "stage.finished:models=kill")
        .env("GLEANER_FAULT_FIRED", dir.join("died"))
        .output()
        .unwrap();
    assert!(!killed.status.success());
    run_day(&telemetry, &warehouse, SECOND, &[]);
    assert!(number(&warehouse, "SELECT count(*) FROM feedback") > 0);
    assert_eq!(count(&warehouse, "models", "judged_false_positive"), 1);
}
