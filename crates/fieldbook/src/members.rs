//! Workspaces and members: founding, letting devices in, names.

use crate::error::Error;
use crate::facade::Fieldbook;
use crate::partition::{Partition, Saved};
use access::{
    Actions, Authority, Delegation, Endorsement, Genesis, Grant, KIND_ACCESS, KIND_DEVICE, Kinds, Person, Record, Role,
    Scope, Standing,
};
use changeset::{DocumentKey, Edit, Partition as PartitionName, Path, PublicKey, Signer};
use crdt::{EditError, Edits};
use storage::Store;

/// A workspace that begins.
#[derive(Debug)]
pub struct NewWorkspace<'a> {
    /// The organisation's name for it.
    pub name: String,
    /// The root keys. They live outside device stores: on a stick in a safe, in hardware. They sign the founding and, much
    /// later, what no device may decide.
    pub roots: Vec<&'a dyn Signer>,
    /// How many of them must agree.
    pub threshold: u8,
    /// What this device calls itself.
    pub device: String,
    /// The person who uses it.
    pub person: String,
    /// The first partition.
    pub partition: PartitionName,
}

/// Who is let in, with what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invitation {
    /// The device.
    pub device: PublicKey,
    /// The person's name; the id is the same until an app gives another.
    pub person: String,
    /// What the person is to others.
    pub role: String,
    /// The kinds of documents that may be written; none for all.
    pub kinds: Option<Vec<String>>,
    /// From when on, in milliseconds since 1970.
    pub not_before_ms: u64,
    /// Until when, this millisecond included; [`access::limits::NO_END`] for no end.
    pub not_after_ms: u64,
    /// Whether the device may let others in.
    pub may_grant: bool,
}

impl Invitation {
    /// Lets a device of a person in, from now on without an end, for all kinds of documents.
    pub fn new(device: PublicKey, person: &str, role: &str, now_ms: u64) -> Self {
        Self {
            device,
            person: person.to_owned(),
            role: role.to_owned(),
            kinds: None,
            not_before_ms: now_ms,
            not_after_ms: access::limits::NO_END,
            may_grant: false,
        }
    }
}

impl NewWorkspace<'_> {
    pub(crate) fn genesis(&self, _store: &Store, nonce: [u8; 16]) -> Result<Genesis, Error> {
        let roots = self.roots.iter().map(|root| root.public_key()).collect();
        let genesis = Genesis { name: self.name.clone(), roots, threshold: self.threshold, nonce, time_ms: 0 };
        // Refuses here what nobody would read.
        Record::Genesis(genesis.clone()).to_bytes()?;
        Ok(genesis)
    }
}

impl Fieldbook {
    /// Writes the founding records: the genesis, a delegation of the roots to this device, and its own grant.
    pub(crate) fn found(&self, new: &NewWorkspace<'_>, genesis: Genesis) -> Result<(), Error> {
        let now_ms = self.replica().now_ms();
        let delegation = Record::Delegation(Delegation {
            to: self.key(),
            label: new.device.clone(),
            partitions: Scope::All,
            may_delegate: true,
            not_before_ms: 0,
            not_after_ms: access::limits::NO_END,
        });
        let workspace = self.workspace();
        let endorsements: Vec<Endorsement> = new
            .roots
            .iter()
            .take(usize::from(new.threshold))
            .map(|root| Endorsement::sign(&workspace, &delegation, *root))
            .collect::<Result<_, _>>()?;
        let authority = self.authority()?;
        // In one commit, and so in one page: a relay that had only the genesis would take this device for a stranger, and
        // the delegation from nobody else.
        authority.write_records(&[(Record::Genesis(genesis), Vec::new()), (delegation, endorsements)])?;
        let mut own = Invitation::new(self.key(), &new.person, "admin", now_ms);
        // A clock that is set back later must not lock the founder out.
        own.not_before_ms = 0;
        self.grant(&new.partition, &own)?;
        self.partition(&new.partition)?.introduce(&new.device)?;
        Ok(())
    }

    /// Lets a device into a partition. This device must hold a delegation, as the one that founded the workspace does.
    ///
    /// # Errors
    /// [`Error::NotPermitted`], [`Error::Access`], [`Error::Storage`].
    pub fn grant(&self, partition: &PartitionName, invitation: &Invitation) -> Result<Saved, Error> {
        let kinds = match &invitation.kinds {
            None => Kinds::All,
            Some(names) => Kinds::Named(names.iter().map(|name| changeset::Kind::new(name)).collect::<Result<_, _>>()?),
        };
        if invitation.may_grant {
            self.check_may_delegate(partition)?;
            let delegation = Record::Delegation(Delegation {
                to: invitation.device,
                label: invitation.person.clone(),
                partitions: Scope::Named([partition.clone()].into()),
                may_delegate: false,
                not_before_ms: invitation.not_before_ms,
                not_after_ms: invitation.not_after_ms,
            });
            self.authority()?.write_records(&[(delegation, Vec::new())])?;
        }
        let grant = Record::Grant(Grant {
            partition: partition.clone(),
            device: invitation.device,
            person: Person { id: invitation.person.clone(), name: invitation.person.clone() },
            role: Role::new(&invitation.role)?,
            kinds,
            actions: Actions::All,
            not_before_ms: invitation.not_before_ms,
            not_after_ms: invitation.not_after_ms,
        });
        self.add_partition(partition)?.write_records(&[(grant, Vec::new())])
    }

    /// Delegations stand in `authority`, which no grant opens for writing: what lets this device write one is a delegation
    /// of its own that may be passed on.
    fn check_may_delegate(&self, partition: &PartitionName) -> Result<(), Error> {
        let (key, now_ms) = (self.key(), self.replica().now_ms());
        let why = self.ask_authority(|authority| {
            let mut why = Some(access::Why::NoAuthority { author: key });
            for held in authority.delegations_of(&key).filter(|held| held.delegation.partitions.covers(partition)) {
                let delegation = held.delegation;
                let label = || delegation.label.clone();
                let (from_ms, until_ms) = (delegation.not_before_ms, delegation.not_after_ms);
                why = match now_ms {
                    _ if !delegation.may_delegate => {
                        Some(access::Why::MayNotDelegate { delegation: held.id, label: label() })
                    }
                    now if now < from_ms => {
                        Some(access::Why::DelegationNotYet { delegation: held.id, label: label(), from_ms })
                    }
                    now if now > until_ms => {
                        Some(access::Why::DelegationExpired { delegation: held.id, label: label(), until_ms })
                    }
                    _ => return None,
                };
            }
            why
        })?;
        why.map_or(Ok(()), |why| Err(Error::NotPermitted(why.into())))
    }

    /// Asks who may do what.
    ///
    /// # Errors
    /// [`Error::Storage`] if the records could not be read.
    pub fn ask_authority<T>(&self, ask: impl FnOnce(&Authority) -> T) -> Result<T, Error> {
        Ok(self.replica().authority(&self.workspace(), ask)?)
    }

    /// How this device stands in a partition now.
    ///
    /// # Errors
    /// [`Error::Storage`] if the records could not be read.
    pub fn standing(&self, partition: &PartitionName) -> Result<Standing, Error> {
        let (key, now_ms) = (self.key(), self.replica().now_ms());
        self.ask_authority(|authority| authority.standing(&key, partition, now_ms))
    }
}

impl Partition {
    /// Writes records of access in one commit, each as a document of its own. Gives the last.
    pub(crate) fn write_records(&self, records: &[(Record, Vec<Endorsement>)]) -> Result<Saved, Error> {
        let saved = self.batch(|batch| {
            for (record, endorsements) in records {
                // The genesis proves itself, what roots endorsed stands by their signatures, and who may delegate was asked
                // before.
                batch.is_founding =
                    matches!(record, Record::Genesis(_) | Record::Delegation(_)) || !endorsements.is_empty();
                let edits = record.to_edits(endorsements)?;
                batch.edit(&self.new_document(KIND_ACCESS)?, record.type_name(), |tx| {
                    for edit in edits {
                        match edit {
                            Edit::Put { path, value } => tx.put(&path, value)?,
                            // Records are made of values alone.
                            other => return Err(EditError::BadPath { text: format!("{other:?}") }),
                        }
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        saved.into_iter().next_back().ok_or(Error::Rules(Vec::new()))
    }

    /// Says what this device calls itself here, in a document of its own; once.
    ///
    /// # Errors
    /// As for [`Partition::edit`].
    pub fn introduce(&self, name: &str) -> Result<(), Error> {
        let key = self.new_document(KIND_DEVICE)?;
        let path = Path::new("name")?;
        self.edit(&key, "introduce", |tx| tx.put(&path, name.into()))?;
        Ok(())
    }

    fn new_document(&self, kind: &str) -> Result<DocumentKey, Error> {
        let id = changeset::DocumentId::from_parts(self.shared.replica.now_ms(), self.shared.random()?);
        Ok(DocumentKey { kind: changeset::Kind::new(kind)?, id })
    }
}
