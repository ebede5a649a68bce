#![no_main]
//! Pages and bundles, from bytes, in a log that holds a fixed history for them to refer into.
//!
//! Proves: no bytes make unpacking, reading or verifying panic, or take more memory than the named limits; what
//! verifies can be written again, and reads as the same change sets.

use changeset::{Bundle, PageError, Verified, decode_page, encode_page, pack_page, unpack_page};
use fieldbook_fuzz::{HELD, partition, workspace};
use libfuzzer_sys::fuzz_target;

fn read(page: &[u8]) -> Result<Vec<Verified>, PageError> {
    let unverified = decode_page(page, &workspace(), &partition(), &*HELD)?;
    let claimed: Vec<_> = unverified.claimed_ids().collect();
    let entries = unverified.verify()?;
    assert!(claimed.into_iter().eq(entries.iter().map(Verified::id)));
    Ok(entries)
}

fn page(page: &[u8]) {
    let Ok(entries) = read(page) else { return };
    let again = encode_page(&entries, &*HELD).expect("what verified can be written");
    let back = read(&again).expect("what was written verifies");
    assert_eq!(back, entries);
    for (one, other) in back.iter().zip(&entries) {
        assert_eq!((one.header(), one.body()), (other.header(), other.body()));
    }
    assert_eq!(unpack_page(&pack_page(&again)), Ok(again));
}

fn bundle(data: &[u8]) {
    let mut heard = 0;
    let Ok(bundle) = Bundle::from_bytes(data, |verified| heard = verified) else { return };
    assert_eq!(heard, bundle.entries.len());
    let again = bundle.to_bytes().expect("what verified can be written");
    assert_eq!(Bundle::from_bytes(&again, |_| ()).expect("what was written verifies").entries, bundle.entries);
}

fuzz_target!(|data: &[u8]| {
    if let Ok(unpacked) = unpack_page(data) {
        page(&unpacked);
    }
    page(data);
    bundle(data);
});
