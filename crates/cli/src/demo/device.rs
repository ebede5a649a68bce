//! A device of the demo: a process with its own store, which does what it is told and says what it saved.

use crate::Outcome;
use crate::commands::import::{self, BUILT_IN, load};
use crate::commands::{minute, plain, rule_code};
use crate::demo::PARTITION;
use crate::demo::dice::Dice;
use crate::demo::edits::{self, Done};
use crate::demo::process::{Pulse, commands, nothing_but_answers};
use crate::demo::wire::{Command, Heard, Place, State, hex_ids, say};
use anyhow::{Context as _, bail};
use changeset::Path;
use fieldbook::access::KeyText;
use fieldbook::replica::system_clock;
use fieldbook::storage::LogKey;
use fieldbook::{
    Connectivity, DeviceKey, Fieldbook, Invitation, Link, NewWorkspace, Partition, PartitionName, Settings, Watched,
    comparison_code,
};
use fieldbook_import::Part;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long a device waits for the relay's answer to a knock.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How many records of a file go into one commit.
const RECORDS_AT_ONCE: usize = 100;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    #[arg(long)]
    name: String,
    #[arg(long)]
    store: PathBuf,
    /// Found a workspace
    #[arg(long)]
    found: bool,
    /// Make a store in this workspace
    #[arg(long)]
    join: Option<String>,
    /// How far this device's clock is off, in milliseconds
    #[arg(long, allow_negative_numbers = true)]
    clock: i64,
}

pub(crate) fn run(options: &Options) -> Outcome {
    nothing_but_answers(|| serve(options))
}

struct Device {
    book: Fieldbook,
    partition: Partition,
    log: LogKey,
    link: Option<Link>,
    runtime: Runtime,
    connectivity: Arc<Mutex<Option<Watched<Connectivity>>>>,
    pulse: Arc<Pulse>,
}

fn open(options: &Options, name: &PartitionName) -> anyhow::Result<Fieldbook> {
    let mut settings = Settings::new()?;
    let (system, off) = (system_clock(), options.clock);
    settings.replica.clock = Arc::new(move || system().saturating_add_signed(off));
    if options.found {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let root = DeviceKey::from_secret(&secret);
        let new = NewWorkspace {
            name: "Harbour works".to_owned(),
            roots: vec![&root],
            threshold: 1,
            device: options.name.clone(),
            person: options.name.clone(),
            partition: name.clone(),
        };
        return Ok(Fieldbook::create(&options.store, &new, settings)?);
    }
    match &options.join {
        Some(workspace) => {
            let workspace = workspace.parse::<KeyText>()?.to_workspace();
            Ok(Fieldbook::join(&options.store, workspace, &options.name, std::slice::from_ref(name), settings)?)
        }
        None => Ok(Fieldbook::open(&options.store, settings)?),
    }
}

fn serve(options: &Options) -> anyhow::Result<()> {
    let name = PartitionName::new(PARTITION)?;
    let book = open(options, &name)?;
    let pulse = Arc::new(Pulse::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut device = Device {
        partition: book.partition(&name)?,
        log: LogKey::new(book.workspace(), name),
        link: None,
        connectivity: Arc::default(),
        pulse: Arc::clone(&pulse),
        runtime,
        book,
    };
    device.watch();
    let key = device.book.key_text();
    say(&Heard::Answer {
        what: json!({
            "key": key.to_string(), "key_grouped": key.grouped(), "key_hex": device.book.key().to_string(),
            "workspace": KeyText::of_workspace(&device.book.workspace()).to_string(),
            "was_put_back": device.book.was_put_back(), "held": device.held()?, "own": device.own_ids()?,
        }),
    })?;
    for command in commands() {
        if matches!(command, Command::Quit) {
            break;
        }
        let answer = device.carry_out(command);
        say(&Heard::State(device.state()))?;
        match answer {
            Ok(what) => say(&Heard::Answer { what })?,
            Err(error) => say(&Heard::Failed { why: format!("{error:#}") })?,
        }
    }
    if let Some(link) = device.link.take() {
        device.runtime.block_on(link.close());
    }
    device.book.close();
    Ok(())
}

impl Device {
    /// Says how it stands whenever that changed.
    fn watch(&self) {
        let pulse = Arc::clone(&self.pulse);
        self.book.replica().listen(Box::new(move |_, _| pulse.beat()));
        let (mut outbox, pulse) = (self.book.outbox(), Arc::clone(&self.pulse));
        self.runtime.spawn(async move {
            while outbox.changed().await.is_some() {
                pulse.beat();
            }
        });
        let (book, connectivity, log) = (self.book.clone(), Arc::clone(&self.connectivity), self.log.clone());
        self.pulse.tell(move || state(&book, &connectivity, &log));
    }

    fn state(&self) -> State {
        state(&self.book, &self.connectivity, &self.log)
    }

    fn held(&self) -> anyhow::Result<u64> {
        Ok(held(&self.book, &self.log))
    }

    /// The ids of the entries of this device's own key.
    fn own_ids(&self) -> anyhow::Result<Vec<String>> {
        let view = self.book.replica().store().view()?;
        let entries = view.entries(&self.log, 0..self.held()?)?;
        let own = entries.iter().filter(|entry| *entry.actor().key() == self.book.key());
        Ok(own.map(|entry| entry.id().to_string()).collect())
    }

    fn saved(&self, (saved, what): Done) -> anyhow::Result<()> {
        Ok(say(&Heard::Saved { ids: vec![saved.id.to_string()], what })?)
    }

    fn carry_out(&mut self, command: Command) -> anyhow::Result<Json> {
        match command {
            Command::Connect { url } => self.connect(&url)?,
            Command::Disconnect => {
                if let Some(link) = self.link.take() {
                    self.runtime.block_on(link.close());
                }
                *self.connectivity.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            Command::Knock { url } => {
                let report = self.book.knock(&url, ANSWER_TIMEOUT)?;
                return Ok(json!({ "is_denied": !report.denied.is_empty() }));
            }
            Command::Knocks { url } => return self.knocks(&url),
            Command::Code { nonce } => {
                let nonce = nonce_of(&nonce)?;
                return Ok(json!(comparison_code(&self.book.workspace(), &self.book.key(), &nonce).to_string()));
            }
            Command::Grant { key, person } => {
                let key = key.parse::<KeyText>()?.to_key();
                // From the beginning on, so that what was written before counts too, whatever the device's clock said.
                let saved = self.book.grant(self.partition.name(), &Invitation::new(key, &person, "inspector", 0))?;
                self.saved((saved, format!("grant for {person}")))?;
            }
            Command::Begin { data, part, of } => return self.begin(data, part, of),
            Command::Records => return Ok(serde_json::to_value(edits::records(&self.partition)?)?),
            Command::Edit(step) => {
                if let Some(done) = edits::edit(&self.partition, &step)? {
                    self.saved(done)?;
                }
            }
            Command::Write { document, path, pieces } => {
                edits::type_in(&self.partition, &document, &path, &pieces, |done| self.saved(done))?;
            }
            Command::Edits { documents, count, seed, is_announced } => {
                self.edits(&documents, count, seed, is_announced)?;
            }
            Command::Unacknowledged => {
                let sent = self.book.replica().counters().change_sets_out.get();
                return Ok(json!({ "sent": sent, "outbox": self.book.outbox_now()?.count }));
            }
            Command::Backup { to } => self.book.backup(to, |_| {})?,
            Command::Level { held, seconds } => return self.level(held, seconds),
            Command::Ids => return Ok(json!(self.ids()?)),
            Command::Log => return self.log(),
            Command::Verify => {
                let report = self.book.verify(|_| {})?;
                let findings: Vec<String> = report.findings.iter().map(|finding| format!("{finding:?}")).collect();
                return Ok(json!({ "pages": report.pages, "entries": report.entries, "findings": findings }));
            }
            Command::Conflicts { first, at_most } => return self.conflicts(&first, at_most),
            Command::Text { document, path } => return self.text(&document, &path),
            Command::Quit => {}
        }
        Ok(Json::Null)
    }

    fn connect(&mut self, url: &str) -> anyhow::Result<()> {
        let link = self.book.connect(url)?;
        let mut watched = link.connectivity();
        *self.connectivity.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched.clone());
        // A link that was there before is dropped, and its session with it.
        self.link = Some(link);
        let pulse = Arc::clone(&self.pulse);
        self.runtime.spawn(async move {
            while watched.changed().await.is_some() {
                pulse.beat();
            }
        });
        Ok(())
    }

    fn knocks(&self, url: &str) -> anyhow::Result<Json> {
        let report = self.book.knocks(url, ANSWER_TIMEOUT)?;
        let mut told = Vec::new();
        for knock in &report.knocks {
            // Drawn once the key is known: whoever could choose a key for a code has to know the nonce before.
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce)?;
            told.push(json!({
                "key": KeyText::of_key(&knock.key).to_string(), "name": knock.name,
                "code": comparison_code(&self.book.workspace(), &knock.key, &nonce).to_string(),
                "nonce": nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            }));
        }
        Ok(Json::Array(told))
    }

    fn begin(&self, data: Option<PathBuf>, part: u64, of: u64) -> anyhow::Result<Json> {
        let Some(folder) = data else {
            let done = edits::create(&self.book, &self.partition)?;
            let count = done.iter().filter(|(_, what)| what.starts_with("create")).count();
            done.into_iter().try_for_each(|done| self.saved(done))?;
            return Ok(json!(count));
        };
        let mut count = 0;
        for (mapping, _) in BUILT_IN {
            let (_, records) = load(mapping, &folder, Part::new(part, of)?)?;
            for some in records.chunks(RECORDS_AT_ONCE) {
                let saved = self.partition.batch(|batch| {
                    some.iter()
                        .try_for_each(|record| batch.edit(&record.key, "import_record", |tx| import::write(record, tx)))
                })?;
                let ids = hex_ids(saved.iter().map(|saved| &saved.id));
                say(&Heard::Saved { ids, what: format!("import_record of {mapping}") })?;
            }
            count += records.len();
        }
        Ok(json!(count))
    }

    fn edits(&self, documents: &[Place], count: usize, seed: u64, is_announced: bool) -> anyhow::Result<()> {
        let mut dice = Dice::new(seed);
        for number in 0..count {
            let Some(place) = dice.pick(documents) else { break };
            if is_announced {
                say(&Heard::Saving { number: number as u64 })?;
            }
            if let Some(done) = edits::by_chance(&self.partition, &mut dice, place)? {
                self.saved(done)?;
            }
        }
        Ok(())
    }

    fn level(&self, wanted: u64, seconds: u64) -> anyhow::Result<Json> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let seen = self.pulse.count();
            let (held, outbox, inbox) = (self.held()?, self.book.outbox_now()?, self.book.inbox()?);
            if held >= wanted && outbox.count == 0 && inbox.waiting == 0 && inbox.undecided == 0 {
                break;
            }
            if !self.pulse.wait(seen, end) {
                bail!(
                    "not level after {seconds} s: {held} of {wanted} change sets, {} in the outbox ({} refused), {} waiting, {} undecided ({}), {}",
                    outbox.count,
                    outbox.refused.len(),
                    inbox.waiting,
                    inbox.undecided,
                    self.partition.undecided()?.first().map(|one| one.why.clone()).unwrap_or_default(),
                    self.state().connectivity
                );
            }
        }
        self.digests()
    }

    fn digests(&self) -> anyhow::Result<Json> {
        let authority = self.book.partition(&PartitionName::new(fieldbook::access::PARTITION_AUTHORITY)?)?;
        Ok(json!({
            "digest": self.partition.digest()?.to_string(), "authority": authority.digest()?.to_string(),
            "held": self.held()?,
        }))
    }

    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let view = self.book.replica().store().view()?;
        Ok(view.entries(&self.log, 0..self.held()?)?.iter().map(|entry| entry.id().to_string()).collect())
    }

    fn log(&self) -> anyhow::Result<Json> {
        let mut answer = self.digests()?;
        let (counting, documents, forks) = self.partition.read(|documents| {
            let standings = documents.documents().flat_map(|document| document.standings());
            let counting = standings.filter(|(_, standing)| standing.is_counted());
            let counting = counting.map(|(id, _)| id.to_string()).collect::<Vec<_>>();
            (counting, documents.documents().count(), documents.forks().len())
        })?;
        let undecided: Vec<String> = self.partition.undecided()?.iter().map(|one| one.why.clone()).collect();
        if let Some(object) = answer.as_object_mut() {
            object.insert("counting".to_owned(), json!(counting));
            object.insert("undecided".to_owned(), json!(undecided));
            object.insert("documents".to_owned(), json!(documents));
            object.insert("forks".to_owned(), json!(forks));
            object.insert("size".to_owned(), json!(self.book.size()?));
        }
        Ok(answer)
    }

    fn conflicts(&self, first: &[(Place, String)], at_most: usize) -> anyhow::Result<Json> {
        self.partition.settle()?;
        let mut all = self.partition.read(|documents| {
            let mut all = Vec::new();
            for document in documents.documents() {
                let place = Place::of(document.key());
                for conflict in document.conflicts() {
                    let rank = first.iter().position(|(at, path)| *at == place && path == conflict.path.as_str());
                    let contenders = conflict.contenders.iter().map(|one| {
                        json!({
                            "value": match &one.value { _ if one.is_purged => "(purged)".to_owned(), Some(value) => plain(value), None => "(removed)".to_owned() },
                            "key": one.actor.key().to_string(), "when": minute(one.time), "time_ms": one.time,
                            "change_set": one.change_set.short(), "intent": one.intent.as_str(),
                        })
                    });
                    all.push((rank.unwrap_or(usize::MAX), json!({
                        "document": place.0, "path": conflict.path.as_str(), "rule": rule_code(conflict.rule),
                        "explanation": conflict.rule.sentence(),
                        "shown": conflict.shown.as_ref().map_or_else(|| "(removed)".to_owned(), plain),
                        "contenders": contenders.collect::<Vec<_>>(),
                    })));
                }
            }
            all
        })?;
        all.sort_by_key(|(rank, _)| *rank);
        let total = all.len();
        let told: Vec<Json> = all.into_iter().take(at_most).map(|(_, conflict)| conflict).collect();
        Ok(json!({ "total": total, "told": told }))
    }

    fn text(&self, place: &Place, path: &str) -> anyhow::Result<Json> {
        let path = Path::new(path)?;
        let text = self.partition.document(&place.key()?, |document| crdt::State::text(document, &path))?;
        Ok(json!(text.flatten().unwrap_or_default()))
    }
}

fn nonce_of(hex: &str) -> anyhow::Result<[u8; 16]> {
    let number = u128::from_str_radix(hex, 16).context("a nonce is 32 hex digits")?;
    Ok(number.to_be_bytes())
}

fn held(book: &Fieldbook, log: &LogKey) -> u64 {
    let state = book.replica().store().view().and_then(|view| view.log(log));
    state.ok().flatten().map_or(0, |state| state.end.position)
}

fn state(book: &Fieldbook, connectivity: &Mutex<Option<Watched<Connectivity>>>, log: &LogKey) -> State {
    let counters = book.replica().counters();
    let connectivity = connectivity.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Watched::now);
    let mut to_receive = 0;
    let connectivity = match connectivity {
        None | Some(Connectivity::Offline { .. }) => "offline".to_owned(),
        Some(Connectivity::Connecting { attempt, .. }) => format!("calling ({attempt})"),
        Some(Connectivity::Syncing { to_receive: theirs, .. }) => {
            to_receive = theirs;
            "syncing".to_owned()
        }
        Some(Connectivity::UpToDate { .. }) => "up to date".to_owned(),
        Some(Connectivity::Restricted { .. }) => "not let in".to_owned(),
        Some(_) => "connected".to_owned(),
    };
    State {
        connectivity,
        outbox: book.outbox().now().count,
        to_receive,
        held: held(book, log),
        bytes_in: counters.bytes_in.get(),
        bytes_out: counters.bytes_out.get(),
        sessions: counters.sessions.get(),
    }
}
