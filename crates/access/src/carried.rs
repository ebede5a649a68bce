//! Records to and from change sets: the script that carries a record with its endorsements.

use crate::fault::{Item, RecordFault};
use crate::limits::{MAX_RECORD_BYTES, MAX_ROOTS};
use crate::record::Record;
use crate::terms::KIND_ACCESS;
use changeset::hash::{CONTEXT_ENDORSEMENT, statement};
use changeset::{
    Edit, Op, Path, PublicKey, Script, SignError, Signature, Signer, Value, ValueType, Verified, WorkspaceId,
};
use std::collections::BTreeMap;

const RECORD: &str = "record";
const ENDORSEMENT_BYTES: usize = 96;

/// A root's signature under a record, which counts whoever carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// The root.
    pub root: PublicKey,
    /// Its signature over the record's statement.
    pub signature: Signature,
}

impl Endorsement {
    /// A root's endorsement of a record. 14 µs with a key in memory.
    ///
    /// # Errors
    /// [`EndorseError`] if the record cannot be written or the signer refuses.
    pub fn sign(workspace: &WorkspaceId, record: &Record, root: &dyn Signer) -> Result<Self, EndorseError> {
        let signature = root.sign(&endorsed_statement(workspace, &record.to_bytes()?))?;
        Ok(Self { root: root.public_key(), signature })
    }

    /// Whether the signature holds for these bytes of a record. 40 µs.
    pub(crate) fn holds(&self, statement: &[u8; 32]) -> bool {
        self.root.has_signed(statement, &self.signature)
    }

    fn to_bytes(self) -> Vec<u8> {
        [&self.root.as_bytes()[..], self.signature.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (root, signature) = bytes.split_first_chunk::<32>()?;
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        Some(Self { root: PublicKey::from_bytes(*root), signature: Signature::from_bytes(signature) })
    }
}

/// Why a record was not endorsed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndorseError {
    /// The record cannot be written.
    #[error("the record cannot be endorsed: {0}")]
    Record(#[from] RecordFault),
    /// The root key could not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What a root signs: `derive_key(CONTEXT_ENDORSEMENT, workspace ‖ record bytes)`.
pub(crate) fn endorsed_statement(workspace: &WorkspaceId, record: &[u8]) -> [u8; 32] {
    statement(CONTEXT_ENDORSEMENT, &[workspace.as_bytes(), record].concat())
}

/// A record as its change set carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) record: Record,
    /// The record's bytes, which endorsements are over.
    pub(crate) bytes: Vec<u8>,
    pub(crate) endorsements: Vec<Endorsement>,
}

impl Record {
    /// The edits of the one change set that carries the record: `record`, then `endorsements/1` and on, by ascending
    /// root. Of several endorsements of one root the last is taken.
    ///
    /// # Errors
    /// [`RecordFault`] if nobody would read the record.
    pub fn to_edits(&self, endorsements: &[Endorsement]) -> Result<Vec<Edit>, RecordFault> {
        let sorted: BTreeMap<PublicKey, &Endorsement> = endorsements.iter().map(|by| (by.root, by)).collect();
        if sorted.len() > MAX_ROOTS {
            return Err(RecordFault::BadList(Item::Endorsements));
        }
        let put = |path: &str, bytes: Vec<u8>| -> Result<Edit, RecordFault> {
            let path = Path::new(path).map_err(|_| RecordFault::Missing(RECORD))?;
            Ok(Edit::Put { path, value: Value::Bytes(bytes) })
        };
        let mut edits = vec![put(RECORD, self.to_bytes()?)?];
        for (number, endorsement) in (1..).zip(sorted.values()) {
            edits.push(put(&endorsement_path(number), endorsement.to_bytes())?);
        }
        Ok(edits)
    }

    /// The script of the one change set that carries the record, with the person's reason if there is one. The change
    /// set is of kind `access` in a document of its own, and names no parents.
    ///
    /// # Errors
    /// [`RecordFault`] if nobody would read the record.
    pub fn to_script(&self, endorsements: &[Endorsement], reason: Option<String>) -> Result<Script, RecordFault> {
        Ok(Script { reason, edits: self.to_edits(endorsements)? })
    }

    /// The record that a change set of kind `access` carries: read from its script alone, strictly.
    ///
    /// # Errors
    /// [`RecordFault`]: the change set is no record. [`RecordFault::ValueMissing`] and [`RecordFault::NewerFormat`] say
    /// nothing about the record itself.
    pub fn read(change_set: &Verified) -> Result<Self, RecordFault> {
        Ok(Carried::read(change_set)?.record)
    }
}

fn endorsement_path(number: usize) -> String {
    format!("endorsements/{number}")
}

impl Carried {
    pub(crate) fn read(change_set: &Verified) -> Result<Self, RecordFault> {
        let header = change_set.header();
        if header.document.kind.as_str() != KIND_ACCESS {
            return Err(RecordFault::OtherKind(header.document.kind.clone()));
        }
        if change_set.is_newer_format() {
            return Err(RecordFault::NewerFormat(header.format));
        }
        if !header.parents.is_empty() {
            return Err(RecordFault::HasParents);
        }
        let skeleton = change_set.skeleton().map_err(|error| RecordFault::Unreadable(error.clone()))?;
        check_ops(&skeleton.ops)?;
        // Every op has a value; the reason's stands before them.
        let first = usize::from(skeleton.reason.is_some());
        let value = |at: usize, op: &Op| {
            let value =
                change_set.body().value(first + at).ok_or_else(|| RecordFault::ValueMissing(op.path().clone()))?;
            let fits = op.value_bytes().is_some_and(|bytes| bytes as usize == value.len());
            if fits { Ok(value) } else { Err(RecordFault::Unfit(op.path().clone())) }
        };
        let mut record = None;
        let mut endorsements: Vec<Endorsement> = Vec::new();
        for (at, op) in skeleton.ops.iter().enumerate() {
            let value = value(at, op)?;
            if at == 0 {
                record = Some(value);
                continue;
            }
            let endorsement = Endorsement::from_bytes(value).ok_or_else(|| RecordFault::Unfit(op.path().clone()))?;
            if endorsements.last().is_some_and(|last| last.root >= endorsement.root) {
                return Err(RecordFault::BadList(Item::Endorsements));
            }
            endorsements.push(endorsement);
        }
        let bytes = record.ok_or(RecordFault::Missing(RECORD))?.to_vec();
        Ok(Self { record: Record::from_bytes(&bytes)?, bytes, endorsements })
    }
}

/// What can be said of a script without its values, which is the same wherever values are missing.
fn check_ops(ops: &[Op]) -> Result<(), RecordFault> {
    if ops.is_empty() {
        return Err(RecordFault::Missing(RECORD));
    }
    let mut seen: Vec<&Path> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let path = op.path().clone();
        let Op::Put { value_type, bytes, .. } = op else { return Err(RecordFault::NotAPut(path)) };
        if seen.contains(&op.path()) {
            return Err(RecordFault::Duplicate(path));
        }
        seen.push(op.path());
        let (wanted, limit) =
            if at == 0 { (RECORD.to_owned(), MAX_RECORD_BYTES) } else { (endorsement_path(at), ENDORSEMENT_BYTES) };
        if path.as_str() != wanted || at > MAX_ROOTS {
            return Err(if at == 0 { RecordFault::Missing(RECORD) } else { RecordFault::Unexpected(path) });
        }
        if *value_type != ValueType::Bytes {
            return Err(RecordFault::WrongType(path));
        }
        if *bytes as usize > limit {
            return Err(RecordFault::TooLong { path, limit });
        }
    }
    Ok(())
}
