//! One `session()` makes both engines: `DataFusion` in this process, and a Ballista cluster. The settings that
//! could change an answer are fixed here, for both.

use std::path::Path;
use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use ballista_core::utils::GrpcClientConfig;
use datafusion::catalog::memory::{
    MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
};
use datafusion::catalog::{CatalogProvider, CatalogProviderList};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use crate::plan::codec::{LogicalCodec, PhysicalCodec, Planner};
use crate::secure::ClientTls;
use crate::storage;

/// gRPC messages of client, scheduler and executors: the three limits must be raised together.
pub const GRPC_MESSAGE_BYTES: usize = 256 << 20;

/// Tasks that one executor may run at a time.
pub const MAX_SLOTS: usize = 64;

/// A cluster's client plans and gathers results; it computes nothing.
const CLIENT_MEMORY_BYTES: usize = 1 << 30;

/// The settings of every session, on every process.
#[must_use]
pub fn config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_information_schema(true)
        // A stage is cut into tasks by the driver, each with one partition: see `engine`.
        .with_target_partitions(1)
        .with_collect_statistics(false)
        .set_bool(
            "datafusion.execution.parquet.schema_force_view_types",
            false,
        )
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_bool("datafusion.execution.parquet.pushdown_filters", false)
        .with_ballista_grpc_client_max_message_size(GRPC_MESSAGE_BYTES)
        // A poll whose answer comes too late loses its tasks.
        .set_usize("ballista.client.grpc_timeout_seconds", 60)
        .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::default()))
        .with_ballista_physical_extension_codec(Arc::new(PhysicalCodec::default()))
}

/// A state with our functions and plan nodes, as this process, scheduler and executors use it.
///
/// # Errors
/// When two functions have one name.
pub fn state(
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    planner: Planner,
) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_query_planner(Arc::new(planner))
        .build();
    register(&mut state)?;
    Ok(state)
}

/// Registers the one list of functions.
///
/// # Errors
/// When a name is taken already, by `DataFusion` or by one of ours.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let taken = |name: &str| {
        Err(DataFusionError::Configuration(format!(
            "two functions are named {name:?}"
        )))
    };
    for function in gleaner_udfs::scalar_functions() {
        let name = function.name().to_owned();
        if registry.register_udf(Arc::new(function))?.is_some() {
            return taken(&name);
        }
    }
    for function in gleaner_udfs::aggregate_functions() {
        let name = function.name().to_owned();
        if registry.register_udaf(Arc::new(function))?.is_some() {
            return taken(&name);
        }
    }
    for function in gleaner_udfs::window_functions() {
        let name = function.name().to_owned();
        if registry.register_udwf(Arc::new(function))?.is_some() {
            return taken(&name);
        }
    }
    Ok(())
}

/// A runtime that spills to disk beyond `memory_bytes`.
///
/// # Errors
/// When the temporary directory cannot be made.
pub fn runtime(memory_bytes: usize) -> Result<Arc<RuntimeEnv>> {
    runtime_in(memory_bytes, None)
}

/// A runtime that spills to `directory`, or to the system's temporary one.
///
/// # Errors
/// As [`runtime`].
pub fn runtime_in(memory_bytes: usize, directory: Option<&Path>) -> Result<Arc<RuntimeEnv>> {
    let spill = match directory {
        Some(directory) => DiskManagerMode::Directories(vec![directory.to_owned()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    RuntimeEnvBuilder::new()
        .with_object_store_registry(storage::process().registry())
        .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spill))
        .build_arc()
}

/// `DataFusion` in this process.
///
/// # Errors
/// As [`runtime`] and [`state`].
pub fn embedded(memory_bytes: usize) -> Result<SessionContext> {
    Ok(SessionContext::new_with_state(state(
        config(),
        runtime(memory_bytes)?,
        Planner::Embedded,
    )?))
}

/// The same settings, for a process that speaks TLS to the others of its cluster.
#[must_use]
pub fn config_over(tls: Option<&ClientTls>) -> SessionConfig {
    let config = config();
    let Some(tls) = tls else {
        return config;
    };
    let tls = tls.clone();
    let grpc = GrpcClientConfig::from(&config.ballista_config());
    config
        .with_ballista_use_tls(true)
        .with_ballista_override_create_grpc_client_endpoint(Arc::new(move |endpoint| {
            tls.endpoint(&endpoint, Some(&grpc)).map_err(Into::into)
        }))
}

/// The address of the scheduler at `url`, `df://host:port` or over TLS `dfs://host:port`: `http://host:port` or
/// `https://host:port`. With certificates at hand (`tls`) both are over TLS.
///
/// # Errors
/// When the URL is of another form, or asks for TLS without certificates.
pub fn scheduler(url: &str, tls: bool) -> Result<String> {
    let bad = |why: &str| DataFusionError::Configuration(format!("--cluster {url:?}: {why}"));
    let form = || bad("expected df://host:port, or dfs://host:port over TLS");
    let parsed = Url::parse(url).map_err(|_| form())?;
    let scheme = match parsed.scheme() {
        "df" if !tls => "http",
        "df" | "dfs" if tls => "https",
        "dfs" => {
            return Err(bad(
                "TLS wants to know whom to believe and who asks: give --tls-ca, --tls-cert and --tls-key",
            ));
        }
        _ => return Err(form()),
    };
    Ok(format!(
        "{scheme}://{}:{}",
        parsed.host_str().ok_or_else(form)?,
        parsed.port().unwrap_or(50050)
    ))
}

/// A client of the cluster whose scheduler listens at `scheduler` (`http://host:port`, or `https://` with `tls`).
///
/// # Errors
/// When the session cannot be made.
pub fn cluster(scheduler: &str, adaptive: bool, tls: Option<&ClientTls>) -> Result<SessionContext> {
    let config = config_over(tls)
        .set_usize("ballista.scheduler.max_partitions_per_task", 1)
        .set_bool("ballista.client.pull", true)
        .set_bool("ballista.planner.adaptive.enabled", adaptive);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime(CLIENT_MEMORY_BYTES)?)
        .with_default_features()
        .build();
    let ctx = SessionContext::new_with_state(state.upgrade_for_ballista(scheduler.to_owned())?);
    // Only now: `upgrade_for_ballista` replaces the function lists of the state it is given.
    for function in gleaner_udfs::scalar_functions() {
        ctx.register_udf(function);
    }
    for function in gleaner_udfs::aggregate_functions() {
        ctx.register_udaf(function);
    }
    for function in gleaner_udfs::window_functions() {
        ctx.register_udwf(function);
    }
    Ok(ctx)
}

/// A context that shares functions, planner and runtime with `base` but has tables of its own, so that tasks
/// that run at the same time do not see each other's.
///
/// # Errors
/// When the catalog cannot be made, which does not happen.
pub fn fork(base: &SessionContext) -> Result<SessionContext> {
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema("public", Arc::new(MemorySchemaProvider::new()))?;
    catalogs.register_catalog("datafusion".to_owned(), catalog);
    let state = SessionStateBuilder::new_from_existing(base.state())
        .with_catalog_list(catalogs)
        .build();
    Ok(SessionContext::new_with_state(state))
}
