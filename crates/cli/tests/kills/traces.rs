//! What people typed, keystroke by keystroke, typed again by two device processes that meet through a relay process.
//!
//! Each transaction of the concurrent trace is typed in exactly the text that its author saw. A device that syncs both
//! gives and takes all there is, and the people of the trace saw each other's words later than they were written: so a
//! device gives over a line that holds back what the other has not seen yet, and takes nothing meanwhile, as one whose disk
//! is full. `FIELDBOOK_TRACE` says how many transactions are typed; all are too
//! many for a test that runs often.

use crate::driver::{notes, order, say, text};
use crate::support::{App, Desk, PATIENCE, RelayProcess, office};
use crate::wire::{Hand, PAGE, Proxy, Way};
use fieldbook::changeset::LogPage;
use fieldbook::{Edits, Fieldbook, Reached, Saved, Settings};
use std::io::BufRead;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;
use yrs::updates::decoder::Decode;
use yrs::{ClientID, Doc, GetString, OffsetKind, Options, Text, Transact, Update};

/// At a position, so many code points go and these come.
type Patch = (usize, usize, String);

struct Txn {
    agent: usize,
    parents: Vec<usize>,
    patches: Vec<Patch>,
}

fn read_trace(name: &str) -> Option<(Vec<Txn>, Option<String>)> {
    let Some(folder) = std::env::var_os("FIELDBOOK_DATA") else {
        eprintln!("FIELDBOOK_DATA is not set: {name} is not typed");
        return None;
    };
    let file = std::path::Path::new(&folder).join(name);
    let output = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the data folder has the trace");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number") as usize;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let patch = |value: &serde_json::Value| {
        (number(&value[0]), number(&value[1]), value[2].as_str().expect("a string").to_owned())
    };
    let txn = |value: &serde_json::Value| Txn {
        agent: value["agent"].as_u64().unwrap_or(0) as usize,
        parents: list(&value["parents"]).iter().map(number).collect(),
        patches: list(&value["patches"]).iter().map(patch).collect(),
    };
    Some((list(&json["txns"]).iter().map(txn).collect(), json["endContent"].as_str().map(Into::into)))
}

fn at_most(standard: usize) -> usize {
    std::env::var("FIELDBOOK_TRACE").ok().and_then(|count| count.parse().ok()).unwrap_or(standard)
}

/// For each transaction how many of each agent's are in its past.
fn pasts(txns: &[Txn]) -> Vec<[usize; 2]> {
    let (mut known, mut pasts): (Vec<[usize; 2]>, Vec<[usize; 2]>) = (Vec::new(), Vec::new());
    for txn in txns {
        let mut past = [0; 2];
        for parent in &txn.parents {
            for (mine, theirs) in past.iter_mut().zip(known[*parent]) {
                *mine = theirs.max(*mine);
            }
        }
        pasts.push(past);
        past[txn.agent] += 1;
        known.push(past);
    }
    pasts
}

/// A line that carries so many entries from a device, and then nothing more from it.
fn slow_line(allowed: Arc<AtomicUsize>) -> Hand {
    let is_held = AtomicBool::new(false);
    Arc::new(move |way, frame: Vec<u8>| {
        if way == Way::ToDevice {
            return Some(frame);
        }
        if frame[0] == PAGE && !is_held.load(Ordering::SeqCst) {
            let count = LogPage::from_bytes(&frame).unwrap().count as usize;
            match allowed.load(Ordering::SeqCst).checked_sub(count) {
                Some(left) => allowed.store(left, Ordering::SeqCst),
                None => is_held.store(true, Ordering::SeqCst),
            }
        }
        (!is_held.load(Ordering::SeqCst)).then_some(frame)
    })
}

/// What a device does, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Types a transaction.
    Type(usize),
    /// Takes so many of the other's.
    Pull(usize),
}

/// The steps of both devices: each pulls exactly what its next transaction had in its past.
fn steps(txns: &[Txn]) -> [Vec<Step>; 2] {
    let pasts = pasts(txns);
    [0, 1].map(|agent| {
        let (mut steps, mut done, mut seen) = (Vec::new(), 0, 0);
        for (number, past) in pasts.iter().enumerate().filter(|(number, _)| txns[*number].agent == agent) {
            if past[1 - agent] > seen {
                seen = past[1 - agent];
                steps.push(Step::Pull(seen));
            }
            assert_eq!(past[agent], done, "an agent's own previous transaction is in the past of its next");
            steps.push(Step::Type(number));
            done += 1;
        }
        let others = txns.iter().filter(|txn| txn.agent != agent).count();
        if seen < others {
            steps.push(Step::Pull(others));
        }
        steps
    })
}

/// Two devices that have the order, with an empty text, and what each types into.
struct Pair {
    desk: Desk,
    relay: RelayProcess,
    apps: [App; 2],
    /// Carries from each device so many of its entries as the other may have now.
    up: [Proxy; 2],
    allowed: [Arc<AtomicUsize>; 2],
}

impl Pair {
    fn new() -> Self {
        let desk = Desk::new();
        desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", ""]);
        desk.member("ben");
        let relay = RelayProcess::start(&desk.path("relay"), &[]);
        desk.converge(&["ana", "ben"], &relay);
        let apps = ["ana", "ben"].map(|name| App::start(&["type", desk.store(name).to_str().unwrap()]));
        let allowed: [Arc<AtomicUsize>; 2] = Default::default();
        let up = allowed.each_ref().map(|allowed| {
            let allowed = Arc::clone(allowed);
            Proxy::with(&relay.url, move || slow_line(Arc::clone(&allowed)))
        });
        Self { desk, relay, apps, up, allowed }
    }

    /// Both devices' texts, which are equal.
    fn end(mut self) -> String {
        let state = |app: &mut App| {
            app.tell("state");
            let digest = app.hears("digest");
            let text: String = serde_json::from_str(&app.hears("text")).unwrap();
            (digest, text)
        };
        let [ana, ben] = [0, 1].map(|device| state(&mut self.apps[device]));
        assert_eq!(ana.0, ben.0, "both come to one digest");
        assert!(ana.1 == ben.1);
        self.apps.into_iter().for_each(App::end);
        assert_eq!(self.desk.converge(&["ana", "ben"], &self.relay), ana.0, "and the command says so too");
        assert!(self.desk.note("ben") == ana.1);
        ana.1
    }
}

#[test]
fn a_text_that_two_people_wrote_at_once_is_typed_by_two_devices_through_a_relay() {
    let Some((mut txns, end)) = read_trace("text_friendsforever_concurrent.json.gz") else { return };
    let (all, begun) = (txns.len(), Instant::now());
    txns.truncate(at_most(1_200));
    let steps = steps(&txns);
    let mut pair = Pair::new();
    let (mut next, mut pulled, mut typed, mut met) = ([0_usize; 2], [0; 2], [0; 2], 0);
    while (0..2).any(|device| next[device] < steps[device].len()) {
        let mut is_stuck = true;
        for device in [0, 1] {
            let other = 1 - device;
            while let Some(step) = steps[device].get(next[device]) {
                match *step {
                    Step::Type(number) => {
                        pair.apps[device].tell(&serde_json::to_string(&txns[number].patches).unwrap());
                        typed[device] += 1;
                    }
                    Step::Pull(count) if typed[other] < count => break,
                    Step::Pull(count) => {
                        // More may be typed there, which was not seen yet when the next was typed here.
                        pair.allowed[other].store(count - pulled[device], Ordering::SeqCst);
                        pair.apps[other].tell(&format!("push {} {count}", pair.up[other].url));
                        pair.apps[other].hears("pushed");
                        // What it has itself is not for the other yet.
                        pair.allowed[device].store(0, Ordering::SeqCst);
                        pair.apps[device].tell(&format!("pull {} {}", pair.up[device].url, typed[device] + count));
                        pair.apps[device].hears("pulled");
                        (pulled[device], met) = (count, met + 1);
                    }
                }
                next[device] += 1;
                is_stuck = false;
            }
        }
        assert!(!is_stuck, "{next:?} of {:?}", steps.each_ref().map(Vec::len));
    }
    let text = pair.end();
    // Yrs orders what two wrote at one place by its client ids; which of the devices has the lower one is chance.
    let bare = [[1, 2], [2, 1]].map(|clients| replay_bare(&txns, clients));
    assert!(bare.contains(&text), "the devices and bare Yrs read differently");
    if let (Some(end), true) = (end, txns.len() == all) {
        assert!(bare[0] == end, "the trace ends in another text");
    }
    eprintln!("{} of {all} transactions, {met} meetings, {:?}", txns.len(), begun.elapsed());
}

#[test]
fn a_long_text_is_typed_by_two_devices_in_turns() {
    let Some((txns, end)) = read_trace("text_automerge_paper_sequential.json.gz") else { return };
    let begun = Instant::now();
    let patches: Vec<Patch> = txns.into_iter().flat_map(|txn| txn.patches).collect();
    let (all, count) = (patches.len(), at_most(12_000).min(patches.len()));
    let mut pair = Pair::new();
    let mut wanted: Vec<char> = Vec::new();
    let (mut typed, mut turns, mut own) = (0, 0, [0; 2]);
    for turn in patches[..count].chunks(1_000) {
        let (device, url) = (turns % 2, pair.relay.url.clone());
        for some in turn.chunks(20) {
            pair.apps[device].tell(&serde_json::to_string(some).unwrap());
            typed += 1;
            for (position, deleted, inserted) in some {
                wanted.splice(*position..*position + *deleted, inserted.chars());
            }
        }
        own[device] += turn.len().div_ceil(20);
        pair.apps[device].tell(&format!("push {url} {}", own[device]));
        pair.apps[device].hears("pushed");
        pair.apps[1 - device].tell(&format!("pull {url} {typed}"));
        pair.apps[1 - device].hears("pulled");
        turns += 1;
    }
    let text = pair.end();
    assert!(text == wanted.iter().collect::<String>());
    if let (Some(end), true) = (end, count == all) {
        assert!(text == end, "the trace ends in another text");
    }
    eprintln!("{count} of {all} keystrokes in {turns} turns, {:?}", begun.elapsed());
}

/// The device's side: does what it is told, line by line.
pub(crate) fn type_trace(store: &str) {
    // A device that is short of disk gives what it has and takes nothing.
    let is_full = Arc::new(AtomicBool::new(false));
    let mut settings = Settings::new().unwrap();
    settings.replica.policy.free_disk_min = 1;
    // One change set in a page, so that the line can be cut between any two.
    settings.storage.merge_when_idle = false;
    let free = Arc::clone(&is_full);
    settings.replica.policy.free_disk = Some(Arc::new(move || Some(u64::from(!free.load(Ordering::SeqCst)))));
    let book = Fieldbook::open(store, settings).unwrap();
    let (order, partition) = (order(&book), book.partition(&office()).unwrap());
    let entries = || partition.read(|documents| documents.log().entries().len()).unwrap();
    let base = entries();
    let mut own: Vec<Saved> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["push", url, count] => {
                is_full.store(true, Ordering::SeqCst);
                let saved: &Saved = &own[count.parse::<usize>().unwrap() - 1];
                let link = book.connect(url).unwrap();
                if let Err(error) = book.wait_blocking(saved, Reached::Relay, PATIENCE / 3) {
                    panic!("{error}: {:?}, {count} of {}", link.connectivity().now(), own.len());
                }
                say("pushed");
            }
            ["pull", url, count] => {
                let count: usize = count.parse().unwrap();
                is_full.store(false, Ordering::SeqCst);
                let link = book.connect(url).unwrap();
                let begun = Instant::now();
                let what = || format!("{} of {count}, {:?}", entries() - base, link.connectivity().now());
                while entries() - base < count {
                    assert!(begun.elapsed() < PATIENCE / 3, "the other's did not arrive: {}", what());
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                drop(link);
                assert_eq!(entries() - base, count, "exactly what was pushed");
                say("pulled");
            }
            ["state"] => {
                say(&format!("digest {}", partition.digest().unwrap()));
                say(&format!("text {}", serde_json::to_string(&text(&book, &order)).unwrap()));
            }
            _ => {
                let patches: Vec<Patch> = serde_json::from_str(&line).unwrap();
                let saved = partition.edit(&order, "edit_text", |tx| {
                    for (position, deleted, inserted) in &patches {
                        if *deleted > 0 {
                            tx.delete_text(&notes(), *position, *deleted)?;
                        }
                        if !inserted.is_empty() {
                            tx.insert_text(&notes(), *position, inserted)?;
                        }
                    }
                    Ok(())
                });
                own.push(saved.unwrap().expect("every transaction changes something"));
            }
        }
    }
    book.close();
}

const FIELD: &str = "text";

fn text_of(doc: &Doc) -> String {
    doc.get_or_insert_text(FIELD).get_string(&doc.try_transact().unwrap())
}

fn apply(doc: &Doc, update: &[u8]) {
    doc.try_transact_mut().unwrap().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}

fn type_bare(doc: &Doc, patches: &[Patch]) -> Vec<u8> {
    let text = doc.get_or_insert_text(FIELD);
    let mut txn = doc.try_transact_mut().unwrap();
    for (position, deleted, inserted) in patches {
        let now = text.get_string(&txn);
        let units = |from: usize, count: usize| now.chars().skip(from).take(count).map(char::len_utf16).sum::<usize>();
        let (from, length) = (units(0, *position) as u32, units(*position, *deleted) as u32);
        if length > 0 {
            text.remove_range(&mut txn, from, length);
        }
        if !inserted.is_empty() {
            text.insert(&mut txn, from, inserted);
        }
    }
    txn.encode_update_v1()
}

/// What bare Yrs reads when every transaction is made at its own past.
fn replay_bare(txns: &[Txn], clients: [u64; 2]) -> String {
    let docs = clients.map(|client| {
        let mut options = Options::with_client_id(ClientID::new(client));
        options.offset_kind = OffsetKind::Utf16;
        Doc::with_options(options)
    });
    let mut updates: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    let mut seen = [0_usize; 2];
    for (txn, past) in txns.iter().zip(pasts(txns)) {
        let (agent, other) = (txn.agent, 1 - txn.agent);
        for update in &updates[other][seen[agent]..past[other].max(seen[agent])] {
            apply(&docs[agent], update);
        }
        seen[agent] = past[other].max(seen[agent]);
        updates[agent].push(type_bare(&docs[agent], &txn.patches));
    }
    updates[1][seen[0]..].iter().for_each(|update| apply(&docs[0], update));
    text_of(&docs[0])
}
