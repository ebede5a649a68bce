//! One change set: header, body, and what its skeleton says.

use crate::Id;
use crate::body::Body;
use crate::cbor::{Item, cbor};
use crate::hash::{keyed, signature_holds};
use crate::names::{MAX_BODY, MAX_TIME, MAX_U32, is_kind};
use crate::refused::{Need, Refused};
use crate::skeleton::Skeleton;

/// One change set of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// The key of the device that wrote it.
    pub author: Id,
    /// Of the store that it was written in.
    pub incarnation: [u8; 8],
    /// The actor: derived from key, incarnation, workspace and partition.
    pub actor: Id,
    /// 1 is plain; above it the skeleton is not read.
    pub format: u64,
    /// Its place in the actor's chain, from 1.
    pub sequence: u64,
    /// The actor's change set before it, in whatever document.
    pub previous: Option<Id>,
    /// The kind of the document.
    pub kind: String,
    /// The document.
    pub document: [u8; 16],
    /// The listed parents; the implied one is not among them.
    pub parents: Vec<Id>,
    /// The header's time, in ms since 1970.
    pub time: u64,
    /// The grant that the header names.
    pub grant: Option<Id>,
    /// The person's command.
    pub intent: String,
    /// What the header says.
    pub body_length: u64,
    /// Whether a signature stood with it; else a later one speaks for it.
    pub is_signed: bool,
    pub(crate) body: Body,
    /// None if it is not to be read or cannot be.
    pub(crate) skeleton: Option<Skeleton>,
}

impl Entry {
    /// Whether a value of it was purged or left out.
    pub fn lacks_values(&self) -> bool {
        self.body.slots.iter().any(|slot| slot.kept.is_none())
    }

    /// The bytes of a value, unless it is not here.
    pub(crate) fn value(&self, number: usize) -> Option<&[u8]> {
        let slot = self.body.slots.get(number)?;
        slot.kept.as_ref().map(|(_, value)| value.as_slice())
    }
}

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer {
    pub(crate) author: Id,
    pub(crate) incarnation: [u8; 8],
    pub(crate) actor: Id,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u64,
    pub(crate) sequence: u64,
    pub(crate) previous: Option<Id>,
    pub(crate) kind: String,
    pub(crate) document: [u8; 16],
    pub(crate) parents: Vec<Id>,
    pub(crate) time: u64,
    pub(crate) grant: Option<Id>,
    pub(crate) body_hash: Id,
    pub(crate) body_length: u64,
}

impl Header {
    /// The rules of a header, read or rebuilt.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        (self.format >= 1).need("header: format")?;
        (1..=MAX_U32).contains(&self.sequence).need("header: sequence")?;
        (self.previous.is_none() == (self.sequence == 1)).need("header: previous is null exactly at sequence 1")?;
        is_kind(&self.kind).need("header: kind")?;
        (self.parents.len() <= 32).need("header: parents")?;
        self.parents.windows(2).all(|pair| pair[0] < pair[1]).need("header: parents not ascending")?;
        (self.time <= MAX_TIME).need("header: time")?;
        (self.body_length <= MAX_BODY).need("header: body length")
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let parents: Vec<Item<'_>> = self.parents.iter().map(Item::from).collect();
        cbor([
            self.format.into(),
            self.sequence.into(),
            self.previous.as_ref().into(),
            self.kind.as_str().into(),
            (&self.document).into(),
            parents.into(),
            self.time.into(),
            self.grant.as_ref().into(),
            (&self.body_hash).into(),
            self.body_length.into(),
        ])
    }

    /// The change set of this header and its body, whose hash has been compared.
    pub(crate) fn into_entry(self, writer: &Writer, body: Body, is_signed: bool) -> Entry {
        let skeleton = if self.format == 1 { self.skeleton(&body) } else { None };
        Entry {
            id: keyed(&writer.actor, &self.encode()),
            author: writer.author,
            incarnation: writer.incarnation,
            actor: writer.actor,
            format: self.format,
            sequence: self.sequence,
            previous: self.previous,
            kind: self.kind,
            document: self.document,
            parents: self.parents,
            time: self.time,
            grant: self.grant,
            intent: body.intent.clone(),
            body_length: self.body_length,
            is_signed,
            body,
            skeleton,
        }
    }

    /// None where it makes the change set invalid: it does not read, or gives another number of values or body length.
    fn skeleton(&self, body: &Body) -> Option<Skeleton> {
        let skeleton = Skeleton::read(&body.skeleton).ok()?;
        let is_told =
            skeleton.lengths.len() == body.slots.len() && body.whole_length(&skeleton.lengths) == self.body_length;
        is_told.then_some(skeleton)
    }
}

impl Entry {
    pub(crate) fn check_signature(&self, signature: &[u8; 64]) -> Result<(), Refused> {
        signature_holds(&self.author, &self.id, signature).need("signature")
    }
}

/// Reads the signed form of one change set of this workspace and partition.
#[cfg(test)]
pub(crate) fn read_signed(workspace: &Id, partition: &str, data: &[u8]) -> Result<Entry, Refused> {
    let item = crate::cbor::decode(data)?;
    let [author, signature, header, body] = item.array().need("signed form: not an array of 4")?;
    let writer = read_writer(workspace, partition, author).need("signed form: author")?;
    let signature = signature.fixed().need("signed form: signature")?;
    let (header, body) = (Header::read(header)?, Body::read(body)?);
    (body.hash() == header.body_hash).need("body hash")?;
    let entry = header.into_entry(&writer, body, true);
    entry.check_signature(&signature)?;
    Ok(entry)
}

/// Author key and incarnation.
pub(crate) fn read_writer(workspace: &Id, partition: &str, item: &Item<'_>) -> Option<Writer> {
    let bytes: [u8; 40] = item.fixed()?;
    let (author, incarnation) = bytes.split_at(32);
    let (author, incarnation) = (author.try_into().ok()?, incarnation.try_into().ok()?);
    let actor = crate::hash::chain_key(workspace, partition, &author, &incarnation);
    Some(Writer { author, incarnation, actor })
}

#[cfg(test)]
/// A byte string of 32, or null.
fn id_or_null(item: &Item<'_>) -> Option<Option<Id>> {
    if item.is_null() { Some(None) } else { item.fixed().map(Some) }
}

#[cfg(test)]
impl Header {
    pub(crate) fn read(item: &Item<'_>) -> Result<Self, Refused> {
        let [format, sequence, previous, kind, document, parents, time, grant, body_hash, body_length] =
            item.array().need("header: not an array of 10")?;
        let parents: Option<Vec<Id>> = parents.list().need("header: parents")?.iter().map(Item::fixed).collect();
        let header = Self {
            format: format.uint(u64::MAX).need("header: format")?,
            sequence: sequence.uint(u64::MAX).need("header: sequence")?,
            previous: id_or_null(previous).need("header: previous")?,
            kind: kind.text().need("header: kind")?.to_owned(),
            document: document.fixed().need("header: document")?,
            parents: parents.need("header: parents")?,
            time: time.uint(u64::MAX).need("header: time")?,
            grant: id_or_null(grant).need("header: grant")?,
            body_hash: body_hash.fixed().need("header: body hash")?,
            body_length: body_length.uint(u64::MAX).need("header: body length")?,
        };
        header.check()?;
        Ok(header)
    }
}
