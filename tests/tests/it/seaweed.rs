//! A real S3 server for a test: `SeaweedFS` on loopback, with a bucket, two identities, HTTP and HTTPS.
//!
//! Its helpers block, so they are for tests that are not async themselves.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{
    Certificate, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::runtime::Runtime;

const BUCKET: &str = "gleaner";
const REGION: &str = "us-east-1";

/// The ports that a server listens on, by flag; each has its own, or it would take the usual one.
const PORTS: [&str; 11] = [
    "s3.port",
    "s3.port.https",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
];

/// Waits for the end of its input, kills the process group, and removes the sockets that the server leaves for its
/// ports, whatever it is told of temporary directories.
const WATCHDOG: &str = r#"
    read _
    kill -s KILL -- "-$0"
    for port; do rm -f /tmp/seaweedfs-*-"$port".sock; done
"#;

/// An identity's name and secret.
#[derive(Clone, Debug)]
pub struct Keys {
    pub id: String,
    pub secret: String,
}

impl Keys {
    /// Keys that nothing else has, so that a test can look for a leak of them.
    pub fn unique(name: &str) -> Self {
        let random = || RandomState::new().hash_one(name);
        Self {
            id: format!("{name}{:016x}", random()),
            secret: format!("secret{:016x}{:016x}", random(), random()),
        }
    }
}

/// A server that ends with the test.
pub struct Seaweed {
    admin: Keys,
    reader: Keys,
    store: Option<AmazonS3>,
    runtime: Runtime,
    server: Child,
    /// Ends the server when the test drops it, and also when the test is killed.
    watchdog: Child,
    ports: Ports,
    dir: tempfile::TempDir,
}

impl Seaweed {
    /// A server with keys of its own; nothing where there is no `weed` to be found.
    pub fn start() -> Option<Self> {
        Self::start_with(&Keys::unique("admin"), &Keys::unique("reader"))
    }

    /// The same with these keys: one identity may do all, the other only read and list the bucket.
    pub fn start_with(admin: &Keys, reader: &Keys) -> Option<Self> {
        let weed = binary()?;
        let mut said = String::new();
        for _ in 0..5 {
            let mut server = Self::spawn(&weed, admin, reader);
            match server.wait_until_ready() {
                Ok(()) => return Some(server),
                Err(why) => said = format!("{why}\n{}", server.log()),
            }
        }
        panic!("{} does not start: {said}", weed.display());
    }

    fn spawn(weed: &Path, admin: &Keys, reader: &Keys) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        std::fs::create_dir(path("data")).unwrap();
        certify(dir.path());
        let identity = |name: &str, keys: &Keys, actions: &[&str]| {
            serde_json::json!({
                "name": name,
                "credentials": [{"accessKey": keys.id, "secretKey": keys.secret}],
                "actions": actions,
            })
        };
        let all = ["Admin", "Read", "Write", "List", "Tagging"];
        let read = [format!("Read:{BUCKET}"), format!("List:{BUCKET}")];
        let read = read.each_ref().map(String::as_str);
        let identities = serde_json::json!({"identities": [
            identity("admin", admin, &all),
            identity("reader", reader, &read),
        ]});
        std::fs::write(path("s3.json"), identities.to_string()).unwrap();

        let ports = Ports::claim();
        let log = File::create(path("log")).unwrap();
        let server = Command::new(weed)
            .args(["-logtostderr=true", "mini"])
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-master.telemetry=false", "-admin.ui=false"])
            .args(["-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
            .args(["-s3.autoCreateBucket=false", "-volume.max=16"])
            .arg("-master.volumeSizeLimitMB=256")
            .arg(format!("-bucket={BUCKET}"))
            .arg(format!("-dir={}", path("data")))
            .arg(format!("-s3.config={}", path("s3.json")))
            .arg(format!("-s3.localSocket={}", path("s3.sock")))
            .arg(format!("-s3.cert.file={}", path("server.pem")))
            .arg(format!("-s3.key.file={}", path("server.key")))
            .args(PORTS.map(|flag| format!("-{flag}={}", ports.of(flag))))
            .env_clear()
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .current_dir(dir.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .arg(server.id().to_string())
            .args(PORTS.map(|flag| ports.of(flag).to_string()))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut seaweed = Self {
            admin: admin.clone(),
            reader: reader.clone(),
            store: None,
            runtime,
            server,
            watchdog,
            ports,
            dir,
        };
        let client = seaweed.client(&seaweed.endpoint(), admin);
        seaweed.store = Some(client.build().unwrap());
        seaweed
    }

    /// Waits until it stores and returns an object, and lets both identities list, over HTTP and over HTTPS.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let once = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let clients = [
            self.client(&self.endpoint(), &self.admin),
            self.client(&self.tls_endpoint(), &self.reader),
        ];
        let [admin, reader] =
            clients.map(|client| client.with_retry(once.clone()).build().unwrap());
        let probe = object_store::path::Path::from(".ready");
        let ready = async || {
            admin.put(&probe, "ready".into()).await?;
            reader.get(&probe).await?.bytes().await?;
            reader.list_with_delimiter(None).await?;
            admin.delete(&probe).await
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let Err(why) = self.runtime.block_on(ready()) else {
                return Ok(());
            };
            if let Some(status) = self.server.try_wait().unwrap() {
                return Err(format!("ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("not ready in time: {why}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the server said so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.of("s3.port"))
    }

    pub fn tls_endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.of("s3.port.https"))
    }

    /// The certificate of the authority that signed the HTTPS port's, in PEM.
    pub fn ca_path(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn bucket() -> &'static str {
        BUCKET
    }

    /// The identity that may do all.
    pub fn admin(&self) -> &Keys {
        &self.admin
    }

    /// The identity that may only read and list.
    pub fn reader(&self) -> &Keys {
        &self.reader
    }

    /// The variables that a process needs to be the admin, over HTTP.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.env_of(&self.endpoint(), &self.admin)
    }

    /// The variables that a process needs to be someone at an endpoint: ours, our HTTPS one or a proxy's.
    pub fn env_of(&self, endpoint: &str, keys: &Keys) -> Vec<(&'static str, String)> {
        let ca = self.ca_path().to_string_lossy().into_owned();
        let mut env = vec![
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
        ];
        if endpoint.starts_with("https:") {
            env.extend([("SSL_CERT_FILE", ca.clone()), ("AWS_CA_BUNDLE", ca)]);
        } else {
            env.push(("AWS_ALLOW_HTTP", "true".to_owned()));
        }
        env
    }

    /// A client of the bucket, to be given more options and built.
    pub fn client(&self, endpoint: &str, keys: &Keys) -> AmazonS3Builder {
        let ca = std::fs::read(self.ca_path()).unwrap();
        let options = ClientOptions::new()
            .with_allow_http(true)
            .with_root_certificate(Certificate::from_pem(&ca).unwrap());
        AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region(REGION)
            .with_endpoint(endpoint)
            .with_access_key_id(&keys.id)
            .with_secret_access_key(&keys.secret)
            .with_client_options(options)
    }

    /// Runs something async, a client's calls say.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn store(&self) -> &AmazonS3 {
        self.store.as_ref().unwrap()
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let key = key.into();
        self.block_on(self.store().put(&key, bytes.into().into()))
            .unwrap();
    }

    /// Copies what is below a local directory below a prefix; returns how many files that were.
    pub fn upload(&self, root: &Path, prefix: &str) -> usize {
        let files = crate::support::tree(root);
        for file in &files {
            let key = format!("{prefix}/{}", file.to_string_lossy());
            self.put(&key, std::fs::read(root.join(file)).unwrap());
        }
        files.len()
    }

    /// The keys below a prefix, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let list = self.store().list(Some(&prefix.into()));
        let mut keys: Vec<String> = self
            .block_on(list.map_ok(|meta| meta.location.into()).try_collect())
            .unwrap();
        keys.sort();
        keys
    }

    /// An object's bytes, if there is one.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        let read = async { self.store().get(&key.into()).await?.bytes().await };
        match self.block_on(read) {
            Ok(bytes) => Some(bytes.into()),
            Err(Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// Deletes an object.
    pub fn delete(&self, key: &str) {
        self.block_on(self.store().delete(&key.into())).unwrap();
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The program: `GLEANER_WEED`, or `weed` next to the interpreter `GLEANER_PYTHON`, or `weed` in the path.
fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("GLEANER_WEED") {
        return Some(named.into());
    }
    let python = std::env::var_os("GLEANER_PYTHON").map(PathBuf::from);
    let beside = python.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = beside.into_iter().chain(std::env::split_paths(&path));
    candidates.find_map(|directory| {
        let weed = directory.join("weed");
        weed.is_file().then_some(weed)
    })
}

/// A row of ports that no other test takes, in this process or another: they lie below those that the system hands
/// out itself, and whoever holds the first has them all.
struct Ports {
    first: u16,
    _held: TcpListener,
}

impl Ports {
    fn claim() -> Self {
        const ROWS: u16 = 1000;
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() % u32::from(ROWS)) as u16;
        for _ in 0..ROWS {
            let row = (start + NEXT.fetch_add(1, Ordering::Relaxed) % ROWS) % ROWS;
            let first = 12_000 + 16 * row;
            let free = |port| TcpListener::bind(("127.0.0.1", port)).ok();
            if let Some(held) = free(first)
                && (1..=PORTS.len() as u16).all(|i| free(first + i).is_some())
            {
                return Self { first, _held: held };
            }
        }
        panic!("no {} free ports in a row", PORTS.len());
    }

    fn of(&self, flag: &str) -> u16 {
        let place = PORTS.iter().position(|port| *port == flag).unwrap();
        self.first + 1 + place as u16
    }
}

/// Makes an authority `ca.pem`, and `server.pem` with `server.key` for loopback.
fn certify(dir: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "the test's authority");
    let key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let server = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&server, &issuer)
        .unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("server.key"), server.serialize_pem()).unwrap();
}
