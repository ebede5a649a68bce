//! `soak`: devices and relays as real processes, for as long as it is told, while everything goes wrong that may.

mod cast;
mod clock;
mod device;
mod end;
mod ledger;
mod network;
mod relay;
mod trouble;
mod words;
mod world;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs devices and relays as real processes that edit all the time while everything goes wrong that may, and checks at
/// the end that nothing was lost and that everybody agrees.
///
/// Processes are killed (SIGKILL) and stopped (SIGSTOP), connections are cut, ended inside a frame, stalled one way and
/// slowed by a proxy in between, clocks are set wrong, stores are backed up while they are used, put back to their backups or
/// to images of their disks, and copied. Then everything heals: within the healing time each process must hold every change
/// set that any disk holds which nobody put back. All digests must be equal, also to that of the naive model; every store
/// is verified.
///
/// What happened is in story.txt in the folder of the stores, which stays if anything is wrong. The seed decides what
/// people do and what goes wrong; processes, keys and timing are real and differ from run to run. Ctrl-C ends the trouble
/// early and checks all the same, a second one ends at once. Exit code: 0 clean, 1 something was wrong.
#[derive(Debug, Parser)]
#[command(
    name = "soak",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  cargo run --release -p fieldbook-soak -- --minutes 30 --devices 6 --relays 2"
)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many minutes everything goes wrong; added to --seconds
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// How many seconds everything goes wrong; without --minutes and --seconds it is one minute
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// How many devices there are at the beginning; copies of stores come on top
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    devices: u16,
    /// How many relays each of them calls
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=8))]
    relays: u16,
    /// What people do and what goes wrong follows from it; drawn and shown if it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// Milliseconds between two edits of a device on average. Less: longer histories, and slower checks at the end
    #[arg(long, default_value_t = 500)]
    pause: u64,
    /// Milliseconds between two troubles on average
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u64).range(1..))]
    trouble: u64,
    /// The most copies of device stores that go on as devices of their own
    #[arg(long, default_value_t = 2)]
    copies: usize,
    /// Seconds after the end of all trouble within which everybody must have everything
    #[arg(long, default_value_t = 60)]
    healing: u64,
    /// Keep the stores in this folder, which must be new or empty, also when all is well
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Lose an edit on purpose that nothing excuses, to see that it is noticed
    #[arg(long, hide = true)]
    sabotage: bool,
}

impl Options {
    fn length(&self) -> Duration {
        match self.minutes * 60 + self.seconds {
            0 => Duration::from_mins(1),
            seconds => Duration::from_secs(seconds),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Role {
    /// A device of the run
    #[command(hide = true)]
    Device(device::Options),
    /// A relay of the run
    #[command(hide = true)]
    Relay(relay::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.role {
        None => world::run(&arguments.options),
        Some(role) => words::end_with_parent().and_then(|()| match role {
            Role::Device(options) => device::run(options),
            Role::Relay(options) => relay::run(options),
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
