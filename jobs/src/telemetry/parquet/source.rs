//! A source under the parquet crate that tells a broken source from a broken file.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::telemetry::TelemetryError;
use crate::telemetry::ndjson::io_error;
use crate::telemetry::output::Output;

/// A source that row groups' readers share. It refuses ranges beyond its end itself, and notes I/O errors, which the
/// parquet crate would pass on as if the file were corrupt.
pub(super) struct Shared<R> {
    source: Arc<R>,
    length: u64,
    failed: Failure,
}

type Failure = Arc<Mutex<Option<io::Error>>>;

fn note(failed: &Failure, error: io::Error) {
    if let Ok(mut failed) = failed.lock() {
        failed.get_or_insert(error);
    }
}

impl<R: ChunkReader> Shared<R> {
    pub(super) fn new(source: R) -> Self {
        let length = source.len();
        Self {
            source: Arc::new(source),
            length,
            failed: Failure::default(),
        }
    }

    pub(super) fn check(&self, output: &Output) -> Result<(), TelemetryError> {
        let failed = self.failed.lock().ok().and_then(|mut failed| failed.take());
        failed.map_or(Ok(()), |source| Err(io_error(output, source)))
    }

    fn noted<T>(&self, result: Result<T, ParquetError>) -> Result<T, ParquetError> {
        if let Err(ParquetError::External(error)) = &result {
            let kind = error
                .downcast_ref::<io::Error>()
                .map_or(io::ErrorKind::Other, io::Error::kind);
            note(&self.failed, io::Error::new(kind, error.to_string()));
        }
        result
    }

    fn within(&self, start: u64, length: u64) -> Result<(), ParquetError> {
        if start
            .checked_add(length)
            .is_some_and(|end| end <= self.length)
        {
            Ok(())
        } else {
            Err(ParquetError::EOF(format!(
                "bytes {start}+{length} of a file of {}",
                self.length
            )))
        }
    }
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            length: self.length,
            failed: Arc::clone(&self.failed),
        }
    }
}

impl<R: ChunkReader> Length for Shared<R> {
    fn len(&self) -> u64 {
        self.length
    }
}

impl<R: ChunkReader> ChunkReader for Shared<R> {
    type T = Noting<R::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.within(start, 0)?;
        let reader = self.noted(self.source.get_read(start))?;
        Ok(Noting {
            reader,
            failed: Arc::clone(&self.failed),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.within(start, length as u64)?;
        self.noted(self.source.get_bytes(start, length))
    }
}

/// A reader that notes its I/O errors.
pub(super) struct Noting<T> {
    reader: T,
    failed: Failure,
}

impl<T: Read> Read for Noting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                note(
                    &self.failed,
                    io::Error::new(error.kind(), error.to_string()),
                );
            }
        })
    }
}
