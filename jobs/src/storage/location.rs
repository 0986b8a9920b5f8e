//! What a user gives as `--telemetry` or `--warehouse`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use super::StorageError;

/// A directory or file here, or a prefix or object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    given: String,
    place: Place,
}

/// Where a [`Location`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path as it was given, absolute or not.
    Local(PathBuf),
    /// In S3.
    S3 {
        /// Never empty.
        bucket: String,
        /// Without a slash at either end; empty for the whole bucket.
        prefix: String,
    },
}

impl Location {
    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The path, where it is a local one.
    #[must_use]
    pub fn local(&self) -> Option<&Path> {
        match &self.place {
            Place::Local(path) => Some(path),
            Place::S3 { .. } => None,
        }
    }

    /// Whether it is in S3.
    #[must_use]
    pub const fn is_s3(&self) -> bool {
        matches!(self.place, Place::S3 { .. })
    }

    /// The URL of the directory or prefix, ending in `/`.
    ///
    /// # Errors
    /// When the path is relative and the current directory is gone.
    pub fn url(&self) -> Result<Url, StorageError> {
        let url = match &self.place {
            Place::Local(path) => std::path::absolute(path)
                .ok()
                .and_then(|path| Url::from_directory_path(path).ok()),
            Place::S3 { bucket, prefix } => {
                Url::parse(&format!("s3://{bucket}/")).ok().map(|mut url| {
                    if !prefix.is_empty() {
                        url.set_path(&format!("{prefix}/"));
                    }
                    url
                })
            }
        };
        url.ok_or_else(|| {
            StorageError::Usage(format!("{:?} cannot be made an absolute path", self.given))
        })
    }

    /// The path in the object store of [`super::Storage::object_store`].
    ///
    /// # Errors
    /// As [`Location::url`], and when the local path is no text.
    pub fn prefix(&self) -> Result<object_store::path::Path, StorageError> {
        let wrong = |e| StorageError::Usage(format!("{:?}: {e}", self.given));
        match &self.place {
            Place::S3 { prefix, .. } => object_store::path::Path::parse(prefix).map_err(wrong),
            Place::Local(_) => {
                object_store::path::Path::from_url_path(self.url()?.path()).map_err(wrong)
            }
        }
    }
}

impl FromStr for Location {
    type Err = StorageError;

    fn from_str(given: &str) -> Result<Self, StorageError> {
        let wrong = |why: &str| StorageError::Usage(format!("{given:?}: {why}"));
        let place = match given.split_once("://") {
            None if given.is_empty() => {
                return Err(StorageError::Usage("an empty path was given".to_owned()));
            }
            None if ["s3:", "s3a:", "file:"]
                .iter()
                .any(|s| given.starts_with(s)) =>
            {
                return Err(wrong(
                    "two slashes belong behind the colon: s3://bucket/prefix, file:///path",
                ));
            }
            None => Place::Local(PathBuf::from(given)),
            Some(("file", _)) => {
                let path = Url::parse(given)
                    .ok()
                    .filter(|url| url.query().is_none() && url.fragment().is_none())
                    .and_then(|url| url.to_file_path().ok())
                    .ok_or_else(|| wrong("not a file URL: expected file:///absolute/path"))?;
                Place::Local(path)
            }
            Some(("s3" | "s3a", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                check_bucket(bucket)?;
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                check_prefix(prefix).map_err(|why| wrong(&why))?;
                Place::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.to_owned(),
                }
            }
            Some((scheme, _)) => {
                return Err(StorageError::Usage(format!(
                    "{scheme}:// is not supported: expected a local path, file:///path or s3://bucket/prefix"
                )));
            }
        };
        Ok(Self {
            given: given.to_owned(),
            place,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

/// What every S3 server takes, and what cannot be mistaken for another part of a URL.
pub(super) fn check_bucket(name: &str) -> Result<(), StorageError> {
    let is_good = (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if is_good {
        return Ok(());
    }
    // A `user:password@` may have been meant: not repeated.
    Err(StorageError::Usage(
        "a bucket's name is missing or wrong: expected s3://bucket/prefix, the bucket of letters, digits, `-`, `.` \
         and `_`, without credentials or port"
            .to_owned(),
    ))
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if let Some(c) = prefix
        .chars()
        .find(|c| "?#%\\*[]{}".contains(*c) || c.is_control())
    {
        return Err(format!("{c:?} is not supported in a prefix"));
    }
    if !prefix.is_empty()
        && prefix
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err("`..`, `.` and `//` are not supported in a prefix".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn a_bucket_and_a_prefix_are_taken_apart() {
        let location = at("s3a://my-bucket/a b/dt=2026-01-01/");
        assert_eq!(
            location.url().unwrap().as_str(),
            "s3://my-bucket/a%20b/dt=2026-01-01/"
        );
        assert_eq!(location.prefix().unwrap().as_ref(), "a b/dt=2026-01-01");
        assert_eq!(location.to_string(), "s3a://my-bucket/a b/dt=2026-01-01/");
        assert!(location.is_s3());
        for whole in ["s3://b", "s3://b/"] {
            assert_eq!(at(whole).url().unwrap().as_str(), "s3://b/");
            assert_eq!(at(whole).prefix().unwrap().as_ref(), "");
        }
    }

    #[test]
    fn a_local_path_becomes_absolute() {
        let here = std::env::current_dir().unwrap();
        let expected = Url::from_directory_path(here.join("data")).unwrap();
        for text in ["data", "data/", "./data"] {
            assert_eq!(at(text).url().unwrap(), expected, "{text}");
        }
        assert_eq!(at("file:///a%20b/c").local().unwrap(), Path::new("/a b/c"));
        assert_eq!(at("/a b/c").url().unwrap().as_str(), "file:///a%20b/c/");
        assert_eq!(at("/a b/c").prefix().unwrap().as_ref(), "a b/c");
    }

    #[test]
    fn what_is_no_place_is_refused_with_a_sentence() {
        for (text, sentence) in [
            ("", "empty path"),
            ("s3://", "bucket's name"),
            ("s3:///a", "bucket's name"),
            ("s3://user:hunter2@b/a", "bucket's name"),
            ("s3://b:9000/a", "bucket's name"),
            ("s3://b/a/../c", "`..`"),
            ("s3://b/a//c", "`//`"),
            ("s3://b/a?versionId=1", "'?'"),
            ("s3://b/*.json", "'*'"),
            ("s3:/b/a", "two slashes"),
            ("gs://b/a", "gs:// is not supported"),
            ("https://b.s3.amazonaws.com/a", "https:// is not supported"),
            ("file://host/a", "not a file URL"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(sentence), "{text}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
