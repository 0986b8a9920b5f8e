//! A directory, or a file, that appears whole or not at all.
//!
//! Everything is written into a directory beside the place, of another name, and renamed when it is done; what fails leaves nothing. Only an
//! earlier export is ever replaced: a directory with our manifest in it, never one that somebody named by mistake. Between the two renames that replace one
//! the place is empty for a moment; the earlier export is put back when the second fails.

use std::fs::{self, File};
use std::io::{BufWriter, IntoInnerError, Write as _};
use std::path::{Path, PathBuf};

use super::{Format, Plan, Split};
use crate::error::JobError;

/// What every exported directory has: what is in it, for machines.
pub(super) const MANIFEST: &str = "export.json";

/// Where an export goes.
pub(super) struct Target {
    out: PathBuf,
    /// The one file that is wanted, where `out` names a file.
    file: Option<String>,
}

impl Target {
    /// # Errors
    /// When a name of a file does not suit what is exported.
    pub(super) fn of(plan: &Plan) -> Result<Self, JobError> {
        let extension = plan.out.extension().and_then(|e| e.to_str());
        let named = extension.map(str::to_lowercase).unwrap_or_default();
        let single = match plan.format {
            Format::Parquet if plan.shard_rows.is_none() => "parquet",
            Format::Csv => "csv",
            _ => "",
        };
        let has_test = !plan.test.is_empty() || plan.test_from.is_some();
        let is_file = ["parquet", "csv", "json", "onnx", "libsvm"].contains(&named.as_str());
        let file = if is_file && named == single && !has_test {
            Some(format!("{}.{single}", Split::Train.name()))
        } else if is_file {
            return Err(JobError::Usage(format!(
                "--out {}: expected a directory; Parquet (without --shard-rows) and CSV without a test may be a file of that name",
                plan.out.display()
            )));
        } else {
            None
        };
        Ok(Self {
            out: plan.out.clone(),
            file,
        })
    }
}

/// A directory that is being written.
pub(super) struct Place {
    staging: tempfile::TempDir,
    overwrite: bool,
}

impl Place {
    /// # Errors
    /// When something is there that may not be replaced, or the directory beside it cannot be made.
    pub(super) fn begin(target: &Target, overwrite: bool) -> Result<Self, JobError> {
        check(target, overwrite)?;
        let parent = parent(&target.out);
        fs::create_dir_all(parent).map_err(|e| JobError::io(parent, e))?;
        let staging = tempfile::Builder::new()
            .prefix(".gleaner-export-")
            .tempdir_in(parent)
            .map_err(|e| JobError::io(parent, e))?;
        Ok(Self { staging, overwrite })
    }

    /// The path of a file of the export, its directory made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf, JobError> {
        let path = self.staging.path().join(name);
        let parent = parent(&path);
        fs::create_dir_all(parent).map_err(|e| JobError::io(parent, e))?;
        Ok(path)
    }

    /// A directory of the export, by its name below it.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }

    /// A new file of the export.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(&self, name: &str) -> Result<Output, JobError> {
        Output::create(self.path(name)?)
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), JobError> {
        let mut file = self.create(name)?;
        file.write(bytes)?;
        file.finish()
    }

    /// Gives the export its name.
    ///
    /// # Errors
    /// When something has come there meanwhile, or it cannot be renamed.
    pub(super) fn commit(self, target: &Target) -> Result<(), JobError> {
        check(target, self.overwrite)?;
        let out = &target.out;
        let failed = |e| JobError::io(out, e);
        if let Some(file) = &target.file {
            let written = self.staging.path().join(file);
            return fs::rename(written, out).map_err(failed);
        }
        readable(self.staging.path()).map_err(failed)?;
        let old = out.exists().then(|| {
            let name = self.staging.path().file_name().unwrap_or_default();
            parent(out).join(format!("{}-old", name.to_string_lossy()))
        });
        if let Some(old) = &old {
            fs::rename(out, old).map_err(failed)?;
        }
        if let Err(e) = fs::rename(self.staging.path(), out) {
            if let Some(old) = &old {
                let _ = fs::rename(old, out);
            }
            return Err(failed(e));
        }
        // Renamed: nothing is there to be removed.
        let _ = self.staging.keep();
        if let Some(old) = old {
            fs::remove_dir_all(&old).map_err(|e| JobError::io(&old, e))?;
        }
        Ok(())
    }
}

/// A temporary directory is its owner's alone; an export is as readable as whatever else they make, by their umask.
fn readable(directory: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let probe = directory.join(".mode");
        fs::create_dir(&probe)?;
        let mode = fs::metadata(&probe)?.permissions().mode();
        fs::remove_dir(&probe)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

fn check(target: &Target, overwrite: bool) -> Result<(), JobError> {
    let out = &target.out;
    let taken = |why: &str| Err(JobError::Usage(format!("--out {}: {why}", out.display())));
    let Ok(found) = fs::symlink_metadata(out) else {
        return Ok(());
    };
    if target.file.is_some() {
        return match (found.is_file(), overwrite) {
            (true, true) => Ok(()),
            (true, false) => taken("the file is there already; --overwrite replaces it"),
            (false, _) => taken("not a file"),
        };
    }
    if !found.is_dir() {
        return taken("not a directory");
    }
    let empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    match (empty, overwrite) {
        (true, _) => Ok(()),
        (false, false) => {
            taken("the directory is not empty; --overwrite replaces an earlier export")
        }
        (false, true) if out.join(MANIFEST).is_file() => Ok(()),
        (false, true) => taken(
            "the directory holds something else than an export (it has no export.json), and is left alone",
        ),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file that is being written.
pub(super) struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(path: PathBuf) -> Result<Self, JobError> {
        let file = File::create_new(&path).map_err(|e| JobError::io(&path, e))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, file),
            path,
        })
    }

    /// # Errors
    /// When there is no room.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), JobError> {
        self.file
            .write_all(bytes)
            .map_err(|e| JobError::io(&self.path, e))
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn finish(self) -> Result<(), JobError> {
        let file = self.file.into_inner().map_err(IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .map_err(|e| JobError::io(&self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(out: &Path) -> Target {
        Target {
            out: out.to_owned(),
            file: None,
        }
    }

    fn export(out: &Path, text: &str, overwrite: bool) -> Result<(), JobError> {
        let target = target(out);
        let place = Place::begin(&target, overwrite)?;
        place.write(MANIFEST, b"{}")?;
        place.write("data/a", text.as_bytes())?;
        place.commit(&target)
    }

    #[test]
    fn an_export_is_replaced_when_told_so_and_what_is_none_never() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        export(&out, "one", false).unwrap();
        assert!(export(&out, "two", false).is_err());
        assert_eq!(fs::read(out.join("data/a")).unwrap(), b"one");
        export(&out, "two", true).unwrap();
        assert_eq!(fs::read(out.join("data/a")).unwrap(), b"two");
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("thesis.txt"), "years").unwrap();
        let said = export(&home, "three", true).unwrap_err().to_string();
        assert!(said.contains("left alone"), "{said}");
        assert_eq!(fs::read(home.join("thesis.txt")).unwrap(), b"years");
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "nothing else is left");
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        {
            let place = Place::begin(&target(&out), false).unwrap();
            place.write("data/a", b"half").unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
