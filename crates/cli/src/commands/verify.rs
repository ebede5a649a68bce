//! `verify`: every signature and hash of a bundle.

use crate::bundle_file::{self, RECORDS};
use crate::output::{Align, Table, bytes, count, duration, error, line};
use crate::{Context, Outcome};
use crdt::Partition;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// A bundle or workspace folder [default: this workspace]
    bundle: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let path = options.bundle.clone().unwrap_or_else(|| context.folder.join(RECORDS));
    let begun = Instant::now();
    let (bundle, size) = match bundle_file::read(&path) {
        Ok(read) => read,
        // A bundle that does not hold is an answer; a file that cannot be read is not.
        Err(refused) if refused.downcast_ref::<changeset::PageError>().is_some() => {
            if context.json {
                crate::output::json(&json!({ "holds": false, "problem": format!("{refused:#}") }))?;
            } else {
                error(&format!("{refused:#}"));
            }
            return Ok(false);
        }
        Err(other) => return Err(other),
    };
    let verified = begun.elapsed();
    let actors: BTreeSet<_> = bundle.entries.iter().map(|entry| entry.actor().id()).collect();
    let purged = bundle.entries.iter().filter(|entry| entry.body().is_purged()).count();
    let signatures = bundle.entries.iter().filter(|entry| entry.signature().is_some()).count();
    let held = bundle.entries.len();
    let mut partition = Partition::new(bundle.workspace, bundle.partition);
    let applied = partition.apply(bundle.entries);
    let holds = applied.refused.is_empty() && partition.waiting().is_empty() && applied.faults.is_empty();
    if context.json {
        crate::output::json(&json!({
            "holds": holds, "workspace": partition.workspace().to_string(), "partition": partition.name().as_str(),
            "bytes": size, "change_sets": held, "signatures": signatures, "actors": actors.len(),
            "documents": partition.documents().count(), "forks": partition.forks().len(), "purged": purged,
            "refused": applied.refused.iter().map(|(id, why)| format!("{id}: {why}")).collect::<Vec<_>>(),
            "waiting": partition.waiting().len(), "digest": partition.digest().to_string(),
        }))?;
        return Ok(holds);
    }
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("workspace", partition.workspace().to_string());
    row("partition", partition.name().to_string());
    row("size", bytes(size));
    row("change sets", format!("{}, attested by {} signatures", count(held), count(signatures)));
    row("actors", count(actors.len()));
    row("documents", count(partition.documents().count()));
    row("forks", count(partition.forks().len()));
    row("with purged values", count(purged));
    row("verified in", duration(verified));
    row("digest", partition.digest().to_string());
    table.print(0)?;
    for (id, refusal) in &applied.refused {
        error(&format!("change set {id} was refused: {refusal}"));
    }
    for waiting in partition.waiting() {
        error(&format!("change set {} waits for {} that the bundle does not have", waiting.id, waiting.missing.len()));
    }
    line(if holds { "\nevery signature and hash holds" } else { "\nthe bundle does not hold together" })?;
    Ok(holds)
}
