//! What happens in a simulation, drawn from its seed as a list of steps that can be left out one by one.

use crate::clock::Micros;
use crate::dice::Dice;
use crate::machine::Role;

/// How much happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Edits by devices.
    pub edits: usize,
    /// Faults of all kinds.
    pub faults: usize,
    /// Only honest machines and no faults: for measuring.
    pub is_calm: bool,
}

impl Size {
    /// For hundreds of seeds in a test run.
    pub fn quick() -> Self {
        Self { edits: 70, faults: 30, is_calm: false }
    }

    /// For a night.
    pub fn large() -> Self {
        Self { edits: 1500, faults: 120, is_calm: false }
    }

    /// For counting edits per minute: a relay and four devices, nothing else.
    pub fn calm(edits: usize) -> Self {
        Self { edits, faults: 0, is_calm: true }
    }
}

/// One of the world's machines, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub role: Role,
    /// Whether redb runs on its disk.
    pub is_file: bool,
}

/// What happens at a moment. Machines and partitions are named by their places in the world's lists; lengths are of virtual
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Step {
    /// A person does something on a device.
    Edit { machine: usize },
    /// Somebody who means harm writes.
    Harm { machine: usize },
    /// The power goes at the so-manieth call of the disk from now, and comes back after a while.
    Crash { machine: usize, calls: u64, off: Micros },
    /// It is switched off and on again.
    Sleep { machine: usize, off: Micros },
    /// All its connections break.
    Cut { machine: usize },
    /// Nothing goes from one machine to another for a while; the other way it may.
    Block { from: usize, to: usize, length: Micros },
    /// Everything goes slowly to a machine for a while.
    Slow { machine: usize, length: Micros },
    /// Its wall clock is wrong by so much from now on.
    Clock { machine: usize, offset_ms: i64 },
    /// Its disk has no room for a while.
    Full { machine: usize, length: Micros },
    /// So many calls of its disk fail.
    Fail { machine: usize, calls: u32 },
    /// Its disk is copied.
    Backup { machine: usize },
    /// The last copy of its disk is put back.
    Restore { machine: usize },
    /// A second machine begins with a copy of its disk.
    Clone { machine: usize },
    /// It is let into a partition, for so long (none: without an end).
    Grant { machine: usize, partition: usize, length: Option<Micros> },
    /// Frames to and from a machine are changed on the wire for a while.
    Tamper { machine: usize, length: Micros },
    /// The relay shows its other face.
    Turn { machine: usize },
    /// The relay keeps nothing for a while, and gives receipts for it.
    Lie { machine: usize, length: Micros },
    /// It calls whom it calls. Only in stories for measuring, where nobody calls by himself.
    Call { machine: usize },
    /// It ends its sessions in good order.
    Leave { machine: usize },
}

/// A step and its moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Its number in the whole story: what is left out shifts nothing.
    pub number: usize,
    /// When, since the beginning.
    pub at: Micros,
    /// What.
    pub step: Step,
}

/// A whole story, ready to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed from which everything follows.
    pub seed: u64,
    /// The machines at the beginning. The first is the device that founds the workspace.
    pub cast: Vec<Part>,
    /// Whom each machine calls.
    pub homes: Vec<Vec<usize>>,
    /// How many partitions there are beside the authority.
    pub partitions: usize,
    /// Which devices are let in from the beginning; others are later.
    pub invited: Vec<bool>,
    /// The steps, in order of time, each under its number.
    pub steps: Vec<Timed>,
    /// When the faults end.
    pub end: Micros,
    /// The shortest way of a frame.
    pub delay: Micros,
    /// Whether relays never call each other: what one has comes to the other by devices that call both.
    pub is_apart: bool,
    /// Whether this is for counting only: nothing is looked at on the way.
    pub is_calm: bool,
    /// When something happens: all the time, or in short meetings far apart.
    pub(crate) windows: Vec<(Micros, Micros)>,
}

/// The numbers that [`Scenario::fault`] knows; frequent kinds have several.
const FAULT_KINDS: u64 = 23;
const SECOND: Micros = 1_000_000;
const MINUTE: Micros = 60 * SECOND;
const DAY: Micros = 24 * 60 * MINUTE;

impl Scenario {
    /// The story of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let mut dice = Dice::new(seed, 0x0073_746f_7279);
        if size.is_calm {
            return crate::calm::scenario(seed, size.edits, &mut dice).in_order();
        }
        let mut scenario = Self::cast(seed, &mut dice);
        let devices = scenario.of(|role| role == Role::Device);
        for _ in 0..size.edits {
            let machine = dice.pick(&devices).copied().unwrap_or(0);
            // People write in bouts.
            let at = scenario.moment(&mut dice);
            for number in 0..=dice.below(3) {
                let at = at + number * dice.range(1, 2 * SECOND);
                scenario.steps.push(Timed { number: 0, at, step: Step::Edit { machine } });
            }
        }
        let harmful = scenario.of(|role| matches!(role, Role::Author | Role::Stranger));
        for machine in harmful {
            for _ in 0..size.edits / 4 {
                let at = scenario.moment(&mut dice);
                scenario.steps.push(Timed { number: 0, at, step: Step::Harm { machine } });
            }
        }
        // Each story has some kinds of faults and not the others: what needs several of one kind comes up in few seeds, where a
        // story of everything would show it in none.
        let kinds: Vec<u64> = (0..FAULT_KINDS).filter(|_| dice.chance(40)).collect();
        for _ in 0..size.faults {
            let at = scenario.moment(&mut dice);
            let kind = dice.pick(&kinds).copied().unwrap_or(0);
            let step = scenario.fault(kind, &mut dice);
            scenario.steps.push(Timed { number: 0, at, step });
        }
        for (machine, invited) in scenario.invited.clone().into_iter().enumerate() {
            // Nobody is forgotten, but some wait long.
            if !invited && matches!(scenario.cast[machine].role, Role::Device | Role::Author) {
                for partition in 0..scenario.partitions {
                    let at = scenario.moment(&mut dice);
                    let length = dice.chance(30).then(|| dice.below(scenario.end));
                    scenario.steps.push(Timed { number: 0, at, step: Step::Grant { machine, partition, length } });
                }
            }
        }
        scenario.in_order()
    }

    fn in_order(mut self) -> Self {
        self.steps.sort_by_key(|timed| timed.at);
        for (number, timed) in self.steps.iter_mut().enumerate() {
            timed.number = number;
        }
        self
    }

    /// The same story with these steps alone.
    #[must_use]
    pub fn keeping(&self, numbers: &[usize]) -> Self {
        let mut kept = self.clone();
        kept.steps.retain(|timed| numbers.contains(&timed.number));
        kept
    }

    /// The numbers of its steps.
    pub fn numbers(&self) -> Vec<usize> {
        self.steps.iter().map(|timed| timed.number).collect()
    }

    fn of(&self, is_wanted: impl Fn(Role) -> bool) -> Vec<usize> {
        (0..self.cast.len()).filter(|machine| is_wanted(self.cast[*machine].role)).collect()
    }

    fn cast(seed: u64, dice: &mut Dice) -> Self {
        let mut cast = Vec::new();
        let mut add = |role, count: u64, dice: &mut Dice| {
            for _ in 0..count {
                cast.push(Part { role, is_file: dice.chance(20) });
            }
        };
        add(Role::Device, dice.range(3, 5), dice);
        add(Role::Relay, dice.range(1, 2), dice);
        add(Role::Gateway, u64::from(dice.chance(25)), dice);
        add(Role::Author, dice.below(3), dice);
        add(Role::Stranger, u64::from(dice.chance(20)), dice);
        add(Role::TwoFaced, u64::from(dice.chance(30)), dice);
        let mut homes = vec![Vec::new(); cast.len()];
        let is_apart = dice.chance(35);
        let all = |wanted: &[Role]| -> Vec<usize> {
            (0..cast.len()).filter(|machine| wanted.contains(&cast[*machine].role)).collect()
        };
        let (relays, gateways, false_ones) = (all(&[Role::Relay]), all(&[Role::Gateway]), all(&[Role::TwoFaced]));
        let devices = all(&[Role::Device]);
        for (machine, part) in cast.iter().enumerate() {
            let mine: &mut Vec<usize> = &mut homes[machine];
            match part.role {
                Role::Device | Role::Author | Role::Stranger => {
                    let near: Vec<usize> = relays.iter().chain(&gateways).copied().collect();
                    mine.extend(dice.pick(&near));
                    // Some call two, and those carry between relays that do not know each other.
                    mine.extend(dice.pick(&near).filter(|_| dice.chance(40)));
                    mine.extend(false_ones.iter().filter(|_| dice.chance(50)));
                    if part.role == Role::Device {
                        mine.extend(dice.pick(&devices).filter(|other| **other != machine && dice.chance(20)));
                    }
                }
                Role::Gateway => mine.extend(&relays),
                // Relays that should be equal are connected, but for those that are not.
                Role::Relay if is_apart => {}
                Role::Relay => mine.extend(relays.iter().filter(|other| **other < machine)),
                Role::TwoFaced => {}
            }
            mine.sort_unstable();
            mine.dedup();
        }
        let (end, windows) = match dice.below(4) {
            0 => (4 * MINUTE, vec![(0, 4 * MINUTE)]),
            1 | 2 => (15 * MINUTE, vec![(0, 15 * MINUTE)]),
            // Devices that sleep for days and meet for minutes.
            _ => {
                let starts: Vec<Micros> = (0..5).map(|meeting| meeting * 5 * DAY).collect();
                (20 * DAY + 2 * MINUTE, starts.into_iter().map(|start| (start, start + 2 * MINUTE)).collect())
            }
        };
        let invited = (0..cast.len()).map(|machine| machine == 0 || dice.chance(75)).collect();
        let partitions = if dice.chance(30) { 2 } else { 1 };
        let delay = dice.range(1_000, 150_000);
        let steps = Vec::new();
        let is_calm = false;
        let mut scenario =
            Self { seed, cast, homes, partitions, invited, steps, end, delay, is_apart, is_calm, windows };
        scenario.nights(dice);
        scenario
    }

    /// Between two meetings everything is switched off.
    fn nights(&mut self, dice: &mut Dice) {
        for pair in self.windows.clone().windows(2) {
            let (from, to) = (pair[0].1, pair[1].0);
            for machine in 0..self.cast.len() {
                let at = from - dice.below(MINUTE);
                let off = to - at + dice.below(MINUTE);
                self.steps.push(Timed { number: 0, at, step: Step::Sleep { machine, off } });
            }
        }
    }

    fn moment(&self, dice: &mut Dice) -> Micros {
        let (from, to) = dice.pick(&self.windows).copied().unwrap_or((0, self.end));
        dice.range(from, to)
    }

    fn fault(&self, kind: u64, dice: &mut Dice) -> Step {
        let honest = self.of(Role::is_honest);
        let devices = self.of(|role| role == Role::Device);
        let any = |dice: &mut Dice| dice.pick(&honest).copied().unwrap_or(0);
        let device = |dice: &mut Dice| dice.pick(&devices).copied().unwrap_or(0);
        let length = |dice: &mut Dice| dice.range(SECOND, (self.end / 4).max(2 * SECOND));
        match kind {
            0..=2 => Step::Crash { machine: any(dice), calls: dice.range(1, 60), off: length(dice) / 4 },
            3 | 4 => Step::Sleep { machine: any(dice), off: length(dice) },
            5 | 6 => Step::Cut { machine: any(dice) },
            7 | 8 => {
                let machine = any(dice);
                match self.homes[machine].first() {
                    Some(home) if dice.chance(50) => Step::Block { from: machine, to: *home, length: length(dice) },
                    Some(home) => Step::Block { from: *home, to: machine, length: length(dice) },
                    None => Step::Block { from: machine, to: device(dice), length: length(dice) },
                }
            }
            9 => Step::Slow { machine: any(dice), length: length(dice) },
            10 => {
                let offset_ms = match dice.below(4) {
                    0 => i64::try_from(dice.below(DAY / 1000)).unwrap_or(0),
                    1 => -i64::try_from(dice.below(DAY / 1000)).unwrap_or(0),
                    2 => -1_772_000_000_000,
                    _ => i64::try_from(dice.below(5_000)).unwrap_or(0) - 2_500,
                };
                Step::Clock { machine: any(dice), offset_ms }
            }
            11 => Step::Full { machine: any(dice), length: length(dice) },
            12 => Step::Fail { machine: any(dice), calls: u32::try_from(dice.range(1, 30)).unwrap_or(1) },
            13 => Step::Backup { machine: any(dice) },
            14 | 19 => Step::Restore { machine: any(dice) },
            15 => Step::Clone { machine: device(dice) },
            // A grant is short for some, and what they write at its end comes late.
            16 | 20 | 21 => {
                let length = dice.chance(75).then(|| length(dice));
                let partition = dice.index(self.partitions);
                Step::Grant { machine: device(dice), partition, length }
            }
            17 => Step::Tamper { machine: any(dice), length: length(dice) },
            other => match self.of(|role| role == Role::TwoFaced).first() {
                Some(machine) if other == 18 => Step::Turn { machine: *machine },
                Some(machine) => Step::Lie { machine: *machine, length: length(dice) },
                None => Step::Cut { machine: any(dice) },
            },
        }
    }
}
