//! Histories of honest, restored and hostile devices, from the fuzzer's choices.
//!
//! A [`Plan`] is a list of small actions. What an honest device does goes through a transaction; what a hostile one does
//! is a change set whose signature is right and whose content is whatever the fuzzer likes: references to characters
//! that nobody wrote, parents of other documents, bodies that do not fit, headers that lie.

use crate::{DEVICES, author, partition, workspace};
use arbitrary::Arbitrary;
use changeset::{
    Attachment, Author, Body, Decimal, DocumentId, DocumentKey, Draft, Edit, FORMAT_PLAIN, Header, IntentName,
    ItemRange, ItemRef, Kind, Line, Path, Reference, Script, Value, Verified,
};
use crdt::yjs::{YContent, YId, YItem, YRange, YUpdate};
use crdt::{Commit, Digest, Document, Edits, Judgement, Partition, State, Transaction};
use std::collections::BTreeSet;

/// The most actions that are carried out, so that one case takes milliseconds.
const MAX_ACTIONS: usize = 40;
/// The most edits of one change set that are carried out.
const MAX_EDITS: usize = 4;

const PATHS: [&str; 6] = ["status", "items/7/.", "items/7/outcome", "items/8/.", "picked", "risk"];
const FIELDS: [&str; 2] = ["findings", "items/7/note"];
const STRINGS: [&str; 6] = ["a", "bc", "😀", "x😀y", "ÅΩ", "hello "];

/// What is done, and how the result is checked.
#[derive(Arbitrary, Clone, Debug)]
pub struct Plan {
    /// What devices do.
    pub actions: Vec<Action>,
    /// The order of the shuffled replica, and the sizes of its batches.
    pub order: u64,
    /// Where the history is cut for snapshots, pages and flipping masks.
    pub cut: u8,
}

/// One step. Numbers are taken modulo what there is.
#[derive(Arbitrary, Clone, Debug)]
pub enum Action {
    /// An honest transaction, which may be dropped.
    Edit { by: u8, document: bool, later: u8, is_dropped: bool, edits: Vec<Honest> },
    /// An attached editor's update, which may be anything.
    Editor { by: u8, document: bool, items: Vec<EditorItem>, deletes: Vec<(u8, u32, u32)> },
    /// A device takes the first so many change sets of another.
    Sync { from: u8, to: u8, part: u8 },
    /// A device is restored from an older copy and writes on under the same numbers.
    Restore { by: u8, kept: u8 },
    /// A signed change set that says what no honest device would.
    Hostile { by: u8, draft: HostileDraft },
    /// A signed change set whose body or header breaks the format or lies.
    Malformed { by: u8, draft: HostileDraft, how: Malformed },
    /// The content of a change set does not count.
    Mask { entry: u8 },
    /// A value is purged.
    Purge { entry: u8, value: u8 },
}

/// An edit of an honest transaction.
#[derive(Arbitrary, Clone, Debug)]
pub enum Honest {
    Put { path: u8, value: AnyValue },
    Delete { path: u8 },
    Increment { path: u8, amount: i32 },
    Insert { field: u8, at: u8, text: u8 },
    Remove { field: u8, at: u8, length: u8 },
    Replace { field: u8, texts: [u8; 2] },
}

/// An item of an editor's update.
#[derive(Arbitrary, Clone, Debug)]
pub struct EditorItem {
    left: Option<(u8, u8)>,
    right: Option<(u8, u8)>,
    field: u8,
    gone: Option<u32>,
    text: u8,
}

/// What a hostile change set says.
#[derive(Arbitrary, Clone, Debug)]
pub struct HostileDraft {
    document: bool,
    parents: Vec<u8>,
    time: u16,
    is_kept: bool,
    reason: bool,
    edits: Vec<Hostile>,
}

/// An edit of a hostile change set.
#[derive(Arbitrary, Clone, Debug)]
pub enum Hostile {
    Put { path: u8, value: AnyValue },
    Delete { path: u8 },
    Increment { path: u8, amount: i32 },
    Insert { field: u8, left: Option<Item>, right: Option<Item>, text: u8 },
    Remove { field: u8, ranges: Vec<(Item, u8)> },
}

/// A character that a hostile change set names.
#[derive(Arbitrary, Clone, Debug)]
pub struct Item {
    line: AnyLine,
    clock: u8,
}

/// The line of such a character.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyLine {
    Own,
    Nobody,
    Entry(u8),
    Actor(u8),
}

/// How a change set breaks the format, or lies about its place.
#[derive(Arbitrary, Clone, Debug)]
pub enum Malformed {
    NewerFormat,
    TrailingSkeleton,
    BodyLength(u16),
    LongValues,
    OneValueMore,
    Skeleton(Vec<u8>),
    Value { index: u8, bytes: Vec<u8> },
    Sequence(u32),
    Previous(u8),
    EarlierTime,
}

/// A value of any type.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyValue {
    Null,
    Bool(bool),
    Int(i64),
    Decimal { mantissa: i64, scale: u8 },
    Float(f64),
    String(u8),
    Bytes(u8),
    Timestamp(i64),
    Counter(i32),
    Reference(bool),
    Attachment(u64),
}

/// What a plan made.
#[derive(Debug, Default)]
pub struct History {
    /// Every change set in the order of creation.
    pub entries: Vec<Verified>,
    /// What was decided about them.
    pub judgement: Judgement,
    /// Whether all of them came out of transactions.
    pub is_honest: bool,
    /// The devices' own stores, as they were left.
    pub stores: Vec<Partition>,
}

/// A device: its store and its author.
struct Replica {
    partition: Partition,
    author: Author,
    now: u64,
}

impl Replica {
    /// Whether the store holds the end of its own chain. A device that hides its own change sets from itself edits no
    /// more: a transaction is promised the end of the chain.
    fn is_whole(&self) -> bool {
        self.author.tip().is_none_or(|tip| self.partition.log().contains(&tip))
    }
}

/// A partition with nothing in it.
pub fn empty() -> Partition {
    Partition::new(workspace(), partition())
}

fn key(document: bool) -> DocumentKey {
    let number = u8::from(document);
    let kind = Kind::new("inspection").expect("a kind");
    DocumentKey { kind, id: DocumentId::from_parts(u64::from(number), [number; 10]) }
}

fn intent() -> IntentName {
    IntentName::new("edit").expect("a name")
}

fn pick<T>(from: &[T], number: u8) -> Option<&T> {
    from.get(usize::from(number).checked_rem(from.len())?)
}

fn path(number: u8) -> Path {
    Path::new(pick(&PATHS, number).unwrap_or(&PATHS[0])).expect("a path")
}

fn field(number: u8) -> Path {
    Path::new(pick(&FIELDS, number).unwrap_or(&FIELDS[0])).expect("a path")
}

fn string(number: u8) -> &'static str {
    pick(&STRINGS, number).unwrap_or(&STRINGS[0])
}

impl Plan {
    /// Carries the plan out.
    pub fn run(&self) -> History {
        let mut replicas: Vec<Replica> = (0..DEVICES)
            .map(|device| Replica { partition: empty(), author: author(device), now: 1_000 + u64::from(device) })
            .collect();
        let mut made = History { is_honest: true, ..History::default() };
        for action in self.actions.iter().take(MAX_ACTIONS) {
            action.run(&mut replicas, &mut made);
        }
        made.stores = replicas.into_iter().map(|replica| replica.partition).collect();
        made
    }
}

impl Action {
    fn run(&self, replicas: &mut [Replica], made: &mut History) {
        match self {
            Self::Edit { by, document, later, is_dropped, edits } => {
                let replica = &mut replicas[usize::from(by % DEVICES)];
                replica.now = (replica.now + u64::from(*later)).saturating_sub(40);
                replica.edit(*document, made, |tx| {
                    edits.iter().take(MAX_EDITS).for_each(|edit| edit.apply(tx));
                    !is_dropped
                });
            }
            Self::Editor { by, document, items, deletes } => {
                let replica = &mut replicas[usize::from(by % DEVICES)];
                let clients = replica.clients(*document);
                let update = editor_update(items, deletes, &clients);
                // Refused or not, nothing panics; what was taken is an honest device's word from then on, though its
                // origins may be such as no editor gives.
                made.is_honest = false;
                replica.edit(*document, made, |tx| tx.apply_editor_update(&update).is_ok());
            }
            Self::Sync { from, to, part } => {
                let (from, to) = (usize::from(from % DEVICES), usize::from(to % DEVICES));
                let entries = replicas[from].partition.log().entries();
                let part = if *part >= 128 { entries.len() } else { usize::from(*part).min(entries.len()) };
                let entries = entries[..part].to_vec();
                replicas[to].partition.apply(entries);
            }
            Self::Restore { by, kept } => {
                let device = by % DEVICES;
                let replica = &mut replicas[usize::from(device)];
                let entries = replica.partition.log().entries();
                let kept = entries[..usize::from(*kept).min(entries.len())].to_vec();
                let own = author(device);
                replica.author = match kept.iter().rev().find(|entry| entry.actor().id() == own.actor().id()) {
                    Some(last) => own.after(last),
                    None => own,
                };
                replica.partition = empty();
                replica.partition.apply(kept);
            }
            Self::Hostile { by, draft } => {
                let replica = &mut replicas[usize::from(by % DEVICES)];
                let time = u64::from(draft.time);
                // A script that its own author would refuse cannot be recorded; see `Malformed` for those.
                if let Ok(entry) = replica.author.record(draft.draft(made), time) {
                    replica.sent(entry, draft.is_kept, made);
                }
            }
            Self::Malformed { by, draft, how } => {
                let replica = &mut replicas[usize::from(by % DEVICES)];
                let entry = malformed(replica, draft, how, made);
                replica.sent(entry, draft.is_kept, made);
            }
            Self::Mask { entry } => {
                made.judgement.mask.extend(pick(&made.entries, *entry).map(Verified::id));
            }
            Self::Purge { entry, value } => {
                if let Some(entry) = pick(&made.entries, *entry) {
                    made.judgement.purges.entry(entry.id()).or_default().insert(u32::from(value % 8));
                }
            }
        }
    }
}

impl Replica {
    /// Commits what `edit` says is to be committed; a transaction that is dropped leaves no trace.
    fn edit(&mut self, document: bool, made: &mut History, edit: impl FnOnce(&mut Transaction<'_>) -> bool) {
        if !self.is_whole() {
            return;
        }
        self.now += 10;
        let before = self.partition.log().entries().len();
        let shown = self.shown(document);
        let mut tx = self.partition.transact(&mut self.author, &key(document), self.now);
        if edit(&mut tx) {
            let (_, applied) = tx.commit(Commit::new(intent())).expect("an honest change set is in every limit");
            assert!(applied.refused.is_empty() && applied.faults.is_empty(), "{applied:?}");
        } else {
            drop(tx);
            assert_eq!(self.shown(document), shown);
        }
        made.entries.extend(self.partition.log().entries()[before..].iter().cloned());
    }

    /// A hostile device may or may not keep what it sent.
    fn sent(&mut self, entry: Verified, is_kept: bool, made: &mut History) {
        made.is_honest = false;
        made.entries.push(entry.clone());
        if is_kept {
            self.partition.apply([entry]);
        }
    }

    fn shown(&self, document: bool) -> Option<Digest> {
        self.partition.document(&key(document)).map(Document::digest)
    }

    fn clients(&self, document: bool) -> Vec<u64> {
        let clients = self.partition.document(&key(document)).map(Document::yrs_clients).unwrap_or_default();
        clients.into_iter().map(|(_, client)| client).collect()
    }
}

impl Honest {
    fn apply(&self, tx: &mut Transaction<'_>) {
        let length = |tx: &Transaction<'_>, field: &Path| tx.text(field).unwrap_or_default().chars().count();
        match self {
            Self::Put { path: at, value } => {
                // Refused where every receiver would refuse it.
                let _ = tx.put(&path(*at), value.value());
            }
            Self::Delete { path: at } => tx.delete(&path(*at)).expect("a delete fits"),
            Self::Increment { path: at, amount } => {
                let _ = tx.increment(&path(*at), i64::from(*amount));
            }
            Self::Insert { field: at, at: position, text } => {
                let at = field(*at);
                let position = usize::from(*position) % (length(tx, &at) + 1);
                tx.insert_text(&at, position, string(*text)).expect("the position is in the text");
            }
            Self::Remove { field: at, at: position, length: removed } => {
                let at = field(*at);
                let end = length(tx, &at);
                let position = usize::from(*position) % (end + 1);
                let removed = usize::from(*removed).min(end - position);
                tx.delete_text(&at, position, removed).expect("the range is in the text");
            }
            Self::Replace { field: at, texts } => {
                let text = texts.map(string).concat();
                tx.replace_text(&field(*at), &text).expect("a replacement fits");
                assert_eq!(tx.text(&field(*at)), Some(text));
            }
        }
    }
}

/// An update of client 77, whatever its origins name.
fn editor_update(items: &[EditorItem], deletes: &[(u8, u32, u32)], clients: &[u64]) -> Vec<u8> {
    const CLIENT: u64 = 77;
    let client = |number: u8| match number {
        0..=63 => CLIENT,
        _ => pick(clients, number).copied().unwrap_or(u64::from(number)),
    };
    let mut clock = 0u32;
    let mut update = YUpdate::default();
    for item in items.iter().take(MAX_EDITS) {
        let id = |origin: (u8, u8)| YId { client: client(origin.0), clock: u32::from(origin.1) };
        let (left, right) = (item.left.map(id), item.right.map(id));
        let name = (left.is_none() && right.is_none()).then(|| field(item.field).as_str().into());
        let content = item.gone.map_or_else(|| YContent::Text(string(item.text).to_owned()), YContent::Tombstone);
        let item = YItem { id: YId { client: CLIENT, clock }, left, right, field: name, content };
        clock = clock.saturating_add(item.content.units());
        update.items.push(item);
    }
    for (number, clock, len) in deletes.iter().take(MAX_EDITS) {
        update.deletes.push(YRange { id: YId { client: client(*number), clock: *clock }, len: *len });
    }
    update.encode()
}

impl HostileDraft {
    fn draft(&self, made: &History) -> Draft {
        let parents: BTreeSet<_> =
            self.parents.iter().take(4).filter_map(|number| pick(&made.entries, *number)).map(Verified::id).collect();
        let edits = self.edits.iter().take(MAX_EDITS).map(|edit| edit.edit(made)).collect();
        Draft {
            document: key(self.document),
            parents: parents.into_iter().collect(),
            grant: None,
            schema_version: 0,
            intent: intent(),
            group: None,
            script: Script { reason: self.reason.then(|| "because".to_owned()), edits },
        }
    }
}

impl Hostile {
    fn edit(&self, made: &History) -> Edit {
        match self {
            Self::Put { path: at, value } => Edit::Put { path: path(*at), value: value.value() },
            Self::Delete { path: at } => Edit::Delete { path: path(*at) },
            Self::Increment { path: at, amount } => Edit::Increment { path: path(*at), amount: i64::from(*amount) },
            Self::Insert { field: at, left, right, text } => {
                let [left, right] = [left, right].map(|item| item.as_ref().map(|item| item.reference(made)));
                Edit::InsertText { path: field(*at), left, right, text: string(*text).to_owned() }
            }
            Self::Remove { field: at, ranges } => {
                let range = |(item, length): &(Item, u8)| ItemRange {
                    start: item.reference(made),
                    length: u32::from(*length) + 1,
                };
                let mut ranges: Vec<ItemRange> = ranges.iter().take(MAX_EDITS).map(range).collect();
                ranges.sort_unstable();
                Edit::DeleteText { path: field(*at), ranges }
            }
        }
    }
}

impl Item {
    fn reference(&self, made: &History) -> ItemRef {
        let entry = |number| pick(&made.entries, number);
        let line = match self.line {
            AnyLine::Own => Line::Own,
            AnyLine::Nobody => Line::Named([7; 32]),
            AnyLine::Entry(number) => entry(number).map_or(Line::Own, |entry| Line::Named(*entry.id().as_bytes())),
            AnyLine::Actor(number) => {
                entry(number).map_or(Line::Own, |entry| Line::Named(*entry.actor().id().as_bytes()))
            }
        };
        ItemRef { line, clock: u32::from(self.clock) }
    }
}

fn malformed(replica: &mut Replica, draft: &HostileDraft, how: &Malformed, made: &History) -> Verified {
    let Draft { document, parents, intent, script, .. } = draft.draft(made);
    let (skeleton, mut values) = script.split();
    let mut skeleton_bytes = skeleton.to_bytes();
    match how {
        Malformed::TrailingSkeleton => skeleton_bytes.push(0),
        Malformed::Skeleton(bytes) => skeleton_bytes.clone_from(bytes),
        Malformed::LongValues => values.iter_mut().for_each(|value| value.push(0xff)),
        Malformed::OneValueMore => values.push(vec![1]),
        Malformed::Value { index, bytes } => {
            let count = values.len().max(1);
            if let Some(value) = values.get_mut(usize::from(*index) % count) {
                // Of the length that the skeleton says, so that only the content is wrong.
                let length = value.len();
                value.clone_from(bytes);
                value.resize(length, 0xff);
            }
        }
        Malformed::NewerFormat
        | Malformed::BodyLength(_)
        | Malformed::Sequence(_)
        | Malformed::Previous(_)
        | Malformed::EarlierTime => {}
    }
    let body = Body::new(0, intent, None, skeleton_bytes, [9; 16], values);
    let all = &made.entries;
    let tip = replica.author.tip();
    let before = tip.and_then(|tip| all.iter().find(|entry| entry.id() == tip).cloned());
    let mut header = Header {
        format: if matches!(how, Malformed::NewerFormat) { 2 } else { FORMAT_PLAIN },
        sequence: before.as_ref().map_or(1, |before| before.header().sequence + 1),
        previous: tip,
        document,
        parents,
        time: u64::from(draft.time).max(before.as_ref().map_or(0, |before| before.header().time)),
        grant: None,
        body_hash: body.hash(),
        body_length: body.whole_length(&skeleton),
    };
    match how {
        Malformed::BodyLength(by) => header.body_length += u64::from(*by),
        Malformed::EarlierTime => header.time = header.time.saturating_sub(1 + u64::from(draft.time)),
        Malformed::Sequence(sequence) if header.previous.is_some() => {
            header.sequence = u64::from(*sequence).max(2);
        }
        Malformed::Previous(number) => {
            if let Some(other) = pick(all, *number) {
                header.previous = Some(other.id());
                header.sequence = other.header().sequence + 1;
            }
        }
        _ => {}
    }
    // What a reader refuses never becomes a change set, so a hostile device cannot send it either.
    if header.check().is_err() {
        header.sequence = 1;
        header.previous = None;
    }
    replica.author.danger_append(header, body)
}

impl AnyValue {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Decimal { mantissa, scale } => Value::Decimal(Decimal { mantissa: *mantissa, scale: scale % 20 }),
            Self::Float(value) => Value::Float(*value),
            Self::String(number) => Value::String(string(*number).to_owned()),
            Self::Bytes(length) => Value::Bytes(vec![0xfe; usize::from(*length)]),
            Self::Timestamp(ms) => Value::Timestamp(*ms),
            Self::Counter(start) => Value::Counter(i64::from(*start)),
            Self::Reference(document) => {
                Value::Reference(Reference { partition: partition(), document: key(*document) })
            }
            Self::Attachment(length) => {
                Value::Attachment(Attachment { hash: [4; 32], length: *length, media_type: "image/png".to_owned() })
            }
        }
    }
}
