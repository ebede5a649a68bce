//! The story of the demo, act by act.

use crate::Context;
use crate::demo::Options;
use crate::demo::cast::{Cast, PATIENCE, RELAY, Who};
use crate::demo::dice::Dice;
use crate::demo::script::{Script, pieces, script};
use crate::demo::view::View;
use crate::demo::wire::{Command, Known, Place, Step, What};
use crate::output::{count, things};
use anyhow::{Context as _, ensure};
use changeset::{DocumentId, DocumentKey, Kind};
use fieldbook::Fieldbook;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAMES: [&str; 8] = ["Ana", "Ben", "Chloé", "Dae", "Eli", "Freya", "Goran", "Hana"];
/// No two clocks agree, in milliseconds, and nothing depends on it.
const CLOCKS: [i64; 8] = [0, 214_000, -97_000, 31_000, -3_600_000, 5_000, 86_400_000, -12_000];
/// Three people type at once, and one of them is killed while saving.
const ANA: Who = 1;
const BEN: Who = 2;
const CHLOE: Who = 3;
/// How often a kill is tried that has to hit a moment.
const TRIES: usize = 6;

/// How the story ended, for the summary.
pub(crate) struct Ending {
    pub(crate) devices: Vec<Device>,
    pub(crate) relay: Device,
    /// What was reported as saved and does not count somewhere: on which device, id, by whom, what.
    pub(crate) missing: Vec<(String, String, String, String)>,
    /// What is wrong besides.
    pub(crate) wrong: Vec<String>,
    pub(crate) saved: usize,
    pub(crate) conflicts: Json,
    pub(crate) titles: BTreeMap<Place, String>,
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) kills: Vec<String>,
    pub(crate) documents: u64,
    pub(crate) forks: u64,
    pub(crate) time: Duration,
    pub(crate) sabotaged: Option<String>,
}

/// What is told of one process at the end.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) held: u64,
    pub(crate) saved: usize,
    pub(crate) bytes: (u64, u64),
    pub(crate) consistent: Option<Duration>,
    pub(crate) size: u64,
    pub(crate) pages: u64,
}

struct Story {
    cast: Cast,
    dice: Dice,
    folder: PathBuf,
    data: Option<PathBuf>,
    edits: usize,
    /// The devices that are there from the beginning, and the one that joins late.
    early: Vec<Who>,
    late: Who,
    url: String,
    workspace: String,
    known: Vec<Known>,
    kills: Vec<String>,
    flight: Flight,
}

/// What was under way to the relay when it was killed.
#[derive(Default)]
struct Flight {
    acknowledged: Vec<String>,
    /// Sent, and not acknowledged.
    sent: Vec<String>,
}

/// What a relay that starts again has on its disk of what was under way.
struct Found {
    kept: usize,
    lost: usize,
    /// How much that was reported as saved it does not have.
    lacks: usize,
    /// When the devices call again.
    back: Instant,
}

pub(crate) fn tell(context: &Context, options: &Options, folder: &Path) -> anyhow::Result<Ending> {
    let names = NAMES.get(..usize::from(options.devices)).context("there are names for all devices")?;
    let view = View::new(context.json, options.plain);
    let mut story = Story {
        cast: Cast::new(folder, names, view)?,
        dice: Dice::new(options.seed),
        folder: folder.to_owned(),
        data: options.data.clone(),
        edits: usize::from(options.edits),
        early: (1..names.len()).collect(),
        late: names.len(),
        url: String::new(),
        workspace: String::new(),
        known: Vec::new(),
        kills: Vec::new(),
        flight: Flight::default(),
    };
    story.meet()?;
    story.put_back()?;
    story.kill_the_relay()?;
    let script = story.work_apart()?;
    story.come_together()?;
    let sabotaged = if options.sabotage { Some(story.sabotage()?) } else { None };
    let ending = story.end(&script, sabotaged);
    story.cast.view.end()?;
    ending
}

impl Story {
    fn store_of(&self, who: Who) -> PathBuf {
        self.folder.join(format!("device-{who}.fieldbook"))
    }

    fn start_relay(&mut self) -> anyhow::Result<Json> {
        let port = self.url.rsplit_once(':').map_or("0", |(_, port)| port).to_owned();
        let folder = self.folder.join("relay").display().to_string();
        let arguments = ["demo-relay", "--folder", &folder, "--port", &port];
        let answer = self.cast.start(RELAY, &arguments.map(str::to_owned))?;
        self.url = answer.get("url").and_then(Json::as_str).context("the relay says where it listens")?.to_owned();
        Ok(answer)
    }

    /// Starts a device; `how` is what it finds: nothing, a workspace, or its store.
    fn start_device(&mut self, who: Who, how: &[&str]) -> anyhow::Result<Json> {
        let (name, store) = (self.cast.name(who), self.store_of(who).display().to_string());
        let clock = CLOCKS.get(who - 1).copied().unwrap_or(0).to_string();
        let mut arguments = vec!["demo-device", "--name", &name, "--store", &store];
        arguments.extend(["--clock", &clock]);
        arguments.extend(how);
        let answer = self.cast.start(who, &arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())?;
        let player = self.cast.player_mut(who)?;
        player.key_hex = text(&answer, "key_hex");
        Ok(answer)
    }

    /// The ids of everything that anybody holds.
    fn union(&mut self) -> anyhow::Result<BTreeSet<String>> {
        let here: Vec<Who> = (0..self.cast.players.len()).filter(|who| self.is_running(*who)).collect();
        let mut all = BTreeSet::new();
        for ids in self.cast.ask_all(&here, &Command::Ids)? {
            all.extend(serde_json::from_value::<Vec<String>>(ids)?);
        }
        Ok(all)
    }

    fn is_running(&self, who: Who) -> bool {
        self.cast.players.get(who).is_some_and(super::cast::Player::is_running)
    }

    /// Waits until all of these hold everything and nobody's work waits for the relay. Gives how much that is, and when each
    /// was there.
    fn level(&mut self, all: &[Who]) -> anyhow::Result<(u64, Vec<Instant>)> {
        let held = self.union()?.len() as u64;
        let level = Command::Level { held, seconds: PATIENCE.as_secs() - 2 };
        all.iter().try_for_each(|who| self.cast.tell(*who, &level))?;
        let mut times = Vec::new();
        for who in all {
            let (when, answer) = self.cast.timed_answer(*who)?;
            self.cast.player_mut(*who)?.digest = Some(text(&answer, "digest"));
            times.push(when);
        }
        Ok((held, times))
    }

    /// Everybody in `all` makes some edits by chance at once.
    fn edit_by_chance(&mut self, all: &[Who], without: &[Place]) -> anyhow::Result<()> {
        let documents: Vec<Place> = self.known.iter().map(|known| known.place.clone()).collect();
        let documents: Vec<Place> = documents.into_iter().filter(|place| !without.contains(place)).collect();
        for who in all {
            let (documents, seed) = (documents.clone(), self.dice.number());
            self.cast.tell(*who, &Command::Edits { documents, count: self.edits, seed, is_announced: false })?;
        }
        for who in all {
            self.cast.answer(*who)?;
        }
        Ok(())
    }

    /// Act one: a relay, a workspace, devices that are let in, records.
    fn meet(&mut self) -> anyhow::Result<()> {
        self.start_relay()?;
        self.cast.say(&format!("A relay listens on {}, with a store of its own.", self.url))?;
        let founded = self.start_device(ANA, &["--found"])?;
        self.workspace = text(&founded, "workspace");
        self.cast.say("Ana founds a workspace on her device.")?;
        let early = self.early.clone();
        for who in early.iter().copied().filter(|who| *who != ANA) {
            let workspace = self.workspace.clone();
            let joined = self.start_device(who, &["--join", &workspace])?;
            let (name, key) = (self.cast.name(who), text(&joined, "key_grouped"));
            self.cast.ask(ANA, &Command::Grant { key: text(&joined, "key"), person: name.clone() })?;
            self.cast.say(&format!("{name} shows the key {key}; Ana lets {name} in."))?;
        }
        self.cast.ask_all(&early, &Command::Connect { url: self.url.clone() })?;
        let mut records = 0;
        if self.data.is_some() {
            for (part, who) in (1..).zip(&early) {
                let begin = Command::Begin { data: self.data.clone(), part, of: early.len() as u64 };
                self.cast.tell(*who, &begin)?;
            }
            for who in &early {
                records += self.cast.answer(*who)?.as_u64().unwrap_or(0);
            }
        } else {
            let begin = Command::Begin { data: None, part: 1, of: 1 };
            records += self.cast.ask(ANA, &begin)?.as_u64().unwrap_or(0);
        }
        let (held, _) = self.level(&early)?;
        let (records, held) = (things(records as usize, "record"), things(held as usize, "change set"));
        self.cast.say(&format!("{records} are written, {held} with the grants; everybody has all of them."))?;
        self.known = self.cast.ask_for(ANA, &Command::Records)?;
        Ok(())
    }

    /// Act two: a device is put back from an older copy.
    fn put_back(&mut self) -> anyhow::Result<()> {
        let (early, copy) = (self.early.clone(), self.folder.join("device-2.backup"));
        self.cast.ask(BEN, &Command::Backup { to: copy.clone() })?;
        self.edit_by_chance(&early, &[])?;
        let (held, _) = self.level(&early)?;
        self.cast.kill(BEN, "broken")?;
        self.replace(BEN, &copy)?;
        let found = self.start_device(BEN, &[])?;
        let (before, was_put_back) = (number(&found, "held"), flag(&found, "was_put_back"));
        ensure!(was_put_back, "Ben's device did not notice that its store was put back from an older copy");
        self.cast.note(BEN, "store put back from an older copy");
        self.cast.say(&format!(
            "Ben's device breaks; a backup is put back that knows {before} of {held} change sets. It notices, begins a new chain and writes on."
        ))?;
        self.edit_by_chance(&[BEN], &[])?;
        self.cast.ask(BEN, &Command::Connect { url: self.url.clone() })?;
        let (held, _) = self.level(&early)?;
        self.cast
            .say(&format!("Connected again it gets back what it had forgotten: everybody holds {held} change sets."))?;
        self.kills.push(format!("Ben's device killed and put back to {before} change sets: it got all its work back"));
        Ok(())
    }

    /// Puts a backup in the place of a device's store.
    fn replace(&self, who: Who, copy: &Path) -> anyhow::Result<()> {
        let store = self.store_of(who);
        std::fs::remove_file(&store).with_context(|| format!("cannot remove {}", store.display()))?;
        Ok(Fieldbook::restore(copy, &store)?)
    }

    /// Act three: the relay is killed while it holds what it has not acknowledged.
    fn kill_the_relay(&mut self) -> anyhow::Result<()> {
        let writers = [ANA, BEN, CHLOE];
        let documents: Vec<Place> = self.known.iter().map(|known| known.place.clone()).collect();
        for attempt in 1..=TRIES {
            let mut before = Vec::new();
            for who in writers {
                let sent = number(&self.cast.ask(who, &Command::Unacknowledged)?, "sent");
                before.push((who, sent, self.cast.player(who)?.saved.len()));
            }
            for who in writers {
                let (documents, seed) = (documents.clone(), self.dice.number());
                self.cast.tell(who, &Command::Edits { documents, count: self.edits * 5, seed, is_announced: false })?;
            }
            let wanted = 4 + self.dice.below(self.edits * 2);
            self.cast.until("three devices did not save anything", |cast| {
                before
                    .iter()
                    .all(|(who, _, saved)| cast.player(*who).is_ok_and(|player| player.saved.len() >= saved + wanted))
            })?;
            self.cast.kill(RELAY, "killed")?;
            self.flight = Flight::default();
            for (who, sent_before, saved_before) in before {
                self.cast.answer(who)?;
                let answer = self.cast.ask(who, &Command::Unacknowledged)?;
                let saved = self.cast.player(who)?.saved.iter().skip(saved_before);
                // A device sends its own work in order, and is acknowledged in order.
                let acknowledged = saved.len().saturating_sub(number(&answer, "outbox") as usize);
                let sent = (number(&answer, "sent") - sent_before) as usize;
                self.flight.acknowledged.extend(saved.clone().take(acknowledged).cloned());
                self.flight.sent.extend(saved.take(sent).skip(acknowledged).cloned());
            }
            let in_flight = things(self.flight.sent.len(), "change set");
            if self.flight.sent.is_empty() {
                self.cast.say("The relay is killed, but had acknowledged everything that it was sent; again.")?;
                self.bring_relay_back()?;
                let early = self.early.clone();
                self.level(&early)?;
                continue;
            }
            self.cast.note(RELAY, "SIGKILL");
            return self.cast.say(&format!(
                "Three devices push, and the relay is killed (SIGKILL) with {in_flight} sent to it and not acknowledged (attempt {attempt})."
            ));
        }
        anyhow::bail!("the relay had acknowledged everything each of {TRIES} times it was killed")
    }

    /// Starts the relay again, and looks what it has on its disk: nothing that it acknowledged may be missing.
    fn bring_relay_back(&mut self) -> anyhow::Result<Found> {
        let url = self.url.clone();
        let answer = self.start_relay()?;
        let ids = answer.get("found").cloned().unwrap_or_default();
        let ids = serde_json::from_value::<Option<Vec<String>>>(ids)?.unwrap_or_default();
        let on_disk: BTreeSet<&String> = ids.iter().collect();
        let missing = self.flight.acknowledged.iter().filter(|id| !on_disk.contains(id)).count();
        ensure!(missing == 0, "the relay lost {} that it had acknowledged", things(missing, "change set"));
        let kept = self.flight.sent.iter().filter(|id| on_disk.contains(id)).count();
        let lacks = self.cast.ledger.keys().filter(|id| !on_disk.contains(id)).count();
        let back = Instant::now();
        if self.url != url {
            self.cast.say(&format!("Its port was taken meanwhile; it listens on {} now.", self.url))?;
        }
        let here: Vec<Who> = self.early.iter().copied().filter(|who| self.is_running(*who)).collect();
        // The system says that there is a network again, and apps call at once.
        self.cast.ask_all(&here, &Command::Connect { url: self.url.clone() })?;
        Ok(Found { kept, lost: self.flight.sent.len() - kept, lacks, back })
    }

    /// Act four: nobody hears of the others, and all edit the same records.
    fn work_apart(&mut self) -> anyhow::Result<Script> {
        let early = self.early.clone();
        self.cast.ask(BEN, &Command::Disconnect)?;
        let script = script(&self.known)?;
        self.cast.say("Without a relay everybody works on, in the same records.")?;
        for clash in &script.clashes {
            for (who, command) in &clash.edits {
                self.cast.tell(*who, command)?;
            }
            for (who, _) in &clash.edits {
                self.cast.answer(*who)?;
            }
            self.cast.say(&clash.told)?;
        }
        let (document, path) = script.text.clone();
        for (who, sentence) in &script.sentences {
            let write = Command::Write { document: document.clone(), path: path.clone(), pieces: pieces(sentence) };
            self.cast.tell(*who, &write)?;
        }
        for (who, _) in &script.sentences {
            self.cast.answer(*who)?;
        }
        self.cast.say("Ana, Ben and Chloé type at the beginning of one text, four letters an edit.")?;
        self.kill_inside_a_commit(&script.touched)?;
        self.edit_by_chance(&early, &script.touched)?;
        let saved = self.cast.ledger.len();
        self.cast.say(&format!("{} edits were reported as saved so far.", count(saved)))?;
        Ok(script)
    }

    /// Kills Chloé's device between the beginning of a commit and the report that it is saved.
    fn kill_inside_a_commit(&mut self, without: &[Place]) -> anyhow::Result<()> {
        let documents = self.known.iter().map(|known| known.place.clone());
        let documents: Vec<Place> = documents.filter(|place| !without.contains(place)).collect();
        for attempt in 1..=TRIES {
            let edits = Command::Edits {
                documents: documents.clone(),
                count: usize::MAX,
                seed: self.dice.number(),
                is_announced: true,
            };
            self.cast.tell(CHLOE, &edits)?;
            let wanted = 5 + self.dice.below(self.edits) as u64;
            self.cast.until("Chloé's device did not save", |cast| {
                cast.player(CHLOE).is_ok_and(|player| player.saving.is_some_and(|number| number >= wanted))
            })?;
            // Anywhere in the commit, not always at its beginning.
            let usual = self.cast.player(CHLOE)?.commit_time.min(Duration::from_millis(20));
            let at = Instant::now() + usual.mul_f64(self.dice.below(100) as f64 / 100.0);
            while Instant::now() < at {
                std::hint::spin_loop();
            }
            self.cast.kill(CHLOE, "killed")?;
            let saving = self.cast.player(CHLOE)?.saving;
            let found = self.start_device(CHLOE, &[])?;
            let own: BTreeSet<String> =
                found.get("own").cloned().map(serde_json::from_value).transpose()?.unwrap_or_default();
            let told = self.cast.ledger.iter().filter(|(_, (who, _))| *who == CHLOE);
            let lost: Vec<String> = told.filter(|(id, _)| !own.contains(*id)).map(|(id, _)| id.clone()).collect();
            ensure!(
                lost.is_empty(),
                "Chloé's device lost {} that it had reported as saved: {}",
                things(lost.len(), "edit"),
                lost.join(", ")
            );
            let Some(number) = saving else {
                self.cast.say("Chloé's device is killed, but between two commits; again.")?;
                continue;
            };
            // Its name and its edits are its own; what is not in the ledger is what nobody was told of.
            let reported = self.cast.ledger.values().filter(|(who, _)| *who == CHLOE).count();
            let unreported = own.len().saturating_sub(reported + 1);
            let what =
                if unreported == 0 { "is gone, as nobody was told of it" } else { "had become durable just before" };
            self.cast.note(CHLOE, "SIGKILL inside a commit");
            self.cast.say(&format!(
                "Chloé's device is killed (SIGKILL) inside a commit (attempt {attempt}). All {reported} edits it reported are there; the one it was saving {what}."
            ))?;
            self.kills.push(format!("Chloé's device killed inside commit {}: that edit {what}", number + 1));
            return Ok(());
        }
        anyhow::bail!("Chloé's device was never inside a commit when it was killed, {TRIES} times")
    }

    /// Act five: the relay is back, somebody joins late, everybody converges.
    fn come_together(&mut self) -> anyhow::Result<()> {
        let Found { kept, lost, lacks, back } = self.bring_relay_back()?;
        self.cast.note(RELAY, "started again");
        let acknowledged = self.flight.acknowledged.len();
        self.cast.say(&format!(
            "The relay starts again: all {acknowledged} it had acknowledged since are on its disk, and {kept} of the {} it had not; {} edits go to it now.",
            kept + lost,
            count(lacks)
        ))?;
        self.kills.push(format!(
            "relay killed with {} sent to it and not acknowledged: {kept} on its disk, {lost} sent again, none of {acknowledged} acknowledged lost",
            things(kept + lost, "change set")
        ));
        let (late, workspace, url) = (self.late, self.workspace.clone(), self.url.clone());
        let name = self.cast.name(late);
        self.start_device(late, &["--join", &workspace])?;
        let draft =
            DocumentKey { kind: Kind::new("inspection")?, id: DocumentId::from_parts(1_772_434_800_000, random()?) };
        let what = What::Say(format!("{name}'s own note, written before anybody let {name} in"));
        let path = "subject/name".to_owned();
        self.cast
            .ask(late, &Command::Edit(Step { document: Place::of(&draft), intent: "note".to_owned(), path, what }))?;
        self.cast.ask(late, &Command::Knock { url: url.clone() })?;
        self.cast.ask(late, &Command::Connect { url: url.clone() })?;
        let knocks = self.cast.ask(ANA, &Command::Knocks { url })?;
        let knock = knocks.as_array().and_then(|knocks| knocks.first()).context("the relay tells who knocked")?.clone();
        let theirs = self.cast.ask(late, &Command::Code { nonce: text(&knock, "nonce") })?;
        let (code, theirs) = (text(&knock, "code"), theirs.as_str().unwrap_or_default().to_owned());
        ensure!(code == theirs, "the codes differ: Ana sees {code}, {name} sees {theirs}");
        self.cast.ask(ANA, &Command::Grant { key: text(&knock, "key"), person: name.clone() })?;
        self.cast.say(&format!(
            "{name} joins late: knocks at the relay, both see the code {code}, Ana lets {name} in, with a draft written before."
        ))?;
        let everybody: Vec<Who> = (1..=late).collect();
        let (held, times) = self.level(&everybody)?;
        for (who, when) in everybody.iter().zip(times) {
            self.cast.player_mut(*who)?.consistent = Some(when.saturating_duration_since(back));
        }
        self.cast.say(&format!("Everybody holds {} change sets.", count(held as usize)))
    }

    /// A device really loses an edit that it saved and the relay acknowledged: its store is put back, and not connected again.
    fn sabotage(&mut self) -> anyhow::Result<String> {
        let copy = self.folder.join("device-2.sabotage");
        self.cast.ask(BEN, &Command::Backup { to: copy.clone() })?;
        let place = self.known.first().context("there are records")?.place.clone();
        let before: BTreeSet<String> = self.cast.ledger.keys().cloned().collect();
        let what = What::Insert("This is lost. ".to_owned());
        self.cast.ask(
            BEN,
            &Command::Edit(Step { document: place, intent: "edit_text".to_owned(), path: "remarks".to_owned(), what }),
        )?;
        let everybody: Vec<Who> = (1..=self.late).collect();
        self.level(&everybody)?;
        let lost =
            self.cast.ledger.keys().find(|id| !before.contains(*id)).context("the edit was reported as saved")?.clone();
        self.cast.kill(BEN, "killed")?;
        self.replace(BEN, &copy)?;
        self.start_device(BEN, &[])?;
        self.cast.say("Sabotage: Ben's store is put back to before his last edit, and stays offline.")?;
        Ok(lost)
    }

    /// What everybody holds in the end, and whether it is everything.
    fn end(&mut self, script: &Script, sabotaged: Option<String>) -> anyhow::Result<Ending> {
        let everybody: Vec<Who> = (1..=self.late).collect();
        let logs = self.cast.ask_all(&everybody, &Command::Log)?;
        let all: Vec<Who> = (0..=self.late).collect();
        let verified = self.cast.ask_all(&all, &Command::Verify)?;
        let relayed: BTreeSet<String> = self.cast.ask_for(RELAY, &Command::Ids)?;
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        let mut told = |cast: &Cast, who: Who, has: &BTreeSet<String>| {
            for (id, (by, what)) in cast.ledger.iter().filter(|(id, _)| !has.contains(*id)) {
                missing.push((cast.name(who), id.clone(), cast.name(*by), what.clone()));
            }
        };
        let mut devices = Vec::new();
        for (who, log) in everybody.iter().zip(&logs) {
            let counting = serde_json::from_value(log.get("counting").cloned().unwrap_or_default())?;
            told(&self.cast, *who, &counting);
            for why in log.get("undecided").and_then(Json::as_array).into_iter().flatten() {
                wrong.push(format!("{}: a change set does not count: {why}", self.cast.name(*who)));
            }
            let digest = text(log, "digest");
            self.cast.player_mut(*who)?.digest = Some(digest.clone());
            let player = self.cast.player(*who)?;
            devices.push(Device {
                name: player.name.clone(),
                digest,
                held: number(log, "held"),
                saved: player.saved.len(),
                bytes: player.bytes(),
                consistent: player.consistent,
                size: number(log, "size"),
                pages: 0,
            });
        }
        told(&self.cast, RELAY, &relayed);
        let player = self.cast.player(RELAY)?;
        let mut relay = Device {
            name: player.name.clone(),
            digest: String::new(),
            held: relayed.len() as u64,
            saved: 0,
            bytes: player.bytes(),
            consistent: None,
            size: 0,
            pages: 0,
        };
        for (device, report) in std::iter::once(&mut relay).chain(&mut devices).zip(&verified) {
            device.pages = number(report, "pages");
            for finding in report.get("findings").and_then(Json::as_array).into_iter().flatten() {
                wrong.push(format!("{}: {finding}", device.name));
            }
        }
        let authorities: BTreeSet<String> = logs.iter().map(|log| text(log, "authority")).collect();
        if authorities.len() > 1 {
            wrong.push("the devices differ in who may do what".to_owned());
        }
        let first: Vec<(Place, String)> = script.clashes.iter().filter_map(|clash| clash.at.clone()).collect();
        let conflicts = self.cast.ask(self.late, &Command::Conflicts { first, at_most: 8 })?;
        let (document, path) = script.text.clone();
        let written = self.cast.ask(self.late, &Command::Text { document, path })?;
        let written = written.as_str().unwrap_or_default().to_owned();
        let mut end = 0;
        for (who, sentence) in &script.sentences {
            match written.find(sentence.trim_end()) {
                Some(at) => end = end.max(at + sentence.trim_end().len()),
                None => wrong.push(format!("what {} typed is not whole in the shared text", self.cast.name(*who))),
            }
        }
        let first_log = logs.first().context("there are devices")?;
        let ending = Ending {
            missing,
            wrong,
            saved: self.cast.ledger.len(),
            conflicts,
            titles: self.known.iter().map(|known| (known.place.clone(), known.title.clone())).collect(),
            names: self.cast.players.iter().map(|player| (player.key_hex.clone(), player.name.clone())).collect(),
            // What chance wrote below it is no story.
            text: written.get(..end).unwrap_or(&written).to_owned(),
            kills: std::mem::take(&mut self.kills),
            documents: number(first_log, "documents"),
            forks: number(first_log, "forks"),
            time: self.cast.view.begun().elapsed(),
            devices,
            relay,
            sabotaged,
        };
        for who in everybody.into_iter().chain([RELAY]) {
            self.cast.quit(who)?;
        }
        Ok(ending)
    }
}

fn text(answer: &Json, name: &str) -> String {
    answer.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn number(answer: &Json, name: &str) -> u64 {
    answer.get(name).and_then(Json::as_u64).unwrap_or(0)
}

fn flag(answer: &Json, name: &str) -> bool {
    answer.get(name).and_then(Json::as_bool).unwrap_or(false)
}

fn random() -> anyhow::Result<[u8; 10]> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
