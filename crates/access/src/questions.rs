//! What an app asks to show people where they stand and what they may do.

use crate::authority::Authority;
use crate::judgement::Act;
use crate::record::Record;
use crate::terms::{KIND_ACCESS, KIND_DEVICE, Person, Role, Within};
use crate::verdict::{Check, MayGrant, Standing};
use crate::why::Why;
use changeset::{ChangeSetId, IntentName, Kind, Partition, PublicKey};
use std::collections::BTreeMap;

/// A person in a partition, with what they are to others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// As what.
    pub role: Role,
}

impl Authority {
    /// How a device stands in a partition at this time of its clock. Only grants let write: a root or the holder of a
    /// delegation has no standing without one.
    pub fn standing(&self, key: &PublicKey, partition: &Partition, now_ms: u64) -> Standing {
        let (mut until, mut expired, mut from) = (None, None, None);
        for held in self.grants_of(key, partition) {
            let grant = held.grant;
            match grant.period().at(now_ms) {
                Within::Inside => until = until.max(Some(grant.not_after_ms)),
                Within::After => expired = expired.max(Some(grant.not_after_ms)),
                Within::Before => from = Some(from.map_or(grant.not_before_ms, |at: u64| at.min(grant.not_before_ms))),
            }
        }
        match (until, expired, from) {
            (Some(until_ms), _, _) => Standing::Full { until_ms },
            (None, Some(expired_ms), _) => Standing::ViewOnly { expired_ms },
            (None, None, Some(from_ms)) => Standing::NotYet { from_ms },
            (None, None, None) => Standing::None,
        }
    }

    /// Whether a device may write grants in a partition now.
    pub fn may_grant(&self, key: &PublicKey, partition: &Partition, now_ms: u64) -> MayGrant {
        let may = self
            .delegations_of(key)
            .any(|from| from.delegation.partitions.covers(partition) && from.objection_at(now_ms).is_none());
        match &self.genesis {
            _ if may => MayGrant::Yes,
            Some(genesis) if genesis.roots.contains(key) => match usize::from(genesis.threshold) {
                0 | 1 => MayGrant::Yes,
                threshold => MayGrant::WithRoots(threshold - 1),
            },
            Some(_) | None => MayGrant::No,
        }
    }

    /// Who is who in a partition: everybody who ever held a grant there, by device, in the order of their grants' ids.
    /// Cost: all grants of the workspace.
    pub fn people(&self, partition: &Partition) -> BTreeMap<PublicKey, Vec<Member>> {
        let mut people: BTreeMap<PublicKey, Vec<Member>> = BTreeMap::new();
        for key in self.grants.keys() {
            for held in self.grants_of(key, partition) {
                let member = Member { person: held.grant.person.clone(), role: held.grant.role.clone() };
                let members = people.entry(*key).or_default();
                if !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        people
    }

    /// Whether anyone at this device may do this now, and under which grant.
    pub fn check(
        &self,
        key: &PublicKey,
        partition: &Partition,
        kind: &Kind,
        intent: &IntentName,
        now_ms: u64,
    ) -> Check {
        let act = Act { key, partition, kind, intent: Some(intent), time: now_ms };
        match kind.as_str() {
            KIND_ACCESS => match self.may_grant(key, partition, now_ms) {
                MayGrant::Yes => Check::Allowed { grant: None },
                MayGrant::WithRoots(others) => {
                    Check::Forbidden(Why::TooFewRoots { have: 1, need: others.saturating_add(1) })
                }
                MayGrant::No => Check::Forbidden(self.no_authority(key, partition, now_ms)),
            },
            KIND_DEVICE if self.ever_held(key, partition) => Check::Allowed { grant: None },
            KIND_DEVICE => Check::Forbidden(self.no_grant(act, None)),
            _ => match self.covering(act, None) {
                Ok(grant) => Check::Allowed { grant: Some(grant.id) },
                Err(why) => Check::Forbidden(why),
            },
        }
    }

    fn no_authority(&self, key: &PublicKey, partition: &Partition, now_ms: u64) -> Why {
        if self.genesis.is_none() {
            return Why::NoGenesis { workspace: self.workspace };
        }
        let objection = self.delegations_of(key).find_map(|from| {
            let covers = from.delegation.partitions.covers(partition);
            if covers { from.objection_at(now_ms) } else { Some(from.elsewhere(Some(partition))) }
        });
        objection.unwrap_or(Why::NoAuthority { author: *key })
    }

    /// The grant to name for an edit with this header time: the one with the lowest id that covers it, of this person
    /// if one is given. While the grant in force still covers, [`Authority::covers`], there is no need to name another.
    pub fn grant_for(
        &self,
        key: &PublicKey,
        partition: &Partition,
        kind: &Kind,
        intent: &IntentName,
        time_ms: u64,
        person: Option<&str>,
    ) -> Option<ChangeSetId> {
        let act = Act { key, partition, kind, intent: Some(intent), time: time_ms };
        self.covering(act, person).ok().map(|grant| grant.id)
    }

    /// Whether this grant counts and covers an edit of its own device and partition at this header time.
    pub fn covers(&self, grant: &ChangeSetId, kind: &Kind, intent: &IntentName, time_ms: u64) -> bool {
        self.grant(grant).is_some_and(|held| {
            held.grant.kinds.covers(kind)
                && held.grant.actions.covers(Some(intent)) == Some(true)
                && held.grant.period().at(time_ms) == Within::Inside
        })
    }

    /// Who acted: the person of the grant that a change set was accepted under.
    pub fn person(&self, grant: &ChangeSetId) -> Option<Member> {
        match self.record(grant)? {
            Record::Grant(grant) => Some(Member { person: grant.person.clone(), role: grant.role.clone() }),
            Record::Genesis(_) | Record::Delegation(_) | Record::Unknown { .. } => None,
        }
    }
}
