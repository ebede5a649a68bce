//! The history of one document as a graph: what each change set has in its past.
//!
//! Nothing here moves when masks, names or purges do; it depends on headers and skeletons alone.

use changeset::{ActorId, ChangeSetId, DecodeError, Op, Verified};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A change set's number in its document, in the order of arrival, which is a causal order.
pub(crate) type NodeIx = u32;
/// A track's number: a run of change sets of one line, each the implied parent of the next.
pub(crate) type TrackIx = u32;

/// Which change sets are in some past: of each track, how many from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(Vec<u32>);

impl Clock {
    pub(crate) fn count(&self, track: TrackIx) -> u32 {
        self.0.get(track as usize).copied().unwrap_or(0)
    }

    pub(crate) fn raise(&mut self, track: TrackIx, count: u32) {
        let at = track as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(known) = self.0.get_mut(at) {
            *known = count.max(*known);
        }
    }

    fn join(&mut self, other: &[u32]) {
        if self.0.len() < other.len() {
            self.0.resize(other.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(other) {
            *mine = (*mine).max(*theirs);
        }
    }
}

/// Whether a change set's own content can be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The skeleton was read.
    Readable,
    /// The skeleton breaks the format: no content, no clock.
    Invalid(DecodeError),
    /// It or an ancestor is of a format that only newer versions read.
    Newer,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) entry: Verified,
    pub(crate) form: Form,
    /// The maximal ones among the listed parents and the implied one.
    pub(crate) parents: Vec<NodeIx>,
    pub(crate) implied: Option<NodeIx>,
    pub(crate) generation: u32,
    pub(crate) track: TrackIx,
    /// The place on the track, from 0.
    pub(crate) position: u32,
    /// The past by track; of the own track, [`Node::position`] counts instead.
    past: Arc<Vec<u32>>,
    /// How many code points the line had inserted before this change set, and after it.
    pub(crate) text_start: u32,
    pub(crate) text_end: u32,
}

impl Node {
    pub(crate) fn id(&self) -> ChangeSetId {
        self.entry.id()
    }

    /// Whether `other` is in this change set's past; no change set is in its own.
    pub(crate) fn follows(&self, other: &Self) -> bool {
        if other.track == self.track {
            return other.position < self.position;
        }
        self.past.get(other.track as usize).is_some_and(|count| *count > other.position)
    }

    /// Its past, without itself.
    pub(crate) fn past(&self) -> Clock {
        let mut clock = Clock(self.past.to_vec());
        clock.raise(self.track, self.position);
        clock
    }

    /// The ops, or none where the content cannot be read.
    pub(crate) fn ops(&self) -> &[Op] {
        match &self.form {
            Form::Readable => self.entry.skeleton().map_or(&[], |skeleton| &skeleton.ops),
            Form::Invalid(_) | Form::Newer => &[],
        }
    }
}

#[derive(Debug)]
struct Track {
    actor: ActorId,
    nodes: Vec<NodeIx>,
    /// The change set that this track branched off, if it does not begin the line.
    after: Option<NodeIx>,
    /// The tracks that branched off this one, with the position they follow.
    branches: Vec<(u32, TrackIx)>,
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    by_id: HashMap<ChangeSetId, NodeIx>,
    tracks: Vec<Track>,
    tracks_of: BTreeMap<ActorId, Vec<TrackIx>>,
    heads: Vec<NodeIx>,
    newest_ms: u64,
}

impl Graph {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn find(&self, id: &ChangeSetId) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn by_id(&self, id: &ChangeSetId) -> Option<&Node> {
        self.find(id).and_then(|ix| self.get(ix))
    }

    pub(crate) fn get(&self, ix: NodeIx) -> Option<&Node> {
        self.nodes.get(ix as usize)
    }

    /// The change sets without a successor, in order of arrival.
    pub(crate) fn heads(&self) -> &[NodeIx] {
        &self.heads
    }

    /// The greatest header time.
    pub(crate) fn newest_ms(&self) -> u64 {
        self.newest_ms
    }

    /// Replaces a held change set by the same one with more or less of its values or a signature.
    pub(crate) fn replace(&mut self, entry: &Verified) {
        if let Some(node) = self.find(&entry.id()).and_then(|ix| self.nodes.get_mut(ix as usize)) {
            node.entry = entry.clone();
        }
    }

    /// The past of these change sets, they themselves included.
    pub(crate) fn up_to(&self, nodes: impl IntoIterator<Item = NodeIx>) -> Clock {
        let mut clock = Clock::default();
        for node in nodes.into_iter().filter_map(|ix| self.get(ix)) {
            clock.join(&node.past);
            clock.raise(node.track, node.position + 1);
        }
        clock
    }

    pub(crate) fn is_in(&self, ix: NodeIx, clock: &Clock) -> bool {
        self.get(ix).is_some_and(|node| clock.count(node.track) > node.position)
    }

    /// Those of `nodes` that no other of them has in its past.
    pub(crate) fn maximal(&self, nodes: &[NodeIx]) -> Vec<NodeIx> {
        if nodes.len() < 2 {
            return nodes.to_vec();
        }
        let is_behind = |node: &Node| nodes.iter().filter_map(|ix| self.get(*ix)).any(|other| other.follows(node));
        nodes.iter().copied().filter(|ix| self.get(*ix).is_some_and(|node| !is_behind(node))).collect()
    }

    /// Adds a change set whose listed and implied parents are all held.
    pub(crate) fn push(&mut self, entry: Verified, implied: Option<ChangeSetId>) -> NodeIx {
        let ix = self.nodes.len() as NodeIx;
        let implied = implied.filter(|_| !changeset::planted("own previous change set is no parent"));
        let implied = implied.and_then(|id| self.find(&id));
        let mut parents: Vec<NodeIx> = entry.header().parents.iter().filter_map(|id| self.find(id)).collect();
        parents.extend(implied);
        parents.sort_unstable();
        parents.dedup();
        let parents = self.maximal(&parents);
        let (track, position) = self.place(ix, &entry, implied);
        let past = match (parents.as_slice(), implied) {
            ([only], Some(implied))
                if *only == implied && self.get(implied).is_some_and(|node| node.track == track) =>
            {
                self.get(implied).map(|node| Arc::clone(&node.past)).unwrap_or_default()
            }
            _ => {
                let mut clock = self.up_to(parents.iter().copied());
                // Two entries compare the own track by position; a count there would only keep vectors from sharing.
                if let Some(own) = clock.0.get_mut(track as usize) {
                    *own = 0;
                }
                Arc::new(clock.0)
            }
        };
        let of_parents = |find: fn(&Node) -> u32| parents.iter().filter_map(|ix| self.get(*ix)).map(find).max();
        let generation = of_parents(|node| node.generation).unwrap_or(0) + 1;
        let newer = entry.is_newer_format()
            || parents.iter().filter_map(|ix| self.get(*ix)).any(|parent| parent.form == Form::Newer);
        let form = match entry.skeleton() {
            _ if newer => Form::Newer,
            Err(fault) => Form::Invalid(fault.clone()),
            Ok(_) => Form::Readable,
        };
        let text_start = implied.and_then(|ix| self.get(ix)).map_or(0, |node| node.text_end);
        let mut node =
            Node { entry, form, parents, implied, generation, track, position, past, text_start, text_end: text_start };
        let inserted: u64 = node
            .ops()
            .iter()
            .map(|op| match op {
                Op::InsertText { points, .. } => u64::from(*points),
                _ => 0,
            })
            .sum();
        match u32::try_from(inserted).ok().and_then(|inserted| text_start.checked_add(inserted)) {
            Some(end) => node.text_end = end,
            // A line never gets this long by writing; such a change set is invalid like one over the op numbers.
            None => node.form = Form::Invalid(over_limit(u64::from(u32::MAX))),
        }
        self.heads.retain(|head| !node.parents.contains(head));
        self.heads.push(ix);
        self.newest_ms = self.newest_ms.max(node.entry.header().time);
        self.by_id.insert(node.id(), ix);
        self.nodes.push(node);
        ix
    }

    /// The track and the place on it: that of the implied parent if nothing follows there yet, else a new one.
    fn place(&mut self, ix: NodeIx, entry: &Verified, implied: Option<NodeIx>) -> (TrackIx, u32) {
        let before = implied.and_then(|ix| self.get(ix)).map(|node| (node.track, node.position));
        if let Some((track, position)) = before
            && let Some(known) = self.tracks.get_mut(track as usize)
            && known.nodes.len() as u32 == position + 1
        {
            known.nodes.push(ix);
            return (track, position + 1);
        }
        let track = self.tracks.len() as TrackIx;
        if let Some((parent, position)) = before
            && let Some(parent) = self.tracks.get_mut(parent as usize)
        {
            parent.branches.push((position, track));
        }
        let actor = entry.actor().id();
        self.tracks.push(Track { actor, nodes: vec![ix], after: implied, branches: Vec::new() });
        self.tracks_of.entry(actor).or_default().push(track);
        (track, 0)
    }

    /// The last change sets of an actor in a past: those that none of the same line follows there.
    pub(crate) fn last_of(&self, actor: &ActorId, past: &Clock) -> Vec<NodeIx> {
        let tracks = self.tracks_of.get(actor).map_or(&[][..], Vec::as_slice);
        let is_last = |track: &Track, count: u32| {
            !track.branches.iter().any(|(after, branch)| after + 1 == count && past.count(*branch) > 0)
        };
        tracks
            .iter()
            .filter_map(|ix| {
                let track = self.tracks.get(*ix as usize)?;
                let count = past.count(*ix).min(track.nodes.len() as u32);
                let last = track.nodes.get(count.checked_sub(1)? as usize)?;
                is_last(track, count).then_some(*last)
            })
            .collect()
    }

    /// The actor that wrote a track.
    pub(crate) fn actor_of(&self, ix: NodeIx) -> Option<ActorId> {
        let track = self.get(ix)?.track;
        self.tracks.get(track as usize).map(|track| track.actor)
    }

    /// Who inserted character `clock` of the line that ends with `end`.
    pub(crate) fn inserter(&self, end: NodeIx, clock: u32) -> Option<NodeIx> {
        let mut end = end;
        if self.get(end)?.text_end <= clock {
            return None;
        }
        loop {
            let last = self.get(end)?;
            let track = self.tracks.get(last.track as usize)?;
            let up_to = track.nodes.get(..=last.position as usize)?;
            let ends_before = |ix: &NodeIx| self.get(*ix).is_some_and(|node| node.text_end <= clock);
            let found = *up_to.get(up_to.partition_point(ends_before))?;
            if self.get(found)?.text_start <= clock {
                return Some(found);
            }
            end = track.after?;
        }
    }

    /// Whether the line that ends with `end` contains the change set `ix`.
    pub(crate) fn is_on_line(&self, ix: NodeIx, end: NodeIx) -> bool {
        let Some(wanted) = self.get(ix) else { return false };
        let mut end = Some(end);
        while let Some(last) = end.and_then(|ix| self.get(ix)) {
            if last.track == wanted.track {
                return wanted.position <= last.position;
            }
            end = self.tracks.get(last.track as usize).and_then(|track| track.after);
        }
        false
    }
}

fn over_limit(limit: u64) -> DecodeError {
    DecodeError { place: "skeleton", offset: 0, fault: changeset::Fault::OverLimit { limit } }
}
