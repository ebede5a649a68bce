//! `list`: the documents of a workspace.

use crate::commands::{exact, minute, plain};
use crate::output::{Align, Table, line, shorten, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use changeset::Path;
use crdt::{Document, State};
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only documents of this kind
    kind: Option<String>,
    /// Only documents with this status
    #[arg(long)]
    status: Option<String>,
}

/// Where the title of a document may stand, whatever its kind.
const TITLES: [&str; 4] = ["subject/name", "customer/name", "name", "site"];

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(&context.folder)?;
    let field = |document: &Document, path: &str| {
        Path::new(path).ok().and_then(|path| document.value(&path)).map(|value| plain(&value))
    };
    let is_wanted = |document: &&Document| {
        options.kind.as_ref().is_none_or(|kind| document.key().kind.as_str() == kind)
            && options.status.as_ref().is_none_or(|status| field(document, "status").as_ref() == Some(status))
    };
    let documents: Vec<&Document> = workspace.partition.documents().filter(is_wanted).collect();
    let title = |document: &Document| TITLES.iter().find_map(|path| field(document, path));
    let last = |document: &Document| document.history().iter().map(|entry| entry.time).max().unwrap_or(0);
    if context.json {
        let rows = documents.iter().map(|document| {
            json!({
                "kind": document.key().kind.as_str(), "id": document.key().id.to_uuid(),
                "number": field(document, "number"), "title": title(document), "status": field(document, "status"),
                "change_sets": document.len(), "conflicts": document.conflicts().len(),
                "last_change": exact(last(document)),
            })
        });
        crate::output::json(&Json::Array(rows.collect()))?;
        return Ok(true);
    }
    if documents.is_empty() {
        line("no documents; make one with: fieldbook do new:inspection create …, or import some")?;
        return Ok(true);
    }
    let mut table = Table::new(&[
        ("kind", Align::Left),
        ("id", Align::Left),
        ("number", Align::Left),
        ("title", Align::Left),
        ("status", Align::Left),
        ("changes", Align::Right),
        ("conflicts", Align::Right),
        ("last change (UTC)", Align::Left),
    ]);
    for document in &documents {
        table.row([
            document.key().kind.to_string(),
            short_id(document, &documents),
            field(document, "number").unwrap_or_default(),
            shorten(&title(document).unwrap_or_default(), 40),
            field(document, "status").unwrap_or_default(),
            document.len().to_string(),
            document.conflicts().len().to_string(),
            minute(last(document)),
        ]);
    }
    table.print(0)?;
    line(&format!("\n{}", things(documents.len(), "document")))?;
    Ok(true)
}

/// As much of the id as tells the document apart from the others; ids made at one time begin alike.
fn short_id(document: &Document, all: &[&Document]) -> String {
    let hex = document.key().id.to_string();
    let is_alone = |length: &usize| {
        let prefix = hex.get(..*length).unwrap_or(&hex);
        all.iter().filter(|other| other.key().id.to_string().starts_with(prefix)).count() == 1
    };
    let length = (8..hex.len()).find(is_alone).unwrap_or(hex.len());
    hex.get(..length).unwrap_or(&hex).to_owned()
}
