//! What the crates make of a history is what the model makes of it.

use crate::tests::histories::{History, NORTH, Options, crossing_texts, history, name, purges};
use crate::{
    Document, Entry, Id, Partition, Purges, Rule, State, Verdict, masked_for, read, state, state_with, verdicts,
};
use access::{Authority, Claim, KIND_ACCESS};
use changeset::{ChangeSetId, Verified};
use crdt::{Judgement, State as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// How often something was seen: a comparison is worth what its cases reach.
type Seen = BTreeMap<String, usize>;

/// The verdict and the code of its reason.
fn told(verdict: &access::Verdict) -> (&'static str, &'static str) {
    let word = match verdict {
        access::Verdict::Accepted { .. } => "accepted",
        access::Verdict::Pending(_) => "pending",
        access::Verdict::Masked(_) => "masked",
        access::Verdict::Invalid(_) => "invalid",
        _ => panic!("a new verdict"),
    };
    (word, verdict.why().map_or("", access::Why::code))
}

fn ours(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Accepted => ("accepted", ""),
        Verdict::Pending(code) => ("pending", code),
        Verdict::Masked(code) => ("masked", code),
        Verdict::Invalid(code) => ("invalid", code),
    }
}

fn compare_verdicts(history: &History, partitions: &[Partition], verdicts: &BTreeMap<Id, Verdict>, seen: &mut Seen) {
    let in_set = |entry: &&Verified| partitions.iter().any(|it| it.entry(entry.id().as_bytes()).is_some());
    let all: HashMap<ChangeSetId, &Verified> =
        history.records.iter().chain(&history.entries).filter(in_set).map(|entry| (entry.id(), entry)).collect();
    let mut authority = Authority::new(history.workspace);
    let records = all.values().filter(|entry| entry.header().document.kind.as_str() == KIND_ACCESS);
    records.for_each(|record| drop(authority.take(record)));
    assert_eq!(verdicts.len(), all.len());
    let mut grants: HashMap<ChangeSetId, Option<ChangeSetId>> = HashMap::new();
    for id in partitions.iter().flat_map(Partition::ids) {
        let entry = all[&ChangeSetId::from_bytes(id)];
        let inherited = entry.header().previous.and_then(|previous| grants[&previous]);
        grants.insert(entry.id(), entry.header().grant.or(inherited));
        let theirs = authority.verdict(&Claim::of(entry, inherited));
        assert_eq!(ours(verdicts[&id]), told(&theirs), "{theirs:?}");
        *seen.entry(format!("verdict {:?}", verdicts[&id])).or_default() += 1;
    }
}

fn compare_states(
    history: &History,
    north: &Partition,
    mask: &BTreeSet<Id>,
    purges: &Purges,
    seen: &mut Seen,
) -> State {
    let mut theirs = crdt::Partition::new(history.workspace, name(NORTH));
    theirs.set_judgement(Judgement {
        mask: mask.iter().map(|id| ChangeSetId::from_bytes(*id)).collect(),
        purges: history.judgement.purges.clone(),
    });
    let applied = theirs.apply(history.entries.clone());
    assert!(applied.refused.is_empty() && applied.faults.is_empty());
    let waiting: Vec<Id> = theirs.waiting().iter().map(|waiting| *waiting.id.as_bytes()).collect();
    assert!(north.waiting().map(|entry| entry.id).eq(waiting));
    *seen.entry("waiting".into()).or_default() += north.waiting().count();
    let ours = state_with(north, mask, purges);
    assert_eq!(ours.documents.len(), theirs.documents().count());
    for document in theirs.documents() {
        let key = (document.key().kind.as_str().to_owned(), *document.key().id.as_bytes());
        compare_documents(&ours.documents[&key], document, seen);
    }
    assert_eq!(ours.digest, *theirs.digest().as_bytes());
    let forks = theirs.forks();
    assert_eq!(ours.forks, forks.len());
    *seen.entry("fork".into()).or_default() += ours.forks;
    ours
}

fn compare_documents(ours: &Document, theirs: &crdt::Document, seen: &mut Seen) {
    let mut see = |what: &str, count: usize| *seen.entry(what.to_owned()).or_default() += count;
    for entry in theirs.history() {
        let id = *entry.id.as_bytes();
        assert_eq!(ours.standings[&id] as u64, entry.standing.code());
        assert_eq!(ours.names[&id], *theirs.branch_name(&entry.id).unwrap().as_bytes());
        let inert: Vec<usize> = entry.inert.iter().map(|number| *number as usize).collect();
        assert_eq!(ours.inert.get(&id).cloned().unwrap_or_default(), inert);
        see(&format!("standing {:?}", ours.standings[&id]), 1);
        see("inert op", inert.len());
    }
    let value = |value: &changeset::Value| (value.value_type().code(), value.to_bytes());
    for path in theirs.paths("") {
        assert_eq!(
            ours.shown(path.as_str()),
            theirs.resolution(&path).and_then(|it| Some(value(&it.shown?))),
            "{path}"
        );
        let text = theirs.text(&path).unwrap_or_default();
        assert_eq!(ours.texts.get(path.as_str()).map_or("", String::as_str), text, "{path}");
    }
    see("text", ours.texts.values().map(|text| text.chars().count()).sum());
    see("value", ours.fields.len());
    let conflicts = theirs.conflicts();
    assert_eq!(theirs.conflict_count(), conflicts.len(), "{conflicts:?}");
    assert_eq!(theirs.newest_ms(), theirs.history().iter().map(|entry| entry.time).max().unwrap_or(0));
    assert_eq!(ours.conflicts.len(), conflicts.len(), "{:?}\n{conflicts:?}", ours.conflicts);
    for (ours, theirs) in ours.conflicts.iter().zip(conflicts) {
        let rule = match theirs.rule {
            crdt::Rule::LastWriter => Rule::LastWriter,
            crdt::Rule::SumOfCounters => Rule::SumOfCounters,
            crdt::Rule::RemovedWhileEdited => Rule::RemovedWhileEdited,
            _ => panic!("a new rule"),
        };
        assert_eq!((ours.path.as_str(), ours.rule), (theirs.path.as_str(), rule));
        assert_eq!(ours.shown, theirs.shown.as_ref().map(value));
        let contenders = theirs.contenders.iter().map(|it| (*it.change_set.as_bytes(), it.value.as_ref().map(value)));
        assert!(contenders.eq(ours.contenders.clone()), "{ours:?}\n{theirs:?}");
        see(&format!("conflict {rule:?}"), 1);
    }
    assert_eq!(ours.digest, *theirs.digest().as_bytes());
}

fn compare(history: &History, seen: &mut Seen) {
    let partitions = read(&history.file()).unwrap();
    let (by_records, north) = (verdicts(&partitions), &partitions[1]);
    compare_verdicts(history, &partitions, &by_records, seen);
    let mut mask: BTreeSet<Id> = history.judgement.mask.iter().map(|id| *id.as_bytes()).collect();
    let purges = purges(&history.judgement);
    let before = compare_states(history, north, &mask, &purges, seen);
    mask.extend(masked_for(&by_records, north, None));
    let after = compare_states(history, north, &mask, &purges, seen);
    *seen.entry("state that verdicts change".into()).or_default() += usize::from(before != after);
}

#[test]
fn hostile_histories_come_out_as_in_the_crates() {
    let mut seen = Seen::new();
    for seed in 0..200 {
        let random = seed as usize * 7919;
        let options = Options {
            steps: 40 + random % 160,
            devices: 2 + (random % 4) as u8,
            documents: 1 + random % 5,
            hostile: seed % 5 != 0,
            judged: seed % 3 != 0,
            records: if seed % 4 == 0 { 40 } else { 5 },
            gaps: seed % 7 == 0,
        };
        compare(&history(seed, &options), &mut seen);
    }
    println!("{seen:#?}");
    for (what, least) in [
        ("conflict LastWriter", 500),
        ("conflict RemovedWhileEdited", 25),
        ("conflict SumOfCounters", 150),
        ("fork", 500),
        ("inert op", 5000),
        ("standing Counted", 10_000),
        ("standing Invalid", 200),
        ("standing Masked", 4000),
        ("standing NewerFormat", 500),
        ("standing ValueMissing", 150),
        ("state that verdicts change", 100),
        ("text", 10_000),
        ("verdict Accepted", 5000),
        ("verdict Invalid(\"bad-record\")", 5),
        ("verdict Masked(\"delegation-expired\")", 10),
        ("verdict Masked(\"delegation-not-yet\")", 10),
        ("verdict Masked(\"outlasts\")", 10),
        ("verdict Pending(\"newer-format\")", 5),
        ("verdict Pending(\"no-genesis\")", 100),
        ("verdict Pending(\"value-missing\")", 50),
        ("waiting", 200),
    ] {
        assert!(seen.get(what).is_some_and(|count| *count >= least), "{what}: {seen:#?}");
    }
    assert!(seen.keys().filter(|what| what.starts_with("verdict")).count() >= 25, "{seen:#?}");
}

/// In about one of thirty it shows which of two scripts of one generation was applied first.
#[test]
fn texts_with_crossing_origins_come_out_as_in_the_crates() {
    for seed in 1000..1120 {
        compare(&crossing_texts(seed, [30, 100, 300][seed as usize % 3]), &mut Seen::new());
    }
}

/// Honest work of many devices, in several pages, with the records that let it count.
#[test]
fn a_large_partition_comes_out_as_in_the_crates() {
    let options =
        Options { steps: 5200, devices: 8, documents: 20, hostile: false, judged: false, records: 0, gaps: false };
    let history = history(1, &options);
    assert!(history.entries.len() > 2100, "{}", history.entries.len());
    let file = history.file();
    let begun = Instant::now();
    let partitions = read(&file).unwrap();
    let was_read = begun.elapsed();
    let by_records = verdicts(&partitions);
    let mask = masked_for(&by_records, &partitions[1], None);
    let judged = begun.elapsed();
    state(&partitions[1], &mask);
    let rebuilt = begun.elapsed();
    println!("{} change sets: read {was_read:?}, judged {judged:?}, rebuilt {rebuilt:?}", history.entries.len());
    assert!(mask.len() < history.entries.len() / 2);
    compare(&history, &mut Seen::new());
}

#[test]
fn a_device_sees_its_own_pending_work_and_nothing_else_that_does_not_count() {
    let options =
        Options { steps: 300, devices: 5, documents: 3, hostile: true, judged: false, records: 5, gaps: false };
    let partitions = read(&history(3, &options).file()).unwrap();
    let (north, by_records) = (&partitions[1], verdicts(&partitions));
    let is_pending = |entry: &&Entry| matches!(by_records[&entry.id], Verdict::Pending(_));
    let own = north.entries().find(is_pending).unwrap().author;
    let pending = north.entries().filter(is_pending);
    let drafts: BTreeSet<Id> = pending.filter(|entry| entry.author == own).map(|entry| entry.id).collect();
    let all = masked_for(&by_records, north, None);
    let rest: BTreeSet<Id> = all.difference(&drafts).copied().collect();
    assert_eq!(masked_for(&by_records, north, Some(own)), rest);
    assert!(
        by_records
            .iter()
            .all(|(id, verdict)| { north.entry(id).is_none() || all.contains(id) != (*verdict == Verdict::Accepted) })
    );
}

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    let options =
        Options { steps: 12, devices: 2, documents: 2, hostile: false, judged: false, records: 0, gaps: false };
    let file = history(5, &options).file();
    assert!(read(&file).is_ok());
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(read(&changed).is_err(), "byte {at}");
        assert!(read(&file[..at]).is_err() || file[at..].starts_with(b"FBBUNDL1"), "the first {at} bytes");
    }
}

#[test]
fn the_past_of_a_change_set_is_what_its_document_says_of_it() {
    let options =
        Options { steps: 120, devices: 3, documents: 3, hostile: true, judged: false, records: 0, gaps: false };
    let history = history(9, &options);
    let partitions = read(&history.file()).unwrap();
    let north = &partitions[1];
    let mut theirs = crdt::Partition::new(history.workspace, name(NORTH));
    theirs.apply(history.entries);
    for document in theirs.documents() {
        let heads: Vec<Id> = document.heads().iter().map(|id| *id.as_bytes()).collect();
        assert_eq!(north.heads(document.key().kind.as_str(), document.key().id.as_bytes()), heads);
        let mut reached: BTreeSet<Id> = heads.iter().copied().collect();
        heads.iter().for_each(|head| reached.extend(north.past(head)));
        assert!(document.standings().map(|(id, _)| *id.as_bytes()).collect::<BTreeSet<Id>>() == reached);
    }
}
