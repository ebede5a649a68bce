//! `export`: a signed bundle, JSON, or the engines' images.

use crate::bundle_file::{export_all, write_atomically};
use crate::commands::described;
use crate::output::{bytes, line, things};
use crate::workspace::{Workspace, choose, open_book};
use crate::{Context, Outcome};
use anyhow::Context as _;
use changeset::DocumentKey;
use crdt::{Document, Removed, document_json};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("form").required(true).multiple(true))]
pub(crate) struct Options {
    /// Write all change sets, and the records of who may do what, as one file of signed bundles
    #[arg(long, value_name = "FILE", group = "form")]
    signed: Option<PathBuf>,
    /// Write the documents' states as a JSON array, each with its digest and heads; - is standard output
    #[arg(long, value_name = "FILE", group = "form")]
    state: Option<PathBuf>,
    /// Write each document's structure as KIND-ID.automerge into this folder
    #[arg(long, value_name = "FOLDER", group = "form")]
    automerge: Option<PathBuf>,
    /// Write each document's texts as a Yjs state update (version 1), KIND-ID.yjs, into this folder
    #[arg(long, value_name = "FOLDER", group = "form")]
    yjs: Option<PathBuf>,
    /// Only this document's state or images: its number, or the beginning of its id
    #[arg(long)]
    document: Option<String>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let mut said = Vec::new();
    if let Some(file) = &options.signed {
        let book = open_book(context, &context.folder)?;
        let partitions = if context.partitions.is_empty() { book.partitions()? } else { vec![choose(context, &book)?] };
        let bundle = export_all(&book, &partitions)?;
        write_atomically(file, &bundle)?;
        let states = book.partition_states()?;
        let change_sets: u64 =
            states.iter().filter(|state| partitions.contains(&state.name)).map(|state| state.change_sets).sum();
        said.push(json!({ "file": file, "bytes": bundle.len(), "change_sets": change_sets }));
    }
    if options.state.is_none() && options.automerge.is_none() && options.yjs.is_none() {
        return say(context, &said);
    }
    let workspace = Workspace::open(context)?;
    let keys: Vec<DocumentKey> = match &options.document {
        Some(wanted) => vec![workspace.find(wanted)?],
        None => workspace.listed()?.into_iter().map(|listed| listed.key).collect(),
    };
    if let Some(file) = &options.state {
        let mut states: Vec<Json> = Vec::new();
        for key in &keys {
            states.extend(state(&workspace, key)?);
        }
        let text = format!("{:#}\n", Json::Array(states));
        if file == Path::new("-") {
            return Ok(std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).map(|()| true)?);
        }
        write_atomically(file, text.as_bytes())?;
        said.push(json!({ "file": file, "bytes": text.len(), "documents": keys.len() }));
    }
    if let Some(folder) = &options.automerge {
        let size = images(&workspace, &keys, folder, "automerge", |document| Ok(document.save_automerge()?))?;
        said.push(json!({ "file": folder, "bytes": size, "documents": keys.len() }));
    }
    if let Some(folder) = &options.yjs {
        let size = images(&workspace, &keys, folder, "yjs", |document| Ok(document.save_yjs()))?;
        said.push(json!({ "file": folder, "bytes": size, "documents": keys.len() }));
    }
    say(context, &said)
}

fn say(context: &Context, said: &[Json]) -> Outcome {
    if context.json {
        crate::output::json(&Json::Array(said.to_vec()))?;
        return Ok(true);
    }
    for part in said {
        let size = bytes(part["bytes"].as_u64().unwrap_or(0) as usize);
        let what = match part["change_sets"].as_u64() {
            Some(number) => things(number as usize, "change set"),
            None => things(part["documents"].as_u64().unwrap_or(0) as usize, "document"),
        };
        line(&format!("{}: {what}, {size}", part["file"].as_str().unwrap_or_default()))?;
    }
    Ok(true)
}

fn state(workspace: &Workspace, key: &DocumentKey) -> anyhow::Result<Option<Json>> {
    let schema = workspace.book.kinds().kind(key.kind.as_str()).map(|kind| kind.schema());
    let tell = |document: &mut Document| described(document, document_json(document, schema, Removed::Hide));
    workspace.partition.document(key, tell)?.transpose()
}

fn images(
    workspace: &Workspace,
    keys: &[DocumentKey],
    folder: &Path,
    extension: &str,
    image: impl Fn(&mut Document) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut size = 0;
    for key in keys {
        let Some(bytes) = workspace.partition.document(key, &image)?.transpose()? else { continue };
        size += bytes.len();
        write_atomically(&folder.join(format!("{}-{}.{extension}", key.kind, key.id.to_uuid())), &bytes)?;
    }
    Ok(size)
}
