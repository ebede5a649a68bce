//! Runs verbatim: change sets that stand at no place of any log, each with its whole header.
//!
//! A page says of an entry only what the log before it does not. Runs are for where that log cannot be counted on: what
//! reconciliation sends, what waits for other change sets, and what a page's short references could not say because
//! the receiver holds another branch of a forked chain.

use crate::body::Body;
use crate::cbor::{Reader, Writer};
use crate::entry::{Actor, Unproven, Verified};
use crate::error::{DecodeError, Fault, PageError};
use crate::hash::change_set_id;
use crate::header::Header;
use crate::id::{Partition, WorkspaceId};
use crate::key::Signature;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ENTRIES};
use crate::page::{Table, UnverifiedPage, choose_signatures, repeat};
use std::collections::HashSet;
use std::sync::Arc;

const VERSION: u64 = 1;

/// Writes entries verbatim. Each entry that no later one names as its previous has a signature.
///
/// # Errors
/// [`PageError::Unsigned`] if the last entry of a run has no signature, [`PageError::TooLarge`].
pub fn encode_runs(entries: &[Verified]) -> Result<Vec<u8>, PageError> {
    if entries.len() > MAX_PAGE_ENTRIES {
        return Err(PageError::TooLarge { limit: MAX_PAGE_ENTRIES });
    }
    write(entries, choose_signatures(entries)?)
}

/// Writes entries verbatim with the signatures that they have, be they attested here or not: for a replica's own
/// storage, where a run may lie in pieces. No receiver takes such bytes; read them with
/// [`crate::UnverifiedPage::danger_trust`].
///
/// # Errors
/// [`PageError::TooLarge`].
pub fn danger_encode_unattested(entries: &[Verified]) -> Result<Vec<u8>, PageError> {
    if entries.len() > MAX_PAGE_ENTRIES {
        return Err(PageError::TooLarge { limit: MAX_PAGE_ENTRIES });
    }
    write(entries, entries.iter().map(|entry| entry.signature().copied()).collect())
}

fn write(entries: &[Verified], signatures: Vec<Option<Signature>>) -> Result<Vec<u8>, PageError> {
    let mut actors = Table::default();
    let mut body = Writer::with_capacity(256 * entries.len());
    for (entry, signature) in entries.iter().zip(signatures) {
        body.array(4);
        body.uint(actors.number(entry.actor()));
        match signature {
            None => body.null(),
            Some(signature) => body.bytes(signature.as_bytes()),
        }
        entry.header().write(&mut body);
        entry.body().write(&mut body);
    }
    let mut out = Writer::with_capacity(body.len() + 64);
    out.array(3);
    out.uint(VERSION);
    out.array(actors.list.len());
    actors.list.iter().for_each(|actor: &Arc<Actor>| out.bytes(&actor.to_bytes()));
    out.array(entries.len());
    out.raw(&body.into_bytes());
    let bytes = out.into_bytes();
    if bytes.len() > MAX_PAGE_BYTES { Err(PageError::TooLarge { limit: MAX_PAGE_BYTES }) } else { Ok(bytes) }
}

/// Reads runs; they need no log.
///
/// # Errors
/// [`PageError`] that names the entry; nothing is taken.
pub fn decode_runs(bytes: &[u8], workspace: &WorkspaceId, partition: &Partition) -> Result<UnverifiedPage, PageError> {
    let mut reader = Reader::new(bytes, "runs");
    if bytes.len() > MAX_PAGE_BYTES {
        return Err(PageError::TooLarge { limit: MAX_PAGE_BYTES });
    }
    reader.array_of(3)?;
    let version = reader.uint(u64::MAX)?;
    if version != VERSION {
        return Err(reader.fault_at(1, Fault::UnknownCode(version)).into());
    }
    reader.place("runs, actors");
    let mut actors = Vec::new();
    for _ in 0..reader.array(MAX_PAGE_ENTRIES)? {
        actors.push(Arc::new(Actor::from_bytes(*workspace, partition.clone(), &reader.fixed()?)));
    }
    reader.place("runs, entries");
    let count = reader.array(MAX_PAGE_ENTRIES)?;
    let mut entries = Vec::with_capacity(count);
    let mut ids = HashSet::with_capacity(count);
    for entry in 0..count {
        let (unproven, signature) = read(&mut reader, &actors).map_err(|error| PageError::Entry { entry, error })?;
        unproven.check_body()?;
        if !ids.insert(unproven.id) {
            return Err(PageError::Entry { entry, error: repeat() });
        }
        entries.push((unproven, signature));
    }
    reader.place("runs");
    reader.finish()?;
    Ok(UnverifiedPage { entries })
}

fn read(reader: &mut Reader<'_>, actors: &[Arc<Actor>]) -> Result<(Unproven, Option<Signature>), DecodeError> {
    reader.place("runs, entries");
    reader.array_of(4)?;
    let at = reader.position();
    let number = reader.uint(MAX_PAGE_ENTRIES as u64)?;
    let no_actor = || reader.fault_at(at, Fault::BadReference("an actor"));
    let actor = Arc::clone(actors.get(number as usize).ok_or_else(no_actor)?);
    let signature = if reader.null() { None } else { Some(Signature::from_bytes(reader.fixed()?)) };
    let from = reader.position();
    let header = Header::read(reader)?;
    let id = change_set_id(&actor.id(), reader.slice(from, reader.position()));
    let body = Body::read(reader)?;
    Ok((Unproven { id, actor, header, body }, signature))
}
