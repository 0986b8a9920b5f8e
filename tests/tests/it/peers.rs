//! The peers that other tests rely on, a real S3 server and a proxy that breaks things, do what those tests believe.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, Checksum};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, MultipartUpload as _, ObjectStore,
    ObjectStoreExt as _, PutMode, PutPayload, RetryConfig, UpdateVersion,
};

use crate::proxy::{Action, Kind, Proxy, Rule, splitmix64};
use crate::seaweed::{Keys, Seaweed};
use crate::support::skip;

fn started() -> Option<Seaweed> {
    let seaweed = Seaweed::start();
    if seaweed.is_none() {
        skip("S3: no weed in GLEANER_WEED, next to GLEANER_PYTHON or in the path");
    }
    seaweed
}

/// Bytes that no compressor and no chance repeats.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let words =
        (0..length.div_ceil(8) as u64).flat_map(|i| splitmix64(seed ^ (i << 20)).to_le_bytes());
    words.take(length).collect()
}

fn retries(max_retries: usize) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(50),
            base: 2.0,
        },
        max_retries,
        retry_timeout: Duration::from_mins(1),
    }
}

fn through(seaweed: &Seaweed, proxy: &Proxy) -> AmazonS3 {
    let client = seaweed.client(&proxy.endpoint(), seaweed.admin());
    client.with_retry(retries(10)).build().unwrap()
}

async fn fetch(store: &impl ObjectStore, key: &Key) -> Result<Vec<u8>, Error> {
    Ok(store.get(key).await?.bytes().await?.into())
}

async fn create(store: &impl ObjectStore, key: &Key, bytes: &[u8]) -> Result<(), Error> {
    let payload = PutPayload::from(bytes.to_vec());
    store.put_opts(key, payload, PutMode::Create.into()).await?;
    Ok(())
}

/// Everything a warehouse asks of a store, and that it gets what it wrote.
async fn work(store: &impl ObjectStore, round: u64, large: &[u8]) -> Result<(), Error> {
    let key = |name: &str| Key::from(format!("work/{round}/{name}"));
    let small = noise(1000, round);
    store.put(&key("small"), small.clone().into()).await?;
    let mut upload = store.put_multipart(&key("large")).await?;
    for part in large.chunks(5 << 20) {
        upload.put_part(part.to_vec().into()).await?;
    }
    upload.complete().await?;
    assert_eq!(fetch(store, &key("small")).await?, small);
    assert_eq!(fetch(store, &key("large")).await?, large);
    assert_eq!(store.head(&key("large")).await?.size, large.len() as u64);
    let range = store.get_range(&key("large"), 5_200_000..5_300_000).await?;
    assert_eq!(range, large[5_200_000..5_300_000]);
    store.copy(&key("small"), &key("copy")).await?;
    let listed = store
        .list_with_delimiter(Some(&Key::from(format!("work/{round}"))))
        .await?;
    assert_eq!(listed.objects.len(), 3);
    for name in ["small", "large", "copy"] {
        store.delete(&key(name)).await?;
    }
    Ok(())
}

#[test]
fn a_server_stores_and_lets_in_whom_it_should() {
    let begin = Instant::now();
    let Some(seaweed) = started() else { return };
    println!("up in {:?}", begin.elapsed());
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("day=2025-01-01/a b")).unwrap();
    std::fs::write(dir.path().join("day=2025-01-01/one.ndjson"), "1").unwrap();
    std::fs::write(dir.path().join("day=2025-01-01/a b/two"), "2").unwrap();
    assert_eq!(seaweed.upload(dir.path(), "in"), 2);
    let keys = ["in/day=2025-01-01/a b/two", "in/day=2025-01-01/one.ndjson"];
    assert_eq!(seaweed.keys("in"), keys);
    assert_eq!(seaweed.read(keys[0]).unwrap(), b"2");
    seaweed.delete(keys[0]);
    assert_eq!(seaweed.read(keys[0]), None);
    assert_eq!(seaweed.keys(""), keys[1..]);

    let key = Key::from(keys[1]);
    let stranger = Keys {
        secret: "guessed".to_owned(),
        ..seaweed.admin().clone()
    };
    for endpoint in [seaweed.endpoint(), seaweed.tls_endpoint()] {
        let client = |keys: &Keys| {
            seaweed
                .client(&endpoint, keys)
                .with_retry(retries(0))
                .build()
                .unwrap()
        };
        let (admin, reader, stranger) = (
            client(seaweed.admin()),
            client(seaweed.reader()),
            client(&stranger),
        );
        seaweed.block_on(async {
            assert_eq!(fetch(&admin, &key).await.unwrap(), b"1");
            assert_eq!(fetch(&reader, &key).await.unwrap(), b"1");
            reader.list_with_delimiter(None).await.unwrap();
            let denied =
                |error: Error| assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
            denied(reader.put(&key, "x".into()).await.unwrap_err());
            denied(
                create(&reader, &Key::from("other"), b"x")
                    .await
                    .unwrap_err(),
            );
            denied(fetch(&stranger, &key).await.unwrap_err());
            reader.delete(&key).await.unwrap_err();
            admin.put(&Key::from("admin"), "x".into()).await.unwrap();
        });
    }
    assert_eq!(seaweed.read(keys[1]).unwrap(), b"1");

    for (endpoint, name) in [
        (seaweed.endpoint(), "AWS_ALLOW_HTTP"),
        (seaweed.tls_endpoint(), "SSL_CERT_FILE"),
    ] {
        let env = seaweed.env_of(&endpoint, seaweed.reader());
        assert!(env.iter().any(|(variable, _)| *variable == name));
    }
    let has = |name, value: &str| seaweed.env().contains(&(name, value.to_owned()));
    assert!(has("AWS_SECRET_ACCESS_KEY", &seaweed.admin().secret));
    assert_eq!(Seaweed::bucket(), "gleaner");
    assert!(!seaweed.log().contains(&seaweed.admin().secret));
}

#[test]
fn three_servers_run_at_once_and_leave_nothing() {
    let begin = Instant::now();
    let seaweeds: Option<Vec<Seaweed>> = std::thread::scope(|scope| {
        let starting = [(); 3].map(|()| scope.spawn(started));
        starting
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    let Some(seaweeds) = seaweeds else { return };
    println!("three at once up in {:?}", begin.elapsed());
    for (i, seaweed) in seaweeds.iter().enumerate() {
        seaweed.put("who", format!("{i}"));
    }
    for (i, seaweed) in seaweeds.iter().enumerate() {
        assert_eq!(seaweed.read("who").unwrap(), format!("{i}").into_bytes());
    }
    let (endpoint, ca) = (seaweeds[0].endpoint(), seaweeds[0].ca_path());
    drop(seaweeds);
    let address = endpoint.trim_start_matches("http://");
    assert!(TcpStream::connect(address).is_err(), "it outlived its test");
    assert!(!Path::new(&ca).exists());
}

#[test]
fn a_server_ends_with_its_test_even_if_that_is_killed() {
    const KILLED: &str = "GLEANER_TEST_TO_BE_KILLED";
    let Some(seaweed) = started() else { return };
    if std::env::var_os(KILLED).is_some() {
        println!(" {}", seaweed.endpoint());
        return std::thread::sleep(Duration::from_mins(1));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["a_server_ends_with_its_test", "--nocapture"])
        .env(KILLED, "")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(test.stdout.take().unwrap());
    let address = said
        .lines()
        .find_map(|line| Some(line.unwrap().split_once("http://")?.1.to_owned()))
        .unwrap();
    TcpStream::connect(&address).unwrap();
    test.kill().unwrap();
    test.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "it outlived its test");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn all_work_is_done_although_one_request_in_ten_fails() {
    let Some(seaweed) = started() else { return };
    let rules = vec![
        Rule::new("slow down", Action::SLOW_DOWN).chance(0.05),
        Rule::new("internal error", Action::INTERNAL_ERROR).chance(0.05),
    ];
    let proxy = Proxy::start(&seaweed.endpoint(), 1, rules);
    let store = through(&seaweed, &proxy);
    let large = noise(6 << 20, 1);
    for round in 0..12 {
        seaweed.block_on(work(&store, round, &large)).unwrap();
    }
    println!("{}", proxy.report());
    proxy.all_fired();
    assert_eq!(proxy.failed(), 0);
    assert_eq!(seaweed.keys("work"), [""; 0]);
    for kind in [
        Kind::Get,
        Kind::GetRange,
        Kind::Head,
        Kind::List,
        Kind::Put,
        Kind::PutPart,
        Kind::Copy,
    ] {
        assert!(proxy.requests()[&kind] >= 12, "{kind:?}");
    }
    for kind in [Kind::UploadStart, Kind::UploadComplete, Kind::DeleteMany] {
        assert!(proxy.requests()[&kind] >= 12, "{kind:?}");
    }

    // The same seed and the same requests: the same faults.
    let fired = |seed| {
        let proxy = Proxy::start(
            &seaweed.endpoint(),
            seed,
            vec![Rule::new("drop", Action::SLOW_DOWN).chance(0.3)],
        );
        let store = seaweed
            .client(&proxy.endpoint(), seaweed.admin())
            .with_retry(retries(0))
            .build()
            .unwrap();
        let heads = (0..40).map(|_| seaweed.block_on(store.head(&Key::from("none"))));
        heads
            .map(|head| matches!(head, Err(Error::NotFound { .. })))
            .collect::<Vec<bool>>()
    };
    assert_eq!(fired(7), fired(7));
    assert_ne!(fired(7), fired(8));
}

#[test]
fn a_create_whose_answer_is_lost_took_effect() {
    let Some(seaweed) = started() else { return };
    let on = &[Kind::PutCreate];
    let rules = vec![
        Rule::new("answer lost", Action::Lose).on(on).path("/lost"),
        Rule::new("answer lost once", Action::Lose)
            .on(on)
            .path("/once")
            .limit(1),
        Rule::new("answer denied", Action::LOST_500)
            .on(on)
            .path("/denied")
            .limit(1),
        Rule::new("never came", Action::Drop)
            .on(on)
            .path("/dropped"),
        Rule::new("conflict", Action::CONFLICT)
            .on(on)
            .path("/conflict")
            .limit(1),
        Rule::new("precondition", Action::PRECONDITION)
            .on(on)
            .path("/precondition"),
    ];
    let proxy = Proxy::start(&seaweed.endpoint(), 1, rules);
    let store = through(&seaweed, &proxy);
    let outcome = |name: &str| {
        let result = seaweed.block_on(create(&store, &Key::from(name), b"mine"));
        println!(
            "{name}: {}",
            result
                .as_ref()
                .map_or_else(ToString::to_string, |()| "Ok".to_owned())
        );
        (result, seaweed.read(name).is_some())
    };
    assert!(matches!(outcome("clean"), (Ok(()), true)));
    assert!(matches!(
        outcome("clean"),
        (Err(Error::AlreadyExists { .. }), true)
    ));
    assert!(matches!(
        outcome("lost"),
        (Err(Error::Generic { .. }), true)
    ));
    // The client tries again, even where the connection ended, and takes its own object for another's.
    assert!(matches!(
        outcome("once"),
        (Err(Error::AlreadyExists { .. }), true)
    ));
    assert!(matches!(
        outcome("denied"),
        (Err(Error::AlreadyExists { .. }), true)
    ));
    assert!(matches!(
        outcome("dropped"),
        (Err(Error::Generic { .. }), false)
    ));
    assert!(matches!(
        outcome("conflict"),
        (Err(Error::AlreadyExists { .. }), false)
    ));
    assert!(matches!(
        outcome("precondition"),
        (Err(Error::AlreadyExists { .. }), false)
    ));
    proxy.heal();
    assert!(matches!(outcome("dropped"), (Ok(()), true)));
    proxy.all_fired();

    let proxy = Proxy::start(
        &seaweed.endpoint(),
        1,
        vec![
            Rule::new("update conflict", Action::CONFLICT)
                .on(&[Kind::PutUpdate])
                .nth(1),
        ],
    );
    let store = through(&seaweed, &proxy);
    seaweed.block_on(async {
        let key = Key::from("clean");
        let version = async || {
            let e_tag = store.head(&key).await.unwrap().e_tag;
            PutMode::Update(UpdateVersion {
                e_tag,
                version: None,
            })
        };
        let old = version().await;
        store
            .put_opts(&key, "second".into(), old.clone().into())
            .await
            .unwrap();
        let late = store.put_opts(&key, "late".into(), old.into()).await;
        assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");
    });
    proxy.all_fired();
    assert_eq!(seaweed.read("clean").unwrap(), b"second");
}

#[test]
fn broken_answers_reach_the_client_as_they_should() {
    let Some(seaweed) = started() else { return };
    let bytes = noise(1 << 20, 5);
    seaweed.put("object", bytes.clone());
    let get = |action: Action, limit| {
        let rule = Rule::new("fault", action)
            .on(&[Kind::Get, Kind::GetRange])
            .limit(limit);
        let proxy = Proxy::start(&seaweed.endpoint(), 3, vec![rule]);
        let store = through(&seaweed, &proxy);
        let begin = Instant::now();
        let got = seaweed.block_on(fetch(&store, &Key::from("object")));
        let range = GetOptions {
            range: Some(GetRange::Bounded(0..500_000)),
            ..GetOptions::default()
        };
        let ranged = seaweed.block_on(async {
            store
                .get_opts(&Key::from("object"), range)
                .await?
                .bytes()
                .await
        });
        let short = |result: Result<&[u8], &Error>| match result {
            Ok(got) => format!(
                "{} bytes, {} wrong",
                got.len(),
                got.iter().zip(&bytes).filter(|(a, b)| a != b).count()
            ),
            Err(error) => error.to_string(),
        };
        println!(
            "{action:?}: whole: {}; range: {}; {:?}; {}",
            short(got.as_deref()),
            short(ranged.as_deref()),
            begin.elapsed(),
            proxy.report()
        );
        (got, begin.elapsed(), proxy)
    };
    let (got, _, proxy) = get(Action::Short, u64::MAX);
    assert!(got.is_err());
    proxy.all_fired();
    let (_, _, proxy) = get(Action::Short, 1);
    assert_eq!(proxy.fired("fault"), 1);
    // Nothing in object_store notices: whoever needs to must check the bytes.
    let (got, _, proxy) = get(Action::Corrupt, u64::MAX);
    assert_eq!(proxy.fired("fault"), 2);
    let got = got.unwrap();
    let bits: u32 = got
        .iter()
        .zip(&bytes)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!((got.len(), bits), (bytes.len(), 1));
    let slow = Action::Slow {
        delay: Duration::from_millis(300),
        piece: 300_000,
        pause: Duration::from_millis(100),
    };
    let (got, took, _) = get(slow, 1);
    assert_eq!(got.unwrap(), bytes);
    assert!(took > Duration::from_millis(600));
    let (got, took, _) = get(Action::delay(Duration::from_millis(200)), 1);
    assert_eq!(got.unwrap(), bytes);
    assert!(took > Duration::from_millis(200));
    let (got, _, _) = get(Action::Drop, 2);
    assert_eq!(got.unwrap(), bytes);
    let (got, _, _) = get(Action::Lose, 2);
    assert_eq!(got.unwrap(), bytes);
}

#[test]
fn a_request_that_is_corrupted_on_its_way_is_refused_if_it_carries_a_checksum() {
    let Some(seaweed) = started() else { return };
    let bytes = noise(100_000, 9);
    let put = |name: &str, checksum: bool, parts: bool| {
        let rule = Rule::new("flip", Action::CorruptRequest).on(&[Kind::Put, Kind::PutPart]);
        let proxy = Proxy::start(&seaweed.endpoint(), 4, vec![rule]);
        let mut client = seaweed.client(&proxy.endpoint(), seaweed.admin());
        if checksum {
            client = client.with_checksum_algorithm(Checksum::SHA256);
        }
        let store = client.build().unwrap();
        let key = Key::from(name);
        let payload = PutPayload::from(bytes.clone());
        let result = seaweed.block_on(async {
            if !parts {
                return store.put(&key, payload).await;
            }
            let mut upload = store.put_multipart(&key).await?;
            upload.put_part(payload).await?;
            upload.complete().await
        });
        let said = result
            .as_ref()
            .map_or_else(ToString::to_string, |_| "Ok".to_owned());
        println!("{name}: {said}; {}", proxy.report());
        proxy.all_fired();
        (result.is_ok(), seaweed.read(name))
    };
    assert_eq!(put("checksum", true, false), (false, None));
    assert_eq!(put("checksum-parts", true, true), (false, None));
    // Without one `SeaweedFS` takes it, though AWS would refuse what does not match the signature's digest.
    for parts in [false, true] {
        let name = format!("plain-{parts}");
        let (taken, stored) = put(&name, false, parts);
        assert!(!taken || stored.unwrap() != bytes);
    }
}
