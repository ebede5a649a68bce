//! Text that comes late reads as if it had come in order, whatever its author claims that it stood between.

use crate::support::{Random, author, empty, intent, key, path};
use changeset::{Author, Draft, Edit, ItemRef, Line, Script, Verified};
use crdt::{Partition, State};

const AUTHORS: usize = 4;

/// Somebody who writes text between any two characters that they know.
struct Writer {
    author: Author,
    partition: Partition,
    /// How many characters of each author they know.
    known: [u32; AUTHORS],
}

impl Writer {
    fn item(&self, random: &mut Random, of: usize, authors: &[[u8; 32]; AUTHORS]) -> Option<ItemRef> {
        let from = random.below(AUTHORS);
        let clock = random.below(self.known[from] as usize) as u32;
        let line = if from == of { Line::Own } else { Line::Named(authors[from]) };
        (self.known[from] > 0 && random.chance(85)).then_some(ItemRef { line, clock })
    }

    fn write(&mut self, left: Option<ItemRef>, right: Option<ItemRef>, text: &str) -> Verified {
        let mut entries = self.partition.log().entries().iter().rev();
        let own = entries.find(|entry| entry.actor().id() == self.author.actor().id()).map(Verified::id);
        let heads = self.partition.document(&key(0)).map(crdt::Document::heads).unwrap_or_default();
        let draft = Draft {
            document: key(0),
            parents: heads.into_iter().filter(|head| Some(*head) != own).collect(),
            grant: None,
            schema_version: 0,
            intent: intent("edit"),
            group: None,
            script: Script {
                reason: None,
                edits: vec![Edit::InsertText { path: path("findings"), left, right, text: text.to_owned() }],
            },
        };
        let entry = self.author.record(draft, 1_000).unwrap();
        self.partition.apply([entry.clone()]);
        entry
    }
}

fn history(random: &mut Random, steps: usize) -> Vec<Verified> {
    let mut writers: Vec<Writer> = (0..AUTHORS)
        .map(|device| Writer { author: author(device as u8), partition: empty(), known: [0; AUTHORS] })
        .collect();
    let authors: [[u8; 32]; AUTHORS] = std::array::from_fn(|at| *writers[at].author.actor().id().as_bytes());
    let mut all = Vec::new();
    for _ in 0..steps {
        let (at, other) = (random.below(AUTHORS), random.below(AUTHORS));
        if random.chance(40) {
            let (entries, known) = (writers[other].partition.log().entries().to_vec(), writers[other].known);
            writers[at].partition.apply(entries);
            writers[at].known = std::array::from_fn(|of| known[of].max(writers[at].known[of]));
        }
        let (left, right) = (writers[at].item(random, at, &authors), writers[at].item(random, at, &authors));
        let text = ["a", "bc", "def"][random.below(3)];
        all.push(writers[at].write(left, right, text));
        writers[at].known[at] += text.len() as u32;
    }
    all
}

#[test]
fn late_text_reads_as_if_it_had_come_in_order() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut entries = history(&mut random, 24);
        let mut at_once = empty();
        at_once.apply(entries.clone());
        let document = at_once.document(&key(0)).unwrap();
        assert!(document.text(&path("findings")).is_some_and(|text| text.len() > 24), "most inserts count");
        for _ in 0..4 {
            random.shuffle(&mut entries);
            let mut one_by_one = empty();
            entries.iter().for_each(|entry| drop(one_by_one.apply([entry.clone()])));
            assert_eq!(one_by_one.digest(), at_once.digest(), "seed {seed}");
        }
    }
}
