//! The scoring service: see `proto/gleaner/v1/scoring.proto`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use gleaner_proto::scoring as proto;
use gleaner_proto::scoring::scoring_server::Scoring;
use tonic::{Request, Response, Status};

use super::deadline::Deadline;
use super::metrics::scoring;
use super::models::Loaded;
use super::pool::{Pool, Room};
use super::scorer::Answer;
use super::{Scorer, ScoringOptions};
use crate::error::JobError;
use crate::telemetry::Kind;

/// Items of a message.
const MOST_ITEMS: usize = 1000;

/// The service.
#[derive(Clone)]
pub struct Service {
    scorer: Arc<Scorer>,
    pool: Arc<Pool>,
}

impl Service {
    /// # Errors
    /// When no thread can be had.
    pub fn new(scorer: Arc<Scorer>, options: ScoringOptions) -> Result<Self, JobError> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = match options.threads {
            0 => cores(),
            n => n,
        };
        let pool = Arc::new(Pool::new(threads, options.waiting.max(MOST_ITEMS))?);
        Ok(Self { scorer, pool })
    }

    /// Tells the metrics what is held now.
    pub fn measure(&self) {
        scoring().holds(self.scorer.holds(), self.pool.taken());
    }

    fn loaded(&self, wanted: Kind) -> Result<Arc<Loaded>, Status> {
        if self.scorer.kind() != wanted {
            let other = match wanted {
                Kind::Api => "the warehouse holds command lines: ScoreCommands scores them",
                Kind::Command => "the warehouse holds requests: ScoreRequests scores them",
            };
            return Err(Status::failed_precondition(other));
        }
        self.scorer.loaded().ok_or_else(|| {
            let problem = self.scorer.problem();
            Status::unavailable(if problem.is_empty() {
                "the models are being loaded: try again in a moment".to_owned()
            } else {
                format!("nothing can be scored yet: {problem}")
            })
        })
    }

    /// Room for items, or a refusal.
    fn room(&self, items: usize) -> Result<Room, Status> {
        few(items)?;
        self.pool.now(items).map_err(|status| {
            scoring().refused(items);
            *status
        })
    }

    async fn scored(
        &self,
        room: Room,
        job: impl FnOnce(&Scorer) -> Answer + Send + 'static,
    ) -> Result<Vec<proto::Score>, Status> {
        let (arrived, scorer) = (Instant::now(), Arc::clone(&self.scorer));
        let answer = self.pool.run(room, move || job(&scorer)).await?;
        let good = (answer.scores.len() as u64).saturating_sub(answer.invalid);
        scoring().answered(good, answer.invalid, arrived.elapsed().as_secs_f64());
        Ok(answer.scores)
    }

    async fn requests(
        &self,
        room: Room,
        loaded: Arc<Loaded>,
        items: Vec<proto::ApiRequest>,
    ) -> Result<Vec<proto::Score>, Status> {
        self.scored(room, move |scorer| scorer.requests(&loaded, items))
            .await
    }
}

fn few(items: usize) -> Result<(), Status> {
    if items > MOST_ITEMS {
        return Err(Status::invalid_argument(format!(
            "a message of {items} items: {MOST_ITEMS} at most"
        )));
    }
    Ok(())
}

#[tonic::async_trait]
impl Scoring for Service {
    async fn score_request(
        &self,
        request: Request<proto::ApiRequest>,
    ) -> Result<Response<proto::Score>, Status> {
        let loaded = self.loaded(Kind::Api)?;
        let room = self.room(1)?;
        let items = vec![request.into_inner()];
        let mut scores = self.requests(room, loaded, items).await?;
        let score = scores
            .pop()
            .ok_or_else(|| Status::internal("an item without an answer"))?;
        Ok(Response::new(score))
    }

    async fn score_requests(
        &self,
        request: Request<proto::ApiRequests>,
    ) -> Result<Response<proto::Scores>, Status> {
        let loaded = self.loaded(Kind::Api)?;
        let items = request.into_inner().requests;
        let room = self.room(items.len())?;
        let scores = self.requests(room, loaded, items).await?;
        Ok(Response::new(proto::Scores { scores }))
    }

    type ScoreStreamStream = Pin<Box<dyn Stream<Item = Result<proto::Scores, Status>> + Send>>;

    async fn score_stream(
        &self,
        request: Request<tonic::Streaming<proto::ApiRequests>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        self.loaded(Kind::Api)?;
        let deadline = Deadline::of(request.metadata());
        let state = (request.into_inner(), self.clone());
        let stream = futures::stream::try_unfold(state, move |(mut messages, service)| {
            deadline.keep(async move {
                let Some(message) = messages.message().await? else {
                    return Ok(None);
                };
                let items = message.requests;
                few(items.len())?;
                let room = service.pool.wait(items.len()).await?;
                // Each message is scored with the models of its moment: a stream may live for weeks.
                let loaded = service.loaded(Kind::Api)?;
                let scores = service.requests(room, loaded, items).await?;
                Ok(Some((proto::Scores { scores }, (messages, service))))
            })
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn score_commands(
        &self,
        request: Request<proto::CommandLines>,
    ) -> Result<Response<proto::Scores>, Status> {
        let loaded = self.loaded(Kind::Command)?;
        let items = request.into_inner().commands;
        let room = self.room(items.len())?;
        let scores = self
            .scored(room, move |scorer| scorer.commands(&loaded, items))
            .await?;
        Ok(Response::new(proto::Scores { scores }))
    }

    async fn models(
        &self,
        _request: Request<proto::ModelsRequest>,
    ) -> Result<Response<proto::ModelsInUse>, Status> {
        let mut answer = proto::ModelsInUse {
            kind: self.scorer.kind().to_string(),
            problem: self.scorer.problem(),
            ..proto::ModelsInUse::default()
        };
        if let Some(loaded) = self.scorer.loaded() {
            answer.day.clone_from(&loaded.day_text);
            answer.since_ms = loaded.since_ms;
            answer.models.clone_from(&loaded.models);
        }
        Ok(Response::new(answer))
    }
}
