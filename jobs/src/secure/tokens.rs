//! Bearer tokens of people. The file holds their SHA-256, so that who reads it gets no token, and is read again when it
//! changes, so that who is taken out of it stays out from the next request on.
//!
//! ```text
//! # name  role      sha256 of the token   valid through (UTC)
//! anna    operator  9f86d081884c7d65…     2027-03-31
//! ```
//!
//! A token is 32 random bytes: its hash needs no salt and no slowness, as there is nothing to guess. It starts with
//! `gleaner_`, by which scanners for secrets find one that was committed somewhere.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{NaiveDate, Utc};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tonic::metadata::{Ascii, MetadataValue};

use super::SecureError;
use super::role::Role;
use super::stamp::{Stamp, allows};

const PREFIX: &str = "gleaner_";

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    role: Role,
    sha256: [u8; 32],
    /// The last day on which it is good.
    through: NaiveDate,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is in no line, or nobody can say.
    Unknown,
    /// Its day has passed.
    Expired,
}

/// A file of tokens.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: Mutex<(Option<Stamp>, Vec<Entry>)>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, others may write it, or a line is wrong; names the line, never what stands in it.
    pub fn open(path: &Path) -> Result<Self, SecureError> {
        let (stamp, entries) = read(path)?;
        if entries.is_empty() {
            log::warn!("{}: no token is in it yet", path.display());
        }
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new((Some(stamp), entries)),
        })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Nobody's, or no longer.
    pub fn find(&self, token: &str) -> Result<(String, Role), Refusal> {
        self.find_on(token, Utc::now().date_naive())
    }

    fn find_on(&self, token: &str, today: NaiveDate) -> Result<(String, Role), Refusal> {
        let sha256 = Sha256::digest(token.as_bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut known);
        // All of them, each in constant time: how long it takes says nothing.
        let mut found = None;
        for entry in &known.1 {
            if bool::from(entry.sha256.as_slice().ct_eq(sha256.as_slice())) {
                found = Some(entry);
            }
        }
        match found {
            None => Err(Refusal::Unknown),
            Some(entry) if entry.through < today => Err(Refusal::Expired),
            Some(entry) => Ok((entry.name.clone(), entry.role)),
        }
    }

    /// A file that is gone or damaged lets nobody in: it may have been changed to keep somebody out.
    fn refresh(&self, known: &mut (Option<Stamp>, Vec<Entry>)) {
        let now = Stamp::of(&self.path).ok();
        if now.is_some() && now == known.0 {
            return;
        }
        match read(&self.path) {
            Ok((stamp, entries)) => {
                log::info!("{}: {} tokens", self.path.display(), entries.len());
                *known = (Some(stamp), entries);
            }
            Err(error) => {
                if known.0.is_some() {
                    log::error!("{error}; until that is mended nobody is let in by a token");
                }
                *known = (None, vec![]);
            }
        }
    }
}

fn read(path: &Path) -> Result<(Stamp, Vec<Entry>), SecureError> {
    let wrong = |why: String| SecureError::File {
        path: path.display().to_string(),
        why,
    };
    let failed = |e: std::io::Error| wrong(e.to_string());
    // Before the content: what is written in between is read the next time.
    let stamp = Stamp::of(path).map_err(failed)?;
    if allows(path, 0o022).map_err(failed)? {
        return Err(wrong(
            "others may write it, and so make tokens of their own: chmod go-w it".to_owned(),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let mut entries: Vec<Entry> = vec![];
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let entry = parse(line).map_err(|why| wrong(format!("line {}: {why}", number + 1)))?;
        if entries.iter().any(|known| known.sha256 == entry.sha256) {
            return Err(wrong(format!(
                "line {}: the same token as in a line before: every person has one of their own",
                number + 1
            )));
        }
        entries.push(entry);
    }
    Ok((stamp, entries))
}

fn parse(line: &str) -> Result<Entry, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [name, role, sha256, through] = fields[..] else {
        return Err(format!(
            "expected name, role, SHA-256 and last day, got {} fields: `gleaner token new` prints such a line",
            fields.len()
        ));
    };
    let sha256 = unhex(sha256)
        .ok_or("the third field is not a SHA-256 in 64 hexadecimal digits (a token itself has no place here)")?;
    let through = through
        .parse()
        .map_err(|_| "the last field is not a day: expected YYYY-MM-DD")?;
    Ok(Entry {
        name: name.to_owned(),
        role: role.parse()?,
        sha256,
        through,
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A token as its owner gives it; it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What `authorization` is set to.
    ///
    /// # Errors
    /// When it is no token.
    pub fn header(&self) -> Result<MetadataValue<Ascii>, SecureError> {
        let header = format!("Bearer {}", self.0).parse::<MetadataValue<Ascii>>();
        let mut header = header.map_err(|_| {
            SecureError::Usage("--token (GLEANER_TOKEN) holds what no token holds".to_owned())
        })?;
        // Neither shown by `Debug` nor kept in the table of a connection's compressed headers.
        header.set_sensitive(true);
        Ok(header)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("the token is empty".to_owned()),
            token => Ok(Self(token.to_owned())),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A token that was made just now: shown once, kept nowhere.
pub struct NewToken {
    /// What the person keeps.
    pub token: String,
    /// What the file is given.
    pub line: String,
}

impl NewToken {
    /// Makes a token that is good for `days`, from today on.
    ///
    /// # Errors
    /// When the name does not fit into a line, or there is no randomness.
    pub fn new(name: &str, role: Role, days: u32) -> Result<Self, SecureError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            return Err(SecureError::Usage(format!(
                "--name {name:?}: expected letters, digits, `-`, `_`, `.` and `@`"
            )));
        }
        let through = Utc::now()
            .date_naive()
            .checked_add_days(chrono::Days::new(u64::from(days)))
            .ok_or_else(|| SecureError::Usage(format!("--days {days} is too far away")))?;
        let mut secret = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut secret)
            .map_err(|_| SecureError::Transport("the system gave no random bytes".to_owned()))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(token.as_bytes()) {
            let _ = write!(sha256, "{byte:02x}");
        }
        Ok(Self {
            token,
            line: format!("{name} {role} {sha256} {through}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_new_token_is_found_by_its_line_and_another_is_not() {
        let (anna, ben) = (
            NewToken::new("anna", Role::Operator, 1).unwrap(),
            NewToken::new("ben", Role::Viewer, 1).unwrap(),
        );
        let (_dir, path) = file(&format!("# people\n\n{} # of the night shift\n", anna.line));
        let tokens = Tokens::open(&path).unwrap();
        assert_eq!(
            tokens.find(&anna.token),
            Ok(("anna".to_owned(), Role::Operator))
        );
        for other in [&ben.token, "", "gleaner_", &anna.token[1..]] {
            assert_eq!(tokens.find(other), Err(Refusal::Unknown));
        }
        assert!(!anna.line.contains(&anna.token));
        assert_ne!(anna.token, ben.token);
        assert_eq!(anna.token.len(), PREFIX.len() + 43);
    }

    #[test]
    fn a_token_is_good_through_its_last_day() {
        let anna = NewToken::new("anna", Role::Viewer, 3).unwrap();
        let (_dir, path) = file(&anna.line);
        let tokens = Tokens::open(&path).unwrap();
        let today = Utc::now().date_naive();
        let after = |days| today + chrono::Days::new(days);
        assert!(tokens.find_on(&anna.token, after(3)).is_ok());
        assert_eq!(tokens.find_on(&anna.token, after(4)), Err(Refusal::Expired));
    }

    #[test]
    fn who_is_taken_out_of_the_file_is_out_and_a_broken_file_lets_nobody_in() {
        let anna = NewToken::new("anna", Role::Viewer, 1).unwrap();
        let ben = NewToken::new("ben", Role::Viewer, 1).unwrap();
        let (_dir, path) = file(&anna.line);
        let tokens = Tokens::open(&path).unwrap();
        assert!(tokens.find(&anna.token).is_ok());
        std::fs::write(&path, &ben.line).unwrap();
        assert!(tokens.find(&anna.token).is_err());
        assert!(tokens.find(&ben.token).is_ok());
        std::fs::write(&path, format!("{}\nben viewer", ben.line)).unwrap();
        assert!(tokens.find(&ben.token).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(tokens.find(&ben.token).is_err());
        std::fs::write(&path, &anna.line).unwrap();
        assert!(tokens.find(&anna.token).is_ok());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let digits = "0".repeat(64);
        for (line, why) in [
            ("anna viewer hunter2", "got 3 fields"),
            ("anna viewer hunter2 2026-01-01", "not a SHA-256"),
            (&format!("anna admin {digits} 2026-01-01"), "unknown role"),
            (&format!("anna driver {digits} 2026-01-01"), "unknown role"),
            (&format!("anna viewer {digits} never"), "YYYY-MM-DD"),
            (
                &format!("a viewer {digits} 2026-01-01\nb operator {digits} 2026-01-01"),
                "line 3: the same token",
            ),
        ] {
            let (_dir, path) = file(&format!("# people\n{line}\n"));
            let error = Tokens::open(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("line "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, path) = file("");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = Tokens::open(&path).unwrap_err().to_string();
        assert!(error.contains("chmod"), "{error}");
    }
}
