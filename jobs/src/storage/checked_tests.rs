use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;

const K: u64 = 1024;

/// What becomes of the bodies of the next GETs.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Fault {
    None,
    /// Flips a bit of the last byte.
    Flip,
    /// Loses the last byte.
    Cut,
    /// Fails in the middle.
    Break,
}

#[derive(Debug)]
pub(in crate::storage) struct Faulty {
    pub(in crate::storage) inner: InMemory,
    faults: Mutex<Vec<Fault>>,
    gets: AtomicUsize,
    asked: Mutex<Vec<Option<GetRange>>>,
    /// An `ETag` in place of the store's own.
    pub(in crate::storage) etag: Mutex<Option<String>>,
}

impl Faulty {
    pub(in crate::storage) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            faults: Mutex::default(),
            gets: AtomicUsize::new(0),
            asked: Mutex::default(),
            etag: Mutex::default(),
        })
    }

    /// The first is for the next GET.
    pub(in crate::storage) fn set(&self, faults: &[Fault]) {
        *self.faults.lock().unwrap() = faults.iter().rev().copied().collect();
        self.gets.store(0, Ordering::SeqCst);
        self.asked.lock().unwrap().clear();
    }

    fn gets(&self) -> usize {
        assert!(
            self.faults.lock().unwrap().is_empty(),
            "a fault did not fire"
        );
        self.gets.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, l: &Path, p: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(l, p, o).await
    }

    async fn put_multipart_opts(
        &self,
        l: &Path,
        o: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(l, o).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap().push(options.range.clone());
        let mut etag = self.etag.lock().unwrap().clone();
        let options = GetOptions {
            if_match: options.if_match.filter(|_| etag.is_none()),
            ..options
        };
        let result = self.inner.get_opts(location, options).await?;
        let fault = self.faults.lock().unwrap().pop().unwrap_or(Fault::None);
        let (mut meta, range, attributes) = (
            result.meta.clone(),
            result.range.clone(),
            result.attributes.clone(),
        );
        meta.e_tag = etag.take().or(meta.e_tag);
        let mut bytes = result.bytes().await?.to_vec();
        match fault {
            Fault::Flip => *bytes.last_mut().unwrap() ^= 4,
            Fault::Cut => drop(bytes.pop()),
            Fault::None | Fault::Break => {}
        }
        // Odd pieces, as from a network.
        let mut pieces: Vec<Result<Bytes>> = bytes
            .chunks(100_003)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        if let Fault::Break = fault {
            let half = pieces.len() / 2;
            pieces[half] = Err(Error::Generic {
                store: "test",
                source: "connection reset".into(),
            });
        }
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter(pieces).boxed()),
            meta,
            range,
            attributes,
        })
    }

    fn delete_stream(
        &self,
        l: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(l)
    }

    fn list(&self, p: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(p)
    }

    async fn list_with_delimiter(&self, p: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(p).await
    }

    async fn copy_opts(&self, f: &Path, t: &Path, o: CopyOptions) -> Result<()> {
        self.inner.copy_opts(f, t, o).await
    }
}

fn bytes(len: u64) -> Bytes {
    let mut x = 1_u32;
    let next = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_be_bytes()[0]
    };
    (0..len).map(next).collect()
}

async fn stored(len: u64) -> (Arc<Faulty>, Checked, Path, Bytes) {
    let inner = Faulty::new();
    let store = Checked::new(Arc::clone(&inner) as _);
    let (path, bytes) = (Path::from("a/b"), bytes(len));
    upload(&store, &path, bytes.clone()).await.unwrap();
    (inner, store, path, bytes)
}

#[tokio::test]
async fn every_range_is_as_from_the_store_itself() {
    for len in [0, 1, 256 * K, 600 * K + 7, 9 << 20] {
        let (inner, store, path, _) = stored(len).await;
        let whole = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(whole, bytes(len));
        let edges = [
            0,
            1,
            256 * K - 1,
            256 * K,
            256 * K + 1,
            512 * K,
            len.saturating_sub(1),
            len,
            len + 9,
        ];
        let mut ranges: Vec<_> = edges
            .iter()
            .flat_map(|n| [GetRange::Offset(*n), GetRange::Suffix(*n)])
            .collect();
        for from in edges {
            ranges.extend(edges.map(|to| GetRange::Bounded(from..to)));
        }
        for range in ranges {
            let options = || GetOptions::new().with_range(Some(range.clone()));
            let plain = inner.inner.get_opts(&path, options()).await;
            let checked = store.get_opts(&path, options()).await;
            match (plain, checked) {
                (Ok(plain), Ok(checked)) => {
                    assert_eq!(plain.range, checked.range, "{len} {range}");
                    assert_eq!(plain.meta, checked.meta);
                    assert!(
                        checked.attributes.is_empty(),
                        "{len} {range} {:?}",
                        checked.attributes
                    );
                    assert_eq!(
                        plain.bytes().await.unwrap(),
                        checked.bytes().await.unwrap(),
                        "{len} {range}"
                    );
                }
                (Err(_), Err(_)) => {}
                // InMemory alone: S3 refuses an empty range.
                (Ok(plain), Err(_)) => assert!(plain.range.is_empty(), "{len} {range}"),
                (Err(e), Ok(_)) => panic!("{len} {range}: {e}"),
            }
        }
    }
}

#[tokio::test]
async fn a_range_costs_one_request_below_80_mib_and_a_second_above() {
    let (inner, store, path, all) = stored(2 << 20).await;
    inner.set(&[]);
    store.get_range(&path, 300 * K..301 * K).await.unwrap();
    let asked = inner.asked.lock().unwrap().clone();
    assert_eq!(asked, [Some(GetRange::Bounded(256 * K..512 * K))]);
    inner.set(&[]);
    let end = GetOptions::new().with_range(Some(GetRange::Suffix(8)));
    let end = store
        .get_opts(&path, end)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(end, all.slice(all.len() - 8..));
    assert_eq!(inner.gets(), 1);

    let (inner, store, path, all) = stored(81 << 20).await;
    inner.set(&[]);
    let some = store.get_range(&path, 700 * K..701 * K).await.unwrap();
    assert_eq!(some, all.slice(700 << 10..701 << 10));
    assert_eq!(inner.gets(), 2);
}

#[tokio::test]
async fn a_damaged_short_or_broken_body_is_fetched_again() {
    let (inner, store, path, all) = stored(900 * K).await;
    for fault in [Fault::Flip, Fault::Cut, Fault::Break] {
        for times in 1..=RETRIES {
            inner.set(&vec![fault; times]);
            let read = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(read, all);
            assert_eq!(inner.gets(), times + 1);
            inner.set(&vec![fault; times]);
            let read = store.get_range(&path, 700 * K..900 * K).await.unwrap();
            assert_eq!(read, all.slice(700 << 10..));
            assert_eq!(inner.gets(), times + 1);
        }
        inner.set(&[fault; RETRIES + 1]);
        let error = store.get_range(&path, 0..1).await.unwrap_err().to_string();
        assert!(
            error.contains("a/b") || matches!(fault, Fault::Break),
            "{error}"
        );
        assert_eq!(inner.gets(), RETRIES + 1);
    }
}

#[tokio::test]
async fn an_object_overwritten_with_a_flipped_bit_is_an_error() {
    let (inner, store, path, all) = stored(600 * K).await;
    let attributes = inner.inner.get(&path).await.unwrap().attributes;
    let mut flipped = all.to_vec();
    flipped[300_000] ^= 1;
    let options = PutOptions::from(attributes);
    inner
        .inner
        .put_opts(&path, flipped.into(), options)
        .await
        .unwrap();
    // The other blocks are still good.
    assert!(store.get_range(&path, 0..100).await.is_ok());
    for range in [0..600 * K, 299_000..299_001] {
        let error = store.get_range(&path, range).await.unwrap_err().to_string();
        assert!(
            error.contains("a/b arrived damaged: bytes 262144 to 524287"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn checksums_that_do_not_fit_are_an_error_and_those_of_a_newer_version_are_left() {
    let (inner, store, path, _) = stored(10).await;
    for (text, is_read) in [
        ("1:262144:9:AAAAAA==", false),
        ("1:rubbish", false),
        ("2:whatever", true),
    ] {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(CHECKSUMS.into()), text.into());
        let options = PutOptions::from(attributes);
        inner
            .inner
            .put_opts(&path, bytes(10).into(), options)
            .await
            .unwrap();
        assert_eq!(store.get(&path).await.is_ok(), is_read, "{text}");
    }
}

#[tokio::test]
async fn a_foreign_object_is_checked_against_its_md5_where_it_has_one() {
    for len in [0, 10, 9 << 20] {
        let inner = Faulty::new();
        let store = Checked::new(Arc::clone(&inner) as _);
        let path = Path::from("foreign");
        inner.inner.put(&path, bytes(len).into()).await.unwrap();
        let read = async || store.get(&path).await?.bytes().await;
        assert_eq!(read().await.unwrap(), bytes(len));
        *inner.etag.lock().unwrap() = Some(format!("\"{}\"", hex_md5(&bytes(len))));
        assert_eq!(read().await.unwrap(), bytes(len));
        if len > 0 {
            // A small one is fetched again; a large one has been handed on already.
            inner.set(&[Fault::Flip]);
            assert_eq!(read().await.is_ok(), len <= SMALL_BYTES);
            inner.set(&[Fault::Cut]);
            assert_eq!(read().await.is_ok(), len <= SMALL_BYTES);
        }
        *inner.etag.lock().unwrap() = Some("\"00000000000000000000000000000000\"".to_owned());
        assert!(
            read()
                .await
                .unwrap_err()
                .to_string()
                .contains("foreign arrived damaged")
        );
        *inner.etag.lock().unwrap() = Some("\"00000000000000000000000000000000-2\"".to_owned());
        assert!(read().await.is_ok());
        if len > 0 {
            inner.set(&[Fault::Cut]);
            assert!(read().await.is_err(), "a short body");
        }
    }
}

#[test]
fn the_etag_of_an_object_with_a_kms_key_is_no_md5() {
    let mut attributes = Attributes::new();
    let meta = ObjectMeta {
        location: Path::from("a"),
        last_modified: chrono::Utc::now(),
        size: 1,
        e_tag: Some("\"0123456789ABCDEF0123456789abcdef\"".to_owned()),
        version: None,
    };
    let md5 = md5_of(&meta, &attributes);
    assert_eq!(md5.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    attributes.insert(Attribute::Metadata(OPAQUE_ETAG.into()), "1".into());
    assert_eq!(md5_of(&meta, &attributes), None);
    assert_eq!(OPAQUE_ETAG_HEADER, format!("x-amz-meta-{OPAQUE_ETAG}"));
}

#[tokio::test]
async fn a_body_that_breaks_often_is_read_as_long_as_it_gets_on() {
    let (inner, store, path, all) = stored(4 << 20).await;
    inner.set(&[Fault::Break; RETRIES + 1]);
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), all);
    assert_eq!(inner.gets(), RETRIES + 2);
}

#[tokio::test]
async fn conditions_and_heads_go_through() {
    let (inner, store, path, _) = stored(10).await;
    let etag = store.head(&path).await.unwrap().e_tag;
    let get = async |options| store.get_opts(&path, options).await;
    assert!(
        get(GetOptions::new().with_if_match(etag.clone()))
            .await
            .is_ok()
    );
    let error = get(GetOptions::new().with_if_match(Some("x")))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }));
    let error = get(GetOptions::new().with_if_none_match(etag))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotModified { .. }));
    // Replaced between the first body and the second one.
    inner.set(&[Fault::Flip]);
    let first = store.get(&path).await.unwrap();
    store.put(&path, bytes(11).into()).await.unwrap();
    assert!(matches!(
        first.bytes().await.unwrap_err(),
        Error::Precondition { .. }
    ));
}

#[tokio::test]
async fn an_upload_works_on_local_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    for len in [0, 100, 20 << 20] {
        let path = Path::from("x/y");
        upload(&store, &path, bytes(len)).await.unwrap();
        assert_eq!(
            store.get(&path).await.unwrap().bytes().await.unwrap(),
            bytes(len)
        );
    }
}
