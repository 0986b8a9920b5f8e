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

/// Lets this process's functions load the embedder at `address` and no other; without effect after [`install`].
pub fn install_only(address: &str) {
    let allowed = address.to_owned();
    let process = Process {
        reader: Arc::new(|url| storage::process().find_blocking(url)),
        endpoints: Endpoints::Any,
    };
    gleaner_udfs::embedder::install_provider(Box::new(move |asked| {
        if asked != allowed {
            return Err(
                "only the embedder that this server was started with can be loaded here".to_owned(),
            );
        }
        gleaner_embed::load(asked, &process).map_err(|e| e.to_string())
    }));
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
