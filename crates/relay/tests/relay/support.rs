//! Devices of a workspace in this process, and a relay that they reach over real sockets on loopback.

use access::{Actions, Endorsement, Genesis, Grant, Kinds, Person, Record, Role};
use changeset::{
    Author, ChangeSetId, Cursor, DeviceKey, DocumentId, DocumentKey, Draft, Edit, IntentName, Kind, Partition, Path,
    PublicKey, Script, SeededEntropy, Signer, Value, Verified, WorkspaceId,
};
use relay::{Config, Relay};
use replica::{Command, Connection, LinkError, Options, Replica, Trust};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use storage::{Batch, Lane, LogKey, Source, Store};
use sync::{Code, Event, Tier};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Nothing here takes long; whatever does is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What comes within the deadline.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}

pub(crate) fn partition(name: &str) -> Partition {
    Partition::new(name).unwrap()
}

pub(crate) fn key(number: u8) -> Arc<DeviceKey> {
    Arc::new(DeviceKey::from_secret(&[number; 32]))
}

pub(crate) fn public(number: u8) -> PublicKey {
    key(number).public_key()
}

/// A configuration with a folder of its own and ports of the system's choice.
pub(crate) fn config(folder: &tempfile::TempDir) -> Config {
    let mut config = Config::new(folder.path().join("data"));
    config.listen = ([127, 0, 0, 1], 0).into();
    config.admin = ([127, 0, 0, 1], 0).into();
    config.free_disk_min = 0;
    config
}

/// Stops a relay from an async test.
pub(crate) async fn stop(relay: Relay) {
    soon("the relay's end", tokio::task::spawn_blocking(move || relay.stop())).await.unwrap();
}

/// Waits until a relay has stored all of these.
pub(crate) async fn stored(replica: &Replica, log: &LogKey, ids: &[ChangeSetId]) {
    let (grew, mut growth) = watch::channel(());
    replica.listen(Box::new(move |_, _| {
        let _nobody_waits = grew.send(());
    }));
    soon("that the relay stores it", async {
        while !ids.iter().all(|id| replica.store().view().unwrap().has(log, id).unwrap()) {
            growth.changed().await.unwrap();
        }
    })
    .await;
}

/// A workspace whose root is device 1.
pub(crate) struct World {
    pub(crate) workspace: WorkspaceId,
    genesis: Genesis,
    pub(crate) now_ms: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::named("Fjord Bygg")
    }

    pub(crate) fn named(name: &str) -> Self {
        let now_ms = replica::system_clock()();
        let roots = [public(1)].into();
        let genesis = Genesis { name: name.into(), roots, threshold: 1, nonce: [7; 16], time_ms: now_ms };
        Self { workspace: genesis.workspace().unwrap(), genesis, now_ms }
    }

    pub(crate) fn log(&self, at: &str) -> LogKey {
        LogKey::new(self.workspace, partition(at))
    }

    /// A device of this workspace with an empty store. Device 1 is the root, and begins with the genesis.
    pub(crate) fn device(&self, number: u8) -> Device {
        self.device_of_tier(number, Tier::Device)
    }

    pub(crate) fn device_of_tier(&self, number: u8, tier: Tier) -> Device {
        let mut options = storage::Options::default();
        options.signer = Some(key(number));
        let replica = Replica::new(Store::in_memory(options).unwrap(), Options::new(tier)).unwrap();
        let (grew, growth) = watch::channel(0_u64);
        replica.listen(Box::new(move |_, _| grew.send_modify(|count| *count += 1)));
        let mut device =
            Device { number, replica, workspace: self.workspace, authors: BTreeMap::new(), documents: 0, growth };
        if number == 1 {
            device.record("authority", &Record::Genesis(self.genesis.clone()), &[]);
        }
        device
    }

    /// A grant of everything in a partition, from an hour ago on, for a day.
    pub(crate) fn grant(&self, device: u8, at: &str) -> Grant {
        const HOUR: u64 = 3_600_000;
        Grant {
            partition: partition(at),
            device: public(device),
            person: Person { id: format!("p{device}"), name: format!("Person {device}") },
            role: Role::new("worker").unwrap(),
            kinds: Kinds::All,
            actions: Actions::All,
            not_before_ms: self.now_ms - HOUR,
            not_after_ms: self.now_ms + 24 * HOUR,
        }
    }
}

/// A device: a replica, and the chains that it writes.
pub(crate) struct Device {
    number: u8,
    pub(crate) replica: Replica,
    workspace: WorkspaceId,
    authors: BTreeMap<String, Author>,
    documents: u64,
    growth: watch::Receiver<u64>,
}

impl Device {
    fn draft(&mut self, kind: &str, grant: Option<ChangeSetId>, script: Script) -> Draft {
        self.documents += 1;
        let mut number = [self.number; 10];
        number[..8].copy_from_slice(&self.documents.to_be_bytes());
        let id = DocumentId::from_parts(1_760_000_000_000, number);
        Draft {
            document: DocumentKey { kind: Kind::new(kind).unwrap(), id },
            parents: vec![],
            grant,
            schema_version: 1,
            intent: IntentName::new("create").unwrap(),
            group: None,
            script,
        }
    }

    fn author(&mut self, at: &str) -> &mut Author {
        let (workspace, incarnation) = (self.workspace, self.replica.store().incarnation());
        let seed = u64::from(self.number);
        let new = || {
            let entropy = Box::new(SeededEntropy::new(seed));
            Author::new(key(self.number), workspace, partition(at), incarnation, entropy)
        };
        self.authors.entry(at.to_owned()).or_insert_with(new)
    }

    fn keep(&mut self, at: &str, draft: Draft) -> Verified {
        let now_ms = self.replica.now_ms();
        let author = self.author(at);
        let recorded = author.record(draft, now_ms).unwrap();
        let signed = author.sign(&recorded).unwrap();
        let log = LogKey::new(self.workspace, partition(at));
        let batch = Batch::new().append(log, vec![signed.clone()], Source::Own, None);
        self.replica.store().commit_now(Lane::Local, batch).unwrap();
        signed
    }

    /// Writes a record of access.
    pub(crate) fn record(&mut self, at: &str, record: &Record, endorsed: &[u8]) -> ChangeSetId {
        let endorse = |root: &u8| Endorsement::sign(&self.workspace, record, &*key(*root)).unwrap();
        let endorsements: Vec<Endorsement> = endorsed.iter().map(endorse).collect();
        let script = record.to_script(&endorsements, None).unwrap();
        let draft = self.draft("access", None, script);
        let entry = self.keep(at, draft);
        self.replica.take_records(&self.workspace, std::slice::from_ref(&entry)).unwrap();
        entry.id()
    }

    pub(crate) fn grant(&mut self, grant: Grant) -> ChangeSetId {
        let at = grant.partition.to_string();
        self.record(&at, &Record::Grant(grant), &[])
    }

    /// Writes an inspection.
    pub(crate) fn write(&mut self, at: &str, grant: Option<ChangeSetId>) -> ChangeSetId {
        self.write_bytes(at, grant, 16)
    }

    pub(crate) fn write_bytes(&mut self, at: &str, grant: Option<ChangeSetId>, bytes: usize) -> ChangeSetId {
        let draft = self.photo(grant, bytes);
        self.keep(at, draft).id()
    }

    fn photo(&mut self, grant: Option<ChangeSetId>, bytes: usize) -> Draft {
        // Nothing that zstd makes smaller.
        let mut value = vec![0; bytes];
        changeset::Entropy::fill(&mut SeededEntropy::new(self.documents), &mut value);
        let edits = vec![Edit::Put { path: Path::new("photo").unwrap(), value: Value::Bytes(value) }];
        self.draft("inspection", grant, Script { reason: None, edits })
    }

    /// Writes so many inspections without storing them: one run, signed at its end.
    pub(crate) fn prepare(&mut self, at: &str, count: usize, bytes: usize) -> Vec<Verified> {
        let now_ms = self.replica.now_ms();
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let draft = self.photo(None, bytes);
            entries.push(self.author(at).record(draft, now_ms).unwrap());
        }
        // A run ends signed, and so does each part of it that is stored at once.
        for last in (0..count).skip(999).step_by(1000).chain(count.checked_sub(1)) {
            entries[last] = self.author(at).sign(&entries[last]).unwrap();
        }
        entries
    }

    pub(crate) fn log(&self, at: &str) -> LogKey {
        LogKey::new(self.workspace, partition(at))
    }

    pub(crate) fn has(&self, at: &str, id: &ChangeSetId) -> bool {
        self.replica.store().view().unwrap().has(&LogKey::new(self.workspace, partition(at)), id).unwrap()
    }

    /// Waits until all of these are in the log.
    pub(crate) async fn holds(&mut self, at: &str, ids: &[ChangeSetId]) {
        soon("what others wrote", async {
            while !ids.iter().all(|id| self.has(at, id)) {
                self.growth.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until this device's place in a peer's log is there.
    pub(crate) async fn is_at(&self, peer: &PublicKey, at: &str, place: Cursor) {
        let log = LogKey::new(self.workspace, partition(at));
        let state = || self.replica.store().view().unwrap().peer(&log, peer).unwrap().cursor;
        soon("the device's place", async {
            while state() != Some(place) {
                // Nobody says when a place was stored.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub(crate) async fn call(&self, relay: &Relay, partitions: &[&str]) -> Line {
        self.call_with(&relay.address(), &Trust::new([], false).unwrap(), partitions).await
    }

    pub(crate) async fn call_with(&self, url: &str, trust: &Trust, partitions: &[&str]) -> Line {
        let connection = soon("a connection", Connection::connect(url, trust)).await.unwrap();
        let (commands, told) = mpsc::unbounded_channel();
        let (send, seen) = mpsc::unbounded_channel();
        let observer = Box::new(move |event: &Event, _: &sync::Session| {
            let _the_test_is_over = send.send(Seen::of(event));
        });
        let (replica, workspace) = (self.replica.clone(), self.workspace);
        let partitions = partitions.iter().map(|name| partition(name)).collect();
        let task = tokio::spawn(async move { replica.call(connection, workspace, partitions, told, observer).await });
        Line { commands, seen, past: Vec::new(), task }
    }
}

/// A session of a device.
pub(crate) struct Line {
    commands: mpsc::UnboundedSender<Command>,
    seen: mpsc::UnboundedReceiver<Seen>,
    past: Vec<Seen>,
    task: JoinHandle<Result<(), LinkError>>,
}

/// What a device's session saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Met,
    Opened(String),
    Denied(String, String),
    Acked { at: String, held: u64, refused: u64 },
    Paused(String),
    Level(String),
    Closed(Code, String),
    Other,
}

impl Seen {
    fn of(event: &Event) -> Self {
        match event {
            Event::Met { .. } => Self::Met,
            Event::Opened { partition, .. } => Self::Opened(partition.to_string()),
            Event::Denied { partition, denial } => Self::Denied(partition.to_string(), denial.text.clone()),
            Event::Acknowledged { partition, held, refused, .. } => {
                Self::Acked { at: partition.to_string(), held: *held, refused: *refused }
            }
            Event::Paused { partition, .. } => Self::Paused(partition.to_string()),
            Event::Level { partition } => Self::Level(partition.to_string()),
            Event::Closed(error) => Self::Closed(error.code(), error.to_string()),
            _ => Self::Other,
        }
    }
}

impl Line {
    /// Waits for something, or finds it among what was passed over.
    pub(crate) async fn until<T>(&mut self, what: &str, pick: impl Fn(&Seen) -> Option<T>) -> T {
        if let Some(at) = self.past.iter().position(|seen| pick(seen).is_some()) {
            return pick(&self.past.remove(at)).unwrap();
        }
        let found = tokio::time::timeout(DEADLINE, async {
            while let Some(seen) = self.seen.recv().await {
                if let Some(found) = pick(&seen) {
                    return Some(found);
                }
                self.past.push(seen);
            }
            None
        })
        .await;
        match found {
            Ok(Some(found)) => found,
            Ok(None) => panic!("the session ended before {what}; it saw {:?}", self.past),
            Err(_) => panic!("{what} did not happen within {DEADLINE:?}; the session saw {:?}", self.past),
        }
    }

    pub(crate) async fn level(&mut self, at: &str) {
        self.until(&format!("level in {at}"), |seen| (*seen == Seen::Level(at.into())).then_some(())).await;
    }

    pub(crate) async fn denied(&mut self, at: &str) -> String {
        self.until("a denial", |seen| match seen {
            Seen::Denied(denied, text) if denied == at => Some(text.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn closed(&mut self) -> (Code, String) {
        self.until("the end", |seen| match seen {
            Seen::Closed(code, text) => Some((*code, text.clone())),
            _ => None,
        })
        .await
    }

    /// Ends the session in good order.
    pub(crate) async fn hang_up(self) {
        self.commands.send(Command::Close(Code::DONE, "done".into())).unwrap();
        soon("the session's end", self.task).await.unwrap().unwrap();
    }

    pub(crate) async fn ended(self) -> Result<(), LinkError> {
        soon("the session's end", self.task).await.unwrap()
    }
}

/// Makes a store look as if a later version had written it.
pub(crate) fn age_into_the_future(path: &std::path::Path) {
    use storage::{Backend, RedbBackend, Table};
    let backend = RedbBackend::open(path, &storage::Options::default()).unwrap();
    let newer = [&b"fieldbook store "[..], &99_u32.to_be_bytes()].concat();
    backend.write(&mut |write| write.put(Table::System, b"format", &newer)).unwrap();
}
