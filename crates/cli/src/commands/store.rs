//! `backup`, `restore` and `compact`: care of the store's file.

use crate::output::{Progress, bytes, line};
use crate::workspace::{check_free, open_book, store_file};
use crate::{Context, Outcome};
use anyhow::Context as _;
use fieldbook::Fieldbook;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Backup {
    /// The file to write; there must be none yet
    file: PathBuf,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Restore {
    /// A file that `fieldbook backup` wrote
    file: PathBuf,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Compact {}

pub(crate) fn backup(context: &Context, options: &Backup) -> Outcome {
    let book = open_book(context, &context.folder)?;
    let mut progress = Progress::new("copied bytes:");
    book.backup(&options.file, |at| progress.at(at.done as usize, Some(at.total as usize)))?;
    drop(progress);
    let size = fs::metadata(&options.file).map_or(0, |file| file.len());
    if context.json {
        crate::output::json(&json!({ "file": options.file, "bytes": size }))?;
    } else {
        line(&format!("{}: {}", options.file.display(), bytes(size as usize)))?;
        line(
            "It holds the device's secret key: keep it as safe as the device. Restore it in place of the store, not beside it.",
        )?;
    }
    Ok(true)
}

pub(crate) fn restore(context: &Context, options: &Restore) -> Outcome {
    check_free(&context.folder)?;
    fs::create_dir_all(&context.folder)
        .with_context(|| format!("cannot make the folder {}", context.folder.display()))?;
    let file = store_file(&context.folder);
    Fieldbook::restore(&options.file, &file)?;
    if context.json {
        crate::output::json(&json!({ "store": file }))?;
    } else {
        line(&format!("{} is restored from {}", file.display(), options.file.display()))?;
        line("What was saved since the backup comes back from whoever has it: fieldbook sync, or merge a bundle")?;
    }
    Ok(true)
}

pub(crate) fn compact(context: &Context, _: &Compact) -> Outcome {
    let book = open_book(context, &context.folder)?;
    let before = book.size()?;
    book.compact()?;
    let after = book.size()?;
    if context.json {
        crate::output::json(&json!({ "bytes_before": before, "bytes_after": after }))?;
    } else {
        line(&format!("{} before, {} now", bytes(before as usize), bytes(after as usize)))?;
    }
    Ok(true)
}
