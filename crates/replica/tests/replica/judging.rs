//! What a relay puts aside: what it says of that, and when it does not.

use crate::support::{HOUR_MS, Seen, World, yard};
use storage::Held;
use sync::{Code, Tier};

/// A device that was let in and has read that, and a relay that has it too.
fn settled() -> (World, [usize; 2]) {
    let mut world = World::new();
    let (device, relay) = (world.machine(2, Tier::Device), world.machine(9, Tier::Core));
    world.grant(device);
    let lines = [world.call(0, relay), world.call(device, relay)];
    world.drive();
    assert!(world.is_level(lines[1], 0));
    lines.into_iter().for_each(|line| world.cut(line));
    (world, [device, relay])
}

fn refused(world: &World, device: usize, relay: usize) -> Option<Vec<u8>> {
    let name = replica::refused_name(world.workspace, &yard(), &world.machines[relay].public());
    world.machines[device].replica.store().view().unwrap().meta(&name).unwrap()
}

/// It is durable there and nobody else is given it: whoever gave it must not take it for synced. It did.
#[test]
fn what_is_put_aside_is_named_and_offered_again_until_it_enters() {
    let (mut world, [device, relay]) = settled();
    // Known to the device, as from a bundle, and not to the relay.
    let second = world.grant(device);
    let early = world.write(device, Some(second));
    for round in 0..2 {
        let line = world.call(device, relay);
        world.drive();
        let named = Seen::Refused(early, Code::HELD);
        assert!(world.has_seen(line, 0, &named), "round {round}: {:?}", world.seen(line, 0));
        assert!(!world.has(relay, &early));
        assert_eq!(refused(&world, device, relay).as_deref(), Some(&early.as_bytes()[..]));
        world.cut(line);
    }
    let line = world.call(0, relay);
    world.drive();
    assert!(world.has(relay, &early), "it enters with its grant: {:?}", world.inbox(relay));
    world.cut(line);
    let line = world.call(device, relay);
    world.drive();
    assert!(world.is_level(line, 0));
    assert!(!world.seen(line, 0).iter().any(|seen| matches!(seen, Seen::Refused(..))));
    assert_eq!(refused(&world, device, relay), None);
}

/// A device that wrote something before it was let in, and the grant that begins in an hour. The relay's clock stands
/// still: by it the grant never begins.
fn behind() -> (World, [usize; 2], [changeset::ChangeSetId; 2]) {
    let mut world = World::new();
    let (device, relay) = (world.machine(2, Tier::Device), world.machine(9, Tier::Core));
    let draft = world.write(device, None);
    let now_ms = world.now_ms();
    let grant = world.grant_from(device, now_ms + HOUR_MS);
    let line = world.call(0, relay);
    world.drive();
    world.cut(line);
    (world, [device, relay], [draft, grant])
}

/// What counts is admitted by any clock; what it stands on was put aside by this one, and both waited for ever.
#[test]
fn what_an_admitted_change_set_stands_on_is_admitted_with_it() {
    let (mut world, [device, relay], [draft, grant]) = behind();
    let now_ms = world.now_ms();
    world.set_clock(device, now_ms + 2 * HOUR_MS);
    let counts = world.write(device, Some(grant));
    world.call(device, relay);
    world.drive();
    assert!(world.has(relay, &draft) && world.has(relay, &counts), "{:?}", world.inbox(relay));
}

#[test]
fn what_an_admitted_change_set_stands_on_is_released_if_it_came_before() {
    let (mut world, [device, relay], [draft, grant]) = behind();
    world.call(device, relay);
    world.drive();
    let inbox = world.inbox(relay);
    assert!(inbox.iter().any(|held| held.entry.id() == draft && matches!(held.why, Held::Admission(_))), "{inbox:?}");
    let now_ms = world.now_ms();
    world.set_clock(device, now_ms + 2 * HOUR_MS);
    let counts = world.write(device, Some(grant));
    world.drive();
    assert!(world.has(relay, &draft) && world.has(relay, &counts), "{:?}", world.inbox(relay));
}

/// A run is signed at its end. If the end is put aside, the rest of the run has no signature.
#[test]
fn what_signs_for_an_admitted_change_set_is_admitted_with_it() {
    let (mut world, [device, relay]) = settled();
    let first = world.grant(device);
    let line = world.call(0, relay);
    world.drive();
    world.cut(line);
    let second = world.grant(device);
    let run = world.write_run(device, &[Some(first), Some(second)]);
    world.call(device, relay);
    world.drive();
    assert!(run.iter().all(|id| world.has(relay, id)), "{:?}", world.inbox(relay));
}

/// The same where the run came before, and another device's change set stands on its first part.
#[test]
fn what_signs_for_a_released_change_set_is_released_with_it() {
    let (mut world, [device, relay]) = settled();
    let friend = world.machine(3, Tier::Device);
    world.grant(friend);
    let line = world.call(0, relay);
    world.drive();
    world.cut(line);
    world.meet(friend, relay);
    world.meet(device, relay);
    let unknown = world.grant(device);
    let run = world.write_run(device, &[Some(unknown), Some(unknown)]);
    world.meet(friend, device);
    world.meet(device, relay);
    world.call(friend, relay);
    world.drive();
    assert!(world.has(friend, &run[0]) && world.has(friend, &run[1]));
    assert!(!world.has(relay, &run[0]) && !world.has(relay, &run[1]));
    world.write_on(friend, &run[0]);
    world.drive();
    assert!(world.has(relay, &run[0]) && world.has(relay, &run[1]), "{:?}", world.inbox(relay));
}
