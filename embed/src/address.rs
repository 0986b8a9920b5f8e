//! What a user names ([`Location`]), and what travels in a plan ([`Address`]).

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use url::Url;

use crate::error::EmbedError;

/// Where an embedder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Built in.
    Lexical,
    /// A directory with a model's files.
    Directory {
        /// `file:///…/` or `s3://…/`.
        url: String,
        /// Tokens of a text beyond which it is cut; `None`: what the model's files say, [`crate::directory::MAX_TOKENS`] at most.
        max_tokens: Option<usize>,
    },
    /// An OpenAI-compatible endpoint.
    Endpoint {
        /// Without `/embeddings`, and without a slash at its end.
        url: String,
        /// The model it is asked for.
        model: String,
    },
}

impl FromStr for Location {
    type Err = EmbedError;

    /// `lexical`, `PATH[#max_tokens=N]`, `s3://…[#max_tokens=N]`, `http(s)://…#MODEL`.
    fn from_str(text: &str) -> Result<Self, EmbedError> {
        let usage = |why: &str| {
            EmbedError::Usage(format!(
                "--embedder: {why}; expected lexical, a directory (a path, s3://bucket/prefix; #max_tokens=N may follow), or \
                 an endpoint with its model (https://host/v1#model)"
            ))
        };
        if text == "lexical" {
            return Ok(Self::Lexical);
        }
        let (place, fragment) = match text.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (text, None),
        };
        if place.is_empty() {
            return Err(usage("no embedder is named"));
        }
        if place.starts_with("http://") || place.starts_with("https://") {
            let url = Url::parse(place).map_err(|_| usage("the endpoint is not a URL"))?;
            if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
                return Err(usage(
                    "an endpoint's URL has no user, password or query; its key goes into GLEANER_EMBEDDER_API_KEY",
                ));
            }
            let model = fragment.filter(|m| !m.is_empty());
            return Ok(Self::Endpoint {
                url: place.trim_end_matches('/').to_owned(),
                model: model
                    .ok_or_else(|| usage("an endpoint needs a model"))?
                    .to_owned(),
            });
        }
        let max_tokens = match fragment.map(|f| f.strip_prefix("max_tokens=").map(str::parse)) {
            None => None,
            Some(Some(Ok(n))) if (8..=8192).contains(&n) => Some(n),
            Some(_) => {
                return Err(usage(
                    "after # only max_tokens=N may stand, N from 8 to 8192",
                ));
            }
        };
        let url = if place.starts_with("s3://") || place.starts_with("file://") {
            format!("{}/", place.trim_end_matches('/'))
        } else if place.contains("://") {
            return Err(usage("only s3://, http:// and https:// are known"));
        } else {
            let path = std::path::absolute(Path::new(place)).map_err(|_| usage("a bad path"))?;
            let url = Url::from_directory_path(path).map_err(|()| usage("a bad path"))?;
            url.to_string()
        };
        Ok(Self::Directory { url, max_tokens })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lexical => f.write_str("lexical"),
            Self::Directory {
                url,
                max_tokens: None,
            } => f.write_str(url),
            Self::Directory {
                url,
                max_tokens: Some(n),
            } => write!(f, "{url}#max_tokens={n}"),
            Self::Endpoint { url, model } => write!(f, "{url}#{model}"),
        }
    }
}

/// What names an embedder for every process: `KIND:IDENTITY@LOCATION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `onnx`, `static` or `endpoint`.
    pub kind: String,
    /// SHA-256 of what decides the vectors, in hexadecimal; nothing for an endpoint, which is named by its location.
    pub identity: String,
    /// Where its files are, or where it listens.
    pub location: Location,
}

impl Address {
    /// The embedder's name in the warehouse: the same wherever its files lie.
    #[must_use]
    pub fn name(&self) -> String {
        if self.identity.is_empty() {
            format!("{}:{}", self.kind, self.location)
        } else {
            format!("{}:{}", self.kind, self.identity)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.kind, self.identity, self.location)
    }
}

impl FromStr for Address {
    type Err = EmbedError;

    fn from_str(text: &str) -> Result<Self, EmbedError> {
        let parts = text.split_once('@').and_then(|(name, location)| {
            let (kind, identity) = name.split_once(':')?;
            Some((kind, identity, location))
        });
        let Some((kind, identity, location)) = parts else {
            return Err(EmbedError::Usage(format!(
                "{text:?} is not an embedder's address: expected KIND:IDENTITY@LOCATION, as gleaner doctor --embedder prints it"
            )));
        };
        Ok(Self {
            kind: kind.to_owned(),
            identity: identity.to_owned(),
            location: location.parse()?,
        })
    }
}

/// Which endpoints a process may send texts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// Every one: a user's own process.
    Any,
    /// These, by their URL without `/embeddings`.
    Only(BTreeSet<String>),
}

impl Endpoints {
    pub(crate) fn allow(&self, url: &str) -> Result<(), EmbedError> {
        match self {
            Self::Only(urls) if !urls.contains(url) => Err(EmbedError::Endpoint(format!(
                "endpoint {url} is not allowed here: add it to --embed-endpoints (GLEANER_EMBED_ENDPOINTS) of this process and \
                 start it again"
            ))),
            _ => Ok(()),
        }
    }
}

impl FromStr for Endpoints {
    type Err = String;

    /// URLs with commas between them; `*` for every one; nothing for none.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let urls = text.split(',').map(str::trim).filter(|u| !u.is_empty());
        Ok(Self::Only(
            urls.map(|u| u.trim_end_matches('/').to_owned()).collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_survives_its_text() {
        for text in [
            "lexical",
            "file:///models/jina%20v2/",
            "s3://models/minilm/#max_tokens=128",
            "http://127.0.0.1:8080/v1#bge-small",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
            let address = Address {
                kind: "onnx".to_owned(),
                identity: "ab".repeat(32),
                location,
            };
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }
        let relative: Location = "models/a".parse().unwrap();
        assert!(relative.to_string().starts_with("file:///"));
        assert!(relative.to_string().ends_with("/models/a/"));
    }

    #[test]
    fn what_names_no_embedder_is_refused_with_what_does() {
        for text in [
            "",
            "#a",
            "http://h/v1",
            "http://u:p@h/v1#m",
            "https://h/v1?key=x#m",
            "gs://b/x",
            "/m#max_tokens=2",
            "/m#other",
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains("expected lexical"), "{text}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_that_is_not_allowed_is_refused_by_name() {
        let some: Endpoints = "http://a/v1/, http://b/v1".parse().unwrap();
        assert!(some.allow("http://a/v1").is_ok());
        let error = some.allow("http://c/v1").unwrap_err().to_string();
        assert!(error.contains("http://c/v1") && error.contains("GLEANER_EMBED_ENDPOINTS"));
        assert!(
            "".parse::<Endpoints>()
                .unwrap()
                .allow("http://a/v1")
                .is_err()
        );
        assert!(
            "*".parse::<Endpoints>()
                .unwrap()
                .allow("http://a/v1")
                .is_ok()
        );
    }
}
