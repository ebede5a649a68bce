//! Change sets as they travel and as they are trusted: [`Signed`] hides its content until it was verified.

use crate::body::Body;
use crate::cbor::{Reader, Writer};
use crate::error::{DecodeError, Fault, VerifyError};
use crate::hash::{chain_key, change_set_id};
use crate::header::{FORMAT_PLAIN, Header};
use crate::id::{ActorId, ChangeSetId, Incarnation, Partition, PublicKey, WorkspaceId};
use crate::key::{Signature, Verifier};
use crate::script::Skeleton;
use core::fmt;
use std::sync::{Arc, OnceLock};

/// One writer: a device key in one partition, in one incarnation of its store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor {
    id: ActorId,
    workspace: WorkspaceId,
    partition: Partition,
    key: PublicKey,
    incarnation: Incarnation,
}

impl Actor {
    /// The actor of these four; its id is derived from them.
    pub fn new(workspace: WorkspaceId, partition: Partition, key: PublicKey, incarnation: Incarnation) -> Self {
        let id = chain_key(&workspace, &partition, &key, &incarnation);
        Self { id, workspace, partition, key, incarnation }
    }

    /// Its id, which is also the key that its change set ids are hashed under.
    pub fn id(&self) -> ActorId {
        self.id
    }

    /// The workspace it writes in.
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The partition it writes in.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The device key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The incarnation of the device's store.
    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    /// Device key and incarnation in one: what pages and the signed form write.
    pub(crate) fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (key, incarnation) = bytes.split_at_mut(32);
        key.copy_from_slice(self.key.as_bytes());
        incarnation.copy_from_slice(self.incarnation.as_bytes());
        bytes
    }

    pub(crate) fn from_bytes(workspace: WorkspaceId, partition: Partition, bytes: &[u8; 40]) -> Self {
        let (mut key, mut incarnation) = ([0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        incarnation.copy_from_slice(&bytes[32..]);
        Self::new(workspace, partition, PublicKey::from_bytes(key), Incarnation::from_bytes(incarnation))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({}… in {})", self.id.short(), self.partition)
    }
}

/// A change set whose form was checked but whose signature was not: nothing of its content can be read.
#[derive(Clone)]
pub struct Signed {
    unproven: Unproven,
    signature: Signature,
}

impl Signed {
    /// Reads the signed form: `[author key ‖ incarnation, signature, header, body]`. Workspace and partition come from
    /// the context that it was received in, and the signature binds them.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8], workspace: WorkspaceId, partition: &Partition) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "signed form");
        reader.array_of(4)?;
        let actor = Actor::from_bytes(workspace, partition.clone(), &reader.fixed()?);
        let signature = Signature::from_bytes(reader.fixed()?);
        let from = reader.position();
        let header = Header::read(&mut reader)?;
        let header_bytes = reader.slice(from, reader.position()).to_vec();
        let body = Body::read(&mut reader)?;
        reader.place("signed form");
        reader.finish()?;
        let id = change_set_id(&actor.id, &header_bytes);
        Ok(Self { unproven: Unproven { id, actor: Arc::new(actor), header, body }, signature })
    }

    /// The id that it has if it verifies.
    pub fn claimed_id(&self) -> ChangeSetId {
        self.unproven.id
    }

    /// Checks body hash, key and signature.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(self) -> Result<Verified, VerifyError> {
        self.unproven.check_body()?;
        Verifier::new(&self.unproven.actor.key)?.verify(self.unproven.id, &self.signature)?;
        Ok(self.unproven.proven(Some(self.signature)))
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({}…)", self.unproven.id.short())
    }
}

/// Header and body that belong together by form only; [`crate::page`] proves whole runs of them at once.
#[derive(Clone)]
pub(crate) struct Unproven {
    pub(crate) id: ChangeSetId,
    pub(crate) actor: Arc<Actor>,
    pub(crate) header: Header,
    pub(crate) body: Body,
}

impl Unproven {
    pub(crate) fn check_body(&self) -> Result<(), VerifyError> {
        if self.body.hash() == self.header.body_hash { Ok(()) } else { Err(VerifyError::BodyMismatch { id: self.id }) }
    }

    /// Call only after a signature attested the id, or for what this device's own author wrote.
    pub(crate) fn proven(self, signature: Option<Signature>) -> Verified {
        let Self { id, actor, header, body } = self;
        Verified(Arc::new(Proven { id, actor, header, body, signature, skeleton: OnceLock::new() }))
    }
}

/// A change set that its author wrote: signed itself, or attested by a later signature of the same chain. Cheap to
/// clone.
#[derive(Clone)]
pub struct Verified(Arc<Proven>);

struct Proven {
    id: ChangeSetId,
    actor: Arc<Actor>,
    header: Header,
    body: Body,
    signature: Option<Signature>,
    skeleton: OnceLock<Result<Skeleton, DecodeError>>,
}

impl Verified {
    /// Its id.
    pub fn id(&self) -> ChangeSetId {
        self.0.id
    }

    /// Who wrote it.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.0.actor
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// Its body.
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// Its own signature, if it has one; inside a run the signature of a later entry attests it.
    pub fn signature(&self) -> Option<&Signature> {
        self.0.signature.as_ref()
    }

    /// Whether the body is of a format that only newer versions read.
    pub fn is_newer_format(&self) -> bool {
        self.0.header.format > FORMAT_PLAIN
    }

    /// The skeleton, read once and kept.
    ///
    /// # Errors
    /// The [`DecodeError`] of an unreadable skeleton: the entry is in its chain, but has no content.
    pub fn skeleton(&self) -> Result<&Skeleton, &DecodeError> {
        self.0.skeleton.get_or_init(|| read_skeleton(&self.0.header, &self.0.body)).as_ref()
    }

    /// The same change set without the values at `purged`; see [`Body::redact`].
    #[must_use]
    pub fn redact(&self, purged: &[usize]) -> Self {
        self.with(self.0.body.redact(purged), self.0.signature)
    }

    /// The same change set with a signature that attests it.
    pub(crate) fn signed_by(&self, signature: Signature) -> Self {
        self.with(self.0.body.clone(), Some(signature))
    }

    fn with(&self, body: Body, signature: Option<Signature>) -> Self {
        let Proven { id, actor, header, .. } = &*self.0;
        Unproven { id: *id, actor: Arc::clone(actor), header: header.clone(), body }.proven(signature)
    }

    /// The signed form, or none while it is unsigned. At most 260 bytes plus the body with one parent, a kind of ten
    /// letters, a sequence below 65,536 and no grant.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut out = Writer::with_capacity(512 + self.0.body.skeleton.len());
        out.array(4);
        out.bytes(&self.0.actor.to_bytes());
        out.bytes(self.0.signature?.as_bytes());
        self.0.header.write(&mut out);
        self.0.body.write(&mut out);
        Some(out.into_bytes())
    }
}

/// Reads the skeleton and checks what it says of the header and of the body. Both checks give the same before and after a
/// purge, and on replicas that hold less.
fn read_skeleton(header: &Header, body: &Body) -> Result<Skeleton, DecodeError> {
    let skeleton = Skeleton::from_bytes(&body.skeleton)?;
    let mismatch = |what| Err(DecodeError { place: "skeleton", offset: 0, fault: Fault::Mismatch(what) });
    if skeleton.value_lengths().count() != body.value_count() {
        mismatch("the number of values")
    } else if body.whole_length(&skeleton) != header.body_length {
        mismatch("the body length")
    } else {
        Ok(skeleton)
    }
}

impl PartialEq for Verified {
    /// Equal ids are equal change sets; what was purged of them may differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Verified {}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proven { id, header, body, .. } = &*self.0;
        write!(f, "Verified({}… {} of {})", id.short(), body.intent, header.document)
    }
}
