//! The key of users' and hosts' pseudonyms.
//!
//! By default it lies in the warehouse, so that every machine that labels has the same; then whoever reads the warehouse can try names against
//! pseudonyms. With `--pseudonym-key` it is read from the environment (which a keyring or a secret store fills) or from a file, and the warehouse
//! keeps only its fingerprint.
//!
//! **One key a warehouse.** Another key gives other pseudonyms: lines that hold a name would be asked about, and paid for, again, and one person would
//! have two names. So a key that is not the one that the warehouse has seen is refused, and so is none where there was one.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use gleaner_udfs::text::redact::PseudonymKey;

use crate::error::JobError;
use crate::warehouse::Warehouse;

/// The key itself, where no other place was named.
pub const KEY: &str = "_labels/pseudonyms.key";
/// The fingerprint of a key that is kept elsewhere.
pub const FINGERPRINT: &str = "_labels/pseudonyms.id";
const BYTES: usize = 32;
const EXPECTED: &str = "expected a key of 64 hexadecimal digits (openssl rand -hex 32 makes one), or a file of 32 bytes";

/// Where a key is. Its `Debug` shows the place, never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A variable of the environment.
    Env(String),
    /// A file.
    File(PathBuf),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("env:") {
            Some("") => Err("env: the name of a variable is missing".to_owned()),
            Some(name) => Ok(Self::Env(name.to_owned())),
            None if text.is_empty() => Err("expected env:NAME or a file".to_owned()),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl KeySource {
    /// The key.
    ///
    /// # Errors
    /// When there is none, or it is none. The message names the place and shows nothing of what is there.
    pub fn read(&self) -> Result<[u8; BYTES], JobError> {
        let held = match self {
            Self::Env(name) => std::env::var_os(name)
                .map(|value| value.as_encoded_bytes().to_vec())
                .ok_or_else(|| {
                    JobError::Usage(format!(
                        "--pseudonym-key env:{name}: the variable is not set; {EXPECTED}"
                    ))
                })?,
            Self::File(path) => {
                let mut held = vec![];
                std::fs::File::open(path)
                    .and_then(|file| file.take(1024).read_to_end(&mut held))
                    .map_err(|e| JobError::io(path, e))?;
                held
            }
        };
        parsed(&held).ok_or_else(|| JobError::Usage(format!("--pseudonym-key {self}: {EXPECTED}")))
    }
}

/// 32 bytes, or 64 hexadecimal digits and white space around them.
fn parsed(held: &[u8]) -> Option<[u8; BYTES]> {
    if let Ok(bytes) = held.try_into() {
        return Some(bytes);
    }
    let digits = held.trim_ascii();
    if digits.len() != 2 * BYTES {
        return None;
    }
    let mut key = [0; BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let text = std::str::from_utf8(pair).ok()?;
        // A sign would be taken too.
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(key)
}

/// A key by chance.
#[must_use]
pub fn fresh() -> [u8; BYTES] {
    let mut fresh = [0; BYTES];
    fresh[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    fresh[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    fresh
}

/// What tells one key from another and nothing else of it: the key has 256 bits that nobody can try.
fn fingerprint(key: &[u8; BYTES]) -> String {
    blake3::derive_key("gleaner 2026 fingerprint of a pseudonym key", key)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// The key of a warehouse's pseudonyms: the named one, else the warehouse's own, made when there is none.
///
/// # Errors
/// When it cannot be read or made, or is not the one that was used before.
pub async fn of(
    warehouse: &Warehouse,
    source: Option<&KeySource>,
) -> Result<PseudonymKey, JobError> {
    let own = warehouse.get(KEY).await?;
    let seen = warehouse.get(FINGERPRINT).await?;
    let Some(source) = source else {
        if seen.is_some() && own.is_none() {
            return Err(JobError::Usage(format!(
                "the pseudonyms of this warehouse were made with a key that is kept elsewhere: name it again with --pseudonym-key (or remove {} to \
                 begin with new pseudonyms, which asks about lines with names again)",
                warehouse.url(FINGERPRINT)
            )));
        }
        return own_key(warehouse, own).await;
    };
    let key = source.read()?;
    if own.is_some_and(|own| own != key) {
        return Err(JobError::Usage(format!(
            "--pseudonym-key {source}: the warehouse has a key of its own, and it is another one. To keep its pseudonyms move {} to a file of yours and \
             name that; to begin with new ones remove it",
            warehouse.url(KEY)
        )));
    }
    let id = fingerprint(&key);
    match seen {
        Some(seen) if seen != id.as_bytes() => Err(JobError::Usage(format!(
            "--pseudonym-key {source}: not the key that this warehouse's pseudonyms were made with; name that one (or remove {} to begin with new \
             pseudonyms, which asks about lines with names again)",
            warehouse.url(FINGERPRINT)
        ))),
        Some(_) => Ok(PseudonymKey::new(key)),
        None => {
            warehouse.put(FINGERPRINT, id.into_bytes()).await?;
            Ok(PseudonymKey::new(key))
        }
    }
}

async fn own_key(warehouse: &Warehouse, held: Option<Vec<u8>>) -> Result<PseudonymKey, JobError> {
    let held = if let Some(held) = held {
        held
    } else {
        warehouse.put(KEY, fresh().to_vec()).await?;
        // What is there now: another run may have written it at the same time.
        warehouse.get(KEY).await?.unwrap_or_default()
    };
    let held: [u8; BYTES] = held.try_into().map_err(|_| {
        JobError::Internal(format!(
            "{} is damaged: expected {BYTES} bytes",
            warehouse.url(KEY)
        ))
    })?;
    Ok(PseudonymKey::new(held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Kind;

    fn source(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> KeySource {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        KeySource::File(path)
    }

    #[test]
    fn a_key_is_32_bytes_or_64_digits_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let digits = "0a".repeat(32);
        for bytes in [
            vec![10; 32],
            digits.clone().into_bytes(),
            format!(" {digits}\n").into_bytes(),
        ] {
            assert_eq!(source(&dir, "key", &bytes).read().unwrap(), [10; 32]);
        }
        for bytes in [
            vec![],
            vec![1; 31],
            vec![1; 33],
            "zz".repeat(32).into_bytes(),
            "+a".repeat(32).into_bytes(),
            "0a".repeat(33).into_bytes(),
        ] {
            let said = source(&dir, "key", &bytes).read().unwrap_err().to_string();
            assert!(said.contains("openssl rand -hex 32"), "{said}");
        }
        assert!("env:".parse::<KeySource>().is_err());
        assert_eq!("env:X".parse(), Ok(KeySource::Env("X".into())));
        let unset = KeySource::Env("GLEANER_NO_SUCH_VARIABLE".into());
        assert!(
            unset
                .read()
                .unwrap_err()
                .to_string()
                .contains("GLEANER_NO_SUCH_VARIABLE")
        );
    }

    #[tokio::test]
    async fn a_warehouse_has_one_key_wherever_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (
            source(&dir, "first", &[1; 32]),
            source(&dir, "second", &[2; 32]),
        );
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let warehouse = Warehouse::create(&path("warehouse"), Kind::Command)
            .await
            .unwrap();
        of(&warehouse, Some(&first)).await.unwrap();
        of(&warehouse, Some(&first)).await.unwrap();
        assert_eq!(
            warehouse.get(KEY).await.unwrap(),
            None,
            "the key is not in the warehouse"
        );
        let seen = warehouse.get(FINGERPRINT).await.unwrap().unwrap();
        assert!(seen.len() == 32 && !seen.windows(8).any(|w| w == [1; 8]));
        for other in [Some(&second), None] {
            let said = of(&warehouse, other).await.unwrap_err().to_string();
            assert!(said.contains("name"), "{said}");
        }
        assert_eq!(warehouse.get(KEY).await.unwrap(), None);

        // A warehouse with its own key: that very key may move out.
        let warehouse = Warehouse::create(&path("other"), Kind::Command)
            .await
            .unwrap();
        of(&warehouse, None).await.unwrap();
        let own = warehouse.get(KEY).await.unwrap().unwrap();
        assert!(of(&warehouse, Some(&first)).await.is_err());
        let moved = source(&dir, "moved", &own);
        of(&warehouse, Some(&moved)).await.unwrap();
        warehouse.remove(KEY).await.unwrap();
        of(&warehouse, Some(&moved)).await.unwrap();
        assert!(of(&warehouse, None).await.is_err());
    }
}
