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
A workspace folder holds the store of one device, in the file store.fieldbook. The device's key is in it: copying the \
folder copies the device, and both copies notice. A first walk, with two devices on one machine:

  fieldbook -C ana init --name \"Ana's tablet\" --person Ana --partition north-pier
  fieldbook -C ana do new:inspection create --example     # shows what the command wants
  fieldbook -C ana import --mapping northwind_orders --data ../csv
  fieldbook relay --data relay &                          # or bundles on a stick: export --signed, merge
  fieldbook -C ana sync ws://127.0.0.1:7171
  fieldbook -C ben join --name \"Ben's phone\" --workspace ID --partition north-pier --relay ws://127.0.0.1:7171 --wait
  fieldbook -C ana grant --requests --relay ws://127.0.0.1:7171
  fieldbook -C ana grant --relay ws://127.0.0.1:7171 CODE --person Ben
  fieldbook -C ben list order --status approved

Exit codes: 0 done; 1 the answer is no (a command is against the rules or not permitted, bundles differ, a bundle or store \
does not hold, a relay refused something); 2 the command line is wrong; 3 something could not be read, written, reached or \
understood.";

/// What the command line says.
#[derive(Parser, Debug)]
#[command(name = "fieldbook", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 120)]
struct Arguments {
    /// The workspace folder
    #[arg(short = 'C', long = "folder", value_name = "FOLDER", default_value = ".", global = true)]
    folder: PathBuf,
    /// The partition, where a device keeps several [default: the only one]; init and join make it
    #[arg(long = "partition", value_name = "NAME", global = true)]
    partitions: Vec<String>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Watch devices edit the same records apart, be killed and put back, and converge, all in real processes
    Demo(demo::Options),
    /// A device of the demo
    #[command(hide = true)]
    DemoDevice(demo::DeviceOptions),
    /// The relay of the demo
    #[command(hide = true)]
    DemoRelay(demo::RelayOptions),
    /// Found a workspace, of which this device is the first
    Init(commands::init::Options),
    /// Make a device for a workspace that exists
    Join(commands::join::Options),
    /// Let a device in, or see who asks to be
    Grant(commands::grant::Options),
    /// Show who may write, with which devices, until when
    Members(commands::members::Options),
    /// Exchange with relays, once or for as long as it runs
    Sync(commands::sync::Options),
    /// Show how this device stands: let in, outbox, inbox, relays, size
    Status(commands::status::Options),
    /// Import CSV files through a mapping file, one change set for each record
    Import(commands::import::Options),
    /// List the documents, without opening any
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
    /// What was typed and could not be saved: list, show, retry, discard
    Drafts(commands::drafts::Options),
    /// Take in bundles of other devices
    Merge(commands::merge::Options),
    /// Write a signed bundle, JSON, or the Automerge and Yjs images
    Export(commands::export::Options),
    /// Compare two bundles or devices
    Diff(commands::diff::Options),
    /// Check every page, signature, hash and index row of a store, or of a bundle
    Verify(commands::verify::Options),
    /// Copy the store to a file
    Backup(commands::store::Backup),
    /// Put a backup in place as the store of a folder
    Restore(commands::store::Restore),
    /// Give unused space of the store back
    Compact(commands::store::Compact),
    /// Run a relay in this process; fieldbook-relay has every option
    Relay(commands::relay::Options),
}

/// What a command that did its work has to say: whether the answer is yes.
pub(crate) type Outcome = anyhow::Result<bool>;

/// Where and how a command works.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    pub(crate) folder: PathBuf,
    /// As named on the command line; mostly none or one.
    pub(crate) partitions: Vec<String>,
    pub(crate) json: bool,
    /// Certificates to trust beside the public ones.
    pub(crate) certificates: Vec<PathBuf>,
    /// Whether relays beyond this machine may be talked to without TLS.
    pub(crate) allow_plain: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { folder, partitions, json, command } = arguments;
    let context = Context { folder, partitions, json, ..Context::default() };
    let outcome = match command {
        Command::Demo(options) => demo::run(&context, &options),
        Command::DemoDevice(options) => demo::run_device(&options),
        Command::DemoRelay(options) => demo::run_relay(&options),
        Command::Init(options) => commands::init::run(&context, &options),
        Command::Join(options) => commands::join::run(&context, &options),
        Command::Grant(options) => commands::grant::run(&context, &options),
        Command::Members(options) => commands::members::run(&context, &options),
        Command::Sync(options) => commands::sync::run(&context, &options),
        Command::Status(options) => commands::status::run(&context, &options),
        Command::Drafts(options) => commands::drafts::run(&context, &options),
        Command::Backup(options) => commands::store::backup(&context, &options),
        Command::Restore(options) => commands::store::restore(&context, &options),
        Command::Compact(options) => commands::store::compact(&context, &options),
        Command::Relay(options) => commands::relay::run(&context, &options),
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
