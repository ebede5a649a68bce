//! The processes of the demo as their parent sees them: started, told, listened to, killed, and always reaped.

use crate::demo::view::View;
use crate::demo::wire::{Command, Heard, State};
use anyhow::{Context as _, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// No answer takes longer than this, or the demo has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Who plays: the number 0 is the relay.
pub(crate) type Who = usize;
pub(crate) const RELAY: Who = 0;

/// A process that runs. Dropping it kills and reaps it.
#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// One process, through all its lives.
#[derive(Debug, Default)]
pub(crate) struct Player {
    pub(crate) name: String,
    running: Option<Running>,
    life: u32,
    answers: VecDeque<(Instant, Result<Json, String>)>,
    /// How it stood last.
    pub(crate) state: State,
    /// Bytes in and out of its earlier lives.
    before: (u64, u64),
    /// What is shown beside it when it does not run.
    pub(crate) absent: &'static str,
    /// The beginning of its digest, while it is known.
    pub(crate) digest: Option<String>,
    pub(crate) last: String,
    /// The commit that was begun and not reported as saved.
    pub(crate) saving: Option<u64>,
    /// When that was, and how long the one before it took.
    saving_since: Option<Instant>,
    pub(crate) commit_time: Duration,
    /// What it reported as saved, in order.
    pub(crate) saved: Vec<String>,
    /// How long after the network was back it held everything.
    pub(crate) consistent: Option<Duration>,
    pub(crate) key_hex: String,
}

impl Player {
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let (before_in, before_out) = self.before;
        (before_in + self.state.bytes_in, before_out + self.state.bytes_out)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

enum Event {
    Heard(Who, u32, Heard),
    Gone(Who, u32),
    Interrupted,
}

/// All processes, what they said, and what of it is shown.
pub(crate) struct Cast {
    pub(crate) players: Vec<Player>,
    /// Every change set that was reported as saved: by whom, and what it did.
    pub(crate) ledger: BTreeMap<String, (Who, String)>,
    pub(crate) view: View,
    folder: PathBuf,
    program: PathBuf,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Cast {
    pub(crate) fn new(folder: &Path, names: &[&str], view: View) -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel();
        watch_signals(sender.clone())?;
        let player = |name: &&str| Player { name: (*name).to_owned(), absent: "not here yet", ..Player::default() };
        Ok(Self {
            players: ["relay"].iter().chain(names).map(player).collect(),
            ledger: BTreeMap::new(),
            view,
            folder: folder.to_owned(),
            program: std::env::current_exe().context("cannot tell where this program lies")?,
            events,
            sender,
        })
    }

    pub(crate) fn player(&self, who: Who) -> anyhow::Result<&Player> {
        self.players.get(who).context("there is no such player")
    }

    pub(crate) fn player_mut(&mut self, who: Who) -> anyhow::Result<&mut Player> {
        self.players.get_mut(who).context("there is no such player")
    }

    pub(crate) fn name(&self, who: Who) -> String {
        self.players.get(who).map(|player| player.name.clone()).unwrap_or_default()
    }

    /// Tells the reader something, and in a terminal gives time to read it.
    pub(crate) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.view.say(text, &self.players)?;
        let end = Instant::now() + self.view.reading_time(text);
        while Instant::now() < end {
            self.take_one(end)?;
        }
        Ok(())
    }

    /// What is shown beside a process.
    pub(crate) fn note(&mut self, who: Who, text: &str) {
        if let Some(player) = self.players.get_mut(who) {
            text.clone_into(&mut player.last);
        }
    }

    fn errors_of(&self, who: Who) -> PathBuf {
        self.folder.join(format!("process-{who}.err"))
    }

    /// Starts a process and gives its first answer.
    pub(crate) fn start(&mut self, who: Who, arguments: &[String]) -> anyhow::Result<Json> {
        let errors = File::options().create(true).append(true).open(self.errors_of(who))?;
        let mut command = std::process::Command::new(&self.program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process was started without pipes")
        };
        let player = self.player_mut(who)?;
        player.life += 1;
        let (life, previous) = (player.life, std::mem::take(&mut player.state));
        player.before.0 += previous.bytes_in;
        player.before.1 += previous.bytes_out;
        player.state.held = previous.held;
        player.answers.clear();
        (player.saving, player.digest) = (None, None);
        player.running = Some(Running { child, stdin });
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A line that was cut off by a kill says nothing.
                if let Ok(heard) = serde_json::from_str(&line) {
                    drop(sender.send(Event::Heard(who, life, heard)));
                }
            }
            drop(sender.send(Event::Gone(who, life)));
        });
        self.answer(who)
    }

    /// Tells a process to do something; its answer is to be asked for.
    pub(crate) fn tell(&mut self, who: Who, command: &Command) -> anyhow::Result<()> {
        let line = serde_json::to_string(command)? + "\n";
        let name = self.name(who);
        let running = self.player_mut(who)?.running.as_mut().with_context(|| format!("{name} does not run"))?;
        running.stdin.write_all(line.as_bytes()).with_context(|| format!("{name} does not listen"))
    }

    /// The next answer of a process.
    pub(crate) fn answer(&mut self, who: Who) -> anyhow::Result<Json> {
        Ok(self.timed_answer(who)?.1)
    }

    /// The next answer of a process, and when it came.
    pub(crate) fn timed_answer(&mut self, who: Who) -> anyhow::Result<(Instant, Json)> {
        let name = self.name(who);
        self.until(&format!("{name} does not answer"), |cast| {
            cast.players.get(who).is_none_or(|player| !player.answers.is_empty())
        })?;
        let answer = self.player_mut(who)?.answers.pop_front();
        let (when, answer) = answer.with_context(|| format!("{name} did not answer"))?;
        Ok((when, answer.map_err(|why| anyhow!("{name}: {why}"))?))
    }

    /// Asks a process to do something and waits until it has.
    pub(crate) fn ask(&mut self, who: Who, command: &Command) -> anyhow::Result<Json> {
        self.tell(who, command)?;
        self.answer(who)
    }

    /// As [`Cast::ask`], for answers of a known shape.
    pub(crate) fn ask_for<T: DeserializeOwned>(&mut self, who: Who, command: &Command) -> anyhow::Result<T> {
        Ok(serde_json::from_value(self.ask(who, command)?)?)
    }

    /// Asks several processes at once and waits for all of them.
    pub(crate) fn ask_all(&mut self, all: &[Who], command: &Command) -> anyhow::Result<Vec<Json>> {
        all.iter().try_for_each(|who| self.tell(*who, command))?;
        all.iter().map(|who| self.answer(*who)).collect()
    }

    /// Takes in what processes say until something holds.
    pub(crate) fn until(&mut self, or_else: &str, mut holds: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            if Instant::now() >= end {
                let stands = self.players.iter().map(|player| {
                    let State { connectivity, outbox, held, .. } = &player.state;
                    format!("{}: {connectivity}, outbox {outbox}, holds {held}", player.name)
                });
                bail!("{or_else} within {} s ({})", PATIENCE.as_secs(), stands.collect::<Vec<_>>().join("; "));
            }
            self.take_one(end)?;
        }
        Ok(())
    }

    /// Waits for the next event, but not beyond `end`, and draws the view when that is due.
    fn take_one(&mut self, end: Instant) -> anyhow::Result<()> {
        let next = end.min(self.view.next_frame());
        match self.events.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("nobody speaks any more"),
        }
        Ok(self.view.frame(&self.players)?)
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        let (who, life, heard) = match event {
            Event::Interrupted => bail!("interrupted; every process was ended"),
            Event::Gone(who, life) => (who, life, None),
            Event::Heard(who, life, heard) => (who, life, Some(heard)),
        };
        let errors = self.errors_of(who);
        let player = self.player_mut(who)?;
        if player.life != life {
            return Ok(());
        }
        match heard {
            Some(Heard::Answer { what }) => player.answers.push_back((Instant::now(), Ok(what))),
            Some(Heard::Failed { why }) => player.answers.push_back((Instant::now(), Err(why))),
            Some(Heard::State(state)) => {
                if state.held != player.state.held {
                    player.digest = None;
                }
                player.state = state;
            }
            Some(Heard::Saving { number }) => {
                player.saving = Some(number);
                player.saving_since = Some(Instant::now());
            }
            Some(Heard::Saved { ids, what }) => {
                player.saving = None;
                if let Some(since) = player.saving_since.take() {
                    player.commit_time = since.elapsed();
                }
                player.saved.extend(ids.iter().cloned());
                player.last = format!("saved: {what}");
                self.ledger.extend(ids.into_iter().map(|id| (id, (who, what.clone()))));
            }
            None => {
                player.running = None;
                let said = std::fs::read_to_string(errors).unwrap_or_default();
                let why = format!("the process ended {}", said.trim_end());
                player.answers.push_back((Instant::now(), Err(why)));
            }
        }
        Ok(())
    }

    /// Kills a process with SIGKILL and takes in what it had said.
    pub(crate) fn kill(&mut self, who: Who, absent: &'static str) -> anyhow::Result<()> {
        let player = self.player_mut(who)?;
        let running = player.running.as_mut().context("it does not run")?;
        running.child.kill().context("cannot kill a process")?;
        self.gone(who, absent)
    }

    /// Ends a process in good order.
    pub(crate) fn quit(&mut self, who: Who) -> anyhow::Result<()> {
        self.tell(who, &Command::Quit)?;
        self.gone(who, "ended")
    }

    fn gone(&mut self, who: Who, absent: &'static str) -> anyhow::Result<()> {
        let name = self.name(who);
        self.until(&format!("{name} did not end"), |cast| {
            cast.players.get(who).is_none_or(|player| !player.is_running())
        })?;
        let player = self.player_mut(who)?;
        player.answers.clear();
        player.absent = absent;
        (player.state.outbox, player.state.to_receive) = (0, 0);
        Ok(())
    }
}

/// Ends the demo in order when it is interrupted or told to end.
fn watch_signals(sender: Sender<Event>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        drop(sender.send(Event::Interrupted));
    });
    Ok(())
}
