//! Who is who: what devices call themselves, and the people that grants bind to them.

use anyhow::Context as _;
use changeset::{Kind, Path, PublicKey, Value};
use crdt::Document;
use std::collections::HashMap;

pub(crate) const KIND: &str = "device";

/// The names of all devices of a partition. A document of kind `device` is written once by a device about itself; only what
/// the key that began it says in it counts, so nobody names another's device.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_key: HashMap<PublicKey, String>,
}

impl Names {
    /// The names in the partition of a store. Opens the devices' documents and no others.
    pub(crate) fn load(partition: &fieldbook::Partition) -> anyhow::Result<Self> {
        let mut names = Self::default();
        for listed in partition.list(Some(&Kind::new(KIND)?), &fieldbook::Filter::all())? {
            let named = partition
                .document(&listed.key, |document| own_name(document))
                .context("reading the names of devices")?;
            names.by_key.extend(named.flatten());
        }
        Ok(names)
    }

    /// What the device calls itself, if it said so.
    pub(crate) fn get(&self, key: &PublicKey) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    /// The device's name for itself, or the beginning of its key.
    pub(crate) fn of_key(&self, key: &PublicKey) -> String {
        self.by_key.get(key).cloned().unwrap_or_else(|| key.short())
    }
}

fn own_name(document: &Document) -> Option<(PublicKey, String)> {
    let author = *document.history().first()?.actor.key();
    let resolution = document.resolution(&Path::new("name").ok()?)?;
    let own = resolution.contenders.into_iter().find(|contender| *contender.actor.key() == author)?;
    match own.value? {
        Value::String(name) => Some((author, name)),
        _ => None,
    }
}
