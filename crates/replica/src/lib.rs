//! A replica: one store that keeps sessions with peers. It is what a relay is, and what a device has beneath its documents.
//!
//! Here the three that never see each other meet: [`storage`] keeps the logs, [`sync`] says what to exchange, [`access`] says who
//! may. [`Replica::call`] and [`Replica::answer`] run a session over any [`Connection`]; pages are verified and judged on
//! worker threads, made durable by the store's one writer, and only then acknowledged. A session has no queue of its own:
//! whoever lags reads from the log, and pages that many want are held in memory once.
//!
//! Durability: whatever a peer was told is taken is on disk. Cancelling a session loses nothing.

mod connection;
mod counters;
mod driver;
mod error;
mod given;
mod overlay;
mod policy;
mod recent;
mod replica;
mod run;
mod serve;
mod sessions;
mod sort;
mod take;
mod watch;
mod workers;

pub use connection::{Connection, Trust, websocket_config};
pub use counters::{Counter, Counters};
pub use driver::{Command, Driver, Observer};
pub use error::{LinkError, ReplicaError};
pub use policy::{FreeDisk, Policy};
pub use replica::{Listener, Options, Replica};
pub use sessions::{Live, Sessions};
pub use storage::{Clock, system_clock};
pub use take::refused_name;
