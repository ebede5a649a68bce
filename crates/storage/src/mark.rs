//! What the store is, and whether it is still the one that was last closed.
//!
//! The store keeps a nonce, and so does a side file, its mark. Both are drawn anew whenever the store is opened and when it
//! is closed: a file that was put back under its name has an older nonce, and one that was copied elsewhere has no
//! mark, or lies in another inode. The store's nonce is written first, so a crash between the two looks like a copy;
//! the answer to that, new incarnations, is harmless.

use crate::backend::{Backend, Read, Table, Write};
use crate::codec::{checked, malformed, unchecked};
use crate::error::{Damage, StorageError};
use crate::model::Redraw;
use crate::outside::Random;
use crate::redb_backend::io_error;
use changeset::cbor::{Reader, Writer};
use changeset::{DecodeError, DeviceKey, Incarnation, PublicKey};
use core::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The format that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"format";
const FORMAT_TEXT: &[u8] = b"fieldbook store ";
const IDENTITY_KEY: &[u8] = b"identity";
const MARK_KEY: &[u8] = b"mark";
const MAX_ROLE_BYTES: usize = 255;

/// What the store is.
#[derive(Clone)]
pub(crate) struct Identity {
    /// None where the key lives elsewhere.
    pub(crate) secret: Option<[u8; 32]>,
    pub(crate) key: PublicKey,
    pub(crate) incarnation: Incarnation,
    pub(crate) role: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}…, {:?})", self.key.short(), self.incarnation)
    }
}

impl Identity {
    /// A new device key, or the one given.
    pub(crate) fn draw(given: Option<PublicKey>, role: &str, random: &Random) -> Result<Self, StorageError> {
        use changeset::Signer as _;
        if role.len() > MAX_ROLE_BYTES {
            return Err(StorageError::Misuse { doing: "creating the store", what: "its role has more than 255 bytes" });
        }
        let (secret, key) = match given {
            Some(key) => (None, key),
            None => {
                let secret = random.bytes()?;
                (Some(secret), DeviceKey::from_secret(&secret).public_key())
            }
        };
        Ok(Self { secret, key, incarnation: Incarnation::from_bytes(random.bytes()?), role: role.to_owned() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(4);
        match &self.secret {
            Some(secret) => out.bytes(secret),
            None => out.null(),
        }
        out.bytes(self.key.as_bytes());
        out.bytes(self.incarnation.as_bytes());
        out.text(&self.role);
        out.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "identity");
        reader.array_of(4)?;
        let secret = if reader.null() { None } else { Some(reader.fixed()?) };
        let key = PublicKey::from_bytes(reader.fixed()?);
        let incarnation = Incarnation::from_bytes(reader.fixed()?);
        let role = reader.text(MAX_ROLE_BYTES)?.to_owned();
        reader.finish()?;
        Ok(Self { secret, key, incarnation, role })
    }
}

/// Writes what makes a store of empty tables, every table included.
pub(crate) fn create(write: &mut dyn Write, identity: &Identity) -> Result<(), StorageError> {
    for table in Table::ALL {
        write.delete(table, b"")?;
    }
    write.put(Table::System, FORMAT_KEY, &[FORMAT_TEXT, &FORMAT.to_be_bytes()].concat())?;
    put_identity(write, identity)
}

pub(crate) fn put_identity(write: &mut dyn Write, identity: &Identity) -> Result<(), StorageError> {
    write.put(Table::System, IDENTITY_KEY, &checked(Table::System, IDENTITY_KEY, &identity.to_bytes()))
}

/// The store's format; none if it is no store.
pub(crate) fn format(read: &(impl Read + ?Sized)) -> Result<Option<u64>, StorageError> {
    let value = read.get(Table::System, FORMAT_KEY)?;
    let number = value.as_deref().and_then(|value| value.strip_prefix(FORMAT_TEXT));
    Ok(number.and_then(|number| <[u8; 4]>::try_from(number).ok()).map(|number| u64::from(u32::from_be_bytes(number))))
}

/// Refuses what is no store, and one of a newer format.
pub(crate) fn check_format(read: &(impl Read + ?Sized), path: &Path) -> Result<(), StorageError> {
    match format(read)? {
        None => Err(StorageError::NotAStore { path: path.to_owned() }),
        Some(found) if found > u64::from(FORMAT) => Err(StorageError::NewerFormat { found, known: u64::from(FORMAT) }),
        Some(_) => Ok(()),
    }
}

pub(crate) fn identity(read: &(impl Read + ?Sized)) -> Result<Identity, StorageError> {
    let missing = || StorageError::from(Damage::new(Table::System, "the identity is missing"));
    let value = read.get(Table::System, IDENTITY_KEY)?.ok_or_else(missing)?;
    let content = unchecked(Table::System, IDENTITY_KEY, &value)?;
    Identity::from_bytes(content).map_err(malformed(Table::System))
}

/// What tells one opening of one file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    nonce: [u8; 16],
    device: u64,
    inode: u64,
    is_backup: bool,
}

impl Mark {
    pub(crate) const BACKUP: Self = Self { nonce: [0; 16], device: 0, inode: 0, is_backup: true };

    fn to_bytes(self) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(4);
        out.bytes(&self.nonce);
        out.uint(self.device);
        out.uint(self.inode);
        out.bool(self.is_backup);
        out.into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "mark");
        reader.array_of(4)?;
        let mark = Self {
            nonce: reader.fixed()?,
            device: reader.uint(u64::MAX)?,
            inode: reader.uint(u64::MAX)?,
            is_backup: reader.bool()?,
        };
        reader.finish()?;
        Ok(mark)
    }
}

pub(crate) fn put_mark(write: &mut dyn Write, mark: Mark) -> Result<(), StorageError> {
    write.put(Table::System, MARK_KEY, &checked(Table::System, MARK_KEY, &mark.to_bytes()))
}

/// Checks the mark's row, for verify.
pub(crate) fn mark(read: &(impl Read + ?Sized)) -> Result<Option<Mark>, StorageError> {
    let Some(value) = read.get(Table::System, MARK_KEY)? else { return Ok(None) };
    let content = unchecked(Table::System, MARK_KEY, &value)?;
    Mark::from_bytes(content).map(Some).map_err(malformed(Table::System))
}

fn mark_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".mark");
    PathBuf::from(name)
}

/// Device and inode of a file; zeros where the system has none.
fn place(store: &Path) -> Result<(u64, u64), StorageError> {
    let metadata = std::fs::metadata(store).map_err(|error| io_error("asking where the store lies", error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok((0, 0))
    }
}

/// Whether the store at this path may have been copied or put back.
pub(crate) fn look(read: &(impl Read + ?Sized), store: &Path) -> Result<Option<Redraw>, StorageError> {
    let Some(mark) = mark(read)? else { return Ok(Some(Redraw::Mark)) };
    if mark.is_backup {
        return Ok(Some(Redraw::Backup));
    }
    match std::fs::read(mark_path(store)) {
        Ok(beside) if beside == mark.nonce => {}
        Ok(_) => return Ok(Some(Redraw::Mark)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(Redraw::Mark)),
        Err(error) => return Err(io_error("reading the mark beside the store", error)),
    }
    Ok(if (mark.device, mark.inode) == place(store)? { None } else { Some(Redraw::File) })
}

/// Draws a new nonce, for the store and for its mark.
pub(crate) fn renew(backend: &dyn Backend, store: &Path) -> Result<(), StorageError> {
    const DOING: &str = "writing the mark beside the store";
    let (device, inode) = place(store)?;
    let mark = Mark { nonce: Random::system().bytes()?, device, inode, is_backup: false };
    backend.write(&mut |write| put_mark(write, mark))?;
    let path = mark_path(store);
    let new = path.with_extension("mark-new");
    let written = || {
        let mut file = File::create(&new)?;
        file.write_all(&mark.nonce)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    written().map_err(|error| io_error(DOING, error))?;
    sync_folder(&path).map_err(|error| io_error(DOING, error))
}

/// Makes a rename durable.
pub(crate) fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    #[cfg(unix)]
    {
        File::open(folder)?.sync_all()
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}
