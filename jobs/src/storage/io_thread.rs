//! Small objects for synchronous code that runs inside a task.
//!
//! A model is loaded in the middle of a function of a query: in a thread of the runtime, which must not wait for other
//! tasks of that runtime. So a thread of its own, with a runtime of its own, reads for all of them. Its clients are its
//! own too: a connection is driven by the runtime that opened it, and one borrowed from the runtime whose threads wait
//! here would never answer.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use url::Url;

use super::registry::{Registry, S3};
use super::{Credentials, StorageError};

/// The thread, started by the first read; it ends with the last handle.
#[derive(Debug)]
pub(super) struct IoThread {
    parent: Arc<Registry>,
    requests: Mutex<Option<UnboundedSender<Request>>>,
}

/// The object, `None` when there is none.
type Answer = Result<Option<Vec<u8>>, String>;

struct Request {
    url: Url,
    answer: SyncSender<Answer>,
}

impl IoThread {
    /// A thread that reads what `parent` may.
    pub(super) const fn new(parent: Arc<Registry>) -> Self {
        Self {
            parent,
            requests: Mutex::new(None),
        }
    }

    pub(super) fn read(&self, url: Url) -> Answer {
        let (answer, answered) = sync_channel(1);
        let gone = |url: &Url| format!("{url}: the thread that reads it has stopped");
        let lost = gone(&url);
        self.requests()?
            .send(Request { url, answer })
            .map_err(|e| gone(&e.0.url))?;
        answered.recv().unwrap_or(Err(lost))
    }

    fn requests(&self) -> Result<UnboundedSender<Request>, String> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*requests {
            return Ok(sender.clone());
        }
        let unstarted = |e: std::io::Error| format!("no thread could be started: {e}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unstarted)?;
        let (sender, receiver) = unbounded_channel();
        let parent = Arc::clone(&self.parent);
        std::thread::Builder::new()
            .name("storage-io".to_owned())
            .spawn(move || runtime.block_on(serve(&parent, receiver)))
            .map_err(unstarted)?;
        *requests = Some(sender.clone());
        Ok(sender)
    }
}

async fn serve(parent: &Registry, mut requests: UnboundedReceiver<Request>) {
    let mut own: Option<Arc<Registry>> = None;
    while let Some(Request { url, answer }) = requests.recv().await {
        let registry = match &own {
            Some(registry) => Arc::clone(registry),
            None => match sibling(parent).await {
                Ok(registry) => Arc::clone(own.insert(Arc::new(registry))),
                Err(error) => {
                    let _ = answer.send(Err(format!("{url}: {error}")));
                    continue;
                }
            },
        };
        tokio::spawn(async move {
            let bytes = read(&registry, &url).await;
            // Whoever asked is gone when this fails.
            let _ = answer.send(bytes.map_err(|e| format!("{url}: {e}")));
        });
    }
}

/// A registry with the same settings, and clients of this runtime.
async fn sibling(parent: &Registry) -> Result<Registry, StorageError> {
    let s3 = parent.prepare().await?;
    let credentials = Arc::new(Credentials::like(&s3.credentials));
    let s3 = S3 { credentials, ..s3 };
    Ok(Registry::with(parent.buckets().clone(), Some(s3)))
}

async fn read(registry: &Registry, url: &Url) -> Answer {
    let store = registry.get_store(url).map_err(|e| match e {
        datafusion::common::DataFusionError::Configuration(sentence) => sentence,
        other => other.to_string(),
    })?;
    let path = Path::from_url_path(url.path()).map_err(|e| e.to_string())?;
    let found = match store.get(&path).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        found => found.map_err(|e| e.to_string())?,
    };
    let bytes = found.bytes().await.map_err(|e| e.to_string())?;
    Ok(Some(bytes.to_vec()))
}
