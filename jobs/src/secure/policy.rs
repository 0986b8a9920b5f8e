//! A layer that decides by a request's path and its caller's roles, before a service sees it.
//!
//! The first rule whose path fits decides; a path without a rule is nobody's. A caller's roles are those of the
//! certificate and of the bearer token that it brings; a token that does not hold is refused also beside a good
//! certificate. gRPC callers are told `UNAUTHENTICATED` or `PERMISSION_DENIED`, others 401 or 403.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;

use super::listener::Peer;
use super::role::Role;
use super::tokens::{Refusal, Tokens};

/// Who may use a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the port.
    Anyone,
    /// Who has one of these roles.
    Roles(&'static [Role]),
}

/// One line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// A whole path, or how paths begin where a `*` is its end. gRPC's paths are `/package.Service/Method`.
    pub path: &'static str,
    /// Who may.
    pub who: Who,
}

impl Rule {
    /// A rule for some roles.
    #[must_use]
    pub const fn new(path: &'static str, roles: &'static [Role]) -> Self {
        Self {
            path,
            who: Who::Roles(roles),
        }
    }

    fn fits(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == self.path,
        }
    }
}

/// Who asks; in the extensions of requests that were let through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The token's name, else the certificate's; empty where nobody had to say.
    pub name: String,
    /// Of token and certificate.
    pub roles: BTreeSet<Role>,
}

/// What may be called on a port.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: &'static [Rule],
    tokens: Option<Arc<Tokens>>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Denied {
    /// Who is it?
    Unauthenticated(&'static str),
    /// It is known who it is, and that is not enough.
    Forbidden(String),
}

impl Policy {
    /// These rules for who shows a certificate or, with `tokens`, brings one.
    #[must_use]
    pub const fn new(rules: &'static [Rule], tokens: Option<Arc<Tokens>>) -> Self {
        Self {
            rules,
            tokens,
            open: false,
        }
    }

    /// No rules: a port of this machine's own, or of a network that is trusted with it (`--insecure`).
    #[must_use]
    pub const fn open() -> Self {
        Self {
            rules: &[],
            tokens: None,
            open: true,
        }
    }

    fn decide(&self, request: &Parts) -> Result<Caller, Denied> {
        if self.open {
            return Ok(Caller::default());
        }
        let path = request.uri.path();
        let rule = self.rules.iter().find(|rule| rule.fits(path));
        if rule.is_some_and(|rule| rule.who == Who::Anyone) {
            return Ok(Caller::default());
        }
        let caller = self.caller(request)?;
        match rule.map(|rule| rule.who) {
            Some(Who::Roles(roles)) if roles.iter().any(|role| caller.roles.contains(role)) => {
                Ok(caller)
            }
            Some(Who::Roles(roles)) => {
                let names = |roles: Vec<&str>| match roles[..] {
                    [] => "no role".to_owned(),
                    _ => roles.join(", "),
                };
                let has = names(caller.roles.iter().map(|role| role.name()).collect());
                let needs = names(roles.iter().map(|role| role.name()).collect());
                Err(Denied::Forbidden(format!(
                    "{path} is for {needs}; this caller is {has}"
                )))
            }
            Some(Who::Anyone) => Ok(caller),
            None => Err(Denied::Forbidden(format!("{path} is for nobody"))),
        }
    }

    fn caller(&self, request: &Parts) -> Result<Caller, Denied> {
        let peer = request.extensions.get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        let mut caller = certificate.map_or_else(Caller::default, |certificate| Caller {
            name: certificate.name.clone(),
            roles: certificate.roles.clone(),
        });
        match (&self.tokens, request.headers.get(AUTHORIZATION)) {
            (Some(tokens), Some(given)) => {
                let token = bearer(given).ok_or(Denied::Unauthenticated(
                    "expected `authorization: Bearer TOKEN`",
                ))?;
                let (name, role) = tokens.find(token).map_err(|refusal| {
                    Denied::Unauthenticated(match refusal {
                        Refusal::Unknown => "the token is not known here",
                        Refusal::Expired => "the token has expired: ask for a new one",
                    })
                })?;
                caller.name = name;
                caller.roles.insert(role);
            }
            (None, Some(_)) if certificate.is_none() => {
                return Err(Denied::Unauthenticated("no token is taken here"));
            }
            (_, None) if certificate.is_none() => {
                return Err(Denied::Unauthenticated(
                    "a token is missing (--token, GLEANER_TOKEN), or a certificate",
                ));
            }
            _ => {}
        }
        Ok(caller)
    }
}

fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn refuse(request: &Parts, denied: Denied) -> Response<Body> {
    let from = request.extensions.get::<Peer>();
    let from = from.map_or_else(|| "somebody".to_owned(), |peer| peer.address.to_string());
    let (code, why) = match denied {
        Denied::Unauthenticated(why) => (StatusCode::UNAUTHORIZED, why.to_owned()),
        Denied::Forbidden(why) => (StatusCode::FORBIDDEN, why),
    };
    log::warn!("{from} was refused: {why}");
    let kind = request.headers.get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        let status = match code {
            StatusCode::UNAUTHORIZED => Status::unauthenticated(why),
            _ => Status::permission_denied(why),
        };
        return status.into_http();
    }
    let mut response = Response::new(Body::new(why + "\n"));
    *response.status_mut() = code;
    if code == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

impl<S> Layer<S> for Policy {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            policy: self.clone(),
            inner,
        }
    }
}

/// A service behind a [`Policy`].
#[derive(Debug, Clone)]
pub struct Gate<S> {
    policy: Policy,
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.policy.decide(&parts) {
            Ok(caller) => {
                parts.extensions.insert(caller);
                Box::pin(self.inner.call(Request::from_parts(parts, body)))
            }
            Err(denied) => {
                let response = refuse(&parts, denied);
                Box::pin(async move { Ok(response) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::role::Certificate;
    use crate::secure::tokens::NewToken;

    const RULES: &[Rule] = &[
        Rule {
            path: "/healthz",
            who: Who::Anyone,
        },
        Rule::new("/x.S/Poll", &[Role::Executor]),
        Rule::new("/x.S/*", &[Role::Driver, Role::Operator]),
    ];

    fn ask(policy: &Policy, path: &str, role: Option<Role>, token: Option<&str>) -> u16 {
        let mut request = Request::builder().uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let certificate = role.map(|role| {
            Arc::new(Certificate {
                name: "host".to_owned(),
                roles: BTreeSet::from([role]),
            })
        });
        parts.extensions.insert(Peer {
            address: "127.0.0.1:1".parse().unwrap(),
            certificate,
        });
        match policy.decide(&parts) {
            Ok(_) => 200,
            Err(denied) => refuse(&parts, denied).status().as_u16(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_a_path_without_one_is_nobodys() {
        let policy = Policy::new(RULES, None);
        for (path, role, answer) in [
            ("/healthz", None, 200),
            ("/healthz/x", None, 401),
            ("/x.S/Poll", None, 401),
            ("/x.S/Poll", Some(Role::Executor), 200),
            ("/x.S/Poll", Some(Role::Driver), 403),
            ("/x.S/Ask", Some(Role::Driver), 200),
            ("/x.S/Ask", Some(Role::Executor), 403),
            ("/x.S/poll", Some(Role::Executor), 403),
            ("/other", Some(Role::Driver), 403),
            ("/", Some(Role::Driver), 403),
        ] {
            assert_eq!(ask(&policy, path, role, None), answer, "{path} {role:?}");
        }
        assert_eq!(ask(&Policy::open(), "/other", None, None), 200);
    }

    #[test]
    fn a_token_gives_its_role_and_a_wrong_one_is_refused_beside_a_certificate_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let anna = NewToken::new("anna", Role::Operator, 1).unwrap();
        let ben = NewToken::new("ben", Role::Viewer, 1).unwrap();
        std::fs::write(&path, format!("{}\n{}\n", anna.line, ben.line)).unwrap();
        let tokens = Arc::new(Tokens::open(&path).unwrap());
        let policy = Policy::new(RULES, Some(tokens));
        let header = |token: &str| format!("Bearer {token}");
        for (token, role, answer) in [
            (header(&anna.token), None, 200),
            (format!("bearer  {}", anna.token), None, 200),
            (header(&ben.token), None, 403),
            (header(&ben.token), Some(Role::Driver), 200),
            (header("gleaner_x"), Some(Role::Driver), 401),
            (header(""), None, 401),
            (anna.token.clone(), None, 401),
            (format!("Basic {}", anna.token), None, 401),
        ] {
            assert_eq!(
                ask(&policy, "/x.S/Ask", role, Some(&token)),
                answer,
                "{role:?}"
            );
        }
        let tokenless = Policy::new(RULES, None);
        let header = header(&anna.token);
        assert_eq!(ask(&tokenless, "/x.S/Ask", None, Some(&header)), 401);
    }

    #[test]
    fn grpc_callers_are_told_in_grpcs_words() {
        let request = Request::builder()
            .uri("/x.S/Ask")
            .header(CONTENT_TYPE, "application/grpc+proto");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let policy = Policy::new(RULES, None);
        let response = refuse(&parts, policy.decide(&parts).unwrap_err());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "16");
    }
}
