//! `spec/vectors/access.json`: records, their bytes, sets of them, and the verdicts that follow.
//!
//! Set `FIELDBOOK_WRITE_VECTORS` to write the file anew. Without it the test demands that what this version makes is what
//! the file says.

use crate::support::{
    HOUR, NOW, World, claim_of, delegation, grant, intent, kind, partition, partitions, public, word,
};
use access::limits::NO_END;
use access::{
    Actions, Claim, Delegation, Genesis, Grant, KeyText, Kinds, Person, Record, Role, Scope, Verdict, comparison_code,
};
use changeset::{ChangeSetId, Edit, Path, PublicKey, Script, Value, Verified, WorkspaceId};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_json(record: &Record) -> Json {
    match record {
        Record::Genesis(genesis) => json!({
            "type": "genesis",
            "name": genesis.name,
            "roots": genesis.roots.iter().map(PublicKey::to_string).collect::<Vec<_>>(),
            "threshold": genesis.threshold,
            "nonce": hex(genesis.nonce),
            "time": genesis.time_ms,
        }),
        Record::Delegation(delegation) => json!({
            "type": "delegation",
            "to": delegation.to.to_string(),
            "label": delegation.label,
            "partitions": match &delegation.partitions {
                Scope::All => Json::Null,
                Scope::Named(names) => names.iter().map(|name| name.as_str()).collect(),
            },
            "may_delegate": delegation.may_delegate,
            "not_before": delegation.not_before_ms,
            "not_after": delegation.not_after_ms,
        }),
        Record::Grant(grant) => json!({
            "type": "grant",
            "partition": grant.partition.as_str(),
            "device": grant.device.to_string(),
            "person": { "id": grant.person.id, "name": grant.person.name },
            "role": grant.role.as_str(),
            "kinds": match &grant.kinds {
                Kinds::All => Json::Null,
                Kinds::Named(kinds) => kinds.iter().map(|kind| kind.as_str()).collect(),
            },
            "actions": match &grant.actions {
                Actions::All => Json::Null,
                Actions::Named(intents) => intents.iter().map(|intent| intent.as_str()).collect(),
            },
            "not_before": grant.not_before_ms,
            "not_after": grant.not_after_ms,
        }),
        Record::Unknown { name, .. } => json!({ "type": name }),
        _ => panic!("a new record"),
    }
}

/// One workspace with all that is written in it, by name.
struct Maker {
    world: World,
    entries: BTreeMap<&'static str, Verified>,
    rows: Vec<Json>,
    cases: Vec<Json>,
}

impl Maker {
    fn new(roots: &[u8], threshold: u8) -> Self {
        let mut maker =
            Self { world: World::new(roots, threshold), entries: BTreeMap::new(), rows: vec![], cases: vec![] };
        let genesis = maker.world.genesis();
        maker.add("genesis", genesis);
        maker
    }

    fn add(&mut self, name: &'static str, entry: Verified) {
        self.rows.push(json!({
            "name": name,
            "partition": entry.actor().partition().as_str(),
            "author": entry.actor().key().to_string(),
            "time": entry.header().time,
            "id": entry.id().to_string(),
            "record": Record::read(&entry).ok().map(|record| in_json(&record)),
            "record_bytes": entry.body().value(0).map(hex),
            "signed": entry.to_bytes().map(hex),
        }));
        assert!(self.entries.insert(name, entry).is_none());
    }

    fn write(&mut self, name: &'static str, by: u8, at: &str, record: &Record, endorsed: &[u8], time: u64) {
        let entry = self.world.write(by, at, record, endorsed, time);
        self.add(name, entry);
    }

    fn raw(&mut self, name: &'static str, by: u8, at: &str, values: &[(&str, &[u8])]) {
        let put = |(path, bytes): &(&str, &[u8])| Edit::Put {
            path: Path::new(path).unwrap(),
            value: Value::Bytes(bytes.to_vec()),
        };
        let script = Script { reason: None, edits: values.iter().map(put).collect() };
        let entry = self.world.write_script(by, at, script, NOW);
        self.add(name, entry);
    }

    /// The verdicts on all these records, and on the claims.
    fn case(&mut self, name: &str, held: &[&'static str], without_values: &[&'static str], claims: &[Claim]) {
        let mut authority = self.world.authority();
        for one in held {
            authority.take(&self.entries[one]);
        }
        for one in without_values {
            authority.take(&self.entries[one].redact(&[0]));
        }
        let records = held.iter().chain(without_values).map(|one| claim_of(&self.entries[one]));
        let rows = records.chain(claims.iter().cloned()).map(|claim| {
            let verdict = authority.verdict(&claim);
            let (what, code) = word(&verdict);
            let grant = match verdict {
                Verdict::Accepted { grant } => grant,
                _ => None,
            };
            json!({
                "id": claim.id.to_string(),
                "partition": claim.partition.as_str(),
                "author": claim.author.to_string(),
                "kind": claim.kind.as_str(),
                "intent": claim.intent.as_ref().map(|intent| intent.as_str()),
                "time": claim.time_ms,
                "grant": claim.grant.map(|grant| grant.to_string()),
                "verdict": what,
                "code": code,
                "by": grant.map(|grant| grant.to_string()),
            })
        });
        let rows: Vec<Json> = rows.collect();
        self.cases.push(json!({ "name": name, "held": held, "without_values": without_values, "verdicts": rows }));
    }

    fn id(&self, name: &str) -> Option<ChangeSetId> {
        Some(self.entries[name].id())
    }

    fn done(self) -> Json {
        json!({ "workspace": self.world.workspace.to_string(), "entries": self.rows, "cases": self.cases })
    }
}

fn work(device: u8, at: &str, what: &str, act: Option<&str>, time_ms: u64, grant: Option<ChangeSetId>) -> Claim {
    Claim {
        id: ChangeSetId::from_bytes([0xcc; 32]),
        partition: partition(at),
        author: public(device),
        kind: kind(what),
        intent: act.map(intent),
        time_ms,
        grant,
    }
}

/// One root, delegations and grants of every kind.
fn one_root() -> Json {
    let mut maker = Maker::new(&[1], 1);
    let delegate = |to: u8, scope: Scope| Record::Delegation(delegation(to, scope));
    let north = || partitions(&["north"]);
    let limited = Record::Grant(Grant {
        person: Person { id: "e-7@fjord".into(), name: "Åse Ødegård".into() },
        role: Role::new("lead_inspector").unwrap(),
        kinds: Kinds::Named([kind("order"), kind("inspection")].into()),
        actions: Actions::Named([intent("close"), intent("record_outcome")].into()),
        ..grant(5, "north")
    });
    let forever = Record::Grant(Grant { not_before_ms: 0, not_after_ms: NO_END, ..grant(5, "north") });
    maker.write("office", 1, "authority", &delegate(2, partitions(&["north", "south"])), &[], NOW);
    maker.write("crew", 2, "authority", &delegate(3, north()), &[], NOW);
    maker.write("limited", 3, "north", &limited, &[], NOW + HOUR);
    maker.write("by the root", 1, "north", &forever, &[], 0);
    maker.write("another person", 1, "north", &Record::Grant(grant(5, "north")), &[], NOW);
    maker.write("too wide", 2, "authority", &delegate(3, Scope::All), &[], NOW);
    maker.write("into authority", 2, "authority", &delegate(3, partitions(&["authority"])), &[], NOW);
    let longer = Record::Delegation(Delegation { not_after_ms: NOW + 25 * HOUR, ..delegation(3, north()) });
    maker.write("too long", 2, "authority", &longer, &[], NOW);
    maker.write("too early", 2, "authority", &delegate(3, north()), &[], NOW - 1);
    maker.write("too late", 2, "north", &Record::Grant(grant(6, "north")), &[], NOW + 24 * HOUR + 1);
    maker.write("elsewhere", 3, "south", &Record::Grant(grant(6, "south")), &[], NOW);
    let only_grants = Record::Delegation(Delegation { may_delegate: false, ..delegation(7, Scope::All) });
    maker.write("only grants", 1, "authority", &only_grants, &[], NOW);
    maker.write("may not", 7, "authority", &delegate(8, Scope::All), &[], NOW);
    maker.write("circle one", 20, "authority", &delegate(21, Scope::All), &[], NOW);
    maker.write("circle two", 21, "authority", &delegate(20, Scope::All), &[], NOW);
    maker.write("self-made", 9, "north", &Record::Grant(grant(9, "north")), &[], NOW);
    maker.write("misplaced", 1, "south", &Record::Grant(grant(5, "north")), &[], NOW);
    maker.write("outside", 1, "north", &delegate(5, Scope::All), &[], NOW);
    let other = World::new(&[4], 1).genesis;
    maker.write("another genesis", 1, "authority", &Record::Genesis(other), &[], NOW);
    maker.write("genesis again", 30, "authority", &Record::Genesis(maker.world.genesis.clone()), &[], NOW);
    maker.raw("of a type to come", 1, "authority", &[("record", b"\x82\x6arevocation\x07")]);
    maker.raw("no record", 1, "north", &[("record", b"\xff")]);
    maker.raw("another path", 1, "north", &[("grant", b"\x80")]);

    let all: Vec<&'static str> = maker.entries.keys().copied().collect();
    let (limited, root, person) = (maker.id("limited"), maker.id("by the root"), maker.id("another person"));
    let close = Some("close");
    let mut claims = Vec::new();
    for grant in [None, limited, root, person] {
        for time in [NOW - 1, NOW, NOW + 24 * HOUR, NOW + 24 * HOUR + 1] {
            claims.push(work(5, "north", "order", close, time, grant));
        }
        claims.push(work(5, "north", "note", close, NOW, grant));
        claims.push(work(5, "north", "order", Some("cancel"), NOW, grant));
        claims.push(work(5, "north", "order", None, NOW, grant));
        claims.push(work(5, "south", "order", close, NOW, grant));
        claims.push(work(6, "north", "order", close, NOW, grant));
        claims.push(work(1, "north", "order", close, NOW, grant));
    }
    for name in ["office", "genesis", "no record", "of a type to come", "too late", "self-made"] {
        let device = if name == "too late" { 6 } else { 9 };
        claims.push(work(device, "north", "order", close, NOW, maker.id(name)));
    }
    claims.push(work(5, "north", "order", close, NOW, Some(ChangeSetId::from_bytes([1; 32]))));
    claims.push(work(5, "north", "access", close, NOW, None));
    for (device, at) in
        [(1, "south"), (2, "south"), (2, "authority"), (3, "south"), (5, "north"), (5, "south"), (9, "north")]
    {
        claims.push(work(device, at, "device", None, NOW, None));
    }
    maker.case("everything", &all, &[], &claims);
    maker.case("nothing", &[], &[], &claims[..3]);
    let orphans: Vec<&'static str> = all.iter().copied().filter(|name| !name.starts_with("genesis")).collect();
    maker.case("without the genesis", &orphans, &[], &claims);
    maker.case("without the office", &["genesis", "crew", "limited"], &[], &claims[10..14]);
    maker.case("a delegation without its value", &["genesis", "crew", "limited"], &["office"], &claims[10..14]);
    maker.case("a grant without its value", &["genesis", "office", "crew"], &["limited"], &claims[..14]);
    maker.done()
}

/// Three roots of which two must agree.
fn two_of_three() -> Json {
    let mut maker = Maker::new(&[1, 2, 3], 2);
    let record = Record::Grant(grant(5, "north"));
    maker.write("two endorse", 4, "north", &record, &[1, 3], NOW);
    maker.write("a root and another", 2, "north", &record, &[3], NOW);
    maker.write("a root alone", 2, "north", &record, &[], NOW);
    maker.write("a root twice", 2, "north", &record, &[2], NOW);
    maker.write("one endorses", 4, "north", &record, &[1], NOW);
    maker.write("no root endorses", 4, "north", &record, &[6, 7], NOW);
    let record_bytes = record.to_bytes().unwrap();
    let good = maker.world.endorse(&record, &[1, 2]);
    let bytes = |root: &PublicKey, signature: &[u8]| [&root.as_bytes()[..], signature].concat();
    let mut ascending = good;
    ascending.sort_by_key(|by| by.root);
    let [low, high] = [0, 1].map(|at| bytes(&ascending[at].root, ascending[at].signature.as_bytes()));
    let forged = bytes(&ascending[1].root, ascending[0].signature.as_bytes());
    maker.raw(
        "one forged",
        4,
        "north",
        &[("record", &record_bytes), ("endorsements/1", &low), ("endorsements/2", &forged)],
    );
    maker.raw(
        "in the wrong order",
        4,
        "north",
        &[("record", &record_bytes), ("endorsements/1", &high), ("endorsements/2", &low)],
    );
    maker.raw("moved", 4, "south", &[("record", &record_bytes), ("endorsements/1", &low), ("endorsements/2", &high)]);
    maker.raw("numbered from 0", 4, "north", &[("record", &record_bytes), ("endorsements/0", &low)]);
    maker.raw("too short", 4, "north", &[("record", &record_bytes), ("endorsements/1", &low[..95])]);
    let all: Vec<&'static str> = maker.entries.keys().copied().collect();
    let mut claims: Vec<Claim> =
        all.iter().map(|name| work(5, "north", "order", Some("close"), NOW, maker.id(name))).collect();
    claims.push(work(5, "north", "order", Some("close"), NOW, None));
    maker.case("everything", &all, &[], &claims);
    maker.done()
}

/// Records that no reader takes.
fn refused() -> Json {
    let genesis = World::new(&[1, 2], 1).genesis;
    let bytes = |record: Record| record.to_bytes().unwrap();
    let good = bytes(Record::Grant(grant(5, "north")));
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let genesis = bytes(Record::Genesis(Genesis { name: "Fjord".into(), ..genesis }));
    let roots_at = genesis.windows(2).position(|window| window == [0x82, 0x58]).unwrap() + 1;
    let threshold_at = roots_at + 68;
    assert_eq!(genesis[threshold_at], 1);
    let with = |at: usize, byte: u8| {
        let mut changed = genesis.clone();
        changed[at] = byte;
        changed
    };
    let mut swapped = genesis.clone();
    swapped[roots_at..roots_at + 68].rotate_left(34);
    let mut twice = genesis.clone();
    twice.copy_within(roots_at..roots_at + 34, roots_at + 34);
    let (from, until) = (NOW.to_be_bytes(), (NOW + 24 * HOUR).to_be_bytes());
    let rows = [
        ("nothing", vec![]),
        ("an empty array", vec![0x80]),
        ("no array", b"\x65grant".to_vec()),
        ("a type that is no name", b"\x81\x61?".to_vec()),
        ("a grant of one item", b"\x81\x65grant".to_vec()),
        ("a byte after the end", [&good[..], &[0]].concat()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("a person without a name", replaced(b"\x68Person 5", b"\x60")),
        ("a name with a line break", replaced(b"Person 5", b"Person\n5")),
        ("a name that turns the line", replaced(b"Person 5", "Perso\u{202e}".as_bytes())),
        ("a name that ends in a space", replaced(b"Person 5", b"Person5 ")),
        ("a role in upper case", replaced(b"worker", b"Worker")),
        ("a partition in upper case", replaced(b"north", b"North")),
        ("an end before the start", replaced(&until, &from.map(|byte| byte.saturating_sub(1)))),
        ("kinds that are none", replaced(b"\x66worker\xf6", b"\x66worker\x80")),
        ("kinds out of order", replaced(b"\x66worker\xf6", b"\x66worker\x82\x61b\x61a")),
        ("a kind twice", replaced(b"\x66worker\xf6", b"\x66worker\x82\x61a\x61a")),
        ("a kind in upper case", replaced(b"\x66worker\xf6", b"\x66worker\x81\x61A")),
        ("threshold 0", with(threshold_at, 0)),
        ("threshold 3 of 2", with(threshold_at, 3)),
        ("roots out of order", swapped),
        ("a root twice", twice),
    ];
    let row = |(why, bytes): (&str, Vec<u8>)| {
        assert!(Record::from_bytes(&bytes).is_err(), "{why}");
        json!({ "why": why, "hex": hex(bytes) })
    };
    rows.into_iter().map(row).collect()
}

fn joining() -> Json {
    let keys = [public(1), PublicKey::from_bytes([0; 32]), PublicKey::from_bytes([0xff; 32])];
    let keys = keys.map(|key| {
        let text = KeyText::of_key(&key);
        let shouted = text.grouped().to_uppercase().replace(' ', "-").replace('0', "o").replace('1', "L");
        json!({ "key": key.to_string(), "text": text.to_string(), "also": [text.grouped(), shouted] })
    });
    let text = KeyText::of_key(&public(1)).to_string();
    let wrong = [text[1..].to_owned(), format!("{text}0"), format!("u{}", &text[1..]), format!("{}1", &text[..51])];
    assert!(wrong.iter().all(|text| text.parse::<KeyText>().is_err()));
    let codes = (1..4).map(|n| {
        let (workspace, key, nonce) = (WorkspaceId::from_bytes([n; 32]), public(n), [n; 16]);
        let code = comparison_code(&workspace, &key, &nonce).to_string();
        json!({ "workspace": workspace.to_string(), "key": key.to_string(), "nonce": hex(nonce), "code": code })
    });
    json!({ "keys": keys, "refused": wrong, "codes": codes.collect::<Vec<_>>() })
}

#[test]
fn the_vectors_of_access_hold() {
    let made = json!({
        "about": "Access records, sets of them and the verdicts that follow; see access.md.",
        "workspaces": [one_root(), two_of_three()],
        "refused": refused(),
        "joining": joining(),
    });
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/access.json");
    if std::env::var_os("FIELDBOOK_WRITE_VECTORS").is_some() {
        std::fs::write(&file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let held = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let held: Json = serde_json::from_str(&held).unwrap();
    assert!(held == made, "what this version makes is not what the vectors say");
}
