//! What a replica takes from peers, beyond what is right: quotas, load, disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use sync::Tier;

/// How many bytes are free where the store lies; none where that cannot be told.
pub type FreeDisk = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Whom a replica lets in and how much it takes.
#[derive(Clone)]
#[non_exhaustive]
pub struct Policy {
    /// Whether entries are judged before they enter the log: those whose authority is not known are put aside, strangers'
    /// are refused. Relays do; a device takes everything that is well formed, because its verdicts say what counts.
    pub judge: bool,
    /// Which workspaces are kept. None: every one that somebody brings the genesis of. A public relay names its own, or
    /// anybody may fill its disk.
    pub workspaces: Option<BTreeSet<changeset::WorkspaceId>>,
    /// Callers whose word is believed that they are relays: they read and bring everything. Anybody else who calls is
    /// taken for a device and needs a grant, whatever it says; who is called is believed, since it was chosen.
    pub relays: BTreeSet<changeset::PublicKey>,
    /// The most sessions at once. Default 4,096; each costs about 30 KiB. Beyond it callers are asked to come back.
    pub sessions_max: usize,
    /// The most bytes of pages for each workspace; none for no limit. Beyond it pushes wait, and reading goes on.
    pub workspace_bytes_max: Option<u64>,
    /// The most bytes that one device may push in a minute; none for no limit. Beyond it the device waits.
    pub device_bytes_per_minute: Option<u64>,
    /// Below how many free bytes of disk nothing more is taken. Default 256 MiB on a relay, 0 on a device, where the store
    /// itself says when it is full.
    pub free_disk_min: u64,
    /// How much disk is free.
    pub free_disk: Option<FreeDisk>,
}

impl core::fmt::Debug for Policy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Policy(judge: {}, sessions: {})", self.judge, self.sessions_max)
    }
}

impl Policy {
    /// The defaults for a replica of this tier.
    pub fn new(tier: Tier) -> Self {
        let is_device = tier == Tier::Device;
        Self {
            judge: !is_device,
            workspaces: None,
            relays: BTreeSet::new(),
            sessions_max: 4096,
            workspace_bytes_max: None,
            device_bytes_per_minute: None,
            free_disk_min: if is_device { 0 } else { 256 << 20 },
            free_disk: None,
        }
    }
}
