//! Who may do what in a workspace: genesis, delegations and grants, and the verdicts that follow from them.
//!
//! A workspace begins with a [`Genesis`], which names its roots and whose hash is its id. Roots, or the holders of a
//! [`Delegation`], write a [`Grant`] for each device and person that is let into a partition. All of them travel as
//! change sets of kind `access`; [`Record::read`] reads one from the script of its change set alone, so a relay that
//! opens no documents can judge it.
//!
//! [`Authority`] holds the records and answers from them. [`Authority::verdict`] says whether a change set counts: a
//! pure function of the records held, equal on every replica that holds the same. [`Authority::admission`] and
//! [`Authority::admit`] say what this replica takes now, by its own clock. The rest is what an app shows: how a device
//! stands, who is who, what a person may do and why not. Every [`Why`] reads as a sentence that a person can act on.
//!
//! A device joins by showing its key as [`KeyText`], and two people compare a [`ComparisonCode`].
//!
//! This crate does no I/O and reads no clock. The bytes and rules are specified in `spec/access.md`. Revocations and
//! directives to devices are records of types to come: until then they are kept as [`Record::Unknown`].
//!
//! ```
//! use access::{Actions, Authority, Claim, Genesis, Grant, Kinds, Person, Record, Role, Verdict};
//! use changeset::{Author, DeviceKey, DocumentId, DocumentKey, Draft, Incarnation, IntentName, Kind, Partition};
//! use changeset::{SeededEntropy, Signer, Verified};
//! use std::sync::Arc;
//!
//! const NOW: u64 = 1_760_000_000_000;
//! let (root, tablet) = (DeviceKey::from_secret(&[1; 32]), DeviceKey::from_secret(&[2; 32]));
//! let genesis = Genesis {
//!     name: "Fjord Bygg".into(),
//!     roots: [root.public_key()].into(),
//!     threshold: 1,
//!     nonce: [7; 16],
//!     time_ms: NOW,
//! };
//! let workspace = genesis.workspace()?;
//! let north = Partition::new("north")?;
//! let grant = Grant {
//!     partition: north.clone(),
//!     device: tablet.public_key(),
//!     person: Person { id: "anna".into(), name: "Anna Berg".into() },
//!     role: Role::new("inspector")?,
//!     kinds: Kinds::All,
//!     actions: Actions::All,
//!     not_before_ms: NOW,
//!     not_after_ms: NOW + 30 * 86_400_000,
//! };
//!
//! // Each record is one change set, in a document of its own.
//! let write = |record: Record, partition: Partition| -> Result<Verified, Box<dyn std::error::Error>> {
//!     let (incarnation, entropy) = (Incarnation::from_bytes([3; 8]), Box::new(SeededEntropy::new(1)));
//!     let mut author = Author::new(Arc::new(root.clone()), workspace, partition, incarnation, entropy);
//!     let draft = Draft {
//!         document: DocumentKey { kind: Kind::new("access")?, id: DocumentId::from_parts(NOW, [0; 10]) },
//!         parents: Vec::new(),
//!         grant: None,
//!         schema_version: 1,
//!         intent: IntentName::new("admit")?,
//!         group: None,
//!         script: record.to_script(&[], None)?,
//!     };
//!     Ok(author.record(draft, NOW)?)
//! };
//! let genesis = write(Record::Genesis(genesis), Partition::new("authority")?)?;
//! let grant = write(Record::Grant(grant), north.clone())?;
//!
//! let mut authority = Authority::new(workspace);
//! authority.take(&grant); // in any order
//! authority.take(&genesis);
//!
//! let (kind, intent) = (Kind::new("inspection")?, IntentName::new("create")?);
//! let named = authority.grant_for(&tablet.public_key(), &north, &kind, &intent, NOW, Some("anna"));
//! assert_eq!(named, Some(grant.id()));
//! let claim = Claim {
//!     id: grant.id(), // of the inspection, in truth
//!     partition: north,
//!     author: tablet.public_key(),
//!     kind,
//!     intent: Some(intent),
//!     time_ms: NOW + 31 * 86_400_000,
//!     grant: named,
//! };
//! let Verdict::Masked(why) = authority.verdict(&claim) else { unreachable!("the grant ended") };
//! assert!(why.to_string().starts_with("the grant of Anna Berg ended 2025-11-08 08:53 UTC"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod authority;
mod carried;
mod fault;
mod judgement;
mod key_text;
pub mod limits;
mod moment;
mod questions;
mod record;
mod terms;
mod verdict;
mod why;

pub use authority::{Authority, HeldDelegation, HeldGrant};
pub use carried::{EndorseError, Endorsement};
pub use fault::{Item, RecordFault};
pub use key_text::{ComparisonCode, KeyText, KeyTextError, comparison_code};
pub use questions::Member;
pub use record::{Delegation, Genesis, Grant, Record};
pub use terms::{Actions, KIND_ACCESS, KIND_DEVICE, Kinds, PARTITION_AUTHORITY, Person, Role, Scope, check_text};
pub use verdict::{Admission, Admit, Check, Claim, MayGrant, Push, Standing, Taken, Verdict};
pub use why::Why;
