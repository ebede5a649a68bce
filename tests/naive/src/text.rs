//! Text fields as linked code points, placed as Yjs places them (rules 13 to 16).

use crate::Id;
use crate::cbor::cbor;
use crate::hash::derive;
use std::collections::{BTreeMap, BTreeSet};

/// The number of a unit in the order in which units were placed.
pub(crate) type UnitNumber = usize;

/// One inserted code point.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) field: usize,
    pub(crate) char: char,
    pub(crate) is_deleted: bool,
    /// Where it was named: the line, its clock there, and the clock at which the run that it stands in begins.
    pub(crate) named: Named,
    client: u64,
    /// The origins.
    left: Option<UnitNumber>,
    right: Option<UnitNumber>,
    next: Option<UnitNumber>,
    /// The scan that passed it last, and as which one.
    passed: (usize, usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) clock: usize,
    pub(crate) run: usize,
}

/// What is to be inserted behind each other.
pub(crate) struct Insert<'a> {
    pub(crate) field: usize,
    pub(crate) client: u64,
    pub(crate) left: Option<UnitNumber>,
    pub(crate) right: Option<UnitNumber>,
    pub(crate) chars: &'a [char],
    pub(crate) is_deleted: bool,
    /// Of the first unit.
    pub(crate) named: Named,
}

/// All text fields of one document.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) units: Vec<Unit>,
    /// The first unit by field.
    first: BTreeMap<usize, UnitNumber>,
    scans: usize,
}

impl Text {
    /// YATA, as Yjs has it. Only the first unit meets conflicts: nothing names yet what the others follow.
    pub(crate) fn insert(&mut self, insert: &Insert<'_>) -> std::ops::Range<UnitNumber> {
        let before = self.place(insert);
        let after = self.after(insert.field, before);
        let start = self.units.len();
        let end = start + insert.chars.len();
        match before {
            None => drop(self.first.insert(insert.field, start)),
            Some(before) => self.units[before].next = Some(start),
        }
        for (offset, char) in insert.chars.iter().enumerate() {
            let number = start + offset;
            self.units.push(Unit {
                field: insert.field,
                char: *char,
                is_deleted: insert.is_deleted,
                named: Named { clock: insert.named.clock + offset, ..insert.named },
                client: insert.client,
                left: if offset == 0 { insert.left } else { Some(number - 1) },
                right: insert.right,
                next: if number + 1 < end { Some(number + 1) } else { after },
                passed: (0, 0),
            });
        }
        start..end
    }

    fn after(&self, field: usize, unit: Option<UnitNumber>) -> Option<UnitNumber> {
        unit.map_or(self.first.get(&field).copied(), |unit| self.units[unit].next)
    }

    /// The unit behind which the first one goes; none is the start.
    fn place(&mut self, insert: &Insert<'_>) -> Option<UnitNumber> {
        self.scans += 1;
        let scan = self.scans;
        let mut place = insert.left;
        let mut at = self.after(insert.field, insert.left);
        // Units passed from `doubtful` on may still go behind the new one.
        let (mut count, mut doubtful) = (0, 0);
        while let Some(other) = at.filter(|_| at != insert.right) {
            self.units[other].passed = (scan, count);
            count += 1;
            let passed = &self.units[other];
            if passed.left == insert.left {
                if passed.client < insert.client {
                    (place, doubtful) = (Some(other), count);
                } else if passed.right == insert.right {
                    break;
                }
            } else {
                match passed.left.map(|origin| self.units[origin].passed) {
                    Some((in_scan, number)) if in_scan == scan => {
                        if number < doubtful {
                            (place, doubtful) = (Some(other), count);
                        }
                    }
                    _ => break,
                }
            }
            at = passed.next;
        }
        place
    }

    /// By field, those that are not empty.
    pub(crate) fn strings(&self) -> BTreeMap<usize, String> {
        let mut strings = BTreeMap::new();
        for (field, first) in &self.first {
            let mut string = String::new();
            let mut at = Some(*first);
            while let Some(unit) = at.map(|unit| &self.units[unit]) {
                if !unit.is_deleted {
                    string.push(unit.char);
                }
                at = unit.next;
            }
            if !string.is_empty() {
                strings.insert(*field, string);
            }
        }
        strings
    }
}

/// The Yrs client id of every name that inserts.
pub(crate) fn client_ids(kind: &str, document: &[u8; 16], names: &BTreeSet<Id>) -> BTreeMap<Id, u64> {
    let mut clients = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for name in names {
        let client = |n: u64| {
            let hash = derive("fieldbook v1 yrs client", &cbor([kind.into(), document.into(), name.into(), n.into()]));
            hash[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte)) >> 11
        };
        if let Some(free) = (0..).map(client).find(|client| taken.insert(*client)) {
            clients.insert(*name, free);
        }
    }
    clients
}
