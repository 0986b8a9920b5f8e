//! What AWS's client tells only when asked: the name of an error, some headers, and where credentials come from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::Credentials as Keys;
use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

/// What a failed request says.
pub(super) struct Failure {
    /// S3's name of the error; empty where there was none.
    pub(super) code: String,
    /// 0 where no answer came.
    pub(super) status: u16,
    pub(super) text: String,
}

impl<E> From<SdkError<E>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let status = error.raw_response().map_or(0, |r| r.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let text = match (error.message(), status) {
            (Some(message), _) => format!("{code}, {message}"),
            (None, 0) => chain(&error),
            (None, _) => format!("HTTP {status} {code}"),
        };
        Self { code, status, text }
    }
}

/// An error and its causes, each once. (AWS's `DisplayErrorContext` adds a page of debug text.)
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string);
    let mut text = String::new();
    for cause in causes.filter(|c| !c.is_empty()) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The headers of responses that the client does not show.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Headers>>);

/// The last of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    /// The server's time, and ours when it came.
    pub(super) date: Option<(SystemTime, SystemTime)>,
    /// The bucket's.
    pub(super) region: Option<String>,
}

impl Seen {
    pub(super) fn headers(&self) -> Headers {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "doctor"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let date = headers
            .get("date")
            .and_then(|text| DateTime::from_str(text, DateTimeFormat::HttpDate).ok())
            .and_then(|date| SystemTime::try_from(date).ok());
        seen.date = date.map(|theirs| (theirs, SystemTime::now())).or(seen.date);
        if let Some(region) = headers.get("x-amz-bucket-region") {
            seen.region = Some(region.to_owned());
        }
        Ok(())
    }
}

/// Where credentials come from, as far as the chain tells.
pub(super) fn source(keys: &Keys) -> &'static str {
    let features = keys.get_property::<Vec<Feature>>();
    let has = |wanted: &[Feature]| features.is_some_and(|f| f.iter().any(|f| wanted.contains(f)));
    if has(&[Feature::CredentialsEnvVars]) {
        "from the environment"
    } else if has(&[
        Feature::CredentialsProfileProcess,
        Feature::CredentialsProcess,
    ]) {
        "from the profile's credential_process"
    } else if has(&[Feature::CredentialsProfileSso, Feature::CredentialsSso]) {
        "from a login (SSO)"
    } else if has(&[
        Feature::CredentialsEnvVarsStsWebIdToken,
        Feature::CredentialsProfileStsWebIdToken,
        Feature::CredentialsStsAssumeRoleWebId,
    ]) {
        "from a web identity token"
    } else if has(&[Feature::CredentialsStsAssumeRole]) {
        "from an assumed role"
    } else if has(&[Feature::CredentialsHttp]) {
        "from the container's role"
    } else if has(&[Feature::CredentialsImds]) {
        "from the machine's role"
    } else if has(&[Feature::CredentialsProfile]) {
        "from the profile"
    } else {
        "found"
    }
}
