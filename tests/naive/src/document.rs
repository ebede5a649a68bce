//! One document rebuilt: standings, structure, and what its texts name (rules 4 and 9 to 15).

use crate::Id;
use crate::bits::Bits;
use crate::entry::Entry;
use crate::names::MAX_U32;
use crate::skeleton::{Act, Op, Place};
use crate::state::Standing;
use crate::text::{Insert, Named, Text, UnitNumber, client_ids};
use crate::value::{self, COUNTER, NULL, SIMPLE, STRING};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const MAX_OP_NUMBER: u64 = 1 << 31;

/// One change set in a document, given in canonical order; numbers are places in it.
pub(crate) struct Member<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) name: Id,
    pub(crate) implied: Option<usize>,
    /// The implied one among them.
    pub(crate) parents: Vec<usize>,
    /// The value numbers that a purge names.
    pub(crate) purged: BTreeSet<usize>,
    pub(crate) is_masked: bool,
    // What follows.
    pub(crate) past: Bits,
    pub(crate) standing: Standing,
    /// The largest op number emitted in the past and here, and how many are from here.
    pub(crate) top: u64,
    pub(crate) emitted: u64,
    /// The units of its line: a list that is shared along it, and how many of it are of this line.
    line: usize,
    clock: usize,
    /// The ops that did nothing.
    pub(crate) inert: Vec<usize>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(entry: &'a Entry, name: Id, implied: Option<usize>, parents: Vec<usize>) -> Self {
        Self {
            entry,
            name,
            implied,
            parents,
            purged: BTreeSet::new(),
            is_masked: false,
            past: Bits::default(),
            standing: Standing::Counted,
            top: 0,
            emitted: 0,
            line: 0,
            clock: 0,
            inert: Vec::new(),
        }
    }

    fn says_nothing(&self) -> bool {
        matches!(self.standing, Standing::Invalid | Standing::NewerFormat)
    }

    pub(crate) fn ops(&self) -> &'a [Op] {
        let skeleton = self.entry.skeleton.as_ref().filter(|_| !self.says_nothing());
        skeleton.map_or(&[], |skeleton| &skeleton.ops)
    }

    /// A value that is here, was not purged, has the length that the skeleton names, and is of this type.
    fn value(&self, number: usize, code: u64) -> Option<&'a [u8]> {
        let length = self.entry.skeleton.as_ref()?.lengths[number];
        let value = self.entry.value(number).filter(|_| !self.purged.contains(&number))?;
        (value.len() as u64 == length && value::fits(code, value)).then_some(value)
    }

    /// The text of an insert of so many units, where it fits.
    pub(crate) fn text(&self, number: usize, points: u64) -> Option<Vec<char>> {
        let chars: Vec<char> = std::str::from_utf8(self.value(number, STRING)?).ok()?.chars().collect();
        (chars.len() as u64 == points).then_some(chars)
    }
}

/// One put that was emitted.
pub(crate) struct Put {
    pub(crate) member: usize,
    pub(crate) op: u64,
    pub(crate) code: u64,
    pub(crate) value: Vec<u8>,
    /// Of a counter: its start and the increments that act on it.
    pub(crate) sum: i64,
    /// The change sets of the puts and deletes that act on it.
    acted_on: Vec<usize>,
}

pub(crate) struct Rebuilt<'a> {
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) puts: BTreeMap<&'a str, Vec<Put>>,
    /// The puts and deletes that were emitted, by path, with their change sets; true is a put.
    pub(crate) writes: BTreeMap<&'a str, Vec<(usize, bool)>>,
    pub(crate) texts: BTreeMap<&'a str, String>,
    places: HashMap<Id, usize>,
    actors: HashMap<Id, Vec<usize>>,
    fields: BTreeMap<&'a str, usize>,
    text: Text,
    clients: BTreeMap<Id, u64>,
    /// By number of a line: its units by clock. None may not be named.
    lines: Vec<Vec<Option<UnitNumber>>>,
}

pub(crate) fn rebuild<'a>(kind: &str, document: &[u8; 16], members: Vec<Member<'a>>) -> Rebuilt<'a> {
    let mut actors: HashMap<Id, Vec<usize>> = HashMap::new();
    for (place, member) in members.iter().enumerate() {
        actors.entry(member.entry.actor).or_default().push(place);
    }
    let mut rebuilt = Rebuilt {
        actors,
        places: members.iter().enumerate().map(|(place, member)| (member.entry.id, place)).collect(),
        members,
        puts: BTreeMap::new(),
        writes: BTreeMap::new(),
        texts: BTreeMap::new(),
        fields: BTreeMap::new(),
        text: Text::default(),
        clients: BTreeMap::new(),
        lines: Vec::new(),
    };
    rebuilt.judge();
    let inserts = |member: &&Member<'_>| member.ops().iter().any(|op| matches!(op.act, Act::InsertText { .. }));
    let names = rebuilt.members.iter().filter(inserts).map(|member| member.name).collect();
    rebuilt.clients = client_ids(kind, document, &names);
    (0..rebuilt.members.len()).for_each(|place| rebuilt.apply(place));
    let strings = rebuilt.text.strings();
    let fields = rebuilt.fields.iter();
    rebuilt.texts = fields.filter_map(|(path, field)| Some((*path, strings.get(field)?.clone()))).collect();
    rebuilt
}

impl<'a> Rebuilt<'a> {
    /// Pasts and standings.
    fn judge(&mut self) {
        // How many units each line has inserted, by clock.
        let mut clocks: Vec<u64> = Vec::new();
        for place in 0..self.members.len() {
            let (before, [member, ..]) = self.members.split_at_mut(place) else { return };
            let mut is_newer = member.entry.format > 1;
            for parent in &member.parents {
                member.past.extend(&before[*parent].past);
                member.past.insert(*parent);
                is_newer |= before[*parent].standing == Standing::NewerFormat;
            }
            let clock = member.implied.map_or(0, |implied| clocks[implied]);
            let points = |op: &Op| if let Act::InsertText { points, .. } = op.act { points } else { 0 };
            let ops = member.ops().iter();
            let end = clock + ops.map(points).sum::<u64>();
            let is_missing = |number: usize| member.entry.value(number).is_none() && !member.purged.contains(&number);
            member.standing = if is_newer {
                Standing::NewerFormat
            } else if member.entry.skeleton.is_none() || end > MAX_U32 {
                Standing::Invalid
            } else if member.is_masked {
                Standing::Masked
            } else if (0..member.entry.body.slots.len()).any(is_missing) {
                Standing::ValueMissing
            } else {
                Standing::Counted
            };
            clocks.push(if member.says_nothing() { clock } else { end });
        }
    }

    fn apply(&mut self, place: usize) {
        self.follow_line(place);
        let member = &self.members[place];
        let top = member.parents.iter().map(|parent| self.members[*parent].top).max().unwrap_or(0);
        let is_counted = member.standing == Standing::Counted;
        let ops = member.ops();
        let emits = is_counted && top + ops.len() as u64 <= MAX_OP_NUMBER;
        let lines = member.entry.skeleton.as_ref().filter(|_| !ops.is_empty()).map_or(&[][..], |it| &it.lines);
        let tips: Vec<Option<usize>> = lines.iter().map(|line| self.tip(line, place)).collect();
        let (mut emitted, mut inert) = (0, Vec::new());
        for (number, op) in ops.iter().enumerate() {
            let acted = match &op.act {
                Act::InsertText { left, right, value, points } => {
                    self.insert_text(place, &tips, &op.path, [*left, *right], (*value, *points))
                }
                Act::DeleteText { ranges } => self.delete_text(place, &tips, &op.path, ranges),
                _ if !is_counted => continue,
                _ => emits && self.emit(place, op, top + emitted + 1),
            };
            if acted {
                emitted += u64::from(op.act.is_structural());
            } else {
                inert.push(number);
            }
        }
        let clock = self.lines[self.members[place].line].len();
        let member = &mut self.members[place];
        (member.clock, member.top, member.emitted, member.inert) = (clock, top + emitted, emitted, inert);
    }

    // Structure.

    /// The puts at a path that the change sets which are seen leave visible, by (op number, name).
    pub(crate) fn visible(&self, path: &str, sees: impl Fn(usize) -> bool) -> Vec<usize> {
        let puts = self.puts.get(path).map_or(&[][..], Vec::as_slice);
        let is_visible = |put: &Put| sees(put.member) && !put.acted_on.iter().any(|by| sees(*by));
        let mut visible: Vec<usize> = (0..puts.len()).filter(|number| is_visible(&puts[*number])).collect();
        visible.sort_by_key(|number| (puts[*number].op, self.members[puts[*number].member].name));
        visible
    }

    /// Whether the op is emitted.
    fn emit(&mut self, place: usize, op: &'a Op, number: u64) -> bool {
        let member = &self.members[place];
        let before = self.visible(&op.path, |other| other == place || member.past.has(other));
        let puts = self.puts.entry(&op.path).or_default();
        let written = match op.act {
            Act::Increment { value } => {
                let Some(counter) = before.into_iter().find(|put| puts[*put].code == COUNTER) else { return false };
                puts[counter].sum += member.value(value, COUNTER).map_or(0, value::number);
                return true;
            }
            Act::Put { code, value } => Some((code, member.value(value, code))),
            _ if before.is_empty() => return false,
            _ => None,
        };
        before.into_iter().for_each(|put| puts[put].acted_on.push(place));
        self.writes.entry(&op.path).or_default().push((place, written.is_some()));
        if let Some((code, value)) = written {
            let sum = value.filter(|_| code == COUNTER).map_or(0, value::number);
            // What is not here or does not fit is the zero of its type.
            let code = if value.is_none() && code != COUNTER { SIMPLE } else { code };
            let value = value.unwrap_or(&NULL).to_vec();
            puts.push(Put { member: place, op: number, code, value, sum, acted_on: Vec::new() });
        }
        true
    }

    // What texts name.

    /// A line's units stand in one list; a change set that follows what another one followed before takes a copy.
    fn follow_line(&mut self, place: usize) {
        let implied =
            self.members[place].implied.map(|implied| (self.members[implied].line, self.members[implied].clock));
        let line = match implied {
            Some((line, clock)) if self.lines[line].len() == clock => line,
            shared => {
                let prefix = shared.map_or_else(Vec::new, |(line, clock)| self.lines[line][..clock].to_vec());
                self.lines.push(prefix);
                self.lines.len() - 1
            }
        };
        self.members[place].line = line;
    }

    /// The change set at which the line with this name ends, in the past of this one.
    fn tip(&self, name: &Id, place: usize) -> Option<usize> {
        let past = &self.members[place].past;
        let actor = self.actors.get(name).map_or(&[][..], Vec::as_slice);
        let ours = || actor.iter().copied().filter(|other| past.has(*other));
        let followed: BTreeSet<usize> = ours().filter_map(|other| self.members[other].implied).collect();
        let mut lasts = ours().filter(|other| !followed.contains(other));
        match (lasts.next(), lasts.next()) {
            (Some(last), None) => Some(last),
            _ => self.places.get(name).copied().filter(|named| past.has(*named)),
        }
    }

    /// The units of the field that are named so; none if one of them may not be named.
    fn units(
        &self,
        place: usize,
        tips: &[Option<usize>],
        path: &str,
        from: Place,
        count: u64,
    ) -> Option<Vec<UnitNumber>> {
        let line = match from.line {
            0 => self.lines[self.members[place].line].as_slice(),
            number => {
                let tip = &self.members[tips[number - 1]?];
                &self.lines[tip.line][..tip.clock]
            }
        };
        let start = usize::try_from(from.clock).ok()?;
        let named = line.get(start..start + usize::try_from(count).ok()?)?;
        let field = self.fields.get(path)?;
        named.iter().map(|unit| unit.filter(|unit| self.text.units[*unit].field == *field)).collect()
    }

    /// Whether it is not inert.
    fn insert_text(
        &mut self,
        place: usize,
        tips: &[Option<usize>],
        path: &'a str,
        origins: [Option<Place>; 2],
        (value, points): (usize, u64),
    ) -> bool {
        let fields = self.fields.len();
        let field = *self.fields.entry(path).or_insert(fields);
        let named = |origin: Place| self.units(place, tips, path, origin, 1).map(|units| units[0]);
        let [left, right] = origins.map(|origin| origin.map(named));
        let member = &self.members[place];
        let line = member.line;
        let is_reachable = left != Some(None) && right != Some(None);
        let (left, right) = (left.flatten(), right.flatten());
        if !is_reachable || self.turns_back(left, right) {
            // It has clock, and nothing may name it.
            self.lines[line].extend((0..points).map(|_| None));
            return false;
        }
        let text = if member.standing == Standing::Counted { member.text(value, points) } else { None };
        let is_deleted = text.is_none();
        let chars = text.unwrap_or_else(|| vec!['\u{fffd}'; points as usize]);
        let clock = self.lines[line].len();
        let last = self.lines[line].iter().rev().find_map(|unit| *unit);
        let run = last.filter(|_| last == left).map_or(clock, |last| self.text.units[last].named.run);
        let client = self.clients.get(&member.name).copied().unwrap_or_default();
        let named = Named { line, clock, run };
        let units = self.text.insert(&Insert { field, client, left, right, chars: &chars, is_deleted, named });
        self.lines[line].extend(units.map(Some));
        true
    }

    /// Whether the right origin is the left one, or stands before it in one run of its line.
    fn turns_back(&self, left: Option<UnitNumber>, right: Option<UnitNumber>) -> bool {
        let (Some(left), Some(right)) = (left, right) else { return false };
        let Named { line, clock, run } = self.text.units[left].named;
        self.lines[line][run..=clock].contains(&Some(right))
    }

    fn delete_text(&mut self, place: usize, tips: &[Option<usize>], path: &str, ranges: &[(Place, u64)]) -> bool {
        let units = ranges.iter().map(|(from, count)| self.units(place, tips, path, *from, *count));
        let Some(doomed) = units.collect::<Option<Vec<_>>>() else { return false };
        if self.members[place].standing == Standing::Counted {
            doomed.into_iter().flatten().for_each(|unit| self.text.units[unit].is_deleted = true);
        }
        true
    }
}
