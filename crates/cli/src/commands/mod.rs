//! One file for each command.

pub(crate) mod act;
pub(crate) mod conflicts;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod intents;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod show;
pub(crate) mod text;
pub(crate) mod verify;

use changeset::{ChangeSetId, Value};
use crdt::{Json, Rule, Standing, Timestamp, value_json};

/// A value for people, on one line.
pub(crate) fn plain(value: &Value) -> String {
    match value_json(value) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// A header's time for people, to the minute.
pub(crate) fn minute(time_ms: u64) -> String {
    let text = Timestamp::from_clock(time_ms).to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// A header's time for programs.
pub(crate) fn exact(time_ms: u64) -> String {
    Timestamp::from_clock(time_ms).to_string()
}

pub(crate) fn short(id: &ChangeSetId) -> String {
    id.short()
}

pub(crate) fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Counted => "counts".to_owned(),
        Standing::Masked => "masked".to_owned(),
        Standing::Invalid(fault) => format!("invalid: {fault}"),
        Standing::PendingNewerFormat => "waits: written by a newer version".to_owned(),
        Standing::PendingValue => "waits: a value is missing".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn rule_code(rule: Rule) -> &'static str {
    match rule {
        Rule::LastWriter => "last_writer",
        Rule::SumOfCounters => "sum_of_counters",
        Rule::RemovedWhileEdited => "removed_while_edited",
        _ => "other",
    }
}
