//! Device names: what each device calls itself, signed by its own key.
//!
//! A document of kind `device` is written once by a device about itself. Only what the key that began it says in it
//! counts, so nobody names another's device.

use changeset::{ActorId, DocumentId, DocumentKey, Kind, Path, PublicKey, Value};
use crdt::{Document, Partition};
use std::collections::HashMap;

pub(crate) const KIND: &str = "device";

/// The document in which a device names itself.
pub(crate) fn document(now_ms: u64, random: [u8; 16]) -> anyhow::Result<DocumentKey> {
    let [tail @ .., _, _, _, _, _, _] = random;
    Ok(DocumentKey { kind: Kind::new(KIND)?, id: DocumentId::from_parts(now_ms, tail) })
}

pub(crate) fn name_path() -> anyhow::Result<Path> {
    Ok(Path::new("name")?)
}

/// The names of all devices of a partition.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_key: HashMap<PublicKey, String>,
}

impl Names {
    pub(crate) fn of(partition: &Partition) -> Self {
        let devices = partition.documents().filter(|document| document.key().kind.as_str() == KIND);
        Self { by_key: devices.filter_map(own_name).collect() }
    }

    /// The device's name for itself, or the beginning of its key.
    pub(crate) fn of_key(&self, key: &PublicKey) -> String {
        self.by_key.get(key).cloned().unwrap_or_else(|| key.short())
    }

    /// The name with the beginning of the actor id, where one device writes in several incarnations.
    pub(crate) fn of_actor(&self, key: &PublicKey, actor: &ActorId) -> String {
        format!("{} ({})", self.of_key(key), actor.short())
    }
}

fn own_name(document: &Document) -> Option<(PublicKey, String)> {
    let author = *document.history().first()?.actor.key();
    let resolution = document.resolution(&name_path().ok()?)?;
    let own = resolution.contenders.into_iter().find(|contender| *contender.actor.key() == author)?;
    match own.value? {
        Value::String(name) => Some((author, name)),
        _ => None,
    }
}
