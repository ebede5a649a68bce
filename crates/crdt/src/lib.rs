//! Documents over automerge and yrs.

mod state;

pub use state::{EditError, Edits, State};
