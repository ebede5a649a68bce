//! The clashes that are made on purpose: who does what at the same place while nobody hears of the others.

use crate::demo::cast::Who;
use crate::demo::wire::{Command, Known, Place, Step, What};
use anyhow::Context as _;

/// Edits that clash, and what the reader is told of them.
pub(crate) struct Clash {
    pub(crate) edits: Vec<(Who, Command)>,
    pub(crate) told: String,
    /// Where a conflict is to be explained at the end.
    pub(crate) at: Option<(Place, String)>,
}

/// What the story clashes over.
pub(crate) struct Script {
    pub(crate) clashes: Vec<Clash>,
    /// The text that three people write in.
    pub(crate) text: (Place, String),
    /// What each of the three writes, whole.
    pub(crate) sentences: Vec<(Who, String)>,
    /// Records that chance leaves alone from now on, so that the clashes stay as they were made.
    pub(crate) touched: Vec<Place>,
}

const ANA: Who = 1;
const BEN: Who = 2;
const CHLOE: Who = 3;

pub(crate) fn script(known: &[Known]) -> anyhow::Result<Script> {
    let of = |kind: &str| known.iter().filter(|known| known.kind == kind).collect::<Vec<_>>();
    let (inspections, orders) = (of("inspection"), of("order"));
    let nothing = "the records have too few inspections or orders with entries for the story";
    let [crane, kitchen, ..] = inspections.as_slice() else { anyhow::bail!(nothing) };
    let [order, ..] = orders.as_slice() else { anyhow::bail!(nothing) };
    let entry = |known: &Known, at: usize| known.entries.get(at).cloned().context(nothing);
    let [first, second] = [entry(crane, 0)?, entry(crane, 1)?];
    let removed = entry(kitchen, 0)?;
    let [line, other] = [entry(order, 0)?, entry(order, 1)?];
    let step = |known: &Known, intent: &str, path: &str, what: What| {
        Command::Edit(Step { document: known.place.clone(), intent: intent.to_owned(), path: path.to_owned(), what })
    };
    let say = |text: &str| What::Say(text.to_owned());
    let mut clashes = Vec::new();
    let outcome = format!("items/{first}/outcome");
    clashes.push(Clash {
        edits: vec![
            (ANA, step(crane, "record_outcome", &outcome, say("pass"))),
            (BEN, step(crane, "record_outcome", &outcome, say("fail"))),
        ],
        told: format!("Ana passes item {first} of {}, Ben fails it.", crane.title),
        at: Some((crane.place.clone(), outcome)),
    });
    let outcome = format!("items/{second}/outcome");
    clashes.push(Clash {
        edits: vec![
            (ANA, step(crane, "record_outcome", &outcome, say("not_applicable"))),
            (BEN, step(crane, "record_outcome", &outcome, say("pass"))),
            (CHLOE, step(crane, "record_outcome", &outcome, say("fail"))),
        ],
        told: format!("On item {second} of it three people say three things."),
        at: Some((crane.place.clone(), outcome)),
    });
    clashes.push(Clash {
        edits: vec![
            (CHLOE, step(kitchen, "remove_item", &format!("items/{removed}/."), What::Remove)),
            (
                BEN,
                step(
                    kitchen,
                    "edit_note",
                    &format!("items/{removed}/note"),
                    What::Insert("Measured twice: 6.4 °C. ".to_owned()),
                ),
            ),
        ],
        told: format!("Chloé removes item {removed} of {} while Ben writes a note at it.", kitchen.title),
        at: Some((kitchen.place.clone(), format!("items/{removed}/."))),
    });
    let quantity = format!("lines/{line}/quantity");
    clashes.push(Clash {
        edits: vec![
            (ANA, step(order, "change_quantity", &quantity, What::SayNumber(12))),
            (CHLOE, step(order, "change_quantity", &quantity, What::SayNumber(7))),
        ],
        told: format!("Ana orders 12 of line {line} of {}, Chloé 7.", order.title),
        at: Some((order.place.clone(), quantity)),
    });
    let packed = format!("lines/{line}/packed");
    let mut edits = Vec::new();
    for (who, amount) in [(ANA, 5), (BEN, 3), (CHLOE, 4)] {
        edits.push((who, step(order, "start_counting", &packed, What::StartCounting)));
        edits.push((who, step(order, "pack", &packed, What::Count(amount))));
    }
    clashes.push(Clash {
        edits,
        told: "Ana packs 5 of it, Ben 3 and Chloé 4, each with a counter of their own.".to_owned(),
        at: Some((order.place.clone(), packed)),
    });
    clashes.push(Clash {
        edits: vec![
            (BEN, step(order, "remove_line", &format!("lines/{other}/."), What::Remove)),
            (ANA, step(order, "change_quantity", &format!("lines/{other}/quantity"), What::SayNumber(99))),
        ],
        told: format!("Ben removes line {other} of that order while Ana orders 99 of it."),
        at: Some((order.place.clone(), format!("lines/{other}/."))),
    });
    let sentences = vec![
        (ANA, "Ana: the rope was replaced on Monday, certificate 4711. ".to_owned()),
        (BEN, "Ben: load test at 14:00, 1.25 × rated load, brake held. ".to_owned()),
        (CHLOE, "Chloé: 待って, the spare hook is on order 🛠. ".to_owned()),
    ];
    Ok(Script {
        clashes,
        text: (crane.place.clone(), "findings".to_owned()),
        sentences,
        touched: [crane, kitchen, order].iter().map(|known| known.place.clone()).collect(),
    })
}

/// A sentence as it is typed: a few letters at a time.
pub(crate) fn pieces(sentence: &str) -> Vec<String> {
    let letters: Vec<char> = sentence.chars().collect();
    letters.chunks(4).map(|some| some.iter().collect()).collect()
}
