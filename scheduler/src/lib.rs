//! A Ballista scheduler with Gleaner's functions and plan nodes. Plans arrive from `gleaner run --cluster`, from
//! `ballista-cli`, or from any Ballista client; jobs are pulled by executors.
//!
//! With certificates it serves over TLS, each method to its roles; without, as Ballista's own does, and on loopback alone.

mod secured;

mod metrics;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::start_grpc_service;
use datafusion::prelude::SessionConfig;
use gleaner::config::{self, ConfigArgs, Program};
use gleaner::logging::LogArgs;
use gleaner::observe::{ObserveArgs, listener};
use gleaner::plan::codec::{LogicalCodec, PhysicalCodec, Planner};
use gleaner::secure::{ClientAuth, Protection, TlsArgs, check_bind};
use gleaner::session;
use gleaner::storage::{self, Buckets, Directories};
use metrics::Metrics;

/// Levels of the log: what Ballista says of every job is too much.
const LOG: &str = "warn,gleaner=info,gleaner_scheduler=info";

/// Flags of `gleaner-scheduler`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "gleaner-scheduler",
    version,
    about = "Ballista scheduler with Gleaner's functions"
)]
pub struct Args {
    /// Address to listen on; another one than loopback wants certificates.
    #[arg(long, default_value = "127.0.0.1:50050")]
    bind: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Listens on other addresses than loopback without certificates: whoever reaches the port can use the cluster.
    #[arg(long)]
    insecure: bool,
    /// Seconds after which a silent executor is given up.
    #[arg(long, default_value_t = 30)]
    executor_timeout_secs: u64,
    /// Buckets whose files queries may name, with commas between them; * for every one. None by default.
    #[arg(long, env = "GLEANER_BUCKETS", default_value = "")]
    buckets: Buckets,
    /// Local directories whose files queries may name, with commas between them; * for every one. None by default.
    #[arg(long, env = "GLEANER_DIRECTORIES", default_value = "")]
    directories: Directories,
    /// Lets other clients' queries run in several stages on several executors. Ballista 55 may hang, or count rows twice,
    /// when an executor is lost under them; without this flag every query is one task.
    #[arg(long)]
    shuffles: bool,
    #[command(flatten)]
    observe: ObserveArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs a command line, the program's name first, with the defaults of `gleaner.toml`.
pub async fn command(args: impl IntoIterator<Item = impl Into<OsString>>) -> u8 {
    match config::parse::<Args>(Program::Scheduler, args) {
        Ok(args) => main(args).await,
        Err(error) => error.report("gleaner-scheduler"),
    }
}

/// Runs until it is killed; returns the exit code of a failed start.
pub async fn main(args: Args) -> u8 {
    gleaner::logging::init(LOG, args.log.log_format);
    match run(args).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("gleaner-scheduler: {error:#}");
            2
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let tls = args.tls.server(ClientAuth::Required)?;
    let protection = Protection::Processes { tls: tls.is_some() };
    check_bind("--bind", args.bind, protection, args.insecure)?;
    storage::limit(args.buckets, args.directories);
    let message = u32::try_from(session::GRPC_MESSAGE_BYTES)?;
    let config = SchedulerConfig {
        bind_host: args.bind.ip().to_string(),
        bind_port: args.bind.port(),
        external_host: args.bind.ip().to_string(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        task_distribution: TaskDistributionPolicy::RoundRobin,
        executor_timeout_seconds: args.executor_timeout_secs,
        expire_dead_executor_interval_seconds: args.executor_timeout_secs.div_ceil(6).min(5),
        // A day is thousands of small jobs: neither their results nor their plans are kept for long.
        finished_job_data_clean_up_interval_seconds: 60,
        finished_job_state_clean_up_interval_seconds: 300,
        no_executors_grace_period_seconds: args.executor_timeout_secs,
        grpc_server_max_decoding_message_size: message,
        grpc_server_max_encoding_message_size: message,
        grpc_client_max_message_size: message,
        override_config_producer: Some(Arc::new(session::config)),
        override_session_builder: Some(Arc::new(move |config: SessionConfig| {
            let planner = Planner::Scheduler {
                shuffles: args.shuffles,
            };
            session::state(config, session::runtime(1 << 30)?, planner)
        })),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    config.validate()?;
    let config = Arc::new(config);
    let metrics = Metrics::default();
    let server = metrics::scheduler(cluster, Arc::clone(&config), &metrics).await?;
    if let Some(address) = args.observe.metrics {
        let timeout = Duration::from_secs(args.executor_timeout_secs);
        listener::listen(address, metrics.served(&server, timeout)).await?;
    }
    log::info!("scheduler at {}", args.bind);
    match tls {
        None => start_grpc_service(args.bind, server).await?,
        Some(tls) => secured::serve(server, args.bind, &config, tls).await?,
    }
    Ok(())
}
