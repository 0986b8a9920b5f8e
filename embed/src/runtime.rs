//! ONNX Runtime: found, its version looked at, loaded once a process.
//!
//! The library is loaded when the first encoder is, and not before. It is looked for, in this order: [`RUNTIME`] (the library, or
//! a directory that holds it), `ORT_DYLIB_PATH`, an active Python environment (`VIRTUAL_ENV`) with the package `onnxruntime`, and
//! where the system's loader looks. Its version is read before anything else of it is called: an older one would hang.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider as _};

use crate::error::EmbedError;

/// The environment variable with the path of the library, or of a directory that holds it.
pub const RUNTIME: &str = "GLEANER_ONNXRUNTIME";
/// The environment variable with the device: `cpu` or `cuda`.
pub const DEVICE: &str = "GLEANER_EMBEDDER_DEVICE";

const HINT: &str = "`pip install onnxruntime` brings it; then set GLEANER_ONNXRUNTIME to the file, or to the package's folder \
                    onnxruntime/capi (on every executor too), or activate that Python environment";

static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// What an encoder runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// One thread a session.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

impl Device {
    /// From [`DEVICE`]; `cpu` where it is not set.
    ///
    /// # Errors
    /// When it is neither.
    pub fn configured() -> Result<Self, EmbedError> {
        match std::env::var(DEVICE).unwrap_or_default().as_str() {
            "" | "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(EmbedError::Usage(format!(
                "{DEVICE}={other:?}: expected cpu or cuda"
            ))),
        }
    }
}

/// The process's environment of ONNX Runtime; loads the library on first use. A failure is not kept.
///
/// # Errors
/// When there is no library, or one that is too old, with the command that gets one.
pub fn environment() -> Result<Environment, EmbedError> {
    let mut kept = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*kept {
        return Ok(environment.clone());
    }
    let path = library()?;
    let failed = |why: String| EmbedError::Runtime(format!("no ONNX Runtime: {why}; {HINT}"));
    // Reads the version first, and refuses an old one.
    let builder = ort::init_from(&path).map_err(|e| failed(e.to_string()))?;
    let built = builder.with_name("gleaner").with_telemetry(false).build();
    let environment = built.map_err(|e| failed(e.to_string()))?;
    Ok(kept.insert(environment).clone())
}

/// Whether the device can be used.
///
/// # Errors
/// When it cannot, with what to do.
pub fn check(device: Device) -> Result<(), EmbedError> {
    environment()?;
    match device {
        Device::Cpu => Ok(()),
        Device::Cuda => match CUDA::is_available() {
            Ok(true) => Ok(()),
            _ => Err(EmbedError::Runtime(
                "GLEANER_EMBEDDER_DEVICE=cuda, but this ONNX Runtime has no CUDA provider: `pip install onnxruntime-gpu` brings \
                 one that has; then set GLEANER_ONNXRUNTIME to its folder onnxruntime/capi, or GLEANER_EMBEDDER_DEVICE=cpu"
                    .to_owned(),
            )),
        },
    }
}

/// Where the library is: a path, or a bare name for the system's loader.
///
/// # Errors
/// When [`RUNTIME`] names nothing that is there.
pub fn library() -> Result<PathBuf, EmbedError> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = set(RUNTIME) {
        return found(&path).ok_or_else(|| {
            EmbedError::Runtime(format!(
                "{RUNTIME}={}: no such file, nor a folder with libonnxruntime; {HINT}",
                path.display()
            ))
        });
    }
    if let Some(path) = set("ORT_DYLIB_PATH") {
        return Ok(path);
    }
    let python = set("VIRTUAL_ENV").and_then(|venv| {
        let mut versions: Vec<_> = std::fs::read_dir(venv.join("lib"))
            .ok()?
            .flatten()
            .map(|e| e.path())
            .collect();
        versions.sort();
        versions
            .iter()
            .find_map(|lib| found(&lib.join("site-packages/onnxruntime/capi")))
    });
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    Ok(python.unwrap_or_else(|| name.into()))
}

fn found(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return path.canonicalize().ok();
    }
    let is_library = |name: &OsStr| {
        let name = name.to_string_lossy();
        let stem = name.strip_prefix("lib").unwrap_or(&name);
        // libonnxruntime.so.1.31.1, libonnxruntime.1.31.1.dylib, onnxruntime.dll; not libonnxruntime_providers_shared.so.
        stem.starts_with("onnxruntime.")
    };
    let mut files: Vec<_> = std::fs::read_dir(path)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    let file = files
        .into_iter()
        .find(|f| f.file_name().is_some_and(is_library))?;
    file.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_in_a_folder_under_its_versioned_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(found(folder.path()), None);
        write("libonnxruntime_providers_shared.so");
        write("onnxruntime_pybind11_state.so");
        assert_eq!(found(folder.path()), None);
        write("libonnxruntime.so.1.31.1");
        let library = folder
            .path()
            .canonicalize()
            .unwrap()
            .join("libonnxruntime.so.1.31.1");
        assert_eq!(found(folder.path()), Some(library.clone()));
        assert_eq!(found(&library), Some(library));
        assert_eq!(found(&folder.path().join("none")), None);
    }
}
