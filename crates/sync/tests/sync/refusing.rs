//! What is not kept, what is kept aside, and what must wait.

use crate::model::{NOW, Replica, Source, author, write, yard};
use crate::world::World;
use std::time::Duration;
use sync::{Code, Event, SessionError, Tier};

fn pair(seed: u64) -> World {
    World::new(seed, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]).with_delays(5, 5)
}

/// A stranger's and a newcomer's work in the middle of a device's: the first is not kept, the second is kept aside, each
/// is said, and the rest passes them by.
#[test]
fn refused_and_held_entries_are_named_and_block_nothing() {
    for has_met_before in [false, true] {
        let mut world = pair(1);
        let (mut stranger, mut newcomer) = (author(9, 9, yard()), author(8, 8, yard()));
        world.replicas[1].policy.refuse.insert(stranger.actor().id());
        world.replicas[1].policy.hold.insert(newcomer.actor().id());
        if has_met_before {
            world.replicas[0].grow(1, 1);
            world.replicas[1].grow(2, 1);
        }
        let strange: Vec<_> = (100..103).map(|number| write(&mut stranger, number, &[], "strange", NOW)).collect();
        let new: Vec<_> = (200..202).map(|number| write(&mut newcomer, number, &[], "new", NOW)).collect();
        world.replicas[0].grow(1, 2);
        world.replicas[0].hold(&strange, Source::Own);
        world.replicas[0].hold(&new, Source::Own);
        world.replicas[0].grow(1, 2);
        let link = world.sync(0, 1);
        assert!(world.closed(link, 0).is_none() && world.closed(link, 1).is_none());
        let relay = world.replicas[1].yard();
        assert_eq!((relay.refused.len(), relay.held.len()), (3, 2));
        let told = &world.replicas[0].yard().told_refused;
        assert_eq!(told.len(), 3);
        assert!(strange.iter().all(|entry| told.get(&entry.id()) == Some(&Code::NO_GRANT)));
        let receipt = &world.replicas[0].yard().receipts.last().unwrap().1;
        assert_eq!((receipt.held, receipt.refused), (2, 3), "{has_met_before}");
        // What came from the relay itself needs no receipt.
        assert_eq!(receipt.upto.position, 9 + if has_met_before { 1 } else { 0 });
        assert!(world.session(link, 0).is_level(), "what is refused is answered for");
        let counted = |event: &Event| matches!(event, Event::Acknowledged { held: 2, refused: 3, .. });
        assert!(world.has(link, 0, counted));
        assert_eq!(world.replicas[1].yard().ids().len(), 4 + if has_met_before { 2 } else { 0 });
    }
}

/// A relay that sheds load says so; the device waits, and nothing that it sent meanwhile is lost or taken twice.
#[test]
fn a_busy_peer_loses_nothing() {
    for seed in 0..60 {
        let mut world = pair(seed).with_delays(seed % 50, (seed * 3) % 40);
        for round in 0..6 {
            world.replicas[round % 2].grow(1, 3);
        }
        let link = world.sync(0, 1);
        world.assert_level(link);
        world.replicas[1].policy.wait_ms = 3000;
        for round in 0..12 {
            if round % 4 == 1 {
                world.replicas[1].policy.waits = 1 + seed as usize % 3;
            }
            world.replicas[0].grow(1, 2);
            world.run(seed as usize % 13);
            if round % 3 == 0 {
                // What is not for the device stands between what is.
                world.replicas[1].grow(2, 1);
            }
        }
        world.drive();
        world.assert_level(link);
        assert!(world.has(
            link,
            0,
            |event| matches!(event, Event::Paused { wait, .. } if *wait == Duration::from_secs(3))
        ));
        assert_eq!(world.replicas[1].yard().ids().len(), 18 + 24 + 4);
    }
}

/// A device acknowledges late; before it asks to wait it says what it took, or the relay would begin again from before it.
#[test]
fn who_asks_to_wait_says_first_what_it_took() {
    let mut world = pair(1);
    let link = world.sync(0, 1);
    world.replicas[0].policy.wait_ms = 1000;
    world.replicas[1].grow(2, 1);
    while world.replicas[0].yard().ids().is_empty() {
        world.run(1);
    }
    world.replicas[0].policy.waits = 1;
    world.replicas[1].grow(2, 1);
    world.drive();
    world.assert_level(link);
    assert!(world.has(link, 1, |event| matches!(event, Event::Paused { .. })));
    let pages = world.links[link].ends[1].sent.iter().filter(|frame| frame[0] == 0x87).count();
    assert_eq!(pages, 3, "only what was not taken comes again");
}

/// The wait is for runs: of a page asked for again, and of a comparison.
#[test]
fn a_busy_peer_loses_no_runs() {
    for seed in 0..20 {
        let mut world = pair(seed).with_delays(seed % 20, 20);
        let mut base = author(1, 1, yard());
        let one = write(&mut base, 1, &[], "draft", NOW);
        let left = write(&mut author(1, 1, yard()).after(&one), 1, &[], "left", NOW + 1);
        let right = write(&mut author(1, 1, yard()).after(&one), 1, &[], "right", NOW + 2);
        world.replicas[0].hold(&[one.clone(), left.clone()], Source::Own);
        world.replicas[1].hold(&[one, right], Source::Own);
        world.replicas[1].policy.wait_ms = 2000;
        world.replicas[1].policy.waits = 2;
        let link = world.sync(0, 1);
        world.assert_level(link);
        let key = world.replicas[0].key.clone();
        let mut last = left;
        for number in 0..3 {
            let next = write(&mut author(1, 1, yard()).after(&last), number, &[], "on", NOW + 3);
            world.replicas[0].yard_mut().append(vec![next.clone()], Source::Own, &key);
            last = next;
            world.replicas[0].grow(7, 1);
            // The page does not resolve; its runs are put off, so it is sent again from the start.
            world.run(10 + seed as usize);
            world.replicas[1].policy.waits = 1;
        }
        world.drive();
        world.assert_level(link);
    }
}

/// Nothing longer than ten minutes, whatever a peer says.
#[test]
fn nobody_waits_for_ever_on_a_peers_word() {
    let mut world = pair(1);
    let link = world.sync(0, 1);
    world.replicas[1].policy.wait_ms = u64::MAX;
    world.replicas[1].policy.waits = 1;
    world.replicas[0].grow(1, 1);
    world.drive();
    assert!(world.has(link, 0, |event| matches!(event, Event::Paused { wait, .. } if wait.as_secs() == 600)));
    assert_eq!(world.replicas[1].yard().ids().len(), 0);
    world.wait(Duration::from_secs(601));
    world.assert_level(link);
}

/// A disk that failed ends the session on both sides, with a reason, and nothing was said to be kept.
#[test]
fn a_failing_disk_ends_the_session_and_acknowledges_nothing() {
    let mut world = pair(1);
    let link = world.sync(0, 1);
    world.replicas[1].policy.fails = true;
    world.replicas[0].grow(1, 1);
    world.drive();
    assert!(matches!(world.closed(link, 1), Some(SessionError::Storage(_))));
    assert!(matches!(world.closed(link, 0), Some(SessionError::Closed { code: Code::STORAGE, .. })));
    assert!(world.replicas[0].yard().receipts.is_empty());
}
