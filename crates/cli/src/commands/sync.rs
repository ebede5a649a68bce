//! `sync`: exchange with relays, once or for as long as it runs.

use crate::commands::network::{Network, Signals};
use crate::commands::{clock, moment};
use crate::output::{Align, Progress, Table, bytes, count, error, line, remark, things};
use crate::workspace::{open_book, refresh};
use crate::{Context, Outcome};
use anyhow::{anyhow, bail};
use fieldbook::replica::LinkError;
use fieldbook::{Code, Connectivity, Error, Fieldbook, Link, Standing, SyncReport, Watched};
use serde_json::{Value as Json, json};

/// Under what the store remembers where it synced last.
pub(crate) const LAST_RELAY: &str = "cli/relay";

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The relays: `wss://HOST:PORT`, or ws:// on this machine [default: those of last time]
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Stay connected and exchange whatever comes, until Ctrl-C or SIGTERM
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let context = &options.network.apply(context);
    let book = open_book(context, &context.folder)?;
    let urls = if options.urls.is_empty() { last(&book)? } else { options.urls.clone() };
    book.remember(LAST_RELAY, Some(urls.join("\n").as_bytes()))?;
    if options.follow {
        return follow(context, &book, &urls);
    }
    let mut reports = Vec::new();
    let mut is_yes = true;
    for url in &urls {
        let mut progress = Progress::new("still to exchange, change sets:");
        let mut exchange = || {
            book.sync_watched(url, options.network.timeout(), |state| {
                if let Connectivity::Syncing { to_send, to_receive } = state {
                    progress.at((to_send + to_receive) as usize, None);
                }
            })
        };
        let mut report = exchange();
        if let Ok(first) = &report
            && !first.refused.is_empty()
            && first.sent > first.refused.len() as u64
        {
            // The grant that lets it in may have stood behind it in the log: now it is there.
            report = exchange().map(|second| together(first, second));
        }
        drop(progress);
        match report {
            Ok(report) => {
                is_yes &= report.denied.is_empty() && report.refused.is_empty() && report.paused.is_empty();
                reports.push((url, report));
            }
            // The relay was there and said no.
            Err(Error::Link(LinkError::Session(why))) => {
                is_yes = false;
                error(&format!("{url}: {why}"));
                remark(
                    "what it did not acknowledge stays here, what did not hold was not taken; sync again, and if that does not help: fieldbook verify",
                );
            }
            Err(other) => {
                return Err(anyhow!(other).context(format!("not synced with {url}; everything saved is still here")));
            }
        }
    }
    for partition in book.partitions()? {
        refresh(&book.partition(&partition)?)?;
        if let Standing::ViewOnly { expired_ms } = book.standing(&partition)? {
            is_yes = false;
            error(&format!(
                "{partition}: the grant of this device ended {}. It shows what it has, and keeps what is typed as drafts; ask for a new one",
                moment(expired_ms)
            ));
        }
    }
    if context.json {
        crate::output::json(&reports.iter().map(|(url, report)| as_json(url, report)).collect::<Json>())?;
    } else {
        print(&book, &reports)?;
    }
    Ok(is_yes)
}

fn last(book: &Fieldbook) -> anyhow::Result<Vec<String>> {
    let remembered = book.remembered(LAST_RELAY)?.unwrap_or_default();
    let urls: Vec<String> = String::from_utf8_lossy(&remembered).lines().map(str::to_owned).collect();
    if urls.is_empty() {
        bail!("this device has not synced yet; name the relay: fieldbook sync wss://HOST");
    }
    Ok(urls)
}

fn print(book: &Fieldbook, reports: &[(&String, SyncReport)]) -> anyhow::Result<()> {
    if !reports.is_empty() {
        let mut table = Table::new(&[
            ("relay", Align::Left),
            ("sent", Align::Right),
            ("received", Align::Right),
            ("bytes out", Align::Right),
            ("bytes in", Align::Right),
            ("held there", Align::Right),
            ("held here", Align::Right),
            ("refused", Align::Right),
        ]);
        for (url, report) in reports {
            table.row([
                (*url).clone(),
                count(report.sent as usize),
                count(report.received as usize),
                bytes(report.bytes_sent as usize),
                bytes(report.bytes_received as usize),
                count(report.held as usize),
                count(report.put_aside as usize),
                count(report.refused.len()),
            ]);
        }
        table.print(0)?;
    }
    for (url, report) in reports {
        for (partition, why) in &report.denied {
            error(&format!("{partition} was not opened at {url}: {why}"));
        }
        for (partition, why) in &report.paused {
            error(&format!("{partition}: {url} {why}"));
        }
        for (id, code) in report.refused.iter().take(10) {
            error(&format!(
                "change set {} was refused at {url}: {}; it stays here and is offered again",
                id.short(),
                reason(*code)
            ));
        }
        if report.refused.len() > 10 {
            error(&format!("and {} more", things(report.refused.len() - 10, "change set")));
        }
        if report.held > 0 {
            remark(&format!("{} at {url} until it is known that their authors may write", held(report.held)));
        }
    }
    let outbox = book.outbox_now()?;
    let refused: usize = reports.iter().map(|(_, report)| report.refused.len()).sum();
    if refused > 0 {
        line(&format!("\nnot everything is at a relay: {} refused", things(refused, "change set")))?;
    } else if outbox.count == 0 && !reports.is_empty() {
        line("\nup to date: a relay has everything that was saved here")?;
    } else if outbox.count > 0 {
        line(&format!("\n{} no relay has acknowledged yet", things(outbox.count as usize, "change set")))?;
    }
    Ok(())
}

/// Two exchanges as one: what counts at the end is what the second says.
fn together(first: &SyncReport, mut second: SyncReport) -> SyncReport {
    second.sent += first.sent;
    second.received += first.received;
    second.bytes_sent += first.bytes_sent;
    second.bytes_received += first.bytes_received;
    second.put_aside += first.put_aside;
    second
}

/// Why a relay refused a change set, in words.
fn reason(code: Code) -> String {
    let words = match code {
        Code::NO_GRANT => "its author never had a grant there",
        Code::NOT_PERMITTED => "its author's grant does not cover it",
        Code::QUOTA => "a quota of the relay is used up",
        Code::FORGED => "a signature or hash in it does not hold",
        Code::TOO_LARGE => "it is over a limit",
        other => return format!("reason {}", other.0),
    };
    words.to_owned()
}

fn held(number: u64) -> String {
    format!("{} {} held", things(number as usize, "change set"), if number == 1 { "is" } else { "are" })
}

fn as_json(url: &str, report: &SyncReport) -> Json {
    json!({
        "relay": url, "sent": report.sent, "received": report.received, "bytes_sent": report.bytes_sent,
        "bytes_received": report.bytes_received, "held_there": report.held, "held_here": report.put_aside,
        "refused": report.refused.iter().map(|(id, code)| json!({ "change_set": id.to_string(), "why": reason(*code) })).collect::<Vec<_>>(),
        "paused": report.paused.iter().map(|(name, why)| json!({ "partition": name.as_str(), "why": why })).collect::<Vec<_>>(),
        "denied": report.denied.iter().map(|(name, why)| json!({ "partition": name.as_str(), "why": why })).collect::<Vec<_>>(),
    })
}

/// Stays connected until somebody ends it.
fn follow(context: &Context, book: &Fieldbook, urls: &[String]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let links: Vec<Link> = urls.iter().map(|url| book.connect(url)).collect::<Result<_, _>>()?;
        let mut tellers = tokio::task::JoinSet::new();
        for (link, url) in links.iter().zip(urls) {
            tellers.spawn(tell(context.json, url.clone(), link.connectivity()));
        }
        signals.end().await;
        for link in links {
            link.close().await;
        }
        // Each says how its link ended, and ends with it.
        while tellers.join_next().await.is_some() {}
        anyhow::Ok(())
    })?;
    for partition in book.partitions()? {
        refresh(&book.partition(&partition)?)?;
    }
    let outbox = book.outbox_now()?;
    if !context.json {
        line(&format!("ended; {} no relay has acknowledged", things(outbox.count as usize, "change set")))?;
    }
    Ok(true)
}

/// Prints each change of a connection's state; counts that only move while it syncs are not worth a line.
async fn tell(json: bool, url: String, mut state: Watched<Connectivity>) {
    let mut said = String::new();
    let mut now = Some(state.now());
    while let Some(state_now) = now {
        let (code, text) = words(&state_now);
        // Without readers the exchange goes on all the same.
        if text != said {
            let _ = if json {
                crate::output::json_line(&json!({ "relay": url, "state": code, "text": text }))
            } else {
                line(&format!("{}  {url}  {text}", clock()))
            };
            said = text;
        }
        now = state.changed().await;
    }
}

fn words(state: &Connectivity) -> (&'static str, String) {
    match state {
        Connectivity::Offline { .. } => ("offline", "offline".to_owned()),
        Connectivity::Connecting { error: None, .. } => ("connecting", "connecting".to_owned()),
        Connectivity::Connecting { error: Some(error), next_try_ms: None, .. } => {
            ("connecting", format!("connecting again: {error}"))
        }
        Connectivity::Connecting { error: Some(error), .. } => {
            ("waiting", format!("not connected: {error}; trying again"))
        }
        Connectivity::Syncing { .. } => ("syncing", "syncing".to_owned()),
        Connectivity::UpToDate { .. } => ("up_to_date", "up to date".to_owned()),
        Connectivity::Restricted { why } => ("restricted", format!("restricted: {why}")),
        _ => ("other", "in a state that this version does not know".to_owned()),
    }
}
