//! Two passes over the lines that triage leaves: the second over those that the first called benign, in another order with other
//! neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use chrono::NaiveDate;
use futures::StreamExt;
use gleaner_udfs::metrics::{Interval, clopper_pearson};
use gleaner_udfs::text::redact::PseudonymKey;
use serde::{Deserialize, Serialize};

use super::budget::{Budget, Spent};
use super::canaries::Kind;
use super::client::{Client, Reply};
use super::decide::{Known, combined, earns};
use super::lists::Lists;
use super::options::LlmOptions;
use super::prompt;
use super::sigma::SigmaRules;
use super::store::{Answer, Store};
use super::triage::{Sent, Triage, triage};
use super::{Decision, Line, batch};
use crate::error::JobError;
use crate::faults;
use crate::stages::Progress;

/// Attempts at one call, retries among them.
const TRIES: u32 = 8;
/// How often an item that got no answer is asked about again.
const ROUNDS: usize = 3;

/// What a run used, and how its labeller did on what it was known to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Usage {
    /// What was spent.
    #[serde(flatten)]
    pub spent: Spent,
    /// Lines that were asked about in this run, in some pass.
    pub asked: u64,
    /// Lines whose answers were all there already.
    pub cached: u64,
    /// Calls whose malicious canary came back benign.
    pub batches_rejected: u64,
    /// Malicious canaries that were answered, in this run and before, with this model and prompt.
    pub canaries_malicious: u64,
    /// Of them, called benign.
    pub canaries_missed: u64,
    /// Benign canaries that were answered.
    pub canaries_benign: u64,
    /// Of them, called benign.
    pub canaries_benign_found: u64,
}

impl Usage {
    /// e = P(benign | malicious), as the canaries bound it.
    #[must_use]
    pub fn error(&self) -> Interval {
        clopper_pearson(self.canaries_missed, self.canaries_malicious, 0.95)
    }

    /// r = P(benign | benign), as the look-alikes bound it.
    #[must_use]
    pub fn recall(&self) -> Interval {
        clopper_pearson(self.canaries_benign_found, self.canaries_benign, 0.95)
    }

    pub(super) fn canary(&mut self, kind: &str, verdict: &str) {
        let benign = u64::from(verdict == "benign");
        if kind == Kind::LookAlike.name() {
            self.canaries_benign += 1;
            self.canaries_benign_found += benign;
        } else {
            self.canaries_malicious += 1;
            self.canaries_missed += benign;
        }
    }
}

/// An item of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Slot {
    /// A line, by the key of what is sent.
    Line(String),
    /// A canary: its kind, and the key of what is sent.
    Canary(String, String),
}

/// A call, without its texts: what is needed to read its answer, also by another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Call {
    /// Unique; the Batch API's `custom_id`.
    pub(super) id: String,
    pub(super) pass: u8,
    /// What each nonce stands for.
    pub(super) slots: BTreeMap<String, Slot>,
}

/// What came of a call: answers that are kept already, and items to ask about again.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) answers: Vec<Answer>,
    pub(super) again: Vec<Vec<String>>,
}

impl Outcome {
    /// Nothing came: ask again.
    pub(super) fn again(keys: Vec<String>) -> Self {
        Self {
            answers: vec![],
            again: vec![keys],
        }
    }

    /// What came, and nothing more to do.
    pub(super) fn without_again(self) -> Self {
        Self {
            again: vec![],
            ..self
        }
    }
}

/// A language model with its budget and its memory.
pub struct Labeller<'a> {
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) budget: Budget,
    key: PseudonymKey,
    pub(super) day: NaiveDate,
    progress: &'a dyn Progress,
    /// Why nothing more is asked.
    stopped: Mutex<Option<&'static str>>,
}

impl<'a> Labeller<'a> {
    /// # Errors
    /// When the options are wrong, or the key of pseudonyms can be neither read nor made.
    pub async fn new(
        options: LlmOptions,
        store: Store,
        day: NaiveDate,
        progress: &'a dyn Progress,
    ) -> Result<Self, JobError> {
        let seed = u64::from_le_bytes(
            uuid::Uuid::new_v4().into_bytes()[..8]
                .try_into()
                .unwrap_or_default(),
        );
        let backoff = Duration::from_millis(options.backoff_millis);
        Ok(Self {
            budget: Budget::new(options.retries, options.ceiling_usd, backoff, seed),
            key: store.pseudonym_key(options.pseudonym_key.as_ref()).await?,
            client: Client::new(options)?,
            store,
            day,
            progress,
            stopped: Mutex::new(None),
        })
    }

    pub(super) fn options(&self) -> &LlmOptions {
        &self.client.options
    }

    pub(super) fn progress_done(&self) {
        self.progress.task_done();
    }

    pub(super) fn stopped(&self) -> Option<&'static str> {
        *self
            .stopped
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn stop(&self, why: &'static str) {
        let mut stopped = self
            .stopped
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if stopped.is_none() {
            *stopped = Some(why);
        }
    }

    /// Labels lines: one decision each, in their order. Lists and Sigma rules decide before anything is asked.
    ///
    /// # Errors
    /// When the warehouse fails. What a model or a network does wrong is a decision's reason.
    pub async fn label(
        &self,
        lines: &[Line],
        lists: &Lists,
        sigma: Option<&SigmaRules>,
    ) -> Result<(Vec<Decision>, Usage), JobError> {
        let hits = sigma.map_or_else(|| vec![vec![]; lines.len()], |sigma| sigma.hits(lines));
        let triaged: Vec<Triage> = lines
            .iter()
            .zip(&hits)
            .map(|(line, hits)| triage(line, lists, hits, &self.key))
            .collect();
        let mut texts: BTreeMap<String, &Sent> = BTreeMap::new();
        for triage in &triaged {
            if let Triage::Ask(item) = triage {
                texts.insert(item.key.clone(), &item.sent);
            }
        }
        let held = self
            .store
            .load(prompt::hash(), &self.options().model)
            .await?;
        let mut known = Known::default();
        let mut usage = Usage::default();
        for answer in held {
            known.add(answer, &mut usage);
        }
        let before = known.lines.len();
        if texts.keys().any(|key| !known.has(1, key)) {
            self.client.check_model().await?;
        }
        let first: Vec<&str> = texts.keys().map(String::as_str).collect();
        let mut asked = self.pass(1, &first, &texts, &mut known, &mut usage).await?;
        let second: Vec<&str> = texts
            .iter()
            .filter(|(key, sent)| known.get(1, key).is_some_and(|a| earns(a, sent).is_ok()))
            .map(|(key, _)| key.as_str())
            .collect();
        asked.extend(
            self.pass(2, &second, &texts, &mut known, &mut usage)
                .await?,
        );
        self.store.flush().await?;
        log::info!(
            "labels: {before} answers were known, {} lines asked about",
            asked.len()
        );
        let mut decisions = vec![];
        for (line, triage) in lines.iter().zip(&triaged) {
            decisions.push(match triage {
                Triage::Done(decision) => (**decision).clone(),
                Triage::Ask(item) => {
                    if asked.contains(&item.key) {
                        usage.asked += 1;
                    } else {
                        usage.cached += 1;
                    }
                    let mut decision =
                        combined(item, known.get(1, &item.key), known.get(2, &item.key));
                    decision.hash.clone_from(&line.hash);
                    decision
                }
            });
        }
        usage.spent = self.budget.spent();
        Ok((decisions, usage))
    }

    /// Asks about what is not known yet; returns the keys that were asked about.
    async fn pass(
        &self,
        pass: u8,
        keys: &[&str],
        texts: &BTreeMap<String, &Sent>,
        known: &mut Known,
        usage: &mut Usage,
    ) -> Result<BTreeSet<String>, JobError> {
        if self.options().batch {
            for outcome in batch::adopt(self, pass).await? {
                Self::take(outcome, known, usage);
            }
        }
        let mut open: Vec<String> = keys
            .iter()
            .filter(|key| !known.has(pass, key))
            .map(|&key| key.to_owned())
            .collect();
        let asked: BTreeSet<String> = open.iter().cloned().collect();
        // Other neighbours in each pass: the order is that of a hash of pass and key.
        open.sort_by_key(|key| {
            gleaner_udfs::model_cache::sha256(format!("{pass}|{key}").as_bytes())
        });
        let mut works: Vec<Vec<String>> = open
            .chunks(self.options().items)
            .map(<[String]>::to_vec)
            .collect();
        self.budget.plan(works.len());
        let mut round = 0;
        while !works.is_empty() {
            self.progress.step("labels", &self.shown(pass), works.len());
            let mut next = vec![];
            if self.options().batch {
                for outcome in batch::ask(self, pass, &works, texts).await? {
                    next.extend(Self::take(outcome, known, usage));
                }
            } else {
                let running = works.iter().map(|keys| self.one(pass, keys, texts));
                let mut running = std::pin::pin!(
                    futures::stream::iter(running)
                        .buffer_unordered(self.options().concurrency.max(1))
                );
                while let Some(outcome) = running.next().await {
                    next.extend(Self::take(outcome?, known, usage));
                    self.progress.task_done();
                    self.progress.message(&self.shown(pass));
                }
            }
            round += 1;
            works = vec![];
            for keys in next {
                // Asking again is a retry, and is paid from the same budget.
                if self.stopped().is_none() && round < ROUNDS + 4 && self.budget.take_retry() {
                    works.push(keys);
                } else {
                    let why = self.stopped().unwrap_or("no answer");
                    let answers = keys
                        .iter()
                        .map(|key| self.nothing(pass, key, "", why))
                        .collect();
                    Self::take(
                        Outcome {
                            answers,
                            again: vec![],
                        },
                        known,
                        usage,
                    );
                }
            }
        }
        Ok(asked)
    }

    fn shown(&self, pass: u8) -> String {
        format!(
            "{} pass {pass}, {:.4} USD so far",
            self.options().model,
            self.budget.spent().cost_usd
        )
    }

    /// Adds what came of a call; returns what is to be asked again.
    fn take(outcome: Outcome, known: &mut Known, usage: &mut Usage) -> Vec<Vec<String>> {
        let mut rejected = false;
        for answer in outcome.answers {
            rejected |= !answer.accepted && answer.kind != "line" && answer.kind != "attempt";
            known.add(answer, usage);
        }
        usage.batches_rejected += u64::from(rejected);
        outcome.again
    }

    /// Asks one call, with retries.
    async fn one(
        &self,
        pass: u8,
        keys: &[String],
        texts: &BTreeMap<String, &Sent>,
    ) -> Result<Outcome, JobError> {
        let (call, canary_texts) = Self::compose(pass, keys);
        let mut tries = 0;
        loop {
            if let Some(why) = self.stopped() {
                return Ok(self.none(&call, why));
            }
            let body = self.body(&call, texts, &canary_texts);
            let Some(reserved) = self.budget.reserve(self.most(&body, call.slots.len())) else {
                self.stop("cost ceiling");
                continue;
            };
            self.budget.wait().await;
            self.budget.count_calls(1);
            let reply = self.client.ask(body).await;
            faults::reach("labels.received", &call.id);
            self.budget.settle(&reserved, self.used(&reply));
            let (why, after) = match self.finish(&call, reply).await? {
                Next::Done(outcome) => return Ok(outcome),
                Next::Again(why, after) => (why, after),
                Next::AtOnce => continue,
            };
            tries += 1;
            if tries == TRIES || !self.budget.take_retry() {
                return Ok(self.none(&call, why));
            }
            if let Some(after) = after {
                self.budget.rest(after);
            }
            tokio::time::sleep(self.budget.pause(tries - 1)).await;
        }
    }

    /// What a reply used.
    pub(super) fn used(&self, reply: &Reply) -> Spent {
        let tokens = match reply {
            Reply::Content(content) => content.tokens,
            Reply::Split(_, tokens) | Reply::Refused(_, tokens) => *tokens,
            _ => None,
        };
        let (input_tokens, output_tokens) = tokens.unwrap_or_default();
        Spent {
            input_tokens,
            output_tokens,
            cost_usd: self.options().cost_usd(input_tokens, output_tokens),
            ..Spent::default()
        }
    }

    /// What a reply means for its call. Answers are durable when this returns.
    pub(super) async fn finish(&self, call: &Call, reply: Reply) -> Result<Next, JobError> {
        let content = match reply {
            Reply::Content(content) => content,
            Reply::Again { why, after } => return Ok(Next::Again(why, after)),
            Reply::Adapted => return Ok(Next::AtOnce),
            Reply::Stop(why) => {
                self.stop(why);
                return Ok(Next::Done(self.none(call, why)));
            }
            Reply::Split(why, tokens) | Reply::Refused(why, tokens) => {
                let keys = call.lines();
                let mut answers = vec![self.attempt(call, why, tokens)];
                let again = if keys.len() > 1 {
                    keys.chunks(keys.len().div_ceil(2))
                        .map(<[String]>::to_vec)
                        .collect()
                } else {
                    answers.extend(
                        keys.iter()
                            .map(|key| self.nothing(call.pass, key, &call.id, why)),
                    );
                    vec![]
                };
                self.store.put(&call.id, &answers).await?;
                return Ok(Next::Done(Outcome { answers, again }));
            }
        };
        let asked: BTreeSet<&str> = call.slots.keys().map(String::as_str).collect();
        let said = match prompt::read(&content.text, &asked) {
            Ok(said) => said,
            Err(why) => {
                self.keep_attempt(call, why, content.tokens).await?;
                return Ok(Next::Again(why, None));
            }
        };
        let mut accepted = true;
        for (nonce, slot) in &call.slots {
            let Slot::Canary(kind, _) = slot else {
                continue;
            };
            match said.get(nonce) {
                Some(said) if kind != Kind::LookAlike.name() && said.verdict == "benign" => {
                    accepted = false;
                }
                None if kind != Kind::LookAlike.name() => {
                    // Nothing vouches for the call.
                    self.keep_attempt(call, "a canary got no answer", content.tokens)
                        .await?;
                    return Ok(Next::Again("a canary got no answer", None));
                }
                _ => {}
            }
        }
        let (answers, missing) = self.answers(call, &content, &said, accepted);
        self.store.put(&call.id, &answers).await?;
        faults::reach("labels.answered", &call.id);
        let again = if missing.is_empty() {
            vec![]
        } else {
            vec![missing]
        };
        Ok(Next::Done(Outcome { answers, again }))
    }
}

/// What to do after a reply.
pub(super) enum Next {
    /// Nothing more.
    Done(Outcome),
    /// A retry, after so long if the server says.
    Again(&'static str, Option<Duration>),
    /// The same call in the form that the endpoint understands.
    AtOnce,
}

impl Call {
    /// The keys of its lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |slot: &Slot| match slot {
            Slot::Line(key) => Some(key.clone()),
            Slot::Canary(..) => None,
        };
        self.slots.values().filter_map(line).collect()
    }
}
