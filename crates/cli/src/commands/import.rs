//! `import`: CSV files through a mapping file, one change set for each record.

use crate::bundle_file;
use crate::commands::act::say_if_not_let_in;
use crate::device;
use crate::output::{Align, Progress, Table, count, error, line, remark, things};
use crate::workspace::{Workspace, is_hidden};
use crate::{Context, Outcome};
use anyhow::{Context as _, bail};
use changeset::DocumentKey;
use crdt::{Document, EditRules, Edits, State};
use fieldbook::Error;
use fieldbook_import::{FolderSource, Import, Mapping, Part, Record};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The mappings that come with this command.
pub(crate) const BUILT_IN: [(&str, &str); 2] = [
    ("food_inspections", include_str!("../../../import/mappings/food_inspections.toml")),
    ("northwind_orders", include_str!("../../../import/mappings/northwind_orders.toml")),
];

/// How many records are signed and made durable at once.
const GROUP: usize = 500;
const INTENT: &str = "import_record";

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The mapping file, or a built-in one: food_inspections, northwind_orders
    #[arg(long, value_name = "FILE", required_unless_present = "restate")]
    mapping: Option<String>,
    /// The folder with the CSV files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    /// Import only every N-th record, beginning with the K-th: to share the work among devices
    #[arg(long, value_name = "K/N")]
    part: Option<Part>,
    /// Instead of CSV files, write what the documents of this bundle of another workspace say, not who wrote it
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["mapping", "part"])]
    restate: Option<PathBuf>,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    if let Some(bundle) = &options.restate {
        return restate(context, bundle, options.dry_run);
    }
    let mapping = options.mapping.as_deref().unwrap_or_default();
    let (import, records) = load(mapping, &options.data, options.part.unwrap_or(Part::WHOLE))?;
    for (file, column) in import.unused_columns() {
        remark(&format!("note: column {column} of {file} is not used by the mapping"));
    }
    let mut done = Done::default();
    if !options.dry_run {
        let workspace = Workspace::open(context)?;
        if let Some(why) = forbidden(&workspace, &records)? {
            return not_permitted(context, &why);
        }
        check_all(&workspace, &records)?;
        done = write_all(&workspace, &records)?;
        workspace.refresh()?;
        say_if_not_let_in(&workspace)?;
    }
    let Done { new, changed, same } = done;
    if context.json {
        let files: Vec<_> = import.files().map(|(name, rows)| json!({ "file": name, "rows": rows })).collect();
        crate::output::json(&json!({
            "files": files, "records": records.len(), "new": new, "changed": changed, "unchanged": same,
            "dry_run": options.dry_run,
        }))?;
        return Ok(true);
    }
    let mut table = Table::new(&[("file", Align::Left), ("rows", Align::Right)]);
    import.files().for_each(|(name, rows)| table.row([name.to_owned(), count(rows)]));
    table.print(0)?;
    if options.dry_run {
        line(&format!("\n{} would be imported; nothing was written", things(records.len(), "record")))?;
    } else {
        line(&format!("\n{}: {new} new, {changed} changed, {same} as they were", things(records.len(), "record")))?;
    }
    Ok(true)
}

/// What became of the records.
#[derive(Default)]
struct Done {
    new: usize,
    changed: usize,
    same: usize,
}

fn not_permitted(context: &Context, why: &str) -> Outcome {
    if context.json {
        crate::output::json(&json!({ "not_permitted": why }))?;
    } else {
        error(&format!("nothing was imported: {why}"));
    }
    Ok(false)
}

/// Why this device may not import records of these kinds, if so.
fn forbidden(workspace: &Workspace, records: &[Record]) -> anyhow::Result<Option<String>> {
    let kinds: BTreeSet<_> = records.iter().map(|record| record.key.kind.clone()).collect();
    for kind in kinds {
        if let Err(why) = workspace.partition.check(&kind, INTENT)? {
            return Ok(Some(why.to_string()));
        }
    }
    Ok(None)
}

/// Holds every record to the schema of its kind before the first is written, so that all are imported or none.
fn check_all(workspace: &Workspace, records: &[Record]) -> anyhow::Result<()> {
    for record in records {
        let Some(kind) = workspace.book.kinds().kind(record.key.kind.as_str()) else { continue };
        let schema = kind.schema();
        let is_known = |path: &changeset::Path| schema.rule(path.as_str()).is_some();
        let puts = record.puts.iter().filter(|(path, _)| is_known(path));
        let texts = record.texts.iter().filter(|(path, _)| is_known(path));
        let checked = puts
            .map(|(path, value)| EditRules::check_put(schema, path, value))
            .chain(texts.map(|(path, _)| EditRules::check_text(schema, path)))
            .collect::<Result<(), _>>();
        checked.with_context(|| format!("{}, line {}; nothing was imported", record.source, record.line))?;
    }
    Ok(())
}

fn write_all(workspace: &Workspace, records: &[Record]) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut progress = Progress::new("imported records:");
    let known: BTreeSet<DocumentKey> = workspace.listed()?.into_iter().map(|listed| listed.key).collect();
    for (number, group) in records.chunks(GROUP).enumerate() {
        let saved = workspace.partition.batch(|batch| {
            for record in group {
                batch.edit(&record.key, INTENT, |tx| write(record, tx))?;
            }
            Ok(())
        });
        let before = number * GROUP;
        let saved = saved.with_context(|| {
            let places = group.first().map(|record| format!("{}, from line {} on", record.source, record.line));
            format!(
                "{}; the {} before are imported. Importing again leaves them as they are",
                places.unwrap_or_default(),
                things(before, "record")
            )
        })?;
        let wrote: BTreeSet<&DocumentKey> = saved.iter().map(|saved| &saved.document).collect();
        for record in group {
            match (wrote.contains(&record.key), known.contains(&record.key)) {
                (true, false) => done.new += 1,
                (true, true) => done.changed += 1,
                (false, _) => done.same += 1,
            }
        }
        progress.at(before + group.len(), Some(records.len()));
    }
    Ok(done)
}

/// Writes what the documents of a bundle of another workspace say, under the same ids; not who wrote it.
fn restate(context: &Context, path: &Path, dry_run: bool) -> Outcome {
    let (bundles, _) = bundle_file::read(context, path)?;
    let built = bundle_file::build(bundles);
    let documents: Vec<&Document> = built
        .iter()
        .flat_map(|built| built.partition.documents())
        .filter(|document| !is_hidden(document.key()) && document.key().kind.as_str() != device::KIND)
        .collect();
    let mut wrote = 0;
    if !dry_run {
        let workspace = Workspace::open(context)?;
        for group in documents.chunks(GROUP) {
            let saved = workspace.partition.batch(|batch| {
                for document in group {
                    batch.edit(document.key(), INTENT, |tx| copy(document, tx))?;
                }
                Ok(())
            });
            match saved {
                Ok(saved) => wrote += saved.len(),
                Err(Error::NotPermitted(why)) => return not_permitted(context, &why.to_string()),
                Err(other) => return Err(other.into()),
            }
        }
        workspace.refresh()?;
        say_if_not_let_in(&workspace)?;
    }
    if context.json {
        crate::output::json(&json!({ "documents": documents.len(), "written": wrote, "dry_run": dry_run }))?;
    } else if dry_run {
        line(&format!("{} would be restated; nothing was written", things(documents.len(), "document")))?;
    } else {
        line(&format!(
            "{} read, {} written. Who wrote what stays in {}; keep it",
            things(documents.len(), "document"),
            count(wrote),
            path.display()
        ))?;
    }
    Ok(true)
}

/// Every visible value and text, where the document does not say it already.
fn copy(from: &Document, to: &mut dyn Edits) -> Result<(), crdt::EditError> {
    for path in from.paths("") {
        if let Some(value) = from.value(&path)
            && to.value(&path).as_ref() != Some(&value)
        {
            to.put(&path, value)?;
        }
        if let Some(text) = from.text(&path)
            && State::text(to, &path).as_ref() != Some(&text)
        {
            to.replace_text(&path, &text)?;
        }
    }
    Ok(())
}

/// Reads and checks a mapping and all its files.
pub(crate) fn load(mapping: &str, data: &Path, part: Part) -> anyhow::Result<(Import, Vec<Record>)> {
    let text = match BUILT_IN.iter().find(|(name, _)| *name == mapping) {
        Some((_, text)) => text.as_bytes().to_vec(),
        None => fs::read(mapping).with_context(|| {
            format!(
                "cannot read the mapping file {mapping}; the built-in ones are food_inspections and northwind_orders"
            )
        })?,
    };
    let mapping = Mapping::parse(mapping, &text)?;
    let import = Import::load(&mapping, &FolderSource::new(data))?;
    match import.part(part) {
        Ok(records) => Ok((import, records)),
        Err(problems) => bail!("nothing was imported\n{problems}"),
    }
}

/// Writes what differs from what the document says already, so that importing again changes nothing.
pub(crate) fn write(record: &Record, edits: &mut dyn Edits) -> Result<(), crdt::EditError> {
    for (path, value) in &record.puts {
        // A counter goes on counting after it was imported.
        let is_counting = matches!(value, changeset::Value::Counter(_)) && edits.value(path).is_some();
        if !is_counting && edits.value(path).as_ref() != Some(value) {
            edits.put(path, value.clone())?;
        }
    }
    for (path, text) in &record.texts {
        if State::text(edits, path).as_deref() != Some(text) {
            edits.replace_text(path, text)?;
        }
    }
    Ok(())
}
