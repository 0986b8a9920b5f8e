//! Texts into token ids, by a model's `tokenizer.json`.

use tokenizers::{Tokenizer, TruncationParams};

use crate::directory::Directory;
use crate::error::EmbedError;

/// A text's tokens.
pub(crate) struct Tokens {
    pub(crate) ids: Vec<u32>,
    /// Which of two sequences each token is of: all of the first.
    pub(crate) types: Vec<u32>,
}

/// A tokenizer that cuts texts at the model's length and pads nothing.
pub(crate) struct Texts {
    tokenizer: Tokenizer,
    prefix: String,
}

impl Texts {
    pub(crate) fn new(directory: &Directory) -> Result<Self, EmbedError> {
        let malformed = |e: &dyn std::fmt::Display| EmbedError::Malformed {
            url: directory.url.clone(),
            file: "tokenizer.json".to_owned(),
            why: format!("not a tokenizer that can be read ({e}): get the file again"),
        };
        let mut tokenizer =
            Tokenizer::from_bytes(&directory.tokenizer).map_err(|e| malformed(&e))?;
        let truncation = TruncationParams {
            max_length: directory.max_tokens,
            ..TruncationParams::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|e| malformed(&e))?;
        tokenizer.with_padding(None);
        Ok(Self {
            tokenizer,
            prefix: directory.prefix.clone(),
        })
    }

    /// # Errors
    /// A sentence without the text.
    pub(crate) fn tokens(&self, text: &str, special: bool) -> Result<Tokens, String> {
        // As sentence-transformers does.
        let text = text.trim();
        let encoded = if self.prefix.is_empty() {
            self.tokenizer.encode_fast(text, special)
        } else {
            self.tokenizer
                .encode_fast(format!("{}{text}", self.prefix), special)
        };
        // The tokenizer's own message may quote the text.
        let encoded = encoded.map_err(|_| {
            format!(
                "a text of {} bytes cannot be cut into tokens: check tokenizer.json",
                text.len()
            )
        })?;
        Ok(Tokens {
            ids: encoded.get_ids().to_vec(),
            types: encoded.get_type_ids().to_vec(),
        })
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }
}
