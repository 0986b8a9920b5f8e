//! Deadlines of calls, as gRPC's clients send them (`grpc-timeout`).
//!
//! tonic's server keeps them too, with the answer `CANCELLED`, which a caller reads as its own doing; a stream it leaves alone once that has begun. Here the answer is
//! `DEADLINE_EXCEEDED`, as gRPC has it, and a stream ends by its deadline. What waits when that passes is dropped, and is not scored.
//!
//! A call's time runs from its head on, before its message has been read: so what is bounded is the service ([`Within`]), not its methods.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;

/// The header, after the specification "gRPC over HTTP2".
const HEADER: &str = "grpc-timeout";

/// Until when a call wants its answer; `None`: it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// Of a call that begins now.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let given = metadata.get(HEADER).and_then(|value| value.to_str().ok());
        Self::given(given)
    }

    fn given(text: Option<&str>) -> Self {
        let given = text.and_then(parsed);
        // A twentieth less: the answer has its way to go, and is to be there before tonic's own.
        Self(given.and_then(|given| Instant::now().checked_add(given.mul_f64(0.95))))
    }

    /// The answer of `work`, or that there was none in time.
    pub(super) async fn keep<T>(
        self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Some(at) = self.0 else {
            return work.await;
        };
        tokio::time::timeout_at(at, work).await.unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(
                "there was no answer within the deadline that the call came with; give it more time, or send fewer items in a message",
            ))
        })
    }
}

/// A service whose calls are answered by their deadlines.
#[derive(Debug, Clone)]
pub struct Within<S>(pub S);

impl<S: NamedService> NamedService for Within<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<S> Service<http::Request<Body>> for Within<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let given = request.headers().get(HEADER);
        let deadline = Deadline::given(given.and_then(|value| value.to_str().ok()));
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = async { answer.await.map_err(|never| match never {}) };
            Ok(deadline
                .keep(answer)
                .await
                .unwrap_or_else(|late: Status| late.into_http()))
        })
    }
}

/// At most eight digits and a unit; `None` for anything else, which is no deadline.
fn parsed(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        for (text, expected) in [
            ("100m", Some(Duration::from_millis(100))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("250000u", Some(Duration::from_millis(250))),
            ("7n", Some(Duration::from_nanos(7))),
            ("123456789m", None),
            ("m", None),
            ("", None),
            ("-1m", None),
            ("10", None),
            ("10é", None),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn what_takes_longer_is_late_and_what_has_no_deadline_waits() {
        let mut metadata = MetadataMap::new();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Ok(7)
        };
        assert_eq!(Deadline::of(&metadata).keep(slow()).await.unwrap(), 7);
        metadata.insert(HEADER, "20m".parse().unwrap());
        let late = Deadline::of(&metadata).keep(slow()).await.unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
        metadata.insert(HEADER, "10S".parse().unwrap());
        assert_eq!(Deadline::of(&metadata).keep(slow()).await.unwrap(), 7);
    }
}
