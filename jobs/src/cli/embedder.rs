//! `gleaner embedder`: a sentence encoder's files, from the Hugging Face hub; and the flag that names an embedder.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gleaner_embed::Resolved;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};

use super::output;
use crate::embedding;
use crate::error::JobError;

/// The flag of everything that embeds.
#[derive(Debug, Clone, clap::Args)]
pub struct EmbedderArgs {
    /// What makes vectors of lines: lexical, a directory with an ONNX sentence encoder or a static model (a path, s3://…;
    /// `#max_tokens=N` may follow), or an OpenAI-compatible endpoint with its model (`https://host/v1#model`).
    #[arg(
        long,
        value_name = "EMBEDDER",
        env = "GLEANER_EMBEDDER",
        default_value = "lexical"
    )]
    embedder: String,
}

impl EmbedderArgs {
    /// # Errors
    /// What is missing, in one sentence, with the command that gets it.
    pub async fn resolve(&self) -> Result<Resolved, JobError> {
        embedding::resolve(&self.embedder).await
    }
}

/// Flags of `gleaner embedder`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository on the hub, as jinaai/jina-embeddings-v2-base-code.
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// A new or empty directory for the files.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A branch, tag or commit of the repository.
    #[arg(long, default_value = "main")]
    revision: String,
}

/// The address of the hub, or of a mirror: as the hub's own tools read it.
const ENDPOINT: &str = "HF_ENDPOINT";
const HUB: &str = "https://huggingface.co";
const TOKEN: &str = "HF_TOKEN";

/// What a repository may have beside the graph: see `gleaner_embed::directory`.
const SETTINGS: [&str; 6] = [
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config.json",
    "tokenizer_config.json",
    "modules.json",
    "config_sentence_transformers.json",
];
const CONNECT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 5;

/// # Errors
/// When the hub, the repository or a file cannot be had, or the directory cannot be written.
pub async fn main(args: &Args) -> Result<(), JobError> {
    let parts: Vec<&str> = args.repository.split('/').collect();
    let is_name = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if parts.len() != 2
        || !parts.iter().all(is_name)
        || !args.revision.split('/').all(|p| is_name(&p))
    {
        return Err(JobError::Usage(format!(
            "{:?} at {:?}: expected OWNER/NAME, as jinaai/jina-embeddings-v2-base-code, and a branch, tag or commit",
            args.repository, args.revision
        )));
    }
    let hub = Hub::new(args)?;
    let directory = &args.directory;
    if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(JobError::Usage(format!(
            "{} is not empty: name a new directory",
            directory.display()
        )));
    }
    let mut model = None;
    for name in ["onnx/model.onnx", "model.onnx", "model.safetensors"] {
        if hub.get(name, directory, "model").await? {
            model = Some(name);
            break;
        }
    }
    let (Some(model), true) = (
        model,
        hub.get("tokenizer.json", directory, "tokenizer").await?,
    ) else {
        return Err(JobError::Usage(format!(
            "{} has no onnx/model.onnx, model.onnx or model.safetensors, or no tokenizer.json: choose a repository with an ONNX \
             export, or export it yourself (`optimum-cli export onnx --model {} {}`)",
            hub.base,
            args.repository,
            directory.display()
        )));
    };
    for name in SETTINGS {
        hub.get(name, directory, "settings").await?;
    }
    output::line(&format!(
        "{model} and its settings are in {}; try it: gleaner doctor --embedder {}",
        directory.display(),
        directory.display()
    ))
}

struct Hub {
    http: reqwest::Client,
    /// Address of the repository's files.
    base: String,
    token: Option<String>,
}

impl Hub {
    fn new(args: &Args) -> Result<Self, JobError> {
        let endpoint = std::env::var(ENDPOINT).ok().filter(|e| !e.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| HUB.to_owned());
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(CONNECT)
            // Followed by hand: the checksum stands in the first answer, and the token is the hub's alone.
            .redirect(Policy::none())
            .build()
            .map_err(|e| JobError::Usage(format!("no client could be made: {e}")))?;
        Ok(Self {
            http,
            base: format!(
                "{}/{}/resolve/{}",
                endpoint.trim_end_matches('/'),
                args.repository,
                args.revision
            ),
            token: std::env::var(TOKEN).ok().filter(|t| !t.is_empty()),
        })
    }

    /// Writes one file below `directory`, whole and with the checksum that the hub says; `false` when there is none.
    async fn get(&self, name: &str, directory: &Path, what: &str) -> Result<bool, JobError> {
        let url = format!("{}/{name}", self.base);
        let failed = |why: &dyn std::fmt::Display| {
            JobError::Usage(format!(
                "{url}: {why}; where the hub cannot be reached, copy the repository's files to {} from elsewhere",
                directory.display()
            ))
        };
        let mut request = self.http.get(&url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|e| failed(&e.without_url()))?;
        // Of a large file; the others' is a hash of git.
        let sha256 = response
            .headers()
            .get("x-linked-etag")
            .and_then(|v| v.to_str().ok());
        let sha256 = sha256
            .map(|v| v.trim_matches('"').to_owned())
            .filter(|v| v.len() == 64);
        for _ in 0..REDIRECTS {
            let Some(next) = redirect(&response) else {
                break;
            };
            response = self
                .http
                .get(next)
                .send()
                .await
                .map_err(|e| failed(&e.without_url()))?;
        }
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(false),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(failed(
                    &"there is no such repository, or it wants HF_TOKEN with a token that may read it",
                ));
            }
            status if !status.is_success() => return Err(failed(&format!("it answered {status}"))),
            _ => {}
        }
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).map_err(|e| JobError::io(parent, e))?;
        let mut file =
            tempfile::NamedTempFile::new_in(parent).map_err(|e| JobError::io(parent, e))?;
        let expected = response.content_length();
        let mut bytes = 0;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| failed(&e.without_url()))?
        {
            file.write_all(&chunk).map_err(|e| JobError::io(&path, e))?;
            bytes += chunk.len() as u64;
        }
        if expected.is_some_and(|n| n != bytes) {
            return Err(failed(&"the connection broke before its end"));
        }
        if let Some(sha256) = sha256 {
            let arrived = std::fs::read(file.path()).map_err(|e| JobError::io(&path, e))?;
            if gleaner_udfs::model_cache::sha256(&arrived) != sha256 {
                return Err(failed(
                    &"it arrived damaged: its SHA-256 is another; run the command again",
                ));
            }
        }
        let kept: File = file
            .persist(&path)
            .map_err(|e| JobError::io(&path, e.error))?;
        drop(kept);
        output::line(&format!("{what:10} {name} ({bytes} bytes)"))?;
        Ok(true)
    }
}

/// Where an answer sends its reader.
fn redirect(response: &Response) -> Option<reqwest::Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}
