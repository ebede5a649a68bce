//! Virtual time: one true time, and clocks that are wrong about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use storage::Clock;

/// Microseconds since the simulation began.
pub type Micros = u64;

/// The true wall time at the beginning, in milliseconds since 1970: a day in March 2026.
pub const BEGINNING_MS: u64 = 1_772_434_800_000;

/// The true time, which all clocks of a world share.
#[derive(Clone, Debug)]
pub struct Time {
    now: Arc<AtomicU64>,
    base: Instant,
}

impl Default for Time {
    fn default() -> Self {
        Self { now: Arc::default(), base: Instant::now() }
    }
}

impl Time {
    /// Since the beginning.
    pub fn now(&self) -> Micros {
        self.now.load(Ordering::Relaxed)
    }

    /// It is now later.
    pub fn set(&self, now: Micros) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// As sessions count it: never backwards, whatever wall clocks do.
    pub fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now())
    }

    /// When that instant is, in microseconds since the beginning.
    pub fn of(&self, instant: Instant) -> Micros {
        u64::try_from(instant.saturating_duration_since(self.base).as_micros()).unwrap_or(u64::MAX)
    }

    /// The true wall time, in milliseconds since 1970.
    pub fn wall_ms(&self) -> u64 {
        BEGINNING_MS + self.now() / 1000
    }
}

/// A machine's wall clock: the true time and how wrong it is.
#[derive(Clone, Debug)]
pub struct WallClock {
    time: Time,
    offset_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// A clock that is right.
    pub fn new(time: &Time) -> Self {
        Self { time: time.clone(), offset_ms: Arc::default() }
    }

    /// From now on it is wrong by so much.
    pub fn set_offset(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// How wrong it is.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// As a store and a replica ask for it.
    pub fn clock(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || this.time.wall_ms().saturating_add_signed(this.offset_ms()))
    }
}
