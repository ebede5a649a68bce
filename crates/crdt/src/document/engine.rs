//! The Automerge image of a document's structure, rebuilt from the history.
//!
//! Changes are built from what the index says and given to the engine in batches: applying costs about as much for a
//! hundred changes as for one. Nothing here decides anything; the image is for export, for snapshots, and as the
//! second opinion that the property tests ask.

use crate::document::graph::{Graph, NodeIx};
use crate::document::structure::{Action, Change, PutIx, Structure};
use automerge::{ActorId, Automerge, ChangeHash, ExpandedChange, LoadOptions, ScalarValue, legacy};
use changeset::{BranchName, Value};
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The Automerge engine did not take a change that was rebuilt for it. It never should; the history is intact, and the
/// document's state does not depend on the image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// It refused.
    #[error("Automerge refused a rebuilt change")]
    Refused(#[source] Box<automerge::AutomergeError>),
    /// It panicked, or a change refers to what it was never given.
    #[error("Automerge failed on a rebuilt change")]
    Failed,
}

#[derive(Debug, Default)]
pub(crate) struct Engine {
    image: Automerge,
    hashes: HashMap<NodeIx, ChangeHash>,
}

impl Engine {
    /// Gives the engine what it lacks.
    ///
    /// # Errors
    /// [`EngineError`].
    pub(crate) fn feed(&mut self, graph: &Graph, structure: &mut Structure) -> Result<(), EngineError> {
        let queue = structure.take_queue();
        if queue.is_empty() {
            return Ok(());
        }
        let mut actors: HashMap<BranchName, ActorId> = HashMap::new();
        let mut changes = Vec::with_capacity(queue.len());
        for change in &queue {
            let built = self.build(structure, change, &mut actors).ok_or(EngineError::Failed)?;
            self.hashes.insert(change.node, built.hash());
            changes.push(built);
        }
        debug_assert!(queue.iter().all(|change| graph.get(change.node).is_some()), "changes are of this graph");
        match catch_unwind(AssertUnwindSafe(|| self.image.apply_changes(changes))) {
            Ok(result) => result.map_err(|error| EngineError::Refused(Box::new(error))),
            Err(_) => Err(EngineError::Failed),
        }
    }

    /// Rule 9: time 0, no message, no extra bytes, dependencies sorted.
    fn build(
        &self,
        structure: &Structure,
        change: &Change,
        actors: &mut HashMap<BranchName, ActorId>,
    ) -> Option<automerge::Change> {
        let facts = structure.facts(change.node)?;
        let mut actor =
            |name: BranchName| actors.entry(name).or_insert_with(|| ActorId::from(name.as_bytes().as_slice())).clone();
        let mut op_id =
            |put: PutIx| Some(legacy::OpId::new(structure.put(put)?.op_number, &actor(structure.name_of(put)?)));
        let mut operations = Vec::with_capacity(change.ops.len());
        for op in &change.ops {
            let predecessors: Option<Vec<legacy::OpId>> = op.predecessors.iter().map(|put| op_id(*put)).collect();
            let action = match &op.action {
                Action::Put(put) => legacy::OpType::Put(scalar(&structure.put(*put)?.value)),
                Action::Delete => legacy::OpType::Delete,
                Action::Increment(amount) => legacy::OpType::Increment(*amount),
            };
            operations.push(legacy::Op {
                action,
                obj: legacy::ObjectId::Root,
                key: legacy::Key::Map(structure.path(op.path)?.as_str().into()),
                pred: predecessors?.into(),
                insert: false,
            });
        }
        let mut deps = Vec::with_capacity(change.after.len());
        for before in &change.after {
            deps.push(*self.hashes.get(before)?);
        }
        deps.sort_unstable();
        let expanded = ExpandedChange {
            operations,
            actor_id: actor(facts.name),
            hash: None,
            seq: facts.sequence,
            start_op: NonZeroU64::new(facts.start_op)?,
            time: 0,
            message: None,
            deps,
            extra_bytes: Vec::new(),
            author: None,
        };
        Some(expanded.into())
    }

    /// The heads of the image, sorted.
    pub(crate) fn heads(&self) -> Vec<[u8; 32]> {
        let mut heads: Vec<[u8; 32]> = self.image.get_heads().into_iter().map(|hash| hash.0).collect();
        heads.sort_unstable();
        heads
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        self.image.save()
    }

    /// Begins from a saved image instead of applying every change. Gives whether it is the image of these changes.
    pub(crate) fn adopt(&mut self, saved: &[u8], structure: &mut Structure, graph: &Graph) -> bool {
        let load = || Automerge::load_with_options(saved, LoadOptions::new());
        let Ok(Ok(image)) = catch_unwind(AssertUnwindSafe(load)) else { return false };
        let mut by_number: HashMap<(Vec<u8>, u64), ChangeHash> = HashMap::new();
        for change in image.get_changes_meta(&[]) {
            by_number.insert((change.actor.to_bytes().to_vec(), change.seq), change.hash);
        }
        let mut hashes = HashMap::new();
        for ix in 0..graph.len() as NodeIx {
            let Some(facts) = structure.facts(ix).filter(|facts| facts.emitted > 0) else { continue };
            let Some(hash) = by_number.remove(&(facts.name.as_bytes().to_vec(), facts.sequence)) else { return false };
            hashes.insert(ix, hash);
        }
        if !by_number.is_empty() {
            return false;
        }
        structure.skip_queue();
        *self = Self { image, hashes };
        true
    }
}

/// How a value stands in Automerge. What it has no type for is text there; the script keeps the type.
fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Int(value) => ScalarValue::Int(*value),
        Value::Float(value) => ScalarValue::F64(*value),
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        Value::Bytes(bytes) => ScalarValue::Bytes(bytes.clone()),
        Value::Timestamp(ms) => ScalarValue::Timestamp(*ms),
        Value::Counter(start) => ScalarValue::counter(*start),
        Value::Decimal(decimal) => ScalarValue::Str(decimal.to_string().into()),
        Value::Reference(reference) => ScalarValue::Str(reference.to_string().into()),
        Value::Attachment(attachment) => ScalarValue::Str(attachment.to_string().into()),
    }
}
