//! Bundles on disk: read whole and verified, written whole or not at all.

use crate::output::Progress;
use anyhow::{Context as _, bail};
use changeset::Bundle;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// The bundle of a workspace folder.
pub(crate) const RECORDS: &str = "records.fieldbook";

/// Reads a bundle file, or the bundle of a workspace folder. Gives its size in bytes too.
pub(crate) fn read(path: &Path) -> anyhow::Result<(Bundle, usize)> {
    let file = if path.is_dir() { path.join(RECORDS) } else { path.to_owned() };
    let bytes = fs::read(&file).with_context(|| format!("cannot read the bundle {}", file.display()))?;
    let mut progress = Progress::new("verified change sets:");
    let bundle = Bundle::from_bytes(&bytes, |verified| progress.at(verified, None))
        .with_context(|| format!("{} was refused; nothing was taken from it", file.display()))?;
    Ok((bundle, bytes.len()))
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
