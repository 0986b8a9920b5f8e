//! Ballista's scheduler behind TLS and roles. Its own `start_server` can do neither, so what that one mounts is mounted
//! here, on a listener of ours: gRPC and health, on one port. (Ballista's REST API is not compiled in.)

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::config::SchedulerConfig;
use gleaner::secure::{Policy, Role, Rule, ServerTls, serve as serve_on};
use tokio::net::TcpListener;
use tonic::service::RoutesBuilder;

use crate::metrics::Server;

const EXECUTOR: &[Role] = &[Role::Executor];
const DRIVER: &[Role] = &[Role::Driver];
const ANY_PROCESS: &[Role] = &[Role::Scheduler, Role::Executor, Role::Driver];

/// Who may call what. What is not here is for nobody: `CleanJobData` and `UpdateTaskStatus` are for push scheduling.
const RULES: &[Rule] = &[
    Rule::new("/ballista.protobuf.SchedulerGrpc/PollWork", EXECUTOR),
    Rule::new(
        "/ballista.protobuf.SchedulerGrpc/RegisterExecutor",
        EXECUTOR,
    ),
    Rule::new(
        "/ballista.protobuf.SchedulerGrpc/HeartBeatFromExecutor",
        EXECUTOR,
    ),
    Rule::new("/ballista.protobuf.SchedulerGrpc/ExecutorStopped", EXECUTOR),
    Rule::new(
        "/ballista.protobuf.SchedulerGrpc/CreateUpdateSession",
        DRIVER,
    ),
    Rule::new("/ballista.protobuf.SchedulerGrpc/RemoveSession", DRIVER),
    Rule::new("/ballista.protobuf.SchedulerGrpc/ExecuteQuery", DRIVER),
    Rule::new("/ballista.protobuf.SchedulerGrpc/ExecuteQueryPush", DRIVER),
    Rule::new("/ballista.protobuf.SchedulerGrpc/CancelJob", DRIVER),
    Rule::new("/ballista.protobuf.SchedulerGrpc/GetJobMetrics", DRIVER),
    // Executors ask whether what they compute is still wanted.
    Rule::new(
        "/ballista.protobuf.SchedulerGrpc/GetJobStatus",
        &[Role::Driver, Role::Executor],
    ),
    Rule::new("/healthz", ANY_PROCESS),
    Rule::new("/readyz", ANY_PROCESS),
];

/// Serves until it fails.
pub(crate) async fn serve(
    scheduler: Server,
    bind: SocketAddr,
    config: &SchedulerConfig,
    tls: ServerTls,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(bind)
        .await
        .with_context(|| format!("--bind {bind}"))?;
    let grpc = SchedulerGrpcServer::new(scheduler.clone())
        .max_decoding_message_size(config.grpc_server_max_decoding_message_size as usize)
        .max_encoding_message_size(config.grpc_server_max_encoding_message_size as usize);
    let mut routes = RoutesBuilder::default();
    routes.add_service(grpc);
    let health = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/readyz",
            get(move || async move {
                if scheduler.is_ready() {
                    (StatusCode::OK, "ready\n")
                } else {
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "no executor is registered\n",
                    )
                }
            }),
        );
    let routes = routes.routes().into_axum_router().merge(health);
    let policy = Policy::new(RULES, None);
    serve_on(
        listener,
        Some(tls),
        policy,
        routes.into(),
        std::future::pending(),
    )
    .await?;
    Ok(())
}
