//! The texts of a document: scripts applied to Yrs in canonical order.
//!
//! Rules 13 to 16 of `spec/documents.md`. A text is *defined* as its scripts applied in the order of (generation, id):
//! with hostile origins the order of arrival would show, with a fixed order it cannot. What arrives last in that order
//! is applied as it comes; anything else is replayed from a checkpoint, once for each batch.

use crate::document::graph::{Clock, Graph, NodeIx};
use crate::document::scripts::{Insert, Piece, TextScripts, Unit, resolve};
use crate::judgement::Judgement;
use crate::yjs::{YContent, YId, YItem, YRange, YUpdate};
use changeset::{BranchName, ChangeSetId, DocumentKey, Path, cbor::Writer, hash::CONTEXT_YRS_CLIENT};
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use yrs::updates::decoder::Decode;
use yrs::{
    Assoc, ClientID, Doc, GetString, ID, IdSet, OffsetKind, Options, ReadTxn, Snapshot, StateVector, StickyIndex, Text,
    Transact, Update,
};

/// How many scripts lie between two checkpoints while scripts come in order.
const CHECKPOINT_EVERY: usize = 1024;
/// How many scripts lie between two checkpoints that a replay leaves behind, and how far before the end it leaves the
/// last: those who type at once are that far apart at most.
const REPLAY_CHECKPOINT_EVERY: usize = 128;
const REPLAY_LAG: usize = 48;
/// How far before the end of the order a script may come late and still be compared with all that stand behind it.
const MAX_OVERTAKEN: usize = 16;
/// The most checkpoints kept; each is as large as the encoded texts.
const MAX_CHECKPOINTS: usize = 12;

/// A text engine that refused or lost what it was given; it never should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text engine did not take an update that was rebuilt for it")]
pub struct TextEngineError;

/// What an insert became in Yrs.
#[derive(Clone, Copy, Debug)]
struct Placed {
    clock: u32,
    units: u32,
    /// Masked or purged: its characters count one unit each and are deleted at once.
    is_placeholder: bool,
}

/// The state of one change set's text in Yrs.
#[derive(Debug)]
struct NodeTexts {
    name: BranchName,
    inserts: Vec<Placed>,
    clock_end: u32,
    is_counted: bool,
}

/// A branch that inserted text, and so has a Yrs client id.
#[derive(Debug, Default)]
struct Writers {
    /// In ascending order of name, each with its client id.
    clients: BTreeMap<BranchName, u64>,
    names: HashMap<u64, BranchName>,
    /// For each name its inserts in the order of their Yrs clocks.
    inserts: HashMap<BranchName, Vec<(u32, NodeIx, u32)>>,
}

#[derive(Debug)]
struct Checkpoint {
    applied: usize,
    state: Vec<u8>,
    /// What is among the first `applied` scripts but came when the state was taken, and commutes with what it overtook.
    late: Vec<NodeIx>,
}

/// A stretch of visible text that one insert brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: Unit,
    pub(crate) text: String,
}

pub(crate) struct Texts {
    document: DocumentKey,
    scripts: TextScripts,
    /// The change sets with text ops, in canonical order.
    order: Vec<NodeIx>,
    nodes: HashMap<NodeIx, NodeTexts>,
    writers: Writers,
    /// For each field the change sets that inserted into it, in the order of arrival.
    fields: BTreeMap<Path, Vec<NodeIx>>,
    /// The fields that anything outside the basic plane was ever inserted into: only there do UTF-16 offsets and code
    /// points differ.
    with_pairs: BTreeSet<Path>,
    live: Option<Doc>,
    /// How many of `order` the live document has.
    applied: usize,
    checkpoints: Vec<Checkpoint>,
    /// The client id under which this replica edits.
    local: u64,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Texts({} scripts, {} applied)", self.order.len(), self.applied)
    }
}

impl Texts {
    pub(crate) fn new(document: DocumentKey) -> Self {
        Self {
            document,
            scripts: HashMap::new(),
            order: Vec::new(),
            nodes: HashMap::new(),
            writers: Writers::default(),
            fields: BTreeMap::new(),
            with_pairs: BTreeSet::new(),
            live: None,
            applied: 0,
            checkpoints: Vec::new(),
            local: 0,
        }
    }

    pub(crate) fn scripts(&self) -> &TextScripts {
        &self.scripts
    }

    /// The text fields that anything was ever inserted into, sorted.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Path> {
        self.fields.keys()
    }

    /// The change sets that inserted into a field whose path begins with `prefix`, in the order of arrival.
    pub(crate) fn inserters(&self, prefix: &str) -> BTreeSet<NodeIx> {
        let fields = self.fields.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let fields = fields.take_while(|(path, _)| path.as_str().starts_with(prefix));
        fields.flat_map(|(_, nodes)| nodes).copied().collect()
    }

    /// Every branch that inserted text, with its Yrs client id.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (&BranchName, u64)> {
        self.writers.clients.iter().map(|(name, client)| (name, *client))
    }

    /// Takes the next change set of the graph. Gives the text fields that its script names.
    pub(crate) fn push(
        &mut self,
        graph: &Graph,
        ix: NodeIx,
        name: BranchName,
        is_counted: bool,
        judgement: &Judgement,
    ) -> Vec<Path> {
        let Some(script) = resolve(graph, &self.scripts, ix) else { return Vec::new() };
        let touched: BTreeSet<Path> = graph
            .get(ix)
            .into_iter()
            .flat_map(|node| node.ops())
            .filter(|op| matches!(op, changeset::Op::InsertText { .. } | changeset::Op::DeleteText { .. }))
            .map(|op| op.path().clone())
            .collect();
        for insert in &script.inserts {
            match self.fields.get_mut(&insert.field) {
                Some(nodes) if nodes.last() == Some(&ix) => {}
                Some(nodes) => nodes.push(ix),
                None => drop(self.fields.insert(insert.field.clone(), vec![ix])),
            }
        }
        self.scripts.insert(ix, script);
        let at = self.order.partition_point(|other| rank(graph, *other) < rank(graph, ix));
        self.order.insert(at, ix);
        self.place(graph, ix, name, is_counted, judgement);
        if at < self.applied && !self.overtake(graph, at, ix, judgement) {
            self.roll_back(graph, at, judgement);
        }
        touched.into_iter().collect()
    }

    /// Gives the inserts of a change set their Yrs clocks and its name a client id.
    fn place(&mut self, graph: &Graph, ix: NodeIx, name: BranchName, is_counted: bool, judgement: &Judgement) {
        let (Some(node), Some(script)) = (graph.get(ix), self.scripts.get(&ix)) else { return };
        let mut clock = self.clock_after(graph, node.implied, &name);
        let mut inserts = Vec::with_capacity(script.inserts.len());
        for (number, insert) in script.inserts.iter().enumerate() {
            let is_counted = is_counted || changeset::planted("text of a masked author is shown");
            let text = if is_counted { text_of(graph, ix, insert, judgement) } else { None };
            let units = match text {
                _ if insert.is_inert => 0,
                Some(text) => text.encode_utf16().count() as u32,
                None => insert.points,
            };
            inserts.push(Placed { clock, units, is_placeholder: text.is_none() });
            if units > insert.points {
                self.with_pairs.insert(insert.field.clone());
            }
            if units > 0 {
                self.writers.inserts.entry(name).or_default().push((clock, ix, number as u32));
            }
            clock += units;
        }
        let has_insert = !inserts.is_empty();
        self.nodes.insert(ix, NodeTexts { name, inserts, clock_end: clock, is_counted });
        if has_insert && !self.writers.clients.contains_key(&name) {
            self.add_client(name);
        }
    }

    /// The Yrs clock that a name has reached with the last text of its line.
    fn clock_after(&self, graph: &Graph, implied: Option<NodeIx>, name: &BranchName) -> u32 {
        let mut at = implied;
        while let Some(node) = at.and_then(|ix| graph.get(ix)) {
            if let Some(texts) = at.and_then(|ix| self.nodes.get(&ix)) {
                return if texts.name == *name { texts.clock_end } else { 0 };
            }
            at = node.implied;
        }
        0
    }

    fn add_client(&mut self, name: BranchName) {
        let first = client_id(&self.document, &name, 0);
        self.writers.clients.insert(name, first);
        if self.writers.names.insert(first, name).is_none() {
            return;
        }
        // Two names fell on one id: deal all of them again in order of name, and begin anew if that moved any.
        let before = self.writers.clients.clone();
        self.writers.names.clear();
        for (name, client) in &mut self.writers.clients {
            let mut counter = 0;
            *client = loop {
                let id = client_id(&self.document, name, counter);
                if !self.writers.names.contains_key(&id) {
                    break id;
                }
                counter += 1;
            };
            self.writers.names.insert(*client, *name);
        }
        if before != self.writers.clients {
            self.reset();
        }
    }

    /// Forgets the live document; the next [`Texts::settle`] replays everything.
    pub(crate) fn reset(&mut self) {
        self.live = None;
        self.applied = 0;
        self.checkpoints.clear();
    }

    /// The live document holds something that was not committed: back to the last checkpoint.
    pub(crate) fn discard_live(&mut self, graph: &Graph, judgement: &Judgement) {
        self.roll_back(graph, self.applied, judgement);
    }

    /// Places all change sets anew after names, mask or purges moved.
    pub(crate) fn rebuild(
        &mut self,
        graph: &Graph,
        judged: impl Fn(NodeIx) -> (BranchName, bool),
        judgement: &Judgement,
    ) {
        self.reset();
        self.nodes.clear();
        self.writers = Writers::default();
        let mut with_text: Vec<NodeIx> = self.scripts.keys().copied().collect();
        with_text.sort_unstable();
        for ix in with_text {
            let (name, is_counted) = judged(ix);
            self.place(graph, ix, name, is_counted, judgement);
        }
    }

    /// Makes the live document hold no more than the first `keep` scripts.
    fn roll_back(&mut self, graph: &Graph, keep: usize, judgement: &Judgement) {
        self.checkpoints.retain(|checkpoint| checkpoint.applied <= keep);
        self.live = None;
        self.applied = 0;
        while let Some(last) = self.checkpoints.last() {
            let doc = load(&last.state, self.local);
            let takes_late =
                |doc: &Doc| last.late.iter().all(|late| apply(doc, &self.update_of(graph, *late, judgement)).is_ok());
            if let Some(doc) = doc.filter(takes_late) {
                self.live = Some(doc);
                self.applied = last.applied;
                return;
            }
            self.checkpoints.pop();
        }
    }

    /// Applies the script at `at` after those that stand behind it, if that gives what the canonical order gives. It
    /// does where each insert of the one and each of the others lie apart: Yrs finds the place of an item by looking at
    /// what lies between its origins alone, and so neither order of two such inserts lets one see the other. Otherwise
    /// the live document is of no use any more.
    fn overtake(&mut self, graph: &Graph, at: usize, ix: NodeIx, judgement: &Judgement) -> bool {
        let Some(overtaken) = self.order.get(at + 1..=self.applied).filter(|behind| behind.len() <= MAX_OVERTAKEN)
        else {
            return false;
        };
        let update = self.update_of(graph, ix, judgement);
        let Some(doc) = self.live.as_ref().filter(|doc| apply(doc, &update).is_ok()) else { return false };
        if !update.items.is_empty() {
            let Ok(txn) = doc.try_transact() else { return false };
            let mine: Option<Vec<_>> = update.items.iter().map(|item| gap_of(&txn, item)).collect();
            let Some(mine) = mine else { return false };
            let is_apart = |item: &YItem| {
                let theirs = gap_of(&txn, item);
                theirs.is_some_and(|(from, to)| mine.iter().all(|(start, end)| to < *start || *end < from))
            };
            if !overtaken.iter().all(|other| self.update_of(graph, *other, judgement).items.iter().all(is_apart)) {
                return false;
            }
        }
        self.applied += 1;
        for checkpoint in self.checkpoints.iter_mut().filter(|checkpoint| checkpoint.applied > at) {
            checkpoint.applied += 1;
            checkpoint.late.push(ix);
        }
        true
    }

    /// Applies what is not applied yet. Cheap when there is nothing.
    ///
    /// # Errors
    /// [`TextEngineError`] if Yrs does not take what was rebuilt for it.
    pub(crate) fn settle(&mut self, graph: &Graph, judgement: &Judgement) -> Result<(), TextEngineError> {
        let total = self.order.len();
        if self.applied == total {
            return Ok(());
        }
        let replaying = total - self.applied > REPLAY_LAG;
        while let Some(ix) = self.order.get(self.applied).copied() {
            let update = self.update_of(graph, ix, judgement);
            let doc = self.live.get_or_insert_with(|| new_doc(self.local));
            apply(doc, &update)?;
            self.applied += 1;
            let since = self.applied - self.checkpoints.last().map_or(0, |last| last.applied);
            let lag = total - self.applied;
            let wanted = if replaying {
                since >= REPLAY_CHECKPOINT_EVERY && (lag == REPLAY_LAG || since >= CHECKPOINT_EVERY)
            } else {
                since >= CHECKPOINT_EVERY
            };
            if wanted {
                self.checkpoint();
            }
        }
        let missing =
            self.live.as_ref().and_then(|doc| doc.try_transact().ok()).is_some_and(|txn| txn.has_missing_updates());
        if missing { Err(TextEngineError) } else { Ok(()) }
    }

    /// Keeps the live state, if a document loaded from it has every character in the same order. With honest origins
    /// it does; with hostile ones Yrs may order items otherwise when they come in another order than the canonical one,
    /// and then only replaying is right.
    fn checkpoint(&mut self) {
        let Some(state) = self.live.as_ref().and_then(encode) else { return };
        let Some(loaded) = load(&state, self.local) else { return };
        let same =
            |field: &Path| self.live.as_ref().is_some_and(|live| all_items(live, field) == all_items(&loaded, field));
        if self.fields.keys().all(same) {
            if self.checkpoints.len() >= MAX_CHECKPOINTS {
                self.checkpoints.remove(0);
            }
            self.checkpoints.push(Checkpoint { applied: self.applied, state, late: Vec::new() });
        }
    }

    /// The Yrs update that a change set's text ops mean.
    fn update_of(&self, graph: &Graph, ix: NodeIx, judgement: &Judgement) -> YUpdate {
        let mut update = YUpdate::default();
        let (Some(script), Some(texts)) = (self.scripts.get(&ix), self.nodes.get(&ix)) else { return update };
        let client = self.writers.clients.get(&texts.name).copied().unwrap_or_default();
        for (insert, placed) in script.inserts.iter().zip(&texts.inserts) {
            if insert.is_inert || placed.units == 0 {
                continue;
            }
            let id = YId { client, clock: placed.clock };
            let text = if placed.is_placeholder { None } else { text_of(graph, ix, insert, judgement) };
            if text.is_none() {
                update.deletes.push(YRange { id, len: placed.units });
            }
            let text = text.map_or_else(|| "\u{fffd}".repeat(insert.points as usize), str::to_owned);
            let left = insert.left.and_then(|unit| self.last_of_unit(graph, unit, judgement));
            let right = insert.right.and_then(|unit| self.first_of_unit(graph, unit, judgement));
            let field = (left.is_none() && right.is_none()).then(|| insert.field.as_str().into());
            update.items.push(YItem { id, left, right, field, content: YContent::Text(text) });
        }
        if texts.is_counted {
            update.deletes.extend(script.deletes.iter().filter_map(|piece| self.range_of(graph, piece, judgement)));
        }
        update
    }

    /// The Yrs id of the boundary before character `offset` of an insert.
    fn boundary(&self, graph: &Graph, node: NodeIx, insert: u32, offset: u32, judgement: &Judgement) -> Option<YId> {
        let texts = self.nodes.get(&node)?;
        let placed = texts.inserts.get(insert as usize)?;
        let insert = self.scripts.get(&node)?.inserts.get(insert as usize)?;
        let client = *self.writers.clients.get(&texts.name)?;
        let units = if placed.is_placeholder || placed.units == insert.points {
            offset
        } else {
            let text = text_of(graph, node, insert, judgement)?;
            text.chars().take(offset as usize).map(|c| c.len_utf16() as u32).sum()
        };
        Some(YId { client, clock: placed.clock + units })
    }

    pub(crate) fn first_of_unit(&self, graph: &Graph, unit: Unit, judgement: &Judgement) -> Option<YId> {
        self.boundary(graph, unit.node, unit.insert, unit.offset, judgement)
    }

    pub(crate) fn last_of_unit(&self, graph: &Graph, unit: Unit, judgement: &Judgement) -> Option<YId> {
        let after = self.boundary(graph, unit.node, unit.insert, unit.offset + 1, judgement)?;
        Some(YId { clock: after.clock.checked_sub(1)?, ..after })
    }

    fn range_of(&self, graph: &Graph, piece: &Piece, judgement: &Judgement) -> Option<YRange> {
        let Unit { node, insert, offset } = piece.start;
        let id = self.boundary(graph, node, insert, offset, judgement)?;
        let end = self.boundary(graph, node, insert, offset + piece.length, judgement)?;
        Some(YRange { id, len: end.clock - id.clock })
    }

    /// The character that a Yrs unit belongs to, and the number of the unit in it (1 for the second half of a
    /// surrogate pair).
    pub(crate) fn unit_at(&self, graph: &Graph, id: YId, judgement: &Judgement) -> Option<(Unit, u32)> {
        let name = self.writers.names.get(&id.client)?;
        let inserts = self.writers.inserts.get(name)?;
        let at = inserts.partition_point(|(clock, _, _)| *clock <= id.clock).checked_sub(1)?;
        let (clock, node, insert) = *inserts.get(at)?;
        let placed = self.nodes.get(&node)?.inserts.get(insert as usize)?;
        let units = id.clock - clock;
        if units >= placed.units {
            return None;
        }
        let points = self.scripts.get(&node)?.inserts.get(insert as usize)?;
        if placed.is_placeholder || placed.units == points.points {
            return Some((Unit { node, insert, offset: units }, 0));
        }
        let mut passed = 0;
        for (offset, c) in text_of(graph, node, points, judgement)?.chars().enumerate() {
            let width = c.len_utf16() as u32;
            if units < passed + width {
                return Some((Unit { node, insert, offset: offset as u32 }, units - passed));
            }
            passed += width;
        }
        None
    }

    pub(crate) fn has_pairs(&self, field: &Path) -> bool {
        self.with_pairs.contains(field)
    }

    pub(crate) fn live_doc(&self) -> Option<&Doc> {
        self.live.as_ref()
    }

    /// The text of a field as it reads now; [`Texts::settle`] must have run.
    pub(crate) fn read(&self, field: &Path) -> String {
        self.live.as_ref().map(|doc| read(doc, field)).unwrap_or_default()
    }

    /// The visible text in stretches of one insert each.
    pub(crate) fn stretches(&self, graph: &Graph, field: &Path, judgement: &Judgement) -> Vec<Stretch> {
        let Some(doc) = &self.live else { return Vec::new() };
        let mut stretches: Vec<Stretch> = Vec::new();
        for (id, text) in visible_items(doc, field) {
            let mut clock = id.clock;
            for c in text.chars() {
                let here = self.unit_at(graph, YId { client: id.client, clock }, judgement);
                clock += c.len_utf16() as u32;
                let Some((unit, _)) = here else { continue };
                match stretches.last_mut() {
                    Some(last)
                        if (last.start.node, last.start.insert) == (unit.node, unit.insert)
                            && last.start.offset + last.text.chars().count() as u32 == unit.offset =>
                    {
                        last.text.push(c);
                    }
                    _ => stretches.push(Stretch { start: unit, text: c.into() }),
                }
            }
        }
        stretches
    }

    /// A document with the texts as they were in `past`.
    ///
    /// # Errors
    /// [`TextEngineError`].
    pub(crate) fn at(
        &self,
        graph: &Graph,
        past: &Clock,
        client: u64,
        judgement: &Judgement,
    ) -> Result<Doc, TextEngineError> {
        let doc = new_doc(client);
        for ix in self.order.iter().filter(|ix| graph.is_in(**ix, past)) {
            apply(&doc, &self.update_of(graph, *ix, judgement))?;
        }
        Ok(doc)
    }

    /// Whether every script is in `past`, so that the live document is what its author sees.
    pub(crate) fn is_all_in(&self, graph: &Graph, past: &Clock) -> bool {
        // Whoever has the heads has everything.
        let has = |ix: &NodeIx| graph.is_in(*ix, past);
        graph.heads().iter().all(has) || self.order.iter().all(has)
    }

    /// The client id and Yrs clock under which a branch goes on writing after `implied`.
    pub(crate) fn next_clock(&self, graph: &Graph, implied: Option<NodeIx>, name: &BranchName) -> (u64, u32) {
        let known = self.writers.clients.get(name).copied();
        let client = known.unwrap_or_else(|| {
            let free = |id: &u64| !self.writers.names.contains_key(id);
            (0..).map(|counter| client_id(&self.document, name, counter)).find(free).unwrap_or_default()
        });
        (client, self.clock_after(graph, implied, name))
    }

    /// A client id that no branch has.
    pub(crate) fn free_client(&self) -> u64 {
        (1..).find(|client| !self.writers.names.contains_key(client)).unwrap_or_default()
    }

    /// The live document under this client id, with every script applied.
    ///
    /// # Errors
    /// [`TextEngineError`].
    pub(crate) fn live(&mut self, graph: &Graph, client: u64, judgement: &Judgement) -> Result<Doc, TextEngineError> {
        if self.local != client {
            self.local = client;
            self.discard_live(graph, judgement);
        }
        self.settle(graph, judgement)?;
        Ok(self.live.get_or_insert_with(|| new_doc(client)).clone())
    }

    /// The last script of the order was typed into the live document already.
    pub(crate) fn skip_last(&mut self, graph: &Graph, ix: NodeIx, client: u64, judgement: &Judgement) {
        let placed_so = self
            .nodes
            .get(&ix)
            .is_some_and(|texts| texts.inserts.is_empty() || self.writers.clients.get(&texts.name) == Some(&client));
        if self.order.last() == Some(&ix) && self.applied + 1 == self.order.len() && self.live.is_some() && placed_so {
            self.applied += 1;
            if self.applied - self.checkpoints.last().map_or(0, |last| last.applied) >= CHECKPOINT_EVERY {
                self.checkpoint();
            }
        } else {
            self.discard_live(graph, judgement);
        }
    }

    /// The state for a snapshot, if loading it gives back what is live.
    pub(crate) fn snapshot(&mut self) -> Option<Vec<u8>> {
        if self.live.is_none() || self.applied < self.order.len() {
            return None;
        }
        let applied = self.applied;
        let is_now = |last: &&Checkpoint| last.applied == applied && last.late.is_empty();
        if !self.checkpoints.last().is_some_and(|last| is_now(&last)) {
            self.checkpoint();
        }
        self.checkpoints.last().filter(is_now).map(|last| last.state.clone())
    }

    /// Begins from a snapshot's state instead of replaying.
    pub(crate) fn adopt(&mut self, state: Vec<u8>) -> bool {
        let Some(doc) = load(&state, self.local) else { return false };
        self.live = Some(doc);
        self.applied = self.order.len();
        self.checkpoints = vec![Checkpoint { applied: self.applied, state, late: Vec::new() }];
        true
    }

    /// The state as Yjs update v1, for other programs.
    pub(crate) fn export(&self) -> Vec<u8> {
        self.live.as_ref().and_then(encode).unwrap_or_else(|| YUpdate::default().encode())
    }
}

fn rank(graph: &Graph, ix: NodeIx) -> Option<(u32, ChangeSetId)> {
    graph.get(ix).map(|node| (node.generation, node.id()))
}

/// The string of an insert, or none if it was purged or does not fit its skeleton.
pub(crate) fn text_of<'a>(graph: &'a Graph, ix: NodeIx, insert: &Insert, judgement: &Judgement) -> Option<&'a str> {
    let entry = &graph.get(ix)?.entry;
    if judgement.is_purged(&entry.id(), insert.value) {
        return None;
    }
    let bytes = entry.body().value(insert.value)?;
    let wanted = entry.skeleton().ok()?.ops.get(insert.op as usize)?.value_bytes();
    let text = core::str::from_utf8(bytes).ok()?;
    let fits = Some(bytes.len() as u32) == wanted && text.chars().count() as u32 == insert.points;
    fits.then_some(text)
}

/// A branch's Yrs client id: 53 bits of a hash of document, name and a counter that steps over ids in use.
fn client_id(document: &DocumentKey, name: &BranchName, counter: u64) -> u64 {
    let mut material = Writer::with_capacity(96);
    material.array(4);
    material.text(document.kind.as_str());
    material.bytes(document.id.as_bytes());
    material.bytes(name.as_bytes());
    material.uint(counter);
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(CONTEXT_YRS_CLIENT, &material.into_bytes());
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11
}

fn new_doc(client: u64) -> Doc {
    let mut options = Options::with_client_id(ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    // Deleted text stays a string inside, so that the order of all items can be compared; see `Texts::checkpoint`.
    options.skip_gc = true;
    Doc::with_options(options)
}

fn apply(doc: &Doc, update: &YUpdate) -> Result<(), TextEngineError> {
    if update.items.is_empty() && update.deletes.is_empty() {
        return Ok(());
    }
    apply_bytes(doc, &update.encode())
}

fn apply_bytes(doc: &Doc, bytes: &[u8]) -> Result<(), TextEngineError> {
    let update = Update::decode_v1(bytes).map_err(|_| TextEngineError)?;
    let mut txn = doc.try_transact_mut().map_err(|_| TextEngineError)?;
    txn.apply_update(update).map_err(|_| TextEngineError)
}

/// How many visible UTF-16 units stand before the gap that an item was inserted into, and how many before its end. A
/// gap that lies between two others' visible units is apart from theirs; deleted ones, which count nothing, only make
/// gaps seem closer than they are. None where the origins stand in the wrong order or in no text.
fn gap_of(txn: &yrs::Transaction<'_>, item: &YItem) -> Option<(u32, u32)> {
    let offset = |id: YId, assoc| {
        let index = StickyIndex::from_id(ID::new(ClientID::new(id.client), id.clock), assoc);
        index.get_offset(txn).map(|offset| offset.index)
    };
    let from = item.left.map_or(Some(0), |left| offset(left, Assoc::Before))?;
    let to = item.right.map_or(Some(u32::MAX), |right| offset(right, Assoc::After))?;
    (from < to).then_some((from, to))
}

fn load(state: &[u8], client: u64) -> Option<Doc> {
    let doc = new_doc(client);
    apply_bytes(&doc, state).ok()?;
    Some(doc)
}

fn encode(doc: &Doc) -> Option<Vec<u8>> {
    let txn = doc.try_transact().ok()?;
    Some(txn.encode_state_as_update_v1(&StateVector::default()))
}

pub(crate) fn read(doc: &Doc, field: &Path) -> String {
    let Ok(txn) = doc.try_transact() else { return String::new() };
    txn.get_text(field.as_str()).map(|text| text.get_string(&txn)).unwrap_or_default()
}

/// Every item of a field in document order, deleted ones included.
fn all_items(doc: &Doc, field: &Path) -> Vec<(YId, String)> {
    items(doc, field, |snapshot| Snapshot::new(snapshot.state_map, IdSet::default()))
}

fn visible_items(doc: &Doc, field: &Path) -> Vec<(YId, String)> {
    items(doc, field, |snapshot| snapshot)
}

/// Seen as a change from nothing, a text lists its items one by one, each with its id.
fn items(doc: &Doc, field: &Path, shown: impl Fn(Snapshot) -> Snapshot) -> Vec<(YId, String)> {
    let text = doc.get_or_insert_text(field.as_str());
    let Ok(mut txn) = doc.try_transact_mut() else { return Vec::new() };
    let now = shown(txn.snapshot());
    let diff = text.diff_range(&mut txn, Some(&now), Some(&Snapshot::default()), |change| change.id);
    let mut items: Vec<(YId, String)> = Vec::with_capacity(diff.len());
    for part in diff {
        let (Some(ID { client, clock }), yrs::Out::Any(yrs::Any::String(text))) = (part.ychange, part.insert) else {
            continue;
        };
        items.push((YId { client: client.get(), clock }, text.to_string()));
    }
    items
}
