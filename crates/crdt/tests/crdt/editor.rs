//! Updates of attached text editors: what is strictly one editor's work is recorded, all else is refused.

use crate::support::{Replica, key, path};
use crdt::yjs::{YContent, YId, YItem, YRange, YUpdate};
use crdt::{EditError, Edits, State};

const EDITOR: u64 = 77;

fn typed(clock: u32, content: YContent) -> YItem {
    let field = Some("findings".into());
    YItem { id: YId { client: EDITOR, clock }, left: None, right: None, field, content }
}

/// The client id of the only one who wrote so far.
fn client(replica: &Replica) -> u64 {
    replica.partition.document(&key(1)).unwrap().yrs_clients()[0].1
}

fn attach(replica: &mut Replica, update: &YUpdate) -> Result<(), EditError> {
    replica.partition.transact(&mut replica.author, &key(1), 2_000).apply_editor_update(&update.encode())
}

/// Text that an editor typed and took back in one step is recorded as so many placeholders. An update of ten bytes could
/// name four billion of them, and writing them out took 12 GB.
#[test]
fn an_editors_update_longer_than_a_body_is_refused() {
    let mut ana = Replica::new(0);
    ana.edit(&key(1), |tx| tx.insert_text(&path("findings"), 0, "door jams").unwrap());
    let gone = YUpdate { items: vec![typed(0, YContent::Tombstone(u32::MAX))], deletes: Vec::new() };
    assert!(matches!(attach(&mut ana, &gone), Err(EditError::BadUpdate { .. })));
    let text = "x".repeat(changeset::limits::MAX_BODY_BYTES);
    let long = YUpdate { items: vec![typed(0, YContent::Text(text))], deletes: Vec::new() };
    assert!(matches!(attach(&mut ana, &long), Err(EditError::BadUpdate { .. })));
    let many = (0..5).map(|n| typed(n * 80_000, YContent::Tombstone(80_000))).collect();
    let many = YUpdate { items: many, deletes: Vec::new() };
    assert!(matches!(attach(&mut ana, &many), Err(EditError::BadUpdate { .. })));
    assert_eq!(ana.text(&key(1), "findings"), "door jams");
}

/// A deletion of text that the editor never typed ran past the end of 32 bits when its clocks became ours.
#[test]
fn an_editors_deletion_of_what_it_never_typed_is_refused() {
    let mut ana = Replica::new(0);
    ana.edit(&key(1), |tx| tx.insert_text(&path("findings"), 0, "door jams").unwrap());
    for (clock, len) in [(u32::MAX - 1, 1), (1, 1), (0, 2)] {
        let deletes = vec![YRange { id: YId { client: EDITOR, clock }, len }];
        let update = YUpdate { items: vec![typed(0, YContent::Text("x".into()))], deletes };
        assert!(matches!(attach(&mut ana, &update), Err(EditError::BadUpdate { .. })), "{clock} {len}");
    }
    let deletes = vec![YRange { id: YId { client: EDITOR, clock: 0 }, len: 1 }];
    let update = YUpdate { items: vec![typed(0, YContent::Text("xy".into()))], deletes };
    ana.edit(&key(1), |tx| {
        tx.apply_editor_update(&update.encode()).unwrap();
        assert_eq!(tx.text(&path("findings")).unwrap().len(), "ydoor jams".len());
    });
}

/// Clocks count on through all texts of a document, so an editor that deletes the end of one text and the start of the
/// next sends one range. It was recorded as a deletion in the first text, and then counted nowhere but at its author.
#[test]
fn an_editors_deletion_through_two_texts_counts_in_both() {
    let mut ana = Replica::new(0);
    ana.edit(&key(1), |tx| {
        tx.insert_text(&path("findings"), 0, "ab").unwrap();
        tx.insert_text(&path("note"), 0, "cd").unwrap();
    });
    let id = YId { client: client(&ana), clock: 1 };
    let update = YUpdate { items: Vec::new(), deletes: vec![YRange { id, len: 2 }] };
    ana.edit(&key(1), |tx| tx.apply_editor_update(&update.encode()).unwrap());
    let mut ben = Replica::new(1);
    ana.send_all_to(&mut ben);
    for replica in [&ana, &ben] {
        assert_eq!([replica.text(&key(1), "findings"), replica.text(&key(1), "note")], ["a", "d"]);
    }
}

/// A script names whole characters of one text. What names half of a surrogate pair, or two texts at once, showed at its
/// author as Yrs took it, and otherwise or not at all everywhere else.
#[test]
fn an_editors_update_that_no_script_can_say_is_refused() {
    let mut ana = Replica::new(0);
    ana.edit(&key(1), |tx| {
        tx.insert_text(&path("findings"), 0, "x😀y").unwrap();
        tx.insert_text(&path("note"), 0, "ab").unwrap();
    });
    let client = client(&ana);
    let at = |clock| YId { client, clock };
    let item = |left, right| YItem { left, right, field: None, ..typed(0, YContent::Text("z".into())) };
    let insert = |left, right| YUpdate { items: vec![item(left, right)], deletes: Vec::new() };
    let delete = |clock, len| YUpdate { items: Vec::new(), deletes: vec![YRange { id: at(clock), len }] };
    let refused = [
        insert(Some(at(1)), None),
        insert(None, Some(at(2))),
        insert(Some(at(3)), Some(at(4))),
        delete(1, 1),
        delete(2, 2),
    ];
    for update in refused {
        assert!(matches!(attach(&mut ana, &update), Err(EditError::BadUpdate { .. })), "{update:?}");
    }
    for update in [insert(Some(at(2)), Some(at(3))), delete(1, 2)] {
        attach(&mut ana, &update).unwrap();
    }
}

/// The refusal is read by people: it says in words what the editor sent, not by the number that stands for it.
#[test]
fn a_refusal_of_an_editors_update_names_what_was_sent() {
    let mut ana = Replica::new(0);
    ana.edit(&key(1), |tx| tx.insert_text(&path("findings"), 0, "door jams").unwrap());
    let mut problem = |update: &[u8]| {
        let result = ana.partition.transact(&mut ana.author, &key(1), 2_000).apply_editor_update(update);
        result.unwrap_err().to_string()
    };
    let nameless = YItem { field: Some("Not a path!".into()), ..typed(0, YContent::Text("x".into())) };
    let nameless = YUpdate { items: vec![nameless], deletes: Vec::new() };
    assert!(problem(&nameless.encode()).contains("\"Not a path!\" names no text"));
    for (content, words) in [(2, "value"), (5, "embedded"), (6, "formatting"), (7, "nested"), (8, "value")] {
        // One section of one struct, under a root name.
        let said = problem(&[1, 1, EDITOR as u8, 0, content, 1, 1, b'a', 0, 0, 0]);
        assert!(said.contains(words) && said.contains("not plain text"), "{content}: {said}");
    }
}
