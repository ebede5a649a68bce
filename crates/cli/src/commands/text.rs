//! `text`: read a text with its authors, or change it.

use crate::commands::act::say_if_not_let_in;
use crate::commands::drafts::{self, Draft};
use crate::commands::{minute, short};
use crate::device::Names;
use crate::output::{Align, Table, error, line};
use crate::workspace::{Workspace, field};
use crate::{Context, Outcome};
use anyhow::Context as _;
use changeset::{DocumentKey, Path};
use crdt::{Document, Edits, State};
use fieldbook::Error;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The document: its number, or the beginning of its id
    document: String,
    /// The text field, for example findings or items/7/note
    field: String,
    /// Show who wrote each stretch
    #[arg(long)]
    authors: bool,
    /// Make it read this; what stays of the old text keeps its authors and merges with what others write
    #[arg(long, value_name = "TEXT", group = "change")]
    set: Option<String>,
    /// Make it read what this file reads
    #[arg(long, value_name = "FILE", group = "change")]
    set_file: Option<PathBuf>,
    /// Take in a Yjs update (version 1) that one editor made on the exported texts of this document, once: it becomes this
    /// device's own work, so the editor goes on from a new export
    #[arg(long, value_name = "FILE", group = "change")]
    yjs_update: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    let key = workspace.find(&options.document)?;
    let field = field(&options.field)?;
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let wanted = match (&options.set, &options.set_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(file)) => {
            Some(String::from_utf8(read(file)?).with_context(|| format!("{} is not UTF-8 text", file.display()))?)
        }
        (None, None) => None,
    };
    if let Some(text) = wanted {
        return write(context, &workspace, Draft::of_text(&key, field.as_str(), &text), None);
    }
    if let Some(file) = &options.yjs_update {
        let update = read(file)?;
        match workspace.partition.edit(&key, "edit_text", |tx| tx.apply_editor_update(&update)) {
            Ok(_) => workspace.refresh()?,
            // The file is the draft: it stays where it is.
            Err(Error::NotPermitted(why)) => {
                error(&format!("nothing was saved: {why}"));
                error(&format!("the update is still in {}; try again once you may", file.display()));
                return Ok(false);
            }
            Err(other) => return Err(other.into()),
        }
        say_if_not_let_in(&workspace)?;
    }
    print(context, &workspace, &key, &field, options.authors)
}

/// Makes a text read what the draft says; `kept` is the draft that it was until now.
pub(crate) fn write(context: &Context, workspace: &Workspace, draft: Draft, kept: Option<&str>) -> Outcome {
    let key = draft.key()?;
    let field = field(draft.field.as_deref().unwrap_or_default())?;
    match workspace.partition.edit(&key, "edit_text", |tx| tx.replace_text(&field, &draft.what)) {
        Ok(_) => workspace.refresh()?,
        Err(Error::NotPermitted(why)) => return drafts::keep(context, workspace, draft, &why.to_string(), kept),
        Err(other) => return Err(other.into()),
    }
    if let Some(kept) = kept {
        workspace.partition.discard_draft(kept)?;
    }
    say_if_not_let_in(workspace)?;
    print(context, workspace, &key, &field, false)
}

fn print(context: &Context, workspace: &Workspace, key: &DocumentKey, field: &Path, authors: bool) -> Outcome {
    let names = Names::load(&workspace.partition)?;
    let shown = workspace.partition.document(key, |document| print_text(context, document, field, &names, authors))?;
    shown.unwrap_or(Ok(()))?;
    Ok(true)
}

fn print_text(
    context: &Context,
    document: &Document,
    field: &Path,
    names: &Names,
    authors: bool,
) -> anyhow::Result<()> {
    let text = document.text(field).unwrap_or_default();
    let spans = document.spans(field);
    if context.json {
        let spans = spans.iter().map(|span| {
            json!({
                "text": span.text, "change_set": span.change_set.to_string(),
                "device": names.of_key(span.actor.key()), "device_key": span.actor.key().to_string(),
            })
        });
        let spans: Vec<_> = spans.collect();
        crate::output::json(&json!({ "field": field.as_str(), "text": text, "spans": spans }))?;
    } else if authors {
        let mut table = Table::new(&[
            ("who", Align::Left),
            ("when (UTC)", Align::Left),
            ("in", Align::Left),
            ("wrote", Align::Left),
        ]);
        for span in &spans {
            let time = document.change_set(&span.change_set).map_or(0, |entry| entry.header().time);
            let who = names.of_key(span.actor.key());
            table.row([who, minute(time), short(&span.change_set), span.text.clone()]);
        }
        table.print(0)?;
    } else {
        line(&text)?;
    }
    Ok(())
}
