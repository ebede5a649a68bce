//! Every limit of the protocol by name, and what a session may be told.

use changeset::limits::{MAX_PAGE_BYTES, MAX_PARTITION_BYTES};
use std::time::Duration;

/// The version of the protocol that this code speaks.
pub const VERSION: u64 = 1;
/// The most bytes in a frame: a page of the largest size, and its place. A transport refuses more before reading it.
pub const MAX_FRAME_BYTES: usize = MAX_PAGE_BYTES + 1024;
/// The most bytes in a control frame.
pub const MAX_CONTROL_BYTES: usize = 256 << 10;
/// The most bytes in a receipt's frame.
pub const MAX_RECEIPT_BYTES: usize = 512;
/// The most bytes in a handshake message.
pub const MAX_HANDSHAKE_BYTES: usize = 1024;
/// The most messages in a control frame.
pub const MAX_MESSAGES: usize = 1024;
/// The most partitions that a session has open. A peer that opens more is answered with a denial.
pub const MAX_CHANNELS: usize = 1024;
/// The most tips in one message; longer lists are sent in several.
pub const MAX_TIPS: usize = 1024;
/// The most tips of our own that one comparison holds; about 150 bytes of memory each, until it is over.
pub const MAX_RECONCILED_TIPS: usize = 1 << 20;
/// The most tips that a peer may say we lack in one comparison; 72 bytes of memory each, until it is over.
pub const MAX_OFFERED_TIPS: usize = 1 << 17;
/// The most messages of reconciliation from one side in one comparison.
pub const MAX_RECONCILE_STEPS: usize = 4096;
/// The most ids that a want names as known, for each tip.
pub const MAX_KNOWN: usize = 16;
/// The most bytes in one message of reconciliation.
pub const MAX_RECONCILE_BYTES: usize = 32 << 10;
/// The most bytes in a text for people.
pub const MAX_TEXT_BYTES: usize = 512;
/// The most bytes in a device's name for itself.
pub const MAX_NAME_BYTES: usize = 128;
/// The most refused entries that one message names.
pub const MAX_REFUSED: usize = 1024;
/// The most joining devices in one answer.
pub const MAX_KNOCKS: usize = 256;
/// The smallest window that a peer may offer. A page that is larger travels alone.
pub const MIN_WINDOW_BYTES: u64 = 64 << 10;
/// The most of a peer's window that is used: so much of our memory a peer that does not read may hold.
pub const MAX_WINDOW_BYTES: u64 = 32 << 20;
/// The most requests to storage without an answer, over all partitions, those counted that nobody waits for any more. Beyond
/// it the session ends.
pub const MAX_REQUESTS: usize = 8 * MAX_CHANNELS;
/// The most bytes of frames of our own (pages of the log are shared and count in the window) that wait for the transport.
/// Beyond it the session ends: the peer asks and does not read.
pub const MAX_UNSENT_BYTES: usize = 64 << 20;

const _: () = assert!(MAX_PARTITION_BYTES < 255, "partition names fit in a short text");

/// What a replica is to its peers: how much its receipts are worth, and whether others' entries are offered to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A device of a person: it holds what it received, and may be lost.
    Device,
    /// A relay near the devices.
    Relay,
    /// A relay at the centre, with backups.
    Core,
}

impl Tier {
    /// The code on the wire.
    pub fn code(self) -> u64 {
        match self {
            Self::Device => 0,
            Self::Relay => 1,
            Self::Core => 2,
        }
    }

    /// The tier with this code.
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Device, Self::Relay, Self::Core].into_iter().find(|tier| tier.code() == code)
    }
}

/// What a session is told when it begins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What this replica is.
    pub tier: Tier,
    /// How many bytes of pages and runs the peer may have in flight to us. Default 4 MiB. That much memory is used for a
    /// session at worst; less than a page's size makes large pages travel alone, 64 KiB is the least.
    pub window_bytes: u64,
    /// How many bytes of pages are asked of the log at once. Default 1 MiB.
    pub read_bytes: usize,
    /// How long an acknowledgement may wait for more to acknowledge. Default none: a device that waits for a relay's
    /// receipt waits that much longer. A device itself may be lazy, 50 ms, because nobody waits for its receipts.
    pub ack_linger: Duration,
    /// How long the handshake may take. Default 10 s; too short refuses peers on slow lines, too long holds memory for
    /// those that never speak.
    pub handshake_timeout: Duration,
    /// After how long without a word from the peer it is asked whether it is there; after twice that it is gone. Default
    /// 25 s, below what routers keep connections open for. Shorter costs 200 bytes each time.
    pub ping_after: Duration,
}

impl Config {
    /// The defaults for a replica of this tier.
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            window_bytes: 4 << 20,
            read_bytes: 1 << 20,
            ack_linger: if tier == Tier::Device { Duration::from_millis(50) } else { Duration::ZERO },
            handshake_timeout: Duration::from_secs(10),
            ping_after: Duration::from_secs(25),
        }
    }
}
