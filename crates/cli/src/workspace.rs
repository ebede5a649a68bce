//! A workspace folder: a device key, a settings file, and one bundle of signed change sets.

use crate::bundle_file::{self, RECORDS, write_atomically};
use crate::device;
use anyhow::{Context as _, anyhow, bail};
use changeset::{
    Author, Bundle, ChangeSetId, DeviceKey, DocumentId, DocumentKey, Entropy, Incarnation, IntentName, Log as _,
    LogIncarnation, Partition as PartitionName, Value, Verified, WorkspaceId,
};
use crdt::{
    AnyIntent, Applied, Commit, Document, EditError, EditRules, Edits, KindRegistry, Partition, Schema, State,
    Transaction, Violation,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "device.key";
const SETTINGS: &str = "fieldbook.json";
const FORMAT: u32 = 1;

/// The settings file of a workspace folder.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Settings {
    format: u32,
    workspace: String,
    partition: String,
    incarnation: String,
    log: String,
}

/// An open workspace folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
    settings: Settings,
    log: LogIncarnation,
    pub(crate) partition: Partition,
    pub(crate) author: Author,
    pub(crate) kinds: KindRegistry,
    /// Held while the folder is open: two commands at once would write under the same numbers.
    _lock: File,
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is against the rules of the kind; every violation at once.
    Rules(Vec<Violation>),
}

/// The random bytes of the operating system.
#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without randomness no salt hides what was redacted: better to stop than to go on.
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

/// Milliseconds since 1970 by this device's clock; 0 before that.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// The kinds that this command knows: inspections and orders.
pub(crate) fn kinds() -> anyhow::Result<KindRegistry> {
    Ok(crdt::standard_kinds()?)
}

impl Workspace {
    /// Makes a workspace folder: in a new workspace, or in that of a bundle, whose change sets it takes.
    pub(crate) fn init(
        folder: &Path,
        name: &str,
        partition: Option<&str>,
        join: Option<&Path>,
    ) -> anyhow::Result<Self> {
        if folder.join(SETTINGS).exists() {
            bail!("{} is a workspace already; choose another folder with -C", folder.display());
        }
        let joined = join.map(bundle_file::read).transpose()?.map(|(bundle, _)| bundle);
        let partition = match (&joined, partition) {
            (Some(bundle), Some(partition)) if bundle.partition.as_str() != partition => {
                bail!("the bundle is of partition {}; leave --partition out", bundle.partition)
            }
            (Some(bundle), _) => bundle.partition.clone(),
            (None, partition) => PartitionName::new(partition.unwrap_or("main"))?,
        };
        let workspace = joined.as_ref().map_or_else(|| WorkspaceId::from_bytes(random()), |bundle| bundle.workspace);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        write_secret(&folder.join(KEY), &random::<32>())?;
        let settings = Settings {
            format: FORMAT,
            workspace: workspace.to_string(),
            partition: partition.to_string(),
            incarnation: Incarnation::from_bytes(random()).to_string(),
            log: LogIncarnation::from_bytes(random()).to_string(),
        };
        let empty = Bundle { workspace, partition, log: parse_log(&settings)?, entries: Vec::new() };
        write_atomically(&folder.join(RECORDS), &empty.to_bytes()?)?;
        // Last, because a folder is a workspace from the moment that it has settings.
        write_atomically(&folder.join(SETTINGS), serde_json::to_string_pretty(&settings)?.as_bytes())?;
        let mut made = Self::open(folder)?;
        if let Some(bundle) = joined {
            made.merge(bundle)?;
        }
        let document = device::document(now_ms(), random())?;
        made.edit(&document, "introduce", |tx| Ok(tx.put(&device::name_path()?, name.into())?))?;
        made.save()?;
        Ok(made)
    }

    /// Opens a workspace folder and verifies its bundle.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(SETTINGS);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{} is no workspace folder; name one with -C FOLDER, or make one with: fieldbook -C FOLDER init --name NAME",
                folder.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let settings: Settings =
            serde_json::from_str(&text).with_context(|| format!("{} is not a settings file", file.display()))?;
        if settings.format > FORMAT {
            bail!("{}: written by a newer version (format {}); use that version", file.display(), settings.format);
        }
        let lock = File::open(&file)?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            bail!("{} is open in another fieldbook command; wait for it to end", folder.display());
        }
        let wrong = |what: &str| anyhow!("{}: {what} is not valid", file.display());
        let workspace = WorkspaceId::from_hex(&settings.workspace).ok_or_else(|| wrong("the workspace id"))?;
        let name = PartitionName::new(&settings.partition).map_err(|fault| wrong(&fault.to_string()))?;
        let incarnation = Incarnation::from_hex(&settings.incarnation).ok_or_else(|| wrong("the incarnation"))?;
        let log = parse_log(&settings).with_context(|| format!("in {}", file.display()))?;
        let key = DeviceKey::from_secret(&read_secret(&folder.join(KEY))?);
        let (bundle, _) = bundle_file::read(&folder.join(RECORDS))?;
        if bundle.workspace != workspace || bundle.partition != name {
            bail!("{} is of another workspace or partition than {}", folder.join(RECORDS).display(), file.display());
        }
        let mut partition = Partition::new(workspace, name.clone());
        check(&partition.apply(bundle.entries))?;
        let author = Author::new(Arc::new(key), workspace, name, incarnation, Box::new(SystemEntropy));
        let author = continued(author, &partition);
        Ok(Self { folder: folder.to_owned(), settings, log, partition, author, kinds: kinds()?, _lock: lock })
    }

    /// The signed bundle of all that is held.
    pub(crate) fn bundle(&mut self) -> anyhow::Result<Vec<u8>> {
        signed_bundle(&mut self.partition, &self.author, self.log)
    }

    /// Signs and writes the bundle; everything recorded is durable when it returns.
    pub(crate) fn save(&mut self) -> anyhow::Result<usize> {
        let bytes = self.bundle()?;
        write_atomically(&self.folder.join(RECORDS), &bytes)?;
        Ok(bytes.len())
    }

    /// Takes in a bundle. If it shows that another store writes as this device (a copy, or what this one was before it
    /// was restored), this device draws a new incarnation, so that the chain forks no further.
    pub(crate) fn merge(&mut self, bundle: Bundle) -> anyhow::Result<(Applied, bool)> {
        if bundle.workspace != *self.partition.workspace() {
            bail!(
                "the bundle is of workspace {}…, this is {}…; nothing was taken from it",
                bundle.workspace.short(),
                self.partition.workspace().short()
            );
        }
        if bundle.partition != *self.partition.name() {
            bail!("the bundle is of partition {}, this is {}", bundle.partition, self.partition.name());
        }
        let (applied, was_copied) = take_in(&mut self.partition, &self.author, bundle)?;
        if was_copied {
            self.settings.incarnation = Incarnation::from_bytes(random()).to_string();
            let text = serde_json::to_string_pretty(&self.settings)?;
            write_atomically(&self.folder.join(SETTINGS), text.as_bytes())?;
        }
        Ok((applied, was_copied))
    }

    /// Carries out edits as one change set. Not durable until [`Workspace::save`]. What the kind's schema knows is held
    /// to it; fields that it does not know are kept, as imported records have them.
    pub(crate) fn edit(
        &mut self,
        document: &DocumentKey,
        intent: &str,
        edit: impl FnOnce(&mut Transaction<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Verified>> {
        let mut commit = Commit::new(IntentName::new(intent)?);
        let rules = self.kinds.kind(document.kind.as_str()).map(|kind| KnownFields(kind.schema()));
        let mut tx = self.partition.transact(&mut self.author, document, now_ms());
        if let Some(rules) = &rules {
            commit.schema_version = rules.0.version();
            tx = tx.with_rules(rules);
        }
        edit(&mut tx)?;
        if tx.is_empty() {
            return Ok(None);
        }
        let (entry, applied) = tx.commit(commit)?;
        check(&applied)?;
        Ok(Some(entry))
    }

    /// Carries out an intent as one change set, or says everything that stands against it.
    pub(crate) fn act(
        &mut self,
        document: &DocumentKey,
        intent: &AnyIntent,
    ) -> anyhow::Result<Result<Verified, Refused>> {
        perform(&mut self.partition, &mut self.author, &self.kinds, document, intent, now_ms())
    }

    /// The document that a person means: by the beginning of its id, or by its `number`.
    pub(crate) fn find(&self, wanted: &str) -> anyhow::Result<&Document> {
        let plain = wanted.replace('-', "").to_lowercase();
        let number = changeset::Path::new("number")?;
        let is_meant = |document: &&Document| {
            let by_id = plain.len() >= 4 && document.key().id.to_string().starts_with(&plain);
            by_id || document.value(&number).is_some_and(|value| crate::commands::plain(&value) == wanted)
        };
        let found: Vec<&Document> = self.partition.documents().filter(is_meant).collect();
        match found.as_slice() {
            [only] => Ok(only),
            [] => bail!("no document has the number {wanted} or an id that begins with it; see: fieldbook list"),
            several => bail!("{} documents fit {wanted}; give more of the id", several.len()),
        }
    }
}

/// All that is held, signed by the author that wrote last.
pub(crate) fn signed_bundle(
    partition: &mut Partition,
    author: &Author,
    log: LogIncarnation,
) -> anyhow::Result<Vec<u8>> {
    partition.sign(author)?;
    let bundle = Bundle {
        workspace: *partition.workspace(),
        partition: partition.name().clone(),
        log,
        entries: partition.log().entries().to_vec(),
    };
    Ok(bundle.to_bytes()?)
}

/// Takes in a bundle. Gives also whether it shows that another store writes as this author.
pub(crate) fn take_in(partition: &mut Partition, author: &Author, bundle: Bundle) -> anyhow::Result<(Applied, bool)> {
    // What this chain has so far is signed by the author that wrote it, who may not be the author after this.
    partition.sign(author)?;
    let applied = partition.apply(bundle.entries);
    check(&applied)?;
    let own = author.actor().id();
    let is_own = |id: &ChangeSetId| partition.log().get(id).is_some_and(|entry| entry.actor().id() == own);
    let was_copied = applied.accepted.iter().any(is_own);
    Ok((applied, was_copied))
}

/// A schema for what it knows; anything else passes.
struct KnownFields<'a>(&'a Schema);

impl KnownFields<'_> {
    fn knows(&self, path: &changeset::Path) -> bool {
        self.0.rule(path.as_str()).is_some()
    }
}

impl EditRules for KnownFields<'_> {
    fn check_put(&self, path: &changeset::Path, value: &Value) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_put(self.0, path, value) } else { Ok(()) }
    }

    fn check_increment(&self, path: &changeset::Path) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_increment(self.0, path) } else { Ok(()) }
    }

    fn check_text(&self, path: &changeset::Path) -> Result<(), EditError> {
        if self.knows(path) { EditRules::check_text(self.0, path) } else { Ok(()) }
    }
}

/// A new document of a kind.
pub(crate) fn new_document(kind: &str) -> anyhow::Result<DocumentKey> {
    let id = DocumentId::from_parts(now_ms(), random());
    Ok(DocumentKey { kind: changeset::Kind::new(kind)?, id })
}

/// Carries out an intent as one change set, or says everything that stands against it.
pub(crate) fn perform(
    partition: &mut Partition,
    author: &mut Author,
    kinds: &KindRegistry,
    document: &DocumentKey,
    intent: &AnyIntent,
    now_ms: u64,
) -> anyhow::Result<Result<Verified, Refused>> {
    let mut commit = Commit::new(IntentName::new(intent.name())?);
    commit.reason = intent.reason().map(str::to_owned);
    let mut tx = partition.transact(author, document, now_ms);
    if let Some(kind) = kinds.kind(document.kind.as_str()) {
        commit.schema_version = kind.schema().version();
        tx = tx.with_rules(kind.schema());
    }
    let violations = intent.validate(&tx);
    if !violations.is_empty() {
        return Ok(Err(Refused::Rules(violations)));
    }
    intent.apply(&mut tx)?;
    let (entry, applied) = tx.commit(commit)?;
    check(&applied)?;
    Ok(Ok(entry))
}

/// Engine faults and refusals are errors here: a bundle holds only what fits together.
pub(crate) fn check(applied: &Applied) -> anyhow::Result<()> {
    if let Some((document, fault)) = applied.faults.first() {
        bail!("{document}: {fault}");
    }
    if let Some((id, refusal)) = applied.refused.first() {
        bail!("change set {id} was refused: {refusal}");
    }
    Ok(())
}

/// The author after the last change set of its chain: on a forked chain after that with the highest sequence, ties by
/// id.
fn continued(author: Author, partition: &Partition) -> Author {
    let own = author.actor().id();
    let entries = partition.log().entries().iter().filter(|entry| entry.actor().id() == own);
    match entries.max_by_key(|entry| (entry.header().sequence, entry.id())) {
        Some(last) => author.after(last),
        None => author,
    }
}

fn parse_log(settings: &Settings) -> anyhow::Result<LogIncarnation> {
    LogIncarnation::from_hex(&settings.log).ok_or_else(|| anyhow!("the log incarnation is not 16 hexadecimal digits"))
}

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
    write().with_context(|| format!("cannot write the device key {}", path.display()))
}

fn read_secret(path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the device key {}", path.display()))?;
    let id = WorkspaceId::from_hex(text.trim());
    let id =
        id.ok_or_else(|| anyhow!("{} does not hold 64 hexadecimal digits; restore it from a backup", path.display()))?;
    Ok(*id.as_bytes())
}
