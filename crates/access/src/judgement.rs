//! Verdicts: whether a change set counts.

use crate::authority::{Authority, HeldGrant};
use crate::fault::RecordFault;
use crate::record::{Grant, Record};
use crate::terms::{KIND_ACCESS, KIND_DEVICE, PARTITION_AUTHORITY, Within};
use crate::verdict::{Claim, Verdict};
use crate::why::Why;
use changeset::{ChangeSetId, IntentName, Kind, Partition, PublicKey};

/// What someone does or wants to do.
#[derive(Clone, Copy)]
pub(crate) struct Act<'a> {
    pub(crate) key: &'a PublicKey,
    pub(crate) partition: &'a Partition,
    pub(crate) kind: &'a Kind,
    pub(crate) intent: Option<&'a IntentName>,
    pub(crate) time: u64,
}

impl Authority {
    /// Whether a change set counts, by what is held. About a microsecond; no signature is checked here.
    pub fn verdict(&self, claim: &Claim) -> Verdict {
        let act = Act {
            key: &claim.author,
            partition: &claim.partition,
            kind: &claim.kind,
            intent: claim.intent.as_ref(),
            time: claim.time_ms,
        };
        match (claim.kind.as_str(), &claim.grant) {
            (KIND_ACCESS, _) => match self.held.get(&claim.id) {
                Some(held) => self.weigh(held),
                None => Verdict::Pending(Why::NotTaken { record: claim.id }),
            },
            (KIND_DEVICE, _) if self.ever_held(act.key, act.partition) => Verdict::Accepted { grant: None },
            (KIND_DEVICE, _) => Verdict::Pending(self.no_grant(act, None)),
            (_, Some(grant)) => self.under(*grant, act),
            (_, None) => match self.covering(act, None) {
                Ok(grant) => Verdict::Accepted { grant: Some(grant.id) },
                Err(why) => Verdict::Pending(why),
            },
        }
    }

    /// The verdict on what names its grant. What the grant says comes before whether it counts: that never changes.
    fn under(&self, id: ChangeSetId, act: Act<'_>) -> Verdict {
        let Some(held) = self.held.get(&id) else { return Verdict::Pending(Why::GrantNotHeld { grant: id }) };
        let grant = match (&held.content, held.record()) {
            (_, Some(Record::Grant(grant))) => grant,
            (_, Some(Record::Genesis(_) | Record::Delegation(_))) => {
                return Verdict::Masked(Why::NotAGrant { record: id });
            }
            (_, Some(Record::Unknown { name, .. })) => {
                let why = Box::new(Why::UnknownRecord { name: name.clone() });
                return Verdict::Pending(Why::GrantWaits { grant: id, why });
            }
            (Err(fault @ (RecordFault::ValueMissing(_) | RecordFault::NewerFormat(_))), _) => {
                let why = Box::new(Why::BadRecord(fault.clone()));
                return Verdict::Pending(Why::GrantWaits { grant: id, why });
            }
            (Err(_) | Ok(_), None) => return Verdict::Masked(Why::NotAGrant { record: id }),
        };
        let objection = objection(id, grant, act);
        if let Some(why) = objection.as_ref().filter(|why| !matches!(why, Why::IntentUnknown { .. })) {
            return Verdict::Masked(why.clone());
        }
        match (self.weigh(held), objection) {
            (Verdict::Accepted { .. }, None) => Verdict::Accepted { grant: Some(id) },
            (Verdict::Accepted { .. }, Some(why)) => Verdict::Pending(why),
            (Verdict::Pending(why), _) => Verdict::Pending(Why::GrantWaits { grant: id, why: Box::new(why) }),
            (Verdict::Masked(why) | Verdict::Invalid(why), _) => {
                Verdict::Masked(Why::GrantMasked { grant: id, why: Box::new(why) })
            }
        }
    }

    /// The grant with the lowest id that counts and covers this, of this person if one is named.
    pub(crate) fn covering(&self, act: Act<'_>, person: Option<&str>) -> Result<HeldGrant<'_>, Why> {
        let mut closest: Option<Why> = None;
        for held in self.grants_of(act.key, act.partition) {
            if person.is_some_and(|person| person != held.grant.person.id) {
                continue;
            }
            match objection(held.id, held.grant, act) {
                None => return Ok(held),
                // It may cover, so it is closer than any that does not.
                Some(why @ Why::IntentUnknown { .. }) => {
                    if !matches!(closest, Some(Why::IntentUnknown { .. })) {
                        closest = Some(why);
                    }
                }
                Some(why) => closest = closest.or(Some(why)),
            }
        }
        Err(match closest {
            Some(why @ Why::IntentUnknown { .. }) => why,
            closest => self.no_grant(act, closest),
        })
    }

    pub(crate) fn no_grant(&self, act: Act<'_>, closest: Option<Why>) -> Why {
        if self.genesis.is_none() {
            return Why::NoGenesis { workspace: self.workspace };
        }
        Why::NoGrant { device: *act.key, partition: act.partition.clone(), closest: closest.map(Box::new) }
    }

    /// Whether the key holds or held a grant or authority in the partition. A root does everywhere; the holder of any
    /// delegation does in `authority`.
    pub(crate) fn ever_held(&self, key: &PublicKey, partition: &Partition) -> bool {
        self.is_root(key)
            || self.grants_of(key, partition).next().is_some()
            || self
                .delegations_of(key)
                .any(|from| partition.as_str() == PARTITION_AUTHORITY || from.delegation.partitions.covers(partition))
    }

    /// Whether the key is one of the roots.
    pub fn is_root(&self, key: &PublicKey) -> bool {
        self.genesis.as_ref().is_some_and(|genesis| genesis.roots.contains(key))
    }
}

/// What speaks against a grant for this act, whether it counts left aside.
fn objection(id: ChangeSetId, grant: &Grant, act: Act<'_>) -> Option<Why> {
    let person = || grant.person.name.clone();
    if grant.device != *act.key {
        return Some(Why::OtherDevice { grant: id, device: grant.device, author: *act.key });
    }
    if grant.partition != *act.partition {
        return Some(Why::OtherPartition {
            grant: id,
            opens: grant.partition.clone(),
            partition: act.partition.clone(),
        });
    }
    if !grant.kinds.covers(act.kind) {
        return Some(Why::KindNotCovered { grant: id, person: person(), kind: act.kind.clone() });
    }
    let covered = grant.actions.covers(act.intent);
    if let (Some(false), Some(intent)) = (covered, act.intent) {
        return Some(Why::ActionNotCovered { grant: id, person: person(), intent: intent.clone() });
    }
    match grant.period().at(act.time) {
        Within::Before => Some(Why::NotYet { grant: id, person: person(), from_ms: grant.not_before_ms }),
        Within::After => Some(Why::Expired { grant: id, person: person(), until_ms: grant.not_after_ms }),
        Within::Inside if covered.is_none() => Some(Why::IntentUnknown { grant: id }),
        Within::Inside => None,
    }
}
