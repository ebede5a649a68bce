//! A replica that takes records as they arrive and judges again only what each arrival touches.

use crate::menu::Menu;
use crate::record::{Id, Key, Of, Set, What};
use crate::rules::{Judged, Memory, Rules};
use crate::view::View;

/// How often records are judged again for one arrival before a replica is said to find no rest.
const ROUNDS: usize = 500;

/// What one replica holds, and its verdicts. It never starts over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Replica {
    /// The set.
    pub log: Set,
    /// What waits for the one before it in its chain.
    pub inbox: Set,
    /// The verdicts, by record.
    pub judged: Vec<Judged>,
    /// The rules sent it in circles.
    pub restless: bool,
}

impl Replica {
    /// With nothing yet.
    pub fn new(menu: &Menu) -> Self {
        let judged = vec![Judged::NOT_HELD; menu.records.len()];
        Self { log: Set::default(), inbox: Set::default(), judged, restless: false }
    }

    /// With these, taken as they stand in the menu.
    pub(crate) fn of(menu: &Menu, rules: Rules, held: Set, muted: Set) -> Self {
        let mut replica = Self::new(menu);
        held.iter().for_each(|id| replica.take(menu, rules, id, muted));
        replica
    }

    /// Takes what arrived. What it has is passed over; what came before the one before it waits.
    pub fn arrive(&mut self, menu: &Menu, rules: Rules, id: Id) {
        if self.log.has(id) {
            return;
        }
        self.inbox = self.inbox.with(id);
        let ready = |replica: &Self| {
            let before = |id: &Id| menu.at(*id).previous.is_none_or(|previous| replica.log.has(previous));
            replica.inbox.iter().find(before)
        };
        while let Some(id) = ready(self) {
            self.inbox = self.inbox.without(id);
            self.take(menu, rules, id, Set::default());
        }
    }

    fn take(&mut self, menu: &Menu, rules: Rules, id: Id, muted: Set) {
        self.log = self.log.with(id);
        let mut again = Set::default().with(id);
        let new = menu.at(id);
        let names = |tips: Set| tips.has(id);
        if menu.each(self.log).any(|(_, record)| names(record.tips())) {
            // A tip that was waited for decides on its chain.
            let chain =
                menu.each(self.log).filter(|(_, one)| (one.author, one.incarnation) == (new.author, new.incarnation));
            again = again.or(chain.map(|(id, _)| id).collect());
        }
        again = again.or(self.touched(menu, id));
        for _ in 0..ROUNDS {
            let Some(id) = again.iter().next() else { return };
            again = again.without(id);
            let at = usize::from(id.0);
            if rules.memory == Memory::Sticks && self.judged[at].counts() {
                continue;
            }
            let judged = View { menu, rules, held: self.log, muted, judged: &self.judged }.judge(id);
            if judged != self.judged[at] {
                self.judged[at] = judged;
                again = again.or(self.touched(menu, id));
            }
        }
        self.restless = true;
    }

    /// What may be judged differently once a record is.
    fn touched(&self, menu: &Menu, id: Id) -> Set {
        match menu.at(id).what {
            What::Genesis { .. } | What::Rotation { .. } => self.log,
            What::Delegation { .. } | What::Grant { .. } => self.under(menu, id),
            What::Revocation { of, .. } => self.meant(menu, of),
            What::Honour { of, .. } => match menu.at(of).what {
                What::Revocation { of, .. } => self.meant(menu, of),
                _ => self.log,
            },
            What::Work { .. } => Set::default(),
        }
    }

    fn meant(&self, menu: &Menu, of: Of) -> Set {
        match of {
            Of::Device(device) => self.by(menu, device),
            Of::Position(position) => self.under(menu, position),
        }
    }

    fn by(&self, menu: &Menu, author: Key) -> Set {
        menu.each(self.log).filter(|(_, one)| one.author == author).map(|(id, _)| id).collect()
    }

    /// What is written under a position, or may be.
    fn under(&self, menu: &Menu, position: Id) -> Set {
        let named = menu.each(self.log).filter(|(_, one)| one.under == Some(position)).map(|(id, _)| id);
        let named: Set = named.collect();
        menu.at(position).to().map_or(named, |holder| named.or(self.by(menu, holder)))
    }
}
