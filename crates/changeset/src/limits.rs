//! Every limit by name. All of them are part of the format: a change set beyond one is refused by every replica.

/// The most bytes in a partition name.
pub const MAX_PARTITION_BYTES: usize = 63;
/// The most bytes in a document kind.
pub const MAX_KIND_BYTES: usize = 32;
/// The most bytes in an intent name.
pub const MAX_INTENT_BYTES: usize = 48;
/// The most bytes in a path.
pub const MAX_PATH_BYTES: usize = 255;
/// The most segments in a path.
pub const MAX_PATH_SEGMENTS: usize = 16;
/// The most parents in a header; with more heads an author first writes merging change sets without ops.
pub const MAX_PARENTS: usize = 32;
/// The largest sequence number of a chain.
pub const MAX_SEQUENCE: u64 = (1 << 32) - 1;
/// The largest header time in milliseconds since 1970 (the year 10889).
pub const MAX_TIME_MS: u64 = (1 << 48) - 1;
/// The most bytes in a body with all its values.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The most bytes in one value.
pub const MAX_VALUE_BYTES: usize = 1 << 18;
/// The most bytes in a skeleton.
pub const MAX_SKELETON_BYTES: usize = 1 << 19;
/// The most ops in a script.
pub const MAX_OPS: usize = 4096;
/// The most values in a body: one for each op, and the reason.
pub const MAX_VALUES: usize = MAX_OPS + 1;
/// The most lines that a skeleton names.
pub const MAX_LINES: usize = 1024;
/// The most ranges in one deletion of text.
pub const MAX_TEXT_RANGES: usize = 4096;
/// The largest magnitude of a counter's start and of an increment.
pub const MAX_COUNTER: i64 = (1 << 31) - 1;
/// The most digits after the decimal point.
pub const MAX_DECIMAL_SCALE: u8 = 18;
/// The most bytes in an attachment's media type.
pub const MAX_MEDIA_TYPE_BYTES: usize = 127;
/// The largest `m` of a group of `n of m` change sets.
pub const MAX_GROUP: u64 = 1 << 16;
/// The most entries between two signatures of a run.
pub const MAX_RUN_ENTRIES: usize = 1024;
/// The most bytes of bodies between two signatures of a run.
pub const MAX_RUN_BYTES: usize = 4 << 20;
/// The most entries in a page.
pub const MAX_PAGE_ENTRIES: usize = 4096;
/// The most bytes in a page before compression.
pub const MAX_PAGE_BYTES: usize = 8 << 20;
/// Pages below this many bytes are stored as they are: compression would gain little and cost a call.
pub const MIN_COMPRESSED_PAGE_BYTES: usize = 4 << 10;
/// The most pages in a bundle.
pub const MAX_BUNDLE_PAGES: usize = 1 << 20;
/// The most bundles in a file.
pub const MAX_BUNDLES: usize = 1 << 10;
