//! A Ballista executor with Gleaner's functions and plan nodes: it pulls tasks from the scheduler, reads telemetry and
//! the warehouse's files, and writes data files. It commits nothing.

mod deadline;
mod flight;
mod metrics;
mod wanted;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::{EndpointOverrideFn, SessionConfigExt as _};
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use deadline::Deadlines;
use gleaner::config::{self, ConfigArgs, Program};
use gleaner::logging::LogArgs;
use gleaner::observe::{ObserveArgs, listener};
use gleaner::plan::codec::{LogicalCodec, PhysicalCodec, Planner};
use gleaner::secure::{ClientAuth, Protection, TlsArgs, check_bind};
use gleaner::storage::{self, Buckets, Directories};
use gleaner::{driver, embedding, session};
use gleaner_embed::{ENDPOINTS, Endpoints};
use metrics::Metrics;
use wanted::Jobs;

/// Levels of the log: what Ballista says of every task is too much.
const LOG: &str = "warn,gleaner=info,gleaner_executor=info";

/// Flags of `gleaner-executor`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "gleaner-executor",
    version,
    about = "Ballista executor with Gleaner's functions"
)]
pub struct Args {
    /// The scheduler, host:port; over TLS its certificate must name that host.
    #[arg(long, default_value = "127.0.0.1:50050", value_parser = host_and_port)]
    scheduler: (String, u16),
    /// Address to listen on, for who fetches results; another one than loopback wants certificates.
    #[arg(long, default_value = "127.0.0.1:50051")]
    bind: SocketAddr,
    /// Name or address by which others reach this executor; default: that of --bind. Over TLS its certificate must name it.
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Listens on other addresses than loopback without certificates: whoever reaches the port can fetch results.
    #[arg(long)]
    insecure: bool,
    /// Tasks at a time, at most 64; default: the machine's cores.
    #[arg(long, value_parser = slots)]
    slots: Option<usize>,
    /// Memory in MiB, of all tasks together, beyond which operators spill to disk.
    #[arg(long, default_value_t = 2048)]
    memory_mib: u64,
    /// Directory for intermediate results and what operators spill; default: a temporary one, removed at the end.
    #[arg(long)]
    work_dir: Option<PathBuf>,
    /// Buckets whose objects tasks may read and write, with commas between them; * for every one. None by default.
    #[arg(long, env = "GLEANER_BUCKETS", default_value = "")]
    buckets: Buckets,
    /// Local directories whose files tasks may read and write, with commas between them; * for every one. None by default.
    #[arg(long, env = "GLEANER_DIRECTORIES", default_value = "")]
    directories: Directories,
    /// Endpoints that tasks may send texts to for their vectors, with commas between them; * for every one. None by default.
    #[arg(long, env = ENDPOINTS, default_value = "")]
    embed_endpoints: Endpoints,
    /// Seconds that one task may take.
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    task_timeout: u64,
    #[command(flatten)]
    observe: ObserveArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs a command line, the program's name first, with the defaults of `gleaner.toml`.
pub async fn command(args: impl IntoIterator<Item = impl Into<OsString>>) -> u8 {
    match config::parse::<Args>(Program::Executor, args) {
        Ok(args) => main(args).await,
        Err(error) => error.report("gleaner-executor"),
    }
}

fn slots(text: &str) -> Result<usize, String> {
    let most = session::MAX_SLOTS;
    let slots = text.parse().ok();
    slots
        .filter(|n| (1..=most).contains(n))
        .ok_or_else(|| format!("expected 1 to {most}: start more executors for more"))
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let bad = || "expected host:port".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().map_err(|_| bad())?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// Runs until it is killed; returns the exit code of a failed start.
pub async fn main(args: Args) -> u8 {
    gleaner::logging::init(LOG, args.log.log_format);
    match run(args).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("gleaner-executor: {error:#}");
            2
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let tls = args.tls.server(ClientAuth::Required)?;
    let client = args.tls.client()?;
    let protection = Protection::Processes { tls: tls.is_some() };
    check_bind("--bind", args.bind, protection, args.insecure)?;
    let advertised = match args.advertise {
        Some(host) => host,
        None if args.bind.ip().is_unspecified() => anyhow::bail!(
            "--bind {} is every address of this machine: --advertise HOST says by which one the others reach it",
            args.bind
        ),
        None => args.bind.ip().to_string(),
    };
    storage::limit(args.buckets, args.directories);
    embedding::install(args.embed_endpoints);
    driver::install_model_loader();
    let (work_dir, _temporary) = if let Some(dir) = args.work_dir {
        std::fs::create_dir_all(&dir).with_context(|| format!("--work-dir {}", dir.display()))?;
        (dir, None)
    } else {
        let made = tempfile::tempdir().context("no temporary directory: give --work-dir")?;
        (made.path().to_owned(), Some(made))
    };
    // Telemetry that needs random access is copied here too.
    let _ = tempfile::env::override_temp_dir(&work_dir);
    let message = u32::try_from(session::GRPC_MESSAGE_BYTES)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let cores = cores.min(session::MAX_SLOTS);
    let runtime = session::runtime(1 << 30)?;
    let state = session::state(session::config(), runtime, Planner::Embedded)?;
    // One pool for all tasks of this process.
    let runtime = session::runtime_in(usize::try_from(args.memory_mib << 20)?, Some(&work_dir))?;
    let (host, port) = &args.scheduler;
    let grpc = GrpcClientConfig::from(&session::config().ballista_config());
    let scheduler = create_grpc_client_endpoint(format!("http://{host}:{port}"), Some(&grpc))
        .with_context(|| format!("--scheduler {host}:{port}"))?;
    let over_tls = client.clone().map(|tls| -> EndpointOverrideFn {
        Arc::new(move |endpoint| tls.endpoint(&endpoint, Some(&grpc)).map_err(Into::into))
    });
    let scheduler = match &over_tls {
        Some(over_tls) => over_tls(scheduler).map_err(anyhow::Error::from_boxed)?,
        None => scheduler,
    };
    let metrics = Metrics::default();
    let slots = args.slots.unwrap_or(cores);
    if let Some(address) = args.observe.metrics {
        let served = metrics.served(
            slots,
            args.memory_mib << 20,
            Arc::clone(&runtime),
            args.bind,
            format!("{host}:{port}"),
        );
        listener::listen(address, served).await?;
    }
    log::info!(
        "executor at {}, {slots} slots, scheduler {host}:{port}",
        args.bind
    );
    let config = ExecutorProcessConfig {
        bind_host: args.bind.ip().to_string(),
        external_host: Some(advertised),
        port: args.bind.port(),
        // Nothing listens there: tasks are pulled.
        grpc_port: args.bind.port(),
        scheduler_host: args.scheduler.0,
        scheduler_port: args.scheduler.1,
        scheduler_connect_timeout_seconds: 30,
        vcores: slots,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(work_dir.to_string_lossy().into_owned()),
        override_execution_engine: Some(Arc::new(Deadlines::new(
            Duration::from_secs(args.task_timeout),
            Jobs::new(&scheduler),
            metrics,
        ))),
        job_data_ttl_seconds: 3600,
        job_data_clean_up_interval_seconds: 300,
        grpc_max_decoding_message_size: message,
        grpc_max_encoding_message_size: message,
        // Not the registry's default: it lacks the nested functions.
        override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&state))),
        override_config_producer: Some(Arc::new(move || session::config_over(client.as_ref()))),
        override_create_grpc_client_endpoint: over_tls,
        override_arrow_flight_service: tls.map(flight::over),
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_physical_codec: Some(Arc::new(PhysicalCodec::default())),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await?;
    Ok(())
}
