//! What somebody who was let in and means harm writes: change sets that verify, and say whatever they like.

use crate::dice::Dice;
use changeset::{
    Author, Body, ChangeSetId, DocumentId, DocumentKey, Edit, FORMAT_PLAIN, Header, Incarnation, IntentName, ItemRange,
    ItemRef, Kind, Line, Partition as PartitionName, Path, Script, SeededEntropy, Signer, Value, Verified, WorkspaceId,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::{Batch, Lane, LogKey, Source, Store};

/// What such an author knows of one partition, and the ends of all its branches.
#[derive(Debug)]
pub struct Harm {
    workspace: WorkspaceId,
    partition: PartitionName,
    signer: Arc<dyn Signer>,
    incarnation: Incarnation,
    grant: Option<ChangeSetId>,
    known: Vec<Verified>,
    own: Vec<Verified>,
}

impl Harm {
    /// Somebody who wrote nothing yet.
    pub fn new(workspace: WorkspaceId, partition: PartitionName, signer: Arc<dyn Signer>, dice: &mut Dice) -> Self {
        let incarnation = Incarnation::from_bytes(dice.bits().to_le_bytes());
        Self { workspace, partition, signer, incarnation, grant: None, known: Vec::new(), own: Vec::new() }
    }

    /// From now on it acts under this grant.
    pub fn let_in(&mut self, grant: ChangeSetId) {
        self.grant = Some(grant);
    }

    /// Writes something into its own store, from where its sessions carry it to others.
    ///
    /// # Errors
    /// An error of the store.
    pub fn act(&mut self, store: &Store, now_ms: u64, dice: &mut Dice) -> anyhow::Result<()> {
        let log = LogKey::new(self.workspace, self.partition.clone());
        let view = store.view()?;
        let end = view.log(&log)?.map_or(0, |state| state.end.position);
        let from = self.known.len() as u64;
        if end > from {
            self.known.extend(view.entries(&log, from..end)?);
        }
        let mut written = Vec::new();
        for _ in 0..dice.range(1, 3) {
            written.push(self.write(now_ms, dice)?);
        }
        store.commit_now(Lane::Local, Batch::new().append(log, written, Source::Own, None))?;
        Ok(())
    }

    fn write(&mut self, now_ms: u64, dice: &mut Dice) -> anyhow::Result<Verified> {
        let document = self.document(dice);
        let previous = match dice.below(10) {
            // A fork: at the beginning, or anywhere on the way.
            0 => None,
            1 | 2 => dice.pick(&self.own).cloned(),
            _ => self.own.last().cloned(),
        };
        let parents = self.parents(&document, dice);
        let time = match dice.below(6) {
            0 => 0,
            1 => now_ms + 1_000_000_000,
            2 => now_ms.saturating_sub(dice.below(100_000_000)),
            _ => now_ms,
        };
        let time = time.max(previous.as_ref().map_or(0, |entry| entry.header().time));
        let edits = if dice.chance(3) {
            (0..changeset::limits::MAX_OPS).map(|_| self.edit(dice)).collect()
        } else {
            (0..dice.range(0, 4)).map(|_| self.edit(dice)).collect()
        };
        let script = Script { reason: dice.chance(20).then(|| "because".to_owned()), edits };
        // The lowest of several ids wins ties: so they are ground.
        let tries = if dice.chance(20) { 24 } else { 1 };
        let mut best: Option<Verified> = None;
        for _ in 0..tries {
            let entry = self.entry(previous.as_ref(), &document, &parents, time, script.clone(), dice)?;
            if best.as_ref().is_none_or(|best| entry.id() < best.id()) {
                best = Some(entry);
            }
        }
        let entry = best.ok_or_else(|| anyhow::anyhow!("nothing was tried"))?;
        self.own.push(entry.clone());
        Ok(entry)
    }

    fn entry(
        &self,
        previous: Option<&Verified>,
        document: &DocumentKey,
        parents: &[ChangeSetId],
        time: u64,
        script: Script,
        dice: &mut Dice,
    ) -> anyhow::Result<Verified> {
        let (skeleton, values) = script.split();
        let mut bytes = skeleton.to_bytes();
        let is_odd = dice.chance(4);
        if is_odd {
            // A skeleton that nobody can read.
            bytes.push(0);
        }
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&dice.bits().to_le_bytes());
        if values.is_empty() {
            salt = [0; 16];
        }
        let body = Body::new(0, IntentName::new("edit")?, None, bytes, salt, values);
        let header = Header {
            format: if dice.chance(2) { 2 } else { FORMAT_PLAIN },
            sequence: previous.map_or(1, |entry| entry.header().sequence + 1),
            previous: previous.map(Verified::id),
            document: document.clone(),
            parents: parents.to_vec(),
            time,
            grant: self.grant.filter(|_| previous.is_none() || dice.chance(5)),
            body_hash: body.hash(),
            body_length: body.whole_length(&skeleton) + u64::from(is_odd),
        };
        let salts = Box::new(SeededEntropy::new(dice.bits()));
        let signer = Arc::clone(&self.signer);
        let mut author = Author::new(signer, self.workspace, self.partition.clone(), self.incarnation, salts);
        let entry = author.danger_append(header, body);
        Ok(author.sign(&entry)?)
    }

    fn document(&self, dice: &mut Dice) -> DocumentKey {
        let records: Vec<&Verified> = self
            .known
            .iter()
            .filter(|entry| !matches!(entry.header().document.kind.as_str(), access::KIND_ACCESS | access::KIND_DEVICE))
            .collect();
        match dice.pick(&records) {
            Some(entry) if dice.chance(90) => entry.header().document.clone(),
            _ => DocumentKey {
                kind: Kind::new("note").expect("the name follows the pattern"),
                id: DocumentId::from_parts(dice.bits() >> 16, [9; 10].map(|byte: u8| byte)),
            },
        }
    }

    /// Some of what is known of the document, or nothing, though much is seen.
    fn parents(&self, document: &DocumentKey, dice: &mut Dice) -> Vec<ChangeSetId> {
        let known = self.known.iter().chain(&self.own).filter(|entry| entry.header().document == *document);
        let ids: Vec<ChangeSetId> = known.map(Verified::id).collect();
        let count = if dice.chance(3) { changeset::limits::MAX_PARENTS as u64 } else { dice.below(4) };
        let parents: BTreeSet<ChangeSetId> = (0..count).filter_map(|_| dice.pick(&ids).copied()).collect();
        parents.into_iter().collect()
    }

    fn edit(&self, dice: &mut Dice) -> Edit {
        let path = |name: &str| Path::new(name).expect("the name follows the pattern");
        let at = path(["status", "items/7/.", "items/7/outcome", "picked", "risk"][dice.index(5)]);
        let field = path(["note", "findings"][dice.index(2)]);
        match dice.below(6) {
            0 | 1 => {
                let number = i64::try_from(dice.below(99)).unwrap_or(0);
                Edit::Put { path: at, value: if dice.chance(40) { Value::Counter(number) } else { Value::Int(number) } }
            }
            2 => Edit::Delete { path: at },
            3 => Edit::Increment { path: at, amount: 1 - i64::try_from(dice.below(3)).unwrap_or(0) },
            4 => {
                let origin = |dice: &mut Dice| dice.chance(70).then(|| self.item(dice));
                let (left, mut right) = (origin(dice), origin(dice));
                if let Some(left) = left.as_ref().filter(|_| dice.chance(30)) {
                    // Turned around, as no editor writes it.
                    let clock = left.clock.saturating_sub(u32::try_from(dice.below(3)).unwrap_or(0));
                    right = Some(ItemRef { clock, ..*left });
                }
                Edit::InsertText { path: field, left, right, text: ["evil", "😀", "z"][dice.index(3)].to_owned() }
            }
            _ => {
                let mut ranges: Vec<ItemRange> = (0..dice.range(1, 3))
                    .map(|_| ItemRange { start: self.item(dice), length: u32::try_from(dice.range(1, 4)).unwrap_or(1) })
                    .collect();
                ranges.sort_unstable();
                Edit::DeleteText { path: field, ranges }
            }
        }
    }

    /// A character, which may be anybody's, written already or not.
    fn item(&self, dice: &mut Dice) -> ItemRef {
        let line = match (dice.below(4), dice.pick(&self.known)) {
            (0, _) | (_, None) => Line::Own,
            (1, Some(entry)) => Line::Named(*entry.id().as_bytes()),
            (_, Some(entry)) => Line::Named(*entry.actor().id().as_bytes()),
        };
        ItemRef { line, clock: u32::try_from(dice.below(12)).unwrap_or(0) }
    }
}
