//! An author: the end of one chain and the key that signs it.

use crate::body::{Body, Group};
use crate::cbor::Writer;
use crate::entry::{Actor, Unproven, Verified};
use crate::error::{DecodeError, Fault};
use crate::hash::change_set_id;
use crate::header::{FORMAT_PLAIN, Header};
use crate::id::{ChangeSetId, DocumentKey, Incarnation, IntentName, Partition, WorkspaceId};
use crate::key::{SignError, Signer};
use crate::limits::{MAX_OPS, MAX_VALUE_BYTES};
use crate::script::{Edit, Script, Skeleton};
use crate::value::{increment_from_bytes, increment_to_bytes};
use core::fmt;
use std::sync::Arc;

/// Random bytes for salts. A device gives those of its operating system; a test gives seeded ones.
pub trait Entropy: Send {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Bytes that follow from a seed: for tests and simulations only, since whoever knows the seed can undo redactions.
#[derive(Debug)]
pub struct SeededEntropy(blake3::OutputReader);

impl SeededEntropy {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// What one change set is to say; the author adds its place in the chain.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The document.
    pub document: DocumentKey,
    /// The document's heads that are seen, the author's own last change set in it left out; in any order.
    pub parents: Vec<ChangeSetId>,
    /// The grant, at sequence 1 and when it changes.
    pub grant: Option<ChangeSetId>,
    /// The version of the kind's schema.
    pub schema_version: u32,
    /// The person's command.
    pub intent: IntentName,
    /// One intent over several documents.
    pub group: Option<Group>,
    /// What is done.
    pub script: Script,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A value, path or length is over a limit; every receiver would refuse it.
    #[error("the change set would be refused by every receiver: {0}")]
    Refused(#[from] DecodeError),
    /// The chain or the header is at its limit.
    #[error("the header would be refused by every receiver: {0}")]
    Header(Fault),
}

/// The end of a chain that this device writes. It signs when it is told to, once for a whole group of entries.
pub struct Author {
    actor: Arc<Actor>,
    signer: Arc<dyn Signer>,
    entropy: Box<dyn Entropy>,
    tip: Option<Tip>,
}

#[derive(Clone, Copy)]
struct Tip {
    id: ChangeSetId,
    sequence: u64,
    time: u64,
}

impl Author {
    /// A new chain. `incarnation` is drawn anew for each store, and again when a store may have been copied or rolled
    /// back: only so do two stores never write under the same number.
    pub fn new(
        signer: Arc<dyn Signer>,
        workspace: WorkspaceId,
        partition: Partition,
        incarnation: Incarnation,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        let actor = Arc::new(Actor::new(workspace, partition, signer.public_key(), incarnation));
        Self { actor, signer, entropy, tip: None }
    }

    /// Goes on after `last`, the last change set of this author's chain that is held.
    #[must_use]
    pub fn after(mut self, last: &Verified) -> Self {
        let header = last.header();
        self.tip = Some(Tip { id: last.id(), sequence: header.sequence, time: header.time });
        self
    }

    /// Who writes.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// The last change set of the chain.
    pub fn tip(&self) -> Option<ChangeSetId> {
        self.tip.map(|tip| tip.id)
    }

    /// Sixteen bytes for a document id, group id or the like.
    pub fn random(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Records one change set at the end of the chain, without a signature yet. `now_ms` is the device's wall clock;
    /// the header's time never falls below that of the change set before. About 3 µs for three fields.
    ///
    /// # Errors
    /// [`RecordError`] if a receiver would refuse it; the chain is as before then.
    pub fn record(&mut self, draft: Draft, now_ms: u64) -> Result<Verified, RecordError> {
        let (header, body) = self.prepare(draft, now_ms)?;
        Ok(self.append(header, body))
    }

    /// Whether [`Author::record`] would take this, without recording it.
    ///
    /// # Errors
    /// [`RecordError`] if a receiver would refuse it.
    pub fn check(&mut self, draft: Draft, now_ms: u64) -> Result<(), RecordError> {
        self.prepare(draft, now_ms).map(|_| ())
    }

    fn prepare(&mut self, draft: Draft, now_ms: u64) -> Result<(Header, Body), RecordError> {
        check_script(&draft.script)?;
        if let Some(group) = &draft.group {
            group.check().map_err(|fault| DecodeError { place: "group", offset: 0, fault })?;
        }
        let (skeleton, values) = draft.script.split();
        let skeleton_bytes = skeleton.to_bytes();
        // What receivers will do: strict about every limit of the skeleton.
        Skeleton::from_bytes(&skeleton_bytes)?;
        let salt = self.random();
        let body = Body::new(draft.schema_version, draft.intent, draft.group, skeleton_bytes, salt, values);
        let mut parents = draft.parents;
        parents.sort_unstable();
        parents.dedup();
        let header = Header {
            format: FORMAT_PLAIN,
            sequence: self.tip.map_or(1, |tip| tip.sequence + 1),
            previous: self.tip.map(|tip| tip.id),
            document: draft.document,
            parents,
            time: now_ms.max(self.tip.map_or(0, |tip| tip.time)),
            grant: draft.grant,
            body_hash: body.hash(),
            body_length: body.whole_length(&skeleton),
        };
        header.check().map_err(RecordError::Header)?;
        Ok((header, body))
    }

    /// Appends a header and body as they are, checked by nobody.
    ///
    /// A faulty or hostile author does this. It exists so that tests can be that author, and is hidden because nothing
    /// else should: what it gives verifies at every receiver, whatever it says.
    #[doc(hidden)]
    pub fn danger_append(&mut self, header: Header, body: Body) -> Verified {
        self.append(header, body)
    }

    fn append(&mut self, header: Header, body: Body) -> Verified {
        let mut out = Writer::with_capacity(256);
        header.write(&mut out);
        let id = change_set_id(&self.actor.id(), &out.into_bytes());
        self.tip = Some(Tip { id, sequence: header.sequence, time: header.time });
        Unproven { id, actor: Arc::clone(&self.actor), header, body }.proven(None)
    }

    /// Signs a change set of this chain: it and all before it are attested then. About 14 µs with a key in memory.
    ///
    /// # Errors
    /// [`SignError`] from the signer.
    ///
    /// A change set of another actor comes back as it was.
    pub fn sign(&self, change_set: &Verified) -> Result<Verified, SignError> {
        if change_set.actor().id() != self.actor.id() || change_set.signature().is_some() {
            return Ok(change_set.clone());
        }
        Ok(change_set.signed_by(self.signer.sign(change_set.id().as_bytes())?))
    }
}

impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Author({}…, sequence {})", self.actor.id().short(), self.tip.map_or(0, |tip| tip.sequence))
    }
}

/// Values are checked here, lengths and names by reading the skeleton back.
fn check_script(script: &Script) -> Result<(), DecodeError> {
    let refuse = |fault| Err(DecodeError { place: "script", offset: 0, fault });
    if script.edits.len() > MAX_OPS {
        return refuse(Fault::OverLimit { limit: MAX_OPS as u64 });
    }
    if script.reason.as_ref().is_some_and(|reason| reason.len() > MAX_VALUE_BYTES) {
        return refuse(Fault::OverLimit { limit: MAX_VALUE_BYTES as u64 });
    }
    for edit in &script.edits {
        match edit {
            Edit::Put { value, .. } => value.check()?,
            Edit::Increment { amount, .. } => increment_from_bytes(&increment_to_bytes(*amount)).map(|_| ())?,
            Edit::InsertText { text, .. } if text.len() > MAX_VALUE_BYTES => {
                return refuse(Fault::OverLimit { limit: MAX_VALUE_BYTES as u64 });
            }
            Edit::InsertText { .. } | Edit::Delete { .. } | Edit::DeleteText { .. } => {}
        }
    }
    Ok(())
}
