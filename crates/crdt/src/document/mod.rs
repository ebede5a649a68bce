//! A document: what falls out of replaying its change sets.

pub(crate) mod engine;
pub(crate) mod graph;
mod read;
pub(crate) mod scripts;
pub(crate) mod snapshot;
pub(crate) mod structure;
pub(crate) mod texts;

use crate::document::engine::{Engine, EngineError};
use crate::document::graph::{Clock, Form, Graph, Node, NodeIx};
use crate::document::structure::Structure;
use crate::document::texts::{TextEngineError, Texts};
use crate::judgement::{Judgement, Standing};
use changeset::{BranchName, ChangeSetId, DocumentKey, Path, Verified};
use std::collections::BTreeSet;

pub use read::{Cursor, CursorSide, DocumentAt, HistoryEntry, Span};

/// A document of a partition. It is read here and written through [`crate::Partition`].
#[derive(Debug)]
pub struct Document {
    key: DocumentKey,
    /// What is said of its own change sets.
    judgement: Judgement,
    graph: Graph,
    standings: Vec<Standing>,
    structure: Structure,
    texts: Texts,
    engine: Engine,
}

impl Document {
    pub(crate) fn new(key: DocumentKey) -> Self {
        Self {
            texts: Texts::new(key.clone()),
            key,
            judgement: Judgement::default(),
            graph: Graph::default(),
            standings: Vec::new(),
            structure: Structure::default(),
            engine: Engine::default(),
        }
    }

    /// What it is and its id.
    pub fn key(&self) -> &DocumentKey {
        &self.key
    }

    /// How many change sets it has, whatever their standing.
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.graph.len() == 0
    }

    /// Whether it has taken a change set.
    pub(crate) fn holds(&self, id: &ChangeSetId) -> bool {
        self.graph.find(id).is_some()
    }

    /// The greatest header time in it, in milliseconds since 1970; 0 if it has no change set.
    pub fn newest_ms(&self) -> u64 {
        self.graph.newest_ms()
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn structure(&self) -> &Structure {
        &self.structure
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    fn standing_of(&self, node: &Node) -> Standing {
        match &node.form {
            Form::Newer => return Standing::PendingNewerFormat,
            Form::Invalid(fault) => return Standing::Invalid(fault.clone()),
            Form::Readable => {}
        }
        if self.judgement.is_masked(&node.id()) {
            return Standing::Masked;
        }
        match node.entry.skeleton() {
            Ok(skeleton) if self.judgement.misses_value(&node.entry, skeleton) => Standing::PendingValue,
            _ => Standing::Counted,
        }
    }

    /// Takes a change set whose parents are all held. Gives the paths it changed.
    pub(crate) fn push(
        &mut self,
        entry: Verified,
        implied: Option<ChangeSetId>,
        name: BranchName,
        judgement: &Judgement,
    ) -> BTreeSet<Path> {
        self.judgement.take_over(entry.id(), judgement);
        let ix = self.graph.push(entry, implied);
        self.judge(ix, name)
    }

    fn judge(&mut self, ix: NodeIx, name: BranchName) -> BTreeSet<Path> {
        let standing = self.graph.get(ix).map_or(Standing::Masked, |node| self.standing_of(node));
        let is_counted = standing.is_counted();
        self.standings.push(standing);
        let changed = self.structure.push(&self.graph, ix, name, is_counted, &self.judgement);
        let mut paths: BTreeSet<Path> =
            changed.into_iter().filter_map(|path| self.structure.path(path)).cloned().collect();
        paths.extend(self.texts.push(&self.graph, ix, name, is_counted, &self.judgement));
        paths
    }

    /// Takes another form of a held change set: with a value that was missing, or with less of its values.
    pub(crate) fn replace(&mut self, entry: &Verified) {
        self.graph.replace(entry);
    }

    /// Builds everything anew under another judgement or other names. Gives the paths that may show something else.
    pub(crate) fn rebuild(
        &mut self,
        judgement: &Judgement,
        name_of: impl Fn(&Verified) -> BranchName,
    ) -> BTreeSet<Path> {
        self.judgement = Judgement::default();
        for node in self.graph.nodes() {
            self.judgement.take_over(node.id(), judgement);
        }
        self.standings.clear();
        // A path that only masked change sets wrote is not in the new structure, but what it showed is gone.
        let before = std::mem::take(&mut self.structure);
        let shown = before.paths_from("").filter(|(_, ix)| !before.visible(*ix).is_empty());
        let mut paths: BTreeSet<Path> = shown.map(|(path, _)| path.clone()).collect();
        self.engine = Engine::default();
        let names: Vec<BranchName> = self.graph.nodes().iter().map(|node| name_of(&node.entry)).collect();
        for (ix, name) in names.iter().enumerate() {
            let standing = self.graph.get(ix as NodeIx).map_or(Standing::Masked, |node| self.standing_of(node));
            let is_counted = standing.is_counted();
            self.standings.push(standing);
            let changed = self.structure.push(&self.graph, ix as NodeIx, *name, is_counted, &self.judgement);
            paths.extend(changed.into_iter().filter_map(|path| self.structure.path(path)).cloned());
        }
        let standings = &self.standings;
        let judged = |ix: NodeIx| {
            let name = names.get(ix as usize).copied().unwrap_or(BranchName::from_bytes([0; 32]));
            (name, standings.get(ix as usize).is_some_and(Standing::is_counted))
        };
        self.texts.rebuild(&self.graph, judged, &self.judgement);
        paths.extend(self.texts.fields().cloned());
        paths
    }

    /// Applies text scripts that are not applied yet.
    pub(crate) fn settle(&mut self) -> Result<(), TextEngineError> {
        self.texts.settle(&self.graph, &self.judgement)
    }

    /// The heads that an author builds on: the maximal change sets whose content counts. An author names as parents
    /// only what it accepts.
    pub(crate) fn accepted_heads(&self) -> Vec<NodeIx> {
        let counts = |ix: &NodeIx| self.standings.get(*ix as usize).is_some_and(Standing::is_counted);
        if self.graph.heads().iter().all(counts) {
            return self.graph.heads().to_vec();
        }
        let mut heads: Vec<NodeIx> = Vec::new();
        // Later ones first: whatever is in the past of one that was taken is none.
        for ix in (0..self.graph.len() as NodeIx).rev().filter(counts) {
            let Some(node) = self.graph.get(ix) else { continue };
            if !heads.iter().filter_map(|head| self.graph.get(*head)).any(|head| head.follows(node)) {
                heads.push(ix);
            }
        }
        heads
    }

    /// A Yrs document to type into with this past: the live one where it shows just that, else a copy. Gives the
    /// document, whether it is the live one, and the client id and clock under which to type.
    pub(crate) fn texts_for_editing(
        &mut self,
        past: &Clock,
        implied: Option<NodeIx>,
        name: Option<BranchName>,
    ) -> Result<(yrs::Doc, bool, u64, u32), TextEngineError> {
        // Who is about to fork a chain does not know the name to be; it types under an id that nobody has.
        let Some(name) = name else {
            let client = self.texts.free_client();
            return Ok((self.texts.at(&self.graph, past, client, &self.judgement)?, false, client, 0));
        };
        let (client, clock) = self.texts.next_clock(&self.graph, implied, &name);
        if self.texts.is_all_in(&self.graph, past) {
            return Ok((self.texts.live(&self.graph, client, &self.judgement)?, true, client, clock));
        }
        Ok((self.texts.at(&self.graph, past, client, &self.judgement)?, false, client, clock))
    }

    /// The text scripts of the change set pushed last are in the live texts already, or must be applied to them.
    pub(crate) fn finish_editing(&mut self, typed: Option<(NodeIx, u64)>) {
        match typed {
            Some((ix, client)) => self.texts.skip_last(&self.graph, ix, client, &self.judgement),
            None => self.texts.discard_live(&self.graph, &self.judgement),
        }
    }

    /// The heads of the Automerge image, sorted; rebuilt images are equal wherever the same change sets count.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn automerge_heads(&mut self) -> Result<Vec<[u8; 32]>, EngineError> {
        self.engine.feed(&self.graph, &mut self.structure)?;
        Ok(self.engine.heads())
    }

    /// The structure as a saved Automerge document: a flat map keyed by path, with the whole history of what counts.
    /// Two replicas' bytes may differ though the documents are equal; compare heads or [`Document::digest`].
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn save_automerge(&mut self) -> Result<Vec<u8>, EngineError> {
        self.engine.feed(&self.graph, &mut self.structure)?;
        Ok(self.engine.save())
    }

    /// The texts as a Yjs state update, version 1: one root text for each text field, named by its path.
    pub fn save_yjs(&self) -> Vec<u8> {
        self.texts.export()
    }
}
