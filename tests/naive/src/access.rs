//! Which records count, and the verdicts that follow (`access.md`).

use crate::Id;
use crate::partition::Partition;
use crate::record::{Carried, Grant, Period, Record};
use std::collections::{BTreeMap, BTreeSet};

const AUTHORITY: &str = "authority";

/// Whether a change set counts, with the code of the reason where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// Not decided by what is given; does not count until it is.
    Pending(&'static str),
    /// Its content does not count.
    Masked(&'static str),
    /// It has no content that could count.
    Invalid(&'static str),
}

/// The verdicts on all change sets of these partitions, by the records that are in any of them.
pub fn verdicts(partitions: &[Partition]) -> BTreeMap<Id, Verdict> {
    let workspaces: BTreeSet<Id> = partitions.iter().map(Partition::workspace).collect();
    let mut verdicts = BTreeMap::new();
    for workspace in workspaces {
        let partitions = || partitions.iter().filter(|partition| partition.workspace() == workspace);
        let carried = partitions().flat_map(|partition| {
            let records = partition.entries().filter(|entry| entry.kind == "access");
            records.map(|entry| Carried::read(&workspace, partition.name(), entry))
        });
        let authority = Authority::new(workspace, carried);
        for partition in partitions() {
            let mut grants: BTreeMap<Id, Option<Id>> = BTreeMap::new();
            for entry in partition.entries() {
                let inherited = entry.previous.and_then(|previous| grants[&previous]);
                let grant = entry.grant.or(inherited);
                grants.insert(entry.id, grant);
                let claim = Claim {
                    id: entry.id,
                    partition: partition.name(),
                    author: entry.author,
                    kind: &entry.kind,
                    intent: Some(&entry.intent),
                    time: entry.time,
                    grant,
                };
                verdicts.insert(entry.id, authority.verdict(&claim).0);
            }
        }
    }
    verdicts
}

/// What a device masks in a partition: all that is not accepted. Its own work that is pending it shows as drafts: give the
/// device's key for its own view, none for what all others see.
pub fn masked_for(verdicts: &BTreeMap<Id, Verdict>, partition: &Partition, own_key: Option<Id>) -> BTreeSet<Id> {
    let counts = |id: &Id, author: Id| match verdicts.get(id) {
        Some(Verdict::Accepted) => true,
        Some(Verdict::Pending(_)) | None => own_key == Some(author),
        Some(Verdict::Masked(_) | Verdict::Invalid(_)) => false,
    };
    partition.entries().filter(|entry| !counts(&entry.id, entry.author)).map(|entry| entry.id).collect()
}

/// What of a change set decides.
#[derive(Clone, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) id: Id,
    pub(crate) partition: &'a str,
    pub(crate) author: Id,
    pub(crate) kind: &'a str,
    pub(crate) intent: Option<&'a str>,
    pub(crate) time: u64,
    /// The grant in force.
    pub(crate) grant: Option<Id>,
}

/// The records held of one workspace, and which of them count.
pub(crate) struct Authority {
    workspace: Id,
    held: BTreeMap<Id, Carried>,
    counting: BTreeSet<Id>,
}

struct Delegation<'a> {
    partitions: Option<&'a [String]>,
    may_delegate: bool,
    period: Period,
}

impl Period {
    fn holds(&self, time: u64) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

/// Null covers everything but `authority`.
fn covers(partitions: Option<&[String]>, partition: &str) -> bool {
    partitions.map_or(partition != AUTHORITY, |partitions| partitions.iter().any(|it| it == partition))
}

impl Authority {
    pub(crate) fn new(workspace: Id, held: impl Iterator<Item = Carried>) -> Self {
        let mut authority = Self { workspace, held: BTreeMap::new(), counting: BTreeSet::new() };
        for carried in held {
            // Of two copies the one that lacks no value says more.
            let known = authority.held.get(&carried.id);
            if known.is_none_or(|known| known.record.is_err()) {
                authority.held.insert(carried.id, carried);
            }
        }
        // Nothing that counts ceases to by more that counts.
        loop {
            let accepted = authority.held.values().filter(|it| authority.of_record(it) == Verdict::Accepted);
            let counting: BTreeSet<Id> = accepted.map(|it| it.id).collect();
            if counting == authority.counting {
                return authority;
            }
            authority.counting = counting;
        }
    }

    /// The records that count, by ascending id.
    fn counting(&self) -> impl Iterator<Item = (&Carried, &Record)> {
        let carried = self.counting.iter().filter_map(|id| self.held.get(id));
        carried.filter_map(|carried| Some((carried, carried.record.as_ref().ok()?)))
    }

    fn genesis(&self) -> Option<(&[Id], u64)> {
        self.counting().find_map(|(_, record)| match record {
            Record::Genesis { roots, threshold } => Some((roots.as_slice(), *threshold)),
            _ => None,
        })
    }

    fn delegations(&self, key: Id) -> impl Iterator<Item = Delegation<'_>> {
        self.counting().filter_map(move |(_, record)| match record {
            Record::Delegation { to, partitions, may_delegate, period } if *to == key => {
                Some(Delegation { partitions: partitions.as_deref(), may_delegate: *may_delegate, period: *period })
            }
            _ => None,
        })
    }

    fn grants(&self) -> impl Iterator<Item = (Id, &Grant)> {
        self.counting().filter_map(|(carried, record)| match record {
            Record::Grant(grant) => Some((carried.id, grant)),
            _ => None,
        })
    }

    fn of_record(&self, one: &Carried) -> Verdict {
        let record = match &one.record {
            Ok(record) => record,
            Err(verdict) => return *verdict,
        };
        match record {
            Record::Unknown => return Verdict::Pending("unknown-record"),
            Record::Grant(grant) if grant.partition != one.partition => return Verdict::Masked("wrong-partition"),
            Record::Grant(_) => {}
            _ if one.partition != AUTHORITY => return Verdict::Masked("outside-authority"),
            Record::Genesis { .. } if one.founds == self.workspace => return Verdict::Accepted,
            Record::Genesis { .. } => return Verdict::Masked("other-genesis"),
            Record::Delegation { .. } => {}
        }
        let Some((roots, threshold)) = self.genesis() else { return Verdict::Pending("no-genesis") };
        let is_behind = |root: &&Id| **root == one.author || one.endorsed_by.contains(*root);
        let behind = roots.iter().filter(is_behind).count() as u64;
        let objections: Vec<Option<&str>> =
            self.delegations(one.author).map(|from| from.objection(record, one.time)).collect();
        if behind >= threshold || objections.contains(&None) {
            Verdict::Accepted
        } else if behind > 0 {
            Verdict::Masked("too-few-roots")
        } else {
            let first = objections.into_iter().flatten().next();
            first.map_or(Verdict::Pending("no-authority"), Verdict::Masked)
        }
    }

    /// The verdict, and the grant that it is accepted by.
    pub(crate) fn verdict(&self, claim: &Claim<'_>) -> (Verdict, Option<Id>) {
        let no_grant = Verdict::Pending(if self.genesis().is_some() { "no-grant" } else { "no-genesis" });
        match (claim.kind, claim.grant) {
            ("access", _) => {
                let one = self.held.get(&claim.id);
                (one.map_or(Verdict::Pending("not-taken"), |one| self.of_record(one)), None)
            }
            ("device", _) if self.ever_held(claim.author, claim.partition) => (Verdict::Accepted, None),
            ("device", _) => (no_grant, None),
            (_, Some(grant)) => match self.under(&grant, claim) {
                Verdict::Accepted => (Verdict::Accepted, Some(grant)),
                verdict => (verdict, None),
            },
            (_, None) => {
                let mut is_intent_unknown = false;
                for (id, grant) in self.grants() {
                    match grant.objection(claim) {
                        None => return (Verdict::Accepted, Some(id)),
                        Some("intent-unknown") => is_intent_unknown = true,
                        Some(_) => {}
                    }
                }
                (if is_intent_unknown { Verdict::Pending("intent-unknown") } else { no_grant }, None)
            }
        }
    }

    /// The verdict by the grant in force. What the grant says comes first, since it never changes.
    fn under(&self, grant: &Id, claim: &Claim<'_>) -> Verdict {
        let Some(one) = self.held.get(grant) else { return Verdict::Pending("grant-not-held") };
        let grant = match &one.record {
            Ok(Record::Grant(grant)) => grant,
            Ok(Record::Unknown) | Err(Verdict::Pending(_)) => return Verdict::Pending("grant-waits"),
            Ok(_) | Err(_) => return Verdict::Masked("not-a-grant"),
        };
        let objection = grant.objection(claim);
        match (objection, self.of_record(one)) {
            (Some(code), _) if code != "intent-unknown" => Verdict::Masked(code),
            (_, Verdict::Pending(_)) => Verdict::Pending("grant-waits"),
            (_, Verdict::Masked(_) | Verdict::Invalid(_)) => Verdict::Masked("grant-masked"),
            (Some(code), Verdict::Accepted) => Verdict::Pending(code),
            (None, Verdict::Accepted) => Verdict::Accepted,
        }
    }

    fn ever_held(&self, key: Id, partition: &str) -> bool {
        self.genesis().is_some_and(|(roots, _)| roots.contains(&key))
            || self.delegations(key).any(|from| partition == AUTHORITY || covers(from.partitions, partition))
            || self.grants().any(|(_, grant)| grant.device == key && grant.partition == partition)
    }
}

impl Delegation<'_> {
    /// What speaks against it as the source of a record.
    fn objection(&self, wanted: &Record, time: u64) -> Option<&'static str> {
        match wanted {
            Record::Grant(grant) if !covers(self.partitions, &grant.partition) => return Some("delegation-elsewhere"),
            Record::Delegation { partitions, period, .. } => {
                let is_within = match partitions {
                    None => self.partitions.is_none(),
                    Some(names) => names.iter().all(|name| covers(self.partitions, name)),
                };
                if !is_within {
                    return Some("delegation-elsewhere");
                }
                if !self.may_delegate {
                    return Some("may-not-delegate");
                }
                if period.not_before < self.period.not_before || period.not_after > self.period.not_after {
                    return Some("outlasts");
                }
            }
            _ => {}
        }
        if time < self.period.not_before {
            return Some("delegation-not-yet");
        }
        (!self.period.holds(time)).then_some("delegation-expired")
    }
}

impl Grant {
    /// What speaks against it for this work, whether it counts left aside.
    fn objection(&self, claim: &Claim<'_>) -> Option<&'static str> {
        let lists = |names: &Vec<String>, name: &str| names.iter().any(|it| it == name);
        if self.device != claim.author {
            return Some("other-device");
        }
        if self.partition != claim.partition {
            return Some("other-partition");
        }
        if self.kinds.as_ref().is_some_and(|kinds| !lists(kinds, claim.kind)) {
            return Some("kind-not-covered");
        }
        let is_outside = |actions: &Vec<String>| claim.intent.is_some_and(|intent| !lists(actions, intent));
        if self.actions.as_ref().is_some_and(is_outside) {
            return Some("action-not-covered");
        }
        if !self.period.holds(claim.time) {
            return Some(if claim.time < self.period.not_before { "not-yet" } else { "expired" });
        }
        (self.actions.is_some() && claim.intent.is_none()).then_some("intent-unknown")
    }
}
