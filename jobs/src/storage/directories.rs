//! The local directories that a process which serves others may touch. A query names its paths, so scheduler and
//! executors are told which directories are their own ([`Directories`]), and everything that opens a local file for
//! a query asks here: the object store of `file://` ([`Within`]), telemetry, models and embedders.
//!
//! A path is judged by where it leads: symbolic links are followed first, and what is not there yet is judged by the
//! deepest part of it that is. So a link out of a directory leads nowhere, and `..` is refused before anything is
//! looked at. Between the judgement and the opening a link could be changed, by who may write in these directories;
//! queries cannot make links.

use std::fmt;
use std::ops::Range;
use std::path::{Component, Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use url::Url;

use super::StorageError;

/// Which local directories may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directories {
    /// Every one: a user's own process.
    Any,
    /// What is below these, as they are without symbolic links.
    Only(Vec<PathBuf>),
}

impl Directories {
    /// Whether a file or directory may be used, whether it exists or not.
    ///
    /// # Errors
    /// When it leads out of the directories; names the flag, and not where a link leads.
    pub fn allow(&self, path: &FilePath) -> std::result::Result<(), StorageError> {
        let Self::Only(directories) = self else {
            return Ok(());
        };
        let is_plain = path.is_absolute()
            && path
                .components()
                .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let is_inside = is_plain
            && real(path).is_some_and(|real| directories.iter().any(|own| real.starts_with(own)));
        if is_inside {
            return Ok(());
        }
        Err(StorageError::Usage(format!(
            "local file {} is not in a directory of this process: add its directory to --directories \
             (GLEANER_DIRECTORIES) of scheduler and executors and start them again, or keep it in a bucket",
            path.display()
        )))
    }
}

/// Where a path leads; what does not exist is taken as it is named, below what does.
fn real(path: &FilePath) -> Option<PathBuf> {
    let mut missing = vec![];
    let mut there = path;
    loop {
        match there.canonicalize() {
            Ok(real) => {
                return Some(
                    missing
                        .iter()
                        .rev()
                        .fold(real, |path, name| path.join(name)),
                );
            }
            // A link that leads nowhere yet would be followed once it does.
            Err(_) if there.symlink_metadata().is_ok() => return None,
            Err(_) => {
                missing.push(there.file_name()?);
                there = there.parent()?;
            }
        }
    }
}

impl FromStr for Directories {
    type Err = StorageError;

    /// Paths with commas between them; `*` for every directory; nothing for none.
    fn from_str(text: &str) -> std::result::Result<Self, StorageError> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let paths = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        paths
            .map(|path| {
                let wrong = |why: &str| {
                    StorageError::Usage(format!(
                        "--directories {path}: {why}: make it before this process starts"
                    ))
                };
                let real = FilePath::new(path)
                    .canonicalize()
                    .map_err(|e| wrong(&e.to_string()))?;
                if real.is_dir() {
                    Ok(real)
                } else {
                    Err(wrong("not a directory"))
                }
            })
            .collect::<std::result::Result<_, _>>()
            .map(Self::Only)
    }
}

/// An object store of local files that ends at the borders of some directories.
#[derive(Debug)]
pub(super) struct Within {
    inner: Arc<dyn ObjectStore>,
    directories: Arc<Directories>,
}

impl Within {
    /// `inner` holds the whole file system.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, directories: Directories) -> Self {
        Self {
            inner,
            directories: Arc::new(directories),
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        check(&self.directories, path)
    }
}

fn check(directories: &Directories, path: &Path) -> Result<()> {
    let refused = |source: StorageError| Error::PermissionDenied {
        path: path.to_string(),
        source: Box::new(source),
    };
    let file = file(path).ok_or_else(|| {
        refused(StorageError::Usage(format!(
            "{path} is not a local file's path"
        )))
    })?;
    directories.allow(&file).map_err(|why| {
        // Also to the log: of what goes wrong while a file is written, `DataFusion` tells its client too little.
        log::warn!("{why}");
        refused(why)
    })
}

/// As `LocalFileSystem` makes a file's path of an object's.
fn file(path: &Path) -> Option<PathBuf> {
    let mut url = Url::parse("file:///").ok()?;
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(path.parts());
    url.to_file_path().ok()
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Within({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Within {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.check(location)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let directories = Arc::clone(&self.directories);
        let checked = locations.map(move |location| {
            location.and_then(|path| check(&directories, &path).map(|()| path))
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // Without a prefix, everything: not even names are to be had of what is elsewhere.
        if let Err(refused) = self.check(prefix.unwrap_or(&Path::default())) {
            return stream::once(async { Err(refused) }).boxed();
        }
        let directories = Arc::clone(&self.directories);
        let inside = move |found: &Result<ObjectMeta>| match found {
            Ok(meta) => check(&directories, &meta.location).is_ok(),
            Err(_) => true,
        };
        let found = self.inner.list(prefix);
        found
            .filter(move |found| std::future::ready(inside(found)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check(prefix.unwrap_or(&Path::default()))?;
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found
            .objects
            .retain(|meta| self.check(&meta.location).is_ok());
        found
            .common_prefixes
            .retain(|path| self.check(path).is_ok());
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt as _;
    use object_store::local::LocalFileSystem;

    struct Two {
        _root: tempfile::TempDir,
        own: PathBuf,
        other: PathBuf,
        directories: Directories,
    }

    /// A directory of ours and one that is not, with a secret in it.
    fn two() -> Two {
        let root = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "own-not"].map(|name| root.path().join(name));
        for directory in [&own, &other] {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join("a b%.csv"), "x").unwrap();
        }
        Two {
            directories: own.to_str().unwrap().parse().unwrap(),
            _root: root,
            own,
            other,
        }
    }

    #[test]
    fn what_is_inside_is_allowed_and_what_is_elsewhere_is_not() {
        let t = two();
        for inside in ["a b%.csv", "new", "new/deep/file", ""] {
            let path = t.own.join(inside);
            assert!(t.directories.allow(&path).is_ok(), "{inside}");
        }
        for outside in [
            t.other.join("a b%.csv"),
            t.other.join("new"),
            t.own.join("../own-not/a b%.csv"),
            t.own.join("new/../../own-not/a b%.csv"),
            PathBuf::from("/etc/passwd"),
            PathBuf::from("/"),
            PathBuf::from("own/a b%.csv"),
        ] {
            let error = t.directories.allow(&outside).unwrap_err().to_string();
            assert!(error.contains("--directories"), "{error}");
            assert!(Directories::Any.allow(&outside).is_ok());
        }
        let none: Directories = "".parse().unwrap();
        assert!(none.allow(&t.own).is_err());
        assert_eq!("*".parse::<Directories>().unwrap(), Directories::Any);
        let missing = t.own.join("missing").display().to_string();
        let error = missing.parse::<Directories>().unwrap_err().to_string();
        assert!(error.contains("--directories"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_judged_by_where_it_leads() {
        use std::os::unix::fs::symlink;
        let t = two();
        symlink(&t.other, t.own.join("out")).unwrap();
        symlink(t.other.join("later"), t.own.join("dangling")).unwrap();
        symlink(t.own.join("a b%.csv"), t.own.join("in")).unwrap();
        assert!(t.directories.allow(&t.own.join("in")).is_ok());
        for out in ["out", "out/a b%.csv", "out/new", "dangling"] {
            assert!(t.directories.allow(&t.own.join(out)).is_err(), "{out}");
        }
        // A directory that was given by a link is what it leads to.
        symlink(&t.own, t.other.join("link")).unwrap();
        let linked: Directories = t.other.join("link").to_str().unwrap().parse().unwrap();
        assert_eq!(linked, t.directories);
        assert!(linked.allow(&t.other.join("link/new")).is_ok());
    }

    #[tokio::test]
    async fn the_store_refuses_every_way_to_another_directory() {
        let t = two();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&t.other, t.own.join("out")).unwrap();
        let whole = Arc::new(LocalFileSystem::new());
        let store = Within::new(whole, t.directories.clone());
        let at = |path: &FilePath| Path::from_absolute_path(path).unwrap();
        let (own, other) = (at(&t.own.join("a b%.csv")), at(&t.other.join("a b%.csv")));
        let new = at(&t.own).join("new");
        assert!(store.get(&own).await.is_ok());
        assert!(store.put(&new, "y".into()).await.is_ok());
        assert!(store.copy(&own, &new).await.is_ok());
        for refused in [
            store.get(&other).await.err(),
            store.head(&other).await.err(),
            store.get_range(&other, 0..1).await.err(),
            store.put(&other, "y".into()).await.err(),
            store.put_multipart(&other).await.err(),
            store.delete(&other).await.err(),
            store.copy(&own, &other).await.err(),
            store.copy(&other, &new).await.err(),
            store.rename(&other, &new).await.err(),
            store.rename(&own, &other).await.err(),
            store.list_with_delimiter(Some(&at(&t.other))).await.err(),
            store.list_with_delimiter(None).await.err(),
            store.list(None).next().await.unwrap().err(),
            store.list(Some(&at(&t.other))).next().await.unwrap().err(),
        ] {
            let refused = refused.expect("it was let through");
            assert!(refused.to_string().contains("--directories"), "{refused}");
        }
        // A link's names are not shown either.
        let listed: Vec<_> = store.list(Some(&at(&t.own))).collect().await;
        let mut names: Vec<_> = listed
            .into_iter()
            .map(|meta| meta.unwrap().location.filename().unwrap().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["a b%.csv", "new"]);
        let listed = store.list_with_delimiter(Some(&at(&t.own))).await.unwrap();
        assert_eq!((listed.objects.len(), listed.common_prefixes.len()), (2, 0));
        assert_eq!(std::fs::read(t.other.join("a b%.csv")).unwrap(), b"x");
    }
}
