//! Checking a whole store: every page against the index, every index row against the pages.

use crate::backend::{Order, Read, Row, Table};
use crate::codec::{Key, LogNumber, after_prefix, id_prefix, prefix_end, six};
use crate::error::{Damage, StorageError};
use crate::inbox;
use crate::index::{ACCESS_KIND, Index, LogBefore, Names, Tag};
use crate::log_record::{self, LogRecord};
use crate::maintain::{Finding, Progress, Report};
use crate::mark;
use crate::model::{Held, Source};
use crate::pages;
use crate::rows;
use changeset::{ChangeSetId, LogPage, PublicKey, Verified, decode_page, prefix, unpack_page};
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Checks one snapshot.
pub(crate) fn verify(
    read: &(dyn Read + Send + Sync),
    key: &PublicKey,
    progress: impl FnMut(Progress),
) -> Result<Report, StorageError> {
    let mut check =
        Check { read, key, report: Report::default(), progress, done: 0, total: 0, firsts: BTreeMap::new() };
    check.system()?;
    let logs = check.logs()?;
    check.total = logs.iter().map(|(_, record)| record.pages).sum();
    for (number, record) in &logs {
        check.report.logs += 1;
        // Names of their own: nothing that was read before may answer for what is stored.
        let names = Mutex::new(Names::default());
        check.log(&Index { read, number: *number, log: &record.key, names: &names }, record)?;
    }
    check.strays(&logs)?;
    Ok(check.report)
}

struct Check<'a, P> {
    read: &'a (dyn Read + Send + Sync),
    key: &'a PublicKey,
    report: Report,
    progress: P,
    done: u64,
    total: u64,
    /// Where each actor of the log at hand entered.
    firsts: BTreeMap<u32, u64>,
}

impl<P: FnMut(Progress)> Check<'_, P> {
    fn find(&mut self, damage: Damage) {
        if self.report.findings.len() < Report::MAX_FINDINGS {
            self.report.findings.push(Finding { damage });
        } else {
            self.report.more += 1;
        }
    }

    fn wrong(&mut self, index: &Index<'_>, table: Table, position: Option<u64>, what: &'static str) {
        self.find(Damage { table, log: Some(index.log.clone()), position, what });
    }

    /// What was read, or none and a finding; errors of the disk end the check.
    fn take<T>(
        &mut self,
        index: Option<&Index<'_>>,
        table: Table,
        read: Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StorageError::Damaged(mut damage)) => {
                damage.log = damage.log.or_else(|| index.map(|index| index.log.clone()));
                self.find(damage);
                Ok(None)
            }
            Err(StorageError::Page { .. }) => {
                let log = index.map(|index| index.log.clone());
                self.find(Damage { table, log, position: None, what: "a page cannot be read" });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StorageError> {
        let end = after_prefix(prefix);
        let from = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(prefix) };
        self.read.scan(table, from, prefix_end(&end), Order::Forward, usize::MAX)
    }

    fn system(&mut self) -> Result<(), StorageError> {
        if let Some(format) = self.take(None, Table::System, mark::format(self.read))?
            && format != Some(u64::from(mark::FORMAT))
        {
            self.find(Damage::new(Table::System, "the format is missing"));
        }
        self.take(None, Table::System, mark::identity(self.read))?;
        self.take(None, Table::System, mark::mark(self.read))?;
        for (key, _) in self.rows(Table::Meta, &[])? {
            self.report.rows += 1;
            self.take(None, Table::Meta, rows::get(self.read, Table::Meta, &key))?;
        }
        Ok(())
    }

    fn logs(&mut self) -> Result<Vec<(LogNumber, LogRecord)>, StorageError> {
        let mut logs = Vec::new();
        for (key, _) in self.rows(Table::Logs, &[])? {
            self.report.rows += 1;
            let Ok(number) = <[u8; 4]>::try_from(&key[..]) else {
                self.find(Damage::new(Table::Logs, "a key has another length"));
                continue;
            };
            let number = LogNumber(u32::from_be_bytes(number));
            let record = log_record::record_of(self.read, number);
            if let Some(record) = self.take(None, Table::Logs, record)? {
                let found = log_record::number_of(self.read, &record.key);
                if let Some(found) = self.take(None, Table::LogNames, found)?
                    && found != Some(number)
                {
                    self.find(Damage::new(Table::LogNames, "a log's name does not lead to it"));
                }
                logs.push((number, record));
            }
        }
        if self.rows(Table::LogNames, &[])?.len() != logs.len() {
            self.find(Damage::new(Table::LogNames, "names and logs differ in number"));
        }
        Ok(logs)
    }

    fn log(&mut self, index: &Index<'_>, record: &LogRecord) -> Result<(), StorageError> {
        let (mut position, mut hash, mut found_pages, mut bytes) = (0, record.start(), 0, 0);
        let mut tips: BTreeSet<u64> = BTreeSet::new();
        let mut counts: BTreeMap<Table, u64> = BTreeMap::new();
        let mut is_whole = true;
        self.firsts.clear();
        // By key, not by position: a row that should not be there must not be stepped over.
        let (log_end, mut last) = (after_prefix(&index.key()), index.key().into_bytes());
        let read = self.read;
        let next_row = |last: &[u8]| {
            let to = prefix_end(&log_end);
            Ok::<_, StorageError>(read.scan(Table::Pages, Bound::Excluded(last), to, Order::Forward, 1)?.pop())
        };
        while let Some((key, value)) = next_row(&last)? {
            last.clone_from(&key);
            found_pages += 1;
            bytes += value.len() as u64;
            self.done += 1;
            (self.progress)(Progress { done: self.done, total: self.total.max(self.done) });
            let Some(page) = self.take(Some(index), Table::Pages, pages::read_row(index, &(key.clone(), value)))?
            else {
                // The index says what stands there, so the check goes on behind it.
                is_whole = false;
                let next = next_row(&last)?;
                position = next.map_or(record.end.position, |(key, _)| crate::codec::position_of(&key));
                continue;
            };
            if page.first != position {
                self.wrong(index, Table::Pages, Some(position), "a page is missing");
                is_whole = false;
            }
            if page.end.position > record.end.position {
                self.wrong(index, Table::Pages, Some(page.first), "a page goes beyond the end of the log");
                is_whole = false;
                break;
            }
            self.report.pages += 1;
            match self.page(index, record, &page)? {
                Some(entries) => {
                    for (at, entry) in (page.first..).zip(&entries) {
                        self.report.entries += 1;
                        hash = hash.then(&entry.id());
                        let entered = self.entry(index, at, entry, page.source, &mut tips, &mut counts);
                        is_whole &= self.take(Some(index), Table::Entries, entered)?.is_some();
                    }
                    if is_whole && page.end.hash != hash {
                        self.wrong(index, Table::Pages, Some(page.first), "the running hash at its end is another");
                    }
                }
                None => is_whole = false,
            }
            position = page.end.position;
        }
        if position < record.end.position {
            self.wrong(index, Table::Pages, Some(position), "a page is missing");
            is_whole = false;
        }
        if is_whole && (position, hash) != (record.end.position, record.end.hash) {
            self.wrong(index, Table::Logs, Some(position), "the log ends at another place than its row says");
        }
        if is_whole && (found_pages, bytes) != (record.pages, record.bytes) {
            self.wrong(index, Table::Logs, None, "the log has other pages than its row says");
        }
        if is_whole {
            self.counts(index, &tips, &counts)?;
            self.names(index)?;
        }
        self.inbox(index, record)?;
        self.documents(index)
    }

    /// A page's seal, signatures and references.
    fn page(
        &mut self,
        index: &Index<'_>,
        record: &LogRecord,
        page: &crate::StoredPage,
    ) -> Result<Option<Vec<Verified>>, StorageError> {
        let wrong = |what| {
            let damage = Damage { table: Table::Pages, log: Some(index.log.clone()), position: Some(page.first), what };
            Ok::<_, StorageError>(damage)
        };
        let found = match LogPage::from_bytes(&page.frame) {
            Err(_) => wrong("a page is not in its form")?,
            Ok(frame) if frame.log != record.end.log => wrong("a page names another incarnation of the log")?,
            Ok(frame) if !frame.is_sealed_by(self.key, &index.log.workspace) => wrong("a page's seal does not hold")?,
            Ok(frame) => match unpack_page(&frame.packed) {
                Err(_) => wrong("a page cannot be unpacked")?,
                Ok(bytes) => {
                    let log = LogBefore::new(index, page.first);
                    let read = decode_page(&bytes, &index.log.workspace, &index.log.partition, &log);
                    let verified = log.finish(Ok(read));
                    let Some(read) = self.take(Some(index), Table::Entries, verified)? else { return Ok(None) };
                    match read.map(changeset::UnverifiedPage::verify) {
                        Err(_) => wrong("a page refers to what is not before it, or is not in its form")?,
                        Ok(Err(_)) => wrong("a signature does not hold, or an entry has none")?,
                        Ok(Ok(entries)) if entries.len() as u64 != page.end.position - page.first => {
                            wrong("a page has another number of entries than it says")?
                        }
                        Ok(Ok(entries)) => return Ok(Some(entries)),
                    }
                }
            },
        };
        self.find(found);
        Ok(None)
    }

    /// The index rows of an entry, against the entry itself.
    fn entry(
        &mut self,
        index: &Index<'_>,
        position: u64,
        entry: &Verified,
        page_source: Source,
        tips: &mut BTreeSet<u64>,
        counts: &mut BTreeMap<Table, u64>,
    ) -> Result<(), StorageError> {
        let header = entry.header();
        let row = index.row(position)?;
        let source = index.source(row.source)?;
        let previous = match row.previous {
            Some(at) if at < position => Some((at, index.row(at)?)),
            Some(_) | None => None,
        };
        let grant = match (&header.grant, &previous) {
            (Some(grant), _) => Some(*grant),
            (None, Some((_, row))) => index.grant(row.grant)?,
            (None, None) => None,
        };
        let is_right = row.id == entry.id()
            && index.actor(row.actor)?.id() == entry.actor().id()
            && u64::from(row.sequence) == header.sequence
            && row.time == header.time
            && index.document(row.document)? == header.document
            && index.grant(row.grant)? == grant
            && row.previous.is_none() == header.previous.is_none()
            && previous.as_ref().map(|(_, row)| row.id) == header.previous
            && (source == page_source || page_source == Source::Mixed);
        if !is_right {
            self.wrong(index, Table::Entries, Some(position), "a row says other than the entry");
        }
        for parent in &header.parents {
            if index.position(parent)?.is_none_or(|at| at >= position) {
                self.wrong(index, Table::Ids, Some(position), "a parent does not stand before the entry");
            }
        }
        let mut has = |table: Table, key: Key, value: Option<&[u8]>| -> Result<(), StorageError> {
            *counts.entry(table).or_default() += 1;
            let found = self.read.get(table, &key)?;
            if found.is_none() || value.is_some_and(|value| found.as_deref() != Some(value)) {
                self.wrong(index, table, Some(position), "a row of the index is missing or another");
            }
            Ok(())
        };
        let key = || index.key();
        has(Table::Ids, key().bytes(&id_prefix(&entry.id())).position(position), Some(&[]))?;
        let chain = key().bytes(&prefix(&entry.actor().id())).u32(row.sequence).position(position);
        has(Table::Chains, chain, Some(&[]))?;
        if source == Source::Own {
            has(Table::Own, key().position(position), Some(&six(header.time)))?;
        }
        if header.document.kind.as_str() == ACCESS_KIND {
            has(Table::Access, key().position(position), Some(&[]))?;
        }
        self.firsts.entry(row.actor).or_insert(position);
        if let Some((at, _)) = previous {
            tips.remove(&at);
        }
        tips.insert(position);
        *counts.entry(Table::Entries).or_default() += 1;
        Ok(())
    }

    /// No more rows than entries.
    fn counts(
        &mut self,
        index: &Index<'_>,
        tips: &BTreeSet<u64>,
        counts: &BTreeMap<Table, u64>,
    ) -> Result<(), StorageError> {
        for table in [Table::Entries, Table::Ids, Table::Chains, Table::Own, Table::Access] {
            let found = self.rows(table, &index.key())?;
            self.report.rows += found.len() as u64;
            if found.len() as u64 != counts.get(&table).copied().unwrap_or_default() {
                self.wrong(index, table, None, "the table has rows of no entry");
            }
        }
        let rows = self.rows(Table::Tips, &index.key())?;
        let found: BTreeSet<u64> = rows.iter().map(|(key, _)| crate::codec::position_of(key)).collect();
        if found != *tips || rows.iter().any(|(_, value)| !value.is_empty()) {
            let at = found.symmetric_difference(tips).next().copied();
            self.wrong(index, Table::Tips, at, "the tips are not those of the log");
        }
        Ok(())
    }

    /// Every name leads to its number and back.
    fn names(&mut self, index: &Index<'_>) -> Result<(), StorageError> {
        for tag in Tag::ALL {
            let back = index.key().byte(tag as u8 | Tag::BACK);
            let found = self.rows(Table::Names, &back)?;
            let forward = self.rows(Table::Names, &index.key().byte(tag as u8))?;
            self.report.rows += (found.len() + forward.len()) as u64;
            if found.len() != forward.len() {
                self.wrong(index, Table::Names, None, "names and numbers differ in number");
            }
            for (key, name) in &found {
                let number = key.get(back.len()..).unwrap_or_default();
                let value = match tag {
                    Tag::Actor => {
                        let name = <[u8; 4]>::try_from(number).map_or(0, u32::from_be_bytes);
                        let Some(actor) = self.take(Some(index), Table::Names, index.actor(name))? else { continue };
                        let key = index.key().byte(tag as u8).bytes(&prefix(&actor.id())).u32(name);
                        let first = self.read.get(Table::Names, &key)?;
                        first.is_some() && first == self.firsts.get(&name).map(|first| six(*first).to_vec())
                    }
                    Tag::Document | Tag::Grant | Tag::Source => {
                        let key = index.key().byte(tag as u8).bytes(name);
                        self.read.get(Table::Names, &key)?.as_deref() == Some(number)
                    }
                };
                if !value {
                    self.wrong(index, Table::Names, None, "a name does not lead to its number");
                }
            }
        }
        Ok(())
    }

    fn inbox(&mut self, index: &Index<'_>, record: &LogRecord) -> Result<(), StorageError> {
        let rows = self.rows(Table::Inbox, &index.key())?;
        self.report.rows += rows.len() as u64;
        let bytes: u64 = rows.iter().map(|(_, value)| value.len() as u64).sum();
        if (rows.len() as u64, bytes) != (record.waiting, record.waiting_bytes) {
            self.wrong(index, Table::Inbox, None, "another number of entries waits than the log's row says");
        }
        let mut awaited = BTreeSet::new();
        let mut is_whole = true;
        for (key, _) in &rows {
            let Some(id) = key.get(4..).and_then(|id| <[u8; 32]>::try_from(id).ok()).map(ChangeSetId::from_bytes)
            else {
                self.wrong(index, Table::Inbox, None, "a key has another length");
                continue;
            };
            let held = inbox::get(self.read, index.number, index.log, &id);
            let Some(Some(waiting)) = self.take(Some(index), Table::Inbox, held)? else {
                is_whole = false;
                continue;
            };
            if waiting.entry.id() != id {
                self.wrong(index, Table::Inbox, None, "another entry waits than its key says");
            }
            if let Held::Missing(ids) = &waiting.why {
                for missing in ids {
                    awaited.insert(index.key().bytes(missing.as_bytes()).bytes(id.as_bytes()).into_bytes());
                }
            }
        }
        let found = self.rows(Table::Awaited, &index.key())?;
        let keys: BTreeSet<Vec<u8>> = found.iter().map(|(key, _)| key.clone()).collect();
        if is_whole && (keys != awaited || found.iter().any(|(_, value)| !value.is_empty())) {
            self.wrong(index, Table::Awaited, None, "what waits and what it waits for differ");
        }
        Ok(())
    }

    fn documents(&mut self, index: &Index<'_>) -> Result<(), StorageError> {
        let peers = rows::peers(self.read, index.number);
        self.take(Some(index), Table::Peers, peers)?;
        for table in [Table::Snapshots, Table::Drafts] {
            for (key, _) in self.rows(table, &index.key())? {
                self.report.rows += 1;
                self.take(Some(index), table, rows::get(self.read, table, &key))?;
            }
        }
        let mut indexed = BTreeSet::new();
        let mut is_whole = true;
        for (key, _) in self.rows(Table::Documents, &index.key())? {
            self.report.rows += 1;
            let read = rows::get(self.read, Table::Documents, &key);
            let record = read.and_then(|row| row.map(|row| rows::read_record(&key, &row)).transpose());
            match self.take(Some(index), Table::Documents, record)?.flatten() {
                Some(record) => indexed.extend(rows::index_keys(index.number, &record).map(Key::into_bytes)),
                None => is_whole = false,
            }
        }
        let found = self.rows(Table::Indexes, &index.key())?;
        let keys: BTreeSet<Vec<u8>> = found.iter().map(|(key, _)| key.clone()).collect();
        if is_whole && (keys != indexed || found.iter().any(|(_, value)| !value.is_empty())) {
            self.wrong(index, Table::Indexes, None, "index rows and document records differ");
        }
        Ok(())
    }

    /// Rows of logs that are not there.
    fn strays(&mut self, logs: &[(LogNumber, LogRecord)]) -> Result<(), StorageError> {
        let known: BTreeSet<[u8; 4]> = logs.iter().map(|(number, _)| number.0.to_be_bytes()).collect();
        for table in Table::ALL {
            if matches!(table, Table::System | Table::Meta | Table::LogNames | Table::Logs) {
                continue;
            }
            let mut from: Bound<Vec<u8>> = Bound::Unbounded;
            loop {
                let start = match &from {
                    Bound::Included(key) => Bound::Included(&key[..]),
                    Bound::Excluded(key) => Bound::Excluded(&key[..]),
                    Bound::Unbounded => Bound::Unbounded,
                };
                let Some((key, _)) = self.read.scan(table, start, Bound::Unbounded, Order::Forward, 1)?.pop() else {
                    break;
                };
                let number = key.first_chunk::<4>().copied();
                if number.is_none_or(|number| !known.contains(&number)) {
                    self.find(Damage::new(table, "a row belongs to no log"));
                }
                match number.and_then(|number| after_prefix(&number)) {
                    Some(next) => from = Bound::Included(next),
                    None => break,
                }
            }
        }
        Ok(())
    }
}
