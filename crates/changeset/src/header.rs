//! The header of a change set: what a relay sees, and what the id and the signature cover.

use crate::cbor::{Reader, Writer};
use crate::error::{DecodeError, Fault};
use crate::id::{ChangeSetId, DocumentId, DocumentKey, Kind};
use crate::limits::{MAX_BODY_BYTES, MAX_KIND_BYTES, MAX_PARENTS, MAX_SEQUENCE, MAX_TIME_MS};

/// The format of bodies that this version writes and reads: values in plain.
pub const FORMAT_PLAIN: u64 = 1;

/// The header. All fields are public because it is plain data; only [`crate::Verified`] says that an author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the byte strings of the body mean; [`FORMAT_PLAIN`] here.
    pub format: u64,
    /// The number in the chain, from 1.
    pub sequence: u64,
    /// The change set before it in the chain; none at sequence 1.
    pub previous: Option<ChangeSetId>,
    /// The document.
    pub document: DocumentKey,
    /// The document's other heads that the author saw, sorted.
    pub parents: Vec<ChangeSetId>,
    /// Milliseconds since 1970: the largest of the author's wall clock, the time of `previous`, and the start of the
    /// grant in force.
    pub time: u64,
    /// The grant that says who acted; at sequence 1 and when it changes.
    pub grant: Option<ChangeSetId>,
    /// The hash of the body.
    pub body_hash: [u8; 32],
    /// The length in bytes of the body with all its values.
    pub body_length: u64,
}

impl Header {
    /// Appends the header's bytes.
    pub fn write(&self, out: &mut Writer) {
        out.array(10);
        out.uint(self.format);
        out.uint(self.sequence);
        write_id(out, self.previous.as_ref());
        out.text(self.document.kind.as_str());
        out.bytes(self.document.id.as_bytes());
        out.array(self.parents.len());
        self.parents.iter().for_each(|parent| out.bytes(parent.as_bytes()));
        out.uint(self.time);
        write_id(out, self.grant.as_ref());
        out.bytes(&self.body_hash);
        out.uint(self.body_length);
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(192 + 34 * self.parents.len());
        self.write(&mut out);
        out.into_bytes()
    }

    /// Reads a header strictly.
    ///
    /// # Errors
    /// [`DecodeError`]: the entry never enters any set.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.place("header");
        let start = reader.position();
        reader.array_of(10)?;
        let format = reader.uint(u64::MAX)?;
        let sequence = reader.uint(MAX_SEQUENCE)?;
        let previous = read_id(reader)?;
        let at = reader.position();
        let kind = Kind::new(reader.text(MAX_KIND_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let id = DocumentId::from_bytes(reader.fixed()?);
        let count = reader.array(MAX_PARENTS)?;
        let mut parents = Vec::with_capacity(count);
        for _ in 0..count {
            parents.push(ChangeSetId::from_bytes(reader.fixed()?));
        }
        let header = Self {
            format,
            sequence,
            previous,
            document: DocumentKey { kind, id },
            parents,
            time: reader.uint(MAX_TIME_MS)?,
            grant: read_id(reader)?,
            body_hash: reader.fixed()?,
            body_length: reader.uint(MAX_BODY_BYTES as u64)?,
        };
        header.check().map_err(|fault| reader.fault_at(start, fault))?;
        Ok(header)
    }

    /// The rules that hold for a header by itself.
    ///
    /// # Errors
    /// The [`Fault`] found first.
    pub fn check(&self) -> Result<(), Fault> {
        if self.format == 0 || self.sequence == 0 {
            return Err(Fault::Zero);
        }
        if (self.sequence == 1) != self.previous.is_none() {
            return Err(Fault::NotCanonical("sequence 1 is the one without a previous"));
        }
        if self.parents.windows(2).any(|pair| pair.first() >= pair.last()) {
            return Err(Fault::Unsorted);
        }
        let over = |value: u64, limit: u64| if value > limit { Err(Fault::OverLimit { limit }) } else { Ok(()) };
        over(self.sequence, MAX_SEQUENCE)?;
        over(self.time, MAX_TIME_MS)?;
        over(self.body_length, MAX_BODY_BYTES as u64)?;
        over(self.parents.len() as u64, MAX_PARENTS as u64)
    }
}

fn write_id(out: &mut Writer, id: Option<&ChangeSetId>) {
    match id {
        Some(id) => out.bytes(id.as_bytes()),
        None => out.null(),
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Option<ChangeSetId>, DecodeError> {
    if reader.null() { Ok(None) } else { Ok(Some(ChangeSetId::from_bytes(reader.fixed()?))) }
}
