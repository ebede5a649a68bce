//! How entries enter a log: only after what they name, only with a signature that attests them, and each once.

use crate::backend::Write;
use crate::codec::LogNumber;
use crate::error::StorageError;
use crate::inbox;
use crate::index::{self, Index, Names};
use crate::log_record::LogRecord;
use crate::model::{Held, Source, Waiting};
use changeset::limits::{MAX_RUN_BYTES, MAX_RUN_ENTRIES};
use changeset::{ChangeSetId, HeaderFault, Known, Verified};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

/// What is needed to let entries enter one log.
pub(crate) struct Door<'a> {
    pub(crate) write: &'a mut dyn Write,
    pub(crate) number: LogNumber,
    pub(crate) record: &'a mut LogRecord,
    pub(crate) names: &'a Mutex<Names>,
    /// Entries and bytes of the inbox.
    pub(crate) limits: (u64, u64),
    pub(crate) now_ms: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) entered: Vec<(Verified, Source)>,
    pub(crate) waiting: Vec<ChangeSetId>,
    pub(crate) refused: Vec<(ChangeSetId, HeaderFault)>,
    pub(crate) overflow: Vec<ChangeSetId>,
    pub(crate) known: usize,
}

/// An entry that may enter.
struct Candidate {
    entry: Verified,
    source: Source,
    since_ms: u64,
    /// Given by the caller, not found in the inbox.
    given: bool,
    /// How many of its needs are neither in the log nor ready.
    unmet: usize,
}

#[derive(Default)]
struct Pool {
    candidates: Vec<Candidate>,
    by_id: HashMap<ChangeSetId, usize>,
    /// From a need to those in the pool that wait for it.
    dependents: HashMap<ChangeSetId, Vec<usize>>,
    ready: BTreeSet<usize>,
    /// In the order in which they may enter.
    order: Vec<usize>,
    met: HashSet<ChangeSetId>,
    refused: HashSet<ChangeSetId>,
}

impl Door<'_> {
    /// Lets the given entries enter, and what waited for them.
    pub(crate) fn enter(&mut self, given: Vec<(Verified, Source)>) -> Result<Outcome, StorageError> {
        let mut outcome = Outcome::default();
        let mut pool = Pool::default();
        for (entry, source) in given {
            let id = entry.id();
            if pool.by_id.contains_key(&id) || pool.refused.contains(&id) {
                continue;
            }
            if self.index().position(&id)?.is_some() {
                outcome.known += 1;
                continue;
            }
            // What was held before may be the one with the signature.
            let held = inbox::get(&*self.write, self.number, &self.record.key, &id)?;
            let entry = match held {
                Some(held) if entry.signature().is_none() && held.entry.signature().is_some() => held.entry,
                _ => entry,
            };
            self.add(&mut pool, &mut outcome, entry, source, self.now_ms, true)?;
        }
        while let Some(next) = pool.ready.pop_first() {
            self.make_ready(&mut pool, &mut outcome, next)?;
        }
        let entering = attested(&pool);
        for number in &entering {
            if let Some(candidate) = pool.candidates.get(*number) {
                let position = self.record.end.position;
                let Candidate { entry, source, .. } = candidate;
                let key = self.record.key.clone();
                index::insert(self.write, self.number, &key, self.names, position, entry, source)?;
                self.record.push(&entry.id());
                inbox::unpark(self.write, self.number, self.record, &entry.id())?;
                outcome.entered.push((entry.clone(), *source));
            }
        }
        let entered: HashSet<usize> = entering.into_iter().collect();
        for (number, candidate) in pool.candidates.iter().enumerate() {
            if !entered.contains(&number) && !pool.refused.contains(&candidate.entry.id()) {
                self.wait(candidate, &mut outcome)?;
            }
        }
        Ok(outcome)
    }

    fn index(&self) -> Index<'_> {
        Index { read: &*self.write, number: self.number, log: &self.record.key, names: self.names }
    }

    /// Takes an entry into the pool, and what it needs out of the inbox with it.
    fn add(
        &mut self,
        pool: &mut Pool,
        outcome: &mut Outcome,
        entry: Verified,
        source: Source,
        since_ms: u64,
        given: bool,
    ) -> Result<(), StorageError> {
        let mut adding = vec![Candidate { entry, source, since_ms, given, unmet: 0 }];
        while let Some(mut candidate) = adding.pop() {
            let id = candidate.entry.id();
            if pool.by_id.contains_key(&id) {
                continue;
            }
            if let Err(fault) = self.check(pool, &candidate.entry)? {
                self.refuse(pool, outcome, id, fault)?;
                continue;
            }
            let number = pool.candidates.len();
            let needs: BTreeSet<ChangeSetId> = inbox::needs(&candidate.entry).copied().collect();
            for need in needs {
                if pool.met.contains(&need) || self.index().position(&need)?.is_some() {
                    continue;
                }
                candidate.unmet += 1;
                pool.dependents.entry(need).or_default().push(number);
                if !pool.by_id.contains_key(&need)
                    && let Some(held) = inbox::get(&*self.write, self.number, &self.record.key, &need)?
                    && !matches!(held.why, Held::Admission(_))
                {
                    let Waiting { entry, source, since_ms, .. } = held;
                    adding.push(Candidate { entry, source, since_ms, given: false, unmet: 0 });
                }
            }
            if candidate.unmet == 0 {
                pool.ready.insert(number);
            }
            pool.by_id.insert(id, number);
            pool.candidates.push(candidate);
        }
        Ok(())
    }

    /// Everything that an entry needs is there: those that need it are told, also in the inbox.
    fn make_ready(&mut self, pool: &mut Pool, outcome: &mut Outcome, number: usize) -> Result<(), StorageError> {
        let Some(entry) = pool.candidates.get(number).map(|candidate| candidate.entry.clone()) else { return Ok(()) };
        let id = entry.id();
        if let Err(fault) = self.check(pool, &entry)? {
            return self.refuse(pool, outcome, id, fault);
        }
        pool.order.push(number);
        pool.met.insert(id);
        for dependent in pool.dependents.remove(&id).unwrap_or_default() {
            if let Some(candidate) = pool.candidates.get_mut(dependent) {
                candidate.unmet -= 1;
                if candidate.unmet == 0 {
                    pool.ready.insert(dependent);
                }
            }
        }
        for waiter in inbox::waiters(&*self.write, self.number, &id)? {
            let is_left = changeset::planted("what waits is not looked at again");
            if pool.by_id.contains_key(&waiter) || pool.refused.contains(&waiter) || is_left {
                continue;
            }
            if let Some(held) = inbox::get(&*self.write, self.number, &self.record.key, &waiter)? {
                let Waiting { entry, source, since_ms, .. } = held;
                self.add(pool, outcome, entry, source, since_ms, false)?;
            }
        }
        Ok(())
    }

    /// What its header says of what is held, in the log or about to enter it.
    fn check(&self, pool: &Pool, entry: &Verified) -> Result<Result<(), HeaderFault>, StorageError> {
        let index = self.index();
        let failed = RefCell::new(None);
        let known = |id: &ChangeSetId| {
            let in_pool = pool.by_id.get(id).and_then(|number| pool.candidates.get(*number));
            if let Some(candidate) = in_pool {
                return Some(Known::from(&candidate.entry));
            }
            let found = index.find_id(id).and_then(|found| found.map(|(_, row)| index.known_of(&row)).transpose());
            found.unwrap_or_else(|error| {
                *failed.borrow_mut() = Some(error);
                None
            })
        };
        let checked = HeaderFault::check(entry, known);
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(checked),
        }
    }

    fn refuse(
        &mut self,
        pool: &mut Pool,
        outcome: &mut Outcome,
        id: ChangeSetId,
        fault: HeaderFault,
    ) -> Result<(), StorageError> {
        pool.refused.insert(id);
        outcome.refused.push((id, fault));
        inbox::unpark(self.write, self.number, self.record, &id).map(|_| ())
    }

    /// Lets an entry wait for what is not in the log, or for a signature.
    fn wait(&mut self, candidate: &Candidate, outcome: &mut Outcome) -> Result<(), StorageError> {
        let Candidate { entry, source, since_ms, given, .. } = candidate;
        let mut missing = Vec::new();
        for need in inbox::needs(entry).collect::<BTreeSet<_>>() {
            if self.index().position(need)?.is_none() {
                missing.push(*need);
            }
        }
        let why = if missing.is_empty() { Held::Unsigned } else { Held::Missing(missing) };
        let held = inbox::unpark(self.write, self.number, self.record, &entry.id())?;
        let waiting = Waiting { entry: entry.clone(), why, source: *source, since_ms: *since_ms };
        // What had room before the call keeps it.
        let limits = if held.is_some() { (u64::MAX, u64::MAX) } else { self.limits };
        let has_room = inbox::park(self.write, self.number, self.record, limits, &waiting)?;
        match (has_room, given) {
            (true, true) => outcome.waiting.push(entry.id()),
            (false, _) => outcome.overflow.push(entry.id()),
            (true, false) => {}
        }
        Ok(())
    }
}

/// Of those that are ready the ones that a signature attests, in order. One that no signature attests cannot enter, nor
/// what needs it, nor what only that attested: until nothing changes.
fn attested(pool: &Pool) -> Vec<usize> {
    let mut order = pool.order.clone();
    loop {
        // From a change set to the shortest run after it, up to a signature.
        let mut runs: HashMap<ChangeSetId, (usize, usize)> = HashMap::new();
        let mut dropped: HashSet<ChangeSetId> = HashSet::new();
        for candidate in order.iter().rev().filter_map(|number| pool.candidates.get(*number)) {
            let entry = &candidate.entry;
            let length = entry.header().body_length as usize;
            let run = match (entry.signature(), runs.get(&entry.id())) {
                (Some(_), _) => Some((1, length)),
                (None, Some((count, bytes))) => Some((count + 1, bytes.saturating_add(length))),
                (None, None) => None,
            };
            match run.filter(|run| run.0 <= MAX_RUN_ENTRIES && (run.0 == 1 || run.1 <= MAX_RUN_BYTES)) {
                None => {
                    dropped.insert(entry.id());
                }
                Some(run) => {
                    if let Some(previous) = entry.header().previous {
                        let shortest = runs.entry(previous).or_insert(run);
                        *shortest = (*shortest).min(run);
                    }
                }
            }
        }
        if dropped.is_empty() {
            return order;
        }
        order.retain(|number| {
            let Some(entry) = pool.candidates.get(*number).map(|candidate| &candidate.entry) else { return false };
            let falls = dropped.contains(&entry.id()) || inbox::needs(entry).any(|need| dropped.contains(need));
            if falls {
                dropped.insert(entry.id());
            }
            !falls
        });
    }
}
