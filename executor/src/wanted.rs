//! Whether a running task's job still runs. Nobody tells a pull-mode executor, so it asks: every few seconds the scheduler,
//! for the state of the job. A task whose job was cancelled or has failed is ended, and gives its slot back.
//!
//! A scheduler that does not answer says nothing about a job. One that answers and does not know the job was restarted:
//! it has forgotten the job for good, whoever waits for it runs it anew, and what this task computes nobody will fetch.
//! It must say so twice.

use std::time::Duration;

use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{GetJobStatusParams, job_status};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};

/// How often a task's job is asked for. Most tasks are over before the first time.
const EVERY: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);

/// The jobs of a scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    scheduler: SchedulerGrpcClient<Channel>,
    /// That of the process: tasks run on one whose threads they may keep for themselves.
    runtime: Handle,
}

enum State {
    Runs,
    Unknown,
    Silent,
    Ended(&'static str),
}

impl Jobs {
    /// Connects at the first question. To be called on the process's runtime.
    pub(crate) fn new(scheduler: &Endpoint) -> Self {
        Self {
            scheduler: SchedulerGrpcClient::new(scheduler.connect_lazy()),
            runtime: Handle::current(),
        }
    }

    /// Asks for a job from now on, and ends, with a sentence, when the job has. Else never.
    pub(crate) async fn ended(&self, job: String) -> String {
        let mut asking = Asking(self.runtime.spawn(self.clone().ask(job)));
        match (&mut asking.0).await {
            Ok(why) => why,
            // The process stops.
            Err(_) => std::future::pending().await,
        }
    }

    async fn ask(self, job_id: String) -> String {
        let mut unknown = 0;
        loop {
            sleep(EVERY).await;
            match self.state(&job_id).await {
                State::Runs => unknown = 0,
                State::Unknown => unknown += 1,
                State::Silent => {}
                State::Ended(how) => return format!("the task was stopped: its job {how}"),
            }
            if unknown == 2 {
                return "the task was stopped: the scheduler does not know its job (any more)"
                    .to_owned();
            }
        }
    }

    async fn state(&self, job_id: &str) -> State {
        let params = GetJobStatusParams {
            job_id: job_id.to_owned(),
        };
        let mut scheduler = self.scheduler.clone();
        let Ok(Ok(answer)) = timeout(ANSWER, scheduler.get_job_status(params)).await else {
            return State::Silent;
        };
        let Some(status) = answer.into_inner().status else {
            return State::Unknown;
        };
        match status.status {
            Some(job_status::Status::Failed(_)) => State::Ended("was cancelled, or has failed"),
            _ => State::Runs,
        }
    }
}

/// A question on another runtime, which ends with who waits for it.
struct Asking(JoinHandle<String>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}
