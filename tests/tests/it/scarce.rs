//! Too little disk, too little memory: a named error before anything is published, never a wrong answer.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::processes::{Cluster, Setup, free_port};
use crate::support::{Dir, digest, gleaner, program, query, run, skip};

const DAY: &str = "2025-01-01";

/// A real full disk: a small tmpfs in a mount namespace of its own, which takes root.
#[test]
fn a_full_disk_is_an_error_and_a_rerun_gives_the_day() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "30000"]);
    let disk = dir.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "set -u; mount -t tmpfs -o size=2m tmpfs '{disk}' || exit 77\n\
         day() {{ '{program}' gleaner -- run --date {DAY} --telemetry '{telemetry}' --warehouse '{disk}/w'; }}\n\
         day; echo first=$?\n\
         '{program}' gleaner -- sql --json --warehouse '{disk}/w' 'SELECT count(*) AS n FROM runs'\n\
         mount -o remount,size=300m '{disk}'; day; echo second=$?\n\
         '{program}' gleaner -- status --json --warehouse '{disk}/w'",
        program = env!("CARGO_BIN_EXE_gleaner-under-test"),
    );
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output();
    let Ok(output) = output else {
        skip("a full disk: no unshare here");
        return;
    };
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if !out.contains("first=") {
        skip(&format!(
            "a full disk: no mount namespace for us here: {err}"
        ));
        return;
    }
    assert!(out.contains("first=2"), "{out}\n{err}");
    assert!(err.contains("No space left on device"), "{err}");
    // Nothing is published: no warehouse, or one without a day.
    assert!(
        err.contains("is not a warehouse") || out.contains("{\"n\":0}"),
        "{out}\n{err}"
    );
    assert!(out.contains("second=0"), "{out}\n{err}");
    let alone = dir.join("alone");
    run(&telemetry, &alone, &[]);
    assert!(out.contains(&digest(&alone, DAY)), "{out}\n{err}");
}

#[test]
fn with_little_memory_a_day_spills_or_says_so() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "60000"]);
    let (plenty, little) = (dir.join("plenty"), dir.join("little"));
    run(&telemetry, &plenty, &[]);
    let common = [
        "--",
        "run",
        "--date",
        DAY,
        "--telemetry",
        &telemetry,
        "--warehouse",
        &little,
        "--slots",
        "4",
    ];
    let output = program("gleaner")
        .args([&common[..], &["--memory", "0.0625"]].concat())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        assert!(
            said.contains("emory") || said.contains("Resources exhausted"),
            "{said}"
        );
        println!("said: {said}");
        if std::path::Path::new(&little).join("gleaner.json").exists() {
            assert!(query(&little, "SELECT * FROM runs").is_empty());
        }
        run(&telemetry, &little, &[]);
    }
    assert_eq!(digest(&little, DAY), digest(&plenty, DAY));
}

/// An executor whose work directory is a full disk of its own, a small tmpfs that only it sees; nothing where we may not
/// mount. The path removes what fills it.
fn executor_on_a_full_disk(dir: &Dir, scheduler: &str) -> Option<(Child, PathBuf)> {
    let work = dir.join("full");
    std::fs::create_dir_all(&work).unwrap();
    let bind: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64m tmpfs '{work}' || exit 77\n\
         head -c 64M /dev/zero > '{work}/filler' 2> /dev/null\n\
         exec '{}' executor --scheduler {scheduler} --bind {bind} --slots 1 --work-dir '{work}' --directories '{}'",
        env!("CARGO_BIN_EXE_gleaner-under-test"),
        std::env::temp_dir().display(),
    );
    let log = std::fs::File::create(dir.path().join("full.log")).unwrap();
    let mut child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .ok()?;
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect(bind).is_err() {
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::fs::read_to_string(dir.join("full.log")).unwrap();
            assert_eq!(status.code(), Some(77), "the executor ended: {said}");
            return None;
        }
        assert!(Instant::now() < deadline, "nothing listens on {bind}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Through the process's own eyes.
    let filler = format!("/proc/{}/root{work}/filler", child.id());
    Some((child, filler.into()))
}

/// The day on a cluster, whether that went well, and what was said.
fn clustered(cluster: &Cluster, telemetry: &str, warehouse: &str) -> (bool, String) {
    let place = ["--telemetry", telemetry, "--warehouse", warehouse];
    let common = ["run", "--date", DAY, "--cluster", &cluster.url];
    let output = gleaner(&[&common[..], &place].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

/// With every executor's disk full nothing can be computed; with one's, the others do its work or the day fails by name.
#[test]
fn an_executor_on_a_full_disk_publishes_nothing_and_later_the_day() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", "3000", "--rows-per-file", "1000"]);
    let alone = dir.join("alone");
    run(&telemetry, &alone, &[]);
    let setup = Setup {
        executors: 0,
        ..Setup::default()
    };
    let mut cluster = Cluster::start(&dir, setup);
    let scheduler = cluster.url.replace("df://", "");
    let Some((executor, filler)) = executor_on_a_full_disk(&dir, &scheduler) else {
        skip("a full work directory: no mount namespace for us here");
        return;
    };
    cluster.executors.push(executor);
    assert!(filler.metadata().unwrap().len() > 60 << 20);
    let there = dir.join("there");
    let (good, said) = clustered(&cluster, &telemetry, &there);
    assert!(!good && said.contains("No space left on device"), "{said}");
    println!("alone on a full disk: {said}");
    // Nothing is published: no warehouse, or one without a day.
    if Path::new(&there).join("gleaner.json").exists() {
        assert!(query(&there, "SELECT * FROM runs").is_empty());
    }

    // Beside another one with room.
    cluster.add_executor();
    let beside = dir.join("beside");
    let (good, said) = clustered(&cluster, &telemetry, &beside);
    println!("beside another executor: {good} {said}");
    if good {
        assert_eq!(digest(&beside, DAY), digest(&alone, DAY));
    } else {
        assert!(said.contains("No space left on device"), "{said}");
    }

    // With room again, by itself.
    let mut roomy = cluster.executors.pop().unwrap();
    roomy.kill().unwrap();
    roomy.wait().unwrap();
    std::fs::remove_file(&filler).unwrap();
    let (good, said) = clustered(&cluster, &telemetry, &there);
    assert!(good, "{said}");
    assert_eq!(digest(&there, DAY), digest(&alone, DAY));
}
