//! The comparison of tips: which branches one side has further than the other.
//!
//! The set that is compared is the last change set of every branch of every chain, whatever its verdict: two sides with
//! equal tips hold equal sets, because a log holds nothing without what came before it. The comparison is the negentropy
//! protocol over ids that are salted with the session, so that nobody can prepare ids that make it slow or blind, and the
//! cost follows the chains that differ, not the change sets.

use crate::error::SessionError;
use crate::limits::{MAX_RECONCILE_BYTES, MAX_RECONCILED_TIPS};
use crate::message::Tip;
use changeset::hash::{CONTEXT_TIP, statement};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use std::collections::BTreeMap;

/// One side of a comparison.
#[derive(Debug)]
pub(crate) struct Reconcile {
    protocol: Negentropy<'static, NegentropyStorageVector>,
    tips: BTreeMap<[u8; 32], Tip>,
}

/// What a step gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The message to send; none when the comparison is over.
    pub(crate) reply: Option<Vec<u8>>,
    /// Own tips that the peer lacks.
    pub(crate) have: Vec<Tip>,
    /// Salted ids of the peer's tips that are not held here.
    pub(crate) need: Vec<[u8; 32]>,
}

/// Its own failures are about frame sizes and unsorted storage, which cannot happen; what is left is the peer's bytes.
fn broken(_: negentropy::Error) -> SessionError {
    SessionError::Protocol("a comparison of tips that does not follow the negentropy protocol")
}

impl Reconcile {
    pub(crate) fn new(session: &[u8; 32], tips: &[Tip]) -> Result<Self, SessionError> {
        if tips.len() > MAX_RECONCILED_TIPS {
            let text = format!("{} branches of chains, more than one comparison holds", tips.len());
            return Err(SessionError::Storage(text));
        }
        let salted = |tip: &Tip| statement(CONTEXT_TIP, &[session.as_slice(), tip.id.as_bytes()].concat());
        let tips: BTreeMap<[u8; 32], Tip> = tips.iter().map(|tip| (salted(tip), *tip)).collect();
        let mut set = NegentropyStorageVector::with_capacity(tips.len());
        for id in tips.keys() {
            set.insert(0, Id::from_byte_array(*id)).map_err(broken)?;
        }
        set.seal().map_err(broken)?;
        let protocol = Negentropy::owned(set, MAX_RECONCILE_BYTES as u64).map_err(broken)?;
        Ok(Self { protocol, tips })
    }

    /// How many tips of our own it holds.
    pub(crate) fn len(&self) -> usize {
        self.tips.len()
    }

    /// The first message of the side that begins.
    pub(crate) fn begin(&mut self) -> Result<Vec<u8>, SessionError> {
        self.protocol.initiate().map_err(broken)
    }

    /// A message that came to the side that began.
    pub(crate) fn handle_answer(&mut self, bytes: &[u8]) -> Result<Step, SessionError> {
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let reply = self.protocol.reconcile_with_ids(bytes, &mut have, &mut need).map_err(broken)?;
        let mut have: Vec<Tip> = have.iter().filter_map(|id| self.tips.get(id.as_bytes()).copied()).collect();
        // The library collects them in hash sets: nothing unordered reaches the wire.
        have.sort_unstable();
        let mut need: Vec<[u8; 32]> = need.iter().map(|id| *id.as_bytes()).collect();
        need.sort_unstable();
        Ok(Step { reply, have, need })
    }

    /// A message that came to the side that answers.
    pub(crate) fn handle_question(&mut self, bytes: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.protocol.reconcile(bytes).map_err(broken)
    }

    /// What stands behind a salted id.
    pub(crate) fn tip(&self, salted: &[u8; 32]) -> Option<Tip> {
        self.tips.get(salted).copied()
    }
}
