//! Header faults: what contradicts what it names enters no set.

use crate::Partition;
use crate::entry::{Entry, read_signed};
use crate::tests::edits::path;
use crate::tests::histories::{NORTH, name};
use changeset::{
    Author, Body, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Header, Incarnation, IntentName, Kind, Script,
    SeededEntropy, Value, Verified, WorkspaceId,
};
use std::sync::Arc;

const WORKSPACE: [u8; 32] = [1; 32];

fn author(device: u8) -> Author {
    let key = Arc::new(DeviceKey::from_secret(&[device; 32]));
    let entropy = Box::new(SeededEntropy::new(u64::from(device)));
    Author::new(key, WorkspaceId::from_bytes(WORKSPACE), name(NORTH), Incarnation::from_bytes([device; 8]), entropy)
}

fn key(number: u8) -> DocumentKey {
    DocumentKey { kind: Kind::new("inspection").unwrap(), id: DocumentId::from_parts(1, [number; 10]) }
}

fn write(author: &mut Author, document: u8) -> Verified {
    let edits = vec![Edit::Put { path: path("status"), value: Value::Bool(true) }];
    let draft = Draft {
        document: key(document),
        parents: vec![],
        grant: None,
        schema_version: 0,
        intent: IntentName::new("edit").unwrap(),
        group: None,
        script: Script { reason: None, edits },
    };
    author.record(draft, 1000).unwrap()
}

/// As it is read from its signed form.
fn read(author: &Author, entry: &Verified) -> Entry {
    read_signed(&WORKSPACE, NORTH, &author.sign(entry).unwrap().to_bytes().unwrap()).unwrap()
}

fn admitted(entries: &[Entry]) -> Result<(usize, usize), &'static str> {
    let mut set = Partition::empty(WORKSPACE, NORTH.to_owned());
    set.admit(entries.to_vec()).map_err(|refused| refused.reason())?;
    Ok((set.ids().count(), set.waiting().count()))
}

#[test]
fn what_contradicts_the_header_that_it_names_enters_no_set() {
    let (mut one, mut two) = (author(1), author(2));
    let (first, other) = (write(&mut one, 1), write(&mut two, 1));
    let body = |entry: &Verified| -> Body { entry.body().clone() };
    let template = Header { sequence: 2, previous: Some(first.id()), ..first.header().clone() };
    let mut after = |header: Header| {
        let entry = one.danger_append(header, body(&first));
        read(&one, &entry)
    };
    let holds = after(template.clone());
    let faults = [
        ("previous is of another actor", after(Header { previous: Some(other.id()), ..template.clone() })),
        ("sequence does not follow that of previous", after(Header { sequence: 3, ..template.clone() })),
        ("time below that of previous", after(Header { time: 999, ..template.clone() })),
        ("parent of another document", after(Header { document: key(2), parents: vec![other.id()], ..template })),
    ];
    let (first, other) = (read(&one, &first), read(&two, &other));
    assert_eq!(admitted(&[first.clone(), other.clone(), holds.clone()]), Ok((3, 0)));
    assert_eq!(admitted(&[holds.clone(), other.clone()]), Ok((1, 1)));
    assert_eq!(admitted(&[holds.clone(), other.clone(), first.clone(), holds]), Ok((3, 0)));
    for (reason, fault) in faults {
        assert_eq!(admitted(&[first.clone(), other.clone(), fault.clone()]), Err(reason));
        // Also where it waited before.
        assert_eq!(admitted(&[fault, other.clone(), first.clone()]), Err(reason));
    }
}
