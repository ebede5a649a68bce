//! `join`: a device for a workspace that exists.

use crate::bundle_file;
use crate::commands::init::MAIN;
use crate::commands::network::{Network, Signals, grouped_code};
use crate::output::{line, remark, things};
use crate::workspace::{check_free, choose, settings, store_file};
use crate::{Context, Outcome};
use anyhow::{Context as _, anyhow, bail};
use changeset::{Bundle, Partition as PartitionName, WorkspaceId};
use fieldbook::access::PARTITION_AUTHORITY;
use fieldbook::{Connectivity, Fieldbook, KeyText, Standing};
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("into").required(true))]
pub(crate) struct Options {
    /// What this device is called; signed with its key and shown beside what it writes
    #[arg(long)]
    name: String,
    /// The workspace: the 52 characters that its devices show (fieldbook status)
    #[arg(long, value_name = "ID", group = "into")]
    workspace: Option<KeyText>,
    /// A bundle of the workspace, or a folder of another of its devices; its change sets are taken in
    #[arg(long, value_name = "FILE", group = "into")]
    bundle: Option<PathBuf>,
    /// Knock at this relay: somebody who may let devices in sees the name and a code there
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// Stay until this device is let in
    #[arg(long, requires = "relay")]
    wait: bool,
    /// Show no QR code
    #[arg(long)]
    no_qr: bool,
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let context = &options.network.apply(context);
    if let Some(bundle) = &options.bundle {
        by_bundle(context, &options.name, bundle, options.no_qr)?;
    } else {
        let id = options.workspace.as_ref().ok_or_else(|| anyhow!("name the workspace"))?;
        by_id(context, &options.name, id.to_workspace(), options.no_qr)?;
    }
    match &options.relay {
        Some(url) => knock(context, options, url),
        None => Ok(true),
    }
}

/// A store for the workspace of a bundle, whose change sets it takes.
pub(crate) fn by_bundle(context: &Context, name: &str, path: &Path, no_qr: bool) -> Outcome {
    check_free(&context.folder)?;
    let (bundles, _) = bundle_file::read(context, path)?;
    let workspace = bundles.first().map(|bundle| bundle.workspace).ok_or_else(|| anyhow!("the bundle is empty"))?;
    let has_authority =
        |bundle: &Bundle| bundle.partition.as_str() == PARTITION_AUTHORITY && !bundle.entries.is_empty();
    if !bundles.iter().any(has_authority) {
        remark("note: the bundle does not say who may do what in its workspace; nothing in it counts until that comes");
    }
    let mut partitions: Vec<PartitionName> = Vec::new();
    for bundle in bundles.iter().filter(|bundle| bundle.partition.as_str() != PARTITION_AUTHORITY) {
        if !partitions.contains(&bundle.partition) {
            partitions.push(bundle.partition.clone());
        }
    }
    if let Some(other) = context.partitions.iter().find(|name| !partitions.iter().any(|kept| kept.as_str() == *name)) {
        let kept = partitions.iter().map(PartitionName::as_str).collect::<Vec<_>>().join(", ");
        bail!("the bundle is of partition {kept}, not of {other}; leave --partition out");
    }
    let book = make(context, name, workspace, &partitions)?;
    let mut context = context.clone();
    context.partitions.truncate(1);
    let imported = book.import(bundles)?;
    if let Some((id, why)) = imported.refused.first() {
        bail!("change set {id} was refused: {why}");
    }
    for partition in &partitions {
        crate::workspace::refresh(&book.partition(partition)?)?;
    }
    let documents = match choose(&context, &book) {
        Ok(partition) => {
            let listed = book.partition(&partition)?.list(None, &fieldbook::Filter::all())?;
            listed.iter().filter(|listed| !crate::workspace::is_hidden(&listed.key)).count()
        }
        Err(_) => imported.documents.len(),
    };
    say(&context, &book, name, &partitions, Some(documents), no_qr)
}

fn by_id(context: &Context, name: &str, workspace: WorkspaceId, no_qr: bool) -> Outcome {
    check_free(&context.folder)?;
    let partitions: BTreeSet<PartitionName> = context
        .partitions
        .iter()
        .map(|name| PartitionName::new(name).with_context(|| format!("--partition {name}")))
        .collect::<anyhow::Result<_>>()?;
    let mut partitions: Vec<PartitionName> = partitions.into_iter().collect();
    if partitions.is_empty() {
        partitions.push(PartitionName::new(MAIN)?);
    }
    let book = make(context, name, workspace, &partitions)?;
    say(context, &book, name, &partitions, None, no_qr)
}

fn make(
    context: &Context,
    name: &str,
    workspace: WorkspaceId,
    partitions: &[PartitionName],
) -> anyhow::Result<Fieldbook> {
    fs::create_dir_all(&context.folder)
        .with_context(|| format!("cannot make the folder {}", context.folder.display()))?;
    Ok(Fieldbook::join(store_file(&context.folder), workspace, name, partitions, settings(context)?)?)
}

fn say(
    context: &Context,
    book: &Fieldbook,
    name: &str,
    partitions: &[PartitionName],
    documents: Option<usize>,
    no_qr: bool,
) -> Outcome {
    let (key, workspace) = (book.key_text(), KeyText::of_workspace(&book.workspace()));
    let names: Vec<&str> = partitions.iter().map(PartitionName::as_str).collect();
    if context.json {
        crate::output::json(&json!({
            "folder": context.folder, "workspace": workspace.to_string(), "partitions": names, "device": name,
            "key": key.to_string(), "code": grouped_code(&key), "documents": documents,
        }))?;
        return Ok(true);
    }
    let held = documents.map(|documents| format!(", {}", things(documents, "document"))).unwrap_or_default();
    line(&format!("{}: device {name} for partition {}{held}", context.folder.display(), names.join(", ")))?;
    line(&format!("  workspace  {}", workspace.grouped()))?;
    line(&format!("  this key   {}", key.grouped()))?;
    if !no_qr {
        line("")?;
        line(&qr(&key)?)?;
    }
    line("\nShow this key to somebody who may let devices in; they write: fieldbook grant KEY --person NAME")?;
    line("What is saved here before that is kept, and counts from then on.")?;
    Ok(true)
}

/// A QR code of the key, two modules to a character, dark on light whatever the terminal's colours: upper-case letters and
/// digits alone make it as small as it gets.
fn qr(key: &KeyText) -> anyhow::Result<String> {
    const QUIET: usize = 2;
    let code = QrCode::with_error_correction_level(key.to_string().to_uppercase(), EcLevel::M)
        .map_err(|error| anyhow!("making the QR code: {error}"))?;
    let width = code.width();
    let modules = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let inside = (QUIET..width + QUIET).contains(&x) && (QUIET..width + QUIET).contains(&y);
        inside && modules.get((y - QUIET) * width + x - QUIET).is_some_and(|module| *module == qrcode::Color::Dark)
    };
    let all = width + 2 * QUIET;
    let rows = (0..all).step_by(2).map(|y| {
        let row: String = (0..all)
            .map(|x| match (is_dark(x, y), y + 1 < all && is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            })
            .collect();
        format!("  {row}")
    });
    Ok(rows.collect::<Vec<_>>().join("\n"))
}

fn knock(context: &Context, options: &Options, url: &str) -> Outcome {
    let book = crate::workspace::open_book(context, &context.folder)?;
    let code = grouped_code(&book.key_text());
    book.remember(crate::commands::sync::LAST_RELAY, Some(url.as_bytes()))?;
    if !options.wait {
        let report = book.knock(url, options.network.timeout())?;
        if !context.json {
            if report.denied.is_empty() {
                line(&format!("\nThis device is let in already at {url}"))?;
            } else {
                line(&format!("\nKnocked at {url} as {}. Code to compare: {code}", options.name))?;
                line("Somebody who may let devices in sees both with: fieldbook grant --requests --relay URL")?;
                line("The relay forgets who knocked when it is restarted: come back with: fieldbook sync")?;
            }
        }
        return Ok(true);
    }
    if !context.json {
        line(&format!("\nKnocking at {url} as {}. Code to compare: {code}", options.name))?;
    }
    wait(context, &book, url)
}

/// Stays connected until the device is let in everywhere it wants to be.
fn wait(context: &Context, book: &Fieldbook, url: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let link = book.connect_and_knock(url)?;
        let mut state = link.connectivity();
        let mut signals = Signals::new()?;
        let mut told = String::new();
        let is_in = loop {
            if let Connectivity::UpToDate { .. } = state.now()
                && is_let_in(book)?
            {
                break true;
            }
            if let Connectivity::Connecting { error: Some(error), .. } = state.now()
                && error != told
            {
                remark(&error);
                told = error;
            }
            tokio::select! {
                changed = state.changed() => if changed.is_none() { break false },
                () = signals.end() => break false,
            }
        };
        link.close().await;
        if is_in && context.json {
            crate::output::json(&json!({ "let_in": true }))?;
        } else if is_in {
            line("Let in. Everything is here.")?;
        } else {
            remark("not let in yet; what is saved here is kept. Come back with: fieldbook sync");
        }
        Ok(is_in)
    })
}

fn is_let_in(book: &Fieldbook) -> anyhow::Result<bool> {
    for partition in book.partitions()? {
        if !matches!(book.standing(&partition)?, Standing::Full { .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}
