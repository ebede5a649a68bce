//! A workspace folder: the store of a device, opened for one command.

use crate::Context;
use crate::output::{Progress, remark};
use anyhow::{Context as _, bail};
use changeset::{DocumentKey, Partition as PartitionName, Path as FieldPath, Value};
use crdt::KindRegistry;
use fieldbook::{Fieldbook, Listed, Partition, Settings};
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// The store of a workspace folder.
pub(crate) const STORE: &str = "store.fieldbook";
/// The settings file that the folders of the first part had, and their bundle.
const FIRST_PART: (&str, &str) = ("fieldbook.json", "records.fieldbook");

/// An open workspace folder, and the partition that the command works in.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) book: Fieldbook,
    pub(crate) partition: Partition,
}

/// The kinds that this command knows: inspections and orders.
pub(crate) fn kinds() -> anyhow::Result<KindRegistry> {
    Ok(crdt::standard_kinds()?)
}

/// Where the store of a folder lies.
pub(crate) fn store_file(folder: &Path) -> PathBuf {
    folder.join(STORE)
}

/// How stores are opened here.
pub(crate) fn settings(context: &Context) -> anyhow::Result<Settings> {
    let mut settings = Settings::new()?;
    settings.allow_plain = context.allow_plain;
    for file in &context.certificates {
        settings.certificates.extend(certificates(file)?);
    }
    Ok(settings)
}

/// The certificates of a PEM file, or the one of a DER file.
fn certificates(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read the certificate {}", file.display()))?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(vec![bytes]);
    }
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&bytes)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    if found.is_empty() {
        bail!("{} holds no PEM certificate", file.display());
    }
    Ok(found)
}

/// Refuses a folder that has a store already, or one of the first part.
pub(crate) fn check_free(folder: &Path) -> anyhow::Result<()> {
    if store_file(folder).exists() {
        bail!("{} is a workspace already; choose another folder with -C", folder.display());
    }
    if folder.join(FIRST_PART.0).exists() {
        bail!("{}", first_part(folder));
    }
    Ok(())
}

fn first_part(folder: &Path) -> String {
    let (folder, records) = (folder.display(), folder.join(FIRST_PART.1));
    format!(
        "{folder} is a folder of the first part, with one bundle and no store. Its records can be verified and compared as they are; to go \
         on with them, found a new workspace and restate them there:\n\
         \x20 fieldbook -C NEW init --name NAME\n\
         \x20 fieldbook -C NEW import --restate {}\n\
         Their history stays in that bundle; keep it",
        records.display()
    )
}

/// Opens the store of a folder.
pub(crate) fn open_book(context: &Context, folder: &Path) -> anyhow::Result<Fieldbook> {
    let file = store_file(folder);
    if !file.exists() {
        if folder.join(FIRST_PART.0).exists() {
            bail!("{}", first_part(folder));
        }
        bail!(
            "{} is no workspace folder; name one with -C FOLDER, or make one with: fieldbook -C FOLDER init --name NAME",
            folder.display()
        );
    }
    let book = Fieldbook::open(&file, settings(context)?).with_context(|| file.display().to_string())?;
    if book.was_put_back() {
        remark("note: this store was copied or put back from an older copy. It goes on as a new incarnation;");
        remark("      what others had of it since comes back when it syncs or merges.");
    }
    Ok(book)
}

/// The partition that a command works in: the one that was named, or the only one.
pub(crate) fn choose(context: &Context, book: &Fieldbook) -> anyhow::Result<PartitionName> {
    let kept = book.partitions()?;
    let names = || kept.iter().map(PartitionName::as_str).collect::<Vec<_>>().join(", ");
    match (context.partitions.as_slice(), kept.as_slice()) {
        ([], [only]) => Ok(only.clone()),
        ([], []) => bail!("this device keeps no partition yet; name one with --partition"),
        ([], _) => bail!("this device keeps several partitions: {}; name one with --partition", names()),
        ([name], _) => match kept.iter().find(|kept| kept.as_str() == name) {
            Some(name) => Ok(name.clone()),
            None => bail!("partition {name} is not kept on this device; there is {}", names()),
        },
        _ => bail!("this command works in one partition; give --partition once"),
    }
}

impl Workspace {
    pub(crate) fn open(context: &Context) -> anyhow::Result<Self> {
        let book = open_book(context, &context.folder)?;
        let partition = book.partition(&choose(context, &book)?)?;
        Ok(Self { book, partition })
    }

    /// Brings the lists up to date, which are what documents are found by.
    pub(crate) fn refresh(&self) -> anyhow::Result<()> {
        refresh(&self.partition)
    }

    /// The documents of the lists: of one kind, or all but what devices and holders of authority wrote.
    pub(crate) fn listed(&self) -> anyhow::Result<Vec<Listed>> {
        self.refresh()?;
        let mut all = self.partition.list(None, &fieldbook::Filter::all())?;
        all.retain(|listed| !is_hidden(&listed.key));
        Ok(all)
    }

    /// The document that a person means: by the beginning of its id, or by its `number`.
    pub(crate) fn find(&self, wanted: &str) -> anyhow::Result<DocumentKey> {
        let plain = wanted.replace('-', "").to_lowercase();
        let is_meant = |listed: &&Listed| {
            let by_id = plain.len() >= 4 && listed.key.id.to_string().starts_with(&plain);
            by_id || listed.summary.fields.get("number").is_some_and(|number| number == wanted)
        };
        self.refresh()?;
        let all = self.partition.list(None, &fieldbook::Filter::all())?;
        let found: Vec<&Listed> = all.iter().filter(is_meant).collect();
        match found.as_slice() {
            [only] => Ok(only.key.clone()),
            [] => bail!("no document has the number {wanted} or an id that begins with it; see: fieldbook list"),
            several => bail!("{} documents fit {wanted}; give more of the id", several.len()),
        }
    }
}

/// Records of access are read by their own commands.
pub(crate) fn is_hidden(key: &DocumentKey) -> bool {
    key.kind.as_str() == fieldbook::access::KIND_ACCESS
}

pub(crate) fn refresh(partition: &Partition) -> anyhow::Result<()> {
    let mut progress = Progress::new("brought into the lists:");
    Ok(partition.refresh_lists(|done, total| progress.at(done, Some(total)))?)
}

/// A field's path, or what is wrong with it.
pub(crate) fn field(text: &str) -> anyhow::Result<FieldPath> {
    FieldPath::new(text).map_err(|fault| anyhow::anyhow!("{text}: {fault}"))
}

/// What a text on the command line may stand for.
pub(crate) fn readings(text: &str) -> Vec<Value> {
    let mut values = vec![Value::String(text.to_owned())];
    values.extend(text.parse().ok().map(Value::Int));
    values.extend(text.parse().ok().map(Value::Bool));
    values
}
