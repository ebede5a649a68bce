//! `demo`: a relay and several devices, each a process with a store of its own, over websockets on this machine. They edit
//! the same records apart, are killed, put back and join late, and converge.

mod cast;
mod device;
mod dice;
mod edits;
mod process;
mod relay;
mod script;
mod story;
mod summary;
mod view;
mod wire;

use crate::{Context, Outcome};
use anyhow::Context as _;
use std::path::PathBuf;

pub(crate) use device::{Options as DeviceOptions, run as run_device};
pub(crate) use relay::{Options as RelayOptions, run as run_relay};

/// Everybody shares one partition.
const PARTITION: &str = "north-pier";

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Where chance comes from: who edits what. Processes, keys and timing are real and differ from run to run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many devices take part, the one that joins late included
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=8))]
    devices: u8,
    /// How many edits each device makes where it makes some; more take longer
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=500))]
    edits: u16,
    /// Use the real CSV files in this folder instead of the built-in records
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Keep the stores in this folder, which must be new or empty, instead of removing them
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Plain lines, even in a terminal
    #[arg(long)]
    plain: bool,
    /// Lose one saved edit on purpose, to see that the demo notices
    #[arg(long, hide = true)]
    sabotage: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let kept = options.keep.as_deref().map(prepare).transpose()?;
    // Declared before the story, and so removed after every process has ended.
    let temporary =
        if kept.is_none() { Some(tempfile::Builder::new().prefix("fieldbook-demo-").tempdir()?) } else { None };
    let folder =
        kept.or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned())).context("there is a folder")?;
    let ending = story::tell(context, options, &folder)?;
    summary::print(&ending, context.json)
}

fn prepare(folder: &std::path::Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut files = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    anyhow::ensure!(
        files.next().is_none(),
        "{} is not empty; name another folder to keep the stores in",
        folder.display()
    );
    Ok(folder.canonicalize()?)
}
