//! What the rules are wished to keep, each as a question to one set.
//!
//! Most of them mute records: they take a set of records as if they said nothing, and look at what becomes of others. Who
//! has no say can be muted without a difference.

use crate::menu::Menu;
use crate::record::{Id, Key, Set, What};
use crate::replica::Replica;
use crate::rules::{Judged, Rules, Verdict};
use crate::verdicts::verdicts;
use crate::view::{Reign, View};

/// Every wish about one set, as a trace names it. [`Asked::keeps`] goes by this order.
pub const WISHES: [&str; 11] = [
    "the replica has what the set says",
    "it comes to rest",
    "what does not count has no say",
    "whom roots removed has no more say",
    "only who stands above can take away",
    "honoured work stays",
    "honour takes nothing",
    "without removals nothing is lost",
    "roots rotated out have no more say",
    "fewer roots do not outvote more",
    "a stranger takes nothing away",
];

/// A replica, and the verdicts by its set alone.
#[derive(Debug)]
pub struct Asked<'a> {
    menu: &'a Menu,
    rules: Rules,
    replica: &'a Replica,
    judged: Vec<Judged>,
}

impl<'a> Asked<'a> {
    /// About what this replica holds.
    pub fn of(menu: &'a Menu, rules: Rules, replica: &'a Replica) -> Self {
        Self { menu, rules, replica, judged: verdicts(menu, rules, replica.log, Set::default()) }
    }

    /// Whether the wish of this number is kept.
    pub fn keeps(&self, wish: usize) -> bool {
        match wish {
            0 => self.says_the_set(),
            1 => !self.replica.restless,
            2 => self.uncounted_has_no_say(),
            3 => self.removed_has_no_say(),
            4 => self.only_from_above(),
            5 => self.honoured_stays(),
            6 => self.honour_takes_nothing(),
            7 => self.grows_without_removals(),
            8 => self.rotated_have_no_say(),
            9 => self.fewer_do_not_outvote(),
            _ => self.strangers_take_nothing(),
        }
    }

    /// The verdict by the set alone.
    pub fn verdict(&self, id: Id) -> Verdict {
        self.judged[usize::from(id.0)].verdict
    }

    fn set(&self) -> Set {
        self.replica.log
    }

    fn counts(&self, id: Id) -> bool {
        self.judged[usize::from(id.0)].counts()
    }

    fn muting(&self, muted: Set) -> Vec<Judged> {
        verdicts(self.menu, self.rules, self.set(), muted)
    }

    /// Whether everything outside is judged as it was.
    fn silent(&self, muted: Set) -> bool {
        let judged = self.muting(muted);
        self.set().but(muted).iter().all(|id| judged[usize::from(id.0)].counts() == self.counts(id))
    }

    fn reigns(&self) -> Vec<Reign> {
        let Self { menu, rules, ref judged, .. } = *self;
        View { menu, rules, held: self.set(), muted: Set::default(), judged }.reigns()
    }

    fn rooted_ever(&self, reigns: &[Reign], id: Id) -> bool {
        reigns.iter().any(|reign| reign.stands_behind(self.menu.at(id)))
    }

    fn rooted_now(&self, reigns: &[Reign], id: Id) -> bool {
        reigns.last().is_some_and(|reign| reign.stands_behind(self.menu.at(id)))
    }

    /// What held tips lead to.
    fn led_to(&self, tips: Set) -> Set {
        let mut kept = Set::default();
        for tip in tips.iter().filter(|tip| self.set().has(*tip)) {
            let mut at = Some(tip);
            while let Some(here) = at {
                kept = kept.with(here);
                at = self.menu.at(here).previous;
            }
        }
        kept
    }

    /// The positions above a record, by the names alone. `None` if one that roots do not stand behind names nothing.
    fn named_above(&self, reigns: &[Reign], id: Id) -> Option<Set> {
        let mut above = Set::default();
        let mut at = id;
        while let Some(under) = self.menu.at(at).under {
            above = above.with(under);
            at = under;
        }
        (self.rooted_ever(reigns, at) && self.set().has(at)).then_some(above)
    }

    /// The log is whole: nothing is in it without what came before it. And every verdict is that of the set.
    fn says_the_set(&self) -> bool {
        self.menu.each(self.set()).all(|(id, record)| {
            record.previous.is_none_or(|previous| self.set().has(previous))
                && self.judged[usize::from(id.0)] == self.replica.judged[usize::from(id.0)]
        })
    }

    fn uncounted_has_no_say(&self) -> bool {
        self.silent(self.set().iter().filter(|id| !self.counts(*id)).collect())
    }

    /// Once roots removed a device, no record of it counts that their tips do not lead to, and none has a say.
    fn removed_has_no_say(&self) -> bool {
        let reigns = self.reigns();
        let by_roots = |id: &Id| self.rooted_now(&reigns, *id);
        for (revocation, record) in self.menu.each(self.set()) {
            let What::Revocation { of: removed, .. } = record.what else { continue };
            if !by_roots(&revocation) {
                continue;
            }
            let honours = self
                .menu
                .each(self.set())
                .filter(|(id, one)| matches!(one.what, What::Honour { of, .. } if of == revocation) && by_roots(id));
            let tips = honours.fold(record.tips(), |tips, (_, honour)| tips.or(honour.tips()));
            let kept = self.led_to(tips);
            let written = self.menu.each(self.set()).filter(|(id, one)| {
                removed.means(one.under, one) && !kept.has(*id) && !self.rooted_ever(&reigns, *id) && id.0 != 0
            });
            let beyond: Set = written.map(|(id, _)| id).collect();
            if beyond.iter().any(|id| self.counts(id)) || !self.silent(beyond) {
                return false;
            }
        }
        true
    }

    /// A verdict hangs on the roots, on the delegations above, and on what was written under those. Nothing that anybody
    /// else writes moves it.
    fn only_from_above(&self) -> bool {
        let reigns = self.reigns();
        self.set().iter().all(|id| {
            let Some(above) = self.named_above(&reigns, id) else { return true };
            let concerned = self.menu.each(self.set()).filter(|(other, one)| {
                *other == id
                    || above.has(*other)
                    || one.under.is_some_and(|under| above.has(under))
                    || matches!(one.what, What::Genesis { .. } | What::Rotation { .. })
                    || self.rooted_ever(&reigns, *other)
            });
            let concerned: Set = concerned.map(|(other, _)| other).collect();
            let judged = self.muting(self.set().but(concerned));
            judged[usize::from(id.0)].verdict == self.judged[usize::from(id.0)].verdict
        })
    }

    /// What counts without the records of a device that stands nowhere above it counts also with them.
    fn strangers_take_nothing(&self) -> bool {
        let reigns = self.reigns();
        let devices: Vec<Key> = self.menu.each(self.set()).filter_map(|(_, record)| record.to()).collect();
        devices.into_iter().all(|device| {
            let theirs = self
                .menu
                .each(self.set())
                .filter(|(id, one)| one.author == device && !self.rooted_ever(&reigns, *id) && id.0 != 0);
            let theirs: Set = theirs.map(|(id, _)| id).collect();
            let without = self.muting(theirs);
            self.set().but(theirs).iter().all(|id| {
                let then = without[usize::from(id.0)];
                let stranger = then.above.iter().all(|position| self.menu.at(position).to() != Some(device));
                !(stranger && then.counts()) || self.counts(id)
            })
        })
    }

    /// A removal takes nothing away that hangs on no record of the removed beyond its tips. What the removed honoured
    /// beyond them is such a record; and a removal that the removed had undone takes its own again.
    fn honoured_stays(&self) -> bool {
        let reigns = self.reigns();
        for (removal, record) in self.menu.each(self.set()) {
            let kept = self.led_to(record.tips());
            let beyond: Set = match record.what {
                What::Revocation { of, .. } => {
                    let theirs = self.menu.each(self.set()).filter(|(id, one)| {
                        of.means(one.under, one) && !kept.has(*id) && !self.rooted_ever(&reigns, *id)
                    });
                    theirs.map(|(id, _)| id).collect()
                }
                What::Rotation { of, .. } => {
                    let others = |one: &What| match one {
                        What::Rotation { of: other, .. } => *other == of || *other == removal,
                        _ => false,
                    };
                    if self.menu.each(self.set()).any(|(id, one)| id != removal && others(&one.what)) {
                        continue;
                    }
                    let theirs = self
                        .set()
                        .but(kept)
                        .iter()
                        .filter(|id| self.rooted_ever(&reigns, *id) && !self.rooted_now(&reigns, *id));
                    theirs.collect()
                }
                _ => continue,
            };
            let honours = |id: Id| matches!(self.menu.at(id).what, What::Honour { .. });
            let revokes = |id: Id| matches!(self.menu.at(id).what, What::Revocation { .. });
            let before = self.muting(Set::default().with(removal));
            let restored = |id: Id| id != removal && self.counts(id) && !before[usize::from(id.0)].counts();
            if beyond.iter().any(honours) || self.set().iter().any(|id| revokes(id) && restored(id)) {
                continue;
            }
            let lost = self.set().without(removal).iter().any(|id| {
                let free = self.named_above(&reigns, id).is_some_and(|above| !above.with(id).meets(beyond));
                free && before[usize::from(id.0)].counts() && !self.counts(id)
            });
            if lost {
                return false;
            }
        }
        true
    }

    /// A record of honour takes nothing of those whom it honours.
    fn honour_takes_nothing(&self) -> bool {
        self.menu.each(self.set()).all(|(honour, record)| {
            let What::Honour { of, .. } = record.what else { return true };
            let What::Revocation { of: removed, .. } = self.menu.at(of).what else { return true };
            let before = self.muting(Set::default().with(honour));
            let theirs = self.menu.each(self.set()).filter(|(_, one)| removed.means(one.under, one));
            theirs.into_iter().all(|(id, _)| !before[usize::from(id.0)].counts() || self.counts(id))
        })
    }

    /// As it is built today: more records, more that counts.
    fn grows_without_removals(&self) -> bool {
        let removes =
            |what: &What| matches!(what, What::Revocation { .. } | What::Rotation { .. } | What::Honour { .. });
        if self.menu.each(self.set()).any(|(_, record)| removes(&record.what)) {
            return true;
        }
        let last = |id: &Id| self.menu.each(self.set()).all(|(_, one)| one.previous != Some(*id));
        self.set().iter().filter(last).all(|left| {
            let before = verdicts(self.menu, self.rules, self.set().without(left), Set::default());
            self.set().without(left).iter().all(|id| !before[usize::from(id.0)].counts() || self.counts(id))
        })
    }

    /// What only earlier roots stand behind, and a later rotation leaves by no tip of its own or of an honour, does
    /// nothing.
    fn rotated_have_no_say(&self) -> bool {
        let reigns = self.reigns();
        let mut beyond = Set::default();
        for at in 1..reigns.len() {
            let rotation = reigns[at].id;
            let adds = |what: &What| matches!(what, What::Honour { of, .. } if *of == rotation);
            let honours = self.menu.each(self.set()).filter(|(_, one)| adds(&one.what));
            let tips = honours.fold(self.menu.at(rotation).tips(), |tips, (_, one)| tips.or(one.tips()));
            let left = self.led_to(tips);
            let theirs = self.menu.each(self.set().but(left)).filter(|(id, one)| {
                self.rooted_ever(&reigns[..at], *id)
                    && !self.rooted_ever(&reigns[at..], *id)
                    && one.under.is_none()
                    && !matches!(one.what, What::Genesis { .. } | What::Rotation { .. })
            });
            beyond = beyond.or(theirs.map(|(id, _)| id).collect());
        }
        beyond.iter().all(|id| self.judged[usize::from(id.0)].parent.is_some() || !self.counts(id))
            && self.silent(beyond)
    }

    fn fewer_do_not_outvote(&self) -> bool {
        self.reigns().windows(2).all(|pair| {
            let behind = |id: Id| self.menu.at(id).behind().shared(pair[0].roots);
            let won = behind(pair[1].id);
            self.menu.each(self.set()).all(|(id, record)| match record.what {
                What::Rotation { of, .. } => of != pair[0].id || behind(id) <= won,
                _ => true,
            })
        })
    }
}
