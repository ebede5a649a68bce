//! What the demo shows at its end, and whether all is well.

use crate::Outcome;
use crate::demo::story::{Device, Ending};
use crate::demo::wire::Place;
use crate::output::{Align, Table, bytes, count, duration, line, shorten, things};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// The fewest conflicts that are explained.
const CONFLICTS_WANTED: usize = 5;

pub(crate) fn print(ending: &Ending, as_json: bool) -> Outcome {
    let first = ending.devices.first().map(|device| &device.digest);
    let are_equal = ending.devices.iter().all(|device| Some(&device.digest) == first);
    let explained = ending.conflicts.get("told").and_then(Json::as_array).map_or(0, Vec::len);
    let is_well = are_equal && ending.missing.is_empty() && ending.wrong.is_empty() && explained >= CONFLICTS_WANTED;
    if as_json {
        crate::output::json(&as_object(ending, is_well, are_equal))?;
        return Ok(is_well);
    }
    conflicts(ending)?;
    line("\nOne text, typed by three people at once")?;
    line(&format!("  {}", shorten(&ending.text, 400)))?;
    line("\nSurvived")?;
    for kill in &ending.kills {
        line(&format!("  {kill}"))?;
    }
    line("\nSummary")?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let mut row = |name: &str, number: String, unit: &str| table.row([name.to_owned(), number, unit.to_owned()]);
    let found = ending.saved - distinct(ending);
    row("documents", count(ending.documents as usize), "");
    row("reported as saved", count(ending.saved), "each by the device that signed it");
    row("found everywhere", count(found), "on every device and the relay");
    row("conflicts", count(total(ending)), &format!("{explained} explained above"));
    row("forks", count(ending.forks as usize), "");
    row("time", duration(ending.time), "");
    table.print(2)?;
    line("")?;
    devices(ending)?;
    for (device, id, who, what) in ending.missing.iter().take(5) {
        let short = id.get(..8).unwrap_or(id);
        line(&format!("\nMISSING on {device}: change set {short} ({what}), which {who} was told is saved"))?;
    }
    for wrong in ending.wrong.iter().take(10) {
        line(&format!("\nWRONG: {wrong}"))?;
    }
    if let Some(lost) = &ending.sabotaged {
        line(&format!("\n(sabotage: change set {} was thrown away)", lost.get(..8).unwrap_or(lost)))?;
    }
    if explained < CONFLICTS_WANTED {
        line(&format!("\nOnly {} came about.", things(explained, "conflict")))?;
    }
    line(match (are_equal, ending.missing.is_empty(), ending.wrong.is_empty()) {
        (true, true, true) => "\nAll digests are equal and no saved edit is missing.",
        (true, false, _) => "\nAll digests are equal, but a saved edit is missing.",
        (true, true, false) => "\nAll digests are equal, but something is wrong.",
        (false, ..) => "\nThe devices DIFFER.",
    })?;
    Ok(is_well)
}

/// How many change sets are missing anywhere.
fn distinct(ending: &Ending) -> usize {
    ending.missing.iter().map(|(_, id, ..)| id).collect::<std::collections::BTreeSet<_>>().len()
}

fn total(ending: &Ending) -> usize {
    ending.conflicts.get("total").and_then(Json::as_u64).unwrap_or(0) as usize
}

fn seconds(time: Option<Duration>) -> String {
    time.map(duration).unwrap_or_default()
}

fn devices(ending: &Ending) -> std::io::Result<()> {
    let heads = [
        ("", Align::Left),
        ("saved", Align::Right),
        ("holds", Align::Right),
        ("received", Align::Right),
        ("sent", Align::Right),
        ("store", Align::Right),
        ("consistent after", Align::Right),
        ("digest", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let size = |number: u64| bytes(usize::try_from(number).unwrap_or(usize::MAX));
    let mut row = |device: &Device| {
        let (bytes_in, bytes_out) = device.bytes;
        let or_nothing = |is_shown: bool, text: String| if is_shown { text } else { String::new() };
        table.row([
            device.name.clone(),
            or_nothing(device.saved > 0, count(device.saved)),
            count(device.held as usize),
            size(bytes_in),
            size(bytes_out),
            or_nothing(device.size > 0, size(device.size)),
            seconds(device.consistent),
            device.digest.get(..32).unwrap_or(&device.digest).to_owned(),
        ]);
    };
    row(&ending.relay);
    ending.devices.iter().for_each(&mut row);
    table.print(2)
}

fn conflicts(ending: &Ending) -> std::io::Result<()> {
    let told = ending.conflicts.get("told").and_then(Json::as_array).cloned().unwrap_or_default();
    line(&format!("\n{}, {} of them told", things(total(ending), "conflict"), told.len()))?;
    let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    for conflict in &told {
        let place = Place(text(conflict, "document"));
        let title = ending.titles.get(&place).cloned().unwrap_or_else(|| shorten(&place.0, 24));
        let (path, shown) = (text(conflict, "path"), shorten(&text(conflict, "shown"), 40));
        line(&format!("  {title} · {path}  shows {shown}: {}", text(conflict, "explanation")))?;
        let mut table = Table::new(&[
            ("said", Align::Left),
            ("by", Align::Left),
            ("when (UTC)", Align::Left),
            ("in", Align::Left),
            ("doing", Align::Left),
        ]);
        for one in conflict.get("contenders").and_then(Json::as_array).into_iter().flatten() {
            let key = text(one, "key");
            let name = ending.names.get(&key).cloned().unwrap_or_else(|| key.chars().take(8).collect());
            table.row([
                shorten(&text(one, "value"), 40),
                name,
                text(one, "when"),
                text(one, "change_set"),
                text(one, "intent"),
            ]);
        }
        table.print(4)?;
    }
    Ok(())
}

fn as_object(ending: &Ending, is_well: bool, are_equal: bool) -> Json {
    let device = |device: &Device| {
        let (bytes_in, bytes_out) = device.bytes;
        json!({
            "name": device.name, "digest": device.digest, "held": device.held, "saved": device.saved,
            "bytes_in": bytes_in, "bytes_out": bytes_out, "store_bytes": device.size, "pages": device.pages,
            "seconds_to_consistency": device.consistent.map(|time| time.as_secs_f64()),
        })
    };
    let missing = ending
        .missing
        .iter()
        .map(|(device, id, who, what)| json!({ "device": device, "change_set": id, "saved_by": who, "what": what }));
    let named = |conflict: &Json| {
        let mut conflict = conflict.clone();
        for one in conflict.get_mut("contenders").and_then(Json::as_array_mut).into_iter().flatten() {
            let name = one.get("key").and_then(Json::as_str).and_then(|key| ending.names.get(key)).cloned();
            if let Some(object) = one.as_object_mut() {
                object.insert("device".to_owned(), json!(name));
            }
        }
        conflict
    };
    let told = ending.conflicts.get("told").and_then(Json::as_array);
    let explained: Vec<Json> = told.into_iter().flatten().map(named).collect();
    json!({
        "ok": is_well, "digests_equal": are_equal, "saved": ending.saved, "missing": missing.collect::<Vec<_>>(),
        "wrong": ending.wrong, "conflicts": total(ending), "explained": explained, "text": ending.text,
        "survived": ending.kills, "documents": ending.documents, "forks": ending.forks, "relay": device(&ending.relay),
        "devices": ending.devices.iter().map(device).collect::<Vec<_>>(), "sabotaged": ending.sabotaged,
        "seconds": ending.time.as_secs_f64(),
    })
}
