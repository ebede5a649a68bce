//! A relay of the run: the real one, in a process of its own.

use crate::clock::Offset;
use crate::words::{Command, Heard, State, commands, hex, ids, say, tell_what_enters};
use changeset::ChangeSetId;
use fieldbook::KeyText;
use relay::{Config, Relay};
use replica::Replica;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The folder of its store
    folder: PathBuf,
    /// How far its clock is off, in milliseconds
    #[arg(long, allow_negative_numbers = true, default_value_t = 0)]
    clock: i64,
}

/// How often it is looked whether the state is another.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let clock = Offset::new(options.clock);
    let (found, was_put_back) = found(options)?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(&options.folder);
    (config.listen, config.admin) = (loopback, loopback);
    // A nearly full disk is not what is tried here.
    config.free_disk_min = 0;
    config.clock = clock.clock();
    let relay = Relay::start(config)?;
    let replica = relay.replica().clone();
    // What enters before anybody listens would never be told; nobody knows the address yet.
    tell_what_enters(&replica);
    say(&Heard::Ready {
        key: KeyText::of_key(&relay.key()).to_string(),
        workspace: String::new(),
        address: relay.address().trim_start_matches("ws://").to_owned(),
        was_put_back,
        ids: hex(&found),
    })?;
    let (commands, mut last) = (commands(), State::default());
    loop {
        match commands.recv_timeout(LOOK) {
            Ok(Command::Quit) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(command) => {
                let answer = carry_out(&replica, &clock, command);
                say(&answer.unwrap_or_else(|error| Heard::Failed { why: format!("{error:#}") }))?;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = state(&replica)?;
        if now != last {
            say(&Heard::State(now.clone()))?;
            last = now;
        }
    }
    drop(replica);
    relay.stop();
    Ok(())
}

/// What is on disk before anybody can bring anything, and whether the store was put back.
fn found(options: &Options) -> anyhow::Result<(Vec<ChangeSetId>, bool)> {
    let file = options.folder.join("relay.redb");
    if !file.exists() {
        return Ok((Vec::new(), false));
    }
    let mut storage = storage::Options::default();
    storage.role = "relay".to_owned();
    let (store, opened) = storage::Store::open(file, storage)?;
    Ok((ids(&store)?, opened != storage::Opened::Same))
}

fn carry_out(replica: &Replica, clock: &Offset, command: Command) -> anyhow::Result<Heard> {
    match command {
        Command::Clock { offset_ms } => clock.set(offset_ms),
        Command::Backup { to } => {
            replica.store().backup(&to, |_| {})?;
            return Ok(Heard::BackedUp { to });
        }
        Command::Verify => return verify(&replica.store().verify(|_| {})?),
        other => anyhow::bail!("a relay does not {other:?}"),
    }
    Ok(Heard::Done)
}

pub(crate) fn verify(report: &storage::Report) -> anyhow::Result<Heard> {
    let findings = report.findings.iter().map(|finding| format!("{finding:?}")).collect();
    Ok(Heard::Verified { pages: report.pages, entries: report.entries, findings })
}

fn state(replica: &Replica) -> anyhow::Result<State> {
    let view = replica.store().view()?;
    let mut waiting = 0;
    for log in view.logs()? {
        waiting += view.log(&log)?.map_or(0, |state| state.waiting);
    }
    let sessions = replica.sessions().count() as u64;
    Ok(State { waiting, size: replica.store().size()?, sessions, is_up_to_date: true, ..State::default() })
}
