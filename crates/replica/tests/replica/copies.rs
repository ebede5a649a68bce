//! Stores that were copied or put back, and have not noticed yet.

use crate::support::{Seen, World};
use sync::{Code, Tier};

/// The line on which the root calls the relay, in what [`settled`] gives.
const ROOTS_LINE: usize = 0;

/// Root, a device, and a relay that has all that both have.
fn settled() -> (World, [usize; 3]) {
    let mut world = World::new();
    let (device, relay) = (world.machine(2, Tier::Device), world.machine(9, Tier::Core));
    world.grant(device);
    world.write(0, None);
    let lines = [world.call(0, relay), world.call(device, relay)];
    world.drive();
    assert!(world.is_level(lines[0], 0) && world.is_level(lines[1], 0));
    world.cut(lines[1]);
    (world, [0, device, relay])
}

/// Two copies of a store have one key and, until they notice, one log of that name. The relay took what the one pushed
/// for something that the other has, and never sent it on.
#[test]
fn what_one_copy_pushes_reaches_the_other() {
    let (mut world, [_, device, relay]) = settled();
    let copy = world.copy(device);
    let lines = [world.call(device, relay), world.call(copy, relay)];
    world.drive();
    let pushed = world.write(copy, None);
    world.drive();
    assert!(world.has(relay, &pushed));
    assert!(world.has(device, &pushed), "the other copy got it: {:?}", world.seen(lines[0], 0));
    assert_eq!(world.lag(lines[0], 0), (0, 0));
    // What it gave itself is not sent back: that would be all of it for everybody.
    let sent = world.machines[relay].replica.counters().change_sets_out.get();
    let own = world.write(device, None);
    world.drive();
    assert!(world.has(relay, &own) || world.has_seen(lines[0], 0, &Seen::Closed(Code::ROLLED_BACK)));
    let to_root_and_copy = 2;
    assert!(world.machines[relay].replica.counters().change_sets_out.get() - sent <= to_root_and_copy);
}

/// Both copies go on in one log: the page of the second does not go on from where the relay stands in that log. It calls
/// again then, sees that it is a copy, and begins a log of its own; nothing of either is lost.
#[test]
fn a_page_that_contradicts_the_kept_place_ends_the_session() {
    let (mut world, [root, device, relay]) = settled();
    let copy = world.copy(device);
    let lines = [world.call(device, relay), world.call(copy, relay)];
    world.drive();
    let before = world.machines[copy].replica.store().incarnation();
    // Both at once, before either hears of the other.
    let written = [world.write(device, None), world.write(copy, None)];
    world.hold(lines[1], true);
    world.rush();
    assert!(world.has(relay, &written[0]));
    world.hold(lines[1], false);
    // At once, and not only when the two tell their places some time later.
    world.rush();
    assert!(world.has_seen(lines[1], 0, &Seen::Closed(Code::ROLLED_BACK)), "{:?}", world.seen(lines[1], 0));
    assert!(!world.has_seen(lines[0], 0, &Seen::Closed(Code::ROLLED_BACK)), "{:?}", world.seen(lines[0], 0));

    world.call(copy, relay);
    world.drive();
    assert_ne!(world.machines[copy].replica.store().incarnation(), before, "it begins anew");
    world.call(copy, relay);
    world.drive();
    for machine in [root, device, copy, relay] {
        assert!(written.iter().all(|id| world.has(machine, id)), "machine {machine}");
    }
}

/// What the copies got and did not write is not sent to the relay, which gave it: they only say where they stand. Got in
/// another order, it is another log.
#[test]
fn a_place_that_contradicts_the_kept_place_ends_the_session() {
    let (mut world, [root, device, relay]) = settled();
    let friend = world.machine(3, Tier::Device);
    world.grant(friend);
    let line = world.call(friend, relay);
    world.drive();
    world.cut(line);
    let copy = world.copy(device);
    let lines = [world.call(device, relay), world.call(copy, relay)];
    world.drive();

    // The one gets both from the relay, the other one of them from a friend first.
    let of_friend = world.write(friend, None);
    world.hold(lines[0], true);
    world.hold(lines[1], true);
    let of_root = world.write(root, None);
    world.drive();
    let direct = world.call(friend, copy);
    world.drive();
    world.cut(direct);
    assert!(world.has(copy, &of_friend) && !world.has(copy, &of_root));
    world.hold(lines[1], false);
    world.hold(lines[0], false);
    world.drive();
    for machine in [device, copy, relay] {
        assert!(world.has(machine, &of_friend) && world.has(machine, &of_root), "machine {machine}");
    }
    let ended = lines.iter().filter(|line| world.has_seen(**line, 0, &Seen::Closed(Code::ROLLED_BACK)));
    assert_eq!(ended.count(), 1, "{:?} {:?}", world.seen(lines[0], 0), world.seen(lines[1], 0));
}

/// A device that was put back learns it from the relay. Its other sessions went on as if their log were still there:
/// nothing that was written from then on was sent in them, and they called that up to date.
#[test]
fn all_sessions_end_when_the_logs_begin_anew() {
    let (mut world, [root, device, relay]) = settled();
    let backup = world.copy(device);
    world.hold(ROOTS_LINE, true);
    let lost = world.write(device, None);
    let line = world.call(device, relay);
    world.drive();
    assert!(world.has(relay, &lost));
    world.cut(line);

    // The backup is used from now on. The root keeps no place in this device's log, and has nothing to object.
    let line = world.call(root, backup);
    world.drive();
    assert!(!world.seen(line, 1).iter().any(|seen| matches!(seen, Seen::Closed(_))), "{:?}", world.seen(line, 1));
    world.call(backup, relay);
    world.drive();
    assert!(world.has_seen(line, 1, &Seen::Closed(Code::ROLLED_BACK)), "{:?}", world.seen(line, 1));
    let again = world.call(backup, relay);
    world.drive();
    assert!(world.is_level(again, 0) && world.has(backup, &lost));
}

/// A relay that was put back has the same log with another end. Who compared all with it stands at that end: against the
/// place that it had before, the new one would look like that of a copy, in every session again.
#[test]
fn who_compared_with_a_relay_put_back_goes_on_from_its_end() {
    let (mut world, [root, device, relay]) = settled();
    let friend = world.machine(3, Tier::Device);
    world.grant(friend);
    world.meet(friend, relay);
    let backup = world.copy(relay);
    // In the relay's log the friend's stands before the root's, in the root's own log behind it.
    world.hold(ROOTS_LINE, true);
    let lost = [world.write(friend, None), world.write(root, None)];
    world.meet(friend, relay);
    world.hold(ROOTS_LINE, false);
    world.drive();
    world.meet(device, relay);
    assert!(lost.iter().all(|id| world.has(device, id) && world.has(root, id)));

    world.meet(root, backup);
    assert!(lost.iter().all(|id| world.has(backup, id)));
    let counted = |world: &World| world.machines[device].replica.counters().reconciliations.get();
    let before = counted(&world);
    world.meet(device, backup);
    assert!(counted(&world) > before, "its place is none of this log");
    let before = counted(&world);
    let line = world.call(device, backup);
    world.drive();
    assert!(world.is_level(line, 0), "{:?}", world.seen(line, 0));
    assert_eq!(counted(&world), before, "its place is one of this log now");
}
