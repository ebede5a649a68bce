//! Bundles: a file of pages, how a partition's records travel on a USB stick.
//!
//! A bundle stands alone: its first page refers to nothing, each later page only to those before. It is never
//! compressed and carries no signature but those of the change sets, so an independent reader needs only CBOR, blake3
//! and ed25519. The running hash at its end shows a damaged file; who wrote what is proven by the change sets alone.

use crate::cbor::{Reader, Writer};
use crate::entry::Verified;
use crate::error::{Fault, PageError};
use crate::hash::RunningHash;
use crate::id::{ChangeSetId, LogIncarnation, Partition, WorkspaceId};
use crate::limits::{MAX_BUNDLE_PAGES, MAX_BUNDLES, MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_PARTITION_BYTES};
use crate::log::MemoryLog;
use crate::page::{decode_page, encode_page, repeat};
use std::collections::HashSet;

/// The first bytes of every bundle.
pub const BUNDLE_MAGIC: &[u8; 8] = b"FBBUNDL1";

/// What the bytes behind the magic ones are called in errors.
const AFTER_MAGIC: &str = "bundle, after its first 8 bytes";

/// Where a cut is sought: well below the limits, so that runs that are open there can still be closed.
const AIM_ENTRIES: usize = MAX_PAGE_ENTRIES / 2;
const AIM_BYTES: usize = MAX_PAGE_BYTES / 4;
/// The most bytes that an entry adds to a page beside its body and parents, its part of the tables included: references
/// and numbers 80, signature 66, actor 42, document 51, grant 34.
const ENTRY_BYTES: usize = 280;

/// A bundle whose every change set was verified.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The partition.
    pub partition: Partition,
    /// The incarnation of the log that it was written from.
    pub log: LogIncarnation,
    /// The change sets in log order; each stands after its previous one.
    pub entries: Vec<Verified>,
}

impl Bundle {
    /// The bundle's bytes.
    ///
    /// # Errors
    /// [`PageError`]: an entry's run has no signature yet, an entry stands before its previous, or a run is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PageError> {
        let mut running = RunningHash::start(&self.workspace, &self.partition, &self.log);
        let mut log = MemoryLog::new();
        let mut pages = Vec::new();
        for page in cut_pages(&self.entries) {
            if let Some(stranger) = page.iter().find(|entry| {
                *entry.actor().workspace() != self.workspace || *entry.actor().partition() != self.partition
            }) {
                return Err(PageError::WrongPartition { id: stranger.id() });
            }
            pages.push(encode_page(page, &log)?);
            for (number, entry) in page.iter().enumerate() {
                running = running.then(&entry.id());
                if !log.push(entry.clone()) {
                    return Err(PageError::Entry { entry: number, error: repeat() });
                }
            }
        }
        let mut out = Writer::with_capacity(pages.iter().map(Vec::len).sum::<usize>() + 200);
        out.raw(BUNDLE_MAGIC);
        out.array(5);
        out.bytes(self.workspace.as_bytes());
        out.text(self.partition.as_str());
        out.bytes(self.log.as_bytes());
        out.array(pages.len());
        pages.iter().for_each(|page| out.bytes(page));
        out.bytes(running.as_bytes());
        Ok(out.into_bytes())
    }

    /// Reads and verifies a bundle; `progress` hears the number of change sets verified so far after each page.
    ///
    /// # Errors
    /// [`PageError`] that names the page and entry; nothing is taken from a bundle that does not hold as a whole.
    pub fn from_bytes(bytes: &[u8], progress: impl FnMut(usize)) -> Result<Self, PageError> {
        let (bundle, rest) = Self::read(bytes, progress)?;
        if rest.is_empty() {
            return Ok(bundle);
        }
        let own = bytes.get(BUNDLE_MAGIC.len()..).unwrap_or_default();
        let end = own.len() - rest.len();
        Err(Reader::new(own, AFTER_MAGIC).fault_at(end, Fault::TrailingBytes).into())
    }

    /// Reads and verifies a file of bundles, one directly behind the other: the authority's before that of the partition
    /// that it judges. At least one, at most [`MAX_BUNDLES`]. `progress` hears the number of change sets verified so far
    /// in all.
    ///
    /// # Errors
    /// [`PageError`] that names the bundle, page and entry; nothing is taken from a file that does not hold as a whole.
    pub fn read_all(bytes: &[u8], mut progress: impl FnMut(usize)) -> Result<Vec<Self>, PageError> {
        let (mut bundles, mut rest, mut before) = (Vec::<Self>::new(), bytes, 0);
        while bundles.is_empty() || !rest.is_empty() {
            let number = bundles.len();
            let in_file = |error| match number {
                0 => error,
                _ => PageError::InBundle { bundle: number, error: Box::new(error) },
            };
            if number >= MAX_BUNDLES {
                let end = bytes.len() - rest.len();
                return Err(Reader::new(bytes, "file of bundles").fault_at(end, Fault::TrailingBytes).into());
            }
            let (bundle, behind) = Self::read(rest, |verified| progress(before + verified)).map_err(in_file)?;
            before += bundle.entries.len();
            bundles.push(bundle);
            rest = behind;
        }
        Ok(bundles)
    }

    /// A bundle, and what lies behind it.
    fn read(bytes: &[u8], mut progress: impl FnMut(usize)) -> Result<(Self, &[u8]), PageError> {
        let mut reader = Reader::new(bytes, "bundle");
        let Some(rest) = bytes.strip_prefix(BUNDLE_MAGIC) else {
            return Err(reader.fault(Fault::Expected("the bundle's first bytes, FBBUNDL1")).into());
        };
        reader = Reader::new(rest, AFTER_MAGIC);
        reader.array_of(5)?;
        let workspace = WorkspaceId::from_bytes(reader.fixed()?);
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let incarnation = LogIncarnation::from_bytes(reader.fixed()?);
        let mut running = RunningHash::start(&workspace, &partition, &incarnation);
        let mut log = MemoryLog::new();
        for page in 0..reader.array(MAX_BUNDLE_PAGES)? {
            let bytes = reader.bytes(MAX_PAGE_BYTES)?;
            let in_page = |error| PageError::InPage { page, error: Box::new(error) };
            let unverified = decode_page(bytes, &workspace, &partition, &log).map_err(in_page)?;
            for (number, entry) in unverified.verify().map_err(|error| in_page(error.into()))?.into_iter().enumerate() {
                running = running.then(&entry.id());
                if !log.push(entry) {
                    return Err(in_page(PageError::Entry { entry: number, error: repeat() }));
                }
            }
            progress(log.entries().len());
        }
        let at = reader.position();
        if RunningHash::from_bytes(reader.fixed()?) != running {
            return Err(reader.fault_at(at, Fault::Mismatch("the running hash")).into());
        }
        let behind = rest.get(reader.position()..).unwrap_or_default();
        Ok((Self { workspace, partition, log: incarnation, entries: log.entries().to_vec() }, behind))
    }
}

/// Cuts entries into pages, only ever where no run is open: where enough is in the page, or at the last such place before
/// it would be too large. Runs that are longer than a page cannot be cut; writing that page says so.
pub fn cut_pages(entries: &[Verified]) -> Vec<&[Verified]> {
    let mut pages = Vec::new();
    let mut open: HashSet<ChangeSetId> = HashSet::new();
    // Bytes of the page so far, and those of it that stand before the last place where no run was open.
    let (mut start, mut bytes) = (0, 0);
    let (mut closed, mut closed_bytes) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let header = entry.header();
        if let Some(previous) = &header.previous {
            open.remove(previous);
        }
        if entry.signature().is_none() {
            open.insert(entry.id());
        }
        // What the body takes: the header's length is the author's word, and that of the body before a purge.
        bytes += entry.body().to_bytes().len() + ENTRY_BYTES + 34 * header.parents.len();
        let end = index + 1;
        if closed > start && (end - start > MAX_PAGE_ENTRIES || bytes > MAX_PAGE_BYTES) {
            pages.extend(entries.get(start..closed));
            (start, bytes) = (closed, bytes - closed_bytes);
        }
        if open.is_empty() {
            (closed, closed_bytes) = (end, bytes);
            if end - start >= AIM_ENTRIES || bytes >= AIM_BYTES {
                pages.extend(entries.get(start..end));
                (start, bytes) = (end, 0);
            }
        }
    }
    pages.extend(entries.get(start..).filter(|rest| !rest.is_empty()));
    pages
}
