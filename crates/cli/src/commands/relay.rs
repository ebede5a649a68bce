//! `relay`: a relay in this process.

use crate::commands::network::Signals;
use crate::output::{line, remark};
use crate::{Context, Outcome};
use anyhow::anyhow;
use fieldbook::KeyText;
use relay::{Config, LogFormat, Logs, Relay};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// A configuration file of fieldbook-relay; what is said here goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of its store; made if it is not there
    #[arg(long, value_name = "FOLDER", required_unless_present = "config")]
    data: Option<PathBuf>,
    /// Where devices connect; port 0 lets the system choose one [default: 127.0.0.1:7171]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where health, metrics and devices are shown [default: 127.0.0.1:7172]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// Any other option of fieldbook-relay, for example: --set sessions_max=100
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    set: Vec<String>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let config = config(options)?;
    // One line for each session is for operators; a person at a terminal wants to hear of what goes wrong.
    let _logs = Logs::begin(relay::Level::Warn, LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody is told that it runs, so that no signal finds it unprepared.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let relay = Relay::start(config)?;
    let key = KeyText::of_key(&relay.key());
    if context.json {
        crate::output::json_line(&json!({
            "relay": relay.address(), "admin": relay.admin_address().to_string(), "key": key.to_string(),
        }))?;
    } else {
        line(&format!("ready {} admin {} key {key}", relay.address(), relay.admin_address()))?;
        remark("Ctrl-C ends it in good order");
    }
    runtime.block_on(signals.end());
    relay.stop();
    Ok(true)
}

fn config(options: &Options) -> anyhow::Result<Config> {
    let mut config = match &options.config {
        Some(file) => Config::from_file(file)?,
        None => Config::new(options.data.clone().unwrap_or_default()),
    };
    if let Some(data) = &options.data {
        config.data.clone_from(data);
    }
    for (name, value) in [("listen", &options.listen), ("admin", &options.admin)] {
        if let Some(value) = value {
            config.set_flag(name, value)?;
        }
    }
    for set in &options.set {
        let (name, value) = set.split_once('=').ok_or_else(|| anyhow!("--set {set}: write OPTION=VALUE"))?;
        config.set_flag(name, value)?;
    }
    config.check()?;
    Ok(config)
}
