//! From what both passes said to one decision.

use std::collections::BTreeMap;

use gleaner_udfs::text::label::Verdict;

use super::Decision;
use super::passes::Usage;
use super::store::Answer;
use super::triage::{Item, Sent};

/// What is known of each line, by pass.
#[derive(Default)]
pub(super) struct Known {
    pub(super) lines: BTreeMap<(u8, String), Answer>,
}

impl Known {
    pub(super) fn add(&mut self, answer: Answer, usage: &mut Usage) {
        match answer.kind.as_str() {
            "attempt" => {}
            "line" => {
                self.lines.insert((answer.pass, answer.key.clone()), answer);
            }
            kind => usage.canary(kind, &answer.verdict),
        }
    }

    pub(super) fn get(&self, pass: u8, key: &str) -> Option<&Answer> {
        self.lines.get(&(pass, key.to_owned()))
    }

    pub(super) fn has(&self, pass: u8, key: &str) -> bool {
        self.get(pass, key).is_some()
    }
}

/// Whether an answer may help a line to be benign; else why not.
pub(super) fn earns(answer: &Answer, sent: &Sent) -> Result<(), &'static str> {
    if answer.unlabelled.is_some() || !answer.accepted {
        return Err("no label");
    }
    if answer.verdict != "benign" {
        return Err("not benign");
    }
    if !sent.holds(&answer.evidence) {
        return Err("evidence");
    }
    Ok(())
}

/// The decision over a line from what both passes said.
pub(super) fn combined(item: &Item, first: Option<&Answer>, second: Option<&Answer>) -> Decision {
    let Some(first) = first else {
        return Decision::unlabelled(&item.hash, "no answer", "The model was not asked.".into());
    };
    let mut decision = said(item, first, second);
    let answers = || [Some(first), second].into_iter().flatten();
    decision.sent = Some(item.sent.command.clone());
    decision.answer_key = Some(item.key.clone());
    decision.redacted.clone_from(&item.redacted);
    decision.rules.clone_from(&item.rules);
    decision.prompt = Some(first.prompt.clone());
    decision.model = answers()
        .last()
        .map(|a| a.model.clone())
        .filter(|m| !m.is_empty());
    decision.batches = answers()
        .map(|a| a.call.clone())
        .filter(|call| !call.is_empty())
        .collect();
    decision.cost_usd = answers().map(|a| a.cost_usd).sum();
    let verdicts = [Some(first), second].map(|answer| {
        let verdict = answer.map(|a| a.verdict.clone());
        verdict.filter(|v| !v.is_empty())
    });
    [decision.first_verdict, decision.second_verdict] = verdicts;
    decision.second_evidence = second.map(|a| a.evidence.clone());
    decision
}

/// Verdict and reason.
fn said(item: &Item, first: &Answer, second: Option<&Answer>) -> Decision {
    let missing = |answer: &Answer| {
        let why = answer.unlabelled.clone().unwrap_or_default();
        let reason = match why.as_str() {
            "batch rejected" => "A malicious canary of the line's batch came back benign: the batch was rejected whole.".to_owned(),
            why => format!("The model gave no label: {why}."),
        };
        // Only what was kept is final: another run asks about the rest.
        Decision {
            transient: answer.call.is_empty(),
            ..Decision::unlabelled(&item.hash, &why, reason)
        }
    };
    let labelled = |verdict: Verdict, reason: String| Decision {
        intent: Some(first.intent.clone()),
        evidence: first.evidence.clone(),
        red_flags: first.red_flags.clone(),
        #[expect(clippy::cast_possible_truncation, reason = "0 to 1, for ranking")]
        confidence: second.map_or(first.confidence, |s| s.confidence.min(first.confidence)) as f32,
        ..Decision::new(&item.hash, verdict, "llm", reason)
    };
    if first.unlabelled.is_some() {
        return missing(first);
    }
    let shown = item.sent.holds(&first.evidence);
    match first.verdict.as_str() {
        _ if !shown => {
            return labelled(
                Verdict::Uncertain,
                "The evidence of the first pass is no part of the line.".into(),
            );
        }
        "malicious" => return labelled(Verdict::Malicious, first.intent.clone()),
        "suspicious" => return labelled(Verdict::Suspicious, first.intent.clone()),
        "benign" => {}
        _ => return labelled(Verdict::Uncertain, first.intent.clone()),
    }
    match second {
        None => Decision {
            transient: true,
            ..Decision::unlabelled(
                &item.hash,
                "no answer",
                "The second pass was not asked.".into(),
            )
        },
        Some(second) if second.unlabelled.is_some() => missing(second),
        Some(second) if second.verdict != "benign" => labelled(
            Verdict::Uncertain,
            format!("The passes disagree: benign, then {}.", second.verdict),
        ),
        Some(second) if !item.sent.holds(&second.evidence) => labelled(
            Verdict::Uncertain,
            "The evidence of the second pass is no part of the line.".into(),
        ),
        Some(_) => labelled(Verdict::Benign, first.intent.clone()),
    }
}
