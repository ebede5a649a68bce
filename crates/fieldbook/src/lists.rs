//! Whether the lists of a partition are complete, so that they can be read without looking at its log.

use crate::error::Error;
use access::PARTITION_AUTHORITY;
use changeset::{DocumentId, DocumentKey, Kind, Partition as PartitionName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use storage::{LogKey, View};

/// Goes up when what the lists say, or by what they are found, changes; they are written again then.
const FORMAT: u64 = 1;

/// What the lists of a partition covered when they were last complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Complete {
    format: u64,
    /// The log's incarnation: positions of another one say nothing.
    log: String,
    position: u64,
    /// Where the authority stood, by which it was judged.
    authority: (String, u64),
    /// Documents with work that did not count: all that a change of the authority can move.
    undecided: BTreeSet<(String, String)>,
}

impl Complete {
    /// As the store stands; none where the log has not begun.
    pub(crate) fn now(view: &View, log: &LogKey, undecided: BTreeSet<DocumentKey>) -> Result<Option<Self>, Error> {
        let Some(end) = view.log(log)?.map(|state| state.end) else { return Ok(None) };
        let authority = view.log(&LogKey::new(log.workspace, PartitionName::new(PARTITION_AUTHORITY)?))?;
        let authority = authority.map(|state| state.end);
        Ok(Some(Self {
            format: FORMAT,
            log: end.log.to_string(),
            position: end.position,
            authority: authority.map_or((String::new(), 0), |end| (end.log.to_string(), end.position)),
            undecided: undecided.iter().map(|key| (key.kind.to_string(), key.id.to_string())).collect(),
        }))
    }

    /// As it was last written.
    pub(crate) fn last(view: &View, log: &LogKey) -> Result<Option<Self>, Error> {
        let bytes = view.meta(&name(log))?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).ok().filter(|last: &Self| last.format == FORMAT))
    }

    /// Whether the lists are still complete.
    pub(crate) fn holds(&self, view: &View, log: &LogKey) -> Result<bool, Error> {
        let Some(now) = Self::now(view, log, BTreeSet::new())? else { return Ok(false) };
        let is_as_it_was = (&now.log, now.position) == (&self.log, self.position);
        Ok(is_as_it_was && (self.undecided.is_empty() || now.authority == self.authority))
    }

    /// The documents whose lists may have moved although nothing was added to them.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = DocumentKey> {
        self.undecided
            .iter()
            .filter_map(|(kind, id)| Some(DocumentKey { kind: Kind::new(kind).ok()?, id: DocumentId::from_hex(id)? }))
    }

    /// Where it is kept, and its bytes.
    pub(crate) fn to_meta(&self, log: &LogKey) -> (String, Vec<u8>) {
        // Texts and numbers always have a JSON form.
        (name(log), serde_json::to_vec(self).unwrap_or_default())
    }
}

fn name(log: &LogKey) -> String {
    format!("listed/{}", log.partition)
}
