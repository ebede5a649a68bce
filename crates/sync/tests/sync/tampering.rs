//! Somebody between the two, without either key: whatever is done to frames, nothing of it is taken.

use crate::model::{Replica, yard};
use crate::world::World;
use std::cell::Cell;
use std::rc::Rc;
use sync::{SessionError, Tier};

fn kind_of(frame: &[u8]) -> &'static str {
    match frame[0] {
        0x87 => "page",
        1 => "control",
        2 => "runs",
        3 => "receipt",
        _ => "handshake",
    }
}

/// Two stores that meet for the first time and then stream: every kind of frame goes both ways.
fn world() -> World {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Relay), Replica::new(2, Tier::Relay)]);
    world.replicas[0].grow(1, 3);
    world.replicas[1].grow(2, 3);
    world
}

fn run(world: &mut World) {
    let link = world.connect(0, 1);
    world.open(link, 0, yard());
    world.drive();
    for round in 0..4 {
        world.replicas[round % 2].grow(1, 1);
        world.drive();
    }
}

/// Every kind of frame of either side, the first and a later one of it, changed in one bit at several places.
#[test]
fn a_flipped_bit_anywhere_is_never_taken() {
    let mut plain = world();
    run(&mut plain);
    plain.assert_level(0);
    let honest = plain.replicas[0].yard().ids();
    for side in 0..2 {
        for kind in ["handshake", "control", "runs", "page", "receipt"] {
            let count = plain.links[0].ends[side].sent.iter().filter(|frame| kind_of(frame) == kind).count();
            assert!(count > 0, "{side} {kind}");
            for which in [0, count - 1] {
                for place in 0..23 {
                    let mut world = world();
                    let mut seen = 0;
                    let hit = Rc::new(Cell::new(false));
                    let done = Rc::clone(&hit);
                    world.tamper = Some(Box::new(move |from, frame| {
                        let mut frame = frame.to_vec();
                        if from == side && kind_of(&frame) == kind {
                            if seen == which {
                                let at = place * frame.len() / 23;
                                frame[at] ^= 1 << (place % 8);
                                done.set(true);
                            }
                            seen += 1;
                        }
                        vec![frame]
                    }));
                    run(&mut world);
                    assert!(hit.get());
                    let case = format!("{kind} {which} of side {side}, at {place}/23");
                    // Either the session ended, or a page was asked for again and came whole.
                    let ended = [0, 1].iter().any(|side| world.closed(0, *side).is_some());
                    let respelled =
                        world.replicas.iter().any(|replica| replica.requests.iter().any(|request| request == "Span"));
                    assert!(ended || (kind == "page" && respelled), "{case}");
                    for replica in &world.replicas {
                        // Nothing is held that nobody wrote. (What this run wrote after the end differs from the other.)
                        let own: Vec<_> =
                            replica.yard().entries.entries().iter().map(|entry| entry.actor().key()).collect();
                        assert!(
                            own.iter().all(|key| [1, 2].iter().any(|number| **key == *changeset_key(*number))),
                            "{case}"
                        );
                    }
                    if !ended {
                        assert_eq!(world.replicas[0].yard().ids(), honest, "{case}");
                        world.assert_level(0);
                    }
                    // And the next session, untouched, makes it good.
                    world.tamper = None;
                    world.cut(0);
                    let link = world.sync(0, 1);
                    world.assert_level(link);
                }
            }
        }
    }
}

fn changeset_key(number: u8) -> std::sync::Arc<changeset::PublicKey> {
    use changeset::Signer;
    std::sync::Arc::new(crate::model::key(number).public_key())
}

/// Twice, not at all, swapped with the next, sent back, or from an older session.
#[test]
fn replayed_dropped_reordered_and_reflected_frames_end_the_session() {
    let mut old = world();
    run(&mut old);
    let old: [Vec<Vec<u8>>; 2] =
        [0, 1].map(|side| old.links[0].ends[side].sent.iter().map(|frame| frame.to_vec()).collect());
    for kind in ["control", "runs"] {
        for how in ["twice", "dropped", "held back", "reflected", "old"] {
            for side in 0..2 {
                let mut world = world();
                let mut seen = 0;
                let mut kept: Option<Vec<u8>> = None;
                let mut last_from_other: Option<Vec<u8>> = None;
                let older =
                    old[1 - side].iter().chain(&old[side]).find(|frame| kind_of(frame) == kind).cloned().unwrap();
                world.tamper = Some(Box::new(move |from, frame| {
                    let frame = frame.to_vec();
                    if from != side {
                        if kind_of(&frame) == kind {
                            last_from_other = Some(frame.clone());
                        }
                        return vec![frame];
                    }
                    if let Some(kept) = kept.take() {
                        return vec![frame, kept];
                    }
                    if kind_of(&frame) != kind {
                        return vec![frame];
                    }
                    seen += 1;
                    match how {
                        _ if seen > 1 => vec![frame],
                        "twice" => vec![frame.clone(), frame],
                        "dropped" => vec![],
                        "held back" => {
                            kept = Some(frame);
                            vec![]
                        }
                        "reflected" => vec![last_from_other.clone().unwrap_or_else(|| older.clone()), frame],
                        _ => vec![older.clone(), frame],
                    }
                }));
                run(&mut world);
                let forged = [0, 1].iter().any(|side| matches!(world.closed(0, *side), Some(SessionError::Forged(_))));
                let stalled =
                    (0..2).all(|side| world.closed(0, side).is_none()) && ["dropped", "held back"].contains(&how);
                assert!(
                    forged || stalled,
                    "{kind} {how} from {side}: {:?} {:?}",
                    world.closed(0, 0),
                    world.closed(0, 1)
                );
                assert!(!stalled || !world.session(0, 0).is_level() || !world.session(0, 1).is_level(), "{kind} {how}");
                world.tamper = None;
                world.cut(0);
                let link = world.sync(0, 1);
                world.assert_level(link);
            }
        }
    }
}

/// A page that is taken off the line leaves a hole, and a hole is told from what was left out on purpose.
#[test]
fn a_dropped_page_ends_the_session_before_anything_behind_it_is_taken() {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let link = world.sync(0, 1);
    let mut seen = 0;
    world.tamper = Some(Box::new(move |_, frame| {
        if kind_of(frame) == "page" {
            seen += 1;
        }
        if kind_of(frame) == "page" && seen == 2 { vec![] } else { vec![frame.to_vec()] }
    }));
    for _ in 0..4 {
        world.replicas[0].grow(1, 1);
        world.drive();
    }
    assert!(matches!(world.closed(link, 1), Some(SessionError::Protocol("a page is missing"))));
    assert_eq!(world.replicas[1].yard().ids().len(), 1);
    // Twice is harmless: it is here already.
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    world.tamper = Some(Box::new(|_, frame| {
        let copies = if kind_of(frame) == "page" || kind_of(frame) == "receipt" { 2 } else { 1 };
        vec![frame.to_vec(); copies]
    }));
    let link = world.sync(0, 1);
    for round in 0..4 {
        world.replicas[round % 2].grow(1, 1);
        world.drive();
    }
    world.assert_level(link);
}
