#![no_main]
//! Access documents in arbitrary orders: genesis, delegations, grants and garbage by several keys, and work under them.
//!
//! Proves: nothing panics, whatever the records say; the verdicts are the same for any order, batching, repetition and
//! for copies that came without their values first; and they are those of the independent model, which reads the same
//! change sets from bundles.

use access::{
    Actions, Authority, Check, Claim, Delegation, Endorsement, Genesis, Grant, KIND_ACCESS, Kinds, Person, Record,
    Role, Scope, Standing, Taken, Verdict, Why,
};
use arbitrary::Arbitrary;
use changeset::{
    Author, Bundle, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Incarnation, IntentName, Kind,
    LogIncarnation, Partition, Path, PublicKey, Script, SeededEntropy, Signer, Value, Verified, WorkspaceId,
};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

/// The most steps that are carried out, so that one case takes milliseconds.
const MAX_STEPS: usize = 16;
const PARTITIONS: [&str; 3] = ["authority", "north", "south"];
const KINDS: [&str; 4] = ["inspection", "order", "device", "access"];
const INTENTS: [&str; 3] = ["create", "sign", "admit"];
/// Times that grants and delegations begin and end at, and what lies beside them.
const TIMES: [u64; 8] = [0, 1, 99, 100, 101, 200, 201, access::limits::NO_END];

/// Two roots, two who may be given a delegation, and two devices.
static KEYS: LazyLock<Vec<Arc<DeviceKey>>> =
    LazyLock::new(|| (1..=6).map(|number| Arc::new(DeviceKey::from_secret(&[number; 32]))).collect());

#[derive(Arbitrary, Clone, Debug)]
struct Plan {
    threshold: bool,
    steps: Vec<Step>,
    order: u64,
    others: Option<u64>,
}

#[derive(Arbitrary, Clone, Debug)]
struct Step {
    by: u8,
    partition: u8,
    time: u8,
    what: What,
    /// Which roots endorse a record, as bits; and whether one endorses another record in truth.
    endorsed: u8,
    is_purged: bool,
    /// Begins a new chain, so that records of one key are not all of one line.
    is_new_chain: bool,
    grant: Option<u8>,
}

#[derive(Arbitrary, Clone, Debug)]
enum What {
    Genesis,
    OtherGenesis {
        nonce: u8,
        roots: u8,
        threshold: u8,
    },
    Delegation {
        to: u8,
        partitions: u8,
        may_delegate: bool,
        from: u8,
        until: u8,
    },
    Grant {
        partition: u8,
        device: u8,
        kinds: u8,
        actions: u8,
        from: u8,
        until: u8,
    },
    /// Bytes of a record, whatever they are.
    Bytes(Vec<u8>),
    /// A record of a type to come.
    Unknown {
        name: u8,
    },
    /// A record that is carried wrongly.
    Carried(Wrong),
    Work {
        kind: u8,
        intent: u8,
    },
}

#[derive(Arbitrary, Clone, Debug)]
enum Wrong {
    Nothing,
    Text,
    Path(u8),
    Twice,
    Delete,
    Parents(u8),
    Endorsement(Vec<u8>),
    Behind(u8),
}

fn pick<'a, T>(from: &'a [T], number: u8) -> &'a T {
    &from[usize::from(number) % from.len()]
}

fn key(number: u8) -> PublicKey {
    pick(&KEYS, number).public_key()
}

fn name(number: u8) -> Partition {
    Partition::new(pick(&PARTITIONS, number)).expect("a name")
}

fn kind(number: u8) -> Kind {
    Kind::new(pick(&KINDS, number)).expect("a kind")
}

fn intent(number: u8) -> IntentName {
    IntentName::new(pick(&INTENTS, number)).expect("a name")
}

fn path(text: &str) -> Path {
    Path::new(text).expect("a path")
}

/// The members of a set by bits; none is everything.
fn named<T: Ord>(bits: u8, of: u8, member: impl Fn(u8) -> T) -> Option<std::collections::BTreeSet<T>> {
    let set: std::collections::BTreeSet<T> = (0..of).filter(|bit| bits >> bit & 1 == 1).map(member).collect();
    if set.is_empty() { None } else { Some(set) }
}

struct World {
    workspace: WorkspaceId,
    genesis: Record,
    authors: BTreeMap<(u8, Partition), Author>,
    chains: u8,
    /// In the order of creation.
    entries: Vec<Verified>,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let genesis = Genesis {
            name: "Fjord Bygg".into(),
            roots: [key(0), key(1)].into(),
            threshold: 1 + u8::from(plan.threshold),
            nonce: [7; 16],
            time_ms: 0,
        };
        let workspace = genesis.workspace().expect("everybody reads it");
        let (authors, entries) = (BTreeMap::new(), Vec::new());
        Self { workspace, genesis: Record::Genesis(genesis), authors, chains: 0, entries }
    }

    fn record(&self, what: &What) -> Option<Record> {
        let time = |number: &u8| *pick(&TIMES, *number);
        Some(match what {
            What::Genesis => self.genesis.clone(),
            What::OtherGenesis { nonce, roots, threshold } => Record::Genesis(Genesis {
                name: "Other".into(),
                roots: named(*roots, 6, key)?,
                threshold: threshold % 3,
                nonce: [*nonce; 16],
                time_ms: 0,
            }),
            What::Delegation { to, partitions, may_delegate, from, until } => Record::Delegation(Delegation {
                to: key(*to),
                label: "office".into(),
                partitions: named(*partitions, 3, name).map_or(Scope::All, Scope::Named),
                may_delegate: *may_delegate,
                not_before_ms: time(from),
                not_after_ms: time(until),
            }),
            What::Grant { partition, device, kinds, actions, from, until } => Record::Grant(Grant {
                partition: name(*partition),
                device: key(*device),
                person: Person { id: "anna".into(), name: "Anna".into() },
                role: Role::new("inspector").expect("a role"),
                kinds: named(*kinds, 4, kind).map_or(Kinds::All, Kinds::Named),
                actions: named(*actions, 3, intent).map_or(Actions::All, Actions::Named),
                not_before_ms: time(from),
                not_after_ms: time(until),
            }),
            What::Bytes(_) | What::Unknown { .. } | What::Carried(_) | What::Work { .. } => return None,
        })
    }

    fn endorsements(&self, bits: u8, record: &Record) -> Vec<Endorsement> {
        // The highest bit has them endorse the genesis instead.
        let said = if bits & 0x80 == 0 { record } else { &self.genesis };
        let by = (0..3u8).filter(|number| bits >> number & 1 == 1);
        by.filter_map(|number| Endorsement::sign(&self.workspace, said, &**pick(&KEYS, number)).ok()).collect()
    }

    fn script(&self, step: &Step) -> Script {
        let put = |at: &str, value: Vec<u8>| Edit::Put { path: path(at), value: Value::Bytes(value) };
        let genesis = || self.genesis.to_bytes().expect("everybody reads it");
        let edits = match &step.what {
            What::Bytes(bytes) => vec![put("record", bytes.clone())],
            What::Unknown { name } => {
                vec![put("record", [&[0x81, 0x6a][..], b"revocatio", &[b'a' + name % 26]].concat())]
            }
            What::Carried(wrong) => match wrong {
                Wrong::Nothing => Vec::new(),
                Wrong::Text => vec![Edit::Put { path: path("record"), value: "record".into() }],
                Wrong::Path(number) => vec![put(pick(&["records", "record/1", "endorsements/1"], *number), genesis())],
                Wrong::Twice => vec![put("record", genesis()), put("record", genesis())],
                Wrong::Delete => vec![Edit::Delete { path: path("record") }],
                Wrong::Parents(_) => vec![put("record", genesis())],
                Wrong::Endorsement(bytes) => vec![put("record", genesis()), put("endorsements/1", bytes.clone())],
                Wrong::Behind(number) => {
                    vec![put("record", genesis()), put(&format!("endorsements/{number}"), vec![0; 96])]
                }
            },
            What::Work { .. } => vec![Edit::Put { path: path("status"), value: "open".into() }],
            what => match self.record(what) {
                Some(record) => record.to_edits(&self.endorsements(step.endorsed, &record)).unwrap_or_default(),
                None => Vec::new(),
            },
        };
        Script { reason: None, edits }
    }

    fn step(&mut self, step: &Step) {
        let (by, partition) = (step.by % KEYS.len() as u8, name(step.partition));
        let number = self.entries.len() as u64;
        let (kind, intent) = match &step.what {
            What::Work { kind: number, intent: of } => (kind(*number), intent(*of)),
            _ => (kind(3), intent(2)),
        };
        // Parents are of the same document, or the change set enters no log.
        let parent = match &step.what {
            What::Carried(Wrong::Parents(number)) => {
                let may = |entry: &&Verified| {
                    *entry.actor().partition() == partition && entry.header().document.kind.as_str() == KIND_ACCESS
                };
                let those: Vec<&Verified> = self.entries.iter().filter(may).collect();
                usize::from(*number).checked_rem(those.len()).map(|number| those[number])
            }
            _ => None,
        };
        let own = DocumentKey { kind, id: DocumentId::from_parts(number, [by; 10]) };
        let draft = Draft {
            document: parent.map_or(own, |parent| parent.header().document.clone()),
            parents: parent.map(Verified::id).into_iter().collect(),
            grant: step.grant.filter(|_| !self.entries.is_empty()).map(|number| pick(&self.entries, number).id()),
            schema_version: 1,
            intent,
            group: None,
            script: self.script(step),
        };
        if step.is_new_chain {
            self.authors.remove(&(by, partition.clone()));
        }
        self.chains += 1;
        let (workspace, chains) = (self.workspace, self.chains);
        let author = self.authors.entry((by, partition.clone())).or_insert_with(|| {
            let entropy = Box::new(SeededEntropy::new(u64::from(chains)));
            let key: Arc<DeviceKey> = Arc::clone(pick(&KEYS, by));
            Author::new(key, workspace, partition, Incarnation::from_bytes([chains; 8]), entropy)
        });
        let Ok(recorded) = author.record(draft, *pick(&TIMES, step.time)) else { return };
        let signed = author.sign(&recorded).expect("the key signs");
        self.entries.push(if step.is_purged { signed.redact(&[0]) } else { signed });
    }
}

/// Everything that an authority says, in words.
fn said(authority: &Authority, entries: &[Verified]) -> Vec<(ChangeSetId, String)> {
    let mut grants: HashMap<ChangeSetId, Option<ChangeSetId>> = HashMap::new();
    let mut said = Vec::new();
    for entry in entries {
        let inherited = entry.header().previous.and_then(|previous| grants.get(&previous).copied().flatten());
        grants.insert(entry.id(), entry.header().grant.or(inherited));
        let verdict = authority.verdict(&Claim::of(entry, inherited));
        assert!(verdict.why().is_none_or(|why| !why.to_string().is_empty()));
        said.push((entry.id(), format!("{verdict:?}")));
    }
    said
}

fn told(verdict: &Verdict) -> (&'static str, &'static str) {
    let word = match verdict {
        Verdict::Accepted { .. } => "accepted",
        Verdict::Pending(_) => "pending",
        Verdict::Masked(_) => "masked",
        Verdict::Invalid(_) => "invalid",
        _ => panic!("a new verdict"),
    };
    (word, verdict.why().map_or("", Why::code))
}

/// The model says the same of the same bundles.
fn agrees(world: &World, authority: &Authority) {
    let mut bundles = Vec::new();
    for number in 0..PARTITIONS.len() as u8 {
        let partition = name(number);
        let of = |entry: &&Verified| *entry.actor().partition() == partition;
        let entries: Vec<Verified> = world.entries.iter().filter(of).cloned().collect();
        let log = LogIncarnation::from_bytes([number; 8]);
        let bundle = Bundle { workspace: world.workspace, partition: partition.clone(), log, entries };
        bundles.extend(bundle.to_bytes().expect("all of it is signed"));
    }
    let partitions = naive::read(&bundles).expect("what was signed is read");
    let verdicts = naive::verdicts(&partitions);
    let all: HashMap<ChangeSetId, &Verified> = world.entries.iter().map(|entry| (entry.id(), entry)).collect();
    let mut grants: HashMap<ChangeSetId, Option<ChangeSetId>> = HashMap::new();
    for id in partitions.iter().flat_map(naive::Partition::ids) {
        let entry = all[&ChangeSetId::from_bytes(id)];
        let inherited = entry.header().previous.and_then(|previous| grants[&previous]);
        grants.insert(entry.id(), entry.header().grant.or(inherited));
        let model = match verdicts[&id] {
            naive::Verdict::Accepted => ("accepted", ""),
            naive::Verdict::Pending(code) => ("pending", code),
            naive::Verdict::Masked(code) => ("masked", code),
            naive::Verdict::Invalid(code) => ("invalid", code),
        };
        let theirs = authority.verdict(&Claim::of(entry, inherited));
        assert_eq!(model, told(&theirs), "{theirs:?}\n{entry:?}");
    }
}

/// Whatever an app asks has an answer, and the answers go together.
fn asked(authority: &Authority, time: u64) {
    for number in 0..PARTITIONS.len() as u8 {
        let partition = name(number);
        let people = authority.people(&partition);
        for number in 0..KEYS.len() as u8 {
            let (key, kind, intent) = (key(number), kind(number), intent(number));
            let standing = authority.standing(&key, &partition, time);
            assert_eq!(standing != Standing::None, people.contains_key(&key));
            let _ = (authority.may_grant(&key, &partition, time), authority.admission(&key, &partition, time));
            let named = authority.grant_for(&key, &partition, &kind, &intent, time, None);
            let allowed = matches!(authority.check(&key, &partition, &kind, &intent, time), Check::Allowed { .. });
            let Some(grant) = named else { continue };
            // Who may write records is a matter of roots and delegations; a grant that lists their kind says nothing.
            assert!(allowed || kind.as_str() == KIND_ACCESS);
            assert!(authority.covers(&grant, &kind, &intent, time));
            assert!(authority.person(&grant).is_some_and(|member| people[&key].contains(&member)));
        }
    }
}

fuzz_target!(|plan: Plan| {
    let mut world = World::new(&plan);
    plan.steps.iter().take(MAX_STEPS).for_each(|step| world.step(step));
    let mut authority = Authority::new(world.workspace);
    for entry in &world.entries {
        let is_record = entry.header().document.kind.as_str() == KIND_ACCESS;
        assert_eq!(authority.take(entry) == Taken::Ignored, !is_record);
    }
    let expected = said(&authority, &world.entries);
    let records: Vec<(ChangeSetId, Verdict)> = authority.records().collect();

    // Another order; some come first without their values, some twice.
    let mut other = Authority::new(world.workspace);
    let mut dice = plan.order;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    let mut rest: Vec<&Verified> = world.entries.iter().collect();
    while !rest.is_empty() {
        let entry = rest.swap_remove(roll(rest.len()));
        match roll(4) {
            0 => drop(other.take(&entry.redact(&[0]))),
            1 => drop(other.take(entry)),
            _ => {}
        }
        other.take(entry);
        // Asking changes nothing.
        if roll(4) == 0 {
            said(&other, &world.entries);
        }
    }
    assert_eq!(said(&other, &world.entries), expected);
    assert_eq!(other.records().collect::<Vec<_>>(), records);

    agrees(&world, &authority);
    asked(&authority, plan.others.unwrap_or(100));
});
