//! `verify`: every signature and hash of a store or of a bundle.

use crate::bundle_file::{self, Built};
use crate::commands::network::Network;
use crate::output::{Align, Progress, Table, bytes, count, duration, error, line, remark, things};
use crate::workspace::{open_book, store_file};
use crate::{Context, Outcome};
use anyhow::bail;
use fieldbook::{Fieldbook, KeyText, Report};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// A bundle, or the folder of a device [default: this one]
    #[arg(value_name = "BUNDLE|FOLDER")]
    what: Option<PathBuf>,
    /// Fetch damaged pages again from this relay
    #[arg(long, value_name = "URL")]
    repair: Option<String>,
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let path = options.what.clone().unwrap_or_else(|| context.folder.clone());
    if store_file(&path).exists() || (options.what.is_none() && path == context.folder) {
        return store(&options.network.apply(context), options, &path);
    }
    if options.repair.is_some() {
        bail!("--repair is for stores; {} is a bundle: get it again from where it came from", path.display());
    }
    bundle(context, &path)
}

/// Every page, hash, seal, signature and index row; then the digests, which are computed from all of it.
fn store(context: &Context, options: &Options, folder: &Path) -> Outcome {
    let begun = Instant::now();
    let book = open_book(context, folder)?;
    let mut progress = Progress::new("checked pages:");
    let mut report = book.verify(|at| progress.at(at.done as usize, Some(at.total as usize)))?;
    drop(progress);
    if let (false, Some(url)) = (report.is_clean(), &options.repair) {
        report = repair(&book, report, url, &options.network)?;
    }
    let mut digests: Vec<(String, Result<String, String>)> = Vec::new();
    let (mut forks, mut documents, mut undecided) = (0, 0, 0);
    for name in book.partitions()? {
        let partition = book.partition(&name)?;
        // A damaged log has no digest; the findings say where.
        let digest = partition.digest().map(|digest| digest.to_string()).map_err(|error| error.to_string());
        if digest.is_ok() {
            forks += partition.read(|documents| documents.forks().len())?;
            documents += partition.read(|documents| {
                documents.documents().filter(|one| !crate::workspace::is_hidden(one.key())).count()
            })?;
            undecided += partition.undecided()?.len();
        }
        digests.push((name.to_string(), digest));
    }
    let holds = report.is_clean() && digests.iter().all(|(_, digest)| digest.is_ok());
    let (size, workspace) = (book.size()?, KeyText::of_workspace(&book.workspace()));
    let wanted = context.partitions.first();
    let one = digests.iter().find(|(name, _)| wanted.map_or(digests.len() == 1, |wanted| wanted == name));
    if context.json {
        let digests: serde_json::Map<String, Json> =
            digests.iter().map(|(name, digest)| (name.clone(), digest.clone().ok().into())).collect();
        let digest = one.and_then(|(_, digest)| digest.clone().ok());
        crate::output::json(&json!({
            "holds": holds, "store": store_file(folder), "workspace": workspace.to_string(), "bytes": size,
            "logs": report.logs, "pages": report.pages, "change_sets": report.entries, "rows": report.rows,
            "documents": documents, "forks": forks, "undecided": undecided, "digest": digest, "digests": digests,
            "findings": report.findings.iter().map(|finding| finding.to_string()).collect::<Vec<_>>(), "more": report.more,
        }))?;
        return Ok(holds);
    }
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("store", format!("{}, {}", store_file(folder).display(), bytes(size as usize)));
    row("workspace", workspace.grouped());
    row("logs", count(report.logs as usize));
    row("pages", count(report.pages as usize));
    row("change sets", count(report.entries as usize));
    row("rows of indexes", count(report.rows as usize));
    row("documents", count(documents));
    row("forks", count(forks));
    row("verified in", duration(begun.elapsed()));
    for (name, digest) in &digests {
        row(&format!("digest of {name}"), digest.clone().unwrap_or_else(|why| format!("none: {why}")));
    }
    table.print(0)?;
    for finding in &report.findings {
        error(&finding.to_string());
    }
    if report.more > 0 {
        error(&format!("and {} findings more", count(report.more as usize)));
    }
    line(if holds {
        "\nevery page, hash, seal, signature and index row holds"
    } else {
        "\nthe store is damaged; what is whole can still be read. Fetch it again with: fieldbook verify --repair URL, \
         or restore a backup"
    })?;
    Ok(holds)
}

/// Fetches what is damaged again, says what came of it, and checks everything once more.
fn repair(book: &Fieldbook, report: Report, url: &str, network: &Network) -> anyhow::Result<Report> {
    for finding in &report.findings {
        remark(&finding.to_string());
    }
    let repaired = book.repair(&report, url, network.timeout())?;
    remark(&format!("{} fetched again from {url}", things(repaired.pages, "page")));
    for (place, why) in &repaired.failed {
        error(&format!("{place}: {why}"));
    }
    Ok(book.verify(|_| ())?)
}

fn bundle(context: &Context, path: &Path) -> Outcome {
    let begun = Instant::now();
    let (bundles, size) = match bundle_file::read(context, path) {
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
    let facts: Vec<Facts> = bundles.iter().map(Facts::of).collect();
    let built = bundle_file::build(bundles);
    let holds = built.iter().all(holds);
    // What the file is for stands last; before it what says who may do what.
    let parts: Vec<(Built, Facts)> = built.into_iter().zip(facts).collect();
    if context.json {
        let mut rows: Vec<Json> = parts.iter().map(|(built, facts)| as_json(built, facts, size)).collect();
        let mut last = rows.pop().unwrap_or(Json::Null);
        if let Some(last) = last.as_object_mut() {
            last.insert("holds".to_owned(), holds.into());
            last.insert("before".to_owned(), rows.into());
        }
        crate::output::json(&last)?;
        return Ok(holds);
    }
    for (built, facts) in &parts {
        print(built, facts)?;
    }
    line(&format!("{} verified in {}", bytes(size), duration(verified)))?;
    line(if holds { "every signature and hash holds" } else { "the bundle does not hold together" })?;
    Ok(holds)
}

fn holds(built: &Built) -> bool {
    built.applied.refused.is_empty() && built.partition.waiting().is_empty() && built.applied.faults.is_empty()
}

/// What is counted of a bundle before its documents are built.
struct Facts {
    change_sets: usize,
    signatures: usize,
    actors: usize,
    purged: usize,
}

impl Facts {
    fn of(bundle: &changeset::Bundle) -> Self {
        let actors: BTreeSet<_> = bundle.entries.iter().map(|entry| entry.actor().id()).collect();
        Self {
            change_sets: bundle.entries.len(),
            signatures: bundle.entries.iter().filter(|entry| entry.signature().is_some()).count(),
            actors: actors.len(),
            purged: bundle.entries.iter().filter(|entry| entry.body().is_purged()).count(),
        }
    }
}

fn as_json(built: &Built, facts: &Facts, size: usize) -> Json {
    let partition = &built.partition;
    json!({
        "holds": holds(built), "workspace": partition.workspace().to_string(), "partition": partition.name().as_str(),
        "bytes": size, "change_sets": facts.change_sets, "signatures": facts.signatures, "actors": facts.actors,
        "documents": partition.documents().count(), "forks": partition.forks().len(), "purged": facts.purged,
        "judged": built.is_judged, "masked": built.masked,
        "refused": built.applied.refused.iter().map(|(id, why)| format!("{id}: {why}")).collect::<Vec<_>>(),
        "waiting": partition.waiting().len(), "digest": partition.digest().to_string(),
    })
}

fn print(built: &Built, facts: &Facts) -> std::io::Result<()> {
    let partition = &built.partition;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("partition", partition.name().to_string());
    row("workspace", partition.workspace().to_string());
    row("change sets", format!("{}, attested by {}", count(facts.change_sets), things(facts.signatures, "signature")));
    row("actors", count(facts.actors));
    row("documents", count(partition.documents().count()));
    row("forks", count(partition.forks().len()));
    row("with purged values", count(facts.purged));
    row(
        "do not count",
        if built.is_judged {
            count(built.masked)
        } else {
            "not known: the file has no genesis of its workspace".to_owned()
        },
    );
    row("digest", partition.digest().to_string());
    table.print(0)?;
    for (id, refusal) in &built.applied.refused {
        error(&format!("change set {id} was refused: {refusal}"));
    }
    for (document, fault) in &built.applied.faults {
        error(&format!("{document}: {fault}"));
    }
    for waiting in partition.waiting() {
        error(&format!("change set {} waits for {} that the bundle does not have", waiting.id, waiting.missing.len()));
    }
    line("")
}
