//! A device of the run: a process with its own store that edits all the time and says what became of it.

use crate::clock::Offset;
use crate::relay::{LOOK, verify};
use crate::words::{Command, Heard, PARTITION, Standing, State, commands, hex, ids, say, tell_what_enters};
use anyhow::Context as _;
use fieldbook::{
    Connectivity, DeviceKey, Error, Fieldbook, Invitation, KeyText, Link, NewWorkspace, PartitionName, Reached, Saved,
    Settings, Watched,
};
use simulator::dice::Dice;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Its store
    store: PathBuf,
    /// What it is called
    #[arg(long)]
    name: String,
    /// Where its relays are
    #[arg(long, value_delimiter = ',')]
    relays: Vec<String>,
    /// Where chance comes from
    #[arg(long)]
    seed: u64,
    /// How far its clock is off, in milliseconds
    #[arg(long, allow_negative_numbers = true, default_value_t = 0)]
    clock: i64,
    /// Found a workspace
    #[arg(long)]
    found: bool,
    /// Make a store in this workspace
    #[arg(long)]
    join: Option<String>,
}

/// So seldom a new document is begun, in a hundred edits.
const NEW_DOCUMENTS: u64 = 2;

/// One link for each relay, and how it stands.
type Links = Mutex<Vec<(Link, Watched<Connectivity>)>>;

struct Device {
    book: Fieldbook,
    name: PartitionName,
    relays: Vec<String>,
    links: Arc<Links>,
    clock: Offset,
    dice: Dice,
    refused: Arc<AtomicU64>,
    saved: Sender<Saved>,
}

fn open(options: &Options, name: &PartitionName, clock: &Offset) -> anyhow::Result<Fieldbook> {
    let mut settings = Settings::new()?;
    settings.kinds.register(example_meter::definition()?)?;
    settings.storage.clock = clock.clock();
    settings.replica.clock = clock.clock();
    // The relays know nothing of each other: devices carry between them.
    settings.replica.carry = true;
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

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (name, clock) = (PartitionName::new(PARTITION)?, Offset::new(options.clock));
    let book = open(options, &name, &clock)?;
    tell_what_enters(book.replica());
    say(&Heard::Ready {
        key: book.key_text().to_string(),
        workspace: KeyText::of_workspace(&book.workspace()).to_string(),
        address: String::new(),
        was_put_back: book.was_put_back(),
        ids: hex(&ids(book.replica().store())?),
    })?;
    let (send, saved) = channel();
    let theirs = book.clone();
    std::thread::spawn(move || tell_receipts(&theirs, &saved));
    let mut device = Device {
        links: Arc::default(),
        relays: options.relays.clone(),
        dice: Dice::new(options.seed, 0x7065_6f70_6c65),
        refused: Arc::default(),
        saved: send,
        book,
        name,
        clock,
    };
    let (book, links, refused) = (device.book.clone(), Arc::clone(&device.links), Arc::clone(&device.refused));
    std::thread::spawn(move || tell_state(&book, &links, &refused));
    let ended = device.live(&commands());
    let links = std::mem::take(&mut *device.links.lock().unwrap_or_else(PoisonError::into_inner));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (link, _) in links {
        runtime.block_on(link.close());
    }
    device.book.close();
    ended
}

impl Device {
    fn live(&mut self, commands: &Receiver<Command>) -> anyhow::Result<()> {
        let mut pause_ms = None;
        let mut next = Instant::now();
        loop {
            let command = match pause_ms {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => commands.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match command {
                Ok(Command::Quit) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Command::Work { pause_ms: wanted }) => {
                    pause_ms = Some(wanted);
                    say(&Heard::Done)?;
                }
                Ok(Command::Rest) => {
                    pause_ms = None;
                    say(&Heard::Done)?;
                }
                Ok(command) => {
                    let answer = self.carry_out(command);
                    say(&answer.unwrap_or_else(|error| Heard::Failed { why: format!("{error:#}") }))?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.edit()?;
                    let pause = self.dice.below(2 * pause_ms.unwrap_or(0) + 1);
                    next = Instant::now() + Duration::from_millis(pause);
                }
            }
        }
    }

    fn edit(&mut self) -> anyhow::Result<()> {
        let saved = if self.dice.chance(NEW_DOCUMENTS) { self.begin() } else { self.act() };
        match saved {
            Ok(saved) if saved.is_empty() => {}
            Ok(saved) => {
                say(&Heard::Saved { ids: saved.iter().map(|saved| saved.id.to_string()).collect() })?;
                saved.into_iter().for_each(|saved| drop(self.saved.send(saved)));
            }
            // People try what does not fit.
            Err(Error::Rules(_) | Error::Edit(_) | Error::NotPermitted(_)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => say(&Heard::Failed { why: format!("an edit failed: {error}") })?,
        }
        Ok(())
    }

    fn act(&mut self) -> Result<Vec<Saved>, Error> {
        simulator::people::act(&self.book, &self.name, simulator::people::Way::Close, &mut self.dice)
    }

    /// A document more, so that not everything is written into a few.
    fn begin(&mut self) -> Result<Vec<Saved>, Error> {
        use crdt::Edits as _;
        let kind = ["inspection", "order", "meter-reading"][self.dice.index(3)];
        let (partition, document) = (self.book.partition(&self.name)?, self.book.new_document(kind)?);
        let note = changeset::Path::new("note")?;
        Ok(partition.edit(&document, "edit", |tx| tx.insert_text(&note, 0, "begun"))?.into_iter().collect())
    }

    fn carry_out(&mut self, command: Command) -> anyhow::Result<Heard> {
        match command {
            Command::Connect => self.connect()?,
            Command::Invite { key, person } => {
                let key = key.parse::<KeyText>()?.to_key();
                // From the beginning on, so that what was written before counts too, whatever the clock says.
                let saved = self.book.grant(&self.name, &Invitation::new(key, &person, "inspector", 0))?;
                say(&Heard::Saved { ids: vec![saved.id.to_string()] })?;
                drop(self.saved.send(saved));
            }
            Command::Clock { offset_ms } => self.clock.set(offset_ms),
            Command::Backup { to } => {
                self.book.backup(&to, |_| {})?;
                return Ok(Heard::BackedUp { to });
            }
            Command::Standing => return Ok(Heard::Standing(self.standing()?)),
            Command::Export { to } => {
                std::fs::write(&to, self.book.export(&self.name)?)
                    .with_context(|| format!("cannot write {}", to.display()))?;
            }
            Command::Verify => return verify(&self.book.verify(|_| {})?),
            Command::Work { .. } | Command::Rest | Command::Quit => {}
        }
        Ok(Heard::Done)
    }

    fn connect(&self) -> anyhow::Result<()> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.clear();
        for relay in &self.relays {
            let link = self.book.connect(relay)?;
            let watched = link.connectivity();
            links.push((link, watched));
        }
        Ok(())
    }

    fn standing(&self) -> anyhow::Result<Standing> {
        let authority = PartitionName::new(fieldbook::access::PARTITION_AUTHORITY)?;
        let mut standing = Standing::default();
        for name in [&authority, &self.name] {
            let partition = self.book.partition(name)?;
            standing.digests.push((name.to_string(), partition.digest()?.to_string()));
            standing.undecided.extend(partition.undecided()?.into_iter().map(|one| format!("{}: {}", one.id, one.why)));
            let (documents, forks) =
                partition.read(|documents| (documents.documents().count(), documents.forks().len()))?;
            standing.documents += documents as u64;
            standing.forks += forks as u64;
        }
        Ok(standing)
    }
}

/// Says of each change when a receipt proves that a relay has it.
fn tell_receipts(book: &Fieldbook, saved: &Receiver<Saved>) {
    let mut moved = book.replica().acknowledged();
    let mut open: VecDeque<Saved> = VecDeque::new();
    loop {
        let before = open.len();
        match saved.recv_timeout(LOOK) {
            Ok(one) => open.push_back(one),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        open.extend(saved.try_iter());
        if open.len() == before && !moved.has_changed().unwrap_or(false) {
            continue;
        }
        moved.mark_unchanged();
        let mut told = Vec::new();
        open.retain(|one| {
            let is_there = book.reached(one).is_ok_and(|reached| reached >= Reached::Relay);
            if is_there {
                told.push(one.id);
            }
            !is_there
        });
        if !told.is_empty() && say(&Heard::Relayed { ids: hex(&told) }).is_err() {
            return;
        }
    }
}

/// Says how it stands whenever that is another.
fn tell_state(book: &Fieldbook, links: &Links, refused: &AtomicU64) {
    let mut last = State::default();
    loop {
        if let Ok(now) = state(book, links, refused)
            && now != last
        {
            if say(&Heard::State(now.clone())).is_err() {
                return;
            }
            last = now;
        }
        std::thread::sleep(LOOK);
    }
}

fn state(book: &Fieldbook, links: &Links, refused: &AtomicU64) -> Result<State, Error> {
    let lines: Vec<Connectivity> =
        links.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, state)| state.now()).collect();
    let word = |line: &Connectivity| match line {
        Connectivity::UpToDate { .. } => "up to date".to_owned(),
        // Counts and times move all the time.
        Connectivity::Syncing { .. } => "syncing".to_owned(),
        Connectivity::Connecting { attempt, error, .. } => format!("calling ({attempt}, {error:?})"),
        other => format!("{other:?}"),
    };
    let inbox = book.inbox()?;
    Ok(State {
        is_up_to_date: !lines.is_empty() && lines.iter().all(|line| matches!(line, Connectivity::UpToDate { .. })),
        lines: lines.iter().map(word).collect(),
        outbox: book.outbox_now()?.count,
        waiting: inbox.waiting + inbox.pending_documents,
        undecided: inbox.undecided,
        refused: refused.load(Ordering::Relaxed),
        size: book.size()?,
        sessions: book.replica().counters().sessions.get(),
    })
}
