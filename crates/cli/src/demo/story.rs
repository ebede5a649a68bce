//! What the people of the demo do: a small built-in set of records, and edits that clash on purpose and by chance.

use crate::demo::team::{Device, Dice, Ledger};
use changeset::{DocumentId, DocumentKey, Kind, Path, Value};
use crdt::{KindRegistry, State};
use serde_json::{Value as Json, json};

/// The inspections of the built-in set: what their `create` says.
fn inspections() -> Vec<Json> {
    let items = |prompts: &[&str]| -> Vec<Json> {
        prompts
            .iter()
            .enumerate()
            .map(|(at, prompt)| json!({ "item": (at + 1).to_string(), "prompt": prompt }))
            .collect()
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

/// The first device writes the built-in records.
pub(crate) fn create(
    device: &mut Device,
    kinds: &KindRegistry,
    ledger: &mut Ledger,
) -> anyhow::Result<Vec<DocumentKey>> {
    let mut keys = Vec::new();
    let mut must = |device: &mut Device, key: &DocumentKey, intent: &str, what: &Json| {
        anyhow::ensure!(
            device.act(kinds, ledger, key, intent, what)?,
            "the rules refuse {intent} of the built-in records"
        );
        Ok(())
    };
    for what in inspections() {
        let key = new_key(device, "inspection")?;
        must(device, &key, "create", &what)?;
        keys.push(key);
    }
    for (number, customer, lines) in ORDERS {
        let key = new_key(device, "order")?;
        let what = json!({ "number": number, "currency": "EUR", "customer_number": number, "customer_name": customer });
        must(device, &key, "create", &what)?;
        for (at, (product, quantity, price)) in lines.iter().enumerate() {
            let line = json!({
                "line": (at + 1).to_string(), "product": (at + 1).to_string(), "description": product,
                "quantity": quantity, "unit_price": price,
            });
            must(device, &key, "add_line", &line)?;
        }
        keys.push(key);
    }
    Ok(keys)
}

fn new_key(device: &mut Device, kind: &str) -> anyhow::Result<DocumentKey> {
    let [tail @ .., _, _, _, _, _, _] = device.author.random();
    Ok(DocumentKey { kind: Kind::new(kind)?, id: DocumentId::from_parts(device.now_ms, tail) })
}

/// The ids of the entries of a collection.
fn entries(device: &Device, document: &DocumentKey, collection: &str) -> Vec<String> {
    device.partition.document(document).map(|document| crdt::entries(document, collection)).unwrap_or_default()
}

fn at(text: String) -> anyhow::Result<Path> {
    Path::new(&text).map_err(|fault| anyhow::anyhow!("{text}: {fault}"))
}

const OUTCOMES: [&str; 3] = ["pass", "fail", "na"];
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

/// One edit of somebody who works alone: whatever fits the document.
pub(crate) fn random_edit(
    device: &mut Device,
    dice: &mut Dice,
    ledger: &mut Ledger,
    document: &DocumentKey,
) -> anyhow::Result<()> {
    let is_order = document.kind.as_str() == "order";
    let collection = if is_order { "lines" } else { "items" };
    let entries = entries(device, document, collection);
    let text_field = at(if is_order { "notes".to_owned() } else { "findings".to_owned() })?;
    let Some(entry) = dice.pick(&entries).cloned() else {
        return write_text(device, dice, ledger, document, &text_field, "edit_text");
    };
    match (is_order, dice.below(10)) {
        (false, 0..=4) => {
            let outcome = (*dice.pick(&OUTCOMES).unwrap_or(&"pass")).to_owned();
            let path = at(format!("items/{entry}/outcome"))?;
            device.edit(ledger, document, "record_outcome", |tx| tx.put(&path, outcome.into()))
        }
        (false, 5..=6) => {
            let note = at(format!("items/{entry}/note"))?;
            write_text(device, dice, ledger, document, &note, "edit_note")
        }
        (false, 7) if dice.chance(20) => {
            let marker = at(format!("items/{entry}/."))?;
            device.edit(ledger, document, "remove_item", |tx| tx.delete(&marker))
        }
        (true, 0..=4) => {
            let path = at(format!("lines/{entry}/picked"))?;
            let amount = 1 + dice.below(4) as i64;
            if device.value(document, path.as_str()).is_none() {
                return device.edit(ledger, document, "start_counting", |tx| tx.put(&path, Value::Counter(0)));
            }
            device.edit(ledger, document, "pick", |tx| tx.increment(&path, amount))
        }
        (true, 5..=6) => {
            let path = at(format!("lines/{entry}/quantity"))?;
            let quantity = 1 + dice.below(40) as i64;
            device.edit(ledger, document, "change_quantity", |tx| tx.put(&path, Value::Int(quantity)))
        }
        (true, 7) if dice.chance(20) => {
            let marker = at(format!("lines/{entry}/."))?;
            device.edit(ledger, document, "remove_line", |tx| tx.delete(&marker))
        }
        _ => write_text(device, dice, ledger, document, &text_field, "edit_text"),
    }
}

/// Writes or deletes a little somewhere in a text.
fn write_text(
    device: &mut Device,
    dice: &mut Dice,
    ledger: &mut Ledger,
    document: &DocumentKey,
    field: &Path,
    intent: &str,
) -> anyhow::Result<()> {
    let length = device
        .partition
        .document(document)
        .and_then(|document| document.text(field))
        .map_or(0, |text| text.chars().count());
    let position = dice.below(length + 1);
    if length > 20 && dice.chance(30) {
        let much = 1 + dice.below((length - position).clamp(1, 8));
        return device.edit(ledger, document, intent, |tx| tx.delete_text(field, position.min(length - much), much));
    }
    let remark = dice.pick(&REMARKS).copied().unwrap_or_default();
    device.edit(ledger, document, intent, |tx| tx.insert_text(field, position, remark))
}

/// A clash on purpose, told to the reader.
pub(crate) fn clash(
    round: usize,
    team: &mut [Device],
    dice: &mut Dice,
    ledger: &mut Ledger,
    documents: &[DocumentKey],
) -> anyhow::Result<Option<String>> {
    let wanted = if round % 4 == 3 { "order" } else { "inspection" };
    let fitting: Vec<&DocumentKey> = documents.iter().filter(|key| key.kind.as_str() == wanted).collect();
    let collection = if wanted == "order" { "lines" } else { "items" };
    let with_entries: Vec<&DocumentKey> = fitting
        .into_iter()
        .filter(|key| team.iter().all(|device| !entries(device, key, collection).is_empty()))
        .collect();
    let Some(document) = dice.pick(&with_entries).copied() else { return Ok(None) };
    let shared = |team: &[Device], at: usize| {
        team.get(at).and_then(|device| entries(device, document, collection).first().cloned())
    };
    let Some(entry) = shared(team, 0) else { return Ok(None) };
    let title = title(team, document);
    let [ana, ben, chloe, dae, eli, ..] = team else { return Ok(None) };
    let said = match round % 4 {
        0 => {
            let path = at(format!("items/{entry}/outcome"))?;
            ben.edit(ledger, document, "record_outcome", |tx| tx.put(&path, "fail".into()))?;
            ana.edit(ledger, document, "record_outcome", |tx| tx.put(&path, "pass".into()))?;
            format!("Ana passes item {entry} of {title}; Ben, out of reach, fails it")
        }
        1 => {
            let marker = at(format!("items/{entry}/."))?;
            let note = at(format!("items/{entry}/note"))?;
            chloe.edit(ledger, document, "remove_item", |tx| tx.delete(&marker))?;
            dae.edit(ledger, document, "edit_note", |tx| tx.insert_text(&note, 0, "Measured twice: 0.4 mm. "))?;
            format!("Chloé removes item {entry} of {title} while Dae writes a note at it")
        }
        2 => {
            let field = at("findings".to_owned())?;
            ana.edit(ledger, document, "edit_findings", |tx| tx.insert_text(&field, 0, "Ana: rope replaced. "))?;
            ben.edit(ledger, document, "edit_findings", |tx| tx.insert_text(&field, 0, "Ben: load test at 14:00. "))?;
            eli.edit(ledger, document, "edit_findings", |tx| {
                tx.insert_text(&field, 0, "Eli: 待って, rope is on order 🛠. ")
            })?;
            format!("Ana, Ben and Eli write at the same place of the findings of {title}")
        }
        _ => {
            let path = at(format!("lines/{entry}/picked"))?;
            for (device, amount) in [(&mut *dae, 5), (&mut *eli, 3)] {
                if device.value(document, path.as_str()).is_none() {
                    device.edit(ledger, document, "start_counting", |tx| tx.put(&path, Value::Counter(0)))?;
                }
                device.edit(ledger, document, "pick", |tx| tx.increment(&path, amount))?;
            }
            format!("Dae picks 5 and Eli picks 3 from line {entry} of {title}")
        }
    };
    Ok(Some(said))
}

/// What people call a document.
fn title(team: &[Device], document: &DocumentKey) -> String {
    let read =
        |path| team.first().and_then(|device| device.value(document, path)).map(|value| crate::commands::plain(&value));
    let title = read("subject/name").or_else(|| read("customer/name")).or_else(|| read("number"));
    crate::output::shorten(&title.unwrap_or_else(|| document.id.short()), 32)
}
