//! `log`: who did what and when.

use crate::commands::{exact, minute, short, standing};
use crate::device::Names;
use crate::output::{Align, Table, line, shorten, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use changeset::{ChangeSetId, DocumentKey};
use crdt::{Document, HistoryEntry};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The document: its number, or the beginning of its id [default: all, by time]
    document: Option<String>,
    /// Show only the last N
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    let of = |document: &Document| -> Vec<(DocumentKey, HistoryEntry)> {
        document.history().into_iter().map(|entry| (document.key().clone(), entry)).collect()
    };
    let mut entries: Vec<(DocumentKey, HistoryEntry)> = match &options.document {
        Some(wanted) => {
            workspace.partition.document(&workspace.find(wanted)?, |document| of(document))?.unwrap_or_default()
        }
        None => {
            workspace.partition.settle()?;
            workspace.partition.read(|documents| documents.documents().flat_map(of).collect())?
        }
    };
    let why_not: BTreeMap<ChangeSetId, String> =
        workspace.partition.undecided()?.into_iter().map(|undecided| (undecided.id, undecided.why)).collect();
    if options.document.is_none() {
        entries.sort_by_key(|(_, entry)| (entry.time, entry.id));
    }
    let skipped = options.last.map_or(0, |last| entries.len().saturating_sub(last));
    let names = Names::load(&workspace.partition)?;
    let shown = entries.iter().skip(skipped);
    if context.json {
        let rows = shown.map(|(key, entry)| {
            json!({
                "change_set": entry.id.to_string(), "document": key.id.to_uuid(),
                "kind": key.kind.as_str(), "device": names.of_key(entry.actor.key()),
                "device_key": entry.actor.key().to_string(), "actor": entry.actor.id().to_string(),
                "time": exact(entry.time), "intent": entry.intent.as_str(), "reason": entry.reason,
                "paths": entry.paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
                "standing": standing(&entry.standing), "inert": entry.inert,
                "does_not_count": why_not.get(&entry.id),
            })
        });
        crate::output::json(&Json::Array(rows.collect()))?;
        return Ok(true);
    }
    let mut table = Table::new(&[
        ("change set", Align::Left),
        ("when (UTC)", Align::Left),
        ("who", Align::Left),
        ("document", Align::Left),
        ("did", Align::Left),
        ("to", Align::Left),
        ("why", Align::Left),
    ]);
    for (key, entry) in shown {
        let paths: Vec<&str> = entry.paths.iter().map(|path| path.as_str()).collect();
        let mut why = entry.reason.clone().unwrap_or_default();
        if !entry.standing.is_counted() {
            why = format!("[{}] {why}", standing(&entry.standing));
        }
        if let Some(reason) = why_not.get(&entry.id) {
            why = format!("[does not count: {reason}] {why}");
        }
        let id = key.id.to_string();
        table.row([
            short(&entry.id),
            minute(entry.time),
            names.of_key(entry.actor.key()),
            format!("{} {}", key.kind, id.get(id.len() - 8..).unwrap_or(&id)),
            entry.intent.to_string(),
            shorten(&paths.join(", "), 44),
            shorten(&why, 40),
        ]);
    }
    table.print(0)?;
    line(&format!("\n{}", things(entries.len() - skipped, "change set")))?;
    Ok(true)
}
