//! Devices that know two relays, and what was said on a line that broke.

use crate::support::{Seen, World, yard};
use std::time::Duration;
use storage::LogKey;
use sync::{Code, Tier};

/// Two devices that were let in, and two relays that never call each other. Both relays know the authority.
fn apart() -> (World, [usize; 2], [usize; 2]) {
    let mut world = World::new();
    let devices = [world.machine(2, Tier::Device), world.machine(3, Tier::Device)];
    let relays = [world.machine(8, Tier::Core), world.machine(9, Tier::Core)];
    for device in devices {
        world.grant(device);
    }
    for relay in relays {
        world.meet(0, relay);
        devices.iter().for_each(|device| world.meet(*device, relay));
    }
    (world, devices, relays)
}

/// It was left to the two relays to exchange what one of them had given. When that relay was lost, nobody else got it, and
/// the device that had it said that it was up to date.
#[test]
fn what_one_relay_gave_reaches_another_that_never_meets_it() {
    let (mut world, [writer, carrier], [first, second]) = apart();
    let id = world.write(writer, None);
    world.meet(writer, first);
    world.meet(carrier, first);
    assert!(world.has(carrier, &id));
    world.meet(carrier, second);
    assert!(world.has(second, &id), "the first relay may be lost by now");
}

/// What the device wrote then was given to the second relay, and the receipt for it was taken for one for all before it: that
/// relay had the answer, and never what it answers.
#[test]
fn a_receipt_does_not_cover_what_was_left_to_another_relay() {
    let (mut world, [writer, carrier], [first, second]) = apart();
    let lines = [world.call(carrier, first), world.call(carrier, second)];
    world.drive();
    let id = world.write(writer, None);
    world.meet(writer, first);
    world.drive();
    let answer = world.write_on(carrier, &id);
    world.drive();
    assert!(world.has(first, &answer) && !world.has(second, &answer), "it waits there for what it stands on");
    lines.into_iter().for_each(|line| world.cut(line));
    world.meet(carrier, second);
    assert!(world.has(second, &id) && world.has(second, &answer));
    // And then no more.
    let before = world.machines[carrier].replica.counters().reconciliations.get();
    world.meet(carrier, second);
    assert_eq!(world.machines[carrier].replica.counters().reconciliations.get(), before);
}

/// While it lasts, a session leaves to the relays what one of them gave: the device calls again when they had their time, and
/// does not if the other relay gave the same.
#[test]
fn a_session_that_lasts_does_not_keep_what_another_relay_gave() {
    let (mut world, [writer, carrier], [first, second]) = apart();
    let lines = [world.call(carrier, first), world.call(carrier, second)];
    world.drive();
    let id = world.write(writer, None);
    world.meet(writer, first);
    world.drive();
    assert!(world.has(carrier, &id) && !world.has(second, &id), "nothing is sent twice at once");
    world.wait(Duration::from_secs(4 * 60));
    assert!(!world.has_seen(lines[1], 1, &Seen::Closed(Code::GOING)));
    world.wait(Duration::from_secs(7 * 60));
    assert!(world.has_seen(lines[1], 1, &Seen::Closed(Code::GOING)));
    world.meet(carrier, second);
    assert!(world.has(second, &id));

    let last = world.call(carrier, second);
    world.drive();
    let both = world.write(writer, None);
    world.meet(writer, first);
    world.drive();
    world.meet(writer, second);
    world.drive();
    assert!(world.has(second, &both));
    world.wait(Duration::from_secs(11 * 60));
    assert!(!world.has_seen(last, 1, &Seen::Closed(Code::GOING)), "the second relay gave it too");
}

/// A relay passes on what another relay gave: those behind it may have no other way.
#[test]
fn relays_in_a_row_pass_everything_on() {
    let (mut world, [writer, reader], [near, far]) = apart();
    let middle = world.machine(7, Tier::Relay);
    // The one in the middle calls both, and stays.
    let lines = [world.call(middle, near), world.call(middle, far), world.call(reader, far)];
    world.drive();
    assert!(lines.iter().all(|line| world.is_level(*line, 0)));
    let id = world.write(writer, None);
    world.meet(writer, near);
    world.drive();
    assert!(world.has(reader, &id));
}

/// The line broke when the relay had put something aside, and before it could say so. The next receipt was for all, and the
/// device called it synced.
#[test]
fn what_was_put_aside_when_the_line_broke_is_named_by_the_next_session() {
    let (mut world, [device, _], [relay, _]) = apart();
    // Known to the device, as from a bundle, and not to the relay.
    let later = world.grant(device);
    let id = world.write(device, Some(later));
    let line = world.call(device, relay);
    for _ in 0..1000 {
        if world.inbox(relay).iter().any(|held| held.entry.id() == id) {
            break;
        }
        world.once();
    }
    assert!(!world.inbox(relay).is_empty(), "it is put aside");
    assert!(!world.has_seen(line, 0, &Seen::Refused(id, Code::HELD)), "nobody heard of it");
    world.cut(line);
    let line = world.call(device, relay);
    world.drive();
    assert!(world.has_seen(line, 0, &Seen::Refused(id, Code::HELD)));
    let name = replica::refused_name(world.workspace, &yard(), &world.machines[relay].public());
    let view = world.machines[device].replica.store().view().unwrap();
    assert_eq!(view.meta(&name).unwrap().as_deref(), Some(&id.as_bytes()[..]));
}

/// Its own later work came back to a store that was put back, from a device that never had a place in its log. It went on
/// under the old name, and its chain would have had two ends.
#[test]
fn own_work_that_was_lost_is_noticed_from_anybody_who_brings_it() {
    let (mut world, [device, other], [relay, _]) = apart();
    let put_back = world.copy(device);
    let lost = world.write(device, None);
    world.meet(device, relay);
    world.meet(other, relay);
    let before = world.machines[put_back].replica.store().incarnation();
    world.meet(put_back, other);
    assert!(world.has(put_back, &lost));
    assert_ne!(world.machines[put_back].replica.store().incarnation(), before);
    let next = world.write(put_back, None);
    let log = LogKey::new(world.workspace, yard());
    let known = world.machines[put_back].replica.store().view().unwrap().known(&log, &next).unwrap().unwrap();
    assert_eq!(known.previous, None, "a chain of its own");
}
