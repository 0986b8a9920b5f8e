//! Embedders, as this process finds and loads them: models from local disks and S3 through the process's storage.

use std::sync::Arc;

use gleaner_embed::{Endpoints, Location, Process, Resolved};

use crate::error::JobError;
use crate::storage;

/// Lets this process's functions load embedders; later calls change nothing.
pub fn install(endpoints: Endpoints) {
    gleaner_embed::install(Process {
        reader: Arc::new(|url| storage::process().find_blocking(url)),
        endpoints,
    });
}

/// Finds what `spec` names and tries it; what is `lexical` needs nothing.
///
/// # Errors
/// What is missing, in one sentence, with the command that gets it.
pub async fn resolve(spec: &str) -> Result<Resolved, JobError> {
    let location: Location = spec.parse()?;
    if location == Location::Lexical {
        return Ok(Resolved::lexical());
    }
    crate::driver::install_model_loader();
    let process = Process {
        reader: Arc::new(|url| storage::process().find_blocking(url)),
        endpoints: Endpoints::Any,
    };
    // Reading, hashing and loading a model takes seconds.
    let resolved = tokio::task::spawn_blocking(move || gleaner_embed::resolve(&location, &process));
    let stopped = |_| JobError::Internal("the thread that loads an embedder stopped".to_owned());
    Ok(resolved.await.map_err(stopped)??)
}
