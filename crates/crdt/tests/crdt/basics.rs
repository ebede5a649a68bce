//! What a person would try first.

use crate::support::{Replica, checked_digest, key, path};
use changeset::Value;
use crdt::{Edits, Rule, State};

#[test]
fn concurrent_values_are_all_kept_and_the_latest_is_shown() {
    let document = key(1);
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    ana.edit(&document, |tx| tx.put(&path("status"), "draft".into()).unwrap());
    ana.send_all_to(&mut ben);
    ana.edit(&document, |tx| tx.put(&path("status"), "pass".into()).unwrap());
    ben.now += 1000;
    let late = ben.edit(&document, |tx| tx.put(&path("status"), "fail".into()).unwrap());
    ana.send_all_to(&mut ben);
    ben.send_all_to(&mut ana);
    let conflicts = ana.partition.document(&document).unwrap().conflicts();
    assert_eq!(conflicts.len(), 1);
    assert_eq!((conflicts[0].rule, conflicts[0].shown.clone()), (Rule::LastWriter, Some("fail".into())));
    assert_eq!(conflicts[0].contenders.len(), 2);
    assert_eq!(conflicts[0].contenders[0].change_set, late.id());
    assert_eq!(checked_digest(&mut ana.partition), checked_digest(&mut ben.partition));
}

#[test]
fn counters_add_up_and_texts_merge() {
    let document = key(1);
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    ana.edit(&document, |tx| {
        tx.put(&path("picked"), Value::Counter(0)).unwrap();
        tx.insert_text(&path("note"), 0, "door 😀 jams").unwrap();
    });
    ana.send_all_to(&mut ben);
    ana.edit(&document, |tx| {
        tx.increment(&path("picked"), 5).unwrap();
        tx.insert_text(&path("note"), 0, "front ").unwrap();
        assert_eq!(tx.value(&path("picked")), Some(Value::Counter(5)));
        assert_eq!(tx.text(&path("note")).unwrap(), "front door 😀 jams");
    });
    ben.edit(&document, |tx| {
        tx.increment(&path("picked"), 2).unwrap();
        tx.delete_text(&path("note"), 5, 2).unwrap();
        tx.insert_text(&path("note"), 9, "!").unwrap();
    });
    ana.send_all_to(&mut ben);
    ben.send_all_to(&mut ana);
    for replica in [&ana, &ben] {
        assert_eq!(replica.value(&document, "picked"), Some(Value::Counter(7)));
        assert_eq!(replica.text(&document, "note"), "front door jams!");
    }
    assert_eq!(checked_digest(&mut ana.partition), checked_digest(&mut ben.partition));
}
