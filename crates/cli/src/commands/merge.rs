//! `merge`: take in bundles of other devices.

use crate::bundle_file;
use crate::output::{Align, Table, bytes, count, line, remark, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Bundles, or workspace folders of other devices
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let mut workspace = Workspace::open(&context.folder)?;
    // All are read and verified before anything is taken from one.
    let mut read = Vec::new();
    for path in &options.bundles {
        let (bundle, size) = bundle_file::read(path)?;
        read.push((path, bundle, size));
    }
    let mut table = Table::new(&[
        ("bundle", Align::Left),
        ("size", Align::Right),
        ("change sets", Align::Right),
        ("new", Align::Right),
        ("documents touched", Align::Right),
    ]);
    let mut rows = Vec::new();
    let mut was_copied = false;
    for (path, bundle, size) in read {
        let held = bundle.entries.len();
        let (applied, copied) = workspace.merge(bundle)?;
        was_copied |= copied;
        let (new, touched) = (applied.accepted.len(), applied.changes.len());
        rows.push(json!({
            "bundle": path, "bytes": size, "change_sets": held, "new": new, "documents_touched": touched,
        }));
        table.row([path.display().to_string(), bytes(size), count(held), count(new), count(touched)]);
    }
    workspace.save()?;
    let conflicts: usize = workspace.partition.documents().map(|document| document.conflicts().len()).sum();
    let forks = workspace.partition.forks().len();
    if was_copied {
        remark("note: another store writes with this device's key: it was copied, or restored from an older copy.");
        remark("      Both stores' work is kept; this one goes on as a new incarnation.");
    }
    if context.json {
        crate::output::json(&json!({
            "bundles": rows, "conflicts": conflicts, "forks": forks, "new_incarnation": was_copied,
            "digest": workspace.partition.digest().to_string(),
        }))?;
    } else {
        table.print(0)?;
        line(&format!(
            "\nnow {}, {}, {}, digest {}",
            things(workspace.partition.documents().count(), "document"),
            things(conflicts, "conflict"),
            things(forks, "fork"),
            workspace.partition.digest()
        ))?;
    }
    Ok(true)
}
