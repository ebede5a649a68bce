//! The named maximum of everything that an access record may grow.

/// The most bytes in a record.
pub const MAX_RECORD_BYTES: usize = 32 << 10;
/// The most roots of a workspace, and so the most endorsements of a record.
pub const MAX_ROOTS: usize = 16;
/// The most bytes in a name, a label or a person's id.
pub const MAX_NAME_BYTES: usize = 128;
/// The most bytes in a role.
pub const MAX_ROLE_BYTES: usize = 32;
/// The most bytes in the type of a record.
pub const MAX_TYPE_BYTES: usize = 32;
/// The most partitions that one delegation names.
pub const MAX_PARTITIONS: usize = 256;
/// The most kinds that one grant names.
pub const MAX_KINDS: usize = 64;
/// The most actions that one grant names.
pub const MAX_ACTIONS: usize = 256;
/// The latest time, and what to write for a period without an end.
pub const NO_END: u64 = changeset::limits::MAX_TIME_MS;
