//! SQL jobs, and the read-only SQL service.

use std::process::Command;

use crate::serve::Server;
use crate::support::{Dir, number, query, run, skip};

const JOBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/examples");

/// A warehouse of two days, served.
fn served(dir: &Dir, args: &[&str]) -> (String, Server) {
    let telemetry = dir.synth("telemetry", &["--lines", "1500", "--days", "2"]);
    let warehouse = dir.join("warehouse");
    let flags = [
        "--to",
        "2025-01-02",
        "--quota",
        "10%",
        "--min-hosts",
        "1",
        "--min-users",
        "1",
    ];
    run(&telemetry, &warehouse, &flags);
    let common = ["--telemetry", &telemetry, "--warehouse", &warehouse];
    let server = Server::start(dir, &[&common, args].concat(), &[]);
    (warehouse, server)
}

#[test]
fn a_sql_job_binds_values_and_replaces_what_the_same_values_gave() {
    let dir = Dir::new();
    let (warehouse, server) = served(&dir, &[]);
    let file = dir.write(
        "job.sql",
        "-- A comment.\nCREATE VIEW of_day AS SELECT day, image, events FROM commands WHERE day = $date;\n\
         SELECT day, image, sum(events) AS events, $note AS note FROM of_day GROUP BY day, image HAVING sum(events) > $least \
         ORDER BY events DESC, image",
    );
    let note = "'); DROP TABLE commands; -- $date";
    let set = |day: &str, least: &str| {
        vec![
            file.clone(),
            "--set".to_owned(),
            format!("date={day}"),
            "--set".to_owned(),
            format!("least={least}"),
            "--set".to_owned(),
            format!("note={note}"),
        ]
    };
    let submit = |day: &str, least: &str, more: &[&str]| {
        let set = set(day, least);
        let args: Vec<&str> = set
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        server.says(&["submit"], &args)
    };
    // Shown, in the order that was asked for.
    let shown = submit("2025-01-01", "1", &["--json"]);
    let rows: Vec<serde_json::Value> = shown
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let events: Vec<i64> = rows.iter().map(|r| r["events"].as_i64().unwrap()).collect();
    assert!(
        events.len() > 5 && events.is_sorted_by(|a, b| a >= b),
        "{events:?}"
    );
    assert_eq!(rows[0]["note"], note);
    let expected = "SELECT count(*) FROM (SELECT image FROM commands WHERE day = DATE '2025-01-01' GROUP BY image HAVING sum(events) > 1)";
    assert_eq!(rows.len() as i64, number(&warehouse, expected));

    // Into a table: a slice for each choice of values.
    for (day, least) in [
        ("2025-01-01", "1"),
        ("2025-01-02", "1"),
        ("2025-01-01", "1"),
    ] {
        submit(day, least, &["--into", "programs"]);
    }
    let by_day = query(
        &warehouse,
        "SELECT CAST(day AS VARCHAR) AS day, count(*) AS n FROM programs GROUP BY day ORDER BY day",
    );
    assert_eq!(by_day.len(), 2, "{by_day:?}");
    assert_eq!(by_day[0]["n"].as_u64(), Some(rows.len() as u64));
    // A job may read what another wrote.
    let over = dir.write("over.sql", "SELECT count(*) AS n FROM programs");
    let said = server.says(&["submit"], &[&over, "--json"]);
    assert_eq!(
        said.trim(),
        format!(
            "{{\"n\":{}}}",
            number(&warehouse, "SELECT count(*) FROM programs")
        )
    );
    // A union has several partitions, and is one result.
    let union = dir.write(
        "union.sql",
        "SELECT hash FROM commands UNION ALL SELECT hash FROM anomalies",
    );
    server.says(&["submit"], &[&union, "--into", "both"]);
    let sum = number(
        &warehouse,
        "SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM anomalies)",
    );
    assert_eq!(number(&warehouse, "SELECT count(*) FROM both"), sum);
    // No row at all is a result too.
    let empty = dir.write("none.sql", "SELECT hash FROM commands WHERE false");
    server.says(&["submit"], &[&empty, "--into", "nothing"]);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM nothing"), 0);
}

#[test]
fn a_sql_job_that_is_wrong_says_what_is_wrong_and_changes_nothing() {
    let dir = Dir::new();
    let (warehouse, server) = served(&dir, &[]);
    let programs = dir.write("programs.sql", "SELECT image, events FROM commands");
    server.says(&["submit"], &[&programs, "--into", "programs"]);
    for (file, more, said) in [
        (
            "SELECT hash FROM commands",
            vec!["--into", "programs"],
            "has the columns",
        ),
        ("SELECT 1 AS n", vec!["--into", "commands"], "own tables"),
        ("SELECT 1 AS n", vec!["--into", "../x"], "lower-case letter"),
        ("SELECT 1", vec!["--into", "x"], "give it a name with AS"),
        (
            "SELECT 1 AS n",
            vec!["--set", "date=1"],
            "no statement uses $date",
        ),
        (
            "SELECT * FROM commands WHERE day = $date",
            vec![],
            "$date has no value",
        ),
        (
            "SELECT * FROM commands WHERE day = $date",
            vec!["--set", "date=today"],
            "expected a value of type Date32",
        ),
        ("COPY commands TO '/tmp/x.csv'", vec![], "COPY"),
        ("SELECT 1 AS a; SELECT 2 AS b", vec![], "CREATE VIEW"),
        (
            "CREATE VIEW commands AS SELECT 1 AS n; SELECT * FROM commands",
            vec![],
            "named commands already",
        ),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'; SELECT * FROM t",
            vec![],
            "CREATE VIEW",
        ),
        ("SELECT * FROM '/etc/passwd'", vec![], "not found"),
        (
            "INSERT INTO commands SELECT * FROM commands",
            vec![],
            "Insert",
        ),
        (
            "SET datafusion.execution.batch_size = 1",
            vec![],
            "SetVariable",
        ),
        ("SELEC 1", vec![], "SELEC"),
        ("", vec![], "no statement"),
    ] {
        let path = dir.write("wrong.sql", file);
        let error = server.refuses(&["submit", &path], &more);
        assert!(error.contains(said), "{file}: {error}");
    }
    assert!(number(&warehouse, "SELECT count(*) FROM commands") > 0);
}

#[test]
fn a_sql_job_that_would_never_end_is_cancelled() {
    let dir = Dir::new();
    let (_, server) = served(&dir, &[]);
    let sql = "SELECT count(*) AS n FROM commands a, commands b, commands c, commands d WHERE a.events + b.events + c.events + d.events < 0";
    let file = dir.write("endless.sql", sql);
    let id = server.says(&["submit", &file], &["--detach"]);
    server.wait("that runs", |job| {
        job["job"] == id.trim() && job["state"] == "running"
    });
    let said = server.says(&["jobs", "cancel", id.trim()], &[]);
    assert!(said.contains("cancelled"), "{said}");
    let next = dir.write("next.sql", "SELECT 1 AS n");
    assert_eq!(
        server.says(&["submit", &next], &["--json"]).trim(),
        "{\"n\":1}"
    );
}

#[test]
fn every_example_of_a_sql_job_runs_as_its_comment_says() {
    let dir = Dir::new();
    let (warehouse, server) = served(&dir, &[]);
    let mut ran = 0;
    for entry in std::fs::read_dir(JOBS).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.to_string_lossy().into_owned();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("--   gleaner "))
            .unwrap();
        if let Some((_, after)) = line.split_once("--after-day ") {
            let (table, file) = after.split_once('=').unwrap();
            assert!(path.ends_with(file), "{line}");
            server.says(
                &["submit", &path],
                &["--set", "date=2025-01-02", "--into", table],
            );
            assert!(
                number(&warehouse, &format!("SELECT count(*) FROM {table}")) > 0,
                "{table}"
            );
        } else {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[0], "submit");
            assert!(path.ends_with(words[1]), "{line}");
            let said = server.says(&["submit", &path], &words[2..]);
            assert!(said.lines().count() >= 1, "{path}: {said}");
        }
        ran += 1;
    }
    assert!(ran >= 6);
    let first = "SELECT count(*) FROM training_set WHERE label = 0 AND weight >= 1";
    assert_eq!(
        number(&warehouse, first),
        number(&warehouse, "SELECT count(*) FROM benign")
    );
}

#[test]
fn the_sql_service_reads_tables_within_its_limits_and_nothing_else() {
    let dir = Dir::new();
    let limits = [
        "--query-timeout",
        "4",
        "--query-memory-mib",
        "64",
        "--query-rows",
        "10000",
    ];
    let (warehouse, server) = served(&dir, &limits);
    let ask = |sql: &str| server.says(&["sql", "--json", sql], &[]);
    let n = number(&warehouse, "SELECT count(*) FROM commands");
    assert_eq!(
        ask("SELECT count(*) AS n FROM commands").trim(),
        format!("{{\"n\":{n}}}")
    );
    let rows = ask("SELECT hash, cmd_entropy(command_line) AS e FROM commands ORDER BY hash");
    assert_eq!(rows.lines().count() as i64, n);
    let uri = |kind: &str| {
        let row = ask(&format!(
            "SELECT uri FROM models WHERE kind = '{kind}' LIMIT 1"
        ));
        let row: serde_json::Value = serde_json::from_str(row.trim()).unwrap();
        row["uri"].as_str().unwrap().to_owned()
    };
    let scored = format!(
        "SELECT max(iforest_score(cmd_features(command_line, '{}'), '{}')) > 0 AS scored FROM commands",
        uri("frequencies"),
        uri("iforest")
    );
    assert_eq!(ask(&scored).trim(), "{\"scored\":true}");
    let empty = server.says(&["sql", "SELECT hash FROM commands WHERE false"], &[]);
    assert!(empty.contains("hash"), "{empty}");
    for (sql, said) in [
        ("COPY commands TO '/tmp/x.csv'", "COPY"),
        ("CREATE TABLE t AS SELECT 1", "DDL"),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "DDL",
        ),
        ("DROP TABLE commands", "DDL"),
        ("INSERT INTO commands SELECT * FROM commands", "DML"),
        ("SET datafusion.execution.batch_size = 1", "SetVariable"),
        ("SELECT * FROM '/etc/passwd'", "not found"),
        (
            "SELECT iforest_score(cmd_features('x'), 'file:///etc/passwd')",
            "the warehouse's own models",
        ),
        (
            "SELECT embed('x', 'model2vec:aa@/etc')",
            "only the embedder",
        ),
        (
            "SELECT a.hash FROM commands a, commands b",
            "more than 10000 rows",
        ),
        (
            "SELECT a.command_line FROM commands a, commands b ORDER BY 1",
            "needs more memory",
        ),
        // What DataFusion's own accounts do not see.
        (
            "SELECT length(repeat('x', 2000000000))",
            "needs more memory",
        ),
        // What gives way to no deadline.
        (
            "SELECT count(*) FROM commands a, commands b, commands c, commands d WHERE a.events + b.events + c.events + d.events < 0",
            "took longer than 4 s",
        ),
        ("SELECT nothing FROM commands", "nothing"),
    ] {
        let error = server.refuses(&["sql", sql], &[]);
        let memory_or_time = said == "took longer than 4 s" && error.contains("needs more memory");
        assert!(error.contains(said) || memory_or_time, "{sql}: {error}");
    }
    // The server has outlived all of it.
    assert_eq!(ask("SELECT 1 AS n").trim(), "{\"n\":1}");
}

#[test]
fn an_adbc_driver_reads_through_the_sql_service() {
    let Some(python) = std::env::var_os("GLEANER_PYTHON") else {
        return skip("ADBC: GLEANER_PYTHON names no interpreter");
    };
    let dir = Dir::new();
    let (warehouse, server) = served(&dir, &[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/readers/adbc.py");
    let output = Command::new(python)
        .args([script, &server.url.replace("http://", "grpc://")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if said.contains("ModuleNotFoundError") {
        return skip(
            "ADBC: GLEANER_PYTHON lacks adbc-driver-flightsql: pip install -r tests/readers/requirements.txt",
        );
    }
    assert!(output.status.success(), "{said}");
    let n = number(&warehouse, "SELECT count(*) FROM commands");
    assert!(said.contains(&format!("commands {n}")), "{said}");
}
