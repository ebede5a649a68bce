//! One file for each command.

pub(crate) mod act;
pub(crate) mod conflicts;
pub(crate) mod diff;
pub(crate) mod drafts;
pub(crate) mod export;
pub(crate) mod grant;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod intents;
pub(crate) mod join;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod merge;
pub(crate) mod network;
pub(crate) mod relay;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod verify;

use anyhow::{anyhow, bail};
use changeset::{ChangeSetId, Value};
use crdt::{Document, Json, Rule, Standing, Timestamp, value_json};
use fieldbook::access::limits::NO_END;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// A time for people, with the zone it is in.
pub(crate) fn moment(time_ms: u64) -> String {
    format!("{} UTC", minute(time_ms))
}

/// Now, to the second.
pub(crate) fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let text = Timestamp::from_clock(now).to_string();
    text.get(11..19).unwrap_or(&text).to_owned()
}

/// The first moment of a day such as 2026-03-02, in milliseconds since 1970.
pub(crate) fn parse_day(text: &str) -> anyhow::Result<i64> {
    let day = Timestamp::parse(&format!("{text}T00:00:00Z"));
    day.map(|day| day.ms()).ok_or_else(|| anyhow!("{text} is no day; write one as 2026-03-02"))
}

/// The last moment of what is meant: a day or a time (UTC), or so long from now.
pub(crate) fn parse_until(text: &str, now_ms: u64) -> anyhow::Result<u64> {
    const UNITS: [(char, u64); 4] = [('m', 60_000), ('h', 3_600_000), ('d', 86_400_000), ('w', 604_800_000)];
    let long = UNITS.iter().find_map(|(unit, ms)| text.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(*ms));
    if let Some(long) = long {
        return Ok(now_ms.saturating_add(long).min(NO_END));
    }
    let plain = text.trim_end_matches('Z');
    let at = match parse_day(text) {
        Ok(day) => Some(day + 86_400_000 - 1),
        Err(_) => [":00Z", "Z"].iter().find_map(|end| Timestamp::parse(&format!("{plain}{end}"))).map(Timestamp::ms),
    };
    match at.map(u64::try_from) {
        Some(Ok(ms)) if ms <= NO_END => Ok(ms),
        _ => bail!(
            "{text} is no time; write a day as 2027-03-31, a time as 2027-03-31T18:00 (UTC), or so long from now as 12h, 30d, 8w"
        ),
    }
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

/// A document's state with what tells whether another program has the same: the change sets that nothing follows, and the
/// heads that its Automerge image has.
pub(crate) fn described(document: &mut Document, state: Json) -> anyhow::Result<Json> {
    let hex = |head: [u8; 32]| head.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let automerge_heads: Vec<String> = document.automerge_heads()?.into_iter().map(hex).collect();
    let heads: Vec<String> = document.counted_heads().iter().map(ChangeSetId::to_string).collect();
    Ok(json!({
        "kind": document.key().kind.as_str(), "id": document.key().id.to_uuid(), "digest": document.digest().to_string(),
        "heads": heads, "automerge_heads": automerge_heads, "state": state,
    }))
}

pub(crate) fn rule_code(rule: Rule) -> &'static str {
    match rule {
        Rule::LastWriter => "last_writer",
        Rule::SumOfCounters => "sum_of_counters",
        Rule::RemovedWhileEdited => "removed_while_edited",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_days_times_and_durations() -> anyhow::Result<()> {
        const NOW: u64 = 1_772_434_800_000; // 2026-03-02 07:00
        assert_eq!(exact(parse_until("2026-03-31", NOW)?), "2026-03-31T23:59:59.999Z");
        for text in ["2026-03-31T18:30", "2026-03-31T18:30:00", "2026-03-31T18:30Z", "2026-03-31T18:30:00Z"] {
            assert_eq!(minute(parse_until(text, NOW)?), "2026-03-31 18:30", "{text}");
        }
        assert_eq!(minute(parse_until("12h", NOW)?), "2026-03-02 19:00");
        assert_eq!(minute(parse_until("2w", NOW)?), "2026-03-16 07:00");
        for text in ["", "soon", "31.3.2026", "2026-02-30", "-3d", "3y", "1969-12-31"] {
            assert!(parse_until(text, NOW).is_err(), "{text}");
        }
        Ok(())
    }
}
