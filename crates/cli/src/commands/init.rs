//! `init`: a new workspace folder.

use crate::output::line;
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// What this device is called; signed with its key and shown beside what it writes
    #[arg(long)]
    name: String,
    /// The partition: one site, crew or region [default: main, or that of the bundle]
    #[arg(long)]
    partition: Option<String>,
    /// Join the workspace of this bundle or workspace folder and take in its change sets
    #[arg(long, value_name = "BUNDLE")]
    join: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let made = Workspace::init(&context.folder, &options.name, options.partition.as_deref(), options.join.as_deref())?;
    let (partition, actor) = (&made.partition, made.author.actor());
    if context.json {
        crate::output::json(&json!({
            "folder": context.folder, "workspace": partition.workspace().to_string(),
            "partition": partition.name().as_str(), "device_key": actor.key().to_string(),
        }))?;
    } else {
        line(&format!(
            "{}: device {} ({}…) in partition {} of workspace {}…, {}",
            context.folder.display(),
            options.name,
            actor.key().short(),
            partition.name(),
            partition.workspace().short(),
            crate::output::things(partition.documents().count(), "document"),
        ))?;
    }
    Ok(true)
}
