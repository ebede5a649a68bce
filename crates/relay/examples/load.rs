//! What a relay costs: a real `fieldbook-relay` process, and devices in this one.
//!
//!     cargo build --release -p relay && cargo run --release -p relay --example load -- idle 1000 100000
//!     cargo build --release -p relay && cargo run --release -p relay --example load -- push 50 100
//!
//! `idle`: a device pushes so many change sets; then so many devices, each with a grant and a key of its own, complete their
//! handshakes, open the partition where it ends, and stay. `push`: so many devices in groups of five, each group in a
//! partition of its own, write so many changes of 250 bytes each, and all of them reach the four others. Printed are the
//! relay's peak memory, its CPU time, and the wall time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that goes wrong is to stop")]

#[path = "../tests/relay/support.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod support;

use access::{Record, Role};
use changeset::{Cursor, DeviceKey, LogIncarnation, RunningHash, Signer};
use futures_util::{SinkExt, StreamExt};
use replica::Trust;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Batch, Lane, Source};
use support::{World, partition};
use sync::{Request, Response, Session, Tier};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

struct Process {
    child: Child,
    address: String,
    admin: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Process {
    fn start(folder: &std::path::Path) -> Self {
        let binary = std::env::current_exe().unwrap();
        let binary = binary.parent().unwrap().parent().unwrap().join("fieldbook-relay");
        let mut command = Command::new(binary);
        command.arg("--data").arg(folder).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "warn"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, address, _, admin, ..] = words[..] else { panic!("{line}") };
        Self { address: address.to_owned(), admin: admin.to_owned(), child }
    }

    /// CPU time so far, and the most memory so far and now, in MB.
    fn costs(&self) -> (Duration, f64, f64) {
        let pid = self.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
        };
        (Duration::from_millis(ticks * 10), field("VmHWM:"), field("VmRSS:"))
    }

    fn report(&self, what: &str, begun: Instant, before: Duration) {
        let (cpu, most, now) = self.costs();
        let (wall, cpu) = (begun.elapsed().as_secs_f64(), (cpu - before).as_secs_f64());
        println!("{what}: {wall:.2} s wall, {cpu:.2} s relay CPU, {most:.1} MB most, {now:.1} MB now");
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    match arguments.first().map(String::as_str) {
        Some("idle") => idle(number(1, 1000), number(2, 100_000)).await,
        Some("push") => push(number(1, 50), number(2, 100)).await,
        _ => println!("idle [devices] [change sets] | push [devices] [changes each]"),
    }
}

async fn idle(devices: usize, change_sets: usize) {
    let folder = tempfile::tempdir().unwrap();
    let relay = Process::start(folder.path());
    let world = World::new();
    let mut root = world.device(1);
    let keys: Vec<Arc<DeviceKey>> = (0..devices).map(idle_key).collect();
    for key in &keys {
        let mut grant = world.grant(2, "north");
        grant.device = key.public_key();
        grant.role = Role::new("worker").unwrap();
        root.record("north", &Record::Grant(grant), &[]);
    }
    let entries = root.prepare("north", change_sets, 250);
    for some in entries.chunks(1000) {
        let batch = Batch::new().append(world.log("north"), some.to_vec(), Source::Own, None);
        root.replica.store().commit_now(Lane::Local, batch).unwrap();
    }
    let (begun, before) = (Instant::now(), relay.costs().0);
    let line = root.call_with(&relay.address, &Trust::new([], false).unwrap(), &["authority", "north"]).await;
    let end = wait_for_all(&root, devices + change_sets).await;
    relay.report(&format!("pushing {change_sets} change sets and {devices} grants"), begun, before);
    line.hang_up().await;
    let (begun, before) = (Instant::now(), relay.costs().0);
    let mut sessions = Vec::new();
    for key in keys {
        sessions.push(stay(&relay.address, &world, key, end).await);
    }
    relay.report(&format!("{devices} sessions, level"), begun, before);
    let (begun, before) = (Instant::now(), relay.costs().0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    relay.report("5 s later", begun, before);
    let live = sessions.iter().filter(|session| !session.is_finished()).count();
    println!("{live} sessions live; devices says {} rows", rows(&relay).await);
    println!("{} bytes on disk", std::fs::metadata(folder.path().join("relay.redb")).unwrap().len());
}

async fn rows(relay: &Process) -> usize {
    let admin = relay.admin.clone();
    let report = tokio::task::spawn_blocking(move || relay::ask_devices(&admin)).await.unwrap().unwrap();
    report["devices"].as_array().unwrap().iter().filter(|device| device["connected"] == true).count()
}

fn idle_key(number: usize) -> Arc<DeviceKey> {
    let mut secret = [77; 32];
    secret[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Arc::new(DeviceKey::from_secret(&secret))
}

/// Waits until the relay acknowledged everything and said where its own log ends, and gives that.
async fn wait_for_all(root: &support::Device, count: usize) -> Cursor {
    loop {
        let view = root.replica.store().view().unwrap();
        for (_, peer) in view.peers(&root.log("north")).unwrap() {
            let is_stored = peer.acknowledged.is_some_and(|place| place.position == count as u64);
            if let Some(place) = peer.cursor.filter(|place| is_stored && place.position == count as u64) {
                return place;
            }
        }
        drop(view);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A device that has everything and nothing to say: it answers for its store what a store would.
async fn stay(address: &str, world: &World, key: Arc<DeviceKey>, at: Cursor) -> tokio::task::JoinHandle<()> {
    let stream = TcpStream::connect(address.trim_start_matches("ws://")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(address, stream).await.unwrap();
    let config = sync::Config::new(Tier::Device);
    let secret = key.public_key();
    let mut session = Session::call(config, key, world.workspace, None, *secret.as_bytes(), Instant::now());
    session.open(partition("north"), Instant::now());
    let (workspace, name) = (world.workspace, partition("north"));
    let log = LogIncarnation::from_bytes([9; 8]);
    let own = Cursor { log, position: 0, hash: RunningHash::start(&workspace, &name, &log) };
    let (level, is_level) = tokio::sync::oneshot::channel();
    let mut level = Some(level);
    let task = tokio::spawn(async move {
        loop {
            while let Some((id, request)) = session.poll_storage() {
                let answer = match request {
                    Request::Open { .. } => {
                        Response::Opened { end: own, fits: true, place: Some(at), read: true, receipted: 0 }
                    }
                    _ => Response::Stored,
                };
                session.handle_storage(id, answer, Instant::now());
            }
            while let Some(frame) = session.poll_transmit() {
                socket.send(Message::binary(frame.to_vec())).await.unwrap();
            }
            while let Some(event) = session.poll_event() {
                match event {
                    sync::Event::Level { .. } => drop(level.take().map(|level| level.send(()))),
                    sync::Event::Closed(error) => return println!("an idle session ended: {error}"),
                    _ => {}
                }
            }
            let timer = session.poll_timeout().map(tokio::time::Instant::from_std);
            let timer = timer.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(60));
            tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Message::Binary(frame))) => session.handle_message(&frame, Instant::now()),
                    Some(Ok(_)) => {}
                    _ => return,
                },
                () = tokio::time::sleep_until(timer) => session.handle_timeout(Instant::now()),
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(20), is_level).await.expect("a level session").unwrap();
    task
}

async fn push(devices: usize, changes: usize) {
    const GROUP: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let relay = Process::start(folder.path());
    let world = World::new();
    let mut root = world.device(1);
    let at = |device: usize| format!("site-{}", device / GROUP);
    for device in 0..devices {
        let number = u8::try_from(device + 2).unwrap();
        root.grant(world.grant(number, &at(device)));
    }
    let trust = Trust::new([], false).unwrap();
    let names: Vec<String> = (0..devices.div_ceil(GROUP)).map(|group| format!("site-{group}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("authority");
    let mut line = root.call_with(&relay.address, &trust, &all).await;
    for at in all {
        line.level(at).await;
    }
    line.hang_up().await;
    let mut team = Vec::new();
    for device in 0..devices {
        let one = world.device(u8::try_from(device + 2).unwrap());
        let mut line = one.call_with(&relay.address, &trust, &[&at(device)]).await;
        line.level(&at(device)).await;
        team.push((one, line));
    }
    relay.report("connected", Instant::now(), relay.costs().0);
    let (begun, before) = (Instant::now(), relay.costs().0);
    let mut written: Vec<Vec<_>> = vec![Vec::new(); devices];
    for _ in 0..changes {
        for (device, (one, _)) in team.iter_mut().enumerate() {
            written[device].push(one.write_bytes(&at(device), None, 250));
        }
        tokio::task::yield_now().await;
    }
    for (device, (one, _)) in team.iter_mut().enumerate() {
        let group = device / GROUP * GROUP;
        for ids in written.iter().skip(group).take(GROUP) {
            one.holds(&at(device), ids).await;
        }
    }
    relay.report(
        &format!("{} changes, {} deliveries", devices * changes, devices * changes * (GROUP - 1)),
        begun,
        before,
    );
    println!("{} bytes on disk", std::fs::metadata(folder.path().join("relay.redb")).unwrap().len());
}
