//! Entries taken out of their pages: whole runs, each with the signature that attests it.

use crate::error::StorageError;
use crate::index::Index;
use crate::model::Lines;
use crate::pages;
use changeset::{ChangeSetId, Verified};
use std::collections::{BTreeSet, HashSet};

/// For each wanted tip its chain back to what the other side knows.
pub(crate) fn lines(
    index: &Index<'_>,
    wants: &[(ChangeSetId, Vec<ChangeSetId>)],
    after: Option<u64>,
    max_bytes: usize,
) -> Result<Lines, StorageError> {
    // Everything at or before this position was given already, so no walk goes further back.
    let from = after.map_or(0, |position| position.saturating_add(1));
    let (mut wanted, mut ends) = (BTreeSet::new(), BTreeSet::new());
    for (tip, known) in wants {
        let mut stop = BTreeSet::new();
        for id in known {
            stop.extend(index.position(id)?);
        }
        let mut next = index.position(tip)?;
        ends.extend(next);
        while let Some(position) = next.filter(|position| *position >= from && !stop.contains(position)) {
            if !wanted.insert(position) {
                break;
            }
            next = index.row(position)?.previous;
        }
    }
    gather(index, wanted, &ends, max_bytes)
}

/// The entries at these positions, in log order, cut behind about `max_bytes` where all runs end signed. Those after an
/// entry of `ends` are added, up to one with a signature.
pub(crate) fn gather(
    index: &Index<'_>,
    mut wanted: BTreeSet<u64>,
    ends: &BTreeSet<u64>,
    max_bytes: usize,
) -> Result<Lines, StorageError> {
    let mut lines = Lines::default();
    let mut open: HashSet<ChangeSetId> = HashSet::new();
    let (mut bytes, mut before) = (0_usize, None);
    while let Some(position) = wanted.first().copied() {
        let page = pages::at(index, position)?;
        let entries = pages::entries(index, &page, &mut before)?;
        attest(&mut wanted, ends, page.first, &entries);
        for (position, entry) in (page.first..).zip(&entries) {
            if !wanted.remove(&position) {
                continue;
            }
            if let Some(previous) = &entry.header().previous {
                open.remove(previous);
            }
            if entry.signature().is_none() {
                open.insert(entry.id());
            }
            bytes = bytes.saturating_add(entry.header().body_length as usize);
            lines.entries.push(entry.clone());
            if open.is_empty() && bytes >= max_bytes && !wanted.is_empty() {
                lines.next = Some(position);
                return Ok(lines);
            }
        }
    }
    Ok(lines)
}

/// The entries at exactly these positions, signed or not.
pub(crate) fn exactly(index: &Index<'_>, mut wanted: BTreeSet<u64>) -> Result<Vec<Verified>, StorageError> {
    let (mut found, mut before) = (Vec::new(), None);
    while let Some(position) = wanted.first().copied() {
        let page = pages::at(index, position)?;
        let entries = pages::entries(index, &page, &mut before)?;
        found.extend((page.first..).zip(entries).filter(|(at, _)| wanted.remove(at)).map(|(_, entry)| entry));
        wanted = wanted.split_off(&page.end.position);
    }
    Ok(found)
}

/// Adds to the ends among the wanted entries of a page those after them, up to a signature: a page's runs end signed
/// within it.
fn attest(wanted: &mut BTreeSet<u64>, ends: &BTreeSet<u64>, first: u64, entries: &[Verified]) {
    let mut unattested: HashSet<ChangeSetId> = HashSet::new();
    for (position, entry) in (first..).zip(entries) {
        let attests = entry.header().previous.is_some_and(|previous| unattested.remove(&previous));
        if attests {
            wanted.insert(position);
        }
        let is_end = attests || ends.contains(&position) && wanted.contains(&position);
        if is_end && entry.signature().is_none() {
            unattested.insert(entry.id());
        }
    }
}
