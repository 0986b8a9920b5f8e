//! Scoring at its limits, as a client of gRPC sees it: deadlines that pass, a queue that is full; and streams that are none the worse for it.

use std::time::{Duration, Instant};

use futures::channel::mpsc;
use gleaner_proto::scoring as proto;
use gleaner_proto::scoring::scoring_client::ScoringClient;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};

use crate::serve::Server;
use crate::support::{Dir, succeeds};

/// tonic's own channel keeps deadlines itself, with an answer of its own making. This client leaves them to the server.
type Plain = ScoringClient<Client<HttpConnector, Body>>;

fn client(server: &Server) -> Plain {
    let http = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    ScoringClient::with_origin(http, server.url.parse().unwrap())
}

/// So many requests of so many users, from a second of a day on.
fn requests(n: usize) -> proto::ApiRequests {
    let one = |i: usize| proto::ApiRequest {
        id: i.to_string(),
        event_time_micros: Some(1_735_772_400_000_000 + 1000 * i as i64),
        user: Some(format!("user{}", i % 7)),
        method: Some("GET".to_owned()),
        host: Some("shop".to_owned()),
        path: format!("/items/{i}"),
        query: Some(format!("q=some+words+of+request+{i}&page={}", i % 9)),
        status: Some(200),
        ..proto::ApiRequest::default()
    };
    proto::ApiRequests {
        requests: (0..n).map(one).collect(),
    }
}

fn within(message: proto::ApiRequests, timeout: &str) -> Request<proto::ApiRequests> {
    let mut request = Request::new(message);
    let timeout = timeout.parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", timeout);
    request
}

/// A thousand items with a deadline, once there is room for them: what a late call had begun ends first.
async fn patient(server: &Server, timeout: &str) -> Result<proto::Scores, Status> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let call = within(requests(1000), timeout);
        match client(server).score_requests(call).await {
            Err(status) if status.code() == Code::ResourceExhausted => {
                assert!(Instant::now() < until, "there is never room: {status:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer.map(Response::into_inner),
        }
    }
}

/// A stream that is sent to and read from.
struct Open {
    messages: mpsc::Sender<proto::ApiRequests>,
    scores: tonic::Streaming<proto::Scores>,
}

impl Open {
    async fn of(server: &Server) -> Self {
        let (messages, sent) = mpsc::channel(4);
        let opened = client(server).score_stream(sent).await;
        Self {
            messages,
            scores: opened.unwrap().into_inner(),
        }
    }

    async fn scores(&mut self, n: usize) -> usize {
        self.messages.try_send(requests(n)).unwrap();
        let answer = self.scores.message().await.unwrap().unwrap();
        answer.scores.iter().filter(|s| s.error.is_empty()).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_refused_calls_are_told_so_and_a_stream_goes_on() {
    let dir = Dir::new();
    let telemetry = dir.synth("telemetry", &["--kind", "api", "--lines", "400"]);
    let warehouse = dir.join("warehouse");
    let common = [
        "--kind",
        "api",
        "--telemetry",
        &telemetry,
        "--warehouse",
        &warehouse,
    ];
    succeeds(&[&["run", "--date", "2025-01-01"], &common[..]].concat());
    let limits = ["--score-threads", "1", "--score-waiting", "1000"];
    let server = Server::start(&dir, &[&common[..], &limits].concat(), &[]);
    let mut open = Open::of(&server).await;
    assert_eq!(open.scores(3).await, 3);

    // A thousand items take longer than a millisecond; however many are late, each is told.
    for _ in 0..3 {
        let late = patient(&server, "1m").await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
        assert!(late.message().contains("deadline"), "{late:?}");
    }
    // A stream that has a deadline ends by it, though nothing is wrong with it.
    let (mut messages, sent) = mpsc::channel::<proto::ApiRequests>(1);
    let mut bounded = Request::new(sent);
    let timeout = "400m".parse().unwrap();
    bounded.metadata_mut().insert("grpc-timeout", timeout);
    let mut bounded = client(&server)
        .score_stream(bounded)
        .await
        .unwrap()
        .into_inner();
    messages.try_send(requests(1)).unwrap();
    assert_eq!(bounded.message().await.unwrap().unwrap().scores.len(), 1);
    let ended = bounded.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
    // With time enough there is an answer.
    assert_eq!(patient(&server, "60S").await.unwrap().scores.len(), 1000);
    assert_eq!(open.scores(3).await, 3);

    // There is room for a thousand items: of calls at one time some are refused, at once, and told when to come again.
    let mut refused = 0;
    let until = Instant::now() + Duration::from_secs(30);
    while refused == 0 {
        assert!(Instant::now() < until, "no call was refused");
        let calls = (0..8).map(|_| {
            let mut client = client(&server);
            tokio::spawn(async move { client.score_requests(requests(1000)).await })
        });
        let calls: Vec<_> = calls.collect();
        // What is streamed meanwhile waits for its turn.
        assert_eq!(open.scores(1000).await, 1000);
        let mut scored = 0;
        for call in calls {
            let answer: Result<Response<proto::Scores>, Status> = call.await.unwrap();
            match answer {
                Ok(answer) => scored += usize::from(answer.into_inner().scores.len() == 1000),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
                    refused += 1;
                }
            }
        }
        assert!(scored + refused >= 8, "{scored} scored, {refused} refused");
    }
    assert_eq!(open.scores(3).await, 3);
    let answer = client(&server).score_requests(requests(10)).await;
    assert_eq!(answer.unwrap().into_inner().scores.len(), 10);
}
