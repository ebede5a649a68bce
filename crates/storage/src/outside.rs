//! What a store takes from outside: random bytes, the wall clock, and whose thread writes.

use crate::error::StorageError;
use changeset::{Entropy, SeededEntropy};
use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock: milliseconds since 1970. Only for receipts, the times of grants and what people read.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of the system; 0 before 1970.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// Where random bytes come from. Clones share the source.
#[derive(Clone, Default)]
pub struct Random(Option<Arc<Mutex<SeededEntropy>>>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Random(seeded)" } else { "Random(system)" })
    }
}

impl Random {
    /// The operating system's.
    pub fn system() -> Self {
        Self(None)
    }

    /// Bytes that follow from a seed: for simulations only, since whoever knows the seed knows every key and salt.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(SeededEntropy::new(seed)))))
    }

    /// Fills `bytes`.
    ///
    /// # Errors
    /// [`StorageError::Io`] if the system gives none.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), StorageError> {
        match &self.0 {
            Some(seeded) => seeded.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes),
            None => getrandom::fill(bytes)
                .map_err(|error| StorageError::Io { doing: "drawing random bytes", error: Arc::new(error) })?,
        }
        Ok(())
    }

    /// So many random bytes.
    ///
    /// # Errors
    /// As for [`Random::fill`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], StorageError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
