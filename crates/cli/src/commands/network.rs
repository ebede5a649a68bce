//! What the commands that talk to relays have in common.

use crate::Context;
use anyhow::bail;
use fieldbook::KeyText;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Options of everything that connects.
#[derive(clap::Args, Debug)]
pub(crate) struct Network {
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Trust this certificate too (PEM or DER), for a relay with its own
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Talk to relays beyond this machine without TLS
    #[arg(long)]
    allow_plain: bool,
}

impl Network {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The context with what this says about connections.
    pub(crate) fn apply(&self, context: &Context) -> Context {
        let mut context = context.clone();
        context.certificates.clone_from(&self.trust);
        context.allow_plain = self.allow_plain;
        context
    }
}

/// How many characters of a key are compared: 80 bits, which nobody finds another key for.
const CODE_LENGTH: usize = 16;

/// The beginning of a key, which two people compare when a device knocks.
pub(crate) fn grouped_code(key: &KeyText) -> String {
    key.grouped().chars().take(CODE_LENGTH + CODE_LENGTH / 4 - 1).collect()
}

/// A code as somebody typed it, as the beginning of a key's text.
pub(crate) fn read_code(text: &str) -> anyhow::Result<String> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if plain.len() < CODE_LENGTH {
        bail!("{text} is too short for a code; it has {CODE_LENGTH} characters, the first of the device's key");
    }
    // What follows is filled up, so that the reader of keys forgives the same slips here.
    let filled = format!("{plain}{}", "0".repeat(52_usize.saturating_sub(plain.len())));
    let key: KeyText = filled.parse().map_err(|error| anyhow::anyhow!("{text}: {error}"))?;
    Ok(key.to_string().chars().take(plain.len()).collect())
}

/// Ctrl-C and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on; inside a runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for either. Cancel safe.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
