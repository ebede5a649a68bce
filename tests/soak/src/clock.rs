//! A wall clock that is wrong by as much as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use storage::Clock;

/// How far a process's clock is off.
#[derive(Clone, Debug)]
pub(crate) struct Offset(Arc<AtomicI64>);

impl Offset {
    pub(crate) fn new(offset_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(offset_ms)))
    }

    pub(crate) fn set(&self, offset_ms: i64) {
        self.0.store(offset_ms, Ordering::Relaxed);
    }

    /// The clock.
    pub(crate) fn clock(&self) -> Clock {
        let (offset, system) = (Arc::clone(&self.0), storage::system_clock());
        Arc::new(move || system().saturating_add_signed(offset.load(Ordering::Relaxed)))
    }
}
