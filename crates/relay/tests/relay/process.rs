//! The relay as the process that an operator runs.

use crate::support::{DEADLINE, World, public};
use replica::Trust;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Instant;
use sync::Code;

const BINARY: &str = env!("CARGO_BIN_EXE_fieldbook-relay");

/// A running process, killed with the test.
struct Process {
    child: Child,
    address: String,
    admin: String,
    log: BufReader<ChildStderr>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Process {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("--data").arg(folder).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", address, "admin", admin, "key", _] = words[..] else {
            let mut said = String::new();
            let _ended = child.kill();
            log.read_to_string(&mut said).unwrap();
            panic!("{line:?}: {said}")
        };
        Self { address: address.to_owned(), admin: admin.to_owned(), child, log }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Reads the log until a line has this in it. The process ends with the test, so this ends too.
    fn logs(&mut self, words: &str) -> String {
        let begun = Instant::now();
        let mut line = String::new();
        while begun.elapsed() < DEADLINE && self.log.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return line;
            }
            line.clear();
        }
        panic!("{words:?} was not logged")
    }

    fn exit(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(BINARY).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_sessions_in_good_order_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let world = World::new();
    let mut root = world.device(1);
    let mut line = root.call_with(&process.address, &Trust::new([], false).unwrap(), &["authority", "north"]).await;
    line.level("north").await;
    let written: Vec<_> = (0..50).map(|_| root.write("north", None)).collect();
    line.level("north").await;
    process.signal("TERM");
    let (code, reason) = line.closed().await;
    assert_eq!(code, Code::GOING, "{reason}");
    assert!(reason.contains("come back"), "{reason}");
    let (exit, log) = tokio::task::spawn_blocking(move || process.exit()).await.unwrap();
    assert_eq!(exit, Some(0), "{log}");
    assert!(log.contains("session ended") && log.contains(&public(1).short()), "{log}");
    let (store, opened) = storage::Store::open(folder.path().join("relay.redb"), storage::Options::default()).unwrap();
    assert_eq!(opened, storage::Opened::Same, "closed in good order");
    let view = store.view().unwrap();
    assert!(written.iter().all(|id| view.has(&world.log("north"), id).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_ask_a_running_relay() {
    let folder = tempfile::tempdir().unwrap();
    let backups = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &["--backup-folder", text(backups.path())]);
    let world = World::new();
    let root = world.device(1);
    let mut line = root.call_with(&process.address, &Trust::new([], false).unwrap(), &["authority"]).await;
    line.level("authority").await;
    let (code, table, _) = run(&["devices", "--admin", &process.admin]);
    assert_eq!(code, Some(0));
    assert!(table.starts_with("device ") && table.contains(&public(1).short()), "{table}");
    let (_, json, _) = run(&["devices", "--json", "--admin", &process.admin]);
    assert!(json.contains(&access::KeyText::of_key(&public(1)).to_string()), "{json}");
    let (code, path, _) = run(&["backup", "--to", "b", "--admin", &process.admin]);
    assert_eq!((code, path.trim()), (Some(0), text(&backups.path().join("b"))));
    assert!(backups.path().join("b").is_file());
    let admin = process.admin.clone();
    drop(process);
    let (code, _, error) = run(&["devices", "--admin", &admin]);
    assert_eq!(code, Some(3));
    assert!(error.contains(&admin) && error.contains("is it running"), "{error}");
}

#[test]
fn sighup_reads_certificate_and_level_again_and_keeps_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = crate::tls::with_tls(&folder);
    let (certificate, key) = (config.tls_certificate.unwrap(), config.tls_key.unwrap());
    let file = folder.path().join("relay.toml");
    let write = |level: &str| {
        let text = format!(
            "log = \"{level}\"\ntls_certificate = \"{}\"\ntls_key = \"{}\"\n",
            certificate.display(),
            key.display()
        );
        std::fs::write(&file, text).unwrap();
    };
    write("info");
    let mut process = Process::start(&folder.path().join("data"), &["--config", text(&file)]);
    assert!(process.address.starts_with("wss://"));
    process.signal("HUP");
    process.logs("read again");
    std::fs::write(&certificate, "nothing").unwrap();
    process.signal("HUP");
    let line = process.logs("stays as it was");
    assert!(line.contains("certificate.pem"), "{line}");
    crate::tls::certify(&certificate, &key);
    write("loud");
    process.signal("HUP");
    let line = process.logs("level stays as it was");
    assert!(line.contains("relay.toml:1:"), "{line}");
    process.logs("read again");
    process.signal("INT");
    assert_eq!(process.exit().0, Some(0));
}

#[test]
fn what_keeps_it_from_starting_is_said_with_the_cure_and_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[]);
    let taken = process.address.trim_start_matches("ws://").to_owned();
    let other = folder.path().join("other");
    let (code, _, error) = run(&["--data", text(&other), "--listen", &taken, "--admin", "127.0.0.1:0"]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains(&taken) && error.contains("another process listens there"), "{error}");
    let (code, _, error) = run(&["--data", text(&other), "--listen", "127.0.0.1:0", "--admin", &process.admin]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("`admin`"), "{error}");
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let (code, _, error) = run(&[&["--data", text(&data)], &free[..]].concat());
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("another process has this store open"), "{error}");
    drop(process);
    // What is no store stays as it is.
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("relay.redb"), "something else").unwrap();
    let (code, _, error) = run(&[&["--data", text(&other)], &free[..]].concat());
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("relay.redb"), "{error}");
    assert_eq!(std::fs::read(other.join("relay.redb")).unwrap(), b"something else");
    let (code, _, error) = run(&[&["--data", "/proc/nowhere"], &free[..]].concat());
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("/proc/nowhere"), "{error}");
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Process::start(folder.path(), &[]));
    let path = folder.path().join("relay.redb");
    crate::support::age_into_the_future(&path);
    let arguments = ["--data", text(folder.path()), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let (code, _, error) = run(&arguments);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("format") && error.contains("update this program"), "{error}");
}

#[test]
fn a_broken_configuration_names_its_line_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, "data = \"d\"\n\nsesions_max = 5\n").unwrap();
    for arguments in [&["--config", text(&file)][..], &["check-config", text(&file)]] {
        let (code, _, error) = run(arguments);
        assert_eq!(code, Some(3), "{error}");
        assert!(error.contains("relay.toml:3:1") && error.contains("did you mean `sessions_max`"), "{error}");
    }
    std::fs::write(&file, "data = \"d\"\n").unwrap();
    let (code, said, _) = run(&["check-config", text(&file)]);
    assert_eq!(code, Some(0), "{said}");
    let (code, _, error) = run(&["--sessions-max", "many", "--data", "d"]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("--sessions-max") && error.contains("1 to 1000000"), "{error}");
    assert_eq!(run(&["--no-such-flag"]).0, Some(2));
}

#[test]
fn the_help_explains_every_option() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for setting in relay::SETTINGS {
        assert!(help.contains(&format!("--{}", setting.name.replace('_', "-"))), "{}", setting.name);
    }
    let (_, example, _) = run(&["example-config"]);
    assert_eq!(example, relay::example());
}
