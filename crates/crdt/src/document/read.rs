//! Reading a document: values, conflicts, texts, history, and the state at earlier heads.

use crate::conflict::{Contender, Resolution, Rule};
use crate::document::Document;
use crate::document::graph::{Clock, Node, NodeIx};
use crate::document::scripts::Unit;
use crate::document::structure::{PathIx, PutIx};
use crate::document::texts::{TextEngineError, read, text_of};
use crate::judgement::Standing;
use crate::state::State;
use changeset::{Actor, BranchName, ChangeSetId, Group, IntentName, Path, Value, Verified};
use std::collections::BTreeSet;
use std::sync::Arc;
use yrs::{Assoc, ClientID, ID, StickyIndex, Transact};

/// One change set of a document's history.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// Its id.
    pub id: ChangeSetId,
    /// Who wrote it.
    pub actor: Arc<Actor>,
    /// When, by the author's clock: milliseconds since 1970.
    pub time: u64,
    /// The person's command.
    pub intent: IntentName,
    /// Why, in the person's words; none if not given or purged.
    pub reason: Option<String>,
    /// The other documents' change sets of the same intent.
    pub group: Option<Group>,
    /// The paths and text fields that it names, sorted.
    pub paths: Vec<Path>,
    /// Whether its content counts, and if not, why.
    pub standing: Standing,
    /// The numbers of its ops that found nothing to act on.
    pub inert: Vec<u32>,
    /// One more than that of the latest change set it builds on.
    pub generation: u32,
}

/// A stretch of visible text and who wrote it.
#[derive(Clone, Debug)]
pub struct Span {
    /// The characters.
    pub text: String,
    /// The change set that inserted them.
    pub change_set: ChangeSetId,
    /// Who wrote it.
    pub actor: Arc<Actor>,
}

/// A place in a text that stays where it is while others edit: beside a character, or at an end of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    beside: Option<(ChangeSetId, Unit)>,
    side: CursorSide,
}

/// Which neighbour a cursor keeps to when text is inserted at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CursorSide {
    /// It stays behind the character before it: what is inserted there comes after the cursor.
    Left,
    /// It stays before the character after it: what is inserted there comes before the cursor.
    Right,
}

impl Document {
    /// The change sets without a successor, sorted.
    pub fn heads(&self) -> Vec<ChangeSetId> {
        let mut heads: Vec<ChangeSetId> =
            self.graph().heads().iter().filter_map(|ix| self.graph().get(*ix)).map(Node::id).collect();
        heads.sort_unstable();
        heads
    }

    /// The maximal change sets among those whose content counts, sorted: what an author builds on. They differ from
    /// [`Document::heads`] where a head is masked, invalid or pending.
    pub fn counted_heads(&self) -> Vec<ChangeSetId> {
        let mut heads: Vec<ChangeSetId> =
            self.accepted_heads().into_iter().filter_map(|ix| self.graph().get(ix)).map(Node::id).collect();
        heads.sort_unstable();
        heads
    }

    /// Every change set with its standing, in the order of arrival.
    pub fn standings(&self) -> impl Iterator<Item = (ChangeSetId, &Standing)> {
        self.graph().nodes().iter().map(Node::id).zip(&self.standings)
    }

    /// How a change set stands.
    pub fn standing(&self, id: &ChangeSetId) -> Option<&Standing> {
        self.standings.get(self.graph().find(id)? as usize)
    }

    /// A change set of this document.
    pub fn change_set(&self, id: &ChangeSetId) -> Option<&Verified> {
        self.graph().by_id(id).map(|node| &node.entry)
    }

    /// The name of the branch that a change set stands on: its Automerge actor id.
    pub fn branch_name(&self, id: &ChangeSetId) -> Option<BranchName> {
        self.structure().facts(self.graph().find(id)?).map(|facts| facts.name)
    }

    /// Every branch that inserted text, with its Yrs client id, in ascending order of name.
    pub fn yrs_clients(&self) -> Vec<(BranchName, u64)> {
        self.texts().clients().map(|(name, client)| (*name, client)).collect()
    }

    /// The history in canonical order: by generation, then by id. Ancestors come before what builds on them.
    pub fn history(&self) -> Vec<HistoryEntry> {
        let mut order: Vec<NodeIx> = (0..self.len() as NodeIx).collect();
        order.sort_unstable_by_key(|ix| self.graph().get(*ix).map(|node| (node.generation, node.id())));
        order.into_iter().filter_map(|ix| self.history_entry(ix)).collect()
    }

    fn history_entry(&self, ix: NodeIx) -> Option<HistoryEntry> {
        let node = self.graph().get(ix)?;
        let mut inert = self.structure().facts(ix).map(|facts| facts.inert.clone()).unwrap_or_default();
        inert.extend(self.texts().scripts().get(&ix).into_iter().flat_map(|script| &script.inert));
        inert.sort_unstable();
        let paths: BTreeSet<Path> = node.ops().iter().map(|op| op.path().clone()).collect();
        Some(HistoryEntry {
            id: node.id(),
            actor: Arc::clone(node.entry.actor()),
            time: node.entry.header().time,
            intent: node.entry.body().intent.clone(),
            reason: self.reason(node),
            group: node.entry.body().group,
            paths: paths.into_iter().collect(),
            standing: self.standings.get(ix as usize)?.clone(),
            inert,
            generation: node.generation,
        })
    }

    fn reason(&self, node: &Node) -> Option<String> {
        let length = node.entry.skeleton().ok()?.reason?;
        let bytes = node.entry.body().value(0).filter(|bytes| bytes.len() as u32 == length)?;
        let is_purged = self.judgement().is_purged(&node.id(), 0);
        (!is_purged).then(|| core::str::from_utf8(bytes).ok().map(str::to_owned)).flatten()
    }

    /// The visible puts of a path, the shown one first, then by time and id, latest first.
    fn ranked(&self, path: PathIx, past: Option<&Clock>) -> Vec<PutIx> {
        let mut puts = match past {
            None => self.structure().visible(path).to_vec(),
            Some(past) => self.structure().visible_at(self.graph(), path, past),
        };
        let rank = |put: &PutIx| {
            let node = self.structure().put(*put).and_then(|put| self.graph().get(put.node));
            std::cmp::Reverse(node.map(|node| (node.entry.header().time, node.id())))
        };
        if changeset::planted("the value that arrived last wins") {
            puts.reverse();
            return puts;
        }
        puts.sort_unstable_by_key(rank);
        puts
    }

    fn value_of(&self, put: PutIx, past: Option<&Clock>) -> Option<Value> {
        let put = self.structure().put(put)?;
        match self.structure().counter(self.graph(), put, past) {
            Some(sum) => Some(Value::Counter(sum)),
            None => Some(put.value.clone()),
        }
    }

    /// Rule 11: where the latest value is a counter, the sum of all visible ones is shown.
    fn shown(&self, puts: &[PutIx], past: Option<&Clock>) -> Option<Value> {
        match self.value_of(*puts.first()?, past)? {
            Value::Counter(_) => {
                let sums = puts.iter().filter_map(|put| match self.value_of(*put, past) {
                    Some(Value::Counter(sum)) => Some(sum),
                    _ => None,
                });
                Some(Value::Counter(sums.fold(0, i64::saturating_add)))
            }
            other => Some(other),
        }
    }

    pub(crate) fn value_at(&self, path: &Path, past: Option<&Clock>) -> Option<Value> {
        let path = self.structure().find(path)?;
        self.shown(&self.ranked(path, past), past)
    }

    /// Whether an increment would find a counter.
    pub(crate) fn has_counter(&self, path: &Path) -> bool {
        let Some(path) = self.structure().find(path) else { return false };
        let is_counter =
            |put: &PutIx| self.structure().put(*put).is_some_and(|put| matches!(put.value, Value::Counter(_)));
        self.structure().visible(path).iter().any(is_counter)
    }

    pub(crate) fn has_value(&self, path: &Path) -> bool {
        self.structure().find(path).is_some_and(|path| !self.structure().visible(path).is_empty())
    }

    fn contender(&self, node: &Node, value: Option<Value>, is_purged: bool) -> Contender {
        Contender {
            value,
            change_set: node.id(),
            actor: Arc::clone(node.entry.actor()),
            time: node.entry.header().time,
            intent: node.entry.body().intent.clone(),
            reason: self.reason(node),
            is_purged,
        }
    }

    /// Every value visible at a path with who and when, and by which rule one is shown. None where nothing is visible.
    pub fn resolution(&self, path: &Path) -> Option<Resolution> {
        let puts = self.ranked(self.structure().find(path)?, None);
        let shown = self.shown(&puts, None)?;
        let contenders: Vec<Contender> = puts
            .iter()
            .filter_map(|put| {
                let found = self.structure().put(*put)?;
                Some(self.contender(self.graph().get(found.node)?, self.value_of(*put, None), found.is_purged))
            })
            .collect();
        let is_sum = contenders.len() > 1 && matches!(shown, Value::Counter(_));
        let rule = if is_sum { Rule::SumOfCounters } else { Rule::LastWriter };
        Some(Resolution { path: path.clone(), rule, shown: Some(shown), contenders })
    }

    /// Everything that people disagreed on: fields with several concurrent values, and entries removed here while they
    /// were edited there. Sorted by path. A pure function of the state.
    pub fn conflicts(&self) -> Vec<Resolution> {
        let paths = self.structure().paths_from("");
        let of_fields = paths
            .filter(|(_, ix)| self.structure().visible(*ix).len() > 1)
            .filter_map(|(path, _)| self.resolution(path))
            .filter(Resolution::is_conflict);
        let removed = self.structure().paths_from("").filter_map(|(path, ix)| self.removed_while_edited(path, ix));
        let mut conflicts: Vec<Resolution> = of_fields.chain(removed).collect();
        conflicts.sort_by(|a, b| (&a.path, a.rule).cmp(&(&b.path, b.rule)));
        conflicts
    }

    /// How many [`Document::conflicts`] there are, without what was said in them.
    pub fn conflict_count(&self) -> usize {
        let is_conflict = |(path, ix): &(&Path, PathIx)| {
            self.structure().visible(*ix).len() > 1
                && self.resolution(path).is_some_and(|resolution| resolution.is_conflict())
        };
        let is_removed = |(path, ix): &(&Path, PathIx)| {
            let removed = self.removed_entry(path, *ix);
            removed.is_some_and(|(entry, removals)| self.edits_apart(path, entry, &removals).next().is_some())
        };
        let count = |is_one: &dyn Fn(&(&Path, PathIx)) -> bool| self.structure().paths_from("").filter(is_one).count();
        count(&is_conflict) + count(&is_removed)
    }

    /// The entry of a marker that was removed, with the removals.
    fn removed_entry<'a>(&self, marker: &'a Path, ix: PathIx) -> Option<(&'a str, Vec<NodeIx>)> {
        let entry = marker.as_str().strip_suffix('.').filter(|prefix| prefix.ends_with('/'))?;
        if !self.structure().visible(ix).is_empty() {
            return None;
        }
        let removals = self.structure().removals(self.graph(), ix);
        (!removals.is_empty()).then_some((entry, removals))
    }

    /// What was written into an entry by those who had not seen these removals, and stands: first values, then texts.
    fn edits_apart<'a>(
        &'a self,
        marker: &'a Path,
        entry: &'a str,
        removals: &'a [NodeIx],
    ) -> impl Iterator<Item = Contender> + 'a {
        let is_apart = move |edit: &Node| {
            removals
                .iter()
                .filter_map(|removal| self.graph().get(*removal))
                .all(|removal| removal.id() != edit.id() && !removal.follows(edit) && !edit.follows(removal))
        };
        let paths = self.structure().paths_from(entry).filter(move |(path, _)| *path != marker);
        let of_values = paths.flat_map(|(_, path)| self.structure().visible(path)).filter_map(move |put| {
            let found = self.structure().put(*put)?;
            let node = self.graph().get(found.node).filter(|node| is_apart(node))?;
            Some(self.contender(node, self.value_of(*put, None), found.is_purged))
        });
        let of_texts = self.texts().inserters(entry).into_iter().filter_map(move |ix| {
            let node = self.graph().get(ix).filter(|node| is_apart(node))?;
            self.standings.get(ix as usize).filter(|standing| standing.is_counted())?;
            let inserts = self.texts().scripts().get(&ix).map_or(&[][..], |script| &script.inserts);
            let mine = inserts.iter().filter(|insert| !insert.is_inert && insert.field.as_str().starts_with(entry));
            let text: String = mine.filter_map(|insert| text_of(self.graph(), ix, insert, self.judgement())).collect();
            (!text.is_empty()).then(|| self.contender(node, Some(Value::String(text)), false))
        });
        of_values.chain(of_texts)
    }

    /// An entry whose marker was removed while somebody who had not seen that wrote into it.
    fn removed_while_edited(&self, marker: &Path, ix: PathIx) -> Option<Resolution> {
        let (entry, removals) = self.removed_entry(marker, ix)?;
        let mut contenders: Vec<Contender> = self.edits_apart(marker, entry, &removals).collect();
        if contenders.is_empty() {
            return None;
        }
        contenders.sort_by_key(|contender| std::cmp::Reverse((contender.time, contender.change_set)));
        let removed = removals.iter().filter_map(|ix| self.graph().get(*ix));
        let mut removed: Vec<Contender> = removed.map(|node| self.contender(node, None, false)).collect();
        removed.sort_by_key(|contender| std::cmp::Reverse((contender.time, contender.change_set)));
        let contenders = removed.into_iter().chain(contenders).collect();
        Some(Resolution { path: marker.clone(), rule: Rule::RemovedWhileEdited, shown: None, contenders })
    }

    /// The visible text of a field in stretches of one change set each, in order.
    pub fn spans(&self, field: &Path) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for stretch in self.texts().stretches(self.graph(), field, self.judgement()) {
            let Some(node) = self.graph().get(stretch.start.node) else { continue };
            match spans.last_mut() {
                Some(last) if last.change_set == node.id() => last.text.push_str(&stretch.text),
                _ => spans.push(Span {
                    text: stretch.text,
                    change_set: node.id(),
                    actor: Arc::clone(node.entry.actor()),
                }),
            }
        }
        spans
    }

    /// A cursor before the character at `position`, counted in code points; at the end of the text if it is shorter.
    pub fn cursor(&self, field: &Path, position: usize, side: CursorSide) -> Cursor {
        let stretches = self.texts().stretches(self.graph(), field, self.judgement());
        let end = stretches.iter().map(|stretch| stretch.text.chars().count()).sum();
        let neighbour = match side {
            CursorSide::Left => position.min(end).checked_sub(1),
            CursorSide::Right => Some(position),
        };
        let mut passed = 0;
        for stretch in &stretches {
            let length = stretch.text.chars().count();
            let inside =
                neighbour.and_then(|neighbour| neighbour.checked_sub(passed)).filter(|inside| *inside < length);
            if let (Some(inside), Some(node)) = (inside, self.graph().get(stretch.start.node)) {
                let unit = Unit { offset: stretch.start.offset + inside as u32, ..stretch.start };
                return Cursor { beside: Some((node.id(), unit)), side };
            }
            passed += length;
        }
        Cursor { beside: None, side }
    }

    /// Where a cursor stands now, in code points. If its character was deleted: where that was.
    pub fn cursor_position(&self, field: &Path, cursor: &Cursor) -> usize {
        let text = self.texts().read(field);
        let end = text.chars().count();
        let Some((id, unit)) = cursor.beside else {
            return match cursor.side {
                CursorSide::Left => 0,
                CursorSide::Right => end,
            };
        };
        // The unit's node number is this replica's own; the id finds it on any replica.
        let Some(node) = self.graph().find(&id) else { return end };
        let assoc = match cursor.side {
            CursorSide::Left => Assoc::Before,
            CursorSide::Right => Assoc::After,
        };
        let unit = Unit { node, ..unit };
        let Some(utf16) = self.texts().offset_of(self.graph(), unit, assoc, self.judgement()) else { return end };
        points_before(&text, utf16)
    }

    /// The state as somebody saw it who had exactly these change sets and what they build on.
    ///
    /// # Errors
    /// The first id that this document does not have.
    pub fn at(&self, heads: &[ChangeSetId]) -> Result<DocumentAt<'_>, ChangeSetId> {
        let mut nodes = Vec::with_capacity(heads.len());
        for id in heads {
            nodes.push(self.graph().find(id).ok_or(*id)?);
        }
        let past = self.graph().up_to(nodes);
        let texts = self.texts().at(self.graph(), &past, 0, self.judgement());
        Ok(DocumentAt { document: self, past, texts })
    }
}

/// How many code points stand before a UTF-16 offset.
fn points_before(text: &str, utf16: u32) -> usize {
    let mut units = 0;
    text.chars()
        .take_while(|c| {
            units += c.len_utf16() as u32;
            units <= utf16
        })
        .count()
}

impl crate::document::texts::Texts {
    /// The UTF-16 offset beside a character.
    fn offset_of(
        &self,
        graph: &crate::document::graph::Graph,
        unit: Unit,
        assoc: Assoc,
        judgement: &crate::Judgement,
    ) -> Option<u32> {
        let id = match assoc {
            Assoc::After => self.first_of_unit(graph, unit, judgement)?,
            Assoc::Before => self.last_of_unit(graph, unit, judgement)?,
        };
        let doc = self.live_doc()?;
        let txn = doc.try_transact().ok()?;
        let index = StickyIndex::from_id(ID::new(ClientID::new(id.client), id.clock), assoc);
        index.get_offset(&txn).map(|offset| offset.index)
    }
}

impl State for Document {
    fn value(&self, path: &Path) -> Option<Value> {
        self.value_at(path, None)
    }

    fn text(&self, path: &Path) -> Option<String> {
        Some(self.texts().read(path)).filter(|text| !text.is_empty())
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let values = self.structure().paths_from(prefix).filter(|(_, ix)| !self.structure().visible(*ix).is_empty());
        let texts = self.texts().fields().filter(|path| path.as_str().starts_with(prefix) && self.text(path).is_some());
        values.map(|(path, _)| path).chain(texts).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A document at earlier heads.
pub struct DocumentAt<'a> {
    document: &'a Document,
    past: Clock,
    texts: Result<yrs::Doc, TextEngineError>,
}

impl std::fmt::Debug for DocumentAt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DocumentAt({})", self.document.key())
    }
}

impl State for DocumentAt<'_> {
    fn value(&self, path: &Path) -> Option<Value> {
        self.document.value_at(path, Some(&self.past))
    }

    fn text(&self, path: &Path) -> Option<String> {
        self.texts.as_ref().ok().map(|doc| read(doc, path)).filter(|text| !text.is_empty())
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let values = self.document.structure().paths_from(prefix).map(|(path, _)| path);
        let values = values.filter(|path| self.value(path).is_some());
        let texts = self
            .document
            .texts()
            .fields()
            .filter(|path| path.as_str().starts_with(prefix) && self.text(path).is_some());
        values.chain(texts).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}
