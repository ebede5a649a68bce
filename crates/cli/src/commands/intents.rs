//! `intents`: the kinds of documents and the commands that each takes.

use crate::output::{Align, Table, line};
use crate::workspace::kinds;
use crate::{Context, Outcome};
use anyhow::bail;
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only this kind
    kind: Option<String>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let kinds = kinds()?;
    if let Some(kind) = options.kind.as_ref().filter(|kind| kinds.kind(kind).is_none()) {
        let known: Vec<&str> = kinds.kinds().map(|kind| kind.schema().kind().as_str()).collect();
        bail!("there is no kind {kind}; there are {}", known.join(", "));
    }
    let wanted =
        kinds.kinds().filter(|kind| options.kind.as_ref().is_none_or(|name| kind.schema().kind().as_str() == name));
    if context.json {
        let mut all = Vec::new();
        for kind in wanted {
            for intent in kind.intents() {
                let example: Json = serde_json::from_str(&intent.example().to_json()?)?;
                all.push(json!({
                    "kind": kind.schema().kind().as_str(), "intent": intent.name(), "summary": intent.summary(),
                    "example": example,
                }));
            }
        }
        crate::output::json(&Json::Array(all))?;
        return Ok(true);
    }
    for kind in wanted {
        line(kind.schema().kind().as_str())?;
        let mut table = Table::new(&[("command", Align::Left), ("what it does", Align::Left)]);
        kind.intents().iter().for_each(|intent| table.row([intent.name().to_owned(), intent.summary().to_owned()]));
        table.print(2)?;
        line("")?;
    }
    line("An example of what a command says: fieldbook do new:KIND COMMAND --example")?;
    Ok(true)
}
