//! The relay: many workspaces in one store, sessions over websockets, and what an operator needs to run it.
//!
//! A [`Relay`] is a [`replica::Replica`] that keeps many sessions and opens no documents: it checks signatures, chains and
//! admission, stores, and forwards. It links neither automerge nor yrs. The binary `fieldbook-relay` is this crate with a
//! command line; an app's own tests start a relay in their process:
//!
//! ```
//! let folder = std::env::temp_dir().join(format!("relay-doc-{}", std::process::id()));
//! let mut config = relay::Config::new(&folder);
//! config.listen = ([127, 0, 0, 1], 0).into(); // a port of the system's choice
//! config.admin = ([127, 0, 0, 1], 0).into();
//! let relay = relay::Relay::start(config)?;
//! assert!(relay.address().starts_with("ws://127.0.0.1:"));
//! relay.stop();
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admin;
mod ask;
mod config;
mod devices;
mod error;
mod health;
mod logs;
mod metrics;
mod options;
mod relay;
mod serve;
mod system;
mod tls;

pub use ask::{AskError, ask_backup, ask_devices};
pub use config::{Config, ConfigError, Level, LogFormat, Place};
pub use devices::table;
pub use error::RelayError;
pub use logs::Logs;
pub use options::{SETTINGS, Setting, example};
pub use relay::Relay;
