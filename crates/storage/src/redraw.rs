//! New incarnations for every log: what a copy or a rolled back store sends must not pass for what the other one sent.

use crate::backend::Write;
use crate::codec::LogNumber;
use crate::error::StorageError;
use crate::index::{Index, Names};
use crate::log_record::{self, LogRecord};
use crate::model::Redraw;
use crate::outside::Random;
use crate::pages;
use changeset::{Cursor, LogIncarnation, LogPage, Signer};
use std::sync::Mutex;

/// Draws a new incarnation for every log, computes the running hashes anew and seals every page again, in the same
/// transaction: no page with the old incarnation is ever served after it. About 20 µs a page and its bytes once.
pub(crate) fn logs(
    write: &mut dyn Write,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    random: &Random,
    why: Redraw,
) -> Result<(), StorageError> {
    // What was seen of a peer's log stays true for every reason; a receipt for our old log is kept as what it is.
    let _ = why;
    for (number, record) in log_record::all(&*write)? {
        log(write, signer, names, random, number, record)?;
    }
    Ok(())
}

fn log(
    write: &mut dyn Write,
    signer: &dyn Signer,
    names: &Mutex<Names>,
    random: &Random,
    number: LogNumber,
    old: LogRecord,
) -> Result<(), StorageError> {
    let mut new = LogRecord { bytes: 0, ..old.clone() };
    new.end.log = LogIncarnation::from_bytes(random.bytes()?);
    new.end.position = 0;
    new.end.hash = new.start();
    while new.end.position < old.end.position {
        let first = new.end.position;
        let (page, ids) = {
            let index = Index { read: &*write, number, log: &old.key, names };
            let page = pages::at(&index, first)?;
            let rows = index.rows(page.first, page.end.position)?;
            (page, rows)
        };
        ids.iter().for_each(|row| new.push(&row.id));
        let end = Cursor { position: page.end.position, ..new.end };
        let frame = LogPage::from_bytes(&page.frame).map_err(crate::codec::malformed(crate::Table::Pages))?;
        let packed = frame.packed.into_owned();
        new.bytes += pages::put(write, number, &new, signer, (page.first, end), &page.source, packed)?;
    }
    log_record::put(write, number, &new)
}
