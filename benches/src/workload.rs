//! Histories like those of an inspection: a document of forty fields, change sets of three puts.

use changeset::{
    Author, Bundle, DeviceKey, DocumentId, DocumentKey, Incarnation, IntentName, Kind, LogIncarnation, Path,
    SeededEntropy, Value, Verified, WorkspaceId,
};
use crdt::{Commit, Edits, Partition};
use std::sync::Arc;

/// Small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }
}

/// The workspace of every workload.
pub const fn workspace() -> WorkspaceId {
    WorkspaceId::from_bytes([1; 32])
}

/// The partition of every workload.
pub fn partition_name() -> changeset::Partition {
    changeset::Partition::new("harbour-7").expect("the name is valid")
}

/// A path.
pub fn path(text: &str) -> Path {
    Path::new(text).expect("the path is valid")
}

/// The name of an intent.
pub fn intent() -> IntentName {
    IntentName::new("record_outcome").expect("the name is valid")
}

/// A document.
pub fn document(number: u64) -> DocumentKey {
    DocumentKey {
        kind: Kind::new("inspection").expect("the kind is valid"),
        id: DocumentId::from_parts(1_700_000_000_000 + number, [7; 10]),
    }
}

/// An author on a device of its own.
pub fn author(device: u8) -> Author {
    let signer = Arc::new(DeviceKey::from_secret(&[device + 1; 32]));
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    Author::new(signer, workspace(), partition_name(), Incarnation::from_bytes([device; 8]), entropy)
}

/// An empty partition.
pub fn empty() -> Partition {
    Partition::new(workspace(), partition_name())
}

/// One of the forty fields; each path has 15 bytes.
pub fn field(number: usize) -> Path {
    path(&format!("items/{:02}/result", number % 40))
}

/// Records a change set of three puts with 20 bytes of value each.
pub fn commit_fields(
    partition: &mut Partition,
    author: &mut Author,
    key: &DocumentKey,
    now: u64,
    at: usize,
) -> Verified {
    let mut tx = partition.transact(author, key, now);
    for number in 0..3 {
        let value = Value::String(format!("value {:014}", at + number));
        tx.put(&field(at + 7 * number), value).expect("the value is allowed");
    }
    tx.commit(Commit::new(intent())).expect("the change set is allowed").0
}

/// Types into a text at a position and records that.
pub fn type_text(
    partition: &mut Partition,
    author: &mut Author,
    key: &DocumentKey,
    now: u64,
    position: usize,
    text: &str,
) -> Verified {
    let mut tx = partition.transact(author, key, now);
    tx.insert_text(&path("findings"), position, text).expect("the position is in the text");
    tx.commit(Commit::new(intent())).expect("the change set is allowed").0
}

/// Who had seen what when they wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// So many authors by turns, each seeing all before.
    Linear(u8),
    /// So many authors, none seeing another.
    Apart(u8),
    /// So many authors that see each other's work after each stretch of this many change sets of their own.
    Merging(u8, usize),
}

/// A history of `count` change sets of three puts in one document, signed at the end of each author's chain.
pub fn history(shape: Shape, count: usize) -> Vec<Verified> {
    let (devices, stretch, sees_all) = match shape {
        Shape::Linear(devices) => (devices, 1, true),
        Shape::Apart(devices) => (devices, count / usize::from(devices), false),
        Shape::Merging(devices, stretch) => (devices, stretch, false),
    };
    let mut random = Random::new(7);
    let mut authors: Vec<Author> = (0..devices).map(author).collect();
    let mut partitions: Vec<Partition> = (0..if sees_all { 1 } else { devices }).map(|_| empty()).collect();
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let before = all.len();
        for (device, author) in authors.iter_mut().enumerate() {
            let Some(at) = (if sees_all { Some(0) } else { Some(device) }) else { continue };
            let Some(partition) = partitions.get_mut(at) else { continue };
            for _ in 0..stretch.min(count - all.len()) {
                let now = 1_700_000_000_000 + 1000 * all.len() as u64;
                all.push(commit_fields(partition, author, &document(0), now, random.below(40)));
            }
        }
        if !sees_all {
            let new = all.get(before..).unwrap_or_default();
            partitions.iter_mut().for_each(|partition| drop(partition.apply(new.iter().cloned())));
        }
    }
    sign_last(&authors, &mut all);
    all
}

/// Signs the last change set of each author, and others so that runs stay within their limit.
fn sign_last(authors: &[Author], all: &mut [Verified]) {
    for author in authors {
        let mut since = 0;
        for entry in all.iter_mut().rev().filter(|entry| entry.actor().id() == author.actor().id()) {
            if since == 0 {
                *entry = author.sign(entry).expect("a key in memory signs");
            }
            since = (since + 1) % 500;
        }
    }
}

/// The same change sets as they are right after they were received: nothing of them was looked at yet.
pub fn reread(entries: &[Verified]) -> Vec<Verified> {
    let log = LogIncarnation::from_bytes([3; 8]);
    let bundle = Bundle { workspace: workspace(), partition: partition_name(), log, entries: entries.to_vec() };
    let bytes = bundle.to_bytes().expect("every run is signed");
    Bundle::from_bytes(&bytes, |_| ()).expect("it was written a moment ago").entries
}
