//! Opening partitions: what it costs, who may read, and what happens when both sides do it at once.

use crate::model::{NOW, Replica, Source, Store, author, partition, write, yard};
use crate::puppet::Puppet;
use crate::world::World;
use sync::{Code, Denial, Event, Message, Tier};

fn pair() -> World {
    World::new(1, vec![Replica::new(1, Tier::Device), Replica::new(2, Tier::Relay)])
}

/// Every start of every device costs this, many times a day, on paid lines.
#[test]
fn nothing_new_costs_two_frames_and_300_bytes() {
    for documents in [5, 2000] {
        let mut world = pair();
        let mut own = author(1, 1, yard());
        let entries: Vec<_> = (0..documents).map(|number| write(&mut own, number, &[], "draft", NOW)).collect();
        for page in entries.chunks(100) {
            world.replicas[0].hold(page, Source::Own);
        }
        let first = world.sync(0, 1);
        world.assert_level(first);
        world.cut(first);

        let link = world.connect(0, 1);
        world.drive();
        let marks = world.marks(link);
        world.open(link, 0, yard());
        world.drive();
        world.assert_level(link);
        let (frames, bytes) = world.traffic(link, marks);
        println!(
            "nothing new, {documents} documents: {frames} frames, {bytes} bytes; with the handshake {:?}",
            world.traffic(link, [0, 0])
        );
        assert_eq!(frames, 2);
        assert!(bytes <= 300, "{bytes} bytes");
        assert_eq!(world.events(link, 0).iter().filter(|event| matches!(event, Event::Level { .. })).count(), 1);
    }
}

/// Two gateways that both start with the same configuration open the same partitions at each other at once.
#[test]
fn both_sides_open_at_once() {
    for seed in 0..40 {
        let mut world = World::new(seed, vec![Replica::new(1, Tier::Relay), Replica::new(2, Tier::Relay)]);
        world = world.with_delays(20, 30);
        world.replicas[0].grow(1, 3);
        world.replicas[1].grow(2, 4);
        let link = world.connect(0, 1);
        if seed % 2 == 0 {
            world.drive();
        }
        world.open(link, 1, yard());
        world.run(seed as usize % 7);
        world.open(link, 0, yard());
        world.drive();
        world.assert_level(link);
        assert_eq!(world.replicas[0].yard().ids().len(), 7);
    }
}

/// The caller's own storage refuses the partition just when the peer's open was set aside for it: the peer must not wait
/// for an open that never comes.
#[test]
fn an_open_that_yielded_is_answered_when_the_other_is_never_said() {
    let mut world = pair().with_delays(0, 5);
    let link = world.connect(0, 1);
    world.drive();
    world.replicas[0].policy.deny =
        Some(Denial { code: Code::STORAGE, text: "the disk is full: free some".into(), retry_after_ms: None });
    world.open(link, 0, yard());
    world.open(link, 1, yard());
    world.drive();
    for side in 0..2 {
        let denied = |event: &Event| matches!(event, Event::Denied { denial, .. } if denial.code == Code::STORAGE);
        assert!(world.has(link, side, denied), "side {side}");
    }
}

#[test]
fn a_denied_partition_is_opened_after_the_grant_came() {
    let mut world = pair();
    world.replicas[0].grow(1, 3);
    let why = "no grant for northyards: ask who leads the crew. ".repeat(20);
    world.replicas[1].policy.deny = Some(Denial { code: Code::NOT_PERMITTED, text: why, retry_after_ms: None });
    let link = world.sync(0, 1);
    let denied = |event: &Event| matches!(event, Event::Denied { denial, .. } if denial.code == Code::NOT_PERMITTED && denial.text.starts_with("no grant"));
    assert!(world.has(link, 0, denied) && world.closed(link, 0).is_none());
    assert!(!world.session(link, 0).is_level() && world.replicas[1].yard().ids().is_empty());
    world.replicas[1].policy.deny = None;
    world.open(link, 0, yard());
    world.drive();
    world.assert_level(link);
    // And growth before the second open was not lost.
    assert_eq!(world.replicas[1].yard().ids().len(), 3);
}

/// A lapsed device pushes its last work and hears nothing of the others'.
#[test]
fn who_may_not_read_may_still_push() {
    for has_met_before in [false, true] {
        let mut world = pair();
        if has_met_before {
            let link = world.sync(0, 1);
            world.cut(link);
        }
        world.replicas[0].grow(1, 3);
        world.replicas[1].grow(2, 4);
        world.replicas[1].policy.is_unreadable = true;
        let link = world.sync(0, 1);
        for side in 0..2 {
            assert!(world.closed(link, side).is_none(), "{:?}", world.closed(link, side));
        }
        assert!(world.has(link, 0, |event| matches!(event, Event::Opened { read: false, .. })));
        assert_eq!(world.replicas[0].yard().ids().len(), 3);
        assert_eq!(world.replicas[1].yard().ids().len(), 7);
        world.replicas[0].grow(1, 2);
        world.replicas[1].grow(2, 2);
        world.drive();
        assert_eq!(world.replicas[0].yard().ids().len(), 5);
        assert_eq!(world.replicas[1].yard().ids().len(), 11);
        assert!(world.session(link, 0).is_level() && world.session(link, 1).is_level());
    }
}

/// Whoever opens a partition with a peer that may not read it gets and gives nothing away.
#[test]
fn the_asker_does_not_send_what_the_peer_may_not_read() {
    let mut world = pair();
    world.replicas[0].grow(1, 3);
    world.replicas[1].grow(2, 4);
    world.replicas[0].policy.is_unreadable = true;
    let link = world.sync(0, 1);
    assert_eq!(world.replicas[1].yard().ids().len(), 4);
    assert_eq!(world.replicas[0].yard().ids().len(), 7);
    assert!(world.session(link, 0).is_level() && world.session(link, 1).is_level());
}

/// The log grew while the open was on its way: the place in the answer is that of the open, not of the growth.
#[test]
fn growth_while_the_open_is_on_its_way_is_sent() {
    for seed in 0..60 {
        let mut world = pair().with_delays(20, 20);
        world.dice = crate::world::Dice::new(seed);
        world.replicas[0].grow(1, 2);
        let first = world.sync(0, 1);
        world.assert_level(first);
        world.cut(first);
        let link = world.connect(0, 1);
        world.open(link, 0, yard());
        for _ in 0..10 {
            world.run(1 + seed as usize % 4);
            world.replicas[0].grow(1, 1);
            world.replicas[1].grow(2, 1);
        }
        world.drive();
        world.assert_level(link);
        assert_eq!(world.replicas[1].yard().ids().len(), 22);
    }
}

/// Nothing was new when it was asked, and then something was: "your place is my end" is about the end that was named.
#[test]
fn growth_between_the_open_and_its_answer_is_sent() {
    for side in 0..2 {
        let mut world = pair().with_delays(20, 20);
        world.replicas[0].grow(1, 2);
        let first = world.sync(0, 1);
        world.cut(first);
        let link = world.connect(0, 1);
        world.drive();
        let before = world.marks(link)[0];
        world.open(link, 0, yard());
        while world.marks(link)[0] == before {
            world.run(1);
        }
        world.replicas[side].grow(1, 3);
        world.drive();
        world.assert_level(link);
        assert_eq!(world.replicas[1].yard().ids().len(), 5);
    }
}

/// A thousand partitions and one more.
#[test]
fn one_partition_too_many_is_denied_and_the_rest_goes_on() {
    let mut world = pair();
    let link = world.connect(0, 1);
    world.drive();
    for number in 0..=sync::limits::MAX_CHANNELS {
        world.open(link, 0, partition(&format!("p{number}")));
    }
    world.drive();
    let denied = |event: &Event| matches!(event, Event::Denied { denial, .. } if denial.code == Code::QUOTA);
    assert!(world.has(link, 0, denied) && world.closed(link, 0).is_none());
    // And where the other side opens it, it is denied over the wire.
    world.open(link, 1, partition("q"));
    world.drive();
    assert!(world.has(link, 1, denied) && world.closed(link, 1).is_none());
    assert!(world.session(link, 0).is_level());
}

/// Partitions share the peer's window: what one leaves, another must take up, or it waits for ever.
#[test]
fn partitions_share_the_window_and_none_starves() {
    let mut world = pair().with_delays(3, 3);
    let mut config = sync::Config::new(Tier::Relay);
    config.window_bytes = sync::limits::MIN_WINDOW_BYTES;
    world.configs.insert(1, config);
    world.replicas[0].padding = 200;
    for name in ["alpha", "beta", "gamma"] {
        let name = partition(name);
        world.replicas[0].stores.insert(name.clone(), Store::new(name.clone(), 1));
        for _ in 0..40 {
            world.replicas[0].grow_in(&name, 1, 20);
        }
    }
    let link = world.connect(0, 1);
    for name in ["alpha", "beta", "gamma"] {
        world.open(link, 0, partition(name));
    }
    world.drive();
    for name in ["alpha", "beta", "gamma"] {
        assert_eq!(world.replicas[1].stores[&partition(name)].ids().len(), 800, "{name}");
    }
    assert!(world.session(link, 0).is_level());
}

/// What a partition had in flight when it was denied is nobody's any more.
#[test]
fn a_partition_that_is_denied_gives_its_window_back() {
    let mut replica = Replica::new(1, Tier::Relay);
    for name in ["alpha", "beta"] {
        replica.stores.insert(partition(name), Store::new(partition(name), 1));
        for _ in 0..20 {
            replica.grow_in(&partition(name), 1, 20);
        }
    }
    let mut puppet = Puppet::call(replica, 64 << 10);
    puppet.open(&partition("alpha"));
    let in_flight = puppet.session.in_flight();
    assert!(in_flight > 0);
    let text = "the grant was taken back".to_owned();
    puppet.say(&[Message::Denied { partition: partition("alpha"), code: Code::NOT_PERMITTED, text }]);
    assert_eq!(puppet.session.in_flight(), 0);
    puppet.open(&partition("beta"));
    assert!(puppet.session.in_flight().abs_diff(in_flight) < 200);
    assert!(!puppet.session.is_closed());
}
