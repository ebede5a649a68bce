#![no_main]
//! Updates of an attached text editor, from bytes.
//!
//! Proves: no bytes make the decoder panic; what it lets pass it writes back with the same content and length; Yrs reads
//! what we write; and Yrs takes an update that stands alone, with nothing missing.
//!
//! Yrs is given no others. One whose first item is not at clock 0 leaves a hole in the client's blocks, and a deletion in
//! that hole panics (yrs 0.28.1, `ClientBlockList::find_index`). The product never gives a foreign update to Yrs as it
//! comes: it takes one new client's text from its first character on, names every character for a script, and writes
//! updates without holes.

use crdt::yjs::{YId, YUpdate};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, Transact, Update};

/// Whether every client starts at clock 0, and all that is named is in the update.
fn stands_alone(update: &YUpdate) -> bool {
    let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
    for item in &update.items {
        let end = ends.entry(item.id.client).or_default();
        if item.id.clock != *end {
            return false;
        }
        *end += item.content.units();
    }
    let has = |id: &YId, len: u32| ends.get(&id.client).is_some_and(|end| id.clock.saturating_add(len) <= *end);
    update.items.iter().flat_map(|item| item.left.iter().chain(&item.right)).all(|id| has(id, 1))
        && update.deletes.iter().all(|range| has(&range.id, range.len))
}

fuzz_target!(|data: &[u8]| {
    let Ok(update) = YUpdate::decode(data) else { return };
    let bytes = update.encode();
    assert_eq!(YUpdate::decode(&bytes).as_ref(), Ok(&update));
    // The decoder leaves one freedom, the order of clients in the delete set. Anything else that has two spellings would
    // show as another length.
    assert_eq!(bytes.len(), data.len());
    let foreign = Update::decode_v1(&bytes).expect("Yrs reads what we write");
    if stands_alone(&update) {
        let doc = Doc::new();
        doc.transact_mut().apply_update(foreign).expect("Yrs takes what stands alone");
        // Two items that wait for each other are the one thing left that cannot be placed.
        let _ = doc.transact().has_missing_updates();
    }
});
