//! A model's directory: which files it has, what they say, and its identity.
//!
//! ```text
//! model.onnx or onnx/model.onnx     an ONNX sentence encoder …
//! model.safetensors                 … or a static model (model2vec), where there is no ONNX graph
//! tokenizer.json
//! 1_Pooling/config.json             of an encoder: how token vectors become one
//! sentence_bert_config.json, config.json, tokenizer_config.json, modules.json, config_sentence_transformers.json
//!                                   looked at where they are: the longest text, what else the model does
//! ```
//!
//! This is how the Hugging Face hub lays out sentence encoders, so a downloaded repository is a directory as it is.

use gleaner_udfs::model_cache::sha256;
use serde_json::Value;

use crate::Reader;
use crate::error::EmbedError;

/// Texts are cut at so many tokens where the model's files allow more: the cost of attention grows with the square.
pub const MAX_TOKENS: usize = 512;

/// Raised when vectors of the same files would come out otherwise.
const REVISION: u32 = 1;

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An encoder as an ONNX graph.
    Onnx,
    /// A table of token vectors.
    Static,
}

impl Kind {
    /// As in addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Static => "static",
        }
    }
}

/// How an encoder's token vectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
    /// The largest value of each component.
    Max,
    /// The last token's.
    Last,
}

impl Pooling {
    const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Last => "lasttoken",
        }
    }
}

/// A model's files and settings.
pub struct Directory {
    /// URL, with a slash at its end.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// Name of the model's file below the directory.
    pub model_file: &'static str,
    /// Its bytes.
    pub model: Vec<u8>,
    /// Their SHA-256.
    pub model_sha256: String,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// Of an encoder.
    pub pooling: Pooling,
    /// Tokens beyond which a text is cut, special ones included.
    pub max_tokens: usize,
    /// What the model wants before every text.
    pub prefix: String,
}

impl Directory {
    /// Reads everything that is needed.
    ///
    /// # Errors
    /// The first file that is missing or malformed, with the command that gets it.
    pub fn read(url: &str, max_tokens: Option<usize>, reader: &Reader) -> Result<Self, EmbedError> {
        let files = Files { url, reader };
        let (kind, model_file, model) = files.model()?;
        let tokenizer = files
            .get("tokenizer.json")?
            .ok_or_else(|| EmbedError::Missing {
                url: url.to_owned(),
                what: "tokenizer.json",
                hint: hub_hint(url),
            })?;
        files.refuse_more_modules()?;
        let pooling = match kind {
            Kind::Onnx => files.pooling()?,
            Kind::Static => Pooling::Mean,
        };
        let own = files.max_tokens()?.unwrap_or(usize::MAX).max(8);
        Ok(Self {
            url: url.to_owned(),
            kind,
            model_file,
            model_sha256: sha256(&model),
            model,
            tokenizer,
            pooling,
            max_tokens: own.min(max_tokens.unwrap_or(MAX_TOKENS)),
            prefix: files.prefix()?,
        })
    }

    /// SHA-256 of what decides the vectors: the files' hashes and the settings.
    #[must_use]
    pub fn identity(&self) -> String {
        let what = serde_json::json!([
            REVISION,
            self.kind.name(),
            self.model_sha256,
            sha256(&self.tokenizer),
            self.pooling.name(),
            self.max_tokens,
            self.prefix,
        ]);
        sha256(what.to_string().as_bytes())
    }
}

/// The command that gets a model.
fn hub_hint(url: &str) -> String {
    let place = url
        .strip_prefix("file://")
        .unwrap_or(url)
        .trim_end_matches('/');
    format!(
        "get a model's files with `gleaner embedder jinaai/jina-embeddings-v2-base-code {place}`, or copy a downloaded \
         repository there; the built-in embedder, lexical, needs none"
    )
}

struct Files<'a> {
    url: &'a str,
    reader: &'a Reader,
}

impl Files<'_> {
    fn get(&self, file: &str) -> Result<Option<Vec<u8>>, EmbedError> {
        (self.reader)(&format!("{}{file}", self.url)).map_err(EmbedError::Read)
    }

    fn json(&self, file: &str) -> Result<Option<Value>, EmbedError> {
        let Some(bytes) = self.get(file)? else {
            return Ok(None);
        };
        let json = serde_json::from_slice(&bytes);
        json.map(Some)
            .map_err(|e| self.malformed(file, format!("not JSON ({e}): get the file again")))
    }

    fn malformed(&self, file: &str, why: String) -> EmbedError {
        EmbedError::Malformed {
            url: self.url.to_owned(),
            file: file.to_owned(),
            why,
        }
    }

    fn model(&self) -> Result<(Kind, &'static str, Vec<u8>), EmbedError> {
        for (kind, file) in [
            (Kind::Onnx, "model.onnx"),
            (Kind::Onnx, "onnx/model.onnx"),
            (Kind::Static, "model.safetensors"),
        ] {
            let Some(bytes) = self.get(file)? else {
                continue;
            };
            if kind == Kind::Static && !crate::static_model::is_static(&bytes) {
                let why = "the weights of a transformer without its ONNX graph: export it with `optimum-cli export onnx \
                           --model DIR DIR`, or get a repository that has onnx/model.onnx";
                return Err(self.malformed(file, why.to_owned()));
            }
            if let Some(data) = [format!("{file}_data"), format!("{file}.data")]
                .into_iter()
                .find(|data| matches!(self.get(data), Ok(Some(_))))
            {
                let why = "a graph with its weights in a second file is not supported: save it as one file (onnx.save_model \
                           with save_as_external_data=False)";
                return Err(self.malformed(&data, why.to_owned()));
            }
            return Ok((kind, file, bytes));
        }
        Err(EmbedError::Missing {
            url: self.url.to_owned(),
            what: "model.onnx, onnx/model.onnx or model.safetensors",
            hint: hub_hint(self.url),
        })
    }

    fn pooling(&self) -> Result<Pooling, EmbedError> {
        const FILE: &str = "1_Pooling/config.json";
        let Some(config) = self.json(FILE)? else {
            return Err(EmbedError::Missing {
                url: self.url.to_owned(),
                what: FILE,
                hint: "it says how token vectors become one; get it from where the model is from, or write {\"pooling_mode\": \
                       \"mean\"} (or cls, max, lasttoken) as the model's authors say"
                    .to_owned(),
            });
        };
        let known = [Pooling::Mean, Pooling::Cls, Pooling::Max, Pooling::Last];
        let old = ["mean_tokens", "cls_token", "max_tokens", "lasttoken"];
        let mut modes: Vec<Option<Pooling>> = vec![];
        if let Some(mode) = config.get("pooling_mode").and_then(Value::as_str) {
            modes.push(known.into_iter().find(|p| p.name() == mode));
        } else if let Some(config) = config.as_object() {
            for (key, _) in config
                .iter()
                .filter(|(_, value)| value == &&Value::Bool(true))
            {
                if let Some(mode) = key.strip_prefix("pooling_mode_") {
                    let found = old.iter().position(|name| name == &mode);
                    modes.push(found.map(|i| known[i]));
                }
            }
        }
        if let [Some(pooling)] = modes.as_slice() {
            return Ok(*pooling);
        }
        let why = "expected one pooling mode of mean, cls, max and lasttoken";
        Err(self.malformed(FILE, why.to_owned()))
    }

    fn max_tokens(&self) -> Result<Option<usize>, EmbedError> {
        let sources = [
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
            ("config.json", "max_position_embeddings"),
        ];
        for (file, key) in sources {
            let json = self.json(file)?;
            let found = json
                .as_ref()
                .and_then(|json| json.get(key))
                .and_then(Value::as_u64);
            if let Some(n) = found
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0)
            {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// A model that does more than pool and normalise would be computed wrongly.
    fn refuse_more_modules(&self) -> Result<(), EmbedError> {
        const FILE: &str = "modules.json";
        let Some(modules) = self.json(FILE)? else {
            return Ok(());
        };
        for module in modules.as_array().into_iter().flatten() {
            let kind = module
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let name = kind.rsplit('.').next().unwrap_or_default();
            if !["Transformer", "Pooling", "Normalize", "StaticEmbedding"].contains(&name) {
                let why = format!(
                    "a module {name:?} is not supported: Transformer, Pooling, Normalize and StaticEmbedding are"
                );
                return Err(self.malformed(FILE, why));
            }
        }
        Ok(())
    }

    fn prefix(&self) -> Result<String, EmbedError> {
        let Some(config) = self.json("config_sentence_transformers.json")? else {
            return Ok(String::new());
        };
        let name = config.get("default_prompt_name").and_then(Value::as_str);
        let prompt = name.and_then(|name| config.get("prompts")?.get(name)?.as_str());
        Ok(prompt.unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn reader(files: &[(&str, &str)]) -> Reader {
        let files: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(name, text)| (format!("file:///m/{name}"), text.as_bytes().to_vec()))
            .collect();
        Arc::new(move |url| Ok(files.get(url).cloned()))
    }

    fn read(files: &[(&str, &str)]) -> Result<Directory, String> {
        Directory::read("file:///m/", None, &reader(files)).map_err(|e| e.to_string())
    }

    const MEAN: (&str, &str) = (
        "1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#,
    );

    #[test]
    fn what_is_missing_is_said_with_the_command_that_gets_it() {
        let error = read(&[]).err().unwrap();
        assert!(
            error.contains("no model.onnx") && error.contains("gleaner embedder"),
            "{error}"
        );
        assert!(error.contains("/m`"), "{error}");
        let error = read(&[("onnx/model.onnx", "x")]).err().unwrap();
        assert!(error.contains("no tokenizer.json"), "{error}");
        let error = read(&[("model.onnx", "x"), ("tokenizer.json", "{}")])
            .err()
            .unwrap();
        assert!(error.contains("1_Pooling/config.json"), "{error}");
        assert!(read(&[("model.onnx", "x"), ("tokenizer.json", "{}"), MEAN]).is_ok());
    }

    #[test]
    fn the_identity_is_of_the_files_and_settings_and_not_of_the_place() {
        let files = [("model.onnx", "x"), ("tokenizer.json", "{}"), MEAN];
        let identity = |files: &[(&str, &str)]| read(files).unwrap().identity();
        let first = identity(&files);
        assert_eq!(identity(&[("onnx/model.onnx", "x"), files[1], MEAN]), first);
        assert_ne!(identity(&[("model.onnx", "y"), files[1], MEAN]), first);
        assert_ne!(
            identity(&[files[0], ("tokenizer.json", "{} "), MEAN]),
            first
        );
        let cls = ("1_Pooling/config.json", r#"{"pooling_mode": "cls"}"#);
        assert_ne!(identity(&[files[0], files[1], cls]), first);
        let short = ("sentence_bert_config.json", r#"{"max_seq_length": 128}"#);
        assert_ne!(identity(&[files[0], files[1], MEAN, short]), first);
    }

    #[test]
    fn a_text_is_cut_where_the_model_says_but_at_512_tokens_at_most() {
        let base = [("model.onnx", "x"), ("tokenizer.json", "{}"), MEAN];
        let max = |more: &[(&str, &str)], own| {
            let files = [&base, more].concat();
            Directory::read("file:///m/", own, &reader(&files))
                .unwrap()
                .max_tokens
        };
        assert_eq!(max(&[], None), 512);
        assert_eq!(
            max(
                &[("config.json", r#"{"max_position_embeddings": 8192}"#)],
                None
            ),
            512
        );
        assert_eq!(
            max(
                &[("config.json", r#"{"max_position_embeddings": 8192}"#)],
                Some(1024)
            ),
            1024
        );
        assert_eq!(
            max(
                &[("sentence_bert_config.json", r#"{"max_seq_length": 256}"#)],
                Some(1024)
            ),
            256
        );
    }

    #[test]
    fn a_model_that_would_be_computed_wrongly_is_refused() {
        let base = [("model.onnx", "x"), ("tokenizer.json", "{}")];
        let with = |more: (&str, &str)| read(&[&base[..], &[more]].concat()).err().unwrap();
        let two = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#;
        assert!(with(("1_Pooling/config.json", two)).contains("one pooling mode"));
        let sqrt = r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#;
        assert!(with(("1_Pooling/config.json", sqrt)).contains("one pooling mode"));
        let dense = r#"[{"type": "sentence_transformers.models.Dense"}]"#;
        assert!(with(("modules.json", dense)).contains("Dense"));
        assert!(with(("model.onnx_data", "x")).contains("second file"));
        let weights = read(&[("model.safetensors", "x")]).err().unwrap();
        assert!(weights.contains("optimum-cli"), "{weights}");
    }

    #[test]
    fn the_default_prompt_comes_before_every_text() {
        let prompts = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#;
        let base = [("model.onnx", "x"), ("tokenizer.json", "{}"), MEAN];
        let files = [&base[..], &[("config_sentence_transformers.json", prompts)]].concat();
        assert_eq!(read(&files).unwrap().prefix, "query: ");
        assert_eq!(read(&base).unwrap().prefix, "");
    }
}
