//! Where the key of a warehouse's pseudonyms lies, and who can read it.

use super::Check;
use crate::labels::pseudonyms::{FINGERPRINT, KEY, KeySource};
use crate::warehouse::Warehouse;

const NAME: &str = "pseudonyms";

/// Looks at a warehouse's key; nothing where the warehouse has not labelled anything yet and no key is named.
pub async fn check(warehouse: &str, source: Option<&KeySource>) -> Vec<Check> {
    let mut checks = vec![];
    if let Some(source) = source {
        checks.push(match source.read() {
            Ok(_) => Check::ok(NAME, format!("{source} holds a key")),
            Err(e) => Check::failed(NAME, e.to_string(), "make one: openssl rand -hex 32"),
        });
        checks.extend(readable(source));
    }
    let held = async {
        if !Warehouse::exists(warehouse).await? {
            return Ok((false, false));
        }
        let warehouse = Warehouse::open(warehouse).await?;
        let there = |bytes: Option<Vec<u8>>| bytes.is_some();
        Ok::<_, crate::error::JobError>((
            there(warehouse.get(KEY).await?),
            there(warehouse.get(FINGERPRINT).await?),
        ))
    };
    checks.extend(match held.await {
        Ok((true, _)) => Some(Check::warning(
            NAME,
            format!("the key of users' and hosts' pseudonyms lies unencrypted in the warehouse ({KEY}): who reads it can try names"),
            "move that file to where only the labelling account reads it, and name it: --pseudonym-key FILE, or GLEANER_PSEUDONYM_KEY",
        )),
        Ok((false, true)) if source.is_none() => Some(Check::warning(
            NAME,
            "the key of users' and hosts' pseudonyms is kept elsewhere, and not named here",
            "name it: --pseudonym-key, or GLEANER_PSEUDONYM_KEY",
        )),
        // Whether the warehouse can be read is another check's finding.
        Ok(_) | Err(_) => None,
    });
    checks
}

/// A file that others than its owner can read.
#[cfg(unix)]
fn readable(source: &KeySource) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt as _;
    let KeySource::File(path) = source else {
        return None;
    };
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        Check::warning(
            NAME,
            format!("{source} can be read or written by others than its owner"),
            format!("chmod 600 {source}"),
        )
    })
}

#[cfg(not(unix))]
fn readable(_: &KeySource) -> Option<Check> {
    None
}
