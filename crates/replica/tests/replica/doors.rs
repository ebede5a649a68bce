//! Partitions that are opened to a peer while a session with it runs.

use crate::support::{HOUR_MS, Seen, World, yard};
use sync::{Code, Tier};

/// A device whose grant ended an hour ago, and which has what was written until then.
fn lapsed() -> (World, usize) {
    let mut world = World::new();
    let device = world.machine(2, Tier::Device);
    let now_ms = world.now_ms();
    world.grant_from(device, now_ms - 25 * HOUR_MS);
    for machine in [0, device] {
        world.set_clock(machine, now_ms - 2 * HOUR_MS);
    }
    world.meet(device, 0);
    for machine in [0, device] {
        world.set_clock(machine, now_ms);
    }
    (world, device)
}

fn is_closed(world: &World, line: usize, side: usize) -> bool {
    world.seen(line, side).iter().any(|seen| matches!(seen, Seen::Closed(_)))
}

/// Whoever opened a partition without giving the peer to read keeps to that for the session: a new grant ends it, and
/// the next one gives. Who had called itself did not look at that again.
#[test]
fn a_peer_that_was_called_is_given_what_a_new_grant_opens() {
    let (mut world, device) = lapsed();
    let line = world.call(0, device);
    let unseen = world.write(0, None);
    world.drive();
    assert!(world.has_seen(line, 1, &Seen::Opened(yard(), false)), "{:?}", world.seen(line, 1));
    assert!(!is_closed(&world, line, 0) && !world.has(device, &unseen));

    world.grant(device);
    world.drive();
    assert!(world.has_seen(line, 1, &Seen::Closed(Code::GOING)), "{:?}", world.seen(line, 1));
    world.call(0, device);
    world.drive();
    assert!(world.has(device, &unseen));
}

#[test]
fn a_peer_that_called_is_given_what_a_new_grant_opens() {
    let (mut world, device) = lapsed();
    let line = world.call(device, 0);
    let unseen = world.write(0, None);
    world.drive();
    assert!(world.has_seen(line, 0, &Seen::Opened(yard(), false)), "{:?}", world.seen(line, 0));
    assert!(!is_closed(&world, line, 0) && !world.has(device, &unseen));

    world.grant(device);
    world.drive();
    assert!(world.has_seen(line, 0, &Seen::Closed(Code::GOING)), "{:?}", world.seen(line, 0));
    world.call(device, 0);
    world.drive();
    assert!(world.has(device, &unseen));
}

/// A stranger that was denied hears nothing until it is let in; then the door is opened from this side, in the session
/// that runs.
#[test]
fn a_stranger_is_let_in_without_calling_again() {
    let mut world = World::new();
    let (device, relay) = (world.machine(2, Tier::Device), world.machine(9, Tier::Core));
    world.call(0, relay);
    let unseen = world.write(0, None);
    world.drive();
    let line = world.call(device, relay);
    world.drive();
    assert!(world.has_seen(line, 0, &Seen::Denied(yard())), "{:?}", world.seen(line, 0));
    world.grant(device);
    world.drive();
    assert!(world.has(device, &unseen) && !is_closed(&world, line, 0), "{:?}", world.seen(line, 0));
}
