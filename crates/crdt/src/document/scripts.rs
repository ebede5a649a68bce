//! What text scripts name: from (line, clock) to the change set that inserted a character, and back.
//!
//! Rules 13 and 14 of `spec/documents.md`. What a script names follows from its author's past alone; masks, names and
//! purges change nothing here.

use crate::document::graph::{Clock, Graph, Node, NodeIx};
use changeset::{ActorId, ChangeSetId, ItemRange, ItemRef, Line, Op, Path};
use std::collections::HashMap;

/// One inserted character: the insert op that brought it and the place in its string, in code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Unit {
    pub(crate) node: NodeIx,
    /// The number of the insert among those of its change set.
    pub(crate) insert: u32,
    pub(crate) offset: u32,
}

/// Characters that one insert brought, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: Unit,
    pub(crate) length: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insert {
    /// The op's number in the script.
    pub(crate) op: u32,
    pub(crate) field: Path,
    pub(crate) left: Option<Unit>,
    pub(crate) right: Option<Unit>,
    /// The clock of its first character on its line.
    pub(crate) start: u32,
    pub(crate) points: u32,
    /// The number of its string among the values of the body.
    pub(crate) value: usize,
    pub(crate) is_inert: bool,
    /// The clock at which its run begins: a run is what a line inserted character behind character.
    pub(crate) run_start: u32,
}

/// The text ops of one change set, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextScript {
    pub(crate) inserts: Vec<Insert>,
    pub(crate) deletes: Vec<Piece>,
    /// Numbers of the ops that name something outside the author's past or the field.
    pub(crate) inert: Vec<u32>,
}

impl TextScript {
    /// The insert that brought a character of the change set's line.
    fn find(&self, clock: u32) -> Option<(u32, &Insert)> {
        let at = self.inserts.partition_point(|insert| insert.start + insert.points <= clock);
        self.inserts.get(at).filter(|insert| insert.start <= clock).map(|insert| (at as u32, insert))
    }
}

pub(crate) type TextScripts = HashMap<NodeIx, TextScript>;

/// Resolves the text ops of a change set; none if it has no text ops.
pub(crate) fn resolve(graph: &Graph, scripts: &TextScripts, ix: NodeIx) -> Option<TextScript> {
    let node = graph.get(ix)?;
    let has_text = |op: &Op| matches!(op, Op::InsertText { .. } | Op::DeleteText { .. });
    if !node.ops().iter().any(has_text) {
        return None;
    }
    let mut value = usize::from(node.entry.skeleton().is_ok_and(|skeleton| skeleton.reason.is_some()));
    let last = last_unit(graph, scripts, node.implied);
    let mut resolver = Resolver { graph, scripts, ix, node, past: node.past(), own: TextScript::default(), last };
    let mut start = node.text_start;
    for (number, op) in node.ops().iter().enumerate() {
        let op_number = number as u32;
        match op {
            Op::InsertText { path, left, right, points, .. } => {
                let origins = (resolver.origin(left, path), resolver.origin(right, path));
                let are_named = origins.0.is_some() && origins.1.is_some();
                let (left, right) = (origins.0.flatten(), origins.1.flatten());
                let is_inert = !are_named || resolver.turns_back(left, right);
                let run_start = match resolver.last {
                    Some((last, run_start)) if left == Some(last) => run_start,
                    _ => start,
                };
                let insert = Insert {
                    op: op_number,
                    field: path.clone(),
                    left,
                    right,
                    start,
                    points: *points,
                    value,
                    is_inert,
                    run_start,
                };
                if is_inert {
                    resolver.own.inert.push(op_number);
                } else {
                    let number = resolver.own.inserts.len() as u32;
                    resolver.last = Some((Unit { node: ix, insert: number, offset: points - 1 }, run_start));
                }
                resolver.own.inserts.push(insert);
                start += points;
            }
            Op::DeleteText { path, ranges } => match resolver.pieces(ranges, path) {
                Some(mut pieces) => resolver.own.deletes.append(&mut pieces),
                None => resolver.own.inert.push(op_number),
            },
            Op::Put { .. } | Op::Delete { .. } | Op::Increment { .. } => {}
        }
        value += usize::from(op.value_bytes().is_some());
    }
    Some(resolver.own)
}

struct Resolver<'a> {
    graph: &'a Graph,
    scripts: &'a TextScripts,
    ix: NodeIx,
    node: &'a Node,
    past: Clock,
    /// The earlier ops of the same script.
    own: TextScript,
    /// The last character of the line that may be named, and the clock at which its run begins.
    last: Option<(Unit, u32)>,
}

/// The last character that a line inserted and that may be named.
fn last_unit(graph: &Graph, scripts: &TextScripts, end: Option<NodeIx>) -> Option<(Unit, u32)> {
    let mut at = end;
    while let Some(node) = at.and_then(|ix| graph.get(ix)) {
        let inserts = at.and_then(|ix| scripts.get(&ix)).map_or(&[][..], |script| &script.inserts);
        let found = inserts.iter().enumerate().rev().find(|(_, insert)| !insert.is_inert);
        if let (Some(node), Some((number, insert))) = (at, found) {
            let unit = Unit { node, insert: number as u32, offset: insert.points - 1 };
            return Some((unit, insert.run_start));
        }
        at = node.implied;
    }
    None
}

impl Resolver<'_> {
    /// `Some(None)` is the start or end of the field; `None` is outside the author's past or the field.
    fn origin(&self, item: &Option<ItemRef>, field: &Path) -> Option<Option<Unit>> {
        match item {
            None => Some(None),
            Some(item) => self.unit(item, field).map(|(unit, _)| Some(unit)),
        }
    }

    /// Whether the right origin is the left one, or stands before it in one run. No editor writes that, and where Yrs
    /// would put it depends on how it happens to have joined characters into items.
    fn turns_back(&self, left: Option<Unit>, right: Option<Unit>) -> bool {
        if changeset::planted("right origin is trusted") {
            return false;
        }
        let (Some(left), Some(right)) = (left, right) else { return false };
        let (Some(before), Some(after)) = (self.insert(left), self.insert(right)) else { return false };
        let clock = after.start + right.offset;
        (before.run_start..=before.start + left.offset).contains(&clock) && self.graph.is_on_line(right.node, left.node)
    }

    fn insert(&self, unit: Unit) -> Option<&Insert> {
        let script = if unit.node == self.ix { Some(&self.own) } else { self.scripts.get(&unit.node) };
        script?.inserts.get(unit.insert as usize)
    }

    /// The character, and how many of the same insert follow it, itself included.
    fn unit(&self, item: &ItemRef, field: &Path) -> Option<(Unit, u32)> {
        let (node, script) = match item.line {
            Line::Own if item.clock >= self.node.text_start => (self.ix, &self.own),
            Line::Own => {
                let node = self.graph.inserter(self.node.implied?, item.clock)?;
                (node, self.scripts.get(&node)?)
            }
            Line::Named(name) => {
                let node = self.graph.inserter(self.line_end(name)?, item.clock)?;
                (node, self.scripts.get(&node)?)
            }
        };
        let (number, insert) = script.find(item.clock)?;
        let offset = item.clock - insert.start;
        let reachable = !insert.is_inert && insert.field == *field;
        reachable.then_some((Unit { node, insert: number, offset }, insert.points - offset))
    }

    /// The last change set of the line that is named by its actor, if the author knew one end of it only, or by its
    /// last change set.
    fn line_end(&self, name: [u8; 32]) -> Option<NodeIx> {
        if let [only] = self.graph.last_of(&ActorId::from_bytes(name), &self.past).as_slice() {
            return Some(*only);
        }
        self.graph.find(&ChangeSetId::from_bytes(name)).filter(|ix| self.graph.is_in(*ix, &self.past))
    }

    /// The characters of all ranges, or none if one of them cannot be named.
    fn pieces(&self, ranges: &[ItemRange], field: &Path) -> Option<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(ranges.len());
        for range in ranges {
            let (mut item, mut left) = (range.start, range.length);
            while left > 0 {
                let (start, together) = self.unit(&item, field)?;
                let length = together.min(left);
                pieces.push(Piece { start, length });
                left -= length;
                item.clock += length;
            }
        }
        Some(pieces)
    }
}

/// How an author names characters in a new script: the reverse of resolving.
#[derive(Debug)]
pub(crate) struct Naming<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) scripts: &'a TextScripts,
    /// The author's past.
    pub(crate) past: &'a Clock,
    /// The author's last change set in the document.
    pub(crate) implied: Option<NodeIx>,
}

impl Naming<'_> {
    /// The item's name, or none if it is outside the author's past.
    pub(crate) fn item(&self, unit: Unit) -> Option<ItemRef> {
        if !self.graph.is_in(unit.node, self.past) {
            return None;
        }
        let insert = self.scripts.get(&unit.node)?.inserts.get(unit.insert as usize)?;
        let line = self.line(unit.node)?;
        Some(ItemRef { line, clock: insert.start + unit.offset })
    }

    fn line(&self, node: NodeIx) -> Option<Line> {
        if self.implied.is_some_and(|own| self.graph.is_on_line(node, own)) {
            return Some(Line::Own);
        }
        let actor = self.graph.actor_of(node)?;
        let last = self.graph.last_of(&actor, self.past);
        if last.len() == 1 {
            return Some(Line::Named(*actor.as_bytes()));
        }
        let containing = last.iter().filter(|end| self.graph.is_on_line(node, **end));
        let lowest = containing.filter_map(|end| self.graph.get(*end)).map(Node::id).min()?;
        Some(Line::Named(*lowest.as_bytes()))
    }
}
