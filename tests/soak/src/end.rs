//! The end: everything heals, and then everything must be well.

use crate::cast::children;
use crate::words::{Command, Standing};
use crate::world::World;
use anyhow::{Context as _, bail, ensure};
use changeset::ChangeSetId;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What a process may take in memory, whatever it holds: code, caches, threads, and what is in flight.
const MEMORY: u64 = 128 << 20;
/// What a device may take more for each change set, of whose documents it keeps all in memory. A relay keeps none.
const MEMORY_OF_A_CHANGE_SET: u64 = 12 << 10;
/// So many of what is wrong are told.
const TOLD: usize = 12;

/// All trouble ends: everybody runs, nobody edits, the network is there. Gives how long it took until everybody had
/// everything.
pub(crate) fn heal(world: &mut World<'_>) -> anyhow::Result<Duration> {
    world.cast.weigh();
    world.network.heal();
    world.start_the_rest()?;
    let devices = world.cast.devices();
    world.cast.ask_all(&devices, &Command::Rest)?;
    world.tell("all trouble ends, nobody edits any more")?;
    // The system says that there is a network again, and apps call at once.
    world.cast.ask_all(&devices, &Command::Connect)?;
    let begun = Instant::now();
    let patience = Duration::from_secs(world.options.healing);
    if world.options.sabotage {
        sabotage(world)?;
    }
    let healed = world.cast.until(patience, "not everybody had everything", |cast| {
        let is_level = |who: &usize| {
            cast.processes.get(*who).is_some_and(|one| {
                one.state.is_up_to_date && one.state.outbox == 0 && one.state.waiting == 0 && one.state.undecided == 0
            })
        };
        devices.iter().all(is_level) && cast.ledger.is_even()
    });
    let took = begun.elapsed();
    if let Err(error) = healed {
        bail!("{error:#}\n{}", differences(world));
    }
    world.tell(&format!("everybody has everything after {:.1} s", took.as_secs_f64()))?;
    Ok(took)
}

/// A change set that nobody has is called saved.
fn sabotage(world: &mut World<'_>) -> anyhow::Result<()> {
    let first = *world.cast.devices().first().context("there are devices")?;
    world.cast.ledger.saved.insert(ChangeSetId::from_bytes([0xff; 32]), first);
    Ok(())
}

/// How those differ that should be even.
fn differences(world: &World<'_>) -> String {
    let all = world.cast.ledger.must_exist();
    let mut text = format!("{} change sets have to be everywhere\n", all.len());
    for (who, process) in world.cast.processes.iter().enumerate() {
        let lacks = world.cast.ledger.lacks(who, &all);
        let short: Vec<String> = lacks.iter().take(TOLD).map(ToString::to_string).collect();
        let state = &process.state;
        let _infallible = writeln!(
            text,
            "  {}: lacks {}, outbox {}, waiting {}, undecided {}, {:?} {}",
            process.name,
            lacks.len(),
            state.outbox,
            state.waiting,
            state.undecided,
            state.lines,
            short.join(" ")
        );
    }
    text
}

/// Checks everything, ends all processes, and says what there was.
pub(crate) fn judge(world: &mut World<'_>, healed: Duration) -> anyhow::Result<()> {
    let all = world.cast.ledger.must_exist();
    let mut faults = world.cast.ledger.faults(&all);
    let devices = world.cast.devices();
    world.cast.ask_all(&devices, &Command::Standing)?;
    let standings: Vec<(String, Standing)> = devices
        .iter()
        .map(|who| {
            let process = world.cast.process(*who)?;
            Ok((process.name.clone(), process.standing.clone().context("it said how it stands")?))
        })
        .collect::<anyhow::Result<_>>()?;
    let (first, rest) = standings.split_first().context("there are devices")?;
    for (name, standing) in rest {
        if standing.digests != first.1.digests {
            faults.push(format!("{name} has the digests {:?}, {} {:?}", standing.digests, first.0, first.1.digests));
        }
    }
    for (name, standing) in &standings {
        faults.extend(standing.undecided.iter().map(|why| format!("{name}: a change set does not count: {why}")));
    }
    let begun = Instant::now();
    faults.extend(ask_the_model(world, &devices, &all, &standings)?);
    let modelled = begun.elapsed();
    let everybody: Vec<usize> = (0..world.cast.processes.len()).collect();
    for who in &everybody {
        world.cast.ask(*who, &Command::Verify)?;
        let process = world.cast.process(*who)?;
        let (_, entries, findings) = process.verified.clone().context("it was verified")?;
        faults.extend(findings.iter().map(|finding| format!("{}: {finding}", process.name)));
        if entries != all.len() as u64 {
            faults.push(format!("{}: verify read {entries} of {} change sets", process.name, all.len()));
        }
    }
    world.cast.weigh();
    for process in &world.cast.processes {
        let held = if process.relay.is_some() { 0 } else { all.len() as u64 };
        let most = MEMORY + held * MEMORY_OF_A_CHANGE_SET;
        if process.peak_memory > most {
            faults.push(format!(
                "{} took {} MiB of memory, more than {} MiB",
                process.name,
                process.peak_memory >> 20,
                most >> 20
            ));
        }
    }
    everybody.iter().try_for_each(|who| world.cast.quit(*who))?;
    match children() {
        0 => {}
        left => faults.push(format!("{left} processes are left")),
    }
    report(world, &all, &first.1, healed, modelled);
    ensure!(
        faults.is_empty(),
        "{} faults:\n  {}",
        faults.len(),
        faults.iter().take(TOLD).cloned().collect::<Vec<_>>().join("\n  ")
    );
    println!("clean: everything that was called durable is everywhere, and everybody agrees with the model");
    Ok(())
}

/// The naive model reads what each device exports, and says what it must mean.
fn ask_the_model(
    world: &mut World<'_>,
    devices: &[usize],
    all: &BTreeSet<ChangeSetId>,
    standings: &[(String, Standing)],
) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut model: Option<Vec<(String, String)>> = None;
    for (who, (name, standing)) in devices.iter().zip(standings) {
        let to = world.folder.join(format!("{name}.fieldbook"));
        world.cast.ask(*who, &Command::Export { to: to.clone() })?;
        let read = match naive::read(&std::fs::read(&to)?) {
            Ok(read) => read,
            Err(why) => {
                faults.push(format!("the naive reader refuses what {name} exports: {why}"));
                continue;
            }
        };
        let ids: BTreeSet<ChangeSetId> =
            read.iter().flat_map(naive::Partition::ids).map(ChangeSetId::from_bytes).collect();
        if ids != *all {
            faults.push(format!("{name} exports {} change sets of {}", ids.len(), all.len()));
            continue;
        }
        // Equal sets mean the same, so it is computed once.
        if model.is_none() {
            let verdicts = naive::verdicts(&read);
            let refused = verdicts.iter().filter(|(_, verdict)| **verdict != naive::Verdict::Accepted);
            faults.extend(refused.map(|(id, verdict)| {
                format!("the model's verdict on {} is {verdict:?}", ChangeSetId::from_bytes(*id))
            }));
            let digest = |partition: &naive::Partition| {
                let masked = naive::masked_for(&verdicts, partition, None);
                let digest = naive::state(partition, &masked).digest;
                (partition.name().to_owned(), ChangeSetId::from_bytes(digest).to_string())
            };
            model = Some(read.iter().map(digest).collect());
        }
        if let Some(model) = &model
            && *model != standing.digests
        {
            faults.push(format!("{name} has the digests {:?}, the model {model:?}", standing.digests));
        }
    }
    Ok(faults)
}

fn report(world: &World<'_>, all: &BTreeSet<ChangeSetId>, standing: &Standing, healed: Duration, modelled: Duration) {
    let ledger = &world.cast.ledger;
    let refused: u64 = world.cast.processes.iter().map(|process| process.refused + process.state.refused).sum();
    let mut rows: Vec<(String, String)> = vec![
        ("seed".to_owned(), world.seed.to_string()),
        ("time".to_owned(), format!("{} s", world.begun.elapsed().as_secs())),
        ("change sets reported as saved".to_owned(), ledger.saved.len().to_string()),
        ("  of these lost with a store that was put back".to_owned(), ledger.excused(all).len().to_string()),
        ("reported as at a relay".to_owned(), ledger.relayed.len().to_string()),
        ("change sets everywhere".to_owned(), all.len().to_string()),
        ("edits that the rules refused".to_owned(), refused.to_string()),
        ("documents, forks".to_owned(), format!("{}, {}", standing.documents, standing.forks)),
        ("until everybody had everything".to_owned(), format!("{:.1} s", healed.as_secs_f64())),
        ("the naive model's time".to_owned(), format!("{:.1} s", modelled.as_secs_f64())),
    ];
    rows.extend(world.counts.iter().map(|(what, count)| ((*what).to_owned(), count.to_string())));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("  {name:<width$}  {value:>10}");
    }
    println!("  {:<24} {:>6} {:>12} {:>12} {:>8}", "process", "lives", "peak memory", "store", "pages");
    for process in &world.cast.processes {
        println!(
            "  {:<24} {:>6} {:>8} MiB {:>8} KiB {:>8}",
            process.name,
            process.lives,
            process.peak_memory >> 20,
            process.state.size >> 10,
            process.verified.as_ref().map_or(0, |(pages, _, _)| *pages)
        );
    }
}
