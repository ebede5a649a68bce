//! What was promised, and who has to have it: every process says what is durable with it, and loses it only when it is put
//! back to an older copy.

use changeset::ChangeSetId;
use std::collections::{BTreeMap, BTreeSet};

/// The book of promises.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Who said that it is saved.
    pub(crate) saved: BTreeMap<ChangeSetId, usize>,
    /// What a device said to be at a relay.
    pub(crate) relayed: BTreeSet<ChangeSetId>,
    /// What each process has on its disk.
    held: Vec<BTreeSet<ChangeSetId>>,
    /// What a relay had at any time, also before it was put back.
    at_relays: BTreeSet<ChangeSetId>,
    relays: BTreeSet<usize>,
    /// What went with a store that was put back, and whose that was.
    gone: BTreeMap<ChangeSetId, usize>,
}

impl Ledger {
    /// One process more.
    pub(crate) fn add(&mut self, is_relay: bool) -> usize {
        let who = self.held.len();
        self.held.push(BTreeSet::new());
        if is_relay {
            self.relays.insert(who);
        }
        who
    }

    pub(crate) fn held(&self, who: usize) -> usize {
        self.held.get(who).map_or(0, BTreeSet::len)
    }

    /// These are on its disk.
    pub(crate) fn holds(&mut self, who: usize, ids: impl IntoIterator<Item = ChangeSetId>) {
        for id in ids {
            if self.relays.contains(&who) {
                self.at_relays.insert(id);
            }
            if let Some(held) = self.held.get_mut(who) {
                held.insert(id);
            }
        }
    }

    /// It looked at its disk, after whatever happened to it: gives what is missing there.
    pub(crate) fn found(&mut self, who: usize, ids: BTreeSet<ChangeSetId>) -> Vec<ChangeSetId> {
        let missing = self.held.get(who).map(|held| held.difference(&ids).copied().collect()).unwrap_or_default();
        self.holds(who, ids);
        missing
    }

    /// It was put back to a copy in which there is no more than this. Gives how much went.
    pub(crate) fn put_back(&mut self, who: usize, ids: BTreeSet<ChangeSetId>) -> usize {
        let before = self.held.get_mut(who).map(std::mem::take).unwrap_or_default();
        let lost = before.difference(&ids);
        let mut count = 0;
        for id in lost {
            self.gone.insert(*id, who);
            count += 1;
        }
        self.holds(who, ids);
        count
    }

    /// What somebody has on a disk that nobody put back: it has to be everywhere in the end.
    pub(crate) fn must_exist(&self) -> BTreeSet<ChangeSetId> {
        self.held.iter().flatten().copied().collect()
    }

    /// Whether everybody has everything.
    pub(crate) fn is_even(&self) -> bool {
        // Each holds what it holds of one and the same set: equal numbers are equal sets where one has all.
        let most = self.held.iter().map(BTreeSet::len).max().unwrap_or(0);
        self.held.iter().all(|held| held.len() == most) && self.must_exist().len() == most
    }

    /// What one of them lacks.
    pub(crate) fn lacks(&self, who: usize, all: &BTreeSet<ChangeSetId>) -> Vec<ChangeSetId> {
        self.held.get(who).map(|held| all.difference(held).copied().collect()).unwrap_or_default()
    }

    /// What was reported as saved and may be missing: only those had it whose stores were put back.
    pub(crate) fn excused(&self, all: &BTreeSet<ChangeSetId>) -> BTreeSet<ChangeSetId> {
        self.saved.keys().filter(|id| !all.contains(id) && self.gone.contains_key(id)).copied().collect()
    }

    /// What is wrong with what was said.
    pub(crate) fn faults(&self, all: &BTreeSet<ChangeSetId>) -> Vec<String> {
        let mut faults = Vec::new();
        let unexplained = self.saved.iter().filter(|(id, _)| !all.contains(id) && !self.gone.contains_key(id));
        faults
            .extend(unexplained.map(|(id, who)| format!("{id} was called saved by process {who}, and nobody has it")));
        let invented = self.relayed.difference(&self.at_relays);
        faults.extend(invented.map(|id| format!("{id} was called at a relay, and no relay ever had it")));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ChangeSetId {
        ChangeSetId::from_bytes([number; 32])
    }

    fn set(numbers: &[u8]) -> BTreeSet<ChangeSetId> {
        numbers.iter().map(|number| id(*number)).collect()
    }

    fn two() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(true);
        ledger.add(false);
        for number in [1, 2] {
            ledger.holds(1, [id(number)]);
            ledger.saved.insert(id(number), 1);
        }
        ledger
    }

    #[test]
    fn what_a_killed_process_said_to_have_must_be_on_its_disk() {
        assert_eq!(two().found(1, set(&[1, 3])), [id(2)]);
        assert_eq!(two().found(1, set(&[1, 2, 3])), []);
    }

    #[test]
    fn only_what_went_with_a_store_that_was_put_back_may_be_missing() {
        let mut ledger = two();
        assert_eq!(ledger.put_back(1, set(&[1])), 1);
        assert_eq!(ledger.must_exist(), set(&[1]));
        assert_eq!(ledger.excused(&ledger.must_exist()), set(&[2]));
        assert!(ledger.faults(&ledger.must_exist()).is_empty());
        ledger.saved.insert(id(4), 1);
        assert_eq!(ledger.faults(&ledger.must_exist()).len(), 1);
    }

    #[test]
    fn what_reached_another_is_not_excused() {
        let mut ledger = two();
        ledger.holds(0, [id(2)]);
        ledger.put_back(1, set(&[1]));
        assert_eq!(ledger.must_exist(), set(&[1, 2]));
        assert!(ledger.excused(&ledger.must_exist()).is_empty());
        assert!(!ledger.is_even());
        ledger.holds(0, [id(1)]);
        ledger.holds(1, [id(2)]);
        assert!(ledger.is_even());
    }

    #[test]
    fn at_a_relay_is_only_what_one_had_at_some_time() {
        let mut ledger = two();
        ledger.relayed.insert(id(1));
        assert_eq!(ledger.faults(&ledger.must_exist()).len(), 1);
        ledger.holds(0, [id(1)]);
        ledger.put_back(0, set(&[]));
        assert!(ledger.faults(&ledger.must_exist()).is_empty());
    }
}
