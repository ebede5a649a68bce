//! The long run, short; and that it leaves nothing behind.

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn soak(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(arguments).args(["--seed", "7", "--healing", "180", "--keep"]).arg(folder.path().join("stores"));
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn twenty_seconds_of_trouble_lose_nothing_and_leave_everybody_agreed() {
    let folder = folder();
    let output = soak(&folder, &["--seconds", "20", "--devices", "4", "--relays", "2"]).output().expect("it starts");
    let is_clean = output.status.success() && said(&output).contains("clean: ");
    if !is_clean {
        // Whoever looks for what went wrong needs the stores.
        let _stays = folder.keep();
    }
    assert!(is_clean, "{}", said(&output));
}

#[test]
fn a_saved_change_set_that_nobody_has_is_named_with_the_seed() {
    let arguments = ["--seconds", "1", "--devices", "2", "--relays", "1", "--sabotage"];
    let output = soak(&folder(), &arguments).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(&"f".repeat(64)), "{}", said(&output));
    assert!(said(&output).contains("seed 7; the stores and story.txt stay in"), "{}", said(&output));
}

/// The value of a line of the status of a process; none if there is no such process.
fn status(process: &str, line: &str) -> Option<String> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    status.lines().find_map(|text| text.strip_prefix(line)).map(|value| value.trim().to_owned())
}

fn children(parent: u32) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("there is a list of processes").flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| status(name, "PPid:") == Some(parent.to_string())).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn no_process_outlives_a_parent_that_is_killed_not_even_one_that_is_stopped() {
    let folder = folder();
    let mut parent = soak(&folder, &["--seconds", "600", "--devices", "2", "--relays", "1", "--trouble", "600000"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut all = Vec::new();
    until("three processes run", || {
        all = children(parent.id());
        all.len() == 3
    });
    let stopped = all.first().and_then(|name| Pid::from_raw(name.parse().ok()?)).expect("it is a process");
    kill_process(stopped, Signal::STOP).expect("it can be stopped");
    parent.kill().expect("it can be killed");
    parent.wait().expect("it was killed");
    // Whoever adopts them may leave them unreaped.
    let is_gone = |name: &String| status(name, "State:").is_none_or(|state| state.starts_with(['Z', 'X']));
    until("no process is left", || all.iter().all(is_gone));
}
