//! What an application is promised, one promise each.

use crate::support::{Random, Replica, WORKSPACE, author, checked_digest, empty, intent, key, partition_name, path};
use changeset::*;
use crdt::{Commit, CursorSide, EditError, Edits, HeaderFault, Judgement, Partition, SnapshotUse, Standing, State};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yrs::updates::decoder::Decode;
use yrs::{ClientID, Doc, GetString, Map, OffsetKind, Options, ReadTxn, StateVector, Text, Transact, Update};

const FIELD: &str = "findings";

fn field() -> Path {
    path(FIELD)
}

fn document(partition: &Partition) -> &crdt::Document {
    partition.document(&key(1)).unwrap()
}

fn insert(replica: &mut Replica, position: usize, text: &str) -> Verified {
    replica.edit(&key(1), |tx| tx.insert_text(&field(), position, text).unwrap())
}

fn text(replica: &Replica) -> String {
    replica.text(&key(1), FIELD)
}

fn exchange(one: &mut Replica, other: &mut Replica) {
    one.send_all_to(other);
    other.send_all_to(one);
    assert_eq!(checked_digest(&mut one.partition), checked_digest(&mut other.partition));
}

fn masking(ids: impl IntoIterator<Item = ChangeSetId>) -> Judgement {
    Judgement { mask: ids.into_iter().collect(), ..Judgement::default() }
}

// Heads and parents

#[test]
fn many_heads_are_merged_by_change_sets_that_name_at_most_32() {
    for heads in [33_u8, 40, 70, 120] {
        let mut reader = Replica::new(200);
        for device in 0..heads {
            let mut writer = Replica::new(device);
            insert(&mut writer, 0, &char::from(b'a' + device % 26).to_string());
            writer.edit(&key(1), |tx| tx.put(&path(&format!("items/{device}/.")), true.into()).unwrap());
            writer.send_all_to(&mut reader);
        }
        assert_eq!(document(&reader.partition).heads().len(), usize::from(heads));
        let before = reader.partition.log().entries().len();
        let last = reader.edit(&key(1), |tx| tx.put(&path("status"), "merged".into()).unwrap());
        let written = &reader.partition.log().entries()[before..];
        assert!(written.len() > 1 && written.iter().all(|entry| entry.header().parents.len() <= 32));
        let merges = &written[..written.len() - 1];
        assert!(merges.iter().all(|entry| entry.skeleton().unwrap().ops.is_empty()));
        assert!(merges.iter().all(|entry| entry.body().intent == intent("merge")));
        assert_eq!(document(&reader.partition).heads(), [last.id()]);
        assert_eq!(text(&reader).len(), usize::from(heads));
        assert_eq!(document(&reader.partition).paths("items/").len(), usize::from(heads));
        let mut other = Replica::new(201);
        exchange(&mut reader, &mut other);
    }
}

#[test]
fn text_typed_over_more_than_32_heads_is_read_by_everybody() {
    let mut reader = Replica::new(200);
    for device in 0..40 {
        let mut writer = Replica::new(device);
        insert(&mut writer, 0, "x");
        writer.send_all_to(&mut reader);
    }
    insert(&mut reader, 20, "middle");
    assert_eq!(text(&reader), format!("{}middle{}", "x".repeat(20), "x".repeat(20)));
    insert(&mut reader, 26, "!");
    let mut other = Replica::new(201);
    exchange(&mut reader, &mut other);
    assert_eq!(text(&other), format!("{}middle!{}", "x".repeat(20), "x".repeat(20)));
}

#[test]
fn parents_are_the_other_heads_that_count() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let first = insert(&mut ana, 0, "a");
    ana.send_all_to(&mut ben);
    let second = insert(&mut ben, 1, "b");
    assert_eq!(second.header().parents, [first.id()]);
    let third = insert(&mut ana, 1, "c");
    assert!(third.header().parents.is_empty(), "the own last change set is implied");
    exchange(&mut ana, &mut ben);
    assert_eq!(document(&ana.partition).heads().len(), 2);
    let fourth = insert(&mut ana, 0, "d");
    assert_eq!(fourth.header().parents, [second.id()]);
    assert_eq!(document(&ana.partition).heads(), [fourth.id()]);
}

// Waiting and refusing

#[test]
fn what_lacks_something_waits_and_says_what_it_lacks() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let first = insert(&mut ana, 0, "a");
    let second = insert(&mut ana, 1, "b");
    ana.send_all_to(&mut ben);
    let third = insert(&mut ben, 2, "c");
    let fourth = insert(&mut ben, 3, "d");
    ben.send_all_to(&mut ana);

    let mut late = empty();
    let waiting = |late: &Partition| -> BTreeMap<ChangeSetId, Vec<ChangeSetId>> {
        late.waiting().into_iter().map(|one| (one.id, one.missing)).collect()
    };
    for _ in 0..2 {
        let applied = late.apply([fourth.clone(), third.clone(), second.clone()]);
        assert!(applied.accepted.is_empty() && applied.refused.is_empty() && applied.changes.is_empty());
    }
    let lacks = [(fourth.id(), vec![third.id()]), (third.id(), vec![second.id()]), (second.id(), vec![first.id()])];
    assert_eq!(waiting(&late), lacks.into());
    assert!(late.document(&key(1)).is_none());
    assert_eq!(late.digest(), empty().digest(), "what waits is not in the set");

    let applied = late.apply([first.clone()]);
    assert_eq!(applied.accepted, [first.id(), second.id(), third.id(), fourth.id()]);
    assert_eq!(applied.changes[0].paths[&field()], applied.accepted);
    assert!(waiting(&late).is_empty());
    assert_eq!(late.digest(), ana.partition.digest());
}

#[test]
fn a_change_set_waits_for_all_that_it_names() {
    let (mut ana, mut ben, mut eve) = (Replica::new(0), Replica::new(1), Replica::new(2));
    let a = insert(&mut ana, 0, "a");
    let b = insert(&mut ben, 0, "b");
    ana.send_all_to(&mut eve);
    let first = insert(&mut eve, 0, "c");
    ben.send_all_to(&mut eve);
    let second = insert(&mut eve, 0, "d");
    let mut late = empty();
    late.apply([second]);
    let missing: BTreeSet<ChangeSetId> = late.waiting()[0].missing.iter().copied().collect();
    assert_eq!(missing, [first.id(), b.id()].into());
    late.apply([b]);
    assert_eq!(late.waiting()[0].missing, [first.id()]);
    late.apply([a, first]);
    assert_eq!(late.digest(), eve.partition.digest());
}

/// Two authors, each with a change set in two documents, and what a hostile third may say after that.
#[test]
fn header_faults_are_refused_and_everything_else_goes_on() {
    let (mut ana, mut eve) = (Replica::new(0), Replica::new(2));
    let base = insert(&mut ana, 0, "a");
    let elsewhere = ana.edit(&key(2), |tx| tx.put(&path("status"), "open".into()).unwrap());
    ana.send_all_to(&mut eve);
    eve.now = 5_000;
    let own = insert(&mut eve, 1, "e");
    eve.send_all_to(&mut ana);
    let digest = checked_digest(&mut ana.partition);

    let good = Header { sequence: 2, previous: Some(own.id()), ..own.header().clone() };
    let good = Header { parents: Vec::new(), ..good };
    let other_document = Header { parents: vec![elsewhere.id()], ..good.clone() };
    let cases = [
        (Header { sequence: 3, ..good.clone() }, HeaderFault::Sequence),
        (Header { sequence: 4_000, ..good.clone() }, HeaderFault::Sequence),
        (Header { time: own.header().time - 1, ..good.clone() }, HeaderFault::Time),
        (Header { previous: Some(base.id()), ..good.clone() }, HeaderFault::Actor),
        (other_document, HeaderFault::ParentDocument),
    ];
    for (header, fault) in cases {
        // Another instance of the same author each time, so that each says it at the same place of the chain.
        let mut liar = author(2).after(&own);
        let bad = liar.danger_append(header.clone(), own.body().clone());
        let fine = Header { sequence: header.sequence + 1, previous: Some(bad.id()), ..good.clone() };
        let fine = liar.danger_append(Header { time: 9_000, ..fine }, own.body().clone());
        let applied = ana.partition.apply([fine.clone(), bad.clone()]);
        let refused: Vec<(ChangeSetId, String)> =
            applied.refused.iter().map(|(id, refusal)| (*id, refusal.to_string())).collect();
        assert_eq!(refused, [(bad.id(), fault.to_string())]);
        assert!(applied.accepted.is_empty() && applied.changes.is_empty());
        assert_eq!(checked_digest(&mut ana.partition), digest);
        // What builds on it can never be taken, and says for what it waits.
        assert!(ana.partition.waiting().iter().any(|one| one.id == fine.id() && one.missing == [bad.id()]));
    }
    let mut honest = author(2).after(&own);
    let fine = honest.danger_append(good, own.body().clone());
    assert_eq!(ana.partition.apply([fine.clone()]).accepted, [fine.id()]);
    insert(&mut ana, 0, "z");
    assert!(text(&ana).starts_with('z'));
    assert!(ana.partition.forks().is_empty(), "what was refused forks nothing");
}

#[test]
fn another_partition_or_workspace_is_refused() {
    let mut ana = Replica::new(0);
    insert(&mut ana, 0, "a");
    let digest = ana.partition.digest();
    let signer = Arc::new(DeviceKey::from_secret(&[7; 32]));
    let other = changeset::Partition::new("harbour-8").unwrap();
    for (workspace, name) in [(WORKSPACE, other), (WorkspaceId::from_bytes([2; 32]), partition_name())] {
        let entropy = Box::new(SeededEntropy::new(1));
        let incarnation = Incarnation::from_bytes([0; 8]);
        let mut author = Author::new(signer.clone(), workspace, name.clone(), incarnation, entropy);
        let mut there = Partition::new(workspace, name);
        let mut tx = there.transact(&mut author, &key(1), 10);
        tx.put(&path("status"), true.into()).unwrap();
        let (entry, _) = tx.commit(Commit::new(intent("edit"))).unwrap();
        let applied = ana.partition.apply([entry.clone()]);
        assert_eq!(applied.refused.len(), 1);
        assert_eq!(applied.refused[0].1.to_string(), "it belongs to another workspace or partition");
        assert_eq!((ana.partition.digest(), ana.partition.waiting()), (digest, Vec::new()));
    }
}

// History

#[test]
fn ops_that_find_nothing_are_reported_inert() {
    let mut ana = Replica::new(0);
    let base = insert(&mut ana, 0, "ab");
    let own = |clock| ItemRef { line: Line::Own, clock };
    let unknown = ItemRef { line: Line::Named([7; 32]), clock: 0 };
    let put = |at: &str| Edit::Put { path: path(at), value: Value::Counter(1) };
    let text = |left, right| Edit::InsertText { path: field(), left, right, text: "x😀".into() };
    let remove =
        |clock, length| Edit::DeleteText { path: field(), ranges: vec![ItemRange { start: own(clock), length }] };
    let elsewhere = Edit::InsertText { path: path("risk"), left: Some(own(0)), right: None, text: "r".into() };
    let edits = vec![
        put("picked"),
        Edit::Delete { path: path("status") },
        Edit::Increment { path: path("status"), amount: 1 },
        Edit::Increment { path: path("picked"), amount: 4 },
        text(Some(unknown), None),
        text(Some(own(1)), Some(unknown)),
        text(Some(own(1)), None),
        // The units of inert inserts have clocks, 2 to 5, but nothing may name them.
        text(Some(own(2)), None),
        remove(1, 2),
        remove(100, 1),
        remove(0, 1),
        elsewhere,
        Edit::Delete { path: path("picked") },
        Edit::Delete { path: path("picked") },
    ];
    let draft = Draft {
        document: key(1),
        parents: Vec::new(),
        grant: None,
        schema_version: 0,
        intent: intent("edit"),
        group: None,
        script: Script { reason: None, edits },
    };
    let entry = ana.author.record(draft, 2_000).unwrap();
    ana.partition.apply([entry.clone()]);
    let history = document(&ana.partition).history();
    assert_eq!(history.iter().map(|one| one.id).collect::<Vec<_>>(), [base.id(), entry.id()]);
    assert_eq!(history[1].inert, [1, 2, 4, 5, 7, 8, 9, 11, 13]);
    assert_eq!(history[1].paths, [field(), path("picked"), path("risk"), path("status")]);
    assert_eq!((history[0].generation, history[1].generation), (1, 2));
    assert_eq!(crate::behaviours::text(&ana), "bx😀");
    assert_eq!(ana.value(&key(1), "picked"), None);
}

#[test]
fn an_increment_under_a_conflict_adds_to_the_counter_put_first() {
    let mut replicas = [Replica::new(0), Replica::new(1), Replica::new(2)];
    // The second has the lowest op number, 1; the third says something else before.
    let put = |tx: &mut crdt::Transaction<'_>| tx.put(&path("picked"), Value::Counter(10)).unwrap();
    let late = replicas[2].edit(&key(1), |tx| {
        tx.put(&path("status"), true.into()).unwrap();
        put(tx);
    });
    let first = replicas[1].edit(&key(1), put);
    let [ana, ben, eve] = &mut replicas;
    ben.send_all_to(ana);
    eve.send_all_to(ana);
    ana.edit(&key(1), |tx| {
        assert_eq!(tx.value(&path("picked")), Some(Value::Counter(20)));
        tx.increment(&path("picked"), 5).unwrap();
        assert_eq!(tx.value(&path("picked")), Some(Value::Counter(25)));
    });
    let resolution = document(&ana.partition).resolution(&path("picked")).unwrap();
    assert_eq!((resolution.rule, resolution.shown), (crdt::Rule::SumOfCounters, Some(Value::Counter(25))));
    let said: BTreeMap<ChangeSetId, Value> =
        resolution.contenders.into_iter().map(|one| (one.change_set, one.value.unwrap())).collect();
    assert_eq!(said, [(first.id(), Value::Counter(15)), (late.id(), Value::Counter(10))].into());
    exchange(ana, ben);
}

#[test]
fn reasons_are_shown_until_they_are_purged() {
    let mut ana = Replica::new(0);
    let mut tx = ana.partition.transact(&mut ana.author, &key(1), 50);
    tx.put(&path("status"), "fail".into()).unwrap();
    let mut commit = Commit::new(intent("record_outcome"));
    commit.reason = Some("the door jams".to_owned());
    let (entry, _) = tx.commit(commit).unwrap();
    let history = document(&ana.partition).history();
    assert_eq!(history[0].reason.as_deref(), Some("the door jams"));
    assert_eq!((history[0].time, history[0].intent.clone()), (50, intent("record_outcome")));
    assert_eq!(history[0].standing, Standing::Counted);
    let contender = &document(&ana.partition).resolution(&path("status")).unwrap().contenders[0];
    assert_eq!(contender.reason.as_deref(), Some("the door jams"));
    // The reason is value 0, so purging it leaves the outcome.
    let purges = [(entry.id(), [0].into())].into();
    ana.partition.set_judgement(Judgement { purges, ..Judgement::default() });
    assert_eq!(document(&ana.partition).history()[0].reason, None);
    assert_eq!(ana.value(&key(1), "status"), Some("fail".into()));
    // Purging the outcome leaves the reason.
    let purges = [(entry.id(), [1].into())].into();
    ana.partition.set_judgement(Judgement { purges, ..Judgement::default() });
    let resolution = document(&ana.partition).resolution(&path("status")).unwrap();
    assert_eq!((resolution.shown, resolution.contenders[0].is_purged), (Some(Value::Null), true));
    assert_eq!(document(&ana.partition).history()[0].reason.as_deref(), Some("the door jams"));
}

#[test]
fn a_missing_value_is_pending_until_it_comes_or_a_record_purges_it() {
    let mut ana = Replica::new(0);
    let entry = ana.edit(&key(1), |tx| {
        tx.put(&path("status"), "fail".into()).unwrap();
        tx.insert_text(&field(), 0, "a😀b").unwrap();
    });
    let next = insert(&mut ana, 2, "!");
    assert_eq!(text(&ana), "a😀!b");
    let mut ben = empty();
    ben.apply([entry.redact(&[1]), next.clone()]);
    assert_eq!(document(&ben).standing(&entry.id()), Some(&Standing::PendingValue));
    assert_eq!((document(&ben).value(&path("status")), document(&ben).text(&field())), (None, Some("!".into())));
    let mut purged = empty();
    purged.set_judgement(Judgement { purges: [(entry.id(), [1].into())].into(), ..Judgement::default() });
    purged.apply([entry.redact(&[1]), next]);
    assert_eq!(document(&purged).standing(&entry.id()), Some(&Standing::Counted));
    assert_eq!(document(&purged).value(&path("status")), Some("fail".into()));
    assert_eq!(document(&purged).text(&field()), Some("!".into()));
    // The whole entry comes after all.
    let applied = ben.apply([entry]);
    assert!(applied.accepted.is_empty());
    assert!(applied.changes[0].paths.contains_key(&field()) && applied.changes[0].paths.contains_key(&path("status")));
    assert_eq!(checked_digest(&mut ben), checked_digest(&mut ana.partition));
}

// Texts

#[test]
fn spans_say_who_wrote_which_characters() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let first = insert(&mut ana, 0, "front 😀 door");
    ana.send_all_to(&mut ben);
    let second = insert(&mut ben, 7, "𝄞𝄞");
    let third = ben.edit(&key(1), |tx| {
        tx.delete_text(&field(), 8, 1).unwrap();
        tx.insert_text(&field(), 0, "é").unwrap();
        tx.insert_text(&field(), 1, "!").unwrap();
    });
    exchange(&mut ana, &mut ben);
    for replica in [&ana, &ben] {
        let spans = document(&replica.partition).spans(&field());
        let said: Vec<(&str, ChangeSetId)> = spans.iter().map(|span| (span.text.as_str(), span.change_set)).collect();
        let wanted = [("é!", third.id()), ("front 😀", first.id()), ("𝄞", second.id()), (" door", first.id())];
        assert_eq!(said, wanted);
        assert_eq!(spans[1].actor.id(), ana.author.actor().id());
        assert_eq!(spans[2].actor.id(), ben.author.actor().id());
    }
    assert!(document(&ana.partition).spans(&path("risk")).is_empty());
}

#[test]
fn a_cursor_keeps_to_its_neighbour() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    insert(&mut ana, 0, "a😀b𝄞c");
    ana.send_all_to(&mut ben);
    let at = |replica: &Replica, position, side| document(&replica.partition).cursor(&field(), position, side);
    let cursors: Vec<_> =
        (0..6).map(|position| (at(&ana, position, CursorSide::Left), at(&ana, position, CursorSide::Right))).collect();
    let positions = |replica: &Replica| -> Vec<(usize, usize)> {
        let position = |cursor| document(&replica.partition).cursor_position(&field(), cursor);
        cursors.iter().map(|(left, right)| (position(left), position(right))).collect()
    };
    let same: Vec<(usize, usize)> = (0..6).map(|position| (position, position)).collect();
    assert_eq!(positions(&ana), same);
    assert_eq!(positions(&ben), same, "a cursor means the same place on every replica");

    // At the place itself the sides part; behind it both move, before it neither.
    insert(&mut ben, 2, "🏗x");
    exchange(&mut ana, &mut ben);
    for replica in [&ana, &ben] {
        assert_eq!(text(replica), "a😀🏗xb𝄞c");
        assert_eq!(positions(replica), [(0, 0), (1, 1), (2, 4), (5, 5), (6, 6), (7, 7)]);
    }
    insert(&mut ben, 0, "^");
    insert(&mut ben, 8, "$");
    exchange(&mut ana, &mut ben);
    assert_eq!(text(&ana), "^a😀🏗xb𝄞c$");
    assert_eq!(positions(&ana), [(0, 1), (2, 2), (3, 5), (6, 6), (7, 7), (8, 9)]);

    // The neighbours go: the cursor is where they were. "b𝄞" leaves.
    ben.edit(&key(1), |tx| tx.delete_text(&field(), 5, 2).unwrap());
    exchange(&mut ana, &mut ben);
    assert_eq!(text(&ana), "^a😀🏗xc$");
    assert_eq!(positions(&ana), [(0, 1), (2, 2), (3, 5), (5, 5), (5, 5), (6, 7)]);

    // Everything goes.
    ben.edit(&key(1), |tx| tx.replace_text(&field(), "").unwrap());
    exchange(&mut ana, &mut ben);
    assert_eq!(positions(&ana), [(0, 0); 6]);
}

#[test]
fn replacing_a_text_keeps_what_others_write_in_the_parts_that_stay() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    insert(&mut ana, 0, "The front door jams 😀. The stair is wet.");
    ana.send_all_to(&mut ben);
    ana.edit(&key(1), |tx| tx.replace_text(&field(), "The back door jams 😀. The stair is dry.").unwrap());
    insert(&mut ben, 15, "badly ");
    ben.edit(&key(1), |tx| tx.delete_text(&field(), 27, 1).unwrap());
    assert_eq!(text(&ben), "The front door badly jams 😀 The stair is wet.");
    exchange(&mut ana, &mut ben);
    assert_eq!(text(&ana), "The back door badly jams 😀 The stair is dry.");
}

fn editor(replica: &Replica) -> Doc {
    let mut options = Options::with_client_id(ClientID::new(99));
    options.offset_kind = OffsetKind::Utf16;
    let doc = Doc::with_options(options);
    let update = Update::decode_v1(&document(&replica.partition).save_yjs()).unwrap();
    doc.transact_mut().apply_update(update).unwrap();
    doc
}

#[test]
fn an_attached_editors_update_merges_with_what_others_write() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    insert(&mut ana, 0, "one 😀 two");
    insert(&mut ana, 9, " three");
    ana.edit(&key(1), |tx| tx.delete_text(&field(), 0, 1).unwrap());
    ana.send_all_to(&mut ben);
    let doc = editor(&ana);
    let before = doc.transact().state_vector();
    let texts = doc.get_or_insert_text(FIELD);
    {
        let mut txn = doc.transact_mut();
        texts.insert(&mut txn, 5, "𝄞 ");
        texts.remove_range(&mut txn, 0, 2);
        texts.insert(&mut txn, 0, "N");
    }
    let (wanted, update) = {
        let txn = doc.transact();
        (texts.get_string(&txn), txn.encode_state_as_update_v1(&before))
    };
    assert_eq!(wanted, "N 😀𝄞  two three");
    let entry = ana.edit(&key(1), |tx| {
        tx.apply_editor_update(&update).unwrap();
        assert_eq!(tx.text(&field()).unwrap(), wanted);
        tx.insert_text(&field(), 1, "!").unwrap();
    });
    insert(&mut ben, 3, "<");
    insert(&mut ben, 15, ">");
    exchange(&mut ana, &mut ben);
    assert_eq!(text(&ana), "N! <😀𝄞  two three>");
    let spans = document(&ana.partition).spans(&field());
    let by_editor: String =
        spans.iter().filter(|span| span.change_set == entry.id()).map(|span| span.text.as_str()).collect();
    assert_eq!(by_editor, "N!𝄞 ");
    // Whoever loads the merged text again may go on.
    let doc = editor(&ben);
    let texts = doc.get_or_insert_text(FIELD);
    let update = {
        let mut txn = doc.transact_mut();
        texts.insert(&mut txn, 0, "again ");
        txn.encode_update_v1()
    };
    ben.edit(&key(1), |tx| tx.apply_editor_update(&update).unwrap());
    assert!(text(&ben).starts_with("again "));
    exchange(&mut ana, &mut ben);
}

#[test]
fn a_refused_editor_update_leaves_no_trace() {
    let mut ana = Replica::new(0);
    insert(&mut ana, 0, "one 😀 two");
    let digest = checked_digest(&mut ana.partition);
    let doc = editor(&ana);
    let texts = doc.get_or_insert_text(FIELD);
    let typed = |edit: &dyn Fn(&mut yrs::TransactionMut<'_>)| {
        let mut txn = doc.transact_mut();
        edit(&mut txn);
        txn.encode_update_v1()
    };
    let first = typed(&|txn| texts.insert(txn, 2, "first"));
    let second = typed(&|txn| texts.insert(txn, 4, "second"));
    let map = doc.get_or_insert_map("status");
    let keyed = typed(&|txn| {
        map.insert(txn, "a", 1);
    });
    let elsewhere = Doc::with_client_id(5);
    let unknown = {
        let texts = elsewhere.get_or_insert_text(FIELD);
        texts.insert(&mut elsewhere.transact_mut(), 0, "abc");
        let mut txn = elsewhere.transact_mut();
        texts.insert(&mut txn, 1, "x");
        txn.encode_update_v1()
    };
    let nameless = {
        let odd = Doc::with_client_id(6);
        let texts = odd.get_or_insert_text("Not A Path!");
        let mut txn = odd.transact_mut();
        texts.insert(&mut txn, 0, "abc");
        txn.encode_update_v1()
    };
    let mut refused = vec![second, keyed, unknown, nameless, vec![], vec![0xff; 9]];
    refused.extend((0..first.len()).map(|end| first[..end].to_vec()));
    for update in refused {
        let mut tx = ana.partition.transact(&mut ana.author, &key(1), 60_000);
        let result = tx.apply_editor_update(&update);
        assert!(matches!(result, Err(EditError::BadUpdate { .. })), "{update:?}: {result:?}");
        drop(tx);
        assert_eq!(checked_digest(&mut ana.partition), digest);
    }
    ana.edit(&key(1), |tx| tx.apply_editor_update(&first).unwrap());
    assert_eq!(text(&ana), "onfirste 😀 two");
    let mut ben = Replica::new(1);
    exchange(&mut ana, &mut ben);
}

// Transactions

#[test]
fn a_dropped_transaction_leaves_no_trace() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let tip = insert(&mut ana, 0, "kept").id();
    ana.edit(&key(1), |tx| tx.put(&path("picked"), Value::Counter(1)).unwrap());
    let digest = checked_digest(&mut ana.partition);
    for document in [key(1), key(9)] {
        let before = ana.author.tip();
        let mut tx = ana.partition.transact(&mut ana.author, &document, 90_000);
        tx.insert_text(&field(), 0, "gone 😀").unwrap();
        tx.delete_text(&field(), 1, 2).unwrap();
        tx.put(&path("picked"), Value::Counter(7)).unwrap();
        tx.increment(&path("picked"), 1).unwrap();
        assert_eq!(tx.value(&path("picked")), Some(Value::Counter(8)));
        assert!(tx.text(&field()).unwrap().starts_with('g'));
        drop(tx);
        assert_eq!(ana.author.tip(), before);
        assert_eq!(checked_digest(&mut ana.partition), digest);
        assert!(ana.partition.document(&key(9)).is_none());
        assert_eq!(text(&ana), "kept");
    }
    assert!(document(&ana.partition).standing(&tip).is_some());
    insert(&mut ana, 4, " on");
    insert(&mut ana, 0, "was ");
    assert_eq!(text(&ana), "was kept on");
    ana.edit(&key(1), |tx| tx.increment(&path("picked"), 2).unwrap());
    assert_eq!(ana.value(&key(1), "picked"), Some(Value::Counter(3)));
    exchange(&mut ana, &mut ben);
}

#[test]
fn an_edit_that_is_refused_records_nothing() {
    let mut ana = Replica::new(0);
    insert(&mut ana, 0, "a😀b");
    let entry = ana.edit(&key(1), |tx| {
        let out_of_range = |result: Result<(), EditError>| {
            assert!(matches!(result, Err(EditError::OutOfRange { length: 3, .. })), "{result:?}");
        };
        out_of_range(tx.insert_text(&field(), 4, "x"));
        out_of_range(tx.delete_text(&field(), 2, 2));
        out_of_range(tx.delete_text(&field(), usize::MAX, 1));
        assert!(matches!(tx.increment(&path("picked"), 1), Err(EditError::NoCounter { .. })));
        assert!(matches!(tx.put(&path("picked"), Value::Float(f64::NAN)), Err(EditError::Value { .. })));
        let long = "x".repeat(limits::MAX_VALUE_BYTES + 1);
        assert!(matches!(tx.insert_text(&field(), 0, &long), Err(EditError::Value { .. })));
        tx.delete(&path("status")).unwrap();
        tx.insert_text(&field(), 0, "").unwrap();
        tx.delete_text(&field(), 1, 0).unwrap();
        assert!(tx.is_empty());
    });
    assert!(entry.skeleton().unwrap().ops.is_empty());
    assert_eq!(text(&ana), "a😀b");
}

#[test]
fn a_refused_commit_leaves_no_trace() {
    for heads in [1_u8, 40] {
        let mut ana = Replica::new(200);
        for device in 0..heads {
            let mut writer = Replica::new(device);
            insert(&mut writer, 0, "x");
            writer.send_all_to(&mut ana);
        }
        let (digest, tip) = (checked_digest(&mut ana.partition), ana.author.tip());
        let mut tx = ana.partition.transact(&mut ana.author, &key(1), 5_000);
        tx.insert_text(&field(), 0, "gone").unwrap();
        // Each fits, all of them do not.
        for number in 0..4_000 {
            tx.put(&path(&format!("{number}/{}", "x".repeat(240))), true.into()).unwrap();
        }
        let result = tx.commit(Commit::new(intent("edit")));
        assert!(matches!(result, Err(RecordError::Refused(_))), "{result:?}");
        assert_eq!(ana.author.tip(), tip, "with {heads} heads");
        assert_eq!(checked_digest(&mut ana.partition), digest);
        insert(&mut ana, 0, "kept");
        assert_eq!(text(&ana), format!("kept{}", "x".repeat(usize::from(heads))));
    }
}

#[test]
fn a_text_longer_than_a_value_goes_in_by_parts() {
    let mut ana = Replica::new(0);
    let long: String = "😀abc".repeat(60_000);
    ana.edit(&key(1), |tx| tx.replace_text(&field(), &long).unwrap());
    assert!(text(&ana) == long);
    let mut ben = Replica::new(1);
    exchange(&mut ana, &mut ben);
    assert!(text(&ben) == long);
}

/// A device was restored from a copy, and hears of its own lost work before it writes on: it is about to fork its
/// chain, under a name that it cannot know yet.
#[test]
fn an_author_about_to_fork_writes_on_what_it_sees() {
    let mut lost = Replica::new(0);
    let first = insert(&mut lost, 0, "base 😀");
    let mut restored = Replica { partition: empty(), author: author(0).after(&first), now: 2_000 };
    insert(&mut lost, 6, " lost");
    insert(&mut lost, 0, "x");
    lost.send_all_to(&mut restored);
    assert_eq!(text(&restored), "xbase 😀 lost");
    // It sees its own lost work, and may edit it.
    let entry = restored.edit(&key(1), |tx| {
        tx.insert_text(&field(), 7, " found").unwrap();
        tx.delete_text(&field(), 0, 1).unwrap();
        tx.insert_text(&field(), 0, "Y").unwrap();
        assert_eq!(tx.text(&field()).unwrap(), "Ybase 😀 found lost");
        tx.put(&path("status"), "found".into()).unwrap();
    });
    assert_eq!(text(&restored), "Ybase 😀 found lost");
    assert_eq!(restored.partition.forks().len(), 1);
    assert_eq!(document(&restored.partition).heads(), [entry.id()]);
    insert(&mut restored, 0, "on ");
    exchange(&mut lost, &mut restored);
    // The other store goes on with the other branch.
    insert(&mut lost, 0, "and ");
    exchange(&mut lost, &mut restored);
    assert_eq!(text(&lost), "and on Ybase 😀 found lost");
    let mut ben = Replica::new(1);
    exchange(&mut lost, &mut ben);
    let spans = document(&ben.partition).spans(&field());
    assert!(spans.iter().any(|span| span.text == " found" && span.change_set == entry.id()));
}

#[test]
fn an_author_about_to_fork_merges_many_heads() {
    let mut lost = Replica::new(200);
    let first = insert(&mut lost, 0, "base");
    insert(&mut lost, 4, " lost");
    let mut restored = Replica { partition: empty(), author: author(200).after(&first), now: 2_000 };
    lost.send_all_to(&mut restored);
    for device in 0..40 {
        let mut writer = Replica::new(device);
        insert(&mut writer, 0, "x");
        writer.send_all_to(&mut restored);
    }
    let before = text(&restored);
    insert(&mut restored, 20, "middle");
    assert_eq!(text(&restored), format!("{}middle{}", &before[..20], &before[20..]));
    assert_eq!(document(&restored.partition).heads().len(), 1);
    exchange(&mut lost, &mut restored);
}

#[test]
fn a_dropped_transaction_about_to_fork_leaves_no_trace() {
    let mut lost = Replica::new(0);
    let first = insert(&mut lost, 0, "base");
    insert(&mut lost, 4, " lost");
    let mut restored = Replica { partition: empty(), author: author(0).after(&first), now: 2_000 };
    lost.send_all_to(&mut restored);
    let digest = checked_digest(&mut restored.partition);
    let mut tx = restored.partition.transact(&mut restored.author, &key(1), 2_000);
    tx.insert_text(&field(), 0, "gone").unwrap();
    drop(tx);
    assert_eq!(checked_digest(&mut restored.partition), digest);
    assert!(restored.partition.forks().is_empty());
}

#[test]
fn nobody_builds_on_a_masked_head() {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    let base = insert(&mut ana, 0, "base");
    ana.send_all_to(&mut ben);
    let bad = ben.edit(&key(1), |tx| {
        tx.insert_text(&field(), 4, " bad 😀").unwrap();
        tx.delete_text(&field(), 0, 1).unwrap();
        tx.put(&path("status"), "bad".into()).unwrap();
    });
    ben.send_all_to(&mut ana);
    assert_eq!(text(&ana), "ase bad 😀");
    ana.partition.set_judgement(masking([bad.id()]));
    assert_eq!((text(&ana), ana.value(&key(1), "status")), ("base".into(), None));
    assert_eq!(document(&ana.partition).standing(&bad.id()), Some(&Standing::Masked));
    let entry = ana.edit(&key(1), |tx| {
        tx.insert_text(&field(), 4, " good").unwrap();
        assert_eq!(tx.text(&field()).unwrap(), "base good");
        tx.put(&path("status"), "good".into()).unwrap();
    });
    assert!(entry.header().parents.is_empty());
    assert_eq!(
        document(&ana.partition).heads(),
        BTreeSet::from([bad.id(), entry.id()]).into_iter().collect::<Vec<_>>()
    );
    insert(&mut ana, 0, "> ");
    assert_eq!(text(&ana), "> base good");
    // Others' work on a masked change set stands.
    let on_bad = insert(&mut ben, 3, "!");
    ben.send_all_to(&mut ana);
    assert_eq!(text(&ana).matches('!').count(), 1);
    let after = insert(&mut ana, 0, "# ");
    assert_eq!(
        after.header().parents,
        [on_bad.id()],
        "what counts is a parent, also where it builds on what is masked"
    );
    // The mask is lifted: everything is concurrent work.
    ana.partition.set_judgement(Judgement::default());
    exchange(&mut ana, &mut ben);
    for part in ["# > ", "ase", " good", " bad 😀", "!"] {
        assert!(text(&ana).contains(part), "{part:?} in {:?}", text(&ana));
    }
    assert_eq!(document(&ana.partition).resolution(&path("status")).unwrap().contenders.len(), 2);
    // And on the author's own last change set.
    ana.partition.set_judgement(masking([after.id(), base.id()]));
    ben.partition.set_judgement(masking([after.id(), base.id()]));
    insert(&mut ana, 0, "own ");
    exchange(&mut ana, &mut ben);
    assert!(text(&ana).starts_with("own ") && !text(&ana).contains('#') && !text(&ana).contains("ase"));
}

// Snapshots

fn written() -> Replica {
    let (mut ana, mut ben) = (Replica::new(0), Replica::new(1));
    ana.edit(&key(1), |tx| {
        tx.insert_text(&field(), 0, "front 😀 door").unwrap();
        tx.put(&path("status"), "open".into()).unwrap();
        tx.put(&path("picked"), Value::Counter(3)).unwrap();
    });
    ana.send_all_to(&mut ben);
    ben.edit(&key(1), |tx| {
        tx.delete_text(&field(), 2, 2).unwrap();
        tx.insert_text(&path("items/7/note"), 0, "wet").unwrap();
    });
    ana.edit(&key(1), |tx| tx.increment(&path("picked"), 2).unwrap());
    exchange(&mut ana, &mut ben);
    ana
}

fn open(replica: &Replica, judgement: Judgement, snapshot: Vec<u8>) -> (Partition, SnapshotUse) {
    let entries = replica.partition.log().entries().to_vec();
    let snapshots = [(key(1), snapshot)].into();
    let (partition, applied, used) = Partition::open(WORKSPACE, partition_name(), judgement, entries, &snapshots);
    assert!(applied.faults.is_empty());
    (partition, used[&key(1)].clone())
}

#[test]
fn a_snapshot_is_used_where_it_fits_and_passed_over_where_not() {
    let mut ana = written();
    let digest = checked_digest(&mut ana.partition);
    let snapshot = ana.partition.document_mut(&key(1)).unwrap().snapshot().unwrap();
    let (mut opened, used) = open(&ana, Judgement::default(), snapshot.clone());
    assert_eq!((used, checked_digest(&mut opened)), (SnapshotUse::Used, digest));
    // Who opened from it writes on.
    let mut on = Replica { partition: opened, author: author(5), now: 9_000 };
    insert(&mut on, 0, "on: ");
    exchange(&mut on, &mut ana);

    // It covers fewer change sets now: what came since is applied on top of it.
    let now = checked_digest(&mut ana.partition);
    let (mut opened, used) = open(&ana, Judgement::default(), snapshot.clone());
    assert_eq!((used, checked_digest(&mut opened)), (SnapshotUse::Used, now));

    // Of more change sets than are held, of others, under another mask, under other purges.
    let entries = ana.partition.log().entries();
    let more = ana.partition.document(&key(1)).unwrap().len();
    let last = entries.iter().rposition(|entry| entry.header().document == key(1)).unwrap();
    let fewer = [entries[..2].to_vec(), entries.iter().skip(last).cloned().collect()];
    for entries in fewer {
        let snapshots = [(key(1), snapshot.clone())].into();
        let (opened, _, used) = Partition::open(WORKSPACE, partition_name(), Judgement::default(), entries, &snapshots);
        assert_eq!(used[&key(1)], SnapshotUse::Stale);
        assert!(opened.document(&key(1)).is_none_or(|document| document.len() < more));
    }
    let ana = written();
    for entry in ana.partition.log().entries() {
        let purged = Judgement { purges: [(entry.id(), [0].into())].into(), ..Judgement::default() };
        for judgement in [masking([entry.id()]), purged] {
            let (mut opened, used) = open(&ana, judgement.clone(), snapshot.clone());
            let mut rebuilt = empty();
            rebuilt.set_judgement(judgement);
            rebuilt.apply(ana.partition.log().entries().to_vec());
            assert_eq!((used, checked_digest(&mut opened)), (SnapshotUse::Stale, checked_digest(&mut rebuilt)));
        }
    }
    // Of another document altogether.
    let snapshots = [(key(2), snapshot)].into();
    let (_, _, used) = Partition::open(WORKSPACE, partition_name(), Judgement::default(), [], &snapshots);
    assert_eq!(used[&key(2)], SnapshotUse::Stale);
}

#[test]
fn a_damaged_snapshot_is_never_believed() {
    let mut ana = written();
    let digest = checked_digest(&mut ana.partition);
    let snapshot = ana.partition.document_mut(&key(1)).unwrap().snapshot().unwrap();
    for end in 0..snapshot.len() {
        let (mut opened, used) = open(&ana, Judgement::default(), snapshot[..end].to_vec());
        assert!(!matches!(used, SnapshotUse::Used), "{end} of {} bytes", snapshot.len());
        assert_eq!(checked_digest(&mut opened), digest);
    }
    let mut longer = snapshot.clone();
    longer.push(0);
    assert!(matches!(open(&ana, Judgement::default(), longer).1, SnapshotUse::Damaged(_)));
    for at in 0..snapshot.len() * 8 {
        let mut flipped = snapshot.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let (mut opened, used) = open(&ana, Judgement::default(), flipped);
        assert_eq!(checked_digest(&mut opened), digest, "bit {at} of {} bytes: {used:?}", snapshot.len());
        assert_eq!(document(&opened).spans(&field()).len(), document(&ana.partition).spans(&field()).len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Every character is written once, so a model knows where each is.
    #[test]
    fn cursors_stay_beside_their_characters(seed: u64, steps in 1usize..30) {
        let mut random = Random::new(seed);
        let mut replicas = [Replica::new(0), Replica::new(1)];
        let mut written = 0;
        let mut cursors = Vec::new();
        for _ in 0..steps {
            let at = random.below(2);
            let text: Vec<char> = text(&replicas[at]).chars().collect();
            let position = random.below(text.len() + 1);
            match random.below(6) {
                0..=1 => {
                    // Some in the basic plane and some beyond.
                    let fresh: String = (0..1 + random.below(4)).filter_map(|_| {
                        written += 1;
                        char::from_u32(if random.chance(40) { 0x1_f300 } else { 0x4e00 } + written)
                    }).collect();
                    insert(&mut replicas[at], position, &fresh);
                }
                2 => {
                    let length = random.below(3).min(text.len() - position);
                    replicas[at].edit(&key(1), |tx| tx.delete_text(&field(), position, length).unwrap());
                }
                3 => {
                    let [one, other] = &mut replicas;
                    exchange(one, other);
                }
                _ => {
                    let side = if random.chance(50) { CursorSide::Left } else { CursorSide::Right };
                    let Some(document) = replicas[at].partition.document(&key(1)) else { continue };
                    let cursor = document.cursor(&field(), position, side);
                    prop_assert_eq!(document.cursor_position(&field(), &cursor), position);
                    let neighbour = match side {
                        CursorSide::Left => position.checked_sub(1).map(|before| text[before]),
                        CursorSide::Right => text.get(position).copied(),
                    };
                    cursors.push((cursor, side, neighbour));
                }
            }
            for replica in &replicas {
                let Some(document) = replica.partition.document(&key(1)) else { continue };
                let now = document.text(&field()).unwrap_or_default();
                for (cursor, side, neighbour) in &cursors {
                    let found = now.chars().position(|c| Some(c) == *neighbour);
                    let wanted = match (side, neighbour) {
                        (CursorSide::Left, None) => 0,
                        (CursorSide::Right, None) => now.chars().count(),
                        (CursorSide::Left, Some(_)) => match found { Some(at) => at + 1, None => continue },
                        (CursorSide::Right, Some(_)) => match found { Some(at) => at, None => continue },
                    };
                    prop_assert_eq!(document.cursor_position(&field(), cursor), wanted, "{:?} of {:?}", side, now);
                }
            }
        }
    }

    /// An editor does anything to any text that has a past; the transaction shows what it showed, and so does everybody.
    #[test]
    fn what_an_attached_editor_shows_is_what_is_recorded(seed: u64, steps in 1usize..12) {
        let mut random = Random::new(seed);
        let mut replicas = [Replica::new(0), Replica::new(1)];
        for _ in 0..steps {
            let at = random.below(2);
            if random.chance(40) {
                let [one, other] = &mut replicas;
                exchange(one, other);
                continue;
            }
            if replicas[at].partition.document(&key(1)).is_none() {
                insert(&mut replicas[at], 0, "a😀");
            }
            let doc = editor(&replicas[at]);
            let before: StateVector = doc.transact().state_vector();
            let texts = doc.get_or_insert_text(FIELD);
            for _ in 0..1 + random.below(4) {
                let mut txn = doc.transact_mut();
                let now: Vec<char> = texts.get_string(&txn).chars().collect();
                let units = |chars: &[char]| chars.iter().map(|c| c.len_utf16() as u32).sum::<u32>();
                let position = random.below(now.len() + 1);
                let end = (position + random.below(3)).min(now.len());
                texts.remove_range(&mut txn, units(&now[..position]), units(&now[position..end]));
                if random.chance(70) {
                    texts.insert(&mut txn, units(&now[..position]), random.pick(&["b", "😀", "c𝄞d", "e "]).unwrap());
                }
            }
            let txn = doc.transact();
            let (update, wanted) = (txn.encode_state_as_update_v1(&before), texts.get_string(&txn));
            replicas[at].edit(&key(1), |tx| {
                tx.apply_editor_update(&update).unwrap();
                assert_eq!(tx.text(&field()).unwrap_or_default(), wanted);
            });
            prop_assert_eq!(text(&replicas[at]), wanted);
        }
        let [one, other] = &mut replicas;
        exchange(one, other);
    }
}
