//! Ballista as it is released, with its default limits and nothing of ours but `slow`; or, with `--ours`, with the planner,
//! nodes and limits of our scheduler and executors: see `tests/it/upstream.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::default_session_builder;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::common::Result;
use datafusion::execution::{FunctionRegistry as _, SessionState};
use datafusion::prelude::SessionConfig;

use gleaner::plan::codec::{LogicalCodec, PhysicalCodec, Planner};
use gleaner::session;

use crate::slow::slow;

#[expect(clippy::cast_possible_truncation, reason = "a constant that fits")]
const LIMIT: u32 = session::GRPC_MESSAGE_BYTES as u32;

/// How tasks get to executors.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Policy {
    Pull,
    Push,
}

impl From<Policy> for TaskSchedulingPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Pull => Self::PullStaged,
            Policy::Push => Self::PushStaged,
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct SchedulerArgs {
    #[arg(long)]
    bind: SocketAddr,
    #[arg(long)]
    policy: Policy,
    #[arg(long)]
    executor_timeout_secs: u64,
    #[arg(long)]
    ours: bool,
}

#[derive(clap::Args)]
pub(crate) struct ExecutorArgs {
    #[arg(long)]
    scheduler: SocketAddr,
    #[arg(long)]
    bind: SocketAddr,
    #[arg(long)]
    policy: Policy,
    #[arg(long)]
    slots: usize,
    #[arg(long)]
    work_dir: String,
    #[arg(long)]
    ours: bool,
}

fn state(config: SessionConfig, planner: Option<Planner>) -> Result<SessionState> {
    let mut state = match planner {
        None => default_session_builder(config)?,
        Some(planner) => session::state(config, session::runtime(1 << 30)?, planner)?,
    };
    state.register_udf(Arc::new(slow()))?;
    Ok(state)
}

pub(crate) async fn scheduler(args: SchedulerArgs) -> u8 {
    gleaner::logging::init("warn", gleaner::logging::LogFormat::Text);
    let config = SchedulerConfig {
        bind_host: args.bind.ip().to_string(),
        bind_port: args.bind.port(),
        external_host: args.bind.ip().to_string(),
        scheduling_policy: args.policy.into(),
        executor_timeout_seconds: args.executor_timeout_secs,
        expire_dead_executor_interval_seconds: 2,
        no_executors_grace_period_seconds: args.executor_timeout_secs,
        override_session_builder: Some(Arc::new(move |config| {
            let planner = Planner::Scheduler { shuffles: false };
            state(config, args.ours.then_some(planner))
        })),
        ..SchedulerConfig::default()
    };
    let config = if args.ours {
        SchedulerConfig {
            grpc_server_max_decoding_message_size: LIMIT,
            grpc_server_max_encoding_message_size: LIMIT,
            grpc_client_max_message_size: LIMIT,
            override_config_producer: Some(Arc::new(session::config)),
            override_logical_codec: Some(Arc::new(LogicalCodec::default())),
            override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
            ..config
        }
    } else {
        config
    };
    let run = async {
        let cluster = BallistaCluster::new_from_config(&config).await?;
        start_server(cluster, args.bind, Arc::new(config)).await
    };
    ended(run.await)
}

pub(crate) async fn executor(args: ExecutorArgs) -> u8 {
    gleaner::logging::init("warn", gleaner::logging::LogFormat::Text);
    let planner = args.ours.then_some(Planner::Embedded);
    let registry = match state(SessionConfig::new(), planner) {
        Ok(state) => BallistaFunctionRegistry::from(&state),
        Err(error) => return ended(Err(error.into())),
    };
    let config = ExecutorProcessConfig {
        bind_host: args.bind.ip().to_string(),
        external_host: Some(args.bind.ip().to_string()),
        port: args.bind.port(),
        grpc_port: args.bind.port() + 1,
        scheduler_host: args.scheduler.ip().to_string(),
        scheduler_port: args.scheduler.port(),
        scheduler_connect_timeout_seconds: 30,
        vcores: args.slots,
        task_scheduling_policy: args.policy.into(),
        work_dir: Some(args.work_dir),
        // In push mode the heartbeat is a timer of its own: it must be shorter than the scheduler's timeout.
        executor_heartbeat_interval_seconds: 2,
        memory_pool_size: Some(1 << 30),
        override_function_registry: Some(Arc::new(registry)),
        ..ExecutorProcessConfig::default()
    };
    let config = if args.ours {
        ExecutorProcessConfig {
            grpc_max_decoding_message_size: LIMIT,
            grpc_max_encoding_message_size: LIMIT,
            override_config_producer: Some(Arc::new(session::config)),
            override_logical_codec: Some(Arc::new(LogicalCodec::default())),
            override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
            ..config
        }
    } else {
        config
    };
    ended(start_executor_process(Arc::new(config)).await)
}

fn ended(result: ballista_core::error::Result<()>) -> u8 {
    if let Err(error) = result {
        log::error!("{error}");
        return 2;
    }
    0
}
