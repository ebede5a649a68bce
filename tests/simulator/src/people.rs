//! What people do on their devices: every intent, and edits of every sort on records that no app declared.

use crate::dice::Dice;
use changeset::{Attachment, Decimal, DocumentKey, Kind, Partition as PartitionName, Path, Value};
use crdt::{EditError, Edits, Transaction};
use fieldbook::{Error, Fieldbook, Saved, State};

const TEXTS: [&str; 8] = ["a", "bc", "😀", "x😀y", "ÅΩ", "hello ", "rope worn", "\n"];
const FIELDS: [&str; 3] = ["note", "findings", "items/7/note"];
const PATHS: [&str; 9] =
    ["status", "assignee", "items/7/.", "items/7/outcome", "items/8/.", "items/8/outcome", "picked", "risk", "total"];

/// Which records people write in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A few, all of them at once, so that they disagree as often as can be.
    Close,
    /// The newest ones, as work goes on from record to record: however much was written, a record is of usual length.
    Measured,
}

/// The most records that anybody writes in at a time.
const MAX_RECORDS: usize = 6;
/// Among how many of the last change sets the newest records are looked for.
const RECENT: usize = 128;

/// A person does something on a device: gives what was saved.
///
/// # Errors
/// What the crate says, which may be right: rules, rights, a full disk.
pub fn act(book: &Fieldbook, partition: &PartitionName, way: Way, dice: &mut Dice) -> Result<Vec<Saved>, Error> {
    let open = book.partition(partition)?;
    let known: Vec<DocumentKey> = open.read(|documents| {
        let is_a_record = |key: &&DocumentKey| !matches!(key.kind.as_str(), access::KIND_ACCESS | access::KIND_DEVICE);
        if way == Way::Close {
            return documents.documents().map(crdt::Document::key).filter(is_a_record).cloned().collect::<Vec<_>>();
        }
        let entries = documents.log().entries();
        let recent = entries.iter().skip(entries.len().saturating_sub(RECENT)).map(|entry| &entry.header().document);
        let mut records: Vec<&DocumentKey> = recent.filter(is_a_record).collect();
        // Ids begin with the time of creation.
        records.sort_unstable_by_key(|key| key.id);
        records.dedup();
        let mut records = records.split_off(records.len().saturating_sub(MAX_RECORDS));
        records.sort_unstable();
        records.into_iter().cloned().collect()
    })?;
    let begins = match way {
        Way::Close => known.len() < MAX_RECORDS && dice.chance(12),
        Way::Measured => dice.chance(3),
    };
    if known.is_empty() || begins {
        return create(book, partition, dice);
    }
    // Most write where others write too.
    let which = if dice.chance(60) { dice.index(known.len().min(2)) } else { dice.index(known.len()) };
    let document = known[which].clone();
    let declared = book.kinds().kind(document.kind.as_str());
    match dice.below(10) {
        // What the example says may not fit this state: then nothing is saved.
        0..=3 if let Some(definition) = declared => {
            let intent = dice.pick(definition.intents()).map(crdt::IntentDefinition::example);
            let Some(intent) = intent else { return Ok(Vec::new()) };
            Ok(vec![open.act(&document, &intent)?])
        }
        9 => {
            let others = dice.clone();
            open.batch(|writing| {
                let mut dice = others;
                for number in 0..dice.range(2, 5) {
                    let document = &known[(which + usize::try_from(number).unwrap_or(0)) % known.len()];
                    writing.edit(document, "edit", |tx| edit(tx, &mut dice))?;
                }
                Ok(())
            })
        }
        _ => Ok(open.edit(&document, "edit", |tx| edit(tx, dice))?.into_iter().collect()),
    }
}

fn create(book: &Fieldbook, partition: &PartitionName, dice: &mut Dice) -> Result<Vec<Saved>, Error> {
    let kind = ["inspection", "order", "meter-reading", "note"][dice.index(4)];
    let (open, document) = (book.partition(partition)?, book.new_document(kind)?);
    if let Some(definition) = book.kinds().kind(kind) {
        for intent in definition.intents() {
            // The one that begins such a document is the one that fits an empty one.
            let intent = intent.example();
            if open.document(&document, |_| ())?.is_none()
                && let Ok(saved) = open.act(&document, &intent)
            {
                return Ok(vec![saved]);
            }
        }
    }
    Ok(open.edit(&document, "edit", |tx| edit(tx, dice))?.into_iter().collect())
}

/// Some edits, of which each leaves the transaction as it was if it does not fit.
fn edit(tx: &mut Transaction<'_>, dice: &mut Dice) -> Result<(), EditError> {
    for _ in 0..dice.range(1, 4) {
        let path = |name: &str| Path::new(name);
        let (field, at) = (path(FIELDS[dice.index(FIELDS.len())]), path(PATHS[dice.index(PATHS.len())]));
        let (Ok(field), Ok(at)) = (field, at) else { continue };
        let length = tx.text(&field).map_or(0, |text| text.chars().count());
        let outcome = match dice.below(8) {
            0 | 1 => tx.put(&at, value(dice)),
            2 => tx.delete(&at),
            3 => match tx.value(&at) {
                Some(Value::Counter(_)) => tx.increment(&at, i64::try_from(dice.below(9)).unwrap_or(0) - 4),
                _ => tx.put(&at, Value::Counter(1)),
            },
            // At the beginning, at the end, and anywhere: people meet at the ends.
            4 | 5 => {
                let position = [0, length, dice.index(length + 1)][dice.index(3)];
                tx.insert_text(&field, position, TEXTS[dice.index(TEXTS.len())])
            }
            6 => {
                let position = dice.index(length + 1);
                tx.delete_text(&field, position, dice.index(length - position + 1).min(5))
            }
            _ => tx.replace_text(&field, TEXTS[dice.index(TEXTS.len())]),
        };
        match outcome {
            // A schema refuses what does not fit; everything else is a mistake here.
            Ok(()) | Err(EditError::Schema { .. } | EditError::NoCounter { .. } | EditError::Value { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn value(dice: &mut Dice) -> Value {
    let number = i64::try_from(dice.below(2000)).unwrap_or(0) - 1000;
    match dice.below(10) {
        0 => Value::Null,
        1 => Value::Bool(dice.chance(50)),
        2 => Value::Int(number),
        3 => Value::Decimal(Decimal { mantissa: number, scale: 2 }),
        4 => Value::Float(0.5),
        5 => Value::Bytes(vec![7; dice.index(9)]),
        6 => Value::Timestamp(number),
        7 => Value::Counter(number),
        8 => Value::Attachment(Attachment { hash: [4; 32], length: 9, media_type: "image/png".to_owned() }),
        _ => Value::String(TEXTS[dice.index(TEXTS.len())].to_owned()),
    }
}

/// The kind of what no app declared.
pub fn undeclared() -> Kind {
    Kind::new("note").expect("the name follows the pattern")
}
