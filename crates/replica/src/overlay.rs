//! A log with what is about to be appended to it: how the second of two pages is read before the first is stored.

use changeset::{Actor, ActorPrefix, ChangeSetId, Known, Log, MemoryLog, Verified};
use std::sync::Arc;
use storage::LogReader;

/// What stands in a log, and behind it what was read since.
pub(crate) struct Overlay<'a> {
    pub(crate) base: LogReader<'a>,
    new: MemoryLog,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: LogReader<'a>) -> Self {
        Self { base, new: MemoryLog::new() }
    }

    pub(crate) fn extend(&mut self, entries: &[Verified]) {
        for entry in entries {
            self.new.push(entry.clone());
        }
    }
}

impl Log for Overlay<'_> {
    fn find(&self, prefix: ActorPrefix, sequence: u64) -> Option<Known> {
        self.base.find(prefix, sequence).or_else(|| self.new.find(prefix, sequence))
    }

    fn known(&self, id: &ChangeSetId) -> Option<Known> {
        self.base.known(id).or_else(|| self.new.known(id))
    }

    fn actor(&self, prefix: ActorPrefix) -> Option<Arc<Actor>> {
        self.base.actor(prefix).or_else(|| self.new.actor(prefix))
    }
}
