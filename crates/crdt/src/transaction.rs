//! Transactions: reads and writes of one person's command, recorded as the script of one change set.
//!
//! Values are read through an overlay over the document; texts are typed into the live Yrs document, and what Yrs made
//! of each edit is read back by the strict decoder and named for the script. A transaction that is dropped leaves no
//! trace.

use crate::document::graph::{Clock, NodeIx};
use crate::document::scripts::Naming;
use crate::document::texts::{TextEngineError, read};
use crate::partition::{Applied, Partition};
use crate::state::{EditError, EditRules, Edits, State};
use crate::text_diff::difference;
use crate::yjs::{YContent, YId, YItem, YRange, YUpdate};
use changeset::limits::{MAX_BODY_BYTES, MAX_OPS, MAX_PARENTS, MAX_VALUE_BYTES};
use changeset::{
    Author, ChangeSetId, DecodeError, DocumentKey, Draft, Edit, Fault, Group, IntentName, ItemRange, ItemRef, Line,
    Path, RecordError, Script, Value, Verified, increment_from_bytes, increment_to_bytes,
};
use std::collections::{BTreeSet, HashMap};
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update};

const CUT_PAIR: &str = "it parts the two halves of a surrogate pair";

/// Stands for each UTF-16 unit of text that was typed and deleted in one step.
const PLACEHOLDER: char = '\u{fffd}';

/// What a change set says of itself besides its edits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Commit {
    /// The person's command.
    pub intent: IntentName,
    /// The version of the kind's schema; 0 without one.
    pub schema_version: u32,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// Other documents' change sets of the same intent.
    pub group: Option<Group>,
    /// The grant that says who acts, at the start of a chain and when it changes.
    pub grant: Option<ChangeSetId>,
}

impl Commit {
    /// A command without reason, group or grant.
    pub fn new(intent: IntentName) -> Self {
        Self { intent, schema_version: 0, reason: None, group: None, grant: None }
    }
}

/// A transaction on one document. Dropping it without [`Transaction::commit`] takes everything back.
pub struct Transaction<'a> {
    partition: &'a mut Partition,
    author: &'a mut Author,
    document: DocumentKey,
    now_ms: u64,
    rules: Option<&'a dyn EditRules>,
    edits: Vec<Edit>,
    overlay: HashMap<Path, Overlay>,
    typing: Option<Typing>,
    materialised: Applied,
    is_done: bool,
}

/// What the transaction did to the value of a path.
#[derive(Default)]
struct Overlay {
    /// The last put or delete.
    wrote: Option<Option<Value>>,
    /// The increments since.
    added: i64,
}

/// The texts while they are typed into.
struct Typing {
    doc: Doc,
    /// Whether `doc` is the document's live one.
    is_live: bool,
    client: u64,
    past: Clock,
    implied: Option<NodeIx>,
    /// The first Yrs clock and the first code point that this change set inserts.
    first_unit: u32,
    first_point: u32,
    inserted: Vec<Typed>,
}

/// A string that was typed in this transaction.
struct Typed {
    first_unit: u32,
    units: u32,
    first_point: u32,
    points: u32,
    text: String,
}

impl Typed {
    fn end_point(&self) -> u32 {
        self.first_point + self.points
    }

    /// The clock of the code point that a UTF-16 unit of this string belongs to.
    fn point_at(&self, unit: u32) -> Option<u32> {
        if unit >= self.units {
            return None;
        }
        if self.units == self.points {
            return Some(self.first_point + unit);
        }
        let mut passed = 0;
        let within = self.text.chars().position(|c| {
            passed += c.len_utf16() as u32;
            unit < passed
        });
        within.map(|point| self.first_point + point as u32)
    }
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({} edits of {})", self.edits.len(), self.document)
    }
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        partition: &'a mut Partition,
        author: &'a mut Author,
        document: DocumentKey,
        now_ms: u64,
        materialised: Applied,
    ) -> Self {
        Self {
            partition,
            author,
            document,
            now_ms,
            rules: None,
            edits: Vec::new(),
            overlay: HashMap::new(),
            typing: None,
            materialised,
            is_done: false,
        }
    }

    /// Checks every edit against a kind's schema as it is made.
    #[must_use]
    pub fn with_rules(mut self, rules: &'a dyn EditRules) -> Self {
        self.rules = Some(rules);
        self
    }

    /// The document.
    pub fn document(&self) -> &DocumentKey {
        &self.document
    }

    /// What the document took when this began, because it was pending. [`Transaction::commit`] reports it again with its
    /// own; whoever drops the transaction without asking here learns of it from nothing else.
    pub fn materialised(&self) -> &Applied {
        &self.materialised
    }

    /// Whether nothing was edited.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Records the change set, unsigned as yet (see [`Partition::sign`]), and applies it. With more than 32 heads,
    /// merging change sets without ops are recorded first; [`Applied::accepted`] names them too.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was recorded, and what was edited is taken back.
    pub fn commit(mut self, commit: Commit) -> Result<(Verified, Applied), RecordError> {
        let (_, implied) = self.partition.next_of(self.author, &self.document);
        let mut parents = self.parents(implied);
        let script = Script { reason: commit.reason.clone(), edits: std::mem::take(&mut self.edits) };
        if parents.len() > MAX_PARENTS {
            let last = parents.iter().take(MAX_PARENTS).copied().collect();
            // A refusal must come before the merges are recorded.
            self.author.check(self.draft(last, commit.clone(), script.clone()), self.now_ms)?;
        }
        let mut before = std::mem::take(&mut self.materialised);
        while parents.len() > MAX_PARENTS {
            let merged = parents.split_off(parents.len() - MAX_PARENTS);
            let merge = self.record(merged, Commit::new(merge_intent()?), Script::default())?;
            let mut merged = self.partition.commit(merge, None);
            merged.add_earlier(before);
            before = merged;
            // The merge is the author's own last change set now: an implied parent of what follows.
        }
        let entry = self.record(parents, commit, script)?;
        let typed = self.typing.as_ref().filter(|typing| typing.is_live).map(|typing| typing.client);
        self.is_done = true;
        let mut applied = self.partition.commit(entry.clone(), typed);
        applied.add_earlier(before);
        Ok((entry, applied))
    }

    /// The heads that count, without the author's own last change set here.
    fn parents(&self, implied: Option<ChangeSetId>) -> Vec<ChangeSetId> {
        let Some(document) = self.partition.document(&self.document) else { return Vec::new() };
        let heads = document.accepted_heads();
        let ids = heads.iter().filter_map(|ix| document.graph().get(*ix)).map(crate::document::graph::Node::id);
        ids.filter(|id| Some(*id) != implied).collect()
    }

    fn record(&mut self, parents: Vec<ChangeSetId>, commit: Commit, script: Script) -> Result<Verified, RecordError> {
        let draft = self.draft(parents, commit, script);
        self.author.record(draft, self.now_ms)
    }

    fn draft(&self, parents: Vec<ChangeSetId>, commit: Commit, script: Script) -> Draft {
        Draft {
            document: self.document.clone(),
            parents,
            grant: commit.grant,
            schema_version: commit.schema_version,
            intent: commit.intent,
            group: commit.group,
            script,
        }
    }

    fn has_room(&self) -> Result<(), EditError> {
        if self.edits.len() < MAX_OPS { Ok(()) } else { Err(EditError::TooManyEdits { limit: MAX_OPS }) }
    }

    /// The texts as the author sees them, ready for typing.
    fn typing(&mut self) -> Result<&mut Typing, TextEngineError> {
        if self.typing.is_none() {
            let typing = self.begin_typing()?;
            self.typing = Some(typing);
        }
        self.typing.as_mut().ok_or(TextEngineError)
    }

    fn begin_typing(&mut self) -> Result<Typing, TextEngineError> {
        let (name, implied) = self.partition.next_of(self.author, &self.document);
        let document = self.partition.document_or_new(&self.document);
        let implied = implied.and_then(|id| document.graph().find(&id));
        let past = document.graph().up_to(document.accepted_heads().into_iter().chain(implied));
        let first_point = implied.and_then(|ix| document.graph().get(ix)).map_or(0, |node| node.text_end);
        let (doc, is_live, client, first_unit) = document.texts_for_editing(&past, implied, name)?;
        Ok(Typing { doc, is_live, client, past, implied, first_unit, first_point, inserted: Vec::new() })
    }

    /// Types into a field and gives what Yrs made of it.
    fn type_into(
        &mut self,
        field: &Path,
        edit: impl FnOnce(&yrs::TextRef, &mut yrs::TransactionMut<'_>),
    ) -> Result<YUpdate, EditError> {
        let engine = |_: TextEngineError| EditError::Engine { path: field.clone() };
        let typing = self.typing().map_err(engine)?;
        let text = typing.doc.get_or_insert_text(field.as_str());
        let mut txn = typing.doc.try_transact_mut().map_err(|_| EditError::Engine { path: field.clone() })?;
        edit(&text, &mut txn);
        let bytes = txn.encode_update_v1();
        drop(txn);
        YUpdate::decode(&bytes).map_err(|_| EditError::Engine { path: field.clone() })
    }

    /// How a script names the character that a Yrs unit belongs to.
    fn item(&self, id: YId) -> Option<ItemRef> {
        let typing = self.typing.as_ref()?;
        if id.client == typing.client && id.clock >= typing.first_unit {
            let at = typing.inserted.partition_point(|typed| typed.first_unit <= id.clock).checked_sub(1)?;
            let typed = typing.inserted.get(at)?;
            let clock = typed.point_at(id.clock - typed.first_unit)?;
            return Some(ItemRef { line: Line::Own, clock });
        }
        let document = self.partition.document(&self.document)?;
        let (unit, _) = document.texts().unit_at(document.graph(), id, document.judgement())?;
        let naming = Naming {
            graph: document.graph(),
            scripts: document.texts().scripts(),
            past: &typing.past,
            implied: typing.implied,
        };
        naming.item(unit)
    }

    /// Records an insert that was typed. What goes on where the last one ended is one op with it, so that typing is not
    /// one op for each key.
    fn record_insert(&mut self, field: &Path, item: YItem) -> Option<()> {
        let left = self.origin(item.left)?;
        let right = self.origin(item.right)?;
        let text = match item.content {
            YContent::Text(text) => text,
            // Typed and deleted in one step by an attached editor: what it said is gone, how long it was is not.
            YContent::Tombstone(units) => PLACEHOLDER.to_string().repeat(units as usize),
        };
        let typing = self.typing.as_mut()?;
        let first_point = typing.inserted.last().map_or(typing.first_point, Typed::end_point);
        let goes_on = !typing.inserted.is_empty()
            && left.is_some_and(|left| left.line == Line::Own && left.clock + 1 == first_point);
        typing.inserted.push(Typed {
            first_unit: item.id.clock,
            units: text.encode_utf16().count() as u32,
            first_point,
            points: text.chars().count() as u32,
            text: text.clone(),
        });
        match self.edits.last_mut() {
            Some(Edit::InsertText { path, right: before, text: typed, .. })
                if goes_on && path == field && *before == right && typed.len() + text.len() <= MAX_VALUE_BYTES =>
            {
                typed.push_str(&text);
            }
            _ => self.edits.push(Edit::InsertText { path: field.clone(), left, right, text }),
        }
        Some(())
    }

    /// `None` if the origin cannot be named, `Some(None)` if there is none.
    fn origin(&self, id: Option<YId>) -> Option<Option<ItemRef>> {
        match id {
            None => Some(None),
            Some(id) => self.item(id).map(Some),
        }
    }

    fn record_deletes(&mut self, field: &Path, deletes: &[YRange]) -> Option<()> {
        let mut points: BTreeSet<(Line, u32)> = BTreeSet::new();
        for range in deletes {
            for unit in 0..range.len {
                let item = self.item(YId { clock: range.id.clock + unit, ..range.id })?;
                points.insert((item.line, item.clock));
            }
        }
        if points.is_empty() {
            return Some(());
        }
        match self.edits.last_mut() {
            Some(Edit::DeleteText { path, ranges: deleted }) if path == field => {
                let before = deleted
                    .iter()
                    .flat_map(|range| (0..range.length).map(|offset| (range.start.line, range.start.clock + offset)));
                points.extend(before);
                *deleted = ranges(points.into_iter());
            }
            _ => self.edits.push(Edit::DeleteText { path: field.clone(), ranges: ranges(points.into_iter()) }),
        }
        Some(())
    }

    /// Records what an attached editor did to the texts: a Yjs update, version 1, made by one client on a document that
    /// was loaded from [`crate::Document::save_yjs`] of this document and not edited before.
    ///
    /// # Errors
    /// [`EditError::BadUpdate`] if it is not strictly what a text editor writes, or builds on what this document lacks;
    /// drop the transaction then.
    pub fn apply_editor_update(&mut self, update: &[u8]) -> Result<(), EditError> {
        let refused = |problem: String| EditError::BadUpdate { problem };
        let update = YUpdate::decode(update).map_err(|error| refused(error.to_string()))?;
        let no_engine = |_: TextEngineError| refused("the text engine failed".to_owned());
        let typing = self.typing().map_err(no_engine)?;
        let next = typing.inserted.last().map_or(typing.first_unit, |typed| typed.first_unit + typed.units);
        let (update, foreign) = as_own(update, typing.client, next).map_err(refused)?;
        let doc = typing.doc.clone();
        let mut names = update.items.iter().filter_map(|item| item.field.as_deref());
        if let Some(name) = names.find(|name| Path::new(name).is_err()) {
            return Err(refused(format!("{name:?} names no text")));
        }
        let fields = self.fields_of(&update).ok_or_else(|| refused("it builds on text that is not here".to_owned()))?;
        for (item, field) in update.items.iter().zip(fields) {
            self.check_text(&field)?;
            if item.left.is_some_and(|left| self.is_cut_after(left)) || item.right.is_some_and(|id| self.is_cut_at(id))
            {
                return Err(refused(CUT_PAIR.to_owned()));
            }
            self.record_insert(&field, item.clone())
                .ok_or_else(|| refused("it builds on text that is not here".to_owned()))?;
        }
        let last_of = |range: &YRange| YId { clock: range.id.clock + range.len - 1, ..range.id };
        if update.deletes.iter().any(|range| self.is_cut_at(range.id) || self.is_cut_after(last_of(range))) {
            return Err(refused(CUT_PAIR.to_owned()));
        }
        let deleted = apply_counting_deletes(&doc, &update).map_err(no_engine)?;
        for (field, range) in
            self.by_field(&deleted).ok_or_else(|| refused(format!("client {foreign} deletes unknown text")))?
        {
            self.check_text(&field)?;
            self.record_deletes(&field, &[range])
                .ok_or_else(|| refused("it deletes text that is not here".to_owned()))?;
        }
        Ok(())
    }

    /// Whether the unit and the one after it are the halves of one character. Yrs would part them; a script cannot.
    fn is_cut_after(&self, id: YId) -> bool {
        let next = id.clock.checked_add(1).and_then(|clock| self.item(YId { clock, ..id }));
        next.is_some() && next == self.item(id)
    }

    /// Whether the unit and the one before it are the halves of one character.
    fn is_cut_at(&self, id: YId) -> bool {
        id.clock.checked_sub(1).is_some_and(|clock| self.is_cut_after(YId { clock, ..id }))
    }

    /// Ranges of units parted where one field ends and another begins: clocks count on through all fields.
    fn by_field(&self, ranges: &[YRange]) -> Option<Vec<(Path, YRange)>> {
        let mut parts: Vec<(Path, YRange)> = Vec::with_capacity(ranges.len());
        for range in ranges {
            for (number, clock) in (range.id.clock..).take(range.len as usize).enumerate() {
                let id = YId { clock, ..range.id };
                let field = self.field_of(id)?;
                match parts.last_mut() {
                    Some((known, part)) if number > 0 && *known == field => part.len += 1,
                    _ => parts.push((field, YRange { id, len: 1 })),
                }
            }
        }
        Some(parts)
    }

    /// The field of each item: named by the item itself, or that of its origins, which may be earlier items. None if
    /// one of them is not here, or if they are of two fields.
    fn fields_of(&self, update: &YUpdate) -> Option<Vec<Path>> {
        let mut fields: Vec<(YId, u32, Path)> = Vec::with_capacity(update.items.len());
        for item in &update.items {
            let earlier = |id: YId| {
                let is_in = |first: &YId, units: u32| first.clock <= id.clock && id.clock < first.clock + units;
                let found = fields.iter().find(|(first, units, _)| first.client == id.client && is_in(first, *units));
                found.map(|(_, _, field)| field.clone()).or_else(|| self.field_of(id))
            };
            let field = match &item.field {
                Some(name) => Path::new(name).ok()?,
                None => {
                    let mut origins = item.left.into_iter().chain(item.right).map(earlier);
                    let field = origins.next()??;
                    if origins.any(|other| other.as_ref() != Some(&field)) {
                        return None;
                    }
                    field
                }
            };
            fields.push((item.id, item.content.units(), field));
        }
        Some(fields.into_iter().map(|(_, _, field)| field).collect())
    }

    fn field_of(&self, id: YId) -> Option<Path> {
        let typing = self.typing.as_ref()?;
        if id.client == typing.client && id.clock >= typing.first_unit {
            let clock = self.item(id)?.clock;
            let mut end = typing.first_point;
            return self.edits.iter().find_map(|edit| match edit {
                Edit::InsertText { path, text, .. } => {
                    end += text.chars().count() as u32;
                    (clock < end).then(|| path.clone())
                }
                _ => None,
            });
        }
        let document = self.partition.document(&self.document)?;
        let (unit, _) = document.texts().unit_at(document.graph(), id, document.judgement())?;
        let script = document.texts().scripts().get(&unit.node)?;
        script.inserts.get(unit.insert as usize).map(|insert| insert.field.clone())
    }

    fn text_now(&self, field: &Path) -> String {
        match &self.typing {
            Some(typing) => read(&typing.doc, field),
            None => {
                self.partition.document(&self.document).and_then(|document| document.text(field)).unwrap_or_default()
            }
        }
    }

    fn check_text(&self, field: &Path) -> Result<(), EditError> {
        self.has_room()?;
        match self.rules {
            Some(rules) => rules.check_text(field),
            None => Ok(()),
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            if self.typing.as_ref().is_some_and(|typing| typing.is_live) {
                self.partition.abandon(&self.document);
            }
            self.partition.drop_if_empty(&self.document);
        }
    }
}

fn merge_intent() -> Result<IntentName, RecordError> {
    IntentName::new("merge").map_err(RecordError::Header)
}

/// Sorted code points as ranges.
fn ranges(points: impl Iterator<Item = (Line, u32)>) -> Vec<ItemRange> {
    let mut ranges: Vec<ItemRange> = Vec::new();
    for (line, clock) in points {
        match ranges.last_mut() {
            Some(last) if last.start.line == line && last.start.clock + last.length == clock => last.length += 1,
            _ => ranges.push(ItemRange { start: ItemRef { line, clock }, length: 1 }),
        }
    }
    ranges
}

/// An editor's update with its client id and clocks replaced by ours; the update of one client that has not written
/// before. What it inserts fits in a change set, so that nothing below allocates more than it brought.
fn as_own(mut update: YUpdate, client: u64, next: u32) -> Result<(YUpdate, u64), String> {
    let foreign = update.items.first().map_or(client, |item| item.id.client);
    let (mut expected, mut total) = (0, 0);
    update.items.sort_by_key(|item| item.id);
    for item in &update.items {
        if item.id.client != foreign || item.id.clock != expected {
            return Err("it is not one new client's own text from its first character on".to_owned());
        }
        let bytes = match &item.content {
            YContent::Text(text) => text.len(),
            YContent::Tombstone(units) => PLACEHOLDER.len_utf8().saturating_mul(*units as usize),
        };
        total += bytes;
        if bytes > MAX_VALUE_BYTES || total > MAX_BODY_BYTES {
            return Err("it inserts more text than fits in a change set".to_owned());
        }
        expected += item.content.units();
    }
    let is_own = |id: &YId| !update.items.is_empty() && id.client == foreign;
    if update.deletes.iter().any(|range| is_own(&range.id) && range.id.clock.saturating_add(range.len) > expected) {
        return Err("it deletes text of its own that it never inserted".to_owned());
    }
    let own = |id: YId| if id.client == foreign { YId { client, clock: next + id.clock } } else { id };
    if !update.items.is_empty() {
        for item in &mut update.items {
            item.id = own(item.id);
            item.left = item.left.map(own);
            item.right = item.right.map(own);
        }
        for range in &mut update.deletes {
            range.id = own(range.id);
        }
    }
    Ok((update, foreign))
}

/// Applies an update and gives what it deleted that was not deleted before.
fn apply_counting_deletes(doc: &Doc, update: &YUpdate) -> Result<Vec<YRange>, TextEngineError> {
    let decoded = Update::decode_v1(&update.encode()).map_err(|_| TextEngineError)?;
    let mut txn = doc.try_transact_mut().map_err(|_| TextEngineError)?;
    txn.apply_update(decoded).map_err(|_| TextEngineError)?;
    if txn.has_missing_updates() {
        return Err(TextEngineError);
    }
    let mut ranges = Vec::new();
    for (client, deleted) in txn.delete_set().iter() {
        for range in deleted.iter() {
            let id = YId { client: client.get(), clock: range.start };
            ranges.push(YRange { id, len: range.end - range.start });
        }
    }
    ranges.sort_unstable();
    Ok(ranges)
}

impl State for Transaction<'_> {
    fn value(&self, path: &Path) -> Option<Value> {
        let overlay = self.overlay.get(path);
        let base = match overlay.and_then(|overlay| overlay.wrote.clone()) {
            Some(wrote) => wrote,
            None => self.partition.document(&self.document)?.value_at(path, None),
        };
        match (base, overlay) {
            (Some(Value::Counter(sum)), Some(overlay)) => Some(Value::Counter(sum.saturating_add(overlay.added))),
            (base, _) => base,
        }
    }

    fn text(&self, path: &Path) -> Option<String> {
        Some(self.text_now(path)).filter(|text| !text.is_empty())
    }

    fn paths(&self, prefix: &str) -> Vec<Path> {
        let document = self.partition.document(&self.document);
        let mut paths: BTreeSet<Path> =
            document.map(|document| document.paths(prefix)).unwrap_or_default().into_iter().collect();
        paths.extend(self.overlay.keys().cloned());
        paths.extend(self.edits.iter().map(|edit| edit.path().clone()));
        let is_shown = |path: &Path| {
            path.as_str().starts_with(prefix) && (self.value(path).is_some() || self.text(path).is_some())
        };
        paths.into_iter().filter(is_shown).collect()
    }
}

impl Edits for Transaction<'_> {
    fn put(&mut self, path: &Path, value: Value) -> Result<(), EditError> {
        self.has_room()?;
        value.check().map_err(|error| EditError::Value { path: path.clone(), error })?;
        if let Some(rules) = self.rules {
            rules.check_put(path, &value)?;
        }
        self.overlay.insert(path.clone(), Overlay { wrote: Some(Some(value.clone())), added: 0 });
        self.edits.push(Edit::Put { path: path.clone(), value });
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> Result<(), EditError> {
        self.has_room()?;
        let is_visible = match self.overlay.get(path).and_then(|overlay| overlay.wrote.as_ref()) {
            Some(wrote) => wrote.is_some(),
            None => self.partition.document(&self.document).is_some_and(|document| document.has_value(path)),
        };
        if is_visible {
            self.overlay.insert(path.clone(), Overlay { wrote: Some(None), added: 0 });
            self.edits.push(Edit::Delete { path: path.clone() });
        }
        Ok(())
    }

    fn increment(&mut self, path: &Path, amount: i64) -> Result<(), EditError> {
        self.has_room()?;
        increment_from_bytes(&increment_to_bytes(amount))
            .map_err(|error| EditError::Value { path: path.clone(), error })?;
        if let Some(rules) = self.rules {
            rules.check_increment(path)?;
        }
        let has_counter = match self.overlay.get(path).and_then(|overlay| overlay.wrote.as_ref()) {
            Some(wrote) => matches!(wrote, Some(Value::Counter(_))),
            None => self.partition.document(&self.document).is_some_and(|document| document.has_counter(path)),
        };
        if !has_counter {
            return Err(EditError::NoCounter { path: path.clone() });
        }
        self.overlay.entry(path.clone()).or_default().added += amount;
        self.edits.push(Edit::Increment { path: path.clone(), amount });
        Ok(())
    }

    fn insert_text(&mut self, path: &Path, position: usize, text: &str) -> Result<(), EditError> {
        self.check_text(path)?;
        if text.is_empty() {
            return Ok(());
        }
        if text.len() > MAX_VALUE_BYTES {
            let fault = Fault::OverLimit { limit: MAX_VALUE_BYTES as u64 };
            let error = DecodeError { place: "text", offset: 0, fault };
            return Err(EditError::Value { path: path.clone(), error });
        }
        let index = self.units_before(path, &[position])?.first().copied().unwrap_or_default();
        let update = self.type_into(path, |field, txn| field.insert(txn, index, text))?;
        for item in update.items {
            self.record_insert(path, item).ok_or_else(|| EditError::Engine { path: path.clone() })?;
        }
        Ok(())
    }

    fn delete_text(&mut self, path: &Path, position: usize, length: usize) -> Result<(), EditError> {
        self.check_text(path)?;
        if length == 0 {
            return Ok(());
        }
        let units = self.units_before(path, &[position, position.saturating_add(length)])?;
        let [from, to] = *units.as_slice() else { return Err(EditError::Engine { path: path.clone() }) };
        let update = self.type_into(path, |field, txn| field.remove_range(txn, from, to - from))?;
        self.record_deletes(path, &update.deletes).ok_or_else(|| EditError::Engine { path: path.clone() })
    }

    fn replace_text(&mut self, path: &Path, text: &str) -> Result<(), EditError> {
        self.check_text(path)?;
        let old: Vec<char> = self.text_now(path).chars().collect();
        let new: Vec<char> = text.chars().collect();
        for step in difference(&old, &new) {
            if step.removed > 0 {
                self.delete_text(path, step.position, step.removed)?;
            }
            // A long replacement goes in by parts that each fit a value.
            let mut position = step.position;
            for part in step.inserted.chunks(MAX_VALUE_BYTES / 4) {
                self.insert_text(path, position, &part.iter().collect::<String>())?;
                position += part.len();
            }
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }
}

impl Transaction<'_> {
    /// The UTF-16 offsets of positions in code points.
    fn units_before(&mut self, field: &Path, positions: &[usize]) -> Result<Vec<u32>, EditError> {
        let engine = || EditError::Engine { path: field.clone() };
        let has_pairs =
            self.partition.document(&self.document).is_some_and(|document| document.texts().has_pairs(field));
        let typing = self.typing().map_err(|_| engine())?;
        let typed_pairs = typing.inserted.iter().any(|typed| typed.units != typed.points);
        let text = typing.doc.get_or_insert_text(field.as_str());
        let txn = typing.doc.try_transact().map_err(|_| engine())?;
        let out_of_range =
            |position: usize, length: usize| EditError::OutOfRange { path: field.clone(), position, length };
        if !has_pairs && !typed_pairs {
            let length = text.len(&txn) as usize;
            let within = |position: &usize| {
                if *position <= length { Ok(*position as u32) } else { Err(out_of_range(*position, length)) }
            };
            return positions.iter().map(within).collect();
        }
        let text = text.get_string(&txn);
        let mut units = vec![0];
        let mut passed = 0;
        units.extend(text.chars().map(|c| {
            passed += c.len_utf16() as u32;
            passed
        }));
        let within =
            |position: &usize| units.get(*position).copied().ok_or_else(|| out_of_range(*position, units.len() - 1));
        positions.iter().map(within).collect()
    }
}
