//! Bundles on disk: read whole and verified, written whole or not at all.

use crate::Context;
use crate::output::Progress;
use crate::workspace::{choose, open_book, store_file};
use anyhow::{Context as _, bail};
use changeset::{Bundle, Partition as PartitionName, Verified};
use crdt::Partition;
use fieldbook::access::{Authority, Claim, KIND_ACCESS, PARTITION_AUTHORITY};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// The bundle of a folder of the first part.
const RECORDS: &str = "records.fieldbook";

/// Reads a file of bundles, or exports the store of a workspace folder. Gives its size in bytes too.
pub(crate) fn read(context: &Context, path: &Path) -> anyhow::Result<(Vec<Bundle>, usize)> {
    if path.is_dir() && !path.join(RECORDS).exists() {
        let book = open_book(context, path)?;
        let bytes = match context.partitions.as_slice() {
            [] => export_all(&book, &book.partitions()?)?,
            _ => book.export(&choose(context, &book)?)?,
        };
        return read_bytes(&bytes, &store_file(path)).map(|bundles| (bundles, bytes.len()));
    }
    let file = if path.is_dir() { path.join(RECORDS) } else { path.to_owned() };
    let bytes = fs::read(&file).with_context(|| format!("cannot read the bundle {}", file.display()))?;
    Ok((read_bytes(&bytes, &file)?, bytes.len()))
}

/// One file of the authority and several partitions.
pub(crate) fn export_all(book: &fieldbook::Fieldbook, partitions: &[PartitionName]) -> anyhow::Result<Vec<u8>> {
    match partitions {
        [] => Ok(book.export(&PartitionName::new(PARTITION_AUTHORITY)?)?),
        [only] => Ok(book.export(only)?),
        several => Ok(book.export_several(several)?),
    }
}

fn read_bytes(bytes: &[u8], file: &Path) -> anyhow::Result<Vec<Bundle>> {
    let mut progress = Progress::new("verified change sets:");
    Bundle::read_all(bytes, |verified| progress.at(verified, None))
        .with_context(|| format!("{} was refused; nothing was taken from it", file.display()))
}

/// A bundle whose documents are built, and what of it does not count.
pub(crate) struct Built {
    pub(crate) partition: Partition,
    pub(crate) applied: crdt::Applied,
    pub(crate) masked: usize,
    /// Whether the file has the genesis: without it nothing can be judged, and everything is shown.
    pub(crate) is_judged: bool,
}

/// Builds the documents of each bundle of a file, under what its own records say of them.
pub(crate) fn build(bundles: Vec<Bundle>) -> Vec<Built> {
    let Some(first) = bundles.first() else { return Vec::new() };
    let mut authority = Authority::new(first.workspace);
    for entry in bundles.iter().flat_map(|bundle| &bundle.entries) {
        // Other kinds, and other workspaces, are passed over.
        authority.take(entry);
    }
    bundles.into_iter().map(|bundle| build_one(bundle, &authority)).collect()
}

fn build_one(bundle: Bundle, authority: &Authority) -> Built {
    let is_judged = authority.genesis().is_some() && bundle.workspace == *authority.workspace();
    let mask = if is_judged { mask(&bundle.entries, authority) } else { BTreeSet::new() };
    let masked = mask.len();
    let mut partition = Partition::new(bundle.workspace, bundle.partition);
    let received = partition.receive(bundle.entries, mask);
    let mut applied = partition.materialise_all();
    applied.accepted.extend(received.accepted);
    applied.refused.extend(received.refused);
    Built { partition, applied, masked, is_judged }
}

fn mask(entries: &[Verified], authority: &Authority) -> BTreeSet<changeset::ChangeSetId> {
    let mut grants: HashMap<changeset::ChangeSetId, Option<changeset::ChangeSetId>> = HashMap::new();
    let mut mask = BTreeSet::new();
    for entry in entries {
        let header = entry.header();
        let inherited = header.previous.and_then(|previous| grants.get(&previous).copied().flatten());
        grants.insert(entry.id(), header.grant.or(inherited));
        let verdict = match header.document.kind.as_str() {
            KIND_ACCESS => authority.judge(entry),
            _ => authority.verdict(&Claim::of(entry, inherited)),
        };
        if !verdict.is_accepted() {
            mask.insert(entry.id());
        }
    }
    mask
}

/// Writes a file so that a crash leaves either the old one or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        bail!("{} names no file; give a file name", path.display());
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The name is durable only when the folder is.
        File::open(folder)?.sync_all()
    };
    let done = write().with_context(|| format!("cannot write {}; the file there before is untouched", path.display()));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}
