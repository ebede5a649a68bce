//! `grant`: let a device in, or see who asks to be.

use crate::commands::network::{Network, grouped_code, read_code};
use crate::commands::{moment, parse_until, short};
use crate::output::{Align, Table, age, error, line, remark, things};
use crate::workspace::{choose, open_book, refresh};
use crate::{Context, Outcome};
use anyhow::{anyhow, bail};
use changeset::Partition as PartitionName;
use fieldbook::access::limits::NO_END;
use fieldbook::{Error, Fieldbook, Invitation, KeyText, Knock, PublicKey};
use serde_json::json;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The device's key, 52 characters; with --relay also the code that the device shows
    #[arg(value_name = "KEY|CODE", num_args = 0.., required_unless_present = "requests")]
    device: Vec<String>,
    /// The person who uses it
    #[arg(long, value_name = "NAME", required_unless_present = "requests")]
    person: Option<String>,
    /// What the person is to others: a word such as inspector
    #[arg(long, default_value = "member")]
    role: String,
    /// The kinds of documents that may be written, separated by commas [default: all]
    #[arg(long, value_name = "KIND,KIND…", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Until when: a day as 2027-03-31, a time as 2027-03-31T18:00, or so long from now as 12h, 30d, 8w [default: no end]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Let the device let others in, too
    #[arg(long)]
    may_grant: bool,
    /// List who knocked at the relay
    #[arg(long, requires = "relay", conflicts_with_all = ["person", "device"])]
    requests: bool,
    /// The relay where devices knock; what is granted is synced to it at once
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    #[command(flatten)]
    network: Network,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    let context = &options.network.apply(context);
    let book = open_book(context, &context.folder)?;
    if let (true, Some(url)) = (options.requests, &options.relay) {
        return requests(context, options, &book, url);
    }
    let partition = match context.partitions.as_slice() {
        // A partition may begin with its first grant.
        [name] => PartitionName::new(name)?,
        _ => choose(context, &book)?,
    };
    // Typed with spaces between its groups it comes in pieces.
    let device = find(&book, options, &options.device.concat())?;
    let person = options.person.as_deref().unwrap_or_default();
    let mut invitation = Invitation::new(device, person, &options.role, 0);
    if !options.kinds.is_empty() {
        invitation.kinds = Some(options.kinds.clone());
    }
    if let Some(until) = &options.until {
        invitation.not_after_ms = parse_until(until, book.replica().now_ms())?;
    }
    invitation.may_grant = options.may_grant;
    let saved = match book.grant(&partition, &invitation) {
        Ok(saved) => saved,
        Err(Error::NotPermitted(why)) => {
            if context.json {
                crate::output::json(&json!({ "not_permitted": why.to_string() }))?;
            } else {
                error(&format!("nothing was granted: {why}"));
            }
            return Ok(false);
        }
        Err(other) => return Err(other.into()),
    };
    refresh(&book.partition(&partition)?)?;
    let report = options.relay.as_ref().map(|url| book.sync(url, options.network.timeout())).transpose()?;
    let key = KeyText::of_key(&device);
    if context.json {
        crate::output::json(&json!({
            "change_set": saved.id.to_string(), "key": key.to_string(), "person": person, "role": options.role,
            "partition": partition.as_str(), "synced": report.is_some(),
        }))?;
        return Ok(true);
    }
    let until = if invitation.not_after_ms == NO_END {
        "without an end".to_owned()
    } else {
        format!("until {}", moment(invitation.not_after_ms))
    };
    line(&format!(
        "{person} ({}) may write in {partition} {until}, with the device {}…",
        options.role,
        grouped_code(&key)
    ))?;
    line(&format!("change set {}", short(&saved.id)))?;
    match report {
        Some(_) => line("It is at the relay: the device is let in when it connects next, or now if it is connected.")?,
        None => {
            line("It reaches the device when both sync, or in a bundle: fieldbook sync, fieldbook export --signed")?
        }
    }
    Ok(true)
}

fn requests(context: &Context, options: &Options, book: &Fieldbook, url: &str) -> Outcome {
    let knocks = book.knocks(url, options.network.timeout())?.knocks;
    let now_ms = book.replica().now_ms();
    if context.json {
        let rows = knocks.iter().map(|knock| {
            let key = KeyText::of_key(&knock.key);
            json!({
                "code": grouped_code(&key), "key": key.to_string(), "name": knock.name,
                "age_seconds": now_ms.saturating_sub(knock.time_ms) / 1000,
            })
        });
        crate::output::json(&rows.collect())?;
        return Ok(true);
    }
    if knocks.is_empty() {
        line(&format!("nobody waits to be let in at {url}"))?;
        return Ok(true);
    }
    let mut table = Table::new(&[("code", Align::Left), ("calls itself", Align::Left), ("knocked", Align::Right)]);
    for knock in &knocks {
        let code = grouped_code(&KeyText::of_key(&knock.key));
        table.row([code, knock.name.clone(), format!("{} ago", age(now_ms.saturating_sub(knock.time_ms)))]);
    }
    table.print(0)?;
    line(&format!(
        "\n{}. Anybody can take any name: have the person read their code to you, and let in only",
        things(knocks.len(), "request")
    ))?;
    line(&format!("the same one: fieldbook grant --relay {url} CODE --person NAME"))?;
    Ok(true)
}

/// The device that is meant: by its whole key, or by the code of one that knocked.
fn find(book: &Fieldbook, options: &Options, text: &str) -> anyhow::Result<PublicKey> {
    let Some(url) = &options.relay else {
        let key: KeyText = text.parse().map_err(|error| anyhow!("{text}: {error}"))?;
        return Ok(key.to_key());
    };
    if let Ok(key) = text.parse::<KeyText>() {
        return Ok(key.to_key());
    }
    let code = read_code(text)?;
    let knocks = book.knocks(url, options.network.timeout())?.knocks;
    let is_meant = |knock: &&Knock| KeyText::of_key(&knock.key).to_string().starts_with(&code);
    match knocks.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [only] => {
            remark(&format!("the device calls itself {}", only.name));
            Ok(only.key)
        }
        [] => bail!("no device with the code {text} waits at {url}; see: fieldbook grant --requests --relay {url}"),
        _ => bail!("several devices have the code {text}; give more of the key"),
    }
}
