//! The job service: see `proto/gleaner/v1/control.proto`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::prelude::ParquetReadOptions;
use futures::{Stream, StreamExt as _};
use gleaner_proto::control as proto;
use gleaner_proto::control::control_server::Control;
use tonic::{Request, Response, Status};

use super::job::{Job, State, Work};
use super::jobs::{Entry, Jobs};
use super::ledger::RESULTS;
use super::query::{caller, status};
use crate::options::RunOptions;
use crate::session;
use crate::warehouse::Warehouse;

/// A watcher is told so often at most.
const PAUSE: Duration = Duration::from_millis(100);
const LISTED: u32 = 100;
const MOST_LISTED: u32 = 1000;

/// The service.
#[derive(Clone)]
pub struct Service {
    /// All jobs.
    pub jobs: Arc<Jobs>,
    /// Where results are.
    pub warehouse: Warehouse,
    /// What a job's options are held against.
    pub options: Arc<RunOptions>,
}

impl Service {
    async fn entry(&self, id: &str) -> Result<Arc<Entry>, Status> {
        let found = self.jobs.find(id).await.map_err(|e| status(&e))?;
        found.ok_or_else(|| Status::not_found(format!("no job {id:?}: `gleaner jobs` lists them")))
    }
}

#[tonic::async_trait]
impl Control for Service {
    async fn submit(
        &self,
        request: Request<proto::SubmitRequest>,
    ) -> Result<Response<proto::Job>, Status> {
        let by = caller(&request);
        let work = Work::from_proto(request.into_inner(), &self.options);
        let work = work.map_err(|e| status(&e))?;
        let job = self.jobs.submit(work, &by).await.map_err(|e| status(&e))?;
        log::info!("job {}: {} submitted by {by}", job.id, job.title());
        Ok(Response::new((&job).into()))
    }

    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::Job>, Status> {
        let entry = self.entry(&request.get_ref().id).await?;
        Ok(Response::new((&entry.job()).into()))
    }

    async fn list(
        &self,
        request: Request<proto::ListRequest>,
    ) -> Result<Response<proto::ListResponse>, Status> {
        let asked = request.get_ref();
        let limit = match asked.limit {
            0 => LISTED,
            n => n.min(MOST_LISTED),
        };
        let jobs = self.jobs.list();
        let wanted = |job: &&Job| !asked.open || !job.state.ended();
        let jobs = jobs.iter().rev().filter(wanted).take(limit as usize);
        Ok(Response::new(proto::ListResponse {
            jobs: jobs.map(Into::into).collect(),
        }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::Job, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let entry = self.entry(&request.get_ref().id).await?;
        let seen = entry.watch();
        let state = Some((entry, seen, true));
        let stream = futures::stream::unfold(state, |state| async move {
            let (entry, mut seen, first) = state?;
            if !first {
                tokio::time::sleep(PAUSE).await;
                seen.changed().await.ok()?;
            }
            let job = seen.borrow_and_update().clone();
            let shown = proto::Job::from(&job);
            let next = (!job.state.ended()).then_some((entry, seen, false));
            Some((Ok(shown), next))
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn cancel(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::Job>, Status> {
        let by = caller(&request);
        let entry = self.entry(&request.get_ref().id).await?;
        let job = self.jobs.cancel(&entry, &by).await;
        Ok(Response::new((&job.map_err(|e| status(&e))?).into()))
    }

    type ResultStream = Pin<Box<dyn Stream<Item = Result<proto::Piece, Status>> + Send>>;

    async fn result(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        let job = self.entry(&request.get_ref().id).await?.job();
        match &job.work {
            Work::Sql { into: None, .. } => {}
            Work::Sql {
                into: Some(table), ..
            } => {
                return Err(Status::failed_precondition(format!(
                    "the result of job {} is in the table {table}",
                    job.id
                )));
            }
            Work::Day { .. } => {
                return Err(Status::failed_precondition(
                    "a day's result is in the warehouse's tables",
                ));
            }
        }
        if job.state != State::Succeeded {
            return Err(Status::failed_precondition(format!(
                "job {} is {}: it has no result",
                job.id,
                job.state.name()
            )));
        }
        let directory = format!("{RESULTS}/{}", job.id);
        let files = self
            .warehouse
            .list(&directory)
            .await
            .map_err(|e| status(&e))?;
        let mut urls: Vec<_> = files.iter().map(|f| self.warehouse.url(&f.path)).collect();
        urls.sort();
        let read = async {
            let ctx = session::embedded(1 << 28)?;
            let frame = ctx
                .read_parquet(urls, ParquetReadOptions::default())
                .await?;
            let schema = Arc::clone(frame.schema().inner());
            Ok::<_, datafusion::common::DataFusionError>((schema, frame.execute_stream().await?))
        };
        let (schema, batches) = read.await.map_err(|e| status(&e.into()))?;
        let failed = |e: datafusion::arrow::error::ArrowError| Status::internal(e.to_string());
        let writer = StreamWriter::try_new(vec![], &schema).map_err(failed)?;
        let state = Some((writer, batches));
        let stream = futures::stream::unfold(state, move |state| async move {
            let (mut writer, mut batches) = state?;
            let (written, next) = match batches.next().await {
                Some(Ok(batch)) => (writer.write(&batch), true),
                Some(Err(e)) => return Some((Err(status(&e.into())), None)),
                None => (writer.finish(), false),
            };
            if let Err(e) = written {
                return Some((Err(failed(e)), None));
            }
            let ipc = std::mem::take(writer.get_mut());
            let piece = proto::Piece { ipc };
            Some((Ok(piece), next.then_some((writer, batches))))
        });
        Ok(Response::new(stream.boxed()))
    }
}
