//! Labels by a language model: asked carefully, checked by code, paid for once.
//!
//! ```text
//! triage    before a line leaves: lists, hard rules, injection, redaction. What is decided here costs nothing
//! prompt    the one prompt, the strict schema of its answer, and the check of what came back
//! canaries  items with known answers among the others; a batch that fails one is rejected whole
//! pseudonyms the key of names: outside the warehouse, where the user wants it so
//! client    one chat completion: streamed or not, every way it can fail, by name
//! budget    retries under a budget, a ceiling of cost, what was really used
//! batch     the Batch API: submit, poll, fetch; a lost answer never submits twice
//! passes    two passes over what is left, in other orders with other neighbours
//! store     every answer, durable before it counts: nothing is paid for twice
//! sigma     Sigma rules of the user's own, beside the hard rules
//! lists     analysts' allow- and deny-lists
//! precision how right the benign set is: errors on canaries, prevalence, and their intervals
//! review    samples for analysts, and their verdicts
//! ```
//!
//! **What earns `benign`.** Both passes say so, each with evidence that code finds in the line; every malicious canary of both
//! batches was recognised; no hard rule fires; nothing in the line speaks to its labeller; nothing had to be held back. All else keeps
//! its reason and is not emitted.
//!
//! Why in the driver: it is I/O with a budget, thousands of lines a day, and no executor may need a network.

pub mod batch;
pub mod budget;
mod calls;
pub mod canaries;
pub mod client;
mod decide;
pub mod lists;
pub mod options;
mod passes;
pub mod precision;
pub mod prompt;
pub mod pseudonyms;
pub mod review;
pub mod rows;
pub mod sigma;
pub mod store;
pub mod triage;
pub mod verdicts;

use std::collections::BTreeMap;

use gleaner_udfs::text::label::Verdict;
use serde::Serialize;

pub use options::LlmOptions;
pub use passes::{Labeller, Usage};

/// A line to label, and what telemetry knows of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Its name in every table.
    pub hash: String,
    /// The line.
    pub command_line: String,
    /// `windows`, `linux` or `macos`.
    pub os: Option<String>,
    /// Path of the program.
    pub image: Option<String>,
    /// Path of the parent's program.
    pub parent_image: Option<String>,
    /// The parent's line: looked at by rules, never sent.
    pub parent_command_line: Option<String>,
    /// Account: becomes a pseudonym.
    pub user: Option<String>,
    /// The program's name by its version information; for Sigma rules alone.
    pub original_file_name: Option<String>,
    /// `low`, `medium`, `high`, `system`; for Sigma rules alone.
    pub integrity_level: Option<String>,
}

/// What was decided of a line without the SQL rule labeller.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// The line.
    pub hash: String,
    /// benign, suspicious, malicious, uncertain.
    pub verdict: &'static str,
    /// Why, in one sentence; holds nothing of the line but what a model said of its redacted text.
    pub reason: String,
    /// Rules that hit.
    pub rules: Vec<String>,
    /// A part of the redacted line.
    pub evidence: String,
    /// 0 to 1, for ranking only.
    pub confidence: f32,
    /// `rules`, `sigma`, `llm`, `allow-list`, `deny-list`, or `none` where nobody labelled it.
    pub labeller: &'static str,
    /// Why the line has no label, as a short name; `None` when it has one.
    pub unlabelled: Option<String>,
    /// What a model took the line to be for.
    pub intent: Option<String>,
    /// What it found suspicious.
    pub red_flags: Vec<String>,
    /// Verdict of the first pass.
    pub first_verdict: Option<String>,
    /// Verdict of the second pass; only lines that the first called benign have one.
    pub second_verdict: Option<String>,
    /// Evidence of the second pass.
    pub second_evidence: Option<String>,
    /// The model that answered, as it named itself.
    pub model: Option<String>,
    /// Hash of the prompt, its schema and the canaries.
    pub prompt: Option<String>,
    /// The calls that labelled it, one a pass.
    pub batches: Vec<String>,
    /// Kinds of secrets that were cut before it was sent.
    pub redacted: Vec<String>,
    /// The redacted line, as sent.
    pub sent: Option<String>,
    /// Its share of what its calls cost, in US dollars.
    pub cost_usd: f64,
    /// The `key` of its answers in the table `answers`: of what was sent.
    pub answer_key: Option<String>,
    /// Whether another run may do better: the network failed, or money ran out.
    #[serde(skip)]
    pub transient: bool,
}

impl Decision {
    /// A decision by `labeller` that cost nothing.
    #[must_use]
    pub fn new(hash: &str, verdict: Verdict, labeller: &'static str, reason: String) -> Self {
        Self {
            hash: hash.to_owned(),
            verdict: verdict.as_str(),
            reason,
            rules: vec![],
            evidence: String::new(),
            confidence: 0.0,
            labeller,
            unlabelled: None,
            intent: None,
            red_flags: vec![],
            first_verdict: None,
            second_verdict: None,
            second_evidence: None,
            model: None,
            prompt: None,
            batches: vec![],
            redacted: vec![],
            sent: None,
            cost_usd: 0.0,
            answer_key: None,
            transient: false,
        }
    }

    /// A line without a label, and why.
    #[must_use]
    pub fn unlabelled(hash: &str, why: &str, reason: String) -> Self {
        Self {
            unlabelled: Some(why.to_owned()),
            ..Self::new(hash, Verdict::Uncertain, "none", reason)
        }
    }
}

/// How many decisions were made how: `labeller` or `unlabelled: why` → rows.
#[must_use]
pub fn counted(decisions: &[Decision]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for decision in decisions {
        let name = decision.unlabelled.as_ref().map_or_else(
            || decision.labeller.to_owned(),
            |why| format!("unlabelled: {why}"),
        );
        *counts.entry(name).or_default() += 1;
    }
    counts
}
