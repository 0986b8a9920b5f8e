//! Results, fetched over Arrow Flight, behind TLS and roles: by who runs days, and by other executors.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::error::BallistaError;
use ballista_core::utils::GrpcServerConfig;
use ballista_executor::ArrowFlightServerProvider;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::shutdown::Shutdown;
use gleaner::secure::{Policy, Role, Rule, ServerTls, serve};
use gleaner::session;
use tokio::net::TcpListener;
use tonic::service::Routes;

const FETCH: &[Role] = &[Role::Driver, Role::Executor];

/// Ballista's service writes nothing; what it does not implement is for nobody.
const RULES: &[Rule] = &[
    Rule::new("/arrow.flight.protocol.FlightService/DoGet", FETCH),
    // Files as blocks of bytes, not as record batches.
    Rule::new("/arrow.flight.protocol.FlightService/DoAction", FETCH),
];

/// Serves the files of a work directory, in place of Ballista's own server.
pub(crate) fn over(tls: ServerTls) -> Arc<ArrowFlightServerProvider> {
    Arc::new(
        move |work_dir: String,
              address: SocketAddr,
              mut shutdown: Shutdown,
              _: GrpcServerConfig| {
            let tls = tls.clone();
            tokio::spawn(async move {
                let listener = TcpListener::bind(address).await?;
                let service = FlightServiceServer::new(BallistaFlightService::new(work_dir))
                    .max_decoding_message_size(session::GRPC_MESSAGE_BYTES)
                    .max_encoding_message_size(session::GRPC_MESSAGE_BYTES);
                let policy = Policy::new(RULES, None);
                let routes = Routes::new(service);
                let until = async move { shutdown.recv().await };
                serve(listener, Some(tls), policy, routes, until)
                    .await
                    .map_err(|e| BallistaError::General(format!("--bind {address}: {e}")))
            })
        },
    )
}
