//! The cases: each rule once by a small history made by hand, and some that nobody would make by hand.

use super::Given;
use crate::support::{Options, Random, Replica, author, empty, history, intent, key, path};
use changeset::*;
use crdt::{Commit, Edits, Judgement};

/// A case while it is written.
struct Scene(Given);

impl Scene {
    fn new(name: &str) -> Self {
        Self(Given { name: name.to_owned(), entries: Vec::new(), judgement: Judgement::default() })
    }

    /// `author` says something in document 1.
    fn say(&mut self, author: &mut Author, parents: &[&Verified], time: u64, edits: Vec<Edit>) -> Verified {
        self.say_in(1, author, parents, time, edits)
    }

    fn say_in(
        &mut self,
        document: u8,
        author: &mut Author,
        parents: &[&Verified],
        time: u64,
        edits: Vec<Edit>,
    ) -> Verified {
        self.say_because(None, document, author, parents, time, edits)
    }

    fn say_because(
        &mut self,
        reason: Option<&str>,
        document: u8,
        author: &mut Author,
        parents: &[&Verified],
        time: u64,
        edits: Vec<Edit>,
    ) -> Verified {
        let draft = Draft {
            document: key(document),
            parents: parents.iter().map(|parent| parent.id()).collect(),
            grant: None,
            schema_version: 1,
            intent: intent("edit"),
            group: None,
            script: Script { reason: reason.map(str::to_owned), edits },
        };
        let entry = author.record(draft, time).unwrap();
        self.keep(author, &entry)
    }

    fn keep(&mut self, author: &Author, entry: &Verified) -> Verified {
        let signed = author.sign(entry).unwrap();
        self.0.entries.push(signed.clone());
        signed
    }

    /// A change set that no honest author writes: `spoil` has the last word about its parts.
    fn spoil(
        &mut self,
        author: &mut Author,
        previous: Option<&Verified>,
        parents: &[&Verified],
        edits: Vec<Edit>,
        spoil: impl FnOnce(&mut Parts),
    ) -> Verified {
        let (skeleton, values) = Script { reason: None, edits }.split();
        let mut parts = Parts { format: FORMAT_PLAIN, skeleton: skeleton.to_bytes(), values, too_long: 0 };
        spoil(&mut parts);
        let Parts { format, skeleton: bytes, values, too_long } = parts;
        let body = Body::new(1, intent("edit"), None, bytes, [9; 16], values);
        let mut parents: Vec<ChangeSetId> = parents.iter().map(|parent| parent.id()).collect();
        parents.sort_unstable();
        let header = Header {
            format,
            sequence: previous.map_or(1, |previous| previous.header().sequence + 1),
            previous: previous.map(Verified::id),
            document: key(1),
            parents,
            time: previous.map_or(1000, |previous| previous.header().time + 10),
            grant: None,
            body_hash: body.hash(),
            body_length: body.whole_length(&skeleton) + too_long,
        };
        let entry = author.danger_append(header, body);
        self.keep(author, &entry)
    }

    /// The copy of a change set that is kept no longer has these values.
    fn redact(&mut self, entry: &Verified, values: &[usize]) {
        for kept in self.0.entries.iter_mut().filter(|kept| kept.id() == entry.id()) {
            *kept = kept.redact(values);
        }
    }

    fn mask(&mut self, entry: &Verified) {
        self.0.judgement.mask.insert(entry.id());
    }

    fn purge(&mut self, entry: &Verified, values: &[u32]) {
        self.0.judgement.purges.entry(entry.id()).or_default().extend(values);
    }

    fn end(self) -> Given {
        self.0
    }
}

struct Parts {
    format: u64,
    skeleton: Vec<u8>,
    values: Vec<Vec<u8>>,
    too_long: u64,
}

fn put(at: &str, value: impl Into<Value>) -> Edit {
    Edit::Put { path: path(at), value: value.into() }
}

fn count(at: &str, start: i64) -> Edit {
    Edit::Put { path: path(at), value: Value::Counter(start) }
}

fn delete(at: &str) -> Edit {
    Edit::Delete { path: path(at) }
}

fn add(at: &str, amount: i64) -> Edit {
    Edit::Increment { path: path(at), amount }
}

fn insert(field: &str, left: Option<ItemRef>, right: Option<ItemRef>, text: &str) -> Edit {
    Edit::InsertText { path: path(field), left, right, text: text.to_owned() }
}

fn erase(field: &str, ranges: &[(ItemRef, u32)]) -> Edit {
    let ranges = ranges.iter().map(|(start, length)| ItemRange { start: *start, length: *length });
    Edit::DeleteText { path: path(field), ranges: ranges.collect() }
}

fn own(clock: u32) -> ItemRef {
    ItemRef { line: Line::Own, clock }
}

/// Named by its actor.
fn by(author: &Author, clock: u32) -> ItemRef {
    ItemRef { line: Line::Named(*author.actor().id().as_bytes()), clock }
}

/// Named by a change set at whose end its line is meant.
fn upto(end: &Verified, clock: u32) -> ItemRef {
    ItemRef { line: Line::Named(*end.id().as_bytes()), clock }
}

pub(super) fn all() -> Vec<Given> {
    let mut cases = vec![
        concurrent_puts(),
        put_over(),
        equal_values(),
        every_type(),
        inert_deletes(),
        removed_while_edited(),
        removed_and_edited_at_once(),
        purged_edit_of_a_removed_entry(),
        counters(),
        increments_under_conflict(),
        omitted_parents(),
        one_place(),
        overlapping_deletes(),
        astral(),
        hostile_origins(),
        outside_the_past(),
        other_field(),
        inert_insert(),
        own_script(),
        names_after_a_fork(),
        fork_elsewhere(),
        masked_winner(),
        fork_of_a_fork(),
        masked(),
        purged(),
        pending_value(),
        newer_format(),
        unreadable(),
        wrong_lengths(),
        values_that_do_not_fit(),
        many_heads(),
    ];
    cases.extend(
        [(3, 24), (11, 30), (29, 30), (47, 36), (101, 36), (2026, 40)].map(|(seed, steps)| hostile(seed, steps)),
    );
    cases
}

fn concurrent_puts() -> Given {
    let mut scene = Scene::new("concurrent puts: the latest by time is shown, equal times by the larger id");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), put("risk", 1)]);
    scene.say(&mut ana, &[], 1030, vec![put("status", "pass"), put("risk", 2)]);
    scene.say(&mut ben, &[&first], 1020, vec![put("status", "fail"), put("risk", 3)]);
    scene.say(&mut cleo, &[&first], 1030, vec![put("status", "open")]);
    scene.end()
}

fn put_over() -> Given {
    let mut scene = Scene::new("a put or delete acts on all that its author saw, and on nothing else");
    let (mut ana, mut ben, mut cleo, mut dan) = (author(0), author(1), author(2), author(3));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), put("risk", 1), put("note", "x")]);
    let second = scene.say(&mut ben, &[&first], 1010, vec![put("status", "pass"), put("risk", 2)]);
    let third = scene.say(&mut cleo, &[&first], 1020, vec![put("status", "fail"), put("risk", 3)]);
    scene.say(&mut dan, &[&second, &third], 1005, vec![put("status", "closed"), delete("risk"), delete("note")]);
    scene.say(&mut ben, &[], 1030, vec![put("status", "again")]);
    scene.end()
}

fn equal_values() -> Given {
    let mut scene = Scene::new("a put of an equal value is an op like any other; equal contenders are no conflict");
    let (mut ana, mut ben) = (author(0), author(1));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft")]);
    scene.say(&mut ana, &[], 1010, vec![put("status", "pass"), put("status", "pass")]);
    scene.say(&mut ben, &[&first], 1020, vec![put("status", "pass"), put("risk", Value::Null), put("risk", false)]);
    scene.end()
}

fn every_type() -> Given {
    let mut scene = Scene::new("every type of value");
    let reference = Reference { partition: Partition::new("north").unwrap(), document: key(9) };
    let attachment = Attachment { hash: [3; 32], length: 1 << 33, media_type: "image/jpeg".to_owned() };
    let edits = vec![
        put("a.null", Value::Null),
        put("b.bool", true),
        put("c.int", -7),
        put("d.decimal", Decimal { mantissa: -1250, scale: 2 }),
        put("e.float", Value::Float(0.1)),
        put("f.string", "Å😀"),
        put("g.bytes", Value::Bytes(vec![0, 255])),
        put("h.timestamp", Value::Timestamp(1_700_000_000_000)),
        count("i.counter", -3),
        put("j.reference", Value::Reference(reference)),
        put("k.attachment", Value::Attachment(attachment)),
    ];
    scene.say(&mut author(0), &[], 1000, edits);
    scene.end()
}

fn inert_deletes() -> Given {
    let mut scene = Scene::new("a delete with nothing visible is inert and takes no op number");
    let (mut ana, mut ben) = (author(0), author(1));
    let first = scene.say(&mut ana, &[], 1000, vec![delete("status"), put("status", "draft"), delete("risk")]);
    let edits =
        vec![delete("status"), delete("status"), put("risk", 1), delete("risk"), delete("risk"), put("seen", true)];
    scene.say(&mut ben, &[&first], 1010, edits);
    scene.say(&mut ana, &[], 1020, vec![delete("nothing")]);
    scene.say(&mut ana, &[], 1030, vec![put("status", "pass")]);
    scene.end()
}

fn removed_while_edited() -> Given {
    let mut scene = Scene::new("an entry removed here, twice, while it was edited there: it stays removed");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let (mut dan, mut eva) = (author(3), author(4));
    let edits = vec![put("items/7/.", true), put("items/7/outcome", "pass"), put("items/70/.", true)];
    let first = scene.say(&mut ana, &[], 1000, edits);
    let removed = scene.say(&mut eva, &[&first], 1010, vec![delete("items/7/.")]);
    let again = scene.say(&mut cleo, &[&first], 1020, vec![delete("items/7/."), put("items/70/outcome", "pass")]);
    let edits = vec![insert("items/7/note", None, None, "rust "), put("items/7/outcome", "fail")];
    let edited = scene.say(&mut ben, &[&first], 1015, edits);
    scene.say(
        &mut ben,
        &[],
        1030,
        vec![insert("items/7/note", Some(own(4)), None, "on hinge"), count("items/7/picked", 2)],
    );
    // Who saw one removal is not apart from both.
    scene.say(&mut dan, &[&removed], 1040, vec![put("items/7/late", "seen")]);
    scene.say(&mut cleo, &[&edited, &again], 1050, vec![put("items/7/after", "seen too")]);
    scene.end()
}

fn removed_and_edited_at_once() -> Given {
    let mut scene = Scene::new("who removes an entry and writes into it in one change set disagrees with nobody");
    let mut ana = author(0);
    scene.say(&mut ana, &[], 1000, vec![put("items/7/.", true), put("items/7/outcome", "pass")]);
    let edits = vec![delete("items/7/."), put("items/7/outcome", "void"), insert("items/7/note", None, None, "gone")];
    scene.say(&mut ana, &[], 1010, edits);
    scene.end()
}

fn purged_edit_of_a_removed_entry() -> Given {
    let mut scene = Scene::new("the edit of a removed entry is shown without what was purged of it or does not fit");
    let (mut ana, mut ben, mut cleo, mut dan) = (author(0), author(1), author(2), author(3));
    let first = scene.say(&mut ana, &[], 1000, vec![put("items/7/.", true)]);
    scene.say(&mut ana, &[], 1010, vec![delete("items/7/.")]);
    let edits = vec![insert("items/7/note", None, None, "secret"), insert("items/7/note", None, None, "open")];
    let half = scene.say(&mut ben, &[&first], 1020, edits);
    scene.purge(&half, &[0]);
    let whole = scene.say(&mut cleo, &[&first], 1030, vec![insert("items/7/note", None, None, "secret")]);
    scene.purge(&whole, &[0]);
    let long = vec![insert("items/7/note", None, None, "short")];
    scene.spoil(&mut dan, None, &[&first], long, |parts| parts.values[0] = b"shorter".to_vec());
    scene.end()
}

fn counters() -> Given {
    let mut scene = Scene::new("counters: concurrent increments, an increment of no counter, a put over a counter");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let edits =
        vec![count("picked", 10), count("packed", 1), put("status", "draft"), add("picked", 1), add("status", 1)];
    let first = scene.say(&mut ana, &[], 1000, edits);
    scene.say(&mut ana, &[], 1010, vec![add("picked", 5), add("packed", -4), add("nothing", 2)]);
    let over = vec![add("picked", -2), put("packed", "many"), add("packed", 1)];
    let second = scene.say(&mut ben, &[&first], 1020, over);
    scene.say(&mut cleo, &[&first], 1030, vec![delete("picked"), count("picked", 100), add("picked", 1)]);
    scene.say(&mut ben, &[&second], 1040, vec![add("picked", 1)]);
    scene.end()
}

fn increments_under_conflict() -> Given {
    let mut scene = Scene::new("counters started apart: an increment takes the lowest op, all of them are summed");
    let (mut ana, mut ben, mut cleo, mut dan) = (author(0), author(1), author(2), author(3));
    let first = scene.say(&mut ana, &[], 1000, vec![count("picked", 1), put("packed", "none")]);
    let second = scene.say(&mut ben, &[], 1010, vec![count("picked", 20), count("packed", 7)]);
    let third = scene.say(&mut cleo, &[], 1020, vec![put("risk", 1), count("picked", 300)]);
    let all = [&first, &second, &third];
    scene.say(&mut dan, &all, 1030, vec![add("picked", 4000), add("packed", 1)]);
    scene.say(&mut cleo, &[&first], 1040, vec![add("picked", 50_000), put("packed", "late")]);
    scene.end()
}

fn omitted_parents() -> Given {
    let mut scene =
        Scene::new("the implied parent goes without saying; listing it or an ancestor of others changes nothing");
    let (mut ana, mut ben) = (author(0), author(1));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), insert("note", None, None, "one")]);
    let elsewhere = scene.say_in(2, &mut ana, &[], 1010, vec![put("status", "other")]);
    let second =
        scene.say(&mut ana, &[], 1020, vec![put("status", "pass"), insert("note", Some(own(2)), None, " two")]);
    let third = scene.say(&mut ben, &[&first, &second], 1030, vec![put("status", "fail")]);
    scene.say(&mut ben, &[&first, &third], 1040, vec![put("status", "open")]);
    scene.say_in(2, &mut ben, &[&elsewhere], 1050, vec![delete("status")]);
    scene.say_in(2, &mut ana, &[], 1060, vec![put("status", "mine")]);
    scene.end()
}

fn one_place() -> Given {
    let mut scene = Scene::new("text: concurrent inserts at one place, and one in the middle of a string");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(&mut ana, &[], 1000, vec![insert("note", None, None, "door")]);
    let (second, fourth) = (Some(by(&ana, 1)), Some(by(&ana, 2)));
    let mine = scene.say(&mut ben, &[&first], 1010, vec![insert("note", second, fourth, "ben")]);
    scene.say(
        &mut cleo,
        &[&first],
        1020,
        vec![insert("note", second, fourth, "cleo"), insert("note", Some(by(&ana, 3)), None, "!")],
    );
    scene.say(
        &mut ana,
        &[],
        1030,
        vec![insert("note", Some(own(1)), Some(own(2)), "ana"), insert("note", None, Some(own(0)), ">")],
    );
    scene.say(&mut ana, &[&mine], 1040, vec![insert("note", Some(by(&ben, 0)), Some(by(&ben, 1)), "-")]);
    scene.say(&mut ben, &[], 1050, vec![insert("note", Some(own(2)), fourth, "?"), insert("title", None, None, "T")]);
    scene.end()
}

fn overlapping_deletes() -> Given {
    let mut scene = Scene::new("text: deletes that overlap, and an insert into what is deleted meanwhile");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(&mut ana, &[], 1000, vec![insert("note", None, None, "abcdefgh")]);
    let second = scene.say(&mut ben, &[&first], 1010, vec![erase("note", &[(by(&ana, 1), 4)])]);
    scene.say(&mut cleo, &[&first], 1020, vec![erase("note", &[(by(&ana, 0), 1), (by(&ana, 3), 4)])]);
    scene.say(
        &mut ana,
        &[],
        1030,
        vec![insert("note", Some(own(3)), Some(own(4)), "X"), erase("note", &[(own(7), 2)])],
    );
    scene.say(
        &mut ben,
        &[&second],
        1040,
        vec![erase("note", &[(by(&ana, 2), 1)]), insert("note", Some(by(&ana, 2)), None, "Y")],
    );
    scene.end()
}

fn astral() -> Given {
    let mut scene = Scene::new("text: clocks count code points, also beyond the basic plane");
    let (mut ana, mut ben) = (author(0), author(1));
    let first = scene.say(&mut ana, &[], 1000, vec![insert("note", None, None, "a😀b🚪c")]);
    scene.say(
        &mut ben,
        &[&first],
        1010,
        vec![insert("note", Some(by(&ana, 1)), Some(by(&ana, 2)), "😀"), erase("note", &[(by(&ana, 3), 1)])],
    );
    scene.say(
        &mut ana,
        &[],
        1020,
        vec![insert("note", Some(own(3)), Some(own(4)), "é"), erase("note", &[(own(0), 2)])],
    );
    scene.say(&mut ana, &[], 1030, vec![insert("note", Some(own(5)), None, "🚪🚪"), erase("note", &[(own(6), 1)])]);
    scene.end()
}

fn hostile_origins() -> Given {
    let mut scene = Scene::new("text: origins that no editor names, applied in canonical order");
    let mut authors: Vec<Author> = (0..6).map(author).collect();
    let first = scene.say(&mut authors[0], &[], 1000, vec![insert("note", None, None, "abcd")]);
    let item = |clock: u32| Some(ItemRef { line: Line::Named(*first.actor().id().as_bytes()), clock });
    let pairs = [(item(2), item(0)), (None, item(3)), (item(0), None), (item(1), item(1)), (item(0), item(3))];
    let mut said = Vec::new();
    for (number, (left, right)) in pairs.into_iter().enumerate() {
        let text = ["12", "34", "56", "78", "90"][number];
        let edits = vec![
            insert("note", left, right, text),
            insert("note", left, Some(own(1)), "x"),
            insert("note", Some(own(0)), right, "y"),
        ];
        said.push(scene.say(&mut authors[number + 1], &[&first], 1010, edits));
    }
    let (left, right) = (Some(by(&authors[3], 0)), Some(by(&authors[1], 1)));
    scene.say(
        &mut authors[0],
        &[&said[0], &said[2]],
        1020,
        vec![insert("note", left, right, "!"), insert("note", right, left, "?")],
    );
    let (left, right) = (Some(by(&authors[2], 1)), Some(by(&authors[4], 0)));
    scene.say(&mut authors[5], &[&said[1], &said[3]], 1020, vec![insert("note", left, right, "*")]);
    scene.end()
}

fn outside_the_past() -> Given {
    let mut scene = Scene::new("text: what names anything outside its author's past is inert");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(&mut ana, &[], 1000, vec![insert("note", None, None, "ab")]);
    let second = scene.say(&mut ana, &[], 1010, vec![insert("note", Some(own(1)), None, "cd")]);
    let edits = vec![
        insert("note", Some(by(&ana, 1)), Some(by(&ana, 2)), "right is later"),
        insert("note", Some(by(&ana, 3)), None, "left is later"),
        insert("note", Some(upto(&second, 0)), None, "by a change set that is later"),
        insert("note", Some(by(&cleo, 0)), None, "by nobody"),
        erase("note", &[(by(&ana, 0), 1), (by(&ana, 2), 1)]),
        erase("note", &[(by(&ana, 1), 2)]),
        erase("note", &[(own(900), 1)]),
        erase("note", &[(by(&ana, 1), 1)]),
    ];
    scene.say(&mut ben, &[&first], 1020, edits);
    // A delete of the future stays inert when that comes.
    scene.say(
        &mut cleo,
        &[],
        1030,
        vec![erase("note", &[(own(0), 1)]), insert("note", None, None, "z"), erase("note", &[(own(0), 2)])],
    );
    scene.end()
}

fn other_field() -> Given {
    let mut scene = Scene::new("text: what names an item of another field is inert; a text and a value share a path");
    let (mut ana, mut ben) = (author(0), author(1));
    let edits = vec![insert("note", None, None, "ab"), insert("title", None, None, "cd"), put("note", "value")];
    let first = scene.say(&mut ana, &[], 1000, edits);
    let edits = vec![
        insert("title", Some(by(&ana, 0)), None, "x"),
        insert("note", None, Some(by(&ana, 3)), "y"),
        erase("title", &[(by(&ana, 1), 2)]),
        erase("title", &[(by(&ana, 3), 1)]),
        delete("note"),
    ];
    scene.say(&mut ben, &[&first], 1010, edits);
    scene.end()
}

fn inert_insert() -> Given {
    let mut scene = Scene::new("text: an inert insert consumes clock, and nothing may name it");
    let (mut ana, mut ben) = (author(0), author(1));
    let edits = vec![
        insert("note", None, None, "ab"),
        insert("note", Some(own(50)), None, "inert"),
        insert("note", Some(own(1)), None, "cd"),
        insert("note", Some(own(7)), Some(own(8)), "-"),
        insert("note", Some(own(3)), None, "so too"),
        erase("note", &[(own(1), 2)]),
        insert("note", None, Some(own(0)), "^"),
    ];
    let first = scene.say(&mut ana, &[], 1000, edits);
    scene.say(&mut ben, &[&first], 1010, vec![erase("note", &[(by(&ana, 7), 1)]), erase("note", &[(by(&ana, 2), 1)])]);
    scene.say(&mut ana, &[], 1020, vec![insert("note", Some(own(16)), Some(own(0)), "$")]);
    scene.end()
}

fn own_script() -> Given {
    let mut scene = Scene::new("text: the past of an op includes the earlier ops of its script, not the later ones");
    let mut ana = author(0);
    let edits = vec![
        insert("note", Some(own(0)), None, "self"),
        insert("note", None, None, "ab"),
        insert("note", Some(own(4)), Some(own(5)), "-"),
        insert("note", Some(own(7)), None, "later"),
        insert("note", Some(by(&ana, 4)), None, "not by its actor yet"),
        erase("note", &[(own(4), 1), (own(6), 1)]),
    ];
    let first = scene.say(&mut ana, &[], 1000, edits);
    let edits = vec![insert("note", Some(by(&ana, 5)), None, "!"), insert("note", Some(upto(&first, 5)), None, "?")];
    scene.say(&mut ana, &[], 1010, edits);
    scene.end()
}

fn names_after_a_fork() -> Given {
    let mut scene = Scene::new("text: items named by actor and by change set after a fork");
    let mut ana = author(0);
    let first = scene.say(&mut ana, &[], 1000, vec![insert("note", None, None, "ab")]);
    let mut restored = author(0).after(&first);
    let left = scene.say(&mut ana, &[], 1010, vec![insert("note", Some(own(1)), None, "cd"), put("status", "left")]);
    let right =
        scene.say(&mut restored, &[], 1020, vec![insert("note", Some(own(1)), None, "ef"), put("status", "right")]);
    let (mut ben, mut cleo, mut dan) = (author(1), author(2), author(3));
    let edits = vec![
        insert("note", Some(by(&ana, 0)), None, "two ends: no actor"),
        insert("note", Some(upto(&left, 2)), None, "L"),
        insert("note", Some(upto(&right, 2)), None, "R"),
        insert("note", Some(upto(&left, 0)), None, "s"),
        insert("note", Some(upto(&right, 0)), None, "s"),
        insert("note", Some(upto(&first, 1)), None, "f"),
        insert("note", Some(upto(&first, 2)), None, "not on that line"),
        erase("note", &[(upto(&right, 1), 2)]),
    ];
    scene.say(&mut ben, &[&left, &right], 1030, edits);
    let edits =
        vec![insert("note", Some(by(&ana, 3)), None, "one end"), insert("note", Some(upto(&left, 2)), None, "outside")];
    scene.say(&mut cleo, &[&right], 1040, edits);
    scene.say(&mut dan, &[&first], 1050, vec![insert("note", Some(by(&ana, 1)), None, "before the fork")]);
    scene.say(
        &mut restored,
        &[&left],
        1060,
        vec![erase("note", &[(own(3), 1)]), insert("note", Some(upto(&left, 3)), None, "!")],
    );
    scene.end()
}

fn fork_elsewhere() -> Given {
    let mut scene = Scene::new("a fork in one document renames what follows it in another");
    let mut ana = author(0);
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), insert("note", None, None, "ab")]);
    let mut restored = author(0).after(&first);
    scene.say_in(2, &mut ana, &[], 1010, vec![put("status", "one")]);
    scene.say_in(2, &mut restored, &[], 1020, vec![put("status", "two"), insert("note", None, None, "x")]);
    let edits =
        |text: &str| vec![put("status", text), insert("note", Some(own(0)), Some(own(1)), text), count("picked", 1)];
    let left = scene.say(&mut ana, &[], 1030, edits("left"));
    let right = scene.say(&mut restored, &[], 1040, edits("right"));
    scene.say(
        &mut author(1),
        &[&left, &right],
        1050,
        vec![add("picked", 10), insert("note", Some(upto(&right, 3)), None, "😀")],
    );
    scene.end()
}

fn masked_winner() -> Given {
    let mut scene = Scene::new("of the siblings the lowest id among the unmasked keeps the name");
    let mut branches: Vec<Author> = (0..3).map(|_| author(0)).collect();
    let mut siblings = Vec::new();
    for (number, branch) in branches.iter_mut().enumerate() {
        let text = ["one", "two", "three"][number];
        let sibling =
            scene.say(branch, &[], 1000 + number as u64, vec![put("status", text), insert("note", None, None, text)]);
        scene.say(branch, &[], 1010, vec![put("status", "on"), insert("note", Some(own(1)), None, "+")]);
        siblings.push(sibling);
    }
    let lowest = siblings.iter().min_by_key(|sibling| sibling.id()).unwrap().clone();
    scene.mask(&lowest);
    scene.end()
}

fn fork_of_a_fork() -> Given {
    let mut scene = Scene::new("forks of a forked line, one of them with every sibling masked");
    let mut ana = author(0);
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft")]);
    let mut outer = Vec::new();
    for number in 0..2 {
        let mut branch = author(0).after(&first);
        outer.push(scene.say(&mut branch, &[], 1010 + number, vec![put("status", "outer")]));
    }
    for (at, outer) in outer.iter().enumerate() {
        for number in 0..2 {
            let mut branch = author(0).after(outer);
            let inner = scene.say(
                &mut branch,
                &[],
                1020 + number,
                vec![put("status", "inner"), insert("note", None, None, "n")],
            );
            scene.say(&mut branch, &[], 1030, vec![put("risk", 1)]);
            if at == 0 {
                scene.mask(&inner);
            }
        }
    }
    scene.end()
}

fn masked() -> Given {
    let mut scene = Scene::new("what is masked does not count, and others' work on it stands");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(
        &mut ana,
        &[],
        1000,
        vec![count("picked", 1), put("status", "draft"), insert("note", None, None, "ab")],
    );
    let edits = vec![
        put("status", "masked"),
        add("picked", 10),
        put("risk", 9),
        insert("note", Some(by(&ana, 0)), Some(by(&ana, 1)), "x😀y"),
        erase("note", &[(by(&ana, 1), 1)]),
        delete("nothing"),
        erase("note", &[(own(77), 1)]),
    ];
    let masked = scene.say(&mut ben, &[&first], 1010, edits);
    scene.mask(&masked);
    let edits = vec![
        delete("risk"),
        add("picked", 100),
        insert("note", Some(by(&ben, 1)), Some(by(&ben, 2)), "kept"),
        erase("note", &[(by(&ben, 0), 1)]),
    ];
    scene.say(&mut cleo, &[&masked], 1020, edits);
    scene.say(
        &mut ben,
        &[],
        1030,
        vec![put("risk", 1), insert("note", Some(own(2)), None, "😀"), insert("note", Some(own(3)), None, "!")],
    );
    scene.end()
}

fn purged() -> Given {
    let mut scene = Scene::new("what is purged counts as the zero of its type, held or not");
    let (mut ana, mut ben) = (author(0), author(1));
    let edits = vec![
        put("status", "secret"),
        count("picked", 40),
        put("risk", 3),
        insert("note", None, None, "s😀t"),
        add("picked", 2),
    ];
    let first = scene.say_because(Some("secret"), 1, &mut ana, &[], 1000, edits);
    scene.purge(&first, &[0, 1, 2, 4]);
    let edits = vec![
        add("picked", 7),
        put("status", "open"),
        insert("note", Some(by(&ana, 1)), Some(by(&ana, 2)), "kept"),
        erase("note", &[(by(&ana, 0), 1)]),
    ];
    let second = scene.say(&mut ben, &[&first], 1010, edits);
    scene.purge(&second, &[0]);
    scene.redact(&second, &[0]);
    let third = scene.say(
        &mut ana,
        &[],
        1020,
        vec![put("status", "late"), put("b", false), insert("note", Some(own(2)), None, "🚪")],
    );
    scene.purge(&third, &[0, 1, 9]);
    scene.redact(&third, &[0]);
    scene.end()
}

fn pending_value() -> Given {
    let mut scene = Scene::new(
        "a value that is missing without a purge: nothing of the change set counts, others' work on it stands",
    );
    let (mut ana, mut ben) = (author(0), author(1));
    let first =
        scene.say(&mut ana, &[], 1000, vec![put("status", "a"), put("risk", 1), insert("note", None, None, "a😀")]);
    scene.redact(&first, &[0, 1]);
    scene.purge(&first, &[0]);
    scene.say(&mut ben, &[&first], 1010, vec![put("status", "b"), insert("note", Some(by(&ana, 1)), None, "stands")]);
    let masked = scene.say(&mut ana, &[], 1020, vec![put("status", "c")]);
    scene.redact(&masked, &[0]);
    scene.mask(&masked);
    scene.end()
}

fn newer_format() -> Given {
    let mut scene =
        Scene::new("a newer format is pending with all that builds on it in the document, and nothing else");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), insert("note", None, None, "ab")]);
    let newer = scene.spoil(
        &mut ana,
        Some(&first),
        &[],
        vec![put("status", "newer"), insert("note", None, None, "n")],
        |parts| {
            parts.format = 2;
            parts.skeleton.push(0);
        },
    );
    scene.say_in(2, &mut ana, &[], 1020, vec![put("status", "elsewhere")]);
    scene.say(
        &mut ben,
        &[&newer],
        1030,
        vec![put("status", "on it"), insert("note", Some(by(&ana, 1)), None, "on it")],
    );
    scene.say_in(2, &mut ben, &[], 1040, vec![put("status", "elsewhere too")]);
    let beside = scene.say(
        &mut cleo,
        &[&first],
        1050,
        vec![put("status", "beside"), insert("note", Some(by(&ana, 0)), None, "-")],
    );
    let inherited = scene.say(&mut cleo, &[&newer], 1060, vec![put("status", "inherits")]);
    scene.mask(&inherited);
    scene.say(&mut author(3), &[&beside], 1070, vec![put("risk", 1)]);
    scene.end()
}

fn unreadable() -> Given {
    let mut scene = Scene::new("an unreadable skeleton stands in its chain and says nothing; it has no clock");
    let (mut ana, mut ben) = (author(0), author(1));
    let first = scene.say(&mut ana, &[], 1000, vec![put("status", "draft"), insert("note", None, None, "ab")]);
    let bad =
        scene.spoil(&mut ana, Some(&first), &[], vec![insert("note", None, None, "xyz"), put("risk", 1)], |parts| {
            parts.skeleton.push(0)
        });
    scene.mask(&bad);
    scene.say(&mut ana, &[], 1020, vec![insert("note", Some(own(1)), None, "cd"), put("status", "pass")]);
    scene.say(
        &mut ben,
        &[&bad],
        1030,
        vec![insert("note", Some(upto(&bad, 1)), None, "!"), erase("note", &[(by(&ana, 2), 1)])],
    );
    scene.end()
}

fn wrong_lengths() -> Given {
    let mut scene = Scene::new("a body length that lies, or another number of values: invalid");
    let mut authors: Vec<Author> = (0..4).map(author).collect();
    let first = scene.say(&mut authors[0], &[], 1000, vec![put("status", "draft")]);
    let edits = || vec![put("status", "wrong"), insert("note", None, None, "x")];
    scene.spoil(&mut authors[1], None, &[&first], edits(), |parts| parts.too_long = 1);
    scene.spoil(&mut authors[2], None, &[&first], edits(), |parts| parts.values.push(vec![1]));
    let spoilt = scene.spoil(&mut authors[3], None, &[&first], edits(), |parts| drop(parts.values.pop()));
    scene.say(&mut authors[3], &[], 1010, vec![put("status", "after"), insert("note", None, None, "y")]);
    scene.say(&mut authors[0], &[&spoilt], 1020, vec![put("risk", 1)]);
    scene.end()
}

fn values_that_do_not_fit() -> Given {
    let mut scene = Scene::new("a value that does not fit its skeleton counts as purged");
    let (mut ana, mut ben, mut cleo) = (author(0), author(1), author(2));
    let edits = vec![
        put("a.string", "ab"),
        put("b.int", 7),
        put("c.bool", true),
        count("d.counter", 1),
        count("e.counter", 1),
        add("e.counter", 5),
        put("f.shorter", "abc"),
        insert("note", None, None, "ab"),
        insert("note", Some(own(1)), None, "cd"),
        insert("note", Some(own(3)), None, "ef"),
        put("g.float", Value::Float(0.5)),
    ];
    let first = scene.spoil(&mut ana, None, &[], edits, |parts| {
        parts.values[0] = vec![0xff, 0xfe];
        parts.values[1] = vec![0xf6];
        parts.values[2] = vec![0x01];
        parts.values[3] = vec![0x60];
        parts.values[5] = vec![0xf5];
        parts.values[6] = b"ab".to_vec();
        parts.values[7] = "é".as_bytes().to_vec();
        parts.values[8] = vec![0xff, 0xff];
        parts.values[10] = [&[0xfb, 0x80], [0; 7].as_slice()].concat();
    });
    let edits = vec![
        add("d.counter", 2),
        add("e.counter", 2),
        insert("note", Some(by(&ana, 0)), Some(by(&ana, 1)), "-"),
        add("h.big", 1),
    ];
    scene.say(&mut ben, &[&first], 1010, edits);
    // A counter beyond its limit is none; a longer text of the right number of bytes is no text of this length.
    let edits = vec![count("h.big", 1 << 30), add("h.big", 1 << 30), insert("note", None, None, "abcd")];
    scene.spoil(&mut cleo, None, &[&first], edits, |parts| {
        parts.values[0] = vec![0x1a, 0x80, 0, 0, 0];
        parts.values[1] = vec![0x3a, 0x7f, 0xff, 0xff, 0xff];
        parts.values[2] = "😀".as_bytes().to_vec();
    });
    scene.end()
}

fn many_heads() -> Given {
    let mut scene = Scene::new("more than 32 heads: an author first writes merges, which emit nothing");
    for device in 0..36 {
        let edits = vec![put("status", i64::from(device)), insert("note", None, None, "n")];
        scene.say(&mut author(device), &[], 1000 + u64::from(device), edits);
    }
    let mut replica = Replica { partition: empty(), author: author(40), now: 2000 };
    replica.partition.apply(scene.0.entries.clone());
    let mut tx = replica.partition.transact(&mut replica.author, &key(1), 2000);
    tx.put(&path("status"), "closed".into()).unwrap();
    tx.insert_text(&path("note"), 18, "|").unwrap();
    tx.delete_text(&path("note"), 30, 5).unwrap();
    tx.commit(Commit::new(intent("close"))).unwrap();
    for entry in &replica.partition.log().entries()[36..] {
        scene.keep(&replica.author, entry);
    }
    scene.end()
}

/// What hostile but authorised authors, honest ones and restored devices do in their thousands in the property tests.
fn hostile(seed: u64, steps: usize) -> Given {
    const ACTORS: u8 = 5;
    let mut random = Random::new(seed);
    let options = Options { actors: usize::from(ACTORS), documents: 2, hostile: true, forks: true };
    let history = history(seed, steps, &options);
    let mut partition = empty();
    partition.apply(history.entries);
    let mut scene = Scene::new(&format!("a hostile history of {steps} steps, seed {seed}"));
    let authors: Vec<Author> = (0..ACTORS).map(author).collect();
    for entry in partition.log().entries() {
        let author = authors.iter().find(|author| author.actor().id() == entry.actor().id()).unwrap();
        let signed = scene.keep(author, entry);
        if signed.body().value_count() > 0 && random.chance(6) {
            scene.redact(&signed, &[0]);
        }
        if history.judgement.mask.contains(&entry.id()) {
            scene.mask(&signed);
        }
        if let Some(values) = history.judgement.purges.get(&entry.id()) {
            scene.purge(&signed, &values.iter().copied().collect::<Vec<_>>());
        }
    }
    scene.end()
}
