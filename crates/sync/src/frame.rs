//! Frames: what one message of the transport holds, told apart by its first byte.
//!
//! A page is sent as it lies in the log, so that all readers share its bytes; its first byte is that of a CBOR array of
//! seven. All other kinds begin with a small number that no page begins with.

use crate::error::SessionError;
use crate::limits::{MAX_CONTROL_BYTES, MAX_FRAME_BYTES, MAX_MESSAGES, MAX_RECEIPT_BYTES};
use crate::message::Message;
use changeset::cbor::{Reader, Writer};
use changeset::hash::{CONTEXT_FRAME, statement};
use changeset::limits::{MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_PARTITION_BYTES};
use changeset::{Partition, PublicKey, RunningHash, SignError, Signature, Signer};

/// The first byte of a page: a CBOR array of seven.
pub(crate) const PAGE: u8 = 0x87;
const CONTROL: u8 = 1;
const RUNS: u8 = 2;
const RECEIPT: u8 = 3;

/// A frame whose kind is known, not yet looked into.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    Page(&'a [u8]),
    Control(&'a [u8]),
    Runs(&'a [u8]),
    Receipt(&'a [u8]),
}

impl<'a> Frame<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, SessionError> {
        let limit = |limit: usize| {
            if bytes.len() > limit { Err(SessionError::TooLarge { bytes: bytes.len(), limit }) } else { Ok(()) }
        };
        limit(MAX_FRAME_BYTES)?;
        match bytes.split_first() {
            Some((&PAGE, _)) => Ok(Self::Page(bytes)),
            Some((&CONTROL, rest)) => {
                limit(MAX_CONTROL_BYTES)?;
                Ok(Self::Control(rest))
            }
            Some((&RUNS, rest)) => Ok(Self::Runs(rest)),
            Some((&RECEIPT, rest)) => {
                limit(MAX_RECEIPT_BYTES)?;
                Ok(Self::Receipt(rest))
            }
            _ => Err(SessionError::Protocol("a frame of no known kind")),
        }
    }
}

/// Which way a frame goes; a frame sent one way can not be played back the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    FromCaller,
    FromAnswerer,
}

/// What binds control frames to one session, one direction and one place in it.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    session: [u8; 32],
    direction: Direction,
    counter: u64,
}

impl Lane {
    pub(crate) fn new(session: [u8; 32], direction: Direction) -> Self {
        Self { session, direction, counter: 0 }
    }

    /// Runs are bound like control frames: nobody on the way can take a run out of them.
    fn next_statement(&mut self, kind: u8, payload: &[u8]) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(payload.len() + 42);
        bytes.extend(self.session);
        bytes.push(kind);
        bytes.push(match self.direction {
            Direction::FromCaller => 0,
            Direction::FromAnswerer => 1,
        });
        bytes.extend(self.counter.to_be_bytes());
        bytes.extend(payload);
        self.counter += 1;
        statement(CONTEXT_FRAME, &bytes)
    }

    /// `kind ‖ signature ‖ payload`.
    fn sign(&mut self, signer: &dyn Signer, kind: u8, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = signer.sign(&self.next_statement(kind, payload))?;
        let mut frame = Vec::with_capacity(payload.len() + 65);
        frame.push(kind);
        frame.extend(signature.as_bytes());
        frame.extend(payload);
        Ok(frame)
    }

    /// Checks the signature; gives the payload.
    fn verify<'a>(&mut self, peer: &PublicKey, kind: u8, bytes: &'a [u8]) -> Result<&'a [u8], SessionError> {
        let (signature, payload) =
            bytes.split_first_chunk::<64>().ok_or(SessionError::Protocol("a frame without a signature"))?;
        if peer.has_signed(&self.next_statement(kind, payload), &Signature::from_bytes(*signature)) {
            Ok(payload)
        } else {
            Err(SessionError::Forged("frame"))
        }
    }

    /// One frame of messages.
    pub(crate) fn seal(&mut self, signer: &dyn Signer, messages: &[Message]) -> Result<Vec<u8>, SignError> {
        let mut payload = Writer::with_capacity(64 * messages.len());
        payload.array(messages.len());
        messages.iter().for_each(|message| message.write(&mut payload));
        self.sign(signer, CONTROL, &payload.into_bytes())
    }

    /// Checks the signature, then reads the messages.
    pub(crate) fn open(&mut self, peer: &PublicKey, bytes: &[u8]) -> Result<Vec<Message>, SessionError> {
        let mut reader = Reader::new(self.verify(peer, CONTROL, bytes)?, "control frame");
        let count = reader.array(MAX_MESSAGES)?;
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            messages.push(Message::read(&mut reader)?);
        }
        reader.finish()?;
        Ok(messages)
    }

    /// One frame of runs.
    pub(crate) fn seal_runs(&mut self, signer: &dyn Signer, runs: &Runs<'_>) -> Result<Vec<u8>, SignError> {
        self.sign(signer, RUNS, &runs.to_bytes())
    }

    /// Checks the signature, then reads the runs.
    pub(crate) fn open_runs<'a>(&mut self, peer: &PublicKey, bytes: &'a [u8]) -> Result<Runs<'a>, SessionError> {
        Runs::read(self.verify(peer, RUNS, bytes)?)
    }
}

/// Runs on their way: verbatim change sets, perhaps in the place of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runs<'a> {
    pub(crate) partition: Partition,
    /// The page that they stand for: position of its first entry, number of entries, running hash after it.
    pub(crate) page: Option<(u64, u64, RunningHash)>,
    /// As [`changeset::pack_page`] gives them.
    pub(crate) packed: &'a [u8],
}

impl<'a> Runs<'a> {
    /// `[partition, null | [first, count, running hash], packed runs]`.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.packed.len() + 128);
        out.array(3);
        out.text(self.partition.as_str());
        match &self.page {
            None => out.null(),
            Some((first, count, hash)) => {
                out.array(3);
                out.uint(*first);
                out.uint(*count);
                out.bytes(hash.as_bytes());
            }
        }
        out.bytes(self.packed);
        out.into_bytes()
    }

    fn read(bytes: &'a [u8]) -> Result<Self, SessionError> {
        let mut reader = Reader::new(bytes, "runs frame");
        reader.array_of(3)?;
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        let page = if reader.null() {
            None
        } else {
            reader.array_of(3)?;
            let (first, count) = (reader.uint(u64::MAX)?, reader.uint(MAX_PAGE_ENTRIES as u64)?);
            Some((first, count, RunningHash::from_bytes(reader.fixed()?)))
        };
        let packed = reader.bytes(MAX_PAGE_BYTES + 1)?;
        reader.finish()?;
        Ok(Self { partition, page, packed })
    }
}

/// `3 ‖ receipt`.
pub(crate) fn receipt_frame(receipt: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(receipt.len() + 1);
    frame.push(RECEIPT);
    frame.extend(receipt);
    frame
}
