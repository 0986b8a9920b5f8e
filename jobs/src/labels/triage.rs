//! What is decided before a line leaves the machine, for nothing: an analyst's list, a hard rule, text that speaks to the labeller,
//! a secret that cannot be cut with certainty. What is left is the text to send.

use gleaner_udfs::text::decode::decode;
use gleaner_udfs::text::injection::{addresses_labeller, is_hidden};
use gleaner_udfs::text::label::{Prevalence, Subject, Thresholds, Verdict, label};
use gleaner_udfs::text::redact::{PseudonymKey, Refusal, redact};
use serde::Serialize;

use super::lists::{Lists, What};
use super::sigma::{Hit, rank};
use super::{Decision, Line};

/// The text of an item, as sent: redacted, and what it decodes to beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// `windows`, `linux`, `macos`, or `unknown`.
    pub os: String,
    /// The program's file name.
    pub image: String,
    /// The parent's.
    pub parent: String,
    /// The line.
    pub command: String,
    /// What its encoded parts hold.
    pub decoded: Vec<String>,
}

impl Sent {
    /// The key of its answers: equal texts are asked once.
    #[must_use]
    pub fn key(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        gleaner_udfs::model_cache::sha256(&json)[..32].to_owned()
    }

    /// Whether a model's evidence is a part of it, white space alike. Three characters at least: less is in every line.
    #[must_use]
    pub fn holds(&self, evidence: &str) -> bool {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = flat(evidence);
        if wanted.chars().count() < 3 && wanted != flat(&self.command) {
            return false;
        }
        std::iter::once(&self.command)
            .chain(&self.decoded)
            .any(|text| flat(text).contains(&wanted))
    }
}

/// A line that is to be asked about.
#[derive(Debug, Clone)]
pub struct Item {
    /// Hash of the line.
    pub hash: String,
    /// Hash of what is sent.
    pub key: String,
    /// What is sent.
    pub sent: Sent,
    /// Kinds of secrets that were cut.
    pub redacted: Vec<String>,
    /// Rules that it hits and that do not keep a model from being asked.
    pub rules: Vec<String>,
}

/// What triage says.
#[derive(Debug, Clone)]
pub enum Triage {
    /// Decided.
    Done(Box<Decision>),
    /// To be asked about.
    Ask(Box<Item>),
}

/// What an analyst's list says of a line; `None` where no list has it, or where a hard rule outweighs an allow-list.
#[must_use]
pub fn by_list(line: &Line, lists: &Lists, hits: &[Hit]) -> Option<Decision> {
    let entry = lists.find(&line.command_line)?;
    let why = format!(
        "{} ({}, by {})",
        entry.what.name(),
        entry.reason,
        entry.owner
    );
    match entry.what {
        What::Deny => Some(Decision::new(
            &line.hash,
            Verdict::Uncertain,
            "deny-list",
            format!("Held back by the {why}."),
        )),
        What::Allow => {
            let hard = hard_rule(line, hits).is_some()
                || addresses_labeller(&line.command_line, &decode(&line.command_line).texts)
                    .is_some();
            (!hard).then(|| {
                Decision::new(
                    &line.hash,
                    Verdict::Benign,
                    "allow-list",
                    format!("On the {why}."),
                )
            })
        }
    }
}

/// What a Sigma rule says of a line without a language model, of any level; `None` where none hits.
#[must_use]
pub fn by_sigma(line: &Line, hits: &[Hit]) -> Option<Decision> {
    let hit = hits.first()?;
    hard_rule(line, hits).or_else(|| Some(sigma_says(line, hit, hits)))
}

fn sigma_says(line: &Line, hit: &Hit, hits: &[Hit]) -> Decision {
    let reason = format!("Sigma rule {:?} ({}).", hit.title, hit.name);
    let mut decision = Decision::new(&line.hash, hit.verdict, "sigma", reason);
    decision.rules = hits.iter().map(|hit| hit.name.clone()).collect();
    decision
}

/// The verdict of a rule that no label outweighs: a built-in one of level high or medium, on the line or on anything it decodes to, or a Sigma
/// rule's. Of several the worst, with the names of all.
fn hard_rule(line: &Line, hits: &[Hit]) -> Option<Decision> {
    let own = own_rule(line);
    let Some(hit) = hits.iter().find(|hit| hit.vetoes) else {
        return own.map(|mut own| {
            own.rules.extend(hits.iter().map(|hit| hit.name.clone()));
            own
        });
    };
    let mut sigma = sigma_says(line, hit, hits);
    let Some(mut own) = own else {
        return Some(sigma);
    };
    let outweighs = own.verdict == Verdict::Malicious.as_str() || rank(hit.verdict) <= 2;
    if outweighs {
        own.rules.append(&mut sigma.rules);
        return Some(own);
    }
    sigma.rules.append(&mut own.rules);
    Some(sigma)
}

/// What the built-in rules say, where they are sure.
fn own_rule(line: &Line) -> Option<Decision> {
    let subject = Subject {
        command_line: &line.command_line,
        os: line.os.as_deref(),
        image: line.image.as_deref(),
        parent_image: line.parent_image.as_deref(),
        parent_command_line: line.parent_command_line.as_deref(),
        user: line.user.as_deref(),
    };
    let said = label(&subject, &Prevalence::default(), &Thresholds::default());
    if !matches!(said.verdict, Verdict::Malicious | Verdict::Suspicious) {
        return None;
    }
    let mut decision = Decision::new(&line.hash, said.verdict, "rules", said.reason);
    decision.rules = said.rules.iter().map(|&rule| rule.to_owned()).collect();
    decision.evidence = said.evidence;
    decision.confidence = said.confidence;
    Some(decision)
}

/// Looks at a line.
#[must_use]
pub fn triage(line: &Line, lists: &Lists, hits: &[Hit], key: &PseudonymKey) -> Triage {
    let done = |decision| Triage::Done(Box::new(decision));
    if let Some(decision) = by_list(line, lists, hits) {
        return done(decision);
    }
    if let Some(decision) = hard_rule(line, hits) {
        return done(decision);
    }
    let decoded = decode(&line.command_line);
    if let Some(what) = addresses_labeller(&line.command_line, &decoded.texts) {
        let reason = format!("The line may speak to its labeller: {what}. It was not sent.");
        return done(Decision::unlabelled(&line.hash, "injection", reason));
    }
    if decoded.undecoded {
        return done(refused(line, Refusal::Undecoded));
    }
    let names: Vec<&str> = line.user.as_deref().into_iter().collect();
    let redacted = match redact(&line.command_line, &decoded.texts, &names, key) {
        Ok(redacted) => redacted,
        Err(why) => return done(refused(line, why)),
    };
    let (Ok(image), Ok(parent)) = (
        file_name(line.image.as_deref(), &names, key),
        file_name(line.parent_image.as_deref(), &names, key),
    ) else {
        return done(refused(line, Refusal::Residue("image")));
    };
    let os = line
        .os
        .as_deref()
        .filter(|os| matches!(*os, "windows" | "linux" | "macos"));
    let sent = Sent {
        os: os.unwrap_or("unknown").to_owned(),
        image,
        parent,
        command: redacted.text,
        decoded: redacted.decoded,
    };
    Triage::Ask(Box::new(Item {
        hash: line.hash.clone(),
        key: sent.key(),
        sent,
        redacted: redacted.kinds.iter().map(|&kind| kind.to_owned()).collect(),
        rules: hits.iter().map(|hit| hit.name.clone()).collect(),
    }))
}

fn refused(line: &Line, why: Refusal) -> Decision {
    let mut reason = why.to_string();
    if let Some(first) = reason.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Decision::unlabelled(
        &line.hash,
        "redaction",
        format!("{reason}; the line was not sent."),
    )
}

/// The file name of a program's path: hostile text like the line. Names that are none (spoken words, hidden characters) are left out.
fn file_name(path: Option<&str>, names: &[&str], key: &PseudonymKey) -> Result<String, Refusal> {
    let name = path
        .unwrap_or_default()
        .rsplit(['\\', '/'])
        .next()
        .unwrap_or_default();
    if name.len() > 64 || name.chars().any(is_hidden) || addresses_labeller(name, &[]).is_some() {
        return Ok(String::new());
    }
    redact(name, &[], names, key).map(|redacted| redacted.text)
}
