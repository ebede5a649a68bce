//! Every limit of `limits.rs`, one over; and every word that has no place where it is said.

use crate::model::{Replica, Store, key, partition, yard};
use crate::puppet::{NUMBER, Puppet};
use changeset::limits::MAX_PAGE_BYTES;
use changeset::{ActorId, ChangeSetId, Cursor, LogIncarnation, LogPage, Partition, RunningHash, Signer};
use std::time::Duration;
use sync::limits::*;
use sync::{Code, Config, Event, Knock, Message, Place, Request, Response, SessionError, Tier, Tip, Want};

/// A relay with three entries in [`yard`], and a peer that is moved by hand.
fn puppet() -> Puppet {
    let mut replica = Replica::new(2, Tier::Relay);
    replica.grow(2, 3);
    Puppet::call(replica, MIN_WINDOW_BYTES)
}

fn opened() -> Puppet {
    let mut puppet = puppet();
    puppet.open(&yard());
    puppet
}

/// One that compares, as the answering side.
fn comparing() -> Puppet {
    let mut puppet = puppet();
    puppet.open_at(&yard(), 2);
    // The negentropy protocol's question about everything: version, one range to the end, an empty list.
    puppet.say(&[Message::Tips { partition: yard(), bytes: vec![0x61, 0, 0, 2, 0] }]);
    assert!(puppet.error().is_none());
    puppet
}

fn id(number: u64) -> ChangeSetId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ChangeSetId::from_bytes(bytes)
}

fn tips(count: u64) -> Vec<Tip> {
    (0..count).map(|number| Tip { actor: ActorId::from_bytes([9; 32]), sequence: 1, id: id(number) }).collect()
}

fn page(first: u64, count: u64, bytes: usize) -> Vec<u8> {
    let end = Cursor { position: first + count, ..Puppet::end(0) };
    LogPage::seal(&*key(NUMBER), &crate::model::WORKSPACE, yard(), first, end, vec![0; bytes]).unwrap().to_bytes()
}

fn refused(message: &Message) {
    let mut puppet = comparing();
    puppet.say(std::slice::from_ref(message));
    assert!(matches!(puppet.error(), Some(SessionError::Malformed(_))), "{:?}", puppet.error());
}

#[test]
fn frames_over_their_limits_are_refused_unread() {
    for (kind, limit) in [(0x87, MAX_FRAME_BYTES), (1, MAX_CONTROL_BYTES), (2, MAX_FRAME_BYTES), (3, MAX_RECEIPT_BYTES)]
    {
        let mut puppet = opened();
        let mut frame = vec![0; limit + 1];
        frame[0] = kind;
        puppet.feed(&frame);
        match puppet.error() {
            Some(SessionError::TooLarge { bytes, limit: told }) => assert_eq!((*bytes, *told), (limit + 1, limit)),
            other => panic!("{kind}: {other:?}"),
        }
        // One less is looked into.
        let mut puppet = opened();
        puppet.feed(&frame[..limit]);
        assert!(!matches!(puppet.error(), Some(SessionError::TooLarge { .. }) | None), "{kind}");
    }
    // A page whose content is too large, in a frame that is not.
    let mut puppet = opened();
    puppet.feed(&page(0, 1, MAX_PAGE_BYTES + 2));
    assert!(matches!(puppet.error(), Some(SessionError::Malformed(_))));
}

#[test]
fn messages_over_their_limits_are_refused() {
    let mut puppet = opened();
    puppet.say(&vec![Message::Pong; MAX_MESSAGES]);
    assert!(puppet.error().is_none());
    puppet.say(&vec![Message::Pong; MAX_MESSAGES + 1]);
    assert!(matches!(puppet.error(), Some(SessionError::Malformed(_))));

    let partition = yard();
    refused(&Message::Have { partition: yard(), tips: tips(MAX_TIPS as u64 + 1), last: false });
    refused(&Message::Show { partition: yard(), ids: vec![[0; 32]; MAX_TIPS + 1], last: false });
    refused(&Message::Want { partition: yard(), wants: vec![Want { tip: id(1), known: vec![] }; MAX_TIPS + 1] });
    refused(&Message::Want { partition: yard(), wants: vec![Want { tip: id(1), known: vec![id(2); MAX_KNOWN + 1] }] });
    refused(&Message::Tips { partition: yard(), bytes: vec![0; MAX_RECONCILE_BYTES + 1025] });
    refused(&Message::Refused { partition: yard(), entries: vec![(id(1), Code::QUOTA); MAX_REFUSED + 1] });
    refused(&Message::Denied { partition: yard(), code: Code::QUOTA, text: "x".repeat(MAX_TEXT_BYTES + 1) });
    refused(&Message::Close { code: Code::DONE, text: "x".repeat(MAX_TEXT_BYTES + 1) });
    refused(&Message::Knock { name: "x".repeat(MAX_NAME_BYTES + 1) });
    let knock = Knock { key: key(1).public_key(), name: String::new(), time_ms: 0 };
    refused(&Message::Knocks { knocks: vec![knock; MAX_KNOCKS + 1] });
    refused(&Message::Verbatim { partition: yard(), first: 0, count: 4097 });
    // And at the limit they are read.
    let mut puppet = comparing();
    puppet.say(&[Message::Have { partition: yard(), tips: tips(MAX_TIPS as u64), last: false }]);
    puppet.say(&[Message::Refused { partition, entries: vec![(id(1), Code::QUOTA); MAX_REFUSED] }]);
    puppet.say(&[Message::Knock { name: "x".repeat(MAX_NAME_BYTES) }]);
    assert!(puppet.error().is_none(), "{:?}", puppet.error());
}

#[test]
fn a_comparison_is_bounded() {
    let mut puppet = comparing();
    puppet.keeps = true;
    let batches = MAX_OFFERED_TIPS / MAX_TIPS;
    for _ in 0..batches {
        puppet.say(&[Message::Have { partition: yard(), tips: tips(MAX_TIPS as u64), last: false }]);
    }
    assert!(puppet.error().is_none());
    puppet.say(&[Message::Have { partition: yard(), tips: tips(1), last: false }]);
    puppet.assert_closed("more tips than a comparison may find");

    // Questions without end.
    let mut puppet = comparing();
    for _ in 1..MAX_RECONCILE_STEPS {
        puppet.say(&[Message::Tips { partition: yard(), bytes: vec![0x61, 0, 0, 2, 0] }]);
        puppet.frames.clear();
    }
    assert!(puppet.error().is_none());
    puppet.say(&[Message::Tips { partition: yard(), bytes: vec![0x61, 0, 0, 2, 0] }]);
    puppet.assert_closed("does not end");

    // More tips of our own than a comparison holds are our failure, not the peer's.
    let mut puppet = puppet_that_keeps();
    puppet.say(&[Message::Tips { partition: yard(), bytes: vec![0x61, 0, 0, 2, 0] }]);
    let (request, _) = puppet.kept.pop().unwrap();
    puppet.session.handle_storage(request, Response::Tips(tips(MAX_RECONCILED_TIPS as u64 + 1)), puppet.now);
    puppet.drain();
    assert!(matches!(puppet.error(), Some(SessionError::Storage(_))));
}

fn puppet_that_keeps() -> Puppet {
    let mut puppet = puppet();
    puppet.open_at(&yard(), 2);
    puppet.keeps = true;
    puppet
}

/// A peer that sends more than the window it was offered, in however many partitions, while storage is slow.
#[test]
fn more_bytes_than_the_window_end_the_session() {
    let mut config = Config::new(Tier::Relay);
    config.window_bytes = MIN_WINDOW_BYTES;
    let mut puppet = Puppet::call_with(Replica::new(2, Tier::Relay), MIN_WINDOW_BYTES, Some(config));
    let sites: Vec<Partition> = (0..3).map(|number| partition(&format!("site-{number}"))).collect();
    for site in &sites {
        puppet.open(site);
    }
    puppet.keeps = true;
    let mut sent = 0;
    'all: for first in 0..10 {
        for site in &sites {
            let end = Cursor { position: first + 1, ..Puppet::end(0) };
            let page =
                LogPage::seal(&*key(NUMBER), &crate::model::WORKSPACE, site.clone(), first, end, vec![0; 3 << 20]);
            let page = page.unwrap().to_bytes();
            sent += page.len();
            puppet.feed(&page);
            if puppet.error().is_some() {
                break 'all;
            }
        }
    }
    puppet.assert_closed("more bytes in flight than the window");
    assert!(sent < MIN_WINDOW_BYTES as usize + MAX_FRAME_BYTES + (4 << 20), "{sent}");
}

/// A peer that offers an endless window does not make us read the whole log into memory.
#[test]
fn an_endless_window_is_not_believed() {
    let mut replica = Replica::new(2, Tier::Relay);
    replica.padding = 250_000;
    for _ in 0..30 {
        replica.grow(2, 16);
    }
    let mut puppet = Puppet::call(replica, u64::MAX);
    puppet.open(&yard());
    let in_flight = puppet.session.in_flight();
    assert!(in_flight > MAX_WINDOW_BYTES / 2 && in_flight <= MAX_WINDOW_BYTES, "{in_flight}");
}

/// A peer that asks and does not read.
#[test]
fn unread_answers_and_unanswered_requests_are_bounded() {
    let mut puppet = puppet();
    let open = |number: usize| Message::Open {
        partition: partition(&format!("p{number}")),
        end: Puppet::end(0),
        place: None,
        read: true,
    };
    for half in 0..2 {
        puppet.say(&(0..MAX_CHANNELS / 2).map(|at| open(half * MAX_CHANNELS / 2 + at)).collect::<Vec<_>>());
    }
    // Each more is denied in words, and the driver can send nothing: nothing is taken from the session.
    puppet.frames.clear();
    let more: Vec<Message> = (0..MAX_MESSAGES).map(|at| open(5000 + at)).collect();
    let mut frames = 0;
    while !puppet.session.is_closed() {
        let frame = puppet.control(&more);
        puppet.session.handle_message(&frame, puppet.now);
        frames += 1;
        assert!(frames < 10_000);
    }
    let unsent: usize = std::iter::from_fn(|| puppet.session.poll_transmit()).map(|frame| frame.len()).sum();
    assert!(unsent > MAX_UNSENT_BYTES && unsent < MAX_UNSENT_BYTES + (1 << 20), "{unsent}");

    let mut puppet = opened();
    puppet.keeps = true;
    let refused = Message::Refused { partition: yard(), entries: vec![(id(1), Code::QUOTA)] };
    for _ in 0..MAX_REQUESTS / MAX_MESSAGES {
        puppet.say(&vec![refused.clone(); MAX_MESSAGES]);
        assert!(puppet.error().is_none());
    }
    puppet.say(&[refused]);
    puppet.assert_closed("faster than it is answered");
}

/// Each word where it has no place: the session ends, and storage hears nothing of it.
#[test]
fn words_out_of_turn_end_the_session() {
    let site = yard();
    let at = |position| Cursor { position, ..Puppet::end(0) };
    let hash = RunningHash::from_bytes([8; 32]);
    let strange = LogIncarnation::from_bytes([1; 8]);
    let open = |place| Message::Open { partition: yard(), end: at(0), place, read: true };
    let anywhere: Vec<Message> = vec![
        Message::Opened { partition: site.clone(), end: Some(at(0)), place: Place::None, fits: false, read: true },
        Message::Show { partition: site.clone(), ids: vec![], last: true },
        Message::Have { partition: site.clone(), tips: vec![], last: true },
        Message::Want { partition: site.clone(), wants: vec![] },
        Message::Verbatim { partition: site.clone(), first: 0, count: 3 },
        Message::Verbatim { partition: site.clone(), first: u64::MAX, count: 4096 },
        Message::Taken { partition: site.clone() },
        Message::Done { partition: site.clone() },
        Message::Settled { partition: site.clone() },
        Message::Skip { partition: site.clone(), from: 1, position: 2, hash },
        Message::Tips { partition: site.clone(), bytes: vec![0x70] },
        open(None),
    ];
    for message in anywhere {
        // Where nothing is open every one of them is out of place but the open.
        if !matches!(message, Message::Open { .. }) {
            let mut puppet = puppet();
            puppet.say(std::slice::from_ref(&message));
            assert!(puppet.error().is_some(), "{message:?} where nothing is open");
            assert_eq!(puppet.replica.requests, ["Admit"]);
        }
        let mut puppet = opened();
        // What is in flight is acknowledged, so that a page that was sent is not the reason.
        let end = puppet.replica.yard().end();
        let receipt = puppet.receipt(&site, end);
        puppet.feed(&receipt);
        let before = puppet.replica.requests.len();
        puppet.say(std::slice::from_ref(&message));
        assert!(puppet.error().is_some(), "{message:?} where nothing is compared");
        let asked = &puppet.replica.requests[before..];
        assert!(asked.iter().all(|request| request == "Tips"), "{message:?}: {asked:?}");
    }
    for message in [
        Message::Refused { partition: site.clone(), entries: vec![] },
        Message::Busy { partition: site.clone(), retry_after_ms: 1 },
        Message::Denied { partition: site.clone(), code: Code::QUOTA, text: String::new() },
    ] {
        let mut puppet = puppet();
        puppet.say(&[message]);
        puppet.assert_closed("never opened");
    }
    // Frames that are no control frames.
    let mut puppet = opened();
    puppet.feed(&page(1, 1, 10));
    puppet.assert_closed("a page is missing");
    let mut puppet = opened();
    let runs = puppet.runs(&site, None, &[0]);
    puppet.feed(&runs);
    puppet.assert_closed("nobody asked for");
    let mut puppet = opened();
    let runs = puppet.runs(&site, Some((0, 1, [8; 32])), &[0]);
    puppet.feed(&runs);
    puppet.assert_closed("nobody asked for");
    let mut puppet = opened();
    let receipt = puppet.receipt(&site, Cursor { position: 4, ..puppet.replica.yard().end() });
    puppet.feed(&receipt);
    puppet.assert_closed("what was not sent");
    let mut puppet = opened();
    let receipt = puppet.receipt(&site, Cursor { hash, ..puppet.replica.yard().end() });
    puppet.feed(&receipt);
    puppet.assert_closed("another log");
    let mut puppet = opened();
    let receipt = puppet.receipt(&site, Cursor { log: strange, ..puppet.replica.yard().end() });
    puppet.feed(&receipt);
    puppet.assert_closed("what was not sent");
    for bytes in [&[][..], &[4], &[16, 1], &[0xff], &[0x87], &[1], &[2], &[3]] {
        let mut puppet = opened();
        puppet.feed(bytes);
        assert!(puppet.error().is_some(), "{bytes:?}");
        // Whoever sent it is told why.
        let last = puppet.frames.last().unwrap();
        assert_eq!(last[0], 1);
    }
}

/// Runs are asked for once for each page that was sent, and lines one part at a time: else thirty bytes buy eight megabytes.
#[test]
fn runs_are_not_to_be_had_twice() {
    let mut puppet = opened();
    let again = Message::Verbatim { partition: yard(), first: 0, count: 3 };
    puppet.say(std::slice::from_ref(&again));
    assert_eq!(puppet.frames.last().unwrap()[0], 2);
    puppet.say(&[again]);
    puppet.assert_closed("out of turn");

    let mut puppet = comparing();
    let tip = puppet.replica.yard().tips()[0].id;
    puppet.say(&[Message::Want { partition: yard(), wants: vec![Want { tip, known: vec![] }] }]);
    let runs = puppet.frames.iter().filter(|frame| frame[0] == 2).count();
    assert_eq!(runs, 1);
    puppet.say(&[Message::Taken { partition: yard() }, Message::Taken { partition: yard() }]);
    puppet.assert_closed("not sent");
    assert_eq!(puppet.frames.iter().filter(|frame| frame[0] == 2).count(), 1);
}

/// One knock, one question about knocks, at a time.
#[test]
fn knocks_wait_for_their_answers() {
    for message in [Message::Knock { name: "a".into() }, Message::AskKnocks] {
        let mut puppet = puppet();
        puppet.keeps = true;
        puppet.say(std::slice::from_ref(&message));
        assert_eq!(puppet.kept.len(), 1);
        puppet.say(&[message]);
        puppet.assert_closed("again before");
        assert_eq!(puppet.kept.len(), 1);
    }
}

/// What was asked for partitions that the peer denied since counts until storage answered it. It did not, so a peer that
/// opened and denied them again and again gave storage any number of questions.
#[test]
fn forgotten_questions_count_until_they_are_answered() {
    let mut puppet = puppet();
    puppet.keeps = true;
    let partitions: Vec<Partition> = (0..500).map(|number| partition(&format!("p{number}"))).collect();
    let deny = |partition: &Partition| Message::Denied {
        partition: partition.clone(),
        code: Code::GOING,
        text: String::new(),
    };
    let open = |partition: &Partition| Message::Open {
        partition: partition.clone(),
        end: Puppet::end(0),
        place: None,
        read: true,
    };
    let opens: Vec<Message> = partitions.iter().map(open).collect();
    let denials: Vec<Message> = partitions.iter().map(deny).collect();
    for round in 0..10 {
        puppet.say(&opens);
        puppet.say(&denials);
        assert_eq!((puppet.kept.len(), puppet.error().is_none()), ((round + 1) * 500, true));
    }
    // Answers make room, though nobody waits for them.
    for (id, _) in puppet.kept.drain(..) {
        puppet.session.handle_storage(id, Response::Failed("late".into()), puppet.now);
    }
    for _ in 0..=MAX_REQUESTS / 500 {
        puppet.say(&opens);
        puppet.say(&denials);
    }
    puppet.assert_closed("faster than it is answered");
    assert!(puppet.kept.len() <= MAX_REQUESTS + 500);
}

/// Answers that come after their partition was denied and opened again are not taken for answers to the new questions.
#[test]
fn late_answers_are_nobodys() {
    let mut puppet = puppet();
    puppet.keeps = true;
    puppet.open(&yard());
    let (late, _) = puppet.kept.remove(0);
    puppet.say(&[Message::Denied { partition: yard(), code: Code::GOING, text: String::new() }]);
    puppet.open(&yard());
    let end = puppet.replica.yard().end();
    let wrong = Response::Opened {
        end: Cursor { position: 77, ..end },
        fits: false,
        place: None,
        read: true,
        receipted: u64::MAX,
    };
    puppet.session.handle_storage(late, wrong, puppet.now);
    puppet.drain();
    assert!(puppet.frames.iter().all(|frame| frame[0] != 1), "nothing is said yet");
    let (id, request) = puppet.kept.remove(0);
    assert!(matches!(request, Request::Open { .. }));
    puppet.session.handle_storage(
        id,
        Response::Opened { end, fits: false, place: None, read: true, receipted: u64::MAX },
        puppet.now,
    );
    puppet.drain();
    assert!(puppet.error().is_none() && puppet.frames.iter().any(|frame| frame[0] == 1));
}

/// A place beyond the end that was named never fits, even if the log grows past it while that is looked up: the peer counts
/// it as lost already.
#[test]
fn a_place_beyond_the_end_never_fits() {
    for beyond in [0, 1] {
        let mut puppet = puppet();
        let end = puppet.replica.yard().end();
        puppet.session.open(yard(), puppet.now);
        puppet.drain();
        let before = puppet.replica.requests.len();
        let place =
            Place::At(Cursor { position: end.position + beyond, hash: RunningHash::from_bytes([8; 32]), ..end });
        let theirs = Some(Puppet::end(7));
        puppet.say(&[Message::Opened { partition: yard(), end: theirs, place, fits: false, read: true }]);
        assert_eq!(puppet.replica.requests[before..], ["Tips"]);
        assert!(puppet.events.iter().any(|event| matches!(event, Event::RolledBack { .. })));
    }
}

/// Storage looked, the log grew and said so, and only then what storage saw came: the growth is not forgotten.
#[test]
fn growth_before_an_older_answer_is_sent() {
    let mut puppet = puppet();
    puppet.keeps = true;
    // Nothing would be new for the peer.
    let end = puppet.replica.yard().end();
    puppet.say(&[Message::Open { partition: yard(), end: Puppet::end(0), place: Some(end), read: true }]);
    let (id, _) = puppet.kept.remove(0);
    puppet.replica.grow(2, 2);
    let grown = puppet.replica.yard().end();
    puppet.session.handle_grown(&yard(), grown, puppet.now);
    puppet.keeps = false;
    let seen = Response::Opened { end, fits: true, place: None, read: true, receipted: 0 };
    puppet.session.handle_storage(id, seen, puppet.now);
    puppet.drain();
    let pages = puppet.frames.iter().filter(|frame| frame[0] == 0x87);
    let ends = pages.map(|page| LogPage::from_bytes(page).unwrap().end());
    assert_eq!(ends.max_by_key(|end| end.position), Some(grown));
}

/// A receipt and the goodbye in one read of the socket: the receipt is noted all the same.
#[test]
fn a_receipt_right_before_the_close_is_noted() {
    let mut puppet = opened();
    let receipt = puppet.receipt(&yard(), puppet.replica.yard().end());
    let close = puppet.control(&[Message::Close { code: Code::DONE, text: String::new() }]);
    puppet.session.handle_message(&receipt, puppet.now);
    puppet.session.handle_message(&close, puppet.now);
    assert!(puppet.session.is_closed());
    puppet.drain();
    assert_eq!(puppet.replica.yard().receipts.len(), 1);
}

/// A large acknowledgement does not wait for the clock: the peer would stop.
#[test]
fn a_lazy_receiver_acknowledges_before_the_window_is_full() {
    let mut config = Config::new(Tier::Device);
    config.window_bytes = MIN_WINDOW_BYTES;
    let mut source = Replica::new(NUMBER, Tier::Device);
    source.padding = 1200;
    *source.yard_mut() = Store::new(yard(), NUMBER);
    for _ in 0..3 {
        source.grow(1, 10);
    }
    let mut puppet = Puppet::call_with(Replica::new(2, Tier::Device), MIN_WINDOW_BYTES, Some(config));
    puppet.open(&yard());
    let receipts = |puppet: &Puppet| puppet.frames.iter().filter(|frame| frame[0] == 3).count();
    let [one, two, ..] = &source.yard().pages[..] else { panic!() };
    // Below a quarter of the window it is not worth a signature yet; with the second it is.
    assert!((one.bytes.len() as u64) < MIN_WINDOW_BYTES / 4 && (one.bytes.len() as u64) > MIN_WINDOW_BYTES / 8);
    puppet.feed(&one.bytes);
    assert_eq!(receipts(&puppet), 0);
    assert_eq!(puppet.session.poll_timeout(), Some(puppet.now + Duration::from_millis(50)));
    puppet.feed(&two.bytes);
    assert_eq!(receipts(&puppet), 1);
}
