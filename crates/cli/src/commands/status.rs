//! `status`: how this device stands.

use crate::commands::exact;
use crate::commands::members::{standing, standing_code};
use crate::commands::network::grouped_code;
use crate::commands::sync::LAST_RELAY;
use crate::output::{Align, Table, age, bytes, count, line, remark, things};
use crate::workspace::{open_book, refresh};
use crate::{Context, Outcome};
use fieldbook::access::PARTITION_AUTHORITY;
use fieldbook::{Fieldbook, KeyText, Partition, PartitionName, Reached, Undecided};
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {}

/// One partition as this device sees it.
struct Seen {
    name: PartitionName,
    documents: u64,
    change_sets: u64,
    bytes: u64,
    waiting: u64,
    forks: usize,
    drafts: usize,
    undecided: Vec<Undecided>,
    standing: fieldbook::Standing,
    person: Option<(String, String)>,
}

pub(crate) fn run(context: &Context, _: &Options) -> Outcome {
    let book = open_book(context, &context.folder)?;
    let mut all = Vec::new();
    for name in book.partitions()? {
        if context.partitions.is_empty() || context.partitions.iter().any(|wanted| wanted == name.as_str()) {
            let partition = book.partition(&name)?;
            refresh(&partition)?;
            all.push(seen(&book, &partition)?);
        }
    }
    if context.json {
        crate::output::json(&as_json(context, &book, &all)?)?;
    } else {
        print(context, &book, &all)?;
    }
    Ok(true)
}

fn seen(book: &Fieldbook, partition: &Partition) -> anyhow::Result<Seen> {
    let name = partition.name().clone();
    let states = book.partition_states()?;
    let state = states.into_iter().find(|state| state.name == name);
    let key = book.key();
    let person = book.ask_authority(|authority| {
        let members = authority.people(&name).remove(&key).unwrap_or_default();
        members.into_iter().next().map(|member| (member.person.name, member.role.to_string()))
    })?;
    let hidden =
        partition.list(Some(&changeset::Kind::new(fieldbook::access::KIND_ACCESS)?), &fieldbook::Filter::all())?.len();
    Ok(Seen {
        documents: state.as_ref().map_or(0, |state| state.documents.saturating_sub(hidden as u64)),
        change_sets: state.as_ref().map_or(0, |state| state.change_sets),
        bytes: state.as_ref().map_or(0, |state| state.bytes),
        waiting: state.as_ref().map_or(0, |state| state.waiting),
        forks: partition.read(|documents| documents.forks().len())?,
        drafts: partition.drafts()?.len(),
        undecided: partition.undecided()?,
        standing: book.standing(&name)?,
        person,
        name,
    })
}

fn workspace_name(book: &Fieldbook) -> anyhow::Result<Option<String>> {
    Ok(book.ask_authority(|authority| authority.genesis().map(|genesis| genesis.name.clone()))?)
}

fn relays(book: &Fieldbook) -> anyhow::Result<Vec<String>> {
    let remembered = book.remembered(LAST_RELAY)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&remembered).lines().map(str::to_owned).collect())
}

fn print(context: &Context, book: &Fieldbook, all: &[Seen]) -> anyhow::Result<()> {
    let now_ms = book.replica().now_ms();
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("device", book.device_name()?);
    row("key", book.key_text().grouped());
    row(
        "workspace",
        workspace_name(book)?
            .unwrap_or_else(|| "not known yet: its beginning comes with the first sync or bundle".to_owned()),
    );
    row("its id", KeyText::of_workspace(&book.workspace()).grouped());
    row(
        "store",
        format!("{}, {}", crate::workspace::store_file(&context.folder).display(), bytes(book.size()? as usize)),
    );
    let outbox = book.outbox_now()?;
    let oldest = outbox
        .oldest_ms
        .map(|ms| format!(", the oldest saved {} ago", age(now_ms.saturating_sub(ms))))
        .unwrap_or_default();
    row("outbox", format!("{} that no relay has acknowledged{oldest}", things(outbox.count as usize, "change set")));
    if !outbox.refused.is_empty() {
        row(
            "refused",
            format!("{} by the relay; kept here and offered again", things(outbox.refused.len(), "change set")),
        );
    }
    let relays = relays(book)?;
    row("relay", if relays.is_empty() { "none yet: fieldbook sync URL".to_owned() } else { relays.join(", ") });
    table.print(0)?;

    line("")?;
    let mut table = Table::new(&[
        ("partition", Align::Left),
        ("as", Align::Left),
        ("standing", Align::Left),
        ("documents", Align::Right),
        ("change sets", Align::Right),
        ("size", Align::Right),
        ("waiting", Align::Right),
        ("do not count", Align::Right),
        ("forks", Align::Right),
        ("drafts", Align::Right),
    ]);
    for seen in all {
        let person = seen.person.as_ref().map(|(person, role)| format!("{person} ({role})")).unwrap_or_default();
        table.row([
            seen.name.to_string(),
            person,
            standing(&seen.standing),
            count(seen.documents as usize),
            count(seen.change_sets as usize),
            bytes(seen.bytes as usize),
            count(seen.waiting as usize),
            count(seen.undecided.len()),
            count(seen.forks),
            count(seen.drafts),
        ]);
    }
    table.print(0)?;
    for seen in all {
        for (why, number) in reasons(&seen.undecided) {
            remark(&format!(
                "{}: {} not count: {why}",
                seen.name,
                if number == 1 { "1 change set does".to_owned() } else { format!("{} change sets do", count(number)) }
            ));
        }
    }
    let peers = book.peers()?;
    if !peers.is_empty() {
        line("")?;
        let mut table = Table::new(&[
            ("peer", Align::Left),
            ("is a", Align::Left),
            ("partition", Align::Left),
            ("has of our log", Align::Right),
            ("said so", Align::Right),
        ]);
        for peer in peers {
            table.row([
                grouped_code(&KeyText::of_key(&peer.peer)),
                tier(peer.reached).to_owned(),
                peer.partition.to_string(),
                format!("{} of {}", count(peer.acknowledged as usize), count(peer.total as usize)),
                format!("{} ago", age(now_ms.saturating_sub(peer.at_ms))),
            ]);
        }
        table.print(0)?;
    }
    Ok(())
}

fn tier(reached: Reached) -> &'static str {
    match reached {
        Reached::Core => "core",
        Reached::Relay => "relay",
        Reached::Peer | Reached::Device => "device",
    }
}

/// Each reason once, with how many change sets it stops.
fn reasons(undecided: &[Undecided]) -> std::collections::BTreeMap<&str, usize> {
    let mut reasons = std::collections::BTreeMap::new();
    for one in undecided {
        *reasons.entry(one.why.as_str()).or_insert(0) += 1;
    }
    reasons
}

fn as_json(context: &Context, book: &Fieldbook, all: &[Seen]) -> anyhow::Result<Json> {
    let outbox = book.outbox_now()?;
    let partitions = all.iter().map(|seen| {
        json!({
            "partition": seen.name.as_str(), "documents": seen.documents, "change_sets": seen.change_sets,
            "bytes": seen.bytes, "waiting": seen.waiting, "forks": seen.forks, "drafts": seen.drafts,
            "standing": standing_code(&seen.standing), "standing_text": standing(&seen.standing),
            "person": seen.person.as_ref().map(|(person, _)| person), "role": seen.person.as_ref().map(|(_, role)| role),
            "undecided": seen.undecided.iter().map(|one| json!({
                "change_set": one.id.to_string(), "author": one.author.to_string(), "pending": one.is_pending, "why": one.why,
            })).collect::<Vec<_>>(),
        })
    });
    let partitions: Json = partitions.collect();
    let authority = book.partition_states()?.into_iter().find(|state| state.name.as_str() == PARTITION_AUTHORITY);
    let peers = book.peers()?.into_iter().map(|peer| {
        json!({
            "key": KeyText::of_key(&peer.peer).to_string(), "is": tier(peer.reached), "partition": peer.partition.as_str(),
            "acknowledged": peer.acknowledged, "of": peer.total, "at": exact(peer.at_ms),
        })
    });
    let peers: Json = peers.collect();
    Ok(json!({
        "device": book.device_name()?, "key": book.key_text().to_string(), "device_key": book.key().to_string(),
        "workspace": KeyText::of_workspace(&book.workspace()).to_string(), "workspace_name": workspace_name(book)?,
        "store": crate::workspace::store_file(&context.folder), "store_bytes": book.size()?, "relays": relays(book)?,
        "outbox": { "count": outbox.count, "oldest": outbox.oldest_ms.map(exact), "refused": outbox.refused.len() },
        "authority_change_sets": authority.map_or(0, |state| state.change_sets),
        "partitions": partitions, "peers": peers,
    }))
}
