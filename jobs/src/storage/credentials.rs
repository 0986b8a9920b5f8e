//! Credentials of S3: AWS's own chain behind the trait of `object_store`, asked at the first use and again before they
//! expire.
//!
//! `object_store`'s own provider knows no profile, SSO or `credential_process`, so the chain is `aws_config`'s.
//! A day's job outlives most temporary credentials. They are fetched anew when less than five minutes, or half of a
//! shorter life, remain: by one task, while the others go on with the old ones. A fetch that fails costs nothing as
//! long as the old ones hold.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::ErrorMetadata;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::OnceCell;

use super::StorageError;
use super::settings::Settings;

/// How long before their end credentials are fetched anew, at most.
const EARLY: Duration = Duration::from_mins(5);
/// How long a failed fetch is not repeated while the old credentials hold, at most.
const PAUSE: Duration = Duration::from_secs(10);
/// How long one fetch may take: a browser login is none of ours, so this is a helper program that hangs.
const FETCH_TIMEOUT: Duration = Duration::from_mins(1);

/// What was asked, in this order, when nothing was found.
fn nothing_found() -> String {
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    format!(
        "no AWS credentials were found. Tried: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; the profile {profile:?} \
         (AWS_PROFILE) in ~/.aws; a web identity token (AWS_WEB_IDENTITY_TOKEN_FILE); the container's role; the \
         machine's role. Set the first two, or log in (`aws configure`, `aws sso login`) and set AWS_PROFILE, or give \
         the machine a role"
    )
}

/// Cached credentials of one process.
pub struct Credentials {
    settings: Option<Settings>,
    chain: OnceCell<SharedCredentialsProvider>,
    held: Mutex<Option<Held>>,
    /// Held by the one task that fetches; its value is the failure of the last fetch.
    fetch: tokio::sync::Mutex<Option<(Instant, String)>>,
}

#[derive(Clone)]
struct Held {
    keys: Keys,
    credential: Arc<AwsCredential>,
    /// From when on new ones are wanted.
    stale: Option<SystemTime>,
}

impl Held {
    fn new(keys: Keys, now: SystemTime) -> Self {
        let stale = keys.expiry().map(|end| {
            let life = end.duration_since(now).unwrap_or_default();
            end - EARLY.min(life / 2)
        });
        let credential = Arc::new(AwsCredential {
            key_id: keys.access_key_id().to_owned(),
            secret_key: keys.secret_access_key().to_owned(),
            token: keys.session_token().map(str::to_owned),
        });
        Self {
            keys,
            credential,
            stale,
        }
    }

    fn is_stale(&self, now: SystemTime) -> bool {
        self.stale.is_some_and(|stale| stale <= now)
    }

    fn has_expired(&self, now: SystemTime) -> bool {
        self.keys.expiry().is_some_and(|end| end <= now)
    }
}

impl Credentials {
    /// AWS's chain: environment, profile (assumed role, SSO, `credential_process`), web identity, ECS, IMDS. Nothing is
    /// asked before the first use.
    #[must_use]
    pub fn from_chain(settings: &Settings) -> Self {
        Self::lazy(Some(settings.clone()), OnceCell::new())
    }

    /// Another source.
    #[must_use]
    pub fn new(provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        Self::lazy(None, OnceCell::new_with(Some(provider)))
    }

    /// The same source with a cache and connections of its own, for another runtime.
    pub(super) fn like(other: &Self) -> Self {
        match &other.settings {
            Some(settings) => Self::from_chain(settings),
            None => Self::lazy(None, other.chain.clone()),
        }
    }

    fn lazy(settings: Option<Settings>, chain: OnceCell<SharedCredentialsProvider>) -> Self {
        Self {
            settings,
            chain,
            held: Mutex::new(None),
            fetch: tokio::sync::Mutex::new(None),
        }
    }

    /// Credentials that hold now.
    ///
    /// # Errors
    /// When none are found or they cannot be fetched; says what was tried and what to do.
    pub async fn keys(&self) -> Result<Keys, StorageError> {
        self.get().await.map(|held| held.keys)
    }

    async fn get(&self) -> Result<Held, StorageError> {
        let asked = Instant::now();
        let held = self.held();
        let mut last_failure = match held {
            Some(held) if !held.is_stale(SystemTime::now()) => return Ok(held),
            // Another task is at it: these do until it is done.
            Some(held) if !held.has_expired(SystemTime::now()) => match self.fetch.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(held),
            },
            _ => self.fetch.lock().await,
        };
        // Whoever held the lock before may have fetched them, or failed to.
        let now = SystemTime::now();
        let held = self.held();
        let usable = held.filter(|held| !held.has_expired(now));
        if let Some(held) = &usable
            && !held.is_stale(now)
        {
            return Ok(held.clone());
        }
        match (&usable, &*last_failure) {
            (Some(held), Some((at, _))) if at.elapsed() < PAUSE => return Ok(held.clone()),
            (None, Some((at, why))) if *at >= asked => {
                return Err(StorageError::Credentials(why.clone()));
            }
            _ => {}
        }
        match self.ask().await {
            Ok(keys) => {
                *last_failure = None;
                let fresh = Held::new(keys, SystemTime::now());
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
                Ok(fresh)
            }
            Err(why) => {
                *last_failure = Some((Instant::now(), why.clone()));
                let Some(held) = usable else {
                    return Err(StorageError::Credentials(why));
                };
                log::warn!("AWS credentials could not be renewed, the old ones still hold: {why}");
                Ok(held)
            }
        }
    }

    fn held(&self) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    async fn ask(&self) -> Result<Keys, String> {
        let asked = async {
            let chain = self.chain.get_or_try_init(|| self.build()).await?;
            let keys = chain.provide_credentials().await.map_err(|e| why(&e))?;
            match keys.expiry() {
                Some(end) if end <= SystemTime::now() => Err(format!(
                    "the AWS credentials found have expired (key …{}): log in again, or check the clock",
                    tail(&keys)
                )),
                _ => Ok(keys),
            }
        };
        tokio::time::timeout(FETCH_TIMEOUT, asked)
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "no AWS credentials came in {} seconds: look at the profile's credential_process, or the \
                     network to AWS's login service",
                    FETCH_TIMEOUT.as_secs()
                ))
            })
    }

    async fn build(&self) -> Result<SharedCredentialsProvider, String> {
        let Some(settings) = &self.settings else {
            return Err(nothing_found());
        };
        let config = settings.aws().map_err(|e| e.to_string())?.load().await;
        config.credentials_provider().ok_or_else(nothing_found)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        match self.get().await {
            Ok(held) => Ok(held.credential),
            Err(error) => Err(object_store::Error::Generic {
                store: "S3",
                source: Box::new(error),
            }),
        }
    }
}

/// The last four characters of the access key's id: enough to recognise it.
pub(crate) fn tail(keys: &Keys) -> &str {
    let id = keys.access_key_id();
    let start = id.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    &id[start..]
}

/// A sentence on a failed chain.
fn why(error: &CredentialsError) -> String {
    if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return nothing_found();
    }
    let root = root(error).unwrap_or_else(|| error.to_string());
    format!(
        "the AWS credentials could not be fetched: {root}. Try `aws sts get-caller-identity`, log in again, or \
         look at the profile that AWS_PROFILE names"
    )
}

/// The innermost cause, without what a helper program printed or a service answered: it could hold a secret.
fn root(error: &CredentialsError) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if let Some(said) = cause.downcast_ref::<ErrorMetadata>() {
        // Its own text is that of a struct.
        let (code, message) = (said.code()?, said.message().unwrap_or_default());
        return Some(format!("{code}: {message}"));
    }
    let text = cause.to_string();
    // The machine's metadata service: the whole answer follows.
    if let Some((said, _)) = text.split_once(". Response {") {
        return Some(said.to_owned());
    }
    if !text.contains("external process") {
        return Some(text);
    }
    let cut = ["Stderr:", "could not parse response:", "could not decode"];
    let end = cut.iter().filter_map(|at| text.find(at)).min();
    Some(match end {
        Some(end) => format!(
            "{} (what it printed is not shown, it may hold a secret)",
            text[..end].trim_end_matches([' ', '.', ','])
        ),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::provider::future;

    /// Gives keys that live `life`, after `delay`; from the `fails_after`-th on it fails.
    #[derive(Debug)]
    struct Source {
        calls: Arc<AtomicUsize>,
        life: Duration,
        delay: Duration,
        fails_after: usize,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async move {
                tokio::time::sleep(self.delay).await;
                let call = self.calls.fetch_add(1, Ordering::SeqCst);
                if call >= self.fails_after {
                    return Err(CredentialsError::provider_error(
                        "the token service is away",
                    ));
                }
                let end = SystemTime::now() + self.life;
                Ok(Keys::new(
                    format!("AKIA{call}"),
                    "hunter2",
                    Some("tok3n".into()),
                    Some(end),
                    "test",
                ))
            })
        }
    }

    fn source(
        life: Duration,
        delay_millis: u64,
        fails_after: usize,
    ) -> (Arc<Credentials>, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let source = Source {
            calls: Arc::clone(&calls),
            life,
            delay: Duration::from_millis(delay_millis),
            fails_after,
        };
        (Arc::new(Credentials::new(source)), calls)
    }

    async fn id(credentials: &Credentials) -> Result<String, String> {
        let got = credentials.get_credential().await;
        got.map(|c| c.key_id.clone()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn many_tasks_ask_once() {
        let (credentials, calls) = source(Duration::from_hours(1), 50, 9);
        let tasks = (0..50).map(|_| {
            let credentials = Arc::clone(&credentials);
            tokio::spawn(async move { id(&credentials).await })
        });
        for task in futures::future::join_all(tasks).await {
            assert_eq!(task.unwrap().unwrap(), "AKIA0");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn short_lived_ones_are_renewed_at_half_their_life() {
        let (credentials, calls) = source(Duration::from_millis(400), 0, 99);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            id(&credentials).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let calls = calls.load(Ordering::SeqCst);
        assert!((4..=6).contains(&calls), "{calls} calls in five halves");
    }

    #[tokio::test]
    async fn a_failed_renewal_keeps_the_old_ones_until_their_end() {
        let (credentials, calls) = source(Duration::from_millis(600), 0, 1);
        assert_eq!(id(&credentials).await.unwrap(), "AKIA0");
        tokio::time::sleep(Duration::from_millis(350)).await;
        for _ in 0..20 {
            assert_eq!(id(&credentials).await.unwrap(), "AKIA0");
        }
        assert_eq!(
            calls.load(Ordering::SeqCst),
            2,
            "a failure is not repeated at once"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
        let error = id(&credentials).await.unwrap_err();
        assert!(error.contains("the token service is away"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("tok3n"));
    }

    #[tokio::test]
    async fn those_who_waited_for_a_failed_fetch_share_its_error() {
        let (credentials, calls) = source(Duration::from_mins(1), 50, 0);
        let tasks = (0..20).map(|_| id(&credentials));
        for got in futures::future::join_all(tasks).await {
            assert!(got.is_err());
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn no_secret_is_in_the_debug_text() {
        let (credentials, _) = source(Duration::from_mins(1), 0, 1);
        id(&credentials).await.unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials { .. }");
    }

    #[test]
    fn what_a_helper_program_prints_is_not_repeated() {
        let error = CredentialsError::provider_error(
            "Error retrieving credentials: external process exited with code exit status: 1. Stderr: hunter2",
        );
        let text = why(&error);
        assert!(text.contains("exit status: 1"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
