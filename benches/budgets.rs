//! Every budget, measured and printed as a table.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, Change, ROOT, ReadDoc};
use changeset::{Author, ChangeSetId, MemoryLog, Path, Signed, Value, Verified, decode_page, encode_page};
use crdt::{Commit, Edits, Partition, State};
use fieldbook_benches::{
    Random, Shape, Table, author, commit_fields, document, empty, field, history, intent, median, millis,
    partition_name, path, reread, timed, type_text, workspace,
};
use std::hint::black_box;
use std::time::Duration;

const NOW: u64 = 1_800_000_000_000;

/// One budget or several that are measured together.
type Section = fn(&mut Table);

const SECTIONS: [(&str, Section); 4] =
    [("sizes", sizes), ("verifying", verifying), ("commands and batches", structure), ("typing", texts)];

/// With names of sections, or parts of names, only those.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this too, without `--bench`: nothing to test here.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            section(&mut table);
        }
    }
    table.print();
}

fn structure(table: &mut Table) {
    commits(table, 20);
    commits(table, 1_000);
    batch(table, "linear, 4 authors", Shape::Linear(4));
    batch(table, "5 authors apart", Shape::Apart(5));
    batch(table, "5 authors merging every 50", Shape::Merging(5, 50));
}

fn texts(table: &mut Table) {
    typing(table, "anywhere", Place::Anywhere);
    typing(table, "near the end", Place::NearEnd);
    typing(table, "all at the very end", Place::End);
}

/// Bytes of a change set besides its body, and of a body besides its values.
fn sizes(table: &mut Table) {
    let entries = history(Shape::Linear(2), 65_000);
    let log = |upto: usize| {
        let mut log = MemoryLog::new();
        entries.iter().take(upto).for_each(|entry| assert!(log.push(entry.clone())));
        log
    };
    let Some(last) = entries.iter().rev().find(|entry| entry.signature().is_some()) else { return };
    let body = last.body().to_bytes().len();
    let signed = last.to_bytes().map_or(0, |bytes| bytes.len());
    table.row("signed form, besides its body", (signed - body) as f64, 260.0, 0, "B");
    let mut granted = last.header().clone();
    granted.grant = Some(ChangeSetId::from_bytes([0; 32]));
    let grant = granted.to_bytes().len() - last.header().to_bytes().len();
    table.row("signed form with a grant, besides its body", (signed - body + grant) as f64, 300.0, 0, "B");
    table.row("body of three fields, 60 B of values", body as f64, 175.0, 0, "B");
    let at = entries.iter().position(|entry| entry == last).unwrap_or_default();
    let alone = encode_page(std::slice::from_ref(last), &log(at)).map_or(0, |page| page.len());
    table.row("entry alone in a page, besides its body", (alone - body) as f64, 110.0, 0, "B");
    let run = entries.get(at - 999..=at).unwrap_or_default();
    let page = encode_page(run, &log(at - 999)).map_or(0, |page| page.len());
    let bodies: usize = run.iter().map(|entry| entry.body().to_bytes().len()).sum();
    table.row("entry inside a run, besides its body", (page - bodies) as f64 / run.len() as f64, 40.0, 1, "B");
}

/// A run with one signature, and each of its entries with one of its own.
fn verifying(table: &mut Table) {
    const RUNS: u32 = 16;
    let author = author(0);
    let entries = reread(&history(Shape::Linear(1), 1_000));
    let page = encode_page(&entries, &MemoryLog::new()).expect("the run is signed");
    let forms: Vec<Vec<u8>> = entries
        .iter()
        .map(|entry| author.sign(entry).ok().and_then(|entry| entry.to_bytes()).expect("a key in memory signs"))
        .collect();
    let name = partition_name();
    let (mut as_run, mut each) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        // As often as takes about as long as verifying each: a busy machine then interrupts both alike.
        let (time, ()) = timed(|| {
            for _ in 0..RUNS {
                let page = decode_page(&page, &workspace(), &name, &MemoryLog::new());
                black_box(page.expect("it was just written").verify().expect("it was signed"));
            }
        });
        as_run.push(time / RUNS);
        each.push(
            timed(|| {
                let verify = |form: &Vec<u8>| Signed::from_bytes(form, workspace(), &name).ok()?.verify().ok();
                forms.iter().filter_map(verify).count()
            })
            .0,
        );
    }
    let (as_run, each) = (median(as_run), median(each));
    let percent = 100.0 * as_run.as_secs_f64() / each.as_secs_f64();
    table.row("verifying a run of 1,000, to verifying each", percent, 6.0, 1, "%");
    table.note("  a run of 1,000; each of 1,000", format!("{:.2} ms; {:.1} ms", millis(as_run), millis(each)));
}

/// The document that Automerge makes of these change sets, and its changes in the order that they came.
fn in_automerge(entries: &[Verified]) -> (Automerge, Vec<Change>) {
    let mut partition = empty();
    partition.apply(entries.iter().cloned());
    let saved = partition.document_mut(&document(0)).and_then(|document| document.save_automerge().ok());
    let image = Automerge::load(&saved.expect("the document is held")).expect("every save loads");
    let changes = image.get_changes(&[]);
    (image, changes)
}

/// A person's command that reads three fields and writes three.
fn commits(table: &mut Table, before: usize) {
    const COMMITS: usize = 20;
    const ROUNDS: usize = 41;
    let entries = history(Shape::Linear(2), before);
    let (_, changes) = in_automerge(&entries);
    let last = entries.iter().rev().find(|entry| entry.actor().id() == author(0).actor().id());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut partition = empty();
        partition.apply(entries.iter().cloned());
        let mut author = last.map_or_else(|| author(0), |last| author(0).after(last));
        commit_fields(&mut partition, &mut author, &document(0), NOW, 0);
        ours.push(timed(|| read_and_write(&mut partition, &mut author, COMMITS)).0);
        let mut image = Automerge::new();
        image.apply_changes(changes.iter().cloned()).expect("they were taken before");
        put_in_automerge(&mut image, 1);
        theirs.push(timed(|| put_in_automerge(&mut image, COMMITS)).0);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    table.row(format!("a command after {before} change sets, to Automerge's own"), ratio, 3.0, 2, "x");
    let each = |time: Duration| 1e3 * millis(time) / COMMITS as f64;
    table.note("  ours; Automerge's", format!("{:.1} us; {:.1} us", each(ours), each(theirs)));
}

fn read_and_write(partition: &mut Partition, author: &mut Author, times: usize) {
    let fields: Vec<Path> = (0..40).map(field).collect();
    for at in 0..times {
        let mut tx = partition.transact(author, &document(0), NOW + at as u64);
        for (number, field) in fields.iter().cycle().skip(at * 3).take(3).enumerate() {
            black_box(tx.value(field));
            tx.put(field, Value::String(format!("value {:014}", at + number))).expect("the value is allowed");
        }
        tx.commit(Commit::new(intent())).expect("the change set is allowed");
    }
}

fn put_in_automerge(image: &mut Automerge, times: usize) {
    let fields: Vec<Path> = (0..40).map(field).collect();
    for at in 0..times {
        let mut tx = image.transaction();
        for (number, field) in fields.iter().cycle().skip(at * 3).take(3).enumerate() {
            tx.put(ROOT, field.as_str(), format!("value {:014}", at + number)).expect("the root is a map");
        }
        tx.commit_with(CommitOptions::default());
    }
}

/// Ten thousand change sets that arrive at once.
fn batch(table: &mut Table, name: &str, shape: Shape) {
    let entries = history(shape, 10_000);
    let (image, changes) = in_automerge(&entries);
    let (mut ours, mut theirs, mut index) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let arrived = reread(&entries);
        let mut partition = empty();
        let (applying, _) = timed(|| partition.apply(arrived));
        let (feeding, heads) = timed(|| partition.automerge_heads());
        ours.push(applying + feeding);
        index.push(applying);
        let mut heads = heads.expect("Automerge takes what was rebuilt").remove(&document(0)).unwrap_or_default();
        let arrived = changes.clone();
        let mut other = Automerge::new();
        theirs.push(timed(|| other.apply_changes(arrived).expect("they were taken before")).0);
        let mut others: Vec<[u8; 32]> = other.get_heads().into_iter().map(|hash| hash.0).collect();
        heads.sort_unstable();
        others.sort_unstable();
        assert_eq!(heads, others);
    }
    assert_eq!(image.keys(ROOT).count(), 40);
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    table.row(format!("a batch of 10,000, {name}, to Automerge's own"), ratio, 4.0, 2, "x");
    let [ours, index, theirs] = [ours, median(index), theirs].map(millis);
    table.note("  ours (without the image); Automerge's", format!("{ours:.0} ({index:.0}); {theirs:.0} ms"));
}

/// Where people type.
#[derive(Clone, Copy)]
enum Place {
    Anywhere,
    NearEnd,
    End,
}

impl Place {
    fn position(self, random: &mut Random, length: usize) -> usize {
        match self {
            Self::Anywhere => random.below(length + 1),
            Self::NearEnd => length - random.below(length.min(200) + 1),
            Self::End => length,
        }
    }
}

/// Three people type into one text of ten thousand change sets at once. Each change set arrives when its reader has
/// written another one meanwhile.
fn typing(table: &mut Table, name: &str, place: Place) {
    const BEFORE: usize = 10_000;
    const ROUNDS: usize = 150;
    let mut random = Random::new(11);
    let words = ["ok ", "worn ", "see photo ", "to be ", "é"];
    let mut authors: Vec<Author> = (0..3).map(author).collect();
    let (mut first, mut all) = (empty(), Vec::new());
    let mut length = 0;
    while all.len() < BEFORE {
        for author in &mut authors {
            for _ in 0..25 {
                let text = words[random.below(words.len())];
                let position = random.below(length + 1);
                all.push(type_text(&mut first, author, &document(0), NOW, position, text));
                length += text.chars().count();
            }
        }
    }
    let mut replicas: Vec<Partition> = (0..3).map(|_| empty()).collect();
    for replica in &mut replicas {
        let applied = replica.apply(all.iter().cloned());
        assert!(applied.faults.is_empty() && applied.refused.is_empty());
    }
    let (mut commits, mut applies) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut written = Vec::new();
        for (replica, author) in replicas.iter_mut().zip(&mut authors) {
            let text = words[random.below(words.len())];
            let position = place.position(&mut random, length);
            let work = || type_text(replica, author, &document(0), NOW + round as u64, position, text);
            let (time, entry) = timed(work);
            if written.is_empty() {
                commits.push(time);
            }
            written.push((entry, text));
        }
        for (number, replica) in replicas.iter_mut().enumerate() {
            for (entry, _) in written.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, entry)| entry) {
                let (time, applied) = timed(|| replica.apply([entry.clone()]));
                assert!(applied.faults.is_empty() && applied.accepted.len() == 1);
                if number == 0 {
                    applies.push(time);
                }
            }
        }
        length += written.iter().map(|(_, text)| text.chars().count()).sum::<usize>();
    }
    let texts: Vec<Option<String>> = replicas
        .iter()
        .map(|replica| replica.document(&document(0)).and_then(|document| document.text(&path("findings"))))
        .collect();
    assert!(
        texts.windows(2).all(|pair| pair[0] == pair[1]) && texts[0].as_ref().map(|t| t.chars().count()) == Some(length)
    );
    // The first edit of a session loads the texts under the author's own client id.
    commits.remove(0);
    let all: Vec<Duration> = commits.iter().chain(&applies).copied().collect();
    let mean = |times: &[Duration]| millis(times.iter().sum::<Duration>()) / times.len() as f64;
    let worst = |times: &[Duration]| times.iter().copied().max().map_or(0.0, millis);
    table.row(format!("typing {name}, a change set, mean"), mean(&all), 3.0, 2, "ms");
    let show = |times: &[Duration]| format!("{:.2}, {:.2} ms", mean(times), worst(times));
    table.note("  own: mean, worst", show(&commits));
    table.note("  others': mean, worst", show(&applies));
}
