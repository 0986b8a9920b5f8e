//! Where S3 is and how it is spoken to, from the standard AWS variables and the profile.
//!
//! | what | from |
//! |---|---|
//! | region | `AWS_REGION`, `AWS_DEFAULT_REGION`, profile; with an endpoint `us-east-1`; else the machine's own (IMDS) |
//! | endpoint | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, profile (`services`, then `endpoint_url`) |
//! | certificates | the system's (or `SSL_CERT_FILE`, `SSL_CERT_DIR`), and those in `AWS_CA_BUNDLE` or the profile's `ca_bundle` |
//! | path style | with an endpoint, unless `AWS_VIRTUAL_HOSTED_STYLE_REQUEST=true` |
//! | plain HTTP | to this machine; elsewhere only with `AWS_ALLOW_HTTP=true` |
//!
//! Nothing here is secret, and nothing here asks the network but a machine in AWS for its region.

use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::service_config::ServiceConfigKey;
use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use url::{Host, Url};

use super::StorageError;

/// Longest time that opening a connection may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of one request with its body.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest time that a request is tried again and again. More than two requests, so that one which hung is retried,
/// and less than five minutes, as a retry carries the signature of the first try.
const RETRY_TIMEOUT: Duration = Duration::from_secs(150);

/// What this process knows of S3, but for the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    region: String,
    endpoint: Option<Url>,
    virtual_hosted: bool,
    ca_bundle: Option<Arc<str>>,
}

impl Settings {
    /// Settings of a server at `endpoint`, or of AWS.
    ///
    /// # Errors
    /// When the endpoint is not an `http(s)://host` URL, or a plain HTTP one of another machine.
    pub fn new(region: &str, endpoint: Option<&str>) -> Result<Self, StorageError> {
        let endpoint = endpoint.map(|e| endpoint_url(e, false)).transpose()?;
        Ok(Self {
            region: region.to_owned(),
            virtual_hosted: endpoint.is_none(),
            endpoint,
            ca_bundle: None,
        })
    }

    /// The same, trusting the certificates of a PEM bundle besides the system's.
    ///
    /// # Errors
    /// When it holds no certificate.
    pub fn with_ca_bundle(mut self, pem: &str) -> Result<Self, StorageError> {
        let found = Certificate::from_pem_bundle(pem.as_bytes()).map_or(0, |c| c.len());
        if found == 0 {
            return Err(StorageError::Settings(
                "the CA bundle holds no certificate that can be read: expected a PEM file with \
                 -----BEGIN CERTIFICATE----- blocks"
                    .to_owned(),
            ));
        }
        self.ca_bundle = Some(pem.into());
        Ok(self)
    }

    /// Reads environment and profile.
    ///
    /// # Errors
    /// When one of them is wrong or no region is to be found; says which and what to do.
    pub async fn load() -> Result<Self, StorageError> {
        let regions = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new());
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(regions)
            .no_credentials()
            .load()
            .await;
        let endpoint = configured(&config, "AWS_ENDPOINT_URL", "endpoint_url")
            .map(|text| endpoint_url(&text, is_true("AWS_ALLOW_HTTP")))
            .transpose()?;
        let region = match (config.region(), &endpoint) {
            (Some(region), _) => Some(region.clone()),
            (None, Some(_)) => Some(Region::new("us-east-1")),
            (None, None) => ImdsRegionProvider::builder().build().region().await,
        };
        let region = region.ok_or_else(|| {
            StorageError::Settings(
                "no AWS region is known: set AWS_REGION, or `region` in the profile, or for another \
                 S3 server AWS_ENDPOINT_URL_S3"
                    .to_owned(),
            )
        })?;
        let virtual_hosted = endpoint.is_none() || is_true("AWS_VIRTUAL_HOSTED_STYLE_REQUEST");
        let settings = Self {
            region: region.to_string(),
            endpoint: endpoint.or_else(|| china(region.as_ref())),
            virtual_hosted,
            ca_bundle: None,
        };
        match configured(&config, "AWS_CA_BUNDLE", "ca_bundle") {
            None => Ok(settings),
            Some(file) => {
                let unusable =
                    |why: String| StorageError::Settings(format!("AWS_CA_BUNDLE {file}: {why}"));
                let pem = std::fs::read_to_string(&file).map_err(|e| unusable(e.to_string()))?;
                settings
                    .with_ca_bundle(&pem)
                    .map_err(|e| unusable(e.to_string()))
            }
        }
    }

    /// The region that requests are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The server, where it is not AWS.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Url> {
        self.endpoint.as_ref()
    }

    /// Whether requests go over plain HTTP.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|e| e.scheme() == "http")
    }

    /// Whether the bucket is in the path of a request, not in its host name.
    #[must_use]
    pub fn is_path_style(&self, bucket: &str) -> bool {
        // A certificate for *.s3.amazonaws.com does not cover a name with more dots.
        !self.virtual_hosted || bucket.contains('.')
    }

    /// Settings of an `object_store` client, without its credentials.
    pub(crate) fn object_store(&self, bucket: &str) -> Result<AmazonS3Builder, StorageError> {
        let mut client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT)
            .with_allow_http(self.is_plain_http());
        let pem = self.ca_bundle.as_deref().unwrap_or_default();
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|e| StorageError::Settings(format!("the CA bundle cannot be used: {e}")))?;
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
        let path_style = self.is_path_style(bucket);
        // Not `from_env`: it would take keys from the environment, once and for all, past our provider.
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!path_style)
            .with_allow_http(self.is_plain_http())
            .with_client_options(client)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(5),
                    base: 2.0,
                },
                max_retries: 10,
                retry_timeout: RETRY_TIMEOUT,
            });
        let Some(endpoint) = &self.endpoint else {
            return Ok(builder);
        };
        let mut endpoint = endpoint.clone();
        if !path_style {
            // `object_store` takes the endpoint of a virtual-hosted bucket as it is, without adding the bucket.
            let host = format!("{bucket}.{}", endpoint.host_str().unwrap_or_default());
            endpoint.set_host(Some(&host)).map_err(|e| {
                StorageError::Settings(format!(
                    "bucket {bucket:?} cannot be a part of the host name {host:?} ({e}): unset \
                     AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
                ))
            })?;
        }
        Ok(builder.with_endpoint(endpoint.as_str().trim_end_matches('/')))
    }

    /// A loader of AWS's own clients and credentials, which trusts what [`Settings::object_store`] trusts.
    pub(crate) fn aws(&self) -> Result<ConfigLoader, StorageError> {
        let mut trusted = TrustStore::default();
        if let Some(pem) = &self.ca_bundle {
            trusted.add_pem_certificate(pem.as_bytes());
        }
        let context = TlsContext::builder()
            .with_trust_store(trusted)
            .build()
            .map_err(|e| StorageError::Settings(format!("the CA bundle cannot be used: {e}")))?;
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        Ok(aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .region(Region::new(self.region.clone())))
    }
}

/// A variable (for S3 alone, then for all services), else the profile's value.
fn configured(config: &SdkConfig, variable: &str, profile: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env(variable)
        .profile(profile)
        .build()
        .ok()?;
    config
        .service_config()?
        .load_config(key)
        .filter(|value| !value.is_empty())
}

fn is_true(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|v| v.eq_ignore_ascii_case("true") || v == "1")
}

/// `object_store` knows `amazonaws.com` alone.
fn china(region: &str) -> Option<Url> {
    let host = format!("https://s3.{region}.amazonaws.com.cn");
    region
        .starts_with("cn-")
        .then(|| Url::parse(&host).ok())
        .flatten()
}

fn endpoint_url(text: &str, http_allowed: bool) -> Result<Url, StorageError> {
    // Its text stays out of the messages until it is known to hold no password.
    let wrong = |why: &str| {
        StorageError::Settings(format!(
            "the S3 endpoint (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's endpoint_url) {why}"
        ))
    };
    let url = Url::parse(text)
        .map_err(|_| wrong("is not a URL: expected https://host or https://host:port"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is neither an https:// nor an http:// URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds a user name or password: give credentials as AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or in a profile",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "holds a `?` or `#`: expected https://host or https://host:port",
        ));
    }
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_loopback && !http_allowed {
        return Err(StorageError::Settings(format!(
            "the S3 endpoint {url} is plain HTTP on another machine: anyone between could read and change the data. \
             Use https://, or set AWS_ALLOW_HTTP=true if that network is yours"
        )));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(endpoint: &str) -> String {
        Settings::new("r", Some(endpoint)).unwrap_err().to_string()
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in [
            "http://127.0.0.1:8333",
            "http://localhost:9000",
            "http://[::1]:1",
            "https://s3.example.org",
        ] {
            assert!(Settings::new("r", Some(good)).is_ok(), "{good}");
        }
        assert!(refusal("http://minio:9000").contains("AWS_ALLOW_HTTP=true"));
        assert!(endpoint_url("http://minio:9000", true).is_ok());
    }

    #[test]
    fn a_password_in_the_endpoint_is_refused_and_not_shown() {
        for url in [
            "https://user:hunter2@host",
            "https://hunter2@host",
            "hunter2",
            "ftp://h/hunter2",
        ] {
            assert!(!refusal(url).contains("hunter2"), "{url}");
        }
        assert!(refusal("https://host/?a").contains('?'));
    }

    #[test]
    fn a_bucket_goes_into_the_path_with_an_endpoint_and_into_the_host_without() {
        let aws = Settings::new("eu-west-1", None).unwrap();
        assert!(!aws.is_path_style("b"));
        assert!(aws.is_path_style("a.b"));
        let mut own = Settings::new("r", Some("https://s3.example.org:1/")).unwrap();
        assert!(own.is_path_style("b"));
        own.virtual_hosted = true;
        assert!(own.object_store("b").is_ok());
        assert_eq!(
            china("cn-north-1").unwrap().as_str(),
            "https://s3.cn-north-1.amazonaws.com.cn/"
        );
        assert_eq!(china("eu-west-1"), None);
    }

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        let settings = Settings::new("r", None).unwrap();
        assert!(settings.with_ca_bundle("nothing here").is_err());
    }
}
