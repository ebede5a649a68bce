//! Several concurrent values of one field: what is shown, by which rule, and what else was said, by whom and when.

use changeset::{Actor, ChangeSetId, IntentName, Path, Value};
use std::sync::Arc;

/// One of the values that compete for a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// What was said; a counter with its increments. None where it was removed.
    pub value: Option<Value>,
    /// By which change set.
    pub change_set: ChangeSetId,
    /// Who wrote it.
    pub actor: Arc<Actor>,
    /// When, by the author's clock: milliseconds since 1970.
    pub time: u64,
    /// The person's command.
    pub intent: IntentName,
    /// Why, in the person's words; none if not given or purged.
    pub reason: Option<String>,
    /// The value was purged or unreadable and counts as the zero of its type.
    pub is_purged: bool,
}

/// How concurrent values became the shown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The value with the latest time is shown, ties broken by the larger change set id.
    LastWriter,
    /// All counters of the path are summed: each was started by somebody who had not seen the others.
    SumOfCounters,
    /// An entry was removed here while it was edited there; it stays removed, and the edit is kept.
    RemovedWhileEdited,
}

impl Rule {
    /// The rule in one sentence for people.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::LastWriter => "the latest by time is shown",
            Self::SumOfCounters => "counters started apart are summed",
            Self::RemovedWhileEdited => "removed here while edited there: it stays removed, the edit is kept",
        }
    }
}

/// Why a path shows what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// Where.
    pub path: Path,
    /// Which rule decided.
    pub rule: Rule,
    /// What is shown; none for an entry that stays removed.
    pub shown: Option<Value>,
    /// The values that competed, the shown one or the removal first, then by time and id, latest first.
    pub contenders: Vec<Contender>,
}

impl Resolution {
    /// Whether people should hear of it: more than one voice, not all of which said the same.
    pub fn is_conflict(&self) -> bool {
        let differs = |pair: &[Contender]| pair.first().map(|one| &one.value) != pair.last().map(|other| &other.value);
        self.rule != Rule::LastWriter || self.contenders.windows(2).any(differs)
    }
}
