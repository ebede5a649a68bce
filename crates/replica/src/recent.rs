//! The pages that many readers are about to want, in memory once.

use changeset::Cursor;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use storage::{LogKey, Source};

/// A page as it was read from the log.
#[derive(Clone, Debug)]
pub(crate) struct RecentPage {
    pub(crate) first: u64,
    pub(crate) end: Cursor,
    pub(crate) source: Source,
    pub(crate) frame: Arc<[u8]>,
}

/// At most so many bytes of pages, the last ones read.
#[derive(Debug)]
pub(crate) struct Recent {
    limit: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    bytes: usize,
    order: VecDeque<(LogKey, u64)>,
    by_first: BTreeMap<(LogKey, u64), RecentPage>,
}

impl Recent {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, pages: Mutex::default() }
    }

    /// The page that begins at a position of this incarnation of the log.
    pub(crate) fn at(&self, log: &LogKey, incarnation: changeset::LogIncarnation, first: u64) -> Option<RecentPage> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.by_first.get(&(log.clone(), first)).filter(|page| page.end.log == incarnation).cloned()
    }

    pub(crate) fn keep(&self, log: &LogKey, page: RecentPage) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (log.clone(), page.first);
        pages.bytes += page.frame.len();
        pages.order.push_back(key.clone());
        if let Some(old) = pages.by_first.insert(key, page) {
            pages.bytes = pages.bytes.saturating_sub(old.frame.len());
        }
        while pages.bytes > self.limit
            && let Some(oldest) = pages.order.pop_front()
        {
            // A page that was kept twice stands twice in the order; it goes with the first of them.
            if let Some(old) = pages.by_first.remove(&oldest) {
                pages.bytes = pages.bytes.saturating_sub(old.frame.len());
            }
        }
    }
}
