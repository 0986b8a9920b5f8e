//! The Batch API: submit, poll, fetch. Half the price, within 24 hours.
//!
//! A note in the warehouse names the batch by a token of ours and says what each of its ids stands for, before anything is submitted. The token travels as
//! the batch's metadata: when the answer to a submission is lost, the server's list of batches tells whether it arrived, and only one that
//! did not is submitted again. A run that is killed while it waits finds its notes, and carries on. Output comes in any order, and is joined by `custom_id`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{self, Reply};
use super::passes::{Call, Labeller, Next, Outcome};
use super::prompt;
use super::triage::Sent;
use crate::error::JobError;
use crate::faults;

/// The API's limits on one file, with room to spare.
const MOST_CALLS: usize = 50_000;
const MOST_BYTES: usize = 190 << 20;
/// Attempts at a request about a batch.
const TRIES: u32 = 8;
/// Looks at the list of batches before a lost submission counts as not arrived.
const LOOKS: u32 = 3;

/// What is known of a batch that was submitted, or was to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    token: String,
    model: String,
    prompt: String,
    url: String,
    pass: u8,
    batch_id: Option<String>,
    calls: Vec<Call>,
}

/// A request that failed for good.
#[derive(Debug, Clone, Copy)]
struct Failed(&'static str);

impl Labeller<'_> {
    /// A request, retried as calls are. `Err` with a fixed phrase.
    async fn retried(
        &self,
        make: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, Failed> {
        let mut tries = 0;
        loop {
            self.budget.wait().await;
            let (why, after) = match make().send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status().as_u16();
                    let body = client::read(response).await.unwrap_or_default();
                    match self.client.failure(status, &body, None) {
                        Reply::Again { why, after } => (why, after),
                        Reply::Stop(why) => return Err(Failed(why)),
                        _ => return Err(Failed("bad request")),
                    }
                }
                Err(_) => ("connection", None),
            };
            tries += 1;
            if tries == TRIES {
                return Err(Failed(why));
            }
            if let Some(after) = after {
                self.budget.rest(after);
            }
            tokio::time::sleep(self.budget.pause(tries)).await;
        }
    }

    async fn json(&self, make: impl Fn() -> reqwest::RequestBuilder) -> Result<Value, Failed> {
        let mut tries = 0;
        loop {
            match client::read(self.retried(&make).await?).await {
                Ok(value) => return Ok(value),
                Err(why) if tries == TRIES => return Err(Failed(why)),
                Err(_) => tries += 1,
            }
        }
    }

    fn get(&self, resource: &str) -> reqwest::RequestBuilder {
        self.client.request(reqwest::Method::GET, resource)
    }

    /// Uploads the requests. A file that arrived although its answer was lost costs nothing and starts nothing: it is uploaded again.
    async fn upload(&self, token: &str, lines: &str) -> Result<String, Failed> {
        let boundary = format!("gleaner{token}");
        let body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{boundary}\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"gleaner-{token}.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n\
             {lines}\r\n--{boundary}--\r\n"
        );
        let kind = format!("multipart/form-data; boundary={boundary}");
        let made = self
            .json(|| {
                self.client
                    .request(reqwest::Method::POST, "files")
                    .header("content-type", &kind)
                    .body(body.clone())
            })
            .await?;
        made.get("id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or(Failed("no file id"))
    }

    /// The batch of that token, if the server has it.
    async fn find(&self, token: &str) -> Result<Option<String>, Failed> {
        let mut after = String::new();
        loop {
            let page = self
                .json(|| self.get(&format!("batches?limit=100{after}")))
                .await?;
            let data = page
                .get("data")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let ours = data
                .iter()
                .find(|b| b.pointer("/metadata/gleaner").and_then(Value::as_str) == Some(token));
            if let Some(id) = ours.and_then(|b| b.get("id")?.as_str()) {
                return Ok(Some(id.to_owned()));
            }
            let last = data.last().and_then(|b| b.get("id")?.as_str());
            match last {
                Some(last) if page.get("has_more") == Some(&Value::Bool(true)) => {
                    after = format!("&after={last}");
                }
                _ => return Ok(None),
            }
        }
    }

    /// Whether a submission arrived, the list tells; not always at once.
    async fn arrived(&self, token: &str, tries: u32) -> Result<Option<String>, Failed> {
        for look in 0..LOOKS {
            tokio::time::sleep(self.budget.pause(tries + look)).await;
            if let Some(id) = self.find(token).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Submits once, whatever becomes of the answers.
    async fn submit(&self, token: &str, lines: &str) -> Result<String, Failed> {
        let mut tries = 0;
        loop {
            let file = self.upload(token, lines).await?;
            let body = json!({
                "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"gleaner": token},
            })
            .to_string();
            let sent = self
                .client
                .request(reqwest::Method::POST, "batches")
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await;
            faults::reach("labels.submitted", token);
            let mut after = None;
            if let Ok(response) = sent {
                let status = response.status();
                let value = client::read(response).await;
                if let (true, Ok(value)) = (status.is_success(), &value)
                    && let Some(id) = value.get("id").and_then(Value::as_str)
                {
                    return Ok(id.to_owned());
                }
                match self
                    .client
                    .failure(status.as_u16(), &value.unwrap_or_default(), None)
                {
                    Reply::Stop(why) if !status.is_success() => return Err(Failed(why)),
                    Reply::Again { after: wanted, .. } => after = wanted,
                    _ => {}
                }
            }
            // Lost, or refused for now.
            if let Some(id) = self.arrived(token, tries).await? {
                return Ok(id);
            }
            tries += 1;
            if tries == TRIES {
                return Err(Failed("the batch could not be submitted"));
            }
            if let Some(after) = after {
                self.budget.rest(after);
                self.budget.wait().await;
            }
        }
    }

    /// Waits for a batch's end; returns it as the server describes it. One that takes too long is cancelled.
    async fn poll(&self, id: &str) -> Result<Value, Failed> {
        let started = Instant::now();
        let mut cancelled = false;
        loop {
            let batch = self.json(|| self.get(&format!("batches/{id}"))).await?;
            let status = batch
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if matches!(status, "completed" | "failed" | "expired" | "cancelled") {
                return Ok(batch);
            }
            faults::reach("labels.polled", id);
            if !cancelled && started.elapsed() > Duration::from_secs(self.options().batch_secs) {
                cancelled = true;
                let _ = self
                    .json(|| {
                        self.client
                            .request(reqwest::Method::POST, &format!("batches/{id}/cancel"))
                    })
                    .await;
            }
            tokio::time::sleep(Duration::from_secs_f64(self.options().poll_secs.max(0.01))).await;
        }
    }

    /// The lines of a batch's output or error file, by id.
    async fn fetch(&self, file: &str) -> Result<BTreeMap<String, Value>, Failed> {
        let mut tries = 0;
        loop {
            let response = self
                .retried(|| self.get(&format!("files/{file}/content")))
                .await?;
            match response.bytes().await {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let mut lines = BTreeMap::new();
                    for value in text
                        .lines()
                        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                    {
                        if let Some(id) = value.get("custom_id").and_then(Value::as_str) {
                            lines.entry(id.to_owned()).or_insert(value);
                        }
                    }
                    return Ok(lines);
                }
                Err(_) if tries == TRIES => return Err(Failed("broken off")),
                Err(_) => tries += 1,
            }
        }
    }

    /// What the server says of each call of a batch that has ended.
    async fn collect(&self, batch: &Value) -> Result<BTreeMap<String, Reply>, Failed> {
        let mut replies = BTreeMap::new();
        for name in ["output_file_id", "error_file_id"] {
            let Some(file) = batch.get(name).and_then(Value::as_str) else {
                continue;
            };
            for (id, line) in self.fetch(file).await? {
                let status = line
                    .pointer("/response/status_code")
                    .and_then(Value::as_u64);
                let body = line.pointer("/response/body").unwrap_or(&Value::Null);
                let reply = match status.and_then(|s| u16::try_from(s).ok()) {
                    Some(200) => client::completion(body),
                    Some(status) => self.client.failure(status, body, None),
                    None => Reply::Again {
                        why: "batch expired",
                        after: None,
                    },
                };
                replies.entry(id).or_insert(reply);
            }
        }
        Ok(replies)
    }

    /// Waits for a batch and keeps its answers. Calls without any are to be asked again.
    async fn gather(
        &self,
        note: &Note,
        id: &str,
    ) -> Result<Result<Vec<Outcome>, Failed>, JobError> {
        let batch = match self.poll(id).await {
            Ok(batch) => batch,
            Err(failed) => return Ok(Err(failed)),
        };
        let status = batch
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if status == "failed" {
            // Validation: the same requests would fail again.
            self.store.remove_batch_note(&note.token).await?;
            return Ok(Err(Failed("batch refused")));
        }
        let mut replies = match self.collect(&batch).await {
            Ok(replies) => replies,
            Err(failed) => return Ok(Err(failed)),
        };
        faults::reach("labels.fetched", id);
        let mut outcomes = vec![];
        for call in &note.calls {
            // A run that died here has kept and counted some of the answers.
            if self.store.holds(&call.id) {
                self.progress_done();
                continue;
            }
            let reply = replies.remove(&call.id).unwrap_or(Reply::Again {
                why: "no line in the batch's output",
                after: None,
            });
            self.budget.count_calls(1);
            self.budget.spend(self.used(&reply));
            outcomes.push(match self.finish(call, reply).await? {
                Next::Done(outcome) => outcome,
                Next::Again(..) | Next::AtOnce => Outcome::again(call.lines()),
            });
            self.progress_done();
        }
        self.store.remove_batch_note(&note.token).await?;
        Ok(Ok(outcomes))
    }
}

/// Carries on with batches of this pass that an earlier run left.
pub(super) async fn adopt(labeller: &Labeller<'_>, pass: u8) -> Result<Vec<Outcome>, JobError> {
    let mut outcomes = vec![];
    for bytes in labeller.store.batch_notes().await? {
        let Ok(note) = serde_json::from_slice::<Note>(&bytes) else {
            continue;
        };
        let options = labeller.options();
        let ours = note.model == options.model
            && note.prompt == prompt::hash()
            && note.url == options.url.as_str();
        if !ours || note.pass != pass {
            continue;
        }
        let id = match &note.batch_id {
            Some(id) => Ok(Some(id.clone())),
            None => labeller.arrived(&note.token, 0).await,
        };
        match id {
            Ok(Some(id)) => match labeller.gather(&note, &id).await? {
                // What it has no answer for is asked anew, with everything else.
                Ok(found) => outcomes.extend(found.into_iter().map(Outcome::without_again)),
                Err(Failed(why)) => labeller.stop(why),
            },
            // It never arrived.
            Ok(None) => labeller.store.remove_batch_note(&note.token).await?,
            Err(Failed(why)) => labeller.stop(why),
        }
    }
    Ok(outcomes)
}

/// Asks about groups of lines by batch, a call each.
pub(super) async fn ask(
    labeller: &Labeller<'_>,
    pass: u8,
    works: &[Vec<String>],
    texts: &BTreeMap<String, &Sent>,
) -> Result<Vec<Outcome>, JobError> {
    let mut outcomes = vec![];
    let mut queue = works.iter().peekable();
    while queue.peek().is_some() {
        let (mut lines, mut taken, mut reserved) = (String::new(), vec![], vec![]);
        while taken.len() < MOST_CALLS && lines.len() < MOST_BYTES {
            let Some(keys) = queue.next() else { break };
            let (call, canary_texts) = Labeller::compose(pass, keys);
            if let Some(why) = labeller.stopped() {
                outcomes.push(labeller.none(&call, why));
                continue;
            }
            let body = labeller.body(&call, texts, &canary_texts);
            let Some(hold) = labeller
                .budget
                .reserve(labeller.most(&body, call.slots.len()))
            else {
                labeller.stop("cost ceiling");
                outcomes.push(labeller.none(&call, "cost ceiling"));
                continue;
            };
            let line = json!({"custom_id": call.id, "method": "POST", "url": "/v1/chat/completions", "body": body});
            lines.push_str(&line.to_string());
            lines.push('\n');
            taken.push(call);
            reserved.push(hold);
        }
        if taken.is_empty() {
            continue;
        }
        let mut note = Note {
            token: uuid::Uuid::new_v4().simple().to_string(),
            model: labeller.options().model.clone(),
            prompt: prompt::hash().to_owned(),
            url: labeller.options().url.to_string(),
            pass,
            batch_id: None,
            calls: taken,
        };
        let encoded =
            |note: &Note| serde_json::to_vec(note).map_err(|e| JobError::Internal(e.to_string()));
        labeller
            .store
            .put_batch_note(&note.token, encoded(&note)?)
            .await?;
        let gathered = match labeller.submit(&note.token, &lines).await {
            Ok(id) => {
                note.batch_id = Some(id.clone());
                labeller
                    .store
                    .put_batch_note(&note.token, encoded(&note)?)
                    .await?;
                labeller.gather(&note, &id).await?
            }
            Err(failed) => Err(failed),
        };
        for hold in &reserved {
            labeller
                .budget
                .settle(hold, super::budget::Spent::default());
        }
        match gathered {
            Ok(found) => outcomes.extend(found),
            Err(Failed(why)) => {
                labeller.stop(why);
                outcomes.extend(note.calls.iter().map(|call| labeller.none(call, why)));
            }
        }
    }
    Ok(outcomes)
}
