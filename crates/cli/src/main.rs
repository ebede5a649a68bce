//! The `fieldbook` command.

mod bundle_file;
mod commands;
mod demo;
mod device;
mod output;
mod workspace;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const ABOUT: &str = "Offline-first records that several devices edit apart and merge";

const AFTER_HELP: &str = "\
A workspace here is a folder with a device key, a settings file and one bundle of signed change sets.
A first walk, with two devices on one machine:

  fieldbook -C ana init --name \"Ana\"
  fieldbook -C ana do new:inspection create --example     # shows what the command wants
  fieldbook -C ana import --mapping northwind_orders --data ../csv
  fieldbook -C ana export --signed stick.fieldbook        # a bundle, for a USB stick
  fieldbook -C ben init --name \"Ben\" --join stick.fieldbook
  fieldbook -C ben list order

Exit codes: 0 done; 1 the answer is no (a command is against the rules, bundles differ, a bundle is refused);
2 the command line is wrong; 3 a file could not be read, written or understood.";

/// What the command line says.
#[derive(Parser, Debug)]
#[command(name = "fieldbook", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 120)]
struct Arguments {
    /// The workspace folder
    #[arg(short = 'C', long = "workspace", value_name = "FOLDER", default_value = ".", global = true)]
    workspace: PathBuf,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Watch five devices edit the same records apart, get lost and copied, and converge
    Demo(demo::Options),
    /// Make a workspace folder with a new device key
    Init(commands::init::Options),
    /// Import CSV files through a mapping file, one change set for each record
    Import(commands::import::Options),
    /// List the documents
    List(commands::list::Options),
    /// Show a document as it is, or as it was
    Show(commands::show::Options),
    /// Show who did what and when
    Log(commands::log::Options),
    /// Show where people disagreed, by which rule one value is shown, and what else was said
    Conflicts(commands::conflicts::Options),
    /// Read a text with its authors, or change it
    Text(commands::text::Options),
    /// Carry out a command on a document
    Do(commands::act::Options),
    /// List the kinds of documents and the commands that each takes
    Intents(commands::intents::Options),
    /// Take in bundles of other devices
    Merge(commands::merge::Options),
    /// Write a signed bundle, JSON, or the Automerge and Yjs images
    Export(commands::export::Options),
    /// Compare two bundles or workspaces
    Diff(commands::diff::Options),
    /// Check every signature and hash of a bundle or of this workspace
    Verify(commands::verify::Options),
}

/// What a command that did its work has to say: whether the answer is yes.
pub(crate) type Outcome = anyhow::Result<bool>;

/// Where and how a command works.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) folder: PathBuf,
    pub(crate) json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let context = Context { folder: arguments.workspace, json: arguments.json };
    let outcome = match arguments.command {
        Command::Demo(options) => demo::run(&context, &options),
        Command::Init(options) => commands::init::run(&context, &options),
        Command::Import(options) => commands::import::run(&context, &options),
        Command::List(options) => commands::list::run(&context, &options),
        Command::Show(options) => commands::show::run(&context, &options),
        Command::Log(options) => commands::log::run(&context, &options),
        Command::Conflicts(options) => commands::conflicts::run(&context, &options),
        Command::Text(options) => commands::text::run(&context, &options),
        Command::Do(options) => commands::act::run(&context, &options),
        Command::Intents(options) => commands::intents::run(&context, &options),
        Command::Merge(options) => commands::merge::run(&context, &options),
        Command::Export(options) => commands::export::run(&context, &options),
        Command::Diff(options) => commands::diff::run(&context, &options),
        Command::Verify(options) => commands::verify::run(&context, &options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            if output::is_closed_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            output::error(&format!("{error:#}"));
            ExitCode::from(3)
        }
    }
}
