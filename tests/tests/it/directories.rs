//! Local files of a cluster: its own directories, and nothing else.

use crate::processes::{Cluster, Setup};
use crate::support::{Dir, fails, run, succeeds};

#[test]
#[cfg(unix)]
fn a_cluster_touches_local_files_of_its_own_directories_alone() {
    let dir = Dir::new();
    let own = dir.join("own");
    let telemetry = dir.synth("own/telemetry", &["--lines", "600"]);
    let elsewhere = dir.synth("elsewhere/telemetry", &["--lines", "600"]);
    let secret = dir.write("elsewhere/secret.csv", "name\nhunter2\n");
    let mine = dir.write("own/mine.csv", "name\nanna\n");
    let link = format!("{own}/link.csv");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    std::os::unix::fs::symlink(dir.join("elsewhere"), format!("{own}/out")).unwrap();
    let setup = Setup {
        executors: 1,
        directories: vec![own.clone()],
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let on = ["--cluster", &cluster.url];
    let through = [&on[..], &["--through", "commands"]].concat();
    let warehouse = format!("{own}/warehouse");
    run(&telemetry, &warehouse, &through);

    // Telemetry, and what is written, elsewhere.
    let day = |telemetry: &str, warehouse: &str| {
        let place = ["--telemetry", telemetry, "--warehouse", warehouse];
        let common = ["run", "--date", "2025-01-01"];
        fails(&[&common[..], &place, &through].concat())
    };
    for said in [
        day(&elsewhere, &format!("{own}/second")),
        day(&format!("{own}/out/telemetry"), &format!("{own}/third")),
        day(&telemetry, &dir.join("elsewhere/warehouse")),
    ] {
        assert!(said.contains("GLEANER_DIRECTORIES"), "{said}");
    }

    // What a query names; and nothing of it is shown.
    let sql = |query: &str| {
        [&["sql", "--json"], &on[..], &[query]]
            .concat()
            .join("\u{1}")
    };
    let split = |text: &str| text.split('\u{1}').map(str::to_owned).collect::<Vec<_>>();
    let args = |query: &str| split(&sql(query));
    let good = |query: &str| {
        let args = args(query);
        succeeds(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let bad = |query: &str| {
        let args = args(query);
        let said = fails(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.contains("GLEANER_DIRECTORIES"), "{query}: {said}");
        assert!(!said.contains("hunter2"), "{query}: {said}");
    };
    let read = |path: &str| format!("SELECT max(name) AS n FROM '{path}'");
    assert_eq!(good(&read(&mine)).trim(), "{\"n\":\"anna\"}");
    for path in [
        &secret,
        &link,
        &format!("{own}/out/secret.csv"),
        &format!("{own}/../elsewhere/secret.csv"),
    ] {
        bad(&read(path));
    }
    let copy = |path: &str| format!("COPY (SELECT name FROM '{mine}') TO '{path}' STORED AS CSV");
    good(&copy(&format!("{own}/copied.csv")));
    for path in ["elsewhere/copied.csv", "own/out/copied.csv"] {
        // DataFusion says only that it could not write: the executor's log says why.
        let args = args(&copy(&dir.join(path)));
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let log = cluster.executor_log(0);
        assert!(
            log.contains(&dir.join(path)) && log.contains("GLEANER_DIRECTORIES"),
            "{log}"
        );
    }
    assert!(!dir.path().join("elsewhere/copied.csv").exists());
    // A model by its address.
    bad(&format!(
        "SELECT pca_error(cmd_features(name), 'file://{secret}') AS s FROM '{mine}'"
    ));
}

#[test]
fn without_directories_a_cluster_touches_no_local_file() {
    let dir = Dir::new();
    let mine = dir.write("mine.csv", "name\nanna\n");
    let setup = Setup {
        executors: 1,
        directories: vec![],
        ..Setup::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let query = format!("SELECT max(name) AS n FROM '{mine}'");
    let said = fails(&["sql", "--cluster", &cluster.url, &query]);
    assert!(said.contains("GLEANER_DIRECTORIES"), "{said}");
}
