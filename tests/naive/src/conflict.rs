//! Conflicts: what people see of concurrent work beside the shown state.

use crate::Id;
use crate::document::{Member, Rebuilt};
use crate::skeleton::Act;
use crate::state::{Said, Standing, Value, shown};
use crate::value::{COUNTER, STRING};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What several said of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The path; of an entry that was removed its marker.
    pub path: String,
    /// How what is shown was found.
    pub rule: Rule,
    /// What is shown, by type and bytes; none for an entry that stays removed.
    pub shown: Option<Said>,
    /// Who said what: the change set with its value, none for a removal. The one that is shown first, else the removals.
    pub contenders: Vec<(Id, Option<Said>)>,
}

/// How what is shown was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The latest by time.
    LastWriter,
    /// All counters together.
    SumOfCounters,
    /// Removed here while it was edited there.
    RemovedWhileEdited,
}

/// All conflicts by path and rule.
pub(crate) fn conflicts(rebuilt: &Rebuilt<'_>, fields: &BTreeMap<String, Vec<Value>>) -> Vec<Conflict> {
    let of_values = fields.iter().filter_map(|(path, values)| of_values(path, values));
    let removed = rebuilt.writes.keys().filter(|path| path.ends_with("/.") && !fields.contains_key(**path));
    let removed = removed.filter_map(|path| removed_while_edited(rebuilt, fields, path));
    let mut conflicts: Vec<Conflict> = of_values.chain(removed).collect();
    conflicts.sort_by(|a, b| (&a.path, a.rule).cmp(&(&b.path, b.rule)));
    conflicts
}

fn of_values(path: &str, values: &[Value]) -> Option<Conflict> {
    let shown = shown(values)?;
    let rule = if shown.0 == COUNTER { Rule::SumOfCounters } else { Rule::LastWriter };
    let said = |value: &Value| (value.code, value.bytes.clone());
    let differ = values.iter().any(|value| said(value) != said(&values[0]));
    (values.len() > 1 && (differ || rule == Rule::SumOfCounters)).then_some(())?;
    let mut values: Vec<&Value> = values.iter().collect();
    values.sort_by_key(|value| Reverse((value.time, value.change_set)));
    let contenders = values.into_iter().map(|value| (value.change_set, Some(said(value)))).collect();
    Some(Conflict { path: path.to_owned(), rule, shown: Some(shown), contenders })
}

fn removed_while_edited(
    rebuilt: &Rebuilt<'_>,
    fields: &BTreeMap<String, Vec<Value>>,
    marker: &str,
) -> Option<Conflict> {
    let entry = marker.strip_suffix('.')?;
    let members = &rebuilt.members;
    // The last effective put or delete of each change set; true is a put.
    let last: BTreeMap<usize, bool> = rebuilt.writes.get(marker)?.iter().copied().collect();
    let is_seen = |place: usize| last.keys().any(|other| members[*other].past.has(place));
    let removals = last.iter().filter(|(place, is_put)| !**is_put && !is_seen(**place));
    let removals: Vec<usize> = removals.map(|(place, _)| *place).collect();
    let is_apart = |place: usize| {
        removals.iter().all(|it| *it != place && !members[*it].past.has(place) && !members[place].past.has(*it))
    };
    let mut edits = Vec::new();
    for (place, member) in members.iter().enumerate().filter(|(place, _)| is_apart(*place)) {
        let rank = Reverse((member.entry.time, member.entry.id));
        let puts = fields.iter().filter(|(path, _)| path.starts_with(entry) && *path != marker);
        let puts = puts.flat_map(|(_, values)| values.iter().filter(|value| value.change_set == member.entry.id));
        edits.extend(puts.map(|value| (rank, Some((value.code, value.bytes.clone())))));
        let text = inserted(&members[place], entry);
        if !text.is_empty() {
            edits.push((rank, Some((STRING, text.into_bytes()))));
        }
    }
    (!removals.is_empty() && !edits.is_empty()).then_some(())?;
    // Stable: of one change set by path, text last.
    edits.sort_by_key(|(rank, _)| *rank);
    let mut removals: Vec<_> =
        removals.iter().map(|it| (Reverse((members[*it].entry.time, members[*it].entry.id)), None)).collect();
    removals.sort_by_key(|(rank, _)| *rank);
    let contenders = removals.into_iter().chain(edits).map(|(Reverse((_, id)), value)| (id, value)).collect();
    Some(Conflict { path: marker.to_owned(), rule: Rule::RemovedWhileEdited, shown: None, contenders })
}

/// All that a counted change set inserted into fields that begin so, without placeholders.
fn inserted(member: &Member<'_>, prefix: &str) -> String {
    if member.standing != Standing::Counted {
        return String::new();
    }
    let ops = member.ops().iter().enumerate();
    let ops = ops.filter(|(number, op)| !member.inert.contains(number) && op.path.starts_with(prefix));
    let texts = ops.filter_map(|(_, op)| match op.act {
        Act::InsertText { value, points, .. } => member.text(value, points),
        _ => None,
    });
    texts.flatten().collect()
}
