//! Threads that score, and a bound on what waits for them: a day that runs in the same process keeps its own threads busy, not these.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tonic::Status;

use crate::error::JobError;

type Job = Box<dyn FnOnce() + Send>;

/// How long a refused caller should wait, milliseconds.
const PUSHBACK_MS: &str = "20";

/// Threads, which end with it.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
    most: usize,
}

/// Room for items that wait or are scored; given back when they are.
pub(super) struct Room(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Pool {
    /// So many threads, and so many items at a time.
    pub(super) fn new(threads: usize, most: usize) -> Result<Self, JobError> {
        let (jobs, taken) = channel::<Job>();
        let taken = Arc::new(Mutex::new(taken));
        for n in 0..threads.max(1) {
            let taken = Arc::clone(&taken);
            let thread = std::thread::Builder::new().name(format!("scoring-{n}"));
            let started = thread.spawn(move || work(&taken));
            started.map_err(|e| JobError::Internal(format!("a thread for scoring: {e}")))?;
        }
        Ok(Self {
            jobs,
            room: Arc::new(Semaphore::new(most)),
            most,
        })
    }

    /// Items that wait or are scored.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.room.available_permits())
    }

    fn permits(&self, items: usize) -> u32 {
        u32::try_from(items.clamp(1, self.most)).unwrap_or(u32::MAX)
    }

    /// Room now, or a refusal that says when to ask again.
    pub(super) fn now(&self, items: usize) -> Result<Room, Box<Status>> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.permits(items));
        room.map(Room).map_err(|_| {
            let mut status = Status::resource_exhausted(format!(
                "{} items are being scored: try again in {PUSHBACK_MS} ms, or send a stream, which waits",
                self.most
            ));
            // What gRPC's own retries go by.
            if let Ok(value) = PUSHBACK_MS.parse() {
                status.metadata_mut().insert("grpc-retry-pushback-ms", value);
            }
            Box::new(status)
        })
    }

    /// Room, once there is some.
    pub(super) async fn wait(&self, items: usize) -> Result<Room, Status> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.permits(items));
        room.await.map(Room).map_err(|_| stopped())
    }

    /// Runs on one of the threads, unless whoever asked has gone meanwhile.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        room: Room,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            let _room = room;
            if !answer.is_closed() {
                let _ = answer.send(job());
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| stopped())?;
        answered
            .await
            .map_err(|_| Status::internal("scoring failed: the server's log says why"))
    }
}

fn stopped() -> Status {
    Status::unavailable("the server is stopping")
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        // The panic's hook has told of it; its caller hears that scoring failed.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_beyond_the_bound_is_refused_at_once_and_told_when_to_come_again() {
        let pool = Pool::new(1, 10).unwrap();
        let all = pool.now(10).unwrap();
        assert_eq!(pool.taken(), 10);
        let refused = pool.now(1).err().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
        let sum = pool.run(all, || 1 + 1).await.unwrap();
        assert_eq!(sum, 2);
        // More than there ever is waits for all of it.
        let room = pool.wait(1_000).await.unwrap();
        assert_eq!(pool.taken(), 10);
        drop(room);
        assert_eq!(pool.taken(), 0);
    }

    #[tokio::test]
    async fn a_panic_is_one_caller_s_and_who_has_gone_is_not_served() {
        let pool = Pool::new(1, 2).unwrap();
        let failed = pool
            .run(pool.now(1).unwrap(), || -> u8 { panic!("as planned") })
            .await;
        assert_eq!(failed.unwrap_err().code(), tonic::Code::Internal);
        let (release, holding) = std::sync::mpsc::channel::<()>();
        let busy = pool.run(pool.wait(1).await.unwrap(), move || holding.recv().is_err());
        let (told, served) = std::sync::mpsc::channel();
        let gone = pool.run(pool.wait(1).await.unwrap(), move || told.send(()));
        {
            let (mut busy, mut gone) = (Box::pin(busy), Box::pin(gone));
            tokio::select! { biased;
                _ = &mut busy => {}
                _ = &mut gone => {}
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
            drop(gone);
            drop(release);
            assert!(busy.await.unwrap());
        }
        assert!(
            pool.run(pool.wait(1).await.unwrap(), || true)
                .await
                .unwrap()
        );
        assert!(served.recv().is_err(), "nobody waited for it any more");
    }
}
