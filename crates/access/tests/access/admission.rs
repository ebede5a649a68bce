//! Who is let in now, and which entries enter the log.

use crate::support::{HOUR, NOW, World, claim, claim_under, delegation, grant, kind, partition, partitions, public};
use access::{Admit, Authority, Claim, Grant, Kinds, Push, Record};
use changeset::ChangeSetId;

const LATER: u64 = NOW + 30 * HOUR;

/// Whether it reads, and the first letter of how it pushes with the reason.
fn peer(authority: &Authority, device: u8, at: &str, now: u64) -> (bool, &'static str, &'static str) {
    let admission = authority.admission(&public(device), &partition(at), now);
    let (how, why) = match admission.push {
        Push::Accept => ("accept", ""),
        Push::Quarantine(why) => ("quarantine", why.code()),
        Push::Refuse(why) => ("refuse", why.code()),
        _ => panic!("a new answer"),
    };
    (admission.read, how, why)
}

fn entry(admit: Admit) -> (&'static str, &'static str) {
    match admit {
        Admit::Take => ("take", ""),
        Admit::Hold(why) => ("hold", why.code()),
        Admit::Refuse(why) => ("refuse", why.code()),
        _ => panic!("a new answer"),
    }
}

#[test]
fn a_peer_is_let_in_by_what_it_holds_now() {
    let mut world = World::new(&[1], 1);
    let empty = world.authority();
    assert_eq!(peer(&empty, 1, "authority", NOW), (false, "quarantine", "no-genesis"));
    assert_eq!(peer(&empty, 1, "north", NOW), (false, "refuse", "no-genesis"));
    let mut authority = world.begun();
    authority.take(&world.grant(1, grant(5, "north")));
    authority.take(&world.delegate(1, delegation(6, partitions(&["north"]))));
    for (device, at, now, wanted) in [
        (1, "north", NOW, (true, "accept", "")),
        (1, "authority", LATER, (true, "accept", "")),
        (5, "north", NOW, (true, "accept", "")),
        (5, "north", LATER, (false, "quarantine", "expired")),
        (5, "north", NOW - 1, (false, "quarantine", "not-yet")),
        (5, "south", NOW, (false, "refuse", "no-grant")),
        (5, "authority", NOW, (true, "refuse", "only-authority")),
        (5, "authority", LATER, (true, "refuse", "only-authority")),
        (6, "north", NOW, (true, "accept", "")),
        (6, "north", LATER, (false, "quarantine", "delegation-expired")),
        (6, "authority", NOW, (true, "accept", "")),
        (6, "authority", LATER, (true, "quarantine", "delegation-expired")),
        (6, "south", NOW, (false, "refuse", "no-grant")),
        (7, "north", NOW, (false, "refuse", "no-grant")),
        (7, "authority", NOW, (false, "refuse", "only-authority")),
    ] {
        assert_eq!(peer(&authority, device, at, now), wanted, "{device} {at} {now}");
    }
    // A renewal lets in again, whatever lapsed.
    authority.take(&world.grant(1, Grant { not_before_ms: LATER, not_after_ms: LATER + HOUR, ..grant(5, "north") }));
    assert_eq!(peer(&authority, 5, "north", LATER), (true, "accept", ""));
}

#[test]
fn an_entry_enters_holds_or_is_refused() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let orders = world.grant(1, Grant { kinds: Kinds::Named([kind("order")].into()), ..grant(5, "north") });
    authority.take(&orders);
    let order = Claim { kind: kind("order"), ..claim_under(5, "north", &orders) };
    let late = Claim { time_ms: LATER, ..order.clone() };
    let unnamed = Claim { grant: None, ..late.clone() };
    let missing = Claim { grant: Some(ChangeSetId::from_bytes([3; 32])), ..order.clone() };
    for (claim, now, wanted) in [
        (&order, NOW, ("take", "")),
        (&order, LATER, ("take", "")), // written in time, brought late
        (&late, LATER, ("hold", "expired")),
        (&unnamed, LATER, ("hold", "no-grant")),
        // Who is let in is so with all of it: what comes after in the chain could not enter otherwise.
        (&late, NOW, ("take", "")),
        (&claim_under(5, "north", &orders), NOW, ("take", "")),
        (&missing, NOW, ("hold", "grant-not-held")),
        (&claim(7, "north"), NOW, ("refuse", "no-grant")),
        (&claim_under(7, "north", &orders), NOW, ("refuse", "other-device")),
        (&claim(5, "south"), NOW, ("refuse", "no-grant")),
    ] {
        assert_eq!(entry(authority.admit(claim, now)), wanted, "{claim:?} {now}");
    }
}

#[test]
fn a_record_enters_if_it_counts_or_may_come_to() {
    let mut world = World::new(&[1], 1);
    let genesis = world.genesis();
    let empty = world.authority();
    assert_eq!(entry(empty.admit_record(&genesis, NOW)), ("take", ""), "a relay begins with it");
    let mut authority = world.begun();
    let by_root = world.grant(1, grant(5, "north"));
    assert_eq!(entry(empty.admit_record(&by_root, NOW)), ("hold", "no-genesis"));
    assert_eq!(entry(authority.admit_record(&by_root, NOW)), ("take", ""));
    let by_stranger = world.grant(7, grant(7, "north"));
    assert_eq!(entry(authority.admit_record(&by_stranger, NOW)), ("hold", "no-authority"));
    let endorsed = world.write(7, "north", &Record::Grant(grant(7, "north")), &[1], NOW);
    assert_eq!(entry(authority.admit_record(&endorsed, NOW)), ("take", ""), "it carries its own proof");
    let misplaced = world.write(7, "south", &Record::Grant(grant(7, "north")), &[], NOW);
    assert_eq!(entry(authority.admit_record(&misplaced, NOW)), ("refuse", "wrong-partition"));
    authority.take(&by_root);
    let by_member = world.grant(5, grant(7, "north"));
    assert_eq!(entry(authority.admit_record(&by_member, NOW)), ("take", ""), "masked or not, its chain goes on");
    assert_eq!(entry(authority.admit_record(&by_member, LATER)), ("hold", "no-authority"));
}
