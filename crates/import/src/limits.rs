//! Every limit by name. What is beyond one is an error that names the file and the cure.

use changeset::limits::{MAX_BODY_BYTES, MAX_SKELETON_BYTES};

/// The most bytes in a mapping file.
pub const MAX_MAPPING_BYTES: usize = 1 << 20;
/// The most bytes in one CSV file. A file is held in memory as its cells, which takes about as much again.
pub const MAX_CSV_BYTES: usize = 256 << 20;
/// The most rows in one CSV file, the header apart.
pub const MAX_ROWS: usize = 5_000_000;
/// The most columns in one CSV file.
pub const MAX_COLUMNS: usize = 4096;
/// The most cells in one CSV file; each takes 4 bytes beside its text.
pub const MAX_CELLS: usize = 64 << 20;
/// The most CSV files that one mapping reads.
pub const MAX_FILES: usize = 64;
/// The most problems that [`ImportErrors`](crate::ImportErrors) shows; the others are counted.
pub const MAX_SHOWN: usize = 20;
/// Checking ends when so many problems were counted.
pub const MAX_COUNTED: u64 = 1_000_000;
/// The most bytes that a record's paths and lengths may take in the change set that will carry it.
pub const MAX_RECORD_SKELETON_BYTES: usize = MAX_SKELETON_BYTES - RESERVE_BYTES;
/// The most bytes that a whole record may take in the change set that will carry it.
pub const MAX_RECORD_BYTES: usize = MAX_BODY_BYTES - RESERVE_BYTES;

/// Left to whoever records the change set: intent name, group, salt, the person's reason.
const RESERVE_BYTES: usize = 4 << 10;
