//! A Ballista executor with Gleaner's functions and plan nodes: it pulls tasks from the scheduler, reads telemetry and
//! the warehouse's files, and writes data files. It commits nothing.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use gleaner::plan::codec::{LogicalCodec, PhysicalCodec};
use gleaner::{driver, session};

/// Flags of `gleaner-executor`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "gleaner-executor",
    version,
    about = "Ballista executor with Gleaner's functions"
)]
pub struct Args {
    /// The scheduler, host:port.
    #[arg(long, default_value = "127.0.0.1:50050")]
    scheduler: SocketAddr,
    /// Address that results are fetched from; the port after it serves the scheduler's calls.
    #[arg(long, default_value = "127.0.0.1:50051")]
    bind: SocketAddr,
    /// Tasks at a time; default: the machine's cores.
    #[arg(long)]
    slots: Option<NonZeroUsize>,
    /// Memory in MiB, of all tasks together, beyond which operators spill to disk.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u64,
    /// Directory for intermediate results; default: a temporary one.
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

/// Runs until it is killed; returns the exit code of a failed start.
pub async fn main(args: Args) -> u8 {
    let _ = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .try_init();
    match run(args).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("gleaner-executor: {error:#}");
            2
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    driver::install_model_loader();
    let message = u32::try_from(session::GRPC_MESSAGE_BYTES)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let state = session::state(session::config(), session::runtime(1 << 30)?)?;
    // One pool for all tasks of this process.
    let runtime = session::runtime(usize::try_from(args.memory_mib << 20)?)?;
    let config = ExecutorProcessConfig {
        bind_host: args.bind.ip().to_string(),
        external_host: Some(args.bind.ip().to_string()),
        port: args.bind.port(),
        grpc_port: args
            .bind
            .port()
            .checked_add(1)
            .context("--bind: the port after it must exist too")?,
        scheduler_host: args.scheduler.ip().to_string(),
        scheduler_port: args.scheduler.port(),
        scheduler_connect_timeout_seconds: 30,
        vcores: args.slots.map_or(cores, NonZeroUsize::get),
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: args.work_dir.map(|dir| dir.to_string_lossy().into_owned()),
        job_data_ttl_seconds: 3600,
        job_data_clean_up_interval_seconds: 300,
        grpc_max_decoding_message_size: message,
        grpc_max_encoding_message_size: message,
        // Not the registry's default: it lacks the nested functions.
        override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&state))),
        override_config_producer: Some(Arc::new(session::config)),
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await?;
    Ok(())
}
