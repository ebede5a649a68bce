//! What goes wrong.

use crate::words::Command;
use crate::world::{Act, World};
use anyhow::ensure;
use simulator::dice::Dice;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A device is killed and starts again.
    KillDevice,
    /// A relay is killed and starts again.
    KillRelay,
    /// A process stops where it stands and goes on later.
    Stop,
    /// The connections between two break.
    Cut,
    /// The connections between two break after some more bytes.
    CutInside,
    /// Two cannot reach each other for a while.
    Close,
    /// Nothing goes one way for a while.
    Stall,
    /// Everything goes slowly for a while.
    Slow,
    /// A clock is wrong from now on.
    Clock,
    /// A store is copied while it is used.
    BackUp,
    /// A device is put back to its last backup.
    PutBackDevice,
    /// A relay is put back to its last backup.
    PutBackRelay,
    /// A disk is imaged while it is used.
    Image,
    /// A disk is put back to its image, so that nothing on it tells: the store goes on under its old names until a peer sees
    /// that it was put back.
    PutBackImage,
    /// A copy of a device's store goes on as a device of its own.
    Copy,
}

/// How often each happens, in so many of all.
const WEIGHTS: [(Trouble, u64); 15] = [
    (Trouble::KillDevice, 14),
    (Trouble::KillRelay, 6),
    (Trouble::Stop, 10),
    (Trouble::Cut, 14),
    (Trouble::CutInside, 16),
    (Trouble::Close, 8),
    (Trouble::Stall, 8),
    (Trouble::Slow, 5),
    (Trouble::Clock, 6),
    (Trouble::BackUp, 8),
    (Trouble::PutBackDevice, 3),
    (Trouble::PutBackRelay, 1),
    (Trouble::Image, 5),
    (Trouble::PutBackImage, 3),
    (Trouble::Copy, 1),
];

const DAY_MS: u64 = 86_400_000;

impl Trouble {
    /// The next trouble.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut at = dice.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (trouble, weight) in WEIGHTS {
            if at < weight {
                return trouble;
            }
            at -= weight;
        }
        Self::Cut
    }

    /// It happens, to somebody to whom it can.
    pub(crate) fn strike(self, world: &mut World<'_>) -> anyhow::Result<()> {
        match self {
            Self::KillDevice | Self::KillRelay => {
                let Some(who) = world.somebody(self == Self::KillRelay, false) else { return Ok(()) };
                let what = if self == Self::KillRelay { "relay killed" } else { "device killed" };
                world.cast.kill(who)?;
                world.note(what, who)?;
                world.start_later(who)
            }
            Self::Stop => {
                let is_relay = world.dice.chance(20);
                let Some(who) = world.somebody(is_relay, true) else { return Ok(()) };
                world.cast.stop(who)?;
                world.note("process stopped", who)?;
                let pause = world.a_while(5_000);
                world.after(pause, Act::Wake(who));
                Ok(())
            }
            Self::Cut | Self::CutInside | Self::Close | Self::Stall | Self::Slow => self.weather(world),
            Self::Clock => {
                let is_relay = world.dice.chance(20);
                let Some(who) = world.somebody(is_relay, true) else { return Ok(()) };
                let offset_ms = wrong_by(&mut world.dice);
                world.cast.process_mut(who)?.clock_ms = offset_ms;
                world.note("clock set wrong", who)?;
                world.cast.tell(who, &Command::Clock { offset_ms })
            }
            Self::BackUp => {
                let is_relay = world.dice.chance(20);
                let Some(who) = world.somebody(is_relay, true) else { return Ok(()) };
                world.note("backup begun", who)?;
                world.back_up(who)
            }
            Self::PutBackDevice | Self::PutBackRelay => {
                let Some(who) = world.somebody(self == Self::PutBackRelay, false) else { return Ok(()) };
                world.put_back(who)
            }
            Self::Image => {
                let is_relay = world.dice.chance(20);
                let Some(who) = world.somebody(is_relay, true) else { return Ok(()) };
                world.image(who)
            }
            Self::PutBackImage => {
                let is_relay = world.dice.chance(20);
                let Some(who) = world.somebody(is_relay, false) else { return Ok(()) };
                world.put_back_image(who)
            }
            Self::Copy => {
                let copies = world.cast.devices().len() - usize::from(world.options.devices);
                let Some(who) = world.somebody(false, true) else { return Ok(()) };
                if copies < world.options.copies { world.copy(who, copies + 1) } else { Ok(()) }
            }
        }
    }

    fn weather(self, world: &mut World<'_>) -> anyhow::Result<()> {
        let devices = world.cast.devices();
        let Some(device) = world.dice.pick(&devices).copied() else { return Ok(()) };
        let pair = (device, world.dice.index(usize::from(world.options.relays)));
        let way = world.dice.index(2);
        match self {
            Self::CutInside => {
                // From inside the first handshake to inside a large page.
                let most = [64, 1_500, 60_000][world.dice.index(3)];
                world.network.cut_after(pair, world.dice.range(1, most));
                return world.between("connection ended at some byte", pair);
            }
            Self::Close => {
                world.network.change(pair, |weather| weather.is_closed = true);
                world.between("connection refused for a while", pair)?;
            }
            Self::Stall => {
                world.network.change(pair, |weather| weather.is_stalled[way] = true);
                world.between("line stalled one way", pair)?;
            }
            Self::Slow => {
                let delay = Duration::from_millis(world.dice.range(5, 300));
                world.network.change(pair, |weather| weather.delay = delay);
                world.between("line slowed", pair)?;
            }
            _ => {
                world.network.cut(pair);
                return world.between("connection cut", pair);
            }
        }
        let pause = world.a_while(8_000);
        world.after(pause, Act::Clear(pair));
        Ok(())
    }
}

/// By how much a clock is wrong.
pub(crate) fn wrong_by(dice: &mut Dice) -> i64 {
    let most = [5_000, DAY_MS, 400 * DAY_MS][dice.index(3)];
    let offset = i64::try_from(dice.below(most)).unwrap_or(0);
    match dice.below(8) {
        0 => 0,
        // Before all that was ever written.
        1 => -i64::try_from(18_000 * DAY_MS).unwrap_or(0),
        2..=4 => -offset,
        _ => offset,
    }
}

impl World<'_> {
    fn a_while(&mut self, most_ms: u64) -> Duration {
        Duration::from_millis(self.dice.range(50, most_ms))
    }

    /// Somebody who runs, and is awake if that is wanted.
    fn somebody(&mut self, is_relay: bool, is_awake: bool) -> Option<usize> {
        let processes = self.cast.processes.iter().enumerate();
        let fits = processes.filter(|(_, process)| {
            process.relay.is_some() == is_relay && process.runs() && (process.is_awake() || !is_awake)
        });
        let all: Vec<usize> = fits.map(|(who, _)| who).collect();
        self.dice.pick(&all).copied()
    }

    fn note(&mut self, what: &'static str, who: usize) -> anyhow::Result<()> {
        let name = self.cast.process(who)?.name.clone();
        self.count(what, &format!("{what}: {name}"))
    }

    fn between(&mut self, what: &'static str, (device, relay): (usize, usize)) -> anyhow::Result<()> {
        let name = self.cast.process(device)?.name.clone();
        self.count(what, &format!("{what}: {name} and relay-{}", relay + 1))
    }

    fn start_later(&mut self, who: usize) -> anyhow::Result<()> {
        // Some come back at once, some after others went on without them.
        let pause = if self.dice.chance(40) { Duration::ZERO } else { self.a_while(4_000) };
        self.after(pause, Act::Start(who));
        Ok(())
    }

    /// Puts a process back to its last backup: what it had since is lost with it, unless others have it.
    fn put_back(&mut self, who: usize) -> anyhow::Result<()> {
        let (store, name) = self.take_away(who)?;
        let Some(backup) = self.cast.process(who)?.backup.clone() else { return self.start_later(who) };
        std::fs::remove_file(&store)?;
        if self.dice.chance(50) {
            let _there_was_none = std::fs::remove_file(mark(&store));
        }
        fieldbook::Fieldbook::restore(&backup, &store)?;
        self.launch(who, &[])?;
        let process = self.cast.process(who)?;
        ensure!(process.was_put_back, "{name} was put back to a backup and did not notice");
        let is_relay = process.relay.is_some();
        self.go_on_from(who, if is_relay { "relay put back to a backup" } else { "device put back to a backup" })
    }

    /// Kills a process whose store is about to be put back, and looks at what it had.
    fn take_away(&mut self, who: usize) -> anyhow::Result<(PathBuf, String)> {
        self.cast.kill(who)?;
        let process = self.cast.process(who)?;
        let (store, name) = (process.store.clone(), process.name.clone());
        let lost = self.cast.ledger.found(who, look(&store)?);
        ensure!(lost.is_empty(), "{name} lost {} change sets that it had called durable: {lost:?}", lost.len());
        Ok((store, name))
    }

    /// A process that was put back works on with what it found.
    fn go_on_from(&mut self, who: usize, what: &'static str) -> anyhow::Result<()> {
        let process = self.cast.process_mut(who)?;
        let (found, name) = (std::mem::take(&mut process.found), process.name.clone());
        let count = self.cast.ledger.put_back(who, found);
        self.count(what, &format!("{what}: {name}, {count} change sets went with it"))?;
        self.set_to_work(who)
    }

    /// Copies the store of a process and its mark, as they lie on the disk at one moment.
    fn image(&mut self, who: usize) -> anyhow::Result<()> {
        let store = self.cast.process(who)?.store.clone();
        let to = store.with_extension("image");
        self.cast.stop(who)?;
        self.cast.stand_still(who)?;
        std::fs::copy(&store, &to)?;
        std::fs::copy(mark(&store), mark(&to))?;
        self.cast.wake(who)?;
        self.note("disk imaged", who)
    }

    /// Puts an image back into the same files, as a virtual machine is put back: the store cannot know it by itself.
    fn put_back_image(&mut self, who: usize) -> anyhow::Result<()> {
        let image = self.cast.process(who)?.store.with_extension("image");
        if !image.exists() {
            return Ok(());
        }
        let (store, _) = self.take_away(who)?;
        std::fs::copy(&image, &store)?;
        std::fs::copy(mark(&image), mark(&store))?;
        self.launch(who, &[])?;
        let is_relay = self.cast.process(who)?.relay.is_some();
        self.go_on_from(who, if is_relay { "relay put back to an image" } else { "device put back to an image" })
    }

    /// Copies the store of a device that runs, as a disk is imaged, and lets the copy go on.
    fn copy(&mut self, who: usize, number: usize) -> anyhow::Result<()> {
        let original = self.cast.process(who)?;
        let (store, name, clock_ms) = (original.store.clone(), original.name.clone(), original.clock_ms);
        let copy = self.add(format!("copy-{number}-of-{name}"), None)?;
        let to = self.cast.process(copy)?.store.clone();
        self.cast.process_mut(copy)?.clock_ms = clock_ms;
        // Nothing moves while it is copied: what is written is what a kill at this moment would leave.
        self.cast.stop(who)?;
        self.cast.stand_still(who)?;
        std::fs::copy(&store, &to)?;
        if self.dice.chance(50) {
            std::fs::copy(mark(&store), mark(&to))?;
        }
        self.cast.wake(who)?;
        self.launch(copy, &[])?;
        let process = self.cast.process_mut(copy)?;
        ensure!(process.was_put_back, "a copy of {name} did not notice that it is one");
        let found = std::mem::take(&mut process.found);
        self.cast.ledger.holds(copy, found);
        self.note("device store copied", who)?;
        self.set_to_work(copy)
    }
}

/// The file beside a store by which it knows itself.
fn mark(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".mark");
    name.into()
}

/// What is in a store that nobody has open.
fn look(store: &Path) -> anyhow::Result<BTreeSet<changeset::ChangeSetId>> {
    let (store, _) = storage::Store::open(store, storage::Options::default())?;
    Ok(crate::words::ids(&store)?.into_iter().collect())
}
