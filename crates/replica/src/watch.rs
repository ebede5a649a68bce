//! Who waits for which log to grow.

use changeset::Cursor;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use storage::LogKey;
use tokio::sync::Notify;

/// The ends of logs, and the sessions that wait for them to move. A session has no queue here: it is woken, and looks
/// where the logs end that it has open.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    logs: Mutex<BTreeMap<LogKey, Log>>,
}

#[derive(Debug, Default)]
struct Log {
    end: Option<Cursor>,
    waiting: Vec<Weak<Notify>>,
}

impl Watch {
    fn logs(&self) -> MutexGuard<'_, BTreeMap<LogKey, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log ends here now.
    pub(crate) fn grew(&self, log: &LogKey, end: Cursor) {
        let mut logs = self.logs();
        let entry = match logs.get_mut(log) {
            Some(entry) => entry,
            None => logs.entry(log.clone()).or_default(),
        };
        entry.end = Some(end);
        entry.waiting.retain(|waiter| match waiter.upgrade() {
            Some(waiter) => {
                if !changeset::planted("sessions are not told that a log grew") {
                    waiter.notify_one();
                }
                true
            }
            None => false,
        });
    }

    /// Wakes `waiter` whenever the log grows, as long as it lives.
    pub(crate) fn wait(&self, log: &LogKey, waiter: &Arc<Notify>) {
        let mut logs = self.logs();
        let entry = logs.entry(log.clone()).or_default();
        entry.waiting.retain(|known| known.strong_count() > 0);
        let weak = Arc::downgrade(waiter);
        if !entry.waiting.iter().any(|known| known.ptr_eq(&weak)) {
            entry.waiting.push(weak);
        }
    }

    /// Where a log ended when it grew last since this replica was opened.
    pub(crate) fn end(&self, log: &LogKey) -> Option<Cursor> {
        self.logs().get(log).and_then(|log| log.end)
    }

    /// Forgets where logs end, because their incarnations changed.
    pub(crate) fn forget(&self) {
        for log in self.logs().values_mut() {
            log.end = None;
        }
    }
}
