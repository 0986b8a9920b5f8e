//! Flags that name a language model, for every command that asks one.

use clap::ValueEnum;

use crate::error::JobError;
use crate::labels::LlmOptions;
use crate::labels::options::{ApiKey, Capabilities, Structure};
use crate::labels::pseudonyms::KeySource;

/// Who labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LabellerKind {
    /// The built-in rules: no network, no cost.
    #[default]
    Rules,
    /// A language model, with everything that keeps it honest.
    Llm,
}

/// Name of the field that limits an answer's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TokenLimit {
    /// `OpenAI`'s.
    MaxCompletionTokens,
    /// That of most compatible servers.
    MaxTokens,
}

/// Flags about the language model. The key is read from `GLEANER_LLM_KEY`, never from a flag: others can see flags.
#[derive(Debug, Clone, clap::Args)]
pub struct LlmArgs {
    /// Who labels: rules, or llm (a language model; needs --llm-url and --llm-model; its key in `GLEANER_LLM_KEY`).
    #[arg(long, value_enum, default_value_t, env = "GLEANER_LABELLER")]
    pub labeller: LabellerKind,
    /// An endpoint that speaks `OpenAI`'s API, such as <https://api.openai.com/v1>.
    #[arg(long, value_name = "URL", env = "GLEANER_LLM_URL")]
    pub llm_url: Option<url::Url>,
    /// The model's id. No default: each costs and answers otherwise.
    #[arg(long, value_name = "ID", env = "GLEANER_LLM_MODEL")]
    pub llm_model: Option<String>,
    /// US dollars a million input tokens.
    #[arg(long, value_name = "USD", env = "GLEANER_LLM_PRICE_INPUT")]
    pub llm_price_input: Option<f64>,
    /// US dollars a million output tokens.
    #[arg(long, value_name = "USD", env = "GLEANER_LLM_PRICE_OUTPUT")]
    pub llm_price_output: Option<f64>,
    /// US dollars beyond which nothing more is asked, a run; needs the prices.
    #[arg(long, value_name = "USD", env = "GLEANER_LLM_CEILING")]
    pub llm_ceiling: Option<f64>,
    /// Use the Batch API: half the price, within 24 hours.
    #[arg(long)]
    pub llm_batch: bool,
    /// Lines a prompt, canaries not counted: 1 to 10.
    #[arg(long, default_value_t = 8, hide_short_help = true)]
    pub llm_items: usize,
    /// Calls at a time.
    #[arg(long, default_value_t = 4, hide_short_help = true)]
    pub llm_concurrency: usize,
    /// Seconds that a call may take.
    #[arg(long, default_value_t = 120, hide_short_help = true, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub llm_timeout: u64,
    /// Retries, as a share of the calls that are needed without faults.
    #[arg(long, default_value_t = 0.5, hide_short_help = true)]
    pub llm_retries: f64,
    /// Milliseconds before a first retry, at most; doubled each time, up to a minute.
    #[arg(long, default_value_t = 1000, hide_short_help = true)]
    pub llm_backoff: u64,
    /// Answers piece by piece, for servers behind impatient proxies.
    #[arg(long, hide_short_help = true)]
    pub llm_stream: bool,
    /// The endpoint has a Batch API although its address does not say so.
    #[arg(long, hide_short_help = true)]
    pub llm_has_batch: bool,
    /// How the form of answers is asked for.
    #[arg(long, value_enum, hide_short_help = true)]
    pub llm_structure: Option<Structure>,
    /// Name of the field that limits an answer's tokens.
    #[arg(long, value_enum, hide_short_help = true)]
    pub llm_token_limit: Option<TokenLimit>,
    /// For models that reason: low, medium, high.
    #[arg(long, hide_short_help = true)]
    pub llm_reasoning_effort: Option<String>,
    /// Sampling temperature; reasoning models take none.
    #[arg(long, hide_short_help = true)]
    pub llm_temperature: Option<f32>,
    /// Tokens that the answer to one line may have.
    #[arg(long, default_value_t = 250, hide_short_help = true)]
    pub llm_output_tokens: u64,
    /// Tokens that a call may have beside them; models that reason need thousands.
    #[arg(long, default_value_t = 400, hide_short_help = true)]
    pub llm_extra_tokens: u64,
    /// Seconds between looks at a batch.
    #[arg(long, default_value_t = 30.0, hide_short_help = true)]
    pub llm_poll: f64,
    /// Seconds after which a batch is cancelled, and what it has finished is taken.
    #[arg(long, default_value_t = 90_000, hide_short_help = true)]
    pub llm_batch_timeout: u64,
    /// Where the key of users' and hosts' pseudonyms is, instead of in the warehouse: env:NAME (64 hexadecimal digits), or a file of 32 bytes or 64
    /// hexadecimal digits.
    #[arg(long, value_name = "env:NAME|FILE", env = "GLEANER_PSEUDONYM_KEY")]
    pub pseudonym_key: Option<KeySource>,
}

impl LlmArgs {
    /// The model's options; `None` where rules label.
    ///
    /// # Errors
    /// When a flag is missing, out of range, or contradicts another.
    pub fn options(&self) -> Result<Option<LlmOptions>, JobError> {
        if self.labeller == LabellerKind::Rules {
            return Ok(None);
        }
        let missing = |flag: &str| {
            JobError::Usage(format!("--labeller llm needs {flag}; there is no default"))
        };
        let url = self.llm_url.clone().ok_or_else(|| missing("--llm-url"))?;
        let model = self
            .llm_model
            .clone()
            .ok_or_else(|| missing("--llm-model"))?;
        let mut capabilities = Capabilities::of(&url);
        capabilities.batch |= self.llm_has_batch;
        capabilities.stream = self.llm_stream;
        if let Some(structure) = self.llm_structure {
            capabilities.structure = structure;
        }
        match self.llm_token_limit {
            Some(TokenLimit::MaxTokens) => capabilities.token_limit = "max_tokens",
            Some(TokenLimit::MaxCompletionTokens) => {
                capabilities.token_limit = "max_completion_tokens";
            }
            None => {}
        }
        capabilities
            .reasoning_effort
            .clone_from(&self.llm_reasoning_effort);
        if self.llm_temperature.is_some() {
            capabilities.temperature = self.llm_temperature;
        }
        let prices = match (self.llm_price_input, self.llm_price_output) {
            (Some(input), Some(output)) => Some((input, output)),
            (None, None) => None,
            _ => {
                return Err(JobError::Usage(
                    "--llm-price-input and --llm-price-output go together".into(),
                ));
            }
        };
        let options = LlmOptions {
            key: ApiKey::new(std::env::var("GLEANER_LLM_KEY").unwrap_or_default()),
            url,
            model,
            capabilities,
            batch: self.llm_batch,
            prices,
            ceiling_usd: self.llm_ceiling,
            items: self.llm_items,
            concurrency: self.llm_concurrency,
            timeout_secs: self.llm_timeout,
            retries: self.llm_retries,
            backoff_millis: self.llm_backoff,
            output_tokens: (self.llm_output_tokens, self.llm_extra_tokens),
            poll_secs: self.llm_poll,
            batch_secs: self.llm_batch_timeout,
            pseudonym_key: self.pseudonym_key.clone(),
        };
        options.check()?;
        Ok(Some(options))
    }
}
