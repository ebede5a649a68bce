//! The processes as their parent sees them: started, told, listened to, stopped, killed, and always reaped.

use crate::ledger::Ledger;
use crate::words::{Command, Heard, Standing, State, id};
use anyhow::{Context as _, bail};
use changeset::ChangeSetId;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// No answer takes longer than this, or the run has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process that runs. Dropping it kills and reaps it.
#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_ended_already = self.child.kill();
        let _status = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _panicked = reader.join();
        }
    }
}

/// One machine, through all lives of its process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// Which relay it is, if it is one.
    pub(crate) relay: Option<usize>,
    pub(crate) store: PathBuf,
    pub(crate) errors: PathBuf,
    pub(crate) clock_ms: i64,
    pub(crate) backup: Option<PathBuf>,
    pub(crate) is_stopped: bool,
    pub(crate) key: String,
    pub(crate) workspace: String,
    pub(crate) address: String,
    pub(crate) was_put_back: bool,
    pub(crate) is_ready: bool,
    /// What was on its disk when it started last.
    pub(crate) found: BTreeSet<ChangeSetId>,
    pub(crate) state: State,
    pub(crate) refused: u64,
    pub(crate) standing: Option<Standing>,
    pub(crate) verified: Option<(u64, u64, Vec<String>)>,
    pub(crate) memory: u64,
    pub(crate) peak_memory: u64,
    pub(crate) lives: u32,
    running: Option<Running>,
    told: u64,
    done: u64,
    is_ending: bool,
}

impl Process {
    /// One that does not run yet.
    pub(crate) fn new(name: String, relay: Option<usize>, store: PathBuf, errors: PathBuf) -> Self {
        Self { name, relay, store, errors, ..Self::default() }
    }

    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// It runs and is not stopped.
    pub(crate) fn is_awake(&self) -> bool {
        self.running.is_some() && !self.is_stopped
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let running = self.running.as_ref().with_context(|| format!("{} does not run", self.name))?;
        Ok(kill_process(Pid::from_child(&running.child), signal)?)
    }

    fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }
}

#[derive(Debug)]
enum Event {
    Heard(usize, u32, Heard),
    Gone(usize, u32),
    Interrupted,
}

/// All processes, and what they promised.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) processes: Vec<Process>,
    pub(crate) ledger: Ledger,
    /// Somebody wants the run to come to its end.
    pub(crate) is_interrupted: bool,
    /// What was wrong with what processes said.
    faults: Vec<String>,
    program: PathBuf,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

impl Cast {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (sender, events) = mpsc::channel();
        watch_signals(sender.clone())?;
        Ok(Self {
            processes: Vec::new(),
            ledger: Ledger::default(),
            is_interrupted: false,
            faults: Vec::new(),
            program: program()?,
            events,
            sender,
        })
    }

    /// One machine more; its process does not run yet.
    pub(crate) fn add(&mut self, process: Process) -> usize {
        let who = self.ledger.add(process.relay.is_some());
        self.processes.push(process);
        who
    }

    pub(crate) fn process(&self, who: usize) -> anyhow::Result<&Process> {
        self.processes.get(who).context("there is no such process")
    }

    pub(crate) fn process_mut(&mut self, who: usize) -> anyhow::Result<&mut Process> {
        self.processes.get_mut(who).context("there is no such process")
    }

    pub(crate) fn devices(&self) -> Vec<usize> {
        (0..self.processes.len())
            .filter(|who| self.processes.get(*who).is_some_and(|one| one.relay.is_none()))
            .collect()
    }

    /// Starts a process and waits until it is ready. What it finds on its disk is to be looked at.
    pub(crate) fn start(&mut self, who: usize, arguments: &[String]) -> anyhow::Result<()> {
        let program = self.program.clone();
        let sender = self.sender.clone();
        let process = self.process_mut(who)?;
        let errors = File::options().create(true).append(true).open(&process.errors)?;
        let mut command = std::process::Command::new(&program);
        command.arg0("soak").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        // What is typed at the terminal is for the parent, which ends them in its own order.
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process was started without pipes")
        };
        process.lives += 1;
        let life = process.lives;
        (process.told, process.done) = (0, 0);
        process.refused += std::mem::take(&mut process.state).refused;
        (process.is_ready, process.is_stopped, process.is_ending) = (false, false, false);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A line that was cut off by a kill says nothing.
                if let Ok(heard) = serde_json::from_str(&line) {
                    drop(sender.send(Event::Heard(who, life, heard)));
                }
            }
            drop(sender.send(Event::Gone(who, life)));
        });
        process.running = Some(Running { child, stdin, reader: Some(reader) });
        let name = process.name.clone();
        self.until(PATIENCE, &format!("{name} did not start"), |cast| {
            cast.processes.get(who).is_none_or(|process| process.is_ready)
        })
    }

    /// Tells a process to do something.
    pub(crate) fn tell(&mut self, who: usize, command: &Command) -> anyhow::Result<()> {
        let line = serde_json::to_string(command)? + "\n";
        let process = self.process_mut(who)?;
        process.told += 1;
        let running = process.running.as_mut().with_context(|| format!("{} does not run", process.name))?;
        running.stdin.write_all(line.as_bytes()).with_context(|| format!("{} does not listen", process.name))
    }

    /// Tells processes to do something and waits until they have.
    pub(crate) fn ask_all(&mut self, all: &[usize], command: &Command) -> anyhow::Result<()> {
        all.iter().try_for_each(|who| self.tell(*who, command))?;
        self.until(PATIENCE, &format!("not everybody did {command:?}"), |cast| {
            all.iter().all(|who| cast.processes.get(*who).is_none_or(|process| process.done >= process.told))
        })
    }

    pub(crate) fn ask(&mut self, who: usize, command: &Command) -> anyhow::Result<()> {
        self.ask_all(&[who], command)
    }

    /// Takes in what processes say until something holds.
    pub(crate) fn until(
        &mut self,
        patience: Duration,
        or_else: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        while !holds(self) {
            if Instant::now() >= end {
                bail!("{or_else} within {} s", patience.as_secs());
            }
            self.listen(end)?;
        }
        Ok(())
    }

    /// Waits for the next thing that is said, but not beyond `end`, and takes in all that was.
    pub(crate) fn listen(&mut self, end: Instant) -> anyhow::Result<()> {
        match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(event) => self.take(event)?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("nobody speaks any more"),
        }
        while let Ok(event) = self.events.try_recv() {
            self.take(event)?;
        }
        match self.faults.first() {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        let (who, life, heard) = match event {
            Event::Interrupted if self.is_interrupted => bail!("interrupted; every process was ended"),
            Event::Interrupted => {
                self.is_interrupted = true;
                return Ok(());
            }
            Event::Gone(who, life) => (who, life, None),
            Event::Heard(who, life, heard) => (who, life, Some(heard)),
        };
        let process = self.processes.get_mut(who).context("there is no such process")?;
        if process.lives != life {
            return Ok(());
        }
        match heard {
            Some(Heard::Ready { key, workspace, address, was_put_back, ids }) => {
                (process.key, process.workspace, process.address) = (key, workspace, address);
                (process.was_put_back, process.is_ready) = (was_put_back, true);
                process.found = read(&ids)?.into_iter().collect();
            }
            Some(Heard::Done) => process.done += 1,
            Some(Heard::Failed { why }) => self.faults.push(format!("{}: {why}", process.name)),
            Some(Heard::Saved { ids }) => {
                let ids = read(&ids)?;
                self.ledger.saved.extend(ids.iter().map(|id| (*id, who)));
                self.ledger.holds(who, ids);
            }
            Some(Heard::Relayed { ids }) => self.ledger.relayed.extend(read(&ids)?),
            Some(Heard::Held { ids }) => self.ledger.holds(who, read(&ids)?),
            Some(Heard::BackedUp { to }) => {
                process.done += 1;
                if let Some(old) = process.backup.replace(to) {
                    std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
                }
            }
            Some(Heard::State(state)) => process.state = state,
            Some(Heard::Standing(standing)) => {
                process.done += 1;
                process.standing = Some(standing);
            }
            Some(Heard::Verified { pages, entries, findings }) => {
                process.done += 1;
                process.verified = Some((pages, entries, findings));
            }
            None => {
                process.running = None;
                process.is_stopped = false;
                if !process.is_ending {
                    let said = std::fs::read_to_string(&process.errors).unwrap_or_default();
                    self.faults.push(format!("{} ended by itself: {}", process.name, said.trim_end()));
                }
            }
        }
        Ok(())
    }

    /// Kills a process with SIGKILL and takes in what it had said.
    pub(crate) fn kill(&mut self, who: usize) -> anyhow::Result<()> {
        let process = self.process_mut(who)?;
        process.is_ending = true;
        process.signal(Signal::KILL)?;
        self.gone(who)
    }

    /// Ends a process in good order.
    pub(crate) fn quit(&mut self, who: usize) -> anyhow::Result<()> {
        self.process_mut(who)?.is_ending = true;
        self.tell(who, &Command::Quit)?;
        self.gone(who)
    }

    fn gone(&mut self, who: usize) -> anyhow::Result<()> {
        let name = self.process(who)?.name.clone();
        self.until(PATIENCE, &format!("{name} did not end"), |cast| {
            cast.processes.get(who).is_none_or(|process| !process.runs())
        })
    }

    /// Stops a process where it stands (SIGSTOP).
    pub(crate) fn stop(&mut self, who: usize) -> anyhow::Result<()> {
        let process = self.process_mut(who)?;
        process.is_stopped = true;
        process.signal(Signal::STOP)
    }

    /// Waits until every thread of a stopped process has stopped.
    pub(crate) fn stand_still(&mut self, who: usize) -> anyhow::Result<()> {
        let process = self.process(who)?;
        let tasks = PathBuf::from(format!("/proc/{}/task", process.pid().context("it runs")?));
        let end = Instant::now() + PATIENCE;
        while !std::fs::read_dir(&tasks)?.flatten().all(|task| is_still(&task.path())) {
            anyhow::ensure!(Instant::now() < end, "a stopped process goes on");
            self.listen(Instant::now() + Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn wake(&mut self, who: usize) -> anyhow::Result<()> {
        let process = self.process_mut(who)?;
        if process.runs() && process.is_stopped {
            process.is_stopped = false;
            process.signal(Signal::CONT)?;
        }
        Ok(())
    }

    /// Looks how much memory each takes.
    pub(crate) fn weigh(&mut self) {
        for process in &mut self.processes {
            let Some(pid) = process.pid() else { continue };
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
            };
            process.memory = line("VmRSS:").unwrap_or(0);
            process.peak_memory = process.peak_memory.max(line("VmHWM:").unwrap_or(0));
        }
    }
}

/// This program, as it is loaded: it may be built anew while it runs for hours.
fn program() -> anyhow::Result<PathBuf> {
    let loaded = PathBuf::from("/proc/self/exe");
    if loaded.exists() { Ok(loaded) } else { std::env::current_exe().context("cannot tell where this program lies") }
}

fn read(ids: &[String]) -> anyhow::Result<Vec<ChangeSetId>> {
    ids.iter().map(|hex| id(hex)).collect()
}

/// A thread that is stopped, or has ended.
fn is_still(task: &Path) -> bool {
    let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("State:"))
        .is_none_or(|state| state.trim().starts_with(['T', 'Z', 'X']))
}

/// The processes that began here and are not reaped.
pub(crate) fn children() -> usize {
    let is_ours = |path: &Path| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.and_then(|parent| parent.trim().parse().ok()) == Some(std::process::id())
    };
    let Ok(all) = std::fs::read_dir("/proc") else { return 0 };
    all.flatten().filter(|entry| is_ours(&entry.path())).count()
}

/// The first wish to end brings the run to its end, with all checks; the second ends it at once.
fn watch_signals(sender: Sender<Event>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send(Event::Interrupted).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}
