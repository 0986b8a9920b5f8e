//! Whether a file is still what it was.

use std::io;
use std::path::Path;
use std::time::SystemTime;

/// What tells one state of a file from another: its size, its times, and which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: SystemTime,
    /// Inode and the time of its last change: a file that was put in place of another has others.
    file: (u64, i64, i64),
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt as _;
            (meta.ino(), meta.ctime(), meta.ctime_nsec())
        };
        #[cfg(not(unix))]
        let file = (0, 0, 0);
        Ok(Self {
            bytes: meta.len(),
            modified: meta.modified()?,
            file,
        })
    }
}

/// Whether others than owner and group may do `what` (bits as in `chmod`) with it; `false` where that is not known.
pub(super) fn allows(path: &Path, what: u32) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(std::fs::metadata(path)?.permissions().mode() & what != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = what;
        std::fs::metadata(path).map(|_| false)
    }
}
