//! `merge`: take in bundles of other devices.

use crate::bundle_file;
use crate::output::{Align, Table, bytes, count, error, line, remark, things};
use crate::workspace::{open_book, refresh};
use crate::{Context, Outcome};
use anyhow::bail;
use changeset::{Bundle, Partition as PartitionName};
use fieldbook::Fieldbook;
use fieldbook::access::PARTITION_AUTHORITY;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Bundles, or folders of other devices
    #[arg(required = true, value_name = "BUNDLE|FOLDER")]
    bundles: Vec<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let book = open_book(context, &context.folder)?;
    // All are read and verified before anything is taken from one.
    let mut read = Vec::new();
    for path in &options.bundles {
        let (bundles, size) = bundle_file::read(context, path)?;
        if let Some(other) = bundles.iter().find(|bundle| bundle.workspace != book.workspace()) {
            bail!(
                "{} is of workspace {}…, this is {}…; nothing was taken from any bundle",
                path.display(),
                other.workspace.short(),
                book.workspace().short()
            );
        }
        read.push((path, bundles, size));
    }
    let mut table = Table::new(&[
        ("bundle", Align::Left),
        ("size", Align::Right),
        ("change sets", Align::Right),
        ("new", Align::Right),
        ("waiting", Align::Right),
        ("documents touched", Align::Right),
    ]);
    let (mut rows, mut is_whole, mut was_copied) = (Vec::new(), true, false);
    let mut partitions: BTreeSet<PartitionName> = BTreeSet::new();
    for (path, bundles, size) in read {
        let held: usize = bundles.iter().map(|bundle| bundle.entries.len()).sum();
        partitions.extend(names(&bundles));
        let imported = book.import(bundles)?;
        was_copied |= imported.was_put_back;
        for (id, why) in &imported.refused {
            is_whole = false;
            error(&format!("{}: change set {id} was refused: {why}", path.display()));
        }
        rows.push(json!({
            "bundle": path, "bytes": size, "change_sets": held, "new": imported.new, "waiting": imported.waiting,
            "refused": imported.refused.len(), "documents_touched": imported.documents.len(),
        }));
        table.row([
            path.display().to_string(),
            bytes(size),
            count(held),
            count(imported.new),
            count(imported.waiting),
            count(imported.documents.len()),
        ]);
    }
    let states: Vec<State> = partitions.iter().map(|name| state(&book, name)).collect::<anyhow::Result<_>>()?;
    if was_copied {
        remark("note: another store writes with this device's key: it was copied, or restored from an older copy.");
        remark("      Both stores' work is kept; this one goes on as a new incarnation.");
    }
    if context.json {
        let rows_of = |state: &State| {
            json!({
                "partition": state.name, "documents": state.documents, "conflicts": state.conflicts, "forks": state.forks,
                "undecided": state.undecided, "digest": state.digest,
            })
        };
        let mut whole = json!({
            "bundles": rows, "new_incarnation": was_copied, "partitions": states.iter().map(rows_of).collect::<Json>(),
        });
        // Most devices keep one partition.
        if let ([state], Some(whole)) = (states.as_slice(), whole.as_object_mut()) {
            whole.extend(rows_of(state).as_object().cloned().unwrap_or_default());
        }
        crate::output::json(&whole)?;
        return Ok(is_whole);
    }
    table.print(0)?;
    line("")?;
    for state in states {
        let undecided = match state.undecided {
            0 => String::new(),
            number => format!(", {} that do not count (fieldbook status)", things(number, "change set")),
        };
        line(&format!(
            "{} has {}, {}, {}{undecided}, digest {}",
            state.name,
            things(state.documents, "document"),
            things(state.conflicts, "conflict"),
            things(state.forks, "fork"),
            state.digest
        ))?;
    }
    Ok(is_whole)
}

fn names(bundles: &[Bundle]) -> impl Iterator<Item = PartitionName> {
    bundles.iter().map(|bundle| bundle.partition.clone()).filter(|name| name.as_str() != PARTITION_AUTHORITY)
}

struct State {
    name: String,
    documents: usize,
    conflicts: usize,
    forks: usize,
    undecided: usize,
    digest: String,
}

fn state(book: &Fieldbook, name: &PartitionName) -> anyhow::Result<State> {
    let partition = book.partition(name)?;
    let digest = partition.digest()?.to_string();
    refresh(&partition)?;
    let listed = partition.list(None, &fieldbook::Filter::all())?;
    Ok(State {
        name: name.to_string(),
        documents: listed.iter().filter(|listed| !crate::workspace::is_hidden(&listed.key)).count(),
        conflicts: listed.iter().map(|listed| listed.summary.conflicts as usize).sum(),
        forks: partition.read(|documents| documents.forks().len())?,
        undecided: partition.undecided()?.len(),
        digest,
    })
}
