//! S3 that misbehaves: the same digest, or a named failure with nothing published; and after it, a rerun gives the digest.

use crate::proxy::{Action, Kind, Proxy, Rule};
use crate::s3::{DAY, digests, env, gleaner, server, well};
use crate::seaweed::Seaweed;
use crate::support::Dir;
use std::time::Duration;

const READS: &[Kind] = &[Kind::Get, Kind::GetRange];
const LOG: &str = "_delta_log/0";

struct World {
    server: Seaweed,
    _dir: Dir,
    expected: String,
}

fn world() -> Option<World> {
    let server = server()?;
    let dir = Dir::new();
    let lines = [
        "--lines",
        "1500",
        "--rows-per-file",
        "700",
        "--format",
        "ndjson.gz",
    ];
    let telemetry = dir.synth("telemetry", &lines);
    server.upload(telemetry.as_ref(), "telemetry");
    run(&server, &env(&server), "expected").unwrap();
    let expected = digests(&env(&server), "s3://gleaner/expected");
    Some(World {
        server,
        _dir: dir,
        expected,
    })
}

fn run(_: &Seaweed, env: &[(String, String)], warehouse: &str) -> Result<String, String> {
    let to = format!("s3://gleaner/{warehouse}");
    let args = [
        "run",
        "--date",
        DAY,
        "--telemetry",
        "s3://gleaner/telemetry",
        "--warehouse",
        &to,
    ];
    match gleaner(env, &args) {
        (true, out, err) => Ok(format!("{out}{err}")),
        (false, _, err) => Err(err),
    }
}

impl World {
    /// Runs the day through a proxy with these faults, each of which must have fired.
    fn day(&self, name: &str, seed: u64, rules: Vec<Rule>) {
        let proxy = Proxy::start(&self.server.endpoint(), seed, rules);
        let through = self.server.env_of(&proxy.endpoint(), self.server.admin());
        let through: Vec<_> = through
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v))
            .collect();
        let direct = env(&self.server);
        let outcome = run(&self.server, &through, name);
        let to = format!("s3://gleaner/{name}");
        proxy.all_fired();
        if let Err(said) = &outcome {
            assert!(said.contains("error"), "{name}: {said}");
            println!(
                "{name}: failed by name: {}",
                said.lines().last().unwrap_or_default()
            );
            let sql = "SELECT count(*) AS n FROM runs";
            let (there, published, _) =
                gleaner(&direct, &["sql", "--json", "--warehouse", &to, sql]);
            assert!(
                !there || published.trim() == "{\"n\":0}",
                "{name}: {published}"
            );
        }
        run(&self.server, &direct, name).unwrap();
        assert_eq!(
            digests(&direct, &to),
            self.expected,
            "{name}: {}",
            proxy.report()
        );
        let sql = "SELECT sum(events) AS n FROM commands";
        let events = well(&direct, &["sql", "--json", "--warehouse", &to, sql]);
        assert_eq!(events.trim(), "{\"n\":1500}", "{name}");
        // One commit a table beside its creation: nothing was committed twice.
        let commits = self.server.keys(&format!("{name}/commands/_delta_log"));
        let commits = commits.iter().filter(|k| k.contains(".json")).count();
        assert_eq!(commits, 2, "{name}");
    }
}

#[test]
fn errors_and_slowness_are_waited_out() {
    let Some(world) = world() else { return };
    for (seed, percent) in [(1, 1.0), (2, 5.0), (3, 10.0)] {
        let rules = vec![
            Rule::new("500", Action::INTERNAL_ERROR).chance(percent / 100.0),
            Rule::new("503", Action::SLOW_DOWN).chance(percent / 100.0),
        ];
        world.day(&format!("errors-{seed}"), seed, rules);
    }
    let slow = Action::Slow {
        delay: Duration::from_millis(200),
        piece: 4096,
        pause: Duration::from_millis(2),
    };
    world.day("slow", 4, vec![Rule::new("slow", slow).chance(0.1)]);
}

#[test]
fn damaged_and_short_answers_are_noticed() {
    let Some(world) = world() else { return };
    let short = Rule::new("short", Action::Short).on(READS).chance(0.1);
    world.day("short", 5, vec![short]);
    for seed in 6..9 {
        let corrupt = Rule::new("corrupt", Action::Corrupt).on(READS).chance(0.1);
        world.day(&format!("corrupt-{seed}"), seed, vec![corrupt]);
    }
    let upload = Rule::new("upload", Action::CorruptRequest)
        .on(&[Kind::Put, Kind::PutCreate, Kind::PutPart])
        .chance(0.1);
    world.day("upload", 9, vec![upload]);
}

#[test]
fn a_commit_whose_answer_is_lost_or_refused_is_neither_lost_nor_doubled() {
    let Some(world) = world() else { return };
    let actions = [
        ("lost", Action::Lose),
        ("lost500", Action::LOST_500),
        ("dropped", Action::Drop),
        ("conflict", Action::CONFLICT),
        ("precondition", Action::PRECONDITION),
    ];
    for (n, (name, action)) in actions.into_iter().enumerate() {
        // Each table's creation and commit are conditional: hit some of them, the first of `runs` always.
        let rules = vec![
            Rule::new("runs", action)
                .on(&[Kind::PutCreate])
                .path("/runs/")
                .path(LOG)
                .limit(1),
            Rule::new("some", action)
                .on(&[Kind::PutCreate])
                .path(LOG)
                .chance(0.4)
                .limit(6),
        ];
        world.day(&format!("commit-{name}"), 20 + n as u64, rules);
    }
}
