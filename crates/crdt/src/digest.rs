//! Digests: equal exactly when two replicas hold the same set under the same judgement and show the same state.

use crate::document::Document;
use crate::document::structure::PutIx;
use crate::judgement::Standing;
use crate::partition::Partition;
use crate::state::State;
use changeset::cbor::Writer;

use changeset::{Value, hash};
use core::fmt;

/// A digest of a document or a partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(material: Writer) -> Self {
        Self(blake3::derive_key(hash::CONTEXT_DIGEST, &material.into_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Standing {
    /// The code in a digest.
    pub fn code(&self) -> u64 {
        match self {
            Self::Counted => 0,
            Self::Masked => 1,
            Self::Invalid(_) => 2,
            Self::PendingNewerFormat => 3,
            Self::PendingValue => 4,
        }
    }
}

impl Document {
    /// The digest of what is held, what counts of it, and what is shown; see `spec/documents.md`. Costs a pass over the
    /// whole document.
    pub fn digest(&self) -> Digest {
        let mut out = Writer::new();
        out.array(6);
        out.text(self.key().kind.as_str());
        out.bytes(self.key().id.as_bytes());
        self.write_set(&mut out);
        self.write_values(&mut out);
        let texts: Vec<_> = self.texts().fields().filter_map(|path| Some((path, self.text(path)?))).collect();
        out.array(texts.len());
        for (path, text) in texts {
            out.array(2);
            out.text(path.as_str());
            out.text(&text);
        }
        Digest::of(out)
    }

    /// What is held, how it stands, and what of it was purged.
    fn write_set(&self, out: &mut Writer) {
        let mut set: Vec<_> = self.standings().collect();
        set.sort_unstable_by_key(|(id, _)| *id);
        out.array(set.len());
        for (id, standing) in &set {
            out.array(2);
            out.bytes(id.as_bytes());
            out.uint(standing.code());
        }
        let purges: Vec<_> = set.iter().filter_map(|(id, _)| Some((id, self.judgement().purges.get(id)?))).collect();
        out.array(purges.len());
        for (id, values) in purges {
            out.array(2);
            out.bytes(id.as_bytes());
            out.array(values.len());
            values.iter().for_each(|value| out.uint(u64::from(*value)));
        }
    }

    /// Every visible value with the Automerge op that put it.
    fn write_values(&self, out: &mut Writer) {
        let structure = self.structure();
        let paths: Vec<_> = structure.paths_from("").filter(|(_, ix)| !structure.visible(*ix).is_empty()).collect();
        out.array(paths.len());
        for (path, ix) in paths {
            out.array(2);
            out.text(path.as_str());
            let mut visible: Vec<PutIx> = structure.visible(ix).to_vec();
            visible.sort_unstable_by_key(|put| (structure.put(*put).map(|put| put.op_number), structure.name_of(*put)));
            out.array(visible.len());
            for put in visible {
                let (Some(name), Some(put)) = (structure.name_of(put), structure.put(put)) else { continue };
                let Some(node) = self.graph().get(put.node) else { continue };
                let value = match structure.counter(self.graph(), put, None) {
                    Some(sum) => Value::Counter(sum),
                    None => put.value.clone(),
                };
                out.array(5);
                out.bytes(name.as_bytes());
                out.uint(put.op_number);
                out.bytes(node.id().as_bytes());
                out.uint(value.value_type().code());
                out.bytes(&value.to_bytes());
            }
        }
    }
}

impl Partition {
    /// The digest of all documents; see `spec/documents.md`. It covers what they show: while documents are pending it also
    /// names what they lack, and so equals that of no partition where nothing is. Call
    /// [`Partition::materialise_all`] first to compare two partitions.
    pub fn digest(&self) -> Digest {
        let mut out = Writer::new();
        let is_settled = self.pending().next().is_none();
        out.array(if is_settled { 3 } else { 4 });
        out.bytes(self.workspace().as_bytes());
        out.text(self.name().as_str());
        out.array(self.documents().count());
        for document in self.documents() {
            out.array(3);
            out.text(document.key().kind.as_str());
            out.bytes(document.key().id.as_bytes());
            out.bytes(document.digest().as_bytes());
        }
        if !is_settled {
            self.write_lacking(&mut out);
        }
        Digest::of(out)
    }

    fn write_lacking(&self, out: &mut Writer) {
        out.array(self.lacking().count());
        for (key, lacking) in self.lacking() {
            out.array(4);
            out.text(key.kind.as_str());
            out.bytes(key.id.as_bytes());
            out.uint(u64::from(lacking.needs_rebuild()));
            let mut entries = lacking.entries.clone();
            entries.sort_unstable();
            out.array(entries.len());
            entries.iter().for_each(|id| out.bytes(id.as_bytes()));
        }
    }
}
