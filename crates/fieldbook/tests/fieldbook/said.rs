//! What a person is told: synced, up to date, and not a word too much.

use crate::stepped::{HOUR_MS, World};
use crate::support::{pier, write};
use fieldbook::{Connectivity, Invitation, Reached};

const ANA: usize = 0;
const BEN: usize = 1;

fn why(state: Connectivity) -> String {
    match state {
        Connectivity::Restricted { why } => why,
        other => panic!("restricted, and not {other:?}"),
    }
}

/// Work from before a grant that begins later is put aside by the relay: durable there, and given to nobody. It was called
/// synced, and was not offered again.
#[test]
fn what_a_relay_put_aside_is_not_said_to_be_there() {
    let mut world = World::new();
    let mut later = Invitation::new(world.books[BEN].key(), "Ben", "inspector", 0);
    later.not_before_ms = world.now_ms() + HOUR_MS;
    world.books[ANA].grant(&pier(), &later).unwrap();
    for device in [ANA, BEN] {
        let line = world.call_relay(device);
        world.drive();
        world.cut(line);
    }
    // Alone, and not in a run whose end signs for what is admitted: the device's name.
    let crane = world.books[BEN].new_document("inspection").unwrap();
    let draft = write(&world.books[BEN], &crane, "early ");
    let line = world.call_relay(BEN);
    world.drive();
    world.cut(line);
    let ben = &world.books[BEN];
    assert_eq!(ben.reached(&draft).unwrap(), Reached::Device);
    assert!(ben.outbox_now().unwrap().refused.contains(&draft.id));

    // The relay learns of the time when it is asked again, with work that counts and stands on the early one.
    world.pass(2 * HOUR_MS);
    let line = world.call_relay(BEN);
    world.drive();
    let counts = write(&world.books[BEN], &crane, "in time ");
    world.drive();
    world.cut(line);
    let ben = &world.books[BEN];
    assert_eq!(ben.reached(&counts).unwrap(), Reached::Relay);
    world.call_relay(BEN);
    world.drive();
    let ben = &world.books[BEN];
    assert_eq!(ben.reached(&draft).unwrap(), Reached::Relay);
    assert!(ben.outbox_now().unwrap().refused.is_empty());
}

/// Level by what may be given is not level: both sides were told that they are up to date.
#[test]
fn a_peer_that_may_not_read_is_not_up_to_date() {
    let mut world = World::new();
    let mut hour = Invitation::new(world.books[BEN].key(), "Ben", "inspector", 0);
    hour.not_after_ms = world.now_ms() + HOUR_MS;
    world.books[ANA].grant(&pier(), &hour).unwrap();
    for _ in 0..2 {
        let line = world.call(BEN, ANA);
        world.drive();
        world.cut(line);
    }
    let line = world.call(BEN, ANA);
    world.drive();
    for side in 0..2 {
        assert!(matches!(world.connectivity(line, side), Connectivity::UpToDate { .. }));
    }
    world.cut(line);

    world.pass(2 * HOUR_MS);
    let crane = world.books[ANA].new_document("inspection").unwrap();
    write(&world.books[ANA], &crane, "unseen");
    let line = world.call(BEN, ANA);
    world.drive();
    let (at_ben, at_ana) = (why(world.connectivity(line, 0)), why(world.connectivity(line, 1)));
    assert!(at_ben.contains("not shown to this device"), "{at_ben}");
    assert!(at_ana.contains("not given to the other side"), "{at_ana}");
}

/// A line that broke unnoticed: when the session ends at last, nobody knows how things stand since.
#[test]
fn the_end_of_a_session_does_not_renew_what_was_said() {
    let mut world = World::new();
    world.books[ANA].grant(&pier(), &Invitation::new(world.books[BEN].key(), "Ben", "inspector", 0)).unwrap();
    for device in [ANA, BEN, BEN] {
        let line = world.call_relay(device);
        world.drive();
        world.cut(line);
    }
    let line = world.call_relay(BEN);
    world.drive();
    let said = world.connectivity(line, 0);
    assert_eq!(said, Connectivity::UpToDate { as_of_ms: world.now_ms() });
    world.hold(line);
    world.pass(HOUR_MS);
    world.give_up(line, 0);
    assert_eq!(world.connectivity(line, 0), said);
}
