//! The threads that a program runs on.

use std::future::Future;
use std::io;

/// Stack of a thread that plans queries. Planning walks a query's tree by recursion, with large frames where `DataFusion` is not optimised: the incidents
/// of a day of requests, with their subqueries, overflow the two MiB that threads have otherwise, and end a scheduler.
pub const STACK_BYTES: usize = 8 << 20;

/// Runs a program to its end, on as many threads as the machine has cores.
///
/// # Errors
/// When the system gives no threads.
pub fn run<T>(program: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()?;
    Ok(runtime.block_on(program))
}
