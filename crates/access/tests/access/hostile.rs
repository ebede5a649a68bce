//! Whatever a hostile author signs: never a panic, and what is read is canonical.

use crate::support::{NOW, World, claim_of, claim_under, delegation, grant, partitions};
use access::{Grant, Kinds, Record, RecordFault, Scope, Verdict};
use changeset::{Body, Edit, FORMAT_PLAIN, Header, IntentName, Path, Script, Value, Verified};
use proptest::collection::vec;
use proptest::prelude::*;

fn samples() -> Vec<Record> {
    vec![
        Record::Genesis(World::new(&[1, 2, 3], 2).genesis),
        Record::Delegation(delegation(4, partitions(&["north", "south"]))),
        Record::Delegation(delegation(4, Scope::All)),
        Record::Grant(Grant { kinds: Kinds::Named([crate::support::kind("order")].into()), ..grant(5, "north") }),
    ]
}

fn canonical(bytes: &[u8]) {
    match Record::from_bytes(bytes) {
        Ok(Record::Unknown { bytes: kept, .. }) => assert_eq!(kept, bytes),
        Ok(record) => assert_eq!(record.to_bytes().unwrap(), bytes),
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

#[test]
fn every_bit_and_every_length_of_a_record() {
    for record in samples() {
        let bytes = record.to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..end]).is_err());
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutated = bytes.clone();
                mutated[at] ^= 1 << bit;
                canonical(&mutated);
            }
            for byte in [0x00, 0x1b, 0x5f, 0x7f, 0x9b, 0xbf, 0xf6, 0xff] {
                let mut mutated = bytes.clone();
                mutated[at] = byte;
                canonical(&mutated);
                mutated.insert(at, byte);
                canonical(&mutated);
                mutated.remove(at);
                mutated.remove(at);
                canonical(&mutated);
            }
        }
        assert!(Record::from_bytes(&[&bytes[..], &[0xf6]].concat()).is_err());
    }
}

#[test]
fn every_bit_of_a_carried_record_is_judged() {
    let mut world = World::new(&[1, 2, 3], 2);
    let record = Record::Grant(grant(5, "north"));
    let (skeleton, values) = record.to_script(&world.endorse(&record, &[1, 3]), None).unwrap().split();
    let skeleton = skeleton.to_bytes();
    let mut authority = world.begun();
    let mut try_one = |skeleton: Vec<u8>, values: Vec<Vec<u8>>| {
        let written = append(&mut world, skeleton, values);
        authority.take(&written);
        let verdict = authority.verdict(&claim_of(&written));
        assert!(verdict.why().is_none_or(|why| !why.to_string().is_empty()));
        let _ = authority.verdict(&claim_under(5, "north", &written));
        let _ = authority.admit_record(&written, NOW);
        verdict.is_accepted()
    };
    for (value, at) in values.iter().enumerate().flat_map(|(value, bytes)| (0..bytes.len()).map(move |at| (value, at)))
    {
        let mut mutated = values.clone();
        mutated[value][at] ^= 1 << (at % 8);
        assert!(!try_one(skeleton.clone(), mutated), "byte {at} of value {value}");
    }
    for at in 0..skeleton.len() {
        for bit in 0..8 {
            let mut mutated = skeleton.clone();
            mutated[at] ^= 1 << bit;
            assert!(!try_one(mutated, values.clone()), "byte {at} of the skeleton");
        }
    }
    assert!(try_one(skeleton, values));
}

/// As a hostile author would: nothing is checked.
fn append(world: &mut World, skeleton: Vec<u8>, values: Vec<Vec<u8>>) -> Verified {
    let mut author = world.author(4, "north");
    let document = world.draft(Script::default()).document;
    let body = Body::new(1, IntentName::new("admit").unwrap(), None, skeleton, [5; 16], values);
    let header = Header {
        format: FORMAT_PLAIN,
        sequence: 1,
        previous: None,
        document,
        parents: vec![],
        time: NOW,
        grant: None,
        body_hash: body.hash(),
        body_length: body.to_bytes().len() as u64,
    };
    author.danger_append(header, body)
}

/// The commitment covers the value, so nobody but the author can do this, and nobody can mend it.
#[test]
fn a_value_of_another_length_than_the_script_says_is_no_record() {
    let mut world = World::new(&[1], 1);
    let (skeleton, values) = Record::Grant(grant(5, "north")).to_script(&[], None).unwrap().split();
    let (longer, _) = Record::Grant(grant(5, "north-7")).to_script(&[], None).unwrap().split();
    assert_ne!(skeleton, longer);
    let body = Body::new(1, IntentName::new("admit").unwrap(), None, longer.to_bytes(), [5; 16], values);
    let honest = append(&mut world, skeleton.to_bytes(), vec![vec![]]);
    let header = Header { body_hash: body.hash(), body_length: body.whole_length(&longer), ..honest.header().clone() };
    let written = world.author(1, "north").danger_append(header, body);
    assert!(written.skeleton().is_ok());
    assert_eq!(Record::read(&written), Err(RecordFault::Unfit(Path::new("record").unwrap())));
}

#[test]
fn what_cannot_be_read_is_invalid_and_what_is_newer_waits() {
    let mut world = World::new(&[1], 1);
    let mut authority = world.begun();
    let unreadable = append(&mut world, vec![0xff], vec![]);
    authority.take(&unreadable);
    assert!(matches!(authority.verdict(&claim_of(&unreadable)), Verdict::Invalid(_)));
    let header = Header { format: 2, ..unreadable.header().clone() };
    let newer = world.author(4, "north").danger_append(header, unreadable.body().clone());
    authority.take(&newer);
    assert!(matches!(authority.verdict(&claim_of(&newer)), Verdict::Pending(why) if why.code() == "newer-format"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), kind in 0_usize..4, cut in 0_usize..60) {
        canonical(&bytes);
        // The start of a true record, then anything.
        let sample = samples()[kind].to_bytes().unwrap();
        canonical(&[&sample[..cut.min(sample.len())], &bytes].concat());
    }

    #[test]
    fn any_script_is_judged(paths in vec("(record|endorsements/[0-9]{1,2}|x)", 0..6), sizes in vec(0_usize..120, 6)) {
        let mut world = World::new(&[1], 1);
        let mut authority = world.begun();
        let put = |(path, size): (&String, &usize)| Edit::Put {
            path: Path::new(path).unwrap(),
            value: Value::Bytes(vec![0x81; *size]),
        };
        let edits = paths.iter().zip(&sizes).map(put).collect();
        let written = world.write_script(4, "north", Script { reason: None, edits }, NOW);
        authority.take(&written);
        prop_assert!(!authority.verdict(&claim_of(&written)).is_accepted());
    }
}
