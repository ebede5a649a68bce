//! `conflicts`: where people disagreed, and why one value is shown.

use crate::commands::{exact, minute, plain, rule_code, short};
use crate::device::Names;
use crate::output::{Align, Table, line, shorten, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use changeset::DocumentKey;
use crdt::{Document, Resolution, value_json};
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The document: its number, or the beginning of its id [default: all]
    document: Option<String>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    // The lists know which documents have any: no other is opened.
    let keys: Vec<DocumentKey> = match &options.document {
        Some(wanted) => vec![workspace.find(wanted)?],
        None => {
            let listed = workspace.listed()?;
            listed.into_iter().filter(|listed| listed.summary.conflicts > 0).map(|listed| listed.key).collect()
        }
    };
    let names = Names::load(&workspace.partition)?;
    let mut all = Vec::new();
    let mut found = 0;
    for key in &keys {
        let tell = |document: &mut Document| -> anyhow::Result<()> {
            let conflicts = document.conflicts();
            found += conflicts.len();
            if context.json {
                all.extend(conflicts.iter().map(|conflict| as_json(document, conflict, &names)));
            } else if !conflicts.is_empty() {
                line(&format!("{}", document.key()))?;
                for conflict in &conflicts {
                    print(conflict, &names, 2)?;
                }
                line("")?;
            }
            Ok(())
        };
        workspace.partition.document(key, tell)?.transpose()?;
    }
    if context.json {
        crate::output::json(&Json::Array(all))?;
    } else {
        line(&things(found, "conflict"))?;
    }
    Ok(true)
}

/// One conflict as a paragraph with its contenders.
pub(crate) fn print(conflict: &Resolution, names: &Names, indent: usize) -> std::io::Result<()> {
    let shown = conflict.shown.as_ref().map_or_else(|| "(removed)".to_owned(), plain);
    let space = " ".repeat(indent);
    line(&format!("{space}{}  shows {}: {}", conflict.path, shorten(&shown, 40), conflict.rule.sentence()))?;
    let mut table = Table::new(&[
        ("said", Align::Left),
        ("by", Align::Left),
        ("when (UTC)", Align::Left),
        ("in", Align::Left),
        ("doing", Align::Left),
        ("why", Align::Left),
    ]);
    for contender in &conflict.contenders {
        let said = match &contender.value {
            _ if contender.is_purged => "(purged)".to_owned(),
            Some(value) => plain(value),
            None => "(removed)".to_owned(),
        };
        table.row([
            shorten(&said, 40),
            names.of_key(contender.actor.key()),
            minute(contender.time),
            short(&contender.change_set),
            contender.intent.to_string(),
            contender.reason.clone().unwrap_or_default(),
        ]);
    }
    table.print(indent + 2)
}

fn as_json(document: &Document, conflict: &Resolution, names: &Names) -> Json {
    let contenders = conflict.contenders.iter().map(|contender| {
        json!({
            "value": contender.value.as_ref().map(value_json), "purged": contender.is_purged,
            "device": names.of_key(contender.actor.key()), "device_key": contender.actor.key().to_string(),
            "time": exact(contender.time), "change_set": contender.change_set.to_string(),
            "intent": contender.intent.as_str(), "reason": contender.reason,
        })
    });
    json!({
        "document": document.key().id.to_uuid(), "kind": document.key().kind.as_str(),
        "path": conflict.path.as_str(), "rule": rule_code(conflict.rule), "explanation": conflict.rule.sentence(),
        "shown": conflict.shown.as_ref().map(value_json), "contenders": contenders.collect::<Vec<_>>(),
    })
}
