//! What every process of the demo does: take commands, say how it stands, and end when its parent does.

use crate::Outcome;
use crate::demo::wire::{Command, Heard, State, say};
use std::io::BufRead as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// No state is told more often than this.
const TOLD_AT_MOST_EVERY: Duration = Duration::from_millis(60);

/// Runs a process of the demo; what goes wrong is its last line.
pub(crate) fn nothing_but_answers(serve: impl FnOnce() -> anyhow::Result<()>) -> Outcome {
    if let Err(error) = serve() {
        let _nobody_listens = say(&Heard::Failed { why: format!("{error:#}") });
        return Err(error);
    }
    Ok(true)
}

/// The commands as they come. When the parent is gone the process ends where it stands: what it said to be saved is.
pub(crate) fn commands() -> impl Iterator<Item = Command> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(command) => drop(send.send(command)),
                Err(error) => {
                    let _nobody_listens = say(&Heard::Failed { why: format!("cannot understand {line}: {error}") });
                }
            }
        }
        std::process::exit(0);
    });
    receive.into_iter()
}

/// Something happened: counted, and waited for.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    beats: Mutex<u64>,
    changed: Condvar,
}

impl Pulse {
    pub(crate) fn beat(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn count(&self) -> u64 {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something happened since `seen`, or a while passed in which something may have that does not beat.
    /// Gives whether it is not yet `end`.
    pub(crate) fn wait(&self, seen: u64, end: Instant) -> bool {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.saturating_duration_since(Instant::now());
        let at_most = left.min(Duration::from_millis(200));
        drop(self.changed.wait_timeout_while(beats, at_most, |beats| *beats == seen));
        !left.is_zero()
    }

    /// Says the state whenever something happened and it is another, for as long as anybody listens.
    pub(crate) fn tell(self: &Arc<Self>, mut state: impl FnMut() -> State + Send + 'static) {
        let pulse = Arc::clone(self);
        std::thread::spawn(move || {
            let (mut last, mut told) = (State::default(), Instant::now());
            loop {
                let seen = pulse.count();
                let now = state();
                if now != last {
                    if say(&Heard::State(now.clone())).is_err() {
                        return;
                    }
                    (last, told) = (now, Instant::now());
                }
                while pulse.count() == seen {
                    pulse.wait(seen, Instant::now() + Duration::from_secs(3600));
                }
                // Many things happen at once; one line tells them.
                std::thread::sleep(TOLD_AT_MOST_EVERY.saturating_sub(told.elapsed()));
            }
        });
    }
}
