//! Who may speak, and in which version.

use crate::model::{Replica, WORKSPACE, key, yard};
use crate::puppet::{Puppet, hello};
use crate::world::World;
use changeset::{Signer, WorkspaceId};
use std::time::{Duration, Instant};
use sync::limits::MIN_WINDOW_BYTES;
use sync::{Code, Config, Denial, Event, Request, Response, Session, SessionError, Tier};

fn call(expected: u8, workspace: WorkspaceId) -> World {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let now = world.now;
    let call =
        Session::call(Config::new(Tier::Device), key(1), workspace, Some(key(expected).public_key()), [1; 32], now);
    let answer = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
    world.link([(0, call), (1, answer)]);
    world
}

#[test]
fn both_sides_know_each_other_after_three_frames() {
    let mut world = call(2, WORKSPACE);
    world.drive();
    for side in 0..2 {
        let (peer, tier) = (key(2 - side as u8).public_key(), if side == 0 { Tier::Relay } else { Tier::Device });
        let session = world.session(0, side);
        assert_eq!(
            (session.peer(), session.workspace(), session.peer_tier()),
            (Some(peer), Some(WORKSPACE), Some(tier))
        );
        let met = |event: &Event| matches!(event, Event::Met { peer: met, .. } if *met == peer);
        assert!(world.has(0, side, met));
    }
    let (frames, bytes) = world.traffic(0, [0, 0]);
    println!("handshake: {frames} frames, {bytes} bytes");
    assert_eq!(frames, 3);
}

#[test]
fn another_key_than_expected_ends_the_call() {
    let mut world = call(3, WORKSPACE);
    world.drive();
    assert!(matches!(world.closed(0, 0), Some(SessionError::WrongPeer)));
    assert_eq!(world.session(0, 0).peer(), None);
}

/// A refusal says why, to a person, and when to come back.
#[test]
fn a_refusal_has_a_sentence_and_a_time_to_come_back() {
    let mut world = call(2, WorkspaceId::from_bytes([9; 32]));
    let text = "this relay does not keep that workspace: check the address".to_owned();
    world.replicas[1].policy.admit =
        Some(Denial { code: Code::UNKNOWN_WORKSPACE, text: text.clone(), retry_after_ms: Some(60_000) });
    world.drive();
    for side in 0..2 {
        match world.closed(0, side) {
            Some(SessionError::Closed { code: Code::UNKNOWN_WORKSPACE, text: told, retry_after_ms: Some(60_000) }) => {
                assert_eq!(*told, text);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!world.has(0, 1, |event| matches!(event, Event::Met { .. })));
}

/// A relay of today and an app of three years ago, or of three years on: both read a sentence, not a code.
#[test]
fn old_and_new_versions_get_a_sentence() {
    for versions in [(0, 0), (2, 7)] {
        let now = Instant::now();
        let mut session = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
        // Newer hellos may be longer; the version is looked at first.
        let mut bytes = hello(versions, MIN_WINDOW_BYTES, 0);
        if versions.0 == 2 {
            bytes[1] = 0x89;
            bytes.push(0xf6);
        }
        session.handle_message(&bytes, now);
        let refusal = session.poll_transmit().unwrap();
        assert!(matches!(session.poll_event(), Some(Event::Closed(SessionError::Version { .. }))));
        let mut caller = Session::call(Config::new(Tier::Device), key(1), WORKSPACE, None, [1; 32], now);
        caller.handle_message(&refusal, now);
        match caller.poll_event() {
            Some(Event::Closed(SessionError::Closed { code: Code::VERSION, text, .. })) => {
                assert!(text.contains("update the older side"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    // One that speaks ours among others is welcome.
    let now = Instant::now();
    let mut session = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
    session.handle_message(&hello((1, 7), MIN_WINDOW_BYTES, 0), now);
    assert!(matches!(session.poll_storage(), Some((_, Request::Admit { .. }))));
}

#[test]
fn hellos_that_are_none_are_refused() {
    let small = hello((1, 1), MIN_WINDOW_BYTES - 1, 0);
    let tier = hello((1, 1), MIN_WINDOW_BYTES, 3);
    let good = hello((1, 1), MIN_WINDOW_BYTES, 0);
    let long = [good.as_slice(), &[0xf6]].concat();
    let big = [good.as_slice(), &[0; 1024]].concat();
    let magic = good.iter().map(|byte| if *byte == b'f' { b'g' } else { *byte }).collect();
    let cases: [(Vec<u8>, &str); 8] = [
        (Vec::new(), "empty"),
        (vec![1, 2, 3], "no hello"),
        (small, "window"),
        (tier, "unknown"),
        (long, "bytes follow"),
        (big, "limit"),
        (magic, "fieldbook"),
        (good[..good.len() - 1].to_vec(), ""),
    ];
    for (bytes, words) in cases {
        let now = Instant::now();
        let mut session = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
        session.handle_message(&bytes, now);
        assert!(session.poll_storage().is_none(), "{words}: storage was asked");
        match session.poll_event() {
            Some(Event::Closed(error)) => assert!(error.to_string().contains(words), "{words}: {error}"),
            other => panic!("{words}: {other:?}"),
        }
        assert!(session.is_closed() && session.poll_timeout().is_none());
    }
}

/// A word before the welcome, a second proof, a proof of another handshake.
#[test]
fn nothing_is_said_out_of_turn_in_the_handshake() {
    let now = Instant::now();
    let good = hello((1, 1), MIN_WINDOW_BYTES, 0);
    let mut session = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
    session.handle_message(&good, now);
    session.handle_message(&good, now);
    assert!(session.is_closed());

    let mut session = Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now);
    session.handle_message(&good, now);
    let (id, _) = session.poll_storage().unwrap();
    session.handle_storage(id, Response::Admitted(Ok(())), now);
    assert!(session.poll_transmit().is_some());
    let mut bad = vec![18, 0x58, 64];
    bad.extend([7; 64]);
    session.handle_message(&bad, now);
    assert!(matches!(session.poll_event(), Some(Event::Closed(SessionError::Forged(_)))));
    assert_eq!(session.peer(), None);
    // Nothing more comes of it, whatever is fed.
    session.handle_message(&good, now);
    session.handle_timeout(now + Duration::from_secs(100));
    session.open(yard(), now);
    assert!(session.poll_transmit().is_none() && session.poll_storage().is_none() && session.poll_event().is_none());
}

#[test]
fn a_handshake_that_stalls_ends_by_the_clock() {
    let now = Instant::now();
    let sessions = [
        Session::call(Config::new(Tier::Device), key(1), WORKSPACE, None, [1; 32], now),
        Session::answer(Config::new(Tier::Relay), key(2), [2; 32], now),
    ];
    for mut session in sessions {
        let at = session.poll_timeout().unwrap();
        assert_eq!(at - now, Duration::from_secs(10));
        session.handle_timeout(at - Duration::from_millis(1));
        assert!(!session.is_closed());
        session.handle_timeout(at);
        assert!(matches!(session.poll_event(), Some(Event::Closed(SessionError::Timeout(_)))));
        assert!(session.poll_timeout().is_none());
    }
}

/// A line that went dead without a word is noticed; one that is only quiet is kept.
#[test]
fn a_quiet_line_is_kept_and_a_dead_one_is_noticed() {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let link = world.sync(0, 1);
    let marks = world.marks(link);
    world.wait(Duration::from_secs(300));
    world.assert_level(link);
    let (frames, bytes) = world.traffic(link, marks);
    println!("five quiet minutes: {frames} frames, {bytes} bytes");
    assert!((20..=50).contains(&frames), "{frames}");
    // From here on nothing arrives.
    world.tamper = Some(Box::new(|_, _| Vec::new()));
    world.wait(Duration::from_secs(49));
    assert!(world.closed(link, 0).is_none());
    world.wait(Duration::from_secs(27));
    for side in 0..2 {
        assert!(matches!(world.closed(link, side), Some(SessionError::Timeout(_))));
    }
}

/// A device without a grant knocks; who holds authority asks who knocked. Names are cut to what a message holds.
#[test]
fn a_knock_is_kept_for_who_asks() {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let link = world.connect(0, 1);
    world.session(link, 0).knock(&"Börje's new tablet ".repeat(20));
    world.drive();
    world.session(link, 0).ask_knocks();
    world.drive();
    let told = |event: &Event| matches!(event, Event::Knocks(knocks) if knocks.len() == 1 && knocks[0].name.starts_with("Börje") && knocks[0].name.len() <= 128);
    assert!(world.has(link, 0, told));
    world.assert_closed_is_none(link);
}

/// What can be said late is said when a session is closed in good order, and both sides know why.
#[test]
fn a_session_closed_in_good_order_says_what_it_owes() {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let link = world.sync(0, 1);
    world.replicas[1].grow(2, 3);
    while !world.replicas[0].requests.iter().any(|request| request == "Take") {
        world.run(1);
    }
    world.run(1);
    assert!(world.replicas[1].yard().receipts.is_empty());
    let now = world.now;
    // The device acknowledges lazily; it does so now.
    world.session(link, 0).close(Code::DONE, "good night", now);
    world.drive();
    assert_eq!(world.replicas[1].yard().receipts.len(), 1);
    assert!(
        matches!(world.closed(link, 1), Some(SessionError::Closed { code: Code::DONE, text, .. }) if text == "good night")
    );
    let _ = Puppet::end(0);
}

/// After its goodbye a session was still made to speak by a knock, or by a question about knocks.
#[test]
fn a_session_that_is_over_does_not_knock() {
    let mut world = World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)]);
    let link = world.connect(0, 1);
    world.drive();
    let now = world.now;
    let session = world.session(link, 0);
    session.close(Code::DONE, "done", now);
    assert!(session.poll_transmit().is_some(), "the goodbye");
    session.knock("a tablet");
    session.ask_knocks();
    assert!(session.poll_transmit().is_none());
}
