//! A backend in memory: the twin of the file, for tests and for replicas that keep nothing.

use crate::backend::{Backend, Order, Read, Row, Table, Write};
use crate::error::StorageError;
use crate::overlay::{Overlay, is_empty_range};
use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
struct Tables(BTreeMap<Table, Arc<Rows>>);

/// Tables in memory, gone when the last handle is dropped. A commit while a snapshot is held copies the tables that it
/// changes; without one it costs what it changes.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    tables: Arc<RwLock<Tables>>,
    writing: Arc<Mutex<()>>,
}

impl MemoryBackend {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tables, which go their own way from here on. Costs nothing until one of the two is written.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { tables: Arc::new(RwLock::new(self.snapshot())), writing: Arc::default() }
    }

    fn snapshot(&self) -> Tables {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Read for Tables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        let Some(rows) = self.0.get(&table).filter(|_| !is_empty_range(from, to)) else {
            return Ok(Vec::new());
        };
        let row = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        let range = rows.range::<[u8], _>((from, to));
        Ok(match order {
            Order::Forward => range.take(limit).map(row).collect(),
            Order::Backward => range.rev().take(limit).map(row).collect(),
        })
    }
}

impl Backend for MemoryBackend {
    fn read(&self) -> Result<Box<dyn Read + Send + Sync>, StorageError> {
        Ok(Box::new(self.snapshot()))
    }

    fn write(&self, write: &mut dyn FnMut(&mut dyn Write) -> Result<(), StorageError>) -> Result<(), StorageError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let base = self.snapshot();
        let mut overlay = Overlay::new(&base);
        write(&mut overlay)?;
        let changes = overlay.into_changes();
        // Without this copy the tables below are unique, unless a snapshot is held.
        drop(base);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (table, rows) in changes {
            let stored = Arc::make_mut(tables.0.entry(table).or_default());
            for (key, value) in rows {
                match value {
                    Some(value) => stored.insert(key, value),
                    None => stored.remove(&key),
                };
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, StorageError> {
        let bytes = |rows: &Arc<Rows>| rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        Ok(self.snapshot().0.values().map(bytes).sum())
    }

    fn reopen(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
