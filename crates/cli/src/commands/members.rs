//! `members`: who is who in a partition.

use crate::commands::network::grouped_code;
use crate::commands::{exact, moment};
use crate::device::Names;
use crate::output::{Align, Table, line, things};
use crate::workspace::Workspace;
use crate::{Context, Outcome};
use fieldbook::access::{Kinds, Person, Role, limits::NO_END};
use fieldbook::{KeyText, PublicKey, Standing};
use serde_json::{Value as Json, json};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {}

/// One grant that counts.
struct Held {
    key: PublicKey,
    person: Person,
    role: Role,
    kinds: Option<Vec<String>>,
    until_ms: u64,
    standing: &'static str,
    may_grant: bool,
}

pub(crate) fn run(context: &Context, _: &Options) -> Outcome {
    let workspace = Workspace::open(context)?;
    workspace.refresh()?;
    let names = Names::load(&workspace.partition)?;
    let (own, now_ms) = (workspace.book.key(), workspace.book.replica().now_ms());
    let held = held(&workspace, now_ms)?;
    if context.json {
        let rows = held.iter().map(|held| {
            json!({
                "device": names.get(&held.key), "key": KeyText::of_key(&held.key).to_string(),
                "device_key": held.key.to_string(), "person": held.person.name, "role": held.role.as_str(),
                "kinds": held.kinds, "until": (held.until_ms != NO_END).then(|| exact(held.until_ms)),
                "standing": held.standing, "may_grant": held.may_grant, "this_device": held.key == own,
            })
        });
        crate::output::json(&rows.collect::<Json>())?;
        return Ok(true);
    }
    if held.is_empty() {
        line(&format!(
            "nobody may write in {} by what this device knows; sync, or merge a bundle",
            workspace.partition.name()
        ))?;
        return Ok(true);
    }
    let mut table = Table::new(&[
        ("person", Align::Left),
        ("role", Align::Left),
        ("device", Align::Left),
        ("key", Align::Left),
        ("kinds", Align::Left),
        ("until (UTC)", Align::Left),
        ("standing", Align::Left),
    ]);
    for held in &held {
        let mut device = names.of_key(&held.key);
        if held.key == own {
            device.push_str(" (this one)");
        }
        let standing =
            if held.may_grant { format!("{}, lets others in", held.standing) } else { held.standing.to_owned() };
        table.row([
            held.person.name.clone(),
            held.role.to_string(),
            device,
            format!("{}…", grouped_code(&KeyText::of_key(&held.key))),
            held.kinds.as_ref().map_or_else(|| "all".to_owned(), |kinds| kinds.join(", ")),
            if held.until_ms == NO_END { "no end".to_owned() } else { moment(held.until_ms) },
            standing,
        ]);
    }
    table.print(0)?;
    line(&format!("\n{} in {}", things(held.len(), "grant"), workspace.partition.name()))?;
    Ok(true)
}

fn held(workspace: &Workspace, now_ms: u64) -> anyhow::Result<Vec<Held>> {
    let partition = workspace.partition.name();
    let held = workspace.book.ask_authority(|authority| {
        let mut all = Vec::new();
        for key in authority.people(partition).into_keys() {
            let may_grant = matches!(authority.may_grant(&key, partition, now_ms), fieldbook::access::MayGrant::Yes);
            for held in authority.grants_of(&key, partition) {
                let grant = held.grant;
                let standing = match now_ms {
                    now if now > grant.not_after_ms => "ended",
                    now if now < grant.not_before_ms => "begins later",
                    _ => "in force",
                };
                let kinds = match &grant.kinds {
                    Kinds::All => None,
                    Kinds::Named(kinds) => Some(kinds.iter().map(ToString::to_string).collect()),
                };
                let (person, role) = (grant.person.clone(), grant.role.clone());
                all.push(Held { key, person, role, kinds, until_ms: grant.not_after_ms, standing, may_grant });
            }
        }
        all
    })?;
    Ok(held)
}

/// How a device stands, in a few words.
pub(crate) fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Full { until_ms } if *until_ms == NO_END => "let in, without an end".to_owned(),
        Standing::Full { until_ms } => format!("let in until {}", moment(*until_ms)),
        Standing::ViewOnly { expired_ms } => {
            format!("view only: the grant ended {}; ask for a new one", moment(*expired_ms))
        }
        Standing::NotYet { from_ms } => format!("let in from {} on", moment(*from_ms)),
        _ => "not let in yet: show the key to somebody who may let devices in".to_owned(),
    }
}

/// How a device stands, in one word for programs.
pub(crate) fn standing_code(standing: &Standing) -> &'static str {
    match standing {
        Standing::Full { .. } => "full",
        Standing::ViewOnly { .. } => "view_only",
        Standing::NotYet { .. } => "not_yet",
        _ => "none",
    }
}
