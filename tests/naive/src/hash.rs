//! The hashes and the signature of `change-set.md`.

use crate::Id;
use crate::cbor::cbor;
use ed25519_dalek::{Signature, VerifyingKey};

pub(crate) fn derive(context: &str, material: &[u8]) -> Id {
    blake3::derive_key(context, material)
}

pub(crate) fn keyed(key: &Id, message: &[u8]) -> Id {
    *blake3::keyed_hash(key, message).as_bytes()
}

/// K: the id of an actor, and the key of its ids.
pub(crate) fn chain_key(workspace: &Id, partition: &str, author: &Id, incarnation: &[u8; 8]) -> Id {
    let material = cbor([workspace.into(), partition.into(), author.into(), incarnation.into()]);
    derive("fieldbook v1 chain", &material)
}

pub(crate) fn branch_name(inherited: &Id, sibling: &Id) -> Id {
    derive("fieldbook v1 branch", &[*inherited, *sibling].concat())
}

pub(crate) fn running_start(workspace: &Id, partition: &str, log: &[u8; 8]) -> Id {
    derive("fieldbook v1 log", &cbor([workspace.into(), partition.into(), log.into()]))
}

/// By the strict rule: no cofactor, no points of small order.
pub(crate) fn signature_holds(key: &Id, message: &Id, signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}
