//! The difference of two texts as insertions and deletions.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Above this product of lengths the differing middle is replaced as a whole: a shortest difference would cost more
/// time than a person waits.
const MAX_SEARCH: usize = 1 << 26;

/// At `position` of the text as the earlier steps left it, `removed` characters go and `inserted` come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) position: usize,
    pub(crate) removed: usize,
    pub(crate) inserted: Vec<char>,
}

pub(crate) fn difference(old: &[char], new: &[char]) -> Vec<Step> {
    let same = |pair: &(&char, &char)| pair.0 == pair.1;
    let prefix = old.iter().zip(new).take_while(same).count();
    let (old, new) = (old.get(prefix..).unwrap_or_default(), new.get(prefix..).unwrap_or_default());
    let suffix = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let old = old.get(..old.len() - suffix).unwrap_or_default();
    let new = new.get(..new.len() - suffix).unwrap_or_default();
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    if old.is_empty() || new.is_empty() || old.len().saturating_mul(new.len()) > MAX_SEARCH {
        return vec![Step { position: prefix, removed: old.len(), inserted: new.to_vec() }];
    }
    let mut steps = Vec::new();
    let mut position = prefix;
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        let (removed, added) = match op {
            DiffOp::Equal { len, .. } => {
                position += len;
                continue;
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => (op.old_range(), op.new_range()),
        };
        let inserted = new.get(added).unwrap_or_default().to_vec();
        let length = inserted.len();
        steps.push(Step { position, removed: removed.len(), inserted });
        position += length;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_lead_from_the_old_text_to_the_new(old in "[ab😀]{0,12}", new in "[ab😀]{0,12}") {
            let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
            let mut text = old.clone();
            for step in difference(&old, &new) {
                text.splice(step.position..step.position + step.removed, step.inserted);
            }
            prop_assert_eq!(text, new);
        }
    }

    #[test]
    fn what_is_equal_stays() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let steps = difference(&chars("door jams, oil it"), &chars("door sticks, oil it daily"));
        let kept: usize = chars("door jams, oil it").len() - steps.iter().map(|step| step.removed).sum::<usize>();
        assert!(kept >= chars("door s, oil it").len());
        assert_eq!(difference(&chars("same"), &chars("same")), []);
    }
}
