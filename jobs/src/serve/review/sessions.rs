//! Who is signed in to the review page.
//!
//! A session's name is 32 random bytes in a cookie that scripts cannot read, other sites cannot have sent, and TLS alone carries. It is held by its hash, for twelve
//! hours at most, in memory: a server that starts anew asks everybody to sign in again. The token behind it is asked for at every request, so
//! that who is taken out of the file is out at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gleaner_udfs::model_cache::sha256;

use crate::secure::tokens::Refusal;
use crate::secure::{Role, Tokens};

/// How long one is signed in.
const LASTS: Duration = Duration::from_hours(12);
/// Sessions at a time; beyond, the oldest ends.
const MOST: usize = 1000;
/// Characters of a name that somebody gives without a token.
const NAME: usize = 64;

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The analyst of their verdicts.
    pub(super) name: String,
    /// Whether they may give verdicts.
    pub(super) may_judge: bool,
}

struct Held {
    /// The token, or the name where none is wanted.
    secret: String,
    since: Instant,
}

/// All of them.
pub(super) struct Sessions {
    tokens: Option<Arc<Tokens>>,
    secure: bool,
    held: Mutex<BTreeMap<String, Held>>,
}

impl Sessions {
    pub(super) fn new(tokens: Option<Arc<Tokens>>, secure: bool) -> Self {
        Self {
            tokens,
            secure,
            held: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) fn wants_token(&self) -> bool {
        self.tokens.is_some()
    }

    /// `__Host-` has the browser refuse one that another name of the domain, or a page without TLS, has set.
    fn cookie(&self) -> &'static str {
        if self.secure {
            "__Host-gleaner-review"
        } else {
            "gleaner-review"
        }
    }

    fn who(&self, secret: &str) -> Result<Session, &'static str> {
        let Some(tokens) = &self.tokens else {
            let name = secret.trim();
            let fits = |c: char| c.is_alphanumeric() || " -_.@'".contains(c);
            if name.is_empty() || name.chars().count() > NAME || !name.chars().all(fits) {
                return Err(
                    "a name has letters, digits, blanks and - _ . @ ', 64 characters at most",
                );
            }
            return Ok(Session {
                name: name.to_owned(),
                may_judge: true,
            });
        };
        match tokens.find(secret.trim()) {
            Ok((_, role)) if !matches!(role, Role::Viewer | Role::Operator) => {
                Err("this is no token of a person's: viewers and operators sign in here")
            }
            Ok((name, role)) => Ok(Session {
                name,
                may_judge: role == Role::Operator,
            }),
            Err(Refusal::Unknown) => Err("the token is not known here"),
            Err(Refusal::Expired) => Err("the token has expired: ask for a new one"),
        }
    }

    /// Signs in with a token, or a name; returns the session and the cookie that is to be set.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn open(&self, secret: &str) -> Result<(Session, String), &'static str> {
        let session = self.who(secret)?;
        let mut random = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut random)
            .map_err(|_| "the system gave no random bytes")?;
        let id = URL_SAFE_NO_PAD.encode(random);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| held.since.elapsed() < LASTS);
        if held.len() >= MOST {
            let oldest = held.iter().min_by_key(|(_, held)| held.since);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                held.remove(&oldest);
            }
        }
        let secret = secret.trim().to_owned();
        let since = Instant::now();
        held.insert(sha256(id.as_bytes()), Held { secret, since });
        Ok((session, self.set(&id, LASTS.as_secs())))
    }

    fn set(&self, id: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.cookie()
        )
    }

    fn key<'c>(&self, cookies: impl Iterator<Item = &'c str>) -> Option<String> {
        let name = self.cookie();
        let mut pairs = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, id) = pairs.find(|(held, _)| *held == name)?;
        Some(sha256(id.as_bytes()))
    }

    /// Whose session a request's cookies name, if it still holds.
    pub(super) fn find<'c>(&self, cookies: impl Iterator<Item = &'c str>) -> Option<Session> {
        let key = self.key(cookies)?;
        let secret = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let held = held.get(&key)?;
            (held.since.elapsed() < LASTS).then(|| held.secret.clone())?
        };
        self.who(&secret).ok()
    }

    /// Ends a session; returns the cookie that forgets it.
    pub(super) fn close<'c>(&self, cookies: impl Iterator<Item = &'c str>) -> String {
        if let Some(key) = self.key(cookies) {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.remove(&key);
        }
        self.set("", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::NewToken;

    fn of(cookie: &str) -> &str {
        cookie.split(';').next().unwrap()
    }

    #[test]
    fn a_session_is_its_tokens_and_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let anna = NewToken::new("anna", Role::Operator, 1).unwrap();
        let ben = NewToken::new("ben", Role::Viewer, 1).unwrap();
        let gateway = NewToken::new("gateway", Role::Sensor, 1).unwrap();
        let lines = [&anna, &ben, &gateway].map(|t| t.line.clone()).join("\n");
        std::fs::write(&path, lines).unwrap();
        let sessions = Sessions::new(Some(Arc::new(Tokens::open(&path).unwrap())), true);
        let (session, cookie) = sessions.open(&anna.token).unwrap();
        assert!(session.name == "anna" && session.may_judge);
        for attribute in [
            "__Host-",
            "; Secure",
            "; HttpOnly",
            "; SameSite=Strict",
            "; Path=/",
        ] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains(&anna.token));
        assert!(sessions.open(&gateway.token).is_err());
        let (viewer, theirs) = sessions.open(&ben.token).unwrap();
        assert!(viewer.name == "ben" && !viewer.may_judge);
        assert_eq!(sessions.find([of(&cookie)].into_iter()), Some(session));
        assert_eq!(
            sessions.find(["a=b; __Host-gleaner-review=x"].into_iter()),
            None
        );
        assert!(sessions.open("gleaner_wrong").is_err() && sessions.open("anna").is_err());
        // Ben is taken out of the file.
        std::fs::write(&path, format!("{}\n# ben is gone\n", anna.line)).unwrap();
        assert_eq!(sessions.find([of(&theirs)].into_iter()), None);
        sessions.close([of(&cookie)].into_iter());
        assert_eq!(sessions.find([of(&cookie)].into_iter()), None);
    }

    #[test]
    fn without_tokens_a_name_is_wanted_and_a_secure_cookie_is_not() {
        let sessions = Sessions::new(None, false);
        for wrong in ["", "  ", "<b>", &"x".repeat(65)] {
            assert!(sessions.open(wrong).is_err(), "{wrong}");
        }
        let (session, cookie) = sessions.open(" Zoë O'Neill ").unwrap();
        assert!(session.name == "Zoë O'Neill" && !cookie.contains("Secure"));
        assert_eq!(sessions.find([of(&cookie)].into_iter()), Some(session));
    }
}
