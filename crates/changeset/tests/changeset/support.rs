//! Fixtures: a workspace, its devices and documents, all from small numbers, so that every run has the same bytes.

use changeset::cbor::Writer;
use changeset::{
    Author, Body, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Header, Incarnation, IntentName, Kind,
    MemoryLog, PageError, Partition, Path, PublicKey, Script, SeededEntropy, SignError, Signature, Signed, Signer,
    Value, Verified, VerifyError, WorkspaceId, decode_page,
};
use std::sync::Arc;

/// 9 October 2025, in ms: times have their real size in bytes.
pub(crate) const NOW: u64 = 1_760_000_000_000;
pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([0x57; 32]);

pub(crate) fn partition() -> Partition {
    Partition::new("harbour-7").unwrap()
}

pub(crate) fn key(device: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[device; 32]))
}

pub(crate) fn author(device: u8) -> Author {
    author_in(device, partition())
}

pub(crate) fn author_in(device: u8, partition: Partition) -> Author {
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    Author::new(key(device), WORKSPACE, partition, Incarnation::from_bytes([device; 8]), entropy)
}

pub(crate) fn document(number: u8) -> DocumentKey {
    DocumentKey { kind: Kind::new("inspection").unwrap(), id: DocumentId::from_parts(NOW, [number; 10]) }
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

pub(crate) fn put(at: &str, value: impl Into<Value>) -> Edit {
    Edit::Put { path: path(at), value: value.into() }
}

pub(crate) fn draft(document: DocumentKey, parents: &[&Verified], edits: Vec<Edit>) -> Draft {
    Draft {
        document,
        parents: parents.iter().map(|parent| parent.id()).collect(),
        grant: None,
        schema_version: 1,
        intent: IntentName::new("record_outcome").unwrap(),
        group: None,
        script: Script { reason: None, edits },
    }
}

/// Records one small change set, unsigned.
pub(crate) fn record(author: &mut Author, number: u8, parents: &[&Verified]) -> Verified {
    author.record(draft(document(number), parents, vec![put("status", "passed")]), NOW).unwrap()
}

/// Records one small change set and signs it.
pub(crate) fn record_signed(author: &mut Author, number: u8, parents: &[&Verified]) -> Verified {
    let recorded = record(author, number, parents);
    author.sign(&recorded).unwrap()
}

/// What an author restored from a backup writes after `last`: the same chain, another time, so another sibling.
pub(crate) fn fork_after(device: u8, last: &Verified, number: u8, parents: &[&Verified]) -> Verified {
    let mut restored = author(device).after(last);
    let recorded = restored.record(draft(document(number), parents, vec![put("status", "failed")]), NOW + 7).unwrap();
    restored.sign(&recorded).unwrap()
}

/// A header as an honest author at the end of its chain would write it, for changing what a hostile one changes.
pub(crate) fn header_after(last: Option<&Verified>, body: &Body) -> Header {
    Header {
        format: changeset::FORMAT_PLAIN,
        sequence: last.map_or(1, |last| last.header().sequence + 1),
        previous: last.map(Verified::id),
        document: document(1),
        parents: Vec::new(),
        time: NOW,
        grant: None,
        body_hash: body.hash(),
        body_length: body.to_bytes().len() as u64,
    }
}

pub(crate) fn small_body() -> Body {
    let (skeleton, values) = Script { reason: None, edits: vec![put("status", "passed")] }.split();
    Body::new(1, IntentName::new("record_outcome").unwrap(), None, skeleton.to_bytes(), [9; 16], values)
}

pub(crate) fn read_signed(bytes: &[u8]) -> Result<Verified, VerifyError> {
    Signed::from_bytes(bytes, WORKSPACE, &partition())?.verify()
}

pub(crate) fn read_page(bytes: &[u8], log: &MemoryLog) -> Result<Vec<Verified>, PageError> {
    Ok(decode_page(bytes, &WORKSPACE, &partition(), log)?.verify()?)
}

pub(crate) fn log_of<'a>(entries: impl IntoIterator<Item = &'a Verified>) -> MemoryLog {
    let mut log = MemoryLog::new();
    for entry in entries {
        assert!(log.push(entry.clone()), "a log holds an entry once");
    }
    log
}

pub(crate) fn ids(entries: &[Verified]) -> Vec<ChangeSetId> {
    entries.iter().map(Verified::id).collect()
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The 40 bytes that name an author.
pub(crate) fn author_bytes(entry: &Verified) -> Vec<u8> {
    [&entry.actor().key().as_bytes()[..], entry.actor().incarnation().as_bytes()].concat()
}

/// A page item by item, for writing what `encode_page` refuses to write.
pub(crate) struct RawPage {
    pub(crate) version: u64,
    pub(crate) actors: Vec<Vec<u8>>,
    pub(crate) documents: Vec<DocumentKey>,
    pub(crate) grants: Vec<ChangeSetId>,
    pub(crate) entries: Vec<RawEntry>,
}

/// An entry of a [`RawPage`]; each field writes its own item.
pub(crate) struct RawEntry {
    pub(crate) actor: u64,
    pub(crate) previous: Raw,
    pub(crate) document: Raw,
    pub(crate) parents: Vec<Raw>,
    pub(crate) time: u64,
    pub(crate) grant: Raw,
    pub(crate) signature: Option<Signature>,
    pub(crate) explicit: Option<(u64, u64)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone)]
pub(crate) enum Raw {
    Null,
    Int(i64),
    Bytes(Vec<u8>),
    Pair([u8; 8], u64),
}

impl Raw {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Null => out.null(),
            Self::Int(value) => out.int(*value),
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::Pair(prefix, sequence) => {
                out.array(2);
                out.bytes(prefix);
                out.uint(*sequence);
            }
        }
    }
}

impl RawEntry {
    /// The entry as `encode_page` writes the first of a page, `signature` apart.
    pub(crate) fn first(entry: &Verified, signature: Option<Signature>) -> Self {
        let body = entry.body().to_bytes();
        let header = entry.header();
        let plain = header.format == changeset::FORMAT_PLAIN && header.body_length == body.len() as u64;
        Self {
            actor: 0,
            previous: Raw::Null,
            document: Raw::Int(0),
            parents: Vec::new(),
            time: header.time,
            grant: Raw::Null,
            signature,
            explicit: if plain { None } else { Some((header.format, header.body_length)) },
            body,
        }
    }

    /// The entry as one that follows entry `previous` of the same page, whose time is `since`.
    pub(crate) fn following(entry: &Verified, previous: u64, since: u64, signature: Option<Signature>) -> Self {
        Self {
            previous: Raw::Int(previous as i64),
            document: Raw::Null,
            time: entry.header().time - since,
            ..Self::first(entry, signature)
        }
    }
}

impl RawPage {
    /// A page of `entry`'s actor and document with these entries.
    pub(crate) fn of(entry: &Verified, entries: Vec<RawEntry>) -> Self {
        Self {
            version: 1,
            actors: vec![author_bytes(entry)],
            documents: vec![entry.header().document.clone()],
            grants: Vec::new(),
            entries,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(5);
        out.uint(self.version);
        out.array(self.actors.len());
        self.actors.iter().for_each(|actor| out.bytes(actor));
        out.array(self.documents.len());
        for document in &self.documents {
            out.array(2);
            out.text(document.kind.as_str());
            out.bytes(document.id.as_bytes());
        }
        out.array(self.grants.len());
        self.grants.iter().for_each(|grant| out.bytes(grant.as_bytes()));
        out.array(self.entries.len());
        for entry in &self.entries {
            out.array(if entry.explicit.is_some() { 10 } else { 8 });
            out.uint(entry.actor);
            entry.previous.write(&mut out);
            entry.document.write(&mut out);
            out.array(entry.parents.len());
            entry.parents.iter().for_each(|parent| parent.write(&mut out));
            out.uint(entry.time);
            entry.grant.write(&mut out);
            match &entry.signature {
                None => out.null(),
                Some(signature) => out.bytes(signature.as_bytes()),
            }
            if let Some((format, body_length)) = entry.explicit {
                out.uint(format);
                out.uint(body_length);
            }
            out.raw(&entry.body);
        }
        out.into_bytes()
    }
}

/// A bundle item by item.
pub(crate) fn raw_bundle(
    workspace: &WorkspaceId,
    partition: &str,
    log: &[u8],
    pages: &[Vec<u8>],
    end: &[u8],
) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(changeset::BUNDLE_MAGIC);
    out.array(5);
    out.bytes(workspace.as_bytes());
    out.text(partition);
    out.bytes(log);
    out.array(pages.len());
    pages.iter().for_each(|page| out.bytes(page));
    out.bytes(end);
    out.into_bytes()
}

/// `value + L`, the other scalar that signs the same; L is the order of the group.
pub(crate) fn plus_group_order(signature: &Signature) -> Signature {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = *signature.as_bytes();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L fits in 32 bytes");
    Signature::from_bytes(bytes)
}

/// A signer whose key and signature were made elsewhere.
#[derive(Debug)]
pub(crate) struct Crafted {
    pub(crate) key: PublicKey,
    pub(crate) signature: Signature,
}

impl Signer for Crafted {
    fn public_key(&self) -> PublicKey {
        self.key
    }

    fn sign(&self, _: &[u8; 32]) -> Result<Signature, SignError> {
        Ok(self.signature)
    }
}

/// One small change set under this key and signature, whatever they are worth.
pub(crate) fn crafted(key: &str, signature: &str) -> Verified {
    let crafted = Crafted { key: PublicKey::from_hex(key).unwrap(), signature: signature_from_hex(signature) };
    let entropy = Box::new(SeededEntropy::new(1));
    let mut author = Author::new(Arc::new(crafted), WORKSPACE, partition(), Incarnation::from_bytes([1; 8]), entropy);
    record_signed(&mut author, 1, &[])
}

pub(crate) fn signature_from_hex(text: &str) -> Signature {
    let half = |text: &str| *PublicKey::from_hex(text).unwrap().as_bytes();
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&half(&text[..64]));
    bytes[32..].copy_from_slice(&half(&text[64..]));
    Signature::from_bytes(bytes)
}

/// The author key [1; 32]'s public key plus a point of order 8.
pub(crate) const TORSION_KEY: &str = "3bcfb78c4ad06f9b8d7e8c50e37e33dd40042a7805f5df945fbf33620745bc68";
/// Under that key over the id of its [`crafted`] entry: the challenge is a multiple of 8, so the equation holds.
pub(crate) const TORSION_HOLDS: &str = "78021b25eb446235a4af5246fa0f72589a72c7d78f77da0bb35c8cefd541819a\
                                        e3343f0a5217d5e26ef8d4a5c479c4abf343bc393d6b4c464833a2edf0fe950e";
/// The same with another nonce: the equation holds only when both sides are multiplied by the cofactor.
pub(crate) const TORSION_FAILS: &str = "e6050df522ee2d93ab024997bee05d000a4c6dcf2f3acb8c6cc79499ed9422db\
                                        a7ddd236a8f00c8215e836aeaf2d5fdb089d920ca15d792c67570dc332c14b05";
/// Device 1's over the id of its first [`record`] in document 1, with the identity as R: the equation holds, and R is of
/// small order.
pub(crate) const SMALL_R: &str = "0100000000000000000000000000000000000000000000000000000000000000\
                                  2959e87103feb38f5ba856a2c107642d73fdbc01f7f7e04f4ee462584f4ace02";
/// The identity as R and zero as S: holds under the identity as key, whatever is signed.
pub(crate) const IDENTITY_SIGNATURE: &str = "0100000000000000000000000000000000000000000000000000000000000000\
                                             0000000000000000000000000000000000000000000000000000000000000000";
/// Every encoding of a point of small order, those with a y that is not reduced or a needless sign included, and two
/// that are no point.
pub(crate) const WEAK_KEYS: [&str; 16] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0200000000000000000000000000000000000000000000000000000000000000",
    "efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];
