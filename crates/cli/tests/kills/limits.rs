//! No room, no right, no time, no port: each says what is wrong, where, and what helps, and goes on once it is gone.

use crate::support::{App, BINARY, Desk, RelayProcess, Said};
use std::process::Command;

/// A command in a shell whose files may have so many blocks of 1,024 bytes; without the signal that would kill it, so that
/// writes fail as on a full disk.
fn with_room(desk: &Desk, blocks: u64, arguments: &[&str]) -> Said {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "bash", BINARY]).args(arguments);
    Said::of(command.current_dir(desk.path("")).output().unwrap())
}

#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let desk = Desk::new();
    let before = desk.digest("ana");
    let size = std::fs::metadata(desk.store("ana")).unwrap().len() / 1024;
    let mut is_full = false;
    let text = |number: usize| {
        // Nothing that packs well.
        let mut random = crate::support::Random::quiet(number as u64);
        let letters: String = (0..60_000).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        letters
    };
    let file = desk.path("long.txt");
    let mut saved = before;
    for number in 0..40 {
        std::fs::write(&file, text(number)).unwrap();
        let said = with_room(&desk, size + 8, &["-C", "ana", "text", "A-1", "notes", "--set-file", "long.txt"]);
        if said.code == Some(0) {
            saved = desk.digest("ana");
            continue;
        }
        said.says(3, &["no room left on the disk", "free some", "nothing was lost"]);
        is_full = true;
        break;
    }
    assert!(is_full, "the limit was never met");
    assert_eq!(desk.digest("ana"), saved, "what failed left nothing behind");
    // There is room again.
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set-file", "long.txt"]);
    assert_ne!(desk.digest("ana"), saved);
    // With the signal, the limit kills in the middle of a commit.
    let again = desk.digest("ana");
    let size = std::fs::metadata(desk.store("ana")).unwrap().len() / 1024;
    std::fs::write(&file, text(99).repeat(20)).unwrap();
    let mut command = Command::new("bash");
    let limit = format!("ulimit -c 0; ulimit -f {size}; exec \"$@\"");
    command.args(["-c", &limit, "bash", BINARY, "-C", "ana", "text", "A-1", "notes", "--set-file", "long.txt"]);
    let status = command.current_dir(desk.path("")).output().unwrap().status;
    assert!(!status.success(), "{status:?}");
    assert_eq!(desk.digest("ana"), again);
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    use fieldbook::storage::{Backend, Options, RedbBackend, Table};
    let desk = Desk::new();
    let before = desk.digest("ana");
    let set = |number: u32| {
        let backend = RedbBackend::open(&desk.store("ana"), &Options::default()).unwrap();
        let format = [&b"fieldbook store "[..], &number.to_be_bytes()].concat();
        backend.write(&mut |write| write.put(Table::System, b"format", &format)).unwrap();
    };
    set(99);
    for command in [&["list"][..], &["text", "A-1", "notes", "--set", "x"], &["verify"], &["compact"]] {
        let said = desk.run(&[&["-C", "ana"], command].concat());
        said.says(3, &["store.fieldbook", "format is 99", "reads up to 1", "update this program"]);
    }
    set(1);
    assert_eq!(desk.digest("ana"), before);
}

#[test]
fn two_processes_on_one_store_do_not_mix() {
    let desk = Desk::new();
    let before = desk.digest("ana");
    let mut app = App::start(&["hold", desk.store("ana").to_str().unwrap()]);
    app.hears("open");
    for command in [&["list"][..], &["text", "A-1", "notes", "--set", "x"], &["verify"]] {
        let said = desk.run(&[&["-C", "ana"], command].concat());
        said.says(3, &["store.fieldbook", "another process", "close it there"]);
    }
    app.end();
    assert_eq!(desk.digest("ana"), before);
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "Mine again."]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    desk.sync("ana", &relay);
    let said = desk.run(&["relay", "--data", "other", "--listen", relay.listen(), "--admin", "127.0.0.1:0"]);
    said.says(3, &[relay.listen(), "listen"]);
    // And the same for a store that is taken.
    let said = desk.run(&["relay", "--data", "relay", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    said.says(3, &["relay.redb", "another process"]);
    desk.sync("ana", &relay);
}

#[test]
fn a_relay_over_its_quota_makes_devices_keep_what_they_have() {
    let desk = Desk::new();
    let data = desk.path("relay");
    let mut relay = RelayProcess::start(&data, &["--set", "workspace_bytes_max=8 KiB"]);
    desk.member("ben");
    desk.converge(&["ana", "ben"], &relay);
    let mut is_over = false;
    for number in 0..40 {
        let mut random = crate::support::Random::quiet(number);
        let letters: String = (0..600).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", &letters]);
        let said = desk.run(&["-C", "ana", "sync", &relay.url, "--timeout", "20"]);
        if said.code != Some(0) {
            said.says(1, &[&relay.url, "over a quota", "stays here", "tell who runs it"]);
            is_over = true;
            break;
        }
    }
    assert!(is_over, "the quota was never met");
    let digest = desk.digest("ana");
    let status = desk.json(&["-C", "ana", "status"]);
    assert_eq!(status["outbox"]["count"], 1, "{status:#}");
    // Reading goes on: Ben gets what is there.
    desk.sync("ben", &relay);
    assert!(desk.note("ben").len() > 500, "{}", desk.note("ben"));
    relay.kill();
    let relay = RelayProcess::start(&data, &[]);
    assert_eq!(desk.converge(&["ana", "ben"], &relay), digest);
}

#[test]
fn clocks_a_day_ahead_and_in_1970_both_work() {
    let desk = Desk::new();
    let relay = RelayProcess::start(&desk.path("relay"), &[]);
    for name in ["ahead", "behind"] {
        desk.member(name);
    }
    desk.converge(&["ana", "ahead", "behind"], &relay);
    for (name, days) in [("ahead", "1"), ("behind", "1970")] {
        let store = desk.store(name);
        let mut app = App::start(&["at", store.to_str().unwrap(), days, &format!("{name} ")]);
        app.hears("saved");
        app.end();
    }
    desk.converge(&["ana", "ahead", "behind"], &relay);
    let note = desk.note("ana");
    for name in ["ahead", "behind"] {
        assert_eq!(note.matches(name).count(), 1, "{note}");
    }
    // What a clock says orders nothing that was seen: later words of the others win over it.
    desk.ok(&["-C", "ana", "text", "A-1", "notes", "--set", "All on time."]);
    desk.converge(&["ana", "ahead", "behind"], &relay);
    assert_eq!(desk.note("behind"), "All on time.");
}
