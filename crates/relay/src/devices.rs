//! Who is connected, how far behind, stuck on what: for operators, without opening a body.

use crate::relay::Shared;
use access::KeyText;
use changeset::{Partition, PublicKey, WorkspaceId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use storage::{Held, LogKey, Source, StorageError};
use sync::Tier;

/// What is known of one device in one workspace.
#[derive(Debug, Default)]
struct Device {
    sessions: u64,
    tier: Option<Tier>,
    since_ms: Option<u64>,
    in_flight: u64,
    people: Vec<String>,
    partitions: BTreeMap<Partition, Partial>,
    stuck: Option<String>,
}

/// One partition of it.
#[derive(Debug, Default)]
struct Partial {
    to_send: u64,
    to_receive: Option<u64>,
    held: u64,
    last_receipt_ms: Option<u64>,
    why: Option<String>,
}

/// The JSON of `/devices`.
pub(crate) fn report(shared: &Shared) -> Result<Value, StorageError> {
    let devices = gather(shared)?;
    let rows: Vec<Value> = devices.iter().map(|((workspace, key), device)| row(workspace, key, device)).collect();
    Ok(json!({
        "relay": KeyText::of_key(&shared.replica.key()).to_string(),
        "now_ms": shared.replica.now_ms(),
        "devices": rows,
    }))
}

fn gather(shared: &Shared) -> Result<BTreeMap<(WorkspaceId, PublicKey), Device>, StorageError> {
    let mut devices: BTreeMap<(WorkspaceId, PublicKey), Device> = BTreeMap::new();
    let view = shared.replica.store().view()?;
    for log in view.logs()? {
        let Some(state) = view.log(&log)? else { continue };
        for (key, peer) in view.peers(&log)? {
            let device = devices.entry((log.workspace, key)).or_default();
            let part = device.partitions.entry(log.partition.clone()).or_default();
            let known = peer.acknowledged.filter(|place| place.log == state.end.log);
            part.to_send = state.end.position.saturating_sub(known.map_or(0, |place| place.position));
            part.last_receipt_ms = Some(peer.receipt_ms).filter(|ms| *ms > 0);
        }
        if state.waiting > 0 {
            for waiting in view.inbox(&log)? {
                let Source::Peer(key, _) = waiting.source else { continue };
                let part = devices.entry((log.workspace, key)).or_default();
                let part = part.partitions.entry(log.partition.clone()).or_default();
                part.held += 1;
                part.why.get_or_insert_with(|| words(&waiting.why));
            }
        }
        name_people(shared, &log, &mut devices);
    }
    for live in shared.replica.sessions().live().into_values() {
        let (Some(workspace), Some(key)) = (live.workspace, live.peer) else { continue };
        let device = devices.entry((workspace, key)).or_default();
        device.sessions += 1;
        device.tier = Some(live.tier);
        device.since_ms = Some(device.since_ms.map_or(live.since_ms, |since| since.min(live.since_ms)));
        device.in_flight += live.in_flight;
        device.stuck = device.stuck.take().or(live.stuck);
        for (partition, (to_send, to_receive)) in live.lag {
            let part = device.partitions.entry(partition).or_default();
            (part.to_send, part.to_receive) = (to_send, Some(to_receive));
        }
    }
    Ok(devices)
}

fn name_people(shared: &Shared, log: &LogKey, devices: &mut BTreeMap<(WorkspaceId, PublicKey), Device>) {
    // Names are for show: without the authority there are none.
    let _nameless = shared.replica.authority(&log.workspace, |authority| {
        for ((_, key), device) in devices.iter_mut().filter(|((workspace, _), _)| *workspace == log.workspace) {
            for held in authority.grants_of(key, &log.partition) {
                let name = &held.grant.person.name;
                if !device.people.contains(name) {
                    device.people.push(name.clone());
                }
            }
        }
    });
}

fn words(why: &Held) -> String {
    match why {
        Held::Missing(ids) => format!("waits for {} change sets that are not here", ids.len()),
        Held::Unsigned => "waits for the signature that ends its run".to_owned(),
        Held::Admission(why) => why.clone(),
        _ => "waits".to_owned(),
    }
}

fn row(workspace: &WorkspaceId, key: &PublicKey, device: &Device) -> Value {
    let sum = |of: fn(&Partial) -> u64| device.partitions.values().map(of).sum::<u64>();
    let held_why = device.partitions.values().find_map(|part| part.why.clone());
    let stuck = device.stuck.clone().or(held_why);
    let partitions: Map<String, Value> = device
        .partitions
        .iter()
        .map(|(partition, part)| {
            let value = json!({
                "to_send": part.to_send,
                "to_receive": part.to_receive,
                "held": part.held,
                "last_receipt_ms": part.last_receipt_ms,
                "why": part.why,
            });
            (partition.to_string(), value)
        })
        .collect();
    json!({
        "workspace": KeyText::of_workspace(workspace).to_string(),
        "key": KeyText::of_key(key).to_string(),
        "short": key.short(),
        "workspace_short": workspace.short(),
        "people": device.people,
        "connected": device.sessions > 0,
        "sessions": device.sessions,
        "tier": device.tier.map(tier_word),
        "since_ms": device.since_ms,
        "to_send": sum(|part| part.to_send),
        "to_receive": sum(|part| part.to_receive.unwrap_or(0)),
        "held": sum(|part| part.held),
        "in_flight_bytes": device.in_flight,
        "last_receipt_ms": device.partitions.values().filter_map(|part| part.last_receipt_ms).max(),
        "stuck": stuck,
        "partitions": partitions,
    })
}

fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Device => "device",
        Tier::Relay => "relay",
        Tier::Core => "core",
    }
}

/// What `fieldbook-relay devices` prints: the report as an aligned table, connected devices first.
pub fn table(report: &Value) -> String {
    let now_ms = report["now_ms"].as_u64().unwrap_or(0);
    let ago = |value: &Value| match value.as_u64() {
        None => "-".to_owned(),
        Some(ms) => match now_ms.saturating_sub(ms) / 1000 {
            seconds @ 0..120 => format!("{seconds} s"),
            seconds @ 120..7200 => format!("{} min", seconds / 60),
            seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
            seconds => format!("{} days", seconds / 86_400),
        },
    };
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string());
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut rows = vec![
        ["device", "workspace", "person", "state", "for", "behind", "brings", "held", "last receipt", "stuck on"]
            .map(str::to_owned),
    ];
    let mut devices: Vec<&Value> = report["devices"].as_array().into_iter().flatten().collect();
    devices.sort_by_key(|device| !device["connected"].as_bool().unwrap_or(false));
    for device in devices {
        let is_connected = device["connected"].as_bool().unwrap_or(false);
        let people: Vec<&str> = device["people"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        rows.push([
            text(&device["short"]),
            text(&device["workspace_short"]),
            if people.is_empty() { "-".to_owned() } else { people.join(", ") },
            if is_connected { text(&device["tier"]) } else { "away".to_owned() },
            ago(&device["since_ms"]),
            number(&device["to_send"]),
            number(&device["to_receive"]),
            number(&device["held"]),
            ago(&device["last_receipt_ms"]),
            text(&device["stuck"]),
        ]);
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
