//! The records of a workspace that are held, and which of them count.

use crate::carried::{Carried, endorsed_statement};
use crate::fault::RecordFault;
use crate::record::{Delegation, Genesis, Grant, Record, workspace_of};
use crate::terms::{KIND_ACCESS, PARTITION_AUTHORITY, Within};
use crate::verdict::{Taken, Verdict};
use crate::why::Why;
use changeset::{ChangeSetId, Partition, PublicKey, Verified, WorkspaceId};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// The records of a workspace that are held, and everything that follows from them.
///
/// Give it every change set of kind `access` of the log, in any order: what it answers is a pure function of the set.
/// Without revocations a record that counts goes on counting, so every change set is looked at again only when a
/// delegation to its author, or the genesis, begins to count. Memory: the records themselves and about 300 bytes for
/// each.
#[derive(Clone)]
pub struct Authority {
    pub(crate) workspace: WorkspaceId,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) held: BTreeMap<ChangeSetId, Held>,
    /// The delegations that count, by holder.
    pub(crate) delegations: BTreeMap<PublicKey, BTreeSet<ChangeSetId>>,
    /// The grants that count, by device and partition.
    pub(crate) grants: BTreeMap<PublicKey, BTreeMap<Partition, BTreeSet<ChangeSetId>>>,
    /// The delegations and grants that may come to count, by author.
    waiting: BTreeMap<PublicKey, BTreeSet<ChangeSetId>>,
}

/// A change set of kind `access`, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) author: PublicKey,
    partition: Partition,
    time: u64,
    pub(crate) content: Result<Carried, RecordFault>,
    /// How many roots stand behind it; known once the genesis is held.
    roots: Option<usize>,
    counts: bool,
}

impl Held {
    fn new(change_set: &Verified) -> Self {
        Self {
            author: *change_set.actor().key(),
            partition: change_set.actor().partition().clone(),
            time: change_set.header().time,
            content: Carried::read(change_set),
            roots: None,
            counts: false,
        }
    }

    pub(crate) fn record(&self) -> Option<&Record> {
        self.content.as_ref().ok().map(|carried| &carried.record)
    }

    /// How many distinct roots wrote or endorsed it. 40 µs for each endorsement of a root.
    fn roots_behind(&self, workspace: &WorkspaceId, genesis: &Genesis) -> usize {
        let Ok(carried) = &self.content else { return 0 };
        let mut behind = BTreeSet::new();
        if genesis.roots.contains(&self.author) {
            behind.insert(self.author);
        }
        if !carried.endorsements.is_empty() {
            let statement = endorsed_statement(workspace, &carried.bytes);
            let endorsing = carried.endorsements.iter().filter(|by| genesis.roots.contains(&by.root));
            behind.extend(endorsing.filter(|by| by.holds(&statement)).map(|by| by.root));
        }
        behind.len()
    }
}

impl Authority {
    /// Of this workspace, with nothing held yet.
    pub fn new(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            genesis: None,
            held: BTreeMap::new(),
            delegations: BTreeMap::new(),
            grants: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// The workspace.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The genesis record, once it is held.
    pub fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_ref()
    }

    /// The record that a change set carries, if it was taken and is one; whether it counts is another question.
    pub fn record(&self, id: &ChangeSetId) -> Option<&Record> {
        self.held.get(id)?.record()
    }

    /// Every change set that was taken, ascending by id, with its verdict.
    pub fn records(&self) -> impl Iterator<Item = (ChangeSetId, Verdict)> + '_ {
        self.held.iter().map(|(id, held)| (*id, self.weigh(held)))
    }

    /// Takes in a change set of the log. Everything of kind `access` from every partition belongs here, in any order;
    /// other kinds are passed over. 5 µs, and 40 µs for each endorsement of a root. A change set that came without some of its values is taken again when it is whole.
    pub fn take(&mut self, change_set: &Verified) -> Taken {
        let foreign = *change_set.actor().workspace() != self.workspace;
        if foreign || change_set.header().document.kind.as_str() != KIND_ACCESS {
            return Taken::Ignored;
        }
        let id = change_set.id();
        let mut new = Held::new(change_set);
        if let Some(old) = self.held.get(&id) {
            // The same header attests both, so they differ at most by values that are missing.
            let fuller = match (&old.content, &new.content) {
                (Err(RecordFault::ValueMissing(old)), Err(RecordFault::ValueMissing(new))) => new < old,
                (Err(RecordFault::ValueMissing(_)), _) => true,
                _ => false,
            };
            if !fuller {
                return Taken::Known;
            }
        }
        new.roots = self.genesis.as_ref().map(|genesis| new.roots_behind(&self.workspace, genesis));
        if matches!(new.record(), Some(Record::Delegation(_) | Record::Grant(_))) {
            self.waiting.entry(new.author).or_default().insert(id);
        }
        let verdict = self.weigh(&new);
        self.held.insert(id, new);
        match verdict {
            Verdict::Accepted { .. } => Taken::Counts { also: self.count(id) },
            Verdict::Pending(why) | Verdict::Masked(why) | Verdict::Invalid(why) => Taken::Kept(why),
        }
    }

    /// The verdict on a change set of kind `access` as if it were held, without taking it.
    pub fn judge(&self, change_set: &Verified) -> Verdict {
        self.weigh(&Held::new(change_set))
    }

    /// Lets a record count, and whatever counts because of it. A list, not recursion: chains may be long.
    fn count(&mut self, first: ChangeSetId) -> Vec<ChangeSetId> {
        let mut counted = BTreeSet::new();
        let mut ready = vec![first];
        while let Some(id) = ready.pop() {
            if !counted.insert(id) {
                continue;
            }
            let again = self.enter(id);
            let counts = |id: &ChangeSetId| self.held.get(id).is_some_and(|held| self.weigh(held).is_accepted());
            ready.extend(again.into_iter().filter(counts));
        }
        counted.remove(&first);
        counted.into_iter().collect()
    }

    /// Enters a record that counts into the indexes. Answers what has to be weighed again.
    fn enter(&mut self, id: ChangeSetId) -> Vec<ChangeSetId> {
        let Some(held) = self.held.get_mut(&id) else { return Vec::new() };
        held.counts = true;
        let author = held.author;
        let Ok(carried) = &held.content else { return Vec::new() };
        let again = match &carried.record {
            Record::Genesis(genesis) if self.genesis.is_none() => {
                let genesis = genesis.clone();
                for held in self.held.values_mut() {
                    held.roots = Some(held.roots_behind(&self.workspace, &genesis));
                }
                self.genesis = Some(genesis);
                self.waiting.values().flatten().copied().collect()
            }
            Record::Delegation(delegation) => {
                let to = delegation.to;
                self.delegations.entry(to).or_default().insert(id);
                self.waiting.get(&to).into_iter().flatten().copied().collect()
            }
            Record::Grant(grant) => {
                let of_device = self.grants.entry(grant.device).or_default();
                of_device.entry(grant.partition.clone()).or_default().insert(id);
                Vec::new()
            }
            Record::Genesis(_) | Record::Unknown { .. } => Vec::new(),
        };
        if let Some(waiting) = self.waiting.get_mut(&author) {
            waiting.remove(&id);
        }
        again
    }

    /// Whether a change set of kind `access` counts, by what is held.
    pub(crate) fn weigh(&self, held: &Held) -> Verdict {
        if held.counts {
            return Verdict::Accepted { grant: None };
        }
        let carried = match &held.content {
            Ok(carried) => carried,
            Err(fault @ (RecordFault::ValueMissing(_) | RecordFault::NewerFormat(_))) => {
                return Verdict::Pending(Why::BadRecord(fault.clone()));
            }
            Err(fault @ RecordFault::Unreadable(_)) => return Verdict::Invalid(Why::BadRecord(fault.clone())),
            Err(fault) => return Verdict::Masked(Why::BadRecord(fault.clone())),
        };
        match &carried.record {
            Record::Unknown { name, .. } => Verdict::Pending(Why::UnknownRecord { name: name.clone() }),
            Record::Genesis(_) | Record::Delegation(_) if held.partition.as_str() != PARTITION_AUTHORITY => {
                Verdict::Masked(Why::OutsideAuthority { partition: held.partition.clone() })
            }
            Record::Genesis(_) => {
                let begins = workspace_of(&carried.bytes);
                if begins == self.workspace {
                    Verdict::Accepted { grant: None }
                } else {
                    Verdict::Masked(Why::OtherGenesis { begins })
                }
            }
            Record::Delegation(delegation) => self.warranted(held, |from| may_delegate(from, delegation)),
            Record::Grant(grant) if held.partition != grant.partition => Verdict::Masked(Why::WrongPartition {
                partition: held.partition.clone(),
                belongs: grant.partition.clone(),
            }),
            Record::Grant(grant) => self.warranted(held, |from| may_grant(from, grant)),
        }
    }

    /// Whether roots or a delegation stand behind a record. `objection` says what speaks against a delegation.
    fn warranted(&self, held: &Held, objection: impl Fn(HeldDelegation<'_>) -> Option<Why>) -> Verdict {
        let Some(genesis) = &self.genesis else {
            return Verdict::Pending(Why::NoGenesis { workspace: self.workspace });
        };
        let need = usize::from(genesis.threshold);
        let have = held.roots.unwrap_or_else(|| held.roots_behind(&self.workspace, genesis));
        if have >= need {
            return Verdict::Accepted { grant: None };
        }
        let mut first = None;
        for from in self.delegations_of(&held.author) {
            match objection(from).or_else(|| from.objection_at(held.time)) {
                None => return Verdict::Accepted { grant: None },
                Some(why) => first = first.or(Some(why)),
            }
        }
        if have > 0 {
            Verdict::Masked(Why::TooFewRoots { have, need })
        } else if let Some(why) = first {
            Verdict::Masked(why)
        } else {
            Verdict::Pending(Why::NoAuthority { author: held.author })
        }
    }

    /// The delegations to this key that count, ascending by id.
    pub fn delegations_of(&self, key: &PublicKey) -> impl Iterator<Item = HeldDelegation<'_>> {
        self.delegations.get(key).into_iter().flatten().filter_map(|id| match self.record(id)? {
            Record::Delegation(delegation) => Some(HeldDelegation { id: *id, delegation }),
            Record::Genesis(_) | Record::Grant(_) | Record::Unknown { .. } => None,
        })
    }

    /// The grants that count and bind this key in the partition, ascending by id. A shared tablet has several.
    pub fn grants_of(&self, key: &PublicKey, partition: &Partition) -> impl Iterator<Item = HeldGrant<'_>> {
        let ids = self.grants.get(key).and_then(|partitions| partitions.get(partition));
        ids.into_iter().flatten().filter_map(|id| self.grant(id))
    }

    /// The grant that this change set carries, if it counts.
    pub fn grant(&self, id: &ChangeSetId) -> Option<HeldGrant<'_>> {
        let (id, held) = self.held.get_key_value(id)?;
        match held.record()? {
            Record::Grant(grant) if held.counts => Some(HeldGrant { id: *id, grant }),
            _ => None,
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({}…, {} records)", self.workspace.short(), self.held.len())
    }
}

/// A delegation that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldDelegation<'a> {
    /// The change set that carries it.
    pub id: ChangeSetId,
    /// What it says.
    pub delegation: &'a Delegation,
}

impl HeldDelegation<'_> {
    /// What is wrong with it at this time.
    pub(crate) fn objection_at(self, time: u64) -> Option<Why> {
        let Self { id, delegation } = self;
        let label = || delegation.label.clone();
        match delegation.period().at(time) {
            Within::Before => {
                Some(Why::DelegationNotYet { delegation: id, label: label(), from_ms: delegation.not_before_ms })
            }
            Within::Inside => None,
            Within::After => {
                Some(Why::DelegationExpired { delegation: id, label: label(), until_ms: delegation.not_after_ms })
            }
        }
    }

    pub(crate) fn elsewhere(self, partition: Option<&Partition>) -> Why {
        let Self { id, delegation } = self;
        Why::DelegationElsewhere { delegation: id, label: delegation.label.clone(), partition: partition.cloned() }
    }
}

/// A grant that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldGrant<'a> {
    /// The change set that carries it: what headers name.
    pub id: ChangeSetId,
    /// What it says.
    pub grant: &'a Grant,
}

/// What speaks against a delegation that comes from another one, its header time left out.
fn may_delegate(from: HeldDelegation<'_>, wanted: &Delegation) -> Option<Why> {
    let HeldDelegation { id, delegation } = from;
    if let Some(partition) = delegation.partitions.lacks(&wanted.partitions) {
        Some(from.elsewhere(partition))
    } else if !delegation.may_delegate {
        Some(Why::MayNotDelegate { delegation: id, label: delegation.label.clone() })
    } else if !delegation.period().contains(wanted.period()) {
        Some(Why::Outlasts {
            delegation: id,
            label: delegation.label.clone(),
            from_ms: delegation.not_before_ms,
            until_ms: delegation.not_after_ms,
        })
    } else {
        None
    }
}

/// What speaks against a grant that comes from a delegation, its header time left out.
fn may_grant(from: HeldDelegation<'_>, wanted: &Grant) -> Option<Why> {
    if from.delegation.partitions.covers(&wanted.partition) {
        None
    } else {
        Some(from.elsewhere(Some(&wanted.partition)))
    }
}
