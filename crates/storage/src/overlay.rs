//! Changes that lie over what is stored, not written yet: dropped without a trace, or written all at once.

use crate::backend::{Order, Read, Row, Table, Write};
use crate::error::StorageError;
use core::ops::Bound;
use std::collections::BTreeMap;

/// A change of one key: its new value, or none where it was removed.
pub(crate) type Changes = BTreeMap<Table, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// What is stored, with changes over it.
pub(crate) struct Overlay<'a> {
    base: &'a dyn Read,
    changes: Changes,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a dyn Read) -> Self {
        Self { base, changes: Changes::new() }
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

/// Writes changes down, in the order of their keys.
pub(crate) fn apply(changes: &Changes, to: &mut (impl Write + ?Sized)) -> Result<(), StorageError> {
    for (table, rows) in changes {
        for (key, value) in rows {
            match value {
                Some(value) => to.put(*table, key, value)?,
                None => to.delete(*table, key)?,
            }
        }
    }
    Ok(())
}

/// Whether a range of keys can hold anything; `BTreeMap::range` panics on one that is inverted.
pub(crate) fn is_empty_range(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

impl Read for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self.changes.get(&table).and_then(|rows| rows.get(key)) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        if is_empty_range(from, to) {
            return Ok(Vec::new());
        }
        let Some(rows) = self.changes.get(&table) else {
            return self.base.scan(table, from, to, order, limit);
        };
        let changed = || rows.range::<[u8], _>((from, to));
        let deleted = changed().filter(|(_, value)| value.is_none()).count();
        // Each deletion hides at most one row: with so many more there are enough left.
        let base = self.base.scan(table, from, to, order, limit.saturating_add(deleted))?;
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = base.into_iter().collect();
        let put = |merged: &mut BTreeMap<Vec<u8>, Vec<u8>>, (key, value): (&Vec<u8>, &Option<Vec<u8>>)| match value {
            Some(value) => {
                merged.insert(key.clone(), value.clone());
            }
            None => {
                merged.remove(key);
            }
        };
        changed().filter(|(_, value)| value.is_none()).for_each(|change| put(&mut merged, change));
        let kept = |(_, value): &(&Vec<u8>, &Option<Vec<u8>>)| value.is_some();
        match order {
            Order::Forward => {
                changed().filter(kept).take(limit).for_each(|change| put(&mut merged, change));
                Ok(merged.into_iter().take(limit).collect())
            }
            Order::Backward => {
                changed().rev().filter(kept).take(limit).for_each(|change| put(&mut merged, change));
                Ok(merged.into_iter().rev().take(limit).collect())
            }
        }
    }
}

impl Write for Overlay<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.changes.entry(table).or_default().insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        self.changes.entry(table).or_default().insert(key.to_vec(), None);
        Ok(())
    }
}
