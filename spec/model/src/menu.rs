//! Menus: the records from which an adversary and a schedule choose.

use crate::record::{ALWAYS, EVERYWHERE, Id, Key, Keys, Of, Period, Record, Scope, Set, What};

/// Records that may be written; which of them are, and in which order they arrive, is the checker's choice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Menu {
    /// What it is called.
    pub name: &'static str,
    /// The records. The genesis is the first.
    pub records: Vec<Record>,
}

impl Menu {
    /// With a genesis that nobody in particular carries.
    pub fn new(name: &'static str, roots: &[Key], threshold: u32) -> Self {
        let mut menu = Self { name, records: Vec::new() };
        menu.add(Key::D, What::Genesis { roots: Keys::of(roots), threshold }).named("genesis");
        menu
    }

    /// The record.
    ///
    /// # Panics
    /// If it is of another menu.
    pub fn at(&self, id: Id) -> &Record {
        &self.records[usize::from(id.0)]
    }

    /// All of them.
    pub fn all(&self) -> Set {
        Set::first(self.records.len())
    }

    /// All that are in the set, with their ids.
    pub fn each(&self, set: Set) -> impl Iterator<Item = (Id, &Record)> {
        set.iter().map(|id| (id, self.at(id)))
    }

    /// A record in a new chain. It can be refined by what is answered.
    pub fn add(&mut self, author: Key, what: What) -> Adding<'_> {
        let number = u8::try_from(self.records.len()).unwrap_or(u8::MAX);
        let name = match &what {
            What::Genesis { .. } => "genesis".into(),
            What::Rotation { .. } => format!("{author:?} rotates"),
            What::Delegation { to, .. } => format!("{author:?} delegates to {to:?}"),
            What::Grant { to, .. } => format!("{author:?} grants {to:?}"),
            What::Revocation { of: Of::Device(of), .. } => format!("{author:?} revokes {of:?}"),
            What::Revocation { of: Of::Position(of), .. } => format!("{author:?} withdraws: {}", self.at(*of)),
            What::Honour { .. } => format!("{author:?} honours"),
            What::Work { .. } => format!("work of {author:?}"),
        };
        self.records.push(Record {
            name,
            author,
            incarnation: number,
            previous: None,
            time: 10,
            endorsed: Keys::default(),
            under: None,
            hash: 100 + number,
            what,
        });
        Adding { record: Id(number), menu: self }
    }

    /// A delegation that may delegate, everywhere and always.
    pub fn delegate(&mut self, author: Key, to: Key) -> Adding<'_> {
        self.delegate_in(author, to, EVERYWHERE, true, ALWAYS)
    }

    /// A delegation.
    pub fn delegate_in(&mut self, by: Key, to: Key, scope: Scope, may_delegate: bool, period: Period) -> Adding<'_> {
        self.add(by, What::Delegation { to, scope, may_delegate, period })
    }

    /// A grant without an end.
    pub fn grant(&mut self, author: Key, to: Key, scope: Scope) -> Adding<'_> {
        self.add(author, What::Grant { to, scope, period: ALWAYS })
    }

    /// A revocation of a device, but for what leads to these tips.
    pub fn revoke(&mut self, author: Key, of: Key, tips: &[Id]) -> Adding<'_> {
        self.add(author, What::Revocation { of: Of::Device(of), tips: tips.iter().copied().collect() })
    }

    /// A revocation of a delegation or grant.
    pub fn withdraw(&mut self, author: Key, of: Id, tips: &[Id]) -> Adding<'_> {
        self.add(author, What::Revocation { of: Of::Position(of), tips: tips.iter().copied().collect() })
    }

    /// More tips for a revocation or rotation.
    pub fn honour(&mut self, author: Key, of: Id, tips: &[Id]) -> Adding<'_> {
        self.add(author, What::Honour { of, tips: tips.iter().copied().collect() })
    }

    /// Something that is no record.
    pub fn work(&mut self, author: Key, scope: Scope) -> Adding<'_> {
        self.add(author, What::Work { scope })
    }

    /// Other roots.
    pub fn rotate(&mut self, author: Key, of: Id, roots: &[Key], threshold: u32, tips: &[Id]) -> Adding<'_> {
        let tips = tips.iter().copied().collect();
        self.add(author, What::Rotation { of, roots: Keys::of(roots), threshold, tips })
    }
}

/// A record being written.
#[derive(Debug)]
#[must_use]
pub struct Adding<'a> {
    menu: &'a mut Menu,
    record: Id,
}

impl Adding<'_> {
    fn change(self, change: impl FnOnce(&mut Record)) -> Self {
        change(&mut self.menu.records[usize::from(self.record.0)]);
        self
    }

    /// Naming the delegation or grant that it is written under.
    pub fn under(self, position: Id) -> Self {
        self.change(|record| record.under = Some(position))
    }

    /// In the chain of another record, right after it.
    pub fn after(self, previous: Id) -> Self {
        let incarnation = self.menu.at(previous).incarnation;
        self.change(|record| (record.previous, record.incarnation) = (Some(previous), incarnation))
    }

    /// Endorsed by these roots.
    pub fn endorsed(self, roots: &[Key]) -> Self {
        self.change(|record| record.endorsed = Keys::of(roots))
    }

    /// With this time in its header.
    pub fn time(self, time: u8) -> Self {
        self.change(|record| record.time = time)
    }

    /// With this hash, as if someone had tried until it came.
    pub fn hash(self, hash: u8) -> Self {
        self.change(|record| record.hash = hash)
    }

    /// The id, and a name for traces.
    pub fn named(self, name: &str) -> Id {
        self.change(|record| record.name = name.into()).id()
    }

    /// The id.
    pub fn id(self) -> Id {
        self.record
    }
}
