//! The object stores of one process, for `DataFusion` and for ourselves: local files, and one client a bucket.
//!
//! Ballista's own registry makes a new client, with a new connection pool and new credentials, at every call, and knows
//! no limit to the buckets it talks to. A query names its paths, so a process that serves others is told which buckets
//! are its own ([`Buckets`]).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, HeaderValue, ObjectStore};
use url::Url;

use super::StorageError;
use super::checked::{Checked, OPAQUE_ETAG_HEADER};
use super::credentials::Credentials;
use super::directories::{Directories, Within};
use super::location::check_bucket;
use super::settings::Settings;

/// Which buckets may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Every one that the credentials open: a user's own process.
    Any,
    /// These.
    Only(BTreeSet<String>),
}

impl Buckets {
    fn allow(&self, bucket: &str) -> Result<(), StorageError> {
        match self {
            Self::Only(names) if !names.contains(bucket) => Err(StorageError::Usage(format!(
                "bucket {bucket:?} is not allowed here: add it to --buckets (GLEANER_BUCKETS) of this process and \
                 start it again"
            ))),
            _ => Ok(()),
        }
    }
}

impl FromStr for Buckets {
    type Err = StorageError;

    /// Names with commas between them; `*` for every bucket; nothing for none.
    fn from_str(text: &str) -> Result<Self, StorageError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let names = text.split(',').map(str::trim).filter(|n| !n.is_empty());
        names
            .map(|name| check_bucket(name).map(|()| name.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self::Only)
    }
}

/// S3 as this process speaks to it.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Where and how.
    pub settings: Settings,
    /// As whom.
    pub credentials: Arc<Credentials>,
}

impl S3 {
    /// From environment and profile.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub async fn load() -> Result<Self, StorageError> {
        let settings = Settings::load().await?;
        let credentials = Arc::new(Credentials::from_chain(&settings));
        Ok(Self {
            settings,
            credentials,
        })
    }
}

/// The object stores of this process.
pub struct Registry {
    buckets: Buckets,
    directories: Directories,
    local: Arc<dyn ObjectStore>,
    s3: Mutex<Option<S3>>,
    clients: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Registry {
    /// Stores for local files and some buckets. S3 is looked for in environment and profile at its first use, or by
    /// [`Registry::prepare`].
    #[must_use]
    pub fn new(buckets: Buckets) -> Self {
        Self::with(buckets, None)
    }

    /// The same, and of local files those in some directories.
    #[must_use]
    pub fn within(buckets: Buckets, directories: Directories) -> Self {
        Self::make(buckets, directories, None)
    }

    /// All local files, and a known S3.
    #[must_use]
    pub fn with(buckets: Buckets, s3: Option<S3>) -> Self {
        Self::make(buckets, Directories::Any, s3)
    }

    fn make(buckets: Buckets, directories: Directories, s3: Option<S3>) -> Self {
        // It would remove directories that it finds empty: another writer's, perhaps.
        let whole = Arc::new(LocalFileSystem::new().with_automatic_cleanup(false));
        let local: Arc<dyn ObjectStore> = match &directories {
            Directories::Any => whole,
            only @ Directories::Only(_) => Arc::new(Within::new(whole, only.clone())),
        };
        Self {
            buckets,
            directories,
            local,
            s3: Mutex::new(s3),
            clients: Mutex::default(),
        }
    }

    /// Reads the settings of S3 now, so that a mistake in them shows at the start, and the first use need not wait.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub async fn prepare(&self) -> Result<S3, StorageError> {
        if let Some(s3) = self.known() {
            return Ok(s3);
        }
        let loaded = S3::load().await?;
        Ok(self.keep(loaded))
    }

    /// The client of a bucket.
    ///
    /// # Errors
    /// When it is not allowed, or the settings of S3 are wrong.
    pub fn bucket(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, StorageError> {
        self.buckets.allow(bucket)?;
        if let Some(client) = self.clients().get(bucket) {
            return Ok(Arc::clone(client));
        }
        let s3 = match self.known() {
            Some(s3) => s3,
            None => self.keep(load_blocking()?),
        };
        let mut clients = self.clients();
        if let Some(client) = clients.get(bucket) {
            return Ok(Arc::clone(client));
        }
        let client = s3
            .settings
            .object_store(bucket)?
            .with_credentials(s3.credentials)
            .with_http_connector(Connector)
            .build()
            .map_err(|source| StorageError::Store {
                what: format!("a client of bucket {bucket:?} cannot be made"),
                source,
            })?;
        let client: Arc<dyn ObjectStore> = Arc::new(Checked::new(Arc::new(client)));
        clients.insert(bucket.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    /// Local files.
    #[must_use]
    pub fn local(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.local)
    }

    pub(super) const fn directories(&self) -> &Directories {
        &self.directories
    }

    pub(super) const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    pub(super) fn known(&self) -> Option<S3> {
        let known = self.s3.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Two may load at once; all use the first one's, as its credentials are cached.
    fn keep(&self, loaded: S3) -> S3 {
        let mut known = self.s3.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(loaded).clone()
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn ObjectStore>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On a thread with a runtime of its own: the caller may be a task, in which nothing may wait for another task.
fn load_blocking() -> Result<S3, StorageError> {
    let unstarted =
        |e: std::io::Error| StorageError::Settings(format!("no thread could be started: {e}"));
    let thread = std::thread::Builder::new().name("s3-settings".to_owned());
    let load = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(unstarted)?.block_on(S3::load())
    };
    let loaded = thread.spawn(load).map_err(unstarted)?.join();
    loaded.unwrap_or_else(|_| {
        Err(StorageError::Settings(
            "reading the settings of S3 panicked".to_owned(),
        ))
    })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

impl ObjectStoreRegistry for Registry {
    /// Ignored: what may be used is decided at the start of the process, not by a query.
    fn register_store(&self, url: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        log::debug!("a store for {}:// was not registered", url.scheme());
        None
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let store = match url.scheme() {
            "file" => Ok(self.local()),
            "s3" | "s3a" => self.bucket(url.host_str().unwrap_or_default()),
            scheme => Err(StorageError::Usage(format!(
                "{scheme}:// is not supported: expected a local path, file:// or s3://"
            ))),
        };
        store.map_err(|e| DataFusionError::Configuration(e.to_string()))
    }
}

/// `object_store`'s client, but for one thing: of the headers of a response it shows the user's metadata alone, and
/// whether an `ETag` is an MD5 stands in another one.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Marking(client)))
    }
}

#[derive(Debug)]
struct Marking(HttpClient);

#[async_trait]
impl HttpService for Marking {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut response = self.0.execute(request).await?;
        let headers = response.headers();
        let kms = headers
            .get("x-amz-server-side-encryption")
            .is_some_and(|how| how.as_bytes().starts_with(b"aws:kms"));
        let customer = headers.contains_key("x-amz-server-side-encryption-customer-algorithm");
        if kms || customer {
            let yes = HeaderValue::from_static("1");
            response.headers_mut().insert(OPAQUE_ETAG_HEADER, yes);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials as Keys;

    fn registry(buckets: &str) -> Registry {
        let s3 = S3 {
            settings: Settings::new("r", Some("http://127.0.0.1:1")).unwrap(),
            credentials: Arc::new(Credentials::new(Keys::new(
                "AKIAX", "hunter2", None, None, "test",
            ))),
        };
        Registry::with(buckets.parse().unwrap(), Some(s3))
    }

    fn get(registry: &Registry, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
        let store = registry.get_store(&Url::parse(url).unwrap());
        store.map_err(|e| e.to_string())
    }

    #[test]
    fn a_bucket_has_one_client() {
        let registry = registry("a,b");
        let a = get(&registry, "s3://a/x").unwrap();
        assert!(Arc::ptr_eq(&a, &get(&registry, "s3a://a/y").unwrap()));
        assert!(!Arc::ptr_eq(&a, &get(&registry, "s3://b/").unwrap()));
    }

    #[test]
    fn another_bucket_and_another_scheme_are_refused_by_name() {
        let registry = registry(" a , b,");
        let error = get(&registry, "s3://other/x").unwrap_err();
        assert!(
            error.contains("\"other\"") && error.contains("GLEANER_BUCKETS"),
            "{error}"
        );
        assert!(get(&registry, "gs://a/x").unwrap_err().contains("gs://"));
        assert!(get(&registry, "s3:///x").is_err());
        assert!(get(&registry, "file:///tmp").is_ok());
        assert_eq!("*".parse::<Buckets>().unwrap(), Buckets::Any);
        assert!("a,b/c".parse::<Buckets>().is_err());
    }

    #[test]
    fn a_query_cannot_register_a_store() {
        let registry = registry("a");
        let local = registry.local();
        let url = Url::parse("s3://other/").unwrap();
        assert!(registry.register_store(&url, local).is_none());
        assert!(registry.get_store(&url).is_err());
    }

    #[test]
    fn no_secret_is_in_the_debug_text() {
        let registry = registry("a");
        let client = registry.bucket("a").unwrap();
        let text = format!("{registry:?} {client:?} {client} {:?}", registry.known());
        assert!(!text.contains("hunter2"), "{text}");
    }
}
