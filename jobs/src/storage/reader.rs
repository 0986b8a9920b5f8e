//! Reading somebody else's object from synchronous code: as a stream ([`ObjectReader`]), or copied to a temporary file
//! for formats that jump about ([`fetch`]).
//!
//! The object is read in ranges of 8 MiB, one ahead of the reader, all of the version that the listing saw: an object
//! that is replaced meanwhile is an error, never a mixture. At the end its MD5 is compared where the `ETag` is one.
//! Memory: three ranges.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use md5::{Digest, Md5};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::StorageError;
use super::checked::{hex, md5_of};

const RANGE_BYTES: u64 = 8 << 20;

/// A stream over one object, for a thread that may block (`spawn_blocking`): its reads wait for the runtime's tasks.
#[derive(Debug)]
pub struct ObjectReader {
    runtime: Handle,
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// Of the version being read; the listing's or that of the first range.
    etag: Option<String>,
    ahead: Option<Ahead>,
    /// Where the range after `ahead` starts.
    next: u64,
    piece: Bytes,
    hasher: Md5,
    md5: Option<String>,
    ended: bool,
}

/// A range on its way.
#[derive(Debug)]
struct Ahead {
    answer: Receiver<io::Result<Piece>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    etag: Option<String>,
    md5: Option<String>,
}

impl ObjectReader {
    /// A reader of the object that a listing showed with this size and `ETag`. Nothing is asked before the first read.
    #[must_use]
    pub fn new(
        runtime: Handle,
        store: Arc<dyn ObjectStore>,
        path: Path,
        size: u64,
        etag: Option<String>,
    ) -> Self {
        Self {
            runtime,
            store,
            path,
            size,
            etag,
            ahead: None,
            next: 0,
            piece: Bytes::new(),
            hasher: Md5::new(),
            md5: None,
            ended: false,
        }
    }

    /// Sends for the next range, where there is one.
    fn send(&mut self) {
        if self.next >= self.size {
            return;
        }
        let range = self.next..self.size.min(self.next + RANGE_BYTES);
        self.next = range.end;
        let (sender, answer) = sync_channel(1);
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        let (etag, size) = (self.etag.clone(), self.size);
        let task = self.runtime.spawn(async move {
            // Whoever waits is gone when this fails.
            let _ = sender.send(get(store.as_ref(), &path, range, size, etag).await);
        });
        self.ahead = Some(Ahead {
            answer,
            task: task.abort_handle(),
        });
    }

    /// Waits for the range on its way; `None` at the end.
    fn receive(&mut self) -> io::Result<Option<Piece>> {
        if self.ahead.is_none() {
            self.send();
        }
        let Some(ahead) = self.ahead.take() else {
            return Ok(None);
        };
        // Not `Handle::block_on`, which panics where it is not allowed.
        let piece = ahead.answer.recv().map_err(|_| {
            io::Error::other(format!(
                "{}: reading was cut off as the program stops",
                self.path
            ))
        })??;
        Ok(Some(piece))
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.piece.is_empty() && !self.ended {
            if let Some(piece) = self.receive()? {
                self.etag = self.etag.take().or(piece.etag);
                self.md5 = piece.md5;
                self.piece = piece.bytes;
                self.send();
                if self.md5.is_some() {
                    self.hasher.update(&self.piece);
                }
            } else {
                let md5 = hex(&self.hasher.finalize_reset());
                if self.md5.as_ref().is_some_and(|expected| *expected != md5) {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "{} arrived damaged: its MD5 is not its ETag; run again",
                            self.path
                        ),
                    ));
                }
                self.ended = true;
            }
        }
        let taken = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.task.abort();
        }
    }
}

/// Copies an object into an unnamed temporary file, in `directory` or that of [`std::env::temp_dir`].
///
/// # Errors
/// As the reader's, and when the file cannot be written; says where.
pub fn fetch(mut reader: ObjectReader, directory: Option<&FilePath>) -> io::Result<File> {
    let directory = directory.map_or_else(std::env::temp_dir, FilePath::to_path_buf);
    let unwritable = |e: io::Error| {
        let kind = e.kind();
        let why = format!(
            "a temporary copy of an object cannot be written to {}: {e}. Free space there, or set TMPDIR to a \
             directory with room for it",
            directory.display()
        );
        io::Error::new(kind, why)
    };
    let mut file = tempfile::tempfile_in(&directory).map_err(unwritable)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let filled = reader.read(&mut buffer)?;
        if filled == 0 {
            break;
        }
        file.write_all(&buffer[..filled]).map_err(unwritable)?;
    }
    file.rewind().map_err(unwritable)?;
    Ok(file)
}

async fn get(
    store: &dyn ObjectStore,
    path: &Path,
    range: Range<u64>,
    size: u64,
    etag: Option<String>,
) -> io::Result<Piece> {
    let options = GetOptions {
        if_match: etag,
        range: Some(GetRange::Bounded(range.clone())),
        ..GetOptions::default()
    };
    let result = store.get_opts(path, options).await;
    let result = result.map_err(|e| failed(path, e))?;
    let md5 = md5_of(&result.meta, &result.attributes);
    if result.meta.size != size {
        return Err(changed(path));
    }
    let etag = result.meta.e_tag.clone();
    let bytes = result.bytes().await.map_err(|e| failed(path, e))?;
    if bytes.len() as u64 != range.end - range.start {
        return Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            format!(
                "{path} arrived damaged: bytes {range:?} were asked for, {} came",
                bytes.len()
            ),
        ));
    }
    Ok(Piece { bytes, etag, md5 })
}

fn changed(path: &Path) -> io::Error {
    io::Error::other(format!("{path} changed while it was being read: run again"))
}

/// What happened, as an I/O error of the kind that fits. (Never `Interrupted`: readers would ask again for ever.)
pub(crate) fn failed(path: &Path, error: Error) -> io::Error {
    let kind = match &error {
        Error::Precondition { .. } => return changed(path),
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            ErrorKind::PermissionDenied
        }
        Error::Generic { source, .. } if is_damaged(source.as_ref()) => ErrorKind::InvalidData,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn is_damaged(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(StorageError::Damaged { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::checked::tests::{Fault, Faulty};
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    fn bytes(len: usize) -> Vec<u8> {
        (0_u8..=250).cycle().take(len).collect()
    }

    async fn stored(len: usize) -> (Arc<dyn ObjectStore>, Path, ObjectReader) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a/b");
        store
            .put(&path, PutPayload::from(bytes(len)))
            .await
            .unwrap();
        let meta = store.head(&path).await.unwrap();
        let reader = ObjectReader::new(
            Handle::current(),
            Arc::clone(&store),
            path.clone(),
            meta.size,
            meta.e_tag,
        );
        (store, path, reader)
    }

    async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    #[tokio::test]
    async fn every_length_is_read_whole() {
        let range = usize::try_from(RANGE_BYTES).unwrap();
        for len in [0, 1, range - 1, range, range + 1, 2 * range + 7] {
            let (_, _, mut reader) = stored(len).await;
            let read = blocking(move || {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).map(|_| read)
            });
            assert!(read.await.unwrap() == bytes(len), "{len}");
        }
    }

    #[tokio::test]
    async fn an_object_that_changes_is_an_error() {
        let (store, path, mut reader) = stored(30 << 20).await;
        let mut reader = blocking(move || reader.read_exact(&mut [0; 10]).map(|()| reader))
            .await
            .unwrap();
        store
            .put(&path, PutPayload::from(bytes(30 << 20)))
            .await
            .unwrap();
        let error = blocking(move || reader.read_to_end(&mut Vec::new()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("changed while"), "{error}");
    }

    #[tokio::test]
    async fn a_missing_object_is_not_found() {
        let (store, path, mut reader) = stored(5).await;
        store.delete(&path).await.unwrap();
        let error = blocking(move || reader.read(&mut [0; 10]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_object_whose_md5_is_not_its_etag_arrived_damaged() {
        for (fault, is_good) in [
            (Fault::None, true),
            (Fault::Flip, false),
            (Fault::Cut, false),
        ] {
            let (inner, path) = (Faulty::new(), Path::from("a"));
            inner.inner.put(&path, bytes(9 << 20).into()).await.unwrap();
            let etag = format!("\"{}\"", hex(&Md5::digest(bytes(9 << 20))));
            *inner.etag.lock().unwrap() = Some(etag.clone());
            inner.set(&[fault]);
            let runtime = Handle::current();
            let mut reader = ObjectReader::new(runtime, inner, path, 9 << 20, Some(etag));
            let read = blocking(move || reader.read_to_end(&mut Vec::new())).await;
            assert_eq!(read.is_ok(), is_good, "{fault:?}");
            if let Err(error) = read {
                assert!(error.to_string().contains("a arrived damaged"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_file_is_a_copy_from_its_start() {
        let (_, _, reader) = stored(9 << 20).await;
        let mut read = Vec::new();
        let mut file = blocking(move || fetch(reader, None)).await.unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes(9 << 20));
    }

    #[tokio::test]
    async fn a_directory_that_cannot_hold_the_copy_is_named() {
        let (_, _, reader) = stored(5).await;
        let error = blocking(move || fetch(reader, Some(FilePath::new("/nowhere/at/all"))));
        let error = error.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
        assert!(error.to_string().contains("TMPDIR"), "{error}");
    }
}
