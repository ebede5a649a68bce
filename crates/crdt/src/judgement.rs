//! What counts: the mask, the purges, and the standing of a single change set.

use changeset::{ChangeSetId, DecodeError, Skeleton, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// The decisions that a replica's documents are rebuilt under. Access rules and purge records decide them; here they
/// are given. Two replicas with the same set and the same judgement show the same state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The change sets whose content does not count. Others' work on them stands.
    pub mask: BTreeSet<ChangeSetId>,
    /// The values that were purged, by their numbers in the body: they count as the zero of their type, also where a
    /// replica still holds them.
    pub purges: BTreeMap<ChangeSetId, BTreeSet<u32>>,
}

impl Judgement {
    pub(crate) fn is_masked(&self, id: &ChangeSetId) -> bool {
        self.mask.contains(id)
    }

    pub(crate) fn is_purged(&self, id: &ChangeSetId, value: usize) -> bool {
        self.purges.get(id).is_some_and(|values| u32::try_from(value).is_ok_and(|value| values.contains(&value)))
    }

    /// Says of one change set what `other` says. A document keeps what is said of its own change sets, so that a change
    /// of the mask costs nothing where it says nothing.
    pub(crate) fn take_over(&mut self, id: ChangeSetId, other: &Self) {
        if other.is_masked(&id) {
            self.mask.insert(id);
        }
        if let Some(values) = other.purges.get(&id) {
            self.purges.insert(id, values.clone());
        }
    }

    /// The change sets that the two judgements see differently.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<ChangeSetId> {
        let mut ids: BTreeSet<ChangeSetId> = self.mask.symmetric_difference(&other.mask).copied().collect();
        for (mine, theirs) in [(self, other), (other, self)] {
            ids.extend(
                mine.purges.iter().filter(|(id, values)| theirs.purges.get(id) != Some(values)).map(|(id, _)| *id),
            );
        }
        ids
    }

    /// Whether a value that the skeleton names is neither held nor purged by a record.
    pub(crate) fn misses_value(&self, entry: &Verified, skeleton: &Skeleton) -> bool {
        entry.body().is_purged()
            && skeleton
                .value_lengths()
                .enumerate()
                .any(|(index, _)| entry.body().value(index).is_none() && !self.is_purged(&entry.id(), index))
    }
}

/// How a change set stands in its document: whether its content counts and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Its content counts.
    Counted,
    /// It is masked: kept, and shown in review, but its content does not count.
    Masked,
    /// Its skeleton breaks the format: it stands in its chain and says nothing.
    Invalid(DecodeError),
    /// It, or one that it builds on, is of a format that only newer versions read.
    PendingNewerFormat,
    /// A value is missing and no purge record says that it may be.
    PendingValue,
}

impl Standing {
    /// Whether the content counts.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::Counted)
    }
}
