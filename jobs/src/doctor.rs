//! Whether a place can hold telemetry or a warehouse: tried, not guessed, and each finding with what to do.
//!
//! What a trial makes is named by chance below `_doctor/` of the place, and removed again. Nothing here prints a secret.

mod client;
mod embedder;
mod pseudonyms;
mod s3;

use std::fmt;
use std::io;
use std::path::Path;

use crate::storage::{Location, Place, Storage};

pub use embedder::check as embedder;
pub use pseudonyms::check as pseudonyms;

/// Below this much free space a warehouse is warned about.
const LITTLE_SPACE_BYTES: u64 = 1 << 30;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, at a price.
    Warning,
    /// It does not work, or not safely.
    Failed,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Check {
    /// What was looked at: one or two words.
    pub name: &'static str,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub sentence: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Ok,
            sentence: sentence.into(),
            hint: None,
        }
    }

    fn warning(name: &'static str, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Warning,
            hint: Some(hint.into()),
            ..Self::ok(name, sentence)
        }
    }

    fn failed(name: &'static str, sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            hint: Some(hint.into()),
            ..Self::ok(name, sentence)
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED",
        };
        write!(f, "{outcome:7} {}: {}", self.name, self.sentence)?;
        match &self.hint {
            Some(hint) => write!(f, "\n        {hint}"),
            None => Ok(()),
        }
    }
}

/// What a place is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Telemetry: nothing is written.
    Read,
    /// A warehouse.
    Write,
}

/// Looks at a place. The findings come in the order of the trials, which end where one makes the next ones pointless.
pub async fn check(location: &Location, storage: &Storage, access: Access) -> Vec<Check> {
    match location.place() {
        Place::Local(path) => local(path, access),
        Place::S3 { bucket, prefix } => match storage.prepare().await {
            Ok(s3) => s3::check(&s3, bucket, prefix, access).await,
            Err(error) => {
                let hint = "put it right and ask again: `aws configure list` shows what AWS's own tools find";
                vec![Check::failed("settings", error.to_string(), hint)]
            }
        },
    }
}

fn local(path: &Path, access: Access) -> Vec<Check> {
    let shown = path.display();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut checks = Vec::new();
    let hint = "look at its owner and rights (`ls -ld`), or name another place";
    match std::fs::metadata(path) {
        Ok(found) if access == Access::Read => {
            let readable = if found.is_dir() {
                std::fs::read_dir(path).map(drop)
            } else {
                std::fs::File::open(path).map(drop)
            };
            return vec![match readable {
                Ok(()) => Check::ok("reading", format!("{shown} can be read")),
                Err(e) => Check::failed("reading", format!("{shown} cannot be read: {e}"), hint),
            }];
        }
        Ok(found) if found.is_dir() => {
            checks.push(Check::ok("place", format!("{shown} is a directory")));
        }
        Ok(_) => {
            let sentence = format!("{shown} is a file, not a directory");
            return vec![Check::failed("place", sentence, "name a directory")];
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && access == Access::Write => {
            checks.push(Check::ok(
                "place",
                format!("{shown} will be made by the first run"),
            ));
        }
        Err(e) => return vec![Check::failed("place", format!("{shown}: {e}"), hint)],
    }
    // What exists of the path decides on what does not.
    let Some(existing) = absolute.ancestors().find(|p| p.exists()) else {
        return checks;
    };
    let existing_shown = existing.display();
    checks.push(match tempfile::tempfile_in(existing) {
        Ok(_) => Check::ok("writing", format!("{existing_shown} can be written to")),
        Err(e) => Check::failed(
            "writing",
            format!("{existing_shown} cannot be written to: {e}"),
            hint,
        ),
    });
    if let Ok(space) = rustix::fs::statvfs(existing) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let sentence = format!("{} MiB are free at {existing_shown}", free >> 20);
        checks.push(if free < LITTLE_SPACE_BYTES {
            Check::warning(
                "space",
                sentence,
                "free some: a day's run needs about the size of its telemetry",
            )
        } else {
            Check::ok("space", sentence)
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Buckets;

    async fn outcome(path: &Path, access: Access) -> Outcome {
        let location: Location = path.to_str().unwrap().parse().unwrap();
        let checks = check(&location, &Storage::new(Buckets::Any), access).await;
        checks.iter().map(|c| c.outcome).max().unwrap()
    }

    #[tokio::test]
    async fn a_directory_is_good_and_a_file_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(outcome(directory.path(), Access::Write).await < Outcome::Failed);
        assert!(outcome(&directory.path().join("a/b"), Access::Write).await < Outcome::Failed);
        assert!(!directory.path().join("a").exists(), "nothing was made");
        assert_eq!(outcome(&file, Access::Write).await, Outcome::Failed);
        assert_eq!(outcome(&file, Access::Read).await, Outcome::Ok);
        assert_eq!(
            outcome(&file.join("x"), Access::Write).await,
            Outcome::Failed
        );
        assert_eq!(
            outcome(&directory.path().join("a"), Access::Read).await,
            Outcome::Failed
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
