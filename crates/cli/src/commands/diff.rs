//! `diff`: two bundles or workspaces.

use crate::bundle_file::{self, Built};
use crate::commands::plain;
use crate::output::{Align, Table, count, line, shorten};
use crate::{Context, Outcome};
use anyhow::bail;
use changeset::{ChangeSetId, DocumentKey, Path as FieldPath};
use crdt::{Applied, Document, Partition, State};
use fieldbook::access::PARTITION_AUTHORITY;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// A bundle, or the folder of a device
    a: PathBuf,
    /// Another one
    b: PathBuf,
}

/// One path that reads differently.
struct Difference {
    document: DocumentKey,
    path: FieldPath,
    a: Option<String>,
    b: Option<String>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let (a, b) = (open(context, &options.a)?, open(context, &options.b)?);
    let only = |one: &Partition, other: &Partition| -> Vec<ChangeSetId> {
        one.log().entries().iter().map(|entry| entry.id()).filter(|id| !other.log().contains(id)).collect()
    };
    let (only_a, only_b) = (only(&a, &b), only(&b, &a));
    let differences = differences(&a, &b);
    let is_same = a.digest() == b.digest();
    if context.json {
        let rows: Vec<_> = differences
            .iter()
            .map(|difference| {
                json!({
                    "kind": difference.document.kind.as_str(), "document": difference.document.id.to_uuid(),
                    "path": difference.path.as_str(), "a": difference.a, "b": difference.b,
                })
            })
            .collect();
        let ids = |ids: &[ChangeSetId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        crate::output::json(&json!({
            "same": is_same, "digest_a": a.digest().to_string(), "digest_b": b.digest().to_string(),
            "only_a": ids(&only_a), "only_b": ids(&only_b), "differences": rows,
        }))?;
        return Ok(is_same);
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("change sets", Align::Right),
        ("only here", Align::Right),
        ("digest", Align::Left),
    ]);
    for (path, partition, only) in [(&options.a, &a, &only_a), (&options.b, &b, &only_b)] {
        let held = partition.log().entries().len();
        table.row([path.display().to_string(), count(held), count(only.len()), partition.digest().to_string()]);
    }
    table.print(0)?;
    if !differences.is_empty() {
        line("")?;
        let mut table = Table::new(&[
            ("document", Align::Left),
            ("path", Align::Left),
            ("first", Align::Left),
            ("second", Align::Left),
        ]);
        for difference in &differences {
            let side = |side: &Option<String>| shorten(side.as_deref().unwrap_or("(nothing)"), 36);
            let document = format!("{} {}", difference.document.kind, difference.document.id.to_uuid());
            table.row([document, difference.path.to_string(), side(&difference.a), side(&difference.b)]);
        }
        table.print(0)?;
    }
    line(if is_same { "\nthe same" } else { "\nthey differ" })?;
    Ok(is_same)
}

/// The partition that is compared, judged by the records that come with it.
fn open(context: &Context, path: &Path) -> anyhow::Result<Partition> {
    let (bundles, _) = bundle_file::read(context, path)?;
    let mut built = bundle_file::build(bundles);
    built.retain(|built| match context.partitions.as_slice() {
        [] => built.partition.name().as_str() != PARTITION_AUTHORITY,
        [only] => built.partition.name().as_str() == only,
        _ => false,
    });
    if built.len() > 1 {
        let names: Vec<&str> = built.iter().map(|built| built.partition.name().as_str()).collect();
        bail!("{} has several partitions: {}; name one with --partition", path.display(), names.join(", "));
    }
    let Some(Built { partition, applied, .. }) = built.pop() else {
        bail!("{} has no such partition", path.display());
    };
    check(&applied)?;
    Ok(partition)
}

fn differences(a: &Partition, b: &Partition) -> Vec<Difference> {
    let keys: BTreeSet<&DocumentKey> = a.documents().chain(b.documents()).map(Document::key).collect();
    let mut differences = Vec::new();
    for key in keys {
        let (in_a, in_b) = (a.document(key), b.document(key));
        let paths: BTreeSet<FieldPath> = in_a.into_iter().chain(in_b).flat_map(|document| document.paths("")).collect();
        for path in paths {
            let read = |document: Option<&Document>| {
                let document = document?;
                document.value(&path).map(|value| plain(&value)).or_else(|| document.text(&path))
            };
            let (a, b) = (read(in_a), read(in_b));
            if a != b {
                differences.push(Difference { document: key.clone(), path, a, b });
            }
        }
    }
    differences
}

/// Engine faults and refusals are errors here: a bundle holds only what fits together.
fn check(applied: &Applied) -> anyhow::Result<()> {
    if let Some((document, fault)) = applied.faults.first() {
        bail!("{document}: {fault}");
    }
    if let Some((id, refusal)) = applied.refused.first() {
        bail!("change set {id} was refused: {refusal}");
    }
    Ok(())
}
