//! Reads that are verified end to end: what was written through [`Checked`] is read back bit for bit, or not at all.
//!
//! S3 verifies what arrives there (SHA-256, see [`settings`](super::settings)) and, over HTTP, nothing guards the way
//! back but TCP's 16 bits; a proxy, a cache or a self-made S3 server may damage bytes as well. So an object carries the
//! CRC-32 of each of its blocks in its metadata, which every GET brings along, whatever range it asks for. A range is
//! widened to whole blocks; a block that does not match is fetched again.
//!
//! An object of somebody else's carries none. Read whole, it is checked against its `ETag` where that is its MD5.
//!
//! Blocks have 256 KiB (a CRC-32 is meant for such lengths), and more in objects of more than 80 MiB: AWS allows 2 KB of
//! metadata. Cost: a range read fetches up to two blocks too much; an end of the file (`GetRange::Suffix`) one; memory
//! of a stream is one block. Objects above 80 MiB cost a second request where the first fell short of their blocks.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult,
    GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::StorageError;
use super::checksums::{BLOCK_BYTES, CHECKSUMS, Checksums, VERSION, to_usize, widen};

/// Put into the attributes of a GET by [`registry`](super::registry) where the `ETag` is no MD5 though it looks like one:
/// the object is encrypted with a key of KMS or of the customer.
const OPAQUE_ETAG: &str = "gleaner-opaque-etag";
/// The same as a header, as `object_store` sees it.
pub(crate) const OPAQUE_ETAG_HEADER: &str = "x-amz-meta-gleaner-opaque-etag";

/// How often a damaged block is fetched again.
const RETRIES: usize = 3;
/// Up to this size, [`upload`] is one request, and an object checked by its MD5 is held back until it is whole.
const SMALL_BYTES: u64 = 8 << 20;
/// Parts of an upload in flight.
const PARTS_AT_ONCE: usize = 4;
/// S3 takes 10,000 parts.
const MAX_PARTS: u64 = 9_000;

/// An object store whose reads are verified.
#[derive(Clone, Debug)]
pub struct Checked {
    inner: Arc<dyn ObjectStore>,
}

impl Checked {
    /// Verifies the reads of a store that keeps attributes.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }

    /// A GET whose checksums are readable and fit the object.
    async fn get_with_checksums(
        &self,
        location: &Path,
        options: &GetOptions,
    ) -> Result<(GetResult, Option<Checksums>)> {
        for _ in 0..=RETRIES {
            let mut result = self.inner.get_opts(location, options.clone()).await?;
            match take_checksums(&mut result.attributes) {
                // A newer version's are not known here.
                Some(text) if text.split(':').next() == Some(VERSION) => {
                    let sums = Checksums::decode(&text).filter(|s| s.size == result.meta.size);
                    if let Some(sums) = sums {
                        return Ok((result, Some(sums)));
                    }
                }
                _ => return Ok((result, None)),
            }
        }
        Err(damaged(location, "its checksums do not fit it"))
    }

    async fn unverified(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.inner.get_opts(location, options).await?;
        take_checksums(&mut result.attributes);
        Ok(result)
    }
}

/// Out of the reader's sight: they would be wrong for whatever it writes next with these attributes.
fn take_checksums(attributes: &mut Attributes) -> Option<AttributeValue> {
    attributes.remove(&Attribute::Metadata(CHECKSUMS.into()))
}

/// Writes an object whose bytes are all at hand: in parts where it is large, and with its checksums where `store`
/// verifies reads.
///
/// # Errors
/// When it cannot be written; the parts written so far are removed then.
pub async fn upload(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<PutResult> {
    let size = bytes.len() as u64;
    if size <= SMALL_BYTES {
        return store
            .put_opts(path, bytes.into(), PutOptions::default())
            .await;
    }
    let mut options = PutMultipartOptions::default();
    // As an extension, not as an attribute: local files refuse attributes, and every store ignores extensions.
    options.extensions.insert(Checksums::of([&bytes], size));
    let mut upload = store.put_multipart_opts(path, options).await?;
    let part_bytes = to_usize(SMALL_BYTES.max(size.div_ceil(MAX_PARTS)));
    let parts: Vec<_> = (0..bytes.len())
        .step_by(part_bytes)
        .map(|at| bytes.slice(at..bytes.len().min(at + part_bytes)))
        .map(|part| upload.put_part(part.into()))
        .collect();
    let parts = stream::iter(parts).buffer_unordered(PARTS_AT_ONCE);
    match parts.try_collect::<Vec<()>>().await {
        Ok(_) => upload.complete().await,
        Err(error) => {
            // The first error is the one to tell.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

#[async_trait]
impl ObjectStore for Checked {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        let size = payload.content_length() as u64;
        Checksums::of(payload.as_ref(), size).put_into(&mut opts.attributes);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        mut opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if let Some(sums) = opts.extensions.remove::<Checksums>() {
            sums.put_into(&mut opts.attributes);
        }
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let wide = match &options.range {
            _ if options.head => return self.unverified(location, options).await,
            None => None,
            Some(GetRange::Bounded(range)) if !range.is_empty() => {
                Some(GetRange::Bounded(widen(range, BLOCK_BYTES)))
            }
            Some(GetRange::Offset(at)) => Some(GetRange::Offset(at / BLOCK_BYTES * BLOCK_BYTES)),
            Some(GetRange::Suffix(n)) if *n > 0 => {
                Some(GetRange::Suffix(n.saturating_add(BLOCK_BYTES)))
            }
            // Wrong: let the store say how.
            Some(_) => return self.unverified(location, options).await,
        };
        let ask = GetOptions {
            range: wide,
            ..options.clone()
        };
        let (result, sums) = self.get_with_checksums(location, &ask).await?;
        let wanted = match &options.range {
            None => 0..result.meta.size,
            Some(range) => range
                .as_range(result.meta.size)
                .map_err(|e| Error::Generic {
                    store: "S3",
                    source: Box::new(e),
                })?,
        };
        let (meta, attributes) = (result.meta.clone(), result.attributes.clone());
        let again = Again {
            store: Arc::clone(&self.inner),
            location: location.clone(),
            options: GetOptions {
                if_match: meta.e_tag.clone().or_else(|| options.if_match.clone()),
                version: options.version.clone(),
                extensions: options.extensions.clone(),
                ..GetOptions::default()
            },
        };
        let md5 = md5_of(&meta, &attributes).filter(|_| options.range.is_none());
        let stream = match (sums, md5) {
            (Some(sums), _) => blocks(again, result, sums, wanted.clone()),
            (None, Some(md5)) if meta.size <= SMALL_BYTES => {
                let bytes = again.whole(result, &md5).await?;
                stream::once(async { Ok(bytes) }).boxed()
            }
            (None, md5) => unblocked(location.clone(), result, &wanted, md5),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream),
            meta,
            range: wanted,
            attributes,
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checked({})", self.inner)
    }
}

/// Fetches a part of the same object once more.
struct Again {
    store: Arc<dyn ObjectStore>,
    location: Path,
    options: GetOptions,
}

impl Again {
    async fn get(&self, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..self.options.clone()
        };
        let result = self.store.get_opts(&self.location, options).await?;
        Ok(result.into_stream())
    }

    /// The whole object, matching its MD5.
    async fn whole(&self, result: GetResult, md5: &str) -> Result<Bytes> {
        let size = to_usize(result.meta.size);
        let mut body = result.into_stream();
        for _ in 0..RETRIES {
            match collect(body, size).await {
                Ok(bytes) if hex_md5(&bytes) == md5 => return Ok(bytes),
                _ => body = self.get(None).await?,
            }
        }
        let bytes = collect(body, size).await?;
        if hex_md5(&bytes) == md5 {
            return Ok(bytes);
        }
        Err(damaged(&self.location, "its MD5 is not its ETag"))
    }
}

async fn collect(mut body: BoxStream<'static, Result<Bytes>>, size: usize) -> Result<Bytes> {
    let mut whole = BytesMut::with_capacity(size);
    while let Some(piece) = body.try_next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The state of a stream of verified blocks.
struct Blocks {
    again: Again,
    sums: Checksums,
    wanted: Range<u64>,
    /// The next block's start, and the end of the last one.
    left: Range<u64>,
    body: Option<BoxStream<'static, Result<Bytes>>>,
    /// Bytes of `body` before `left`.
    skip: u64,
    /// What is left of the last piece of `body`.
    piece: Bytes,
    retries: usize,
}

fn blocks(
    again: Again,
    result: GetResult,
    sums: Checksums,
    wanted: Range<u64>,
) -> BoxStream<'static, Result<Bytes>> {
    let left = sums.cover(&wanted);
    let has = result.range.clone();
    let fits = has.start <= left.start && left.end <= has.end;
    let blocks = Blocks {
        skip: if fits { left.start - has.start } else { 0 },
        body: fits.then(|| result.into_stream()),
        piece: Bytes::new(),
        retries: 0,
        again,
        sums,
        wanted,
        left,
    };
    stream::try_unfold(blocks, |mut blocks| async {
        Ok(blocks.next().await?.map(|bytes| (bytes, blocks)))
    })
    .boxed()
}

impl Blocks {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let Some((block, crc)) = self.sums.block(self.left.start) else {
            return Err(damaged(&self.again.location, "its checksums end before it"));
        };
        loop {
            let error = match self.take(block.end - block.start).await {
                Ok(bytes) if crc32fast::hash(&bytes) == crc => {
                    // Only what is damaged again and again is given up.
                    self.retries = 0;
                    self.left.start = block.end;
                    let from = self.wanted.start.saturating_sub(block.start);
                    let to = self.wanted.end.min(block.end) - block.start;
                    return Ok(Some(bytes.slice(to_usize(from)..to_usize(to))));
                }
                Ok(_) => damaged(
                    &self.again.location,
                    &format!(
                        "bytes {} to {} do not match their checksum",
                        block.start,
                        block.end - 1
                    ),
                ),
                // Another object is there now: no use to ask again.
                Err(error @ (Error::Precondition { .. } | Error::NotFound { .. })) => {
                    return Err(error);
                }
                Err(error) => error,
            };
            if self.retries == RETRIES {
                return Err(error);
            }
            log::warn!("fetching again: {error}");
            self.retries += 1;
            self.body = None;
        }
    }

    /// The next `len` bytes of the body.
    async fn take(&mut self, len: u64) -> Result<Bytes> {
        let body = match &mut self.body {
            Some(body) => body,
            none => {
                self.skip = 0;
                self.piece = Bytes::new();
                none.insert(self.again.get(Some(self.left.clone())).await?)
            }
        };
        let len = to_usize(len);
        let mut block = BytesMut::new();
        loop {
            let skipped = self
                .piece
                .split_to(self.piece.len().min(to_usize(self.skip)));
            self.skip -= skipped.len() as u64;
            let taken = self.piece.split_to(self.piece.len().min(len - block.len()));
            if block.is_empty() && taken.len() == len {
                return Ok(taken);
            }
            block.extend_from_slice(&taken);
            if block.len() == len {
                return Ok(block.freeze());
            }
            self.piece = match body.try_next().await? {
                Some(piece) => piece,
                None => return Err(damaged(&self.again.location, "it ended too early")),
            };
        }
    }
}

/// The wanted part of a body without checksums: of the right length, and with the right MD5 where there is one.
fn unblocked(
    location: Path,
    result: GetResult,
    wanted: &Range<u64>,
    md5: Option<String>,
) -> BoxStream<'static, Result<Bytes>> {
    let skip = wanted.start - result.range.start;
    let left = wanted.end - wanted.start;
    let state = (result.into_stream(), skip, left, Md5::new());
    stream::try_unfold(state, move |(mut body, mut skip, left, mut hasher)| {
        let (location, md5) = (location.clone(), md5.clone());
        async move {
            if left == 0 {
                return match md5 {
                    Some(md5) if hex(&hasher.finalize()) != md5 => {
                        Err(damaged(&location, "its MD5 is not its ETag"))
                    }
                    _ => Ok(None),
                };
            }
            loop {
                let Some(mut piece) = body.try_next().await? else {
                    return Err(damaged(&location, "it ended too early"));
                };
                let skipped = piece.split_to(piece.len().min(to_usize(skip)));
                skip -= skipped.len() as u64;
                piece.truncate(to_usize(left));
                if !piece.is_empty() {
                    if md5.is_some() {
                        hasher.update(&piece);
                    }
                    let left = left - piece.len() as u64;
                    return Ok(Some((piece, (body, skip, left, hasher))));
                }
            }
        }
    })
    .boxed()
}

/// The MD5 of an object, where its `ETag` is that: not after an upload in parts, nor with a key of KMS.
pub(crate) fn md5_of(meta: &ObjectMeta, attributes: &Attributes) -> Option<String> {
    let opaque = Attribute::Metadata(OPAQUE_ETAG.into());
    let tag = meta.e_tag.as_deref()?.trim_matches('"');
    let is_md5 = tag.len() == 32 && tag.bytes().all(|b| b.is_ascii_hexdigit());
    (is_md5 && attributes.get(&opaque).is_none()).then(|| tag.to_ascii_lowercase())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hex_md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

fn damaged(location: &Path, why: &str) -> Error {
    Error::Generic {
        store: "S3",
        source: Box::new(StorageError::Damaged {
            path: location.to_string(),
            why: why.to_owned(),
        }),
    }
}

#[cfg(test)]
#[path = "checked_tests.rs"]
pub(super) mod tests;
