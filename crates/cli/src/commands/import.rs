//! `import`: CSV files through a mapping file, one change set for each record.

use crate::output::{Align, Progress, Table, count, line, remark, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use anyhow::{Context as _, bail};
use changeset::DocumentKey;
use crdt::{Edits, State};
use fieldbook_import::{FolderSource, Import, Mapping, Part, Record};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// The mappings that come with this command.
pub(crate) const BUILT_IN: [(&str, &str); 2] = [
    ("food_inspections", include_str!("../../../import/mappings/food_inspections.toml")),
    ("northwind_orders", include_str!("../../../import/mappings/northwind_orders.toml")),
];

/// How many records are signed and made durable at once.
const GROUP: usize = 500;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The mapping file, or a built-in one: food_inspections, northwind_orders
    #[arg(long, value_name = "FILE")]
    mapping: String,
    /// The folder with the CSV files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    /// Import only every N-th record, beginning with the K-th: to share the work among devices
    #[arg(long, value_name = "K/N")]
    part: Option<Part>,
    /// Check everything and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let (import, records) = load(&options.mapping, &options.data, options.part.unwrap_or(Part::WHOLE))?;
    for (file, column) in import.unused_columns() {
        remark(&format!("note: column {column} of {file} is not used by the mapping"));
    }
    let (mut new, mut changed, mut same) = (0, 0, 0);
    if !options.dry_run {
        let mut workspace = Workspace::open(&context.folder)?;
        let mut progress = Progress::new("imported records:");
        for (number, record) in records.iter().enumerate() {
            let is_new = workspace.partition.document(&record.key).is_none();
            let wrote = workspace
                .edit(&record.key, "import_record", |tx| Ok(write(record, tx)?))
                .with_context(|| format!("{}, line {}; nothing of this import was kept", record.source, record.line))?;
            match (wrote, is_new) {
                (Some(_), true) => new += 1,
                (Some(_), false) => changed += 1,
                (None, _) => same += 1,
            }
            if number % GROUP == GROUP - 1 {
                workspace.partition.sign(&workspace.author)?;
            }
            progress.at(number + 1, Some(records.len()));
        }
        workspace.save()?;
    }
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

/// Reads and checks a mapping and all its files.
pub(crate) fn load(mapping: &str, data: &std::path::Path, part: Part) -> anyhow::Result<(Import, Vec<Record>)> {
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

/// The documents that records stand for.
pub(crate) fn keys(records: &[Record]) -> Vec<DocumentKey> {
    records.iter().map(|record| record.key.clone()).collect()
}
