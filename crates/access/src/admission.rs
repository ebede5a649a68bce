//! Admission: whom this replica lets in now, by its own clock. It may delay; it never changes a verdict.

use crate::authority::Authority;
use crate::terms::{KIND_ACCESS, PARTITION_AUTHORITY, Within};
use crate::verdict::{Admission, Admit, Claim, Push, Verdict};
use crate::why::Why;
use changeset::{Partition, PublicKey, Verified};

impl Authority {
    /// What a peer may do in a partition now.
    ///
    /// - A grant or authority in force there: reads and pushes.
    /// - One that lapsed or has not begun: pushes, into quarantine where [`Authority::admit`] says so; does not read.
    /// - Neither, ever: nothing.
    /// - In `authority`, everybody who holds or held anything anywhere reads, so that nobody waits blind for a renewal.
    /// - Without the genesis, `authority` alone is taken, into quarantine: the genesis proves itself.
    pub fn admission(&self, key: &PublicKey, partition: &Partition, now_ms: u64) -> Admission {
        let at_authority = partition.as_str() == PARTITION_AUTHORITY;
        if self.genesis.is_none() {
            let why = Why::NoGenesis { workspace: self.workspace };
            let push = if at_authority { Push::Quarantine(why) } else { Push::Refuse(why) };
            return Admission { read: false, push };
        }
        let push = self.push(key, partition, now_ms);
        let known = at_authority && (self.grants.contains_key(key) || self.delegations.contains_key(key));
        Admission { read: push == Push::Accept || known, push }
    }

    fn push(&self, key: &PublicKey, partition: &Partition, now_ms: u64) -> Push {
        if self.is_root(key) {
            return Push::Accept;
        }
        let at_authority = partition.as_str() == PARTITION_AUTHORITY;
        // The grant that lapsed last says most; one that is to begin says less.
        let mut lapsed: Option<(u64, Why)> = None;
        let mut to_begin: Option<(u64, Why)> = None;
        for held in self.grants_of(key, partition) {
            let (grant, person) = (held.id, held.grant.person.name.clone());
            let (from_ms, until_ms) = (held.grant.not_before_ms, held.grant.not_after_ms);
            match held.grant.period().at(now_ms) {
                Within::Inside => return Push::Accept,
                Within::After if lapsed.as_ref().is_none_or(|(until, _)| *until < until_ms) => {
                    lapsed = Some((until_ms, Why::Expired { grant, person, until_ms }));
                }
                Within::Before if to_begin.as_ref().is_none_or(|(from, _)| *from > from_ms) => {
                    to_begin = Some((from_ms, Why::NotYet { grant, person, from_ms }));
                }
                Within::Before | Within::After => {}
            }
        }
        let mut delegated: Option<Why> = None;
        for from in self.delegations_of(key) {
            if at_authority || from.delegation.partitions.covers(partition) {
                match from.objection_at(now_ms) {
                    None => return Push::Accept,
                    Some(why) => delegated = delegated.or(Some(why)),
                }
            }
        }
        let why = lapsed.or(to_begin).map(|(_, why)| why).or(delegated);
        match why {
            Some(why) => Push::Quarantine(why),
            None if at_authority => Push::Refuse(Why::OnlyAuthority { device: *key }),
            None => Push::Refuse(Why::NoGrant { device: *key, partition: partition.clone(), closest: None }),
        }
    }

    /// Whether an entry enters the log now. For kind `access` see [`Authority::admit_record`].
    ///
    /// What counts enters. What names a grant that is not held, or does not count yet, is held. Everything else goes by
    /// its author's admission now: who is let in is so with everything that they wrote, whatever its verdict, since
    /// later entries of their chain could not enter without; who lapsed is held; who never held anything is refused.
    pub fn admit(&self, claim: &Claim, now_ms: u64) -> Admit {
        self.admit_by(self.verdict(claim), &claim.author, &claim.partition, now_ms)
    }

    /// Whether a change set of kind `access` enters the log now, before it was taken. [`Authority::take`] it once it is
    /// in the log.
    pub fn admit_record(&self, change_set: &Verified, now_ms: u64) -> Admit {
        let (key, partition) = (change_set.actor().key(), change_set.actor().partition());
        if change_set.header().document.kind.as_str() != KIND_ACCESS {
            return self.admit(&Claim::of(change_set, None), now_ms);
        }
        self.admit_by(self.judge(change_set), key, partition, now_ms)
    }

    fn admit_by(&self, verdict: Verdict, author: &PublicKey, partition: &Partition, now_ms: u64) -> Admit {
        let (why, may_change) = match verdict {
            Verdict::Accepted { .. } => return Admit::Take,
            Verdict::Pending(why @ (Why::GrantNotHeld { .. } | Why::GrantWaits { .. })) => return Admit::Hold(why),
            // That there is no grant is said of strangers too; everything else that is pending waits for something.
            Verdict::Pending(why) => {
                let waits = !matches!(why, Why::NoGrant { .. });
                (why, waits)
            }
            Verdict::Masked(why) | Verdict::Invalid(why) => (why, false),
        };
        match self.admission(author, partition, now_ms).push {
            Push::Accept => Admit::Take,
            Push::Quarantine(_) => Admit::Hold(why),
            Push::Refuse(_) if may_change => Admit::Hold(why),
            Push::Refuse(_) => Admit::Refuse(why),
        }
    }
}
