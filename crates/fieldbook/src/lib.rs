//! Fieldbook, for app teams: records that several devices edit apart, with no network, and that merge when they meet.
//!
//! A [`Fieldbook`] is the store of one device in one workspace. It opens [`Partition`]s, in which documents are created,
//! edited, read and listed; it tells subscribers what changed and where it came from; it connects to relays and stays
//! connected, or syncs with another device over any stream of bytes. Keys are never handled: a device makes its own when
//! its store is created, and shows 52 characters of it to be let in.
//!
//! Ten lines that bring two replicas into sync:
//!
//! ```
//! use fieldbook::{DeviceKey, Edits, Fieldbook, Invitation, NewWorkspace, PartitionName, Path, Settings, State};
//! # let folder = tempfile::tempdir()?;
//! # let (ana_file, ben_file, root) = (folder.path().join("ana"), folder.path().join("ben"), DeviceKey::from_secret(&[7; 32]));
//! let (pier, note) = (PartitionName::new("north-pier")?, Path::new("note")?);
//! let new = NewWorkspace { name: "Harbour".into(), roots: vec![&root], threshold: 1, device: "Ana's tablet".into(), person: "Ana".into(), partition: pier.clone() };
//! let ana = Fieldbook::create(ana_file, &new, Settings::new()?)?;
//! let ben = Fieldbook::join(ben_file, ana.workspace(), "Ben's phone", &[pier.clone()], Settings::new()?)?;
//! ana.grant(&pier, &Invitation::new(ben.key(), "Ben", "inspector", 0))?;
//! let crane = ana.new_document("inspection")?;
//! ana.partition(&pier)?.edit(&crane, "note", |tx| tx.insert_text(&note, 0, "rope worn"))?;
//! let (here, there) = tokio::io::duplex(1 << 16);
//! let (calls, answers) = (ana.link(here, true)?, ben.link(there, false)?);
//! # let mut changes = ben.subscribe();
//! # while ben.partition(&pier)?.document(&crane, |_| ())?.is_none() { ben.block_on_change(&mut changes); }
//! let seen = ben.partition(&pier)?.document(&crane, |document| document.text(&note))?;
//! assert_eq!(seen.flatten().as_deref(), Some("rope worn"));
//! # drop((calls, answers));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Blocking, async, threads
//!
//! Every type is `Send` and `Sync` where it is a handle, and every method may be called from any thread. Methods that are
//! not `async` block: reading for at most one document to be built, writing for one durable commit, [`Fieldbook::sync`]
//! for the network. From async code call them where blocking is allowed. `async` methods are cancel safe: dropping one
//! loses nothing. [`Fieldbook::connect`] and [`Fieldbook::link`] return at once and work in threads of their own.
//!
//! # Durability
//!
//! A change is on disk before anybody hears of it: when [`Partition::edit`] returns, the change survives a kill or a power
//! cut. [`Fieldbook::wait`] says when it has reached another device or a relay, by that replica's signed receipt.

mod changes;
mod error;
mod facade;
mod links;
mod lists;
mod members;
mod partition;
mod repair;
mod shared;
mod states;
mod summary;
mod wait;

pub use access::{self, KeyText, KeyTextError, Standing, comparison_code};
pub use changes::{Change, Changes, Notice, Origin};
pub use changeset::{
    self, Bundle, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Kind, Partition as PartitionName, Path, PublicKey,
    Signer, Value, WorkspaceId,
};
pub use crdt::{self, AnyIntent, Document, Edits, KindRegistry, State};
pub use error::Error;
pub use facade::{Fieldbook, Imported, PartitionState, PeerProgress, Settings};
pub use links::{Link, SteppedLink, SyncReport};
pub use members::{Invitation, NewWorkspace};
pub use partition::{Filter, Opened, Partition, Saved, Undecided, Writing};
pub use repair::Repaired;
pub use replica::{self, Counters, Replica};
pub use states::{Connectivity, Inbox, Outbox, Watched};
pub use storage::{self, Finding, Progress, Report};
pub use summary::{Listed, Listing, Summary};
pub use sync::{Code, Knock, Tier};
pub use wait::Reached;
