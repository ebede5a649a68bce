//! Receipts, and in which order they are kept.

use crate::support::{World, yard};
use storage::LogKey;
use sync::Tier;

/// Several receipts of a partition may come before the first is stored. Stored by whichever worker was first, an older one
/// could come last, and took back what was proven.
#[test]
fn a_receipt_is_stored_when_the_one_before_it_is() {
    let mut world = World::new();
    let relay = world.machine(9, Tier::Core);
    let line = world.call(0, relay);
    world.write(0, None);
    world.drive();
    assert!(world.is_level(line, 0));
    let log = LogKey::new(world.workspace, yard());
    let relay_key = world.machines[relay].public();
    let replica = world.machines[0].replica.clone();
    let receipted = || replica.store().view().unwrap().peer(&log, &relay_key).unwrap().acknowledged.unwrap().position;
    let handed_over = || replica.counters().receipts.get();
    let (position, before) = (receipted(), handed_over());

    world.hold_to(line, 0);
    for _ in 0..3 {
        world.write(0, None);
        world.drive();
    }
    assert!(world.deliver(line, 0) >= 3, "a receipt for each");
    for number in 1..=3 {
        while handed_over() < before + number {
            assert!(replica.step(), "receipt {number} is handed to storage");
        }
        // Nothing of the later ones is under way, however much is done before this one is stored.
        while replica.step() {}
        assert_eq!((receipted(), handed_over()), (position + number, before + number));
        world.poll(line, 0);
    }
    world.drive();
    assert!(world.is_level(line, 0));
}
