//! The devices of the demo: each with its own key, store and clock, and bundles between them that get lost and repeated.

use crate::device;
use crate::workspace::{Refused, check, perform, signed_bundle, take_in};
use anyhow::Context as _;
use changeset::{
    Author, Bundle, ChangeSetId, DeviceKey, DocumentKey, Entropy, Incarnation, IntentName, LogIncarnation,
    Partition as PartitionName, SeededEntropy, Verified, WorkspaceId,
};
use crdt::{Commit, Edits, KindRegistry, Partition, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When the story begins: 2026-03-02 07:00 UTC.
pub(crate) const MORNING_MS: u64 = 1_772_434_800_000;

/// Random choices that follow from the seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// One device.
pub(crate) struct Device {
    pub(crate) name: String,
    secret: [u8; 32],
    incarnation: Incarnation,
    log: LogIncarnation,
    pub(crate) partition: Partition,
    pub(crate) author: Author,
    pub(crate) now_ms: u64,
    entropy: u64,
}

/// What a device's store was at some moment: what a backup or a copied phone has.
pub(crate) struct Copy {
    bundle: Vec<u8>,
    incarnation: Incarnation,
}

/// What happened between the devices, for the summary.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Every change set that a device said was saved, with who saved it and what it did.
    pub(crate) saved: BTreeMap<ChangeSetId, (String, String)>,
    pub(crate) refused_by_rules: usize,
    pub(crate) bundles_sent: usize,
    pub(crate) bundles_lost: usize,
    pub(crate) bundles_repeated: usize,
    pub(crate) bytes_sent: usize,
}

impl Device {
    pub(crate) fn new(name: &str, number: u8, workspace: WorkspaceId, partition: &PartitionName, seed: u64) -> Self {
        let secret = *blake3::keyed_hash(&[number; 32], &seed.to_le_bytes()).as_bytes();
        let incarnation = Incarnation::from_bytes([number; 8]);
        let entropy = seed ^ (u64::from(number) << 32);
        let author = author_of(secret, incarnation, workspace, partition, entropy);
        Self {
            name: name.to_owned(),
            secret,
            incarnation,
            log: LogIncarnation::from_bytes([number; 8]),
            partition: Partition::new(workspace, partition.clone()),
            author,
            // No two clocks agree, and nothing depends on it.
            now_ms: MORNING_MS + u64::from(number) * 73_000,
            entropy,
        }
    }

    /// Writes who this device is.
    pub(crate) fn introduce(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let document = device::document(self.now_ms, self.author.random())?;
        let mut tx = self.partition.transact(&mut self.author, &document, self.now_ms);
        tx.put(&device::name_path()?, self.name.as_str().into())?;
        let (entry, _) = tx.commit(Commit::new(IntentName::new("introduce")?))?;
        self.saved(ledger, &entry);
        Ok(())
    }

    /// Carries out a command, given as JSON. Gives whether the rules allowed it.
    pub(crate) fn act(
        &mut self,
        kinds: &KindRegistry,
        ledger: &mut Ledger,
        document: &DocumentKey,
        intent: &str,
        what: &serde_json::Value,
    ) -> anyhow::Result<bool> {
        self.now_ms += 40_000;
        let decoded = kinds.decode(document.kind.as_str(), intent, &what.to_string())?;
        let done = perform(&mut self.partition, &mut self.author, kinds, document, &decoded, self.now_ms);
        match done.with_context(|| format!("{} could not {intent} {document}", self.name))? {
            Ok(entry) => {
                self.saved(ledger, &entry);
                Ok(true)
            }
            Err(Refused::Rules(_)) => {
                ledger.refused_by_rules += 1;
                Ok(false)
            }
        }
    }

    /// Carries out edits that are no command of a model.
    pub(crate) fn edit(
        &mut self,
        ledger: &mut Ledger,
        document: &DocumentKey,
        intent: &str,
        edit: impl FnOnce(&mut dyn Edits) -> Result<(), crdt::EditError>,
    ) -> anyhow::Result<()> {
        self.now_ms += 40_000;
        let mut tx = self.partition.transact(&mut self.author, document, self.now_ms);
        edit(&mut tx)?;
        if !tx.is_empty() {
            let (entry, applied) = tx.commit(Commit::new(IntentName::new(intent)?))?;
            check(&applied)?;
            self.saved(ledger, &entry);
        }
        Ok(())
    }

    fn saved(&self, ledger: &mut Ledger, entry: &Verified) {
        let what = format!("{} on {}", entry.body().intent, entry.header().document);
        ledger.saved.insert(entry.id(), (self.name.clone(), what));
    }

    /// All this device holds, as the file on its USB stick.
    pub(crate) fn bundle(&mut self) -> anyhow::Result<Vec<u8>> {
        signed_bundle(&mut self.partition, &self.author, self.log)
    }

    /// Verifies a bundle and takes it in. If it shows that another store writes as this device, this one goes on as a
    /// new incarnation. Gives how many change sets were new, and whether it did.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> anyhow::Result<(usize, bool)> {
        let bundle = Bundle::from_bytes(bytes, |_| {})?;
        let (applied, was_copied) = take_in(&mut self.partition, &self.author, bundle)?;
        if was_copied {
            let drawn = self.author.random();
            let (first, _) = drawn.split_at(8);
            self.incarnation = Incarnation::from_bytes(first.try_into().unwrap_or([0; 8]));
            self.author = self.new_author();
        }
        Ok((applied.accepted.len(), was_copied))
    }

    fn new_author(&self) -> Author {
        let (workspace, name) = (*self.partition.workspace(), self.partition.name());
        author_of(self.secret, self.incarnation, workspace, name, self.entropy ^ self.now_ms)
    }

    /// What a backup of this device holds.
    pub(crate) fn copy(&mut self) -> anyhow::Result<Copy> {
        Ok(Copy { bundle: self.bundle()?, incarnation: self.incarnation })
    }

    /// The device is lost and comes back from a copy, which knows nothing of what came after.
    pub(crate) fn restore(&mut self, copy: &Copy) -> anyhow::Result<usize> {
        let held = self.partition.log().entries().len();
        self.partition = Partition::new(*self.partition.workspace(), self.partition.name().clone());
        self.incarnation = copy.incarnation;
        self.receive_quietly(&copy.bundle)?;
        Ok(held - self.partition.log().entries().len())
    }

    /// A second device that believes it is this one.
    pub(crate) fn clone_as(&mut self, name: &str) -> anyhow::Result<Self> {
        let bundle = self.bundle()?;
        let mut twin = Self {
            name: name.to_owned(),
            secret: self.secret,
            incarnation: self.incarnation,
            log: LogIncarnation::from_bytes([0xcc; 8]),
            partition: Partition::new(*self.partition.workspace(), self.partition.name().clone()),
            author: self.new_author(),
            now_ms: self.now_ms + 5_000,
            entropy: self.entropy ^ 0xcc,
        };
        twin.receive_quietly(&bundle)?;
        Ok(twin)
    }

    /// Takes in the device's own records without asking who else writes as it: that is what a copy cannot know.
    fn receive_quietly(&mut self, bundle: &[u8]) -> anyhow::Result<()> {
        check(&self.partition.apply(Bundle::from_bytes(bundle, |_| {})?.entries))?;
        let own = self.new_author();
        let id = own.actor().id();
        let entries = self.partition.log().entries().iter();
        let last = entries.filter(|entry| entry.actor().id() == id).max_by_key(|entry| entry.header().sequence);
        self.author = match last {
            Some(last) => own.after(last),
            None => own,
        };
        Ok(())
    }

    /// Loses the last change set that nothing builds on: what a bug in a store would do. Gives what was lost.
    pub(crate) fn lose_last(&mut self) -> anyhow::Result<Option<ChangeSetId>> {
        let tip = self.author.tip();
        let kept: Vec<Verified> =
            self.partition.log().entries().iter().filter(|entry| Some(entry.id()) != tip).cloned().collect();
        self.partition = Partition::new(*self.partition.workspace(), self.partition.name().clone());
        check(&self.partition.apply(kept))?;
        self.author = self.new_author();
        Ok(tip)
    }

    pub(crate) fn value(&self, document: &DocumentKey, path: &str) -> Option<changeset::Value> {
        self.partition.document(document)?.value(&changeset::Path::new(path).ok()?)
    }
}

fn author_of(
    secret: [u8; 32],
    incarnation: Incarnation,
    workspace: WorkspaceId,
    name: &PartitionName,
    entropy: u64,
) -> Author {
    let entropy = Box::new(SeededEntropy::new(entropy));
    Author::new(Arc::new(DeviceKey::from_secret(&secret)), workspace, name.clone(), incarnation, entropy)
}
