//! SIGKILL, at random, while something is being made durable.

use crate::driver::ids;
use crate::support::{App, Desk, OFFICE, Random, RelayProcess, id, office, until};
use fieldbook::ChangeSetId;
use fieldbook::storage::{Options, Store};
use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Where bundles of what survived are left for the independent reader, if anywhere.
const BUNDLES: &str = "FIELDBOOK_KILLED";

fn leave_for_the_reader(desk: &Desk, device: &str, name: &str) {
    let Some(folder) = std::env::var_os(BUNDLES) else { return };
    let file = Path::new(&folder).join(format!("{name}.fieldbook"));
    desk.ok(&["-C", device, "export", "--signed", file.to_str().unwrap()]);
    std::fs::write(file.with_extension("digest"), desk.digest(device)).unwrap();
}

#[test]
fn a_device_killed_fifty_times_while_it_commits_has_all_it_reported() {
    let (desk, begun) = (Desk::new(), Instant::now());
    let mut random = Random::new("device kills");
    let store = desk.store("ana");
    let mut saved: Vec<ChangeSetId> = Vec::new();
    let (mut put_back, mut amid) = (0, 0);
    for _ in 0..50 {
        let mut app = App::start(&["write", store.to_str().unwrap(), "x"]);
        // Now and then before it could say anything.
        let mut lines = Vec::new();
        if random.below(10) > 0 {
            lines.extend(app.next());
        }
        random.pause(60);
        app.kill();
        while let Some(line) = app.next() {
            lines.push(line);
        }
        put_back += usize::from(lines.first().is_some_and(|line| line == "open again"));
        amid += usize::from(lines.len() > 1);
        saved.extend(ids(&lines, "saved"));
    }
    assert!(amid >= 20, "only {amid} of 50 were killed after they saved something");
    let held = desk.held("ana");
    let lost: Vec<_> = saved.iter().filter(|id| !held.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), saved.len());
    desk.digest("ana");
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "And on we go."]);
    assert_eq!(desk.note("ana"), "And on we go.");
    leave_for_the_reader(&desk, "ana", "device");
    eprintln!(
        "{} change sets reported, {} held, {put_back} of 50 openings took the store for a copy, {:?}",
        saved.len(),
        held.len(),
        begun.elapsed()
    );
}

#[test]
fn commands_killed_anywhere_leave_a_store_that_holds() {
    let (desk, mut random) = (Desk::new(), Random::new("command kills"));
    let (mut reported, mut silent) = (Vec::new(), 0);
    let order = |number: usize| {
        format!(r#"{{"number":"B-{number}","currency":"EUR","customer_number":"C1","customer_name":"Sørvik"}}"#)
    };
    for number in 0..15 {
        let mut command = desk.command(&["-C", "ana", "do", "new:order", "create", &order(number), "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        random.pause(80);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        match serde_json::from_slice::<serde_json::Value>(&output.stdout) {
            Ok(said) => reported.push(id(said["change_set"].as_str().unwrap())),
            Err(_) => silent += 1,
        }
    }
    let held = desk.held("ana");
    assert!(reported.iter().all(|id| held.contains(id)), "{reported:?}");
    desk.digest("ana");
    eprintln!("{} commands reported before they were killed, {silent} had not", reported.len());
}

#[test]
fn a_relay_killed_twenty_times_while_three_devices_push_keeps_what_it_acknowledged() {
    let (desk, begun) = (Desk::new(), Instant::now());
    let mut random = Random::new("relay kills");
    let devices = ["ana", "ben", "eve"];
    for name in ["ben", "eve", "late"] {
        desk.member(name);
    }
    let data = desk.path("relay");
    let mut relay = RelayProcess::start(&data, &[]);
    for name in devices {
        desk.sync(name, &relay);
    }
    let listen = relay.listen().to_owned();

    // All that the devices say, as it comes.
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut apps: Vec<App> = devices
        .iter()
        .map(|name| {
            let mut app = App::start(&["write", desk.store(name).to_str().unwrap(), name, &relay.url]);
            let (output, said) = (app.take_output(), Arc::clone(&said));
            std::thread::spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    if let Some(line) = line.strip_prefix("> ") {
                        said.lock().unwrap().push(line.to_owned());
                    }
                }
            });
            app
        })
        .collect();
    let relayed = || ids(&said.lock().unwrap(), "relayed").len();
    for kill in 0..20 {
        let before = relayed();
        until("that the relay takes something", || relayed() > before);
        random.pause(150);
        relay.kill();
        // Before the devices can make good what it lost.
        let told = ids(&said.lock().unwrap(), "relayed");
        let copy = desk.path(&format!("relay-{kill}.redb"));
        std::fs::copy(data.join("relay.redb"), &copy).unwrap();
        let lost = not_in(&copy, &told);
        assert!(lost.is_empty(), "{} of {} acknowledged are lost by kill {kill}: {lost:?}", lost.len(), told.len());
        relay = RelayProcess::start_at(&data, &listen, &[]);
    }
    let before = relayed();
    until("that the last relay takes something", || relayed() > before);
    // The devices at once with it, so that nobody can make good what it lost.
    relay.kill();
    apps.iter_mut().for_each(App::kill);
    let lines = said.lock().unwrap().clone();
    let (saved, relayed) = (ids(&lines, "saved"), ids(&lines, "relayed"));

    let mut relay = RelayProcess::start_at(&data, &listen, &[]);
    desk.sync("late", &relay);
    let held = desk.held("late");
    let lost: Vec<_> = relayed.iter().filter(|id| !held.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are not at the relay: {lost:?}", lost.len(), relayed.len());

    desk.converge(&["ana", "ben", "eve", "late"], &relay);
    for name in ["ana", "ben", "eve", "late"] {
        let held: BTreeSet<ChangeSetId> = desk.held(name);
        let lost: Vec<_> = saved.iter().filter(|id| !held.contains(id)).collect();
        assert!(lost.is_empty(), "{name} has not {} of {}: {lost:?}", lost.len(), saved.len());
    }
    relay.kill();
    check_relay(&data);
    leave_for_the_reader(&desk, "late", "relay");
    eprintln!(
        "{} reported as saved, {} as relayed, 4 devices equal in {OFFICE}, {:?}",
        saved.len(),
        relayed.len(),
        begun.elapsed()
    );
}

/// What of these a store does not hold.
fn not_in(store: &Path, ids: &[ChangeSetId]) -> Vec<ChangeSetId> {
    let (store, _) = Store::open(store, Options::default()).unwrap();
    let view = store.view().unwrap();
    let log = view.logs().unwrap().into_iter().find(|log| log.partition == office()).unwrap();
    ids.iter().filter(|id| !view.has(&log, id).unwrap()).copied().collect()
}

/// Every page, hash, seal, signature and index row of a relay's store.
fn check_relay(data: &Path) {
    let (store, _) = Store::open(data.join("relay.redb"), Options::default()).unwrap();
    let report = store.verify(|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
