//! What people typed, keystroke by keystroke, replayed through change sets and beside it through bare Yrs.
//!
//! The real traces are read from the folder that `FIELDBOOK_DATA` names. Without it generated ones of the same shape
//! stand in, and a line on stderr says so.

use crate::support::{Random, Replica, author_in, empty, key, path};
use changeset::{DocumentKey, Verified};
use crdt::{Edits, State};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use std::io::Read;
use std::time::Instant;
use yrs::updates::decoder::Decode;
use yrs::{ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, Text, Transact, Update};

const FIELD: &str = "findings";

/// At `position`, `deleted` code points go and `inserted` comes.
#[derive(Clone, Debug)]
struct Patch {
    position: usize,
    deleted: usize,
    inserted: String,
}

#[derive(Clone, Debug)]
struct Txn {
    agent: usize,
    parents: Vec<usize>,
    patches: Vec<Patch>,
}

struct Trace {
    txns: Vec<Txn>,
    /// What the text reads in the end, if the trace says so.
    end: Option<String>,
}

fn read_trace(name: &str) -> Option<Trace> {
    let Some(folder) = std::env::var_os("FIELDBOOK_DATA") else {
        eprintln!("FIELDBOOK_DATA is not set: a generated trace stands in for {name}");
        return None;
    };
    let file = std::fs::File::open(std::path::Path::new(&folder).join(name)).expect("the data folder has the trace");
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the trace is gzip");
    let json: serde_json::Value = serde_json::from_str(&text).expect("the trace is JSON");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number") as usize;
    let patch = |value: &serde_json::Value| Patch {
        position: number(&value[0]),
        deleted: number(&value[1]),
        inserted: value[2].as_str().expect("a string").to_owned(),
    };
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let txn = |value: &serde_json::Value| Txn {
        agent: value["agent"].as_u64().unwrap_or(0) as usize,
        parents: list(&value["parents"]).iter().map(number).collect(),
        patches: list(&value["patches"]).iter().map(patch).collect(),
    };
    Some(Trace {
        txns: list(&json["txns"]).iter().map(txn).collect(),
        end: json["endContent"].as_str().map(Into::into),
    })
}

/// Two people who type runs at about the same time and read each other now and then.
fn generated_concurrent(count: usize) -> Trace {
    let mut random = Random::new(7);
    let mut txns: Vec<Txn> = Vec::new();
    let docs = [bare(1), bare(2)];
    let mut updates: Vec<Vec<u8>> = Vec::new();
    // Of each agent: what it has of both, its last, and where it types.
    let mut seen = [[0_usize; 2]; 2];
    let mut of_agent: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
    let mut at = [0_usize; 2];
    let mut agent = 0;
    while txns.len() < count {
        if random.chance(12) {
            agent = 1 - agent;
        }
        if random.chance(if (txns.len() / 40).is_multiple_of(2) { 90 } else { 5 }) {
            let other = 1 - agent;
            for txn in &of_agent[other][seen[agent][other]..] {
                apply(&docs[agent], &updates[*txn]);
            }
            seen[agent][other] = of_agent[other].len();
        }
        let length = length_of(&docs[agent]);
        if random.chance(5) {
            at[agent] = random.below(length + 1);
        }
        let position = at[agent].min(length);
        let patch = if position > 0 && random.chance(10) {
            at[agent] = position - 1;
            Patch { position: position - 1, deleted: 1, inserted: String::new() }
        } else {
            at[agent] = position + 1;
            let letter = (b'a' + random.below(26) as u8) as char;
            Patch { position, deleted: 0, inserted: letter.to_string() }
        };
        let other = 1 - agent;
        let last_of = |who: usize, count: usize| count.checked_sub(1).map(|last| of_agent[who][last]);
        let mut parents: Vec<usize> = last_of(agent, of_agent[agent].len()).into_iter().collect();
        if let Some(theirs) = last_of(other, seen[agent][other]) {
            // A parent that the other had read already is named by no careful writer, and here it may well be named.
            parents.push(theirs);
        }
        updates.push(type_bare(&docs[agent], std::slice::from_ref(&patch)));
        of_agent[agent].push(txns.len());
        txns.push(Txn { agent, parents, patches: vec![patch] });
    }
    Trace { txns, end: None }
}

fn generated_sequential(count: usize) -> Trace {
    let mut random = Random::new(11);
    let (mut at, mut text) = (0_usize, Vec::<char>::new());
    let mut txns = Vec::new();
    for _ in 0..count {
        if random.chance(3) {
            at = random.below(text.len() + 1);
        }
        let patch = if at > 0 && random.chance(15) {
            at -= 1;
            text.remove(at);
            Patch { position: at, deleted: 1, inserted: String::new() }
        } else {
            let letter = if random.chance(1) { '😀' } else { (b'a' + random.below(26) as u8) as char };
            text.insert(at, letter);
            at += 1;
            Patch { position: at - 1, deleted: 0, inserted: letter.to_string() }
        };
        txns.push(Txn { agent: 0, parents: Vec::new(), patches: vec![patch] });
    }
    Trace { txns, end: Some(text.into_iter().collect()) }
}

/// For each transaction how many of each agent's are in its past. An agent's own previous one must be among them.
fn pasts(trace: &Trace) -> Vec<[usize; 2]> {
    let mut known: Vec<[usize; 2]> = Vec::with_capacity(trace.txns.len());
    let mut pasts = Vec::with_capacity(trace.txns.len());
    let mut done = [0_usize; 2];
    for txn in &trace.txns {
        let mut past = [0; 2];
        for parent in &txn.parents {
            for (mine, theirs) in past.iter_mut().zip(known[*parent]) {
                *mine = theirs.max(*mine);
            }
        }
        assert_eq!(past[txn.agent], done[txn.agent], "an agent's own previous transaction is an ancestor of its next");
        pasts.push(past);
        done[txn.agent] += 1;
        past[txn.agent] += 1;
        known.push(past);
    }
    pasts
}

fn bare(client: u64) -> Doc {
    let mut options = Options::with_client_id(ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    Doc::with_options(options)
}

fn apply(doc: &Doc, update: &[u8]) {
    let mut txn = doc.try_transact_mut().unwrap();
    txn.apply_update(Update::decode_v1(update).unwrap()).unwrap();
    assert!(!txn.has_missing_updates());
}

fn text_of(doc: &Doc) -> String {
    let text = doc.get_or_insert_text(FIELD);
    text.get_string(&doc.try_transact().unwrap())
}

fn length_of(doc: &Doc) -> usize {
    text_of(doc).chars().count()
}

/// Makes the edits in a bare document and gives the update. Positions are in code points.
fn type_bare(doc: &Doc, patches: &[Patch]) -> Vec<u8> {
    let text = doc.get_or_insert_text(FIELD);
    let mut txn = doc.try_transact_mut().unwrap();
    for patch in patches {
        let (mut from, mut deleted) = (patch.position as u32, patch.deleted as u32);
        // A text of the basic plane alone has one unit for each code point.
        if text.len(&txn) as usize > 0 {
            let now = text.get_string(&txn);
            if !now.is_ascii() {
                let units = |from: usize, count: usize| now.chars().skip(from).take(count).map(char::len_utf16).sum();
                let (before, within): (usize, usize) = (units(0, patch.position), units(patch.position, patch.deleted));
                (from, deleted) = (before as u32, within as u32);
            }
        }
        if deleted > 0 {
            text.remove_range(&mut txn, from, deleted);
        }
        if !patch.inserted.is_empty() {
            text.insert(&mut txn, from, &patch.inserted);
        }
    }
    txn.encode_update_v1()
}

/// Both agents' documents after every transaction was made at its own past and all were exchanged.
fn replay_bare(trace: &Trace, clients: [u64; 2]) -> [String; 2] {
    let docs = clients.map(bare);
    let mut updates: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    let mut seen = [0_usize; 2];
    for (txn, past) in trace.txns.iter().zip(pasts(trace)) {
        let (agent, other) = (txn.agent, 1 - txn.agent);
        for update in &updates[other][seen[agent]..past[other]] {
            apply(&docs[agent], update);
        }
        seen[agent] = past[other];
        updates[agent].push(type_bare(&docs[agent], &txn.patches));
    }
    for agent in [0, 1] {
        for update in &updates[1 - agent][seen[agent]..] {
            apply(&docs[agent], update);
        }
    }
    [text_of(&docs[0]), text_of(&docs[1])]
}

fn type_patches(tx: &mut crdt::Transaction<'_>, patches: &[Patch]) {
    let field = path(FIELD);
    for patch in patches {
        if patch.deleted > 0 {
            tx.delete_text(&field, patch.position, patch.deleted).unwrap();
        }
        if !patch.inserted.is_empty() {
            tx.insert_text(&field, patch.position, &patch.inserted).unwrap();
        }
    }
}

fn replay(trace: &Trace, document: &DocumentKey, replicas: &mut [Replica; 2]) {
    let mut entries: [Vec<Verified>; 2] = [Vec::new(), Vec::new()];
    let mut seen = [0_usize; 2];
    for (txn, past) in trace.txns.iter().zip(pasts(trace)) {
        let (agent, other) = (txn.agent, 1 - txn.agent);
        let replica = &mut replicas[agent];
        if seen[agent] < past[other] {
            let applied = replica.partition.apply(entries[other][seen[agent]..past[other]].to_vec());
            assert_eq!(applied.accepted.len(), past[other] - seen[agent]);
            assert!(applied.faults.is_empty());
            seen[agent] = past[other];
        }
        assert_eq!(replica.partition.log().entries().len(), past[0] + past[1], "the image of the parents exactly");
        entries[agent].push(replica.edit(document, |tx| type_patches(tx, &txn.patches)));
    }
    for agent in [0, 1] {
        let applied = replicas[agent].partition.apply(entries[1 - agent][seen[agent]..].to_vec());
        assert!(applied.refused.is_empty() && applied.faults.is_empty());
    }
}

/// The Yrs client id that this device writes under in a document.
fn client_of(device: u8, incarnation: u8, document: &DocumentKey) -> u64 {
    let mut replica = replica(device, incarnation);
    replica.edit(document, |tx| tx.insert_text(&path(FIELD), 0, "x").unwrap());
    replica.partition.document(document).unwrap().yrs_clients()[0].1
}

fn replica(device: u8, incarnation: u8) -> Replica {
    Replica { partition: empty(), author: author_in(device, incarnation), now: 1_000 }
}

/// Two incarnations of which the first device has the lower client id, or the higher one.
fn two_replicas(document: &DocumentKey, first_is_lower: bool) -> ([Replica; 2], [u64; 2]) {
    let first = client_of(0, 0, document);
    let second = (0..=u8::MAX).find(|incarnation| (first < client_of(1, *incarnation, document)) == first_is_lower);
    let second = second.expect("half of all incarnations fit");
    ([replica(0, 0), replica(1, second)], [first, client_of(1, second, document)])
}

fn concurrent_trace() -> Trace {
    read_trace("text_friendsforever_concurrent.json.gz").unwrap_or_else(|| generated_concurrent(4_000))
}

/// Both replicas end equal, and read what bare Yrs reads with the same client ids.
fn check_concurrent(trace: &Trace, first_is_lower: bool) -> String {
    let document = key(1);
    let (mut replicas, clients) = two_replicas(&document, first_is_lower);
    let start = Instant::now();
    replay(trace, &document, &mut replicas);
    eprintln!("{} transactions of two replicas: {:?}", trace.txns.len(), start.elapsed());
    let held: Vec<u64> = replicas[0].partition.document(&document).unwrap().yrs_clients().iter().map(|c| c.1).collect();
    assert!(clients.iter().all(|client| held.contains(client)), "{clients:?} are among {held:?}");
    let text = replicas[0].text(&document, FIELD);
    assert_eq!(text, replicas[1].text(&document, FIELD));
    assert_eq!(replicas[0].partition.digest(), replicas[1].partition.digest());
    let plain = replay_bare(trace, clients);
    assert_eq!(plain[0], plain[1]);
    assert!(text == plain[0], "the change sets and bare Yrs read differently");
    text
}

#[test]
fn a_text_written_by_two_ends_as_recorded() {
    let trace = concurrent_trace();
    let text = check_concurrent(&trace, true);
    if let Some(end) = &trace.end {
        assert!(text == *end, "the trace ends in another text");
    }
}

#[test]
fn a_text_written_by_two_ends_as_in_bare_yrs_under_swapped_client_ids() {
    check_concurrent(&concurrent_trace(), false);
}

#[test]
fn a_text_written_by_one_ends_as_recorded() {
    let trace = read_trace("text_automerge_paper_sequential.json.gz").unwrap_or_else(|| generated_sequential(20_000));
    let document = key(1);
    let mut replica = replica(0, 0);
    let patches: Vec<Patch> = trace.txns.into_iter().flat_map(|txn| txn.patches).collect();
    let start = Instant::now();
    for some in patches.chunks(20) {
        replica.edit(&document, |tx| type_patches(tx, some));
    }
    eprintln!("{} keystrokes: {:?}", patches.len(), start.elapsed());
    assert!(Some(replica.text(&document, FIELD)) == trace.end, "the trace ends in another text");

    // Somebody who gets it all at once reads the same.
    let mut other = empty();
    let start = Instant::now();
    assert!(other.apply(replica.partition.log().entries().to_vec()).faults.is_empty());
    eprintln!("received in one batch: {:?}", start.elapsed());
    assert_eq!(other.digest(), replica.partition.digest());
}

/// One of several writers: a replica, beside it a bare Yrs document with the same client id, and what it holds in the
/// order of arrival, as change sets and as Yrs updates.
struct Writer {
    replica: Replica,
    doc: Doc,
    log: Vec<(Verified, Vec<u8>)>,
}

impl Writer {
    fn new(device: u8, document: &DocumentKey) -> Self {
        Self { replica: replica(device, 0), doc: bare(client_of(device, 0, document)), log: Vec::new() }
    }

    fn text(&self, document: &DocumentKey) -> Vec<char> {
        self.replica.text(document, FIELD).chars().collect()
    }

    /// Some edits of one change set, the same in both.
    fn write(&mut self, random: &mut Random, document: &DocumentKey) {
        let mut text = self.text(document);
        let before = self.doc.try_transact().unwrap().state_vector();
        let count = 1 + random.below(3);
        if random.chance(25) {
            // Anything may become anything: Yrs is told what the replica made of it.
            let mut new = text;
            for _ in 0..count {
                let from = random.below(new.len() + 1);
                let to = (from + random.below(4)).min(new.len());
                new.splice(from..to, words(random));
            }
            let new: String = new.into_iter().collect();
            let entry = self.replica.edit(document, |tx| {
                tx.replace_text(&path(FIELD), &new).unwrap();
                assert_eq!(tx.text(&path(FIELD)).unwrap_or_default(), new);
            });
            apply(&self.doc, &self.replica.partition.document(document).unwrap().save_yjs());
            let update = self.doc.try_transact().unwrap().encode_state_as_update_v1(&before);
            self.log.push((entry, update));
            return;
        }
        let mut patches = Vec::new();
        for _ in 0..count {
            let position = match random.below(3) {
                0 => 0,
                1 => text.len() / 2,
                _ => random.below(text.len() + 1),
            };
            let deleted = if random.chance(40) { random.below(5).min(text.len() - position) } else { 0 };
            let inserted: String =
                if deleted > 0 && random.chance(50) { String::new() } else { words(random).collect() };
            text.splice(position..position + deleted, inserted.chars());
            patches.push(Patch { position, deleted, inserted });
        }
        let update = type_bare(&self.doc, &patches);
        let entry = self.replica.edit(document, |tx| type_patches(tx, &patches));
        self.log.push((entry, update));
    }

    /// Takes the first `count` that the other has: whatever those build on is among them.
    fn read(&mut self, other: &[(Verified, Vec<u8>)]) {
        let is_new = |(entry, _): &&(Verified, Vec<u8>)| !self.replica.partition.log().contains(&entry.id());
        let new: Vec<(Verified, Vec<u8>)> = other.iter().filter(is_new).cloned().collect();
        let applied = self.replica.partition.apply(new.iter().map(|(entry, _)| entry.clone()));
        assert!(applied.accepted.len() == new.len() && applied.faults.is_empty());
        new.iter().for_each(|(_, update)| apply(&self.doc, update));
        self.log.extend(new);
    }

    fn check(&self, document: &DocumentKey) {
        assert_eq!(self.replica.text(document, FIELD), text_of(&self.doc));
    }
}

fn words(random: &mut Random) -> impl Iterator<Item = char> + use<> {
    random.pick(&["a", "bc", "😀", "x😀y", "ÅΩ", "hello ", "🏗️🦺", "𝄞𝄞"]).unwrap().chars()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn five_writers_read_what_bare_yrs_reads(seed: u64, steps in 1usize..80) {
        let document = key(1);
        let mut random = Random::new(seed);
        let mut writers: Vec<Writer> = (0..5).map(|device| Writer::new(device, &document)).collect();
        for _ in 0..steps {
            let at = random.below(writers.len());
            if random.chance(60) {
                writers[at].write(&mut random, &document);
            } else {
                let theirs = writers[random.below(5)].log.clone();
                let count = if random.chance(50) { theirs.len() } else { random.below(theirs.len() + 1) };
                writers[at].read(&theirs[..count]);
            }
            writers[at].check(&document);
        }
        for from in 0..5 {
            let theirs = writers[from].log.clone();
            writers.iter_mut().for_each(|writer| writer.read(&theirs));
        }
        for from in 0..5 {
            writers[from].check(&document);
            assert_eq!(writers[from].replica.text(&document, FIELD), writers[0].replica.text(&document, FIELD));
            assert_eq!(writers[from].replica.partition.digest(), writers[0].replica.partition.digest());
        }
    }
}
