//! `text`: read a text with its authors, or change it.

use crate::commands::{minute, short};
use crate::device::Names;
use crate::output::{Align, Table, line};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use anyhow::Context as _;
use changeset::Path;
use crdt::{Edits, State};
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
    /// Take in a Yjs update (version 1) that an editor made on the exported state of this document
    #[arg(long, value_name = "FILE", group = "change")]
    yjs_update: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let mut workspace = Workspace::open(&context.folder)?;
    let key = workspace.find(&options.document)?.key().clone();
    let field = Path::new(&options.field).map_err(|fault| anyhow::anyhow!("{}: {fault}", options.field))?;
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let wanted = match (&options.set, &options.set_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(file)) => {
            Some(String::from_utf8(read(file)?).with_context(|| format!("{} is not UTF-8 text", file.display()))?)
        }
        (None, None) => None,
    };
    let update = options.yjs_update.as_ref().map(read).transpose()?;
    if wanted.is_some() || update.is_some() {
        workspace.edit(&key, "edit_text", |tx| {
            if let Some(text) = &wanted {
                tx.replace_text(&field, text)?;
            }
            if let Some(update) = &update {
                tx.apply_editor_update(update)?;
            }
            Ok(())
        })?;
        workspace.save()?;
    }
    let document = workspace.find(&options.document)?;
    let text = document.text(&field).unwrap_or_default();
    let names = Names::of(&workspace.partition);
    let spans = document.spans(&field);
    if context.json {
        let spans = spans.iter().map(|span| {
            json!({
                "text": span.text, "change_set": span.change_set.to_string(),
                "device": names.of_key(span.actor.key()), "device_key": span.actor.key().to_string(),
            })
        });
        let spans: Vec<_> = spans.collect();
        crate::output::json(&json!({ "field": field.as_str(), "text": text, "spans": spans }))?;
    } else if options.authors {
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
    Ok(true)
}
