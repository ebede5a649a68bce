//! Why something does not count, in words that a person can act on.

use crate::fault::RecordFault;
use crate::limits::NO_END;
use crate::moment::Moment;
use changeset::{ChangeSetId, IntentName, Kind, Partition, PublicKey, WorkspaceId};
use core::fmt;

/// Why a change set does not count, or why a peer is not let in. [`fmt::Display`] says who, what, until when, and what to
/// do; [`Why::code`] is one word for counters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The genesis record of the workspace is not held.
    NoGenesis {
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// The change set is of kind `access`, and the authority was not given it.
    NotTaken {
        /// The change set.
        record: ChangeSetId,
    },
    /// Nothing that is held lets the device write there.
    NoGrant {
        /// The device.
        device: PublicKey,
        /// Where it wrote.
        partition: Partition,
        /// What is wrong with the first of its grants there, if it has any.
        closest: Option<Box<Self>>,
    },
    /// The grant that the change set names is not held.
    GrantNotHeld {
        /// The grant.
        grant: ChangeSetId,
    },
    /// The grant that the change set names is held, but not in force by what is held so far.
    GrantWaits {
        /// The grant.
        grant: ChangeSetId,
        /// Why.
        why: Box<Self>,
    },
    /// The grant that the change set names does not count.
    GrantMasked {
        /// The grant.
        grant: ChangeSetId,
        /// Why.
        why: Box<Self>,
    },
    /// What the change set names as its grant is another record.
    NotAGrant {
        /// The record.
        record: ChangeSetId,
    },
    /// The grant is for another device.
    OtherDevice {
        /// The grant.
        grant: ChangeSetId,
        /// The device that it is for.
        device: PublicKey,
        /// The device that wrote.
        author: PublicKey,
    },
    /// The grant opens another partition.
    OtherPartition {
        /// The grant.
        grant: ChangeSetId,
        /// The partition that it opens.
        opens: Partition,
        /// The partition that was written in.
        partition: Partition,
    },
    /// The grant does not cover the kind.
    KindNotCovered {
        /// The grant.
        grant: ChangeSetId,
        /// The person's name.
        person: String,
        /// The kind.
        kind: Kind,
    },
    /// The grant does not cover the intent.
    ActionNotCovered {
        /// The grant.
        grant: ChangeSetId,
        /// The person's name.
        person: String,
        /// The intent.
        intent: IntentName,
    },
    /// The grant names the intents it covers, and the change set's is not known.
    IntentUnknown {
        /// The grant.
        grant: ChangeSetId,
    },
    /// The grant had ended.
    Expired {
        /// The grant.
        grant: ChangeSetId,
        /// The person's name.
        person: String,
        /// Its last millisecond since 1970.
        until_ms: u64,
    },
    /// The grant had not begun.
    NotYet {
        /// The grant.
        grant: ChangeSetId,
        /// The person's name.
        person: String,
        /// Its first millisecond since 1970.
        from_ms: u64,
    },
    /// The author of a record is no root and holds no delegation, by what is held so far.
    NoAuthority {
        /// The author.
        author: PublicKey,
    },
    /// Fewer roots stand behind the record than must agree.
    TooFewRoots {
        /// How many stand behind it.
        have: usize,
        /// How many must.
        need: usize,
    },
    /// The author holds a delegation that does not cover the partition.
    DelegationElsewhere {
        /// The delegation.
        delegation: ChangeSetId,
        /// Its label.
        label: String,
        /// The partition; none for all of them.
        partition: Option<Partition>,
    },
    /// The author holds a delegation that does not let it delegate.
    MayNotDelegate {
        /// The delegation.
        delegation: ChangeSetId,
        /// Its label.
        label: String,
    },
    /// The author's delegation had ended.
    DelegationExpired {
        /// The delegation.
        delegation: ChangeSetId,
        /// Its label.
        label: String,
        /// Its last millisecond since 1970.
        until_ms: u64,
    },
    /// The author's delegation had not begun.
    DelegationNotYet {
        /// The delegation.
        delegation: ChangeSetId,
        /// Its label.
        label: String,
        /// Its first millisecond since 1970.
        from_ms: u64,
    },
    /// A delegation that outlasts the one it comes from.
    Outlasts {
        /// The delegation that it comes from.
        delegation: ChangeSetId,
        /// Its label.
        label: String,
        /// Its first millisecond since 1970.
        from_ms: u64,
        /// Its last millisecond since 1970.
        until_ms: u64,
    },
    /// A genesis or delegation outside the partition `authority`.
    OutsideAuthority {
        /// Where it stands.
        partition: Partition,
    },
    /// A grant in another partition than the one it opens.
    WrongPartition {
        /// Where it stands.
        partition: Partition,
        /// The partition that it opens.
        belongs: Partition,
    },
    /// A genesis record of another workspace.
    OtherGenesis {
        /// The workspace that it begins.
        begins: WorkspaceId,
    },
    /// A record of a type that this version does not know.
    UnknownRecord {
        /// The type as written.
        name: String,
    },
    /// No record, or one that cannot be read.
    BadRecord(RecordFault),
    /// Only roots and the holders of delegations write in `authority`.
    OnlyAuthority {
        /// The device that wants to.
        device: PublicKey,
    },
}

impl Why {
    /// One word for counters and for other implementations; never changes once released.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoGenesis { .. } => "no-genesis",
            Self::NotTaken { .. } => "not-taken",
            Self::NoGrant { .. } => "no-grant",
            Self::GrantNotHeld { .. } => "grant-not-held",
            Self::GrantWaits { .. } => "grant-waits",
            Self::GrantMasked { .. } => "grant-masked",
            Self::NotAGrant { .. } => "not-a-grant",
            Self::OtherDevice { .. } => "other-device",
            Self::OtherPartition { .. } => "other-partition",
            Self::KindNotCovered { .. } => "kind-not-covered",
            Self::ActionNotCovered { .. } => "action-not-covered",
            Self::IntentUnknown { .. } => "intent-unknown",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not-yet",
            Self::NoAuthority { .. } => "no-authority",
            Self::TooFewRoots { .. } => "too-few-roots",
            Self::DelegationElsewhere { .. } => "delegation-elsewhere",
            Self::MayNotDelegate { .. } => "may-not-delegate",
            Self::DelegationExpired { .. } => "delegation-expired",
            Self::DelegationNotYet { .. } => "delegation-not-yet",
            Self::Outlasts { .. } => "outlasts",
            Self::OutsideAuthority { .. } => "outside-authority",
            Self::WrongPartition { .. } => "wrong-partition",
            Self::OtherGenesis { .. } => "other-genesis",
            Self::UnknownRecord { .. } => "unknown-record",
            Self::BadRecord(RecordFault::ValueMissing(_)) => "value-missing",
            Self::BadRecord(RecordFault::NewerFormat(_)) => "newer-format",
            Self::BadRecord(_) => "bad-record",
            Self::OnlyAuthority { .. } => "only-authority",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGenesis { workspace } => write!(
                f,
                "the beginning of workspace {} is not here yet; sync with a replica that has it, or import it",
                workspace.short()
            ),
            Self::NotTaken { record } => write!(f, "access record {} is not here yet; sync again", record.short()),
            Self::NoGrant { device, partition, closest: None } => {
                write!(f, "device {} has no grant in {partition}; ask who admits devices there for one", device.short())
            }
            Self::NoGrant { device, partition, closest: Some(closest) } => {
                write!(f, "device {} has no grant in {partition} that covers this: {closest}", device.short())
            }
            Self::GrantNotHeld { grant } => {
                write!(f, "the grant {} that it names is not here yet; it counts when the grant arrives", grant.short())
            }
            Self::GrantWaits { grant, why } => write!(f, "the grant {} that it names waits: {why}", grant.short()),
            Self::GrantMasked { grant, why } => {
                write!(f, "the grant {} that it names does not count: {why}", grant.short())
            }
            Self::NotAGrant { record } => write!(f, "it names {} as its grant, which is none", record.short()),
            Self::OtherDevice { grant, device, author } => write!(
                f,
                "grant {} is for device {}, not for {}; ask for a grant for this device",
                grant.short(),
                device.short(),
                author.short()
            ),
            Self::OtherPartition { grant, opens, partition } => {
                write!(f, "grant {} opens {opens}, not {partition}; ask for a grant in {partition}", grant.short())
            }
            Self::KindNotCovered { grant, person, kind } => write!(
                f,
                "{person} may not write documents of kind {kind} (grant {}); ask for a grant that covers them",
                grant.short()
            ),
            Self::ActionNotCovered { grant, person, intent } => {
                write!(f, "{person} may not {intent} (grant {}); ask for a grant that covers it", grant.short())
            }
            Self::IntentUnknown { grant } => {
                write!(f, "grant {} covers named commands only, and the command is not known here", grant.short())
            }
            Self::Expired { grant, person, until_ms } => write!(
                f,
                "the grant of {person} ended {} ({}); ask for a new one, drafts are kept",
                Moment(*until_ms),
                grant.short()
            ),
            Self::NotYet { grant, person, from_ms } => write!(
                f,
                "the grant of {person} begins {} ({}); wait, or check this device's clock",
                Moment(*from_ms),
                grant.short()
            ),
            Self::NoAuthority { author } => write!(
                f,
                "device {} is no root of this workspace and holds no delegation here yet; it counts if one arrives",
                author.short()
            ),
            Self::TooFewRoots { have, need } => {
                write!(f, "{have} of the {need} roots that must agree stand behind it; ask for {} more", need - have)
            }
            Self::DelegationElsewhere { delegation, label, partition } => {
                write!(f, "the delegation of {label} ({}) does not cover ", delegation.short())?;
                match partition {
                    Some(partition) => write!(f, "{partition}")?,
                    None => f.write_str("every partition")?,
                }
                f.write_str("; ask a root for a wider one")
            }
            Self::MayNotDelegate { delegation, label } => write!(
                f,
                "the delegation of {label} ({}) lets grant, not delegate; ask a root to write it",
                delegation.short()
            ),
            Self::DelegationExpired { delegation, label, until_ms } => write!(
                f,
                "the delegation of {label} ended {} ({}); ask a root for a new one",
                Moment(*until_ms),
                delegation.short()
            ),
            Self::DelegationNotYet { delegation, label, from_ms } => write!(
                f,
                "the delegation of {label} begins {} ({}); wait, or check this device's clock",
                Moment(*from_ms),
                delegation.short()
            ),
            Self::Outlasts { delegation, label, from_ms, until_ms } => {
                write!(f, "the delegation of {label} ({}) holds from {}", delegation.short(), Moment(*from_ms))?;
                if *until_ms < NO_END {
                    write!(f, " to {}", Moment(*until_ms))?;
                }
                f.write_str("; one that comes from it must lie within")
            }
            Self::OutsideAuthority { partition } => {
                write!(f, "it stands in {partition} and counts in `authority` only; write it again there")
            }
            Self::WrongPartition { partition, belongs } => {
                write!(f, "a grant for {belongs} that stands in {partition}; write it again in {belongs}")
            }
            Self::OtherGenesis { begins } => write!(f, "it begins another workspace, {}", begins.short()),
            Self::UnknownRecord { name } => {
                write!(f, "a record of type `{name}`, which this version does not know; update to make it count")
            }
            Self::BadRecord(fault) => write!(f, "no access record: {fault}"),
            Self::OnlyAuthority { device } => write!(
                f,
                "only roots and holders of delegations write in `authority`, and device {} is neither",
                device.short()
            ),
        }
    }
}
