//! `do`: carry out a command on a document.

use crate::commands::short;
use crate::output::line;
use crate::workspace::{Refused, Workspace, kinds, new_document};
use crate::{Context, Outcome};
use anyhow::{Context as _, anyhow};
use serde_json::json;
use std::io::Read;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The document: its number, the beginning of its id, or new:KIND for a new one
    document: String,
    /// The command; see: fieldbook intents
    intent: String,
    /// What it says, as JSON; @FILE reads a file, - reads standard input [default: {}]
    what: Option<String>,
    /// Only print an example of what the command says
    #[arg(long)]
    example: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    if options.example {
        return example(options, context);
    }
    let what = read(options.what.as_deref().unwrap_or("{}"))?;
    let mut workspace = Workspace::open(&context.folder)?;
    let key = match options.document.strip_prefix("new:") {
        Some(kind) => new_document(kind)?,
        None => workspace.find(&options.document)?.key().clone(),
    };
    let intent = workspace.kinds.decode(key.kind.as_str(), &options.intent, &what)?;
    match workspace.act(&key, &intent)? {
        Ok(entry) => {
            workspace.save()?;
            if context.json {
                crate::output::json(&json!({
                    "change_set": entry.id().to_string(), "document": key.id.to_uuid(), "kind": key.kind.as_str(),
                }))?;
            } else {
                line(&format!("{} on {key}: change set {}", options.intent, short(&entry.id())))?;
            }
            Ok(true)
        }
        Err(Refused::Rules(violations)) => {
            if context.json {
                crate::output::json(&json!({ "violations": violations }))?;
            } else {
                line(&format!("{} was not done; nothing was changed:", options.intent))?;
                violations.iter().try_for_each(|violation| line(&format!("  {violation}")))?;
            }
            Ok(false)
        }
    }
}

fn example(options: &Options, context: &Context) -> Outcome {
    let kinds = kinds()?;
    let kind = match options.document.strip_prefix("new:") {
        Some(kind) => kind.to_owned(),
        None => Workspace::open(&context.folder)?.find(&options.document)?.key().kind.to_string(),
    };
    let kind = kinds.kind(&kind).ok_or_else(|| anyhow!("there is no kind {kind}; see: fieldbook intents"))?;
    let names = || kind.intents().iter().map(|intent| intent.name()).collect::<Vec<_>>().join(", ");
    let intent = kind
        .intent(&options.intent)
        .ok_or_else(|| anyhow!("there is no command {}; this kind takes {}", options.intent, names()))?;
    line(&intent.example().to_json()?)?;
    Ok(true)
}

fn read(what: &str) -> anyhow::Result<String> {
    if what == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input as UTF-8 text")?;
        return Ok(text);
    }
    match what.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}")),
        None => Ok(what.to_owned()),
    }
}
