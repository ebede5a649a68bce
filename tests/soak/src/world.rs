//! The run: who takes part, what happens when, and how it stands.

use crate::Options;
use crate::cast::{Cast, PATIENCE, Process};
use crate::end;
use crate::network::Network;
use crate::trouble::{Trouble, wrong_by};
use crate::words::Command;
use anyhow::{Context as _, ensure};
use simulator::dice::Dice;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is counted, by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// What is to be done at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Something goes wrong.
    Trouble,
    /// A stopped process goes on.
    Wake(usize),
    /// A process starts again.
    Start(usize),
    /// The weather between two is fair again.
    Clear((usize, usize)),
    /// How it stands is said.
    Progress,
}

/// Everything there is.
pub(crate) struct World<'a> {
    pub(crate) options: &'a Options,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
    pub(crate) cast: Cast,
    pub(crate) network: Network,
    pub(crate) dice: Dice,
    pub(crate) counts: Counts,
    pub(crate) begun: Instant,
    agenda: BTreeMap<(Instant, u64), Act>,
    acts: u64,
    story: File,
    progress: Duration,
}

/// Runs it from the beginning to the end.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32()?),
    };
    let folder = match &options.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("fieldbook-soak-{seed}-{}", std::process::id())),
    };
    prepare(&folder)?;
    println!(
        "seed {seed}: {} devices, {} relays, {} s of trouble, stores in {}",
        options.devices,
        options.relays,
        options.length().as_secs(),
        folder.display()
    );
    let outcome = play(options, seed, &folder);
    match &outcome {
        Ok(()) if options.keep.is_none() => std::fs::remove_dir_all(&folder)?,
        Ok(()) => println!("the stores are in {}", folder.display()),
        Err(_) => eprintln!("seed {seed}; the stores and story.txt stay in {}", folder.display()),
    }
    outcome
}

fn prepare(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let is_empty = std::fs::read_dir(folder)?.next().is_none();
    ensure!(is_empty, "{} is not empty; name another folder to keep the stores in", folder.display());
    Ok(())
}

fn play(options: &Options, seed: u64, folder: &Path) -> anyhow::Result<()> {
    let mut world = World::new(options, seed, folder)?;
    world.begin()?;
    world.suffer()?;
    let healed = end::heal(&mut world)?;
    end::judge(&mut world, healed)
}

impl<'a> World<'a> {
    fn new(options: &'a Options, seed: u64, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.canonicalize()?;
        Ok(Self {
            options,
            seed,
            cast: Cast::new()?,
            network: Network::new(usize::from(options.relays))?,
            dice: Dice::new(seed, 0x736f_616b),
            counts: Counts::new(),
            begun: Instant::now(),
            agenda: BTreeMap::new(),
            acts: 0,
            story: File::create(folder.join("story.txt"))?,
            // Logs of other programs need no line every ten seconds.
            progress: Duration::from_secs(if std::io::stdout().is_terminal() { 10 } else { 60 }),
            folder,
        })
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.story, "{:>10.3} s  {line}", self.begun.elapsed().as_secs_f64())?)
    }

    /// Counts something and adds it to the story.
    pub(crate) fn count(&mut self, what: &'static str, line: &str) -> anyhow::Result<()> {
        *self.counts.entry(what).or_default() += 1;
        self.tell(line)
    }

    pub(crate) fn after(&mut self, delay: Duration, act: Act) {
        self.acts += 1;
        self.agenda.insert((Instant::now() + delay, self.acts), act);
    }

    /// A machine more, in a folder of its own.
    pub(crate) fn add(&mut self, name: String, relay: Option<usize>) -> anyhow::Result<usize> {
        let folder = self.folder.join(&name);
        std::fs::create_dir_all(&folder)?;
        let store = folder.join(if relay.is_some() { "relay.redb" } else { "store" });
        let errors = folder.join("errors.txt");
        Ok(self.cast.add(Process::new(name, relay, store, errors)))
    }

    /// Starts a process and gives what it finds to nobody yet.
    pub(crate) fn launch(&mut self, who: usize, more: &[String]) -> anyhow::Result<()> {
        let process = self.cast.process(who)?;
        let (store, clock) = (process.store.clone(), format!("--clock={}", process.clock_ms));
        let folder = store.parent().unwrap_or(&store);
        let mut arguments: Vec<String> = match process.relay {
            Some(_) => vec!["relay".to_owned(), folder.display().to_string(), clock],
            None => {
                let name = process.name.clone();
                let relays = usize::from(self.options.relays);
                let urls: Vec<String> =
                    (0..relays).map(|relay| self.network.url((who, relay))).collect::<anyhow::Result<_>>()?;
                let (seed, relays) = (self.dice.below(u64::MAX).to_string(), urls.join(","));
                let words =
                    ["device".to_owned(), store.display().to_string(), "--name".to_owned(), name, "--seed".to_owned()];
                words.into_iter().chain([seed, "--relays".to_owned(), relays, clock]).collect()
            }
        };
        arguments.extend_from_slice(more);
        self.cast.start(who, &arguments)?;
        let process = self.cast.process(who)?;
        if let Some(relay) = process.relay {
            self.network.move_relay(relay, process.address.parse()?)?;
        }
        Ok(())
    }

    /// Starts a process again on what it left: all that it said to be durable must be there.
    pub(crate) fn start_again(&mut self, who: usize) -> anyhow::Result<()> {
        self.launch(who, &[])?;
        let found = std::mem::take(&mut self.cast.process_mut(who)?.found);
        let count = found.len();
        let lost = self.cast.ledger.found(who, found);
        let name = self.cast.process(who)?.name.clone();
        ensure!(
            lost.is_empty(),
            "{name} lost {} change sets that it had called durable: {:?}",
            lost.len(),
            lost.iter().take(5).collect::<Vec<_>>()
        );
        self.tell(&format!("{name} starts with {count} change sets"))?;
        self.set_to_work(who)
    }

    pub(crate) fn set_to_work(&mut self, who: usize) -> anyhow::Result<()> {
        if self.cast.process(who)?.relay.is_none() {
            self.cast.tell(who, &Command::Connect)?;
            self.cast.tell(who, &Command::Work { pause_ms: self.options.pause })?;
        }
        Ok(())
    }

    /// Everybody is there and let in.
    fn begin(&mut self) -> anyhow::Result<()> {
        for relay in 0..usize::from(self.options.relays) {
            let who = self.add(format!("relay-{}", relay + 1), Some(relay))?;
            self.cast.process_mut(who)?.clock_ms = wrong_by(&mut self.dice);
            self.launch(who, &[])?;
        }
        let mut founder = None;
        for device in 1..=self.options.devices {
            let who = self.add(format!("device-{device}"), None)?;
            self.cast.process_mut(who)?.clock_ms = wrong_by(&mut self.dice);
            match founder {
                None => {
                    self.launch(who, &["--found".to_owned()])?;
                    founder = Some(who);
                }
                Some(founder) => {
                    let workspace = self.cast.process(founder)?.workspace.clone();
                    self.launch(who, &["--join".to_owned(), workspace])?;
                    let process = self.cast.process(who)?;
                    let (key, person) = (process.key.clone(), process.name.clone());
                    self.cast.ask(founder, &Command::Invite { key, person })?;
                }
            }
            let found = std::mem::take(&mut self.cast.process_mut(who)?.found);
            self.cast.ledger.holds(who, found);
        }
        // The founding has to reach everybody before trouble begins: a founder who is put back to before it has founded nothing.
        let devices = self.cast.devices();
        self.cast.ask_all(&devices, &Command::Connect)?;
        self.cast.until(PATIENCE, "not everybody was let in", |cast| {
            let is_in = |who: &usize| {
                cast.processes.get(*who).is_some_and(|one| one.state.is_up_to_date && one.state.undecided == 0)
            };
            devices.iter().all(is_in) && cast.ledger.is_even()
        })?;
        for who in 0..self.cast.processes.len() {
            self.back_up(who)?;
        }
        devices.into_iter().try_for_each(|who| self.set_to_work(who))?;
        self.tell("everybody is let in and works")
    }

    /// Copies a store to a new file while it is used.
    pub(crate) fn back_up(&mut self, who: usize) -> anyhow::Result<()> {
        self.acts += 1;
        let to = self.cast.process(who)?.store.with_extension(format!("backup-{}", self.acts));
        self.cast.tell(who, &Command::Backup { to })
    }

    /// Everything goes wrong, until the time is over.
    fn suffer(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + self.options.length();
        self.after(self.progress, Act::Progress);
        self.after(Duration::ZERO, Act::Trouble);
        loop {
            let now = Instant::now();
            if now >= end || self.cast.is_interrupted {
                return Ok(());
            }
            match self.agenda.first_entry() {
                Some(entry) if entry.key().0 <= now => {
                    let act = entry.remove();
                    self.act(act)?;
                }
                next => {
                    let until = next.map_or(end, |entry| entry.key().0.min(end));
                    self.cast.listen(until)?;
                }
            }
        }
    }

    fn act(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Trouble => {
                let trouble = Trouble::draw(&mut self.dice);
                trouble.strike(self)?;
                let pause = Duration::from_millis(self.dice.below(2 * self.options.trouble + 1));
                self.after(pause, Act::Trouble);
            }
            Act::Wake(who) => self.cast.wake(who)?,
            Act::Start(who) if !self.cast.process(who)?.runs() => self.start_again(who)?,
            Act::Start(_) => {}
            Act::Clear(pair) => self.network.clear(pair),
            Act::Progress => {
                self.cast.weigh();
                let line = self.standing();
                println!("{line}");
                self.tell(&line)?;
                self.after(self.progress, Act::Progress);
            }
        }
        Ok(())
    }

    /// What has to be started before the end.
    pub(crate) fn start_the_rest(&mut self) -> anyhow::Result<()> {
        self.agenda.clear();
        for who in 0..self.cast.processes.len() {
            self.cast.wake(who)?;
            if !self.cast.process(who)?.runs() {
                self.start_again(who)?;
            }
        }
        Ok(())
    }

    /// How it stands, in one line.
    fn standing(&self) -> String {
        let of = |name: &str| self.counts.iter().filter(|(what, _)| what.contains(name)).map(|(_, count)| count).sum();
        let (kills, cuts, restores): (u64, u64, u64) = (of("killed"), of("connection"), of("put back"));
        let relays = self.cast.processes.iter().enumerate().filter(|(_, process)| process.relay.is_some());
        let at_relays = relays.map(|(who, _)| self.cast.ledger.held(who)).max().unwrap_or(0);
        let (memory, size) = self
            .cast
            .processes
            .iter()
            .fold((0, 0), |(memory, size), process| (memory.max(process.memory), size.max(process.state.size)));
        format!(
            "{:>5} s  {} edits saved, {at_relays} change sets at a relay, {kills} kills, {cuts} cuts, {restores} put back; largest process {} MiB, largest store {} MiB",
            self.begun.elapsed().as_secs(),
            self.cast.ledger.saved.len(),
            memory >> 20,
            size >> 20
        )
    }
}
