//! Yjs "update v1" bytes, reduced to plain text in root types.
//!
//! # Format
//!
//! Every integer is a lib0 *var uint*: seven bits a byte, low bits first, the top bit set on all
//! bytes but the last. A string is its length in bytes, then UTF-8. Clocks and lengths count
//! UTF-16 code units. An update is a list of struct sections, then the delete set:
//!
//! ```text
//! update     = count section*  count deleter*
//! section    = count client clock struct+     one client; structs follow each other without gaps
//! struct     = info [left] [right] [parent] content
//! left,right = client clock                   present if info has 0x80, 0x40
//! parent     = 1 name                         root type; present if left and right both are not
//! content    = string                         info & 0x1f == 4, a run of text
//!            | length                         info & 0x1f == 1, text that is already gone
//! deleter    = client count range+
//! range      = clock length                   ascending
//! ```
//!
//! Only the first struct of a section has its clock written; the others follow from the lengths.
//! Clients stand in descending order in the first list, as both Yjs and yrs write them. In the
//! delete set yrs writes them ascending, Yjs descending and its older versions in no order.
//!
//! # Why the decoder is strict
//!
//! Yjs and yrs take much that no editor writes, and do not agree about it: yrs cuts a client id to
//! 53 bits and an integer to 32, Yjs keeps the last of two sections of one client and yrs joins
//! them, a struct without length vanishes. Replicas that read one update differently diverge
//! without an error. So an update passes here only if all readers see the same items in it, and
//! all else is refused before an engine meets it. One transaction of a text editor never needs
//! more: the structs *GC* and *Skip*, nested types, map keys and formats are refused too.
//!
//! # Surrogate pairs
//!
//! An engine that must cut a surrogate pair turns both halves into U+FFFD, so a cut made before the
//! bytes were written is plain text by now and cannot be told from a typed U+FFFD. A range or
//! origin that cuts a pair of *another* update is not visible either. What is refused is a cut
//! through a pair whose text stands in the same update.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

/// Longest update in bytes that [`YUpdate::decode`] accepts.
pub const MAX_UPDATE_BYTES: usize = 16 << 20;
/// Most items in one update that [`YUpdate::decode`] accepts.
pub const MAX_ITEMS: usize = 1 << 20;
/// Most delete ranges in one update that [`YUpdate::decode`] accepts.
pub const MAX_DELETES: usize = 1 << 20;

/// Clocks end here: Yrs subtracts them as signed 32-bit numbers, which overflows beyond.
const CLOCK_LIMIT: u32 = 1 << 31;

/// Client ids stay below this, as JavaScript's numbers are exact only up to here.
const CLIENT_LIMIT: u64 = 1 << 53;

const CONTENT_GC: u8 = 0;
const CONTENT_DELETED: u8 = 1;
const CONTENT_STRING: u8 = 4;
const CONTENT_SKIP: u8 = 10;
/// Yjs reads five bits and yrs four; with five, an info byte on which they differ is unsupported.
const CONTENT_MASK: u8 = 0x1f;
const HAS_PARENT_SUB: u8 = 0x20;
const HAS_RIGHT: u8 = 0x40;
const HAS_LEFT: u8 = 0x80;

const PARENT_IS_ITEM: u64 = 0;
const PARENT_IS_ROOT: u64 = 1;

// The fewest bytes each part can take, so that a declared count is bounded by what is left.
const STRUCT_BYTES_MIN: usize = 4;
const SECTION_BYTES_MIN: usize = 3 + STRUCT_BYTES_MIN;
const RANGE_BYTES_MIN: usize = 2;
const DELETER_BYTES_MIN: usize = 2 + RANGE_BYTES_MIN;

/// Names one UTF-16 code unit: the writer and the unit's number among all it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct YId {
    /// The writer, below 2^53.
    pub client: u64,
    /// How many UTF-16 code units the writer had inserted before this one.
    pub clock: u32,
}

/// What an item holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum YContent {
    /// A run of text, not empty.
    Text(String),
    /// So many UTF-16 code units of text that was deleted again, at least one.
    Tombstone(u32),
}

impl YContent {
    /// Length in UTF-16 code units, which is what clocks count.
    pub fn units(&self) -> u32 {
        match self {
            Self::Text(text) => {
                let units = text.chars().map(char::len_utf16).sum::<usize>();
                u32::try_from(units).unwrap_or(u32::MAX)
            }
            Self::Tombstone(units) => *units,
        }
    }
}

/// A run of units inserted side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YItem {
    /// Id of the first unit; the others count up from it.
    pub id: YId,
    /// The unit that stood to the left when this was inserted.
    pub left: Option<YId>,
    /// The unit that stood to the right when this was inserted.
    pub right: Option<YId>,
    /// Name of the root type, `Some` exactly when `left` and `right` both are `None`. Otherwise
    /// the item is where its neighbours are, and the format has no room for a name.
    pub field: Option<Box<str>>,
    /// What was inserted.
    pub content: YContent,
}

impl YItem {
    /// The clock after the last unit.
    fn end(&self) -> u32 {
        self.id.clock.saturating_add(self.content.units())
    }
}

/// A run of deleted units of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct YRange {
    /// The first deleted unit.
    pub id: YId,
    /// Number of units, at least one.
    pub len: u32,
}

impl YRange {
    /// The clock after the last unit.
    fn end(&self) -> u32 {
        self.id.clock.saturating_add(self.len)
    }
}

/// The insertions and deletions of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YUpdate {
    /// Inserted items. [`Self::decode`] gives them by descending client and ascending clock.
    pub items: Vec<YItem>,
    /// Deleted ranges. [`Self::decode`] gives them ascending and never touching.
    pub deletes: Vec<YRange>,
}

impl YUpdate {
    /// Writes the update as yrs does, byte for byte.
    ///
    /// Items and ranges may come in any order; ranges that touch or overlap are merged, empty ones
    /// left out. A gap between two items of one client becomes a *Skip* struct, which engines read
    /// and [`Self::decode`] refuses.
    ///
    /// Nothing is checked: an update that breaks what the field docs promise makes bytes that
    /// [`Self::decode`] or an engine refuses or reads otherwise. Only ids are safe: items of one
    /// client that overlap are written as two sections, so that none silently takes another id. A
    /// `field` beside an origin is left out, a missing one is written as the empty name.
    pub fn encode(&self) -> Vec<u8> {
        // One keystroke and its deletion fit.
        let mut out = Vec::with_capacity(64);
        match self.items.as_slice() {
            [] => write_sections(&mut out, &[]),
            [only] => write_sections(&mut out, &[only]),
            many => {
                let mut order: Vec<&YItem> = many.iter().collect();
                order.sort_by_key(|item| (Reverse(item.id.client), item.id.clock));
                write_sections(&mut out, &order);
            }
        }
        match self.deletes.as_slice() {
            [] => write_ranges(&mut out, &[]),
            [only] if only.len > 0 => write_ranges(&mut out, &[*only]),
            many => {
                let mut order: Vec<YRange> = many.iter().filter(|r| r.len > 0).copied().collect();
                order.sort_unstable();
                order.dedup_by(|next, kept| {
                    let joined = kept.id.client == next.id.client && next.id.clock <= kept.end();
                    if joined {
                        let end = kept.end().max(next.end());
                        kept.len = end.saturating_sub(kept.id.clock);
                    }
                    joined
                });
                write_ranges(&mut out, &order);
            }
        }
        out
    }

    /// Reads one update and nothing else.
    ///
    /// # Errors
    ///
    /// Any byte that an editor of plain text would not have written, see the module's docs.
    pub fn decode(bytes: &[u8]) -> Result<Self, YjsError> {
        let total = bytes.len();
        if total > MAX_UPDATE_BYTES {
            return fault(MAX_UPDATE_BYTES, YjsFault::UpdateTooLong(total));
        }
        let mut reader = Reader { rest: bytes, total };
        let items = reader.items()?;
        let deletes = reader.deletes()?;
        let at = reader.offset();
        require(reader.rest.is_empty(), at, YjsFault::TrailingBytes)?;
        match cut_pair(&items, &deletes) {
            // The two sides of the cut can lie far apart, so the offset says only: all was read.
            Some(id) => fault(at, YjsFault::CutSurrogatePair(id)),
            None => Ok(Self { items, deletes }),
        }
    }
}

/// Writes the first list of an update. `order` is sorted by descending client, ascending clock.
fn write_sections(out: &mut Vec<u8>, order: &[&YItem]) {
    let sections = || order.chunk_by(|a, b| a.id.client == b.id.client && a.end() <= b.id.clock);
    write_var(out, sections().count() as u64);
    for section in sections() {
        let gaps = section.windows(2).filter(|pair| match pair {
            [a, b] => a.end() < b.id.clock,
            _ => false,
        });
        write_var(out, section.len().saturating_add(gaps.count()) as u64);
        if let Some(first) = section.first() {
            write_id(out, first.id);
        }
        let mut previous: Option<&YItem> = None;
        for item in section {
            let gap = previous.map_or(0, |p| item.id.clock.saturating_sub(p.end()));
            if gap > 0 {
                out.push(CONTENT_SKIP);
                write_var(out, u64::from(gap));
            }
            write_item(out, item);
            previous = Some(item);
        }
    }
}

fn write_item(out: &mut Vec<u8>, item: &YItem) {
    let content = match item.content {
        YContent::Text(_) => CONTENT_STRING,
        YContent::Tombstone(_) => CONTENT_DELETED,
    };
    let left = item.left.map_or(0, |_| HAS_LEFT);
    let right = item.right.map_or(0, |_| HAS_RIGHT);
    out.push(content | left | right);
    for origin in [item.left, item.right].into_iter().flatten() {
        write_id(out, origin);
    }
    if item.left.is_none() && item.right.is_none() {
        write_var(out, PARENT_IS_ROOT);
        write_str(out, item.field.as_deref().unwrap_or_default());
    }
    match &item.content {
        YContent::Text(text) => write_str(out, text),
        YContent::Tombstone(units) => write_var(out, u64::from(*units)),
    }
}

/// Writes the delete set. `order` is sorted, merged and has no empty range.
fn write_ranges(out: &mut Vec<u8>, order: &[YRange]) {
    let deleters = || order.chunk_by(|a, b| a.id.client == b.id.client);
    write_var(out, deleters().count() as u64);
    for ranges in deleters() {
        if let Some(first) = ranges.first() {
            write_var(out, first.id.client);
        }
        write_var(out, ranges.len() as u64);
        for range in ranges {
            write_var(out, u64::from(range.id.clock));
            write_var(out, u64::from(range.len));
        }
    }
}

fn write_id(out: &mut Vec<u8>, id: YId) {
    write_var(out, id.client);
    write_var(out, u64::from(id.clock));
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    write_var(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn write_var(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is left of an update.
struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    fn offset(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    fn items(&mut self) -> Result<Vec<YItem>, YjsError> {
        let mut items = Vec::new();
        let mut last_client = CLIENT_LIMIT;
        for _ in 0..self.count(SECTION_BYTES_MIN, MAX_ITEMS, YjsFault::TooManyItems)? {
            let at = self.offset();
            let room = MAX_ITEMS.saturating_sub(items.len());
            let structs = self.count(STRUCT_BYTES_MIN, room, YjsFault::TooManyItems)?;
            require(structs > 0, at, YjsFault::EmptySection)?;
            let at = self.offset();
            let client = self.client()?;
            require(client < last_client, at, YjsFault::ClientOrder(client))?;
            last_client = client;
            let mut clock = self.var_u32()?;
            items.reserve(structs);
            for _ in 0..structs {
                let (item, end) = self.item(YId { client, clock })?;
                items.push(item);
                clock = end;
            }
        }
        Ok(items)
    }

    /// Reads one struct; gives the clock after it too.
    fn item(&mut self, id: YId) -> Result<(YItem, u32), YjsError> {
        let at = self.offset();
        let info = self.byte()?;
        let kind = info & CONTENT_MASK;
        match kind {
            CONTENT_STRING | CONTENT_DELETED => {}
            CONTENT_GC => return fault(at, YjsFault::GarbageCollected),
            CONTENT_SKIP => return fault(at, YjsFault::Skip),
            other => return fault(at, YjsFault::UnsupportedContent(other)),
        }
        require(info & HAS_PARENT_SUB == 0, at, YjsFault::ParentSub)?;
        let left = (info & HAS_LEFT != 0).then(|| self.origin(id)).transpose()?;
        let right = (info & HAS_RIGHT != 0).then(|| self.origin(id)).transpose()?;
        let is_first = left.is_none() && right.is_none();
        let field = is_first.then(|| self.root_name()).transpose()?;
        let at = self.offset();
        let content = match kind {
            CONTENT_STRING => YContent::Text(self.string()?.to_owned()),
            _ => YContent::Tombstone(self.var_u32()?),
        };
        let end = end_of(id.clock, content.units(), at)?;
        let item = YItem { id, left, right, field, content };
        Ok((item, end))
    }

    /// Reads an origin of the item `of`, which existed before the item did.
    fn origin(&mut self, of: YId) -> Result<YId, YjsError> {
        let at = self.offset();
        let (client, clock) = (self.client()?, self.var_u32()?);
        end_of(clock, 1, at)?;
        let older = client != of.client || clock < of.clock;
        require(older, at, YjsFault::OriginAhead)?;
        Ok(YId { client, clock })
    }

    fn root_name(&mut self) -> Result<Box<str>, YjsError> {
        let at = self.offset();
        match self.var()? {
            PARENT_IS_ROOT => Ok(self.string()?.into()),
            PARENT_IS_ITEM => fault(at, YjsFault::NestedParent),
            other => fault(at, YjsFault::UnknownParent(other)),
        }
    }

    fn deletes(&mut self) -> Result<Vec<YRange>, YjsError> {
        let mut deletes = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..self.count(DELETER_BYTES_MIN, MAX_DELETES, YjsFault::TooManyDeletes)? {
            let at = self.offset();
            let client = self.client()?;
            require(seen.insert(client), at, YjsFault::ClientOrder(client))?;
            let at = self.offset();
            let room = MAX_DELETES.saturating_sub(deletes.len());
            let ranges = self.count(RANGE_BYTES_MIN, room, YjsFault::TooManyDeletes)?;
            require(ranges > 0, at, YjsFault::EmptySection)?;
            deletes.reserve(ranges);
            let mut last_end = None;
            for _ in 0..ranges {
                let at = self.offset();
                let (clock, len) = (self.var_u32()?, self.var_u32()?);
                let apart = last_end.is_none_or(|end| clock > end);
                require(apart, at, YjsFault::DeleteOrder)?;
                last_end = Some(end_of(clock, len, at)?);
                let id = YId { client, clock };
                deletes.push(YRange { id, len });
            }
        }
        // The clients come in whatever order their writer likes, see the module's docs.
        deletes.sort_unstable();
        Ok(deletes)
    }

    /// Reads how many things of at least `bytes_min` bytes follow, at most `max`.
    fn count(&mut self, bytes_min: usize, max: usize, over: YjsFault) -> Result<usize, YjsError> {
        let at = self.offset();
        let declared = self.var()?;
        let count = usize::try_from(declared).unwrap_or(usize::MAX);
        let fits = count.saturating_mul(bytes_min) <= self.rest.len();
        require(fits, at, YjsFault::CountExceedsInput(declared))?;
        require(count <= max, at, over)?;
        Ok(count)
    }

    fn client(&mut self) -> Result<u64, YjsError> {
        let at = self.offset();
        let client = self.var()?;
        require(client < CLIENT_LIMIT, at, YjsFault::ClientOutOfRange(client))?;
        Ok(client)
    }

    fn string(&mut self) -> Result<&'a str, YjsError> {
        let len = self.count(1, MAX_UPDATE_BYTES, YjsFault::UnexpectedEnd)?;
        let start = self.offset();
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return fault(start, YjsFault::UnexpectedEnd);
        };
        self.rest = tail;
        match std::str::from_utf8(head) {
            Ok(text) => Ok(text),
            Err(e) => fault(start.saturating_add(e.valid_up_to()), YjsFault::InvalidUtf8),
        }
    }

    fn var_u32(&mut self) -> Result<u32, YjsError> {
        let at = self.offset();
        u32::try_from(self.var()?).or_else(|_| fault(at, YjsFault::IntegerOverflow))
    }

    /// Reads a lib0 var uint in its shortest form, so that every number has one spelling.
    fn var(&mut self) -> Result<u64, YjsError> {
        let at = self.offset();
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            // Only one bit is left for the tenth byte.
            require(shift < 63 || byte <= 1, at, YjsFault::IntegerOverflow)?;
            require(shift == 0 || byte != 0, at, YjsFault::OverlongInteger)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        fault(at, YjsFault::IntegerOverflow)
    }

    fn byte(&mut self) -> Result<u8, YjsError> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return fault(self.offset(), YjsFault::UnexpectedEnd);
        };
        self.rest = rest;
        Ok(*byte)
    }
}

/// The clock after a run of `len` units, which may not be empty.
fn end_of(clock: u32, len: u32, at: usize) -> Result<u32, YjsError> {
    require(len > 0, at, YjsFault::ZeroLength)?;
    let end = clock.checked_add(len).filter(|end| *end <= CLOCK_LIMIT);
    end.map_or_else(|| fault(at, YjsFault::ClockOverflow), Ok)
}

fn require(holds: bool, offset: usize, reason: YjsFault) -> Result<(), YjsError> {
    if holds { Ok(()) } else { fault(offset, reason) }
}

fn fault<T>(offset: usize, reason: YjsFault) -> Result<T, YjsError> {
    Err(YjsError { offset, reason })
}

/// Finds a surrogate pair of `items` of which a range or an origin takes one half only, and names
/// its second half.
fn cut_pair(items: &[YItem], deletes: &[YRange]) -> Option<YId> {
    let texts = || {
        items.iter().filter_map(|item| match &item.content {
            YContent::Text(text) => Some((item.id, text)),
            YContent::Tombstone(_) => None,
        })
    };
    // Nearly all text has no pair, which four bytes of UTF-8 stand for, and is done here.
    if !texts().any(|(_, text)| text.bytes().any(|byte| byte >= 0xf0)) {
        return None;
    }
    // A cut is named by the unit to its right.
    let after = |id: YId, len| YId { clock: id.clock.saturating_add(len), ..id };
    let lefts = items.iter().filter_map(|item| item.left).map(|id| after(id, 1));
    let rights = items.iter().filter_map(|item| item.right);
    let ranges = deletes.iter().flat_map(|range| [range.id, after(range.id, range.len)]);
    let mut cuts: Vec<YId> = lefts.chain(rights).chain(ranges).collect();
    cuts.sort_unstable();
    for (mut id, text) in texts() {
        for char in text.chars() {
            let next = after(id, 1);
            let is_pair = char.len_utf16() == 2;
            if is_pair && cuts.binary_search(&next).is_ok() {
                return Some(next);
            }
            id = if is_pair { after(next, 1) } else { next };
        }
    }
    None
}

/// Why bytes are not an update of a plain text editor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YjsError {
    /// Where in the update the refused part starts.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: YjsFault,
}

impl fmt::Display for YjsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad Yjs update at byte {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for YjsError {}

/// What is wrong with an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum YjsFault {
    /// The update has this many bytes, more than [`MAX_UPDATE_BYTES`].
    UpdateTooLong(usize),
    /// The bytes end too early.
    UnexpectedEnd,
    /// Bytes follow the delete set.
    TrailingBytes,
    /// An integer is not written in the fewest bytes possible.
    OverlongInteger,
    /// An integer is too large for its place.
    IntegerOverflow,
    /// This count or length is more than the bytes that follow can hold.
    CountExceedsInput(u64),
    /// There are more items than [`MAX_ITEMS`].
    TooManyItems,
    /// There are more delete ranges than [`MAX_DELETES`].
    TooManyDeletes,
    /// This client id is 2^53 or more.
    ClientOutOfRange(u64),
    /// This client comes twice, or its items are not in descending order of clients.
    ClientOrder(u64),
    /// A client is listed with no items or no ranges.
    EmptySection,
    /// An item or a delete range has no units.
    ZeroLength,
    /// A clock runs past 2³¹.
    ClockOverflow,
    /// A *GC* struct, which only a compacted document has.
    GarbageCollected,
    /// A *Skip* struct, which only an update with holes has.
    Skip,
    /// Content of this kind is neither text nor deleted text.
    UnsupportedContent(u8),
    /// The item is the value of a map key.
    ParentSub,
    /// The item lies in a nested type.
    NestedParent,
    /// Parents of this kind do not exist.
    UnknownParent(u64),
    /// An item has its own or a later unit of its client as origin.
    OriginAhead,
    /// A string is not UTF-8. A lone surrogate is not either.
    InvalidUtf8,
    /// A delete range overlaps, touches or precedes the one before it.
    DeleteOrder,
    /// A delete range or origin parts this unit of the update from the first half of its pair.
    CutSurrogatePair(YId),
}

impl fmt::Display for YjsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpdateTooLong(bytes) => return write!(f, "{bytes} bytes are too many"),
            Self::UnexpectedEnd => "the bytes end too early",
            Self::TrailingBytes => "bytes follow after the end",
            Self::OverlongInteger => "an integer is not in its shortest form",
            Self::IntegerOverflow => "an integer is too large for its place",
            Self::CountExceedsInput(n) => return write!(f, "a count of {n} exceeds the input"),
            Self::TooManyItems => "too many items",
            Self::TooManyDeletes => "too many delete ranges",
            Self::ClientOutOfRange(id) => return write!(f, "client {id} is not below 2^53"),
            Self::ClientOrder(id) => return write!(f, "client {id} is repeated or out of order"),
            Self::EmptySection => "a client is listed with nothing",
            Self::ZeroLength => "an item or a delete range is empty",
            Self::ClockOverflow => "a clock runs past 2^31",
            Self::GarbageCollected => "an item was garbage collected",
            Self::Skip => "items are skipped",
            Self::UnsupportedContent(2 | 8) => "a value of a map or list is not plain text",
            Self::UnsupportedContent(3 | 5) => "an embedded object is not plain text",
            Self::UnsupportedContent(6) => "formatting is not plain text",
            Self::UnsupportedContent(7 | 9) => "a nested type is not plain text",
            Self::UnsupportedContent(n) => return write!(f, "content kind {n} is not plain text"),
            Self::ParentSub => "an item is the value of a map key",
            Self::NestedParent => "an item lies in a nested type",
            Self::UnknownParent(n) => return write!(f, "parent kind {n} does not exist"),
            Self::OriginAhead => "an origin is not older than its item",
            Self::InvalidUtf8 => "a string is not UTF-8",
            Self::DeleteOrder => "a delete range overlaps, touches or precedes the one before",
            Self::CutSurrogatePair(id) => {
                return write!(f, "the pair that ends with {}:{} is cut", id.client, id.clock);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use yrs::block::ClientID;
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, OffsetKind, Options, ReadTxn, Text, Transact, TransactionMut, Update, WriteTxn};

    fn id(client: u64, clock: u32) -> YId {
        YId { client, clock }
    }

    fn range(client: u64, clock: u32, len: u32) -> YRange {
        let id = id(client, clock);
        YRange { id, len }
    }

    fn first(of: YId, field: &str, text: &str) -> YItem {
        let content = YContent::Text(text.into());
        YItem { id: of, left: None, right: None, field: Some(field.into()), content }
    }

    fn between(of: YId, left: Option<YId>, right: Option<YId>, text: &str) -> YItem {
        let content = YContent::Text(text.into());
        YItem { id: of, left, right, field: None, content }
    }

    fn update(items: Vec<YItem>, deletes: Vec<YRange>) -> YUpdate {
        YUpdate { items, deletes }
    }

    fn doc(client: u64, skip_gc: bool) -> Doc {
        let options =
            Options { client_id: ClientID::new(client), offset_kind: OffsetKind::Utf16, skip_gc, ..Options::default() };
        Doc::with_options(options)
    }

    fn apply(doc: &Doc, bytes: &[u8]) {
        let mut txn = doc.transact_mut();
        txn.apply_update(Update::decode_v1(bytes).unwrap()).unwrap();
    }

    fn text(doc: &Doc, field: &str) -> String {
        doc.get_or_insert_text(field).get_string(&doc.transact())
    }

    /// SplitMix64, so that a failing seed is enough to see a failure again.
    struct Rng(u64);

    impl Rng {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % n as u64) as usize
        }
    }

    const FIELDS: [&str; 3] = ["title", "body", "wörk"];

    /// A few insertions, deletions and replacements, also through the middle of surrogate pairs.
    fn edit(txn: &mut TransactionMut<'_>, rng: &mut Rng) {
        const WORDS: [&str; 7] = ["a", "bc", "def ghi", "ä", "😀", "x😀y𝒳", "\u{fffd}"];
        for _ in 0..=rng.below(4) {
            let field = FIELDS[rng.below(FIELDS.len())];
            let text = txn.get_or_insert_text(field);
            let len = text.len(txn);
            let at = rng.below(len as usize + 1) as u32;
            let rest = len - at;
            let kind = rng.below(3);
            if kind > 0 && rest > 0 {
                text.remove_range(txn, at, 1 + rng.below(rest.min(6) as usize) as u32);
            }
            if kind < 2 {
                // Typing: each character its own insertion, as an editor sends keystrokes.
                let mut at = at;
                for char in WORDS[rng.below(WORDS.len())].chars() {
                    text.insert(txn, at, &char.to_string());
                    at += char.len_utf16() as u32;
                }
                if rng.below(4) == 0 {
                    text.remove_range(txn, at - 1, 1);
                }
            } else {
                text.insert(txn, at, WORDS[rng.below(WORDS.len())]);
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let update = update(vec![between(id(300, 5), Some(id(7, 2)), None, "hé")], vec![range(7, 130, 2)]);
        let bytes = [
            1, 1, 0xac, 2, 5, 0x84, 7, 2, 3, b'h', 0xc3, 0xa9, // one section
            1, 7, 1, 0x82, 1, 2, // one range
        ];
        assert_eq!(update.encode(), bytes);
        assert_eq!(YUpdate::decode(&bytes), Ok(update));
        assert_eq!(YUpdate::default().encode(), Update::EMPTY_V1);
        assert_eq!(YUpdate::decode(Update::EMPTY_V1), Ok(YUpdate::default()));
    }

    /// Written by Yjs 13.6.33: client 9 deletes all of "a😀b", types "xy" and takes "y" back.
    #[test]
    fn reads_what_javascript_writes() {
        let bytes = [
            1, 2, 9, 0, 0x84, 1, 1, 1, b'x', 0x81, 9, 0, 1, // two structs
            3, 9, 1, 1, 1, 5, 1, 0, 2, 1, 1, 0, 2, // clients descending
        ];
        let gone = YItem { content: YContent::Tombstone(1), ..between(id(9, 1), Some(id(9, 0)), None, "") };
        let expected = update(
            vec![between(id(9, 0), Some(id(1, 1)), None, "x"), gone],
            vec![range(1, 0, 2), range(5, 0, 2), range(9, 1, 1)],
        );
        assert_eq!(YUpdate::decode(&bytes), Ok(expected.clone()));
        assert_eq!(YUpdate::decode(&expected.encode()), Ok(expected));
    }

    #[test]
    fn yrs_applies_what_we_encode() {
        let doc = doc(99, false);
        // Items and ranges deliberately out of order.
        let written = update(
            vec![
                between(id(3, 6), Some(id(3, 2)), Some(id(3, 3)), "-"),
                first(id(3, 0), "t", "ab😀cd"),
                first(id(8, 0), "u", "other"),
            ],
            vec![range(8, 3, 2), range(3, 0, 1), range(8, 2, 1), range(8, 0, 0)],
        );
        apply(&doc, &written.encode());
        // 3:2 and 3:3 are the two halves, which the origins of 3:6 part.
        assert_eq!(text(&doc, "t"), "b\u{fffd}-\u{fffd}cd");
        assert_eq!(text(&doc, "u"), "ot");
        let one = update(vec![between(id(8, 5), Some(id(8, 1)), Some(id(8, 2)), "to")], vec![]);
        apply(&doc, &one.encode());
        assert_eq!(text(&doc, "u"), "otto");
        assert!(!doc.transact().has_missing_updates());
    }

    #[test]
    fn gaps_become_skips_and_overlaps_a_second_section() {
        let gap = update(vec![first(id(3, 0), "t", "ab"), first(id(3, 5), "t", "c")], vec![]);
        let bytes = gap.encode();
        let read = Update::decode_v1(&bytes).unwrap().insertions(true);
        let ranges: Vec<_> = read.get(&ClientID::new(3)).unwrap().ranges().cloned().collect();
        assert_eq!(ranges, [0..2, 5..6]);
        assert_eq!(YUpdate::decode(&bytes).unwrap_err().reason, YjsFault::Skip);

        let overlap = update(vec![first(id(3, 0), "t", "ab"), first(id(3, 1), "t", "c")], vec![]);
        let error = YUpdate::decode(&overlap.encode()).unwrap_err();
        assert_eq!(error.reason, YjsFault::ClientOrder(3));
    }

    /// Every transaction of three editors that exchange updates, encoded before the commit (each
    /// insertion its own item) and after it (joined; deleted text only a tombstone).
    #[test]
    fn reads_and_rewrites_yrs_transactions() {
        let (mut tombstones, mut joined, mut several, mut deletes) = (0, 0, 0, 0);
        for seed in 0..150 {
            let mut rng = Rng(seed);
            let skip_gc = seed % 2 == 0;
            let clients = [3 + seed, (1 << 53) - 1 - seed, 1 << 31 | seed];
            let docs = clients.map(|client| doc(client, skip_gc));
            let mirror = doc(1, skip_gc);
            let before_commit = doc(2, skip_gc);
            let mut inbox: [Vec<Vec<u8>>; 3] = Default::default();
            for _ in 0..40 {
                let at = rng.below(3);
                let mut txn = docs[at].transact_mut();
                edit(&mut txn, &mut rng);
                let early = txn.encode_update_v1();
                txn.commit();
                let late = txn.encode_update_v1();
                drop(txn);

                let early_read = YUpdate::decode(&early).unwrap();
                let late_read = YUpdate::decode(&late).unwrap();
                assert_eq!(early_read.encode(), early);
                assert_eq!(late_read.encode(), late);
                let is_tombstone = |i: &&YItem| matches!(i.content, YContent::Tombstone(_));
                tombstones += late_read.items.iter().filter(is_tombstone).count();
                joined += usize::from(late_read.items.len() < early_read.items.len());
                several += usize::from(early_read.items.len() > 1);
                deletes += early_read.deletes.len();

                apply(&before_commit, &early_read.encode());
                apply(&mirror, &late_read.encode());
                for (other, inbox) in inbox.iter_mut().enumerate() {
                    if other != at {
                        inbox.push(late_read.encode());
                    }
                }
                let at = rng.below(3);
                if rng.below(2) == 0 {
                    inbox[at].drain(..).for_each(|bytes| apply(&docs[at], &bytes));
                }
            }
            for (doc, inbox) in docs.iter().zip(&inbox) {
                inbox.iter().for_each(|bytes| apply(doc, bytes));
            }
            for field in FIELDS {
                let expected = text(&docs[0], field);
                for doc in [&docs[1], &docs[2], &mirror, &before_commit] {
                    assert_eq!(text(doc, field), expected, "seed {seed}");
                    assert!(!doc.transact().has_missing_updates());
                }
            }
        }
        // The run is worth nothing if it misses one of the shapes.
        let seen = [tombstones, joined, several, deletes];
        assert!(seen.iter().all(|n| *n > 500), "{seen:?}");
    }

    fn reason(bytes: &[u8]) -> (usize, YjsFault) {
        let error = YUpdate::decode(bytes).unwrap_err();
        (error.offset, error.reason)
    }

    #[test]
    fn refuses_what_no_text_editor_writes() {
        use YjsFault::*;
        // A section of client 7 with one struct at clock 1 and an empty delete set.
        let one = |parts: &[u8]| [&[1, 1, 7, 1], parts, &[0]].concat();
        assert!(YUpdate::decode(&one(&[0x84, 7, 0, 1, b'a'])).is_ok());
        assert!(YUpdate::decode(&one(&[4, 1, 1, b't', 1, b'a'])).is_ok());
        let structs: &[(&[u8], usize, YjsFault)] = &[
            (&[0, 3, 0, 0, 0], 4, GarbageCollected),
            (&[0x80, 7, 0, 3, 0], 4, GarbageCollected),
            (&[10, 3, 0, 0], 4, Skip),
            (&[0x83, 7, 0, 1, 0], 4, UnsupportedContent(3)),
            (&[0x86, 7, 0, 1, 0], 4, UnsupportedContent(6)),
            (&[0x87, 7, 0, 1, 0], 4, UnsupportedContent(7)),
            (&[0x94, 7, 0, 1, b'a'], 4, UnsupportedContent(20)),
            (&[0x24, 1, 1, b't', 1, b'k', 1, b'a'], 4, ParentSub),
            (&[0xa4, 7, 0, 1, b'a'], 4, ParentSub),
            (&[4, 0, 7, 0, 1, b'a'], 5, NestedParent),
            (&[4, 2, 1, b't', 1, b'a'], 5, UnknownParent(2)),
            (&[4, 1, 1, 0xff, 1, b'a'], 7, InvalidUtf8),
            (&[0x84, 7, 0, 0], 7, ZeroLength),
            (&[0x81, 7, 0, 0], 7, ZeroLength),
            (&[0x84, 7, 0, 2, b'a', 0xff], 9, InvalidUtf8),
            (&[0x84, 7, 0, 3, 0xed, 0xa0, 0x80], 8, InvalidUtf8),
            (&[0x84, 7, 0, 9, b'a'], 7, CountExceedsInput(9)),
            (&[0x84, 7, 1, 1, b'a'], 5, OriginAhead),
            (&[0x44, 7, 2, 1, b'a'], 5, OriginAhead),
            (&[0x81, 9, 0xff, 0xff, 0xff, 0xff, 15, 1], 5, ClockOverflow),
            (&[0x81, 7, 0, 0xff, 0xff, 0xff, 0xff, 15], 7, ClockOverflow),
            (&[0x81, 7, 0, 0xff, 0xff, 0xff, 0xff, 31], 7, IntegerOverflow),
            (&[0x81, 7, 0x80, 0, 1], 6, OverlongInteger),
        ];
        for (parts, offset, fault) in structs {
            let bytes = one(parts);
            assert_eq!(reason(&bytes), (*offset, *fault), "{parts:?}");
        }

        let client_max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15];
        let client_over = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 16];
        let by = |client: &[u8]| [&[1, 1], client, &[0, 4, 1, 0, 1, b'a', 0]].concat();
        assert!(YUpdate::decode(&by(&client_max)).is_ok());
        assert_eq!(reason(&by(&client_over)), (2, ClientOutOfRange(1 << 53)));
        assert_eq!(reason(&by(&[0x80, 0])), (2, OverlongInteger));
        let ten = |last| [&[0xff; 9], &[last][..]].concat();
        assert_eq!(reason(&by(&ten(1))), (2, ClientOutOfRange(u64::MAX)));
        assert_eq!(reason(&by(&ten(2))), (2, IntegerOverflow));
        assert_eq!(reason(&by(&ten(0x81))), (2, IntegerOverflow));
        assert_eq!(reason(&by(&ten(0))), (2, OverlongInteger));

        let two = |a, b| [2, 1, a, 0, 4, 1, 0, 1, b'a', 1, b, 0, 4, 1, 0, 1, b'a', 0];
        assert!(YUpdate::decode(&two(8, 7)).is_ok());
        assert_eq!(reason(&two(7, 8)), (10, ClientOrder(8)));
        assert_eq!(reason(&two(7, 7)), (10, ClientOrder(7)));

        assert_eq!(reason(&[]), (0, UnexpectedEnd));
        assert_eq!(reason(&[0]), (1, UnexpectedEnd));
        let open = [1, 1, 7, 1, 0x81, 9, 0x80, 0x80];
        assert_eq!(reason(&open), (8, UnexpectedEnd));
        assert_eq!(reason(&[0, 0, 0]), (2, TrailingBytes));
        assert_eq!(reason(&[1, 0, 7, 0, 0, 0, 0, 0]), (1, EmptySection));
        assert_eq!(reason(&[2, 1, 7, 0, 4, 1, 0, 1, b'a', 0]), (0, CountExceedsInput(2)));
        assert_eq!(reason(&[1, 3, 7, 0, 4, 1, 0, 1, b'a', 0]), (1, CountExceedsInput(3)));

        // Found by fuzzing: Yrs subtracted this clock with an overflow.
        let far =
            [2, 1, 9, 1, 1, 1, 1, 8, 0x84, 1, 1, 1, 0xfe, 0xff, 0xff, 0xff, 8, 0x84, 9, 2, 1, 9, 1, 1, 1, 1, b'x'];
        assert!(YUpdate::decode(&far).is_err());
        assert_eq!(reason(&one(&[0x81, 9, 0x80, 0x80, 0x80, 0x80, 8, 1])), (5, ClockOverflow));

        let mut wrap = one(&[0x81, 9, 0, 1]);
        wrap.splice(3..4, [0xff, 0xff, 0xff, 0xff, 15]);
        assert_eq!(reason(&wrap), (11, ClockOverflow));
    }

    #[test]
    fn refuses_bad_delete_sets() {
        use YjsFault::*;
        let max = [0xff, 0xff, 0xff, 0xff, 15];
        let sets: &[(&[u8], usize, YjsFault)] = &[
            (&[1, 7, 0, 0, 0], 3, EmptySection),
            (&[1, 7, 1, 4, 0], 4, ZeroLength),
            (&[1, 7, 2, 4, 2, 5, 1], 6, DeleteOrder),
            (&[1, 7, 2, 4, 2, 6, 1], 6, DeleteOrder),
            (&[1, 7, 2, 4, 2, 0, 1], 6, DeleteOrder),
            (&[2, 7, 1, 4, 2, 7, 1, 9, 1], 6, ClientOrder(7)),
            (&[2, 7, 1, 4, 2], 1, CountExceedsInput(2)),
            (&[1, 7, 2, 4, 2], 3, CountExceedsInput(2)),
            (&[1, 7, 1, max[0], max[1], max[2], max[3], max[4], 1], 4, ClockOverflow),
        ];
        for (set, offset, fault) in sets {
            assert_eq!(reason(&[&[0], *set].concat()), (*offset, *fault), "{set:?}");
        }
        // Clients may stand in any order.
        let read = YUpdate::decode(&[0, 3, 7, 1, 4, 2, 9, 1, 0, 1, 8, 2, 1, 1, 3, 1]).unwrap();
        let ranges = [range(7, 4, 2), range(8, 1, 1), range(8, 3, 1), range(9, 0, 1)];
        assert_eq!(read.deletes, ranges);
    }

    #[test]
    fn refuses_more_than_the_limits() {
        use YjsFault::*;
        let long = vec![0; MAX_UPDATE_BYTES + 1];
        assert_eq!(reason(&long).1, UpdateTooLong(MAX_UPDATE_BYTES + 1));

        let tombstones = |count: usize| {
            let item = |n| YItem { content: YContent::Tombstone(1), ..between(id(9, n), Some(id(2, 0)), None, "") };
            update((0..count as u32).map(item).collect(), vec![]).encode()
        };
        assert!(YUpdate::decode(&tombstones(MAX_ITEMS)).is_ok());
        assert_eq!(reason(&tombstones(MAX_ITEMS + 1)).1, TooManyItems);

        let ranges = |count: usize, client: &dyn Fn(u32) -> u64| {
            let range = |n: u32| range(client(n), 2 * n, 1);
            update(vec![], (0..count as u32).map(range).collect()).encode()
        };
        assert!(YUpdate::decode(&ranges(MAX_DELETES, &|_| 9)).is_ok());
        assert_eq!(reason(&ranges(MAX_DELETES + 1, &|_| 9)).1, TooManyDeletes);
        // The limit holds for the sum over all clients.
        assert_eq!(reason(&ranges(MAX_DELETES + 1, &|n| u64::from(n % 2))).1, TooManyDeletes);

        // A huge count is refused before memory is taken for it.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15];
        for prefix in [&[][..], &[1], &[0], &[0, 1, 7]] {
            let bytes = [prefix, &huge, &[0; 8]].concat();
            let (offset, fault) = reason(&bytes);
            assert_eq!((offset, fault), (prefix.len(), CountExceedsInput((1 << 53) - 1)));
        }
    }

    #[test]
    fn refuses_cut_surrogate_pairs() {
        let pair = first(id(7, 10), "t", "ä😀b");
        let fate = |items: Vec<YItem>, deletes| {
            YUpdate::decode(&update([vec![pair.clone()], items].concat(), deletes).encode())
                .map_or_else(|error| Some(error.reason), |_| None)
        };
        let cut = Some(YjsFault::CutSurrogatePair(id(7, 12)));
        assert_eq!(fate(vec![], vec![range(7, 12, 5)]), cut);
        assert_eq!(fate(vec![], vec![range(7, 11, 1)]), cut);
        assert_eq!(fate(vec![], vec![range(7, 11, 2)]), None);
        assert_eq!(fate(vec![], vec![range(7, 5, 6), range(7, 13, 1)]), None);
        assert_eq!(fate(vec![], vec![range(6, 12, 1)]), None);
        let left = |clock| vec![between(id(7, 14), Some(id(7, clock)), None, "x")];
        assert_eq!(fate(left(11), vec![]), cut);
        assert_eq!(fate(left(12), vec![]), None);
        let right = |clock| vec![between(id(9, 0), None, Some(id(7, clock)), "x")];
        assert_eq!(fate(right(12), vec![]), cut);
        assert_eq!(fate(right(11), vec![]), None);
    }

    /// Bytes we accept must mean the same to yrs.
    fn yrs_agrees(bytes: &[u8], read: &YUpdate) {
        let theirs = Update::decode_v1(bytes).unwrap();
        let units =
            |ranges: Vec<(u64, u32, u32)>| -> u64 { ranges.iter().map(|(_, start, end)| u64::from(end - start)).sum() };
        let flat = |set: &yrs::IdSet| -> Vec<(u64, u32, u32)> {
            let mut flat = Vec::new();
            for (client, ranges) in set.iter() {
                flat.extend(ranges.iter().map(|r| (client.get(), r.start, r.end)));
            }
            flat
        };
        let deletes: Vec<_> = read.deletes.iter().map(|r| (r.id.client, r.id.clock, r.end())).collect();
        assert_eq!(flat(theirs.delete_set()), deletes);
        let inserted: u64 = read.items.iter().map(|i| u64::from(i.content.units())).sum();
        let insertions = flat(&theirs.insertions(true));
        for item in &read.items {
            let within = |r: &(u64, u32, u32)| r.0 == item.id.client && r.1 <= item.id.clock && item.end() <= r.2;
            assert!(insertions.iter().any(within));
        }
        assert_eq!(units(insertions), inserted);
    }

    fn accepted(bytes: &[u8]) -> bool {
        let Ok(read) = YUpdate::decode(bytes) else {
            return false;
        };
        yrs_agrees(bytes, &read);
        assert_eq!(YUpdate::decode(&read.encode()), Ok(read));
        true
    }

    #[test]
    fn mutations_are_refused_or_mean_the_same_to_yrs() {
        let mut rng = Rng(7);
        let editor = doc(1 << 40 | 77, false);
        let mut corpus: Vec<Vec<u8>> = Vec::new();
        for _ in 0..200 {
            let mut txn = editor.transact_mut();
            edit(&mut txn, &mut rng);
            corpus.push(txn.encode_update_v1());
            txn.commit();
            corpus.push(txn.encode_update_v1());
        }
        let mut yes = 0;
        for _ in 0..60_000 {
            let mut bytes = corpus[rng.below(corpus.len())].clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len().max(1));
                match rng.below(5) {
                    _ if bytes.is_empty() => {}
                    0 => bytes[at] = rng.below(256) as u8,
                    1 => bytes[at] ^= 1 << rng.below(8),
                    2 => bytes.insert(at, rng.below(256) as u8),
                    3 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
            }
            yes += usize::from(accepted(&bytes));
        }
        assert!(yes > 1000, "{yes} mutated updates were read");
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z]{1,3}", "[aä€😀𝒳\u{fffd}]{1,5}", "\\PC{1,12}"]
    }

    type Draft = (Option<(u64, u32)>, Option<(u64, u32)>, Option<String>, u32);

    /// Items of one client, contiguous, with origins outside of the update or at an item's edge.
    fn place(client: u64, start: u32, drafts: Vec<Draft>) -> Vec<YItem> {
        let mut items: Vec<YItem> = Vec::new();
        let mut clock = start;
        for (left, right, text, dead) in drafts {
            // Small foreign clients here, writers start higher: no origin can cut a pair.
            let outside = |o: (u64, u32)| id(o.0 % 5, o.1 % (CLOCK_LIMIT - 1));
            let own = items.last().map(|item: &YItem| id(client, item.end() - 1));
            let left = left.map(|o| if o.0 % 2 == 0 { own.unwrap_or(outside(o)) } else { outside(o) });
            let right = right.map(outside);
            let field = (left, right) == (None, None);
            let content = text.map_or(YContent::Tombstone(dead), YContent::Text);
            let field = field.then(|| "näme".into());
            let item = YItem { id: id(client, clock), left, right, field, content };
            clock = item.end();
            items.push(item);
        }
        items
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(
            clients in proptest::collection::btree_map(
                5..CLIENT_LIMIT,
                (
                    0..CLOCK_LIMIT - 100_000,
                    proptest::collection::vec(
                        (
                            proptest::option::of(any::<(u64, u32)>()),
                            proptest::option::of(any::<(u64, u32)>()),
                            proptest::option::of(any_text()),
                            1..1000u32,
                        ),
                        1..6,
                    ),
                ),
                0..4,
            ),
            deletes in proptest::collection::vec((0..5u64, 0..60u32, 0..9u32), 0..20),
            swaps in proptest::collection::vec(any::<(Index, Index)>(), 0..9),
        ) {
            let mut items: Vec<YItem> = Vec::new();
            for (client, (start, drafts)) in clients.into_iter().rev() {
                items.extend(place(client, start, drafts));
            }
            let sorted = items.clone();
            if !items.is_empty() {
                for (a, b) in swaps {
                    items.swap(a.index(sorted.len()), b.index(sorted.len()));
                }
            }
            let deletes: Vec<YRange> = deletes.iter().map(|&(c, k, n)| range(c, k, n)).collect();
            let bytes = update(items, deletes.clone()).encode();
            let read = YUpdate::decode(&bytes).unwrap();
            prop_assert_eq!(&read.items, &sorted);
            let units = |ranges: &[YRange]| -> BTreeSet<YId> {
                ranges.iter().flat_map(|r| (r.id.clock..r.end()).map(|k| id(r.id.client, k))).collect()
            };
            prop_assert_eq!(units(&read.deletes), units(&deletes));
            prop_assert_eq!(read.encode(), &bytes[..]);
            yrs_agrees(&bytes, &read);
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(0..20u8, 0..60)) {
            accepted(&bytes);
        }
    }
}
