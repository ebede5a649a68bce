//! Workloads, and the budgets that they are held to.
//!
//! `cargo bench -p fieldbook-benches` prints every budget as a table, with what was measured beside it, and then the raw
//! rates. Speed is budgeted as a ratio to what the engines themselves need for the same in the same minute, because a
//! shared machine is fast at times and slow at others; only typing, which a person waits for, is budgeted in time.

mod table;
mod workload;

pub use table::{Table, median, millis, timed};
pub use workload::{
    Random, Shape, author, commit_fields, document, empty, field, history, intent, partition_name, path, reread,
    type_text, workspace,
};
