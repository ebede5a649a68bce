//! Verdicts on work: named grants, unnamed ones, devices, and the words that people read.

use crate::support::{
    HOUR, NOW, World, claim, claim_under, delegation, grant, intent, kind, partition, partitions, public, word,
};
use access::{Actions, Check, Claim, Grant, Kinds, MayGrant, Person, Scope, Standing, Verdict};
use changeset::{ChangeSetId, Verified};

fn accepted(record: &Verified) -> Verdict {
    Verdict::Accepted { grant: Some(record.id()) }
}

#[test]
fn a_named_grant_must_bind_and_cover() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let limited = Grant {
        kinds: Kinds::Named([kind("inspection")].into()),
        actions: Actions::Named([intent("record_outcome")].into()),
        ..grant(5, "north")
    };
    let given = world.grant(1, limited);
    let good = claim_under(5, "north", &given);
    assert_eq!(word(&authority.verdict(&good)), ("pending", "grant-not-held"));
    authority.take(&given);
    assert_eq!(authority.verdict(&good), accepted(&given));
    let at = |time_ms: u64| Claim { time_ms, ..good.clone() };
    for (claim, wanted) in [
        (at(NOW - 1), ("masked", "not-yet")),
        (at(NOW), ("accepted", "")),
        (at(NOW + 24 * HOUR), ("accepted", "")),
        (at(NOW + 24 * HOUR + 1), ("masked", "expired")),
        (Claim { author: public(6), ..good.clone() }, ("masked", "other-device")),
        (Claim { partition: partition("south"), ..good.clone() }, ("masked", "other-partition")),
        (Claim { kind: kind("order"), ..good.clone() }, ("masked", "kind-not-covered")),
        (Claim { intent: Some(intent("close")), ..good.clone() }, ("masked", "action-not-covered")),
        (Claim { intent: None, ..good.clone() }, ("pending", "intent-unknown")),
        (Claim { intent: None, ..at(NOW - 1) }, ("masked", "not-yet")),
        (Claim { grant: Some(ChangeSetId::from_bytes([1; 32])), ..good.clone() }, ("pending", "grant-not-held")),
    ] {
        assert_eq!(word(&authority.verdict(&claim)), wanted, "{claim:?}");
    }
    let office = world.delegate(1, delegation(5, Scope::All));
    authority.take(&office);
    assert_eq!(word(&authority.verdict(&claim_under(5, "north", &office))), ("masked", "not-a-grant"));
}

#[test]
fn a_named_grant_without_authority_lets_nothing() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let self_made = world.grant(5, grant(5, "north"));
    authority.take(&self_made);
    assert_eq!(word(&authority.verdict(&claim_under(5, "north", &self_made))), ("pending", "grant-waits"));
    assert_eq!(word(&authority.verdict(&claim(5, "north"))), ("pending", "no-grant"));
    authority.take(&world.delegate(1, delegation(5, partitions(&["south"]))));
    assert_eq!(word(&authority.verdict(&claim_under(5, "north", &self_made))), ("masked", "grant-masked"));
    authority.take(&world.delegate(1, delegation(5, partitions(&["north"]))));
    assert_eq!(authority.verdict(&claim_under(5, "north", &self_made)), accepted(&self_made));
}

#[test]
fn without_a_name_the_lowest_grant_that_covers_is_in_force() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let mut all: Vec<Verified> = (0..6).map(|_| world.grant(1, grant(5, "north"))).collect();
    let past = world.grant(1, Grant { not_before_ms: 0, not_after_ms: NOW, ..grant(5, "north") });
    let foreign = world.grant(1, grant(6, "north"));
    let orders = world.grant(1, Grant { kinds: Kinds::Named([kind("order")].into()), ..grant(5, "north") });
    for record in all.iter().chain([&past, &foreign, &orders]) {
        authority.take(record);
    }
    all.sort_by_key(Verified::id);
    assert_eq!(authority.verdict(&claim(5, "north")), accepted(&all[0]));
    assert_eq!(word(&authority.verdict(&claim(5, "south"))), ("pending", "no-grant"));
    assert_eq!(word(&authority.verdict(&claim(1, "north"))), ("pending", "no-grant"), "a root needs a grant to write");
}

#[test]
fn a_shared_tablet_holds_two_people() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let person = |id: &str, name: &str| Person { id: id.into(), name: name.into() };
    let day = Grant { person: person("anna", "Anna Berg"), not_after_ms: NOW + 8 * HOUR, ..grant(5, "north") };
    let night = Grant { person: person("nils", "Nils Dahl"), not_before_ms: NOW + 8 * HOUR, ..grant(5, "north") };
    let (anna, nils) = (world.grant(1, day), world.grant(1, night));
    authority.take(&anna);
    authority.take(&nils);
    let pick = |time: u64, person: Option<&str>| {
        authority.grant_for(&public(5), &partition("north"), &kind("inspection"), &intent("close"), time, person)
    };
    assert_eq!(pick(NOW + HOUR, None), Some(anna.id()));
    assert_eq!(pick(NOW + 9 * HOUR, None), Some(nils.id()));
    assert_eq!(pick(NOW + HOUR, Some("nils")), None);
    assert_eq!(pick(NOW + 8 * HOUR, Some("nils")), Some(nils.id()));
    assert_eq!(pick(NOW + 8 * HOUR, Some("anna")), Some(anna.id()));
    // Work says who acted; one person's time is not the other's.
    let at = |time_ms: u64, by: &Verified| authority.verdict(&Claim { time_ms, ..claim_under(5, "north", by) });
    assert_eq!(at(NOW + HOUR, &anna), accepted(&anna));
    assert_eq!(word(&at(NOW + HOUR, &nils)), ("masked", "not-yet"));
    assert_eq!(word(&at(NOW + 9 * HOUR, &anna)), ("masked", "expired"));
    let people = authority.people(&partition("north"));
    let mut names: Vec<&str> = people[&public(5)].iter().map(|member| member.person.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Anna Berg", "Nils Dahl"]);
    assert_eq!(authority.person(&anna.id()).unwrap().person.id, "anna");
    assert!(authority.people(&partition("south")).is_empty());
    let covers = |time: u64| authority.covers(&anna.id(), &kind("inspection"), &intent("close"), time);
    assert!(covers(NOW) && !covers(NOW + 9 * HOUR));
}

#[test]
fn devices_name_themselves_once_they_were_let_in() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let named = |device: u8, at: &str| Claim { kind: kind("device"), ..claim(device, at) };
    assert_eq!(word(&authority.verdict(&named(5, "north"))), ("pending", "no-grant"));
    assert_eq!(word(&authority.verdict(&named(1, "north"))), ("accepted", ""));
    let lapsed =
        Grant { not_before_ms: 0, not_after_ms: 1, kinds: Kinds::Named([kind("order")].into()), ..grant(5, "north") };
    authority.take(&world.grant(1, lapsed));
    authority.take(&world.delegate(1, delegation(6, partitions(&["south"]))));
    assert_eq!(word(&authority.verdict(&named(5, "north"))), ("accepted", ""));
    assert_eq!(word(&authority.verdict(&named(5, "south"))), ("pending", "no-grant"));
    assert_eq!(word(&authority.verdict(&named(6, "south"))), ("accepted", ""));
    assert_eq!(word(&authority.verdict(&named(6, "authority"))), ("accepted", ""));
    assert_eq!(word(&authority.verdict(&named(6, "north"))), ("pending", "no-grant"));
}

#[test]
fn people_see_how_they_stand_and_what_they_may_do() {
    let mut world = World::new(&[1, 2], 1);
    let mut authority = world.begun();
    let (five, north) = (public(5), partition("north"));
    assert_eq!(authority.standing(&five, &north, NOW), Standing::None);
    authority.take(&world.grant(1, grant(5, "north")));
    let until = NOW + 24 * HOUR;
    assert_eq!(authority.standing(&five, &north, NOW - 1), Standing::NotYet { from_ms: NOW });
    assert_eq!(authority.standing(&five, &north, until), Standing::Full { until_ms: until });
    assert_eq!(authority.standing(&five, &north, until + 1), Standing::ViewOnly { expired_ms: until });

    let check = |what: &str, now: u64| authority.check(&five, &north, &kind(what), &intent("close"), now);
    assert!(matches!(check("order", NOW), Check::Allowed { grant: Some(_) }));
    assert_eq!(check("device", until + 1), Check::Allowed { grant: None });
    let Check::Forbidden(why) = check("order", until + 1) else { panic!("it lapsed") };
    let text = why.to_string();
    for part in ["no grant in north", "Person 5", "ended 2025-10-10 08:53 UTC", "ask for a new one", "drafts are kept"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let Check::Forbidden(why) = check("access", NOW) else { panic!("5 grants nothing") };
    assert_eq!(why.code(), "no-authority");

    assert_eq!(authority.may_grant(&public(1), &north, NOW), MayGrant::Yes);
    assert_eq!(authority.may_grant(&five, &north, NOW), MayGrant::No);
    authority.take(&world.delegate(1, delegation(5, Scope::All)));
    assert_eq!(authority.may_grant(&five, &north, NOW), MayGrant::Yes);
    assert_eq!(authority.may_grant(&five, &north, until + 1), MayGrant::No);
    assert_eq!(authority.may_grant(&five, &partition("authority"), NOW), MayGrant::No);
    let mut strict = World::new(&[1, 2, 3], 2);
    assert_eq!(strict.begun().may_grant(&public(1), &north, NOW), MayGrant::WithRoots(1));
}
