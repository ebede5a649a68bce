//! Bugs on purpose, for proving that the simulator finds them.
//!
//! Without the feature `planted`, which nothing but the simulator's own tests turns on, [`planted`] is a constant `false`
//! and costs nothing.

#[cfg(feature = "planted")]
thread_local! {
    static BUG: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Whether the bug of this name is planted on this thread.
#[cfg(feature = "planted")]
pub fn planted(name: &str) -> bool {
    BUG.with(|bug| bug.get() == Some(name))
}

/// Whether the bug of this name is planted: it is not.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_name: &str) -> bool {
    false
}

/// Plants a bug on this thread, or none.
#[cfg(feature = "planted")]
pub fn plant(name: Option<&'static str>) {
    BUG.with(|bug| bug.set(name));
}
