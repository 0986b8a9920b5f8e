//! The logger of every program of ours.

use log::LevelFilter;

use crate::storage::SECRETIVE_LOGS;

/// Logs to standard error at `default` and above, or as `RUST_LOG` says; modules that would log a secret stay silent.
pub fn init(default: &str) {
    let mut logger =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default));
    for module in SECRETIVE_LOGS {
        logger.filter_module(module, LevelFilter::Off);
    }
    // A second call is a test's.
    let _ = logger.try_init();
}
