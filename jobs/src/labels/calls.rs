//! A call: some lines among fresh canaries, under ids that mean nothing elsewhere; and what its answer says of each.

use std::collections::BTreeMap;

use gleaner_udfs::rng::SplitMix64;

use super::canaries;
use super::client::{Content, Tokens};
use super::passes::{Call, Labeller, Outcome, Slot};
use super::prompt::{self, Asked};
use super::store::Answer;
use super::triage::Sent;
use crate::error::JobError;

impl Labeller<'_> {
    /// A call of some lines and fresh canaries, in random order under random ids.
    pub(super) fn compose(pass: u8, keys: &[String]) -> (Call, BTreeMap<String, Sent>) {
        let id = uuid::Uuid::new_v4();
        let seed = id.as_bytes()[..8].try_into().map_or(0, u64::from_le_bytes);
        let mut rng = SplitMix64::new(seed);
        let mut canary_texts = BTreeMap::new();
        let mut slots: Vec<Slot> = keys.iter().cloned().map(Slot::Line).collect();
        for canary in canaries::draw(&mut rng) {
            let key = canary.sent.key();
            let at = rng.below(slots.len() + 1);
            slots.insert(at, Slot::Canary(canary.kind.name().to_owned(), key.clone()));
            canary_texts.insert(key, canary.sent);
        }
        let mut named = BTreeMap::new();
        for slot in slots {
            let mut nonce = uuid::Uuid::new_v4().simple().to_string();
            nonce.truncate(8);
            while named.contains_key(&nonce) {
                nonce.push('0');
            }
            named.insert(nonce, slot);
        }
        let call = Call {
            id: format!("gleaner-{}", id.simple()),
            pass,
            slots: named,
        };
        (call, canary_texts)
    }

    /// The body of a call. The order of its items is that of their nonces, which is random.
    pub(super) fn body(
        &self,
        call: &Call,
        texts: &BTreeMap<String, &Sent>,
        canary_texts: &BTreeMap<String, Sent>,
    ) -> serde_json::Value {
        let fence = uuid::Uuid::new_v4().simple().to_string();
        let items: Vec<Asked<'_>> = call
            .slots
            .iter()
            .filter_map(|(id, slot)| {
                let sent = match slot {
                    Slot::Line(key) => texts.get(key).copied()?,
                    Slot::Canary(_, key) => canary_texts.get(key)?,
                };
                Some(Asked { id, sent })
            })
            .collect();
        prompt::body(
            &items,
            &fence[..16],
            self.options(),
            &self.client.understood(),
        )
    }

    /// What a call may cost at most, as far as can be said before: 3 bytes a token read, and all tokens that it may write.
    #[must_use]
    pub(super) fn most(&self, body: &serde_json::Value, items: usize) -> f64 {
        let (each, once) = self.options().output_tokens;
        let read = body.to_string().len() as u64 / 3;
        self.options().cost_usd(read, each * items as u64 + once)
    }

    pub(super) fn answers(
        &self,
        call: &Call,
        content: &Content,
        said: &BTreeMap<String, prompt::Said>,
        accepted: bool,
    ) -> (Vec<Answer>, Vec<String>) {
        let lines = call
            .slots
            .iter()
            .filter(|(id, slot)| matches!(slot, Slot::Line(_)) && said.contains_key(*id))
            .count()
            .max(1) as u64;
        let (input, output) = content.tokens.unwrap_or_default();
        let cost = self.options().cost_usd(input, output);
        let (mut answers, mut missing) = (vec![], vec![]);
        // Whole tokens: the first line bears what does not divide.
        let mut rest = (input % lines, output % lines);
        for (nonce, slot) in &call.slots {
            let (kind, key) = match slot {
                Slot::Line(key) => ("line", key),
                Slot::Canary(kind, key) => (kind.as_str(), key),
            };
            let Some(said) = said.get(nonce) else {
                if kind == "line" {
                    missing.push(key.clone());
                }
                continue;
            };
            let mut answer = self.nothing(call.pass, key, &call.id, "");
            kind.clone_into(&mut answer.kind);
            answer.verdict.clone_from(&said.verdict);
            answer.intent.clone_from(&said.intent);
            answer.evidence.clone_from(&said.evidence);
            answer.red_flags.clone_from(&said.red_flags);
            answer.confidence = short(said.confidence);
            answer.model.clone_from(&content.model);
            answer.accepted = accepted;
            answer.unlabelled = (!accepted && kind == "line").then(|| "batch rejected".to_owned());
            if kind == "line" {
                answer.input_tokens = input / lines + std::mem::take(&mut rest.0);
                answer.output_tokens = output / lines + std::mem::take(&mut rest.1);
                #[expect(clippy::cast_precision_loss, reason = "at most ten lines")]
                {
                    answer.cost_usd = short(cost / lines as f64);
                }
            }
            answers.push(answer);
        }
        (answers, missing)
    }

    /// An answer that says nothing, and why.
    pub(super) fn nothing(&self, pass: u8, key: &str, call: &str, why: &str) -> Answer {
        Answer {
            day: self.day,
            key: key.to_owned(),
            kind: "line".to_owned(),
            pass,
            verdict: String::new(),
            intent: String::new(),
            evidence: String::new(),
            red_flags: vec![],
            confidence: 0.0,
            unlabelled: (!why.is_empty()).then(|| why.to_owned()),
            model: String::new(),
            asked_model: self.options().model.clone(),
            prompt: prompt::hash().to_owned(),
            call: call.to_owned(),
            accepted: true,
            input_tokens: 0,
            output_tokens: 0,
            cost_usd: 0.0,
            asked_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        }
    }

    /// What an attempt cost that gave no answer.
    pub(super) fn attempt(&self, call: &Call, why: &str, tokens: Tokens) -> Answer {
        let (input_tokens, output_tokens) = tokens.unwrap_or_default();
        Answer {
            kind: "attempt".to_owned(),
            input_tokens,
            output_tokens,
            cost_usd: short(self.options().cost_usd(input_tokens, output_tokens)),
            ..self.nothing(call.pass, &call.id, &call.id, why)
        }
    }

    pub(super) async fn keep_attempt(
        &self,
        call: &Call,
        why: &str,
        tokens: Tokens,
    ) -> Result<(), JobError> {
        let attempt = self.attempt(call, why, tokens);
        let unique = uuid::Uuid::new_v4().simple().to_string();
        self.store
            .put(&format!("{}-{}", call.id, &unique[..8]), &[attempt])
            .await
    }

    /// Nobody answered a call's lines. Not kept: another run asks again.
    pub(super) fn none(&self, call: &Call, why: &str) -> Outcome {
        let answers = call
            .lines()
            .iter()
            .map(|key| self.nothing(call.pass, key, "", why))
            .collect();
        Outcome {
            answers,
            again: vec![],
        }
    }
}

/// To a millionth of a millionth. An answer is read again from JSON, whose parser is off by a bit for some numbers of 16 digits and more; a label must
/// be the same whether its answer has just come or was kept.
fn short(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn amounts_are_the_same_to_the_bit_when_they_are_read_again() {
        let again = |value: f64| serde_json::from_str::<f64>(&value.to_string()).unwrap();
        let shares = (1..20_000_u32).map(|tokens| f64::from(tokens) * 1.1e-6 / 7.0);
        let changed = |value: &f64| again(*value).to_bits() != value.to_bits();
        // 2,195 of 19,999: were it none, rounding would be for nothing.
        assert!(shares.clone().filter(changed).count() > 0);
        assert_eq!(shares.map(short).filter(changed).count(), 0);
    }
}
