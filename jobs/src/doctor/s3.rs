//! The trials of a bucket, with AWS's own client: it names the errors that `object_store` folds together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_credential_types::Credentials as Keys;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, CompletedMultipartUpload, CompletedPart};
use futures::future::join_all;

use super::client::{Failure, Seen, source};
use super::{Access, Check};
use crate::storage::{S3, tail};

const PART_BYTES: usize = 5 << 20;
const RACERS: usize = 8;
const SKEW_WARNING_SECS: u64 = 60;
/// AWS refuses requests signed with a clock that is further off.
const SKEW_FAILURE_SECS: u64 = 900;
const OPERATION_TIMEOUT: Duration = Duration::from_mins(1);

struct Trial<'a> {
    s3: &'a S3,
    client: Client,
    seen: Seen,
    bucket: &'a str,
    prefix: &'a str,
    /// `prefix/_doctor/<chance>/`
    ours: String,
    /// Keys written, with their versions.
    made: Mutex<Vec<(String, Option<String>)>>,
}

pub(super) async fn check(s3: &S3, bucket: &str, prefix: &str, access: Access) -> Vec<Check> {
    let mut checks = vec![transport(s3)];
    let keys = match s3.credentials.keys().await {
        Ok(keys) => keys,
        Err(error) => {
            checks.push(Check::failed(
                "credentials",
                error.to_string(),
                "`aws sts get-caller-identity` shows whether AWS's own tools find some",
            ));
            return checks;
        }
    };
    checks.push(Check::ok(
        "credentials",
        format!("{}, key …{}", source(&keys), tail(&keys)),
    ));
    let trial = match Trial::new(s3, keys, bucket, prefix).await {
        Ok(trial) => trial,
        Err(error) => {
            checks.push(Check::failed(
                "settings",
                error,
                "put it right and ask again",
            ));
            return checks;
        }
    };
    let bucket = trial.bucket().await;
    let is_reached = bucket.iter().all(|c| c.outcome != super::Outcome::Failed);
    checks.extend(bucket);
    checks.extend(trial.clock());
    if is_reached && access == Access::Write {
        match trial.write().await {
            Ok(check) => {
                checks.push(check);
                checks.push(trial.conditions().await);
                checks.push(trial.parts().await);
                checks.push(trial.versioning().await);
            }
            Err(check) => checks.push(check),
        }
        checks.extend(trial.remove().await);
    }
    checks
}

fn transport(s3: &S3) -> Check {
    let settings = &s3.settings;
    let region = settings.region();
    match settings.endpoint() {
        None => Check::ok("server", format!("AWS, region {region}, TLS")),
        Some(url) if !settings.is_plain_http() => {
            Check::ok("server", format!("{url}, region {region}, TLS"))
        }
        Some(url) => Check::warning(
            "server",
            format!("{url}, region {region}, plain HTTP"),
            "use https:// for anything but a test: data and requests go over the network in the clear",
        ),
    }
}

impl<'a> Trial<'a> {
    async fn new(s3: &'a S3, keys: Keys, bucket: &'a str, prefix: &'a str) -> Result<Self, String> {
        let seen = Seen::default();
        // A run's client: where the endpoint is an address, AWS's own would quietly not put the bucket before it.
        s3.settings
            .object_store(bucket)
            .map_err(|e| e.to_string())?;
        let loader = s3.settings.aws().map_err(|e| e.to_string())?;
        let config = loader.credentials_provider(keys).load().await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(crate::storage::CONNECT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut config = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(s3.settings.is_path_style(bucket))
            .timeout_config(timeouts)
            // A retry of a conditional put would find the object that the first try wrote.
            .retry_config(RetryConfig::disabled())
            .interceptor(seen.clone());
        config.set_endpoint_url(s3.settings.endpoint().map(ToString::to_string));
        let slash = if prefix.is_empty() { "" } else { "/" };
        Ok(Self {
            s3,
            client: Client::from_conf(config.build()),
            seen,
            bucket,
            prefix,
            ours: format!("{prefix}{slash}_doctor/{}/", uuid::Uuid::new_v4()),
            made: Mutex::default(),
        })
    }

    fn note(&self, key: &str, version: Option<&str>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push((key.to_owned(), version.map(str::to_owned)));
    }

    /// Reaches the bucket and lists it.
    async fn bucket(&self) -> Vec<Check> {
        let (bucket, prefix) = (self.bucket, self.prefix);
        let list = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .max_keys(1);
        let failure = match list.send().await {
            Ok(_) => {
                return vec![
                    Check::ok("bucket", format!("bucket {bucket} exists")),
                    Check::ok("listing", format!("s3://{bucket}/{prefix} can be listed")),
                ];
            }
            Err(error) => Failure::from(error),
        };
        let Failure { code, status, text } = &failure;
        let check = match (code.as_str(), status) {
            (_, 0) => Check::failed(
                "bucket",
                format!("the server was not reached: {text}"),
                "look at the endpoint, the network, and for a certificate of your own at AWS_CA_BUNDLE",
            ),
            ("NoSuchBucket", _) => Check::failed(
                "bucket",
                format!("bucket {bucket} does not exist"),
                "make it, or look for a typing error; `aws s3 ls` lists those of your account",
            ),
            (
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 307) => {
                let elsewhere = self
                    .seen
                    .headers()
                    .region
                    .unwrap_or_else(|| "another region".to_owned());
                let region = self.s3.settings.region();
                Check::failed(
                    "bucket",
                    format!("bucket {bucket} is in {elsewhere}, not in {region} ({text})"),
                    format!("set AWS_REGION to the bucket's region ({elsewhere})"),
                )
            }
            (
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken",
                _,
            ) => Check::failed(
                "credentials",
                format!("the server refuses the credentials: {text}"),
                "they are wrong or too old for this server: log in again, or look at key and secret",
            ),
            ("RequestTimeTooSkewed", _) => Check::failed(
                "clock",
                format!("the server refuses requests of this machine's time: {text}"),
                "set the clock (NTP)",
            ),
            (_, 403) => {
                // May not list: does it exist at all?
                let head = self.client.head_bucket().bucket(bucket).send().await;
                let exists = match head.map_err(Failure::from) {
                    Ok(_) => "exists",
                    Err(Failure { status: 404, .. }) => "does not exist",
                    Err(_) => "exists, or its existence is not told",
                };
                Check::failed(
                    "listing",
                    format!(
                        "bucket {bucket} {exists}, and s3://{bucket}/{prefix} may not be listed: {text}"
                    ),
                    "allow these credentials s3:ListBucket on the bucket",
                )
            }
            _ => Check::failed(
                "bucket",
                format!("bucket {bucket} cannot be used: {text}"),
                "ask its owner",
            ),
        };
        vec![check]
    }

    fn clock(&self) -> Option<Check> {
        let (theirs, ours) = self.seen.headers().date?;
        let off = ours
            .duration_since(theirs)
            .unwrap_or_else(|e| e.duration())
            .as_secs();
        let sentence = format!("this clock and the server's differ by {off} seconds");
        let hint = "set the clock (NTP): beyond 900 seconds every request is refused";
        Some(match off {
            SKEW_FAILURE_SECS.. => Check::failed("clock", sentence, hint),
            SKEW_WARNING_SECS.. => Check::warning("clock", sentence, hint),
            _ => Check::ok("clock", "this clock and the server's agree"),
        })
    }

    async fn put(&self, key: &str, body: Vec<u8>, is_new: bool) -> Result<(), Failure> {
        let condition = is_new.then(|| "*".to_owned());
        let put = self.client.put_object().bucket(self.bucket).key(key);
        let put = put
            .set_if_none_match(condition)
            .body(ByteStream::from(body));
        match put.send().await {
            Ok(done) => {
                self.note(key, done.version_id());
                Ok(())
            }
            Err(error) => {
                let failure = Failure::from(error);
                // It may have arrived all the same.
                if failure.status == 0 || failure.status >= 500 {
                    self.note(key, None);
                }
                Err(failure)
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        let get = self
            .client
            .get_object()
            .bucket(self.bucket)
            .key(key)
            .send()
            .await;
        let body = get.map_err(|e| Failure::from(e).text)?.body.collect().await;
        Ok(body.map_err(|e| e.to_string())?.to_vec())
    }

    async fn write(&self) -> Result<Check, Check> {
        let name = "writing";
        let at = format!("s3://{}/{}", self.bucket, self.prefix);
        let key = format!("{}write", self.ours);
        let hint = "allow these credentials s3:PutObject, s3:GetObject and s3:DeleteObject below the prefix";
        self.put(&key, key.clone().into_bytes(), false)
            .await
            .map_err(|f| {
                Check::failed(name, format!("{at} cannot be written to: {}", f.text), hint)
            })?;
        match self.get(&key).await {
            Ok(bytes) if bytes == key.as_bytes() => {}
            Ok(_) => {
                let sentence = format!("what was written to {at} was read back changed");
                return Err(Check::failed(
                    name,
                    sentence,
                    "do not use this server, or what lies between",
                ));
            }
            Err(e) => {
                let sentence = format!("what was written to {at} cannot be read: {e}");
                return Err(Check::failed(name, sentence, hint));
            }
        }
        let delete = self
            .client
            .delete_object()
            .bucket(self.bucket)
            .key(&key)
            .send()
            .await;
        match delete.map_err(Failure::from) {
            // The mark that a versioned bucket puts in place of what is deleted.
            Ok(deleted) if deleted.version_id().is_some() => self.note(&key, deleted.version_id()),
            Ok(_) => {}
            Err(failure) => {
                let sentence =
                    format!("{at} can be written to, not deleted from: {}", failure.text);
                return Err(Check::failed(name, sentence, hint));
            }
        }
        Ok(Check::ok(
            name,
            format!("{at} can be written to, read and deleted from"),
        ))
    }

    /// Every commit stands on this: of writers who write one name at once, one wins.
    async fn conditions(&self) -> Check {
        let name = "conditional writes";
        let ignored = |what: String| {
            Check::failed(
                name,
                format!("{what}: two runs of one day could both commit"),
                "use a server that honours If-None-Match on PutObject (AWS does), or a newer version of this one",
            )
        };
        let twice = format!("{}twice", self.ours);
        let first = self.put(&twice, vec![1], true).await;
        match (first, self.put(&twice, vec![2], true).await) {
            (Err(failure), _) => {
                return ignored(format!(
                    "a conditional write was refused ({})",
                    failure.text
                ));
            }
            (Ok(()), Ok(())) => return ignored("the server ignores If-None-Match".to_owned()),
            (Ok(()), Err(failure)) if failure.status != 412 => {
                return ignored(format!(
                    "a second conditional write got HTTP {} in place of 412 ({})",
                    failure.status, failure.text
                ));
            }
            _ => {}
        }
        let race = format!("{}race", self.ours);
        let racers = (0..RACERS).map(|n| self.put(&race, n.to_string().into_bytes(), true));
        let winners: Vec<_> = (0..RACERS)
            .zip(join_all(racers).await)
            .filter_map(|(n, result)| result.is_ok().then(|| n.to_string().into_bytes()))
            .collect();
        let stored = self.get(&race).await;
        match (winners.as_slice(), stored) {
            ([winner], Ok(stored)) if *winner == stored => Check::ok(
                name,
                format!("honoured; of {RACERS} writers at once, one won"),
            ),
            ([_], Ok(_)) => {
                ignored("of several writers at once another won than the server said".to_owned())
            }
            ([_], Err(e)) => ignored(format!(
                "what the winner of several writers wrote cannot be read ({e})"
            )),
            (winners, _) => ignored(format!(
                "of {RACERS} writers at once, {} won",
                winners.len()
            )),
        }
    }

    async fn parts(&self) -> Check {
        let key = format!("{}parts", self.ours);
        match self.upload_parts(&key).await {
            Ok(()) => Check::ok("multipart", "an upload in two parts works"),
            Err(error) => Check::failed(
                "multipart",
                format!("an upload in two parts failed: {error}"),
                "files above 8 MiB are written so: allow s3:PutObject and s3:AbortMultipartUpload, or use another server",
            ),
        }
    }

    async fn upload_parts(&self, key: &str) -> Result<(), String> {
        let (client, bucket) = (&self.client, self.bucket);
        let create = client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .send()
            .await;
        let upload = create.map_err(|e| Failure::from(e).text)?;
        let id = upload.upload_id().unwrap_or_default();
        let uploaded = async {
            let mut parts = Vec::new();
            for (number, bytes) in [(1, vec![1; PART_BYTES]), (2, vec![2; 10])] {
                let part = client.upload_part().bucket(bucket).key(key).upload_id(id);
                let part = part
                    .part_number(number)
                    .body(ByteStream::from(bytes))
                    .send()
                    .await;
                let part = part.map_err(|e| Failure::from(e).text)?;
                parts.push(
                    CompletedPart::builder()
                        .part_number(number)
                        .set_e_tag(part.e_tag().map(str::to_owned))
                        .set_checksum_crc32(part.checksum_crc32().map(str::to_owned))
                        .build(),
                );
            }
            let parts = CompletedMultipartUpload::builder()
                .set_parts(Some(parts))
                .build();
            let complete = client.complete_multipart_upload().bucket(bucket).key(key);
            let complete = complete.upload_id(id).multipart_upload(parts).send().await;
            let done = complete.map_err(|e| Failure::from(e).text)?;
            self.note(key, done.version_id());
            let bytes = self.get(key).await?;
            if bytes.len() == PART_BYTES + 10 && bytes[PART_BYTES - 1..=PART_BYTES] == [1, 2] {
                return Ok(());
            }
            Err(format!(
                "{} bytes came back, not those that were sent",
                bytes.len()
            ))
        };
        let result: Result<(), String> = uploaded.await;
        if result.is_err() {
            // Parts of an upload that is never completed are billed for ever.
            let abort = client.abort_multipart_upload().bucket(bucket).key(key);
            let _ = abort.upload_id(id).send().await;
        }
        result
    }

    async fn versioning(&self) -> Check {
        let name = "versioning";
        let asked = self
            .client
            .get_bucket_versioning()
            .bucket(self.bucket)
            .send()
            .await;
        match asked.map_err(Failure::from) {
            Ok(found) if found.status() == Some(&BucketVersioningStatus::Enabled) => {
                Check::warning(
                    name,
                    "on: files that a run replaces stay, and are billed",
                    "let a lifecycle rule of the bucket expire noncurrent versions",
                )
            }
            Ok(_) => Check::ok(name, "off"),
            Err(failure) => Check::warning(
                name,
                format!("not known: {}", failure.text),
                "if it is on, files that a run replaces stay, and are billed",
            ),
        }
    }

    /// Removes what was made; `None` when nothing stays.
    async fn remove(&self) -> Option<Check> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stays = Vec::new();
        for (key, version) in made {
            let delete = self.client.delete_object().bucket(self.bucket).key(&key);
            let delete = delete.set_version_id(version);
            if let Err(error) = delete.send().await {
                stays.push(format!("{key} ({})", Failure::from(error).text));
            }
        }
        (!stays.is_empty()).then(|| {
            Check::warning(
                "tidying up",
                format!("could not be removed again: {}", stays.join(", ")),
                "remove them by hand",
            )
        })
    }
}
