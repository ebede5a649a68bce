//! Receipts: what a replica says, signed, about how much of another's log it made durable.
//!
//! A receipt stands alone: it names workspace, partition, log and place, so it proves to anybody, any time later, what the
//! replica answered for.

use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_RECEIPT, statement};
use changeset::limits::MAX_PARTITION_BYTES;
use changeset::{
    Cursor, DecodeError, Fault, LogIncarnation, Partition, PublicKey, RunningHash, SignError, Signature, Signer,
    WorkspaceId,
};

use crate::limits::Tier;

/// "I hold, durably, all of this log up to here."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The partition.
    pub partition: Partition,
    /// The log of the replica that gave the entries, and how far it was taken.
    pub upto: Cursor,
    /// How many of those entries are kept aside until their authority is known.
    pub held: u64,
    /// How many of them were refused and are not kept; they were named when it happened.
    pub refused: u64,
    /// What the signing replica is.
    pub tier: Tier,
    /// Its wall clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its signature.
    pub signature: Signature,
}

/// A receipt's content before it is signed.
#[derive(Clone, Debug)]
pub struct Statement {
    /// See [`Receipt`].
    pub partition: Partition,
    /// See [`Receipt`].
    pub upto: Cursor,
    /// See [`Receipt`].
    pub held: u64,
    /// See [`Receipt`].
    pub refused: u64,
    /// See [`Receipt`].
    pub tier: Tier,
    /// See [`Receipt`].
    pub time_ms: u64,
}

impl Receipt {
    /// Signs a statement.
    ///
    /// # Errors
    /// [`SignError`] of the signer.
    pub fn sign(signer: &dyn Signer, workspace: &WorkspaceId, content: Statement) -> Result<Self, SignError> {
        let Statement { partition, upto, held, refused, tier, time_ms } = content;
        let unsigned =
            Self { partition, upto, held, refused, tier, time_ms, signature: Signature::from_bytes([0; 64]) };
        let signature = signer.sign(&unsigned.statement(workspace))?;
        Ok(Self { signature, ..unsigned })
    }

    /// Whether `key` signed it, for this workspace.
    pub fn is_signed_by(&self, key: &PublicKey, workspace: &WorkspaceId) -> bool {
        key.has_signed(&self.statement(workspace), &self.signature)
    }

    fn statement(&self, workspace: &WorkspaceId) -> [u8; 32] {
        let mut out = Writer::with_capacity(192);
        out.array(2);
        out.bytes(workspace.as_bytes());
        self.write(&mut out);
        statement(CONTEXT_RECEIPT, &out.into_bytes())
    }

    fn write(&self, out: &mut Writer) {
        out.array(8);
        out.text(self.partition.as_str());
        out.bytes(self.upto.log.as_bytes());
        out.uint(self.upto.position);
        out.bytes(self.upto.hash.as_bytes());
        out.uint(self.held);
        out.uint(self.refused);
        out.uint(self.tier.code());
        out.uint(self.time_ms);
    }

    /// The bytes: `[[partition, log, position, running hash, held, refused, tier, time], signature]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(192);
        out.array(2);
        self.write(&mut out);
        out.bytes(self.signature.as_bytes());
        out.into_bytes()
    }

    /// Reads a receipt; whether it holds is seen by [`Receipt::is_signed_by`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "receipt");
        reader.array_of(2)?;
        reader.array_of(8)?;
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let log = LogIncarnation::from_bytes(reader.fixed()?);
        let position = reader.uint(u64::MAX)?;
        let hash = RunningHash::from_bytes(reader.fixed()?);
        let (held, refused) = (reader.uint(u64::MAX)?, reader.uint(u64::MAX)?);
        let at = reader.position();
        let code = reader.uint(u64::MAX)?;
        let tier = Tier::from_code(code).ok_or_else(|| reader.fault_at(at, Fault::UnknownCode(code)))?;
        let time_ms = reader.uint(u64::MAX)?;
        let signature = Signature::from_bytes(reader.fixed()?);
        reader.finish()?;
        Ok(Self { partition, upto: Cursor { log, position, hash }, held, refused, tier, time_ms, signature })
    }
}
