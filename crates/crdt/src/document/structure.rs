//! The structure of a document: which value is visible where, and what each change set gives to Automerge.
//!
//! Rules 9 to 12 of `spec/documents.md`. Predecessors come from this index, not from the engine: a put or delete acts on
//! all values visible in its author's past, found here by comparing pasts of the last writes of each line to the path.

use crate::document::graph::{Clock, Graph, NodeIx, TrackIx};
use crate::judgement::Judgement;
use changeset::{BranchName, Op, Path, Value, ValueType, increment_from_bytes};
use std::collections::{BTreeMap, HashMap};

pub(crate) type PathIx = u32;
pub(crate) type PutIx = u32;

/// Automerge numbers ops in 32 bits; a change set that would need more is invalid.
pub(crate) const MAX_OP_NUMBER: u64 = 1 << 31;

/// One emitted put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) node: NodeIx,
    pub(crate) op_number: u64,
    pub(crate) value: Value,
    /// Whether the value was purged, or did not fit what its skeleton said.
    pub(crate) is_purged: bool,
    increments: Vec<(NodeIx, i64)>,
    /// The sum of the increments.
    added: i64,
}

#[derive(Debug)]
struct Write {
    position: u32,
    node: NodeIx,
    /// The value written, or none for a delete.
    put: Option<PutIx>,
}

#[derive(Debug)]
struct Field {
    path: Path,
    /// The last write of each change set here, by track.
    lanes: Vec<(TrackIx, Vec<Write>)>,
    /// What is visible with everything in the past.
    visible: Vec<PutIx>,
}

/// What Automerge is told of one op.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) path: PathIx,
    pub(crate) action: Action,
    pub(crate) predecessors: Vec<PutIx>,
}

#[derive(Debug)]
pub(crate) enum Action {
    Put(PutIx),
    Delete,
    Increment(i64),
}

/// What follows from a change set and its past for the engine.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) name: BranchName,
    /// The first op number and how many there are; none if nothing was emitted.
    pub(crate) start_op: u64,
    pub(crate) emitted: u64,
    /// How many emitted changes of the name there are up to here.
    pub(crate) sequence: u64,
    /// The largest emitted op number up to here.
    max_op: u64,
    /// The maximal emitted changes up to here; the change set itself if it emitted.
    pub(crate) frontier: Vec<NodeIx>,
    /// The ops of this change set that found nothing to act on, by their numbers in the script.
    pub(crate) inert: Vec<u32>,
}

/// A change for the engine, in causal order.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) node: NodeIx,
    /// The changes that it follows.
    pub(crate) after: Vec<NodeIx>,
    pub(crate) ops: Vec<Emitted>,
}

#[derive(Debug, Default)]
pub(crate) struct Structure {
    paths: BTreeMap<Path, PathIx>,
    fields: Vec<Field>,
    puts: Vec<Put>,
    facts: Vec<Facts>,
    /// Changes that the engine was not given yet.
    queue: Vec<Change>,
}

impl Structure {
    pub(crate) fn facts(&self, ix: NodeIx) -> Option<&Facts> {
        self.facts.get(ix as usize)
    }

    pub(crate) fn put(&self, ix: PutIx) -> Option<&Put> {
        self.puts.get(ix as usize)
    }

    pub(crate) fn path(&self, ix: PathIx) -> Option<&Path> {
        self.fields.get(ix as usize).map(|field| &field.path)
    }

    pub(crate) fn find(&self, path: &Path) -> Option<PathIx> {
        self.paths.get(path).copied()
    }

    /// Every path ever written that begins with `prefix`, sorted.
    pub(crate) fn paths_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Path, PathIx)> {
        self.paths
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(path, _)| path.as_str().starts_with(prefix))
            .map(|(path, ix)| (path, *ix))
    }

    pub(crate) fn visible(&self, path: PathIx) -> &[PutIx] {
        self.fields.get(path as usize).map_or(&[], |field| &field.visible)
    }

    /// The name of the branch that an op's change set stands on: the actor of the op's Automerge id.
    pub(crate) fn name_of(&self, put: PutIx) -> Option<BranchName> {
        self.put(put).and_then(|put| self.facts(put.node)).map(|facts| facts.name)
    }

    /// The amount of one counter, with those of its increments that are in `clock`.
    pub(crate) fn counter(&self, graph: &Graph, put: &Put, clock: Option<&Clock>) -> Option<i64> {
        let Value::Counter(start) = put.value else { return None };
        // At most 2^31 increments of at most 2^31: no overflow of 63 bits.
        let Some(clock) = clock else { return Some(start.saturating_add(put.added)) };
        let in_past = put.increments.iter().filter(|(node, _)| graph.is_in(*node, clock));
        Some(in_past.fold(start, |sum, (_, by)| sum.saturating_add(*by)))
    }

    /// What is visible at a path to somebody with this past.
    pub(crate) fn visible_at(&self, graph: &Graph, path: PathIx, past: &Clock) -> Vec<PutIx> {
        let Some(field) = self.fields.get(path as usize) else { return Vec::new() };
        let last_in_past = |(track, writes): &'_ (TrackIx, Vec<Write>)| {
            let count = past.count(*track);
            let at = writes.partition_point(|write| write.position < count).checked_sub(1)?;
            writes.get(at).map(|write| (write.node, write.put))
        };
        // A line's last write stands over its earlier ones, and over what any of them stood over: only these compete.
        let last: Vec<(NodeIx, Option<PutIx>)> = field.lanes.iter().filter_map(last_in_past).collect();
        let is_over = |(node, _): &(NodeIx, Option<PutIx>)| {
            let Some(node) = graph.get(*node) else { return true };
            last.iter().filter_map(|(other, _)| graph.get(*other)).any(|other| other.follows(node))
        };
        last.iter().filter(|write| !is_over(write)).filter_map(|(_, put)| *put).collect()
    }

    /// The removals at a path that nobody wrote over.
    pub(crate) fn removals(&self, graph: &Graph, path: PathIx) -> Vec<NodeIx> {
        let Some(field) = self.fields.get(path as usize) else { return Vec::new() };
        let last: Vec<&Write> = field.lanes.iter().filter_map(|(_, writes)| writes.last()).collect();
        let nodes: Vec<NodeIx> = last.iter().map(|write| write.node).collect();
        let standing = graph.maximal(&nodes);
        last.iter()
            .filter(|write| write.put.is_none() && standing.contains(&write.node))
            .map(|write| write.node)
            .collect()
    }

    fn intern(&mut self, path: &Path) -> PathIx {
        if let Some(ix) = self.paths.get(path) {
            return *ix;
        }
        let ix = self.fields.len() as PathIx;
        self.paths.insert(path.clone(), ix);
        self.fields.push(Field { path: path.clone(), lanes: Vec::new(), visible: Vec::new() });
        ix
    }

    /// Takes the next change set of the graph. Gives the paths whose visible values it changed.
    pub(crate) fn push(
        &mut self,
        graph: &Graph,
        ix: NodeIx,
        name: BranchName,
        is_counted: bool,
        judgement: &Judgement,
    ) -> Vec<PathIx> {
        let Some(node) = graph.get(ix) else { return Vec::new() };
        let parents = || node.parents.iter().filter_map(|parent| self.facts(*parent));
        let max_op = parents().map(|facts| facts.max_op).max().unwrap_or(0);
        let mut after: Vec<NodeIx> = parents().flat_map(|facts| facts.frontier.iter().copied()).collect();
        after.sort_unstable();
        after.dedup();
        let after = graph.maximal(&after);
        let before = node.implied.and_then(|implied| self.facts(implied)).filter(|facts| facts.name == name);
        let sequence = before.map_or(0, |facts| facts.sequence);
        let facts =
            Facts { name, start_op: max_op + 1, emitted: 0, sequence, max_op, frontier: after, inert: Vec::new() };
        let ops = if is_counted { node.ops() } else { &[] };
        // Counted before anything is numbered, so that the limit refuses a change set as a whole.
        let fits = max_op + ops.len() as u64 <= MAX_OP_NUMBER;
        self.facts.push(facts);
        if !fits || ops.is_empty() {
            return Vec::new();
        }
        let mut script = ScriptRun {
            ix,
            next_op: max_op + 1,
            past: None,
            seen: HashMap::new(),
            ops: Vec::new(),
            incremented: Vec::new(),
            inert: Vec::new(),
        };
        let sees_all = graph.heads() == [ix];
        let first_value = usize::from(node.entry.skeleton().is_ok_and(|skeleton| skeleton.reason.is_some()));
        let mut value = first_value;
        for (number, op) in ops.iter().enumerate() {
            let (path, what) = match op {
                Op::Put { path, .. } | Op::Delete { path } | Op::Increment { path, .. } => (path, op),
                Op::InsertText { .. } => {
                    value += 1;
                    continue;
                }
                _ => continue,
            };
            let path = self.intern(path);
            if !script.seen.contains_key(&path) {
                let visible = if sees_all {
                    self.visible(path).to_vec()
                } else {
                    let past = script.past.get_or_insert_with(|| node.past());
                    self.visible_at(graph, path, past)
                };
                script.seen.insert(path, Seen { visible, wrote: None });
            }
            let emitted = match what {
                Op::Put { value_type, bytes, .. } => {
                    let fits = |held: &&[u8]| held.len() == *bytes as usize;
                    let (held, is_purged) = read_value(node.entry.body().value(value).filter(fits), *value_type);
                    let purged = is_purged || judgement.is_purged(&node.id(), value);
                    value += 1;
                    let shown = if purged { value_type.zero() } else { held };
                    self.emit_put(&mut script, path, shown, purged)
                }
                Op::Delete { .. } => script.delete(path),
                _ => {
                    let fits = |held: &&[u8]| Some(held.len() as u32) == op.value_bytes();
                    let held = node.entry.body().value(value).filter(fits);
                    let held = held.and_then(|bytes| increment_from_bytes(bytes).ok());
                    let amount = held.filter(|_| !judgement.is_purged(&node.id(), value)).unwrap_or(0);
                    value += 1;
                    self.emit_increment(&mut script, path, amount)
                }
            };
            if !emitted {
                script.inert.push(number as u32);
            }
        }
        self.close(graph, ix, script)
    }

    fn emit_put(&mut self, script: &mut ScriptRun, path: PathIx, value: Value, is_purged: bool) -> bool {
        let put = self.puts.len() as PutIx;
        self.puts.push(Put {
            node: script.ix,
            op_number: script.next_op,
            value,
            is_purged,
            increments: Vec::new(),
            added: 0,
        });
        if let Some(seen) = script.seen.get_mut(&path) {
            let predecessors = std::mem::replace(&mut seen.visible, vec![put]);
            seen.wrote = Some(Some(put));
            script.emit(path, Action::Put(put), predecessors);
        }
        true
    }

    fn emit_increment(&mut self, script: &mut ScriptRun, path: PathIx, amount: i64) -> bool {
        let visible = script.seen.get(&path).map_or(&[][..], |seen| &seen.visible);
        let counters = visible
            .iter()
            .copied()
            .filter(|put| self.put(*put).is_some_and(|put| matches!(put.value, Value::Counter(_))));
        let rank = |put: &PutIx| (self.put(*put).map(|put| put.op_number), self.name_of(*put));
        let counter = if changeset::planted("an increment takes the highest counter") {
            counters.max_by_key(rank)
        } else {
            counters.min_by_key(rank)
        };
        let Some(counter) = counter else { return false };
        if let Some(put) = self.puts.get_mut(counter as usize) {
            put.increments.push((script.ix, amount));
            put.added = put.added.saturating_add(amount);
        }
        script.incremented.push(path);
        script.emit(path, Action::Increment(amount), vec![counter]);
        true
    }

    /// Enters what a script did into the index and gives the paths it changed.
    fn close(&mut self, graph: &Graph, ix: NodeIx, script: ScriptRun) -> Vec<PathIx> {
        let Some(node) = graph.get(ix) else { return Vec::new() };
        let mut changed = script.incremented;
        for (path, seen) in script.seen {
            let (Some(wrote), Some(field)) = (seen.wrote, self.fields.get_mut(path as usize)) else { continue };
            changed.push(path);
            let write = Write { position: node.position, node: ix, put: wrote };
            match field.lanes.iter_mut().find(|(track, _)| *track == node.track) {
                Some((_, writes)) => writes.push(write),
                None => field.lanes.push((node.track, vec![write])),
            }
            // What it saw it stands over; what it did not see stays beside it.
            let puts = &self.puts;
            let is_seen = |put: &PutIx| {
                let before = puts.get(*put as usize).and_then(|put| graph.get(put.node));
                before.is_some_and(|before| node.follows(before))
            };
            let forgets_all = changeset::planted("a write removes what it did not see");
            field.visible.retain(|put| !is_seen(put) && !forgets_all);
            field.visible.extend(wrote);
        }
        changed.sort_unstable();
        changed.dedup();
        if let Some(facts) = self.facts.get_mut(ix as usize) {
            facts.inert = script.inert;
            if !script.ops.is_empty() {
                facts.emitted = script.ops.len() as u64;
                facts.sequence += 1;
                facts.max_op = facts.start_op + facts.emitted - 1;
                let after = std::mem::replace(&mut facts.frontier, vec![ix]);
                self.queue.push(Change { node: ix, after, ops: script.ops });
            }
        }
        changed
    }

    /// The changes that the engine was not given yet.
    pub(crate) fn take_queue(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.queue)
    }

    /// Forgets changes that an engine loaded from a snapshot has already.
    pub(crate) fn skip_queue(&mut self) {
        self.queue.clear();
    }
}

/// One script while it is emitted.
struct ScriptRun {
    ix: NodeIx,
    next_op: u64,
    past: Option<Clock>,
    seen: HashMap<PathIx, Seen>,
    ops: Vec<Emitted>,
    incremented: Vec<PathIx>,
    inert: Vec<u32>,
}

/// What the script sees at a path: at first what its author saw, then what it wrote itself.
struct Seen {
    visible: Vec<PutIx>,
    /// What its last put or delete left: a value, or nothing. None before either.
    wrote: Option<Option<PutIx>>,
}

impl ScriptRun {
    fn emit(&mut self, path: PathIx, action: Action, predecessors: Vec<PutIx>) {
        self.ops.push(Emitted { path, action, predecessors });
        self.next_op += 1;
    }

    /// A delete with nothing visible is inert.
    fn delete(&mut self, path: PathIx) -> bool {
        let Some(seen) = self.seen.get_mut(&path) else { return false };
        if seen.visible.is_empty() && !changeset::planted("an op that found nothing is emitted") {
            return false;
        }
        let predecessors = std::mem::take(&mut seen.visible);
        seen.wrote = Some(None);
        self.emit(path, Action::Delete, predecessors);
        true
    }
}

/// The value with these bytes, and whether it counts as purged because they are missing or do not fit.
fn read_value(bytes: Option<&[u8]>, value_type: ValueType) -> (Value, bool) {
    match bytes.map(|bytes| Value::from_bytes(value_type, bytes)) {
        Some(Ok(value)) => (value, false),
        Some(Err(_)) | None => (value_type.zero(), true),
    }
}
