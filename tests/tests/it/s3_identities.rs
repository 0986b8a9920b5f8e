//! Credentials from everywhere that AWS's chain looks, fetched and renewed while a day runs, and seen by nobody.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::cloud::{Cloud, Setup};
use crate::processes::{Cluster, Setup as Processes};
use crate::s3::{DAY, digests, env, gleaner, server, well};
use crate::seaweed::{Keys, Seaweed};
use crate::support::Dir;

const ROLE: &str = "arn:aws:iam::123456789012:role/analyst";
/// SHA-1 of the session's name, `mine`: so is the file named that `aws sso login` leaves.
const SSO_CACHE: &str = "home/.aws/sso/cache/8034c43d15bb7ef42e2cc24255217acfc5f4b2f4.json";

/// Where keys come from, and what the doctor calls it.
#[derive(Clone, Copy, Debug)]
enum Source {
    WebIdentity,
    Role,
    Sso,
    Container,
    Machine,
    Process,
}

const SOURCES: [(Source, &str); 6] = [
    (Source::WebIdentity, "from a web identity token"),
    (Source::Role, "from the profile"),
    (Source::Sso, "from a login (SSO)"),
    (Source::Container, "from the container's role"),
    (Source::Machine, "from the machine's role"),
    (Source::Process, "from the profile's credential_process"),
];

/// The variables of a process that finds nothing but what a test puts there.
pub fn bare(cloud: &Cloud, dir: &Dir) -> Vec<(String, String)> {
    let services = ["S3", "STS", "SSO", "SSO_OIDC"];
    let services = services.map(|name| (format!("AWS_ENDPOINT_URL_{name}"), cloud.url()));
    let more = [
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_CONFIG_FILE", dir.join("config")),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("HOME", dir.join("home")),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    services.into_iter().chain(more).collect()
}

impl Source {
    /// The variables and files through which a process finds this source.
    fn found(self, cloud: &Cloud, base: &Keys, dir: &Dir) -> Vec<(String, String)> {
        let secret = &cloud.secret;
        let mut profile = String::new();
        let variables = match self {
            Self::WebIdentity => vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", dir.write("token", secret)),
                ("AWS_ROLE_ARN", ROLE.to_owned()),
            ],
            Self::Role => {
                profile = format!(
                    "role_arn = {ROLE}\nsource_profile = base\nexternal_id = {secret}\n\
                     [profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                    base.id, base.secret
                );
                vec![]
            }
            Self::Sso => {
                // What a login of last week left: the token is over, and may be renewed.
                let login = serde_json::json!({
                    "accessToken": "over", "expiresAt": "2025-01-01T00:00:00Z", "region": "us-east-1",
                    "startUrl": "https://example.awsapps.com/start", "refreshToken": secret,
                    "clientId": "client", "clientSecret": "client's", "registrationExpiresAt": "2099-01-01T00:00:00Z",
                });
                dir.write(SSO_CACHE, login.to_string());
                "sso_session = mine\nsso_account_id = 123456789012\nsso_role_name = analyst\n\
                 [sso-session mine]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n"
                    .clone_into(&mut profile);
                vec![]
            }
            Self::Container => vec![
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    cloud.url() + "/container",
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret.clone()),
            ],
            Self::Machine => vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.url()),
            ],
            Self::Process => {
                let script = format!(
                    "#!/bin/bash\nexec 3<>/dev/tcp/{}\nprintf 'GET /process HTTP/1.0\\r\\n\\r\\n' >&3\n\
                     answer=$(sed '1,/^\\r$/d' <&3)\ncase $answer in {{*) echo \"$answer\";; \
                     *) echo 'it says {secret}' >&2; exit 1;; esac\n",
                    cloud.url().replace("http://", "").replace(':', "/")
                );
                let program = dir.write("keys.sh", script);
                let runs = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(&program, runs).unwrap();
                profile = format!("credential_process = {program}\n");
                vec![]
            }
        };
        let mut found = bare(cloud, dir);
        dir.write("config", format!("[profile job]\n{profile}"));
        if !profile.is_empty() {
            found.push(("AWS_PROFILE".to_owned(), "job".to_owned()));
        }
        let variables = variables.into_iter();
        // A later one wins.
        found.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        found
    }
}

/// A day's telemetry in the bucket, and its digests.
fn expected(server: &Seaweed, lines: &str) -> String {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--lines", lines, "--rows-per-file", "400"]);
    server.upload(telemetry.as_ref(), "telemetry");
    assert!(day(&env(server), "expected", &[]).0);
    digests(&env(server), "s3://gleaner/expected")
}

fn day(env: &[(String, String)], name: &str, more: &[&str]) -> (bool, String) {
    let to = format!("s3://gleaner/{name}");
    let from = "s3://gleaner/telemetry";
    let common = [
        "run",
        "--date",
        DAY,
        "--telemetry",
        from,
        "--warehouse",
        &to,
    ];
    let (good, out, err) = gleaner(env, &[&common, more].concat());
    (good, out + &err)
}

fn no_secret(cloud: &Cloud, what: &str, said: &str) {
    for secret in cloud.secrets() {
        assert!(!said.contains(&secret), "{what} shows a secret: {said}");
    }
}

#[test]
fn every_source_of_keys_is_asked_again_while_a_day_runs() {
    let Some(server) = server() else { return };
    let expected = expected(&server, "1200");
    let direct = env(&server);
    let job = |(source, name): (Source, &str)| {
        let dir = Dir::new();
        let base = Keys::unique("AKIA");
        let place = format!("s3://gleaner/{source:?}");
        let setup = Setup {
            life: Duration::from_hours(1),
            base: Some(base.clone()),
            ..Setup::default()
        };
        let cloud = Cloud::start(&server, setup.clone());
        let mut env = source.found(&cloud, &base, &dir);
        env.push(("RUST_LOG".to_owned(), "trace".to_owned()));
        let (good, out, err) = gleaner(&env, &["doctor", "--warehouse", &place]);
        assert!(good && out.contains(name), "{source:?}: {out}");
        assert!(err.contains("TRACE"), "nothing was logged");
        no_secret(&cloud, "the doctor", &(out + &err));

        let dir = Dir::new();
        let setup = Setup {
            life: Duration::from_secs(3),
            pause: Duration::from_millis(8),
            ..setup
        };
        let cloud = Cloud::start(&server, setup);
        let mut env = source.found(&cloud, &base, &dir);
        env.push(("RUST_LOG".to_owned(), "debug".to_owned()));
        let (good, said) = day(&env, &format!("{source:?}"), &[]);
        let refused = cloud.refused();
        assert!(good, "{source:?}: {refused:?} {said}");
        no_secret(&cloud, "a run", &said);
        // A key that is over is refused, and the run with it: so they were renewed in time.
        assert!(refused.is_empty(), "{source:?}: {refused:?}");
        let (issued, used) = cloud.keys();
        assert!(used >= 3, "{source:?}: {used} of {issued}");
        assert_eq!(digests(&direct, &place), expected, "{source:?}");
        println!("{source:?}: {issued} keys, {used} used");
    };
    std::thread::scope(|scope| {
        let jobs = SOURCES.map(|source| scope.spawn(move || job(source)));
        for job in jobs {
            job.join().unwrap();
        }
    });
}

#[test]
fn each_process_of_a_cluster_finds_keys_for_itself() {
    let Some(server) = server() else { return };
    let expected = expected(&server, "1200");
    let dir = Dir::new();
    let life = Duration::from_hours(1);
    let setup = Setup {
        life,
        ..Setup::default()
    };
    let cloud = Cloud::start(&server, setup);
    let env = Source::WebIdentity.found(&cloud, server.admin(), &dir);
    let buckets = ("GLEANER_BUCKETS".to_owned(), "gleaner".to_owned());
    let log = ("RUST_LOG".to_owned(), "debug".to_owned());
    let setup = Processes {
        env: [&env[..], &[buckets, log]].concat(),
        ..Processes::default()
    };
    let cluster = Cluster::start(&dir, setup);
    let (good, said) = day(&env, "cluster", &["--cluster", &cluster.url]);
    assert!(good, "{:?} {said}", cloud.refused());
    assert_eq!(
        digests(&crate::s3::env(&server), "s3://gleaner/cluster"),
        expected
    );
    // The driver, the scheduler, which looks at files to plan, and two executors; and each one's thread that loads models.
    let (issued, used) = cloud.keys();
    assert!((4..=8).contains(&issued) && used >= 4, "{used} of {issued}");
    for file in crate::support::tree(dir.path()) {
        if !file.ends_with("token") {
            let bytes = std::fs::read(dir.path().join(&file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            no_secret(&cloud, &file.to_string_lossy(), &text);
        }
    }
}

#[test]
fn a_day_whose_keys_are_not_renewed_ends_by_name_and_is_run_again() {
    let Some(server) = server() else { return };
    let expected = expected(&server, "1200");
    let dir = Dir::new();
    let setup = Setup {
        life: Duration::from_secs(2),
        pause: Duration::from_millis(50),
        most: Some(1),
        ..Setup::default()
    };
    let cloud = Cloud::start(&server, setup);
    let mut env = Source::Process.found(&cloud, server.admin(), &dir);
    env.push(("RUST_LOG".to_owned(), "debug".to_owned()));
    let (good, said) = day(&env, "renewed", &[]);
    assert!(!good, "{said}");
    assert!(said.contains("what it printed is not shown"), "{said}");
    no_secret(&cloud, "a failed run", &said);
    let direct = crate::s3::env(&server);
    let to = "s3://gleaner/renewed";
    let published = ["sql", "--json", "--warehouse", to, "SELECT * FROM runs"];
    let (there, rows, _) = gleaner(&direct, &published);
    assert!(!there || rows.is_empty(), "{rows}");
    assert!(day(&direct, "renewed", &[]).0);
    assert_eq!(digests(&direct, to), expected);
}

#[test]
fn keys_of_the_environment_come_with_their_token() {
    let Some(server) = server() else { return };
    let dir = Dir::new();
    let life = Duration::from_hours(1);
    let setup = Setup {
        life,
        ..Setup::default()
    };
    let cloud = Cloud::start(&server, setup);
    let (keys, token) = cloud.hand_out();
    let mut env = bare(&cloud, &dir);
    let given = [
        ("AWS_ACCESS_KEY_ID", keys.id),
        ("AWS_SECRET_ACCESS_KEY", keys.secret),
        ("AWS_SESSION_TOKEN", token),
        ("RUST_LOG", "trace".to_owned()),
    ];
    env.extend(given.map(|(name, value)| (name.to_owned(), value)));
    let (good, out, err) = gleaner(&env, &["doctor", "--warehouse", "s3://gleaner/w"]);
    assert!(good && out.contains("from the environment"), "{out}");
    no_secret(&cloud, "the doctor", &(out + &err));
    server.put("telemetry/a.ndjson", event("whoami"));
    let (good, said) = day(&env, "environment", &["--through", "commands"]);
    assert!(good && cloud.refused().is_empty(), "{said}");
    no_secret(&cloud, "a run", &said);
    // With another token they are worth nothing.
    env.push(("AWS_SESSION_TOKEN".to_owned(), "another".to_owned()));
    let (good, out, _) = gleaner(&env, &["doctor", "--warehouse", "s3://gleaner/w"]);
    assert!(!good && out.contains("refuses the credentials"), "{out}");
}

pub fn event(command_line: &str) -> String {
    let row = serde_json::json!({
        "event_time": "2025-01-01T10:00:00Z", "command_line": command_line, "host": "h",
    });
    format!("{row}\n")
}

#[test]
fn a_service_that_gives_no_keys_is_quoted_in_a_sentence() {
    let Some(server) = server() else { return };
    let well_kept = well(&env(&server), &["doctor", "--warehouse", "s3://gleaner/w"]);
    assert!(!well_kept.contains("FAILED"));
    for (source, name) in SOURCES {
        let dir = Dir::new();
        let setup = Setup {
            most: Some(0),
            base: Some(Keys::unique("AKIA")),
            ..Setup::default()
        };
        let base = setup.base.clone().unwrap();
        let cloud = Cloud::start(&server, setup);
        let env = source.found(&cloud, &base, &dir);
        let (good, out, err) = gleaner(&env, &["doctor", "--warehouse", "s3://gleaner/w"]);
        assert!(
            !good && out.contains("FAILED  credentials: "),
            "{name}: {out}"
        );
        assert!(out.contains("could not be fetched: "), "{name}: {out}");
        let raw = ["Error {", "Response {", "at offset"];
        assert!(!raw.iter().any(|raw| out.contains(raw)), "{name}: {out}");
        no_secret(&cloud, name, &(out + &err));
    }
}
