//! `init`: a new workspace, of which this device is the first.

use crate::commands::join;
use crate::output::{line, things};
use crate::workspace::{check_free, settings, store_file};
use crate::{Context, Outcome};
use anyhow::{Context as _, bail};
use changeset::{DeviceKey, Partition as PartitionName, Signer};
use fieldbook::{Fieldbook, KeyText, NewWorkspace};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The partition where nobody names one.
pub(crate) const MAIN: &str = "main";

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// What this device is called; signed with its key and shown beside what it writes
    #[arg(long)]
    name: String,
    /// The person who uses it [default: the device's name]
    #[arg(long)]
    person: Option<String>,
    /// What the workspace is called [default: the device's name]
    #[arg(long, value_name = "NAME")]
    workspace_name: Option<String>,
    /// How many root keys the workspace has; they are written beside the store and belong in safe places off the device
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    roots: u8,
    /// How many of them must agree later, when no device may decide
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: u8,
    /// Join the workspace of this bundle instead; the same as: fieldbook join --bundle
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["roots", "threshold", "workspace_name", "person"])]
    join: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, options: &Options) -> Outcome {
    if let Some(bundle) = &options.join {
        return join::by_bundle(context, &options.name, bundle, true);
    }
    check_free(&context.folder)?;
    if options.threshold > options.roots {
        bail!(
            "--threshold {} is more than --roots {}; fewer must agree than there are",
            options.threshold,
            options.roots
        );
    }
    let partition = match context.partitions.as_slice() {
        [] => PartitionName::new(MAIN)?,
        [only] => PartitionName::new(only).with_context(|| format!("--partition {only}"))?,
        _ => bail!("a workspace begins with one partition; add others later by granting them"),
    };
    let person = options.person.as_deref().unwrap_or(&options.name);
    let files: Vec<PathBuf> =
        (1..=options.roots).map(|number| context.folder.join(format!("root-{number}.key"))).collect();
    if let Some(taken) = files.iter().find(|file| file.exists()) {
        bail!("{} is there already: a root key of another workspace. Move it to its safe place first", taken.display());
    }
    fs::create_dir_all(&context.folder)
        .with_context(|| format!("cannot make the folder {}", context.folder.display()))?;
    let secrets: Vec<[u8; 32]> = files.iter().map(|_| random()).collect::<anyhow::Result<_>>()?;
    let keys: Vec<DeviceKey> = secrets.iter().map(DeviceKey::from_secret).collect();
    // Before the store: a workspace whose roots nobody has could never be helped.
    for (file, secret) in files.iter().zip(&secrets) {
        write_secret(file, secret)?;
    }
    let new = NewWorkspace {
        name: options.workspace_name.clone().unwrap_or_else(|| options.name.clone()),
        roots: keys.iter().map(|key| key as &dyn Signer).collect(),
        threshold: options.threshold,
        device: options.name.clone(),
        person: person.to_owned(),
        partition: partition.clone(),
    };
    let made = Fieldbook::create(store_file(&context.folder), &new, settings(context)?);
    if made.is_err() {
        // Keys of a workspace that never began.
        files.iter().for_each(|file| drop(fs::remove_file(file)));
    }
    let book = made?;
    let (key, workspace) = (book.key_text(), KeyText::of_workspace(&book.workspace()));
    if context.json {
        crate::output::json(&json!({
            "folder": context.folder, "workspace": workspace.to_string(), "workspace_name": new.name,
            "partitions": [partition.as_str()], "device": options.name, "person": person,
            "key": key.to_string(), "root_keys": files, "threshold": options.threshold,
        }))?;
        return Ok(true);
    }
    line(&format!("{}: workspace {}, partition {partition}", context.folder.display(), new.name))?;
    line(&format!("  workspace  {}", workspace.grouped()))?;
    line(&format!("  this key   {}  {} ({person})", key.grouped(), options.name))?;
    line(&format!("\n{}, of which {} must agree:", things(files.len(), "root key"), options.threshold))?;
    files.iter().try_for_each(|file| line(&format!("  {}", file.display())))?;
    line(
        "Move them off this device now, each to a safe place of its own: a stick in a safe, not a cloud. Who has them",
    )?;
    line(
        "can take the workspace over; without them nobody can be removed who holds authority. Daily work needs none.",
    )?;
    line("\nOthers join with: fieldbook -C FOLDER join --name NAME --workspace ID, or with a bundle of this one")?;
    Ok(true)
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gave no random bytes: {error}"))?;
    Ok(bytes)
}

/// 64 hexadecimal digits, readable by their owner alone.
fn write_secret(path: &Path, secret: &[u8; 32]) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(path)?;
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{hex}")?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write the root key {}", path.display()))
}
