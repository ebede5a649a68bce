//! `show`: one document.

use crate::commands::described;
use crate::output::{line, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use anyhow::{anyhow, bail};
use changeset::ChangeSetId;
use crdt::{Document, Json, Removed, State, document_json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The document: its number, or the beginning of its id
    document: String,
    /// As somebody saw it who had this change set and what it builds on; may be given several times
    #[arg(long, value_name = "CHANGE SET")]
    at: Vec<String>,
    /// Show entries too that were removed
    #[arg(long)]
    removed: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    let key = workspace.find(&options.document)?;
    let shown = workspace.partition.document(&key, |document| show(context, options, &workspace, document))?;
    shown.ok_or_else(|| anyhow!("{key} has nothing in it"))?
}

fn show(context: &Context, options: &Options, workspace: &Workspace, document: &mut Document) -> Outcome {
    let schema = workspace.book.kinds().kind(document.key().kind.as_str()).map(|kind| kind.schema());
    let removed = if options.removed { Removed::Show } else { Removed::Hide };
    let earlier;
    let state: &dyn State = if options.at.is_empty() {
        &*document
    } else {
        let heads: anyhow::Result<Vec<ChangeSetId>> = options.at.iter().map(|id| find_change(document, id)).collect();
        earlier = document.at(&heads?).map_err(|id| anyhow!("{id} is not in this document"))?;
        &earlier
    };
    let shown = document_json(state, schema, removed);
    if context.json {
        crate::output::json(&described(document, shown)?)?;
        return Ok(true);
    }
    line(&format!("{}", document.key()))?;
    print(&shown, 1)?;
    let violations = schema.map(|schema| schema.violations(state)).unwrap_or_default();
    if !violations.is_empty() {
        line("\nagainst the rules of this kind:")?;
        violations.iter().try_for_each(|violation| line(&format!("  {violation}")))?;
    }
    let conflicts = document.conflicts().len();
    if options.at.is_empty() && conflicts > 0 {
        line(&format!("\n{}; see: fieldbook conflicts {}", things(conflicts, "conflict"), options.document))?;
    }
    Ok(true)
}

/// The change set of a document whose id begins so.
fn find_change(document: &Document, wanted: &str) -> anyhow::Result<ChangeSetId> {
    let ids: Vec<ChangeSetId> = document.standings().map(|(id, _)| id).collect();
    let found: Vec<&ChangeSetId> = ids.iter().filter(|id| id.to_string().starts_with(wanted)).collect();
    match found.as_slice() {
        [only] => Ok(**only),
        [] => bail!("no change set of this document begins with {wanted}; see: fieldbook log"),
        several => bail!("{} change sets begin with {wanted}; give more of the id", several.len()),
    }
}

/// Nested values by indentation, names aligned.
fn print(value: &Json, depth: usize) -> std::io::Result<()> {
    let Json::Object(fields) = value else { return Ok(()) };
    let is_nested = |value: &Json| value.is_object();
    let width = fields.iter().filter(|(_, value)| !is_nested(value)).map(|(name, _)| name.len()).max().unwrap_or(0);
    let indent = "  ".repeat(depth);
    for (name, value) in fields {
        match value {
            Json::Object(inner) if inner.is_empty() => {}
            Json::Object(_) => {
                line(&format!("{indent}{name}"))?;
                print(value, depth + 1)?;
            }
            Json::String(text) => {
                // A text of several lines goes on under its beginning.
                let below = format!("\n{indent}{}", " ".repeat(width + 2));
                line(&format!("{indent}{name:width$}  {}", text.replace('\n', &below)))?;
            }
            other => line(&format!("{indent}{name:width$}  {other}"))?,
        }
    }
    Ok(())
}
