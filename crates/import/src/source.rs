//! Where files come from: a folder, or memory.

use crate::error::{SourceError, closest};
use crate::limits::MAX_CSV_BYTES;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Gives the bytes of the files that a mapping names. Fuzzers and tests give bytes from memory.
pub trait Source {
    /// The whole file.
    ///
    /// # Errors
    /// [`SourceError`] if there is no such file, or it cannot be read.
    fn open(&self, name: &str) -> Result<Vec<u8>, SourceError>;
}

/// The files of one folder and the folders below.
#[derive(Clone, Debug)]
pub struct FolderSource {
    folder: PathBuf,
}

impl FolderSource {
    /// The files below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Source for FolderSource {
    fn open(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() {
            return Err(SourceError::BadName { name: name.to_owned() });
        }
        let refuse = |error: io::Error| {
            if error.kind() != io::ErrorKind::NotFound {
                return SourceError::Io { name: name.to_owned(), error };
            }
            let names = file_names(&self.folder);
            let suggestion = closest(name, names.iter().map(String::as_str));
            SourceError::NotFound { name: name.to_owned(), place: self.folder.display().to_string(), suggestion }
        };
        let file = File::open(self.folder.join(name)).map_err(refuse)?;
        let mut bytes = Vec::new();
        // One byte more than the limit tells a file of the limit from a larger one, whatever its metadata says.
        file.take(MAX_CSV_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(refuse)?;
        if bytes.len() > MAX_CSV_BYTES {
            return Err(SourceError::TooLarge { name: name.to_owned() });
        }
        Ok(bytes)
    }
}

/// The names in a folder, for a suggestion only: what cannot be listed is left out.
fn file_names(folder: &Path) -> Vec<String> {
    const LISTED: usize = 1000;
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.take(LISTED).flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemorySource {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this file added, or replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), bytes.into());
        self
    }

    /// The files in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

impl Source for MemorySource {
    fn open(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        self.files.get(name).cloned().ok_or_else(|| SourceError::NotFound {
            name: name.to_owned(),
            place: "memory".to_owned(),
            suggestion: closest(name, self.files.keys().map(String::as_str)),
        })
    }
}
