//! Which model is asked, where, and what its endpoint can do. Nothing here has a hidden default that costs money: model and prices
//! are named by the user.

use std::fmt;

use super::pseudonyms::KeySource;
use crate::error::JobError;

/// An API key. Its `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key; empty for servers that want none.
    #[must_use]
    pub fn new(key: String) -> Self {
        Self(key)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// How an endpoint is told the form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Structure {
    /// `response_format: json_schema`, strict.
    JsonSchema,
    /// `response_format: json_object`: any JSON; the prompt says which.
    JsonObject,
    /// The prompt alone.
    None,
}

/// What an endpoint understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// How the form of the answer is asked for.
    pub structure: Structure,
    /// `max_completion_tokens` (`OpenAI`), or `max_tokens`.
    pub token_limit: &'static str,
    /// `low`, `medium`, `high`; only for models that reason.
    pub reasoning_effort: Option<String>,
    /// Left out where `None`: reasoning models refuse it.
    pub temperature: Option<f32>,
    /// Answers come piece by piece (server-sent events).
    pub stream: bool,
    /// It has files and batches.
    pub batch: bool,
}

impl Capabilities {
    /// What an endpoint of that address is taken to understand; an unknown one gets no batches.
    #[must_use]
    pub fn of(url: &url::Url) -> Self {
        let openai = url.host_str() == Some("api.openai.com");
        Self {
            structure: Structure::JsonSchema,
            token_limit: if openai {
                "max_completion_tokens"
            } else {
                "max_tokens"
            },
            reasoning_effort: None,
            temperature: (!openai).then_some(0.0),
            stream: false,
            batch: openai,
        }
    }
}

/// Everything about the language model.
#[derive(Debug, Clone)]
pub struct LlmOptions {
    /// `https://api.openai.com/v1`, or that of a compatible server.
    pub url: url::Url,
    /// The model's id.
    pub model: String,
    /// Its key.
    pub key: ApiKey,
    /// What the endpoint understands.
    pub capabilities: Capabilities,
    /// Whether the Batch API is used.
    pub batch: bool,
    /// US dollars a million tokens: input, output. `None`: cost is not known, and no ceiling can hold.
    pub prices: Option<(f64, f64)>,
    /// US dollars beyond which nothing more is asked.
    pub ceiling_usd: Option<f64>,
    /// Lines a prompt, canaries not counted; quality falls beyond 10.
    pub items: usize,
    /// Calls at a time.
    pub concurrency: usize,
    /// Seconds that one call may take.
    pub timeout_secs: u64,
    /// Retries, as a share of the calls that the run would need without faults.
    pub retries: f64,
    /// Milliseconds before the first retry, at most; doubled from retry to retry, up to a minute.
    pub backoff_millis: u64,
    /// Tokens that an answer may have: for each item, and, for what a model thinks, once.
    pub output_tokens: (u64, u64),
    /// Seconds between looks at a batch.
    pub poll_secs: f64,
    /// Seconds after which a batch is cancelled and what is there is taken; the API's own window is 24 hours.
    pub batch_secs: u64,
    /// Where the key of pseudonyms is; `None`: in the warehouse.
    pub pseudonym_key: Option<KeySource>,
}

impl LlmOptions {
    /// # Errors
    /// When a value is out of range or two contradict each other; the message names the flag.
    pub fn check(&self) -> Result<(), JobError> {
        let usage = |text: String| Err(JobError::Usage(text));
        if self.model.trim().is_empty() {
            return usage("--llm-model: name the model; there is no default, for each costs and answers otherwise".into());
        }
        if !matches!(self.url.scheme(), "http" | "https") {
            return usage("--llm-url: expected https://host/v1 or http://host/v1".into());
        }
        if !self.key.expose().is_empty() && self.url.scheme() == "http" && !self.is_loopback() {
            return usage(
                "--llm-url: a key would travel unencrypted; use https, or http on loopback only"
                    .into(),
            );
        }
        if self.ceiling_usd.is_some() && self.prices.is_none() {
            return usage(
                "--llm-ceiling needs --llm-price-input and --llm-price-output: without prices no ceiling can hold"
                    .into(),
            );
        }
        if self.batch && !self.capabilities.batch {
            return usage(
                "--llm-batch: this endpoint is not known to have a Batch API; --llm-has-batch says that it has".into(),
            );
        }
        if !(1..=10).contains(&self.items) {
            return usage(format!(
                "--llm-items {}: expected 1 to 10; quality falls with more",
                self.items
            ));
        }
        let prices = self.prices.map_or(vec![], |(a, b)| vec![a, b]);
        let amounts = prices
            .iter()
            .chain(&self.ceiling_usd)
            .all(|x| x.is_finite() && *x >= 0.0);
        // Not a number is in no range.
        if !(amounts && (0.0..=10.0).contains(&self.retries)) {
            return usage("--llm-price-input, --llm-price-output, --llm-ceiling: expected amounts in US dollars; --llm-retries: expected 0 to 10".into());
        }
        Ok(())
    }

    /// Whether the endpoint is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// US dollars of so many tokens; 0 where prices are not known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "tokens, far below 2^53")]
    pub fn cost_usd(&self, input_tokens: u64, output_tokens: u64) -> f64 {
        let (input, output) = self.prices.unwrap_or_default();
        let half = if self.batch { 0.5 } else { 1.0 };
        half * (input_tokens as f64 * input + output_tokens as f64 * output) / 1e6
    }

    /// Address of one of the API's resources.
    #[must_use]
    pub fn address(&self, resource: &str) -> String {
        format!("{}/{resource}", self.url.as_str().trim_end_matches('/'))
    }
}
