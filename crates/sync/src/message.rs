//! Control messages and their bytes.

use crate::error::Code;
use crate::limits::{
    MAX_KNOCKS, MAX_KNOWN, MAX_NAME_BYTES, MAX_RECONCILE_BYTES, MAX_REFUSED, MAX_TEXT_BYTES, MAX_TIPS,
};
use changeset::cbor::{Reader, Writer};
use changeset::limits::{MAX_PAGE_ENTRIES, MAX_PARTITION_BYTES, MAX_SEQUENCE};
use changeset::{ActorId, ChangeSetId, Cursor, DecodeError, Fault, LogIncarnation, Partition, PublicKey, RunningHash};

/// The last change set of a branch of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tip {
    /// Whose chain.
    pub actor: ActorId,
    /// Its number in the chain.
    pub sequence: u64,
    /// Its id.
    pub id: ChangeSetId,
}

/// A line of a chain that is asked for: everything up to `tip` after the last of `known` on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The last change set asked for.
    pub tip: ChangeSetId,
    /// What the asker holds of this actor; at most [`MAX_KNOWN`].
    pub known: Vec<ChangeSetId>,
}

/// A device that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// Its key, proven in its handshake.
    pub key: PublicKey,
    /// What it calls itself; proven by nothing, so people compare a code.
    pub name: String,
    /// When it asked, in milliseconds since 1970 by the relay's clock.
    pub time_ms: u64,
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Opens a partition: where our log ends, and our place in yours.
    Open {
        /// Which.
        partition: Partition,
        /// The end of the sender's log.
        end: Cursor,
        /// The sender's place in the receiver's log.
        place: Option<Cursor>,
        /// Whether the receiver may read the sender's log.
        read: bool,
    },
    /// The answer. A cursor that is as the asker said is left out.
    Opened {
        /// Which.
        partition: Partition,
        /// The end of the sender's log; left out where it is the place that was asked for.
        end: Option<Cursor>,
        /// The sender's place in the receiver's log; left out where it is that log's end.
        place: Place,
        /// Whether the place that was asked for is one of the sender's log.
        fits: bool,
        /// Whether the receiver may read.
        read: bool,
    },
    /// A partition is not opened.
    Denied {
        /// Which.
        partition: Partition,
        /// Why.
        code: Code,
        /// Why, for a person.
        text: String,
    },
    /// One step of the comparison of tips, in the negentropy protocol.
    Tips {
        /// Where.
        partition: Partition,
        /// The protocol's message.
        bytes: Vec<u8>,
    },
    /// Asks what stands behind salted ids of the comparison.
    Show {
        /// Where.
        partition: Partition,
        /// The salted ids.
        ids: Vec<[u8; 32]>,
        /// Whether this is the last of these messages.
        last: bool,
    },
    /// Tips that the receiver may lack.
    Have {
        /// Where.
        partition: Partition,
        /// The tips.
        tips: Vec<Tip>,
        /// Whether this is the last of these messages.
        last: bool,
    },
    /// Asks for lines; answered with runs.
    Want {
        /// Where.
        partition: Partition,
        /// The lines.
        wants: Vec<Want>,
    },
    /// Asks for a page again, as runs.
    Verbatim {
        /// Where.
        partition: Partition,
        /// The position of the page's first entry.
        first: u64,
        /// How many entries it has.
        count: u64,
    },
    /// The runs sent last are durable; the next may come.
    Taken {
        /// Where.
        partition: Partition,
    },
    /// All lines that were asked for were sent.
    Done {
        /// Where.
        partition: Partition,
    },
    /// Reconciliation is over: the sender holds all that the receiver held where it said that its log ends.
    Settled {
        /// Where.
        partition: Partition,
    },
    /// There is nothing for the receiver between two positions of the sender's log.
    Skip {
        /// Where.
        partition: Partition,
        /// From here.
        from: u64,
        /// Up to here.
        position: u64,
        /// The running hash there.
        hash: RunningHash,
    },
    /// These entries are not kept; whoever sent them keeps them.
    Refused {
        /// Where.
        partition: Partition,
        /// Which, and why.
        entries: Vec<(ChangeSetId, Code)>,
    },
    /// What was sent and is not acknowledged was not looked at: send it again, but not before.
    Busy {
        /// Where.
        partition: Partition,
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// Is anybody there?
    Ping,
    /// Yes.
    Pong,
    /// A device without a grant asks to be let in.
    Knock {
        /// What it calls itself.
        name: String,
    },
    /// Who holds authority asks who knocked.
    AskKnocks,
    /// Who knocked.
    Knocks {
        /// The devices.
        knocks: Vec<Knock>,
    },
    /// The session ends.
    Close {
        /// Why.
        code: Code,
        /// Why, for a person.
        text: String,
    },
}

/// A place in a log, as an answer may give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// None yet.
    None,
    /// At the end that the asker named.
    AtEnd,
    /// Here.
    At(Cursor),
}

impl Message {
    /// Appends the message's bytes: an array whose first item is its code.
    pub fn write(&self, out: &mut Writer) {
        let head = |out: &mut Writer, items: usize, code: u64, partition: &Partition| {
            out.array(items);
            out.uint(code);
            out.text(partition.as_str());
        };
        match self {
            Self::Open { partition, end, place, read } => {
                head(out, 5, 0, partition);
                write_cursor(out, end);
                match place {
                    None => out.null(),
                    Some(place) => write_cursor(out, place),
                }
                out.bool(*read);
            }
            Self::Opened { partition, end, place, fits, read } => {
                head(out, 6, 1, partition);
                match end {
                    None => out.null(),
                    Some(end) => write_cursor(out, end),
                }
                match place {
                    Place::None => out.bool(false),
                    Place::AtEnd => out.bool(true),
                    Place::At(place) => write_cursor(out, place),
                }
                out.bool(*fits);
                out.bool(*read);
            }
            Self::Denied { partition, code, text } => {
                head(out, 4, 2, partition);
                out.uint(code.0);
                out.text(text);
            }
            Self::Tips { partition, bytes } => {
                head(out, 3, 3, partition);
                out.bytes(bytes);
            }
            Self::Show { partition, ids, last } => {
                head(out, 4, 4, partition);
                out.array(ids.len());
                ids.iter().for_each(|id| out.bytes(id));
                out.bool(*last);
            }
            Self::Have { partition, tips, last } => {
                head(out, 4, 5, partition);
                out.array(tips.len());
                for tip in tips {
                    out.array(3);
                    out.bytes(tip.actor.as_bytes());
                    out.uint(tip.sequence);
                    out.bytes(tip.id.as_bytes());
                }
                out.bool(*last);
            }
            Self::Want { partition, wants } => {
                head(out, 3, 6, partition);
                out.array(wants.len());
                for want in wants {
                    out.array(2);
                    out.bytes(want.tip.as_bytes());
                    out.array(want.known.len());
                    want.known.iter().for_each(|id| out.bytes(id.as_bytes()));
                }
            }
            Self::Verbatim { partition, first, count } => {
                head(out, 4, 7, partition);
                out.uint(*first);
                out.uint(*count);
            }
            Self::Taken { partition } => head(out, 2, 8, partition),
            Self::Done { partition } => head(out, 2, 9, partition),
            Self::Settled { partition } => head(out, 2, 10, partition),
            Self::Skip { partition, from, position, hash } => {
                head(out, 5, 11, partition);
                out.uint(*from);
                out.uint(*position);
                out.bytes(hash.as_bytes());
            }
            Self::Refused { partition, entries } => {
                head(out, 3, 12, partition);
                out.array(entries.len());
                for (id, code) in entries {
                    out.array(2);
                    out.bytes(id.as_bytes());
                    out.uint(code.0);
                }
            }
            Self::Busy { partition, retry_after_ms } => {
                head(out, 3, 13, partition);
                out.uint(*retry_after_ms);
            }
            Self::Ping => write_bare(out, 14),
            Self::Pong => write_bare(out, 15),
            Self::Knock { name } => {
                out.array(2);
                out.uint(16);
                out.text(name);
            }
            Self::AskKnocks => write_bare(out, 17),
            Self::Knocks { knocks } => {
                out.array(2);
                out.uint(18);
                out.array(knocks.len());
                for knock in knocks {
                    out.array(3);
                    out.bytes(knock.key.as_bytes());
                    out.text(&knock.name);
                    out.uint(knock.time_ms);
                }
            }
            Self::Close { code, text } => {
                out.array(3);
                out.uint(19);
                out.uint(code.0);
                out.text(text);
            }
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`DecodeError`] that names the offset.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.position();
        let items = reader.array(6)?;
        let at = reader.position();
        let code = reader.uint(u64::MAX)?;
        let wanted = match code {
            14 | 15 | 17 => 1,
            8..=10 | 16 | 18 => 2,
            3 | 6 | 12 | 13 | 19 => 3,
            2 | 4 | 5 | 7 => 4,
            0 | 11 => 5,
            1 => 6,
            other => return Err(reader.fault_at(at, Fault::UnknownCode(other))),
        };
        if items != wanted {
            return Err(reader.fault_at(start, Fault::WrongLength { wanted }));
        }
        Ok(match code {
            14 => Self::Ping,
            15 => Self::Pong,
            16 => Self::Knock { name: reader.text(MAX_NAME_BYTES)?.to_owned() },
            17 => Self::AskKnocks,
            18 => Self::Knocks { knocks: list(reader, MAX_KNOCKS, read_knock)? },
            19 => Self::Close { code: Code(reader.uint(u64::MAX)?), text: reader.text(MAX_TEXT_BYTES)?.to_owned() },
            code => Self::read_of_partition(reader, code)?,
        })
    }

    fn read_of_partition(reader: &mut Reader<'_>, code: u64) -> Result<Self, DecodeError> {
        let at = reader.position();
        let partition =
            Partition::new(reader.text(MAX_PARTITION_BYTES)?).map_err(|fault| reader.fault_at(at, fault))?;
        Ok(match code {
            0 => Self::Open {
                partition,
                end: read_cursor(reader)?,
                place: read_optional_cursor(reader)?,
                read: reader.bool()?,
            },
            1 => Self::Opened {
                partition,
                end: read_optional_cursor(reader)?,
                place: read_place(reader)?,
                fits: reader.bool()?,
                read: reader.bool()?,
            },
            2 => Self::Denied {
                partition,
                code: Code(reader.uint(u64::MAX)?),
                text: reader.text(MAX_TEXT_BYTES)?.to_owned(),
            },
            3 => Self::Tips { partition, bytes: reader.bytes(MAX_RECONCILE_BYTES + 1024)?.to_vec() },
            4 => Self::Show { partition, ids: list(reader, MAX_TIPS, |reader| reader.fixed())?, last: reader.bool()? },
            5 => Self::Have { partition, tips: list(reader, MAX_TIPS, read_tip)?, last: reader.bool()? },
            6 => Self::Want { partition, wants: list(reader, MAX_TIPS, read_want)? },
            7 => Self::Verbatim {
                partition,
                first: reader.uint(u64::MAX)?,
                count: reader.uint(MAX_PAGE_ENTRIES as u64)?,
            },
            8 => Self::Taken { partition },
            9 => Self::Done { partition },
            10 => Self::Settled { partition },
            11 => Self::Skip {
                partition,
                from: reader.uint(u64::MAX)?,
                position: reader.uint(u64::MAX)?,
                hash: RunningHash::from_bytes(reader.fixed()?),
            },
            12 => Self::Refused { partition, entries: list(reader, MAX_REFUSED, read_refused)? },
            // The caller admits no other code.
            _ => Self::Busy { partition, retry_after_ms: reader.uint(u64::MAX)? },
        })
    }
}

fn write_bare(out: &mut Writer, code: u64) {
    out.array(1);
    out.uint(code);
}

fn write_cursor(out: &mut Writer, cursor: &Cursor) {
    out.array(3);
    out.bytes(cursor.log.as_bytes());
    out.uint(cursor.position);
    out.bytes(cursor.hash.as_bytes());
}

fn read_cursor(reader: &mut Reader<'_>) -> Result<Cursor, DecodeError> {
    reader.array_of(3)?;
    Ok(Cursor {
        log: LogIncarnation::from_bytes(reader.fixed()?),
        position: reader.uint(u64::MAX)?,
        hash: RunningHash::from_bytes(reader.fixed()?),
    })
}

fn read_optional_cursor(reader: &mut Reader<'_>) -> Result<Option<Cursor>, DecodeError> {
    if reader.null() { Ok(None) } else { read_cursor(reader).map(Some) }
}

fn read_place(reader: &mut Reader<'_>) -> Result<Place, DecodeError> {
    match reader.peek() {
        Some(changeset::cbor::Kind::Array) => read_cursor(reader).map(Place::At),
        _ => Ok(if reader.bool()? { Place::AtEnd } else { Place::None }),
    }
}

fn list<T>(
    reader: &mut Reader<'_>,
    limit: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.array(limit)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}

fn read_tip(reader: &mut Reader<'_>) -> Result<Tip, DecodeError> {
    reader.array_of(3)?;
    Ok(Tip {
        actor: ActorId::from_bytes(reader.fixed()?),
        sequence: reader.uint(MAX_SEQUENCE)?,
        id: ChangeSetId::from_bytes(reader.fixed()?),
    })
}

fn read_want(reader: &mut Reader<'_>) -> Result<Want, DecodeError> {
    reader.array_of(2)?;
    let tip = ChangeSetId::from_bytes(reader.fixed()?);
    let known = list(reader, MAX_KNOWN, |reader| Ok(ChangeSetId::from_bytes(reader.fixed()?)))?;
    Ok(Want { tip, known })
}

fn read_knock(reader: &mut Reader<'_>) -> Result<Knock, DecodeError> {
    reader.array_of(3)?;
    Ok(Knock {
        key: PublicKey::from_bytes(reader.fixed()?),
        name: reader.text(MAX_NAME_BYTES)?.to_owned(),
        time_ms: reader.uint(u64::MAX)?,
    })
}

fn read_refused(reader: &mut Reader<'_>) -> Result<(ChangeSetId, Code), DecodeError> {
    reader.array_of(2)?;
    Ok((ChangeSetId::from_bytes(reader.fixed()?), Code(reader.uint(u64::MAX)?)))
}
