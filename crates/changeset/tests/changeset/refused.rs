//! `spec/vectors/refused.json`: byte strings that every reader must refuse, each with the place and the reason.
//!
//! Other readers may word the reason as they like. Set `FIELDBOOK_WRITE_VECTORS` to write the file anew.

use crate::json::{bytes, list, text, to_hex, vectors};
use crate::support::{
    IDENTITY_SIGNATURE, NOW, Raw, RawEntry, RawPage, SMALL_R, TORSION_FAILS, TORSION_KEY, WEAK_KEYS, WORKSPACE, author,
    author_bytes, crafted, fork_after, header_after, log_of, partition, plus_group_order, raw_bundle, read_page,
    read_signed, record, record_signed, small_body,
};
use changeset::cbor::{Reader, Writer};
use changeset::limits::{
    MAX_BODY_BYTES, MAX_LINES, MAX_OPS, MAX_PARENTS, MAX_SEQUENCE, MAX_SKELETON_BYTES, MAX_TEXT_RANGES, MAX_TIME_MS,
    MAX_VALUE_BYTES, MAX_VALUES,
};
use changeset::{
    Body, Bundle, ChangeSetId, DecodeError, Header, LogIncarnation, MemoryLog, PageError, RunningHash, Signature,
    Skeleton, Value, ValueType, Verified, VerifyError, encode_page, increment_from_bytes, unpack_page,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

const ABOUT: &str = "Byte strings that every reader refuses; see spec/change-set.md. `form` says what they are offered as: a header, body, \
                     skeleton, value of a type, signed form, page, stored page or bundle. Signed forms and pages are read in this workspace \
                     and partition; pages on the log of the bundle `log`. A signed form or page is refused by reading or by verifying.";

type Refused = (String, String, String);

fn item(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    write(&mut out);
    out.into_bytes()
}

fn uint(value: u64) -> Vec<u8> {
    item(|out| out.uint(value))
}

fn words(value: &str) -> Vec<u8> {
    item(|out| out.text(value))
}

fn string(value: &[u8]) -> Vec<u8> {
    item(|out| out.bytes(value))
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [item(|out| out.array(items.len())), items.concat()].concat()
}

/// The head of an array, string or number that claims `argument`, without what would follow.
fn claim(major: u8, argument: u64) -> Vec<u8> {
    let mut head = uint(argument);
    head[0] |= major << 5;
    head
}

fn null() -> Vec<u8> {
    vec![0xf6]
}

/// `items` with one of them replaced.
fn with(items: &[Vec<u8>], at: usize, by: Vec<u8>) -> Vec<u8> {
    let mut items = items.to_vec();
    items[at] = by;
    array(&items)
}

/// Collects the vectors.
struct List(Vec<(String, String, Vec<u8>)>);

impl List {
    fn add(&mut self, form: &str, name: &str, bytes: Vec<u8>) {
        self.0.push((form.to_owned(), name.to_owned(), bytes));
    }
}

fn headers(list: &mut List) {
    let good = [
        uint(1),
        uint(2),
        string(&[1; 32]),
        words("inspection"),
        string(&[2; 16]),
        array(&[string(&[3; 32]), string(&[4; 32])]),
        uint(NOW),
        null(),
        string(&[5; 32]),
        uint(100),
    ];
    let whole = array(&good);
    assert!(offer("header", &whole).is_ok());
    let mut add = |name: &str, bytes: Vec<u8>| list.add("header", name, bytes);
    add("nothing", Vec::new());
    add("its last byte missing", whole[..whole.len() - 1].to_vec());
    add("a byte more", [&whole[..], &[0]].concat());
    add("an array of indefinite length", [&[0x9f], &whole[1..], &[0xff]].concat());
    add("a text of indefinite length", with(&good, 3, [&[0x7f], &words("inspection")[..], &[0xff]].concat()));
    add("a count in two bytes that fits in one", [&[0x98, 10], &whole[1..]].concat());
    add("a count beyond the bytes", [claim(4, u64::MAX), whole[1..].to_vec()].concat());
    add("9 items", array(&good[..9]));
    add("11 items", array(&[&good[..], &[null()]].concat()));
    add("a map", [&[0xaa], &whole[1..]].concat());
    add("a tagged sequence", with(&good, 1, vec![0xc0, 2]));
    add("format 0", with(&good, 0, uint(0)));
    add("sequence 0", with(&good, 1, uint(0)));
    add("a sequence in two bytes that fits in one", with(&good, 1, vec![0x18, 2]));
    add("a sequence in three bytes that fits in two", with(&good, 1, vec![0x19, 0, 200]));
    add("a sequence in five bytes that fits in three", with(&good, 1, vec![0x1a, 0, 0, 200, 0]));
    add("a sequence in nine bytes that fits in five", with(&good, 1, vec![0x1b, 0, 0, 0, 0, 200, 0, 0, 0]));
    add("a sequence with a reserved head", with(&good, 1, vec![0x1c, 2]));
    add("a sequence over its limit", with(&good, 1, uint(MAX_SEQUENCE + 1)));
    add("a negative sequence", with(&good, 1, vec![0x21]));
    add("a sequence as float", with(&good, 1, item(|out| out.float(2.0))));
    add("sequence 1 with a previous", with(&good, 1, uint(1)));
    add("sequence 2 without a previous", with(&good, 2, null()));
    add("a previous of 31 bytes", with(&good, 2, string(&[1; 31])));
    add("a previous of 33 bytes", with(&good, 2, string(&[1; 33])));
    add("an undefined previous", with(&good, 2, vec![0xf7]));
    add("a kind with a capital", with(&good, 3, words("Inspection")));
    add("an empty kind", with(&good, 3, words("")));
    add("a kind of 33 letters", with(&good, 3, words(&"k".repeat(33))));
    add("a kind that is not UTF-8", with(&good, 3, vec![0x62, 0xc3, 0x28]));
    add("a kind as bytes", with(&good, 3, string(b"inspection")));
    add("a document of 15 bytes", with(&good, 4, string(&[2; 15])));
    add("parents that are not sorted", with(&good, 5, array(&[string(&[4; 32]), string(&[3; 32])])));
    add("a parent twice", with(&good, 5, array(&[string(&[3; 32]), string(&[3; 32])])));
    let many: Vec<Vec<u8>> = (0..=MAX_PARENTS as u8).map(|fill| string(&[fill; 32])).collect();
    add("33 parents", with(&good, 5, array(&many)));
    add("a parent that is null", with(&good, 5, array(&[null()])));
    add("a time over its limit", with(&good, 6, uint(MAX_TIME_MS + 1)));
    add("a grant that is false", with(&good, 7, vec![0xf4]));
    add("a body hash of 64 bytes", with(&good, 8, string(&[5; 64])));
    add("a body hash that is null", with(&good, 8, null()));
    add("a body length over its limit", with(&good, 9, uint(MAX_BODY_BYTES as u64 + 1)));
}

fn bodies(list: &mut List) {
    let group = |id: Vec<u8>, index: u64, count: u64| array(&[id, uint(index), uint(count)]);
    let good = [
        uint(1),
        words("create"),
        group(string(&[9; 16]), 1, 2),
        string(b"skeleton"),
        string(&[7; 16]),
        array(&[string(b"one"), string(b"two")]),
    ];
    assert!(offer("body", &array(&good)).is_ok());
    let kept = || array(&[string(&[1; 32]), string(b"one")]);
    let purged = [&good[..4], &[null(), array(&[kept(), string(&[2; 32])])]].concat();
    assert!(offer("body", &array(&purged)).is_ok());
    let mut add = |name: &str, bytes: Vec<u8>| list.add("body", name, bytes);
    add("5 items", array(&good[..5]));
    add("a schema version over 32 bits", with(&good, 0, uint(1 << 32)));
    add("an intent with a hyphen", with(&good, 1, words("record-outcome")));
    add("an intent of 49 letters", with(&good, 1, words(&"i".repeat(49))));
    add("group 0 of 2", with(&good, 2, group(string(&[9; 16]), 0, 2)));
    add("group 3 of 2", with(&good, 2, group(string(&[9; 16]), 3, 2)));
    add("group 1 of 65,537", with(&good, 2, group(string(&[9; 16]), 1, 65_537)));
    add("a group of two items", with(&good, 2, array(&[string(&[9; 16]), uint(1)])));
    add("a group id of 32 bytes", with(&good, 2, group(string(&[9; 32]), 1, 2)));
    add("a group that is false", with(&good, 2, vec![0xf4]));
    add("a skeleton as text", with(&good, 3, words("skeleton")));
    let at = array(&good[..3]).len();
    let head = [&[0x86], &array(&good[..3])[1..at]].concat();
    add("a skeleton over its limit", [head, claim(2, MAX_SKELETON_BYTES as u64 + 1)].concat());
    add("a salt of 15 bytes", with(&good, 4, string(&[7; 15])));
    add("values as one string", with(&good, 5, string(b"one")));
    add("a value as text", with(&good, 5, array(&[words("one")])));
    let claimed = with(&good, 5, claim(4, MAX_VALUES as u64 + 1));
    add("4,098 values", claimed);
    add("a value over its limit", with(&good, 5, [&[0x81][..], &claim(2, MAX_VALUE_BYTES as u64 + 1)].concat()));
    add("no values, and a salt", with(&good, 5, array(&[])));
    add("no value purged, and no salt of the whole", with(&purged, 5, array(&[kept(), kept()])));
    add("nothing left of nothing", with(&purged, 5, array(&[])));
    add("a commitment of 31 bytes", with(&purged, 5, array(&[kept(), string(&[2; 31])])));
    add(
        "a survivor with the salt of a whole body",
        with(&purged, 5, array(&[array(&[string(&[1; 16]), string(b"one")]), string(&[2; 32])])),
    );
    add("a survivor without its salt", with(&purged, 5, array(&[array(&[string(b"one")]), string(&[2; 32])])));
    add("a purged value as null", with(&purged, 5, array(&[kept(), null()])));
}

fn skeletons(list: &mut List) {
    let with_ops = |lines: &[[u8; 32]], ops: &[Vec<u8>]| {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| string(line)).collect();
        array(&[null(), array(&lines), array(ops)])
    };
    let put = |path: Vec<u8>| array(&[uint(0), path, uint(4), uint(3)]);
    let origin = |line: u64, clock: u64| array(&[uint(line), uint(clock)]);
    let insert = |left: Vec<u8>, bytes: u64, points: u64| {
        array(&[uint(3), words("note"), left, null(), uint(bytes), uint(points)])
    };
    let range = |line: u64, clock: u64, count: u64| array(&[uint(line), uint(clock), uint(count)]);
    let delete = |ranges: &[Vec<u8>]| array(&[uint(4), words("note"), array(ranges)]);
    let (a, b) = ([0xaa; 32], [0xbb; 32]);
    let good = with_ops(&[a, b], &[delete(&[range(0, 0, 1), range(1, 0, 1), range(1, 5, 1), range(2, 0, 1)])]);
    assert!(offer("skeleton", &good).is_ok());
    assert!(offer("skeleton", &with_ops(&[], &[put(words("a")), put(uint(0)), insert(origin(0, 0), 4, 1)])).is_ok());

    let mut add = |name: &str, bytes: Vec<u8>| list.add("skeleton", name, bytes);
    add("its last byte missing", good[..good.len() - 1].to_vec());
    add("a byte more", [&good[..], &[0]].concat());
    add("an unknown op", with_ops(&[], &[array(&[uint(5), words("a")])]));
    add("a put without a length", with_ops(&[], &[array(&[uint(0), words("a"), uint(4)])]));
    add("a delete with a length", with_ops(&[], &[array(&[uint(1), words("a"), uint(4)])]));
    add("an unknown type", with_ops(&[], &[array(&[uint(0), words("a"), uint(10), uint(1)])]));
    add("a value over its limit", with_ops(&[], &[array(&[uint(2), words("a"), uint(MAX_VALUE_BYTES as u64 + 1)])]));
    add("a reason over its limit", array(&[uint(MAX_VALUE_BYTES as u64 + 1), array(&[]), array(&[])]));
    add("a path written out twice", with_ops(&[], &[put(words("a")), put(words("a"))]));
    add("a path number that was not given out", with_ops(&[], &[put(words("a")), put(uint(1))]));
    add("a path with an empty segment", with_ops(&[], &[put(words("a//b"))]));
    add("a path with a capital", with_ops(&[], &[put(words("Status"))]));
    add("a path of 17 segments", with_ops(&[], &[put(words(&["a"; 17].join("/")))]));
    add("a path of 256 bytes", with_ops(&[], &[put(words(&"a".repeat(256)))]));
    add("a path as bytes", with_ops(&[], &[put(string(b"a"))]));
    add("a line that no op names", with_ops(&[a], &[put(words("a"))]));
    add("a line twice", with_ops(&[a, a], &[delete(&[range(1, 0, 1), range(2, 0, 1)])]));
    add("lines out of the order of first use", with_ops(&[a, b], &[delete(&[range(2, 0, 1), range(1, 0, 1)])]));
    add("a line number that was not given out", with_ops(&[a], &[delete(&[range(1, 0, 1), range(2, 0, 1)])]));
    add("a line of 31 bytes", array(&[null(), array(&[string(&[1; 31])]), array(&[delete(&[range(1, 0, 1)])])]));
    add("a clock over 32 bits", with_ops(&[], &[insert(origin(0, 1 << 32), 4, 1)]));
    add("an origin of one item", with_ops(&[], &[insert(array(&[uint(0)]), 4, 1)]));
    add("a text of no code points", with_ops(&[], &[insert(null(), 0, 0)]));
    add("a text of more code points than bytes", with_ops(&[], &[insert(null(), 3, 4)]));
    add("a text of more than four bytes a code point", with_ops(&[], &[insert(null(), 5, 1)]));
    add("a deletion of no ranges", with_ops(&[], &[delete(&[])]));
    add("ranges of one line out of order", with_ops(&[], &[delete(&[range(0, 5, 1), range(0, 0, 1)])]));
    add("ranges of lines out of order", with_ops(&[b, a], &[delete(&[range(1, 0, 1), range(2, 0, 1)])]));
    add("the own line behind another", with_ops(&[a], &[delete(&[range(1, 0, 1), range(0, 0, 1)])]));
    add("ranges that overlap", with_ops(&[], &[delete(&[range(0, 0, 3), range(0, 2, 1)])]));
    add("ranges that touch", with_ops(&[], &[delete(&[range(0, 0, 3), range(0, 3, 1)])]));
    add("a range of nothing", with_ops(&[], &[delete(&[range(0, 0, 0)])]));
    add("a range past the last clock", with_ops(&[], &[delete(&[range(0, u64::from(u32::MAX), 1)])]));
    let claimed = |ops: Vec<u8>| array(&[null(), array(&[]), ops]);
    add("4,097 ops", claimed(claim(4, MAX_OPS as u64 + 1)));
    add("1,025 lines", [vec![0x83, 0xf6], claim(4, MAX_LINES as u64 + 1)].concat());
    let ranges = [vec![0x81, 0x83, 0x04], words("a"), claim(4, MAX_TEXT_RANGES as u64 + 1)].concat();
    add("4,097 ranges", claimed(ranges));
}

fn values(list: &mut List) {
    let hash = || string(&[1; 32]);
    let reference =
        |partition: &str, kind: &str, id: usize| array(&[words(partition), words(kind), string(&vec![2; id])]);
    for (form, name, bytes) in [
        ("simple", "two of them", vec![0xf6, 0xf6]),
        ("simple", "undefined", vec![0xf7]),
        ("simple", "a number", vec![0]),
        ("simple", "nothing", Vec::new()),
        ("int", "above 64 bits with sign", claim(0, 1 << 63)),
        ("int", "below 64 bits with sign", claim(1, 1 << 63)),
        ("int", "null", null()),
        ("int", "not the shortest form", vec![0x38, 23]),
        ("int", "a byte more", vec![0, 0]),
        ("decimal", "19 digits after the point", array(&[uint(1), uint(19)])),
        ("decimal", "a negative scale", array(&[uint(1), vec![0x20]])),
        ("decimal", "no scale", array(&[uint(1)])),
        ("float", "not a number", [vec![0xfb], f64::NAN.to_bits().to_be_bytes().to_vec()].concat()),
        ("float", "infinity", item(|out| out.float(f64::INFINITY))),
        ("float", "negative zero", item(|out| out.float(-0.0))),
        ("float", "of 16 bits", vec![0xf9, 0x3c, 0]),
        ("float", "of 32 bits", vec![0xfa, 0x3f, 0x80, 0, 0]),
        ("float", "an integer", uint(1)),
        ("string", "not UTF-8", vec![b'a', 0xc3]),
        ("string", "a surrogate", vec![0xed, 0xa0, 0x80]),
        ("timestamp", "text", words("2025-10-09")),
        ("counter", "over its limit", uint(1 << 31)),
        ("counter", "below its limit", item(|out| out.int(-(1 << 31)))),
        ("increment", "over its limit", uint(1 << 31)),
        ("increment", "of nothing", Vec::new()),
        ("reference", "a partition with a capital", reference("North", "order", 16)),
        ("reference", "a kind with a dot", reference("north", "or.der", 16)),
        ("reference", "a document of 17 bytes", reference("north", "order", 17)),
        ("attachment", "a media type of 128 bytes", array(&[hash(), uint(1), words(&"m".repeat(128))])),
        ("attachment", "a hash of 20 bytes", array(&[string(&[1; 20]), uint(1), words("image/png")])),
        ("attachment", "a negative length", array(&[hash(), vec![0x20], words("image/png")])),
    ] {
        list.add(&format!("value:{form}"), name, bytes);
    }
}

/// Where the signature begins: after the array's head, the author with its head, and its own head.
const SIGNATURE_AT: usize = 1 + 42 + 2;

fn signed_forms(list: &mut List) {
    let entry = record_signed(&mut author(1), 1, &[]);
    let bytes = entry.to_bytes().unwrap();
    let signed = |signature: &Signature| {
        let mut bytes = bytes.clone();
        bytes[SIGNATURE_AT..SIGNATURE_AT + 64].copy_from_slice(signature.as_bytes());
        bytes
    };
    let own = entry.signature().unwrap();
    assert_eq!(signed(own), bytes);
    let mut add = |name: &str, bytes: Vec<u8>| list.add("signed", name, bytes);
    add("its last byte missing", bytes[..bytes.len() - 1].to_vec());
    add("a byte more", [&bytes[..], &[0]].concat());
    add("an author of 39 bytes", [&[0x84][..], &string(&[1; 39]), &bytes[43..]].concat());
    add("no signature", [&bytes[..SIGNATURE_AT - 2], &null(), &bytes[SIGNATURE_AT + 64..]].concat());
    let mut other_value = bytes.clone();
    *other_value.last_mut().unwrap() ^= 1;
    add("another value than was signed", other_value);
    add("another's signature", signed(record_signed(&mut author(2), 1, &[]).signature().unwrap()));
    add("another's name", [&bytes[..3], &author_bytes(&record(&mut author(2), 1, &[])), &bytes[43..]].concat());
    let mut renamed = bytes.clone();
    renamed[42] ^= 1;
    add("another incarnation", renamed);
    add("a signature of zeros", signed(&Signature::from_bytes([0; 64])));
    add("a signature with S + L", signed(&plus_group_order(own)));
    let small_r = crafted(&entry.actor().key().to_string(), SMALL_R);
    assert_eq!(small_r.id(), entry.id());
    add("a signature with an R of small order", small_r.to_bytes().unwrap());
    let torsion = crafted(TORSION_KEY, TORSION_FAILS).to_bytes().unwrap();
    add("a signature that holds only with the cofactor", torsion);
    for key in [0, 2, 4, 10, 14] {
        let weak = crafted(WEAK_KEYS[key], IDENTITY_SIGNATURE).to_bytes().unwrap();
        add(&format!("a key of small order or no point ({})", &WEAK_KEYS[key][..8]), weak);
    }
    let mut moved = author(1);
    let body = small_body();
    let zero = moved.danger_append(Header { format: 0, ..header_after(None, &body) }, body);
    add("a signed header of format 0", moved.sign(&zero).unwrap().to_bytes().unwrap());
}

/// The log that pages are read on: a fork of actor 1, and one entry of actor 2.
fn log() -> MemoryLog {
    let mut one = author(1);
    let first = record_signed(&mut one, 1, &[]);
    let second = record_signed(&mut one, 1, &[]);
    let fork = fork_after(1, &first, 1, &[]);
    log_of([&first, &second, &fork, &record_signed(&mut author(2), 2, &[])])
}

fn prefix(entry: &Verified) -> [u8; 8] {
    entry.actor().id().as_bytes()[..8].try_into().unwrap()
}

fn pages(list: &mut List) {
    let log = log();
    let [first, second, fork, other] = log.entries() else { unreachable!() };
    let mut three = author(3);
    let fresh: Vec<Verified> = (0..3).map(|_| record_signed(&mut three, 1, &[])).collect();
    let signature = |index: usize| fresh[index].signature().copied();
    let run = |signatures: [Option<Signature>; 2]| {
        let [a, b] = signatures;
        RawPage::of(&fresh[0], vec![RawEntry::first(&fresh[0], a), RawEntry::following(&fresh[1], 0, NOW, b)])
    };
    assert!(offer("page", &run([None, signature(1)]).to_bytes()).is_ok());
    let mut add = |name: &str, page: RawPage| list.add("page", name, page.to_bytes());
    let one = |change: &dyn Fn(&mut RawEntry)| {
        let mut entry = RawEntry::first(&fresh[0], signature(0));
        change(&mut entry);
        RawPage::of(&fresh[0], vec![entry])
    };
    add("version 2", RawPage { version: 2, ..one(&|_| ()) });
    add("an actor of 32 bytes", RawPage { actors: vec![vec![1; 32]], ..one(&|_| ()) });
    add("an actor that the log does not hold", RawPage { actors: vec![vec![1; 8]], ..one(&|_| ()) });
    add("an actor number that is not there", one(&|entry| entry.actor = 1));
    add("a document number that is not there", one(&|entry| entry.document = Raw::Int(1)));
    add("a grant number that is not there", one(&|entry| entry.grant = Raw::Int(0)));
    add("a previous that is the entry itself", one(&|entry| entry.previous = Raw::Int(0)));
    add("a previous that this log does not hold", one(&|entry| entry.previous = Raw::Int(-1)));
    add("a previous of an unknown id", one(&|entry| entry.previous = Raw::Bytes(vec![7; 32])));
    add("a previous of 8 bytes", one(&|entry| entry.previous = Raw::Bytes(prefix(first).to_vec())));
    let others = Raw::Bytes(first.id().as_bytes().to_vec());
    add("a previous of another actor", one(&|entry| entry.previous = others.clone()));
    add("the document of nothing", one(&|entry| entry.document = Raw::Null));
    add(
        "the document of a parent that is not held",
        one(&|entry| {
            entry.document = Raw::Null;
            entry.parents = vec![Raw::Bytes(vec![7; 32])];
        }),
    );
    add("the document of an own entry that is not held", one(&|entry| entry.document = Raw::Int(-1)));
    add("a parent that is the entry itself", one(&|entry| entry.parents = vec![Raw::Int(0)]));
    add("a parent that this log does not hold", one(&|entry| entry.parents = vec![Raw::Pair(prefix(first), 3)]));
    add("a parent twice", one(&|entry| entry.parents = vec![Raw::Pair(prefix(first), 1), Raw::Pair(prefix(first), 1)]));
    add(
        "parents that are not sorted",
        one(&|entry| {
            let mut parents = [first.id(), second.id()];
            parents.sort();
            let [low, high] = parents.map(|id| Raw::Bytes(id.as_bytes().to_vec()));
            entry.parents = vec![high, low];
        }),
    );
    add("a time over its limit", one(&|entry| entry.time = MAX_TIME_MS + 1));
    add("a format of 0", one(&|entry| entry.explicit = Some((0, 10))));
    add("a body length over its limit", one(&|entry| entry.explicit = Some((1, MAX_BODY_BYTES as u64 + 1))));
    add(
        "a body with a byte too few",
        one(&|entry| {
            entry.body.pop();
        }),
    );
    add("an actor number of an empty table", {
        let mut page = one(&|_| ());
        page.actors.clear();
        page
    });
    add("an entry that nothing attests", run([signature(0), None]));
    add("another previous than was signed", {
        let mut page = run([None, signature(1)]);
        page.entries[1].previous = Raw::Null;
        page.entries[1].document = Raw::Int(0);
        page
    });
    add("a signature of another entry", run([signature(1), signature(1)]));
    add("a signature with S + L", run([None, Some(plus_group_order(&signature(1).unwrap()))]));
    add("another time than was signed", {
        let mut page = run([None, signature(1)]);
        page.entries[1].time += 1;
        page
    });
    add("a newer format than was signed", {
        let mut page = run([None, signature(1)]);
        page.entries[1].explicit = Some((2, fresh[1].header().body_length));
        page
    });
    let weak = crafted(WEAK_KEYS[2], IDENTITY_SIGNATURE);
    add("a key of small order", RawPage::of(&weak, vec![RawEntry::first(&weak, weak.signature().copied())]));
    add("an entry twice", {
        RawPage::of(&fresh[0], vec![RawEntry::first(&fresh[0], signature(0)), RawEntry::first(&fresh[0], signature(0))])
    });
    add("more bytes without a signature than a run may have", heavy_run());
    add("a previous that means the lowest sibling, signed after the other", {
        let next = fork_after(1, fork, 1, &[]);
        let mut page = RawPage::of(&next, vec![RawEntry::first(&next, next.signature().copied())]);
        page.actors = vec![prefix(first).to_vec()];
        page.entries[0].previous = Raw::Int(-2);
        page.entries[0].document = Raw::Null;
        page.entries[0].time = next.header().time - second.header().time;
        page
    });
    add("another document than was signed", {
        let mut page = RawPage::of(other, vec![RawEntry::first(other, other.signature().copied())]);
        page.documents = vec![first.header().document.clone()];
        page
    });

    let good = run([None, signature(1)]).to_bytes();
    list.add("page", "nothing", Vec::new());
    list.add("page", "its last byte missing", good[..good.len() - 1].to_vec());
    list.add("page", "a byte more", [&good[..], &[0]].concat());
    list.add("page", "4,097 entries", [vec![0x85, 1, 0x80, 0x80, 0x80], claim(4, 4_097)].concat());
    list.add("page", "an entry of 9 items", {
        let page = RawPage::of(&fresh[0], vec![RawEntry::first(&fresh[0], signature(0))]).to_bytes();
        let actor = [0x88, 0, 0xf6];
        let at = page.windows(3).position(|window| window == actor).unwrap();
        [&page[..at], &[0x89], &page[at + 1..]].concat()
    });
    list.add("page", "a table document of a kind with a capital", {
        let page = RawPage::of(&fresh[0], vec![RawEntry::first(&fresh[0], signature(0))]).to_bytes();
        let at = page.windows(10).position(|window| window == b"inspection").unwrap();
        let mut page = page;
        page[at] = b'I';
        page
    });
}

/// Five entries that say they are as large as can be, with one signature.
fn heavy_run() -> RawPage {
    let mut hostile = author(4);
    let body = small_body();
    let mut entries: Vec<Verified> = Vec::new();
    for _ in 0..5 {
        let header = Header { body_length: MAX_BODY_BYTES as u64, ..header_after(entries.last(), &body) };
        entries.push(hostile.danger_append(header, body.clone()));
    }
    let last = hostile.sign(&entries[4]).unwrap();
    let raw = entries.iter().enumerate().map(|(index, entry)| match index {
        0 => RawEntry::first(entry, None),
        4 => RawEntry::following(&last, 3, NOW, last.signature().copied()),
        _ => RawEntry::following(entry, index as u64 - 1, NOW, None),
    });
    RawPage::of(&entries[0], raw.collect())
}

fn bundles(list: &mut List) {
    let log = log();
    let incarnation = LogIncarnation::from_bytes([8; 8]);
    let page = encode_page(log.entries(), &MemoryLog::new()).unwrap();
    let start = RunningHash::start(&WORKSPACE, &partition(), &incarnation);
    let end = |entries: &[Verified]| entries.iter().fold(start, |running, entry| running.then(&entry.id()));
    let bundle = |partition: &str, pages: &[Vec<u8>], end: &[u8]| {
        raw_bundle(&WORKSPACE, partition, incarnation.as_bytes(), pages, end)
    };
    let whole = end(log.entries());
    let good = bundle("harbour-7", std::slice::from_ref(&page), whole.as_bytes());
    assert!(offer("bundle", &good).is_ok());
    let mut add = |name: &str, bytes: Vec<u8>| list.add("bundle", name, bytes);
    add("other first bytes", [b"FBBUNDL2", &good[8..]].concat());
    add("its first bytes alone", good[..8].to_vec());
    add("its last byte missing", good[..good.len() - 1].to_vec());
    add("a byte more", [&good[..], &[0]].concat());
    add("a partition with a capital", bundle("Harbour-7", std::slice::from_ref(&page), whole.as_bytes()));
    add("another partition", bundle("harbour-8", std::slice::from_ref(&page), whole.as_bytes()));
    add("another running hash", bundle("harbour-7", std::slice::from_ref(&page), &[0; 32]));
    add("a running hash of 31 bytes", bundle("harbour-7", std::slice::from_ref(&page), &[0; 31]));
    add("no pages, and a running hash over some", bundle("harbour-7", &[], whole.as_bytes()));
    add("a page twice", {
        let twice = log.entries().iter().fold(whole, |running, entry| running.then(&entry.id()));
        bundle("harbour-7", &[page.clone(), page.clone()], twice.as_bytes())
    });
    add("a first page that refers back", {
        let next = fork_after(1, &log.entries()[1], 1, &[]);
        let page = encode_page(std::slice::from_ref(&next), &log).unwrap();
        bundle("harbour-7", &[page], start.then(&next.id()).as_bytes())
    });
    add("a stored page in place of a page", bundle("harbour-7", &[changeset::pack_page(&page)], whole.as_bytes()));
}

fn stored_pages(list: &mut List) {
    list.add("stored", "nothing", Vec::new());
    list.add("stored", "an unknown first byte", vec![2, 0]);
    list.add("stored", "no frame of zstd", vec![1, 0, 1, 2, 3]);
    // One block of 128 KiB of zeros, 65 times: 520 KiB over the limit, from 270 bytes.
    let mut frame = vec![1, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 0..65_u32 {
        let head = ((128 << 10) << 3 | 1 << 1 | u32::from(block == 64)).to_le_bytes();
        frame.extend_from_slice(&head[..3]);
        frame.push(0);
    }
    list.add("stored", "more than a page when decompressed", frame);
}

/// Offers bytes as a form; what is refused gives the fault's name, the place and the reason.
fn offer(form: &str, bytes: &[u8]) -> Result<(), Refused> {
    let whole = |result: Result<(), DecodeError>, reader: &Reader<'_>| {
        result.and_then(|()| reader.finish()).map_err(|error| malformed(&error))
    };
    match form {
        "header" => {
            let mut reader = Reader::new(bytes, "header");
            let result = Header::read(&mut reader).map(|_| ());
            whole(result, &reader)
        }
        "body" => {
            let mut reader = Reader::new(bytes, "body");
            let result = Body::read(&mut reader).map(|_| ());
            whole(result, &reader)
        }
        "skeleton" => Skeleton::from_bytes(bytes).map(|_| ()).map_err(|error| malformed(&error)),
        "value:increment" => increment_from_bytes(bytes).map(|_| ()).map_err(|error| malformed(&error)),
        "signed" => read_signed(bytes).map(|_| ()).map_err(|error| unverified(&error)),
        "page" => read_page(bytes, &log()).map(|_| ()).map_err(|error| bad_page(&error)),
        "stored" => unpack_page(bytes).map(|_| ()).map_err(|error| bad_page(&error)),
        "bundle" => Bundle::from_bytes(bytes, |_| ()).map(|_| ()).map_err(|error| bad_page(&error)),
        _ => {
            let code = TYPES.iter().position(|name| form.strip_prefix("value:") == Some(*name)).unwrap();
            let value_type = ValueType::from_code(code as u64).unwrap();
            Value::from_bytes(value_type, bytes).map(|_| ()).map_err(|error| malformed(&error))
        }
    }
}

const TYPES: [&str; 10] =
    ["simple", "int", "decimal", "float", "string", "bytes", "timestamp", "counter", "reference", "attachment"];

/// The name of an enum's variant.
fn variant(value: &impl core::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn malformed(error: &DecodeError) -> Refused {
    (variant(&error.fault), error.place.to_owned(), error.to_string())
}

fn unverified(error: &VerifyError) -> Refused {
    if let VerifyError::Malformed(error) = error {
        return malformed(error);
    }
    (variant(error), "verification".to_owned(), error.to_string())
}

fn bad_page(error: &PageError) -> Refused {
    let within = |(fault, place, _): Refused, outer: String| (fault, format!("{outer}, {place}"), error.to_string());
    if let PageError::Malformed(error) = error {
        malformed(error)
    } else if let PageError::Verify(error) = error {
        unverified(error)
    } else if let PageError::Entry { entry, error } = error {
        within(malformed(error), format!("entry {entry}"))
    } else if let PageError::InPage { page, error } = error {
        within(bad_page(error), format!("page {page}"))
    } else if let PageError::Missing { entry, .. } = error {
        (variant(error), format!("entry {entry}"), error.to_string())
    } else {
        (variant(error), "stored page".to_owned(), error.to_string())
    }
}

fn make() -> Json {
    let mut list = List(Vec::new());
    headers(&mut list);
    bodies(&mut list);
    skeletons(&mut list);
    values(&mut list);
    signed_forms(&mut list);
    pages(&mut list);
    stored_pages(&mut list);
    bundles(&mut list);
    let refused: Vec<Json> = list
        .0
        .iter()
        .map(|(form, name, bytes)| {
            let Err((fault, place, reason)) = offer(form, bytes) else { panic!("{form}, {name}: it was read") };
            json!({ "form": form, "name": name, "hex": to_hex(bytes), "fault": fault, "place": place, "reason": reason })
        })
        .collect();
    let log = Bundle {
        workspace: WORKSPACE,
        partition: partition(),
        log: LogIncarnation::from_bytes([8; 8]),
        entries: log().entries().to_vec(),
    };
    json!({
        "about": ABOUT,
        "workspace": WORKSPACE.to_string(),
        "partition": partition().as_str(),
        "log": to_hex(log.to_bytes().unwrap()),
        "refused": refused,
    })
}

#[test]
fn the_vectors_of_refusals_hold() {
    let made = make();
    let held = vectors("refused.json", &made);
    assert!(held == made, "what this version refuses is not what the vectors say");
    let mut seen = BTreeSet::new();
    for row in list(&held["refused"]) {
        let (form, name) = (text(&row["form"]), text(&row["name"]));
        let refused = offer(form, &bytes(&row["hex"]));
        let told = (text(&row["fault"]).to_owned(), text(&row["place"]).to_owned(), text(&row["reason"]).to_owned());
        assert_eq!(refused, Err(told), "{form}, {name}");
        assert!(seen.insert((form, name)), "{form}, {name}: twice");
    }
    assert_eq!(Bundle::from_bytes(&bytes(&held["log"]), |_| ()).unwrap().entries, log().entries());
}

/// Every reason that bytes can be refused for has a vector. Left out are those that only writing gives (`Unsigned`,
/// `WrongPartition`) and a page too large to be a vector (`TooLarge`).
#[test]
fn the_vectors_of_refusals_cover_every_fault() {
    let made = make();
    let rows = list(&made["refused"]);
    assert!(rows.len() >= 60);
    let faults: BTreeSet<&str> = rows.iter().map(|row| text(&row["fault"])).collect();
    let wanted = [
        "Truncated",
        "TrailingBytes",
        "NotShortest",
        "IndefiniteLength",
        "Expected",
        "OverLimit",
        "WrongLength",
        "NotUtf8",
        "NotFinite",
        "BadName",
        "Zero",
        "Unsorted",
        "UnknownCode",
        "BadReference",
        "NotCanonical",
        "Mismatch",
        "BadKey",
        "BodyMismatch",
        "BadSignature",
        "Unattested",
        "RunTooLong",
        "Missing",
        "Compression",
    ];
    assert_eq!(faults, wanted.into_iter().collect());
    let too_large = vec![0; changeset::limits::MAX_PAGE_BYTES + 1];
    assert!(matches!(read_page(&too_large, &MemoryLog::new()), Err(PageError::TooLarge { .. })));
    assert!(matches!(unpack_page(&[&too_large[..], &[0]].concat()), Err(PageError::TooLarge { .. })));
    assert_eq!(ChangeSetId::from_hex(text(&made["workspace"])).map(|id| *id.as_bytes()), Some(*WORKSPACE.as_bytes()));
}
