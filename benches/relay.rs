//! A relay under load, side by side with what others need for the same: `cargo bench -p fieldbook-benches --bench relay`.
//!
//! The relay is a process of its own, so that its CPU and memory can be read; the devices are replicas with stores in
//! memory in this one. The workloads and the peers' figures are those of the design: 50 devices in ten partitions push
//! 100 changes of 250 bytes each, which makes 20,000 deliveries; and a new device takes 1,000 documents of 20 changes.

use changeset::{
    Author, DeviceKey, DocumentId, DocumentKey, Draft, Edit, Entropy, IntentName, Kind, Partition, Path, Script,
    SeededEntropy, Verified, WorkspaceId,
};
use fieldbook::{Fieldbook, Invitation, NewWorkspace, Settings};
use replica::{Connection, Options, Replica, Trust};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Batch, Lane, LogKey, Source, Store};
use sync::Tier;
use tokio::sync::mpsc;

const RELAY: &str = "FIELDBOOK_BENCH_RELAY";
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    if let Ok(folder) = std::env::var(RELAY) {
        return serve(&folder);
    }
    println!(
        "{:<52} {:>8} {:>10} {:>9} {:>10} {:>9}",
        "workload", "wall s", "relay CPU", "peak MB", "frames MB", "disk MB"
    );
    fan_out()?;
    first_sync()?;
    idle()?;
    println!(
        "\nfor the first workload the design's floor is 0.24 s of relay CPU and 18 MB; Subduction needs 1.2 s and 86 MB,"
    );
    println!(
        "Hocuspocus (unsigned) 0.65 s and 82 MB, samod 22 s; for the second Hocuspocus takes 0.41–0.96 s, Subduction 0.9–1.2 s"
    );
    Ok(())
}

/// The relay's process: prints its address, then its counters whenever it is asked.
fn serve(folder: &str) -> Result<()> {
    let mut config = relay::Config::new(folder);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.admin = ([127, 0, 0, 1], 0).into();
    let relay = relay::Relay::start(config)?;
    println!("{}", relay.address());
    for line in std::io::stdin().lines() {
        line?;
        let counters = relay.replica().counters();
        let size = relay.replica().store().size()?;
        println!("{} {size}", counters.bytes_in.get() + counters.bytes_out.get());
    }
    relay.stop();
    Ok(())
}

struct RelayProcess {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    address: String,
    _folder: tempfile::TempDir,
}

struct Usage {
    cpu: f64,
    peak_mb: f64,
    frames: u64,
    disk: u64,
}

impl RelayProcess {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .env(RELAY, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut address = String::new();
        lines.read_line(&mut address)?;
        Ok(Self { child, lines, address: address.trim().to_owned(), _folder: folder })
    }

    fn usage(&mut self) -> Result<Usage> {
        writeln!(self.child.stdin.as_mut().ok_or("no input")?, "counters")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let (frames, disk) = line.trim().split_once(' ').ok_or("no counters")?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
        let ticks: f64 =
            fields.get(11..13).ok_or("no times")?.iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
        let peak_kb: f64 = peak.trim().trim_end_matches(" kB").parse()?;
        Ok(Usage { cpu: ticks / 100.0, peak_mb: peak_kb / 1024.0, frames: frames.parse()?, disk: disk.parse()? })
    }

    fn report(&mut self, what: &str, wall: Duration, before: &Usage) -> Result<()> {
        let after = self.usage()?;
        println!(
            "{what:<52} {:>8.2} {:>8.2} s {:>9.1} {:>10.2} {:>9.2}",
            wall.as_secs_f64(),
            after.cpu - before.cpu,
            after.peak_mb,
            (after.frames - before.frames) as f64 / 1e6,
            after.disk as f64 / 1e6,
        );
        Ok(())
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A workspace in which `devices` may work, `each` of them in every partition; its authority is at the relay.
struct Site {
    founder: Fieldbook,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(
        relay: &RelayProcess,
        partitions: &[Partition],
        members: &[(Partition, changeset::PublicKey)],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = DeviceKey::from_secret(&[7; 32]);
        let first = partitions.first().ok_or("no partition")?.clone();
        let new = NewWorkspace {
            name: "Bench".into(),
            roots: vec![&root],
            threshold: 1,
            device: "office".into(),
            person: "office".into(),
            partition: first,
        };
        let founder = Fieldbook::create(folder.path().join("office"), &new, Settings::new()?)?;
        for (partition, key) in members {
            founder.grant(partition, &Invitation::new(*key, &key.short(), "inspector", 0))?;
        }
        founder.sync(&relay.address, PATIENCE)?;
        Ok(Self { founder, _folder: folder })
    }
}

struct Device {
    replica: Replica,
    author: Author,
    log: LogKey,
}

impl Device {
    fn new(store: Store, workspace: WorkspaceId, partition: Partition) -> Result<Self> {
        let mut options = Options::new(Tier::Device);
        options.workers = 1;
        let author = Author::new(
            store.signer(),
            workspace,
            partition.clone(),
            store.incarnation(),
            Box::new(SeededEntropy::new(1)),
        );
        Ok(Self { replica: Replica::new(store, options)?, author, log: LogKey::new(workspace, partition) })
    }

    /// One change of about 250 bytes in its signed form's body.
    fn record(&mut self, document: &DocumentKey) -> Result<Verified> {
        let mut text = vec![0; 120];
        SeededEntropy::new(self.author.random()[0].into()).fill(&mut text);
        let text: String = text.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let draft = Draft {
            document: document.clone(),
            parents: Vec::new(),
            grant: None,
            schema_version: 1,
            intent: IntentName::new("note")?,
            group: None,
            script: Script {
                reason: None,
                edits: vec![Edit::Put { path: Path::new("note")?, value: text.as_str().into() }],
            },
        };
        Ok(self.author.record(draft, 1_772_434_800_000)?)
    }

    fn connect(&self, runtime: &tokio::runtime::Runtime, url: &str) {
        let (replica, url, workspace) = (self.replica.clone(), url.to_owned(), self.log.workspace);
        let partition = self.log.partition.clone();
        runtime.spawn(async move {
            let trust = Trust::new([], false).map_err(|error| error.to_string())?;
            let connection = Connection::connect(&url, &trust).await.map_err(|error| error.to_string())?;
            let (_commands, receiver) = mpsc::unbounded_channel();
            let observer: replica::Observer = Box::new(|_, _| ());
            let session = replica.call(connection, workspace, vec![partition], receiver, observer);
            session.await.map_err(|error| error.to_string())
        });
    }

    fn held(&self) -> u64 {
        let end = self.replica.store().view().and_then(|view| view.log(&self.log));
        end.ok().flatten().map_or(0, |log| log.end.position)
    }
}

fn until(mut holds: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return Err("it takes too long".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn document(number: u16) -> Result<DocumentKey> {
    let [high, low] = number.to_be_bytes();
    let mut tail = [0; 10];
    (tail[0], tail[1]) = (high, low);
    Ok(DocumentKey { kind: Kind::new("inspection")?, id: DocumentId::from_parts(1_772_434_800_000, tail) })
}

fn fan_out() -> Result<()> {
    const DEVICES: usize = 50;
    const PARTITIONS: usize = 10;
    const CHANGES: usize = 100;
    let mut relay = RelayProcess::start()?;
    let partitions: Vec<Partition> = (0..PARTITIONS)
        .map(|number| Partition::new(&format!("site-{number}")))
        .collect::<std::result::Result<_, _>>()?;
    let stores: Vec<Store> =
        (0..DEVICES).map(|_| Store::in_memory(storage::Options::default())).collect::<std::result::Result<_, _>>()?;
    let of = |number: usize| partitions.get(number % PARTITIONS).cloned().ok_or("no partition");
    let members: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(number, store)| Ok((of(number)?, store.device_key())))
        .collect::<Result<_>>()?;
    let site = Site::new(&relay, &partitions, &members)?;
    let mut devices: Vec<Device> = stores
        .into_iter()
        .enumerate()
        .map(|(number, store)| Device::new(store, site.founder.workspace(), of(number)?))
        .collect::<Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    devices.iter().for_each(|device| device.connect(&runtime, &relay.address));
    let before_logs: Vec<u64> = {
        // Grants of the partition, and the founder's own records where it works.
        until(|| devices.iter().all(|device| device.held() >= 5))?;
        devices.iter().map(Device::held).collect()
    };
    let documents: Vec<DocumentKey> = (0..PARTITIONS as u16).map(document).collect::<Result<_>>()?;
    let before = relay.usage()?;
    let begun = Instant::now();
    for round in 0..CHANGES {
        for (number, device) in devices.iter_mut().enumerate() {
            let document = documents.get(number % PARTITIONS).ok_or("no document")?;
            let entry = device.record(document)?;
            let entry = device.author.sign(&entry)?;
            let batch = Batch::new().append(device.log.clone(), vec![entry], Source::Own, None);
            let store = device.replica.store();
            if round % 10 == 9 {
                store.commit_now(Lane::Local, batch).map(drop)?
            } else {
                store.commit(Lane::Local, batch, |_| ())
            }
        }
    }
    let each = (CHANGES * DEVICES / PARTITIONS) as u64;
    until(|| devices.iter().zip(&before_logs).all(|(device, before)| device.held() >= before + each))?;
    relay.report("5,000 changes by 50 devices, 20,000 deliveries", begun.elapsed(), &before)
}

fn first_sync() -> Result<()> {
    const DOCUMENTS: u16 = 1000;
    const CHANGES: usize = 20;
    let mut relay = RelayProcess::start()?;
    let partition = Partition::new("site-0")?;
    let stores = [Store::in_memory(storage::Options::default())?, Store::in_memory(storage::Options::default())?];
    let members: Vec<_> = stores.iter().map(|store| (partition.clone(), store.device_key())).collect();
    let site = Site::new(&relay, std::slice::from_ref(&partition), &members)?;
    let [first, second] = stores;
    let mut writer = Device::new(first, site.founder.workspace(), partition.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    writer.connect(&runtime, &relay.address);
    until(|| writer.held() >= 4)?;
    // As devices write: a few changes in each commit.
    for number in 0..DOCUMENTS {
        let document = document(number)?;
        let mut entries = Vec::new();
        for _ in 0..CHANGES {
            entries.push(writer.record(&document)?);
        }
        let last = entries.pop().ok_or("no entries")?;
        entries.push(writer.author.sign(&last)?);
        let batch = Batch::new().append(writer.log.clone(), entries, Source::Own, None);
        writer.replica.store().commit_now(Lane::Local, batch)?;
    }
    let total = writer.held();
    let view = |device: &Device| device.replica.store().view().and_then(|view| view.peers(&device.log)).ok();
    let is_acknowledged = |device: &Device| {
        let peers = view(device).unwrap_or_default();
        peers.iter().any(|(_, peer)| peer.acknowledged.is_some_and(|place| place.position >= total))
    };
    until(|| is_acknowledged(&writer))?;
    let newcomer = Device::new(second, site.founder.workspace(), partition)?;
    let before = relay.usage()?;
    let begun = Instant::now();
    newcomer.connect(&runtime, &relay.address);
    until(|| newcomer.held() >= total)?;
    relay.report("1,000 documents of 20 changes to a new device", begun.elapsed(), &before)
}

/// 100,000 change sets at the relay, then 1,000 sessions that have nothing to say.
fn idle() -> Result<()> {
    const SESSIONS: usize = 1000;
    let mut relay = RelayProcess::start()?;
    let partition = Partition::new("site-0")?;
    let store = Store::in_memory(storage::Options::default())?;
    let site = Site::new(&relay, std::slice::from_ref(&partition), &[(partition.clone(), store.device_key())])?;
    let mut writer = Device::new(store, site.founder.workspace(), partition)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    writer.connect(&runtime, &relay.address);
    until(|| writer.held() >= 3)?;
    let before = relay.usage()?;
    let begun = Instant::now();
    for number in 0..200 {
        let document = document(number)?;
        let mut entries = Vec::new();
        for _ in 0..500 {
            entries.push(writer.record(&document)?);
        }
        let last = entries.pop().ok_or("no entries")?;
        entries.push(writer.author.sign(&last)?);
        let batch = Batch::new().append(writer.log.clone(), entries, Source::Own, None);
        writer.replica.store().commit_now(Lane::Local, batch)?;
    }
    let total = writer.held();
    let is_acknowledged = |device: &Device| {
        let peers = device.replica.store().view().and_then(|view| view.peers(&device.log)).unwrap_or_default();
        peers.iter().any(|(_, peer)| peer.acknowledged.is_some_and(|place| place.position >= total))
    };
    until(|| is_acknowledged(&writer))?;
    // The same device's key a thousand times: each session has the partition open and nothing to fetch.
    let handle = runtime.handle().clone();
    let connected = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for _ in 0..SESSIONS {
        let (replica, url, workspace) = (writer.replica.clone(), relay.address.clone(), writer.log.workspace);
        let (partition, connected) = (writer.log.partition.clone(), Arc::clone(&connected));
        handle.spawn(async move {
            let trust = Trust::new([], false).map_err(|error| error.to_string())?;
            let connection = Connection::connect(&url, &trust).await.map_err(|error| error.to_string())?;
            let (_commands, receiver) = mpsc::unbounded_channel();
            let observer: replica::Observer = Box::new(move |event, _| {
                if matches!(event, sync::Event::Level { .. }) {
                    connected.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
            let session = replica.call(connection, workspace, vec![partition], receiver, observer);
            session.await.map_err(|error| error.to_string())
        });
    }
    until(|| connected.load(std::sync::atomic::Ordering::SeqCst) >= SESSIONS)?;
    relay.report("100,000 change sets and 1,000 idle sessions", begun.elapsed(), &before)
}
