//! The relay of the demo: a process that runs what `fieldbook-relay` runs, and says what it holds.

use crate::Outcome;
use crate::demo::PARTITION;
use crate::demo::process::{Pulse, commands, nothing_but_answers};
use crate::demo::wire::{Command, Heard, State, hex_ids, say};
use anyhow::bail;
use changeset::ChangeSetId;
use fieldbook::access::KeyText;
use fieldbook::replica::Replica;
use fieldbook::storage::{self, Store};
use relay::{Config, Relay};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    #[arg(long)]
    folder: PathBuf,
    /// The port to listen on; one of the system's choice if it is taken meanwhile
    #[arg(long, default_value_t = 0)]
    port: u16,
}

pub(crate) fn run(options: &Options) -> Outcome {
    nothing_but_answers(|| serve(options))
}

fn serve(options: &Options) -> anyhow::Result<()> {
    // What is on disk before anybody can bring anything.
    let found = found(options)?;
    let relay = start(options, options.port).or_else(|_| start(options, 0))?;
    let pulse = Arc::new(Pulse::default());
    let beat = Arc::clone(&pulse);
    relay.replica().listen(Box::new(move |_, _| beat.beat()));
    let replica = relay.replica().clone();
    pulse.tell(move || state(&replica));
    let key = KeyText::of_key(&relay.key());
    say(&Heard::Answer { what: json!({ "url": relay.address(), "key": key.to_string(), "found": found }) })?;
    for command in commands() {
        let answer = match command {
            Command::Quit => break,
            Command::Ids => ids(relay.replica().store()),
            Command::Verify => verify(relay.replica()),
            other => Err(anyhow::anyhow!("a relay does not {other:?}")),
        };
        say(&Heard::State(state(relay.replica())))?;
        match answer {
            Ok(what) => say(&Heard::Answer { what })?,
            Err(error) => say(&Heard::Failed { why: format!("{error:#}") })?,
        }
    }
    relay.stop();
    Ok(())
}

fn start(options: &Options, port: u16) -> anyhow::Result<Relay> {
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut config = Config::new(&options.folder);
    (config.listen, config.admin) = (loopback(port), loopback(0));
    // A nearly full disk is the relay's business, and not what is shown here.
    config.free_disk_min = 0;
    Ok(Relay::start(config)?)
}

fn found(options: &Options) -> anyhow::Result<Json> {
    let file = options.folder.join("relay.redb");
    if !file.exists() {
        return Ok(Json::Null);
    }
    let mut storage = storage::Options::default();
    storage.role = "relay".to_owned();
    let (store, opened) = Store::open(file, storage)?;
    if opened != storage::Opened::Same {
        bail!("the relay's store was taken for a copy: {opened:?}");
    }
    ids(&store)
}

fn ids(store: &Store) -> anyhow::Result<Json> {
    let view = store.view()?;
    let mut ids: Vec<ChangeSetId> = Vec::new();
    for log in view.logs()?.into_iter().filter(|log| log.partition.as_str() == PARTITION) {
        let end = view.log(&log)?.map_or(0, |state| state.end.position);
        ids.extend(view.entries(&log, 0..end)?.iter().map(|entry| entry.id()));
    }
    Ok(json!(hex_ids(ids.iter())))
}

fn verify(replica: &Replica) -> anyhow::Result<Json> {
    let report = replica.store().verify(|_| {})?;
    let findings: Vec<String> = report.findings.iter().map(|finding| format!("{finding:?}")).collect();
    Ok(json!({ "pages": report.pages, "entries": report.entries, "findings": findings }))
}

fn state(replica: &Replica) -> State {
    let counters = replica.counters();
    let held = replica.store().view().and_then(|view| {
        let mut held = 0;
        for log in view.logs()?.iter().filter(|log| log.partition.as_str() == PARTITION) {
            held += view.log(log)?.map_or(0, |state| state.end.position);
        }
        Ok(held)
    });
    let sessions = replica.sessions().count() as u64;
    State {
        connectivity: format!("serves {sessions}"),
        held: held.unwrap_or(0),
        bytes_in: counters.bytes_in.get(),
        bytes_out: counters.bytes_out.get(),
        sessions,
        ..State::default()
    }
}
