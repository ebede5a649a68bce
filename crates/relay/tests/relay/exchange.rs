//! What devices push through a relay, and who gets it.

use crate::support::{Seen, World, config, partition, public, stop, stored};
use access::Record;
use relay::Relay;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{Batch, Lane, Source};
use sync::{Code, Tier};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_devices_come_to_hold_the_same_and_one_joins_late() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let (mut root, mut second, mut third) = (world.device(1), world.device(2), world.device(3));
    let grants: Vec<_> = [2, 3].map(|number| root.grant(world.grant(number, "north"))).into();
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("north").await;
    let mut written = vec![root.write("north", None)];
    let mut second_line = second.call(&relay, &["authority", "north"]).await;
    second.holds("north", &written).await;
    second_line.level("north").await;
    // While both are connected, both ways.
    written.push(second.write("north", Some(grants[0])));
    root.holds("north", &written).await;
    written.push(root.write("north", None));
    second.holds("north", &written).await;
    for _ in 0..100 {
        written.push(second.write("north", None));
    }
    root.holds("north", &written).await;
    let third_line = third.call(&relay, &["authority", "north"]).await;
    third.holds("north", &written).await;
    written.push(third.write("north", Some(grants[1])));
    root.holds("north", &written).await;
    second.holds("north", &written).await;
    for line in [line, second_line, third_line] {
        line.hang_up().await;
    }
    let view = relay.replica().store().view().unwrap();
    let kept: u64 =
        ["authority", "north"].map(|at| view.log(&world.log(at)).unwrap().unwrap().end.position).iter().sum();
    drop(view);
    assert_eq!(kept, 1 + 2 + written.len() as u64, "each entered once");
    let counters = relay.replica().counters();
    assert_eq!(counters.refused.get() + counters.held.get() + counters.failures.get(), 0);
    assert_eq!(counters.duplicates.get(), 0, "nothing was sent twice");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_relay_still_has_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let relay_key = relay.key();
    let world = World::new();
    let (mut root, mut second) = (world.device(1), world.device(2));
    root.grant(world.grant(2, "north"));
    let mut line = root.call(&relay, &["authority", "north"]).await;
    let written = [root.write("north", None), root.write("north", None)];
    line.until("an acknowledgement", |seen| matches!(seen, Seen::Acked { at, .. } if at == "north").then_some(()))
        .await;
    stop(relay).await;
    assert_eq!(line.closed().await.0, Code::GOING);
    drop(root);
    let relay = Relay::start(config(&folder)).unwrap();
    assert_eq!(relay.key(), relay_key);
    let _line = second.call(&relay, &["authority", "north"]).await;
    second.holds("north", &written).await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_goes_on_by_cursor_and_sends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    for round in 0..3 {
        let written = root.write("north", None);
        let mut line = root.call(&relay, &["authority", "north"]).await;
        stored(relay.replica(), &world.log("north"), &[written]).await;
        line.level("north").await;
        line.level("authority").await;
        // What is not for the device it is told a little later.
        for at in ["authority", "north"] {
            let end = relay.replica().store().view().unwrap().log(&world.log(at)).unwrap().unwrap().end;
            root.is_at(&relay.key(), at, end).await;
        }
        line.hang_up().await;
        assert_eq!(relay.replica().counters().duplicates.get(), 0, "in round {round}");
        assert_eq!(relay.replica().counters().reconciliations.get(), 0, "in round {round}");
    }
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_denied_and_gets_in_without_calling_again_when_a_grant_comes() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let (mut root, mut stranger) = (world.device(1), world.device(2));
    let mut line = root.call(&relay, &["authority", "north"]).await;
    let secret = root.write("north", None);
    line.level("north").await;
    let mut knocking = stranger.call(&relay, &["authority", "north"]).await;
    let why = knocking.denied("north").await;
    assert!(why.contains("no grant") || why.contains("grant"), "{why}");
    assert!(!stranger.has("north", &secret));
    root.grant(world.grant(2, "north"));
    stranger.holds("north", &[secret]).await;
    // Both ways: what it writes from now on arrives too.
    let answer = stranger.write("north", None);
    root.holds("north", &[answer]).await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_its_grant_is_held_and_enters_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let (mut root, mut worker, mut reader) = (world.device(1), world.device(2), world.device(3));
    root.grant(world.grant(2, "north"));
    root.grant(world.grant(3, "north"));
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("north").await;
    line.level("authority").await;
    line.hang_up().await;
    // The second grant is known to the worker, as from a bundle, and not to the relay.
    let second = root.grant(world.grant(2, "north"));
    let early = worker.write("north", Some(second));
    let mut pushing = worker.call(&relay, &["authority", "north"]).await;
    let held = pushing
        .until("a receipt that says held", |seen| match seen {
            Seen::Acked { at, held, .. } if at == "north" && *held > 0 => Some(*held),
            _ => None,
        })
        .await;
    assert_eq!(held, 1);
    let report = crate::admin::devices(&relay).await;
    let device = crate::admin::device(&report, &public(2));
    assert_eq!(device["held"], 1, "{report:#}");
    assert!(device["stuck"].as_str().unwrap().contains("grant"), "{report:#}");
    let _reading = reader.call(&relay, &["authority", "north"]).await;
    let _line = root.call(&relay, &["authority", "north"]).await;
    reader.holds("north", &[early, second]).await;
    assert_eq!(relay.replica().counters().released.get(), 1);
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_makes_a_device_wait_and_then_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicU64::new(replica::system_clock()()));
    let mut config = config(&folder);
    let clock = Arc::clone(&time);
    config.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    config.device_bytes_per_minute = Some(8 << 10);
    let relay = Relay::start(config).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("authority").await;
    let first = root.write_bytes("north", None, 6000);
    let acked = |seen: &Seen| matches!(seen, Seen::Acked { at, .. } if at == "north").then_some(());
    line.until("the first receipt", acked).await;
    // Half a second before the minute is over.
    time.fetch_add(59_500, Ordering::Relaxed);
    let second = root.write_bytes("north", None, 6000);
    line.until("a pause", |seen| (*seen == Seen::Paused("north".into())).then_some(())).await;
    let holds = |id| relay.replica().store().view().unwrap().has(&world.log("north"), id).unwrap();
    assert!(holds(&first) && !holds(&second));
    assert_eq!(relay.replica().counters().busy.get(), 1);
    let report = crate::admin::devices(&relay).await;
    assert_eq!(crate::admin::device(&report, &public(1))["to_receive"], 1, "{report:#}");
    time.fetch_add(600, Ordering::Relaxed);
    line.until("the second receipt", acked).await;
    assert!(holds(&second));
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workspaces_that_are_not_listed_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (world, other) = (World::new(), World::named("Others"));
    let mut config = config(&folder);
    config.workspaces = Some([world.workspace].into());
    let relay = Relay::start(config).unwrap();
    let mut line = world.device(1).call(&relay, &["authority"]).await;
    line.level("authority").await;
    let mut refused = other.device(1).call(&relay, &["authority"]).await;
    let (code, text) = refused.closed().await;
    assert_eq!(code, Code::UNKNOWN_WORKSPACE);
    assert!(text.contains("is not kept here"), "{text}");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_sessions_max_devices_are_asked_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.sessions_max = 1;
    let relay = Relay::start(config).unwrap();
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call(&relay, &["authority"]).await;
    line.level("authority").await;
    let mut second = world.device(2).call(&relay, &["authority"]).await;
    let (code, text) = second.closed().await;
    assert_eq!(code, Code::BUSY, "{text}");
    assert!(text.contains("come back"), "{text}");
    let error = second.ended().await.unwrap_err();
    let replica::LinkError::Session(sync::SessionError::Closed { retry_after_ms, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(retry_after_ms.is_some());
    line.hang_up().await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_says_that_it_is_a_relay_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    let secret = root.write("north", None);
    let mut line = root.call(&relay, &["authority", "north"]).await;
    line.level("north").await;
    let liar = world.device_of_tier(9, Tier::Core);
    let mut reading = liar.call(&relay, &["north"]).await;
    reading.denied("north").await;
    assert!(!liar.has("north", &secret));
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_relay_reads_and_brings_everything() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = World::new();
    let mut gateway = world.device_of_tier(9, Tier::Relay);
    let mut listing = config(&far);
    listing.relays = [public(9)].into();
    let (relay, upstream) = (Relay::start(config(&near)).unwrap(), Relay::start(listing).unwrap());
    drop(relay);
    let mut root = world.device(1);
    let written = root.write("north", None);
    let mut line = root.call(&upstream, &["authority", "north"]).await;
    line.level("north").await;
    let _carrying = gateway.call(&upstream, &["authority", "north"]).await;
    gateway.holds("north", &[written]).await;
    stop(upstream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_push_the_records_of_another_root() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call(&relay, &["authority"]).await;
    line.level("authority").await;
    let mut stranger = world.device(5);
    stranger.record("north", &Record::Grant(world.grant(5, "north")), &[]);
    let mut pushing = stranger.call(&relay, &["authority", "north"]).await;
    pushing.denied("north").await;
    let authority = relay.replica().authority(&world.workspace, |authority| {
        authority.admission(&public(5), &partition("north"), world.now_ms).read
    });
    assert!(!authority.unwrap());
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_grant_lapsed_may_push_and_not_read_and_calls_again_when_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(config(&folder)).unwrap();
    let world = World::new();
    let (mut root, mut worker) = (world.device(1), world.device(2));
    let mut lapsed = world.grant(2, "north");
    lapsed.not_after_ms = world.now_ms - 1;
    root.grant(lapsed);
    let secret = root.write("north", None);
    let mut line = root.call(&relay, &["authority", "north"]).await;
    stored(relay.replica(), &world.log("north"), &[secret]).await;
    let mut blind = worker.call(&relay, &["authority", "north"]).await;
    blind.until("an open door", |seen| (*seen == Seen::Opened("north".into())).then_some(())).await;
    worker.write("north", None);
    blind.until("a receipt that says held", |seen| matches!(seen, Seen::Acked { held: 1, .. }).then_some(())).await;
    assert!(!worker.has("north", &secret));
    let renewed = root.grant(world.grant(2, "north"));
    let (code, text) = blind.closed().await;
    assert_eq!(code, Code::GOING, "{text}");
    let _again = worker.call(&relay, &["authority", "north"]).await;
    worker.holds("north", &[secret, renewed]).await;
    line.level("north").await;
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_upload_many_times_the_window_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder);
    config.window_bytes = 64 << 10;
    let relay = Relay::start(config).unwrap();
    let world = World::new();
    let mut root = world.device(1);
    let entries = root.prepare("north", 3000, 250);
    let ids: Vec<_> = entries.iter().map(changeset::Verified::id).collect();
    for some in entries.chunks(1000) {
        let batch = Batch::new().append(root.log("north"), some.to_vec(), Source::Own, None);
        root.replica.store().commit_now(Lane::Local, batch).unwrap();
    }
    let line = root.call(&relay, &["authority", "north"]).await;
    stored(relay.replica(), &world.log("north"), &ids).await;
    line.hang_up().await;
    stop(relay).await;
}
