//! The rules, one question at a time. The numbers are those of the README.

use crate::menu::Menu;
use crate::record::{Id, Key, Keys, Record, Set, What};
use crate::rules::{Honourers, Judged, Removers, Rotations, Rules, Tips, Verdict, Why};

/// Whether a revocation or rotation leaves a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    /// No tip leads to it.
    Cut,
    /// A tip that is not held may lead to it.
    Unknown,
    /// A tip leads to it.
    Kept,
}

/// Roots that were or are in force, and the rotation that made them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reign {
    pub(crate) id: Id,
    pub(crate) roots: Keys,
    threshold: u32,
}

impl Reign {
    pub(crate) fn stands_behind(&self, record: &Record) -> bool {
        record.behind().shared(self.roots) >= self.threshold
    }
}

/// What is held, and what is decided of it so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) menu: &'a Menu,
    pub(crate) rules: Rules,
    pub(crate) held: Set,
    /// Held, but taken as if they said nothing.
    pub(crate) muted: Set,
    pub(crate) judged: &'a [Judged],
}

impl<'a> View<'a> {
    pub(crate) fn of(&self, id: Id) -> Judged {
        self.judged[usize::from(id.0)]
    }

    /// The records that count.
    pub(crate) fn counting(&self) -> impl Iterator<Item = (Id, &'a Record)> + '_ {
        self.menu.each(self.held).filter(|(id, _)| self.of(*id).counts())
    }

    /// Rules 7 and 8: the roots from the genesis on, each succeeding the one before.
    pub(crate) fn reigns(&self) -> Vec<Reign> {
        let mut reigns = Vec::new();
        let genesis = Id(0);
        let What::Genesis { roots, threshold } = self.menu.at(genesis).what else { return reigns };
        if !self.held.has(genesis) {
            return reigns;
        }
        let mut last = Reign { id: genesis, roots, threshold };
        loop {
            reigns.push(last);
            let next = self
                .menu
                .each(self.held.but(self.muted))
                .filter_map(|(id, record)| match record.what {
                    What::Rotation { of, roots, threshold, .. } if of == last.id && last.stands_behind(record) => {
                        let behind = record.behind().shared(last.roots);
                        Some((self.rank(record, behind), Reign { id, roots, threshold }))
                    }
                    _ => None,
                })
                .max_by_key(|(rank, _)| *rank);
            match next {
                Some((_, next)) => last = next,
                None => return reigns,
            }
        }
    }

    fn rank(&self, rotation: &Record, behind: u32) -> (u32, u8) {
        let first = match self.rules.rotations {
            Rotations::MostRoots => behind,
            Rotations::LatestTime => u32::from(rotation.time),
            Rotations::LowestHash => 0,
        };
        (first, u8::MAX - rotation.hash)
    }

    /// Rule 9: whether the roots of this reign stand behind a record so that it counts. `None`: they do not at all.
    pub(crate) fn by_reign(&self, reigns: &[Reign], at: usize, id: Id) -> Option<Left> {
        if !reigns[at].stands_behind(self.menu.at(id)) {
            return None;
        }
        let later = reigns[at + 1..].iter();
        Some(later.map(|rotation| self.leaves(rotation.id, |_| true, id)).min().unwrap_or(Left::Kept))
    }

    /// Rule 9 over all reigns.
    fn by_roots(&self, reigns: &[Reign], id: Id) -> Option<Left> {
        (0..reigns.len()).filter_map(|at| self.by_reign(reigns, at, id)).max()
    }

    /// Rules 11 to 13: what the tips of a revocation or rotation and of the honours that count for it leave of a record.
    fn leaves(&self, cutter: Id, may_honour: impl Fn(Judged) -> bool, id: Id) -> Left {
        let mut tips = self.menu.at(cutter).tips();
        for (honour, record) in self.counting() {
            let judged = self.of(honour);
            if matches!(record.what, What::Honour { of, .. } if of == cutter) && (judged.rooted() || may_honour(judged))
            {
                tips = tips.or(record.tips());
            }
        }
        let record = self.menu.at(id);
        let same_chain = |tip: &Record| tip.author == record.author && tip.incarnation == record.incarnation;
        let tips = || tips.iter().filter(|tip| same_chain(self.menu.at(*tip)));
        let missing = tips().any(|tip| !self.held.has(tip));
        if missing && self.rules.tips == Tips::PendingAll {
            return Left::Unknown;
        }
        if tips().any(|tip| self.held.has(tip) && self.leads_to(tip, id)) {
            Left::Kept
        } else if missing {
            Left::Unknown
        } else {
            Left::Cut
        }
    }

    /// Only what is held says what comes before it.
    fn leads_to(&self, tip: Id, id: Id) -> bool {
        let mut at = Some(tip);
        while let Some(here) = at.filter(|here| self.held.has(*here)) {
            if here == id {
                return true;
            }
            at = self.menu.at(here).previous;
        }
        false
    }

    /// Rules 10 to 13: what all revocations leave of a record that is written under a position.
    pub(crate) fn left(&self, position: Id, id: Id) -> Left {
        let record = self.menu.at(id);
        let mut left = Left::Kept;
        for (revocation, by) in self.counting() {
            let What::Revocation { of, .. } = by.what else { continue };
            if of.means(Some(position), record) && self.reaches(revocation, position, id) {
                let judged = self.of(revocation);
                left = left.min(self.leaves(revocation, |honour| self.may_honour(judged, honour), id));
            }
        }
        left
    }

    fn may_honour(&self, revocation: Judged, honour: Judged) -> bool {
        match self.rules.honourers {
            Honourers::SameOrAbove => honour.parent.is_some_and(|parent| revocation.above.has(parent)),
            Honourers::AnyDelegate => true,
        }
    }

    /// Rule 10: whether a revocation looks at what stands under this position.
    fn reaches(&self, revocation: Id, position: Id, id: Id) -> bool {
        let judged = self.of(revocation);
        let Some(from) = judged.parent else {
            return self.rules.removers != Removers::LaterWins || self.later(revocation, id);
        };
        let above = self.of(position).above;
        match self.rules.removers {
            Removers::Above => above.has(from),
            Removers::AboveAndItself => above.with(position).has(from),
            Removers::AnyAncestor => self
                .counting()
                .any(|(held, record)| record.to() == Some(self.menu.at(id).author) && self.of(held).above.has(from)),
            Removers::AnyDelegate | Removers::AnyGrant => true,
            Removers::LaterWins => self.later(revocation, id),
        }
    }

    fn later(&self, revocation: Id, id: Id) -> bool {
        let record = self.menu.at(id);
        !matches!(record.what, What::Revocation { .. }) || self.menu.at(revocation).time > record.time
    }

    /// Rules 4 to 6: whether what a position says lets its holder write a record.
    pub(crate) fn covers(&self, position: Id, record: &Record) -> bool {
        let inside = |period: (u8, u8), time: u8| period.0 <= time && time <= period.1;
        match self.menu.at(position).what {
            What::Delegation { to, scope, may_delegate, period } => {
                to == record.author
                    && inside(period, record.time)
                    && match record.what {
                        What::Delegation { scope: wanted, period: within, .. } => {
                            may_delegate && wanted & !scope == 0 && period.0 <= within.0 && within.1 <= period.1
                        }
                        What::Grant { scope: wanted, .. } => wanted & !scope == 0,
                        What::Revocation { .. } | What::Honour { .. } => true,
                        What::Genesis { .. } | What::Rotation { .. } | What::Work { .. } => false,
                    }
            }
            What::Grant { to, scope, period } => {
                let may = match record.what {
                    What::Work { scope: wanted } => wanted == scope,
                    What::Revocation { .. } => self.rules.removers == Removers::AnyGrant,
                    _ => false,
                };
                may && to == record.author && inside(period, record.time)
            }
            _ => false,
        }
    }

    /// The delegations, or for work the grants, that count and are to this key.
    pub(crate) fn positions(&self, of: Key, work: bool) -> Vec<Id> {
        let fits = |record: &Record| record.to() == Some(of) && matches!(record.what, What::Grant { .. }) == work;
        self.counting().filter(|(_, record)| fits(record)).map(|(id, _)| id).collect()
    }

    /// The verdict on a record that is held, by what is decided of the others.
    pub(crate) fn judge(&self, id: Id) -> Judged {
        let record = self.menu.at(id);
        if self.muted.has(id) {
            return Judged::not(Verdict::Masked(Why::Muted));
        }
        let reigns = self.reigns();
        if reigns.is_empty() {
            return Judged::not(Verdict::Pending(Why::NoGenesis));
        }
        match record.what {
            What::Genesis { .. } => return Judged::ROOTED,
            What::Rotation { of, .. } => return self.rotation(&reigns, id, of),
            _ => {}
        }
        let rooted = if matches!(record.what, What::Work { .. }) { None } else { self.by_roots(&reigns, id) };
        if rooted == Some(Left::Kept) {
            let revokes = matches!(record.what, What::Revocation { .. });
            let undone = self.rules.removers == Removers::LaterWins && revokes && self.left(id, id) == Left::Cut;
            return if undone { Judged::not(Verdict::Masked(Why::Revoked)) } else { Judged::ROOTED };
        }
        let under = match record.under {
            Some(position) => self.named(position, id),
            None => self.unnamed(&reigns, id),
        };
        match (rooted, under.verdict) {
            (_, Verdict::Accepted) | (None | Some(Left::Kept), _) => under,
            (Some(Left::Unknown), _) => Judged::not(Verdict::Pending(Why::Tip)),
            (Some(Left::Cut), _) => Judged::not(Verdict::Masked(Why::RotatedOut)),
        }
    }

    fn rotation(&self, reigns: &[Reign], id: Id, of: Id) -> Judged {
        if reigns.iter().any(|reign| reign.id == id) {
            return Judged::ROOTED;
        }
        let (What::Genesis { roots, threshold } | What::Rotation { roots, threshold, .. }) = self.menu.at(of).what
        else {
            return Judged::not(Verdict::Masked(Why::NotCovered));
        };
        let behind = self.menu.at(id).behind().shared(roots);
        Judged::not(if !self.held.has(of) {
            Verdict::Pending(Why::PositionNotHeld)
        } else if behind == 0 {
            Verdict::Pending(Why::NoAuthority)
        } else if behind < threshold {
            Verdict::Masked(Why::TooFewRoots)
        } else if reigns.iter().any(|reign| reign.id == of) {
            Verdict::Masked(Why::Outvoted)
        } else if matches!(self.of(of).verdict, Verdict::Pending(_)) {
            Verdict::Pending(Why::PositionWaits)
        } else {
            Verdict::Masked(Why::PositionMasked)
        })
    }

    fn named(&self, position: Id, id: Id) -> Judged {
        if !self.held.has(position) {
            return Judged::not(Verdict::Pending(Why::PositionNotHeld));
        }
        if !self.covers(position, self.menu.at(id)) {
            return Judged::not(Verdict::Masked(Why::NotCovered));
        }
        match self.of(position).verdict {
            Verdict::Accepted => self.under(position, self.left(position, id)),
            Verdict::Pending(_) => Judged::not(Verdict::Pending(Why::PositionWaits)),
            Verdict::Masked(_) => Judged::not(Verdict::Masked(Why::PositionMasked)),
        }
    }

    pub(crate) fn under(&self, position: Id, left: Left) -> Judged {
        match left {
            Left::Kept => Judged {
                verdict: Verdict::Accepted,
                parent: Some(position),
                above: self.of(position).above.with(position),
            },
            Left::Unknown => Judged::not(Verdict::Pending(Why::Tip)),
            Left::Cut => Judged::not(Verdict::Masked(Why::Revoked)),
        }
    }

    /// Rule 14: a record that names nothing stands under the first position that lets it count.
    fn unnamed(&self, reigns: &[Reign], id: Id) -> Judged {
        let record = self.menu.at(id);
        let work = matches!(record.what, What::Work { .. });
        if matches!(record.what, What::Revocation { .. } | What::Honour { .. }) {
            let few = reigns.iter().any(|reign| record.behind().shared(reign.roots) > 0);
            return Judged::not(Verdict::Masked(if few { Why::TooFewRoots } else { Why::NamesNothing }));
        }
        let held = self.positions(record.author, work);
        let mut fitting: Vec<Id> = held.iter().copied().filter(|position| self.covers(*position, record)).collect();
        // What hangs on the record itself can not hold it up.
        fitting.retain(|position| !self.of(*position).above.has(id) && *position != id);
        fitting.sort_by_key(|position| {
            let depth = if work { 0 } else { self.of(*position).above.len() };
            (depth, self.menu.at(*position).hash)
        });
        let best = fitting.iter().map(|position| (self.left(*position, id), *position));
        let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((left, position)) = best {
            return self.under(position, left);
        }
        Judged::not(if work {
            Verdict::Pending(Why::NoAuthority)
        } else if reigns.iter().any(|reign| record.behind().shared(reign.roots) > 0) {
            Verdict::Masked(Why::TooFewRoots)
        } else if held.is_empty() {
            Verdict::Pending(Why::NoAuthority)
        } else {
            Verdict::Masked(Why::NotCovered)
        })
    }
}
