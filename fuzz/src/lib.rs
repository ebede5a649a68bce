//! What the fuzz targets share: a workspace, its devices, and the actions that make a history.

pub mod harm;
pub mod history;
pub mod messages;

use changeset::{Author, Bundle, DeviceKey, Incarnation, MemoryLog, Partition, SeededEntropy, WorkspaceId};
use std::sync::{Arc, LazyLock};

/// The log of every target that needs one, as a bundle; also a seed.
const LOG: &[u8] = include_bytes!("../seeds/page/log.bundle");

/// A log that pages may refer into.
pub static BUNDLE: LazyLock<Bundle> =
    LazyLock::new(|| Bundle::from_bytes(LOG, |_| ()).expect("the committed bundle holds"));

/// The entries of [`BUNDLE`].
pub static HELD: LazyLock<MemoryLog> = LazyLock::new(|| {
    let mut log = MemoryLog::new();
    for entry in &BUNDLE.entries {
        log.push(entry.clone());
    }
    log
});

/// The workspace of [`BUNDLE`].
pub fn workspace() -> WorkspaceId {
    BUNDLE.workspace
}

/// The partition of [`BUNDLE`].
pub fn partition() -> Partition {
    BUNDLE.partition.clone()
}

/// How many devices there are.
pub const DEVICES: u8 = 5;

/// The start of a device's chain.
pub fn author(device: u8) -> Author {
    static KEYS: LazyLock<Vec<Arc<DeviceKey>>> =
        LazyLock::new(|| (0..DEVICES).map(|device| Arc::new(DeviceKey::from_secret(&[device + 1; 32]))).collect());
    let device = device % DEVICES;
    let key = Arc::clone(&KEYS[usize::from(device)]);
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    Author::new(key, workspace(), partition(), Incarnation::from_bytes([device; 8]), entropy)
}
