//! What the demo shows at its end, and whether all is well.

use crate::Outcome;
use crate::commands::{conflicts, rule_code};
use crate::demo::team::{Device, Ledger};
use crate::device::Names;
use crate::output::{Align, Table, bytes, count, duration, line, things};
use crdt::{Partition, Resolution, Standing};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many conflicts are told in full.
const TOLD: usize = 6;

pub(crate) fn print(team: &mut [Device], ledger: &Ledger, time: Duration, as_json: bool) -> Outcome {
    let mut digests = Vec::new();
    let mut missing = Vec::new();
    for device in team.iter_mut() {
        digests.push((device.partition.digest(), device.partition.automerge_heads()?));
        for (id, (who, what)) in &ledger.saved {
            let counts = device
                .partition
                .documents()
                .find_map(|document| document.standing(id))
                .is_some_and(Standing::is_counted);
            if !counts {
                missing.push((device.name.clone(), *id, who.clone(), what.clone()));
            }
        }
    }
    let are_equal = digests.windows(2).all(|pair| pair.first() == pair.last());
    let is_well = are_equal && missing.is_empty();
    let Some(first) = team.first_mut() else { return Ok(is_well) };
    let size = first.bundle()?.len();
    let conflicts: Vec<Resolution> = first.partition.documents().flat_map(|document| document.conflicts()).collect();
    let forks = first.partition.forks();
    if as_json {
        let digests: BTreeMap<&str, String> =
            team.iter().zip(&digests).map(|(device, (digest, _))| (device.name.as_str(), digest.to_string())).collect();
        crate::output::json(&json!({
            "ok": is_well, "digests": digests, "missing": missing.len(), "saved": ledger.saved.len(),
            "conflicts": conflicts.len(), "forks": forks.len(), "bundle_bytes": size, "bytes_sent": ledger.bytes_sent,
            "seconds": time.as_secs_f64(),
        }))?;
        return Ok(is_well);
    }
    let names = Names::of(&first.partition);
    tell_conflicts(&first.partition, &conflicts, &names)?;
    line("\nForks: one key, two stores")?;
    for fork in &forks {
        let entry = first.partition.log().entries().iter().find(|entry| fork.siblings.contains(&entry.id()));
        let who = entry.map(|entry| names.of_actor(entry.actor().key(), &fork.actor)).unwrap_or_default();
        let branches: Vec<String> = fork.siblings.iter().map(changeset::ChangeSetId::short).collect();
        line(&format!("  {who} goes on twice: {}; both kept", branches.join(" and ")))?;
    }
    line("\nSummary")?;
    let log = first.partition.log().entries();
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let mut row = |name: &str, number: String, unit: &str| table.row([name.to_owned(), number, unit.to_owned()]);
    row("documents", count(first.partition.documents().count()), "");
    row("change sets", count(log.len()), "");
    row("saved by people", count(ledger.saved.len()), "all signed by the device that made them");
    row("bundle with everything", bytes(size), &format!("{} a change set", bytes(size / log.len().max(1))));
    row(
        "bundles sent",
        count(ledger.bundles_sent),
        &format!("{} lost, {} twice", ledger.bundles_lost, ledger.bundles_repeated),
    );
    row("carried in all", bytes(ledger.bytes_sent), "every bundle whole: this part has no sync yet");
    row("conflicts", count(conflicts.len()), "each with who, when and which rule");
    row("forks", count(forks.len()), "");
    row("time", duration(time), "");
    table.print(2)?;
    line("\nDigests")?;
    let mut table = Table::new(&[("device", Align::Left), ("change sets", Align::Right), ("digest", Align::Left)]);
    for (device, (digest, _)) in team.iter().zip(&digests) {
        table.row([device.name.clone(), count(device.partition.log().entries().len()), digest.to_string()]);
    }
    table.print(2)?;
    for (device, id, who, what) in missing.iter().take(5) {
        line(&format!("\nMISSING on {device}: change set {} ({what}), which {who} was told is saved", id.short()))?;
    }
    line(match (are_equal, missing.is_empty()) {
        (true, true) => "\nAll digests are equal and no saved edit is missing.",
        (true, false) => "\nAll digests are equal, but a saved edit is missing.",
        (false, _) => "\nThe devices DIFFER.",
    })?;
    Ok(is_well)
}

fn tell_conflicts(partition: &Partition, conflicts: &[Resolution], names: &Names) -> std::io::Result<()> {
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    conflicts.iter().for_each(|conflict| *by_rule.entry(rule_code(conflict.rule)).or_default() += 1);
    let counted: Vec<String> = by_rule.iter().map(|(rule, number)| format!("{number} {rule}")).collect();
    line(&format!("\n{} left to look at: {}", things(conflicts.len(), "conflict"), counted.join(", ")))?;
    // One of each rule first, so that a short list shows them all.
    let mut told: Vec<&Resolution> = Vec::new();
    for rule in by_rule.keys() {
        told.extend(
            conflicts.iter().filter(|conflict| rule_code(conflict.rule) == *rule).take(TOLD.div_ceil(by_rule.len())),
        );
    }
    for conflict in told {
        let document = partition.documents().find(|document| {
            conflict.contenders.iter().any(|contender| document.change_set(&contender.change_set).is_some())
        });
        if let Some(document) = document {
            line(&format!("  {}", document.key()))?;
        }
        conflicts::print(conflict, names, 4)?;
    }
    Ok(())
}
