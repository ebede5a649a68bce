#![no_main]
//! Updates of an attached text editor, from bytes.
//!
//! Proves: no bytes make the decoder panic; what it lets pass it writes back with the same content and length; and Yrs
//! takes the bytes that we write without a panic, whatever they refer to.
//!
//! The product never gives a foreign update to Yrs: it reads it strictly, names every character for a script, and
//! builds its own. That Yrs takes them anyway is the second line, not the first.

use crdt::yjs::YUpdate;
use libfuzzer_sys::fuzz_target;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Transact, Update};

fuzz_target!(|data: &[u8]| {
    let Ok(update) = YUpdate::decode(data) else { return };
    let bytes = update.encode();
    assert_eq!(YUpdate::decode(&bytes).as_ref(), Ok(&update));
    // The decoder leaves one freedom, the order of clients in the delete set. Anything else that has two spellings would
    // show as another length.
    assert_eq!(bytes.len(), data.len());
    let foreign = Update::decode_v1(&bytes).expect("Yrs reads what we write");
    let doc = Doc::new();
    // It may refuse, or wait for what the update refers to.
    let _ = doc.transact_mut().apply_update(foreign);
});
