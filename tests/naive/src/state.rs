//! Everything that follows from a set, a mask and purges.

use crate::Id;
use crate::cbor::{Item, cbor, integer};
use crate::conflict::{Conflict, conflicts};
use crate::document::{Member, Put, Rebuilt, rebuild};
use crate::fold::{Fork, fold};
use crate::hash::derive;
use crate::partition::Partition;
use crate::value::COUNTER;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// For some change sets the numbers of the values that a purge names.
pub type Purges = BTreeMap<Id, BTreeSet<usize>>;

/// A partition rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of the partition: equal digests are equal states.
    pub digest: Id,
    /// By kind and id.
    pub documents: BTreeMap<(String, [u8; 16]), Document>,
    /// How many forks there are.
    pub forks: usize,
    /// The forks, by actor and previous.
    pub siblings: Vec<Fork>,
}

/// How a change set stands in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It says what it says.
    Counted = 0,
    /// Its id is in the mask.
    Masked = 1,
    /// Its skeleton cannot be read, or tells another body than there is.
    Invalid = 2,
    /// Its format is not known, or that of a change set in its past.
    NewerFormat = 3,
    /// A value is not here and was not purged.
    ValueMissing = 4,
}

/// One document rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Of the document.
    pub digest: Id,
    /// Of every change set.
    pub standings: BTreeMap<Id, Standing>,
    /// The branch name of every change set.
    pub names: BTreeMap<Id, Id>,
    /// The visible values by path, none of them empty; each by (op number, name).
    pub fields: BTreeMap<String, Vec<Value>>,
    /// The texts that are not empty, by path.
    pub texts: BTreeMap<String, String>,
    /// The ops of each change set that did nothing, where there are any.
    pub inert: BTreeMap<Id, Vec<usize>>,
    /// What each change set that emits makes of itself in Automerge: sequence and start op.
    pub emitted: BTreeMap<Id, (u64, u64)>,
    /// By path and rule.
    pub conflicts: Vec<Conflict>,
}

/// A value by its type's code and its bytes.
pub type Said = (u64, Vec<u8>);

/// A visible value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The change set that put it.
    pub change_set: Id,
    /// The branch name of that.
    pub name: Id,
    /// The header's time of that.
    pub time: u64,
    /// The number of the op.
    pub op: u64,
    /// The type's code.
    pub code: u64,
    /// The bytes; of a counter its amount.
    pub bytes: Vec<u8>,
}

impl Document {
    /// The one value that is shown at a path, by type and bytes: the last writer's; counters are added.
    pub fn shown(&self, path: &str) -> Option<Said> {
        shown(self.fields.get(path)?)
    }
}

pub(crate) fn shown(values: &[Value]) -> Option<Said> {
    let last = values.iter().max_by_key(|value| (value.time, value.change_set))?;
    if last.code != COUNTER {
        return Some((last.code, last.bytes.clone()));
    }
    let counters = values.iter().filter(|value| value.code == COUNTER);
    Some((COUNTER, integer(counters.map(|value| crate::value::number(&value.bytes)).sum())))
}

/// Rebuilds a partition with these change sets masked.
pub fn state(partition: &Partition, masked: &BTreeSet<Id>) -> State {
    state_with(partition, masked, &Purges::new())
}

/// The same with purges. No bundle carries any so far: they will follow from records.
pub fn state_with(partition: &Partition, masked: &BTreeSet<Id>, purges: &Purges) -> State {
    let folded = fold(partition, masked);
    let mut documents = BTreeMap::new();
    for (key, order) in &folded.documents {
        let places: HashMap<usize, usize> = order.iter().enumerate().map(|(place, at)| (*at, place)).collect();
        let member = |at: &usize| {
            let entry = &partition.entries[*at];
            let implied = folded.implied[*at].map(|at| places[&at]);
            let listed = entry.parents.iter().filter_map(|id| partition.place(id)).map(|at| places[&at]);
            let parents: BTreeSet<usize> = listed.chain(implied).collect();
            let mut member = Member::new(entry, folded.names[*at], implied, parents.into_iter().collect());
            member.is_masked = masked.contains(&entry.id);
            member.purged = purges.get(&entry.id).cloned().unwrap_or_default();
            member
        };
        let rebuilt = rebuild(&key.0, &key.1, order.iter().map(member).collect());
        documents.insert(key.clone(), Document::of(key, &rebuilt, purges));
    }
    let digests = documents
        .iter()
        .map(|((kind, id), document)| Item::from(vec![kind.as_str().into(), id.into(), (&document.digest).into()]));
    let digests: Vec<Item<'_>> = digests.collect();
    let workspace = partition.workspace();
    let digest = digest_of([(&workspace).into(), partition.name().into(), digests.into()]);
    State { digest, forks: folded.forks.len(), siblings: folded.forks, documents }
}

fn digest_of<const N: usize>(items: [Item<'_>; N]) -> Id {
    derive("fieldbook v1 digest", &cbor(items))
}

impl Document {
    fn of(key: &(String, [u8; 16]), rebuilt: &Rebuilt<'_>, purges: &Purges) -> Self {
        let members = &rebuilt.members;
        let mut fields = BTreeMap::new();
        for (path, puts) in &rebuilt.puts {
            let visible = rebuilt.visible(path, |_| true);
            let values: Vec<Value> = visible.iter().map(|put| value_of(rebuilt, &puts[*put])).collect();
            if !values.is_empty() {
                fields.insert((*path).to_owned(), values);
            }
        }
        let inert = members.iter().filter(|member| !member.inert.is_empty());
        let emitting = members.iter().filter(|member| member.emitted > 0);
        let sequence = |member: &Member<'_>| {
            let before = members.iter().enumerate();
            let before = before.filter(|(place, other)| other.emitted > 0 && member.past.has(*place));
            1 + before.filter(|(_, other)| other.name == member.name).count() as u64
        };
        let start = |member: &Member<'_>| 1 + member.top - member.emitted;
        let mut document = Self {
            digest: [0; 32],
            standings: members.iter().map(|member| (member.entry.id, member.standing)).collect(),
            names: members.iter().map(|member| (member.entry.id, member.name)).collect(),
            conflicts: conflicts(rebuilt, &fields),
            fields,
            texts: rebuilt.texts.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect(),
            inert: inert.map(|member| (member.entry.id, member.inert.clone())).collect(),
            emitted: emitting.map(|member| (member.entry.id, (sequence(member), start(member)))).collect(),
        };
        document.digest = document.digest(key, purges);
        document
    }

    fn digest(&self, (kind, id): &(String, [u8; 16]), purges: &Purges) -> Id {
        let standings = self.standings.iter().map(|(id, standing)| vec![id.into(), (*standing as u64).into()].into());
        let purged = purges.iter().filter(|(id, _)| self.standings.contains_key(*id));
        let numbers = |values: &BTreeSet<usize>| values.iter().map(|n| (*n as u64).into()).collect::<Vec<Item<'_>>>();
        let purged = purged.map(|(id, values)| vec![id.into(), numbers(values).into()].into());
        let visible = self.fields.iter().map(|(path, values)| {
            let values: Vec<Item<'_>> = values.iter().map(Value::item).collect();
            vec![path.as_str().into(), values.into()].into()
        });
        let texts = self.texts.iter().map(|(path, text)| vec![path.as_str().into(), text.as_str().into()].into());
        let rows: [Vec<Item<'_>>; 4] = [standings.collect(), purged.collect(), visible.collect(), texts.collect()];
        let [standings, purged, visible, texts] = rows.map(Item::from);
        digest_of([kind.as_str().into(), id.into(), standings, purged, visible, texts])
    }
}

fn value_of(rebuilt: &Rebuilt<'_>, put: &Put) -> Value {
    let member = &rebuilt.members[put.member];
    Value {
        change_set: member.entry.id,
        name: member.name,
        time: member.entry.time,
        op: put.op,
        code: put.code,
        bytes: if put.code == COUNTER { integer(put.sum) } else { put.value.clone() },
    }
}

impl Value {
    fn item(&self) -> Item<'_> {
        let place = [Item::from(&self.name), self.op.into(), (&self.change_set).into()];
        Item::Array([&place[..], &[self.code.into(), self.bytes.as_slice().into()]].concat())
    }
}
