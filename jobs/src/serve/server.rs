//! Starts everything, and ends it in order.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use gleaner_proto::control::control_server::ControlServer;
use gleaner_proto::scoring::scoring_server::ScoringServer;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tonic::service::Routes;

use super::control::Service;
use super::jobs::Jobs;
use super::lease::Lease;
use super::metrics;
use super::query::Queries;
use super::review::Review;
use super::runner::{AfterDay, Retries, Runner};
use super::schedule::Schedule;
use super::scoring::watch::{keep_latest, look};
use super::scoring::{self, Scorer, ScoringOptions};
use crate::engine::Engine;
use crate::error::JobError;
use crate::observe::listener;
use crate::options::RunOptions;
use crate::secure::{self, Policy, ServerTls};
use crate::warehouse::Warehouse;

/// What a query of the SQL service may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From its arrival to its last row.
    pub time: Duration,
    /// Beyond which it fails.
    pub memory_bytes: usize,
    /// Of its result.
    pub rows: u64,
    /// Queries at a time.
    pub slots: usize,
}

/// A server, before it starts.
pub struct Server {
    /// Where tasks run.
    pub engine: Engine,
    /// The warehouse's place, as given.
    pub warehouse: String,
    /// Of every day.
    pub options: RunOptions,
    /// `None`: jobs are submitted only.
    pub schedule: Option<Schedule>,
    /// Of failed jobs.
    pub retries: Retries,
    /// SQL jobs at a time.
    pub sql_slots: usize,
    /// SQL jobs that follow every day that succeeds.
    pub after_day: Vec<AfterDay>,
    /// Of the SQL service.
    pub limits: Limits,
    /// Of the scoring service.
    pub scoring: ScoringOptions,
    /// Certificates of the port.
    pub tls: Option<ServerTls>,
    /// Who may call what.
    pub policy: Policy,
    /// The page on which analysts go through the audit sample; `None`: there is none.
    pub review: Option<Review>,
    /// Where metrics and health are told; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl Server {
    /// Serves until `shutdown`; says `ready` when it does. Running jobs are stopped then, and queued for the next server.
    ///
    /// # Errors
    /// When the warehouse cannot be had (another server has it, it cannot be written), or the port fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        ready: impl FnOnce() + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), JobError> {
        let warehouse = Warehouse::create(&self.warehouse, self.options.kind).await?;
        warehouse.settle().await?;
        let holder = format!("process {} on {}", std::process::id(), hostname());
        let mut lease = Lease::take(&warehouse, &holder).await?;
        let jobs = Arc::new(Jobs::load(warehouse.clone()).await?);
        let (place, embedder) = (self.warehouse, self.options.embedder.address.clone());
        let stopping = watch::Sender::new(false);
        let published = Arc::new(Notify::new());
        let runner = Arc::new(Runner {
            jobs: Arc::clone(&jobs),
            engine: self.engine,
            warehouse: warehouse.clone(),
            place: place.clone(),
            options: self.options.clone(),
            retries: self.retries,
            sql_slots: self.sql_slots,
            after_day: self.after_day,
            published: Arc::clone(&published),
            stopping: stopping.clone(),
        });
        let service = Service {
            jobs: Arc::clone(&jobs),
            warehouse: warehouse.clone(),
            options: Arc::new(self.options),
        };
        let queries = Queries::new(warehouse.clone(), &place, &embedder, self.limits)?;
        let scorer = Arc::new(Scorer::new(warehouse.kind(), self.scoring.states));
        let live = scoring::Service::new(Arc::clone(&scorer), self.scoring)?;
        // Whoever asks as soon as the port answers is scored, where there is a day.
        look(&scorer, &warehouse, self.scoring).await;
        let watching = keep_latest(scorer, warehouse.clone(), self.scoring, published);
        let watching = tokio::spawn(watching);
        let running = tokio::spawn(Arc::clone(&runner).run());
        let told = metrics::served(&jobs, &warehouse, self.schedule.as_ref(), &live);
        let scheduling = self
            .schedule
            .map(|schedule| tokio::spawn(schedule.run(jobs, warehouse.clone())));
        let mut closed = stopping.subscribe();
        let routes = Routes::new(ControlServer::new(service))
            .add_service(scoring::Within(ScoringServer::new(live)))
            .add_service(FlightServiceServer::new(queries));
        let answering = secure::serve(listener, self.tls, self.policy, routes, async move {
            let _ = closed.wait_for(|stopping| *stopping).await;
        });
        let mut closing = stopping.subscribe();
        let reviewing = self.review.map(|review| {
            let shutdown = async move {
                let _ = closing.wait_for(|stopping| *stopping).await;
            };
            tokio::spawn(review.serve(warehouse.clone(), shutdown))
        });
        let told = match self.metrics {
            Some(address) => listener::listen(address, told).await.map(|_| ()),
            None => Ok(()),
        };
        let mut answering = tokio::spawn(answering);
        let mut answers = true;
        let result = if let Err(e) = told {
            Err(e)
        } else {
            ready();
            tokio::select! {
                () = shutdown => Ok(()),
                lost = lease.keep() => Err(lost),
                ended = &mut answering => {
                    answers = false;
                    Err(JobError::Internal(format!("the port is closed: {ended:?}")))
                }
            }
        };
        stopping.send_replace(true);
        running.abort();
        watching.abort();
        if let Some(scheduling) = scheduling {
            scheduling.abort();
        }
        runner.stopped().await;
        // Watchers of jobs keep their streams open for as long as they like.
        if answers {
            let _ = tokio::time::timeout(Duration::from_secs(2), answering).await;
        }
        if let Some(reviewing) = reviewing {
            let _ = tokio::time::timeout(Duration::from_secs(2), reviewing).await;
        }
        lease.release().await;
        result
    }
}

fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
