//! The chains of a partition: who wrote what after what, where chains fork, and the name of every branch.
//!
//! Names decide Automerge actor ids and Yrs client ids, and a fork in one document renames entries of others, so they
//! are kept for the whole partition (rules 6 to 8 in `spec/documents.md`).

use changeset::{ActorId, BranchName, ChangeSetId, DocumentKey, Verified, hash::branch_name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A place in [`Chains`]: entries are numbered as they come.
type Link = usize;

#[derive(Debug)]
struct Entry {
    id: ChangeSetId,
    actor: ActorId,
    previous: Option<Link>,
    next: Vec<Link>,
    document: DocumentKey,
    /// The last entry before this one on its line in the same document.
    before: Option<Link>,
    name: BranchName,
}

/// Two or more change sets of one actor with the same `previous`: a restored or copied store, or malice. All of them
/// are kept as concurrent work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Whose chain.
    pub actor: ActorId,
    /// The last change set before the fork, or none if the chain forks at its start.
    pub previous: Option<ChangeSetId>,
    /// The siblings in ascending order of id.
    pub siblings: Vec<ChangeSetId>,
}

#[derive(Debug, Default)]
pub(crate) struct Chains {
    entries: Vec<Entry>,
    by_id: HashMap<ChangeSetId, Link>,
    roots: BTreeMap<ActorId, Vec<Link>>,
    forked: BTreeSet<ActorId>,
    /// The last entry of an unforked chain in a document.
    last_in: HashMap<(ActorId, DocumentKey), Link>,
}

impl Chains {
    pub(crate) fn contains(&self, id: &ChangeSetId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Takes an entry whose `previous` is held. Gives the documents in which names of entries held before changed.
    pub(crate) fn push(
        &mut self,
        entry: &Verified,
        is_masked: &impl Fn(&ChangeSetId) -> bool,
    ) -> BTreeSet<DocumentKey> {
        let header = entry.header();
        let actor = entry.actor().id();
        let link = self.entries.len();
        let previous = header.previous.and_then(|id| self.by_id.get(&id)).copied();
        let before = self.last_on_line(previous, &header.document);
        self.entries.push(Entry {
            id: entry.id(),
            actor,
            previous,
            next: Vec::new(),
            document: header.document.clone(),
            before,
            name: previous
                .and_then(|at| self.entries.get(at))
                .map_or_else(|| BranchName::from_bytes(*actor.as_bytes()), |previous| previous.name),
        });
        self.by_id.insert(entry.id(), link);
        let siblings = match previous.and_then(|at| self.entries.get_mut(at)) {
            Some(previous) => &mut previous.next,
            None => self.roots.entry(actor).or_default(),
        };
        siblings.push(link);
        let siblings = siblings.clone();
        if siblings.len() > 1 {
            self.forked.insert(actor);
        } else if !self.forked.contains(&actor) {
            self.last_in.insert((actor, header.document.clone()), link);
        }
        self.rename(previous, &siblings, Some(link), is_masked)
    }

    /// Names siblings and all that follows them. Gives the documents in which a name changed, that of the `new` entry
    /// aside: nothing was built with it yet.
    fn rename(
        &mut self,
        previous: Option<Link>,
        siblings: &[Link],
        new: Option<Link>,
        is_masked: &impl Fn(&ChangeSetId) -> bool,
    ) -> BTreeSet<DocumentKey> {
        let mut touched = BTreeSet::new();
        let mut todo = vec![(previous, siblings.to_vec())];
        while let Some((previous, siblings)) = todo.pop() {
            let rank = |link: &Link| self.entries.get(*link).map(|entry| (is_masked(&entry.id), entry.id));
            let mut keeper = siblings.iter().copied().min_by_key(rank);
            if changeset::planted("the fork that came first keeps the name") {
                keeper = siblings.first().copied();
            }
            let inherited = previous.and_then(|at| self.entries.get(at)).map(|entry| entry.name);
            for link in siblings {
                let Some(entry) = self.entries.get_mut(link) else { continue };
                let inherited = inherited.unwrap_or_else(|| BranchName::from_bytes(*entry.actor.as_bytes()));
                let name = if Some(link) == keeper { inherited } else { branch_name(&inherited, &entry.id) };
                if entry.name != name {
                    entry.name = name;
                    if Some(link) != new {
                        touched.insert(entry.document.clone());
                    }
                    if !entry.next.is_empty() {
                        todo.push((Some(link), entry.next.clone()));
                    }
                }
            }
        }
        touched
    }

    /// Names forks again after `moved` entered or left the mask. Gives the documents in which a name changed. Costs
    /// nothing where no fork is. Siblings may come in any order: a name that changes is passed on to all that follows.
    pub(crate) fn rename_forks(
        &mut self,
        moved: &BTreeSet<ChangeSetId>,
        is_masked: &impl Fn(&ChangeSetId) -> bool,
    ) -> BTreeSet<DocumentKey> {
        let mut touched = BTreeSet::new();
        if self.forked.is_empty() {
            return touched;
        }
        let places: BTreeSet<(ActorId, Option<Link>)> = moved
            .iter()
            .filter_map(|id| self.by_id.get(id).and_then(|at| self.entries.get(*at)))
            .filter(|entry| self.forked.contains(&entry.actor))
            .map(|entry| (entry.actor, entry.previous))
            .collect();
        for (actor, previous) in places {
            let siblings = match previous {
                Some(previous) => self.entries.get(previous).map(|entry| &entry.next),
                None => self.roots.get(&actor),
            };
            let Some(siblings) = siblings.filter(|siblings| siblings.len() > 1).cloned() else { continue };
            touched.append(&mut self.rename(previous, &siblings, None, is_masked));
        }
        touched
    }

    /// Every set of two or more siblings, those before a fork before those after it.
    fn siblings(&self) -> Vec<(Option<Link>, Vec<Link>)> {
        let at_start = self.roots.values().filter(|roots| roots.len() > 1).map(|roots| (None, roots.clone()));
        let later = self.entries.iter().enumerate().filter(|(_, entry)| entry.next.len() > 1);
        at_start.chain(later.map(|(link, entry)| (Some(link), entry.next.clone()))).collect()
    }

    /// The name of the branch that an entry stands on.
    pub(crate) fn name(&self, id: &ChangeSetId) -> Option<BranchName> {
        self.by_id.get(id).and_then(|at| self.entries.get(*at)).map(|entry| entry.name)
    }

    /// The name that a held entry stands under.
    pub(crate) fn name_of(&self, entry: &Verified) -> BranchName {
        self.name(&entry.id()).unwrap_or_else(|| BranchName::from_bytes(*entry.actor().id().as_bytes()))
    }

    /// The implied parent of a held entry: the last one before it on its line in the same document.
    pub(crate) fn implied_parent(&self, entry: &Verified) -> Option<ChangeSetId> {
        let before = self.entries.get(*self.by_id.get(&entry.id())?)?.before?;
        self.entries.get(before).map(|before| before.id)
    }

    /// Whether an entry after `tip` (or a first one of the actor) would be the only one there, and so keep its name.
    pub(crate) fn is_free_after(&self, actor: &ActorId, tip: Option<ChangeSetId>) -> bool {
        match tip.and_then(|tip| self.by_id.get(&tip)).and_then(|at| self.entries.get(*at)) {
            Some(tip) => tip.next.is_empty(),
            None => self.roots.get(actor).is_none_or(Vec::is_empty),
        }
    }

    /// The last entry in a document on the line that ends with `tip`.
    pub(crate) fn last_before(&self, tip: &ChangeSetId, document: &DocumentKey) -> Option<ChangeSetId> {
        let tip = *self.by_id.get(tip)?;
        self.last_on_line(Some(tip), document).and_then(|at| self.entries.get(at)).map(|entry| entry.id)
    }

    fn last_on_line(&self, end: Option<Link>, document: &DocumentKey) -> Option<Link> {
        let last = self.entries.get(end?)?;
        // The index holds for what follows the tip of an unforked chain; anything else is walked to.
        if last.next.is_empty() && !self.forked.contains(&last.actor) {
            return self.last_in.get(&(last.actor, document.clone())).copied();
        }
        let mut at = end;
        while let Some(entry) = at.and_then(|at| self.entries.get(at)) {
            if entry.document == *document {
                return at;
            }
            at = entry.previous;
        }
        None
    }

    pub(crate) fn forks(&self) -> Vec<Fork> {
        let mut forks: Vec<Fork> = self
            .siblings()
            .into_iter()
            .filter_map(|(previous, siblings)| {
                let mut ids: Vec<ChangeSetId> =
                    siblings.iter().filter_map(|link| self.entries.get(*link)).map(|entry| entry.id).collect();
                ids.sort_unstable();
                let actor = self.entries.get(*siblings.first()?)?.actor;
                let previous = previous.and_then(|at| self.entries.get(at)).map(|entry| entry.id);
                Some(Fork { actor, previous, siblings: ids })
            })
            .collect();
        forks.sort_by_key(|fork| fork.siblings.first().copied());
        forks
    }
}
