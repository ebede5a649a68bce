//! Control messages of the sync protocol, from the fuzzer's choices.
//!
//! Ids, cursors and partitions are picked out of a [`Content`], so that what a hostile peer says is plausible, or made up.

use arbitrary::Arbitrary;
use changeset::{ActorId, ChangeSetId, Cursor, LogIncarnation, Partition, PublicKey, RunningHash};
use sync::limits::{MAX_KNOWN, MAX_TEXT_BYTES};
use sync::{Code, Knock, Message, Place, Tip, Want};

/// The most items of a list in one message; the fuzzer asks for longer ones by [`Many`].
const MAX_ITEMS: usize = 16;

/// What a peer can plausibly name.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Names of partitions; at least one.
    pub partitions: Vec<Partition>,
    /// Places in logs of either side.
    pub cursors: Vec<Cursor>,
    /// Ends of chains of either side.
    pub tips: Vec<Tip>,
    /// Bytes of a comparison that fit what was said last.
    pub comparison: Vec<Vec<u8>>,
    /// Salted ids of a comparison.
    pub salted: Vec<[u8; 32]>,
}

/// A cursor: one that is known, as it is or a little off, or made up.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyCursor {
    Known(u8),
    Moved { number: u8, by: i8 },
    OtherLog { number: u8, log: u8 },
    Any { log: u8, position: u64, hash: u8 },
}

/// A tip: one that is known, as it is or with another number, or made up.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyTip {
    Known(u8),
    Numbered(u8, u64),
    Any { actor: u8, sequence: u64, id: u8 },
}

/// A list as long as a message may hold, and one longer.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    AsGiven,
    Full,
    TooMany,
}

/// A control message.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyMessage {
    Open { partition: u8, end: AnyCursor, place: Option<AnyCursor>, read: bool },
    Opened { partition: u8, end: Option<AnyCursor>, place: AnyPlace, fits: bool, read: bool },
    Denied { partition: u8, code: u8, text: u8 },
    Tips { partition: u8, bytes: AnyBytes },
    Show { partition: u8, ids: Vec<u8>, last: bool, many: Many },
    Have { partition: u8, tips: Vec<AnyTip>, last: bool, many: Many },
    Want { partition: u8, wants: Vec<(AnyTip, Vec<u8>)> },
    Verbatim { partition: u8, first: AnyCursor, count: u8 },
    Taken(u8),
    Done(u8),
    Settled(u8),
    Skip { partition: u8, from: AnyCursor, to: AnyCursor },
    Refused { partition: u8, entries: Vec<(AnyTip, u8)>, many: Many },
    Busy { partition: u8, wait: u64 },
    Ping,
    Pong,
    Knock { name: u8 },
    AskKnocks,
    Knocks { count: u8 },
    Close { code: u8, text: u8 },
}

/// A place as an answer gives it.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyPlace {
    None,
    AtEnd,
    At(AnyCursor),
}

/// Bytes of a comparison.
#[derive(Arbitrary, Clone, Debug)]
pub enum AnyBytes {
    Fitting(u8),
    Any(Vec<u8>),
}

fn pick<T: Clone>(from: &[T], number: u8) -> Option<T> {
    from.get(usize::from(number).checked_rem(from.len())?).cloned()
}

fn lengthen<T: Clone>(mut items: Vec<T>, many: Many, limit: usize) -> Vec<T> {
    let wanted = match many {
        Many::AsGiven => return items,
        Many::Full => limit,
        Many::TooMany => limit + 1,
    };
    if let Some(last) = items.last().cloned() {
        items.resize(wanted, last);
    }
    items
}

/// A text that is short, as long as may be, or one byte longer.
fn text(choice: u8, limit: usize) -> String {
    match choice {
        255 => "x".repeat(limit + 1),
        254 => "x".repeat(limit),
        _ => "é".repeat(usize::from(choice % 8)),
    }
}

impl Content {
    /// The partition of a number.
    pub fn partition(&self, number: u8) -> Partition {
        pick(&self.partitions, number).expect("there is a partition")
    }

    /// The cursor of a choice.
    pub fn cursor(&self, choice: &AnyCursor) -> Cursor {
        let log = |fill: u8| LogIncarnation::from_bytes([fill; 8]);
        let made_up = || Cursor { log: log(99), position: 0, hash: RunningHash::from_bytes([8; 32]) };
        let known = |number: &u8| pick(&self.cursors, *number).unwrap_or_else(made_up);
        match choice {
            AnyCursor::Known(number) => known(number),
            AnyCursor::Moved { number, by } => {
                let cursor = known(number);
                Cursor { position: cursor.position.saturating_add_signed(i64::from(*by)), ..cursor }
            }
            AnyCursor::OtherLog { number, log: other } => Cursor { log: log(*other), ..known(number) },
            AnyCursor::Any { log: fill, position, hash } => {
                Cursor { log: log(*fill), position: *position, hash: RunningHash::from_bytes([*hash; 32]) }
            }
        }
    }

    fn tip(&self, choice: &AnyTip) -> Tip {
        let made_up = |actor: u8, sequence: u64, id: u8| Tip {
            actor: ActorId::from_bytes([actor; 32]),
            sequence,
            id: ChangeSetId::from_bytes([id; 32]),
        };
        let known = |number: &u8| pick(&self.tips, *number).unwrap_or_else(|| made_up(*number, 1, *number));
        match choice {
            AnyTip::Known(number) => known(number),
            AnyTip::Numbered(number, sequence) => Tip { sequence: *sequence, ..known(number) },
            AnyTip::Any { actor, sequence, id } => made_up(*actor, *sequence, *id),
        }
    }

    fn tips(&self, choices: &[AnyTip]) -> Vec<Tip> {
        choices.iter().take(MAX_ITEMS).map(|choice| self.tip(choice)).collect()
    }

    /// The message of a choice. It may be one that no reader takes: too long, mostly.
    pub fn message(&self, choice: &AnyMessage) -> Message {
        use sync::limits::{MAX_NAME_BYTES, MAX_REFUSED, MAX_TIPS};
        let code = |code: &u8| Code(u64::from(*code));
        let id = |fill: &u8| self.tip(&AnyTip::Known(*fill)).id;
        let salted = |number: &u8| pick(&self.salted, *number).unwrap_or([*number; 32]);
        match choice {
            AnyMessage::Open { partition, end, place, read } => Message::Open {
                partition: self.partition(*partition),
                end: self.cursor(end),
                place: place.as_ref().map(|place| self.cursor(place)),
                read: *read,
            },
            AnyMessage::Opened { partition, end, place, fits, read } => Message::Opened {
                partition: self.partition(*partition),
                end: end.as_ref().map(|end| self.cursor(end)),
                place: match place {
                    AnyPlace::None => Place::None,
                    AnyPlace::AtEnd => Place::AtEnd,
                    AnyPlace::At(place) => Place::At(self.cursor(place)),
                },
                fits: *fits,
                read: *read,
            },
            AnyMessage::Denied { partition, code: number, text: length } => Message::Denied {
                partition: self.partition(*partition),
                code: code(number),
                text: text(*length, MAX_TEXT_BYTES),
            },
            AnyMessage::Tips { partition, bytes } => Message::Tips {
                partition: self.partition(*partition),
                bytes: match bytes {
                    AnyBytes::Fitting(number) => pick(&self.comparison, *number).unwrap_or_default(),
                    AnyBytes::Any(bytes) => bytes.clone(),
                },
            },
            AnyMessage::Show { partition, ids, last, many } => Message::Show {
                partition: self.partition(*partition),
                ids: lengthen(ids.iter().take(MAX_ITEMS).map(salted).collect(), *many, MAX_TIPS),
                last: *last,
            },
            AnyMessage::Have { partition, tips, last, many } => Message::Have {
                partition: self.partition(*partition),
                tips: lengthen(self.tips(tips), *many, MAX_TIPS),
                last: *last,
            },
            AnyMessage::Want { partition, wants } => Message::Want {
                partition: self.partition(*partition),
                wants: wants
                    .iter()
                    .take(MAX_ITEMS)
                    .map(|(tip, known)| Want {
                        tip: self.tip(tip).id,
                        known: known.iter().take(MAX_KNOWN + 1).map(id).collect(),
                    })
                    .collect(),
            },
            AnyMessage::Verbatim { partition, first, count } => Message::Verbatim {
                partition: self.partition(*partition),
                first: self.cursor(first).position,
                count: u64::from(*count),
            },
            AnyMessage::Taken(partition) => Message::Taken { partition: self.partition(*partition) },
            AnyMessage::Done(partition) => Message::Done { partition: self.partition(*partition) },
            AnyMessage::Settled(partition) => Message::Settled { partition: self.partition(*partition) },
            AnyMessage::Skip { partition, from, to } => {
                let (from, to) = (self.cursor(from).position, self.cursor(to));
                Message::Skip { partition: self.partition(*partition), from, position: to.position, hash: to.hash }
            }
            AnyMessage::Refused { partition, entries, many } => {
                let entries = entries.iter().take(MAX_ITEMS).map(|(tip, why)| (self.tip(tip).id, code(why))).collect();
                Message::Refused {
                    partition: self.partition(*partition),
                    entries: lengthen(entries, *many, MAX_REFUSED),
                }
            }
            AnyMessage::Busy { partition, wait } => {
                Message::Busy { partition: self.partition(*partition), retry_after_ms: *wait }
            }
            AnyMessage::Ping => Message::Ping,
            AnyMessage::Pong => Message::Pong,
            AnyMessage::Knock { name } => Message::Knock { name: text(*name, MAX_NAME_BYTES) },
            AnyMessage::AskKnocks => Message::AskKnocks,
            AnyMessage::Knocks { count } => {
                let knock = Knock { key: PublicKey::from_bytes([*count; 32]), name: text(*count, 128), time_ms: 1 };
                Message::Knocks { knocks: vec![knock; usize::from(*count)] }
            }
            AnyMessage::Close { code: number, text: length } => {
                Message::Close { code: code(number), text: text(*length, MAX_TEXT_BYTES) }
            }
        }
    }
}
