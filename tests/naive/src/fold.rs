//! What follows over all documents of a partition: names at forks, implied parents, generations (rules 7 and 8).

use crate::Id;
use crate::hash::branch_name;
use crate::partition::Partition;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Two or more change sets of one actor with the same previous, or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fork {
    /// The actor.
    pub actor: Id,
    /// What the siblings follow; none at sequence 1.
    pub previous: Option<Id>,
    /// The siblings, ascending.
    pub siblings: Vec<Id>,
}

/// By place in the set.
pub(crate) struct Fold {
    pub(crate) names: Vec<Id>,
    pub(crate) implied: Vec<Option<usize>>,
    /// By kind and document: the places in canonical order.
    pub(crate) documents: BTreeMap<(String, [u8; 16]), Vec<usize>>,
    pub(crate) forks: Vec<Fork>,
}

pub(crate) fn fold(partition: &Partition, mask: &BTreeSet<Id>) -> Fold {
    let entries = &partition.entries;
    let mut siblings: HashMap<(Id, Option<Id>), Vec<Id>> = HashMap::new();
    for entry in entries {
        siblings.entry((entry.actor, entry.previous)).or_default().push(entry.id);
    }
    let implied = implied_parents(partition);
    let (mut names, mut generations): (Vec<Id>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut documents: BTreeMap<(String, [u8; 16]), Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let inherited = entry.previous.and_then(|id| partition.place(&id)).map_or(entry.actor, |before| names[before]);
        let family = &siblings[&(entry.actor, entry.previous)];
        let keeper = family.iter().min_by_key(|id| (mask.contains(*id), **id));
        let keeps = family.len() == 1 || keeper == Some(&entry.id);
        names.push(if keeps { inherited } else { branch_name(&inherited, &entry.id) });
        let parents = entry.parents.iter().filter_map(|id| partition.place(id)).chain(implied[place]);
        generations.push(1 + parents.map(|parent| generations[parent]).max().unwrap_or(0));
        documents.entry((entry.kind.clone(), entry.document)).or_default().push(place);
    }
    for members in documents.values_mut() {
        members.sort_by_key(|place| (generations[*place], entries[*place].id));
    }
    let forks = siblings.into_iter().filter(|(_, siblings)| siblings.len() > 1);
    let mut forks: Vec<Fork> = forks
        .map(|((actor, previous), mut siblings)| {
            siblings.sort_unstable();
            Fork { actor, previous, siblings }
        })
        .collect();
    forks.sort_unstable();
    Fold { names, implied, documents, forks }
}

/// The nearest change set on each one's line, after itself, that is of the same document.
pub(crate) fn implied_parents(partition: &Partition) -> Vec<Option<usize>> {
    let entries = &partition.entries;
    let before: Vec<Option<usize>> =
        entries.iter().map(|entry| entry.previous.and_then(|id| partition.place(&id))).collect();
    let mut numbers: HashMap<(&str, [u8; 16]), usize> = HashMap::new();
    let mut documents = Vec::new();
    for entry in entries {
        let next = numbers.len();
        documents.push(*numbers.entry((&entry.kind, entry.document)).or_insert(next));
    }
    let nearest = |place: usize| {
        let mut step = before[place];
        while let Some(at) = step.filter(|at| documents[*at] != documents[place]) {
            step = before[at];
        }
        step
    };
    (0..entries.len()).map(nearest).collect()
}
