//! What is asked of maintenance, and what it found.

use crate::error::Damage;

/// How pages are merged.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MergeLimits {
    /// A page of at least so many entries is left alone, and no merged page has more. Default 512.
    pub entries: u64,
    /// A page of at least so many bytes is left alone. Default 256 KiB.
    pub bytes: u64,
    /// Fewer neighbours than this are not worth a merge. Default 8.
    pub pages: usize,
    /// So many entries at the end of the log are left alone: those that peers are about to fetch as they lie. Default 64.
    pub keep: u64,
}

impl Default for MergeLimits {
    fn default() -> Self {
        Self { entries: 512, bytes: 256 << 10, pages: 8, keep: 64 }
    }
}

/// What a merge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Pages that were joined.
    pub from: u64,
    /// Pages that they became.
    pub to: u64,
}

/// How far a long call is: done of total, in units of the call (bytes, pages).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// In all; an estimate where others write meanwhile.
    pub total: u64,
}

/// Something wrong that verify found; [`Damage`] names table, log and position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{damage}")]
#[non_exhaustive]
pub struct Finding {
    /// What and where.
    pub damage: Damage,
}

/// What verify checked and found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Logs checked.
    pub logs: u64,
    /// Pages checked.
    pub pages: u64,
    /// Entries checked: hash, signature, references, index rows.
    pub entries: u64,
    /// Rows of other tables checked.
    pub rows: u64,
    /// What is wrong; at most [`Report::MAX_FINDINGS`], `more` counts the rest.
    pub findings: Vec<Finding>,
    /// Findings beyond the most that are listed.
    pub more: u64,
}

impl Report {
    /// The most findings that a report lists.
    pub const MAX_FINDINGS: usize = 1000;

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}
