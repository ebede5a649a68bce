//! Which records count: roots, endorsements, chains of delegations.

use crate::support::{HOUR, NOW, World, claim_of, delegation, grant, key, partitions, public, word};
use access::{Authority, Delegation, Endorsement, Grant, Record, Scope, Taken, Why};
use changeset::{Signature, Verified};

fn taken(world: &mut World, records: &[&Verified]) -> Authority {
    let mut authority = world.begun();
    for record in records {
        authority.take(record);
    }
    authority
}

fn verdict(authority: &Authority, record: &Verified) -> (&'static str, &'static str) {
    word(&authority.verdict(&claim_of(record)))
}

#[test]
fn a_single_root_grants_alone() {
    let mut world = World::new(&[1, 2], 1);
    let of_root = world.grant(2, grant(5, "north"));
    let of_nobody = world.grant(4, grant(5, "north"));
    let authority = taken(&mut world, &[&of_root, &of_nobody]);
    assert_eq!(verdict(&authority, &of_root), ("accepted", ""));
    assert_eq!(verdict(&authority, &of_nobody), ("pending", "no-authority"));
}

#[test]
fn two_of_three_roots_must_agree() {
    let mut world = World::new(&[1, 2, 3], 2);
    let record = Record::Grant(grant(5, "north"));
    let mut by = |author: u8, endorsed: &[u8]| {
        let written = world.write(author, "north", &record, endorsed, NOW);
        let authority = taken(&mut world, &[&written]);
        verdict(&authority, &written)
    };
    assert_eq!(by(4, &[1, 3]), ("accepted", ""));
    assert_eq!(by(2, &[3]), ("accepted", ""), "the author is one of the two");
    assert_eq!(by(2, &[]), ("masked", "too-few-roots"));
    assert_eq!(by(2, &[2]), ("masked", "too-few-roots"), "one root does not count twice");
    assert_eq!(by(4, &[1]), ("masked", "too-few-roots"));
    assert_eq!(by(4, &[1, 6]), ("masked", "too-few-roots"), "6 is no root");
    assert_eq!(by(4, &[6, 7]), ("pending", "no-authority"));
}

#[test]
fn forged_endorsements_count_for_nothing() {
    let mut world = World::new(&[1, 2, 3], 2);
    let record = Record::Grant(grant(5, "north"));
    let other = Record::Grant(grant(5, "south"));
    let honest = world.endorse(&record, &[1, 2]);
    let elsewhere = World::new(&[1, 2], 1);
    let mut flipped = *honest[1].signature.as_bytes();
    flipped[40] ^= 1;
    let forged = [
        ("by another key", Endorsement { root: public(2), ..world.endorse(&record, &[6])[0] }),
        ("of another record", world.endorse(&other, &[2])[0]),
        ("of another workspace", elsewhere.endorse(&record, &[2])[0]),
        ("one bit off", Endorsement { signature: Signature::from_bytes(flipped), ..honest[1] }),
        ("zeros", Endorsement { root: public(2), signature: Signature::from_bytes([0; 64]) }),
    ];
    for (what, forged) in forged {
        let script = record.to_script(&[honest[0], forged], None).unwrap();
        let written = world.write_script(4, "north", script, NOW);
        let authority = taken(&mut world, &[&written]);
        assert_eq!(verdict(&authority, &written), ("masked", "too-few-roots"), "{what}");
    }
    // What was endorsed for one partition opens no other.
    let script = record.to_script(&honest, None).unwrap();
    let moved = world.write_script(4, "south", script, NOW);
    assert_eq!(verdict(&taken(&mut world, &[&moved]), &moved), ("masked", "wrong-partition"));
}

#[test]
fn a_chain_of_delegations_reaches_a_grant() {
    let mut world = World::new(&[1], 1);
    let first = world.delegate(1, delegation(2, partitions(&["north", "south"])));
    let second = world.delegate(2, delegation(3, partitions(&["north"])));
    let third = world.delegate(3, Delegation { may_delegate: false, ..delegation(4, partitions(&["north"])) });
    let given = world.grant(4, grant(5, "north"));
    let elsewhere = world.grant(4, grant(5, "south"));
    // From the end to the beginning: nothing counts before the genesis, then all of it at once.
    let mut authority = world.authority();
    for record in [&given, &elsewhere, &third, &second, &first] {
        assert!(matches!(authority.take(record), Taken::Kept(Why::NoGenesis { .. })));
    }
    let mut chain = vec![given.id(), third.id(), second.id(), first.id()];
    chain.sort();
    assert_eq!(authority.take(&world.genesis()), Taken::Counts { also: chain });
    assert_eq!(verdict(&authority, &given), ("accepted", ""));
    assert_eq!(verdict(&authority, &elsewhere), ("masked", "delegation-elsewhere"));
}

#[test]
fn a_delegation_never_lets_out_more_than_it_has() {
    let mut world = World::new(&[1], 1);
    let from = world.delegate(1, delegation(2, partitions(&["north", "south"])));
    let all = delegation(3, Scope::All);
    let refused = [
        ("delegation-elsewhere", delegation(3, partitions(&["north", "west"]))),
        ("delegation-elsewhere", delegation(3, partitions(&["authority"]))),
        ("delegation-elsewhere", all.clone()),
        ("outlasts", Delegation { not_after_ms: NOW + 25 * HOUR, ..delegation(3, partitions(&["north"])) }),
        ("outlasts", Delegation { not_before_ms: NOW - 1, ..delegation(3, partitions(&["north"])) }),
    ];
    for (code, wanted) in refused {
        let wider = world.delegate(2, wanted);
        assert_eq!(verdict(&taken(&mut world, &[&from, &wider]), &wider), ("masked", code));
    }
    // All partitions are all but `authority`.
    let everything = world.delegate(1, Delegation { to: public(2), ..all.clone() });
    let same = world.delegate(2, all);
    let authority_itself = world.delegate(2, delegation(3, partitions(&["authority"])));
    let authority = taken(&mut world, &[&everything, &same, &authority_itself]);
    assert_eq!(verdict(&authority, &same), ("accepted", ""));
    assert_eq!(verdict(&authority, &authority_itself), ("masked", "delegation-elsewhere"));

    let last = world.delegate(1, Delegation { may_delegate: false, ..delegation(2, Scope::All) });
    let further = world.delegate(2, delegation(3, partitions(&["north"])));
    assert_eq!(verdict(&taken(&mut world, &[&last, &further]), &further), ("masked", "may-not-delegate"));
}

#[test]
fn a_delegation_holds_for_records_of_its_time() {
    let mut world = World::new(&[1], 1);
    let from = world.delegate(1, delegation(2, partitions(&["north"])));
    for (time, wanted) in [
        (NOW - 1, ("masked", "delegation-not-yet")),
        (NOW, ("accepted", "")),
        (NOW + 24 * HOUR, ("accepted", "")),
        (NOW + 24 * HOUR + 1, ("masked", "delegation-expired")),
    ] {
        let given = world.write(2, "north", &Record::Grant(grant(5, "north")), &[], time);
        let further =
            world.write(2, "authority", &Record::Delegation(delegation(3, partitions(&["north"]))), &[], time);
        let authority = taken(&mut world, &[&from, &given, &further]);
        assert_eq!(verdict(&authority, &given), wanted);
        assert_eq!(verdict(&authority, &further), wanted);
    }
}

#[test]
fn a_circle_of_delegations_carries_nobody() {
    let mut world = World::new(&[1], 1);
    let circle = [(2, 3), (3, 4), (4, 2)].map(|(by, to)| world.delegate(by, delegation(to, Scope::All)));
    let given = world.grant(3, grant(5, "north"));
    let mut authority = taken(&mut world, &[&circle[0], &circle[1], &circle[2], &given]);
    for record in circle.iter().chain([&given]) {
        assert_eq!(verdict(&authority, record), ("pending", "no-authority"));
    }
    // A root in the circle carries it.
    let entry = world.delegate(1, delegation(3, Scope::All));
    let Taken::Counts { also } = authority.take(&entry) else { panic!("it counts") };
    assert_eq!(also.len(), 4);
}

#[test]
fn a_wider_delegation_that_comes_later_lifts_the_mask() {
    let mut world = World::new(&[1], 1);
    let narrow = world.delegate(1, delegation(2, partitions(&["south"])));
    let given = world.grant(2, grant(5, "north"));
    let mut authority = taken(&mut world, &[&narrow, &given]);
    assert_eq!(verdict(&authority, &given), ("masked", "delegation-elsewhere"));
    let wide = world.delegate(1, delegation(2, Scope::All));
    assert_eq!(authority.take(&wide), Taken::Counts { also: vec![given.id()] });
    assert_eq!(authority.take(&wide), Taken::Known);
}

#[test]
fn only_its_own_genesis_begins_a_workspace() {
    let mut world = World::new(&[1], 1);
    let mut other = World::new(&[1, 2], 1);
    other.workspace = world.workspace;
    let foreign = other.genesis();
    let misplaced = world.write(1, "north", &Record::Genesis(world.genesis.clone()), &[], NOW);
    let mut authority = world.authority();
    assert!(matches!(authority.take(&foreign), Taken::Kept(Why::OtherGenesis { .. })));
    assert!(matches!(authority.take(&misplaced), Taken::Kept(Why::OutsideAuthority { .. })));
    assert!(authority.genesis().is_none());
    // A change set of another workspace is not even kept.
    let elsewhere = World::new(&[3], 1).genesis();
    assert_eq!(authority.take(&elsewhere), Taken::Ignored);
    let (first, second) = (world.genesis(), world.genesis());
    authority.take(&first);
    assert_eq!(authority.take(&second), Taken::Counts { also: vec![] }, "whoever carries it");
    assert_eq!(authority.genesis(), Some(&world.genesis));
}

#[test]
fn a_record_without_its_values_waits_for_them() {
    let mut world = World::new(&[1, 2], 2);
    let record = Record::Grant(grant(5, "north"));
    let script = record.to_script(&world.endorse(&record, &[2]), Some("for the storm".into())).unwrap();
    let whole = world.write_script(1, "north", script, NOW);
    let mut authority = taken(&mut world, &[]);
    for missing in [2, 1] {
        assert!(matches!(authority.take(&whole.redact(&[missing])), Taken::Kept(_) | Taken::Known));
        assert_eq!(verdict(&authority, &whole), ("pending", "value-missing"));
    }
    assert_eq!(authority.take(&whole), Taken::Counts { also: vec![] });
    assert_eq!(authority.take(&whole.redact(&[1])), Taken::Known);
    assert_eq!(verdict(&authority, &whole), ("accepted", ""));
    // Which copy came first does not show, in the reason either.
    let verdicts = [[1, 2], [2, 1]].map(|order| {
        let copies = order.map(|missing| whole.redact(&[missing]));
        taken(&mut world, &[&copies[0], &copies[1]]).verdict(&claim_of(&whole))
    });
    assert_eq!(verdicts[0], verdicts[1]);
    // The reason is not part of the record: it may go.
    let mut authority = taken(&mut world, &[&whole.redact(&[0])]);
    assert_eq!(verdict(&authority, &whole), ("accepted", ""));
    assert_eq!(authority.take(&whole), Taken::Known);
}

#[test]
fn a_long_chain_is_no_recursion() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let links: Vec<Verified> = (1..200).map(|by| world.delegate(by, delegation(by + 1, Scope::All))).collect();
    let (first, rest) = links.split_first().unwrap();
    for link in rest {
        authority.take(link);
    }
    let Taken::Counts { also } = authority.take(first) else { panic!("it counts") };
    assert_eq!(also.len(), rest.len());
}

#[test]
fn an_endorsement_is_a_signature_over_workspace_and_record() {
    let world = World::new(&[1], 1);
    let record = Record::Grant(Grant { ..grant(5, "north") });
    let endorsement = Endorsement::sign(&world.workspace, &record, &*key(1)).unwrap();
    let message = [&world.workspace.as_bytes()[..], &record.to_bytes().unwrap()].concat();
    let said = changeset::hash::statement("fieldbook v1 endorsement", &message);
    assert!(public(1).has_signed(&said, &endorsement.signature));
}
