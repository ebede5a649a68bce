//! Records and their scripts: what is written comes back, and everything else is refused with its place.

use crate::support::{NOW, World, delegation, grant, intent, kind, partition, partitions, public};
use access::limits::{MAX_KINDS, MAX_NAME_BYTES, MAX_PARTITIONS, MAX_RECORD_BYTES, MAX_ROOTS, NO_END};
use access::{Actions, Delegation, Genesis, Grant, Item, Kinds, Person, Record, RecordFault, Role, Scope};
use changeset::{Edit, Kind, Partition, Path, PublicKey, Script, Value, Verified};

fn records() -> Vec<Record> {
    let named = Grant {
        kinds: Kinds::Named([kind("order"), kind("inspection")].into()),
        actions: Actions::Named([intent("close"), intent("record_outcome")].into()),
        person: Person { id: "e-7@fjord".into(), name: "Åse Ødegård".into() },
        ..grant(5, "north")
    };
    vec![
        Record::Genesis(World::new(&[1, 2, 3], 2).genesis),
        Record::Delegation(delegation(4, Scope::All)),
        Record::Delegation(Delegation { may_delegate: false, ..delegation(4, partitions(&["south", "north"])) }),
        Record::Grant(Grant { not_after_ms: NO_END, ..grant(5, "north") }),
        Record::Grant(named),
    ]
}

fn edit(path: &str, value: impl Into<Value>) -> Edit {
    Edit::Put { path: Path::new(path).unwrap(), value: value.into() }
}

fn carrying(edits: Vec<Edit>) -> Result<Record, RecordFault> {
    let mut world = World::new(&[1], 1);
    Record::read(&world.write_script(1, "north", Script { reason: None, edits }, NOW))
}

#[test]
fn every_record_comes_back() {
    let mut world = World::new(&[1, 2], 1);
    for record in records() {
        let bytes = record.to_bytes().unwrap();
        assert_eq!(Record::from_bytes(&bytes), Ok(record.clone()));
        for endorsed in [&[][..], &[1], &[2, 1, 2]] {
            assert_eq!(Record::read(&world.write(1, "authority", &record, endorsed, NOW)), Ok(record.clone()));
        }
        let because = record.to_script(&[], Some("new season".into())).unwrap();
        assert_eq!(Record::read(&world.write_script(1, "north", because, NOW)), Ok(record));
    }
}

#[test]
fn an_unknown_type_is_kept_and_not_written() {
    // ["revocation", 7]
    let bytes = [&[0x82, 0x6a][..], b"revocation", &[0x07]].concat();
    let read = Record::from_bytes(&bytes).unwrap();
    assert_eq!(read, Record::Unknown { name: "revocation".into(), bytes });
    assert_eq!(read.to_bytes(), Err(RecordFault::CannotWrite));
    // A type that is no name is no type.
    assert_eq!(Record::from_bytes(&[0x81, 0x61, b'?']), Err(RecordFault::BadName(Item::Type)));
}

#[test]
fn what_breaks_a_rule_is_not_written() {
    let many = |count: usize| (0..count).map(|n| Partition::new(&format!("p{n}")).unwrap()).collect();
    let person = |id: &str, name: &str| Person { id: id.into(), name: name.into() };
    let genesis = World::new(&[1, 2], 1).genesis;
    let roots = |count: u8| (0..count).map(|n| PublicKey::from_bytes([n; 32])).collect();
    let most = usize::from(u8::try_from(MAX_ROOTS).unwrap());
    for (what, record) in [
        ("no roots", Record::Genesis(Genesis { roots: roots(0), ..genesis.clone() })),
        ("too many roots", Record::Genesis(Genesis { roots: roots(most as u8 + 1), ..genesis.clone() })),
        ("threshold 0", Record::Genesis(Genesis { threshold: 0, ..genesis.clone() })),
        ("threshold 3 of 2", Record::Genesis(Genesis { threshold: 3, ..genesis.clone() })),
        ("no name", Record::Genesis(Genesis { name: String::new(), ..genesis.clone() })),
        ("a time beyond", Record::Genesis(Genesis { time_ms: NO_END + 1, ..genesis.clone() })),
        ("nowhere", Record::Delegation(delegation(1, Scope::Named(many(0))))),
        ("too many partitions", Record::Delegation(delegation(1, Scope::Named(many(MAX_PARTITIONS + 1))))),
        ("a label of two lines", Record::Delegation(Delegation { label: "a\nb".into(), ..delegation(1, Scope::All) })),
        ("backwards", Record::Grant(Grant { not_after_ms: NOW - 1, ..grant(5, "north") })),
        ("beyond time", Record::Grant(Grant { not_after_ms: NO_END + 1, ..grant(5, "north") })),
        ("no kinds", Record::Grant(Grant { kinds: Kinds::Named([].into()), ..grant(5, "north") })),
        ("no actions", Record::Grant(Grant { actions: Actions::Named([].into()), ..grant(5, "north") })),
        ("a long name", Record::Grant(Grant { person: person("a", &"a".repeat(MAX_NAME_BYTES + 1)), ..grant(5, "n") })),
        ("a turned name", Record::Grant(Grant { person: person("a", "Anna\u{202e}"), ..grant(5, "n") })),
        ("an escape", Record::Grant(Grant { person: person("a", "\u{1b}[2J"), ..grant(5, "n") })),
        ("a hidden space", Record::Grant(Grant { person: person("anna\u{200b}", "Anna"), ..grant(5, "n") })),
        ("an outer space", Record::Grant(Grant { person: person("anna ", "Anna"), ..grant(5, "n") })),
    ] {
        assert!(record.to_bytes().is_err(), "{what}");
    }
    assert!(Record::Genesis(Genesis { roots: roots(most as u8), ..genesis }).to_bytes().is_ok());
    assert!(Record::Delegation(delegation(1, Scope::Named(many(MAX_PARTITIONS)))).to_bytes().is_ok());
    let kinds = (0..MAX_KINDS).map(|n| Kind::new(&format!("k{n}")).unwrap()).collect();
    assert!(Record::Grant(Grant { kinds: Kinds::Named(kinds), ..grant(5, "north") }).to_bytes().is_ok());
    for bad in ["", "Foreman", "7", "a b", &"a".repeat(33)] {
        assert!(Role::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_script_that_is_no_record_is_refused_with_its_place() {
    let bytes = Value::Bytes(Record::Grant(grant(5, "north")).to_bytes().unwrap());
    let world = World::new(&[1, 2], 1);
    let record = Record::Grant(grant(5, "north"));
    let endorsement = |root: u8| {
        let by = world.endorse(&record, &[root])[0];
        Value::Bytes([&by.root.as_bytes()[..], by.signature.as_bytes()].concat())
    };
    let mut roots = [1, 2];
    roots.sort_by_key(|root| public(*root));
    let [low, high] = roots.map(endorsement);
    let path = |text: &str| Path::new(text).unwrap();
    let one = || edit("record", bytes.clone());
    for (edits, fault) in [
        (vec![], RecordFault::Missing("record")),
        (vec![edit("grant", bytes.clone())], RecordFault::Missing("record")),
        (vec![edit("record", "text")], RecordFault::WrongType(path("record"))),
        (vec![Edit::Delete { path: path("record") }], RecordFault::NotAPut(path("record"))),
        (vec![one(), one()], RecordFault::Duplicate(path("record"))),
        (vec![one(), edit("note", "x")], RecordFault::Unexpected(path("note"))),
        (vec![one(), edit("endorsements/2", low.clone())], RecordFault::Unexpected(path("endorsements/2"))),
        (vec![one(), edit("endorsements/01", low.clone())], RecordFault::Unexpected(path("endorsements/01"))),
        (vec![one(), edit("endorsements/1", Value::Bytes(vec![0; 95]))], RecordFault::Unfit(path("endorsements/1"))),
        (
            vec![one(), edit("endorsements/1", Value::Bytes(vec![0; 97]))],
            RecordFault::TooLong { path: path("endorsements/1"), limit: 96 },
        ),
        (
            vec![edit("record", Value::Bytes(vec![0; MAX_RECORD_BYTES + 1]))],
            RecordFault::TooLong { path: path("record"), limit: MAX_RECORD_BYTES },
        ),
        (
            vec![one(), edit("endorsements/1", high.clone()), edit("endorsements/2", low.clone())],
            RecordFault::BadList(Item::Endorsements),
        ),
        (
            vec![one(), edit("endorsements/1", low.clone()), edit("endorsements/2", low.clone())],
            RecordFault::BadList(Item::Endorsements),
        ),
    ] {
        assert_eq!(carrying(edits), Err(fault));
    }
    assert!(carrying(vec![one(), edit("endorsements/1", low), edit("endorsements/2", high)]).is_ok());
}

#[test]
fn a_record_stands_by_itself() {
    let mut world = World::new(&[1], 1);
    let record = Record::Grant(grant(5, "north"));
    let first = world.write(1, "north", &record, &[], NOW);
    let mut author = world.author(1, "north");
    let mut draft = world.draft(record.to_script(&[], None).unwrap());
    draft.document = first.header().document.clone();
    let mut record = |parents: Vec<_>| -> Verified {
        let draft = changeset::Draft { parents, ..draft.clone() };
        author.record(draft, NOW).unwrap()
    };
    assert_eq!(Record::read(&record(vec![first.id()])), Err(RecordFault::HasParents));
    // What shares a document is a record of its own all the same: nobody else's change set can take its place.
    let second = record(vec![]);
    assert!(Record::read(&second).is_ok());
    let mut authority = world.begun();
    authority.take(&first);
    authority.take(&second);
    assert_eq!(authority.grants_of(&public(5), &partition("north")).count(), 2);
    draft.document.kind = kind("inspection");
    let other = world.author(1, "north").record(draft, NOW).unwrap();
    assert_eq!(Record::read(&other), Err(RecordFault::OtherKind(kind("inspection"))));
}

/// A grant in a log line, or in a test that fails, names the role.
#[test]
fn debug_output_names_the_role() {
    let grant = Grant { role: Role::new("foreman").unwrap(), ..grant(5, "north") };
    assert!(format!("{grant:?}").contains("\"foreman\""), "{grant:?}");
}
