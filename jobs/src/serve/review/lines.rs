//! The sample that is reviewed, and all that is known of one of its lines, for the page.

use std::collections::BTreeMap;

use gleaner_udfs::text::decode::decode;
use gleaner_udfs::text::redact::{PseudonymKey, redact};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::JobError;
use crate::labels::pseudonyms::KeySource;
use crate::labels::review;
use crate::labels::store::{Store, query};
use crate::stages::sql::{Value as Literal, fill};
use crate::warehouse::Warehouse;
use crate::warehouse::tables::{CANDIDATES, LABELS, REVIEWS};

/// Lines shown of those that a line covers; the rest is counted.
const COVERED: usize = 20;

/// What an analyst has said of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    #[serde(skip_serializing)]
    pub(super) hash: String,
    pub(super) version: u64,
    pub(super) verdict: String,
    pub(super) analyst: String,
    pub(super) comment: Option<String>,
}

/// A line of the sample.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    pub(super) hash: String,
    /// What it was labelled: the part of the sample that it stands for.
    pub(super) stratum: String,
    /// The verdict that holds.
    pub(super) review: Option<Said>,
}

/// The verdicts that hold, by hash: all, or one line's.
pub(super) async fn said(
    warehouse: &Warehouse,
    hash: Option<&str>,
) -> Result<BTreeMap<String, Said>, JobError> {
    let sql = fill(
        "SELECT hash, version, verdict, analyst, comment FROM (
             SELECT *, row_number() OVER (PARTITION BY hash ORDER BY version DESC, imported_at DESC) AS place FROM reviews WHERE {every} OR hash = {hash}
         ) WHERE place = 1",
        &[
            ("every", Literal::Bool(hash.is_none())),
            ("hash", Literal::Text(hash.unwrap_or_default().to_owned())),
        ],
    );
    let said: Vec<Said> = query(warehouse, &[("reviews", REVIEWS)], sql).await?;
    Ok(said
        .into_iter()
        .map(|said| (said.hash.clone(), said))
        .collect())
}

/// The sample, in an order that mixes its parts, so that who goes through half of it has seen half of each.
pub(super) async fn sample(
    warehouse: &Warehouse,
    n: u64,
    seed: u64,
) -> Result<Vec<Item>, JobError> {
    let mut said = said(warehouse, None).await?;
    let mut drawn = review::draw(warehouse, n, seed, None).await?;
    drawn.sort_by(|a, b| a.hash.cmp(&b.hash));
    let item = |line: review::Drawn| Item {
        review: said.remove(&line.hash),
        hash: line.hash,
        stratum: line.stratum,
    };
    Ok(drawn.into_iter().map(item).collect())
}

#[derive(Debug, Deserialize)]
struct Candidate {
    day: String,
    command_line: String,
    os: Option<String>,
    image: Option<String>,
    parent_image: Option<String>,
    parent_command_line: Option<String>,
    user: Option<String>,
    events: Option<u64>,
    hosts: Option<u64>,
    users: Option<u64>,
    #[serde(default)]
    detectors: Vec<String>,
    #[serde(default)]
    reasons: Vec<String>,
    covers: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Covered {
    command_line: String,
    how: Option<String>,
    cosine: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Label {
    verdict: String,
    labeller: String,
    reason: Option<String>,
    evidence: Option<String>,
    confidence: Option<f64>,
    #[serde(default)]
    rules: Vec<String>,
    intent: Option<String>,
    #[serde(default)]
    red_flags: Vec<String>,
    model: Option<String>,
    template_hosts: Option<u64>,
    template_users: Option<u64>,
    template_days: Option<u64>,
}

/// Cuts what is secret, or nothing.
struct Cut<'k> {
    key: Option<PseudonymKey>,
    names: Vec<&'k str>,
}

impl Cut<'_> {
    /// A text, and what it decodes to; `None` where it cannot be shown that nothing secret is left.
    fn line(&self, text: &str) -> Option<(String, Vec<String>)> {
        let decoded = decode(text);
        match &self.key {
            None => Some((text.to_owned(), decoded.texts)),
            Some(_) if decoded.undecoded => None,
            Some(key) => redact(text, &decoded.texts, &self.names, key)
                .ok()
                .map(|cut| (cut.text, cut.decoded)),
        }
    }

    fn text(&self, text: Option<&str>) -> Value {
        match text {
            None | Some("") => Value::Null,
            Some(text) => self
                .line(text)
                .map_or(json!({ "withheld": true }), |(text, _)| text.into()),
        }
    }
}

/// All that the page shows of a line; `None` where no labelled line has the hash.
pub(super) async fn line(
    warehouse: &Warehouse,
    hash: &str,
    redacted: bool,
    key: Option<&KeySource>,
) -> Result<Option<Value>, JobError> {
    if hash.len() != 32 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let about = |sql: &str| fill(sql, &[("hash", Literal::Text(hash.to_owned()))]);
    let sql = about(
        "SELECT verdict, labeller, reason, evidence, confidence, rules, intent, red_flags, model, template_hosts, template_users, template_days
         FROM labels WHERE hash = {hash} ORDER BY day DESC LIMIT 1",
    );
    let labels: Vec<Label> = query(warehouse, &[("labels", LABELS)], sql).await?;
    let sql = about(
        "SELECT CAST(day AS VARCHAR) AS day, command_line, os, image, parent_image, parent_command_line, \"user\", events, hosts, users, detectors,
                reasons, covers FROM candidates WHERE hash = {hash} ORDER BY kept DESC, day DESC LIMIT 1",
    );
    let candidates: Vec<Candidate> = query(warehouse, &[("candidates", CANDIDATES)], sql).await?;
    let (Some(label), Some(candidate)) = (labels.first(), candidates.first()) else {
        return Ok(None);
    };
    let sql = about(
        // Itself on later days is not another line, nor is one of them twice.
        "SELECT command_line, covered_how AS how, cosine FROM (
             SELECT *, row_number() OVER (PARTITION BY hash ORDER BY day) AS place FROM candidates WHERE covered_by = {hash} AND hash <> {hash}
         ) WHERE place = 1 ORDER BY day, hash LIMIT 21",
    );
    let covered: Vec<Covered> = query(warehouse, &[("candidates", CANDIDATES)], sql).await?;
    let review = said(warehouse, Some(hash)).await?.remove(hash);
    let key = if redacted {
        Some(Store::of(warehouse).pseudonym_key(key).await?)
    } else {
        None
    };
    let cut = Cut {
        key,
        names: candidate.user.as_deref().into_iter().collect(),
    };
    let shown = cut.line(&candidate.command_line);
    let (text, decoded) = match shown {
        Some((text, decoded)) => (Value::from(text), decoded),
        None => (json!({ "withheld": true }), vec![]),
    };
    let undecoded = decode(&candidate.command_line).reasons;
    let covers: Vec<Value> = covered
        .iter()
        .take(COVERED)
        .map(|line| {
            json!({ "text": cut.text(Some(&line.command_line)), "how": line.how, "cosine": line.cosine })
        })
        .collect();
    let user = if redacted {
        None
    } else {
        candidate.user.as_deref()
    };
    Ok(Some(json!({
        "hash": hash,
        "day": candidate.day,
        "redacted": redacted,
        "text": text,
        "decoded": decoded,
        "undecoded": undecoded,
        "os": candidate.os,
        "image": cut.text(candidate.image.as_deref()),
        "parent_image": cut.text(candidate.parent_image.as_deref()),
        "parent": cut.text(candidate.parent_command_line.as_deref()),
        "user": user,
        "events": candidate.events,
        "hosts": candidate.hosts,
        "users": candidate.users,
        "detectors": candidate.detectors,
        "reasons": candidate.reasons,
        "covers": candidate.covers,
        "covered": covers,
        "more_covered": covered.len() > COVERED,
        "label": {
            "verdict": label.verdict,
            "labeller": label.labeller,
            "model": label.model,
            // A reason may quote the line, or name an analyst's list.
            "reason": cut.text(label.reason.as_deref()),
            "evidence": cut.text(label.evidence.as_deref()),
            "intent": cut.text(label.intent.as_deref()),
            "red_flags": label.red_flags.iter().map(|flag| cut.text(Some(flag))).collect::<Vec<_>>(),
            "rules": label.rules,
            "confidence": label.confidence,
            "hosts": label.template_hosts,
            "users": label.template_users,
            "days": label.template_days,
        },
        "review": review,
    })))
}
