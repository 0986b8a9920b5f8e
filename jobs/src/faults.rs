//! Where tests make faults happen. The product installs no hook, so that a point costs one atomic load; the test
//! program installs one that kills, stops or delays its process and counts that it did.

use std::sync::OnceLock;

/// Called with a point's name and, for points that many tasks pass, which of them it is.
pub type Hook = fn(point: &str, what: &str);

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Installs the process's hook; later calls change nothing.
pub fn install(hook: Hook) {
    let _ = HOOK.set(hook);
}

/// A point at which a fault may happen.
pub fn reach(point: &str, what: &str) {
    if let Some(hook) = HOOK.get() {
        hook(point, what);
    }
}
