//! Every key-derivation context and every hash of the formats, in one place.

use crate::cbor::Writer;
use crate::id::{ActorId, BranchName, ChangeSetId, Incarnation, LogIncarnation, Partition, PublicKey, WorkspaceId};

/// Context of chain keys.
pub const CONTEXT_CHAIN: &str = "fieldbook v1 chain";
/// Context of body hashes.
pub const CONTEXT_BODY: &str = "fieldbook v1 body";
/// Context of the names of a forked chain's branches.
pub const CONTEXT_BRANCH: &str = "fieldbook v1 branch";
/// Context of the start of a log's running hash.
pub const CONTEXT_LOG: &str = "fieldbook v1 log";
/// Context of Yrs client ids.
pub const CONTEXT_YRS_CLIENT: &str = "fieldbook v1 yrs client";
/// Context of document and partition digests.
pub const CONTEXT_DIGEST: &str = "fieldbook v1 digest";
/// Context of a workspace's genesis record, whose hash is the workspace id.
pub const CONTEXT_GENESIS: &str = "fieldbook v1 genesis";
/// Context of what roots sign together.
pub const CONTEXT_ENDORSEMENT: &str = "fieldbook v1 endorsement";
/// Context of the code that two people compare when a device joins.
pub const CONTEXT_COMPARISON: &str = "fieldbook v1 comparison";
/// Context of what a replica signs when it cuts a page of its log.
pub const CONTEXT_PAGE_SEAL: &str = "fieldbook v1 page";
/// Context of the transcript of a session's handshake, whose hash is the session id.
pub const CONTEXT_SESSION: &str = "fieldbook v1 session";
/// Context of what the answering side signs in the handshake.
pub const CONTEXT_HELLO: &str = "fieldbook v1 hello";
/// Context of what the calling side signs in the handshake.
pub const CONTEXT_PROOF: &str = "fieldbook v1 proof";
/// Context of a control frame.
pub const CONTEXT_FRAME: &str = "fieldbook v1 frame";
/// Context of a receipt.
pub const CONTEXT_RECEIPT: &str = "fieldbook v1 receipt";
/// Context of the salted ids of reconciliation.
pub const CONTEXT_TIP: &str = "fieldbook v1 tip";

/// What is signed under a context: `derive_key(context, bytes)`.
pub fn statement(context: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, bytes)
}

/// The chain key K of an actor, which is also its id:
/// `derive_key(CONTEXT_CHAIN, cbor([workspace, partition, author key, incarnation]))`.
pub fn chain_key(
    workspace: &WorkspaceId,
    partition: &Partition,
    key: &PublicKey,
    incarnation: &Incarnation,
) -> ActorId {
    let mut material = Writer::with_capacity(160);
    material.array(4);
    material.bytes(workspace.as_bytes());
    material.text(partition.as_str());
    material.bytes(key.as_bytes());
    material.bytes(incarnation.as_bytes());
    ActorId::from_bytes(blake3::derive_key(CONTEXT_CHAIN, &material.into_bytes()))
}

/// A change set's id: `keyed_hash(K, header bytes)`.
pub fn change_set_id(actor: &ActorId, header: &[u8]) -> ChangeSetId {
    ChangeSetId::from_bytes(*blake3::keyed_hash(actor.as_bytes(), header).as_bytes())
}

/// The salt of value `index`: `keyed_hash(salt followed by 16 zero bytes, index as 4 bytes, little-endian)`.
pub fn value_salt(salt: &[u8; 16], index: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(salt);
    *blake3::keyed_hash(&key, &index.to_le_bytes()).as_bytes()
}

/// The commitment to a value: `keyed_hash(its salt, value bytes)`.
pub fn value_commitment(salt: &[u8; 32], value: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(salt, value).as_bytes()
}

/// The name of a sibling that does not keep the name of its `previous`:
/// `derive_key(CONTEXT_BRANCH, that name ‖ the sibling's id)`.
pub fn branch_name(name: &BranchName, sibling: &ChangeSetId) -> BranchName {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT_BRANCH);
    hasher.update(name.as_bytes()).update(sibling.as_bytes());
    BranchName::from_bytes(*hasher.finalize().as_bytes())
}

/// The running hash over the ids of a log, in log order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RunningHash([u8; 32]);

impl RunningHash {
    /// Before the first entry: `derive_key(CONTEXT_LOG, cbor([workspace, partition, log incarnation]))`.
    pub fn start(workspace: &WorkspaceId, partition: &Partition, log: &LogIncarnation) -> Self {
        let mut material = Writer::with_capacity(120);
        material.array(3);
        material.bytes(workspace.as_bytes());
        material.text(partition.as_str());
        material.bytes(log.as_bytes());
        Self(blake3::derive_key(CONTEXT_LOG, &material.into_bytes()))
    }

    /// The hash with these bytes, as read from a log or cursor.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// After one more entry: `keyed_hash(the hash so far, id)`.
    #[must_use]
    pub fn then(&self, id: &ChangeSetId) -> Self {
        Self(*blake3::keyed_hash(&self.0, id.as_bytes()).as_bytes())
    }
}

impl core::fmt::Debug for RunningHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RunningHash({}…)", ChangeSetId::from_bytes(self.0).short())
    }
}
