//! What a person does on a device of the demo: the built-in records, one edit, and edits by chance.

use crate::demo::dice::Dice;
use crate::demo::wire::{Known, Place, Step, What};
use changeset::{DocumentKey, Path, Value};
use crdt::{Edits, State};
use fieldbook::{Fieldbook, Partition, Saved};
use serde_json::{Value as Json, json};

/// A change set that is durable, and what it did, for the ledger.
pub(crate) type Done = (Saved, String);

/// The inspections of the built-in set: what their `create` says.
fn inspections() -> Vec<Json> {
    let items = |prompts: &[&str]| -> Vec<Json> {
        let item = |(at, prompt): (usize, &&str)| json!({ "item": (at + 1).to_string(), "prompt": prompt });
        prompts.iter().enumerate().map(item).collect()
    };
    vec![
        json!({ "subject": "Quay crane 3, north pier", "inspection_type": "Annual", "risk": "high",
            "items": items(&["Wire rope without broken strands", "Limit switches stop the hoist", "Brake holds the rated load", "Access ladder and rails sound"]) }),
        json!({ "subject": "Ward 4 kitchen", "inspection_type": "Hygiene", "risk": "medium",
            "items": items(&["Cold store below 5 °C", "Hand basin with soap and towels", "Surfaces clean and sound"]) }),
        json!({ "subject": "Ventilation fan 12, level 840", "inspection_type": "Monthly", "risk": "high",
            "items": items(&["Bearing temperature", "Vibration within limits", "Guard in place and locked"]) }),
    ]
}

/// The lines of an order: product, quantity, unit price.
type Lines = [(&'static str, &'static str, &'static str)];

/// The orders of the built-in set: number, customer and lines.
const ORDERS: [(&str, &str, &Lines); 2] = [
    (
        "A-1042",
        "Sørvik Skipsverft",
        &[("Shackle 12 t", "40", "18.60"), ("Wire rope 22 mm, 100 m", "3", "412.00"), ("Grease, 5 kg", "12", "27.35")],
    ),
    ("A-1043", "Kiruna Drift AB", &[("Bearing 6310", "8", "31.90"), ("V-belt SPB 2500", "16", "22.40")]),
];

/// Writes the built-in records.
pub(crate) fn create(book: &Fieldbook, partition: &Partition) -> anyhow::Result<Vec<Done>> {
    let mut done = Vec::new();
    let mut act = |key: &DocumentKey, intent: &str, what: &Json| -> anyhow::Result<()> {
        let intent = book.kinds().decode(key.kind.as_str(), intent, &what.to_string())?;
        done.push((partition.act(key, &intent)?, told(intent.name(), key)));
        Ok(())
    };
    for what in inspections() {
        act(&book.new_document("inspection")?, "create", &what)?;
    }
    for (number, customer, lines) in ORDERS {
        let key = book.new_document("order")?;
        let what = json!({ "number": number, "currency": "EUR", "customer_number": number, "customer_name": customer });
        act(&key, "create", &what)?;
        for (at, (product, quantity, price)) in lines.iter().enumerate() {
            let line = json!({
                "line": (at + 1).to_string(), "product": (at + 1).to_string(), "description": product,
                "quantity": quantity, "unit_price": price,
            });
            act(&key, "add_line", &line)?;
        }
    }
    Ok(done)
}

/// A new inspection, as somebody writes it who is not let in yet.
pub(crate) fn told(intent: &str, key: &DocumentKey) -> String {
    format!("{intent} on {} {}", key.kind, key.id.short())
}

fn collection(kind: &str) -> &'static str {
    if kind == "order" { "lines" } else { "items" }
}

fn text_field(kind: &str) -> &'static str {
    if kind == "order" { "notes" } else { "findings" }
}

/// How many records of each kind a story can use.
const KNOWN: usize = 12;

/// The first records of each kind that have at least two entries, by their numbers.
pub(crate) fn records(partition: &Partition) -> anyhow::Result<Vec<Known>> {
    partition.settle()?;
    let mut all = partition.read(|documents| {
        let known =
            documents.documents().filter(|document| ["inspection", "order"].contains(&document.key().kind.as_str()));
        let known = known.map(|document| {
            let kind = document.key().kind.as_str();
            let entries = crdt::entries(document, collection(kind));
            let read = |path: &str| document.value(&Path::new(path).ok()?).map(|value| crate::commands::plain(&value));
            let title = read("subject/name").or_else(|| read("customer/name")).or_else(|| read("number"));
            let title = crate::output::shorten(&title.unwrap_or_else(|| document.key().id.short()), 32);
            Known { place: Place::of(document.key()), kind: kind.to_owned(), title, entries }
        });
        known.filter(|known| known.entries.len() >= 2).collect::<Vec<_>>()
    })?;
    all.sort_by(|a, b| (&a.kind, &a.place).cmp(&(&b.kind, &b.place)));
    let mut kept: Vec<Known> = Vec::new();
    for known in all {
        if kept.iter().filter(|other| other.kind == known.kind).count() < KNOWN {
            kept.push(known);
        }
    }
    Ok(kept)
}

/// Carries out one edit.
pub(crate) fn edit(partition: &Partition, step: &Step) -> anyhow::Result<Option<Done>> {
    let (key, path) = (step.document.key()?, Path::new(&step.path)?);
    let saved = partition.edit(&key, &step.intent, |tx| match &step.what {
        What::Say(text) => tx.put(&path, text.as_str().into()),
        What::SayNumber(number) => tx.put(&path, Value::Int(*number)),
        What::StartCounting => match tx.value(&path) {
            Some(_) => Ok(()),
            None => tx.put(&path, Value::Counter(0)),
        },
        What::Count(amount) => tx.increment(&path, *amount),
        What::Remove => tx.delete(&path),
        What::Insert(text) => tx.insert_text(&path, 0, text),
    })?;
    Ok(saved.map(|saved| (saved, told(&step.intent, &key))))
}

const OUTCOMES: [&str; 3] = ["pass", "fail", "not_applicable"];
const REMARKS: [&str; 8] = [
    "Rechecked after the shift. ",
    "Photo taken. ",
    "Corrosion at the weld, 4 cm. ",
    "Crew informed. ",
    "Ölstand geprüft. ",
    "要確認 ",
    "OK 👍 ",
    "Ask Eli about the spare part. ",
];

/// One edit by chance: whatever fits the document.
pub(crate) fn by_chance(partition: &Partition, dice: &mut Dice, place: &Place) -> anyhow::Result<Option<Done>> {
    let key = place.key()?;
    let kind = key.kind.as_str().to_owned();
    let entries = partition.document(&key, |document| crdt::entries(document, collection(&kind)))?.unwrap_or_default();
    let entry = dice.pick(&entries).cloned().unwrap_or_default();
    let step =
        |intent: &str, path: String, what| Step { document: place.clone(), intent: intent.to_owned(), path, what };
    let step = match (kind.as_str(), dice.below(10)) {
        _ if entries.is_empty() => return write_by_chance(partition, dice, &key, text_field(&kind)),
        ("inspection", 0..=5) => {
            let outcome = dice.pick(&OUTCOMES).copied().unwrap_or("pass");
            step("record_outcome", format!("items/{entry}/outcome"), What::Say(outcome.to_owned()))
        }
        ("order", 0..=4) => {
            let path = format!("lines/{entry}/picked");
            let (at, amount) = (Path::new(&path)?, 1 + dice.below(4) as i64);
            let is_begun = partition.document(&key, |document| document.value(&at).is_some())?.unwrap_or(false);
            if is_begun {
                step("pick", path, What::Count(amount))
            } else {
                step("start_counting", path, What::StartCounting)
            }
        }
        ("order", 5..=6) => {
            let quantity = 1 + dice.below(40) as i64;
            step("change_quantity", format!("lines/{entry}/quantity"), What::SayNumber(quantity))
        }
        _ => return write_by_chance(partition, dice, &key, text_field(&kind)),
    };
    edit(partition, &step)
}

/// Writes or deletes a little somewhere in a text.
fn write_by_chance(
    partition: &Partition,
    dice: &mut Dice,
    key: &DocumentKey,
    field: &str,
) -> anyhow::Result<Option<Done>> {
    let field = Path::new(field)?;
    let saved = partition.edit(key, "edit_text", |tx| {
        let length = State::text(&*tx, &field).map_or(0, |text| text.chars().count());
        let position = dice.below(length + 1);
        if length > 20 && dice.chance(40) {
            let much = 1 + dice.below((length - position).clamp(1, 8));
            return tx.delete_text(&field, position.min(length - much), much);
        }
        tx.insert_text(&field, position, dice.pick(&REMARKS).copied().unwrap_or_default())
    })?;
    Ok(saved.map(|saved| (saved, told("edit_text", key))))
}

/// Types pieces one after another at the beginning of a text, each an edit of its own.
pub(crate) fn type_in(
    partition: &Partition,
    place: &Place,
    path: &str,
    pieces: &[String],
    mut done: impl FnMut(Done) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (key, path) = (place.key()?, Path::new(path)?);
    let mut position = 0;
    for piece in pieces {
        let saved = partition.edit(&key, "edit_text", |tx| tx.insert_text(&path, position, piece))?;
        position += piece.chars().count();
        if let Some(saved) = saved {
            done((saved, told("edit_text", &key)))?;
        }
    }
    Ok(())
}
