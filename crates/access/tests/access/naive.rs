//! A second evaluator, as plain as can be: all records in a list, passes over it until nothing changes, no index and no
//! cache. It knows only what `spec/access.md` says.

use access::{Actions, Claim, Grant, Kinds, Record, RecordFault, Scope};
use changeset::hash::{CONTEXT_ENDORSEMENT, CONTEXT_GENESIS, statement};
use changeset::{ChangeSetId, PublicKey, Signature, Verified, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Accepted(Option<ChangeSetId>),
    Pending,
    Masked,
    Invalid,
}

pub(crate) struct Naive {
    workspace: WorkspaceId,
    /// The whole change set of each id, if any copy is whole.
    held: BTreeMap<ChangeSetId, Verified>,
    good: BTreeSet<ChangeSetId>,
}

fn record(held: &Verified) -> Option<Record> {
    Record::read(held).ok()
}

fn covers(scope: &Scope, name: &str) -> bool {
    match scope {
        Scope::All => name != "authority",
        Scope::Named(names) => names.iter().any(|one| one.as_str() == name),
    }
}

impl Naive {
    pub(crate) fn new(workspace: WorkspaceId, records: &[Verified]) -> Self {
        let mut held: BTreeMap<ChangeSetId, Verified> = BTreeMap::new();
        for entry in records {
            if held.get(&entry.id()).is_none_or(|old| old.body().is_purged()) {
                held.insert(entry.id(), entry.clone());
            }
        }
        let mut naive = Self { workspace, held, good: BTreeSet::new() };
        loop {
            let before = naive.good.len();
            let more: Vec<ChangeSetId> = naive.held.values().filter(|one| naive.holds(one)).map(Verified::id).collect();
            naive.good.extend(more);
            if naive.good.len() == before {
                return naive;
            }
        }
    }

    fn goods(&self) -> impl Iterator<Item = (ChangeSetId, Record)> + '_ {
        self.good.iter().map(|id| (*id, record(&self.held[id]).unwrap()))
    }

    fn roots(&self) -> Option<(BTreeSet<PublicKey>, usize)> {
        self.goods().find_map(|(_, record)| match record {
            Record::Genesis(genesis) => Some((genesis.roots, usize::from(genesis.threshold))),
            _ => None,
        })
    }

    fn roots_behind(&self, entry: &Verified) -> usize {
        let Some((roots, _)) = self.roots() else { return 0 };
        let first = usize::from(entry.skeleton().unwrap().reason.is_some());
        let value = |at: usize| entry.body().value(at);
        let message = [self.workspace.as_bytes(), value(first).unwrap()].concat();
        let said = statement(CONTEXT_ENDORSEMENT, &message);
        let mut behind: BTreeSet<PublicKey> = [*entry.actor().key()].into();
        for at in first + 1..entry.body().value_count() {
            let (root, signature) = value(at).unwrap().split_at(32);
            let root = PublicKey::from_bytes(root.try_into().unwrap());
            if root.has_signed(&said, &Signature::from_bytes(signature.try_into().unwrap())) {
                behind.insert(root);
            }
        }
        behind.intersection(&roots).count()
    }

    fn holds(&self, entry: &Verified) -> bool {
        let (author, at, time) = (entry.actor().key(), entry.actor().partition().as_str(), entry.header().time);
        let Some(record) = record(entry) else { return false };
        let enough = || self.roots().is_some_and(|(_, threshold)| self.roots_behind(entry) >= threshold);
        let mine = || {
            self.goods().filter_map(|(_, record)| match record {
                Record::Delegation(one) if one.to == *author => Some(one),
                _ => None,
            })
        };
        match record {
            Record::Genesis(_) => {
                let first = usize::from(entry.skeleton().unwrap().reason.is_some());
                at == "authority"
                    && statement(CONTEXT_GENESIS, entry.body().value(first).unwrap()) == *self.workspace.as_bytes()
            }
            Record::Delegation(wanted) => {
                let within = |names: &Scope| match &wanted.partitions {
                    Scope::All => *names == Scope::All,
                    Scope::Named(wanted) => wanted.iter().all(|one| covers(names, one.as_str())),
                };
                at == "authority"
                    && (enough()
                        || mine().any(|from| {
                            from.may_delegate
                                && (from.not_before_ms..=from.not_after_ms).contains(&time)
                                && from.not_before_ms <= wanted.not_before_ms
                                && wanted.not_after_ms <= from.not_after_ms
                                && within(&from.partitions)
                        }))
            }
            Record::Grant(wanted) => {
                at == wanted.partition.as_str()
                    && (enough()
                        || mine().any(|from| {
                            covers(&from.partitions, at) && (from.not_before_ms..=from.not_after_ms).contains(&time)
                        }))
            }
            _ => false,
        }
    }

    /// Whether the author of a record that does not count has anything that could have let it: then it is masked.
    fn has_something(&self, entry: &Verified) -> bool {
        self.roots_behind(entry) > 0
            || self.goods().any(|(_, record)| match record {
                Record::Delegation(one) => one.to == *entry.actor().key(),
                _ => false,
            })
    }

    fn of_record(&self, id: ChangeSetId) -> Plain {
        if self.good.contains(&id) {
            return Plain::Accepted(None);
        }
        let Some(entry) = self.held.get(&id) else { return Plain::Pending };
        let misplaced = |wanted: &str| entry.actor().partition().as_str() != wanted;
        match Record::read(entry) {
            Err(RecordFault::ValueMissing(_) | RecordFault::NewerFormat(_)) => Plain::Pending,
            Err(RecordFault::Unreadable(_)) => Plain::Invalid,
            Err(_) | Ok(Record::Genesis(_)) => Plain::Masked,
            Ok(Record::Delegation(_)) if misplaced("authority") => Plain::Masked,
            Ok(Record::Grant(grant)) if misplaced(grant.partition.as_str()) => Plain::Masked,
            Ok(Record::Unknown { .. }) => Plain::Pending,
            Ok(_) if self.roots().is_some() && self.has_something(entry) => Plain::Masked,
            Ok(_) => Plain::Pending,
        }
    }

    fn fits(grant: &Grant, claim: &Claim) -> Option<bool> {
        let actions = match &grant.actions {
            Actions::All => Some(true),
            Actions::Named(named) => claim.intent.as_ref().map(|intent| named.contains(intent)),
        };
        let kinds = match &grant.kinds {
            Kinds::All => true,
            Kinds::Named(kinds) => kinds.contains(&claim.kind),
        };
        let rest = grant.device == claim.author
            && grant.partition == claim.partition
            && kinds
            && (grant.not_before_ms..=grant.not_after_ms).contains(&claim.time_ms);
        if rest { actions } else { Some(false) }
    }

    pub(crate) fn verdict(&self, claim: &Claim) -> Plain {
        let at = claim.partition.as_str();
        match claim.kind.as_str() {
            "access" => return self.of_record(claim.id),
            "device" => {
                let root = self.roots().is_some_and(|(roots, _)| roots.contains(&claim.author));
                let known = self.goods().any(|(_, record)| match record {
                    Record::Grant(grant) => grant.device == claim.author && grant.partition == claim.partition,
                    Record::Delegation(one) => {
                        one.to == claim.author && (at == "authority" || covers(&one.partitions, at))
                    }
                    _ => false,
                });
                return if root || known { Plain::Accepted(None) } else { Plain::Pending };
            }
            _ => {}
        }
        let Some(named) = claim.grant else {
            let first = self.goods().find(|(_, record)| match record {
                Record::Grant(grant) => Self::fits(grant, claim) == Some(true),
                _ => false,
            });
            return first.map_or(Plain::Pending, |(id, _)| Plain::Accepted(Some(id)));
        };
        let Some(entry) = self.held.get(&named) else { return Plain::Pending };
        match Record::read(entry) {
            Ok(Record::Grant(grant)) => match (Self::fits(&grant, claim), self.of_record(named)) {
                (Some(false), _) | (_, Plain::Masked | Plain::Invalid) => Plain::Masked,
                (Some(true), Plain::Accepted(_)) => Plain::Accepted(Some(named)),
                (_, Plain::Accepted(_) | Plain::Pending) => Plain::Pending,
            },
            Ok(Record::Unknown { .. }) | Err(RecordFault::ValueMissing(_) | RecordFault::NewerFormat(_)) => {
                Plain::Pending
            }
            Ok(_) | Err(_) => Plain::Masked,
        }
    }
}
