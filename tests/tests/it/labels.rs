//! The language model labeller against a server that misbehaves in every way it may ([`crate::llm_server`]).

use std::collections::BTreeSet;
use std::path::Path;

use gleaner::labels::lists::Lists;
use gleaner::labels::options::{ApiKey, Capabilities, LlmOptions};
use gleaner::labels::store::Store;
use gleaner::labels::{Decision, Labeller, Line, Usage};
use gleaner::stages::{Progress, StageRecord};
use gleaner::telemetry::Kind;
use gleaner::warehouse::Warehouse;
use serde_json::json;

use crate::llm_server::{BatchFault, Fault, Mode, Script, Server};
use crate::support::Dir;

struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &str, _: &str, _: usize) {}
    fn task_done(&self) {}
    fn remark(&self, _: &str) {}
    fn stage_done(&self, _: &StageRecord) {}
}

pub fn options(url: &str) -> LlmOptions {
    let url: url::Url = url.parse().unwrap();
    LlmOptions {
        model: "fake-1".into(),
        key: ApiKey::new("key-of-the-test".into()),
        capabilities: Capabilities::of(&url),
        url,
        batch: false,
        prices: Some((1.0, 4.0)),
        ceiling_usd: None,
        items: 8,
        concurrency: 4,
        timeout_secs: 5,
        retries: 0.5,
        backoff_millis: 1,
        output_tokens: (100, 100),
        poll_secs: 0.02,
        batch_secs: 600,
        pseudonym_key: None,
    }
}

/// Lines that no rule hits and that hold no secret; each fourth is malicious by the server's knowledge, each seventh suspicious.
pub fn lines(n: usize) -> Vec<Line> {
    let line = |i: usize| {
        let word = if i.is_multiple_of(4) {
            "evil"
        } else if i.is_multiple_of(7) {
            "odd"
        } else {
            "sync"
        };
        Line {
            hash: format!("{i:032x}"),
            command_line: format!("tool{i}.exe /{word} group{i}"),
            os: Some("windows".into()),
            ..Line::default()
        }
    };
    (0..n).map(line).collect()
}

pub fn label(
    options: LlmOptions,
    store: Store,
    lines: &[Line],
) -> Result<(Vec<Decision>, Usage), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let day = chrono::NaiveDate::from_ymd_opt(2025, 1, 1).unwrap();
        let labeller = Labeller::new(options, store, day, &Quiet)
            .await
            .map_err(|e| e.to_string())?;
        labeller
            .label(lines, &Lists::default(), None)
            .await
            .map_err(|e| e.to_string())
    })
}

pub fn store(path: &Path) -> Store {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let warehouse = runtime
        .block_on(Warehouse::create(&path.to_string_lossy(), Kind::Command))
        .unwrap();
    Store::of(&warehouse)
}

/// Every line ends as exactly one of labelled or unlabelled with a reason, and its label is its own. Returns how many are labelled.
fn accounted(lines: &[Line], decisions: &[Decision]) -> usize {
    assert_eq!(lines.len(), decisions.len());
    let mut labelled = 0;
    for (line, decision) in lines.iter().zip(decisions) {
        assert_eq!(line.hash, decision.hash);
        let own = format!("for {}", line.command_line);
        if let Some(why) = &decision.unlabelled {
            assert!(
                !why.is_empty() && decision.verdict == "uncertain" && decision.labeller == "none"
            );
        } else {
            labelled += 1;
            let expected = if line.command_line.contains("evil") {
                "malicious"
            } else if line.command_line.contains("odd") {
                "suspicious"
            } else {
                "benign"
            };
            assert_eq!(
                decision.intent.as_deref(),
                Some(own.as_str()),
                "a label on another row"
            );
            assert_eq!((decision.verdict, decision.labeller), (expected, "llm"));
            assert_eq!(
                decision.model.as_deref(),
                Some("fake-1-2026"),
                "the model that answered"
            );
            assert!(decision.prompt.is_some() && !decision.batches.is_empty());
            let passes = if expected == "benign" { 2 } else { 1 };
            let distinct: BTreeSet<&String> = decision.batches.iter().collect();
            assert_eq!(distinct.len(), passes);
        }
    }
    labelled
}

#[test]
fn two_passes_label_every_line_and_both_must_say_benign() {
    let server = Server::start(Script::default());
    let lines = lines(100);
    let (decisions, usage) = label(options(&server.url), Store::Memory, &lines).unwrap();
    assert_eq!(accounted(&lines, &decisions), 100);
    assert_eq!(usage.spent.calls, server.calls());
    // 13 calls, then those that the first pass called benign.
    let benign = decisions.iter().filter(|d| d.verdict == "benign").count();
    assert_eq!(server.calls() as usize, 13 + benign.div_ceil(8));
    assert!(
        usage.spent.cost_usd > 0.0
            && usage.canaries_malicious == server.calls()
            && usage.canaries_missed == 0
    );
    let shares: f64 = decisions.iter().map(|d| d.cost_usd).sum();
    assert!(
        (shares - usage.spent.cost_usd).abs() < 1e-9,
        "{shares} {}",
        usage.spent.cost_usd
    );
}

#[test]
fn calls_stay_within_one_and_a_half_times_those_without_faults() {
    let lines = lines(800);
    let calm = Server::start(Script::default());
    label(options(&calm.url), Store::Memory, &lines).unwrap();
    for seed in 1..4 {
        let random = vec![(0.3, Fault::RateLimit), (0.1, Fault::ServerError(503))];
        let rough = Server::start(Script {
            seed,
            random,
            ..Script::default()
        });
        let (decisions, usage) = label(options(&rough.url), Store::Memory, &lines).unwrap();
        let labelled = accounted(&lines, &decisions);
        println!(
            "seed {seed}: {} calls without faults, {} with {} faults, {labelled} of 800 labelled",
            calm.calls(),
            rough.calls(),
            rough.fired()
        );
        assert!(rough.fired() > 30 && usage.spent.retries > 30);
        assert!(
            rough.calls() * 2 <= calm.calls() * 3,
            "{} against {}",
            rough.calls(),
            calm.calls()
        );
        assert!(labelled > 560, "{labelled}");
    }
}

#[test]
fn every_fault_is_survived_or_is_a_reason() {
    // What happens to the first three calls, and whether all lines are labelled in the end.
    let cases = [
        (Fault::RateLimit, true),
        (Fault::RateLimitDate, true),
        (Fault::ServerError(500), true),
        (Fault::ServerError(502), true),
        (Fault::ServerError(503), true),
        (Fault::Hang, true),
        (Fault::Reset, true),
        (Fault::Length, true),
        (Fault::Empty, true),
        (Fault::Refusal, true),
        (Fault::ContentFilter, true),
        (Fault::Missing, true),
        (Fault::Extra, true),
        (Fault::Duplicate, true),
        (Fault::Foreign, true),
        (Fault::WrongEnum, true),
        (Fault::NotJson, true),
        (Fault::UnsupportedParameter, true),
        (Fault::Quota, false),
        (Fault::NoModel, false),
    ];
    let lines = lines(64);
    for (fault, whole) in cases {
        let count = if fault == Fault::UnsupportedParameter {
            1
        } else {
            3
        };
        let server = Server::start(Script {
            first: vec![fault; count],
            ..Script::default()
        });
        let mut options = options(&server.url);
        options.timeout_secs = 1;
        options.retries = 2.0;
        let (decisions, _) = label(options, Store::Memory, &lines).unwrap();
        let labelled = accounted(&lines, &decisions);
        println!(
            "{fault:?}: {} fired, {} calls, {labelled} of 64 labelled",
            server.fired(),
            server.calls()
        );
        assert!(server.fired() >= 1, "{fault:?} did not happen");
        assert_eq!(
            labelled == 64,
            whole,
            "{fault:?}: {:?}",
            decisions.iter().find(|d| d.unlabelled.is_some())
        );
        if !whole {
            assert!(server.calls() < 10, "{fault:?}: nothing more is asked");
            assert!(
                decisions
                    .iter()
                    .all(|d| d.unlabelled.is_none() || d.transient)
            );
        }
    }
}

#[test]
fn what_the_model_will_never_say_is_a_reason_for_that_line_alone() {
    for fault in [
        Fault::Refusal,
        Fault::ContentFilter,
        Fault::Length,
        Fault::Empty,
    ] {
        let server = Server::start(Script {
            random: vec![(1.0, fault)],
            ..Script::default()
        });
        let mut options = options(&server.url);
        options.retries = 10.0;
        let lines = lines(8);
        let (decisions, usage) = label(options, Store::Memory, &lines).unwrap();
        assert_eq!(accounted(&lines, &decisions), 0);
        // 1 + 2 + 4 + 8 calls: halved until each line stands alone.
        assert_eq!(server.calls(), 15, "{fault:?}");
        assert!(
            usage.spent.cost_usd > 0.0,
            "what gave nothing was paid for too"
        );
    }
}

#[test]
fn a_streamed_answer_is_the_same_answer() {
    let server = Server::start(Script::default());
    let mut options = options(&server.url);
    options.capabilities.stream = true;
    let lines = lines(40);
    let (decisions, usage) = label(options, Store::Memory, &lines).unwrap();
    assert_eq!(accounted(&lines, &decisions), 40);
    assert!(usage.spent.output_tokens > 0 && server.wire().contains("\"stream\":true"));
}

#[test]
fn nothing_is_paid_for_twice() {
    let dir = Dir::new();
    let server = Server::start(Script::default());
    let lines = lines(60);
    let (first, _) = label(options(&server.url), store(dir.path()), &lines[..40]).unwrap();
    let calls = server.calls();
    let (again, usage) = label(options(&server.url), store(dir.path()), &lines[..40]).unwrap();
    assert_eq!(
        (server.calls(), usage.spent.calls, usage.cached),
        (calls, 0, 40)
    );
    assert_eq!(first, again, "the same rows, also what they cost");
    let (more, usage) = label(options(&server.url), store(dir.path()), &lines).unwrap();
    assert_eq!(
        (accounted(&lines, &more), usage.cached, usage.asked),
        (60, 40, 20)
    );
    // Another model is another labeller.
    let mut other = options(&server.url);
    other.model = "other".into();
    let before = server.calls();
    label(other, store(dir.path()), &lines).unwrap();
    assert!(server.calls() > before);
}

#[test]
fn a_ceiling_stops_the_run_before_it_is_exceeded() {
    let dir = Dir::new();
    let server = Server::start(Script::default());
    let lines = lines(200);
    let whole = label(options(&server.url), Store::Memory, &lines)
        .unwrap()
        .1
        .spent
        .cost_usd;
    let mut limited = options(&server.url);
    limited.ceiling_usd = Some(whole / 2.0);
    let (decisions, usage) = label(limited.clone(), store(dir.path()), &lines).unwrap();
    let labelled = accounted(&lines, &decisions);
    assert!(
        usage.spent.cost_usd <= whole / 2.0 && labelled > 0 && labelled < 200,
        "{labelled}"
    );
    assert!(
        decisions
            .iter()
            .any(|d| d.unlabelled.as_deref() == Some("cost ceiling") && d.transient)
    );
    limited.ceiling_usd = None;
    let (decisions, usage) = label(limited, store(dir.path()), &lines).unwrap();
    assert_eq!(accounted(&lines, &decisions), 200);
    assert!(
        usage.spent.cost_usd < whole,
        "what was paid before the ceiling is not paid again"
    );
}

#[test]
fn a_batch_whose_malicious_canary_comes_back_benign_is_rejected_whole() {
    let server = Server::start(Script {
        mode: Mode::Gullible,
        ..Script::default()
    });
    let lines = lines(80);
    let (decisions, usage) = label(options(&server.url), Store::Memory, &lines).unwrap();
    assert_eq!(accounted(&lines, &decisions), 0);
    assert!(
        decisions
            .iter()
            .all(|d| d.unlabelled.as_deref() == Some("batch rejected"))
    );
    assert_eq!((usage.batches_rejected, usage.canaries_missed), (10, 10));
    assert!(usage.error().low > 0.6, "{:?}", usage.error());
}

#[test]
fn a_model_that_is_gone_is_told_before_anything_is_paid() {
    let server = Server::start(Script::default());
    let mut gone = options(&server.url);
    gone.model = "o3-mini".into();
    let error = label(gone, Store::Memory, &lines(8)).unwrap_err();
    assert!(
        error.contains("fake-1") && error.contains("o3-mini") && server.calls() == 0,
        "{error}"
    );
    assert!(!error.contains("key-of-the-test"));
}

#[test]
fn batches_are_joined_by_id_whatever_their_order_and_faults() {
    for fault in [
        BatchFault::None,
        BatchFault::LostSubmit,
        BatchFault::RefusedSubmit,
        BatchFault::Expires,
        BatchFault::Errors,
        BatchFault::Invalid,
        BatchFault::Endless,
    ] {
        let server = Server::start(Script {
            batch: fault,
            ..Script::default()
        });
        let mut options = options(&server.url);
        options.capabilities.batch = true;
        options.batch = true;
        options.retries = 2.0;
        options.batch_secs = u64::from(fault != BatchFault::Endless) * 600;
        let lines = lines(100);
        let dir = Dir::new();
        let (decisions, usage) = label(options, store(dir.path()), &lines).unwrap();
        let labelled = accounted(&lines, &decisions);
        let batches = server.seen.lock().unwrap().batches.len();
        println!(
            "{fault:?}: {batches} batches, {} fired, {labelled} of 100 labelled",
            server.fired()
        );
        match fault {
            BatchFault::Invalid => assert!(
                labelled == 0
                    && decisions
                        .iter()
                        .all(|d| d.unlabelled.as_deref() == Some("batch refused"))
            ),
            // Every batch is cancelled, and gives half of what it was asked: the retries end before the lines do.
            BatchFault::Endless => assert!((50..100).contains(&labelled), "{labelled}"),
            _ => assert_eq!(labelled, 100, "{fault:?}"),
        }
        if matches!(
            fault,
            BatchFault::None | BatchFault::LostSubmit | BatchFault::RefusedSubmit
        ) {
            // A pass, a batch: a lost answer did not submit twice.
            assert_eq!(batches, 2, "{fault:?}");
        }
        if fault != BatchFault::None && fault != BatchFault::Endless {
            assert!(server.fired() >= 1, "{fault:?} did not happen");
        }
        assert!(fault == BatchFault::Invalid || usage.spent.cost_usd > 0.0);
    }
}

#[test]
fn evidence_that_is_no_part_of_the_line_earns_nothing() {
    use gleaner::labels::triage::Sent;
    let sent = Sent {
        os: "linux".into(),
        image: String::new(),
        parent: String::new(),
        command: "tar  -czf a.tgz /etc".into(),
        decoded: vec!["id -u".into()],
    };
    assert!(sent.holds("tar -czf") && sent.holds("id -u") && sent.holds(" a.tgz /etc "));
    for bought in ["", " ", "a", "rm -rf", "TAR -CZF", "tar -czf b"] {
        assert!(!sent.holds(bought), "{bought}");
    }
    assert!(json!(sent).is_object());
}
