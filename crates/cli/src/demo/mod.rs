//! `demo`: several devices edit the same records apart, exchange bundles that get lost and repeated, are restored and
//! copied, and converge.

mod story;
mod summary;
mod team;

use crate::commands::import::{self, keys, load};
use crate::output::{line, things};
use crate::workspace::kinds;
use crate::{Context, Outcome};
use anyhow::Context as _;
use changeset::{DocumentKey, Partition as PartitionName, WorkspaceId};
use crdt::KindRegistry;
use fieldbook_import::Part;
use std::path::PathBuf;
use std::time::Instant;
use team::{Copy, Device, Dice, Ledger};

const PEOPLE: [&str; 5] = ["Ana", "Ben", "Chloé", "Dae", "Eli"];

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Use the real CSV files in this folder instead of the built-in records
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How many rounds the devices work apart
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    rounds: u16,
    /// How many edits each device makes in a round
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=500))]
    edits: u16,
    /// Where all chance comes from; the same seed tells the same story
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Lose one saved edit on purpose, to see that the demo notices
    #[arg(long, hide = true)]
    sabotage: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let begun = Instant::now();
    let mut demo = Demo::new(context, options)?;
    demo.begin()?;
    for round in 0..usize::from(options.rounds) {
        demo.round(round)?;
    }
    let lost = if options.sabotage { demo.sabotage()? } else { None };
    demo.heal()?;
    if let Some(lost) = lost {
        demo.say(&format!("\n(sabotage: change set {} was thrown away)", lost.short()))?;
    }
    summary::print(&mut demo.team, &demo.ledger, begun.elapsed(), context.json)
}

/// The story so far.
struct Demo {
    kinds: KindRegistry,
    team: Vec<Device>,
    documents: Vec<DocumentKey>,
    ledger: Ledger,
    dice: Dice,
    backup: Option<Copy>,
    data: Option<PathBuf>,
    rounds: usize,
    edits: usize,
    is_quiet: bool,
}

impl Demo {
    fn new(context: &Context, options: &Options) -> anyhow::Result<Self> {
        let workspace = WorkspaceId::from_bytes(*blake3::hash(&options.seed.to_le_bytes()).as_bytes());
        let partition = PartitionName::new("north-pier")?;
        let device =
            |(number, name): (usize, &&str)| Device::new(name, number as u8 + 1, workspace, &partition, options.seed);
        Ok(Self {
            kinds: kinds()?,
            team: PEOPLE.iter().enumerate().map(device).collect(),
            documents: Vec::new(),
            ledger: Ledger::default(),
            dice: Dice::new(options.seed),
            backup: None,
            data: options.data.clone(),
            rounds: usize::from(options.rounds),
            edits: usize::from(options.edits),
            is_quiet: context.json,
        })
    }

    fn say(&self, text: &str) -> std::io::Result<()> {
        if self.is_quiet { Ok(()) } else { line(text) }
    }

    /// Everybody gets the records that the story begins with.
    fn begin(&mut self) -> anyhow::Result<()> {
        for device in &mut self.team {
            device.introduce(&mut self.ledger)?;
        }
        match self.data.clone() {
            None => {
                let Some(first) = self.team.first_mut() else { return Ok(()) };
                self.documents = story::create(first, &self.kinds, &mut self.ledger)?;
                self.say(&format!(
                    "Ana writes {}; everybody takes them along.",
                    things(self.documents.len(), "record")
                ))?;
            }
            Some(folder) => {
                for (mapping, _) in import::BUILT_IN {
                    for (number, device) in self.team.iter_mut().enumerate() {
                        let part = Part::new(number as u64 + 1, PEOPLE.len() as u64)?;
                        let (_, records) = load(mapping, &folder, part)?;
                        for record in &records {
                            device
                                .edit(&mut self.ledger, &record.key, "import_record", |tx| import::write(record, tx))?;
                        }
                        self.documents.extend(keys(&records));
                    }
                }
                let text = format!("Five devices import a fifth each of {}.", things(self.documents.len(), "record"));
                self.say(&text)?;
            }
        }
        self.exchange_all()
    }

    fn round(&mut self, round: usize) -> anyhow::Result<()> {
        self.say(&format!("\nRound {}", round + 1))?;
        if let Some(said) = story::clash(round, &mut self.team, &mut self.dice, &mut self.ledger, &self.documents)? {
            self.say(&format!("  {said}."))?;
        }
        let before = self.ledger.saved.len();
        for device in &mut self.team {
            for _ in 0..self.edits {
                if let Some(document) = self.dice.pick(&self.documents) {
                    story::random_edit(device, &mut self.dice, &mut self.ledger, document)?;
                }
            }
        }
        self.say(&format!(
            "  {} saved on {} apart.",
            things(self.ledger.saved.len() - before, "edit"),
            things(self.team.len(), "device")
        ))?;
        self.exchange_some()?;
        self.mishap(round)
    }

    /// Bundles go around in random order; some are lost, some arrive twice.
    fn exchange_some(&mut self) -> anyhow::Result<()> {
        let mut ways: Vec<(usize, usize)> = (0..self.team.len())
            .flat_map(|from| (0..self.team.len()).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        self.dice.shuffle(&mut ways);
        ways.truncate(self.team.len() + 2);
        let (mut arrived, mut lost, mut repeated, mut new) = (0, 0, 0, 0);
        for (from, to) in ways {
            if self.dice.chance(25) {
                lost += 1;
                self.ledger.bundles_sent += 1;
                self.ledger.bundles_lost += 1;
                continue;
            }
            let times = if self.dice.chance(25) { 2 } else { 1 };
            repeated += times - 1;
            for _ in 0..times {
                new += self.carry(from, to)?;
                arrived += 1;
            }
        }
        self.ledger.bundles_repeated += repeated;
        self.say(&format!(
            "  {} arrive, {lost} lost on the way, {repeated} delivered twice: {} taken in.",
            things(arrived, "bundle"),
            things(new, "change set")
        ))?;
        Ok(())
    }

    /// Carries one bundle. Gives how many change sets were new.
    fn carry(&mut self, from: usize, to: usize) -> anyhow::Result<usize> {
        let sender = self.team.get_mut(from).context("there is such a device")?;
        let bundle = sender.bundle()?;
        self.ledger.bundles_sent += 1;
        self.ledger.bytes_sent += bundle.len();
        let receiver = self.team.get_mut(to).context("there is such a device")?;
        let (new, was_copied) = receiver.receive(&bundle)?;
        if was_copied {
            let name = receiver.name.clone();
            self.say(&format!(
                "  {name} sees its own key at work elsewhere, keeps both works and goes on as a new incarnation."
            ))?;
        }
        Ok(new)
    }

    /// In the second round Dae's tablet is backed up, two rounds later it breaks; in the third Ben's phone is copied.
    fn mishap(&mut self, round: usize) -> anyhow::Result<()> {
        if round == 1 {
            let copy = self.team.get_mut(3).map(Device::copy).transpose()?;
            self.backup = copy;
            self.say("  Dae's tablet is backed up.")?;
        }
        if round == 2 && self.rounds > 3 {
            let twin = self.team.get_mut(1).map(|ben| ben.clone_as("Ben's copy")).transpose()?;
            self.team.extend(twin);
            self.say("  Ben's phone is copied to a second phone, key and all; both go on.")?;
        }
        if round == 3
            && let Some(copy) = self.backup.take()
        {
            // What the others have of Dae's work is not lost with the tablet; what nobody has would be.
            self.carry(3, 0)?;
            let forgotten = self.team.get_mut(3).map(|dae| dae.restore(&copy)).transpose()?.unwrap_or(0);
            self.say(&format!(
                "  Dae's tablet breaks and is restored from the backup: it forgets {} and writes on under the old numbers.",
                things(forgotten, "change set")
            ))?;
        }
        Ok(())
    }

    /// Everybody meets everybody until nothing is new.
    fn exchange_all(&mut self) -> anyhow::Result<()> {
        loop {
            let mut new = 0;
            for from in 0..self.team.len() {
                for to in 0..self.team.len() {
                    if from != to {
                        new += self.carry(from, to)?;
                    }
                }
            }
            if new == 0 {
                return Ok(());
            }
        }
    }

    fn heal(&mut self) -> anyhow::Result<()> {
        self.say("\nEverybody is back in reach; bundles go around until nothing is new.")?;
        self.exchange_all()
    }

    fn sabotage(&mut self) -> anyhow::Result<Option<changeset::ChangeSetId>> {
        let document = self.documents.first().cloned();
        let victim = self.team.get_mut(4).context("there is such a device")?;
        if let Some(document) = document {
            story::random_edit(victim, &mut self.dice, &mut self.ledger, &document)?;
        }
        victim.lose_last()
    }
}
