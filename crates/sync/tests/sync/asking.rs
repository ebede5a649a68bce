//! A comparison in which this side asks, and a peer that answers whatever it likes.

use crate::model::{Replica, yard};
use crate::puppet::Puppet;
use sync::limits::{MAX_OFFERED_TIPS, MAX_RECONCILE_STEPS, MIN_WINDOW_BYTES};
use sync::{Message, Place, Tier};

/// A relay with three chains that called nobody and opens [`yard`] itself; its question is said.
fn asking() -> Puppet {
    let mut replica = Replica::new(2, Tier::Relay);
    for incarnation in 2..5 {
        replica.grow(incarnation, 1);
    }
    let mut puppet = Puppet::call(replica, MIN_WINDOW_BYTES);
    let now = puppet.now;
    puppet.session.open(yard(), now);
    puppet.drain();
    let end = Some(Puppet::end(3));
    puppet.say(&[Message::Opened { partition: yard(), end, place: Place::None, fits: false, read: true }]);
    assert!(puppet.error().is_none());
    puppet
}

/// An answer of the negentropy protocol: of the ids below one these are here, and of the others something else is here
/// than there, so that the comparison goes on.
fn answer(below: &[u8], ids: &[[u8; 32]]) -> Message {
    // The version, and a range from the start.
    let mut bytes = vec![0x61, 1, u8::try_from(below.len()).unwrap()];
    bytes.extend(below);
    // A list.
    bytes.push(2);
    let count = u8::try_from(ids.len() / 128).unwrap();
    bytes.extend([0x80 | count, (ids.len() % 128) as u8]);
    bytes.extend(ids.concat());
    // Up to the end: a fingerprint of nothing that there is.
    bytes.extend([0, 0, 1]);
    bytes.extend([0xee; 16]);
    Message::Tips { partition: yard(), bytes }
}

/// Ids without end of tips that nobody has would fill the memory of whoever asks.
#[test]
fn a_peer_cannot_name_any_number_of_tips() {
    const EACH: usize = 1000;
    // No tip of our own is found lacking.
    const NOTHING_BELOW: &[u8] = &[0, 0, 0, 1];
    let mut puppet = asking();
    let mut named = 0_u64;
    for _ in 0..MAX_OFFERED_TIPS / EACH {
        let ids: Vec<[u8; 32]> = (0..EACH as u64)
            .map(|number| {
                let mut id = [0; 32];
                id[8..16].copy_from_slice(&(named + number).to_be_bytes());
                id
            })
            .collect();
        named += EACH as u64;
        puppet.say(&[answer(NOTHING_BELOW, &ids)]);
        assert!(puppet.error().is_none(), "after {named}: {:?}", puppet.error());
        puppet.frames.clear();
    }
    let room = MAX_OFFERED_TIPS - named as usize;
    let more: Vec<[u8; 32]> = (0..=room as u8).map(|number| [number; 32]).collect();
    puppet.say(&[answer(NOTHING_BELOW, &more)]);
    puppet.assert_closed("more tips than a comparison may find");
}

/// The same tips found lacking again and again would too.
#[test]
fn a_peer_cannot_lack_more_tips_than_there_are() {
    let mut puppet = asking();
    for _ in 0..MAX_RECONCILE_STEPS / 2 {
        puppet.say(&[answer(&[0x80], &[])]);
        puppet.frames.clear();
    }
    puppet.assert_closed("more tips than a comparison may find");
}
