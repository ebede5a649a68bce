//! `do`: carry out a command on a document.

use crate::commands::drafts::{self, Draft};
use crate::commands::short;
use crate::output::{line, remark};
use crate::workspace::{Workspace, kinds};
use crate::{Context, Outcome};
use anyhow::{Context as _, anyhow};
use fieldbook::{Error, Standing};
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
    let workspace = Workspace::open(context)?;
    let key = match options.document.strip_prefix("new:") {
        Some(kind) => workspace.book.new_document(kind)?,
        None => workspace.find(&options.document)?,
    };
    act(context, &workspace, Draft::of_intent(&key, &options.intent, &what), None)
}

/// Carries out an intent; `kept` is the draft that it was until now.
pub(crate) fn act(context: &Context, workspace: &Workspace, draft: Draft, kept: Option<&str>) -> Outcome {
    let key = draft.key()?;
    let name = draft.intent.clone();
    let intent = workspace.book.kinds().decode(key.kind.as_str(), &name, &draft.what)?;
    match workspace.partition.act(&key, &intent) {
        Ok(saved) => {
            workspace.refresh()?;
            if let Some(kept) = kept {
                workspace.partition.discard_draft(kept)?;
            }
            let is_draft = say_if_not_let_in(workspace)?;
            if context.json {
                crate::output::json(&json!({
                    "change_set": saved.id.to_string(), "document": key.id.to_uuid(), "kind": key.kind.as_str(),
                    "counts": !is_draft,
                }))?;
            } else {
                line(&format!("{name} on {key}: change set {}", short(&saved.id)))?;
            }
            Ok(true)
        }
        Err(Error::Rules(violations)) => {
            if context.json {
                crate::output::json(&json!({ "violations": violations }))?;
            } else {
                line(&format!("{name} was not done; nothing was changed:"))?;
                violations.iter().try_for_each(|violation| line(&format!("  {violation}")))?;
            }
            Ok(false)
        }
        Err(Error::NotPermitted(why)) => drafts::keep(context, workspace, draft, &why.to_string(), kept),
        Err(other) => Err(other.into()),
    }
}

/// Says so where what was saved does not count yet. Gives whether that is so.
pub(crate) fn say_if_not_let_in(workspace: &Workspace) -> anyhow::Result<bool> {
    let is_draft = workspace.book.standing(workspace.partition.name())? == Standing::None;
    if is_draft {
        remark(&format!(
            "note: this device is not let into {} yet. What was saved is kept, and counts once it is: fieldbook status",
            workspace.partition.name()
        ));
    }
    Ok(is_draft)
}

fn example(options: &Options, context: &Context) -> Outcome {
    let kinds = kinds()?;
    let kind = match options.document.strip_prefix("new:") {
        Some(kind) => kind.to_owned(),
        None => Workspace::open(context)?.find(&options.document)?.kind.to_string(),
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
