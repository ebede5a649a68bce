//! Whether all is well.

use crate::relay::Shared;
use crate::system;
use std::sync::atomic::Ordering;

/// What is wrong, in sentences; nothing if all is well.
pub(crate) fn problems(shared: &Shared) -> Vec<String> {
    let mut problems = Vec::new();
    if shared.is_draining.load(Ordering::Relaxed) {
        problems.push("draining: the relay is shutting down".to_owned());
    }
    let min = shared.config.free_disk_min;
    match system::free_disk(&shared.config.data) {
        Some(free) if free < min => problems.push(format!(
            "disk: {free} bytes are free and free_disk_min is {min}; nothing is taken until there are more"
        )),
        _ => {}
    }
    if let Err(error) = shared.replica.store().view() {
        problems.push(format!("store: {error}"));
    }
    if let Some(failure) = shared.replica.store_failure() {
        problems.push(format!("store: the last write failed: {failure}"));
    }
    problems
}
