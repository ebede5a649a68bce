//! The sync protocol: how two replicas come to hold the same change sets, as a state machine without I/O, async or clock.
//!
//! A [`Session`] is one connection to one peer, and the same on both sides: device to relay, relay to relay, device to
//! device. It proves keys in a handshake, opens partitions by comparing two cursors, streams pages of the log behind them,
//! and acknowledges with signed [`Receipt`]s what is durable. Where the cursors do not fit, tips are compared and only
//! the lines that differ are sent. The session never touches a log or a socket: it hands out [`Request`]s and frames, and
//! takes answers and frames in. The bytes are specified in `spec/sync.md`.
//!
//! A driver reads like this:
//!
//! ```
//! use changeset::{DeviceKey, Partition, WorkspaceId};
//! use std::{sync::Arc, time::Instant};
//! use sync::{Config, Event, Request, Response, Session, Tier};
//!
//! let (workspace, now) = (WorkspaceId::from_bytes([1; 32]), Instant::now());
//! let key = |number: u8| Arc::new(DeviceKey::from_secret(&[number; 32]));
//! let mut device = Session::call(Config::new(Tier::Device), key(1), workspace, None, [2; 32], now);
//! let mut relay = Session::answer(Config::new(Tier::Relay), key(3), [4; 32], now);
//!
//! // Carry frames both ways; the relay is asked whether the device may come in.
//! loop {
//!     let mut is_idle = true;
//!     while let Some(frame) = device.poll_transmit() { relay.handle_message(&frame, now); is_idle = false; }
//!     while let Some((id, request)) = relay.poll_storage() {
//!         assert!(matches!(request, Request::Admit { .. }));
//!         relay.handle_storage(id, Response::Admitted(Ok(())), now);
//!     }
//!     while let Some(frame) = relay.poll_transmit() { device.handle_message(&frame, now); is_idle = false; }
//!     if is_idle { break }
//! }
//! assert!(matches!(device.poll_event(), Some(Event::Met { tier: Tier::Relay, .. })));
//! assert_eq!(relay.peer(), Some(changeset::Signer::public_key(&*key(1))));
//! ```

mod channel;
mod error;
mod event;
mod frame;
mod handshake;
pub mod limits;
mod message;
mod output;
mod receipt;
mod reconcile;
mod session;
mod storage;

pub use error::{Code, SessionError};
pub use event::Event;
pub use limits::{Config, Tier};
pub use message::{Knock, Message, Place, Tip, Want};
pub use receipt::{Receipt, Statement};
pub use session::Session;
pub use storage::{Denial, Page, Request, RequestId, Response};
