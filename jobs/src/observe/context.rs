//! What is being worked on, for whoever writes about it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;

/// What a line of a log or a span is about, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// A run of a day.
    pub run: Option<Arc<str>>,
    /// A job of `gleaner serve`; on the cluster Ballista's.
    pub job: Option<Arc<str>>,
    /// The day.
    pub day: Option<NaiveDate>,
    /// The stage; on the cluster the number of Ballista's.
    pub stage: Option<Arc<str>>,
    /// The task.
    pub task: Option<Arc<str>>,
    /// The span that spans of parts belong below.
    pub span: Option<super::spans::Parent>,
}

tokio::task_local! {
    static CURRENT: Context;
}

/// Runs of this process, for lines that are written where nobody knows of them (other threads, other people's tasks): while there
/// is one run, they are its.
static ACTIVE: Mutex<Vec<Context>> = Mutex::new(vec![]);

/// Runs a future within a context.
pub async fn scope<F: Future>(context: Context, future: F) -> F::Output {
    CURRENT.scope(context, future).await
}

/// The context here and now.
#[must_use]
pub fn current() -> Context {
    if let Ok(context) = CURRENT.try_with(Clone::clone) {
        return context;
    }
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    match active.as_slice() {
        [only] => only.clone(),
        _ => Context::default(),
    }
}

/// Runs a future as a job's.
pub async fn job<F: Future>(id: &str, future: F) -> F::Output {
    let mut context = current();
    context.job = Some(id.into());
    scope(context, future).await
}

/// Among the process's runs as long as what is returned lives.
#[must_use]
pub(super) fn activate(context: &Context) -> Active {
    let run = context.run.clone().unwrap_or_default();
    let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    active.push(context.clone());
    Active(run)
}

/// Ends a run's being among the process's.
pub(super) struct Active(Arc<str>);

impl Drop for Active {
    fn drop(&mut self) {
        let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|context| context.run.as_deref() != Some(&*self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_keeps_what_is_known_around_it() {
        let outer = Context {
            stage: Some("labels".into()),
            ..Context::default()
        };
        let seen = scope(outer, job("7", async { current() })).await;
        assert_eq!(
            (seen.job.as_deref(), seen.stage.as_deref()),
            (Some("7"), Some("labels"))
        );
        assert!(current().job.is_none());
    }
}
