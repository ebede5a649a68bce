//! Single edits and values at random.

use changeset::{Decimal, Edit, ItemRange, ItemRef, Line, Path, Value, Verified};
use crdt::{Edits, State, Transaction};

const PATHS: [&str; 6] = ["status", "items/7/.", "items/7/outcome", "items/8/.", "picked", "risk"];
const FIELDS: [&str; 3] = ["findings", "items/7/note", "status"];
const STRINGS: [&str; 6] = ["a", "bc", "😀", "x😀y", "ÅΩ", "hello "];

/// Small, fast, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

/// What a person may do in an editor.
pub(crate) fn honest_edit(random: &mut Random, tx: &mut Transaction<'_>) {
    let (at, field) = (path(random.pick(&PATHS).unwrap()), path(random.pick(&FIELDS).unwrap()));
    let length = tx.text(&field).unwrap_or_default().chars().count();
    match random.below(8) {
        0..=1 => tx.put(&at, random_value(random)).unwrap(),
        2 => tx.delete(&at).unwrap(),
        3 => drop(tx.increment(&at, random.below(9) as i64 - 4)),
        4..=6 => {
            let text = random.pick(&STRINGS).unwrap();
            tx.insert_text(&field, random.below(length + 1), text).unwrap();
        }
        _ => {
            let from = random.below(length + 1);
            tx.delete_text(&field, from, random.below(length - from + 1).min(3)).unwrap();
        }
    }
}

fn random_value(random: &mut Random) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => Value::Bool(random.chance(50)),
        2 => Value::Int(random.below(5) as i64),
        3 => Value::Decimal(Decimal { mantissa: random.below(500) as i64, scale: 2 }),
        4..=5 => Value::Counter(random.below(10) as i64),
        6 => Value::Timestamp(random.below(100) as i64),
        _ => Value::String((*random.pick(&["open", "pass", "fail"]).unwrap()).to_owned()),
    }
}

/// What no editor writes; it names what was written by any of the same document.
pub(crate) fn hostile_edit(random: &mut Random, same: &[Verified]) -> Edit {
    let (at, field) = (path(random.pick(&PATHS).unwrap()), path(random.pick(&FIELDS).unwrap()));
    let item = |random: &mut Random| {
        let other = random.pick(same);
        let line = match (random.below(8), other) {
            (0..=1, _) | (_, None) => Line::Own,
            (2, _) => Line::Named([7; 32]),
            (3..=4, Some(other)) => Line::Named(*other.id().as_bytes()),
            (_, Some(other)) => Line::Named(*other.actor().id().as_bytes()),
        };
        ItemRef { line, clock: random.below(12) as u32 }
    };
    match random.below(7) {
        0 => Edit::Put { path: at, value: random_value(random) },
        1 => Edit::Delete { path: at },
        2 => Edit::Increment { path: at, amount: random.below(7) as i64 },
        3..=5 => {
            let left = random.chance(60).then(|| item(random));
            let right = random.chance(60).then(|| item(random));
            Edit::InsertText { path: field, left, right, text: (*random.pick(&STRINGS).unwrap()).to_owned() }
        }
        _ => {
            let start = item(random);
            Edit::DeleteText { path: field, ranges: vec![ItemRange { start, length: 1 + random.below(4) as u32 }] }
        }
    }
}

/// Any two characters as origins, in any order: of each line one of the last six.
pub(crate) fn crossing_edit(random: &mut Random, own: &[u8; 32], written: &[([u8; 32], u32)]) -> Edit {
    let item = |random: &mut Random| {
        let (name, count) = random.pick(written)?;
        let line = if name == own { Line::Own } else { Line::Named(*name) };
        Some(ItemRef { line, clock: count - 1 - random.below((*count as usize).min(6)) as u32 })
    };
    let field = path(FIELDS[0]);
    if let Some(start) = item(random).filter(|_| random.chance(15)) {
        return Edit::DeleteText { path: field, ranges: vec![ItemRange { start, length: 1 }] };
    }
    let (left, right) = (item(random), item(random));
    let (left, right) = (left.filter(|_| random.chance(85)), right.filter(|_| random.chance(85)));
    Edit::InsertText { path: field, left, right, text: (*random.pick(&STRINGS).unwrap()).to_owned() }
}
