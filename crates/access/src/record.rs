//! Records: what they say, and their exact bytes.

use crate::fault::{Item, RecordFault};
use crate::limits::{
    MAX_ACTIONS, MAX_KINDS, MAX_NAME_BYTES, MAX_PARTITIONS, MAX_RECORD_BYTES, MAX_ROLE_BYTES, MAX_ROOTS,
    MAX_TYPE_BYTES, NO_END,
};
use crate::terms::{Actions, Kinds, Period, Person, Role, Scope, check_text};
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_GENESIS, statement};
use changeset::limits::{MAX_INTENT_BYTES, MAX_KIND_BYTES, MAX_PARTITION_BYTES};
use changeset::{DecodeError, Fault, IntentName, Kind, Partition, PublicKey, WorkspaceId};
use std::collections::BTreeSet;

const GENESIS: &str = "genesis";
const DELEGATION: &str = "delegation";
const GRANT: &str = "grant";

/// A record of access. Whether it counts is for [`crate::Authority`] to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// The beginning of a workspace.
    Genesis(Genesis),
    /// Lets another device let devices in.
    Delegation(Delegation),
    /// Lets a device in.
    Grant(Grant),
    /// A type that this version does not know: kept and passed on, and no verdict follows from it.
    Unknown {
        /// The type as written.
        name: String,
        /// All bytes of the record.
        bytes: Vec<u8>,
    },
}

/// Begins a workspace. Its hash is the workspace's id, so it proves itself whoever carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The organisation's name for it.
    pub name: String,
    /// The root keys, 1 to [`MAX_ROOTS`]. They live outside device stores.
    pub roots: BTreeSet<PublicKey>,
    /// How many roots must agree; at least 1, at most all.
    pub threshold: u8,
    /// Random, so that two workspaces never have one id.
    pub nonce: [u8; 16],
    /// When it was made, in ms since 1970. For show only.
    pub time_ms: u64,
}

/// Lets the holder of a key write grants, and delegations if so said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The key that may grant.
    pub to: PublicKey,
    /// What people call it, for example `site office Bergen`.
    pub label: String,
    /// The partitions that it may open.
    pub partitions: Scope,
    /// Whether it may write delegations of its own, no wider than this one.
    pub may_delegate: bool,
    /// From when on, in ms since 1970.
    pub not_before_ms: u64,
    /// Until when, this millisecond included; [`NO_END`] for no end.
    pub not_after_ms: u64,
}

/// Lets a device read a partition, and lets a person write there with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The partition that it opens, which is the one that it stands in. It is said here as well, so that what roots
    /// endorsed for one partition opens no other.
    pub partition: Partition,
    /// The device.
    pub device: PublicKey,
    /// Who acts with it. A shared tablet holds a grant for each person.
    pub person: Person,
    /// What the person is to others.
    pub role: Role,
    /// The kinds of documents that may be written.
    pub kinds: Kinds,
    /// The intents that may act.
    pub actions: Actions,
    /// From when on, in ms since 1970.
    pub not_before_ms: u64,
    /// Until when, this millisecond included; [`NO_END`] for no end.
    pub not_after_ms: u64,
}

impl Genesis {
    /// The workspace's id: the hash of the record's bytes.
    ///
    /// # Errors
    /// [`RecordFault`] if nobody would read the record.
    pub fn workspace(&self) -> Result<WorkspaceId, RecordFault> {
        Ok(workspace_of(&Record::Genesis(self.clone()).to_bytes()?))
    }
}

/// The id of the workspace that these bytes of a genesis record begin.
pub(crate) fn workspace_of(bytes: &[u8]) -> WorkspaceId {
    WorkspaceId::from_bytes(statement(CONTEXT_GENESIS, bytes))
}

impl Delegation {
    pub(crate) fn period(&self) -> Period {
        Period { from: self.not_before_ms, until: self.not_after_ms }
    }
}

impl Grant {
    pub(crate) fn period(&self) -> Period {
        Period { from: self.not_before_ms, until: self.not_after_ms }
    }
}

impl Record {
    /// The record's bytes: deterministic CBOR, the first item of the array its type.
    ///
    /// # Errors
    /// [`RecordFault`] if nobody would read them, or if the type is unknown.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordFault> {
        let mut out = Writer::with_capacity(256);
        match self {
            Self::Genesis(genesis) => write_genesis(&mut out, genesis),
            Self::Delegation(delegation) => write_delegation(&mut out, delegation),
            Self::Grant(grant) => write_grant(&mut out, grant),
            Self::Unknown { .. } => return Err(RecordFault::CannotWrite),
        }
        let bytes = out.into_bytes();
        // What is written is what every receiver reads, or it is not written.
        Self::from_bytes(&bytes)?;
        Ok(bytes)
    }

    /// Reads a record strictly: what does not re-encode to the same bytes is refused, but a type that this version does
    /// not know is kept as it is.
    ///
    /// # Errors
    /// [`RecordFault`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordFault> {
        let mut reader = Reader::new(bytes, "record");
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(reader.fault(Fault::OverLimit { limit: MAX_RECORD_BYTES as u64 }).into());
        }
        let items = reader.array(MAX_RECORD_BYTES)?;
        if items == 0 {
            return Err(reader.fault_at(0, Fault::Zero).into());
        }
        let name = reader.text(MAX_TYPE_BYTES)?;
        let count = |wanted: usize| {
            if items == wanted { Ok(()) } else { Err(reader.fault_at(0, Fault::WrongLength { wanted })) }
        };
        let record = match name {
            GENESIS => {
                count(6)?;
                Self::Genesis(read_genesis(&mut reader)?)
            }
            DELEGATION => {
                count(7)?;
                Self::Delegation(read_delegation(&mut reader)?)
            }
            GRANT => {
                count(9)?;
                Self::Grant(read_grant(&mut reader)?)
            }
            // Any name of this pattern may come to mean something; what follows it is not looked at.
            name if Kind::new(name).is_ok() => {
                return Ok(Self::Unknown { name: name.to_owned(), bytes: bytes.to_vec() });
            }
            _ => return Err(RecordFault::BadName(Item::Type)),
        };
        reader.finish()?;
        Ok(record)
    }

    /// The type, as it stands in the bytes.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Genesis(_) => GENESIS,
            Self::Delegation(_) => DELEGATION,
            Self::Grant(_) => GRANT,
            Self::Unknown { name, .. } => name,
        }
    }
}

fn write_genesis(out: &mut Writer, genesis: &Genesis) {
    out.array(6);
    out.text(GENESIS);
    out.text(&genesis.name);
    out.array(genesis.roots.len());
    genesis.roots.iter().for_each(|root| out.bytes(root.as_bytes()));
    out.uint(u64::from(genesis.threshold));
    out.bytes(&genesis.nonce);
    out.uint(genesis.time_ms);
}

fn read_genesis(reader: &mut Reader<'_>) -> Result<Genesis, RecordFault> {
    let name = read_text(reader, Item::WorkspaceName)?;
    let roots = read_set(reader, Item::Roots, MAX_ROOTS, |reader| Ok(PublicKey::from_bytes(reader.fixed()?)))?;
    let threshold = reader.uint(u64::MAX)?;
    if threshold == 0 || threshold > roots.len() as u64 {
        return Err(RecordFault::BadThreshold { threshold, roots: roots.len() });
    }
    Ok(Genesis { name, roots, threshold: threshold as u8, nonce: reader.fixed()?, time_ms: reader.uint(NO_END)? })
}

fn write_delegation(out: &mut Writer, delegation: &Delegation) {
    out.array(7);
    out.text(DELEGATION);
    out.bytes(delegation.to.as_bytes());
    out.text(&delegation.label);
    match &delegation.partitions {
        Scope::All => out.null(),
        Scope::Named(partitions) => write_names(out, partitions.iter().map(Partition::as_str)),
    }
    out.uint(u64::from(delegation.may_delegate));
    out.uint(delegation.not_before_ms);
    out.uint(delegation.not_after_ms);
}

fn read_delegation(reader: &mut Reader<'_>) -> Result<Delegation, RecordFault> {
    let to = PublicKey::from_bytes(reader.fixed()?);
    let label = read_text(reader, Item::Label)?;
    let partitions = if reader.null() {
        Scope::All
    } else {
        Scope::Named(read_set(reader, Item::Partitions, MAX_PARTITIONS, read_partition)?)
    };
    let may_delegate = reader.uint(1)? == 1;
    let period = read_period(reader)?;
    Ok(Delegation { to, label, partitions, may_delegate, not_before_ms: period.from, not_after_ms: period.until })
}

fn write_grant(out: &mut Writer, grant: &Grant) {
    out.array(9);
    out.text(GRANT);
    out.text(grant.partition.as_str());
    out.bytes(grant.device.as_bytes());
    out.array(2);
    out.text(&grant.person.id);
    out.text(&grant.person.name);
    out.text(grant.role.as_str());
    match &grant.kinds {
        Kinds::All => out.null(),
        Kinds::Named(kinds) => write_names(out, kinds.iter().map(Kind::as_str)),
    }
    match &grant.actions {
        Actions::All => out.null(),
        Actions::Named(intents) => write_names(out, intents.iter().map(IntentName::as_str)),
    }
    out.uint(grant.not_before_ms);
    out.uint(grant.not_after_ms);
}

fn read_grant(reader: &mut Reader<'_>) -> Result<Grant, RecordFault> {
    let partition = read_partition(reader)?;
    let device = PublicKey::from_bytes(reader.fixed()?);
    reader.array_of(2)?;
    let person = Person { id: read_text(reader, Item::PersonId)?, name: read_text(reader, Item::PersonName)? };
    let role = Role::new(reader.text(MAX_ROLE_BYTES)?)?;
    let kinds = if reader.null() {
        Kinds::All
    } else {
        Kinds::Named(read_set(reader, Item::Kinds, MAX_KINDS, |reader| {
            let at = reader.position();
            Kind::new(reader.text(MAX_KIND_BYTES)?).map_err(|fault| reader.fault_at(at, fault))
        })?)
    };
    let actions = if reader.null() {
        Actions::All
    } else {
        Actions::Named(read_set(reader, Item::Actions, MAX_ACTIONS, |reader| {
            let at = reader.position();
            IntentName::new(reader.text(MAX_INTENT_BYTES)?).map_err(|fault| reader.fault_at(at, fault))
        })?)
    };
    let period = read_period(reader)?;
    Ok(Grant {
        partition,
        device,
        person,
        role,
        kinds,
        actions,
        not_before_ms: period.from,
        not_after_ms: period.until,
    })
}

fn write_names<'a>(out: &mut Writer, names: impl ExactSizeIterator<Item = &'a str>) {
    out.array(names.len());
    names.for_each(|name| out.text(name));
}

/// A list that is not empty, ascending and without repeats.
fn read_set<'a, T: Ord>(
    reader: &mut Reader<'a>,
    item: Item,
    limit: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<BTreeSet<T>, RecordFault> {
    let count = reader.array(limit)?;
    let mut set = BTreeSet::new();
    for _ in 0..count {
        let member = read(reader)?;
        if set.last().is_some_and(|last| *last >= member) {
            return Err(RecordFault::BadList(item));
        }
        set.insert(member);
    }
    if set.is_empty() { Err(RecordFault::BadList(item)) } else { Ok(set) }
}

fn read_partition(reader: &mut Reader<'_>) -> Result<Partition, DecodeError> {
    let at = reader.position();
    Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))
}

fn read_text(reader: &mut Reader<'_>, item: Item) -> Result<String, RecordFault> {
    let text = reader.text(MAX_NAME_BYTES)?;
    check_text(item, text)?;
    Ok(text.to_owned())
}

fn read_period(reader: &mut Reader<'_>) -> Result<Period, RecordFault> {
    let period = Period { from: reader.uint(NO_END)?, until: reader.uint(NO_END)? };
    period.check()?;
    Ok(period)
}
