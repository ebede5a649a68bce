//! The judge: after everything healed, all honest replicas must agree with each other and with the naive model.

use crate::machine::{Machine, Role};
use crate::world::World;
use changeset::{ChangeSetId, Partition as PartitionName, Path};
use crdt::State;
use std::collections::{BTreeMap, BTreeSet};
use storage::LogKey;

/// Everything that is held of each partition, by machine.
pub type Held = BTreeMap<usize, BTreeSet<ChangeSetId>>;

fn short(id: &ChangeSetId) -> String {
    id.short()
}

/// All honest machines that run.
fn honest(world: &World) -> impl Iterator<Item = &Machine> {
    world.machines.iter().filter(|machine| machine.role.is_honest() && machine.body.is_some())
}

fn names(world: &World) -> Vec<PartitionName> {
    let authority = PartitionName::new(access::PARTITION_AUTHORITY).expect("the name follows the pattern");
    std::iter::once(authority).chain(world.partitions.iter().cloned()).collect()
}

/// What each honest machine holds of a partition.
///
/// # Errors
/// If a log cannot be read.
pub fn held(world: &World, partition: &PartitionName) -> anyhow::Result<Held> {
    honest(world).map(|machine| Ok((machine.number, machine.ids(world.workspace, partition)?))).collect()
}

/// What is wrong in a healed world; nothing if all is well. Costs what the naive model costs.
///
/// # Errors
/// What is wrong.
pub fn judge(world: &World) -> anyhow::Result<()> {
    let partitions = names(world);
    let mut all: BTreeMap<PartitionName, Held> = BTreeMap::new();
    for partition in &partitions {
        all.insert(partition.clone(), held(world, partition)?);
    }
    for (partition, promised) in world.ledger.must_exist(&world.machines) {
        let everywhere: BTreeSet<ChangeSetId> =
            all.get(&partition).into_iter().flat_map(BTreeMap::values).flatten().copied().collect();
        // What waits for something that is lost is kept all the same.
        let is_kept = |id: &ChangeSetId| {
            everywhere.contains(id)
                || honest(world).any(|machine| machine.has(world.workspace, &partition, id) == Some(true))
        };
        if let Some(lost) = promised.iter().find(|id| !is_kept(id)) {
            anyhow::bail!("{} in {partition} was called durable, and nobody has it", short(lost));
        }
    }
    if let Some(fault) = world.ledger.old_names(&world.machines, world.workspace) {
        anyhow::bail!(fault);
    }
    let mut known = BTreeMap::new();
    let mut accepted: BTreeMap<PartitionName, BTreeSet<ChangeSetId>> = BTreeMap::new();
    for machine in honest(world) {
        let Some(book) = machine.book() else { continue };
        let name = machine.number;
        let bundles = book.export_several(&partitions[1..])?;
        let sets: Vec<&BTreeSet<ChangeSetId>> = partitions.iter().map(|partition| &all[partition][&name]).collect();
        let model = match known.get(&sets) {
            Some(model) => std::rc::Rc::clone(model),
            None => {
                let read = naive::read(&bundles).map_err(|why| {
                    anyhow::anyhow!("machine {name}: the naive reader refuses what it exports: {why}")
                })?;
                let verdicts = naive::verdicts(&read);
                let model = std::rc::Rc::new((read, verdicts));
                known.insert(sets, std::rc::Rc::clone(&model));
                model
            }
        };
        let (read, verdicts) = &*model;
        for partition in &partitions {
            let Some(view) = read.iter().find(|read| read.name() == partition.as_str()) else { continue };
            let ids: BTreeSet<ChangeSetId> = view.ids().map(ChangeSetId::from_bytes).collect();
            anyhow::ensure!(
                ids == all[partition][&name],
                "machine {name}: its log of {partition} and its export differ"
            );
            let good = view.ids().filter(|id| matches!(verdicts.get(id), Some(naive::Verdict::Accepted)));
            accepted.entry(partition.clone()).or_default().extend(good.map(ChangeSetId::from_bytes));
            let open = book.partition(partition)?;
            let digest = open.digest()?;
            // Own work that waits for a grant is shown on the device itself.
            let masked = naive::masked_for(verdicts, view, Some(*machine.public_key().as_bytes()));
            let shown: BTreeSet<naive::Id> = open.judgement()?.mask.iter().map(|id| *id.as_bytes()).collect();
            if shown != masked {
                let id = shown.symmetric_difference(&masked).next().copied().unwrap_or_default();
                anyhow::bail!(
                    "machine {name}: {} in {partition} counts {}, and the model's verdict is {:?}",
                    short(&ChangeSetId::from_bytes(id)),
                    if shown.contains(&id) { "not" } else { "" },
                    verdicts.get(&id)
                );
            }
            let undecided: BTreeSet<naive::Id> = open.undecided()?.iter().map(|entry| *entry.id.as_bytes()).collect();
            let expected: BTreeSet<naive::Id> =
                view.ids().filter(|id| !matches!(verdicts.get(id), Some(naive::Verdict::Accepted))).collect();
            anyhow::ensure!(undecided == expected, "machine {name}: {partition} has other reasons than the model");
            let state = naive::state(view, &masked);
            anyhow::ensure!(
                state.digest == *digest.as_bytes(),
                "machine {name}: {partition} has the digest {digest}, and the model another{}",
                difference(&open, &state)
            );
            if let Some(path) = shown_otherwise(&open, &state) {
                anyhow::bail!("machine {name}: {partition} shows another value than the model at {path}");
            }
        }
    }
    for (partition, good) in &accepted {
        for (machine, ids) in &all[partition] {
            if let Some(missing) = good.difference(ids).next() {
                let count = good.difference(ids).count();
                anyhow::bail!(
                    "machine {machine} has no {} in {partition}, which counts ({count} in all)",
                    short(missing)
                );
            }
        }
    }
    Ok(())
}

/// Whether some honest machine keeps that another one refused something, or put it aside.
pub fn is_anything_refused(world: &World) -> bool {
    let keys: Vec<_> = honest(world).map(Machine::public_key).collect();
    let partitions = names(world);
    honest(world).any(|machine| {
        let Some(view) = machine.store().and_then(|store| machine.disk.watched(|| store.view().ok())) else {
            return true;
        };
        let is_kept = |name: &str| view.meta(name).map_or(true, |kept| kept.is_some());
        partitions
            .iter()
            .any(|partition| keys.iter().any(|key| is_kept(&replica::refused_name(world.workspace, partition, key))))
    })
}

/// Where the one value that people see is not the model's: the digest holds all that are visible.
fn shown_otherwise(open: &fieldbook::Partition, state: &naive::State) -> Option<String> {
    let found = open.read(|documents| {
        documents.documents().find_map(|document| {
            let key = document.key();
            let model = state.documents.get(&(key.kind.as_str().to_owned(), *key.id.as_bytes()))?;
            let differs = |path: &&String| {
                let shown = Path::new(path).ok().and_then(|path| document.value(&path));
                shown.map(|value| (value.value_type().code(), value.to_bytes())) != model.shown(path)
            };
            model.fields.keys().find(differs).map(|path| format!("{path} of {key}"))
        })
    });
    found.ok().flatten()
}

/// The first document that differs, for people.
fn difference(open: &fieldbook::Partition, state: &naive::State) -> String {
    let found = open.read(|documents| {
        documents.documents().find_map(|document| {
            let key = (document.key().kind.as_str().to_owned(), *document.key().id.as_bytes());
            let model = state.documents.get(&key)?;
            (model.digest != *document.digest().as_bytes()).then(|| format!(": first in {}", document.key()))
        })
    });
    found.ok().flatten().unwrap_or_default()
}

/// Whether everything is everywhere: cheap enough to ask often, since no model is asked.
pub fn is_even(world: &World) -> bool {
    names(world).iter().all(|partition| {
        let log = LogKey::new(world.workspace, partition.clone());
        let length = |machine: &Machine| {
            machine.disk.watched(|| machine.store()?.view().ok()?.log(&log).ok()?).map_or(0, |state| state.end.position)
        };
        let mut lengths = honest(world).map(length);
        let first = lengths.next();
        // Logs of different lengths do not hold the same, and to see that costs nothing.
        lengths.all(|length| Some(length) == first)
            && held(world, partition).is_ok_and(|all| {
                let mut sets = all.values();
                let first = sets.next();
                sets.all(|set| Some(set) == first)
            })
    })
}

/// Whether every device that runs says that it is up to date.
pub fn all_level(world: &World) -> bool {
    honest(world).filter(|machine| machine.role == Role::Device).all(|machine| {
        let mut sessions = world.sessions_of(machine.number).peekable();
        sessions.peek().is_some()
            && sessions.all(|session| matches!(session.connectivity(), Some(fieldbook::Connectivity::UpToDate { .. })))
    })
}
