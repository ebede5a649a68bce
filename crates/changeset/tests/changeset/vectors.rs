//! `spec/vectors/change-set.json`: change sets with every input spelled out, and every byte that follows from it.
//!
//! Set `FIELDBOOK_WRITE_VECTORS` to write the file anew. Without it the test demands that what this version makes is what
//! the file says, and then checks the file from its own inputs alone.

use crate::json::{body, bytes, fixed, header, list, text, to_hex, vectors};
use crate::support::{
    NOW, SMALL_R, TORSION_FAILS, TORSION_HOLDS, TORSION_KEY, WEAK_KEYS, author, crafted, log_of, plus_group_order,
    record_signed,
};
use changeset::cbor::{Reader, Writer};
use changeset::hash::{branch_name, change_set_id, value_commitment, value_salt};
use changeset::{
    Actor, Author, Body, BranchName, Bundle, DeviceKey, FORMAT_PLAIN, Header, Incarnation, LogIncarnation, MemoryLog,
    Partition, PublicKey, RunningHash, SeededEntropy, Signed, Signer, Skeleton, Verified, WorkspaceId, decode_page,
    encode_page, unpack_page,
};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const ABOUT: &str = "Change sets with every input spelled out, and the bytes that follow from it; see spec/change-set.md. \
                     Bytes are hexadecimal; numbers inside values are decimal text. An entry's actor, header inputs and body inputs give all \
                     its other members. Entries stand in log order; pages and bundle name them.";

const INSPECTION: [&str; 2] = ["inspection", "0199c82cc0007101810101010101010a"];
const ORDER: [&str; 2] = ["order", "0199c82cc0007202820202020202020b"];
const GRANT: &str = "6767676767676767676767676767676767676767676767676767676767676767";

/// The context of all entries.
struct Context {
    workspace: WorkspaceId,
    partition: Partition,
    log: LogIncarnation,
}

impl Context {
    fn of(json: &Json) -> Self {
        Self {
            workspace: WorkspaceId::from_bytes(fixed(&json["workspace"])),
            partition: Partition::new(text(&json["partition"])).unwrap(),
            log: LogIncarnation::from_bytes(fixed(&json["log"])),
        }
    }

    fn author(&self, actor: &Json) -> Author {
        let key = Arc::new(DeviceKey::from_secret(&fixed(&actor["secret"])));
        let incarnation = Incarnation::from_bytes(fixed(&actor["incarnation"]));
        Author::new(key, self.workspace, self.partition.clone(), incarnation, Box::new(SeededEntropy::new(0)))
    }

    fn read(&self, page: &[u8], log: &MemoryLog) -> Vec<Verified> {
        decode_page(page, &self.workspace, &self.partition, log).unwrap().verify().unwrap()
    }
}

fn actor(name: &str, fill: u8) -> Json {
    json!({ "name": name, "secret": to_hex([fill; 32]), "incarnation": to_hex([fill ^ 0xff; 8]) })
}

/// Writes the file's content from a few inputs.
struct Maker {
    context: Context,
    actors: Vec<Json>,
    entries: Vec<Json>,
    made: BTreeMap<String, Verified>,
}

/// One entry's inputs that differ from entry to entry.
struct Input<'a> {
    name: &'a str,
    actor: &'a str,
    previous: Option<&'a str>,
    document: [&'a str; 2],
    parents: &'a [&'a str],
    body: Json,
}

fn plain(intent: &str, script: Json) -> Json {
    json!({ "schema_version": 1, "intent": intent, "group": null, "script": script })
}

fn edits(edits: Json) -> Json {
    json!({ "reason": null, "edits": edits })
}

fn put_text(path: &str, value: &str) -> Json {
    json!({ "op": "put", "path": path, "value": { "type": "string", "value": value } })
}

impl Maker {
    fn id(&self, name: &str) -> String {
        self.made.get(name).unwrap_or_else(|| panic!("no entry {name}")).id().to_string()
    }

    fn actor_id(&self, name: &str) -> String {
        let actor = self.actors.iter().find(|actor| actor["name"] == name).unwrap();
        self.context.author(actor).actor().id().to_string()
    }

    /// Completes the header from the chain and the body, and derives the rest.
    fn add(&mut self, input: Input<'_>, change: impl FnOnce(&mut Json)) {
        let Input { name, actor, previous, document: [kind, document], parents, body: mut body_json } = input;
        let number = self.entries.len() as u64;
        let before = previous.map(|previous| self.made[previous].header().clone());
        let salt = [0x50 + number as u8; 16];
        body_json["salt"] = json!(to_hex(salt));
        let made = body(&body_json);
        if made.value_count() == 0 {
            body_json["salt"] = json!(to_hex([0; 16]));
        }
        let mut parents: Vec<String> = parents.iter().map(|parent| self.id(parent)).collect();
        parents.sort();
        let mut header = json!({
            "format": FORMAT_PLAIN,
            "sequence": before.as_ref().map_or(1, |before| before.sequence + 1),
            "previous": previous.map(|previous| self.id(previous)),
            "kind": kind,
            "document": document,
            "parents": parents,
            "time": NOW + number * 61_000,
            "grant": null,
            "body_hash": to_hex(made.hash()),
            "body_length": made.to_bytes().len(),
        });
        change(&mut header);
        let mut entry = json!({ "name": name, "actor": actor, "header": header, "body": body_json });
        let verified = derive(&self.context, &self.actors, &mut entry);
        self.made.insert(name.to_owned(), verified);
        self.entries.push(entry);
    }
}

/// Adds to an entry what follows from its inputs.
fn derive(context: &Context, actors: &[Json], entry: &mut Json) -> Verified {
    let actor = actors.iter().find(|actor| actor["name"] == entry["actor"]).unwrap();
    let mut author = context.author(actor);
    let (header, body) = (header(&entry["header"]), body(&entry["body"]));
    assert_eq!(header.body_hash, body.hash());
    let verified = author.danger_append(header.clone(), body.clone());
    let verified = author.sign(&verified).unwrap();
    let salt: [u8; 16] = fixed(&entry["body"]["salt"]);
    let values: Vec<&[u8]> = (0..body.value_count()).map(|index| body.value(index).unwrap()).collect();
    let salts: Vec<[u8; 32]> = (0..values.len()).map(|index| value_salt(&salt, index as u32)).collect();
    let commitments = salts.iter().zip(&values).map(|(salt, value)| to_hex(value_commitment(salt, value)));
    let content = if header.format != FORMAT_PLAIN {
        "newer format"
    } else if verified.skeleton().is_err() {
        "unreadable skeleton"
    } else {
        "plain"
    };
    let derived = json!({
        "content": content,
        "skeleton": to_hex(&body.skeleton),
        "values": values.iter().map(to_hex).collect::<Vec<_>>(),
        "value_salts": salts.iter().map(to_hex).collect::<Vec<_>>(),
        "commitments": commitments.collect::<Vec<_>>(),
        "body_bytes": to_hex(body.to_bytes()),
        "header_bytes": to_hex(header.to_bytes()),
        "id": verified.id().to_string(),
        "signature": to_hex(verified.signature().unwrap().as_bytes()),
        "signed": to_hex(verified.to_bytes().unwrap()),
    });
    let Json::Object(derived) = derived else { unreachable!() };
    entry.as_object_mut().unwrap().extend(derived);
    if values.len() > 1 {
        let all: Vec<usize> = (0..values.len()).collect();
        let redacted = [&all[..1], &all[1..], &all[..]].map(|purged| redacted(&verified, purged));
        entry["redacted"] = json!(redacted);
    }
    verified
}

fn redacted(entry: &Verified, purged: &[usize]) -> Json {
    let redacted = entry.redact(purged);
    json!({
        "purged": purged,
        "body_bytes": to_hex(redacted.body().to_bytes()),
        "signed": to_hex(redacted.to_bytes().unwrap()),
    })
}

fn every_value() -> Json {
    let put = |path: &str, value: Json| json!({ "op": "put", "path": path, "value": value });
    let [kind, document] = ORDER;
    json!([
        put("null", json!({ "type": "null" })),
        put("true", json!({ "type": "bool", "value": true })),
        put("false", json!({ "type": "bool", "value": false })),
        put("int", json!({ "type": "int", "value": "-9223372036854775808" })),
        put("int/23", json!({ "type": "int", "value": "23" })),
        put("int/24", json!({ "type": "int", "value": "24" })),
        put("decimal", json!({ "type": "decimal", "mantissa": "-1250", "scale": 2 })),
        put("float", json!({ "type": "float", "value": "0.1" })),
        put("float/0", json!({ "type": "float", "value": "0" })),
        put("string", json!({ "type": "string", "value": "Öl geprüft ✓ 😀" })),
        put("string/empty", json!({ "type": "string", "value": "" })),
        put("bytes", json!({ "type": "bytes", "value": "00ff" })),
        put("timestamp", json!({ "type": "timestamp", "value": "-1" })),
        put("counter", json!({ "type": "counter", "value": "2147483647" })),
        put("reference", json!({ "type": "reference", "partition": "north", "kind": kind, "document": document })),
        put(
            "attachment",
            json!({
                "type": "attachment",
                "hash": to_hex(blake3::hash(b"photo").as_bytes()),
                "length": "1099511627776",
                "media_type": "image/jpeg",
            })
        ),
    ])
}

fn every_op(own: &str, change_set: &str) -> Json {
    // The own line first, then by name.
    let mut ranges = [
        json!({ "line": change_set, "clock": 3, "length": 2 }),
        json!({ "line": own, "clock": 4_294_967_294_u32, "length": 1 }),
        json!({ "line": "own", "clock": 0, "length": 1 }),
    ];
    ranges.sort_by_key(|range| (range["line"] != "own", range["line"].to_string()));
    json!([
        put_text("status", "draft"),
        put_text("status", "ready"),
        { "op": "put", "path": "picked", "value": { "type": "counter", "value": "-5" } },
        { "op": "increment", "path": "picked", "amount": "-2147483647" },
        { "op": "increment", "path": "picked", "amount": "0" },
        { "op": "delete", "path": "items/7/." },
        { "op": "insert-text", "path": "note", "left": null, "right": null, "text": "Grüße 😀" },
        {
            "op": "insert-text",
            "path": "note",
            "left": { "line": "own", "clock": 6 },
            "right": { "line": own, "clock": 70_000 },
            "text": "!",
        },
        {
            "op": "delete-text",
            "path": "note",
            "ranges": ranges,
        },
    ])
}

fn make() -> Json {
    let context = json!({
        "workspace": to_hex([0x57; 32]),
        "partition": "harbour-7",
        "log": to_hex([0x10; 8]),
    });
    let mut maker = Maker {
        context: Context::of(&context),
        actors: vec![actor("one", 1), actor("two", 2), actor("three", 3)],
        entries: Vec::new(),
        made: BTreeMap::new(),
    };
    make_entries(&mut maker);
    let Maker { context, actors, entries, made } = maker;
    let ids: Vec<&Verified> = entries.iter().map(|entry| &made[text(&entry["name"])]).collect();
    let start = RunningHash::start(&context.workspace, &context.partition, &context.log);
    let mut running = start;
    let hashes: Vec<String> = ids
        .iter()
        .map(|entry| {
            running = running.then(&entry.id());
            to_hex(running.as_bytes())
        })
        .collect();
    let bundle = Bundle {
        workspace: context.workspace,
        partition: context.partition.clone(),
        log: context.log,
        entries: ids.iter().map(|entry| (*entry).clone()).collect(),
    };
    let actors: Vec<Json> = actors
        .into_iter()
        .map(|mut actor| {
            let derived = Arc::clone(context.author(&actor).actor());
            actor["public"] = json!(derived.key().to_string());
            actor["id"] = json!(derived.id().to_string());
            actor
        })
        .collect();
    json!({
        "about": ABOUT,
        "workspace": context.workspace.to_string(),
        "partition": context.partition.as_str(),
        "log": context.log.to_string(),
        "actors": actors,
        "entries": entries,
        "running": { "start": to_hex(start.as_bytes()), "after": hashes },
        "forks": forks(&made),
        "pages": pages(&made),
        "stored": stored(&made),
        "bundle": to_hex(bundle.to_bytes().unwrap()),
        "signatures": signatures(),
    })
}

fn make_entries(maker: &mut Maker) {
    let input =
        |name, actor, previous, document, parents, body| Input { name, actor, previous, document, parents, body };
    let mut values = plain("create", json!({ "reason": "erste Begehung", "edits": every_value() }));
    values["group"] = json!({ "id": to_hex([0x99; 16]), "index": 1, "count": 2 });
    values["schema_version"] = json!(u32::MAX);
    maker.add(input("every value", "one", None, INSPECTION, &[], values), |header| header["grant"] = json!(GRANT));

    let ops = plain("record_outcome", edits(every_op(&maker.actor_id("one"), &maker.id("every value"))));
    maker.add(input("every op", "one", Some("every value"), INSPECTION, &[], ops), |_| ());

    let body = plain("record_outcome", edits(json!([put_text("status", "passed")])));
    maker.add(input("one parent", "two", None, INSPECTION, &["every op"], body), |_| ());

    let body = plain("create", edits(json!([put_text("status", "open")])));
    maker.add(input("another document", "three", None, ORDER, &[], body), |_| ());

    let long = "0123456789".repeat(30);
    let body = plain("record_outcome", edits(json!([put_text("comment", &long), put_text("status", "failed")])));
    maker.add(input("a long value", "three", Some("another document"), INSPECTION, &["every op"], body), |_| ());

    let body = plain("review", json!({ "reason": "both seen", "edits": [put_text("status", "failed")] }));
    let parents = ["one parent", "a long value"];
    maker.add(input("two parents", "one", Some("every op"), INSPECTION, &parents, body), |_| ());

    let body = plain("merge", edits(json!([])));
    maker.add(input("no ops", "two", Some("one parent"), INSPECTION, &["two parents"], body), |_| ());

    for (name, status) in [("a sibling", "closed"), ("another sibling", "reopened")] {
        let body = plain("record_outcome", edits(json!([put_text("status", status)])));
        maker.add(input(name, "one", Some("two parents"), INSPECTION, &[], body), |_| ());
    }
    let body = plain("record_outcome", edits(json!([{ "op": "delete", "path": "status" }])));
    let parents = ["another sibling"];
    maker.add(input("after a sibling", "one", Some("a sibling"), INSPECTION, &parents, body), |_| ());
    let body = plain("create", edits(json!([put_text("status", "cloned")])));
    maker.add(input("a sibling at sequence 1", "three", None, ORDER, &[], body), |_| ());

    let newer = json!({
        "schema_version": 7, "intent": "create", "group": null, "script": null,
        "skeleton": "ff00ff", "values": ["", "c0ffee"],
    });
    maker.add(input("a newer format", "two", Some("no ops"), ORDER, &["another document"], newer), |header| {
        header["format"] = json!(2);
    });
    let unreadable = json!({
        "schema_version": 1, "intent": "create", "group": null, "script": null,
        "skeleton": to_hex(skeleton_of_op(9)), "values": [],
    });
    maker.add(input("an unreadable skeleton", "two", Some("a newer format"), ORDER, &[], unreadable), |_| ());
    // An int that is null: a put of one byte, of the right length and not of the type.
    let (skeleton, _) = crate::json::script(&edits(json!([
        { "op": "put", "path": "count", "value": { "type": "int", "value": "7" } },
        put_text("status", "counted"),
    ])))
    .split();
    let unfit = json!({
        "schema_version": 1, "intent": "count", "group": null, "script": null,
        "skeleton": to_hex(skeleton.to_bytes()), "values": ["f6", to_hex("counted")],
    });
    maker.add(input("a value that does not fit", "three", Some("a long value"), ORDER, &[], unfit), |_| ());
}

/// `[null, [], [[op, "a"]]]`.
fn skeleton_of_op(op: u64) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(3);
    out.null();
    out.array(0);
    out.array(1);
    out.array(2);
    out.uint(op);
    out.text("a");
    out.into_bytes()
}

fn forks(made: &BTreeMap<String, Verified>) -> Json {
    let fork = |previous: Option<&str>, name: &Verified, siblings: [&str; 2]| {
        // Before its fork the chain has the actor's own name.
        let name = BranchName::from_bytes(*name.actor().id().as_bytes());
        let mut siblings = siblings.map(|sibling| made[sibling].id());
        siblings.sort();
        let [lowest, other] = siblings;
        json!({
            "previous": previous.map(|previous| made[previous].id().to_string()),
            "name_of_previous": name.to_string(),
            "siblings": [
                { "id": lowest.to_string(), "name": name.to_string() },
                { "id": other.to_string(), "name": branch_name(&name, &other).to_string() },
            ],
        })
    };
    json!([
        fork(Some("two parents"), &made["two parents"], ["a sibling", "another sibling"]),
        fork(None, &made["another document"], ["another document", "a sibling at sequence 1"]),
    ])
}

const FIRST: [&str; 6] = ["every value", "every op", "one parent", "another document", "a long value", "two parents"];
const REST: [&str; 8] = [
    "no ops",
    "a sibling",
    "another sibling",
    "after a sibling",
    "a sibling at sequence 1",
    "a newer format",
    "an unreadable skeleton",
    "a value that does not fit",
];

/// A page of these entries on a log of those, each with what is purged of it.
fn page(made: &BTreeMap<String, Verified>, name: &str, log: &[&str], entries: &[(&str, &[usize])]) -> Json {
    let held = log_of(log.iter().map(|name| &made[*name]));
    let purged: Vec<Verified> = entries.iter().map(|(name, purged)| made[*name].redact(purged)).collect();
    let entries = entries.iter().map(|(name, purged)| json!({ "name": name, "purged": purged }));
    json!({
        "name": name,
        "log": log,
        "entries": entries.collect::<Vec<_>>(),
        "bytes": to_hex(encode_page(&purged, &held).unwrap()),
    })
}

fn pages(made: &BTreeMap<String, Verified>) -> Json {
    let whole = |names: &[&'static str]| names.iter().map(|name| (*name, &[][..])).collect::<Vec<(&str, &[usize])>>();
    let until_fork = [&FIRST[..], &REST[..3]].concat();
    let other_order = [&FIRST[..], &["another sibling", "a sibling"]].concat();
    json!([
        page(made, "nothing", &[], &[]),
        page(made, "on an empty log", &[], &whole(&FIRST)),
        page(made, "on a log that holds everything named", &FIRST, &whole(&REST)),
        page(
            made,
            "one entry, previous and parent in the log",
            &["every value", "every op", "one parent", "another document", "a long value"],
            &whole(&["two parents"])
        ),
        page(made, "its previous is the lowest sibling, a parent the other", &until_fork, &whole(&["after a sibling"])),
        page(made, "its previous is not the lowest sibling", &other_order, &whole(&["after a sibling"])),
        page(
            made,
            "a document named by the author's earlier work",
            &["every value", "every op", "another document", "a long value"],
            &whole(&["a value that does not fit"])
        ),
        page(made, "a parent that the log does not hold", &[], &whole(&["one parent"])),
        page(
            made,
            "purged values",
            &["every value"],
            &[("every op", &[0, 4]), ("one parent", &[0]), ("another document", &[]), ("a long value", &[0])],
        ),
    ])
}

/// The two forms of a stored page; the compressed one is a frame of one raw block, which every version of zstd reads.
fn stored(made: &BTreeMap<String, Verified>) -> Json {
    let page = encode_page(std::slice::from_ref(&made["another document"]), &MemoryLog::new()).unwrap();
    let length = u8::try_from(page.len()).unwrap();
    // Magic, a single segment whose size takes one byte, the size; the last block, raw.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, length];
    let block = (u32::from(length) << 3 | 1).to_le_bytes();
    let page_hex = to_hex(&page);
    json!([
        { "stored": format!("00{page_hex}"), "page": page_hex },
        { "stored": format!("01{}{}{page_hex}", to_hex(frame), to_hex(&block[..3])), "page": page_hex },
    ])
}

fn signatures() -> Json {
    let entry = record_signed(&mut author(1), 1, &[]);
    let row = |why: &str, entry: &Verified, signature: &[u8], holds: bool| {
        json!({
            "why": why,
            "key": entry.actor().key().to_string(),
            "message": entry.id().to_string(),
            "signature": to_hex(signature),
            "holds": holds,
        })
    };
    let own = entry.signature().unwrap();
    let small_r = crafted(&entry.actor().key().to_string(), SMALL_R);
    let (holds, fails) = (crafted(TORSION_KEY, TORSION_HOLDS), crafted(TORSION_KEY, TORSION_FAILS));
    let mut rows = vec![
        row("as made", &entry, own.as_bytes(), true),
        row("S + L", &entry, plus_group_order(own).as_bytes(), false),
        row("R of small order, and the equation holds", &small_r, small_r.signature().unwrap().as_bytes(), false),
        row(
            "A with a component of order 8, and the equation holds",
            &holds,
            holds.signature().unwrap().as_bytes(),
            true,
        ),
        row(
            "A with a component of order 8, and the equation holds only with the cofactor",
            &fails,
            fails.signature().unwrap().as_bytes(),
            false,
        ),
    ];
    for key in WEAK_KEYS {
        let weak = crafted(key, crate::support::IDENTITY_SIGNATURE);
        rows.push(row("A of small order or no point", &weak, weak.signature().unwrap().as_bytes(), false));
    }
    json!(rows)
}

/// Everything that a JSON object of an entry says must follow from its inputs.
fn check_entry(context: &Context, actors: &[Json], held: &Json) -> Verified {
    let inputs: Map<String, Json> = held
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| ["name", "actor", "header", "body"].contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut again = Json::Object(inputs);
    let made = derive(context, actors, &mut again);
    assert_eq!(&again, held, "{}", held["name"]);

    // And the other way: the bytes are read back to the inputs.
    let signed = bytes(&held["signed"]);
    let read = Signed::from_bytes(&signed, context.workspace, &context.partition).unwrap().verify().unwrap();
    assert_eq!(read.id().to_string(), text(&held["id"]));
    assert_eq!(*read.header(), header(&held["header"]));
    assert_eq!(*read.body(), body(&held["body"]));
    assert_eq!(read.to_bytes().unwrap(), signed);
    assert_eq!(change_set_id(&read.actor().id(), &bytes(&held["header_bytes"])), read.id());
    assert_eq!(read.skeleton().is_ok() && !read.is_newer_format(), held["content"] == "plain");
    if held["content"] == "plain" {
        let skeleton = Skeleton::from_bytes(&bytes(&held["skeleton"])).unwrap();
        assert_eq!(read.body().whole_length(&skeleton), read.header().body_length);
    }
    for form in held["redacted"].as_array().into_iter().flatten() {
        let purged = Signed::from_bytes(&bytes(&form["signed"]), context.workspace, &context.partition).unwrap();
        let purged = purged.verify().unwrap();
        assert_eq!(purged.id(), read.id());
        let gone: Vec<usize> =
            (0..purged.body().value_count()).filter(|at| purged.body().value(*at).is_none()).collect();
        assert_eq!(json!(gone), form["purged"]);
        let body_bytes = bytes(&form["body_bytes"]);
        assert_eq!(Body::read(&mut Reader::new(&body_bytes, "body")).unwrap(), *purged.body());
    }
    made
}

#[test]
fn the_vectors_of_change_sets_hold() {
    let made = make();
    let held = vectors("change-set.json", &made);
    assert!(held == made, "what this version makes is not what the vectors say");

    let context = Context::of(&held);
    let actors = list(&held["actors"]);
    for actor in actors {
        let derived = Actor::new(
            context.workspace,
            context.partition.clone(),
            DeviceKey::from_secret(&fixed(&actor["secret"])).public_key(),
            Incarnation::from_bytes(fixed(&actor["incarnation"])),
        );
        assert_eq!(derived.id().to_string(), text(&actor["id"]));
        assert_eq!(PublicKey::from_bytes(fixed(&actor["public"])), *derived.key());
    }
    let entries: Vec<Verified> =
        list(&held["entries"]).iter().map(|entry| check_entry(&context, actors, entry)).collect();
    let by_name: BTreeMap<&str, &Verified> =
        list(&held["entries"]).iter().map(|entry| text(&entry["name"])).zip(&entries).collect();

    let mut running = RunningHash::start(&context.workspace, &context.partition, &context.log);
    assert_eq!(running, RunningHash::from_bytes(fixed(&held["running"]["start"])));
    for (entry, after) in entries.iter().zip(list(&held["running"]["after"])) {
        running = running.then(&entry.id());
        assert_eq!(running, RunningHash::from_bytes(fixed(after)));
    }
    for page in list(&held["pages"]) {
        let log = log_of(list(&page["log"]).iter().map(|name| by_name[text(name)]));
        let page_bytes = bytes(&page["bytes"]);
        let read = context.read(&page_bytes, &log);
        assert_eq!(read.len(), list(&page["entries"]).len());
        for (read, wanted) in read.iter().zip(list(&page["entries"])) {
            let purged: Vec<usize> = list(&wanted["purged"]).iter().map(|at| at.as_u64().unwrap() as usize).collect();
            let wanted = by_name[text(&wanted["name"])].redact(&purged);
            assert_eq!((read.id(), read.header(), read.body()), (wanted.id(), wanted.header(), wanted.body()));
        }
        assert_eq!(encode_page(&read, &log).unwrap(), page_bytes, "{}", page["name"]);
    }
    for stored in list(&held["stored"]) {
        assert_eq!(unpack_page(&bytes(&stored["stored"])).unwrap(), bytes(&stored["page"]));
    }
    let bundle = Bundle::from_bytes(&bytes(&held["bundle"]), |_| ()).unwrap();
    assert_eq!(bundle.entries, entries);
    assert_eq!(bundle.log, context.log);
}

/// The vectors are worth what they cover.
#[test]
fn the_vectors_cover_every_form() {
    let held = make();
    let entries: Vec<Header> = list(&held["entries"]).iter().map(|entry| header(&entry["header"])).collect();
    for count in 0..=2 {
        assert!(entries.iter().any(|entry| entry.parents.len() == count), "{count} parents");
    }
    assert!(entries.iter().any(|entry| entry.grant.is_some()));
    assert!(entries.iter().any(|entry| entry.format == 2));
    let all = held.to_string();
    for word in [
        "null",
        "bool",
        "int",
        "decimal",
        "float",
        "string",
        "bytes",
        "timestamp",
        "counter",
        "reference",
        "attachment",
    ] {
        assert!(all.contains(&format!("\"type\":\"{word}\"")), "{word}");
    }
    for op in ["put", "delete", "increment", "insert-text", "delete-text"] {
        assert!(all.contains(&format!("\"op\":\"{op}\"")), "{op}");
    }
    let holding = list(&held["signatures"]).iter().filter(|row| row["holds"] == true).count();
    assert_eq!(holding, 2);
    // Every signature is judged here as its row says.
    for row in list(&held["signatures"]) {
        let entry = crafted(text(&row["key"]), text(&row["signature"]));
        assert_eq!(entry.id().to_string(), text(&row["message"]));
        let read = crate::support::read_signed(&entry.to_bytes().unwrap());
        assert_eq!(read.is_ok(), row["holds"] == true, "{}", row["why"]);
    }
}
