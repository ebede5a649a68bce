//! What intents and models read and write: a document's state, at its heads or inside a transaction.

use changeset::{DecodeError, Path, Value};

/// The state of a document, for reading. Implemented by a document at its heads, by a document at earlier heads, and
/// by a transaction, which shows its own edits on top.
pub trait State {
    /// The shown value at a path: of several concurrent ones the last by (time, id); a counter as the sum of all
    /// visible counters of the path. None if nothing is visible. Texts are read with [`State::text`].
    fn value(&self, path: &Path) -> Option<Value>;

    /// The text at a path, or none if nothing was ever inserted there or all of it was deleted.
    fn text(&self, path: &Path) -> Option<String>;

    /// Every path with a visible value or a text that begins with `prefix`, sorted. With `""` all of them.
    fn paths(&self, prefix: &str) -> Vec<Path>;
}

/// A transaction on a document: edits are recorded as a script and seen by later reads of the same transaction.
pub trait Edits: State {
    /// Writes a value over everything visible at the path.
    ///
    /// # Errors
    /// [`EditError`]; nothing was recorded.
    fn put(&mut self, path: &Path, value: Value) -> Result<(), EditError>;

    /// Removes everything visible at the path. Where nothing is visible, nothing is recorded.
    ///
    /// # Errors
    /// [`EditError`]; nothing was recorded.
    fn delete(&mut self, path: &Path) -> Result<(), EditError>;

    /// Adds to the counter at the path.
    ///
    /// # Errors
    /// [`EditError::NoCounter`] if no counter is visible there.
    fn increment(&mut self, path: &Path, amount: i64) -> Result<(), EditError>;

    /// Inserts text before the character at `position`, counted in Unicode code points from 0.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the text is shorter than `position`.
    fn insert_text(&mut self, path: &Path, position: usize, text: &str) -> Result<(), EditError>;

    /// Deletes `length` code points from `position` on.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the text ends before.
    fn delete_text(&mut self, path: &Path, position: usize, length: usize) -> Result<(), EditError>;

    /// Makes the text read `text` by the insertions and deletions of a shortest difference, so that what others write
    /// meanwhile in the parts that stay is kept.
    ///
    /// # Errors
    /// [`EditError`]; nothing was recorded.
    fn replace_text(&mut self, path: &Path, text: &str) -> Result<(), EditError>;

    /// The time of the transaction in milliseconds since 1970, as the application gave it.
    fn now_ms(&self) -> u64;
}

/// Why an edit was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The value is over a limit or of no valid form.
    #[error("{path}: {error}")]
    Value {
        /// Where.
        path: Path,
        /// What is wrong.
        error: DecodeError,
    },
    /// The path is none.
    #[error("{text:?} is not a path: segments of a-z, 0-9, `_`, `.`, `-`, joined by `/`")]
    BadPath {
        /// What was given.
        text: String,
    },
    /// The schema does not allow it.
    #[error("{path}: {problem}; {cure}")]
    Schema {
        /// Where.
        path: Path,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// A text position is behind the end.
    #[error("{path}: position {position} is behind the end of the text, which has {length} characters")]
    OutOfRange {
        /// The text field.
        path: Path,
        /// What was asked for, in code points.
        position: usize,
        /// The text's length in code points.
        length: usize,
    },
    /// An increment found no counter.
    #[error("{path}: there is no counter to add to; put one first")]
    NoCounter {
        /// Where.
        path: Path,
    },
    /// The change set would be larger than its limit.
    #[error("more than {limit} edits in one change set: commit and go on in another")]
    TooManyEdits {
        /// The limit.
        limit: usize,
    },
    /// An attached editor's update was refused.
    #[error("the editor's update was refused: {problem}; load the text anew and send one update of one new client")]
    BadUpdate {
        /// Why.
        problem: String,
    },
    /// The text engine refused; the transaction must be dropped.
    #[error("{path}: the text engine refused an edit it should have taken")]
    Engine {
        /// The text field.
        path: Path,
    },
}

/// Rules that bind an author while a transaction is edited: a kind's schema.
pub trait EditRules: Sync {
    /// Whether the value may be put at the path.
    ///
    /// # Errors
    /// [`EditError::Schema`].
    fn check_put(&self, path: &Path, value: &Value) -> Result<(), EditError>;

    /// Whether the path is a counter.
    ///
    /// # Errors
    /// [`EditError::Schema`].
    fn check_increment(&self, path: &Path) -> Result<(), EditError>;

    /// Whether the path is a text.
    ///
    /// # Errors
    /// [`EditError::Schema`].
    fn check_text(&self, path: &Path) -> Result<(), EditError>;
}
