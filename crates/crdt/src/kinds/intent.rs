//! Intents: the named commands by which people change documents, and what stands against them.

use crate::kinds::entries::path;
use crate::kinds::needs::Needs;
use crate::state::{EditError, Edits, State};
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One thing that stands against an intent, or that is wrong in a document: where, what, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Violation {
    /// The path in the document, or the field of the intent if the document has no such path; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
}

impl Violation {
    /// A violation with these three parts.
    pub fn new(path: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into(), cure: cure.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.problem, self.cure)
    }
}

/// For a transaction that refuses a single edit.
impl From<Violation> for EditError {
    fn from(violation: Violation) -> Self {
        match path(&violation.path) {
            Ok(path) => Self::Schema { path, problem: violation.problem, cure: violation.cure },
            Err(bad_path) => bad_path,
        }
    }
}

/// A person's named command on one document, as data: it travels between a form and the engine, waits while it is
/// deferred, and is written and read as JSON. It says what is to be done and holds no state.
///
/// [`Action`](crate::Action) implements this for an intent that is a row of a lifecycle and a [`Plan`](crate::Plan) of
/// writes; implement it by hand where that does not fit.
pub trait Intent: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name that change sets carry, `[a-z][a-z0-9_]{0,47}`, for example `record_outcome`.
    const NAME: &'static str;

    /// What it does, in one line.
    const SUMMARY: &'static str;

    /// A typical one, for documentation and for people who write JSON by hand.
    fn example() -> Self;

    /// What it needs beyond the local state.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// The person's reason, which is recorded with the change set.
    fn reason(&self) -> Option<&str> {
        None
    }

    /// Everything that stands against it in this state, all at once; nothing if it can be applied.
    fn validate(&self, state: &dyn State) -> Vec<Violation>;

    /// Records its edits. Does not validate again.
    ///
    /// # Errors
    /// [`EditError`] of the transaction, which must then be dropped.
    fn apply(&self, edits: &mut dyn Edits) -> Result<(), EditError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_a_sentence_and_can_refuse_an_edit() {
        let violation = Violation::new("items/7/outcome", "is \"maybe\"", "write one of pass, fail");
        assert_eq!(violation.to_string(), "items/7/outcome: is \"maybe\"; write one of pass, fail");
        assert_eq!(EditError::from(violation.clone()).to_string(), violation.to_string());
        let whole = Violation::new("", "no", "yes");
        assert_eq!(whole.to_string(), "no; yes");
        assert!(matches!(EditError::from(whole), EditError::BadPath { .. }));
    }
}
