//! The verdicts as a function of the set: by strata, from the roots down.

use crate::menu::Menu;
use crate::record::{Id, Set, What};
use crate::replica::Replica;
use crate::rules::{Judged, Rules};
use crate::view::{Left, View};

/// The verdicts on all records of a set. What is muted is held, and taken as if it said nothing.
///
/// By [`Rules::OURS`] each record is decided once: first what roots stand behind, the latest roots first, then what is
/// written under that, and so on. What can take a record away is always decided before it. Other rules have no such
/// order; for them the records are taken in as they stand in the menu.
pub fn verdicts(menu: &Menu, rules: Rules, held: Set, muted: Set) -> Vec<Judged> {
    if rules != Rules::OURS {
        return Replica::of(menu, rules, held, muted).judged;
    }
    let mut strata = Strata { menu, held, muted, judged: vec![Judged::NOT_HELD; menu.records.len()] };
    strata.roots();
    let mut depth = 0;
    while strata.below(depth) {
        depth += 1;
    }
    strata.rest();
    strata.judged
}

struct Strata<'a> {
    menu: &'a Menu,
    held: Set,
    muted: Set,
    judged: Vec<Judged>,
}

impl Strata<'_> {
    fn view(&self) -> View<'_> {
        let Self { menu, held, muted, ref judged } = *self;
        View { menu, rules: Rules::OURS, held, muted, judged }
    }

    fn enter(&mut self, entering: Vec<(Id, Judged)>) -> bool {
        for (id, judged) in &entering {
            self.judged[usize::from(id.0)] = *judged;
        }
        !entering.is_empty()
    }

    fn undecided(&self) -> impl Iterator<Item = Id> {
        let judged = self.judged.clone();
        self.held.but(self.muted).iter().filter(move |id| !judged[usize::from(id.0)].counts())
    }

    /// What roots stand behind. A rotation looks at what earlier roots did, so the latest come first.
    fn roots(&mut self) {
        let reigns = self.view().reigns();
        for at in (0..reigns.len()).rev() {
            self.judged[usize::from(reigns[at].id.0)] = Judged::ROOTED;
            loop {
                let view = self.view();
                let may = |id: &Id| {
                    let what = &view.menu.at(*id).what;
                    !matches!(what, What::Work { .. } | What::Rotation { .. } | What::Genesis { .. })
                };
                let kept = |id: &Id| view.by_reign(&reigns, at, *id) == Some(Left::Kept);
                let entering = self.undecided().filter(may).filter(kept).map(|id| (id, Judged::ROOTED)).collect();
                // Honours of the same roots only add, so passes over them come to an end.
                if !self.enter(entering) {
                    break;
                }
            }
        }
    }

    /// What is written right under positions of this depth.
    fn below(&mut self, depth: u32) -> bool {
        let view = self.view();
        let here = view.counting().filter(|(id, record)| record.to().is_some() && view.of(*id).above.len() == depth);
        let mut here: Vec<Id> = here.map(|(id, _)| id).collect();
        here.sort_by_key(|id| view.menu.at(*id).hash);
        let mut entering = Vec::new();
        for id in self.undecided() {
            let record = view.menu.at(id);
            let unnamed = matches!(record.what, What::Delegation { .. } | What::Grant { .. });
            let named = |position: Id| record.under.map_or(unnamed, |under| under == position);
            let fitting = here.iter().filter(|position| named(**position) && view.covers(**position, record));
            if let Some(position) = fitting.into_iter().find(|position| view.left(**position, id) == Left::Kept) {
                entering.push((id, view.under(*position, Left::Kept)));
            }
        }
        let any = !here.is_empty();
        self.enter(entering);
        any
    }

    /// Work that names no grant, and the reasons of what does not count.
    fn rest(&mut self) {
        for id in self.held.iter() {
            let judged = self.view().judge(id);
            let decided = &mut self.judged[usize::from(id.0)];
            let work = matches!(self.menu.at(id).what, What::Work { .. });
            assert!(work || decided.counts() || !judged.counts(), "{} counts too late", self.menu.at(id));
            if !decided.counts() {
                *decided = judged;
            }
        }
    }
}
