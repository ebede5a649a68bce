//! Keys, as logs and failing tests show them.

use changeset::{Author, DeviceKey, Incarnation, Partition, SeededEntropy, Signer, WorkspaceId};
use std::sync::Arc;

/// Whoever prints a key, or what holds one, prints which it is and not what it is.
#[test]
fn debug_output_names_a_key_and_keeps_its_secret() {
    let key = Arc::new(DeviceKey::from_secret(&[0xa5; 32]));
    let workspace = WorkspaceId::from_bytes([1; 32]);
    let partition = Partition::new("north").unwrap();
    let entropy = Box::new(SeededEntropy::new(1));
    let author = Author::new(key.clone(), workspace, partition, Incarnation::from_bytes([2; 8]), entropy);
    let names = [key.public_key().short(), author.actor().id().short()];
    let shown = [format!("{key:?}"), format!("{author:?}")];
    for (text, name) in shown.iter().zip(&names) {
        assert!(text.contains(name), "{text}");
        for secret in ["a5a5", "A5A5", "165, 165"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
